"""The lines that a service's journal writes by the short way are those that the long way writes."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.journal import Header, Journal, SpooledJournal, entry_line, redacted_json

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0xx.c2lnbmF0dXJl"

bodies = st.sampled_from(
    [
        b"",
        b"x" * 70_000,
        b"\xff\xfe",
        'café "quoted"\n\t\x01'.encode(),
        b'{"access_token":"%b"}' % TOKEN.encode(),
        TOKEN.encode(),
        b"grant_type=client_credentials&client_secret=hidden",
        b"PassWord=hidden",
        b"CLIENT_SECRET",
        b'{"a":1}',
    ]
)
headers = st.lists(
    st.sampled_from(
        [
            ("Host", "a"),
            ("authorization", f"Bearer {TOKEN}"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-odd", 'é"'),
            ("x-token", TOKEN),
            ("Set-Cookie", "a=b"),
        ]
    ),
    max_size=3,
).map(tuple)
exchanges = st.fixed_dictionaries(
    {
        "sent": st.sampled_from([0, 1, 999_999]).map(lambda micros: NOW + timedelta(microseconds=micros)),
        "answered": st.sampled_from([1_000_000, 1_000_001]).map(lambda micros: NOW + timedelta(microseconds=micros)),
        "method": st.sampled_from(["GET", "POST", 'X"']),
        "url": st.sampled_from(
            [
                "http://h/api/connector/enqueue/1?entity=%20a",
                "http://h/api/connector/ack/2",
                f"http://h/api/connector/download/1?a={TOKEN}",
                "http://h/t/oauth2/token",
                "http://h/x?access_token=hidden",
                'http://h/é"',
                "http://h",
            ]
        ),
        "request_headers": headers,
        "request_body": bodies,
        "status": st.sampled_from([200, 404, None]),
        "response_headers": headers,
        "response_body": bodies,
        "failure": st.sampled_from([None, None, "reset"]),
        "actor": st.sampled_from([None, "authorised", 'a"/b']),
    }
)


@given(told=st.lists(exchanges, max_size=6))
@settings(max_examples=300, deadline=None)
def test_both_ways_write_the_same(told: list[dict[str, Any]]) -> None:
    """Whatever crosses the wire, secrets in whatever place, and in its order."""
    file = io.BytesIO()
    spooled, usual = SpooledJournal(Header(), file, at_once=False), Journal(Header())
    for number, exchange in enumerate(told, 1):
        assert spooled.record_soon(**exchange) == number
        usual.record(**exchange)
    spooled.catch_up()
    assert list(spooled.lines()) == list(usual.lines())
    assert list(usual.lines())[1:] == [entry_line(entry) for entry in usual.entries]
    spooled.seal()
    assert b'{"footer":true,"lines":%d}' % (len(told) + 2) in file.getvalue()


@pytest.mark.parametrize("way", [tuple, list, iter], ids=["tuple", "list", "iterator"])
@pytest.mark.parametrize("where", ["request", "response"])
@pytest.mark.parametrize(
    ("url", "headers", "body"),
    [
        ("/t/oauth2/token", (), b'{"client_secret":"hidden="}'),
        ("/t/oauth2/token", (), b"grant_type=a;client_secret=hidden="),
        ("/t/oauth2/token", (), b"Client_Secret=hidden%3D&grant_type=a"),
        ("/t/oauth2/v2.0/token", (), b'{"error":{"inner":[{"Password":"hidden"}]}}'),
        ("/t/oauth2/v2.0/token", (), b'{"trace":"%b"}' % TOKEN.encode()),
        ("/t/oauth2/v2.0/token", (), b"<p>client_secret: hidden</p>"),
        ("/t/oauth2/v2.0/token", (), TOKEN.encode()),
        ("/x", (("Content-Type", "Application/X-WWW-Form-URLencoded"),), b"grant_type=a&client_secret=hidden"),
        ("/x", (("Client-Secret", "hidden"), ("x-api-key", "hidden")), b""),
        (f"/x/{TOKEN}", (), b""),
        ("/x?code=hidden", (), b""),
    ],
)
def test_secrets_in_odd_places(way: Any, where: str, url: str, headers: Any, body: bytes) -> None:
    """Neither way of writing lets them through, and both write the same."""
    spooled, usual = SpooledJournal(Header(), io.BytesIO(), at_once=False), Journal(Header())
    for journal in (spooled, usual):
        journal.record_soon(
            sent=NOW,
            answered=NOW,
            method="POST",
            url=f"http://h{url}",
            status=200,
            **{f"{where}_headers": way(headers), f"{where}_body": body},
        )
    lines = list(spooled.lines())
    assert lines == list(usual.lines())
    assert b"hidden" not in lines[1]
    assert TOKEN.encode() not in lines[1]
    assert b"redacted" in lines[1]


def test_an_error_keeps_its_code() -> None:
    """What a token endpoint says went wrong is no secret."""
    told = b'{"error": {"code": "invalid", "message": "client_secret is missing"}}'
    assert redacted_json(told) == told
    assert redacted_json(b"<p>Error code: 500</p>") == b"<p>Error code: 500</p>"
