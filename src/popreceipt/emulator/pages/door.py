"""Who may see the pages, and what every answer says to the browser.

Callers on this computer come in as they are, others with the control key, which they give once: a signed cookie says
so from then on. A page on the web must not reach the pages through a browser on this computer: only names that the
server is known by are answered to (a foreign name that was made to point here is not), and whatever changes something
needs a token that only our own pages have.
"""

import hmac
import ipaddress
import socket
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_admin.cookies import SignedCookie

from popreceipt.emulator.pages import ROOT

if TYPE_CHECKING:
    from popreceipt.emulator.emulator import Emulator

SIGN_IN: Final = f"{ROOT}/sign-in"
STATIC: Final = f"{ROOT}/static"

COOKIE: Final = "popreceipt_pages"
STAY: Final = 12 * 60 * 60
"""Seconds for which a caller who gave the key need not give it again."""

LARGEST_FORM: Final = 64 * 1024 * 1024
"""The most bytes that one form may send, its files included. No more is read, so what is said is said at once."""

_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def policy(*styles: str) -> str:
    """Nothing from elsewhere, no script and no style inside a page, no page inside another.

    A page that needs more says so in its own answer: `styles` are further sources of styles.
    """
    allowed = " ".join(["'self'", *styles])
    return (
        f"default-src 'none'; script-src 'self'; style-src {allowed}; img-src 'self' data:; font-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


_HEADERS: Final = {
    "content-security-policy": policy(),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


_OF_HOSTS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:[]%")


class Key:
    """The control key, and the cookie that stands for it once it was given."""

    def __init__(self, control_key: str | None, secret: str) -> None:
        self._control_key = control_key
        self._cookie = SignedCookie(secret, salt="popreceipt-pages", timed=True, max_age=STAY)

    def fits(self, given: str) -> bool:
        """Whether this is the key."""
        key = self._control_key
        return key is not None and hmac.compare_digest(given.encode("utf-8"), key.encode("utf-8"))

    def remember(self, response: Response, *, secure: bool) -> None:
        """Let the browser of this answer in from now on."""
        response.set_cookie(
            COOKIE, self._cookie.dumps("in"), max_age=STAY, path=ROOT, httponly=True, samesite="strict", secure=secure
        )

    def is_remembered(self, connection: HTTPConnection) -> bool:
        """Whether this browser has given the key."""
        return self._control_key is not None and self._cookie.loads(connection.cookies.get(COOKIE, "")) == "in"


class Door:
    """What stands before the pages. A fault of theirs is kept with the emulator's own."""

    def __init__(self, pages: ASGIApp, emulator: "Emulator", key: Key) -> None:
        self._pages = pages
        self._emulator = emulator
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to the pages, or say why not."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                ours = [(name, value) for name, value in _headers(scope) if name not in given]
                message["headers"] = [*message["headers"], *ours]
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        if refusal is not None:
            await refusal(scope, receive, with_headers)
            return
        try:
            await self._pages(scope, receive, with_headers)
        except Exception as fault:  # noqa: BLE001 - the caller has a 500 already; the fault is kept
            self._emulator.faults.append(fault)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        path = connection.scope["path"]
        if not self._emulator.control:
            return PlainTextResponse("There is nothing here.", 404)
        if not _is_known(_name(connection.headers.get("host", "")), self._emulator.base_url):
            return PlainTextResponse("This server is not known by that name. Use its own address, or --base-url.", 421)
        if connection.scope["method"] not in _WITHOUT_BODY:
            length = connection.headers.get("content-length", "")
            if not length.isdecimal():
                return PlainTextResponse("The length of the form must be announced.", 411)
            if int(length[:20]) > LARGEST_FORM:
                return PlainTextResponse(f"A form has at most {LARGEST_FORM:,} bytes, its files included.", 413)
        client = connection.client
        if client is not None and _is_loopback(client.host):
            return None
        if path == SIGN_IN or path.startswith(f"{STATIC}/") or self._key.is_remembered(connection):
            return None
        return RedirectResponse(f"{SIGN_IN}?next={quote(path)}", 303)


def _headers(scope: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    # Static files are asked for again by their ETag, so that another version is seen at once; pages are never kept.
    caching = "no-cache" if scope["path"].startswith(f"{STATIC}/") else "no-store"
    headers = {**_HEADERS, "cache-control": caching}
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    if not set(host) <= _OF_HOSTS:
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # a bracket without its other
        return ""


def _is_known(name: str, base_url: str) -> bool:
    """Whether a server of this base URL may be called so: by its own name, the computer's, or any address."""
    known = {"localhost", socket.gethostname().lower(), urlsplit(base_url).hostname}
    return name in known or _is_address(name)


def _is_address(name: str) -> bool:
    # A browser sends an address only where somebody typed one: no name was made to point here.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
