"""When a recurrence runs that is more than a number of minutes: its start, its end, its weekdays and months.

What a pattern allows and asks for is told by module `pattern`. Plain recurrences are judged by the chapter
`processing`, but for one thing: that a failure does not end them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.imports import BEGUN, FAILED, Import, Moment, Sighting
from popreceipt.rules.pattern import Pattern
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import ADVANCE_TIME, CREATE_ACTIVITY, MUST, article, microsoft, rule
from popreceipt.verdict import Finding, held, violated

JOB_SECTION: Final = "Create a recurring data job"
BATCH_JOB: Final = microsoft("Create a batch job", "Create a recurrence")


def _withheld(journal: Readings, without: Callable[[Pattern], Pattern]) -> Iterator[Finding]:
    """Imports that no run may have taken for one reason alone: a part of the pattern `without` which it might have."""
    for message in journal.imports:
        pattern, origin = message.recurrence.pattern, message.recurrence.origin
        if pattern is None or message.late or (loose := without(pattern)) == pattern:
            continue
        waited = False
        for sighting in message.seen:
            if sighting.by >= message.recurrence.until or _on_purpose(message, sighting):
                break
            sent = message.enqueue.sent
            if pattern.may_occur(origin, sent, sighting.by):
                break
            if not loose.may_occur(message.recurrence.origin, sent, sighting.by):
                continue
            witnesses = (message.enqueue, *sighting.told_by)
            if sighting.state in BEGUN:
                yield violated(f"{sighting.state} by {sighting.by}, when no run was due", *witnesses)
                break
            if sighting.state == vocabulary.ENQUEUED and not waited:
                waited = True
                yield held("waited", *witnesses)


def _on_purpose(message: Import, by: Moment) -> bool:
    return message.recurrence.ran_on_purpose(message.at(message.enqueue), by)


@rule(
    "batch.recurrence-starts",
    text="A recurrence with a start does not run before it.",
    source=BATCH_JOB,
    reading="Whether the start itself is an occurrence is open.",
    level=MUST,
    statements=(20,),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY),
)
def recurrence_starts(journal: Readings) -> Iterator[Finding]:
    """Imports that only the start of their job's recurrence held back."""
    yield from _withheld(journal, Pattern.without_start)


@rule(
    "batch.recurrence-ends",
    text="A recurrence runs no more after so many occurrences, or after its end date.",
    source=BATCH_JOB,
    reading="Each occurrence counts, whether anything waited or not. Whether the start counts as the first one, and "
    "whether the day of the end still belongs to it, is open.",
    level=MUST,
    statements=(20,),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY),
)
def recurrence_ends(journal: Readings) -> Iterator[Finding]:
    """Imports that only the end of their job's recurrence held back."""
    yield from _withheld(journal, Pattern.without_end)


@rule(
    "batch.recurrence-pattern",
    text="A recurrence by weekdays runs on these days only, one by months or years when the calendar says so.",
    source=article(JOB_SECTION),
    reading="Days in UTC. A weekday counts as a whole, since the time of day is the start's. From the 29th of a month "
    "on nothing is judged.",
    level=MUST,
    statements=(20,),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY),
)
def recurrence_pattern(journal: Readings) -> Iterator[Finding]:
    """Imports that only the weekdays or months of their job's recurrence held back."""

    def each_day(pattern: Pattern) -> Pattern:
        return pattern.each_day() if pattern.step is None else pattern

    yield from _withheld(journal, each_day)


@rule(
    "batch.recurrence-occurs",
    text="At each occurrence of a recurrence, whatever its pattern and range, the batch takes what waits.",
    source=article(JOB_SECTION),
    reading="Judged of files that were alone in their queue. On a clock that is not the harness's own, one occurrence "
    "more is granted.",
    level=MUST,
    statements=(20, 60),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY),
)
def recurrence_occurs(journal: Readings) -> Iterator[Finding]:
    """Imports of jobs with such a recurrence: taken at an occurrence, or left behind by it."""
    grace = 0 if journal.header.clock == "manual" else 1
    for messages in journal.imports.of_activity.values():
        for message, late in _lonely(journal, messages):
            if message.recurrence.pattern is None or message.disturbed:
                continue
            taken = message.taken
            if late is not None and (missed := _occurred(message, late)) > grace:
                yield violated(f"still Enqueued {missed} occurrences later", message.enqueue, *late.told_by)
            elif taken is not None and _occurred(message, taken) and not _on_purpose(message, taken):
                yield held("taken", message.enqueue, *taken.told_by)


def _occurred(message: Import, by: Sighting) -> int:
    """How many occurrences certainly lie between a message's enqueue and a sight of it."""
    recurrence = message.recurrence
    if recurrence.pattern is None or by.by >= recurrence.until:
        return 0
    return recurrence.pattern.must_occur(recurrence.origin, message.enqueue.answered, by.since)


def _lonely(journal: Readings, messages: Sequence[Import]) -> Iterator[tuple[Import, Sighting | None]]:
    """Imports that came when all before them had ended, and their last sight as Enqueued, if no other had come then."""
    ended: list[Sighting] = []
    for place, message in enumerate(messages):
        came = message.at(message.enqueue)
        following = messages[place + 1].enqueue.sent if place + 1 < len(messages) else None
        if len(ended) == place and all(each.precedes(came) for each in ended[-1:]):
            late = next((each for each in reversed(message.seen) if each.state == vocabulary.ENQUEUED), None)
            if late is not None and (
                (following is not None and following <= late.by) or journal.imports.lost(message.activity, late.by)
            ):
                late = None
            yield message, late
        final = message.final
        if final is not None:
            # The last to end comes last.
            ended.append(final if not ended or ended[-1].precedes(final) else ended[-1])


@rule(
    "batch.recurs-after-a-failure",
    text="A recurring batch job runs again at its next recurrence, whether the last run succeeded or failed.",
    source=BATCH_JOB,
    reading="Judged of files that were alone in their queue, after one that failed; not of jobs that process in order.",
    level=MUST,
    statements=(60,),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY),
)
def recurs_after_a_failure(journal: Readings) -> Iterator[Finding]:
    """The imports that came after a failed one: taken at the next recurrence, or left behind by it."""
    grace = 0 if journal.header.clock == "manual" else 1
    for messages in journal.imports.of_activity.values():
        failed: Import | None = None
        for message, late in _lonely(journal, messages):
            before, final = failed, message.final
            failed = message if final is not None and final.state in FAILED else failed
            if before is None or message.in_order or message.disturbed:
                continue
            recurrence, handed_in, taken = message.recurrence, message.enqueue.answered, message.taken
            witnesses = (before.enqueue, message.enqueue)
            if late is not None and recurrence.ticks_between(handed_in, late.since) > grace:
                yield violated("still Enqueued after a recurrence", *witnesses, *late.told_by)
            elif taken is None or _on_purpose(message, taken):
                continue
            elif recurrence.ticks_between(handed_in, taken.since):
                yield held("taken after a failure", *witnesses, *taken.told_by)
