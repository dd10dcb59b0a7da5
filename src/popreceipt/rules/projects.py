"""Data projects as a journal tells them: entities, formats, maps, transforms and the one filter, as they stood when.

Says what a setting means for a record; what a service made of it is for others to look at. What a service may decide
for itself is open, and said to be.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.facts import FieldTold
from popreceipt.rules.files import DESCRIPTION, DESCRIPTION_LENGTH, ENTITY, KEY, KEY_LENGTH, TERMS, fits
from popreceipt.rules.formats import PLAIN, Row

if TYPE_CHECKING:
    from popreceipt.rules.readings import Readings

CUSTOMER_GROUPS: Final = (
    FieldTold(KEY, "text", KEY_LENGTH, True, True),
    FieldTold(DESCRIPTION, "text", DESCRIPTION_LENGTH, False, False),
    FieldTold(TERMS, "text", None, False, False),
)
"""The fields of the entity that every world has."""

GOOD: Final = "good"
BAD: Final = "bad"
UNSURE: Final = "unsure"

NUMBERS: Final = frozenset({"integer", "real"})
MIDNIGHT: Final = "T00:00:00"


class FieldMap(msgspec.Struct, frozen=True):
    """How one field is filled from a file, or written to one."""

    field: str
    source: str | None
    default: str | None
    auto_generated: bool
    ignore: bool
    conversions: Mapping[str, str]

    @property
    def renames_only(self) -> bool:
        """It names a column, or none; values come as they are."""
        return self.default is None and not self.auto_generated and not self.conversions


class ProjectEntity(msgspec.Struct, frozen=True):
    """One entity of a data project."""

    entity: str
    format: str
    sheet: str | None
    unit: int
    level: int
    sequence: int
    stops: bool
    map: tuple[FieldMap, ...]
    xslt: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the entity is known by, whatever the letter case."""
        return self.entity.strip().casefold()


class Condition(msgspec.Struct, frozen=True):
    """One condition of a filter."""

    entity: str
    field: str
    operator: str
    value: str


class Project(msgspec.Struct, frozen=True):
    """A data project as it was told."""

    id: str
    entities: tuple[ProjectEntity, ...]
    filter: tuple[Condition, ...]

    def entity(self, name: str) -> ProjectEntity | None:
        """The entity of this name, in any letter case."""
        wanted = name.strip().casefold()
        return next((each for each in self.entities if each.name == wanted), None)

    def conditions(self, entity: ProjectEntity) -> tuple[Condition, ...]:
        """What the filter asks of an entity's records."""
        return tuple(each for each in self.filter if each.entity.strip().casefold() == entity.name)

    @property
    def plain(self) -> bool:
        """It has one entity, delimited as in every world, with nothing done to it on the way."""
        first = self.entities[0] if len(self.entities) == 1 else None
        return (
            first is not None
            and first.format.casefold() == PLAIN
            and not first.map
            and not first.xslt
            and not self.filter
        )


class Projects:
    """The data projects of a journal, and which of them a recurring data job hangs off."""

    def __init__(self, journal: "Readings") -> None:
        self._journal = journal
        self._places: dict[str, list[float]] = {}
        self._told: dict[str, list[Project]] = {}
        for name, seen in journal.projects.items():
            merged: dict[str, Any] = {}
            for each in sorted(seen, key=lambda one: one.place):
                merged = {**merged, **each.settings}
                self._places.setdefault(name, []).append(each.place)
                self._told.setdefault(name, []).append(_project(name, merged))
        self._jobs: dict[str, str] = {}
        for activity, observed in journal.activities.items():
            for told in observed:
                if isinstance(named := told.settings.get("project"), str):
                    self._jobs[activity] = vocabulary.bare_guid(named)
        self._of_project: dict[str, list[str]] = defaultdict(list)
        for activity, name in self._jobs.items():
            self._of_project[name].append(activity)

    def of(self, activity: str | None, place: float) -> Project | None:
        """The project of a recurring data job as told before a place in the journal; None where nobody told."""
        name = self._jobs.get(activity or "", "")
        told = bisect_right(self._places.get(name, ()), place)
        return self._told[name][told - 1] if told else None

    def steadily(self, activity: str | None, start: float, end: float) -> Project | None:
        """The same, where it did not change from one place to the other."""
        project = self.of(activity, start)
        return project if project is self.of(activity, end) else None

    def plain(self, activity: str | None) -> bool:
        """Whether nothing was ever told of a recurring data job's project that is not so in every world."""
        return all(each.plain for each in self._told.get(self._jobs.get(activity or "", ""), ()))

    def changed(self, project: Project, place: float) -> bool:
        """Whether the project had been told otherwise before."""
        return bisect_right(self._places.get(project.id, ()), place) > 1

    def jobs(self, project: Project) -> list[str]:
        """The recurring data jobs of a project, in the order in which they were told of."""
        return self._of_project.get(project.id, [])

    def fields(self, entity: ProjectEntity) -> tuple[FieldTold, ...]:
        """The fields of an entity; none where nobody told."""
        told = self._journal.entities.get(entity.name, ())
        return told or (CUSTOMER_GROUPS if entity.name == ENTITY else ())


def _project(name: str, told: Mapping[str, Any]) -> Project:
    return Project(
        name,
        tuple(_entity(each) for each in _objects(told.get("entities"))),
        tuple(
            Condition(
                str(each.get("entity", "")),
                str(each.get("field", "")).upper(),
                str(each.get("operator", "equals")),
                str(each.get("value", "")),
            )
            for each in _objects(told.get("filter"))
        ),
    )


def _entity(told: Mapping[str, Any]) -> ProjectEntity:
    return ProjectEntity(
        str(told.get("entity", "")),
        str(told.get("format") or PLAIN),
        _text(told.get("sheet")),
        _whole(told.get("execution_unit")),
        _whole(told.get("level")),
        _whole(told.get("sequence")),
        bool(told.get("fail_unit_on_error") or told.get("fail_level_on_error")),
        tuple(
            FieldMap(
                str(each.get("field", "")).upper(),
                _text(each.get("source")),
                _text(each.get("default")),
                each.get("auto_generated") is True,
                each.get("ignore") is True,
                {str(key): str(value) for key, value in (each.get("conversions") or {}).items()},
            )
            for each in _objects(told.get("map"))
        ),
        tuple(str(each) for each in told.get("xslt") or ()),
    )


def _objects(listed: object) -> list[dict[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, (list, tuple)) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 1


# Records in and out


class Expected(msgspec.Struct, frozen=True):
    """What a file's record should become: values by field, as far as they are settled.

    `not_from_file` are values that the file has and the map keeps out. `verdict` is `good`, `bad`, or `unsure` where a
    service may take the record or leave it. `identity` is that of its key, None where a part of it is open.
    """

    row: int
    values: Mapping[str, str]
    not_from_file: Mapping[str, str]
    verdict: str
    identity: tuple[str, ...] | None


def expected(rows: Iterable[Row], entity: ProjectEntity, fields: tuple[FieldTold, ...]) -> list[Expected] | None:
    """What the records of a file should become; None where a column is nobody's, or a mapped one is lacking."""
    known = {each.name for each in fields}
    # A field without a source has no column, unless it is left out: then one of its name may be there.
    sources = [each.source or (each.field if each.ignore else None) for each in entity.map]
    mapped = {each.strip().upper() for each in sources if each is not None}
    made: list[Expected] = []
    for place, row in enumerate(rows, start=1):
        own = {name.strip().upper(): value for name, value in row.items()}
        if entity.map and not own.keys() <= mapped:
            return None
        filled = _mapped(own, entity.map or tuple(map(_by_name, own)))
        if filled is None or not filled[0].keys() <= known:
            return None
        values, kept_out = filled
        made.append(Expected(place, values, kept_out, _verdict(values, fields), identity(values, fields)))
    return _without_twins(made)


def _by_name(column: str) -> FieldMap:
    return FieldMap(column, column, None, False, False, {})


def _mapped(row: Row, maps: Iterable[FieldMap]) -> tuple[Row, Row] | None:
    values: Row = {}
    kept_out: Row = {}
    for each in maps:
        column = (each.source or each.field).strip().upper()
        if each.ignore:
            kept_out[each.field] = row.get(column, "")
        elif each.source is not None:
            if column not in row:
                return None
            converted = _converted(row[column], each.conversions)
            if converted or (converted is not None and each.default is None):
                values[each.field] = converted
        elif each.default is not None:
            values[each.field] = each.default
    return values, kept_out


def _converted(value: str, conversions: Mapping[str, str]) -> str | None:
    """What a value becomes; None where it depends on how nearly it must be the one that is converted."""
    if value in conversions:
        return conversions[value]
    return None if value.strip().casefold() in {each.strip().casefold() for each in conversions} else value


def _verdict(values: Row, fields: Iterable[FieldTold]) -> str:
    found = set()
    for field in fields:
        value = values.get(field.name)
        if field.key or field.mandatory:
            found.add(UNSURE if value is None else BAD if not value else GOOD if value.strip() else UNSURE)
        if value and field.type == "text":
            found.add(fits(value, field.length) if field.length is not None else GOOD)
        elif value:
            found.add(GOOD if _reads(value, field.type) else UNSURE)
    return next((each for each in (BAD, UNSURE) if each in found), GOOD)


def _reads(value: str, kind: str) -> bool:
    number = numeral(value)
    if kind == "integer":
        return number is not None and number == number.to_integral_value()
    return kind == "real" and number is not None


def identity(values: Mapping[str, Any], fields: Iterable[FieldTold]) -> tuple[str, ...] | None:
    """What tells a record from others: its key, whatever the letter case. None where a part of it is not known."""
    key = [(values.get(field.name), field.type) for field in fields if field.key]
    if not key or any(each is None or not str(each).strip() for each, _ in key):
        return None
    return tuple(_canonical(str(each), kind) for each, kind in key)


def _canonical(text: str, kind: str) -> str:
    number = numeral(text) if kind in NUMBERS else None
    if number is not None:
        return str(number.normalize())
    folded = text.strip().casefold()
    return folded.removesuffix(MIDNIGHT.casefold()) if kind == "date" else folded


def numeral(text: str) -> Decimal | None:
    """The number that a text is, None where it is none."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _without_twins(records: list[Expected]) -> list[Expected]:
    count: dict[tuple[str, ...], int] = {}
    for each in records:
        if each.identity is not None:
            count[each.identity] = count.get(each.identity, 0) + 1
    return [
        msgspec.structs.replace(each, verdict=UNSURE)
        if each.verdict == GOOD and (each.identity is None or count[each.identity] > 1)
        else each
        for each in records
    ]


def alike(one: str, other: Any, kind: str) -> bool:
    """Whether two values of a field of this type are the same, however numbers and dates are written."""
    text = "" if other is None else str(other).strip()
    if one.strip() == text:
        return True
    if kind in NUMBERS:
        number = numeral(one)
        return number is not None and number == numeral(text)
    return kind == "date" and text == f"{one.strip()}{MIDNIGHT}"


# Filters


def meets(record: Mapping[str, Any], conditions: Iterable[Condition], fields: Iterable[FieldTold]) -> bool | None:
    """Whether a record meets all conditions; None where it depends on how a service compares."""
    kinds = {field.name: field.type for field in fields}
    verdicts = {_meets(each, record.get(each.field), kinds.get(each.field, "")) for each in conditions}
    return False if False in verdicts else None if None in verdicts else True


def _meets(condition: Condition, held: Any, kind: str) -> bool | None:
    text = "" if held is None else str(held).strip()
    wanted = condition.value.strip()
    if "*" in wanted or "?" in wanted:
        return None
    if condition.operator == "contains":
        return True if wanted in text else None if wanted.casefold() in text.casefold() else False
    equal: bool | None = alike(wanted, text, kind)
    if not equal and text.casefold() == wanted.casefold():
        equal = None
    if condition.operator == "equals":
        return equal
    if condition.operator == "not-equals":
        return None if equal is None else not equal
    return _compared(condition.operator, text, wanted, kind)


def _compared(operator: str, text: str, wanted: str, kind: str) -> bool | None:
    one, other = numeral(text), numeral(wanted)
    if kind not in NUMBERS or one is None or other is None:
        return None
    found = {
        "less": one < other,
        "less-or-equal": one <= other,
        "greater": one > other,
        "greater-or-equal": one >= other,
    }
    return found.get(operator)
