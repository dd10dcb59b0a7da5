"""The proxy on a port, from the first connection until it is told to end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from popreceipt.clock import Clock, SystemClock
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.server import Door, HttpServer
from popreceipt.journal import Header, Journal, Target
from popreceipt.watching.proxy import Watcher


@dataclass
class _Nobody:
    """The service behind the proxy, as the server wants one: asked only for what is no path (`OPTIONS *`)."""

    clock: Clock
    base_url: str = ""
    profile: "_NoLimit" = field(default_factory=lambda: _NoLimit())

    def handle(self, request: Request) -> Response:
        """The answer to a request that names no path."""
        said = f"popreceipt record: there is no path in {request.path!r}."
        return Response(400, (("content-type", "text/plain"),), said.encode())


@dataclass(frozen=True)
class _NoLimit:
    """The proxy limits no body: the environment does."""

    body_limit: int = 0


def header_for(upstream: str, *, lease_seconds: float | None = None) -> Header:
    """The first line of the journal of what is watched in front of an environment."""
    return Header(
        recorded_by="client",
        target=Target(name=upstream, clock="system"),
        clock="system",
        lease_seconds=lease_seconds,
    )


def server_for(watcher: Watcher, door: Door) -> HttpServer:
    """A server for the proxy, at an address that was taken."""
    return HttpServer(_Nobody(SystemClock()), mounts={"": watcher}, closing=watcher.close, door=door)


def watch(
    watcher: Watcher, journal: Journal, door: Door, on_ready: Callable[[HttpServer], None] = lambda _: None
) -> None:
    """Carry requests until a signal ends it, and seal the journal, whatever ended it."""
    watcher.begin()
    server = server_for(watcher, door)
    try:
        server.run(lambda: on_ready(server))
    finally:
        server.close()
        journal.seal()
