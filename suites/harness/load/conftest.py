"""Folders as a load run leaves them, made without Locust: what workers would have written, in virtual time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from popreceipt.journal import Entry, Exchange, Journal, Observation, instant_text
from popreceipt.load import run as runs
from popreceipt.load.figures import Figures, Tally
from popreceipt.load.plan import LoadPlan
from popreceipt.load.run import Run
from popreceipt.stage import Export, Import, Stage
from popreceipt.targets import Target, open_target

SECONDS = 0.002
"""What every request of a fake worker took, in real seconds."""


@dataclass
class FakeRun:
    """A run's folder, and what it was made from.

    `plan`, `rate`, `lag`, `cpu` and `seconds` may be changed before it is written.
    """

    folder: Path
    target: Target
    stage: Stage
    job: Import
    export: Export
    plan: LoadPlan = field(default_factory=lambda: LoadPlan(minutes=30, monitoring_minutes=5))
    rate: float = 1.0
    lag: float = 0.001
    cpu: float = 0.01
    seconds: float = SECONDS
    began: str = ""

    def __post_init__(self) -> None:
        self.began = instant_text(self.target.times.latest())

    def enqueues(self, number: int) -> None:
        """Hand in so many files, ten seconds apart."""
        for _ in range(number):
            self.job.enqueue(self.stage.file(2))
            self.stage.advance(seconds=10)

    def consumes(self, number: int) -> None:
        """Produce so many messages, ten seconds apart, and take, download and acknowledge each of them."""
        for _ in range(number):
            self.export.produce()
            self.stage.advance(seconds=5)
            found = self.export.dequeue()
            if found is not None:
                self.export.download(found)
                self.export.ack(found)
            self.stage.advance(seconds=5)

    def passes(self, **step: float) -> None:
        """Let time pass."""
        self.stage.advance(**step)

    def looks(self) -> None:
        """Ask for Manage messages and for the samples of monitoring, as is done when load is over."""
        assert self.target.control is not None
        for job in (self.job, self.export):
            self.target.control.messages(job.id)
            self.target.control.load(job.id)

    def written(self, workers: int = 2, **more: Any) -> Path:
        """Write the folder as so many workers would have left it; `more` is known of the run besides."""
        parts: dict[str, list[Entry]] = {str(number): [] for number in range(1, workers + 1)}
        setup: list[Entry] = []
        whose = cycle(parts)
        for entry in self.target.journal.entries:
            if isinstance(entry, Exchange):
                parts[next(whose)].append(entry)
            elif isinstance(entry, Observation):
                setup.append(entry)
        header = msgspec.structs.replace(
            self.target.journal.header, clock="system" if self.rate == 1 else "scaled", rate=self.rate
        )
        for name, entries in {"setup": setup, **parts}.items():
            with (self.folder / f"journal-{name}.ndjson").open("wb") as file:
                journal = Journal(header, file)
                for number, entry in enumerate(entries, 1):
                    # Each process counts for itself.
                    journal.add(msgspec.structs.replace(entry, seq=number) if isinstance(entry, Exchange) else entry)
                journal.seal()
        for name, entries in parts.items():
            figures = self.figures(name, [each for each in entries if isinstance(each, Exchange)])
            (self.folder / f"figures-{name}.json").write_bytes(msgspec.json.encode(figures))
        told: dict[str, Any] = {
            "plan": self.plan,
            "target": "emulator:",
            "clock": header.clock,
            "rate": self.rate,
            "abilities": tuple(sorted(self.target.abilities)),
            "began": self.began,
            "imports": (self.job.id,),
            "exports": (self.export.id,),
            "workers": workers,
            "cores": 2,
        }
        runs.write(Run(**(told | more)), self.folder)
        return self.folder

    def figures(self, worker: str, exchanges: list[Exchange]) -> Figures:
        """What a worker would have counted that made these calls one after another."""
        tally = Tally(worker, 60 / self.rate, self.plan.lag_seconds)
        for number, exchange in enumerate(exchanges):
            at = number * 0.1
            tally.arrived()
            tally.due(at, self.lag)
            status = exchange.response.status if exchange.response is not None else None
            failure = None if status is not None and 200 <= status < 300 else exchange.failure or str(status)
            tally.answered(exchange.operation, at + self.seconds, self.seconds + self.lag, self.seconds, failure)
        return tally.figures(
            journal=f"journal-{worker}.ndjson",
            began=self.began,
            cpu_seconds=self.cpu,
            wall_seconds=len(exchanges) * 0.1,
            finished=True,
        )


MakeRun = Callable[..., FakeRun]


@pytest.fixture
def fake_run(tmp_path: Path) -> Iterator[MakeRun]:
    """Begins a run on the emulator in this process: `fake_run("emulator:MUTANT")`; settings are its import's."""
    opened = []

    def begin(text: str = "emulator:", **settings: Any) -> FakeRun:
        context = open_target(text, seed=3)
        target = context.__enter__()
        opened.append(context)
        stage = Stage(target, "load")
        common: dict[str, Any] = {"monitoring_recurrence_minutes": 5}
        job = stage.imports(**({"processing_recurrence_minutes": 5} | common | settings))
        export = stage.export(processing_recurrence_minutes=None, **common)
        return FakeRun(tmp_path, target, stage, job, export)

    yield begin
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def good_run(fake_run: MakeRun) -> FakeRun:
    """A run in which all went well, with files that were processed and messages that were acknowledged."""
    run = fake_run()
    run.enqueues(12)
    run.consumes(6)
    run.passes(minutes=15)
    run.looks()
    assert run.target.times.latest() - run.target.times.earliest() == timedelta(0)
    return run
