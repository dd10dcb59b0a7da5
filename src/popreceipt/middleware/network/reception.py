"""Where connections arrive: the first byte tells TLS from clear text, and a proxy is asked for a tunnel first.

All addresses of a network are attended to by one thread. What is TLS is handed over to the host's server, socket and
all; what is not is refused and told. Nothing is forwarded: a proxy's tunnel leads to the hosts of this network alone.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from popreceipt.middleware.network.heads import Head, peek, read_head, refuse
from popreceipt.middleware.network.serving import Serving

Tell = Callable[[Mapping[str, object]], None]
"""Takes the facts of one observation `connection`. It is called from the network's own threads."""

TLS_HANDSHAKE: Final = b"\x16"
"""The first byte of a TLS connection: the content type of a handshake record (RFC 8446, section 5.1)."""

IDLE: Final = 120.0
"""Real seconds that a client may take until it has said what it wants."""

MOST: Final = 512
"""Connections that are attended to at once; further ones are closed unheard."""

_OUT_OF_SOCKETS: Final = 0.2
"""Real seconds until the next try where the system would give no more connections."""

IN_CLEAR: Final = "Here TLS is spoken: a request in clear text is not answered, and a token in it is lost."
ELSEWHERE: Final = "This proxy leads to the connector alone, by CONNECT and port 443."


@dataclass(frozen=True, slots=True)
class Host:
    """A host of this network: what it is called with TLS and without, its server, and its certificate.

    `own` says whether it is the connector; `foreign` whether its certificate is of an authority that nobody was told.
    """

    secure_root: str
    clear_root: str
    serving: Serving
    context: ssl.SSLContext
    own: bool = True
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Front:
    """An address at which one host is reached directly."""

    socket: socket.socket
    host: Host


@dataclass(frozen=True, slots=True)
class Proxy:
    """An address at which hosts are reached by CONNECT, by their authority (`name:port`)."""

    socket: socket.socket
    hosts: Mapping[str, Host]
    root: str


class Reception:
    """Attends to some addresses from a thread of its own.

    Args:
        places: the addresses.
        tell: is told of whatever does not become a request.
    """

    def __init__(self, places: tuple[Front | Proxy, ...], tell: Tell) -> None:
        self._places = places
        self._tell = tell
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._fault: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Open the doors; returns once connections are taken."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True, name="popreceipt-reception")
        self._thread.start()
        ready.wait()
        self._raise()

    def stop(self) -> None:
        """Close the doors, end what was not handed over, and wait for the thread's end.

        Raises:
            Exception: whatever went wrong with us while a connection was attended to.
        """
        if self._thread is None:
            return
        if self._loop is not None and self._over is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself: why, is raised below
                self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._thread = None
        self._raise()

    def _raise(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def _run(self, ready: threading.Event) -> None:
        try:
            # A loop that can wait for a socket without reading from it, on every system.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._attend(ready))
        except BaseException as error:  # noqa: BLE001  handed to whoever starts or stops
            self._fault = self._fault or error
        finally:
            ready.set()

    async def _attend(self, ready: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        for place in self._places:
            place.socket.setblocking(False)
            self._begin(self._accept(place))
        ready.set()
        await self._over.wait()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and self._fault is None:
            self._fault = task.exception()

    async def _accept(self, place: Front | Proxy) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(place.socket)
            except OSError:
                await asyncio.sleep(_OUT_OF_SOCKETS)
                continue
            if len(self._tasks) > MOST:
                connection.close()
                continue
            self._begin(self._attended(connection, place))

    async def _attended(self, connection: socket.socket, place: Front | Proxy) -> None:
        """See a connection on its way, or out."""
        handed_over = False
        try:
            connection.setblocking(False)
            # Without it each answer may wait for the caller's delayed acknowledgment.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(IDLE):
                host = place.host if isinstance(place, Front) else await self._tunnel(connection, place)
                handed_over = host is not None and await self._greet(connection, host)
        except (OSError, TimeoutError):
            pass  # the client has left, or never said what it wants: there is nobody to answer
        finally:
            if not handed_over:
                connection.close()

    async def _greet(self, connection: socket.socket, host: Host) -> bool:
        """Hand over what begins as TLS, refuse what does not; whether it was handed over."""
        first = await peek(connection, 1)
        if first == TLS_HANDSHAKE:

            def failed() -> None:
                self._tell(_facts("tls-failed", host.secure_root))

            host.serving.take(connection, host.context, failed, silence_is_failure=host.foreign)
            return True
        head = await read_head(connection) if first else None
        if head is not None:
            self._tell(_facts("clear-text" if host.own else "elsewhere", host.clear_root, head))
        if first:
            await refuse(connection, 400, "Bad Request", IN_CLEAR)
        return False

    async def _tunnel(self, connection: socket.socket, proxy: Proxy) -> Host | None:
        """What a client asks of a proxy: the host that its tunnel leads to, or none and a refusal."""
        head = await read_head(connection)
        if head is None:
            return None
        if head.method == "CONNECT":
            authority = head.target.lower()
            host = proxy.hosts.get(authority)
            self._tell(_facts("connect", f"https://{authority}", head, accepted=host is not None))
            if host is None:
                await refuse(connection, 403, "Forbidden", ELSEWHERE)
            else:
                established = b"HTTP/1.1 200 Connection established\r\n\r\n"
                await asyncio.get_running_loop().sock_sendall(connection, established)
            return host
        parts = urlsplit(head.target)
        root = f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme and parts.netloc else proxy.root
        names = {authority.rpartition(":")[0] for authority, host in proxy.hosts.items() if host.own}
        own = root == proxy.root or (parts.hostname or "") in names
        self._tell(_facts("clear-text" if own else "elsewhere", root, head))
        if own:
            await refuse(connection, 400, "Bad Request", IN_CLEAR)
        else:
            await refuse(connection, 403, "Forbidden", ELSEWHERE)
        return None


def _facts(kind: str, root: str, head: Head | None = None, *, accepted: bool = False) -> dict[str, object]:
    """The facts of an observation; a tunnel has neither a path nor the token of what goes through it."""
    facts: dict[str, object] = {"kind": kind, "root": root, "accepted": accepted}
    if head is not None:
        facts |= {"token": head.token, "method": head.method}
        if kind != "connect":
            parts = urlsplit(head.shown)
            facts |= {"path": parts.path, "query": parts.query}
    return facts
