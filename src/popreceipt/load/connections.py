"""Connections of a load generator: as many as requests are under way, kept for the next, each request sent once.

Locust's fast client would not do. It waits for a connection once its pool is used up, so that arrivals come to depend
on answers; it sends a GET again when a connection closes, and a dequeue sent twice is a message lost to its caller; and
it makes each request's head anew. Failures have the words of `client/transport.py`, in whose place this can be put.
"""

import errno
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import gevent.socket  # type: ignore[import-untyped]  # gevent comes without types
import httptools
from gevent.monkey import get_original  # type: ignore[import-untyped]  # as above

from popreceipt.client.inflow import LONGEST_FILE, BadCoding, Inflow, TooLong
from popreceipt.client.transport import (
    KEPT_IDLE,
    PROTOCOL,
    REFUSED,
    RESET,
    TIMEOUT,
    TOO_LONG,
    TRUNCATED,
    Answer,
    Pairs,
    Transport,
    Verify,
    context,
)
from popreceipt.clock import stopwatch
from popreceipt.exceptions import PopreceiptError, UsageError

_AT_ONCE: Final = 65_536
"""Bytes that are read at once."""

LONGEST_HEAD: Final = 100 * 1024
"""Bytes of an answer's head at most, with interim answers before it; the other client allows as many."""

_INTERIM: Final = 200
"""Statuses below it announce another answer."""

POLLIN: Final = 1
"""There is something to read, in the words of poll(2)."""

_no_line_breaks = re.compile(r"[^\r\n]*").fullmatch
_request_target = re.compile(r"/[!-~]*").fullmatch


class Exhausted(PopreceiptError):
    """This machine gives no more connections: the generator is at its end, and the target is not to blame."""


class Connections(Transport):
    """Connections to whoever is asked for, for the greenlets of one thread.

    Args:
        verify: how certificates are checked.

    Raises:
        UsageError: the file with the certificate authority cannot be used.
    """

    def __init__(self, verify: Verify = None) -> None:
        super().__init__(None, verify)
        self._context = context(verify)
        self._idle: dict[str, deque[_Connection]] = {}
        self.opened = 0

    def close(self) -> None:
        """Close those that are idle."""
        for kept in self._idle.values():
            while kept:
                kept.pop().socket.close()

    def exchange(
        self,
        method: str,
        base: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | Iterable[bytes] = b"",
        timeout: float = 30.0,
        *,
        most: int | None = LONGEST_FILE,
    ) -> Answer:
        """Send one request and read its answer to the end; `timeout` is in real seconds, `most` in bytes of a body.

        Raises:
            UsageError: the request cannot be written as HTTP.
            Exhausted: there are no more connections.
        """
        content = body if isinstance(body, bytes) else b"".join(body)
        return self.call(base, head(method, target, tuple(headers)), content, timeout, most)

    def call(self, base: str, head: bytes, body: bytes, timeout: float, most: int | None = LONGEST_FILE) -> Answer:
        """The same with a head that was written before.

        Raises:
            Exhausted: there are no more connections.
        """
        connection = self._kept(base)
        if connection is None:
            try:
                connection = self._opened(base, timeout)
            except TimeoutError:
                return Answer(None, failure=TIMEOUT)
            except OSError as error:
                if error.errno in _OURS:
                    raise Exhausted(f"This machine gives no more connections ({error.strerror}).") from error
                return Answer(None, failure=REFUSED)
        if connection.socket.gettimeout() != timeout:
            connection.socket.settimeout(timeout)
        reading = _Reading()
        whole = False
        failure: str | None = None
        try:
            _send(connection.socket, head + body if body else head)
            whole = _read(connection.socket, reading, stopwatch() + timeout, most)
            if not whole:
                failure = RESET if reading.status is None else TRUNCATED
        except TimeoutError:
            failure = TIMEOUT
        except OSError:
            failure = RESET if reading.status is None else TRUNCATED
        except httptools.HttpParserError:
            failure = PROTOCOL
        except TooLong:
            failure = TOO_LONG
        finally:
            # Also when the greenlet is ended in the midst of it.
            if whole and reading.stays:
                self._keep(base, connection)
            else:
                connection.socket.close()
        return _answer(reading, failure, most)

    def _kept(self, base: str) -> "_Connection | None":
        """A connection that is idle and alive; the one used last, so that the others can grow old."""
        kept = self._idle.get(base)
        if kept is None:
            kept = self._idle[base] = deque()
        while kept:
            connection = kept.pop()
            if stopwatch() - connection.since < KEPT_IDLE and not connection.speaks():
                return connection
            connection.socket.close()
        return None

    def _keep(self, base: str, connection: "_Connection") -> None:
        """Keep one for the next request, and close those that nobody has needed for long."""
        kept, now = self._idle[base], stopwatch()
        connection.since = now
        kept.append(connection)
        while now - kept[0].since >= KEPT_IDLE:
            kept.popleft().socket.close()

    def _opened(self, base: str, timeout: float) -> "_Connection":
        host, port, secure = _place(base)
        opened = gevent.socket.create_connection((host, port), timeout)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if secure:
                if self._context is None:
                    self._context = ssl.create_default_context()
                opened = self._context.wrap_socket(opened, server_hostname=host)
        except BaseException:
            opened.close()
            raise
        self.opened += 1
        return _Connection(opened)


_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
"""Errors of opening a connection that tell of this machine and not of the target."""


class _Connection:
    __slots__ = ("_ready", "since", "socket")

    def __init__(self, opened: gevent.socket.socket) -> None:
        self.socket = opened
        self.since = 0.0
        self._ready = _watch(opened.fileno())

    def speaks(self) -> bool:
        """Whether there is something to read, which on an idle connection is its end, or something nobody asked for."""
        return self._ready()


def _watch(descriptor: int) -> Callable[[], bool]:
    """Asks the system, not gevent, which would wait for it."""
    try:
        poll = get_original("select", "poll")()
    except AttributeError:  # Windows has none.
        select = get_original("select", "select")
        return lambda: bool(select([descriptor], [], [], 0)[0])
    poll.register(descriptor, POLLIN)
    return lambda: bool(poll.poll(0))


@lru_cache(maxsize=1024)
def head(method: str, target: str, headers: Pairs) -> bytes:
    """Request line and headers as they are sent.

    Raises:
        UsageError: they cannot be written as HTTP.
    """
    if not _request_target(target):
        raise UsageError(f"{target!r} cannot stand in a request line: it should be percent-encoded.")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if not all(map(_no_line_breaks, lines)):
        raise UsageError(f"A header for {target} cannot be written as HTTP: it breaks its line.")
    return "\r\n".join([*lines, "", ""]).encode("utf-8")


def _send(connection: gevent.socket.socket, content: bytes) -> None:
    """Send all of it: as a rule at once, for which `sendall` asks the system for sizes first."""
    sent = connection.send(content)
    if sent < len(content):
        connection.sendall(content[sent:])


class _Reading:
    """An answer as far as it has arrived; its methods are called by the parser."""

    __slots__ = ("done", "headers", "parser", "parts", "status", "stays")

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.parts: list[bytes] = []
        self.done = False
        self.stays = False
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append(_header(name, value))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        if self.status is not None and self.status < _INTERIM:
            self.status = None
            self.headers = []
            return
        self.done = True
        self.stays = self.parser.should_keep_alive()


def _read(connection: gevent.socket.socket, reading: _Reading, deadline: float, most: int | None) -> bool:
    """Read until the answer is whole; whether it is.

    Raises:
        TimeoutError: it takes too long.
        OSError: the connection broke.
        httptools.HttpParserError: what arrives is no HTTP.
        TooLong: there is no end to it.
    """
    feed = reading.parser.feed_data
    came = 0
    while True:
        data = connection.recv(_AT_ONCE)
        if not data:
            # Without a length the end of the connection is the answer's.
            return reading.status is not None and not any(name in _FRAMING for name, _ in reading.headers)
        feed(data)
        if reading.done:
            return True
        came += len(data)
        if came > LONGEST_HEAD and reading.status is None:
            raise httptools.HttpParserError("a head that does not end")
        if most is not None and came > most + LONGEST_HEAD:
            raise TooLong
        if stopwatch() > deadline:
            raise TimeoutError


_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


def _answer(reading: _Reading, failure: str | None, most: int | None) -> Answer:
    inflow = Inflow(reading.headers, most)
    try:
        for each in reading.parts:
            inflow.take(each)
        if failure is None:
            inflow.end()
    except TooLong:
        failure = failure or TOO_LONG
    except BadCoding:
        failure = failure or PROTOCOL
    return Answer(reading.status, tuple(reading.headers), inflow.content(), failure, inflow.came)


@lru_cache(maxsize=4096)
def _header(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1").lower(), value.decode("latin-1")


@lru_cache(maxsize=64)
def _place(base: str) -> tuple[str, int, bool]:
    parts = urlsplit(base)
    if parts.hostname is None:
        raise UsageError(f"{base!r} names no host.")
    secure = parts.scheme == "https"
    return parts.hostname, parts.port or (443 if secure else 80), secure
