"""What pytest and allure-pytest write of a failure, made fit for others: bounded, plain, and without secrets.

An exception quotes whatever it met, and a trace shows the arguments of a call. Neither passes a journal on its way,
which would have replaced what is secret; so the secrets of this run are replaced wherever they stand, and what looks
like one by its looks.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import allure_commons

from popreceipt.journal import SECRET_FIELDS, redacted, without_tokens
from popreceipt.reports.allure.folder import LONGEST_MESSAGE, LONGEST_NAME, fit
from popreceipt.reports.plain import plain

LONGEST_TRACE: Final = 16_000
"""Characters of a trace."""

_SHORTEST: Final = 8
"""Characters of a secret that is replaced wherever it stands; a shorter one might be a word."""

# An error has a code as well, and tells it where a reader needs it.
_NAMES: Final = "|".join(sorted(SECRET_FIELDS - {"code"}))
_NAMED: Final = re.compile(
    rf"""\b(?P<name>{_NAMES})(?P<between>\W{{0,3}}\s?[=:]\s?)"""
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'"""
    r"""|(?P<opened>\\*["']?)(?P<bare>[^\s"'&,;<>()\[\]{}\\]+))""",
    re.IGNORECASE,
)
_CARRIED: Final = re.compile(r"\b(Bearer|Basic)( +)([\w.~+/=-]{8,})", re.IGNORECASE)


class Discretion:
    """Stands before what writes results, knows the secrets of the run, and lets none of them pass."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn(self, identity: Any) -> None:
        """Note the secrets in what a target tells of its clients: members of any depth by their names."""
        self._secrets.update(spelling for each in _secrets_in(identity) for spelling in _spellings(each))

    def without_known(self, text: str) -> str:
        """A text without the run's own secrets, and without what looks like a signed token."""
        for each in self._secrets:
            text = text.replace(each, redacted(each))
        return without_tokens(text)

    def told(self, text: str, most: int) -> str:
        """A text of strangers as it may be told: of a long one beginning and end, where the reason stands.

        Args:
            text: any.
            most: characters that are kept.
        """
        text = self.without_known(text)
        text = _NAMED.sub(_without_value, text)
        text = _CARRIED.sub(lambda found: f"{found[1]}{found[2]}{redacted(found[3])}", text)
        return _ends(plain(text), most)

    @allure_commons.hookimpl(tryfirst=True)
    def report_result(self, result: Any) -> None:
        """Before a result is written."""
        self._tell(result)

    @allure_commons.hookimpl(tryfirst=True)
    def report_container(self, container: Any) -> None:
        """Before it is written what happened around results."""
        for each in (*container.befores, *container.afters):
            self._tell(each)

    @allure_commons.hookimpl(tryfirst=True)
    def report_globals(self, globals_item: Any) -> None:
        """Before it is written what belongs to no result."""
        for each in globals_item.errors:
            self._tell_details(each)

    def _tell(self, item: Any) -> None:
        """An item of Allure's model and all below it, each text in it as it may be told."""
        if item.statusDetails is not None:
            self._tell_details(item.statusDetails)
        for each in item.parameters:
            each.value = fit(self.told(str(each.value), LONGEST_NAME), LONGEST_NAME)
        for each in item.steps:
            each.name = fit(self.told(str(each.name), LONGEST_NAME), LONGEST_NAME)
            self._tell(each)

    def _tell_details(self, details: Any) -> None:
        details.message = None if details.message is None else self.told(str(details.message), LONGEST_MESSAGE)
        details.trace = None if details.trace is None else self.told(str(details.trace), LONGEST_TRACE)


def figures_text(figures: Mapping[str, Any], most: int) -> str:
    """Figures as JSON that is whole whatever their size: of long lists and mappings so many members as fit.

    Args:
        figures: whatever suites tell of themselves.
        most: bytes that the text may have.
    """
    text = json.dumps(figures, indent=1, default=str)
    whole = len(text)
    members = 1024
    while len(text) > most and members > 1:
        members //= 4
        text = json.dumps(_fewer(figures, members), indent=1, default=str)
    return text if len(text) <= most else json.dumps({"left out": f"{whole:,} characters"})


def _fewer(value: Any, members: int) -> Any:
    """A value with so many members at each depth, and with how many there are more."""
    if isinstance(value, Mapping):
        kept = {str(name): _fewer(one, members) for name, one in list(value.items())[:members]}
        return kept | ({"…": f"{len(value) - members:,} more"} if len(value) > members else {})
    if isinstance(value, list | tuple):
        more = [f"… {len(value) - members:,} more"] if len(value) > members else []
        return [*(_fewer(one, members) for one in value[:members]), *more]
    text = str(value)
    return value if isinstance(value, bool | int | float) or value is None else _ends(text, 16 * members)


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if str(name).lower() in SECRET_FIELDS and isinstance(one, str):
                yield one
            else:
                yield from _secrets_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _secrets_in(one)


def _spellings(secret: str) -> Iterator[str]:
    """A secret as it may stand in a text: as it is, within JSON, and as Python shows it."""
    if len(secret) >= _SHORTEST:
        yield from {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}


def _without_value(found: re.Match[str]) -> str:
    before = f"{found['name']}{found['between']}"
    for kind, quote in (("double", '"'), ("single", "'")):
        if (value := found[kind]) is not None:
            return f"{before}{quote}{redacted(value) if value else ''}{quote}"
    return f"{before}{found['opened']}{redacted(found['bare'])}"


def _ends(text: str, most: int) -> str:
    """A text that is not longer than so many characters: its first third, its last two, and what was left out."""
    if len(text) <= most:
        return text
    left_out = f"\n… {len(text) - most:,} characters were left out …\n"
    room = max(most - len(left_out), 0)
    first = room // 3
    return text[:first] + left_out + text[len(text) - (room - first) :]
