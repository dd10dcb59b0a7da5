"""What a stranger sends has an end: endless bodies, heads that never come, and little that is much once unpacked."""

import gzip
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from popreceipt.client.inflow import KEPT, BadCoding, Inflow, TooLong
from popreceipt.client.session import Session
from popreceipt.client.transport import Transport
from popreceipt.client.wire import Ask
from popreceipt.journal import Journal
from popreceipt.load.connections import Connections
from popreceipt.rules import catalogue
from popreceipt.rules.eras import judge_eras
from popreceipt.verdict import Outcome

Behaviour = Callable[[socket.socket], None]
Peers = Callable[..., Any]

MEGABYTE = 1024 * 1024
HEADERS = (("host", "target"),)
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.fixture(params=[Transport, Connections])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Both ways to send: the client's, and that of load."""
    with closing(request.param()) as made:
        yield made


def without_end(begin: bytes, then: bytes) -> Behaviour:
    """Sends a beginning, and then the same until the caller is gone."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(then)

    return behave


@pytest.mark.parametrize(
    ("begin", "then"),
    [
        (HEAD + b"\r\n", b"x" * KEPT),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * KEPT + b"\r\n"),
        (HEAD + b"Content-Length: 999999999999\r\n\r\n", b"x" * KEPT),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 1_000),
    ],
    ids=["until-closed", "chunked", "announced", "packed-nothing"],
)
def test_a_body_without_end_is_too_long(peer: Peers, transport: Transport, begin: bytes, then: bytes) -> None:
    """It is not waited for, and hardly any of it is kept."""
    answer = transport.exchange("GET", peer(without_end(begin, then)).url, "/", HEADERS, most=MEGABYTE)
    assert (answer.status, answer.failure) == (200, "too-long")
    assert len(answer.body) <= KEPT


@pytest.mark.parametrize(
    ("begin", "then", "word"),
    [
        (HEAD + b"X-Long: ", b"x" * KEPT, "protocol"),
        (HEAD, b"X-Again: x\r\n" * 5_000, "protocol"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000, "timeout"),
    ],
    ids=["a-line", "lines", "interim"],
)
def test_a_head_without_end_is_given_up(
    peer: Peers, transport: Transport, begin: bytes, then: bytes, word: str
) -> None:
    """By its length, or by the time it takes."""
    answer = transport.exchange("GET", peer(without_end(begin, then)).url, "/", HEADERS, timeout=0.2)
    assert answer.status is None
    assert answer.failure in (word, "protocol")


def test_a_body_of_the_very_length_is_whole(peer: Peers, transport: Transport) -> None:
    """What is permitted is not more than that, packed or not."""
    body = b"x" * MEGABYTE
    packed = gzip.compress(body)
    plain = peer(lambda each: each.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body))
    small = peer(
        lambda each: each.sendall(
            HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed
        )
    )
    for server in (plain, small):
        answer = transport.exchange("GET", server.url, "/", HEADERS, most=MEGABYTE)
        assert (answer.failure, answer.body) == (None, body)
        answer = transport.exchange("GET", server.url, "/", HEADERS, most=MEGABYTE - 1)
        assert (answer.failure, answer.body) == ("too-long", body[: len(answer.body)])
        assert 0 < len(answer.body) <= KEPT
        assert answer.came <= MEGABYTE


def test_a_bomb_is_unpacked_only_as_far_as_there_is_room() -> None:
    """A thousand times as much, and that once more within: it is let go before it is there."""
    bomb = gzip.compress(gzip.compress(bytes(200 * MEGABYTE), 9), 9)
    assert len(bomb) < KEPT
    inflow = Inflow([("content-encoding", "gzip, gzip")], MEGABYTE)
    with pytest.raises(TooLong):
        inflow.take(bomb)
    assert inflow.content() == bytes(KEPT)


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", gzip.compress(b"whole")),
        ("x-gzip", gzip.compress(b"whole")),
        ("deflate", zlib.compress(b"whole")),
        ("deflate", zlib.compress(b"whole")[2:-4]),
        ("deflate, gzip", gzip.compress(zlib.compress(b"whole"))),
        ("identity", b"whole"),
        ("br", b"whole"),
        ("gzip", b""),
    ],
)
@pytest.mark.parametrize("at_once", [1, 100])
def test_what_is_packed_is_unpacked_however_it_comes(coding: str, content: bytes, at_once: int) -> None:
    """In letters or as a whole; what nobody knows stays as it came."""
    inflow = Inflow([("content-encoding", coding)], 1_000)
    for start in range(0, len(content), at_once):
        inflow.take(content[start : start + at_once])
    inflow.end()
    assert inflow.content() == (b"whole" if content else b"")


@pytest.mark.parametrize("content", [b"plain", gzip.compress(b"whole")[:-9]])
def test_what_cannot_be_unpacked_is_told(content: bytes) -> None:
    inflow = Inflow([("content-encoding", "gzip")], 1_000)

    def read() -> None:
        inflow.take(content)
        inflow.end()

    with pytest.raises(BadCoding):
        read()


@pytest.mark.parametrize("length", ["9" * 5_000, "-1", "ten", "\u0664", ""])
def test_no_announced_length_stops_the_reader(length: str) -> None:
    """Whatever stands there."""
    inflow = Inflow([("content-length", length)], 10)
    if length.startswith("9"):
        with pytest.raises(TooLong):
            inflow.take(b"x")
    else:
        inflow.take(b"x")
        inflow.end()
        assert inflow.content() == b"x"


def test_a_session_writes_down_that_it_was_too_long_and_goes_on(still: Any) -> None:
    """The exchange has failed, no rule says anything of the server for it, and the next one is as any."""
    answers = [httpx.Response(200, content=bytes(70 * MEGABYTE)), httpx.Response(200, json={"value": "Processed"})]

    class Place(httpx.BaseTransport):
        def handle_request(self, _: httpx.Request) -> httpx.Response:
            return answers.pop(0)

    journal = Journal()
    session = Session("http://target", still, journal, transport=Place())
    ask = Ask("POST", "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus")
    first, second = session.send(ask), session.send(ask)
    assert (first.status, first.failure, second.status) == (None, "too-long", 200)
    written = next(journal.exchanges())
    assert written.failure == "too-long"
    findings = [
        each for verdict in judge_eras(journal.header, journal.entries, catalogue()) for each in verdict.findings
    ]
    assert not [each for each in findings if each.outcome is Outcome.VIOLATED and 1 in each.exchanges]
