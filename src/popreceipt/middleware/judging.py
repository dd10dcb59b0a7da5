"""From a scenario that was played to verdicts on all rules that bind clients; no fault of ours convicts a subject.

A scenario in which we failed decides nothing. A side of the connector that a subject never touched, in the whole run,
is none of its sides; what the rules of that side say of it does not count.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from popreceipt import vocabulary
from popreceipt.middleware.played import Judged, Played
from popreceipt.middleware.scenario import EXPORT, IMPORT, Side
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds, Outcome, RuleVerdict, judge

SIDE_OF: Final[Mapping[str, Side]] = {
    "dequeue": EXPORT,
    "download": EXPORT,
    "acknowledgment": EXPORT,
    "redelivery": EXPORT,
    "zero-records": EXPORT,
    "retention": EXPORT,
    "enqueue": IMPORT,
    "ordering": IMPORT,
    "status": IMPORT,
    "execution-errors": IMPORT,
}
"""The side of the connector that a chapter is about. Tokens, transport and throttling are about both."""

_CALLS: Final[Mapping[str, Side]] = {
    vocabulary.DEQUEUE: EXPORT,
    vocabulary.DOWNLOAD: EXPORT,
    vocabulary.ACK: EXPORT,
    vocabulary.ENQUEUE: IMPORT,
    vocabulary.JOBSTATUS: IMPORT,
    vocabulary.MESSAGE_STATUS: IMPORT,
    vocabulary.EXECUTION_ID: IMPORT,
    vocabulary.EXECUTION_ERRORS: IMPORT,
    vocabulary.EXECUTION_SUMMARY: IMPORT,
}


def judge_played(played: Played, rules: Sequence[Rule] | None = None) -> Judged:
    """The verdict on each rule that binds clients, over the journal of one scenario.

    Args:
        played: the scenario.
        rules: instead of all that bind clients.
    """
    wanted = catalogue(Binds.CLIENT) if rules is None else rules
    if played.fault is not None:
        reason = f"a fault of the harness, not of the subject: {played.fault}"
        return Judged(played=played, rules=tuple(_without_judging(each, Outcome.UNDECIDED, reason) for each in wanted))
    if played.lacks is not None:
        nothing = tuple(_without_judging(each, Outcome.UNEXERCISED, played.lacks) for each in wanted)
        return Judged(played=played, rules=nothing)
    return Judged(played=played, rules=judge(Readings(played.journal.header, played.journal.entries), wanted))


def _without_judging(rule: Rule, outcome: Outcome, reason: str) -> RuleVerdict:
    return RuleVerdict(
        id=rule.id,
        chapter=rule.chapter,
        level=rule.level,
        binds=rule.binds,
        provenance=rule.provenance,
        outcome=outcome,
        situations=0,
        reason=reason,
    )


def sides_touched(played: Iterable[Played]) -> frozenset[Side]:
    """The sides of the connector that the subject ever called."""
    found: set[Side] = set()
    for each in played:
        found |= {_CALLS[one.operation] for one in each.journal.exchanges() if one.operation in _CALLS}
    return frozenset(found)


def without_untouched(judged: Sequence[Judged], sides: Collection[Side]) -> tuple[Judged, ...]:
    """Verdicts that say nothing of a side that the subject never touched.

    Args:
        judged: the whole run.
        sides: those that the subject was said to have.
    """
    touched = sides_touched(each.played for each in judged)
    reasons = {
        side: f"the subject never called the {side} side"
        if side in sides
        else f"the subject was said to have no {side} side (--side)"
        for side in (EXPORT, IMPORT)
        if side not in touched or side not in sides
    }
    return tuple(
        # Where we failed nobody knows what the subject would have called.
        each if each.played.fault else replace(each, rules=tuple(_without(one, reasons) for one in each.rules))
        for each in judged
    )


def _without(verdict: RuleVerdict, reasons: Mapping[Side, str]) -> RuleVerdict:
    side = SIDE_OF.get(verdict.chapter)
    if side is None or side not in reasons:
        return verdict
    return replace(
        verdict, outcome=Outcome.UNEXERCISED, situations=0, answer=None, reason=reasons[side], findings=(), bundle=None
    )
