"""A story on an emulator in this process: several consumers by turns, so that the same seed tells the same story."""

import importlib.util
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from popreceipt.client.wire import Delivery
from popreceipt.journal import Journal
from popreceipt.stage import Export, Import, Stage
from popreceipt.targets import open_target

# The PostgreSQL server that tests of storage start serves here too.
_spec = importlib.util.spec_from_file_location(
    "storage_fixtures", Path(__file__).parents[1] / "storage" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_storage = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_storage)
cluster, database = _storage.cluster, _storage.database

CONSUMERS = ("authorised/one", "authorised/two", "authorised/three")
JUMPS = (0.5, 20.0, 300.0, 700.0, 1100.0, 1745.0, 1799.0, 1800.0, 1801.0, 1850.0)


@dataclass
class Story:
    """Consumers of one export and producers of one import, by turns."""

    stage: Stage
    chance: random.Random
    export: Export
    intake: Import
    held: list[Delivery] = field(default_factory=list)
    past: list[Delivery] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def play(self, steps: int) -> None:
        self.export.holds(3)
        deeds: list[Callable[[], object]] = [
            *(self.take,) * 10,
            *(self.acknowledge,) * 3,
            *(self.acknowledge_late,) * 2,
            *(self.forget,) * 2,
            *(self.jump,) * 5,
            *(lambda: self.export.produce(2),) * 3,
            *(self.hand_in,) * 3,
            self.intake.process,
            *(self.ask,) * 2,
            self.intake.observe_messages,
        ]
        for _ in range(steps):
            self.chance.choice(deeds)()
        for _ in range(3):
            self.stage.advance(minutes=31)
            while self.take() and len(self.held) < 200:
                pass
        self.intake.observe_messages()

    def take(self) -> bool:
        found = self.export.dequeue(self.chance.choice(CONSUMERS))
        if found is None:
            return False
        if self.chance.random() < 0.9:
            self.export.download(found, self.chance.choice(CONSUMERS))
        self.held.append(found)
        return True

    def acknowledge(self) -> None:
        if self.held:
            self.export.ack(self.held.pop(), self.chance.choice(CONSUMERS))

    def acknowledge_late(self) -> None:
        if self.past:
            self.export.ack(self.past.pop(0), self.chance.choice(CONSUMERS))

    def forget(self) -> None:
        if self.held:
            self.past.append(self.held.pop(self.chance.randrange(len(self.held))))

    def jump(self) -> None:
        self.stage.advance(seconds=self.chance.choice(JUMPS))

    def hand_in(self) -> None:
        self.messages.append(self.intake.enqueue(self.stage.file(self.chance.choice((1, 2, 5)))))

    def ask(self) -> None:
        if self.messages:
            self.intake.status(self.chance.choice(self.messages))


@pytest.fixture(scope="session")
def told() -> Callable[[str, int], Journal]:
    """Tell a story on a target: its journal."""

    def tell(target: str, seed: int, steps: int = 70) -> Journal:
        with open_target(target, seed=seed) as opened:
            stage = Stage(opened, f"histories {seed}")
            export = stage.export("package", processing_recurrence_minutes=None)
            intake = stage.imports("file", in_order=True, processing_recurrence_minutes=5)
            Story(stage, random.Random(f"{target}/{seed}"), export, intake).play(steps)
            return opened.journal

    return tell
