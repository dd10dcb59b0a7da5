"""Workbooks: what people type into Excel, and what is wrong with some of them."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from datetime import UTC, date, datetime, time, timedelta

import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from popreceipt.emulator.dmf import archive
from popreceipt.emulator.dmf.formats import FORMATS, CannotBeWritten, Column, SourceFormat, Unreadable, read, write
from popreceipt.emulator.dmf.formats.workbook import (
    DATE,
    DATE_TIME,
    DURATION,
    MOST_ROWS,
    TIME,
    moment_text,
    number_text,
)

COLUMNS = (Column("ITEMID"), Column("NAME"))
EXCEL = FORMATS["EXCEL"]
NAMESPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEADER = '<row r="1"><c r="A1" t="inlineStr"><is><t>ITEMID</t></is></c><c r="B1" t="str"><v>NAME</v></c></row>'


def rows(content: bytes, columns=COLUMNS, source: SourceFormat = EXCEL, sheet: str | None = None):
    return list(read(content, source, columns, record="ITEMS", sheet=sheet))


def typed(fill, header=("ITEMID", "NAME"), **options) -> bytes:
    """A workbook as a person leaves it."""
    made = io.BytesIO()
    workbook = xlsxwriter.Workbook(made, {"in_memory": True} | options)
    sheet = workbook.add_worksheet("Items")
    sheet.write_row(0, 0, header)
    fill(workbook, sheet)
    workbook.close()
    return made.getvalue()


def relationships(*parts: tuple[str, str]) -> str:
    listed = "".join(
        f'<Relationship Id="r{number}" Type="{RELATION}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(parts, 1)
    )
    return f"<Relationships>{listed}</Relationships>"


def by_hand(
    rows: str = "", *, strings: str | None = None, header: str = HEADER, **members: str | bytes | None
) -> bytes:
    """The smallest workbook, with members changed, added or (None) left out."""
    content: dict[str, str | bytes | None] = {
        "_rels/.rels": relationships(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook {NAMESPACE} xmlns:r="{RELATION}"><sheets><sheet name="Items" sheetId="1" '
        'r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relationships(
            ("worksheet", "worksheets/sheet1.xml"), ("sharedStrings", "sharedStrings.xml"), ("styles", "/xl/styles.xml")
        ),
        "xl/worksheets/sheet1.xml": f"<worksheet {NAMESPACE}><sheetData>{header}{rows}</sheetData></worksheet>",
    }
    if strings is not None:
        content["xl/sharedStrings.xml"] = f"<sst {NAMESPACE}>{strings}</sst>"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, value in (content | members).items():
            if value is not None:
                zipped.writestr(name, value)
    return made.getvalue()


INSTANT = datetime.fromisoformat("2026-02-28T13:05:09")
TYPED = {
    "a whole number": (7, None, "7"),
    "a negative number": (-12, None, "-12"),
    "decimals": (12.5, None, "12.5"),
    "the float that is no tenth": (0.1 + 0.2, None, "0.3"),
    "a large number": (1e20, None, "100000000000000000000"),
    "a small number": (1.5e-7, None, "0.00000015"),
    "zeros in front by format alone": (7, "00000", "7"),
    "a currency": (7, '#,##0.00 "days"', "7"),
    "a colour": (7, "[Red]0", "7"),
    "a date": (date(2026, 2, 28), "dd/mm/yyyy", "2026-02-28"),
    "a date in words": (date(2026, 2, 28), "mmmm d", "2026-02-28"),
    "a month": (date(2026, 2, 1), "mmm", "2026-02-01"),
    "an instant": (INSTANT, "dd/mm/yyyy hh:mm", "2026-02-28T13:05:09"),
    "an instant shown as a date": (INSTANT, "dd/mm/yyyy", "2026-02-28"),
    "a time": (time(13, 5, 9), "hh:mm", "13:05:09"),
    "a duration": (timedelta(hours=36, minutes=5), "[h]:mm", "36:05:00"),
    "true": (True, None, "true"),
    "false": (False, None, "false"),
    "a text": ("007", None, "007"),
    "a text that looks like a formula": ("'=1+1", None, "'=1+1"),
}


@pytest.mark.parametrize("what", TYPED)
def test_what_was_typed_becomes_text(what: str) -> None:
    """Whole numbers without decimals, dates and instants in ISO 8601, in either calendar of Excel."""
    value, number_format, text = TYPED[what]

    def fill(workbook, sheet) -> None:
        style = workbook.add_format({"num_format": number_format}) if number_format else None
        sheet.write(1, 0, value, style)

    for from_1904 in (False, True):
        (row,) = rows(typed(fill, date_1904=from_1904))
        assert row.values == {"ITEMID": text, "NAME": ""}
        assert row.fault is None


def test_another_reader_agrees_on_every_day() -> None:
    """Calamine reads the same dates out of numbers, from the first day of the calendar to the last but one year."""
    days = [*range(1, 70), 365, 366, 36_525, 46_000, 2_957_002]

    def fill(workbook, sheet) -> None:
        style = workbook.add_format({"num_format": "yyyy-mm-dd"})
        for place, day in enumerate(days, 1):
            sheet.write_number(place, 0, day, style)

    content = typed(fill)
    theirs = [
        row[0] for row in CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()[1:]
    ]
    ours = [row.values["ITEMID"] for row in rows(content)]
    unknown_to_others = days.index(60)
    assert ours[unknown_to_others] == "1900-02-29"
    assert [one for place, one in enumerate(ours) if place != unknown_to_others] == [
        one.isoformat() for place, one in enumerate(theirs) if place != unknown_to_others
    ]


def test_numbers_and_moments() -> None:
    """At the borders of what a calendar knows, and of what fifteen digits show."""
    assert [number_text(value) for value in (0.0, -0.5, 100.0, 1e15, 123456789.123)] == [
        "0",
        "-0.5",
        "100",
        "1000000000000000",
        "123456789.123",
    ]
    assert moment_text(0.5, DATE_TIME) == "1899-12-31T12:00:00"
    assert moment_text(60.5, DATE_TIME) == "60.5"
    assert moment_text(-1.0, DATE) == "-1"
    assert moment_text(1e9, DATE) == "1000000000"
    assert moment_text(0.0, DATE, from_1904=True) == "1904-01-01"
    assert moment_text(1.25, TIME) == "06:00:00"
    assert moment_text(1.25, DURATION) == "30:00:00"


def test_a_formula_is_its_last_value() -> None:
    """A number or a text, as Excel calculated it when the workbook was saved."""

    def fill(_, sheet) -> None:
        sheet.write_formula(1, 0, "=1+1", None, 2)
        sheet.write_formula(1, 1, '=A2&"x"', None, "2x")

    (row,) = rows(typed(fill))
    assert row.values == {"ITEMID": "2", "NAME": "2x"}


def test_a_formula_that_was_never_calculated_is_refused() -> None:
    """It is named; one whose value is an empty text is fine."""
    with pytest.raises(Unreadable, match="The cell B2 holds a formula without a value"):
        rows(by_hand('<row r="2"><c r="A2"><v>1</v></c><c r="B2"><f>1+1</f></c></row>'))
    with pytest.raises(Unreadable, match="The cell B2 holds a formula without a value"):  # as openpyxl leaves it
        rows(by_hand('<row r="2"><c r="A2"><v>1</v></c><c r="B2"><f>1+1</f><v></v></c></row>'))
    (row,) = rows(by_hand('<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="str"><f>""</f><v></v></c></row>'))
    assert row.values == {"ITEMID": "1", "NAME": ""}


def test_a_header_names_columns_and_blank_rows_are_nothing() -> None:
    """In any order, letter case and place; an unknown column comes under its own name."""

    def fill(_, sheet) -> None:
        sheet.write_row(3, 0, ["x", None, "1", "red"])
        sheet.write_row(5, 0, ["y"])

    found = rows(typed(fill, (" name ", None, "itemid", "Colour")))
    assert [(row.number, row.values, row.fault) for row in found] == [
        (1, {"NAME": "x", "ITEMID": "1", "Colour": "red"}, None),
        (2, {"NAME": "y", "ITEMID": "", "Colour": ""}, None),
    ]


def test_without_a_header_the_place_tells() -> None:
    """And a value beyond the last column is the record's fault."""
    source = SourceFormat(name="x", kind="excel", header=False)
    first, second = rows(typed(lambda _, sheet: sheet.write_row(1, 0, ["1", "x", "y"])), source=source)
    assert first.values == {"ITEMID": "ITEMID", "NAME": "NAME"}
    assert second.fault == "The cell C2 has a value in a column without a name."


def test_records_at_fault() -> None:
    """An error value, or a value under no name; the next record is good."""

    def fill(_, sheet) -> None:
        sheet.write_formula(1, 0, "=1/0", None, "#DIV/0!")
        sheet.write_string(2, 2, "x")
        sheet.write_string(3, 0, "1")

    faults = [row.fault for row in rows(typed(fill))]
    assert faults == [
        "The cell A2 holds the error #DIV/0!.",
        "The cell C3 has a value in a column without a name.",
        None,
    ]


def test_the_sheet_that_is_meant() -> None:
    """By its name in any letter case, with or without a $; else the first."""
    made = io.BytesIO()
    workbook = xlsxwriter.Workbook(made, {"in_memory": True})
    for name in ("Items", "More items"):
        workbook.add_worksheet(name).write_column(0, 0, ["ITEMID", name])
    workbook.close()
    content = made.getvalue()
    for sheet in (None, "Items", "items$", " ITEMS "):
        assert [row.values["ITEMID"] for row in rows(content, sheet=sheet)] == ["Items"]
    assert [row.values["ITEMID"] for row in rows(content, sheet="More items$")] == ["More items"]
    with pytest.raises(Unreadable, match=r"The workbook has no worksheet 'Vendors'; it has 'Items', 'More items'\."):
        rows(content, sheet="Vendors$")


def test_texts_in_runs_with_readings_and_escapes() -> None:
    """As other programs write them: in runs of different fonts, with Japanese readings, control characters escaped."""
    strings = (
        '<si><r><t xml:space="preserve">a </t></r><r><t>b</t></r></si>'
        "<si><t>漢</t><rPh sb='0' eb='1'><t>kan</t></rPh></si><si><t>x_x000D_y_x005F_x000D_</t></si>"
    )
    cells = "".join(f'<row r="{number + 2}"><c t="s"><v>{number}</v></c></row>' for number in range(3))
    inline = '<row><c t="inlineStr"><is><r><t>c</t></r><r><t>d</t></r><rPh><t>z</t></rPh></is></c></row>'
    found = rows(by_hand(cells + inline, strings=strings))
    assert [row.values["ITEMID"] for row in found] == ["a b", "漢", "x\ry_x000D_", "cd"]


def test_strict_prefixed_and_plain_parts() -> None:
    """Names count by their local part; a workbook need not have styles, strings or relationships of the whole."""
    cells = f"{HEADER}<x:row><x:c><x:v>5</x:v></x:c></x:row>"
    sheet = f'<x:worksheet xmlns:x="urn:x"><x:sheetData>{cells}</x:sheetData></x:worksheet>'
    (row,) = rows(by_hand(**{"xl/worksheets/sheet1.xml": sheet, "_rels/.rels": None}))
    assert row.values == {"ITEMID": "5", "NAME": ""}


def test_at_most_255_columns_are_imported() -> None:
    """The last of them is read, the next is refused; so is a header of more."""
    header = '<row r="1"><c r="A1" t="str"><v>ITEMID</v></c><c r="IU1" t="str"><v>NAME</v></c></row>'
    (row,) = rows(by_hand('<row r="2"><c r="IU2"><v>1</v></c></row>', header=header))
    assert row.values == {"ITEMID": "", "NAME": "1"}
    with pytest.raises(Unreadable, match="The worksheet 'Items' has a value in IV2; at most 255 columns are imported"):
        rows(by_hand('<row r="2"><c r="IV2"><v>1</v></c></row>'))
    wide = "".join(f'<c t="str"><v>C{number}</v></c>' for number in range(256))
    with pytest.raises(Unreadable, match="has 256 columns; at most 255"):
        rows(by_hand(header=f"<row>{wide}</row>"))


def test_a_cell_in_the_last_corner_costs_nothing() -> None:
    """Memory follows the cells that there are, not the rectangle that they span."""
    found = rows(by_hand(f'<row r="{MOST_ROWS}"><c r="B{MOST_ROWS}"><v>1</v></c></row>'))
    assert [row.values for row in found] == [{"ITEMID": "", "NAME": "1"}]


def lying_about_its_size() -> bytes:
    content = by_hand('<row r="2"><c r="A2"><v>1</v></c></row>' * 1000)
    name = b"xl/worksheets/sheet1.xml"
    for position in (content.rindex(name) - 46 + 24, content.index(name) - 30 + 22):
        content = content[:position] + struct.pack("<I", 10) + content[position + 4 :]
    return content


def encrypted() -> bytes:
    content = bytearray(by_hand())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def packed_by(method: int) -> bytes:
    made = io.BytesIO(by_hand())
    with zipfile.ZipFile(made, "a", method) as zipped:
        zipped.writestr("more.xml", "x" * 100)
    return made.getvalue()


SHEET, BOOK = "xl/worksheets/sheet1.xml", "xl/workbook.xml"
UNREADABLE = {
    "an old workbook, or an encrypted one": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "an old .xls workbook"),
    "a text": (b"ITEMID,NAME\r\n1,x\r\n", "The file is no Excel workbook; an .xlsx is expected."),
    "a damaged zip": (by_hand()[:-40], "The workbook cannot be unpacked"),
    "another zip": (by_hand(**{BOOK: None}), "The file is a zip but no Excel workbook"),
    "no worksheet": (by_hand(**{BOOK: f"<workbook {NAMESPACE}/>"}), "The workbook has no worksheet."),
    "a worksheet that is not there": (by_hand(**{SHEET: None}), "lacks the part xl/worksheets/sheet1.xml"),
    "no header": (by_hand(header=""), "The worksheet 'Items' has no header row."),
    "a column twice": (
        by_hand(header=HEADER.replace("NAME", "itemid")),
        "The column ITEMID stands twice in the header.",
    ),
    "broken XML": (by_hand("<row>"), "The worksheet 'Items' is not well-formed XML"),
    "broken XML of the whole": (by_hand(**{BOOK: "<workbook>"}), "The part xl/workbook.xml of the workbook is not"),
    "a document type in a sheet": (
        by_hand(**{SHEET: f'<!DOCTYPE x [<!ENTITY a "b">]><worksheet {NAMESPACE}/>'}),
        "The worksheet 'Items' has a document type; none is allowed.",
    ),
    "a document type in the texts": (
        by_hand(**{"xl/sharedStrings.xml": "<!DOCTYPE x><sst/>"}),
        "The part xl/sharedStrings.xml of the workbook has a document type",
    ),
    "a text that is not there": (by_hand('<row><c r="A2" t="s"><v>7</v></c></row>'), "The cell A2 refers to a text"),
    "a text by no number": (by_hand('<row><c r="A2" t="s"><v>-1</v></c></row>'), "The cell A2 refers to a text"),
    "a number that is none": (by_hand('<row><c r="A2"><v>x</v></c></row>'), "The cell A2 should hold a number"),
    "no finite number": (by_hand('<row><c r="A2"><v>1e999</v></c></row>'), "The cell A2 should hold a number"),
    "a cell without a sensible name": (by_hand('<row><c r="2A"><v>1</v></c></row>'), "a cell with the name '2A'"),
    "a cell beyond the last column": (by_hand('<row><c r="XFE2"><v>1</v></c></row>'), "more columns than Excel allows"),
    "a row beyond the last": (by_hand('<row r="1048577"><c><v>1</v></c></row>'), "has a row 1048577; Excel ends at"),
    "rows without end": (by_hand(f'<row r="{MOST_ROWS}"/>' + "<row/>" * 9), "has a row 1048577; Excel ends at"),
    "a NUL": (by_hand('<row><c r="A2" t="str"><v>_x0000_</v></c></row>'), "The cell A2 holds a NUL character."),
    "a bomb": (by_hand(**{"xl/media/bomb.png": b"\0" * 30_000_000}), "packed more tightly than honest files are"),
    "a sheet that is a bomb": (
        by_hand("<row/>" + " " * 30_000_000),
        "The member 'xl/worksheets/sheet1.xml' is packed more tightly",
    ),
    "a member that lies about its size": (lying_about_its_size(), "The workbook cannot be unpacked: Bad CRC"),
    "sheets without end": (
        by_hand(**{BOOK: f"<workbook>{'<sheet/>' * 300_000}</workbook>"}),
        "The part xl/workbook.xml of the workbook has more than 200000 elements.",
    ),
    "too many members": (by_hand(**{f"{number}.xml": b"" for number in range(1000)}), "at most 1000 are taken"),
    "a name that climbs": (by_hand(**{"../x.xml": b""}), "a member with the name '../x.xml'"),
    "a member with a password": (encrypted(), "is encrypted; a workbook without a password is expected"),
    "a member packed by bzip2": (packed_by(zipfile.ZIP_BZIP2), "packed by an unusual method"),
    "a member packed by LZMA": (packed_by(zipfile.ZIP_LZMA), "packed by an unusual method"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_workbook_that_is_of_no_use_is_refused(what: str) -> None:
    """With a sentence that names the sheet or the cell."""
    content, said = UNREADABLE[what]
    with pytest.raises(Unreadable) as refused:
        rows(content)
    assert said in str(refused.value)


def test_a_workbook_larger_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it holds, before anything is unpacked."""
    content = by_hand()
    monkeypatch.setattr(archive, "MOST_BYTES", 100)
    with pytest.raises(Unreadable, match="The workbook is larger than 100 bytes unpacked"):
        rows(content)


def test_a_field_of_ten_megabytes() -> None:
    """More than Excel can hold, but a file can: it is handed on, for the entity to refuse."""
    text = random.Random(3).randbytes(5_000_000).hex()
    (row,) = rows(by_hand(f'<row><c t="inlineStr"><is><t>{text}</t></is></c></row>'))
    assert row.values == {"ITEMID": text, "NAME": ""}


def test_a_workbook_ends_where_excel_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record too many is refused before it would be lost."""
    monkeypatch.setattr("popreceipt.emulator.dmf.formats.excel.MOST_ROWS", 3)
    some = [{"ITEMID": "1"}] * 3
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len(rows(write(some[:2], COLUMNS, EXCEL, record="", written=now))) == 2
    with pytest.raises(CannotBeWritten, match="Record 3: a worksheet ends at row 3"):
        write(some, COLUMNS, EXCEL, record="", written=now)


def test_texts_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs little in the file and more in memory."""
    monkeypatch.setattr("popreceipt.emulator.dmf.formats.workbook.MOST_STRINGS", 9)
    with pytest.raises(Unreadable, match="The workbook has more than 9 texts"):
        rows(by_hand(strings="<si/>" * 10))
