"""What signs an address is as good as a token, and stands nowhere; two addresses can still be told apart."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from popreceipt.journal import (
    Journal,
    entry_line,
    is_unsigned,
    redacted,
    redacted_headers,
    redacted_url,
    without_strays,
    without_tokens,
)
from popreceipt.rules.reader import location_key

SIGNATURE = "q7+Rf/3kXw0ZsY2mTnB8uVhJ4LdEoPaGcIiKbNvQxWs="
ADDRESS = f"https://acc.blob.example/c/file.zip?sv=2024-11-04&se=2026-02-01&sr=b&sp=r&sig={quote(SIGNATURE, safe='')}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def as_is(text: str) -> str:
    return text


@pytest.mark.parametrize(
    "spelled",
    [
        as_is,
        lambda text: text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="),
        lambda text: text.replace("sig=", "SIG="),
        lambda text: text.replace("sig=", "x-amz-signature="),
        json.dumps,
        lambda text: json.dumps(text).replace("&", "\\u0026").replace("/", "\\/").replace("%2B", "\\u002B"),
        lambda text: text.replace("&", "&amp;"),
        lambda text: f"https://host/go?to={quote(text, safe='')}&then=x",
        lambda text: f"https://host/go?to={quote(quote(text, safe=''), safe='')}&then=x",
    ],
    ids=["address", "unescaped", "capitals", "amazon", "json", "json-escaped", "html", "within", "within-within"],
)
def test_a_signature_is_replaced_however_it_is_written(spelled: Callable[[str], str]) -> None:
    """What is beside it stays, and what is replaced once is replaced for good."""
    written = spelled(ADDRESS)
    hidden = without_tokens(written)
    for part in (SIGNATURE, quote(SIGNATURE, safe=""), SIGNATURE[:20], SIGNATURE[-20:]):
        assert part not in hidden
    assert "redacted:" in hidden
    assert "2026-02-01" in hidden
    assert hidden[:20] == written[:20]
    assert without_tokens(hidden) == hidden
    assert is_unsigned(hidden)
    assert not is_unsigned(written)


def test_locations_are_still_the_same_or_others() -> None:
    """Percent-encoding makes no difference, another signature does."""
    bare = ADDRESS.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
    other = ADDRESS.replace("q7", "q8")
    assert redacted_url(bare) == redacted_url(ADDRESS) != redacted_url(other)
    assert location_key(redacted_url(ADDRESS)).startswith("/c/file.zip?sv=2024-11-04&se=2026-02-01&sr=b&sp=r&sig=")


@pytest.mark.parametrize(
    "text",
    ["design=abcdefghijklmnopqrst", "https://host/b?sig=short", "sig: abcdefghijklmnopqrst", "a signature = of mine"],
)
def test_what_is_no_signature_is_let_be(text: str) -> None:
    assert without_tokens(text) == text
    assert not is_unsigned(text)


def test_no_line_of_a_journal_has_one() -> None:
    """Not where a location is handed out, nor where it is asked for, nor in a redirect's head and its words."""
    journal = Journal()
    told = json.dumps({"DownloadLocation": ADDRESS}).encode()
    base: dict[str, Any] = {"sent": NOW, "answered": NOW, "method": "GET"}
    url = "https://qa.example/api/connector/dequeue/11111111-0000-4000-8000-000000000001"
    journal.record(**base, url=url, status=200, response_body=told)
    journal.record(
        **base,
        url=url.replace("dequeue", "download"),
        status=302,
        response_headers=[("Location", ADDRESS)],
        response_body=f'<a href="{ADDRESS}">Object moved</a>'.encode(),
    )
    journal.record(**base, url=ADDRESS, status=200, operation="download")
    lines = [entry_line(each).decode() for each in journal.entries]
    assert not [line for line in lines if quote(SIGNATURE, safe="") in line or SIGNATURE in line]
    assert len({line.partition("sig=")[2][:17] for line in lines}) == 1


def test_a_file_keeps_every_byte() -> None:
    """What is downloaded or handed in is somebody's payload, whatever it looks like; words of a refusal are not."""
    journal = Journal()
    content = f"name,address\n1,{ADDRESS}\n".encode()
    url = "https://qa.example/api/connector/{}/11111111-0000-4000-8000-000000000001"
    told: dict[str, Any] = {"sent": NOW, "answered": NOW}
    file = journal.record(**told, method="GET", url=url.format("download"), status=200, response_body=content)
    handed_in = journal.record(**told, method="POST", url=url.format("enqueue"), request_body=content, status=200)
    refusal = journal.record(**told, method="GET", url=url.format("download"), status=403, response_body=content)
    assert file.response is not None
    assert file.response.body is not None
    assert file.response.body.content() == handed_in.request.body.content() == content  # type: ignore[union-attr]  # there
    assert refusal.response is not None
    assert "redacted:" in str(refusal.response.body)


def test_other_headers_and_bodies_are_as_they_were() -> None:
    assert redacted_headers([("Location", "https://host/b?sig=1")]) == (("location", "https://host/b?sig=1"),)
    assert without_strays(b'{"signal": "sig=1"}') == b'{"signal": "sig=1"}'


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("https://me:pass~word@host/x", "https://me:{}@host/x"),
        ("see ftp://:pass~word@host", "see ftp://:{}@host"),
        (
            '{"at": "https:\\/\\/me:pass~word@host\\/x"}',
            '{"at": "https:\\/\\/me:{}@host\\/x"}',
        ),
        ("https://host:8443/me@host", None),
        ("https://host/x?a=b:c@d", None),
        ("https://me@host/x", None),
        ('"@odata.context": "https://host/data/$metadata#Edm.String"', None),
    ],
)
def test_the_password_in_an_address_is_replaced(text: str, hidden: str | None) -> None:
    """A server may name one in a location; nobody is asked with it."""
    expected = text if hidden is None else hidden.replace("{}", redacted("pass~word"))
    assert without_tokens(text) == expected
    assert without_strays(text.encode()) == expected.encode()
    assert without_tokens(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["eyJ" * 20_000, "eyJ" * 20_000 + ".x.", "sig=" * 15_000, "sig=" + "%25" * 20_000, "://" + "a:" * 30_000 + "@"],
    ids=["tokens", "half-a-token", "names", "percent", "passwords"],
)
def test_no_text_keeps_the_search_busy(text: str) -> None:
    """A server may try: a text that is twice as long takes twice as long, not four times."""
    assert len(without_tokens(text)) <= len(text)


@pytest.mark.parametrize("status", [200, 400])
def test_of_a_long_body_only_the_digest_enters(status: int) -> None:
    """Whatever is in it, so nobody looks."""
    told: dict[str, Any] = {"sent": NOW, "answered": NOW, "method": "POST"}
    body = ADDRESS.encode() * 1_000
    for url in ("https://qa.example/T/oauth2/token", "https://qa.example/api/connector/ack/x"):
        written = Journal().record(**told, url=url, status=status, request_body=b"x=1", response_body=body)
        assert written.response is not None
        assert written.response.body is not None
        assert written.response.body.content() is None
        assert SIGNATURE[:20].encode() not in entry_line(written)
