"""Two targets under load in turns: what is run, in which order, and what the command ends with. Nothing is sent here.

That real runs are taken so is shown where the pipelines are run, in `test_pipelines.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from popreceipt import resources
from popreceipt.cli.main import run
from popreceipt.load import turns
from popreceipt.load.plan import LoadPlan
from popreceipt.load.running import Options

from .conftest import Made

Load = Callable[..., int]


@dataclass
class Fake:
    """Load results without load: a run of a target takes so many milliseconds."""

    folder: Path
    made: Made
    milliseconds: dict[str, float]
    ran: list[tuple[str, int, str]]
    interrupted_at: int | None = None
    fault_at: int | None = None
    plan: LoadPlan | None = None
    target: str = ""

    def run_load(self, plan: LoadPlan, options: Options, watch: object) -> None:
        """As `load.running.run_load`."""
        del watch
        self.plan, self.target = plan, options.target
        self.ran.append((options.target, plan.seed, options.folder.name))

    def judge_run(self, folder: Path) -> "FakeResult":
        """As `load.judging.judge_run`."""
        del folder
        number = len(self.ran)
        return FakeResult(self, number, number == self.interrupted_at, number == self.fault_at)


@dataclass
class FakeResult:
    """As `load.result.LoadResult`, as far as turns need it."""

    fake: Fake
    number: int
    interrupted: bool
    fault: bool

    @property
    def faults(self) -> tuple[str, ...]:
        return ("KeyError: 1",) if self.fault else ()

    def exit_status(self) -> int:
        return 4

    def write(self, path: Path) -> None:
        """A result whose figures say which run it is."""
        plan = self.fake.plan
        assert plan is not None
        took = self.fake.milliseconds[self.fake.target] * (1 + self.number / 1_000)
        content: dict[str, Any] = {
            "format": "popreceipt/load@1",
            "plan": {"scenario": plan.scenario, "per_hour": plan.per_hour, "minutes": plan.minutes, "seed": plan.seed},
            "target": {"name": self.fake.target, "clock": "scaled", "rate": 60.0},
            "standing": "VALID",
            "reasons": [],
            "faults": list(self.faults),
            "operations": {"enqueue": {"requests": 600, "failures": {}, "response_ms": {"p50": took, "p95": 2 * took}}},
            "generator": {"cpu_seconds": self.number},
            "verdicts": self.fake.made.json(),
            "complete": not self.interrupted and not self.fault,
        }
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))


OLD, NEW = "http://old", "http://new"


@pytest.fixture
def fake(made: Made, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Both targets take ten milliseconds."""
    fake = Fake(made.folder, made, {OLD: 10.0, NEW: 10.0}, [])
    monkeypatch.setattr(turns, "run_load", fake.run_load)
    monkeypatch.setattr(turns, "judge_run", fake.judge_run)
    monkeypatch.setenv("COLUMNS", "300")
    return fake


@pytest.fixture
def load(fake: Fake) -> Load:
    """`popreceipt load imports` on both."""

    def call(*arguments: str) -> int:
        out = ("--out", str(fake.folder / "out"))
        with pytest.raises(SystemExit) as ended:
            run(["load", "imports", "--target", NEW, "--against", OLD, *out, *arguments])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return call


def test_both_get_the_same_load_in_turns(fake: Fake, load: Load) -> None:
    """Of each round both runs have its seed, and each comes first as often as the other."""
    assert load("--rounds", "8", "--seed", "40") == 0
    assert len(fake.ran) == 16
    rounds = [fake.ran[place : place + 2] for place in range(0, 16, 2)]
    for number, pair in enumerate(rounds, 1):
        assert {each[1] for each in pair} == {39 + number}
        assert {(target, folder) for target, _, folder in pair} == {
            (OLD, f"{number:02d}-before"),
            (NEW, f"{number:02d}-after"),
        }
    assert sum(pair[0][0] == OLD for pair in rounds) == 4


def test_the_slower_one_is_found_and_what_was_measured_is_kept(
    fake: Fake, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate says the same of the file, and of the runs."""
    fake.milliseconds[NEW] = 14.0
    assert load("--rounds", "8", "--json", "-") == 1
    told = json.loads(capsys.readouterr().out)
    assert {each["standing"] for each in told["compared"]} == {"slower"}
    out = fake.folder / "out"
    schema = json.loads((resources.specs() / "paired.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads((out / "paired.json").read_text()))
    with pytest.raises(SystemExit) as ended:
        run(["gate", str(out)])
    assert ended.value.code == 1
    with pytest.raises(SystemExit) as ended:
        run(
            [
                "gate",
                *map(str, sorted(out.glob("*-after"))),
                *(f"--before={each}" for each in sorted(out.glob("*-before"))),
            ]
        )
    assert ended.value.code == 1
    with pytest.raises(SystemExit) as ended:
        run(["gate", str(out), "--tolerance", "0.6"])
    assert ended.value.code == 0


@pytest.mark.parametrize("at", [1, 2, 7])
def test_a_measurement_that_was_stopped_proves_nothing(fake: Fake, load: Load, at: int) -> None:
    """By Ctrl-C, whenever: 130, and nothing begins after it."""
    fake.interrupted_at = at
    assert load("--rounds", "8") == 130
    assert len(fake.ran) == at
    if at > 2:
        assert json.loads((fake.folder / "out" / "paired.json").read_text())["complete"] is False


@pytest.mark.parametrize("at", [1, 7])
def test_a_fault_of_ours_ends_it(fake: Fake, load: Load, at: int) -> None:
    """It is said as that."""
    fake.fault_at = at
    assert load("--rounds", "8") == 4
    assert len(fake.ran) == at


@pytest.mark.parametrize(
    "arguments",
    [("--rounds", "101"), ("--tolerance", "0"), ("--confidence", "1"), ("--html", "x.html"), ("--rounds", "0")],
)
def test_what_makes_no_sense_is_said_before_anything_is_run(
    fake: Fake, load: Load, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2."""
    monkeypatch.chdir(fake.folder)
    assert load(*arguments) == 2
    assert fake.ran == []
