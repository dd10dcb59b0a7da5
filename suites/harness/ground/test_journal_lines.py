"""The lines that a service's journal writes by the short way are those that the long way writes."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.journal import Header, Journal, SpooledJournal, entry_line

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
