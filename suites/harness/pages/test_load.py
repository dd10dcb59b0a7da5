"""The queue's load as a chart, from the samples of the monitoring recurrence."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from .conftest import Site, customer_groups

INK = """canvas => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const colours = new Map();
    for (let place = 0; place < pixels.length; place += 4) {
        if (pixels[place + 3] < 250) continue;
        const colour = pixels.slice(place, place + 3).join();
        colours.set(colour, (colours.get(colour) || 0) + 1);
    }
    return [...colours].sort((one, other) => other[1] - one[1]).slice(0, 12).map(([colour]) => colour);
}"""
"""The most frequent opaque colours of a canvas."""


def monitored(site: Site) -> None:
    """An hour of an import that is sampled every five minutes and processed every twenty."""
    with site.emulator.attended():
        site.emulator.change_activity(
            site.job("import-file"), monitoring_recurrence_minutes=5, processing_recurrence_minutes=20
        )
    for number in range(12):
        site.enqueue("import-file", customer_groups(f"A{number}"))
        site.advance(minutes=5)


def test_samples_are_drawn_and_told(site: Site, open_page: Callable[..., Page]) -> None:
    """The chart has the lines' own colours, in light and in dark; the table beneath has the figures."""
    monitored(site)
    page = open_page(site.address("import-file", "load"))
    expect(page.locator("[data-samples] tbody tr")).to_have_count(12)
    waiting = [int(text) for text in page.locator("[data-samples] tbody tr td:nth-child(2)").all_inner_texts()]
    assert waiting == [one.waiting for one in reversed(site.emulator.store.samples_of(site.job("import-file").id))]
    canvas = page.locator("canvas").first
    assert "31,95,191" in canvas.evaluate(INK)
    page.evaluate("popreceiptTheme.choose('dark')")
    assert "132,182,255" in canvas.evaluate(INK)


def test_the_chart_brings_itself_up_to_date(site: Site, open_page: Callable[..., Page]) -> None:
    """Another sample is in the table, and in a chart drawn anew, without the page being loaded again."""
    monitored(site)
    page = open_page("/")
    page.clock.install()
    page.goto(site.address("import-file", "load"))
    page.evaluate("window.untouched = true")
    site.advance(minutes=5)
    page.clock.run_for(2_500)
    expect(page.locator("[data-samples] tbody tr")).to_have_count(13)
    assert page.locator("canvas").first.evaluate("canvas => Chart.getChart(canvas).data.labels.length") == 13
    assert page.evaluate("window.untouched")


def test_an_unmonitored_queue_says_what_to_do(site: Site, open_page: Callable[..., Page]) -> None:
    """Nothing to see leads to the setting; once it is set, to the first sample that is still to come."""
    page = open_page(site.address("import-file", "load"))
    page.get_by_role("link", name="Set a monitoring recurrence").click()
    page.get_by_role("group", name="Monitoring recurrence").get_by_label("Every").fill("30")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Queue load").click()
    expect(page.get_by_text("No sample has been taken yet")).to_be_visible()
    expect(page.get_by_text("takes one every 30 minutes")).to_be_visible()
