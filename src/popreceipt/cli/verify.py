"""`popreceipt verify`: run the suites against a target, judge, report."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from popreceipt.reports import evidence, terminal
from popreceipt.rules import CHAPTERS, catalogue

app = typer.Typer()


def _chapters(incomplete: str) -> list[str]:
    return [each for each in CHAPTERS if each.startswith(incomplete)]


def _rules(incomplete: str) -> list[str]:
    return [each.id for each in catalogue() if each.id.startswith(incomplete)]


@app.command()
def verify(
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="Whom to judge: emulator:, emulator:MUTANT, emulator:dialect=NAME, http://HOST:PORT, https://…, "
            "tenant:NAME, or journal:FILE.",
        ),
    ] = "emulator:",
    chapter: Annotated[
        list[str] | None,
        typer.Option(metavar="C", help="Only this chapter; may be given again.", autocompletion=_chapters),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this rule; may be given again.", autocompletion=_rules)
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything that is made up.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write verdicts.json, junit.xml and journal.ndjson there.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate authority of a TLS target.")] = None,
    control_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", envvar="POPRECEIPT_CONTROL_KEY", help="Key of a control plane off loopback."),
    ] = None,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Longest real wait for a clock that cannot be moved.")
    ] = 120.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Violated SHOULD rules and undecided ones count as findings.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON instead of a table.")] = False,
) -> None:
    """Run the suites against a target, judge what crossed the wire, and report a verdict for each rule."""
    import json

    from popreceipt import verification
    from popreceipt.targets import JOURNAL_PREFIX, open_target

    if target.startswith(JOURNAL_PREFIX):
        from popreceipt.cli.judge import judge_file

        raise typer.Exit(
            judge_file(Path(target.removeprefix(JOURNAL_PREFIX)), out=out, strict=strict, as_json=json_output)
        )
    verification.chosen_rules(chapter or (), rule or ())
    file = verification.open_journal_file(out) if out is not None else None
    errors = Console(stderr=True)
    try:
        with (
            open_target(
                target, seed=seed, ca=ca, control_key=control_key, patience_seconds=patience, journal_file=file
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

            def progress(done: int, total: int, name: str) -> None:
                nonlocal shown
                bar.update(task, total=total, completed=done, description=name.replace("_", " ")[:60].ljust(60))
                # Without a terminal: a line each tenth, so that a log shows that something happens.
                if not errors.is_terminal and total and done * 10 // total >= shown:
                    print(f"popreceipt: {done} of {total} scenarios played", file=sys.stderr, flush=True)
                    shown = done * 10 // total + 1

            verdicts = verification.verify(
                opened, seed=seed, chapters=chapter or (), rule_ids=rule or (), progress=progress
            )
            exchanges = evidence.by_number(opened.journal.exchanges())
    finally:
        if file is not None:
            file.close()
    if out is not None:
        verification.write_results(verdicts, out)
    if json_output:
        print(json.dumps(verdicts.as_json(), indent=1))
    else:
        terminal.print_verdicts(Console(), verdicts, {each.id: each for each in catalogue()}, exchanges)
        if out is not None:
            errors.print(f"Written to {out}: verdicts.json, junit.xml, journal.ndjson", style="dim")
    raise typer.Exit(verdicts.exit_status(strict=strict))
