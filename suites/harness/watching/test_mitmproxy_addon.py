"""The addon by itself, with stand-ins for mitmproxy's flows, and beside what it has to agree with."""

import ast
import gzip
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from popreceipt import journal, resources, vocabulary
from popreceipt.journal import Exchange, JournalFile, Observation
from popreceipt.watching import mitmproxy_addon as addon
from popreceipt.watching import secrets
from popreceipt.watching.places import _MEMBER

ROOT = "https://qa.example"
ACTIVITY = "6f1a4f2e-0000-4000-8000-000000000001"
DEQUEUE = f"{ROOT}/api/connector/dequeue/{ACTIVITY}"
DOWNLOAD = f"{ROOT}/api/connector/download/{ACTIVITY}?correlation-id=1&blob=2"
TOKENS = "https://login.example/0d5d423d/oauth2/v2.0/token"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Headers(dict[str, str]):
    """As much of mitmproxy's headers as the addon asks for."""

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        return tuple((name.encode(), value.encode()) for name, value in self.items())


@dataclass
class Message:
    """A request or an answer."""

    headers: Headers
    raw_content: bytes | None = b""
    timestamp_start: float = 0.0
    timestamp_end: float | None = None
    method: str = "GET"
    url: str = ""
    status_code: int = 200
    stream: Any = False

    @property
    def pretty_url(self) -> str:
        return self.url

    def get_content(self, *, strict: bool) -> bytes | None:
        assert strict is False
        if self.raw_content is not None and self.headers.get("content-encoding") == "gzip":
            return gzip.decompress(self.raw_content)
        return self.raw_content


@dataclass
class Failed:
    """What mitmproxy says of a flow that failed."""

    msg: str
    timestamp: float


@dataclass
class Mode:
    type_name: str = "regular"


@dataclass
class Connection:
    proxy_mode: Mode = field(default_factory=Mode)


@dataclass
class Flow:
    """One request on its way through mitmproxy."""

    request: Message
    response: Message | None = None
    error: Failed | None = None
    client_conn: Connection = field(default_factory=Connection)
    id: str = "1"


_clock = iter(range(1_700_000_000, 1_800_000_000))


def flow(
    url: str,
    body: bytes = b"",
    *,
    method: str = "GET",
    status: int | None = 200,
    answer: bytes = b"",
    error: str | None = None,
    headers: dict[str, str] | None = None,
    answer_headers: dict[str, str] | None = None,
) -> Flow:
    """A flow, each a second after the one before."""
    now = float(next(_clock))
    request = Message(Headers(headers or {}), body, now, now + 0.1, method, url)
    response = None
    if status is not None:
        response = Message(Headers(answer_headers or {}), answer, now + 0.2, now + 0.3, status_code=status)
    return Flow(request, response, Failed(error, now + 0.5) if error else None)


class Written:
    """The addon, writing into a file that can be read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watch = addon.Watch()
        self.watch.begin(str(path))

    def passes(self, one: Flow) -> None:
        """Let a flow go through, as mitmproxy calls an addon."""
        self.watch.requestheaders(one)
        if callable(one.request.stream):
            assert one.request.stream(one.request.raw_content) == one.request.raw_content
            one.request.raw_content = None
        if one.response is not None:
            self.watch.responseheaders(one)
            if callable(one.response.stream):
                assert one.response.stream(one.response.raw_content) == one.response.raw_content
                one.response.raw_content = None
        if one.error is None:
            self.watch.response(one)
        else:
            self.watch.error(one)

    def read(self) -> tuple[JournalFile, list[Exchange]]:
        self.watch.done()
        found = JournalFile(self.path)
        return found, [each for each in found if isinstance(each, Exchange)]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "journal.ndjson")


def test_what_goes_through_is_a_journal(written: Written) -> None:
    """Whole, sealed, in order, with the times that mitmproxy noted."""
    told = json.dumps({"CorrelationId": "1", "PopReceipt": "r", "DownloadLocation": DOWNLOAD}).encode()
    written.passes(flow(DEQUEUE, answer=told))
    written.passes(flow(DOWNLOAD, answer=b"PK\x03\x04"))
    written.passes(flow(f"{ROOT}/api/connector/ack/{ACTIVITY}", told, method="POST"))
    found, exchanges = written.read()
    assert found.complete
    assert [each.operation for each in exchanges] == ["dequeue", "download", "ack"]
    assert exchanges[0].answered - exchanges[0].sent == exchanges[1].answered - exchanges[1].sent
    assert (exchanges[0].answered - exchanges[0].sent).total_seconds() == pytest.approx(0.3)
    assert exchanges[1].response is not None
    assert exchanges[1].response.body == journal.Body(sha256=journal.Body.of(b"PK\x03\x04").digest(), length=4)  # type: ignore[union-attr]
    assert exchanges[2].request.body == exchanges[0].response.body  # type: ignore[union-attr]


def test_every_line_fits_the_schema(written: Written) -> None:
    """What is written is a journal as specs/journal.schema.json has it."""
    schema = Draft202012Validator(json.loads((resources.specs() / "journal.schema.json").read_text(encoding="utf-8")))
    written.passes(flow(DEQUEUE, answer=b"\xff", headers={"authorization": "Bearer abc"}))
    written.passes(flow(DOWNLOAD, answer=b"PK", error="peer closed connection"))
    written.passes(flow(DEQUEUE, status=None, error="timed out"))
    written.watch.done()
    lines = written.path.read_bytes().splitlines()
    assert len(lines) == 6
    for line in lines:
        schema.validate(json.loads(line))


def test_bodies_where_they_are_wanted(written: Written) -> None:
    """With the option a short file stands in the journal."""
    written.watch.bodies = True
    written.passes(flow(f"{ROOT}/api/connector/enqueue/{ACTIVITY}?entity=x", b"A,b", method="POST", answer=b'"1"'))
    _, (exchange,) = written.read()
    assert exchange.request.body == journal.Body.of(b"A,b")


def test_long_bodies_go_by_in_pieces(written: Written) -> None:
    """They are known by digest and length, packed ones by what is in them."""
    content = b"0123456789" * 10_000
    packed = gzip.compress(content, compresslevel=0)
    length, encoded = {"content-length": str(len(content))}, {"content-length": str(len(packed))}
    one = flow(
        f"{ROOT}/api/connector/enqueue/{ACTIVITY}",
        content,
        method="POST",
        headers=length,
        answer=packed,
        answer_headers=encoded | {"content-encoding": "gzip"},
    )
    written.passes(one)
    assert one.response is not None
    assert callable(one.request.stream)
    assert callable(one.response.stream)
    _, (exchange,) = written.read()
    expected = journal.Body.of(content)
    assert exchange.request.body == expected
    assert exchange.response is not None
    assert exchange.response.body == expected


def test_other_traffic_is_nobodys_business(written: Written) -> None:
    """Neither what it asked nor what it was told is written down."""
    written.passes(flow("https://bank.example/account?id=7", b"secret", method="POST"))
    _, exchanges = written.read()
    assert exchanges == []
    assert b"bank" not in written.path.read_bytes()


def test_a_download_is_followed_to_another_host(written: Written) -> None:
    """Where a location or a redirect leads is a download, under whatever name."""
    blob = "https://blobs.example/container/1?sig=x"
    told = json.dumps({"CorrelationId": "1", "PopReceipt": "r", "DownloadLocation": "https://else.example/f?x=1"})
    written.passes(flow(DEQUEUE, answer=told.encode()))
    written.passes(flow("https://else.example/f?x=1", status=302, answer_headers={"location": blob}))
    written.passes(flow(blob, answer=b"PK"))
    _, exchanges = written.read()
    assert [each.operation for each in exchanges] == ["dequeue", "download", "download"]


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("Client disconnected.", "abandoned"),
        ("[Errno 111] Connect call failed ('127.0.0.1', 9)", "refused"),
        ("Certificate verify failed: self-signed certificate", "refused"),
        ("Request timed out", "timeout"),
        ("server closed connection", "reset"),
    ],
)
def test_failures_have_the_journals_words(said: str, failure: str, written: Written) -> None:
    """A request without an answer says how it failed, and when that was known."""
    written.passes(flow(DEQUEUE, status=None, error=said))
    _, (exchange,) = written.read()
    assert (exchange.response, exchange.failure) == (None, failure)
    assert (exchange.answered - exchange.sent).total_seconds() == pytest.approx(0.5)


def test_half_an_answer_is_no_whole_one(written: Written) -> None:
    """With an error behind it what came is there, and called cut short."""
    written.passes(flow(DOWNLOAD, answer=b"half", error="peer closed connection without sending complete body"))
    _, (exchange,) = written.read()
    assert exchange.failure == "truncated"
    assert exchange.response is not None
    assert exchange.response.body == journal.Body.of(b"half")


def test_it_says_how_it_watched(written: Written) -> None:
    """In reverse mode downloads go past it, and the client spoke to it rather than to the environment."""
    one = flow(DEQUEUE)
    one.client_conn.proxy_mode.type_name = "reverse"
    written.passes(one)
    first = next(iter(written.read()[0]))
    assert isinstance(first, Observation)
    assert first.facts["unseen"] == ["download"]
    assert first.facts["relayed"] is True


SECRET, PASSWORD, TOKEN = "canary~Secret/8Q~with+odd&signs=", "canary Pässword #1", "canary-token-0123456789"


def test_no_secret_is_written(written: Written) -> None:
    """In their places, in odd ones, and in the answers that repeat them."""
    form = f"grant_type=password&client_secret={addon.quote(SECRET, safe='')}&password={addon.quote_plus(PASSWORD)}"
    told = json.dumps({"access_token": TOKEN, "expires_in": 3599})
    bearer = {"authorization": f"Bearer {TOKEN}"}
    written.passes(flow(TOKENS, form.encode(), method="POST", headers=FORM, answer=told.encode()))
    written.passes(flow("https://a/elsewhere", form.encode(), method="POST", headers=FORM, answer=told.encode()))
    written.passes(flow(TOKENS, json.dumps({"client_secret": SECRET}).encode(), method="POST", answer=SECRET.encode()))
    written.passes(flow(f"{DEQUEUE}?access_token={TOKEN}&x={addon.quote(SECRET)}", headers=bearer))
    written.passes(flow(DEQUEUE, headers={"x-mine": TOKEN, "x-other": PASSWORD, "cookie": "a=canary-cookie"}))
    written.passes(
        flow(
            f"{ROOT}/api/connector/ack/{ACTIVITY}",
            json.dumps({"token": TOKEN, "note": PASSWORD}).encode(),
            method="POST",
            status=500,
            answer=f"sent {SECRET} with {TOKEN}".encode(),
            answer_headers={"x-echo": TOKEN},
        )
    )
    _, exchanges = written.read()
    content = written.path.read_bytes().decode()
    assert len(exchanges) == 6
    for each in (SECRET, PASSWORD, TOKEN, "canary"):
        for written_so in (each, addon.quote(each), addon.quote_plus(each), json.dumps(each)[1:-1]):
            assert written_so not in content


# What stands twice has to be the same


def test_it_needs_the_standard_library_alone() -> None:
    """One file, that mitmproxy's own environment can load: what it has of mitmproxy it is handed."""
    tree = ast.parse(Path(addon.__file__).read_text(encoding="utf-8"))
    named = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert named <= sys.stdlib_module_names


def test_it_knows_the_same_names() -> None:
    """Secret fields and headers, formats and limits are those of the journal."""
    assert addon.SECRET_FIELDS == journal.SECRET_FIELDS
    assert addon.SECRET_HEADERS == journal.SECRET_HEADERS
    assert (addon.FORMAT, addon.WRITTEN_OUT) == (journal.FORMAT, journal.WRITTEN_OUT)
    assert (addon.SHORTEST, addon._LOCATION.pattern) == (secrets.SHORTEST, _MEMBER.pattern)


PATHS = [
    *(f"/api/connector/{name}/{ACTIVITY}" for name in ("enqueue", "dequeue", "download", "ack", "jobstatus", "other")),
    f"/en/API/Connector/Dequeue/%7B{ACTIVITY}%7D/",
    *(f"{vocabulary.ODATA_PREFIX}{action}" for action in (*vocabulary.ACTIONS, "Unknown")),
    "/tenant/oauth2/token",
    "/tenant/oauth2/v2.0/token/",
    "/",
]


@pytest.mark.parametrize("path", PATHS)
def test_it_takes_a_path_for_the_same_operation(path: str) -> None:
    """As the vocabulary does, whatever the query."""
    assert addon.operation_of(f"https://a{path}?x=/api/connector/ack/1") == vocabulary.operation_of(path)[0]


SIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwOi8vYSJ9.c2lnbmF0dXJl"
NAMES = st.sampled_from([*sorted(journal.SECRET_FIELDS), *sorted(journal.SECRET_HEADERS), "x", "Grant_Type", "scope"])
VALUES = st.one_of(st.text(max_size=20), st.just(SIGNED), st.just(f"Bearer {SIGNED}"), st.just("client_secret=abc"))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)


@given(FIELDS)
def test_it_hides_the_same(fields: list[tuple[str, str]]) -> None:
    """In headers, URLs, forms and JSON: byte for byte what the journal would have written."""
    assert tuple(addon.redacted_headers(fields)) == journal.redacted_headers(fields)
    form = addon.urlencode(fields)
    url = f"https://a/b?{form}"
    assert addon.redacted_url(url) == journal.redacted_url(url)
    for content in (
        form.encode(),
        json.dumps(dict(fields)).encode(),
        json.dumps([dict(fields)]).encode(),
        b"",
        b"x\ny",
    ):
        assert addon.redacted_form(content) == journal.redacted_form(content)
        assert addon.redacted_json(content) == journal.redacted_json(content)
        assert addon.without_strays(content) == journal.without_strays(content)


@given(FIELDS)
def test_it_learns_the_same(fields: list[tuple[str, str]]) -> None:
    """What it takes out of an odd place is what the proxy would take out."""
    ours, theirs = secrets.Secrets(), addon.Secrets()
    url, body = f"https://a/?{addon.urlencode(fields)}", json.dumps(dict(fields)).encode()
    ours.learn(fields, url, body)
    theirs.learn(fields, url, body)
    for _, value in fields:
        text = f"<{value}> {addon.quote(value)} {json.dumps(value)}"
        assert theirs.without(text) == ours.without(text)
        assert theirs.without_bytes(text.encode()) == ours.without_bytes(text.encode())
