"""`popreceipt middleware`: run somebody's middleware against the emulator under scenarios, and judge it."""

import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError

if TYPE_CHECKING:
    from popreceipt.middleware.crew import Progress as Pace
    from popreceipt.middleware.crew import Watch
    from popreceipt.middleware.result import Result
    from popreceipt.middleware.running import MakeSubject, Options
    from popreceipt.middleware.scenario import Scenario

app = typer.Typer()

SILENCE_SECONDS = 10.0
"""Without a terminal, a run says a word after so much silence."""

STANDARD_OUTPUT = Path("-")

MOST_JOBS = 8

LONGEST_LEASE = 86_400.0
"""Seconds of the longest lease: a day is more than anybody waits for."""

BUNDLES_OF_A_RULE = 5
"""So many scenarios that violate a rule are put into bundles: whoever has more has enough to look at."""

NEEDED = {"psutil": "psutil"}
"""Modules without which no subject can be ended for sure, and the packages in which they come."""

LEFT_BY_A_RUN = (
    "junit.xml",
    "scenarios/*/journal.ndjson",
    "scenarios/*/output.txt",
    "bundles/*/*/README.md",
    "bundles/*/*/scenario.toml",
    "bundles/*/*/journal.ndjson",
    "bundles/*/*/timeline.txt",
    "bundles/*/*/timeline.svg",
    "bundles/*/*/output.txt",
)
"""Beside verdicts.json."""

FOR_PAIRS = {"allpairspy": "allpairspy"}

FOR_EVIDENCE = {"markupsafe": "markupsafe", "tomli_w": "tomli-w"}
"""Modules that draw timelines and write scenarios down."""


class SideName(StrEnum):
    """Which sides of the connector a subject has."""

    EXPORT = "export"
    IMPORT = "import"
    BOTH = "both"


class Sweep(StrEnum):
    """How far open points are answered otherwise: one at a time, or every pair of answers."""

    SINGLE = "single"
    PAIRS = "pairs"


def _scenarios(incomplete: str) -> list[str]:
    from popreceipt.middleware import selection

    return [each for each in selection.names() if each.startswith(incomplete)]


def _dialects(incomplete: str) -> list[str]:
    from popreceipt.middleware import dialects

    return [each for each in dialects.names() if each.startswith(incomplete)]


@app.command(context_settings={"allow_interspersed_args": False})
def middleware(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND ...",
            help="What starts your middleware. {base_url}, {export_activity} and so on are replaced by the values of "
            "POPRECEIPT_BASE_URL, POPRECEIPT_EXPORT_ACTIVITY and so on, which it also finds in its environment. It "
            "starts in an empty folder; words that name a file here are made absolute.",
            show_default=False,
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="S",
            help="Only this scenario, by name or from a file (NAME.toml); may be given again. Without it the quick "
            "ones are played.",
            autocompletion=_scenarios,
        ),
    ] = None,
    dialect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="D",
            help="Under this dialect (POINT=VALUE), with the scenarios that touch its point or those that are named; "
            "may be given again.",
            autocompletion=_dialects,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All scenarios but those of --matrix.")] = False,
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix",
            help="The lost-response matrix: each operation's answer lost before and after its effect, in every kind of "
            "way. With --all beside all others.",
        ),
    ] = False,
    sweep: Annotated[
        Sweep | None,
        typer.Option(
            help="Also what the documentation leaves open answered otherwise: each answer by itself (single), or "
            "every two of them together (pairs).",
            show_default=False,
        ),
    ] = None,
    side: Annotated[
        SideName, typer.Option(help="What your middleware does: pull exports, push imports, or both.")
    ] = SideName.BOTH,
    attach: Annotated[
        bool,
        typer.Option(
            "--attach",
            help="Start nothing: tell each scenario's environment, as a line of JSON on standard output, and wait for "
            "a process that runs already.",
        ),
    ] = False,
    environment_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file", metavar="FILE", help="With --attach: write each scenario's environment there, for a shell."
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="With --attach: so long a scenario waits for the first call, in real seconds.",
        ),
    ] = 120.0,
    port: Annotated[
        int,
        typer.Option(
            metavar="P",
            min=0,
            max=65535,
            help="Port of the connector; 0 picks a free one for each scenario. Another than 0 plays one scenario at a "
            "time.",
        ),
    ] = 0,
    lease: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.5,
            max=LONGEST_LEASE,
            help="The lease, half an hour in the documentation, in real seconds. Scenarios last some leases; your "
            "middleware's own pauses should be shorter.",
        ),
    ] = 6.0,
    seconds: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.1, help="No scenario lasts longer, in real seconds.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="So many scenarios at once; twice as many as there are cores, at most 8, unless told.",
            show_default=False,
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="The connector speaks TLS in every scenario (POPRECEIPT_CA_FILE).")
    ] = False,
    proxy: Annotated[
        bool,
        typer.Option(
            "--proxy",
            help="Through a CONNECT proxy (http_proxy, https_proxy), for a subject that insists on port 443.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of everything that is made up.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write verdicts.json, junit.xml, each scenario's journal and output, and a bundle for each violation "
            "there.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write the verdicts as JSON; - for standard output, with no table."
        ),
    ] = None,
    html_file: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the report, one page that stands alone."),
    ] = None,
    allure: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write results for Allure there, a case for each scenario and each rule."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Violated SHOULD rules and undecided ones count as findings.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the scenarios and play none.")] = False,
) -> None:
    """Run a middleware against the emulator under scenarios, and judge what it did.

    The command is started once for each scenario, and again two seconds after each end with status 0, as a scheduler
    would; at a scenario's end it gets SIGTERM and five seconds. Leases and retention are shortened; everything else is
    in real seconds.

    Exit status: 0 no MUST violated, 1 violated, 2 wrong usage, 3 it could not be started or exercised nothing, 4 a
    fault of ours, 130 stopped.
    """
    if listed:
        _list(lease, matrix=matrix)
        raise typer.Exit(0)
    if bool(command) == attach:
        raise UsageError(
            "Give a command or --attach, not both."
            if attach
            else "Name the command that runs your middleware: popreceipt middleware [options] -- COMMAND … "
            "(or --attach for a process that runs already)."
        )
    if environment_file is not None and not attach:
        raise UsageError("--env-file says something about --attach: give both, or leave out --env-file.")
    evidence = FOR_EVIDENCE if out is not None or html_file is not None else {}
    _see_that_all_is_there(NEEDED | (FOR_PAIRS if sweep is Sweep.PAIRS else {}) | evidence)

    from popreceipt.middleware.crew import play_all
    from popreceipt.middleware.result import Result
    from popreceipt.middleware.running import Options
    from popreceipt.middleware.scenario import EXPORT, IMPORT

    sides = tuple(each for each in (EXPORT, IMPORT) if side.value in (each, SideName.BOTH.value))
    scenarios = _chosen(scenario or (), dialect or (), sweep, every=every, matrix=matrix, sides=sides)
    options = Options(
        lease_seconds=lease,
        seconds=seconds,
        sides=sides,
        tls=tls,
        proxy=proxy,
        seed=seed,
        port=port,
        folder=None if out is None else out / "scenarios",
    )
    if allure is not None:
        from popreceipt.reports.allure import run

        run.begin(allure, "middleware")
    if out is not None:
        _clear(out)
    for file in (json_file, html_file, environment_file, None if out is None else out / "verdicts.json"):
        if file is not None and file != STANDARD_OUTPUT:
            _prepare(file)
    at_once = 1 if attach or port else jobs or min(MOST_JOBS, 2 * (os.cpu_count() or 1))
    began = stopwatch()
    telling = Telling(Console(stderr=True))
    subject = _subject(command, options, environment_file, patience, quiet=json_file == STANDARD_OUTPUT)
    with telling.of_playing() as watch:
        judged, interrupted = play_all(scenarios, subject, options, jobs=at_once, watch=watch)
    result = Result.of(
        judged,
        command=tuple(command or ()),
        asked=len(scenarios),
        sides=sides,
        lease_seconds=lease,
        seed=seed,
        seconds=stopwatch() - began,
        jobs=min(at_once, len(scenarios)),
        interrupted=interrupted,
    )
    if out is not None:
        try:
            result = _with_bundles(result, options, out / "bundles")
        except OSError as error:
            raise UsageError(f"Cannot write {out / 'bundles'}: {error.strerror or error}.") from error
    _write(result, out, json_file, html_file)
    if allure is not None:
        _write_allure(result, allure, strict=strict)
    _show(result, out, json_file, html_file, strict=strict)
    raise typer.Exit(result.exit_status(strict=strict))


def _see_that_all_is_there(needed: Mapping[str, str]) -> None:
    """Whatever is not installed is said before anything is begun."""
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f'Judging middleware needs {", ".join(missing)}: pip install "popreceipt[middleware]".')


def _clear(out: Path) -> None:
    """Remove what an earlier run left beside its verdicts, and nothing else: a violation in a bundle would be news."""
    if not (out / "verdicts.json").is_file():
        return
    try:
        for pattern in LEFT_BY_A_RUN:
            for file in out.glob(pattern):
                file.unlink()
        for pattern in ("scenarios/*", "bundles/*/*", "bundles/*"):
            for folder in out.glob(pattern):
                with suppress(OSError):  # somebody else's file lies there
                    folder.rmdir()
    except OSError as error:
        raise UsageError(f"Cannot clear {out} of an earlier run: {error.strerror or error}.") from error


def _prepare(file: Path) -> None:
    """See that a file can be written at the end, before anything is played for nothing.

    What an earlier run left there goes: nobody should take it for this one's.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    except OSError as error:
        raise UsageError(f"Cannot write {file}: {error.strerror or error}. Give another file.") from error


def _list(lease: float, *, matrix: bool) -> None:
    from popreceipt.middleware import selection, terminal

    scenarios = (*selection.everything(), *(selection.matrix() if matrix else ()))
    terminal.list_scenarios(Console(), scenarios, {each.name for each in scenarios if each.quick}, lease)


def _chosen(
    names: Sequence[str],
    dialects: Sequence[str],
    sweep: Sweep | None,
    *,
    every: bool,
    matrix: bool,
    sides: Sequence[str],
) -> "tuple[Scenario, ...]":
    """What is to be played, of what concerns the sides that the subject has.

    Raises:
        UsageError: there is no scenario or dialect of a name, or nothing is left.
    """
    from popreceipt.middleware import dialects as answers
    from popreceipt.middleware import selection

    if sweep is not None and dialects:
        raise UsageError("--sweep goes through all dialects, --dialect names some: give one of them.")
    plain = tuple(selection.find(each) for each in names)
    if every or (not names and not matrix):
        plain += selection.everything() if every else selection.quick()
    if matrix:
        plain += selection.matrix()
    plain = tuple({each.name: each for each in plain}.values())
    if sweep is not None:
        plain += answers.sweep(plain if names or every else selection.everything(), sweep.value)
    if dialects:
        plain = tuple(under for each in dialects for under in _under(each, plain if names or every or matrix else None))
    found = tuple(each for each in plain if set(each.sides) & set(sides))
    if not found:
        raise UsageError(
            f"None of these scenarios concerns the side {' or '.join(sides)}: see popreceipt middleware --list."
        )
    return found


def _under(dialect: str, named: "tuple[Scenario, ...] | None") -> "Iterator[Scenario]":
    """Scenarios under a dialect: those asked for, else those that touch one of its points, else the quick ones."""
    from popreceipt.middleware import dialects, selection

    points = {each.strip().partition("=")[0] for each in dialect.split(",")}
    touched = tuple(each for each in selection.everything() if points & set(each.touches))
    for each in named if named is not None else touched or selection.quick():
        yield dialects.under(each, dialect)


def _subject(
    command: Sequence[str] | None, options: "Options", environment_file: Path | None, patience: float, *, quiet: bool
) -> "MakeSubject":
    """The command, or a process that runs already."""
    from popreceipt.middleware.running import command_of

    if command:
        from popreceipt.middleware.subject import resolved

        return command_of(resolved(command, Path.cwd()))

    from popreceipt.middleware import attach

    def tell(told: Mapping[str, Any]) -> None:
        if environment_file is not None:
            attach.write_environment(told["environment"], environment_file)
        # Where standard output is for the verdicts, it is told beside.
        print(attach.as_line(told), file=sys.stderr if quiet else sys.stdout, flush=True)

    return attach.attached(tell, options, patience=patience)


def _with_bundles(result: "Result", options: "Options", folder: Path) -> "Result":
    """The result, its violations told with the folders in which they can be looked at and played again.

    Of a rule that is violated everywhere a few are enough.
    """
    from popreceipt.middleware import bundle
    from popreceipt.middleware.result import again, violations
    from popreceipt.middleware.running import label
    from popreceipt.reports.result import file_name

    made: Counter[str] = Counter()
    told = []
    for each in result.judged:
        wanted = {one.id for one in violations(each) if made[one.id] < BUNDLES_OF_A_RULE}
        made.update(wanted)
        some = replace(each, rules=tuple(one for one in each.rules if one.id in wanted))
        own = folder / file_name(label(each.played.scenario))
        paths = bundle.write(some, own, again(result, each, options)) if wanted else {}
        rules = tuple(replace(one, bundle=str(paths[one.id])) if one.id in paths else one for one in each.rules)
        told.append(replace(each, rules=rules))
    return replace(result, judged=tuple(told))


def _write(result: "Result", out: Path | None, json_file: Path | None, html_file: Path | None) -> None:
    file = out
    try:
        if out is not None:
            result.write_junit(out / "junit.xml")
            result.write(out / "verdicts.json")
        if json_file is not None and json_file != STANDARD_OUTPUT:
            file = json_file
            result.write(json_file)
        if html_file is not None:
            from popreceipt.middleware import report

            file = html_file
            report.write(result, html_file)
    except OSError as error:
        raise UsageError(f"Cannot write {file}: {error.strerror or error}.") from error


def _write_allure(result: "Result", folder: Path, *, strict: bool) -> None:
    """A case for each scenario, with what crossed the wire in it, and one for each rule."""
    from popreceipt.reports.allure import run
    from popreceipt.reports.evidence import by_number

    crossed = {
        (each.played.scenario.name, each.played.scenario.dialect): by_number(each.played.journal.exchanges())
        for each in result.judged
    }
    run.end(result.as_json(), folder, "middleware", exchanges={}, scenario_exchanges=crossed, strict=strict)


def _show(result: "Result", out: Path | None, json_file: Path | None, html_file: Path | None, *, strict: bool) -> None:
    if json_file == STANDARD_OUTPUT:
        print(json.dumps(result.as_json(), indent=1))
        return
    from popreceipt.middleware import terminal
    from popreceipt.rules import catalogue
    from popreceipt.verdict import Binds

    terminal.show(result, Console(), {each.id: each for each in catalogue(Binds.CLIENT)}, strict=strict)
    written = [str(each) for each in (json_file, html_file) if each is not None]
    if out is not None:
        bundles = sum(one.bundle is not None for each in result.judged for one in each.rules)
        also = f", {bundles} in bundles/" if bundles else ""
        written.insert(0, f"{out} (verdicts.json, junit.xml, scenarios/{also})")
    if written:
        Console(stderr=True).print(f"Written: {', '.join(written)}", style="dim", soft_wrap=True)


class Telling:
    """How far it is, on standard error: a bar on a terminal, else a word now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = stopwatch()

    @contextmanager
    def of_playing(self) -> Iterator["Watch"]:
        """While scenarios are played: how many are over, which are under way, and how long the rest should take."""
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        ) as bar:
            task = bar.add_task("starting", total=None)

            def watch(pace: "Pace") -> None:
                words = f"{', '.join(pace.playing[:2])}{', …' if len(pace.playing) > 2 else ''}"
                left = f"about {_minutes(pace.remaining)} to go"
                bar.update(task, total=pace.total, completed=pace.done, description=f"{words[:56].ljust(56)} {left}")
                if not self._console.is_terminal and stopwatch() - self._said >= SILENCE_SECONDS:
                    told = f"popreceipt: {pace.done} of {pace.total} scenarios played, {left}"
                    print(told, file=sys.stderr, flush=True)
                    self._said = stopwatch()

            yield watch


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
