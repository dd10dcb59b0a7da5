"""Monitoring recurrences: what is sampled, and that nothing else comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popreceipt.emulator.store import MOST_SAMPLES, Sample

if TYPE_CHECKING:
    from conftest import Made, Office


def test_samples_of_an_import(office: Office) -> None:
    """What waits and since when, what is in process, and how long the processed took."""
    job = office.create("import", processing_recurrence_minutes=10, monitoring_recurrence_minutes=4)
    office.advance(minutes=1)
    for key in "AB":
        office.send(job, key)
    office.advance(minutes=8, seconds=59)
    office.send(job, "C")
    office.advance(minutes=2, seconds=1)
    assert office.load(job) == [
        {
            "at": "2026-01-01T00:04:00Z",
            "waiting": 2,
            "oldest_minutes": 3.0,
            "in_process": 0,
            "processed": 0,
            "mean_seconds": None,
            "slowest_seconds": None,
        },
        {
            "at": "2026-01-01T00:08:00Z",
            "waiting": 2,
            "oldest_minutes": 7.0,
            "in_process": 0,
            "processed": 0,
            "mean_seconds": None,
            "slowest_seconds": None,
        },
        {
            "at": "2026-01-01T00:12:00Z",
            "waiting": 0,
            "oldest_minutes": None,
            "in_process": 0,
            "processed": 3,
            "mean_seconds": (2 * 543.0 + 4.0) / 3,
            "slowest_seconds": 543.0,
        },
    ]


def test_what_is_in_process_counts_as_such(office: Office) -> None:
    """Stuck or abandoned included; in order what has no turn yet still waits."""
    job = office.create("import", in_order=True, monitoring_recurrence_minutes=1)
    office.fault("dies", job)
    for key in "ABC":
        office.send(job, key)
    office.process(job)
    office.advance(minutes=2)
    counts = [(one["waiting"], one["in_process"], one["processed"]) for one in office.load(job)]
    assert counts == [(2, 1, 0), (2, 1, 0)]


def test_samples_of_an_export(office: Office) -> None:
    """Files wait until they are handed out, are in process while they are leased, and end with the acknowledgment."""
    job = office.create("export", monitoring_recurrence={"every": 1, "unit": "hours"})
    office.produce(job)
    office.advance(minutes=30)
    office.produce(job)
    activity = office.store.activity(job)
    assert activity is not None
    with office.emulator.attended() as now:
        offer = office.emulator.deliveries.dequeue(activity, now)
    assert offer is not None
    office.advance(minutes=29)
    with office.emulator.attended() as now:
        again = office.emulator.deliveries.dequeue(activity, now)
    assert again is not None
    office.advance(minutes=2)
    (sample,) = office.load(job)
    assert (sample["waiting"], sample["in_process"], sample["oldest_minutes"]) == (1, 1, 60.0)


def test_it_sets_no_policy(offices: Made) -> None:
    """The same story with samples and without leaves the same rows."""
    told = []
    for every in (None, 1):
        office = offices()
        job = office.create("import", processing_recurrence_minutes=5, monitoring_recurrence_minutes=every)
        for key in "ABC":
            office.send(job, key)
        office.advance(minutes=6)
        told.append((office.rows(job), office.keys(job)))
        assert len(office.load(job)) == (0 if every is None else 6)
    assert told[0] == told[1]


def test_it_ends_when_it_is_taken_away(office: Office) -> None:
    """What was sampled stays; what was completed in between counts for the next sample."""
    job = office.create("import", monitoring_recurrence_minutes=5)
    office.advance(minutes=5)
    office.change(job, monitoring_recurrence=None)
    office.send(job, "A")
    office.process(job)
    office.advance(minutes=10)
    assert len(office.load(job)) == 1
    office.change(job, monitoring_recurrence={"unit": "hours", "end": {"count": 1}})
    office.advance(hours=3)
    assert [(one["at"][11:16], one["processed"]) for one in office.load(job)] == [("00:05", 0), ("01:15", 1)]


def test_the_newest_samples_are_kept(office: Office) -> None:
    """So many of each activity, so that an emulator may stay up for years."""
    job, other = office.create("import"), office.create("import", monitoring_recurrence_minutes=1)
    at = office.advance(minutes=1)
    for number in range(MOST_SAMPLES + 2):
        office.store.put_sample(Sample(activity=job, at=at, waiting=number, in_process=0))
    samples = office.store.samples_of(job)
    assert (len(samples), samples[0].waiting, samples[-1].waiting) == (MOST_SAMPLES, 2, MOST_SAMPLES + 1)
    assert len(office.store.samples_of(other)) == 1
