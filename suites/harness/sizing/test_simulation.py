"""A batch job walked run by run: against a reference that looks at every moment, and at the edges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from popreceipt.generate import sizing_speed
from popreceipt.sizing.simulation import PUNCTUAL, Job, Simulated, simulate, tick_at, tick_behind, ticks_behind
from popreceipt.sizing.work import Work

ALIKE = 1e-9


@dataclass
class Told:
    """What the reference says: of each message, and of each run that took any."""

    taken: list[float]
    started: list[float]
    completed: list[float]
    runs: list[tuple[float, float]]


def reference(
    arrived: Sequence[float], service: Sequence[float], job: Job, pauses: Sequence[tuple[float, float]]
) -> Told:
    """Moment by moment: at a tick a run falls due, and starts if it can; what cannot is left out, or made up for.

    Ticks, ends of runs and of pauses are looked at one after the other, and so is every message.
    """
    number = len(arrived)
    told = Told([math.nan] * number, [math.nan] * number, [math.nan] * number, [])
    waiting = list(range(number))
    due, now, busy_until, tick = False, -math.inf, -math.inf, 0
    while waiting:
        moments = (tick * job.every, busy_until, *(end for begin, end in pauses if begin < end))
        now = min(each for each in moments if each > now)
        if now == tick * job.every:
            due = True
            tick += 1
        if not due:
            continue
        if busy_until > now + PUNCTUAL or any(begin <= now < end for begin, end in pauses):
            due = job.at_once
            continue
        due = False
        taken = [each for each in waiting if arrived[each] < now]
        waiting = [each for each in waiting if arrived[each] >= now]
        free = [now + job.startup] * job.threads
        for each in taken:
            thread = free.index(min(free))
            told.taken[each], told.started[each] = now, free[thread]
            free[thread] += service[each]
            told.completed[each] = free[thread]
        if taken:
            busy_until = max(told.completed[each] for each in taken)
            told.runs.append((now, busy_until))
    return told


def work(arrived: Sequence[float], service: Sequence[float] | float, horizon: float | None = None) -> Work:
    """Work of these messages."""
    of_each = [service] * len(arrived) if isinstance(service, float | int) else service
    return Work(np.array(arrived, dtype=float), np.array(of_each, dtype=float), horizon or max(arrived, default=0) + 1)


def agree(one: Simulated, told: Told) -> None:
    """Every instant of every message and of every run."""
    for name in ("taken", "started", "completed"):
        np.testing.assert_allclose(getattr(one, name), getattr(told, name), rtol=0, atol=ALIKE)
    runs = np.array(told.runs).reshape(-1, 2)
    np.testing.assert_allclose(one.run_started, runs[:, 0], rtol=0, atol=ALIKE)
    np.testing.assert_allclose(one.run_ended, runs[:, 1], rtol=0, atol=ALIKE)


eighths = st.integers(0, 8 * 900).map(lambda number: number / 8)
instants = st.one_of(eighths, st.floats(0, 900, allow_nan=False))
durations = st.one_of(st.integers(0, 8 * 40).map(lambda number: number / 8), st.floats(1e-3, 40))
messages = st.lists(st.tuples(instants, durations), min_size=1, max_size=40)
jobs = st.builds(
    Job,
    every=st.one_of(st.sampled_from((7.5, 60.0, 300.0)), st.floats(1, 400)),
    threads=st.integers(1, 4),
    startup=st.one_of(st.just(0.0), st.sampled_from((0.5, 20.0, 60.0)), st.floats(1e-3, 100)),
    at_once=st.booleans(),
)
outages = st.lists(st.tuples(instants, durations.map(lambda seconds: 10 * seconds)), max_size=3).map(
    lambda spans: [(begin, begin + length) for begin, length in spans]
)


@settings(max_examples=250, deadline=None)
@given(given_messages=messages, job=jobs, pauses=st.one_of(st.just([]), outages))
@example(given_messages=[(0.0, 90.0), (65.0, 1.0), (100.0, 1.0)], job=Job(60.0), pauses=[])
@example(given_messages=[(0.0, 90.0), (65.0, 1.0), (100.0, 1.0)], job=Job(60.0, at_once=True), pauses=[])
@example(given_messages=[(390.0, 1.0)], job=Job(60.0, at_once=True), pauses=[(100.0, 400.0)])
@example(given_messages=[(0.0, 0.0)], job=Job(7.5, at_once=True), pauses=[(1e-6, 5.000001)])
@example(given_messages=[(0.0, 1.0)], job=Job(60.0), pauses=[(50.0, 60.0 + 5e-7)])
@example(given_messages=[(130.0, 1.0)], job=Job(60.0, at_once=True), pauses=[(100.0, 200.0), (150.0, 250.0)])
def test_it_is_what_a_look_at_every_moment_tells(
    given_messages: list[tuple[float, float]], job: Job, pauses: list[tuple[float, float]]
) -> None:
    """One file at a time or several, after an overrun at the next tick or at once, with outages and without."""
    given_messages.sort(key=lambda message: message[0])
    arrived, service = zip(*given_messages, strict=True)
    agree(simulate(work(arrived, service), job, pauses=pauses), reference(arrived, service, job, pauses))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8, 0.97, 1.3])
def test_what_is_skipped_over_is_as_if_walked(load: float) -> None:
    """Between overruns nothing is walked; that makes no difference, however many there are."""
    chance = np.random.default_rng(7)
    arrived = np.sort(chance.random(3000) * 9000)
    job = Job(60.0, startup=2.0)
    given_work = Work(arrived, chance.standard_exponential(3000) * 3 * load, 9000.0)
    told = reference(arrived.tolist(), given_work.service.tolist(), job, ())
    agree(simulate(given_work, job), told)
    # A pause that is over before anything comes lets the same job be walked run by run.
    agree(simulate(given_work, job, pauses=[(-2.0, -1.0)]), told)


@pytest.mark.parametrize("name", sizing_speed.JOBS)
def test_simpy_tells_the_same(name: str) -> None:
    """The batch job as a user of that library would write it, event by event."""
    job, load = sizing_speed.JOBS[name]
    given_work = sizing_speed.work_at(load, job, seed=3)
    arrived = given_work.arrived[:3000]
    given_work = Work(arrived, given_work.service[:3000], float(arrived[-1]) + 1)
    np.testing.assert_allclose(
        sizing_speed.by_walking(given_work, job), sizing_speed.by_events(given_work, job), rtol=0, atol=ALIKE
    )


def test_sums_stay_exact_over_years() -> None:
    """The last of a million messages ends when it should, not when a rounded running total says."""
    number = 1_000_000
    service = np.full(number, 0.1)
    arrived = np.arange(number) * 30.0
    seen = simulate(Work(arrived, service, number * 30.0), Job(3600.0))
    assert seen.run_ended[-1] - seen.run_started[-1] == pytest.approx(0.1 * (number % 120 or 120), abs=1e-7)
    assert float(np.max(np.abs(seen.completed - seen.started - 0.1))) < 1e-7


def test_what_comes_on_a_tick_waits_for_the_next() -> None:
    """At the very instant of a run it is too late for it; a moment before it is not."""
    seen = simulate(work([0.0, math.nextafter(60.0, 0), 60.0], 1.0), Job(60.0))
    assert seen.taken.tolist() == [60.0, 60.0, 120.0]


def test_a_run_that_ends_on_a_tick_has_not_outlasted_it() -> None:
    """Also where its end is a sum of tenths, which no computer has exactly."""
    burst = [float(each) / 1000 for each in range(600)]
    for job in (Job(60.0), Job(60.0, at_once=True), Job(60.0, threads=2)):
        seen = simulate(work([*burst, 70.0], 0.1 * job.threads), job)
        assert seen.run_started.tolist() == [60.0, 120.0]


def test_after_an_overrun_the_next_run_starts_at_the_following_tick_or_at_once() -> None:
    """Which of the two is the plan's to say."""
    arrived, service = [0.0, 61.0, 170.0, 181.0], [100.0, 1.0, 1.0, 1.0]
    seen = simulate(work(arrived, service), Job(60.0))
    assert seen.run_started.tolist() == [60.0, 180.0, 240.0]
    # At 160 the run of 120 is made up for; that of 180 is on time.
    at_once = simulate(work(arrived, service), Job(60.0, at_once=True))
    assert at_once.run_started.tolist() == [60.0, 160.0, 180.0, 240.0]


def test_several_missed_ticks_are_made_up_for_once() -> None:
    """What comes after that waits for the next tick like everything else."""
    seen = simulate(work([0.0, 310.0], [250.0, 1.0]), Job(60.0, at_once=True))
    assert seen.run_started.tolist() == [60.0, 360.0]


def test_ticks_without_messages_cost_nothing() -> None:
    """No run, and no start-up that would make a later one late."""
    seen = simulate(work([10.0, 86_399.0], 1.0), Job(60.0, startup=50.0))
    assert seen.run_started.tolist() == [60.0, 86_400.0]
    assert seen.waits.tolist() == [60.0 + 50.0 + 1.0 - 10.0, 1.0 + 50.0 + 1.0]


def test_files_at_once_share_the_work() -> None:
    """The first thread that is free takes the next file; the run ends with the last."""
    seen = simulate(work([0.0, 1.0, 2.0, 3.0], [10.0, 2.0, 3.0, 4.0]), Job(60.0, threads=2, startup=5.0))
    assert seen.started.tolist() == [65.0, 65.0, 67.0, 70.0]
    assert seen.run_ended.tolist() == [75.0]


def test_nothing_starts_in_an_outage() -> None:
    """What runs already goes on; then the next tick starts a run, or the end of the outage does."""
    arrived, service = [0.0, 70.0, 130.0], [20.0, 1.0, 1.0]
    seen = simulate(work(arrived, service), Job(60.0), pauses=[(65.0, 200.0)])
    assert seen.run_started.tolist() == [60.0, 240.0]
    assert seen.run_ended[0] == 80.0
    at_once = simulate(work(arrived, service), Job(60.0, at_once=True), pauses=[(65.0, 200.0)])
    assert at_once.run_started.tolist() == [60.0, 200.0]


def test_outages_that_touch_are_one() -> None:
    """And one without length is none."""
    seen = simulate(work([0.0], 1.0), Job(60.0), pauses=[(100.0, 130.0), (50.0, 100.0), (180.0, 180.0)])
    assert seen.run_started.tolist() == [180.0]


def test_an_outage_in_which_nothing_was_due_delays_nothing() -> None:
    """It ends before the tick that the message waits for anyway."""
    for at_once in (False, True):
        seen = simulate(work([65.0], 1.0), Job(60.0, at_once=at_once), pauses=[(70.0, 90.0)])
        assert seen.run_started.tolist() == [120.0]


def test_all_is_done_however_late() -> None:
    """With more work than time, runs go on after the horizon and grow."""
    seen = simulate(work([float(each) for each in range(600)], 2.0, 600.0), Job(60.0))
    assert seen.run_ended[-1] > 1200
    assert bool(np.all(np.diff(seen.run_started) > 0))
    assert len(seen.completed) == 600


def test_no_work_is_no_run() -> None:
    """Nothing came, so nothing became of it."""
    seen = simulate(Work(np.empty(0), np.empty(0), 60.0), Job(60.0))
    assert seen.waits.size == seen.run_started.size == 0


@given(st.floats(0, 1e8), st.floats(1e-2, 1e5))
@example(0.3, 0.1)
@example(0.7, 0.1)
@example(59.99999999999999, 20.0)
@example(1312.500001, 0.7)
@example(3.5000010000000006, 0.1)
@example(866.9999999999999, 1 / 3)
@example(2507.3999999999996, 0.7)
def test_ticks_are_found_exactly(instant: float, every: float) -> None:
    """However a quotient is rounded."""
    behind = tick_behind(instant, every)
    assert (behind - 1) * every <= instant < behind * every
    assert ticks_behind(np.array([instant]), every).tolist() == [behind]
    at = tick_at(instant, every)
    assert (at - 1) * every < instant - PUNCTUAL <= at * every
