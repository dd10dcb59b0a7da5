"""The page: all of the answer, nothing from outside, and no obstacle for whoever reads it, in light and in dark."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from lxml import html
from playwright.sync_api import Browser

from popreceipt.sizing.report import as_page
from popreceipt.sizing.result import Estimate, Sizing

from .answers import CANDIDATES, MONITORING, candidate, recommending, refusing

EVIL = "<script>document.title = 'mine'</script>"

A4 = 673
"""Pixels of a sheet's width within its margins."""

LOADING = ("src", "href", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href")


WIDE = {name: Estimate(estimate.value, -1.0, 9.0) for name, estimate in CANDIDATES[3].wait_minutes.items()}


def page_of(sizing: Sizing, text: str = "[arrivals]\nper_hour = 60\n", name: str = "plan.toml") -> str:
    """The page of an answer."""
    return as_page(sizing, name=name, text=text, command="popreceipt size plan.toml --html plan.html")


@pytest.fixture(scope="module")
def whole() -> str:
    return page_of(recommending())


def words_of(page: str) -> str:
    """What is to be read on a page."""
    return " ".join(html.document_fromstring(page).xpath("string(//body)").split())


def test_the_answer_is_one_sentence_at_the_top(whole: str) -> None:
    """Before anything else, with its margin and what breaks first."""
    top = " ".join(html.document_fromstring(whole).xpath("string(//header)").split())
    assert "Process every 10 minutes, monitor every 15 minutes: 95 of 100 messages are processed within 9.8 min" in top
    assert "1.9 times their number" in top
    assert "The objective is missed first" in top


def test_everything_of_the_answer_is_on_the_page(whole: str) -> None:
    """Plots, tables, warnings, monitoring, the half hour, observations, method, and how to repeat it."""
    root = html.document_fromstring(whole)
    titles = [one.text_content() for one in root.xpath("//figure/h3")]
    assert titles == [
        "Waiting time against the processing recurrence",
        "Backlog over the day",
        "How long messages wait, processing every 10 minutes",
        "How long consumers hold a message",
    ]
    assert len(root.xpath("//figure//*[local-name() = 'svg'][@role = 'img']")) == len(titles)
    words = words_of(whole)
    for expected in (
        "p95, closed form",
        "objective: p95 ≤ 15 min",
        "30 minutes: offered again",
        "alarm of monitoring",
        "Half a minute is shorter",
        "simulation has to agree",
        "Samples every 30 minutes show an overload in 71 of 100 trials only.",
        "12 messages",
        "outside",
        "The runs were walked one by one.",
        "popreceipt size plan.toml --html plan.html",
        "seed 1",
        "per_hour = 60",
    ):
        assert expected in words
    assert len(root.xpath("//table[caption[contains(., 'Simulated')]]/tbody/tr")) == len(CANDIDATES)
    assert "recommended" in root.xpath("string(//tr[contains(@class, 'marked')][1])")


def test_arrivals_are_drawn_where_they_change_over_the_day() -> None:
    """Not where every hour is like the others."""
    changing = page_of(recommending(figures={"hourly": [float(hour) for hour in range(24)]}))
    assert "Arrivals over the day" in words_of(changing)
    assert "Arrivals over the day" not in words_of(page_of(recommending(figures={"hourly": [5.0] * 24})))


def test_nothing_is_loaded_from_anywhere(whole: str) -> None:
    """No attribute that loads, no script, no import in the style; references stay within the page."""
    root = html.document_fromstring(whole)
    assert root.xpath("//script | //link | //iframe | //object | //embed | //img | //base") == []
    for element in root.iter():
        for name in LOADING:
            value = element.get(name) if isinstance(element.tag, str) else None
            assert value is None or value.startswith("#"), f"{element.tag} {name}={value}"
    assert set(re.findall(r"url\(([^)]{1,2})", whole)) <= {"#w", "#d", "#h", "#a"}
    assert "@import" not in whole
    assert "@font-face" not in whole


def test_every_reference_within_the_page_leads_somewhere(whole: str) -> None:
    """Ids are there once, and whatever names one names one that is there."""
    root = html.document_fromstring(whole)
    ids = root.xpath("//@id")
    assert len(ids) == len(set(ids))
    named = {one.removeprefix("#") for one in root.xpath("//a/@href")}
    named |= {one for value in root.xpath("//@aria-labelledby") for one in value.split()}
    named |= set(re.findall(r"url\(#([^)]+)\)", whole))
    assert named <= set(ids)


def test_the_same_answer_has_the_same_bytes(whole: str) -> None:
    """No time of day, no counter."""
    assert page_of(recommending()) == whole


def test_what_a_plan_says_is_text() -> None:
    """Its name, its comments and whatever was said of it."""
    page = page_of(recommending(warnings=(EVIL,), reasons=(EVIL,), method=EVIL), text=EVIL, name=EVIL)
    assert html.document_fromstring(page).xpath("//script") == []
    assert words_of(page).count(EVIL) >= 5


def test_where_nothing_is_recommended_the_nearest_is_looked_at() -> None:
    """It is said so; with nothing stable there is nothing to look at, and the table tells why."""
    words = words_of(page_of(refusing()))
    assert "✘ No recommendation" in words
    assert "Shown is the recurrence that comes nearest: every 30 minutes." in words
    hopeless = replace(refusing(), candidates=refusing().candidates[:1])
    words = words_of(page_of(hopeless))
    assert "the queue grows at every recurrence tried (minutes: 1)" in words
    assert "more comes than can be processed" in words
    assert "looked at closely" not in words


@pytest.mark.parametrize(
    "sizing",
    [
        recommending(lease=None, compared=(), figures={}),
        recommending(candidates=(CANDIDATES[4],)),
        recommending(monitoring=replace(MONITORING, minutes=None, tried={}), margin=None),
        recommending(candidates=(candidate(5, density=((), ()), day=()), CANDIDATES[4])),
        recommending(candidates=(candidate(5, wait_minutes=WIDE), CANDIDATES[4])),
    ],
    ids=["no export", "one candidate", "no monitoring", "a candidate without pictures", "intervals down to nothing"],
)
def test_an_answer_with_less_in_it_is_a_page_as_well(sizing: Sizing) -> None:
    """What is not there is left out, with its heading."""
    root = html.document_fromstring(page_of(sizing))
    for section in root.xpath("//section"):
        assert len(section) > 1, f"{section.get('id')} is empty"
    assert not root.xpath("//table[not(tbody/tr)]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_known_obstacle(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """Axe finds none; the browser asks for nothing and has nothing to complain of."""
    asked: list[str] = []
    said: list[str] = []
    for name, sizing in (("yes", recommending()), ("no", refusing())):
        file = tmp_path / f"{name}.html"
        file.write_text(page_of(sizing), encoding="utf-8")
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})  # type: ignore[arg-type]  one of two words
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(file.as_uri())
        found = Axe().run(page)
        assert not found.violations_count, found.generate_report()
        background = page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
        brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
        assert brightness > 600 if scheme == "light" else brightness < 150
        context.close()
    assert [one for one in asked if not one.startswith(tmp_path.as_uri())] == []
    assert len(asked) == 2
    assert said == []


@pytest.mark.parametrize("width", [360, 800])
def test_narrow_windows_scroll_tables_and_not_the_page(
    browser: Browser, tmp_path: Path, whole: str, width: int
) -> None:
    """Nothing is wider than the window but what scrolls by itself."""
    file = tmp_path / "page.html"
    file.write_text(whole, encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(file.as_uri())
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    context.close()


def test_paper_is_light_and_nothing_is_cut_off(browser: Browser, tmp_path: Path, whole: str) -> None:
    """Even where the computer is dark."""
    file = tmp_path / "page.html"
    file.write_text(whole, encoding="utf-8")
    context = browser.new_context(color_scheme="dark", viewport={"width": A4, "height": 900})
    page = context.new_page()
    page.goto(file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".scroll").first.evaluate("one => getComputedStyle(one).overflowX") == "visible"
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    context.close()
