"""How values are written on pages."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from markupsafe import Markup

from popreceipt.vocabulary import (
    ACKED,
    DEQUEUED,
    DOWNLOADED,
    ENQUEUED,
    POSTPROCESSING_FAILED,
    PREPROCESSING,
    PREPROCESSING_ERROR,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    PROCESSING,
)

_TONES: Final = {
    ENQUEUED: "waiting",
    PREPROCESSING: "busy",
    PROCESSING: "busy",
    DEQUEUED: "busy",
    DOWNLOADED: "busy",
    PROCESSED: "good",
    ACKED: "good",
    PROCESSED_WITH_ERRORS: "bad",
    PREPROCESSING_ERROR: "bad",
    POSTPROCESSING_FAILED: "bad",
}


def instant(value: datetime) -> str:
    """An instant to the second, in UTC as everything on the pages."""
    return value.strftime("%Y-%m-%d %H:%M:%S")


def moment(value: datetime) -> Markup:
    """The same, for programs as well."""
    return Markup('<time datetime="{}">{}</time>').format(value.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), instant(value))


def size(count: int) -> str:
    """A number of bytes in the unit that suits it."""
    number = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{count} bytes" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def number(value: float) -> str:
    """A whole number with thousands told apart, others to one place."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def duration(value: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = int(value.total_seconds())
    parts = []
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, unit)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def tone(status: str) -> str:
    """Which way a status points: waiting, busy, good or bad."""
    return _TONES.get(status, "waiting")


FILTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "instant": instant,
    "moment": moment,
    "size": size,
    "number": number,
    "duration": duration,
    "tone": tone,
}
"""Filters by the name they have in templates."""
