"""Data projects: made, shown and changed; formats, field maps and filters at work in both directions."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from popreceipt.emulator.dmf.formats import FORMATS, Column, format_named, read, record_element, write
from popreceipt.resources import fixtures

if TYPE_CHECKING:
    from conftest import Office, Open

GROUPS = {"entity": "Customer groups"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def described(name: str) -> dict[str, Any]:
    """A project of the fixtures."""
    found: dict[str, Any] = json.loads((fixtures() / "projects" / f"{name}.json").read_text(encoding="utf-8"))
    return found


# Made, shown, changed


def test_a_project_has_defaults(office: Office) -> None:
    """Direction and one entity are enough; what is shown is complete."""
    made = office.control("POST", "/projects", {"direction": "import", "entities": [{"entity": "customer GROUPS"}]})
    identifier = made.pop("id")
    assert made == {
        "name": made["name"],
        "description": "",
        "direction": "import",
        "entities": [
            {
                "entity": "Customer groups",
                "format": "CSV",
                "sheet": None,
                "execution_unit": 1,
                "level": 1,
                "sequence": 1,
                "fail_unit_on_error": False,
                "fail_level_on_error": False,
                "map": [],
                "xslt": [],
            }
        ],
        "filter": [],
    }
    assert office.control("GET", f"/projects/{identifier}") == {"id": identifier, **made}
    assert office.control("GET", f"/projects/%7B{identifier.upper()}%7D")["id"] == identifier
    assert office.control("GET", "/projects")[-1]["id"] == identifier


def test_every_job_has_a_project(office: Office) -> None:
    """Those of the first world too, with the same IDs after a reset."""
    before = office.control("GET", "/projects")
    assert {one["project"] for one in office.emulator.world()["activities"]} == {one["id"] for one in before}
    assert [one["name"] for one in before] == [one["name"] for one in office.emulator.world()["activities"]]
    office.project("import", GROUPS)
    office.control("POST", "/reset")
    assert office.control("GET", "/projects") == before


def test_the_world_names_formats_and_entities(office: Office) -> None:
    """All that a project may have."""
    world = office.emulator.world()
    assert "projects" in world["abilities"]
    assert world["formats"] == list(FORMATS)
    assert "General journal lines" in [one["name"] for one in world["entities"]]


def test_a_job_shows_the_first_entity_of_its_project(office: Office) -> None:
    """And follows when the project is changed."""
    project = office.project("import", {"entity": "Vendors V2", "format": "excel"}, GROUPS)
    job = office.control("POST", "/activities", {"direction": "import", "project": project, "entity": "vendors v2"})
    assert (job["project"], job["entity"], job["format"]) == (project, "Vendors V2", "EXCEL")
    office.control("PATCH", f"/projects/{project}", {"entities": [GROUPS], "name": "new", "description": "text"})
    shown = next(one for one in office.emulator.world()["activities"] if one["id"] == job["id"])
    assert (shown["entity"], shown["format"]) == ("Customer groups", "CSV")
    changed = office.control("GET", f"/projects/{project}")
    assert (changed["name"], changed["description"], len(changed["entities"])) == ("new", "text", 1)


def test_changes_are_written_down(office: Office) -> None:
    """For whoever judges the service's own journal."""
    project = office.project("export", GROUPS)
    office.control("PATCH", f"/projects/{project}", {"name": "new"})
    lines = [json.loads(line) for line in office.asked("GET", "/journal").body.splitlines()]
    told = [line for line in lines if line.get("observation") == "project"]
    assert [(one["project"], one["created"]) for one in told] == [(project, True), (project, False)]
    assert told[-1]["settings"]["name"] == "new"
    assert "id" not in told[-1]["settings"]
    assert told[-1]["at"] == told[-1]["since"]


MAP = {"entity": "Customer groups", "map": [{"field": "DESCRIPTION", "source": "Text"}]}
RATES = {"entity": "Exchange rates"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no direction": ({"entities": [GROUPS]}, "direction is missing"),
    "no entities": ({"direction": "import"}, "entities is missing"),
    "another direction": ({"direction": "both", "entities": [GROUPS]}, "direction is one of"),
    "an empty list": ({"direction": "import", "entities": []}, "entities has 1 to"),
    "no list": ({"direction": "import", "entities": GROUPS}, "entities: Expected `array`"),
    "an entity without a name": ({"direction": "import", "entities": [{}]}, "entities[0]: Object missing"),
    "an unknown entity": ({"direction": "import", "entities": [{"entity": "Vendors"}]}, "there are Customer groups"),
    "an entity twice": ({"direction": "import", "entities": [GROUPS, GROUPS]}, "Customer groups twice"),
    "an unknown format": ({"direction": "import", "entities": [GROUPS | {"format": "JSON"}]}, "there are CSV"),
    "an unknown member": (
        {"direction": "import", "entities": [GROUPS | {"colour": 1}]},
        "entities[0]: Object contains",
    ),
    "an order from nought": ({"direction": "import", "entities": [GROUPS | {"level": 0}]}, "entities[0].level"),
    "an order that is none": ({"direction": "import", "entities": [GROUPS | {"level": "1"}]}, "entities[0].level"),
    "an unknown field": (
        {"direction": "import", "entities": [GROUPS | {"map": [{"field": "COLOUR"}]}]},
        "entities[0].map[0].field is a field of Customer groups",
    ),
    "a field twice": ({"direction": "import", "entities": [GROUPS | {"map": MAP["map"] * 2}]}, "DESCRIPTION twice"),
    "a source without a name": (
        {"direction": "import", "entities": [GROUPS | {"map": [{"field": "DESCRIPTION", "source": " "}]}]},
        "entities[0].map[0].source",
    ),
    "a conversion that is none": (
        {"direction": "import", "entities": [GROUPS | {"map": [{"field": "DESCRIPTION", "conversions": {"a": 1}}]}]},
        "entities[0].map[0].conversions",
    ),
    "a default that no file can carry": (
        {"direction": "import", "entities": [GROUPS | {"map": [{"field": "DESCRIPTION", "default": "\0"}]}]},
        "U+0000",
    ),
    "two fields in one column": (
        {"direction": "export", "entities": [GROUPS | {"map": [{"field": "DESCRIPTION", "source": "paymenttermid"}]}]},
        "both DESCRIPTION and PAYMENTTERMID",
    ),
    "a filter on an import": (
        {
            "direction": "import",
            "entities": [GROUPS],
            "filter": [{"entity": "Customer groups", "field": "DESCRIPTION"}],
        },
        "filter is for exports",
    ),
    "a filter on another entity": (
        {"direction": "export", "entities": [GROUPS], "filter": [{"entity": "Vendors V2", "field": "CURRENCYCODE"}]},
        "filter[0].entity",
    ),
    "a filter on another field": (
        {"direction": "export", "entities": [GROUPS], "filter": [{"entity": "Customer groups", "field": "COLOUR"}]},
        "filter[0].field",
    ),
    "an operator that there is not": (
        {
            "direction": "export",
            "entities": [GROUPS],
            "filter": [{"entity": "Customer groups", "field": "DESCRIPTION", "operator": "like"}],
        },
        "filter[0].operator",
    ),
    "a number that is none": (
        {
            "direction": "export",
            "entities": [RATES],
            "filter": [{"entity": "Exchange rates", "field": "RATE", "value": "much"}],
        },
        "'much' is no real",
    ),
    "a day that is none": (
        {
            "direction": "export",
            "entities": [RATES],
            "filter": [{"entity": "Exchange rates", "field": "STARTDATE", "value": "2026-02-30"}],
        },
        "is no date",
    ),
    "a name that is none": ({"direction": "import", "entities": [GROUPS], "name": ""}, "name is a text"),
    "a description that is none": ({"direction": "import", "entities": [GROUPS], "description": 1}, "description is"),
    "another member": ({"direction": "import", "entities": [GROUPS], "owner": "me"}, "no member 'owner'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_project_is_refused_by_name(office: Office, what: str) -> None:
    """And nothing is kept of it."""
    before = office.control("GET", "/projects")
    body, said = WRONG[what]
    assert said in office.refusal("POST", "/projects", body)
    assert office.control("GET", "/projects") == before


def test_a_change_that_cannot_be_changes_nothing(office: Office) -> None:
    """Not even the member that could be."""
    project = office.project("export", GROUPS)
    before = office.control("GET", f"/projects/{project}")
    wrong = [{"entity": "Customer groups", "field": "COLOUR"}]
    assert "filter[0].field" in office.refusal("PATCH", f"/projects/{project}", {"name": "new", "filter": wrong})
    assert "no member 'direction'" in office.refusal("PATCH", f"/projects/{project}", {"direction": "import"})
    # A filter on an entity that goes.
    office.control("PATCH", f"/projects/{project}", {"filter": [{"entity": "Customer groups", "field": "DESCRIPTION"}]})
    assert "filter[0].entity" in office.refusal("PATCH", f"/projects/{project}", {"entities": [RATES]})
    office.control("PATCH", f"/projects/{project}", {"filter": []})
    assert office.control("GET", f"/projects/{project}") == before


def test_projects_that_there_are_not(office: Office) -> None:
    """404 for one, 400 for what is no ID."""
    assert office.refusal("GET", f"/projects/{UNKNOWN}", status=404) == f"There is no data project {UNKNOWN}."
    assert "no GUID" in office.refusal("GET", "/projects/x")
    assert "no GUID" in office.refusal("PATCH", "/projects/x", {})


def test_a_job_must_agree_with_its_project(office: Office) -> None:
    """In direction, entity and format; and the project must be there."""
    project = office.project("import", GROUPS)
    body = {"direction": "import", "project": project}
    assert "not an export" in office.refusal("POST", "/activities", body | {"direction": "export"})
    assert "entity is Customer groups" in office.refusal("POST", "/activities", body | {"entity": "Vendors V2"})
    assert "format is CSV" in office.refusal("POST", "/activities", body | {"format": "TAB"})
    assert "no data project" in office.refusal("POST", "/activities", body | {"project": UNKNOWN})
    assert "no GUID" in office.refusal("POST", "/activities", body | {"project": "x"})
    assert "project is a text" in office.refusal("POST", "/activities", body | {"project": 1})
    assert "entity of this world" in office.refusal("POST", "/activities", {"direction": "import", "entity": "Vendors"})
    assert "there are CSV" in office.refusal("POST", "/activities", {"direction": "import", "format": "JSON"})


def test_records_are_of_an_entity_of_the_project(office: Office) -> None:
    """The first unless the query names another, in any letter case."""
    job = office.job_for("export", GROUPS, RATES)
    assert office.produce(job, 2)["records"] == 4
    assert len(office.records(job)) == len(office.records(job, "exchange RATES")) == 2
    response = office.asked("GET", f"/activities/{job}/records", query="entity=Vendors%20V2")
    assert (response.status, b"Customer groups, Exchange rates" in response.body) == (400, True)


# Formats


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_taken_in_and_handed_out(open_office: Open, name: str) -> None:
    """As a file, and the raw file that the same records make can be taken in again."""
    office = open_office("download.file-payload=raw")
    entity = GROUPS | {"format": name}
    source, goal = office.job_for("export", entity, type="file"), office.job_for("import", entity)
    office.produce(source, 4)
    payload = office.payload(source)
    message = office.imported(goal, payload)
    assert office.status(message) == "Processed", office.log(goal, message)
    assert office.records(goal) == office.records(source) != []


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_travels_in_a_package(office: Office, name: str) -> None:
    """Under a name that ends as its files do."""
    entity = GROUPS | {"format": name}
    source, goal = office.job_for("export", entity), office.job_for("import", entity, type="package")
    office.produce(source, 3)
    payload = office.payload(source)
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        assert f"Customer groups.{FORMATS[name].extension}" in archive.namelist()
    office.imported(goal, payload, None)
    assert office.records(goal) == office.records(source) != []


@pytest.mark.parametrize("name", FORMATS)
def test_another_format_fails_before_processing(office: Office, name: str) -> None:
    """A project that expects Excel takes no text, one that expects XML no CSV, and so on."""
    other = "EXCEL" if name != "EXCEL" else "CSV"
    job = office.job_for("import", GROUPS | {"format": name})
    columns = [Column("CUSTOMERGROUPID", 10), Column("DESCRIPTION", 60), Column("PAYMENTTERMID", 255)]
    row = {"CUSTOMERGROUPID": "A", "DESCRIPTION": "x", "PAYMENTTERMID": "y"}
    content = write([row], columns, format_named(other), record=record_element("Customer groups"), written=NOW)
    message = office.imported(job, content)
    assert office.status(message) in {"PreProcessingError", "ProcessedWithErrors"}
    assert office.records(job) == []


@pytest.mark.parametrize("name", FORMATS)
def test_no_two_payloads_are_equal(open_office: Open, name: str) -> None:
    """Not even of runs that found nothing, in whatever format; each still can be taken in where a header says so."""
    office = open_office("download.file-payload=raw")
    entity = GROUPS | {"format": name}
    source, goal = office.job_for("export", entity, type="file"), office.job_for("import", entity)
    for _ in range(3):
        office.produce(source, 0)
    payloads = [office.payload(source) for _ in range(3)]
    assert len(set(payloads)) == 3
    if FORMATS[name].header:
        assert office.status(office.imported(goal, payloads[-1])) == "Processed"


# Maps


def test_a_map_fills_fields_from_other_columns(office: Office) -> None:
    """Renamed, converted, by default, ignored; a field that the map leaves out has the column of its own name."""
    job = office.job_for(
        "import",
        {
            "entity": "Vendors V2",
            "map": [
                {"field": "VENDORACCOUNTNUMBER", "source": "Account No."},
                {"field": "VENDORPARTYTYPE", "source": "Kind", "conversions": {"O": "Organization", "P": "Person"}},
                {"field": "vendorgroupid", "default": "10"},
                {"field": "CURRENCYCODE", "source": "CURRENCYCODE", "default": "EUR"},
                {"field": "LANGUAGEID", "ignore": True},
            ],
        },
    )
    lines = [
        "Account No.,kind,VENDORORGANIZATIONNAME,CURRENCYCODE,LANGUAGEID",
        "V1,O,Litware,,de",
        "V2,P,,DKK,",
        "V3,Person,,,",
        "V4,X,,,",
    ]
    message = office.imported(job, "\r\n".join(lines).encode(), "vendors v2")
    assert office.status(message) == "ProcessedWithErrors"
    assert [(record, field) for record, field, _ in office.errors(message)] == [("4", "VENDORPARTYTYPE")]
    wanted = ("VENDORACCOUNTNUMBER", "VENDORPARTYTYPE", "VENDORORGANIZATIONNAME", "VENDORGROUPID", "CURRENCYCODE")
    assert [tuple(record[field] for field in (*wanted, "LANGUAGEID")) for record in office.records(job)] == [
        ("V1", "Organization", "Litware", "10", "EUR", ""),
        ("V2", "Person", "", "10", "DKK", ""),
        ("V3", "Person", "", "10", "EUR", ""),
    ]


@pytest.mark.parametrize(
    ("maps", "header"),
    [
        ([{"field": "DESCRIPTION", "source": "Text"}, {"field": "PAYMENTTERMID", "source": "TEXT"}], "text"),
        ([{"field": "DESCRIPTION", "source": "paymenttermid"}], "PaymentTermId"),
    ],
)
def test_columns_that_differ_in_letter_case_alone_are_one(
    office: Office, maps: list[dict[str, Any]], header: str
) -> None:
    """Files know them in any letter case, so the one column fills both fields, and no value is lost."""
    job = office.job_for("import", GROUPS | {"map": maps})
    message = office.imported(job, f"CUSTOMERGROUPID,{header}\r\nA,x\r\n".encode())
    assert office.status(message) == "Processed", office.log(job, message)
    assert [tuple(record.values()) for record in office.records(job)] == [("A", "x", "x")]


def test_numbers_are_generated_where_a_file_has_none(office: Office) -> None:
    """Line numbers count the records of a file; text keys are new in every execution."""
    headers = {"entity": "General journal header", "map": [{"field": "JOURNALBATCHNUMBER", "auto_generated": True}]}
    job = office.job_for("import", headers)
    for _ in range(2):
        office.imported(job, b"JOURNALNAME\r\nGenJrn\r\nAccruals\r\n", "General journal header")
    made = office.records(job)
    assert [record["JOURNALNAME"] for record in made] == ["GenJrn", "Accruals"] * 2
    lines = {"entity": "General journal lines", "map": [{"field": "LINENUMBER", "auto_generated": True}]}
    project = office.project("import", {"entity": "General journal header"}, lines)
    job = office.job("import", project=project)
    office.imported(job, b"JOURNALBATCHNUMBER,JOURNALNAME\r\nJ,GenJrn\r\n", "General journal header")
    rows = "".join(f"J,2026-01-01,A{number},EUR\r\n" for number in range(3))
    head = "JOURNALBATCHNUMBER,TRANSDATE,ACCOUNTDISPLAYVALUE,CURRENCYCODE\r\n"
    message = office.imported(job, (head + rows).encode(), "General journal lines")
    assert office.status(message) == "Processed", office.errors(message)
    assert [one["LINENUMBER"] for one in office.records(job, "General journal lines")] == ["1", "2", "3"]


def test_a_map_is_undone_on_the_way_out(office: Office) -> None:
    """Renamed columns, converted values, nothing of what is ignored; the manifest tells it, and it comes in again."""
    entity = {
        "entity": "Vendors V2",
        "format": "CSV-Semicolon",
        "map": [
            {"field": "VENDORACCOUNTNUMBER", "source": "Account No."},
            {"field": "ISONETIMEVENDOR", "source": "Once", "conversions": {"Y": "Yes", "J": "Yes", "N": "No"}},
            {"field": "LANGUAGEID", "ignore": True},
            {"field": "TAXEXEMPTNUMBER"},
        ],
    }
    source = office.job_for("export", entity)
    # The project that takes it in has no map of its own, so the manifest's counts.
    goal = office.job_for("import", {"entity": "Vendors V2", "format": "CSV-Semicolon"}, type="package")
    office.produce(source, 20)
    payload = office.payload(source)
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        header, *lines = archive.read("Vendors V2.csv").decode().splitlines()
    names = header.split(";")
    assert names[0] == "Account No."
    assert not {"LANGUAGEID", "TAXEXEMPTNUMBER", "ISONETIMEVENDOR"} & set(names)
    assert {line.split(";")[names.index("Once")] for line in lines} == {"Y", "N"}
    message = office.imported(goal, payload, None)
    assert office.status(message) == "Processed", office.log(goal, message)
    blank = {"LANGUAGEID": "", "TAXEXEMPTNUMBER": ""}
    assert office.records(goal) == [record | blank for record in office.records(source)]


def test_a_headerless_file_follows_the_map(office: Office) -> None:
    """Its columns stand in the order of the entity's fields, without those that have no column."""
    maps = [{"field": "DESCRIPTION", "ignore": True}, {"field": "PAYMENTTERMID", "source": "Terms"}]
    job = office.job_for("import", GROUPS | {"format": "CSV-NoHeader", "map": maps})
    assert office.status(office.imported(job, b"A,Net30\r\n")) == "Processed"
    assert [tuple(record.values()) for record in office.records(job)] == [("A", "", "Net30")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"CUSTOMERGROUPID,Text,COLOUR\r\nA,x,red\r\n", "'COLOUR'"),
        (b"CUSTOMERGROUPID,COLOUR\r\n", "'COLOUR'"),
        (b"CUSTOMERGROUPID,DESCRIPTION\r\nA,x\r\n", "'DESCRIPTION'"),
        (b"Text\r\nx\r\n", "lacks the column CUSTOMERGROUPID"),
    ],
)
def test_a_column_that_nothing_is_mapped_to_is_refused(office: Office, content: bytes, said: str) -> None:
    """Even where no record follows; the log tells which."""
    job = office.job_for("import", MAP)
    message = office.imported(job, content)
    assert office.status(message) == "PreProcessingError"
    assert said in office.log(job, message)


def test_xml_columns_are_told_by_every_record(office: Office) -> None:
    """A record may lack one; none may have one that nothing is mapped to."""
    job = office.job_for("import", MAP | {"format": "XML-Element"})
    group = "<CUSTOMERGROUPS><CUSTOMERGROUPID>{}</CUSTOMERGROUPID>{}</CUSTOMERGROUPS>"
    good = (
        group.format("A", "<Text>x</Text>") + group.format("B", "") + "<CUSTOMERGROUPS><Text>y</Text></CUSTOMERGROUPS>"
    )
    message = office.imported(job, f"<Document>{good}</Document>".encode())
    assert [(record, field) for record, field, _ in office.errors(message)] == [("3", "CUSTOMERGROUPID")]
    assert [record["DESCRIPTION"] for record in office.records(job)] == ["x", ""]
    bad = office.imported(job, f"<Document>{good}{group.format('C', '<COLOUR>red</COLOUR>')}</Document>".encode())
    assert office.status(bad) == "PreProcessingError"


def test_a_worksheet_is_chosen_by_name(office: Office) -> None:
    """The project's; another is none."""
    job = office.job_for("import", GROUPS | {"format": "EXCEL", "sheet": "Groups"})
    columns, row = [Column("CUSTOMERGROUPID")], {"CUSTOMERGROUPID": "A"}
    results = []
    for sheet in ("Groups", "Others"):
        content = write([row], columns, FORMATS["EXCEL"], record="", sheet=sheet, written=NOW)
        results.append(office.status(office.imported(job, content)))
    assert results == ["Processed", "PreProcessingError"]


# Filters


def test_a_filter_is_shared_by_all_jobs_of_a_project(office: Office) -> None:
    """One change, and both follow; the total counts what is left."""
    project = office.project("export", RATES)
    jobs = [office.job("export", project=project) for _ in range(2)]
    assert [office.produce(job, 50)["records"] for job in jobs] == [50, 50]
    condition = {"entity": "Exchange rates", "field": "CONVERSIONFACTOR", "operator": "equals", "value": "Hundred"}
    office.control("PATCH", f"/projects/{project}", {"filter": [condition]})
    for job in jobs:
        told = office.produce(job, 50)["records"]
        kept = [one for one in office.records(job) if one["CONVERSIONFACTOR"] == "Hundred"]
        assert 0 < told == len(kept) < 50
        assert [row["TotalRecordsExported"] for row in office.rows(job)] == [50, told]
        office.payload(job)
        with zipfile.ZipFile(io.BytesIO(office.payload(job))) as archive:
            assert len(archive.read("Exchange rates.csv").splitlines()) == told + 1


def test_what_the_filter_leaves_nothing_of_is_not_uploaded(office: Office) -> None:
    """Prevention counts records after the filter."""
    nothing = [{"entity": "Customer groups", "field": "CUSTOMERGROUPID", "value": "nobody"}]
    project = office.project("export", GROUPS, filter=nothing)
    job = office.job("export", project=project, prevent_upload_when_zero_records=True)
    produced = office.produce(job, 5)
    assert (produced["uploaded"], produced["records"], len(office.records(job))) == (False, 0, 5)


@pytest.mark.parametrize(
    ("field", "operator", "value", "test"),
    [
        ("RATE", "less", "5000", lambda one: float(one["RATE"]) < 5000),
        ("RATE", "greater-or-equal", "5e3", lambda one: float(one["RATE"]) >= 5000),
        ("STARTDATE", "less-or-equal", "2024-06-30", lambda one: one["STARTDATE"] <= "2024-06-30"),
        ("STARTDATE", "greater", "2024-06-30", lambda one: one["STARTDATE"] > "2024-06-30"),
        ("FROMCURRENCY", "contains", "A", lambda one: "A" in one["FROMCURRENCY"]),
        ("FROMCURRENCY", "less", "8", lambda one: one["FROMCURRENCY"] < "8"),
        ("CONVERSIONFACTOR", "not-equals", "One", lambda one: one["CONVERSIONFACTOR"] != "One"),
    ],
)
def test_values_compare_by_their_type(office: Office, field: str, operator: str, value: str, test: Any) -> None:
    """Numbers as numbers, dates as dates, the rest as text."""
    condition = {"entity": "Exchange rates", "field": field, "operator": operator, "value": value}
    job = office.job("export", project=office.project("export", RATES, filter=[condition]))
    told = office.produce(job, 200)["records"]
    kept = [one for one in office.records(job) if test(one)]
    assert 0 < told == len(kept) < 200


def test_an_empty_value_equals_nothing_but_the_empty_one(office: Office) -> None:
    """And is neither less nor greater; all conditions on an entity must be met."""
    counts = {}
    for operator, value in [("equals", ""), ("not-equals", ""), ("less", "zzz"), ("contains", "")]:
        condition = {"entity": "Customer groups", "field": "PAYMENTTERMID", "operator": operator, "value": value}
        job = office.job("export", project=office.project("export", GROUPS, filter=[condition]))
        told = office.produce(job, 100)["records"]
        blank = sum(not one["PAYMENTTERMID"] for one in office.records(job))
        counts[operator] = (told, {"equals": blank, "contains": 100}.get(operator, 100 - blank))
        assert 0 < blank < 100
    assert all(told == expected for told, expected in counts.values())


# Several entities


@pytest.mark.parametrize("name", ["partner-journals", "rates-and-vendors"])
def test_the_projects_of_the_fixtures_are_taken(office: Office, name: str) -> None:
    """Each is shown as it was described."""
    asked = described(name)
    asked.setdefault("direction", "import")
    made = office.control("POST", "/projects", asked)
    assert (made["name"], len(made["entities"])) == (asked["name"], len(asked["entities"]))


def test_an_export_holds_every_entity_of_its_project(office: Office) -> None:
    """In its order, each in its format, filtered by itself; the row counts all."""
    project = office.control("POST", "/projects", described("rates-and-vendors"))["id"]
    job = office.job("export", project=project)
    told = office.produce(job, 60)["records"]
    rates = [one for one in office.records(job) if float(one["RATE"]) > 1000]
    vendors = [one for one in office.records(job, "Vendors V2") if one["ONHOLDSTATUS"] == "No"]
    assert told == len(rates) + len(vendors) < 120
    with zipfile.ZipFile(io.BytesIO(office.payload(job))) as archive:
        assert archive.namelist()[2:] == ["Exchange rates.csv", "Vendors V2.xlsx"]
        assert archive.read("Exchange rates.csv").count(b"\r\n") == len(rates) + 1
        source = format_named("EXCEL")
        rows = list(read(archive.read("Vendors V2.xlsx"), source, [Column("Account")], record=""))
    assert [row.values["Account"] for row in rows] == [one["VENDORACCOUNTNUMBER"] for one in vendors]


def test_produced_records_of_every_entity_are_good(office: Office) -> None:
    """What was made up is taken in by another job without an error, references and all."""
    names = [one["name"] for one in office.emulator.world()["entities"]]
    entities = [{"entity": name, "sequence": number} for number, name in enumerate(names, 1)]
    source, goal = office.job_for("export", *entities), office.job_for("import", *entities, type="package")
    assert office.produce(source, 25)["records"] == 25 * len(names)
    message = office.imported(goal, office.payload(source), None)
    assert office.errors(message) == []
    assert office.status(message) == "Processed"
    for name in names:
        assert office.records(goal, name) == office.records(source, name)
        assert len(office.records(goal, name)) == 25


def test_lines_alone_get_headers_to_refer_to(office: Office) -> None:
    """Their table is filled too, though the project does not have it."""
    job = office.job_for("export", {"entity": "General journal lines"})
    assert office.produce(job, 10)["records"] == 10
    company = next(one["company"] for one in office.emulator.world()["activities"] if one["id"] == job)
    headers = office.emulator.store.records(company, "General journal header")
    assert {one["JOURNALBATCHNUMBER"] for one in office.records(job)} <= {one["JOURNALBATCHNUMBER"] for one in headers}


def test_a_file_goes_to_the_entity_that_the_enqueue_names(office: Office) -> None:
    """One of several, in its own format."""
    project = office.control("POST", "/projects", described("partner-journals"))["id"]
    job = office.job("import", project=project)
    headers = office.imported(job, b"Journal;Kind;Text\r\nJ1;1;Accruals\r\n", "general journal HEADER")
    lines = office.imported(
        job,
        b"<Document><GENERALJOURNALLINES><JOURNALBATCHNUMBER>J1</JOURNALBATCHNUMBER><LINENUMBER>1</LINENUMBER>"
        b"<TRANSDATE>2026-01-31</TRANSDATE><ACCOUNTDISPLAYVALUE>401100</ACCOUNTDISPLAYVALUE>"
        b"<CURRENCYCODE>EUR</CURRENCYCODE></GENERALJOURNALLINES></Document>",
        "General journal lines",
    )
    assert [office.status(one) for one in (headers, lines)] == ["Processed", "Processed"], office.errors(lines)
    assert office.records(job) == [
        {"JOURNALBATCHNUMBER": "J1", "JOURNALNAME": "GenJrn", "DESCRIPTION": "Accruals", "POSTINGLAYER": "Current"}
    ]
    assert len(office.records(job, "General journal lines")) == 1
    foreign = office.imported(job, b"CUSTOMERGROUPID\r\nA\r\n", "Customer groups")
    assert "it has General journal header, General journal lines" in office.log(job, foreign)
