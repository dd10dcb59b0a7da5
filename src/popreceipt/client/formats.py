"""Files in the source data formats whose names say what they are, as an outside system would write them.

"Data import and export jobs overview", section "Set the data format for the job". What each name means is settled in
specs/control.openapi.yaml ("Formats"); a target lists the names that it has.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import xlsxwriter  # type: ignore[import-untyped]  # it comes without types

Record = Mapping[str, str]

DELIMITED: Final[Mapping[str, tuple[str, str, bool]]] = {
    "CSV": (",", "utf-8", True),
    "CSV-Unicode": (",", "utf-16", True),
    "CSV-1252": (",", "cp1252", True),
    "CSV-NoHeader": (",", "utf-8", False),
    "CSV-Semicolon": (";", "utf-8", True),
    "TAB": ("\t", "utf-8", True),
    "TAB-Unicode": ("\t", "utf-16", True),
    "PIPE": ("|", "utf-8", True),
    "COLON": (":", "utf-8", True),
}
"""Delimited formats: separator, code page, and whether there is a header row."""

XML_ELEMENT: Final = "XML-Element"
XML_ATTRIBUTE: Final = "XML-Attribute"
EXCEL: Final = "EXCEL"

_MADE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When every workbook says that it was made."""

FORMATS: Final = (*DELIMITED, XML_ELEMENT, XML_ATTRIBUTE, EXCEL)
"""The names of the formats that can be written here."""


def extension(name: str) -> str:
    """How the name of a file in this format ends."""
    return "xlsx" if name == EXCEL else "csv" if name in DELIMITED else "xml"


def record_element(entity: str) -> str:
    """The element of one record: the entity's name in capitals, without what is neither letter nor digit."""
    return "".join(each for each in entity.upper() if each.isalnum())


def written(records: Iterable[Record], columns: Sequence[str], name: str, *, entity: str) -> bytes:
    """Records as a file in the format of this name.

    Raises:
        KeyError: the format is not one of `FORMATS`.
    """
    if name == EXCEL:
        return _workbook(records, columns)
    if name == XML_ELEMENT:
        return _document(
            f"<{record_element(entity)}>"
            + "".join(f"<{column}>{escape(record.get(column, ''))}</{column}>" for column in columns)
            + f"</{record_element(entity)}>"
            for record in records
        )
    if name == XML_ATTRIBUTE:
        return _document(
            f"<{record_element(entity)}"
            + "".join(f" {column}={quoteattr(record.get(column, ''))}" for column in columns)
            + "/>"
            for record in records
        )
    separator, code_page, header = DELIMITED[name]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=separator, lineterminator="\r\n", extrasaction="ignore")
    if header:
        writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode(code_page)


def _document(records: Iterable[str]) -> bytes:
    lines = "\n".join(records)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<Document>\n{lines}\n</Document>\n'.encode()


def _workbook(records: Iterable[Record], columns: Sequence[str]) -> bytes:
    made = io.BytesIO()
    with xlsxwriter.Workbook(
        made, {"in_memory": True, "strings_to_numbers": False, "strings_to_formulas": False}
    ) as book:
        book.set_properties({"created": _MADE})  # The time of day would make two runs of one seed differ.
        sheet = book.add_worksheet()
        for place, column in enumerate(columns):
            sheet.write_string(0, place, column)
        for number, record in enumerate(records, start=1):
            for place, column in enumerate(columns):
                sheet.write_string(number, place, record.get(column, ""))
    return made.getvalue()
