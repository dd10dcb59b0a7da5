"""From a tour's journal to verdicts: the whole is judged once, and what was not exercised says why.

It sends nothing. A rule stays unexercised because no errand shows it, because its errand was not run, was stopped, or
is parked until an instant that nobody waits for now.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Final

from popreceipt.journal import Entry, Exchange, Header, instant_text
from popreceipt.rules.eras import judge_eras
from popreceipt.tour.planning import Plan
from popreceipt.tour.running import INTERRUPTED, How, State
from popreceipt.verdict import KEPT_FINDINGS, Outcome, RuleVerdict, Verdicts

TOUR: Final = "tour"
"""The name under which a verdict file tells of it, among the suites."""

_WORST_FIRST: Final = (How.PARKED, How.FAILED, How.HELD_UP, How.STOPPED, How.DONE)


def judged(
    header: Header,
    entries: Iterable[Entry],
    plan: Plan,
    states: Sequence[State],
    *,
    asked: Mapping[str, int],
    waited_seconds: float,
    duration_seconds: float,
    notes: Sequence[str] = (),
) -> Verdicts:
    """Judge a tour.

    Args:
        header: of its journal.
        entries: of its journal.
        plan: what it was to do.
        states: what became of its errands.
        asked: requests by line.
        waited_seconds: real time spent waiting.
        duration_seconds: real time in all.
        notes: what a reader should know besides.
    """
    failed = [each for each in states if each.how is How.FAILED]
    known = list(entries)
    cut = {each.seq for each in known if isinstance(each, Exchange) and each.failure == INTERRUPTED}
    found = [_but_for_cut_ones(each, cut) for each in judge_eras(header, known, plan.rules)]
    return Verdicts(
        rules=tuple(_explained(each, plan, states) for each in found),
        target={
            "name": header.target.name,
            "build": header.target.build,
            "clock": header.clock,
            "abilities": sorted(header.target.abilities),
        },
        seed=header.seed,
        duration_seconds=duration_seconds,
        # An errand that fell over its own feet has not shown what it was there for.
        complete=not failed,
        notes=(*(f"The errand {each.errand} did not come to its end: {plain(each.why)}" for each in failed), *notes),
        suites={TOUR: _figures(plan, states, asked, waited_seconds)},
    )


def _but_for_cut_ones(verdict: RuleVerdict, cut: Set[int]) -> RuleVerdict:
    """A verdict without what is undecided only because the tour itself was killed in the midst of it."""
    undecided = [each for each in verdict.findings if each.outcome is Outcome.UNDECIDED]
    # Of more findings than are kept nobody can say what all of them hang on.
    if verdict.outcome is not Outcome.UNDECIDED or len(undecided) >= KEPT_FINDINGS:
        return verdict
    if not all(cut & set(each.exchanges) for each in undecided):
        return verdict
    left = tuple(each for each in verdict.findings if each.outcome is not Outcome.UNDECIDED)
    return replace(verdict, outcome=left[0].outcome, findings=left) if left else verdict


def _figures(plan: Plan, states: Sequence[State], asked: Mapping[str, int], waited_seconds: float) -> dict[str, Any]:
    counts = Counter(each.how for each in states)
    parked = [each for each in states if each.how is How.PARKED]
    return {
        "errands": len(states),
        **{each.value.replace(" ", "_"): counts[each] for each in How if counts[each]},
        "not_run": len(plan.errands) - len(states),
        "requests": sum(asked.values()),
        "waited_seconds": round(waited_seconds, 3),
        "parked_until": instant_text(max(each.until for each in parked if each.until)) if parked else None,
        "lines": {line: number for line, number in sorted(asked.items()) if number},
        "states": [
            {
                "errand": each.errand,
                "how": each.how.value,
                "why": plain(each.why) or None,
                "until": None if each.until is None else instant_text(each.until),
            }
            for each in states
        ],
    }


def _explained(verdict: RuleVerdict, plan: Plan, states: Sequence[State]) -> RuleVerdict:
    """An unexercised verdict with the reason why."""
    if verdict.outcome is not Outcome.UNEXERCISED:
        return verdict
    reason = plan.unexercised(verdict.id)
    if reason is None:
        showing = {each.errand.name for each in plan.errands if verdict.id in each.errand.shows}
        worst = min(
            (each for each in states if each.errand in showing),
            key=lambda each: _WORST_FIRST.index(each.how),
            default=None,
        )
        reason = None if worst is None else reason_of(worst)
    return replace(verdict, reason=reason or verdict.reason)


def reason_of(state: State) -> str | None:
    """Why what an errand shows was not shown; None where it came to its end."""
    if state.how is How.DONE:
        return None
    if state.how is How.PARKED and state.until is not None:
        return f"parked until {instant_text(state.until)[:19]}Z ({plain(state.why)}); go on with --resume"
    word = {How.FAILED: "failed", How.HELD_UP: "was held up"}.get(state.how, "was stopped")
    return f"the errand {state.errand} {word}: {plain(state.why)}"


def plain(text: str) -> str:
    """A text that may hold a server's words, on one line and without anything that a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text).strip()
