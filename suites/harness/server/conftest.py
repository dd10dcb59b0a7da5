"""Servers on free loopback ports, and a bare socket for what no client library would send."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.server import HttpServer

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@dataclass
class Profile:
    """As much of a profile as the server needs."""

    body_limit: int = 100_000


@dataclass
class Echo:
    """A service that remembers what it was asked and says what it is told to."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    profile: Profile = field(default_factory=Profile)
    base_url: str = ""
    asked: list[Request] = field(default_factory=list)
    answer: Response | None = None

    def handle(self, request: Request) -> Response:
        """The answer it was told to give, or the body back; 413 over the limit, as an emulator says it."""
        self.asked.append(request)
        if self.answer is not None:
            return self.answer
        announced = int(request.header("content-length") or 0)
        if max(announced, len(request.body)) > self.profile.body_limit:
            return Response(413)
        return Response(200, (("content-type", "application/octet-stream"),), request.body)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Echo, HttpServer]]:
    """One server a module: starting and ending one takes longer than most tests."""
    echo = Echo()
    with HttpServer(echo) as running:
        yield echo, running


@pytest.fixture
def echo(served: tuple[Echo, HttpServer]) -> Echo:
    echo = served[0]
    echo.clock, echo.answer = ManualClock(NOON), None
    echo.asked.clear()
    return echo


@pytest.fixture
def server(served: tuple[Echo, HttpServer], echo: Echo) -> HttpServer:
    assert served[0] is echo  # which is as new, whoever used it before
    return served[1]


class Wire:
    """A connection on which bytes are sent as they are."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.stream = self.socket.makefile("rb")

    def send(self, content: bytes) -> None:
        """Send these bytes."""
        self.socket.sendall(content)

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer (an interim one counts)."""
        status = int(self.stream.readline().split()[1])
        headers = {}
        while (line := self.stream.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer with its body."""
        status, headers = self.head()
        return status, headers, self.stream.read(int(headers.get("content-length", 0)))

    def is_closed(self) -> bool:
        """Whether the server has closed the connection (waits for it to happen)."""
        try:
            return self.stream.read(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def wire() -> Iterator[Callable[[int], Wire]]:
    with contextlib.ExitStack() as closing:

        def connect(port: int) -> Wire:
            made = Wire(port)
            closing.callback(made.socket.close)
            closing.callback(made.stream.close)
            return made

        yield connect
