"""Text of fixed width: a record a line, every value in its place, filled up with blanks.

There is no header, and nothing but the width tells where a value ends.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from popreceipt.emulator.dmf.formats import text
from popreceipt.emulator.dmf.formats.source import CannotBeWritten, Column, Row, SourceFormat
from popreceipt.emulator.dmf.problems import Unreadable


def read(content: bytes, source: SourceFormat, columns: Sequence[Column]) -> Iterator[Row]:
    """The records of a file; empty lines are none.

    Blanks at the end of a value are filling. A line may end early, as editors leave it: what it lacks is blank. One
    that goes on after the last column is at fault by itself. A value is cut after `text.CUT` characters.

    Raises:
        Unreadable: the file is empty, of another code page, or holds a NUL character; a column has no width.
    """
    slots: list[tuple[str, slice]] = []
    end = 0
    for column in columns:
        if column.width is None:
            raise Unreadable(f"{source.name} is of fixed width, but the column {column.name} is given none.")
        slots.append((column.name, slice(end, end + min(column.width, text.CUT))))
        end += column.width
    decoded = text.decode(content, source)
    suspicious = "\0" in decoded
    number = 0
    for line in io.StringIO(decoded, newline=""):
        record = line.rstrip("\r\n")
        if not record:
            continue
        number += 1
        if suspicious:
            text.refuse_nul(number, (record,))
        fault = None
        if len(record) > end and record[end:].strip(" "):
            fault = f"The record has {len(record)} characters, the columns take {end}."
        yield Row(number, {name: record[slot].rstrip(" ") for name, slot in slots}, fault)


def write(rows: Iterable[Mapping[str, str]], columns: Sequence[Column], source: SourceFormat) -> bytes:
    """Records as a file, each line ended by carriage return and line feed.

    Raises:
        CannotBeWritten: a value is wider than its column, ends in a blank (which would be taken for filling) or holds a
            line break; a column has no width; a letter that the code page lacks.
    """
    records = list(rows)
    slots: list[tuple[str, int]] = []
    for column in columns:
        if column.width is None:
            raise CannotBeWritten(None, column.name, f"{source.name} is of fixed width, and the column is given none.")
        slots.append((column.name, column.width))
    lines: list[str] = []
    for number, record in enumerate(records, 1):
        parts: list[str] = []
        for name, width in slots:
            value = record.get(name, "")
            if len(value) > width:
                raise CannotBeWritten(number, name, f"the value has {len(value)} characters, the column {width}.")
            if value.endswith(" "):
                raise CannotBeWritten(number, name, "a blank at the end of a value would be taken for filling.")
            if "\n" in value or "\r" in value:
                raise CannotBeWritten(number, name, "the value holds a line break, which would end the record.")
            parts.append(value.ljust(width))
        lines.append("".join(parts) + "\r\n")
    return text.encode("".join(lines), source, records, columns)
