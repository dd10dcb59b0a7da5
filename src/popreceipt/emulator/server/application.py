"""The bare ASGI application around a service: the longer way, on which everything can be answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.server.door import is_loopback
from popreceipt.emulator.server.heads import KnownHeads
from popreceipt.emulator.server.outbox import Outbox
from popreceipt.emulator.server.service import Service
from popreceipt.emulator.server.wire import Receive, Send, Wire
from popreceipt.emulator.store import NotKept

CONNECTION: Final = "popreceipt.connection"
"""The ASGI extension under which the connection itself stands."""

ANSWERED: Final = "popreceipt.answered"
"""The ASGI extension under which the answer stands where a plain request turns out to need the longer way back."""

READ: Final = 256 * 1024
"""Bytes that are read at once, at most."""

Scope = dict[str, Any]

Mounted = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application, of whatever make."""


class Application:
    """The bare ASGI application around a service; it has what both ways through the server share."""

    def __init__(self, service: Service, mounts: Mapping[str, Mounted] | None = None) -> None:
        self.service = service
        self.outbox = Outbox(service)
        self.known = KnownHeads()
        self.buffer = memoryview(bytearray(READ))
        self._mounts = tuple((mounts or {}).items())
        self._date = b""
        self._second = datetime.min.replace(tzinfo=UTC)
        self._next_second = self._second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Of a client that leaves before its request is complete, nothing is handed over."""
        if scope["type"] != "http":
            return
        mounted = self.mounted(scope["raw_path"].decode("latin-1"))
        if mounted is not None:
            await mounted(scope, receive, self._once_kept(send))
            return
        answered = scope.get("extensions", {}).get(ANSWERED)
        response: Response | None = answered and answered["response"]
        oversize = False
        if response is None:
            headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
            body, oversize = await _body_of(dict(headers), receive, self.service.profile.body_limit)
            if body is None:
                return
            # It may or may not send the body now: only a closed connection is clear (RFC 9110, section 10.1.1).
            oversize = oversize and any(name == "expect" for name, _ in headers)
            path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
            response = self.service.handle(
                _request(scope["method"], path, query, headers, body, scope["scheme"], scope["server"], scope["client"])
            )
        wire: Wire | None = None
        if response.interruption is not None:
            connection: asyncio.Transport = scope["extensions"][CONNECTION]["transport"]
            wire = Wire(connection, receive, send)
            taken_up = await wire.taken_up(response)
            if taken_up is None:
                self.outbox.keep()
                return
            response = taken_up
        if not self.outbox.keep() and response.interruption is None:
            response = Response(500)
        sent = [*self.headers_of(response), (b"connection", b"close")] if oversize else self.headers_of(response)
        head = {"type": "http.response.start", "status": response.status, "headers": sent}
        if wire is not None and response.interruption is not None:
            await wire.interrupt(response.interruption, head, response.body)
            return
        await send(head)
        await send({"type": "http.response.body", "body": response.body})

    def _once_kept(self, send: Send) -> Send:
        """The way back for an application beside the service: what it did there is kept before it answers."""

        async def kept(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and not self.outbox.keep():
                raise NotKept("What was done beside the service could not be kept.")
            await send(message)

        return kept

    def mounted(self, path: str) -> Mounted | None:
        """The application that answers in the service's stead below this path; a query behind it does not matter."""
        for root, application in self._mounts:
            if path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/", "?"}:
                return application
        return None

    def headers_of(self, response: Response) -> list[tuple[bytes, bytes]]:
        """The headers of an answer as they are sent: its own, its length, the date."""
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        named = {name for name, _ in sent}
        if b"content-length" not in named and response.status not in {204, 304}:
            sent.append((b"content-length", b"%d" % len(response.body)))
        if b"date" not in named:
            sent.append((b"date", self.date()))
        return sent

    def date(self) -> bytes:
        """The service's time as an HTTP date, so that a client of a fast clock can tell what time it is there."""
        now = self.service.clock.now()
        if not self._second <= now < self._next_second:
            self._second = now.replace(microsecond=0)
            self._next_second = self._second + timedelta(seconds=1)
            self._date = format_datetime(self._second, usegmt=True).encode("ascii")
        return self._date


def _request(
    method: str,
    path: str,
    query: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    scheme: str,
    server: tuple[str, int | None] | None,
    client: tuple[str, int] | None,
) -> Request:
    local = client is not None and is_loopback(client[0])
    host = host_of(headers)
    return Request(method, path, query, headers, body, scheme, name_of(server) if host is None else host, local)


def host_of(headers: tuple[tuple[str, str], ...]) -> str | None:
    """The host that a request names, if it does."""
    for name, value in headers:
        if name == "host":
            return value
    return None


def name_of(server: tuple[str, int | None] | None) -> str:
    """What a server is called that the request does not name."""
    return "" if server is None else f"{server[0]}:{server[1]}"


async def _body_of(headers: dict[str, str], receive: Receive, limit: int) -> tuple[bytes | None, bool]:
    """The body, and whether it is over the limit.

    Of a body over the limit nothing is read when its length was announced, and one byte more than the limit otherwise:
    enough for the service to see that it is too long. None when the client left.
    """
    length = headers.get("content-length")
    if length is not None and int(length) > limit:
        return b"", True
    if length is None and "transfer-encoding" not in headers:
        return b"", False
    parts: list[bytes] = []
    total = 0
    while total <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, False
        parts.append(message.get("body", b""))
        total += len(parts[-1])
        if not message.get("more_body", False):
            break
    whole = parts[0] if len(parts) == 1 else b"".join(parts)
    return whole[: limit + 1], total > limit
