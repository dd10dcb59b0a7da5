"""The answer to a plan, as values; how they are reached stands elsewhere, and so does how they are shown.

Waits are in minutes, from the end of the enqueue to the end of the processing; backlogs count messages that have come
and are not yet processed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import msgspec

from popreceipt.sizing.plan import Plan

FORMAT: Final = "popreceipt/sizing@1"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence interval (95 %)."""

    value: float
    low: float
    high: float


NOTHING: Final = Estimate(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What closed forms say of a recurrence; None where a form does not hold there.

    Args:
        stable: no more comes than can be processed; runs may outlast the recurrence all the same.
        mean_minutes: of the wait in a gated queue (Poisson arrivals, runs well inside the recurrence).
        p95_minutes: of the wait, under the same conditions.
        exact: whether the conditions are met, so that simulation has to agree.
        margin_sigmas: how many standard deviations of a run's length fit between its mean and the recurrence.
        why: in words, which condition is not met.
    """

    stable: bool
    mean_minutes: float | None
    p95_minutes: float | None
    exact: bool
    margin_sigmas: float | None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One processing recurrence, simulated.

    `utilisation` is the share of the time that the batch threads work (start-up included); `overruns` the share of
    runs that outlasted the recurrence. `density` is the histogram of waits (edges in minutes, shares); `day` the mean
    and the 95th percentile of the backlog for each quarter of an hour of the day. `safe` says, of what
    meets the objective, whether it also does after an hour of standstill, and with a tenth more arrivals where runs
    outlast the recurrence; `why`, in words, what speaks against setting it.
    """

    processing_minutes: float
    stable: bool
    utilisation: float
    wait_minutes: Mapping[str, Estimate]  # mean, p50, p95, p99, longest
    backlog: Mapping[str, Estimate]  # mean, max
    meets_objective: bool
    bounds: Bounds
    overruns: float
    density: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    day: tuple[tuple[float, float], ...] = ()
    safe: bool = True
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Margin:
    """What a recommendation bears.

    Args:
        load_factor: the arrivals may grow by this factor before the objective is missed.
        service_factor: service times may.
        breaks_first: in words: what fails first as load grows, and at which factor.
        doubled: the wait's p95 in minutes when arrivals double; None when it never settles.
        outage_drain_minutes: how long an hour of standstill takes to be worked off; None when never.
        overruns_factor: of the arrivals, from which on more than one run in a hundred outlasts the recurrence.
        unstable_factor: from which on more comes than can be processed.
        consumers_factor: from which on the consumers of exports get more than they can fetch; None without any.
        at_most: the factors were not looked for beyond this; a factor that reads so is at least that.
    """

    load_factor: float
    service_factor: float
    breaks_first: str
    doubled: float | None
    outage_drain_minutes: float | None
    overruns_factor: float | None = None
    unstable_factor: float | None = None
    consumers_factor: float | None = None
    at_most: float = 100.0


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The monitoring recurrence: the longest that still shows an overload before the objective is missed.

    `alarm_waiting` is the queue's depth above which a sample is an alarm; `false_alarms_a_month` what that costs on an
    ordinary day; `tried` tells for each candidate in minutes whether it showed the overload in time.

    Args:
        minutes: the monitoring recurrence to set; None where no candidate shows the overload in time.
        shortest_minutes: what is shorter shows the overload hardly sooner, by a minute or a tenth of the delay.
        overload_factor: by which the arrivals grow in the overload.
        missed_minutes: from there to the objective missed, in half of the trials; None where it was missed in fewer.
        shown: for each candidate, the share of trials in which it showed the overload in time.
        delays: for each candidate, the minutes from the overload's beginning to the alarm in half of the trials;
            infinite where it came in fewer.
        alarms: for each candidate, the depth that is its alarm.
    """

    minutes: float | None
    alarm_waiting: float
    false_alarms_a_month: float
    tried: Mapping[float, bool]
    why: str
    shortest_minutes: float | None = None
    overload_factor: float | None = None
    missed_minutes: float | None = None
    shown: Mapping[float, float] = field(default_factory=dict)
    delays: Mapping[float, float] = field(default_factory=dict)
    alarms: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """The export's side: what the half hour does to a consumer's habits.

    Args:
        redelivery_rate: the probability that a message is offered again before it is acknowledged.
        redeliveries_a_day: how many deliveries beyond a message's first these consumers ask for themselves.
        safe_prefetch: messages that one consumer may dequeue before it handles the first, at a chance of less than
            one in a thousand that any of them comes back.
        consumers_needed: that keep up with what is produced.
        drain_minutes: after an outage of all consumers, until the queue is empty again; None when never.
        hold_minutes: percentiles of the time from dequeue to acknowledgment: p50, p95, p99, longest.
        density: histogram of that time, edges in minutes and shares.
        delivered_again: the probability that a message is in fact delivered more than once. It is less than the
            redelivery rate where nobody asks between the end of the half hour and the late acknowledgment.
        outlasting: the probability that download and handling of one file by themselves outlast the half hour.
        batch_outlasting: the probability that any comes back of as many as are dequeued at once (`prefetch`).
        utilisation: the share of the time that consumers work; from 1 on they fall behind.
        wait_minutes: from the enqueue to the acknowledgment that counted: mean, p50, p95, p99, longest.
        messages: how many of them the figures rest on.
        method: how the figures were reached.
    """

    redelivery_rate: Estimate
    redeliveries_a_day: float
    safe_prefetch: int
    consumers_needed: int
    drain_minutes: float | None
    hold_minutes: Mapping[str, float]
    density: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    delivered_again: Estimate = NOTHING
    outlasting: float = 0.0
    batch_outlasting: float = 0.0
    utilisation: float = 0.0
    wait_minutes: Mapping[str, float] = field(default_factory=dict)
    messages: int = 0
    method: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure that was predicted beside the one that was observed (in the emulator, or in a recorded table)."""

    what: str
    predicted: float
    observed: float
    unit: str
    allowed: float | None
    within: bool | None


@dataclass(frozen=True, slots=True)
class Sizing:
    """The answer: every candidate, the one to set (None when none meets the objective), and why."""

    plan: Plan
    candidates: tuple[Candidate, ...]
    recommended: Candidate | None
    monitoring: Monitoring | None
    margin: Margin | None
    lease: Lease | None
    method: str
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    compared: tuple[Compared, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Of the arrivals: how many, their rate over the day, how long they were simulated."""

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it, format `popreceipt/sizing@1`: nothing in it is infinite or no number.

        Figures with a confidence interval are plain numbers; the intervals (low, high) stand beside them under the name
        `…_intervals`, or `…_interval` where there is one figure only.
        """
        recommended: dict[str, Any] | None = None
        if self.recommended is not None:
            recommended = {
                "processing_minutes": self.recommended.processing_minutes,
                "monitoring_minutes": None if self.monitoring is None else self.monitoring.minutes,
            }
        whole = {
            "format": FORMAT,
            "recommended": recommended,
            "reasons": self.reasons,
            "warnings": self.warnings,
            "candidates": [_candidate(each) for each in self.candidates],
            "margin": self.margin,
            "monitoring": None if self.monitoring is None else _monitoring(self.monitoring),
            "lease": None if self.lease is None else _lease(self.lease),
            "compared": self.compared,
            "figures": self.figures,
            "method": self.method,
            "plan": {
                name: part for name, part in msgspec.structs.asdict(self.plan).items() if not isinstance(part, Path)
            },
        }
        plain: dict[str, Any] = _finite(msgspec.to_builtins(whole))
        return plain


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return _fields(candidate) | {
        "wait_minutes": _values(candidate.wait_minutes),
        "wait_intervals": _intervals(candidate.wait_minutes),
        "backlog": _values(candidate.backlog),
        "backlog_intervals": _intervals(candidate.backlog),
        "density": _density(candidate.density),
    }


def _lease(lease: Lease) -> dict[str, Any]:
    return _fields(lease) | {
        "redelivery_rate": lease.redelivery_rate.value,
        "redelivery_rate_interval": (lease.redelivery_rate.low, lease.redelivery_rate.high),
        "delivered_again": lease.delivered_again.value,
        "delivered_again_interval": (lease.delivered_again.low, lease.delivered_again.high),
        "density": _density(lease.density),
    }


def _monitoring(monitoring: Monitoring) -> dict[str, Any]:
    by_candidate = ("tried", "shown", "delays", "alarms")
    return {name: value for name, value in _fields(monitoring).items() if name not in by_candidate} | {
        "tried": [
            {
                "monitoring_minutes": minutes,
                "in_time": in_time,
                "shown": monitoring.shown.get(minutes),
                "delay_minutes": monitoring.delays.get(minutes),
                "alarm_waiting": monitoring.alarms.get(minutes),
            }
            for minutes, in_time in monitoring.tried.items()
        ]
    }


def _fields(value: Candidate | Lease | Monitoring) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _values(figures: Mapping[str, Estimate]) -> dict[str, float]:
    return {name: estimate.value for name, estimate in figures.items()}


def _intervals(figures: Mapping[str, Estimate]) -> dict[str, tuple[float, float]]:
    return {name: (estimate.low, estimate.high) for name, estimate in figures.items()}


def _density(density: tuple[tuple[float, ...], tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    return {"edges_minutes": density[0], "shares": density[1]}


def _finite(value: Any) -> Any:
    """The same without what JSON has no number for: null stands in its place."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
