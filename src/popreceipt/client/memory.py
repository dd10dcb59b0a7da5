"""What a client has done, remembered across its restarts: in a SQLite file, each entry safe before the next step.

It knows names, digests and words. What they mean, and when something may be written down as done, is for those who
ask it.
"""

import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = ".popreceipt.sqlite3"
"""The file's name in the folder whose contents it tells about. It begins with a dot: it is nobody's payload."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS received (
    correlation TEXT PRIMARY KEY, sha256 TEXT NOT NULL, name TEXT NOT NULL, date REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS received_by_digest ON received (sha256);
CREATE INDEX IF NOT EXISTS received_by_date ON received (date);
CREATE TABLE IF NOT EXISTS handed_in (
    file TEXT NOT NULL, version TEXT NOT NULL, stage TEXT NOT NULL, message TEXT, state TEXT, date REAL NOT NULL,
    PRIMARY KEY (file, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS handed_in_by_stage ON handed_in (stage, file);
"""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A file of the outbox: its name and which version of it, how far it has come, and since when (seconds since 1970).

    `message` is the ID that the enqueue answered, `state` the status it ended in.
    """

    file: str
    version: str
    stage: str
    message: str | None
    state: str | None
    date: float


class Memory:
    """One file, shared by the threads of one process.

    Args:
        folder: where it stands; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = sqlite3.connect(folder / NAME, isolation_level=None, check_same_thread=False, timeout=30)
        # One commit is one fsync in a write-ahead log; FULL makes it wait for the disk.
        self._file.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_TABLES}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    # What came

    def has_received(self, correlation: str | None) -> bool:
        """Whether the message of this CorrelationId was stored."""
        return correlation is not None and self._one("SELECT 1 FROM received WHERE correlation = ?", correlation)

    def has_digest(self, sha256: str) -> bool:
        """Whether a payload of this digest was stored."""
        return self._one("SELECT 1 FROM received WHERE sha256 = ?", sha256)

    def note_received(self, correlation: str | None, sha256: str, name: str, date: float) -> None:
        """Remember that a message's payload is stored under this name. Without a CorrelationId its digest is known."""
        self._do(
            "INSERT OR REPLACE INTO received VALUES (?, ?, ?, ?)",
            f"sha256:{sha256}" if correlation is None else correlation,
            sha256,
            name,
            date,
        )

    def forget_received(self, before: float) -> None:
        """Forget what came before this date (seconds since 1970)."""
        self._do("DELETE FROM received WHERE date < ?", before)

    # What went

    def handed_in(self, file: str, version: str) -> HandedIn | None:
        """How far a file has come; None where nothing was begun with it."""
        found = self._all("SELECT * FROM handed_in WHERE file = ? AND version = ?", file, version)
        return found[0] if found else None

    def at(self, *stages: str) -> list[HandedIn]:
        """All that are at one of these stages, by name."""
        asked = "SELECT * FROM handed_in WHERE stage IN (SELECT value FROM json_each(?)) ORDER BY file"
        return self._all(asked, json.dumps(stages))

    def note(self, entry: HandedIn) -> None:
        """Remember how far a file has come."""
        self._do(
            "INSERT OR REPLACE INTO handed_in VALUES (?, ?, ?, ?, ?, ?)",
            entry.file,
            entry.version,
            entry.stage,
            entry.message,
            entry.state,
            entry.date,
        )

    def _do(self, statement: str, *values: str | float | None) -> None:
        with self._lock:
            self._file.execute(statement, values)

    def _one(self, statement: str, *values: str) -> bool:
        with self._lock:
            return self._file.execute(statement, values).fetchone() is not None

    def _all(self, statement: str, *values: str) -> list[HandedIn]:
        with self._lock:
            return [HandedIn(*row) for row in self._file.execute(statement, values)]
