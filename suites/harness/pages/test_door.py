"""Who is let in, what a page from elsewhere cannot do, and what the browser is told with every answer."""

import contextlib
import http.client
import importlib.util
import re
import secrets
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from popreceipt.clock import ManualClock
from popreceipt.emulator import pages
from popreceipt.emulator.durable import Durable
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.pages import Pages
from popreceipt.emulator.pages.door import Key
from popreceipt.emulator.pages.page import Page as PageOfSite
from popreceipt.emulator.server import HttpServer
from popreceipt.emulator.store.sqlite import SqliteStore

from .conftest import Site, customer_groups

SCRIPT = "<script>document.title = 'taken over'</script>\"' onmouseover=alert(1)"


def test_script_in_an_address_is_shown_as_text(site: Site, open_page: Callable[..., Page]) -> None:
    """In every parameter, and in an ID."""
    page = open_page("/")
    names = ("q", "from", "until", "status", "sort", "direction", "size", "page", "column")
    for name in names:
        page.goto(site.address("import-file", "messages") + f"?{httpx.QueryParams({name: SCRIPT})}")
        expect(page).to_have_title(re.compile("Manage messages"))
    page.goto(site.address("import-file", "messages") + f"?{httpx.QueryParams({'q': SCRIPT})}")
    expect(page.get_by_label("Find")).to_have_value(SCRIPT)
    page.goto(f"{site.root}/jobs/{quote('<img src=x onerror=alert(1)>')}")
    expect(page).to_have_title("404 · popreceipt")
    expect(page.get_by_text("There is no recurring data job with the ID")).to_be_visible()


def test_script_in_data_is_shown_as_text(site: Site, open_page: Callable[..., Page]) -> None:
    """What a client sends as external identifier, entity or record goes through no page as markup."""
    message = site.enqueue("import-file", customer_groups(SCRIPT), SCRIPT, entity=SCRIPT)
    other = site.enqueue("import-file", f'CUSTOMERGROUPID,"{SCRIPT.replace(chr(34), chr(34) * 2)}"\r\n1,2\r\n'.encode())
    site.advance(minutes=6)
    page = open_page(site.address("import-file", "messages"))
    expect(page.get_by_text(SCRIPT).first).to_be_visible()
    for one in (message, other):
        page.goto(f"{site.root}/messages/{one.id}")
        expect(page).to_have_title(f"Message {one.id} · popreceipt")


@pytest.mark.parametrize(
    "path",
    [
        "jobs/nothing",
        "jobs/00000000-0000-4000-8000-000000000000/messages",
        "jobs/00000000-0000-4000-8000-000000000000/load",
        "messages/00000000-0000-4000-8000-000000000000",
        "messages/..%2f..%2fetc/payload",
        "projects/new/sideways",
        "projects/00000000-0000-4000-8000-000000000000",
        "static/../application.py",
        "nowhere/at/all",
    ],
)
def test_what_is_not_there_is_a_404(site: Site, path: str) -> None:
    """A page that says so, never a fault of the server."""
    answer = httpx.get(f"{site.root}/{path}")
    assert answer.status_code == 404


def test_braces_around_an_id_are_taken(site: Site) -> None:
    """The ID as the job's details show it leads to the job."""
    assert httpx.get(f"{site.root}/jobs/%7B{site.job('import-file').id.upper()}%7D").status_code == 200


def token(client: httpx.Client, address: str) -> str:
    """The token that a page's form carries."""
    found = re.search(r'name="csrftoken" value="([^"]+)"', client.get(address).text)
    assert found is not None
    return unescape(found[1])


def test_nothing_is_changed_without_the_token_of_a_page(site: Site) -> None:
    """Neither without one, nor with one of another browser, nor with a made-up one."""
    message = site.enqueue("import-file", customer_groups("A"))
    address = site.address("import-file", "clean-up")
    asked = {"olderThanDays": "0", "confirmed": "yes"}
    with httpx.Client() as mine, httpx.Client() as theirs:
        stolen = token(theirs, address)
        own = token(mine, address)
        for wrong in ({}, {"csrftoken": stolen}, {"csrftoken": own[:-2]}, {"csrftoken": ""}):
            assert mine.post(address, data=asked | wrong).status_code == 403
        assert mine.post(address, json=asked).status_code == 403
        assert site.emulator.store.message(message.id) is not None
        assert mine.post(address, data=asked | {"csrftoken": own}).status_code == 303
    assert site.emulator.store.message(message.id) is None


CHANGING = {
    "/jobs/{job}/settings": "jobs/{job}/settings",
    "/jobs/{job}/run": "jobs/{job}/run",
    "/jobs/{job}/batch-status": "jobs/{job}/batch-status",
    "/jobs/{job}/clean-up": "jobs/{job}/clean-up",
    "/it/parameters": "it/parameters",
    "/projects/new/{direction:str}": "projects/new/import",
    "/projects/{project}/entities/{number:int}": "projects/{project}/entities/0",
    "/projects/{project}/filter": "projects/{project}/filter",
    "/projects/{project}/jobs/new": "projects/{project}/jobs/new",
    "/sign-in": "sign-in",
}
"""Every route of the pages that takes a POST, and an address of it."""


def routes(verb: str) -> set[str]:
    """The routes of the pages that take this verb."""
    found = set()
    for view in PageOfSite.__subclasses__():
        for name in dir(view):
            handler = getattr(view, name)
            if verb in getattr(handler, "_route_methods", ()):
                found.add(view.path.rstrip("/") + handler._route_path)
    return found


def test_every_form_is_protected(site: Site) -> None:
    """All addresses that take a POST are known here, and none of them does without a token."""
    job = site.job("import-file")
    for path in CHANGING.values():
        address = f"{site.root}/{path.format(job=job.id, project=job.project)}"
        assert httpx.post(address, data={"olderThanDays": "0", "name": "x"}).status_code == 403, path
        assert httpx.put(address, data={"name": "x"}).status_code == 403, path
        assert httpx.post(address).status_code in {403, 411}, path
    assert routes("POST") == set(CHANGING)
    assert not routes("PUT") | routes("DELETE") | routes("PATCH")


def test_every_answer_forbids_what_the_pages_do_not_need(site: Site) -> None:
    """No script or style inside a page, nothing from elsewhere, no frame, no guessing of types."""
    for path in ("", "static/pages.js", "jobs/nothing"):
        headers = httpx.get(f"{site.root}/{path}").headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-cache" if path.startswith("static") else "no-store")


@pytest.mark.parametrize(
    "name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a@b", "[", "x]"]
)
def test_a_name_that_was_made_to_point_here_is_not_answered(site: Site, name: str) -> None:
    """A page on the web could otherwise read these by a name of its own."""
    assert httpx.get(f"{site.root}/", headers={"host": name}).status_code == 421


@pytest.mark.parametrize("name", ["localhost:1234", "127.0.0.2", "[::1]:80", "192.168.1.20:8365"])
def test_own_names_and_addresses_are_answered(site: Site, name: str) -> None:
    """However somebody has typed them."""
    assert httpx.get(f"{site.root}/", headers={"host": name}).status_code == 200


async def asked_from(
    client: str, emulator: Emulator, path: str, cookie: str | None = None
) -> tuple[int, dict[str, str]]:
    """Status and headers of a page, asked for from an address."""
    started: dict[str, object] = {}
    headers = [(b"host", b"127.0.0.1"), *([(b"cookie", cookie.encode())] if cookie is not None else [])]
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": (client, 50_000),
        "server": ("emulator", 80),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            started.update(message)

    await Pages(emulator)(scope, receive, send)
    sent: dict[str, str] = {name.decode(): value.decode() for name, value in started["headers"]}  # type: ignore[attr-defined]
    return int(str(started["status"])), sent


def run(coroutine: object) -> tuple[int, dict[str, str]]:
    """The result of a coroutine, in an event loop of its own thread: the browser's driver may have this one's."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()  # type: ignore[arg-type]


def test_callers_from_elsewhere_need_the_key() -> None:
    """They are led to the sign-in, which with its style is all that they see; a forged cookie changes nothing."""
    emulator = Emulator(ManualClock(), control_key="the key")
    status, headers = run(asked_from("192.168.1.20", emulator, "/pages/it"))
    assert (status, headers["location"]) == (303, "/pages/sign-in?next=/pages/it")
    assert run(asked_from("192.168.1.20", emulator, "/pages/it", "popreceipt_pages=aW4.x.y"))[0] == 303
    assert run(asked_from("192.168.1.20", emulator, "/pages/sign-in"))[0] == 200
    assert run(asked_from("192.168.1.20", emulator, "/pages/static/pages.css"))[0] == 200
    assert run(asked_from("::ffff:127.0.0.1", emulator, "/pages/it"))[0] == 200


def test_the_key_lets_a_browser_in() -> None:
    """A wrong key does not; the right one leads on to where somebody wanted to go, and to no other site."""
    key = "a secret key"
    emulator = Emulator(ManualClock(), control_key=key)
    with HttpServer(emulator, mounts={"/pages": Pages(emulator)}) as server, httpx.Client() as client:
        address = f"{server.base_url}/pages/sign-in?next=/pages/it"
        given = {"csrftoken": token(client, address)}
        assert client.post(address, data=given | {"key": "wrong"}).status_code == 403
        answer = client.post(address, data=given | {"key": key})
        assert (answer.status_code, answer.headers["location"]) == (303, "/pages/it")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        away = f"{server.base_url}/pages/sign-in?next=//evil.example/pages/"
        assert client.post(away, data=given | {"key": key}).headers["location"] == "/pages/"
    remembered = cookie.partition(";")[0]
    assert run(asked_from("192.168.1.20", emulator, "/pages/it", remembered))[0] == 200
    other = Emulator(ManualClock(), control_key="another")
    assert run(asked_from("192.168.1.20", other, "/pages/it", remembered))[0] == 303


def test_no_control_plane_no_pages() -> None:
    """Whoever hides the one hides the other."""
    emulator = Emulator(ManualClock(), control=False)
    assert run(asked_from("127.0.0.1", emulator, "/pages/"))[0] == 404


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator itself needs none of the pages' libraries."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        pages.importlib.util, "find_spec", lambda name: None if name == "starlette_admin" else found(name)
    )
    emulator = Emulator(ManualClock())
    with HttpServer(emulator, mounts={"/pages": Pages(emulator)}) as server:
        answer = httpx.get(f"{server.base_url}/pages/")
    assert answer.status_code == 501
    assert "pip install 'popreceipt[pages]'" in answer.text


def test_what_could_not_be_kept_is_told_and_the_fault_is_kept() -> None:
    """A full disk is a 500 with its reason; the emulator knows of it."""
    emulator = Emulator(ManualClock())
    keeps = [True, True]
    with HttpServer(emulator, mounts={"/pages": Pages(emulator, lambda: keeps.pop())}) as server:
        assert httpx.get(f"{server.base_url}/pages/it").status_code == 200
        keeps.append(False)
        answer = httpx.get(f"{server.base_url}/pages/it")
    assert answer.status_code == 500
    assert "could not be kept" in answer.text
    assert len(emulator.faults) == 1


def test_a_form_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    """Two gigabytes are announced; nothing of them is waited for, and the server goes on."""
    host, _, port = site.root.removeprefix("http://").partition("/")[0].partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("POST", "/pages/projects/new/import")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(2 * 1024**3))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert httpx.get(f"{site.root}/it").status_code == 200


def test_what_is_done_on_a_page_is_kept_before_it_is_answered(tmp_path: Path) -> None:
    """On a durable store the answer leaves with nothing uncommitted behind it, and a restart finds what was done."""

    @contextlib.contextmanager
    def served() -> Iterator[tuple[str, SqliteStore]]:
        with SqliteStore(tmp_path / "data") as store:
            emulator = Emulator(ManualClock(), store=store)
            service = Durable(emulator, store)
            with HttpServer(service, mounts={"/pages": Pages(emulator, service.keep)}) as server:
                yield f"{server.base_url}/pages/it/parameters", store

    with served() as (address, store), httpx.Client() as client:
        given = {"csrftoken": token(client, address), "skip_reprocessing": "yes"}
        assert client.post(address, data=given).status_code == 303
        assert not store.is_uncommitted
        cookies = client.cookies
    with served() as (address, _), httpx.Client(cookies=cookies) as client:
        assert "checked" in client.get(address).text
        # The pages sign with the same secret as before, so a form that was open over the restart still counts.
        assert client.post(address, data=given).status_code == 303


def test_keys_are_compared_and_remembered_only_where_there_is_one() -> None:
    """Without a control key nobody from elsewhere is let in, whatever they give."""
    assert not Key(None, secrets.token_hex()).fits("")
