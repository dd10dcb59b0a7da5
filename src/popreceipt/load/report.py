"""A load run's result as one self-contained page: whether it counts, latencies with their tail, load, queues, rules.

What it shows is all in the result; it computes nothing but where to draw. The same result gives the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from markupsafe import Markup

from popreceipt.load.figures import Minute, percentiles
from popreceipt.load.result import LoadResult, Standing
from popreceipt.load.terminal import findings, wait_rows
from popreceipt.reports import charts, page
from popreceipt.reports.charts import Axis, Colour, Series
from popreceipt.reports.page import Cell, Column, Fact, Row, Tone
from popreceipt.rules import find
from popreceipt.verdict import Outcome, RuleVerdict

COLOURS: Final = (Colour.FIRST, Colour.SECOND, Colour.THIRD, Colour.FOURTH)

AT_MOST_POINTS: Final = 240
"""Minutes of a long run are drawn in so many stretches."""

SLOWER: Final = {"p50": 2, "p90": 10, "p95": 20, "p99": 100, "p99.9": 1_000}
"""One request in so many is slower than the percentile."""

TOLD_BY: Final = 5
"""A percentile is drawn where so many requests, or more, were slower than it: of fewer it is chance."""

SHOWN_FINDINGS: Final = 5

TONES: Final = {Standing.VALID: Tone.GOOD, Standing.INCONCLUSIVE: Tone.CAUTION, Standing.INVALID: Tone.BAD}

OUTCOMES: Final = {
    Outcome.VIOLATED: Tone.BAD,
    Outcome.UNDECIDED: Tone.CAUTION,
    Outcome.HELD: Tone.GOOD,
}

SIDES: Final = {"generator": "the generator", "target": "the target", "machine": "this machine"}


def as_page(result: LoadResult, *, command: str) -> str:
    """The page.

    Args:
        result: what came of the run.
        command: what makes such a run again.
    """
    parts = [_glance(result), _latencies(result), _load(result)]
    parts += [each for each in (_queues(result), _rules(result), _belief(result)) if each is not None]
    parts.append(_repeat(result, command))
    plan = result.plan
    return page.document(
        f"Load: {plan.scenario} on {result.target['name']}",
        *parts,
        verdict=_verdict(result),
        description=_sentence(result),
    )


def _sentence(result: LoadResult) -> str:
    plan = result.plan
    violated = len(result.verdicts.with_outcome(Outcome.VIOLATED))
    rules = (
        "no rule was violated" if not violated else f"{violated} rule{'s were' if violated > 1 else ' was'} violated"
    )
    return (
        f"{plan.per_hour:g} messages an hour for {plan.minutes:g} minutes of the target's time: "
        f"{result.requests:,} requests, {result.failed:,} without a success; {rules}."
    )


def _verdict(result: LoadResult) -> Markup:
    if result.faults:
        return page.verdict("A fault of the harness", _sentence(result), *result.faults, tone=Tone.BAD)
    if result.convicted():
        word = f"Violated, in a run that is {result.standing.value}"
        return page.verdict(word, _sentence(result), *result.reasons, tone=Tone.BAD)
    if not result.finished:
        return page.verdict(f"Cut short, {result.standing.value}", _sentence(result), *result.reasons, tone=Tone.BAD)
    missed = tuple(f"Not kept: {each.what} {each.found:.4g}, allowed {each.allowed:g}." for each in result.missed)
    tone = Tone.BAD if missed and result.standing is Standing.VALID else TONES[result.standing]
    return page.verdict(result.standing.value, _sentence(result), *result.reasons, *missed, tone=tone)


def _glance(result: LoadResult) -> Markup:
    figures, plan = result.figures, result.plan
    share = result.failed / result.requests if result.requests else 0.0
    clock, rate = result.target.get("clock", ""), float(result.target.get("rate", 1.0))
    facts = [
        Fact("Requests", f"{result.requests:,}", f"{share:.2%} without a success"),
        Fact(
            "Generator late by",
            f"{figures.worst_lag_seconds * 1_000:.0f} ms",
            f"at worst; {plan.lag_seconds:g} s allowed",
        ),
        Fact("Clock", f"{clock}:{rate:g}" if rate != 1.0 else str(clock), "the target's seconds in a real one"),
    ]
    for what, number, spread, _ in wait_rows(result.messages):
        if spread is not None:
            facts.append(Fact(f"{what.capitalize()}, p95", f"{spread['p95']:.1f} min", f"{number:,} messages"))
    return page.section("glance", "At a glance", page.facts(*facts), page.warnings(result.warnings))


# Latencies


def _latencies(result: LoadResult) -> Markup:
    columns = [Column("Operation"), Column("Requests", number=True), Column("Failed", number=True)]
    names = ("p50", "p95", "p99", "p99.9", "max")
    columns += [Column(f"{each}, ms", number=True) for each in names]
    rows = []
    for name, each in result.figures.operations.items():
        response, service = percentiles(each.response), percentiles(each.service)
        failed = sum(each.failures.values())
        how = ", ".join(f"{count} × {said}" for said, count in sorted(each.failures.items()))
        rows.append(
            Row(
                (
                    name,
                    f"{each.requests:,}",
                    Cell(f"{failed:,}", how),
                    *(Cell(_ms(response[one]), f"service {_ms(service[one])}") for one in names),
                )
            )
        )
    parts = [
        page.paragraph(
            "Response time counts from the instant at which a request was intended, in real milliseconds: when the "
            "target stands still, all that was due meanwhile waits for it, and is counted. Service time, below it, "
            "counts from when the request really began."
        ),
        page.table("Latencies by operation", columns, rows),
    ]
    drawn = list(_tails(result))
    if drawn:
        farthest = max(place for each in drawn for place, _ in each.points)
        ticks = [each for each in SLOWER.values() if each <= farthest]
        parts.append(
            page.figure(
                "How slow the slowest are",
                charts.plot(
                    "tails",
                    drawn,
                    x=Axis("one request in so many is slower", log=True, ticks=ticks),
                    y=Axis("real milliseconds", log=True),
                    title="Percentiles of response and service time",
                    description=f"For each operation the response time that one request in {ticks[0]} exceeds, up to "
                    f"one in {ticks[-1]:,}; dashed the service time.",
                ),
                "Lines are response times, dashed ones service times. Where they part, requests waited for their turn.",
            )
        )
    return page.section("latencies", "Latencies", *parts)


def _tails(result: LoadResult) -> Iterator[Series]:
    most = sorted(result.figures.operations.items(), key=lambda each: -each[1].requests)[: len(COLOURS)]
    for (name, each), colour in zip(most, COLOURS, strict=False):
        response, service = percentiles(each.response), percentiles(each.service)
        known = [(place, one) for one, place in SLOWER.items() if each.requests >= place * TOLD_BY]
        lines = (("line", response, name), ("dashed", service, f"{name}, service"))
        for shown, values, words in lines:
            points = [(float(place), values[one]) for place, one in known if values[one] > 0]
            if len(points) > 1:  # one point is no line
                yield Series(words, points, colour, shown="line" if shown == "line" else "dashed")


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


# Load and queues


def _load(result: LoadResult) -> Markup:
    minutes = result.figures.minutes[: max(1, round(result.plan.minutes))]
    parts = [
        page.paragraph(
            "Requests a minute of the target's time: those that were due, those that began, those that were answered. "
            "Arrivals do not wait for answers; consumers, pollers and administrators do."
        )
    ]
    if len(minutes) > 1:
        series = [
            Series(words, _by_stretch([getattr(each, name) for each in minutes]), colour, shown=shown)
            for name, words, colour, shown in _LINES
            if any(getattr(each, name) for each in minutes)
        ]
        if series:
            parts.append(
                page.figure(
                    "Requests a minute",
                    charts.plot(
                        "load",
                        series,
                        x=Axis("minutes of the target's time from the start", low=0),
                        y=Axis("requests a minute", low=0),
                        title="Requests a minute: due, begun, answered, failed",
                        description=_told(minutes),
                    ),
                    "A generator that falls behind shows as a line of what began that runs late; see the ceilings.",
                )
            )
    return page.section("load", "Load", *parts)


_LINES: Final[Sequence[tuple[str, str, Colour, Literal["line", "dashed"]]]] = (
    ("answered", "answered", Colour.FIRST, "line"),
    ("intended", "due", Colour.INK, "dashed"),
    ("begun", "begun", Colour.THIRD, "line"),
    ("failed", "failed", Colour.BAD, "line"),
)


def _told(minutes: Sequence[Minute]) -> str:
    answered = [each.answered for each in minutes]
    return (
        f"{sum(answered):,} requests were answered in {len(minutes)} minutes, at most {max(answered):,} in one of "
        f"them; {sum(each.intended for each in minutes):,} were due."
    )


def _by_stretch(values: Sequence[float]) -> list[tuple[float, float]]:
    """Values by minute as points, of a long run the mean of each stretch, in its middle."""
    length = -(-len(values) // AT_MOST_POINTS)
    return [
        (start + len(part) / 2, sum(part) / len(part))
        for start in range(0, len(values), length)
        if (part := values[start : start + length])
    ]


def _queues(result: LoadResult) -> Markup | None:
    backlog: Mapping[str, Any] | None = result.messages.get("backlog")
    rows = [
        Row(
            (
                Cell(what.capitalize(), remark),
                f"{number:,}",
                *("" if spread is None else f"{spread[each]:.2f}" for each in ("mean", "p50", "p95", "p99", "max")),
            )
        )
        for what, number, spread, remark in wait_rows(result.messages)
    ]
    if not rows and backlog is None and not result.monitoring:
        return None
    parts = []
    if rows:
        columns = [Column("Wait, minutes of the target's time"), Column("Messages", number=True)]
        columns += [Column(each, number=True) for each in ("Mean", "p50", "p95", "p99", "Max")]
        parts.append(page.table("How long messages waited", columns, rows))
    series = []
    if backlog is not None and len(backlog["by_minute"]) > 1:
        series.append(Series("own count", _by_stretch(backlog["by_minute"]), Colour.FIRST))
    if result.monitoring:
        seen = [(at, waiting) for at, waiting, _ in result.monitoring]
        series.append(Series("monitoring", seen, Colour.SECOND, shown="points"))
    if series and sum(len(each.points) for each in series) > 1:
        parts.append(
            page.figure(
                "Messages that wait",
                charts.plot(
                    "depth",
                    series,
                    x=Axis("minutes of the target's time from the start", low=0),
                    y=Axis("messages", low=0),
                    title="Depth of the queues by the run's own count, and as the monitoring recurrence sampled it",
                    description=""
                    if backlog is None
                    else f"At most {backlog['max']} waited, {backlog['mean']:.1f} on average.",
                ),
                "The line is the deepest that the run itself counted in each minute, over all queues; points are what "
                "the monitoring recurrence saw at its ticks.",
            )
        )
    if result.monitoring:
        columns = [Column("Minute", number=True), Column("Monitoring", number=True), Column("Own count", number=True)]
        step = -(-len(result.monitoring) // 48)
        listed = [
            Row((f"{at:.1f}", f"{waiting:.0f}", "unknown" if counted is None else f"{counted:.0f}"))
            for at, waiting, counted in result.monitoring[::step]
        ]
        parts.append(
            page.table("What monitoring saw beside what the run counted at the same instants", columns, listed)
        )
    return page.section("queues", "Queues", *parts)


# Correctness


def _rules(result: LoadResult) -> Markup:
    counts = result.verdicts.summary()
    parts = [
        page.paragraph(
            f"Every exchange of the run was judged: {counts['held']} rules held, {counts['violated']} were violated, "
            f"{counts['undecided']} could not be decided, {counts['answered']} were answered, "
            f"{counts['unexercised']} found nothing to judge, for load does not bring everything about."
        )
    ]
    for verdict in result.verdicts.with_outcome(Outcome.VIOLATED):
        parts += [page.heading(f"{verdict.id} ({verdict.level})"), page.paragraph(find(verdict.id).text)]
        parts.append(page.bullets(_witnessed(verdict)))
    shown = [
        Row(
            (
                each.id,
                str(each.level),
                f"{each.situations:,}",
                Cell(each.outcome.value, each.reason or "", OUTCOMES[each.outcome]),
            )
        )
        for outcome in OUTCOMES
        for each in result.verdicts.with_outcome(outcome)
    ]
    columns = [Column("Rule"), Column("Level"), Column("Situations", number=True), Column("Outcome")]
    if shown:
        parts.append(page.table("Rules that promise something, and found something to judge", columns, shown))
    return page.section("rules", "Correctness", *parts)


def _witnessed(verdict: RuleVerdict) -> Iterator[str]:
    listed = findings(verdict)
    for words, numbers in listed[:SHOWN_FINDINGS]:
        yield f"{words} (exchanges {', '.join(map(str, numbers))})" if numbers else words
    if len(listed) > SHOWN_FINDINGS:
        yield f"and {len(listed) - SHOWN_FINDINGS} more like it, in the JSON"


def _belief(result: LoadResult) -> Markup:
    parts = []
    if result.ceilings:
        columns = [
            Column("Ceiling of"),
            Column("Requests a second", number=True),
            Column("Used at the busiest", number=True),
            Column("How it is known"),
        ]
        rows = [
            Row(
                (
                    SIDES.get(each.side, each.side),
                    f"{each.per_second:,.0f}",
                    Cell(f"{each.used:.0%}", tone=Tone.CAUTION if each.used >= 0.8 else Tone.GOOD),
                    each.how,
                )
            )
            for each in result.ceilings
        ]
        parts.append(page.table("Ceilings on this machine", columns, rows))
    columns = [Column("Threshold"), Column("Allowed", number=True), Column("Found", number=True), Column("")]
    rows = [
        Row(
            (
                each.what,
                f"{each.allowed:g}",
                "nothing" if each.found is None else f"{each.found:.4g}",
                _KEPT[each.kept],
            )
        )
        for each in result.gates
    ]
    parts.append(page.table("Thresholds", columns, rows))
    return page.section("belief", "May it be believed?", *parts)


_KEPT: Final = {
    True: Cell("kept", tone=Tone.GOOD),
    False: Cell("not kept", tone=Tone.BAD),
    None: Cell("unknown", tone=Tone.CAUTION),
}


def _repeat(result: LoadResult, command: str) -> Markup:
    figures, target = result.figures, result.target
    workers = len([each for each in figures.worker.split(",") if each])
    return page.section(
        "repeat",
        "How to repeat it",
        page.code(command, label="Command"),
        page.paragraph(
            f"Target {target['name']}, build {target.get('build') or 'unknown'}. {workers} "
            f"process{'es' if workers != 1 else ''} made the load in {figures.wall_seconds:.0f} real seconds. The same "
            "seed gives the same arrivals."
        ),
    )
