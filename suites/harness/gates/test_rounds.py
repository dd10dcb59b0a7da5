"""Rounds from load results: what is compared, what does not count, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from popreceipt.verdict import Outcome

from .conftest import BACK, Cli, Made

ROUNDS = 10


class Runs:
    """Load results of both, written as they are wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = Made(folder)

    def write(self, side: str, number: int, factor: float = 1.0, **more: Any) -> Path:
        """A run in which each request took about ten milliseconds, `factor` times over."""
        wobble = 1 + 0.01 * ((number * 7 + (side == "after") * 3) % 5)
        times = {"p50": 10.0 * factor * wobble, "p95": 20.0 * factor * wobble}
        whole = {
            "format": "popreceipt/load@1",
            "plan": {"scenario": "imports", "per_hour": 600, "minutes": 60, "seed": number, "thresholds": {}},
            "target": {"name": f"http://{side}", "clock": "scaled", "rate": 60.0},
            "standing": "VALID",
            "reasons": [],
            "faults": [],
            "operations": {
                "enqueue": {"requests": 600, "failures": {}, "response_ms": times},
                "token": {"requests": 1, "failures": {}, "response_ms": {"p50": 1.0, "p95": 1.0}},
                "ack": {"requests": 50, "failures": {}, "response_ms": times},
            },
            "generator": {"cpu_seconds": number / 7},
            "verdicts": self.made.json(),
            "complete": True,
        } | more
        path = self.folder / f"{number:02d}-{side}" / "load.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(whole))
        return path

    def all(self, side: str, factor: float = 1.0, rounds: int = ROUNDS) -> list[Path]:
        """The runs of one side."""
        return [self.write(side, number, factor) for number in range(1, rounds + 1)]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Nothing yet."""
    return Runs(tmp_path)


def gate(cli: Cli, before: list[Path], after: list[Path], *more: str) -> tuple[int, str, str]:
    """Compare them."""
    options = [word for path in before for word in ("--before", str(path))]
    return cli(*after, *options, *more)


def test_runs_of_both_are_compared(runs: Runs, cli: Cli) -> None:
    """Alike they pass; a third slower fails, and is named; in JSON and Markdown too."""
    before = runs.all("before")
    assert gate(cli, before, runs.all("after"))[0] == 0
    slow = runs.all("after", 1.3)
    status, out, _ = gate(cli, before, slow)
    assert status == 1
    assert "enqueue p50 ms is slower: 1.3" in out
    assert "http://after beside http://before" in out
    status, out, _ = gate(cli, before, slow, "--json")
    assert {each["standing"] for each in json.loads(out)["compared"]} == {"slower"}
    status, out, _ = gate(cli, before, slow, "--markdown", "-")
    assert (status, out.startswith("### ✘")) == (1, True)
    assert gate(cli, before, slow, "--tolerance", "0.5")[0] == 0


def test_figures_of_few_requests_are_not_compared(runs: Runs, cli: Cli) -> None:
    """Of fifty requests the median, of one nothing."""
    _, out, _ = gate(cli, runs.all("before"), runs.all("after"), "--json")
    assert [each["name"] for each in json.loads(out)["compared"]] == ["enqueue p50 ms", "enqueue p95 ms", "ack p50 ms"]


def test_folders_stand_for_the_results_in_them(runs: Runs, cli: Cli, tmp_path: Path) -> None:
    """In the order of names."""
    for side in ("before", "after"):
        (tmp_path / side).mkdir()
        for path in runs.all(side):
            path.parent.rename(tmp_path / side / path.parent.name)
    assert gate(cli, [tmp_path / "before"], [tmp_path / "after"])[0] == 0


def test_the_same_run_twice_is_no_evidence(runs: Runs, cli: Cli, tmp_path: Path) -> None:
    """Neither on one side nor on both, under whatever name."""
    before, after = runs.all("before"), runs.all("after")
    status, _, err = gate(cli, [*before[:-1], before[0]], after)
    assert (status, "one and the same run" in err) == (2, True)
    copy = tmp_path / "copy.json"
    copy.write_text(after[0].read_text().replace('"seed": 1', '"seed": 2'))
    status, _, err = gate(cli, before, [after[0], copy, *after[2:]])
    assert (status, "one and the same run" in err) == (2, True)


def test_runs_that_did_not_do_the_same_are_refused(runs: Runs, cli: Cli) -> None:
    """Another rate, another clock, another seed in a round, another target on a side, another number of runs."""
    before, after = runs.all("before"), runs.all("after")
    wrong: list[dict[str, Any]] = [
        {"plan": {"scenario": "imports", "per_hour": 1200, "minutes": 60, "seed": 3, "thresholds": {}}},
        {"plan": {"scenario": "imports", "per_hour": 600, "minutes": 60, "seed": 77, "thresholds": {}}},
        {"target": {"name": "http://after", "clock": "system", "rate": 1.0}},
        {"target": {"name": "http://elsewhere", "clock": "scaled", "rate": 60.0}},
        {"format": "popreceipt/sizing@1"},
    ]
    for more in wrong:
        runs.write("after", 3, **more)
        assert gate(cli, before, after)[0] == 2, more
    runs.write("after", 3)
    assert gate(cli, before, after)[0] == 0
    assert gate(cli, before, after[:-1])[0] == 2


def test_runs_that_may_not_be_believed_take_their_round_with_them(runs: Runs, cli: Cli) -> None:
    """Three of ten leave enough to decide, six do not."""
    before, after = runs.all("before"), runs.all("after")
    for number, more in ((1, {"standing": "INVALID"}), (2, {"complete": False}), (3, {"faults": ["KeyError: 1"]})):
        runs.write("after", number, 9.0, **more)
    status, out, _ = gate(cli, before, after)
    assert status == 0
    assert out.count("does not count") == 3
    for number in (4, 5, 6):
        runs.write("before", number, standing="INCONCLUSIVE")
    status, out, _ = gate(cli, before, after)
    assert status == 3
    assert "4 of 10 rounds count" in out


def test_a_fast_target_that_does_wrong_fails(runs: Runs, cli: Cli) -> None:
    """A rule that it violates and the other one does not, or requests that it refuses."""
    before, after = runs.all("before"), runs.all("after", 0.5)
    assert gate(cli, before, after)[0] == 0
    runs.made.ends(BACK, Outcome.VIOLATED, "back at once")
    runs.write("after", 4, 0.5)
    status, out, _ = gate(cli, before, after)
    assert (status, f"{BACK} is violated: back at once" in out) == (1, True)
    runs.write("before", 4)
    assert gate(cli, before, after)[0] == 0
    refusing = {"enqueue": {"requests": 600, "failures": {"500": 300}, "response_ms": {"p50": 1.0, "p95": 2.0}}}
    for number in range(1, ROUNDS + 1):
        runs.write("after", number, operations=refusing, generator={"cpu_seconds": number})
    status, out, _ = gate(cli, before, after)
    assert (status, "50.0% of its requests ended without a success" in out) == (1, True)


def test_a_damaged_run_proves_nothing(runs: Runs, cli: Cli) -> None:
    """Cut off, or one whose verdicts contradict themselves."""
    before, after = runs.all("before"), runs.all("after")
    after[2].write_text(after[2].read_text()[:-30])
    assert gate(cli, before, after)[0] == 3
    spoilt = runs.made.json()
    spoilt["summary"]["held"] = 0
    runs.write("after", 3, verdicts=spoilt)
    assert gate(cli, before, after)[0] == 3
    runs.write("after", 3, operations={"enqueue": {"requests": 600, "failures": {}}})
    assert gate(cli, before, after)[0] == 3


# The file of a measurement


def measurement(path: Path, **more: Any) -> Path:
    """A file as `load --against` writes it."""
    rounds = [{"before": {"a ms": 10 + n % 3}, "after": {"a ms": 10 + n % 4}, "doubt": None} for n in range(12)]
    whole = {"format": "popreceipt/paired@1", "what": "by hand", "before": "main", "after": "branch", "rounds": rounds}
    path.write_text(json.dumps(whole | {"convicted": [], "complete": True} | more))
    return path


def test_any_program_may_write_a_measurement(tmp_path: Path, cli: Cli) -> None:
    """Two names, rounds with figures of both, less is better."""
    path = measurement(tmp_path / "paired.json")
    assert cli(tmp_path, "--tolerance", "0.5")[0] == 0
    slow = [{"before": {"a ms": 10 + n % 3}, "after": {"a ms": 20 + n % 4}, "doubt": None} for n in range(12)]
    assert cli(measurement(path, rounds=slow))[0] == 1


@pytest.mark.parametrize(
    "more",
    [
        {"complete": False},
        {"complete": None},
        {"rounds": None},
        {"rounds": []},
        {"rounds": [{"before": {"a": 1}}] * 9},
        {"rounds": [{"before": {"a": "x"}, "after": {"a": 1}}] * 9},
        {"before": None, "rounds": [1]},
    ],
)
def test_a_damaged_measurement_proves_nothing(tmp_path: Path, cli: Cli, more: dict[str, Any]) -> None:
    """Nor one that did not come to its end."""
    assert cli(measurement(tmp_path / "paired.json", **more))[0] == 3


def test_a_measurement_and_a_baseline_do_not_go_together(tmp_path: Path, cli: Cli) -> None:
    """Speed has no baseline: that of another day is another machine's."""
    assert cli(measurement(tmp_path / "paired.json"), "--baseline", tmp_path / "b.toml")[0] == 2
