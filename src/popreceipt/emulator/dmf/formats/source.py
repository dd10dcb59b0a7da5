"""Source data formats: what a file looks like, as data.

The documentation lists kinds and separators ("Data import and export jobs overview", on source data formats) and speaks
of fourteen ready-made formats ("Data management overview"). Which ones those are is environment data, so the fourteen
here are a choice; a data project may also carry a format of its own.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

Kind = Literal["delimited", "fixed-width", "xml-element", "xml-attribute", "excel"]
Separator = Literal[",", ";", "\t", "|", ":"]
Qualifier = Literal['"', "'", ""]
CodePage = Literal["utf-8", "utf-16", "windows-1252"]


class SourceFormat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A source data format by its name; JSON both ways through msgspec.

    `separator` and `qualifier` count for delimited files alone (no qualifier: values stand as they are, so none may
    hold a separator or a line break); `header` for delimited files and Excel; `code_page` for all but Excel.

    Raises:
        ValueError: the name is blank, or a file of fixed width is to have a header, for whose names there is no room.
    """

    name: str
    kind: Kind
    separator: Separator = ","
    qualifier: Qualifier = '"'
    header: bool = True
    code_page: CodePage = "utf-8"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a source data format needs a name")
        if self.kind == "fixed-width" and self.header:
            raise ValueError("a source data format of fixed width has no header: its columns are known by their place")

    @property
    def extension(self) -> str:
        """How the names of its files end."""
        return _EXTENSIONS[self.kind]


class Column(msgspec.Struct, frozen=True):
    """A column that a file is expected to have. `width` is in characters, and needed where the width is fixed."""

    name: str
    width: int | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """A record as the file has it.

    `number` counts records from 1; lines without a value in them are none. `values` are by column name, with those
    columns only that the file has. `fault` says why the record alone cannot be used; its values are then a part.
    """

    number: int
    values: dict[str, str]
    fault: str | None = None


class CannotBeWritten(Exception):
    """A value that a format cannot carry. Nothing is written then: silently changed data would be worse.

    Args:
        record: the record's number, from 1; None where it is not one record's fault.
        column: the column's name, None likewise.
        why: the rest of the sentence.
    """

    def __init__(self, record: int | None, column: str | None, why: str) -> None:
        if record is None:
            place = "" if column is None else f"Column {column}: "
        else:
            place = f"Record {record}: " if column is None else f"Record {record}, column {column}: "
        super().__init__(place + why)
        self.record = record
        self.column = column
        self.why = why


_EXTENSIONS: Final[Mapping[str, str]] = {
    "delimited": "csv",
    "fixed-width": "txt",
    "xml-element": "xml",
    "xml-attribute": "xml",
    "excel": "xlsx",
}

_READY_MADE: Final = (
    SourceFormat(name="CSV", kind="delimited"),
    SourceFormat(name="CSV-Unicode", kind="delimited", code_page="utf-16"),
    SourceFormat(name="CSV-1252", kind="delimited", code_page="windows-1252"),
    SourceFormat(name="CSV-NoHeader", kind="delimited", header=False),
    SourceFormat(name="CSV-Semicolon", kind="delimited", separator=";"),
    SourceFormat(name="TAB", kind="delimited", separator="\t"),
    SourceFormat(name="TAB-Unicode", kind="delimited", separator="\t", code_page="utf-16"),
    SourceFormat(name="PIPE", kind="delimited", separator="|"),
    SourceFormat(name="COLON", kind="delimited", separator=":"),
    SourceFormat(name="FIXED-WIDTH", kind="fixed-width", header=False),
    SourceFormat(name="FIXED-WIDTH-1252", kind="fixed-width", header=False, code_page="windows-1252"),
    SourceFormat(name="XML-Element", kind="xml-element"),
    SourceFormat(name="XML-Attribute", kind="xml-attribute"),
    SourceFormat(name="EXCEL", kind="excel"),
)

FORMATS: Final[Mapping[str, SourceFormat]] = {source.name: source for source in _READY_MADE}
"""The ready-made formats by name. No two names differ in letter case alone."""

_BY_FOLDED_NAME: Final = {name.casefold(): source for name, source in FORMATS.items()}


def format_named(name: str) -> SourceFormat:
    """The ready-made format of this name, in any letter case.

    Raises:
        LookupError: there is none; the sentence lists those there are.
    """
    try:
        return _BY_FOLDED_NAME[name.strip().casefold()]
    except KeyError:
        raise LookupError(f"There is no source data format {name!r}; there are {', '.join(FORMATS)}.") from None
