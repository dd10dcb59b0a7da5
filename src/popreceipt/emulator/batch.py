"""Batch: recurrences as due moments, and what a run does with imports and exports.

Enqueue and dequeue start nothing; only a run does ("Viewing the status of the batch job for a recurring data job"). A
recurrence counts from its activity's anchor. A moment is planned only while there is something to do at it, so an idle
week costs nothing. What is in process stands in the store, not here: another process may go on with it.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from popreceipt.emulator import message as life
from popreceipt.emulator.activity import EXPORT, FILE, IMPORT, Activity
from popreceipt.emulator.agenda import Agenda
from popreceipt.emulator.blobs import Blobs
from popreceipt.emulator.dmf.delimited import UnknownEntity, Unreadable
from popreceipt.emulator.dmf.entity import Entity, entity_named
from popreceipt.emulator.dmf.execution import Execution, RecordError
from popreceipt.emulator.dmf.exporting import payload, synthetic
from popreceipt.emulator.dmf.importing import Part, examine
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.message import Message
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import Store
from popreceipt.vocabulary import ENQUEUED

TICK: Final = "processing-recurrence"
PREPARED: Final = "pre-processing-ends"
FINISHED: Final = "processing-ends"
"""The moments of batch. The subject is an activity, and for the last two also a message."""


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
    """

    def __init__(
        self,
        store: Store,
        profile: Profile,
        agenda: Agenda,
        blobs: Blobs,
        guids: Guids,
        *,
        fresh_records: Callable[[Activity], int | None] = lambda _: None,
        exported: Callable[[Activity, Produced, datetime], None] = lambda *_: None,
        fails_afterwards: Callable[[Message], bool] = lambda _: False,
        gets_stuck: Callable[[Message], bool] = lambda _: False,
    ) -> None:
        self._store = store
        self._profile = profile
        self._agenda = agenda
        self._blobs = blobs
        self._guids = guids
        self._fresh_records = fresh_records
        self._exported = exported
        self._fails_afterwards = fails_afterwards
        self._gets_stuck = gets_stuck
        self._staged: dict[str, list[Part]] = {}
        agenda.on(TICK, self._tick)
        agenda.on(PREPARED, self._on_prepared)
        agenda.on(FINISHED, self._on_finished)

    def clear(self) -> None:
        """Forget what is only here: files that were read and wait for their records to be written."""
        self._staged.clear()

    # Recurrences

    def plan(self, activity: Activity, now: datetime) -> None:
        """Plan the activity's next tick if there will be something to do. What arrives on a tick waits for the next."""
        if activity.processing_recurrence_minutes is None or not self._has_work(activity):
            self._agenda.cancel(TICK, activity.id)
            return
        period = timedelta(minutes=activity.processing_recurrence_minutes)
        tick = activity.anchor + ((now - activity.anchor) // period + 1) * period
        if self._agenda.planned(TICK, activity.id) != tick:
            self._agenda.at(tick, TICK, activity.id)

    def _has_work(self, activity: Activity) -> bool:
        return activity.direction == EXPORT or bool(self._store.waiting(activity.id, None))

    def _tick(self, identifier: str, now: datetime) -> None:
        activity = self._store.activity(identifier)
        if activity is None:
            return
        if activity.direction == IMPORT:
            self._take(activity, self._store.waiting(activity.id, now), now)
        else:
            fresh = self._fresh_records(activity)
            if fresh is None:
                self.export(activity, now)
            else:
                self.produce(activity, fresh, now)
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
        """Let the import's batch run now: how many messages the run took, good or bad."""
        messages = self._store.waiting(activity.id, None)
        self._take(activity, messages, now)
        return len(messages)

    def _take(self, activity: Activity, messages: Iterable[Message], now: datetime) -> None:
        in_order = _in_order(activity)
        for message in messages:
            self._store.put_message(life.taken(message, self._store.next_number("turns")))
            if not in_order:
                self._start(message.id, now)
        self._next_turn(activity.id, now)

    def _next_turn(self, activity_id: str, now: datetime) -> None:
        """Start the next file where nothing is in process and nothing blocks the way."""
        turns = self._store.taken(activity_id)
        if turns and not self._is_busy(turns) and not self._is_blocked(activity_id):
            self._start(turns[0].id, now)

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
        self._store.put_message(life.started(message, now))
        self._agenda.at(now + self._profile.preprocessing, PREPARED, f"{message.activity}/{message.id}")

    def _on_prepared(self, subject: str, now: datetime) -> None:
        activity_id, identifier = subject.split("/")
        self._preprocessed(activity_id, identifier, now)

    def _preprocessed(self, activity_id: str, identifier: str, now: datetime) -> None:
        message, activity = self._store.message(identifier), self._store.activity(activity_id)
        if message is None or activity is None:
            self._end(activity_id, identifier, now)
            return
        try:
            company = self._company(activity, message)
            parts = examine(activity, message.entity, self._blobs.content(message.blob))
        except Unreadable as problem:
            if isinstance(problem, UnknownEntity) and self._sticks(message):
                self._begin(activity, activity.company, message, now)
                return
            self._store.put_message(life.refused(message, now))
            self._end(activity_id, identifier, now)
            return
        execution = self._begin(activity, company, message, now)
        if self._gets_stuck(message):
            return
        self._staged[execution.id] = parts
        self._agenda.at(now + self._profile.processing, FINISHED, f"{activity_id}/{identifier}")

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

    def _begin(self, activity: Activity, company: str, message: Message, now: datetime) -> Execution:
        execution = Execution(id=self._guids.new(), entity=activity.entity, company=company, started=now)
        self._store.put_execution(execution)
        self._store.put_message(life.processing(message, execution.id))
        return execution

    def _on_finished(self, subject: str, now: datetime) -> None:
        activity_id, identifier = subject.split("/")
        message, activity = self._store.message(identifier), self._store.activity(activity_id)
        execution = None if message is None else self._store.execution(message.execution or "")
        if message is None or activity is None or execution is None:
            self._end(activity_id, identifier, now)
            return
        self._processed(activity_id, identifier, execution, self._parts(activity, message, execution), now)

    def _parts(self, activity: Activity, message: Message, execution: Execution) -> list[Part]:
        """What pre-processing found in the file; read anew where that was another process."""
        parts = self._staged.pop(execution.id, None)
        if parts is not None:
            return parts
        return examine(activity, message.entity, self._blobs.content(message.blob))

    def _processed(
        self, activity_id: str, identifier: str, execution: Execution, parts: list[Part], now: datetime
    ) -> None:
        message = self._store.message(identifier)
        if message is None:
            self._end(activity_id, identifier, now)
            return
        good = 0
        errors: list[RecordError] = []
        for part in parts:
            self._store.upsert(execution.company, part.entity.name, (part.entity.key,), part.reading.good)
            good += len(part.reading.good)
            errors.extend(part.reading.errors)
        self._store.put_execution(msgspec.structs.replace(execution, completed=now, good=good, errors=tuple(errors)))
        if self._fails_afterwards(message):
            message = life.failed_afterwards(message, now)
        else:
            message = life.completed(message, now, with_errors=bool(errors))
        self._store.put_message(message)
        self._end(activity_id, identifier, now)

    def _end(self, activity_id: str, identifier: str, now: datetime) -> None:
        if self._profile.ordering_failed_message == "blocks":
            message, activity = self._store.message(identifier), self._store.activity(activity_id)
            if message is not None and message.status in life.FAILED and activity is not None and _in_order(activity):
                self._store.put_setting(_blocked(activity_id), identifier)
        self._next_turn(activity_id, now)

    # Exports

    def produce(self, activity: Activity, records: int, now: datetime) -> Produced:
        """Replace the entity's records by so many synthetic ones and let the export's batch run now."""
        entity = _entity_of(activity)
        self._store.replace(activity.company, entity.name, (entity.key,), synthetic(self._guids, records))
        return self.export(activity, now)

    def export(self, activity: Activity, now: datetime) -> Produced:
        """One run: the records that the entity holds become a file, and the file a message."""
        entity = _entity_of(activity)
        records = self._store.records(activity.company, entity.name)
        execution = Execution(
            id=self._guids.new(),
            entity=entity.name,
            company=activity.company,
            started=now,
            completed=now,
            good=len(records),
        )
        self._store.put_execution(execution)
        number = self._store.next_number()
        content: bytes | None = None
        # "Preventing uploads when there are no records".
        if records or not activity.prevent_upload_when_zero_records:
            content = payload(
                activity, entity, records, profile=self._profile, execution=execution.id, number=number, now=now
            )
        message = Message(
            id=self._guids.new(),
            number=number,
            activity=activity.id,
            entity=entity.name,
            blob=None if content is None else self._blobs.keep(content, now),
            enqueued=now,
            started=now,
            completed=now,
            batch_status="Finished",
            execution=execution.id,
            total_records=len(records),
            uploaded=content is not None,
            queued=content is not None or self._profile.zero_records_no_file_answer != "204",
            visible_from=now,
        )
        self._store.put_message(message)
        sha256 = None if content is None else hashlib.sha256(content).hexdigest()
        produced = Produced(message, len(records), sha256)
        self._exported(activity, produced, now)
        return produced


def _in_order(activity: Activity) -> bool:
    """Whether imports go one after another: a setting for files, not for packages ("Create a recurring data job")."""
    return activity.in_order and activity.type == FILE


def _blocked(activity_id: str) -> str:
    """The setting that names the failed file which blocks an activity."""
    return f"blocked/{activity_id}"


def _entity_of(activity: Activity) -> Entity:
    entity = entity_named(activity.entity)
    if entity is None:
        raise LookupError(f"The activity {activity.id} has the entity {activity.entity!r}, which no world has.")
    return entity
