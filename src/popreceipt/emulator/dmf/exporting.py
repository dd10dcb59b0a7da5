"""Exports: the records of a project's entities as the file or package that a client will download.

"Recurring integrations", sections "Dequeue" (a package with all entities of the project) and "Create a data project"
(one filter for all jobs of a project). Knows projects and records; refuses to know where they are kept.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from popreceipt.emulator.dmf import formats, package
from popreceipt.emulator.dmf.entity import Entities, Entity
from popreceipt.emulator.dmf.execution import EntityRun, RecordError
from popreceipt.emulator.dmf.filtering import Filter
from popreceipt.emulator.dmf.formats import CannotBeWritten, SourceFormat, format_named
from popreceipt.emulator.dmf.mapping import Mapper, Mappers
from popreceipt.emulator.dmf.project import Project, ProjectEntity
from popreceipt.emulator.dmf.synthetic import synthetic
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.store import Record

Table = Callable[[Entity], Sequence[Record]]
"""What the target table of an entity holds."""

_LINE_END: Final = {"utf-8": b"\r\n", "utf-16": "\r\n".encode("utf-16-le"), "windows-1252": b"\r\n"}


class Selected(msgspec.Struct, frozen=True):
    """The records of one entity that are exported."""

    entity: Entity
    settings: ProjectEntity
    mapper: Mapper
    records: Sequence[Record]


def select(project: Project, entities: Entities, mappers: Mappers, table: Table) -> list[Selected]:
    """What a run of an export project finds, in the order of the project: the records that its filter keeps."""
    found = []
    for settings in project.ordered():
        entity = known(entities, settings.entity)
        kept = Filter(entity, project.filter)(table(entity))
        found.append(Selected(entity, settings, mappers.of(entity, settings.map), kept))
    return found


def known(entities: Entities, name: str) -> Entity:
    """An entity that a project names.

    Raises:
        LookupError: this world does not have it.
    """
    entity = entities.named(name)
    if entity is None:
        raise LookupError(f"A data project has the entity {name!r}, which this environment does not have.")
    return entity


def fresh(project: Project, entities: Entities, guids: Guids, count: int) -> dict[Entity, list[dict[str, str]]]:
    """So many synthetic records for each entity of a project, references right.

    Entities that others refer to come first; one that the project lacks gets as many as those that refer to it need.
    """
    made: dict[Entity, list[dict[str, str]]] = {}
    for settings in project.ordered():
        _make(known(entities, settings.entity), entities, guids, count, made, ())
    return made


def _make(
    entity: Entity,
    entities: Entities,
    guids: Guids,
    count: int,
    made: dict[Entity, list[dict[str, str]]],
    under_way: tuple[Entity, ...],
) -> None:
    if entity in made or entity in under_way:
        return
    parents: dict[str, list[str]] = {}
    for field in entity.fields:
        if field.reference is None:
            continue
        parent = known(entities, field.reference.entity)
        _make(parent, entities, guids, count, made, (*under_way, entity))
        column = field.reference.field
        parents[field.name] = [record[column] for record in made.get(parent, ())]
    made[entity] = synthetic(entity, guids, count, parents)


class Export(msgspec.Struct, frozen=True):
    """An export run: what is uploaded (None where it cannot be written), how each entity went, and what was wrong."""

    content: bytes | None
    runs: tuple[EntityRun, ...]
    errors: tuple[RecordError, ...]


def export(
    project: Project, selected: Sequence[Selected], *, raw: bool, description: str, number: int, now: datetime
) -> Export:
    """What a run uploads. No two packages are equal: each carries its run in its description.

    Args:
        project: whose run it is.
        selected: what it exports.
        raw: the file of the first entity alone, without a package around it.
        description: tells this run from every other.
        number: likewise, for a file that says nothing else.
        now: when it is written.
    """
    files: list[bytes] = []
    errors: list[RecordError] = []
    runs: list[EntityRun] = []
    for one in selected:
        wrong: list[RecordError] = []
        try:
            files.append(_file(one, format_named(one.settings.format), now))
        except CannotBeWritten as fault:
            name = one.entity.name if len(selected) > 1 else None
            said = f"{fault}" if name is None else f"{name}: {fault}"
            wrong.append(RecordError(str(fault.record or ""), fault.column or "", said, in_staging=True, entity=name))
        errors += wrong
        runs.append(_run(one, now, failed=bool(wrong)))
    if errors:
        return Export(None, tuple(runs), tuple(errors))
    if raw:
        file, first = files[0], selected[0]
        content = file if first.records else _told_apart(file, format_named(first.settings.format), number)
    else:
        content = package.write(
            project=project.name,
            entities=[_packed(one, file) for one, file in zip(selected, files, strict=True)],
            description=description,
            written=now,
        )
    return Export(content, tuple(runs), ())


def _file(one: Selected, source: SourceFormat, now: datetime) -> bytes:
    rows: Sequence[Mapping[str, str]] = one.records
    if not one.mapper.writes_as_is:
        rows = [one.mapper.written(record) for record in rows]
    return formats.write(
        rows,
        one.mapper.columns,
        source,
        record=formats.record_element(one.entity.name),
        sheet=one.settings.sheet,
        written=now,
    )


def counted(selected: Sequence[Selected], now: datetime) -> tuple[EntityRun, ...]:
    """How each entity goes in a run that uploads nothing because there is nothing."""
    return tuple(_run(one, now, failed=False) for one in selected)


def _run(one: Selected, now: datetime, *, failed: bool) -> EntityRun:
    count = len(one.records)
    return EntityRun(
        entity=one.entity.name,
        staging=0 if failed else count,
        staging_errors=count if failed else 0,
        staging_state="Error" if failed else "Finished",
        target=count,
        target_state="Finished",
        started=now,
        completed=now,
    )


def _told_apart(file: bytes, source: SourceFormat, number: int) -> bytes:
    """A file without records would equal the last one: what holds no record tells them apart."""
    if source.kind != "excel":
        # Behind the root element of an XML file only blanks may stand, and they do no harm.
        return file + _LINE_END[source.code_page] * number
    made = io.BytesIO(file)
    with zipfile.ZipFile(made, "a") as workbook:
        workbook.comment = str(number).encode("ascii")
    return made.getvalue()


def _packed(one: Selected, file: bytes) -> package.Packed:
    settings = one.settings
    return package.Packed(
        entity=one.entity.name,
        content=file,
        extension=format_named(settings.format).extension,
        format=format_named(settings.format).name,
        sheet=settings.sheet,
        execution_unit=settings.execution_unit,
        level=settings.level,
        sequence=settings.sequence,
        fail_unit_on_error=settings.fail_unit_on_error,
        fail_level_on_error=settings.fail_level_on_error,
        map=one.mapper.declared,
        styles=settings.xslt,
    )
