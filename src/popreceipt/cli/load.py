"""`popreceipt load`: put load on a target, judge what crossed the wire, and tell latencies that may be believed."""

import importlib.util
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from popreceipt.cli import completing
from popreceipt.cli.files import see_writable
from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError

if TYPE_CHECKING:
    from popreceipt.load.judging import Progress as Judging
    from popreceipt.load.pace import Pace
    from popreceipt.load.plan import LoadPlan
    from popreceipt.load.result import LoadResult
    from popreceipt.load.running import Options, Watch

app = typer.Typer()

SILENCE_SECONDS = 10.0
"""Without a terminal, a run says a word after so much silence."""

INTERRUPTED = 130

STANDARD_OUTPUT = Path("-")

NEEDED = {"locust": "locust", "hdrh": "hdrhistogram"}
"""Modules without which there is no load, and the packages in which they come."""


class Scenario(StrEnum):
    """The files in `locustfiles/`."""

    IMPORTS = "imports"
    EXPORTS = "exports"
    POLLING = "polling"
    WATCHING = "watching"
    MIXED = "mixed"


class ShapeName(StrEnum):
    """How arrivals are spread."""

    STEADY = "steady"
    TICKS = "ticks"
    BUSINESS_DAY = "business-day"
    RAMP = "ramp"
    SOAK = "soak"
    OUTAGE = "outage"


@app.command()
def load(
    scenario: Annotated[
        Scenario | None,
        typer.Argument(
            metavar="SCENARIO",
            help="imports (files are handed in), exports (messages are produced, dequeued, downloaded and "
            "acknowledged), polling (imports, with clients that ask for statuses), watching (an administrator looks "
            "on), mixed (all of them).",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="Whom to put load on: emulator:, emulator:MUTANT, emulator:dialect=NAME (each started for the run, in "
            "a process of its own), http://HOST:PORT, https://…, or tenant:NAME, where its table says load = true.",
        ),
    ] = "emulator:",
    rate: Annotated[
        float,
        typer.Option(
            metavar="R",
            help="Messages an hour of the target's time: handed in, and as many produced for consumers. With "
            "business-day that of the busiest hour, with ramp that at the end.",
        ),
    ] = 600.0,
    minutes: Annotated[float, typer.Option(metavar="M", help="How long, in minutes of the target's time.")] = 60.0,
    processes: Annotated[int, typer.Option(metavar="P", min=1, max=64, help="Processes that make the load.")] = 1,
    shape: Annotated[
        ShapeName,
        typer.Option(
            help="How arrivals are spread: steady, ticks (all of a recurrence at its tick, which is the jobs' own "
            "where that comes within a real minute), business-day (from seven in the morning), ramp (from nothing), "
            "soak (steady, for long), outage (steady, with consumers that are "
            "away and catch up)."
        ),
    ] = ShapeName.STEADY,
    clock: Annotated[
        str | None,
        typer.Option(
            metavar="C",
            help="Clock of an emulator that is started for the run: system, or scaled:R for R seconds in one; "
            "scaled:60, an hour in a minute, unless told.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="P",
            help="What the documentation leaves open, for such an emulator: a profile's name or a TOML file.",
            autocompletion=completing.profiles,
        ),
    ] = None,
    processing_minutes: Annotated[
        float, typer.Option(metavar="N", help="Processing recurrence of the jobs, in whole minutes.")
    ] = 5.0,
    monitoring_minutes: Annotated[
        float, typer.Option(metavar="N", help="Monitoring recurrence of the jobs, in whole minutes; 0 for none.")
    ] = 15.0,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Recurring data jobs of each direction that share the load.")
    ] = 1,
    consumers: Annotated[int, typer.Option(metavar="N", min=1, help="Consumers of exports.")] = 2,
    poll_minutes: Annotated[
        float,
        typer.Option(metavar="N", help="From an answer that nothing waits to the next poll, in the target's minutes."),
    ] = 1.0,
    pollers: Annotated[int, typer.Option(metavar="N", min=0, help="Clients that ask for statuses.")] = 1,
    records: Annotated[int, typer.Option(metavar="N", min=0, help="Records in each file.")] = 3,
    outage_minutes: Annotated[
        float,
        typer.Option(metavar="N", help="With --shape outage: so long consumers are away, from a third of the run on."),
    ] = 60.0,
    p95_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="The p95 of each operation's response time may be so many real milliseconds, from the instant at "
            "which a request was intended; more is a finding.",
        ),
    ] = None,
    error_share: Annotated[
        float,
        typer.Option(metavar="S", help="This share of requests may end without a success; more is a finding."),
    ] = 0.01,
    min_requests: Annotated[
        int, typer.Option(metavar="N", min=0, help="A run with fewer requests proves nothing.")
    ] = 1,
    lag: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="So late, in real seconds, the generator may begin an arrival; later makes the run INVALID.",
        ),
    ] = 0.5,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of arrivals, files and choices.")] = 0,
    generator_ceiling: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=0.001, help="Requests a second that the generator can make, instead of measuring it."
        ),
    ] = None,
    target_ceiling: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=0.001, help="Requests a second that the target can answer, where somebody measured that."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Journals, figures and load.json go there.")] = Path(
        "reports/load"
    ),
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for standard output, with no table."),
    ] = None,
    html_file: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the report, one page with plots that stands alone."),
    ] = None,
    allure: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write results for Allure there: latencies as metrics, a case for each threshold and each rule.",
        ),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate authority of a TLS target.")] = None,
    control_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", envvar="POPRECEIPT_CONTROL_KEY", help="Key of a control plane off loopback."),
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Send nothing: judge again what a run left in this folder, with what workers on other machines left "
            "and somebody put there.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Violated SHOULD rules and undecided ones count as findings.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Compare speed: the same load on this target too, in turns with --target, round after round. The "
            "answer is whether --target is slower; paired.json in --out holds what was measured.",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="With --against: rounds, each a run of both. Settle it beforehand.")
    ] = 12,
    tolerance: Annotated[
        float,
        typer.Option(metavar="SHARE", help="With --against: so much slower is no finding: 0.15 is fifteen hundredths."),
    ] = 0.15,
    confidence: Annotated[
        float, typer.Option(metavar="SHARE", help="With --against: so sure speed is judged; else the answer is open.")
    ] = 0.95,
) -> None:
    """Put load on a target, judge what crossed the wire, and tell latencies that may be believed.

    Rates, recurrences and waits are in the target's time, latencies in real milliseconds. Arrivals are open: each has
    an intended instant, and its latency counts from there.

    Exit status: 0 well, 1 a rule violated or a threshold not kept, 2 wrong usage, 3 INVALID, INCONCLUSIVE, cut short
    or nothing exercised, 4 a fault of the harness, 130 stopped.
    """
    from popreceipt.load.plan import LoadPlan, Thresholds

    if (scenario is None) == (judge is None):
        raise UsageError(
            f"Name a scenario ({', '.join(Scenario)}), or a folder with --judge: not "
            f"{'both' if judge is not None else 'neither'}."
        )
    _see_that_all_is_there(NEEDED if judge is None else {"hdrh": NEEDED["hdrh"]}, html_file)
    for file in (json_file, html_file):
        if file is not None and file != STANDARD_OUTPUT:
            see_writable(file)
    if allure is not None:
        from popreceipt.reports.allure import folder as allure_folder

        allure_folder.require()
        allure_folder.prepare(allure)
    telling = Telling(Console(stderr=True))
    if judge is None and scenario is not None:
        from popreceipt.load.running import Options, run_load

        plan = LoadPlan(
            scenario=scenario.value,
            shape=shape.value,
            per_hour=rate,
            minutes=minutes,
            activities=jobs,
            processing_minutes=processing_minutes,
            monitoring_minutes=monitoring_minutes or None,
            consumers=consumers,
            poll_minutes=poll_minutes,
            pollers=pollers,
            records=records,
            outage_minutes=outage_minutes,
            lag_seconds=lag,
            seed=seed,
            thresholds=Thresholds(p95_ms=p95_ms, error_share=error_share, min_requests=min_requests),
        )
        options = Options(
            target=target,
            folder=out,
            processes=processes,
            ca=ca,
            control_key=control_key,
            clock=clock,
            profile=profile,
            generator_ceiling=generator_ceiling,
            target_ceiling=target_ceiling,
        )
        if against is not None:
            if html_file is not None:
                raise UsageError("A comparison has no page of its own: leave out --html, or --against.")
            raise typer.Exit(_in_turns(plan, options, against, rounds, tolerance, confidence, json_file, telling))
        with telling.of_load(plan) as watch:
            run_load(plan, options, watch)
        folder = out
    else:
        folder = judge if judge is not None else out
    result = _judged(folder, telling)
    _write(result, folder, json_file, html_file)
    if allure is not None:
        from popreceipt.reports.allure import metrics

        metrics.write_load(result.as_json(), allure, strict=strict)
    _show(result, folder, json_file, html_file, strict=strict)
    raise typer.Exit(INTERRUPTED if result.interrupted and judge is None else result.exit_status(strict=strict))


def _in_turns(
    plan: "LoadPlan",
    options: "Options",
    against: str,
    rounds: int,
    tolerance: float,
    confidence: float,
    json_file: Path | None,
    telling: "Telling",
) -> int:
    """Measure two targets in turns and decide whether the second is slower; the command's exit status."""
    from dataclasses import replace

    from popreceipt.cli.gate import tell_paired
    from popreceipt.gates import paired
    from popreceipt.gates import rounds as measured
    from popreceipt.load import turns
    from popreceipt.load.folder import RESULT

    paired.check(tolerance, confidence)
    ended: list[LoadResult] = []
    errors = Console(stderr=True)
    with telling.of_load(plan) as watch:
        for result in turns.take(
            plan,
            replace(options, target=against),
            options,
            rounds,
            watch,
            lambda words: errors.print(f"popreceipt: {words}", highlight=False, markup=False),
        ):
            ended.append(result)
            if result.interrupted or result.faults:
                break
    whole = len(ended) == 2 * rounds and not ended[-1].interrupted and not ended[-1].faults
    taken = len(ended) // 2
    if not taken:
        return INTERRUPTED if ended[-1].interrupted else ended[-1].exit_status()
    runs = {
        side: [turns.folder_of(options.folder, number, side) / RESULT for number in range(1, taken + 1)]
        for side in (turns.BEFORE, turns.AFTER)
    }
    found = measured.of_load(runs[turns.BEFORE], runs[turns.AFTER], complete=whole)
    measured.write(found, options.folder / measured.FILE)
    outcome = paired.compare(found, tolerance=tolerance, confidence=confidence)
    if json_file not in (None, STANDARD_OUTPUT):
        measured.write(found, json_file)
    tell_paired(outcome, as_json=json_file == STANDARD_OUTPUT)
    errors.print(f"Written to {options.folder}: {measured.FILE}, and a folder for each run", style="dim")
    if ended[-1].interrupted:
        return INTERRUPTED
    return 4 if ended[-1].faults else outcome.exit_status


def _see_that_all_is_there(needed: dict[str, str], html_file: Path | None) -> None:
    """Whatever is not installed is said before anything is begun."""
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"Load needs {', '.join(missing)}: pip install 'popreceipt[load]'.")
    if html_file is not None:
        if importlib.util.find_spec("markupsafe") is None:
            raise UsageError("The page needs markupsafe: pip install 'popreceipt[load]'.")
        from popreceipt.reports import charts

        charts.require("load")


def _judged(folder: Path, telling: "Telling") -> "LoadResult":
    from popreceipt.load.judging import judge_run

    with telling.of_judging() as progress:
        return judge_run(folder, progress=progress)


def _write(result: "LoadResult", folder: Path, json_file: Path | None, html_file: Path | None) -> None:
    from popreceipt.load.folder import RESULT

    for file in {folder / RESULT, json_file} - {None, STANDARD_OUTPUT}:
        if file is not None:
            result.write(file)
    if html_file is not None:
        from popreceipt.load.report import as_page

        try:
            html_file.write_text(as_page(result, command=_command()), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"Cannot write {html_file}: {error.strerror or error}. Give another file.") from error


def _show(result: "LoadResult", folder: Path, json_file: Path | None, html_file: Path | None, *, strict: bool) -> None:
    if json_file == STANDARD_OUTPUT:
        print(json.dumps(result.as_json(), indent=1))
        return
    from popreceipt.load import terminal

    terminal.show(result, Console(), strict=strict)
    written = [str(each) for each in (json_file, html_file) if each is not None]
    also = f"; {', '.join(written)}" if written else ""
    Console(stderr=True).print(f"Written to {folder}: journal.ndjson, figures, load.json{also}", style="dim")


def _command() -> str:
    """What was asked for, without the key that may be in it."""
    words = ["popreceipt", *sys.argv[1:]]
    for place, word in enumerate(words):
        if word == "--control-key" and place + 1 < len(words):
            words[place + 1] = "…"
        elif word.startswith("--control-key="):
            words[place] = "--control-key=…"
    return shlex.join(words)


class Telling:
    """How far it is, on standard error: a bar on a terminal, else a word now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = stopwatch()

    @contextmanager
    def of_load(self, plan: "LoadPlan") -> Iterator["Watch"]:
        """While load runs: the rate so far, what waits, what failed, how late the generator was."""
        with self._bar() as (bar, task):

            def watch(pace: "Pace | None", words: str) -> None:
                told = words if pace is None else _pace_in_words(pace)
                done = None if pace is None else min(pace.minutes, plan.minutes)
                bar.update(task, total=plan.minutes, completed=done, description=told[:100].ljust(100))
                self._say(f"{0.0 if done is None else done:.0f} of {plan.minutes:g} min: {told}")

            yield watch

    @contextmanager
    def of_judging(self) -> Iterator["Judging"]:
        """While journals are read and judged."""
        with self._bar() as (bar, task):

            def progress(done: int, total: int, words: str) -> None:
                bar.update(task, total=total or None, completed=done, description=words[:70].ljust(70))
                self._say(f"{words} ({done:,} of {total:,})" if total else f"{words} ({done:,})")

            yield progress

    @contextmanager
    def _bar(self) -> Iterator[tuple[Progress, TaskID]]:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        ) as bar:
            yield bar, bar.add_task("starting", total=None)

    def _say(self, words: str) -> None:
        if not self._console.is_terminal and stopwatch() - self._said >= SILENCE_SECONDS:
            print(f"popreceipt: {words}", file=sys.stderr, flush=True)
            self._said = stopwatch()


def _pace_in_words(pace: "Pace") -> str:
    """How it goes, in the target's time; what was late, in real time."""
    told: list[Any] = []
    if pace.minutes > 0:
        told.append(f"{pace.arrivals / pace.minutes * 60:,.0f} messages an hour in all")
    told.append(f"{pace.requests:,} requests")
    if pace.waiting is not None:
        told.append(f"{max(0, pace.waiting):,} waiting")
    if pace.failed:
        told.append(f"{pace.failed:,} failed")
    told.append(f"late by {pace.lag_seconds * 1_000:.0f} ms at worst")
    return ", ".join(told)
