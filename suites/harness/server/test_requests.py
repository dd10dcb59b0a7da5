"""What crosses the socket: requests as they were sent, answers as they were made."""

import asyncio

import httpx
import pytest

from popreceipt.emulator.http import Response
from popreceipt.emulator.server import Application


def _get(line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: uno.example:81", *headers, b"", b""])


def test_hands_over_the_request_as_it_was_sent(echo, server, wire):
    """Path and query stay encoded, header names are in lower case, and the caller is known to be here."""
    connection = wire(server.port)
    connection.send(_get(b"GET /en/api/Connector/dequeue/%7Bab%7D?x=a%20b+c&y=%2B HTTP/1.1", b"X-Thing: One"))
    connection.answer()
    (request,) = echo.asked
    assert (request.method, request.path, request.query) == (
        "GET",
        "/en/api/Connector/dequeue/%7Bab%7D",
        "x=a%20b+c&y=%2B",
    )
    assert request.headers == (("host", "uno.example:81"), ("x-thing", "One"))
    assert (request.scheme, request.host, request.local, request.body) == ("http", "uno.example:81", True, b"")


def test_takes_a_body_by_length_and_in_chunks(echo, server, wire):
    """Either way the service sees the whole body; both requests may share a connection."""
    connection = wire(server.port)
    connection.send(_get(b"POST /a HTTP/1.1", b"Content-Length: 5") + b"hello")
    assert connection.answer()[2] == b"hello"
    connection.send(_get(b"POST /a HTTP/1.1", b"Transfer-Encoding: chunked") + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert connection.answer()[2] == b"hello"
    assert [request.body for request in echo.asked] == [b"hello", b"hello"]


def test_takes_a_body_byte_by_byte(echo, server, wire):
    """However a network cuts it, a request is one request."""
    connection = wire(server.port)
    for byte in _get(b"POST /a HTTP/1.1", b"Content-Length: 5") + b"hello":
        connection.send(bytes([byte]))
    assert connection.answer()[2] == b"hello"
    assert len(echo.asked) == 1


def test_answers_in_order_when_requests_come_in_a_row(server, wire):
    """Pipelined requests get their answers one after the other."""
    connection = wire(server.port)
    connection.send(b"".join(_get(b"POST /a HTTP/1.1", b"Content-Length: 1") + bytes([n]) for n in range(65, 75)))
    assert [connection.answer()[2] for _ in range(10)] == [bytes([n]) for n in range(65, 75)]


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nX: ", b"GET /"])
def test_a_head_without_end_is_refused(echo, server, wire, begun):
    """431 and the end of the connection, long before it fills the memory; the next caller is served."""
    connection = wire(server.port)
    connection.send(begun)
    try:
        for _ in range(100):
            connection.send(b"x" * 65_536)
    except (BrokenPipeError, ConnectionResetError):
        pass  # It may have hung up already.
    else:
        pytest.fail("the server took six megabytes of it")
    assert not echo.asked
    other = wire(server.port)
    other.send(_get(b"GET / HTTP/1.1", b"X-Long: " + b"x" * 30_000))
    assert other.answer()[0] == 200


def test_what_is_no_request_is_refused(echo, server, wire):
    """A blank in an URL, raw bytes in a path, rubbish: 400 and a closed door, and the service never sees it."""
    for line in (
        b"GET /a b HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /?\xc3\xbc HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9",
    ):
        connection = wire(server.port)
        connection.send(_get(line))
        assert connection.answer()[0] == 400
        assert connection.is_closed()
    assert echo.asked == []


def test_the_date_is_the_services_own(echo, server):
    """A client of a fast clock can read there what time it is; nobody else's name stands in an answer."""
    answer = httpx.get(server.base_url)
    assert answer.headers["date"] == "Sun, 01 Mar 2026 12:00:00 GMT"
    assert "server" not in answer.headers
    echo.clock.sleep_until(echo.clock.now().replace(day=2))
    assert httpx.get(server.base_url).headers["date"] == "Mon, 02 Mar 2026 12:00:00 GMT"


def test_sends_the_answer_as_it_was_made(echo, server):
    """Status, headers (twice, if so) and body; the length is added."""
    echo.answer = Response(418, (("X-A", "1"), ("X-A", "2"), ("content-type", "text/plain")), b"\x00\xff")
    answer = httpx.get(server.base_url)
    assert (answer.status_code, answer.headers.get_list("x-a"), answer.content) == (418, ["1", "2"], b"\x00\xff")
    assert answer.headers["content-length"] == "2"


def test_no_content_has_no_length(echo, server):
    """An answer 204 announces no body, and the connection goes on."""
    echo.answer = Response(204)
    with httpx.Client(base_url=server.base_url) as client:
        assert "content-length" not in client.get("/").headers
        assert client.get("/").status_code == 204


def test_head_has_headers_only(echo, server):
    """HEAD is answered without a body, and the length that GET would have."""
    echo.answer = Response(200, body=b"hello")
    answer = httpx.head(server.base_url)
    assert (answer.content, answer.headers["content-length"]) == (b"", "5")


def test_forwarded_headers_are_not_believed(echo, server):
    """Nobody changes scheme or address by saying so."""
    httpx.get(server.base_url, headers={"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"})
    assert (echo.asked[0].scheme, echo.asked[0].local) == ("http", True)


@pytest.mark.parametrize(
    ("client", "local"),
    [
        (("127.0.0.1", 5), True),
        (("::1", 5), True),
        (("::ffff:127.0.0.1", 5), True),
        (("10.1.2.3", 5), False),
        (None, False),
    ],
)
def test_knows_who_calls_from_elsewhere(echo, client, local):
    """Only a caller at a loopback address is on this computer."""
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
        "client": client,
        "server": ("10.1.2.9", 80),
    }
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(Application(echo)(scope, None, send))
    assert sent == ["http.response.start", "http.response.body"]
    assert (echo.asked[0].local, echo.asked[0].host) == (local, "10.1.2.9:80")


def test_who_leaves_early_is_not_heard(echo, server, wire):
    """A request that was cut off in its body never reaches the service."""
    leaving = wire(server.port)
    leaving.send(_get(b"POST /a HTTP/1.1", b"Content-Length: 100") + b"half")
    leaving.stream.close()
    leaving.socket.close()
    httpx.get(f"{server.base_url}/next")
    assert [request.path for request in echo.asked] == ["/next"]
