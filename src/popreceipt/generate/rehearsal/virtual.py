"""The same tour in virtual time: every dialect, and every mutant, in an emulator of this process.

A tour of two leases, or of eight days, takes less than a second here. What is missing beside a stranger is the
network: the process, the handshake, the clock that runs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from popreceipt.emulator.mutants import MUTANTS, find
from popreceipt.emulator.profile import Profile, load_profile
from popreceipt.fingerprints.tour import BEGAN, EVERY, AsTenant
from popreceipt.generate.combined import Points, named, written
from popreceipt.generate.rehearsal import bounds, checks
from popreceipt.journal import Exchange
from popreceipt.rules import catalogue
from popreceipt.rules import find as find_rule
from popreceipt.rules.eras import judge_eras
from popreceipt.tour.errands import errands
from popreceipt.tour.planning import plan
from popreceipt.tour.tour import Toured
from popreceipt.verdict import Level, Outcome, RuleVerdict

EACH_MINUTE: Final[Mapping[str, timedelta | None]] = {
    "every": timedelta(minutes=1),
    "exports_for": timedelta(hours=2),
}
"""Exports come as soon as a tour wants them; a week of them that nobody looks at would only take time."""

GOING_ON: Final[Mapping[str, timedelta | None]] = {"every": timedelta(minutes=15), "exports_for": None}
"""Exports that never cease, as in a real environment."""

NOT_CONVICTED: Final[Mapping[str, str]] = {
    "runs-half-a-minute-early": "its runs are as far apart as they should be, and from when on they count nobody tells",
    "preprocessing-before-the-run": "a late run that goes on, and takes what comes meanwhile, looks the same",
    "clean-up-takes-other-jobs-along": "a tour cleans nothing up",
    "later-file-updates-nothing": "records are not on the wire",
    # With larger ones packages.export-is-a-package convicts it: what was cut is no package.
    "large-files-cut": "what an emulator exports by itself is smaller than what it cuts",
    "packages-packed-anew": "a package that was packed anew is one, and the same at each download",
    # It is convicted by download.bytes-as-uploaded.
    "missing-file-not-said": "whether a file that is not there was lost, or never uploaded, is not on the wire",
    "refused-enqueue-makes-a-message": "what a refused enqueue leaves behind is in Manage messages alone",
}
"""Mutants that no tour convicts although it shows their rules in other places, each with the reason."""


SHOWN_WHERE: Final[Mapping[str, Mapping[str, Any]]] = {
    # Two runs meet only where one outlasts a recurrence, and the recurrence starts another all the same.
    "order-within-a-run-only": {
        "profile": Profile(batch_overrun="joins", preprocessing=timedelta(seconds=20), processing=timedelta(seconds=40))
    },
    # Nothing is monitored where nobody sets it.
    "monitoring-starts-the-batch": {"jobs": {"import-in-order": {"monitoring_recurrence_minutes": 1}}},
}
"""Mutants that do nothing wrong in a usual environment: how one is in which they do, as options of `AsTenant`."""


@dataclass(frozen=True, slots=True)
class Virtual:
    """A tour in virtual time.

    Args:
        name: the dialect's, or the mutant's.
        problems: what should not be, in words.
        decided: how many rules were decided.
        seen: the open points of which something was seen.
        convicted_by: rules that were violated.
        requests: how many were sent.
        days: how long it took, of the emulator's time.
    """

    name: str
    problems: tuple[str, ...]
    decided: int
    seen: frozenset[str]
    convicted_by: tuple[str, ...]
    requests: int
    days: float


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether a tour convicts a mutant of a rule that is about it.

    Args:
        mutant: its id.
        rules: the MUST rules that are about it and that a tour shows; none where only a control plane shows them.
        convicted_by: those of them that were violated.
        others: other MUST rules that were violated.
    """

    mutant: str
    rules: tuple[str, ...]
    convicted_by: tuple[str, ...]
    others: tuple[str, ...]


def under(points: Points, *, seed: int = 0, exports: Mapping[str, timedelta | None] = EACH_MINUTE) -> Virtual:
    """Tour an emulator that answers these points otherwise, and whose exports come so."""
    with TemporaryDirectory() as folder:
        profile = load_profile(str(written(points, Path(folder))))
    emulator = as_tenant(profile, exports, seed=seed)
    began = emulator.emulator.clock.now()
    toured = emulator.toured()
    return Virtual(
        name=named(points),
        problems=problems_of(toured, profile),
        decided=len([each for each in toured.verdicts.rules if each.outcome in checks.DECIDED]),
        seen=frozenset(checks.seen(toured.verdicts.rules, toured.verdicts.target["abilities"])),
        convicted_by=tuple(each.id for each in toured.verdicts.with_outcome(Outcome.VIOLATED)),
        requests=len(exchanges_of(toured)),
        days=(emulator.emulator.clock.now() - began).total_seconds() / 86_400,
    )


def as_tenant(profile: Profile, exports: Mapping[str, timedelta | None], **options: Any) -> AsTenant:
    """An emulator as a tenant, whose exports come so."""
    return AsTenant(profile, every=exports["every"] or EVERY, exports_for=exports["exports_for"], **options)


def problems_of(toured: Toured, profile: Profile) -> tuple[str, ...]:
    """What should not be, in words."""
    planned = toured.plan.as_json()
    rules = toured.verdicts.rules
    unfinished = [f"the errand {each.errand} was {each.how}: {each.why}" for each in toured.states if each.why]
    return (
        *([] if toured.verdicts.complete else unfinished or ["the tour is not complete"]),
        *checks.false_convictions(rules),
        *checks.left_open(planned, rules, profile),
        *checks.untrue(rules, toured.verdicts.target["abilities"], profile),
        *bounds.outside(planned, exchanges_of(toured)),
    )


class _TimeIsUp(BaseException):
    """Two leases are over."""


class _Impatient(AsTenant):
    """An emulator whose tours end after two leases."""

    def moved(self, seconds: float) -> datetime:
        """Let its time pass, up to the end of two leases."""
        if self.emulator.clock.now() + timedelta(seconds=seconds) > BEGAN + checks.TWO_LEASES:
            raise _TimeIsUp
        return super().moved(seconds)


def left_open_after_two_leases(points: Points) -> list[str]:
    """What a tour of two leases leaves open that takes no longer, where exports run each minute; and what is wrong."""
    with TemporaryDirectory() as folder:
        profile = load_profile(str(written(points, Path(folder))))
    emulator = _Impatient(profile, every=timedelta(minutes=1))
    with suppress(_TimeIsUp):
        emulator.toured()
    journal = emulator.journal
    planned = plan(emulator.tenant, errands(emulator.tenant), patience_seconds=0).as_json()
    verdicts = judge_eras(journal.header, journal.entries, catalogue())
    return [
        *checks.false_convictions(verdicts),
        *checks.left_open(planned, verdicts, profile, but=checks.LONGER),
        *checks.untrue(verdicts, journal.header.target.abilities, profile),
    ]


def exchanges_of(toured: Toured) -> Sequence[Exchange]:
    """Everything that was sent."""
    return [each for each in toured.entries if isinstance(each, Exchange)]


def claim(mutant: str) -> Claim:
    """Tour a mutant: for two leases, and for eight days where no rule about it convicts it by then."""
    about = [each for each in find(mutant).convicted_by if find_rule(each).level is Level.MUST]
    options = {"profile": Profile(), **SHOWN_WHERE.get(mutant, {})}
    tenant = AsTenant(**options).tenant
    run = plan(tenant, errands(tenant), patience_seconds=0).run
    shown = {rule for each in run for rule in each.shows}
    violated: list[str] = []
    if shown & set(about):
        quick = _Impatient(**options, mutant=mutant, every=timedelta(minutes=1))
        with suppress(_TimeIsUp):
            quick.toured()
        violated = _violated(judge_eras(quick.journal.header, quick.journal.entries, catalogue()))
        if not set(violated) & set(about):
            violated += _violated(as_tenant(**options, exports=GOING_ON, mutant=mutant).toured().verdicts.rules)
    return Claim(
        mutant,
        tuple(each for each in about if each in shown),
        tuple(each for each in dict.fromkeys(violated) if each in about),
        tuple(each for each in dict.fromkeys(violated) if each not in about),
    )


def _violated(verdicts: Iterable[RuleVerdict]) -> list[str]:
    return [each.id for each in verdicts if each.outcome is Outcome.VIOLATED and each.level is Level.MUST]


def claims(progress: Callable[[str], None], mutants: Sequence[str] = tuple(MUTANTS)) -> Iterator[Claim]:
    """Tour mutants, several at a time."""
    # Fresh processes: whoever measures may run threads of his own, which a fork would not survive.
    with ProcessPoolExecutor(cpu_count(), get_context("spawn")) as pool:
        for number, found in enumerate(pool.map(claim, mutants), 1):
            said = ", ".join(found.convicted_by) or ("nothing" if found.rules else "nothing, as no tour shows its rule")
            progress(f"{number} of {len(mutants)}: {found.mutant} is convicted by {said}")
            yield found
