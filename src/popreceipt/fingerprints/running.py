"""Taking a fingerprint from a target, and playing the same on the emulator under it.

It lets the suites drive and reads what they found. What a server's choices are, and where two of them part, is decided
elsewhere.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from popreceipt import __version__, verification
from popreceipt.clock import SystemClock
from popreceipt.emulator.profile import load_profile
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.fingerprints import comparing, taking
from popreceipt.fingerprints.shapes import Shapes, shapes_of
from popreceipt.fingerprints.taking import Fingerprint
from popreceipt.fingerprints.tour import AsTenant, Described
from popreceipt.journal import Entry, Exchange, Observation
from popreceipt.recordings import open_recording
from popreceipt.reports import result
from popreceipt.rules import find
from popreceipt.rules.rule import Rule
from popreceipt.targets import EMULATOR_PREFIX, JOURNAL_PREFIX, TENANT_PREFIX, Target, open_target
from popreceipt.tenants.description import FURTHER_CLIENTS, ROLES
from popreceipt.verdict import Outcome

PROFILE = f"{EMULATOR_PREFIX}profile="

EXPORTS_FOR: Final = (None, timedelta(hours=2))
"""How long the emulator's exports run in tours that a tenant's is held against: those of a tenant do as they please."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run, played or read back: its side of a comparison, and what else is told of it.

    Args:
        side: verdicts and shapes of answers.
        abilities: of the target.
        clock: the kind of its clock.
        seed: of what was made up.
        means: how it was driven.
        described: how a tenant was described.
    """

    side: comparing.Side
    abilities: frozenset[str]
    clock: str
    seed: int
    means: str
    described: Described | None = None

    def fingerprint(self, label: str = "") -> Fingerprint:
        """What the run tells of the server's choices.

        Raises:
            NothingProved: nothing.
        """
        return taking.taken(
            self.side.rules.values(),
            self.abilities,
            means=self.means,
            clock=self.clock,
            day=SystemClock().now().date(),
            by=__version__,
            label=label,
        )


@contextmanager
def opened(text: str, **options: Any) -> Iterator[Target]:
    """The target that a string names, for as long as the block lasts.

    Raises:
        UsageError: there is no such target, or nobody can be asked there.
        NothingProved: it cannot be reached.
    """
    if text.startswith(JOURNAL_PREFIX):
        raise UsageError("A recording answers no questions: judge it with --out DIR, then take --from DIR.")
    if text.startswith(TENANT_PREFIX):
        raise UsageError(
            f"A tenant is asked by its tour: popreceipt verify --target {text} --out DIR, then "
            "popreceipt fingerprint --from DIR."
        )
    with open_target(text, **options) as target:
        yield target


def play(
    target: Target, *, seed: int = 0, everything: bool = False, progress: verification.Progress | None = None
) -> Run:
    """Play the scenarios that ask, or all of them, on a target.

    Args:
        target: whom to ask.
        seed: of everything that is made up.
        everything: all scenarios rather than those that ask.
        progress: told how far it is.

    Raises:
        NothingProved: nothing could be played.
    """
    rules = () if everything else taking.questions()
    verdicts = verification.verify(target, seed=seed, rule_ids=rules, progress=progress)
    side = comparing.Side.of(verdicts.rules, shapes_of(target.journal.exchanges()))
    return Run(side, target.abilities, target.times.kind, seed, taking.SCENARIOS)


def play_alike(run: Run, profile: Path, *, progress: verification.Progress | None = None) -> comparing.Side:
    """Play everything on the emulator under a profile, as though it were able to do no more than a run's target.

    Raises:
        UsageError: the profile cannot be read.
        NothingProved: nothing could be played.
    """
    if run.described is not None:
        shown = [find(name) for name, each in run.side.rules.items() if each.outcome is not Outcome.UNEXERCISED]
        answers = load_profile(str(profile))
        return _toured([AsTenant(answers, run.described, run.seed, exports_for=each) for each in EXPORTS_FOR], shown)
    with open_target(f"{PROFILE}{profile}", seed=run.seed) as emulator:
        able = emulator.abilities & run.abilities
        header = emulator.journal.header
        emulator.journal.header = msgspec.structs.replace(
            header, target=msgspec.structs.replace(header.target, abilities=tuple(sorted(able)))
        )
        return play(replace(emulator, abilities=able), seed=run.seed, everything=True, progress=progress).side


def _toured(emulators: Sequence[AsTenant], shown: Collection[Rule]) -> comparing.Side:
    """The emulator's side of a comparison with a tenant of which these rules were shown.

    Rules are the first one's. What only some of them answer hangs on their exports, not on who they are.
    """
    toured = [each.toured(shown) for each in emulators]
    exchanges = [[entry for entry in each.entries if isinstance(entry, Exchange)] for each in toured]
    shapes = shapes_of(chain.from_iterable(exchanges))
    each_one = [shapes_of(each) for each in exchanges]
    seldom = {
        operation: {shape for shape in found if not all(shape in each.get(operation, {}) for each in each_one)}
        for operation, found in shapes.items()
    }
    return comparing.Side({each.id: each for each in toured[0].verdicts.rules}, shapes, seldom)


def read(folder: Path, *, with_journal: bool = False) -> Run:
    """A finished run, from the folder that it left: its verdicts, and for a comparison its journal.

    Raises:
        UsageError: there is no result, it did not come to its end, or the journal is missing or damaged.
        NothingProved: it asked nothing that the documentation leaves open.
    """
    file = result.read(folder)
    if not file.complete:
        raise UsageError(f"The result {file.path} is of a run that did not come to its end: finish it first.")
    if not any(each.id in taking.questions() for each in file.rules):
        raise NothingProved(f"The result {file.path} has no rule that asks: there is no fingerprint in it.")
    means = means_of(str(file.target.get("name", "")))
    abilities = frozenset(str(each) for each in file.target.get("abilities", ()))
    shapes: Shapes = {}
    described = None
    if with_journal:
        if file.journal is None:
            raise UsageError(f"Beside {file.path} there is no journal.ndjson, which tells the shapes of answers.")
        entries = list(open_recording(file.journal))
        shapes = shapes_of(each for each in entries if isinstance(each, Exchange))
        if means == taking.TOUR:
            described = described_in(entries, abilities)
    return Run(
        comparing.Side.of(file.rules, shapes),
        abilities,
        str(file.target.get("clock", "")),
        file.seed or 0,
        means,
        described,
    )


def described_in(entries: Iterable[Entry], abilities: Collection[str]) -> Described:
    """How the tenant was described whose tour left this journal."""
    settings = {
        str(told.get("name")): told
        for each in entries
        if isinstance(each, Observation)
        and each.observation == "activity"
        and isinstance(told := each.facts.get("settings"), Mapping)
        and told.get("name") in ROLES
    }
    return Described(settings, tuple(role for role in FURTHER_CLIENTS if f"{role}-client" in abilities))


def means_of(target: str) -> str:
    """How a target of this name is driven."""
    if target.startswith(TENANT_PREFIX):
        return taking.TOUR
    return taking.RECORDING if target.startswith(JOURNAL_PREFIX) else taking.SCENARIOS
