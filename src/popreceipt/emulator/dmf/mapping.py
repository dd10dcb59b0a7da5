"""Field maps at work: from the columns of a file to the fields of an entity, and back.

"Recurring integrations", section "Create a data project": source mapping can be reviewed and changed for each entity.
Knows names and values of one record; refuses to know formats and tables.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from popreceipt.emulator.dmf.entity import Entity
from popreceipt.emulator.dmf.formats import Column
from popreceipt.emulator.dmf.project import FieldMap

_NUMERIC: Final = frozenset({"integer", "real"})


class _Way(NamedTuple):
    """How one field is filled, and what it is written as."""

    field: str
    source: str | None
    default: str
    generated: str | None
    inward: Mapping[str, str]
    outward: Mapping[str, str]
    width: int


class Mapper:
    """The field map of one entity of a project.

    A field that the map leaves out comes from the column of its own name. A value is converted where a conversion has
    it and stays as it is elsewhere; what is empty then is generated where that is asked for, or takes the default.
    Generated numbers of numeric fields count the records of the file from 1, those of texts have a prefix that no other
    execution has. On the way out a conversion is undone; where several file values mean the same, the first is written.
    Files know columns in any letter case, so names that differ in that alone are one column, which fills several
    fields.

    Args:
        entity: whose fields are mapped.
        maps: the map, at most one a field.
        prefix: the prefix of generated texts.
    """

    def __init__(self, entity: Entity, maps: Sequence[FieldMap] = (), prefix: str = "0") -> None:
        self._prefix = prefix
        by_field = {one.field: one for one in maps}
        self._ways: list[_Way] = []
        ignored: set[str] = set()
        spelled: dict[str, str] = {}
        self._blank: list[str] = []
        for field in entity.fields:
            one = by_field.get(field.name) or FieldMap(field=field.name, source=field.name)
            if one.ignore:
                ignored.add(one.source or field.name)
                self._blank.append(field.name)
                continue
            kind = ("number" if field.type in _NUMERIC else "text") if one.auto_generated else None
            outward: dict[str, str] = {}
            for theirs, ours in one.conversions.items():
                outward.setdefault(ours, theirs)
            source = None if one.source is None else spelled.setdefault(one.source.strip().casefold(), one.source)
            self._ways.append(_Way(field.name, source, one.default or "", kind, one.conversions, outward, field.width))
        self._order = entity.columns
        self._is_plain = not self._blank and all(
            one.source is not None and not one.default and one.generated is None and not one.inward
            for one in self._ways
        )
        self.writes_as_is = not self._blank and all(one.source == one.field and not one.outward for one in self._ways)
        """Whether records stand in a file by the names and values of their fields."""
        self.declared = tuple(
            FieldMap(
                field=one.field,
                source=one.source,
                default=one.default or None,
                auto_generated=one.generated is not None,
                conversions=one.inward,
            )
            for one in self._ways
        )
        """The whole map, as a manifest says it."""
        self._pairs = [(one.field, one.source or "") for one in self._ways]
        self.columns: tuple[Column, ...] = tuple(_distinct(self._ways))
        """What a file is expected to have, in order."""
        self.known = frozenset({column.name for column in self.columns} | ignored)
        """The names that a file may have; those of ignored fields are passed over."""
        self.known_folded = frozenset(name.casefold() for name in self.known)
        self.needed = tuple(
            one.source
            for one in self._ways
            if one.field in entity.keys and one.source is not None and not one.default and one.generated is None
        )
        """The columns without which no record has a key."""

    def staged(self, values: Mapping[str, str], number: int) -> dict[str, str]:
        """The record that a file's values make, all fields in their order. `number` counts the file's records."""
        if self._is_plain:
            return {field: values.get(source, "") for field, source in self._pairs}
        made = dict.fromkeys(self._order, "")
        for way in self._ways:
            value = values.get(way.source, "") if way.source is not None else ""
            value = way.inward.get(value, value)
            if not value and way.generated is not None:
                value = str(number) if way.generated == "number" else f"{self._prefix}-{number}"
            made[way.field] = value or way.default
        return made

    def written(self, record: Mapping[str, str]) -> dict[str, str]:
        """What a record is in a file, by column."""
        made: dict[str, str] = {}
        for way in self._ways:
            if way.source is not None:
                value = record.get(way.field, "")
                made.setdefault(way.source, way.outward.get(value, value))
        return made


class Mappers:
    """The field maps of a world's entities; those that change nothing are made once."""

    def __init__(self) -> None:
        self._plain: dict[str, Mapper] = {}

    def of(self, entity: Entity, maps: Sequence[FieldMap], prefix: str = "0") -> Mapper:
        """The field map of an entity of a project, see `Mapper`."""
        if maps:
            return Mapper(entity, maps, prefix)
        found = self._plain.get(entity.name)
        if found is None:
            found = self._plain[entity.name] = Mapper(entity)
        return found


def _distinct(ways: Sequence[_Way]) -> list[Column]:
    found: dict[str, Column] = {}
    for one in ways:
        if one.source is not None:
            found.setdefault(one.source, Column(one.source, one.width))
    return list(found.values())
