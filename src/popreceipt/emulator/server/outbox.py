"""Where answers wait until what they say is kept."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from popreceipt.emulator.server.service import Deferring, Grouping, Service

_NOT_KEPT: Final = STATUS_LINE[500] + b"content-length: 0\r\n\r\n"


class Outbox:
    """The answers of one turn of the event loop, together.

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
