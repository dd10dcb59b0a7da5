"""What imports of data projects should leave in target tables, and what was seen there.

Only of projects that the journal tells of. What a service may decide for itself, and what somebody else may have
written, is nothing to be held against it.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.facts import FieldTold, Records
from popreceipt.rules.files import ENTITY, MANIFEST, PACKAGE_HEADER, looks_zipped, manifest_entries, members_of
from popreceipt.rules.formats import FORMATS, XML_ATTRIBUTE, XML_ELEMENT, rows_of
from popreceipt.rules.imports import Import, ordered, plus_in_entity
from popreceipt.rules.projects import GOOD, Expected, Project, ProjectEntity, alike, expected, identity
from popreceipt.rules.transforms import transformed

if TYPE_CHECKING:
    from popreceipt.rules.readings import Readings


class Part(msgspec.Struct, frozen=True):
    """What one file holds for one entity of the project."""

    entity: ProjectEntity
    fields: tuple[FieldTold, ...]
    records: tuple[Expected, ...]

    @property
    def certain(self) -> bool:
        """Every record must be taken: the entity's rules are known, and nothing is wrong with any."""
        return self.entity.name == ENTITY and bool(self.records) and all(each.verdict == GOOD for each in self.records)


class Landing(msgspec.Struct, frozen=True):
    """One import of a data project, with what it should make of its file."""

    message: Import
    project: Project
    parts: tuple[Part, ...]


class Landings:
    """The imports of a journal whose data project is told, and whose file can be read in one way only."""

    def __init__(self, journal: "Readings") -> None:
        self._journal = journal
        self.all: list[Landing] = []
        self._opaque: set[str] = set()
        self._latest: tuple[Records, Mapping[tuple[str, ...], list[Mapping[str, Any]]]] | None = None
        jobs = {job for job, told in journal.activities.items() if any("project" in each.settings for each in told)}
        if not journal.projects or not jobs:
            return
        known: set[int] = set()
        for message in journal.imports:
            if message.activity in jobs and (made := self._landing(message)) is not None:
                self.all.append(made)
                known.add(message.enqueue.seq)
        for call in journal.enqueues:
            if call.activity in jobs and call.seq not in known and (call.ok or call.in_doubt):
                unknown = journal.imports.by_id.get(call.message or "")
                end = unknown.final if unknown is not None else None
                if end is None or end.state != vocabulary.PREPROCESSING_ERROR:
                    self._opaque.add(call.activity)

    def __iter__(self) -> Iterator[Landing]:
        return iter(self.all)

    def _landing(self, message: Import) -> Landing | None:
        enqueue, settings = message.enqueue, message.settings
        end = message.final
        until = end.place if end is not None and end.place else inf
        project = self._journal.project_of.steadily(message.activity, enqueue.seq, until)
        content = enqueue.body.content() if enqueue.body is not None else None
        if project is None or not content or message.disturbed or settings.get("direction") != "import":
            return None
        if plus_in_entity(enqueue.query) or enqueue.encoding not in (None, "identity"):
            return None
        if enqueue.company and settings.get("use_company_from_message") is not False:
            return None
        files = (
            _packaged(project, content)
            if settings.get("type") == "package"
            else {enqueue.entity.strip().casefold(): content}
            if enqueue.entity
            else None
        )
        parts = [self._part(project.entity(name), file) for name, file in (files or {}).items()]
        found = tuple(each for each in parts if each is not None)
        return Landing(message, project, found) if found and len(found) == len(parts) else None

    def _part(self, entity: ProjectEntity | None, content: bytes) -> Part | None:
        if entity is None:
            return None
        fields = self._journal.project_of.fields(entity)
        known = FORMATS.get(entity.format.casefold())
        inbound: bytes | None = content
        if entity.xslt and known is not None and known.kind in (XML_ELEMENT, XML_ATTRIBUTE):
            inbound = transformed(content, entity.xslt)
        columns = [each.name for each in fields]
        rows = rows_of(inbound, entity.format, entity.entity, columns, entity.sheet) if inbound and fields else None
        records = expected(rows, entity, fields) if rows is not None else None
        return Part(entity, fields, tuple(records)) if records is not None else None

    # Target tables

    def looks_after(self, landing: Landing, part: Part) -> Iterator[Records]:
        """The looks at an entity's target table after the end of an import, and before any reset."""
        message = landing.message
        final = message.final
        if final is None:
            return
        reset = self._journal.imports.reset_after(message.enqueue)
        looks = self._journal.tables.get((message.activity, part.entity.name), [])
        first = bisect_left(looks, True, key=lambda look: final.precedes(message.at(look)))
        for look in islice(looks, first, None):
            if look.at <= reset:
                yield look

    def opaque(self, landing: Landing) -> bool:
        """Whether somebody else handed the same job a file of which nobody knows what it writes."""
        return landing.message.activity in self._opaque

    @cached_property
    def _written(self) -> Counter[tuple[str, str, tuple[str, ...]]]:
        """How many files have a record of a key."""
        return Counter(
            (landing.message.activity, part.entity.name, each.identity)
            for landing in self.all
            for part in landing.parts
            for each in part.records
            if each.identity is not None
        )

    def wrong(self, landing: Landing, part: Part, look: Records, *, every: bool) -> tuple[str, bool] | None:
        """What is wrong with the rows of an import, and whether another file may account for it.

        Args:
            landing: the import.
            part: what it brings for the entity of the table.
            look: at the table, after the end of the import.
            every: every record must be there, and not only those that are certainly good.
        """
        rows = self._rows(look, part)
        opaque = self.opaque(landing)
        for record in part.records:
            if record.identity is None or not (every or record.verdict == GOOD):
                continue
            alone = self._written[landing.message.activity, part.entity.name, record.identity] == 1
            found = rows.get(record.identity)
            if found is None:
                return f"{part.entity.entity}: the record {_named(record)} of row {record.row} is missing", False
            if alone and (said := _difference(record, found, part.fields)) is not None:
                return f"{part.entity.entity}: the record {_named(record)} {said}", opaque
        return None

    def _rows(self, look: Records, part: Part) -> Mapping[tuple[str, ...], list[Mapping[str, Any]]]:
        """The rows of a table by their keys. Imports come in order, so the latest look is often asked for again."""
        if self._latest is None or self._latest[0] is not look:
            rows: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
            for held in look.records:
                row = {str(name).upper(): value for name, value in held.items()}
                if (key := identity(row, part.fields)) is not None:
                    rows[key].append(row)
            self._latest = look, rows
        return self._latest[1]


def _packaged(project: Project, content: bytes) -> dict[str, bytes] | None:
    """The files of a package by entity; None where a service may see in it something else."""
    members = members_of(content) if looks_zipped(content) else None
    if members is None or MANIFEST not in members or PACKAGE_HEADER not in members:
        return None
    if any("/" in name or "\\" in name for name in members) or not ordered(content):
        return None
    files: dict[str, bytes] = {}
    for entry in manifest_entries(members[MANIFEST]) or ():
        entity = project.entity(entry.get("EntityName", ""))
        file = members.get(entry.get("InputFilePath", ""))
        if entity is None or file is None or entity.map or entity.name in files:
            # Where the project has a map and the manifest another, which of them counts is open.
            return None
        if entry.get("SourceFormat", entity.format).casefold() != entity.format.casefold():
            return None
        files[entity.name] = file
    return files


def _named(record: Expected) -> str:
    return repr("/".join(record.identity or ()))


def _difference(record: Expected, rows: Iterable[Mapping[str, Any]], fields: Iterable[FieldTold]) -> str | None:
    """What is otherwise in each of the rows with a record's key; None where one is as it should be."""
    kinds = {each.name: each.type for each in fields}
    said = None
    for row in rows:
        said = next(
            (
                f"has {row.get(name)!r} in {name} in place of {value!r}"
                for name, value in record.values.items()
                if value.strip() and not alike(value, row.get(name), kinds[name])
            ),
            None,
        ) or next(
            (
                f"has {value!r} in {name}, which the map leaves out"
                for name, value in record.not_from_file.items()
                if value.strip() and alike(value, row.get(name), kinds.get(name, ""))
            ),
            None,
        )
        if said is None:
            return None
    return said
