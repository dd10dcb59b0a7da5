"""Waiting: how long anybody is willing to, what is told meanwhile, and how it is broken off without losing anything.

It knows the target's clock, this computer's, and the signals with which a person or a system ends a process. It does
not know what is waited for, but for the words that say so.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import FrameType
from typing import Final, Protocol

from popreceipt.client.times import SteadyTimes, TargetClock
from popreceipt.clock import SystemClock, stopwatch_through_sleep
from popreceipt.exceptions import UsageError
from popreceipt.tour.errand import Until

SLICE_SECONDS: Final = 5.0
"""Real seconds of a wait after which it is looked what time it is: a computer that slept has slept on."""

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_PERIOD = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_PLAIN = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def seconds_of(text: str) -> float:
    """The seconds of a period as a person writes it: `75m`, `8d`, `1h30m`, or plain seconds.

    Raises:
        UsageError: it is no such period.
    """
    given = text.strip().lower()
    if _PLAIN.fullmatch(given):
        return float(given)
    if not _PERIOD.fullmatch(given):
        raise UsageError(f"{text!r} is no length of time: write seconds, or a number with s, m, h or d (75m, 8d).")
    return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(given))


def period_text(seconds: float) -> str:
    """A length of time for people, in at most two units: `1 h 2 min`, `8 days`, `12 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if hours < 1:
        return f"{minutes} min {whole % 60} s" if minutes < 5 and whole % 60 else f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    named = f"{days} day{'s' if days > 1 else ''}"
    return f"{named} {hours % 24} h" if hours % 24 else named


def period_option(seconds: float) -> str:
    """A length of time that is at least this long, as `--patience` takes it."""
    minutes = int(seconds // 60) + 1
    if minutes <= 180:
        return f"{minutes}m"
    hours = int(seconds // 3600) + 1
    return f"{hours}h" if hours <= 48 else f"{int(seconds // 86_400) + 1}d"


@dataclass(frozen=True, slots=True)
class Here:
    """This computer's own clocks: its time of day, and real seconds, those included in which it slept."""

    wall: Callable[[], datetime] = field(default_factory=lambda: SystemClock().now)
    real: Callable[[], float] = stopwatch_through_sleep


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for now.

    Args:
        instant: until when, by the target's clock.
        what: completes "waiting for …".
        errands: how many wait for that or for something later.
        local: when that is by the clock on the wall here.
        patience_seconds: how much patience is left in the beginning.
    """

    instant: datetime
    what: str
    errands: int
    local: datetime
    patience_seconds: float


class Watcher(Protocol):
    """Whoever is told how far a tour is."""

    def doing(self, words: str, done: int, total: int) -> None:
        """This is done next; so many errands of all are over."""

    def waiting(self, wait: Wait, left_seconds: float) -> None:
        """It is still waited; told at the beginning of a wait and every few seconds."""

    def waited(self) -> None:
        """The wait is over."""

    def note(self, words: str) -> None:
        """Something that a person should know."""


class Silent:
    """Tells nobody."""

    def doing(self, words: str, done: int, total: int) -> None:
        """Nothing."""

    def waiting(self, wait: Wait, left_seconds: float) -> None:
        """Nothing."""

    def waited(self) -> None:
        """Nothing."""

    def note(self, words: str) -> None:
        """Nothing."""


class Patience:
    """Real time that may be spent waiting, all waits of one process together.

    Time in which the computer slept is nobody's patience: of each step of a wait no more counts than it was meant to
    take.

    Args:
        seconds: how much there is.
        here: this computer's clocks.
    """

    def __init__(self, seconds: float, here: Here | None = None) -> None:
        self.left_seconds = seconds
        self.spent_seconds = 0.0
        self.here = here or Here()

    def lasts_for(self, seconds: float) -> bool:
        """Whether so long a wait may be begun."""
        return seconds <= self.left_seconds

    @contextmanager
    def spent(self, meant: float) -> Iterator[None]:
        """Count a step of a wait, which is meant to take so long."""
        began = self.here.real()
        try:
            yield
        finally:
            counted = min(meant, self.here.real() - began)
            self.left_seconds -= counted
            self.spent_seconds += counted


def real_seconds_until(times: TargetClock, instant: datetime) -> float:
    """How long it is until an instant in real time; nothing where it has come, or where the clock can be moved."""
    remaining = (instant - times.earliest()).total_seconds()
    return max(0.0, remaining / times.rate) if times.rate > 0 else 0.0


def wait(
    times: TargetClock, until: Until, errands: int, patience: Patience, watcher: Watcher, look: Callable[[], None]
) -> None:
    """Wait until the instant has come for certain, in steps, telling how long it still takes.

    Args:
        times: the target's clock.
        until: the instant, and what for.
        errands: how many wait.
        patience: is spent.
        watcher: is told.
        look: looks after each step whether the clocks are still right.
    """
    if times.rate == 0:
        times.wait_until(until.instant)
        return
    left = real_seconds_until(times, until.instant)
    local = (patience.here.wall() + timedelta(seconds=left)).astimezone()
    told = Wait(until.instant, until.what, errands, local, patience.left_seconds)
    enough = timedelta(seconds=patience.left_seconds + SLICE_SECONDS)
    while left > 0:
        watcher.waiting(told, left)
        step = min(left, SLICE_SECONDS)
        with patience.spent(step):
            times.wait_until(min(until.instant, times.earliest() + timedelta(seconds=step * times.rate)), enough)
        look()
        left = real_seconds_until(times, until.instant)
    watcher.waited()


class Interruption:
    """Ctrl-C and SIGTERM, held off while a request is under way, so that what becomes of it is still written down.

    Outside of such a section, or at the second time, a signal breaks off at once (`KeyboardInterrupt`). Signals are
    handled in the main thread only; elsewhere nothing changes.
    """

    def __init__(self) -> None:
        self._held = False
        self._wanted = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Take the signals for as long as the block lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                # None where something that is not Python had set it: then the usual one.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the block come to its end; then break off if somebody wanted that meanwhile."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._wanted:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._held and not self._wanted:
            self._wanted = True
            return
        raise KeyboardInterrupt


TOLERATED: Final = timedelta(seconds=2)
"""How far this computer's clocks may part between two looks before the target is asked: a Date's own precision."""


class ClockCheck:
    """Finds out when this computer's stopwatch stood still, or its time of day was set.

    A stopwatch stands still where a virtual machine is paused, and the time of day is set by whoever keeps it. Where
    the two part, the target's own Date tells which of them was right. A target whose clock runs at a rate of its own
    need not write its time into that header, and is left alone.

    Args:
        times: the target's clock; one that is not settled once and for all needs no such look.
        here: this computer's clocks.
    """

    def __init__(self, times: TargetClock, here: Here) -> None:
        self._times = times if isinstance(times, SteadyTimes) and times.rate == 1.0 else None
        self._here = here
        self._wall, self._real = here.wall(), here.real()

    def parted(self) -> timedelta:
        """By how much the time of day went on further than the stopwatch since the last look; nothing where not."""
        if self._times is None:
            return timedelta(0)
        wall, real = self._here.wall(), self._here.real()
        parted = (wall - self._wall) - timedelta(seconds=real - self._real)
        self._wall, self._real = wall, real
        return parted if abs(parted) > TOLERATED else timedelta(0)

    def put_right(self, date: datetime | None, parted: timedelta) -> bool:
        """Set the clock on where the target's Date says that the stopwatch stood still; whether it did.

        Args:
            date: what an answer that came just now said.
            parted: what `parted` found.
        """
        if self._times is None or date is None or parted <= TOLERATED:
            return False
        reckoned = self._times.latest()
        ahead = date - reckoned
        if ahead <= TOLERATED:
            return False
        # The time of day knows it more exactly than a Date does, where both tell the same.
        self._times.settle(reckoned + parted if abs(ahead - parted) <= TOLERATED * 2 else date)
        return True


def continued(times: TargetClock, here: Here, then: datetime, wall: datetime, *, latest: datetime) -> bool:
    """Let the clock go on as an earlier process settled it; whether that fits what the target says of its time now.

    What is uncertain about a target's clock is a constant that each process settles anew. Between two processes only
    the time of day passes on what the first one settled. Where it does not fit (somebody set it meanwhile) the bounds
    of everything that follows are as wide as both constants.

    Args:
        times: the clock, as this process has settled it.
        here: this computer's clocks.
        then: an instant of the earlier process.
        wall: this computer's time of day at that instant.
        latest: the last instant that was written down: it is later than that now.
    """
    if not isinstance(times, SteadyTimes):
        return True
    reckoned = then + (here.wall() - wall) * times.rate
    settled = times.latest()
    allowed = times.error + timedelta(seconds=1 + 0.05 * times.rate)
    if abs(reckoned - settled) <= allowed and reckoned >= latest:
        times.settle(reckoned)
        return True
    times.settle(max(settled, latest), doubt=times.error * 2 + timedelta(seconds=1))
    return False
