"""One service on one port, from the first connection to the last."""

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from popreceipt.emulator.server.application import Application, Mounted
from popreceipt.emulator.server.door import Door
from popreceipt.emulator.server.protocol import IDLE, HttpProtocol
from popreceipt.emulator.server.service import Service

GRACE: Final = 2.0
"""Real seconds that a request under way is given at the end; after that its connection is cut."""


class HttpServer:
    """One service on one port. Making it takes the port; `run` or `start` opens the doors.

    As a context manager it serves from a thread for as long as the block lasts.

    Args:
        service: what to serve. Its `base_url` is set here, since the port may be known only now.
        host: address or name to listen on.
        port: 0 picks a free one.
        tls: speak TLS, with a certificate of an authority made on the spot.
        ca_file: where to write that authority's certificate; a temporary file that goes with the server otherwise.
        base_url: what clients call the server by, where that is not its own address (a container, a proxy).
        mounts: ASGI applications by the path below which they answer in the service's stead.
        closing: closes what they hold open in the server's event loop; called when nobody asks any more.
        door: an address that was taken before, instead of one by the arguments above.

    Raises:
        UsageError: the address cannot be listened on, or the authority's certificate cannot be written.
    """

    def __init__(
        self,
        service: Service,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        ca_file: Path | None = None,
        base_url: str | None = None,
        mounts: Mapping[str, Mounted] | None = None,
        closing: Callable[[], Awaitable[None]] | None = None,
        door: Door | None = None,
    ) -> None:
        self._door = door or Door(host=host, port=port, tls=tls, ca_file=ca_file, base_url=base_url)
        self.port = self._door.port
        self.base_url = self._door.base_url
        self.ca_file = self._door.ca_file
        service.base_url = self.base_url
        self._server = _Server(_configuration(Application(service, mounts), self._door.context))
        self._server.closing = closing
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve in this thread until a signal (in the main thread) or `stop` (from another) ends it.

        `on_ready` is called once requests are accepted.
        """
        if on_ready is not None:
            self._server.on_ready = on_ready
        try:
            self._server.run(sockets=[self._door.socket])
        finally:
            self.close()

    def start(self) -> None:
        """Serve from a thread; returns once requests are accepted."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run_in_thread, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """End what `start` or `run` began, and wait for a thread's end."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Give up the port and the temporary file; `run` and the context manager do so by themselves."""
        self._door.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run_in_thread(self, ready: threading.Event) -> None:
        try:
            self.run(ready.set)
        except BaseException as error:  # noqa: BLE001  handed to whoever waits in start()
            self._fault = error
        finally:
            ready.set()


class _Server(uvicorn.Server):
    """uvicorn's server with four differences.

    It says when it is ready; a signal ends it with nothing raised afterwards, so that the command may end with 0; at
    the end it waits a moment for requests under way, but not for a client that went silent in the middle of one; and
    then it has closed what others hold open in its event loop.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.on_ready: Callable[[], None] = lambda: None
        self.closing: Callable[[], Awaitable[None]] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cut = asyncio.get_running_loop().call_later(GRACE, self._cut_connections)
        try:
            await super().shutdown(sockets=sockets)
        finally:
            cut.cancel()
            if self.closing is not None:
                await self.closing()

    def _cut_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def _configuration(application: Application, context: ssl.SSLContext | None) -> uvicorn.Config:
    configuration = uvicorn.Config(
        application,
        interface="asgi3",
        loop="auto",  # uvloop where it is installed: a tenth less for each request, and nothing else is different
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=IDLE,
    )
    configuration.load()
    configuration.ssl = context  # made in memory: uvicorn's own options want files
    return configuration
