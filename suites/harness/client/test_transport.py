"""What the network does to a request, and the word each failure gets."""

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import trustme

from popreceipt.client.transport import Transport, context
from popreceipt.exceptions import UsageError

Behaviour = Callable[[socket.socket], None]
Peers = Callable[..., Any]
HEADERS = (("host", "target"),)


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


def says(content: bytes) -> Behaviour:
    return lambda connection: connection.sendall(content)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Twice: a\r\nx-twice: b\r\n\r\nhi"


def test_an_answer_is_read_whole(peer: Peers, transport: Transport) -> None:
    """Status, headers in their order with names in lower case, and the body."""
    answer = transport.exchange("GET", peer(says(OK)).url, "/", HEADERS)
    assert (answer.status, answer.body, answer.failure) == (200, b"hi", None)
    assert answer.headers == (("content-length", "2"), ("x-twice", "a"), ("x-twice", "b"))


@pytest.mark.parametrize("target", ["/api/{A}/x?e=a+b", "/a%2fb?x=%7b", "//double", "/en/api?jobId=%22x%22"])
def test_the_request_line_stands_as_it_was_asked_for(peer: Peers, transport: Transport, target: str) -> None:
    """Nothing is normalised on the way: braces, plus signs and the case of escapes stay."""
    server = peer(says(OK))
    transport.exchange("GET", server.url, target, HEADERS)
    assert server.requests[0].split(b"\r\n")[0] == f"GET {target} HTTP/1.1".encode()


def test_nothing_is_added_to_the_headers(peer: Peers, transport: Transport) -> None:
    server = peer(says(OK))
    transport.exchange(
        "POST", server.url, "/", (*HEADERS, ("content-length", "3"), ("x-name", "gr\u00fc\u00df")), b"abc"
    )
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[1:] == [
        b"host: target",
        b"content-length: 3",
        "x-name: gr\u00fc\u00df".encode("latin-1"),
    ]
    assert body == b"abc"


def test_a_header_beyond_latin_1_goes_out_as_utf_8(peer: Peers, transport: Transport) -> None:
    server = peer(says(OK))
    transport.exchange("GET", server.url, "/", (*HEADERS, ("x-name", "\u0444.csv")))
    assert "x-name: \u0444.csv".encode() in server.requests[0]


def test_pieces_are_sent_in_chunks(peer: Peers, transport: Transport) -> None:
    server = peer(says(OK))
    transport.exchange("POST", server.url, "/", (*HEADERS, ("transfer-encoding", "chunked")), iter([b"ab", b"c"]))
    assert server.requests[0].endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")


def test_a_redirect_is_an_answer_like_any_other(peer: Peers, transport: Transport) -> None:
    server = peer(says(b"HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\n"))
    assert transport.exchange("GET", server.url, "/", HEADERS).status == 302
    transport.exchange("GET", server.url, "/", HEADERS)
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


def test_a_compressed_answer_is_unpacked(peer: Peers, transport: Transport) -> None:
    """We ask for none, but a server may send one all the same."""
    body = gzip.compress(b"hello")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert transport.exchange("GET", peer(says(head + body)).url, "/", HEADERS).body == b"hello"


def test_an_answer_that_cannot_be_unpacked_breaks_the_protocol(peer: Peers, transport: Transport) -> None:
    server = peer(says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nplain"[:-1]))
    assert transport.exchange("GET", server.url, "/", HEADERS).failure == "protocol"


def test_nobody_listening_is_refused(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = transport.exchange("GET", f"http://127.0.0.1:{port}", "/", HEADERS)
    assert (answer.status, answer.failure) == (None, "refused")


def test_a_closed_connection_without_an_answer_is_a_reset(peer: Peers, transport: Transport) -> None:
    assert transport.exchange("GET", peer(lambda _: None).url, "/", HEADERS).failure == "reset"


def test_a_reset_is_a_reset(peer: Peers, rst: Behaviour, transport: Transport) -> None:
    assert transport.exchange("GET", peer(rst).url, "/", HEADERS).failure == "reset"


def test_half_a_body_is_truncated_and_kept(peer: Peers, transport: Transport) -> None:
    server = peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
    answer = transport.exchange("GET", server.url, "/", HEADERS)
    assert (answer.status, answer.body, answer.failure) == (200, b"half", "truncated")


def test_a_body_cut_between_chunks_is_truncated(peer: Peers, transport: Transport) -> None:
    server = peer(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"))
    answer = transport.exchange("GET", server.url, "/", HEADERS)
    assert (answer.body, answer.failure) == (b"half", "truncated")


def test_a_silent_server_is_a_timeout(peer: Peers, transport: Transport) -> None:
    over = threading.Event()
    server = peer(lambda _: over.wait(5) and None)
    assert transport.exchange("GET", server.url, "/", HEADERS, timeout=0.05).failure == "timeout"
    over.set()


def test_a_body_that_does_not_end_is_a_timeout(peer: Peers, transport: Transport) -> None:
    over = threading.Event()

    def dawdle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        over.wait(5)

    answer = transport.exchange("GET", peer(dawdle).url, "/", HEADERS, timeout=0.05)
    assert (answer.status, answer.body, answer.failure) == (200, b"half", "timeout")
    over.set()


def test_a_trickle_does_not_outlast_the_timeout() -> None:
    """Each wait is short, the whole is not: the answer is given up all the same."""

    class Trickle(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x"

    class Endless(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Trickle(), request=request)

    answer = Transport(Endless()).exchange("GET", "http://target", "/", HEADERS, timeout=0.01)
    assert answer.failure == "timeout"


@pytest.mark.parametrize("noise", [b"hello\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_noise_breaks_the_protocol(peer: Peers, transport: Transport, noise: bytes) -> None:
    assert transport.exchange("GET", peer(says(noise)).url, "/", HEADERS).failure == "protocol"


def test_a_bad_chunk_breaks_the_protocol(peer: Peers, transport: Transport) -> None:
    server = peer(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n"))
    answer = transport.exchange("GET", server.url, "/", HEADERS)
    assert (answer.status, answer.failure) == (200, "protocol")


@respx.mock
@pytest.mark.parametrize(
    ("error", "word"),
    [
        (httpx.ConnectTimeout, "timeout"),
        (httpx.ReadTimeout, "timeout"),
        (httpx.WriteTimeout, "timeout"),
        (httpx.PoolTimeout, "timeout"),
        (httpx.ConnectError, "refused"),
        (httpx.ReadError, "reset"),
        (httpx.WriteError, "reset"),
        (httpx.CloseError, "reset"),
        (httpx.RemoteProtocolError, "protocol"),
    ],
)
def test_every_failure_has_its_word(error: type[httpx.TransportError], word: str) -> None:
    respx.get("http://target/").mock(side_effect=error)
    transport = Transport()
    assert transport.exchange("GET", "http://target", "/", HEADERS).failure == word
    transport.close()


@pytest.mark.parametrize(
    ("base", "target", "headers"),
    [
        ("http://target", "/\u00fc", HEADERS),
        ("http://target:port", "/", HEADERS),
        ("http://127.0.0.1", "/a b", HEADERS),
    ],
)
def test_what_is_no_request_is_the_callers_mistake(
    base: str, target: str, headers: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(UsageError):
        Transport().exchange("GET", base, target, headers)


def test_a_header_with_a_line_break_is_the_callers_mistake(peer: Peers, transport: Transport) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        transport.exchange("GET", peer(says(OK)).url, "/", (*HEADERS, ("x-name", "a\r\nb: c")))


def test_a_closed_transport_opens_anew(peer: Peers, transport: Transport) -> None:
    server = peer(says(OK))
    transport.exchange("GET", server.url, "/", HEADERS)
    transport.close()
    assert transport.exchange("GET", server.url, "/", HEADERS).status == 200


def test_a_handed_in_transport_stays_its_owners() -> None:
    class Watched(httpx.MockTransport):
        closed = False

        def close(self) -> None:
            self.closed = True

    inner = Watched(lambda _: httpx.Response(204))
    Transport(inner).close()
    assert not inner.closed


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path / "authority.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


@pytest.fixture
def tls_peer(peer: Peers) -> Callable[[trustme.CA], str]:
    """Makes servers with a certificate of this authority; their URL."""

    def make(authority: trustme.CA) -> str:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(server)
        return str(peer(says(OK), server).url)

    return make


def test_a_file_with_an_authority_is_trusted(
    tls_peer: Callable[[trustme.CA], str], authority: tuple[trustme.CA, Path]
) -> None:
    transport = Transport(verify=authority[1])
    assert transport.exchange("GET", tls_peer(authority[0]), "/", HEADERS).status == 200
    transport.close()


def test_a_strange_authority_is_not_trusted(
    tls_peer: Callable[[trustme.CA], str], authority: tuple[trustme.CA, Path]
) -> None:
    """The handshake fails, so nothing was asked: refused."""
    transport = Transport()
    assert transport.untrusted is None
    assert transport.exchange("GET", tls_peer(authority[0]), "/", HEADERS).failure == "refused"
    assert transport.untrusted is not None
    assert "certificate" in transport.untrusted
    transport.close()


def test_a_ready_context_is_kept() -> None:
    made = ssl.create_default_context()
    assert context(made) is made
    assert context(None) is None


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_an_authority_is_the_callers_mistake(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match="certificate authority"):
        Transport(verify=path)
