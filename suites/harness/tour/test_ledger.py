"""Files that grow line by line: what a killed process leaves in them, and how another goes on."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, Header, Journal, JournalFile, Observation, Target, left_in
from popreceipt.tour.ledger import (
    NAME,
    Began,
    CannotKeep,
    Done,
    Ended,
    Intent,
    Ledger,
    LineFile,
    Refused,
    Terms,
    alone_in,
    terms_in,
    unfinished,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

TERMS = Terms(
    target="tenant:qa",
    base_url="https://qa.example",
    activities={"import-file": "11111111-0000-4000-8000-000000000001"},
    seed=3,
    version="1.2.3",
    rate=1.0,
    began=NOON,
    rules=("status.vocabulary",),
)

INTENT = Intent(
    "one", "one/dequeue", "GET", "/path", "authorised", given=False, body="0" * 64, seq=4, at=NOON, wall=NOON
)


def written(folder: Path) -> Ledger:
    """A ledger of an errand that is over and of another that is not."""
    ledger = Ledger.begun(TERMS, folder)
    for each in (
        Began("one", 1, NOON),
        INTENT,
        Done("one", 4),
        Ended("one", "done"),
        Began("other", 1, NOON),
        INTENT.__class__(**{**{name: getattr(INTENT, name) for name in INTENT.__struct_fields__}, "errand": "other"}),
        Refused("other", "not today", final=False),
    ):
        ledger.write(each)
    ledger.close()
    return ledger


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """Terms, steps, how it ended, and how much was asked: what was refused never went out."""
    before = written(tmp_path)
    after = Ledger.found_in(tmp_path)
    assert after.terms == TERMS == terms_in(tmp_path)
    assert after.books == before.books
    assert after.asked == before.asked
    assert after.asked.total() == 1
    assert after.last is not None
    assert after.last.errand == "other"
    assert unfinished(tmp_path)


def test_a_new_attempt_forgets_the_steps_of_the_last(tmp_path: Path) -> None:
    """But not that they were asked for."""
    written(tmp_path)
    again = Ledger.taken_up(tmp_path)
    again.write(Began("other", 2, NOON))
    again.write(Ended("other", "stopped", "enough"))
    again.close()
    book = Ledger.found_in(tmp_path).book("other")
    assert (book.attempt, book.steps) == (2, [])
    assert not unfinished(tmp_path)


def test_every_way_to_cut_a_ledger_leaves_whole_lines(tmp_path: Path) -> None:
    """Wherever after its first line: what is whole is kept, and what comes next stands on a line of its own."""
    written(tmp_path)
    path = tmp_path / NAME
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    for end in (*range(first, len(content), 11), len(content) - 1):
        path.write_bytes(content[:end])
        ledger = Ledger.taken_up(tmp_path, durable=False)
        ledger.write(Ended("other", "done"))
        ledger.close()
        assert path.read_bytes().startswith(content[: content[:end].rindex(b"\n") + 1])
        found = Ledger.found_in(tmp_path)
        assert not found.cut
        assert found.book("other").ended is not None


def test_a_page_of_zeros_is_a_cut(tmp_path: Path) -> None:
    """As file systems leave it when the power goes."""
    written(tmp_path)
    path = tmp_path / NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 512)
    found = Ledger.taken_up(tmp_path)
    found.close()
    assert found.cut
    assert path.read_bytes() == whole


def test_nothing_of_a_line_stays_that_could_not_be_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes a part of it; the rest of the file is as it was."""
    written(tmp_path)
    path = tmp_path / NAME
    whole = path.read_bytes()
    file = LineFile(path, len(whole))

    class Full(io.FileIO):
        def write(self, data: object, /) -> int:
            super().write(bytes(data)[:5])  # type: ignore[call-overload]  # whatever has bytes
            raise OSError(28, "No space left on device")

    file.close()
    full = Full(path, "r+")
    full.seek(len(whole))
    monkeypatch.setattr(file, "_file", full)
    with pytest.raises(CannotKeep, match=r"No space left on device.*--resume"):
        file.append(b"{}", durable=False)
    file.close()
    assert path.read_bytes() == whole


def test_a_ledger_of_another_format_is_not_read(tmp_path: Path) -> None:
    """It says which one it is."""
    line = b'{"entry":"terms","target":"","base_url":"","activities":{},"seed":0,"version":"","rate":1.0,'
    (tmp_path / NAME).write_bytes(line + b'"began":"2026-01-01T00:00:00Z","format":"popreceipt/ledger@9"}\n')
    with pytest.raises(UsageError, match="popreceipt/ledger@9"):
        terms_in(tmp_path)


def test_a_ledger_that_was_barely_begun_is_none(tmp_path: Path) -> None:
    """Nothing was sent before its first line was whole."""
    written(tmp_path)
    path = tmp_path / NAME
    first = path.read_bytes().splitlines()[0]
    for end in (0, 1, 10, len(first)):
        path.write_bytes(first[:end])
        assert terms_in(tmp_path) is None
    path.write_bytes(b"somebody's")
    with pytest.raises(UsageError, match="is no ledger of a tour"):
        terms_in(tmp_path)


def test_a_lock_is_let_go(tmp_path: Path) -> None:
    """By whoever is done, and by whoever fails."""
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    with alone_in(tmp_path), pytest.raises(UsageError, match="Another popreceipt"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass


# Journals


def exchange(journal: Journal, url: str) -> Exchange:
    """Record one."""
    return journal.record(sent=NOON, answered=NOON, method="GET", url=url, status=200, response_body=b"x")


def left(path: Path, *, sealed: bool = False) -> bytes:
    """A journal of two exchanges and an observation, as a process leaves it."""
    with path.open("wb") as file:
        journal = Journal(Header(target=Target("tenant:qa"), seed=3), file)
        journal.add(Observation("activity", NOON, {"since": "2026-01-01T12:00:00Z", "activity": "a", "settings": {}}))
        exchange(journal, "http://qa/one")
        exchange(journal, "http://qa/two")
        if sealed:
            journal.seal()
    return path.read_bytes()


@pytest.mark.parametrize("sealed", [False, True])
def test_a_journal_is_gone_on_with(tmp_path: Path, *, sealed: bool) -> None:
    """One header, one footer, numbers in a row; what was observed before is not told again."""
    path = tmp_path / "journal.ndjson"
    left(path, sealed=sealed)
    earlier = left_in(path)
    assert earlier is not None
    assert (earlier.sealed, earlier.cut) == (sealed, False)
    journal = Journal(Header(target=Target("tenant:qa"), seed=9))
    journal.add(Observation("activity", NOON, {"since": "2026-01-01T13:00:00Z", "activity": "a", "settings": {}}))
    journal.add(Observation("activity", NOON, {"since": "2026-01-01T13:00:00Z", "activity": "b", "settings": {}}))
    exchange(journal, "http://qa/own")
    with path.open("r+b") as file:
        journal.go_on(file, earlier)
        assert journal.next_number == 4
        exchange(journal, "http://qa/next")
        journal.seal()
    read = JournalFile(path)
    entries = list(read)
    assert entries == journal.entries
    assert read.complete
    assert read.header.seed == 3
    assert [(each.seq, each.request.url[-3:]) for each in entries if isinstance(each, Exchange)] == [
        (1, "one"),
        (2, "two"),
        (3, "own"),
        (4, "ext"),
    ]
    assert [each.facts["activity"] for each in entries if isinstance(each, Observation)] == ["a", "b"]


def test_every_way_to_cut_a_journal_leaves_whole_lines(tmp_path: Path) -> None:
    """Wherever: what is gone on with is a journal, and lacks at most its last line."""
    path = tmp_path / "journal.ndjson"
    content = left(path, sealed=True)
    first = content.index(b"\n") + 1
    for end in (*range(0, len(content), 17), first - 1, first, len(content) - 1):
        path.write_bytes(content[:end])
        earlier = left_in(path)
        assert (earlier is None) == (end < first)
        journal = Journal(Header())
        with path.open("r+b") as file:
            journal.go_on(file, earlier)
            exchange(journal, "http://qa/next")
            journal.seal()
        read = JournalFile(path)
        assert len(list(read)) == content[first:end].count(b"\n") + 1
        assert read.complete


def test_a_journal_that_is_damaged_in_its_middle_is_not_gone_on_with(tmp_path: Path) -> None:
    """Nor one in which something follows the footer, nor what is none."""
    path = tmp_path / "journal.ndjson"
    content = left(path, sealed=True)
    lines = content.splitlines(keepends=True)
    for wrong in ([*lines[:2], b"{\n", *lines[2:]], [*lines, lines[1]], [b'{"log": {}}\n']):
        path.write_bytes(b"".join(wrong))
        with pytest.raises(UsageError, match=r"is damaged: line \d|not a journal"):
            left_in(path)
    path.unlink()
    with pytest.raises(UsageError, match="Cannot read the journal"):
        left_in(path)
