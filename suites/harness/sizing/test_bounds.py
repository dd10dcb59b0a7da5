"""Closed forms beside the simulation: they agree where they say that they must, and say why where they need not."""

import math
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from popreceipt.sizing.bounds import bounds_of
from popreceipt.sizing.plan import Arrivals, BatchJob, Plan, Run, Service
from popreceipt.sizing.simulation import Job, simulate
from popreceipt.sizing.statistics import Summary, observe, summarise
from popreceipt.sizing.work import MINUTE, seeds, work_of

OFFICE = tuple([5.0] * 7 + [60.0, 240.0, 300.0, 240.0, 120.0, 180.0, 240.0, 240.0, 120.0, 60.0, 30.0] + [5.0] * 6)


def plan(
    per_hour: float | tuple[float, ...] = 120.0,
    service: Service | float = 5.0,
    startup: float = 0.0,
    parallel: int = 1,
    days: float = 10.0,
) -> Plan:
    """A plan in one line."""
    return Plan(
        arrivals=Arrivals(profile=per_hour) if isinstance(per_hour, tuple) else Arrivals(per_hour=per_hour),
        service=service if isinstance(service, Service) else Service(seconds=service),
        batch=BatchJob(in_order=parallel == 1, parallel=parallel, startup_seconds=startup),
        run=Run(days=days),
    )


def simulated(given: Plan, minutes: float, number: int = 6, *, at_once: bool = False) -> Summary:
    """What simulation says of the same."""
    job = Job(minutes * MINUTE, given.batch.parallel, given.batch.startup_seconds, at_once)
    return summarise([observe(simulate(work_of(given, seed=seed), job)) for seed in seeds(given, number)])


def spread(median: float, p95: float) -> Service:
    """Lognormal service times."""
    return Service(median=median, p95=p95)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    ("given", "minutes"),
    [
        (plan(), 5.0),
        (plan(startup=20.0), 2.0),
        (plan(60.0, spread(3.0, 9.0)), 1.5),
        (plan(20.0, spread(8.0, 30.0), startup=20.0), 5.0),
        (plan(120.0, spread(1.0, 10.0)), 5.0),
        (plan(600.0, spread(2.0, 5.0), startup=20.0), 15.0),
        (plan(600.0, 3.0), 60.0),
        (plan(1800.0, 0.5, startup=90.0), 7.5),
    ],
)
def test_forms_and_simulation_agree_where_they_must(given: Plan, minutes: float, at_once: bool) -> None:
    """The mean within its interval (99 %) and one percent, the 95th percentile within two."""
    bounds = bounds_of(given, minutes)
    assert bounds.exact
    assert bounds.why is None
    seen = simulated(given, minutes, at_once=at_once)
    mean, p95 = seen.wait_minutes["mean"], seen.wait_minutes["p95"]
    assert bounds.mean_minutes == pytest.approx(mean.value, rel=0.01)
    # Student's t for five degrees of freedom is 4.03 at 99 %, and 2.57 at 95 %.
    assert abs((bounds.mean_minutes or 0) - mean.value) <= (mean.high - mean.value) * 4.03 / 2.57
    assert bounds.p95_minutes == pytest.approx(p95.value, rel=0.02)
    assert seen.overruns < 0.002


@pytest.mark.parametrize("minutes", [1.0, 5.0, 7.0, 60.0, 90.0, 240.0])
def test_forms_follow_the_hours_of_a_profile(minutes: float) -> None:
    """Whether the recurrence divides the hour, or the day, or neither."""
    given = plan(OFFICE, 3.0, startup=5.0, days=28.0)
    bounds = bounds_of(given, minutes)
    assert bounds.exact
    seen = simulated(given, minutes, 4)
    assert bounds.mean_minutes == pytest.approx(seen.wait_minutes["mean"].value, rel=0.01)
    assert bounds.p95_minutes == pytest.approx(seen.wait_minutes["p95"].value, rel=0.02)


def test_a_flat_profile_is_a_constant_rate() -> None:
    """Written the other way."""
    one, other = bounds_of(plan(120.0), 15.0), bounds_of(plan((120.0,) * 24), 15.0)
    assert (one.mean_minutes, one.p95_minutes) == pytest.approx((other.mean_minutes, other.p95_minutes))
    assert one.margin_sigmas == pytest.approx(other.margin_sigmas)


def test_the_mean_is_the_sum_of_its_parts() -> None:
    """Half the recurrence for the gate, the load's half of it for those ahead, the start-up, and one's own file."""
    bounds = bounds_of(plan(120.0, 6.0, startup=30.0), 10.0)
    assert bounds.mean_minutes == pytest.approx(10 * (1 + 0.2) / 2 + 0.5 + 0.1)
    assert bounds.p95_minutes == pytest.approx(10 * (0.95 + 0.05 * 0.2) + 0.5 + 0.1, rel=1e-4)
    assert bounds.margin_sigmas == pytest.approx((600 - 120 - 30) / math.sqrt(20 * 36))


def test_load_and_slowness_are_factors() -> None:
    """As if the plan said so."""
    given = plan(60.0, spread(2.0, 6.0))
    assert bounds_of(given, 5.0, load=2.0).mean_minutes == pytest.approx(
        bounds_of(plan(120.0, spread(2.0, 6.0)), 5.0).mean_minutes or 0
    )
    one, other = bounds_of(given, 5.0, slower=3.0), bounds_of(plan(60.0, spread(6.0, 18.0)), 5.0)
    assert (one.mean_minutes, one.p95_minutes, one.margin_sigmas) == pytest.approx(
        (other.mean_minutes, other.p95_minutes, other.margin_sigmas)
    )


@pytest.mark.parametrize(
    ("given", "minutes", "why", "stable", "has_mean"),
    [
        (plan(1000.0, 4.0), 5.0, "files need 111% of the time: more comes than can be processed", False, False),
        (plan(60.0, 1.0, startup=60.0), 1.0, "runs need 102% of the recurrence on average: it cannot", True, False),
        (plan(OFFICE, 13.0), 15.0, "runs need 108% of the recurrence when most comes", True, True),
        (plan(OFFICE, 10.0), 15.0, "the load with start-up is 83%: above 50% one overrun", True, True),
        (plan(600.0, 4.0), 15.0, "the load with start-up is 67%", True, True),
        (plan(240.0, 7.0), 1.0, "only 2.3 standard deviations of a run's length fit", True, True),
        (plan(120.0, spread(1.0, 10.0)), 1.0, "in 0.4% of the runs a single file outlasts", True, True),
        (plan(120.0, 5.0, parallel=2), 5.0, "several files are processed at once", True, True),
    ],
)
def test_where_forms_need_not_hold_they_say_why(
    given: Plan, minutes: float, why: str, stable: bool, has_mean: bool
) -> None:
    """The gravest reason; a mean only where runs keep up on average."""
    bounds = bounds_of(given, minutes)
    assert not bounds.exact
    assert bounds.why is not None
    assert bounds.why.startswith(why)
    assert bounds.stable == stable
    assert (bounds.mean_minutes is not None) == (bounds.p95_minutes is not None) == has_mean


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(("given", "minutes"), [(plan(60.0, 4.0, startup=70.0), 1.0), (plan(480.0, 6.0, 30.0), 2.0)])
def test_starting_up_never_makes_a_queue_grow(given: Plan, minutes: float, at_once: bool) -> None:
    """It keeps a recurrence from being kept; runs then are longer and fewer, and the queue is as short as before."""
    bounds = bounds_of(given, minutes)
    assert bounds.stable
    assert bounds.mean_minutes is None
    assert bounds.why is not None
    assert "cannot be kept" in bounds.why
    waits = [simulated(replace(given, run=Run(days=days)), minutes, 3, at_once=at_once) for days in (5.0, 20.0)]
    assert waits[1].wait_minutes["p95"].value == pytest.approx(waits[0].wait_minutes["p95"].value, rel=0.05)


def test_above_half_load_a_recurrence_can_stay_overrun() -> None:
    """What the conditions warn of: at 75 % the mean is nearly twice that of the form, though the work is done.

    Where the next run starts at once instead, it is not.
    """
    given = plan(600.0, spread(4.0, 9.0), days=10.0)
    bounds = bounds_of(given, 5.0)
    assert bounds.stable
    assert not bounds.exact
    locked, healed = simulated(given, 5.0, 3), simulated(given, 5.0, 3, at_once=True)
    assert locked.utilisation == pytest.approx(healed.utilisation, rel=0.01)
    assert locked.wait_minutes["mean"].low > 1.8 * (bounds.mean_minutes or math.inf)
    assert healed.wait_minutes["mean"].high < 1.3 * (bounds.mean_minutes or 0)


@pytest.mark.parametrize("threads", [2, 4, 8])
def test_for_several_files_at_once_forms_are_a_little_too_long(threads: int) -> None:
    """A file starts when the first thread is free, so no later than if all had shared the work ahead evenly."""
    given = plan(600.0, spread(2.0, 5.0), parallel=threads)
    bounds, seen = bounds_of(given, 5.0), simulated(given, 5.0)
    for form, name in ((bounds.mean_minutes, "mean"), (bounds.p95_minutes, "p95")):
        assert form is not None
        assert seen.wait_minutes[name].low < form < 1.05 * seen.wait_minutes[name].value


def test_a_record_is_no_poisson_process(tmp_path: Path) -> None:
    """Its load is known, its waits are not."""
    rows = [f"2026-03-02T{hour:02}:{minute:02}:00" for hour in range(24) for minute in range(60)]
    (tmp_path / "trace.csv").write_text("\n".join(("timestamp", *rows)))
    given = Plan(Arrivals(trace="trace.csv"), Service(seconds=6.0), folder=tmp_path)
    bounds = bounds_of(given, 5.0)
    assert (bounds.stable, bounds.mean_minutes, bounds.exact) == (True, None, False)
    assert bounds.why is not None
    assert "played from a record" in bounds.why
    assert bounds.margin_sigmas == pytest.approx((300 - 30) / math.sqrt(5 * 36), rel=0.01)


def test_files_that_take_no_time_vary_by_nothing(tmp_path: Path) -> None:
    """As a table without fractions of seconds may tell."""
    rows = ["EnqueueDateTime,ProcessingStartedDateTime,ProcessingCompletedDateTime"]
    rows += [f"2026-03-02T08:0{minute}:00,2026-03-02T08:10:00,2026-03-02T08:10:00" for minute in range(3)]
    (tmp_path / "messages.csv").write_text("\n".join(rows))
    given = Plan(Arrivals(per_hour=60.0), Service(messages="messages.csv"), folder=tmp_path)
    bounds = bounds_of(given, 5.0)
    assert (bounds.exact, bounds.margin_sigmas) == (True, None)
    assert (bounds.mean_minutes, bounds.p95_minutes) == pytest.approx((2.5, 4.75), rel=1e-4)
    assert float(np.max(simulate(work_of(given, seed=1), Job(300.0)).waits)) <= 300
