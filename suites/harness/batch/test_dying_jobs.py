"""Batch jobs that die over a message, and what the next run makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Office


def test_a_message_left_in_process_is_put_back_and_processed_again(office: Office) -> None:
    """By the next run; its retries are counted, its start is that of the second attempt."""
    job = office.create("import", processing_recurrence_minutes=5)
    office.fault("dies", job)
    office.send(job, "A")
    office.advance(minutes=5, seconds=10)
    assert (office.column(job), office.keys(job)) == (["Processing"], [])
    office.batch(job, "get-status")
    office.advance(minutes=4, seconds=49)
    assert office.column(job) == ["Processing"]
    assert office.column(job, "BatchStatus") == ["Error"]
    office.advance(seconds=1)
    (row,) = office.rows(job)
    assert (row["Status"], row["RetryCount"]) == ("Preprocessing", 1)
    assert row["ProcessingStartedDateTime"] == "2026-01-01T00:10:00Z"
    office.advance(seconds=3)
    office.batch(job, "get-status")
    office.advance(seconds=1)
    (row,) = office.rows(job)
    assert (row["Status"], row["RetryCount"], row["BatchStatus"]) == ("Processed", 1, "Finished")
    assert office.keys(job) == ["A"]


@pytest.mark.parametrize(("phase", "landed"), [("before", []), ("after", ["A"])])
def test_its_records_may_have_landed(office: Office, phase: str, landed: list[str]) -> None:
    """Or not; a run by hand counts it among what it took."""
    job = office.create("import")
    office.fault("dies", job, phase=phase)
    office.send(job, "A")
    office.process(job)
    office.advance(seconds=10)
    assert (office.column(job), office.keys(job)) == (["Processing"], landed)
    office.send(job, "B")
    assert office.process(job) == 2
    office.advance(seconds=10)
    assert (office.column(job), office.column(job, "RetryCount")) == (["Processed", "Processed"], [1, 0])
    assert office.keys(job) == ["A", "B"]


def test_the_framework_may_be_told_to_skip_it(office: Office) -> None:
    """Then it stays in process; told otherwise again, the next run takes it."""
    assert office.control("GET", "/parameters") == {"skip_reprocessing": False}
    assert office.control("PATCH", "/parameters", {"skip_reprocessing": True}) == {"skip_reprocessing": True}
    job = office.create("import", processing_recurrence_minutes=5)
    office.fault("dies", job)
    office.send(job, "A")
    office.advance(days=1, minutes=2)
    assert (office.column(job), office.column(job, "RetryCount")) == (["Processing"], [0])
    assert office.process(job) == 0
    office.control("PATCH", "/parameters", {"skip_reprocessing": False})
    office.advance(minutes=3)
    assert office.column(job, "RetryCount") == [1]


def test_it_may_die_again_and_again(office: Office) -> None:
    """Each run tries once more."""
    job = office.create("import", processing_recurrence_minutes=5)
    office.fault("dies", job, times=3)
    office.send(job, "A")
    office.advance(minutes=25)
    assert (office.column(job), office.column(job, "RetryCount")) == (["Processed"], [3])


def test_what_merely_takes_long_is_left_alone(office: Office) -> None:
    """Neither a stuck message nor one that is being processed at the time of the run."""
    job = office.create("import")
    office.fault("stuck", job)
    office.fault("dies", job)
    for key in "AB":
        office.send(job, key)
    office.process(job)
    office.advance(seconds=10)
    office.send(job, "C")
    assert office.process(job) == 2
    office.advance(seconds=2)
    assert office.process(job) == 0
    office.advance(seconds=10)
    assert office.column(job) == ["Processing", "Processed", "Processed"]
    assert office.column(job, "RetryCount") == [0, 1, 0]


def test_in_order_it_keeps_its_place(office: Office) -> None:
    """What waited behind it waits for the next run, and then for it."""
    job = office.create("import", in_order=True, processing_recurrence_minutes=5)
    office.fault("dies", job)
    for key in "ABC":
        office.send(job, key)
    office.advance(minutes=7)
    assert office.column(job) == ["Processing", "Enqueued", "Enqueued"]
    office.send(job, "D")
    office.advance(minutes=3)
    assert office.column(job) == ["Preprocessing", "Enqueued", "Enqueued", "Enqueued"]
    office.advance(minutes=1)
    started = office.column(job, "ProcessingStartedDateTime")
    assert office.column(job) == ["Processed"] * 4
    assert started == sorted(started)
    assert office.keys(job) == ["A", "B", "C", "D"]


def test_a_deleted_history_hides_no_abandoned_message(office: Office) -> None:
    """The record of its run was one of the column only."""
    job = office.create("import")
    office.fault("dies", job)
    office.send(job, "A")
    office.process(job)
    office.advance(seconds=10)
    office.batch(job, "delete-history")
    assert office.process(job) == 1
    office.advance(seconds=10)
    assert office.column(job) == ["Processed"]


def test_cleaned_up_it_holds_up_nobody(office: Office) -> None:
    """In order, the next goes on at once."""
    job = office.create("import", in_order=True)
    office.fault("dies", job)
    for key in "AB":
        office.send(job, key)
    office.process(job)
    office.advance(seconds=10)
    body = {"olderThanDays": 0, "statuses": ["Processing"]}
    assert office.control("POST", f"/activities/{job}/cleanup", body) == {"deleted": 1}
    office.advance(seconds=3)
    assert (office.column(job), office.keys(job)) == (["Processed"], ["B"])
    assert office.process(job) == 0
