"""Chapter `processing`, the filter of an export project: one for all its recurring data jobs.

What it lets through is told from what an entity was seen to hold after the run; where it depends on how a service
compares letters, either is right.
"""

from collections.abc import Iterator
from typing import Final

from popreceipt.rules.facts import Production
from popreceipt.rules.payloads import Departure, Identity, Sieved, departures, look_after, sieved
from popreceipt.rules.projects import Project, ProjectEntity, identity
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CREATE_ACTIVITY, MUST, PRODUCE, PROJECTS, RECORDS, article, rule
from popreceipt.rules.zero_records import prevention
from popreceipt.verdict import Finding, held, violated

PROJECT_SECTION: Final = "Create a data project"


@rule(
    "processing.filter-applied",
    text="An export holds the records that meet the project's filter, and no others.",
    source=article(PROJECT_SECTION),
    reading="For a project with one recurring data job; where it has several, processing.filter-shared judges.",
    level=MUST,
    statements=(3, 13),
    needs=(PROJECTS, CREATE_ACTIVITY, PRODUCE, RECORDS),
)
def filter_applied(journal: Readings) -> Iterator[Finding]:
    """Each filtered file beside what the entity then held."""
    for departure, entity in _filtered(journal):
        if len(journal.project_of.jobs(departure.project)) == 1:
            yield from _compared(journal, departure, entity)


@rule(
    "processing.filter-shared",
    text="All recurring data jobs of a project use the same filter: a change counts for every one of them.",
    source=article(PROJECT_SECTION),
    reading="Judged for runs after the change.",
    level=MUST,
    statements=(14,),
    needs=(PROJECTS, CREATE_ACTIVITY, PRODUCE, RECORDS),
)
def filter_shared(journal: Readings) -> Iterator[Finding]:
    """Each filtered file of a project that has several jobs, beside what the job's entity then held."""
    for departure, entity in _filtered(journal):
        if len(journal.project_of.jobs(departure.project)) > 1:
            yield from _compared(journal, departure, entity)


def _filtered(journal: Readings) -> Iterator[tuple[Departure, ProjectEntity]]:
    for departure in departures(journal):
        for entity in departure.project.entities:
            if departure.project.conditions(entity) and not entity.map:
                yield departure, entity


def _sieved(journal: Readings, run: Production, project: Project, entity: ProjectEntity) -> Sieved | None:
    look = look_after(journal, run, entity.name)
    return sieved(journal, look, entity, project.conditions(entity)) if look is not None else None


def _compared(journal: Readings, departure: Departure, entity: ProjectEntity) -> Iterator[Finding]:
    wanted = _sieved(journal, departure.run, departure.project, entity)
    rows = departure.rows(journal, entity)
    if wanted is None or rows is None:
        return
    fields = journal.project_of.fields(entity)
    there: set[Identity] = {key for row in rows if (key := identity(row, fields)) is not None}
    missing, more = wanted.through - there, there - wanted.through - wanted.perhaps
    if missing:
        yield violated(f"without the record {'/'.join(min(missing))!r}, which meets the filter", departure.payload)
    elif more:
        yield violated(f"with the record {'/'.join(min(more))!r}, which does not meet the filter", departure.payload)
    else:
        yield held(f"{len(there)} records that meet the filter", departure.payload)


@rule(
    "processing.filter-before-counting",
    text="Records that the filter keeps back do not count as exported, nor against an upload of no records.",
    source=article("Preventing uploads when there are no records"),
    reading="As the run tells: its number of records, and with Prevent upload when zero records on, that nothing was "
    "uploaded where none was left.",
    level=MUST,
    statements=(13, 64, 69),
    needs=(PROJECTS, CREATE_ACTIVITY, PRODUCE, RECORDS),
)
def filter_before_counting(journal: Readings) -> Iterator[Finding]:
    """Each run of a filtered project beside what its entities then held."""
    if not journal.projects:
        return
    for run in journal.productions:
        project = journal.project_of.of(run.activity, run.place)
        if project is None or not project.filter:
            continue
        sieves = [_sieved(journal, run, project, entity) for entity in project.entities]
        known = [each for each in sieves if each is not None]
        if len(known) < len(sieves):
            continue
        least = sum(len(each.through) for each in known)
        most = least + sum(len(each.perhaps) for each in known)
        if not least <= run.records <= most:
            yield violated(f"message {run.message} counts {run.records} records, and {least} meet the filter")
        elif not most and prevention(journal, run) is True and run.uploaded:
            yield violated(f"message {run.message} has a file, though no record meets the filter")
        else:
            yield held(f"{run.records} records counted")
