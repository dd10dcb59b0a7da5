"""Source data formats: what is written is read again, byte for byte, and what a format cannot carry is refused."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from python_calamine import CalamineWorkbook

from popreceipt.emulator.dmf.formats import (
    FORMATS,
    CannotBeWritten,
    Column,
    SourceFormat,
    format_named,
    read,
    record_element,
    write,
)

COLUMNS = (Column("ITEMID", 12), Column("NAME", 40), Column("NOTE", 25))
NAMES = tuple(column.name for column in COLUMNS)
WRITTEN = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
MORE = (
    SourceFormat(name="apostrophes", kind="delimited", separator=";", qualifier="'"),
    SourceFormat(name="no qualifier", kind="delimited", separator="|", qualifier=""),
    SourceFormat(name="no qualifier, no header", kind="delimited", header=False, qualifier=""),
    SourceFormat(name="UTF-16 of fixed width", kind="fixed-width", header=False, code_page="utf-16"),
    SourceFormat(name="UTF-16 elements", kind="xml-element", code_page="utf-16"),
    SourceFormat(name="1252 elements", kind="xml-element", code_page="windows-1252"),
    SourceFormat(name="1252 attributes", kind="xml-attribute", code_page="windows-1252"),
    SourceFormat(name="Excel without header", kind="excel", header=False),
)
ALL = (*FORMATS.values(), *MORE)
NASTY = (
    "", " ", " leading", "trailing ", "\t", "a,b", "a;b", "a|b", "a:b", "a\tb", '"', '""', "'", "''", 'say "hi"',
    "it's", "\r", "\n", "\r\n", "two\nlines", "two\r\nlines", "007", "1.50", "1e5", "=1+1", "+1", "-1", "@x",
    "2026-01-01", "TRUE", "😀", "𝒳", "é", "€", "漢字", "\x85", "\u2028", "\x0b", "\x1f", "\x7f", "\0",
    "\ufeff", "\ufffe", "\uffff", "\ud800", "<b>", "&amp;", "]]>", "<!-- -->", "_x000D_",
    "_x0041_", "_x005F_", "__x000d_", "#N/A", "NULL", "\x81",
)  # fmt: skip

values = st.sampled_from(NASTY) | st.text(max_size=15) | st.lists(st.sampled_from(NASTY), max_size=3).map("".join)
records = st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, values)), min_size=1, max_size=5)


def written(rows, source: SourceFormat, columns=COLUMNS) -> bytes:
    return write(rows, columns, source, record="ITEMS", written=WRITTEN)


def carries(source: SourceFormat, column: Column, value: str) -> bool:
    """Whether a format can carry a value in principle, told independently of the code under test."""
    if "\0" in value or any(0xD800 <= ord(letter) < 0xE000 for letter in value):
        return False
    if source.kind == "excel":
        return not set(value) & {"\ufffe", "\uffff"}
    if source.kind.startswith("xml"):
        return all(letter in "\t\n\r" or (letter >= " " and letter not in "\ufffe\uffff") for letter in value)
    if source.code_page == "windows-1252" and value.encode("cp1252", "ignore").decode("cp1252") != value:
        return False
    if source.kind == "fixed-width":
        return len(value) <= column.width and value[-1:] != " " and not set(value) & set("\r\n")
    return bool(source.qualifier) or not set(value) & {source.separator, "\r", "\n"}


@pytest.mark.parametrize("source", ALL, ids=lambda source: source.name)
@settings(max_examples=80, deadline=None)
@given(rows=records)
def test_what_is_written_is_read_again(source: SourceFormat, rows: list[dict[str, str]]) -> None:
    """Values are equal, and written once more they make the same bytes; or a value is refused, and then with cause."""
    possible = all(carries(source, column, row[column.name]) for row in rows for column in COLUMNS)
    if source.kind == "excel":
        possible = possible and all(any(row.values()) for row in rows)
    if not possible:
        with pytest.raises(CannotBeWritten):
            written(rows, source)
        return
    content = written(rows, source)
    found = list(read(content, source, COLUMNS, record="ITEMS"))
    assert [row.values for row in found] == rows
    assert [row.number for row in found] == list(range(1, len(rows) + 1))
    assert not any(row.fault for row in found)
    assert written([row.values for row in found], source) == content


@settings(max_examples=60, deadline=None)
@given(value=values, source=st.sampled_from([one for one in ALL if one.kind == "delimited"]))
def test_a_single_column_is_read_again(value: str, source: SourceFormat) -> None:
    """An only value that is empty stands in qualifiers, so that its line is none that is blank."""
    columns = COLUMNS[:1]
    if not carries(source, columns[0], value) or (not value and not source.qualifier):
        with pytest.raises(CannotBeWritten):
            written([{"ITEMID": value}], source, columns)
        return
    content = written([{"ITEMID": value}], source, columns)
    assert [row.values for row in read(content, source, columns, record="ITEMS")] == [{"ITEMID": value}]


XML_ROWS = [{"ITEMID": " <a> & \"b\" 'c'", "NAME": "x\r\ny\tz\n", "NOTE": "é€漢😀]]>"}, dict.fromkeys(NAMES, "")]


@pytest.mark.parametrize("code_page", ["utf-8", "utf-16", "windows-1252"])
@pytest.mark.parametrize("kind", ["xml-element", "xml-attribute"])
def test_another_reader_of_xml_agrees(kind, code_page) -> None:
    """libxml2 finds the same values in the same places."""
    source = SourceFormat(name="x", kind=kind, code_page=code_page)
    root = etree.fromstring(written(XML_ROWS, source))
    assert root.tag == "Document"
    assert [record.tag for record in root] == ["ITEMS", "ITEMS"]
    if kind == "xml-attribute":
        assert [dict(record.attrib) for record in root] == XML_ROWS
    else:
        assert [{value.tag: value.text or "" for value in record} for record in root] == XML_ROWS


def test_another_reader_of_workbooks_agrees() -> None:
    """Calamine finds the same texts, and texts alone: no number, date, boolean or formula among them."""
    rows = [{"ITEMID": "007", "NAME": "=1+1", "NOTE": "2026-01-01"}, {"ITEMID": " a ", "NAME": "TRUE", "NOTE": "😀\nx"}]
    content = write(rows, COLUMNS, FORMATS["EXCEL"], record="", written=WRITTEN, sheet="Items$")
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
    assert workbook.sheet_names == ["Items"]
    assert workbook.get_sheet_by_index(0).to_python() == [list(NAMES), *(list(row.values()) for row in rows)]


def test_the_same_records_make_the_same_bytes() -> None:
    """In every format, and a workbook tells the time that it was given, in whatever zone."""
    rows = [{"ITEMID": "1", "NAME": "one"}]
    elsewhere = WRITTEN.astimezone(timezone(timedelta(hours=2)))
    for source in ALL:
        content = written(rows, source)
        assert content == written(iter(rows), source)
        assert content == write(rows, COLUMNS, source, record="ITEMS", written=elsewhere)
    later = write(rows, COLUMNS, FORMATS["EXCEL"], record="", written=WRITTEN + timedelta(days=1))
    assert later != written(rows, FORMATS["EXCEL"])


def test_files_look_as_they_should() -> None:
    """CSV as it always was; code pages with and without a mark; fixed places; XML of either shape."""
    rows = [{"ITEMID": "1", "NAME": 'é "x", y', "NOTE": ""}]
    csv = 'ITEMID,NAME,NOTE\r\n1,"é ""x"", y",\r\n'
    assert written(rows, FORMATS["CSV"]) == csv.encode()
    assert written(rows, FORMATS["CSV-Unicode"]) == b"\xff\xfe" + csv.encode("utf-16-le")
    assert written(rows, FORMATS["CSV-1252"]) == csv.encode("cp1252")
    assert written(rows, FORMATS["CSV-NoHeader"]) == csv.partition("\n")[2].encode()
    assert written(rows, FORMATS["CSV-Semicolon"]) == b'ITEMID;NAME;NOTE\r\n1;"\xc3\xa9 ""x"", y";\r\n'
    assert written(rows, MORE[0]) == 'ITEMID;NAME;NOTE\r\n1;é "x", y;\r\n'.encode()
    assert written(rows, FORMATS["FIXED-WIDTH"]).decode() == "1".ljust(12) + 'é "x", y'.ljust(40) + " " * 25 + "\r\n"
    head = '<?xml version="1.0" encoding="utf-8"?>\n<Document>\n'
    assert written(rows, FORMATS["XML-Element"]).decode() == (
        f'{head}<ITEMS><ITEMID>1</ITEMID><NAME>é "x", y</NAME><NOTE></NOTE></ITEMS>\n</Document>\n'
    )
    assert written(rows, FORMATS["XML-Attribute"]).decode() == (
        f'{head}<ITEMS ITEMID="1" NAME="é &quot;x&quot;, y" NOTE=""/>\n</Document>\n'
    )


def test_no_records_are_a_file_too() -> None:
    """The header alone, an empty document, an empty file: only the last is refused when it comes back."""
    for source in ALL:
        content = written([], source)
        if content:
            assert list(read(content, source, COLUMNS, record="ITEMS")) == []
        else:
            assert source.kind == "fixed-width" or not source.header


def test_values_that_a_record_lacks_are_empty() -> None:
    """And columns that nobody asked for are not written."""
    content = written([{"NAME": "x", "OTHER": "y"}], FORMATS["CSV"])
    assert content == b"ITEMID,NAME,NOTE\r\n,x,\r\n"


REFUSED = {
    "an unknown letter": ("CSV-1252", {"NAME": "漢"}, "Record 2, column NAME: Windows-1252 has no letter '漢'"),
    "half a letter": ("CSV", {"NAME": "\ud83d"}, "Record 2, column NAME: UTF-8 has no letter"),
    "half a letter in UTF-16": ("TAB-Unicode", {"NAME": "\ud83d"}, "Record 2, column NAME: UTF-16 has no letter"),
    "a NUL": ("PIPE", {"NOTE": "a\0"}, "Record 2, column NOTE: a text file cannot carry a NUL"),
    "too wide": ("FIXED-WIDTH", {"ITEMID": "x" * 13}, "Record 2, column ITEMID: the value has 13 characters, the col"),
    "a blank at the end": ("FIXED-WIDTH", {"NAME": "x "}, "Record 2, column NAME: a blank at the end"),
    "a line break": ("FIXED-WIDTH", {"NAME": "x\ny"}, "Record 2, column NAME: the value holds a line break"),
    "a control character": ("XML-Element", {"NAME": "\x0b"}, "Record 2, column NAME: XML has no character U\\+000B"),
    "a NUL in XML": ("XML-Attribute", {"NAME": "\0"}, "Record 2, column NAME: XML has no character U\\+0000"),
    "a NUL in Excel": ("EXCEL", {"NAME": "\0"}, "Record 2, column NAME: a workbook has no character U\\+0000"),
    "too long for a cell": ("EXCEL", {"NAME": "x" * 32_768}, "Record 2, column NAME: the value has 32768 characters"),
    "nothing in a row": ("EXCEL", {"ITEMID": ""}, "Record 2: without any value it makes an empty row"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_format_cannot_carry_is_named(what: str) -> None:
    """The record, the column and why; and nothing is written."""
    name, row, said = REFUSED[what]
    with pytest.raises(CannotBeWritten, match=said) as refused:
        written([{"ITEMID": "1"}, row], FORMATS[name])
    assert refused.value.record == 2


def test_values_without_a_qualifier_are_refused_by_what_they_hold() -> None:
    """A separator, a line break, or nothing at all in the only column."""
    for value, said in (("a|b", "the separator"), ("a\rb", "a line break")):
        with pytest.raises(CannotBeWritten, match=f"Record 1, column NAME: the value holds {said}"):
            written([{"NAME": value}], MORE[1])
    with pytest.raises(CannotBeWritten, match=r"Column A\|B: the name holds the separator"):
        written([], MORE[1], (Column("A|B"),))
    with pytest.raises(CannotBeWritten, match="makes a blank line"):
        written([{}], MORE[1], COLUMNS[:1])


def test_columns_and_names_that_a_format_cannot_have() -> None:
    """Fixed width without a width, names that are none in XML or on a worksheet, more columns than Excel imports."""
    nameless = (Column("NAME"),)
    with pytest.raises(
        CannotBeWritten, match="Column NAME: FIXED-WIDTH is of fixed width, and the column is given none"
    ):
        written([], FORMATS["FIXED-WIDTH"], nameless)
    for name in ("1ST", "A B", "A:B", "", "²"):
        with pytest.raises(CannotBeWritten, match="cannot be a name in XML"):
            written([], FORMATS["XML-Element"], (Column(name),))
        with pytest.raises(CannotBeWritten, match="cannot be a name in XML"):
            write([], COLUMNS, FORMATS["XML-Element"], record=name, written=WRITTEN)
    with pytest.raises(CannotBeWritten, match="Windows-1252 lacks letters of the name '漢'"):
        written([], MORE[5], (Column("漢"),))
    with pytest.raises(CannotBeWritten, match="Column 漢: Windows-1252 has no letter"):
        written([], FORMATS["CSV-1252"], (Column("漢"),))
    for sheet in ("a/b", "x" * 32):
        with pytest.raises(CannotBeWritten, match="A worksheet cannot have the name"):
            write([], COLUMNS, FORMATS["EXCEL"], record="", written=WRITTEN, sheet=sheet)
    many = tuple(Column(f"C{number}") for number in range(256))
    with pytest.raises(CannotBeWritten, match="There are 256 columns; at most 255"):
        written([], FORMATS["EXCEL"], many)


def test_there_are_fourteen_ready_made_formats() -> None:
    """Known by name in any letter case; each of the documented kinds, separators and code pages is among them."""
    assert len(FORMATS) == len({name.casefold() for name in FORMATS}) == 14
    for name, source in FORMATS.items():
        assert format_named(f" {name.upper()} ") is format_named(name.lower()) is source
        assert source.name == name
    assert {source.kind for source in ALL} == {source.kind for source in FORMATS.values()}
    assert {source.separator for source in FORMATS.values()} == set(",;\t|:")
    assert {source.code_page for source in FORMATS.values()} == {"utf-8", "utf-16", "windows-1252"}
    assert {source.extension for source in FORMATS.values()} == {"csv", "txt", "xml", "xlsx"}
    with pytest.raises(LookupError, match="no source data format 'CSV2'; there are CSV, CSV-Unicode"):
        format_named("CSV2")


def test_formats_are_json_too() -> None:
    """Both ways, so that a data project can carry one of its own."""
    for source in ALL:
        assert msgspec.json.decode(msgspec.json.encode(source), type=SourceFormat) == source
    assert msgspec.json.encode(FORMATS["PIPE"]) == b'{"name":"PIPE","kind":"delimited","separator":"|"}'


WRONG = {
    "no name": {"kind": "delimited"},
    "a blank name": {"name": " ", "kind": "delimited"},
    "another kind": {"name": "x", "kind": "odbc"},
    "another separator": {"name": "x", "kind": "delimited", "separator": "#"},
    "another qualifier": {"name": "x", "kind": "delimited", "qualifier": "`"},
    "another code page": {"name": "x", "kind": "delimited", "code_page": "latin-1"},
    "a header of fixed width": {"name": "x", "kind": "fixed-width"},
    "an unknown member": {"name": "x", "kind": "delimited", "separater": ","},
}


@pytest.mark.parametrize("what", WRONG)
def test_formats_that_are_none(what: str) -> None:
    """Each is refused when it is converted."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(WRONG[what], SourceFormat)


def test_the_element_of_a_record() -> None:
    """The entity's name in capitals, letters and digits alone; never what XML would not take."""
    assert record_element("Customer groups") == "CUSTOMERGROUPS"
    assert record_element("Released products V2") == "RELEASEDPRODUCTSV2"
    assert record_element("Währung (neu)") == "WÄHRUNGNEU"
    assert record_element("1099 boxes") == "_1099BOXES"
    assert record_element("...") == "_"
