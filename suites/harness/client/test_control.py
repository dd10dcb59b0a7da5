"""The control plane: what it is asked, what it tells the journal, and what it says where a target is not able to."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import respx

from popreceipt.client.control import Control, ControlError
from popreceipt.client.times import ManualTimes, ScaledTimes, SystemTimes
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.journal import ClockMovement, Journal, Observation, entry_line

BASE = "http://target.example:8365"
START = datetime(2026, 1, 1, tzinfo=UTC)
EXPORT = "c03bb937-09af-4f13-bd13-8f0b1c8d0a01"
IMPORT = "5d8e3c1a-7b42-4f0e-9a6d-2c1b0f9e8d7c"
FRESH = "0f1e2d3c-4b5a-4678-89ab-cdef01234567"
MESSAGE = "7a1f2b34-5c6d-4e7f-8a9b-0c1d2e3f4a5b"
ALL = [
    *("reset", "advance-time", "create-activity", "change-activity", "produce", "process"),
    *("messages", "records", "cleanup", "journal", "batch", "monitoring", "parameters"),
]


class _Plane(httpx.BaseTransport):
    """A server's control plane, small but alive: its clock moves, its jobs can be made and changed."""

    def __init__(self, *abilities: str, kind: str = "manual") -> None:
        self.abilities = list(abilities or ALL)
        self.kind = kind
        self.now = START
        self.seen: list[tuple[str, str, Any, httpx.Headers]] = []
        self.jobs = {
            EXPORT: {"name": "export-package", "direction": "export", "prevent_upload_when_zero_records": False},
            IMPORT: {"name": "import-file", "direction": "import", "enabled": True},
        }
        self.parameters = {"skip_reprocessing": False}
        self.overrides: dict[tuple[str, str], Callable[[], httpx.Response]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        body = json.loads(content) if content else None
        path = request.url.path.removeprefix("/_control/v1")
        self.seen.append((request.method, path, body, request.headers))
        if override := self.overrides.get((request.method, path)):
            return override()
        return self.answer(request.method, path, body)

    def answer(self, method: str, path: str, body: Any) -> httpx.Response:
        match method, path.strip("/").split("/"):
            case "GET", ["world"]:
                jobs = [{"id": f"{{{key.upper()}}}", **job} for key, job in self.jobs.items()]
                world = {"name": "plane", "build": "7", "abilities": self.abilities, "base_url": BASE}
                return self.json(world | {"identity": {"resource": BASE}, "activities": jobs, "more": 1})
            case "POST", ["reset"]:
                return httpx.Response(204)
            case "GET", ["clock"]:
                return self.json(
                    {"now": self.text(), "kind": self.kind, "rate": 60.0 if self.kind == "scaled" else 1.0}
                )
            case "POST", ["clock"]:
                self.now += timedelta(seconds=body["advance_seconds"])
                return self.json({"now": self.text()})
            case "POST", ["activities"]:
                self.jobs[FRESH] = {"name": "fresh", "type": "package"} | body
                return self.json({"id": FRESH, **self.jobs[FRESH]}, 201)
            case "PATCH", ["activities", key]:
                self.jobs[key] |= body
                return self.json({"id": key, **self.jobs[key]})
            case "POST", ["activities", _, "produce"]:
                return self.json({"messageId": MESSAGE.upper(), "uploaded": True, "records": 3, "sha256": "AB" * 32})
            case "POST", ["activities", _, "process"]:
                return self.json({"processed": 2})
            case "GET", ["activities", _, "messages"]:
                return self.json([{"MessageId": MESSAGE, "Status": "Enqueued"}])
            case "GET", ["activities", _, "records"]:
                return self.json({"entity": "Customer groups", "records": [{"CUSTOMERGROUPID": "1"}]})
            case "POST", ["activities", _, "cleanup"]:
                return self.json({"deleted": 4})
            case "POST", ["activities", _, "batch"]:
                return httpx.Response(204)
            case "GET", ["activities", _, "load"]:
                return self.json([{"at": self.text(), "waiting": 2, "oldest_minutes": 7, "in_process": 0}])
            case method, ["parameters"]:
                self.parameters |= body if method == "PATCH" else {}
                return self.json(self.parameters)
            case "GET", ["journal"]:
                return httpx.Response(200, content=b'{"a":1}\n{"b":2}\n')
        return self.json({"error": f"no route {path}"}, 404)

    def text(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    @staticmethod
    def json(value: Any, status: int = 200) -> httpx.Response:
        return httpx.Response(status, json=value)


@pytest.fixture
def plane() -> _Plane:
    return _Plane()


@pytest.fixture
def control(plane: _Plane, journal: Journal) -> Control:
    return Control(BASE, transport=plane, journal=journal)


def observed(journal: Journal, kind: str) -> list[dict[str, Any]]:
    return [
        json.loads(entry_line(each))
        for each in journal.entries
        if isinstance(each, Observation) and each.observation == kind
    ]


# The world


def test_the_world_is_told_and_its_jobs_observed(control: Control, journal: Journal) -> None:
    """Ids come bare and in lower case, however the server writes them."""
    world = control.world()
    assert (world.name, world.build, world.base_url) == ("plane", "7", BASE)
    assert world.abilities == tuple(ALL)
    assert world.identity == {"resource": BASE}
    job = world.activity("export-package")
    assert job is not None
    assert job["id"] == EXPORT
    assert world.activity("nothing") is None
    first, second = observed(journal, "activity")
    assert first == {
        "observation": "activity",
        "since": "2026-01-01T00:00:00.000000Z",
        "at": "2026-01-01T00:00:00.000000Z",
        "activity": EXPORT,
        "created": False,
        "settings": {"name": "export-package", "direction": "export", "prevent_upload_when_zero_records": False},
    }
    assert second["activity"] == IMPORT


def test_what_is_known_is_not_written_twice(control: Control, plane: _Plane, journal: Journal) -> None:
    control.world()
    control.world()
    assert len(observed(journal, "activity")) == 2
    plane.jobs[EXPORT]["prevent_upload_when_zero_records"] = True
    control.world()
    assert len(observed(journal, "activity")) == 3


def test_a_sparse_world_is_enough(plane: _Plane, control: Control) -> None:
    """Servers by others may leave out what they do not have."""
    plane.overrides["GET", "/world"] = lambda: httpx.Response(200, json={"abilities": None, "activities": [3, {}]})
    world = control.world()
    assert (world.name, world.build, world.abilities, world.base_url) == (BASE, "", (), None)


def test_a_reset_is_observed_and_the_world_told_anew(control: Control, journal: Journal) -> None:
    control.world()
    control.reset()
    control.world()
    assert len(observed(journal, "reset")) == 1
    assert len(observed(journal, "activity")) == 4


# Time


def test_a_manual_clock_is_moved_and_the_movement_written_down(control: Control, journal: Journal) -> None:
    assert isinstance(control.times, ManualTimes)
    assert control.advance(1800) == START + timedelta(minutes=30)
    assert [each for each in journal.entries if isinstance(each, ClockMovement)] == [
        ClockMovement(START + timedelta(minutes=30), 1800)
    ]
    control.times.advance(1)
    assert control.times.earliest() == control.times.latest() == START + timedelta(minutes=30, seconds=1)


def test_reading_the_clock_corrects_what_is_known(control: Control, plane: _Plane) -> None:
    assert control.times.latest() == START
    plane.now += timedelta(hours=1)
    says = control.clock()
    assert (says.now, says.kind, says.rate) == (START + timedelta(hours=1), "manual", 1.0)
    assert control.times.earliest() == START + timedelta(hours=1)


@pytest.mark.parametrize(("kind", "rate", "times"), [("system", 1.0, SystemTimes), ("scaled", 60.0, ScaledTimes)])
def test_a_running_clock_is_read_several_times_and_never_moved(kind: str, rate: float, times: type) -> None:
    plane = _Plane("advance-time", kind=kind)
    control = Control(BASE, transport=plane, patience=timedelta(0))
    assert type(control.times) is times
    assert control.times.rate == rate
    assert control.times.earliest() <= control.times.latest()
    assert len(plane.seen) == 5
    assert control.clock().kind == kind
    with pytest.raises(NotAbleTo, match="--patience"):
        control.advance(1800)
    assert all(method == "GET" for method, *_ in plane.seen)


def test_a_clock_handed_in_is_used(plane: _Plane, still: ManualTimes) -> None:
    control = Control(BASE, transport=plane, times=still)
    assert control.times is still
    control.world()
    assert [path for _, path, *_ in plane.seen] == ["/world"]


@pytest.mark.parametrize("answer", [{}, {"now": "soon", "kind": "manual"}, {"now": "2026-01-01T00:00:00Z"}, []])
def test_a_clock_that_tells_nothing_proves_nothing(plane: _Plane, control: Control, answer: Any) -> None:
    plane.overrides["GET", "/clock"] = lambda: httpx.Response(200, json=answer)
    with pytest.raises(ControlError, match="clock answered"):
        _ = control.times


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (httpx.Response(404, content=b"<html>nothing here</html>"), "no control plane at .*/_control/v1.*tenant:NAME"),
        (httpx.Response(200, content=b"<html>welcome</html>"), "no control plane at .*/_control/v1.*tenant:NAME"),
        (httpx.Response(302, headers={"location": "/sign-in"}), "no control plane at .*/_control/v1.*tenant:NAME"),
        (httpx.Response(200, json={"hello": 1}), "no control plane at .*/_control/v1.*tenant:NAME"),
        (httpx.Response(401), "wants its key: --control-key"),
    ],
)
def test_a_server_without_a_control_plane_says_what_to_do(
    plane: _Plane, control: Control, answer: httpx.Response, hint: str
) -> None:
    """The clock is asked for first: whoever cannot tell it can be judged by its wire, and the sentence says how."""
    plane.overrides["GET", "/clock"] = lambda: answer
    with pytest.raises(ControlError, match=hint):
        control.world()


def test_a_movement_must_say_where_the_clock_is(plane: _Plane, control: Control) -> None:
    plane.overrides["POST", "/clock"] = lambda: httpx.Response(200, json={})
    with pytest.raises(ControlError, match="`now` should be"):
        control.advance(5)
    assert control.times.latest() - control.times.earliest() == timedelta(seconds=5)


# Recurring data jobs


def test_a_job_is_made_with_the_settings_that_were_asked_for(plane: _Plane, control: Control, journal: Journal) -> None:
    job = control.create(direction="export", prevent_upload_when_zero_records=True)
    assert plane.seen[-1][:3] == (
        "POST",
        "/activities",
        {"direction": "export", "prevent_upload_when_zero_records": True},
    )
    assert job["id"] == FRESH
    told = observed(journal, "activity")[-1]
    assert (told["activity"], told["created"]) == (FRESH, True)
    assert told["settings"]["type"] == "package"
    assert told["settings"]["prevent_upload_when_zero_records"] is True
    assert "id" not in told["settings"]


def test_a_change_is_observed_with_all_settings(plane: _Plane, control: Control, journal: Journal) -> None:
    """Also where the server answers with less than the whole job."""
    plane.overrides["PATCH", f"/activities/{IMPORT}"] = lambda: httpx.Response(200, json={"enabled": False})
    job = control.change(IMPORT, enabled=False)
    assert job == {"id": IMPORT, "name": "import-file", "direction": "import", "enabled": False}
    told = observed(journal, "activity")[-1]
    assert (told["activity"], told["created"]) == (IMPORT, False)
    assert told["settings"] == {"name": "import-file", "direction": "import", "enabled": False}


def test_a_production_is_observed(plane: _Plane, control: Control, journal: Journal) -> None:
    produced = control.produce(EXPORT, 3)
    assert plane.seen[-1][:3] == ("POST", f"/activities/{EXPORT}/produce", {"records": 3})
    assert produced == {"messageId": MESSAGE, "uploaded": True, "records": 3, "sha256": "ab" * 32}
    (told,) = observed(journal, "produced")
    assert told == {
        "observation": "produced",
        "since": "2026-01-01T00:00:00.000000Z",
        "at": "2026-01-01T00:00:00.000000Z",
        "activity": EXPORT,
        "prevent_upload_when_zero_records": False,
        **produced,
    }


def test_an_export_without_an_upload_has_no_digest(plane: _Plane, control: Control) -> None:
    plane.overrides["POST", f"/activities/{EXPORT}/produce"] = lambda: httpx.Response(
        200, json={"messageId": f"{{{MESSAGE}}}", "uploaded": False, "records": 0, "sha256": None}
    )
    assert control.produce(EXPORT, 0) == {"messageId": MESSAGE, "uploaded": False, "records": 0, "sha256": None}


def test_a_run_is_observed(control: Control, journal: Journal) -> None:
    assert control.process(IMPORT) == 2
    (told,) = observed(journal, "processed")
    assert (told["activity"], told["processed"]) == (IMPORT, 2)


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_rows_of_manage_messages_are_observed(
    plane: _Plane, control: Control, journal: Journal, wrapped: bool
) -> None:
    rows = [{"MessageId": MESSAGE, "Status": "Enqueued"}]
    plane.overrides["GET", f"/activities/{IMPORT}/messages"] = lambda: httpx.Response(
        200, json={"messages": rows} if wrapped else rows
    )
    assert control.messages(IMPORT) == rows
    (told,) = observed(journal, "messages")
    assert (told["activity"], told["rows"]) == (IMPORT, rows)


def test_the_target_table_is_observed(control: Control, journal: Journal) -> None:
    assert control.records(IMPORT) == [{"CUSTOMERGROUPID": "1"}]
    (told,) = observed(journal, "records")
    assert (told["activity"], told["entity"]) == (IMPORT, "Customer groups")
    assert told["records"] == [{"CUSTOMERGROUPID": "1"}]


def test_a_clean_up_is_observed(plane: _Plane, control: Control, journal: Journal) -> None:
    assert control.cleanup(EXPORT) == 4
    assert plane.seen[-1][2] == {"olderThanDays": 0}
    control.cleanup(EXPORT, older_than_days=2, statuses=["Acked"])
    assert plane.seen[-1][2] == {"olderThanDays": 2, "statuses": ["Acked"]}
    first, second = observed(journal, "cleanup")
    assert (first["activity"], first["olderThanDays"], first["statuses"], first["deleted"]) == (EXPORT, 0, [], 4)
    assert (second["olderThanDays"], second["statuses"]) == (2, ["Acked"])


def test_a_recurrence_has_two_forms(plane: _Plane, control: Control) -> None:
    """Setting the one leaves nothing of the other, also where the server answers with less than the whole job."""
    assert not control.knows_recurrences()
    plane.jobs[IMPORT] |= {"processing_recurrence_minutes": 5, "processing_recurrence": {"every": 5, "unit": "minutes"}}
    assert control.world()
    assert control.knows_recurrences()
    plane.overrides["PATCH", f"/activities/{IMPORT}"] = lambda: httpx.Response(200, json={"enabled": True})
    weekly = {"every": 1, "unit": "weeks", "weekdays": ["monday"]}
    job = control.change(IMPORT, processing_recurrence=weekly)
    assert (job["processing_recurrence"], "processing_recurrence_minutes" in job) == (weekly, False)
    job = control.change(IMPORT, processing_recurrence_minutes=7)
    assert (job["processing_recurrence_minutes"], "processing_recurrence" in job) == (7, False)


@pytest.mark.parametrize("action", ["get-status", "delete-history"])
def test_what_is_done_with_the_batch_history_is_observed(
    plane: _Plane, control: Control, journal: Journal, action: str
) -> None:
    control.batch(IMPORT, action)
    assert plane.seen[-1][:3] == ("POST", f"/activities/{IMPORT}/batch", {"action": action})
    (told,) = observed(journal, "batch")
    assert (told["activity"], told["action"]) == (IMPORT, action)


def test_samples_are_observed(control: Control, journal: Journal) -> None:
    samples = control.load(IMPORT)
    assert samples == [{"at": "2026-01-01T00:00:00Z", "waiting": 2, "oldest_minutes": 7, "in_process": 0}]
    (told,) = observed(journal, "load")
    assert (told["activity"], told["samples"]) == (IMPORT, samples)


def test_parameters_are_observed_when_read_and_when_changed(control: Control, journal: Journal) -> None:
    assert control.parameters() == {"skip_reprocessing": False}
    assert control.set_parameters(skip_reprocessing=True) == {"skip_reprocessing": True}
    assert [each["skip_reprocessing"] for each in observed(journal, "parameters")] == [False, True]


def test_the_targets_own_journal_comes_in_lines(control: Control) -> None:
    assert control.journal_lines() == [b'{"a":1}', b'{"b":2}']


def test_other_calls_can_be_made(plane: _Plane, control: Control) -> None:
    plane.overrides["GET", "/faults"] = lambda: httpx.Response(200, json=[])
    plane.overrides["DELETE", "/faults"] = lambda: httpx.Response(204)
    assert control.call("GET", "/faults") == []
    assert control.call("DELETE", "/faults") is None


def test_without_a_journal_nothing_is_written(plane: _Plane) -> None:
    control = Control(BASE, transport=plane)
    control.produce(EXPORT, 1)
    control.advance(1)
    control.create(direction="import")
    assert control.times.latest() == START + timedelta(seconds=1)


# What goes wrong


@pytest.mark.parametrize(
    ("ability", "call"),
    [
        ("reset", lambda control: control.reset()),
        ("advance-time", lambda control: control.advance(1)),
        ("advance-time", lambda control: control.times.advance(1)),
        ("create-activity", lambda control: control.create(direction="export")),
        ("change-activity", lambda control: control.change(EXPORT, enabled=False)),
        ("produce", lambda control: control.produce(EXPORT, 1)),
        ("process", lambda control: control.process(IMPORT)),
        ("messages", lambda control: control.messages(IMPORT)),
        ("records", lambda control: control.records(IMPORT)),
        ("cleanup", lambda control: control.cleanup(IMPORT)),
        ("batch", lambda control: control.batch(IMPORT, "get-status")),
        ("monitoring", lambda control: control.load(IMPORT)),
        ("parameters", lambda control: control.parameters()),
        ("parameters", lambda control: control.set_parameters(skip_reprocessing=True)),
        ("journal", lambda control: control.journal_lines()),
    ],
)
def test_what_a_target_does_not_list_is_not_asked_of_it(ability: str, call: Callable[[Control], Any]) -> None:
    plane = _Plane("something-else")
    with pytest.raises(NotAbleTo) as caught:
        call(Control(BASE, transport=plane))
    assert (caught.value.target, caught.value.ability) == ("plane", ability)
    assert caught.value.exit_status == 3
    assert all(path in ("/world", "/clock") and method == "GET" for method, path, *_ in plane.seen)


def test_a_refusal_says_what_was_asked_and_answered(control: Control, plane: _Plane, journal: Journal) -> None:
    plane.overrides["POST", f"/activities/{IMPORT}/produce"] = lambda: httpx.Response(
        400, json={"error": "wrong direction"}
    )
    with pytest.raises(
        ControlError, match=rf'POST .*{IMPORT}/produce with .*"records": 1.*400 .*wrong direction'
    ) as caught:
        control.produce(IMPORT, 1)
    assert caught.value.exit_status == 3
    assert observed(journal, "produced") == []


@pytest.mark.parametrize(
    ("answer", "message"), [(b"<html>", "no JSON"), (b"[]", "an object was wanted"), (b"", "object")]
)
def test_an_answer_of_another_shape_is_said(control: Control, plane: _Plane, answer: bytes, message: str) -> None:
    plane.overrides["POST", f"/activities/{IMPORT}/process"] = lambda: httpx.Response(200, content=answer)
    with pytest.raises(ControlError, match=message):
        control.process(IMPORT)


@respx.mock
def test_a_target_out_of_reach_proves_nothing() -> None:
    respx.get(f"{BASE}/_control/v1/clock").mock(side_effect=httpx.ConnectError)
    control = Control(BASE)
    with pytest.raises(ControlError, match=r"refused.*Is the target running"):
        control.world()
    control.close()


@respx.mock
def test_the_key_travels_with_every_call() -> None:
    respx.get(f"{BASE}/_control/v1/clock").mock(
        httpx.Response(200, json={"now": "2026-01-01T00:00:00Z", "kind": "manual", "rate": 0})
    )
    world = respx.get(f"{BASE}/_control/v1/world").mock(httpx.Response(200, json={"abilities": ["reset"]}))
    reset = respx.post(f"{BASE}/_control/v1/reset").mock(httpx.Response(204))
    control = Control(BASE + "/", key="k3y")
    control.reset()
    assert world.calls.last.request.headers["x-control-key"] == "k3y"
    assert reset.calls.last.request.headers["x-control-key"] == "k3y"
    assert reset.calls.last.request.headers["content-length"] == "0"
    assert "authorization" not in reset.calls.last.request.headers
    control.close()


def test_no_base_url_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        Control("target")
