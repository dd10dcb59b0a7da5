"""An HTTP server to which connections are handed over: whoever took one looked at its first bytes before.

A connection comes with its socket, not through a pipe: what the server does to it (resets it, cuts an answer off,
goes silent) is what the subject sees. It knows no certificate but the one that comes with a connection.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from popreceipt.emulator.server import Door, HttpServer, Service
from popreceipt.emulator.server.protocol import HttpProtocol

HANDSHAKE: Final = 20.0
"""Real seconds that a TLS handshake may take."""


class Serving(HttpServer):
    """A server on an address that was taken.

    Args:
        service: what to serve.
        door: the address.
        listens: whether it takes connections there by itself; else they are handed over.
    """

    def __init__(self, service: Service, door: Door, *, listens: bool) -> None:
        super().__init__(service, door=door)
        self._listens = listens
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends = False

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve in this thread until `stop` ends it."""

        def ready() -> None:
            self._loop = asyncio.get_running_loop()
            if on_ready is not None:
                on_ready()

        if self._listens:
            super().run(ready)
            return
        self._server.on_ready = ready
        try:
            self._server.run(sockets=[])
        finally:
            self.close()

    def stop_soon(self) -> None:
        """Begin to end: `stop` then waits for less."""
        self._ends = True
        self._server.should_exit = True

    def stop(self) -> None:
        """End, and wait for the thread's end."""
        self.stop_soon()
        super().stop()

    def take(
        self,
        connection: socket.socket,
        context: ssl.SSLContext,
        failed: Callable[[], None],
        *,
        silence_is_failure: bool = False,
    ) -> None:
        """Serve a connection that somebody else accepted; it is closed here. May be called from any thread.

        Args:
            connection: not blocking; of what came, nothing was read.
            context: for the handshake.
            failed: called where the handshake did not come to its end, from the server's thread.
            silence_is_failure: call it too where the client left without having sent a request. There are clients
                that look at a certificate only after the handshake.
        """
        if self._loop is None or self._ends:
            connection.close()
            return
        watched = failed if silence_is_failure else None
        asyncio.run_coroutine_threadsafe(self._adopt(connection, context, failed, watched), self._loop)

    async def _adopt(
        self,
        connection: socket.socket,
        context: ssl.SSLContext,
        failed: Callable[[], None],
        silent: Callable[[], None] | None,
    ) -> None:
        def protocol() -> HttpProtocol:
            state, config = self._server.server_state, self._server.config
            return _Watched(
                config, state, self._server.lifespan.state, asyncio.get_running_loop(), silent=self._unless_over(silent)
            )

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol, connection, ssl=context, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError:  # ssl.SSLError is one, and so is a handshake that took too long
            connection.close()
            if not self._ends:
                failed()

    def _unless_over(self, silent: Callable[[], None] | None) -> Callable[[], None]:
        def told() -> None:
            if silent is not None and not self._ends:
                silent()

        return told

    def cut(self) -> None:
        """Cut every connection of the moment, as a restart of the service does."""
        if self._loop is not None and not self._ends:
            self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for each in list(self._server.server_state.connections):
            each.transport.abort()


class _Watched(HttpProtocol):
    """A connection that tells when it ended without a single request."""

    def __init__(self, *arguments: object, silent: Callable[[], None]) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]  # as uvicorn itself makes one
        self._silent = silent

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        if not self._heard:
            self._silent()
