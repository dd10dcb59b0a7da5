"""Time, handed in. No other module reads the time of day.

A clock answers what time it is and lets time pass. It is *system* (the computer's own), *manual* (moves only when
told) or *scaled* (runs a fixed number of times faster than the computer's). All instants are in UTC and aware.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from popreceipt.exceptions import UsageError

ClockKind = Literal["manual", "scaled", "system"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Where a manual clock starts unless told otherwise: fixed, so that the same seed gives the same run."""


FASTEST = 1e6
"""The highest rate of a scaled clock: a week in less than a second."""


class Clock(Protocol):
    """Answers now, and sleeps. `rate` is how many of its seconds pass in one real second (0 on a manual clock)."""

    @property
    def kind(self) -> ClockKind:
        """Which of the three it is."""

    @property
    def rate(self) -> float:
        """Seconds of this clock to one real second."""

    def now(self) -> datetime:
        """The instant it is, in UTC."""

    def sleep_until(self, instant: datetime) -> None:
        """Return when it is `instant`: by waiting, or (manual) by moving there."""


class SystemClock:
    """The computer's own time of day."""

    kind: ClockKind = "system"
    rate = 1.0

    def now(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(UTC)

    def sleep_until(self, instant: datetime) -> None:
        """Wait in real time."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:
            time.sleep(remaining)


class ManualClock:
    """Stands still until it is told to move; never goes back."""

    kind: ClockKind = "manual"
    rate = 0.0

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start

    def now(self) -> datetime:
        """Where it was last put."""
        return self._now

    def sleep_until(self, instant: datetime) -> None:
        """Move there at once; an instant in the past moves nothing."""
        self._now = max(self._now, instant)

    def advance(self, step: timedelta) -> datetime:
        """Move forward by `step` and say what time it is then."""
        if step < timedelta(0):
            raise UsageError(f"A clock never goes back: asked to advance by {step}.")
        self._now += step
        return self._now


class ScaledClock:
    """Runs `rate` times as fast as the computer, from `start` on (the time of day unless given).

    It began just now, or at the time of day `since`: then all processes that are told the same have the same time.
    """

    kind: ClockKind = "scaled"

    def __init__(self, rate: float, start: datetime | None = None, *, since: datetime | None = None) -> None:
        if not 0 < rate <= FASTEST:
            raise UsageError(f"A scaled clock needs a rate above zero and at most {FASTEST:g}, not {rate}.")
        self.rate = rate
        self._start = start if start is not None else datetime.now(UTC)
        self._began = time.monotonic() if since is None else _stopwatch_at(since)

    def now(self) -> datetime:
        """The start and what has passed since, `rate` times over."""
        return self._start + timedelta(seconds=(time.monotonic() - self._began) * self.rate)

    def sleep_until(self, instant: datetime) -> None:
        """Wait the shorter real time."""
        while (remaining := (instant - self.now()).total_seconds()) > 0:
            time.sleep(remaining / self.rate)


def _stopwatch_at(instant: datetime) -> float:
    """What the stopwatch showed at a time of day, by the closest of some readings of both.

    Between two readings a process may lose the processor, and a fast clock would be late by that for ever.
    """

    def reading() -> tuple[float, float]:
        before, now = time.monotonic(), datetime.now(UTC)
        spread = time.monotonic() - before
        return spread, before + spread / 2 - (now - instant).total_seconds()

    return min(reading() for _ in range(_READINGS))[1]


_READINGS = 20


def stopwatch() -> float:
    """Real seconds from a fixed but unknown moment: for durations of a run, never for the protocol's time."""
    return time.monotonic()


def stopwatch_through_sleep() -> float:
    """Real seconds from a fixed but unknown moment, those included in which the computer slept.

    Where a system does not tell those it is `stopwatch`.
    """
    return time.monotonic() if _THROUGH_SLEEP is None else time.clock_gettime(_THROUGH_SLEEP)


# The clocks that go on while the computer sleeps, as `monotonic` does on Windows alone: on Linux the one that counts
# since boot, on macOS the one that its manual page clock_gettime(3) says does.
_THROUGH_SLEEP: int | None = getattr(
    time, {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC"}.get(sys.platform, ""), None
)


def clock_from(text: str) -> SystemClock | ManualClock | ScaledClock:
    """The clock that `--clock` names: `system`, `manual` or `scaled:RATE`."""
    if text == "system":
        return SystemClock()
    if text == "manual":
        return ManualClock()
    kind, _, rate = text.partition(":")
    try:
        if kind == "scaled":
            return ScaledClock(float(rate))
    except ValueError:
        pass
    raise UsageError(f"Unknown clock {text!r}: it is system, manual or scaled:RATE (as in scaled:60).")
