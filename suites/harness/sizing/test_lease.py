"""Consumers and the half hour: chances are right, the walk does what a plain one does, and the answer follows."""

import heapq
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.sizing import outlasting
from popreceipt.sizing.consumers import Habits, Outage, walk
from popreceipt.sizing.hours import busiest_hours, hourly
from popreceipt.sizing.lease import lease, share
from popreceipt.sizing.plan import Arrivals, Export, Plan, Run, Service, Spread
from popreceipt.sizing.result import Lease
from popreceipt.sizing.work import HOUR, Work, drawn, work_of

HALF_HOUR = 1800.0


# Chances


@pytest.mark.parametrize(
    ("seconds", "safe"),
    [(15.0, 119), (7.0, 257), (1800.0, 0), (1799.0, 1), (900.0, 1), (0.1, outlasting.MOST), (0.0, outlasting.MOST)],
)
def test_constant_times_are_exact(seconds: float, safe: int) -> None:
    """So many fit that the last one is acknowledged before the half hour is over, not at its end."""
    assert outlasting.most(seconds, 0.0) == safe
    assert outlasting.most(0.0, seconds) == safe
    if safe < outlasting.MOST:
        assert outlasting.chance(seconds, 0.0, safe + 1) == 1.0
    if safe:
        assert outlasting.chance(seconds, 0.0, safe) == 0.0


def test_a_spread_without_width_is_a_constant() -> None:
    """Median and 95th percentile alike mean always the same."""
    assert outlasting.most(Spread(15.0, 15.0), 0.0) == 119
    assert outlasting.mean(Spread(15.0, 15.0)) == 15.0


def test_a_single_lognormal_time_is_exact() -> None:
    """Its 95th percentile is exceeded with five in a hundred, whatever always comes on top."""
    assert outlasting.chance(Spread(300.0, 1800.0), 0.0) == pytest.approx(0.05, abs=1e-12)
    assert outlasting.chance(Spread(300.0, 1700.0), 100.0) == pytest.approx(0.05, abs=1e-12)
    assert outlasting.chance(Spread(300.0, 1700.0), 1800.0) == 1.0
    assert outlasting.chance(Spread(1.0, 2.0), 0.0) < 1e-50


@pytest.mark.parametrize("spread", [Spread(300.0, 900.0), Spread(60.0, 1200.0), Spread(1500.0, 1900.0)])
def test_the_grid_says_of_one_file_what_the_closed_form_says(spread: Spread) -> None:
    """Folding with what takes no time changes nothing, but for the last cell, which errs on the safe side."""
    nothing = Spread(1e-9, 2e-9)
    closed = outlasting.chance(spread, 0.0)
    assert closed <= outlasting.chance(spread, nothing) < closed + 2e-5


def test_sums_are_what_drawing_them_gives() -> None:
    """Forty thousand drawn sums lie within their own uncertainty."""
    rng = np.random.default_rng(1)
    first, second = Spread(60.0, 400.0), Spread(20.0, 30.0)
    sums = (drawn(first, 480_000, rng) + drawn(second, 480_000, rng)).reshape(-1, 12).sum(axis=1)
    seen = float(np.mean(sums >= HALF_HOUR))
    deviation = math.sqrt(seen * (1 - seen) / len(sums))
    assert outlasting.chance(first, second, 12) == pytest.approx(seen, abs=4 * deviation)
    assert outlasting.mean(first) + outlasting.mean(second) == pytest.approx(float(sums.mean()) / 12, rel=0.01)


@given(
    median=st.floats(0.5, 1500.0),
    stretch=st.floats(1.0, 8.0),
    fixed=st.floats(0.0, 300.0),
    rare=st.sampled_from((1e-3, 0.1)),
)
@settings(max_examples=25, deadline=None)
def test_safe_is_the_most_of_which_none_comes_back(median: float, stretch: float, fixed: float, rare: float) -> None:
    """What is called safe is rare enough, and one more is not."""
    spread = Spread(median, median * stretch)
    safe = outlasting.most(spread, fixed, rare)
    assert not safe or outlasting.chance(spread, fixed, safe) < rare + 1e-9
    assert safe == outlasting.MOST or outlasting.chance(spread, fixed, safe + 1) >= rare - 1e-6


# The walk


def plainly(
    arrived: Sequence[float], habits: Habits, times: Sequence[float], until: float, outage: Outage | None
) -> list[tuple[int, float, float]]:
    """The same consumers with no short cut: every poll, every acknowledgment, the whole queue looked through."""
    begins, ends = outage if outage is not None else (math.inf, 0.0)
    first = [habits.poll * who / habits.consumers for who in range(habits.consumers)]
    agenda = [(each if each < begins else ends + each, who) for who, each in enumerate(first)]
    heapq.heapify(agenda)
    visible = list(arrived)
    holder = [-1] * len(arrived)
    done: set[int] = set()
    pending: list[tuple[float, int, int]] = []
    deliveries: list[tuple[int, float, float]] = []
    drawn_times = itertools.cycle(times)
    while agenda[0][0] < until:
        now, who = heapq.heappop(agenda)
        while pending and pending[0][0] <= now:
            _, number, message = heapq.heappop(pending)
            if holder[message] == number:
                done.add(message)
        clock, found_nothing = now, False
        for _ in range(habits.prefetch):
            waiting = [(since, one) for one, since in enumerate(visible) if since <= now and one not in done]
            if not waiting:
                found_nothing = True
                break
            message = min(waiting)[1]
            clock += next(drawn_times)
            ack = math.inf if now < begins < clock else clock
            holder[message] = len(deliveries)
            heapq.heappush(pending, (ack, len(deliveries), message))
            visible[message] = now + HALF_HOUR
            deliveries.append((message, now, ack))
        following = max(clock, now + habits.poll) if found_nothing else clock
        heapq.heappush(agenda, (ends + first[who] if now < begins <= following else following, who))
    return deliveries


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_the_walk_does_what_a_plain_one_does(data: st.DataObject) -> None:
    """Whatever arrives, whatever it takes, with and without an outage: the same deliveries at the same instants."""
    # Whole seconds, and polls that divide evenly, so that no instant depends on how it is added up.
    consumers = data.draw(st.integers(1, 3))
    habits = Habits(60.0 * consumers * data.draw(st.integers(1, 10)), consumers, data.draw(st.integers(1, 6)))
    times = data.draw(st.lists(st.integers(1, 2400).map(float), min_size=1, max_size=8))
    arrived = sorted(data.draw(st.lists(st.integers(0, 20_000).map(float), max_size=25)))
    outage = None
    if data.draw(st.booleans()):
        begins = float(data.draw(st.integers(0, 15_000)))
        outage = (begins, begins + data.draw(st.integers(1, 8_000)))
    walked = walk(np.array(arrived), habits, itertools.cycle(times), until=30_000.0, outage=outage)
    plain = plainly(arrived, habits, times, 30_000.0, outage)
    assert (
        list(zip(walked.message.tolist(), walked.dequeued.tolist(), walked.acknowledged.tolist(), strict=True)) == plain
    )
    assert walked.waiting == len(arrived) - len({message for message, _, _ in plain})
    assert walked.comes_back.tolist() == [ack - dequeued >= HALF_HOUR for _, dequeued, ack in plain]


def test_two_polls_and_a_lease() -> None:
    """By hand: what one consumer holds for too long, the other one is given at the half hour, at the tail."""
    walked = walk(np.array([10.0, 20.0]), Habits(600.0, 2, 1), iter([2500.0, 5.0, 7.0]), until=5000.0)
    # The second consumer polls first at 300 and takes the first message. The first one finds the other at 600, nothing
    # at 605, and every ten minutes from there: at 2405 the first message is back, since 2100.
    assert walked.message.tolist() == [0, 1, 0]
    assert walked.dequeued.tolist() == [300.0, 600.0, 2405.0]
    assert walked.acknowledged.tolist() == [2800.0, 605.0, 2412.0]
    assert walked.comes_back.tolist() == [True, False, False]


def test_a_late_acknowledgment_counts_until_somebody_asks() -> None:
    """By hand: held for too long, but acknowledged before the next poll: it is not delivered again."""
    walked = walk(np.array([10.0, 20.0]), Habits(600.0, 2, 1), iter([2000.0, 5.0]), until=5000.0)
    assert walked.message.tolist() == [0, 1]
    assert walked.comes_back.tolist() == [True, False]
    assert walked.holds.tolist() == [2000.0, 5.0]


def test_who_goes_down_loses_what_it_holds() -> None:
    """By hand: a message in hand when the outage begins comes back at the end of its lease; polls begin anew."""
    walked = walk(np.array([0.0]), Habits(60.0), iter([100.0, 5.0]), until=9000.0, outage=(50.0, 650.0), to_empty=False)
    assert walked.dequeued.tolist() == [0.0, 650.0 + 20 * 60.0]
    assert walked.acknowledged.tolist() == [math.inf, 1855.0]
    assert walked.empty_at == 650.0


def test_it_stops_when_the_queue_is_empty() -> None:
    """Of an outage only the way back is looked at, when nothing else is asked for."""
    arrived = np.arange(0.0, 7200.0, 60.0)
    walked = walk(arrived, Habits(60.0), itertools.repeat(20.0), until=1e6, outage=(600.0, 1200.0), to_empty=True)
    assert walked.empty_at is not None
    assert 1200.0 < walked.empty_at < 1600.0
    assert walked.waiting > 80


# Shares


def test_a_share_of_independent_ones_is_wilsons() -> None:
    """Ten of a hundred: the textbook interval."""
    found = share(np.arange(100) < 10, np.arange(100))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.0552, 0.1744), abs=5e-5)


def test_batches_that_come_back_together_are_worth_less() -> None:
    """Where whole batches of ten come back, the interval is that of as many batches."""
    hits = np.repeat(np.arange(100) < 10, 10)
    together = share(hits, np.repeat(np.arange(100), 10))
    alone = share(hits, np.arange(1000))
    assert together.value == alone.value == pytest.approx(0.1)
    assert (together.low, together.high) == pytest.approx((0.0552, 0.1744), abs=5e-5)
    assert together.low < alone.low < alone.high < together.high


def test_of_nothing_nothing_is_known() -> None:
    """No message: any share is possible. None that came back: the interval says how many were looked at."""
    nothing = share(np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64))
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 1.0)
    none = share(np.zeros(300, dtype=np.bool_), np.arange(300))
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1.96**2 / (300 + 1.96**2), rel=1e-3)
    every = share(np.ones(300, dtype=np.bool_), np.arange(300))
    assert (every.value, every.high) == (1.0, 1.0)


# The answer


def answered(export: Export, *, per_hour: float = 60.0, days: float = 10.0) -> Lease:
    plan = Plan(Arrivals(per_hour=per_hour), Service(seconds=1.0), export=export, run=Run(days=days, seed=3))
    return lease(plan, export, work_of(plan, seed=plan.run.seed))


@given(seconds=st.floats(0.5, 400.0), prefetch=st.integers(1, 4), consumers=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_nothing_comes_back_that_is_never_held_for_half_an_hour(seconds: float, prefetch: int, consumers: int) -> None:
    """Whatever the load: where a whole batch takes less, no message is ever offered again."""
    export = Export(transfer_seconds=seconds, prefetch=prefetch, consumers=consumers)
    found = answered(export, per_hour=20.0, days=2.0)
    assert found.redelivery_rate.value == found.delivered_again.value == found.redeliveries_a_day == 0.0
    assert found.safe_prefetch >= prefetch
    assert found.batch_outlasting == 0.0


@pytest.mark.parametrize("consumers", [1, 2])
def test_everything_comes_back_that_is_always_held_for_longer(consumers: int) -> None:
    """A file that takes 31 minutes is always offered again; who asks meanwhile is a second consumer."""
    found = answered(Export(transfer_seconds=1860.0, consumers=consumers), per_hour=1.0)
    assert found.redelivery_rate.value == 1.0
    assert found.outlasting == found.batch_outlasting == 1.0
    assert found.safe_prefetch == 0
    assert (found.redeliveries_a_day > 0) == (found.delivered_again.value > 0) == (consumers == 2)


def test_one_slow_file_in_so_many() -> None:
    """One message at a time: the share that comes back is the chance of a single file."""
    found = answered(Export(transfer_seconds=Spread(300.0, 1500.0)), per_hour=5.0, days=200.0)
    assert found.redelivery_rate.low <= found.outlasting <= found.redelivery_rate.high
    assert found.redelivery_rate.high < 0.06
    assert found.messages == pytest.approx(240_000, rel=0.05)
    edges, shares = found.density
    assert len(edges) == len(shares) + 1
    assert sum(shares) == pytest.approx(1.0)
    held = found.hold_minutes
    assert held["p50"] < held["p95"] < held["p99"] < held["longest"] == pytest.approx(edges[-1])


def test_an_outage_is_worked_off_as_fast_as_there_is_room() -> None:
    """At half load an hour down takes another hour: what waited, and what came meanwhile."""
    found = answered(Export(transfer_seconds=30.0), days=30.0)
    assert found.utilisation == pytest.approx(0.5, rel=0.02)
    assert found.drain_minutes == pytest.approx(60.0, rel=0.25)
    twice = answered(Export(transfer_seconds=30.0, outage_minutes=120.0), days=30.0)
    assert twice.drain_minutes == pytest.approx(120.0, rel=0.25)


def test_consumers_that_fall_behind() -> None:
    """More than they can fetch: how many it takes is said, and that an outage is never made up for."""
    found = answered(Export(transfer_seconds=150.0))
    assert found.utilisation == pytest.approx(2.5, rel=0.05)
    assert found.consumers_needed == 3
    assert found.drain_minutes is None


def test_an_outage_that_the_plan_is_too_short_for() -> None:
    """Worked off only after the plan's time: not in time is never."""
    assert answered(Export(transfer_seconds=57.0, outage_minutes=600.0), days=1.0).drain_minutes is None


def test_the_busiest_hour_decides_how_many_it_takes() -> None:
    """A quiet night does not make up for a busy hour."""
    export = Export(transfer_seconds=60.0)
    profile = tuple(150.0 if hour == 9 else 1.0 for hour in range(24))
    plan = Plan(Arrivals(profile=profile), Service(seconds=1.0), export=export, run=Run(days=3.0))
    found = lease(plan, export, work_of(plan, seed=1))
    assert found.consumers_needed == 3
    assert found.utilisation < 0.2
    assert found.drain_minutes is not None
    assert found.drain_minutes > 100


def test_an_export_with_a_rate_of_its_own() -> None:
    """What is produced is not what is sent in; a quiet export has quiet figures."""
    told: list[str] = []
    export = Export(per_hour=2.0, transfer_seconds=10.0)
    plan = Plan(Arrivals(per_hour=600.0), Service(seconds=1.0), export=export, run=Run(days=5.0))
    found = lease(plan, export, work_of(plan, seed=1), tell=lambda: told.append("walked"))
    assert found.messages == pytest.approx(2400, abs=200)
    assert found.wait_minutes["mean"] == pytest.approx(0.5 + 10 / 60, abs=0.1)
    assert told == ["walked"]


def test_more_messages_than_are_needed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures rest on so many; how many is told."""
    monkeypatch.setattr("popreceipt.sizing.lease.MESSAGES", 500)
    found = answered(Export(transfer_seconds=1.0))
    assert found.messages <= 500
    assert f"{found.messages} messages" in found.method


def test_a_plan_in_which_nobody_ever_polls_in_time(tmp_path: Path) -> None:
    """Work that ends before anything was dequeued has no figures, and does not divide by nothing."""
    (tmp_path / "trace.csv").write_text("timestamp\n2026-03-02T08:00:30\n")
    export = Export(poll_minutes=1.0)
    plan = Plan(Arrivals(trace="trace.csv"), Service(seconds=1.0), export=export, folder=tmp_path)
    found = lease(plan, export, work_of(plan, seed=1))
    assert found.messages == 0
    assert found.density == ((), ())
    assert found.hold_minutes["p95"] == found.wait_minutes["p95"] == 0.0
    assert (found.redelivery_rate.low, found.redelivery_rate.high) == (0.0, 1.0)


def test_what_comes_back_in_bouts_is_not_told_too_surely() -> None:
    """Two workers with thirty messages each in hand: in a quiet week none comes back, in another dozens do.

    The interval of one answer holds the mean of others, nine times out of ten or better.
    """
    export = Export(5.0, Spread(6.0, 30.0), Spread(100.0, 360.0), consumers=2, prefetch=30)
    answers = [
        lease(plan, export, work_of(plan, seed=1)).redelivery_rate
        for plan in (
            Plan(Arrivals(per_hour=28.0), Service(seconds=1.0), export=export, run=Run(days=7.0, seed=seed))
            for seed in range(1, 16)
        )
    ]
    mean = sum(each.value for each in answers) / len(answers)
    assert mean == pytest.approx(0.0013, rel=0.2)
    assert sum(each.low <= mean <= each.high for each in answers) >= 0.85 * len(answers)


def test_the_same_seed_the_same_answer() -> None:
    """Nothing depends on anything but the plan."""
    export = Export(transfer_seconds=Spread(60.0, 600.0), consumers=2, prefetch=5)
    assert answered(export, per_hour=10.0) == answered(export, per_hour=10.0)


def test_hours_of_a_record() -> None:
    """A record that begins at half past ten in the evening has its hours of the day, as far as it reaches."""
    work = Work(np.array([0.0, 1.0, 1900.0, 3 * HOUR]), np.ones(4), 4 * HOUR, begins=22.5 * HOUR)
    rates = hourly(Arrivals(trace="x.csv"), work)
    assert rates[22] == 4.0  # two in half an hour
    assert rates[23] == 1.0
    assert rates[1] == 1.0
    assert rates[2] == rates[12] == 0.0
    assert busiest_hours(rates, work, 4 * HOUR) == []
    assert busiest_hours(rates, work, 60 * HOUR) == [23.5 * HOUR, 47.5 * HOUR]
