"""Source data formats, both ways: the bytes of a file, and records of text.

Knows how values stand in a file; refuses to know what they mean. Whether a record is good is the entity's to say, which
column fills which field the data project's. Nothing here reads a file or a clock.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from popreceipt.emulator.dmf.formats import delimited, excel, fixed_width, xml
from popreceipt.emulator.dmf.formats.header import Told
from popreceipt.emulator.dmf.formats.source import FORMATS, CannotBeWritten, Column, Row, SourceFormat, format_named
from popreceipt.emulator.dmf.formats.xml import record_element
from popreceipt.emulator.dmf.problems import UnknownEntity, Unreadable

__all__ = [
    "FORMATS",
    "CannotBeWritten",
    "Column",
    "Row",
    "SourceFormat",
    "UnknownEntity",
    "Unreadable",
    "format_named",
    "read",
    "record_element",
    "write",
]


def read(
    content: bytes,
    source: SourceFormat,
    columns: Sequence[Column],
    *,
    record: str,
    sheet: str | None = None,
    header: Told | None = None,
) -> Iterator[Row]:
    """The records of a file, one by one.

    Args:
        content: the file.
        source: what it should look like.
        columns: the columns that are expected. Where the file names its own, those come in any order and letter case,
            some may be missing, and unknown ones are handed on under their own name; elsewhere order and width tell.
        record: the XML element of one record, see `record_element`.
        sheet: the worksheet of a workbook, with or without a trailing $; None for its first one.
        header: is told the columns of a header row, in their expected spelling, even where no record follows.

    Raises:
        Unreadable: the file as a whole is of no use. This may come after records were handed out: collect them all
            before anything is done with them.
    """
    match source.kind:
        case "delimited":
            return delimited.read(content, source, columns, header)
        case "fixed-width":
            return fixed_width.read(content, source, columns)
        case "xml-element" | "xml-attribute":
            return xml.read(content, source, columns, record)
        case "excel":
            return excel.read(content, source, columns, sheet, header)


def write(
    rows: Iterable[Mapping[str, str]],
    columns: Sequence[Column],
    source: SourceFormat,
    *,
    record: str,
    written: datetime,
    sheet: str | None = None,
) -> bytes:
    """Records as a file; the same bytes for the same arguments. A value that a row lacks is empty.

    No records in a format without a header make an empty file, which no import takes.

    Args:
        rows: the records, with values by column name.
        columns: the columns of the file, in order; others are not written.
        source: what the file is to look like.
        record: the XML element of one record, see `record_element`.
        written: when it is written, as a workbook says in its properties.
        sheet: the worksheet's name in a workbook.

    Raises:
        CannotBeWritten: the format cannot carry a value as it is.
    """
    match source.kind:
        case "delimited":
            return delimited.write(rows, columns, source)
        case "fixed-width":
            return fixed_width.write(rows, columns, source)
        case "xml-element" | "xml-attribute":
            return xml.write(rows, columns, source, record)
        case "excel":
            return excel.write(rows, columns, source, sheet, written)
