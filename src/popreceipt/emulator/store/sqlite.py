"""The durable store of one process: a SQLite database in a folder, with large contents as files beside it.

What was kept is on disk: with `sync` full every commit is followed by an fsync, so that not even a power failure takes
it away; with `sync` normal it survives the death of the process, and a power failure may take the last commits. A
process that dies in the middle of a unit of work leaves nothing of it.

By itself a unit of work is a transaction. A server lets all units of one turn of its event loop share one (`grouped`),
commits them at once, and answers afterwards.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeVar

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.message import Message
from popreceipt.emulator.store import Delivery, Due, NotKept, late_keys
from popreceipt.emulator.store import rows as kept
from popreceipt.emulator.store.blobfiles import BlobFiles
from popreceipt.emulator.store.checkpoints import Checkpoints
from popreceipt.emulator.store.folder import APPLICATION, DATABASE, LOCK, UNFINISHED, Sync, lengthen_log, opened
from popreceipt.emulator.store.late_keys import LateKeys
from popreceipt.emulator.store.sql import OPENINGS, Row, SqlStore
from popreceipt.exceptions import UsageError

__all__ = ["APPLICATION", "BLOBS", "DATABASE", "INSIDE", "LOCK", "UNFINISHED", "SqliteStore", "Sync"]

BLOBS: Final = "blobs"

INSIDE: Final = 32 * 1024
"""Bytes of the largest content that stands in its row; up to there a row is quicker than a file."""

RESERVED: Final = 1024
"""How many numbers of a counter are taken out of the database at once, at most."""

AT_HAND: Final = 4096
"""How many messages, and how many deliveries, are remembered as they were last written."""

REPEATED: Final = 256
"""How many statements are repeated, at most, where a unit of work has to be undone and others share its transaction."""

_Kept = TypeVar("_Kept")

_PUT_MESSAGE: Final = (
    f"INSERT INTO messages ({', '.join(kept.MESSAGE_COLUMNS)})"  # noqa: S608 - names of our own columns
    f" VALUES ({', '.join('?' * len(kept.MESSAGE_COLUMNS))})"
)

_FIXED: Final = kept.MESSAGE_COLUMNS.index("room")
"""So many columns come first that a message keeps for ever: no index of theirs need be looked at again."""

_CHANGE_MESSAGE: Final = (
    f"UPDATE messages SET {', '.join(f'{name} = ?' for name in kept.MESSAGE_COLUMNS[_FIXED:])}"  # noqa: S608 - as above
    " WHERE number = ?"
)


class _Mark(NamedTuple):
    """Where things stood when a unit of work began to write.

    `repeated` is how many statements of the transaction came before, `is_saved` whether the database has a savepoint.
    """

    files: tuple[int, int]
    repeated: int
    is_saved: bool


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
        self._marks: list[_Mark] = []
        # What the units of work of a shared transaction have written. One that is undone takes the transaction with
        # it, and the others are done again: that is rare, while a savepoint for each would cost at every request.
        self._done: list[tuple[str, tuple[Any, ...]]] = []
        self._is_repeatable = True
        self._lost: Exception | None = None
        self._pages = 0
        self._is_closed = False
        self._block_sizes: dict[str, int] = {}
        self._message_numbers = self._late_keys("message_numbers", "messages", "id", "number")
        self._delivery_positions = self._late_keys("delivery_positions", "deliveries", "correlation", "position")
        self._forget()
        self._hold, self._connection = opened(folder, sync)
        try:
            self._generation = self._open_anew()
            self._files = BlobFiles(folder / BLOBS, self._generation)
            self._sweep(folder)
            if not original_place:
                self._back_to_the_queue()
            if sync == "full":
                lengthen_log(folder)
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
            if len(self._marks) == self._depth:
                self._keep() if well else self._undo()
            if self._lost is not None and self._depth == 1 and not self.grouped:
                lost, self._lost = self._lost, None
                if well:
                    raise NotKept(f"Nothing was kept: {lost}.") from lost
        finally:
            self._depth -= 1
            self._lock.release()

    def _keep(self) -> None:
        if self._marks[-1].is_saved:
            try:
                self._connection.execute(_RELEASE[self._depth])
            except sqlite3.Error as error:
                self._lose(error)
                return
        self._marks.pop()
        if not self._connection.in_transaction:
            self._settled()

    def _undo(self) -> None:
        if not self._connection.in_transaction:
            # SQLite undoes the whole transaction by itself when it runs into a full disk, for instance.
            self._lose(sqlite3.OperationalError("the database gave up the whole transaction"))
            return
        mark = self._marks.pop()
        before = self._done[: mark.repeated]
        try:
            if mark.is_saved:
                self._connection.execute(_ROLLBACK[self._depth])
                self._connection.execute(_RELEASE[self._depth])
            else:
                self._connection.execute("ROLLBACK")
                if before:
                    self._connection.execute("BEGIN IMMEDIATE")
                for statement, values in before:
                    self._connection.execute(statement, values)
                self._is_repeatable = True
        except sqlite3.Error as error:
            self._lose(error)
            return
        self._done = before
        self._files.undo(mark.files)
        self._forget()

    def _lose(self, error: Exception) -> None:
        """The whole transaction is gone, with all units of work in it."""
        self._lost = error
        self._marks.clear()
        self._undo_everything()

    def _undo_everything(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._files.undo()
        self._forget()
        self._pages = 0
        self._begin_anew()

    def _settled(self) -> None:
        """Something was committed."""
        self._begin_anew()
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
        while len(self._marks) < self._depth:
            is_saved = not self.grouped or bool(self._marks) or not self._is_repeatable
            if is_saved:
                self._connection.execute(_SAVEPOINT[len(self._marks) + 1])
            self._marks.append(_Mark(self._files.mark(), len(self._done), is_saved))

    def _begin_anew(self) -> None:
        """The transaction is over: nothing will have to be repeated."""
        self._done = []
        self._is_repeatable = True

    # Statements

    def _rows(self, statement: str, *values: Any) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()

    def _change(self, statement: str, *values: Any) -> None:
        self._changed(statement, values)

    def _changed(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        with self._lock:
            self._open_units()
            try:
                changed = self._connection.execute(statement, values)
            except sqlite3.OperationalError as error:
                raise NotKept(f"Nothing can be kept: {error}.") from error
            self._pages += 1
            if self._is_repeatable:
                self._done.append((statement, values))
                self._is_repeatable = self.grouped and len(self._done) < REPEATED
            return changed

    def _change_many(self, statement: str, rows: Iterable[Row]) -> None:
        with self.work():
            self._open_units()
            self._is_repeatable = False
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
        self._recurring: dict[tuple[str, str], datetime | None] = {}
        self._newest: int | None = None
        self._messages_at_hand: dict[str, Message] = {}
        self._deliveries_at_hand: dict[str, Delivery] = {}
        self._message_numbers.forget()
        self._delivery_positions.forget()

    def _late_keys(self, index: str, rows: str, key: str, position: str) -> LateKeys:
        return LateKeys(index, rows, key, position, find=self._rows, change=self._change, change_many=self._change_many)

    def clear(self) -> None:
        """Forget everything but the settings."""
        with self.work():
            super().clear()
            for table in late_keys.TABLES:
                self._change(f"DELETE FROM {table}")  # noqa: S608 - the name of one of our own tables
            self._forget()

    # Messages and deliveries: found by keys that are kept late, and at hand for a while after they were written

    def put_message(self, message: Message) -> None:
        """Add a message or replace the one of this ID."""
        row = kept.message_row(message)
        newest = self._newest
        if newest is None:
            newest = self._rows("SELECT max(number) FROM messages")[0][0] or 0
        if message.number > newest or not self._is_changed(message, row):
            self._changed(_PUT_MESSAGE, row)
            self._message_numbers.add(message.id, message.number)
            newest = max(newest, message.number)
        self._newest = newest
        _remember(self._messages_at_hand, message.id, message)

    def _is_changed(self, message: Message, row: Row) -> bool:
        """Write what a message is now, if it is there."""
        return self._changed(_CHANGE_MESSAGE, (*row[_FIXED:], message.number)).rowcount > 0

    def message(self, identifier: str) -> Message | None:
        """The message of this ID."""
        known = self._messages_at_hand.get(identifier)
        if known is not None:
            return known
        number = self._message_numbers.position(identifier)
        found = () if number is None else self._rows("SELECT content FROM messages WHERE number = ?", number)
        return kept.read_message(found[0][0]) if found else None

    def lease(self, activity: str, now: datetime, deliver: Callable[[Message], Message]) -> Message | None:
        """Take the next message that is visible now, keep what `deliver` makes of it, and give that back."""

        def at_hand(message: Message) -> Message:
            _remember(self._messages_at_hand, message.id, message)
            return deliver(message)

        return super().lease(activity, now, at_hand)

    def delete_message(self, identifier: str) -> None:
        """Forget a message: its row, its place in the queue, its deliveries and its blob."""
        message = self.message(identifier)
        if message is None:
            return
        self._messages_at_hand.pop(identifier, None)
        self._change("DELETE FROM messages WHERE number = ?", message.number)
        self._message_numbers.remove(identifier)
        delivered = self._rows("SELECT correlation FROM deliveries WHERE number = ?", message.number)
        for (correlation,) in delivered:
            self._deliveries_at_hand.pop(correlation, None)
            self._delivery_positions.remove(correlation)
        if delivered:
            self._change("DELETE FROM deliveries WHERE number = ?", message.number)
        if message.blob is not None:
            self.delete_blob(message.blob)

    def put_delivery(self, delivery: Delivery) -> None:
        """Remember what a dequeue handed out."""
        message = self.message(delivery.message)
        number = None if message is None else message.number
        added = self._changed(
            "INSERT INTO deliveries (correlation, blob_name, message, number) VALUES (?, ?, ?, ?)",
            (delivery.correlation, delivery.blob_name, delivery.message, number),
        )
        if added.lastrowid is not None:
            self._delivery_positions.add(delivery.correlation, added.lastrowid)
        _remember(self._deliveries_at_hand, delivery.correlation, delivery)

    def delivery(self, correlation: str) -> Delivery | None:
        """The delivery with this CorrelationId."""
        known = self._deliveries_at_hand.get(correlation)
        if known is not None:
            return known
        position = self._delivery_positions.position(correlation)
        if position is None:
            return None
        found = self._rows("SELECT blob_name, message FROM deliveries WHERE position = ?", position)
        return Delivery(correlation, *found[0]) if found else None

    # Settings, projects, activities, moments

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
        if self.planned(kind, subject) is None:
            return
        super().cancel(kind, subject)
        self._recurring[kind, subject] = None
        self._is_earliest_known = False

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is."""
        named = (kind, subject)
        if named not in self._recurring:
            _remember(self._recurring, named, super().planned(kind, subject))
        return self._recurring[named]

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


_Named = TypeVar("_Named")


def _remember(those: dict[_Named, _Kept], name: _Named, what: _Kept) -> None:
    """Have something at hand; where that is too much, what came first goes."""
    if len(those) >= AT_HAND and name not in those:
        del those[next(iter(those))]
    those[name] = what


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
