"""The emulator behind a socket: HTTP/1.1, with TLS where it is wanted.

It turns what arrives into a `Request`, hands it over, and sends what comes back. It knows sockets, certificates and
signals; it knows no route and judges no request, save that it stops reading a body that is over the limit and lets
the emulator say so.

There are two ways through it, and they answer alike. A plain request (all that matters has arrived, nothing is asked
of the connection) is answered as soon as its last byte is there, without a task of its own: that halves what a request
costs. Everything else takes the way of ASGI, with which applications can be mounted beside the service as well.
"""

import asyncio
import contextlib
import copy
import functools
import ipaddress
import os
import re
import signal
import socket
import ssl
import struct
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from email.utils import format_datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Protocol, Self, cast, runtime_checkable
from urllib.parse import urlsplit

import trustme
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import HANDLED_SIGNALS

from popreceipt.clock import Clock
from popreceipt.emulator.http import Interruption, Request, Response
from popreceipt.emulator.store import NotKept
from popreceipt.exceptions import UsageError

DRIPS: Final = 20
"""In how many pieces, at most, a slow answer is sent."""

_CONNECTION: Final = "popreceipt.connection"
"""The ASGI extension under which the connection itself stands."""

_ANSWERED: Final = "popreceipt.answered"
"""The ASGI extension under which the answer stands where a plain request turns out to need the longer way back."""

GRACE: Final = 2.0
"""Real seconds that a request under way is given at the end; after that its connection is cut."""

LONGEST_HEAD: Final = 65_536
"""Bytes that may arrive before the head of a request (its first line and its headers) is complete."""

IDLE: Final = 120
"""Real seconds an idle connection is kept, as IIS does: a client's pool should not meet closed doors."""

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]

Mounted = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application, of whatever make."""


class Limits(Protocol):
    """The one thing that the server asks of a profile."""

    @property
    def body_limit(self) -> int:
        """The longest request body in bytes."""


class Service(Protocol):
    """What can be served: the emulator, as far as the server needs it."""

    base_url: str

    @property
    def clock(self) -> Clock:
        """The clock whose time the answers' `Date` shows."""

    @property
    def profile(self) -> Limits:
        """The profile in force."""

    def handle(self, request: Request) -> Response:
        """The answer to one request."""


@runtime_checkable
class Grouping(Protocol):
    """A service that makes the effects of several requests durable together."""

    def keep(self) -> bool:
        """Make durable what was answered so far; no answer is sent before.

        False says that it could not be, and that nothing of it was done: the answer to all of it is a bare 500.
        """


@runtime_checkable
class Deferring(Protocol):
    """A service that leaves work for later while it answers."""

    def catch_up(self) -> None:
        """Do what was left. Called when the answers are on their way."""


class HttpServer:
    """One service on one port. Making it takes the port; `run` or `start` opens the doors.

    As a context manager it serves from a thread for as long as the block lasts.

    Args:
        service: what to serve. Its `base_url` is set here, since the port may be known only now.
        host: address or name to listen on.
        port: 0 picks a free one.
        tls: speak TLS, with a certificate of an authority made on the spot.
        ca_file: where to write that authority's certificate; a temporary file that goes with the server otherwise.
        base_url: what clients call the server by, where that is not its own address (a container, a proxy).
        mounts: ASGI applications by the path below which they answer in the service's stead.
        door: an address that was taken before, instead of one by the arguments above.

    Raises:
        UsageError: the address cannot be listened on, or the authority's certificate cannot be written.
    """

    def __init__(
        self,
        service: Service,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        ca_file: Path | None = None,
        base_url: str | None = None,
        mounts: Mapping[str, Mounted] | None = None,
        door: "Door | None" = None,
    ) -> None:
        self._door = door or Door(host=host, port=port, tls=tls, ca_file=ca_file, base_url=base_url)
        self.port = self._door.port
        self.base_url = self._door.base_url
        self.ca_file = self._door.ca_file
        service.base_url = self.base_url
        self._server = _Server(_configuration(Application(service, mounts), self._door.context))
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve in this thread until a signal (in the main thread) or `stop` (from another) ends it.

        `on_ready` is called once requests are accepted.
        """
        if on_ready is not None:
            self._server.on_ready = on_ready
        try:
            self._server.run(sockets=[self._door.socket])
        finally:
            self.close()

    def start(self) -> None:
        """Serve from a thread; returns once requests are accepted."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run_in_thread, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """End what `start` or `run` began, and wait for a thread's end."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Give up the port and the temporary file; `run` and the context manager do so by themselves."""
        self._door.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run_in_thread(self, ready: threading.Event) -> None:
        try:
            self.run(ready.set)
        except BaseException as error:  # noqa: BLE001  handed to whoever waits in start()
            self._fault = error
        finally:
            ready.set()


class Door:
    """An address that was taken, with its certificate where TLS is wanted.

    With `shared` several processes may come in by it: each by one of its `own`.

    Raises:
        UsageError: the address cannot be listened on, or the authority's certificate cannot be written.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: bool = False,
        ca_file: Path | None = None,
        base_url: str | None = None,
        shared: bool = False,
    ) -> None:
        self._host = host
        self.socket = _listening(host, port)
        self.port: int = self.socket.getsockname()[1]
        if shared and _SPREADS:
            # It is known now that nobody else has this port; from here on the processes of this service have it.
            self.socket.close()
            self.socket = _listening(host, self.port, shared=True, open_now=False)
        scheme = "https" if tls else "http"
        self.base_url = (base_url or f"{scheme}://{_name_for(host)}:{self.port}").rstrip("/")
        self.ca_file: Path | None = None
        self.context: ssl.SSLContext | None = None
        self._ca_file_is_ours = tls and ca_file is None
        if tls:
            try:
                self.ca_file = ca_file if ca_file is not None else _temporary_file()
                self.context = _tls_context(self.ca_file, host, urlsplit(self.base_url).hostname or "localhost")
            except OSError as error:
                self.socket.close()
                raise UsageError(
                    f"Cannot write the certificate authority to {ca_file}: {error.strerror or error}."
                ) from error

    def own(self) -> Self:
        """The same address for one of the processes that share it. It leaves to the others what is theirs.

        On Linux the kernel spreads connections evenly over sockets that share a port; over processes that share a
        socket it does not. Elsewhere they share the socket.
        """
        mine = copy.copy(self)
        mine._ca_file_is_ours = False  # noqa: SLF001 - one of us
        if _SPREADS:
            mine.socket = _listening(self._host, self.port, shared=True)
        return mine

    def close(self) -> None:
        """Give up the port and the temporary file."""
        self.socket.close()
        if self._ca_file_is_ours and self.ca_file is not None:
            self.ca_file.unlink(missing_ok=True)


class Application:
    """The bare ASGI application around a service; it has what both ways through the server share."""

    def __init__(self, service: Service, mounts: Mapping[str, Mounted] | None = None) -> None:
        self.service = service
        self.outbox = _Outbox(service)
        self._mounts = tuple((mounts or {}).items())
        self._date = (0.0, b"")

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request. Of a client that leaves before its request is complete, nothing is handed over."""
        if scope["type"] != "http":
            return
        mounted = self.mounted(scope["raw_path"].decode("latin-1"))
        if mounted is not None:
            await mounted(scope, receive, self._once_kept(send))
            return
        answered = scope.get("extensions", {}).get(_ANSWERED)
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
        if not self.outbox.keep() and response.interruption is None:
            response = Response(500)
        sent = [*self.headers_of(response), (b"connection", b"close")] if oversize else self.headers_of(response)
        head = {"type": "http.response.start", "status": response.status, "headers": sent}
        if response.interruption is not None:
            connection: asyncio.Transport = scope["extensions"][_CONNECTION]["transport"]
            wire = _Wire(connection, receive, send)
            await wire.interrupt(response.interruption, head, response.body)
            return
        await send(head)
        await send({"type": "http.response.body", "body": response.body})

    def _once_kept(self, send: _Send) -> _Send:
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
        second = now.timestamp() // 1
        if self._date[0] != second:
            self._date = (second, format_datetime(now.replace(microsecond=0), usegmt=True).encode("ascii"))
        return self._date[1]


class _Outbox:
    """Where answers wait until what they say is kept: those of one turn of the event loop together.

    Sending them together saves more than commits. A client that sleeps is woken by the first, and is awake for the
    others; with sixteen connections that is a fifth of what a request costs.
    """

    def __init__(self, service: Service) -> None:
        self._service = service if isinstance(service, Grouping) else None
        self._left = service if isinstance(service, Deferring) else None
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def keep(self) -> bool:
        """Keep now what was done so far, and say whether it was."""
        return self._service is None or self._service.keep()

    def send(self, connection: asyncio.Transport, answer: bytes, *, alone: bool) -> None:
        """Send an answer once its effects are kept. `alone` says that there is no other connection to wait for."""
        self._waiting.append((connection, answer))
        if alone:
            self._keep_and_send()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._keep_and_send)

    def _keep_and_send(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            kept = self.keep()
        except Exception:
            # Nobody may be told of what is not kept: to a caller whose connection ends, everything is open.
            for connection, _ in waiting:
                connection.abort()
            raise
        for connection, answer in waiting:
            if not connection.is_closing():
                connection.write(answer if kept else _NOT_KEPT)
        if self._left is not None:
            self._left.catch_up()


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
    local = client is not None and _is_loopback(client[0])
    return Request(method, path, query, headers, body, scheme, _host_of(headers, server), local)


def _host_of(headers: tuple[tuple[str, str], ...], server: tuple[str, int | None] | None) -> str:
    for name, value in headers:
        if name == "host":
            return value
    return "" if server is None else f"{server[0]}:{server[1]}"


class _Wire:
    """The way back of one answer that is not to arrive as it should.

    ASGI knows no connection, so the protocol hands it over (`_Protocol`). Whatever is done to it, its end is waited
    for: an application that returns before without an answer has one made up for it.
    """

    def __init__(self, connection: asyncio.Transport, receive: _Receive, send: _Send) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send

    async def interrupt(self, interruption: Interruption, head: dict[str, Any], body: bytes) -> None:
        """Do to the answer what was planned."""
        match interruption.kind:
            case "reset":
                _reset(self._connection)
            case "timeout":
                await self._is_left(interruption.seconds)
                self._connection.close()
            case "truncated":
                await self._send(head)
                await self._send(_piece(body[: interruption.after_bytes], more=True))
                self._connection.close()
            case "slow":
                await self._drip(head, body, interruption.seconds)
                return
        await self._is_left(None)

    async def _drip(self, head: dict[str, Any], body: bytes, seconds: float) -> None:
        """Send head and body in equal pieces at equal distances, the last at the end of the time."""
        pieces = min(len(body), DRIPS)
        await self._send(head)
        for number in range(pieces):
            if await self._is_left(seconds / pieces):
                return
            piece = body[len(body) * number // pieces : len(body) * (number + 1) // pieces]
            await self._send(_piece(piece, more=number + 1 < pieces))
        if not pieces and not await self._is_left(seconds):
            await self._send(_piece(b"", more=False))

    async def _is_left(self, seconds: float | None) -> bool:
        """Whether the connection ends within so many real seconds; None waits until it does."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        return True


def _piece(content: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def _reset(connection: asyncio.Transport) -> None:
    """Close with an RST, as the kernel of a crashing server does: that is what closing without lingering means."""
    held = socket.socket(fileno=connection.get_extra_info("socket").fileno())
    try:
        # Windows has two short integers there (winsock's `struct linger`), everybody else two ordinary ones.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    finally:
        held.detach()
    connection.abort()


async def _body_of(headers: dict[str, str], receive: _Receive, limit: int) -> tuple[bytes | None, bool]:
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


@functools.lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def is_loopback_host(host: str) -> bool:
    """Whether an address or name to listen on is reached from this computer alone."""
    return host.lower() == "localhost" or _is_loopback(host)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with the short way for plain requests.

    On the longer way it tells the application its connection, for faults that ASGI has no words for.
    """

    def __init__(self, config: uvicorn.Config, *arguments: Any, **named: Any) -> None:
        super().__init__(config, *arguments, **named)
        self._application = cast(Application, config.app)
        self._parts: list[bytes] | None = None
        self._heard = 0.0
        self._in_head = False
        self._head = 0
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._watch = self.loop.call_later(IDLE, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        if self._in_head:
            self._head += len(data)
            if self._head > LONGEST_HEAD:
                self.transport.write(_HEAD_TOO_LONG)
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head = 0
        # The scope that ASGI wants is made once it is known to be needed.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._is_plain():
            self._parts = []
        else:
            self._start_by_asgi()

    def on_body(self, body: bytes) -> None:
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._parts is None:
            super().on_message_complete()
            return
        parts, self._parts = self._parts, None
        self._answer(parts[0] if len(parts) == 1 else b"".join(parts))

    def _is_plain(self) -> bool:
        """Whether a request needs nothing but an answer; one that is odd in any way takes the longer way."""
        url, length = self.url, 0
        for name, value in self.headers:
            if name in _ASKS_MORE:
                return False
            if name == b"content-length":
                length = int(value)
        return (
            (self.cycle is None or self.cycle.response_complete)  # else one that came before is still to be answered
            and not self.flow.write_paused
            and url.startswith(b"/")
            and not url.startswith(b"//")
            and url.isascii()
            and b"#" not in url
            and length <= self._application.service.profile.body_limit
            and self.parser.should_keep_alive()
            and self._application.mounted(url.decode("ascii")) is None
        )

    def _start_by_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        self.scope["extensions"] = {_CONNECTION: {"transport": self.transport}}
        super().on_headers_complete()

    def _answer(self, body: bytes) -> None:
        path, _, query = self.url.decode("ascii").partition("?")
        method = self.parser.get_method().decode("ascii")
        headers = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers])
        request = _request(method, path, query, headers, body, self.scheme or "http", self.server, self.client)
        response = self._application.service.handle(request)
        lines = None if response.interruption is not None else _plain_headers(response.headers)
        if lines is None:
            self._start_by_asgi()
            self.scope["extensions"][_ANSWERED] = {"response": response}
            super().on_message_complete()
            return
        self.server_state.total_requests += 1
        content = b"" if method == "HEAD" else response.body
        length = b"" if response.status in {204, 304} else b"content-length: %d\r\n" % len(response.body)
        date = self._application.date()
        self._application.outbox.send(
            self.transport,
            b"%b%b%bdate: %b\r\n\r\n%b" % (STATUS_LINE[response.status], lines, length, date, content),
            alone=len(self.connections) == 1,
        )

    def _close_if_idle(self) -> None:
        """Close a connection on which nothing has come for long, unless a request is under way; else look later."""
        under_way = self._parts is not None or (self.cycle is not None and not self.cycle.response_complete)
        left = IDLE if under_way else self._heard + IDLE - self.loop.time()
        if left <= 0:
            self.transport.close()
        else:
            self._watch = self.loop.call_later(left, self._close_if_idle)


_HEAD_TOO_LONG: Final = STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n"

_NOT_KEPT: Final = STATUS_LINE[500] + b"content-length: 0\r\n\r\n"

_ASKS_MORE: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade"})

_SENT_BY_US: Final = frozenset({"connection", "content-length", "date", "transfer-encoding"})

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@functools.lru_cache(maxsize=1024)
def _plain_headers(headers: tuple[tuple[str, str], ...]) -> bytes | None:
    """Headers as they are sent; None where one is not plain text or of those that the server itself answers for."""
    lines = []
    for name, value in headers:
        lower = name.lower()
        if lower in _SENT_BY_US or not _TOKEN.fullmatch(lower) or not _VALUE.fullmatch(value):
            return None
        lines.append(f"{lower}: {value}\r\n".encode("latin-1"))
    return b"".join(lines)


class _Server(uvicorn.Server):
    """uvicorn's server with three differences.

    It says when it is ready; a signal ends it with nothing raised afterwards, so that the command may end with 0; and
    at the end it waits a moment for requests under way, but not for a client that went silent in the middle of one.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.on_ready: Callable[[], None] = lambda: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cut = asyncio.get_running_loop().call_later(GRACE, self._cut_connections)
        try:
            await super().shutdown(sockets=sockets)
        finally:
            cut.cancel()

    def _cut_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def _configuration(application: Application, context: ssl.SSLContext | None) -> uvicorn.Config:
    configuration = uvicorn.Config(
        application,
        interface="asgi3",
        loop="asyncio",  # uvloop, measured on the short way, is no faster; so everybody has the same one
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=IDLE,
    )
    configuration.load()
    configuration.ssl = context  # made in memory: uvicorn's own options want files
    return configuration


_SPREADS: Final = sys.platform == "linux"
"""Whether the system spreads connections over sockets that share a port."""


def _listening(host: str, port: int, *, shared: bool = False, open_now: bool = True) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        if open_now:
            listening = socket.create_server(address[:2], family=family, backlog=2048, reuse_port=shared)
        else:
            # A socket that does not listen takes the port without taking connections.
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(address)
        # Accepted connections inherit it. An event loop sets it by itself only on sockets of its own making, and
        # without it each answer waits some forty milliseconds for the caller's delayed acknowledgment.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}."
            " Choose another with --host and --port; port 0 picks a free one."
        ) from error
    return listening


def _name_for(host: str) -> str:
    """What an URL calls this host; for an address that stands for all of them, the computer's name."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104  recognised, not listened on
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _temporary_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="popreceipt-ca-", suffix=".pem")
    os.close(handle)
    return Path(name)


def _tls_context(ca_file: Path, *hosts: str) -> ssl.SSLContext:
    """A context with a certificate for these hosts and the computer's own names; the authority goes to the file."""
    authority = trustme.CA(organization_name="popreceipt", organization_unit_name="a test run's own authority")
    names = dict.fromkeys([*hosts, "localhost", "127.0.0.1", "127.0.0.2", "::1", socket.gethostname()])
    certificate = authority.issue_cert(*(name for name in names if name))
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    certificate.configure_cert(context)
    return context
