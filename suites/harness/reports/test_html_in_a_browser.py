"""The page in a real browser: without obstacles, on a phone, on paper, without its script, and asking for nothing."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from popreceipt.reports import comparison, result
from popreceipt.reports.html import page
from popreceipt.rules import catalogue
from popreceipt.verdict import Finding, Outcome

from . import runs

RULES = {each.id: each for each in catalogue(None)}

A4 = 673
"""Pixels of a sheet's width within its margins."""

HELD = "authorization.token-required"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything in it, as a file."""
    folder = tmp_path_factory.mktemp("run")
    # Some rules: enough for one of everything, and little to do for a browser.
    everything = [each for each in runs.verdicts().rules if each.chapter in ("enqueue", "redelivery", "cleanup")]
    batch = [each for each in runs.verdicts().rules if each.chapter == "batch"]
    rules = (runs.verdict(HELD, Outcome.HELD, [Finding(Outcome.HELD, "kept", (1, 4))]), *everything, *batch[:3])
    read = result.read(runs.leave(folder / "now", rules=rules))
    before = result.read(runs.leave(folder / "before", rules=rules, seed=6, failures=()))
    made = page.as_page(read, RULES, read.journal, comparison.compare(read, before))
    page.write(made, folder / "page.html")
    return folder / "page.html"


@contextmanager
def opened(browser: Browser, file: Path, address: str = "", **how: Any) -> Iterator[Page]:
    """The page in a window of its own; it asks for nothing but itself, and the browser complains of nothing."""
    asked: list[str] = []
    said: list[str] = []
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | how))
    shown = context.new_page()
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.goto(file.as_uri() + address)
    yield shown
    context.close()
    assert asked == [file.as_uri() + address]
    assert said == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_has_no_known_obstacle(browser: Browser, file: Path, scheme: str, width: int) -> None:
    """Axe finds none, folded or unfolded; light is light and dark is dark."""
    with opened(browser, file, color_scheme=scheme, viewport={"width": width, "height": 900}) as shown:
        shown.evaluate(
            "[...document.querySelectorAll('.exchange, .rule, .fold, .again')].slice(0, 24).map(x => x.open = true)"
        )
        found = Axe().run(shown)
        assert not found.violations_count, found.generate_report()
        background = shown.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
        brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
        assert brightness > 600 if scheme == "light" else brightness < 150


def test_nothing_is_wider_than_the_window(browser: Browser, file: Path) -> None:
    """With everything unfolded, too; only tables of figures scroll, by themselves; a time of day is not broken."""
    wide = "[...document.querySelectorAll('main *')].filter(x => !x.closest('.scroll, .unseen, thead')"
    wide += " && x.getBoundingClientRect().right > innerWidth + 1).map(x => x.outerHTML.slice(0, 200))"
    broken = "[...document.querySelectorAll('.story .at')].filter(x => x.getClientRects().length"
    broken += " && x.firstChild && (r => (r.selectNodeContents(x), r.getClientRects().length))(new Range()) > 1).length"
    with opened(browser, file) as shown:
        shown.evaluate("document.querySelectorAll('details').forEach(x => x.open = true)")
        shown.evaluate("document.querySelectorAll('.story .at').forEach(x => x.textContent = '14:31:02.602')")
        for width in (320, 390, 768, 1280):
            shown.set_viewport_size({"width": width, "height": 800})
            assert not shown.evaluate("document.documentElement.scrollWidth > innerWidth"), width
            assert shown.evaluate(wide) == [], width
            assert shown.evaluate(broken) == 0, width


@pytest.mark.parametrize("script", [True, False])
def test_all_of_it_is_on_paper(browser: Browser, file: Path, script: bool) -> None:
    """Whatever was folded is printed, with a script or without, on white, whatever the screen; each exchange once."""
    how = {"color_scheme": "dark", "viewport": {"width": A4, "height": 900}, "java_script_enabled": script}
    with opened(browser, file, **how) as shown:
        shown.emulate_media(media="print", color_scheme="dark")
        assert shown.locator("body").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
        assert not shown.evaluate("document.documentElement.scrollWidth > innerWidth")
        seen = "x => x.getClientRects().length > 0 && x.checkVisibility({contentVisibilityAuto: true})"
        inner = (
            f"[...document.querySelectorAll('.rule .inner, .fold table, .again pre')].filter(x => !({seen})(x)).length"
        )
        assert shown.evaluate(inner) == 0
        wires = f"[...document.querySelectorAll('.exchange:not(.is-repeated) .wire')].filter(x => !({seen})(x)).length"
        assert shown.evaluate(wires) == 0
        repeated = f"[...document.querySelectorAll('.exchange.is-repeated .wire')].filter({seen}).length"
        assert shown.evaluate(repeated) == 0
        assert shown.locator(".on-paper").first.is_visible()
        for hidden in ("nav", ".tools"):
            assert not shown.locator(hidden).first.is_visible()


def test_without_its_script_it_is_read_and_filtered(browser: Browser, file: Path) -> None:
    """Details unfold, a choice shows the rules of one outcome, and the search, which needs a script, is not offered."""
    with opened(browser, file, java_script_enabled=False) as shown:
        assert not shown.locator("#search").is_visible()
        total = shown.locator(".rule").count()
        assert shown.locator(".rule:visible").count() == total
        shown.get_by_role("radio", name="not exercised").check()
        assert shown.locator(".rule:visible").count() == shown.locator(".rule.k-unexercised").count() == 4
        assert shown.locator(".chapter:visible").count() == 2
        shown.get_by_role("radio", name="all", exact=True).check()
        rule = shown.locator(".rule", has_text=HELD)
        assert not rule.locator(".inner").is_visible()
        rule.locator("summary").first.click()
        assert rule.locator(".inner").is_visible()


@pytest.mark.parametrize("script", [True, False])
def test_a_field_of_the_matrix_leads_to_its_rule(browser: Browser, file: Path, script: bool) -> None:
    """And unfolds it."""
    with opened(browser, file, java_script_enabled=script) as shown:
        shown.locator(f"#matrix a[href='#rule-{HELD}']").click()
        assert shown.locator(".rule", has_text=HELD).locator(".inner").is_visible()


def test_the_search_finds_rules_by_their_words(browser: Browser, file: Path) -> None:
    """All words have to be there; how many were found is told; a link to a rule that is hidden shows it again."""
    with opened(browser, file) as shown:
        shown.locator("#words").fill("half HOUR hidden")
        assert shown.locator(".rule:visible").count() >= 1
        for each in shown.locator(".rule:visible").all_text_contents():
            assert all(word in each.lower() for word in ("half", "hour", "hidden"))
        count = shown.locator(".rule:visible").count()
        assert shown.locator("#found").text_content() == f"{count} of {shown.locator('.rule').count()} rules"
        shown.locator("#words").fill("no rule says this")
        assert shown.locator(".rule:visible").count() == 0
        shown.evaluate(f"location.hash = '#rule-{HELD}'")
        shown.locator(".rule[open]", has_text=HELD).locator(".inner").wait_for()


def test_the_keyboard_reaches_what_can_be_done(browser: Browser, file: Path) -> None:
    """The first stop leads past the head; a filter is chosen with the arrows; a rule unfolds with Enter."""
    with opened(browser, file) as shown:
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.className") == "skip"
        shown.locator("#show-all").focus()
        shown.keyboard.press("ArrowRight")
        assert shown.locator("#show-violated").is_checked()
        shown.locator("#show-all").check()
        summary = shown.locator(".rule summary").first
        summary.focus()
        shown.keyboard.press("Enter")
        assert shown.locator(".rule").first.evaluate("one => one.open")


def test_everything_unfolds_at_once(browser: Browser, file: Path) -> None:
    """And folds again."""
    with opened(browser, file) as shown:
        shown.locator("#unfold").click()
        assert shown.locator(".rule:not([open])").count() == 0
        shown.get_by_role("button", name="Fold all").click()
        assert shown.locator(".rule[open]").count() == 0


def test_a_strangers_script_does_not_run(browser: Browser, tmp_path: Path) -> None:
    """Neither from a result nor from a journal."""
    evil = "<img src=x onerror=\"document.title='mine'\"><script>document.title='mine'</script>"
    some = tuple(each for each in runs.verdicts(evil).rules if each.chapter in ("enqueue", "redelivery", "cleanup"))
    read = result.read(runs.leave(tmp_path, evil, rules=some))
    page.write(page.as_page(read, RULES, read.journal), tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as shown:
        assert shown.title().startswith("Violated: Verdict on tenant:qa<img")
        assert shown.locator("img").count() == 0
