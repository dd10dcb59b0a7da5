"""Clients that send their bytes in odd pieces, speak an older HTTP, do not read, or leave: nobody else notices."""

import random
import socket
import struct
import threading

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Response
from popreceipt.emulator.server import HttpServer
from popreceipt.emulator.server.outbox import LARGE
from popreceipt.emulator.server.protocol import LONGEST_HEAD

CHUNKED = b"POST /a?b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
GARBAGE = b"no request\r\n\r\n"


def plain(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    """A request that may take the short way; of one length its head is always the same."""
    lines = (b"POST /a?b HTTP/" + version, b"host: h", b"content-length: %d" % len(body), *headers, b"", body)
    return b"\r\n".join(lines)


def test_heads_and_bodies_in_two_pieces(server, wire):
    """Wherever a request is cut, and whoever else sends in between: the head may be known, the buffer is shared."""
    connection, other = wire(server.port), wire(server.port)
    request = plain(b"a\r\n\r\nb")
    for cut in range(1, len(request)):
        connection.send(request[:cut])
        other.send(plain(b"another"))
        assert other.answer()[2] == b"another"
        connection.send(request[cut:])
        assert connection.answer()[2] == b"a\r\n\r\nb"


def test_rows_of_requests_in_any_pieces(server, wire):
    """Every request of a row is answered with what was its own, however the row was cut."""
    drawn = random.Random(0)
    connection = wire(server.port)
    for _ in range(10):
        bodies = [bytes(drawn.choices(b"a\r\n", k=drawn.randrange(20))) for _ in range(10)]
        kinds = (plain, lambda body: b"\r\n" + plain(body), lambda body: CHUNKED + chunk(body) + b"0\r\n\r\n")
        row = b"".join(drawn.choice(kinds)(body) for body in bodies)
        while row:
            length = drawn.choice([1, 50, 1000])
            connection.send(row[:length])
            row = row[length:]
        assert [connection.answer()[2] for _ in bodies] == bodies


def chunk(content: bytes) -> bytes:
    """A part of a body as one chunk; nothing of nothing, which would end it."""
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""


def test_a_long_body_behind_the_rest_of_a_head(server, wire):
    """Only what belongs to the head counts as head: a head in two pieces may have a body at its heels."""
    connection = wire(server.port)
    request = plain(b"x" * (LONGEST_HEAD + 10_000))
    connection.send(request[:20])
    other = wire(server.port)
    other.send(plain(b""))
    other.answer()  # by then the first piece has arrived
    connection.send(request[20:])
    assert connection.answer()[0] == 200


@pytest.mark.parametrize("endless", [b"GET / HTTP/1.1\r\nx: ", CHUNKED + b"0\r\nx: "], ids=["head", "trailer"])
def test_a_head_or_trailer_without_an_end(server, wire, endless):
    """It is not gathered for ever."""
    connection = wire(server.port)
    connection.send(endless)
    with pytest.raises(ConnectionError):  # noqa: PT012 - as often as it takes
        for _ in range(1_000):
            connection.send(b"y" * 10_000)


@pytest.mark.parametrize("pieces", [1, 2])
def test_trailers_are_no_headers(echo, server, wire, pieces):
    """What follows a body says nothing of who sent it, whether it came in time or not."""
    connection = wire(server.port)
    rest = b"2\r\nok\r\n0\r\nauthorization: Bearer forged\r\n\r\n"
    for piece in [CHUNKED + rest] if pieces == 1 else [CHUNKED, rest]:
        connection.send(piece)
    assert connection.answer()[2] == b"ok"
    assert [name for name, _ in echo.asked[0].headers] == ["host", "transfer-encoding"]


@pytest.mark.parametrize("wish", [b"keep-alive", b"close"])
def test_an_older_http(server, wire, wish):
    """A client of HTTP/1.0 is told that the connection ends, and it does: it may be waiting for that."""
    connection = wire(server.port)
    connection.send(plain(b"ok", b"connection: " + wish, version=b"1.0"))
    _, headers, body = connection.answer()
    assert (headers["connection"], body) == ("close", b"ok")
    assert connection.is_closed()


@pytest.mark.parametrize("others", [0, 1])
def test_what_comes_before_garbage_is_answered(server, wire, others):
    """A refusal stands behind the answers to what was good, with several connections too."""
    opened = [wire(server.port) for _ in range(others)]
    for one in opened:
        one.send(plain(b""))
        one.answer()
    connection = wire(server.port)
    connection.send(plain(b"ok") + GARBAGE)
    assert [connection.answer()[0], connection.answer()[0]] == [200, 400]


def test_garbage_behind_what_is_still_to_be_answered(server, wire):
    """A refusal does not take the place of an answer: nothing is said, and everything is open."""
    connection = wire(server.port)
    connection.send(CHUNKED + chunk(b"ok") + b"0\r\n\r\n" + GARBAGE)
    assert connection.is_closed()


def test_a_client_that_asks_much_and_reads_nothing(echo, server, wire):
    """What it does not take is not made: its answers wait for it, one at a time."""
    echo.answer = Response(200, (), b"z" * (LARGE * 32))
    wire(server.port)
    connection = wire(server.port)
    connection.send(plain(b"") * 200)
    other = wire(server.port)
    other.send(plain(b""))
    assert len(other.answer()[2]) == LARGE * 32
    assert len(echo.asked) < 20
    assert all(len(connection.answer()[2]) == LARGE * 32 for _ in range(200))


def test_clients_that_leave(echo, server, wire):
    """In the middle of a body, or without their answers: the others go on."""
    echo.answer = Response(200, (), b"z" * 1_000_000)
    for request in (plain(b"x" * 100)[:-50], plain(b"") * 3):
        leaving = wire(server.port)
        leaving.send(request)
        leaving.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        leaving.stream.close()
        leaving.socket.close()
    staying = wire(server.port)
    staying.send(plain(b""))
    assert len(staying.answer()[2]) == 1_000_000


@pytest.mark.parametrize(
    "request_sent", [plain(b"whole"), CHUNKED + chunk(b"whole") + b"0\r\n\r\n"], ids=["plain", "chunked"]
)
def test_a_body_under_way_at_the_end(echo, wire, request_sent):
    """A request whose body is still coming when the server ends is answered, and then its connection ends."""
    server = HttpServer(echo)
    server.start()
    connection, witness = wire(server.port), wire(server.port)
    connection.send(request_sent[:-2])
    witness.send(plain(b""))
    witness.answer()
    ending = threading.Thread(target=server.stop)
    ending.start()
    assert witness.is_closed()
    connection.send(request_sent[-2:])
    assert connection.answer()[2] == b"whole"
    assert connection.is_closed()
    ending.join()


@pytest.mark.parametrize("others", [0, 1])
def test_a_service_that_fails(echo, server, wire, monkeypatch, others):
    """A fault of the service is a 500, whether the head was known or not, and the connection lives on."""
    opened = [wire(server.port) for _ in range(others)]
    connection = wire(server.port)
    with monkeypatch.context() as patched:
        patched.setattr(echo, "handle", lambda _: 1 / 0)
        for _ in range(2):
            connection.send(plain(b"ok"))
            assert connection.answer()[0] == 500
    for one in [connection, *opened] * 2:
        one.send(plain(b"ok"))
        assert one.answer()[2] == b"ok"


@pytest.mark.parametrize("host", [b"[", b"a]b", b"[::1", b"h?x", b"h#x", b"h/api/connector/ack/1?", b""])
def test_hosts_that_are_none(wire, host):
    """A host that can be part of no URL is answered, and the journal tells what was asked for."""
    emulator = Emulator(ManualClock())
    with HttpServer(emulator) as server:
        connection = wire(server.port)
        for _ in range(2):
            connection.send(b"GET /api/connector/dequeue/1 HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
            assert connection.answer()[0] == 401
        first, _ = emulator.journal.exchanges()
        assert (first.operation, first.request.url) == ("dequeue", f"{server.base_url}/api/connector/dequeue/1")
