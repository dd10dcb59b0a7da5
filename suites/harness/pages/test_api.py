"""The API reference: each specification drawn in a browser, with nothing fetched from elsewhere."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect

from popreceipt import resources
from popreceipt.emulator.pages import reference
from popreceipt.emulator.pages.door import policy

from .conftest import Site

NAMES = [document.name for document in reference.DOCUMENTS]
DRAWN = "#reference[data-drawn=yes]"
VENDORED = Path(reference.__file__).parent / "static" / "vendor"
METHODS = {"get", "post", "patch", "delete"}


def operation_ids(name: str) -> list[str]:
    """The operations of a document."""
    document = yaml.safe_load((resources.specs() / f"{name}.openapi.yaml").read_text(encoding="utf-8"))
    return [
        each["operationId"] for item in document["paths"].values() for verb, each in item.items() if verb in METHODS
    ]


def test_every_specification_is_shown() -> None:
    """None is forgotten when one is added."""
    assert sorted(f"{name}.openapi.yaml" for name in NAMES) == sorted(
        each.name for each in resources.specs().glob("*.openapi.yaml")
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_drawn(open_page: Callable[..., Page], name: str) -> None:
    """All of its operations; `open_page` refuses requests to elsewhere and errors in the console."""
    page = open_page(f"/api/{name}")
    expect(page.locator(DRAWN)).to_be_attached(timeout=60_000)
    expect(page.get_by_role("navigation", name="Documents").locator("[aria-current=page]")).to_have_count(1)
    ids = operation_ids(name)
    assert len(ids) > 3
    for operation in ids:
        expect(page.locator(f'[id$="operation/{operation}"]').first).to_be_attached()
    # The styles that Redoc makes have come through: the samples stand on dark, beside the text.
    colour = "element => [...element.querySelectorAll('div')].some(one => getComputedStyle(one).backgroundColor === %s)"
    assert page.locator("#reference").evaluate(colour % json.dumps("rgb(34, 48, 63)"))


def test_the_documents_are_picked_from_tabs(open_page: Callable[..., Page]) -> None:
    """From the navigation to the first document, and on to another."""
    page = open_page("/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="API reference").click()
    expect(page.locator(DRAWN)).to_be_attached(timeout=60_000)
    expect(page.get_by_role("heading", name="Recurring integrations, the connector")).to_be_visible()
    page.get_by_role("navigation", name="Documents").get_by_role("link", name="Identity").click()
    expect(page.locator(DRAWN)).to_be_attached(timeout=60_000)
    expect(page.get_by_role("heading", name="Identity, where tokens come from")).to_be_visible()


@pytest.mark.parametrize("width", [360, 800])
def test_a_narrow_window_scrolls_the_document_and_not_the_page(open_page: Callable[..., Page], width: int) -> None:
    """Nothing is wider than the window but what scrolls by itself."""
    page = open_page("/")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(page.url.rstrip("/") + "/api/connector")
    expect(page.locator(DRAWN)).to_be_attached(timeout=60_000)
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_the_document_itself_can_be_had(open_page: Callable[..., Page]) -> None:
    """As it stands in the project, byte for byte."""
    page = open_page("/api/control")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "control.openapi.yaml"
    assert download.value.path().read_bytes() == (resources.specs() / "control.openapi.yaml").read_bytes()


def headers_of(site: Site, address: str) -> dict[str, str]:
    with urllib.request.urlopen(site.root + address) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}


def test_only_this_page_lets_in_more(site: Site) -> None:
    """Two style elements, known by their digests; no inline script and nothing from elsewhere even here."""
    own = headers_of(site, "/api")["content-security-policy"]
    assert headers_of(site, "/it")["content-security-policy"] == policy()
    assert headers_of(site, "/api/connector.yaml")["content-security-policy"] == policy()
    styles, others = (
        [each for each in own.split("; ") if each.startswith("style-src")],
        [each for each in own.split("; ") if not each.startswith("style-src")],
    )
    assert others == [each for each in policy().split("; ") if not each.startswith("style-src")]
    (allowed,) = styles
    assert allowed.split()[:2] == ["style-src", "'self'"]
    assert all(each.startswith("'sha256-") for each in allowed.split()[2:])
    assert headers_of(site, "/api")["x-frame-options"] == "DENY"


def test_what_is_not_there_is_not_found(site: Site) -> None:
    """A name that no specification has, and no way out of the folder."""
    for address in ("/api/nothing", "/api/nothing.yaml", "/api/..%2Fstatements.toml", "/api/redocly.yaml"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            headers_of(site, address)


def test_the_vendored_script_names_no_other_host_to_fetch_from() -> None:
    """Its one change is made again when it is renewed, and its licence stands beside it."""
    assert b"cdn.redoc.ly" not in (VENDORED / "redoc.standalone.js").read_bytes()
    assert "MIT" in (VENDORED / "redoc.LICENSE.md").read_text(encoding="utf-8")
