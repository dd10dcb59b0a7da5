"""A store in SQL, as far as databases understand the same: tables, statements, and what each answer means.

It opens nothing and commits nothing. A database is a subclass that runs statements, has units of work, gives out
numbers, and says which words it has for types and row locks. Statements are written with `?` for values and nothing
else of them is put together from what callers say.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.message import Message
from popreceipt.emulator.store import MOST_SAMPLES, BatchRun, Delivery, Due, Load, Query, Record, Sample
from popreceipt.emulator.store import rows as kept

SCHEMA_VERSION: Final = 1
"""Of the tables below. A database of a greater one was written by a later version."""

MOMENTS: Final = "store/moments"
OPENINGS: Final = "store/openings"
"""The store's own counters, beside those that `next_number` is asked for."""

PAGE: Final = 500
"""How many rows are fetched by their numbers at once: databases limit how many values a statement has."""

Row = tuple[Any, ...]


class Types(NamedTuple):
    """A database's words for columns.

    `text` compares by code points. `serial` is a primary key that counts by itself. `compact` ends a table whose rows
    are found by its primary key alone. `unique` stands behind the ID of a message, by which it is found.
    """

    text: str
    number: str
    content: str
    serial: str
    compact: str
    unique: str = " UNIQUE"


_DELIVERIES: Final = (
    (
        "CREATE TABLE deliveries (correlation {text} NOT NULL PRIMARY KEY, blob_name {text} NOT NULL,"
        " message {text} NOT NULL){compact}"
    ),
    "CREATE INDEX deliveries_of_message ON deliveries (message)",
)


def schema(types: Types, deliveries: tuple[str, ...] = _DELIVERIES) -> tuple[str, ...]:
    """The statements that make an empty store; a database may have its own for what was delivered."""
    words = types._asdict()
    return tuple(statement.format(**words) for statement in (*_SCHEMA, *deliveries))


_SCHEMA: Final = (
    "CREATE TABLE settings (name {text} NOT NULL PRIMARY KEY, value {text} NOT NULL)",
    "CREATE TABLE counters (name {text} NOT NULL PRIMARY KEY, value {number} NOT NULL)",
    "CREATE TABLE projects (position {serial}, id {text} NOT NULL UNIQUE, content {content} NOT NULL)",
    "CREATE TABLE activities (position {serial}, id {text} NOT NULL UNIQUE, content {content} NOT NULL)",
    # The columns are those of rows.MESSAGE_COLUMNS; `content` is the whole message, the others are to find it by.
    (
        "CREATE TABLE messages (number {number} NOT NULL PRIMARY KEY, id {text} NOT NULL{unique},"
        " activity {text} NOT NULL, room {number}, rank {number}, ended {number}, status {text} NOT NULL,"
        " entity {text}, entity_folded {text},"
        " external_identifier {text}, external_folded {text}, enqueued {number} NOT NULL, started {number},"
        " completed {number}, visible_from {number}, last_dequeued {number}, last_downloaded {number},"
        " acknowledged {number}, total_records {number}, uploaded {number} NOT NULL, batch_status {text},"
        " retries {number} NOT NULL, content {content} NOT NULL)"
    ),
    "CREATE INDEX messages_of_activity ON messages (activity, number)",
    # Only what waits stands in it, so what is done costs nothing; counts and the oldest come from the index alone.
    "CREATE INDEX messages_in_room ON messages (activity, room, rank, number, enqueued) WHERE room IS NOT NULL",
    "CREATE INDEX messages_ended ON messages (activity, ended) WHERE ended IS NOT NULL",
    # `elsewhere` names the file that holds the content where it is not in the row.
    (
        "CREATE TABLE blobs (position {serial}, id {text} NOT NULL UNIQUE, expires {number} NOT NULL,"
        " content {content}, elsewhere {text})"
    ),
    "CREATE INDEX blobs_by_expiry ON blobs (expires)",
    (
        "CREATE TABLE records (position {serial}, company {text} NOT NULL, entity {text} NOT NULL,"
        " identity {content} NOT NULL, content {content} NOT NULL, UNIQUE (company, entity, identity))"
    ),
    "CREATE TABLE executions (id {text} NOT NULL PRIMARY KEY, content {content} NOT NULL)",
    (
        "CREATE TABLE runs (position {serial}, id {text} NOT NULL UNIQUE, activity {text} NOT NULL,"
        " content {content} NOT NULL)"
    ),
    "CREATE INDEX runs_of_activity ON runs (activity, position)",
    "CREATE TABLE samples (position {serial}, activity {text} NOT NULL, content {content} NOT NULL)",
    "CREATE INDEX samples_of_activity ON samples (activity, position)",
    (
        "CREATE TABLE moments (kind {text} NOT NULL, subject {text} NOT NULL, at {number} NOT NULL,"
        " number {number} NOT NULL, PRIMARY KEY (kind, subject)){compact}"
    ),
    "CREATE INDEX moments_by_instant ON moments (at, number)",
)

TABLES: Final = (
    "projects",
    "activities",
    "messages",
    "deliveries",
    "blobs",
    "records",
    "executions",
    "runs",
    "samples",
    "moments",
)
"""What `clear` empties; settings stay, and of the counters that of the openings."""

_PUT_MESSAGE: Final = (
    f"INSERT INTO messages ({', '.join(kept.MESSAGE_COLUMNS)})"  # noqa: S608 - names of our own columns
    f" VALUES ({', '.join('?' * len(kept.MESSAGE_COLUMNS))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in kept.MESSAGE_COLUMNS if name not in {"number", "id"})
)

_PUT_RECORD: Final = (
    "INSERT INTO records (company, entity, identity, content) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (company, entity, identity) DO UPDATE SET content = excluded.content"
)


class SqlStore(ABC):
    """Everything of the Store protocol that is the same in SQLite and PostgreSQL.

    Args:
        original_place: whether a message that comes back to its queue stands where it first stood; else it comes back
            at the tail, which is the place of the instant at which it became visible again.
    """

    lock: ClassVar[str] = ""
    """What a SELECT ends with, so that within its unit of work nobody else changes the row."""
    locks_next: ClassVar[tuple[str, ...]] = ("",)
    """The same where any row will do. Each is tried in turn, until one finds something."""
    contains: ClassVar[str] = "instr({}, ?) > 0"
    """Whether a column holds a text somewhere."""

    def __init__(self, *, original_place: bool = False) -> None:
        self._original_place = original_place

    # What a database does its own way

    @abstractmethod
    def work(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """One unit of work around a request or a due moment: kept at its end, undone when it raises."""

    @abstractmethod
    def generation(self) -> int:
        """How often this store had been opened before."""

    @abstractmethod
    def next_number(self, counter: str = "messages") -> int:
        """A number greater than all before of this counter."""

    @abstractmethod
    def _rows(self, statement: str, *values: Any) -> list[Row]:
        """All rows that a statement finds."""

    @abstractmethod
    def _change(self, statement: str, *values: Any) -> None:
        """Run a statement that writes."""

    @abstractmethod
    def _change_many(self, statement: str, rows: Iterable[Row]) -> None:
        """Run a statement that writes once for each row, in their order."""

    def _put_content(self, identifier: str, content: bytes) -> tuple[bytes | None, str | None]:
        """What stands in the row of a blob: its content, or the name of the file that now holds it."""
        del identifier
        return content, None

    def _content_at(self, name: str) -> bytes:
        """What the file of this name holds."""
        raise LookupError(f"This store has no files, and so none called {name!r}.")

    def _drop_contents(self, names: Iterable[str]) -> None:
        """Delete files once nothing refers to them any more."""
        for name in names:
            raise LookupError(f"This store has no files, and so none called {name!r}.")

    # Everything

    def clear(self) -> None:
        """Forget everything but the settings."""
        self._drop_contents(name for (name,) in self._rows("SELECT elsewhere FROM blobs WHERE elsewhere IS NOT NULL"))
        for table in TABLES:
            self._change(f"DELETE FROM {table}")  # noqa: S608 - the name of one of our own tables
        self._change("DELETE FROM counters WHERE name <> ?", OPENINGS)

    def setting(self, name: str) -> str | None:
        """What was noted under a name. Settings survive `clear`."""
        found = self._rows("SELECT value FROM settings WHERE name = ?", name)
        return found[0][0] if found else None

    def held_setting(self, name: str) -> str | None:
        """The same. Within a unit of work nobody else who asks so gets an answer from then on."""
        return self.setting(name)

    def put_setting(self, name: str, value: str | None) -> None:
        """Note something under a name; None takes it away."""
        if value is None:
            self._change("DELETE FROM settings WHERE name = ?", name)
        else:
            self._change(
                "INSERT INTO settings (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                name,
                value,
            )

    # Projects and activities

    def put_project(self, project: Project) -> None:
        """Add a data project or replace the one of this ID."""
        self._change(
            "INSERT INTO projects (id, content) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET content = excluded.content",
            project.id,
            kept.encoded(project),
        )

    def project(self, identifier: str) -> Project | None:
        """The data project of this ID."""
        found = self._rows("SELECT content FROM projects WHERE id = ?", identifier)
        return kept.read_project(found[0][0]) if found else None

    def projects(self) -> Sequence[Project]:
        """All of them, oldest first."""
        return [kept.read_project(one) for (one,) in self._rows("SELECT content FROM projects ORDER BY position")]

    def put_activity(self, activity: Activity) -> None:
        """Add an activity or replace the one of this ID."""
        self._change(
            "INSERT INTO activities (id, content) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET content = excluded.content",
            activity.id,
            kept.encoded(activity),
        )

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID."""
        found = self._rows("SELECT content FROM activities WHERE id = ?", identifier)
        return kept.read_activity(found[0][0]) if found else None

    def activities(self) -> Sequence[Activity]:
        """All of them, oldest first."""
        return [kept.read_activity(one) for (one,) in self._rows("SELECT content FROM activities ORDER BY position")]

    # Messages

    def put_message(self, message: Message) -> None:
        """Add a message or replace the one of this ID; its room says whether anybody may come for it."""
        self._change(_PUT_MESSAGE, *kept.message_row(message))

    def message(self, identifier: str) -> Message | None:
        """The message of this ID. Within a unit of work nobody else changes it from then on."""
        found = self._rows(f"SELECT content FROM messages WHERE id = ?{self.lock}", identifier)  # noqa: S608 - our word
        return kept.read_message(found[0][0]) if found else None

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """An activity's messages, oldest first: those of greater numbers than `after`, so many at most."""
        return self._messages(
            "SELECT content FROM messages WHERE activity = ? AND number > ? ORDER BY number LIMIT ?",
            activity,
            after,
            _most(limit),
        )

    def find(self, query: Query) -> tuple[Sequence[Message], int]:
        """A page of messages, and how many there are in all.

        Rows are put in order by their numbers and columns alone; the messages of the page are read afterwards.
        """
        where, values = _restrictions(query, self.contains)
        total = int(self._rows(f"SELECT count(*) FROM messages{where}", *values)[0][0])  # noqa: S608 - our own words
        if query.limit == 0 or query.offset >= total:
            return (), total
        order = _order(query)
        if query.limit is None and not query.offset:
            statement = f"SELECT content FROM messages{where} ORDER BY {order}"  # noqa: S608 - our own words
            return self._messages(statement, *values), total
        limit = total if query.limit is None else query.limit
        statement = f"SELECT number FROM messages{where} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - our own words
        return self._numbered([number for (number,) in self._rows(statement, *values, limit, query.offset)]), total

    def _numbered(self, numbers: Sequence[int]) -> list[Message]:
        """The messages of these numbers, in this order."""
        found: dict[int, Message] = {}
        for start in range(0, len(numbers), PAGE):
            page = numbers[start : start + PAGE]
            marks = ", ".join("?" * len(page))
            for message in self._messages(f"SELECT content FROM messages WHERE number IN ({marks})", *page):  # noqa: S608 - marks alone
                found[message.number] = message
        return [found[number] for number in numbers]

    def _messages(self, statement: str, *values: Any) -> list[Message]:
        return [kept.read_message(content) for (content,) in self._rows(statement, *values)]

    def waiting(
        self, activity: str, before: datetime | None, after: int = 0, limit: int | None = None
    ) -> Sequence[Message]:
        """Imports that no run has taken, oldest first; only those enqueued before an instant where one is given."""
        until = "" if before is None else " AND enqueued < ?"
        values = () if before is None else (kept.micros(before),)
        return self._messages(
            f"SELECT content FROM messages WHERE activity = ? AND room = ? AND rank > ?{until} ORDER BY rank LIMIT ?",  # noqa: S608 - our words
            activity,
            kept.WAITING,
            after,
            *values,
            _most(limit),
        )

    def taken(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """Imports that a run has taken and that are not final, in the order of their turns."""
        return self._messages(
            "SELECT content FROM messages WHERE activity = ? AND room IN (?, ?) AND rank > ? ORDER BY rank LIMIT ?",
            activity,
            kept.TURN,
            kept.IN_PROCESS,
            after,
            _most(limit),
        )

    def first_taken(self, activity: str) -> Message | None:
        """The first of those that `taken` lists."""
        found = self._messages(
            "SELECT content FROM messages WHERE activity = ? AND room IN (?, ?) ORDER BY rank LIMIT 1",
            activity,
            kept.TURN,
            kept.IN_PROCESS,
        )
        return found[0] if found else None

    def in_line(self, activity: str, limit: int) -> Sequence[Message]:
        """Those that `taken` lists and whose turn will come, in the order of their turns: so many at most."""
        return self._messages(
            "SELECT content FROM messages WHERE activity = ? AND room = ? ORDER BY rank LIMIT ?",
            activity,
            kept.TURN,
            limit,
        )

    def load(self, activity: str, now: datetime) -> Load:
        """How full the queue of an activity is: counted in the index of those who wait."""
        waiting, in_process, oldest = 0, 0, None
        for room, is_later, count, earliest in self._rows(
            "SELECT room, later, count(*), min(enqueued) FROM"
            " (SELECT room, enqueued, CASE WHEN rank > ? THEN 1 ELSE 0 END AS later"
            " FROM messages WHERE activity = ? AND room IS NOT NULL) AS those GROUP BY room, later",
            kept.micros(now),
            activity,
        ):
            if room == kept.IN_PROCESS or (room == kept.QUEUE and is_later):
                in_process += count
            else:
                waiting += count
                oldest = earliest if oldest is None else min(oldest, earliest)
        return Load(waiting, in_process, None if oldest is None else kept.instant(oldest))

    def completed_between(self, activity: str, after: datetime, until: datetime) -> Sequence[Message]:
        """Messages completed after one instant and not after another (exports: acknowledged)."""
        return self._messages(
            "SELECT content FROM messages WHERE activity = ? AND ended > ? AND ended <= ? ORDER BY number",
            activity,
            kept.micros(after),
            kept.micros(until),
        )

    def lease(self, activity: str, now: datetime, deliver: Callable[[Message], Message]) -> Message | None:
        """Take the next message that is visible now, keep what `deliver` makes of it, and give that back."""
        next_of = self._next_in_place if self._original_place else self._next_in_time
        for lock in self.locks_next:
            content = next_of(activity, now, lock)
            if content is not None:
                message = deliver(kept.read_message(content))
                self.put_message(message)
                return message
        return None

    def _next_in_time(self, activity: str, now: datetime, lock: str) -> bytes | None:
        found = self._rows(
            "SELECT content FROM messages WHERE activity = ? AND room = ? AND rank <= ?"  # noqa: S608 - our own word
            f" ORDER BY rank, number LIMIT 1{lock}",
            activity,
            kept.QUEUE,
            kept.micros(now),
        )
        return found[0][0] if found else None

    def _next_in_place(self, activity: str, now: datetime, lock: str) -> bytes | None:
        """The first by number of those that are visible. Each moves to the front once, when its time has come."""
        if self._rows(
            "SELECT 1 FROM messages WHERE activity = ? AND room = ? AND rank <= ? LIMIT 1",
            activity,
            kept.QUEUE,
            kept.micros(now),
        ):
            self._change(
                "UPDATE messages SET room = ?, rank = number WHERE activity = ? AND room = ? AND rank <= ?",
                kept.FRONT,
                activity,
                kept.QUEUE,
                kept.micros(now),
            )
        found = self._rows(
            "SELECT content FROM messages WHERE activity = ? AND room = ?"  # noqa: S608 - our own word
            f" ORDER BY rank LIMIT 1{lock}",
            activity,
            kept.FRONT,
        )
        return found[0][0] if found else None

    def _back_to_the_queue(self) -> None:
        """Take everything from the front: whoever had the store before may have had another order of redelivery."""
        self._change("UPDATE messages SET room = ?, rank = visible_from WHERE room = ?", kept.QUEUE, kept.FRONT)

    def delete_message(self, identifier: str) -> None:
        """Forget a message: its row, its place in the queue, its deliveries and its blob."""
        message = self.message(identifier)
        if message is None:
            return
        self._change("DELETE FROM messages WHERE id = ?", identifier)
        self._change("DELETE FROM deliveries WHERE message = ?", identifier)
        if message.blob is not None:
            self.delete_blob(message.blob)

    def put_delivery(self, delivery: Delivery) -> None:
        """Remember what a dequeue handed out."""
        self._change(
            "INSERT INTO deliveries (correlation, blob_name, message) VALUES (?, ?, ?)"
            " ON CONFLICT (correlation) DO UPDATE SET blob_name = excluded.blob_name, message = excluded.message",
            delivery.correlation,
            delivery.blob_name,
            delivery.message,
        )

    def delivery(self, correlation: str) -> Delivery | None:
        """The delivery with this CorrelationId."""
        found = self._rows("SELECT blob_name, message FROM deliveries WHERE correlation = ?", correlation)
        return Delivery(correlation, *found[0]) if found else None

    # Blobs

    def put_blob(self, identifier: str, content: bytes, expires: datetime) -> None:
        """Keep a file until an instant; from then on `drop_blobs` may take it."""
        self._drop_contents(self._elsewhere("id = ?", identifier))
        inside, elsewhere = self._put_content(identifier, content)
        self._change(
            "INSERT INTO blobs (id, expires, content, elsewhere) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " expires = excluded.expires, content = excluded.content, elsewhere = excluded.elsewhere",
            identifier,
            kept.micros(expires),
            inside,
            elsewhere,
        )

    def blob(self, identifier: str) -> bytes | None:
        """The file of this ID; None when it is no longer there."""
        found = self._rows("SELECT content, elsewhere FROM blobs WHERE id = ?", identifier)
        if not found:
            return None
        inside, elsewhere = found[0]
        return bytes(inside) if elsewhere is None else self._content_at(elsewhere)

    def blob_expires(self, identifier: str) -> datetime | None:
        """The instant until which a file is kept; None when it is no longer there."""
        found = self._rows("SELECT expires FROM blobs WHERE id = ?", identifier)
        return kept.instant(found[0][0]) if found else None

    def delete_blob(self, identifier: str) -> None:
        """Delete a file, if it is there."""
        self._drop_contents(self._elsewhere("id = ?", identifier))
        self._change("DELETE FROM blobs WHERE id = ?", identifier)

    def drop_blobs(self, now: datetime) -> datetime | None:
        """Delete the files that have expired by now, and say when the next one will."""
        self._drop_contents(self._elsewhere("expires <= ?", kept.micros(now)))
        self._change("DELETE FROM blobs WHERE expires <= ?", kept.micros(now))
        following = self._rows("SELECT min(expires) FROM blobs")[0][0]
        return None if following is None else kept.instant(following)

    def _elsewhere(self, condition: str, value: Any) -> list[str]:
        """The names of the files of some blobs."""
        found = self._rows(f"SELECT elsewhere FROM blobs WHERE {condition} AND elsewhere IS NOT NULL", value)  # noqa: S608 - our own words
        return [name for (name,) in found]

    # Target tables

    def records(self, company: str, entity: str) -> Sequence[Record]:
        """The target table of an entity in a legal entity, in the order of the first import of each key."""
        found = self._rows(
            "SELECT content FROM records WHERE company = ? AND entity = ? ORDER BY position", company, entity
        )
        return [kept.read_record(content) for (content,) in found]

    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add records to a target table or replace those of equal key. `keys` are the columns of the key."""
        self._change_many(
            _PUT_RECORD,
            ((company, entity, kept.key_of(record, keys), kept.encoded(_as_dict(record))) for record in records),
        )

    def replace(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Let a target table hold these records and no others."""
        self._change("DELETE FROM records WHERE company = ? AND entity = ?", company, entity)
        self.upsert(company, entity, keys, records)

    # Executions and batch history

    def put_execution(self, execution: Execution) -> None:
        """Add an execution or replace the one of this ID."""
        self._change(
            "INSERT INTO executions (id, content) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET content = excluded.content",
            execution.id,
            kept.encoded(execution),
        )

    def execution(self, identifier: str) -> Execution | None:
        """The execution of this ID."""
        found = self._rows("SELECT content FROM executions WHERE id = ?", identifier)
        return kept.read_execution(found[0][0]) if found else None

    def put_run(self, run: BatchRun) -> None:
        """Add a batch history record or replace the one of this ID."""
        self._change(
            "INSERT INTO runs (id, activity, content) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET activity = excluded.activity, content = excluded.content",
            run.id,
            run.activity,
            kept.encoded(run),
        )

    def run(self, identifier: str) -> BatchRun | None:
        """The batch history record of this ID."""
        found = self._rows("SELECT content FROM runs WHERE id = ?", identifier)
        return kept.read_run(found[0][0]) if found else None

    def runs(self, identifiers: Sequence[str]) -> Sequence[BatchRun]:
        """The batch history records of these IDs, as far as there are any, in whatever order."""
        found: list[BatchRun] = []
        for start in range(0, len(identifiers), PAGE):
            page = identifiers[start : start + PAGE]
            marks = ", ".join("?" * len(page))
            rows = self._rows(f"SELECT content FROM runs WHERE id IN ({marks})", *page)  # noqa: S608 - marks alone
            found += [kept.read_run(content) for (content,) in rows]
        return found

    def runs_of(self, activity: str) -> Sequence[BatchRun]:
        """An activity's batch history, oldest first."""
        found = self._rows("SELECT content FROM runs WHERE activity = ? ORDER BY position", activity)
        return [kept.read_run(content) for (content,) in found]

    def delete_runs(self, activity: str) -> None:
        """Delete an activity's batch history."""
        self._change("DELETE FROM runs WHERE activity = ?", activity)

    def put_sample(self, sample: Sample) -> None:
        """Add what a monitoring recurrence saw."""
        self._change("INSERT INTO samples (activity, content) VALUES (?, ?)", sample.activity, kept.encoded(sample))
        self._change(
            "DELETE FROM samples WHERE activity = ? AND position <= (SELECT position FROM samples WHERE activity = ?"
            " ORDER BY position DESC LIMIT 1 OFFSET ?)",
            sample.activity,
            sample.activity,
            MOST_SAMPLES,
        )

    def samples_of(self, activity: str, offset: int = 0, limit: int | None = None) -> Sequence[Sample]:
        """What an activity's monitoring recurrence saw, oldest first: from so many on, and so many at most."""
        found = self._rows(
            "SELECT content FROM samples WHERE activity = ? ORDER BY position LIMIT ? OFFSET ?",
            activity,
            _most(limit),
            offset,
        )
        return [kept.read_sample(content) for (content,) in found]

    # Moments

    def plan(self, at: datetime, kind: str, subject: str) -> None:
        """Plan a moment, instead of the one of this kind and subject if there is one."""
        self._change(
            "INSERT INTO moments (kind, subject, at, number) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, subject) DO UPDATE SET at = excluded.at, number = excluded.number",
            kind,
            subject,
            kept.micros(at),
            self.next_number(MOMENTS),
        )

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is."""
        found = self._rows("SELECT at FROM moments WHERE kind = ? AND subject = ?", kind, subject)
        return kept.instant(found[0][0]) if found else None

    def planned_within(self, kind: str, owner: str) -> tuple[int, datetime | None]:
        """How many moments of a kind there are with a subject `OWNER/…`, and when the earliest of them is."""
        count, earliest = self._rows(
            "SELECT count(*), min(at) FROM moments WHERE kind = ? AND subject > ? AND subject < ?",
            kind,
            f"{owner}/",
            f"{owner}0",  # The next character in the order of code points.
        )[0]
        return count, None if earliest is None else kept.instant(earliest)

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""
        self._change("DELETE FROM moments WHERE kind = ? AND subject = ?", kind, subject)

    def next_due(self) -> datetime | None:
        """The earliest moment planned."""
        earliest = self._rows("SELECT min(at) FROM moments")[0][0]
        return None if earliest is None else kept.instant(earliest)

    def take_due(self, now: datetime) -> Due | None:
        """Take the earliest moment that is not after now; within its unit of work nobody else takes another."""
        found = self._rows(
            f"SELECT at, number, kind, subject FROM moments WHERE at <= ? ORDER BY at, number LIMIT 1{self.lock}",  # noqa: S608 - our own word
            kept.micros(now),
        )
        if not found:
            return None
        at, number, kind, subject = found[0]
        self._change("DELETE FROM moments WHERE kind = ? AND subject = ?", kind, subject)
        return Due(kept.instant(at), number, kind, subject)


def _most(limit: int | None) -> int:
    """A LIMIT that both databases understand, where there may be none."""
    return _UNLIMITED if limit is None else limit


_UNLIMITED: Final = 2**62


def _restrictions(query: Query, contains: str) -> tuple[str, list[Any]]:
    """The WHERE of a query and its values."""
    conditions: list[str] = []
    values: list[Any] = []
    if query.activity is not None:
        conditions.append("activity = ?")
        values.append(query.activity)
    if query.statuses is not None:
        conditions.append(f"status IN ({', '.join('?' * len(query.statuses))})" if query.statuses else "1 = 0")
        values += sorted(query.statuses)
    if query.enqueued_from is not None:
        conditions.append("enqueued >= ?")
        values.append(kept.micros(query.enqueued_from))
    if query.enqueued_until is not None:
        conditions.append("enqueued <= ?")
        values.append(kept.micros(query.enqueued_until))
    if query.text:
        columns = ("id", "entity_folded", "external_folded")
        conditions.append(f"({' OR '.join(contains.format(column) for column in columns)})")
        values += [query.text.casefold()] * len(columns)
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _order(query: Query) -> str:
    """The ORDER BY of a query: nothing comes last in ascending order, equal rows stay in the order of arrival."""
    way = "DESC" if query.descending else "ASC"
    if query.order_by == "number":
        return f"number {way}"
    if query.order_by in _NEVER_EMPTY:
        return f"{query.order_by} {way}, number"
    return f"({query.order_by} IS NULL) {way}, {query.order_by} {way}, number"


_NEVER_EMPTY: Final = {"id", "status", "enqueued", "uploaded", "retries"}


def _as_dict(record: Mapping[str, str]) -> dict[str, str]:
    return record if isinstance(record, dict) else dict(record)
