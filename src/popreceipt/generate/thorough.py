"""Lifecycles on targets that are right: many runs with different seeds, in which nothing may be found.

    python -m popreceipt.generate.thorough --runs 10 --effort thorough
    python -m popreceipt.generate.thorough --runs 100 --effort fast

Each machine of each run has a target of its own, several at a time. What is found anyway is told with its seed: the
same seed finds it again, unless the result is flaky.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from os import cpu_count

from popreceipt.clock import stopwatch
from popreceipt.lifecycle import EFFORTS, MACHINES, run
from popreceipt.lifecycle.telling import told
from popreceipt.targets import EMULATOR_PREFIX, open_target


@dataclass(frozen=True, slots=True)
class Played:
    """What one machine did in one run, and what it found."""

    steps: int
    examples: int
    found: tuple[str, ...]


def play(target: str, machine: str, seed: int, effort: str) -> Played:
    """Play one machine on a target of its own."""
    with open_target(target, seed=seed) as opened:
        result = run(opened, machine, seed=seed, effort=effort, stop_at_first=False)
        found = [f"seed {seed}, {told(each, opened, seed)}" for each in result.failures]
        for rule, reason in result.figures["rules_that_failed"].items():
            found.append(f"seed {seed}, {machine}: {rule}: {reason}")
        if opened.emulator is not None:
            found += [f"seed {seed}, {machine}: the emulator failed: {fault!r}" for fault in opened.emulator.faults]
        return Played(result.figures["steps"], result.figures["examples"], tuple(found))


def main(arguments: Sequence[str]) -> int:
    """Play the runs; 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="thorough", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10, help="how many runs")
    parser.add_argument("--effort", choices=tuple(EFFORTS), default="thorough", help="how long each of them looks")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; each next one has the next seed")
    parser.add_argument("--target", default=EMULATOR_PREFIX, help="an emulator in this process")
    chosen = parser.parse_args(arguments)
    began = stopwatch()
    todo = list(product(range(chosen.seed, chosen.seed + chosen.runs), MACHINES))
    steps = examples = found = 0
    with ProcessPoolExecutor(cpu_count(), get_context("spawn")) as pool:
        runs = [pool.submit(play, chosen.target, machine, seed, chosen.effort) for seed, machine in todo]
        for done, each in enumerate(runs, start=1):
            played = each.result()
            steps += played.steps
            examples += played.examples
            found += len(played.found)
            for line in played.found:
                print(line, flush=True)
            if done % len(MACHINES) == 0:
                print(f"{done // len(MACHINES)} of {chosen.runs} runs, {found} findings", file=sys.stderr, flush=True)
    print(
        f"{chosen.runs} {chosen.effort} runs on {chosen.target}: {examples} examples, {steps} steps, "
        f"{stopwatch() - began:.0f} s, {found} findings"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
