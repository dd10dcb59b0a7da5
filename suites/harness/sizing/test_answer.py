"""A plan in, its answer out: all of it, the same each time, and as JSON that any reader takes."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from popreceipt.sizing.answer import size
from popreceipt.sizing.plan import Arrivals, BatchJob, Export, Objective, Plan, Recurrence, Run, Service, Spread
from popreceipt.sizing.result import FORMAT, Bounds, Candidate, Estimate, Lease, Monitoring, Sizing

PLAN = Plan(
    Arrivals(per_hour=60.0),
    Service(seconds=6.0),
    BatchJob(startup_seconds=15.0),
    recurrence=Recurrence((15.0, 2.0, 10.0, 2.0, 30.0)),
    export=Export(transfer_seconds=Spread(20.0, 60.0), prefetch=10, consumers=2),
    run=Run(days=3.0, seed=5),
)


@pytest.fixture(scope="module")
def answer() -> Sizing:
    return size(PLAN)


def test_the_whole_answer(answer: Sizing) -> None:
    """Every candidate once, shortest first; the one to set; margin, monitoring and lease with it."""
    assert [each.processing_minutes for each in answer.candidates] == [2.0, 10.0, 15.0, 30.0]
    assert answer.recommended is answer.candidates[2]
    assert answer.margin is not None
    assert answer.margin.load_factor > 1.5
    assert answer.margin.consumers_factor is not None
    assert answer.monitoring is not None
    assert answer.monitoring.overload_factor == pytest.approx(1.25 * answer.margin.load_factor)
    assert answer.lease is not None
    assert answer.reasons
    assert answer.plan is PLAN
    assert "10 replications of 3 days, drawn" in answer.method
    assert answer.figures["per_hour"] == pytest.approx(60.0)
    assert answer.figures["hourly"] == [60.0] * 24
    assert answer.figures["messages"] == pytest.approx(3 * 24 * 60, rel=0.05)


def test_simulation_and_closed_form_agree(answer: Sizing) -> None:
    """Where the conditions of the closed forms are met, they lie near what was simulated."""
    exact = [each for each in answer.candidates if each.bounds.exact]
    assert len(exact) >= 3
    for each in exact:
        assert each.bounds.mean_minutes == pytest.approx(each.wait_minutes["mean"].value, rel=0.01)
        assert each.bounds.p95_minutes == pytest.approx(each.wait_minutes["p95"].value, rel=0.02)


def test_the_same_seed_the_same_answer(answer: Sizing) -> None:
    """To the last digit; another seed has another one."""
    assert size(PLAN) == answer
    other = size(msgspec.structs.replace(PLAN, run=Run(days=3.0, seed=6)))
    assert other.candidates != answer.candidates


def test_candidates_are_given_the_same_work() -> None:
    """A candidate has the same figures whichever others are compared."""
    plan = msgspec.structs.replace(PLAN, export=None, recurrence=Recurrence((10.0,)))
    (alone,) = size(plan).candidates
    assert alone == size(msgspec.structs.replace(plan, recurrence=Recurrence((2.0, 10.0)))).candidates[1]


def steps_of(plan: Plan) -> list[tuple[int, int, str]]:
    told: list[tuple[int, int, str]] = []
    size(plan, progress=lambda *step: told.append(step))
    return told


def test_progress_goes_up_to_the_end() -> None:
    """Told before each step, one by one, and when all is done."""
    told = steps_of(PLAN)
    total = len(told) - 1
    assert [each[:2] for each in told] == [(done, total) for done in range(total + 1)]
    assert told[0][2] == "replication 1 of 10, every 2 minutes"
    assert told[-1][2] == "done"


def test_progress_skips_what_is_not_needed() -> None:
    """Where nothing is recommended there is nothing to bear and nothing to watch: the last step is still the end."""
    told = steps_of(msgspec.structs.replace(PLAN, service=Service(seconds=90.0), export=None))
    total = told[0][1]
    assert [each[0] for each in told[:-1]] == list(range(len(told) - 1))
    assert told[-1] == (total, total, "done")
    assert told[-2][0] < total - 1


def test_a_plan_in_which_nothing_works() -> None:
    """Nothing is recommended, so nothing has a margin and nothing is monitored; the export's side is told as ever."""
    found = size(msgspec.structs.replace(PLAN, service=Service(seconds=90.0)))
    assert (found.recommended, found.margin, found.monitoring) == (None, None, None)
    assert found.lease is not None
    assert found.as_json()["recommended"] is None
    assert any("What would help" in each for each in found.reasons)


def test_an_objective_that_cannot_be_missed() -> None:
    """Where nothing breaks, no overload is looked for."""
    plan = Plan(Arrivals(per_hour=6.0), Service(seconds=0.01), objective=Objective(p95_minutes=60.0), run=Run(days=3.0))
    found = size(plan)
    assert found.margin is not None
    assert found.margin.load_factor == found.margin.at_most
    assert found.monitoring is None
    recommended = found.as_json()["recommended"]
    assert recommended == {"processing_minutes": 60.0, "monitoring_minutes": None}


def test_a_record_is_not_drawn(tmp_path: Path) -> None:
    """With a trace and constant times nothing is left to chance: two replications that agree are enough."""
    lines = ["timestamp"] + [f"2026-03-02T{n // 12:02}:{n % 12 * 5:02}:07" for n in range(240)]
    (tmp_path / "trace.csv").write_text("\n".join(lines), encoding="utf-8")
    plan = Plan(Arrivals(trace="trace.csv"), Service(seconds=30.0), folder=tmp_path)
    found = size(plan)
    assert found.figures["replications"] == 2
    assert "as recorded" in found.method
    for each in found.candidates:
        assert each.wait_minutes["p95"].low == each.wait_minutes["p95"].high
    drawn = size(msgspec.structs.replace(plan, service=Service(seconds=Spread(30.0, 60.0))))
    assert drawn.figures["replications"] == 10
    assert drawn.candidates[0].wait_minutes["p95"].low < drawn.candidates[0].wait_minutes["p95"].high


# As JSON


def test_the_json_has_what_is_promised(answer: Sizing) -> None:
    """Every fixed member, with plain numbers, and intervals beside them."""
    written = json.loads(json.dumps(answer.as_json(), allow_nan=False))
    assert written["format"] == FORMAT == "popreceipt/sizing@1"
    assert answer.monitoring is not None
    assert written["recommended"] == {
        "processing_minutes": 15.0,
        "monitoring_minutes": answer.monitoring.minutes,
    }
    assert [each["processing_minutes"] for each in written["candidates"]] == [2.0, 10.0, 15.0, 30.0]
    first = written["candidates"][0]
    assert {type(first[name]) for name in ("stable", "meets_objective")} == {bool}
    assert isinstance(first["utilisation"], float)
    for name in ("mean", "p50", "p95", "p99"):
        low, high = first["wait_intervals"][name]
        assert low <= first["wait_minutes"][name] <= high
    for name in ("mean", "max"):
        low, high = first["backlog_intervals"][name]
        assert low <= first["backlog"][name] <= high
    assert isinstance(written["lease"]["safe_prefetch"], int)
    low, high = written["lease"]["redelivery_rate_interval"]
    assert low <= written["lease"]["redelivery_rate"] <= high
    assert isinstance(written["method"], str)
    assert written["plan"]["arrivals"]["per_hour"] == 60.0
    assert "folder" not in written["plan"]
    row = written["monitoring"]["tried"][0]
    assert row["monitoring_minutes"] == 1.0
    assert row["in_time"] is answer.monitoring.tried[1.0]
    assert row["alarm_waiting"] == answer.monitoring.alarms[1.0]
    assert len(first["density"]["edges_minutes"]) == len(first["density"]["shares"]) + 1


def test_the_plan_in_the_answer_can_be_read_again(answer: Sizing) -> None:
    """What is echoed is the plan, member for member."""
    again = msgspec.convert(answer.as_json()["plan"], Plan)
    assert msgspec.structs.replace(again, folder=PLAN.folder) == PLAN


def test_what_is_infinite_is_null() -> None:
    """JSON has no infinity, and readers stumble over NaN: null stands for both, wherever they are."""
    endless = Estimate(math.inf, math.nan, math.inf)
    candidate = Candidate(
        5.0, False, 1.0, {"p95": endless}, {"max": endless}, False, Bounds(False, None, None, False, math.inf), 1.0
    )
    monitoring = Monitoring(None, 5.0, 0.5, {1.0: False}, "why", delays={1.0: math.inf})
    lease = Lease(endless, math.inf, 0, 1, None, {"p95": math.inf})
    sizing = Sizing(
        PLAN,
        (candidate,),
        candidate,
        monitoring,
        None,
        lease,
        "method",
        figures={"far": [math.inf, {"off": -math.inf}]},
    )
    written: Any = json.loads(json.dumps(sizing.as_json(), allow_nan=False))
    assert written["candidates"][0]["wait_minutes"]["p95"] is None
    assert written["candidates"][0]["wait_intervals"]["p95"] == [None, None]
    assert written["candidates"][0]["bounds"]["margin_sigmas"] is None
    assert written["monitoring"]["tried"][0]["delay_minutes"] is None
    assert written["lease"]["redeliveries_a_day"] is None
    assert written["figures"] == {"far": [None, {"off": None}]}
    assert written["recommended"] == {"processing_minutes": 5.0, "monitoring_minutes": None}
    assert written["margin"] is None


def test_an_answer_without_a_lease_side() -> None:
    """Members that are not there are null, not missing."""
    sizing = Sizing(PLAN, (), None, None, None, None, "method")
    written = sizing.as_json()
    assert written["lease"] is written["monitoring"] is written["recommended"] is None
