"""The producer, against the emulator in virtual time: each file once, whole, and nothing said of it that is not so."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from popreceipt.client.patience import Patience
from popreceipt.client.producer import Producer
from popreceipt.emulator.profile import DIALECTS
from popreceipt.targets import EmulatorTransport

from .surroundings import BAD, GOOD, LEASE, Surroundings

Worlds = Callable[..., Surroundings]


def fill(world: Surroundings) -> None:
    """Three files: one that lands, one with a record that does not, one that nobody can read."""
    world.put("a.csv", GOOD)
    world.put("b.csv", GOOD | {"CUSTOMERGROUPID": "20"}, BAD)
    world.put("c.csv", content=b"PK\x03\x04 this is no package")


def outcomes(world: Surroundings) -> dict[str, str]:
    return {file: outcome for file, (outcome, _) in world.told().items()}


def names(world: Surroundings) -> list[str]:
    """The names that went along with what was handed in, in order."""
    return [dict(each.request.headers)["x-ms-dyn-externalidentifier"] for each in world.asked("enqueue")]


def test_each_file_is_handed_in_once_and_looked_after_to_its_end(surroundings: Worlds) -> None:
    world = surroundings()
    fill(world)
    world.live(2 * LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "processed", "b.csv": "failed", "c.csv": "failed"}
    errors = world.told()["b.csv"][1]
    assert errors[0] == "ProcessedWithErrors"
    assert "CUSTOMERGROUPID" in errors[1]
    enqueues = world.asked("enqueue")
    assert [each.request.body.content() for each in enqueues] == [
        each.read_bytes() for each in sorted(world.outbox.glob("*.csv"))
    ]
    assert {each.request.url.partition("?")[2] for each in enqueues} == {"entity=Customer%20groups"}
    assert [dict(each.request.headers)["x-ms-dyn-externalidentifier"] for each in enqueues] == [
        "a.csv",
        "b.csv",
        "c.csv",
    ]


def test_it_can_be_done_in_one_go(surroundings: Worlds) -> None:
    """As a scheduler would have it: it returns when every outcome is told, and a second time at once."""
    world = surroundings()
    fill(world)
    world.producer().drain()
    assert outcomes(world) == {"a.csv": "processed", "b.csv": "failed", "c.csv": "failed"}
    waits = len(world.watch.waits)
    world.producer().drain()
    assert len(world.watch.waits) == waits


def test_errors_are_asked_for_by_the_execution_alone(surroundings: Worlds) -> None:
    world = surroundings()
    fill(world)
    world.live(2 * LEASE, other=world.producer())
    asked = [json.loads(each.request.body.content())["executionId"] for each in world.asked("execution-errors")]
    answered = {json.loads(each.response.body.content())["value"] for each in world.asked("execution-id")}
    assert asked
    assert set(asked) <= answered - {"00000000-0000-0000-0000-000000000000"}


@pytest.mark.parametrize("name", DIALECTS)
def test_the_producer_survives_every_dialect(surroundings: Worlds, name: str) -> None:
    world = surroundings(name)
    fill(world)
    world.live(2 * LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "processed", "b.csv": "failed", "c.csv": "failed"}
    assert any("CUSTOMERGROUPID" in each for each in world.told()["b.csv"][1])
    assert len(world.states(world.imports)) == 3
    assert not world.emulator.faults


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("kind", ["reset", "timeout", "truncated", "502", "504"])
def test_a_lost_answer_leaves_a_file_uncertain(surroundings: Worlds, kind: str, phase: str) -> None:
    """It was accepted or was not, and nothing on the wire tells: it is not sent again, and the others are."""
    world = surroundings()
    fill(world)
    how = {"kind": "status", "status": int(kind)} if kind.isdecimal() else {"kind": kind}
    world.plan("enqueue", phase=phase, position=2, **how)
    world.live(2 * LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "processed", "b.csv": "uncertain", "c.csv": "failed"}
    assert len(world.asked("enqueue")) == 3


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
def test_a_file_that_was_not_taken_is_sent_again_whole(surroundings: Worlds, status: int) -> None:
    world = surroundings()
    world.put("a.csv", *[GOOD | {"CUSTOMERGROUPID": str(number)} for number in range(2000)])
    world.plan("enqueue", "status", status=status, times=2)
    world.live(2 * LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "processed"}
    bodies = {each.request.body.sha256 for each in world.asked("enqueue")}
    assert len(world.asked("enqueue")) == 3
    assert len(bodies) == 1


@pytest.mark.parametrize("status", [400, 404, 411, 413, 415])
def test_a_file_that_is_refused_is_not_sent_again(surroundings: Worlds, status: int) -> None:
    world = surroundings()
    fill(world)
    world.plan("enqueue", "status", status=status)
    world.live(2 * LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "failed", "b.csv": "failed", "c.csv": "failed"}
    assert str(status) in world.told()["a.csv"][1][0]
    assert len(world.asked("enqueue")) == 3


def test_a_file_over_the_limit_is_refused_and_the_others_are_taken(surroundings: Worlds) -> None:
    world = surroundings(body_limit=1000)
    world.put("a.csv", content=b"x" * 1001)
    world.put("b.csv", GOOD)
    world.live(LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "failed", "b.csv": "processed"}


def test_files_of_an_ordered_job_wait_for_one_another(surroundings: Worlds) -> None:
    """The second is out of luck for a while; the third goes after it all the same."""
    world = surroundings(in_order=True)
    for number in range(3):
        world.put(f"{number}.csv", GOOD | {"DESCRIPTION": str(number)})
    world.plan("enqueue", "status", status=503, position=2, times=Patience().tries + 2)
    world.live(3 * LEASE, other=world.producer())
    assert names(world) == ["0.csv", *["1.csv"] * (Patience().tries + 3), "2.csv"]


def test_an_unordered_job_does_not_wait(surroundings: Worlds) -> None:
    world = surroundings()
    for number in range(3):
        world.put(f"{number}.csv", GOOD | {"DESCRIPTION": str(number)})
    world.plan("enqueue", "status", status=503, times=Patience().tries)
    world.live(3 * LEASE, other=world.producer())
    assert names(world) == [*["0.csv"] * Patience().tries, "1.csv", "2.csv", "0.csv"]


def test_a_restart_sends_nothing_twice(surroundings: Worlds) -> None:
    """Neither what is accepted nor what is told, and what is accepted is looked after by the next run."""
    world = surroundings()
    fill(world)
    first = world.producer()
    first.hand_in_all()
    first.close()
    world.live(LEASE, other=world.producer())
    world.live(LEASE, other=world.producer())
    assert len(world.asked("enqueue")) == 3
    assert outcomes(world) == {"a.csv": "processed", "b.csv": "failed", "c.csv": "failed"}


def test_what_was_on_its_way_at_a_crash_is_uncertain(surroundings: Worlds) -> None:
    world = surroundings()
    fill(world)

    class Dying(Producer):
        def send(self, file: Path) -> "object":  # type: ignore[override]  # it never returns
            super().send(file)
            raise KeyboardInterrupt

    world.producer_class = Dying
    with pytest.raises(KeyboardInterrupt):
        world.producer().hand_in_all()
    world.producer_class = Producer
    world.live(LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "uncertain", "b.csv": "failed", "c.csv": "failed"}
    assert len(world.asked("enqueue")) == 3


def test_another_file_of_the_same_name_is_another_file(surroundings: Worlds) -> None:
    world = surroundings()
    producer = world.producer()
    world.put("a.csv", GOOD)
    producer.hand_in_all()
    world.put("a.csv", GOOD, GOOD | {"CUSTOMERGROUPID": "20"})
    producer.hand_in_all()
    producer.hand_in_all()
    assert len(world.asked("enqueue")) == 2


def test_what_is_still_being_written_is_no_file(surroundings: Worlds) -> None:
    world = surroundings()
    for name in ("a.csv.part", "b.tmp", ".c.csv"):
        world.put(name, GOOD)
    (world.outbox / "folder").mkdir()
    world.put("d.csv", GOOD)
    assert [each.name for each in world.producer().files()] == ["d.csv"]


def test_a_status_that_never_ends_is_given_up(surroundings: Worlds) -> None:
    """No batch runs: after its patience it says that it does not know, and asks no more."""
    world = surroundings()
    world.watch.each = lambda: None
    world.put("a.csv", GOOD)
    patience = Patience.fitted_to(LEASE, 4 * LEASE)
    world.live(4 * LEASE, other=world.producer(patience))
    assert outcomes(world) == {"a.csv": "uncertain"}
    asked = world.asked("message-status")
    assert len(asked) < patience.status_limit / patience.status / 3
    before = len(asked)
    world.live(LEASE, other=world.producer(patience))
    assert len(world.asked("message-status")) == before


def test_an_execution_that_comes_late_is_waited_for(surroundings: Worlds) -> None:
    """The ID of zeros is no execution."""

    class Late(EmulatorTransport):
        left = 3

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if not request.url.path.endswith("GetExecutionIdByMessageId") or not self.left:
                return answer
            self.left -= 1
            return httpx.Response(200, json={"value": "00000000-0000-0000-0000-000000000000"})

    world = surroundings(transport=Late)
    world.put("b.csv", BAD)
    world.live(2 * LEASE, other=world.producer())
    assert any("CUSTOMERGROUPID" in each for each in world.told()["b.csv"][1])
    assert len(world.asked("execution-id")) == 4


def test_an_execution_that_never_comes_is_not_waited_for_without_end(surroundings: Worlds) -> None:
    world = surroundings()
    world.put("c.csv", content=b"PK\x03\x04 this is no package")
    world.live(2 * LEASE, other=world.producer())
    assert world.told()["c.csv"] == ("failed", ["PreProcessingError", "It has no execution."])
    assert world.asked("execution-errors") == []


@pytest.mark.parametrize("operation", ["message-status", "execution-id", "execution-errors"])
@pytest.mark.parametrize("kind", ["reset", "timeout", "truncated", "503", "429", "401"])
def test_one_fault_on_the_way_to_the_end_changes_nothing(surroundings: Worlds, operation: str, kind: str) -> None:
    world = surroundings()
    fill(world)
    how = {"kind": "status", "status": int(kind)} if kind.isdecimal() else {"kind": kind}
    world.plan(operation, phase="after" if kind == "truncated" else "before", **how)
    world.live(3 * LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "processed", "b.csv": "failed", "c.csv": "failed"}
    assert any("CUSTOMERGROUPID" in each for each in world.told()["b.csv"][1])


def test_an_acceptance_without_an_id_is_uncertain(surroundings: Worlds) -> None:
    class Silent(EmulatorTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            return httpx.Response(200) if "/enqueue/" in request.url.path else answer

    world = surroundings(transport=Silent)
    world.put("a.csv", GOOD)
    world.live(LEASE, other=world.producer())
    assert outcomes(world) == {"a.csv": "uncertain"}
    assert len(world.asked("enqueue")) == 1


def test_a_name_that_no_header_can_carry_is_encoded(surroundings: Worlds) -> None:
    world = surroundings()
    world.put("größe.csv", GOOD)
    world.producer().hand_in_all()
    assert names(world) == ["gr%C3%B6%C3%9Fe.csv"]


def test_looks_at_a_message_come_ever_slower(surroundings: Worlds) -> None:
    world = surroundings()
    world.put("a.csv", GOOD)
    producer = world.producer()
    producer.hand_in_all()
    (entry,) = producer.memory.at("accepted")
    pauses = []
    for _ in range(12):
        pauses.append(producer.pause_after(entry))
        producer.look_after(entry)
        world.emulator.advance(timedelta(seconds=pauses[-1]))
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10 * producer.patience.status


def test_the_last_look_is_when_patience_ends(surroundings: Worlds) -> None:
    """However slow the pace has become by then."""
    world = surroundings()
    world.watch.each = lambda: None
    world.put("a.csv", GOOD)
    patience = Patience.fitted_to(LEASE, 2 * LEASE)
    began = world.watch.now()
    world.producer(patience).drain()
    assert world.told()["a.csv"][0] == "uncertain"
    assert world.watch.now() - began <= patience.status_limit + 2 * patience.status
