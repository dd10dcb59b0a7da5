"""The consumer for daily use, against the emulator in virtual time: nothing lost, nothing twice, nobody hammered."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from popreceipt.client.consumer import Consumer, Handout, Received
from popreceipt.client.patience import Patience
from popreceipt.client.wire import Delivery
from popreceipt.emulator.profile import DIALECTS
from popreceipt.targets import EmulatorTransport

from .surroundings import LEASE, Surroundings

Worlds = Callable[..., Surroundings]


def test_the_consumer_stores_and_acknowledges_each_message_once(surroundings: Worlds) -> None:
    """Whole on the disk under its own name, acknowledged with the dequeue's own words, and gone from the queue."""
    world = surroundings()
    for _ in range(3):
        world.produce()
    consumer = world.consumer(is_package=True)
    assert consumer.drain() == 3
    assert world.stored() == sorted(world.produced)
    assert world.states(world.exports) == ["Acked"] * 3
    dequeues, acks = world.asked("dequeue"), world.asked("ack")
    assert [each.request.body for each in acks] == [each.response.body for each in dequeues[:3]]
    assert not list(world.inbox.glob(".*.part"))


def test_no_more_is_leased_than_is_worked_on(surroundings: Worlds) -> None:
    world = surroundings()
    for _ in range(3):
        world.produce()
    seen: list[list[str]] = []

    class Looking(Consumer):
        def acknowledge(self, handout: Handout) -> bool:
            seen.append(world.states(world.exports))
            return super().acknowledge(handout)

    world.consumer_class = Looking
    world.consumer().drain()
    assert [states.count("Enqueued") for states in seen] == [2, 1, 0]


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("kind", ["reset", "timeout", "status", "truncated"])
@pytest.mark.parametrize("operation", ["token", "dequeue", "download", "ack"])
def test_one_fault_loses_nothing_and_doubles_nothing(
    surroundings: Worlds, operation: str, kind: str, phase: str
) -> None:
    """Whatever is lost where: in two leases every message is stored once and acknowledged."""
    world = surroundings()
    for _ in range(3):
        world.produce()
    world.plan(
        operation, kind, phase, position=1 if operation == "token" else 2, status=503 if kind == "status" else None
    )
    world.live(2 * LEASE, one=world.consumer(is_package=True))
    assert world.stored() == sorted(world.produced)
    assert world.states(world.exports) == ["Acked"] * 3


@pytest.mark.parametrize("name", DIALECTS)
def test_the_consumer_survives_every_dialect(surroundings: Worlds, name: str) -> None:
    """With a message that has no file among others, and an acknowledgment that is lost after its effect."""
    world = surroundings(name)
    for records in (3, 0, 3):
        world.produce(records)
    world.plan("ack", "reset", "after")
    world.live(3 * LEASE, one=world.consumer())
    assert len(world.stored()) == len(world.produced) == 2
    assert world.stored() == sorted(world.produced)
    states = world.states(world.exports)
    # A message without a file may be one that is never offered.
    assert [states[0], states[2]] == ["Acked", "Acked"]
    assert not world.emulator.faults


@pytest.mark.parametrize("name", ["redelivery.correlation=stable", "redelivery.correlation=fresh"])
def test_a_message_that_comes_again_is_stored_once(surroundings: Worlds, name: str) -> None:
    """By another process too, and where nobody took the acknowledgment. A known ID is not even fetched again."""
    world = surroundings(*([name] if name.endswith("fresh") else []))
    world.produce()
    world.plan("ack", "status", times=None, status=500)
    assert world.consumer().drain() == 1
    assert world.states(world.exports) == ["Downloaded"]
    world.emulator.fault_plan.clear()
    world.emulator.advance(timedelta(seconds=LEASE + 1))
    assert world.consumer().drain() == 1
    assert world.stored() == world.produced
    assert world.states(world.exports) == ["Acked"]
    assert len(world.asked("download")) == (2 if name.endswith("fresh") else 1)
    receipts = [json.loads(each.request.body.content())["PopReceipt"] for each in world.asked("ack")]
    assert receipts[-1] not in receipts[:-1]


def test_a_crash_before_it_is_remembered_makes_no_second_copy(
    surroundings: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = surroundings()
    world.produce()
    consumer = world.consumer()

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(consumer.memory, "note_received", dies)
    with pytest.raises(KeyboardInterrupt):
        consumer.drain()
    assert world.stored() == world.produced
    world.emulator.advance(timedelta(seconds=LEASE + 1))
    assert world.consumer().drain() == 1
    assert world.stored() == world.produced
    assert world.states(world.exports) == ["Acked"]


def test_nothing_is_acknowledged_after_its_lease(surroundings: Worlds) -> None:
    """A download that takes longer is stored; the acknowledgment waits for the message to come back."""
    world = surroundings()
    world.produce()

    class Slow(Consumer):
        def store(self, received: Received, delivery: Delivery) -> None:
            world.emulator.advance(timedelta(seconds=LEASE - 1))
            super().store(received, delivery)

    world.consumer_class = Slow
    assert world.consumer().drain() == 1
    assert world.stored() == world.produced
    assert world.asked("ack") == []
    world.emulator.advance(timedelta(seconds=2))
    assert world.consumer().drain() == 1
    assert len(world.asked("download")) == len(world.asked("ack")) == 1
    assert world.states(world.exports) == ["Acked"]


def test_a_file_that_stays_away_is_left_alone_and_others_are_taken(surroundings: Worlds) -> None:
    world = surroundings()
    for _ in range(3):
        world.produce()
    world.plan("download", "status", times=Patience().tries, status=500)
    assert world.consumer().drain() == 3
    assert world.stored() == sorted(world.produced[1:])
    assert len(world.asked("ack")) == 2
    world.emulator.advance(timedelta(seconds=LEASE + 1))
    world.consumer().drain()
    assert world.stored() == sorted(world.produced)


def test_a_damaged_package_is_not_stored(surroundings: Worlds) -> None:
    """One bit of an entry is wrong, and the length is right: the entry's checksum tells. The next download is whole."""

    class Damaging(EmulatorTransport):
        left = 1

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if "/download/" not in request.url.path or not self.left:
                return answer
            self.left -= 1
            content = bytearray(answer.read())
            first = zipfile.ZipFile(io.BytesIO(content)).infolist()[0]
            content[30 + len(first.filename) + first.compress_size // 2] ^= 1
            return httpx.Response(200, content=bytes(content))

    world = surroundings(transport=Damaging)
    world.produce()
    world.consumer(is_package=True).drain()
    assert world.stored() == world.produced
    assert len(world.asked("download")) == 2
    assert world.states(world.exports) == ["Acked"]


def test_a_page_in_place_of_a_package_is_not_stored(surroundings: Worlds) -> None:
    class SigningIn(EmulatorTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            return httpx.Response(200, html="<p>Sign in</p>") if "/download/" in request.url.path else answer

    world = surroundings(transport=SigningIn)
    world.produce()
    world.consumer(is_package=True).drain()
    assert world.stored() == []
    assert world.asked("ack") == []


def test_a_raw_file_is_taken_where_the_job_may_hand_one_out(surroundings: Worlds) -> None:
    world = surroundings("download.file-payload=raw", export_type="file")
    world.produce()
    world.consumer().drain()
    assert world.stored() == world.produced
    assert [each.suffix for each in world.inbox.iterdir() if not each.name.startswith(".")] == [".data"]


def test_a_full_disk_leaves_the_message_unacknowledged(surroundings: Worlds) -> None:
    world = surroundings()
    world.produce()
    world.produce()

    class Full(Consumer):
        refusals = 1

        def store(self, received: Received, delivery: Delivery) -> None:
            if self.refusals:
                self.refusals -= 1
                raise OSError(28, "No space left on device")
            super().store(received, delivery)

    world.consumer_class = Full
    assert world.consumer().drain() == 2
    assert world.stored() == world.produced[1:]
    assert world.states(world.exports) == ["Downloaded", "Acked"]


def test_an_empty_queue_is_asked_at_a_calm_pace(surroundings: Worlds) -> None:
    world = surroundings()
    consumer = world.consumer()
    world.live(LEASE, one=consumer)
    assert len(world.asked("dequeue")) == pytest.approx(LEASE / consumer.patience.poll, abs=2)


def test_failed_dequeues_come_ever_later(surroundings: Worlds) -> None:
    world = surroundings()
    world.plan("dequeue", "status", times=None, status=502)
    consumer = world.consumer()
    world.live(LEASE, one=consumer)
    assert world.watch.waits[:3] == sorted(world.watch.waits[:3])
    assert max(world.watch.waits) <= 1.5 * consumer.patience.longest
    assert consumer.failures == len(world.asked("dequeue"))


def test_an_answer_that_names_a_file_but_no_place_is_left_alone(surroundings: Worlds) -> None:
    """It says that there is a file: acknowledged, it would be lost."""

    class Hiding(EmulatorTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if "/dequeue/" not in request.url.path or answer.status_code != 200:
                return answer
            return httpx.Response(200, json=json.loads(answer.read()) | {"DownloadLocation": None})

    world = surroundings(transport=Hiding)
    world.produce()
    assert world.consumer().drain() == 1
    assert world.asked("ack") == []
