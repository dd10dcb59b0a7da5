"""Findings add up to verdicts, verdicts to an exit status; what crashes or proves nothing is never a pass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from popreceipt.verdict import (
    KEPT_FINDINGS,
    Binds,
    Finding,
    Level,
    Outcome,
    Provenance,
    RuleVerdict,
    Verdicts,
    answered,
    held,
    judge,
    judge_rule,
    undecided,
    violated,
)


@dataclass(frozen=True)
class Claim:
    """A rule that finds what it is told to find."""

    check: Callable[[Any], Iterator[Finding]]
    id: str = "chapter.claim"
    level: Level = Level.MUST
    binds: Binds = Binds.SERVICE
    provenance: Provenance = Provenance.DOCUMENTED
    needs: frozenset[str] = field(default_factory=frozenset)


def finding(*findings: Finding) -> Claim:
    """A rule with these findings."""
    return Claim(lambda _: iter(findings))


@dataclass(frozen=True)
class Seen:
    """A witness."""

    seq: int


@pytest.mark.parametrize(
    ("findings", "outcome"),
    [
        ((), Outcome.UNEXERCISED),
        ((held(),), Outcome.HELD),
        ((held(), undecided("?")), Outcome.UNDECIDED),
        ((undecided("?"), violated("no"), held()), Outcome.VIOLATED),
        ((answered("204"),), Outcome.ANSWERED),
    ],
)
def test_the_worst_outcome_counts(findings: tuple[Finding, ...], outcome: Outcome) -> None:
    """Violated before undecided before held; nothing found is unexercised, with a reason."""
    verdict = judge_rule(finding(*findings), None)
    assert verdict.outcome is outcome
    assert verdict.situations == len(findings)
    assert (verdict.reason is not None) == (outcome is Outcome.UNEXERCISED)


def test_a_finding_names_its_witnesses() -> None:
    """By their numbers, in the order given."""
    assert violated("twice", Seen(12), Seen(17)).exchanges == (12, 17)


def test_different_answers_are_all_told() -> None:
    """A server that answers now so, now otherwise, is told as such."""
    assert judge_rule(finding(answered("404"), answered("204"), answered("404")), None).answer == "204 | 404"


def test_a_rule_that_crashes_is_undecided() -> None:
    """Never a pass, and what went wrong is said."""

    def check(_: Any) -> Iterator[Finding]:
        yield held()
        raise ZeroDivisionError("by nothing")

    verdict = judge_rule(Claim(check), None)
    assert verdict.outcome is Outcome.UNDECIDED
    assert "ZeroDivisionError: by nothing" in str(verdict.reason)


def test_findings_are_counted_and_some_are_kept() -> None:
    """A million violations fill no memory; what held is counted only."""
    many = KEPT_FINDINGS * 3
    verdict = judge_rule(finding(*[violated(str(each)) for each in range(many)], *[held()] * many), None)
    assert verdict.situations == 2 * many
    assert [each.message for each in verdict.findings] == [str(each) for each in range(KEPT_FINDINGS)]
    assert all(each["outcome"] == "violated" for each in verdict.as_json()["findings"])


def made(outcome: Outcome, level: Level = Level.MUST) -> RuleVerdict:
    """A verdict."""
    return RuleVerdict("chapter.claim", "chapter", level, Binds.SERVICE, Provenance.DOCUMENTED, outcome, 1)


@pytest.mark.parametrize(
    ("verdicts", "complete", "status", "strict_status"),
    [
        ((made(Outcome.HELD),), True, 0, 0),
        ((made(Outcome.HELD), made(Outcome.VIOLATED)), True, 1, 1),
        ((made(Outcome.HELD), made(Outcome.VIOLATED, Level.SHOULD)), True, 0, 1),
        ((made(Outcome.HELD), made(Outcome.UNDECIDED)), True, 0, 1),
        ((made(Outcome.UNEXERCISED),), True, 3, 3),
        ((), True, 3, 3),
        ((made(Outcome.HELD),), False, 3, 3),
        ((made(Outcome.VIOLATED),), False, 1, 1),
        ((made(Outcome.ANSWERED, Level.ASK),), True, 0, 0),
    ],
)
def test_the_exit_status(verdicts: tuple[RuleVerdict, ...], complete: bool, status: int, strict_status: int) -> None:
    """0 well, 1 findings, 3 nothing proved or not complete."""
    all_of_them = Verdicts(verdicts, complete=complete)
    assert all_of_them.exit_status() == status
    assert all_of_them.exit_status(strict=True) == strict_status


def test_as_json_has_what_others_read() -> None:
    """Format, summary, and completeness last."""
    told = Verdicts(judge(None, [finding(held()), finding(violated("no"))]), {"name": "x"}, 7, 1.23456).as_json()
    assert told["format"] == "popreceipt/verdicts@1"
    assert told["summary"] == {"held": 1, "violated": 1, "undecided": 0, "unexercised": 0, "answered": 0}
    assert list(told)[-1] == "complete"
