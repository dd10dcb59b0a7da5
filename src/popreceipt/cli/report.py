"""`popreceipt report`: make pages and summaries of a result."""

import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from popreceipt.cli.files import see_writable
from popreceipt.exceptions import UsageError

if TYPE_CHECKING:
    from popreceipt.journal import Exchange
    from popreceipt.reports.comparison import Comparison
    from popreceipt.reports.result import ResultFile
    from popreceipt.verdict import Verdicts

app = typer.Typer()

PAGE: Final = "report.html"
"""The page's name where none is given, beside the result."""

ALLURE: Final = "allure"
"""The folder beside a result in which a run's results for Allure are looked for."""

STANDARD_OUTPUT: Final = Path("-")


@app.command()
def report(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="What a run wrote with --out: a folder with verdicts.json, or that file. For --markdown and --badge "
            "also a load run's folder (load.json), or what size wrote with --json.",
        ),
    ],
    html_file: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write one page that stands alone. Without any output, DIR/report.html."
        ),
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option(
            "--markdown",
            metavar="FILE",
            help="Write a summary in Markdown, short enough for a comment; - for standard output. In GitHub Actions: "
            '--markdown - >> "$GITHUB_STEP_SUMMARY".',
        ),
    ] = None,
    badge_file: Annotated[
        Path | None,
        typer.Option(
            "--badge",
            metavar="FILE",
            help="Write a badge: an SVG, or where the name ends in .json what shields.io reads as an endpoint.",
        ),
    ] = None,
    junit_file: Annotated[
        Path | None,
        typer.Option(
            "--junit",
            metavar="FILE",
            help="Write it as JUnit XML: a suite a chapter and a case a rule; of a middleware a suite a scenario.",
        ),
    ] = None,
    allure: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the result there as Allure reads it, each verdict a result; also of a load run (a folder with "
            "load.json). What other commands wrote there stays; what the same one wrote is replaced, also scenarios "
            "with their steps, which only the run itself can write (verify --allure).",
        ),
    ] = None,
    allure_page: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Build Allure's static page there (index.html, which stands alone), of the results in --allure, else "
            "of those in DIR/allure or DIR, else of the verdicts alone. Needs Node 22 with npm; Allure's program is "
            "installed once into your cache.",
        ),
    ] = None,
    allure_history: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Earlier runs for that page, to which this one is added; history.jsonl beside the page unless given.",
            show_default=False,
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
    from popreceipt.reports import badge, comparison, markdown, measured
    from popreceipt.reports import result as results

    if allure_history is not None and allure_page is None:
        raise UsageError("--allure-history says something about --allure-page: give both, or leave it out.")
    if json_output and markdown_file == STANDARD_OUTPUT:
        raise UsageError("--json and --markdown - both want standard output: write the summary to a file.")
    written: dict[str, Mapping[str, Any]] = {}
    others = html_file or markdown_file or badge_file or junit_file
    if allure is not None:
        written["allure"] = write_allure(allure, result, journal)
    if allure_page is not None:
        written["allure-page"] = write_allure_page(allure_page, result, journal, allure, allure_history)
    measurement = measured.read(result)
    if measurement is not None:
        _only_what_fits(
            measurement.format,
            result,
            html_file=html_file,
            junit_file=junit_file,
            previous=previous,
            alone=not others and not written,
        )
        if markdown_file is not None:
            written |= write_markdown(markdown_file, measurement.summary)
        if badge_file is not None:
            written["badge"] = write_badge(badge_file, measurement.badge)
    elif others or not written:
        read = results.read(result)
        earlier = None if previous is None else results.read(previous)
        if html_file is None and not others:
            html_file = read.path.parent / PAGE
        if html_file is not None:
            compared = None if earlier is None else comparison.compare(read, earlier)
            recording = journal if journal is not None else read.journal
            written["html"] = write_page(html_file, read, recording, compared)
        if markdown_file is not None:
            written |= write_markdown(markdown_file, markdown.summary(read, earlier))
        if badge_file is not None:
            written["badge"] = write_badge(badge_file, badge.message(read))
        if junit_file is not None:
            written["junit"] = write_junit(junit_file, read)
    if json_output:
        print(json.dumps({"written": written}, indent=1))
        return
    console = Console(stderr=True)
    for name, each in written.items():
        console.print(f"Written {name}: {each['path']} ({each['bytes']:,} bytes)", style="dim", markup=False)


def _only_what_fits(
    kind: str, result: Path, *, html_file: Path | None, junit_file: Path | None, previous: Path | None, alone: bool
) -> None:
    """See that of a load run or a sizing only that is asked for which there is.

    Args:
        kind: its format.
        result: where it lies.
        html_file: the page, where one is asked for.
        junit_file: the file of test cases, where one is asked for.
        previous: an earlier result, where one is named.
        alone: nothing else is asked for, which means the page.

    Raises:
        UsageError: something else was asked for; with the command that makes it.
    """
    from popreceipt.reports import measured

    load = kind == measured.LOAD
    if previous is not None:
        raise UsageError(
            "Two load runs, one after the other, do not tell which is slower: measure both in turns with popreceipt "
            "load --against."
            if load
            else "Two sizings answer two plans: they are not compared."
        )
    if junit_file is not None:
        raise UsageError("JUnit is for verdicts alone: popreceipt gate tells whether this result may pass.")
    if html_file is not None or alone:
        again = f"popreceipt load --judge {result} --html FILE" if load else "popreceipt size PLAN --html FILE"
        raise UsageError(
            f"{'Of a load run --markdown, --badge and --allure' if load else 'Of a sizing --markdown and --badge'} are "
            f"written here; its page is made by: {again}"
        )


def prepare(html_file: Path) -> None:
    """See beforehand that a page can be written, for a run may take long.

    Raises:
        UsageError: a package is missing, or the file cannot be written.
    """
    from popreceipt.reports.html import page

    page.require()
    see_writable(html_file)


def write_page_of(
    html_file: Path, verdicts: "Verdicts", *, out: Path | None, journal: "Path | Iterable[bytes] | None"
) -> None:
    """Write the page of a run that has just ended.

    Args:
        html_file: the page's file.
        verdicts: how it ended.
        out: where its results were written; None where they were not.
        journal: the recording, or its lines where no file was kept.

    Raises:
        UsageError: a package is missing, the recording cannot be read, or the page cannot be written.
    """
    from popreceipt.reports import result as results

    if out is not None:
        read = results.read(out)
        write_page(html_file, read, journal if isinstance(journal, Path) else read.journal)
        return
    # What is read back is what would have been written.
    read = results.of_json(json.loads(json.dumps(verdicts.as_json())), html_file)
    if journal is None or isinstance(journal, Path):
        write_page(html_file, read, journal)
        return
    with TemporaryDirectory(prefix="popreceipt-") as made:
        file = Path(made) / "journal.ndjson"
        with file.open("wb") as written:
            written.writelines(each + b"\n" for each in journal)
        write_page(html_file, read, file, kept=False)


def write_page(
    path: Path, result: "ResultFile", journal: Path | None, earlier: "Comparison | None" = None, *, kept: bool = True
) -> Mapping[str, Any]:
    """Write the page of a result; path and bytes of what was written.

    Args:
        path: the page's file.
        result: the result as read back.
        journal: the recording that its findings name; None where it was not kept.
        earlier: the comparison with an earlier result.
        kept: the recording is still there when the page is read.

    Raises:
        UsageError: a package is missing, the recording cannot be read, or the page cannot be written.
    """
    from popreceipt.reports import result as results
    from popreceipt.reports.html import page
    from popreceipt.rules import catalogue

    folder = result.path.parent / "scenarios"

    def scenario_journal(block: Mapping[str, Any]) -> Path | None:
        kept = folder / results.file_name(results.scenario_name(block)) / "journal.ndjson"
        return kept if kept.is_file() else None

    rules = {each.id: each for each in catalogue(None)}
    made = page.as_page(result, rules, journal, earlier, scenario_journal, kept=kept)
    with writing(path):
        return {"path": str(path), "bytes": page.write(made, path)}


def write_markdown(path: Path, text: str) -> dict[str, Mapping[str, Any]]:
    """Write a summary, or print it; path and bytes of what was written.

    Raises:
        UsageError: it cannot be written.
    """
    if path == STANDARD_OUTPUT:
        print(text, end="")
        return {}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return {"markdown": {"path": str(path), "bytes": path.write_bytes(text.encode("utf-8"))}}


def write_badge(path: Path, told: tuple[str, str]) -> Mapping[str, Any]:
    """Write the badge with these words and of this colour; path and bytes of what was written.

    Raises:
        UsageError: it cannot be written.
    """
    from popreceipt.reports import badge

    with writing(path):
        badge.write(told, path)
        return {"path": str(path), "bytes": path.stat().st_size}


def write_junit(path: Path, result: "ResultFile") -> Mapping[str, Any]:
    """Write a result as JUnit XML; path and bytes of it.

    Raises:
        UsageError: it cannot be written.
    """
    from popreceipt.reports import junit

    with writing(path):
        junit.write_result(result, path)
        return {"path": str(path), "bytes": path.stat().st_size}


def write_allure(folder: Path, result: Path, journal: Path | None) -> Mapping[str, Any]:
    """Write a result as Allure reads it; the folder, how many results, and bytes of all in it.

    Args:
        folder: gets them.
        result: what a run left: a folder or a file, with verdicts or of a load run.
        journal: the recording that its findings name, unless it lies beside.

    Raises:
        UsageError: a package is missing, there is no result, or the folder cannot be written.
    """
    from datetime import UTC, datetime

    from popreceipt.reports import result as results
    from popreceipt.reports.allure import metrics, verdicts

    load = result / "load.json" if result.is_dir() else result
    if load.name == "load.json" and load.is_file() and not (result / "verdicts.json").is_file():
        ended = datetime.fromtimestamp(load.stat().st_mtime, UTC)
        count = metrics.write_load(metrics.read(load), folder, ended=ended)
    else:
        read = results.read(result)
        count = verdicts.write_result(
            read,
            folder,
            command=verdicts.command_of(read),
            exchanges=verdicts.witnesses_of(read, journal),
            scenario_exchanges=_scenario_exchanges(read),
        )
    return {"path": str(folder), "results": count, "bytes": _bytes_of(folder)}


def write_allure_page(
    page_folder: Path, result: Path, journal: Path | None, allure: Path | None, history: Path | None
) -> Mapping[str, Any]:
    """Build Allure's page; path and bytes of it.

    Args:
        page_folder: gets it.
        result: what a run left.
        journal: the recording that its findings name, unless it lies beside.
        allure: results as Allure reads them; looked for beside the result where none are named.
        history: the file with earlier runs.

    Raises:
        UsageError: Node or npm is missing, there are no results, or the folder cannot be written.
    """
    if importlib.util.find_spec("platformdirs") is None:
        raise UsageError('Allure\'s page needs platformdirs: pip install "popreceipt[report]".')
    from platformdirs import user_cache_path

    from popreceipt import npm
    from popreceipt.reports.allure import page

    beside = result if result.is_dir() else result.parent
    found = next((each for each in (allure, beside / ALLURE, beside) if each and any(each.glob("*-result.json"))), None)
    with TemporaryDirectory(prefix="popreceipt-") as made:
        if found is None:
            found = Path(made)
            write_allure(found, result, journal)
        cache = user_cache_path("popreceipt") / "npm"
        program = npm.command_line(cache, page.PACKAGE, page.VERSION, page.PROGRAM)
        written = page.build([found], page_folder, program, history=history)
    return {"path": str(written), "bytes": written.stat().st_size}


def _scenario_exchanges(result: "Any") -> "dict[tuple[str, str | None], dict[int, Exchange]]":
    """What crossed the wire in the scenarios of a middleware, from the journals that were kept."""
    from popreceipt.journal import Exchange, JournalFile
    from popreceipt.reports.result import file_name, rows, scenario_name

    found = {}
    for block in rows(result.raw.get("scenarios")):
        kept = result.path.parent / "scenarios" / file_name(scenario_name(block)) / "journal.ndjson"
        if kept.is_file():
            found[str(block.get("name")), block.get("dialect")] = {
                each.seq: each for each in JournalFile(kept) if isinstance(each, Exchange)
            }
    return found


def _bytes_of(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir() if each.is_file())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While a file is written: what goes wrong becomes a sentence.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        yield
    except FileExistsError as error:
        raise UsageError(f"Cannot write {path}: {path.parent} is no folder.") from error
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.") from error
