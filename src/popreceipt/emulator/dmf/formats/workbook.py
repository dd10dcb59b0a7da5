"""The inside of an Excel workbook (Office Open XML), read as a stream: sheets, and the text of every filled cell.

Knows parts, shared strings, number formats and dates; refuses to know what a record is. The sheet is never laid out in
memory: one cell in the last row and column of a sheet is a small file, and must stay one.
"""

import posixpath
import re
from collections import deque
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from popreceipt.emulator.dmf.archive import Archive
from popreceipt.emulator.dmf.formats import events
from popreceipt.emulator.dmf.problems import Unreadable

MOST_STRINGS: Final = 5_000_000
MOST_ELEMENTS: Final = 200_000
MOST_ROWS: Final = 1_048_576
"""Limits of what is kept of a workbook: texts, elements of the parts that describe the rest (Excel knows 65,490 cell
formats), and rows of a sheet, which are those of Excel."""
_MOST_COLUMNS: Final = 16_384

_OLD_MAGIC: Final = b"\xd0\xcf\x11\xe0"
_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_REFERENCE: Final = re.compile("([A-Z]{1,3})[0-9]{1,7}")


class Cell(NamedTuple):
    """A filled cell: where it stands (column from 0), its text, and what is wrong with it."""

    reference: str
    column: int
    text: str
    fault: str | None


class Workbook:
    """An opened workbook.

    Raises:
        Unreadable: it is no workbook of this kind, is encrypted, or passes a limit of `archive`.
    """

    def __init__(self, content: bytes) -> None:
        if content.startswith(_OLD_MAGIC):
            raise Unreadable("The file is an old .xls workbook, or one with a password; a plain .xlsx is expected.")
        if not content.startswith(b"PK"):
            raise Unreadable("The file is no Excel workbook; an .xlsx is expected.")
        self._archive = Archive(content, "workbook")
        path = next(
            (
                _target("", each["Target"])
                for each in self._relationships("")
                if each["Type"].endswith("/officeDocument")
            ),
            "xl/workbook.xml",
        )
        if path not in self._archive:
            raise Unreadable("The file is a zip but no Excel workbook; an .xlsx is expected.")
        parts = {each["Id"]: each for each in self._relationships(path)}
        self._sheets: dict[str, str] = {}
        self._from_1904 = False
        for name, attributes in self._elements(path, ("workbookPr", "sheet")):
            if name == "workbookPr":
                self._from_1904 = attributes.get("date1904", "") in ("1", "true")
            elif name == "sheet":
                part = parts.get(attributes.get("id", ""))
                if part is not None and part["Type"].endswith("/worksheet"):
                    self._sheets[attributes.get("name", "")] = _target(path, part["Target"])
        found = {each["Type"].rpartition("/")[2]: _target(path, each["Target"]) for each in parts.values()}
        self._strings = self._shared_strings(found.get("sharedStrings"))
        self._styles = self._number_formats(found.get("styles"))

    def sheet(self, name: str | None) -> str:
        """The name of a sheet as the workbook spells it: the named one, or the first.

        Raises:
            Unreadable: there is none such; the sentence lists those there are.
        """
        if not self._sheets:
            raise Unreadable("The workbook has no worksheet.")
        if name is None:
            return next(iter(self._sheets))
        wanted = name.strip().removesuffix("$").casefold()
        for one in self._sheets:
            if one.strip().casefold() == wanted:
                return one
        there = ", ".join(repr(one) for one in self._sheets)
        raise Unreadable(f"The workbook has no worksheet {name.strip().removesuffix('$')!r}; it has {there}.")

    def rows(self, sheet: str) -> Iterator[list[Cell]]:
        """The rows of a sheet that have filled cells, each with those cells.

        Raises:
            Unreadable: a cell holds a formula without a value, or something that no program writes; the sheet is longer
                than Excel allows.
        """
        path = self._sheets[sheet]
        if path not in self._archive:
            raise Unreadable(f"The workbook lacks the part {path} of its worksheet {sheet!r}.")
        reader = _Sheet(sheet, self._strings, self._styles, self._from_1904)
        for _ in events.run(
            self._archive.pieces(path),
            f"The worksheet {sheet!r}",
            begin=reader.begin,
            end=reader.end,
            characters=reader.characters,
        ):
            while reader.rows:
                yield reader.rows.popleft()

    def _elements(self, path: str, wanted: Collection[str]) -> list[tuple[str, dict[str, str]]]:
        """The wanted elements of a part with their attributes, all by local names."""
        found: list[tuple[str, dict[str, str]]] = []

        def begin(name: str, attributes: dict[str, str]) -> None:
            name = events.local(name)
            if name in wanted:
                found.append((name, {events.local(key): value for key, value in attributes.items()}))

        what = f"The part {path} of the workbook"
        for _ in events.run(self._archive.pieces(path), what, begin=begin):
            if len(found) > MOST_ELEMENTS:
                raise Unreadable(f"{what} has more than {MOST_ELEMENTS} elements.")
        return found

    def _relationships(self, path: str) -> list[dict[str, str]]:
        folder, name = posixpath.split(path)
        part = posixpath.join(folder, "_rels", f"{name}.rels")
        if part not in self._archive:
            return []
        return [
            {"Id": "", "Type": "", "Target": ""} | attributes
            for _, attributes in self._elements(part, ("Relationship",))
        ]

    def _shared_strings(self, path: str | None) -> list[str]:
        if path is None or path not in self._archive:
            return []
        reader = _Strings()
        for _ in events.run(
            self._archive.pieces(path),
            f"The part {path} of the workbook",
            begin=reader.begin,
            end=reader.end,
            characters=reader.characters,
        ):
            if len(reader.strings) > MOST_STRINGS:
                raise Unreadable(f"The workbook has more than {MOST_STRINGS} texts.")
        return reader.strings

    def _number_formats(self, path: str | None) -> list[str]:
        """What each cell style shows a number as."""
        if path is None or path not in self._archive:
            return []
        codes: dict[str, str] = {}
        styles: list[str] = []
        group = ""
        groups = ("cellXfs", "cellStyleXfs", "cellStyles", "dxfs")
        for name, attributes in self._elements(path, (*groups, "numFmt", "xf")):
            if name in groups:
                group = name
            elif name == "numFmt" and group != "dxfs":
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif name == "xf" and group == "cellXfs":
                number = attributes.get("numFmtId", "0")
                styles.append(_shown_as(codes[number]) if number in codes else _BUILT_IN.get(number, NUMBER))
        return styles


NUMBER: Final = "number"
DATE: Final = "date"
DATE_TIME: Final = "date-time"
TIME: Final = "time"
DURATION: Final = "duration"

_BUILT_IN: Final = (
    {str(number): DATE for number in (14, 15, 16, 17, *range(27, 32), 36, *range(50, 59))}
    | {"22": DATE_TIME}
    | {str(number): TIME for number in (18, 19, 20, 21, 32, 33, 34, 35, 45, 47)}
    | {"46": DURATION}
)
"""Number formats that every workbook has without saying so, among them those of East Asian languages."""

_LITERAL: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_ELAPSED: Final = re.compile(r"\[[hms]+\]", re.IGNORECASE)


def _shown_as(code: str) -> str:
    """What a number format shows a number as."""
    plain = _LITERAL.sub("", code.partition(";")[0]).lower()
    if _ELAPSED.search(plain):
        return DURATION
    if plain.strip() == "general":
        return NUMBER
    clock = "h" in plain or "s" in plain
    if "y" in plain or "d" in plain:
        return DATE_TIME if clock else DATE
    if clock:
        return TIME
    return DATE if "m" in plain else NUMBER


def _target(source: str, target: str) -> str:
    """The member that a relationship of a part leads to."""
    if target.startswith("/"):
        return posixpath.normpath(target[1:])
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _unescaped(text: str) -> str:
    """Control characters stand as _xHHHH_ in the texts of a workbook."""
    if "_x" not in text:
        return text

    def letter(found: re.Match[str]) -> str:
        number = int(found[1], 16)
        return found[0] if 0xD800 <= number < 0xE000 else chr(number)

    return _ESCAPED.sub(letter, text)


class _Strings:
    """The shared strings as they are read: texts in one or many runs, without the readings of Japanese names."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._parts: list[str] = []
        self._in_text = False
        self._in_reading = False

    def begin(self, name: str, _: dict[str, str]) -> None:
        name = events.local(name)
        if name == "si":
            self._parts = []
        elif name == "t":
            self._in_text = not self._in_reading
        elif name == "rPh":
            self._in_reading = True

    def end(self, name: str) -> None:
        name = events.local(name)
        if name == "si":
            self.strings.append(_unescaped("".join(self._parts)))
        elif name == "t":
            self._in_text = False
        elif name == "rPh":
            self._in_reading = False

    def characters(self, text: str) -> None:
        if self._in_text:
            self._parts.append(text)


class _Sheet:
    """A sheet as it is read: its complete rows stand in `rows` until they are taken."""

    def __init__(self, name: str, strings: list[str], styles: list[str], from_1904: bool) -> None:
        self.rows: deque[list[Cell]] = deque()
        self._name = name
        self._strings = strings
        self._styles = styles
        self._from_1904 = from_1904
        self._columns: dict[str, int] = {}
        self._cells: list[Cell] = []
        self._row = 0
        self._column = -1
        self._attributes: dict[str, str] = {}
        self._formula = False
        self._valued = False
        self._in_value = False
        self._in_reading = False
        self._parts: list[str] = []

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if ":" in name:
            name = events.local(name)
        if name == "c":
            self._attributes = attributes
            self._parts = []
            self._formula = self._valued = False
            self._place(attributes.get("r"))
        elif name == "v":
            self._in_value = self._valued = True
        elif name == "t":
            self._in_value = not self._in_reading
        elif name == "f":
            self._formula = True
        elif name == "rPh":
            self._in_reading = True
        elif name == "row":
            said = attributes.get("r", "")
            self._row = int(said) if said.isdecimal() and len(said) < 9 else self._row + 1
            self._column = -1
            if self._row > MOST_ROWS:
                raise Unreadable(f"The worksheet {self._name!r} has a row {self._row}; Excel ends at {MOST_ROWS}.")

    def end(self, name: str) -> None:
        if ":" in name:
            name = events.local(name)
        if name in ("v", "t"):
            self._in_value = False
        elif name == "c":
            self._keep()
        elif name == "rPh":
            self._in_reading = False
        elif name == "row" and self._cells:
            self.rows.append(self._cells)
            self._cells = []

    def characters(self, text: str) -> None:
        if self._in_value:
            self._parts.append(text)

    def _place(self, reference: str | None) -> None:
        if reference is None:
            self._column += 1
        else:
            found = _REFERENCE.fullmatch(reference)
            if found is None:
                raise Unreadable(f"The worksheet {self._name!r} has a cell with the name {reference[:20]!r}.")
            letters = found[1]
            column = self._columns.get(letters)
            if column is None:
                column = 0
                for letter in letters:
                    column = column * 26 + ord(letter) - 64
                column = self._columns[letters] = column - 1
            self._column = column
        if self._column >= _MOST_COLUMNS:
            raise Unreadable(f"The worksheet {self._name!r} has more columns than Excel allows.")

    def _keep(self) -> None:
        text = "".join(self._parts)
        kind = self._attributes.get("t", "n")
        # A formula may come to an empty text; an empty number is how openpyxl writes one that nothing has calculated.
        if self._formula and not text and not (self._valued and kind == "str"):
            raise Unreadable(
                f"The cell {self._reference} holds a formula without a value. Save the workbook in Excel, or replace "
                "formulas by their values."
            )
        if not text:
            return
        fault = None
        if kind == "s":
            if not text.isdecimal() or len(text) > 9 or int(text) >= len(self._strings):
                raise Unreadable(f"The cell {self._reference} refers to a text that the workbook lacks.")
            text = self._strings[int(text)]
        elif kind in ("str", "inlineStr"):
            text = _unescaped(text)
        elif kind == "b":
            text = "true" if text == "1" else "false"
        elif kind == "e":
            fault = f"The cell {self._reference} holds the error {text[:20]}."
        elif kind == "n":
            text = self._number(text)
        if "\0" in text:
            raise Unreadable(f"The cell {self._reference} holds a NUL character.")
        if text:
            self._cells.append(Cell(self._reference, self._column, text, fault))

    @property
    def _reference(self) -> str:
        return self._attributes.get("r") or f"{self._column + 1} of row {self._row}"

    def _number(self, text: str) -> str:
        style = self._attributes.get("s", "0")
        number = int(style) if style.isdecimal() and len(style) < 9 else 0
        shown = self._styles[number] if number < len(self._styles) else NUMBER
        if shown == NUMBER and text.isascii() and text.isdigit() and len(text) < 16:
            return str(int(text))
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise Unreadable(f"The cell {self._reference} should hold a number and holds {text[:40]!r}.")
        if shown == NUMBER:
            return number_text(value)
        return moment_text(value, shown, from_1904=self._from_1904)


def number_text(value: float) -> str:
    """A number as a text: the fifteen digits that Excel knows, no exponent, no decimals where there are none."""
    exact = Decimal(f"{value:.15g}")
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment_text(value: float, shown: str, *, from_1904: bool = False) -> str:
    """A date, an instant or a time as ISO 8601 writes it; the plain number where the calendar of Excel has none.

    Args:
        value: days since the workbook's first day.
        shown: what its format shows, one of `DATE`, `DATE_TIME`, `TIME`, `DURATION`.
        from_1904: whether the first day is that of the old Macintosh.
    """
    if not 0 <= value < _END_OF_CALENDAR:
        return number_text(value)
    seconds = round(value * 86_400)
    if shown in (TIME, DURATION):
        hours, rest = divmod(seconds if shown == DURATION else seconds % 86_400, 3_600)
        return f"{hours:02}:{rest // 60:02}:{rest % 60:02}"
    if from_1904:
        moment = datetime(1904, 1, 1) + timedelta(seconds=seconds)  # noqa: DTZ001 - a workbook knows no time zones
    elif 60 <= value < 61:
        return "1900-02-29" if shown == DATE else number_text(value)  # Excel's calendar has this day, no other has.
    else:
        first_day = datetime(1899, 12, 31 if value < 60 else 30)  # noqa: DTZ001 - a workbook knows no time zones
        moment = first_day + timedelta(seconds=seconds)
    if shown == DATE:
        return moment.date().isoformat()
    return moment.isoformat(timespec="seconds")


_END_OF_CALENDAR: Final = 2_957_003
"""Days after which a date of either calendar may lie beyond the year 9999."""
