"""What a batch job is given to do: instants of arrival and service times, drawn from a plan or taken as measured."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from popreceipt.sizing.plan import Plan

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Work:
    """Arrivals in seconds from the plan's start, ascending, and as many service times in seconds.

    `horizon` is the length of the time they cover, in seconds: nothing arrives at it or after it.
    """

    arrived: Floats
    service: Floats
    horizon: float


def work_of(plan: Plan, *, seed: int, load: float = 1.0, slower: float = 1.0, days: float | None = None) -> Work:
    """Draw a plan's work.

    Args:
        plan: says what comes and how long it takes.
        seed: the same seed draws the same work; the first arrivals do not depend on `days`.
        load: arrivals times this. A trace is thinned, or repeated with a little jitter.
        slower: service times times this.
        days: how much of it, instead of the plan's own days.
    """
    raise NotImplementedError((plan, seed, load, slower, days))
