"""The one module that knows httpx: bytes out, bytes in, and a word for each way to fail.

It follows no redirect, keeps no cookie, reads no proxy from the environment and never repeats a request: what a server
does must be visible. It knows nothing of activities, journals or time.
"""

import re
import ssl
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import httpcore
import httpx

from popreceipt.client.inflow import LONGEST_FILE, BadCoding, Inflow, TooLong
from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError

Verify = ssl.SSLContext | Path | None
"""How a server's certificate is checked: with this context, with the authority in this file, or as usual (None)."""

Network = httpx.BaseTransport
"""What may stand in for the network: a server in this process, a fake."""

# The journal's words for a request that got no whole answer.
TIMEOUT: Final = "timeout"
RESET: Final = "reset"
TRUNCATED: Final = "truncated"
REFUSED: Final = "refused"
PROTOCOL: Final = "protocol"
TOO_LONG: Final = "too-long"

KEPT_IDLE: Final = 1.5
"""Seconds an idle connection is kept: less than servers do (five and more), so that none is reused while it closes."""

LONGEST_TARGET: Final = 60_000
"""Characters of a path and query at most: a location that a server hands out may be longer, and goes nowhere then."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the answer, or a `failure` with as much of the answer as had arrived (perhaps no status).

    Header names are in lower case, in the order of arrival. A compressed body is unpacked (gzip and deflate). Of one
    that was too long the beginning is there.
    """

    status: int | None
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)
    failure: str | None = None
    came: int = field(default=0, compare=False)
    """Bytes of the body that came over the wire, packed as they were, kept or not."""


class Transport:
    """Connections to whoever is asked for; safe to share between threads.

    Args:
        inner: stands in for the network (a server in this process, a fake); the caller keeps it and closes it.
        verify: how certificates are checked.

    Raises:
        UsageError: the file with the certificate authority cannot be used.
    """

    def __init__(self, inner: httpx.BaseTransport | None = None, verify: Verify = None) -> None:
        self._own = inner is None
        self._inner = inner
        self._verify = verify if inner is not None else context(verify)
        self._opening = threading.Lock()
        self.untrusted: str | None = None
        """Why a server's certificate was not trusted, in the words of the TLS library; None where that never was so."""

    def close(self) -> None:
        """Close the connections that are open."""
        if self._own and self._inner is not None:
            self._inner.close()
            self._inner = None

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
        """Send one request and read its answer to the end.

        Args:
            method: the verb.
            base: scheme and authority, as in `https://host:port`.
            target: path and query exactly as they should stand in the request line, in ASCII.
            headers: everything that is sent; nothing is added.
            body: the bytes, or pieces that are sent chunk by chunk (the headers must say so).
            timeout: real seconds for connecting, for each wait, and for the whole answer.
            most: bytes that the answer's body may have, packed or not; None for any number.

        Raises:
            UsageError: the request cannot be written as HTTP.
        """
        if not _request_target(target):
            raise UsageError(f"{target!r} cannot stand in a request line: it should be percent-encoded.")
        if len(target) > LONGEST_TARGET:
            return Answer(None, failure=PROTOCOL)
        stream = httpx.ByteStream(body) if isinstance(body, bytes) else _Pieces(body)
        limits = {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
        request = httpx.Request(
            method,
            _url(base, target),
            headers=[(_encoded(name), _encoded(value)) for name, value in headers],
            stream=stream,
            # The parsed URL spells some characters anew (braces, for one); on the wire stands what was asked for.
            extensions={"target": target.encode("ascii"), "timeout": limits},
        )
        try:
            response = self._open().handle_request(request)
        except httpx.LocalProtocolError as error:
            raise UsageError(f"{method} {target} cannot be written as an HTTP request: {error}.") from error
        except httpx.TransportError as error:
            self.untrusted = _untrusted(error) or self.untrusted
            return Answer(None, failure=_before_the_answer(error))
        received = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw
        )
        return _read(response, received, stopwatch() + timeout, most)

    def _open(self) -> httpx.BaseTransport:
        if self._inner is None:
            with self._opening:
                if self._inner is None:
                    self._inner = _Pool(
                        self._verify
                        if isinstance(self._verify, ssl.SSLContext)
                        else httpx.create_ssl_context(trust_env=False)
                    )
        return self._inner


class _Pool(httpx.HTTPTransport):
    """Connections as httpx makes them, on which nobody can keep a caller waiting by sending a little at a time."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        super().__init__(verify=verify, trust_env=False)
        # httpx hands no backend on, and has no other place to put one.
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify,
            max_connections=sys.maxsize,
            max_keepalive_connections=64,
            keepalive_expiry=KEPT_IDLE,
            network_backend=_Timely(),
        )


class _Timely(httpcore.SyncBackend):
    """The system's network, with an end for every answer."""

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        """Open a connection."""
        return _Stream(super().connect_tcp(*arguments, **options))


class _Stream(httpcore.NetworkStream):
    """A connection whose answers come to an end, also a head of which a letter comes now and then.

    Nor does one interim answer after the other put it off. Head and body have the time of one each, and that together.
    """

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._until: float | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived."""
        if timeout is not None:
            now = stopwatch()
            self._until = now + 2 * timeout if self._until is None else self._until
            if now >= self._until:
                raise httpcore.ReadTimeout
            timeout = min(timeout, self._until - now)
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send: what is read from here on answers that."""
        self._until = None
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        """Close it."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection, from here on with TLS."""
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What is known of it."""
        return self._inner.get_extra_info(info)


def context(verify: Verify) -> ssl.SSLContext | None:
    """The TLS context that trusts the authority in this file alone; a ready context is kept, None stays None."""
    if not isinstance(verify, Path):
        return verify
    try:
        return ssl.create_default_context(cafile=str(verify))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"Cannot use {verify} as a certificate authority: {error}.") from error


def _read(response: httpx.Response, headers: Pairs, deadline: float, most: int | None) -> Answer:
    inflow = Inflow(headers, most)
    failure: str | None = None
    try:
        # As it comes: httpx would unpack a piece of any size as a whole.
        for part in _pieces_of(response.stream):
            inflow.take(part)
            if stopwatch() > deadline:
                failure = TIMEOUT
                break
        else:
            inflow.end()
    except TooLong:
        failure = TOO_LONG
    except httpx.TimeoutException:
        failure = TIMEOUT
    except httpx.NetworkError:
        failure = TRUNCATED
    except httpx.RemoteProtocolError as error:
        failure = TRUNCATED if "peer closed connection" in str(error) else PROTOCOL
    except (BadCoding, httpx.ProtocolError):
        failure = PROTOCOL
    finally:
        response.close()
    return Answer(response.status_code, headers, inflow.content(), failure, inflow.came)


def _pieces_of(source: object) -> Iterator[bytes]:
    if not isinstance(source, Iterable):
        raise TypeError(f"a synchronous transport answered with {type(source).__name__}")
    return iter(source)


def _before_the_answer(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return TIMEOUT
    if isinstance(error, httpx.ConnectError):
        return REFUSED
    if isinstance(error, httpx.NetworkError) or "Server disconnected" in str(error):
        return RESET
    return PROTOCOL


def _untrusted(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


_request_target = re.compile(r"/[!-~]*").fullmatch


class _Pieces(httpx.SyncByteStream):
    """A body without a known length."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


@lru_cache(maxsize=1024)
def _url(base: str, target: str) -> httpx.URL:
    try:
        return httpx.URL(base + target)
    except httpx.InvalidURL as error:
        raise UsageError(f"{base}{target} is no URL: {error}.") from error


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
