"""How likely several files in a row outlast the half hour that a dequeue grants.

Sums of lognormal times have no closed form; their distribution is folded on a grid of less than a twentieth of a
second, which keeps every mean and widens every spread a little: it errs on the safe side. It knows nothing of queues.
"""

import math
from statistics import NormalDist
from typing import Final

import numpy as np

from popreceipt.sizing.plan import LEASE, Spread
from popreceipt.sizing.work import Floats

RARE: Final = 0.001
"""A chance that is called safe, of any message of a batch coming back."""

MOST: Final = 10_000
"""Nobody dequeues more messages at once; more are not looked for."""

CELLS: Final = 1 << 16
"""Of the half hour."""

_HALF_HOUR: Final = LEASE.total_seconds()

_P95: Final = NormalDist().inv_cdf(0.95)


def chance(first: float | Spread, second: float | Spread, files: int = 1) -> float:
    """The probability that so many files, one after the other, take half an hour or longer.

    Args:
        first: seconds that each file takes: always the same, or a lognormal spread.
        second: what comes on top of it, independent of the first.
        files: how many of them.
    """
    fixed, spreads = _parts(first, second)
    left = _HALF_HOUR - fixed * files
    if not spreads or left <= 0:
        return float(left <= 0)
    if len(spreads) == 1 and files == 1:
        return _beyond((math.log(left) - _mu(spreads[0])) / _sigma(spreads[0]))
    power, product = _one(fixed, spreads), None
    while files:
        if files & 1:
            product = power if product is None else _folded(product, power)
        files >>= 1
        power = _folded(power, power) if files else power
    return 1.0 if product is None else _outlasting(product)


def most(first: float | Spread, second: float | Spread, rare: float = RARE) -> int:
    """How many files may be taken at once: the chance that any of them ends after the half hour is less than `rare`.

    Args:
        first: see `chance`.
        second: see `chance`.
        rare: the chance that is still called safe.

    Returns:
        0 where a single file is too much, and at most `MOST`.
    """
    fixed, spreads = _parts(first, second)
    if not spreads:
        return MOST if fixed * MOST < _HALF_HOUR else math.ceil(_HALF_HOUR / fixed) - 1
    powers = [_one(fixed, spreads)]
    while _outlasting(powers[-1]) < rare and 1 << len(powers) <= MOST:
        powers.append(_folded(powers[-1], powers[-1]))
    files = 0
    together: Floats | None = None
    for place in reversed(range(len(powers))):
        more = powers[place] if together is None else _folded(together, powers[place])
        if files + (1 << place) <= MOST and _outlasting(more) < rare:
            files, together = files + (1 << place), more
    return files


def mean(times: float | Spread) -> float:
    """The mean of such a time, in seconds."""
    fixed, spreads = _parts(times)
    return fixed + sum(math.exp(_mu(each) + _sigma(each) ** 2 / 2) for each in spreads)


def _parts(*times: float | Spread) -> tuple[float, list[Spread]]:
    """What is always the same, summed up, and the true spreads."""
    fixed = 0.0
    spreads = []
    for each in times:
        if not isinstance(each, Spread):
            fixed += each
        elif each.p95 > each.median:
            spreads.append(each)
        else:
            fixed += each.median
    return fixed, spreads


def _mu(spread: Spread) -> float:
    return math.log(spread.median)


def _sigma(spread: Spread) -> float:
    return math.log(spread.p95 / spread.median) / _P95


def _beyond(deviations: float) -> float:
    """The chance of a normal variate beyond so many standard deviations; exact far out as well."""
    return math.erfc(deviations / math.sqrt(2)) / 2


def _one(fixed: float, spreads: list[Spread]) -> Floats:
    """The distribution of one file's time below the half hour, on the grid."""
    edges = np.linspace(-_HALF_HOUR / CELLS, _HALF_HOUR, CELLS + 2)
    whole = _gridded(np.maximum(fixed - edges, 0.0))
    for each in spreads:
        whole = _folded(whole, _gridded(_excess(each, edges)))
    return whole


def _gridded(excess: Floats) -> Floats:
    """Masses at the points of the grid, from the mean excess over each: neighbours share what lies between them."""
    return np.diff(excess, 2) * (CELLS / _HALF_HOUR)


def _excess(spread: Spread, edges: Floats) -> Floats:
    """By how much a lognormal time exceeds each edge on average, nothing where it does not."""
    mu, sigma = _mu(spread), _sigma(spread)
    average = math.exp(mu + sigma**2 / 2)
    above = edges[2:]
    far = (np.log(above) - mu) / sigma
    beyond = np.array([_beyond(each) for each in far.tolist()])
    weighted = np.array([_beyond(each) for each in (far - sigma).tolist()])
    return np.concatenate((average - edges[:2], average * weighted - above * beyond))


def _folded(one: Floats, other: Floats) -> Floats:
    """The distribution of a sum, as far as it stays below the half hour."""
    size = 2 * CELLS
    return np.fft.irfft(np.fft.rfft(one, size) * np.fft.rfft(other, size), size)[:CELLS]


def _outlasting(below: Floats) -> float:
    return max(0.0, 1.0 - float(below.sum()))
