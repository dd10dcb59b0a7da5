"""Excel workbooks: a worksheet whose rows are records.

What is written is text in every cell, so leading zeros stay and what looks like a formula is none. What is read was
typed by people: numbers, dates and booleans come as the text that stands for them.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import xlsxwriter  # type: ignore[import-untyped]  # it comes without types
from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # likewise

from popreceipt.emulator.dmf.formats.header import Told, places
from popreceipt.emulator.dmf.formats.source import CannotBeWritten, Column, Row, SourceFormat
from popreceipt.emulator.dmf.formats.workbook import MOST_ROWS, Workbook
from popreceipt.emulator.dmf.problems import Unreadable

MOST_COLUMNS: Final = 255
"""Columns that are imported ("Data management and integration by using data entities overview")."""
_LONGEST: Final = 32_767
"""Characters that a cell of Excel holds."""
_NO_CHARACTER: Final = re.compile("[\0\ud800-\udfff\ufffe\uffff]")


def read(
    content: bytes, source: SourceFormat, columns: Sequence[Column], sheet: str | None, told: Told | None = None
) -> Iterator[Row]:
    """The records of a worksheet; rows without a filled cell are none.

    Dates and instants come in ISO 8601, whole numbers without decimals, booleans as true and false, formulas as the
    value that was last calculated. An error value, or one in a column without a name, is the record's fault alone.

    Raises:
        Unreadable: the file is empty or no workbook, passes a limit of `archive`, lacks the worksheet or its header,
            has more than `MOST_COLUMNS` columns, or a formula that was never calculated.
    """
    if not content:
        raise Unreadable("The file is empty.")
    workbook = Workbook(content)
    name = workbook.sheet(sheet)
    rows = workbook.rows(name)
    if source.header:
        first = next(rows, None)
        if first is None:
            raise Unreadable(f"The worksheet {name!r} has no header row.")
        header = places({cell.column: cell.text for cell in first}, columns)
        if len(header) > MOST_COLUMNS:
            raise Unreadable(f"The worksheet {name!r} has {len(header)} columns; at most {MOST_COLUMNS} are imported.")
        if told is not None:
            told(header.values())
    else:
        header = {place: column.name for place, column in enumerate(columns)}
    blank = dict.fromkeys(header.values(), "")
    for number, cells in enumerate(rows, 1):
        values = blank.copy()
        fault = None
        for cell in cells:
            column = header.get(cell.column)
            if column is not None:
                values[column] = cell.text
                fault = fault or cell.fault
            elif cell.column >= MOST_COLUMNS:
                found = f"The worksheet {name!r} has a value in {cell.reference}"
                raise Unreadable(f"{found}; at most {MOST_COLUMNS} columns are imported.")
            else:
                fault = fault or f"The cell {cell.reference} has a value in a column without a name."
        yield Row(number, values, fault)


def write(
    rows: Iterable[Mapping[str, str]],
    columns: Sequence[Column],
    source: SourceFormat,
    sheet: str | None,
    written: datetime,
) -> bytes:
    """Records as a workbook of one worksheet.

    Raises:
        CannotBeWritten: there are more records, columns or characters than Excel takes, a character that it has not, a
            record without any value (an empty row is no record), or a name that no worksheet can have.
    """
    if len(columns) > MOST_COLUMNS:
        raise CannotBeWritten(None, None, f"There are {len(columns)} columns; at most {MOST_COLUMNS} are imported.")
    names = [column.name for column in columns]
    made = io.BytesIO()
    workbook = xlsxwriter.Workbook(made, {"in_memory": True})
    workbook.set_properties({"created": written.astimezone(UTC).replace(tzinfo=None)})
    try:
        worksheet = workbook.add_worksheet((sheet or "Sheet1").strip().removesuffix("$"))
    except XlsxWriterException as error:
        raise CannotBeWritten(None, None, f"A worksheet cannot have the name {sheet!r}: {error}.") from error
    below = 0
    if source.header:
        for place, name in enumerate(names):
            worksheet.write_string(0, place, _checked(name, None, name))
        below = 1
    for number, row in enumerate(rows, 1):
        if number + below > MOST_ROWS:
            raise CannotBeWritten(number, None, f"a worksheet ends at row {MOST_ROWS}.")
        filled = False
        for place, name in enumerate(names):
            if value := row.get(name, ""):
                worksheet.write_string(number + below - 1, place, _checked(value, number, name))
                filled = True
        if not filled:
            raise CannotBeWritten(number, None, "without any value it makes an empty row, which is no record.")
    workbook.close()
    return made.getvalue()


def _checked(value: str, number: int | None, name: str) -> str:
    if len(value) > _LONGEST:
        raise CannotBeWritten(number, name, f"the value has {len(value)} characters, a cell takes {_LONGEST}.")
    if found := _NO_CHARACTER.search(value):
        raise CannotBeWritten(number, name, f"a workbook has no character U+{ord(found[0]):04X}.")
    return value
