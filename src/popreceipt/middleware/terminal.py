"""A run's result on a terminal: what became of which rule in which scenario, and what is behind each violation.

First the matrix, then the grid of lost answers, then violations with their exchanges, dialects, what was not exercised,
and one line that says it all. Nothing is decided here.
"""

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from popreceipt.middleware.matrix import KINDS, OPERATIONS, PHASES, cell_of
from popreceipt.middleware.played import Judged
from popreceipt.middleware.result import Result, crash_of, ending_in_words, violations
from popreceipt.middleware.running import label
from popreceipt.middleware.scenario import Scenario
from popreceipt.middleware.timeline import Timelines
from popreceipt.reports import evidence, lanes
from popreceipt.reports.terminal import SYMBOLS
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Level, Outcome, RuleVerdict

SHOULD_VIOLATED: Final = ("!", "yellow")
"""A recommendation that was not kept convicts nobody, and looks so."""

NOTHING_SAID: Final = (" ", "dim")

FINDINGS_SHOWN: Final = 1
SCENARIOS_SHOWN: Final = 3
LINES_OF_OUTPUT: Final = 12
RULES_NAMED: Final = 8
WIDEST: Final = 120


def show(result: Result, console: Console, rules: Mapping[str, Rule], *, strict: bool = False) -> None:
    """Print everything a person wants after a run."""
    plain = [each for each in result.judged if each.played.scenario.dialect is None]
    lost = [each for each in plain if cell_of(each.played.scenario) is not None]
    others = [each for each in plain if cell_of(each.played.scenario) is None]
    for part in matrix(others, result.rules, width=console.width):
        console.print(part)
    if lost:
        console.print(grid(lost))
    for each in _violated(result, rules, min(console.width, WIDEST)):
        # Not wrapped: exchanges and command lines are there to be copied.
        console.print(each, soft_wrap=True)
    for one in (*_crashes(result), *_undecided(result), *_dialects(result), *_unexercised(result)):
        console.print(one)
    for note in result.notes:
        console.print(Text(note, style="yellow"))
    console.print(summary(result, strict=strict), soft_wrap=True)


# The matrix


def matrix(judged: Sequence[Judged], rules: Sequence[RuleVerdict], *, width: int) -> Iterator[RenderableType]:
    """A row a scenario and a column for each rule that said something in any of them, with the rules' names below.

    Rules that do not fit beside each other follow in a further table.
    """
    said = {one.id for each in judged for one in each.rules if one.outcome is not Outcome.UNEXERCISED}
    shown = [each for each in rules if each.id in said]
    if not judged:
        return
    if not shown:
        yield Text("No rule found anything to judge.", style="yellow")
        return
    names = max(len(_row_name(each)) for each in judged)
    columns = max(5, width - names - 2)
    for first in range(0, len(shown), columns):
        yield _matrix_table(judged, shown[first : first + columns], first)
    yield _legend(judged, shown)


def _matrix_table(judged: Sequence[Judged], rules: Sequence[RuleVerdict], first: int) -> Text:
    names = max(len(_row_name(each)) for each in judged)
    numbers = [first + place + 1 for place in range(len(rules))]
    made = Text("\n")
    for line in _headings(numbers):
        made.append(" " * (names + 2) + line + "\n", style="dim")
    for each in judged:
        outcomes = {one.id: one for one in each.rules}
        made.append(_row_name(each).ljust(names + 2), style=_row_style(each))
        for rule in rules:
            symbol, style = _symbol(outcomes.get(rule.id))
            made.append(symbol, style=style)
        made.append("\n")
    return made


def _headings(numbers: Sequence[int]) -> Iterator[str]:
    """The columns' numbers, written downwards."""
    digits = len(str(numbers[-1]))
    for place in range(digits):
        yield "".join(str(each).rjust(digits)[place] for each in numbers)


def _legend(judged: Sequence[Judged], rules: Sequence[RuleVerdict]) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(justify="right", style="dim")
    made.add_column(no_wrap=True)
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for number, rule in enumerate(rules, 1):
        here = [one for each in judged for one in each.rules if one.id == rule.id]
        symbol, style = _symbol(min(here, key=_badness))
        wrong = [each for each in judged for one in each.rules if one.id == rule.id and _is_wrong(one)]
        made.add_row(str(number), rule.id, rule.level, Text(f"{symbol} {_some(wrong)}".rstrip(), style=style))
    return made


def _row_name(judged: Judged) -> str:
    return label(judged.played.scenario)


def _row_style(judged: Judged) -> str:
    if judged.played.fault is not None:
        return "yellow"
    return "bold red" if violations(judged, Level.MUST) else ""


def _symbol(verdict: RuleVerdict | None) -> tuple[str, str]:
    if verdict is None or verdict.outcome is Outcome.UNEXERCISED:
        return NOTHING_SAID
    if verdict.outcome is Outcome.VIOLATED and verdict.level is not Level.MUST:
        return SHOULD_VIOLATED
    return SYMBOLS[verdict.outcome]


def _is_wrong(verdict: RuleVerdict) -> bool:
    return verdict.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED)


def _badness(verdict: RuleVerdict) -> int:
    return list(Outcome).index(verdict.outcome)


# The lost-response matrix


def grid(judged: Sequence[Judged]) -> Table:
    """What became of the subject where an answer was lost: a row an operation, a column a kind of loss.

    Each cell has two signs: the operation was struck before its effect, and after it.
    """
    cells = {place: each for each in judged if (place := cell_of(each.played.scenario)) is not None}
    kinds = [kind for kind in KINDS if any(kind == one for _, _, one in cells)]
    made = Table(
        title=f"An answer is lost: {' and '.join(PHASES)} its effect",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    made.add_column("")
    for kind in kinds:
        made.add_column(kind, justify="center")
    for operation in OPERATIONS:
        if any(operation == one for one, _, _ in cells):
            pairs = [[_cell(cells.get((operation, phase, kind))) for phase in PHASES] for kind in kinds]
            made.add_row(operation, *(Text(" ").join(each) for each in pairs))
    return made


def _cell(judged: Judged | None) -> Text:
    """One combination: the worst that any rule said."""
    if judged is None:
        return Text("·", style="dim")
    if violations(judged, Level.MUST):
        return Text(*SYMBOLS[Outcome.VIOLATED])
    if violations(judged):
        return Text(*SHOULD_VIOLATED)
    if judged.played.fault is not None or any(each.outcome is Outcome.UNDECIDED for each in judged.rules):
        return Text(*SYMBOLS[Outcome.UNDECIDED])
    if all(each.outcome is Outcome.UNEXERCISED for each in judged.rules):
        return Text(*SYMBOLS[Outcome.UNEXERCISED])
    return Text(*SYMBOLS[Outcome.HELD])


# What is behind it


def _violated(result: Result, rules: Mapping[str, Rule], width: int) -> Iterator[Text]:
    """Each violated rule once, with the exchanges of the first scenario that shows it: MUST rules first."""
    found = result.verdicts.with_outcome(Outcome.VIOLATED)
    for verdict in sorted(found, key=lambda each: each.level is not Level.MUST):
        where = [(each, one) for each in result.judged for one in violations(each) if one.id == verdict.id]
        yield _violation(verdict, rules.get(verdict.id), where, width)


def _violation(
    verdict: RuleVerdict, rule: Rule | None, where: Sequence[tuple[Judged, RuleVerdict]], width: int
) -> Text:
    """The rule, what was seen, and (of one that convicts) the timeline of the message."""
    symbol, style = SYMBOLS[Outcome.VIOLATED] if verdict.level is Level.MUST else SHOULD_VIOLATED
    body = Text()
    body.append(f"\n{symbol} {verdict.id} violated ({verdict.level})\n", style=style)
    if rule is not None:
        body.append(f"{rule.text}\n")
        body.append(f"{rule.source} ({rule.provenance})\n", style="dim")
    judged, here = where[0]
    exchanges = evidence.by_number(judged.played.journal.exchanges())
    told = [each for each in here.findings if each.outcome is Outcome.VIOLATED]
    for finding in told[:FINDINGS_SHOWN]:
        body.append(f"\n{_row_name(judged)}: {finding.message}\n", style="bold")
        for line in evidence.lines_for(finding.exchanges, exchanges, movable=False)[0]:
            body.append(f"  {line}\n")
    if verdict.level is Level.MUST:
        # Title and sentence stand above.
        drawing = replace(Timelines(judged).of(here), title="", sentence="")
        for each in list(lanes.text_lines(drawing, width))[1:]:
            body.append_text(each).append("\n")
    if len(told) > FINDINGS_SHOWN:
        body.append(f"… and {len(told) - FINDINGS_SHOWN} more like it, in verdicts.json\n", style="dim")
    if len(where) > 1:
        body.append(f"also in: {_some([each for each, _ in where[1:]])}\n", style="dim")
    if here.bundle is not None:
        body.append(f"all of it: {here.bundle}\n", style="dim")
    return body


def _some(judged: Sequence[Judged]) -> str:
    """The first of these scenarios by name, and how many more there are."""
    more = f" and {len(judged) - SCENARIOS_SHOWN} more" if len(judged) > SCENARIOS_SHOWN else ""
    return ", ".join(map(_row_name, judged[:SCENARIOS_SHOWN])) + more


def _crashes(result: Result) -> Iterator[Text]:
    """Where the subject fell over or reported a problem, with the last of what it said the first time."""
    found = [(each, how) for each in result.judged if (how := crash_of(each)) is not None]
    if not found:
        return
    first, how = found[0]
    body = Text(f"\nThe subject {ending_in_words(how)} in {_row_name(first)}", style="yellow")
    if len(found) > 1:
        body.append(f", and so in {_some([each for each, _ in found[1:]])}")
    body.append(".\n")
    for line in first.played.output_tail.splitlines()[-LINES_OF_OUTPUT:]:
        body.append(f"  {_printable(line)}\n", style="dim")
    yield body


def _undecided(result: Result) -> Iterator[Text]:
    """What could not be decided: our own faults first, then rules that had too little to go by."""
    for each in result.faults:
        yield Text(f"{_row_name(each)} decides nothing, for a fault of ours: {each.played.fault}", style="bold yellow")
    for verdict in result.verdicts.with_outcome(Outcome.UNDECIDED):
        told = [each.message for each in verdict.findings if each.outcome is Outcome.UNDECIDED]
        if told:
            yield Text(f"? {verdict.id}: {told[0]}", style="yellow")


def _dialects(result: Result) -> Iterator[RenderableType]:
    """How many dialects the subject survives, and the first that breaks it."""
    dialects = result.dialects
    if not dialects:
        return
    survived = [each for each in dialects if each.broken is None and each.decided]
    broken = [each for each in dialects if each.broken is not None]
    line = Text(f"\nsurvives {len(survived)} of {len(dialects)} dialects", style="bold")
    if unknown := len(dialects) - len(survived) - len(broken):
        line.append(f" ({unknown} undecided)", style="yellow")
    parts: list[RenderableType] = [line]
    for place, each in enumerate(broken):
        assert each.broken is not None  # noqa: S101 - chosen so
        told = Text(f"{'first broken by' if not place else 'also by'} {each.dialect} ", style="bold red")
        told.append(f"in {each.broken.scenario}: {each.broken.words}", style="")
        if each.broken.plain:
            told.append(" (as it is without the dialect)", style="dim")
        parts.append(told)
    shaken = [each for each in survived if each.shaken]
    if shaken:
        names = "; ".join(f"{each.dialect} ({', '.join(each.shaken)})" for each in shaken)
        parts.append(Text(f"survived, but recommendations were not kept: {names}", style="yellow"))
    yield Group(*parts)


def _unexercised(result: Result) -> Iterator[Text]:
    """What was not exercised and why: a line a reason, by chapter where there are many."""
    reasons: dict[str, list[str]] = {}
    for each in result.verdicts.with_outcome(Outcome.UNEXERCISED):
        reasons.setdefault(each.reason or "", []).append(each.id)
    for reason, ids in reasons.items():
        told = ", ".join(ids)
        if len(ids) > RULES_NAMED:
            chapters = ", ".join(dict.fromkeys(each.partition(".")[0] for each in ids))
            told = f"{len(ids)} rules ({chapters})"
        yield Text(f"· not exercised, {reason}: {told}", style="dim")


def summary(result: Result, *, strict: bool = False) -> Text:
    """One line: how many rules ended how, in how many scenarios, and what that amounts to."""
    counts = result.verdicts.summary()
    violated = result.verdicts.with_outcome(Outcome.VIOLATED)
    must = sum(each.level is Level.MUST for each in violated)
    made = Text("\n")
    made.append(f"{result.verdicts.target['name']}  ", style="bold")
    for place, outcome in enumerate((Outcome.HELD, Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.UNEXERCISED)):
        _, style = SYMBOLS[outcome]
        number = counts[outcome.value]
        made.append(", " if place else "")
        made.append(f"{number} {outcome}", style=style if number else "dim")
        if outcome is Outcome.VIOLATED and number:
            made.append(f" ({must} MUST)", style="bold red" if must else "yellow")
    played = len(result.judged)
    of = "" if played == result.asked else f" of {result.asked}"
    made.append(f"; {played}{of} scenario{_s(result.asked)} in {result.seconds:.1f} s")
    made.append(f", lease {result.lease_seconds:g} s, {result.jobs} at once, seed {result.seed}", style="dim")
    if result.interrupted:
        made.append("; stopped", style="bold red")
    elif result.faults:
        made.append(f"; {len(result.faults)} failed for our sake", style="bold red")
    elif result.exit_status(strict=strict) == 3:
        made.append("; nothing was exercised", style="bold red")
    return made


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _printable(line: str) -> str:
    """A line of the subject's output that moves no cursor."""
    return "".join(each if each.isprintable() or each == "\t" else "\ufffd" for each in line)[:300]


def list_scenarios(console: Console, scenarios: Iterable[Scenario], quick: Collection[str], lease: float) -> None:
    """Print what can be played, two lines each: name, sides, at most how many seconds; and what goes wrong."""
    listed = list(scenarios)
    names = max((len(each.name) for each in listed), default=0)
    sides = max((len("+".join(each.sides)) for each in listed), default=0)
    for each in listed:
        seconds = f"≤ {each.leases * each.lease_factor * lease:g} s"
        head = Text(f"{each.name.ljust(names)}  ", style="bold")
        head.append(f"{'+'.join(each.sides).ljust(sides)}  {seconds.rjust(8)}", style="not bold")
        head.append("  quick" if each.name in quick else "", style="not bold green")
        head.rstrip()
        console.print(head, soft_wrap=True)
        told = textwrap.fill(each.title, min(console.width, WIDEST), initial_indent="    ", subsequent_indent="    ")
        console.print(Text(told, style="dim"), soft_wrap=True)
