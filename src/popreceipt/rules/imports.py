"""Questions about imports: what was handed in, when the batch may or must have run, what was seen of each message.

A recurrence is known by its bounds: it counts from the creation of its recurring data job, or from a reset, and both
took effect between two instants. Where a journal does not tell, the answers are the lenient ones.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from heapq import heappop, heappush
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.facts import Activity, Call, Enqueue, ProcessRun, StatusAnswer, extended
from popreceipt.rules.files import (
    ENTITY,
    MANIFEST,
    PACKAGE_HEADER,
    ParsedFile,
    alphabetical,
    members_of,
    records_of,
)
from popreceipt.rules.pattern import Pattern, Untold, pattern_in
from popreceipt.rules.reader import instant_of

if TYPE_CHECKING:
    from popreceipt.rules.readings import Readings

FINAL: Final = frozenset(
    {
        vocabulary.PROCESSED,
        vocabulary.PROCESSED_WITH_ERRORS,
        vocabulary.PREPROCESSING_ERROR,
        vocabulary.POSTPROCESSING_FAILED,
    }
)
"""Statuses after which an import has come to its end."""

COMPLETED: Final = frozenset({vocabulary.PROCESSED, vocabulary.PROCESSED_WITH_ERRORS})
"""Statuses that say that the records were taken through to the target."""

FAILED: Final = FINAL - {vocabulary.PROCESSED}
"""Final statuses of an import that did not fully succeed."""

BEGUN: Final = (FINAL | {vocabulary.PROCESSING}) - {vocabulary.PREPROCESSING_ERROR}
"""States of a message that a run has taken; one that is found unusable may be so before."""

SHOWN_PRECISION: Final = timedelta(seconds=1)
"""Instants in Manage messages may be cut or rounded to whole seconds."""

CLEANED_UP_AFTER: Final = timedelta(hours=12)
"""Clean-ups go by whole days; where others use a job a message is counted on for this long."""

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Some instant between `since` and `by`.

    Of one caller's moments their places in the journal tell which was first, even where the bounds touch or overlap
    (as they do on a clock that stands, or on one that is known from afar). What several did at once has the place 0.
    """

    since: datetime
    by: datetime
    place: float

    def precedes(self, other: "Moment") -> bool:
        """Certainly lies before `other`."""
        if self.place and other.place:
            return self.place < other.place
        return self.by < other.since


class Sighting(Moment, frozen=True, gc=False):
    """A message had this state at that moment; `call` told it, None: Manage messages."""

    state: str
    call: StatusAnswer | None

    @property
    def told_by(self) -> tuple[Call, ...]:
        """The call that told it, if one did."""
        return (self.call,) if self.call is not None else ()


class Row(Moment, frozen=True, gc=False):
    """A message's row of Manage messages as it stood at that moment."""

    state: str | None
    started: datetime | None
    completed: datetime | None

    @property
    def untouched(self) -> bool:
        """The batch has not taken it yet."""
        return self.state == vocabulary.ENQUEUED and self.started is None


class Recurrence:
    """When the batch of one recurring data job runs, from one reset or change of its recurrence to the next.

    The n-th tick (n from 1) lies n periods after the origin, which is known to lie between `first` and `last`. One
    whose ticks are not so (it has a start, weekdays, months or an end) has a `pattern` and no `period`: here such a
    batch may always have run, and module `recurrence` asks the pattern.
    """

    def __init__(
        self,
        period: timedelta | None,
        *,
        told: bool,
        origin: tuple[datetime, datetime] | None,
        until: datetime,
        runs: list[ProcessRun],
        pattern: Pattern | None = None,
    ) -> None:
        self.period = period
        self.pattern = pattern
        self.until = until
        self.origin = origin
        self.told = told
        self._runs = runs
        self._run_ends = [each.at for each in runs]
        self._run_places = [each.place for each in runs]

    @property
    def exact(self) -> bool:
        """Its ticks are known to the instant."""
        return self.origin is not None and self.origin[0] == self.origin[1] and self.period is not None

    def ran_on_purpose(self, start: Moment, end: Moment) -> bool:
        """Whether somebody may have made the batch run after `start` had begun and before `end` was over."""
        if start.place and end.place:
            return bisect_right(self._run_places, start.place) < bisect_left(self._run_places, end.place)
        place = bisect_left(self._run_ends, start.since)
        return place < len(self._runs) and self._runs[place].since <= end.by

    def may_have_run(self, start: Moment, end: Moment) -> bool:
        """Whether the batch may have run after `start` had begun and before `end` was over."""
        if end.by >= self.until or self.ran_on_purpose(start, end):
            return True
        if self.period is None:
            return not self.told
        if self.origin is None:
            return True
        first, last = self.origin
        return max(1, _ceiling(start.since - last, self.period)) <= (end.by - first) // self.period

    def first_after(self, instant: datetime) -> datetime:
        """The earliest instant at which the batch may run, if something is there from an instant on."""
        place = bisect_left(self._run_ends, instant)
        on_purpose = self._runs[place].since if place < len(self._runs) else _NEVER
        if self.period is None:
            return min(on_purpose, self.until) if self.told else instant
        if self.origin is None:
            return instant
        first, last = self.origin
        steps = max(1, _ceiling(instant - last, self.period))
        return min(on_purpose, self.until, first + steps * self.period)

    def may_be_outlasted(self, since: datetime, by: datetime) -> bool:
        """Whether a run that took what came at an instant may have gone on when, by another, the next was due.

        A run on purpose begins at any time, one of a recurrence at least an occurrence before the one that it outlasts.
        """
        if self.pattern is not None:
            # Days and months are no shorter than a day. What comes at an occurrence waits for another.
            apart = timedelta(0) if self._runs else self.pattern.step or timedelta(days=1)
            following = since + apart + timedelta(microseconds=1)
            return following <= by and self.pattern.may_occur(self.origin, following, by)
        if self.period is None:
            return not self.told
        if self.origin is None:
            return True
        first, last = self.origin
        due = (by - first) // self.period
        begun_at = due if self._runs else due - 1
        return begun_at >= 1 and since < last + begun_at * self.period

    def ticks_between(self, start: datetime, end: datetime) -> int:
        """How many ticks certainly lie after `start` and before `end`."""
        if self.period is None or self.origin is None:
            return 0
        first, last = self.origin
        lowest = max(1, (start - first) // self.period + 1)
        highest = _ceiling(min(end, self.until) - last, self.period) - 1
        return max(0, highest - lowest + 1)


def _ceiling(stretch: timedelta, period: timedelta) -> int:
    return -((-stretch) // period)


class Import:
    """One file that was handed in and accepted, and what was seen of its message afterwards.

    `file` is what a right service reads in it, None where anything about it, or about its processing, is open.
    `disturbed` says that its processing may have been made to fail on purpose, `expired` that the batch may have come
    to it only when its file was no longer kept; `sound` that there was a file to read, whatever became of it. `late`
    says that a run which was due before it came may have come after it: the one before may have outlasted its slot.
    `asked` is what GetMessageStatus said, `jobs` what jobstatus said, `rows` what Manage messages showed. `seen` joins
    the first and the last in order of time: jobstatus is not documented, so nothing but its own rules rests on it.
    """

    __slots__ = (
        "asked",
        "disturbed",
        "enqueue",
        "expired",
        "file",
        "id",
        "in_line",
        "in_order",
        "jobs",
        "late",
        "recurrence",
        "rows",
        "seen",
        "settings",
        "sound",
    )

    def __init__(
        self,
        enqueue: Enqueue,
        message: str,
        settings: Mapping[str, Any],
        recurrence: Recurrence,
        file: ParsedFile | None,
        *,
        in_line: bool,
    ) -> None:
        self.enqueue = enqueue
        self.id = message
        self.settings = settings
        self.recurrence = recurrence
        self.file = file
        self.in_line = in_line
        self.sound = file is not None
        self.disturbed = False
        self.expired = False
        self.late = False
        self.in_order = bool(settings.get("in_order")) and settings.get("type") == "file"
        self.asked: Sequence[Sighting] = ()
        self.jobs: Sequence[Sighting] = ()
        self.rows: Sequence[Row] = ()
        self.seen: Sequence[Sighting] = ()

    @property
    def activity(self) -> str:
        """The recurring data job that it was handed to."""
        return self.enqueue.activity or ""

    @property
    def final(self) -> Sighting | None:
        """The first sight of its end, from GetMessageStatus or Manage messages."""
        return next((each for each in self.seen if each.state in FINAL), None)

    @property
    def waits_until(self) -> datetime:
        """Until when it certainly waited for a run: it was seen so, and can only once be taken."""
        waiting = (each for each in reversed(self.seen) if each.state == vocabulary.ENQUEUED)
        last = None if self.disturbed else next(waiting, None)
        return max(self.enqueue.sent, last.since) if last is not None else self.enqueue.sent

    @property
    def over_by(self) -> datetime:
        """When it certainly was at its end; the last of all times where nobody saw that."""
        shown = [each.completed + SHOWN_PRECISION for each in self.rows if each.completed and each.state in FINAL]
        final = self.final
        return min([*shown, *((final.by,) if final is not None else ())], default=_NEVER)

    @property
    def told(self) -> Sighting | None:
        """The end as GetMessageStatus told it first, or else as it was seen anywhere."""
        return next((each for each in self.asked if each.state in FINAL), None) or self.final

    @property
    def taken(self) -> Sighting | None:
        """The first sight of it in another state than Enqueued."""
        return next((each for each in self.seen if each.state != vocabulary.ENQUEUED), None)

    def at(self, fact: "Call | Told") -> Moment:
        """When a call took effect, or an observation was made, to be compared with what was seen of this message."""
        return moment_of(fact, in_line=self.in_line)

    def may_be_taken(self, by: Moment) -> bool:
        """Whether the batch may have run since the enqueue was sent and before `by` was over."""
        return self.late or self.recurrence.may_have_run(self.at(self.enqueue), by)

    def first_run(self) -> datetime:
        """The earliest instant at which a run may have taken it."""
        return self.enqueue.sent if self.late else self.recurrence.first_after(self.enqueue.sent)

    def ended_before(self, moment: Moment) -> Sighting | None:
        """The end, where it was seen before that."""
        final = self.final
        return final if final is not None and final.precedes(moment) else None


class Imports:
    """The accepted imports of a journal, by message and by recurring data job, in the order in which they were sent."""

    def __init__(self, journal: "Readings") -> None:
        self._journal = journal
        self._histories = {name: _History(journal, name) for name in journal.activities}
        self.by_id: dict[str, Import] = {}
        self.of_activity: dict[str, list[Import]] = defaultdict(list)
        twice: set[str] = set()
        for each in journal.enqueues:
            if not each.ok or each.message is None:
                continue
            if each.message in self.by_id:
                twice.add(each.message)
                continue
            history = self._histories.get(each.activity or "")
            settings = history.settings(each.seq) if history is not None else _NO_SETTINGS
            recurrence = history.recurrence(each.seq) if history is not None else _UNKNOWN
            in_line = self.in_line(each.activity or "")
            file = _sound_file(each, settings) if journal.project_of.plain(each.activity) else None
            made = Import(each, each.message, settings, recurrence, file, in_line=in_line)
            self.by_id[each.message] = made
        for message in twice:
            del self.by_id[message]
        for made in self.by_id.values():
            self.of_activity[made.activity].append(made)
        self._see()
        for made in self.by_id.values():
            if made.seen and made.seen[-1].by >= made.enqueue.sent + journal.retention and _came_late(made, journal):
                made.expired, made.file = True, None
        for made in self.by_id.values() if journal.disturbances else ():
            if self._was_disturbed(made):
                made.disturbed, made.file = True, None
        for messages in self.of_activity.values():
            _see_late_runs(messages)

    def __iter__(self) -> Iterator[Import]:
        return iter(self.by_id.values())

    def _was_disturbed(self, message: Import) -> bool:
        """Whether somebody may have made its processing fail on purpose: then nothing follows from its file."""
        for each in self._journal.disturbances:
            if each.activity not in (None, message.activity) or message.enqueue.seq > each.end_place:
                continue
            final = message.final
            over = final is not None and (final.place < each.place if final.place else final.by < each.since)
            if not over:
                return True
        return False

    def settings(self, activity: str | None, place: float) -> Mapping[str, Any]:
        """All settings of a recurring data job as told before a place in the journal; none where nobody told."""
        history = self._histories.get(activity or "")
        return history.settings(place) if history is not None else {}

    def recurrence(self, activity: str, place: float) -> Recurrence:
        """The recurrence of a job that held at a place in the journal."""
        history = self._histories.get(activity)
        return history.recurrence(place) if history is not None else _UNKNOWN

    def in_line(self, activity: str) -> bool:
        """Whether what was done with a job was done one after another, in the order of the journal.

        A suite's calls are, as long as no consumers with names of their own call at once.
        """
        return self._journal.exports.in_line(activity) or (self._one_driver and not self._crowded(activity))

    def _crowded(self, activity: str) -> bool:
        return activity in self._crowds

    @cached_property
    def _crowds(self) -> frozenset[str]:
        return frozenset(
            each.activity for each in self._journal.calls if each.activity and each.actor and "/" in each.actor
        )

    @cached_property
    def _one_driver(self) -> bool:
        """Whether the journal was written by the caller, who says of every call which identity made it."""
        journal = self._journal
        return journal.header.recorded_by == "client" and all(each.actor for each in journal.calls)

    def gone(self, message: Import, by: datetime) -> bool:
        """Whether a clean-up, a reset or the end of the seven days may have taken the message by then."""
        return (
            by >= message.enqueue.sent + self.kept(message.activity)
            or by >= self.reset_after(message.enqueue)
            or any(each.activity == message.activity and each.since <= by for each in self._journal.cleanups)
        )

    def kept(self, activity: str) -> timedelta:
        """How long a message certainly stays, if nobody here cleans up: where others use the job, they may."""
        told = self._journal.activities.get(activity, ())
        shared = any(each.settings.get("exclusive") is False for each in told)
        return min(CLEANED_UP_AFTER, self._journal.retention) if shared else self._journal.retention

    def misread(self, message: Import) -> bool:
        """Whether a message may have failed for the spelling of its entity: with %20 none got through, with + some."""
        return "%20" in message.enqueue.query and self._only_plus_is_read

    @cached_property
    def _only_plus_is_read(self) -> bool:
        queries = [each.enqueue.query for each in self if each.final is not None and each.final.state in COMPLETED]
        return any(plus_in_entity(each) for each in queries) and not any("%20" in each for each in queries)

    def lost(self, activity: str, by: datetime) -> int:
        """How many files were handed in by then of which nobody knows whether a message was made."""
        return bisect_right(self._lost.get(activity, ()), by)

    @cached_property
    def _lost(self) -> dict[str, list[datetime]]:
        found: dict[str, list[datetime]] = defaultdict(list)
        for each in self._journal.enqueues:
            if each.activity is not None and (each.in_doubt or (each.ok and each.message is None)):
                found[each.activity].append(each.sent)
        return dict(found)

    @cached_property
    def executions(self) -> dict[str, list[str]]:
        """The messages for which an execution was named, by the execution."""
        found: dict[str, list[str]] = defaultdict(list)
        for call in self._journal.execution_ids:
            if call.ok and call.message and call.execution and is_execution(call.execution):
                known = found[call.execution]
                if call.message not in known:
                    known.append(call.message)
        return dict(found)

    def reset_after(self, call: Call) -> datetime:
        """From when on a reset may have undone what a call did."""
        resets = zip(self._journal.reset_spans, self._journal.reset_places, strict=True)
        return min((since for (since, _), place in resets if place > call.seq), default=_NEVER)

    def _see(self) -> None:
        for answers, series in ((self._journal.statuses, "asked"), (self._journal.jobstatuses, "jobs")):
            for call in answers:
                made = self.by_id.get(call.message or "")
                if made is not None and call.ok and call.state is not None:
                    at = made.at(call)
                    sighting = Sighting(at.since, at.by, at.place, call.state, call)
                    if series == "asked":
                        made.asked = extended(made.asked, sighting)
                        made.seen = extended(made.seen, sighting)
                    else:
                        made.jobs = extended(made.jobs, sighting)
        for activity, observed in self._journal.rows.items():
            for rows in observed:
                for message, row in rows.by_id.items():
                    made = self.by_id.get(message)
                    if made is None or made.activity != activity:
                        continue
                    seen = _row(row, made.at(rows))
                    made.rows = extended(made.rows, seen)
                    if seen.state is not None:
                        shown = Sighting(seen.since, seen.by, seen.place, seen.state, None)
                        made.seen = extended(made.seen, shown)
        for made in self.by_id.values():
            if len(made.seen) > 1:
                made.seen = sorted(made.seen, key=_when)
            end = self.reset_after(made.enqueue) if self._journal.resets else _NEVER
            if end < _NEVER:
                made.asked = [each for each in made.asked if each.by <= end]
                made.jobs = [each for each in made.jobs if each.by <= end]
                made.rows = [each for each in made.rows if each.by <= end]
                made.seen = [each for each in made.seen if each.by <= end]


def _see_late_runs(messages: Sequence[Import]) -> None:
    """Tell the imports of a job that may have come while a run went on at which the next one was due already."""
    begun: list[tuple[datetime, datetime]] = []
    for message in messages:
        came = message.enqueue
        while begun and begun[0][1] < came.sent:
            heappop(begun)
        # Of those that may still be in process that one has outlasted a slot, if any has, which may have begun first.
        message.late = bool(begun) and message.recurrence.may_be_outlasted(begun[0][0], came.answered)
        heappush(begun, (message.waits_until, message.over_by))


class Ends:
    """Until when imports of a job may have been in process that had been begun by some instant."""

    def __init__(self, messages: Sequence[Import]) -> None:
        spans = sorted((each.waits_until, each.over_by) for each in messages)
        self._waited = [waited for waited, _ in spans]
        self._latest = list(accumulate((end for _, end in spans), max))

    def latest(self, instant: datetime) -> datetime:
        """The latest end of those that may have been begun before an instant; the first of all times if none may."""
        begun = bisect_left(self._waited, instant)
        return self._latest[begun - 1] if begun else _FIRST


class _History:
    """A recurring data job's settings and recurrences over time."""

    def __init__(self, journal: "Readings", activity: str) -> None:
        observed = sorted(journal.activities[activity], key=lambda each: each.place)
        runs = sorted(journal.runs.get(activity, ()), key=lambda each: (each.at, each.place))
        self._places: list[float] = []
        self._settings: list[Mapping[str, Any]] = []
        merged: dict[str, Any] = {}
        for each in observed:
            merged = {**merged, **each.settings}
            self._places.append(each.place)
            self._settings.append(merged)
        self._starts: list[float] = []
        self._recurrences: list[Recurrence] = []
        for start, recurrence in recurrences(journal, observed, PROCESSING_JOB, runs):
            self._starts.append(start)
            self._recurrences.append(recurrence)

    def settings(self, place: float) -> Mapping[str, Any]:
        told = bisect_right(self._places, place)
        return self._settings[told - 1] if told else {}

    def recurrence(self, place: float) -> Recurrence:
        told = bisect_right(self._starts, place)
        return self._recurrences[told - 1] if told else _UNKNOWN


PROCESSING_JOB: Final = "processing"
MONITORING_JOB: Final = "monitoring"
"""The two recurrences of a recurring data job, as the names of its settings begin."""

_NO_SETTINGS: Final[Mapping[str, Any]] = {}

_UNKNOWN: Final = Recurrence(None, told=False, origin=None, until=_NEVER, runs=[])

_Span = tuple[datetime, datetime]
_Told = Pattern | Untold | None
_Change = tuple[float, datetime, _Span | None, _Told]


def recurrences(
    journal: "Readings", observed: list[Activity], job: str, runs: list[ProcessRun]
) -> Iterator[tuple[float, Recurrence]]:
    """A job's recurrences one after another, each with the place in the journal from which on it held."""
    changes = _changes(observed, list(zip(journal.reset_places, journal.reset_spans, strict=True)), job)
    for place, (start, _, origin, told) in enumerate(changes):
        until = changes[place + 1][1] if place + 1 < len(changes) else _NEVER
        pattern = told if isinstance(told, Pattern) else None
        period = pattern.period if pattern is not None else None
        yield (
            start,
            Recurrence(
                period,
                told=told is None or period is not None,
                origin=origin,
                until=until,
                runs=runs,
                pattern=pattern if period is None else None,
            ),
        )


def _changes(observed: list[Activity], resets: list[tuple[float, _Span]], job: str) -> list[_Change]:
    """Which recurrence held from when on.

    Each has the place and the time of its start, the bounds of its origin (None: unknown) and what was told of it.
    """
    found: list[_Change] = []
    events: list[tuple[float, Activity | _Span]] = [*resets, *((each.place, each) for each in observed)]
    events.sort(key=lambda each: each[0])
    last_reset: _Span | None = None
    for place, event in events:
        if isinstance(event, tuple):
            last_reset = event
            if found:
                found.append((place, event[0], event, found[0][3]))
            continue
        told = pattern_in(event.settings, job)
        if not found:
            origin = (event.since, event.at) if event.created else last_reset
            found.append((place, event.since, origin, told))
        elif told not in (found[-1][3], Untold()):
            # From when a changed recurrence counts is open.
            found.append((place, event.since, None, told))
    return found


def _sound_file(enqueue: Enqueue, settings: Mapping[str, Any]) -> ParsedFile | None:
    """The records of a file that a right service takes for what it is; None where anything about it is open."""
    if settings.get("direction") != "import" or str(settings.get("entity", "")).casefold() != ENTITY:
        return None
    kind = settings.get("type")
    entity = (enqueue.entity or "").casefold()
    if entity != ENTITY and not (kind == "package" and not entity):
        return None
    if plus_in_entity(enqueue.query) or (enqueue.company and settings.get("use_company_from_message") is not False):
        return None
    if str(settings.get("format", "CSV")).casefold() != "csv" or enqueue.encoding not in (None, "identity"):
        return None
    content = enqueue.body.content() if enqueue.body is not None else None
    file = records_of(content) if content else None
    if file is None or file.kind != {"file": "csv", "package": "package"}.get(str(kind)):
        return None
    if file.kind == "package" and not ordered(content or b""):
        return None
    return file


def ordered(package: bytes) -> bool:
    """Whether the elements of a package's XML files stand in the order in which every service takes them."""
    parts = members_of(package, (MANIFEST, PACKAGE_HEADER)) or {}
    return all(alphabetical(each) is not False for each in parts.values())


def _came_late(message: Import, journal: "Readings") -> bool:
    """Whether nothing shows that the batch took a message while its file was kept."""
    end = message.enqueue.sent + journal.retention
    if any(row.started is not None and row.started + SHOWN_PRECISION < end for row in message.rows):
        return False
    taken = message.taken
    return taken is not None and taken.by >= end


def plus_in_entity(query: str) -> bool:
    """Whether a plus sign stands for a blank in the entity's name: not every service need read it so."""
    return any("+" in part for part in query.split("&") if part.lower().startswith("entity="))


def _row(row: Mapping[str, Any], look: Moment) -> Row:
    return Row(
        look.since,
        look.by,
        look.place,
        state_in(row),
        instant_in(row, "ProcessingStartedDateTime"),
        instant_in(row, "ProcessingCompletedDateTime"),
    )


def state_in(row: Mapping[str, Any]) -> str | None:
    """The documentation's name of the status in a row of Manage messages; None where it is none."""
    return vocabulary.SPELLINGS.get(str(row.get("Status", "")).lower())


def instant_in(row: Mapping[str, Any], column: str) -> datetime | None:
    """An instant in a row of Manage messages; None where it is blank."""
    value = row.get(column)
    read = instant_of(value) if isinstance(value, str) else None
    return read[0] if read is not None else None


def _when(sighting: Sighting) -> tuple[datetime, float]:
    return sighting.by, sighting.place


class Told(Protocol):
    """What an observation of the journal becomes: something that was so at some instant between `since` and `at`."""

    since: datetime
    at: datetime
    place: float


def moment_of(fact: Call | Told, *, in_line: bool) -> Moment:
    """When a call took effect, or an observation was made; `in_line` tells whether its place says what was first."""
    if isinstance(fact, Call):
        alone = in_line and not (fact.actor and "/" in fact.actor)
        return Moment(fact.sent, fact.answered, fact.seq if alone else 0)
    return Moment(fact.since, fact.at, fact.place if in_line else 0)


def is_execution(text: str | None) -> bool:
    """Whether a text names an execution: it is not blank and not the GUID of zeros."""
    return bool(text and text.strip()) and vocabulary.bare_guid(text or "") != vocabulary.ZERO_GUID


def trusted(role: str | None) -> bool:
    """Whether a call came from the client that every policy lists (or from nobody knows whom)."""
    return role in (None, "authorised")


def gate_or_gateway(status: int) -> bool:
    """A status that says nothing about the question: the door was shut, or something before the service answered."""
    return status in (401, 403, 408, 429, 502, 503, 504)
