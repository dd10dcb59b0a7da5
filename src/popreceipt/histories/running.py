"""Concurrent histories of a target: many callers at once, judged by all rules and by the checker of histories.

An emulator of this process is served by a process of its own, so that callers really come at once. Of other targets
only those can be asked that offer a control plane and a clock that can be moved or runs fast.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from popreceipt.exceptions import NotAbleTo
from popreceipt.histories.checker import judge as judge_history
from popreceipt.histories.driver import Plan, Played, play
from popreceipt.histories.oracle import AnomalyOracle
from popreceipt.histories.serving import options_of, served
from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.oracles import RuleOracle
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.targets import EMULATOR_PREFIX, Target
from popreceipt.verdict import Outcome, judge

SUITE: Final = "lifecycle"
WHERE: Final = "concurrent histories"

PLAYS: Final = {
    "fast": (Plan(), Plan(waiting=15, disturbed=False)),
    "thorough": (
        *(Plan(), Plan(waiting=15, disturbed=False)) * 4,
        Plan(consumers=16, steps=80, exports=3, waiting=30, seconds=60),
    ),
}
"""What is played, by effort. Where faults are planned a service may have to line up what it is asked."""


@dataclass(slots=True)
class HistoriesResult:
    """What came of it."""

    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def run(target: Target, *, seed: int = 0, effort: str = "fast") -> HistoriesResult:
    """Play and judge.

    Raises:
        NotAbleTo: several callers cannot ask the target at once.
    """
    result = HistoriesResult()
    total: Counter[str] = Counter()
    with _reached(target, seed) as base_url:
        for number, plan in enumerate(PLAYS[effort]):
            own = replace(plan, seed=seed * 1000 + number)
            played = play(base_url, own, name=target.name)
            _judge(played, own.seed, base_url, result, total)
    result.figures = {"plays": len(PLAYS[effort]), **total}
    return result


def _judge(played: Played, seed: int, base_url: str, result: HistoriesResult, total: Counter[str]) -> None:
    # Their witnesses stand in the journal of the play, whose numbers mean other exchanges in that of the run.
    judgement = judge_history(played.history())
    total.update({name: value for name, value in played.figures().items() if name != "seconds"})
    total.update({"messages": judgement.messages, "open": judgement.open, "anomalies": len(judgement.found)})
    told: set[str] = set()
    for found in judgement.found:
        if found.kind not in told:
            told.add(found.kind)
            oracle = AnomalyOracle(found.kind)
            result.failures.append(
                Failure(SUITE, WHERE, oracle, found.sentence, (), tuple(played.tape), seed, base_url)
            )
    for verdict in judge(Readings(played.journal.header, played.journal.entries), catalogue()):
        total["rules_held"] += verdict.outcome is Outcome.HELD
        if verdict.outcome is Outcome.VIOLATED:
            worst = verdict.findings[0]
            result.failures.append(
                Failure(SUITE, WHERE, RuleOracle(verdict.id), worst.message, (), tuple(played.tape), seed, base_url)
            )


@contextmanager
def _reached(target: Target, seed: int) -> Iterator[str]:
    """Where callers may ask at once."""
    if target.emulator is not None:
        named = target.name if target.name.startswith(EMULATOR_PREFIX) else EMULATOR_PREFIX
        with served("--clock", "manual", "--seed", str(seed), *options_of(named)) as base_url:
            yield base_url
    elif target.control is None:
        raise NotAbleTo(target.name, "control plane", "a target that offers one, such as http://HOST:PORT")
    elif not target.session.base_url.startswith("http://"):
        raise NotAbleTo(
            target.name, "plain http", "the same server without TLS: callers have no certificates of theirs"
        )
    else:
        yield target.session.base_url
