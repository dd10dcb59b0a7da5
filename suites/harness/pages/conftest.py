"""Pages in a real browser: an emulator on a manual clock behind a socket, and Chromium without a window before it.

Whatever a page asks of another host is aborted and remembered; a test that makes it ask fails, as does one that leaves
an error in the browser's console.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, Route

from popreceipt.clock import ManualClock
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.message import Message
from popreceipt.emulator.pages import Pages
from popreceipt.emulator.server import HttpServer
from popreceipt.journal import Observation

WIDE = {"width": 1440, "height": 900}


class Site:
    """An emulator and the address of its pages."""

    def __init__(self, emulator: Emulator, server: HttpServer) -> None:
        self.emulator = emulator
        self.root = f"{server.base_url}/pages"

    def job(self, name: str) -> Activity:
        """The recurring data job of this name."""
        return next(one for one in self.emulator.store.activities() if one.name == name)

    def address(self, name: str, *parts: str) -> str:
        """The address of a page of a recurring data job."""
        return "/".join([self.root, "jobs", self.job(name).id, *parts])

    def enqueue(
        self, name: str, content: bytes, reference: str | None = None, entity: str = "Customer groups"
    ) -> Message:
        """A message in the queue of an import."""
        with self.emulator.attended() as now:
            return self.emulator.batch.enqueue(
                self.job(name), content, now, entity=entity, company=None, external_identifier=reference
            )

    def produce(self, name: str, records: int) -> Message:
        """A message of an export."""
        with self.emulator.attended() as now:
            return self.emulator.batch.produce(self.job(name), records, now).message

    def observed(self, kind: str) -> list[Observation]:
        """What the journal has of a kind of observation."""
        entries = self.emulator.journal.entries
        return [one for one in entries if isinstance(one, Observation) and one.observation == kind]

    def advance(self, **step: float) -> None:
        """Let virtual time pass."""
        self.emulator.advance(timedelta(**step))


def customer_groups(*keys: str) -> bytes:
    """A file of customer groups."""
    lines = ["CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID", *(f"{key},Group {key},Net30" for key in keys)]
    return "".join(f"{line}\r\n" for line in lines).encode()


@pytest.fixture
def site() -> Iterator[Site]:
    emulator = Emulator(ManualClock())
    with HttpServer(emulator, mounts={"/pages": Pages(emulator)}) as server:
        yield Site(emulator, server)
    assert emulator.faults == []


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens a page of the site in a browser of its own (`color_scheme="dark"` and the like go to it)."""
    foreign: list[str] = []
    said: list[str] = []
    contexts = []

    def answer(route: Route) -> None:
        if route.request.url.startswith(f"{site.root}/"):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    def opened(address: str = "/", **options: object) -> Page:
        context = browser.new_context(viewport=WIDE, **options)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.route("**/*", answer)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address if address.startswith("http") else site.root + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert foreign == []
    # An answer that is no success is noted by the browser as an error of the network: that is the test's own affair.
    assert [one for one in said if not one.startswith("Failed to load resource")] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """The first page, in a light theme."""
    return open_page("/")
