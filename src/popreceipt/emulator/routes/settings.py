"""What control calls may say: members by name, each with what it takes, so that a wrong one is refused by name."""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from popreceipt.emulator.activity import EXPORT, FILE, IMPORT, PACKAGE, RECURRENCES
from popreceipt.emulator.instants import instant_in
from popreceipt.emulator.recurrence import UNITS, WEEKDAYS, Recurrence
from popreceipt.vocabulary import SPELLINGS

MOST_RECORDS: Final = 100_000
LONGEST_RECURRENCE: Final = 525_600
LONGEST_ADVANCE: Final = timedelta(days=366)
LONGEST_NAME: Final = 100
LONGEST_DESCRIPTION: Final = 1_000
MOST_RUNS: Final = 1_000_000

_NAME: Final = re.compile(r"[^\x00-\x20\x7f-\xa0\ufffe\uffff][^\x00-\x1f\x7f\ufffe\uffff]*")


class Refused(ValueError):
    """A member that is missing, unknown or of the wrong kind; the text says which."""


Reader = Callable[[str, Any], Any]
"""From a member's name and value to what is meant by it."""


def said(value: Any) -> str:
    """A value as the caller wrote it, cut where it is long."""
    return json.dumps(value, ensure_ascii=False)[:80]


def boolean(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Refused(f"{name} is true or false, not {said(value)}.")
    return value


def whole(least: int, most: int) -> Reader:
    """A whole number within bounds."""

    def read(name: str, value: Any) -> int:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise Refused(f"{name} is a whole number from {least} to {most}, not {said(value)}.")
        return number

    return read


def period(most: timedelta, **unit: int) -> Reader:
    """A number, fractions included, of a unit (`days=1`, `seconds=1`), not negative and not above `most`."""
    step = timedelta(**unit)

    def read(name: str, value: Any) -> timedelta:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not 0 <= value <= most / step:
            raise Refused(f"{name} is a number from 0 to {most / step:.0f}, not {said(value)}.")
        return timedelta(seconds=value * step.total_seconds())

    return read


def or_null(reader: Reader) -> Reader:
    """The same, or null."""

    def read(name: str, value: Any) -> Any:
        return None if value is None else reader(name, value)

    return read


def one_of(*choices: str) -> Reader:
    """One of these words."""

    def read(name: str, value: Any) -> str:
        if value not in choices:
            raise Refused(f"{name} is one of {', '.join(choices)}, not {said(value)}.")
        return str(value)

    return read


def activity_name(name: str, value: Any) -> str:
    """What a recurring data job may be called."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not _NAME.fullmatch(value):
        raise Refused(f"{name} is a text of 1 to {LONGEST_NAME} printable characters that begins with no blank.")
    return value


def description(name: str, value: Any) -> str:
    """What a recurring data job is said to be for."""
    if not isinstance(value, str) or len(value) > LONGEST_DESCRIPTION:
        raise Refused(f"{name} is a text of at most {LONGEST_DESCRIPTION} characters.")
    return value


def instant(name: str, value: Any) -> datetime:
    """An instant in ISO 8601, in UTC where it names no zone."""
    found = instant_in(value) if isinstance(value, str) else None
    if found is None:
        raise Refused(f"{name} is an instant in ISO 8601, not {said(value)}.")
    return found


def recurrence(name: str, value: Any) -> Recurrence:
    """A recurrence as the Define recurrence dialog sets it."""
    if not isinstance(value, dict):
        raise Refused(f"{name} is an object with every and unit, or null, not {said(value)}.")
    asked = read(value, _RECURRENCE, "unit")
    asked |= asked.pop("end", None) or {}
    if asked.get("weekdays") and asked["unit"] != "weeks":
        raise Refused(f"{name} has weekdays, which go with the unit weeks, not with {asked['unit']}.")
    return Recurrence(**asked)


def _weekdays(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Refused(f"{name} is a list of weekdays, not {said(value)}.")
    named = [one_of(*WEEKDAYS)(name, day) for day in value]
    if len(set(named)) < len(named):
        raise Refused(f"{name} names a day twice.")
    return tuple(day for day in WEEKDAYS if day in named)


def _end(name: str, value: Any) -> dict[str, Any]:
    """Where a recurrence ends, as the members of a recurrence."""
    if not isinstance(value, dict) or len(value) != 1:
        raise Refused(f"{name} is null, a count or a date, not {said(value)}.")
    found = read(value, {"count": whole(1, MOST_RUNS), "date": instant})
    return {"count": found["count"]} if "count" in found else {"until": found["date"]}


def a_name(name: str, value: Any) -> str:
    """The name of something that the world may have: an entity, a format, a data project's ID."""
    if not isinstance(value, str):
        raise Refused(f"{name} is a text, not {said(value)}.")
    return value


def statuses(name: str, value: Any) -> frozenset[str]:
    """A list of status names; the empty list means all."""
    if not isinstance(value, list):
        raise Refused(f"{name} is a list of statuses.")
    found = set()
    for one in value:
        status = SPELLINGS.get(one.lower()) if isinstance(one, str) else None
        if status is None:
            raise Refused(f"{name} has {said(one)}, which is no status.")
        found.add(status)
    return frozenset(found)


_RECURRENCE: Final[Mapping[str, Reader]] = {
    "every": whole(1, LONGEST_RECURRENCE),
    "unit": one_of(*UNITS),
    "start": or_null(instant),
    "weekdays": _weekdays,
    "end": or_null(_end),
}

_MINUTES: Final = or_null(whole(1, LONGEST_RECURRENCE))

CHANGE: Final[Mapping[str, Reader]] = {
    "name": activity_name,
    "description": description,
    "enabled": boolean,
    "processing_recurrence": or_null(recurrence),
    "processing_recurrence_minutes": _MINUTES,
    "monitoring_recurrence": or_null(recurrence),
    "monitoring_recurrence_minutes": _MINUTES,
    "prevent_upload_when_zero_records": boolean,
    "in_order": boolean,
    "use_company_from_message": boolean,
}

CREATE: Final[Mapping[str, Reader]] = {
    "direction": one_of(IMPORT, EXPORT),
    "type": one_of(FILE, PACKAGE),
    "project": or_null(a_name),
    "entity": a_name,
    "format": a_name,
    **CHANGE,
}

ADVANCE: Final[Mapping[str, Reader]] = {"advance_seconds": period(LONGEST_ADVANCE, seconds=1)}

PRODUCE: Final[Mapping[str, Reader]] = {"records": whole(0, MOST_RECORDS)}

CLEANUP: Final[Mapping[str, Reader]] = {"olderThanDays": period(timedelta(days=36_525), days=1), "statuses": statuses}

BATCH: Final[Mapping[str, Reader]] = {"action": one_of("get-status", "delete-history")}

PARAMETERS: Final[Mapping[str, Reader]] = {"skip_reprocessing": boolean}


def read(body: Mapping[str, Any], members: Mapping[str, Reader], *needed: str) -> dict[str, Any]:
    """The members of a body, each read by its reader.

    Raises:
        Refused: one is unknown, of the wrong kind, or needed and missing.
    """
    if unknown := sorted(set(body) - set(members)):
        raise Refused(f"There is no member {unknown[0]!r:.80}; there are {', '.join(members)}.")
    for name in needed:
        if name not in body:
            raise Refused(f"The member {name} is missing.")
    return {name: members[name](name, value) for name, value in body.items()}


def read_activity(body: Mapping[str, Any], members: Mapping[str, Reader], *needed: str) -> dict[str, Any]:
    """The same of a recurring data job, whose recurrences may be given in two forms that must tell the same.

    Raises:
        Refused: as `read`, or the two forms of a recurrence differ.
    """
    asked = read(body, members, *needed)
    for name in RECURRENCES:
        if name in asked and f"{name}_minutes" in asked:
            whole_form, minutes = asked[name], asked.pop(f"{name}_minutes")
            if minutes != (None if whole_form is None else whole_form.minutes):
                raise Refused(f"{name} and {name}_minutes tell different things: give one of them.")
    return asked
