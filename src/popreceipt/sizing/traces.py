"""A trace: a CSV file of which the column `timestamp` says when messages came.

An instant is written as in ISO 8601. Either every one names its offset from UTC, and the trace is in UTC then; or none
does, and its hours of the day are taken as they are written. It knows no other column, and draws nothing.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from popreceipt.exceptions import UsageError
from popreceipt.sizing.plan import LONGEST_DAYS

COLUMN: Final = "timestamp"

SEPARATORS: Final = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Trace:
    """When messages came, in seconds since 1970, ascending; what names no offset counts as UTC.

    `disordered` is how many rows stood behind a later one. Tables are often exported newest first, or by another
    column; as each row is an instant by itself, its place tells nothing, so they are put in order.
    """

    instants: tuple[float, ...]
    disordered: int


def read_trace(path: Path) -> Trace:
    """The instants in a CSV file.

    Raises:
        UsageError: it cannot be read, is empty, lacks the column, holds something that is no instant, or instants with
            and without an offset; the sentence names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"Cannot read the trace {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The trace {path} is not text in UTF-8: {error.reason} at byte {error.start}.") from error
    rows = _cells(path, text)
    if not rows:
        raise UsageError(f"The trace {path} has its heading and no rows: nothing arrives.")
    instants = _instants(path, rows)
    days = (max(instants) - min(instants)) / 86400
    if days > LONGEST_DAYS:
        raise UsageError(
            f"The trace {path} covers {days:,.0f} days, from {_written(min(instants))} to {_written(max(instants))}, "
            f"and {LONGEST_DAYS:,} is the most. Is one of them a slip?"
        )
    disordered = sum(1 for one, following in pairwise(instants) if following < one)
    return Trace(tuple(sorted(instants)), disordered)


def _cells(path: Path, text: str) -> list[tuple[int, str]]:
    """The cells of the column, with their lines."""
    first = text.partition("\n")[0]
    separator = next((each for each in SEPARATORS if COLUMN in _headings(first.split(each))), SEPARATORS[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        headings = _headings(next(reader, []))
        if COLUMN not in headings:
            found = ", ".join(headings) or "nothing at all"
            raise UsageError(f"The trace {path} needs the column {COLUMN}; its first line has {found}.")
        place = headings.index(COLUMN)
        return [(reader.line_num, row[place].strip() if place < len(row) else "") for row in reader if row]
    except csv.Error as error:
        raise UsageError(f"The trace {path} is no CSV, line {reader.line_num}: {error}.") from error


def _headings(cells: Iterable[str]) -> list[str]:
    return [each.strip().strip('"').casefold() for each in cells]


def _instants(path: Path, rows: list[tuple[int, str]]) -> list[float]:
    instants: list[float] = []
    first_with: dict[bool, int] = {}
    for line, cell in rows:
        try:
            moment = datetime.fromisoformat(cell)
        except ValueError as error:
            raise UsageError(
                f"The trace {path}, line {line}: {cell or 'nothing'!r} is no instant. Write it as in "
                "2026-01-31T08:15:00 or 2026-01-31T08:15:00+01:00."
            ) from error
        if not set(cell.upper()) & {"T", " "}:
            raise UsageError(f"The trace {path}, line {line}: {cell!r} is a day without a time of day.")
        aware = moment.tzinfo is not None
        first_with.setdefault(aware, line)
        if len(first_with) > 1:
            raise UsageError(
                f"The trace {path} names an offset from UTC in line {first_with[True]} and none in line "
                f"{first_with[False]}: name it in every line, or in none."
            )
        instants.append((moment if aware else moment.replace(tzinfo=UTC)).timestamp())
    return instants


def _written(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d}"
