"""Message clean up, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popreceipt.emulator.cleanup import SLICE

if TYPE_CHECKING:
    import pytest
    from conftest import Made, Office


def cleaned(office: Office, job: str, days: float = 0, *statuses: str) -> int:
    """How many messages a clean-up deleted."""
    body = {"olderThanDays": days, "statuses": list(statuses)}
    return int(office.control("POST", f"/activities/{job}/cleanup", body)["deleted"])


def test_imports_and_exports_by_age_and_status(office: Office) -> None:
    """Both ages and statuses must fit; a second time there is nothing left."""
    job, source = office.create("import"), office.create("export")
    office.send(job, "A")
    office.send(job, "A" * 11)
    office.process(job)
    office.produce(source)
    office.advance(days=2)
    office.send(job, "B")
    office.produce(source)
    assert cleaned(office, job, 2.001) == 0
    assert cleaned(office, job, 2, "ProcessedWithErrors", "Acked") == 1
    assert cleaned(office, job, 2, "ProcessedWithErrors", "Acked") == 0
    assert office.column(job) == ["Processed", "Enqueued"]
    assert cleaned(office, source, 2) == 1
    assert cleaned(office, job) == 2
    assert (office.rows(job), len(office.rows(source))) == ([], 1)


def test_more_than_are_read_at_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go as well, and no more than a slice is read at a time."""
    monkeypatch.setattr("popreceipt.emulator.cleanup.SLICE", 7)
    job = office.create("import")
    for number in range(21):
        office.send(job, f"K{number}")
    found = office.store.find
    pages: list[int] = []

    def counted(query):
        rows, total = found(query)
        pages.append(len(rows))
        return rows, total

    monkeypatch.setattr(office.store, "find", counted)
    assert cleaned(office, job) == 21
    assert (office.rows(job), pages) == ([], [7, 7, 7, 0])
    assert SLICE >= 1_000


def test_statuses_are_those_that_the_grid_shows(offices: Made) -> None:
    """Where Downloaded is never shown, downloaded messages go with the dequeued ones."""
    for dialects, gone in (((), {"Downloaded": 1, "Dequeued": 1}), (("status.downloaded=hidden",), {"Dequeued": 2})):
        office = offices(*dialects)
        job = office.create("export")
        activity = office.store.activity(job)
        for downloads in (False, True):
            office.produce(job)
            with office.emulator.attended() as now:
                offer = office.emulator.deliveries.dequeue(activity, now)
                if downloads:
                    office.emulator.deliveries.download(activity, offer.message.correlation, offer.blob_name, now)
        assert {status: office.column(job).count(status) for status in office.column(job)} == gone
        assert cleaned(office, job, 0, "Downloaded") == gone.get("Downloaded", 0)
        assert cleaned(office, job, 0, "Dequeued") == gone["Dequeued"]


def test_what_is_in_process_goes_too_and_holds_up_nobody(office: Office) -> None:
    """At every stage of the first of two files that go in order."""
    for seconds in (0, 0.5, 1, 2, 3):
        job = office.create("import", in_order=True)
        for key in "AB":
            office.send(job, key)
        office.process(job)
        office.advance(seconds=seconds)
        first, second = office.column(job)
        assert cleaned(office, job, 0, first) == 1
        office.advance(seconds=10)
        expected = ["Processed"] if second == "Enqueued" or first == "Processed" else []
        assert office.column(job) == expected
        assert office.keys(job)[-1:] == ["B"]
