"""Whether files are processed one after another where the job asks for it.

Told by the times that Manage messages shows, by statuses that were seen, and by what the last file of a key left in
the target table. Two files have an order only where a second or more lies between their enqueues: a service may know
the time of an enqueue no better than that.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from popreceipt import vocabulary
from popreceipt.rules.facts import Call
from popreceipt.rules.files import Record
from popreceipt.rules.imports import BEGUN, FINAL, SHOWN_PRECISION, Import, Sighting
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import ASK, INFERRED, MUST, article, rule
from popreceipt.rules.tables import as_written, row_of
from popreceipt.verdict import Finding, answered, held, undecided, violated

JOB_SECTION = "Create a recurring data job"

FAILED = frozenset({vocabulary.PREPROCESSING_ERROR, vocabulary.POSTPROCESSING_FAILED})


def _in_order(journal: Readings) -> Iterator[list[Import]]:
    """The accepted files of each job that processes in order, as they were sent."""
    for messages in journal.imports.of_activity.values():
        chosen = [each for each in messages if each.in_order]
        if len(chosen) > 1:
            yield chosen


def _came_first(first: Import, second: Import) -> bool:
    return first.enqueue.answered + SHOWN_PRECISION <= second.enqueue.sent


@rule(
    "ordering.in-order-one-after-another",
    text="Where messages are processed in order, a file is begun only when the file before it is done.",
    source=article(JOB_SECTION),
    reading="For jobs of type File. A file that never comes to its end proves nothing about those behind it. Where "
    "processing takes no time, only what the files left behind can show the order.",
    level=MUST,
    statements=(19,),
)
def in_order_one_after_another(journal: Readings) -> Iterator[Finding]:
    """Each file and those before it: by their times where they are shown, by statuses, by the target table."""
    for messages in _in_order(journal):
        findings = [*_by_times(messages), *_by_statuses(messages), *_by_values(journal, messages)]
        yield from findings
        ended = [each for each in messages if each.final is not None]
        two = next((two for two in pairwise(ended) if _came_first(*two)), None)
        if not findings and two is not None:
            yield undecided("nothing shows which file was begun first", *(each.enqueue for each in two))


def _by_times(messages: Sequence[Import]) -> Iterator[Finding]:
    """Files whose times of processing Manage messages shows, in the order of these times."""
    shown = [(*times, message) for message in messages if (times := _times(message)) is not None]
    shown.sort(key=lambda each: each[:2])
    for (began, ended, first), (began_next, _, second) in pairwise(shown):
        if began_next < ended:
            yield violated(f"begun {began_next}, before the other was done at {ended}", first.enqueue, second.enqueue)
        elif began < began_next and _came_first(second, first):
            yield violated(
                f"begun {began}, before the file that came first, which was begun {began_next}",
                second.enqueue,
                first.enqueue,
            )
        elif began < began_next:
            yield held("one after the other", first.enqueue, second.enqueue)


def _times(message: Import) -> tuple[datetime, datetime] | None:
    """When processing began and ended, as the last complete row shows it."""
    for row in reversed(message.rows):
        if row.started is not None and row.completed is not None and row.state in BEGUN:
            return row.started, row.completed
    return None


def _by_statuses(messages: Sequence[Import]) -> Iterator[Finding]:
    """Each file and those behind it: one that was begun while the first, which ended later, was not done yet."""
    begun_first: list[_Begun] = []
    findings: list[Finding] = []
    for first, second in reversed(list(pairwise(messages))):
        begun = next((each for each in second.seen if each.state in BEGUN), None)
        if begun is not None:
            begun_first = _begun_first([*begun_first, (second, begun)])
        end = first.final
        if end is None or end.state == vocabulary.PREPROCESSING_ERROR or first.disturbed:
            continue
        # A retry by hand may have begun it anew after its end.
        waits = next((each for each in reversed(first.seen) if each.state not in FINAL and each.precedes(end)), None)
        if waits is not None and (overtaker := _overtaker(first, waits, begun_first)) is not None:
            behind, early = overtaker
            findings.append(
                violated(
                    f"{early.state}, while a file before it was {waits.state} still",
                    *_calls(first.enqueue, behind.enqueue, early.call, waits.call),
                )
            )
        elif (
            begun is not None
            and _came_first(first, second)
            and any(each.state not in BEGUN and end.precedes(each) for each in second.seen)
        ):
            calls = _calls(first.enqueue, second.enqueue, end.call, begun.call)
            findings.append(held("begun after the other was done", *calls))
    yield from reversed(findings)


_Begun = tuple[Import, Sighting]


def _begun_first(begun: Sequence[_Begun]) -> list[_Begun]:
    """Those which were seen begun first: by the clock, and by their places in the journal."""
    placed = [each for each in begun if each[1].place]
    first = min(begun, key=lambda each: each[1].by)
    return [first, *([min(placed, key=lambda each: each[1].place)] if placed else [])]


def _overtaker(first: Import, waits: Sighting, begun: Sequence[_Begun]) -> _Begun | None:
    """One of those behind a file that was begun before a sight of it."""
    return next((each for each in begun if _came_first(first, each[0]) and each[1].precedes(waits)), None)


def _calls(*calls: Call | None) -> tuple[Call, ...]:
    return tuple(each for each in calls if each is not None)


def _by_values(journal: Readings, messages: Sequence[Import]) -> Iterator[Finding]:
    """What stands in the target table under a key that several files had: the last file's record."""
    activity = messages[0].activity
    look = max(journal.records.get(activity, ()), key=lambda each: (each.since, each.place), default=None)
    if look is None:
        return
    writers = [each for each in messages if each.file is not None]
    if len(writers) < len(journal.imports.of_activity[activity]) or journal.imports.lost(activity, look.at):
        return  # somebody else's record may stand there
    last: dict[str, tuple[Import, Record]] = {}
    earlier: dict[str, list[tuple[Import, Record]]] = defaultdict(list)
    for message in writers:
        end = message.ended_before(message.at(look))
        if end is None or end.state != vocabulary.PROCESSED or message.file is None or not message.file.all_good:
            return
        for record in message.file.good:
            if record.identity in last:
                earlier[record.identity].append(last[record.identity])
            last[record.identity] = (message, record)
    rows = {row.identity: row for row in map(row_of, look.records)}
    for identity, replaced in earlier.items():
        message, record = last[identity]
        row = rows.get(identity)
        others = [each for each, old in replaced if _came_first(each, message) and not as_written(old, record)]
        if row is None or not others:
            continue
        if as_written(record, row):
            yield held("the last file's record stands there", others[-1].enqueue, message.enqueue)
            continue
        stale = next((each for each, old in replaced if each in others and as_written(old, row)), None)
        if stale is not None:
            yield violated(
                f"{record.key!r} has the description {row.description!r} of a file before the last",
                stale.enqueue,
                message.enqueue,
            )


@rule(
    "ordering.packages",
    text="Data packages on a job that processes messages in order are processed together, or one after another.",
    source=article(JOB_SECTION),
    reading="The setting is for files; what it does to packages is not said. Told by the times in Manage messages, "
    "where processing takes any, or by statuses: one that was Processing between two sights of the other as Processing "
    "was processed together with it.",
    level=ASK,
    provenance=INFERRED,
    statements=(19,),
    answers=("together", "one-after-another"),
)
def packages(journal: Readings) -> Iterator[Finding]:
    """Packages that one run, or two runs close together, took: whether their times overlap, or what was seen of them.

    Where their times are shown statuses say nothing more.
    """
    for messages in journal.imports.of_activity.values():
        chosen = [each for each in messages if each.settings.get("in_order") and each.settings.get("type") == "package"]
        shown = [(*times, message) for message in chosen if (times := _times(message)) is not None]
        shown.sort(key=lambda each: each[:2])
        for (began, ended, first), (began_next, ended_next, second) in pairwise(shown):
            if began == ended or began_next == ended_next or second.enqueue.answered > began:
                continue
            together = began_next < ended
            yield answered("together" if together else "one-after-another", first.enqueue, second.enqueue)
        for first, second in pairwise([each for each in chosen if not each.rows]):
            yield from _seen_together(first, second)


def _seen_together(first: Import, second: Import) -> Iterator[Finding]:
    """Whether two packages were processed at the same time, as their statuses tell."""
    for one, other in ((first, second), (second, first)):
        under_way = [each for each in one.asked if each.state == vocabulary.PROCESSING]
        for each in other.asked:
            if each.state != vocabulary.PROCESSING:
                continue
            before = next((sight for sight in under_way if sight.precedes(each)), None)
            after = next((sight for sight in reversed(under_way) if each.precedes(sight)), None)
            if before is not None and after is not None:
                calls = _calls(one.enqueue, other.enqueue, before.call, each.call, after.call)
                yield answered("together", *calls)
                return
    for one, other in ((first, second), (second, first)):
        end = one.final
        begun = next((each for each in other.asked if each.state in BEGUN), None)
        waits = next((each for each in other.asked if end is not None and end.precedes(each)), None)
        if end is None or end.state not in BEGUN or begun is None or waits is None or waits.state in BEGUN:
            continue
        came = other.at(other.enqueue)
        if any(each.state == vocabulary.ENQUEUED and came.precedes(each) for each in one.asked):
            # Both waited for the run that took the one.
            yield answered("one-after-another", *_calls(one.enqueue, other.enqueue, end.call, waits.call, begun.call))
            return


@rule(
    "ordering.failed-message",
    text="Where messages are processed in order, those behind a file that fails are processed, or wait.",
    source=article(JOB_SECTION),
    reading="The article says nothing about it. A message is called blocked when a run has come and gone since.",
    level=ASK,
    provenance=INFERRED,
    statements=(19,),
    answers=("goes-on", "blocks"),
)
def failed_message(journal: Readings) -> Iterator[Finding]:
    """What became of the file behind one that failed."""
    for messages in _in_order(journal):
        for first, second in pairwise(messages):
            end = first.final
            if end is None or end.state not in FAILED or not first.at(first.enqueue).precedes(first.at(second.enqueue)):
                continue
            witnesses = _calls(first.enqueue, end.call, second.enqueue)
            begun = next((each for each in second.seen if each.state in BEGUN), None)
            if begun is not None:
                yield answered("goes-on", *witnesses, *_calls(begun.call))
                continue
            last = second.seen[-1] if second.seen else None
            if last is None or last.state != vocabulary.ENQUEUED or not end.precedes(last):
                continue
            since = max(end.by, second.enqueue.answered)
            recurrence = second.recurrence
            # Wherever a recurrence has its origin: more than a period of it holds an occurrence.
            period = recurrence.period if recurrence.origin is None else None
            passed = period is not None and last.since - since > period
            if passed or recurrence.ticks_between(since, last.since) or recurrence.ran_on_purpose(end, last):
                yield answered("blocks", *witnesses, *_calls(last.call))
