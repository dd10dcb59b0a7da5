"""Lengths of time as people write them, patience, and clocks that jump, stop or sleep."""

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from popreceipt.client import wire
from popreceipt.client.times import SteadyTimes
from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange
from popreceipt.tour.errand import Call, Errand, Route, Until
from popreceipt.tour.running import How
from popreceipt.tour.tour import Toured
from popreceipt.tour.waiting import period_option, period_text, seconds_of

if TYPE_CHECKING:
    from conftest import Ground

HALF_HOUR = timedelta(minutes=30)
ROLE = "import-file"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("1.5", 1.5), ("75m", 4500), ("8d", 691_200), ("1h30m", 5400), (" 2H ", 7200), ("45s", 45)],
)
def test_a_length_of_time_is_seconds_or_has_units(text: str, seconds: float) -> None:
    """As people write it."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5", "5 min", "1e3", "nan", "8w", "5m3", "٣m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    """With the spelling that is understood."""
    with pytest.raises(UsageError, match="75m"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (1800, "30 min"), (3720, "1 h 2 min"), (691_200, "8 days")],
)
def test_lengths_of_time_are_told_in_two_units_at_most(seconds: float, text: str) -> None:
    """For a person who waits."""
    assert period_text(seconds) == text


@pytest.mark.parametrize("seconds", [0, 30, 59.9, 60, 4500, 10_800, 100_000, 691_200, 1e6])
def test_the_patience_that_is_proposed_suffices(seconds: float) -> None:
    """And can be read again."""
    assert seconds_of(period_option(seconds)) > seconds


def asking(ground: "Ground", *minutes: int) -> Errand:
    """Asks a question at these minutes after its beginning."""

    def run(call: Call) -> Route:
        began = call.moment
        for each in minutes:
            yield Until(began + timedelta(minutes=each), "its turn")
            call.send("jobstatus", wire.jobstatus(call.activity(ROLE), "none"))

    return ground.errand("asking", run, ground.line("asking", "jobstatus", ROLE))


def asked_at(toured: Toured) -> list[Exchange]:
    """The questions."""
    return [each for each in toured.entries if isinstance(each, Exchange) and each.operation == "jobstatus"]


def off_by(ground: "Ground", exchange: Exchange, true_minutes: float) -> timedelta:
    """How far the time that was told of an exchange is from the true one."""
    began = ground.targets[0].journal.header
    assert began is not None
    return abs(exchange.sent - (ground.began + timedelta(minutes=true_minutes)))


def test_probes_are_not_late_by_what_is_uncertain_of_a_clock(running_ground: "Ground") -> None:
    """After hours of waiting a question still goes out at its instant, not when the last doubt about it is gone."""
    toured = running_ground.drive(asking(running_ground, 60, 600, 2000))
    for exchange, minutes in zip(asked_at(toured), (60, 600, 2000), strict=True):
        assert off_by(running_ground, exchange, minutes) < timedelta(milliseconds=10)


def test_a_computer_that_stood_still_is_told_by_the_date_of_the_target(running_ground: "Ground") -> None:
    """A virtual machine that was paused: its stopwatch stood still, and what it sends is later than it believes."""
    ground = running_ground
    paused: list[bool] = []

    def pause(request: httpx.Request) -> None:
        if "jobstatus" in str(request.url) and not paused:
            paused.append(True)
            ground.set_by += timedelta(minutes=10)
            ground.emulator.advance(timedelta(minutes=10))

    ground.network.after = pause
    toured = ground.drive(asking(ground, 5, 30))
    first, second = asked_at(toured)
    assert off_by(ground, first, 5) < timedelta(seconds=1)
    assert off_by(ground, second, 30) < timedelta(seconds=3)
    assert toured.verdicts.suites["tour"]["lines"]["tour/time-of-day"] > 8


def test_a_time_of_day_that_was_set_moves_nothing(running_ground: "Ground") -> None:
    """The Date of the target says that the stopwatch is right."""
    for by in (timedelta(hours=1), timedelta(hours=-1)):
        ground = running_ground.again()

        def move(request: httpx.Request, ground: "Ground" = ground, by: timedelta = by) -> None:
            if "jobstatus" in str(request.url) and not ground.set_by:
                ground.set_by = by

        ground.network.after = move
        toured = ground.drive(asking(ground, 5, 30))
        for exchange, minutes in zip(asked_at(toured), (5, 30), strict=True):
            assert off_by(ground, exchange, minutes) < timedelta(seconds=1)


def test_a_computer_that_slept_has_waited(running_ground: "Ground") -> None:
    """What was due meanwhile is done at once, and sleeping is nobody's patience."""
    ground = running_ground
    slept: list[bool] = []

    def sleep_long(seconds: float) -> None:
        ground.slept.append(seconds)
        if not slept and ground.seconds > 600:
            slept.append(True)
            seconds += 8 * 3600
        ground.seconds += seconds
        ground.emulator.advance(timedelta(seconds=seconds))

    ground.sleep = sleep_long  # type: ignore[method-assign]  # this computer falls asleep
    toured = ground.drive(asking(ground, 5, 30, 60, 600), patience_seconds=3 * 3600)
    assert toured.states[0].how is How.DONE
    minutes = [(each.sent - ground.began) / timedelta(minutes=1) for each in asked_at(toured)]
    assert minutes[0] == pytest.approx(5, abs=0.1)
    assert minutes[1] == minutes[2] == pytest.approx(490, abs=1)
    assert minutes[3] == pytest.approx(600, abs=0.1)


def test_one_time_passes_through_two_processes(running_ground: "Ground") -> None:
    """What was uncertain when the first one settled its clock stays the same constant."""
    ground = running_ground
    ground.doubt = timedelta(seconds=1)
    first = ground.drive(asking(ground, 5, 30), patience_seconds=10 * 60)
    ground.advance(hours=1)
    ground.skew = timedelta(milliseconds=700)
    resumed = ground.drive(asking(ground, 5, 30), resume=True)
    before, after = asked_at(resumed)
    assert asked_at(first) == [before]
    passed = after.sent - before.sent
    assert abs(passed - timedelta(seconds=ground.seconds) + timedelta(minutes=5)) < timedelta(seconds=3)
    assert isinstance(ground.targets[-1].times, SteadyTimes)
    assert after.sent == after.answered


def test_where_the_time_of_day_was_set_meanwhile_bounds_are_wide(running_ground: "Ground") -> None:
    """Rather undecided than wrong: and it is told."""
    ground = running_ground
    ground.drive(asking(ground, 5, 30), patience_seconds=10 * 60)
    ground.advance(hours=1)
    ground.set_by = timedelta(hours=-3)
    resumed = ground.drive(asking(ground, 5, 30), resume=True)
    _, after = asked_at(resumed)
    truth = ground.began + timedelta(seconds=ground.seconds)
    assert after.sent <= truth <= after.answered
    assert any("time of day of this computer was set" in each for each in resumed.verdicts.notes)
