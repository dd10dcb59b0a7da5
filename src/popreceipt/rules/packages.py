"""What is inside a data package: what an export hands out, and what an import takes."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.exports import authorised
from popreceipt.rules.facts import Call, Production
from popreceipt.rules.files import (
    DESCRIPTION,
    ENTITY,
    KEY,
    MANIFEST,
    PACKAGE_HEADER,
    looks_zipped,
    manifest_entries,
    members_of,
    records_of,
)
from popreceipt.rules.imports import COMPLETED, Import, gate_or_gateway, ordered
from popreceipt.rules.landing import Landing
from popreceipt.rules.payloads import Departure, departures, exported, look_after
from popreceipt.rules.projects import identity
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import (
    ASK,
    CLIENT_OBSERVED,
    CREATE_ACTIVITY,
    INFERRED,
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
from popreceipt.verdict import Finding, answered, held, undecided, violated

SECTION: Final = "API for export (dequeue)"
JOB_SECTION: Final = "Create a recurring data job"


@rule(
    "packages.export-is-a-package",
    text="An export of type Data package hands out a package: a manifest, a header, and the file that it names.",
    source=article(SECTION),
    reading="A zip archive with Manifest.xml and PackageHeader.xml at its root, and each file that the manifest names. "
    "Exports of type File are asked by download.file-payload.",
    level=MUST,
    statements=(18, 33),
)
def export_is_a_package(journal: Readings) -> Iterator[Finding]:
    """Look into each file that an export of that type handed out."""
    for message, payload, content in exported(journal):
        if journal.setting(message.activity, "type", message.deliveries[0].sent) != "package":
            continue
        wrong = _wrong_with(content)
        if wrong is None:
            yield held("a package", payload)
        else:
            yield violated(wrong, payload)


def _wrong_with(content: bytes) -> str | None:
    if not looks_zipped(content):
        return f"no zip archive: it begins with {content[:4]!r}"
    members = members_of(content)
    if members is None:
        return "a zip archive that cannot be unpacked"
    for name in (MANIFEST, PACKAGE_HEADER):
        if name not in members:
            return f"without {name} at its root: {', '.join(sorted(members)[:5])}"
    entries = manifest_entries(members[MANIFEST])
    if not entries:
        return "a manifest that names no entity"
    for entry in entries:
        name = entry.get("InputFilePath", "")
        if name not in members:
            return f"the manifest names {name!r}, and the package has {', '.join(sorted(members)[:5])}"
    return None


@rule(
    "packages.holds-the-records",
    text="The file of an export holds the records that were exported.",
    source=article(SECTION),
    reading="As many records as the run told, and the keys and descriptions that the entity then held, where the "
    "journal knows them. For the entity Customer groups as CSV, packed or not.",
    level=MUST,
    statements=(28, 33),
    needs=(PRODUCE,),
)
def holds_the_records(journal: Readings) -> Iterator[Finding]:
    """Count, and compare with what was seen of the entity before the next run."""
    for message, payload, content in exported(journal):
        run = message.production
        form = journal.setting(message.activity, "format", message.deliveries[0].sent)
        if run is None or str(form or "CSV").casefold() != "csv" or not journal.project_of.plain(run.activity):
            continue
        file = records_of(content)
        if file is None:
            yield undecided("nothing that can be read as records of Customer groups", payload)
            continue
        rows = [*file.good, *file.bad, *file.unsure]
        there = {(each.key.strip().casefold(), each.description.strip()) for each in rows}
        seen = _seen(journal, run)
        if len(rows) != run.records:
            yield violated(f"{len(rows)} records in the file, and {run.records} were exported", payload)
        elif seen is not None and there != seen:
            missing = sorted(key for key, _ in seen - there)[:3]
            yield violated(f"other records than the entity held: {', '.join(missing) or 'too many'}", payload)
        else:
            yield held("the records", payload)


def _seen(journal: Readings, run: Production) -> set[tuple[str, str]] | None:
    """What the entity held after a run and before the next one; None where nobody looked."""
    look = look_after(journal, run)
    if look is None:
        return None
    return {
        (str(each.get(KEY, "")).strip().casefold(), str(each.get(DESCRIPTION) or "").strip()) for each in look.records
    }


@rule(
    "packages.folder-inside-fails",
    text="A package whose content lies in a folder of the zip archive fails.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "issue 47: a folder inside the archive is refused"),
    reading="Seen with the package API. Refusing the upload is as good as a failed message.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(18,),
)
def folder_inside_fails(journal: Readings) -> Iterator[Finding]:
    """The end of each import that lacks the manifest at its root and has one in a folder."""
    for each in journal.enqueues:
        content = each.body.content() if each.body is not None else None
        if not content or not looks_zipped(content) or not _in_a_folder(content):
            continue
        settings = journal.imports.settings(each.activity, each.seq)
        if settings.get("direction") != "import" or settings.get("type") != "package" or each.status is None:
            continue
        if each.refused:
            if not gate_or_gateway(each.status) and not each.in_doubt:
                yield held(f"refused with {each.status}", each)
            continue
        message = journal.imports.by_id.get(each.message or "")
        if message is not None and (end := message.told) is not None:
            if end.state == vocabulary.PROCESSED:
                yield violated("processed, though its manifest lies in a folder", *_calls(message))
            else:
                yield held(f"ends as {end.state}", *_calls(message))


def _in_a_folder(content: bytes) -> bool:
    members = members_of(content)
    if members is None or MANIFEST in members:
        return False
    return any(name.endswith((f"/{MANIFEST}", f"\\{MANIFEST}")) for name in members)


def _calls(message: Import) -> list[Call]:
    end = message.told
    return [message.enqueue, *([end.call] if end is not None and end.call is not None else [])]


@rule(
    "packages.utf-8-and-utf-16",
    text="A package is taken whether its two XML files are in UTF-8 or in UTF-16.",
    source=microsoft("Data management overview", "Data packages"),
    reading="Packages of the application have UTF-16; hand-made ones have UTF-8.",
    level=SHOULD,
    provenance=INFERRED,
    statements=(18,),
)
def utf_8_and_utf_16(journal: Readings) -> Iterator[Finding]:
    """The end of each faultless package, by the encoding of its manifest, and uploads that were refused."""
    for each in journal.enqueues:
        content = each.body.content() if each.body is not None and each.refused else None
        if not content or not looks_zipped(content) or each.status is None or not authorised(each):
            continue
        settings = journal.imports.settings(each.activity, each.seq)
        if settings.get("direction") != "import" or settings.get("type") != "package" or gate_or_gateway(each.status):
            continue
        file = records_of(content)
        if file is not None and file.all_good and not each.in_doubt and each.entity is not None:
            yield violated(f"a faultless package in {_encoding(content)} is refused with {each.status}", each)
    for message in journal.imports:
        if message.file is None or not message.file.all_good or message.file.kind != "package":
            continue
        end = message.told
        body = message.enqueue.body
        content = body.content() if body is not None else None
        if end is None or not content:
            continue
        encoding = _encoding(content)
        if end.state == vocabulary.PROCESSED:
            yield held(f"processed in {encoding}", *_calls(message))
        else:
            yield violated(f"a faultless package in {encoding} ends as {end.state}", *_calls(message))


def _encoding(content: bytes) -> str:
    manifest = (members_of(content, (MANIFEST,)) or {}).get(MANIFEST, b"")
    return "UTF-16" if manifest[:2] in (b"\xff\xfe", b"\xfe\xff") else "UTF-8"


# Several entities


@rule(
    "packages.every-entity-lands",
    text="A package is one unit: when it is Processed, the records of every file in it are in their entities' tables.",
    source=article(JOB_SECTION),
    reading="ProcessedWithErrors may leave out any record of an entity whose rules only the service knows; of Customer "
    "groups the good ones are there all the same, unless an error stops its execution unit or level.",
    level=MUST,
    statements=(1, 18, 54),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS, RECORDS),
)
def every_entity_lands(journal: Readings) -> Iterator[Finding]:
    """Each package of several entities, by the first look at each of their tables after its end."""
    for landing in journal.landings:
        end = landing.message.told
        if len(landing.parts) < 2 or end is None or end.state not in COMPLETED:
            continue
        for part in landing.parts:
            look = next(journal.landings.looks_after(landing, part), None)
            every = end.state == vocabulary.PROCESSED and part.entity.name != ENTITY
            if look is None or not (every or _judged_by_record(landing, part.entity.name)):
                continue
            wrong = journal.landings.wrong(landing, part, look, every=every)
            if wrong is None:
                yield held(f"the records of {part.entity.entity} are there", *_calls(landing.message))
            elif wrong[1]:
                yield undecided(f"{wrong[0]}, and another file may have been written over it", *_calls(landing.message))
            else:
                yield violated(wrong[0], *_calls(landing.message))


def _judged_by_record(landing: Landing, entity: str) -> bool:
    return entity == ENTITY and not any(part.entity.stops for part in landing.parts)


@rule(
    "packages.holds-every-entity",
    text="An exported package has a file for every entity of the project, with the records that were exported.",
    source=article(SECTION),
    reading="The manifest names each entity. Where somebody looked what an entity then held, its file has the same "
    "records; of a filtered entity processing.filter-applied and processing.filter-shared judge.",
    level=MUST,
    statements=(28, 33),
    needs=(PROJECTS, CREATE_ACTIVITY, PRODUCE),
)
def holds_every_entity(journal: Readings) -> Iterator[Finding]:
    """Each payload of a project with several entities."""
    for departure in departures(journal):
        if (
            len(departure.project.entities) < 2
            or journal.setting(departure.run.activity, "type", departure.run.at) != "package"
        ):
            continue
        missing = [each.entity for each in departure.project.entities if each.name not in departure.files]
        if missing:
            yield violated(f"without a file of {missing[0]}", departure.payload)
        else:
            yield _every_record(journal, departure)


def _every_record(journal: Readings, departure: Departure) -> Finding:
    total = 0
    for entity in departure.project.entities:
        rows = departure.rows(journal, entity)
        if rows is None:
            return undecided(f"the file of {entity.entity} cannot be read as {entity.format}", departure.payload)
        total += len(rows)
        look = look_after(journal, departure.run, entity.name)
        if look is None or entity.map or departure.project.conditions(entity):
            continue
        fields = journal.project_of.fields(entity)
        own = {identity({str(name).upper(): value for name, value in each.items()}, fields) for each in look.records}
        there = {identity(row, fields) for row in rows}
        if own != there:
            other = next(iter((own ^ there) - {None}), None) or ("?",)
            what = "lacks" if other in own else "has, and the entity had not,"
            return violated(f"the file of {entity.entity} {what} the record {'/'.join(other)!r}", departure.payload)
    if total != departure.run.records:
        return violated(f"{total} records in all, and {departure.run.records} were exported", departure.payload)
    return held(f"{total} records of {len(departure.project.entities)} entities", departure.payload)


@rule(
    "packages.missing-part-fails",
    text="A package without its manifest, or without a file that the manifest names, is not Processed.",
    source=microsoft("Data management overview", "Data packages"),
    reading="Refusing the upload is as good as a failed message. Which of the failing statuses it gets is open.",
    level=MUST,
    statements=(18, 55),
)
def missing_part_fails(journal: Readings) -> Iterator[Finding]:
    """The end of each archive on a job for packages that lacks such a part at its root."""
    for message in journal.imports:
        if message.settings.get("direction") != "import" or message.settings.get("type") != "package":
            continue
        content = message.enqueue.body.content() if message.enqueue.body is not None else None
        members = members_of(content) if content and looks_zipped(content) else None
        if not members or message.disturbed or (end := message.told) is None or _in_a_folder(content or b""):
            continue
        lacking = _lacking(members)
        if lacking is None:
            continue
        if end.state == vocabulary.PROCESSED:
            yield violated(f"Processed without {lacking}", *_calls(message))
        else:
            yield held("not Processed", *_calls(message))


def _lacking(members: dict[str, bytes]) -> str | None:
    if MANIFEST not in members:
        return MANIFEST
    entries = manifest_entries(members[MANIFEST])
    named = (each.get("InputFilePath", "") for each in entries or ())
    return next((repr(name) for name in named if name and name not in members), None)


@rule(
    "packages.element-order",
    text="A package's manifest and header may have their elements in any order, or in the data contract's only.",
    source=client("microsoft/Dynamics-AX-Integration", "contract library: data contracts, in alphabetical order"),
    reading="The documentation says nothing about it. Asked with packages that have no other fault.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    statements=(18,),
    answers=("any", "strict"),
)
def element_order(journal: Readings) -> Iterator[Finding]:
    """The end of each package of good records in which something stands before what the alphabet has first."""
    for message in journal.imports:
        end = message.told
        content = message.enqueue.body.content() if message.enqueue.body is not None else None
        if message.settings.get("type") != "package" or end is None or not content or message.disturbed:
            continue
        file = records_of(content)
        plain = journal.project_of.plain(message.activity) and not message.enqueue.company
        if plain and file is not None and file.kind == "package" and file.all_good and not ordered(content):
            yield answered("any" if end.state == vocabulary.PROCESSED else "strict", *_calls(message))


@rule(
    "packages.levels-in-turn",
    text="Within an execution unit the entities of a level are processed after those of the level before it.",
    source=microsoft("Data import and export jobs overview", "Execution units, levels, and sequences"),
    reading="By the instants that jobstatus tells of each entity, where it tells them; they may be cut to seconds. The "
    "same holds for the sequence numbers within a level.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(18,),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS),
)
def levels_in_turn(journal: Readings) -> Iterator[Finding]:
    """Each answer of jobstatus about a package of several entities that has come to its end."""
    for landing in journal.landings:
        for sighting in landing.message.jobs if len(landing.parts) > 1 else ():
            details = sighting.call.details if sighting.call is not None else None
            if sighting.state not in COMPLETED or not details:
                continue
            told = {each.entity.strip().casefold(): each for each in details}
            units = defaultdict(list)
            for entity in landing.project.entities:
                units[entity.unit].append(((entity.level, entity.sequence), told.get(entity.name), entity.entity))
            for unit in units.values():
                unit.sort(key=lambda each: each[0])
                for (place, first, one), (next_place, second, other) in pairwise(unit):
                    if place == next_place or first is None or second is None:
                        continue
                    if first.completed is None or second.started is None:
                        continue
                    if second.started < first.completed:
                        yield violated(f"{other} was begun before {one} was done", *_calls(landing.message))
                    else:
                        yield held("one after the other", *_calls(landing.message))
