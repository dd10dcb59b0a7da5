"""An answer as one self-contained page: the answer and its margin, what breaks first, plots, tables, how to repeat it.

What it shows is all in the answer; it computes nothing. The same answer gives the same bytes.
"""

from collections.abc import Iterator
from typing import Final

from markupsafe import Markup

from popreceipt import __version__
from popreceipt.reports import page
from popreceipt.reports.page import Cell, Column, Fact, Row, Tone
from popreceipt.sizing import plots, wording
from popreceipt.sizing.result import Candidate, Compared, Estimate, Lease, Margin, Monitoring, Sizing

FIGURES: Final = {
    "messages": "messages of a replication",
    "per_hour": "messages an hour",
    "service_seconds": "mean service time (s)",
}
"""What figures behind the answer are called where their names say too little."""

EVEN: Final = 1.5
"""Arrivals are drawn by the hour where the busiest has more than so many times those of the quietest."""


def as_page(sizing: Sizing, *, name: str, text: str, command: str) -> str:
    """The page.

    Args:
        sizing: the answer.
        name: the plan's, usually of its file.
        text: the plan as it was written.
        command: what makes this page again.
    """
    closer = wording.shown(sizing)
    glance = _at_a_glance(sizing)
    parts = [page.section("glance", "At a glance", *glance)] if glance else []
    parts.append(_waiting(sizing))
    if sizing.margin is not None:
        parts.append(_margin(sizing.margin))
    if closer is not None:
        parts.append(_closer(sizing, closer))
    if sizing.monitoring is not None:
        parts.append(_monitoring(sizing.monitoring))
    if sizing.lease is not None:
        parts.append(_lease(sizing, sizing.lease))
    if sizing.compared:
        parts.append(_compared(sizing.compared))
    parts += [_method(sizing), _repeat(sizing, name=name, text=text, command=command)]
    return page.document(f"Sizing of {name}", *parts, verdict=_verdict(sizing), description=wording.sentence(sizing))


def _verdict(sizing: Sizing) -> Markup:
    if sizing.recommended is None:
        return page.verdict("No recommendation", wording.sentence(sizing), *sizing.reasons, tone=Tone.BAD)
    more = [] if sizing.margin is None else [wording.bears(sizing.margin), sizing.margin.breaks_first]
    return page.verdict("Recommendation", wording.sentence(sizing), *more, tone=Tone.GOOD)


def _at_a_glance(sizing: Sizing) -> list[Markup]:
    """Figures and warnings, if there are any."""
    facts = []
    chosen, margin, watch = sizing.recommended, sizing.margin, sizing.monitoring
    if chosen is not None:
        p95 = chosen.wait_minutes["p95"]
        facts += [
            Fact("Processing recurrence", _minutes(chosen.processing_minutes), "takes all that waits at once"),
            Fact("Wait, 95 of 100 messages", wording.duration(p95.value), _interval_note(p95, "min")),
        ]
    if watch is not None and watch.minutes is not None:
        note = f"alarm above {wording.count(watch.alarm_waiting)} waiting"
        facts.insert(1, Fact("Monitoring recurrence", _minutes(watch.minutes), note))
    if margin is not None:
        facts += [
            Fact(
                "Arrivals may grow to",
                wording.times(margin.load_factor, margin.at_most),
                "before the objective is missed",
            ),
            Fact(
                "Service times may grow to",
                wording.times(margin.service_factor, margin.at_most),
                "before the objective is missed",
            ),
        ]
    if sizing.lease is not None:
        again = sizing.lease.redelivery_rate
        facts.append(
            Fact(
                "Offered again after 30 min",
                wording.share(again.value),
                f"safe prefetch: {sizing.lease.safe_prefetch}",
            )
        )
    told = [page.facts(*facts)] if facts else []
    return [*told, page.warnings(sizing.warnings)] if facts or sizing.warnings else []


def _waiting(sizing: Sizing) -> Markup:
    parts = [plots.waiting(sizing)] if any(each.stable for each in sizing.candidates) else []
    if sizing.recommended is not None:
        parts.append(page.bullets(sizing.reasons))
    return page.section("waiting", "Every recurrence that was compared", *parts, _candidates(sizing))


def _candidates(sizing: Sizing) -> Markup:
    columns = [
        Column("Recurrence (min)", number=True),
        Column("Answer"),
        Column("Busy", number=True),
        Column("Runs that outlast it", number=True),
        Column("Mean wait (min)", number=True),
        Column("p50 (min)", number=True),
        Column("p95 (min)", number=True),
        Column("p99 (min)", number=True),
        Column("Longest (min)", number=True),
        Column("Backlog, mean", number=True),
        Column("Backlog, most", number=True),
    ]
    closed = [
        Column("Recurrence (min)", number=True),
        Column("Mean, simulated (min)", number=True),
        Column("Mean, closed form (min)", number=True),
        Column("p95, simulated (min)", number=True),
        Column("p95, closed form (min)", number=True),
        Column("Room before an overrun (σ)", number=True),
        Column("Conditions of the closed form"),
    ]
    # Arrivals that were recorded, with service times that are always the same, leave nothing to chance.
    wide = any(wording.interval(estimate) for each in sizing.candidates for estimate in each.wait_minutes.values())
    intervals = ", with 95 % confidence intervals" if wide else ""
    rows, beside = [], []
    for each in sizing.candidates:
        word, tone = wording.standing(sizing, each)
        marked = Tone.GOOD if each is sizing.recommended else None
        waits = [_estimated(each, each.wait_minutes.get(name)) for name in wording.WAITS]
        rows.append(
            Row(
                [
                    wording.plain(each.processing_minutes),
                    Cell(word, each.why or "" if tone is Tone.CAUTION or not each.stable else "", tone),
                    wording.share(each.utilisation),
                    wording.share(each.overruns),
                    *waits,
                    Cell(wording.count(each.backlog["mean"].value)),
                    Cell(wording.count(each.backlog["max"].value), _counts(each.backlog["max"])),
                ],
                marked,
            )
        )
        bounds = each.bounds
        met = Cell("met", "simulation has to agree", Tone.GOOD) if bounds.exact else Cell("not met", bounds.why or "")
        beside.append(
            Row(
                [
                    wording.plain(each.processing_minutes),
                    _estimated(each, each.wait_minutes["mean"]),
                    wording.figure(bounds.mean_minutes),
                    _estimated(each, each.wait_minutes["p95"]),
                    wording.figure(bounds.p95_minutes),
                    wording.figure(bounds.margin_sigmas),
                    met,
                ],
                marked,
            )
        )
    return Markup("\n").join(
        [
            page.table(f"Simulated{intervals}", columns, rows),
            page.table("Beside closed forms", closed, beside),
        ]
    )


def _margin(margin: Margin) -> Markup:
    missed = "The objective is missed"
    grown = [
        (margin.load_factor, missed, "the arrivals"),
        (margin.service_factor, missed, "the service times"),
        (margin.overruns_factor, "More than one run in a hundred outlasts its recurrence", "the arrivals"),
        (margin.unstable_factor, "More comes than can be processed", "the arrivals"),
        (margin.consumers_factor, "Consumers fall behind", "what is produced"),
    ]
    found = sorted((factor, what, of) for factor, what, of in grown if factor is not None)
    rows = [Row([what, wording.since(factor, margin.at_most, of)]) for factor, what, of in found]
    doubled = f"p95 {wording.duration(margin.doubled)}" if margin.doubled is not None else "the queue never settles"
    drained = (
        "never worked off"
        if margin.outage_drain_minutes is None
        else f"worked off in {wording.duration(margin.outage_drain_minutes)}"
    )
    rows += [
        Row(["Arrivals double", doubled]),
        Row(["The batch server stands still for an hour", drained]),
    ]
    return page.section(
        "margin",
        "What breaks first",
        page.paragraph(margin.breaks_first),
        page.table("What the recommendation bears", [Column("What happens"), Column("When, or what follows")], rows),
    )


def _closer(sizing: Sizing, candidate: Candidate) -> Markup:
    every = wording.every(candidate.processing_minutes)
    parts = []
    if sizing.recommended is None:
        parts.append(
            page.note(
                f"Nothing is recommended. Shown is the recurrence that comes nearest: {every}.",
                tone=Tone.CAUTION,
                word="Not recommended",
            )
        )
    hourly = sizing.figures.get("hourly") or ()
    if hourly and max(hourly) > EVEN * min(hourly):
        parts.append(plots.arrivals(hourly))
    if candidate.day:
        parts.append(plots.backlog(sizing, candidate))
    if candidate.density[1]:
        parts.append(plots.density(sizing, candidate))
    return page.section("closer", f"Processing {every}, looked at closely", *parts)


def _monitoring(told: Monitoring) -> Markup:
    parts = [page.paragraph(told.why)]
    if told.minutes is not None:
        parts.insert(
            0,
            page.paragraph(
                f"Set the monitoring recurrence to {_minutes(told.minutes)} and look into it when a sample shows more "
                f"than {wording.count(told.alarm_waiting)} waiting messages; on ordinary days that happens "
                f"{wording.count(told.false_alarms_a_month)} times a month."
            ),
        )
    rows = [
        Row(
            [
                wording.plain(minutes),
                Cell("in time", "", Tone.GOOD) if there else Cell("too late", "", Tone.BAD),
                wording.share(told.shown[minutes]) if minutes in told.shown else "–",
                wording.figure(told.delays.get(minutes)),
                wording.count(told.alarms.get(minutes)),
            ],
            Tone.GOOD if minutes == told.minutes else None,
        )
        for minutes, there in told.tried.items()
    ]
    columns = [
        Column("Monitoring recurrence (min)", number=True),
        Column("Shows the overload"),
        Column("In this share of trials", number=True),
        Column("After (min, half of the trials)", number=True),
        Column("Alarm above (messages)", number=True),
    ]
    if rows:
        parts.append(page.table("Monitoring recurrences tried", columns, rows))
    return page.section("monitoring", "Monitoring", *parts)


def _lease(sizing: Sizing, told: Lease) -> Markup:
    again, twice = told.redelivery_rate, told.delivered_again
    rows = [
        Row(
            [
                "Not acknowledged within 30 minutes, so offered again",
                Cell(
                    f"{wording.share(again.value)} of messages",
                    f"{wording.share(again.low)} to {wording.share(again.high)}",
                ),
            ]
        ),
        Row(
            [
                "Delivered more than once",
                Cell(
                    f"{wording.share(twice.value)} of messages",
                    f"{wording.share(twice.low)} to {wording.share(twice.high)}",
                ),
            ]
        ),
        Row(["Redeliveries", f"{wording.count(told.redeliveries_a_day)} a day"]),
        Row(["One file's download and handling outlast 30 minutes by themselves", wording.share(told.outlasting)]),
        Row(
            [
                "Safe prefetch (less than one chance in a thousand that any comes back)",
                wording.messages(told.safe_prefetch),
            ]
        ),
        Row(["Consumers needed to keep up", str(told.consumers_needed)]),
        Row(["Consumers are busy", wording.share(told.utilisation)]),
    ]
    export = sizing.plan.export
    if export is not None:
        rows.append(
            Row(
                [f"At least one of {export.prefetch} dequeued at once comes back", wording.share(told.batch_outlasting)]
            )
        )
        rows.append(
            Row(
                [
                    f"After {wording.duration(export.outage_minutes)} without consumers",
                    f"empty again in {wording.duration(told.drain_minutes)}",
                ]
            )
        )
    parts = [page.table("The half hour and these consumers", [Column("What"), Column("How much")], rows)]
    if told.density[1]:
        parts.insert(0, plots.holding(told))
    if told.wait_minutes:
        parts.append(
            page.table(
                "From enqueue to acknowledgment",
                [Column("Of messages"), Column("Minutes", number=True)],
                [
                    Row([wording.WAITS.get(name, name), wording.figure(value)])
                    for name, value in told.wait_minutes.items()
                ],
            )
        )
    if told.method:
        parts.append(page.paragraph(told.method, quiet=True))
    return page.section("lease", "Consumers and the half hour", *parts)


def _compared(figures: tuple[Compared, ...]) -> Markup:
    rows = [
        Row(
            [
                f"{each.what} ({each.unit})" if each.unit else each.what,
                wording.figure(each.predicted),
                wording.figure(each.observed),
                wording.differs(each),
                "–" if each.allowed is None else wording.share(each.allowed),
                "not judged"
                if each.within is None
                else Cell("within", "", Tone.GOOD)
                if each.within
                else Cell("outside", "", Tone.BAD),
            ]
        )
        for each in figures
    ]
    columns = [
        Column("Figure"),
        Column("Predicted", number=True),
        Column("Observed", number=True),
        Column("Differs by", number=True),
        Column("Allowed", number=True),
        Column("Answer"),
    ]
    return page.section("compared", "Predicted beside observed", page.table("Predicted and observed", columns, rows))


def _method(sizing: Sizing) -> Markup:
    plan = sizing.plan
    given = page.table(
        "What the plan says",
        [Column("Part"), Column("Given")],
        [
            Row(["Arrivals", wording.arrivals(plan)]),
            Row(["Service time of a file", wording.service(plan)]),
            Row(["Batch job", wording.batch(plan)]),
            Row(["Objective", f"{wording.objective(plan)}, from the end of the enqueue to the end of the processing"]),
        ],
    )
    rows = [Row([FIGURES.get(name, name.replace("_", " ")), words]) for name, words in _told(sizing)]
    parts = [page.paragraph(each) for each in sizing.method.split("\n\n") if each] + [given]
    if rows:
        parts.append(page.table("Figures behind the answer", [Column("Figure"), Column("Value")], rows))
    return page.section("method", "Method and assumptions", *parts)


def _told(sizing: Sizing) -> Iterator[tuple[str, str]]:
    """Those of the answer's further figures that are plain numbers or words."""
    for name, value in sizing.figures.items():
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, int) and not isinstance(value, bool):
            yield name, f"{value:,}"
        elif isinstance(value, float):
            yield name, wording.figure(value)


def _repeat(sizing: Sizing, *, name: str, text: str, command: str) -> Markup:
    return page.section(
        "repeat",
        "How to repeat it",
        page.paragraph(f"popreceipt {__version__}, {wording.simulated(sizing)}: the same plan gives the same figures."),
        page.code(command, label="Command"),
        page.heading(f"The plan {name}"),
        page.code(text, label=f"Plan {name}"),
    )


def _estimated(candidate: Candidate, estimate: Estimate | None) -> Cell:
    if estimate is None or not candidate.stable:
        return Cell("–" if estimate is None else "∞")
    return Cell(wording.figure(estimate.value), wording.interval(estimate))


def _counts(estimate: Estimate) -> str:
    low, high = wording.count(estimate.low), wording.count(estimate.high)
    return f"{low}–{high}" if low != high else ""


def _interval_note(estimate: Estimate, unit: str) -> str:
    between = wording.interval(estimate)
    return f"95 % confidence: {between} {unit}" if between else ""


def _minutes(value: float) -> str:
    return "1 minute" if value == 1 else f"{wording.plain(value)} minutes"
