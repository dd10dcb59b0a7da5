"""What a control call may contain, for the server that shares nothing with the emulator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

Test = Callable[[object], bool]

GUID = re.compile(r"\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?")


class Wrong(Exception):
    """A control call that is answered with 400, and the sentence that says why."""


def text(value: object) -> bool:
    return isinstance(value, str)


def name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable() and not value[0].isspace()


def truth(value: object) -> bool:
    return isinstance(value, bool)


def number(low: int, high: int = 10**9) -> Test:
    """A whole number within these bounds."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def one_of(*known: object) -> Test:
    return lambda value: any(type(value) is type(each) and value == each for each in known)


def maybe(test: Test) -> Test:
    return lambda value: value is None or test(value)


def list_of(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(test(each) for each in value)


def texts_by_text(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for pair in value.items() for each in pair)


def guid(value: object) -> bool:
    return isinstance(value, str) and GUID.fullmatch(value) is not None


def anything(_value: object) -> bool:
    return True


def check(given: object, shape: Mapping[str, Test], needed: Iterable[str] = ()) -> dict[str, object]:
    """The members of an object, none unknown, none missing, each of its kind."""
    if not isinstance(given, dict):
        raise Wrong("an object is wanted")
    for member in needed:
        if member not in given:
            raise Wrong(f"{member} is wanted")
    for member, value in given.items():
        if member not in shape:
            raise Wrong(f"nobody knows the member {member}")
        if not shape[member](value):
            raise Wrong(f"{member} cannot be that")
    return given
