"""Records that nobody has seen before, for any entity: keys of their own, values that every check passes.

What a seed gives, it gives again. Knows fields and their types alone; where a field refers to another entity the values
to choose from are handed in.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from popreceipt.emulator.dmf.entity import Entity, Field
from popreceipt.emulator.guids import Guids

Record = dict[str, str]
Parents = Mapping[str, Sequence[str]]
"""By field: the values that the entity it refers to has."""

LONGEST_KEY: Final = 10
"""Characters of a made-up text key, where the field takes so many."""

_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "PAYMENTTERMID": ("", "Net10", "Net14", "Net30", "Net60"),
    "CURRENCYCODE": ("EUR", "USD", "GBP", "CHF", "DKK"),
    "LANGUAGEID": ("en-US", "de", "fr", "da"),
}
"""Values that a person would expect in fields of these names."""

_FIRST_DAY: Final = date(2020, 1, 1)
_DAYS: Final = 3_650


class NotEnough(Exception):
    """An entity whose keys are too short for so many records; the text says how far they go."""


def synthetic(entity: Entity, guids: Guids, count: int, parents: Parents | None = None) -> list[Record]:
    """So many records of an entity, no two with one key.

    Args:
        entity: what they are records of.
        guids: where chance comes from.
        count: how many.
        parents: values for the fields that refer to another entity; a field without any stays empty.

    Raises:
        NotEnough: the entity's keys do not go so far.
    """
    there = parents or {}
    free = [field for field in entity.fields if field.key and field.reference is None]
    bound = [field for field in entity.fields if field.reference is not None]
    others = [field for field in entity.fields if not field.key and field.reference is None]
    makers = [(field.name, _maker(field, entity)) for field in others]
    numbered = free[-1].name if bound and free and free[-1].type in {"integer", "real"} else None
    columns, keys = entity.columns, entity.keys
    made: dict[tuple[str, ...], Record] = {}
    misses = 0
    while len(made) < count:
        place = len(made) + misses
        chance = guids.digits(LONGEST_KEY)
        record = dict.fromkeys(columns, "")
        for field in bound:
            values = there.get(field.name, ())
            record[field.name] = values[place % len(values)] if values else ""
        for field in free:
            record[field.name] = _key(field, guids)
        if numbered is not None:
            # Lines count within what they belong to.
            fan = max((len(there.get(field.name, ())) for field in bound if field.key), default=0) or 1
            record[numbered] = str(place // fan + 1)
        key = tuple([record[name] for name in keys])
        if key in made:
            misses += 1
            if misses > 1_000 + count:
                raise NotEnough(f"The keys of {entity.name} do not go far enough for {count} records: {len(made)} fit.")
            continue
        number = int(chance, 16)
        for name, make in makers:
            record[name] = make(chance, number)
        made[key] = record
    return list(made.values())


def _key(field: Field, guids: Guids) -> str:
    """A value of a key that few others have."""
    if field.type == "text":
        return guids.digits(min(field.length or LONGEST_KEY, LONGEST_KEY))
    number = int(guids.digits(7), 16)
    return _of_type(field, number)


def _maker(field: Field, entity: Entity) -> Callable[[str, int], str]:
    """From a record's own ten digits, and their number, to the value of a field that is no key."""
    if field.type != "text":
        return lambda _, number: _of_type(field, number)
    if field.name in _VALUES:
        choices = _VALUES[field.name]
        if field.length is None or all(len(one) <= field.length for one in choices):
            return lambda _, number: choices[number % len(choices)]
    length = field.length
    if length is not None and length < LONGEST_KEY + 5:
        return lambda chance, _: chance[:length]
    words = entity.name.removesuffix("s") if field.name == "DESCRIPTION" else field.name.capitalize()
    # The digits stay whole: they tell records apart.
    start = words if length is None else words[: length - LONGEST_KEY - 1]
    return lambda chance, _: f"{start} {chance.lower()}"


def _of_type(field: Field, number: int) -> str:
    match field.type:
        case "integer":
            return str(number % 100_000_000)
        case "real":
            return f"{number % 1_000_000 / 100:.2f}"
        case "date":
            return (_FIRST_DAY + timedelta(days=number % _DAYS)).isoformat()
        case "datetime":
            start = datetime(_FIRST_DAY.year, _FIRST_DAY.month, _FIRST_DAY.day)  # noqa: DTZ001 - written with its Z below
            return f"{(start + timedelta(seconds=number % (_DAYS * 86_400))).isoformat()}Z"
        case "enum":
            return field.values[number % len(field.values)]
        case "yes-no":
            return ("No", "Yes")[number % 2]
        case "text":
            return f"{number:X}"[: field.length]
