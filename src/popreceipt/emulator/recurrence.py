"""Recurrences: what the Define recurrence dialog sets ("Recurring integrations", "Create a recurring data job").

A recurrence is data, and when it falls due follows from it and from the instant at which it was set (its anchor). It
counts no runs and remembers nothing, so it goes on the same after a restart. No clock, no store.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal

import msgspec
from dateutil.rrule import MONTHLY, WEEKLY, YEARLY, rrule

from popreceipt.emulator.instants import written

Unit = Literal["minutes", "hours", "days", "weeks", "months", "years"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

UNITS: Final[tuple[Unit, ...]] = ("minutes", "hours", "days", "weeks", "months", "years")
WEEKDAYS: Final[tuple[Weekday, ...]] = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)

_SHORTEST_MONTH: Final = 28
_MONTHS: Final = 12
_LENGTHS: Final = {
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
    "weeks": timedelta(weeks=1),
}


class Recurrence(msgspec.Struct, frozen=True, kw_only=True):
    """Every so many of a unit, from a start on, until an end.

    `start` is the first occurrence; None means that the recurrence counts from its anchor, which is none itself.
    `weekdays` (weeks only) are the days of each week that counts, at the start's time of day; weeks begin on Monday.
    On a day that a month lacks, its last day stands in. It ends after `count` occurrences behind the anchor, whether
    there was something to do at them or not, or after `until`, which may be one itself; by default never.
    """

    every: int = 1
    unit: Unit = "minutes"
    start: datetime | None = None
    weekdays: tuple[Weekday, ...] = ()
    count: int | None = None
    until: datetime | None = None

    @property
    def minutes(self) -> int | None:
        """The minutes of a recurrence that is nothing else: no start, no end."""
        return self.every if self == Recurrence(every=self.every) else None

    def as_json(self) -> dict[str, Any]:
        """The recurrence as the control plane shows it."""
        end: dict[str, Any] | None = None
        if self.count is not None:
            end = {"count": self.count}
        elif self.until is not None:
            end = {"date": written(self.until)}
        return {
            "every": self.every,
            "unit": self.unit,
            "start": None if self.start is None else written(self.start),
            "weekdays": list(self.weekdays),
            "end": end,
        }

    def next_after(self, instant: datetime, anchor: datetime) -> datetime | None:
        """The first occurrence after an instant (not before the anchor); None when the recurrence is over by then."""
        instant = max(instant, anchor)
        found = next(self._occurrences(instant, anchor), None)
        if found is None or (self.until is not None and found > self.until):
            return None
        if self.count is not None and self._number(found, anchor) > self.count:
            return None
        return found

    def _number(self, occurrence: datetime, anchor: datetime) -> int:
        """Which of the occurrences behind the anchor this one is, from 1; nothing beyond the end is counted."""
        if self._is_even:
            first = next(self._occurrences(anchor, anchor))
            return (occurrence - first) // self._period + 1
        most = (self.count or 0) + 1
        return sum(1 for one in islice(self._occurrences(anchor, anchor), most) if one <= occurrence)

    def _occurrences(self, instant: datetime, anchor: datetime) -> Iterator[datetime]:
        """The occurrences after an instant, as if there were no end."""
        start = self.start if self.start is not None else anchor
        if self._is_even:
            return self._even(start, instant)
        rule = self._in_weeks(start, instant) if self.unit == "weeks" else self._in_calendar(start, instant)
        fraction = timedelta(microseconds=start.microsecond)  # Which a rule does not know.
        exact = (one + fraction for one in rule)
        return (one for one in exact if one > instant and one >= start)

    @property
    def _is_even(self) -> bool:
        """Whether all steps are of one length."""
        return self.unit in _LENGTHS and not self.weekdays

    @property
    def _period(self) -> timedelta:
        return self.every * _LENGTHS[self.unit]

    def _even(self, start: datetime, instant: datetime) -> Iterator[datetime]:
        # By division: a walk from the start would take every minute since then.
        steps = max(0, (instant - start) // self._period + 1)
        try:
            occurrence = start + steps * self._period
            while True:
                yield occurrence
                occurrence += self._period
        except OverflowError:
            return  # Behind the last year of the calendar.

    def _in_weeks(self, start: datetime, instant: datetime) -> rrule:
        # A whole number of periods later the same days of the week count, so the walk may begin close to the instant.
        skipped = max(0, (instant - start) // self._period - 1)
        return rrule(
            WEEKLY,
            dtstart=start + skipped * self._period,
            interval=self.every,
            byweekday=tuple(WEEKDAYS.index(day) for day in self.weekdays),
        )

    def _in_calendar(self, start: datetime, instant: datetime) -> rrule:
        months = self.every * (_MONTHS if self.unit == "years" else 1)
        passed = (instant.year - start.year) * _MONTHS + instant.month - start.month
        skipped = max(0, passed // months - 1) * months
        year, month = divmod(start.year * _MONTHS + start.month - 1 + skipped, _MONTHS)
        return rrule(
            YEARLY if self.unit == "years" else MONTHLY,
            dtstart=start.replace(year=year, month=month + 1, day=1),
            interval=self.every,
            bymonth=start.month if self.unit == "years" else None,
            # Alone, a day that a month lacks would leave the month out.
            bymonthday=tuple(range(min(start.day, _SHORTEST_MONTH), start.day + 1)),
            bysetpos=-1,
        )
