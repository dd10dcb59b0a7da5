"""The folder of a durable store: whether it is ours, whole and free, and how its database is made and opened."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from popreceipt.emulator.store import late_keys
from popreceipt.emulator.store.blobfiles import sync_folder
from popreceipt.emulator.store.sql import Types, schema
from popreceipt.exceptions import UsageError

Sync = Literal["full", "normal"]

DATABASE: Final = "popreceipt.sqlite3"
LOCK: Final = "lock"
UNFINISHED: Final = "unfinished.sqlite3"
"""A new database until everything is in it."""

APPLICATION: Final = 0x706F7072
"""What SQLite calls an application ID: it stands in the head of the file and says whose it is ("popr")."""

CHECKED: Final = 256 * 1024 * 1024
"""Bytes of the largest database whose structure is looked through when it is opened: some seconds at most."""

LOG: Final = 16 * 1024 * 1024
"""Bytes of the write-ahead log that are there from the start."""

VERSION: Final = 2
"""Of the tables below. A database of another was written by another version."""

TYPES: Final = Types(
    text="TEXT", number="INTEGER", content="BLOB", serial="INTEGER PRIMARY KEY", compact=" WITHOUT ROWID"
)

_DELIVERIES: Final = (
    (
        "CREATE TABLE deliveries (position {serial}, correlation {text} NOT NULL, blob_name {text} NOT NULL,"
        " message {text} NOT NULL, number {number})"
    ),
    "CREATE INDEX deliveries_of_number ON deliveries (number)",
)
"""One behind the other, and their messages' numbers are nearly in order as well."""

SCHEMA: Final = (*schema(TYPES._replace(unique=""), _DELIVERIES), *late_keys.SCHEMA)
"""Messages and deliveries are found by their late keys."""


def opened(folder: Path, sync: Sync) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """The lock on a folder, and a connection to its database, which is made where there is none."""
    _examine(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot make the data folder {folder}: {error.strerror or error}.") from error
    lock = _locked(folder)
    try:
        database = folder / DATABASE
        if database.exists():
            _examine(folder)  # Whoever had the lock may have made it in the meantime.
            _check(database)
        else:
            _create(folder)
        connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.execute(f"PRAGMA synchronous = {sync}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException as error:
        lock.close()
        if isinstance(error, (sqlite3.Error, OSError)):
            raise UsageError(
                f"Cannot use the data folder {folder}: {error}. Its disk needs some room, and its files are written to."
            ) from error
        raise
    return lock, connection


def lengthen_log(folder: Path) -> None:
    """Let the write-ahead log have its length before anything is in it.

    A commit that writes where there was something before has half as much to wait for as one that makes a file longer.
    What SQLite finds behind the last commit it takes for no part of the log ("WAL-mode File Format", section
    "Checksum Algorithm"). Nobody may write meanwhile. Where there is no room for it, it is left as it is.
    """
    log = folder / f"{DATABASE}-wal"
    with suppress(OSError), log.open("r+b", buffering=0) as file:
        length = file.seek(0, os.SEEK_END)
        try:
            while file.tell() < LOG:
                file.write(_NOTHING[: LOG - file.tell()])
            os.fsync(file.fileno())
        except OSError:
            file.truncate(length)


_NOTHING: Final = bytes(1024 * 1024)


def _examine(folder: Path) -> None:
    """Refuse a folder that is somebody else's, without touching anything."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder. --data names the folder that everything is kept in.")
    if not folder.exists():
        return
    database = folder / DATABASE
    try:
        if not database.exists():
            others = sorted(one.name for one in folder.iterdir() if not _is_from_a_beginning(one.name))
            if others:
                raise UsageError(
                    f"{folder} holds {others[0]!r} and no {DATABASE}: it is somebody else's. Name an empty folder."
                )
            return
        with database.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise UsageError(f"Cannot read the data folder {folder}: {error.strerror or error}.") from error
    # "Database File Format", section "The Database Header": the user version and the application ID.
    version, application = int.from_bytes(head[60:64], "big"), int.from_bytes(head[68:72], "big")
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0") or application != APPLICATION:
        raise UsageError(f"{database} is no database of popreceipt, or its beginning is damaged.")
    if version != VERSION:
        raise UsageError(
            f"{database} is of version {version}; this version reads {VERSION}."
            " Use the version of popreceipt that wrote it, or another folder."
        )


def _is_from_a_beginning(name: str) -> bool:
    """Whether a file may have been left by a process that died while it made the database."""
    return name.startswith((LOCK, UNFINISHED))


def _locked(folder: Path) -> sqlite3.Connection:
    """A lock that ends with the process, however that ends: SQLite knows how, on every system."""
    lock = sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("PRAGMA locking_mode = EXCLUSIVE")
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if "locked" in str(error):
            raise UsageError(
                f"Another process uses the data folder {folder}. One folder is for one process: end the other one,"
                " or name another folder."
            ) from error
        raise UsageError(f"Cannot lock the data folder {folder}: {error}.") from error
    return lock


def _create(folder: Path) -> None:
    """Make the database under another name, so that it is either whole or not there."""
    unfinished = folder / UNFINISHED
    for left in folder.glob(f"{UNFINISHED}*"):
        left.unlink()
    connection = sqlite3.connect(unfinished, isolation_level=None)
    try:
        connection.execute("BEGIN")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    unfinished.replace(folder / DATABASE)
    sync_folder(folder)


def _check(database: Path) -> None:
    """Refuse a damaged database. It is only read here.

    Raises:
        sqlite3.Error: it cannot be read, which says nothing of what is in it: the disk is full, or not writable.
    """
    with suppress(OSError):
        if database.stat().st_size > CHECKED:
            return
    # Without a log nothing can change under it; SQLite would make an empty log even to read.
    how = "mode=ro" if database.with_name(f"{DATABASE}-wal").exists() else "immutable=1"
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        # "Result and Error Codes": the lowest byte is the primary code.
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
        found = str(error)
    finally:
        connection.close()
    if found != "ok":
        raise UsageError(f"{database} is damaged ({found}). Nothing was changed; restore it, or name another folder.")
