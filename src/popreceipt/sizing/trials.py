"""Short trials of a plan as it might be: with more load, slower files, more threads, an hour of standstill.

All trials of one plan draw from the same seed, so that what differs between two of them is what was changed. They are
shorter than the plan where many messages come, and longer where few do, so that figures are as sharp in all of them;
what is recommended is simulated in full elsewhere.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from popreceipt.sizing.bounds import HEALS
from popreceipt.sizing.hours import busiest_hours, hourly
from popreceipt.sizing.plan import Objective, Plan
from popreceipt.sizing.result import Estimate
from popreceipt.sizing.simulation import PUNCTUAL, Job, Simulated, simulate
from popreceipt.sizing.statistics import observe
from popreceipt.sizing.work import DAY, HOUR, MINUTE, Work, demand_of, record_of, seeds, work_of

MESSAGES: Final = 60_000
"""That a trial is made of, where no more are needed for a whole day or for so many recurrences."""

MOST: Final = 1_000_000
"""That a trial is made of at most, where so many come in a day and as many recurrences do not take longer."""

RUNS: Final = 100

STANDSTILL: Final = HOUR
"""Seconds without any run: the outage after which a recurrence has to find its way back."""

LONG: Final = 5
"""Days around a standstill."""

STRETCHES: Final = 9
"""Standstills that are tried, each on work of its own; the middle one is told."""


def job_of(plan: Plan, minutes: float) -> Job:
    """A plan's batch job at a processing recurrence."""
    batch = plan.batch
    return Job(minutes * MINUTE, batch.parallel, batch.startup_seconds, batch.after_overrun == "at-once")


def limits(objective: Objective) -> dict[str, float]:
    """What an objective limits, by the names of the waits, in minutes."""
    return {
        name.removesuffix("_minutes"): limit
        for name, limit in msgspec.structs.asdict(objective).items()
        if limit is not None
    }


def kept(objective: Objective, wait_minutes: Mapping[str, float]) -> bool:
    """Whether waits keep every limit of an objective."""
    return all(wait_minutes[name] <= limit for name, limit in limits(objective).items())


def surely_kept(objective: Objective, wait_minutes: Mapping[str, Estimate]) -> bool:
    """The same by the upper ends of the confidence intervals."""
    return kept(objective, {name: each.high for name, each in wait_minutes.items()})


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a trial: waits in minutes, the share of runs that outlasted the recurrence."""

    wait_minutes: Mapping[str, float]
    overruns: float


class Trials:
    """Trials of one plan, each made once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._demand = demand_of(plan)
        self._made: dict[tuple[float, float, float], Trial | None] = {}
        self._seeds = seeds(plan, STRETCHES)

    @property
    def capacity(self) -> float:
        """The factor of the load, or of the service times, at which files need all of the time.

        Start-up does not count: the longer runs are, the fewer there are, so that it never makes a queue grow.
        """
        used = self._demand.rate * self._demand.service / self._plan.batch.parallel
        return 1 / used if used else math.inf

    def at(self, minutes: float, *, load: float = 1.0, slower: float = 1.0) -> Trial | None:
        """A trial at a recurrence; None where more comes than can be processed."""
        key = (minutes, load, slower)
        if key not in self._made:
            self._made[key] = self._tried(*key)
        return self._made[key]

    def keeps(self, minutes: float, *, load: float = 1.0, slower: float = 1.0) -> bool:
        """Whether the objective is kept in a trial."""
        trial = self.at(minutes, load=load, slower=slower)
        return trial is not None and kept(self._plan.objective, trial.wait_minutes)

    def heals(self, minutes: float, *, slower: float = 1.0) -> bool:
        """Whether a recurrence that keeps the objective keeps it again from a day after a standstill on.

        Up to half load, and where a run that was missed is made up for at once, it always does. Where a record is over
        before, nothing speaks against it.
        """
        if self.capacity <= slower:
            return False
        batch = self._plan.batch
        work = self._long(minutes, self._seeds[0], slower)
        busiest = max(hourly(self._plan.arrivals, work)) / HOUR * self._demand.service * slower / batch.parallel
        if batch.after_overrun == "at-once" or busiest + batch.startup_seconds / (minutes * MINUTE) <= HEALS:
            return True
        begin = self._standstill(work)
        run = simulate(work, job_of(self._plan, minutes), pauses=[(begin, begin + STANDSTILL)])
        after = begin + STANDSTILL + min(DAY, work.horizon / 4)
        waits = run.waits[np.searchsorted(work.arrived, after) :] / MINUTE
        if not len(waits):
            return True
        p50, p95, p99, longest = np.percentile(waits, (50, 95, 99, 100)).tolist()
        figures = {"mean": float(waits.mean()), "p50": p50, "p95": p95, "p99": p99, "longest": longest}
        return kept(self._plan.objective, figures)

    def drain(self, minutes: float) -> float | None:
        """Minutes after a standstill until a run is as short as usual again; None when none is in time.

        That is one which ends within the recurrence, or is no longer than 95 of 100 without a standstill.
        """
        drains = sorted(self._drained(minutes, seed) for seed in self._seeds)
        middle = drains[len(drains) // 2]
        return middle if middle < math.inf else None

    def _tried(self, minutes: float, load: float, slower: float) -> Trial | None:
        if load * slower >= self.capacity:
            return None
        days = self._days(minutes, load, 1)
        if self._plan.objective.longest_minutes is not None:  # Which is the longer, the longer one waits for it.
            days = min(self._plan.run.days, days)
        if self._plan.arrivals.per_hour is not None:  # One hour is like another: what is dense need not fill a day.
            days = min(days, max(MOST / (self._demand.rate * load), RUNS * minutes * MINUTE) / DAY)
        work = work_of(self._plan, seed=self._seeds[0], load=load, slower=slower, days=days)
        seen = observe(simulate(work, job_of(self._plan, minutes)))
        return Trial(seen.wait_minutes, seen.overruns)

    def _drained(self, minutes: float, seed: int) -> float:
        work = self._long(minutes, seed)
        begin = self._standstill(work)
        job = job_of(self._plan, minutes)
        usual = simulate(work, job)
        short = max(job.every + PUNCTUAL, float(np.percentile(usual.run_ended - usual.run_started, 95)))
        run = simulate(work, job, pauses=[(begin, begin + STANDSTILL)])
        return drained(run, begin + STANDSTILL, short)

    def _long(self, minutes: float, seed: int, slower: float = 1.0) -> Work:
        """Work that shows what comes after a standstill, also where the plan has fewer days."""
        days = min(max(self._plan.run.days, LONG), self._days(minutes, 1.0, LONG))
        return work_of(self._plan, seed=seed, slower=slower, days=days)

    def _days(self, minutes: float, load: float, at_least: int) -> float:
        """Whole days that are enough; of a record all there are, for it has busy days and others."""
        if record_of(self._plan) is not None:
            return self._plan.run.days
        by_messages = MESSAGES / (self._demand.rate * load * DAY)
        return math.ceil(max(at_least, by_messages, RUNS * minutes * MINUTE / DAY))

    def _standstill(self, work: Work) -> float:
        """When it begins: in the busiest hour, and early enough that what follows can be seen."""
        hours = busiest_hours(hourly(self._plan.arrivals, work), work, work.horizon / 3)
        return next((each for each in hours if each >= HOUR), work.horizon / 8)


def drained(run: Simulated, end: float, short: float) -> float:
    """Minutes from the end of a standstill to that of the first run which is short again.

    Args:
        run: with the standstill.
        end: of the standstill, in seconds.
        short: such a run takes no more seconds than this.

    Returns:
        infinity when no run that starts before the arrivals end is as short.
    """
    after = (run.run_started >= end) & (run.run_started < run.work.horizon)
    fits = after & (run.run_ended - run.run_started <= short)
    if not fits.any():
        return math.inf if after.any() else 0.0
    return (float(run.run_ended[np.argmax(fits)]) - end) / MINUTE
