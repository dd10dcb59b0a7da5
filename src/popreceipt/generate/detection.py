"""Which mutants fuzzing and lifecycles find without any scenario; how soon, and how short the story is.

For each mutant the machines and the fuzzing take turns until a rule is violated or a check fails that the plain
emulator keeps; or until the limit. Seconds are the CPU time of the process that looks, so that a machine which is busy
with other things falsifies nothing; making the story small comes afterwards. Two mutants are looked for at a time.

    python -m popreceipt.generate.detection [--mutant ID]... [--seed N] [--limit 60] [--out FILE] [--json FILE]
"""

import argparse
import json
import platform
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Final

from popreceipt import fuzz, lifecycle, resources
from popreceipt.emulator.mutants import MUTANTS, find
from popreceipt.fuzz.campaign import Extent
from popreceipt.lifecycle import MACHINES, Effort
from popreceipt.reproduction.bundle import story_of
from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.minimise import counted, minimise
from popreceipt.reproduction.player import Place
from popreceipt.reproduction.steps import Step
from popreceipt.targets import EMULATOR_PREFIX, Target, open_target

LIMIT: Final = 60.0
"""CPU seconds for one mutant, unless told otherwise."""

GOAL: Final = 0.8
"""The share of mutants that should be found."""

FEW_STEPS: Final = 6
"""The steps that the median of the stories should not exceed."""

PROCESSES: Final = 2

FUZZ: Final = "fuzz"

ROUNDS: Final = (Effort(((6, 10),)), Effort(((8, 25),)), Effort(((8, 40),)))
"""What a machine plays when it is its turn, the first time, the second and from the third on: short examples first."""

EXTENTS: Final = (Extent(8, 12, 6), Extent(30, 50, 8))
"""How far fuzzing looks when it is its turn, the first time and from the second on."""

REPLAYS: Final = 800
"""How often a story is played to make it small."""

PATIENCE: Final = 40.0
"""CPU seconds that making one story small may take: after that it stays as it is."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What became of the search for one mutant.

    Args:
        mutant: its id.
        seed: of the search.
        seconds: CPU seconds until it was found, or until the search was given up.
        examples: examples of machines, and cases of fuzzing, until then.
        by: the machine, or fuzz; None where it was not found.
        what: the rule, or the check and its operation.
        level: of the rule.
        steps: of the story when it was made small, jobs that are made not counted; None where it does not fail again.
        message: what was observed; where nothing was, why not.
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


@dataclass(frozen=True, slots=True)
class Looked:
    """One turn: what was played, what it found, and how often each rule had something to judge."""

    examples: int
    failures: Sequence[Failure]
    exercised: Mapping[str, int]


def detect(mutant: str, seed: int, limit: float, usual: frozenset[str]) -> Detection:
    """Look for one mutant.

    Args:
        mutant: its id.
        seed: of the search.
        limit: CPU seconds.
        usual: what the plain emulator shows as well.
    """
    target = f"{EMULATOR_PREFIX}{mutant}"
    began = process_time()
    examples = 0
    exercised: Counter[str] = Counter()
    for who, number in turns():
        if process_time() - began >= limit:
            break
        with open_target(target, seed=seed) as opened:
            looked = look(opened, who, number, seed, usual)
        examples += looked.examples
        exercised.update(looked.exercised)
        if looked.failures:
            seconds = process_time() - began
            failure = looked.failures[0]
            steps = shortest(failure, Place(target, seed))
            what, level = failure.oracle.name, failure.oracle.level.value
            return Detection(mutant, seed, round(seconds, 2), examples, who, what, level, steps, failure.message)
    return Detection(
        mutant, seed, round(process_time() - began, 2), examples, message=why_not(find(mutant).convicted_by, exercised)
    )


def turns() -> Iterator[tuple[str, int]]:
    """Who looks next, and how often he did before: all machines twice, then the fuzzing."""
    for number in count():
        for machine in MACHINES:
            yield machine, number
        if number % 2 == 1:
            yield FUZZ, number // 2


def look(target: Target, who: str, number: int, seed: int, usual: frozenset[str]) -> Looked:
    """One turn of a machine or of the fuzzing."""
    if who == FUZZ:
        extent = EXTENTS[min(number, len(EXTENTS) - 1)]
        fuzzed = fuzz.run(target, seed=seed + number, extent=extent)
        found = [each for each in fuzzed.failures if each.oracle.name not in usual]
        return Looked(int(fuzzed.figures["cases"]), found, {})
    effort = ROUNDS[min(number, len(ROUNDS) - 1)]
    played = lifecycle.run(target, who, seed=seed + number, effort=effort, strict=True, ignored=usual)
    return Looked(played.figures["examples"], played.failures, played.figures["exercised"])


def why_not(rules: Sequence[str], exercised: Mapping[str, int]) -> str:
    """Why a mutant was not found, as far as can be told: what its rules had to judge."""
    told = [
        f"{rule} held in {exercised[rule]} examples" if exercised.get(rule) else f"no example exercised {rule}"
        for rule in rules
    ]
    return "; ".join(told)


def shortest(failure: Failure, place: Place) -> int | None:
    """The steps of the smallest story that fails like this; None where the story does not fail again."""
    began = process_time()

    def fails(steps: Sequence[Step]) -> bool:
        if process_time() - began > PATIENCE:
            return False
        played = place.play(steps)
        return failure.oracle.observed(played.header, played.entries) is not None

    steps, failed_again = story_of(failure, place)
    return counted(minimise(steps, fails, REPLAYS).steps) if failed_again else None


def shown_by_the_plain_emulator(seed: int, limit: float) -> frozenset[str]:
    """The rules and checks that the same search finds on the plain emulator: nothing, as long as all is well."""
    began = process_time()
    found: set[str] = set()
    for who, number in turns():
        if process_time() - began >= limit:
            break
        with open_target(EMULATOR_PREFIX, seed=seed) as opened:
            looked = look(opened, who, number, seed, frozenset())
        found |= {each.oracle.name for each in looked.failures}
    return frozenset(found)


# The report


def report(found: Sequence[Detection], limit: float, usual: frozenset[str]) -> str:
    """The table, with the figures that matter before it, and those that were not found after it."""
    caught = [each for each in found if each.by is not None]
    missed = [each for each in found if each.by is None]
    seconds = [each.seconds for each in caught]
    steps = [each.steps for each in caught if each.steps is not None]
    lines = [
        "# What fuzzing and lifecycles find",
        "",
        "Generated by `python -m popreceipt.generate.detection --out specs/DETECTION.md`; no conformance scenario is",
        f"played. Each mutant was looked for during at most {limit:g} s of CPU time, two at a time, on",
        f"{platform.machine()} with Python {platform.python_version()}; making stories small comes on top.",
        "",
        f"- found: {len(caught)} of {len(found)} mutants ({len(caught) / len(found):.1%}; the goal is {GOAL:.0%})",
    ]
    if caught:
        lines += [
            f"- CPU seconds to detection: median {statistics.median(seconds):.2f}, most {max(seconds):.2f}",
            f"- by: {', '.join(f'{who} {number}' for who, number in Counter(e.by for e in caught).most_common())}",
        ]
    if steps:
        lines.append(
            f"- steps of the story made small, jobs that are made not counted: median {statistics.median(steps):g} "
            f"(the goal is at most {FEW_STEPS}), most {max(steps)}; {len(caught) - len(steps)} did not fail again alone"
        )
    lines += [
        f"- on the plain emulator the same search shows: {', '.join(sorted(usual)) or 'nothing'}",
        "",
        "| mutant | found by | rule or check | level | seed | CPU s | examples | steps |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {e.mutant} | {e.by} | {e.what} | {e.level} | {e.seed} | {e.seconds:.2f} | {e.examples} | {_told(e.steps)} |"
        for e in caught
    ]
    if missed:
        lines += ["", "## Not found", "", "| mutant | seed | CPU s | examples | why not |", "|---|---:|---:|---:|---|"]
        lines += [f"| {e.mutant} | {e.seed} | {e.seconds:.2f} | {e.examples} | {e.message} |" for e in missed]
    return "\n".join(lines) + "\n"


def _told(steps: int | None) -> str:
    return "–" if steps is None else str(steps)


def main(arguments: Sequence[str]) -> int:
    """Look for the mutants, write the table; 1 where a goal is not met."""
    parser = argparse.ArgumentParser(prog="detection", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--mutant", action="append", metavar="ID", help="only these")
    parser.add_argument("--seed", type=int, default=0, help="of every search")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="CPU time for each mutant")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the table, such as {resources.specs()}/DETECTION.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same as JSON")
    chosen = parser.parse_args(arguments)
    names = [find(each).id for each in chosen.mutant] if chosen.mutant else list(MUTANTS)
    done: dict[str, Detection] = {}
    # Fresh processes: whoever measures may run threads of his own, which a fork would not survive.
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        usual = pool.submit(shown_by_the_plain_emulator, chosen.seed, chosen.limit).result()
        runs = [pool.submit(detect, each, chosen.seed, chosen.limit, usual) for each in names]
        for run in as_completed(runs):
            each = run.result()
            done[each.mutant] = each
            said = f"{each.by}: {each.what}, {_told(each.steps)} steps" if each.by else f"not found, {each.message}"
            print(f"{len(done)} of {len(names)}: {each.mutant}: {each.seconds} s, {said}", flush=True)
    found = [done[each] for each in names]
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n", encoding="utf-8")
    text = report(found, chosen.limit, usual)
    if chosen.out is not None:
        chosen.out.write_text(text, encoding="utf-8")
    print("\n".join(line for line in text.splitlines() if line.startswith("- ")))
    steps = [each.steps for each in found if each.steps is not None]
    enough = sum(each.by is not None for each in found) >= GOAL * len(found)
    return 0 if enough and (not steps or statistics.median(steps) <= FEW_STEPS) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
