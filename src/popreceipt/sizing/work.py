"""What a batch job is given to do: instants of arrival and service times, drawn from a plan or taken as measured.

Arrivals and service times come from sources of chance of their own, so the same seed draws the same arrivals whatever
files take to process; and message number k takes as long under any load, so that what differs between two loads is the
load. It knows nothing of recurrences.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from popreceipt.exceptions import UsageError
from popreceipt.sizing import traces
from popreceipt.sizing.plan import LONGEST_DAYS, ManageMessages, Plan, Spread

Floats = npt.NDArray[np.float64]

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0

MOST: Final = 50_000_000
"""Messages that are drawn at once at most: some gigabytes."""

JITTER: Final = MINUTE
"""Seconds by which a repeated message of a trace comes after the original at most; and always before the next one."""

_P95: Final = NormalDist().inv_cdf(0.95)

_MIDDLES: Final = tuple((place + 0.5) / 200 for place in range(200))


@dataclass(frozen=True, slots=True)
class Work:
    """Arrivals in seconds from the plan's start, ascending, and as many service times in seconds.

    `horizon` is the length of the time they cover, in seconds: nothing arrives at it or after it. `begins` is the time
    of day of the plan's start, in seconds after midnight.
    """

    arrived: Floats
    service: Floats
    horizon: float
    begins: float = 0.0


def work_of(plan: Plan, *, seed: int, load: float = 1.0, slower: float = 1.0, days: float | None = None) -> Work:
    """Draw a plan's work.

    A trace and the like is played as it was recorded, from the full minute of its first message to that after its last
    one; it is cut where there are fewer days than that, and never lengthened.

    Args:
        plan: says what comes and how long it takes.
        seed: the same seed draws the same work; the first arrivals do not depend on `days`.
        load: arrivals times this. A trace is thinned, or messages of it are repeated with a little jitter.
        slower: service times times this.
        days: how much of it, instead of the plan's own days.

    Raises:
        UsageError: a file of the plan cannot be used, nothing arrives in that time, or more than fits in memory does.
    """
    sources = np.random.SeedSequence(seed).spawn(3)
    for_arrivals, for_service, for_load = (np.random.default_rng(each) for each in sources)
    span = (plan.run.days if days is None else days) * DAY
    record = record_of(plan)
    begins = 0.0
    if record is not None:
        span, begins = min(span, record.span), record.begins
        arrived = _at_load(record.arrived[: np.searchsorted(record.arrived, span)], span, load, for_load)
    else:
        arrived = _poisson(_hourly(plan), span, load, for_arrivals)
    if not len(arrived):
        raise UsageError(f"Nothing arrives in {span / DAY:.3g} days: simulate more of them.")
    return Work(arrived, _services(plan, len(arrived), for_service) * slower, span, begins)


def seeds(plan: Plan, number: int) -> tuple[int, ...]:
    """The seeds of so many independent replications of a plan; the first ones do not depend on how many there are."""
    return tuple(int(each) for each in np.random.SeedSequence(plan.run.seed).generate_state(number, np.uint64))


# What a plan asks for, in figures


@dataclass(frozen=True, slots=True)
class Demand:
    """A plan in the figures that closed forms ask for.

    Args:
        rates: arrivals a second for each hour of the day, or one for all.
        service: the mean service time in seconds.
        second: the mean of its square.
        poisson: whether arrivals are drawn, or played from a record.
        constant: whether every file takes as long.
        quantiles: of the service time in seconds, at the middles of 200 equal shares.
        longer: the share of files that take longer than so many seconds.
    """

    rates: tuple[float, ...]
    service: float
    second: float
    poisson: bool
    constant: bool
    quantiles: Floats
    longer: Callable[[float], float]

    @property
    def rate(self) -> float:
        """Arrivals a second over the whole day."""
        return sum(self.rates) / len(self.rates)


def demand_of(plan: Plan) -> Demand:
    """A plan's demand: of what is drawn the true figures, of what was recorded those of the record.

    Raises:
        UsageError: a file of the plan cannot be used.
    """
    record = record_of(plan)
    rates = _hourly(plan) if record is None else (len(record.arrived) / record.span,)
    service = plan.service
    spread = spread_of(plan)
    if spread is not None:
        sigma = _sigma(spread)
        normal = NormalDist(math.log(spread.median), sigma)
        return Demand(
            rates,
            spread.median * math.exp(sigma**2 / 2),
            spread.median**2 * math.exp(2 * sigma**2),
            record is None,
            constant=False,
            quantiles=np.exp([normal.inv_cdf(each) for each in _MIDDLES]),
            longer=lambda seconds: 1 - normal.cdf(math.log(seconds)) if seconds > 0 else 1.0,
        )
    times = np.array((service.seconds,)) if isinstance(service.seconds, float | int) else _recorded_services(plan)
    return Demand(
        rates,
        float(times.mean()),
        float(np.square(times).mean()),
        record is None,
        constant=bool(np.ptp(times) == 0),
        quantiles=np.quantile(times, _MIDDLES),
        longer=lambda seconds: float(np.mean(times > seconds)),
    )


def spread_of(plan: Plan) -> Spread | None:
    """The lognormal distribution that a plan's service times follow, however it is written; None for others."""
    service = plan.service
    if service.median is not None and service.p95 is not None:
        return Spread(service.median, service.p95)
    return service.seconds if isinstance(service.seconds, Spread) else None


def drawn(seconds: "float | Spread", number: int, chance: np.random.Generator) -> Floats:
    """So many durations in seconds: always the same, or lognormal. The first ones do not depend on how many."""
    if isinstance(seconds, Spread):
        return seconds.median * np.exp(_sigma(seconds) * chance.standard_normal(number))
    return np.full(number, float(seconds))


def _sigma(spread: Spread) -> float:
    return math.log(spread.p95 / spread.median) / _P95


def _services(plan: Plan, number: int, chance: np.random.Generator) -> Floats:
    seconds = spread_of(plan) or plan.service.seconds
    if seconds is not None:
        return drawn(seconds, number, chance)
    times = _recorded_services(plan)
    return times[(chance.random(number) * len(times)).astype(np.int64)]


# Poisson processes


def _hourly(plan: Plan) -> tuple[float, ...]:
    """Arrivals a second, for each hour of the day or for all."""
    arrivals = plan.arrivals
    if arrivals.profile is not None:
        return tuple(each / HOUR for each in arrivals.profile)
    if arrivals.per_hour is None:
        raise UsageError("[arrivals] says nothing: give per_hour, profile, trace, measured or messages.")
    return (arrivals.per_hour / HOUR,)


def _poisson(rates: tuple[float, ...], span: float, load: float, chance: np.random.Generator) -> Floats:
    """A Poisson process that follows the hours of the day: one of rate 1, by a clock as fast as messages come.

    That is exact, and more load brings the same messages earlier.
    """
    hours = np.arange(math.ceil(span / HOUR) + 1)
    edges = np.minimum(hours * HOUR, span)
    of_hours = np.array(rates)[hours[:-1] % len(rates)] * load
    due = np.concatenate(((0.0,), np.cumsum(of_hours * np.diff(edges))))
    expected = float(due[-1])
    _bearable(expected)
    gaps = [chance.standard_exponential(int(expected + 6 * math.sqrt(expected)) + 16)]
    while sum(float(each.sum()) for each in gaps) <= expected:
        gaps.append(chance.standard_exponential(len(gaps[0])))
    instants = np.cumsum(np.concatenate(gaps))
    instants = instants[: np.searchsorted(instants, expected)]
    # An hour in which nothing comes takes none of the process' time: "right" steps over it.
    hour = np.searchsorted(due, instants, side="right") - 1
    arrived: Floats = edges[hour] + (instants - due[hour]) / of_hours[hour]
    return arrived[: np.searchsorted(arrived, span)]


def _bearable(messages: float) -> None:
    if messages > MOST:
        raise UsageError(
            f"About {messages:,.0f} messages would have to be drawn at once, which is more than {MOST:,}: take fewer "
            "[run] days."
        )


# Records


@dataclass(frozen=True, slots=True)
class Record:
    """Arrivals as they were recorded, in seconds from the full minute of the first one.

    `span` reaches to the full minute after the last one; `begins` is the time of day at which it starts.
    """

    arrived: Floats
    span: float
    begins: float


def record_of(plan: Plan) -> Record | None:
    """The record that a plan's arrivals are played from; None where they are drawn.

    Raises:
        UsageError: it cannot be used.
    """
    arrivals = plan.arrivals
    if arrivals.trace is not None:
        return _record("trace", plan.folder / arrivals.trace, plan.manage_messages)
    if arrivals.measured is not None:
        return _record("measured", plan.folder / arrivals.measured, plan.manage_messages)
    if arrivals.messages is not None:
        return _record("messages", plan.folder / arrivals.messages, plan.manage_messages)
    return None


def _record(kind: str, path: Path, form: ManageMessages) -> Record:
    instants = _instants(kind, path, form, _stamp(path))
    days = float(instants[-1] - instants[0]) / DAY
    if days > LONGEST_DAYS:
        raise UsageError(
            f"{path} covers {days:,.0f} days, and {LONGEST_DAYS:,} is the most. Is one of its dates a slip?"
        )
    start = math.floor(instants[0] / MINUTE) * MINUTE
    span = (math.floor(instants[-1] / MINUTE) + 1) * MINUTE - start
    return Record(instants - start, span, start % DAY)


def _recorded_services(plan: Plan) -> Floats:
    service = plan.service
    if service.measured is not None:
        path, kind = plan.folder / service.measured, "measured"
    elif service.messages is not None:
        path, kind = plan.folder / service.messages, "messages"
    else:
        raise UsageError("[service] says nothing: give seconds, median with p95, measured or messages.")
    return _times(kind, path, plan.manage_messages, _stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    """Tells one content of a file from another, so that it is read once however often a plan is drawn."""
    # Behind a journal's name there may stand the activity of which it is to be read.
    for each in (path, path.with_name(path.name.rpartition("#")[0] or path.name)):
        try:
            state = each.stat()
        except OSError:
            continue
        return state.st_mtime_ns, state.st_size
    return 0, 0


@lru_cache(maxsize=8)
def _instants(kind: str, path: Path, form: ManageMessages, _stamp: tuple[int, int]) -> Floats:
    # Here, since both of them speak of Floats.
    from popreceipt.sizing import manage_messages, measured

    if kind == "trace":
        found = np.array(traces.read_trace(path).instants)
    elif kind == "measured":
        found = np.sort(measured.arrivals_of(path))
    else:
        found = np.sort(manage_messages.arrivals_of(path, form))
    if not len(found):
        raise UsageError(f"{path} holds no arrivals.")
    found.flags.writeable = False
    return found


@lru_cache(maxsize=8)
def _times(kind: str, path: Path, form: ManageMessages, _stamp: tuple[int, int]) -> Floats:
    from popreceipt.sizing import manage_messages, measured

    found = measured.services_of(path) if kind == "measured" else manage_messages.services_of(path, form)
    if not len(found):
        raise UsageError(f"{path} holds no service times.")
    if not bool(np.all(np.isfinite(found)) and np.all(found >= 0)):
        raise UsageError(f"{path} holds service times that are below zero, or none at all.")
    found = np.array(found)
    found.flags.writeable = False
    return found


def _at_load(arrived: Floats, span: float, load: float, chance: np.random.Generator) -> Floats:
    """A record with more or fewer messages.

    A message keeps its place in the row of those that stay or are repeated, so that a little more load is the same
    record with a few more messages.
    """
    if load == 1.0:
        return arrived
    _bearable(len(arrived) * load)
    rank = chance.random(len(arrived))
    kept = [arrived[rank < load]]
    until_next = np.minimum(np.diff(np.append(arrived, span)), JITTER)
    for copies in _whole_and_part(load - 1.0):
        jitter = chance.random(len(arrived)) * until_next
        kept.append((arrived + jitter)[rank < copies])
    together = np.sort(np.concatenate(kept))
    return together[: np.searchsorted(together, span)]


def _whole_and_part(amount: float) -> Iterator[float]:
    while amount > 0:
        yield min(amount, 1.0)
        amount -= 1.0
