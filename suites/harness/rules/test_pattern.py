"""When a recurrence may and must come, against a walk over its occurrences one by one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.rules.pattern import Pattern, Untold, pattern_in

ORIGIN = datetime(2026, 1, 14, 7, 30, tzinfo=UTC)  # a Wednesday
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
STEPS = {"minutes": MINUTE, "hours": timedelta(hours=1), "days": DAY, "weeks": timedelta(weeks=1)}


@given(
    every=st.integers(1, 5),
    unit=st.sampled_from(sorted(STEPS)),
    count=st.none() | st.integers(1, 6),
    since=st.integers(0, 60_000),
    length=st.integers(1, 60_000),
)
def test_even_steps(every: int, unit: str, count: int | None, since: int, length: int) -> None:
    """What must come lies within what comes, and whatever comes may come; an end is open by one occurrence."""
    pattern = Pattern(every=every, unit=unit, count=count)
    begin, end = ORIGIN + since * MINUTE, ORIGIN + (since + length) * MINUTE
    step = every * STEPS[unit]
    walked = [ORIGIN + number * step for number in range(1, (end - ORIGIN) // step + 1)][: count or None]
    due = [one for one in walked if begin < one < end]
    must = pattern.must_occur((ORIGIN, ORIGIN), begin, end)
    assert len(due) - (1 if count is not None and walked[count - 1 : count] == due[-1:] else 0) <= must <= len(due)
    assert pattern.may_occur((ORIGIN, ORIGIN), begin, end) == any(begin <= one <= end for one in walked)


@pytest.mark.parametrize(("unit", "months"), [("months", 1), ("years", 12)])
@given(every=st.integers(1, 3), since=st.integers(0, 1500), length=st.integers(1, 1500))
def test_the_calendar(unit: str, months: int, every: int, since: int, length: int) -> None:
    """A month is as long as the calendar says."""
    pattern = Pattern(every=every, unit=unit)
    begin, end = ORIGIN + since * DAY, ORIGIN + (since + length) * DAY + MINUTE
    count = [ORIGIN.month - 1 + number * every * months for number in range(1, 110)]
    walked = [ORIGIN.replace(year=ORIGIN.year + number // 12, month=number % 12 + 1) for number in count]
    assert pattern.must_occur((ORIGIN, ORIGIN), begin, end) == sum(begin < one < end for one in walked)
    assert pattern.may_occur((ORIGIN, ORIGIN), begin, end) == any(begin <= one <= end for one in walked)


@given(days=st.sets(st.integers(0, 6), min_size=1), since=st.integers(0, 20), length=st.integers(0, 12))
def test_weekdays(days: set[int], since: int, length: int) -> None:
    """Each day counts as a whole: a run may come at any time of it, and must have come when it is over."""
    pattern = Pattern(every=1, unit="weeks", weekdays=frozenset(days))
    begin, end = ORIGIN + since * DAY, ORIGIN + (since + length) * DAY
    touched = [(begin + number * DAY).weekday() in days for number in range(length + 1)]
    assert pattern.may_occur((ORIGIN, ORIGIN), begin, end) == any(touched)
    assert pattern.must_occur((ORIGIN, ORIGIN), begin, end) == sum(touched[1:-1])


def test_what_is_open_convicts_nobody() -> None:
    """The start as an occurrence, the day of the end, a 31st, an origin that nobody told."""
    start = ORIGIN + DAY
    started = Pattern(every=1, unit="hours", start=start)
    assert not started.may_occur((ORIGIN, ORIGIN), ORIGIN, start - MINUTE)
    assert started.may_occur((ORIGIN, ORIGIN), ORIGIN, start)
    assert started.must_occur((ORIGIN, ORIGIN), ORIGIN, start + MINUTE) == 0
    ended = Pattern(every=1, unit="hours", until=start)
    assert ended.may_occur((ORIGIN, ORIGIN), start, start + timedelta(hours=5))
    assert ended.must_occur((ORIGIN, ORIGIN), start, start + timedelta(hours=5)) == 0
    assert not ended.may_occur((ORIGIN, ORIGIN), start + 2 * DAY, start + 3 * DAY)
    last = ORIGIN.replace(day=31)
    monthly = Pattern(every=1, unit="months")
    assert monthly.may_occur((last, last), last, last + DAY)
    assert monthly.must_occur((last, last), last, last + 90 * DAY) == 0
    assert monthly.may_occur(None, ORIGIN, ORIGIN + DAY)
    assert monthly.must_occur(None, ORIGIN, ORIGIN + 90 * DAY) == 0


def test_settings_are_read_in_either_form() -> None:
    """The longer form goes before the minutes; what is not understood is as if nobody had told."""
    assert pattern_in({"processing_recurrence_minutes": 5}, "processing") == Pattern(every=5, unit="minutes")
    assert pattern_in({"processing_recurrence_minutes": None}, "processing") is None
    assert pattern_in({}, "processing") == Untold()
    told = {"every": 2, "unit": "weeks", "weekdays": ["monday"], "start": None, "end": {"count": 3}}
    read = pattern_in({"monitoring_recurrence": told, "monitoring_recurrence_minutes": None}, "monitoring")
    assert read == Pattern(every=2, unit="weeks", weekdays=frozenset({0}), count=3)
    for odd in ({"unit": "moons"}, {"unit": "days", "start": "soon"}, {"unit": "weeks", "weekdays": ["someday"]}):
        assert pattern_in({"processing_recurrence": odd}, "processing") == Untold()
