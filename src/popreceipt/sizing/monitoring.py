"""The monitoring recurrence: the longest that still shows an overload before the objective is missed.

A sample tells how many messages have come and are not yet processed. Its alarm is the depth that ordinary samples
exceed once in thirty days. The overload sets in at once, in the busiest hour, with a quarter more than the load at
which the objective is first missed; a heavier one is seen sooner and misses the objective sooner, and the answer is
hardly another one. Trials tell how often a sample taken every so many minutes, from any minute on, exceeds its alarm
before the objective is missed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from popreceipt.sizing.hours import busiest_hours, hourly
from popreceipt.sizing.plan import Objective, Plan
from popreceipt.sizing.result import Monitoring
from popreceipt.sizing.simulation import Job, Simulated, simulate
from popreceipt.sizing.trials import job_of, limits
from popreceipt.sizing.wording import every
from popreceipt.sizing.work import DAY, HOUR, MINUTE, Floats, Work, demand_of, record_of, seeds, work_of

TRIED: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0, 480.0, 720.0, 1440.0)
"""Minutes of the monitoring recurrences that are tried."""

GROWTH: Final = 1.25
"""The overload, as a factor of the load at which the objective is first missed."""

SHOWN: Final = 0.95
"""Share of the trials in which an overload has to be shown in time."""

TRIALS: Final = 200

MONTH: Final = 30 * DAY

PHASES: Final = 8
"""Ordinary days are sampled from so many minutes on, spread over the interval."""

MESSAGES: Final = 600_000
"""Messages from which trials take their stretches, where that is enough."""

ORDINARY: Final = 5_000_000
"""Messages of the ordinary days; where they are dense, there are fewer of them than thirty."""

SIMULATED: Final = 2_000_000
"""Messages of all overloads together; where they are dense, there are fewer trials."""

FEWEST: Final = 40

LAST: Final = 100
"""A percentile is told of as many messages as come in the busiest hour, and of no fewer than these."""

LONGEST: Final = DAY
"""Seconds after which an overload that has not missed the objective is followed no further."""


def monitoring(plan: Plan, minutes: float, missed_at: float, *, tell: Callable[[], None] = lambda: None) -> Monitoring:
    """The monitoring recurrence for a processing recurrence.

    Args:
        plan: what comes, how it is processed, the objective.
        minutes: the processing recurrence that was recommended.
        missed_at: the factor of the load at which the objective is first missed.
        tell: called when ordinary days are sampled, before the trials.

    Returns:
        the answer; its `minutes` are None where no interval shows the overload in time.
    """
    job = job_of(plan, minutes)
    alarms, false = _alarms(_ordinary(plan, job))
    tell()
    factor = missed_at * GROWTH
    rng = np.random.default_rng((plan.run.seed, 0x0A1A12))
    trials = _trials(plan, job, factor, rng)
    phases = rng.random(len(trials))
    delays = {each: _delays(trials, each * MINUTE, alarms[each], phases) for each in TRIED}
    missed = np.array([trial.missed for trial in trials])
    shown = {each: float(np.mean((delays[each] <= missed) & (delays[each] < math.inf))) for each in TRIED}
    middle = {each: float(np.median(delays[each])) / MINUTE for each in TRIED}
    good = [each for each in TRIED if shown[each] >= SHOWN]
    best = max(good, default=None)
    soonest = min(middle.values())
    shortest = max((each for each in TRIED if middle[each] <= soonest + max(1.0, soonest / 10)), default=TRIED[0])
    missed_minutes = float(np.median(missed)) / MINUTE
    told = best if best is not None else shortest
    return Monitoring(
        minutes=best,
        alarm_waiting=alarms[told],
        false_alarms_a_month=false[told],
        tried={each: each in good for each in TRIED},
        why=_why(best, factor, shown, missed),
        shortest_minutes=shortest if best is None else min(shortest, best),
        overload_factor=factor,
        missed_minutes=missed_minutes if missed_minutes < math.inf else None,
        shown=shown,
        delays=middle,
        alarms=alarms,
    )


def _why(best: float | None, factor: float, shown: dict[float, float], missed: Floats) -> str:
    said = f"When arrivals grow at once to {factor:.3g} times what they are, the objective is missed "
    middle = float(np.median(missed)) / MINUTE
    if middle < math.inf:
        said += f"after {_minutes(middle)}"
    else:
        said += f"within a day only in {np.mean(missed < math.inf):.0%} of the trials"
    if best is None:
        nearest = max(TRIED, key=lambda each: (shown[each], each))
        return (
            f"{said}; whatever the interval, the depth has shown it by then in {_percent(shown[nearest])} of the "
            f"trials at most, sampled {every(nearest)}."
        )
    said += f"; sampled {every(best)}, the depth has shown it by then in {_percent(shown[best])} of the trials"
    longer = next((each for each in TRIED if each > best), None)
    return f"{said}." if longer is None else f"{said}, {every(longer)} in {_percent(shown[longer])}."


def _percent(part: float) -> str:
    """Never more than it is: what is just too little does not read as if it were enough."""
    return f"{math.floor(100 * part + 1e-9)}%"


def _minutes(value: float) -> str:
    return f"{value:.2g} minutes" if value < 10 else f"{value:,.0f} minutes"


# Ordinary days


def _ordinary(plan: Plan, job: Job) -> Simulated:
    """Thirty days as they are, or as many as there may be messages; of a record, all there are."""
    days = None
    if record_of(plan) is None:
        days = min(MONTH, max(DAY, ORDINARY / demand_of(plan).rate)) / DAY
    return simulate(work_of(plan, seed=seeds(plan, 1)[0], days=days), job)


def _alarms(run: Simulated) -> tuple[dict[float, float], dict[float, float]]:
    """For each interval, the least depth that ordinary samples exceed once a month at most, and how often they do."""
    depth = Depth(run)
    horizon = run.work.horizon
    alarms, false = {}, {}
    for each in TRIED:
        step = each * MINUTE
        instants = np.arange(0.0, horizon, step / PHASES)
        samples = np.sort(depth.at(instants))
        months = PHASES * horizon / MONTH
        allowed = math.floor(months)
        alarms[each] = float(samples[max(0, len(samples) - 1 - allowed)])
        false[each] = float(np.count_nonzero(samples > alarms[each])) / months
    return alarms, false


class Depth:
    """How many messages have come and are not yet processed, at any instant of a run."""

    def __init__(self, run: Simulated) -> None:
        self._arrived = run.work.arrived
        self._completed = np.sort(run.completed)

    def at(self, instants: Floats) -> Floats:
        """At these instants."""
        came = np.searchsorted(self._arrived, instants, side="right")
        gone = np.searchsorted(self._completed, instants, side="right")
        return (came - gone).astype(np.float64)


# Trials


@dataclass(frozen=True, slots=True)
class Overloaded:
    """One trial: an ordinary stretch, then the overload.

    Args:
        depth: of the queue.
        begins: when the overload does, in seconds.
        lasts: how long it was followed.
        missed: seconds from its beginning to the objective missed; infinite when it was not.
    """

    depth: Depth
    begins: float
    lasts: float
    missed: float


def _trials(plan: Plan, job: Job, factor: float, rng: np.random.Generator) -> list[Overloaded]:
    usual, more = (_stretched(plan, each, load) for each, load in zip(seeds(plan, 3)[1:], (1.0, factor), strict=True))
    rates = hourly(plan.arrivals, usual)
    last = max(LAST, round(max(rates)))
    patience = max(limits(plan.objective).values()) * MINUTE
    span = min(LONGEST, max(HOUR, 4 * (job.every + patience)))
    lead = max(2 * HOUR, 4 * job.every, last / max(rates) * HOUR)
    in_usual = _onsets(rates, usual, lead)
    in_more = in_usual if record_of(plan) is not None else _onsets(rates, more, 0.0)
    number = int(np.clip(SIMULATED / (max(rates) * factor * span / HOUR), FEWEST, TRIALS))
    made = []
    for each in range(number):
        # Anywhere in the busiest hour, and anywhere between two ticks.
        minute, shift = rng.uniform(0.0, HOUR), rng.uniform(0.0, job.every)
        before = in_usual[each % len(in_usual)] + minute
        after = in_more[each % len(in_more)] + minute
        begins = shift + min(lead, before)
        following = span
        while True:
            work = _joined(usual, before, more, after, begins - shift, following, shift)
            run = simulate(work, job)
            missed = _missed(run, begins, plan.objective, last)
            if missed < math.inf or following >= min(LONGEST, more.horizon - after):
                break
            following = min(2 * following, LONGEST)
        made.append(Overloaded(Depth(run), begins, min(following, more.horizon - after), missed))
    return made


def _stretched(plan: Plan, seed: int, load: float) -> Work:
    """Work that trials take their stretches from: a day for each, or as many as there may be messages."""
    days: float | None = None
    if record_of(plan) is None:
        daily = demand_of(plan).rate * load * DAY
        days = float(np.clip(MESSAGES / daily, min(2.0, SIMULATED / daily), TRIALS))
    return work_of(plan, seed=seed, load=load, days=days)


def _onsets(rates: tuple[float, ...], work: Work, lead: float) -> list[float]:
    """Beginnings of the busiest hours that have something before and behind them."""
    begin = [each for each in busiest_hours(rates, work, work.horizon - LONGEST) if each >= min(lead, DAY)]
    return begin or [max(0.0, work.horizon / 2 - HOUR)]


def _joined(usual: Work, before: float, more: Work, after: float, lead: float, following: float, shift: float) -> Work:
    """What came in the ordinary way up to an instant, then what comes in the overload; from `shift` on."""
    first = slice(*np.searchsorted(usual.arrived, (before - lead, before)))
    then = slice(*np.searchsorted(more.arrived, (after, after + following)))
    return Work(
        np.concatenate((usual.arrived[first] - before + lead, more.arrived[then] - after + lead)) + shift,
        np.concatenate((usual.service[first], more.service[then])),
        shift + lead + following,
    )


def _missed(run: Simulated, begins: float, objective: Objective, last: int) -> float:
    """Seconds from the overload's beginning until the latest messages no longer keep the objective.

    A message is late as soon as it has waited too long, not only when it is processed.
    """
    instants = [math.inf]
    arrived, waits = run.work.arrived, run.waits / MINUTE
    for name, limit in limits(objective).items():
        if name == "mean":
            missed = run.completed[(_of_last(waits, last) > limit * last) & (arrived >= begins)]
        else:
            allowed = {"p95": 0.05, "p99": 0.01, "longest": 0.0}[name] * last
            late = _of_last((waits > limit).astype(np.float64), last) > allowed
            missed = arrived[late & (arrived >= begins)] + limit * MINUTE
        instants.extend(missed[:1].tolist())
    return max(0.0, min(instants) - begins)


def _of_last(values: Floats, last: int) -> Floats:
    """For each place the sum of so many values up to it; of fewer where there are no more yet."""
    total = np.cumsum(values)
    total[last:] -= total[:-last].copy()
    return total


def _delays(trials: list[Overloaded], step: float, alarm: float, phases: Floats) -> Floats:
    """For each trial, seconds from the overload's beginning to the first sample above the alarm; infinite without.

    The first sample of each trial is taken after such a part of the step.
    """
    delays = np.full(len(trials), math.inf)
    for number, trial in enumerate(trials):
        instants = np.arange(phases[number] * step, trial.lasts, step)
        above = np.flatnonzero(trial.depth.at(trial.begins + instants) > alarm)
        if len(above):
            delays[number] = instants[above[0]]
    return delays
