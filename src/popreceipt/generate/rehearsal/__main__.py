"""Write specs/REHEARSAL.md anew: what a tour decides under every dialect, and which mutants it convicts.

In virtual time all dialects one by one, all mutants, and a tour that is killed at one request after the other; then
strangers over TLS, several at a time.

    python -m popreceipt.generate.rehearsal [--strangers all|combined|none] [--rate 300] [--jobs 3] [--retention]
        [--kills STEP] [--out FILE]
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, get_args

from popreceipt import resources
from popreceipt.emulator.profile import POINTS
from popreceipt.generate.combined import PROFILES, SINGLES, Points, named
from popreceipt.generate.rehearsal import leaking, virtual
from popreceipt.generate.rehearsal.killing import Kill, When, lost, mortal
from popreceipt.generate.rehearsal.rehearsing import Rehearsed, rehearse
from popreceipt.generate.rehearsal.stranger import Manner
from popreceipt.rules import catalogue

RETENTION: Final = Manner(rate=2000.0, export_every=15)
"""Eight days in six minutes: slow enough for what happens in minutes of them."""

EIGHT_DAYS: Final = 720.0
"""Real seconds that they may take."""


@dataclass
class Findings:
    """What the rehearsal came to."""

    dialects: list[virtual.Virtual] = field(default_factory=list)
    claims: list[virtual.Claim] = field(default_factory=list)
    kills: int = 0
    losses: list[str] = field(default_factory=list)
    strangers: list[tuple[str, Rehearsed]] = field(default_factory=list)
    looked: leaking.Looked = field(default_factory=leaking.Looked)

    @property
    def problems(self) -> Iterator[str]:
        """Everything that should not be."""
        yield from (f"{each.name}: {problem}" for each in self.dialects for problem in each.problems)
        yield from (f"{name} over TLS: {problem}" for name, each in self.strangers for problem in each.problems)
        yield from (
            f"{name} over TLS: {each}" for name, met in self.strangers for each in met.open if "parked" not in each
        )
        yield from self.losses
        yield from self.looked.problems
        yield from (
            f"{each.mutant} is not convicted by {' or '.join(each.rules)}"
            for each in self.claims
            if each.rules and not each.convicted_by and each.mutant not in virtual.NOT_CONVICTED
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse, write the table, and tell what should not be; 1 where there is anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strangers", choices=("all", "combined", "none"), default="all", help="whom to meet over TLS")
    parser.add_argument("--rate", type=float, default=300.0, help="seconds of a stranger's clock in a real one")
    parser.add_argument("--jobs", type=int, default=3, help="strangers at once")
    parser.add_argument("--retention", action="store_true", help="also eight days over TLS, in six minutes")
    parser.add_argument("--kills", type=int, default=5, help="kill the tour at every so manieth request; 0 for never")
    parser.add_argument("--out", type=Path, default=resources.specs() / "REHEARSAL.md", help="the table")
    options = parser.parse_args(arguments)
    found = Findings()
    for points in ({}, *SINGLES):
        found.dialects.append(virtual.under(points))
        say(f"{found.dialects[-1].name}: {len(found.dialects[-1].problems)} problems")
    found.dialects.append(virtual.under({}, exports=virtual.GOING_ON))
    found.claims += virtual.claims(say)
    if options.kills:
        found.losses += kill(found, options.kills)
    if options.strangers != "none":
        profiles = ({}, *SINGLES) if options.strangers == "all" else PROFILES
        found.strangers += meet(profiles, options.rate, options.jobs)
        with TemporaryDirectory() as folder:
            found.looked = leaking.look(Path(folder))
        say(f"{len(found.looked.ran)} commands left {len(found.looked.problems)} secrets")
    if options.retention:
        found.strangers += meet_for_eight_days()
    options.out.write_text(table(found), encoding="utf-8")
    problems = list(found.problems)
    for each in problems:
        say(each)
    return 1 if problems else 0


def kill(found: Findings, step: int) -> Iterator[str]:
    """Kill a tour at one request after the other, on both sides of it; the verdicts that were lost, in words."""
    with TemporaryDirectory() as folder:
        whole, _ = mortal(Path(folder) / "whole").through(())
        requests = len(virtual.exchanges_of(whole))
        for number in range(1, requests + 1, step):
            for when in get_args(When):
                toured, met = mortal(Path(folder) / f"{number}-{when}").through([Kill(number, when)])
                found.kills += met
                yield from (f"killed {when} request {number}: {each}" for each in lost(whole, toured))
            say(f"killed at request {number} of {requests}")


def meet(profiles: Sequence[Points], rate: float, jobs: int) -> list[tuple[str, Rehearsed]]:
    """Rehearse on strangers with these profiles, several at a time."""

    def one(points: Points) -> tuple[str, Rehearsed]:
        with TemporaryDirectory() as folder:
            done = rehearse(Path(folder), Manner(points=points, rate=rate))
        say(f"{named(points)} over TLS: {len(done.problems)} problems in {done.seconds:.0f} s")
        return named(points), done

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, profiles))


def meet_for_eight_days() -> list[tuple[str, Rehearsed]]:
    """Rehearse what takes eight days."""
    with TemporaryDirectory() as folder:
        patience = f"{EIGHT_DAYS:.0f}s"
        done = rehearse(
            Path(folder), RETENTION, patience=patience, arguments=("--chapter", "retention"), longest=EIGHT_DAYS
        )
    return [("eight days", done)]


def table(found: Findings) -> str:
    """The file's text."""
    shown = [each for each in found.claims if each.rules]
    convicted = [each for each in shown if each.convicted_by]
    seen = frozenset[str]().union(*(each.seen for each in found.dialects))
    decided = sorted(each.decided for each in found.dialects)
    well = len([each for each in found.dialects if not each.problems])
    unseen = [name for name in POINTS if name not in seen]
    lines = [
        "# What a tour decides",
        "",
        "Written by `nox -s rehearsal`. A tour knows a tenant by its wire alone. Here the tenant is the emulator: in",
        "virtual time, and as a stranger over TLS whose clock runs.",
        "",
        f"- Under {len(found.dialects)} dialects, the plain one included, it decides {decided[0]} to {decided[-1]} of",
        f"  {len(catalogue())} rules; {well} of them without a false conviction, a rule left open that",
        "  it was to show, a request outside of its plan, or an untrue fingerprint.",
        f"- {len(shown)} mutants break a MUST that a tour shows, and {len(convicted)} of them are convicted.",
        f"- Of {len(POINTS)} open points it sees {len(seen)}. Unseen: {_listed(unseen) or 'none'}.",
        f"- Killed at {found.kills} places and gone on with, it lost {len(found.losses)} verdicts.",
    ]
    if found.strangers:
        met = len([done for _, done in found.strangers if not done.problems])
        seconds = sorted(done.seconds for _, done in found.strangers)
        parked = sum(len(done.open) for _, done in found.strangers)
        lines += [
            f"- Met over TLS: {len(found.strangers)} strangers, {met} without a problem, in {seconds[0]:.0f} to",
            f"  {seconds[-1]:.0f} real seconds each; {parked} rules were parked after two leases, all together.",
        ]
    if found.looked.ran:
        lines += [
            f"- {len(found.looked.ran)} commands over strangers that say back every secret and token, in many",
            f"  spellings, left {len(found.looked.problems)} of them in what they wrote and said.",
        ]
    lines += [
        "",
        "## Mutants",
        "",
        "| mutant | MUST rules about it that a tour shows | convicted by |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{each.mutant}` | {_listed(each.rules)} | {_listed(each.convicted_by) or '**nothing**'} |" for each in shown
    ]
    beyond = [each.mutant for each in found.claims if not each.rules]
    lines += ["", f"No tour shows what {len(beyond)} others break: {_listed(beyond)}."]
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)


def say(words: str) -> None:
    """Tell how far it is."""
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
