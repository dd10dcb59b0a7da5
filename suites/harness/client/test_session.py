"""What a session sends with every request, and what it writes down."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import respx

from popreceipt.client import wire
from popreceipt.client.session import Session, split_base
from popreceipt.client.times import DateTimes, ManualTimes
from popreceipt.client.wire import Ask
from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, Journal

ACTIVITY = "c03bb937-09af-4f13-bd13-8f0b1c8d0a01"
BASE = "https://target.example:8443"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def session(still: ManualTimes, journal: Journal) -> Session:
    return Session(BASE, still, journal)


@respx.mock
def test_an_exchange_is_sent_and_written_down(session: Session, journal: Journal) -> None:
    """The journal holds the request as it went out, the answer as it came, who called and when."""
    route = respx.post(f"{BASE}/api/connector/enqueue/{ACTIVITY}?entity=Customer%20groups").mock(
        httpx.Response(200, json="7a1f2b34-5c6d-4e7f-8a9b-0c1d2e3f4a5b", headers={"X-Seen": "yes"})
    )
    reply = session.send(
        wire.enqueue(ACTIVITY, b"a,b\r\n", entity="Customer groups"), actor="authorised", token="secret-token"
    )
    request = route.calls.last.request
    assert request.content == b"a,b\r\n"
    assert request.headers["authorization"] == "Bearer secret-token"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-length"] == "5"
    assert request.headers["host"] == "target.example:8443"
    assert "content-type" not in request.headers
    assert "cookie" not in request.headers

    assert wire.message_id(reply) == "7a1f2b34-5c6d-4e7f-8a9b-0c1d2e3f4a5b"
    assert reply.header("x-seen") == "yes"
    assert reply.header("x-missing") is None
    (exchange,) = journal.entries
    assert exchange is reply.exchange
    assert isinstance(exchange, Exchange)
    assert (exchange.seq, exchange.operation, exchange.actor) == (1, "enqueue", "authorised")
    assert (exchange.sent, exchange.answered) == (START, START)
    assert exchange.request.url == f"{BASE}/api/connector/enqueue/{ACTIVITY}?entity=Customer%20groups"
    assert exchange.request.body is not None
    assert exchange.request.body.text == "a,b\r\n"
    assert exchange.response is not None
    assert exchange.response.status == 200


@respx.mock
def test_secrets_do_not_enter_the_journal(session: Session, journal: Journal) -> None:
    respx.get(url__startswith=BASE).mock(httpx.Response(204))
    respx.post(url__startswith=BASE).mock(httpx.Response(200, json={"access_token": "very-secret", "expires_in": 3599}))
    session.send(wire.dequeue(ACTIVITY), token="secret-token")
    session.send(Ask("POST", "/tenant/oauth2/v2.0/token", body=b"grant_type=client_credentials&client_secret=hush"))
    written = b"\n".join(journal.lines())
    for secret in (b"secret-token", b"very-secret", b"hush"):
        assert secret not in written


@respx.mock
def test_secrets_that_a_server_says_back_do_not_enter_the_journal(session: Session, journal: Journal) -> None:
    """Neither as they were sent nor as URLs and JSON spell them; the caller has the answer as it came."""
    secret, token = 'very/"secret"', "opaque-token+1"
    echo = httpx.Response(
        401, json={"error_description": f"{secret} is wrong"}, headers={"x-form": quote(secret, safe="")}
    )
    respx.post(url__startswith=BASE).mock(echo)
    respx.get(url__startswith=BASE).mock(httpx.Response(200, text=f"you are {token}", headers={"x-you": token}))
    form = urlencode({"grant_type": "client_credentials", "client_secret": secret}).encode()
    refused = session.send(Ask("POST", "/tenant/oauth2/v2.0/token", body=form))
    answered = session.send(wire.dequeue(ACTIVITY), token=token)
    assert secret in refused.json()["error_description"]
    assert token in answered.body.decode()
    written = b"\n".join(journal.lines())
    for each in (secret, quote(secret, safe=""), json.dumps(json.dumps(secret))[3:-3], token, quote(token, safe="")):
        assert each.encode() not in written


@respx.mock
def test_without_a_token_none_is_sent(session: Session) -> None:
    route = respx.get(f"{BASE}/api/connector/dequeue/{ACTIVITY}").mock(httpx.Response(401))
    reply = session.send(wire.dequeue(ACTIVITY), actor="anonymous")
    assert "authorization" not in route.calls.last.request.headers
    assert "content-length" not in route.calls.last.request.headers
    assert (reply.status, reply.ok) == (401, False)


@respx.mock
def test_a_post_without_a_body_says_so(session: Session) -> None:
    route = respx.post(f"{BASE}/api/connector/ack/{ACTIVITY}").mock(httpx.Response(400))
    session.send(wire.ack(ACTIVITY, b""), headers=[("x-more", "1")])
    assert route.calls.last.request.headers["content-length"] == "0"
    assert route.calls.last.request.headers["x-more"] == "1"


@respx.mock
def test_a_chunked_upload_announces_no_length(session: Session, journal: Journal) -> None:
    """The body goes out in chunks; the journal keeps it whole, as of any upload."""
    route = respx.post(url__startswith=BASE).mock(httpx.Response(200, json="x"))
    body = bytes(range(256)) * 40
    session.send(wire.enqueue(ACTIVITY, body), chunked=True)
    request = route.calls.last.request
    assert request.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in request.headers
    assert request.content == body
    (exchange,) = journal.entries
    assert isinstance(exchange, Exchange)
    assert exchange.request.body is not None
    assert exchange.request.body.content() == body


@respx.mock
@pytest.mark.parametrize(
    ("error", "failure"),
    [(httpx.ReadTimeout, "timeout"), (httpx.ReadError, "reset"), (httpx.ConnectError, "refused")],
)
def test_a_failure_is_a_reply_and_an_exchange(
    session: Session, journal: Journal, error: type[Exception], failure: str
) -> None:
    """Nothing is raised and nothing sent again: that a call failed is for rules to weigh."""
    route = respx.get(url__startswith=BASE).mock(side_effect=error)
    reply = session.send(wire.dequeue(ACTIVITY))
    assert (reply.status, reply.failure, reply.ok) == (None, failure, False)
    assert route.call_count == 1
    (exchange,) = journal.entries
    assert isinstance(exchange, Exchange)
    assert (exchange.response, exchange.failure) == (None, failure)


def test_a_truncated_answer_is_there_in_part(peer: Callable[..., Any], still: ManualTimes, journal: Journal) -> None:
    server = peer(lambda connection: connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"Corr'))
    reply = Session(server.url, still, journal).send(wire.dequeue(ACTIVITY))
    assert (reply.status, reply.failure, reply.body) == (None, "truncated", b'{"Corr')
    assert wire.delivery(reply) is None
    (exchange,) = journal.entries
    assert isinstance(exchange, Exchange)
    assert exchange.response is not None
    assert exchange.response.status == 200


@respx.mock
def test_a_path_before_the_api_is_kept(still: ManualTimes, journal: Journal) -> None:
    route = respx.get(f"{BASE}/namespaces/AXSF/api/connector/dequeue/{ACTIVITY}").mock(httpx.Response(204))
    Session(f"{BASE}/namespaces/AXSF/", still, journal).send(wire.dequeue(ACTIVITY))
    assert route.called


@respx.mock
def test_a_call_stands_between_the_times_before_and_after_it(journal: Journal) -> None:
    """A clock that is moved while a call is under way widens what is known of the call."""
    state = {"now": START}

    def move(seconds: float) -> datetime:
        state["now"] += timedelta(seconds=seconds)
        return state["now"]

    times = ManualTimes(START, move)

    def answer(_: httpx.Request) -> httpx.Response:
        times.advance(60)
        return httpx.Response(204)

    respx.get(url__startswith=BASE).mock(side_effect=answer)
    exchange = Session(BASE, times, journal).send(wire.dequeue(ACTIVITY)).exchange
    assert (exchange.sent, exchange.answered) == (START, START + timedelta(seconds=60))


@respx.mock
def test_the_date_header_of_the_target_tells_the_time_and_no_others(journal: Journal) -> None:
    """A token endpoint elsewhere has a clock of its own, which nobody asked for."""
    respx.get(url__startswith=BASE).mock(httpx.Response(204, headers={"date": "Mon, 05 Jan 2026 10:00:00 GMT"}))
    respx.post(url__startswith="https://login.example").mock(
        httpx.Response(200, json={}, headers={"date": "Thu, 05 Jan 2040 10:00:00 GMT"})
    )
    session = Session(BASE, DateTimes(real=lambda: 100.0), journal)
    login = session.elsewhere("https://login.example")
    first = session.send(wire.dequeue(ACTIVITY)).exchange
    said = datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert first.sent <= said <= first.answered <= said + timedelta(seconds=3)
    second = login.send(Ask("POST", "/tenant/oauth2/token")).exchange
    assert (second.sent, second.answered) == (first.sent, first.answered)
    assert second.request.url == "https://login.example/tenant/oauth2/token"


def test_many_threads_write_one_journal(still: ManualTimes, journal: Journal) -> None:
    """Every exchange has a number of its own, and none is lost."""
    inner = httpx.MockTransport(lambda _: httpx.Response(204))
    with Session("http://target", still, journal, transport=inner) as session:

        def work() -> None:
            for _ in range(50):
                session.send(wire.dequeue(ACTIVITY))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    numbers = [entry.seq for entry in journal.entries if isinstance(entry, Exchange)]
    assert numbers == list(range(1, 401))


def test_json_that_is_none_is_none(session: Session) -> None:
    with respx.mock:
        respx.get(url__startswith=BASE).mock(httpx.Response(200, content=b"<html>"))
        assert session.send(wire.dequeue(ACTIVITY)).json() is None
        respx.get(url__startswith=BASE).mock(httpx.Response(200, content=b"[" * 200_000))
        assert session.send(wire.dequeue(ACTIVITY)).json() is None
        respx.get(url__startswith=BASE).mock(httpx.Response(200, content=json.dumps({"a": 1}).encode()))
        assert session.send(wire.dequeue(ACTIVITY)).json() == {"a": 1}


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://Host:80/", ("http://host:80", "")),
        ("https://host", ("https://host", "")),
        ("http://[::1]:8365", ("http://[::1]:8365", "")),
        ("https://host/namespaces/AXSF/", ("https://host", "/namespaces/AXSF")),
        ("http://user:word@host", ("http://host", "")),
    ],
)
def test_a_base_url_is_an_origin_and_a_prefix(url: str, parts: tuple[str, str]) -> None:
    assert split_base(url) == parts


@pytest.mark.parametrize(
    "url", ["", "host:80", "ftp://host", "http://", "http://host:99999", "http://host?x=1", "http://["]
)
def test_what_is_no_base_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="base URL"):
        split_base(url)
