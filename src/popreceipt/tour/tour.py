"""A tour from its beginning, or from where it was left, to its verdicts.

It keeps the folder: one process at a time, a journal and a ledger that grow line by line, and results that are only
there when a run came to its end. What is sent, and when, others know.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from popreceipt import __version__
from popreceipt.client.session import longest
from popreceipt.client.transport import TOO_LONG
from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import Earlier, Entry, Exchange, Journal, left_in
from popreceipt.reports import junit, verdict_file
from popreceipt.rules import find
from popreceipt.rules.rule import Rule
from popreceipt.targets import DATES_TAKEN, Target
from popreceipt.tenants.description import Tenant
from popreceipt.tenants.guard import TenantGuard
from popreceipt.tour import ledger as ledgers
from popreceipt.tour.errand import Errand
from popreceipt.tour.ledger import CannotKeep, Ledger, Terms, alone_in
from popreceipt.tour.planning import Plan, plan
from popreceipt.tour.running import How, Person, State, Tour
from popreceipt.tour.verdicts import judged
from popreceipt.tour.waiting import Here, Interruption, Patience, Silent, Watcher, continued, real_seconds_until
from popreceipt.verdict import Verdicts
from popreceipt.vocabulary import OTHER

JOURNAL: Final = "journal.ndjson"

RESULTS: Final = ("verdicts.json", "junit.xml")

Open = Callable[[int], AbstractContextManager[Target]]
"""Opens the target, under a seed: the first moment at which anything is sent."""


@dataclass(frozen=True)
class Toured:
    """What came of a tour.

    Args:
        verdicts: on the whole of it, earlier processes included.
        states: what became of its errands.
        plan: what it was to do.
        journal: what crossed the wire.
        nothing_left: it was over before; nothing was sent.
        longest_wait_seconds: how long it is in real time until the last of what is parked can go on.
    """

    verdicts: Verdicts
    states: tuple[State, ...]
    plan: Plan
    journal: Journal
    nothing_left: bool = False
    longest_wait_seconds: float = 0.0

    @property
    def parked(self) -> tuple[State, ...]:
        """Errands that wait for something that nobody waits for now."""
        return tuple(each for each in self.states if each.how is How.PARKED)

    @property
    def entries(self) -> Sequence[Entry]:
        """The journal's."""
        return self.journal.entries


def drive(
    tenant: Tenant,
    errands: Sequence[Errand],
    opening: Open,
    *,
    seed: int | None = None,
    rules: Sequence[Rule] | None = None,
    patience: Patience,
    out: Path | None = None,
    resume: bool = False,
    person: Person | None = None,
    watcher: Watcher | None = None,
    interruption: Interruption | None = None,
    version: str = __version__,
) -> Toured:
    """Tour a tenant, or go on with the tour in a folder, and judge what crossed the wire.

    Args:
        tenant: its description.
        errands: all that there are for it.
        opening: opens it.
        seed: of everything that is made up; None for 0, or for that of the tour that is gone on with.
        rules: show only these; None for all, or for those of the tour that is gone on with.
        patience: how long waits may take in this process.
        out: the folder for journal, ledger and results; None keeps nothing.
        resume: go on with the tour in the folder.
        person: does what only a person can do.
        watcher: is told how far it is.
        interruption: how it is broken off.
        version: of this program: what one version began, another does not go on with.

    Raises:
        UsageError: the folder holds something else, another tour, or no tour to go on with; or it is in use.
        NothingProved: the target cannot be reached, or gives no token.
        CannotKeep: what is done cannot be written down any more.
        KeyboardInterrupt: somebody broke it off.
    """
    if resume and out is None:
        raise UsageError("--resume goes on with the tour in a folder: name it with --out DIR.")
    if resume and out is not None and not out.is_dir():
        raise _no_tour_in(out)
    with nullcontext() if out is None else alone_in(out):
        left = None if out is None else _left_in(out, resume=resume)
        if left is not None:
            seed, rules = _same(left, tenant, seed, rules, version)
        planned = plan(
            tenant, errands, rules=rules, assisted=person is not None, patience_seconds=patience.left_seconds
        )
        kept = _Kept(out, left is not None)
        if left is not None and (over := _over(kept, planned)) is not None:
            return over
        if not planned.run:
            reasons = "; ".join(sorted({each.reason for each in planned.errands if each.reason is not None}))
            raise NothingProved(f"No errand can be run on tenant:{tenant.name}: {reasons or 'none shows these rules'}.")
        return _run(
            kept,
            planned,
            opening,
            seed=seed or 0,
            rules=() if rules is None else tuple(each.id for each in rules),
            patience=patience,
            person=person,
            watcher=watcher or Silent(),
            interruption=interruption or Interruption(),
            version=version,
        )


def write_results(verdicts: Verdicts, out: Path) -> None:
    """Write `verdicts.json` and `junit.xml` into the folder.

    Raises:
        CannotKeep: they cannot be written.
    """
    try:
        junit.write(verdicts, out / "junit.xml")
        verdict_file.write(verdicts, out / "verdicts.json")
    except OSError as error:
        raise CannotKeep(out, error) from error


def rules_in(out: Path) -> tuple[Rule, ...] | None:
    """The rules that the tour in a folder was begun for; None for all, or where there is no tour."""
    terms = ledgers.terms_in(out)
    return None if terms is None else _rules_of(terms)


def _rules_of(terms: Terms) -> tuple[Rule, ...] | None:
    return tuple(find(each) for each in terms.rules) or None


def _left_in(out: Path, *, resume: bool) -> Terms | None:
    """The terms of the tour to go on with; None where a new one begins."""
    terms = ledgers.terms_in(out)
    if resume and terms is None:
        raise _no_tour_in(out)
    if not resume and terms is not None and ledgers.unfinished(out):
        raise UsageError(
            f"{out} holds a tour of {terms.target} that is not over: go on with it (--resume), or give another --out. "
            "Whoever does not want it any more deletes the folder."
        )
    return terms if resume else None


def _no_tour_in(out: Path) -> UsageError:
    return UsageError(f"There is no tour in {out} to go on with: leave out --resume, or name its folder (--out).")


def _same(
    terms: Terms, tenant: Tenant, seed: int | None, rules: Sequence[Rule] | None, version: str
) -> tuple[int, Sequence[Rule] | None]:
    """Seed and rules of the tour that is gone on with, if it is the one that is meant.

    Raises:
        UsageError: it was begun under other terms.
    """
    asked = None if rules is None else tuple(sorted(each.id for each in rules))
    activities = {role: each.id for role, each in tenant.activities.items()}
    moved = [role for role in terms.activities if activities.get(role) != terms.activities[role]]
    for differs, what in (
        (terms.target != f"tenant:{tenant.name}", f"of {terms.target}, not of tenant:{tenant.name}"),
        (terms.base_url != tenant.base_url, f"at {terms.base_url}, not at {tenant.base_url}"),
        (bool(moved), f"with other activities ({', '.join(moved)})"),
        (terms.rate != tenant.rate, f"with a clock of rate {terms.rate:g}, not {tenant.rate:g}"),
        (seed is not None and terms.seed != seed, f"with the seed {terms.seed}, not {seed}"),
        (
            asked is not None and tuple(sorted(terms.rules)) != asked,
            "for other rules (leave out --chapter and --rule: they are known)",
        ),
        (terms.version != version, f"by popreceipt {terms.version}, and this is {version}"),
    ):
        if differs:
            raise UsageError(
                f"The tour in this folder was begun {what}. Go on with it as it was begun, or begin another in another "
                "folder (--out)."
            )
    return terms.seed, _rules_of(terms)


class _Kept:
    """The folder of a tour, or none."""

    def __init__(self, out: Path | None, resumed: bool) -> None:
        self.out = out
        self.resumed = resumed

    @property
    def journal(self) -> Path | None:
        return None if self.out is None else self.out / JOURNAL

    def earlier(self) -> Earlier | None:
        """What an earlier process left of the journal."""
        if not self.resumed or self.journal is None:
            return None
        return left_in(self.journal) if self.journal.exists() else None

    def clear(self) -> None:
        """Take away results of earlier runs: they say nothing of this one."""
        if self.out is None:
            return
        for name in RESULTS if self.resumed else (*RESULTS, JOURNAL, ledgers.NAME):
            try:
                (self.out / name).unlink(missing_ok=True)
            except OSError as error:
                raise CannotKeep(self.out / name, error) from error

    def open_journal(self) -> IO[bytes] | None:
        """The journal's file, open for writing and reading."""
        path = self.journal
        if path is None:
            return None
        try:
            return path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise CannotKeep(path, error) from error

    def ledger(self, terms: Terms, *, durable: bool) -> Ledger:
        """The ledger, begun or taken up."""
        if self.resumed and self.out is not None:
            return Ledger.taken_up(self.out, durable=durable)
        return Ledger.begun(terms, self.out, durable=durable)


def _over(kept: _Kept, planned: Plan) -> Toured | None:
    """The verdicts on a tour of which nothing is left to do; None where something is. Nothing is sent."""
    began = stopwatch()
    earlier = kept.earlier()
    if earlier is None or kept.out is None:
        return None
    ledger = Ledger.found_in(kept.out)
    states = []
    for errand in planned.run:
        ended = ledger.book(errand.name).ended
        if ended is None:
            return None
        states.append(State(errand.name, How(ended.how), ended.why))
    journal = Journal(earlier.header)
    if (file := kept.open_journal()) is not None:
        # A process that was killed at its very end has left no footer.
        try:
            journal.go_on(file, earlier)
            journal.seal()
        finally:
            _close(file)
    verdicts = judged(
        journal.header,
        journal.entries,
        planned,
        states,
        asked=ledger.asked,
        waited_seconds=0.0,
        duration_seconds=stopwatch() - began,
    )
    return Toured(verdicts, tuple(states), planned, journal, nothing_left=True)


def _run(
    kept: _Kept,
    planned: Plan,
    opening: Open,
    *,
    seed: int,
    rules: tuple[str, ...],
    patience: Patience,
    person: Person | None,
    watcher: Watcher,
    interruption: Interruption,
    version: str,
) -> Toured:
    began = stopwatch()
    tenant = planned.tenant
    earlier = kept.earlier()
    file: IO[bytes] | None = None
    ledger: Ledger | None = None
    with interruption.handled(), opening(seed) as target:
        journal = target.journal
        durable = target.times.kind == "system"
        notes = []
        try:
            kept.clear()
            file = kept.open_journal()
            if file is not None:
                _go_on(journal, file, earlier)
            terms = Terms(
                target=f"tenant:{tenant.name}",
                base_url=tenant.base_url,
                activities={role: each.id for role, each in tenant.activities.items()},
                seed=seed,
                version=version,
                rate=tenant.rate,
                began=target.times.latest(),
                rules=rules,
                assisted=person is not None,
            )
            ledger = kept.ledger(terms, durable=durable)
            if earlier is not None:
                notes += _taken_up(target, ledger, earlier, patience.here)
            elif ledger.books:
                raise UsageError(f"The journal of the tour in {kept.out} is gone, so it cannot be gone on with.")
            tour = Tour(
                target=target,
                errands=planned.run,
                ledger=ledger,
                own=planned.own,
                patience=patience,
                watcher=watcher,
                person=person,
                interruption=interruption,
                keep=_keeping(file if durable else None),
            )
            states = tour.run()
            journal.seal()
            asked = ledger.asked + tour.sent_by_itself()
            parked = [each.until for each in states if each.until is not None]
            left = max((real_seconds_until(target.times, each) for each in parked), default=0.0)
        except OSError as error:
            raise CannotKeep(kept.journal or Path(JOURNAL), error) from error
        finally:
            if ledger is not None:
                ledger.close()
            if file is not None:
                _close(file)
    verdicts = judged(
        journal.header,
        journal.entries,
        planned,
        states,
        asked=asked,
        waited_seconds=patience.spent_seconds,
        duration_seconds=stopwatch() - began,
        notes=notes,
    )
    return Toured(verdicts, states, planned, journal, longest_wait_seconds=left)


def _go_on(journal: Journal, file: IO[bytes], earlier: Earlier | None) -> None:
    """Let the journal grow in its file, after what stands there already."""
    own = journal.header
    if earlier is not None and earlier.header.target.name != own.target.name:
        raise UsageError(
            f"The journal in this folder is of {earlier.header.target.name}, not of {own.target.name}: give another "
            "--out."
        )
    journal.go_on(file, earlier)
    file.flush()


def _taken_up(target: Target, ledger: Ledger, earlier: Earlier, here: Here) -> list[str]:
    """Take over what an earlier process knew: the time, and how much was asked; what a reader should know of it."""
    notes = []
    exchanges = [each for each in earlier.entries if isinstance(each, Exchange)]
    latest = max((each.answered for each in exchanges), default=ledger.terms.began)
    last = ledger.last
    if last is not None and not continued(target.times, here, last.at, last.wall, latest=latest):
        notes.append(
            "The time of day of this computer was set while the tour was interrupted: what was sent since may have "
            "been earlier or later than told, and more is undecided."
        )
    if isinstance(target.guard, TenantGuard):
        spent = target.guard.spent
        # Whoever opens a tenant asks it for the time of day, of which no journal tells; so did the process before.
        if target.guard.sent[OTHER] >= DATES_TAKEN:
            spent.requests += DATES_TAKEN
        for each in exchanges:
            target.guard.recall(each)
            spent.requests += 1
            spent.length += _length(each)
            spent.seconds += (each.answered - each.sent).total_seconds() / (ledger.terms.rate or 1.0)
    if earlier.cut or ledger.cut:
        notes.append("An earlier process was cut off in the midst of a line: what it was about counts as in doubt.")
    return notes


def _length(exchange: Exchange) -> int:
    """About how many bytes an exchange took."""
    found = len(exchange.request.url)
    for part in (exchange.request, exchange.response):
        if part is not None:
            found += sum(len(name) + len(value) + 4 for name, value in part.headers)
            if part.body is not None:
                found += (part.body.length or 0) + _TOKEN * (part.body.text or "").count("redacted:")
            found += _TOKEN * sum("redacted:" in value for _, value in part.headers)
    # Of what was too long the beginning is left; more than this is never read.
    return found + (longest(exchange.operation, None) if exchange.failure == TOO_LONG else 0)


_TOKEN: Final = 2_048
"""Bytes that are counted for what a journal does not hold: a token has hardly more."""


def _keeping(file: IO[bytes] | None) -> Callable[[], None]:
    """What lets the journal reach the disk; nothing where it need not."""
    if file is None:
        return lambda: None
    return lambda: os.fsync(file.fileno())


def _close(file: IO[bytes]) -> None:
    """Close the journal's file, also where its last line could not be written: that was told before."""
    with contextlib.suppress(OSError):
        file.close()
