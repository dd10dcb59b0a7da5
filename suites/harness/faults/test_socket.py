"""Planned faults on a bare socket: what really happens to a connection."""

import json
import socket
from collections.abc import Iterator

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request
from popreceipt.emulator.server import HttpServer

ASK = b"GET /api/connector/dequeue/x HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(ManualClock())


@pytest.fixture
def connection(emulator: Emulator) -> Iterator[socket.socket]:
    with HttpServer(emulator) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
        yield opened


def plan(emulator: Emulator, **fault: object) -> None:
    planned = emulator.handle(Request("POST", "/_control/v1/faults", body=json.dumps(fault).encode()))
    assert planned.status == 201, planned.body


def answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of the next answer, which is whole."""
    stream = connection.makefile("rb")
    head = b"".join(iter(stream.readline, b"\r\n"))
    (length,) = (int(line.split()[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head, stream.read(length)


def everything(connection: socket.socket) -> list[bytes]:
    """What arrives until the connection is closed, a piece each."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return pieces


def test_a_reset_is_a_reset(emulator: Emulator, connection: socket.socket) -> None:
    """Not an orderly end."""
    plan(emulator, operation="dequeue", kind="reset")
    connection.sendall(ASK)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_time_out_is_silence_and_then_the_end(emulator: Emulator, connection: socket.socket) -> None:
    """Not a byte comes."""
    plan(emulator, operation="dequeue", kind="timeout", seconds=0.05)
    connection.sendall(ASK)
    assert everything(connection) == []


def test_a_truncated_answer_ends_in_the_middle(emulator: Emulator, connection: socket.socket) -> None:
    """The length announced is that of the whole."""
    connection.sendall(ASK)
    head, whole = answer(connection)
    plan(emulator, operation="dequeue", kind="truncated", after_bytes=7)
    connection.sendall(ASK)
    cut, _, part = b"".join(everything(connection)).partition(b"\r\n\r\n")
    assert part == whole[:7]
    length = f"content-length: {len(whole)}".encode()
    assert length in head
    assert length in cut


def test_a_slow_answer_comes_in_pieces_and_whole(emulator: Emulator, connection: socket.socket) -> None:
    """The connection lives on."""
    connection.sendall(ASK)
    _, whole = answer(connection)
    plan(emulator, operation="dequeue", kind="slow", seconds=0.1)
    for _ in range(2):
        connection.sendall(ASK)
        assert answer(connection)[1] == whole


def test_a_slow_answer_without_a_body(emulator: Emulator, connection: socket.socket) -> None:
    """Its end comes late."""
    plan(emulator, operation="enqueue", kind="slow", seconds=0.05)
    connection.sendall(b"POST /api/connector/enqueue/x HTTP/1.1\r\nHost: here\r\nContent-Length: 30000001\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_before_its_effect_a_request_is_not_even_looked_at(emulator: Emulator, connection: socket.socket) -> None:
    """A body over the limit meets with the fault, not with 413."""
    plan(emulator, operation="enqueue", kind="status", status=503)
    connection.sendall(b"POST /api/connector/enqueue/x HTTP/1.1\r\nHost: here\r\nContent-Length: 30000001\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize("kind", ["timeout", "slow"])
def test_a_client_that_gives_up_ends_the_wait(emulator: Emulator, connection: socket.socket, kind: str) -> None:
    """Neither it nor the end of the server waits for the hour that was planned."""
    plan(emulator, operation="dequeue", kind=kind, seconds=3600)
    connection.sendall(ASK)
    if kind == "slow":
        connection.recv(1)


def test_the_end_of_the_server_cuts_who_still_waits(emulator: Emulator) -> None:
    """A planned silence does not keep a server alive."""
    plan(emulator, operation="dequeue", kind="slow", seconds=3600)
    with HttpServer(emulator) as server:
        waiting = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        waiting.sendall(ASK)
        waiting.recv(1)
    waiting.close()


def test_what_is_slow_before_its_effect_is_taken_up_for_who_still_waits(
    emulator: Emulator, connection: socket.socket
) -> None:
    """The answer comes whole, and in the journal the request has the time of its arrival."""
    connection.sendall(ASK)
    _, whole = answer(connection)
    plan(emulator, operation="dequeue", kind="slow", phase="before", seconds=0.05)
    connection.sendall(ASK)
    head, body = answer(connection)
    assert body == whole
    assert head.startswith(b"HTTP/1.1 401")
    exchange = list(emulator.journal.exchanges())[1]
    assert (exchange.failure, exchange.response and exchange.response.status) == (None, 401)


def test_what_is_slow_before_its_effect_has_none_for_who_has_left(emulator: Emulator) -> None:
    """Its exchange has no answer."""
    plan(emulator, operation="dequeue", kind="slow", phase="before", seconds=3600)
    with HttpServer(emulator) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(ASK)
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as other:
                other.sendall(ASK)
                answer(other)  # by now the first is laid aside
        server.stop()
    answered, left = sorted(emulator.journal.exchanges(), key=lambda each: each.failure or "")
    assert answered.response is not None
    assert (left.failure, left.response) == ("timeout", None)
