"""How many messages come in each hour of the day, and when the busiest hour begins."""

from typing import Final

import numpy as np

from popreceipt.sizing.plan import Arrivals
from popreceipt.sizing.work import DAY, HOUR, Floats, Work

HOURS: Final = 24


def hourly(arrivals: Arrivals, work: Work) -> tuple[float, ...]:
    """Messages an hour for each hour of the day, from midnight on.

    Args:
        arrivals: where they say a rate, it is the answer.
        work: where arrivals were only recorded, they are counted.
    """
    if arrivals.per_hour is not None:
        return (arrivals.per_hour,) * HOURS
    if arrivals.profile is not None:
        return arrivals.profile
    hour = ((work.arrived + work.begins) // HOUR % HOURS).astype(np.int64)
    counts = np.bincount(hour, minlength=HOURS)
    edges = np.linspace(0.0, DAY, HOURS + 1)
    covered = np.diff(_covered(edges, work.begins + work.horizon) - _covered(edges, work.begins))
    return tuple((np.divide(counts, covered, out=np.zeros(HOURS), where=covered > 0) * HOUR).tolist())


def busiest_hours(rates: tuple[float, ...], work: Work, until: float) -> list[float]:
    """When the busiest hour of each day begins, in seconds from the plan's start, before an instant.

    Args:
        rates: of the hours of the day.
        work: says at what time of the day the plan starts.
        until: in seconds from there.
    """
    busiest = max(range(HOURS), key=rates.__getitem__)
    first = (busiest * HOUR - work.begins) % DAY
    return np.arange(first, until, DAY).tolist()


def _covered(edges: Floats, until: float) -> Floats:
    """Seconds between midnight and each hour of the day, over all days from the first midnight to an instant."""
    days, rest = divmod(until, DAY)
    return days * edges + np.minimum(edges, rest)
