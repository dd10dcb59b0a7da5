"""Recurring data jobs: when they run, and what their settings change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from popreceipt.emulator.store import ranking
from popreceipt.journal import Observation

if TYPE_CHECKING:
    from conftest import Office

DAYS = {"every": 1, "unit": "days"}


def starts(office: Office, job: str) -> list[str]:
    """When each message was taken."""
    return [row["ProcessingStartedDateTime"] for row in office.rows(job)]


def test_a_recurrence_is_told_in_full(office: Office) -> None:
    """What was left open is filled in; plain minutes are a number as well, anything else is not."""
    job = office.control("POST", "/activities", {"direction": "import"})
    assert job["processing_recurrence_minutes"] == 5
    assert job["processing_recurrence"] == {
        "every": 5,
        "unit": "minutes",
        "start": None,
        "weekdays": [],
        "end": None,
    }
    assert (job["monitoring_recurrence"], job["monitoring_recurrence_minutes"]) == (None, None)
    weekly = {
        "every": 2,
        "unit": "weeks",
        "start": "2026-01-05T06:00:00Z",
        "weekdays": ["monday", "friday"],
        "end": {"count": 4},
    }
    changed = office.change(job["id"], processing_recurrence=weekly | {"weekdays": ["friday", "monday"]})
    assert (changed["processing_recurrence"], changed["processing_recurrence_minutes"]) == (weekly, None)
    assert office.change(job["id"], processing_recurrence_minutes=10)["processing_recurrence"]["unit"] == "minutes"
    assert office.change(job["id"], processing_recurrence=None)["processing_recurrence_minutes"] is None
    same = {key: changed[key] for key in ("processing_recurrence", "processing_recurrence_minutes")}
    assert office.change(job["id"], **same)["processing_recurrence"] == weekly


@pytest.mark.parametrize("given", [{"processing_recurrence_minutes": 5}, {"processing_recurrence": {"unit": "days"}}])
def test_each_form_replaces_the_other(office: Office, given: dict[str, Any]) -> None:
    """At the creation as well as later."""
    job = office.create("import", **given)
    office.change(job, processing_recurrence={"every": 30, "unit": "minutes"})
    office.send(job, "A")
    office.advance(minutes=30)
    assert starts(office, job) == ["2026-01-01T00:30:00Z"]


@pytest.mark.parametrize(
    ("recurrence", "expected"),
    [
        ({"every": 90, "unit": "minutes"}, "2026-01-01T01:30:00Z"),
        ({"every": 7, "unit": "hours"}, "2026-01-01T07:00:00Z"),
        ({"every": 3, "unit": "days", "start": "2026-01-02T04:30:00Z"}, "2026-01-02T04:30:00Z"),
        ({"unit": "weeks", "weekdays": ["tuesday"], "start": "2026-01-01T09:00:00+01:00"}, "2026-01-06T08:00:00Z"),
        ({"unit": "months", "start": "2025-12-31T12:00:00"}, "2026-01-31T12:00:00Z"),
        ({"unit": "years"}, "2027-01-01T00:00:00Z"),
    ],
)
def test_an_import_is_processed_when_it_says(office: Office, recurrence: dict[str, Any], expected: str) -> None:
    """A moment before, nothing; at it, the run."""
    job = office.create("import", processing_recurrence=recurrence)
    office.send(job, "A")
    wait = datetime.fromisoformat(expected) - office.clock.now()
    while wait.days > 300:
        office.advance(days=300)
        wait = datetime.fromisoformat(expected) - office.clock.now()
    office.advance(seconds=wait.total_seconds() - 1)
    assert office.column(job) == ["Enqueued"]
    office.advance(seconds=1)
    assert starts(office, job) == [expected]


def test_a_recurrence_ends_after_so_many_runs(office: Office) -> None:
    """Whether they found something or not; what comes later waits for a run by hand."""
    job = office.create("import", processing_recurrence={"every": 5, "unit": "minutes", "end": {"count": 3}})
    office.advance(minutes=12)
    office.send(job, "A")
    office.advance(minutes=10)
    office.send(job, "B")
    office.advance(days=1)
    assert starts(office, job) == ["2026-01-01T00:15:00Z", None]
    assert office.process(job) == 1


def test_a_recurrence_ends_at_a_date(office: Office) -> None:
    """The date itself may be a run still."""
    end = {"date": "2026-01-01T00:10:00Z"}
    job = office.create("export", processing_recurrence={"every": 5, "unit": "minutes", "end": end})
    office.advance(hours=1)
    assert office.column(job, "EnqueueDateTime") == ["2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"]


def test_another_recurrence_counts_from_the_change(office: Office) -> None:
    """Its runs, too; the other of the two recurrences counts on as before."""
    ending = {"every": 5, "unit": "minutes", "end": {"count": 1}}
    job = office.create("export", processing_recurrence=ending, monitoring_recurrence_minutes=4)
    office.advance(minutes=6)
    office.change(job, processing_recurrence=ending | {"every": 6})
    office.advance(minutes=14)
    assert office.column(job, "EnqueueDateTime") == ["2026-01-01T00:05:00Z", "2026-01-01T00:12:00Z"]
    assert [sample["at"][14:16] for sample in office.load(job)] == ["04", "08", "12", "16", "20"]


def test_reset_counts_anew(office: Office) -> None:
    """The first world's recurrences count from the reset, and parameters are the usual ones again."""
    job = next(one["id"] for one in office.emulator.world()["activities"] if one["name"] == "import-file")
    office.control("PATCH", "/parameters", {"skip_reprocessing": True})
    office.advance(minutes=2)
    office.control("POST", "/reset")
    assert office.control("GET", "/parameters") == {"skip_reprocessing": False}
    office.send(job, "A")
    office.advance(minutes=10)
    assert starts(office, job) == ["2026-01-01T00:07:00Z"]


def test_an_idle_recurrence_costs_nothing(office: Office) -> None:
    """No moment is planned while nothing waits."""
    office.create("import", processing_recurrence_minutes=1)
    assert office.emulator.agenda.next() is None


def test_prevention_changed_later_counts_at_the_next_recurrence(office: Office) -> None:
    """An empty export is uploaded until then, and not from then on; and back."""
    job = office.create("export", processing_recurrence_minutes=10)
    office.advance(minutes=10)
    office.change(job, prevent_upload_when_zero_records=True)
    office.advance(minutes=10)
    office.change(job, prevent_upload_when_zero_records=False)
    office.advance(minutes=10)
    assert office.column(job, "FileUploaded") == [True, None, True]
    assert office.column(job, "TotalRecordsExported") == [0, 0, 0]


def test_name_and_description(office: Office) -> None:
    """Are given at the creation or later, and told."""
    made = office.control("POST", "/activities", {"direction": "import", "name": "Nightly", "description": "From shop"})
    assert (made["name"], made["description"]) == ("Nightly", "From shop")
    changed = office.change(made["id"], name="Hourly", description="")
    assert (changed["name"], changed["description"]) == ("Hourly", "")
    assert changed in office.control("GET", "/world")["activities"]


def test_turns_taken_in_order_are_kept_when_the_setting_goes(office: Office) -> None:
    """What came before goes on one after another; what comes after starts at once."""
    job = office.create("import", in_order=True)
    for key in "AB":
        office.send(job, key)
    office.process(job)
    office.change(job, in_order=False)
    office.send(job, "C")
    office.process(job)
    assert office.column(job) == ["Preprocessing", "Enqueued", "Preprocessing"]
    office.advance(seconds=3)
    assert office.column(job) == ["Processed", "Preprocessing", "Processed"]


def test_many_files_in_order_read_one_at_a_time(office: Office) -> None:
    """Each end looks for the next, not through all that wait: counted, not timed."""
    job = office.create("import", in_order=True)
    for number in range(300):
        office.send(job, f"K{number}")
    office.process(job)
    looked: list[str] = []
    taken = office.store.taken
    office.store.taken = lambda activity, *page: looked.append(activity) or taken(activity, *page)
    office.advance(seconds=900)
    assert set(office.column(job)) == {"Processed"}
    assert looked == []
    assert len(office.store._desks[job].taken._those) < 2 * ranking.SLACK + 2


def test_the_journal_tells_what_was_asked(office: Office) -> None:
    """Batch actions, samples and parameters, each with what was told."""
    job = office.create("import", monitoring_recurrence_minutes=5)
    office.advance(minutes=5)
    office.batch(job, "get-status")
    samples = office.load(job)
    office.control("PATCH", "/parameters", {"skip_reprocessing": True})
    seen = [each for each in office.emulator.journal.entries if isinstance(each, Observation)][-3:]
    since = "2026-01-01T00:05:00.000000Z"
    assert [(each.observation, dict(each.facts)) for each in seen] == [
        ("batch", {"activity": job, "since": since, "action": "get-status"}),
        ("load", {"activity": job, "since": since, "samples": samples}),
        ("parameters", {"since": since, "skip_reprocessing": True}),
    ]
    assert {each.at for each in seen} == {datetime(2026, 1, 1, 0, 5, tzinfo=UTC)}


def test_packages_go_at_once_whatever_the_setting(office: Office) -> None:
    """Order is for files."""
    job = office.create("import", type="package", in_order=True)
    for key in "AB":
        office.send(job, key)
    assert office.process(job) == 2
    assert office.column(job) == ["Preprocessing", "Preprocessing"]
