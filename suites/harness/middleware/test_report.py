"""The page: all of a run, nothing from outside, no obstacle for whoever reads it, in light, in dark and on paper."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from lxml import html
from playwright.sync_api import Browser

from popreceipt.middleware import matrix, report
from popreceipt.middleware.played import Exit, Judged
from popreceipt.middleware.result import Result
from popreceipt.rules import find
from popreceipt.verdict import Outcome

from .played_back import Tape, judged, of_fixture

EVIL = "<script>document.title = 'mine'</script>"

A4 = 673
"""Pixels of a sheet's width within its margins."""

LOADING = ("src", "href", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href")


@cache
def a_run(evil: str = "") -> Result:
    """A run with everything in it: both levels violated, dialects, lost answers, a crash, what cannot be played."""
    scenarios: list[Judged] = [
        of_fixture("acknowledgment/after-storing.violated", name=f"stores-late{evil}", title=f"Late.{evil}"),
        of_fixture("acknowledgment/as-json.violated", name="as-text"),
        of_fixture("download/from-the-location.held", name="held"),
        of_fixture(
            "zero-records/no-file-understood.violated",
            name="no-file",
            exits=(Exit(status=1, seconds=1.0),),
            output_tail=f"Traceback\n\x1b[31mKeyError eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2ln{evil}",
        ),
        of_fixture("acknowledgment/as-json.undecided", name="unsure"),
        judged(Tape().journal, name="two-hosts", lacks="this computer lacks a second address"),
        of_fixture("download/from-the-location.held", dialect="download.answer=redirect"),
        of_fixture("acknowledgment/after-storing.violated", dialect="dequeue.empty-queue=200-empty"),
    ]
    claims = (
        "acknowledgment/after-storing.held",
        "acknowledgment/as-json.violated",
        "acknowledgment/after-storing.violated",
    )
    for place, each in enumerate(matrix.matrix()[:30]):
        one = of_fixture(claims[place % 3] if place % 5 == 0 else claims[0])
        scenarios.append(replace(one, played=replace(one.played, scenario=each)))
    return Result.of(
        scenarios,
        command=("python", f"mine.py{evil}"),
        lease_seconds=6.0,
        seconds=61.0,
        jobs=4,
        notes=(f"Noted.{evil}",),
    )


def words_of(page: str) -> str:
    """What is to be read on a page."""
    return " ".join(html.document_fromstring(page).xpath("string(//body)").split())


@pytest.fixture(scope="module")
def whole() -> str:
    return report.as_page(a_run())


def signs(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table below a section's address, cell by cell, as they are told to those who do not see."""
    rows = html.document_fromstring(page).xpath(f"(//section[@id='{heading}']//table)[1]/tbody/tr")
    return {
        row.xpath("string(th)"): ["".join(cell.xpath(".//@aria-label")) for cell in row.xpath("td")] for row in rows
    }


def test_the_answer_is_at_the_top(whole: str) -> None:
    """How many rules were violated, of which level, in how many scenarios."""
    top = " ".join(html.document_fromstring(whole).xpath("string(//header)").split())
    result = a_run()
    violated = result.verdicts.with_outcome(Outcome.VIOLATED)
    assert "✘ Violated" in top
    assert f"{len(violated)} rules were violated" in top
    assert "in 38 scenarios" in top
    assert "Noted." in top


def test_every_violated_rule_is_told_once_with_a_timeline(whole: str) -> None:
    """Its text, its source, the first scenario that shows it, and the exchanges behind it; MUST before SHOULD."""
    root = html.document_fromstring(whole)
    violated = a_run().verdicts.with_outcome(Outcome.VIOLATED)
    told = [one.text_content() for one in root.xpath("//section[@id='violations']/h3")]
    assert sorted(told) == sorted(each.id for each in violated)
    levels = [find(each).level.value for each in told]
    assert levels == sorted(levels)  # MUST before SHOULD, as in the alphabet
    assert len(root.xpath("//section[@id='violations']//figure//*[local-name() = 'svg'][@role='img']")) == len(told)
    words = words_of(whole)
    for each in violated:
        rule = find(each.id)
        assert " ".join(rule.text.split()) in words
        assert str(rule.source) in words


def test_the_grid_of_lost_answers_has_a_cell_for_each(whole: str) -> None:
    """A row an operation, a column for each phase and kind, and a word for each sign."""
    rows = signs(whole, "lost")
    assert list(rows) == list(dict.fromkeys(each.name.split(".")[1] for each in matrix.matrix()[:30]))
    told = [cell for row in rows.values() for cell in row]
    assert {"held", "violated", "a recommendation not kept"} <= set(told)


def test_the_matrix_has_scenarios_and_rules(whole: str) -> None:
    """Scenarios without a dialect and not of the grid; only rules that had something to judge."""
    root = html.document_fromstring(whole)
    names = {one.text_content() for one in root.xpath("//section[@id='matrix']//tbody//th")}
    assert names <= {"stores-late", "as-text", "held", "no-file", "unsure", "two-hosts"}
    assert {"stores-late", "as-text", "held"} <= names
    for table in root.xpath("//section[@id='matrix']//table"):
        columns = len(table.xpath("thead/tr[2]/th"))
        assert columns <= report.ABREAST
        assert sum(int(one) for one in table.xpath("thead/tr[1]/th/@colspan")) == columns
        assert all(len(row.xpath("td")) == columns for row in table.xpath("tbody/tr"))
        assert all(row.xpath(".//span") for row in table.xpath("tbody/tr"))


def test_dialects_are_counted_and_the_broken_ones_stand_first(whole: str) -> None:
    """How many are survived, and how the others broke the subject."""
    words = words_of(whole)
    assert "Survives 1 of 2." in words
    rows = html.document_fromstring(whole).xpath("//section[@id='dialects']//tbody/tr")
    assert [row.xpath("string(th)") for row in rows] == ["dequeue.empty-queue=200-empty", "download.answer=redirect"]
    assert "acknowledgment.after-storing" in rows[0].text_content()


def test_what_else_there_is_to_know(whole: str) -> None:
    """A crash with its last words, what was undecided, and what could not be played here."""
    words = words_of(whole)
    assert "In no-file it ended with status 1." in words
    assert "KeyError redacted:" in words
    assert "\x1b" not in whole
    assert "two-hosts: this computer lacks a second address" in words
    assert "unsure" in words
    assert "popreceipt middleware --lease 6 --seed 0 -- python mine.py" in words


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"judged": ("download/from-the-location.held",)}, "✔ Held"),
        ({"judged": ("acknowledgment/as-json.violated",)}, "! Held, with recommendations not kept"),
        ({"judged": ("download/from-the-location.held",), "interrupted": True}, "! Cut short"),
        ({"judged": ("download/from-the-location.held",), "asked": 3}, "! Cut short"),
        ({"judged": ()}, "✘ Nothing was exercised"),
        ({"fault": "the disk is full"}, "! A fault of the harness"),
    ],
    ids=["held", "recommendations", "interrupted", "fewer than asked", "nothing", "our fault"],
)
def test_every_end_of_a_run_has_its_word(changes: dict[str, Any], expected: str) -> None:
    """A page that says less than it should is a page as well, and never says that all is well."""
    fault = changes.pop("fault", None) if "fault" in changes else None
    claims = changes.get("judged", ("download/from-the-location.held",))
    scenarios = [of_fixture(each, fault=fault) for each in claims] or [judged(Tape().journal)]
    rest = {name: value for name, value in changes.items() if name != "judged"}
    result = Result.of(scenarios, command=("mine",), lease_seconds=6.0, **rest)
    page = report.as_page(result)
    root = html.document_fromstring(page)
    assert expected in " ".join(root.xpath("string(//header)").split())
    for section in root.xpath("//section"):
        assert len(section) > 1, f"{section.get('id')} is empty"


def test_nothing_is_loaded_from_anywhere(whole: str) -> None:
    """No attribute that loads, no script, no import in the style; references stay within the page."""
    root = html.document_fromstring(whole)
    assert root.xpath("//script | //link | //iframe | //object | //embed | //img | //base") == []
    for element in root.iter():
        for name in LOADING:
            value = element.get(name) if isinstance(element.tag, str) else None
            assert value is None or value.startswith("#"), f"{element.tag} {name}={value}"
    assert "@import" not in whole
    assert "url(" not in whole


def test_every_reference_within_the_page_leads_somewhere(whole: str) -> None:
    """Ids are there once, and whatever names one names one that is there."""
    root = html.document_fromstring(whole)
    ids = root.xpath("//@id")
    assert len(ids) == len(set(ids))
    named = {one.removeprefix("#") for one in root.xpath("//a/@href")}
    named |= {one for value in root.xpath("//@aria-labelledby") for one in value.split()}
    assert named <= set(ids)


def test_the_same_result_has_the_same_bytes(whole: str, tmp_path: Path) -> None:
    """No time of day, no counter; and the file is the page."""
    file = tmp_path / "new" / "report.html"
    report.write(a_run(), file)
    assert file.read_text(encoding="utf-8") == whole


def test_what_a_subject_or_a_scenario_says_is_text() -> None:
    """Its command, its output, its scenario's name and title."""
    page = report.as_page(a_run(EVIL))
    assert html.document_fromstring(page).xpath("//script") == []
    assert words_of(page).count(EVIL) >= 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_no_known_obstacle(browser: Browser, tmp_path: Path, whole: str, scheme: str) -> None:
    """Axe finds none; the browser asks for nothing and has nothing to complain of."""
    asked: list[str] = []
    said: list[str] = []
    file = tmp_path / "report.html"
    file.write_text(whole, encoding="utf-8")
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
    assert asked == [file.as_uri()]
    assert said == []


@pytest.mark.parametrize("width", [360, 800])
def test_narrow_windows_scroll_tables_and_not_the_page(
    browser: Browser, tmp_path: Path, whole: str, width: int
) -> None:
    """Nothing is wider than the window but what scrolls by itself."""
    file = tmp_path / "report.html"
    file.write_text(whole, encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(file.as_uri())
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    context.close()


def test_paper_is_light_and_nothing_is_cut_off(browser: Browser, tmp_path: Path, whole: str) -> None:
    """Even where the computer is dark."""
    file = tmp_path / "report.html"
    file.write_text(whole, encoding="utf-8")
    context = browser.new_context(color_scheme="dark", viewport={"width": A4, "height": 900})
    page = context.new_page()
    page.goto(file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    context.close()
