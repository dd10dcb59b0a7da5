"""Two targets under the same load, in turns: which of them is the slower one shows only so.

In each round both get the same arrivals, one straight after the other, and which comes first changes from round to
round by chance: a machine that becomes slower on its way, or favours the second, favours neither. It compares nothing:
module `gates.paired` does.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from popreceipt.exceptions import UsageError
from popreceipt.load.folder import RESULT
from popreceipt.load.judging import judge_run
from popreceipt.load.plan import LoadPlan
from popreceipt.load.result import LoadResult
from popreceipt.load.running import Options, Watch, run_load

BEFORE: Final = "before"
AFTER: Final = "after"

MOST: Final = 100
"""Rounds that are taken at most."""

Tell = Callable[[str], None]


def orders(rounds: int, seed: int) -> Iterator[tuple[str, str]]:
    """Which of both comes first in each round: in each two of them one comes first once, which of them by chance."""
    chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
    first = (BEFORE, AFTER)
    for number in range(rounds):
        if number % 2 == 0:
            first = (BEFORE, AFTER) if chance.random() < 0.5 else (AFTER, BEFORE)
        else:
            first = (first[1], first[0])
        yield first


def take(
    plan: LoadPlan, before: Options, after: Options, rounds: int, watch: Watch, tell: Tell
) -> Iterator[LoadResult]:
    """Take the rounds: each leaves a folder `NN-before` and one `NN-after` below the second's folder; yields each run.

    Args:
        plan: of each run; its seed is that of the first round, and each further one has the next.
        before: the target that is compared with.
        after: the one to be let pass; its folder takes the rounds.
        rounds: how many.
        watch: told how a run goes.
        tell: told which run begins.

    Raises:
        UsageError: too few or too many rounds, or a target cannot be used. One may be compared with itself: what
            differs then is noise.
        NothingProved: a run could not be begun.
    """
    if not 1 <= rounds <= MOST:
        raise UsageError(f"From 1 to {MOST} rounds can be taken, not {rounds}.")
    for number, order in enumerate(orders(rounds, plan.seed), 1):
        for side in order:
            options = replace(after if side == AFTER else before, folder=folder_of(after.folder, number, side))
            tell(f"round {number} of {rounds}, {side}: {options.target}")
            run_load(msgspec.structs.replace(plan, seed=plan.seed + number - 1), options, watch)
            result = judge_run(options.folder)
            result.write(options.folder / RESULT)
            yield result


def folder_of(folder: Path, number: int, side: str) -> Path:
    """Where a run of a round is left."""
    return folder / f"{number:02d}-{side}"
