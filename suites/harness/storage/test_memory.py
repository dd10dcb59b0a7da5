"""The store in memory stays small, whatever goes through it; and nobody sees where it keeps what."""

import json
import re
import subprocess
import sys
import tracemalloc
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import EntityRun, Execution
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.message import Message
from popreceipt.emulator.store import BatchRun, Column, Delivery, Query, memory
from popreceipt.emulator.store.cold import ColdStore
from popreceipt.emulator.store.memory import MemoryStore
from popreceipt.vocabulary import ACKED, DEQUEUED, ENQUEUED, PROCESSED

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class World:
    """A store with an activity of either direction, and whole lives of messages."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.guids = Guids("memory")
        self.imports, self.exports = self.activity("import"), self.activity("export")

    def activity(self, direction: str) -> str:
        made = msgspec.convert(
            {
                "id": self.guids.new(),
                "name": direction,
                "direction": direction,
                "type": "file",
                "entity": "Customer groups",
                "company": "u001",
                "anchor": NOW,
                "monitoring_anchor": NOW,
            },
            Activity,
        )
        self.store.put_activity(made)
        return made.id

    def enqueue(self) -> Message:
        """An import that waits."""
        message = Message(
            id=self.guids.new(),
            number=self.store.next_number(),
            activity=self.imports,
            enqueued=NOW,
            blob=self.blob(),
        )
        self.store.put_message(message)
        return message

    def import_one(self) -> Message:
        """An import from its enqueue to its end."""
        message = self.with_history(self.enqueue())
        message = msgspec.structs.replace(message, turn=self.store.next_number("turns"))
        self.store.put_message(message)
        self.store.plan(NOW, "processing-ends", message.id)
        assert self.store.take_due(NOW) is not None
        message = msgspec.structs.replace(message, status=PROCESSED, completed=NOW)
        self.store.put_message(message)
        assert self.store.first_taken(self.imports) is None
        return message

    def produce(self) -> Message:
        """An export that waits."""
        message = Message(
            id=self.guids.new(),
            number=self.store.next_number(),
            activity=self.exports,
            enqueued=NOW,
            blob=self.blob(),
            uploaded=True,
            queued=True,
            visible_from=NOW,
        )
        self.store.put_message(self.with_history(message))
        return message

    def export_one(self) -> Message:
        """An export from its run to its acknowledgment."""
        self.produce()
        delivery = Delivery(self.guids.new(), self.guids.new(), "")

        def deliver(message: Message) -> Message:
            self.store.put_delivery(msgspec.structs.replace(delivery, message=message.id))
            return msgspec.structs.replace(
                message, status=DEQUEUED, visible_from=NOW + DAY, correlation=delivery.correlation, deliveries=1
            )

        out = self.store.lease(self.exports, NOW, deliver)
        assert out is not None
        acked = msgspec.structs.replace(out, status=ACKED, queued=False, acknowledged=NOW)
        self.store.put_message(acked)
        return acked

    def with_history(self, message: Message) -> Message:
        """The message with an execution and a batch history record."""
        runs = (EntityRun(entity="Customer groups", target=1),)
        execution = Execution(id=self.guids.new(), entity="Customer groups", company="u001", started=NOW, runs=runs)
        run = BatchRun(
            id=self.guids.new(), activity=message.activity, message=message.id, status="Finished", started=NOW
        )
        self.store.put_execution(execution)
        self.store.put_run(run)
        return msgspec.structs.replace(message, execution=execution.id, batch_run=run.id)

    def blob(self) -> str:
        identifier = self.guids.new()
        self.store.put_blob(identifier, b"x" * 2048, NOW + 7 * DAY)
        return identifier

    def is_whole(self, message: Message) -> None:
        """Everything of a message is there."""
        found = self.store.message(message.id)
        assert found == message
        assert found.blob is not None
        assert self.store.blob(found.blob) == b"x" * 2048
        assert self.store.blob_expires(found.blob) == NOW + 7 * DAY
        execution, run = self.store.execution(found.execution or ""), self.store.run(found.batch_run or "")
        assert execution is not None
        assert run is not None
        assert run.message == message.id
        if message.correlation is not None:
            delivery = self.store.delivery(message.correlation)
            assert delivery is not None
            assert delivery.message == message.id


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def traced_bytes() -> int:
    return tracemalloc.get_traced_memory()[0]


# How much is in memory


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("life", ["import_one", "export_one"])
def test_what_is_done_needs_no_memory(life: str) -> None:
    """Two thousand messages of 2 KiB that went through leave less than fifty bytes each, though no time has passed."""
    world = World(MemoryStore(most_done=200))
    live = getattr(world, life)
    for _ in range(1_500):  # until every table has found its size
        live()
    before = traced_bytes()
    for _ in range(2_000):
        live()
    assert traced_bytes() - before < 50 * 2_000
    assert world.store.find(Query(limit=0))[1] == 3_500


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("waits", ["enqueue", "produce"])
def test_what_waits_needs_little(waits: str) -> None:
    """Of messages beyond the bound only their places in queues are in memory."""
    world = World(MemoryStore(most=200))
    wait = getattr(world, waits)
    for _ in range(500):
        wait()
    before = traced_bytes()
    for _ in range(2_000):
        wait()
    assert traced_bytes() - before < 700 * 2_000
    load = world.store.load(world.imports if waits == "enqueue" else world.exports, NOW)
    assert (load.waiting, load.in_process, load.oldest) == (2_500, 0, NOW)


def test_files_beyond_their_bound_are_not_in_memory() -> None:
    """The newest file stays, however large; the others go, and are read all the same."""
    store = MemoryStore(most_content=100_000)
    contents = [bytes([number]) * size for number, size in enumerate([10, 60_000, 5_000_000, 0, 99_999, 3_000_000])]
    tracemalloc.start()
    try:
        for number, content in enumerate(contents):
            store.put_blob(str(number), bytes(bytearray(content)), NOW + number * DAY)
        assert traced_bytes() < 3_200_000
    finally:
        tracemalloc.stop()
    assert [store.blob(str(number)) for number in range(6)] == contents
    assert store.drop_blobs(NOW + 2 * DAY) == NOW + 3 * DAY
    assert [store.blob_expires(str(number)) for number in range(4)] == [None, None, None, NOW + 3 * DAY]


class Counting(ColdStore):
    """A file that counts what comes."""

    came = 0

    def put_blob(self, identifier: str, content: bytes, expires: datetime) -> None:
        super().put_blob(identifier, content, expires)
        Counting.came += 1


def test_files_within_their_bound_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is too much goes, and only then."""
    monkeypatch.setattr(memory, "ColdStore", Counting)
    monkeypatch.setattr(Counting, "came", 0)
    store = MemoryStore(most_content=100_000)
    for number in range(5):
        store.put_blob(f"large {number}", bytes(2_000_000), NOW)
    assert Counting.came == 4
    for number in range(50):
        store.put_blob(f"small {number}", bytes(1_000), NOW)
    assert Counting.came == 5


def test_a_file_that_is_replaced_expires_at_its_own_time() -> None:
    """However early the one before it, which was put away, would have."""
    store = MemoryStore(most_content=1)
    for name, days in (("one", 1), ("two", 5), ("one", 9)):
        store.put_blob(name, b"content", NOW + days * DAY)
    assert store.drop_blobs(NOW) == NOW + 5 * DAY
    assert store.drop_blobs(NOW + 6 * DAY) == NOW + 9 * DAY
    assert store.blob("one") == b"content"
    assert store.drop_blobs(NOW + 9 * DAY) is None
    assert store.blob("one") is None


@pytest.mark.usefixtures("traced")
def test_what_is_planned_anew_leaves_nothing() -> None:
    """A moment that is moved again and again is one moment."""
    store = MemoryStore()
    for number in range(1_000):
        store.plan(NOW + number * SECOND, "tick", "one")
    before = traced_bytes()
    for number in range(1_000, 10_000):
        store.plan(NOW + number * SECOND, "tick", "one")
    assert traced_bytes() - before < 20_000
    assert store.next_due() == NOW + 9_999 * SECOND


@pytest.mark.usefixtures("traced")
def test_what_is_done_behind_a_message_that_is_stuck_leaves_nothing() -> None:
    """A message in process for ever holds up no memory."""
    world = World(MemoryStore(most_done=50))
    stuck = msgspec.structs.replace(world.enqueue(), turn=world.store.next_number("turns"))
    world.store.put_message(stuck)

    def go_through(many: int) -> None:
        for _ in range(many):
            message = msgspec.structs.replace(world.enqueue(), turn=world.store.next_number("turns"))
            world.store.put_message(message)
            assert world.store.first_taken(world.imports) == stuck
            world.store.put_message(msgspec.structs.replace(message, status=PROCESSED, completed=NOW))

    go_through(500)
    before = traced_bytes()
    go_through(2_000)
    assert traced_bytes() - before < 50 * 2_000


# Where it is, nobody sees


def test_everything_of_a_message_stays() -> None:
    """Row, file, execution, batch history and delivery of every message, in memory or not."""
    world = World(MemoryStore(most_done=100))
    messages = [live() for _ in range(300) for live in (world.import_one, world.export_one)]
    for message in messages:
        world.is_whole(message)
    assert list(world.store.messages_of(world.exports)) == messages[1::2]
    assert [run.message for run in world.store.runs_of(world.imports)] == [one.id for one in messages[::2]]


@pytest.mark.parametrize("column", ["number", "status", "completed", "id"])
@pytest.mark.parametrize("descending", [False, True])
def test_a_grid_is_paged_through(column: Column, descending: bool) -> None:
    """Every row once, in the order in which all of them come at once."""
    world = World(MemoryStore(most_done=20))
    every = [live() for _ in range(50) for live in (world.import_one, world.export_one, world.enqueue)]
    ordered, total = world.store.find(Query(order_by=column, descending=descending))
    assert total == len(every)
    assert sorted(ordered, key=lambda one: one.number) == every
    for offset in range(0, total, 7):
        page = world.store.find(Query(order_by=column, descending=descending, offset=offset, limit=7))
        assert (list(page[0]), page[1]) == (ordered[offset : offset + 7], total)


def test_a_late_change_reaches_what_was_put_away() -> None:
    """A download after the acknowledgment, a status that is fetched; and a message that goes back to work."""
    world = World(MemoryStore(most_done=10))
    messages = [world.export_one() for _ in range(100)]
    first, second = messages[:2]
    downloaded = msgspec.structs.replace(first, last_downloaded=NOW + DAY)
    back = msgspec.structs.replace(second, queued=True, visible_from=NOW + DAY, status=ENQUEUED)
    world.store.put_message(downloaded)
    world.store.put_message(back)
    assert world.store.find(Query(order_by="last_downloaded", limit=1)) == ([downloaded], 100)
    assert world.store.find(Query(statuses=frozenset({ENQUEUED}))) == ([back], 1)
    assert world.store.lease(world.exports, NOW, lambda message: message) is None
    assert world.store.lease(world.exports, NOW + DAY, lambda message: message) == back


def test_what_is_deleted_is_gone_wherever_it_was() -> None:
    """Row, file and delivery."""
    world = World(MemoryStore(most_done=10))
    messages = [world.export_one() for _ in range(100)]
    for message in messages:
        world.store.delete_message(message.id)
        assert world.store.message(message.id) is None
        assert world.store.blob(message.blob or "") is None
        assert world.store.delivery(message.correlation or "") is None
    assert world.store.find(Query()) == ([], 0)
    assert world.store.drop_blobs(NOW) is None


def test_every_delivery_of_a_deleted_message_is_gone() -> None:
    """Wherever its deliveries were, and however many."""
    world = World(MemoryStore(most=20, most_done=10))
    message = world.produce()
    correlations = [world.guids.new() for _ in range(30)]
    for correlation in correlations:
        world.store.put_delivery(Delivery(correlation, "blob", message.id))
    world.store.put_message(msgspec.structs.replace(message, correlation=correlations[-1]))
    world.store.delete_message(message.id)
    assert [world.store.delivery(correlation) for correlation in correlations] == [None] * 30


def test_nothing_of_it_is_there_after_a_reset() -> None:
    """The file goes with everything else."""
    world = World(MemoryStore(most_done=10))
    message, *_ = [world.import_one() for _ in range(100)]
    world.store.clear()
    assert world.store.message(message.id) is None
    assert world.store.execution(message.execution or "") is None
    assert world.store.find(Query()) == ([], 0)


class SmallDisk(ColdStore):
    """A file on a disk that is full after a few hundred KiB."""

    def __init__(self) -> None:
        super().__init__()
        self._connection.execute("PRAGMA max_page_count = 100")


def test_a_full_disk_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit stays in memory, with a warning each time that it was tried in vain."""
    monkeypatch.setattr(memory, "ColdStore", SmallDisk)
    world = World(MemoryStore(most_done=50))
    with pytest.warns(RuntimeWarning, match="more memory than usual: .*full"):
        messages = [live() for _ in range(500) for live in (world.import_one, world.export_one)]
    for message in messages:
        world.is_whole(message)
    page, total = world.store.find(Query(order_by="status", offset=500, limit=3))
    assert (list(page), total) == (messages[:6:2], 1_000)


def test_a_full_disk_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of messages that did not all fit, none is in the file."""
    monkeypatch.setattr(memory, "ColdStore", SmallDisk)
    world = World(MemoryStore(most_done=50))
    messages = [
        Message(
            id=world.guids.new(),
            number=world.store.next_number(),
            activity=world.imports,
            enqueued=NOW,
            status=PROCESSED,
            external_identifier="file " * 200,
        )
        for _ in range(1_000)
    ]
    with pytest.warns(RuntimeWarning, match="full"):
        deque(map(world.store.put_message, messages), maxlen=0)
    rows, total = world.store.find(Query(text="file"))
    assert ([row.number for row in rows], total) == (list(range(1, 1_001)), 1_000)


def test_what_fails_halfway_is_undone() -> None:
    """The file has all of a slice or nothing, whatever went wrong."""
    cold = ColdStore()

    def put_half() -> None:
        with cold.work():
            cold.put_blob("one", b"content", NOW)
            raise KeyError

    with pytest.raises(KeyError):
        put_half()
    assert cold.blob("one") is None


def conformance(folder: Path, command: list[str]) -> tuple[list[Any], list[Any]]:
    """The journal of a whole conformance run but for its tokens and keys, which are new each time; what was judged."""
    # What the other suites try depends on what else is loaded: hypothesis takes constants out of it.
    arguments = ["verify", "--suite", "conformance", "--out", str(folder)]
    run = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    told = re.sub(r"redacted(:|%3A)[0-9a-f]+", "redacted", (folder / "journal.ndjson").read_text())
    lines = [json.loads(line) for line in told.splitlines()]
    for line in lines:
        if line.get("operation") == "token":
            for said in (line["request"], line["response"]):
                (said["body"] or {}).pop("sha256", None)
        elif line.get("request", {}).get("url", "").endswith("/keys") and line["response"]["status"] == 200:
            body = line["response"]["body"]
            del body["sha256"]
            body["text"] = json.loads(body["text"])
            assert [key.pop("n") != key.pop("kid") for key in body["text"]["keys"]] == [True]
    return lines, json.loads((folder / "verdicts.json").read_text())["rules"]


def test_no_client_can_tell(tmp_path: Path) -> None:
    """The same conformance run, byte for byte, with everything in memory and with next to nothing there."""
    usual = conformance(tmp_path / "usual", [sys.executable, "-m", "popreceipt"])
    script = Path(__file__).with_name("out_of_memory.py")
    assert conformance(tmp_path / "file", [sys.executable, str(script)]) == usual
    assert len(usual[0]) > 1_000
