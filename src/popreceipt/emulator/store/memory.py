"""The store that lives and dies with its process: dictionaries, and a lease queue an activity.

However much goes through it, it stays small: messages that are done move to a temporary file with all that is theirs,
the oldest first and a few at a time; and where too much is in memory all the same, whatever is oldest. Nothing that is
asked shows where something is: what is in memory comes before what is in the file under the same ID, and a message is
in one of the two only. Who waits in which queue is always in memory.
"""

import heapq
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.message import FINAL, Message
from popreceipt.emulator.queue import LeaseQueue
from popreceipt.emulator.store import MOST_SAMPLES, BatchRun, Delivery, Due, Load, NotKept, Query, Record, Sample
from popreceipt.emulator.store.cold import ColdStore
from popreceipt.emulator.store.ranking import Ranking
from popreceipt.vocabulary import ENQUEUED

QueuePolicy = Callable[[], LeaseQueue]

MOST: Final = 65_536
"""So many things of a kind are in memory, and not many more."""

MOST_DONE: Final = 4_096
"""So many messages that are done are in memory."""

MOST_CONTENT: Final = 64 * 1024 * 1024
"""Bytes of files in memory, beside the newest file."""

PAGE: Final = 500
"""So many messages are read at once of those that wait."""

SLICE: Final = 32
"""So many things move at once: little enough that no request has to wait long for it."""

SLICE_CONTENT: Final = 1024 * 1024
"""Bytes of files after which no further file moves with them."""

_Kept = TypeVar("_Kept")


class _Desk:
    """What belongs to one activity: its queue, what waits and what is taken; and which of its things are in memory."""

    def __init__(self, queue: LeaseQueue) -> None:
        self.messages: dict[str, None] = {}
        self.queue = queue
        self.waiting = Ranking()
        self.taken = Ranking()
        self.in_line = Ranking()
        self.runs: dict[str, None] = {}
        self.samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)


class MemoryStore:
    """Everything in dictionaries, and what is old in a temporary file.

    Args:
        queue: makes the queue of a new activity.
        most: how many things of a kind are in memory.
        most_done: how many messages among them of which nothing more is expected.
        most_content: bytes of files in memory.
    """

    def __init__(
        self,
        queue: QueuePolicy = LeaseQueue,
        *,
        most: int = MOST,
        most_done: int = MOST_DONE,
        most_content: int = MOST_CONTENT,
    ) -> None:
        self._new_queue = queue
        self._most = most
        self._most_done = most_done
        self._most_content = most_content
        self._work = nullcontext()
        self._settings: dict[str, str] = {}
        self._openings = 0
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
        self._done: dict[str, None] = {}
        self._newest = 0
        self._deliveries: dict[str, Delivery] = {}
        self._delivered: dict[str, list[str]] = {}
        self._blobs: dict[str, tuple[str, bytes, datetime]] = {}
        self._content = 0
        self._expiries: list[tuple[datetime, str]] = []
        self._tables: dict[tuple[str, str], dict[tuple[str, ...], Record]] = defaultdict(dict)
        self._executions: dict[str, Execution] = {}
        self._runs: dict[str, BatchRun] = {}
        self._moments: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._due: list[tuple[datetime, int, str, str]] = []
        self._within: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)
        self._planned = 0
        self._cold: ColdStore | None = None

    def generation(self) -> int:
        """How often it was opened before: another emulator may go on with it."""
        self._openings += 1
        return self._openings - 1

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
        desk = self._desks[message.activity]
        is_done = not message.queued if message.visible_from is not None else message.status in FINAL
        if message.id not in self._messages:
            if message.number > self._newest:
                self._newest = message.number
            elif self._cold is not None:
                if is_done:
                    self._cold.put_message(message)  # It need not come back for that.
                    self._place(message, desk)
                    return
                self._cold.forget_message(message.id)
            desk.messages[message.id] = None
        self._messages[message.id] = message
        if is_done:
            self._done[message.id] = None
        else:
            self._done.pop(message.id, None)
        self._place(message, desk)
        if len(self._done) > self._most_done:
            self._move_what_is_done()
        elif len(self._messages) > self._most:
            self._move_messages(self._messages)

    def _place(self, message: Message, desk: _Desk) -> None:
        if message.visible_from is not None:
            if message.queued:
                desk.queue.offer(message.id, message.number, message.visible_from)
            else:
                desk.queue.withdraw(message.id)
            return
        if message.turn is None or message.status in FINAL:
            if message.id in desk.taken.ranks:
                desk.taken.remove(message.id)
                desk.in_line.remove(message.id)
            if message.status == ENQUEUED:
                desk.waiting.put(message.id, message.number)
            else:
                desk.waiting.remove(message.id)
            return
        desk.waiting.remove(message.id)
        desk.taken.put(message.id, message.turn)
        if message.status == ENQUEUED:
            desk.in_line.put(message.id, message.turn)
        else:
            desk.in_line.remove(message.id)

    def message(self, identifier: str) -> Message | None:
        """The message of this ID."""
        found = self._messages.get(identifier)
        return self._cold.message(identifier) if found is None and self._cold is not None else found

    def _standing(self, identifier: str) -> Message:
        """A message that stands in a queue or has a turn, and so is there."""
        found = self.message(identifier)
        if found is None:
            raise LookupError(f"There is no message {identifier}, and yet it stands in a queue.")
        return found

    def _all_standing(
        self, identifiers: Sequence[str], read: Callable[..., Sequence[Message]], *place: Any
    ) -> list[Message]:
        """Such messages, in the same order: `read` reads from a place on as many as are in the file."""
        cold = sum(one not in self._messages for one in identifiers)
        if not cold or self._cold is None:
            return [self._messages[one] for one in identifiers]
        others = {message.id: message for message in read(self._cold, *place, cold)}
        return [self._messages.get(one) or others[one] for one in identifiers]

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """An activity's messages, oldest first: those of greater numbers than `after`, so many at most."""
        found = [] if self._cold is None else list(self._cold.messages_of(activity, after, limit))
        # Where the file has enough for a page, only what comes in between is wanted of what is in memory.
        last = found[-1].number if found and len(found) == limit else None
        for identifier in self._desks[activity].messages:
            message = self._messages[identifier]
            if message.number > after and (last is None or message.number < last):
                found.append(message)
        found.sort(key=attrgetter("number"))
        return found[:limit]

    def find(self, query: Query) -> tuple[Sequence[Message], int]:
        """A page of messages, and how many there are in all.

        Each of those in memory may stand before the page or behind it, so as many more are read of the others.
        """
        if query.activity is None:
            every: Iterable[Message] = self._messages.values()
        else:
            desk = self._desks.get(query.activity)
            every = () if desk is None else (self._messages[one] for one in desk.messages)
        found = [message for message in every if _meets(message, query)]
        total, left_out = len(found), 0
        if self._cold is not None:
            left_out = max(0, query.offset - total)
            limit = None if query.limit is None else query.limit and query.offset + query.limit - left_out
            others, more = self._cold.find(msgspec.structs.replace(query, offset=left_out, limit=limit))
            found += others
            total += more
        found.sort(key=attrgetter("number"))
        if query.order_by != "number":
            found.sort(key=lambda one: _rank(getattr(one, query.order_by)), reverse=query.descending)
        elif query.descending:
            found.reverse()
        start = query.offset - left_out
        return found[start : None if query.limit is None else start + query.limit], total

    def waiting(
        self, activity: str, before: datetime | None, after: int = 0, limit: int | None = None
    ) -> Sequence[Message]:
        """Imports that no run has taken, oldest first."""
        found: list[Message] = []
        while limit is None or len(found) < limit:
            page = self._desks[activity].waiting.page(after, PAGE if limit is None else limit - len(found))
            if not page:
                break
            messages = self._all_standing(page, ColdStore.waiting, activity, None, after)
            found += [message for message in messages if before is None or message.enqueued < before]
            after = messages[-1].number
        return found

    def taken(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """Imports that a run has taken and that are not final, in the order of their turns."""
        page = self._desks[activity].taken.page(after, limit)
        return self._all_standing(page, ColdStore.taken, activity, after)

    def first_taken(self, activity: str) -> Message | None:
        """The first of those that `taken` lists."""
        first = self._desks[activity].taken.first()
        return None if first is None else self._standing(first)

    def in_line(self, activity: str, limit: int) -> Sequence[Message]:
        """Those that `taken` lists and whose turn will come, in the order of their turns."""
        page = self._desks[activity].in_line.page(0, limit)
        return self._all_standing(page, ColdStore.in_line, activity)

    def load(self, activity: str, now: datetime) -> Load:
        """How full the queue of an activity is."""
        desk = self._desks[activity]
        waiting, in_process, oldest = 0, 0, None
        if self._cold is not None:
            cold = self._cold.load(activity, now)
            waiting, in_process, oldest = cold.waiting, cold.in_process, cold.oldest
        for identifier in desk.messages:
            message = self._messages[identifier]
            if message.visible_from is not None:
                if not message.queued:
                    continue
                is_waiting = message.visible_from <= now
            elif identifier in desk.taken.ranks:
                is_waiting = message.status == ENQUEUED
            elif identifier in desk.waiting.ranks:
                is_waiting = True
            else:
                continue
            if not is_waiting:
                in_process += 1
                continue
            waiting += 1
            if oldest is None or message.enqueued < oldest:
                oldest = message.enqueued
        return Load(waiting, in_process, oldest)

    def completed_between(self, activity: str, after: datetime, until: datetime) -> Sequence[Message]:
        """Messages completed after one instant and not after another."""
        found = []
        for identifier in self._desks[activity].messages:
            message = self._messages[identifier]
            end = message.completed if message.visible_from is None else message.acknowledged
            if end is not None and after < end <= until:
                found.append(message)
        if self._cold is not None:
            found += self._cold.completed_between(activity, after, until)
        return sorted(found, key=attrgetter("number"))

    def lease(self, activity: str, now: datetime, deliver: Callable[[Message], Message]) -> Message | None:
        """Take the next message that is visible now, keep what `deliver` makes of it, and give that back."""
        identifier = self._desks[activity].queue.take(now)
        if identifier is None:
            return None
        message = deliver(self._standing(identifier))
        self.put_message(message)
        return message

    def delete_message(self, identifier: str) -> None:
        """Forget a message: its row, its place in the queue, its deliveries and its blob."""
        message = self.message(identifier)
        if message is None:
            return
        desk = self._desks[message.activity]
        if self._messages.pop(identifier, None) is not None:
            del desk.messages[identifier]
        self._done.pop(identifier, None)
        desk.waiting.remove(identifier)
        desk.taken.remove(identifier)
        desk.in_line.remove(identifier)
        desk.queue.withdraw(identifier)
        for correlation in self._delivered.pop(identifier, ()):
            del self._deliveries[correlation]
        if self._cold is not None:
            self._cold.forget_message(identifier)
            if message.correlation is not None:
                self._cold.forget_delivery(message.correlation)
        if message.blob is not None:
            self.delete_blob(message.blob)

    def put_delivery(self, delivery: Delivery) -> None:
        """Remember what a dequeue handed out."""
        self._deliveries[delivery.correlation] = delivery
        self._delivered.setdefault(delivery.message, []).append(delivery.correlation)
        if len(self._deliveries) > self._most:
            self._move_deliveries(self._deliveries)

    def delivery(self, correlation: str) -> Delivery | None:
        """The delivery with this CorrelationId."""
        found = self._deliveries.get(correlation)
        if found is not None or self._cold is None:
            return found
        found = self._cold.delivery(correlation)
        # Of a message that was delivered several times the file remembers more than `delete_message` can forget.
        return None if found is None or self.message(found.message) is None else found

    # Blobs

    def put_blob(self, identifier: str, content: bytes, expires: datetime) -> None:
        """Keep a file until an instant."""
        self._release(identifier)
        self._blobs[identifier] = (identifier, content, expires)
        self._content += len(content)
        heapq.heappush(self._expiries, (expires, identifier))
        while (self._content > self._most_content or len(self._blobs) > self._most) and len(self._blobs) > 1:
            self._move_blobs(islice(self._blobs, min(SLICE, len(self._blobs) - 1)))
        if len(self._expiries) > 2 * len(self._blobs) + SLICE:
            self._expiries = [(until, one) for one, _, until in self._blobs.values()]
            heapq.heapify(self._expiries)

    def _release(self, identifier: str) -> None:
        """Let go of a file that is in memory."""
        held = self._blobs.pop(identifier, None)
        if held is not None:
            self._content -= len(held[1])

    def blob(self, identifier: str) -> bytes | None:
        """The file of this ID; None when it is no longer there."""
        held = self._blobs.get(identifier)
        if held is not None:
            return held[1]
        return None if self._cold is None else self._cold.blob(identifier)

    def blob_expires(self, identifier: str) -> datetime | None:
        """The instant until which a file is kept; None when it is no longer there."""
        held = self._blobs.get(identifier)
        if held is not None:
            return held[2]
        return None if self._cold is None else self._cold.blob_expires(identifier)

    def delete_blob(self, identifier: str) -> None:
        """Delete a file, if it is there."""
        self._release(identifier)
        if self._cold is not None:
            self._cold.delete_blob(identifier)

    def drop_blobs(self, now: datetime) -> datetime | None:
        """Delete the files that have expired by now, and say when the next one will."""
        following = None
        while self._expiries:
            expires, identifier = self._expiries[0]
            held = self._blobs.get(identifier)
            is_there = held is not None and held[2] == expires
            if is_there and expires > now:
                following = expires
                break
            heapq.heappop(self._expiries)
            if is_there:
                self.delete_blob(identifier)
        if self._cold is None:
            return following
        self._cold.drop_blobs(now)
        other = self._cold.next_expiry(hidden=self._blobs)
        return min((one for one in (following, other) if one is not None), default=None)

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
        if len(self._executions) > self._most:
            self._move_executions(self._executions)

    def execution(self, identifier: str) -> Execution | None:
        """The execution of this ID."""
        found = self._executions.get(identifier)
        return self._cold.execution(identifier) if found is None and self._cold is not None else found

    def put_run(self, run: BatchRun) -> None:
        """Add a batch history record or replace the one of this ID."""
        self._runs[run.id] = run
        self._desks[run.activity].runs[run.id] = None
        if len(self._runs) > self._most:
            self._move_runs(self._runs)

    def run(self, identifier: str) -> BatchRun | None:
        """The batch history record of this ID."""
        found = self._runs.get(identifier)
        return self._cold.run(identifier) if found is None and self._cold is not None else found

    def runs(self, identifiers: Sequence[str]) -> Sequence[BatchRun]:
        """The batch history records of these IDs, as far as there are any, in whatever order."""
        found = [run for one in identifiers if (run := self._runs.get(one)) is not None]
        if self._cold is not None and len(found) < len(identifiers):
            found += self._cold.runs([one for one in identifiers if one not in self._runs])
        return found

    def runs_of(self, activity: str) -> Sequence[BatchRun]:
        """An activity's batch history, oldest first."""
        newest = self._desks[activity].runs
        if self._cold is None:
            return [self._runs[one] for one in newest]
        older = {run.id: run for run in self._cold.runs_of(activity)}
        return list((older | {one: self._runs[one] for one in newest}).values())

    def delete_runs(self, activity: str) -> None:
        """Delete an activity's batch history."""
        desk = self._desks[activity]
        for identifier in desk.runs:
            del self._runs[identifier]
        desk.runs.clear()
        if self._cold is not None:
            self._cold.delete_runs(activity)

    def put_sample(self, sample: Sample) -> None:
        """Add what a monitoring recurrence saw."""
        self._desks[sample.activity].samples.append(sample)

    def samples_of(self, activity: str, offset: int = 0, limit: int | None = None) -> Sequence[Sample]:
        """What an activity's monitoring recurrence saw, oldest first: from so many on, and so many at most."""
        return list(islice(self._desks[activity].samples, offset, None if limit is None else offset + limit))

    # Moments

    def plan(self, at: datetime, kind: str, subject: str) -> None:
        """Plan a moment, instead of the one of this kind and subject if there is one."""
        self._planned += 1
        self._moments[kind, subject] = (at, self._planned)
        owner, belongs, _ = subject.partition("/")
        if belongs:
            self._within[kind, owner][subject] = at
        heapq.heappush(self._due, (at, self._planned, kind, subject))
        if len(self._due) > 2 * len(self._moments) + SLICE:
            self._due = [(when, number, *named) for named, (when, number) in self._moments.items()]
            heapq.heapify(self._due)

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is."""
        planned = self._moments.get((kind, subject))
        return None if planned is None else planned[0]

    def planned_within(self, kind: str, owner: str) -> tuple[int, datetime | None]:
        """How many moments of a kind there are with a subject `OWNER/…`, and when the earliest of them is."""
        instants = self._within.get((kind, owner), {}).values()
        return len(instants), min(instants, default=None)

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""
        if self._moments.pop((kind, subject), None) is not None:
            self._no_longer_within(kind, subject)

    def _no_longer_within(self, kind: str, subject: str) -> None:
        owner, belongs, _ = subject.partition("/")
        if belongs:
            others = self._within[kind, owner]
            del others[subject]
            if not others:
                del self._within[kind, owner]

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
        self._no_longer_within(kind, subject)
        return Due(at, number, kind, subject)

    # To the file, a slice at a time

    def _move_what_is_done(self) -> None:
        """Move messages that are done, and with them what is theirs."""
        moved = self._move_messages(self._done)
        self._move_blobs(one.blob for one in moved if one.blob in self._blobs)
        self._move_executions(one.execution for one in moved if one.execution in self._executions)
        self._move_runs(one.batch_run for one in moved if one.batch_run in self._runs)
        self._move_deliveries([each for one in moved for each in self._delivered.get(one.id, ())])

    def _move_messages(self, identifiers: Iterable[str]) -> Sequence[Message]:
        moved = self._move(self._messages, identifiers, ColdStore.put_message)
        for one in moved:
            del self._desks[one.activity].messages[one.id]
            self._done.pop(one.id, None)
        return moved

    def _move_deliveries(self, correlations: Iterable[str]) -> None:
        for one in self._move(self._deliveries, correlations, ColdStore.put_delivery):
            others = self._delivered[one.message]
            others.remove(one.correlation)
            if not others:
                del self._delivered[one.message]

    def _move_blobs(self, identifiers: Iterable[str]) -> None:
        some, size = [], 0
        for identifier in identifiers:
            some.append(identifier)
            size += len(self._blobs[identifier][1])
            if size >= SLICE_CONTENT:
                break
        for _, content, _ in self._move(self._blobs, some, lambda cold, one: cold.put_blob(*one)):
            self._content -= len(content)

    def _move_executions(self, identifiers: Iterable[str]) -> None:
        self._move(self._executions, identifiers, ColdStore.put_execution)

    def _move_runs(self, identifiers: Iterable[str]) -> None:
        for one in self._move(self._runs, identifiers, ColdStore.put_run):
            del self._desks[one.activity].runs[one.id]

    def _move(
        self, table: dict[str, _Kept], identifiers: Iterable[str], keep: Callable[[ColdStore, _Kept], None]
    ) -> Sequence[_Kept]:
        """Move the first of these; what was moved. Where the disk is full, that is nothing, and memory has to do."""
        some = list(islice(identifiers, min(SLICE, self._most)))
        if not some:
            return ()
        moved = [table[one] for one in some]
        try:
            if self._cold is None:
                self._cold = ColdStore()
            with self._cold.work():
                for one in moved:
                    keep(self._cold, one)
        except NotKept as problem:
            self._most *= 2
            self._most_done *= 2
            self._most_content *= 2
            warnings.warn(f"The emulator needs more memory than usual: {problem}", RuntimeWarning, stacklevel=2)
            return ()
        for identifier in some:
            del table[identifier]
        return moved


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


def _rank(value: Any) -> tuple[bool, Any]:
    """Where a value stands in ascending order: nothing comes last."""
    return (value is None, "" if value is None else value)
