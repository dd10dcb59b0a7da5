"""HTTP/1.1 on one connection, with the short way for plain requests.

uvicorn's protocol does the parsing, and all of the longer way. A client that keeps its connection sends the same heads
again and again: one that was parsed before, byte for byte, need not be parsed anew.
"""

import asyncio
import functools
import re
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.server.application import ANSWERED, CONNECTION, Application, host_of, name_of
from popreceipt.emulator.server.door import is_loopback
from popreceipt.emulator.server.heads import Head

LONGEST_HEAD: Final = 65_536
"""Bytes that may arrive, beyond the first that are read at once, in the middle of a head (or of a body's trailers)."""

IDLE: Final = 120
"""Real seconds an idle connection is kept, as IIS does: a client's pool should not meet closed doors."""


class HttpProtocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """uvicorn's protocol, with the short way for plain requests.

    On the longer way it tells the application its connection, for faults that ASGI has no words for.
    """

    def __init__(self, config: uvicorn.Config, *arguments: Any, **named: Any) -> None:
        super().__init__(config, *arguments, **named)
        self._application = cast(Application, config.app)
        self._known = self._application.known
        self._buffer = self._application.buffer
        self._is_local = False
        # Whether nothing of the next request has come, so that its head may be one that is known.
        self._is_between = True
        self._chunk = b""
        self._parts: list[bytes] | None = None
        # An answer that was made on the short way and has to take the longer one back.
        self._response: Response | None = None
        self._heard = 0.0
        # Bytes since a request or a part of its body began: the parser remembers them all.
        self._headers_since = 0
        self._ends = False
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Somebody has connected."""
        super().connection_made(transport)
        self._is_local = self.client is not None and is_loopback(self.client[0])
        self._watch = self.loop.call_later(IDLE, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where what arrives is put. All connections have the same: each takes its own out before another reads."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take out what has arrived."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived: a request that begins as one before it, or something for the parser."""
        self._heard = self.loop.time()
        starts = False  # a head, and it goes on
        if self._is_between:
            end = data.find(b"\r\n\r\n") + 4
            head = self._known.get(data[:end])
            if head is not None and len(data) - end == head.length and self._is_free():
                self._unset_keepalive_if_required()
                self._response = self._answer(head, data[end:])
                if self._response is None:
                    return
                # It takes the longer way back, and for that it has to be parsed.
            self._chunk = data
            starts = end < 4
        self._headers_since += len(data)
        super().data_received(data)
        self._chunk = b""
        if starts:
            self._headers_since = len(data)
        if self._headers_since > LONGEST_HEAD and not self._is_between and not self.transport.is_closing():
            self._application.outbox.flush()
            self.transport.write(_HEAD_TOO_LONG)
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, but never where the answer to a request before it should stand."""
        self._application.outbox.flush()
        if self._is_free() or self.cycle.more_body:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """The server ends: so does the connection, once the request that is under way was answered."""
        self._application.outbox.flush()
        if self._parts is None:
            super().shutdown()
        else:
            self._ends = True

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_between = False
        self._headers_since = 0
        # The scope that ASGI wants is made once it is known to be needed.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Choose its way."""
        if self._response is None and self._is_plain():
            self._parts = []
        else:
            self._start_by_asgi()

    def on_body(self, body: bytes) -> None:
        """Take in a part of its body."""
        self._headers_since = 0
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer it, if it takes the short way."""
        self._is_between = True
        if self._parts is not None:
            parts, self._parts = self._parts, None
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._response = self._answer(self._head_before(body), body)
            is_answered = self._response is None
            if not is_answered:
                self._start_by_asgi()
            if self._ends:
                self.shutdown()
            if is_answered:
                return
        super().on_message_complete()

    def _head_before(self, body: bytes) -> Head:
        """The head that was parsed. It is remembered where it came alone, in one piece with its body."""
        path, _, query = self.url.decode("ascii").partition("?")
        headers = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers])
        host = host_of(headers)
        method = self.parser.get_method().decode("ascii")
        head = Head(method, path, query, headers, name_of(self.server) if host is None else host, len(body))
        end = self._chunk.find(b"\r\n\r\n") + 4
        if len(self._chunk) == end + len(body) and host is not None:
            self._known.remember(self._chunk[:end], head)
        return head

    def _is_free(self) -> bool:
        """Whether an answer can go at once: none is still to come for a request before, and the client takes them."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _is_plain(self) -> bool:
        """Whether a request needs nothing but an answer; one that is odd in any way takes the longer way."""
        url, length = self.url, 0
        for name, value in self.headers:
            if name in _ASKS_MORE:
                return False
            if name == b"content-length":
                length = int(value)
        return (
            self._is_free()
            and url.startswith(b"/")
            and not url.startswith(b"//")
            and url.isascii()
            and b"#" not in url
            and length <= self._application.service.profile.body_limit
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() != "1.0"  # which would want to be told that the connection stays
            and self._application.mounted(url.decode("ascii")) is None
        )

    def _start_by_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        response, self._response = self._response, None
        self.scope["extensions"] = {CONNECTION: {"transport": self.transport}}
        if response is not None:
            self.scope["extensions"][ANSWERED] = {"response": response}
        super().on_headers_complete()
        # What a body trails behind it are no headers, whether it has come by now or not (RFC 9110, section 6.5.1).
        self.headers = []

    def _answer(self, head: Head, body: bytes) -> Response | None:
        """Answer a plain request; the answer comes back where it needs the longer way."""
        method, path, query, headers, host, _ = head
        application = self._application
        request = Request(method, path, query, headers, body, self.scheme or "http", host, self._is_local)
        try:
            response = application.service.handle(request)
        except Exception:
            # As on the longer way. It must not be taken for a fault of what the client has sent.
            self.logger.exception("The service failed.")
            response = Response(500)
        lines = None if response.interruption is not None else _plain_headers(response.headers)
        if lines is None:
            return response
        self.server_state.total_requests += 1
        content = b"" if method == "HEAD" else response.body
        length = b"" if response.status in _WITHOUT_LENGTH else b"content-length: %d\r\n" % len(response.body)
        application.outbox.send(
            self.transport,
            b"%b%b%bdate: %b\r\n\r\n%b" % (STATUS_LINE[response.status], lines, length, application.date(), content),
            alone=len(self.connections) == 1,
        )
        return None

    def _close_if_idle(self) -> None:
        """Close a connection on which nothing has come for long, unless a request is under way; else look later."""
        under_way = self._parts is not None or (self.cycle is not None and not self.cycle.response_complete)
        left = IDLE if under_way else self._heard + IDLE - self.loop.time()
        if left <= 0:
            self.transport.close()
        else:
            self._watch = self.loop.call_later(left, self._close_if_idle)


_HEAD_TOO_LONG: Final = STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n"

_ASKS_MORE: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade"})

_SENT_BY_US: Final = frozenset({"connection", "content-length", "date", "transfer-encoding"})

_WITHOUT_LENGTH: Final = frozenset({204, 304})

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
