"""The documentation site: it builds without a warning, tells everything, stands alone, and opens in a browser."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from popreceipt.cli.main import COMMANDS
from popreceipt.emulator.profile import POINTS
from popreceipt.rules import catalogue


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as a developer builds it: where Sphinx has anything to warn of, this fails."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "popreceipt.docs", str(folder)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_rule_has_its_place(site: Path) -> None:
    """Each rule's own words stand on its chapter's page, under an anchor that can be linked to."""
    for rule in catalogue(None):
        page = (site / "reference" / "rules" / f"{rule.chapter}.html").read_text(encoding="utf-8")
        anchor = rule.id.replace(".", "-")
        assert f'id="{anchor}"' in page, rule.id
        words = unescape(re.sub(r"<[^>]+>", "", page))
        assert rule.text.replace("'", "’").replace("`", "") in words.replace("'", "’"), rule.id


def test_every_command_and_every_open_point_has_its_place(site: Path) -> None:
    """Nothing that the command line offers is missing from the reference, and no open point."""
    for name in COMMANDS:
        assert f"popreceipt {name}" in (site / "reference" / "command-line" / f"{name}.html").read_text("utf-8")
    points = (site / "reference" / "open-points.html").read_text(encoding="utf-8")
    assert not [name for name in POINTS if name not in points]


def test_options_are_written_as_they_are_typed(site: Path) -> None:
    """Two hyphens are no dash: what is copied from the reference works."""
    for name in COMMANDS:
        page = (site / "reference" / "command-line" / f"{name}.html").read_text(encoding="utf-8")
        words = unescape(re.sub(r"<[^>]+>", "", page))
        assert not re.findall(r"[–—][a-z][a-z-]*", words), name


def test_nothing_is_fetched_from_elsewhere(site: Path, browser: Browser) -> None:
    """The pages open with the network shut, on a desk and on a phone, without an error, and none is wider than that."""
    page = browser.new_page()
    troubles: list[str] = []
    page.on("request", lambda request: None if request.url.startswith("file:") else troubles.append(request.url))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    for name in ("index", "tutorial", "guides/run-on-a-tenant", "reference/rules/redelivery", "reference/library"):
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto((site / f"{name}.html").as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} wide on a screen of {width}"
    page.close()
    assert not troubles


def test_the_search_finds_a_rule(site: Path, browser: Browser) -> None:
    """Also from a folder, without a server."""
    page = browser.new_page()
    page.goto((site / "search.html").as_uri() + "?q=receipt")
    page.wait_for_selector("#search-results ul.search li a")
    found = page.locator("#search-results ul.search li a").all_inner_texts()
    page.close()
    assert any("acknowledgment" in each for each in found), found
