"""`popreceipt judge`: judge a recorded journal or HAR file."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from popreceipt.cli.report import prepare, write_page_of
from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError
from popreceipt.histories.checker import judge as judge_history
from popreceipt.histories.projection import history_of
from popreceipt.histories.timeline import as_svg, print_timeline, timeline_of
from popreceipt.journal import Exchange
from popreceipt.recordings import open_recording
from popreceipt.reports import evidence, junit, terminal, verdict_file
from popreceipt.reports.allure import run as allure_run
from popreceipt.rules import catalogue
from popreceipt.rules.eras import judge_eras
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds, Verdicts

SHOWN = 3
"""So many timelines are drawn on the terminal."""

app = typer.Typer()


@app.command()
def judge(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="A journal (NDJSON) or a HAR file.")],
    binds: Annotated[Binds, typer.Option(help="Whose rules: the service's or the client's.")] = Binds.SERVICE,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write verdicts.json and junit.xml there.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page with all of it, which stands alone.")
    ] = None,
    allure: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write results for Allure there, a case for each rule.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Violated SHOULD rules and undecided ones count as findings.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON instead of a table.")] = False,
    timelines: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw what is wrong with single messages there, an SVG each.")
    ] = None,
) -> None:
    """Judge a recorded journal or HAR file; nothing is sent.

    Exit status: 0 no promise broken, 1 findings, 2 wrong usage, 3 nothing to judge, or the recording was cut off.
    """
    status = judge_file(
        journal,
        rules=catalogue(binds),
        out=out,
        html_file=html_file,
        allure=allure,
        strict=strict,
        as_json=json_output,
    )
    if timelines is not None or (binds is Binds.SERVICE and not json_output):
        _draw(journal, Console(stderr=json_output), timelines)
    raise typer.Exit(status)


def judge_file(
    path: Path,
    *,
    rules: Sequence[Rule],
    out: Path | None = None,
    html_file: Path | None = None,
    allure: Path | None = None,
    strict: bool = False,
    as_json: bool = False,
) -> int:
    """Judge a recording by these rules, print and write the verdicts; the command's exit status."""
    began = stopwatch()
    recording = open_recording(path)
    if html_file is not None:
        prepare(html_file)
    if allure is not None:
        allure_run.begin(allure, "judge")
    if out is not None:
        with _writing(out):
            out.mkdir(parents=True, exist_ok=True)
    errors = Console(stderr=True)
    with errors.status(f"reading {path}"):
        verdicts = Verdicts(
            rules=judge_eras(recording.header, recording, rules),
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
        with _writing(out):
            junit.write(verdicts, out / "junit.xml")
            verdict_file.write(verdicts, out / "verdicts.json")
    if html_file is not None:
        write_page_of(html_file, verdicts, out=out, journal=path)
    # The findings name exchanges by number; they are read again, so that a long journal need not be kept.
    named = {number for rule in verdicts.rules for finding in rule.findings for number in finding.exchanges}
    shown = (each for each in open_recording(path) if isinstance(each, Exchange) and each.seq in named)
    exchanges = evidence.by_number(shown) if allure is not None or not as_json else {}
    if allure is not None:
        allure_run.end(verdicts.as_json(), allure, "judge", exchanges=exchanges, strict=strict)
    if as_json:
        print(json.dumps(verdicts.as_json(), indent=1))
    else:
        terminal.print_verdicts(Console(), verdicts, {each.id: each for each in rules}, exchanges)
    return verdicts.exit_status(strict=strict)


def _draw(path: Path, console: Console, folder: Path | None) -> None:
    """Draw anomalies of single messages: all of them into a folder, or else a few on the terminal.

    They are a second opinion to be looked at: what the command answers, the rules alone decide.
    """
    recording = open_recording(path)
    history = history_of(recording.header, recording)
    found = judge_history(history).found
    if folder is None:
        for each in found[:SHOWN]:
            console.print()
            print_timeline(console, timeline_of(history, each))
        if len(found) > SHOWN:
            console.print(f"\n{len(found)} anomalies of single messages: --timelines DIR draws all of them.")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, each in enumerate(found, 1):
            drawing = as_svg(timeline_of(history, each))
            (folder / f"{number:03d}-{each.kind}.svg").write_text(drawing, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write timelines to {folder}: {error.strerror or error}.") from error
    console.print(f"{len(found)} anomalies of single messages drawn in {folder}")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"Cannot write reports to {out}: {error.strerror or error}. Give another --out.") from error
