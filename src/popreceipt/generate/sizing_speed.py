"""How fast sizing answers, and how its simulation stands beside simpy: the same messages, the same waits, in turns.

Two whole answers are timed: 30 days at 10 messages a minute with eight candidates, and a year of an hourly profile
that averages 2 a minute. simpy is given the batch job as its users would write it, with a process for the arrivals and
one for the runs; that both tell the same waits is looked at each time. Ratios are for comparing within one run. An
answer is held against its goal by the processor's time: it works on one thread, so that is what it takes where nothing
else runs.

    python -m popreceipt.generate.sizing_speed [--rounds N] [--json FILE]
"""

import argparse
import json
import math
import os
import statistics
import sys
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import simpy
from rich.console import Console
from rich.table import Table

from popreceipt.clock import stopwatch
from popreceipt.sizing.answer import size
from popreceipt.sizing.plan import Arrivals, BatchJob, Plan, Recurrence, Run, Service
from popreceipt.sizing.simulation import Job, simulate
from popreceipt.sizing.work import DAY, MINUTE, Floats, Work

Measured = Mapping[str, float]

OFFICE: Final = tuple([20.0] * 7 + [120.0] * 5 + [90.0] + [360.0] * 5 + [90.0] * 2 + [20.0] * 4)
"""Messages an hour, of which a day brings 2 a minute on average."""

CANDIDATES: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)

PLANS: Final[Mapping[str, tuple[Plan, float]]] = {
    "30 days at 10 a minute": (
        Plan(
            arrivals=Arrivals(per_hour=600.0),
            service=Service(median=2.0, p95=6.0),
            batch=BatchJob(startup_seconds=10.0),
            recurrence=Recurrence(CANDIDATES),
        ),
        10.0,
    ),
    "a year of a profile at 2 a minute": (
        Plan(arrivals=Arrivals(profile=OFFICE), service=Service(median=3.0, p95=9.0), run=Run(days=365.0)),
        20.0,
    ),
}
"""What is asked, and the seconds that the answer may take."""

JOBS: Final = {
    "load 0.4": (Job(5 * MINUTE), 0.4),
    "load 0.8": (Job(5 * MINUTE), 0.8),
    "load 0.95": (Job(5 * MINUTE), 0.95),
    "load 0.8, at once": (Job(5 * MINUTE, at_once=True), 0.8),
    "load 0.6, 8 files at once": (Job(5 * MINUTE, threads=8), 0.6),
}
"""Jobs that both simulate, and the load of their threads."""

RATE: Final = 10 / MINUTE

STRETCH: Final = 10 * DAY
"""Seconds that both simulate: simpy takes half a second for them."""

ALIKE: Final = 1e-8
"""Seconds by which waits may differ: simpy adds up all times of a run one by one, from the start on."""

GOAL: Final = 5.0
"""How many times faster than simpy the simulation is to be, at least."""


def answered(plan: Plan) -> Measured:
    """Seconds that a whole answer takes: of the clock, and of the processor."""
    began, worked = stopwatch(), sum(os.times()[:2])
    answer = size(plan)
    seconds, cpu = stopwatch() - began, sum(os.times()[:2]) - worked
    if answer.recommended is None:
        raise SystemExit("A plan that has an answer was given none.")
    return {
        "seconds": seconds,
        "cpu": cpu,
        "messages": answer.figures["messages"] * answer.figures["replications"] * len(answer.candidates),
    }


def by_walking(work: Work, job: Job) -> Floats:
    """When each message was processed, as sizing finds it."""
    return simulate(work, job).completed


def by_events(work: Work, job: Job) -> Floats:
    """The same with simpy."""
    environment = simpy.Environment()
    arrived, service = work.arrived.tolist(), work.service.tolist()
    waiting: deque[int] = deque()
    completed = [math.nan] * len(arrived)

    def producer() -> Generator[simpy.Event, Any, None]:
        for number, instant in enumerate(arrived):
            yield environment.timeout(instant - environment.now)
            waiting.append(number)

    def thread(taken: deque[int]) -> Generator[simpy.Event, Any, None]:
        while taken:
            number = taken.popleft()
            yield environment.timeout(service[number])
            completed[number] = environment.now

    def batch_job() -> Generator[simpy.Event, Any, None]:
        done, tick = 0, 1
        while done < len(arrived):
            if tick * job.every > environment.now:
                yield environment.timeout(tick * job.every - environment.now)
            taken = deque(waiting)
            waiting.clear()
            done += len(taken)
            if job.threads == 1:
                yield from thread(taken)
            else:
                yield simpy.AllOf(environment, [environment.process(thread(taken)) for _ in range(job.threads)])
            late = math.floor(environment.now / job.every)
            tick = late if job.at_once and late > tick else max(tick, late) + 1

    environment.process(producer())
    environment.run(environment.process(batch_job()))
    return np.array(completed)


def work_at(load: float, job: Job, seed: int) -> Work:
    """Poisson arrivals and exponential service times that keep the job's threads busy for a share of the time."""
    chance = np.random.default_rng(seed)
    arrived = np.sort(chance.random(chance.poisson(RATE * STRETCH)) * STRETCH)
    mean = load * job.threads / RATE
    return Work(arrived, chance.standard_exponential(len(arrived)) * mean, STRETCH)


def beside_simpy(rounds: int) -> dict[str, list[Measured]]:
    """Days simulated in a second by each of the two, by turns."""
    measured: dict[str, list[Measured]] = {name: [] for name in JOBS}
    for seed in range(rounds):
        for name, (job, load) in JOBS.items():
            work = work_at(load, job, seed)
            ours, told = _timed(by_walking, work, job)
            theirs, wanted = _timed(by_events, work, job)
            apart = float(np.max(np.abs(told - wanted)))
            if not apart <= ALIKE:
                raise SystemExit(f"{name}: simpy tells other waits, by up to {apart:g} s.")
            measured[name].append({"sizing": STRETCH / DAY / ours, "simpy": STRETCH / DAY / theirs, "apart": apart})
    return measured


def _timed(simulated: Callable[[Work, Job], Floats], work: Work, job: Job) -> tuple[float, Floats]:
    began = stopwatch()
    completed = simulated(work, job)
    return stopwatch() - began, completed


def main(arguments: Sequence[str]) -> int:
    """Measure in turns and tell."""
    parser = argparse.ArgumentParser(prog="sizing_speed", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    chosen = parser.parse_args(arguments)
    console = Console()
    answers = {name: [answered(plan) for _ in range(chosen.rounds)] for name, (plan, _) in PLANS.items()}
    table = Table("a whole answer", "seconds", "CPU seconds", "goal", "messages simulated for the candidates")
    for name, runs in answers.items():
        seconds, cpu = (statistics.median(each[unit] for each in runs) for unit in ("seconds", "cpu"))
        table.add_row(name, f"{seconds:.1f}", f"{cpu:.1f}", f"{PLANS[name][1]:.0f}", f"{runs[0]['messages']:,.0f}")
    console.print(table)
    measured = beside_simpy(chosen.rounds)
    ratios = {
        name: statistics.median(each["sizing"] / each["simpy"] for each in runs) for name, runs in measured.items()
    }
    table = Table("simulation", "days a second", "with simpy", "times faster", "waits apart (s)")
    for name, runs in measured.items():
        ours, theirs = (statistics.median(each[which] for each in runs) for which in ("sizing", "simpy"))
        apart = max(each["apart"] for each in runs)
        table.add_row(name, f"{ours:,.0f}", f"{theirs:.0f}", f"{ratios[name]:.0f}", f"{apart:.0e}")
    console.print(table)
    in_time = all(statistics.median(each["cpu"] for each in runs) <= PLANS[name][1] for name, runs in answers.items())
    faster = min(ratios.values()) >= GOAL
    console.print(
        f"Answers are {'within' if in_time else 'NOT within'} their goals; the simulation is at least "
        f"{min(ratios.values()):.0f} times as fast as simpy (goal {GOAL:.0f}), in the median of {chosen.rounds} rounds."
    )
    if chosen.json is not None:
        figures = {"answers": answers, "simulation": measured, "ratios": ratios}
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if in_time and faster else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
