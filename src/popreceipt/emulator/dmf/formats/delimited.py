"""Delimited text: a record a line, values between separators, in a text qualifier where they need one.

Quoting is that of RFC 4180 whatever the separator: a qualifier inside a value is doubled, and a qualified value may
hold line breaks.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from popreceipt.emulator.dmf.formats import text
from popreceipt.emulator.dmf.formats.header import Told, places
from popreceipt.emulator.dmf.formats.source import CannotBeWritten, Column, Row, SourceFormat
from popreceipt.emulator.dmf.problems import Unreadable

LONGEST: Final = 131_072
"""Characters of the longest value that is looked at; a longer one is nearly always a qualifier that nobody closed.
Python's csv module has this very limit, which could be changed for the whole process only."""


def read(content: bytes, source: SourceFormat, columns: Sequence[Column], told: Told | None = None) -> Iterator[Row]:
    """The records of a file; blank lines are none.

    A record with too many or too few values is at fault by itself. A value is cut after `text.CUT` characters.

    Raises:
        Unreadable: it is empty, of another code page, lacks its header, has one with a column twice, holds a NUL
            character, a value over `LONGEST`, or a qualifier that is not closed or stands inside a value.
    """
    decoded = text.decode(content, source)
    suspicious = "\0" in decoded
    lines = _lines(decoded, source)
    if source.header:
        header = next(lines, None)
        if header is None:
            raise Unreadable("The file has no header row.")
        if suspicious and any("\0" in name for name in header):
            raise Unreadable("The header holds a NUL character. Is the file damaged, or of another code page?")
        names = list(places(dict(enumerate(header)), columns).values())
        if told is not None:
            told(names)
    else:
        names = [column.name for column in columns]
    expected = f"the {'header' if source.header else 'format'} {len(names)} columns"
    for number, values in enumerate(lines, 1):
        if suspicious:
            text.refuse_nul(number, values)
        longest = max(map(len, values))
        if longest > text.CUT:
            if longest > LONGEST:
                raise Unreadable(_too_long(number))
            values = [value[: text.CUT] for value in values]
        fault = None
        if len(values) != len(names):
            fault = f"The record has {len(values)} values, {expected}."
        yield Row(number, dict(zip(names, values, strict=False)), fault)


def write(rows: Iterable[Mapping[str, str]], columns: Sequence[Column], source: SourceFormat) -> bytes:
    """Records as a file, each line ended by carriage return and line feed.

    Raises:
        CannotBeWritten: a letter that the code page lacks; without a qualifier also a separator or a line break in a
            value, and a record whose only value is empty.
    """
    records = list(rows)
    names = [column.name for column in columns]
    if not source.qualifier:
        _refuse_special(records, columns, source)
    made = io.StringIO(newline="")
    writer = csv.writer(made, lineterminator="\r\n", **_dialect(source))
    if source.header:
        writer.writerow(names)
    writer.writerows([record.get(name, "") for name in names] for record in records)
    return text.encode(made.getvalue(), source, records, columns)


def _dialect(source: SourceFormat) -> dict[str, Any]:
    if source.qualifier:
        return {"delimiter": source.separator, "quotechar": source.qualifier, "strict": True}
    return {"delimiter": source.separator, "quotechar": None, "quoting": csv.QUOTE_NONE, "strict": True}


def _lines(decoded: str, source: SourceFormat) -> Iterator[list[str]]:
    """The lines that hold something, split into values."""
    number = 0 if source.header else 1
    try:
        for line in csv.reader(io.StringIO(decoded, newline=""), **_dialect(source)):
            if line:
                number += 1
                yield line
    except csv.Error as error:
        place = f"Record {number}" if number else "The header"
        said = str(error)
        if "field larger than field limit" in said:
            raise Unreadable(_too_long(number)) from error
        if "unexpected end of data" in said:
            said = f"{place} opens a text qualifier {source.qualifier} which the file never closes."
        elif "expected after" in said:
            said = f"{place} goes on after a closing text qualifier {source.qualifier}; one inside a value is doubled."
        else:
            said = f"{place} is no delimited text: {said}."
        raise Unreadable(said) from error


def _too_long(number: int) -> str:
    place = f"Record {number}" if number else "The header"
    return f"{place} has a value of more than {LONGEST} characters. Is a text qualifier opened and never closed?"


def _refuse_special(records: Sequence[Mapping[str, str]], columns: Sequence[Column], source: SourceFormat) -> None:
    special = {source.separator: f"the separator {source.separator!r}", "\r": "a line break", "\n": "a line break"}
    if source.header:
        for column in columns:
            for character, title in special.items():
                if character in column.name:
                    raise CannotBeWritten(None, column.name, f"the name holds {title}, and there is no text qualifier.")
    for number, name, value in text.values(records, columns):
        for character, title in special.items():
            if character in value:
                raise CannotBeWritten(number, name, f"the value holds {title}, and there is no text qualifier.")
        if not value and len(columns) == 1:
            raise CannotBeWritten(number, name, "an only value that is empty makes a blank line, which is no record.")
