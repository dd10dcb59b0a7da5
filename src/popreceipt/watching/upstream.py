"""The way to the environment: requests out and answers back, in pieces, and a word for each way to fail.

It follows no redirect, keeps no cookie, reads no proxy from the environment and never repeats a request. What requests
mean is not known here.
"""

import ssl
from collections.abc import AsyncIterator
from typing import Final

import httpx

from popreceipt.client.transport import PROTOCOL, REFUSED, RESET, TIMEOUT, TRUNCATED, Verify, context
from popreceipt.watching.headers import Raw

KEPT_IDLE: Final = 1.5
"""Seconds an idle connection is kept: less than servers do, so that none is used while it closes."""


class Upstream:
    """Connections to the environment; to be used within one event loop.

    Args:
        verify: how its certificate is checked: with this context, with the authority in this file, or as usual.
        timeout: real seconds of silence after which a request has failed.

    Raises:
        UsageError: the file with the certificate authority cannot be used.
    """

    def __init__(self, verify: Verify = None, timeout: float = 300.0) -> None:
        checked = context(verify)
        self._verify: ssl.SSLContext | bool = checked if checked is not None else True
        self._limits = {"connect": min(timeout, 30.0), "read": timeout, "write": timeout, "pool": timeout}
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def send(
        self, method: str, origin: str, target: bytes, headers: Raw, body: AsyncIterator[bytes] | None
    ) -> httpx.Response:
        """Send a request; its answer's head, and the body to be read as it comes.

        Args:
            method: the verb.
            origin: scheme and authority.
            target: path and query exactly as they should stand in the request line.
            headers: everything that is sent; nothing is added.
            body: its pieces.

        Raises:
            httpx.TransportError: no answer came; `failure_of` tells how it failed.
        """
        request = httpx.Request(
            method,
            origin,
            headers=headers,
            stream=_Pieces(body) if body is not None else httpx.ByteStream(b""),
            # What the client asked for stands on the wire as it was written.
            extensions={"target": target, "timeout": self._limits},
        )
        if self._transport is None:
            self._transport = httpx.AsyncHTTPTransport(
                verify=self._verify,
                trust_env=False,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEPT_IDLE),
            )
        return await self._transport.handle_async_request(request)

    async def close(self) -> None:
        """Close the connections that are open."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.aclose()


class _Pieces(httpx.AsyncByteStream):
    """A body as it comes."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece


def failure_of(error: httpx.HTTPError, *, answered: bool) -> str:
    """The journal's word for how a request failed; `answered` says that the answer had begun."""
    if isinstance(error, httpx.TimeoutException):
        return TIMEOUT
    if isinstance(error, httpx.ConnectError):
        return REFUSED
    if isinstance(error, httpx.NetworkError):
        return TRUNCATED if answered else RESET
    if answered:
        return TRUNCATED if "peer closed connection" in str(error) else PROTOCOL
    return RESET if "Server disconnected" in str(error) else PROTOCOL


def is_certificate(error: httpx.HTTPError) -> bool:
    """Whether a connection failed because the environment's certificate is not to be trusted."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
