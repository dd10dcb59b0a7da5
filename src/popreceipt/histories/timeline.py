"""One message's anomaly as a timeline: who did what when, in a lane for each caller, and when the message was hidden.

Drawn for a terminal of eighty columns and as an SVG that needs nothing else. It shows the witness; it judges nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from string import ascii_lowercase
from typing import Final

from rich.console import Console
from rich.text import Text

from popreceipt.histories.found import Found
from popreceipt.histories.history import (
    Acknowledged,
    Fetched,
    File,
    History,
    Intake,
    Operation,
    Produced,
    Queue,
    Taken,
)

COLUMNS: Final = 80
"""So wide a drawing for a terminal is at most."""

LANE: Final = 14
"""Columns for the name of a lane."""

MOST: Final = 26
"""So many operations are drawn: each is called by a letter."""

CONTEXT: Final = 6
"""So many further operations of the message are shown beside the witness."""

HIDDEN: Final = "hidden by its delivery"

STYLES: Final = {
    "produced": "blue",
    "delivered": "bold green",
    "empty": "yellow",
    "acknowledged": "magenta",
    "seen": "cyan",
    "other": "dim",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """An operation: what it is called, whose lane it stands in, when it was, and what it was.

    `kind` is one of the names in `STYLES`; `witness` says whether the anomaly rests on it.
    """

    letter: str
    lane: str
    since: int
    by: int
    kind: str
    words: str
    number: int
    witness: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch in a lane: a message hidden after a delivery, or a file in process."""

    lane: str
    start: int
    end: int
    words: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A drawing before it is drawn; instants are microseconds from `start` on."""

    found: Found
    start: int
    end: int
    marks: tuple[Mark, ...]
    bars: tuple[Bar, ...]
    lanes: tuple[str, ...] = field(default=())

    @property
    def title(self) -> str:
        """What went wrong, with whom."""
        return f"{self.found.kind}: message {self.found.message[:12] or 'unknown'}"


def timeline_of(history: History, found: Found) -> Timeline:
    """The timeline of one anomaly."""
    wanted = set(found.exchanges)
    operations: list[tuple[Operation, str, str]] = []
    leases: list[tuple[Operation, int]] = []
    stretches: list[Bar] = []
    for queue in history.queues:
        if queue.activity == found.activity:
            operations += _of_queue(queue, found, wanted)
            leases += [(each, queue.lease) for each in queue.taken if each.number in wanted]
    for intake in history.intakes:
        for file in intake.files if intake.activity == found.activity else ():
            if file.message == found.message or wanted & {file.enqueued.number, *(each.number for each in file.seen)}:
                operations += _of_file(intake, file)
                if file.began is not None and file.ended is not None:
                    stretches.append(Bar(file.message[:8], file.began, file.ended, f"{file.message[:8]} in process"))
    operations += [
        (each, "seen", f"is told that it is {each.text}") for each in history.exported.get(found.message, ())
    ]
    return _drawn(found, _chosen(operations, wanted), leases, stretches)


def timelines(history: History, found: Iterable[Found]) -> Iterator[Timeline]:
    """The timeline of each anomaly."""
    return (timeline_of(history, each) for each in found)


def _of_queue(queue: Queue, found: Found, wanted: set[int]) -> Iterator[tuple[Operation, str, str]]:
    own = {each.number for each in queue.taken if each.message == found.message}
    every: list[Operation] = [*queue.produced, *queue.taken, *queue.acknowledged, *queue.fetched]
    for each in every:
        concerns = each.number in wanted
        if isinstance(each, (Produced, Taken)):
            concerns = concerns or each.message == found.message
        elif isinstance(each, (Acknowledged, Fetched)):
            concerns = concerns or each.of in own
        if concerns:
            yield each, *_words(each, found)
    for each in queue.empty:
        if each.number in wanted:
            yield each, "empty", "is told that nothing waits"
    for each in queue.lost:
        if each.number in wanted:
            yield each, "other", "dequeues, and the answer is lost"


def _words(operation: Operation, found: Found) -> tuple[str, str]:
    if isinstance(operation, Produced):
        return "produced", "an export uploads it" if operation.message == found.message else "uploads another message"
    if isinstance(operation, Taken):
        if operation.message not in (None, found.message):
            return "other", "is handed another message"
        return "delivered", "is handed the message"
    if isinstance(operation, Acknowledged):
        return "acknowledged", f"acknowledges: {operation.answer}"
    return "other", "downloads its file"


def _of_file(intake: Intake, file: File) -> Iterator[tuple[Operation, str, str]]:
    name = file.message[:8]
    yield file.enqueued, "produced", f"hands in {name}{' (in order)' if intake.in_order else ''}"
    for each in file.seen:
        yield each, "seen", f"is told that {name} is {each.text}"


def _chosen(operations: Sequence[tuple[Operation, str, str]], wanted: set[int]) -> list[tuple[Mark, Operation]]:
    """The witness, what produced the message, and a few operations near them, in order of time."""
    ordered = sorted(
        operations, key=lambda each: (each[0].since, each[0].by, each[1] != "produced", abs(each[0].number))
    )
    certain = [each for each in ordered if each[0].number in wanted or each[1] == "produced"][:MOST]
    room = min(CONTEXT, MOST - len(certain))
    last = max((each[0].by for each in certain), default=0)
    near = [each for each in ordered if each not in certain and each[0].since <= last]
    kept = [each for each in ordered if each in certain or each in near[:room]]
    return [
        (
            Mark(
                letter,
                operation.actor.rpartition("/")[2],
                operation.since,
                operation.by,
                kind,
                words,
                operation.number,
                operation.number in wanted,
            ),
            operation,
        )
        for letter, (operation, kind, words) in zip(ascii_lowercase, kept, strict=False)
    ]


def _drawn(
    found: Found,
    chosen: Sequence[tuple[Mark, Operation]],
    leases: Sequence[tuple[Operation, int]],
    stretches: Sequence[Bar],
) -> Timeline:
    marks = tuple(mark for mark, _ in chosen)
    start = min((each.since for each in marks), default=0)
    end = max((each.by for each in marks), default=1)
    if stretches:
        # What takes seconds would be nothing beside the hours until it began: what was before stands at the edge.
        start = min(each.start for each in stretches)
        end = max(each.end for each in stretches)
        start -= (end - start) // 3
    lanes = {id(operation): mark.lane for mark, operation in chosen}
    shown = [(lanes[id(operation)], operation, lease) for operation, lease in leases if id(operation) in lanes]
    # When the message should have been back is shown, where that is not far beyond the last operation.
    near = end + (end - start) // 3
    end = max([start + 1, end, *(each.since + lease for _, each, lease in shown if each.since + lease <= near)])
    hidden = [Bar(lane, each.since, min(each.since + lease, end), HIDDEN) for lane, each, lease in shown]
    bars = [*stretches, *hidden]
    names = dict.fromkeys([*(each.lane for each in marks), *(each.lane for each in bars)])
    return Timeline(found, start, end, marks, tuple(bars), tuple(names))


def since_start(timeline: Timeline, instant: int) -> str:
    """An instant as hours, minutes and seconds from the start on."""
    first = min((each.since for each in timeline.marks), default=timeline.start)
    seconds = max(instant - min(first, timeline.start), 0) / 1_000_000
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = "" if seconds == int(seconds) else f"{seconds % 1:.3f}"[1:]
    return f"{int(hours)}:{int(minutes):02d}:{int(seconds):02d}{fraction}"


def when(timeline: Timeline, mark: Mark) -> str:
    """The instant of a mark, or its bounds."""
    first, last = since_start(timeline, mark.since), since_start(timeline, mark.by)
    return first if first == last else f"{first} … {last}"


# Terminal


def print_timeline(console: Console, timeline: Timeline) -> None:
    """Draw it on a terminal; colours are the console's affair, and say nothing that is not said in words too."""
    width = min(console.width, COLUMNS)
    for line in text_lines(timeline, width):
        console.print(line, width=width, highlight=False)


def text_lines(timeline: Timeline, width: int = COLUMNS) -> Iterator[Text]:
    """The drawing, a line after the other: title, axis, lanes, legend."""
    room = width - LANE - 1
    yield Text(timeline.title, style="bold red")
    yield Text(timeline.found.sentence)
    first, last = since_start(timeline, timeline.start), since_start(timeline, timeline.end)
    yield Text(f"{'':<{LANE}} {first}{last:>{max(room - len(first), 1)}}", style="dim")
    for lane in timeline.lanes:
        cells = ["·"] * room
        styles = ["dim"] * room
        for bar in timeline.bars:
            if bar.lane == lane:
                for place in range(_place(timeline, bar.start, room), _place(timeline, bar.end, room) + 1):
                    cells[place], styles[place] = "━", "green"
        for mark in timeline.marks:
            if mark.lane == lane:
                for place in range(_place(timeline, mark.since, room), _place(timeline, mark.by, room) + 1):
                    if not cells[place].isalpha():
                        cells[place], styles[place] = "┄", STYLES[mark.kind]
                place = _free(cells, _place(timeline, mark.since, room))
                cells[place] = mark.letter
                styles[place] = f"{STYLES[mark.kind]} reverse" if mark.witness else STYLES[mark.kind]
        row = Text(f"{lane[:LANE]:<{LANE}} ")
        for cell, style in zip(cells, styles, strict=True):
            row.append(cell, style=style)
        yield row
    for mark in timeline.marks:
        number = f" (exchange {mark.number})" if mark.number > 0 else ""
        style = STYLES[mark.kind]
        line = Text(f" {mark.letter} {'▸' if mark.witness else ' '} ", style=f"{style} bold" if mark.witness else style)
        line.append(f"{when(timeline, mark)}  {mark.lane} {mark.words}{number}", style="" if mark.witness else "dim")
        yield line
    for words in _legend(timeline):
        yield Text(f" ━   {words}", style="green")


def _legend(timeline: Timeline) -> Iterator[str]:
    """What the bars mean, each meaning once."""
    for each in timeline.bars:
        if each.words != HIDDEN:
            yield f"{each.words} {since_start(timeline, each.start)} … {since_start(timeline, each.end)}"
    if any(each.words == HIDDEN for each in timeline.bars):
        yield HIDDEN


def _place(timeline: Timeline, instant: int, room: int) -> int:
    share = (instant - timeline.start) / (timeline.end - timeline.start)
    return min(max(int(share * (room - 1)), 0), room - 1)


def _free(cells: Sequence[str], place: int) -> int:
    """The nearest place at which no letter stands."""
    for apart in range(len(cells)):
        for other in (place + apart, place - apart):
            if 0 <= other < len(cells) and not cells[other].isalpha():
                return other
    return place


# SVG

_WIDTH: Final = 860
_LEFT: Final = 130
_RIGHT: Final = 30
_TOP: Final = 84
_ROW: Final = 38
_LINE: Final = 20

_SPOKEN: Final = 'role="img" aria-labelledby="title description"'

_STYLE: Final = """
:root { color-scheme: light dark }
svg { font: 13px system-ui, sans-serif; --paper: #ffffff; --ink: #1b1b1b; --soft: #5d5d5d; --rule: #d4d4d4;
  --bar: #bfe3c8; --produced: #1f4fa8; --delivered: #16703a; --empty: #8a5a00; --acknowledged: #8b1f8b;
  --seen: #0b6b75; --other: #5d5d5d; --wrong: #b3261e }
@media (prefers-color-scheme: dark) { svg { --paper: #16181c; --ink: #eceff4; --soft: #a9b0bb; --rule: #3a3f47;
  --bar: #1f4d2e; --produced: #8fb7ff; --delivered: #7fd69a; --empty: #f0c063; --acknowledged: #e9a1e9;
  --seen: #7fd3dd; --other: #a9b0bb; --wrong: #ff8a80 } }
.paper { fill: var(--paper) } .ink { fill: var(--ink) } .soft { fill: var(--soft) } .wrong { fill: var(--wrong) }
.rule { stroke: var(--rule) } .bar { fill: var(--bar) } .title { font-weight: 600; font-size: 16px }
.letter { fill: var(--paper); font-weight: 600; text-anchor: middle }
""".strip()


def as_svg(timeline: Timeline) -> str:
    """The drawing as an SVG of its own, for light and dark, with a title and a description for those who cannot see."""
    marks, bars, legend = timeline.marks, timeline.bars, list(_legend(timeline))
    floor = _TOP + _ROW * len(timeline.lanes)
    height = floor + 26 + _LINE * (len(marks) + len(legend)) + 14
    rows = {lane: _TOP + _ROW * place + _ROW // 2 for place, lane in enumerate(timeline.lanes)}
    told = "; ".join(f"{when(timeline, each)} {each.lane} {each.words}" for each in marks)
    first, last = since_start(timeline, timeline.start), since_start(timeline, timeline.end)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_SPOKEN}>',
        f'<title id="title">{escape(timeline.title)}</title>',
        f'<desc id="description">{escape(timeline.found.sentence)}. {escape(told)}.</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        f'<text class="wrong title" x="16" y="28">{escape(timeline.title)}</text>',
        f'<text class="ink" x="16" y="50">{escape(timeline.found.sentence)}</text>',
        f'<text class="soft" x="{_LEFT}" y="{_TOP - 10}">{first}</text>',
        f'<text class="soft" x="{_WIDTH - _RIGHT}" y="{_TOP - 10}" text-anchor="end">{last}</text>',
    ]
    for lane, y in rows.items():
        parts.append(f'<text class="ink" x="16" y="{y + 5}">{escape(lane)}</text>')
        parts.append(f'<line class="rule" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>')
    for bar in bars:
        x, end = _across(timeline, bar.start), _across(timeline, bar.end)
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{rows[bar.lane] - 7}" width="{max(end - x, 2):.1f}" height="14" rx="3">'
            f"<title>{escape(bar.words)}</title></rect>"
        )
    parts += _circles(timeline, rows)
    y = floor + 26
    for mark in marks:
        number = f" (exchange {mark.number})" if mark.number > 0 else ""
        words = escape(f"{when(timeline, mark)}  {mark.lane} {mark.words}{number}")
        parts.append(f'<circle cx="26" cy="{y - 4}" r="8" style="fill: var(--{mark.kind})"/>')
        parts.append(f'<text class="letter" x="26" y="{y}">{mark.letter}</text>')
        parts.append(f'<text class="{"ink" if mark.witness else "soft"}" x="44" y="{y}">{words}</text>')
        y += _LINE
    for words in legend:
        parts.append(f'<rect class="bar" x="18" y="{y - 10}" width="16" height="10" rx="3"/>')
        parts.append(f'<text class="ink" x="44" y="{y}">{escape(words)}</text>')
        y += _LINE
    return "\n".join([*parts, "</svg>", ""])


def _circles(timeline: Timeline, rows: dict[str, int]) -> Iterator[str]:
    """The marks in their lanes; those that would cover one another stand side by side."""
    used: dict[str, list[float]] = {}
    for mark in timeline.marks:
        y = rows[mark.lane]
        x, end = _across(timeline, mark.since), _across(timeline, mark.by)
        if end - x > 1:
            yield (
                f'<line x1="{x:.1f}" y1="{y}" x2="{end:.1f}" y2="{y}" stroke-width="4"'
                f' stroke-dasharray="3 3" style="stroke: var(--{mark.kind})"/>'
            )
        aside = 3 if x < _WIDTH - _RIGHT - 60 else -3
        while any(abs(x - other) < 19 for other in used.get(mark.lane, ())):
            x += aside
        used.setdefault(mark.lane, []).append(x)
        edge = f' stroke-width="{3 if mark.witness else 0}"'
        yield (
            f'<circle cx="{x:.1f}" cy="{y}" r="9"{edge} style="fill: var(--{mark.kind}); stroke: var(--wrong)">'
            f"<title>{escape(mark.words)}</title></circle>"
        )
        yield f'<text class="letter" x="{x:.1f}" y="{y + 4}">{mark.letter}</text>'


def _across(timeline: Timeline, instant: int) -> float:
    share = (instant - timeline.start) / (timeline.end - timeline.start)
    return _LEFT + 9 + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT - 18)
