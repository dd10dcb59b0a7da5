"""What the recorder knows of the target's time: never an instant, always a span that holds it.

A manual clock is known from its own answers; one that runs is known from readings, each as exact as its round trip,
and from the real seconds since. Nothing here reads the time of day except where a target shows no clock at all.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import sleep as sleep_really
from typing import Final, Protocol

from popreceipt.clock import ClockKind, SystemClock, stopwatch
from popreceipt.exceptions import NotAbleTo, UsageError

ADVANCE_TIME: Final = "advance-time"

DRIFT: Final = 500e-6
"""How far two clocks may come apart, in seconds a second: what synchronisation slews at most (MAXFREQ, RFC 5905)."""

ROUNDING: Final = timedelta(microseconds=1)
"""How far a bound may be off because the target's clock and our own sum are each rounded to a microsecond."""

KEPT_READINGS: Final = 8
"""How many readings of a clock are weighed against one another."""

A_WHOLE_SECOND: Final = timedelta(seconds=1)

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Began:
    """The moment before a request goes out: the target's earliest time then, and the stopwatch's real seconds."""

    earliest: datetime
    real: float


class TargetClock(Protocol):
    """Bounds for the target's present, and ways to let its time pass.

    `rate` is how many of its seconds pass in a real one (0 on a manual clock).
    """

    @property
    def kind(self) -> ClockKind:
        """Manual, scaled or system."""

    @property
    def rate(self) -> float:
        """Seconds of the target's clock to one real second."""

    def earliest(self) -> datetime:
        """It is at least this late."""

    def latest(self) -> datetime:
        """It is at most this late."""

    def begin(self) -> Began:
        """To be called just before a request is sent."""

    def end(self, began: Began, date: str | None = None) -> Span:
        """Bounds for a request between that moment and now; `date` is the Date header of its answer."""

    def advance(self, seconds: float) -> None:
        """Return when at least so many of the target's seconds have passed for certain.

        Raises:
            NotAbleTo: the clock would have to be waited for, longer than patience allows.
        """

    def wait_until(self, instant: datetime, patience: timedelta | None = None) -> None:
        """Return when it is `instant` for certain; `patience` (real time) overrides the clock's own."""


class ManualTimes:
    """A clock that only moves when told: what it answered last is what it is, for as long as nobody moves it.

    While a movement is under way (perhaps in another thread) it may have happened or not, and the bounds say so. A
    server that cuts fractions of a second off its answers is allowed for: the sum of what was asked counts as well.

    Args:
        now: what the clock said first.
        move: asks the target to advance by so many seconds and gives back what its clock says then.
    """

    kind: ClockKind = "manual"
    rate = 0.0

    def __init__(self, now: datetime, move: Callable[[float], datetime]) -> None:
        self._lower = now
        self._upper = now
        self._move = move
        self._moving = threading.Lock()

    def earliest(self) -> datetime:
        """The lower end of what is known."""
        return self._lower

    def latest(self) -> datetime:
        """The upper end, a movement under way included."""
        return self._upper

    def begin(self) -> Began:
        """The lower end, to be kept."""
        return Began(self._lower, 0.0)

    def end(self, began: Began, date: str | None = None) -> Span:  # noqa: ARG002  the Date header follows the real clock
        """From the lower end then to the upper end now."""
        return began.earliest, self._upper

    def advance(self, seconds: float) -> None:
        """Move the target's clock."""
        if seconds < 0:
            raise UsageError(f"A clock never goes back: asked to advance by {seconds} seconds.")
        with self._moving:
            step = timedelta(seconds=seconds)
            self._upper += step
            now = self._move(seconds)
            self._settle(now, self._lower + step)

    def wait_until(self, instant: datetime, patience: timedelta | None = None) -> None:  # noqa: ARG002  nothing is waited for
        """Move the target's clock to this instant, if it is not there yet."""
        remaining = (instant - self._lower).total_seconds()
        if remaining > 0:
            self.advance(remaining)

    def read(self, now: datetime) -> None:
        """Take in what the clock said when it was only asked."""
        with self._moving:
            self._settle(now, self._lower)

    def _settle(self, now: datetime, reckoned: datetime) -> None:
        if abs(now - reckoned) < A_WHOLE_SECOND and abs(now - self._upper) < A_WHOLE_SECOND:
            self._lower, self._upper = min(now, reckoned), max(now, self._upper)
        else:
            self._lower = self._upper = now


@dataclass(frozen=True, slots=True)
class Reading:
    """The target's clock said `now` at some moment between two readings of the stopwatch.

    `cut` is what may have been cut off the text: a second where it had no fraction.
    """

    before: float
    after: float
    now: datetime
    cut: timedelta = timedelta(microseconds=1)


class _Running:
    """A clock that runs at a known rate: bounds from readings, and waiting in real time."""

    kind: ClockKind = "scaled"

    def __init__(
        self,
        rate: float,
        target: str,
        patience: timedelta,
        real: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        if not rate > 0:
            raise UsageError(f"A running clock needs a rate above zero, not {rate}.")
        self.rate = rate
        self._target = target
        self._patience = patience
        self._real = real
        self._sleep = sleep
        self._readings: list[Reading] = []
        self._reading = threading.Lock()

    def earliest(self) -> datetime:
        """The best lower bound."""
        return self._earliest(self._real())

    def latest(self) -> datetime:
        """The best upper bound."""
        return self._latest(self._real())

    def begin(self) -> Began:
        """The stopwatch, to be kept with the lower bound."""
        real = self._real()
        return Began(self._earliest(real), real)

    def end(self, began: Began, date: str | None = None) -> Span:  # noqa: ARG002  the control plane's clock is better
        """From the lower bound then to the upper bound now, both by what is known now."""
        return self._earliest(began.real), self._latest(self._real())

    def advance(self, seconds: float) -> None:
        """Wait until so many seconds have passed for certain."""
        if seconds < 0:
            raise UsageError(f"A clock never goes back: asked to advance by {seconds} seconds.")
        self.wait_until(self.latest() + timedelta(seconds=seconds))

    def wait_until(self, instant: datetime, patience: timedelta | None = None) -> None:
        """Wait in real time."""
        allowed = self._patience if patience is None else patience
        remaining = (instant - self.earliest()).total_seconds()
        if remaining / self.rate > allowed.total_seconds():
            raise NotAbleTo(
                self._target,
                ADVANCE_TIME,
                instead=f"--patience {_minutes(remaining / self.rate)}m, or a target whose clock can be moved",
            )
        while (remaining := (instant - self.earliest()).total_seconds()) > 0:
            self._sleep(remaining / self.rate)

    def _earliest(self, real: float) -> datetime:
        return self._lower(self._known(), real)

    def _latest(self, real: float) -> datetime:
        return self._upper(self._known(), real)

    def _known(self) -> list[Reading]:
        return self._readings

    def _contradict(self, readings: list[Reading], real: float) -> bool:
        return self._lower(readings, real) > self._upper(readings, real)

    def _lower(self, readings: list[Reading], real: float) -> datetime:
        return max(self._lowest(each, real) for each in readings)

    def _upper(self, readings: list[Reading], real: float) -> datetime:
        return min(self._highest(each, real) for each in readings)

    def _lowest(self, reading: Reading, real: float) -> datetime:
        elapsed = real - reading.after
        return reading.now + timedelta(seconds=(elapsed - abs(elapsed) * DRIFT) * self.rate) - ROUNDING

    def _highest(self, reading: Reading, real: float) -> datetime:
        elapsed = real - reading.before
        return reading.now + timedelta(seconds=(elapsed + abs(elapsed) * DRIFT) * self.rate) + reading.cut + ROUNDING


class ScaledTimes(_Running):
    """A clock known through `GET /clock`.

    Args:
        rate: seconds of the target's clock to one real second.
        readings: what it said, with the round trips; at least one. The tightest bounds win.
        target: the target's name, for the error when waiting would take too long.
        patience: how much real time one wait may cost.
        real: real seconds, from any start.
        sleep: waits so many real seconds.
    """

    def __init__(
        self,
        rate: float,
        *readings: Reading,
        target: str = "the target",
        patience: timedelta = timedelta(minutes=1),
        real: Callable[[], float] = stopwatch,
        sleep: Callable[[float], None] = sleep_really,
    ) -> None:
        super().__init__(rate, target, patience, real, sleep)
        for each in readings:
            self.read(each)

    def read(self, reading: Reading) -> None:
        """Take in another reading; where it contradicts the others the clock was set, and only the new one counts."""
        with self._reading:
            known = [*self._readings, reading]
            if self._contradict(known, reading.after):
                known = [reading]
            elif len(known) > KEPT_READINGS:
                known = [min(known, key=lambda each: each.after - each.before), reading]
            self._readings = known


class SystemTimes(ScaledTimes):
    """A clock known through `GET /clock` that runs as the computer's own does."""

    kind: ClockKind = "system"

    def __init__(
        self,
        *readings: Reading,
        target: str = "the target",
        patience: timedelta = timedelta(minutes=1),
        real: Callable[[], float] = stopwatch,
        sleep: Callable[[float], None] = sleep_really,
    ) -> None:
        super().__init__(1.0, *readings, target=target, patience=patience, real=real, sleep=sleep)


class DateTimes(_Running):
    """A clock known only through the Date headers of answers, in whole seconds, with its rate given.

    The truth is later than the header says, by up to a second that was cut off and, on a real clock, another: many
    servers write the header anew only once a second. A server whose clock runs at another rate has to write it for
    each answer, or its time cannot be known from it. Each answer narrows the offset between the target's time and the
    stopwatch. Where answers contradict each other the clock was set, and counting starts anew; with another rate than
    1 the header then follows another clock (most servers write real time there) and is no longer listened to. Until a
    first answer came the computer's own time of day stands in, for want of anything better.

    Args:
        rate: seconds of the target's clock to one real second.
        target: the target's name, for the error when waiting would take too long.
        patience: how much real time one wait may cost.
        real: real seconds, from any start.
        sleep: waits so many real seconds.
    """

    def __init__(
        self,
        rate: float = 1.0,
        *,
        target: str = "the target",
        patience: timedelta = timedelta(minutes=1),
        real: Callable[[], float] = stopwatch,
        sleep: Callable[[float], None] = sleep_really,
    ) -> None:
        super().__init__(rate, target, patience, real, sleep)
        self.kind = "system" if rate == 1.0 else "scaled"
        began = real()
        self._assumed = [Reading(began, began, SystemClock().now())]
        self._other_clock = False

    def end(self, began: Began, date: str | None = None) -> Span:
        """From the lower bound then to the upper bound now, after learning from the answer's Date header."""
        now = self._real()
        said = _date(date)
        if said is not None and not self._other_clock:
            self._learn(Reading(began.real, now, said, cut=A_WHOLE_SECOND * (2 if self.rate == 1.0 else 1)))
        return self._earliest(began.real), self._latest(now)

    def _known(self) -> list[Reading]:
        return self._readings or self._assumed

    def _learn(self, reading: Reading) -> None:
        with self._reading:
            known = [*self._readings, reading]
            real = reading.after
            if not self._contradict(known, real):
                # Two readings hold all that is known: that of the highest lower bound and that of the lowest upper.
                lower = max(known, key=lambda each: self._lowest(each, real))
                upper = min(known, key=lambda each: self._highest(each, real))
                self._readings = [lower, upper]
            elif self.rate == 1.0:
                self._readings = [reading]
            else:
                self._other_clock = True


class SteadyTimes:
    """A running clock, taken to be in the middle of its bounds and to keep its rate from there on.

    Bounds for an instant are as wide as a round trip, those of two calls in a row overlap, and then nothing could be
    said of their order. What is uncertain, though, is one constant: here it is settled once, so that calls keep their
    order and their distances, and told as `error`, for whoever compares with an instant that the target names.

    Args:
        running: the clock, read as well as it can be.
        real: real seconds, from any start; the same as the running clock's.
    """

    def __init__(self, running: TargetClock, *, real: Callable[[], float] = stopwatch) -> None:
        self._running = running
        self._real = real
        self._began = real()
        earliest, latest = running.earliest(), running.latest()
        self.error = (latest - earliest) / 2
        self._start = earliest + self.error
        self.kind: ClockKind = running.kind
        self.rate = running.rate
        self._doubt = timedelta(0)

    def settle(self, now: datetime, doubt: timedelta = timedelta(0)) -> None:
        """Take it to be `now`, as whoever kept its time before says.

        Args:
            now: the instant.
            doubt: how far that may be from what was settled before: by so much the bounds of calls part from here on.
        """
        self._start, self._began = now, self._real()
        self._doubt = doubt

    def earliest(self) -> datetime:
        """What it is taken to be."""
        return self._at(self._real()) - self._doubt

    def latest(self) -> datetime:
        """What it is taken to be."""
        return self._at(self._real()) + self._doubt

    def begin(self) -> Began:
        """The moment, to be kept."""
        real = self._real()
        return Began(self._at(real) - self._doubt, real)

    def end(self, began: Began, date: str | None = None) -> Span:  # noqa: ARG002  the offset is settled
        """From that moment to now."""
        return began.earliest, self._at(self._real()) + self._doubt

    def advance(self, seconds: float) -> None:
        """Wait until so many seconds have passed."""
        self._running.advance(seconds)

    def wait_until(self, instant: datetime, patience: timedelta | None = None) -> None:
        """Wait until it is this instant."""
        # By the running clock's one bound, so that its bounds parting in the course of hours make nobody late.
        while (remaining := instant - self.earliest()) > timedelta(0):
            self._running.wait_until(self._running.earliest() + remaining, patience)

    def _at(self, real: float) -> datetime:
        return self._start + timedelta(seconds=(real - self._began) * self.rate)


def reading_of(answer: Mapping[str, object], before: float, after: float) -> Reading | None:
    """What a clock said of itself (`{"now": …}`), as a reading; None where it said no instant."""
    text = answer.get("now")
    now = instant(text) if isinstance(text, str) else None
    if now is None:
        return None
    fraction = re.search(r"[.,](\d+)", str(text))
    digits = min(len(fraction.group(1)), 6) if fraction is not None else 0
    return Reading(before, after, now, A_WHOLE_SECOND / 10**digits)


def instant(text: str) -> datetime | None:
    """An instant in ISO 8601, in UTC where it names no zone; None where it is none.

    Two older forms are read as well: that of a Date header, and the milliseconds of .NET (`/Date(…)/`).
    """
    text = text.strip()
    try:
        if (milliseconds := _MILLISECONDS.fullmatch(text)) is not None:
            return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(milliseconds.group(1)))
        found = parsedate_to_datetime(text) if text[:3].isalpha() else datetime.fromisoformat(text)
        if (year := _YEAR_IN_FULL.match(text)) is not None:
            # Whoever reads mail takes 0001, the year of a zero date, for 2001.
            found = found.replace(year=int(year.group(1)))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_YEAR_IN_FULL: Final = re.compile(r"[A-Za-z]{3}, [0-9]{1,2} [A-Za-z]{3} ([0-9]{4}) ")
_MILLISECONDS: Final = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
        utc = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # Nobody could count on from the last day that there is.
    return utc if _YEARS[0] <= utc.year <= _YEARS[1] else None


_YEARS: Final = (1990, 2999)
"""Of a server's clock. What is beyond them is told by mistake, or by somebody who wants to see what comes of it."""


def _minutes(seconds: float) -> int:
    return int(seconds // 60) + 1
