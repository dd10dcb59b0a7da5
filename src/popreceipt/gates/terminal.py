"""What a gate decided, on a terminal. Words of servers and subjects are shown, never obeyed."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popreceipt.gates.deciding import Decision, Remark
from popreceipt.gates.paired import Compared, Outcome, Standing
from popreceipt.reports.plain import one_line

LONGEST: Final = 300
"""Characters of a remark that are shown."""

STYLES: Final = {
    0: ("✔", "passed", "bold green"),
    1: ("✘", "not passed", "bold red"),
    3: ("?", "nothing proved", "bold yellow"),
}

STANDINGS: Final = {Standing.SLOWER: ("✘", "red"), Standing.KEPT: ("✔", "green"), Standing.OPEN: ("?", "yellow")}


def show(console: Console, decision: Decision) -> None:
    """Print why a result may pass or not, what fails first."""
    for remarks, failing in ((decision.failing, True), (decision.told, False)):
        if remarks:
            console.print(_table(remarks, failing=failing))
            console.print()
    line = _ending(decision.exit_status, decision.evidence.path.name)
    line.append(f"  {one_line(decision.evidence.target, LONGEST)} beside {decision.baseline.path}", style="dim")
    line.append(f", {counts(decision)} on {decision.today} (UTC)", style="dim")
    console.print(line)


def counts(decision: Decision) -> str:
    """How many rules were exercised, and how many findings are accepted."""
    rules, accepted = len(decision.evidence.exercised), len(decision.baseline.accepted)
    told = f"{rules} {'rule' if rules == 1 else 'rules'} exercised"
    return f"{told}, {accepted} {'acceptance' if accepted == 1 else 'acceptances'}"


def _table(remarks: Sequence[Remark], *, failing: bool) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column("")
    made.add_column("kind", no_wrap=True)
    made.add_column("words", overflow="fold")
    for each in remarks:
        words = Text(one_line(each.subject, LONGEST), style="bold")
        words.append(f"{where(each)}: ", style="dim")
        words.append(one_line(each.words, LONGEST), style="default" if failing else "dim")
        made.add_row(
            Text("✘" if failing else "·", style="bold red" if failing else "dim"),
            Text(each.kind.value, style="red" if failing else "dim"),
            words,
        )
    return made


def where(remark: Remark) -> str:
    """The scenario and the entry that a remark is about, as words that follow its subject."""
    scenario = "" if remark.scenario is None else f" in {one_line(remark.scenario, LONGEST)}"
    return scenario if remark.entry is None else f"{scenario}, entry {remark.entry}"


def show_paired(console: Console, outcome: Outcome) -> None:
    """Print which figures became slower, which did not, and how much the machine's own noise was."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    made.add_column("")
    made.add_column("figure")
    for name in ("ratio", "surely between", "noise a round", "drift"):
        made.add_column(name, justify="right")
    for each in outcome.compared:
        symbol, style = STANDINGS[each.standing]
        made.add_row(
            Text(symbol, style=style),
            Text(one_line(each.name, LONGEST), style=style),
            Text(f"{each.ratio:.3f}", style=style),
            interval(each),
            f"{each.noise:.1%}",
            f"{each.drift:.2f} ×",
        )
    console.print(made)
    for name, why in outcome.left_out.items():
        console.print(Text(f"· {one_line(name, LONGEST)} is not compared: {why}", style="dim"))
    for words in reasons(outcome):
        console.print(Text(words), soft_wrap=True)
    line = _ending(outcome.exit_status, one_line(outcome.paired.what, LONGEST))
    line.append(f"  {one_line(outcome.paired.after, LONGEST)} beside {one_line(outcome.paired.before, LONGEST)}", "dim")
    line.append(f", {len(outcome.paired.rounds)} rounds, tolerance {outcome.tolerance:.0%}", style="dim")
    line.append(f", confidence {outcome.confidence:.0%}", style="dim")
    console.print(line)


def interval(each: Compared) -> str:
    """The bounds of a ratio, as far as there are any."""
    low, high = each.as_json()["low"], each.as_json()["high"]
    return f"{'…' if low is None else f'{low:.3f}'} to {'…' if high is None else f'{high:.3f}'}"


def reasons(outcome: Outcome) -> list[str]:
    """In words, why a paired measurement may not pass, or proves nothing; and which rounds do not count."""
    told = [one_line(each, LONGEST) for each in outcome.paired.convicted]
    told += [
        f"{one_line(each.name, LONGEST)} is slower: {each.ratio:.2f} times as much, surely {each.low:.2f} times"
        for each in outcome.of(Standing.SLOWER)
    ]
    told += [f"The measurement proves nothing: {one_line(each, LONGEST)}." for each in outcome.doubts]
    if undecided := outcome.of(Standing.OPEN):
        told.append(
            f"{len(undecided)} {'figure is' if len(undecided) == 1 else 'figures are'} open: the noise of this "
            f"machine hides whether {'it is' if len(undecided) == 1 else 'they are'} slower by "
            f"{outcome.tolerance:.0%}. Take more rounds, longer ones, or a quieter machine."
        )
    told += [
        f"Round {number} does not count: {one_line(each.doubt, LONGEST)}."
        for number, each in enumerate(outcome.paired.rounds, 1)
        if each.doubt is not None
    ]
    return told


def _ending(status: int, what: str) -> Text:
    symbol, words, style = STYLES[status]
    return Text(f"{symbol} {what}: {words}", style=style)
