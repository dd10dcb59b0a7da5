"""Text files by code page: bytes to text and back, and what holds for every value in such a file."""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from popreceipt.emulator.dmf.formats.source import CannotBeWritten, Column, SourceFormat
from popreceipt.emulator.dmf.problems import Unreadable

CUT: Final = 32_768
"""Longer texts are cut on import from text ("Data management and integration by using data entities overview")."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_CODECS: Final = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "windows-1252": "cp1252"}
_TITLES: Final = {"utf-8": "UTF-8", "utf-16": "UTF-16", "windows-1252": "Windows-1252"}


def decode(content: bytes, source: SourceFormat) -> str:
    """The text of a file. A byte order mark may stand before UTF-8 and must stand before UTF-16.

    Raises:
        Unreadable: the file is empty, or of another code page.
    """
    if not content:
        raise Unreadable("The file is empty.")
    expected = _TITLES[source.code_page]
    found = next((title for mark, title in _MARKS if content.startswith(mark)), None)
    if found is not None and found != expected:
        raise Unreadable(f"The file begins with the byte order mark of {found}; {source.name} expects {expected}.")
    if found is None and source.code_page == "utf-16":
        raise Unreadable(f"The file has no byte order mark of UTF-16, which {source.name} expects.")
    try:
        return content.decode(_CODECS[source.code_page])
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte {error.start + 1} of the file, 0x{content[error.start]:02X} in line {line}"
        raise Unreadable(
            f"The file is not {expected}, as {source.name} expects: {byte}, fits nowhere in it."
        ) from error


def encode(text: str, source: SourceFormat, rows: Sequence[Mapping[str, str]], columns: Sequence[Column]) -> bytes:
    """A file's bytes: UTF-16 with a byte order mark, UTF-8 without. `rows` are what the text was made of.

    Raises:
        CannotBeWritten: a letter that the code page lacks, or a NUL, at which other programs take a text to end.
    """
    if "\0" in text:
        raise _at_fault("\0", "a text file cannot carry a NUL character.", rows, columns)
    try:
        if source.code_page == "utf-16":
            return codecs.BOM_UTF16_LE + text.encode("utf-16-le")
        if source.code_page == "utf-8":
            # Reading takes one mark away, so a text that begins with that very character gets another in front.
            return (codecs.BOM_UTF8 if text.startswith("\ufeff") else b"") + text.encode("utf-8")
        return text.encode("cp1252")
    except UnicodeEncodeError as error:
        letter = text[error.start]
        why = f"{_TITLES[source.code_page]} has no letter {letter!r} (U+{ord(letter):04X})."
        raise _at_fault(letter, why, rows, columns) from error


def _at_fault(letter: str, why: str, rows: Iterable[Mapping[str, str]], columns: Sequence[Column]) -> CannotBeWritten:
    for number, column, value in values(rows, columns):
        if letter in value:
            return CannotBeWritten(number, column, why)
    return CannotBeWritten(None, next((one.name for one in columns if letter in one.name), None), why)


def values(rows: Iterable[Mapping[str, str]], columns: Sequence[Column]) -> Iterator[tuple[int, str, str]]:
    """Every value that is written, with the number of its record and the name of its column."""
    for number, row in enumerate(rows, 1):
        for column in columns:
            yield number, column.name, row.get(column.name, "")


def refuse_nul(number: int, record: Iterable[str]) -> None:
    """Refuse a record that was read, if it holds a NUL character.

    Raises:
        Unreadable: it does: the file is damaged, or of another code page.
    """
    if any("\0" in value for value in record):
        raise Unreadable(f"Record {number} holds a NUL character. Is the file damaged, or of another code page?")
