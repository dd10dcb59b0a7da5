"""What `popreceipt verify` does with a tenant: tell the plan of a tour, or drive it and report.

It knows the command's options and where results go; what a tour is stands in its own package.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from popreceipt import verification
from popreceipt.cli.report import prepare, write_page_of
from popreceipt.exceptions import UsageError
from popreceipt.reports import evidence, terminal
from popreceipt.reports.allure import run as allure_run
from popreceipt.rules import catalogue
from popreceipt.targets import TENANT_PREFIX, open_target
from popreceipt.tenants import reading
from popreceipt.tour import ledger
from popreceipt.tour.errands import errands
from popreceipt.tour.planning import plan
from popreceipt.tour.terminal import Typist, print_parked, print_plan, watcher
from popreceipt.tour.tour import Toured, drive, rules_in, write_results
from popreceipt.tour.waiting import Patience, period_option

PATIENCE_SECONDS: Final = 75 * 60.0
"""How long a tour waits unless told otherwise: two leases, and what comes before and after them."""

INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command line, as a tour takes them. None where one was not given."""

    target: str
    chapters: tuple[str, ...]
    rules: tuple[str, ...]
    seed: int | None
    out: Path | None
    html_file: Path | None
    allure: Path | None
    ca: Path | None
    patience_seconds: float | None
    plan: bool
    resume: bool
    assisted: bool
    strict: bool
    as_json: bool

    @property
    def name(self) -> str:
        """The tenant's."""
        return self.target.removeprefix(TENANT_PREFIX)

    def command_to_go_on(self, patience_seconds: float) -> str:
        """The command line that goes on with this tour."""
        words = ["popreceipt", "verify", "--target", self.target, "--out", str(self.out), "--resume"]
        if self.ca is not None:
            words += ["--ca", str(self.ca)]
        if self.assisted:
            words.append("--assisted")
        if self.strict:
            words.append("--strict")
        return shlex.join([*words, "--patience", period_option(patience_seconds)])


def is_tour(target: str, suites: list[str] | None) -> bool:
    """Whether this is driven as a tour: a tenant, unless other suites than the scenarios are asked for.

    Raises:
        UsageError: both are asked for.
    """
    if not target.startswith(TENANT_PREFIX):
        return False
    others = [each for each in suites or () if each != verification.CONFORMANCE]
    if others and len(others) < len(suites or ()):
        raise UsageError(
            f"On a tenant a tour shows what scenarios show elsewhere; run {' and '.join(others)} by "
            "themselves, after it."
        )
    return not others


def tour(asked: Asked) -> int:
    """Tell the plan, or drive the tour; the command's exit status."""
    patience_seconds = PATIENCE_SECONDS if asked.patience_seconds is None else asked.patience_seconds
    described = reading.read(asked.name)
    narrowed = bool(asked.chapters or asked.rules)
    rules = verification.chosen_rules(asked.chapters, asked.rules) if narrowed else None
    if asked.plan:
        if asked.resume and asked.out is not None and rules is None:
            rules = rules_in(asked.out)
        told = plan(
            described, errands(described), rules=rules, assisted=asked.assisted, patience_seconds=patience_seconds
        )
        if asked.as_json:
            print(json.dumps(told.as_json(), indent=1))
        else:
            print_plan(Console(), told)
        return 0
    if asked.html_file is not None:
        prepare(asked.html_file)
    if asked.allure is not None:
        allure_run.begin(asked.allure, "verify")
    errors = Console(stderr=True)
    shown = watcher(errors)
    try:
        with shown.shown():
            toured = drive(
                described,
                errands(described),
                lambda seed: open_target(asked.target, seed=seed, ca=asked.ca, patience_seconds=patience_seconds),
                seed=asked.seed,
                rules=rules,
                patience=Patience(patience_seconds),
                out=asked.out,
                resume=asked.resume,
                person=Typist(errors, shown) if asked.assisted else None,
                watcher=shown,
            )
    except KeyboardInterrupt:
        _say_how_to_go_on(errors, asked, patience_seconds)
        raise typer.Exit(INTERRUPTED) from None
    return _reported(toured, asked, errors, patience_seconds)


def keep_clear_of_tours(out: Path) -> None:
    """Refuse a folder that holds a tour: other runs would write over its journal.

    Raises:
        UsageError: it does.
    """
    if (out / ledger.NAME).exists():
        raise UsageError(f"{out} holds a tour of a tenant, and its journal would be lost: give another --out.")


def _say_how_to_go_on(errors: Console, asked: Asked, patience_seconds: float) -> None:
    if asked.out is None or not (asked.out / ledger.NAME).exists():
        errors.print(Text("Stopped. Nothing was kept: with --out DIR a tour can be gone on with.", style="yellow"))
        return
    errors.print(Text(f"Stopped. What was done is kept in {asked.out}. Go on with:", style="yellow"))
    errors.print(Text(f"  {asked.command_to_go_on(patience_seconds)}"), soft_wrap=True)


def _reported(toured: Toured, asked: Asked, errors: Console, patience_seconds: float) -> int:
    """Write and print what came of it."""
    verdicts = toured.verdicts
    if asked.out is not None:
        write_results(verdicts, asked.out)
    if asked.html_file is not None:
        write_page_of(asked.html_file, verdicts, out=asked.out, journal=toured.journal.lines())
    exchanges = evidence.by_number(toured.journal.exchanges())
    if asked.allure is not None:
        allure_run.end(verdicts.as_json(), asked.allure, "verify", exchanges=exchanges, strict=asked.strict)
    if asked.as_json:
        print(json.dumps(verdicts.as_json(), indent=1))
    else:
        terminal.print_verdicts(Console(), verdicts, {each.id: each for each in catalogue()}, exchanges)
        if asked.out is not None:
            errors.print(Text(f"Written to {asked.out}: verdicts.json, junit.xml, journal.ndjson", style="dim"))
    if toured.nothing_left:
        errors.print(Text("This tour was over before: nothing was sent.", style="dim"))
    if toured.parked and asked.out is not None:
        print_parked(errors, toured.parked, asked.command_to_go_on(max(patience_seconds, toured.longest_wait_seconds)))
    elif toured.parked:
        errors.print(
            Text(
                f"{len(toured.parked)} errands would have had to wait longer than --patience; with --out DIR they are "
                "parked there, and gone on with.",
                style="yellow",
            )
        )
    return verdicts.exit_status(strict=asked.strict)
