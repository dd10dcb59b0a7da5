"""What a data project does to a file on its way: source format, field map, style sheets."""

from popreceipt.client.formats import written
from popreceipt.client.packages import COLUMNS, ENTITY, delimited
from popreceipt.scenario import shows
from popreceipt.stage import Import, Stage

NEEDS = ("projects", "create-activity", "process")

ATTRIBUTES_TO_ELEMENTS = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/Groups"><Document><xsl:apply-templates select="Group"/></Document></xsl:template>
<xsl:template match="Group"><CUSTOMERGROUPS>
<CUSTOMERGROUPID><xsl:value-of select="@id"/></CUSTOMERGROUPID>
<DESCRIPTION><xsl:value-of select="Name"/></DESCRIPTION>
</CUSTOMERGROUPS></xsl:template>
</xsl:stylesheet>"""

EVERYTHING = (
    '<xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>'
)

NAME_TO_DESCRIPTION = f"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
{EVERYTHING}
<xsl:template match="NAME"><DESCRIPTION><xsl:value-of select="."/></DESCRIPTION></xsl:template>
</xsl:stylesheet>"""

DESCRIPTION_MARKED = f"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
{EVERYTHING}
<xsl:template match="DESCRIPTION"><DESCRIPTION><xsl:value-of select="concat(., ' (wholesale)')"/></DESCRIPTION>
</xsl:template>
</xsl:stylesheet>"""


def run(intake: Import, content: bytes) -> None:
    """Import a file, and look at the target table."""
    intake.run(intake.enqueue(content))
    intake.observe_records()


@shows("processing.format-as-in-the-project", needs=("records",))
def test_a_file_in_each_source_data_format(stage: Stage) -> None:
    """Whatever the format of the project's entity, a file in it is taken and its records arrive as they are."""
    for name in stage.formats():
        intake = stage.project("import", {"entity": ENTITY, "format": name}).imports()
        records = [*stage.records(2), stage.record(DESCRIPTION='Détail, "nord"; 50:50 | 007')]
        run(intake, written(records, COLUMNS, name, entity=ENTITY))


@shows("processing.format-must-match", needs=NEEDS)
def test_a_file_in_another_format_than_the_project_s(stage: Stage) -> None:
    """A delimited file where XML or a workbook belongs, XML where a delimited file belongs, another separator."""
    for expected, given in (
        ("XML-Element", "CSV"),
        ("CSV", "XML-Element"),
        ("CSV-Semicolon", "CSV"),
        ("TAB", "EXCEL"),
        ("EXCEL", "CSV"),
    ):
        intake = stage.project("import", {"entity": ENTITY, "format": stage.format(expected)}).imports()
        intake.run(intake.enqueue(written(stage.records(), COLUMNS, given, entity=ENTITY)))


@shows("processing.map-applied", needs=NEEDS)
def test_columns_of_other_names(stage: Stage) -> None:
    """A field comes from the column that the map names, two change places, and one that is left out stays out."""
    mapped = [
        {"field": "CUSTOMERGROUPID", "source": "GROUP"},
        {"field": "DESCRIPTION", "source": "PAYMENTTERMID"},
        {"field": "PAYMENTTERMID", "source": "DESCRIPTION"},
    ]
    swapped = stage.project("import", {"entity": ENTITY, "map": mapped}).imports()
    rows = [{"GROUP": stage.key(), "DESCRIPTION": "Net10", "PAYMENTTERMID": "Wholesale"} for _ in range(3)]
    run(swapped, delimited(rows, ("GROUP", "DESCRIPTION", "PAYMENTTERMID")))
    left_out = [
        {"field": "CUSTOMERGROUPID", "source": "CUSTOMERGROUPID"},
        {"field": "DESCRIPTION", "source": "DESCRIPTION"},
        {"field": "PAYMENTTERMID", "ignore": True},
    ]
    ignoring = stage.project("import", {"entity": ENTITY, "map": left_out}).imports()
    run(ignoring, delimited(stage.records()))


@shows("processing.changed-map-counts", needs=NEEDS)
def test_a_map_that_is_changed(stage: Stage) -> None:
    """From the next file on the new map counts."""
    name = {"field": "CUSTOMERGROUPID", "source": "CUSTOMERGROUPID"}
    first, second = (
        [name, {"field": "DESCRIPTION", "source": one}, {"field": "PAYMENTTERMID", "source": other}]
        for one, other in (("TITLE", "TERMS"), ("TERMS", "TITLE"))
    )
    project = stage.project("import", {"entity": ENTITY, "map": first})
    intake = project.imports()
    for mapped in (first, second):
        project.change(entities=[{"entity": ENTITY, "map": mapped}])
        rows = [{"CUSTOMERGROUPID": stage.key(), "TITLE": "Title", "TERMS": "Terms"} for _ in range(2)]
        run(intake, delimited(rows, ("CUSTOMERGROUPID", "TITLE", "TERMS")))


@shows("processing.values-converted", needs=NEEDS)
def test_defaults_and_conversions(stage: Stage) -> None:
    """A field without a column has its default; a value that is to be converted is, and others stay as they are."""
    mapped = [
        {"field": "CUSTOMERGROUPID", "source": "CUSTOMERGROUPID"},
        {"field": "DESCRIPTION", "default": "From the shop"},
        {"field": "PAYMENTTERMID", "source": "DAYS", "conversions": {"30": "Net30", "10": "Net10"}},
    ]
    intake = stage.project("import", {"entity": ENTITY, "map": mapped}).imports()
    rows = [{"CUSTOMERGROUPID": stage.key(), "DAYS": days} for days in ("30", "10", "cash", "30")]
    run(intake, delimited(rows, ("CUSTOMERGROUPID", "DAYS")))


@shows("processing.xslt-applied", needs=NEEDS)
def test_a_style_sheet(stage: Stage) -> None:
    """XML of another shape is taken as what the style sheet makes of it."""
    entity = {"entity": ENTITY, "format": stage.format("XML-Element"), "xslt": [ATTRIBUTES_TO_ELEMENTS]}
    intake = stage.project("import", entity).imports()
    groups = "".join(f'<Group id="{stage.key()}"><Name>Retail {place}</Name></Group>' for place in range(3))
    run(intake, f"<Groups>{groups}</Groups>".encode())


@shows("processing.xslt-in-sequence", needs=NEEDS)
def test_style_sheets_in_sequence(stage: Stage) -> None:
    """The second style sheet finds what the first one made."""
    sheets = [NAME_TO_DESCRIPTION, DESCRIPTION_MARKED]
    entity = {"entity": ENTITY, "format": stage.format("XML-Element"), "xslt": sheets}
    intake = stage.project("import", entity).imports()
    rows = [{"CUSTOMERGROUPID": stage.key(), "NAME": f"Group {place}"} for place in range(3)]
    run(intake, written(rows, ("CUSTOMERGROUPID", "NAME"), "XML-Element", entity=ENTITY))


@shows("processing.map-on-export", needs=("projects", "create-activity", "produce", "records"))
def test_columns_of_other_names_in_an_export(stage: Stage) -> None:
    """The exported file has the columns of the map, each with the value of its field."""
    mapped = [
        {"field": "CUSTOMERGROUPID", "source": "GROUP"},
        {"field": "DESCRIPTION", "source": "TITLE"},
        {"field": "PAYMENTTERMID", "ignore": True},
    ]
    queue = stage.project("export", {"entity": ENTITY, "map": mapped}).export()
    queue.produce(5)
    queue.observe_records()
    queue.download(queue.obtain())
