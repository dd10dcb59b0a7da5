"""Load journals read back: arrivals, service times, and a clear sentence for every journal that cannot tell them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from popreceipt.clock import EPOCH
from popreceipt.exceptions import UsageError
from popreceipt.journal import Header, Journal, Observation, instant_text
from popreceipt.sizing import measured

ONE = "11111111-1111-1111-1111-111111111111"
OTHER = "22222222-2222-2222-2222-222222222222"


def at(seconds: float) -> Any:
    return EPOCH + timedelta(seconds=seconds)


def since(seconds: float) -> float:
    return at(seconds).timestamp()


def row(message: str, *instants: float | None) -> dict[str, Any]:
    """A row of Manage messages."""
    columns = ("EnqueueDateTime", "ProcessingStartedDateTime", "ProcessingCompletedDateTime")
    return {"MessageId": message} | {
        column: None if each is None else instant_text(at(each)) for column, each in zip(columns, instants, strict=True)
    }


class Writer:
    """Writes a journal of a load run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(Header())

    def enqueue(self, seconds: float, *, activity: str = ONE, status: int | None = 200, **more: Any) -> None:
        self.journal.record(
            sent=at(seconds - 0.2),
            answered=at(seconds),
            method="POST",
            url=f"http://target/api/connector/enqueue/%7B{activity.upper()}%7D?entity=Customer%20groups",
            status=status,
            **more,
        )

    def rows(self, rows: Sequence[dict[str, Any]], *, activity: str = ONE, seconds: float = 900) -> None:
        facts = {"since": instant_text(at(seconds)), "activity": activity, "rows": list(rows)}
        self.journal.add(Observation("messages", at(seconds), facts))

    def written(self, *, sealed: bool = True) -> Path:
        if sealed:
            self.journal.seal()
        self.path.write_bytes(b"".join(line + b"\n" for line in self.journal.lines()))
        return self.path


@pytest.fixture
def run(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "run.ndjson")


def test_arrivals_are_the_ends_of_successful_enqueues(run: Writer) -> None:
    """By when their answers had come, in order; what failed or was refused never arrived."""
    run.enqueue(7)
    run.enqueue(3.25)
    run.enqueue(4, status=500)
    run.enqueue(5, status=None, failure="timeout")
    run.enqueue(6, failure="truncated")
    assert measured.arrivals_of(run.written()).tolist() == [since(3.25), since(7)]


def test_service_times_are_told_by_the_rows_as_they_were_seen_last(run: Writer) -> None:
    """In the order of the enqueues; a message that was asked for twice counts once, as it was later."""
    run.enqueue(1)
    run.rows([row("a", 1, 60, None), row("b", 0.5, 58, 60)], seconds=61)
    run.rows([row("a", 1, 60, 64.5), row("b", 0.5, 58, 60), row("c", 70, None, None)], seconds=80)
    path = run.written()
    assert measured.services_of(path).tolist() == [2.0, 4.5]
    recorded = measured.recorded_of(path)
    assert len(recorded) == 3
    assert recorded.waits.tolist() == [59.5, 63.5]


def test_exports_process_nothing(run: Writer) -> None:
    """Their messages have times of processing too, and belong to no import's batch job."""
    settings = {"direction": "export"}
    run.journal.add(Observation("activity", at(0), {"activity": OTHER, "created": True, "settings": settings}))
    run.rows([row("x", 5, 5, 5)], activity=OTHER)
    run.rows([row("a", 1, 60, 61)])
    assert measured.services_of(run.written()).tolist() == [1.0]


def test_a_journal_about_several_jobs_wants_one_named(run: Writer) -> None:
    """Each has its own batch job: together they are no queue. The sentence says how to name one."""
    run.enqueue(1)
    run.enqueue(2, activity=OTHER)
    run.rows([row("a", 1, 60, 61)])
    run.rows([row("b", 2, 60, 63)], activity=OTHER)
    path = run.written()
    with pytest.raises(UsageError, match=rf"2 recurring data jobs.*run\.ndjson#{ONE}"):
        measured.arrivals_of(path)
    with pytest.raises(UsageError, match="2 recurring data jobs"):
        measured.services_of(path)
    named = path.with_name(f"{path.name}#{{{OTHER}}}")
    assert measured.arrivals_of(named).tolist() == [since(2)]
    assert measured.services_of(named).tolist() == [3.0]
    with pytest.raises(UsageError, match="holds no successful enqueue of the activity nobody"):
        measured.arrivals_of(path.with_name(f"{path.name}#nobody"))


def test_a_number_sign_in_a_name_is_a_name(tmp_path: Path) -> None:
    """Where a file is called so, nothing is split off."""
    run = Writer(tmp_path / "run#1.ndjson")
    run.enqueue(1)
    assert len(measured.arrivals_of(run.written())) == 1


def test_a_journal_that_was_cut_off_is_refused(run: Writer) -> None:
    """What is missing would look like a quiet time."""
    run.enqueue(1)
    run.rows([row("a", 1, 60, 61)])
    path = run.written(sealed=False)
    for read in (measured.arrivals_of, measured.services_of):
        with pytest.raises(UsageError, match=r"was cut off: it ends after 3 lines without a footer"):
            read(path)


def test_a_journal_that_holds_nothing_of_the_kind_is_refused(run: Writer) -> None:
    """A journal of consumers has no arrivals; one that nobody asked Manage messages for has no service times."""
    run.journal.record(sent=at(0), answered=at(1), method="GET", url="http://t/api/connector/dequeue/a", status=204)
    path = run.written()
    with pytest.raises(UsageError, match="holds no successful enqueue"):
        measured.arrivals_of(path)
    with pytest.raises(UsageError, match=r"holds no message of which Manage messages \(asked for over"):
        measured.services_of(path)


def test_rows_that_nothing_has_processed_tell_no_service_time(run: Writer) -> None:
    """They waited when they were seen."""
    run.rows([row("a", 1, None, None), row("b", 1, 30, None)])
    with pytest.raises(UsageError, match="holds no message of which Manage messages"):
        measured.services_of(run.written())


def test_what_is_no_instant_is_refused(run: Writer) -> None:
    """The sentence names the column."""
    run.rows([{**row("a", 1, 2, 3), "ProcessingStartedDateTime": "soon"}])
    with pytest.raises(UsageError, match="whose ProcessingStartedDateTime is 'soon'"):
        measured.services_of(run.written())


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    """Another file, or none."""
    path = tmp_path / "table.csv"
    path.write_text("timestamp\n2026-01-01T00:00:00\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is not a journal"):
        measured.arrivals_of(path)
    with pytest.raises(UsageError, match="Cannot read the journal"):
        measured.services_of(tmp_path / "none.ndjson")
