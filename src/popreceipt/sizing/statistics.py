"""What simulated runs amount to: waits, backlogs, and how sure their figures are.

Intervals come from independent replications: the same plan with several seeds, each of them one sample of every
figure, and Student's t over the samples. Days of one long run would not do. Above half load a recurrence that was once
overrun may stay so (each run takes what came during the last one), and then its days tell one another's story; the
mean of quantiles that were found in many thousands of waits each is near enough to normal for t.

Times go in as seconds and come out as minutes. It draws nothing and simulates nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from popreceipt.sizing.result import Estimate
from popreceipt.sizing.simulation import PUNCTUAL, Simulated
from popreceipt.sizing.work import DAY, MINUTE, Floats

REPLICATIONS: Final = 10
"""How many replications an interval is made of: Student's t is 2.26 then, and 15 % shorter with twice as many."""

CONFIDENCE: Final = 0.95

WAITS: Final = ("mean", "p50", "p95", "p99", "longest")
BACKLOG: Final = ("mean", "max")

BINS: Final = 60
"""Bars of a histogram of waits."""

QUARTERS: Final = 96
SAMPLES: Final = 16
"""Samples of the backlog in each quarter of an hour; they fall on different places of every usual recurrence."""

MOST_DAYS: Final = 40
"""Days of one replication that are looked at so closely; of more than that, days evenly apart."""

_LEVELS: Final = np.linspace(0.0, 1.0, 1001)


@dataclass(frozen=True, slots=True)
class Replication:
    """The figures of one simulated run.

    Args:
        wait_minutes: its mean, p50, p95, p99 and longest.
        backlog: its mean over the time that the arrivals cover, and its maximum.
        utilisation: the share of the time until the last run's end that batch threads worked, start-up included.
        overruns: the share of runs that outlasted the recurrence.
        runs: how many took any message.
        messages: how many came.
        quantiles: of the waits, in minutes, at 1,001 shares from 0 to 1.
        day: samples of the backlog, a row for each quarter of an hour of the day; empty for less than a day.
    """

    wait_minutes: Mapping[str, float]
    backlog: Mapping[str, float]
    utilisation: float
    overruns: float
    runs: int
    messages: int
    quantiles: Floats
    day: Floats


@dataclass(frozen=True, slots=True)
class Summary:
    """What replications of one recurrence amount to; the members are those of `result.Candidate`."""

    wait_minutes: Mapping[str, Estimate]
    backlog: Mapping[str, Estimate]
    utilisation: float
    overruns: float
    density: tuple[tuple[float, ...], tuple[float, ...]]
    day: tuple[tuple[float, float], ...]


def observe(run: Simulated) -> Replication:
    """The figures of a run that had at least one message."""
    arrived = run.work.arrived
    horizon = run.work.horizon
    waits = np.sort(run.waits)
    completed = run.completed if run.job.threads == 1 else np.sort(run.completed)
    gone = np.searchsorted(completed, arrived, side="right")
    present = np.minimum(completed, horizon).sum() - arrived.sum()
    every, lasted = run.job.every, run.run_ended - run.run_started
    busy = run.work.service.sum() / run.job.threads + len(lasted) * run.job.startup
    quantiles = _quantiles(waits, _LEVELS)
    p50, p95, p99 = _quantiles(waits, np.array((0.5, 0.95, 0.99))).tolist()
    seconds = (float(waits.mean()), p50, p95, p99, float(waits[-1]))
    return Replication(
        wait_minutes={name: each / MINUTE for name, each in zip(WAITS, seconds, strict=True)},
        backlog={
            "mean": float(present) / horizon,
            "max": float(np.max(np.arange(1, len(arrived) + 1) - gone)),
        },
        utilisation=float(busy) / max(horizon, float(run.run_ended[-1])),
        overruns=float(np.mean(lasted > every + PUNCTUAL)),
        runs=len(lasted),
        messages=len(arrived),
        quantiles=quantiles / MINUTE,
        day=_day(run, completed),
    )


def summarise(replications: Sequence[Replication]) -> Summary:
    """Replications of one recurrence, drawn with different seeds, together."""
    days = [each.day for each in replications if each.day.size]
    together = np.concatenate(days, axis=1) if days else np.empty((0, 0))
    return Summary(
        wait_minutes={name: estimate([each.wait_minutes[name] for each in replications]) for name in WAITS},
        backlog={name: estimate([each.backlog[name] for each in replications]) for name in BACKLOG},
        utilisation=math.fsum(each.utilisation for each in replications) / len(replications),
        overruns=sum(each.overruns * each.runs for each in replications) / sum(each.runs for each in replications),
        density=_density([each.quantiles for each in replications]),
        day=tuple((float(each.mean()), float(np.quantile(each, 0.95))) for each in together),
    )


# How sure a figure is


def estimate(samples: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The mean of independent samples with its confidence interval, by Student's t.

    One sample tells nothing about how far off it is: its interval is unbounded.
    """
    number = len(samples)
    mean = math.fsum(samples) / number
    if number == 1:
        return Estimate(mean, -math.inf, math.inf)
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in samples) / (number - 1))
    half = students_t(number - 1, confidence) * deviation / math.sqrt(number)
    return Estimate(mean, mean - half, mean + half)


@lru_cache(maxsize=64)
def students_t(freedom: int, confidence: float) -> float:
    """What a share of Student's distribution with so many degrees of freedom lies within, on both sides of zero."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < confidence:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """The share between -t and t (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= math.cos(angle) ** 2 * power / (power + 1)
    together = math.sin(angle) * total
    return 2 / math.pi * (angle + together) if odd else together


# Distributions


def _quantiles(ascending: Floats, levels: Floats) -> Floats:
    """As numpy's quantile, of what is in order already."""
    places = levels * (len(ascending) - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, len(ascending) - 1)
    found: Floats = ascending[below] + (places - below) * (ascending[above] - ascending[below])
    return found


def _density(quantiles: Sequence[Floats]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A histogram of all waits together: edges in minutes, and the share between each two."""
    longest = max(float(each[-1]) for each in quantiles)
    edges = np.linspace(0.0, longest or 1.0, BINS + 1)
    below = np.mean([np.interp(edges, each, _LEVELS, left=0.0, right=1.0) for each in quantiles], axis=0)
    below[0] = 0.0
    shares = np.diff(below)
    return tuple(edges.tolist()), tuple(shares.tolist())


def _day(run: Simulated, completed: Floats) -> Floats:
    """Samples of the backlog for each quarter of an hour of the day, one row each."""
    step = DAY / QUARTERS / SAMPLES
    if run.work.horizon < DAY:
        return np.empty((0, 0))
    days = int(run.work.horizon // DAY)
    apart = math.ceil(days / MOST_DAYS)
    if apart % 7 == 0:  # Every weekday is to have its share.
        apart += 1
    of_day = step * (np.arange(QUARTERS * SAMPLES) + 0.5)
    instants = (DAY * np.arange(0, days, apart)[:, None] + of_day).ravel()
    backlog = np.searchsorted(run.work.arrived, instants) - np.searchsorted(completed, instants)
    # Wherever in the day the work begins: over whole days each quarter has as many samples.
    quarter = ((run.work.begins + instants) % DAY // (DAY / QUARTERS)).astype(np.int64)
    rows: Floats = backlog[np.argsort(quarter, kind="stable")].reshape(QUARTERS, -1).astype(np.float64)
    return rows
