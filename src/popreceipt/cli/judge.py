"""`popreceipt judge`: judge a recorded journal or HAR file."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from popreceipt.clock import stopwatch
from popreceipt.journal import Exchange
from popreceipt.recordings import open_recording
from popreceipt.reports import evidence, junit, terminal, verdict_file
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Verdicts
from popreceipt.verdict import judge as judge_rules

app = typer.Typer()


@app.command()
def judge(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A journal (NDJSON) or a HAR file.")],
    binds: Annotated[Binds, typer.Option(help="Whose rules: the service's or the client's.")] = Binds.SERVICE,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write verdicts.json and junit.xml there.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Violated SHOULD rules and undecided ones count as findings.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON instead of a table.")] = False,
) -> None:
    """Judge a recorded journal or HAR file; nothing is sent."""
    raise typer.Exit(judge_file(journal, binds=binds, out=out, strict=strict, as_json=json_output))


def judge_file(
    path: Path, *, binds: Binds = Binds.SERVICE, out: Path | None = None, strict: bool = False, as_json: bool = False
) -> int:
    """Judge a recording, print and write the verdicts; the command's exit status."""
    began = stopwatch()
    recording = open_recording(path)
    errors = Console(stderr=True)
    with errors.status(f"reading {path}"):
        readings = Readings(recording.header, recording)
        rules = catalogue(binds)
        verdicts = Verdicts(
            rules=judge_rules(readings, rules),
            target={
                "name": recording.header.target.name or path.name,
                "build": recording.header.target.build,
                "clock": recording.header.clock,
                "abilities": list(recording.header.target.abilities),
            },
            seed=recording.header.seed,
            duration_seconds=stopwatch() - began,
            complete=recording.complete,
            notes=()
            if recording.complete
            else (f"The journal was cut off: {recording.damage}. Judged as far as it goes.",),
        )
    if out is not None:
        junit.write(verdicts, out / "junit.xml")
        verdict_file.write(verdicts, out / "verdicts.json")
    if as_json:
        print(json.dumps(verdicts.as_json(), indent=1))
    else:
        # The findings name exchanges by number; they are read again, so that a long journal need not be kept.
        named = {number for rule in verdicts.rules for finding in rule.findings for number in finding.exchanges}
        shown = (each for each in open_recording(path) if isinstance(each, Exchange) and each.seq in named)
        terminal.print_verdicts(Console(), verdicts, {each.id: each for each in rules}, evidence.by_number(shown))
    return verdicts.exit_status(strict=strict)
