"""Figures of simulated runs: what they are of a few messages counted by hand, and how often an interval is right."""

import math

import numpy as np
import pytest

from popreceipt.sizing.plan import Arrivals, Plan, Run, Service
from popreceipt.sizing.simulation import Job, Simulated, simulate
from popreceipt.sizing.statistics import (
    BINS,
    QUARTERS,
    REPLICATIONS,
    SAMPLES,
    Replication,
    estimate,
    observe,
    students_t,
    summarise,
)
from popreceipt.sizing.work import DAY, HOUR, MINUTE, Work, seeds, work_of


def simulated(arrived: list[float], service: float, job: Job, horizon: float, begins: float = 0.0) -> Simulated:
    """What becomes of messages that take equally long."""
    return simulate(Work(np.array(arrived), np.full(len(arrived), service), horizon, begins), job)


def replications(plan: Plan, minutes: float, number: int = REPLICATIONS) -> list[Replication]:
    """Of a plan at a recurrence."""
    return [observe(simulate(work_of(plan, seed=seed), Job(minutes * MINUTE))) for seed in seeds(plan, number)]


def test_the_figures_of_a_few_messages() -> None:
    """Three messages, of which one waits for the second run; all by hand."""
    seen = observe(simulated([0.0, 30.0, 90.0], 15.0, Job(60.0, startup=5.0), 180.0))
    assert seen.wait_minutes == pytest.approx(
        {
            "mean": (80 + 65 + 50) / 180,
            "p50": 65 / 60,
            "p95": (65 + 0.9 * 15) / 60,
            "p99": 1.3283333,
            "longest": 80 / 60,
        }
    )
    assert seen.backlog == pytest.approx({"mean": (80 + 65 + 50) / 180, "max": 2})
    assert seen.utilisation == pytest.approx((45 + 10) / 180)
    assert (seen.runs, seen.messages, seen.overruns) == (2, 3, 0)
    assert seen.quantiles[[0, 500, 1000]].tolist() == pytest.approx([50 / 60, 65 / 60, 80 / 60])


def test_percentiles_are_those_of_numpy() -> None:
    """Interpolated between two waits."""
    arrived = np.sort(np.random.default_rng(2).random(503) * 3600)
    run = simulate(Work(arrived, np.random.default_rng(3).random(503) * 5, 3600.0), Job(300.0, threads=3))
    seen = observe(run)
    wanted = np.quantile(run.waits, (0.5, 0.95, 0.99)) / 60
    assert [seen.wait_minutes[name] for name in ("p50", "p95", "p99")] == pytest.approx(wanted.tolist())


def test_backlog_counts_what_has_come_and_is_not_processed() -> None:
    """Over the time that arrivals cover; what ends as another comes has gone before."""
    seen = observe(simulated([0.0, 75.0], 15.0, Job(60.0), 100.0))
    assert seen.backlog["max"] == 1
    assert seen.backlog["mean"] == pytest.approx((75 + 25) / 100)
    parallel = observe(
        simulate(Work(np.array([0.0, 1.0, 80.0]), np.array([50.0, 5.0, 1.0]), 100.0), Job(60.0, threads=2))
    )
    assert parallel.backlog == pytest.approx({"mean": (100 + 64 + 20) / 100, "max": 2})


def test_overruns_are_counted_among_runs() -> None:
    """One that ends on the tick is none; several threads share the time."""
    seen = observe(simulated([0.0, 1.0, 200.0], 60.0, Job(60.0), 300.0))
    assert seen.overruns == 0.5
    seen = observe(simulated([0.0, 1.0, 200.0], 60.0, Job(60.0, threads=2), 300.0))
    assert seen.overruns == 0
    assert seen.utilisation == pytest.approx(180 / 2 / 300)


def test_utilisation_never_exceeds_the_time() -> None:
    """More work than time goes on after it."""
    assert observe(simulated([float(each) for each in range(100)], 10.0, Job(60.0), 100.0)).utilisation < 1


def test_replications_become_estimates() -> None:
    """Of every figure that a candidate has; shares of runs are of all runs."""
    plan = Plan(Arrivals(per_hour=60.0), Service(seconds=20.0), run=Run(days=2))
    seen = replications(plan, 10)
    summary = summarise(seen)
    assert list(summary.wait_minutes) == ["mean", "p50", "p95", "p99", "longest"]
    assert list(summary.backlog) == ["mean", "max"]
    for name, each in summary.wait_minutes.items():
        assert each.low <= each.value <= each.high
        assert each.value == pytest.approx(sum(one.wait_minutes[name] for one in seen) / len(seen))
    assert summary.utilisation == pytest.approx(1 / 3, rel=0.05)
    runs = sum(one.runs for one in seen)
    assert summary.overruns == pytest.approx(sum(one.overruns * one.runs for one in seen) / runs)


def test_the_histogram_holds_all_waits() -> None:
    """Its shares are those of all replications together, and its last edge is the longest wait."""
    plan = Plan(Arrivals(per_hour=60.0), Service(seconds=2.0), run=Run(days=10))
    seen = replications(plan, 30, 4)
    edges, shares = summarise(seen).density
    assert (len(edges), len(shares)) == (BINS + 1, BINS)
    assert math.fsum(shares) == pytest.approx(1)
    assert edges[0] == 0
    assert edges[-1] == pytest.approx(max(one.wait_minutes["longest"] for one in seen))
    # Waits are spread evenly between the load's share of the recurrence and all of it.
    below = sum(share for edge, share in zip(edges[1:], shares, strict=True) if edge <= 15)
    assert below == pytest.approx((15 - 1) / 29, abs=0.03)


def test_the_histogram_of_one_value_is_one_bar() -> None:
    """Also where that is no wait at all."""
    every_hour = [3600.0 * each for each in range(24)]
    edges, shares = summarise([observe(simulated(every_hour, 0.0, Job(60.0), DAY))] * 2).density
    assert (edges[-1], sum(shares[:-1]), shares[-1]) == (1, 0, 1)
    edges, shares = summarise([observe(simulated([math.nextafter(60.0, 0)], 0.0, Job(60.0), 60.0))] * 2).density
    assert math.fsum(shares) == pytest.approx(1)


def test_the_day_shows_when_work_piles_up() -> None:
    """A burst at half past eight that is worked off within an hour, day after day."""
    burst = [day * DAY + 8.5 * HOUR for day in range(3) for _ in range(59)]
    day = summarise([observe(simulated(burst, 60.0, Job(60.0), 3 * DAY))]).day
    assert len(day) == QUARTERS
    busy = [quarter for quarter, (mean, _) in enumerate(day) if mean > 0]
    assert busy == [34, 35, 36, 37]
    assert day[34][0] > day[35][0] > day[36][0] > day[37][0]
    assert day[34][0] == pytest.approx(59 - 6.5, abs=1)
    assert day[34][1] == pytest.approx(59)


@pytest.mark.parametrize("begins", [0.0, 60.0, 8 * HOUR + 15 * 60, DAY - 60])
def test_the_day_begins_at_midnight_wherever_the_work_does(begins: float) -> None:
    """Each quarter of an hour has as many samples."""
    at_nine = (9 * HOUR - begins) % DAY
    run = simulated([at_nine], 30 * MINUTE, Job(60.0), 1.5 * DAY, begins)
    assert observe(run).day.shape == (QUARTERS, SAMPLES)
    day = summarise([observe(run)]).day
    assert [quarter for quarter, (mean, _) in enumerate(day) if mean > 0] == [36, 37, 38]


@pytest.mark.parametrize(("days", "looked_at"), [(40, 40), (41, 21), (270, 34), (365, 37)])
def test_of_many_days_some_are_looked_at(days: int, looked_at: int) -> None:
    """Evenly apart, but never by whole weeks, so that every weekday has its share."""
    daily = [each * DAY + 9 * HOUR for each in range(days)]
    run = simulated(daily, 60.0, Job(60.0), days * DAY)
    assert observe(run).day.shape == (QUARTERS, SAMPLES * looked_at)
    day = summarise([observe(run)]).day
    assert [quarter for quarter, (mean, _) in enumerate(day) if mean > 0] == [36]


def test_less_than_a_day_shows_no_day() -> None:
    """There would be hours of which nothing is known."""
    assert summarise([observe(simulated([0.0], 1.0, Job(60.0), DAY - 60))]).day == ()


# Student's t


@pytest.mark.parametrize(
    ("freedom", "confidence", "wanted"),
    # From the usual tables (Abramowitz and Stegun, table 26.10).
    [(1, 0.95, 12.706), (2, 0.95, 4.303), (3, 0.99, 5.841), (9, 0.95, 2.262), (10, 0.9, 1.812), (120, 0.95, 1.980)],
)
def test_students_t_is_that_of_the_tables(freedom: int, confidence: float, wanted: float) -> None:
    """For odd and even degrees of freedom."""
    assert students_t(freedom, confidence) == pytest.approx(wanted, abs=5e-4)


def test_an_estimate_is_a_mean_between_its_ends() -> None:
    """As far apart as the samples are; of equal samples no distance, of one sample any."""
    seen = estimate([1.0, 2.0, 3.0])
    assert (seen.value, seen.high - seen.value) == pytest.approx((2, 4.303 / math.sqrt(3)), abs=1e-3)
    assert seen.value - seen.low == pytest.approx(seen.high - seen.value)
    equal = estimate([0.1] * 7)
    assert (equal.low, equal.high) == pytest.approx((0.1, 0.1))
    alone = estimate([5.0])
    assert (alone.value, alone.low, alone.high) == (5, -math.inf, math.inf)


@pytest.mark.parametrize(("figure", "days"), [("mean", 0.25), ("p95", 1.0)])
def test_an_interval_holds_the_truth_as_often_as_it_says(figure: str, days: float) -> None:
    """Of 400 intervals of ten replications each, about 380: between 363 and 397 with a chance of 99.99 %.

    With a message a minute and files of 6 seconds in a recurrence of 15 minutes runs never outlast it. The mean wait is
    T(1 + rho)/2 and the service time; the truth about the p95 is taken from a hundred times as many days.
    """
    plan = Plan(Arrivals(per_hour=60.0), Service(seconds=6.0), run=Run(days=days))
    if figure == "mean":
        truth = 15 * 1.1 / 2 + 0.1
    else:
        long_run = Plan(Arrivals(per_hour=60.0), Service(seconds=6.0), run=Run(days=100 * days, seed=99))
        truth = float(np.mean([each.wait_minutes[figure] for each in replications(long_run, 15, 4)]))
    covered = 0
    for seed in range(400):
        samples = [
            float(waits.mean() if figure == "mean" else np.quantile(waits, 0.95)) / MINUTE
            for waits in (simulate(work_of(plan, seed=10 * seed + each), Job(900.0)).waits for each in range(10))
        ]
        interval = estimate(samples)
        covered += interval.low <= truth <= interval.high
    assert 363 <= covered <= 397
