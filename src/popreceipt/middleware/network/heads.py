"""The head of a request on a bare connection: what is needed to refuse it and to tell of it.

It reads to the end of the head and not a byte further, so that a connection can be handed on afterwards.
"""

import asyncio
import contextlib
import socket
from typing import Final, NamedTuple

import httptools

from popreceipt.journal import redacted, redacted_url

LONGEST: Final = 65_536
"""Bytes of the longest head that is read."""

DISCARDED: Final = 1 << 20
"""Bytes of a body that are taken in after it was refused, so that the client gets to read why."""

PATIENCE: Final = 2.0
"""Real seconds that a client is given to read a refusal."""


class Head(NamedTuple):
    """The head of a request; secrets are replaced in `shown`, which is the target as it may be told."""

    method: str
    target: str
    token: str | None

    @property
    def shown(self) -> str:
        """The target with the secrets replaced that a client should not have put there."""
        return redacted_url(self.target)


async def peek(connection: socket.socket, most: int) -> bytes:
    """What is there to be read, up to so many bytes, without reading it; nothing where the client has left.

    Raises:
        OSError: the connection was lost.
    """
    while True:
        try:
            return connection.recv(most, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await _readable(connection)


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(connection, tell)
    try:
        await ready
    finally:
        loop.remove_reader(connection)


async def read_head(connection: socket.socket) -> Head | None:
    """The head of the request that comes next; None where what comes is none.

    Raises:
        OSError: the connection was lost.
    """
    taken = b""
    while len(taken) <= LONGEST:
        seen = await peek(connection, 4096)
        if not seen:
            return None
        end = (taken + seen).find(b"\r\n\r\n")
        taken += connection.recv(len(seen) if end < 0 else end + 4 - len(taken))
        if end >= 0:
            return parsed(taken)
    return None


def parsed(content: bytes) -> Head | None:
    """What a head says; None where it is none."""
    collected = _Collected()
    parser = httptools.HttpRequestParser(collected)
    try:
        parser.feed_data(content)
    except httptools.HttpParserUpgrade:
        pass  # a CONNECT, or a wish for another protocol: the head is whole
    except httptools.HttpParserError:
        return None
    return Head(parser.get_method().decode("ascii"), collected.target.decode("latin-1"), collected.token)


class _Collected:
    """What the parser finds in a head."""

    def __init__(self) -> None:
        self.target = b""
        self.token: str | None = None

    def on_url(self, target: bytes) -> None:
        """A part of the target."""
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header: only a bearer token is of interest."""
        scheme, _, rest = value.decode("latin-1").partition(" ")
        if name.lower() == b"authorization" and scheme.lower() == "bearer" and rest.strip():
            self.token = redacted(rest.strip())


async def refuse(connection: socket.socket, status: int, reason: str, sentence: str) -> None:
    """Answer with a refusal, and wait a moment for the client to read it.

    Raises:
        OSError: the connection was lost.
    """
    body = f"{sentence}\n".encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, head.encode("ascii") + body)
    connection.shutdown(socket.SHUT_WR)
    # Closing with bytes unread would reset the connection, and the refusal might be lost on the way.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            left = DISCARDED
            while left > 0 and (content := await loop.sock_recv(connection, 65_536)):
                left -= len(content)
