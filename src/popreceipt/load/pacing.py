"""When arrivals are due: for each shape of load, in real seconds from the run's start, the same for the same seed.

Pure: it waits for nothing and sends nothing. Random shapes are Poisson processes given their number: as many arrivals
as the plan's rate makes, each at an instant of its own, so that chance decides when and never how many. They are dealt
out, and each of N workers draws the instants of its Nth; the union is a process of the same kind.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, expm1, log1p, sqrt
from random import Random
from typing import Final

from popreceipt.load.plan import LoadPlan

ENQUEUED: Final = "enqueued"
PRODUCED: Final = "produced"

WORKING_DAY: Final = (
    *(0.35, 0.7, 0.95, 1.0, 0.9, 0.6, 0.8, 0.95, 0.9, 0.7, 0.45, 0.25),
    *(0.15, 0.1, 0.1, 0.1, 0.25, 0.4, 0.3, 0.1, 0.05, 0.05, 0.1, 0.2),
)
"""The hours of a working day as shares of its peak, from seven in the morning: two humps around the lunch hour, little
in the evening, a nightly batch after eleven."""

AWAITED_SECONDS: Final = 60.0
"""The longest recurrence, in real seconds, whose first tick is waited for."""

_HOUR: Final = 3_600.0
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival.

    Args:
        at: real seconds from the run's start.
        activity: which of the plan's activities it is for, from 0.
        number: counts the worker's arrivals of this stream, from 0.
    """

    at: float
    activity: int
    number: int


def arrivals(plan: LoadPlan, stream: str, *, rate: float, worker: int = 0, workers: int = 1) -> Iterator[Arrival]:
    """The arrivals of one worker, in order; they end with the plan's minutes.

    Args:
        plan: says how many, how spread, for how many activities.
        stream: what arrives; different streams of one plan are drawn independently.
        rate: the target's seconds in a real one.
        worker: which of the workers, from 0.
        workers: how many share the load.
    """
    chance = Random(f"popreceipt/load/{plan.seed}/{stream}/{worker}/{workers}")  # noqa: S311 - arrivals, not secrets
    instants = _at_ticks(plan, worker, workers) if plan.shape == "ticks" else _at_random(plan, chance, worker, workers)
    for number, at in enumerate(instants):
        yield Arrival(at / rate, chance.randrange(plan.activities), number)


def expected(plan: LoadPlan, minutes: float | None = None) -> float:
    """How many arrivals a plan has up to so many minutes of the target's time: on average, of all of it exactly."""
    seconds = (plan.minutes if minutes is None else min(minutes, plan.minutes)) * _MINUTE
    if plan.shape == "ticks":
        return plan.per_hour / _HOUR * plan.processing_minutes * _MINUTE * _ticks(plan, seconds)
    return _course(plan).until(seconds) * plan.per_hour / _HOUR


def first_tick(plan: LoadPlan, start: float, rate: float) -> float:
    """When a run begins that could begin at `start`, in real seconds from an instant at which its jobs have a tick.

    In the shape `ticks` that is the jobs' next tick, or a moment later: else it would hang on how long the generator
    took to start how long everything waits for its run. A tick that is far off in real time is not waited for.
    """
    period = plan.processing_minutes * _MINUTE / rate
    return ceil(start / period) * period if plan.shape == "ticks" and period <= AWAITED_SECONDS else start


def outage(plan: LoadPlan) -> tuple[float, float] | None:
    """When consumers are away, in minutes of the target's time from the start; None when they never are."""
    if plan.shape != "outage":
        return None
    begins = plan.minutes / 3
    return begins, begins + plan.outage_minutes


# At random: evenly spread over the load that there is, which is stretched over the time


@dataclass(frozen=True, slots=True)
class _Course:
    """How much load there has been until an instant, in seconds at the full rate, and the other way round."""

    until: Callable[[float], float]
    when: Callable[[float], float]


def _at_random(plan: LoadPlan, chance: Random, worker: int, workers: int) -> Iterator[float]:
    """Instants in order, drawn one after the other: the smallest of those that are left, then that of the rest."""
    horizon = plan.minutes * _MINUTE
    course = _course(plan)
    all_of_it = course.until(horizon)
    load, left = 0.0, len(range(worker, round(expected(plan)), workers))
    while left:
        # Of so many that are evenly spread over what is left, the earliest comes after this share of it.
        load += (all_of_it - load) * -expm1(log1p(-chance.random()) / left)
        yield min(course.when(load), horizon)
        left -= 1


def _course(plan: LoadPlan) -> _Course:
    if plan.shape == "business-day":
        return _by_hours(WORKING_DAY)
    if plan.shape == "ramp":
        length = plan.minutes * _MINUTE
        return _Course(lambda at: at * at / (2 * length), lambda load: sqrt(2 * length * load))
    return _Course(lambda at: at, lambda load: load)


def _by_hours(shares: Sequence[float]) -> _Course:
    sums = [0.0, *accumulate(share * _HOUR for share in shares)]
    day, length = sums[-1], len(shares) * _HOUR

    def until(at: float) -> float:
        days, rest = divmod(at, length)
        hour = min(int(rest // _HOUR), len(shares) - 1)
        return days * day + sums[hour] + shares[hour] * (rest - hour * _HOUR)

    def when(load: float) -> float:
        days, rest = divmod(load, day)
        hour = min(bisect_right(sums, rest) - 1, len(shares) - 1)
        return days * length + hour * _HOUR + (rest - sums[hour]) / shares[hour]

    return _Course(until, when)


# Ticks: all that comes in a recurrence comes at its tick, and is dealt out to the workers


def _at_ticks(plan: LoadPlan, worker: int, workers: int) -> Iterator[float]:
    period = plan.processing_minutes * _MINUTE
    of_a_tick = plan.per_hour / _HOUR * period
    for tick in range(_ticks(plan, plan.minutes * _MINUTE)):
        first, beyond = round(of_a_tick * tick), round(of_a_tick * (tick + 1))
        for _ in range(first + (worker - first) % workers, beyond, workers):
            yield tick * period


def _ticks(plan: LoadPlan, seconds: float) -> int:
    """How many ticks there are before so many seconds; the first is the start itself."""
    period = plan.processing_minutes * _MINUTE
    whole, rest = divmod(seconds, period)
    return int(whole) + (rest > 0)
