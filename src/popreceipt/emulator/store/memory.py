"""The store that lives and dies with its process: dictionaries, and a lease queue an activity."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.message import Message
from popreceipt.emulator.queue import LeaseQueue
from popreceipt.emulator.store import Delivery, Record
from popreceipt.vocabulary import ENQUEUED

QueuePolicy = Callable[[], LeaseQueue]


class _Desk:
    """What belongs to one activity: its messages in the order of arrival, its queue, and the imports that wait."""

    def __init__(self, queue: LeaseQueue) -> None:
        self.messages: dict[str, None] = {}
        self.queue = queue
        self.waiting: dict[str, None] = {}


class MemoryStore:
    """Everything in dictionaries. `queue` makes the queue of a new activity."""

    def __init__(self, queue: QueuePolicy = LeaseQueue) -> None:
        self._new_queue = queue
        self._work = nullcontext()
        self.clear()

    def work(self) -> AbstractContextManager[None]:
        """Nothing to commit: what is written is there."""
        return self._work

    def clear(self) -> None:
        """Forget everything."""
        self._number = 0
        self._activities: dict[str, Activity] = {}
        self._desks: dict[str, _Desk] = {}
        self._messages: dict[str, Message] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._delivered: dict[str, list[str]] = {}
        self._blobs: dict[str, bytes] = {}
        self._tables: dict[tuple[str, str], dict[str, Record]] = {}
        self._executions: dict[str, Execution] = {}

    def put_activity(self, activity: Activity) -> None:
        """Add an activity or replace the one of this ID."""
        self._activities[activity.id] = activity
        if activity.id not in self._desks:
            self._desks[activity.id] = _Desk(self._new_queue())

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID."""
        return self._activities.get(identifier)

    def activities(self) -> Sequence[Activity]:
        """All of them, oldest first."""
        return list(self._activities.values())

    def next_number(self) -> int:
        """A number greater than all before."""
        self._number += 1
        return self._number

    def put_message(self, message: Message) -> None:
        """Add a message or replace the one of this ID, and bring queue and waiting room in line."""
        self._messages[message.id] = message
        desk = self._desks[message.activity]
        desk.messages[message.id] = None
        if message.visible_from is not None:
            if message.queued:
                desk.queue.offer(message.id, message.number, message.visible_from)
            else:
                desk.queue.withdraw(message.id)
        elif message.status == ENQUEUED and message.taken is None:
            desk.waiting[message.id] = None
        else:
            desk.waiting.pop(message.id, None)

    def message(self, identifier: str) -> Message | None:
        """The message of this ID."""
        return self._messages.get(identifier)

    def messages_of(self, activity: str) -> Sequence[Message]:
        """An activity's messages, oldest first."""
        return [self._messages[one] for one in self._desks[activity].messages]

    def waiting(self, activity: str, before: datetime | None) -> Sequence[Message]:
        """Imports that no run has taken, oldest first."""
        found = (self._messages[one] for one in self._desks[activity].waiting)
        return [message for message in found if before is None or message.enqueued < before]

    def lease(self, activity: str, now: datetime, deliver: Callable[[Message], Message]) -> Message | None:
        """Take the next message that is visible now, keep what `deliver` makes of it, and give that back."""
        identifier = self._desks[activity].queue.take(now)
        if identifier is None:
            return None
        message = deliver(self._messages[identifier])
        self.put_message(message)
        return message

    def delete_message(self, identifier: str) -> None:
        """Forget a message: its row, its place in the queue, its deliveries and its blob."""
        message = self._messages.pop(identifier, None)
        if message is None:
            return
        desk = self._desks[message.activity]
        del desk.messages[identifier]
        desk.waiting.pop(identifier, None)
        desk.queue.withdraw(identifier)
        for correlation in self._delivered.pop(identifier, ()):
            del self._deliveries[correlation]
        if message.blob is not None:
            self.delete_blob(message.blob)

    def put_delivery(self, delivery: Delivery) -> None:
        """Remember what a dequeue handed out."""
        self._deliveries[delivery.correlation] = delivery
        self._delivered.setdefault(delivery.message, []).append(delivery.correlation)

    def delivery(self, correlation: str) -> Delivery | None:
        """The delivery with this CorrelationId."""
        return self._deliveries.get(correlation)

    def put_blob(self, identifier: str, content: bytes) -> None:
        """Keep a file."""
        self._blobs[identifier] = content

    def blob(self, identifier: str) -> bytes | None:
        """The file of this ID; None when it is no longer there."""
        return self._blobs.get(identifier)

    def delete_blob(self, identifier: str) -> None:
        """Delete a file, if it is there."""
        self._blobs.pop(identifier, None)

    def records(self, company: str, entity: str) -> Sequence[Record]:
        """The target table of an entity in a legal entity, in the order of the first import of each key."""
        return list(self._tables.get((company, entity), {}).values())

    def upsert(self, company: str, entity: str, key: str, records: Iterable[Record]) -> None:
        """Add records to a target table or replace those of equal key."""
        table = self._tables.setdefault((company, entity), {})
        for record in records:
            table[record[key]] = record

    def replace(self, company: str, entity: str, key: str, records: Iterable[Record]) -> None:
        """Let a target table hold these records and no others."""
        self._tables[company, entity] = {record[key]: record for record in records}

    def put_execution(self, execution: Execution) -> None:
        """Add an execution or replace the one of this ID."""
        self._executions[execution.id] = execution

    def execution(self, identifier: str) -> Execution | None:
        """The execution of this ID."""
        return self._executions.get(identifier)
