"""`popreceipt gate`: compare a result with a baseline, or two targets with each other by rounds taken in turns."""

import importlib.util
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from popreceipt.clock import SystemClock
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.gates import baseline as baselines
from popreceipt.gates import evidence, markdown, paired, rounds, terminal
from popreceipt.gates.deciding import Decision, decide
from popreceipt.rules import catalogue

app = typer.Typer()

STANDARD_OUTPUT = Path("-")


def _rules(incomplete: str) -> list[str]:
    return [each.id for each in catalogue(None) if each.id.startswith(incomplete)]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day; write it as 2027-01-31.") from error


@app.command()
def gate(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...",
            help="What verify, judge, middleware, load or size wrote: a file, or the folder with it. With --before "
            "several results of load.",
        ),
    ],
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is accepted, and what was seen before (TOML); kept beside the code."),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Write into the baseline what became better or is new; the file is made where there is none. Findings "
            "that no entry accepts, and what became less, are listed and not written.",
        ),
    ] = False,
    shrink: Annotated[
        bool,
        typer.Option("--shrink", help="With --update: also write what is no longer exercised, played or decided."),
    ] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="With --update: add entries for this rule's findings, for which --owner answers; may be given again.",
            autocompletion=_rules,
        ),
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="WHO", help="With --accept: who sees to it.")] = None,
    issue: Annotated[str | None, typer.Option(metavar="URL", help="With --accept: where it is dealt with.")] = None,
    expires: Annotated[
        date | None,
        typer.Option(
            metavar="YYYY-MM-DD", parser=_day, help="With --accept: the last day (UTC) on which it is accepted."
        ),
    ] = None,
    message: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="With --accept: the whole message of the findings, a star for any characters. Without it one is made "
            "from each message, with stars for numbers, times and GUIDs.",
        ),
    ] = None,
    another_target: Annotated[
        bool, typer.Option("--another-target", help="The result may be of another target than the baseline's.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Undecided rules, changed answers and recommendations that are not kept fail as well."
        ),
    ] = False,
    today: Annotated[
        date | None,
        typer.Option(
            metavar="YYYY-MM-DD", parser=_day, help="Decide as on another day (UTC): to see what will have expired."
        ),
    ] = None,
    before: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RESULT",
            help="Compare speed: results of load (files, or folders of them) of what is compared with, as many as "
            "RESULT names, taken in turns with those. `popreceipt load --against` takes them so.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="SHARE", help="So much slower is no finding: 0.15 is fifteen hundredths.")
    ] = paired.TOLERANCE,
    confidence: Annotated[
        float, typer.Option(metavar="SHARE", help="So sure speed is judged; else the answer is open.")
    ] = paired.CONFIDENCE,
    markdown_file: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write a summary as Markdown; - for standard output."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the decision as JSON instead of a table.")] = False,
) -> None:
    """Compare a result with a baseline: nothing that was not accepted, nothing worse than it was.

    Exit status: 0 passed, 1 not passed, 2 wrong usage, 3 the result proves nothing or (speed) the noise leaves it open.
    """
    if json_output and markdown_file == STANDARD_OUTPUT:
        raise UsageError("JSON and Markdown cannot both go to standard output: give --markdown a file.")
    _fit_together(
        update=update, baseline=baseline, before=before, shrink=shrink, accept=accept, today=today, strict=strict
    )
    files = [evidence.result_file(each) for each in results] if not before else []
    first = evidence.load(files[0]) if len(files) == 1 else None
    if before or (first is not None and first["format"] == evidence.PAIRED):
        if baseline is not None:
            raise UsageError("Speed is compared between two targets, not with a baseline: leave out --baseline.")
        measured = (
            rounds.of_load(rounds.results_in(before), rounds.results_in(results))
            if before
            else rounds.read(files[0], first or {})
        )
        outcome = paired.compare(measured, tolerance=tolerance, confidence=confidence)
        tell_paired(outcome, markdown_file=markdown_file, as_json=json_output)
        raise typer.Exit(outcome.exit_status)
    if len(files) > 1:
        raise UsageError("One result is compared with a baseline; several are rounds, and need --before.")
    if baseline is None:
        raise UsageError("Say with --baseline FILE what the result is compared with; --update makes the file.")
    day = today if today is not None else SystemClock().now().date()
    found = evidence.read(files[0])
    if update:
        decision = _updated(
            found,
            baseline,
            day,
            shrink=shrink,
            acceptance=(accept or (), owner, issue, expires, message),
            strict=strict,
            another_target=another_target,
        )
    else:
        decision = _decide(found, baselines.read(baseline), day, strict=strict, another_target=another_target)
    _write_markdown(markdown.of(decision), markdown_file)
    if json_output:
        print(json.dumps(decision.as_json(), indent=1))
    elif markdown_file != STANDARD_OUTPUT:
        terminal.show(Console(), decision)
    raise typer.Exit(decision.exit_status)


def tell_paired(outcome: paired.Outcome, *, markdown_file: Path | None = None, as_json: bool = False) -> None:
    """Print what was decided on a paired measurement, and write it down where that was asked for."""
    _write_markdown(markdown.of_paired(outcome), markdown_file)
    if as_json:
        print(json.dumps(outcome.as_json(), indent=1))
    elif markdown_file != STANDARD_OUTPUT:
        terminal.show_paired(Console(), outcome)


def _fit_together(
    *,
    update: bool,
    baseline: Path | None,
    before: Sequence[Path] | None,
    shrink: bool,
    accept: Sequence[str] | None,
    today: date | None,
    strict: bool,
) -> None:
    """See that the options that were given make sense together."""
    if not update and (shrink or accept):
        raise UsageError(f"{'--shrink' if shrink else '--accept'} says what --update writes: give that too.")
    if update and today is not None:
        raise UsageError("A baseline is updated today: leave out --today.")
    if before and (update or baseline is not None or strict):
        raise UsageError("Speed is compared between two targets, not with a baseline: leave out what belongs to one.")


def _decide(
    found: evidence.Evidence, baseline: baselines.Baseline, today: date, *, strict: bool, another_target: bool
) -> Decision:
    known = {each.id: each.level for each in catalogue(None)}
    return decide(found, baseline, today=today, known=known, strict=strict, another_target=another_target)


_Asked = tuple[Sequence[str], str | None, str | None, date | None, str | None]


def _updated(
    found: evidence.Evidence,
    file: Path,
    today: date,
    *,
    shrink: bool,
    acceptance: _Asked,
    strict: bool,
    another_target: bool,
) -> Decision:
    """Write what may be written, and decide anew beside what then stands there."""
    if importlib.util.find_spec("tomlkit") is None:
        raise UsageError('Writing a baseline needs tomlkit: pip install "popreceipt[gate]".')
    from popreceipt.gates import updating

    decision = _decide(found, updating.opened(file), today, strict=strict, another_target=another_target)
    _may_be_written(decision)
    entries = []
    rules, owner, issue, expires, message = acceptance
    if rules:
        if not owner or not issue or expires is None:
            raise UsageError("An acceptance has an --owner, an --issue and a last day, --expires.")
        entries = updating.accepted(
            decision,
            updating.Acceptance(rules=tuple(rules), owner=owner, issue=issue, expires=expires, message=message),
        )
        trial = updating.with_entries(decision.baseline, entries)
        decision = _decide(found, trial, today, strict=strict, another_target=another_target)
    written = updating.write(file, updating.seen_now(decision, shrink=shrink), entries)
    return _decide(found, written, today, strict=strict, another_target=another_target)


def _may_be_written(decision: Decision) -> None:
    """A result that proves nothing, or is of something else, changes no baseline."""
    from popreceipt.gates.deciding import NOTHING_PROVED, Kind

    for each in decision.failing:
        if each.kind in NOTHING_PROVED:
            raise NothingProved(f"Nothing is written to {decision.baseline.path}: {each.kind}; {each.words}.")
        if each.kind in (Kind.OTHER_TARGET, Kind.OTHER_KIND):
            raise UsageError(f"Nothing is written to {decision.baseline.path}: {each.kind}; {each.words}.")


def _write_markdown(text: str, file: Path | None) -> None:
    if file is None:
        return
    if file == STANDARD_OUTPUT:
        print(text, end="")
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {file}: {error.strerror or error}. Give another file.") from error
