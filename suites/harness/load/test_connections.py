"""Connections send each request once, say in the client's words what went wrong, and are kept while they can be."""

import errno
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from popreceipt.client.transport import PROTOCOL, REFUSED, RESET, TIMEOUT, TRUNCATED, Answer, Transport
from popreceipt.exceptions import UsageError
from popreceipt.load.connections import Connections, Exhausted, head

Script = Callable[[socket.socket], None]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Odd: \xe9\r\n\r\nok"
SOON = 0.2


def answers(*content: bytes) -> Script:
    """Reads a request for each, and answers it; then the connection is closed."""

    def script(connection: socket.socket) -> None:
        for each in content:
            _request(connection)
            connection.sendall(each)

    return script


def _request(connection: socket.socket) -> bytes:
    """Everything up to the blank line; requests with a body here come in one piece."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        if not part:
            break
        received += part
    return received


class Server:
    """Takes connections one after the other and plays its scripts on them; `requests` counts connections."""

    def __init__(self, *scripts: Script) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.taken = 0
        self._scripts = scripts
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for script in self._scripts:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.taken += 1
            with connection:
                script(connection)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts a server that plays scripts."""
    started: list[Server] = []

    def start(*scripts: Script) -> Server:
        started.append(Server(*scripts))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def connections() -> Iterator[Connections]:
    """Connections that are closed in the end."""
    with closing(Connections()) as opened:
        yield opened


def get(through: Transport, server: Server, timeout: float = 5.0) -> Answer:
    return through.exchange("GET", server.base, "/a?b=c", [("host", "h")], b"", timeout)


def test_an_answer_comes_as_any_transport_gives_it(serve: Callable[..., Server], connections: Connections) -> None:
    """Names in lower case, bytes beyond ASCII as Latin 1, the body whole: as the client's own transport."""
    mine = get(connections, serve(answers(OK)))
    with closing(Transport()) as usual:
        assert mine == get(usual, serve(answers(OK)))
    assert mine == Answer(200, (("content-length", "2"), ("x-odd", "é")), b"ok")


def test_a_connection_is_kept_for_the_next(serve: Callable[..., Server], connections: Connections) -> None:
    """One after the other on the same; a body goes with its request in one piece."""
    seen = []

    def script(connection: socket.socket) -> None:
        for _ in range(3):
            seen.append(_request(connection))
            connection.sendall(OK)

    server = serve(script)
    for _ in range(3):
        answer = connections.exchange("POST", server.base, "/x", [("content-length", "3")], b"abc")
        assert answer.status == 200
    assert (connections.opened, server.taken) == (1, 1)
    assert seen == [b"POST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"] * 3


def test_one_that_was_closed_meanwhile_is_not_used(serve: Callable[..., Server], connections: Connections) -> None:
    """Its end has arrived before the next request: another is opened, and the request is sent once."""
    server = serve(answers(OK), answers(OK))
    assert get(connections, server).status == 200
    # The script has ended with its answer, so the end of the connection is on its way or here.
    kept = connections._idle[server.base][0].socket
    kept.settimeout(5)
    assert kept.recv(1) == b""
    assert get(connections, server).status == 200
    assert connections.opened == 2


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_one_that_a_server_closes_is_not_kept(
    serve: Callable[..., Server], connections: Connections, content: bytes
) -> None:
    """It said so."""
    server = serve(answers(content))
    assert get(connections, server).body == b"ok"
    assert not connections._idle[server.base]


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"", Answer(None, failure=RESET)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", Answer(200, (("content-length", "5"),), b"ok", TRUNCATED)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            Answer(200, (("transfer-encoding", "chunked"),), b"ok", TRUNCATED),
        ),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Answer(None, failure=PROTOCOL)),
        (b"HTTP/1.1 200 OK\r\n\r\nall of it", Answer(200, (), b"all of it")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204)),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Answer(204)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            Answer(200, (("transfer-encoding", "chunked"),), b"ok"),
        ),
    ],
)
def test_every_end_of_an_answer_has_its_word(
    serve: Callable[..., Server], connections: Connections, content: bytes, answer: Answer
) -> None:
    """And the client's own transport has the same for it."""
    assert get(connections, serve(answers(content))) == answer
    with closing(Transport()) as usual:
        assert get(usual, serve(answers(content))) == answer


def test_a_body_that_was_packed_unasked_is_unpacked(serve: Callable[..., Server], connections: Connections) -> None:
    """As the client's own transport does it; one that is not what it says is no HTTP."""
    packed = gzip.compress(b"ok")
    first = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    assert get(connections, serve(answers(first % len(packed) + packed))).body == b"ok"
    assert get(connections, serve(answers(first % 2 + b"ok"))).failure == PROTOCOL


def test_what_nobody_needs_is_closed(serve: Callable[..., Server], connections: Connections) -> None:
    """After many at once, those that stay idle go as the others are used: they would be open for ever."""
    server = serve(answers(OK), answers(OK, OK))
    assert get(connections, server).status == 200
    first = connections._idle[server.base].pop()
    assert get(connections, server).status == 200
    connections._idle[server.base].appendleft(first)
    first.since = -1e9
    assert get(connections, server).status == 200
    assert first.socket.fileno() < 0
    assert len(connections._idle[server.base]) == 1


def test_no_more_connections_is_our_own_end(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told from a target that refuses: the generator is at its limit."""

    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("gevent.socket.create_connection", none_left)
    with pytest.raises(Exhausted, match="Too many open files"):
        connections.exchange("GET", "http://127.0.0.1:1", "/", [])


def test_silence_ends_in_a_timeout(serve: Callable[..., Server], connections: Connections) -> None:
    """Before the answer as within it; the connection is not kept."""
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        _request(connection)
        over.wait(10)

    def halting(connection: socket.socket) -> None:
        _request(connection)
        connection.sendall(OK[:-1])
        over.wait(10)

    for script, status in ((silent, None), (halting, 200)):
        server = serve(script)
        answer = get(connections, server, SOON)
        assert (answer.failure, answer.status) == (TIMEOUT, status)
        assert not connections._idle[server.base]
    over.set()


def test_a_port_without_a_server_refuses(connections: Connections) -> None:
    """Nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert connections.exchange("GET", f"http://127.0.0.1:{port}", "/", []).failure == REFUSED


@pytest.mark.parametrize(("target", "name"), [("/a b", "x"), ("a", "x"), ("/", "x\r\ny")])
def test_what_cannot_be_written_is_not_sent(target: str, name: str) -> None:
    """A request line or a header that would break."""
    with pytest.raises(UsageError):
        head("GET", target, ((name, "1"),))
