"""When a recurrence occurs, for the server that shares nothing with the emulator."""

from __future__ import annotations

import calendar
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import stranger_shapes as shapes

LENGTHS = {
    "minutes": timedelta(minutes=1),
    "hours": timedelta(hours=1),
    "days": timedelta(days=1),
    "weeks": timedelta(weeks=1),
}
MONTHS = {"months": 1, "years": 12}
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MOST = 525600


def instant(value: object) -> datetime | None:
    """An instant as JSON spells it, or nothing."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC) if str(value).endswith("Z") else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Recurrence:
    """Every so many units from a first instant on, which is itself an occurrence only where it was given as start."""

    every: int
    unit: str
    first: datetime
    first_counts: bool
    weekdays: tuple[int, ...] = ()
    most: int | None = None
    until: datetime | None = None

    def after(self, now: datetime) -> datetime | None:
        """The next occurrence after this instant, if there is one."""
        if self.unit in LENGTHS and not self.weekdays:
            period = LENGTHS[self.unit] * self.every
            place = max((now - self.first) // period + 1, 0 if self.first_counts else 1)
            at, count = self.first + period * place, place + self.first_counts
        else:
            count, at = next((count, at) for count, at in enumerate(self.days(), 1) if at > now)
        if (self.most is not None and count > self.most) or (self.until is not None and at > self.until):
            return None
        return at

    def days(self) -> Iterator[datetime]:
        """The occurrences that follow the calendar, one after the other."""
        for turn in itertools.count(0, self.every):
            if self.unit == "weeks":
                monday = self.first - timedelta(days=self.first.weekday())
                places = [monday + timedelta(weeks=turn, days=day) for day in self.weekdays]
            else:
                years, month = divmod(self.first.month - 1 + turn * MONTHS[self.unit], 12)
                year = self.first.year + years
                day = min(self.first.day, calendar.monthrange(year, month + 1)[1])
                places = [self.first.replace(year=year, month=month + 1, day=day)]
            yield from (at for at in places if at > self.first or (at == self.first and self.first_counts))


def plain(minutes: int | None) -> dict[str, object] | None:
    """A number of minutes as the longer form says it."""
    return None if minutes is None else {"every": minutes, "unit": "minutes"}


def minutes_of(given: dict[str, object] | None) -> object:
    """The number of minutes of a recurrence that is nothing else."""
    if given is None or given["unit"] != "minutes" or given.get("start") or given.get("end"):
        return None
    return given.get("every", 1)


def checked(given: object) -> dict[str, object] | None:
    """A recurrence as the control plane takes it, or the reason why it is none."""
    if given is None:
        return None
    shape = {
        "every": shapes.number(1, MOST),
        "unit": shapes.one_of(*LENGTHS, *MONTHS),
        "start": shapes.maybe(lambda value: instant(value) is not None),
        "weekdays": shapes.list_of(shapes.one_of(*WEEKDAYS)),
        "end": shapes.maybe(lambda value: isinstance(value, dict) and len(value) == 1),
    }
    members = shapes.check(given, shape, ["unit"])
    days = members.get("weekdays") or []
    if days and (members["unit"] != "weeks" or len(set(days)) != len(days)):
        raise shapes.Wrong("weekdays belong to weeks, each once")
    end = {"count": shapes.number(1, 10**6), "date": lambda value: instant(value) is not None}
    shapes.check(members.get("end") or {}, end)
    return members


def counted(given: dict[str, object] | None, since: datetime) -> Recurrence | None:
    """The recurrence that these settings mean, set at this instant."""
    if given is None:
        return None
    start, end = instant(given["start"]) if given.get("start") else None, given.get("end") or {}
    return Recurrence(
        every=given.get("every", 1),
        unit=given["unit"],
        first=start or since,
        first_counts=start is not None,
        weekdays=tuple(sorted(WEEKDAYS.index(day) for day in given.get("weekdays") or [])),
        most=end.get("count"),
        until=instant(end["date"]) if "date" in end else None,
    )
