"""What closed forms say of a recurrence: whether it keeps up, and how long messages wait when runs end in good time.

A message that comes so long after a tick waits for the next one, then for the start-up, then for those that came
between the tick and itself, then for its own processing. With Poisson arrivals the mean is a sum of four means,
whatever the service times are distributed like: at a constant rate half of T(1 + rho), the start-up and the service
time (batches of unlimited size at fixed intervals: Bailey, "On queueing processes with bulk service", 1954). That
holds as long as hardly any run outlasts its recurrence, and here is said when that is so.

Forms stand beside the simulation to check it; nothing is recommended from them.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from popreceipt.sizing.plan import Plan
from popreceipt.sizing.result import Bounds
from popreceipt.sizing.work import DAY, HOUR, MINUTE, Demand, Floats, demand_of

HEALS: Final = 0.5
"""Load (start-up included) up to which one overrun heals by itself.

A run that took what came in m periods lasts m times the load; above one half the run after two periods can again need
two, and so on up to 1/(1 - load) periods: the recurrence is longer than the one that was set, for good.
"""

RARE: Final = 4.0
"""Standard deviations between a run's mean length and the recurrence from which overruns are rare."""

LONG_FILES: Final = 1e-3
"""Files that outlast by themselves what a run leaves of the recurrence, for each run at most.

Of a distribution with a long tail the standard deviation does not tell.
"""


def bounds_of(plan: Plan, minutes: float, *, load: float = 1.0, slower: float = 1.0) -> Bounds:
    """Closed forms for a plan at a processing recurrence.

    Where several files are processed at once the waits are those of work that is shared out evenly, which is a little
    more than they are: a file starts when the first thread is free. The p95 takes what is ahead at its mean.

    Args:
        plan: what comes and how it is processed.
        minutes: the processing recurrence.
        load: arrivals times this.
        slower: service times times this.

    Raises:
        UsageError: a file of the plan cannot be used.
    """
    demand = demand_of(plan)
    every, threads, startup = minutes * MINUTE, plan.batch.parallel, plan.batch.startup_seconds
    service = demand.service * slower
    course = _course(demand, every, load, plan.run.days)
    busiest = float(course.of_runs.max())
    work = demand.rate * load * service / threads
    used = work + startup / every
    peak = (busiest * service / threads + startup) / every
    deviation = math.sqrt(busiest * demand.second) * slower / threads
    room = (1 - peak) * every
    margin = room / deviation if deviation else None
    long_files = busiest * demand.longer(room / slower)
    why = _why(demand, threads, (work, used, peak), margin, long_files)
    if not demand.poisson or used >= 1:
        # A run that takes longer takes more files for one start-up: what decides is the files' own time.
        return Bounds(work < 1, None, None, exact=False, margin_sigmas=margin, why=why)
    low, high, weight = course.waits(every, service / threads)
    mean = float(np.dot(weight, low + high)) / 2 + startup + service
    p95 = _quantile(low, high, weight, startup + demand.quantiles * slower)
    return Bounds(True, mean / MINUTE, p95 / MINUTE, exact=why is None, margin_sigmas=margin, why=why)


def _why(
    demand: Demand, threads: int, shares: tuple[float, float, float], margin: float | None, long_files: float
) -> str | None:
    """Which condition is not met, the gravest first."""
    work, used, peak = shares
    if work >= 1:
        return f"files need {work:.0%} of the time: more comes than can be processed"
    if used >= 1:
        return f"runs need {used:.0%} of the recurrence on average: it cannot be kept"
    if peak >= 1:
        return f"runs need {peak:.0%} of the recurrence when most comes"
    if not demand.poisson:
        return "arrivals are played from a record, and the forms are those of Poisson arrivals"
    if peak > HEALS:
        return f"the load with start-up is {peak:.0%}: above {HEALS:.0%} one overrun can make the next one"
    if margin is not None and margin < RARE:
        return f"only {margin:.1f} standard deviations of a run's length fit before the next tick, not {RARE:g}"
    if long_files > LONG_FILES:
        return f"in {long_files:.1%} of the runs a single file outlasts what the others leave of the recurrence"
    if threads > 1:
        return "several files are processed at once, and the forms share their work out evenly"
    return None


@dataclass(frozen=True, slots=True)
class _Course:
    """A time after which rates and ticks begin anew, in pieces in which the rate is one and no tick falls.

    Args:
        edges: of the pieces, in seconds.
        number: of messages that come in each piece, on average.
        run: the number of the run that takes them.
        of_runs: how many messages each run takes, on average.
    """

    edges: Floats
    number: Floats
    run: npt.NDArray[np.int64]
    of_runs: Floats

    def waits(self, every: float, each: float) -> tuple[Floats, Floats, Floats]:
        """For each piece the least and the most that is waited in it for those ahead, and its share of all messages.

        From the arrival to the start of one's own processing without start-up; each message ahead takes `each` seconds.
        """
        before = np.concatenate(((0.0,), np.cumsum(self.number)))
        before_run = np.concatenate(((0.0,), np.cumsum(self.of_runs)))[self.run]
        gate = (self.run + 1) * every
        first = gate - self.edges[:-1] + (before[:-1] - before_run) * each
        last = gate - self.edges[1:] + (before[1:] - before_run) * each
        # Pieces that are alike, as those of one hour, count as one.
        spans, place = np.unique(
            np.round(np.column_stack((np.minimum(first, last), np.maximum(first, last))), 6),
            axis=0,
            return_inverse=True,
        )
        weight: Floats = np.bincount(place.ravel(), weights=self.number / self.number.sum()).astype(np.float64)
        return spans[:, 0], spans[:, 1], weight


def _course(demand: Demand, every: float, load: float, days: float) -> _Course:
    rates = np.array(demand.rates) * load
    if len(rates) == 1:
        span = every
    elif DAY % every == 0:
        span = DAY
    else:
        span = max(1, round(days * DAY / every)) * every
    ticks: Floats = np.arange(round(span / every) + 1).astype(np.float64) * every
    edges: Floats = np.union1d(ticks, np.arange(0.0, span, HOUR)) if len(rates) > 1 else ticks
    middles = (edges[:-1] + edges[1:]) / 2
    number: Floats = rates[(middles // HOUR).astype(np.int64) % len(rates)] * np.diff(edges)
    run = (middles // every).astype(np.int64)
    of_runs: Floats = np.bincount(run, weights=number).astype(np.float64)
    return _Course(edges, number, run, of_runs)


def _quantile(low: Floats, high: Floats, weight: Floats, after: Floats, share: float = 0.95) -> float:
    """Of a mixture of uniform distributions to which one of equally likely values is added."""
    least, most = float(low.min() + after.min()), float(high.max() + after.max())
    width = np.maximum(high - low, 1e-9)
    while most - least > 1e-6 * most:
        middle = (least + most) / 2
        below = np.clip((middle - after[:, None] - low) / width, 0.0, 1.0) @ weight
        least, most = (middle, most) if below.mean() < share else (least, middle)
    return most
