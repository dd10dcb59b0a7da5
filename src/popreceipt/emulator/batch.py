"""Batch: recurrences as due moments, and what a run does with imports and exports.

Enqueue and dequeue start nothing; only a run does ("Viewing the status of the batch job for a recurring data job"). A
moment is planned only while there is something to do at it, so an idle week costs nothing. What is in process stands in
the store, not here: another process may go on with it.

A run that outlasts its recurrence goes on for as long as the agenda has a moment for one of its files: somebody is at
work on it. What merely looks so (a message that is stuck, one whose batch job has died, a line behind a failed file)
holds up nobody's next run. What becomes of a recurrence that finds a run going on is an open point.

A batch job may die over a message, which then stays in process. The next run puts it back to Enqueued and processes it
again, unless the framework is told to skip that ("Data import/export framework parameters", on recurring integration
messages that are in process). Only what is known to be abandoned is put back, never what merely takes long.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Final

import msgspec

from popreceipt.emulator import batch_history
from popreceipt.emulator import message as life
from popreceipt.emulator.activity import EXPORT, FILE, IMPORT, PACKAGE, Activity
from popreceipt.emulator.agenda import Agenda
from popreceipt.emulator.batch_history import BatchHistory
from popreceipt.emulator.blobs import Blobs
from popreceipt.emulator.dmf.entity import ENTITIES, Entities
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.exporting import Export, counted, export, fresh, select
from popreceipt.emulator.dmf.importing import Examiner, Inbound
from popreceipt.emulator.dmf.mapping import Mappers
from popreceipt.emulator.dmf.problems import UnknownEntity, Unreadable
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.dmf.staging import Part, failed, land, staged
from popreceipt.emulator.dmf.xslt import Transformer
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.instants import instant_in, written
from popreceipt.emulator.message import Message
from popreceipt.emulator.parameters import parameters_of
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import Due, Store
from popreceipt.vocabulary import ENQUEUED, POSTPROCESSING_FAILED, PREPROCESSING, PROCESSING

TICK: Final = "processing-recurrence"
READY: Final = "start-up-ends"
PREPARED: Final = "pre-processing-ends"
FINISHED: Final = "processing-ends"
"""The moments of batch. The subject is an activity, and for the last two also a message."""

PAGE: Final = 500
"""So many messages of a run are read at once."""

OWN_FAULT: Final = "The emulator met a fault of its own over this file; it has told it where it runs."

LONGEST_PROBLEM: Final = 1_000

MOST_STAGED: Final = 100_000
"""So many records of files that were read are remembered until they are written; others are read anew."""


class Death(Enum):
    """When a batch job dies over a message: before its records have landed, or after."""

    BEFORE = "before"
    AFTER = "after"


class _Counted:
    """Messages, one after another, and how many there were."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self._messages = messages
        self.count = 0

    def __iter__(self) -> Iterator[Message]:
        for message in self._messages:
            self.count += 1
            yield message


class Produced(msgspec.Struct, frozen=True):
    """What an export run left behind. `sha256` is of the uploaded payload, None where nothing was uploaded."""

    message: Message
    records: int
    sha256: str | None


class Batch:
    """The batch jobs of all activities.

    Args:
        fresh_records: how many new records an activity's recurring export finds; None for what its entity holds.
        exported: told of every export run, for the journal.
        fails_afterwards: whether the stage after processing fails for a message. Nothing makes it fail by itself.
        gets_stuck: whether the processing of a message never ends. Nothing makes it stick by itself.
        dies: whether the batch job dies over a message. Nothing makes it die by itself.
        entities: those of the world; by default the ones that come along.
    """

    def __init__(
        self,
        store: Store,
        profile: Profile,
        agenda: Agenda,
        blobs: Blobs,
        guids: Guids,
        history: BatchHistory,
        *,
        fresh_records: Callable[[Activity], int | None] = lambda _: None,
        exported: Callable[[Activity, Produced, datetime], None] = lambda *_: None,
        fails_afterwards: Callable[[Message], bool] = lambda _: False,
        gets_stuck: Callable[[Message], bool] = lambda _: False,
        dies: Callable[[Message], Death | None] = lambda _: None,
        entities: Entities | None = None,
    ) -> None:
        self._store = store
        self._profile = profile
        self._agenda = agenda
        self._blobs = blobs
        self._guids = guids
        self._history = history
        self._fresh_records = fresh_records
        self._exported = exported
        self._fails_afterwards = fails_afterwards
        self._gets_stuck = gets_stuck
        self._dies = dies
        self._entities = entities if entities is not None else Entities(ENTITIES)
        self._mappers = Mappers()
        self._examiner = Examiner(
            self._entities,
            self._mappers,
            Transformer(profile.xslt_limit),
            strict=profile.packages_element_order == "strict",
        )
        self._staged: dict[str, tuple[datetime, list[Part]]] = {}
        self._staged_records = 0
        agenda.on(TICK, self._tick)
        agenda.on(READY, self._on_ready)
        agenda.on(PREPARED, self._on_prepared)
        agenda.on(FINISHED, self._on_finished)

    def clear(self) -> None:
        """Forget what is only here: files that were read and wait for their records to be written."""
        self._staged.clear()
        self._staged_records = 0

    # Recurrences

    def plan(self, activity: Activity, now: datetime) -> None:
        """Plan the activity's next tick if there will be something to do. What arrives on a tick waits for the next."""
        recurrence = activity.processing_recurrence
        tick = None if recurrence is None else recurrence.next_after(now, activity.anchor)
        if tick is None or not self._has_work(activity):
            self._agenda.cancel(TICK, activity.id)
        elif self._agenda.planned(TICK, activity.id) != tick:
            self._agenda.at(tick, TICK, activity.id)

    def plan_all(self, now: datetime) -> None:
        """Plan the next ticks of all activities anew, where what there is to do may have changed for all."""
        for activity in self._store.activities():
            self.plan(activity, now)

    def _has_work(self, activity: Activity) -> bool:
        return (
            activity.direction == EXPORT
            or bool(self._store.waiting(activity.id, None, limit=1))
            or self._may_requeue(activity.id)
            or (self._profile.batch_overrun == "at-once" and self._is_under_way(activity.id))
        )

    def _tick(self, identifier: str, now: datetime) -> None:
        activity = self._store.activity(identifier)
        if activity is None:
            return
        if activity.direction == IMPORT:
            if self._profile.batch_overrun != "joins" and self._is_under_way(identifier):
                self._put_off(activity, now)
                return
            self._run(activity, now, before=now)
        else:
            fresh = self._fresh_records(activity)
            if fresh is None:
                self.export(activity, now)
            else:
                self.produce(activity, fresh, now)
        self.plan(activity, now)

    # Runs that outlast their recurrence

    def _is_under_way(self, activity_id: str) -> bool:
        """Whether a run goes on: it starts up, or somebody works on one of its files."""
        return self._agenda.planned(READY, activity_id) is not None or bool(self._in_work(activity_id))

    def _in_work(self, activity_id: str) -> int:
        """How many files somebody works on. One that is stuck, or over which a batch job has died, is none of them."""
        return sum(self._agenda.planned_within(kind, activity_id)[0] for kind in (PREPARED, FINISHED))

    def _put_off(self, activity: Activity, now: datetime) -> None:
        """Start no run at this recurrence: the run before goes on."""
        ends = [self._agenda.planned(READY, activity.id)]
        ends += [self._agenda.planned_within(kind, activity.id)[1] for kind in (PREPARED, FINISHED)]
        if any(end is not None and end <= now for end in ends):
            # Perhaps it ends at this very instant, and does not outlast anything then. That comes first.
            self._agenda.at(now, TICK, activity.id)
            return
        if self._profile.batch_overrun == "at-once":
            self._store.put_setting(_overdue(activity.id), written(now))
        self.plan(activity, now)

    def _catch_up(self, activity_id: str, now: datetime) -> None:
        """Start the run that is overdue, once the one before it has ended."""
        if self._profile.batch_overrun != "at-once":
            return
        due = instant_in(self._store.setting(_overdue(activity_id)) or "")
        if due is None or self._is_under_way(activity_id):
            return
        self._store.put_setting(_overdue(activity_id), None)
        activity = self._store.activity(activity_id)
        # Where the recurrence became another meanwhile, or all began anew, nothing is overdue any more.
        if activity is None or activity.processing_recurrence is None or due <= activity.anchor:
            return
        self._run(activity, now, before=now)
        self.plan(activity, now)

    # Imports

    def enqueue(
        self,
        activity: Activity,
        content: bytes,
        now: datetime,
        *,
        entity: str | None,
        company: str | None,
        external_identifier: str | None,
    ) -> Message:
        """Keep an uploaded file and make its message, which waits for the next run."""
        message = Message(
            id=self._guids.new(),
            number=self._store.next_number(),
            activity=activity.id,
            entity=entity,
            company=company,
            external_identifier=external_identifier,
            blob=self._blobs.keep(content, now),
            enqueued=now,
        )
        self._store.put_message(message)
        if self._agenda.planned(TICK, activity.id) is None:
            self.plan(activity, now)
        return message

    def process(self, activity: Activity, now: datetime) -> int:
        """Let the import's batch run now: how many messages the run took, good or bad.

        Somebody asks for it, so it takes what waits though another run goes on; its files are then part of that one.
        """
        taken = self._run(activity, now, before=None)
        if self._profile.batch_overrun == "at-once":
            self.plan(activity, now)
        return taken

    def _run(self, activity: Activity, now: datetime, *, before: datetime | None) -> int:
        """Take what waits now, or what came before an instant: how many messages there were."""
        starts_up = bool(self._profile.batch_startup) and not self._is_under_way(activity.id)
        if starts_up:
            self._agenda.at(now + self._profile.batch_startup, READY, activity.id)
        put_back = self._requeue(activity, now)
        waiting = _Counted(self._waiting(activity.id, before))
        self._take(activity, waiting, now)
        found = put_back + waiting.count
        if starts_up and not found:
            self._agenda.cancel(READY, activity.id)
        return found

    def _waiting(self, activity_id: str, before: datetime | None) -> Iterator[Message]:
        """What waits, a page at a time. Nothing comes meanwhile, and what was taken does not come again."""
        last = 0
        while page := self._store.waiting(activity_id, before, last, PAGE):
            yield from page
            last = page[-1].number

    def _taken(self, activity_id: str) -> Iterator[Message]:
        """What runs have taken, a page at a time, in the order of turns, which do not change meanwhile."""
        last = 0
        while page := self._store.taken(activity_id, last, PAGE):
            yield from page
            last = page[-1].turn or last + 1

    def _is_starting_up(self, activity_id: str) -> bool:
        """Whether the run has not come to its first file yet. One that joins another needs no start-up of its own."""
        return bool(self._profile.batch_startup) and self._agenda.planned(READY, activity_id) is not None

    def _has_line(self, activity: Activity) -> bool:
        """Whether files that are taken now have to wait for their turn."""
        return _in_order(activity) or bool(self._profile.batch_parallel) or self._is_starting_up(activity.id)

    def _take(self, activity: Activity, messages: Iterable[Message], now: datetime) -> None:
        has_line = self._has_line(activity)
        for message in messages:
            message = life.taken(message, self._store.next_number("turns"))
            if has_line:
                message = self._history.opened(message, batch_history.WAITING, now)
            self._store.put_message(message)
            if not has_line:
                self._start(message.id, now)
        self._next_turn(activity.id, now)

    def _on_ready(self, activity_id: str, now: datetime) -> None:
        activity = self._store.activity(activity_id)
        if activity is not None and not _in_order(activity) and not self._profile.batch_parallel:
            while line := self._store.in_line(activity_id, PAGE):
                for message in line:
                    self._start(message.id, now)
        self._next_turn(activity_id, now)
        self._catch_up(activity_id, now)

    def _next_turn(self, activity_id: str, now: datetime) -> None:
        """Start the next file where nothing is in process and nothing blocks the way, or so many as may go together.

        Turns are given in order, so what is in process stands first. A file that was taken in order keeps its turn,
        though the setting be changed.
        """
        if self._is_starting_up(activity_id):
            return
        if self._profile.batch_parallel:
            activity = self._store.activity(activity_id)
            if activity is not None and not _in_order(activity):
                self._fill_up(activity_id, now)
                return
        first = self._store.first_taken(activity_id)
        if first is not None and not self._is_busy((first,)) and not self._is_blocked(activity_id):
            self._start(first.id, now)

    def _fill_up(self, activity_id: str, now: datetime) -> None:
        """Start as many files as may be in process beside those that are."""
        free = self._profile.batch_parallel - self._in_work(activity_id)
        for message in self._store.in_line(activity_id, free) if free > 0 else ():
            self._start(message.id, now)

    def _is_busy(self, turns: Iterable[Message]) -> bool:
        return any(message.status != ENQUEUED for message in turns)

    def _is_blocked(self, activity_id: str) -> bool:
        """Whether a failed file stands in the way of the next; one that was cleaned up no longer does."""
        failed = self._store.setting(_blocked(activity_id))
        return failed is not None and self._store.message(failed) is not None

    def _start(self, identifier: str, now: datetime) -> None:
        message = self._store.message(identifier)
        if message is None:
            return
        self._store.put_message(self._history.started(life.started(message, now), now))
        self._agenda.at(now + self._profile.preprocessing, PREPARED, f"{message.activity}/{message.id}")

    def _on_prepared(self, subject: str, now: datetime) -> None:
        activity_id, identifier = subject.split("/")
        self._preprocessed(activity_id, identifier, now)
        self._catch_up(activity_id, now)

    def _preprocessed(self, activity_id: str, identifier: str, now: datetime) -> None:
        message, activity = self._store.message(identifier), self._store.activity(activity_id)
        if message is None or activity is None:
            self._end(activity_id, identifier, now)
            return
        try:
            company = self._company(activity, message)
            parts = self._examine(activity, message)
        except Unreadable as problem:
            if isinstance(problem, UnknownEntity) and self._sticks(message):
                self._begin(activity, activity.company, message, (), now)
                self._make_room(activity_id, now)
                return
            self._store.put_message(life.refused(message, now, _short(str(problem))))
            self._end(activity_id, identifier, now)
            return
        self._begin(activity, company, message, parts, now)
        if self._gets_stuck(message):
            self._make_room(activity_id, now)
            return
        finished = now + self._profile.processing
        if self._profile.processing_record:
            finished += self._profile.processing_record * sum(part.reading.total for part in parts)
        self._remember(identifier, finished, parts, now)
        self._agenda.at(finished, FINISHED, f"{activity_id}/{identifier}")

    def _remember(self, identifier: str, finished: datetime, parts: list[Part], now: datetime) -> None:
        """Keep what was read until the processing ends. What should have ended by now, another process has ended."""
        while self._staged and self._staged[first := next(iter(self._staged))][0] < now:
            self._forget(first)
        if self._staged_records + _size(parts) <= MOST_STAGED:
            self._staged[identifier] = finished, parts
            self._staged_records += _size(parts)

    def _forget(self, identifier: str) -> list[Part] | None:
        """Let go of what was read of a file, if it is still here: what that was."""
        held = self._staged.pop(identifier, None)
        if held is None:
            return None
        self._staged_records -= _size(held[1])
        return held[1]

    def _examine(self, activity: Activity, message: Message) -> list[Part]:
        """What a message's file holds, as the activity's data project expects it."""
        inbound = Inbound(
            content=self._blobs.content(message.blob),
            is_package=activity.type == PACKAGE,
            entity=message.entity,
            prefix=str(message.number),
        )
        return self._examiner.examine(self._project(activity), inbound)

    def _project(self, activity: Activity) -> Project:
        project = self._store.project(activity.project)
        if project is None:
            raise LookupError(f"The activity {activity.id} has no data project {activity.project!r}.")
        return project

    def _company(self, activity: Activity, message: Message) -> str:
        """The legal entity that the records go to; the message's own counts only where the activity says so."""
        if not activity.use_company_from_message or not message.company:
            return activity.company
        wanted = message.company.strip().casefold()
        known = next((one.company for one in self._store.activities() if one.company.casefold() == wanted), None)
        if known is not None:
            return known
        if self._profile.processing_unknown_company == "ignored":
            return activity.company
        raise Unreadable(f"There is no company {message.company!r}.")

    def _sticks(self, message: Message) -> bool:
        if self._profile.processing_unknown_entity == "stays-processing":
            return True
        # A vendor reports that a name with + instead of %20 leaves the message in process for ever.
        return self._profile.enqueue_entity_encoding == "percent-20-only" and "+" in (message.entity or "")

    def _begin(
        self, activity: Activity, company: str, message: Message, parts: Sequence[Part], now: datetime
    ) -> Execution:
        execution = Execution(id=self._guids.new(), entity=activity.entity, company=company, started=now)
        execution = staged(execution, parts)
        self._store.put_execution(execution)
        self._store.put_message(life.processing(message, execution.id))
        return execution

    def _make_room(self, activity_id: str, now: datetime) -> None:
        """Nobody works on a file any more that is still in process: another may come beside it."""
        if self._profile.batch_parallel:
            self._next_turn(activity_id, now)

    def _on_finished(self, subject: str, now: datetime) -> None:
        activity_id, identifier = subject.split("/")
        self._finished(activity_id, identifier, now)
        self._catch_up(activity_id, now)

    def _finished(self, activity_id: str, identifier: str, now: datetime) -> None:
        parts = self._forget(identifier)
        message, activity = self._store.message(identifier), self._store.activity(activity_id)
        execution = None if message is None else self._store.execution(message.execution or "")
        if message is None or activity is None or execution is None:
            self._end(activity_id, identifier, now)
            return
        death = self._dies(message)
        if death is Death.BEFORE:
            self._abandon(activity, message, now)
            return
        try:
            if parts is None:
                parts = self._examine(activity, message)
        except Unreadable as problem:
            # Read anew by another process than the one that found it good, and no longer there.
            self._complete(message, failed(execution, str(problem), now), now)
            return
        if death is Death.AFTER:
            self._land(execution, parts, now)
            self._abandon(activity, message, now)
            return
        self._processed(activity_id, identifier, execution, parts, now)

    def _processed(
        self, activity_id: str, identifier: str, execution: Execution, parts: list[Part], now: datetime
    ) -> None:
        message = self._store.message(identifier)
        if message is None:
            self._end(activity_id, identifier, now)
            return
        self._complete(message, self._land(execution, parts, now), now)

    def _land(self, execution: Execution, parts: list[Part], now: datetime) -> Execution:
        """Write the good records into the target tables; the execution as it has ended."""
        return land(self._store, execution, parts, now)

    def _complete(self, message: Message, execution: Execution, now: datetime) -> None:
        self._store.put_execution(execution)
        if self._fails_afterwards(message):
            message = life.failed_afterwards(message, now)
        else:
            message = life.completed(message, now, with_errors=bool(execution.errors))
        self._store.put_message(message)
        self._end(message.activity, message.id, now)

    def _end(self, activity_id: str, identifier: str, now: datetime) -> None:
        """A message has come to its end, or is no longer there: note it, and go on with the next."""
        message, activity = self._store.message(identifier), self._store.activity(activity_id)
        if message is not None and message.status in life.FINAL:
            has_failed = message.status == POSTPROCESSING_FAILED
            ended = self._history.ended(message, batch_history.ERROR if has_failed else batch_history.FINISHED, now)
            if ended is not message:
                self._store.put_message(ended)
            if (
                self._profile.ordering_failed_message == "blocks"
                and message.status in life.FAILED
                and activity is not None
                and _in_order(activity)
            ):
                self._store.put_setting(_blocked(activity_id), identifier)
        self._next_turn(activity_id, now)

    def give_up(self, due: Due) -> None:
        """A moment at which the emulator met a fault of its own: its message fails, so that nobody waits for ever."""
        if due.kind not in {PREPARED, FINISHED}:
            return
        activity_id, identifier = due.subject.split("/")
        self._fail(activity_id, identifier, due)
        self._catch_up(activity_id, due.at)

    def _fail(self, activity_id: str, identifier: str, due: Due) -> None:
        message = self._store.message(identifier)
        self._forget(identifier)
        if message is not None and message.status == PREPROCESSING:
            self._store.put_message(life.refused(message, due.at, OWN_FAULT))
        elif message is not None and message.status == PROCESSING:
            execution = self._store.execution(message.execution or "")
            if execution is not None:
                self._complete(message, failed(execution, OWN_FAULT, due.at), due.at)
                return
        self._end(activity_id, identifier, due.at)

    def resume(self, activity: Activity, now: datetime) -> None:
        """Go on with an activity from which messages were taken away: others may have waited for them."""
        if activity.direction == IMPORT:
            self._next_turn(activity.id, now)
            self.plan(activity, now)

    # Batch jobs that die

    def _abandon(self, activity: Activity, message: Message, now: datetime) -> None:
        """The batch job dies over a message. What waits for its turn behind it waits for the next run as well."""
        self._store.put_message(life.abandoned(self._history.ended(message, batch_history.ERROR, now)))
        self._store.put_setting(_abandoned(activity.id), "yes")
        self.plan(activity, now)
        self._make_room(activity.id, now)

    def _may_requeue(self, activity_id: str) -> bool:
        """Whether a run may find messages to put back. Who is told to skip them leaves them for ever."""
        if self._store.setting(_abandoned(activity_id)) is None:
            return False
        return not parameters_of(self._store).skip_reprocessing

    def _requeue(self, activity: Activity, now: datetime) -> int:
        """Put back what batch jobs that died have left in process, and start it; in order it is its turn still."""
        if not self._may_requeue(activity.id):
            return 0
        has_line = self._has_line(activity)
        found = 0
        for message in self._taken(activity.id):
            if not message.abandoned:
                continue
            found += 1
            self._store.put_message(life.requeued(message))
            if not has_line:
                self._start(message.id, now)
        self._store.put_setting(_abandoned(activity.id), None)
        return found

    # Exports

    def produce(self, activity: Activity, records: int, now: datetime) -> Produced:
        """Replace the records of the project's entities by so many synthetic ones each, and let the batch run now.

        Raises:
            NotEnough: the keys of an entity do not go so far.
        """
        made = fresh(self._project(activity), self._entities, self._guids, records)
        for entity, rows in made.items():
            self._store.replace(activity.company, entity.name, entity.keys, rows)
        return self.export(activity, now)

    def export(self, activity: Activity, now: datetime) -> Produced:
        """One run: the records that the project's filter finds become a file or package, and that a message."""
        project = self._project(activity)
        raw = activity.type == FILE and self._profile.download_file_payload == "raw"
        selected = select(
            project, self._entities, self._mappers, lambda entity: self._store.records(activity.company, entity.name)
        )[: 1 if raw else None]
        found = sum(len(one.records) for one in selected)
        identifier, number = self._guids.new(), self._store.next_number()
        made = Export(None, counted(selected, now), ())
        # "Preventing uploads when there are no records".
        if found or not activity.prevent_upload_when_zero_records:
            made = export(
                project,
                selected,
                raw=raw,
                description=f"{activity.name}, execution {identifier}",
                number=number,
                now=now,
            )
        total = 0 if made.errors else found
        execution = Execution(
            id=identifier,
            entity=activity.entity,
            company=activity.company,
            started=now,
            completed=now,
            good=total,
            errors=made.errors,
            runs=made.runs,
        )
        self._store.put_execution(execution)
        message = Message(
            id=self._guids.new(),
            number=number,
            activity=activity.id,
            entity=activity.entity,
            blob=None if made.content is None else self._blobs.keep(made.content, now),
            enqueued=now,
            started=now,
            completed=now,
            execution=execution.id,
            total_records=total,
            uploaded=made.content is not None,
            queued=made.content is not None or self._profile.zero_records_no_file_answer != "204",
            visible_from=now,
        )
        outcome = batch_history.ERROR if made.errors else batch_history.FINISHED
        message = self._history.opened(message, outcome, now)
        self._store.put_message(message)
        sha256 = None if made.content is None else hashlib.sha256(made.content).hexdigest()
        produced = Produced(message, total, sha256)
        self._exported(activity, produced, now)
        return produced


def _size(parts: Iterable[Part]) -> int:
    """How much it is to remember what was read of a file: its records, and one for the file itself."""
    return 1 + sum(len(part.reading.good) for part in parts)


def _short(problem: str) -> str:
    """A complaint that is no longer than somebody reads: it may quote names that the file's maker chose."""
    return problem if len(problem) <= LONGEST_PROBLEM else f"{problem[:LONGEST_PROBLEM]} … (cut)."


def _in_order(activity: Activity) -> bool:
    """Whether imports go one after another: a setting for files, not for packages ("Create a recurring data job")."""
    return activity.in_order and activity.type == FILE


def _blocked(activity_id: str) -> str:
    """The setting that names the failed file which blocks an activity."""
    return f"blocked/{activity_id}"


def _overdue(activity_id: str) -> str:
    """The setting that says when an activity's run was due that had to wait for the one before."""
    return f"overdue/{activity_id}"


def _abandoned(activity_id: str) -> str:
    """The setting that says of an activity that messages of it may have been abandoned."""
    return f"abandoned/{activity_id}"
