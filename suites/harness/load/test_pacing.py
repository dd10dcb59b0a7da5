"""Arrivals come as the plan says: so many, then, for that activity, and again the same for the same seed."""

import subprocess
import sys
from itertools import pairwise
from statistics import mean, pstdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.load import pacing
from popreceipt.load.pacing import WORKING_DAY, Arrival, arrivals, expected, first_tick, outage
from popreceipt.load.plan import SHAPES, LoadPlan

plans = st.builds(
    LoadPlan,
    shape=st.sampled_from(SHAPES),
    per_hour=st.floats(0.5, 5_000),
    minutes=st.floats(0.5, 120),
    activities=st.integers(1, 4),
    processing_minutes=st.sampled_from([1.0, 2.5, 5.0, 30.0]),
    seed=st.integers(0, 5),
)


def shares(plan: LoadPlan, workers: int, rate: float = 1.0, stream: str = "enqueued") -> list[list[Arrival]]:
    """What each worker has to do."""
    return [list(arrivals(plan, stream, rate=rate, worker=worker, workers=workers)) for worker in range(workers)]


@given(plan=plans, workers=st.integers(1, 5), rate=st.sampled_from([1.0, 60.0, 3_600.0]))
@settings(max_examples=150, deadline=None)
def test_the_union_of_all_workers_is_the_plan(plan: LoadPlan, workers: int, rate: float) -> None:
    """Exactly as many arrivals as the rate makes, in order, inside the run, dealt out evenly, each for an activity."""
    dealt = shares(plan, workers, rate)
    assert sum(map(len, dealt)) == round(expected(plan))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= (1 if plan.shape != "ticks" else round(expected(plan)))
    for mine in dealt:
        assert [each.number for each in mine] == list(range(len(mine)))
        assert all(one.at <= other.at for one, other in pairwise(mine))
        assert all(0 <= each.at <= plan.minutes * 60 / rate for each in mine)
        assert all(0 <= each.activity < plan.activities for each in mine)


@given(plan=plans, workers=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_the_same_seed_draws_the_same(plan: LoadPlan, workers: int) -> None:
    """And time that passes faster moves every arrival by as much."""
    first, again, fast = shares(plan, workers), shares(plan, workers), shares(plan, workers, rate=60.0)
    assert first == again
    for mine, faster in zip(first, fast, strict=True):
        assert [each.at for each in faster] == pytest.approx([each.at / 60 for each in mine])


def test_streams_seeds_and_workers_are_drawn_independently() -> None:
    """No two of them have an instant in common."""
    plan = LoadPlan(per_hour=600, minutes=60)
    drawn = [
        *shares(plan, 2),
        *shares(plan, 1, stream="produced"),
        *shares(LoadPlan(per_hour=600, minutes=60, seed=1), 1),
    ]
    instants = [each.at for mine in drawn for each in mine]
    assert len(set(instants)) == len(instants) == 1_800


@given(
    per_hour=st.floats(1, 5_000),
    period=st.sampled_from([1.0, 5.0, 7.5]),
    minutes=st.floats(1, 60),
    workers=st.integers(1, 4),
)
@settings(max_examples=80, deadline=None)
def test_at_ticks_everything_comes_at_once(per_hour: float, period: float, minutes: float, workers: int) -> None:
    """Nothing between the ticks, the first is the start, and each brings what a recurrence makes."""
    plan = LoadPlan(shape="ticks", per_hour=per_hour, processing_minutes=period, minutes=minutes)
    instants = sorted(each.at for mine in shares(plan, workers) for each in mine)
    of_a_tick = per_hour / 60 * period
    counts = {tick: instants.count(tick) for tick in set(instants)}
    assert all(tick % (period * 60) == 0 and tick < minutes * 60 for tick in counts)
    assert all(abs(count - of_a_tick) <= 1 for count in counts.values())


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_steady_gaps_are_those_of_a_poisson_process(seed: int, workers: int) -> None:
    """Their standard deviation is their mean, also when several workers drew them."""
    plan = LoadPlan(per_hour=3_600, minutes=120, seed=seed)
    instants = sorted(each.at for mine in shares(plan, workers) for each in mine)
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert mean(gaps) == pytest.approx(1.0, rel=0.01)
    assert pstdev(gaps) / mean(gaps) == pytest.approx(1.0, abs=0.05)
    # Which a schedule with a jitter has too; of a Poisson process 63 % of the gaps are below the mean.
    assert sum(gap < 1.0 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "period", "rate", "start", "begins"),
    [
        ("ticks", 5, 60.0, 0.5, 5.0),
        ("ticks", 5, 600.0, 1.6, 2.0),
        ("ticks", 1, 1.0, 61.0, 120.0),
        ("ticks", 5, 1.0, 0.5, 0.5),  # nobody waits for minutes
        ("steady", 5, 60.0, 0.5, 0.5),
    ],
)
def test_the_first_tick_is_one_of_the_jobs(shape: Any, period: float, rate: float, start: float, begins: float) -> None:
    """However long the generator took to start: else that would decide how long everything waits for its run."""
    plan = LoadPlan(shape=shape, processing_minutes=period)
    assert first_tick(plan, start, rate) == pytest.approx(begins)


def test_a_business_day_has_its_hours() -> None:
    """Each hour its share of the peak's rate, and the second day as the first."""
    plan = LoadPlan(shape="business-day", per_hour=6_000, minutes=2 * 1_440)
    hours = [0] * 48
    for each in arrivals(plan, "enqueued", rate=1.0):
        hours[int(each.at // 3_600)] += 1
    for hour, count in enumerate(hours):
        wanted = 6_000 * WORKING_DAY[hour % 24]
        assert abs(count - wanted) < 5 * wanted**0.5
    assert max(WORKING_DAY) == 1.0


def test_a_ramp_rises_to_the_rate() -> None:
    """Half of the time brings a quarter of the messages, and the last hundredth comes at the full rate."""
    plan = LoadPlan(shape="ramp", per_hour=60_000, minutes=60)
    instants = [each.at for each in arrivals(plan, "enqueued", rate=1.0)]
    assert len(instants) == 30_000
    assert sum(at < 1_800 for at in instants) / len(instants) == pytest.approx(0.25, abs=0.015)
    assert sum(at >= 3_564 for at in instants) == pytest.approx(597, abs=5 * 597**0.5)


@given(plan=plans, share=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_load_is_turned_into_time_and_back(plan: LoadPlan, share: float) -> None:
    """How much there was until an instant, and when there has been so much, undo each other."""
    course = pacing._course(plan)
    at = share * plan.minutes * 60
    assert course.when(course.until(at)) == pytest.approx(at, rel=1e-9, abs=1e-5)


def test_consumers_are_away_for_an_outage_alone() -> None:
    """From a third of the run on; arrivals go on as ever."""
    away = LoadPlan(shape="outage", minutes=180, outage_minutes=45)
    assert outage(away) == (60.0, 105.0)
    assert outage(LoadPlan(minutes=180)) is None
    assert shares(away, 1) == shares(LoadPlan(minutes=180), 1)


def test_numpy_is_not_needed() -> None:
    """A machine that only makes load need not have it."""
    code = "import sys; import popreceipt.load.pacing, popreceipt.load.figures; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
