"""The baseline file: what is accepted for now, by whom and until when, and what was seen the last time it was updated.

People write the accepted findings and the gate's settings, and review them; the table `seen` is kept by `popreceipt
gate --update` (module `updating`). It reads TOML and checks every member; it knows no results.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal

from popreceipt.exceptions import UsageError
from popreceipt.gates.pattern import LEAST_LETTERS, too_wide
from popreceipt.verdict import Outcome

FORMAT: Final = "popreceipt/baseline@1"

Kind = Literal["verdicts", "middleware", "load", "sizing"]

KINDS: Final[tuple[Kind, ...]] = ("verdicts", "middleware", "load", "sizing")
"""What a baseline may be of: what verify and judge write, what middleware, load and size write."""

Policy = Literal["fail", "report"]

LONGEST_DAYS: Final = 366
"""So many days ahead an acceptance may expire, unless the file says otherwise: one for ever is a rule switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A finding that somebody answers for, for a while.

    Args:
        number: its place in the file, from 1.
        rule: the rule's id, or the name of a suite's own check.
        message: the pattern that a finding's message must match (module `pattern`).
        owner: who sees to it.
        issue: where it is dealt with.
        expires: the last day (UTC) on which it is accepted.
        scenario: the scenario of a middleware result in which it is accepted, with its dialect as reports name it
            (`NAME under DIALECT`); None for all.
        outcome: of the finding; violated, or undecided where a rule can for now not be decided.
        reason: why, in words; for readers.
    """

    number: int
    rule: str
    message: str
    owner: str
    issue: str
    expires: date
    scenario: str | None = None
    outcome: Outcome = Outcome.VIOLATED
    reason: str | None = None

    @property
    def name(self) -> str:
        """What it is called where the gate speaks of it."""
        where = "" if self.scenario is None else f" in {self.scenario}"
        return f"entry {self.number} ({self.rule}{where}; {self.owner}, {self.issue})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the gate decides.

    Args:
        target: a pattern for the names of targets whose results may be compared with this file; None for the very one
            that was seen.
        answers: what an answer that changed does (rules of level ASK: the server's own choice on an open point).
        recommendations: what a violated SHOULD does that no entry accepts.
        longest_days: the most days ahead that an entry may expire.
    """

    target: str | None = None
    answers: Policy = "report"
    recommendations: Policy = "fail"
    longest_days: int = LONGEST_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a result showed when the file was updated last.

    Args:
        kind: of which command the result was.
        target: its target's name.
        binds: whose rules it judged: service or client.
        suites: those that ran.
        outcomes: of each rule that was exercised.
        answers: of each rule that was answered.
        scenarios: by scenario, the outcome of each rule that was exercised there.
        operations: requests of a load run that were made.
        recommended: of a sizing: processing and monitoring recurrence in minutes.
    """

    kind: Kind
    target: str
    binds: str = "service"
    suites: tuple[str, ...] = ()
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    scenarios: Mapping[str, Mapping[str, Outcome]] = field(default_factory=dict)
    operations: tuple[str, ...] = ()
    recommended: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A baseline file. `seen` is None in one that was never updated."""

    path: Path
    settings: Settings = Settings()
    accepted: tuple[Accepted, ...] = ()
    seen: Seen | None = None


EXERCISED: Final = (Outcome.HELD, Outcome.ANSWERED, Outcome.UNDECIDED, Outcome.VIOLATED)


def text_of(path: Path) -> str:
    """A baseline file's text, line ends as they stand in it.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no baseline {path}: `popreceipt gate RESULT --baseline {path} --update` makes it."
        ) from error
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"Cannot read the baseline {path}: {words}.") from error


def read(path: Path) -> Baseline:
    """Read a baseline file.

    Raises:
        UsageError: it cannot be read, or a member is unknown, missing or of another kind than it must be.
    """
    return parse(text_of(path), path)


def parse(text: str, path: Path) -> Baseline:
    """The baseline that a text holds; `path` is where it stands, for errors.

    Raises:
        UsageError: as for `read`.
    """
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"The baseline {path} is no TOML: {error}.") from error
    return _Reading(path).baseline(raw)


class _Reading:
    """Turns tables into values, and says of each that is wrong where it stands."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def baseline(self, raw: Mapping[str, Any]) -> Baseline:
        """The whole file."""
        self._known(raw, ("format", "gate", "accepted", "seen"), "the file")
        if raw.get("format") != FORMAT:
            raise self._wrong("the file", f'must say format = "{FORMAT}", not {raw.get("format")!r}')
        entries = raw.get("accepted", [])
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise self._wrong("accepted", "is a list of tables: write [[accepted]] above each entry")
        return Baseline(
            path=self._path,
            settings=self._settings(self._table(raw, "gate", "gate")),
            accepted=tuple(self._accepted(number, each) for number, each in enumerate(entries, 1)),
            seen=self._seen(self._table(raw, "seen", "seen")) if "seen" in raw else None,
        )

    def _settings(self, table: Mapping[str, Any]) -> Settings:
        where = "[gate]"
        self._known(table, ("target", "answers", "recommendations", "longest_days"), where)
        days = table.get("longest_days", LONGEST_DAYS)
        if not isinstance(days, int) or isinstance(days, bool) or days < 1:
            raise self._wrong(where, f"longest_days is a whole number of days above 0, not {days!r}")
        return Settings(
            target=self._words(table, "target", where) if "target" in table else None,
            answers=self._policy(table, "answers", "report"),
            recommendations=self._policy(table, "recommendations", "fail"),
            longest_days=days,
        )

    def _policy(self, table: Mapping[str, Any], name: str, usual: Policy) -> Policy:
        given = table.get(name, usual)
        if given == "fail":
            return "fail"
        if given == "report":
            return "report"
        raise self._wrong("[gate]", f'{name} is "fail" or "report", not {given!r}')

    def _accepted(self, number: int, table: Mapping[str, Any]) -> Accepted:
        where = f"entry {number} of [[accepted]]"
        required = ("rule", "message", "owner", "issue", "expires")
        self._known(table, (*required, "scenario", "outcome", "reason"), where)
        for name in required:
            if name not in table:
                raise self._wrong(where, f"lacks {name}: an entry has {', '.join(required)}")
        message = self._words(table, "message", where)
        if too_wide(message):
            raise self._wrong(
                where,
                f"has the message {message!r}, which would let nearly everything pass: name at least {LEAST_LETTERS} "
                "letters or digits of it beside the stars",
            )
        outcome = table.get("outcome", Outcome.VIOLATED.value)
        if outcome not in (Outcome.VIOLATED, Outcome.UNDECIDED):
            raise self._wrong(where, f'outcome is "violated" or "undecided", not {outcome!r}')
        expires = table["expires"]
        if not isinstance(expires, date) or isinstance(expires, datetime):
            raise self._wrong(where, f"expires is a day written without quotes, as in 2027-01-31, not {expires!s}")
        return Accepted(
            number=number,
            rule=self._words(table, "rule", where),
            message=message,
            owner=self._words(table, "owner", where),
            issue=self._words(table, "issue", where),
            expires=expires,
            scenario=self._words(table, "scenario", where) if "scenario" in table else None,
            outcome=Outcome(outcome),
            reason=self._words(table, "reason", where) if "reason" in table else None,
        )

    def _seen(self, table: Mapping[str, Any]) -> Seen:
        where = "[seen]"
        known = ("kind", "target", "binds", "suites", "outcomes", "answers", "scenarios", "operations", "recommended")
        self._known(table, known, where)
        if table.get("kind") not in KINDS:
            raise self._wrong(where, f"kind is one of {', '.join(KINDS)}, not {table.get('kind')!r}")
        answers = self._table(table, "answers", "seen.answers")
        recommended = self._table(table, "recommended", "seen.recommended")
        if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in recommended.values()):
            raise self._wrong("[seen.recommended]", "holds numbers of minutes")
        scenarios = self._table(table, "scenarios", "seen.scenarios")
        return Seen(
            kind=table["kind"],
            target=self._words(table, "target", where),
            binds=self._words(table, "binds", where) if "binds" in table else "service",
            suites=self._list(table, "suites", where),
            outcomes={
                rule: self._outcome(outcome, f"[seen.outcomes], {rule}")
                for rule, outcome in self._table(table, "outcomes", "seen.outcomes").items()
            },
            answers={rule: self._words(answers, rule, "[seen.answers]") for rule in answers},
            scenarios={
                name: dict(self._by_outcome(self._table(scenarios, name, f"seen.scenarios.{name}"), name))
                for name in scenarios
            },
            operations=self._list(table, "operations", where),
            recommended=dict(recommended),
        )

    def _by_outcome(self, table: Mapping[str, Any], scenario: str) -> Iterator[tuple[str, Outcome]]:
        where = f"[seen.scenarios.{scenario}]"
        for name in table:
            outcome = self._outcome(name, where)
            yield from ((rule, outcome) for rule in self._list(table, name, where))

    def _outcome(self, given: object, where: str) -> Outcome:
        for outcome in EXERCISED:
            if given == outcome:
                return outcome
        raise self._wrong(where, f"has an outcome, one of {', '.join(EXERCISED)}, not {given!r}")

    def _table(self, table: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
        found = table.get(name, {})
        if not isinstance(found, dict):
            raise self._wrong(f"[{where}]", f"is a table, not {found!r}")
        return found

    def _list(self, table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
        found = table.get(name, [])
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self._wrong(where, f"{name} is a list of names, not {found!r}")
        return tuple(found)

    def _words(self, table: Mapping[str, Any], name: str, where: str) -> str:
        found = table.get(name)
        if not isinstance(found, str) or not any(each.isalnum() for each in found):
            raise self._wrong(where, f"{name} is some words in quotes, not {found!r}")
        return found

    def _known(self, table: Iterable[str], known: tuple[str, ...], where: str) -> None:
        for name in table:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise self._wrong(where, f"has a member {name!r} that nobody knows{hint}: {', '.join(known)}")

    def _wrong(self, where: str, words: str) -> UsageError:
        return UsageError(f"In the baseline {self._path}, {where} {words}.")
