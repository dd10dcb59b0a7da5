"""Source data formats: a file's bytes as rows of text, for the formats whose names say what they are.

Names of formats belong to an environment; the specification of the control plane settles what some of them mean. A
file in another format, or one that could be read in two ways, is None: nobody could say what a service ought to find.
"""

import codecs
import csv
import functools
import io
import re
from collections.abc import Sequence
from typing import Final
from xml.parsers import expat

import msgspec
from python_calamine import CalamineError, CalamineWorkbook

from popreceipt.rules.files import DEEPEST, LARGEST_CONTENT, looks_zipped, members_of

Row = dict[str, str]
"""The values of one record by the names of the file's columns, as the file has them."""

DELIMITED: Final = "delimited"
XML_ELEMENT: Final = "xml-element"
XML_ATTRIBUTE: Final = "xml-attribute"
EXCEL: Final = "excel"


class Format(msgspec.Struct, frozen=True):
    """What a format's name says: its kind, and for delimited text the separator, the code page and the header."""

    kind: str
    separator: str = ","
    code_page: str = "utf-8-sig"
    header: bool = True


PLAIN: Final = "csv"
"""The format of the entity that every world has."""

FORMATS: Final = {
    PLAIN: Format(DELIMITED),
    "csv-unicode": Format(DELIMITED, code_page="utf-16"),
    "csv-1252": Format(DELIMITED, code_page="cp1252"),
    "csv-noheader": Format(DELIMITED, header=False),
    "csv-semicolon": Format(DELIMITED, ";"),
    "tab": Format(DELIMITED, "\t"),
    "tab-unicode": Format(DELIMITED, "\t", "utf-16"),
    "pipe": Format(DELIMITED, "|"),
    "colon": Format(DELIMITED, ":"),
    "xml-element": Format(XML_ELEMENT),
    "xml-attribute": Format(XML_ATTRIBUTE),
    "excel": Format(EXCEL),
}
"""The formats that are known, by name in lower case (specs/control.openapi.yaml, "Formats")."""


def record_element(entity: str) -> str:
    """The element of one record in XML: the entity's name in capitals, without what is neither letter nor digit."""
    return "".join(each for each in entity.upper() if each.isalnum())


MOST_CELLS: Final = 5_000_000
"""So many cells a worksheet may span; one with more is not looked into."""

_REFERENCE: Final = re.compile(rb'r="([A-Z]{1,3})([0-9]{1,7})"')


def rows_of(
    content: bytes, name: str, entity: str, columns: Sequence[str], sheet: str | None = None
) -> list[Row] | None:
    """The records of a file in the format of this name, in order.

    Args:
        content: the file.
        name: the format's name, in any letter case.
        entity: the entity's public name.
        columns: the columns in order, for a format whose files do not name them.
        sheet: the worksheet of a workbook; None for the only one.
    """
    format = FORMATS.get(name.casefold())  # noqa: A001 - the documentation's word for it
    if format is None or not content:
        return None
    if format.kind == DELIMITED:
        return _delimited(content, format, columns)
    if format.kind == EXCEL:
        return _workbook(content, sheet)
    return _xml(content, record_element(entity), by_attributes=format.kind == XML_ATTRIBUTE)


def kind_of(content: bytes) -> str | None:
    """What bytes certainly are: `package` (any archive that is no workbook), a workbook, XML; None for all else."""
    if looks_zipped(content):
        members = members_of(content, ("[Content_Types].xml",))
        return None if members is None else EXCEL if members else "package"
    for mark, code_page in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if content.startswith(mark):
            return "xml" if content[:200].decode(code_page, "replace").lstrip().startswith("<?xml") else None
    return None


def _delimited(content: bytes, format: Format, columns: Sequence[str]) -> list[Row] | None:  # noqa: A002
    if format.code_page == "utf-16" and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    try:
        text = content.decode(format.code_page)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=format.separator, strict=True)
        lines = [line for line in reader if line]
    except (UnicodeError, csv.Error):
        return None
    names: Sequence[str] = columns
    if format.header:
        if not lines:
            return None
        names, lines = lines[0], lines[1:]
    if "\0" in text or len(set(names)) < len(names) or any(len(line) != len(names) for line in lines):
        return None
    return [dict(zip(names, line, strict=True)) for line in lines]


def _workbook(content: bytes, sheet: str | None) -> list[Row] | None:
    # A workbook is an archive: its limits hold before anything reads it. Cells far apart are laid out with all between.
    members = members_of(content)
    if members is None or any(_cells_laid_out(member) > MOST_CELLS for member in members.values()):
        return None
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        wanted = (sheet or "").removesuffix("$")
        if (not wanted and len(workbook.sheet_names) != 1) or (wanted and wanted not in workbook.sheet_names):
            return None
        lines = workbook.get_sheet_by_name(wanted or workbook.sheet_names[0]).to_python()
    except (CalamineError, OSError, ValueError):
        return None
    if not lines or not all(isinstance(cell, str) for line in lines for cell in line):
        # What a number or a date in a cell should become is open.
        return None
    names = [str(name) for name in lines[0]]
    if len(set(names)) < len(names):
        return None
    return [dict(zip(names, map(str, line), strict=True)) for line in lines[1:]]


def _cells_laid_out(sheet: bytes) -> int:
    """How many cells a worksheet has from its first to its last, by the references in it."""
    rows, columns = 0, 0
    for found in _REFERENCE.finditer(sheet):
        rows = max(rows, int(found[2]))
        columns = max(columns, functools.reduce(lambda so_far, letter: so_far * 26 + letter - 64, found[1], 0))
    return rows * columns


def _xml(content: bytes, record: str, *, by_attributes: bool) -> list[Row] | None:
    if len(content) > LARGEST_CONTENT:
        return None
    reading = _Document(record, by_attributes=by_attributes)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = reading.refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, _OtherwiseError, ValueError):
        return None
    return reading.rows


class _OtherwiseError(Exception):
    """The document has another shape."""


class _Document:
    """Gathers the records of a root `Document`, each with values as elements or as attributes."""

    def __init__(self, record: str, *, by_attributes: bool) -> None:
        self.rows: list[Row] = []
        self._record = record
        self._by_attributes = by_attributes
        self._path: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        self._path.append(name)
        depth = len(self._path)
        if depth > DEEPEST or depth > (2 if self._by_attributes else 3):
            raise _OtherwiseError
        if (depth == 1 and name != "Document") or (depth == 2 and name.upper() != self._record):
            raise _OtherwiseError
        if attributes and not (self._by_attributes and depth == 2):
            raise _OtherwiseError
        if depth == 2:
            self.rows.append(dict(attributes))
        elif depth == 3:
            if name in self.rows[-1]:
                raise _OtherwiseError
            self.rows[-1][name] = ""

    def end(self, _name: str) -> None:
        self._path.pop()

    def text(self, text: str) -> None:
        if len(self._path) == 3:
            self.rows[-1][self._path[-1]] += text
        elif text.strip():
            raise _OtherwiseError

    def refuse(self, *_parts: object) -> None:
        raise _OtherwiseError
