"""Judging over resets: each era alone, and a rule's verdict over all of them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from popreceipt.client import wire
from popreceipt.journal import Entry, Header
from popreceipt.rules import catalogue, find
from popreceipt.rules.eras import judge_eras
from popreceipt.rules.readings import Readings
from popreceipt.stage import Stage
from popreceipt.targets import Target, open_target
from popreceipt.verdict import Level, Outcome, RuleVerdict, judge

EARLY = "redelivery.not-before-half-an-hour"


@pytest.fixture
def target() -> Iterator[Target]:
    """An emulator that hides a message too briefly."""
    with open_target("emulator:lease-of-29-minutes") as opened:
        yield opened


def seen(target: Target) -> dict[str, RuleVerdict]:
    """The verdicts over the eras of what was done so far."""
    return {each.id: each for each in judge_eras(target.journal.header, target.journal.entries, catalogue())}


def reset(target: Target) -> None:
    """Give the target its first state again, and learn what it then has."""
    control = target.control_for("reset")
    control.reset()
    control.world()


def take_twice(stage: Stage, minutes: float) -> None:
    """Receive a message, and look for it again after some time."""
    queue = stage.export()
    queue.receive()
    stage.advance(minutes=minutes)
    list(queue.drain())


def test_a_violation_in_any_era_counts(target: Target) -> None:
    """Whichever side of a reset it is on; situations of all eras are counted."""
    stage = Stage(target, "eras")
    take_twice(stage, 31)
    reset(target)
    take_twice(stage, 29.5)
    reset(target)
    take_twice(stage, 31)
    verdict = seen(target)[EARLY]
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.situations == 3
    assert len([each for each in verdict.findings if each.outcome is Outcome.VIOLATED]) == 1


def test_what_a_reset_took_away_is_not_missed() -> None:
    """A job of before is unknown after it, spelled as it may be: no rule is violated by that."""
    with open_target("emulator:") as target:
        stage = Stage(target, "gone")
        queue = stage.export()
        queue.take()
        stage.send(wire.dequeue(queue.id, wire.Spelling(activity="braced")))
        reset(target)
        queue.dequeue()
        take_twice(stage, 31)
        whole = judge(Readings(target.journal.header, target.journal.entries), catalogue())
        assert [each.id for each in whole if each.outcome is Outcome.VIOLATED]
        assert not [each.id for each in seen(target).values() if each.outcome is Outcome.VIOLATED]


def test_tokens_and_the_first_world_outlast_a_reset() -> None:
    """What is judged by them is judged after a reset as well."""
    with open_target("emulator:") as target:
        stage = Stage(target, "tokens")
        target.tokens.current()
        target.control_for("reset").reset()
        stage.send(wire.dequeue(str(target.activities["export-package"]["id"])))
        assert len([each for each in target.journal.exchanges() if each.operation == "token"]) == 1
        assert seen(target)["authorization.issued-token-accepted"].outcome is Outcome.HELD


def test_without_a_reset_the_verdicts_are_those_of_the_whole() -> None:
    """Rule by rule, the findings included."""
    with open_target("emulator:") as target:
        stage = Stage(target, "one era")
        take_twice(stage, 31)
        whole = judge(Readings(target.journal.header, target.journal.entries), catalogue())
        assert tuple(seen(target).values()) == whole


def test_what_many_called_at_once_is_judged_as_a_whole() -> None:
    """Nobody can say on which side of a reset a call was: rules have to know that themselves."""
    with open_target("emulator:lease-of-29-minutes") as target:
        stage = Stage(target, "many")
        take_twice(stage, 29.5)
        reset(target)
        entries: list[Entry] = list(target.journal.entries)
    header = Header(clock="manual", rate=0.0, concurrent=True)
    whole = judge(Readings(header, entries), catalogue())
    assert judge_eras(header, entries, catalogue()) == whole


def test_an_era_in_which_nothing_happened_changes_nothing(target: Target) -> None:
    """Two resets in a row, and one at the end."""
    stage = Stage(target, "empty")
    reset(target)
    reset(target)
    take_twice(stage, 29.5)
    stage.target.times.advance(timedelta(minutes=1).total_seconds())
    reset(target)
    verdict = seen(target)[EARLY]
    assert (verdict.outcome, verdict.situations) == (Outcome.VIOLATED, 1)
    assert find(EARLY).level is Level.MUST
