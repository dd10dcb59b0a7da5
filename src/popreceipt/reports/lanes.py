"""What happened when, in lanes one below the other: marks with letters, bars, and a legend that says what each is.

Drawn for a terminal and as an SVG: in a page it takes the page's colours, by itself it brings them along. Every mark is
told in words below, so colours say nothing that is not said twice. It knows nothing of what is drawn.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from popreceipt.reports.charts import FONT, Colour

LETTERS: Final = ascii_lowercase + ascii_uppercase

MOST: Final = len(LETTERS)
"""So many marks are drawn: each is called by a letter."""

COLUMNS: Final = 100
"""So wide a drawing for a terminal is, unless told."""

LANE: Final = 12
"""Columns for the name of a lane."""

STYLES: Final = {
    Colour.FIRST: "blue",
    Colour.SECOND: "yellow",
    Colour.THIRD: "green",
    Colour.FOURTH: "magenta",
    Colour.BAD: "red",
    Colour.INK: "",
    Colour.QUIET: "dim",
    Colour.GRID: "dim",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened in a lane, in seconds, and in words; `witness` says that it is what matters here.

    `note` stands behind the words in brackets.
    """

    lane: str
    since: float
    by: float
    words: str
    colour: Colour = Colour.QUIET
    witness: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasted, in seconds. Bars of the same words share a line of the legend."""

    lane: str
    start: float
    end: float
    words: str
    colour: Colour = Colour.THIRD


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing before it is drawn.

    Args:
        title: what it shows.
        sentence: what is to be seen in it.
        lanes: from above, those without marks and bars too.
        marks: in order of time, at most as many as there are letters.
        bars: what lasted.
        end: seconds at which it ends.
        left_out: how many marks there was no room for.
        start: seconds at which it begins.
    """

    title: str
    sentence: str
    lanes: tuple[str, ...]
    marks: tuple[Mark, ...]
    bars: tuple[Bar, ...] = ()
    end: float = 1.0
    left_out: int = 0
    start: float = 0.0


def seconds(value: float) -> str:
    """A time as a drawing says it."""
    return f"{value:.3f} s" if value < 100 else f"{value:.1f} s"


def when(mark: Mark) -> str:
    """When something happened: from when until when, where that took as long as can be told."""
    first, last = seconds(mark.since), seconds(mark.by)
    return first if first == last else f"{first} … {last}"


def ticks(start: float, end: float, most: int) -> list[float]:
    """Round seconds between two instants, at most so many steps apart."""
    span = end - start
    if span <= 0:
        return [start]
    power = math.floor(math.log10(span / most))
    step = next(each * 10.0**power for each in (1, 2, 5, 10) if each * 10.0**power * most >= span * (1 - 1e-9))
    first, last = math.ceil(start / step - 1e-9), math.floor(end / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def _told(mark: Mark) -> str:
    return f"{mark.words} ({mark.note})" if mark.note else mark.words


def _left_out(drawing: Drawing) -> str:
    return f"{drawing.left_out} more, for which there was no room"


# Terminal


def as_text(drawing: Drawing, width: int = COLUMNS) -> str:
    """The drawing without colours, for a file."""
    written = StringIO()
    console = Console(file=written, width=width, color_system=None, force_terminal=False)
    for line in text_lines(drawing, width):
        console.print(line, highlight=False, soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def text_lines(drawing: Drawing, width: int = COLUMNS) -> Iterator[Text]:
    """The drawing, a line after the other: title, axis, lanes, legend."""
    room = width - LANE - 1
    yield Text(drawing.title, style="bold")
    for line in textwrap.wrap(drawing.sentence, width):
        yield Text(line)
    yield Text(f"{'':<{LANE}} {_axis(drawing, room)}", style="dim")
    letters = dict(zip(map(id, drawing.marks), LETTERS, strict=False))
    for lane in drawing.lanes:
        yield _lane(drawing, lane, room, letters)
    column = max((len(when(each)) for each in drawing.marks), default=0)
    for mark, letter in zip(drawing.marks, LETTERS, strict=False):
        head = f" {letter} {'▸' if mark.witness else ' '} {when(mark):>{column}}  "
        words = textwrap.wrap(f"{mark.lane}: {_told(mark)}", max(width - len(head), 20))
        for place, said in enumerate(words):
            told = Text(head if not place else " " * len(head), style=STYLES[mark.colour])
            yield told.append(said, style="bold" if mark.witness else "")
    if drawing.left_out:
        yield Text(f"   … {_left_out(drawing)}", style="dim")
    for bar in _kinds(drawing.bars):
        yield Text(f" ━   {bar.lane}: {bar.words}", style=STYLES[bar.colour])


def _axis(drawing: Drawing, room: int) -> str:
    """Round seconds above the places where they are; one that would touch the one before is left out."""
    cells = [" "] * room
    free = 0
    for value in ticks(drawing.start, drawing.end, 8):
        words = f"{value:g} s"
        place = min(_place(drawing, value, room), room - len(words))
        if place >= free:
            cells[place : place + len(words)] = words
            free = place + len(words) + 1
    return "".join(cells).rstrip()


def _lane(drawing: Drawing, lane: str, room: int, letters: dict[int, str]) -> Text:
    cells, styles = ["·"] * room, ["dim"] * room
    for bar in drawing.bars:
        if bar.lane == lane:
            first, last = _place(drawing, bar.start, room), _place(drawing, bar.end, room)
            for place in range(first, last + 1):
                cells[place], styles[place] = "━", STYLES[bar.colour]
            # Where one bar begins right behind another, both are to be seen.
            cells[first] = "┣" if last > first else "┃"
    here = [each for each in drawing.marks if each.lane == lane]
    for mark in here:
        for place in range(_place(drawing, mark.since, room), _place(drawing, mark.by, room) + 1):
            cells[place], styles[place] = "┄", STYLES[mark.colour]
    for mark in here:
        place = _free(cells, _place(drawing, mark.since, room))
        cells[place] = letters.get(id(mark), "·")
        styles[place] = f"{STYLES[mark.colour]} reverse" if mark.witness else STYLES[mark.colour]
    row = Text(f"{lane[:LANE]:<{LANE}} ")
    for cell, style in zip(cells, styles, strict=True):
        row.append(cell, style=style)
    return row


def _kinds(bars: Sequence[Bar]) -> list[Bar]:
    """One bar of each lane and meaning."""
    return list({(each.lane, each.words): each for each in bars}.values())


def _place(drawing: Drawing, value: float, room: int) -> int:
    return int(_share(drawing, value) * (room - 1))


def _free(cells: Sequence[str], place: int) -> int:
    """The nearest place at which no letter stands, rather to the right."""
    for apart in range(len(cells)):
        for other in (place + apart, place - apart):
            if 0 <= other < len(cells) and not cells[other].isalpha():
                return other
    return place


# SVG

_WIDTH: Final = 860
_LEFT: Final = 104
_RIGHT: Final = 16
_ROW: Final = 30
_LINE: Final = 19
_CHARACTERS: Final = 108
_EDGE: Final = 20
_RADIUS: Final = 8.5

_ALONE: Final = """<style>
svg { color-scheme: light dark; background: var(--ground); --ground: #fff }
@media (prefers-color-scheme: dark) { svg { --ground: #111924; --ink: #e4e9f0; --quiet: #a8b3c2; --grid: #2a3645;
  --bad: #ff8a80; --series-1: #84b6ff; --series-2: #f0b35a; --series-3: #6ccb85; --series-4: #c9a6ff } }
</style>"""

_GROUND: Final = "var(--ground, #fff)"


def as_svg(drawing: Drawing, key: str, *, alone: bool = False) -> Markup:
    """The drawing as an element of a page, or (`alone`) as a file of its own, for light and dark.

    Args:
        drawing: what to draw.
        key: names it within its page, as an address would.
        alone: bring title, sentence and colours along, which a page has itself.
    """
    parts: list[Markup] = []
    y = 8.0
    if alone:
        y += 14
        parts.append(_words(8, y, drawing.title, weight=600, size=16))
        for line in textwrap.wrap(drawing.sentence, _CHARACTERS):
            y += _LINE
            parts.append(_words(8, y, line))
        y += 14
    y += 14
    rows = {lane: y + 10 + _ROW * place + _ROW / 2 for place, lane in enumerate(drawing.lanes)}
    floor = y + 10 + _ROW * len(rows)
    for value in ticks(drawing.start, drawing.end, 8):
        x = _across(drawing, value)
        parts.append(_line(x, y + 6, x, floor, Colour.GRID))
        anchor = "start" if x < _LEFT + _EDGE else "end" if x > _WIDTH - _RIGHT - _EDGE else "middle"
        parts.append(_words(x, y, f"{value:g} s", colour=Colour.QUIET, anchor=anchor))
    for lane, row in rows.items():
        parts.append(_words(8, row + 4.5, lane))
        parts.append(_line(_LEFT, row, _WIDTH - _RIGHT, row, Colour.GRID))
    parts += [_bar(drawing, each, rows[each.lane]) for each in drawing.bars]
    parts += _circles(drawing, rows)
    y = floor + 24
    for mark, letter in zip(drawing.marks, LETTERS, strict=False):
        parts.append(_circle(16, y - 4.5, letter, mark))
        for line in textwrap.wrap(f"{when(mark)}  {mark.lane}: {_told(mark)}", _CHARACTERS):
            parts.append(_words(34, y, line, weight=600 if mark.witness else 400))
            y += _LINE
    if drawing.left_out:
        parts.append(_words(34, y, f"… {_left_out(drawing)}", colour=Colour.QUIET))
        y += _LINE
    for bar in _kinds(drawing.bars):
        parts.append(_stretch(8, y - 9.5, 16, bar))
        parts.append(_words(34, y, f"{bar.lane}: {bar.words}"))
        y += _LINE
    told = "; ".join(f"{when(each)} {each.lane}: {each.words}" for each in drawing.marks)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        'height="{height:.0f}" role="img" aria-labelledby="{key}-title {key}-description" '
        'font-family="{font}" font-size="13">'
        '<title id="{key}-title">{title}</title><desc id="{key}-description">{sentence} {told}.</desc>{style}'
        "{parts}</svg>\n"
    ).format(
        width=_WIDTH,
        height=y,
        key=key,
        font=FONT,
        title=drawing.title,
        sentence=drawing.sentence,
        told=told,
        style=Markup(_ALONE) if alone else "",  # noqa: S704  written above
        parts=Markup("\n").join(parts),
    )


def _circles(drawing: Drawing, rows: dict[str, float]) -> Iterator[Markup]:
    """The marks in their lanes; those that would cover one another stand side by side."""
    used: dict[str, list[float]] = {}
    circles: list[Markup] = []
    for mark, letter in zip(drawing.marks, LETTERS, strict=False):
        y = rows[mark.lane]
        x, end = _across(drawing, mark.since), _across(drawing, mark.by)
        if end - x > 1:
            yield Markup(
                '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke-width="4" stroke-dasharray="3 3" '
                'style="stroke: {}"/>'
            ).format(x, y, end, y, mark.colour)
        there = used.setdefault(mark.lane, [])
        x = _aside(x, there)
        there.append(x)
        circles.append(_circle(x, y, letter, mark))
    yield from circles


def _aside(x: float, used: Sequence[float]) -> float:
    """The nearest place, rather to the right, at which nothing would be covered."""
    apart = 2 * _RADIUS + 1
    for steps in range(2 * _WIDTH):
        for other in (x + steps, x - steps):
            inside = _LEFT - _RADIUS <= other <= _WIDTH - _RADIUS
            if inside and all(abs(other - each) >= apart for each in used):
                return other
    return x


def _circle(x: float, y: float, letter: str, mark: Mark) -> Markup:
    ring = Markup("; stroke: {}; stroke-width: 2.5").format(Colour.INK) if mark.witness else ""
    return Markup(
        '<g><title>{words}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" style="fill: {colour}{ring}"/>'
        '<text x="{x:.1f}" y="{below:.1f}" text-anchor="middle" font-size="11.5" font-weight="600" '
        'style="fill: {ground}">{letter}</text></g>'
    ).format(
        words=mark.words,
        x=x,
        y=y,
        radius=_RADIUS,
        below=y + 4,
        colour=mark.colour,
        ring=ring,
        ground=_GROUND,
        letter=letter,
    )


def _bar(drawing: Drawing, bar: Bar, y: float) -> Markup:
    start, end = _across(drawing, bar.start), _across(drawing, bar.end)
    return _stretch(start, y - 6, max(end - start, 2), bar)


def _stretch(x: float, y: float, width: float, bar: Bar) -> Markup:
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="12" rx="3" style="fill: {}" fill-opacity="0.35">'
        "<title>{}</title></rect>"
    ).format(x, y, width, bar.colour, bar.words)


def _line(x1: float, y1: float, x2: float, y2: float, colour: Colour) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" style="stroke: {}"/>').format(
        x1,
        y1,
        x2,
        y2,
        colour,
    )


def _words(
    x: float,
    y: float,
    words: str,
    *,
    colour: Colour = Colour.INK,
    anchor: str = "start",
    weight: int = 400,
    size: int = 13,
) -> Markup:
    return Markup(
        '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" font-weight="{}" font-size="{}" style="fill: {}">{}</text>'
    ).format(x, y, anchor, weight, size, colour, words)


def _across(drawing: Drawing, value: float) -> float:
    return _LEFT + _share(drawing, value) * (_WIDTH - _LEFT - _RIGHT)


def _share(drawing: Drawing, value: float) -> float:
    """Where between start and end an instant lies, from 0 to 1."""
    span = drawing.end - drawing.start
    return min(max((value - drawing.start) / span, 0.0), 1.0) if span > 0 else 0.0
