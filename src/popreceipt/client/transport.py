"""The one module that knows httpx: bytes out, bytes in, and a word for each way to fail.

It follows no redirect, keeps no cookie, reads no proxy from the environment and never repeats a request: what a server
does must be visible. It knows nothing of activities, journals or time.
"""

import re
import ssl
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import httpx

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

KEPT_IDLE: Final = 1.5
"""Seconds an idle connection is kept: less than servers do (five and more), so that none is reused while it closes."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the answer, or a `failure` with as much of the answer as had arrived (perhaps no status).

    Header names are in lower case, in the order of arrival. A compressed body is unpacked.
    """

    status: int | None
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)
    failure: str | None = None


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
    ) -> Answer:
        """Send one request and read its answer to the end.

        Args:
            method: the verb.
            base: scheme and authority, as in `https://host:port`.
            target: path and query exactly as they should stand in the request line, in ASCII.
            headers: everything that is sent; nothing is added.
            body: the bytes, or pieces that are sent chunk by chunk (the headers must say so).
            timeout: real seconds for connecting, for each wait, and for the whole answer.

        Raises:
            UsageError: the request cannot be written as HTTP.
        """
        if not _request_target(target):
            raise UsageError(f"{target!r} cannot stand in a request line: it should be percent-encoded.")
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
        return _read(response, received, stopwatch() + timeout)

    def _open(self) -> httpx.BaseTransport:
        if self._inner is None:
            with self._opening:
                if self._inner is None:
                    self._inner = httpx.HTTPTransport(
                        verify=self._verify if isinstance(self._verify, ssl.SSLContext) else True,
                        trust_env=False,
                        limits=httpx.Limits(
                            max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEPT_IDLE
                        ),
                    )
        return self._inner


def context(verify: Verify) -> ssl.SSLContext | None:
    """The TLS context that trusts the authority in this file alone; a ready context is kept, None stays None."""
    if not isinstance(verify, Path):
        return verify
    try:
        return ssl.create_default_context(cafile=str(verify))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"Cannot use {verify} as a certificate authority: {error}.") from error


def _read(response: httpx.Response, headers: Pairs, deadline: float) -> Answer:
    compressed = any(name == "content-encoding" and value.lower() != "identity" for name, value in headers)
    source = response.iter_bytes() if compressed else response.stream
    parts: list[bytes] = []
    failure: str | None = None
    try:
        for part in _pieces_of(source):
            parts.append(part)
            if stopwatch() > deadline:
                failure = TIMEOUT
                break
    except httpx.TimeoutException:
        failure = TIMEOUT
    except httpx.NetworkError:
        failure = TRUNCATED
    except httpx.RemoteProtocolError as error:
        failure = TRUNCATED if "peer closed connection" in str(error) else PROTOCOL
    except (httpx.DecodingError, httpx.ProtocolError):
        failure = PROTOCOL
    finally:
        response.close()
    return Answer(response.status_code, headers, b"".join(parts), failure)


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
