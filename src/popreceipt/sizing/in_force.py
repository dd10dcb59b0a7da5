"""Which recurrence was in force while messages were recorded, and what sizing would have predicted for them.

A run takes what waits at its tick, and messages of one run are processed one after the other: so the starts of runs
stand in the record, and their spacing tells the recurrence. How sure that is, is said with it. Where a recurrence was
changed in between, or nothing fits, nothing is claimed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from popreceipt.sizing import manage_messages, measured
from popreceipt.sizing.plan import Plan
from popreceipt.sizing.recorded import Recorded, backlog_maximum
from popreceipt.sizing.result import Compared
from popreceipt.sizing.simulation import Job, Simulated, simulate
from popreceipt.sizing.work import Floats, Work

Truths = npt.NDArray[np.bool_]

MINUTE: Final = 60.0

PERIODS: Final = (*range(1, 61), *(60 * hours for hours in (2, 3, 4, 6, 8, 12, 24)))
"""Minutes of the recurrences that are tried: what the dialog "Define recurrence" makes of minutes and hours."""

ON_GRID: Final = 0.95
"""Share of the runs that has to stand on the ticks of a recurrence before it is believed."""

JITTER: Final = (3.0, 60.0)
"""Seconds by which a run may be later than the most punctual one: a fifth of the recurrence, but between these two.

Batch servers look for work once a minute ("Batch processing and batch servers"), and tables are often rounded to a
second.
"""

FEWEST_RUNS: Final = 4
"""Fewer starts of runs tell nothing."""

LEAST_SURE: Final = 0.5
"""What is less likely than that is not claimed."""

HAIR: Final = 1e-3
"""Seconds by which instants that should be equal may differ: sums are rounded."""

IDLE: Final = 1.5
"""Seconds without a file in process after which a run is over: times are often rounded to a second."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The recurrence that a record shows.

    Args:
        minutes: of the processing recurrence.
        confidence: that it is this one and no other, from 0 to 1.
        runs: how many starts of runs stand behind it.
        on_ticks: the share of them that stands on its ticks.
        first_tick: one of its ticks, before the first message, in seconds since 1970.
        startup_seconds: from a tick to the first file of its run, as far as the gate tells.
        parallel: how many files were in process at once, at most.
        at_once: whether runs that followed one which outlasted its recurrence started without waiting for a tick;
            None where there were none.
    """

    minutes: float
    confidence: float
    runs: int
    on_ticks: float
    first_tick: float
    startup_seconds: float
    parallel: int
    at_once: bool | None

    def __str__(self) -> str:
        """In words, for a report."""
        after = (
            "" if self.at_once is None else f"; after an overrun {'at once' if self.at_once else 'at the next tick'}"
        )
        sure = "more than 99 %" if self.confidence > 0.99 else f"{100 * self.confidence:.0f} %"
        return (
            f"every {self.minutes:g} minutes ({sure} sure: of {self.runs} runs {100 * self.on_ticks:.0f} % start on "
            f"its ticks), about {self.startup_seconds:.0f} s of start-up, {self.parallel} "
            f"{'file' if self.parallel == 1 else 'files'} at a time{after}"
        )


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs in the order of their starts; the messages of run k are `bounds[k]` to `bounds[k + 1]`.

    `after_idle`: nothing was in process just before. `anew`: its first message came when nothing was in process, so
    that a tick took it whatever happens after an overrun.
    """

    starts: Floats
    ends: Floats
    after_idle: Truths
    anew: Truths
    bounds: npt.NDArray[np.int64]


def in_force(recorded: Recorded) -> InForce | str:
    """The recurrence in force, or a sentence that says why none can be told."""
    processed = _by_start(recorded.processed)
    runs = _runs_of(processed)
    if len(runs.starts) < FEWEST_RUNS:
        return (
            f"{len(processed)} processed messages in {len(runs.starts)} runs are too few to tell the recurrence that "
            f"was in force: {FEWEST_RUNS} runs are wanted."
        )
    for chosen in (runs.after_idle, runs.anew):
        regular = runs.starts[chosen]
        # The longest that explains them: all of its divisors do as well.
        for minutes in reversed(PERIODS) if len(regular) >= FEWEST_RUNS else ():
            phase, share = _grid(regular, minutes * MINUTE)
            if share >= ON_GRID and _fits_the_gate(processed, runs, minutes * MINUTE):
                found = _found(recorded, runs, regular, minutes, phase, share)
                if found.confidence >= LEAST_SURE:
                    return found
    return (
        f"The {len(runs.starts)} runs start on the ticks of no single recurrence: it was changed in between, or they "
        "were started by hand, or without waiting for a tick."
    )


def _found(recorded: Recorded, runs: _Runs, regular: Floats, minutes: int, phase: float, share: float) -> InForce:
    processed = _by_start(recorded.processed)
    every = minutes * MINUTE
    on_ticks = _late(runs.starts, phase, every) <= _tolerated(every)
    startup = _startup(processed, runs, on_ticks, every)
    first = float(processed.enqueued.min())
    tick = phase - startup - every * math.ceil((phase - startup - first) / every)
    found = InForce(
        minutes=float(minutes),
        confidence=1 - min(1.0, _by_chance(len(regular), every, share) + 0.5 ** (len(regular) - 1)),
        runs=len(regular),
        on_ticks=share,
        first_tick=tick if tick <= first else tick - every,
        startup_seconds=startup,
        parallel=_parallel(processed),
        at_once=None,
    )
    return replace(found, at_once=_at_once(recorded, found))


def _at_once(recorded: Recorded, found: InForce) -> bool | None:
    """Which of the two ways to go on after an overrun comes closer to the record; None where they are the same."""
    processed = recorded.processed
    next_tick, at_once = (predicted(processed, replace(found, at_once=each)).waits for each in (False, True))
    if np.allclose(next_tick, at_once, rtol=0, atol=IDLE):
        return None
    off, off_at_once = (float(np.abs(each - processed.waits).mean()) for each in (next_tick, at_once))
    return off_at_once < off


def beside_recorded(recorded: Recorded, found: InForce) -> tuple[Compared, ...]:
    """What sizing predicts for the messages of a record under the recurrence that was in force, beside the record.

    Arrivals and service times are those recorded. No difference is called allowed: a real environment has other work.
    """
    processed = recorded.processed
    return beside(predicted(processed, found), processed)


def predicted(processed: Recorded, found: InForce) -> Simulated:
    """What sizing predicts for processed messages with their own service times, in seconds from the first tick."""
    arrived = processed.enqueued - found.first_tick
    work = Work(arrived, processed.services, float(arrived[-1]) + 1.0)
    job = Job(
        every=found.minutes * MINUTE,
        threads=found.parallel,
        startup=found.startup_seconds,
        at_once=bool(found.at_once),
    )
    return simulate(work, job)


def of_plan(plan: Plan) -> tuple[tuple[Compared, ...], tuple[str, ...]]:
    """What a plan's own record shows, where it names one that tells when processing started and ended.

    Returns:
        Figures predicted beside those recorded, under the recurrence that was in force; and sentences on what that was
        and what was left out of the record. Neither where the plan names no such record.

    Raises:
        UsageError: the record cannot be read.
    """
    table = plan.service.messages or plan.arrivals.messages
    if plan.service.measured is not None:
        name, recorded = plan.service.measured, measured.recorded_of(plan.folder / plan.service.measured)
    elif table is not None:
        name, recorded = table, manage_messages.read(plan.folder / table, plan.manage_messages)
    else:
        return (), ()
    found = in_force(recorded)
    if isinstance(found, str):
        return (), (f"{name}: {found}", *recorded.notes)
    return beside_recorded(recorded, found), (f"The recurrence in force in {name}: {found}.", *recorded.notes)


def beside(predicted: Simulated, observed: Recorded) -> tuple[Compared, ...]:
    """Waits and the greatest backlog, predicted and observed, of the same messages; nothing is said to be allowed."""

    def minutes(what: str, of: Callable[[Floats], float]) -> Compared:
        return Compared(what, of(predicted.waits) / MINUTE, of(observed.waits) / MINUTE, "minutes", None, None)

    return (
        minutes("wait, mean", lambda waits: float(waits.mean())),
        minutes("wait, p50", lambda waits: float(np.percentile(waits, 50))),
        minutes("wait, p95", lambda waits: float(np.percentile(waits, 95))),
        minutes("wait, p99", lambda waits: float(np.percentile(waits, 99))),
        minutes("wait, longest", lambda waits: float(waits.max())),
        Compared(
            "backlog, maximum",
            float(backlog_maximum(predicted.work.arrived, predicted.completed)),
            float(backlog_maximum(observed.enqueued, observed.completed)),
            "messages",
            None,
            None,
        ),
    )


def _by_start(processed: Recorded) -> Recorded:
    order = np.lexsort((processed.enqueued, processed.started))
    return Recorded(processed.enqueued[order], processed.started[order], processed.completed[order])


def _runs_of(processed: Recorded) -> _Runs:
    """Messages by the runs that took them: a new one begins after an idle time, or with what had not yet come."""
    starts: list[float] = []
    ends: list[float] = []
    after_idle: list[bool] = []
    anew: list[bool] = []
    bounds: list[int] = []
    busy_until = begun = -math.inf
    for place, (enqueued, started, completed) in enumerate(
        zip(processed.enqueued.tolist(), processed.started.tolist(), processed.completed.tolist(), strict=True)
    ):
        idle = started > busy_until + IDLE
        if idle or enqueued > begun:
            if starts:
                ends.append(busy_until)
            begun = started
            starts.append(started)
            after_idle.append(idle)
            anew.append(enqueued > busy_until)
            bounds.append(place)
        busy_until = max(busy_until, completed)
    return _Runs(
        np.array(starts),
        np.array([*ends, busy_until]),
        np.array(after_idle, dtype=np.bool_),
        np.array(anew, dtype=np.bool_),
        np.array([*bounds, len(processed)]),
    )


def _tolerated(every: float) -> float:
    least, most = JITTER
    return max(least, min(most, every / 5))


def _late(starts: Floats, phase: float, every: float) -> Floats:
    """By how many seconds each run starts after a tick; a hair before one is no whole period after the last."""
    return (starts - phase + HAIR) % every


def _grid(starts: Floats, every: float) -> tuple[float, float]:
    """The phase at which most runs start, and the share that starts there or a little later."""
    phases = np.sort(starts % every)
    around = np.concatenate((phases, phases + every))
    within = np.searchsorted(around, phases + _tolerated(every), side="right") - np.arange(len(phases))
    best = int(np.argmax(within))
    return float(phases[best]), float(within[best] / len(phases))


def _fits_the_gate(processed: Recorded, runs: _Runs, every: float) -> bool:
    """Whether what came while nothing was in process was taken at the next tick, or had to wait for longer."""
    firsts = np.array([processed.enqueued[a:b].min() for a, b in pairwise(runs.bounds.tolist())])
    lasts = np.array([processed.enqueued[a:b].max() for a, b in pairwise(runs.bounds.tolist())])
    waited = (runs.starts - firsts)[runs.anew]
    longest = every + float((runs.starts - lasts).min()) + _tolerated(every)
    return not len(waited) or float(np.mean(waited <= longest)) >= ON_GRID


def _by_chance(number: int, every: float, share: float) -> float:
    """How likely (at most) so many runs without any recurrence would stand on the ticks of some as well as these do."""
    width = min(1.0, _tolerated(every) / every)
    others = number - 1
    tail = sum(
        math.comb(others, each) * width**each * (1 - width) ** (others - each)
        for each in range(round(share * number) - 1, number)
    )
    return min(1.0, number * len(PERIODS) * tail)


def _startup(processed: Recorded, runs: _Runs, on_ticks: Truths, every: float) -> float:
    """From the tick to the first file: what came before the tick was taken, what came after it was not.

    Each run bounds it: not longer than from the last arrival that it took, not shorter than from the first one that
    would have been taken a recurrence earlier, had it come by then.
    """
    spans = [processed.enqueued[a:b] for a, b in pairwise(runs.bounds.tolist())]
    high = min(float(runs.starts[each] - spans[each].max()) for each in np.flatnonzero(on_ticks).tolist())
    low = 0.0
    for number in np.flatnonzero(on_ticks).tolist():
        before = float(runs.starts[number]) - every
        # A run that was going on then, and had not just begun, would have kept it waiting anyhow.
        begun, ended = (runs.starts[number - 1], runs.ends[number - 1]) if number else (-math.inf, -math.inf)
        if abs(begun - before) <= _tolerated(every) or ended < before - high:
            low = max(low, before - float(spans[number].min()))
    # A run that was late by itself makes the bounds cross; the shorter one then holds for most.
    return max(0.0, high if low > high else (low + high) / 2)


def _parallel(processed: Recorded) -> int:
    """How many files were in process at once, at most; what starts as another ends comes after it."""
    longer = processed.completed > processed.started
    begun, ended = np.sort(processed.started[longer]), np.sort(processed.completed[longer])
    at_once = np.arange(1, len(begun) + 1) - np.searchsorted(ended, begun + HAIR, side="right")
    return max(1, int(np.max(at_once, initial=1)))
