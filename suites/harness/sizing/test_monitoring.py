"""The monitoring recurrence: alarms that ordinary days hardly raise, overloads shown in time, and honest noes."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.sizing import monitoring as module
from popreceipt.sizing.monitoring import TRIED, Depth, monitoring
from popreceipt.sizing.plan import Arrivals, BatchJob, Objective, Plan, Run, Service
from popreceipt.sizing.simulation import Job, Simulated, simulate
from popreceipt.sizing.work import DAY, HOUR, MINUTE, Work, seeds, work_of

PLAN = Plan(Arrivals(per_hour=120.0), Service(seconds=4.0), objective=Objective(p95_minutes=15.0), run=Run(days=5.0))


def evenly(number: int, gap: float, service: float) -> Work:
    """One message every so many seconds, half a gap after each multiple of it."""
    return Work(gap / 2 + gap * np.arange(number), np.full(number, service), gap * number)


def test_depth_by_hand() -> None:
    """What has come and is not processed: it grows to the tick, and falls file by file."""
    run = simulate(Work(np.array([10.0, 20.0, 130.0]), np.array([30.0, 30.0, 30.0]), 180.0), Job(60.0))
    depth = Depth(run)
    instants = np.array([0.0, 10.0, 19.0, 20.0, 60.0, 89.0, 90.0, 119.0, 120.0, 131.0, 209.0, 210.0])
    assert depth.at(instants).tolist() == [0, 1, 1, 2, 2, 2, 1, 1, 0, 1, 1, 0]


@given(
    arrived=st.lists(st.floats(0.0, 5000.0), min_size=1, max_size=40),
    service=st.floats(0.1, 90.0),
    threads=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_depth_is_what_counting_gives(arrived: list[float], service: float, threads: int) -> None:
    """At any instant, whoever looks at the messages one by one finds as many."""
    work = Work(np.sort(np.array(arrived)), np.full(len(arrived), service), 5000.0)
    run = simulate(work, Job(120.0, threads))
    instants = np.linspace(0.0, 6000.0, 50)
    counted = [int(np.sum((work.arrived <= each) & (run.completed > each))) for each in instants]
    assert Depth(run).at(instants).tolist() == counted


def test_alarms_are_what_ordinary_samples_hardly_exceed() -> None:
    """Of thirty days, one sample in the mean lies above; the deepest queue of a quiet one never does."""
    run = simulate(work_of(PLAN, seed=seeds(PLAN, 1)[0], days=30.0), Job(10 * MINUTE))
    alarms, false = module._alarms(run)
    depth = Depth(run)
    for minutes in TRIED:
        step = minutes * MINUTE
        above = [np.sum(depth.at(np.arange(step * each / 8, 30 * DAY, step)) > alarms[minutes]) for each in range(8)]
        assert sum(above) / 8 == pytest.approx(false[minutes], abs=0.25)
        assert false[minutes] <= 1.0
        one_less = [
            np.sum(depth.at(np.arange(step * each / 8, 30 * DAY, step)) >= alarms[minutes]) for each in range(8)
        ]
        assert sum(one_less) > 8
    assert alarms[1.0] >= alarms[1440.0]


def test_alarms_of_a_stretch_that_is_shorter_than_a_month() -> None:
    """Where a week's record is all there is, none of its own samples is an alarm."""
    run = simulate(evenly(7 * 24 * 60, 60.0, 1.0), Job(300.0))
    alarms, false = module._alarms(run)
    assert alarms[1.0] == 5.0
    assert max(false.values()) == 0.0


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (Objective(longest_minutes=9.0), 3),
        (Objective(p95_minutes=9.0), 4),
        (Objective(p99_minutes=9.0), 3),
        (Objective(p95_minutes=9.0, longest_minutes=9.0), 3),
        (Objective(p95_minutes=90.0), None),
    ],
)
def test_when_an_objective_is_missed(objective: Objective, message: int | None) -> None:
    """By hand, of the last twenty: the first late one breaks the longest, the second one the 95th percentile."""
    arrived = 60.0 * np.arange(40)
    waits = np.where(np.arange(40) >= 3, 600.0, 300.0)
    run = Simulated(
        Work(arrived, np.ones(40), 2400.0), Job(60.0), arrived, arrived, arrived + waits, np.zeros(1), np.ones(1)
    )
    missed = module._missed(run, 60.0, objective, 20)
    # A message is late nine minutes after it came, though it is processed only after ten.
    assert missed == (math.inf if message is None else 60.0 * message + 540.0 - 60.0)


def test_when_a_mean_is_missed() -> None:
    """By hand: it is known when the message that makes it is processed."""
    arrived = 60.0 * np.arange(10)
    waits = np.where(np.arange(10) >= 4, 1200.0, 60.0)
    run = Simulated(
        Work(arrived, np.ones(10), 600.0), Job(60.0), arrived, arrived, arrived + waits, np.zeros(1), np.ones(1)
    )
    # Of the last four 1, 1, 20, 20 are more than ten in the mean; 1, 1, 1, 20 are not.
    assert module._missed(run, 0.0, Objective(mean_minutes=10.0), 4) == 300.0 + 1200.0
    assert module._missed(run, 0.0, Objective(mean_minutes=21.0), 4) == math.inf


def test_of_the_last_so_many() -> None:
    """A running sum, shorter at the beginning."""
    assert module._of_last(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist() == [1.0, 3.0, 5.0, 7.0]
    assert module._of_last(np.array([1.0, 2.0]), 5).tolist() == [1.0, 3.0]


def test_an_overload_is_shown_in_time() -> None:
    """The longest that shows it is recommended; all shorter ones show it too, and no longer one does."""
    found = monitoring(PLAN, 10.0, 5.6)
    assert found.minutes is not None
    assert found.overload_factor == pytest.approx(7.0)
    assert found.shown[found.minutes] >= 0.95
    assert all(found.shown[each] < 0.95 for each in TRIED if each > found.minutes)
    assert found.tried == {each: found.shown[each] >= 0.95 for each in TRIED}
    assert found.alarm_waiting == found.alarms[found.minutes]
    assert found.false_alarms_a_month <= 1.0
    assert found.shortest_minutes is not None
    assert found.shortest_minutes <= found.minutes
    assert found.missed_minutes is not None
    assert found.delays[1.0] < found.delays[found.minutes] < found.missed_minutes
    assert f" in {math.floor(100 * found.shown[found.minutes])}% of the trials" in found.why


def test_of_dense_arrivals_fewer_ordinary_days_are_sampled() -> None:
    """Thirty days of a hundred thousand an hour would not fit in memory; a day of them tells the depth as well."""
    dense = Plan(Arrivals(per_hour=100_000.0), Service(seconds=0.01), run=Run(days=0.05))
    ordinary = module._ordinary(dense, Job(300.0))
    assert len(ordinary.work.arrived) == pytest.approx(module.ORDINARY, rel=0.01)
    assert ordinary.work.horizon == pytest.approx(50 * HOUR)


def test_a_share_just_too_small_does_not_read_as_if_it_were_enough() -> None:
    """Ninety-four and nine tenths are not ninety-five; and one minute is every minute."""
    shown = dict.fromkeys(TRIED, 0.5) | {1.0: 0.95, 2.0: 0.949}
    missed = np.full(20, 600.0)
    assert module._why(1.0, 2.0, shown, missed).endswith(
        "sampled every minute, the depth has shown it by then in 95% of the trials, every 2 minutes in 94%."
    )
    assert module._why(None, 2.0, shown | {1.0: 0.9}, missed).endswith(
        "in 94% of the trials at most, sampled every 2 minutes."
    )


def test_a_tighter_objective_leaves_less_time() -> None:
    """What is missed sooner has to be watched more often."""
    loose = PLAN
    tight = Plan(PLAN.arrivals, PLAN.service, PLAN.batch, Objective(p95_minutes=11.0), PLAN.recurrence, run=PLAN.run)
    of_loose, of_tight = (monitoring(each, 10.0, 5.6) for each in (loose, tight))
    assert of_loose.minutes is not None
    assert of_tight.minutes is not None
    assert of_tight.minutes <= of_loose.minutes
    assert of_tight.missed_minutes is not None
    assert of_loose.missed_minutes is not None
    assert of_tight.missed_minutes < of_loose.missed_minutes


def test_what_is_missed_at_once_cannot_be_shown_in_time() -> None:
    """Where the overload misses the objective with its first messages, no interval is any good, and it says so."""
    plan = Plan(
        Arrivals(per_hour=120.0), Service(seconds=4.0), objective=Objective(longest_minutes=0.01), run=Run(days=5.0)
    )
    found = monitoring(plan, 10.0, 1.0)
    assert found.minutes is None
    assert not any(found.tried.values())
    assert found.alarm_waiting == found.alarms[found.shortest_minutes or 0.0]
    assert "at most" in found.why


def test_an_overload_that_misses_nothing() -> None:
    """Hardly more than usual, and an objective far away: it is followed for a day, and nothing is missed."""
    plan = Plan(Arrivals(per_hour=30.0), Service(seconds=4.0), objective=Objective(p95_minutes=60.0), run=Run(days=5.0))
    found = monitoring(plan, 10.0, 1.0)
    assert found.missed_minutes is None
    assert "only in 0% of the trials" in found.why


def test_the_busiest_hour_is_overloaded() -> None:
    """With a profile the overload sets in when most comes; the alarm knows the busy hours."""
    told: list[str] = []
    profile = tuple(300.0 if 8 <= hour < 12 else 10.0 for hour in range(24))
    plan = Plan(Arrivals(profile=profile), Service(seconds=4.0), run=Run(days=5.0))
    found = monitoring(plan, 10.0, 2.5, tell=lambda: told.append("sampled"))
    assert found.alarm_waiting > 30
    assert found.missed_minutes is not None
    assert found.missed_minutes < 120
    assert told == ["sampled"]


def test_several_files_at_once() -> None:
    """Nothing in it is particular to one thread."""
    plan = Plan(
        Arrivals(per_hour=120.0), Service(seconds=16.0), BatchJob(in_order=False, parallel=4, startup_seconds=20.0)
    )
    found = monitoring(plan, 10.0, 4.0)
    assert found.minutes is not None


def test_a_record_is_overloaded_with_itself(tmp_path: Path) -> None:
    """A day's trace: the overload repeats its messages; a stretch of it is all there is."""
    lines = ["timestamp"] + [
        f"2026-03-02T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}" for second in range(0, 86_400, 30)
    ]
    (tmp_path / "day.csv").write_text("\n".join(lines), encoding="utf-8")
    plan = Plan(Arrivals(trace="day.csv"), Service(seconds=4.0), folder=tmp_path)
    found = monitoring(plan, 10.0, 4.0)
    assert found.overload_factor == 5.0
    assert found.shown[1.0] >= 0.9


def test_dense_overloads_are_tried_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an overload has very many messages, fewer trials are enough: never fewer than forty."""
    monkeypatch.setattr(module, "SIMULATED", 1000)
    found = monitoring(PLAN, 10.0, 5.6)
    assert {round(each * 40, 6) % 1 for each in found.shown.values()} == {0.0}


def test_the_same_plan_the_same_answer() -> None:
    """Chance is seeded by the plan."""
    assert monitoring(PLAN, 5.0, 4.0) == monitoring(PLAN, 5.0, 4.0)
