"""The ground of `nox -s bench -- load`: a server that freezes, and what is true of those who call it."""

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from popreceipt.generate.load_bench import cost, ours
from popreceipt.generate.load_bench.fooled import Outcome
from popreceipt.generate.load_bench.stub import PATH, Stub, freezing
from popreceipt.generate.load_bench.truth import Waits, of_record, of_schedule, open_stream, waits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measured on Linux alone, where processes are pinned")

FREEZES = [(10.0, 11.0), (30.0, 31.02), (50.0, 51.0)]


def test_what_an_open_stream_waits() -> None:
    """The calculation agrees with a great many arrivals, each waiting for the thaw if it comes upon ice."""
    chance = random.Random(1)
    due = [chance.uniform(0, 60) for _ in range(200_000)]
    one_by_one, all_at_once = of_schedule(due, FREEZES), open_stream(0, 60, FREEZES)
    assert one_by_one.p50 == all_at_once.p50 == 0
    assert one_by_one.p99 == pytest.approx(all_at_once.p99, rel=0.02)
    assert one_by_one.longest == pytest.approx(all_at_once.longest, rel=0.001)
    # A second in twenty: of those who wait, who are a twentieth, a fifth waits longer than 0.8 s.
    assert open_stream(0, 20, [(10.0, 11.0)]).p99 == pytest.approx(800)


def test_a_run_that_ends_on_ice() -> None:
    """Of a freeze that outlasts the run counts what fell into the run, and its end is still waited for."""
    true = open_stream(0, 10.5, [(10.0, 11.0)])
    assert true.longest == pytest.approx(1000)
    assert true.p99 == pytest.approx(1000 - 105)
    assert of_schedule([10.0, 10.25, 11.0, 9.9], [(10.0, 11.0)]) == Waits(750.0, 1000.0, 1000.0, 1000.0)


def test_who_comes_on_time_is_not_fooled() -> None:
    """A closed loop sends one request into a freeze where an open one sends hundreds: that is what is looked for."""
    true = open_stream(0, 20, [(10.0, 11.0)])

    def told(p99: float) -> Outcome:
        nothing = waits([])
        return Outcome("a driver", 500, 500, 20, 500, 500, Waits(0, 0, p99, 1000), true, nothing, 0)

    assert not told(true.p99 * 1.04).is_fooled
    assert told(true.p99 * 1.06).is_fooled
    assert told(2.7).is_fooled
    assert told(true.p99).verdict == "true"
    assert replace(told(2.7), rate=470.0).verdict == "fooled, too few came"


@pytest.fixture
def stub() -> Iterator[Stub]:
    """The server, frozen for a third of a second every half second, from the first request on."""
    with freezing(min(os.sched_getaffinity(0)), "--first", "0", "--every", "0.5", "--for", "0.3") as running:
        yield running


def test_the_server_freezes_and_tells(stub: Stub) -> None:
    """Nothing is answered while it is frozen; what came then is answered when it thaws, and all of it is known."""
    stub.begin()
    with httpx.Client(base_url=stub.base_url, trust_env=False) as client:
        for _ in range(10):
            answer = client.post(PATH, content=b"three words here")
            assert answer.status_code == 200
            assert len(answer.json()) == 36
        told = stub.told()
        while len(told["freezes"]) < 3:
            client.post(PATH, content=b"three words here")
            told = stub.told()
    came, answered = stub.times()
    assert len(came) == len(answered) == told["requests"]
    assert told["bytes"] > told["requests"] * len(b"three words here")
    assert told["head"].startswith(f"POST {PATH} HTTP/1.1")
    assert not any(start < instant < stop for start, stop in told["freezes"] for instant in answered)
    on_ice = [instant for start, stop in told["freezes"] for instant in came if start < instant < stop]
    assert on_ice
    assert of_record(came, answered).longest == pytest.approx(
        1000 * max(after - before for before, after in zip(came, answered, strict=True))
    )
    stub.begin()
    assert stub.told()["requests"] == 0


def test_our_schedule_is_that_of_the_plan() -> None:
    """What the truth is calculated from is what the driver is told: so many a second, within what chance allows."""
    due = ours.intended(ours.plan(500, 60))
    assert list(due) == sorted(due)
    assert 0 <= due[0] < due[-1] <= 60
    assert len(due) == pytest.approx(30_000, rel=0.03)
    assert due == ours.intended(ours.plan(500, 60))


def test_a_ratio_and_its_interval() -> None:
    """The median stands within, one wild round moves neither it nor the interval's lower end far."""
    found = cost.ratio([1.0, 1.1, 1.05, 1.02, 1.08, 1.03, 1.07, 1.04, 1.06, 9.0])
    assert found.low <= found.median <= found.high < 9
    assert found.median == pytest.approx(1.055)
