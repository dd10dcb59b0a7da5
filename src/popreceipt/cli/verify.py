"""`popreceipt verify`: run the suites against a target, judge, report."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from popreceipt.cli import completing
from popreceipt.cli.report import prepare, write_page_of
from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError
from popreceipt.reports import evidence, terminal
from popreceipt.reports.allure import run as allure_run
from popreceipt.rules import CHAPTERS, catalogue

app = typer.Typer()

SILENCE_SECONDS = 10.0
"""Without a terminal, a long search says a word after so much silence."""


def _chapters(incomplete: str) -> list[str]:
    return [each for each in CHAPTERS if each.startswith(incomplete)]


def _rules(incomplete: str) -> list[str]:
    return [each.id for each in catalogue() if each.id.startswith(incomplete)]


def _targets(incomplete: str) -> list[str]:
    from popreceipt.tenants import reading

    known = ["emulator:", "journal:", *(f"tenant:{each}" for each in reading.names())]
    if incomplete.startswith("emulator:"):
        known += [f"emulator:{each}" for each in completing.mutants("")]
    return [each for each in known if each.startswith(incomplete)]


def _suites(incomplete: str) -> list[str]:
    from popreceipt.verification import ENGINES

    return [each for each in ENGINES if each.startswith(incomplete)]


class Effort(StrEnum):
    """How long searches look."""

    FAST = "fast"
    THOROUGH = "thorough"


@app.command()
def verify(
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="Whom to judge: emulator:, emulator:MUTANT, emulator:dialect=NAME, http://HOST:PORT, https://…, "
            "tenant:NAME, or journal:FILE.",
            autocompletion=_targets,
        ),
    ] = "emulator:",
    chapter: Annotated[
        list[str] | None,
        typer.Option(metavar="C", help="Only this chapter; may be given again.", autocompletion=_chapters),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this rule; may be given again.", autocompletion=_rules)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of everything that is made up.", show_default="0")
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="S",
            help="Only this suite (conformance, fuzz, lifecycle); may be given again. Without it all that are "
            "installed, and conformance alone where --chapter or --rule picks rules.",
            autocompletion=_suites,
        ),
    ] = None,
    effort: Annotated[
        Effort, typer.Option(help="How long fuzzing and models search: for seconds, or for a nightly run.")
    ] = Effort.FAST,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write verdicts.json, junit.xml, journal.ndjson and bundles/ there."),
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page with all of it, which stands alone.")
    ] = None,
    allure: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write results for Allure there, a case for each rule and each scenario; see report --allure-page.",
        ),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate authority of a TLS target.")] = None,
    control_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", envvar="POPRECEIPT_CONTROL_KEY", help="Key of a control plane off loopback."),
    ] = None,
    patience: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Longest real wait for a clock that cannot be moved: seconds, or 75m, 2h, 8d. On a tenant for all "
            "waits together: what would take longer is parked there, to be gone on with.",
            show_default="120, on a tenant 75m",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Of a tenant: print every request that would be sent, at most, and send nothing (--json)."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the tour of a tenant that was left in --out DIR.")
    ] = False,
    assisted: Annotated[
        bool, typer.Option("--assisted", help="Somebody is at the terminal to do steps by hand in the tenant.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Violated SHOULD rules and undecided ones count as findings.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON instead of a table.")] = False,
) -> None:
    """Run the suites against a target, judge what crossed the wire, and report a verdict for each rule.

    Exit status: 0 no promise broken, 1 findings, 2 wrong usage, 3 nothing proved or not complete, 130 stopped.
    """
    import json

    from popreceipt import verification
    from popreceipt.cli import touring
    from popreceipt.reproduction.player import Place
    from popreceipt.targets import JOURNAL_PREFIX, PATIENCE_SECONDS, open_target
    from popreceipt.tour.waiting import seconds_of

    rules = verification.chosen_rules(chapter or (), rule or ())
    waits = None if patience is None else seconds_of(patience)
    if touring.is_tour(target, suite):
        asked = touring.Asked(
            target=target,
            chapters=tuple(chapter or ()),
            rules=tuple(rule or ()),
            seed=seed,
            out=out,
            html_file=html_file,
            allure=allure,
            ca=ca,
            patience_seconds=waits,
            plan=plan,
            resume=resume,
            assisted=assisted,
            strict=strict,
            as_json=json_output,
        )
        raise typer.Exit(touring.tour(asked))
    for option, given in (("--plan", plan), ("--resume", resume), ("--assisted", assisted)):
        if given:
            raise UsageError(f"{option} is for the tour of a tenant (--target tenant:NAME, without other suites).")
    waits = PATIENCE_SECONDS if waits is None else waits
    seed = seed or 0
    if out is not None:
        touring.keep_clear_of_tours(out)
    if html_file is not None:
        prepare(html_file)
    if allure is not None:
        allure_run.begin(allure, "verify")
    if target.startswith(JOURNAL_PREFIX):
        from popreceipt.cli.judge import judge_file

        if suite:
            raise UsageError("Nothing is played when a recording is judged: leave out --suite.")
        recording = Path(target.removeprefix(JOURNAL_PREFIX))
        raise typer.Exit(
            judge_file(
                recording,
                rules=rules,
                out=out,
                html_file=html_file,
                allure=allure,
                strict=strict,
                as_json=json_output,
            )
        )
    suites, left_out = verification.suites_to_run(suite, narrowed=bool(chapter or rule))
    if set(suites) != {verification.CONFORMANCE}:
        _keep_out_of_the_way()
    file = verification.open_journal_file(out) if out is not None else None
    errors = Console(stderr=True)
    far = "before anything was played"
    try:
        with (
            open_target(
                target, seed=seed, ca=ca, control_key=control_key, patience_seconds=waits, journal_file=file
            ) as opened,
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=errors,
                transient=True,
                disable=not errors.is_terminal,
            ) as bar,
        ):
            task = bar.add_task(f"verifying {opened.name}", total=None)
            shown = 0
            said = stopwatch()

            def progress(done: int, total: int, name: str) -> None:
                nonlocal far, shown, said
                far = f"with {done} of {total} scenarios played, at {name}"
                bar.update(task, total=total, completed=done, description=name.replace("_", " ")[:60].ljust(60))
                if errors.is_terminal or not total:
                    return
                # Without a terminal: a line each tenth, and what a long search tells now and then.
                if done * 10 // total >= shown:
                    print(f"popreceipt: {done} of {total} scenarios played", file=sys.stderr, flush=True)
                    shown = done * 10 // total + 1
                elif not name.startswith("test_") and stopwatch() - said >= SILENCE_SECONDS:
                    print(f"popreceipt: {name}", file=sys.stderr, flush=True)
                else:
                    return
                said = stopwatch()

            def tell(words: str) -> None:
                bar.update(task, description=words[:60].ljust(60))
                if not errors.is_terminal:
                    print(f"popreceipt: {words}", file=sys.stderr, flush=True)

            place = Place(target, seed, ca, control_key, waits)
            verdicts = verification.verify(
                opened,
                seed=seed,
                chapters=chapter or (),
                rule_ids=rule or (),
                suites=suites,
                effort=effort.value,
                progress=progress,
                pytest_arguments=allure_run.for_pytest(allure) if allure is not None else (),
                reproduce=None if out is None else verification.into_bundles(place, out / "bundles", tell),
            )
            exchanges = evidence.by_number(opened.journal.exchanges())
    except KeyboardInterrupt:
        kept = "" if out is None else f" What crossed the wire is in {out / 'journal.ndjson'}."
        raise KeyboardInterrupt(f"Stopped {far}. Nothing was judged.{kept}") from None
    finally:
        if file is not None:
            file.close()
    if out is not None:
        verification.write_results(verdicts, out)
    if html_file is not None:
        write_page_of(html_file, verdicts, out=out, journal=opened.journal.lines())
    if allure is not None:
        allure_run.end(verdicts.as_json(), allure, "verify", exchanges=exchanges, strict=strict)
    if left_out:
        named = ", ".join(left_out)
        errors.print(f"Not installed, so not run: {named} (pip install 'popreceipt[suites]').", style="yellow")
    if json_output:
        print(json.dumps(verdicts.as_json(), indent=1))
    else:
        terminal.print_verdicts(Console(), verdicts, {each.id: each for each in catalogue()}, exchanges)
        if out is not None:
            bundles = len([each for each in verdicts.failures if each.bundle is not None])
            also = f", {bundles} in bundles/" if bundles else ""
            errors.print(f"Written to {out}: verdicts.json, junit.xml, journal.ndjson{also}", style="dim")
    raise typer.Exit(verdicts.exit_status(strict=strict))


def _keep_out_of_the_way() -> None:
    """Let Hypothesis keep what it learns of the code in the user's cache, not in the folder that somebody stands in."""
    from hypothesis.configuration import set_hypothesis_home_dir
    from platformdirs import user_cache_path

    set_hypothesis_home_dir(user_cache_path("popreceipt") / "hypothesis")
