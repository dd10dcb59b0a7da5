"""A load run's result on a terminal: latencies with their tail, what rules found, and whether it may be believed."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from popreceipt.load.figures import percentiles
from popreceipt.load.result import LoadResult, Standing
from popreceipt.reports.terminal import SYMBOLS
from popreceipt.rules import find
from popreceipt.verdict import Outcome, RuleVerdict

STYLES = {Standing.VALID: "bold green", Standing.INCONCLUSIVE: "bold yellow", Standing.INVALID: "bold red"}

SHOWN_FINDINGS = 2


def show(result: LoadResult, console: Console, *, strict: bool = False) -> None:
    """Print everything a person wants after a run; the answer stands last, where the eye is."""
    parts: list[Any] = []
    tables = {
        "Real milliseconds. Response time counts from when a request was intended, service time from when it began.": (
            _latencies(result)
        ),
        "Minutes of the target's time, and messages": _waits(result),
        "What the monitoring recurrence saw, and the run's own count then": _monitoring(result),
        "What could be done at most": _ceilings(result),
    }
    for title, table in tables.items():
        if table is not None:
            parts += [Text(title, style="dim"), table, Text()]
    parts += _findings(result)
    parts += [Text(f"! {each}", style="yellow") for each in result.warnings]
    parts += [_rules(result), *_gates(result), _answer(result, strict=strict)]
    console.print(Group(*parts))


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="dim")


def _latencies(result: LoadResult) -> Table | None:
    if not result.figures.operations:
        return None
    made = _table()
    made.add_column("", no_wrap=True)
    for name in ("requests", "failed"):
        made.add_column(name, justify="right")
    for kind in ("response p50", "p95", "p99", "max", "service p95", "p99"):
        made.add_column(kind, justify="right")
    for name, each in result.figures.operations.items():
        response, service = percentiles(each.response), percentiles(each.service)
        failed = sum(each.failures.values())
        made.add_row(
            name,
            f"{each.requests:,}",
            Text(f"{failed:,}" if failed else "", style="red"),
            *(_ms(response[one]) for one in ("p50", "p95", "p99", "max")),
            *(Text(_ms(service[one]), style="dim") for one in ("p95", "p99")),
        )
    return made


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _waits(result: LoadResult) -> Table | None:
    """Waits in the target's minutes."""
    rows = list(wait_rows(result.messages))
    if not rows:
        return None
    made = _table()
    made.add_column("")
    made.add_column("messages", justify="right")
    for name in ("mean", "p50", "p95", "p99", "max"):
        made.add_column(name, justify="right")
    made.add_column("")
    for what, number, spread, remark in rows:
        figures = ("" if spread is None else f"{spread[name]:.2f}" for name in ("mean", "p50", "p95", "p99", "max"))
        made.add_row(what, f"{number:,}", *figures, Text(remark, style="yellow"))
    backlog = result.messages.get("backlog")
    if backlog is not None:
        made.add_row("waiting at once", "", f"{backlog['mean']:.1f}", "", "", "", f"{backlog['max']:,}", "")
    return made


def wait_rows(messages: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, float] | None, str]]:
    """What a result tells of waits: of what, how many, how long, and what is to be said of them."""
    if (imports := messages.get("imports")) is not None:
        left = imports["unprocessed"]
        remark = f"{left:,} not processed" if left else ""
        yield "handed in to processed", imports["processed"], imports["wait_minutes"], remark
    if (exports := messages.get("exports")) is not None:
        remarks = [f"{exports['unacknowledged']:,} not acknowledged"] if exports["unacknowledged"] else []
        remarks += [f"{exports['redelivered']:,} redelivered"] if exports["redelivered"] else []
        yield "produced to acknowledged", exports["acknowledged"], exports["wait_minutes"], ", ".join(remarks)


def _monitoring(result: LoadResult) -> Table | None:
    if not result.monitoring:
        return None
    made = _table()
    for name in ("minute", "waiting", "counted"):
        made.add_column(name, justify="right")
    shown = result.monitoring if len(result.monitoring) <= 12 else result.monitoring[:: len(result.monitoring) // 12]
    for at, waiting, counted in shown:
        made.add_row(f"{at:.0f}", f"{waiting:.0f}", "" if counted is None else f"{counted:.0f}")
    return made


def _ceilings(result: LoadResult) -> Table | None:
    if not result.ceilings:
        return None
    made = _table()
    for name in ("ceiling of", "requests/s", "used at the busiest", "how it is known"):
        made.add_column(name, justify="right" if "/" in name or "used" in name else "left")
    for each in result.ceilings:
        style = "yellow" if each.used >= 0.8 else ""
        made.add_row(f"the {each.side}", f"{each.per_second:,.0f}", Text(f"{each.used:.0%}", style=style), each.how)
    return made


def _findings(result: LoadResult) -> Iterator[Text]:
    """What is behind each violated rule, the worst of it."""
    for verdict in result.verdicts.with_outcome(Outcome.VIOLATED):
        symbol, style = SYMBOLS[verdict.outcome]
        body = Text()
        body.append(f"{symbol} {verdict.id} ({verdict.level}) {verdict.outcome}\n", style=style)
        body.append(f"{find(verdict.id).text}\n")
        for finding in findings(verdict)[:SHOWN_FINDINGS]:
            numbers = ", ".join(str(each) for each in finding[1])
            body.append(f"  {finding[0]}", style="bold")
            body.append(f" (exchanges {numbers})\n" if numbers else "\n", style="dim")
        more = len(findings(verdict)) - SHOWN_FINDINGS
        if more > 0:
            body.append(f"  … and {more} more like it, in the journal and the JSON\n", style="dim")
        yield body


def findings(verdict: RuleVerdict) -> list[tuple[str, tuple[int, ...]]]:
    """What shows a verdict's outcome: words and the numbers of exchanges."""
    return [(each.message, each.exchanges) for each in verdict.findings if each.outcome is verdict.outcome]


def _rules(result: LoadResult) -> Text:
    counts = result.verdicts.summary()
    made = Text("rules: ", style="bold")
    for place, outcome in enumerate(
        (Outcome.HELD, Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.ANSWERED, Outcome.UNEXERCISED)
    ):
        number = counts[outcome.value]
        made.append(", " if place else "")
        made.append(f"{number} {outcome}", style=SYMBOLS[outcome][1] if number else "dim")
    return made


def _gates(result: LoadResult) -> Iterator[Text]:
    for each in result.gates:
        if each.kept is None:
            yield Text(f"? {each.what}: nothing to be measured (allowed {each.allowed:g})", style="yellow")
        elif not each.kept:
            yield Text(f"✘ {each.what}: {each.found:.4g} (allowed {each.allowed:g})", style="bold red")


def _answer(result: LoadResult, *, strict: bool) -> Text:
    """The last line: what came of it, and whether it counts."""
    plan = result.plan
    made = Text()
    for each in (*result.faults, *result.reasons):
        made.append(f"{each}\n", style="red")
    made.append(result.standing.value, style=STYLES[result.standing])
    if not result.finished:
        made.append(", stopped" if result.interrupted else ", cut short", style="bold red")
    violated = len(result.verdicts.with_outcome(Outcome.VIOLATED))
    said = "no rule violated" if not violated else f"{violated} rule{'s' if violated > 1 else ''} violated"
    made.append(f"  {plan.scenario} on {result.target.get('name')}: ", style="bold")
    made.append(f"{result.requests:,} requests, {result.failed:,} failed, ")
    made.append(said, style="bold red" if violated else "")
    made.append(f"; {plan.per_hour:g} messages an hour for {plan.minutes:g} min")
    if (rate := result.target.get("rate", 1.0)) != 1.0:
        made.append(f" at scaled:{rate:g}")
    made.append(f", seed {plan.seed}", style="dim")
    if not result.interrupted:
        made.append(f", exit status {result.exit_status(strict=strict)}", style="dim")
    return made
