"""The export's side: what the half hour of a lease does to consumers with given habits.

The chances of one file or one batch outlasting it are computed; how often messages come back, how long they are held
and how an outage is made up for is walked through, poll by poll. Which habits are the consumers' is in the plan.
"""

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from popreceipt.sizing import outlasting
from popreceipt.sizing.consumers import Habits, Walked, walk
from popreceipt.sizing.hours import busiest_hours, hourly
from popreceipt.sizing.plan import Arrivals, Export, Plan
from popreceipt.sizing.result import Estimate, Lease
from popreceipt.sizing.statistics import REPLICATIONS
from popreceipt.sizing.wording import brief
from popreceipt.sizing.work import DAY, HOUR, MINUTE, Floats, Work, demand_of, drawn, record_of, work_of

MESSAGES: Final = 500_000
"""After so many the figures are sharp enough: a longer plan is walked through up to there."""

USUAL: Final = 4
"""Where more consumers are there, fewer messages are walked through."""

BLOCKS: Final = 30
"""Equal parts of the time, as which deliveries are looked at to tell how sure a share is.

Messages come back in bouts, when a queue has built up: those of one bout tell one another's story, over many polls.
"""

OUTAGES: Final = 15
"""So many are walked through, each on a day of its own; the one in the middle is told."""

BINS: Final = 80

_Z: Final = NormalDist().inv_cdf(0.975)

_CHUNK: Final = 1 << 14


def lease(plan: Plan, export: Export, work: Work, *, tell: Callable[[], None] = lambda: None) -> Lease:
    """What becomes of the messages that consumers fetch.

    Args:
        plan: of which `export` is the lease side.
        export: the consumers' habits.
        work: the plan's own arrivals, used where they are played from a record. Others are drawn for all replications
            of the plan in one piece: what comes back is rare, and comes in bouts.
        tell: called when the walk is done, before the outages.
    """
    arrivals = plan.arrivals if export.per_hour is None else Arrivals(per_hour=export.per_hour)
    # Each message may wake everybody who has nothing to do.
    most = MESSAGES // max(1, export.consumers // USUAL)
    produced = msgspec.structs.replace(plan, arrivals=arrivals)
    if record_of(produced) is None:
        enough = 1.1 * most / (demand_of(produced).rate * DAY)
        days = min(plan.run.days * REPLICATIONS, enough if arrivals.profile is None else max(1.0, enough))
        work = work_of(produced, seed=plan.run.seed, days=days)
    arrived, until = work.arrived, work.horizon
    if len(arrived) > most:
        arrived, until = arrived[:most], float(arrived[most])
    walked = walk(arrived, _habits(export), _times(export, plan.run.seed), until=until)
    tell()
    first = np.unique(walked.message, return_index=True)[1]
    again = np.bincount(walked.message, minlength=1) > 1
    blocks = (walked.dequeued[first] // (until / BLOCKS)).astype(np.int64)
    each = outlasting.mean(export.transfer_seconds) + outlasting.mean(export.handling_seconds)
    seconds_a_message = each * (len(walked.message) / len(first) if len(first) else 1.0)
    rates = hourly(arrivals, work)
    utilisation = len(arrived) / until * seconds_a_message / export.consumers
    begins = [each for each in busiest_hours(rates, work, until / 2) if each >= HOUR][:OUTAGES] or [until / 4]
    return Lease(
        redelivery_rate=share(walked.comes_back[first], walked.batch[first], blocks),
        redeliveries_a_day=(len(walked.message) - len(first)) / until * DAY,
        safe_prefetch=outlasting.most(export.transfer_seconds, export.handling_seconds),
        consumers_needed=math.floor(max(rates) / HOUR * seconds_a_message) + 1,
        drain_minutes=_drain(plan, export, arrived, until, begins) if utilisation < 1 else None,
        hold_minutes=_percentiles(walked.holds / MINUTE),
        density=_density(walked.holds / MINUTE),
        delivered_again=share(again[walked.message[first]], walked.batch[first], blocks),
        outlasting=outlasting.chance(export.transfer_seconds, export.handling_seconds),
        batch_outlasting=outlasting.chance(export.transfer_seconds, export.handling_seconds, export.prefetch),
        utilisation=utilisation,
        wait_minutes=_waits(arrived, walked),
        messages=len(first),
        method=(
            f"{len(first):,} messages of {brief(until / DAY)} days walked through, poll by poll; the interval of the "
            "redelivery rate is Wilson's, for as many independent messages as those of one thirtieth of that time are "
            "worth; the safe prefetch and the chance of outlasting the half hour are computed, not drawn; the outage "
            "begins in the busiest hour, and who held messages then loses them to the end of their leases. A late "
            "acknowledgment is taken to count as long as nobody has dequeued the message again."
        ),
    )


def share(
    hits: npt.NDArray[np.bool_], batches: npt.NDArray[np.int64], blocks: npt.NDArray[np.int64] | None = None
) -> Estimate:
    """A share with its confidence interval (95 %, Wilson), when members of one batch are not independent.

    Args:
        hits: for each member, whether it counts.
        batches: for each member, the number of its batch, ascending.
        blocks: the same of larger parts, where batches are not independent of one another either. Where all members
            are alike, batches alone tell how many there are.
    """
    count = len(hits)
    if not count:
        return Estimate(0.0, 0.0, 1.0)
    value = float(hits.mean())
    sizes = np.unique(batches, return_counts=True)[1]
    worth = float(len(sizes))
    if 0 < value < 1:
        sizes = np.unique(batches if blocks is None else blocks, return_counts=True)[1]
        sums = np.add.reduceat(hits.astype(np.float64), np.cumsum(sizes) - sizes)
        inflated = float(((sums - value * sizes) ** 2).sum()) / (count * value * (1 - value))
        worth = count / max(1.0, inflated)
    centre = (value + _Z**2 / (2 * worth)) / (1 + _Z**2 / worth)
    reach = _Z / (1 + _Z**2 / worth) * math.sqrt(value * (1 - value) / worth + _Z**2 / (4 * worth**2))
    return Estimate(value, max(0.0, min(value, centre - reach)), min(1.0, max(value, centre + reach)))


def _habits(export: Export) -> Habits:
    return Habits(export.poll_minutes * MINUTE, export.consumers, export.prefetch)


def _times(export: Export, *seed: int) -> Iterator[float]:
    """Seconds that deliveries take, one after the other, without end."""
    rng = np.random.default_rng((*seed, 0x1EA5E))
    while True:
        yield from (drawn(export.transfer_seconds, _CHUNK, rng) + drawn(export.handling_seconds, _CHUNK, rng)).tolist()


def _drain(plan: Plan, export: Export, arrived: Floats, until: float, begins: list[float]) -> float | None:
    """Minutes after an outage until a poll finds nothing and all that was fetched before is handled.

    The middle one of several; None when the plan's time is over before.
    """
    down = export.outage_minutes * MINUTE
    drains = []
    for number, begin in enumerate(begins):
        lead = min(begin, DAY)
        rest = arrived[np.searchsorted(arrived, begin - lead) :] - (begin - lead)
        walked = walk(
            rest,
            _habits(export),
            _times(export, plan.run.seed, number),
            until=until - begin + lead,
            outage=(lead, lead + down),
            to_empty=True,
        )
        if walked.empty_at is None:
            drains.append(math.inf)
        else:
            kept = walked.acknowledged[walked.acknowledged < math.inf]
            ended = max(walked.empty_at, float(kept.max(initial=0.0)))
            drains.append((ended - lead - down) / MINUTE)
    middle = sorted(drains)[len(drains) // 2]
    return middle if middle < math.inf else None


def _percentiles(minutes: Floats) -> dict[str, float]:
    if not len(minutes):
        return dict.fromkeys(("mean", "p50", "p95", "p99", "longest"), 0.0)
    p50, p95, p99, longest = np.percentile(minutes, (50, 95, 99, 100)).tolist()
    return {"mean": float(minutes.mean()), "p50": p50, "p95": p95, "p99": p99, "longest": longest}


def _waits(arrived: Floats, walked: Walked) -> dict[str, float]:
    """From the enqueue to the last delivery's acknowledgment, of those that were delivered."""
    ended = np.full(len(arrived), np.nan)
    ended[walked.message] = walked.acknowledged  # of several deliveries the last one stays
    waits = (ended - arrived) / MINUTE
    return _percentiles(waits[~np.isnan(waits)])


def _density(minutes: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not len(minutes):
        return ((), ())
    counts, edges = np.histogram(minutes, BINS, (0.0, max(float(minutes.max()), 1e-9)))
    return tuple(edges.tolist()), tuple((counts / len(minutes)).tolist())
