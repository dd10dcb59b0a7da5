"""Searching: what is right passes, what is wrong is found and told shortly, and the same seed does the same."""

from collections.abc import Iterator

import pytest

from popreceipt.journal import Exchange
from popreceipt.lifecycle import MACHINES, Effort, run
from popreceipt.reproduction.minimise import minimise
from popreceipt.reproduction.player import Place
from popreceipt.reproduction.steps import Steps, counted
from popreceipt.reproduction.taken import known_of, steps_of
from popreceipt.targets import Target, open_target
from popreceipt.verdict import Level

SHORT = Effort(((8, 15), (6, 30)))

WRONG = {
    "enqueue-without-a-token": "producer",
    "lease-of-29-minutes": "consumer",
    "processed-at-once": "planner",
    "same-file-same-message": "producer",
    "filters-ignored": "keeper",
    "clean-up-removes-nothing": "administrator",
    "batch-status-never-fetched": "planner",
    "style-sheets-ignored": "keeper",
}
"""Mutants of several chapters, each with a machine that comes upon it."""


@pytest.fixture
def target() -> Iterator[Target]:
    """The emulator in this process."""
    with open_target("emulator:") as opened:
        yield opened


def asked(target: Target, since: int) -> list[tuple[str, str, int | None]]:
    """What crossed the wire since a mark, in its own words."""
    return [
        (each.request.method, each.request.url, each.response.status if each.response is not None else None)
        for each in target.journal.entries[since:]
        if isinstance(each, Exchange)
    ]


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_is_found_on_a_server_that_is_right(target: Target, machine: str) -> None:
    """Every machine finds something to do, every example is judged, and no rule is violated."""
    result = run(target, machine, seed=11, effort=SHORT)
    assert [each.message for each in result.failures] == []
    assert result.figures["steps"] > 100
    assert result.figures["rules_that_failed"] == {}
    assert target.emulator is not None
    assert list(target.emulator.faults) == []


@pytest.mark.parametrize(("mutant", "machine"), WRONG.items())
def test_a_wrong_server_is_found_and_its_story_is_short(mutant: str, machine: str) -> None:
    """Within a bounded number of examples, by a rule, and told in a handful of steps that fail again."""
    text = f"emulator:{mutant}"
    with open_target(text) as opened:
        result = run(opened, machine, seed=3, effort=Effort(((30, 15), (30, 30))))
        known = known_of(opened)
    assert result.failures, f"{machine} did not come upon {mutant}"
    failure = result.failures[0]
    place = Place(text)

    def fails(steps: Steps) -> bool:
        played = place.play(steps)
        return failure.oracle.observed(played.header, played.entries) is not None

    steps = steps_of(failure.tape, known)
    assert fails(steps)
    small = minimise(steps, fails, 300)
    assert fails(small.steps)
    assert counted(small.steps) <= 12


@pytest.mark.parametrize("machine", ["consumer", "keeper"])
def test_the_same_seed_does_the_same(machine: str) -> None:
    """Request by request, answer by answer; another seed does something else."""

    def played(seed: int) -> list[tuple[str, str, int | None]]:
        with open_target("emulator:") as opened:
            run(opened, machine, seed=seed, effort=Effort(((4, 12),)))
            return asked(opened, 0)

    first = played(5)
    assert played(5) == first
    assert played(6) != first


def test_what_a_target_cannot_do_is_left_out_and_told(target: Target) -> None:
    """Deeds that need an ability are not done without it, and the figures say which."""
    target.abilities -= {"faults", "cleanup", "parameters"}
    since = target.journal_mark()
    result = run(target, "administrator", seed=2, effort=Effort(((6, 15),)))
    assert not result.failures
    assert set(result.figures["left_out"].values()) & {"faults", "cleanup", "parameters"}
    kinds = {getattr(each, "observation", None) for each in target.journal.entries[since:]}
    assert not kinds & {"fault-planned", "cleanup", "parameters"}


def test_a_restart_loses_nothing(target: Target) -> None:
    """What lived in the store goes on after the server died: machines restart it among their deeds."""
    assert target.restart is not None
    result = run(target, "consumer", seed=4, effort=Effort(((25, 25),)))
    assert not result.failures
    assert any("restart" in deed for deed in result.figures["deeds"])


def test_only_what_convicts_comes_first() -> None:
    """A rule that is ignored fails no example; the worst of an example's violations is the one that is told."""
    with open_target("emulator:lease-of-29-minutes") as opened:
        found = run(opened, "consumer", seed=3, effort=Effort(((30, 15),)))
        assert found.failures[0].oracle.level is Level.MUST
        name = found.failures[0].oracle.name
        again = run(opened, "consumer", seed=3, effort=Effort(((30, 15),)), ignored=frozenset({name}))
    assert name not in {each.oracle.name for each in again.failures}
