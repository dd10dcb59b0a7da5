"""Answers that do not arrive whole, because somebody planned it: what is done to the connection then."""

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from popreceipt.emulator.http import Interruption, Response

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

DRIPS: Final = 20
"""In how many pieces, at most, a slow answer is sent."""


class Wire:
    """The way back of one answer that is not to arrive as it should.

    ASGI knows no connection, so the protocol hands it over (`_Protocol`). Whatever is done to it, its end is waited
    for: an application that returns before without an answer has one made up for it.
    """

    def __init__(self, connection: asyncio.Transport, receive: Receive, send: Send) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send

    async def taken_up(self, response: Response) -> Response | None:
        """The answer to a request that was laid aside on purpose; None where the caller has not waited for it."""
        broken = response.interruption
        if broken is None or broken.resume is None:
            return response
        is_left = await self._is_left(broken.seconds)
        answer = broken.resume(is_left)
        return None if is_left else answer

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
