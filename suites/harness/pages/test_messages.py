"""Manage messages: the grid, its filter and paging, what can be done from it, and one message by itself."""

import zipfile
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from popreceipt.clock import EPOCH, ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.message import Message
from popreceipt.emulator.pages import Pages
from popreceipt.emulator.server import HttpServer
from popreceipt.emulator.store import Query
from popreceipt.emulator.store.memory import MemoryStore

from .conftest import Site, customer_groups

ALL_COLUMNS = [
    "Message ID",
    "Status",
    "Entity",
    "External identifier",
    "Enqueued",
    "Processing started",
    "Processing completed",
    "Last dequeued",
    "Last downloaded",
    "Acknowledged",
    "Total records exported",
    "File uploaded successfully",
    "Batch status",
    "Retry count",
    "Company",
    "Execution ID",
    "File",
]


def shows(page: Page, column: str, values: list[str]) -> None:
    """The grid shows this in a column, from top to bottom, once it is there."""
    place = ALL_COLUMNS.index(column) + 1
    expect(page.locator(f"#grid tbody tr > :nth-child({place})")).to_have_text(values)


def three_messages(site: Site) -> list[Message]:
    """One processed, one with errors, one waiting; each an hour after the one before."""
    made = [site.enqueue("import-file", customer_groups("A", "B"), "erp-1")]
    site.advance(hours=1)
    made.append(site.enqueue("import-file", customer_groups("X" * 30), "erp-2"))
    site.advance(hours=1)
    made.append(site.enqueue("import-file", customer_groups("C"), "shop-3"))
    return made


def test_the_way_from_the_workspace_to_the_messages(site: Site, page: Page) -> None:
    """Data management, Data management IT, the job's details with its ID in braces, Manage messages."""
    made = three_messages(site)
    page.get_by_role("link", name="Data management IT").click()
    expect(page.get_by_role("link", name="Recurring data jobs")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="import-file", exact=True).first.click()
    expect(page.get_by_text(f"{{{site.job('import-file').id}}}")).to_be_visible()
    page.get_by_role("button", name="Copy the ID").click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{{{site.job('import-file').id}}}"
    page.get_by_role("link", name="Manage messages").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Manage messages")
    shows(page, "Message ID", [one.id for one in reversed(made)])
    shows(page, "Status", ["Enqueued", "ProcessedWithErrors", "Processed"])
    expect(page.locator("#grid thead th")).to_have_text(ALL_COLUMNS)


def test_columns_of_an_export(site: Site, open_page: Callable[..., Page]) -> None:
    """Records exported and a check mark where a file was uploaded; zero and a blank where it was prevented."""
    site.produce("export-no-zero", 4)
    site.produce("export-no-zero", 0)
    page = open_page(site.address("export-no-zero", "messages"))
    shows(page, "Total records exported", ["0", "4"])
    checks = page.locator("#grid td.is-check")
    expect(checks.nth(0).get_by_role("img", name="Yes")).to_have_count(0)
    expect(checks.nth(1).get_by_role("img", name="Yes")).to_have_count(1)


def test_a_click_on_a_heading_sorts_and_a_second_turns_it_round(site: Site, open_page: Callable[..., Page]) -> None:
    """The heading says how its column is sorted, to the eye and to assistive technology."""
    three_messages(site)
    page = open_page(site.address("import-file", "messages"))
    page.get_by_role("link", name="External identifier").click()
    expect(page.get_by_role("columnheader", name="External identifier")).to_have_attribute("aria-sort", "ascending")
    shows(page, "External identifier", ["erp-1", "erp-2", "shop-3"])
    page.get_by_role("link", name="External identifier").click()
    expect(page.get_by_role("columnheader", name="External identifier")).to_have_attribute("aria-sort", "descending")
    shows(page, "External identifier", ["shop-3", "erp-2", "erp-1"])


def test_filters_of_text_status_and_time_go_together(site: Site, open_page: Callable[..., Page]) -> None:
    """Each narrows the grid, all of them stand in the address, and one click shows everything again."""
    three_messages(site)
    page = open_page(site.address("import-file", "messages"))
    page.get_by_label("Find").fill("ERP-")
    page.get_by_label("Find").press("Enter")
    expect(page.locator("#grid tbody tr")).to_have_count(2)
    page.locator("#statuses > summary").click()
    filters = page.get_by_role("search")
    filters.get_by_label("Processed", exact=True).check()
    filters.get_by_label("ProcessedWithErrors").check()
    page.get_by_label("Enqueued from").fill("2026-01-01T00:30")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#grid tbody tr")).to_have_count(1)
    shows(page, "External identifier", ["erp-2"])
    page.reload()
    shows(page, "External identifier", ["erp-2"])
    expect(page.get_by_label("Find")).to_have_value("ERP-")
    page.get_by_label("Find").fill("nothing like it")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("No message meets this filter")).to_be_visible()
    page.get_by_role("link", name="Show all messages").click()
    expect(page.locator("#grid tbody tr")).to_have_count(3)


def test_a_column_can_be_left_out(site: Site, open_page: Callable[..., Page]) -> None:
    """The choice of columns stays while the grid is sorted."""
    three_messages(site)
    page = open_page(site.address("import-file", "messages"))
    page.locator("#columns > summary").click()
    page.get_by_role("group", name="Columns").get_by_label("Last dequeued").uncheck()
    page.get_by_role("button", name="Apply").click()
    fewer = [one for one in ALL_COLUMNS if one != "Last dequeued"]
    expect(page.locator("#grid thead th")).to_have_text(fewer)
    page.locator("#sort-status").click()
    expect(page.get_by_role("columnheader", name="Status", exact=True)).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("#grid thead th")).to_have_text(fewer)


class CountingStore(MemoryStore):
    """Counts the messages that it hands out, and how it was asked for them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.rows = 0
        super().__init__()

    def find(self, query: Query) -> tuple[list[Message], int]:
        found, total = super().find(query)
        self.asked.append("find")
        self.rows += len(found)
        return list(found), total

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> list[Message]:
        found = list(super().messages_of(activity, after, limit))
        self.asked.append("messages_of")
        self.rows += len(found)
        return found


@pytest.fixture(scope="module")
def crowd() -> tuple[CountingStore, Emulator]:
    """A hundred thousand messages of one job, of which every thousandth is processed."""
    store = CountingStore()
    emulator = Emulator(ManualClock(), store=store)
    activity = emulator.store.activities()[0].id
    for number in range(100_000):
        store.put_message(
            Message(
                id=f"00000000-0000-4000-8000-{number:012d}",
                number=store.next_number(),
                activity=activity,
                status="Enqueued" if number % 1_000 else "Processed",
                entity="Customer groups",
                external_identifier=f"erp-{number}",
                enqueued=EPOCH + timedelta(seconds=number),
            )
        )
    return store, emulator


def test_a_hundred_thousand_messages_are_paged_through(crowd: tuple[CountingStore, Emulator], browser: Browser) -> None:
    """Each page asks the store once and is handed its own rows alone, on the first page as on the last."""
    store, emulator = crowd
    with HttpServer(emulator, mounts={"/pages": Pages(emulator)}) as server:
        page = browser.new_page()
        page.clock.install()  # Which stands still: the grid does not ask by itself.
        grid = f"{server.base_url}/pages/jobs/{emulator.store.activities()[0].id}/messages"

        def costs(link: str | None, address: str | None, rows: str) -> tuple[list[str], int]:
            """What the store had to do until the page told these rows."""
            store.asked.clear()
            store.rows = 0
            if address is not None:
                page.goto(address)
            else:
                page.get_by_role("link", name=link, exact=True).click()
            expect(page.locator(".paging > p").first).to_contain_text(rows)
            return list(store.asked), store.rows

        assert costs(None, grid, "1 to 50 of 100,000 messages") == (["find"], 50)
        assert costs("Last page", None, "99,951 to 100,000 of 100,000 messages") == (["find"], 50)
        assert costs("Previous page", None, "99,901 to 99,950 of 100,000 messages") == (["find"], 50)
        assert costs("250", None, "1 to 250 of 100,000 messages") == (["find"], 250)
        assert costs(None, f"{grid}?status=Processed&sort=enqueued", "1 to 50 of 100 messages") == (["find"], 50)
        # A page that is no longer there: the last one that is.
        assert costs(None, f"{grid}?page=4000", "99,951 to 100,000 of 100,000 messages") == (["find", "find"], 50)
        page.close()


def test_the_grid_brings_itself_up_to_date_and_keeps_filter_place_and_focus(
    site: Site, open_page: Callable[..., Page]
) -> None:
    """A new message appears by itself where it belongs; whoever reads or works in the grid is not disturbed."""
    three_messages(site)
    page = open_page("/")
    page.clock.install()
    page.goto(site.address("import-file", "messages") + "?q=erp&sort=external")
    page.locator("#grid .table-scroll").evaluate("one => { one.scrollLeft = 300; window.untouched = true }")
    page.locator("#sort-external").focus()
    site.enqueue("import-file", customer_groups("D"), "erp-0")
    site.enqueue("import-file", customer_groups("E"), "shop-4")
    page.clock.run_for(2_500)
    expect(page.locator("#grid tbody tr")).to_have_count(3)
    shows(page, "External identifier", ["erp-0", "erp-1", "erp-2"])
    expect(page.locator("#sort-external")).to_be_focused()
    assert page.locator("#grid .table-scroll").evaluate("one => one.scrollLeft") == 300
    assert page.evaluate("window.untouched"), "the page was loaded anew"


def test_live_update_can_be_switched_off(site: Site, open_page: Callable[..., Page]) -> None:
    """Then the grid asks for nothing, on this visit and the next."""
    page = open_page("/")
    page.clock.install()
    page.goto(site.address("import-file", "messages"))
    page.get_by_label("Live update").uncheck()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    site.enqueue("import-file", customer_groups("D"))
    page.clock.run_for(10_000)
    assert asked == []
    expect(page.get_by_text("There are no messages yet")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Live update")).not_to_be_checked()
    expect(page.locator("#grid tbody tr")).to_have_count(1)


def test_batch_status_is_blank_until_it_was_fetched(site: Site, open_page: Callable[..., Page]) -> None:
    """Get batch status comes back at once; the status is there a moment later, with a refresh."""
    three_messages(site)
    page = open_page(site.address("import-file", "messages"))
    shows(page, "Batch status", ["", "", ""])
    page.get_by_role("button", name="Get batch status").click()
    expect(page.get_by_role("status")).to_contain_text("being fetched")
    shows(page, "Batch status", ["", "", ""])
    site.advance(seconds=2)
    page.get_by_role("link", name="Refresh").click()
    shows(page, "Batch status", ["", "Finished", "Finished"])


def test_message_clean_up_says_what_it_will_do_and_what_it_did(site: Site, open_page: Callable[..., Page]) -> None:
    """The window takes age and statuses, counts, asks, and only then deletes."""
    made = three_messages(site)
    page = open_page(site.address("import-file", "messages"))
    page.get_by_role("link", name="Message clean up").click()
    window = page.get_by_role("dialog", name="Message clean up")
    expect(window.get_by_label("Older than, in days")).to_be_visible()
    page.keyboard.press("Escape")
    expect(window).to_be_hidden()
    page.get_by_role("link", name="Message clean up").click()
    window.get_by_label("Older than, in days").fill("soon")
    window.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was changed")
    expect(page.get_by_label("Older than, in days")).to_have_value("soon")
    expect(page.locator("#olderThanDays-error")).to_contain_text("is a number from 0")
    page.get_by_label("Older than, in days").fill("0")
    page.get_by_label("Processed", exact=True).check()
    page.get_by_label("Enqueued", exact=True).check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Delete 2 messages?")).to_be_visible()
    assert site.emulator.store.message(made[0].id) is not None
    page.get_by_role("button", name="Delete 2 messages").click()
    expect(page.get_by_role("status")).to_have_text("2 messages deleted.")
    shows(page, "Message ID", [made[1].id])
    assert [one.facts["deleted"] for one in site.observed("cleanup")] == [2]


def test_the_file_of_a_message_is_downloaded_as_it_is(
    site: Site, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    """Imports as they were submitted, exports as they were made; an expired file is told as expired."""
    content = customer_groups("Ä", "B")
    message = site.enqueue("import-file", content)
    page = open_page(site.address("import-file", "messages"))
    with page.expect_download() as downloading:
        page.get_by_role("link", name=f"Download the file of {message.id}").click()
    assert downloading.value.suggested_filename == f"{message.id}.csv"
    downloading.value.save_as(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    exported = site.produce("export-package", 2)
    page.goto(site.address("export-package", "messages"))
    with page.expect_download() as downloading:
        page.get_by_role("link", name=f"Download the file of {exported.id}").click()
    downloading.value.save_as(tmp_path / "package")
    assert "Manifest.xml" in zipfile.ZipFile(BytesIO((tmp_path / "package").read_bytes())).namelist()
    site.advance(days=8)
    page.goto(f"{site.root}/messages/{message.id}")
    expect(page.get_by_text("expired, no longer in blob storage")).to_be_visible()
    expect(page.get_by_role("link", name="Download the file")).to_have_count(0)
    assert page.request.get(f"{site.root}/messages/{message.id}/payload").status == 404


def test_the_execution_log_tells_each_error(site: Site, open_page: Callable[..., Page]) -> None:
    """What was staged, what landed, and for each bad record its number, field and message."""
    message = site.enqueue("import-file", customer_groups("A", "X" * 30))
    site.advance(minutes=6)
    page = open_page(site.address("import-file", "messages"))
    page.get_by_role("link", name=message.id, exact=True).click()
    expect(page.get_by_role("heading", name="Execution log")).to_be_visible()
    expect(page.get_by_text("PartiallySucceeded")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="is longer than 10 characters")
    expect(row).to_contain_text("2")
    expect(row).to_contain_text("CUSTOMERGROUPID")


def test_a_file_that_cannot_be_read_says_why(site: Site, open_page: Callable[..., Page]) -> None:
    """There is no execution then, but a sentence."""
    message = site.enqueue("import-file", b"\xff\xfe\x00")
    site.advance(minutes=6)
    page = open_page(f"/messages/{message.id}")
    expect(page.locator(".note-error")).not_to_be_empty()
    expect(page.get_by_text("PreProcessingError").first).to_be_visible()


def test_an_empty_grid_says_how_messages_come(site: Site, open_page: Callable[..., Page]) -> None:
    """An import names the address to enqueue to, an export leads to its run."""
    page = open_page(site.address("import-file", "messages"))
    expect(page.get_by_text(f"/api/connector/enqueue/{site.job('import-file').id}")).to_be_visible()
    page.goto(site.address("export-package", "messages"))
    page.get_by_role("link", name="Run the job").click()
    page.get_by_label("Synthetic records").fill("3")
    page.get_by_role("button", name="Run the batch job").click()
    expect(page.get_by_role("status")).to_have_text("The batch job has exported 3 records.")
    expect(page.locator("#grid tbody tr")).to_have_count(1)
