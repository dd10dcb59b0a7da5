"""Data projects and recurring data jobs, from the first upload to the message box."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.recurrence import Recurrence

from .conftest import Site, customer_groups


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Writes a file to be chosen in a form."""

    def written(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return written


def project_named(site: Site, name: str) -> Project:
    """The data project of this name."""
    return next(one for one in site.emulator.store.projects() if one.name == name)


def test_an_import_project_is_created_by_uploading_a_file_for_each_entity(
    site: Site, page: Page, file: Callable[[str, bytes], str]
) -> None:
    """Columns that are called otherwise find their fields by their letters; the map can then be reviewed."""
    page.get_by_role("link", name="Import", exact=True).click()
    page.get_by_label("Name", exact=False).first.fill("Nightly master data")
    page.get_by_label("Description").fill("From the old ERP")
    header = b"Customer group id;Description;Colour\r\n10;Retail;red\r\n"
    page.get_by_label("Source data format").select_option("CSV-Semicolon")
    page.get_by_label("Data file").set_input_files(file("groups.csv", header))
    page.get_by_role("button", name="Add another entity").click()
    page.get_by_label("Entity name").nth(1).select_option("Exchange rates")
    page.get_by_role("button", name="Create the project").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nightly master data")
    expect(page.get_by_role("status")).to_contain_text("The data project Nightly master data was created.")
    expect(page.get_by_role("status")).to_contain_text("No field was found for the column Colour")
    project = project_named(site, "Nightly master data")
    assert [(one.entity, one.format, one.sequence) for one in project.entities] == [
        ("Customer groups", "CSV-Semicolon", 1),
        ("Exchange rates", "CSV", 2),
    ]
    page.get_by_role("link", name="View the map of Customer groups").click()
    expect(page.get_by_label("Column of the file for CUSTOMERGROUPID")).to_have_value("Customer group id")
    expect(page.get_by_label("PAYMENTTERMID is ignored")).to_be_checked()


def test_what_is_wrong_is_told_beside_each_file_and_what_was_typed_stays(
    site: Site, page: Page, file: Callable[[str, bytes], str]
) -> None:
    """A file that is no such file, an entity that stands there twice, a name that is missing: all at once."""
    before = len(site.emulator.store.projects())
    page.get_by_role("link", name="Import", exact=True).click()
    page.get_by_label("Description").fill("kept")
    page.get_by_label("Source data format").select_option("EXCEL")
    page.get_by_label("Data file").set_input_files(file("groups.xlsx", b"this is no workbook"))
    page.get_by_role("button", name="Add another entity").click()
    page.get_by_role("button", name="Create the project").click()
    expect(page.get_by_role("alert")).to_contain_text("3 fields need another look")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.locator("#name-error")).to_contain_text("1 to 100")
    expect(page.locator("#file-0-error")).not_to_be_empty()
    expect(page.get_by_text("stands in this project already")).to_be_visible()
    expect(page.get_by_label("Description")).to_have_value("kept")
    expect(page.get_by_label("Source data format").first).to_have_value("EXCEL")
    expect(page.get_by_label("Source data format")).to_have_count(2)
    assert len(site.emulator.store.projects()) == before


def test_an_entity_can_be_removed_and_none_is_too_few(page: Page) -> None:
    """The form says so instead of making a project without entities."""
    page.get_by_role("link", name="Export", exact=True).click()
    page.get_by_label("Name").first.fill("Empty")
    page.get_by_role("button", name="Remove this entity").click()
    page.get_by_role("button", name="Create the project").click()
    expect(page.get_by_role("alert")).to_contain_text("at least one entity")


def test_an_existing_project_is_loaded_and_its_map_changed(site: Site, page: Page) -> None:
    """A renamed column, a default and a conversion count for the next file; the order and its checks as well."""
    page.get_by_role("link", name="import-file", exact=True).click()
    page.get_by_role("link", name="View the map of Customer groups").click()
    page.get_by_label("Column of the file for CUSTOMERGROUPID").fill("Group")
    page.get_by_label("Default value of PAYMENTTERMID").fill("Net10")
    page.get_by_label("Value conversions of DESCRIPTION, a line each").fill("no sign")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#DESCRIPTION-conversions-error")).to_contain_text("has no equals sign")
    expect(page.get_by_label("Column of the file for CUSTOMERGROUPID")).to_have_value("Group")
    page.get_by_label("Value conversions of DESCRIPTION, a line each").fill("rtl=Retail\nwhl=Wholesale")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("was saved")
    site.enqueue("import-file", b"Group,DESCRIPTION,PAYMENTTERMID\r\n10,rtl,\r\n")
    site.advance(minutes=6)
    job = site.job("import-file")
    assert list(site.emulator.store.records(job.company, "Customer groups")) == [
        {"CUSTOMERGROUPID": "10", "DESCRIPTION": "Retail", "PAYMENTTERMID": "Net10"}
    ]


STYLE = b"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><xsl:copy-of select="."/></xsl:template></xsl:stylesheet>"""


def test_a_style_sheet_is_added_and_taken_away(site: Site, page: Page, file: Callable[[str, bytes], str]) -> None:
    """They stand in the order in which they are applied; a file that is no text is refused."""
    page.get_by_role("link", name="import-file", exact=True).click()
    page.get_by_role("link", name="View the map of Customer groups").click()
    page.get_by_label("Add a style sheet").set_input_files(file("copy.xslt", b"\xff\xfe"))
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#style-sheet-error")).to_contain_text("no style sheet")
    page.get_by_label("Add a style sheet").set_input_files(file("copy.xslt", STYLE))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("was saved")
    assert project_named(site, "import-file").entities[0].xslt == (STYLE.decode(),)
    page.get_by_role("link", name="View the map of Customer groups").click()
    page.get_by_label("Transform 1").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("was saved")
    assert project_named(site, "import-file").entities[0].xslt == ()


def test_one_filter_counts_for_the_exports_of_a_project(site: Site, page: Page) -> None:
    """A condition is added and taken away again; each counts from the next run on."""
    page.get_by_role("link", name="export-package", exact=True).click()
    page.get_by_role("link", name="Change the filter").click()
    expect(page.get_by_text("every record is exported")).to_be_visible()
    page.get_by_role("button", name="Add a condition").click()
    page.get_by_label("Condition", exact=True).select_option("is")
    page.get_by_label("Value").fill("there is none of this name")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The filter was saved")
    assert site.produce("export-package", 5).total_records == 0
    page.get_by_role("link", name="Change the filter").click()
    page.get_by_role("button", name="Remove this condition").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Every record is exported.")).to_be_visible()
    assert site.produce("export-package", 5).total_records == 5


def test_a_recurring_data_job_is_created_and_a_message_box_confirms_it(site: Site, page: Page) -> None:
    """Name, description, policy, type, order, and both recurrences as the Define recurrence window has them."""
    page.get_by_role("link", name="import-file", exact=True).click()
    page.get_by_role("link", name="Create recurring data job").first.click()
    page.get_by_label("Name").first.fill("Hourly groups")
    page.get_by_label("Description").fill("Customer groups from the shop")
    expect(page.get_by_label("Application ID")).to_have_value(site.emulator.identity.clients["authorised"].client_id)
    expect(page.get_by_label("Enabled")).to_be_checked()
    page.get_by_label("Process messages in order").check()
    processing = page.get_by_role("group", name="Processing recurrence")
    processing.get_by_label("Every").fill("2")
    processing.get_by_label("Processing recurrence: unit").select_option("weeks")
    processing.get_by_label("Monday").check()
    processing.get_by_label("Friday").check()
    processing.get_by_label("Starting").fill("2026-01-05T06:30:00")
    processing.get_by_label("Ending").select_option("count")
    processing.get_by_label("Number of runs").fill("10")
    page.get_by_role("group", name="Monitoring recurrence").get_by_label("Every").fill("15")
    page.get_by_role("button", name="Create").click()
    box = page.get_by_role("dialog")
    expect(box).to_contain_text("The recurring data job Hourly groups has been created")
    box.get_by_role("button", name="OK").click()
    expect(box).to_be_hidden()
    job = site.job("Hourly groups")
    assert job.project == site.job("import-file").project
    assert (job.in_order, job.enabled, job.type) == (True, True, "file")
    assert job.description == "Customer groups from the shop"
    recurrence = job.processing_recurrence
    assert recurrence is not None
    assert (recurrence.every, recurrence.unit, recurrence.count) == (2, "weeks", 10)
    assert recurrence.weekdays == ("monday", "friday")
    assert job.monitoring_recurrence == Recurrence(every=15)
    # Loaded again, the window shows what was set.
    page.get_by_role("link", name="Change settings").click()
    expect(processing.get_by_label("Friday")).to_be_checked()
    expect(processing.get_by_label("Starting")).to_have_value("2026-01-05T06:30")
    expect(processing.get_by_label("Number of runs")).to_have_value("10")


def test_a_wrong_recurrence_is_refused_beside_its_fields(site: Site, page: Page) -> None:
    """Nothing is created, and what was typed is still there."""
    before = len(site.emulator.store.activities())
    page.get_by_role("link", name="export-file", exact=True).click()
    page.get_by_role("link", name="Create recurring data job").first.click()
    page.get_by_label("Name").first.fill("Never")
    processing = page.get_by_role("group", name="Processing recurrence")
    processing.get_by_label("Every").fill("0")
    processing.get_by_label("Monday").check()
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#processing_recurrence-error")).to_contain_text("every is a whole number")
    expect(processing.get_by_label("Every")).to_have_value("0")
    expect(processing.get_by_label("Monday")).to_be_checked()
    expect(page.get_by_label("Name").first).to_have_value("Never")
    assert len(site.emulator.store.activities()) == before


def test_prevention_of_empty_uploads_is_set_later(site: Site, open_page: Callable[..., Page]) -> None:
    """An export that was made without it can have it any time; it counts from the next run on."""
    page = open_page(site.address("export-file"))
    page.get_by_role("link", name="Change settings").click()
    page.get_by_label("Prevent upload when zero records").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("They count from now on.")
    page.get_by_label("Synthetic records").fill("0")
    page.get_by_role("button", name="Run the batch job").click()
    expect(page.get_by_role("status")).to_contain_text("No file was uploaded")
    assert [one.facts["settings"]["prevent_upload_when_zero_records"] for one in site.observed("activity")][-1] is True


def test_an_import_runs_now(site: Site, open_page: Callable[..., Page]) -> None:
    """The batch takes what waits, without waiting for the recurrence."""
    site.enqueue("import-file", customer_groups("A"))
    page = open_page(site.address("import-file"))
    page.get_by_role("button", name="Run the batch job").click()
    expect(page.get_by_role("status")).to_have_text("The batch job has taken 1 message.")
    expect(page.locator("#grid tbody tr")).to_contain_text("Preprocessing")


def test_the_framework_parameter_is_kept(site: Site, page: Page) -> None:
    """Off by default, as documented; the switch shows what was saved."""
    page.goto(f"{site.root}/it/parameters")
    switch = page.get_by_label("Skip reprocessing in process recurring integration messages")
    expect(switch).not_to_be_checked()
    switch.check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("The framework parameters were saved.")
    expect(switch).to_be_checked()
    assert site.observed("parameters")[-1].facts["skip_reprocessing"] is True
