"""The proxy's parts by themselves: headers, places, secrets, taps and the recorder."""

import gzip
import hashlib
import io
import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.journal import WRITTEN_OUT, Header, Journal, redacted
from popreceipt.watching import headers
from popreceipt.watching.places import REMEMBERED, Places
from popreceipt.watching.recorder import Recorder, Seen, Tap
from popreceipt.watching.secrets import Secrets

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE, ROOT = "https://qa.example", "http://127.0.0.1:8366"
PATH = "/api/connector/download/6f1a4f2e?correlation-id=1&blob=2"


# Headers


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (b"gzip, deflate, br", b"gzip, deflate"),
        (b"br;q=1.0, gzip;q=0.8", b"gzip"),
        (b"br", b"identity"),
        (b"gzip;q=0", b"identity"),
        (b"gzip; q=0.0", b"identity"),
        (b"GZIP;q=0.01", b"gzip"),
    ],
)
def test_only_what_can_be_read_is_asked_for(asked: bytes, sent: bytes) -> None:
    """Of what the client takes, and never more than that."""
    listed = headers.to_upstream([(b"Accept-Encoding", asked)], b"qa.example", length=None, body=False)
    assert (b"accept-encoding", sent) in listed


def test_a_body_is_announced_or_comes_in_chunks() -> None:
    """Its length where it is known; what the client expected of us is no business of the environment."""
    given_headers = [(b"Content-Length", b"9"), (b"Expect", b"100-continue"), (b"Transfer-Encoding", b"chunked")]
    announced = dict(headers.to_upstream(given_headers, b"a", length=3, body=True))
    chunked = dict(headers.to_upstream(given_headers, b"a", length=None, body=True))
    none = dict(headers.to_upstream(given_headers, b"a", length=None, body=False))
    assert announced[b"content-length"] == b"3"
    assert chunked[b"transfer-encoding"] == b"chunked"
    assert b"transfer-encoding" not in announced
    assert b"content-length" not in chunked
    assert not {b"content-length", b"transfer-encoding", b"expect"} & set(none)
    assert none[b"via"] == b"1.1 popreceipt"


# Places


@pytest.mark.parametrize(
    ("location", "own"),
    [
        (f"https://qa.example{PATH}", True),
        (f"http://qa.example{PATH}", True),
        (f"http://QA.example:80{PATH}", True),
        (f"https://qa.example:443{PATH}", True),
        (f"https://qa.example:8443{PATH}", False),
        (f"https://blobs.example{PATH}", False),
        (f"ftp://qa.example{PATH}", False),
        ("https://qa.example:no/x", False),
        ("/api/relative", False),
    ],
)
def test_only_the_environments_own_locations_are_shown_as_the_proxys(location: str, own: bool) -> None:
    """By host, at its own port or one that a URL need not name; path and query stay as they are."""
    assert Places(BASE).shown(location, ROOT) == (f"{ROOT}{PATH}" if own else None)


def answer(location: str, **members: object) -> bytes:
    return json.dumps({"CorrelationId": "1", "DownloadLocation": location, "PopReceipt": "r", **members}).encode()


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text,
        lambda text: text.replace("/", "\\/"),
        lambda text: text.replace("&", "\\u0026"),
        lambda text: text.replace("DownloadLocation", "downloadlocation"),
        lambda text: text.replace(": ", ":").replace(", ", ",\n  "),
    ],
    ids=["plain", "slashes", "ampersand", "case", "blanks"],
)
def test_an_answer_that_is_repeated_is_restored_byte_for_byte(written) -> None:
    """However the environment writes its JSON."""
    places, said = Places(BASE), written(answer(f"http://qa.example{PATH}").decode()).encode()
    told = places.answer_for_client(said, ROOT)
    assert ROOT + PATH in json.loads(told).values()
    assert places.body_for_upstream(told, ROOT) == said


def test_an_answer_in_the_clients_own_words_is_restored_in_its_sense() -> None:
    """Even one that the proxy does not remember: then the location is on the environment's own root."""
    places = Places(BASE)
    told = places.answer_for_client(answer(f"http://qa.example{PATH}"), ROOT)
    mine = json.dumps(json.loads(told), indent=1).encode()
    assert json.loads(places.body_for_upstream(mine, ROOT)) == json.loads(answer(f"http://qa.example{PATH}"))
    forgotten = Places(BASE).body_for_upstream(mine, ROOT)
    assert json.loads(forgotten)["DownloadLocation"] == BASE + PATH


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b'{"DownloadLocation": null}', b'{"DownloadLocation": 7}', b"\xff\xfe"]
)
def test_what_names_no_location_stays_as_it_is(body: bytes) -> None:
    """In both directions."""
    places = Places(BASE)
    assert places.answer_for_client(body, ROOT) == body
    assert places.body_for_upstream(body, ROOT) == body


def test_without_relocation_nothing_is_changed() -> None:
    """The environment's words reach the client, and the client's the environment."""
    places, said = Places(BASE, relocates=False), answer(BASE + PATH)
    assert places.answer_for_client(said, ROOT) == said
    assert places.body_for_upstream(answer(ROOT + PATH), ROOT) == answer(ROOT + PATH)


def test_memory_is_bounded() -> None:
    """Of very many answers the newest are remembered."""
    places = Places(BASE)
    for number in range(REMEMBERED + 10):
        places.answer_for_client(answer(f"http://qa.example/{number}"), ROOT)
    last = places.answer_for_client(answer("http://qa.example/last"), ROOT)
    assert places.body_for_upstream(last, ROOT) == answer("http://qa.example/last")
    assert len(places._answers._kept) == len(places._locations._kept) == REMEMBERED


def test_an_environment_below_a_path() -> None:
    """What stands before every path on premises is put there once."""
    places = Places(f"{BASE}/namespaces/AXSF/")
    assert places.target(b"/api/connector/ack/1", b"") == b"/namespaces/AXSF/api/connector/ack/1"
    assert places.target(b"/namespaces/AXSF/api/x", b"y=1") == b"/namespaces/AXSF/api/x?y=1"


@pytest.mark.parametrize(
    ("form", "meant"),
    [
        (b"scope=http%3A%2F%2F127.0.0.1%3A8366%2F.default&x=1", b"scope=https%3A%2F%2Fqa.example%2F.default&x=1"),
        (b"resource=http://127.0.0.1:8366", b"resource=https://qa.example"),
        (b"resource=http%3a%2f%2f127.0.0.1%3a8366", b"resource=https%3A%2F%2Fqa.example"),
        (b"resource=http://127.0.0.1:83669", b"resource=http://127.0.0.1:83669"),
        (b"client_secret=abc", b"client_secret=abc"),
    ],
)
def test_a_token_request_names_the_environment(form: bytes, meant: bytes) -> None:
    """Where it named the proxy as its resource."""
    assert Places(BASE).form_for_upstream(form, ROOT) == meant


# Secrets


@given(st.text(min_size=8, max_size=30).filter(lambda text: text.strip() and not text.isdecimal()))
def test_a_known_secret_is_found_in_whatever_way_it_is_written(secret: str) -> None:
    """As it is, in a URL, in JSON, in Basic authentication, and as Latin-1 that was UTF-8."""
    import base64
    from urllib.parse import quote, quote_plus

    known = Secrets([secret])
    basic = base64.b64encode(f"an-application:{secret}".encode()).decode()
    for text in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
        assert known.without(f"<{text}>") == f"<{redacted(secret)}>"
    assert known.without(basic) != basic
    assert redacted(secret) in known.without(f"({secret.encode().decode('latin-1')})")
    assert known.without_bytes(b"<" + secret.encode() + b">") == f"<{redacted(secret)}>".encode()


def test_what_is_too_short_is_not_looked_for() -> None:
    """A password of three letters would be found in innocent words; a journal hides it where it belongs."""
    known = Secrets()
    known.learn([("authorization", "Bearer abc")], "https://a/?password=xyz", b"client_secret=123")
    assert known.without("abc xyz 123") == "abc xyz 123"


@pytest.mark.parametrize(
    "body", [b'{"password": "\\ud800 half a character"}', b"password=%ff%fe%00aaaaaaa", b"{", b"\x00"]
)
def test_odd_bodies_are_looked_through(body: bytes) -> None:
    """Whatever a client sends, looking for secrets in it raises nothing."""
    known = Secrets()
    known.learn([("Authorization", "Basic !!!"), ("authorization", "Basic /////w==")], "https://a/?code=%zz", body)
    assert known.without("a word") == "a word"


def test_an_errors_code_is_no_secret() -> None:
    """It is a word that comes again and again."""
    known = Secrets()
    known.learn_body(b'{"code": "ServiceUnavailable", "access_token": ""}')
    assert known.without("ServiceUnavailable") == "ServiceUnavailable"


# Taps


@given(st.binary(max_size=2_000), st.integers(1, 700), st.sampled_from(["", "identity", "gzip", "deflate"]))
def test_a_tap_knows_what_went_by(content: bytes, step: int, encoding: str) -> None:
    """In whatever pieces, and unpacked."""
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(content)
    tap = Tap(encoding)
    for start in range(0, len(packed), step):
        tap.add(packed[start : start + step])
    assert (tap.content, tap.length) == (content, len(content))
    summary = tap.summary()
    assert (summary.digest() if summary else None) == (hashlib.sha256(content).hexdigest() if content else None)


def test_a_tap_keeps_no_long_body() -> None:
    """And unpacks a body that becomes a thousand times as long in small pieces."""
    tap = Tap("gzip")
    tap.add(gzip.compress(bytes(50_000_000)))
    assert (tap.content, tap.length) == (None, 50_000_000)
    assert len(tap._begin) == 0


def test_what_is_not_packed_as_it_says_is_taken_as_it_comes() -> None:
    """A header that lies is no reason to lose the body."""
    tap = Tap("gzip")
    tap.add(b"plain text")
    assert tap.content == b"plain text"


# The recorder


def seen(url: str, request: bytes = b"", response: bytes = b"", status: int = 200, **more: object) -> Seen:
    made = Seen(NOW, "POST", url, [("content-type", "text/plain")], status=status, **more)  # type: ignore[arg-type]
    made.request.add(request)
    made.response.add(response)
    return made


def test_payloads_are_digests_and_errors_are_words() -> None:
    """The file of an enqueue and of a download; not the answers, and not what a refusal says."""
    recorder = Recorder(Journal(Header()))
    recorder.write(seen(f"{BASE}/api/connector/enqueue/1", b"file", b'"id"'), NOW)
    recorder.write(seen(f"{BASE}/api/connector/download/1", b"", b"file"), NOW)
    recorder.write(seen(f"{BASE}/api/connector/download/1", b"", b"gone", 404), NOW)
    recorder.write(seen(f"{BASE}/data/Customers", b"rows", b"rows"), NOW)
    bodies = [
        (each.request.body and each.request.body.text, each.response and each.response.body and each.response.body.text)
        for each in recorder.journal.exchanges()
    ]
    assert bodies == [(None, '"id"'), (None, None), (None, "gone"), (None, None)]
    assert recorder.counts == {"enqueue": 1, "download": 2, "other": 1}
    assert [each.seq for each in recorder.journal.exchanges()] == [1, 2, 3, 4]


def test_no_time_runs_backwards() -> None:
    """A computer whose clock was set meanwhile has nothing answered before it was sent."""
    recorder = Recorder(Journal(Header()))
    recorder.write(seen(f"{BASE}/api/connector/ack/1"), NOW - timedelta(seconds=5))
    (exchange,) = recorder.journal.exchanges()
    assert exchange.sent == exchange.answered == NOW


def test_a_journal_that_cannot_be_written_is_no_exchange_lost_in_silence() -> None:
    """The error reaches whoever carries the traffic."""

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    recorder = Recorder(Journal(Header(), Full()))
    with pytest.raises(OSError, match="No space"):
        recorder.write(seen(f"{BASE}/api/connector/ack/1", b"x" * (WRITTEN_OUT + 1)), NOW)
