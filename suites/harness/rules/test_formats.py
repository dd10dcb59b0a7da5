"""What rules read in files of the known source data formats, and what they leave alone."""

import io
import zipfile

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.client.formats import FORMATS, written
from popreceipt.rules.formats import FORMATS as KNOWN
from popreceipt.rules.formats import kind_of, rows_of

COLUMNS = ("CUSTOMERGROUPID", "DESCRIPTION")
ENTITY = "Customer groups"
VALUES = st.text(st.characters(codec="cp1252", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).map(
    lambda text: text.strip() or "x"
)


def test_rules_read_what_clients_write() -> None:
    """Both know the same names."""
    assert {each.casefold() for each in FORMATS} == set(KNOWN)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=4))
def test_a_file_is_read_as_it_was_written(name: str, values: list[tuple[str, str]]) -> None:
    """Separators, quotes and letters of the code page survive in every format."""
    records = [dict(zip(COLUMNS, each, strict=True)) for each in values]
    content = written(records, COLUMNS, name, entity=ENTITY)
    assert rows_of(content, name, ENTITY, COLUMNS) == records


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("No such format", b"A,B\r\n1,2\r\n"),
        ("CSV", b""),
        ("CSV", b"A,B\r\n1\r\n"),
        ("CSV", b"A,A\r\n1,2\r\n"),
        ("CSV", "A\r\nä\r\n".encode("cp1252")),
        ("CSV", b"A\r\n\0\r\n"),
        ("CSV-Unicode", b"A,B\r\n1,2\r\n"),
        ("XML-Element", b"<Document><VENDORS/></Document>"),
        ("XML-Element", b"<Groups/>"),
        ("XML-Element", b"<!DOCTYPE a><Document/>"),
        ("XML-Element", b"<Document><CUSTOMERGROUPS><A>1</A><A>2</A></CUSTOMERGROUPS></Document>"),
        ("XML-Element", b"<Document><CUSTOMERGROUPS A='1'/></Document>"),
        ("XML-Element", b"<Document><CUSTOMERGROUPS><A><B/></A></CUSTOMERGROUPS></Document>"),
        ("XML-Element", b"<Document>text</Document>"),
        ("XML-Attribute", b"<Document><CUSTOMERGROUPS><A>1</A></CUSTOMERGROUPS></Document>"),
        ("EXCEL", b"A,B\r\n1,2\r\n"),
        ("EXCEL", b"PK\x03\x04 but no workbook"),
    ],
)
def test_anything_else_is_none(name: str, content: bytes) -> None:
    """Another format, another shape, or one that could be read in two ways: nobody could say what is in it."""
    assert rows_of(content, name, ENTITY, ()) is None


def test_what_bytes_certainly_are() -> None:
    """Archives, workbooks and XML are told by their beginnings; all else might be anything."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("Manifest.xml", "<a/>")
    records = [dict(zip(COLUMNS, ("A", "B"), strict=True))]
    files = {name: written(records, COLUMNS, name, entity=ENTITY) for name in FORMATS}
    assert kind_of(archive.getvalue()) == "package"
    assert kind_of(files["EXCEL"]) == "excel"
    assert {kind_of(files[name]) for name in ("XML-Element", "XML-Attribute")} == {"xml"}
    assert kind_of('<?xml version="1.0"?><a/>'.encode("utf-16")) == "xml"
    assert {kind_of(files[name]) for name in ("CSV", "TAB", "CSV-Unicode")} == {None}
    assert kind_of(b"PK\x03\x04 but no archive") is None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMATS), st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 255)), max_size=6))
def test_a_damaged_file_never_raises(name: str, changes: list[tuple[int, int]]) -> None:
    """Whatever bytes are changed, there are records or there are none."""
    body = bytearray(written([dict(zip(COLUMNS, ("A", "B"), strict=True))], COLUMNS, name, entity=ENTITY))
    for place, value in changes:
        body[place % len(body)] = value
    found = rows_of(bytes(body), name, ENTITY, COLUMNS)
    assert found is None or all(isinstance(each, dict) for each in found)


def test_a_worksheet_that_spans_the_whole_world_is_not_looked_into() -> None:
    """Two cells in opposite corners: a reader that lays out all between them would take gigabytes."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_string(0, 0, "A")
        sheet.write_string(1_048_575, 16_383, "B")
    assert rows_of(made.getvalue(), "EXCEL", "Customer groups", []) is None
