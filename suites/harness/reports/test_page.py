"""Pages that stand alone: what is handed in is escaped, parts are named, nothing leads outside."""

import pytest
from lxml import html
from markupsafe import Markup

from popreceipt.reports import page
from popreceipt.reports.page import Cell, Column, Fact, Row, Tone

EVIL = "<script>alert('x')</script> & \"more\""


def whole() -> str:
    """A page with each part, and in each part something that would be markup if it were not escaped."""
    return page.document(
        EVIL,
        page.section(
            "one",
            EVIL,
            page.heading(EVIL),
            page.paragraph(EVIL),
            page.bullets([EVIL]),
            page.facts(Fact(EVIL, EVIL, EVIL)),
            page.note(EVIL, tone=Tone.BAD, word=EVIL),
            page.warnings([EVIL]),
            page.table(
                EVIL,
                [Column(EVIL), Column("number", number=True)],
                [Row([EVIL, Cell(EVIL, EVIL, Tone.GOOD)], Tone.GOOD)],
            ),
            page.figure(EVIL, Markup("<svg></svg>"), EVIL),
            page.code(EVIL, label=EVIL),
        ),
        verdict=page.verdict(EVIL, EVIL, EVIL, tone=Tone.CAUTION),
        description=EVIL,
    )


def test_whatever_is_handed_in_is_text() -> None:
    """No part lets markup through; it is all there to be read, in attributes as well."""
    root = html.document_fromstring(whole())
    assert root.xpath("//script") == []
    assert root.xpath("string(//h1)") == EVIL
    assert root.xpath("string(//meta[@name='description']/@content)") == EVIL
    assert root.xpath("string(//tbody//th)") == EVIL
    assert root.xpath("string(//div[table]/@aria-label)") == EVIL
    assert "<script" not in whole()


def test_a_page_has_landmarks_and_forbids_to_load_anything() -> None:
    """One header, main and footer; a policy under which nothing may be loaded and no script runs."""
    root = html.document_fromstring(whole())
    for name in ("header", "main", "footer", "h1", "title"):
        assert len(root.xpath(f"//{name}")) == 1
    assert root.get("lang") == "en"
    policy = root.xpath("string(//meta[@http-equiv='Content-Security-Policy']/@content)")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_cells_under_a_heading_and_beside_one() -> None:
    """Each column has a heading with its scope, each row begins with one; a tone is told by sign and word."""
    root = html.document_fromstring(whole())
    assert {one.get("scope") for one in root.xpath("//thead//th")} == {"col"}
    assert {one.get("scope") for one in root.xpath("//tbody//th")} == {"row"}
    assert "✔" in root.xpath("string(//td)")


def test_a_row_of_another_length_is_a_mistake() -> None:
    """It is said how long row and head are."""
    with pytest.raises(ValueError, match="a row of 1 cells in a table of 2 columns"):
        page.table("t", [Column("a"), Column("b")], [Row(["only"])])


def test_nothing_to_list_is_no_list() -> None:
    """Nor is there a box without a warning."""
    assert page.bullets([]) == ""
    assert page.warnings([]) == ""
