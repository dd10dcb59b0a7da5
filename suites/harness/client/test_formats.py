"""Files in source data formats: each is what its name says, and independent readers agree."""

import csv
import io
from xml.etree import ElementTree

import pytest
from python_calamine import CalamineWorkbook

from popreceipt.client.formats import DELIMITED, EXCEL, FORMATS, XML_ATTRIBUTE, XML_ELEMENT, extension, written

COLUMNS = ("CUSTOMERGROUPID", "DESCRIPTION")
RECORD = {"CUSTOMERGROUPID": "007", "DESCRIPTION": 'Détail; "fein", <b> & =1+1'}


def file(name: str) -> bytes:
    """One record in a format."""
    return written([RECORD], COLUMNS, name, entity="Customer groups")


@pytest.mark.parametrize("name", DELIMITED)
def test_delimited_text(name: str) -> None:
    """Separator, code page and header are those of the name; quotes go around what needs them."""
    separator, code_page, header = DELIMITED[name]
    lines = list(csv.reader(io.StringIO(file(name).decode(code_page), newline=""), delimiter=separator))
    assert lines == [*([list(COLUMNS)] if header else []), list(RECORD.values())]


@pytest.mark.parametrize("name", ["CSV-Unicode", "TAB-Unicode"])
def test_utf_16_has_its_byte_order_mark(name: str) -> None:
    """Without it nobody could tell the byte order."""
    assert file(name)[:2] in (b"\xff\xfe", b"\xfe\xff")


def test_xml() -> None:
    """A root `Document`, in it an element a record, in that values as elements or as attributes."""
    by_elements, by_attributes = (ElementTree.fromstring(file(name)) for name in (XML_ELEMENT, XML_ATTRIBUTE))
    assert {by_elements.tag, by_attributes.tag} == {"Document"}
    assert [each.tag for each in (*by_elements, *by_attributes)] == ["CUSTOMERGROUPS", "CUSTOMERGROUPS"]
    assert {each.tag: each.text for each in by_elements[0]} == RECORD
    assert by_attributes[0].attrib == RECORD


def test_a_workbook() -> None:
    """A header row, then a row a record; texts stay texts, whatever they look like."""
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(file(EXCEL)))
    assert workbook.get_sheet_by_index(0).to_python() == [list(COLUMNS), list(RECORD.values())]


def test_names_of_files() -> None:
    """Each format has its ending, and an unknown one is an error."""
    assert {extension(each) for each in FORMATS} == {"csv", "xml", "xlsx"}
    with pytest.raises(KeyError):
        file("FIXED-WIDTH")
