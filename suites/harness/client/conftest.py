"""Fixtures for the client's tests: a journal, a clock that stands still, and servers as bad as they are told."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from popreceipt.client.times import ManualTimes
from popreceipt.journal import Journal

from .surroundings import Surroundings

Behaviour = Callable[[socket.socket], None]

START = datetime(2026, 1, 1, tzinfo=UTC)


class Peer:
    """A TCP server for one connection at a time: it reads a request, remembers it and lets `behave` answer."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._over.is_set():
                connection.close()
                return
            try:
                with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as speaking:
                    self.requests.append(_request(speaking))
                    self._behave(speaking)
            except OSError:
                # The client is gone, or would not speak TLS with us: what it made of that is in the test.
                connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self._listener.close()
        self._thread.join(5)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    chunked = b"transfer-encoding: chunked" in head.lower()
    while missing > 0 or (chunked and not data.endswith(b"0\r\n\r\n")):
        part = connection.recv(65536)
        if not part:
            break
        data += part
        missing -= len(part)
    return data


def reset(connection: socket.socket) -> None:
    """Close with an RST, as a crashing server's kernel does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Makes servers that are gone after the test."""
    made: list[Peer] = []

    def make(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Peer:
        made.append(Peer(behave, tls))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def rst() -> Behaviour:
    return reset


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def still() -> ManualTimes:
    """A clock that stands at the start of 2026 and moves as far as it is told."""
    state = {"now": START}

    def move(seconds: float) -> datetime:
        state["now"] += timedelta(seconds=seconds)
        return state["now"]

    return ManualTimes(START, move)


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[Callable[..., Surroundings]]:
    """Makes worlds around a consumer and a producer; what they opened is closed after the test."""
    made: list[Surroundings] = []

    def make(*dialects: str, **options: Any) -> Surroundings:
        made.append(Surroundings.made(tmp_path / f"world-{len(made)}", *dialects, **options))
        return made[-1]

    yield make
    for each in made:
        each.closing.close()
