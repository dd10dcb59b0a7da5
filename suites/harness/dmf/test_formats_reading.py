"""Source data formats: what other people's files look like, and what is wrong with some of them."""

from __future__ import annotations

import codecs
import csv
import random
from datetime import UTC, datetime

import pytest

from popreceipt.emulator.dmf.formats import (
    FORMATS,
    Column,
    SourceFormat,
    Unreadable,
    format_named,
    read,
    write,
)

COLUMNS = (Column("ITEMID", 4), Column("NAME", 8))
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
UNQUALIFIED = SourceFormat(name="unqualified", kind="delimited", qualifier="")
ELEMENT, ATTRIBUTE = FORMATS["XML-Element"], FORMATS["XML-Attribute"]


def rows(content: bytes | str, source: str | SourceFormat = "CSV", columns=COLUMNS, **more):
    """All records of a file."""
    found = format_named(source) if isinstance(source, str) else source
    encoded = content.encode() if isinstance(content, str) else content
    return list(read(encoded, found, columns, **({"record": "ITEMS"} | more)))


def records(content: bytes | str, source: str | SourceFormat = "CSV", columns=COLUMNS, **more):
    """The values of all records, of which none is at fault."""
    found = rows(content, source, columns, **more)
    assert not any(row.fault for row in found)
    return [row.values for row in found]


ONE = [{"ITEMID": "1", "NAME": "x"}]


def document(inside: str) -> str:
    return f"<Document>{inside}</Document>"


def test_a_header_names_columns_in_any_order_and_letter_case() -> None:
    """In the expected spelling they come out; unknown ones under their own name; some may be missing."""
    assert records("name , itemid\nx,1\n") == [{"NAME": "x", "ITEMID": "1"}]
    assert records("ITEMID,Colour\n1,red\n") == [{"ITEMID": "1", "Colour": "red"}]
    assert records("ItemId\n1\n") == [{"ITEMID": "1"}]


def test_line_ends_and_marks_as_they_come() -> None:
    """Of Windows, of Unix, of old Macintoshes; with a byte order mark, without; blank lines are nothing."""
    for end in ("\r\n", "\n", "\r"):
        assert records(f"ITEMID,NAME{end}{end}1,x{end}{end}") == ONE
    assert records("ITEMID,NAME\n1,x") == ONE
    assert records(codecs.BOM_UTF8 + b"ITEMID,NAME\n1,x\n") == ONE
    for order in ("utf-16-le", "utf-16-be"):
        assert records("\ufeffITEMID,NAME\n1,x\n".encode(order), "CSV-Unicode") == ONE
    assert records("1   x\n\n", "FIXED-WIDTH") == ONE


def test_without_a_header_the_order_tells() -> None:
    """As many values as there are columns."""
    assert records('1,"x"\r\n', "CSV-NoHeader") == ONE


def test_qualifiers() -> None:
    """Values may stand in them without need; inside they are doubled; without a qualifier they are letters."""
    assert records('"ITEMID","NAME"\n"1","x"\n') == ONE
    assert records('ITEMID,NAME\n1,"a ""b""\r\n,c"\n') == [{"ITEMID": "1", "NAME": 'a "b"\r\n,c'}]
    assert records('ITEMID,NAME\n1,a "b"\n') == [{"ITEMID": "1", "NAME": 'a "b"'}]
    assert records('ITEMID,NAME\n1,"b\n', UNQUALIFIED) == [{"ITEMID": "1", "NAME": '"b'}]


RAGGED = {
    "too few": ("CSV", "ITEMID,NAME\n1\n2,y\n", "The record has 1 values, the header 2 columns."),
    "too many": ("CSV", "ITEMID,NAME\n1,x,z\n2,y\n", "The record has 3 values, the header 2 columns."),
    "too few for the format": ("CSV-NoHeader", "1\n2,y\n", "The record has 1 values, the format 2 columns."),
    "too many for the format": ("CSV-NoHeader", "1,x,\n2,y\n", "The record has 3 values, the format 2 columns."),
    "too wide": ("FIXED-WIDTH", "1   12345678 9\n2   y\n", "The record has 14 characters, the columns take 12."),
    "an element twice": (
        "XML-Element",
        document("<ITEMS><ITEMID>1</ITEMID><itemid>1</itemid></ITEMS><ITEMS><ITEMID>2</ITEMID><NAME>y</NAME></ITEMS>"),
        "The record has the column ITEMID twice.",
    ),
    "an attribute twice": (
        "XML-Attribute",
        document('<ITEMS ITEMID="1" ItemId="1"/><ITEMS ITEMID="2" NAME="y"/>'),
        "The record has the column ITEMID twice.",
    ),
}


@pytest.mark.parametrize("what", RAGGED)
def test_a_ragged_record_is_at_fault_alone(what: str) -> None:
    """Its number and the reason are told, and the next record is good."""
    source, content, said = RAGGED[what]
    first, second = rows(content, source)
    assert (first.number, first.fault) == (1, said)
    assert (second.number, second.fault, second.values) == (2, None, {"ITEMID": "2", "NAME": "y"})


def test_lines_of_fixed_width_may_end_early() -> None:
    """As editors leave them; blanks at the end are filling in any case, those in front are not."""
    assert records("1\n2   y\n3    y      \n", "FIXED-WIDTH") == [
        {"ITEMID": "1", "NAME": ""},
        {"ITEMID": "2", "NAME": "y"},
        {"ITEMID": "3", "NAME": " y"},
    ]


def test_xml_is_taken_with_prefixes_comments_and_layout() -> None:
    """Names count by their local part, in any letter case; an unknown column comes under its own name."""
    content = """<?xml version="1.0" encoding="utf-8"?>
    <!-- by hand -->
    <n:document xmlns:n="urn:x" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
      <n:items xsi:type="y">
        <n:itemid>1</n:itemid><!-- --><Colour><![CDATA[<red>]]> &amp; &#x41;</Colour><NAME xsi:nil="true"/>
      </n:items>
    </n:document>"""
    assert records(content, ELEMENT) == [{"ITEMID": "1", "Colour": "<red> & A", "NAME": ""}]
    content = '<Document xmlns="urn:x"><Items xmlns="urn:y" itemid="1" Colour="red &lt;"/></Document>'
    assert records(content, ATTRIBUTE) == [{"ITEMID": "1", "Colour": "red <"}]
    for encoding in ("utf-16", "iso-8859-1", "windows-1252"):
        declared = f'<?xml version="1.0" encoding="{encoding}"?>{document("<ITEMS><NAME>é</NAME></ITEMS>")}'
        assert records(declared.encode(encoding), ELEMENT) == [{"NAME": "é"}]


BOMB = (
    '<!DOCTYPE Document [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {name} "{f"&{of};" * 10}">' for of, name in zip("abcdefghi", "bcdefghij", strict=True))
    + "]>"
)
UNREADABLE = {
    "an empty file": ("CSV", b"", "The file is empty."),
    "an empty file of fixed width": ("FIXED-WIDTH", b"", "The file is empty."),
    "an empty file of XML": ("XML-Element", b"", "The file is empty."),
    "an empty workbook": ("EXCEL", b"", "The file is empty."),
    "blank lines alone": ("CSV", b"\r\n\r\n", "The file has no header row."),
    "a mark alone": ("CSV", codecs.BOM_UTF8, "The file has no header row."),
    "a column twice": ("CSV", b"ITEMID,NAME,itemid \n1,x,1\n", "The column ITEMID stands twice in the header."),
    "an unknown column twice": ("CSV", b"A,ITEMID,a\n1,x,1\n", "The column a stands twice in the header."),
    "a column without a name": ("CSV", b"ITEMID,NAME,\n1,x,\n", "Column 3 of the header has no name."),
    "Windows-1252 where UTF-8 is expected": (
        "CSV",
        "ITEMID,NAME\n1,é\n".encode("cp1252"),
        "The file is not UTF-8, as CSV expects: byte 15 of the file, 0xE9 in line 2, fits nowhere in it.",
    ),
    "UTF-16 where UTF-8 is expected": (
        "CSV",
        "ITEMID,NAME\n1,x\n".encode("utf-16"),
        "The file begins with the byte order mark of UTF-16; CSV expects UTF-8.",
    ),
    "UTF-16 without a mark where UTF-8 is expected": (
        "CSV",
        "ITEMID,NAME\n1,x\n".encode("utf-16-le"),
        "The header holds a NUL character. Is the file damaged, or of another code page?",
    ),
    "UTF-8 where UTF-16 is expected": (
        "CSV-Unicode",
        codecs.BOM_UTF8 + b"ITEMID,NAME\n1,x\n",
        "The file begins with the byte order mark of UTF-8; CSV-Unicode expects UTF-16.",
    ),
    "no mark where UTF-16 is expected": (
        "CSV-Unicode",
        b"ITEMID,NAME\n1,x\n",
        "The file has no byte order mark of UTF-16, which CSV-Unicode expects.",
    ),
    "UTF-8 where Windows-1252 is expected": (
        "CSV-1252",
        codecs.BOM_UTF8 + b"ITEMID,NAME\n1,x\n",
        "The file begins with the byte order mark of UTF-8; CSV-1252 expects Windows-1252.",
    ),
    "a byte that Windows-1252 lacks": ("CSV-1252", b"ITEMID,NAME\n1,\x81\n", "The file is not Windows-1252"),
    "half a letter of UTF-16": ("CSV-Unicode", "\ufeffITEMID,NAME\n1,x\n".encode("utf-16-le")[:-1], "not UTF-16"),
    "a surrogate alone in UTF-8": ("CSV", b"ITEMID,NAME\n1,\xed\xa0\x80\n", "The file is not UTF-8"),
    "a surrogate alone in UTF-16": ("CSV-Unicode", b"\xff\xfeI\0\n\0\x00\xd8\n\0", "The file is not UTF-16"),
    "a NUL": ("CSV", b"ITEMID,NAME\n1,x\n2,\0\n", "Record 2 holds a NUL character."),
    "a NUL in fixed width": ("FIXED-WIDTH", b"1   x\n2   \0\n", "Record 2 holds a NUL character."),
    "a NUL in XML": ("XML-Element", document("<ITEMS><NAME>\0</NAME></ITEMS>").encode(), "not well-formed XML"),
    "a qualifier that is never closed": (
        "CSV",
        b'ITEMID,NAME\n1,x\n2,"y\n3,z\n',
        'Record 2 opens a text qualifier " which the file never closes.',
    ),
    "a qualifier in the header": ("CSV", b'ITEMID,"NAME\n1,x\n', 'The header opens a text qualifier "'),
    "a qualifier inside a value": (
        "CSV",
        b'ITEMID,NAME\n1,"x"y\n',
        'Record 1 goes on after a closing text qualifier "; one inside a value is doubled.',
    ),
    "a qualifier inside the first": ("CSV-NoHeader", b'"x"y,1\n', "Record 1 goes on after a closing"),
    "no XML": ("XML-Element", b"ITEMID,NAME\n1,x\n", "The file is not well-formed XML"),
    "XML that ends too soon": ("XML-Element", b"<Document><ITEMS>", "The file is not well-formed XML"),
    "more after the end": ("XML-Element", b"<Document/><Document/>", "The file is not well-formed XML"),
    "another root": ("XML-Element", b"<Root/>", "The root of the file is Root; Document is expected."),
    "another record": (
        "XML-Element",
        document("<ITEMS/><VENDORS/>").encode(),
        "Record 2 is an element VENDORS; ITEMS is expected.",
    ),
    "attributes where elements are expected": (
        "XML-Element",
        document('<ITEMS ITEMID="1"/>').encode(),
        "Record 1 has the attribute ITEMID; XML-Element expects values as elements.",
    ),
    "elements where attributes are expected": (
        "XML-Attribute",
        document("<ITEMS><ITEMID>1</ITEMID></ITEMS>").encode(),
        "Record 1 holds the element ITEMID; XML-Attribute expects values as attributes.",
    ),
    "a composite entity": (
        "XML-Element",
        document("<ITEMS><LINE><NAME>x</NAME></LINE></ITEMS>").encode(),
        "Record 1 holds the element NAME inside a value.",
    ),
    "text between the records": (
        "XML-Element",
        document("<ITEMS/>, <ITEMS/>").encode(),
        "The element Document holds the text ',' outside of any column.",
    ),
    "text in a record": ("XML-Attribute", document("<ITEMS>x</ITEMS>").encode(), "Record 1 holds the text 'x' outside"),
    "an unknown encoding": (
        "XML-Element",
        b'<?xml version="1.0" encoding="x-mine"?><Document/>',
        "in an encoding that",
    ),
    "an encoding of several bytes a letter": (
        "XML-Attribute",
        b'<?xml version="1.0" encoding="big5"?><Document/>',
        "in an encoding that is not known here: multi-byte encodings are not supported.",
    ),
    "another encoding than it claims": (
        "XML-Element",
        f'<?xml version="1.0" encoding="utf-8"?>{document("<ITEMS><NAME>é</NAME></ITEMS>")}'.encode("latin-1"),
        "The file is not well-formed XML",
    ),
    "an unknown entity": ("XML-Element", document("<ITEMS><NAME>&x;</NAME></ITEMS>").encode(), "not well-formed XML"),
    "a document type": ("XML-Element", b"<!DOCTYPE Document><Document/>", "The file has a document type; none is all"),
    "a billion laughs": (
        "XML-Element",
        f"{BOMB}{document('<ITEMS><NAME>&j;</NAME></ITEMS>')}".encode(),
        "The file has a document type; none is allowed.",
    ),
    "a billion laughs in an attribute": (
        "XML-Attribute",
        f"{BOMB}<Document NAME='&j;'/>".encode(),
        "The file has a document type; none is allowed.",
    ),
    "a file of the server": (
        "XML-Element",
        b'<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + document("<ITEMS><NAME>&x;</NAME></ITEMS>").encode(),
        "The file has a document type; none is allowed.",
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_is_of_no_use_is_refused(what: str) -> None:
    """With a sentence that names what was found, and what was expected."""
    source, content, said = UNREADABLE[what]
    with pytest.raises(Unreadable) as refused:
        rows(content, source)
    assert said in str(refused.value)


def test_a_column_of_fixed_width_needs_a_width() -> None:
    """Which the format cannot guess."""
    with pytest.raises(Unreadable, match="FIXED-WIDTH is of fixed width, but the column NAME is given none"):
        rows("x", "FIXED-WIDTH", (Column("NAME"),))


def test_long_texts_are_cut() -> None:
    """After 32,768 characters, in text files."""
    long = "é" * 32_769
    assert records(f"ITEMID,NAME\n1,{long}\n") == [{"ITEMID": "1", "NAME": long[:-1]}]
    assert records(f"ITEMID,NAME\n1,{long[:-1]}\n") == [{"ITEMID": "1", "NAME": long[:-1]}]
    wide = (Column("NAME", 32_769), Column("ITEMID", 1))
    assert records(f"{long}1\n", "FIXED-WIDTH", wide) == [{"NAME": long[:-1], "ITEMID": "1"}]
    assert records(document(f"<ITEMS><NAME>{long}</NAME></ITEMS>"), ELEMENT) == [{"NAME": long}]


HUGE = "x" * 10_000_000


def test_fields_of_ten_megabytes() -> None:
    """A delimited file is refused, a line too wide is at fault; XML and what needs no guess hand it on as it is."""
    limit = csv.field_size_limit()
    for content in (f"ITEMID,NAME\n1,{HUGE}\n", f'ITEMID,NAME\n1,"{HUGE}"\n', f'ITEMID,NAME\n1,"{HUGE}\n'):
        with pytest.raises(Unreadable, match="Record 1 has a value of more than 131072 characters"):
            rows(content)
    with pytest.raises(Unreadable, match="The header has a value of more than 131072 characters"):
        rows(HUGE)
    assert csv.field_size_limit() == limit
    (row,) = rows(HUGE, "FIXED-WIDTH")
    assert row.fault == "The record has 10000000 characters, the columns take 12."
    assert records(document(f"<ITEMS><NAME>{HUGE}</NAME></ITEMS>"), ELEMENT) == [{"NAME": HUGE}]
    assert records(document(f'<ITEMS NAME="{HUGE}"/>'), ATTRIBUTE) == [{"NAME": HUGE}]


def test_the_limit_is_ours_whatever_the_process_has_set() -> None:
    """Another library may have raised the limit of the csv module for all."""
    before = csv.field_size_limit(100_000_000)
    try:
        with pytest.raises(Unreadable, match="Record 1 has a value of more than 131072 characters"):
            rows(f"ITEMID,NAME\n1,{HUGE}\n")
    finally:
        csv.field_size_limit(before)


def test_a_document_as_deep_as_it_is_long() -> None:
    """It is refused at the fourth level, long before the last."""
    with pytest.raises(Unreadable, match="inside a value"):
        rows(document("<ITEMS>" + "<a>" * 1_000_000), ELEMENT)


@pytest.mark.parametrize("source", FORMATS.values(), ids=lambda source: source.name)
def test_damaged_files_are_refused_or_read(source: SourceFormat) -> None:
    """Three hundred random wounds to a file of each format, and never another exception; the same of mere noise."""
    chance = random.Random(7)
    columns = (Column("ITEMID", 4), Column("NAME", 8))
    whole = write(
        [{"ITEMID": str(number), "NAME": f"é {number}"} for number in range(20)],
        columns,
        source,
        record="ITEMS",
        written=WRITTEN,
    )
    for _ in range(300):
        wounded = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            wounded[chance.randrange(len(wounded))] = chance.randrange(256)
        for content in (bytes(wounded), bytes(wounded[: chance.randrange(len(wounded))]), chance.randbytes(50)):
            try:
                rows(content, source, columns)
            except Unreadable:
                continue


@pytest.mark.parametrize("source", ["CSV", "EXCEL"])
def test_the_header_is_told_even_without_records(source: str) -> None:
    """In the expected spelling and the file's own order; a format without a header tells none."""
    told: list[list[str]] = []
    content = write([], (Column("name"), Column("COLOUR")), format_named(source), record="", written=WRITTEN)
    assert rows(content, source, header=lambda names: told.append(list(names))) == []
    assert told == [["NAME", "COLOUR"]]
    records("1,x\r\n", "CSV-NoHeader", header=lambda names: told.append(list(names)))
    assert len(told) == 1
