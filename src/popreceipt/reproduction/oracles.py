"""What can be looked for again: a rule that is violated, a shape that is not allowed, an answer that is not wanted.

An oracle reads a journal and knows nothing of how it came about. Each is written down as JSON, and read again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from popreceipt.exceptions import UsageError
from popreceipt.journal import Entry, Exchange, Header
from popreceipt.reproduction.failure import Oracle
from popreceipt.rules import find
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Level, Outcome, judge_rule

Observed = tuple[str, tuple[int, ...]]
"""What happened, in words, and the numbers of the exchanges that show it."""

NO_ANSWER: Final = "none"
"""Stands among statuses for a call that got no whole answer."""


@dataclass(frozen=True, slots=True)
class RuleOracle:
    """A rule of the catalogue is violated; it is judged alone.

    Raises:
        UsageError: no rule is called so (when the rule is first needed).
    """

    rule: str

    @property
    def name(self) -> str:
        """The rule's id."""
        return self.rule

    @property
    def expected(self) -> str:
        """The rule's text."""
        return find(self.rule).text

    @property
    def level(self) -> Level:
        """The rule's level."""
        return find(self.rule).level

    def observed(self, header: Header, entries: Sequence[Entry]) -> Observed | None:
        """The first violated finding."""
        verdict = judge_rule(find(self.rule), Readings(header, entries))
        for finding in verdict.findings:
            if finding.outcome is Outcome.VIOLATED:
                return finding.message, finding.exchanges
        return None

    def as_json(self) -> dict[str, Any]:
        """As a bundle holds it."""
        return {"rule": self.rule}


@dataclass(frozen=True, slots=True)
class ShapeOracle:
    """An exchange has a shape that the specifications do not allow.

    Args:
        check: which of the checks complains, in the words of `popreceipt.shapes`.
        operation: of which operation; None takes any.
    """

    check: str
    operation: str | None = None

    @property
    def name(self) -> str:
        """The check and the operation."""
        return f"{self.check}.{self.operation}" if self.operation is not None else self.check

    @property
    def expected(self) -> str:
        """That the specification allows the shape."""
        what = f"of {self.operation} " if self.operation is not None else ""
        return f"Each exchange {what}has a shape that the specification allows ({self.check})."

    @property
    def level(self) -> Level:
        """A specification convicts."""
        return Level.MUST

    def observed(self, header: Header, entries: Sequence[Entry]) -> Observed | None:  # noqa: ARG002 - a shape needs none
        """The first complaint."""
        try:
            from popreceipt.shapes import complaints  # late: what judges rules alone does not need the extra
        except ImportError as error:
            raise UsageError(
                "Judging shapes needs libraries that are not installed: pip install 'popreceipt[suites]'."
            ) from error
        for each in entries:
            if isinstance(each, Exchange):
                for complaint in complaints(each):
                    if complaint.check == self.check and self.operation in (None, complaint.operation):
                        return complaint.message, (each.seq,)
        return None

    def as_json(self) -> dict[str, Any]:
        """As a bundle holds it."""
        return {"check": self.check, "operation": self.operation}


@dataclass(frozen=True, slots=True)
class AnswerOracle:
    """The last call of an operation got an answer that it must not get.

    Args:
        operation: in the journal's words; `*` takes any.
        unwanted: statuses ("500"), classes of them ("5xx"), or "none" where no whole answer came.
        actor: only calls of this actor count; None takes any.
        wanted: turns it round: every answer but these is the failure. Exactly one of the two is given.
        check: what looked, in one word.
        told: what is expected, as a sentence; made up from the statuses where it is empty.
        every: not only the last such call counts, but each.
    """

    operation: str
    unwanted: tuple[str, ...] = ()
    actor: str | None = None
    wanted: tuple[str, ...] = ()
    check: str = "answer"
    told: str = ""
    level: Level = Level.MUST
    every: bool = False

    def __post_init__(self) -> None:
        if bool(self.unwanted) == bool(self.wanted):
            raise UsageError("An answer is judged by statuses that are wanted, or by statuses that are not: give one.")

    @property
    def name(self) -> str:
        """The check and the operation."""
        return f"{self.check}.{self.operation}" if self.operation != "*" else self.check

    @property
    def expected(self) -> str:
        """The sentence, or one made up from the statuses."""
        if self.told:
            return self.told
        who = f" by {self.actor}" if self.actor is not None else ""
        which = "Each" if self.every else "The last"
        call = "call" if self.operation == "*" else f"{self.operation}"
        statuses, verb = (self.wanted, "is") if self.wanted else (self.unwanted, "is not")
        return f"{which} {call}{who} {verb} answered {' or '.join(map(_spoken, statuses))}."

    def observed(self, header: Header, entries: Sequence[Entry]) -> Observed | None:  # noqa: ARG002 - an answer needs none
        """The answer that was not wanted."""
        for each in reversed(entries):
            if not isinstance(each, Exchange) or not self._concerns(each):
                continue
            if self._is_wrong(each):
                got = _spoken(_status(each)) if _status(each) == NO_ANSWER else f"with {_status(each)}"
                return f"{each.request.method} {each.operation} was answered {got}", (each.seq,)
            if not self.every:
                return None
        return None

    def as_json(self) -> dict[str, Any]:
        """As a bundle holds it."""
        return {
            "answer": self.operation,
            "unwanted": list(self.unwanted),
            "wanted": list(self.wanted),
            "actor": self.actor,
            "check": self.check,
            "told": self.told,
            "level": self.level.value,
            "every": self.every,
        }

    def _concerns(self, exchange: Exchange) -> bool:
        return self.operation in ("*", exchange.operation) and self.actor in (None, exchange.actor)

    def _is_wrong(self, exchange: Exchange) -> bool:
        status = _status(exchange)
        if self.wanted:
            return not any(_fits(status, each) for each in self.wanted)
        return any(_fits(status, each) for each in self.unwanted)


def oracle_of(told: Any) -> Oracle:
    """The oracle that JSON tells of.

    Raises:
        UsageError: it is none, or its rule is not known.
    """
    if isinstance(told, Mapping):
        for member, make in _READERS.items():
            if isinstance(told.get(member), str):
                try:
                    return make(told)
                except (KeyError, TypeError, ValueError) as error:
                    raise UsageError(f"What should be looked for cannot be read: {told!r} ({error!r}).") from error
    raise UsageError(f"What should be looked for is a rule, a check or an answer, not {told!r}.")


def _rule(told: Mapping[str, Any]) -> Oracle:
    find(told["rule"])
    return RuleOracle(told["rule"])


def _answer(told: Mapping[str, Any]) -> Oracle:
    actor = told.get("actor")
    return AnswerOracle(
        told["answer"],
        tuple(map(str, told.get("unwanted", ()))),
        str(actor) if actor is not None else None,
        tuple(map(str, told.get("wanted", ()))),
        check=str(told.get("check", "answer")),
        told=str(told.get("told", "")),
        level=Level(told.get("level", Level.MUST)),
        every=told.get("every") is True,
    )


def _shape(told: Mapping[str, Any]) -> Oracle:
    operation = told.get("operation")
    return ShapeOracle(told["check"], str(operation) if operation is not None else None)


# An answer names a check as well, so it is looked for first.
_READERS: Final[dict[str, Callable[[Mapping[str, Any]], Oracle]]] = {
    "rule": _rule,
    "answer": _answer,
    "check": _shape,
}


def register(member: str, reader: Callable[[Mapping[str, Any]], Oracle]) -> None:
    """Have JSON with this member read so: for oracles of packages that stand above this one."""
    _READERS[member] = reader


def _status(exchange: Exchange) -> str:
    return NO_ANSWER if exchange.response is None or exchange.failure is not None else str(exchange.response.status)


def _fits(status: str, pattern: str) -> bool:
    return len(status) == len(pattern) and all(
        theirs in (ours, "x") for ours, theirs in zip(status, pattern.lower(), strict=True)
    )


def _spoken(status: str) -> str:
    return "with nothing whole" if status == NO_ANSWER else f"with {status}"
