"""A tour that goes on knows what the processes before it have asked, and how much they were told."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from popreceipt.client import wire
from popreceipt.exceptions import NothingProved
from popreceipt.tour.errand import Call, Errand, Route
from popreceipt.tour.running import How

if TYPE_CHECKING:
    from conftest import Ground

ROLE = "export-package"


def asker(ground: "Ground") -> Errand:
    """Dequeues five times, whatever comes."""

    def run(call: Call) -> Route:
        for _ in range(5):
            call.send("dequeue", wire.dequeue(call.activity(ROLE)))
        yield from ()

    return ground.errand("asker", run, ground.line("asker", "dequeue", ROLE), roles=(ROLE,))


def flood(ground: "Ground", pieces: list[int]) -> None:
    """Let every dequeue be answered by a megabyte after the other."""

    def sent() -> Iterator[bytes]:
        for _ in range(1_000):
            pieces.append(1)
            yield b"x" * 1_000_000

    def before(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(200, content=sent()) if "dequeue" in request.url.path else None

    ground.network.before = before


def test_what_was_too_long_counts_for_those_who_go_on(ground: "Ground") -> None:
    """A server that floods one process after the other gets no new budget with each."""
    pieces: list[int] = []
    ground.members = {"budget": {"megabytes": 3}}
    flood(ground, pieces)
    first = ground.drive(asker(ground))
    assert [each.how for each in first.states] == [How.HELD_UP]
    assert len(pieces) == 3
    asked = ground.network.requests
    with pytest.raises(NothingProved, match="budget of 3 megabytes"):
        ground.drive(asker(ground), resume=True)
    assert (len(pieces), ground.network.requests) == (3, asked)


def test_requests_megabytes_and_minutes_are_those_of_all_processes(ground: "Ground") -> None:
    """As told by the guard of the second before it sends anything of its own."""
    ground.members = {"budget": {"requests": 3}}
    ground.drive(asker(ground))
    before = ground.targets[-1].guard
    with pytest.raises(NothingProved, match="budget of 3 requests"):
        ground.drive(asker(ground), resume=True)
    after = ground.targets[-1].guard
    assert before is not None
    assert after is not None
    assert after.spent.requests == before.spent.requests == 3
    # What stood in the place of tokens is counted by a guess, and never as less.
    assert before.spent.length < after.spent.length < 3 * before.spent.length
