"""Answers made up for tests of how answers are shown: nothing is simulated here."""

import math
from dataclasses import replace
from typing import Any

from popreceipt.sizing.plan import Arrivals, Export, Objective, Plan, Service
from popreceipt.sizing.result import (
    Bounds,
    Candidate,
    Compared,
    Estimate,
    Lease,
    Margin,
    Monitoring,
    Sizing,
)

PLAN = Plan(
    arrivals=Arrivals(per_hour=60), service=Service(seconds=12.0), objective=Objective(p95_minutes=15, p99_minutes=20)
)


def about(value: float, width: float = 0.02) -> Estimate:
    """A figure with an interval around it."""
    return Estimate(value, value * (1 - width), value * (1 + width))


def candidate(minutes: float, **changes: Any) -> Candidate:
    """A recurrence that does what closed forms say, at a fifth of its time."""
    mean, p95 = minutes * 0.6 + 0.2, minutes * 0.96 + 0.2
    edges = tuple(minutes * part / 20 for part in range(23))
    made = Candidate(
        processing_minutes=minutes,
        stable=True,
        utilisation=0.2 + 0.3 / minutes,
        wait_minutes={
            "mean": about(mean),
            "p50": about(mean),
            "p95": about(p95),
            "p99": about(minutes + 0.2),
            "longest": about(minutes * 1.1, 0.05),
        },
        backlog={"mean": about(mean), "max": about(3 * minutes + 4, 0.1)},
        meets_objective=p95 <= 15,
        bounds=Bounds(stable=True, mean_minutes=mean, p95_minutes=p95, exact=True, margin_sigmas=6.0),
        overruns=0.0 if minutes > 1 else 0.12,
        density=(edges, tuple(1 / 22 for _ in range(22))),
        day=tuple((mean + math.sin(quarter / 15), mean + 2 + math.sin(quarter / 15)) for quarter in range(96)),
    )
    return replace(made, **changes)


def endless(minutes: float) -> Candidate:
    """A recurrence whose queue grows for ever."""
    waits = {name: Estimate(math.inf, math.inf, math.inf) for name in ("mean", "p50", "p95", "p99", "longest")}
    return candidate(
        minutes,
        stable=False,
        utilisation=1.0,
        meets_objective=False,
        overruns=1.0,
        wait_minutes=waits,
        backlog={"mean": about(500), "max": about(1000)},
        bounds=Bounds(False, None, None, exact=False, margin_sigmas=None, why="more comes than can be processed"),
        density=((), ()),
        day=(),
        safe=False,
        why="more comes than can be processed",
    )


MARGIN = Margin(
    load_factor=1.9,
    service_factor=2.1,
    breaks_first="The objective is missed first, at 1.9 times the arrivals.",
    doubled=17.0,
    outage_drain_minutes=16.0,
    overruns_factor=2.4,
    unstable_factor=3.6,
)

MONITORING = Monitoring(
    minutes=15,
    alarm_waiting=31,
    false_alarms_a_month=0.2,
    tried={5: True, 10: True, 15: True, 30: False},
    why="Samples every 30 minutes show an overload in 71 of 100 trials only.",
    shortest_minutes=10,
    overload_factor=2.0,
    missed_minutes=48.0,
    shown={5: 1.0, 10: 1.0, 15: 0.98, 30: 0.71},
    delays={5: 20.0, 10: 22.0, 15: 25.0, 30: math.inf},
    alarms={5: 29, 10: 30, 15: 31, 30: 31},
)

LEASE = Lease(
    redelivery_rate=Estimate(0.013, 0.011, 0.015),
    redeliveries_a_day=6.2,
    safe_prefetch=12,
    consumers_needed=1,
    drain_minutes=23.0,
    hold_minutes={"p50": 6.0, "p95": 21.0, "p99": 32.0, "longest": 41.0},
    density=(
        tuple(float(edge) for edge in range(43)),
        tuple(0.12 * 0.88**edge for edge in range(42)),
    ),
    delivered_again=Estimate(0.01, 0.008, 0.012),
    outlasting=0.0001,
    batch_outlasting=0.04,
    utilisation=0.4,
    wait_minutes={"mean": 7.0, "p50": 6.5, "p95": 22.0, "p99": 33.0, "longest": 50.0},
    messages=3360,
    method="Consumers were walked through 7 days.",
)

CANDIDATES = (endless(0.5), *(candidate(minutes) for minutes in (1, 2, 5, 10, 15, 30, 60)))


def recommending(**changes: Any) -> Sizing:
    """An answer with everything in it that an answer may hold."""
    made = Sizing(
        plan=replace_plan(PLAN, export=Export(consumers=1, prefetch=30)),
        candidates=CANDIDATES,
        recommended=CANDIDATES[4],
        monitoring=MONITORING,
        margin=MARGIN,
        lease=LEASE,
        method="The runs were walked one by one.",
        reasons=("10 minutes is the longest that meets the objective.",),
        warnings=("Half a minute is shorter than batch servers look for work.",),
        compared=(
            Compared("mean wait", 6.2, 6.25, "min", 0.05, True),
            Compared("backlog, most", 34.0, 41.0, "messages", 0.1, False),
            Compared("redeliveries", 43.0, 45.0, "", None, None),
        ),
        figures={"arrivals": 10080, "per_hour": 60.0, "days": 7.0},
    )
    return replace(made, **changes)


def refusing() -> Sizing:
    """An answer where nothing meets the objective."""
    return Sizing(
        plan=PLAN,
        candidates=(endless(1), candidate(30), candidate(60)),
        recommended=None,
        monitoring=None,
        margin=None,
        lease=None,
        method="The runs were walked one by one.",
        reasons=("The shortest stable recurrence waits 29 minutes at p95.",),
    )


def replace_plan(plan: Plan, **changes: Any) -> Plan:
    """The plan with changes."""
    import msgspec

    return msgspec.structs.replace(plan, **changes)
