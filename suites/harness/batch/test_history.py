"""Batch history: what Manage messages shows of the batch job, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from conftest import Made, Office

NEWEST = "batch.status-before-fetch=newest"


def test_the_status_is_shown_once_it_was_fetched(office: Office) -> None:
    """A moment after it was asked for, as it is then; what changes later waits for the next fetch."""
    job = office.create("import", in_order=True)
    for key in "AB":
        office.send(job, key)
    office.process(job)
    assert office.column(job, "BatchStatus") == [None, None]
    office.batch(job, "get-status")
    assert office.column(job, "BatchStatus") == [None, None]
    office.advance(seconds=1)
    assert office.column(job, "BatchStatus") == ["Executing", "Waiting"]
    office.advance(seconds=30)
    assert office.column(job, "BatchStatus") == ["Executing", "Waiting"]
    office.batch(job, "get-status")
    office.advance(seconds=1)
    assert office.column(job, "BatchStatus") == ["Finished", "Finished"]


def test_what_no_run_has_taken_has_no_status(office: Office) -> None:
    """Its batch job has not seen it yet."""
    job = office.create("import")
    office.send(job, "A")
    office.batch(job, "get-status")
    office.advance(seconds=1)
    assert office.column(job, "BatchStatus") == [None]


def test_each_way_to_end(office: Office) -> None:
    """A file that cannot be read, and one with bad records: the batch job did its work; the stage after it fails it."""
    job = office.create("import")
    office.fault("post-processing-failed", job, position=2)
    office.send(job, "A")
    office.send(job, "B")
    office.send(job, "C", header="NOTHING OF THE KIND")
    office.send(job, "A" * 11)
    office.process(job)
    office.advance(seconds=10)
    office.batch(job, "get-status")
    office.advance(seconds=1)
    shown = list(zip(office.column(job), office.column(job, "BatchStatus"), strict=True))
    assert shown == [
        ("Processed", "Finished"),
        ("PostProcessingFailed", "Error"),
        ("PreProcessingError", "Finished"),
        ("ProcessedWithErrors", "Finished"),
    ]


def test_an_export_has_a_status_as_well(office: Office) -> None:
    """With a file or without."""
    job = office.create("export", prevent_upload_when_zero_records=True)
    office.produce(job, 1)
    office.produce(job, 0)
    office.batch(job, "get-status")
    office.advance(seconds=1)
    assert office.column(job, "BatchStatus") == ["Finished", "Finished"]


def test_a_deleted_history_leaves_a_blank_and_nothing_else_changes(office: Office) -> None:
    """After the next fetch; of other jobs nothing is deleted."""
    jobs = [office.create("import"), office.create("import")]
    for job in jobs:
        office.send(job, "A")
        office.process(job)
        office.advance(seconds=3)
        office.batch(job, "get-status")
        office.advance(seconds=1)
    before = office.rows(jobs[0])
    office.batch(jobs[0], "delete-history")
    assert office.rows(jobs[0]) == before
    for job in jobs:
        office.batch(job, "get-status")
    office.advance(seconds=1)
    assert office.rows(jobs[0]) == [{**before[0], "BatchStatus": None}]
    assert office.column(jobs[1], "BatchStatus") == ["Finished"]


def test_a_history_deleted_on_the_way_does_not_come_back(office: Office) -> None:
    """The job goes on without its record."""
    job = office.create("import")
    office.send(job, "A")
    office.process(job)
    office.batch(job, "delete-history")
    office.advance(seconds=3)
    office.batch(job, "get-status")
    office.advance(seconds=1)
    assert (office.column(job), office.column(job, "BatchStatus")) == (["Processed"], [None])


def test_the_other_reading_shows_the_newest(offices: Made) -> None:
    """Nobody has to fetch; a deleted history is blank after a fetch all the same."""
    office = offices(NEWEST)
    job = office.create("import", in_order=True)
    for key in "AB":
        office.send(job, key)
    office.process(job)
    assert office.column(job, "BatchStatus") == ["Executing", "Waiting"]
    office.advance(seconds=3)
    assert office.column(job, "BatchStatus") == ["Finished", "Executing"]
    office.advance(seconds=3)
    office.batch(job, "delete-history")
    office.batch(job, "get-status")
    office.advance(seconds=1)
    assert office.column(job, "BatchStatus") == [None, None]


def test_a_fetch_writes_the_rows_that_differ(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand rows, those of the one file that went on: counted, not timed."""
    job = office.create("export")
    for _ in range(300):
        office.produce(job, 0)
    office.batch(job, "get-status")
    office.advance(seconds=1)
    office.produce(job, 0)
    put = office.store.put_message
    written: list[str] = []
    monkeypatch.setattr(office.store, "put_message", lambda message: written.append(message.id) or put(message))
    office.batch(job, "get-status")
    office.advance(seconds=1)
    assert len(written) == 1
    assert set(office.column(job, "BatchStatus")) == {"Finished"}


def test_rows_that_were_cleaned_up_meanwhile(office: Office) -> None:
    """A fetch that comes too late finds nothing, and harms nothing."""
    job = office.create("export")
    office.produce(job)
    office.batch(job, "get-status")
    office.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 0})
    office.advance(seconds=1)
    assert office.rows(job) == []
    office.batch(job, "get-status")
    office.control("POST", "/reset")
    office.advance(seconds=1)
