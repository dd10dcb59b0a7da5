"""What a message clean-up removes, and what it leaves.

A clean-up is told by the control plane; what is there afterwards is told by Manage messages, by the status of a
message, by the queue and by old download locations. A message counts as asked for (or as spared) only where its age
and its state at that moment are certain; one that was being processed is neither.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Final

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.exports import Message
from popreceipt.rules.facts import Call, Cleanup, Dequeue, Production, Rows
from popreceipt.rules.imports import (
    FINAL,
    SHOWN_PRECISION,
    Import,
    Moment,
    gate_or_gateway,
    instant_in,
    moment_of,
    trusted,
)
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLEANUP, MUST, article, rule
from popreceipt.verdict import Finding, held, violated

CLEANUP_SECTION: Final = "Clean up recurring data job messages"

IN_PROCESS: Final = frozenset({vocabulary.PREPROCESSING, vocabulary.PROCESSING})
FOR_GOOD: Final = FINAL | {vocabulary.ACKED}
"""States that a message keeps."""


@rule(
    "cleanup.removes-what-was-asked",
    text="A message clean-up removes the messages of the age and the statuses that were asked for.",
    source=article(CLEANUP_SECTION),
    reading="The age counts from the enqueue, its limit included. What is removed is no longer listed, asked for, "
    "dequeued or downloaded.",
    level=MUST,
    statements=(26, 27),
    needs=(CLEANUP,),
)
def removes_what_was_asked(journal: Readings) -> Iterator[Finding]:
    """Everything that was seen of each removed message afterwards."""
    for case in _cases(journal):
        if not case.asked_for:
            continue
        found = next(case.traces(), None)
        if found is not None:
            yield violated(found[0], *case.handed_in, *found[1])
        elif case.gone_from_the_list is True:
            yield held("no longer listed", *case.handed_in)
        elif case.unknown_now is not None:
            yield held("no longer known", *case.handed_in, case.unknown_now)


@rule(
    "cleanup.spares-the-rest",
    text="A message clean-up leaves the messages that were not asked for, and those of other recurring data jobs.",
    source=article(CLEANUP_SECTION),
    reading="Judged within seven days after the enqueue: how long a row is kept otherwise is open.",
    level=MUST,
    statements=(26, 27),
    needs=(CLEANUP,),
)
def spares_the_rest(journal: Readings) -> Iterator[Finding]:
    """Everything that was seen of each spared message until the next clean-up, and the lists of the other jobs."""
    for case in _cases(journal):
        if case.asked_for:
            continue
        if case.gone_from_the_list is True:
            yield violated("a message that was not asked for is no longer listed", *case.handed_in)
        elif case.unknown_now is not None:
            yield violated(
                f"a message that was not asked for is no longer known ({case.unknown_now.status})",
                *case.handed_in,
                case.unknown_now,
            )
        elif case.missed is not None:
            yield violated("a message that was not asked for is no longer offered", case.missed)
        elif (trace := next(case.traces(), None)) is not None:
            yield held("still there", *case.handed_in, *trace[1])
    for cleanup in journal.cleanups:
        yield from _elsewhere(journal, cleanup)


def _elsewhere(journal: Readings, cleanup: Cleanup) -> Iterator[Finding]:
    """The lists of other jobs, the last one before a clean-up and the first one after it."""
    for activity, looks in journal.rows.items():
        if activity == cleanup.activity or any(each.activity == activity for each in journal.cleanups):
            continue
        in_line = journal.imports.in_line(activity)
        moment = moment_of(cleanup, in_line=in_line)
        before = [each for each in looks if moment_of(each, in_line=in_line).precedes(moment)]
        after = next((each for each in looks if moment.precedes(moment_of(each, in_line=in_line))), None)
        if not before or after is None or not before[-1].by_id:
            continue
        if _epoch(journal, before[-1]) != _epoch(journal, after) or after.at - before[0].since >= journal.retention:
            continue
        lost = before[-1].by_id.keys() - after.by_id.keys()
        if lost:
            yield violated(f"{len(lost)} messages of another job are no longer listed")
        else:
            yield held("the messages of another job are still listed")


def _epoch(journal: Readings, fact: Rows | Cleanup | Call) -> int:
    """How many resets there were before."""
    return bisect_left(journal.reset_places, fact.seq if isinstance(fact, Call) else fact.place)


class _Known(msgspec.Struct, gc=False):
    """A message of which the journal tells when it came to be."""

    id: str
    born: Moment
    message: Import | None
    production: Production | None


class _Case(msgspec.Struct, gc=False):
    """One message at one clean-up: whether it was asked for, and what was seen of it afterwards.

    What is seen after the next clean-up of the job (`until`) says nothing of this one, unless the message is gone.
    """

    desk: "_Desk"
    cleanup: Cleanup
    known: _Known
    asked_for: bool
    until: Moment | None

    @property
    def handed_in(self) -> tuple[Call, ...]:
        """The enqueue that made the message, where one did."""
        return (self.known.message.enqueue,) if self.known.message is not None else ()

    def _counts(self, fact: Call | Rows) -> bool:
        """Whether what was seen then tells of this clean-up."""
        desk = self.desk
        moment = desk.moment(fact)
        if not desk.moment(self.cleanup).precedes(moment) or _epoch(desk.journal, fact) != desk.epoch(self.cleanup):
            return False
        if self.asked_for:
            return True
        young = moment.by < self.known.born.since + desk.journal.retention
        return young and (self.until is None or moment.precedes(self.until))

    def traces(self) -> Iterator[tuple[str, tuple[Call, ...]]]:
        """What shows that the message was still there, in words, with the calls that told it."""
        if self.gone_from_the_list is False:
            yield "still listed in Manage messages", ()
        for call in self.desk.journal.states.get(self.known.id, ()):
            if call.ok and call.state is not None and self._counts(call):
                yield f"still {call.value} when asked for", (call,)
        exported = self.desk.exported.get(self.known.id)
        if exported is None:
            return
        for delivery in exported.deliveries:
            if delivery.kind == "message" and self._counts(delivery):
                yield "still dequeued", (delivery,)
        for download in exported.downloads:
            if download.ok and download.digest is not None and self._counts(download):
                yield "still downloaded", (download,)

    @property
    def gone_from_the_list(self) -> bool | None:
        """Whether the first look at Manage messages afterwards lacks the message; None without a look."""
        for look in self.desk.looks:
            if self._counts(look):
                return self.known.id not in look.by_id
        return None

    @property
    def unknown_now(self) -> Call | None:
        """The first answer afterwards that knows no such message, from a service that told its like before."""
        told = self.desk.journal.statuses if self.known.message else self.desk.journal.states.get(self.known.id, ())
        if not any(each.ok and each.state is not None for each in told):
            return None
        for call in self.desk.journal.states.get(self.known.id, ()):
            if call.status is None or call.in_doubt or gate_or_gateway(call.status) or not trusted(call.role):
                continue
            if call.bare and self._counts(call):
                return None if call.ok and call.value else call
        return None

    @property
    def missed(self) -> Call | None:
        """An empty answer to a dequeue while the message, which nobody had dequeued, must have been waiting."""
        run = self.known.production
        if run is None or not run.uploaded or self.known.id in self.desk.exported:
            return None
        for call in self.desk.dequeues:
            if call.answered < run.since:
                continue
            if call.kind == "empty" and self._counts(call):
                return call
            if call.kind not in ("empty", "refused") or call.in_doubt:
                handed_out = self.desk.journal.exports.message_of(call).production if call.delivered else None
                if handed_out is None or handed_out is run:
                    return None
        return None


def _cases(journal: Readings) -> Iterator[_Case]:
    """Every message at every clean-up of its job at which it certainly was there, and certainly asked for or not."""
    by_activity: dict[str, list[Cleanup]] = defaultdict(list)
    for cleanup in journal.cleanups:
        by_activity[cleanup.activity].append(cleanup)
    for activity, cleanups in by_activity.items():
        desk = _Desk(journal, activity)
        cleanups.sort(key=lambda each: (each.at, each.place))
        settled: set[str] = set()
        for place, cleanup in enumerate(cleanups):
            moment = desk.moment(cleanup)
            until = desk.moment(cleanups[place + 1]) if place + 1 < len(cleanups) else None
            for known in desk.messages:
                if known.id in settled or not known.born.precedes(moment):
                    continue
                asked_for = desk.asked_for(known, cleanup) if desk.same_epoch(known, cleanup) else None
                if asked_for is not False:
                    settled.add(known.id)
                if asked_for is not None:
                    yield _Case(desk, cleanup, known, asked_for, until)


class _Desk:
    """What is known of one recurring data job's messages."""

    def __init__(self, journal: Readings, activity: str) -> None:
        self.journal = journal
        self.activity = activity
        self._in_line = journal.imports.in_line(activity)
        self.looks = sorted(journal.rows.get(activity, ()), key=lambda each: (each.since, each.place))

    def moment(self, fact: Call | Rows | Cleanup) -> Moment:
        """When it was, among what else was seen of this job."""
        return moment_of(fact, in_line=self._in_line)

    def epoch(self, cleanup: Cleanup) -> int:
        """How many resets there were before."""
        return _epoch(self.journal, cleanup)

    def same_epoch(self, known: _Known, cleanup: Cleanup) -> bool:
        """Whether no reset can have come between the message's birth and the clean-up."""
        return not any(known.born.place < place < cleanup.place for place in self.journal.reset_places)

    @cached_property
    def dequeues(self) -> list[Dequeue]:
        """The job's dequeues in order of time."""
        return [each for each in self.journal.dequeues if each.activity == self.activity]

    @cached_property
    def exported(self) -> dict[str, Message]:
        """Exports that are certainly known, by the id under which they were produced."""
        return {
            each.production.message: each
            for each in self.journal.messages
            if each.production is not None and each.certain and each.activity == self.activity
        }

    @cached_property
    def messages(self) -> list[_Known]:
        """The job's messages, from their enqueues, from export runs on purpose and from Manage messages."""
        found: dict[str, _Known] = {}
        for message in self.journal.imports.of_activity.get(self.activity, ()):
            found[message.id] = _Known(message.id, self.moment(message.enqueue), message, None)
        for run in self.journal.productions_of(self.activity):
            born = Moment(run.since, run.at, run.place if self._in_line else 0)
            found.setdefault(run.message, _Known(run.message, born, None, run))
        for look in self.looks:
            for name, row in look.by_id.items():
                shown = None if name in found else instant_in(row, "EnqueueDateTime")
                if shown is not None:
                    by = min(shown + SHOWN_PRECISION, look.at)
                    found[name] = _Known(name, Moment(shown - SHOWN_PRECISION, by, look.place), None, None)
        return list(found.values())

    def asked_for(self, known: _Known, cleanup: Cleanup) -> bool | None:
        """Whether a clean-up asked for this message by age and by status; None where that is not certain."""
        if cleanup.at - known.born.since < cleanup.older_than:
            return False
        old = not cleanup.older_than or cleanup.since - known.born.by >= cleanup.older_than
        state = self._state(known, self.moment(cleanup))
        wanted = {vocabulary.SPELLINGS.get(each.lower(), each) for each in cleanup.statuses}
        if not wanted:
            never_processed = known.production is not None
            return True if old and (never_processed or (state is not None and state not in IN_PROCESS)) else None
        if state is None:
            return None
        if state not in wanted:
            return False
        return True if old and state not in IN_PROCESS else None

    def _state(self, known: _Known, moment: Moment) -> str | None:
        """The state that a message certainly had at a moment."""
        message = known.message
        if message is not None and not message.may_be_taken(moment):
            return vocabulary.ENQUEUED
        seen = self._seen.get(known.id, [])
        place = next((at for at, each in enumerate(seen) if not each[0].precedes(moment)), len(seen))
        if not place:
            return None
        earlier, state = seen[place - 1]
        ran = message is not None and message.recurrence.ran_on_purpose(earlier, moment)
        # Observations between two calls have the place of the first, and a fraction.
        at_once = earlier.since == moment.by and int(earlier.place) == int(moment.place) and not ran
        later = seen[place] if place < len(seen) else None
        unchanged = later is not None and moment.precedes(later[0]) and later[1] == state
        return state if state in FOR_GOOD or at_once or unchanged else None

    @cached_property
    def _seen(self) -> dict[str, list[tuple[Moment, str]]]:
        """The states in which each message was seen, in order of time."""
        found: dict[str, list[tuple[Moment, str]]] = defaultdict(list)
        for look in self.looks:
            for name, row in look.by_id.items():
                state = vocabulary.SPELLINGS.get(str(row.get("Status", "")).lower())
                if state is not None:
                    found[name].append((self.moment(look), state))
        for known in self.messages:
            for call in self.journal.states.get(known.id, ()):
                if call.ok and call.state is not None:
                    found[known.id].append((self.moment(call), call.state))
        for seen in found.values():
            seen.sort(key=lambda each: (each[0].by, each[0].place))
        return dict(found)
