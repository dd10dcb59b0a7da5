"""Batch behind a recurring data job: its recurrences, the status of its batch jobs, its monitoring, jobs that die.

The status in Manage messages is fetched asynchronously, so rules grant a minute. When a recurrence may or must have
come is told by module `recurrence`, how full a queue can have been by module `load`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.rules.facts import BatchAction, Call, Disturbance, Load, Rows, Sample
from popreceipt.rules.imports import (
    COMPLETED,
    FINAL,
    MONITORING_JOB,
    SHOWN_PRECISION,
    Import,
    Moment,
    Recurrence,
    Sighting,
    moment_of,
    recurrences,
)
from popreceipt.rules.load import Bounds, queue_of
from popreceipt.rules.readings import Readings
from popreceipt.rules.recurrence import Pattern
from popreceipt.rules.rule import (
    ADVANCE_TIME,
    ASK,
    BATCH,
    CREATE_ACTIVITY,
    FAULTS,
    INFERRED,
    MESSAGES,
    MONITORING,
    MUST,
    PARAMETERS,
    PROCESS,
    SHOULD,
    article,
    client,
    microsoft,
    rule,
)
from popreceipt.verdict import Finding, answered, held, undecided, violated

JOB_SECTION: Final = "Create a recurring data job"
BATCH_SECTION: Final = "Viewing the status of the batch job for a recurring data job"
BATCH_JOB: Final = microsoft("Create a batch job", "Create a recurrence")
FRAMEWORK: Final = microsoft("Data import/export framework parameters", "Recurring integrations compatibility")

FETCHING: Final = timedelta(minutes=1)
"""So long a status that is fetched asynchronously may take to be shown."""

STUCK: Final = timedelta(minutes=15)
"""So long a message may be in process before its batch job is taken for dead, or the next one for late."""

WHOLE_MINUTES: Final = timedelta(minutes=1)
"""Ages in minutes may be cut or rounded to whole ones."""

IN_PROCESS: Final = frozenset({vocabulary.PREPROCESSING, vocabulary.PROCESSING})
FAILED: Final = FINAL - {vocabulary.PROCESSED}
BEGUN: Final = (FINAL | {vocabulary.PROCESSING}) - {vocabulary.PREPROCESSING_ERROR}
"""States of a message that a run has taken; one that is found unusable may be so before."""

SETTLED: Final = FINAL | {vocabulary.ACKED}

BATCH_STATUSES: Final = frozenset(
    {
        *("hold", "waiting", "executing", "error", "finished", "ready", "notrun", "cancelling", "canceled"),
        "scheduled",
        # The same in the labels of the batch jobs' page.
        *("withhold", "ended", "didntrun", "canceling", "cancelled"),
    }
)
"""Statuses of the batch framework, without blanks and in lower case."""

GET_STATUS: Final = "get-status"
DELETE_HISTORY: Final = "delete-history"


# The status of batch jobs in Manage messages


class _Desk:
    """Manage messages of one recurring data job, and what was done with its batch history."""

    def __init__(self, journal: Readings, activity: str) -> None:
        self.journal = journal
        self.activity = activity
        self._in_line = journal.imports.in_line(activity)
        actions = sorted(journal.batch_actions.get(activity, ()), key=lambda each: (each.at, each.place))
        self.fetches = [each for each in actions if each.action == GET_STATUS]
        self.deletions = [each for each in actions if each.action == DELETE_HISTORY]
        self.looks = sorted(journal.rows.get(activity, ()), key=lambda each: (each.since, each.place))

    def moment(self, fact: BatchAction | Rows) -> Moment:
        """When it was, among what else was seen of this job."""
        return moment_of(fact, in_line=self._in_line)

    def fetched_by(self, look: Rows) -> BatchAction | None:
        """The last Get batch status whose result must be there at a look."""
        place = bisect_right(self.fetches, look.since - FETCHING, key=lambda each: each.at)
        return self.fetches[place - 1] if place else None

    @cached_property
    def _births(self) -> dict[str, Moment]:
        """When each message came to be: at its enqueue, or at its export run on purpose."""
        found = {each.id: each.at(each.enqueue) for each in self.journal.imports.of_activity.get(self.activity, ())}
        for run in self.journal.productions_of(self.activity):
            found.setdefault(run.message, moment_of(run, in_line=self._in_line))
        return found

    def born(self, message: str) -> Moment | None:
        """When a message came to be, where the journal tells."""
        return self._births.get(message)

    def done_before(self, message: str, moment: Moment) -> bool:
        """Whether the batch certainly was through with a message before a moment."""
        imported = self.journal.imports.by_id.get(message)
        if imported is not None:
            return imported.ended_before(moment) is not None
        born = self._births.get(message)
        return born is not None and born.precedes(moment)

    def at_rest(self, look: Rows, since: Moment) -> bool:
        """Whether no batch job of this recurring data job can have been running from then until a look."""
        recurrence = self.journal.imports.recurrence(self.activity, look.place)
        quiet = not recurrence.may_have_run(since, self.moment(look))
        return quiet and all(_state(row) in SETTLED for row in look.by_id.values())


def _desks(journal: Readings) -> Iterator[_Desk]:
    """The desks of the jobs with whose batch history something was done."""
    for activity in journal.batch_actions:
        yield _Desk(journal, activity)


def _state(row: Mapping[str, Any]) -> str | None:
    return vocabulary.SPELLINGS.get(str(row.get("Status", "")).lower())


def _shown(row: Mapping[str, Any]) -> str | None:
    """The batch status in a row; None where it is blank."""
    value = row.get("BatchStatus")
    return str(value) if value is not None and str(value).strip() else None


def _plain(status: str) -> str:
    return "".join(filter(str.isalpha, status.lower()))


@rule(
    "batch.status-vocabulary",
    text="The batch status of a message is one that the batch framework has, or blank.",
    source=microsoft("BatchStatus Enum", "Microsoft.Dynamics.Ax.Xpp"),
    reading="By its name or by the label that the page of batch jobs shows. Judged where it has been asked for.",
    level=MUST,
    statements=(61,),
    needs=(BATCH, MESSAGES),
)
def batch_statuses(journal: Readings) -> Iterator[Finding]:
    """Every row of the jobs whose batch status was fetched."""
    for desk in _desks(journal):
        for look in desk.looks if desk.fetches else ():
            for message, row in look.by_id.items():
                shown = _shown(row)
                if shown is None:
                    continue
                if _plain(shown) in BATCH_STATUSES:
                    yield held("a status of the batch framework")
                else:
                    yield violated(f"message {message} has the batch status {shown!r}, which is none")


@rule(
    "batch.status-after-fetch",
    text="After Get batch status, Manage messages shows the newest status of the batch job.",
    source=article(BATCH_SECTION),
    reading="A minute later at the latest. For messages with which the batch was through by then: not blank, unless "
    "the history was deleted, and not Executing while nothing can be running. A job that waits for its next run may "
    "be shown as Waiting.",
    level=MUST,
    statements=(60, 61, 62),
    needs=(BATCH, MESSAGES),
)
def status_after_fetch(journal: Readings) -> Iterator[Finding]:
    """Each row of a message that was done before the last fetch, in each look a minute or more after it."""
    for desk in _desks(journal):
        for look in desk.looks:
            fetch = desk.fetched_by(look)
            if fetch is None:
                continue
            asked = desk.moment(fetch)
            spoiled = [
                desk.moment(each) for each in desk.deletions if not desk.moment(look).precedes(desk.moment(each))
            ]
            for message, row in look.by_id.items():
                born = desk.born(message)
                if born is None or "BatchStatus" not in row or not desk.done_before(message, asked):
                    continue
                if not all(each.precedes(born) for each in spoiled):
                    continue
                shown = _shown(row)
                if shown is None:
                    yield violated(
                        f"message {message} is {row.get('Status')}, and its batch status blank after a fetch"
                    )
                elif _plain(shown) != "executing":
                    yield held("shown after it was fetched")
                elif desk.at_rest(look, asked):
                    yield violated(f"message {message} was done before the fetch, and its batch job {shown} after it")
                else:
                    yield undecided(f"message {message}: {shown}, which another run may be")


@rule(
    "batch.status-before-fetch",
    text="Before Get batch status the batch status of a message that is done is blank, or the newest.",
    source=article(BATCH_SECTION),
    reading="The article says that a fetch brings the newest, and not what is shown before.",
    level=ASK,
    provenance=INFERRED,
    statements=(62,),
    needs=(BATCH, MESSAGES),
    answers=("blank", "newest"),
)
def status_before_fetch(journal: Readings) -> Iterator[Finding]:
    """Rows of messages that came, and were done, after the last thing that was done with the batch history."""
    if journal.header.target.abilities and BATCH not in journal.header.target.abilities:
        return
    for activity in journal.rows:
        desk = _Desk(journal, activity)
        actions = [desk.moment(each) for each in (*desk.fetches, *desk.deletions)]
        for look in desk.looks:
            seen = desk.moment(look)
            latest = [each for each in actions if not seen.precedes(each)]
            for message, row in look.by_id.items():
                born = desk.born(message)
                if born is None or "BatchStatus" not in row or _state(row) not in FINAL | {vocabulary.ENQUEUED}:
                    continue
                through = _state(row) in FINAL or message not in journal.imports.by_id
                if through and all(each.precedes(born) for each in latest):
                    yield answered("blank" if _shown(row) is None else "newest")


@rule(
    "batch.blank-without-history",
    text="The batch status of a message is blank when the batch history record was deleted.",
    source=article(BATCH_SECTION),
    reading="After the next Get batch status, a minute later at the latest. Held only where a status was shown before.",
    level=MUST,
    statements=(63,),
    needs=(BATCH, MESSAGES),
)
def blank_without_history(journal: Readings) -> Iterator[Finding]:
    """Each row of a message that was done before the history was deleted, in each look after the next fetch."""
    for desk in _desks(journal):
        if not desk.deletions:
            continue
        had: set[str] = set()
        for look in desk.looks:
            fetch = desk.fetched_by(look)
            asked = desk.moment(fetch) if fetch is not None else None
            gone = None
            if asked is not None:
                gone = next((each for each in map(desk.moment, reversed(desk.deletions)) if each.precedes(asked)), None)
            for message, row in look.by_id.items():
                shown = _shown(row)
                if gone is None or not desk.done_before(message, gone):
                    if shown is not None:
                        had.add(message)
                elif shown is not None:
                    yield violated(f"message {message} has the batch status {shown} without a history record")
                elif message in had:
                    yield held("blank without a record")


@rule(
    "batch.history-deletion-changes-nothing-else",
    text="Deleting the batch history takes away batch statuses, and nothing else of the messages.",
    source=article(BATCH_SECTION),
    reading="Judged between two looks with nothing between them but the deletion and a fetch, of messages that have "
    "come to their end.",
    level=MUST,
    statements=(63,),
    needs=(BATCH, MESSAGES),
)
def history_deletion_changes_nothing_else(journal: Readings) -> Iterator[Finding]:
    """The last look before each deletion beside the first one after it."""
    for desk in _desks(journal):
        places = sorted(
            [each.seq for each in journal.calls_of(desk.activity)]
            + [each.place for each in journal.productions_of(desk.activity)]
            + [each.place for each in journal.runs.get(desk.activity, ())]
            + [each.place for each in journal.cleanups if each.activity == desk.activity]
            + journal.reset_places
        )
        for deletion in desk.deletions:
            at = desk.moment(deletion)
            before = next((each for each in reversed(desk.looks) if desk.moment(each).precedes(at)), None)
            after = next((each for each in desk.looks if at.precedes(desk.moment(each))), None)
            if before is None or after is None or after.at - before.since >= timedelta(days=1):
                continue
            if bisect_left(places, before.place) != bisect_left(places, after.place):
                continue
            for message, row in before.by_id.items():
                if _state(row) not in SETTLED:
                    continue
                found = after.by_id.get(message)
                changed = [
                    name for name in row if name != "BatchStatus" and found is not None and _other(row, found, name)
                ]
                if found is None:
                    yield violated(f"message {message} is no longer listed")
                elif changed:
                    name = changed[0]
                    yield violated(f"message {message}: {name} was {row[name]!r} and is {found.get(name)!r}")
                else:
                    yield held("as before")


def _other(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> bool:
    return bool(before[name] != after.get(name))


# Recurrences with a start, an end, weekdays or months


def _withheld(journal: Readings, without: Callable[[Pattern], Pattern]) -> Iterator[Finding]:
    """Imports that no run may have taken for one reason alone: a part of the pattern `without` which it might have."""
    for message in journal.imports:
        pattern, origin = message.recurrence.pattern, message.recurrence.origin
        if pattern is None or (loose := without(pattern)) == pattern:
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
            witnesses = [message.enqueue, *([sighting.call] if sighting.call is not None else [])]
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
                yield violated(f"still Enqueued {missed} occurrences later", message.enqueue, *_calls(late))
            elif taken is not None and _occurred(message, taken) and not _on_purpose(message, taken):
                yield held("taken", message.enqueue, *_calls(taken))


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


def _calls(sighting: Sighting) -> tuple[Call, ...]:
    return (sighting.call,) if sighting.call is not None else ()


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
            if before is None or message.in_order:
                continue
            recurrence, handed_in, taken = message.recurrence, message.enqueue.answered, message.taken
            witnesses = (before.enqueue, message.enqueue)
            if late is not None and recurrence.ticks_between(handed_in, late.since) > grace:
                yield violated("still Enqueued after a recurrence", *witnesses, *_calls(late))
            elif taken is None or _on_purpose(message, taken):
                continue
            elif recurrence.ticks_between(handed_in, taken.since):
                yield held("taken after a failure", *witnesses, *_calls(taken))


# Batch jobs that die


class _Death:
    """An import whose batch job has died while it was in process, as it was seen then and afterwards."""

    def __init__(self, journal: Readings, message: Import, seen: Sighting, fault: Disturbance) -> None:
        self.message = message
        self.seen = seen
        place = max(seen.place, fault.end_place)
        self.runs = [each for each in journal.runs.get(message.activity, ()) if each.place > place]
        self.runs_since = [each for each in journal.runs.get(message.activity, ()) if each.place > seen.place]
        self.later = [each for each in message.seen if seen.precedes(each)]


def _deaths(journal: Readings) -> Iterator[_Death]:
    """Imports that a planned death of their batch job struck: so long in process that nothing else explains it."""
    faults = [each for each in journal.disturbances if each.kind == "dies"]
    for message in journal.imports if faults else ():
        if not message.disturbed or not message.in_line:
            continue
        fault = next(
            (
                each
                for each in faults
                if each.activity in (None, message.activity) and message.enqueue.seq < each.end_place
            ),
            None,
        )
        begun = next((each for each in message.seen if each.state in IN_PROCESS), None)
        if fault is None or begun is None:
            continue
        seen = next(
            (each for each in message.seen if each.state in IN_PROCESS and each.since - begun.by >= STUCK),
            None,
        )
        if seen is not None:
            yield _Death(journal, message, seen, fault)


def _skipping(journal: Readings, since: float, by: float) -> frozenset[bool | None]:
    """What Skip reprocessing was between two places of the journal. Until somebody tells it is No, its default."""
    told = journal.parameters
    first = bisect_right(told, since, key=lambda each: each.place)
    last = bisect_right(told, by, key=lambda each: each.place)
    before = told[first - 1].skip_reprocessing if first else False
    return frozenset([before, *(each.skip_reprocessing for each in told[first:last])])


@rule(
    "batch.requeued-by-the-next-run",
    text="A message whose batch job died while it was in process is put back by the next run, and processed.",
    source=FRAMEWORK,
    reading="With Skip reprocessing set to No, as it is by default. The run that puts it back may take it itself or "
    "leave that to the one after it. In process for a quarter of an hour counts as dead where the death was planned.",
    level=MUST,
    statements=(60,),
    needs=(FAULTS, PARAMETERS, PROCESS),
)
def requeued_by_the_next_run(journal: Readings) -> Iterator[Finding]:
    """Each such message after the runs that came since."""
    for death in _deaths(journal):
        if not death.runs or not death.later:
            continue
        last = death.later[-1]
        if _skipping(journal, death.seen.place, last.place) != {False}:
            continue
        end = next((each for each in death.later if each.state in FINAL), None)
        witnesses = (death.message.enqueue, *_calls(death.seen))
        if end is not None and death.runs_since and death.runs_since[0].place < end.place:
            if end.state in COMPLETED:
                yield held("processed in the end", *witnesses, *_calls(end))
        elif end is None and len(death.runs) > 1 and last.since >= death.runs[1].at + STUCK:
            yield violated(f"still {last.state} after {len(death.runs)} further runs", *witnesses, *_calls(last))


@rule(
    "batch.stays-when-skipped",
    text="With Skip reprocessing set to Yes, a message whose batch job died while it was in process stays as it is.",
    source=FRAMEWORK,
    level=MUST,
    statements=(60,),
    needs=(FAULTS, PARAMETERS, PROCESS),
)
def stays_when_skipped(journal: Readings) -> Iterator[Finding]:
    """Each such message after a run with that setting."""
    for death in _deaths(journal):
        if not death.runs_since:
            continue
        run = death.runs_since[0]
        for sighting in death.later:
            if sighting.place < run.place or _skipping(journal, death.seen.place, sighting.place) != {True}:
                continue
            witnesses = (death.message.enqueue, *_calls(death.seen), *_calls(sighting))
            if sighting.state not in IN_PROCESS:
                yield violated(f"{sighting.state} after a further run", *witnesses)
                break
            if sighting.since >= run.at + FETCHING:
                yield held(f"still {sighting.state}", *witnesses)


@rule(
    "batch.retry-counted",
    text="A message that was put back and processed again has a higher RetryCount than before.",
    source=client("Microsoft common data model", "table IntegrationActivityMessageTable, column RetryCount"),
    reading="What counts as a retry is documented nowhere.",
    level=SHOULD,
    provenance=INFERRED,
    needs=(FAULTS, PARAMETERS, PROCESS, MESSAGES),
)
def retry_counted(journal: Readings) -> Iterator[Finding]:
    """The column before such a message was put back, and after its end."""
    for death in _deaths(journal):
        message = death.message
        end = next((each for each in death.later if each.state in FINAL), None)
        if end is None or not death.runs_since or death.runs_since[0].place > end.place:
            continue
        before = after = None
        for look in journal.rows.get(message.activity, ()):
            row = look.by_id.get(message.id)
            count = row.get("RetryCount") if row is not None else None
            if isinstance(count, int) and look.place < death.runs_since[0].place:
                before = count
            elif isinstance(count, int) and look.place >= end.place:
                after = count
        if before is None or after is None:
            continue
        if after > before:
            yield held("counted", message.enqueue)
        else:
            yield violated(f"processed again, and RetryCount is {after} as before", message.enqueue)


# Monitoring


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
    "for its start. On a clock that is not the harness's own, one may be missing.",
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
        if taken < certain - grace:
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
    "nobody had dequeued. Ages may be in whole minutes.",
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
                if runs.get(message_id, sampled) >= sampled or _state(row) is None:
                    continue
                if _state(row) == vocabulary.ENQUEUED:
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
            yield held("a file still waits", message.enqueue, *_calls(sighting))
        elif sighting.state in BEGUN:
            yield violated(f"{sighting.state} after a sample and before any run", message.enqueue, *_calls(sighting))
        return
