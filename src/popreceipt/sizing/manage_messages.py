"""Arrivals and service times out of Manage messages, exported as a CSV file from a real environment.

Three columns count: when a message was enqueued, and when its processing started and was completed. The file is read
as spreadsheets and export tools write such tables: in any of the usual encodings, separators and ways to write a date.
What cannot be read for certain is refused with its line and column; nothing is guessed.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final, Literal

from dateutil import tz

from popreceipt.exceptions import UsageError
from popreceipt.sizing.plan import ManageMessages
from popreceipt.sizing.recorded import Recorded, Row
from popreceipt.sizing.work import Floats

BLANK: Final = float("nan")

BLANKS: Final = frozenset({"", "null", "none", "-", "n/a"})
"""What stands where there is nothing; so does any date of the year 1900, the framework's empty one."""

NO_YEAR: Final = 1900

ROUNDED: Final = 1.0
"""Seconds by which an instant may precede the one before it: tables are often exported without fractions."""

TOLD_AT_MOST: Final = 3
"""So many lines are named where several are wrong in the same way."""

SEPARATORS: Final = (",", ";", "\t", "|")

Column = Literal["enqueued", "started", "completed"]
COLUMNS: Final[tuple[Column, ...]] = ("enqueued", "started", "completed")

# Headings without their blanks and punctuation, in lower case: as columns of the table are called
# (EnqueueDateTime, ProcessingStartedDateTime, ProcessingCompletedDateTime) and as people and pages write them.
_MOMENT = r"(?:date|time|at|on|utc|and)*"
_HEADINGS: Final[Mapping[str, re.Pattern[str]]] = {
    "enqueued": re.compile(rf"(?:message)?enqueued?{_MOMENT}"),
    "started": re.compile(rf"(?:processing|process)start(?:ed)?{_MOMENT}"),
    "completed": re.compile(rf"(?:processing|process)(?:complet(?:ed|ion)|end(?:ed)?|finish(?:ed)?){_MOMENT}"),
    "id": re.compile(r"message(?:id|guid)?"),
}


def read(path: Path, form: ManageMessages | None = None) -> Recorded:
    """The messages in a table.

    Args:
        path: the CSV file. A row that stands there twice counts once, where there is a column with the message's ID.
        form: how dates are written, where they do not tell by themselves; the time zone of those that name none; and
            headings that are not known.

    Raises:
        UsageError: the file cannot be read, lacks a column, or holds something that cannot be understood; the sentence
            names the line and the column.
    """
    how = form if form is not None else ManageMessages()
    table = _table(path, how)
    if not table.cells:
        raise UsageError(f"{path} has headings and no rows: there is nothing to derive from it.")
    reader = _Reader(path, how, table)
    rows = [(line, identifier, reader.instants(line, cells)) for line, identifier, cells in table.cells]
    kept, repeated = _once(path, rows)
    notes = [f"{repeated} rows stand there twice and count once."] if repeated else []
    unprocessed = sum(1 for row in kept if not math.isfinite(row[1] + row[2]))
    if unprocessed:
        notes.append(f"{unprocessed} of {len(kept)} messages have no processing start or end: they count as arrivals.")
    return Recorded.of(kept, notes)


def arrivals_of(path: Path, form: ManageMessages | None = None) -> Floats:
    """When messages were enqueued, in seconds since 1970, ascending. Arguments and errors as with `read`."""
    return read(path, form).enqueued


def services_of(path: Path, form: ManageMessages | None = None) -> Floats:
    """How long the processing of each message took, in seconds, in the order of their enqueues.

    Raises:
        UsageError: as with `read`, or no message has been processed.
    """
    found = read(path, form).services
    if not len(found):
        raise UsageError(f"{path} holds no message of which both the start and the end of the processing are known.")
    return found


# The file


@dataclass
class _Table:
    """The rows of a file: their lines, message IDs (None without such a column) and the cells of the three columns."""

    headings: Mapping[Column, str]
    cells: list[tuple[int, str | None, tuple[str, str, str]]] = field(default_factory=list)


def _table(path: Path, form: ManageMessages) -> _Table:
    text = _text(path)
    first = text.split("\n", 1)[0].strip("\r")
    skipped = 0
    separators: Sequence[str] = SEPARATORS
    if first.lower().startswith("sep=") and len(first) > len("sep="):
        separators, skipped = (first[len("sep=")],), 1
        text = text.partition("\n")[2]
    for separator in separators:
        headings = _headings_of(path, text, separator)
        places = _places(path, headings, form)
        if all(each in places for each in COLUMNS):
            rows = _rows(path, text, separator, skipped)
            next(rows)
            return _read_rows(path, rows, headings, places)
    raise UsageError(_lacks(path, text, form))


def _read_rows(
    path: Path, rows: Iterator[tuple[int, list[str]]], headings: list[str], places: dict[str, int]
) -> _Table:
    table = _Table({each: headings[places[each]] for each in COLUMNS})
    for line, row in rows:
        cells = [each.strip() for each in row]
        if not any(cells) or cells == list(headings):  # Between tables that were put one behind the other.
            continue
        if len(cells) > len(headings) and any(cells[len(headings) :]):
            raise UsageError(
                f"{path}, line {line}: {len(cells)} cells under {len(headings)} headings. A cell with a separator in "
                "it has to stand in quotes."
            )
        cells += [""] * (len(headings) - len(cells))
        enqueued, started, completed = (cells[places[each]] for each in COLUMNS)
        identifier = cells[places["id"]].strip("{}").lower() if "id" in places else ""
        table.cells.append((line, identifier or None, (enqueued, started, completed)))
    return table


def _text(path: Path) -> str:
    """The file's text, in whichever of the usual encodings it stands."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
    if content.startswith(b"PK\x03\x04"):
        raise UsageError(f"{path} is a workbook or an archive: save the sheet as CSV.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content[:64]:  # Text in UTF-16 of which somebody has cut off the mark.
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise UsageError(f"{path} is no text in UTF-16, which it seems to be: {error.reason}.") from error
    # The code page of Western Windows. What counts here is the same in all of its relatives.
    return content.decode("cp1252", "replace")


def _headings_of(path: Path, text: str, separator: str) -> list[str]:
    """The headings, if this is the separator; if it is not, anything."""
    return [each.strip() for each in next(_rows(path, text, separator, 0, strict=False), (0, []))[1]]


def _rows(
    path: Path, text: str, separator: str, skipped: int, *, strict: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it ends on; the first one that is not empty has the headings."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    begun = False
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(f"{path}, line {reader.line_num + skipped}: {error}.") from error
        begun = begun or any(each.strip() for each in row)
        if begun:
            yield reader.line_num + skipped, row


def _places(path: Path, headings: Sequence[str], form: ManageMessages) -> dict[str, int]:
    """Where each column stands that is there."""
    named = {"enqueued": form.enqueued, "started": form.started, "completed": form.completed}
    places: dict[str, int] = {}
    for column, pattern in _HEADINGS.items():
        heading = named.get(column)
        if heading is not None:
            found = [place for place, each in enumerate(headings) if each.casefold() == heading.strip().casefold()]
        else:
            found = [place for place, each in enumerate(headings) if pattern.fullmatch(_bare(each))]
        if len(found) > 1 and column != "id":
            raise UsageError(
                f"{path} has more than one column {column}: {', '.join(headings[each] for each in found)}. Name the "
                f'right one in the plan: [manage_messages] {column} = "…".'
            )
        if found:
            places[column] = found[0]
    return places


def _bare(heading: str) -> str:
    """A heading without what stands in brackets, blanks and punctuation, in lower case."""
    return re.sub(r"[\W_]", "", re.sub(r"\(.*?\)|\[.*?\]", "", heading)).lower()


def _lacks(path: Path, text: str, form: ManageMessages) -> str:
    """The sentence for a file without the columns, by the separator that makes the most of its first line."""
    best: tuple[int, int, list[str], dict[str, int]] = (-1, 0, [], {})
    for separator in SEPARATORS:
        headings = _headings_of(path, text, separator)
        places = _places(path, headings, form)
        best = max(best, (len(places), len(headings), headings, places), key=lambda each: each[:2])
    if not best[2]:
        return f"{path} is empty."
    missing = [each for each in COLUMNS if each not in best[3]]
    wanted = {
        "enqueued": "when messages were enqueued (EnqueueDateTime, or Enqueued)",
        "started": "when processing started (ProcessingStartedDateTime, or Processing started)",
        "completed": "when it was completed (ProcessingCompletedDateTime, or Processing completed)",
    }
    example = ", ".join(f'{each} = "…"' for each in missing)
    return (
        f"{path} has no column for {'; nor for '.join(wanted[each] for each in missing)}. Its headings are "
        f"{', '.join(repr(each) for each in best[2][:20])}. Where they are called otherwise, say so in the plan: "
        f"[manage_messages] {example}."
    )


# Rows


def _once(path: Path, rows: Sequence[tuple[int, str | None, Row]]) -> tuple[list[Row], int]:
    """Each message once, and how many rows that leaves out. Of two states of a message the later one counts."""
    kept: list[Row] = []
    known: dict[str, tuple[int, int]] = {}
    repeated = 0
    for line, identifier, row in rows:
        if identifier is None:
            kept.append(row)
            continue
        if identifier not in known:
            known[identifier] = line, len(kept)
            kept.append(row)
            continue
        before, place = known[identifier]
        repeated += 1
        for mine, other in zip(kept[place], row, strict=True):
            if math.isfinite(mine) and math.isfinite(other) and mine != other:
                raise UsageError(
                    f"{path}, lines {before} and {line}: the message {identifier} stands there twice, with different "
                    "times. Leave one of them out."
                )
        filled = sum(map(math.isfinite, row))
        if filled > sum(map(math.isfinite, kept[place])):
            kept[place] = row
    return kept, repeated


# Dates

_TIME = (
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,](?P<fraction>\d{1,7}))?)?"
    r"(?:\s*(?P<half>[ap])\.?\s?m\.?)?"
)
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\s?(?:Z|UTC|[+-]\d{2}:?\d{2})?", re.IGNORECASE
)
_YEAR_FIRST = re.compile(
    rf"(?P<year>\d{{4}})([./-])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}})\.?,?\s+{_TIME}", re.IGNORECASE
)
_YEAR_LAST = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<mark>[./-])(?P<second_part>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}|\d{{2}}),?\s+{_TIME}",
    re.IGNORECASE,
)


class _Reader:
    """Reads the cells of one table, whose dates are all written in one way."""

    def __init__(self, path: Path, form: ManageMessages, table: _Table) -> None:
        self._path = path
        self._headings = table.headings
        self._zone = _zone(path, form.zone)
        self._day_first = self._find_day_first(table) if form.dates is None else form.dates == "day-first"

    def instants(self, line: int, cells: tuple[str, str, str]) -> Row:
        """The three instants of a row, which have to follow one another."""
        enqueued, started, completed = (
            self._instant(line, column, cell) for column, cell in zip(COLUMNS, cells, strict=True)
        )
        if not math.isfinite(enqueued):
            raise self._wrong(line, "enqueued", "is blank: every message was enqueued at some time")
        if started < enqueued - ROUNDED:
            raise self._wrong(line, "started", f"({cells[1]!r}) is before the enqueue ({cells[0]!r})")
        if completed < started - ROUNDED:
            raise self._wrong(line, "completed", f"({cells[2]!r}) is before the start ({cells[1]!r})")
        if completed < enqueued - ROUNDED:
            raise self._wrong(line, "completed", f"({cells[2]!r}) is before the enqueue ({cells[0]!r})")
        started = _not_before(started, enqueued)
        return enqueued, started, _not_before(completed, started)

    def _instant(self, line: int, column: Column, cell: str) -> float:
        text = _plain(cell)
        if text.casefold() in BLANKS:
            return BLANK
        try:
            found = self._date(text)
        except (ValueError, OverflowError) as error:
            raise self._wrong(line, column, f"is {cell[:60]!r}: {error}") from error
        if found.year == NO_YEAR:
            return BLANK
        if found.tzinfo is None:
            if not tz.datetime_exists(found, self._zone):
                raise self._wrong(line, column, f"is {cell!r}, which the clocks of the time zone have skipped")
            if tz.datetime_ambiguous(found, self._zone):
                raise self._wrong(
                    line, column, f"is {cell!r}, an hour that the time zone has had twice: export with times in UTC"
                )
            found = found.replace(tzinfo=self._zone)
        return found.timestamp()

    def _date(self, text: str) -> datetime:
        if _ISO.fullmatch(text):
            written = re.sub(r"\s?(?:Z|UTC)$", "+00:00", text.replace(",", "."), flags=re.IGNORECASE)
            return datetime.fromisoformat(written)
        found = _YEAR_FIRST.fullmatch(text)
        if found is not None:
            return _moment(int(found["year"]), int(found["month"]), int(found["day"]), found)
        found = _YEAR_LAST.fullmatch(text)
        if found is None:
            raise ValueError(
                "a date with the time of day is wanted, as in 2026-01-31T15:04:05Z, 1/31/2026 3:04:05 PM or "
                "31.01.2026 15:04:05"
            )
        first, second = int(found["first"]), int(found["second_part"])
        day, month = (first, second) if self._day_first or found["mark"] == "." else (second, first)
        return _moment(_century(found["year"]), month, day, found)

    def _find_day_first(self, table: _Table) -> bool:
        """Whether days stand before months, by all dates of the table together."""
        seen: dict[bool, list[int]] = {True: [], False: []}
        open_ones: list[tuple[int, str]] = []
        for line, _, cells in table.cells:
            for cell in cells:
                found = _YEAR_LAST.fullmatch(_plain(cell))
                if found is None or found["mark"] == "." or found["year"] == str(NO_YEAR):
                    continue
                first, second = int(found["first"]), int(found["second_part"])
                if first > 12 or second > 12:
                    seen[first > 12].append(line)
                elif first != second:
                    open_ones.append((line, cell))
        if seen[True] and seen[False]:
            raise UsageError(
                f"{self._path}: in line {seen[True][0]} the day stands before the month, in line {seen[False][0]} "
                "behind it. A table has to be written in one way."
            )
        if open_ones and not seen[True] and not seen[False]:
            line, cell = open_ones[0]
            raise UsageError(
                f"{self._path}, line {line}: {cell!r} may be meant either way round, and no date of the table tells. "
                'Say which in the plan: [manage_messages] dates = "month-first" (or "day-first").'
            )
        return bool(seen[True])

    def _wrong(self, line: int, column: Column, said: str) -> UsageError:
        return UsageError(f"{self._path}, line {line}: {self._headings[column]} {said}.")


def _plain(cell: str) -> str:
    """A cell with plain blanks alone: before AM and PM there may stand a narrow one, and marks for the direction."""
    return " ".join(cell.replace("\u200e", "").replace("\u200f", "").split())


def _not_before(instant: float, floor: float) -> float:
    """An instant without what rounding has put before another one; blank ones stay what they are."""
    return max(instant, floor)  # In this order: what is blank compares with nothing.


def _moment(year: int, month: int, day: int, time: re.Match[str]) -> datetime:
    hour, half = int(time["hour"]), (time["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        raise ValueError(f"there is no {hour} o'clock in half a day")
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    fraction = timedelta(microseconds=int((time["fraction"] or "0").ljust(6, "0")[:6]))
    return datetime(year, month, day, hour, int(time["minute"]), int(time["second"] or 0)) + fraction  # noqa: DTZ001  the zone comes next


def _century(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _zone(path: Path, name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC
    # gettz also takes names of files and rules of its own, and looks into its own copy where a system has no zones.
    found = tz.gettz(name) if _ZONE.fullmatch(name) else None
    if found is None:
        raise UsageError(
            f"There is no time zone {name!r}, which {path} should be read in: name one as in Europe/Copenhagen."
        )
    return found


_ZONE = re.compile(r"[A-Za-z_]+(?:/[A-Za-z_+-]+)+")
