"""The schema of a load run's result: a result with everything in it fits, and one with a defect does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from popreceipt import resources
from popreceipt.load.figures import Tally
from popreceipt.load.plan import SCENARIOS, SHAPES, LoadPlan
from popreceipt.load.result import FORMAT, Ceiling, Gate, LoadResult, Standing
from popreceipt.verdict import Verdicts

SCHEMA = Draft202012Validator(json.loads((resources.specs() / "load.schema.json").read_text(encoding="utf-8")))


def result() -> LoadResult:
    """A run of a minute with an answer, a failure, a sample and a threshold."""
    tally = Tally("worker-1", 60.0, 0.5)
    tally.due(1.0, 0.01)
    tally.answered("enqueue", 1.2, 0.2, 0.19)
    tally.due(2.0, 0.0)
    tally.answered("dequeue", 2.5, 0.5, 0.5, "500")
    tally.deeper(3.0, 1)
    figures = tally.figures(
        journal="journal.ndjson", began="2026-01-01T00:00:00Z", cpu_seconds=0.5, wall_seconds=60.0, finished=True
    )
    return LoadResult(
        plan=LoadPlan(),
        target={"name": "http://127.0.0.1:1", "build": "b", "clock": "scaled", "rate": 60.0, "abilities": ("produce",)},
        figures=figures,
        verdicts=Verdicts(()),
        standing=Standing.INCONCLUSIVE,
        reasons=("too near to the ceiling",),
        ceilings=(Ceiling("generator", 500.0, 0.9, "measured"),),
        gates=(Gate("errors", 0.01, 0.5, kept=False), Gate("p95", 100.0, None, kept=None)),
        warnings=("scaled",),
        monitoring=((15.0, 3.0, 4.0), (30.0, 2.0, None)),
        journal="journal.ndjson",
        messages={"imports": {"processed": 1}},
    )


def told() -> dict[str, Any]:
    """As it is read back."""
    made: dict[str, Any] = json.loads(json.dumps(result().as_json()))
    return made


def test_the_schema_is_one_and_a_result_fits(tmp_path: Path) -> None:
    """As it is written, too."""
    Draft202012Validator.check_schema(SCHEMA.schema)
    SCHEMA.validate(told())
    result().write(tmp_path / "load.json")
    SCHEMA.validate(json.loads((tmp_path / "load.json").read_bytes()))


def test_its_verdicts_are_a_verdict_file() -> None:
    """The same schema fits them as those of verify."""
    schema = json.loads((resources.specs() / "verdicts.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(told()["verdicts"])


def test_schema_and_code_name_the_same_things() -> None:
    """Format, scenarios, shapes, standings, and the members of a plan."""
    properties = SCHEMA.schema["properties"]
    assert properties["format"]["const"] == FORMAT
    assert set(properties["plan"]["properties"]["scenario"]["enum"]) == set(SCENARIOS)
    assert set(properties["plan"]["properties"]["shape"]["enum"]) == set(SHAPES)
    assert set(properties["standing"]["enum"]) == {each.value for each in Standing}
    assert set(properties["plan"]["properties"]) == set(LoadPlan.__struct_fields__)
    assert set(properties) == set(told())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "popreceipt/load@2"),
        (("standing",), "FINE"),
        (("complete",), None),
        (("operations", "enqueue", "requests"), -1),
        (("operations", "enqueue", "response_ms", "p99"), "slow"),
        (("minutes", 0, "begun"), 0.5),
        (("generator", "workers"), 2),
        (("gates", 0, "kept"), "no"),
        (("monitoring", 0, "waiting"), None),
        (("verdicts", "format"), "popreceipt/verdicts@2"),
        (("plan", "per_hour"), 0),
        (("reasons",), [""]),
    ],
)
def test_a_spoilt_result_does_not_fit(path: tuple[str | int, ...], value: object) -> None:
    """A member of another kind, or none at all."""
    spoilt = told()
    place: Any = spoilt
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert not SCHEMA.is_valid(spoilt)
    del place[path[-1]]
    assert not SCHEMA.is_valid(spoilt)
