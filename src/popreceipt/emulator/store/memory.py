"""The store that lives and dies with its process: dictionaries, and a lease queue an activity."""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.message import FINAL, Message
from popreceipt.emulator.queue import LeaseQueue
from popreceipt.emulator.store import MOST_SAMPLES, BatchRun, Delivery, Due, Load, Query, Record, Sample
from popreceipt.vocabulary import ENQUEUED

QueuePolicy = Callable[[], LeaseQueue]

_NEVER = datetime.max.replace(tzinfo=UTC)


class _Desk:
    """What belongs to one activity: its messages in the order of arrival, its queue, what waits and what is taken."""

    def __init__(self, queue: LeaseQueue) -> None:
        self.messages: dict[str, None] = {}
        self.queue = queue
        self.waiting: dict[str, None] = {}
        self.taken: dict[str, int] = {}
        self.turns: list[tuple[int, str]] = []
        self.runs: dict[str, None] = {}
        self.samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)


class MemoryStore:
    """Everything in dictionaries. `queue` makes the queue of a new activity."""

    def __init__(self, queue: QueuePolicy = LeaseQueue) -> None:
        self._new_queue = queue
        self._work = nullcontext()
        self._settings: dict[str, str] = {}
        self.clear()

    def work(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """Nothing to commit: what is written is there. Nothing is undone either when it raises."""
        del alone  # Nobody else is here.
        return self._work

    def clear(self) -> None:
        """Forget everything but the settings."""
        self._numbers: Counter[str] = Counter()
        self._projects: dict[str, Project] = {}
        self._activities: dict[str, Activity] = {}
        self._desks: dict[str, _Desk] = {}
        self._messages: dict[str, Message] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._delivered: dict[str, list[str]] = {}
        self._blobs: dict[str, tuple[bytes, datetime]] = {}
        self._expiries: list[tuple[datetime, str]] = []
        self._tables: dict[tuple[str, str], dict[tuple[str, ...], Record]] = defaultdict(dict)
        self._executions: dict[str, Execution] = {}
        self._runs: dict[str, BatchRun] = {}
        self._moments: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._due: list[tuple[datetime, int, str, str]] = []
        self._planned = 0

    def generation(self) -> int:
        """It was never opened before."""
        return 0

    def next_number(self, counter: str = "messages") -> int:
        """A number greater than all before of this counter."""
        self._numbers[counter] += 1
        return self._numbers[counter]

    def setting(self, name: str) -> str | None:
        """What was noted under a name."""
        return self._settings.get(name)

    def held_setting(self, name: str) -> str | None:
        """The same: nobody else asks."""
        return self._settings.get(name)

    def put_setting(self, name: str, value: str | None) -> None:
        """Note something under a name; None takes it away."""
        if value is None:
            self._settings.pop(name, None)
        else:
            self._settings[name] = value

    # Projects and activities

    def put_project(self, project: Project) -> None:
        """Add a data project or replace the one of this ID."""
        self._projects[project.id] = project

    def project(self, identifier: str) -> Project | None:
        """The data project of this ID."""
        return self._projects.get(identifier)

    def projects(self) -> Sequence[Project]:
        """All of them, oldest first."""
        return list(self._projects.values())

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

    # Messages

    def put_message(self, message: Message) -> None:
        """Add a message or replace the one of this ID, and bring queue, waiting room and turns in line."""
        self._messages[message.id] = message
        desk = self._desks[message.activity]
        desk.messages[message.id] = None
        if message.visible_from is not None:
            if message.queued:
                desk.queue.offer(message.id, message.number, message.visible_from)
            else:
                desk.queue.withdraw(message.id)
            return
        desk.waiting.pop(message.id, None)
        if message.turn is None or message.status in FINAL:
            desk.taken.pop(message.id, None)
            if message.status == ENQUEUED:
                desk.waiting[message.id] = None
        elif desk.taken.get(message.id) != message.turn:
            desk.taken[message.id] = message.turn
            heapq.heappush(desk.turns, (message.turn, message.id))

    def message(self, identifier: str) -> Message | None:
        """The message of this ID."""
        return self._messages.get(identifier)

    def messages_of(self, activity: str) -> Sequence[Message]:
        """An activity's messages, oldest first."""
        return [self._messages[one] for one in self._desks[activity].messages]

    def find(self, query: Query) -> tuple[Sequence[Message], int]:
        """A page of messages, and how many there are in all."""
        if query.activity is None:
            every: Iterable[Message] = self._messages.values()
        else:
            desk = self._desks.get(query.activity)
            every = () if desk is None else (self._messages[one] for one in desk.messages)
        found = [message for message in every if _meets(message, query)]
        found.sort(key=attrgetter("number"))
        if query.order_by != "number":
            found.sort(key=lambda one: _place(getattr(one, query.order_by)), reverse=query.descending)
        elif query.descending:
            found.reverse()
        end = None if query.limit is None else query.offset + query.limit
        return found[query.offset : end], len(found)

    def waiting(self, activity: str, before: datetime | None) -> Sequence[Message]:
        """Imports that no run has taken, oldest first."""
        found = [self._messages[one] for one in self._desks[activity].waiting]
        found.sort(key=attrgetter("number"))
        return [message for message in found if before is None or message.enqueued < before]

    def taken(self, activity: str) -> Sequence[Message]:
        """Imports that a run has taken and that are not final, in the order of their turns."""
        turns = self._desks[activity].taken
        return [self._messages[one] for one in sorted(turns, key=turns.__getitem__)]

    def first_taken(self, activity: str) -> Message | None:
        """The first of those that `taken` lists."""
        desk = self._desks[activity]
        while desk.turns:
            turn, identifier = desk.turns[0]
            if desk.taken.get(identifier) == turn:
                return self._messages[identifier]
            heapq.heappop(desk.turns)  # Final, deleted, or of another turn by now.
        return None

    def load(self, activity: str, now: datetime) -> Load:
        """How full the queue of an activity is."""
        desk = self._desks[activity]
        queued = [self._messages[one] for one in desk.queue]
        if queued:
            visible = [one for one in queued if one.visible_from is not None and one.visible_from <= now]
            oldest = min((one.enqueued for one in visible), default=None)
            return Load(len(visible), len(queued) - len(visible), oldest)
        turns = [self._messages[one] for one in desk.taken]
        waiting = [self._messages[one] for one in desk.waiting]
        waiting += [one for one in turns if one.status == ENQUEUED]
        in_process = sum(one.status != ENQUEUED for one in turns)
        return Load(len(waiting), in_process, min((one.enqueued for one in waiting), default=None))

    def completed_between(self, activity: str, after: datetime, until: datetime) -> Sequence[Message]:
        """Messages completed after one instant and not after another."""
        found = []
        for message in self.messages_of(activity):
            end = message.completed if message.visible_from is None else message.acknowledged
            if end is not None and after < end <= until:
                found.append(message)
        return found

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
        desk.taken.pop(identifier, None)
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

    # Blobs

    def put_blob(self, identifier: str, content: bytes, expires: datetime) -> None:
        """Keep a file until an instant."""
        self._blobs[identifier] = (content, expires)
        heapq.heappush(self._expiries, (expires, identifier))

    def blob(self, identifier: str) -> bytes | None:
        """The file of this ID; None when it is no longer there."""
        held = self._blobs.get(identifier)
        return None if held is None else held[0]

    def blob_expires(self, identifier: str) -> datetime | None:
        """The instant until which a file is kept; None when it is no longer there."""
        held = self._blobs.get(identifier)
        return None if held is None else held[1]

    def delete_blob(self, identifier: str) -> None:
        """Delete a file, if it is there."""
        self._blobs.pop(identifier, None)

    def drop_blobs(self, now: datetime) -> datetime | None:
        """Delete the files that have expired by now, and say when the next one will."""
        while self._expiries:
            expires, identifier = self._expiries[0]
            is_gone = self.blob_expires(identifier) != expires
            if not is_gone and expires > now:
                return expires
            heapq.heappop(self._expiries)
            if not is_gone:
                del self._blobs[identifier]
        return None

    # Target tables

    def records(self, company: str, entity: str) -> Sequence[Record]:
        """The target table of an entity in a legal entity, in the order of the first import of each key."""
        return list(self._tables[company, entity].values())

    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add records to a target table or replace those of equal key."""
        table = self._tables[company, entity]
        for record in records:
            table[tuple([record[key] for key in keys])] = record

    def replace(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Let a target table hold these records and no others."""
        self._tables[company, entity] = {}
        self.upsert(company, entity, keys, records)

    # Executions and batch history

    def put_execution(self, execution: Execution) -> None:
        """Add an execution or replace the one of this ID."""
        self._executions[execution.id] = execution

    def execution(self, identifier: str) -> Execution | None:
        """The execution of this ID."""
        return self._executions.get(identifier)

    def put_run(self, run: BatchRun) -> None:
        """Add a batch history record or replace the one of this ID."""
        self._runs[run.id] = run
        self._desks[run.activity].runs[run.id] = None

    def run(self, identifier: str) -> BatchRun | None:
        """The batch history record of this ID."""
        return self._runs.get(identifier)

    def runs_of(self, activity: str) -> Sequence[BatchRun]:
        """An activity's batch history, oldest first."""
        return [self._runs[one] for one in self._desks[activity].runs]

    def delete_runs(self, activity: str) -> None:
        """Delete an activity's batch history."""
        desk = self._desks[activity]
        for identifier in desk.runs:
            del self._runs[identifier]
        desk.runs.clear()

    def put_sample(self, sample: Sample) -> None:
        """Add what a monitoring recurrence saw."""
        self._desks[sample.activity].samples.append(sample)

    def samples_of(self, activity: str) -> Sequence[Sample]:
        """What an activity's monitoring recurrence saw, oldest first."""
        return list(self._desks[activity].samples)

    # Moments

    def plan(self, at: datetime, kind: str, subject: str) -> None:
        """Plan a moment, instead of the one of this kind and subject if there is one."""
        self._planned += 1
        self._moments[kind, subject] = (at, self._planned)
        heapq.heappush(self._due, (at, self._planned, kind, subject))

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is."""
        planned = self._moments.get((kind, subject))
        return None if planned is None else planned[0]

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""
        self._moments.pop((kind, subject), None)

    def next_due(self) -> datetime | None:
        """The earliest moment planned."""
        while self._due:
            at, number, kind, subject = self._due[0]
            if self._moments.get((kind, subject)) == (at, number):
                return at
            heapq.heappop(self._due)  # Planned anew or cancelled in the meantime.
        return None

    def take_due(self, now: datetime) -> Due | None:
        """Take the earliest moment that is not after now."""
        earliest = self.next_due()
        if earliest is None or earliest > now:
            return None
        at, number, kind, subject = heapq.heappop(self._due)
        del self._moments[kind, subject]
        return Due(at, number, kind, subject)


def _meets(message: Message, query: Query) -> bool:
    if query.statuses is not None and message.status not in query.statuses:
        return False
    if query.enqueued_from is not None and message.enqueued < query.enqueued_from:
        return False
    if query.enqueued_until is not None and message.enqueued > query.enqueued_until:
        return False
    if not query.text:
        return True
    wanted = query.text.casefold()
    said = (message.id, message.entity or "", message.external_identifier or "")
    return any(wanted in one.casefold() for one in said)


def _place(value: Any) -> tuple[bool, Any]:
    """Where a value stands in ascending order: nothing comes last."""
    return (value is None, "" if value is None else value)
