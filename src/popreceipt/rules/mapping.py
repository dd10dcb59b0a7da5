"""Chapter `processing`, what a data project does to a file on its way: source format, field map, style sheets.

What should land follows from the file that was handed in and from the project as it then stood; rules compare it with
what was seen in the target table after the end of the import.
"""

from collections.abc import Callable, Iterator
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.facts import Call, Production
from popreceipt.rules.files import ENTITY
from popreceipt.rules.formats import FORMATS, PLAIN, XML_ATTRIBUTE, XML_ELEMENT, Row
from popreceipt.rules.imports import COMPLETED, Sighting
from popreceipt.rules.landing import Landing, Part
from popreceipt.rules.payloads import departures, look_after
from popreceipt.rules.projects import ProjectEntity, alike, identity
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import (
    CLIENT_OBSERVED,
    CREATE_ACTIVITY,
    MUST,
    PROCESS,
    PRODUCE,
    PROJECTS,
    RECORDS,
    SHOULD,
    article,
    client,
    microsoft,
    rule,
)
from popreceipt.verdict import Finding, held, undecided, violated

JOB_SECTION: Final = "Create a recurring data job"
PROJECT_SECTION: Final = "Create a data project"

MAPPING: Final = microsoft(
    "Data import and export jobs overview", "Validate that the source data and target data are mapped correctly"
)


def _formatted(entity: ProjectEntity) -> bool:
    return not entity.map and not entity.xslt and entity.format.casefold() != PLAIN


def _renamed(entity: ProjectEntity) -> bool:
    return bool(entity.map) and not entity.xslt and all(each.renames_only for each in entity.map)


def _converted(entity: ProjectEntity) -> bool:
    return bool(entity.map) and not entity.xslt and not all(each.renames_only for each in entity.map)


def _transformed(entity: ProjectEntity) -> bool:
    known = FORMATS.get(entity.format.casefold())
    return bool(entity.xslt) and known is not None and known.kind in (XML_ELEMENT, XML_ATTRIBUTE)


@rule(
    "processing.format-as-in-the-project",
    text="A file in the source data format that the project gives its entity is taken, and its records land.",
    source=article(JOB_SECTION),
    reading="For the formats whose names tell what they are: delimited with its separators and code pages, XML with "
    "elements or attributes, Excel. Plain CSV is judged by processing.good-records-land.",
    level=MUST,
    statements=(1, 3, 17),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS),
)
def format_as_in_the_project(journal: Readings) -> Iterator[Finding]:
    """The end of each faultless file in such a format, and what stands in the table then."""
    yield from _landed(journal, lambda _, part: _formatted(part.entity), unseen="taken")


@rule(
    "processing.map-applied",
    text="A field is filled from the column that the project's map names for it, and a field that is left out is not.",
    source=MAPPING,
    reading="What becomes of fields that the map does not mention is open.",
    level=MUST,
    statements=(3, 12),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS, RECORDS),
)
def map_applied(journal: Readings) -> Iterator[Finding]:
    """The records of files for a project whose map renames columns or leaves fields out."""
    yield from _landed(
        journal,
        lambda landing, part: (
            _renamed(part.entity) and not journal.project_of.changed(landing.project, landing.message.enqueue.seq)
        ),
    )


@rule(
    "processing.changed-map-counts",
    text="After a map was changed, files are read by the new one.",
    source=article(PROJECT_SECTION),
    reading="Judged for files that were handed in after the change.",
    level=MUST,
    statements=(12,),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS, RECORDS),
)
def changed_map_counts(journal: Readings) -> Iterator[Finding]:
    """The records of files for a project that had been told otherwise before."""
    yield from _landed(
        journal,
        lambda landing, part: (
            _renamed(part.entity) and journal.project_of.changed(landing.project, landing.message.enqueue.seq)
        ),
    )


@rule(
    "processing.values-converted",
    text="A field without a column takes its default, and a value that the map converts arrives converted.",
    source=client(
        "microsoft/Dynamics-AX-Integration", "contract library: EntityMap with IsAutoDefault and EntityFieldConversion"
    ),
    reading="What a blank value becomes where there is a default, and a value that differs from the one to convert in "
    "letter case only, is open.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(12,),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS, RECORDS),
)
def values_converted(journal: Readings) -> Iterator[Finding]:
    """The records of files for a project with defaults or conversions."""
    yield from _landed(journal, lambda _, part: _converted(part.entity))


@rule(
    "processing.xslt-applied",
    text="A project's style sheet is applied to inbound XML before its records are read.",
    source=article(PROJECT_SECTION),
    reading="For one style sheet, plain enough for its outcome to be known.",
    level=MUST,
    statements=(3, 12),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS, RECORDS),
)
def xslt_applied(journal: Readings) -> Iterator[Finding]:
    """The records of XML files for a project with one style sheet."""
    yield from _landed(
        journal, lambda _, part: _transformed(part.entity) and not part.entity.map and len(part.entity.xslt) == 1
    )


@rule(
    "processing.xslt-in-sequence",
    text="Several style sheets are applied one to the outcome of the other, in their order.",
    source=client("microsoft/Dynamics-AX-Integration", "contract library: EntityTransform with SequenceNumber"),
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(12,),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS, RECORDS),
)
def xslt_in_sequence(journal: Readings) -> Iterator[Finding]:
    """The records of XML files for a project with several style sheets."""
    yield from _landed(
        journal, lambda _, part: _transformed(part.entity) and not part.entity.map and len(part.entity.xslt) > 1
    )


def _landed(journal: Readings, wanted: Callable[[Landing, Part], bool], unseen: str | None = None) -> Iterator[Finding]:
    """The imports of one entity that are wanted: their end, and the first look at the table after it.

    `unseen` is what to say where nobody looked at the table; nothing without it.
    """
    for landing in journal.landings:
        message, part = landing.message, landing.parts[0]
        if len(landing.parts) > 1 or not part.records or not wanted(landing, part) or (end := message.told) is None:
            continue
        calls = _calls(landing, end)
        if part.certain and end.state != vocabulary.PROCESSED:
            if end.state == vocabulary.POSTPROCESSING_FAILED or journal.imports.misread(message):
                yield undecided(f"{end.state}, which need not be for its records", *calls)
            else:
                yield violated(f"{end.state}, though all {len(part.records)} records are good", *calls)
            continue
        if end.state not in COMPLETED:
            continue
        look = next(journal.landings.looks_after(landing, part), None)
        if look is None:
            if unseen is not None and end.state == vocabulary.PROCESSED:
                yield held(unseen, *calls)
            continue
        # Of other entities than the one that every world has a service may know more than the journal tells.
        every = part.entity.name != ENTITY and end.state == vocabulary.PROCESSED
        if part.entity.name != ENTITY and not every:
            continue
        wrong = journal.landings.wrong(landing, part, look, every=every)
        if wrong is None:
            yield held("the records are as the project has them", *calls)
        elif wrong[1]:
            yield undecided(f"{wrong[0]}, and another file may have been written over it", *calls)
        else:
            yield violated(wrong[0], *calls)


def _calls(landing: Landing, end: Sighting) -> list[Call]:
    return [landing.message.enqueue, *([end.call] if end.call is not None else [])]


@rule(
    "processing.map-on-export",
    text="An exported file has the columns that the project's map names, filled from their fields.",
    source=MAPPING,
    reading="Fields that the map leaves out have no column of their own name. Only for maps that rename.",
    level=MUST,
    statements=(12,),
    needs=(PROJECTS, CREATE_ACTIVITY, PRODUCE, RECORDS),
)
def map_on_export(journal: Readings) -> Iterator[Finding]:
    """Each exported file of a mapped entity beside what the entity then held."""
    for departure in departures(journal):
        for entity in departure.project.entities:
            if not _renamed(entity) or departure.project.conditions(entity):
                continue
            rows = departure.rows(journal, entity)
            held_then = _held(journal, departure.run, entity)
            if rows is None or held_then is None or not rows:
                continue
            wrong = _wrong_columns(entity, rows, held_then, journal)
            if wrong is None:
                yield held("the columns of the map", departure.payload)
            else:
                yield violated(f"{entity.entity}: {wrong}", departure.payload)


def _held(journal: Readings, run: Production, entity: ProjectEntity) -> dict[tuple[str, ...], Row] | None:
    look = look_after(journal, run, entity.name)
    if look is None:
        return None
    found: dict[tuple[str, ...], Row] = {}
    for each in look.records:
        row = {str(name).upper(): "" if value is None else str(value) for name, value in each.items()}
        if (key := identity(row, journal.project_of.fields(entity))) is not None:
            found[key] = row
    return found


def _wrong_columns(
    entity: ProjectEntity, rows: list[Row], held_then: dict[tuple[str, ...], Row], journal: Readings
) -> str | None:
    columns = {
        each.source.strip().upper(): each.field for each in entity.map if each.source is not None and not each.ignore
    }
    missing = sorted(columns.keys() - rows[0].keys())
    if missing:
        return f"no column {missing[0]}; there are {', '.join(rows[0])}"
    kinds = {each.name: each.type for each in journal.project_of.fields(entity)}
    kept_out = {each.field for each in entity.map if each.ignore} - columns.keys()
    if shown := sorted(kept_out & rows[0].keys()):
        return f"a column {shown[0]}, which the map leaves out"
    for row in rows:
        fields = {field: row[column] for column, field in columns.items()}
        key = identity(fields, journal.project_of.fields(entity))
        found = held_then.get(key) if key is not None else None
        if key is not None and found is None:
            return f"a record {'/'.join(key)!r} that the entity did not hold"
        for name, value in fields.items() if found is not None else ():
            if found is not None and not alike(value, found.get(name), kinds.get(name, "")):
                return f"{value!r} from {name} in the record {'/'.join(key or ())!r}"
    return None
