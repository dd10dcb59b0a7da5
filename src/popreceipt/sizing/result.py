"""The answer to a plan, as values; how they are reached stands elsewhere, and so does how they are shown.

Waits are in minutes, from the end of the enqueue to the end of the processing; backlogs count messages that have come
and are not yet processed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from popreceipt.sizing.plan import Plan

FORMAT: Final = "popreceipt/sizing@1"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence interval (95 %)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """What closed forms say of a recurrence; None where a form does not hold there.

    Args:
        stable: each run ends, on average, within its recurrence.
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
    and the 95th percentile of the backlog for each quarter of an hour of the day.
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


@dataclass(frozen=True, slots=True)
class Margin:
    """What a recommendation bears.

    Args:
        load_factor: the arrivals may grow by this factor before the objective is missed.
        service_factor: service times may.
        breaks_first: in words: what fails first as load grows, and at which factor.
        doubled: the wait's p95 in minutes when arrivals double; None when it never settles.
        outage_drain_minutes: how long an hour of standstill takes to be worked off; None when never.
    """

    load_factor: float
    service_factor: float
    breaks_first: str
    doubled: float | None
    outage_drain_minutes: float | None


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The monitoring recurrence: the longest that still shows an overload before the objective is missed.

    `alarm_waiting` is the queue's depth above which a sample is an alarm; `false_alarms_a_month` what that costs on an
    ordinary day; `tried` tells for each candidate in minutes whether it showed the overload in time.
    """

    minutes: float
    alarm_waiting: float
    false_alarms_a_month: float
    tried: Mapping[float, bool]
    why: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The export's side: what the half hour does to a consumer's habits.

    Args:
        redelivery_rate: the probability that a message is offered again before it is acknowledged.
        redeliveries_a_day: how many that makes.
        safe_prefetch: messages that one consumer may dequeue before it handles the first, at a chance of less than
            one in a thousand that any of them comes back.
        consumers_needed: that keep up with what is produced.
        drain_minutes: after an outage of all consumers, until the queue is empty again; None when never.
        hold_minutes: percentiles of the time from dequeue to acknowledgment: p50, p95, p99, longest.
        density: histogram of that time, edges in minutes and shares.
    """

    redelivery_rate: Estimate
    redeliveries_a_day: float
    safe_prefetch: int
    consumers_needed: int
    drain_minutes: float | None
    hold_minutes: Mapping[str, float]
    density: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())


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
        """As `--json` writes it, format `popreceipt/sizing@1`."""
        raise NotImplementedError
