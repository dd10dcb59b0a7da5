"""Which of two is the slower one: rounds taken in turns, compared in pairs, with the noise of their own run.

The speed of a computer drifts by far more than what a change costs, so one figure beside one threshold proves nothing.
Here each round measures both, one straight after the other, and only the ratio within a round counts; how much the
ratios differ from round to round is the noise. Where that leaves the question open, so does the answer. It measures
nothing itself and knows no units but a name.

The interval of a ratio is that of Hodges and Lehmann over the signed ranks of Wilcoxon, exact for any number of rounds:
which of the two comes first is drawn anew, so without a difference a ratio is as likely above one as below, by as much.
Myles Hollander, Douglas A. Wolfe and Eric Chicken, "Nonparametric Statistical Methods", chapter 3, has both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations_with_replacement
from statistics import median
from typing import Any, Final

from popreceipt.exceptions import UsageError

FORMAT: Final = "popreceipt/paired@1"

TOLERANCE: Final = 0.15
"""By so much something may be slower without being a finding, unless somebody says otherwise."""

CONFIDENCE: Final = 0.95
"""So sure a gate is at least when it decides, unless somebody says otherwise."""

FEWEST: Final = 6
"""Fewer rounds decide nothing, however alike they are."""

_NORMAL: Final = 1.4826
"""The standard deviation of a normal distribution by its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round: what was measured of both, by the name of the figure. Less is better.

    `doubt` says in words why the round does not count; None where it does.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    doubt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A measurement of two in turns.

    Args:
        before: the name of what is compared with.
        after: the name of what is to be let pass.
        what: what was measured, in words.
        rounds: in the order in which they were taken.
        convicted: in words, what was found wrong with the second one beside its speed; any of it fails the gate.
        complete: all rounds were taken that should be.
    """

    before: str
    after: str
    what: str
    rounds: tuple[Round, ...]
    convicted: tuple[str, ...] = ()
    complete: bool = True

    def as_json(self) -> dict[str, Any]:
        """As `popreceipt load --against` writes it, format `popreceipt/paired@1`; `complete` stands last."""
        return {
            "format": FORMAT,
            "what": self.what,
            "before": self.before,
            "after": self.after,
            "rounds": [
                {"before": dict(each.before), "after": dict(each.after), "doubt": each.doubt} for each in self.rounds
            ],
            "convicted": list(self.convicted),
            "complete": self.complete,
        }


class Standing(StrEnum):
    """What the rounds say of a figure."""

    SLOWER = "slower"
    KEPT = "kept"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A figure of both.

    Args:
        name: of the figure.
        rounds: how many pairs there are.
        ratio: after by before, the estimate.
        low: the ratio is above this; the confidence of that holds for all figures together.
        high: the ratio is below this; with the confidence for this figure alone.
        noise: the standard deviation of the ratio from round to round, as a share.
        drift: how far the figure of the first one alone went from its lowest to its highest round, as a ratio.
        standing: what follows.
    """

    name: str
    rounds: int
    ratio: float
    low: float
    high: float
    noise: float
    drift: float
    standing: Standing

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it; a bound that there is not is null."""
        return {
            "name": self.name,
            "rounds": self.rounds,
            "ratio": self.ratio,
            "low": _or_none(self.low),
            "high": _or_none(self.high),
            "noise": self.noise,
            "drift": self.drift,
            "standing": self.standing.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a gate decided on a paired measurement.

    Args:
        paired: the measurement.
        tolerance: by so much, as a share, the second one may be slower.
        confidence: how sure the gate had to be.
        compared: figure by figure.
        left_out: figures that could not be compared, each with the reason.
        doubts: in words, why the measurement as a whole proves nothing; empty where it may.
    """

    paired: Paired
    tolerance: float
    confidence: float
    compared: tuple[Compared, ...]
    left_out: Mapping[str, str]
    doubts: tuple[str, ...]

    def of(self, standing: Standing) -> tuple[Compared, ...]:
        """The figures that ended so."""
        return tuple(each for each in self.compared if each.standing is standing)

    @property
    def exit_status(self) -> int:
        """What the command ends with: 1 slower, or convicted; 3 nothing proved; 0 not slower than is tolerated."""
        if self.paired.convicted or (not self.doubts and self.of(Standing.SLOWER)):
            return 1
        return 3 if self.doubts or self.of(Standing.OPEN) or not self.compared else 0

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {
            "format": "popreceipt/gate@1",
            "passed": self.exit_status == 0,
            "status": self.exit_status,
            "before": self.paired.before,
            "after": self.paired.after,
            "what": self.paired.what,
            "tolerance": self.tolerance,
            "confidence": self.confidence,
            "rounds": len(self.paired.rounds),
            "convicted": list(self.paired.convicted),
            "doubts": list(self.doubts),
            "compared": [each.as_json() for each in self.compared],
            "left_out": dict(self.left_out),
        }


def needed(figures: int, confidence: float) -> int:
    """How many rounds it takes at least to decide on so many figures: with fewer, chance alone may do it."""
    return max(FEWEST, math.ceil(math.log2(max(1, figures) / (1 - confidence))))


def compare(paired: Paired, *, tolerance: float = TOLERANCE, confidence: float = CONFIDENCE) -> Outcome:
    """Compare two by the rounds in which both were measured.

    A figure is *slower* where the rounds prove that it is slower at all, and where it is so, as estimated, by the
    tolerance or more; *kept* only where they prove that it is not slower by as much; and *open* between. Where nothing
    differs, any of all the figures together is called slower with at most the probability that the confidence leaves;
    one that is slower by the tolerance or more is called kept with at most the same.

    Args:
        paired: the rounds.
        tolerance: by so much (0.1 is a tenth) the second one may be slower.
        confidence: how sure to be, between a half and one.

    Raises:
        UsageError: tolerance or confidence are out of range.
    """
    check(tolerance, confidence)
    counting = [each for each in paired.rounds if each.doubt is None]
    pairs, left_out = _pairs(counting)
    least = needed(len(pairs), confidence)
    compared = tuple(_compared(name, each, len(pairs), tolerance, confidence) for name, each in pairs.items())
    doubts = []
    if not paired.complete:
        doubts.append("it was not carried out to its end")
    if len(counting) < least:
        among = "" if len(counting) == len(paired.rounds) else f" of {len(paired.rounds)}"
        doubts.append(f"{len(counting)}{among} rounds count, and it takes {least} to decide on {len(pairs)} figures")
    elif not pairs:
        doubts.append("there is no figure that every round has")
    return Outcome(
        paired=paired,
        tolerance=tolerance,
        confidence=confidence,
        compared=compared,
        left_out=left_out,
        doubts=tuple(doubts),
    )


def check(tolerance: float, confidence: float) -> None:
    """See that a tolerance and a confidence can be used.

    Raises:
        UsageError: one is out of range.
    """
    if not 0 < tolerance < 10:
        raise UsageError(f"The tolerance is a share above 0, as in 0.1 for a tenth, not {tolerance:g}.")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"The confidence is at least 0.5 and below 1, as in 0.95, not {confidence:g}.")


_Pairs = dict[str, list[tuple[float, float]]]


def _pairs(rounds: Sequence[Round]) -> tuple[_Pairs, dict[str, str]]:
    """The figures that every round has of both, above zero, and why the others are left out."""
    pairs: _Pairs = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(name for each in rounds for side in (each.before, each.after) for name in side):
        both = [(each.before[name], each.after[name]) for each in rounds if name in each.before and name in each.after]
        if len(both) < len(rounds):
            left_out[name] = f"{len(rounds) - len(both)} of {len(rounds)} rounds do not have it of both"
        elif not all(value > 0 for pair in both for value in pair):
            left_out[name] = "it is not above zero in every round, and has no ratio"
        else:
            pairs[name] = both
    return pairs, left_out


def _compared(
    name: str, pairs: Sequence[tuple[float, float]], figures: int, tolerance: float, confidence: float
) -> Compared:
    ratios = [math.log(after / before) for before, after in pairs]
    means = sorted((one + other) / 2 for one, other in combinations_with_replacement(ratios, 2))
    estimate = median(means)
    # Convicting one of many wrongly is convicting wrongly; letting pass takes all of them.
    low = lower_bound(means, len(ratios), (1 - confidence) / figures)
    high = -lower_bound([-each for each in reversed(means)], len(ratios), 1 - confidence)
    limit = math.log1p(tolerance)
    standing = Standing.OPEN
    if low > 0 and estimate >= limit:
        standing = Standing.SLOWER
    elif high < limit:
        standing = Standing.KEPT
    firsts = [before for before, _ in pairs]
    return Compared(
        name=name,
        rounds=len(pairs),
        ratio=math.exp(estimate),
        low=math.exp(low),
        high=math.exp(high),
        noise=math.expm1(_NORMAL * median(abs(each - estimate) for each in ratios)),
        drift=max(firsts) / min(firsts),
        standing=standing,
    )


def lower_bound(means: Sequence[float], rounds: int, risk: float) -> float:
    """The greatest of the means that the middle of what was drawn lies below with no more than this probability.

    Args:
        means: of all pairs of values, each with itself too, in order (Walsh averages).
        rounds: how many values there were.
        risk: the probability, exact for values that lie symmetrically about their middle.

    Returns:
        minus infinity where there are too few values.
    """
    allowed = risk * 2.0**rounds
    below = 0
    for place, ways in enumerate(_ways(rounds)):
        below += ways
        if below > allowed:
            return means[place - 1] if place else -math.inf
    return means[-1]


def _ways(rounds: int) -> list[int]:
    """By the sum of the signed ranks that are positive, in how many of all ways it comes about."""
    ways = [1]
    for rank in range(1, rounds + 1):
        longer = [*ways, *([0] * rank)]
        for place, number in enumerate(ways):
            longer[place + rank] += number
        ways = longer
    return ways


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
