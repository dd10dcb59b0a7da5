"""What callers of a server that freezes really wait: a pure calculation from when it was frozen.

An open stream neither knows nor cares whether the server answers: its arrivals are spread over the whole run. Whoever
arrives while the server is frozen waits until it thaws; the others do not wait at all. What a thaw itself takes, and
what an answer takes otherwise, are below a millisecond or two and left out.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Interval = tuple[float, float]

SHARES: Final = (0.50, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds of the response time."""

    p50: float
    p95: float
    p99: float
    longest: float


def open_stream(begin: float, end: float, freezes: Sequence[Interval]) -> Waits:
    """What arrivals spread over a run wait, to be answered by a server that was frozen now and then. Seconds in."""
    lengths = [
        (max(start, begin), min(stop, end), stop) for start, stop in freezes if min(stop, end) > max(start, begin)
    ]
    p50, p95, p99 = (_quantile(share, begin, end, lengths) * 1000 for share in SHARES)
    return Waits(p50, p95, p99, max((stop - start for start, _, stop in lengths), default=0.0) * 1000)


def _quantile(share: float, begin: float, end: float, frozen: Sequence[tuple[float, float, float]]) -> float:
    """The wait that this share of arrivals does not exceed: found by halving, for it falls steadily with the wait."""
    beyond = (1 - share) * (end - begin)

    def longer_than(wait: float) -> float:
        """Seconds of the run in which an arrival waits longer than this."""
        return sum(max(0.0, min(last, stop - wait) - start) for start, last, stop in frozen)

    if longer_than(0.0) <= beyond:
        return 0.0
    low, high = 0.0, max(stop - start for start, _, stop in frozen)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if longer_than(middle) > beyond else (low, middle)
    return high


def of_schedule(due: Sequence[float], freezes: Sequence[Interval]) -> Waits:
    """What those wait who are due at these instants, whenever they were really sent. Seconds in."""
    ordered = sorted(freezes)
    starts = [start for start, _ in ordered]
    found = []
    for instant in due:
        place = bisect_right(starts, instant) - 1
        found.append(max(0.0, ordered[place][1] - instant) if place >= 0 else 0.0)
    return waits(found)


def of_record(came: Sequence[float], answered: Sequence[float]) -> Waits:
    """What the server saw of those requests that came: from the last byte in to the first byte out. Seconds in."""
    return waits([after - before for before, after in zip(came, answered, strict=True)])


def waits(seconds: Sequence[float]) -> Waits:
    """The same of so many single waits."""
    ordered = sorted(seconds)
    if not ordered:
        return Waits(0.0, 0.0, 0.0, 0.0)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in SHARES)
    return Waits(p50, p95, p99, ordered[-1] * 1000)
