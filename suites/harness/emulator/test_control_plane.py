"""The control plane, the journal, and the emulator as a whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import yaml
from openapi_spec_validator import validate

from popreceipt.clock import ManualClock, ScaledClock
from popreceipt.emulator.emulator import Emulator, World
from popreceipt.emulator.http import Request
from popreceipt.emulator.routes.control import ABILITIES
from popreceipt.exceptions import UsageError
from popreceipt.journal import ClockMovement, Exchange, JournalFile, Observation

if TYPE_CHECKING:
    from conftest import Environment, Made

CONTROL = "/_control/v1"
SPECIFICATION = Path(__file__).parents[3] / "specs" / "control.openapi.yaml"


def test_the_world(plain: Environment) -> None:
    """Seven activities by name, one entity, three clients and a user."""
    world = plain.control("GET", "/world")
    assert [one["name"] for one in world["activities"]] == [
        "import-file",
        "import-in-order",
        "import-package",
        "export-package",
        "export-file",
        "export-no-zero",
        "import-disabled",
    ]
    assert world["abilities"] == list(ABILITIES)
    assert [field["name"] for field in world["entities"][0]["fields"] if field["key"]] == ["CUSTOMERGROUPID"]
    assert set(world["identity"]["clients"]) == {"authorised", "unlisted", "unmapped"}
    disabled = world["activities"][-1]
    assert (disabled["enabled"], disabled["direction"]) == (False, "import")
    exports = [one for one in world["activities"] if one["direction"] == "export"]
    assert {one["processing_recurrence_minutes"] for one in exports} == {None}


def test_a_created_activity_is_shared_with_nobody(plain: Environment) -> None:
    """Its own ID and legal entity, and the usual settings where none are given."""
    made = plain.control("POST", "/activities", {"direction": "import"})
    other = plain.control("POST", "/activities", {"direction": "export", "name": "Größe & Co"})
    assert (made["type"], made["format"], made["entity"]) == ("file", "CSV", "Customer groups")
    assert (made["processing_recurrence_minutes"], made["enabled"], made["in_order"]) == (5, True, False)
    assert (other["name"], other["type"], other["processing_recurrence_minutes"]) == ("Größe & Co", "package", None)
    assert made["company"] != other["company"]
    assert made in plain.control("GET", "/world")["activities"]


def test_records_of_one_activity_are_not_those_of_another(plain: Environment) -> None:
    """Two exports of the same entity."""
    one, other = plain.create("export"), plain.create("export")
    plain.produce(one, 3)
    plain.produce(other, 1)
    assert (len(plain.records(one)), len(plain.records(other))) == (3, 1)


def test_changes_count_from_now_on(plain: Environment) -> None:
    """An entry taken from the policy refuses, and given back lets in again."""
    job = plain.create("export")
    plain.produce(job)
    changed = plain.control("PATCH", f"/activities/{{{job}}}", {"enabled": False})
    assert changed["enabled"] is False
    assert plain.call("GET", f"/api/connector/dequeue/{job}").status == 401
    plain.control("PATCH", f"/activities/{job}", {"enabled": True, "prevent_upload_when_zero_records": True})
    assert plain.dequeue(job) is not None
    assert plain.produce(job, 0)["uploaded"] is False


def test_the_clock(plain: Environment) -> None:
    """It says what it is and moves as told, by fractions too."""
    assert plain.control("GET", "/clock") == {"now": "2026-01-01T00:00:00Z", "kind": "manual", "rate": 0.0}
    assert plain.control("POST", "/clock", {"advance_seconds": 0.25}) == {"now": "2026-01-01T00:00:00.250000Z"}
    assert plain.control("POST", "/clock", {"advance_seconds": 0}) == {"now": "2026-01-01T00:00:00.250000Z"}


def test_another_clock_cannot_be_moved() -> None:
    """409, and the ability is not listed; what fell due meanwhile is done before each request."""
    clock = ScaledClock(1000.0)
    emulator = Emulator(clock)
    answer = emulator.handle(Request("POST", f"{CONTROL}/clock", body=b'{"advance_seconds": 1}'))
    assert answer.status == 409
    assert "advance-time" not in emulator.world()["abilities"]
    assert json.loads(emulator.handle(Request("GET", f"{CONTROL}/clock")).body)["kind"] == "scaled"
    with pytest.raises(UsageError):
        emulator.advance(timedelta(seconds=1))
    seen = []
    emulator.agenda.on("look", lambda _, at: seen.append(at))
    emulator.agenda.at(clock.now(), "look", "")
    emulator.settle()
    assert len(seen) == 1


def test_clean_up_by_age_and_status(plain: Environment) -> None:
    """Age is inclusive; what is deleted can no longer be dequeued, downloaded, acknowledged or asked for."""
    job = plain.create("export")
    old = plain.produce(job)["messageId"]
    offer = plain.dequeue(job)
    plain.advance(days=1)
    plain.produce(job)
    assert (
        plain.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 1, "statuses": ["Acked"]})["deleted"] == 0
    )
    assert plain.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 1.5})["deleted"] == 0
    assert plain.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 1, "statuses": []})["deleted"] == 1
    assert [row["MessageId"] for row in plain.messages(job)] != [old]
    assert plain.action("GetMessageStatus", messageId=old).status == 400
    assert plain.download(offer["DownloadLocation"]).status == 404
    assert plain.ack(job, offer).status == 404
    assert plain.dequeue(job)["CorrelationId"] != offer["CorrelationId"]
    assert plain.dequeue(job) is None


def test_rows_come_by_pages(environment: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another they are all rows, however many are asked for; only a whole list is noted in the journal."""
    monkeypatch.setattr("popreceipt.emulator.routes.control.ROWS", 3)
    one = environment()
    job, other = one.create("import"), one.create("import")
    assert one.messages(job) == []
    for number in range(7):
        one.send(job, f"K{number}")
    elsewhere = one.send(other, "X")
    rows = one.messages(job)
    assert [row["EnqueueDateTime"] for row in rows] == ["2026-01-01T00:00:00Z"] * 7
    path = f"{CONTROL}/activities/{job}/messages"
    for limit in range(1, 9):
        found: list[dict[str, object]] = []
        while True:
            after = f"&after={{{found[-1]['MessageId']}}}" if found else ""
            page = json.loads(one.call("GET", path, f"limit={limit}{after}", role=None).body)
            found += page
            if len(page) < limit:
                break
        assert found == rows
    assert json.loads(one.call("GET", path, f"after={rows[4]['MessageId']}", role=None).body) == rows[5:]
    for query, status in (
        ("limit=0", 400),
        ("limit=-1", 400),
        ("limit=1.5", 400),
        ("limit=1000001", 400),
        (f"limit={'9' * 5000}", 400),
        ("limit=", 400),
        ("after=nobody", 404),
        (f"after={elsewhere}", 404),
        (f"after={path[-36:]}", 404),
    ):
        assert one.call("GET", path, query, role=None).status == status, query
    journal = one.emulator.journal.entries
    noted = [entry.facts for entry in journal if isinstance(entry, Observation) and entry.observation == "messages"]
    seen = [json.loads(msgspec.json.encode(facts["rows"])) for facts in noted]
    assert seen == [[], rows, rows]  # The page of eight, too, was all there is.


def test_samples_come_by_pages(environment: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first on, or later than one."""
    monkeypatch.setattr("popreceipt.emulator.routes.control.ROWS", 3)
    one = environment()
    job = one.create("export", monitoring_recurrence_minutes=1)
    one.advance(minutes=7)
    samples = one.control("GET", f"/activities/{job}/load")
    assert [each["at"][14:16] for each in samples] == ["01", "02", "03", "04", "05", "06", "07"]
    path = f"{CONTROL}/activities/{job}/load"

    def page(query: str) -> object:
        return json.loads(one.call("GET", path, query, role=None).body)

    assert page("limit=4") == samples[:4]
    assert page("limit=100") == samples
    assert page(f"limit=2&after={samples[3]['at']}") == samples[4:6]
    assert page(f"after={samples[5]['at']}") == samples[6:]
    assert page(f"after={samples[6]['at']}") == []
    assert one.call("GET", path, "after=noon", role=None).status == 400


def test_reset_brings_back_the_first_world(plain: Environment) -> None:
    """Same activities, nothing in them; the clock goes on, tokens stay good, nothing old is repeated."""
    first = plain.control("GET", "/world")
    job = plain.activity("export-file")
    created = plain.create("export")
    made = plain.produce(job)
    plain.send(plain.activity("import-file"), "A,,")
    plain.advance(minutes=1)
    plain.token()
    plain.control("POST", "/reset")
    assert plain.control("GET", "/world") == first
    assert plain.control("GET", "/clock")["now"] == "2026-01-01T00:01:00Z"
    assert plain.dequeue(job) is None
    again = plain.produce(job)
    assert (again["messageId"], again["sha256"]) != (made["messageId"], made["sha256"])
    assert plain.create("export") != created
    message = plain.send(plain.activity("import-file"), "A,,")
    plain.advance(minutes=4, seconds=59)
    assert plain.status(message) == "Enqueued"
    plain.advance(seconds=1)
    assert plain.status(message) == "Preprocessing"


def test_callers_from_elsewhere_need_the_key(environment: Made) -> None:
    """And where there is no key, nobody from elsewhere gets in."""
    for key, given, status in ((None, "", 401), ("k", None, 401), ("k", "x", 401), ("k", "é", 401), ("k", "k", 200)):
        one = environment(control_key=key)
        headers = () if given is None else (("x-control-key", given),)
        assert one.call("GET", f"{CONTROL}/world", role=None, headers=headers, local=False).status == status
        assert one.call("GET", f"{CONTROL}/world", role=None).status == 200


def test_without_a_control_plane_there_is_none(environment: Made) -> None:
    """404, and nothing is told."""
    one = environment(control=False)
    assert one.call("GET", f"{CONTROL}/world", role=None).status == 404


def test_the_journal_of_the_service(plain: Environment, tmp_path: Path) -> None:
    """Exchanges without secrets and with their actors, movements of the clock, observations; no control calls."""
    job = plain.create("export")
    plain.produce(job)
    plain.dequeue(job)
    plain.call("GET", f"/api/connector/dequeue/{job}", role=None)
    plain.advance(seconds=5)
    plain.messages(job)
    token = plain.token()
    text = plain.call("GET", f"{CONTROL}/journal", role=None).body
    assert token.encode() not in text
    assert plain.emulator.world()["identity"]["clients"]["authorised"]["client_secret"].encode() not in text
    file = tmp_path / "journal.ndjson"
    file.write_bytes(text)
    journal = JournalFile(file)
    entries = list(journal)
    assert (journal.header.recorded_by, journal.complete) == ("service", False)
    exchanges = [entry for entry in entries if isinstance(entry, Exchange)]
    assert [(one.operation, one.actor) for one in exchanges] == [
        ("token", "anonymous"),
        ("dequeue", "authorised"),
        ("dequeue", "anonymous"),
        ("token", "anonymous"),
    ]
    assert [entry.advanced_seconds for entry in entries if isinstance(entry, ClockMovement)] == [5.0]
    kinds = [entry.observation for entry in entries if isinstance(entry, Observation)]
    assert kinds == ["activity"] * 8 + ["produced", "messages"]


def test_a_fault_of_its_own_is_told_to_nobody_but_kept() -> None:
    """500 in the caller's shape, without detail; a moment that fails does not hold up the others."""

    def broken(_: object) -> None:
        raise ZeroDivisionError("secret detail")

    emulator = Emulator(ScaledClock(1.0), routes=(broken,))
    answer = emulator.handle(Request("GET", "/x"))
    assert (answer.status, json.loads(answer.body)) == (500, {"Message": "An error has occurred."})
    emulator.agenda.on("broken", lambda _subject, _at: broken(None))
    emulator.agenda.at(emulator.clock.now(), "broken", "")
    emulator.settle()
    assert [str(fault) for fault in emulator.faults] == ["secret detail"] * 2


@pytest.mark.parametrize("wrong", [{"export_every": timedelta(seconds=90)}, {"export_records": -1}])
def test_a_world_that_cannot_be(wrong: dict[str, object]) -> None:
    """Misuse is an exception that says what is wanted."""
    with pytest.raises(UsageError):
        World(**wrong)


def test_a_dequeue_looks_at_one_entry_however_many_wait(plain: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed."""
    job = plain.create("export")
    for _ in range(300):
        plain.produce(job, 0)
    queue = plain.emulator.store._desks[job].queue
    assert len(queue) == 300
    looked_at = []
    first = queue._first
    monkeypatch.setattr(queue, "_first", lambda now: looked_at.append(now) or first(now))
    for _ in range(300):
        plain.dequeue(job)
    assert len(looked_at) == len(queue) == 300


def test_the_specification_is_valid_and_complete() -> None:
    """OpenAPI 3.1; each ability of this emulator that has calls is described."""
    document = yaml.safe_load(SPECIFICATION.read_text(encoding="utf-8"))
    validate(document)
    described = {
        operation.get("x-ability")
        for path in document["paths"].values()
        for verb, operation in path.items()
        if verb != "parameters"
    }
    assert set(ABILITIES) - {"export-recurrence"} <= described


def test_a_clock_stops_before_the_calendar_ends() -> None:
    """400, and the clock stays where it is."""
    emulator = Emulator(ManualClock(datetime(8999, 12, 31, tzinfo=UTC)))
    answer = emulator.handle(Request("POST", f"{CONTROL}/clock", body=b'{"advance_seconds": 86401}'))
    assert (answer.status, emulator.clock.now().year) == (400, 8999)


def test_a_refusal_writes_values_as_the_caller_did() -> None:
    """In JSON, not in the words of another language."""
    emulator = Emulator(ManualClock())
    answer = emulator.handle(Request("PATCH", f"{CONTROL}/parameters", body=b'{"skip_reprocessing": null}'))
    assert json.loads(answer.body)["error"] == "skip_reprocessing is true or false, not null."
