"""An answer on a terminal of eighty columns: what to set, every candidate beside its closed form, what it bears.

What stands out does so by a sign and a word beside its colour, so that nothing is lost without colours.
"""

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popreceipt.reports.page import SIGNS, Tone
from popreceipt.sizing import wording
from popreceipt.sizing.result import Candidate, Compared, Lease, Margin, Monitoring, Sizing

STYLES: Final = {Tone.GOOD: "green", Tone.CAUTION: "yellow", Tone.BAD: "red", Tone.NEUTRAL: ""}

CHOSEN: Final = "➤"
"""Before the recurrence that is recommended."""


def print_sizing(console: Console, sizing: Sizing) -> None:
    """Print the whole answer."""
    for part in (given(sizing), candidates(sizing), *_further(sizing)):
        console.print(part)
        console.print()
    for warning in sizing.warnings:
        console.print(_signed(SIGNS[Tone.CAUTION], Text(warning), STYLES[Tone.CAUTION]))
        console.print()
    console.print(verdict(sizing))


def given(sizing: Sizing) -> Table:
    """What the plan says, in short."""
    plan = sizing.plan
    return _facts(
        "",
        [
            ("arrivals", wording.arrivals(plan)),
            ("service", wording.service(plan)),
            ("batch job", wording.batch(plan)),
            ("objective", f"{wording.objective(plan)}, from enqueue to processed"),
            ("simulated", wording.simulated(sizing)),
        ],
    )


def verdict(sizing: Sizing) -> Table:
    """The answer: what to set, why, and what it bears."""
    tone = Tone.BAD if sizing.recommended is None else Tone.GOOD
    said = Text(wording.sentence(sizing), style="bold")
    if sizing.margin is not None:
        said.append(f"\n{wording.bears(sizing.margin)}", style="not bold")
    for reason in sizing.reasons:
        said.append(f"\n{reason}", style="not bold")
    return _signed(SIGNS[tone], said, STYLES[tone])


def candidates(sizing: Sizing) -> Table:
    """A row a candidate; intervals and closed forms stand below and beside what was simulated."""
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", collapse_padding=True)
    made.add_column("")
    for heading in ("every\nmin", "busy", "mean wait\nmin", "closed\nform", "p95\nmin", "closed\nform", "p99\nmin"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("over-\nruns", justify="right", no_wrap=True)
    made.add_column("back-\nlog", justify="right", no_wrap=True)
    made.add_column("", no_wrap=True)
    for each in sizing.candidates:
        word, tone = wording.standing(sizing, each)
        chosen = each is sizing.recommended
        made.add_row(
            Text(CHOSEN if chosen else SIGNS[tone], style=STYLES[tone]),
            Text(wording.plain(each.processing_minutes), style="bold" if chosen else ""),
            wording.share(each.utilisation).replace(" ", ""),
            _estimated(each, "mean"),
            _closed(each, each.bounds.mean_minutes),
            _estimated(each, "p95"),
            _closed(each, each.bounds.p95_minutes),
            _estimated(each, "p99", narrow=True),
            wording.share(each.overruns).replace(" ", ""),
            wording.count(each.backlog["max"].value),
            Text(word, style=STYLES[tone]),
        )
    return made


def margin(told: Margin) -> Table:
    """What the recommendation bears, and what gives way first."""
    most = told.at_most
    rows = [
        ("breaks first", told.breaks_first),
        ("arrivals double", f"p95 {wording.duration(told.doubled)}" if told.doubled is not None else "never settles"),
        ("an hour's standstill", f"worked off in {wording.duration(told.outage_drain_minutes)}"),
    ]
    if told.overruns_factor is not None:
        rows.append(("runs outlast their recurrence", wording.since(told.overruns_factor, most, "the arrivals")))
    if told.unstable_factor is not None:
        rows.append(("never settles", wording.since(told.unstable_factor, most, "the arrivals")))
    if told.consumers_factor is not None:
        rows.append(("consumers fall behind", wording.since(told.consumers_factor, most, "what is produced")))
    return _facts("margin", rows)


def monitoring(told: Monitoring) -> Table:
    """The monitoring recurrence and its alarm."""
    rows = [("set", wording.every(told.minutes))] if told.minutes is not None else [("set", "none shows it in time")]
    if told.minutes is not None:
        rows.append(("alarm", f"at more than {wording.messages(told.alarm_waiting)} waiting"))
        rows.append(("false alarms", f"{wording.count(told.false_alarms_a_month)} a month"))
    tried = ", ".join(f"{wording.plain(minutes)} {'✔' if there else '✘'}" for minutes, there in told.tried.items())
    rows += [("in time, by minutes", tried), ("why", told.why)]
    return _facts("monitoring", rows)


def lease(told: Lease) -> Table:
    """The export's side."""
    again = told.redelivery_rate
    rows = [
        ("not acknowledged in 30 min", f"{wording.share(again.value)} of messages ({_shares(again.low, again.high)})"),
        ("redeliveries", f"{wording.count(told.redeliveries_a_day)} a day"),
        (
            "held, p95 and longest",
            " and ".join(wording.duration(told.hold_minutes[each]) for each in ("p95", "longest")),
        ),
        ("safe prefetch", wording.messages(told.safe_prefetch)),
        ("consumers needed", str(told.consumers_needed)),
        ("after an outage", f"empty again in {wording.duration(told.drain_minutes)}"),
    ]
    return _facts("consumers", rows)


def compared(figures: tuple[Compared, ...]) -> Table:
    """Predicted beside observed."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    made.add_column("")
    made.add_column("", overflow="fold")
    for heading in ("predicted", "observed", "differs", "allowed"):
        made.add_column(heading, justify="right", no_wrap=True)
    for each in figures:
        tone = Tone.NEUTRAL if each.within is None else Tone.GOOD if each.within else Tone.BAD
        made.add_row(
            Text(SIGNS[tone], style=STYLES[tone]),
            f"{each.what} ({each.unit})" if each.unit else each.what,
            wording.figure(each.predicted),
            wording.figure(each.observed),
            wording.differs(each),
            "" if each.allowed is None else wording.share(each.allowed),
        )
    return made


def _further(sizing: Sizing) -> Iterator[Table]:
    if sizing.margin is not None:
        yield margin(sizing.margin)
    if sizing.monitoring is not None:
        yield monitoring(sizing.monitoring)
    if sizing.lease is not None:
        yield lease(sizing.lease)
    if sizing.compared:
        yield compared(sizing.compared)


def _signed(sign: str, words: Text, style: str) -> Table:
    """Words behind a sign, all their lines indented alike."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    made.add_column(style=style)
    made.add_column(style=style, overflow="fold")
    made.add_row(sign, words)
    return made


def _facts(title: str, rows: list[tuple[str, str]]) -> Table:
    """Names and what they are, below a title."""
    made = Table(box=None, pad_edge=False, show_header=False, title=title or None, title_justify="left")
    made.title_style = "bold"
    # Rather than leave nothing for what they stand for, on a narrow terminal names are broken too.
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for name, words in rows:
        made.add_row(name, Text(words))
    return made


def _estimated(candidate: Candidate, name: str, *, narrow: bool = False) -> Text:
    """A figure, and its interval below it."""
    estimate = candidate.wait_minutes[name]
    if not candidate.stable:
        return Text("∞")
    made = Text(wording.figure(estimate.value))
    if not narrow and (between := wording.interval(estimate)):
        made.append(f"\n{between}", style="dim")
    return made


def _closed(candidate: Candidate, minutes: float | None) -> Text:
    """What a closed form says; in brackets where its conditions are not met."""
    if minutes is None:
        return Text("–", style="dim")
    return Text(wording.figure(minutes) if candidate.bounds.exact else f"({wording.figure(minutes)})", style="dim")


def _shares(low: float, high: float) -> str:
    return f"{wording.share(low)} to {wording.share(high)}"
