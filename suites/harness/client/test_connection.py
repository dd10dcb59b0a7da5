"""Calls in daily use: where the token goes, how long to wait, what may pass, and what a file on its way does."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from popreceipt.client import wire
from popreceipt.client.connection import MOST_REDIRECTS, Answer, Connection, Credentials, Place
from popreceipt.client.patience import Patience, Watch
from popreceipt.exceptions import UsageError

BASE = "https://environment.example:8443"
TOKEN_URL = "https://login.example/tenant/oauth2/v2.0/token"
ACTIVITY = "c03bb937-09af-4f13-bd13-8f0b1c8d0a01"
DEQUEUE = f"{BASE}/api/connector/dequeue/{ACTIVITY}"


class Counting(Watch):
    """Time that passes by waiting alone."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 100.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    def date(self) -> float:
        return datetime(2026, 1, 1, tzinfo=UTC).timestamp() + self.time

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.time += seconds
        return not self.over


@pytest.fixture
def watch() -> Counting:
    return Counting()


@pytest.fixture
def connect(watch: Counting) -> Iterator[Callable[..., Connection]]:
    with ExitStack() as closing:

        def make(base_url: str = BASE, **named: Any) -> Connection:
            whose = Credentials(token_url=TOKEN_URL, client_id="client", client_secret="secret")
            options = {"patience": Patience(), "watch": watch} | named
            return closing.enter_context(Connection(base_url, whose, **options))

        yield make


@pytest.fixture
def mock() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        router.post(TOKEN_URL, name="token").mock(
            side_effect=lambda _: httpx.Response(
                200, json={"access_token": f"token-{router['token'].call_count + 1}", "expires_in": 3600}
            )
        )
        yield router


def ask(connection: Connection, **options: Any) -> Answer:
    return connection.call("dequeue", wire.dequeue(ACTIVITY), **options)


def bearer(request: httpx.Request) -> str | None:
    return request.headers.get("authorization")


# Tokens


def test_one_token_serves_many_calls(connect: Callable[..., Connection], mock: respx.MockRouter) -> None:
    mock.get(DEQUEUE).respond(204)
    connection = connect()
    for _ in range(3):
        assert ask(connection).ok
    assert mock["token"].call_count == 1
    form = mock["token"].calls.last.request.content.decode()
    assert "scope=https%3A%2F%2Fenvironment.example%3A8443%2F.default" in form
    assert [bearer(each.request) for each in mock.calls[1:]] == ["Bearer token-1"] * 3


def test_a_token_is_renewed_a_minute_before_its_end(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    mock.get(DEQUEUE).respond(204)
    connection = connect()
    ask(connection)
    watch.time += 3539
    ask(connection)
    assert mock["token"].call_count == 1
    watch.time += 2
    ask(connection)
    assert mock["token"].call_count == 2


def test_a_refused_token_is_renewed_and_the_call_made_again(
    connect: Callable[..., Connection], mock: respx.MockRouter
) -> None:
    route = mock.get(DEQUEUE).mock(side_effect=[httpx.Response(401), httpx.Response(204)])
    assert ask(connect()).status == 204
    assert [bearer(each.request) for each in route.calls] == ["Bearer token-1", "Bearer token-2"]


def test_a_refusal_that_stays_costs_no_token_each_time(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    mock.get(DEQUEUE).respond(401)
    connection = connect()
    for _ in range(5):
        assert ask(connection).status == 401
    assert mock["token"].call_count == 2
    watch.time += connection.patience.longest
    ask(connection)
    assert mock["token"].call_count == 3


def test_an_issuer_that_refuses_is_asked_ever_later(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    mock["token"].mock(return_value=httpx.Response(401, json={"error": "invalid_client"}))
    connection = connect()
    for _ in range(4):
        answer = ask(connection)
        assert (answer.failure, answer.sent) == ("token", False)
    assert mock["token"].call_count == 4
    assert watch.waits == sorted(watch.waits)
    assert len(watch.waits) == 3


def test_an_issuer_that_is_out_of_order_is_asked_again(
    connect: Callable[..., Connection], mock: respx.MockRouter
) -> None:
    good = httpx.Response(200, json={"access_token": "one", "expires_in": "3600"})
    mock["token"].mock(side_effect=[httpx.Response(503), httpx.ReadError("gone"), good])
    mock.get(DEQUEUE).respond(204)
    assert ask(connect()).ok


# Where the token goes


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("http://environment.example/api/x?y=%7Bz%7D", f"{BASE}/api/x?y=%7Bz%7D"),
        ("http://environment.example:80/api/x?y", f"{BASE}/api/x?y"),
        ("https://environment.example/api/x?y", f"{BASE}/api/x?y"),
        ("https://ENVIRONMENT.example:8443/api/x?y", f"{BASE}/api/x?y"),
        ("http://environment.example:8443/api/x?y", f"{BASE}/api/x?y"),
        ("/api/x?y#z", f"{BASE}/api/x?y"),
    ],
)
def test_a_location_on_its_own_host_is_asked_at_the_base_url(
    connect: Callable[..., Connection], location: str, asked: str
) -> None:
    assert connect().places(location) == [Place(asked, own=True)]


def test_names_of_the_loopback_are_one_host(connect: Callable[..., Connection]) -> None:
    (place,) = connect("http://127.0.0.1:8365").places("http://localhost:8365/api/x")
    assert place == Place("http://127.0.0.1:8365/api/x", own=True)


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("https://other.example/b?sig=1", "https://other.example/b?sig=1"),
        ("http://other.example:80/b?sig=1", "https://other.example/b?sig=1"),
        ("http://other.example:81/b", "https://other.example:81/b"),
        ("http://[::2]:80/b", "https://[::2]/b"),
        ("https://environment.example:9999/b", "https://environment.example:9999/b"),
    ],
)
def test_another_host_is_asked_without_the_token_and_then_the_own_one(
    connect: Callable[..., Connection], location: str, asked: str
) -> None:
    first, second = connect().places(location)
    assert first == Place(asked, own=False)
    assert second.own
    assert second.url.startswith(f"{BASE}/b")


@pytest.mark.parametrize("location", ["http://[oops", "ftp://environment.example/x", "http://x:port/"])
def test_what_is_no_url_is_asked_nowhere(connect: Callable[..., Connection], location: str) -> None:
    assert connect().places(location) == []


def test_a_redirect_to_another_host_goes_without_the_token(
    connect: Callable[..., Connection], mock: respx.MockRouter
) -> None:
    mock.get(f"{BASE}/file").respond(302, headers={"location": "https://blobs.example/file?sig=1"})
    mock.get("https://blobs.example/file?sig=1").respond(200, content=b"whole")
    sink = io.BytesIO()
    assert connect().download(Place(f"{BASE}/file", own=True), sink).status == 200
    assert sink.getvalue() == b"whole"
    first, second = mock.calls[-2:]
    assert bearer(first.request) == "Bearer token-1"
    assert bearer(second.request) is None


def test_a_redirect_on_the_own_host_keeps_the_token_and_never_leaves_https(
    connect: Callable[..., Connection], mock: respx.MockRouter
) -> None:
    mock.get(f"{BASE}/file").respond(302, headers={"location": "http://environment.example/other"})
    route = mock.get(f"{BASE}/other").respond(200, content=b"whole")
    connect().download(Place(f"{BASE}/file", own=True), io.BytesIO())
    assert bearer(route.calls.last.request) == "Bearer token-1"


def test_redirects_end(connect: Callable[..., Connection], mock: respx.MockRouter) -> None:
    route = mock.get(f"{BASE}/file").respond(302, headers={"location": f"{BASE}/file"})
    assert connect().download(Place(f"{BASE}/file", own=True), io.BytesIO()).status == 302
    assert route.call_count == MOST_REDIRECTS


# Failures


@pytest.mark.parametrize(
    ("error", "failure", "sent"),
    [
        (httpx.ConnectError("refused"), "refused", False),
        (httpx.ConnectTimeout("silent"), "refused", False),
        (httpx.ProxyError("407"), "refused", False),
        (httpx.ReadTimeout("silent"), "timeout", True),
        (httpx.ReadError("gone"), "reset", True),
        (httpx.WriteError("gone"), "reset", True),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), "reset", True),
    ],
)
def test_a_failure_tells_whether_the_call_may_have_arrived(
    connect: Callable[..., Connection], mock: respx.MockRouter, error: Exception, failure: str, sent: bool
) -> None:
    mock.get(DEQUEUE).mock(side_effect=error)
    answer = ask(connect())
    assert (answer.status, answer.failure, answer.sent, answer.ok) == (None, failure, sent, False)


def test_tries_come_ever_later_and_end(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    route = mock.get(DEQUEUE).respond(503)
    connection = connect()
    assert connection.persist(lambda: ask(connection)).status == 503
    assert route.call_count == connection.patience.tries
    assert watch.waits == sorted(watch.waits)
    assert len(watch.waits) == connection.patience.tries - 1


def test_no_try_begins_when_it_is_too_late(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    route = mock.get(DEQUEUE).respond(503)
    connection = connect()
    connection.persist(lambda: ask(connection), until=watch.now() + 2.5)
    assert route.call_count == 2


def test_what_does_not_pass_is_tried_once(connect: Callable[..., Connection], mock: respx.MockRouter) -> None:
    route = mock.get(DEQUEUE).respond(404)
    connection = connect()
    assert connection.persist(lambda: ask(connection)).status == 404
    assert route.call_count == 1


# Retry-After


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "date by the service's clock"])
def test_the_service_is_left_alone_for_as_long_as_it_asks(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting, status: int, form: str
) -> None:
    now = datetime.fromtimestamp(watch.date(), UTC)
    headers = {"retry-after": "120"}
    if form == "date":
        headers = {"retry-after": format_datetime(now + timedelta(seconds=120), usegmt=True)}
    elif form != "seconds":
        ahead = now + timedelta(hours=5)
        headers = {
            "date": format_datetime(ahead, usegmt=True),
            "retry-after": format_datetime(ahead + timedelta(seconds=120), usegmt=True),
        }
    mock.get(DEQUEUE).mock(side_effect=[httpx.Response(status, headers=headers), httpx.Response(204)])
    connection = connect()
    ask(connection)
    began = watch.now()
    assert ask(connection).ok
    assert watch.now() - began == pytest.approx(120, abs=0.001)


@pytest.mark.parametrize("said", ["soon", "-1", "1.5", ""])
def test_a_retry_after_that_says_nothing_is_ignored(connect: Callable[..., Connection], said: str) -> None:
    assert connect().retry_after(Answer(status=429, headers=(("retry-after", said),))) is None


def test_a_retry_after_counts_for_its_operation_alone(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    mock.get(DEQUEUE).respond(429, headers={"retry-after": "120"})
    mock.post(url__startswith=f"{BASE}/api/connector/ack").respond(200)
    connection = connect()
    ask(connection)
    assert connection.call("ack", wire.ack(ACTIVITY, b"{}")).ok
    assert watch.waits == []


def test_a_call_that_would_be_too_late_is_not_made(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    """The service wants to be left alone until after the lease: then the acknowledgment makes no sense."""
    route = mock.get(DEQUEUE).respond(429, headers={"retry-after": "120"})
    connection = connect()
    ask(connection)
    answer = ask(connection, until=watch.now() + 60)
    assert (answer.failure, answer.sent) == ("late", False)
    assert route.call_count == 1


# Files


def test_an_upload_has_a_length_and_is_whole_at_each_try(
    connect: Callable[..., Connection], mock: respx.MockRouter, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    route = mock.post(url__startswith=f"{BASE}/api/connector/enqueue").mock(
        side_effect=[httpx.Response(401), httpx.Response(200)]
    )
    connect().call("enqueue", wire.enqueue(ACTIVITY, b"", entity="Customer groups"), upload=file)
    assert [each.request.content for each in route.calls] == [file.read_bytes()] * 2
    assert [each.request.headers["content-length"] for each in route.calls] == ["256000"] * 2
    assert "transfer-encoding" not in route.calls.last.request.headers


def test_a_cut_download_is_no_whole_one_and_the_next_begins_anew(
    connect: Callable[..., Connection], mock: respx.MockRouter
) -> None:
    class Cut(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"a part that is longer"
            raise httpx.RemoteProtocolError("peer closed connection")

    mock.get(f"{BASE}/file").mock(side_effect=[httpx.Response(200, stream=Cut()), httpx.Response(200, content=b"all")])
    connection, sink = connect(), io.BytesIO()
    first = connection.download(Place(f"{BASE}/file", own=True), sink)
    assert (first.status, first.failure, first.head) == (None, "truncated", 200)
    assert connection.download(Place(f"{BASE}/file", own=True), sink).status == 200
    assert sink.getvalue() == b"all"


def test_an_error_never_lands_in_the_file(connect: Callable[..., Connection], mock: respx.MockRouter) -> None:
    mock.get(f"{BASE}/file").respond(500, content=b"An error has occurred.")
    sink = io.BytesIO(b"before")
    assert connect().download(Place(f"{BASE}/file", own=True), sink).status == 500
    assert sink.getvalue() == b"before"


def test_a_file_that_trickles_is_given_up_in_the_end(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    class Trickling(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                watch.time += 10
                yield b"."

    mock.get(f"{BASE}/file").respond(200, stream=Trickling())
    answer = connect().download(Place(f"{BASE}/file", own=True), io.BytesIO())
    assert (answer.status, answer.failure) == (None, "timeout")


def test_nothing_begins_when_it_is_over(
    connect: Callable[..., Connection], mock: respx.MockRouter, watch: Counting
) -> None:
    watch.stop()
    answer = ask(connect())
    assert (answer.failure, answer.sent) == ("stopped", False)
    assert not mock.calls


def test_no_cookie_is_kept(connect: Callable[..., Connection], mock: respx.MockRouter) -> None:
    route = mock.get(DEQUEUE).respond(204, headers={"set-cookie": "affinity=1; Path=/"})
    connection = connect()
    ask(connection)
    ask(connection)
    assert "cookie" not in route.calls.last.request.headers


def test_a_secret_is_not_shown(connect: Callable[..., Connection]) -> None:
    assert "secret=" not in repr(connect().credentials)


@pytest.mark.parametrize("url", ["environment.example", "ftp://x", "https://"])
def test_a_base_url_that_is_none_is_refused(connect: Callable[..., Connection], url: str) -> None:
    with pytest.raises(UsageError, match="base URL"):
        connect(url)


# Patience


@pytest.mark.parametrize("lease", [1.0, 6.0, 60.0, 1800.0])
def test_what_is_waited_for_fits_the_lease(lease: float) -> None:
    patience = Patience.fitted_to(lease)
    assert patience.margin < lease
    assert patience.poll <= max(0.25, lease / 20)
    assert patience.longest <= max(1.0, lease / 4)
    assert patience.answer <= max(2.0, lease / 3)


def test_pauses_double_up_to_the_longest_and_differ_by_chance() -> None:
    patience = Patience(first=1.0, longest=60.0)
    assert [patience.pause(number, lambda: 0.0) for number in (1, 2, 3, 7, 1000)] == [1, 2, 4, 60, 60]
    assert patience.pause(1, lambda: 1.0) == 1.5


def test_a_watch_ends_by_itself_and_when_it_is_told() -> None:
    assert Watch(0.0).over
    watch = Watch(60.0)
    assert not watch.over
    watch.stop()
    assert watch.over
    assert not watch.wait(60.0)
