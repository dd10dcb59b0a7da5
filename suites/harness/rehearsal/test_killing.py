"""A tour that is killed, wherever, and gone on with comes to the verdicts that it would have come to."""

from pathlib import Path

import pytest

from popreceipt.generate.rehearsal import bounds, virtual
from popreceipt.generate.rehearsal.killing import Kill, When, lost, mortal
from popreceipt.tour.tour import Toured

PLACES = 5
"""So many places in a tour at which it is killed here; nox -s rehearsal goes through it in small steps."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Toured:
    """A tour that nobody interrupted."""
    toured, met = mortal(tmp_path_factory.mktemp("whole") / "out").through(())
    assert met == 0
    return toured


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", range(PLACES))
def test_a_tour_killed_at_a_request_loses_no_verdict(whole: Toured, place: int, when: When, tmp_path: Path) -> None:
    """Whether the request had gone out or not: the same verdicts, and one request more at most in a line."""
    requests = len(virtual.exchanges_of(whole))
    number = 1 + place * requests // PLACES
    toured, met = mortal(tmp_path / "out").through([Kill(number, when)])
    assert met == 1
    assert lost(whole, toured) == []
    sent = virtual.exchanges_of(toured)
    assert bounds.outside(toured.plan.as_json(), sent, interruptions=1) == []


def test_a_tour_killed_again_and_again_comes_to_its_end(whole: Toured, tmp_path: Path) -> None:
    """Each process lives a little longer than it takes to get where the one before it was."""
    kills = [Kill(40 + 7 * number, "after" if number % 2 else "before") for number in range(6)]
    toured, met = mortal(tmp_path / "out").through(kills)
    assert met == len(kills)
    assert lost(whole, toured) == []
    assert bounds.outside(toured.plan.as_json(), virtual.exchanges_of(toured), interruptions=met) == []
