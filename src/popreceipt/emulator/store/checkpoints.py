"""Checkpoints of a write-ahead log, in a thread: what was committed moves from the log into the database.

Nothing depends on when they happen: what is in the log is as safe as what is in the database. In the thread of the
requests one would hold up every answer for as long as it takes.
"""

import sqlite3
import threading
from pathlib import Path
from typing import Final

EVERY: Final = 1000
"""Pages written, roughly, between two checkpoints: SQLite's own choice for those that it makes by itself."""

LONGEST_LOG: Final = 16_384
"""Pages of a log (64 MiB) that has to begin anew, even if the requests wait for it.

A checkpoint beside requests that keep writing never reaches the end of the log, and only then it begins anew.
"""


class Checkpoints:
    """The thread that makes them, with a connection of its own.

    Args:
        database: the file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._pages = 0
        self._since_restart = 0
        self._wanted = threading.Event()
        self._under_way = threading.Lock()
        self._ended = False
        self.is_log_too_long = False
        """Whether `restart` should be called, soon after a checkpoint left little to do."""
        self._thread = threading.Thread(target=self._run, name="popreceipt-checkpoints", daemon=True)
        self._thread.start()

    def committed(self, pages: int) -> None:
        """Tell of a commit and of how many pages it wrote, roughly."""
        self._pages += pages
        self._since_restart += pages
        if self._pages >= EVERY:
            self._pages = 0
            self._wanted.set()
        if self._since_restart >= LONGEST_LOG:
            self.is_log_too_long = True  # The thread would have said so if it had had the time.

    def restart(self, connection: sqlite3.Connection) -> None:
        """Move the rest of the log, so that it begins anew. Nothing may be uncommitted.

        It waits for the thread: there is little left to do when that has just come to its end.
        """
        with self._under_way:
            self.is_log_too_long = not _moved(connection, "RESTART")[0]
            self._since_restart = 0

    def close(self) -> None:
        """End the thread; a checkpoint under way is waited for."""
        self._ended = True
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._database, isolation_level=None)
        try:
            while True:
                self._wanted.wait()
                self._wanted.clear()
                if self._ended:
                    return
                self._checkpoint(connection)
        finally:
            connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        with self._under_way:
            _, log = _moved(connection, "PASSIVE")
        self.is_log_too_long = log > LONGEST_LOG


def _moved(connection: sqlite3.Connection, how: str) -> tuple[bool, int]:
    """Whether a checkpoint came to its end, and how many pages the log had then."""
    try:
        is_busy, log, _ = connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
    except sqlite3.OperationalError:
        # A full disk, say. The log still holds everything, and the next checkpoint finds it there.
        return False, 0
    return not is_busy, log
