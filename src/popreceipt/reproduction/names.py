"""Texts with names in them, for values that are known only when a story is played: `{delivery-1.PopReceipt}`.

A name in braces stands for a value; what only looks like one gets an equals sign behind its brace. Words behind a bar
say how the value is spelled there: `upper` in capitals, `quoted` percent-encoded, `json` as inside a JSON text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from popreceipt.exceptions import PopreceiptError

KINDS: Final = ("export", "import", "project", "message", "delivery", "execution", "rows", "location", "token")
"""What a step may give a name to; the name is one of these and a number."""

START: Final = "start"
"""The instant at which the story begins; `{start+7200}` is two hours later."""

WORLD: Final = "world."
"""What a target's world tells: `world.job.NAME`, `world.client.ROLE`, `world.secret.ROLE`, `world.user.username`, …"""

TOKEN_OF: Final = "token."
"""The current token of a role, inside a text: `token.authorised`."""

_NAME: Final = (
    rf"(?:{'|'.join(KINDS)})-[1-9]\d*(?:[.?][^{{}}|\s]+)?|{START}[+-]\d+(?:\.\d+)?"
    r"|world\.[^{}|\s]+|token\.[^{}|\s]+"
)
_REFERENCE: Final = re.compile(rf"\{{(=*)({_NAME})((?:\|(?:upper|quoted|json))*)\}}")
_STEP: Final = re.compile(rf"(?:{'|'.join(KINDS)})-[1-9]\d*")


class Unresolved(PopreceiptError):
    """A value that nobody handed out: the story did not come as far as it should have."""

    exit_status = 3

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing gave {name} a value")
        self.name = name


def reference(name: str, *spellings: str) -> str:
    """The text that stands for a value."""
    return "{" + "|".join((name, *spellings)) + "}"


def escaped(text: str) -> str:
    """A text in which nothing is taken for a name."""
    return _REFERENCE.sub(lambda found: f"{{={found[0][1:]}", text)


def resolved(text: str, value_of: Callable[[str], str]) -> str:
    """The text with values in place of names.

    Raises:
        Unresolved: whatever `value_of` raises for a name without a value.
    """

    def spelled(name: str, spellings: Sequence[str]) -> str:
        value = value_of(name)
        for how in spellings:
            value = SPELLINGS[how](value)
        return value

    return replaced(text, spelled)


def replaced(text: str, new: Callable[[str, Sequence[str]], str]) -> str:
    """The text with something in place of each name and its spellings."""
    return "".join(piece if spellings is None else new(piece, spellings) for piece, spellings in pieces(text))


def pieces(text: str) -> Iterator[tuple[str, Sequence[str] | None]]:
    """A text cut up: names with their spellings, and (with None) what stands between them."""
    rest = 0
    for found in _REFERENCE.finditer(text):
        if between := text[rest : found.start()]:
            yield between, None
        if found[1]:
            yield f"{{{found[0][2:]}", None
        else:
            yield found[2], found[3].split("|")[1:]
        rest = found.end()
    if text[rest:]:
        yield text[rest:], None


SPELLINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "upper": str.upper,
    "quoted": lambda value: quote(value, safe=""),
    "json": lambda value: json.dumps(value)[1:-1],
}


def named(text: str) -> Iterator[str]:
    """The names in a text, whole: `delivery-1.PopReceipt`."""
    return (found[2] for found in _REFERENCE.finditer(text) if not found[1])


def giver(name: str) -> str | None:
    """The name of the step that gives a value: `delivery-1` of `delivery-1.PopReceipt`; None where no step does."""
    found = _STEP.match(name)
    return found[0] if found is not None else None


def renamed(text: str, new: Callable[[str], str]) -> str:
    """The text with other names in the places of the steps' names."""

    def other(found: re.Match[str]) -> str:
        step = giver(found[2])
        if found[1] or step is None:
            return found[0]
        return f"{{{new(step)}{found[2][len(step) :]}{found[3]}}}"

    return _REFERENCE.sub(other, text)


def in_json(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with each of its strings changed; names of members stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: in_json(each, change) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [in_json(each, change) for each in value]
    return value


def strings(value: Any) -> Iterator[str]:
    """The strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from strings(each)


def at(name: str, start: datetime) -> str | None:
    """The instant that a name such as `start+7200` means, as settings take it; None for other names."""
    if not re.fullmatch(rf"{START}[+-]\d+(?:\.\d+)?", name):
        return None
    instant = start + timedelta(seconds=float(name.removeprefix(START)))
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def instant_name(instant: datetime, start: datetime) -> str:
    """The name of an instant, in whole seconds since the start."""
    return f"{START}{round((instant - start).total_seconds()):+d}"
