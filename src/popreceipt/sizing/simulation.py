"""A batch job with a recurrence, run by run: what waits at the start of a run is taken, what comes later waits.

A run that outlasts its recurrence makes the next one start at the following tick, or at once where the plan says so.
What arrives exactly on a tick waits for the next one. Ticks are the multiples of the recurrence from the start. A tick
at which nothing waits costs nothing, no start-up either.

Nothing is walked message by message unless several are processed at once: the end of a run follows from its start and
sums of service times, and as long as runs end before the next tick, all of them are known beforehand.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Final

import numpy as np
import numpy.typing as npt

from popreceipt.sizing.work import Floats, Work

PUNCTUAL: Final = 1e-6
"""Seconds after a tick at which a run still has ended on it: sums are rounded, and a journal's times tell no less."""

Pauses = Sequence[tuple[float, float]]
_Counts = npt.NDArray[np.int64]
_Walk = tuple[Sequence[float] | Floats, Sequence[int] | _Counts, Sequence[float] | Floats]
"""Of each run that took any: its start, the number of its first message, its end."""


@dataclass(frozen=True, slots=True)
class Job:
    """A batch job with its recurrence, in seconds.

    Args:
        every: the processing recurrence.
        threads: files processed at once; 1 is in order.
        startup: from the start of a run to its first file.
        at_once: whether a run that was due while the last one went on starts when that ends, instead of at the
            following tick.
    """

    every: float
    threads: int = 1
    startup: float = 0.0
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of each message, in seconds from the start, and of each run that took any.

    The arrays `taken` (start of the run that took it), `started` and `completed` go with `work.arrived`.
    """

    work: Work
    job: Job
    taken: Floats
    started: Floats
    completed: Floats
    run_started: Floats
    run_ended: Floats

    @property
    def waits(self) -> Floats:
        """From the arrival to the end of the processing, in seconds."""
        return self.completed - self.work.arrived


def simulate(work: Work, job: Job, *, pauses: Pauses = ()) -> Simulated:
    """Let a job process the work to its end.

    Args:
        work: what arrives; runs go on after its horizon until all is done.
        job: how it is processed.
        pauses: spans (start and end in seconds) in which no run starts: an outage of the batch server. What runs
            already goes on. At its end the next tick starts a run, or at once where the job says so and one was due.
    """
    if not len(work.arrived):
        nothing = np.empty(0)
        return Simulated(work, job, nothing, nothing, nothing, nothing, nothing)
    if job.threads == 1:
        return _in_order(work, job, pauses)
    return _in_parallel(work, job, pauses)


# One file after the other


class _Sums:
    """Sums of consecutive service times, each as exact as if it had been added up alone.

    Differences of running totals lose what the totals were rounded by; so that is added up beside them.
    """

    def __init__(self, service: Floats) -> None:
        total = np.concatenate(((0.0,), np.cumsum(service)))
        before, after = total[:-1], total[1:]
        added = after - before
        lost = (before - (after - added)) + (service - added)
        self.total = total
        self.lost = np.concatenate(((0.0,), np.cumsum(lost)))

    def between(self, first: _Counts, behind: _Counts) -> Floats:
        """For each pair the sum over the messages from the one up to, not including, the other."""
        lost: Floats = self.lost[behind] - self.lost[first]
        return (self.total[behind] - self.total[first]) + lost


def _in_order(work: Work, job: Job, pauses: Pauses) -> Simulated:
    sums = _Sums(work.service)
    number = len(work.arrived)
    if job.at_once or pauses:
        totals, losses = sums.total.tolist(), sums.lost.tolist()

        def length(first: int, behind: int) -> float:
            return float((totals[behind] - totals[first]) + (losses[behind] - losses[first]))

        started, first, ended = _walked(work.arrived.tolist(), job, pauses, length)
    else:
        started, first, ended = _on_ticks(work.arrived, job, sums)
    run_started, of_run = np.asarray(started, dtype=np.float64), np.asarray(first, dtype=np.int64)
    messages = np.diff(of_run, append=number)
    taken = np.repeat(run_started, messages)
    # Those ahead in the run, by the totals before it: what `between` would tell of each message, without a look-up.
    total, lost = (np.repeat(each[of_run], messages) for each in (sums.total, sums.lost))
    to_first = taken + job.startup
    return Simulated(
        work,
        job,
        taken,
        to_first + ((sums.total[:-1] - total) + (sums.lost[:-1] - lost)),
        to_first + ((sums.total[1:] - total) + (sums.lost[1:] - lost)),
        run_started,
        np.asarray(ended, dtype=np.float64),
    )


def _on_ticks(arrived: Floats, job: Job, sums: _Sums) -> _Walk:
    """The runs when each starts on a tick.

    At first every run is taken to start at the tick after its messages came. Where one outlasts its recurrence, those
    behind it are walked until a run again takes just what came since the tick before.
    """
    every, startup, number = job.every, job.startup, len(arrived)
    tick_of = ticks_behind(arrived, every)
    first: _Counts = np.flatnonzero(np.diff(tick_of, prepend=-1)).astype(np.int64)
    behind = np.append(first[1:], number)
    ticks = tick_of[first]
    started: Floats = ticks.astype(np.float64) * every
    ended = started + startup + sums.between(first, behind)
    late = ended > (ticks + 1) * every + PUNCTUAL
    if not late.any():
        return started, first, ended
    # As lists, which are several times faster to walk than arrays.
    ticks_, first_ = ticks.tolist(), [*first.tolist(), number]
    total, lost = sums.total[first_].tolist(), sums.lost[first_].tolist()
    runs = len(ticks_)
    keep = np.zeros(runs, dtype=np.bool_)
    walked_tick: list[int] = []
    walked_run: list[int] = []
    walked_end: list[float] = []
    now = 0
    for overrun in np.flatnonzero(late).tolist():
        if overrun < now:
            continue
        keep[now:overrun] = True
        tick, now = ticks_[overrun], overrun
        while True:
            # What waits at this tick are the messages of all runs that were to start up to it.
            upto = bisect_left(ticks_, tick + 1, now)
            end = tick * every + startup + ((total[upto] - total[now]) + (lost[upto] - lost[now]))
            walked_tick.append(tick)
            walked_run.append(now)
            walked_end.append(end)
            now = upto
            tick = tick_at(end, every)
            if now == runs or ticks_[now] >= tick:
                break
    keep[now:] = True
    kept = np.flatnonzero(keep)
    order = np.argsort(np.concatenate((kept, walked_run)), kind="stable")
    return (
        np.concatenate((started[kept], np.array(walked_tick) * every))[order],
        np.concatenate((first[kept], first[walked_run]))[order],
        np.concatenate((ended[kept], walked_end))[order],
    )


# Several files at once


def _in_parallel(work: Work, job: Job, pauses: Pauses) -> Simulated:
    """The first thread that is free takes the next file; all are free when a run starts, and it ends with its last."""
    service = work.service.tolist()
    offsets: list[float] = []

    def length(first: int, behind: int) -> float:
        free = [0.0] * min(job.threads, behind - first)
        offsets.extend([heapreplace(free, free[0] + each) for each in service[first:behind]])
        return max(free)

    started, first, ended = _walked(work.arrived.tolist(), job, pauses, length)
    run_started = np.asarray(started, dtype=np.float64)
    taken = np.repeat(run_started, np.diff(np.asarray(first), append=len(service)))
    begun = taken + job.startup + np.array(offsets)
    return Simulated(work, job, taken, begun, begun + work.service, run_started, np.asarray(ended, dtype=np.float64))


# Run by run


def _walked(arrived: list[float], job: Job, pauses: Pauses, length: Callable[[int, int], float]) -> _Walk:
    """The runs, each after the end of the one before it.

    Args:
        arrived: when messages came.
        job: how they are processed.
        pauses: when no run starts.
        length: how long a run takes over the messages from one up to, not including, another; asked once for each run.
    """
    timetable = _Timetable(job, pauses)
    number = len(arrived)
    started: list[float] = []
    first: list[int] = []
    ended: list[float] = []
    now, start = 0, 0.0
    while now < number:
        if arrived[now] >= start:  # Nothing waits then.
            start = timetable.for_arrival(arrived[now])
        behind = bisect_left(arrived, start, now)
        end = start + job.startup + length(now, behind)
        started.append(start)
        first.append(now)
        ended.append(end)
        now, start = behind, timetable.following(start, end)
    return started, first, ended


class _Timetable:
    """When runs may start."""

    def __init__(self, job: Job, pauses: Pauses) -> None:
        self._every = job.every
        self._at_once = job.at_once
        self._from: list[float] = []
        self._until: list[float] = []
        for begin, end in sorted(pauses):
            if self._until and begin <= self._until[-1]:
                self._until[-1] = max(self._until[-1], end)
            elif begin < end:
                self._from.append(begin)
                self._until.append(end)
        self._made_up = [
            until
            for since, until in zip(self._from, self._until, strict=True)
            if job.at_once and _from(since, job.every) < until
        ]

    def for_arrival(self, instant: float) -> float:
        """The start of the run that takes what comes at an instant, when no other is on its way."""
        start = self._open(tick_behind(instant, self._every) * self._every)
        place = bisect_right(self._made_up, instant)
        return min(start, self._made_up[place]) if place < len(self._made_up) else start

    def following(self, start: float, end: float) -> float:
        """The start of the run after one that took so long."""
        due = tick_at(end, self._every) * self._every
        missed = tick_behind(start, self._every) * self._every < due
        return self._open(min(end, due) if self._at_once and missed else due)

    def _open(self, start: float) -> float:
        """The same, or what it becomes by a pause."""
        while True:
            place = bisect_right(self._from, start) - 1
            if place < 0 or start >= self._until[place]:
                return start
            if self._at_once:
                return self._until[place]
            start = _from(self._until[place], self._every)


def _from(instant: float, every: float) -> float:
    """The first tick that is not before an instant, exactly."""
    return tick_behind(math.nextafter(instant, -math.inf), every) * every


def tick_behind(instant: float, every: float) -> int:
    """The number of the first tick after an instant."""
    tick = math.floor(instant / every) + 1
    # A quotient that was rounded may be one off.
    if (tick - 1) * every > instant:
        return tick - 1
    return tick + 1 if tick * every <= instant else tick


def tick_at(instant: float, every: float) -> int:
    """The number of the first tick that is not before an instant, which may be late by what is still punctual."""
    latest = instant - PUNCTUAL
    tick = math.ceil(latest / every)
    if (tick - 1) * every >= latest:
        return tick - 1
    return tick + 1 if tick * every < latest else tick


def ticks_behind(instants: Floats, every: float) -> _Counts:
    """For each instant the number of the first tick after it."""
    ticks = np.floor(instants / every).astype(np.int64) + 1
    ticks -= (ticks - 1) * every > instants
    ticks += ticks * every <= instants
    return ticks
