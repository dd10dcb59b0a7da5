"""What a monitoring recurrence tells of a queue, and that it does nothing else.

How full a queue can have been is told by module `load`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.facts import Load, Sample
from popreceipt.rules.imports import BEGUN, MONITORING_JOB, SHOWN_PRECISION, Import, Recurrence, recurrences, state_in
from popreceipt.rules.load import Bounds, queue_of
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import ADVANCE_TIME, CREATE_ACTIVITY, MONITORING, MUST, article, rule
from popreceipt.verdict import Finding, held, violated

JOB_SECTION: Final = "Create a recurring data job"

LONG: Final = 10_000
"""From so many samples on a service may have dropped the oldest."""

WHOLE_MINUTES: Final = timedelta(minutes=1)
"""Ages in minutes may be cut or rounded to whole ones."""


def _monitored(journal: Readings) -> Iterator[tuple[Load, Recurrence]]:
    """The last look at each job's samples, where one monitoring recurrence held since the job was made."""
    for activity, loads in journal.loads.items():
        told = sorted(journal.activities.get(activity, ()), key=lambda each: each.place)
        look = max(loads, key=lambda each: (each.since, each.place))
        held_by = [each for place, each in recurrences(journal, told, MONITORING_JOB, []) if place < look.place]
        if len(held_by) == 1 and told[0].created:
            yield look, held_by[0]


@rule(
    "batch.samples-at-the-monitoring-recurrence",
    text="The load of a job's queue is sampled at its monitoring recurrence, and only where it has one.",
    source=article(JOB_SECTION),
    reading="A recurrence of fixed length that was not changed. One sample more than there were recurrences may stand "
    "for its start, and of very many the oldest may be gone. On a clock that is not the harness's own, one may be "
    "missing.",
    level=MUST,
    statements=(21, 22),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY, MONITORING),
)
def samples_at_the_monitoring_recurrence(journal: Readings) -> Iterator[Finding]:
    """How many samples there are, beside how often the recurrence has come."""
    grace = 0 if journal.header.clock == "manual" else 1
    for look, recurrence in _monitored(journal):
        taken = len(look.samples)
        if recurrence.period is None or recurrence.origin is None:
            if recurrence.pattern is None and recurrence.told:
                yield violated(f"{taken} samples without a recurrence") if taken else held("no recurrence, no samples")
            continue
        first, last = recurrence.origin
        certain = recurrence.ticks_between(last, look.since)
        possible = (look.at - first) // recurrence.period + 1
        if taken < min(certain - grace, LONG):
            yield violated(f"{taken} samples after {certain} recurrences")
        elif taken > possible:
            yield violated(f"{taken} samples, and the recurrence has come {possible - 1} times at most")
        elif certain:
            yield held("as many samples as recurrences")


@rule(
    "batch.samples-count-the-queue",
    text="A sample tells how many messages waited at that time, and for how long the oldest had.",
    source=article(JOB_SECTION),
    reading="As far as the journal tells what waited: files that no run may have taken certainly did, and exports that "
    "nobody had dequeued; an export hidden by its half hour does not. Ages may be in whole minutes.",
    level=MUST,
    statements=(21, 22),
    needs=(CREATE_ACTIVITY, MONITORING),
)
def samples_count_the_queue(journal: Readings) -> Iterator[Finding]:
    """Each sample beside the least and the most that can have waited."""
    for activity, loads in journal.loads.items():
        queue = queue_of(journal, activity)
        if queue is None:
            continue
        for sample in max(loads, key=lambda each: (each.since, each.place)).samples:
            if sample.at + SHOWN_PRECISION >= queue.until:
                break
            bounds = queue.at(sample.at)
            wrong = _wrong(sample, bounds)
            if wrong is not None:
                yield violated(f"{wrong} at {sample.at}")
            elif bounds.least == bounds.most:
                yield held("the messages that waited")


def _wrong(sample: Sample, bounds: Bounds) -> str | None:
    """What in a sample cannot be, in words."""
    if not bounds.least <= sample.waiting <= bounds.most:
        wanted = f"{bounds.least}" if bounds.least == bounds.most else f"{bounds.least} to {bounds.most}"
        return f"{sample.waiting} messages wait according to the sample, and {wanted} did"
    if sample.in_process > bounds.in_process:
        return f"{sample.in_process} messages in process according to the sample, and at most {bounds.in_process} were"
    if bounds.youngest is not None:
        if sample.oldest is None or sample.oldest + WHOLE_MINUTES < bounds.youngest:
            return f"the oldest waits for {sample.oldest} according to the sample, and waited for {bounds.youngest}"
        if bounds.eldest is not None and sample.oldest - WHOLE_MINUTES > bounds.eldest:
            return f"the oldest waits for {sample.oldest} according to the sample, and waited for {bounds.eldest}"
    return None


@rule(
    "batch.monitoring-changes-nothing",
    text="A monitoring recurrence only monitors: what waits goes on waiting.",
    source=article(JOB_SECTION),
    reading="Files wait for the processing recurrence, exports for a client, however often their queue is sampled.",
    level=MUST,
    statements=(21,),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY, MONITORING),
)
def monitoring_changes_nothing(journal: Readings) -> Iterator[Finding]:
    """What was seen of messages after a sample was taken, where nothing else can have touched them."""
    for activity, loads in journal.loads.items():
        samples = [each.at for each in max(loads, key=lambda each: (each.since, each.place)).samples]
        for message in journal.imports.of_activity.get(activity, ()):
            place = bisect_right(samples, message.enqueue.answered)
            if place < len(samples):
                yield from _still_waiting(message, samples[place] + SHOWN_PRECISION)
        first = next((each.sent for each in journal.calls_of(activity) if each.operation == "dequeue"), None)
        runs = {run.message: bisect_right(samples, run.at) for run in journal.productions_of(activity)}
        for look in journal.rows.get(activity, ()) if runs else ():
            if first is not None and look.at >= first:
                break
            sampled = bisect_left(samples, look.since - SHOWN_PRECISION)
            for message_id, row in look.by_id.items():
                if runs.get(message_id, sampled) >= sampled or state_in(row) is None:
                    continue
                if state_in(row) == vocabulary.ENQUEUED:
                    yield held("an export still waits")
                else:
                    yield violated(f"message {message_id} is {row.get('Status')}, and nobody dequeued")


def _still_waiting(message: Import, sampled: datetime) -> Iterator[Finding]:
    for sighting in message.seen:
        if message.may_be_taken(sighting):
            return
        if sighting.since <= sampled:
            continue
        if sighting.state == vocabulary.ENQUEUED:
            yield held("a file still waits", message.enqueue, *sighting.told_by)
        elif sighting.state in BEGUN:
            yield violated(f"{sighting.state} after a sample and before any run", message.enqueue, *sighting.told_by)
        return
