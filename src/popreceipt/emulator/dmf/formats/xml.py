"""XML files: a root `Document`, in it an element a record, in that a value an element or an attribute.

The shape is the one "Develop composite data entities" shows, without the nesting of composite entities, which is
refused. The declaration tells a file's encoding; the format's code page counts for writing alone.
"""

import codecs
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from popreceipt.emulator.dmf.formats import events
from popreceipt.emulator.dmf.formats.header import spellings
from popreceipt.emulator.dmf.formats.source import CannotBeWritten, Column, Row, SourceFormat
from popreceipt.emulator.dmf.formats.text import values
from popreceipt.emulator.dmf.problems import Unreadable

ROOT: Final = "Document"

_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What is no character of an XML 1.0 document."""
_NAME_STARTS: Final = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff"
    "\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME: Final = re.compile(f"[{_NAME_STARTS}][{_NAME_STARTS}0-9.\xb7\u0300-\u036f\u203f\u2040-]*")
_IN_ELEMENT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTE: Final = _IN_ELEMENT | str.maketrans({'"': "&quot;", "\t": "&#9;", "\n": "&#10;"})
_NOT_DATA: Final = ("xmlns", "xml", "xsi", "i")
"""Prefixes of attributes that speak about the document."""


def record_element(entity_name: str) -> str:
    """The element of one record: the entity's name in capitals, letters and digits alone."""
    name = "".join(letter for letter in entity_name.upper() if letter.isalnum())
    return name if name and not name[0].isdigit() else f"_{name}"


def read(content: bytes, source: SourceFormat, columns: Sequence[Column], record: str) -> Iterator[Row]:
    """The records of a file. Elements and attributes go by their local names in any letter case.

    A record that names a column twice is at fault by itself. Blanks in a value are the value's.

    Raises:
        Unreadable: the file is empty, not well-formed, has a document type or another shape; it may be the shape of the
            other XML format.
    """
    if not content:
        raise Unreadable("The file is empty.")
    document = _Document(source, columns, record)
    for _ in events.run(
        events.pieces(content), "The file", begin=document.begin, end=document.end, characters=document.characters
    ):
        while document.rows:
            yield document.rows.popleft()


class _Document:
    """What has been read of a file: its complete records stand in `rows` until they are taken."""

    def __init__(self, source: SourceFormat, columns: Sequence[Column], record: str) -> None:
        self.rows: deque[Row] = deque()
        self._source = source
        self._by_attributes = source.kind == "xml-attribute"
        self._expected = record
        self._known = spellings(columns)
        self._names: dict[str, str] = {}
        self._number = 0
        self._depth = 0
        self._values: dict[str, str] = {}
        self._parts: list[str] = []
        self._fault: str | None = None

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 3 and not self._by_attributes:
            self._parts = []
        elif self._depth == 2:
            self._begin_record(name, attributes)
        elif self._depth == 1:
            if events.local(name).casefold() != ROOT.casefold():
                raise Unreadable(f"The root of the file is {events.local(name)}; {ROOT} is expected.")
        elif self._by_attributes:
            raise Unreadable(
                f"Record {self._number} holds the element {events.local(name)}; {self._source.name} expects values as "
                "attributes."
            )
        else:
            raise Unreadable(
                f"Record {self._number} holds the element {events.local(name)} inside a value. Is this the file of a "
                "composite entity?"
            )

    def _begin_record(self, name: str, attributes: dict[str, str]) -> None:
        self._number += 1
        found = events.local(name)
        if found.casefold() != self._expected.casefold():
            raise Unreadable(f"Record {self._number} is an element {found}; {self._expected} is expected.")
        self._values, self._fault = {}, None
        for attribute, value in attributes.items():
            if attribute.partition(":")[0] in _NOT_DATA and (":" in attribute or attribute == "xmlns"):
                continue
            if not self._by_attributes:
                raise Unreadable(
                    f"Record {self._number} has the attribute {events.local(attribute)}; {self._source.name} expects "
                    "values as elements."
                )
            self._keep(attribute, value)

    def end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 2:
            self._keep(name, "".join(self._parts))
        elif self._depth == 1:
            self.rows.append(Row(self._number, self._values, self._fault))

    def characters(self, text: str) -> None:
        if self._depth == 3:
            self._parts.append(text)
        elif not text.isspace():
            where = f"Record {self._number}" if self._depth == 2 else f"The element {ROOT}"
            raise Unreadable(f"{where} holds the text {text.strip()[:80]!r} outside of any column.")

    def _keep(self, name: str, value: str) -> None:
        column = self._names.get(name)
        if column is None:
            found = events.local(name)
            column = self._names[name] = self._known.get(found.casefold(), found)
        if column in self._values:
            self._fault = f"The record has the column {column} twice."
        self._values[column] = value


def write(rows: Iterable[Mapping[str, str]], columns: Sequence[Column], source: SourceFormat, record: str) -> bytes:
    """Records as a file, a line each. A letter that the code page lacks is written by its number.

    Raises:
        CannotBeWritten: a character that XML does not have (most control characters), or a name that is none there.
    """
    records = list(rows)
    for column, name in [(None, record), *((column.name, column.name) for column in columns)]:
        if not _NAME.fullmatch(name):
            raise CannotBeWritten(None, column, f"{name!r} cannot be a name in XML.")
        if source.code_page == "windows-1252" and name.encode("cp1252", "ignore").decode("cp1252") != name:
            raise CannotBeWritten(None, column, f"Windows-1252 lacks letters of the name {name!r}.")
    names = [column.name for column in columns]
    if source.kind == "xml-attribute":
        start, finish = f"<{record}", "/>\n"
        parts = [(name, f' {name}="', '"') for name in names]
        table = _IN_ATTRIBUTE
    else:
        start, finish = f"<{record}>", f"</{record}>\n"
        parts = [(name, f"<{name}>", f"</{name}>") for name in names]
        table = _IN_ELEMENT
    made = [f'<?xml version="1.0" encoding="{source.code_page}"?>\n<{ROOT}>\n']
    for one in records:
        made.append(start)
        made += [before + one.get(name, "").translate(table) + after for name, before, after in parts]
        made.append(finish)
    made.append(f"</{ROOT}>\n")
    text = "".join(made)
    if _NO_CHARACTER.search(text):
        _refuse_character(records, columns)
    if source.code_page == "utf-16":
        return codecs.BOM_UTF16_LE + text.encode("utf-16-le")
    return text.encode("cp1252" if source.code_page == "windows-1252" else "utf-8", "xmlcharrefreplace")


def _refuse_character(records: Sequence[Mapping[str, str]], columns: Sequence[Column]) -> None:
    for number, column, value in values(records, columns):
        if found := _NO_CHARACTER.search(value):
            raise CannotBeWritten(number, column, f"XML has no character U+{ord(found[0]):04X}.")
