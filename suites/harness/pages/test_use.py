"""Whom the pages can be used by: with the keyboard alone, in light and in dark, with assistive technology."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .conftest import Site, customer_groups


def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until the focus is on what has this accessible name; every stop must show that it has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.locator("*:focus")
        outline = focused.evaluate("one => getComputedStyle(one).outlineStyle")
        assert outline != "none", f"{focused.evaluate('one => one.outerHTML')} does not show the focus"
        if name in {focused.get_attribute("aria-label"), focused.inner_text().strip()}:
            return
    pytest.fail(f"{name!r} was not reached with {most} presses of Tab")


def test_the_keyboard_alone_leads_from_the_workspace_to_a_clean_up(site: Site, open_page: Callable[..., Page]) -> None:
    """Skip link, navigation, job, messages, the window and its confirmation, with Tab, Space, Escape and Enter."""
    site.enqueue("import-file", customer_groups("A"))
    page = open_page("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    tab_to(page, "Data management IT")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Data management IT")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, "import-file")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("import-file")
    tab_to(page, "Manage messages")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Manage messages")
    tab_to(page, "Message clean up")
    page.keyboard.press("Enter")
    window = page.get_by_role("dialog", name="Message clean up")
    expect(window).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Message clean up")).to_be_focused()
    page.keyboard.press("Enter")
    expect(window.get_by_label("Older than, in days")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Delete 1 message?")).to_be_visible()
    tab_to(page, "Delete 1 message")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 message deleted.")


def test_lists_of_the_filter_open_and_close_with_the_keyboard(site: Site, open_page: Callable[..., Page]) -> None:
    """Escape closes and gives the focus back; going on closes as well."""
    page = open_page(site.address("import-file", "messages"))
    chooser = page.locator("#statuses > summary")
    chooser.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#statuses").get_by_label("Enqueued", exact=True)).to_be_checked()
    page.keyboard.press("Escape")
    expect(chooser).to_be_focused()
    expect(page.locator("#statuses")).not_to_have_attribute("open", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_computer_until_somebody_chooses(open_page: Callable[..., Page], scheme: str) -> None:
    """The switch goes from the computer's choice to light to dark, and is remembered."""
    page = open_page("/", color_scheme=scheme)
    theme = page.locator("html")
    expect(theme).to_have_attribute("data-bs-theme", scheme)
    switch = page.get_by_role("button", name="As the computer")
    switch.click()
    expect(theme).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Light").click()
    expect(theme).to_have_attribute("data-bs-theme", "dark")
    page.reload()
    expect(theme).to_have_attribute("data-bs-theme", "dark")
    background = page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
    assert sum(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(",")) < 150


def everything(site: Site) -> list[str]:
    """A page of each kind, with something on it."""
    good = site.enqueue("import-file", customer_groups("A", "X" * 30))
    with site.emulator.attended():
        site.emulator.change_activity(site.job("import-file"), monitoring_recurrence_minutes=2)
    site.advance(minutes=10)
    site.enqueue("import-file", customer_groups("B"))
    project = f"{site.root}/projects/{site.job('export-file').project}"
    imports = f"{site.root}/projects/{site.job('import-file').project}"
    return [
        f"{site.root}/",
        f"{site.root}/it",
        f"{site.root}/it/parameters",
        site.address("import-file"),
        site.address("export-package"),
        site.address("import-file", "settings"),
        site.address("import-file", "messages"),
        site.address("import-file", "messages") + "?q=nothing+like+it&from=yesterday",
        site.address("export-file", "messages"),
        site.address("import-file", "clean-up"),
        site.address("import-file", "load"),
        site.address("export-file", "load"),
        f"{site.root}/messages/{good.id}",
        f"{site.root}/projects/new/import",
        project,
        f"{project}/filter",
        f"{project}/jobs/new",
        imports,
        f"{imports}/entities/0",
        f"{site.root}/sign-in",
        f"{site.root}/messages/00000000-0000-4000-8000-000000000000",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_known_obstacle(site: Site, open_page: Callable[..., Page], scheme: str) -> None:
    """Axe finds none: names, labels, order of headings, contrast, in both themes."""
    page = open_page("/", color_scheme=scheme)
    found = {}
    for address in everything(site):
        page.goto(address)
        results = Axe().run(page)
        if results.violations_count:
            found[address.removeprefix(site.root)] = results.generate_report()
    assert not found, "\n\n".join(f"{address}\n{report}" for address, report in found.items())


@pytest.mark.parametrize("width", [360, 800])
def test_narrow_windows_scroll_tables_and_not_the_page(site: Site, open_page: Callable[..., Page], width: int) -> None:
    """Nothing is wider than the window but what scrolls by itself."""
    page = open_page("/")
    page.set_viewport_size({"width": width, "height": 800})
    wide = []
    for address in everything(site):
        page.goto(address)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(address.removeprefix(site.root))
    assert wide == []
