"""Which rule convicts which mutant: the conformance suites, played against every wrong emulator."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count

from popreceipt.emulator.mutants import MUTANTS
from popreceipt.targets import EMULATOR_PREFIX, open_target
from popreceipt.verdict import Level, Outcome, Verdicts
from popreceipt.verification import verify

Kills = Mapping[str, Sequence[str]]
"""Ids of the rules that convict each mutant, by the mutant's id."""


def verdicts_on(target: str, seed: int = 0) -> Verdicts:
    """The verdicts of the whole conformance suite on an emulator in this process."""
    with open_target(target, seed=seed) as opened:
        return verify(opened, seed=seed)


def violated_on(target: str) -> list[str]:
    """The MUST and SHOULD rules that a target violates."""
    return [each.id for each in verdicts_on(target).with_outcome(Outcome.VIOLATED) if each.level is not Level.ASK]


def measured_kills(progress: Callable[[str], None] | None = None, processes: int | None = None) -> Kills:
    """Play the suites against every mutant, several at a time."""
    kills: dict[str, Sequence[str]] = {}
    # Fresh processes: whoever measures may run threads of his own, which a fork would not survive.
    with ProcessPoolExecutor(processes or cpu_count(), get_context("spawn")) as pool:
        names = list(MUTANTS)
        targets = [f"{EMULATOR_PREFIX}{name}" for name in names]
        for name, violated in zip(names, pool.map(violated_on, targets), strict=True):
            kills[name] = violated
            if progress is not None:
                progress(f"{len(kills)} of {len(names)}: {name} is convicted by {', '.join(violated) or 'nothing'}")
    return kills
