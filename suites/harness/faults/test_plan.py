"""The fault plan as the control plane tells and takes it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from popreceipt.client import wire
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Response
from popreceipt.exceptions import PopreceiptError
from popreceipt.journal import Observation
from popreceipt.stage import Stage

SPECIFICATION = Path(__file__).parents[3] / "specs" / "control.openapi.yaml"


def signed_in(stage: Stage) -> Stage:
    """The stage with its token in hand: asking for one is a request, too."""
    stage.target.tokens.current()
    return stage


def test_a_fault_is_told_with_all_that_was_left_open(near: Stage) -> None:
    """What does not belong to the kind is null."""
    control = near.target.control_for("faults")
    assert control.faults() == []
    first = control.inject("dequeue", "status", status=503, retry_after=7, times=3)
    assert first == {
        "id": "fault-1",
        "operation": "dequeue",
        "kind": "status",
        "activity": None,
        "position": 1,
        "times": 3,
        "phase": "before",
        "status": 503,
        "retry_after": 7,
        "retry_after_form": None,
        "after_bytes": None,
        "seconds": None,
        "hits": 0,
    }
    second = control.inject("download", "truncated", times=None)
    assert (second["phase"], second["times"], second["after_bytes"]) == ("after", None, None)
    third = control.inject("*", "timeout")
    assert (third["phase"], third["seconds"], third["status"]) == ("before", 60.0, None)
    fourth = control.inject("processing", "stuck")
    assert fourth["phase"] is None
    fifth = control.inject("processing", "dies")
    assert fifth["phase"] == "before"
    assert control.faults() == [first, second, third, fourth, fifth]


def test_the_specification_describes_what_is_told(near: Stage) -> None:
    """The members of a fault are those of the schema."""
    schemas = yaml.safe_load(SPECIFICATION.read_text(encoding="utf-8"))["components"]["schemas"]
    told = near.target.control_for("faults").inject("ack", "reset")
    assert set(told) == set(schemas["PlannedFault"]["properties"])
    # A server that was written before there was this member need not tell it.
    assert set(schemas["PlannedFault"]["required"]) == set(told) - {"retry_after_form"}
    assert set(told) - {"hits"} == set(schemas["NewFault"]["properties"])


def test_position_and_times_choose_the_requests(near: Stage) -> None:
    """Matching requests are counted from the planning on; others are not."""
    queue, other, intake = near.export(), near.export(), near.imports()
    queue.dequeue()
    with near.fault("dequeue", "status", activity=queue.id, position=2, times=2, status=502):
        statuses = []
        for _ in range(5):
            other.dequeue()
            intake.offer(near.file())
            statuses.append(near.send(wire.dequeue(queue.id)).status)
        assert statuses == [204, 502, 502, 204, 204]
        (told,) = near.target.control_for("faults").faults()
        assert told["hits"] == 2


def test_every_request_from_some_position_on(near: Stage) -> None:
    """Without an end a fault strikes until it is cleared."""
    queue = signed_in(near).export()
    with near.fault("*", "status", position=2, times=None):
        asked = [wire.dequeue(queue.id), wire.message_status(near.unknown_guid()), wire.dequeue(queue.id)]
        assert [near.send(each).status for each in asked] == [204, 500, 500]
    assert near.send(wire.dequeue(queue.id)).status == 204


def test_the_first_planned_of_several_strikes(near: Stage) -> None:
    """Each counts for itself; a request meets with one fault at most."""
    queue = signed_in(near).export()
    control = near.target.control_for("faults")
    with near.fault("dequeue", "status", status=503), near.fault("*", "status", status=500, times=2):
        assert [near.send(wire.dequeue(queue.id)).status for _ in range(3)] == [503, 500, 204]
        assert [each["hits"] for each in control.faults()] == [1, 1]
    assert control.faults() == []


def test_the_control_plane_never_fails_by_plan(near: Stage) -> None:
    """Its calls are not counted either."""
    queue = signed_in(near).export()
    with near.fault("*", "status"):
        queue.produce()
        queue.observe_messages()
        assert near.send(wire.dequeue(queue.id)).status == 500


@pytest.mark.parametrize("method", ["DELETE", "reset"])
def test_what_clears_the_plan(near: Stage, method: str) -> None:
    """DELETE and a reset of the world."""
    control = near.target.control_for("faults")
    control.inject("dequeue", "reset")
    control.clear_faults() if method == "DELETE" else control.reset()
    assert control.faults() == []


def test_a_block_that_fails_leaves_no_fault(near: Stage) -> None:
    """A scenario's faults end with it, whatever ends it."""

    def fail() -> None:
        with near.fault("enqueue", "reset"):
            raise LookupError("something in the scenario")

    with pytest.raises(LookupError):
        fail()
    assert near.target.control_for("faults").faults() == []


def test_both_journals_tell_of_the_plan(near: Stage, emulator: Emulator) -> None:
    """What was planned, and that it was cleared, so that who reads a journal knows whose fault it was."""
    with near.fault("enqueue", "reset") as planned:
        pass
    for journal in (near.target.journal, emulator.journal):
        told = [each for each in journal.entries if isinstance(each, Observation)][-2:]
        assert [each.observation for each in told] == ["fault-planned", "faults-cleared"]
        assert told[0].facts["planned"] == planned


def test_a_name_of_ones_own(call: Callable[..., Response]) -> None:
    """It may be given once; the server's own names keep clear of it."""
    plan = {"operation": "ack", "kind": "reset"}
    assert json.loads(call("POST", json.dumps({**plan, "id": "fault-1"}).encode()).body)["id"] == "fault-1"
    assert json.loads(call("POST", json.dumps(plan).encode()).body)["id"] == "fault-2"
    assert call("POST", json.dumps({**plan, "id": "fault-2"}).encode()).status == 400
    assert len(json.loads(call("GET").body)) == 2
    assert call("DELETE") == Response(204)
    assert call("PATCH").status == 405


ACK_LOST = {"operation": "ack", "kind": "reset"}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({}, "operation is missing"),
        ({"operation": "ack"}, "kind is missing"),
        ({"operation": "world", "kind": "reset"}, "operation is one of"),
        ({"operation": "other", "kind": "reset"}, "operation is one of"),
        ({"operation": "ack", "kind": "explode"}, "kind is one of"),
        (ACK_LOST | {"chance": 0.5}, "no member 'chance'"),
        (ACK_LOST | {"position": 0}, "position is a whole number"),
        (ACK_LOST | {"position": None}, "position is a whole number"),
        (ACK_LOST | {"times": 0}, "times is a whole number"),
        (ACK_LOST | {"phase": "during"}, "phase is one of"),
        (ACK_LOST | {"activity": "x"}, "activity is a GUID"),
        (ACK_LOST | {"activity": "00000000-0000-0000-0000-000000000001"}, "There is no activity"),
        (ACK_LOST | {"status": 500}, "status is meant for the kind status"),
        (ACK_LOST | {"retry_after": 5}, "retry_after is meant for the kind status"),
        (ACK_LOST | {"retry_after_form": "date"}, "retry_after_form is meant for the kind status"),
        ({"operation": "ack", "kind": "status", "retry_after_form": "date"}, "how many seconds"),
        ({"operation": "ack", "kind": "status", "retry_after": 1, "retry_after_form": "day"}, "retry_after_form is"),
        (ACK_LOST | {"after_bytes": 5}, "after_bytes is meant for the kind truncated"),
        (ACK_LOST | {"seconds": 5}, "seconds is meant for the kind timeout or slow"),
        (ACK_LOST | {"id": " "}, "id is a text"),
        ({"operation": "ack", "kind": "status", "status": 200}, "status is a whole number from 400"),
        ({"operation": "ack", "kind": "status", "status": 404, "phase": "after"}, "from 500 on"),
        ({"operation": "ack", "kind": "status", "retry_after": "soon"}, "an HTTP date"),
        ({"operation": "ack", "kind": "status", "retry_after": 1.5}, "retry_after is a whole number"),
        ({"operation": "ack", "kind": "timeout", "seconds": -1}, "seconds is a number"),
        ({"operation": "ack", "kind": "truncated", "phase": "before"}, "the phase is after"),
        ({"operation": "ack", "kind": "stuck"}, "a fault of ack is one of status"),
        ({"operation": "*", "kind": "stuck"}, "is one of status"),
        ({"operation": "processing", "kind": "reset"}, "is one of post-processing-failed, stuck, dies"),
        ({"operation": "processing", "kind": "stuck", "phase": "after"}, "phase is meant for"),
        ({"operation": "token", "kind": "reset", "activity": "import-file"}, "names no activity"),
        ({"operation": "message-status", "kind": "reset", "activity": "import-file"}, "names no activity"),
        ({"operation": "processing", "kind": "stuck", "activity": "export-file"}, "only an import"),
    ],
)
def test_a_wrong_plan_is_refused_with_one_sentence(
    near: Stage, call: Callable[..., Response], plan: dict[str, object], said: str
) -> None:
    """400, and nothing is planned."""
    if (name := plan.get("activity")) in near.target.activities:
        plan = plan | {"activity": near.target.activities[str(name)]["id"]}
    response = call("POST", json.dumps(plan).encode())
    assert response.status == 400
    sentence = json.loads(response.body)["error"]
    assert said in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    assert json.loads(call("GET").body) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null"])
def test_a_plan_that_is_no_object(call: Callable[..., Response], body: bytes) -> None:
    """400 as well."""
    assert call("POST", body).status == 400


def test_the_client_says_what_was_refused(near: Stage) -> None:
    """A plan that the target does not take is an error of the scenario."""
    with pytest.raises(PopreceiptError, match="meant for the kind"):
        near.target.control_for("faults").inject("ack", "reset", status=500)


def test_a_plan_has_an_end(call: Callable[..., Response]) -> None:
    """Nobody fills the server's memory with faults."""
    plan = json.dumps(ACK_LOST).encode()
    assert {call("POST", plan).status for _ in range(1000)} == {201}
    assert call("POST", plan).status == 400
