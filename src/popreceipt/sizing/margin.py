"""What a recommendation bears: how far load and service times may grow, what breaks first, what an outage costs.

Factors are looked for by bisection over short trials, to within a hundredth.
"""

from collections.abc import Callable
from typing import Final

from popreceipt.sizing.result import Lease, Margin
from popreceipt.sizing.trials import Trials

MOST: Final = 100.0
"""Factors are not looked for beyond."""

NARROW: Final = 1.01
"""A factor is known when it is known up to this factor."""

OVERRUNS: Final = 0.01
"""Share of runs that outlast the recurrence from which on one says so."""


def margin(trials: Trials, minutes: float, lease: Lease | None = None) -> Margin:
    """The margin of a processing recurrence that meets the objective.

    Args:
        trials: of the plan.
        minutes: the recurrence.
        lease: the export's side, if the plan has one.
    """

    def overruns(load: float) -> bool:
        trial = trials.at(minutes, load=load)
        return trial is None or trial.overruns > OVERRUNS

    unstable = trials.capacity
    load = first_factor(lambda factor: not trials.keeps(minutes, load=factor), unstable)
    outlasting = first_factor(overruns, unstable)
    consumers = None if lease is None or not lease.utilisation else 1 / lease.utilisation
    doubled = trials.at(minutes, load=2.0)
    return Margin(
        load_factor=load,
        service_factor=first_factor(lambda factor: not trials.keeps(minutes, slower=factor), unstable),
        breaks_first=_in_words(load, outlasting, unstable, consumers),
        doubled=None if doubled is None else doubled.wait_minutes["p95"],
        outage_drain_minutes=trials.drain(minutes),
        overruns_factor=outlasting,
        unstable_factor=min(unstable, MOST),
        consumers_factor=None if consumers is None else min(consumers, MOST),
        at_most=MOST,
    )


def first_factor(broken: Callable[[float], bool], at_last: float) -> float:
    """The factor from which on something is broken: at least 1, and at most `MOST`.

    Args:
        broken: whether it is, at a factor; what is broken once stays so.
        at_last: a factor at which it surely is.
    """
    if broken(1.0):
        return 1.0
    low, high = 1.0, min(2.0, at_last)
    while high < min(at_last, MOST) and not broken(high):
        low, high = high, min(2 * high, at_last, MOST)
    if high == MOST < at_last and not broken(high):
        return MOST
    while high > NARROW * low:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if broken(middle) else (middle, high)
    return low


def _in_words(load: float, outlasting: float, unstable: float, consumers: float | None) -> str:
    """What fails, in the order in which it does as the load grows."""
    told = [
        (load, 1, "the objective is missed"),
        (outlasting, 0, "more than one run in a hundred outlasts the recurrence"),
        (unstable, 2, "more comes than can be processed"),
    ]
    if consumers is not None:
        told.append((consumers, 3, "consumers of exports get more than they can fetch"))
    within = sorted(each for each in told if each[0] < MOST)
    if not within:
        return f"Nothing breaks up to {MOST:g} times the arrivals."
    sentences = [
        f"{what} from {factor:.3g} times the arrivals on" if factor > 1 else f"{what} as it is"
        for factor, _, what in within
    ]
    return f"First {sentences[0]}" + "".join(f"; then {each}" for each in sentences[1:]) + "."
