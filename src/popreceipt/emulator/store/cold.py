"""Where the store in memory puts what nobody has written for long: a database in a temporary file without a name.

It is a store like the durable ones, except that nothing of it outlives the process: the file is deleted as soon as it
is made, or when the connection ends, and nothing waits for the disk. It does not decide what goes there.

SQLite chooses the folder ("Temporary Files Used By SQLite", section "Temporary File Storage Locations"): the
environment's SQLITE_TMPDIR or TMPDIR, else the system's. A message with a file of 2 KiB takes some 5 KiB there.
"""

import sqlite3
import weakref
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from popreceipt.emulator.store import NotKept
from popreceipt.emulator.store import rows as kept
from popreceipt.emulator.store.folder import TYPES
from popreceipt.emulator.store.sql import Row, SqlStore, schema

CACHE: Final = 4 * 1024
"""KiB of the file that SQLite keeps in memory."""

PORTION: Final = 500
"""So many rows are deleted at once: what may have to be undone is in memory until then."""


class ColdStore(SqlStore):
    """A store in a temporary file, for one thread at a time. It closes itself when nobody refers to it any more."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: Counter[str] = Counter()
        # "In-memory Databases", section "Temporary Databases": an empty name is a file of the connection's own.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False, cached_statements=256)
        weakref.finalize(self, self._connection.close)
        # Messages of a few KiB fill larger pages better than those of the usual 4 KiB.
        self._connection.execute("PRAGMA page_size = 8192")
        # A full disk undoes a transaction, so there is a journal; it need not outlive the process either.
        self._connection.execute("PRAGMA journal_mode = MEMORY")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA secure_delete = OFF")
        self._connection.execute(f"PRAGMA cache_size = -{CACHE}")
        for statement in schema(TYPES):
            self._connection.execute(statement)
        # It would cost more than all else of a delivery, and nobody asks by message here.
        self._connection.execute("DROP INDEX deliveries_of_message")

    @contextmanager
    def work(self, *, alone: bool = False) -> Iterator[None]:
        """One unit of work, not inside another: all of it is kept, or none.

        Raises:
            NotKept: the disk is full, say.
        """
        del alone  # Nobody else is here.
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._undo()
            raise NotKept(f"Nothing can be kept: {error}.") from error
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        if self._connection.in_transaction:  # else SQLite has undone everything by itself
            self._connection.execute("ROLLBACK")

    def generation(self) -> int:
        """It was never opened before."""
        return 0

    def next_number(self, counter: str = "messages") -> int:
        """A number greater than all before of this counter."""
        self._numbers[counter] += 1
        return self._numbers[counter]

    def _rows(self, statement: str, *values: Any) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()

    def _change(self, statement: str, *values: Any) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise NotKept(f"Nothing can be kept: {error}.") from error

    def _change_many(self, statement: str, rows: Iterable[Row]) -> None:
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise NotKept(f"Nothing can be kept: {error}.") from error

    def _elsewhere(self, condition: str, value: Any) -> list[str]:
        """None: every content stands in its row."""
        del condition, value
        return []

    def forget_message(self, identifier: str) -> None:
        """Forget the row of a message and nothing else of it."""
        self._change("DELETE FROM messages WHERE id = ?", identifier)

    def forget_delivery(self, correlation: str) -> None:
        """Forget what one dequeue handed out."""
        self._change("DELETE FROM deliveries WHERE correlation = ?", correlation)

    def delete_runs(self, activity: str) -> None:
        """Delete an activity's batch history, a portion at a time."""
        self._delete_in_portions("runs", "activity = ?", activity)

    def drop_blobs(self, now: datetime) -> datetime | None:
        """Delete the files that have expired by now, a portion at a time, and say when the next one will."""
        self._delete_in_portions("blobs", "expires <= ?", kept.micros(now))
        return self.next_expiry(())

    def next_expiry(self, hidden: Container[str]) -> datetime | None:
        """When the next file will expire, of those that are not hidden."""
        for identifier, expires in self._connection.execute("SELECT id, expires FROM blobs ORDER BY expires"):
            if identifier not in hidden:
                return kept.instant(expires)
        return None

    def _delete_in_portions(self, table: str, condition: str, value: Any) -> None:
        some = f"SELECT position FROM {table} WHERE {condition} LIMIT {PORTION}"  # noqa: S608 - our own words
        while self._connection.execute(
            f"DELETE FROM {table} WHERE position IN ({some})",  # noqa: S608 - our own words
            (value,),
        ).rowcount:
            pass
