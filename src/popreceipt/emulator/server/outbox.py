"""Where answers wait until what they say is kept."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from popreceipt.emulator.server.service import Deferring, Grouping, Service

LARGE: Final = 64 * 1024
"""Bytes of an answer that waits for no others: once it is on its way, its connection tells whether it takes more."""

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
        """Keep now what was done so far, and say whether it was; those whose answers wait are told so as well."""
        try:
            kept = self._service is None or self._service.keep()
        except Exception:
            # Nobody may be told of what is not kept: to a caller whose connection ends, everything is open.
            for connection, _ in self._taken():
                connection.abort()
            raise
        if not kept:
            self._waiting = [(connection, _NOT_KEPT) for connection, _ in self._waiting]
        return kept

    def send(self, connection: asyncio.Transport, answer: bytes, *, alone: bool) -> None:
        """Send an answer once its effects are kept. `alone` says that there is no other connection to wait for."""
        self._waiting.append((connection, answer))
        if alone or len(answer) > LARGE:
            self._keep_and_send()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._keep_and_send)

    def flush(self) -> None:
        """Send at once what waits, where the server itself is going to say something on one of the connections."""
        if self._waiting:
            self._keep_and_send()

    def _keep_and_send(self) -> None:
        self.keep()
        for connection, answer in self._taken():
            if not connection.is_closing():
                connection.write(answer)
        if self._left is None:
            return
        try:
            self._left.catch_up()
        except Exception as error:  # noqa: BLE001 - told to whoever listens; the answers have left
            told = {"message": "What was left for later could not be done.", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)

    def _taken(self) -> list[tuple[asyncio.Transport, bytes]]:
        taken, self._waiting = self._waiting, []
        return taken
