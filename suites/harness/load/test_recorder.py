"""A worker's journal is a journal like any other, whatever the disk does."""

import errno
import os
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from popreceipt.client.recording import record
from popreceipt.journal import Exchange, Header, Journal, JournalFile, Observation
from popreceipt.load import recorder
from popreceipt.load.recorder import NotWritten, Recorder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0xx.c2lnbmF0dXJl"
HEADER = Header(concurrent=True, clock="scaled", rate=60.0, seed=3)

exchanges = st.fixed_dictionaries(
    {
        "sent": st.integers(0, 10**7).map(lambda micros: NOW + timedelta(microseconds=micros)),
        "answered": st.integers(10**7, 2 * 10**7).map(lambda micros: NOW + timedelta(microseconds=micros)),
        "method": st.sampled_from(["GET", "POST"]),
        "url": st.sampled_from(
            [
                "http://h/api/connector/enqueue/1?entity=Customer%20groups",
                "http://h/api/connector/download/2?correlation-id=3",
                "http://h/tenant/oauth2/v2.0/token",
                "http://h/blobs/4?sig=5",
            ]
        ),
        "request_headers": st.sampled_from(
            [(), (("host", "h"), ("authorization", f"Bearer {TOKEN}")), (("content-type", "text/csv"),)]
        ),
        "request_body": st.sampled_from([b"", b"A,B\r\n1,2\r\n", b"\xff\xfe", b"x" * 70_000, b"client_secret=hidden"]),
        "status": st.sampled_from([200, 204, 429, 500, None]),
        "response_headers": st.sampled_from([(), (("date", "Thu, 01 Jan 2026 00:00:00 GMT"),)]),
        "response_body": st.sampled_from([b"", b'"an-id"', f'{{"access_token":"{TOKEN}"}}'.encode()]),
        "failure": st.sampled_from([None, None, "timeout", "interrupted"]),
        "actor": st.sampled_from([None, "authorised/0.producer"]),
        "operation": st.sampled_from([None, "download"]),
    }
)
entries = st.lists(st.tuples(st.sampled_from(["soon", "at once", "observed"]), exchanges, st.booleans()), max_size=12)


@given(told=entries)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_are_those_of_any_journal(tmp_path: Path, told: list[tuple[str, dict[str, Any], bool]]) -> None:
    """Whichever way an exchange comes, whenever what waits is written; secrets are replaced in the same places."""
    mine, usual = Recorder(HEADER, tmp_path / "journal-0.ndjson"), Journal(HEADER)
    for way, exchange, flushed in told:
        if way == "observed":
            for each in (mine, usual):
                each.add(Observation("messages", NOW, {"rows": []}))
        elif way == "soon":
            mine.record_soon(**exchange)
            record(usual, **exchange)
        else:
            assert mine.record(**exchange) == record(usual, **exchange)
        if flushed:
            assert mine.flush()
    assert list(mine.lines()) == list(usual.lines())
    mine.seal()
    usual.seal()
    written = (tmp_path / "journal-0.ndjson").read_bytes()
    assert written.splitlines() == list(usual.lines())
    assert b"Bearer eyJ" not in written
    journal = JournalFile(tmp_path / "journal-0.ndjson")
    assert len(list(journal)) == len(told)
    assert journal.complete
    assert journal.header.concurrent


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """After so many bytes the disk takes no more: first less than it is given, then nothing."""

    def leave(room: int) -> None:
        really = os.write
        left = [room]

        def write(descriptor: int, content: bytes) -> int:
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = really(descriptor, bytes(content[: left[0]]))
            left[0] -= written
            return written

        monkeypatch.setattr(recorder.os, "write", write)

    return leave


def enqueue(number: int) -> dict[str, Any]:
    return {
        "sent": NOW,
        "answered": NOW + timedelta(seconds=number),
        "method": "POST",
        "url": "http://h/api/connector/enqueue/1",
        "request_body": b"x" * 200,
        "status": 200,
    }


def test_a_full_disk_leaves_what_is_whole(tmp_path: Path, full_disk: Callable[[int], None]) -> None:
    """The file ends with a whole line and without a footer; that it does is said, and nothing follows."""
    path = tmp_path / "journal-0.ndjson"
    mine = Recorder(HEADER, path)
    for number in range(10):
        mine.record_soon(**enqueue(number))
    assert mine.flush()
    whole = path.stat().st_size
    full_disk(1_000)
    for number in range(10, 20):
        mine.record_soon(**enqueue(number))
    assert not mine.flush()
    assert mine.problem is not None
    assert "No space left on device" in mine.problem
    mine.record_soon(**enqueue(20))
    assert not mine.flush()
    with pytest.raises(NotWritten, match="No space left on device"):
        mine.seal()
    content = path.read_bytes()
    assert whole < len(content) <= whole + 1_000
    assert content.endswith(b"}\n")
    journal = JournalFile(path)
    seen = list(journal)
    assert 10 < len(seen) < 20
    assert [each.seq for each in seen if isinstance(each, Exchange)] == list(range(1, len(seen) + 1))
    assert not journal.complete
    assert journal.damage is not None
    assert "without a footer" in journal.damage


def test_a_disk_slower_than_the_load_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits does not fill the memory: at some point nothing more is taken down, and there is no footer."""
    monkeypatch.setattr(recorder, "WAITING_AT_MOST", 2_000)
    mine = Recorder(HEADER, tmp_path / "journal-0.ndjson")
    for number in range(100):
        mine.record_soon(**enqueue(number))
    assert mine.problem is not None
    assert "slower" in mine.problem
    with pytest.raises(NotWritten):
        mine.seal()
    journal = JournalFile(tmp_path / "journal-0.ndjson") if (tmp_path / "journal-0.ndjson").stat().st_size else None
    assert journal is None or (not list(journal) and not journal.complete)


def test_a_journal_that_is_only_closed_is_not_whole(tmp_path: Path) -> None:
    """As after a crash: what was taken down is there, and no footer."""
    mine = Recorder(HEADER, tmp_path / "journal-0.ndjson")
    mine.record_soon(**enqueue(1))
    mine.close()
    mine.close()
    journal = JournalFile(tmp_path / "journal-0.ndjson")
    assert len(list(journal)) == 1
    assert not journal.complete


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before any load is made."""
    with pytest.raises(NotWritten, match="missing"):
        Recorder(HEADER, tmp_path / "missing" / "journal-0.ndjson")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such modes")
def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """It holds a customer's records, in the worst case."""
    Recorder(HEADER, tmp_path / "journal-0.ndjson").seal()
    assert stat.S_IMODE((tmp_path / "journal-0.ndjson").stat().st_mode) == 0o600
