"""The journal: what is written can be read again, what is secret never enters, what was cut off says so."""

import base64
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.exceptions import UsageError
from popreceipt.journal import (
    WRITTEN_OUT,
    Body,
    ClockMovement,
    Exchange,
    Header,
    Journal,
    JournalFile,
    Observation,
    SpooledJournal,
    instant,
    instant_text,
    redacted,
    redacted_form,
    redacted_json,
)

NOW = datetime(2026, 1, 1, 12, 30, 15, 250_000, tzinfo=UTC)


@given(st.binary(max_size=300))
def test_bodies_come_back_byte_for_byte(content: bytes) -> None:
    """Text as text, other bytes as base64, with digest and length."""
    body = Body.of(content)
    assert (body.content() if body is not None else b"") == content
    assert body is None or (body.length == len(content) and body.digest() == body.sha256)


def test_a_large_body_is_known_by_its_digest() -> None:
    """Above 64 KiB only digest and length are kept."""
    body = Body.of(b"x" * (WRITTEN_OUT + 1))
    assert body is not None
    assert (body.text, body.base64, body.content()) == (None, None, None)
    assert body.length == WRITTEN_OUT + 1
    assert Body(base64=base64.b64encode(b"\xff").decode()).digest() == Body.of(b"\xff").digest()  # type: ignore[union-attr]


def journal_in(path: Path) -> Journal:
    """A journal with one line of each kind, in a file."""
    with path.open("wb") as file:
        journal = Journal(Header(seed=3, concurrent=True), file)
        journal.record(
            sent=NOW,
            answered=NOW + timedelta(seconds=1),
            method="POST",
            url="http://h/api/connector/ack/a?x=1",
            request_headers=[("Authorization", "Bearer secret"), ("Content-Type", "application/json")],
            request_body=b'{"a": 1}',
            status=200,
            response_headers=[("Set-Cookie", "session=1")],
            response_body=b"\xff\xfe",
            actor="authorised",
        )
        journal.record(sent=NOW, answered=NOW, method="GET", url="http://h/", failure="timeout")
        journal.add(ClockMovement(NOW, 5.0))
        journal.add(Observation("produced", NOW, {"activity": "a", "records": 3}))
        journal.seal()
    return journal


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Every entry, and that it is complete."""
    journal = journal_in(tmp_path / "j.ndjson")
    read = JournalFile(tmp_path / "j.ndjson")
    assert list(read) == journal.entries
    assert (read.complete, read.damage) == (True, None)
    assert read.header.concurrent
    assert b"\n".join(journal.lines()) + b"\n" == (tmp_path / "j.ndjson").read_bytes()
    assert b"secret" not in (tmp_path / "j.ndjson").read_bytes()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: lines[:-1], "without a footer"),
        (lambda lines: [*lines[:2], b'{"seq": 3, "se'], "line 3 cannot be read"),
        (lambda lines: [*lines, lines[1]], "after the footer"),
        (lambda lines: [lines[0], *lines[2:]], "the footer counts"),
        (lambda lines: [*lines[:2], b'{"surprise": 1}'], "neither an exchange"),
        (lambda lines: [*lines[:2], b'{"seq": 3}'], "needs sent"),
        (lambda lines: [*lines[:2], b'{"observation": "x"}'], "needs at"),
        (lambda lines: [*lines[:2], b'{"x": ' + b"[" * 100_000], "line 3 cannot be read"),
    ],
)
def test_damage_is_told_and_read_up_to(damage: object, words: str, tmp_path: Path) -> None:
    """A journal that was cut off or spoilt is read as far as it goes, and never complete."""
    path = tmp_path / "j.ndjson"
    journal_in(path)
    assert callable(damage)
    path.write_bytes(b"\n".join(damage(path.read_bytes().splitlines())) + b"\n")
    read = JournalFile(path)
    list(read)
    assert not read.complete
    assert words in str(read.damage)


def test_empty_lines_do_not_count(tmp_path: Path) -> None:
    """A journal that somebody opened in an editor is still whole."""
    path = tmp_path / "j.ndjson"
    journal_in(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n"))
    read = JournalFile(path)
    list(read)
    assert read.complete


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    """An editor that put one before the first line has damaged nothing."""
    journal = Journal(Header(seed=7))
    journal.seal()
    path = tmp_path / "j.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(line + b"\n" for line in journal.lines()))
    read = JournalFile(path)
    assert read.header.seed == 7
    assert list(read) == []
    assert read.complete


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    """Said in one sentence that names it."""
    with pytest.raises(UsageError, match=r"Cannot read the journal .*missing"):
        JournalFile(tmp_path / "missing")
    (tmp_path / "other").write_text('{"format": "popreceipt/journal@9"}\n')
    with pytest.raises(UsageError, match="journal@9"):
        JournalFile(tmp_path / "other")


def test_tokens_and_passwords_never_enter() -> None:
    """Two tokens can be told apart, and neither can be used."""
    form = redacted_form(b"grant_type=password&client_secret=s3cret&username=u&password=p4ss").decode()
    assert "s3cret" not in form
    assert "p4ss" not in form
    assert "username=u" in form
    answer = json.loads(redacted_json(b'{"access_token": "abc", "expires_in": 3599}'))
    assert answer["access_token"] == redacted("abc") != redacted("abd")
    assert answer["expires_in"] == 3599
    assert redacted(redacted("abc")) == redacted("abc")
    assert redacted_json(b"<html>") == b"<html>"
    assert redacted_json(b"[1]") == b"[1]"
    assert b"s3cret" not in redacted_form(b"s3cret")
    assert redacted_form(b"") == b""


def test_a_token_request_is_known_by_its_form_too() -> None:
    """Wherever the endpoint is, what it is sent and answers is kept secret."""
    journal = Journal()
    exchange = journal.record(
        sent=NOW,
        answered=NOW,
        method="POST",
        url="https://login.example/somewhere",
        request_headers=[("content-type", "application/x-www-form-urlencoded")],
        request_body=b"grant_type=client_credentials&client_secret=s3cret",
        status=200,
        response_body=b'{"access_token": "t0ken"}',
    )
    written = b"".join(journal.lines())
    assert b"s3cret" not in written
    assert b"t0ken" not in written
    assert isinstance(exchange, Exchange)


def test_instants_are_in_utc() -> None:
    """Written with microseconds and a Z; read from any zone, or none."""
    east = NOW.astimezone(timezone(timedelta(hours=2)))
    assert instant_text(east) == "2026-01-01T12:30:15.250000Z"
    assert instant("2026-01-01T14:30:15.25+02:00") == instant("2026-01-01T12:30:15.250") == NOW


def test_a_spooled_journal_lives_in_its_file() -> None:
    """Nothing stays in memory, and its lines can be asked for while it grows."""
    file = io.BytesIO()
    journal = SpooledJournal(Header(), file)
    assert len(list(journal.lines())) == 1
    for count in (1, 2):
        journal.add(ClockMovement(NOW, 1.0))
        assert len(list(journal.lines())) == count + 1
    journal.seal()
    assert journal.entries == []
    assert json.loads(list(journal.lines())[-1]) == {"footer": True, "lines": 4}


def test_what_is_left_for_later_keeps_its_number_and_its_place() -> None:
    """A spooled journal may leave exchanges; whatever comes after them, and whoever reads it, finds them in order."""
    file = io.BytesIO()
    journal = SpooledJournal(Header(), file, at_once=False)
    numbers = [journal.record_soon(sent=NOW, answered=NOW, method="GET", url=f"http://h/{n}") for n in range(1, 4)]
    assert file.getvalue() == b""
    journal.add(Observation("reset", NOW, {}))
    numbers.append(journal.record_soon(sent=NOW, answered=NOW, method="GET", url="http://h/4"))
    numbers.append(journal.record(sent=NOW, answered=NOW, method="GET", url="http://h/5").seq)
    numbers += [journal.record_soon(sent=NOW, answered=NOW, method="GET", url=f"http://h/{n}") for n in range(6, 200)]
    journal.seal()
    lines = [json.loads(line) for line in journal.lines()]
    assert [line["seq"] for line in lines if "seq" in line] == numbers == list(range(1, 200))
    assert [line["request"]["url"] for line in lines if "seq" in line] == [f"http://h/{n}" for n in numbers]
    assert "observation" in lines[4]
    assert lines[-1] == {"footer": True, "lines": len(lines)}


def test_what_has_to_be_seen_at_once_is_not_left() -> None:
    """A journal in a file that others read has every exchange at once, with its secrets replaced."""
    file = io.BytesIO()
    journal = SpooledJournal(Header(), file)
    headers = (("authorization", "Bearer secret"),)
    journal.record_soon(sent=NOW, answered=NOW, method="GET", url="http://h/", request_headers=headers)
    assert b'"seq":1' in file.getvalue()
    assert b"secret" not in file.getvalue()


A_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwOi8vYSJ9.c2lnbmF0dXJlLW9mLWl0"
ELSEWHERE = "https://a/nowhere"
TOKENS = "https://a/0d5d423d-f0f4-40f6-9b31-4a929920394e/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("url", "headers", "body"),
    [
        (f"{TOKENS}?client_secret=S3CRET&x=1", (), b""),
        (f"https://a/api/connector/dequeue/x?access_token={A_TOKEN}", (), b""),
        (f"https://a/x?t={A_TOKEN}", (), b""),
        (TOKENS, (("content-type", "text/plain"),), b"client_secret=S3CRET"),
        (
            TOKENS,
            (("content-type", "multipart/form-data; boundary=b"),),
            b'--b\r\nContent-Disposition: form-data; name="client_secret"\r\n\r\nS3CRET\r\n--b--\r\n',
        ),
        (ELSEWHERE, (("content-type", "application/x-www-form-urlencoded"),), b"client_id=a&client_secret=S3CRET"),
        (ELSEWHERE, (("content-type", "application/json"),), b'{"password": "S3CRET"}'),
        (ELSEWHERE, (("x-auth", f"Bearer {A_TOKEN}"),), b""),
        (ELSEWHERE, (("cookie", f"t={A_TOKEN}"),), b""),
        (ELSEWHERE, (), f"the token is {A_TOKEN}".encode()),
    ],
)
def test_a_secret_in_the_wrong_place_does_not_enter_either(
    url: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    """Middleware in the making puts them into queries, other headers, and forms to mistaken paths."""
    journal = Journal()
    journal.record(
        sent=NOW, answered=NOW, method="POST", url=url, request_headers=headers, request_body=body, status=200
    )
    written = b"\n".join(journal.lines())
    assert b"redacted" in written
    assert b"S3CRET" not in written
    assert A_TOKEN.rpartition(".")[2].encode() not in written


def test_payloads_and_plain_urls_stay_as_they_are() -> None:
    """What is handed in and out is known by its digest, which must not change."""
    content = f"CUSTOMERGROUPID\r\n{A_TOKEN}\r\npassword=1\r\n".encode()
    journal = Journal()
    upload = journal.record(
        sent=NOW,
        answered=NOW,
        method="POST",
        url="https://a/api/connector/enqueue/x?entity=Customer%20groups",
        request_body=content,
        status=200,
    )
    assert upload.request.url == "https://a/api/connector/enqueue/x?entity=Customer%20groups"
    assert upload.request.body == Body.of(content)
