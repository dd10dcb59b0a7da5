"""Which mutants fuzzing and lifecycles find by themselves, conformance scenarios left out; how soon, and how shortly told.

For each mutant the machines and the fuzzing take turns until a rule is violated, or a check fails, that is not so on the
plain emulator; or until the limit. Seconds are the CPU time of the process that looks, so that a machine which is busy
with other things falsifies nothing: on an idle one it is the time on the wall. Two mutants are looked for at a time.

    python -m popreceipt.generate.detection [--mutant ID]... [--seed N] [--limit 60] [--out FILE] [--json FILE]
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any, Final

from popreceipt import resources
from popreceipt.emulator.mutants import MUTANTS
from popreceipt.lifecycle import MACHINES, Effort
from popreceipt.lifecycle import run as play
from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.minimise import counted, minimise
from popreceipt.reproduction.player import Place
from popreceipt.reproduction.taken import Known, known_of, steps_of
from popreceipt.targets import EMULATOR_PREFIX, open_target

LIMIT: Final = 60.0
"""CPU seconds for one mutant, unless told otherwise."""

PROCESSES: Final = 2

ROUNDS: Final = (Effort(((6, 10),)), Effort(((8, 25),)), Effort(((8, 40),)))
"""What a machine plays when it is its turn, the first time, the second and from the third on: short examples first."""

REPLAYS: Final = 400
"""How often a story is played to make it small."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What became of the search for one mutant.

    Args:
        mutant: its id.
        seed: of the search.
        seconds: CPU seconds until it was found, or until the search was given up.
        examples: played by then.
        by: the machine, or fuzz; None where it was not found.
        what: the rule, or the check.
        level: of the rule.
        steps: of the story when it was made small, jobs that are made not counted; None where it does not fail again.
    """

    mutant: str
    seed: int
    seconds: float
    examples: int
    by: str | None = None
    what: str | None = None
    level: str | None = None
    steps: int | None = None
    message: str = ""


def detect(mutant: str, seed: int, limit: float, small: bool = True) -> Detection:
    """Look for one mutant."""
    target = f"{EMULATOR_PREFIX}{mutant}"
    began = process_time()
    examples = 0
    for searcher, number in turns():
        if process_time() - began >= limit:
            break
        with open_target(target, seed=seed) as opened:
            known = known_of(opened)
            effort = ROUNDS[min(number, len(ROUNDS) - 1)]
            found = play(opened, searcher, seed=seed + number, effort=effort)
        examples += found.figures["examples"]
        if found.failures:
            seconds = process_time() - began
            failure = found.failures[0]
            return Detection(
                mutant,
                seed,
                round(seconds, 2),
                examples,
                searcher,
                failure.oracle.name,
                failure.oracle.level,
                shortest(failure, target, seed, known) if small else None,
                failure.message,
            )
    return Detection(mutant, seed, round(process_time() - began, 2), examples)


def turns() -> Iterator[tuple[str, int]]:
    """Who looks next, and how often he did before."""
    for number in count():
        for machine in MACHINES:
            yield machine, number


def shortest(failure: Failure, target: str, seed: int, known: Known) -> int | None:
    """The steps of the smallest story that fails like this."""
    place = Place(target, seed)

    def fails(steps: Sequence[Any]) -> bool:
        played = place.play(steps)
        return failure.oracle.observed(played.header, played.entries) is not None

    steps = steps_of(failure.tape, known)
    if not fails(steps):
        return None
    return counted(minimise(steps, fails, REPLAYS).steps)


def main(arguments: Sequence[str]) -> int:
    """Look for the mutants, write the table; 1 where the goal is not met."""
    parser = argparse.ArgumentParser(prog="detection", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--mutant", action="append", metavar="ID", help="only these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="CPU time for each")
    parser.add_argument("--quick", action="store_true", help="do not make the stories small")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    found: dict[str, Detection] = {}
    names = chosen.mutant or list(MUTANTS)
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        runs = [pool.submit(detect, each, chosen.seed, chosen.limit, not chosen.quick) for each in names]
        for done, run in enumerate(as_completed(runs), start=1):
            each = run.result()
            found[each.mutant] = each
            print(
                f"{done}/{len(names)} {each.mutant}: {each.by} {each.what} {each.seconds}s {each.examples} examples, {each.steps} steps",
                flush=True,
            )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(found[each]) for each in names], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
