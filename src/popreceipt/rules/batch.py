"""What Manage messages shows of batch jobs, and what becomes of a message whose batch job dies.

The status in Manage messages is fetched asynchronously, so rules grant a minute. The chapter's rules about recurrences
and about monitoring stand in modules of their own.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.rules.facts import BatchAction, Disturbance, Rows
from popreceipt.rules.imports import COMPLETED, FINAL, Import, Moment, Sighting, moment_of, state_in
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import (
    ASK,
    BATCH,
    FAULTS,
    INFERRED,
    MESSAGES,
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

BATCH_SECTION: Final = "Viewing the status of the batch job for a recurring data job"
FRAMEWORK: Final = microsoft("Data import/export framework parameters", "Recurring integrations compatibility")

FETCHING: Final = timedelta(minutes=1)
"""So long a status that is fetched asynchronously may take to be shown."""

STUCK: Final = timedelta(minutes=15)
"""So long a message may be in process before its batch job is taken for dead, or the next one for late."""

IN_PROCESS: Final = frozenset({vocabulary.PREPROCESSING, vocabulary.PROCESSING})
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
        return quiet and all(state_in(row) in SETTLED for row in look.by_id.values())


def _desks(journal: Readings) -> Iterator[_Desk]:
    """The desks of the jobs with whose batch history something was done."""
    for activity in journal.batch_actions:
        yield _Desk(journal, activity)


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
                if born is None or "BatchStatus" not in row or state_in(row) not in FINAL | {vocabulary.ENQUEUED}:
                    continue
                through = state_in(row) in FINAL or message not in journal.imports.by_id
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
                if state_in(row) not in SETTLED:
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


# Batch jobs that die


class _Death:
    """An import whose batch job has died while it was in process, as it was seen then and afterwards."""

    def __init__(self, journal: Readings, message: Import, begun: Sighting, seen: Sighting, fault: Disturbance) -> None:
        self.message = message
        self.begun = begun
        self.seen = seen
        place = max(seen.place, fault.end_place)
        self.runs = [each for each in journal.runs.get(message.activity, ()) if each.place > place]
        self.runs_since = [each for each in journal.runs.get(message.activity, ()) if each.place > seen.place]
        self.later = [each for each in message.seen if seen.precedes(each)]


def _deaths(journal: Readings) -> Iterator[_Death]:
    """Imports that a planned death of their batch job struck: so long in process that nothing else explains it."""
    planned: dict[str | None, list[Disturbance]] = defaultdict(list)
    for each in journal.disturbances:
        planned[each.activity].append(each)
    deadly = {activity for activity, faults in planned.items() if any(each.kind == "dies" for each in faults)}
    for activity, messages in journal.imports.of_activity.items() if deadly else ():
        faults = [*planned.get(activity, ()), *planned.get(None, ())]
        for message in messages if not deadly.isdisjoint((activity, None)) else ():
            if not message.disturbed or not message.sound or not message.in_line:
                continue
            met = [each for each in faults if message.enqueue.seq < each.end_place]
            begun = next((each for each in message.seen if each.state in IN_PROCESS), None)
            if begun is None or begun.place < met[0].place or any(each.kind != "dies" for each in met):
                continue
            seen = next(
                (each for each in message.seen if each.state in IN_PROCESS and each.since - begun.by >= STUCK), None
            )
            if seen is not None:
                yield _Death(journal, message, begun, seen, met[0])


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
        witnesses = (death.message.enqueue, *death.seen.told_by)
        if end is not None and death.runs_since and death.runs_since[0].place < end.place:
            if end.state in COMPLETED:
                yield held("processed in the end", *witnesses, *end.told_by)
        elif end is None and len(death.runs) > 1 and last.since >= death.runs[1].at + STUCK:
            yield violated(f"still {last.state} after {len(death.runs)} further runs", *witnesses, *last.told_by)


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
            witnesses = (death.message.enqueue, *death.seen.told_by, *sighting.told_by)
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
                # A run at the recurrence, of which nobody tells, may have put it back before.
                looked = moment_of(look, in_line=message.in_line)
                if before is None and not message.recurrence.may_have_run(death.begun, looked):
                    before = count
            elif isinstance(count, int) and look.place >= end.place:
                after = count
        if before is None or after is None:
            continue
        if after > before:
            yield held("counted", message.enqueue)
        else:
            yield violated(f"processed again, and RetryCount is {after} as before", message.enqueue)
