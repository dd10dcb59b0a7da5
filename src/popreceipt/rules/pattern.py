"""When a recurrence may have come, and when it must have: a pattern in a range, as Define recurrence has them.

Written from what the dialog says, with bounds wherever two right services may differ: whether the start itself is an
occurrence (and counts as one), whether the day of the end still belongs to it, what becomes of a 31st in a short month,
with which day a week begins. No journal is read here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from popreceipt.rules.reader import instant_of

Span = tuple[datetime, datetime]
"""The earliest and the latest that an instant can be."""

DAY: Final = timedelta(days=1)

FIXED: Final[Mapping[str, timedelta]] = {
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": DAY,
    "weeks": timedelta(weeks=1),
}
"""Units of one length."""

MONTHS: Final[Mapping[str, int]] = {"months": 1, "years": 12}
"""Units that follow the calendar, in months."""

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

IN_EVERY_MONTH: Final = 28
"""The last day of a month that every month has."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """Every so many units from a start on (None: from where it counts otherwise), on weekdays, up to an end.

    `weekdays` are numbers from Monday, 0; none are named where it is empty. `count` is the number of occurrences after
    which it ends, `until` the date of the end.
    """

    every: float
    unit: str
    start: datetime | None = None
    weekdays: frozenset[int] = frozenset()
    count: int | None = None
    until: datetime | None = None

    @property
    def period(self) -> timedelta | None:
        """From one occurrence to the next, where that is always the same and goes on for ever from the origin."""
        plain = self.start is None and self.count is None and self.until is None
        return self.step if plain else None

    @property
    def step(self) -> timedelta | None:
        """From one occurrence to the next within the range, where that is always the same."""
        unit = FIXED.get(self.unit)
        return None if unit is None or self.weekdays else unit * self.every

    def without_start(self) -> "Pattern":
        """The same without a start of its own."""
        return msgspec.structs.replace(self, start=None)

    def without_end(self) -> "Pattern":
        """The same for ever."""
        return msgspec.structs.replace(self, count=None, until=None)

    def each_day(self) -> "Pattern":
        """The same range, with an occurrence each day."""
        return msgspec.structs.replace(self, every=1, unit="days", weekdays=frozenset())

    def may_occur(self, origin: Span | None, since: datetime, by: datetime) -> bool:
        """Whether an occurrence may lie after `since` and not after `by`; it counts from somewhere in `origin`."""
        span = (self.start, self.start) if self.start is not None else origin
        if span is None:
            return True
        first, last = span
        since = max(since, first)
        if self.until is not None:
            by = min(by, self.until + DAY)
        if by < since:
            return False
        if self.weekdays:
            # The time of day is the start's, known or not: the whole day counts.
            return any(day.weekday() in self.weekdays for day in _days(since, min(by, since + timedelta(weeks=1))))
        # The start itself may be an occurrence; where none is given, the first comes a period after the origin.
        earliest = 0 if self.start is not None else 1
        if self.step is not None:
            lowest = max(earliest, -((last - since) // self.step))
            highest = (by - first) // self.step
        elif self._clamped(first) or self._clamped(last):
            return True
        else:
            lowest = self._month_steps(last, since)
            lowest = max(earliest, lowest + (self._at(last, lowest) < since))
            highest = self._month_steps(first, by)
        return lowest <= (highest if self.count is None else min(highest, self.count))

    def must_occur(self, origin: Span | None, since: datetime, by: datetime) -> int:
        """How many occurrences certainly lie after `since` and before `by`."""
        span = (self.start, self.start) if self.start is not None else origin
        if span is None:
            return 0
        first, last = span
        if self.until is not None:
            by = min(by, self.until)
        if by <= max(since, first):
            return 0
        if self.weekdays:
            if self.every != 1 or self.count is not None:
                return 0
            return sum(
                day.weekday() in self.weekdays and day > max(since, last) and day + DAY < by
                for day in _days(since, min(by, since + timedelta(weeks=5)))
            )
        if self.step is not None:
            lowest = max(1, (since - first) // self.step + 1)
            highest = -((last - by) // self.step) - 1
        else:
            if self._clamped(first) or self._clamped(last):
                return 0
            lowest = max(1, self._month_steps(first, since) + 1)
            highest = self._month_steps(last, by)
            highest -= self._at(last, highest) >= by
        if self.count is not None:
            highest = min(highest, self.count - 1)
        return max(0, highest - lowest + 1)

    def _clamped(self, origin: datetime) -> bool:
        """Whether some months lack the day; where no month is meant at all nothing is known either."""
        return origin.day > IN_EVERY_MONTH or self.unit not in MONTHS

    def _month_steps(self, origin: datetime, instant: datetime) -> int:
        """The number of the last occurrence that is not after an instant; negative before the origin."""
        step = int(self.every) * MONTHS[self.unit]
        steps = ((instant.year - origin.year) * 12 + instant.month - origin.month) // step
        return steps if self._at(origin, steps) <= instant else steps - 1

    def _at(self, origin: datetime, steps: int) -> datetime:
        months = origin.year * 12 + origin.month - 1 + steps * int(self.every) * MONTHS[self.unit]
        return origin.replace(year=months // 12, month=months % 12 + 1)


def pattern_in(settings: Mapping[str, Any], job: str) -> "Pattern | Untold | None":
    """What a job's settings tell of its `processing` or `monitoring` recurrence; None where it has none."""
    told = settings.get(f"{job}_recurrence")
    if isinstance(told, dict):
        return _read(told)
    name = f"{job}_recurrence_minutes"
    if name not in settings:
        return Untold() if f"{job}_recurrence" not in settings else None
    minutes = settings[name]
    return Pattern(every=float(minutes), unit="minutes") if minutes else None


class Untold(msgspec.Struct, frozen=True):
    """Nobody told of a recurrence, or in words that are not known."""


def _read(told: Mapping[str, Any]) -> Pattern | Untold:
    every, unit, end = told.get("every", 1), told.get("unit"), told.get("end")
    end = end if isinstance(end, dict) else {}
    days = [WEEKDAYS.index(str(day).lower()) for day in told.get("weekdays") or () if str(day).lower() in WEEKDAYS]
    start, until, count = told.get("start"), end.get("date"), end.get("count")
    if unit not in (*FIXED, *MONTHS) or not isinstance(every, (int, float)) or every <= 0:
        return Untold()
    begins, ends = (instant_of(each) if isinstance(each, str) else None for each in (start, until))
    if (start and begins is None) or (until and ends is None) or len(days) != len(told.get("weekdays") or ()):
        return Untold()
    return Pattern(
        every=every,
        unit=unit,
        start=begins[0] if begins is not None else None,
        weekdays=frozenset(days),
        count=count if isinstance(count, int) else None,
        until=ends[0] if ends is not None else None,
    )


def _days(since: datetime, by: datetime) -> list[datetime]:
    """The first instant of each day (UTC) that a stretch of time touches."""
    day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    while day <= by:
        found.append(day)
        day += DAY
    return found
