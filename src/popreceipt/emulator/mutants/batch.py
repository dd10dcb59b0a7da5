"""Wrong batch: recurrences that come when they should not, statuses that lie, jobs that die for good, monitoring."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from popreceipt.emulator import message as life
from popreceipt.emulator.activity import EXPORT, IMPORT, Activity
from popreceipt.emulator.batch_history import FINISHED
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import OwnBatch, OwnHistory, OwnMonitoring, StoreAround
from popreceipt.emulator.parameters import parameters_of
from popreceipt.emulator.recurrence import Recurrence
from popreceipt.emulator.store import Sample
from popreceipt.vocabulary import PREPROCESSING_ERROR

# The status of batch jobs


class _WordsOfItsOwn(OwnHistory):
    def opened(self, message: Message, status: str, now: datetime) -> Message:
        """A record that says Succeeded where it should say Finished."""
        return super().opened(message, "Succeeded" if status == FINISHED else status, now)

    def ended(self, message: Message, status: str, now: datetime) -> Message:
        """The same at the end of a job."""
        return super().ended(message, "Succeeded" if status == FINISHED else status, now)


class _NeverFetches(OwnHistory):
    def fetch(self, activity: str, now: datetime) -> None:
        """Nothing comes."""


class _FetchesOnce(OwnHistory):
    """What was fetched once stays, until its record is deleted."""

    def _fetched(self, activity: str, now: datetime) -> None:
        shown = {each.id: each.batch_status for each in self._store.messages_of(activity)}
        super()._fetched(activity, now)
        for each in self._store.messages_of(activity):
            before = shown.get(each.id)
            if before is not None and each.batch_status is not None:
                self._store.put_message(msgspec.structs.replace(each, batch_status=before))


class _KeepsItsHistory(OwnHistory):
    def delete(self, activity: str) -> None:
        """Nothing."""


class _ForgetsTimesToo(OwnHistory):
    def delete(self, activity: str) -> None:
        """The history, and when messages were processed."""
        super().delete(activity)
        for each in self._store.messages_of(activity):
            self._store.put_message(msgspec.structs.replace(each, completed=None))


class _TakesMessagesAlong(OwnHistory):
    def delete(self, activity: str) -> None:
        """The history, and the messages whose jobs are done."""
        super().delete(activity)
        for each in self._store.messages_of(activity):
            if each.status in life.FINAL:
                self._store.delete_message(each.id)


# Recurrences


class _OtherRecurrence(OwnBatch):
    """Runs at another recurrence than the job's."""

    def plan(self, activity: Activity, now: datetime) -> None:
        """The next tick, as the recurrence is taken to be."""
        recurrence = activity.processing_recurrence
        other = None if recurrence is None else self.recurrence(recurrence)
        super().plan(msgspec.structs.replace(activity, processing_recurrence=other), now)

    def recurrence(self, recurrence: Recurrence) -> Recurrence | None:
        """What a recurrence is taken to be."""
        return recurrence


class _AtOnce(_OtherRecurrence):
    def recurrence(self, recurrence: Recurrence) -> Recurrence:
        """Counting from the job's creation."""
        return msgspec.structs.replace(recurrence, start=None)


class _BeyondItsNumber(_OtherRecurrence):
    def recurrence(self, recurrence: Recurrence) -> Recurrence:
        """However often it came."""
        return msgspec.structs.replace(recurrence, count=None)


class _BeyondItsDate(_OtherRecurrence):
    def recurrence(self, recurrence: Recurrence) -> Recurrence:
        """However late it is."""
        return msgspec.structs.replace(recurrence, until=None)


class _EveryDay(_OtherRecurrence):
    def recurrence(self, recurrence: Recurrence) -> Recurrence:
        """Daily in the place of weekdays."""
        days = {"unit": "days", "weekdays": ()} if recurrence.weekdays else {}
        return msgspec.structs.replace(recurrence, **days)


class _MonthsOfThirtyDays(_OtherRecurrence):
    def recurrence(self, recurrence: Recurrence) -> Recurrence:
        """Thirty days in the place of a month."""
        if recurrence.unit != "months":
            return recurrence
        return msgspec.structs.replace(recurrence, every=30 * recurrence.every, unit="days")


class _NoCalendar(_OtherRecurrence):
    def recurrence(self, recurrence: Recurrence) -> Recurrence | None:
        """None where it is more than a number of minutes, hours or days."""
        return None if recurrence.weekdays or recurrence.unit in {"months", "years"} else recurrence


class _StopsAfterAFailure(_OtherRecurrence):
    def plan(self, activity: Activity, now: datetime) -> None:
        """No tick for a job one of whose files could not be read."""
        unread = any(each.status == PREPROCESSING_ERROR for each in self._store.messages_of(activity.id))
        super().plan(
            msgspec.structs.replace(activity, processing_recurrence=None)
            if unread and activity.direction == IMPORT
            else activity,
            now,
        )


# Batch jobs that die, and stages that fail


class _LeavesTheDead(OwnBatch):
    def _may_requeue(self, _: str) -> bool:
        return False


class _PutsBackAndForgets(OwnBatch):
    """Puts back what a dead job left in process, and never takes it again."""

    def _requeue(self, activity: Activity, _: datetime) -> int:
        for message in self._store.taken(activity.id) if self._may_requeue(activity.id) else ():
            if message.abandoned:
                self._store.put_message(life.requeued(message))
        return 0

    def _next_turn(self, activity_id: str, now: datetime) -> None:
        first = self._store.first_taken(activity_id)
        if first is None or not first.retries:
            super()._next_turn(activity_id, now)


class _ReprocessesWhatItShouldSkip(OwnBatch):
    def _may_requeue(self, activity_id: str) -> bool:
        return super()._may_requeue(activity_id) or parameters_of(self._store).skip_reprocessing


class _CountsNoRetries(OwnBatch):
    def _requeue(self, activity: Activity, now: datetime) -> int:
        found = super()._requeue(activity, now)
        for message in self._store.taken(activity.id):
            if message.retries:
                self._store.put_message(msgspec.structs.replace(message, retries=0))
        return found


class _FailsQuietly(OwnBatch):
    """Takes a stage that fails after processing for an error of the records."""

    def _complete(self, message: Message, execution: Execution, now: datetime) -> None:
        if not self._fails_afterwards(message):
            super()._complete(message, execution, now)
            return
        self._store.put_execution(execution)
        self._store.put_message(life.completed(message, now, with_errors=True))
        self._end(message.activity, message.id, now)


# Monitoring


class _SamplesOnce(OwnMonitoring):
    def plan(self, activity: Activity, now: datetime) -> None:
        """Only the first sample."""
        if not self._store.samples_of(activity.id):
            super().plan(activity, now)


class _SamplesUnasked(OwnMonitoring):
    """Watches jobs that have no monitoring recurrence as well, for their first hour."""

    def plan(self, activity: Activity, now: datetime) -> None:
        """A sample every ten minutes where nobody asked for any."""
        if activity.monitoring_recurrence is None and now - activity.anchor < timedelta(hours=1):
            activity = msgspec.structs.replace(activity, monitoring_recurrence=Recurrence(every=10))
        super().plan(activity, now)


class _CountsWhatIsDone(OwnMonitoring):
    def sampled(self, activity: Activity, now: datetime) -> Sample:
        """As many as there ever were."""
        return msgspec.structs.replace(
            super().sampled(activity, now), waiting=len(self._store.messages_of(activity.id))
        )


class _SeesNothing(OwnMonitoring):
    def sampled(self, activity: Activity, now: datetime) -> Sample:
        """None at all."""
        return msgspec.structs.replace(super().sampled(activity, now), waiting=0, oldest=None)


class _SeesTheYoungest(OwnMonitoring):
    def sampled(self, activity: Activity, now: datetime) -> Sample:
        """The age of the one that came last."""
        latest = max((each.enqueued for each in self._store.messages_of(activity.id)), default=None)
        sample = super().sampled(activity, now)
        return msgspec.structs.replace(sample, oldest=latest if sample.waiting else None)


class _StartsTheBatch(OwnMonitoring):
    """Takes a monitoring recurrence for a processing recurrence."""

    def sampled(self, activity: Activity, now: datetime) -> Sample:
        """A sample, and then a run."""
        sample = super().sampled(activity, now)
        if activity.direction == IMPORT:
            self.emulator.batch.process(activity, now)
        return sample


class _DequeuesToCount(OwnMonitoring):
    """Looks into the queue as a client does."""

    def sampled(self, activity: Activity, now: datetime) -> Sample:
        """A sample, for which a message is dequeued."""
        sample = super().sampled(activity, now)
        if activity.direction == EXPORT:
            self.emulator.deliveries.dequeue(activity, now)
        return sample


# Manage messages


class _HidesEmptyExports(StoreAround):
    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """The messages without the exports that uploaded nothing."""
        return [
            each for each in super().messages_of(activity, after, limit) if each.uploaded or each.visible_from is None
        ]


class _HidesWhatIsOld(StoreAround):
    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """The messages of the last five days."""
        oldest = self.emulator.clock.now() - timedelta(days=5)
        return [each for each in super().messages_of(activity, after, limit) if each.enqueued >= oldest]


AFTER_FETCH = "batch.status-after-fetch"
HISTORY = "batch.history-deletion-changes-nothing-else"
ENDS = "batch.recurrence-ends"
PATTERN = "batch.recurrence-pattern"
REQUEUED = "batch.requeued-by-the-next-run"
SAMPLES = "batch.samples-at-the-monitoring-recurrence"
COUNTS = "batch.samples-count-the-queue"
MONITORS = "batch.monitoring-changes-nothing"
LISTED = "status.listed-in-manage-messages"

MUTANTS = (
    mutant(
        "batch-status-in-words-of-its-own",
        "Calls a batch job that has finished Succeeded, which is no status of the batch framework.",
        "batch.status-vocabulary",
        history=_WordsOfItsOwn,
    ),
    mutant("batch-status-never-fetched", "Fetches no batch status.", AFTER_FETCH, history=_NeverFetches),
    mutant(
        "batch-status-fetched-once",
        "Keeps the batch status that was fetched first, however the job goes on.",
        AFTER_FETCH,
        history=_FetchesOnce,
    ),
    mutant(
        "batch-status-outlives-its-history",
        "Shows a batch status after the history was deleted.",
        "batch.blank-without-history",
        history=_KeepsItsHistory,
    ),
    mutant(
        "history-deletion-forgets-times",
        "Forgets with the batch history when messages were completed.",
        HISTORY,
        history=_ForgetsTimesToo,
    ),
    mutant(
        "history-deletion-takes-messages-along",
        "Deletes with the batch history the messages whose jobs are done.",
        HISTORY,
        LISTED,
        history=_TakesMessagesAlong,
    ),
    mutant(
        "recurrence-without-its-start",
        "Runs a recurrence from its job's creation on, whatever its start.",
        "batch.recurrence-starts",
        batch=_AtOnce,
    ),
    mutant(
        "recurrence-beyond-its-number",
        "Runs a recurrence on after as many times as it should have run.",
        ENDS,
        batch=_BeyondItsNumber,
    ),
    mutant("recurrence-beyond-its-date", "Runs a recurrence on after its end date.", ENDS, batch=_BeyondItsDate),
    mutant("recurrence-on-every-day", "Runs a recurrence by weekdays on every day.", PATTERN, batch=_EveryDay),
    mutant("months-of-thirty-days", "Takes a month for thirty days.", PATTERN, batch=_MonthsOfThirtyDays),
    mutant(
        "recurrence-without-a-calendar",
        "Never runs a recurrence by weekdays, months or years.",
        "batch.recurrence-occurs",
        batch=_NoCalendar,
    ),
    mutant(
        "recurrence-stops-after-a-failure",
        "Runs no more at the recurrence once a file could not be read.",
        "batch.recurs-after-a-failure",
        "processing.runs-at-the-recurrence",
        batch=_StopsAfterAFailure,
    ),
    mutant(
        "dead-job-leaves-its-message",
        "Leaves a message in process for ever when its batch job has died.",
        REQUEUED,
        batch=_LeavesTheDead,
    ),
    mutant(
        "dead-job-put-back-and-forgotten",
        "Puts a message back when its batch job has died, and never takes it again.",
        REQUEUED,
        batch=_PutsBackAndForgets,
    ),
    mutant(
        "skip-reprocessing-ignored",
        "Processes a message again though the framework is told to skip that.",
        "batch.stays-when-skipped",
        batch=_ReprocessesWhatItShouldSkip,
    ),
    mutant("retries-not-counted", "Never counts a retry.", "batch.retry-counted", batch=_CountsNoRetries),
    mutant(
        "failure-after-processing-unsaid",
        "Says ProcessedWithErrors when the stage after processing has failed.",
        "status.failed-after-processing",
        batch=_FailsQuietly,
    ),
    mutant("monitoring-samples-once", "Samples the load of a queue once.", SAMPLES, monitoring=_SamplesOnce),
    mutant(
        "monitoring-unasked",
        "Samples the load of jobs without a monitoring recurrence.",
        SAMPLES,
        monitoring=_SamplesUnasked,
    ),
    mutant(
        "monitoring-counts-what-is-done",
        "Counts all messages that there ever were as waiting.",
        COUNTS,
        monitoring=_CountsWhatIsDone,
    ),
    mutant("monitoring-sees-nothing", "Finds every queue empty.", COUNTS, monitoring=_SeesNothing),
    mutant(
        "monitoring-sees-the-youngest",
        "Takes the message that came last for the oldest.",
        COUNTS,
        monitoring=_SeesTheYoungest,
    ),
    mutant(
        "monitoring-starts-the-batch",
        "Processes what waits at the monitoring recurrence.",
        MONITORS,
        COUNTS,
        "processing.waits-for-the-recurrence",
        "status.enqueued-until-taken",
        monitoring=_StartsTheBatch,
    ),
    mutant(
        "monitoring-dequeues",
        "Dequeues a message to see how full a queue is.",
        MONITORS,
        COUNTS,
        "dequeue.waiting-message-is-offered",
        monitoring=_DequeuesToCount,
    ),
    mutant(
        "manage-messages-without-empty-exports",
        "Does not list exports that uploaded nothing.",
        LISTED,
        store=_HidesEmptyExports,
    ),
    mutant("manage-messages-of-five-days", "Lists messages for five days only.", LISTED, store=_HidesWhatIsOld),
)
