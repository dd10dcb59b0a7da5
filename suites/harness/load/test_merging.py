"""The journals of several processes become one: in the order of sending, renumbered, whole only if all of them are."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import Exchange, Header, Journal, JournalFile, Observation
from popreceipt.load import merging
from popreceipt.load.merging import MERGED, SETUP, merge

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def write(path: Path, sent: list[float], *, seconds: float = 0.0, seal: bool = True, error: float = 0.0) -> None:
    """A worker's journal of requests that were sent so many seconds after noon, each answered some seconds later."""
    with path.open("wb") as file:
        journal = Journal(Header(clock="system", concurrent=True, clock_error_seconds=error), file)
        for each in sent:
            at = NOON + timedelta(seconds=each)
            journal.record(
                sent=at,
                answered=at + timedelta(seconds=seconds),
                method="GET",
                url="http://h/api/connector/dequeue/x",
                status=204,
                actor=f"authorised/{path.stem}",
            )
        if seal:
            journal.seal()


def write_setup(folder: Path, *observed: float) -> None:
    with (folder / SETUP).open("wb") as file:
        journal = Journal(Header(clock="system"), file)
        for each in observed:
            journal.add(Observation("activity", NOON + timedelta(seconds=each), {"activity": "a"}))
        journal.seal()


def exchanges(folder: Path) -> list[Exchange]:
    return [each for each in JournalFile(folder / MERGED) if isinstance(each, Exchange)]


def test_exchanges_stand_in_the_order_of_sending(tmp_path: Path) -> None:
    """However late an answer came, and whichever process got it, the one that was sent first stands first."""
    chance = Random(5)
    written = []
    for worker in "abc":
        instants = [chance.uniform(0, 1_000) for _ in range(200)]  # a slow answer stands behind later ones
        written += [(each, f"authorised/journal-{worker}") for each in instants]
        write(tmp_path / f"journal-{worker}.ndjson", instants, seconds=chance.random())
    write_setup(tmp_path)
    merged = merge(tmp_path)
    found = exchanges(tmp_path)
    assert merged.exchanges == 600
    assert [each.seq for each in found] == list(range(1, 601))
    expected = [(NOON + timedelta(seconds=at), actor) for at, actor in sorted(written)]
    assert [(each.sent, each.actor) for each in found] == expected


def test_the_whole_is_complete_and_told_to_be_by_several_callers(tmp_path: Path) -> None:
    """The header has the target's name and the largest error of a clock, and says that lines tell no order."""
    write_setup(tmp_path, 0)
    write(tmp_path / "journal-1.ndjson", [1])
    write(tmp_path / "journal-2.ndjson", [2], error=0.25)
    merged = merge(tmp_path, name="emulator:")
    journal = JournalFile(merged.path)
    entries = list(journal)
    assert journal.complete
    assert journal.damage is None
    assert (journal.header.concurrent, journal.header.clock_error_seconds) == (True, 0.25)
    assert journal.header.target.name == "emulator:"
    assert [type(each) for each in entries] == [Observation, Exchange, Exchange]
    assert merged.damage == ()


def test_what_was_told_stands_before_what_was_sent_at_the_same_instant(tmp_path: Path) -> None:
    """A job that is known from an instant on is known to the request of that instant."""
    write(tmp_path / "journal-1.ndjson", [5])
    write_setup(tmp_path, 5)
    merge(tmp_path)
    assert [type(each) for each in JournalFile(tmp_path / MERGED)] == [Observation, Exchange]


def test_a_journal_without_a_footer_makes_the_whole_incomplete(tmp_path: Path) -> None:
    """What a worker wrote before it died counts, and the whole is no pass."""
    write_setup(tmp_path, 0)
    write(tmp_path / "journal-1.ndjson", [1, 2])
    write(tmp_path / "journal-2.ndjson", [3, 4], seal=False)
    merged = merge(tmp_path)
    journal = JournalFile(merged.path)
    assert len(list(journal)) == 5
    assert not journal.complete
    assert merged.damage == ("journal-2.ndjson: it ends after 3 lines without a footer",)


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    """A line that a full disk cut off takes nothing else along."""
    write_setup(tmp_path)
    path = tmp_path / "journal-1.ndjson"
    write(path, [1, 2, 3], seal=False)
    path.write_bytes(path.read_bytes()[:-40])
    merged = merge(tmp_path)
    assert [each.seq for each in exchanges(tmp_path)] == [1, 2]
    assert merged.damage == ("journal-1.ndjson: line 4 is cut off or damaged; what stands before it counts",)


@pytest.mark.parametrize(
    ("more", "damage"),
    [
        (b'{"footer":true,"lines":9}\n', "the footer counts 9 lines, the file has 3"),
        (b'{"footer":true,"lines":3}\n{"seq":2}\n', "line 4 stands after the footer"),
        (b'{"strange":1}\n', "line 3 is neither an exchange, a clock movement, an observation nor a footer"),
    ],
)
def test_strange_ends_are_told(tmp_path: Path, more: bytes, damage: str) -> None:
    """A footer that counts wrongly, or lines behind it, are no journal that was ended in good order."""
    path = tmp_path / "journal-1.ndjson"
    write(path, [1], seal=False)
    path.write_bytes(path.read_bytes() + more)
    assert merge(tmp_path).damage == (f"journal-1.ndjson: {damage}",)


def test_a_worker_that_wrote_nothing_is_told(tmp_path: Path) -> None:
    """An empty file stands for a process that was there and left nothing."""
    write(tmp_path / "journal-1.ndjson", [1])
    (tmp_path / "journal-2.ndjson").write_bytes(b"")
    assert merge(tmp_path).damage == ("journal-2.ndjson: it has no first line",)


def test_another_machines_clock_makes_spans_wider(tmp_path: Path) -> None:
    """Whoever read the target's clock by itself may be off from the others by both errors, to either side."""
    with (tmp_path / SETUP).open("wb") as file:
        journal = Journal(Header(clock="system", clock_error_seconds=0.1), file)
        journal.add(Observation("activity", NOON, {"activity": "a"}))
        journal.seal()
    write(tmp_path / "journal-here.ndjson", [10], seconds=1, error=0.1)
    write(tmp_path / "journal-there.ndjson", [20], seconds=1, error=0.3)
    merge(tmp_path)
    here, there = exchanges(tmp_path)
    assert (here.sent, here.answered) == (NOON + timedelta(seconds=10), NOON + timedelta(seconds=11))
    assert (there.sent, there.answered) == (NOON + timedelta(seconds=19.6), NOON + timedelta(seconds=21.4))


def test_lines_that_others_wrote_are_numbered_too(tmp_path: Path) -> None:
    """A journal whose members stand in another order is as good as ours."""
    path = tmp_path / "journal-1.ndjson"
    write(path, [1], seal=False)
    header, line = path.read_bytes().splitlines()
    turned = json.dumps(dict(reversed(json.loads(line).items()))).encode()
    path.write_bytes(b"\n".join([header, turned, b'{"footer":true,"lines":3}', b""]))
    write(tmp_path / "journal-0.ndjson", [0])
    merged = merge(tmp_path)
    assert merged.damage == ()
    assert [(each.seq, each.sent) for each in exchanges(tmp_path)] == [(1, NOON), (2, NOON + timedelta(seconds=1))]


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run's journals take a while to be joined."""
    monkeypatch.setattr(merging, "TOLD_EVERY", 2)
    write(tmp_path / "journal-1.ndjson", [1, 2, 3, 4])
    told: list[tuple[int, int]] = []
    merge(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 0), (4, 0), (2, 4), (4, 4)]


def test_no_journals_are_no_run(tmp_path: Path) -> None:
    """A folder in which nothing is, or nothing readable."""
    with pytest.raises(UsageError, match="no journals of a load run"):
        merge(tmp_path)
    (tmp_path / "journal-1.ndjson").write_text("hello\n")
    with pytest.raises(UsageError, match="is not a journal"):
        merge(tmp_path)
    (tmp_path / "journal-1.ndjson").write_text('{"format": "popreceipt/journal@7"}\n')
    with pytest.raises(UsageError, match="this version reads"):
        merge(tmp_path)
    (tmp_path / "journal-1.ndjson").write_bytes(b"")
    with pytest.raises(NothingProved, match="nothing was written down"):
        merge(tmp_path)


def test_where_it_cannot_be_written_the_parts_are_whole(tmp_path: Path) -> None:
    """A full disk (here: something in the way) ends in words that say what to do, and takes nothing along."""
    write(tmp_path / "journal-1.ndjson", [1])
    before = (tmp_path / "journal-1.ndjson").read_bytes()
    (tmp_path / MERGED).mkdir()
    (tmp_path / MERGED / "in the way").touch()
    with pytest.raises(NothingProved, match="popreceipt load --judge"):
        merge(tmp_path)
    assert (tmp_path / "journal-1.ndjson").read_bytes() == before
    assert not (tmp_path / f".{MERGED}").exists()
