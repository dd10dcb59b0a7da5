"""`popreceipt report`: make pages and summaries of a result."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from popreceipt.exceptions import UsageError

app = typer.Typer()

PAGE: Final = "report.html"
"""The page's name where none is given, beside the result."""


@app.command()
def report(
    result: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="What a run wrote with --out: a folder with verdicts.json, or that file."),
    ],
    html_file: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write one page that stands alone. Without any output, DIR/report.html."
        ),
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(metavar="DIR", help="An earlier result, to tell what became better or worse.")
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The recording that the findings name, unless it is DIR/journal.ndjson (NDJSON or HAR).",
        ),
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print what was written as JSON: path and bytes of each.")
    ] = False,
) -> None:
    """Make a page of a result, with the evidence of each verdict.

    Exit status: 0 it was written, whatever the result says; 2 wrong usage, or there is no result. How a run went is
    the exit status of the run itself, or of `popreceipt gate`.
    """
    from popreceipt.reports import comparison
    from popreceipt.reports import result as results

    read = results.read(result)
    earlier = None if previous is None else comparison.compare(read, results.read(previous))
    recording = journal if journal is not None else read.journal
    written: dict[str, Mapping[str, Any]] = {}
    if html_file is None:
        html_file = read.path.parent / PAGE
    if html_file is not None:
        written["html"] = write_page(html_file, read, recording, earlier)
    if json_output:
        print(json.dumps({"written": written}, indent=1))
        return
    console = Console(stderr=True)
    for name, each in written.items():
        console.print(f"Written {name}: {each['path']} ({each['bytes']:,} bytes)", style="dim", markup=False)


def write_page(path: Path, result: "Any", journal: Path | None, earlier: "Any" = None) -> Mapping[str, Any]:
    """Write the page of a result; path and bytes of what was written.

    Args:
        path: the page's file.
        result: the result as read back.
        journal: the recording that its findings name; None where it was not kept.
        earlier: the comparison with an earlier result.

    Raises:
        UsageError: a package is missing, the recording cannot be read, or the page cannot be written.
    """
    from popreceipt.middleware.running import file_name
    from popreceipt.reports.html import page
    from popreceipt.rules import catalogue

    folder = result.path.parent / "scenarios"

    def scenario_journal(block: Mapping[str, Any]) -> Path | None:
        dialect = block.get("dialect")
        name = f"{block.get('name')} under {dialect}" if dialect else str(block.get("name"))
        kept = folder / file_name(name) / "journal.ndjson"
        return kept if kept.is_file() else None

    made = page.as_page(result, {each.id: each for each in catalogue(None)}, journal, earlier, scenario_journal)
    with writing(path):
        return {"path": str(path), "bytes": page.write(made, path)}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While a file is written: what goes wrong becomes a sentence.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.") from error
