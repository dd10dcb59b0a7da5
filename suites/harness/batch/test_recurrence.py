"""Recurrences: each falls due where somebody who walks from day to day would say so."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.emulator.recurrence import UNITS, WEEKDAYS, Recurrence

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)  # A Thursday.

INSTANTS = st.integers(0, 13 * 365 * 86_400).map(lambda passed: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(0, passed))
STEPS = {"minutes": 60, "hours": 3600, "days": 86_400, "weeks": 7 * 86_400}


def due(most: int, *, anchor: datetime = ANCHOR, **recurrence: Any) -> list[str]:
    """The first so many occurrences after the anchor."""
    found, one = [], Recurrence(**recurrence)
    instant: datetime | None = anchor
    while len(found) < most and (instant := one.next_after(instant, anchor)) is not None:
        found.append(f"{instant:%Y-%m-%d %H:%M}")
    return found


def walked(recurrence: Recurrence, anchor: datetime, days: int) -> list[datetime]:
    """The occurrences of a recurrence in days or longer, found by looking at one day after another."""
    start = recurrence.start or anchor
    monday = start.date() - timedelta(days=start.weekday())
    found = []
    for passed in range(days):
        instant = start + timedelta(days=passed)
        months = (instant.year - start.year) * 12 + instant.month - start.month
        is_last = (instant + timedelta(days=1)).month != instant.month
        fits = instant.day == start.day or (is_last and instant.day < start.day)
        counts = {
            "days": passed % recurrence.every == 0,
            "weeks": (
                (instant.date() - monday).days // 7 % recurrence.every == 0
                and WEEKDAYS[instant.weekday()] in recurrence.weekdays
                if recurrence.weekdays
                else passed % (7 * recurrence.every) == 0
            ),
            "months": fits and months % recurrence.every == 0,
            "years": fits and months % (12 * recurrence.every) == 0,
        }
        if counts[recurrence.unit] and instant > anchor:
            found.append(instant)
    if recurrence.until is not None:
        found = [one for one in found if one <= recurrence.until]
    return found[: recurrence.count]


@st.composite
def recurrences(draw: st.DrawFn) -> Recurrence:
    """Those that a naive walk over twelve years can follow."""
    unit = draw(st.sampled_from(["days", "weeks", "months", "years"]))
    days = draw(st.sets(st.sampled_from(WEEKDAYS))) if unit == "weeks" else set()
    count = draw(st.none() | st.integers(1, 40))
    return Recurrence(
        every=draw(st.integers(1, {"days": 400, "weeks": 60, "months": 30, "years": 5}[unit])),
        unit=unit,
        start=draw(st.none() | INSTANTS),
        weekdays=tuple(day for day in WEEKDAYS if day in days),
        count=count,
        until=None if count is not None else draw(st.none() | INSTANTS),
    )


@given(recurrences(), INSTANTS, INSTANTS)
def test_a_naive_walker_agrees(recurrence: Recurrence, anchor: datetime, instant: datetime) -> None:
    """Whatever the unit, the days of the week, start and end, and however long after the start one asks."""
    later = max(instant, anchor)
    expected = next((one for one in walked(recurrence, anchor, 5_000) if one > later), None)
    if expected is not None:
        assert recurrence.next_after(instant, anchor) == expected
    else:
        found = recurrence.next_after(instant, anchor)
        assert found is None or found > (recurrence.start or anchor) + timedelta(days=4_999)


@given(st.sampled_from(sorted(STEPS)), st.integers(1, 10_000), INSTANTS, INSTANTS, st.booleans())
def test_even_steps_are_found_by_division(
    unit: str, every: int, start: datetime, instant: datetime, has_start: bool
) -> None:
    """The next one is after the instant, a whole number of steps from the start, and no step too far."""
    one = Recurrence(every=every, unit=unit, start=start if has_start else None)
    anchor = instant - timedelta(days=1) if has_start else start
    step = timedelta(seconds=every * STEPS[unit])
    found = one.next_after(instant, anchor)
    later = max(instant, anchor)
    assert found is not None
    assert found > later
    assert (found - start) % step == timedelta(0)
    assert found - step <= later or (has_start and found == start)


@pytest.mark.parametrize(
    ("recurrence", "expected"),
    [
        ({"every": 5}, ["2026-01-01 00:05", "2026-01-01 00:10", "2026-01-01 00:15"]),
        ({"every": 2, "unit": "hours"}, ["2026-01-01 02:00", "2026-01-01 04:00", "2026-01-01 06:00"]),
        ({"unit": "days"}, ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"]),
        (
            {"every": 2, "unit": "weeks", "weekdays": ("monday", "friday")},
            ["2026-01-02 00:00", "2026-01-12 00:00", "2026-01-16 00:00"],
        ),
        (
            {"unit": "months", "start": datetime(2026, 1, 31, 8, tzinfo=UTC)},
            ["2026-01-31 08:00", "2026-02-28 08:00", "2026-03-31 08:00"],
        ),
        (
            {"unit": "years", "start": datetime(2024, 2, 29, tzinfo=UTC)},
            ["2026-02-28 00:00", "2027-02-28 00:00", "2028-02-29 00:00"],
        ),
        # The start is the first; what lies before the anchor is over.
        ({"every": 7, "start": datetime(2026, 1, 1, 0, 3, tzinfo=UTC)}, ["2026-01-01 00:03", "2026-01-01 00:10"]),
        ({"every": 7, "start": datetime(2025, 12, 31, 23, 59, tzinfo=UTC)}, ["2026-01-01 00:06", "2026-01-01 00:13"]),
        ({"every": 5, "count": 2}, ["2026-01-01 00:05", "2026-01-01 00:10"]),
        ({"every": 5, "until": datetime(2026, 1, 1, 0, 10, tzinfo=UTC)}, ["2026-01-01 00:05", "2026-01-01 00:10"]),
        ({"unit": "months", "count": 2}, ["2026-02-01 00:00", "2026-03-01 00:00"]),
        ({"every": 5, "until": datetime(2025, 1, 1, tzinfo=UTC)}, []),
    ],
)
def test_by_example(recurrence: dict[str, Any], expected: list[str]) -> None:
    """As the dialog's fields say; where fewer are listed than asked for, it has ended."""
    ends = "count" in recurrence or "until" in recurrence
    assert due(len(expected) + ends, **recurrence) == expected


def test_a_start_in_the_middle_of_a_second() -> None:
    """Is kept to the microsecond, in all units."""
    start = datetime(2026, 1, 15, 12, 0, 0, 250_000, tzinfo=UTC)
    for unit in UNITS:
        for days in [(), ("thursday",)] if unit == "weeks" else [()]:
            found = Recurrence(unit=unit, start=start, weekdays=days).next_after(start, ANCHOR)
            assert found is not None
            assert found.microsecond == 250_000
            assert found > start


def test_a_long_time_costs_nothing() -> None:
    """Asked after ten centuries it looks at few occurrences: the walk begins near the instant."""
    start = datetime(1000, 1, 31, tzinfo=UTC)
    late = datetime(9000, 1, 1, tzinfo=UTC)
    for unit in UNITS:
        days = ("sunday",) if unit == "weeks" else ()
        one = Recurrence(unit=unit, start=start, weekdays=days)
        walk = one._occurrences(late, ANCHOR)
        assert start < next(walk) - timedelta(days=366) < late
        if unit in {"months", "years"}:
            assert one._in_calendar(start, late)._dtstart.year >= 8998


def test_behind_the_last_year_there_is_nothing() -> None:
    """The calendar ends, and no error comes of it."""
    late = datetime(9999, 12, 31, 23, tzinfo=UTC)
    for unit in UNITS:
        assert Recurrence(every=60, unit=unit).next_after(late, late) is None


@given(recurrences(), INSTANTS)
def test_occurrences_only_go_on(recurrence: Recurrence, anchor: datetime) -> None:
    """Each is later than the one before, and asking between two finds the second."""
    found = [anchor]
    while len(found) < 5 and (following := recurrence.next_after(found[-1], anchor)) is not None:
        found.append(following)
    for one, other in pairwise(found):
        assert one < other
        assert recurrence.next_after(one + (other - one) / 2, anchor) == other


def test_what_is_nothing_but_minutes() -> None:
    """Is a number, too."""
    assert Recurrence(every=5).minutes == 5
    assert Recurrence(every=5, unit="hours").minutes is None
    assert Recurrence(every=5, count=3).minutes is None
    assert Recurrence(every=5, start=ANCHOR).minutes is None
    assert Recurrence(every=5, until=ANCHOR).as_json() == {
        "every": 5,
        "unit": "minutes",
        "start": None,
        "weekdays": [],
        "end": {"date": "2026-01-01T00:00:00Z"},
    }
