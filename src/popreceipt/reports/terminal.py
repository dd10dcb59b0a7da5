"""Verdicts on a terminal: a table by chapter, then what is behind each broken rule."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popreceipt.journal import Exchange
from popreceipt.reports.evidence import lines_for
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Level, Outcome, RuleVerdict, SuiteFailure, Verdicts

SYMBOLS = {
    Outcome.HELD: ("✔", "green"),
    Outcome.VIOLATED: ("✘", "bold red"),
    Outcome.UNDECIDED: ("?", "yellow"),
    Outcome.ANSWERED: ("→", "cyan"),
    Outcome.UNEXERCISED: ("·", "dim"),
}

_FINDINGS_SHOWN = 1


def print_verdicts(
    console: Console, verdicts: Verdicts, rules: Mapping[str, Rule], exchanges: Mapping[int, Exchange]
) -> None:
    """Print everything a person wants after a run."""
    console.print(table(verdicts))
    for line in not_exercised(verdicts):
        console.print(line)
    for verdict in verdicts.with_outcome(Outcome.VIOLATED, Outcome.UNDECIDED):
        if verdict.id in rules:
            movable = verdicts.target.get("clock") == "manual"
            # Not wrapped: a command line is there to be copied.
            console.print(details(verdict, rules[verdict.id], exchanges, movable=movable), soft_wrap=True)
    told = {each.id for each in verdicts.with_outcome(Outcome.VIOLATED)}
    for failure in verdicts.failures:
        if failure.check not in told:
            console.print(_failed(failure, exchanges), soft_wrap=True)
    for each in _searches(verdicts):
        console.print(each)
    for note in verdicts.notes:
        console.print(Text(note, style="yellow"))
    console.print(summary(verdicts))


def table(verdicts: Verdicts) -> Table:
    """A row a rule, in chapters."""
    made = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    made.add_column("")
    made.add_column("rule", no_wrap=True)
    made.add_column("level")
    made.add_column("seen", justify="right")
    made.add_column("outcome", overflow="fold")
    chapter = ""
    for verdict in verdicts.rules:
        if verdict.chapter != chapter:
            chapter = verdict.chapter
            made.add_row("", Text(chapter, style="bold"))
        symbol, style = SYMBOLS[verdict.outcome]
        made.add_row(
            Text(symbol, style=style),
            Text("  " + verdict.id.partition(".")[2]),
            Text(verdict.level, style="dim"),
            str(verdict.situations or ""),
            Text(_outcome(verdict), style=style),
        )
    return made


def not_exercised(verdicts: Verdicts) -> Iterator[Text]:
    """A paragraph for each reason why rules were not exercised, the most frequent first, with the rules behind it."""
    behind: dict[str, list[str]] = {}
    for verdict in verdicts.with_outcome(Outcome.UNEXERCISED):
        behind.setdefault(verdict.reason or "no situation for it arose", []).append(verdict.id)
    symbol, style = SYMBOLS[Outcome.UNEXERCISED]
    for reason, names in sorted(behind.items(), key=lambda each: -len(each[1])):
        line = Text(f"\n{symbol} not exercised: {reason}\n")
        line.append("  " + ", ".join(names), style=style)
        yield line


def details(verdict: RuleVerdict, rule: Rule, exchanges: Mapping[int, Exchange], *, movable: bool) -> Text:
    """Why a rule is violated or undecided: its text, its place, the exchanges that show it, and how to repeat them."""
    symbol, style = SYMBOLS[verdict.outcome]
    body = Text()
    body.append(f"\n{symbol} {verdict.id} {verdict.outcome}\n", style=style)
    body.append(f"{rule.text}\n")
    body.append(f"{rule.source} ({rule.provenance})\n", style="dim")
    if verdict.reason:
        body.append(f"{verdict.reason}\n")
    findings = [each for each in verdict.findings if each.outcome is verdict.outcome]
    for finding in findings[:_FINDINGS_SHOWN]:
        body.append(f"\n{finding.message}\n", style="bold")
        lines, commands = lines_for(finding.exchanges, exchanges, movable=movable)
        for each in lines:
            body.append(f"  {each}\n")
        if commands and verdict.outcome is Outcome.VIOLATED:
            body.append("show it again:\n", style="dim")
            for each in commands:
                body.append(f"  {each}\n", style="dim")
    if verdict.bundle is not None:
        body.append(f"\npopreceipt replay {verdict.bundle}\n", style="dim")
    if len(findings) > _FINDINGS_SHOWN:
        body.append(f"\n… and {len(findings) - _FINDINGS_SHOWN} more like it, in verdicts.json\n", style="dim")
    return body


def summary(verdicts: Verdicts) -> Text:
    """One line: how many rules ended how, and on what."""
    counts = verdicts.summary()
    must = len([each for each in verdicts.with_outcome(Outcome.VIOLATED) if each.level is Level.MUST])
    made = Text()
    made.append(f"{verdicts.target.get('name', 'journal')}  ", style="bold")
    for place, outcome in enumerate(
        (Outcome.HELD, Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.ANSWERED, Outcome.UNEXERCISED)
    ):
        _, style = SYMBOLS[outcome]
        number = counts[outcome.value]
        made.append(", " if place else "")
        made.append(f"{number} {outcome}", style=style if number else "dim")
        if outcome is Outcome.VIOLATED and number:
            made.append(f" ({must} MUST)", style="bold red" if must else "yellow")
    made.append(f" in {verdicts.duration_seconds:.1f} s")
    if verdicts.seed is not None:
        made.append(f", seed {verdicts.seed}", style="dim")
    if not verdicts.complete:
        made.append("; not complete", style="bold red")
    return made


def _failed(failure: SuiteFailure, exchanges: Mapping[int, Exchange]) -> Text:
    """What a suite found by a check of its own."""
    _, style = SYMBOLS[Outcome.VIOLATED]
    body = Text()
    body.append(f"\n✘ {failure.check} failed ({failure.suite}, {failure.where})\n", style=style)
    body.append(f"{failure.expected}\n\n")
    body.append(f"{failure.message}\n", style="bold")
    for each in lines_for(failure.exchanges, exchanges, movable=False)[0]:
        body.append(f"  {each}\n")
    if failure.bundle is not None:
        body.append(f"\npopreceipt replay {failure.bundle}\n", style="dim")
    return body


def _searches(verdicts: Verdicts) -> Iterator[Text]:
    """A line for each suite that searched: what it did, in its own figures, as far as they are plain."""
    for name, figures in verdicts.suites.items():
        plain = [f"{value:,} {word.replace('_', ' ')}" for word, value in _numbers(figures).items()]
        why = figures.get("unexercised")
        line = Text(f"{name}: ", style="bold")
        line.append(f"unexercised: {why}" if why else ", ".join(plain), style="yellow" if why else "")
        yield line


def _numbers(figures: Mapping[str, Any]) -> dict[str, int]:
    """The whole numbers among figures; of figures by part (by machine), the sums of those that each part has."""
    found = {word: value for word, value in figures.items() if isinstance(value, int) and not isinstance(value, bool)}
    parts = [_numbers(value) for value in figures.values() if isinstance(value, Mapping)]
    if found or not parts:
        return found
    shared = [word for word in parts[0] if word != "seed" and all(word in part for part in parts)]
    return {"parts": len(parts)} | {word: sum(part[word] for part in parts) for word in shared}


def _outcome(verdict: RuleVerdict) -> str:
    if verdict.outcome is Outcome.ANSWERED:
        return verdict.answer or ""
    return verdict.outcome.value
