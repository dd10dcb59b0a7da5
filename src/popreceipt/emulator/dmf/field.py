"""One field of an entity: its type, and what makes a value of it wrong.

Values are text, as they stand in files and in staging; nothing is converted. The types and their limits are those of
the product's tables.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, get_args

FieldType = Literal["text", "integer", "real", "date", "datetime", "enum", "yes-no"]
TYPES: Final[tuple[str, ...]] = get_args(FieldType)

Check = Callable[[str], str | None]
"""A sentence on what is wrong with a value that is not empty, or None."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The field of another entity (by its public name) in which the value must stand already."""

    entity: str
    field: str


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an entity.

    `length` is the most characters a text takes, None for any number; `values` are those of an enum. Several keys make
    a composite key.
    """

    name: str
    length: int | None = None
    key: bool = False
    mandatory: bool = False
    type: FieldType = "text"
    values: tuple[str, ...] = ()
    description: str = ""
    reference: Reference | None = None

    @property
    def width(self) -> int:
        """Characters that its column takes in a file of fixed width."""
        if self.type == "text":
            return self.length or _ANY_TEXT
        if self.type == "enum":
            return max(map(len, self.values))
        return _WIDTHS[self.type]

    def problem(self, value: str) -> str | None:
        """What is wrong with a value, in a sentence; None where all is well."""
        if not value or value.isspace():
            return f'The field "{self.name}" must be filled in.' if self.mandatory else None
        if self.length is not None and len(value) > self.length:
            return f'The value "{value[:80]}" in field "{self.name}" is longer than {self.length} characters.'
        check = self.check
        return None if check is None else check(value)

    @property
    def check(self) -> Check | None:
        """What its type asks of a value beyond the length; None for a text, of which it asks nothing."""
        accepts, expected = _ACCEPTS.get(self.type, (None, ""))
        if self.type == "enum":
            known = frozenset(value.casefold() for value in self.values)
            accepts, expected = (lambda value: value.casefold() in known), f"one of {', '.join(self.values)}"
        if accepts is None:
            return None

        def check(value: str) -> str | None:
            if accepts(value.strip()):
                return None
            return f'The value "{value[:80]}" in field "{self.name}" is not valid: {expected} is expected.'

        return check


_ANY_TEXT: Final = 255
_WIDTHS: Final = {"integer": 11, "real": 34, "date": 10, "datetime": 20, "yes-no": 3}

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,10}")
_REAL: Final = re.compile(r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,16})?|\.[0-9]{1,16})")
_DATE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00:00(?:\.0+)?Z?)?")
_INSTANT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?)(?:\.[0-9]+)?Z?")
_YES_NO: Final = frozenset(("yes", "no", "true", "false", "1", "0"))


def _is_integer(value: str) -> bool:
    return _INTEGER.fullmatch(value) is not None and -(2**31) <= int(value) < 2**31


def _is_real(value: str) -> bool:
    return _REAL.fullmatch(value) is not None


def _is_date(value: str) -> bool:
    found = _DATE.fullmatch(value)
    return found is not None and _in_calendar(date.fromisoformat, found[1])


def _is_instant(value: str) -> bool:
    found = _INSTANT.fullmatch(value)
    return found is not None and _in_calendar(datetime.fromisoformat, found[1])


def _in_calendar(reading: Callable[[str], date], text: str) -> bool:
    try:
        return reading(text).year >= 1900  # The product's calendar begins there.
    except ValueError:
        return False


def _is_yes_or_no(value: str) -> bool:
    return value.casefold() in _YES_NO


_ACCEPTS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "integer": (_is_integer, "a whole number from -2147483648 to 2147483647"),
    "real": (_is_real, "a number with a point before its decimals and nothing between thousands"),
    "date": (_is_date, "a date as yyyy-MM-dd, not before 1900"),
    "datetime": (_is_instant, "a date and time as yyyy-MM-ddTHH:mm:ss, not before 1900"),
    "yes-no": (_is_yes_or_no, "Yes or No"),
}
