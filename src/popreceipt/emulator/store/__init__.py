"""What the emulator remembers, behind an interface that a durable backend can offer too.

Each request is one unit of work (`work`): all of it is kept or none. Leasing is one call, so that a database can do it
under one row lock.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.message import Message

Record = Mapping[str, str]


class Delivery(msgspec.Struct, frozen=True):
    """What a dequeue handed out: a CorrelationId, the public name of a blob, and whose they are."""

    correlation: str
    blob_name: str
    message: str


class Store(Protocol):
    """Activities, messages, blobs, target tables and executions. Identifiers are bare GUIDs in lower case."""

    def work(self) -> AbstractContextManager[None]:
        """One unit of work around a request or a due moment. Inside another it is part of that."""

    def clear(self) -> None:
        """Forget everything."""

    def put_activity(self, activity: Activity) -> None:
        """Add an activity or replace the one of this ID."""

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID."""

    def activities(self) -> Sequence[Activity]:
        """All of them, oldest first."""

    def next_number(self) -> int:
        """A number greater than all before: the place of a new message in the order of arrival."""

    def put_message(self, message: Message) -> None:
        """Add a message or replace the one of this ID; it is in its activity's queue exactly while `queued`."""

    def message(self, identifier: str) -> Message | None:
        """The message of this ID."""

    def messages_of(self, activity: str) -> Sequence[Message]:
        """An activity's messages, oldest first."""

    def waiting(self, activity: str, before: datetime | None) -> Sequence[Message]:
        """Imports that no run has taken, oldest first; only those enqueued before an instant where one is given."""

    def lease(self, activity: str, now: datetime, deliver: Callable[[Message], Message]) -> Message | None:
        """Take the next message that is visible now, keep what `deliver` makes of it, and give that back."""

    def delete_message(self, identifier: str) -> None:
        """Forget a message: its row, its place in the queue, its deliveries and its blob."""

    def put_delivery(self, delivery: Delivery) -> None:
        """Remember what a dequeue handed out."""

    def delivery(self, correlation: str) -> Delivery | None:
        """The delivery with this CorrelationId."""

    def put_blob(self, identifier: str, content: bytes) -> None:
        """Keep a file."""

    def blob(self, identifier: str) -> bytes | None:
        """The file of this ID; None when it is no longer there."""

    def delete_blob(self, identifier: str) -> None:
        """Delete a file, if it is there."""

    def records(self, company: str, entity: str) -> Sequence[Record]:
        """The target table of an entity in a legal entity, in the order of the first import of each key."""

    def upsert(self, company: str, entity: str, key: str, records: Iterable[Record]) -> None:
        """Add records to a target table or replace those of equal key."""

    def replace(self, company: str, entity: str, key: str, records: Iterable[Record]) -> None:
        """Let a target table hold these records and no others."""

    def put_execution(self, execution: Execution) -> None:
        """Add an execution or replace the one of this ID."""

    def execution(self, identifier: str) -> Execution | None:
        """The execution of this ID."""
