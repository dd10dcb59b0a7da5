"""Runs that take their time: they start up, have so many files in process at once, and outlast their recurrence."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Made, Office

EVERY = pytest.mark.parametrize("overrun", ["next-tick", "at-once", "joins"])
LONG: dict[str, Any] = {"processing": timedelta(seconds=89)}
"""A file takes a minute and a half, one second of it until it is Processing."""


def job_of(office: Office, **settings: Any) -> str:
    """A job that runs every minute."""
    return office.create("import", processing_recurrence_minutes=1, **settings)


def times(office: Office, job: str) -> list[tuple[str | None, str | None]]:
    """When each file was begun and done, as minutes and seconds."""
    names = ("ProcessingStartedDateTime", "ProcessingCompletedDateTime")
    return [tuple(row[name] and row[name][14:].rstrip("Z") for name in names) for row in office.rows(job)]


def begun(office: Office, job: str) -> list[str | None]:
    """When each file was begun."""
    return [began for began, _ in times(office, job)]


# What a file takes


def test_a_run_starts_up_before_its_first_file(offices: Made) -> None:
    """Files that it has taken are Enqueued until then, whether they go in order or together."""
    office = offices(batch_startup=timedelta(seconds=20))
    jobs = job_of(office), job_of(office, in_order=True)
    for job in jobs:
        office.send(job, "A")
        office.send(job, "B")
    office.advance(seconds=79.5)
    assert [office.column(job) for job in jobs] == [["Enqueued"] * 2] * 2
    office.advance(minutes=1)
    assert times(office, jobs[0]) == [("01:20", "01:23")] * 2
    assert times(office, jobs[1]) == [("01:20", "01:23"), ("01:23", "01:26")]


def test_what_comes_while_a_run_starts_up_waits_for_the_next(offices: Made) -> None:
    """A run takes what waits at the instant at which it begins."""
    office = offices(batch_startup=timedelta(seconds=20))
    job = job_of(office)
    office.send(job, "A")
    office.advance(seconds=61)
    office.send(job, "B")
    office.advance(minutes=3)
    assert begun(office, job) == ["01:20", "02:20"]


def test_a_run_that_finds_nothing_takes_no_time(offices: Made) -> None:
    """A run on purpose with nothing to do holds up nothing."""
    office = offices(batch_startup=timedelta(seconds=20))
    job = job_of(office)
    office.advance(seconds=50)
    assert office.process(job) == 0
    office.send(job, "A")
    office.advance(minutes=1)
    assert begun(office, job) == ["01:20"]


def test_so_many_files_at_once(offices: Made) -> None:
    """The next is begun when one is done, in the order in which they came; another job has places of its own."""
    office = offices(batch_parallel=2)
    job, other = job_of(office), job_of(office)
    for key in "ABCDE":
        office.send(job, key)
    office.send(other, "A")
    office.advance(minutes=2)
    assert begun(office, job) == ["01:00", "01:00", "01:03", "01:03", "01:06"]
    assert begun(office, other) == ["01:00"]


def test_in_order_they_go_one_by_one_all_the_same(offices: Made) -> None:
    """However many may go together elsewhere."""
    office = offices(batch_parallel=2)
    job = job_of(office, in_order=True)
    for key in "ABC":
        office.send(job, key)
    office.advance(minutes=2)
    assert begun(office, job) == ["01:00", "01:03", "01:06"]


def test_records_take_time(offices: Made) -> None:
    """Each of them, good or bad, to the millisecond."""
    office = offices(processing_record=timedelta(milliseconds=1.25) * 1000)
    job = job_of(office)
    office.send(job)
    office.send(job, "A", "B", "A" * 11)
    office.send(job, header="NOTHING")
    office.advance(minutes=2)
    assert [done for _, done in times(office, job)] == ["01:03", "01:06.750000", "01:01"]


# A recurrence that finds a run going on


def test_the_next_recurrence(offices: Made) -> None:
    """No run starts while files of another are in process: what waits, waits for the recurrence after its end."""
    office = offices(**LONG)
    job = job_of(office)
    office.send(job, "A")
    office.advance(seconds=61)
    office.send(job, "B")
    office.advance(minutes=5)
    assert times(office, job) == [("01:00", "02:30"), ("03:00", "04:30")]


def test_at_once(offices: Made) -> None:
    """The run that was due starts when the other ends, and takes what waits by then; without one due it does not."""
    office = offices("batch.overrun=at-once", **LONG)
    job = job_of(office)
    office.send(job, "A")
    office.advance(seconds=130)
    office.send(job, "B")  # The recurrence at two minutes found nothing that waited.
    office.advance(minutes=2)
    office.send(job, "C")
    office.advance(minutes=5)
    assert times(office, job) == [("01:00", "02:30"), ("02:30", "04:00"), ("05:00", "06:30")]


def test_it_joins(offices: Made) -> None:
    """A recurrence takes what waits into the run that goes on."""
    office = offices("batch.overrun=joins", **LONG)
    job = job_of(office)
    office.send(job, "A")
    office.advance(seconds=61)
    office.send(job, "B")
    office.advance(minutes=5)
    assert begun(office, job) == ["01:00", "02:00"]


@EVERY
def test_a_run_that_ends_at_the_recurrence_does_not_outlast_it(offices: Made, overrun: str) -> None:
    """Twenty files of three seconds take a minute and no longer."""
    office = offices(f"batch.overrun={overrun}")
    job = job_of(office, in_order=True)
    for number in range(20):
        office.send(job, f"A{number}")
    office.advance(seconds=90)
    office.send(job, "B")
    office.advance(minutes=3)
    assert begun(office, job)[-2:] == ["01:57", "02:00"]


@EVERY
def test_a_run_on_purpose_asks_nobody(offices: Made, overrun: str) -> None:
    """It takes what waits though another goes on, and without another start-up."""
    office = offices(f"batch.overrun={overrun}", batch_startup=timedelta(seconds=20), **LONG)
    together, in_order = job_of(office), job_of(office, in_order=True)
    for job in (together, in_order):
        office.send(job, "A")
    office.advance(seconds=81)
    for job in (together, in_order):
        office.send(job, "B")
        assert office.process(job) == 1
    office.advance(minutes=5)
    assert begun(office, together) == ["01:20", "01:21"]
    assert begun(office, in_order) == ["01:20", "02:50"]


@EVERY
def test_a_stuck_file_holds_up_nobody(offices: Made, overrun: str) -> None:
    """Nobody works on it, though it is in process for ever: neither recurrences nor places wait for it."""
    office = offices(f"batch.overrun={overrun}", batch_parallel=1)
    job = job_of(office)
    office.fault("stuck", job)
    for key in "AB":
        office.send(job, key)
    office.advance(minutes=2)
    office.send(job, "C")
    office.advance(minutes=2)
    assert office.column(job) == ["Processing", "Processed", "Processed"]
    assert begun(office, job) == ["01:00", "01:01", "03:00"]


@EVERY
def test_an_entity_that_nobody_knows_holds_up_nobody(offices: Made, overrun: str) -> None:
    """Where such files stay in process."""
    office = offices(f"batch.overrun={overrun}", "processing.unknown-entity=stays-processing", batch_parallel=1)
    job = job_of(office)
    with office.emulator.attended() as now:
        activity = office.store.activity(job)
        office.emulator.batch.enqueue(activity, b"X\r\n", now, entity="Unknown", company=None, external_identifier=None)
    office.send(job, "A")
    office.advance(minutes=2)
    assert office.column(job) == ["Processing", "Processed"]


@EVERY
@pytest.mark.parametrize("in_order", [True, False])
def test_a_dead_batch_job_holds_up_nobody(offices: Made, overrun: str, in_order: bool) -> None:
    """The next run puts the file back, and goes on."""
    office = offices(f"batch.overrun={overrun}", batch_parallel=1)
    job = job_of(office, in_order=in_order)
    office.fault("dies", job)
    for key in "AB":
        office.send(job, key)
    office.advance(minutes=3)
    assert office.column(job) == ["Processed", "Processed"]
    # In order the second waits for the first; else it only waited for its place.
    assert begun(office, job) == (["02:00", "02:03"] if in_order else ["02:00", "01:03"])


@EVERY
def test_a_dead_batch_job_goes_on_without_skipped_files(offices: Made, overrun: str) -> None:
    """Where what a batch job left behind is skipped, those that waited for a place come all the same."""
    office = offices(f"batch.overrun={overrun}", batch_parallel=1)
    office.control("PATCH", "/parameters", {"skip_reprocessing": True})
    job = job_of(office)
    office.fault("dies", job)
    for key in "AB":
        office.send(job, key)
    office.advance(minutes=3)
    assert office.column(job) == ["Processing", "Processed"]


@EVERY
def test_a_line_behind_a_failed_file_goes_on_once_that_is_cleaned_up(offices: Made, overrun: str) -> None:
    """Recurrences come and go meanwhile, and what they take stands in line."""
    office = offices(f"batch.overrun={overrun}", "ordering.failed-message=blocks")
    job = job_of(office, in_order=True)
    office.send(job, "A" * 11)
    office.send(job, "B")
    office.advance(seconds=90)
    office.send(job, "C")
    office.advance(minutes=5)
    assert office.column(job) == ["ProcessedWithErrors", "Enqueued", "Enqueued"]
    office.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 0, "statuses": ["ProcessedWithErrors"]})
    office.advance(seconds=10)
    assert office.column(job) == ["Processed", "Processed"]


@EVERY
def test_what_is_cleaned_up_in_process_is_waited_for_no_longer_than_it_takes(offices: Made, overrun: str) -> None:
    """The batch job is still at it; then the next comes."""
    office = offices(f"batch.overrun={overrun}", batch_parallel=1, **LONG)
    job = job_of(office)
    office.send(job, "A")
    office.advance(seconds=65)
    office.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 0})
    office.send(job, "B")
    office.advance(minutes=5)
    assert begun(office, job) == [{"next-tick": "03:00", "at-once": "02:30", "joins": "02:30"}[overrun]]


def test_a_fault_of_the_emulator_holds_up_nobody(offices: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file fails, and the run that was due starts."""
    office = offices("batch.overrun=at-once", **LONG)
    job = job_of(office)
    office.send(job, "A")
    office.advance(seconds=130)
    office.send(job, "B")
    with monkeypatch.context() as broken:

        def land(*_: object) -> None:
            raise ZeroDivisionError

        broken.setattr(office.emulator.batch, "_land", land)
        office.advance(seconds=30)
    assert [str(type(fault).__name__) for fault in office.emulator.faults] == ["ZeroDivisionError"]
    office.emulator.faults.clear()
    office.advance(minutes=5)
    assert begun(office, job) == ["01:00", "02:30"]
    assert office.column(job) == ["ProcessedWithErrors", "Processed"]


def test_a_new_recurrence_owes_nothing(offices: Made) -> None:
    """What was overdue by the old one is not made up for."""
    office = offices("batch.overrun=at-once", **LONG)
    job = job_of(office)
    office.send(job, "A")
    office.advance(seconds=125)
    office.change(job, processing_recurrence_minutes=10)
    office.send(job, "B")
    office.advance(minutes=15)
    assert begun(office, job) == ["01:00", "12:05"]


def test_everything_begins_anew(offices: Made) -> None:
    """After a reset nothing is overdue, and nothing goes on."""
    office = offices("batch.overrun=at-once", batch_startup=timedelta(seconds=20), **LONG)
    job = next(one["id"] for one in office.control("GET", "/world")["activities"] if one["name"] == "import-file")
    office.change(job, processing_recurrence_minutes=1)
    office.send(job, "A")
    office.advance(seconds=125)
    office.control("POST", "/reset")
    office.send(job, "B")
    office.advance(minutes=10)
    assert begun(office, job) == ["07:25"]


def test_a_large_backlog_is_taken_whole(offices: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page at a time, together and in order, at a recurrence and on purpose."""
    monkeypatch.setattr("popreceipt.emulator.batch.PAGE", 7)
    office = offices()
    jobs = [job_of(office, in_order=in_order) for in_order in (True, False)]
    for turn in range(2):
        for job in jobs:
            for number in range(20):
                office.send(job, f"{turn}{number}")
        if turn:
            office.advance(minutes=1)
        else:
            assert [office.process(job) for job in jobs] == [20, 20]
            office.advance(minutes=1)
    office.advance(minutes=5)
    for job in jobs:
        assert office.column(job) == ["Processed"] * 40
        assert len(set(office.keys(job))) == 40
    assert begun(office, jobs[0]) == sorted(begun(office, jobs[0]))


def test_files_that_are_not_remembered_are_read_anew(offices: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are in process at once, what was read of them stays little."""
    monkeypatch.setattr("popreceipt.emulator.batch.MOST_STAGED", 5)
    office = offices()
    job = job_of(office)
    for number in range(10):
        office.send(job, f"{number}", f"{number}x")
    office.advance(seconds=62)
    assert len(office.emulator.batch._staged) == 1
    office.advance(seconds=10)
    assert office.column(job) == ["Processed"] * 10
    assert len(office.keys(job)) == 20
    assert (office.emulator.batch._staged, office.emulator.batch._staged_records) == ({}, 0)
