"""Findings, and the verdicts they add up to.

A rule yields a finding for each situation it met; `judge` runs rules over the readings of a journal and folds their
findings, one verdict a rule. It knows neither the rules nor what they read: both are handed in.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec


class Level(StrEnum):
    """How much a rule asks: MUST convicts, SHOULD recommends, ASK classifies what the documentation leaves open."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    ASK = "ASK"


class Binds(StrEnum):
    """Whom a rule obliges."""

    SERVICE = "service"
    CLIENT = "client"


class Provenance(StrEnum):
    """Where a rule comes from. Only a documented or recorded one may be a MUST."""

    DOCUMENTED = "documented"
    CLIENT_OBSERVED = "client-observed"
    RECORDED = "recorded"
    INFERRED = "inferred"


class Outcome(StrEnum):
    """What became of a rule, the worst first."""

    VIOLATED = "violated"
    UNDECIDED = "undecided"
    HELD = "held"
    ANSWERED = "answered"
    UNEXERCISED = "unexercised"


_WORST_FIRST = tuple(Outcome)

KEPT_FINDINGS = 25
"""How many findings of each outcome a verdict keeps; the count of situations goes on."""


class Witness(Protocol):
    """Whatever stands for an exchange: it has the exchange's number."""

    @property
    def seq(self) -> int:
        """The exchange's number in its journal."""


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What a rule saw in one situation: the outcome, in words, and the exchanges that show it."""

    outcome: Outcome
    message: str = ""
    exchanges: tuple[int, ...] = ()
    answer: str | None = None


def held(message: str = "", *witnesses: Witness) -> Finding:
    """The promise was kept."""
    return Finding(Outcome.HELD, message, tuple([each.seq for each in witnesses]))


def violated(message: str, *witnesses: Witness) -> Finding:
    """The promise was broken, whichever way the journal is read."""
    return Finding(Outcome.VIOLATED, message, tuple([each.seq for each in witnesses]))


def undecided(message: str, *witnesses: Witness) -> Finding:
    """The journal cannot tell."""
    return Finding(Outcome.UNDECIDED, message, tuple([each.seq for each in witnesses]))


def answered(answer: str, *witnesses: Witness, message: str = "") -> Finding:
    """The server's own choice on a point that the documentation leaves open."""
    return Finding(Outcome.ANSWERED, message, tuple([each.seq for each in witnesses]), answer)


Readings = TypeVar("Readings", contravariant=True)


class Judgeable(Protocol[Readings]):
    """A rule, as far as judging needs to know it."""

    @property
    def id(self) -> str:
        """`chapter.claim-in-few-words`."""

    @property
    def level(self) -> Level:
        """How much it asks."""

    @property
    def binds(self) -> Binds:
        """Whom it obliges."""

    @property
    def provenance(self) -> Provenance:
        """Where it comes from."""

    @property
    def needs(self) -> frozenset[str]:
        """The abilities of a target without which no suite can show it."""

    @property
    def check(self) -> Callable[[Readings], Iterator[Finding]]:
        """Yields a finding for each situation."""


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """The verdict on one rule: its worst outcome, how many situations it judged, and what it found.

    `bundle` is where its first violation can be run again.
    """

    id: str
    chapter: str
    level: Level
    binds: Binds
    provenance: Provenance
    outcome: Outcome
    situations: int
    answer: str | None = None
    reason: str | None = None
    findings: tuple[Finding, ...] = ()
    bundle: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As the verdict file has it. Findings that merely held are counted, and the first of them is the witness."""
        listed: list[dict[str, Any]] = [
            {
                "outcome": each.outcome,
                "message": each.message,
                "exchanges": list(each.exchanges),
                "bundle": None,
            }
            for each in self.findings
            if each.outcome is not Outcome.HELD
        ]
        for each in listed[:1]:
            # The worst come first, and a bundle shows one violation.
            each["bundle"] = self.bundle if each["outcome"] is Outcome.VIOLATED else None
        return {
            "id": self.id,
            "chapter": self.chapter,
            "level": self.level,
            "binds": self.binds,
            "provenance": self.provenance,
            "outcome": self.outcome,
            "situations": self.situations,
            "answer": self.answer,
            "reason": self.reason,
            "findings": listed,
            "witness": next(
                (
                    {"message": each.message, "exchanges": list(each.exchanges)}
                    for each in self.findings
                    if each.outcome is Outcome.HELD
                ),
                None,
            ),
        }


def judge_rule(rule: Judgeable[Readings], readings: Readings) -> RuleVerdict:
    """Run one rule. A rule that crashes is undecided, never a pass."""
    counts: Counter[Outcome] = Counter()
    answers: Counter[str] = Counter()
    kept: list[Finding] = []
    reason: str | None = None
    try:
        for finding in rule.check(readings):
            counts[finding.outcome] += 1
            if finding.answer is not None:
                answers[finding.answer] += 1
            if counts[finding.outcome] <= KEPT_FINDINGS and (finding.outcome is not Outcome.HELD or not kept):
                kept.append(finding)
    except Exception as error:  # noqa: BLE001 - any fault of a rule has one meaning: it could not decide
        counts[Outcome.UNDECIDED] += 1
        reason = f"the rule itself failed: {type(error).__name__}: {error}"
        kept.append(Finding(Outcome.UNDECIDED, reason))
    outcome = next((each for each in _WORST_FIRST if counts[each]), Outcome.UNEXERCISED)
    return RuleVerdict(
        id=rule.id,
        chapter=rule.id.partition(".")[0],
        level=rule.level,
        binds=rule.binds,
        provenance=rule.provenance,
        outcome=outcome,
        situations=counts.total(),
        answer=" | ".join(sorted(answers)) or None,
        reason=reason if counts else "no situation for it arose",
        findings=tuple(sorted(kept, key=lambda each: _WORST_FIRST.index(each.outcome))),
    )


def merged(one: RuleVerdict, other: RuleVerdict) -> RuleVerdict:
    """The verdict on a rule over two journals that have nothing to do with each other: the worse of the two."""
    worse = min(one, other, key=lambda each: _WORST_FIRST.index(each.outcome))
    findings = sorted((*one.findings, *other.findings), key=lambda each: _WORST_FIRST.index(each.outcome))
    answers = {part for each in (one, other) for part in (each.answer or "").split(" | ") if part}
    counts: Counter[Outcome] = Counter()
    kept = []
    for each in findings:
        counts[each.outcome] += 1
        if counts[each.outcome] <= (1 if each.outcome is Outcome.HELD else KEPT_FINDINGS):
            kept.append(each)
    return replace(
        worse,
        situations=one.situations + other.situations,
        answer=" | ".join(sorted(answers)) or None,
        findings=tuple(kept),
    )


@dataclass(frozen=True, slots=True)
class SuiteFailure:
    """What a suite found by a check of its own, or in one of its examples.

    Args:
        suite: conformance, fuzz, lifecycle.
        where: the scenario, operation or machine.
        check: a rule's id, or the check and the operation that it looked at.
        level: whether it convicts.
        expected: what should have happened.
        message: what was observed.
        exchanges: its witnesses, by number.
        bundle: the folder in which it can be run again.
    """

    suite: str
    where: str
    check: str
    level: Level
    expected: str
    message: str
    exchanges: tuple[int, ...] = ()
    bundle: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As the verdict file has it."""
        return {
            "suite": self.suite,
            "where": self.where,
            "check": self.check,
            "level": self.level,
            "expected": self.expected,
            "message": self.message,
            "exchanges": list(self.exchanges),
            "bundle": self.bundle,
        }


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts of one run over one journal.

    `complete` is false where the journal was cut off or the run did not come to its end; such a run is no pass.
    `suites` tells by name what each suite did; `failures` what they found beside, or as a part of, the rules' verdicts.
    """

    rules: tuple[RuleVerdict, ...]
    target: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    duration_seconds: float = 0.0
    complete: bool = True
    notes: tuple[str, ...] = ()
    suites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: tuple[SuiteFailure, ...] = ()

    def summary(self) -> dict[str, int]:
        """How many rules have each outcome."""
        counts = Counter(each.outcome for each in self.rules)
        names = (Outcome.HELD, Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.UNEXERCISED, Outcome.ANSWERED)
        return {name.value: counts[name] for name in names}

    def with_outcome(self, *outcomes: Outcome) -> tuple[RuleVerdict, ...]:
        """The verdicts that ended so."""
        return tuple(each for each in self.rules if each.outcome in outcomes)

    def exit_status(self, *, strict: bool = False) -> int:
        """What a command ends with: 0 all well, 1 findings, 3 nothing proved or not complete.

        A violated SHOULD and an undecided rule count only when `strict`.
        """
        found: list[RuleVerdict | SuiteFailure] = [*self.with_outcome(Outcome.VIOLATED), *self.failures]
        broken = [each for each in found if strict or each.level is Level.MUST] or (
            strict and self.with_outcome(Outcome.UNDECIDED)
        )
        if broken:
            return 1
        if not self.complete or all(each.outcome is Outcome.UNEXERCISED for each in self.rules):
            return 3
        return 0

    def as_json(self) -> dict[str, Any]:
        """As the verdict file has it."""
        return {
            "format": "popreceipt/verdicts@1",
            "target": dict(self.target),
            "seed": self.seed,
            "duration_seconds": round(self.duration_seconds, 3),
            "rules": [each.as_json() for each in self.rules],
            "summary": self.summary(),
            "suites": {name: dict(figures) for name, figures in self.suites.items()},
            "failures": [each.as_json() for each in self.failures],
            "notes": list(self.notes),
            "complete": self.complete,
        }


def judge(readings: Readings, rules: Iterable[Judgeable[Readings]]) -> tuple[RuleVerdict, ...]:
    """One verdict for each of the rules, in their order."""
    return tuple(judge_rule(each, readings) for each in rules)
