"""The filter of an export project: which records of an entity are exported.

"Recurring integrations", section "Create a data project": an entity of an export has filters, and all recurring data
jobs of one project use the same. Numbers and dates compare as such, everything else as text, letter by letter.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from popreceipt.emulator.dmf.entity import Entity, Field
from popreceipt.emulator.dmf.project import Condition

Record = Mapping[str, str]


class Filter:
    """All conditions of a project on one entity; a record must meet each of them.

    An empty value is less and greater than nothing, and equals the empty one only.
    """

    def __init__(self, entity: Entity, conditions: Iterable[Condition]) -> None:
        fields = {field.name: field for field in entity.fields}
        wanted = entity.name.casefold()
        self._tests = [
            (one.field, _test(fields[one.field], one)) for one in conditions if one.entity.casefold() == wanted
        ]

    def __call__(self, records: Iterable[Record]) -> list[Record]:
        """The records that meet all conditions, in their order."""
        if not self._tests:
            return list(records)
        return [record for record in records if all(test(record.get(field, "")) for field, test in self._tests)]


def fault(field: Field, condition: Condition) -> str | None:
    """What is wrong with a condition: a value that the field's type cannot be compared with. None if nothing is."""
    if condition.operator == "contains" or not condition.value:
        return None
    if _reader(field)(condition.value) is None:
        return f"{condition.value!r:.80} is no {field.type}, which {field.name} is."
    return None


def _test(field: Field, condition: Condition) -> Callable[[str], bool]:
    wanted = condition.value
    if condition.operator == "contains":
        return lambda value: wanted in value
    read = _reader(field)
    right = read(wanted)
    if condition.operator == "equals":
        return lambda value: read(value) == right
    if condition.operator == "not-equals":
        return lambda value: read(value) != right
    compare = _ORDERS[condition.operator]

    def test(value: str) -> bool:
        left = read(value)
        return left is not None and right is not None and compare(left, right)

    return test


_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "less": lambda left, right: bool(left < right),
    "less-or-equal": lambda left, right: bool(left <= right),
    "greater": lambda left, right: bool(left > right),
    "greater-or-equal": lambda left, right: bool(left >= right),
}


def _reader(field: Field) -> Callable[[str], Any]:
    """From a value to what it is compared as; None for an empty one, and for one that is none of the type."""
    return _READERS.get(field.type, _text)


def _text(value: str) -> str | None:
    return value or None


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _date(value: str) -> date | None:
    try:
        return date.fromisoformat(value.strip()[:10])
    except ValueError:
        return None


def _instant(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "integer": _number,
    "real": _number,
    "date": _date,
    "datetime": _instant,
}
