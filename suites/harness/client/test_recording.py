"""What a server says back of a request's secrets stays out of the journal, in whatever spelling."""

import base64
import html
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from popreceipt.client.recording import record
from popreceipt.generate.rehearsal.canaries import leaks_in
from popreceipt.generate.rehearsal.canaries import spellings as wanted
from popreceipt.journal import Header, Journal, entry_line
from popreceipt.load.recorder import Recorder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "opaque+token/with=signs&<more>~0123456789"
URL = "https://qa.example/api/connector/jobstatus/11111111-0000-4000-8000-000000000001"

SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda each: quote(each, safe=""),
    "percent-lower": lambda each: "".join(f"%{ord(sign):02x}" if sign in "+/=&<>" else sign for sign in each),
    "form": quote_plus,
    "json": lambda each: json.dumps({"error": f"token {each} is bad"}),
    "net": lambda each: "".join(f"\\u{ord(sign):04X}" if sign in "+&<>/" else sign for sign in each),
    "html": html.escape,
    "base64": lambda each: base64.b64encode(f"client:{each}!".encode()).decode(),
    "base64-of-urls": lambda each: base64.urlsafe_b64encode(f"x{each}".encode()).decode(),
    "hex": lambda each: each.encode().hex(),
}


def told(said: str, *, header: bool) -> dict[str, object]:
    """An exchange whose answer says something back."""
    return {
        "sent": NOW,
        "answered": NOW,
        "method": "GET",
        "url": URL,
        "request_headers": (("authorization", f"Bearer {TOKEN}"),),
        "status": 401,
        "response_headers": (("www-authenticate", f'Bearer error="{said}"'),) if header else (),
        "response_body": b"" if header else said.encode(),
    }


@pytest.mark.parametrize("header", [False, True], ids=["body", "header"])
@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_an_opaque_token_that_is_said_back_is_replaced(spelled: Callable[[str], str], header: bool) -> None:
    """By the digest that stands where the token was sent."""
    said = told(spelled(TOKEN), header=header)
    assert leaks_in(spelled(TOKEN).encode(), wanted(TOKEN))
    written = record(Journal(), **said)  # type: ignore[arg-type]  # the members of an exchange
    line = entry_line(written)
    assert leaks_in(line, wanted(TOKEN)) == []
    assert line.count(b"redacted:") == 2


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_a_recorder_of_load_does_so_too(spelled: Callable[[str], str], tmp_path: Path) -> None:
    """Its lines are made another way."""
    recorder = Recorder(Header(), tmp_path / "journal.ndjson")
    recorder.record_soon(**told(spelled(TOKEN), header=False))  # type: ignore[arg-type]  # as above
    recorder.record_soon(**told(spelled(TOKEN), header=True))  # type: ignore[arg-type]  # as above
    recorder.seal()
    content = (tmp_path / "journal.ndjson").read_bytes()
    assert leaks_in(content, wanted(TOKEN)) == []
    assert content.count(b"redacted:") == 4


def test_the_signature_of_a_token_is_not_said_back_alone() -> None:
    """A token in two headers: whoever puts them together has one again."""
    parts = ("eyJhbGciOiJub25lIn0", "eyJhdWQiOiJodHRwczovL3FhIn0", "c2lnbmF0dXJlLW9mLWl0LWFsbA")
    said = told("", header=False) | {
        "request_headers": (("authorization", f"Bearer {'.'.join(parts)}"),),
        "response_headers": (("x-first", ".".join(parts[:2])), ("x-second", parts[2])),
    }
    line = entry_line(record(Journal(), **said))  # type: ignore[arg-type]  # as above
    assert parts[2].encode() not in line
    assert b'["x-second","redacted:' in line


def test_a_large_body_of_which_only_the_digest_is_kept_is_left_as_it_is() -> None:
    """Nothing of it is written out."""
    body = TOKEN.encode() * 3_000
    found = record(Journal(), **(told("", header=False) | {"response_body": body, "status": 200}))  # type: ignore[arg-type]  # as above
    assert found.response is not None
    assert found.response.body is not None
    assert found.response.body.length == len(body)
    assert found.response.body.content() is None
