"""Bounds for the target's time: the truth is always inside, and they are tight where the target lets them be."""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.client.times import (
    ROUNDING,
    Began,
    DateTimes,
    ManualTimes,
    Reading,
    ScaledTimes,
    SystemTimes,
    TargetClock,
    instant,
    reading_of,
)
from popreceipt.exceptions import NotAbleTo, UsageError

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class _Target:
    """A target whose clock runs at a rate, a little off, seen from a computer with a stopwatch."""

    def __init__(self, rate: float = 1.0, off: float = 0.0, start: datetime = START) -> None:
        self.rate = rate
        self.real = 1000.0
        self.slept = 0.0
        self._pace = rate * (1 + off)
        self._start = start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(self.real - 1000.0) * self._pace)

    def stopwatch(self) -> float:
        return self.real

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.real += seconds

    def read(self, there: float = 0.0, back: float = 0.0, cut: timedelta = timedelta(milliseconds=1)) -> Reading:
        before = self.real
        self.real += there
        said = self.now()
        if cut >= SECOND:
            said = said.replace(microsecond=0)
        self.real += back
        return Reading(before, self.real, said, cut)

    def date(self, lag: float = 0.0) -> str:
        return format_datetime((self.now() - timedelta(seconds=lag * self.rate)).replace(microsecond=0), usegmt=True)


# Manual


def test_a_clock_that_stands_still_is_known_exactly(still: ManualTimes) -> None:
    assert (still.kind, still.rate) == ("manual", 0.0)
    assert still.earliest() == still.latest() == START
    still.advance(1800)
    assert still.earliest() == still.latest() == START + timedelta(minutes=30)
    still.wait_until(START + timedelta(hours=1))
    assert still.earliest() == still.latest() == START + timedelta(hours=1)


def test_the_past_is_not_waited_for(still: ManualTimes) -> None:
    still.wait_until(START - SECOND)
    assert still.earliest() == START


def test_a_manual_clock_never_goes_back(still: ManualTimes) -> None:
    with pytest.raises(UsageError, match="never goes back"):
        still.advance(-1)


def test_a_movement_under_way_may_have_happened() -> None:
    """While one thread waits for the target to move, another knows the time only up to that movement."""
    moving, done = threading.Event(), threading.Event()

    def move(seconds: float) -> datetime:
        moving.set()
        done.wait(5)
        return START + timedelta(seconds=seconds)

    times = ManualTimes(START, move)
    began = times.begin()
    thread = threading.Thread(target=times.advance, args=(60,))
    thread.start()
    moving.wait(5)
    assert times.end(began) == (START, START + timedelta(seconds=60))
    done.set()
    thread.join()
    assert times.earliest() == times.latest() == START + timedelta(seconds=60)


def test_a_movement_whose_answer_was_lost_stays_in_doubt() -> None:
    def move(_: float) -> datetime:
        raise NotAbleTo("target", "advance-time")

    times = ManualTimes(START, move)
    with pytest.raises(NotAbleTo):
        times.advance(60)
    assert (times.earliest(), times.latest()) == (START, START + timedelta(seconds=60))
    times.read(START)
    assert times.earliest() == times.latest() == START


@given(st.lists(st.integers(0, 5_000_000), max_size=30))
def test_a_clock_that_hides_its_fractions_is_inside_the_bounds(steps: list[int]) -> None:
    """A server may keep fractions of a second and cut them off in its answers."""
    truth = START

    def move(seconds: float) -> datetime:
        nonlocal truth
        truth += timedelta(seconds=seconds)
        return truth.replace(microsecond=0)

    times = ManualTimes(START, move)
    for step in steps:
        times.advance(step / 1_000_000)
        assert times.earliest() <= truth <= times.latest()
        assert times.latest() - times.earliest() <= 2 * SECOND


@given(st.lists(st.integers(0, 5_000_000), max_size=30))
def test_a_clock_that_ignores_fractions_is_inside_the_bounds(steps: list[int]) -> None:
    """A server may also drop the fraction it was told to advance by."""
    truth = START

    def move(seconds: float) -> datetime:
        nonlocal truth
        truth += timedelta(seconds=int(seconds))
        return truth

    times = ManualTimes(START, move)
    for step in steps:
        times.advance(step / 1_000_000)
        assert times.earliest() <= truth <= times.latest()


def test_somebody_else_may_move_the_clock(still: ManualTimes) -> None:
    still.read(START + timedelta(days=1))
    assert still.earliest() == still.latest() == START + timedelta(days=1)


# Running, with a control plane


def test_a_reading_is_as_good_as_its_round_trip() -> None:
    target = _Target()
    times = SystemTimes(target.read(there=0.01, back=0.03), real=target.stopwatch)
    assert (times.kind, times.rate) == ("system", 1.0)
    assert times.earliest() <= target.now() <= times.latest()
    assert times.latest() - times.earliest() < timedelta(milliseconds=42)


def test_the_best_reading_counts() -> None:
    target = _Target(rate=60)
    readings = [target.read(0.5, 0.5), target.read(0.001, 0.001), target.read(0.5, 0.5)]
    times = ScaledTimes(60, *readings, real=target.stopwatch)
    assert times.kind == "scaled"
    assert times.earliest() <= target.now() <= times.latest()
    assert times.latest() - times.earliest() < timedelta(seconds=0.25)


def test_a_clock_that_was_set_is_read_anew() -> None:
    """Readings that cannot both be true mean that the clock jumped: the newest one counts."""
    target = _Target()
    times = SystemTimes(target.read(), real=target.stopwatch)
    jumped = _Target(start=START + timedelta(hours=3))
    times.read(jumped.read())
    assert times.earliest() <= jumped.now() <= times.latest()


@given(
    rate=st.sampled_from([0.5, 1.0, 60.0, 3600.0]),
    off=st.floats(-0.0004, 0.0004),
    cut=st.sampled_from([timedelta(milliseconds=1), SECOND]),
    steps=st.lists(st.tuples(st.floats(0, 300), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=20),
)
def test_a_running_clock_is_inside_the_bounds(
    rate: float, off: float, cut: timedelta, steps: list[tuple[float, float, float]]
) -> None:
    """Whatever the round trips, and with clocks that go a little wrong, the truth is not excluded."""
    target = _Target(rate, off)
    times = ScaledTimes(rate, target.read(0.1, 0.1, cut), real=target.stopwatch)
    for gap, there, back in steps:
        target.real += gap
        began, before = times.begin(), target.now()
        assert began.earliest <= before
        reading = target.read(there, back, cut)
        sent, answered = times.end(began)
        assert sent <= before
        assert target.now() <= answered
        times.read(reading)
        assert times.earliest() <= target.now() <= times.latest()


def test_waiting_waits_for_certain() -> None:
    """Real time passes, divided by the rate, until even the earliest reading of the clock is past the instant."""
    target = _Target(rate=60)
    times = ScaledTimes(60, target.read(0.01, 0.01), real=target.stopwatch, sleep=target.sleep)
    before = target.now()
    times.advance(1800)
    assert target.now() - before >= timedelta(minutes=30)
    assert 30 <= target.slept < 31
    times.wait_until(before)
    assert target.slept < 31


def test_patience_ends() -> None:
    """What would take too long is not begun, and the message says what to do."""
    target = _Target()
    times = SystemTimes(target.read(), target="tenant:qa", real=target.stopwatch, sleep=target.sleep)
    with pytest.raises(NotAbleTo, match=r"tenant:qa lacks the ability 'advance-time'.*--patience 30m") as caught:
        times.advance(1795)
    assert caught.value.ability == "advance-time"
    assert target.slept == 0
    times.wait_until(target.now() + timedelta(minutes=3), patience=timedelta(minutes=5))
    assert target.slept >= 180


def test_a_running_clock_never_goes_back() -> None:
    target = _Target()
    with pytest.raises(UsageError, match="never goes back"):
        SystemTimes(target.read(), real=target.stopwatch).advance(-1)
    with pytest.raises(UsageError, match="above zero"):
        ScaledTimes(0, target.read())


# Running, without one


@given(
    rate=st.sampled_from([1.0, 60.0]),
    off=st.floats(-0.0004, 0.0004),
    seed=st.integers(0, 1000),
)
def test_dates_of_answers_bound_the_time(rate: float, off: float, seed: int) -> None:
    """Whole seconds are enough to know the time and never to be wrong."""
    chance = random.Random(seed)
    target = _Target(rate, off)
    times = DateTimes(rate, real=target.stopwatch)
    for _ in range(30):
        target.real += chance.random() * 5
        began, before = times.begin(), target.now()
        target.real += chance.random()
        date = target.date(lag=chance.random() if rate == 1.0 else 0.0)
        target.real += chance.random()
        sent, answered = times.end(began, date)
        assert sent <= before
        assert target.now() <= answered
    assert times.latest() - times.earliest() <= (3 * rate + 2) * SECOND


def test_many_dates_are_better_than_one() -> None:
    target = _Target()
    times = DateTimes(real=target.stopwatch)
    assert times.kind == "system"
    for step in range(50):
        target.real += 0.93
        times.end(Began(START, target.real), target.date())
        if step == 0:
            first = times.latest() - times.earliest()
    assert first == 2 * SECOND + 2 * ROUNDING
    assert times.earliest() <= target.now() <= times.latest()
    assert times.latest() - times.earliest() < timedelta(seconds=1.2)


def test_a_tenants_clock_may_be_set() -> None:
    target = _Target()
    times = DateTimes(real=target.stopwatch)
    times.end(Began(START, target.real), target.date())
    jumped = _Target(start=START + timedelta(minutes=5))
    times.end(Began(START, jumped.real), jumped.date())
    assert times.earliest() <= jumped.now() <= times.latest()


def test_dates_of_another_clock_are_not_listened_to() -> None:
    """A scaled server's web server may write real time into its answers: then only the first one helps."""
    target = _Target(rate=1.0)
    times = DateTimes(60.0, real=target.stopwatch)
    assert times.kind == "scaled"
    seen = []
    for _ in range(10):
        times.end(Began(START, target.real), target.date())
        seen.append(times.earliest())
        target.real += 10
    steps = [(later - sooner).total_seconds() for sooner, later in pairwise(seen)]
    assert steps == pytest.approx([600] * 9, rel=0.001)


@pytest.mark.parametrize(
    "date",
    [
        None,
        "yesterday",
        "",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -1400",
        "Mon, 01 Jan 0001 00:00:00 GMT",
    ],
)
def test_without_a_date_the_computers_time_stands_in(date: str | None) -> None:
    times = DateTimes()
    sent, answered = times.end(times.begin(), date)
    assert timedelta(0) <= answered - sent < timedelta(minutes=1)


# Reading what clocks say


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-01T00:00:00Z", START),
        ("2026-01-01T00:00:00", START),
        ("2026-01-01T00:00:00.000000Z", START),
        ("2026-01-01T01:00:00+01:00", START),
        ("2026-01-01T00:00:00.5Z", START + SECOND / 2),
        ("2026-01-01T00:00:00.1234567Z", START + timedelta(microseconds=123456)),
        ("Thu, 01 Jan 2026 00:00:00 GMT", START),
        ("/Date(1767225600000)/", START),
        ("/Date(1767225600500+0100)/", START + SECOND / 2),
        ("/Date(999999999999999)/", None),
        ("Thu, 01 Jan 2026 00:00:00 -0000", START),
        ("Mon, 01 Jan 0001 00:00:00 GMT", datetime(1, 1, 1, tzinfo=UTC)),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("Thursday at noon", None),
        ("soon", None),
        ("", None),
    ],
)
def test_an_instant_is_read_in_every_form(text: str, found: datetime | None) -> None:
    assert instant(text) == found


def test_a_clock_without_fractions_may_be_a_second_later() -> None:
    assert reading_of({"now": "2026-01-01T00:00:00Z"}, 1.0, 2.0) == Reading(1.0, 2.0, START, SECOND)
    for fraction, cut in (("25", SECOND / 100), ("000000", SECOND / 1_000_000), ("0000000", SECOND / 1_000_000)):
        exact = reading_of({"now": f"2026-01-01T00:00:00.{fraction}Z"}, 1.0, 2.0)
        assert exact is not None
        assert exact.cut == cut
    assert reading_of({"now": 3}, 1.0, 2.0) is None


def test_every_clock_is_a_target_clock(still: ManualTimes) -> None:
    target = _Target()
    clocks: list[TargetClock] = [still, SystemTimes(target.read()), ScaledTimes(2, target.read()), DateTimes()]
    speeds: list[Callable[[], datetime]] = [each.earliest for each in clocks]
    assert len({each.kind for each in clocks}) == 3
    assert all(each() is not None for each in speeds)
