"""The durable store of one process: a SQLite database in a folder, with large contents as files beside it.

What was kept is on disk: with `sync` full every commit is followed by an fsync, so that not even a power failure takes
it away; with `sync` normal it survives the death of the process, and a power failure may take the last commits. A
process that dies in the middle of a unit of work leaves nothing of it.

By itself a unit of work is a transaction. A server lets all units of one turn of its event loop share one (`grouped`),
commits them at once, and answers afterwards.
"""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.store import Due, NotKept
from popreceipt.emulator.store.blobfiles import BlobFiles, sync_folder
from popreceipt.emulator.store.checkpoints import Checkpoints
from popreceipt.emulator.store.sql import OPENINGS, SCHEMA_VERSION, Row, SqlStore, Types, schema
from popreceipt.exceptions import UsageError

Sync = Literal["full", "normal"]

DATABASE: Final = "popreceipt.sqlite3"
BLOBS: Final = "blobs"
LOCK: Final = "lock"
UNFINISHED: Final = "unfinished.sqlite3"
"""A new database until everything is in it."""

APPLICATION: Final = 0x706F7072
"""What SQLite calls an application ID: it stands in the head of the file and says whose it is ("popr")."""

INSIDE: Final = 32 * 1024
"""Bytes of the largest content that stands in its row; up to there a row is quicker than a file."""

CHECKED: Final = 256 * 1024 * 1024
"""Bytes of the largest database whose structure is looked through when it is opened: some seconds at most."""

RESERVED: Final = 1024
"""How many numbers of a counter are taken out of the database at once, at most."""

TYPES: Final = Types(
    text="TEXT", number="INTEGER", content="BLOB", serial="INTEGER PRIMARY KEY", compact=" WITHOUT ROWID"
)


class SqliteStore(SqlStore):
    """Everything in one folder, for one process at a time.

    Args:
        folder: made where there is none. It must be empty or hold what this class left there.
        sync: whether a commit waits for the disk (full) or for the operating system only (normal).
        original_place: where a message that comes back to its queue stands.

    Raises:
        UsageError: the folder is somebody else's, in use, damaged, or was written by a later version.
    """

    def __init__(self, folder: Path, *, sync: Sync = "full", original_place: bool = False) -> None:
        super().__init__(original_place=original_place)
        self.grouped = False
        """Whether units of work wait for `commit`."""
        self._lock = threading.RLock()
        self._unit = _Unit(self)
        self._depth = 0
        self._savepoints: list[tuple[int, int]] = []
        self._lost: Exception | None = None
        self._pages = 0
        self._is_closed = False
        self._block_sizes: dict[str, int] = {}
        self._forget()
        self._hold, self._connection = _opened(folder, sync)
        try:
            self._generation = self._open_anew()
            self._files = BlobFiles(folder / BLOBS, self._generation)
            self._sweep(folder)
            if not original_place:
                self._back_to_the_queue()
            self._checkpoints = Checkpoints(folder / DATABASE)
        except BaseException:
            self._connection.close()
            self._hold.close()
            raise

    def close(self) -> None:
        """Give up the folder. What was not committed is undone. Closing twice does no harm."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._connection.in_transaction:
                self._undo_everything()
            else:
                # No number is left out by a stop that was orderly.
                for name, (last, _) in self._numbers.items():
                    self._connection.execute("UPDATE counters SET value = ? WHERE name = ?", (last, name))
            self._checkpoints.close()
            self._connection.close()
            self._hold.close()

    def __enter__(self) -> "SqliteStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_anew(self) -> int:
        before = self._counted(OPENINGS)
        self._put_counter(OPENINGS, before + 1)
        return before

    def _sweep(self, folder: Path) -> None:
        wanted = {name for (name,) in self._rows("SELECT elsewhere FROM blobs WHERE elsewhere IS NOT NULL")}
        self._has_files = bool(wanted)
        missing = self._files.sweep(wanted)
        if missing:
            raise UsageError(f"The data in {folder} is damaged: {len(missing)} files of {BLOBS} are missing.")

    # Units of work

    def work(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """One unit of work: kept at its end, or with the next `commit` where they are grouped; undone when it raises.

        Inside another it is part of that, but undone by itself when it raises.
        """
        del alone  # One folder is for one process.
        return self._unit

    @property
    def is_uncommitted(self) -> bool:
        """Whether something was written that `commit` has to keep."""
        return self._connection.in_transaction or self._lost is not None

    def commit(self) -> None:
        """Keep what the units of work since the last commit have done.

        Raises:
            NotKept: it could not be kept, and nothing of it was.
        """
        with self._lock:
            if self._lost is None and self._connection.in_transaction:
                try:
                    self._connection.execute("COMMIT")
                except sqlite3.Error as error:
                    self._lost = error
            if self._lost is not None:
                lost, self._lost = self._lost, None
                self._undo_everything()
                raise NotKept(f"Nothing was kept: {lost}.") from lost
            self._settled()

    def undo(self) -> None:
        """Undo what the units of work since the last commit have done."""
        with self._lock:
            self._lost = None
            self._undo_everything()

    def begin(self) -> None:
        """Enter a unit of work."""
        self._lock.acquire()
        self._depth += 1

    def end(self, *, well: bool) -> None:
        """Leave a unit of work.

        Raises:
            NotKept: it ended well, but could not be kept.
        """
        try:
            if len(self._savepoints) == self._depth:
                self._keep() if well else self._undo()
            if self._lost is not None and self._depth == 1 and not self.grouped:
                lost, self._lost = self._lost, None
                if well:
                    raise NotKept(f"Nothing was kept: {lost}.") from lost
        finally:
            self._depth -= 1
            self._lock.release()

    def _keep(self) -> None:
        try:
            self._connection.execute(_RELEASE[self._depth])
        except sqlite3.Error as error:
            self._lose(error)
            return
        self._savepoints.pop()
        if not self._connection.in_transaction:
            self._settled()

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(_ROLLBACK[self._depth])
            self._connection.execute(_RELEASE[self._depth])
            self._files.undo(self._savepoints.pop())
            self._forget()
        else:
            # SQLite undoes the whole transaction by itself when it runs into a full disk, for instance.
            self._lose(sqlite3.OperationalError("the database gave up the whole transaction"))

    def _lose(self, error: Exception) -> None:
        """The whole transaction is gone, with all units of work in it."""
        self._lost = error
        self._savepoints.clear()
        self._undo_everything()

    def _undo_everything(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._files.undo()
        self._forget()
        self._pages = 0

    def _settled(self) -> None:
        """Something was committed."""
        self._files.settle()
        pages, self._pages = self._pages, 0
        self._checkpoints.committed(pages)
        if self._checkpoints.is_log_too_long:
            self._checkpoints.restart(self._connection)

    def _open_units(self) -> None:
        """Begin, at the first write, what `begin` announced: units that only read cost nothing."""
        if self._lost is not None:
            raise NotKept(f"Nothing can be kept: {self._lost}.") from self._lost
        if self.grouped and not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        while len(self._savepoints) < self._depth:
            self._connection.execute(_SAVEPOINT[len(self._savepoints) + 1])
            self._savepoints.append(self._files.mark())

    # Statements

    def _rows(self, statement: str, *values: Any) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()

    def _change(self, statement: str, *values: Any) -> None:
        with self._lock:
            self._open_units()
            try:
                self._connection.execute(statement, values)
            except sqlite3.OperationalError as error:
                raise NotKept(f"Nothing can be kept: {error}.") from error
            self._pages += 1

    def _change_many(self, statement: str, rows: Iterable[Row]) -> None:
        with self.work():
            self._open_units()
            try:
                changed = self._connection.executemany(statement, rows)
            except sqlite3.OperationalError as error:
                raise NotKept(f"Nothing can be kept: {error}.") from error
            self._pages += max(0, changed.rowcount) // 16

    def _put_content(self, identifier: str, content: bytes) -> tuple[bytes | None, str | None]:
        if len(content) <= INSIDE:
            self._pages += len(content) // 4096
            return content, None
        self._open_units()
        self._has_files = True
        return None, self._files.write(identifier, content)

    def _elsewhere(self, condition: str, value: Any) -> list[str]:
        return super()._elsewhere(condition, value) if self._has_files else []

    def _content_at(self, name: str) -> bytes:
        return self._files.read(name)

    def _drop_contents(self, names: Iterable[str]) -> None:
        doomed = list(names)
        if doomed:
            self._open_units()
            self._files.doom(doomed)

    # Numbers

    def generation(self) -> int:
        """How often this store had been opened before."""
        return self._generation

    def next_number(self, counter: str = "messages") -> int:
        """A number greater than all before of this counter.

        They are taken out of the database in blocks, which double each time: a death leaves out the rest of a block.
        """
        with self._lock:
            last, reserved = self._numbers.get(counter, (0, 0))
            if last == reserved:
                last = self._counted(counter)
                size = self._block_sizes.get(counter, 1)
                self._block_sizes[counter] = min(2 * size, RESERVED)
                reserved = last + size
                self._put_counter(counter, reserved)
            self._numbers[counter] = (last + 1, reserved)
            return last + 1

    def _counted(self, counter: str) -> int:
        found = self._rows("SELECT value FROM counters WHERE name = ?", counter)
        return found[0][0] if found else 0

    def _put_counter(self, counter: str, value: int) -> None:
        self._change(
            "INSERT INTO counters (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            counter,
            value,
        )

    # What is asked for at every request is remembered: nobody else writes here

    def _forget(self) -> None:
        """Remember nothing that may have been undone."""
        self._numbers: dict[str, tuple[int, int]] = {}
        self._settings: dict[str, str] | None = None
        self._projects: dict[str, Project] | None = None
        self._activities: dict[str, Activity] | None = None
        self._earliest: datetime | None = None
        self._is_earliest_known = False
        self._recurring: dict[tuple[str, str], datetime] = {}

    def clear(self) -> None:
        """Forget everything but the settings."""
        with self.work():
            super().clear()
            self._forget()

    def _known_settings(self) -> dict[str, str]:
        if self._settings is None:
            self._settings = dict(self._rows("SELECT name, value FROM settings"))
        return self._settings

    def setting(self, name: str) -> str | None:
        """What was noted under a name."""
        return self._known_settings().get(name)

    def put_setting(self, name: str, value: str | None) -> None:
        """Note something under a name; None takes it away."""
        super().put_setting(name, value)
        self._settings = None

    def _known_projects(self) -> dict[str, Project]:
        if self._projects is None:
            self._projects = {project.id: project for project in super().projects()}
        return self._projects

    def put_project(self, project: Project) -> None:
        """Add a data project or replace the one of this ID."""
        super().put_project(project)
        self._projects = None

    def project(self, identifier: str) -> Project | None:
        """The data project of this ID."""
        return self._known_projects().get(identifier)

    def projects(self) -> Sequence[Project]:
        """All of them, oldest first."""
        return list(self._known_projects().values())

    def _known_activities(self) -> dict[str, Activity]:
        if self._activities is None:
            self._activities = {activity.id: activity for activity in super().activities()}
        return self._activities

    def put_activity(self, activity: Activity) -> None:
        """Add an activity or replace the one of this ID."""
        super().put_activity(activity)
        self._activities = None

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID."""
        return self._known_activities().get(identifier)

    def activities(self) -> Sequence[Activity]:
        """All of them, oldest first."""
        return list(self._known_activities().values())

    def plan(self, at: datetime, kind: str, subject: str) -> None:
        """Plan a moment, instead of the one of this kind and subject if there is one."""
        super().plan(at, kind, subject)
        self._recurring.pop((kind, subject), None)
        if self._is_earliest_known and (self._earliest is None or at <= self._earliest):
            self._earliest = at
        else:
            self._is_earliest_known = False  # It may have stood where this one stands now.

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""
        super().cancel(kind, subject)
        self._recurring.pop((kind, subject), None)
        self._is_earliest_known = False

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is."""
        known = self._recurring.get((kind, subject))
        if known is None:
            known = super().planned(kind, subject)
            if known is not None:
                self._recurring[kind, subject] = known
        return known

    def next_due(self) -> datetime | None:
        """The earliest moment planned."""
        if not self._is_earliest_known:
            self._earliest = super().next_due()
            self._is_earliest_known = True
        return self._earliest

    def take_due(self, now: datetime) -> Due | None:
        """Take the earliest moment that is not after now."""
        due = super().take_due(now)
        if due is not None:
            self._recurring.pop((due.kind, due.subject), None)
            self._is_earliest_known = False
        return due


class _Unit:
    """The context of every unit of work of a store: how deep it is, the store counts."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.end(well=kind is None)


class _Statements(dict[int, str]):
    """A statement for each depth of units of work."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def __missing__(self, depth: int) -> str:
        self[depth] = f"{self._words} unit{depth}"
        return self[depth]


_SAVEPOINT: Final = _Statements("SAVEPOINT")
_RELEASE: Final = _Statements("RELEASE")
_ROLLBACK: Final = _Statements("ROLLBACK TO")


# Opening a folder


def _opened(folder: Path, sync: Sync) -> tuple[sqlite3.Connection, sqlite3.Connection]:
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
            raise UsageError(f"Cannot use the data folder {folder}: {error}.") from error
        raise
    return lock, connection


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
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{database} is of version {version}; this version reads {SCHEMA_VERSION}."
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
        for statement in schema(TYPES):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    unfinished.replace(folder / DATABASE)
    sync_folder(folder)


def _check(database: Path) -> None:
    """Refuse a damaged database. It is only read here."""
    with suppress(OSError):
        if database.stat().st_size > CHECKED:
            return
    # Without a log nothing can change under it; SQLite would make an empty log even to read.
    how = "mode=ro" if database.with_name(f"{DATABASE}-wal").exists() else "immutable=1"
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        found = str(error)
    finally:
        connection.close()
    if found != "ok":
        raise UsageError(f"{database} is damaged ({found}). Nothing was changed; restore it, or name another folder.")
