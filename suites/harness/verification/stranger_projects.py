"""Data projects, for the server that shares nothing with the emulator: what is read in, and what goes out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import stranger_files as files
import stranger_shapes as shapes
from lxml import etree
from stranger_files import Entity, Record, Row
from stranger_shapes import Wrong

COMPARE: dict[str, Callable[[object, object], bool]] = {
    "equals": lambda one, other: one == other,
    "not-equals": lambda one, other: one != other,
    "less": lambda one, other: one < other,
    "less-or-equal": lambda one, other: one <= other,
    "greater": lambda one, other: one > other,
    "greater-or-equal": lambda one, other: one >= other,
    "contains": lambda one, other: str(other) in str(one),
}
MAP = {
    "field": shapes.text,
    "source": shapes.maybe(shapes.text),
    "default": shapes.maybe(shapes.text),
    "auto_generated": shapes.truth,
    "ignore": shapes.truth,
    "conversions": shapes.texts_by_text,
}
MAP_LEFT_OPEN = {"source": None, "default": None, "auto_generated": False, "ignore": False, "conversions": {}}
PART = {
    "entity": shapes.text,
    "format": shapes.text,
    "sheet": shapes.maybe(shapes.text),
    "execution_unit": shapes.number(1),
    "level": shapes.number(1),
    "sequence": shapes.number(1),
    "fail_unit_on_error": shapes.truth,
    "fail_level_on_error": shapes.truth,
    "map": shapes.list_of(shapes.anything),
    "xslt": shapes.list_of(shapes.text),
}
PART_LEFT_OPEN = {
    "format": "CSV",
    "sheet": None,
    "execution_unit": 1,
    "level": 1,
    "sequence": 1,
    "fail_unit_on_error": False,
    "fail_level_on_error": False,
    "map": [],
    "xslt": [],
}
CONDITION = {"entity": shapes.text, "field": shapes.text, "operator": shapes.one_of(*COMPARE), "value": shapes.text}
PROJECT = {
    "name": shapes.name,
    "description": shapes.text,
    "entities": shapes.list_of(shapes.anything),
    "filter": shapes.list_of(shapes.anything),
}
NEW_PROJECT = {**PROJECT, "direction": shapes.one_of("import", "export")}

own_numbers = itertools.count(8100, 3)


@dataclass
class Project:
    """A data project: entities, how each is read or written, and the one filter."""

    id: str
    name: str
    direction: str
    entities: list[dict[str, object]] = field(default_factory=list)
    filter: list[dict[str, object]] = field(default_factory=list)
    description: str = ""

    def change(self, given: dict[str, object]) -> None:
        """Replace what is given, or nothing at all where something is wrong with it."""
        parts = parts_of(given["entities"]) if "entities" in given else self.entities
        conditions = conditions_of(given.get("filter", self.filter), parts)
        if conditions and self.direction == "import":
            raise Wrong("only an export has a filter")
        self.entities, self.filter = parts, conditions
        self.name = given.get("name", self.name)
        self.description = given.get("description", self.description)

    def described(self) -> dict[str, object]:
        """The project, as the control plane shows it."""
        members = ("filter", "entities", "direction", "description", "name", "id")
        return {member: getattr(self, member) for member in members}

    def part(self, name: object) -> dict[str, object] | None:
        """The part of the project that is about this entity."""
        return next((one for one in self.entities if one["entity"].casefold() == str(name).casefold()), None)

    def kept(self, entity: Entity, record: Record) -> bool:
        """Whether the filter lets this record out."""
        return all(meets(entity, record, one) for one in self.filter if one["entity"] == entity.name)


def parts_of(given: object) -> list[dict[str, object]]:
    """The entities of a project with all that was left open filled in."""
    parts = [shapes.check(one, PART, ["entity"]) for one in given]
    if not parts:
        raise Wrong("a project has an entity at least")
    found = []
    for part in parts:
        entity = entity_or_wrong(part["entity"])
        form = files.format_named(part.get("format", "CSV"))
        if form is None:
            raise Wrong(f"no such format; there are {', '.join(files.FORMATS)}")
        maps = [{**MAP_LEFT_OPEN, **shapes.check(one, MAP, ["field"])} for one in part.get("map", [])]
        for one in maps:
            one["field"] = field_or_wrong(entity, one["field"]).name
        if len({one["field"] for one in maps}) != len(maps):
            raise Wrong("a map has a field once")
        for sheet in part.get("xslt", []):
            try:
                files.style(sheet)
            except etree.LxmlError as fault:
                raise Wrong(f"that is no style sheet: {fault}") from fault
        found.append({**PART_LEFT_OPEN, **part, "entity": entity.name, "format": form, "map": maps})
    if len({one["entity"] for one in found}) != len(found):
        raise Wrong("a project has an entity once")
    return found


def conditions_of(given: object, parts: list[dict[str, object]]) -> list[dict[str, object]]:
    """The conditions of a filter on these entities."""
    found = []
    for one in given:
        condition = {"operator": "equals", "value": "", **shapes.check(one, CONDITION, ["entity", "field"])}
        entity = entity_or_wrong(condition["entity"])
        if entity.name not in {part["entity"] for part in parts}:
            raise Wrong("the filter speaks of an entity that the project lacks")
        about = field_or_wrong(entity, condition["field"])
        found.append({**condition, "entity": entity.name, "field": about.name})
    return found


def entity_or_wrong(name: object) -> Entity:
    entity = files.entity_named(name)
    if entity is None:
        raise Wrong("no such entity")
    return entity


def field_or_wrong(entity: Entity, name: object) -> files.Field:
    about = next((one for one in entity.fields if one.name.casefold() == str(name).casefold()), None)
    if about is None:
        raise Wrong("no such field")
    return about


def meets(entity: Entity, record: Record, condition: dict[str, object]) -> bool:
    """Whether a record meets a condition; numbers compare as such, texts by their letters' places in Unicode."""
    about = field_or_wrong(entity, condition["field"])
    one, other = record[about.name], condition["value"]
    if about.type in {"integer", "real"} and condition["operator"] != "contains":
        try:
            one, other = Decimal(str(one)), Decimal(other)
        except InvalidOperation:
            return condition["operator"] == "not-equals"
    return COMPARE[condition["operator"]](one, other)


# In


def read_in(part: dict[str, object], data: bytes) -> list[Row]:
    """The rows of a file, by field of the entity, as the map wants them."""
    entity = entity_or_wrong(part["entity"])
    columns, rows = files.rows_of(data, part["format"], entity, part["xslt"])
    maps = part["map"] or [{**MAP_LEFT_OPEN, "field": one.name, "source": one.name} for one in entity.fields]
    if not part["map"] and not set(columns) <= {one.name for one in entity.fields}:
        raise files.Unreadable
    for one in maps:
        needed = field_or_wrong(entity, one["field"]).key and not (one["default"] or one["auto_generated"])
        if columns and needed and (one["source"] or "").upper() not in columns:
            raise files.Unreadable
    return [mapped(entity, maps, row) for row in rows]


def mapped(entity: Entity, maps: list[dict[str, object]], row: Row) -> Row:
    """One row of a file, by field. What no map mentions stays blank."""
    found = dict.fromkeys((one.name for one in entity.fields), "")
    for one in maps:
        if one["ignore"]:
            continue
        text = row.get(one["source"].strip().upper(), "") if one["source"] else ""
        text = one["conversions"].get(text, text)
        if not text and one["default"] is not None:
            text = one["default"]
        elif not text and one["auto_generated"]:
            text = str(next(own_numbers))
        found[one["field"]] = text
    return {**found, **({"": row[""]} if "" in row else {})}


def record_of(entity: Entity, row: Row) -> tuple[Record, list[tuple[str, str]]]:
    """A record, and what is wrong with it by column."""
    complaints = [("", "The record has more values than the header has columns.")] if "" in row else []
    record: Record = {}
    for one in entity.fields:
        try:
            record[one.name] = files.value_of(one, row[one.name])
        except ValueError as fault:
            complaints.append((one.name, str(fault)))
    return record, complaints


def in_turn(parts: list[tuple[dict[str, object], list[Row]]]) -> Iterator[tuple[dict[str, object], list[Row]]]:
    """The parts of an import as units, levels and sequences have it. Of units the last one comes first."""
    yield from sorted(parts, key=lambda pair: (-pair[0]["execution_unit"], pair[0]["level"], pair[0]["sequence"]))


# Out


def written(part: dict[str, object], records: list[Record]) -> bytes:
    """A file of these records, as the map wants it."""
    entity = entity_or_wrong(part["entity"])
    maps = part["map"] or [{**MAP_LEFT_OPEN, "field": one.name, "source": one.name} for one in reversed(entity.fields)]
    maps = [one for one in maps if one["source"] and not one["ignore"]]
    columns = list(dict.fromkeys(one["source"] for one in maps))
    rows = []
    for record in records:
        row: Row = {}
        for one in maps:
            back = {inside: outside for outside, inside in one["conversions"].items()}
            text = str(record[one["field"]])
            row[one["source"]] = back.get(text, text)
        rows.append(row)
    return files.file_of(rows, columns, part["format"], entity)
