"""Long bodies and cautious clients: the limit, and `Expect: 100-continue`."""

import httpx


def _post(*headers: bytes) -> bytes:
    return b"\r\n".join([b"POST /upload HTTP/1.1", b"Host: uno.example", *headers, b"", b""])


def test_tells_a_cautious_client_to_go_on(echo, server, wire):
    """A client that expects 100 gets it before it sends a byte of its body, then the answer."""
    connection = wire(server.port)
    connection.send(_post(b"Content-Length: 5", b"Expect: 100-continue"))
    assert connection.head() == (100, {})
    assert echo.asked == []
    connection.send(b"hello")
    assert connection.answer()[2] == b"hello"


def test_a_client_that_does_not_wait_is_answered_too(server, wire):
    """Whoever expects 100 and sends at once still gets a final answer."""
    connection = wire(server.port)
    connection.send(_post(b"Content-Length: 5", b"Expect: 100-Continue") + b"hello")
    status, _ = connection.head()
    if status == 100:
        status, _ = connection.head()
    assert status == 200


def test_tells_a_cautious_client_at_once_that_it_is_too_much(server, wire):
    """Over the limit there is no 100: the final answer comes before the body, and the connection ends."""
    connection = wire(server.port)
    connection.send(_post(b"Content-Length: 100001", b"Expect: 100-continue"))
    status, headers, _ = connection.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert connection.is_closed()


def test_answers_at_once_when_the_length_is_over_the_limit(echo, server, wire):
    """Not a byte of the body is waited for, and none is handed over."""
    connection = wire(server.port)
    connection.send(_post(b"Content-Length: 100001"))
    assert connection.answer()[0] == 413
    assert echo.asked[0].body == b""


def test_stops_reading_chunks_over_the_limit(echo, server, wire):
    """A body without a length is refused as soon as it is too long, though it never ends."""
    connection = wire(server.port)
    connection.send(_post(b"Transfer-Encoding: chunked"))
    for _ in range(3):
        connection.send(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
    assert connection.answer()[0] == 413
    assert len(echo.asked[0].body) == echo.profile.body_limit + 1


def test_the_limit_itself_is_allowed(echo, server):
    """At the limit the body goes through, a byte more does not."""
    limit = echo.profile.body_limit
    with httpx.Client(base_url=server.base_url) as client:
        assert client.post("/", content=b"x" * limit).status_code == 200
        assert client.post("/", content=b"x" * (limit + 1)).status_code == 413
        assert client.post("/", content=iter([b"x" * limit])).status_code == 200
        assert client.post("/", content=iter([b"x" * limit, b"x"])).status_code == 413


def test_the_connection_lives_on_after_a_refused_body(echo, server, wire):
    """What is left of a refused body is dropped unread by the service, and the next request is heard."""
    connection = wire(server.port)
    connection.send(_post(b"Content-Length: 200000") + b"x" * 200_000)
    assert connection.answer()[0] == 413
    connection.send(_post(b"Content-Length: 2") + b"ok")
    assert connection.answer()[2] == b"ok"
    assert len(echo.asked) == 2
