"""`popreceipt size`: recommend processing and monitoring recurrences for a plan."""

import importlib.util
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from popreceipt import resources
from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError

if TYPE_CHECKING:
    from popreceipt.sizing.plan import Plan
    from popreceipt.sizing.result import Sizing

app = typer.Typer()

NEEDED = {"numpy": "numpy", "markupsafe": "markupsafe"}
"""Modules without which nothing is sized, and the packages in which they come."""

SILENCE_SECONDS = 10.0
"""Without a terminal, a long simulation says a word after so much silence."""

STANDARD_OUTPUT = Path("-")


def _show_example(wanted: bool) -> None:
    if wanted:
        typer.echo((resources.fixtures() / "plans" / "example.toml").read_text(encoding="utf-8"), nl=False)
        raise typer.Exit


@app.command()
def size(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN.toml", help="Arrivals, service times, batch job and objective.")
    ],
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the answer as JSON; - for standard output, with no table."),
    ] = None,
    html_file: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the report, one page with plots that stands alone."),
    ] = None,
    days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Days that are simulated, instead of the plan's own.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of everything that is drawn, instead of the plan's own.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no table and no progress.")] = False,
    example: Annotated[
        bool,
        typer.Option(
            "--example", help="Print a plan to start from, with comments.", callback=_show_example, is_eager=True
        ),
    ] = False,
) -> None:
    """Recommend processing and monitoring recurrences: how long messages wait, and how much more the queue bears.

    Exit status: 0 a recommendation, 1 no recurrence meets the objective, 2 a wrong plan.
    """
    del example  # dealt with before the command runs: see _show_example
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"Sizing needs {', '.join(missing)}: pip install 'popreceipt[sizing]'.")
    from popreceipt.reports import charts
    from popreceipt.sizing.plan import read_plan

    # Whatever would spoil the end is said before the work begins.
    if html_file == STANDARD_OUTPUT:
        raise UsageError("The page is written to a file, not to standard output: name one, as in --html sizing.html.")
    if html_file is not None:
        charts.require("sizing")
    for file in (json_file, html_file):
        if file is not None and file != STANDARD_OUTPUT:
            _prepare(file)
    read = read_plan(plan, days=days, seed=seed)
    text = plan.read_text(encoding="utf-8")
    answer = _answer(read, quiet=quiet)
    if json_file == STANDARD_OUTPUT:
        print(json.dumps(answer.as_json(), indent=1))
    elif not quiet:
        from rich.console import Console

        from popreceipt.sizing.terminal import print_sizing

        print_sizing(Console(), answer)
    if json_file is not None and json_file != STANDARD_OUTPUT:
        _write(json_file, json.dumps(answer.as_json(), indent=1) + "\n")
    if html_file is not None:
        from popreceipt.sizing.report import as_page

        command = _command(plan, html_file, days, seed)
        _write(html_file, as_page(answer, name=plan.name, text=text, command=command))
    written = [str(each) for each in (json_file, html_file) if each not in (None, STANDARD_OUTPUT)]
    if written and not quiet:
        print(f"popreceipt: written to {', '.join(written)}", file=sys.stderr)
    raise typer.Exit(0 if answer.recommended is not None else 1)


def _answer(plan: "Plan", *, quiet: bool) -> "Sizing":
    """Size the plan, telling how far it is: a bar on a terminal, else a word now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from popreceipt.sizing import answer

    errors = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=quiet or not errors.is_terminal,
    ) as bar:
        task = bar.add_task("sizing", total=None)
        said = stopwatch()

        def progress(done: int, total: int, words: str) -> None:
            nonlocal said
            bar.update(task, total=total, completed=done, description=words[:50].ljust(50))
            if not quiet and not errors.is_terminal and stopwatch() - said >= SILENCE_SECONDS:
                print(f"popreceipt: {words} ({done} of {total})", file=sys.stderr, flush=True)
                said = stopwatch()

        return answer.size(plan, progress=progress)


def _command(plan: Path, html_file: Path, days: float | None, seed: int | None) -> str:
    """What makes the page again, in a folder where the plan is."""
    words = ["popreceipt", "size", plan.name, "--html", html_file.name]
    if days is not None:
        words += ["--days", f"{days:g}"]
    if seed is not None:
        words += ["--seed", str(seed)]
    return shlex.join(words)


def _prepare(file: Path) -> None:
    """See that a file can be written there."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot write {file}: {error.strerror or error}.") from error
    if file.is_dir():
        raise UsageError(f"Cannot write {file}: it is a folder. Name a file in it.")


def _write(file: Path, content: str) -> None:
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {file}: {error.strerror or error}.") from error
