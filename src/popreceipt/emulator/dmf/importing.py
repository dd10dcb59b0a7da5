"""Pre-processing of an import: which entities a file or package holds, and its records in their staging tables.

The project has the last word on what is expected: entity, format, field map, style sheets, order. Where it leaves
something open (no map, no style sheets, no worksheet, all entities at the same place in the order) a package's manifest
is followed.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from popreceipt.emulator.dmf import formats, package
from popreceipt.emulator.dmf.entity import Entities, Entity
from popreceipt.emulator.dmf.execution import RecordError
from popreceipt.emulator.dmf.formats import Row, SourceFormat, format_named
from popreceipt.emulator.dmf.mapping import Mapper, Mappers
from popreceipt.emulator.dmf.problems import UnknownEntity, Unreadable
from popreceipt.emulator.dmf.project import Project, ProjectEntity
from popreceipt.emulator.dmf.staging import Part, Reading, Record
from popreceipt.emulator.dmf.xslt import Transform

MOST_RECORDS: Final = 1_000_000
"""So many records an upload may have, in all its files: what no 30 MB of honest text passes."""

MOST_ERRORS: Final = 100_000
"""So many bad records of a file are listed one by one; the others are counted."""

_XML: Final = frozenset({"xml-element", "xml-attribute"})


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """What an import was handed: `entity` is what the enqueue named, `prefix` that of generated texts."""

    content: bytes | None
    is_package: bool
    entity: str | None = None
    prefix: str = "0"


class Examiner:
    """Reads what imports bring.

    Args:
        entities: the world's.
        mappers: their field maps.
        transform: applies style sheets.
        strict: whether the XML parts of a package must have their elements in the data contract's order.
    """

    def __init__(self, entities: Entities, mappers: Mappers, transform: Transform, *, strict: bool = False) -> None:
        self._entities = entities
        self._mappers = mappers
        self._transform = transform
        self._strict = strict

    def examine(self, project: Project, inbound: Inbound) -> list[Part]:
        """The parts of an uploaded file or package.

        Raises:
            UnknownEntity: an entity is named that the project does not have.
            Unreadable: it cannot be read as what the project expects, or is no longer there.
        """
        if inbound.content is None:
            raise Unreadable("The file is no longer in blob storage.")
        if inbound.is_package:
            return self._packed(project, inbound.content, inbound.prefix)
        if inbound.entity is None or not inbound.entity.strip():
            raise Unreadable("The enqueue named no entity.")
        settings = _of_project(project, inbound.entity)
        styles = [one.encode() for one in settings.xslt]
        return [self._part(settings, styles, inbound.content, inbound.prefix, MOST_RECORDS)]

    def _packed(self, project: Project, content: bytes, prefix: str) -> list[Part]:
        opened = package.Package(content, strict=self._strict)
        settled = [(_settled(project, one), one) for one in opened.entities]
        for settings, listed in settled:
            _refuse_other_format(settings, listed)
        parts: list[Part] = []
        left = MOST_RECORDS
        for settings, listed in settled:
            styles = _styles(settings, listed, opened)
            parts.append(self._part(settings, styles, opened.file(listed.file), prefix, left))
            left -= parts[-1].reading.total
        return parts

    def _part(self, settings: ProjectEntity, styles: Sequence[bytes], content: bytes, prefix: str, most: int) -> Part:
        entity = self._entities.named(settings.entity)
        if entity is None:
            raise UnknownEntity(f"There is no entity {settings.entity!r} in this environment.")
        if strange := next((one.field for one in settings.map if one.field not in entity.columns), None):
            raise Unreadable(f"The field map names {strange!r:.200}, which {entity.name} does not have.")
        source = format_named(settings.format)
        if styles and source.kind in _XML:
            content = self._transform(content, styles)
        mapper = self._mappers.of(entity, settings.map, prefix)
        rows = formats.read(
            content,
            source,
            mapper.columns,
            record=formats.record_element(entity.name),
            sheet=settings.sheet,
            header=lambda names: _refuse_columns(names, entity, mapper, mapper.needed),
        )
        return Part(entity, _reading(rows, source, entity, mapper, most), settings)


def _of_project(project: Project, name: str) -> ProjectEntity:
    wanted = name.strip().casefold()
    for one in project.entities:
        if one.entity.casefold() == wanted:
            return one
    there = ", ".join(one.entity for one in project.entities)
    raise UnknownEntity(f"The data project has no entity {name!r:.200}; it has {there}.")


def _settled(project: Project, listed: package.Listed) -> ProjectEntity:
    """An entity of the project, with what the manifest says where the project leaves it open."""
    own = _of_project(project, listed.entity)
    changes: dict[str, object] = {
        "sheet": own.sheet or listed.sheet,
        "fail_unit_on_error": own.fail_unit_on_error or listed.fail_unit_on_error,
        "fail_level_on_error": own.fail_level_on_error or listed.fail_level_on_error,
        "map": own.map or listed.map,
    }
    if len({_place(one) for one in project.entities}) == 1:
        changes |= {
            "execution_unit": listed.execution_unit or own.execution_unit,
            "level": listed.level or own.level,
            "sequence": listed.sequence or own.sequence,
        }
    return msgspec.structs.replace(own, **changes)


def _place(one: ProjectEntity) -> tuple[int, int, int]:
    return one.execution_unit, one.level, one.sequence


def _refuse_other_format(settings: ProjectEntity, listed: package.Listed) -> None:
    if listed.format is None:
        return
    try:
        found = format_named(listed.format)
    except LookupError as error:
        raise Unreadable(f"{package.MANIFEST}, at {listed.entity}: {error}") from error
    if found.name != format_named(settings.format).name:
        raise Unreadable(
            f"{package.MANIFEST} says that {listed.entity} comes as {listed.format}; the data project expects "
            f"{settings.format}."
        )


def _styles(settings: ProjectEntity, listed: package.Listed, opened: package.Package) -> list[bytes]:
    if settings.xslt:
        return [one.encode() for one in settings.xslt]
    return [in_utf_8(opened.file(name), name) for name in listed.styles]


def in_utf_8(content: bytes, name: str) -> bytes:
    """A style sheet in UTF-8, whatever its declaration says; UTF-16 needs its byte order mark.

    Raises:
        Unreadable: it is neither.
    """
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding).encode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"The style sheet {name!r} is neither UTF-8 nor UTF-16 with a byte order mark.") from error


def _reading(rows: Iterator[Row], source: SourceFormat, entity: Entity, mapper: Mapper, most: int) -> Reading:
    good: list[Record] = []
    numbers: list[int] = []
    errors: list[RecordError] = []
    unlisted = {True: 0, False: 0}
    names_columns = source.kind in _XML  # elsewhere the header does, or the format
    for number, row in enumerate(rows):
        if number == most:
            raise Unreadable(f"The upload has more than {MOST_RECORDS:,} records. Split it.")
        if row.fault is not None:
            error = RecordError(str(row.number), "", row.fault, in_staging=True)
        else:
            if names_columns:
                _refuse_columns(row.values.keys(), entity, mapper)
            record = mapper.staged(row.values, row.number)
            problem = entity.problem(record)
            if problem is None:
                good.append(record)
                numbers.append(row.number)
                continue
            error = RecordError(str(row.number), *problem)
        if len(errors) < MOST_ERRORS:
            errors.append(error)
        else:
            unlisted[error.in_staging] += 1
    return Reading(tuple(good), tuple(errors), numbers, unlisted[True], unlisted[False])


def _refuse_columns(names: Collection[str], entity: Entity, mapper: Mapper, needed: Iterable[str] = ()) -> None:
    if not mapper.known.issuperset(names):
        for name in names:
            if name.casefold() not in mapper.known_folded:
                there = ", ".join(column.name for column in mapper.columns)
                raise Unreadable(
                    f"The file has a column {name!r:.200}, to which nothing of {entity.name} is mapped; it may have "
                    f"{there}."
                )
    for name in needed:
        if name not in names:
            raise Unreadable(f"The file lacks the column {name}, which holds the key of {entity.name}.")
