"""Which style sheets rules run, and which they leave alone."""

import pytest

from popreceipt.rules.transforms import transformed

DOCUMENT = b"<Document><G><NAME>Retail</NAME></G><G><NAME>Export</NAME></G></Document>"
HEAD = '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
ALL = '<xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>'


def sheet(templates: str, *, everything: str = ALL) -> str:
    """A style sheet that copies everything, but for these templates."""
    return f"{HEAD}{everything}{templates}</xsl:stylesheet>"


RENAMED = sheet('<xsl:template match="NAME"><TITLE><xsl:value-of select="."/></TITLE></xsl:template>')
MARKED = sheet('<xsl:template match="TITLE"><TITLE><xsl:value-of select="concat(., \'!\')"/></TITLE></xsl:template>')


def test_plain_style_sheets_are_run_in_turn() -> None:
    """One on the outcome of the other."""
    made = transformed(DOCUMENT, [RENAMED, MARKED])
    assert made is not None
    assert b"<TITLE>Retail!</TITLE>" in made
    reversed_order = transformed(DOCUMENT, [MARKED, RENAMED])
    assert reversed_order is not None
    assert b"<TITLE>Retail</TITLE>" in reversed_order


@pytest.mark.parametrize(
    "templates",
    [
        '<xsl:template match="G"><xsl:copy-of select="document(\'/etc/passwd\')"/></xsl:template>',
        '<xsl:template match="G"><xsl:value-of select="document(\'http://127.0.0.1/\')"/></xsl:template>',
        '<xsl:include href="other.xslt"/>',
        '<xsl:template match="G"><xsl:apply-templates select="."/></xsl:template>',
        '<xsl:template match="G"><xsl:apply-templates select=".."/></xsl:template>',
        '<xsl:template match="G"><xsl:apply-templates select="//G"/></xsl:template>',
        '<xsl:template match="G"><xsl:apply-templates select="/"/></xsl:template>',
        '<xsl:template match="G"><xsl:apply-templates select="ancestor::node()"/></xsl:template>',
        '<xsl:template match="G"><xsl:call-template name="again"/></xsl:template><xsl:template name="again"/>',
        '<xsl:template match="G"><xsl:for-each select="*"><a/></xsl:for-each></xsl:template>',
        '<xsl:template match="G"><xsl:message terminate="yes"/></xsl:template>',
        '<xsl:variable name="a" select="1"/>',
        '<xsl:template match="G"><a b="{document(\'x\')}"/></xsl:template>',
    ],
)
def test_a_style_sheet_that_could_reach_out_or_go_on_for_long_is_not_run(templates: str) -> None:
    """Nobody then says what it makes of a document."""
    assert transformed(DOCUMENT, [sheet(templates)]) is None


def test_limits() -> None:
    """No document type, nothing large, nothing deep, few places where templates are applied."""
    assert transformed(b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", [RENAMED]) is None
    assert transformed(b"<a>" + b"x" * 20_000 + b"</a>", [RENAMED]) is None
    assert transformed(b"<a>" * 20 + b"</a>" * 20, [RENAMED]) is None
    assert transformed(b"no XML", [RENAMED]) is None
    assert transformed(DOCUMENT, ["no XML"]) is None
    assert (
        transformed(DOCUMENT, [sheet('<xsl:template match="G">' + "<xsl:apply-templates/>" * 7 + "</xsl:template>")])
        is None
    )
    assert transformed(DOCUMENT, [sheet("<xsl:template match='G'>" + "<a/>" * 300 + "</xsl:template>")]) is None


def test_a_style_sheet_that_grows_is_left_after_its_first_step() -> None:
    """What is too large is not handed to the next style sheet."""
    grown = sheet(f'<xsl:template match="NAME"><T>{"x" * 12_000}</T></xsl:template>')
    assert transformed(DOCUMENT, [grown]) is not None
    assert transformed(DOCUMENT, [grown, MARKED]) is None
