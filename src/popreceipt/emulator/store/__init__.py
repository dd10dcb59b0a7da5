"""What the emulator remembers, behind an interface that a durable backend can offer too.

Each request, and each moment that falls due, is one unit of work (`work`): all of it is kept or none. What must not
happen twice is one call (a lease, the taking of a due moment), so that a database can do it under a row lock. Nothing
here is a function or an object of the running process: whoever opens the store next goes on where the last one
stopped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.message import Message

Record = Mapping[str, str]

MOST_SAMPLES: Final = 100_000
"""So many samples of an activity are kept, ten weeks of one every minute; then the oldest go."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """What a dequeue handed out: a CorrelationId, the public name of a blob, and whose they are."""

    correlation: str
    blob_name: str
    message: str


class Due(msgspec.Struct, frozen=True):
    """A moment that will come: what is to be done (`kind`, and to what, `subject`) at an instant.

    There is at most one moment of a kind and subject. `number` tells equal instants apart by when they were planned.
    """

    at: datetime
    number: int
    kind: str
    subject: str


class BatchRun(msgspec.Struct, frozen=True, kw_only=True):
    """A batch history record: one run of an activity's batch job over one message.

    `status` is a name of the batch framework's own enumeration (Waiting, Executing, Finished, Error, …), which is
    another than the message's.
    """

    id: str
    activity: str
    message: str
    status: str
    started: datetime
    ended: datetime | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitoring recurrence saw of an activity's queue.

    `oldest` is when the message that has waited longest was enqueued. `processed` counts what was completed since the
    sample before, `slowest` and `mean` are the seconds that those took from their enqueue to their completion.
    """

    activity: str
    at: datetime
    waiting: int
    in_process: int
    oldest: datetime | None = None
    processed: int = 0
    mean: float | None = None
    slowest: float | None = None


class Load(msgspec.Struct, frozen=True):
    """The queue of an activity at an instant.

    Imports wait until they are started and are then in process until they are final. Exports wait while a dequeue
    would be offered them, and are in process while they are hidden by a lease.
    """

    waiting: int
    in_process: int
    oldest: datetime | None


Column = Literal[
    "number",
    "id",
    "status",
    "entity",
    "external_identifier",
    "enqueued",
    "started",
    "completed",
    "last_dequeued",
    "last_downloaded",
    "acknowledged",
    "total_records",
    "uploaded",
    "batch_status",
    "retries",
]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages, in which order, from where: what a grid asks for. Each restriction given must be met.

    `text` is looked for in ID, entity and external identifier, in any letter case. `enqueued_until` includes its
    instant. None comes last in ascending order. Equal rows stay in the order of arrival.
    """

    activity: str | None = None
    statuses: frozenset[str] | None = None
    text: str | None = None
    enqueued_from: datetime | None = None
    enqueued_until: datetime | None = None
    order_by: Column = "number"
    descending: bool = False
    offset: int = 0
    limit: int | None = None


class NotKept(Exception):
    """What was done could not be kept and is undone: the disk is full, say, or the database is gone."""


class Conflict(NotKept):
    """The same, because another process came in between. Done again from the start it will be kept."""


class Store(Protocol):
    """Projects, activities, messages, blobs, target tables, executions, moments. IDs are bare GUIDs in lower case."""

    def work(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """One unit of work around a request or a due moment: kept at its end, undone when it raises.

        Inside another it is part of that. With `alone` no other process has a unit of work meanwhile.
        """

    def clear(self) -> None:
        """Forget everything but the settings."""

    def generation(self) -> int:
        """How often this store had been opened before: 0 unless it outlives its process."""

    def next_number(self, counter: str = "messages") -> int:
        """A number greater than all before of this counter. A number may be left out, never given twice."""

    def setting(self, name: str) -> str | None:
        """What was noted under a name. Settings survive `clear`."""

    def held_setting(self, name: str) -> str | None:
        """The same. Within a unit of work nobody else who asks so gets an answer from then on."""

    def put_setting(self, name: str, value: str | None) -> None:
        """Note something under a name; None takes it away."""

    # Projects and activities

    def put_project(self, project: Project) -> None:
        """Add a data project or replace the one of this ID."""

    def project(self, identifier: str) -> Project | None:
        """The data project of this ID."""

    def projects(self) -> Sequence[Project]:
        """All of them, oldest first."""

    def put_activity(self, activity: Activity) -> None:
        """Add an activity or replace the one of this ID."""

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID."""

    def activities(self) -> Sequence[Activity]:
        """All of them, oldest first."""

    # Messages

    def put_message(self, message: Message) -> None:
        """Add a message or replace the one of this ID; it is in its activity's queue exactly while `queued`."""

    def message(self, identifier: str) -> Message | None:
        """The message of this ID. Within a unit of work nobody else changes it from then on."""

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """An activity's messages, oldest first: those of greater numbers than `after`, so many at most."""

    def find(self, query: Query) -> tuple[Sequence[Message], int]:
        """A page of messages, and how many there are in all. It reads the page, not everything."""

    def waiting(
        self, activity: str, before: datetime | None, after: int = 0, limit: int | None = None
    ) -> Sequence[Message]:
        """Imports that no run has taken, oldest first; only those enqueued before an instant where one is given.

        Those of greater numbers than `after`, so many at most.
        """

    def taken(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """Imports that a run has taken and that are not final: those in process and those whose turn will come.

        In the order of their turns: those of later ones than `after`, so many at most.
        """

    def first_taken(self, activity: str) -> Message | None:
        """The first of those that `taken` lists. It reads one, however many there are."""

    def in_line(self, activity: str, limit: int) -> Sequence[Message]:
        """Those that `taken` lists and whose turn will come, in the order of their turns: so many at most."""

    def load(self, activity: str, now: datetime) -> Load:
        """How full the queue of an activity is. It counts, it does not read messages."""

    def completed_between(self, activity: str, after: datetime, until: datetime) -> Sequence[Message]:
        """Messages completed after one instant and not after another (exports: acknowledged)."""

    def lease(self, activity: str, now: datetime, deliver: Callable[[Message], Message]) -> Message | None:
        """Take the next message that is visible now, keep what `deliver` makes of it, and give that back."""

    def delete_message(self, identifier: str) -> None:
        """Forget a message: its row, its place in the queue, its deliveries and its blob."""

    def put_delivery(self, delivery: Delivery) -> None:
        """Remember what a dequeue handed out."""

    def delivery(self, correlation: str) -> Delivery | None:
        """The delivery with this CorrelationId."""

    # Blobs

    def put_blob(self, identifier: str, content: bytes, expires: datetime) -> None:
        """Keep a file until an instant; from then on `drop_blobs` may take it."""

    def blob(self, identifier: str) -> bytes | None:
        """The file of this ID; None when it is no longer there."""

    def blob_expires(self, identifier: str) -> datetime | None:
        """The instant until which a file is kept; None when it is no longer there."""

    def delete_blob(self, identifier: str) -> None:
        """Delete a file, if it is there."""

    def drop_blobs(self, now: datetime) -> datetime | None:
        """Delete the files that have expired by now, and say when the next one will."""

    # Target tables

    def records(self, company: str, entity: str) -> Sequence[Record]:
        """The target table of an entity in a legal entity, in the order of the first import of each key."""

    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add records to a target table or replace those of equal key. `keys` are the columns of the key."""

    def replace(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Let a target table hold these records and no others."""

    # Executions and batch history

    def put_execution(self, execution: Execution) -> None:
        """Add an execution or replace the one of this ID."""

    def execution(self, identifier: str) -> Execution | None:
        """The execution of this ID."""

    def put_run(self, run: BatchRun) -> None:
        """Add a batch history record or replace the one of this ID."""

    def run(self, identifier: str) -> BatchRun | None:
        """The batch history record of this ID."""

    def runs(self, identifiers: Sequence[str]) -> Sequence[BatchRun]:
        """The batch history records of these IDs, as far as there are any, in whatever order."""

    def runs_of(self, activity: str) -> Sequence[BatchRun]:
        """An activity's batch history, oldest first."""

    def delete_runs(self, activity: str) -> None:
        """Delete an activity's batch history."""

    def put_sample(self, sample: Sample) -> None:
        """Add what a monitoring recurrence saw; of an activity the newest `MOST_SAMPLES` are kept."""

    def samples_of(self, activity: str, offset: int = 0, limit: int | None = None) -> Sequence[Sample]:
        """What an activity's monitoring recurrence saw, oldest first: from so many on, and so many at most."""

    # Moments

    def plan(self, at: datetime, kind: str, subject: str) -> None:
        """Plan a moment, instead of the one of this kind and subject if there is one."""

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is."""

    def planned_within(self, kind: str, owner: str) -> tuple[int, datetime | None]:
        """How many moments of a kind there are with a subject `OWNER/…`, and when the earliest of them is."""

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""

    def next_due(self) -> datetime | None:
        """The earliest moment planned."""

    def take_due(self, now: datetime) -> Due | None:
        """Take the earliest moment that is not after now; within its unit of work nobody else takes another."""


class GroupedStore(Protocol):
    """A durable store that lets several units of work share one commit."""

    grouped: bool
    """Whether units of work wait for `commit`. By itself each is kept at its end."""

    @property
    def is_uncommitted(self) -> bool:
        """Whether something was written that `commit` has to keep."""

    def commit(self) -> None:
        """Keep what the units of work since the last commit have done.

        Raises:
            NotKept: it could not be kept, and nothing of it was.
        """

    def undo(self) -> None:
        """Undo what the units of work since the last commit have done."""
