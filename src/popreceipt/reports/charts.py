"""Plots for a page, as inline SVG: series with intervals, reference lines and direct labels; histograms.

Altair says what is drawn and vl-convert draws it, both only when a plot is asked for. Colours are the page's variables
with those of its light theme as fallbacks, so one drawing is right in light, in dark, on paper and cut out by itself.
Texts are measured with the fonts that vl-convert brings along, so that the same plot gives the same bytes on every
computer. It knows nothing of what is plotted.
"""

import importlib.util
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

from lxml import etree
from markupsafe import Markup

from popreceipt.exceptions import UsageError

if TYPE_CHECKING:
    import altair as alt

ENGINES: Final = {"altair": "altair", "vl_convert": "vl-convert-python"}
"""Modules that draw, and the packages in which they come."""

WIDTH: Final = 700
"""Pixels of a plot without what stands around it."""

FONT: Final = "Arial, Helvetica, 'Liberation Sans', sans-serif"
"""Liberation Sans, with which texts are measured, has the widths of both."""

LINE_HEIGHT: Final = 16
"""Pixels that labels keep from each other."""

ROOM: Final = 40
"""Pixels right of all labels: a reader's font may be wider than the one that was measured."""

_SVG: Final = "{http://www.w3.org/2000/svg}"


class Colour(StrEnum):
    """A colour of the page, by its role."""

    FIRST = "var(--series-1, #1f5fbf)"
    SECOND = "var(--series-2, #a85f00)"
    THIRD = "var(--series-3, #1f7a36)"
    FOURTH = "var(--series-4, #8a3ffc)"
    BAD = "var(--bad, #b71c1c)"
    INK = "var(--ink, #1b2533)"
    QUIET = "var(--quiet, #535d6c)"
    GRID = "var(--grid, #e1e6ed)"


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its title with the unit, and where it begins and ends unless the data say so.

    `ticks` are marked instead of round numbers; `hours` writes them as times of the day.
    """

    title: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: Sequence[float] | None = None
    hours: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together, labelled with their name where they end.

    `between` are the low and the high of an interval for each point: a band around a line, bars at points. A dashed
    line is what was computed beside what was measured or simulated.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: Colour = Colour.FIRST
    shown: Literal["line", "dashed", "points", "line-and-points"] = "line"
    between: Sequence[tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A straight line across the plot, with its label: an objective, the half hour."""

    value: float
    label: str
    colour: Colour = Colour.BAD


@dataclass(frozen=True, slots=True)
class Remark:
    """Words at a place of the horizontal axis, at the plot's upper edge: what cannot be drawn there, and why."""

    at: float
    words: str
    colour: Colour = Colour.BAD


def require(extra: str) -> None:
    """See that plots can be drawn.

    Args:
        extra: the extra of this project that brings what is needed, for the person who has to install it.

    Raises:
        UsageError: they cannot: a package is missing.
    """
    missing = [package for module, package in ENGINES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"The plots of a page need {', '.join(missing)}: pip install 'popreceipt[{extra}]'.")


def plot(
    key: str,
    series: Sequence[Series],
    *,
    x: Axis,
    y: Axis,
    title: str,
    description: str,
    across: Sequence[Reference] = (),
    upright: Sequence[Reference] = (),
    remarks: Sequence[Remark] = (),
    height: int = 300,
) -> Markup:
    """Series over a common axis.

    Args:
        key: names the plot within its page, as an address would.
        series: what is drawn, the first on top.
        x: the horizontal axis.
        y: the vertical axis.
        title: what it is, for those who do not see it.
        description: what is to be seen in it, for the same.
        across: lines at a value of the vertical axis.
        upright: lines at a value of the horizontal axis.
        remarks: words at the upper edge.
        height: pixels, without axis and titles.

    Raises:
        ValueError: a figure is not finite, or not positive on a logarithmic axis.
    """
    import altair as alt

    columns = [place for one in series for place, _ in one.points] + [one.at for one in remarks]
    rows = [value for one in series for _, value in one.points]
    rows += [value for one in series for pair in one.between or () for value in pair]
    horizontal = _Scale.over(x, [*columns, *(one.value for one in upright)], WIDTH)
    vertical = _Scale.over(y, [*rows, *(one.value for one in across)], height)
    x_there = alt.X("x:Q", **horizontal.encoding(alt))
    y_there = alt.Y("y:Q", **vertical.encoding(alt))
    layers: list[alt.Chart] = [*_upright(upright, horizontal, height), *_remarks(remarks, horizontal)]
    ends: list[_End] = []
    for reference in across:
        rule = _table([{"y": reference.value}])
        layers.append(rule.mark_rule(color=reference.colour, strokeDash=[2, 3], strokeWidth=1.5).encode(y=y_there))
        ends.append(_End(reference.label, vertical.pixel(reference.value), reference.colour))
    for one in reversed(series):
        layers += _drawn(one, x_there, y_there)
        if one.points:
            ends.append(_End(one.name, vertical.pixel(one.points[-1][1]), one.colour))
    layers += _labels(ends, height)
    return _svg(layers, height, key, title, description)


def histogram(
    key: str,
    edges: Sequence[float],
    shares: Sequence[float],
    *,
    x: Axis,
    unit: str,
    of: str,
    title: str,
    description: str,
    upright: Sequence[Reference] = (),
    colour: Colour = Colour.FIRST,
    height: int = 240,
) -> Markup:
    """How often which value: bars from edge to edge, their areas as the shares.

    Args:
        key: names the plot within its page.
        edges: ascending, one more than there are shares.
        shares: parts of one.
        x: the horizontal axis.
        unit: of the edges, for the vertical axis ("minute").
        of: what is counted ("messages").
        title: what it is, for those who do not see it.
        description: what is to be seen in it, for the same.
        upright: lines at a value.
        colour: of the bars.
        height: pixels, without axis and titles.

    Raises:
        ValueError: edges do not fit shares, or a figure is not finite.
    """
    import altair as alt

    if len(edges) != len(shares) + 1:
        raise ValueError(f"{len(edges)} edges do not fit {len(shares)} shares")
    heights = [100 * share / (high - low) for (low, high), share in zip(pairwise(edges), shares, strict=True)]
    horizontal = _Scale.over(x, [*edges, *(one.value for one in upright)], WIDTH)
    vertical = _Scale.over(Axis(f"{of}, % a {unit}", low=0), heights, height)
    # One outline of all bars: bar beside bar would show the seams.
    outline = _table([{"x": edge, "y": value} for edge, value in zip(edges, [*heights, 0.0], strict=True)])
    drawn = outline.mark_area(
        color=colour, opacity=0.75, interpolate="step-after", clip=True, line={"color": colour, "strokeWidth": 1}
    ).encode(x=alt.X("x:Q", **horizontal.encoding(alt)), y=alt.Y("y:Q", **vertical.encoding(alt)))
    layers = [drawn, *_upright(upright, horizontal, height)]
    return _svg(layers, height, key, title, description)


@dataclass(frozen=True, slots=True)
class _Scale:
    """An axis with its ends, and how many pixels lie between them."""

    axis: Axis
    low: float
    high: float
    pixels: int

    @classmethod
    def over(cls, axis: Axis, values: Iterable[float], pixels: int) -> "_Scale":
        """The scale that shows all the values, with a little air, or begins and ends where the axis says."""
        known = [*values, *(each for each in (axis.low, axis.high) if each is not None), *(axis.ticks or ())]
        for each in known:
            if not math.isfinite(each) or (axis.log and each <= 0):
                raise ValueError(f"{each} cannot be drawn on the axis “{axis.title}”")
        low, high = (min(known), max(known)) if known else (1.0, 2.0)
        if axis.log:
            air = (high / low) ** 0.04 if high > low else 1.5
            found = (low / air, high * air)
        else:
            air = (high - low) * 0.04 if high > low else max(abs(high), 1.0) / 2
            found = (0.0 if 0 <= low <= high / 2 else low - air, high + air)
        return cls(
            axis,
            found[0] if axis.low is None else axis.low,
            found[1] if axis.high is None else axis.high,
            pixels,
        )

    def pixel(self, value: float) -> float:
        """How far below the upper edge a value lies."""
        if self.axis.log:
            return self.pixels * math.log(self.high / value) / math.log(self.high / self.low)
        return self.pixels * (self.high - value) / (self.high - self.low)

    def encoding(self, alt: Any) -> dict[str, Any]:
        """What Altair is told."""
        drawn: dict[str, Any] = {"title": self.axis.title}
        if self.axis.ticks is not None:
            drawn["values"] = list(self.axis.ticks)
        if self.axis.hours:
            drawn["labelExpr"] = "format(datum.value, '02d') + ':00'"
        elif self.axis.log:
            # Vega leaves labels out on a logarithmic axis unless the ticks are named.
            drawn.setdefault("values", _round_steps(self.low, self.high))
            drawn["format"] = "~g"
        scale = alt.Scale(
            type="log" if self.axis.log else "linear", domain=[self.low, self.high], nice=False, zero=False
        )
        return {"scale": scale, "axis": alt.Axis(**drawn)}


def _round_steps(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, … between two values; only the powers of ten over more than four of them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 4 else (1,)
    return [
        value
        for power in range(first, last + 1)
        for step in steps
        if low <= (value := step * 10**power if power >= 0 else step / 10**-power) <= high
    ]


@dataclass(frozen=True, slots=True)
class _End:
    """A label beside the plot, where its line ends."""

    words: str
    pixel: float
    colour: Colour


def _drawn(series: Series, x: "alt.X", y: "alt.Y") -> Iterator["alt.Chart"]:
    import altair as alt

    dots = series.shown in ("points", "line-and-points")
    if series.between is not None:
        pairs = zip(series.points, series.between, strict=True)
        spans = _table([{"x": place, "y": low, "y2": high} for (place, _), (low, high) in pairs])
        if dots:
            yield spans.mark_rule(color=series.colour, strokeWidth=3, opacity=0.5).encode(x=x, y=y, y2="y2:Q")
        else:
            yield spans.mark_area(color=series.colour, opacity=0.2).encode(x=x, y=y, y2="y2:Q")
    points = _table([{"x": place, "y": value} for place, value in series.points])
    if series.shown != "points":
        dashes = [6, 4] if series.shown == "dashed" else [1, 0]
        yield points.mark_line(color=series.colour, strokeDash=dashes, strokeWidth=2, clip=True).encode(x=x, y=y)
    if dots:
        yield points.mark_point(color=series.colour, filled=True, size=45, opacity=1).encode(x=x, y=alt.Y("y:Q"))


def _upright(references: Sequence[Reference], scale: _Scale, height: int) -> Iterator["alt.Chart"]:
    """Lines from the axis to above the plot, labelled there: those further left higher, out of each other's way."""
    import altair as alt

    there = alt.X("x:Q", **scale.encoding(alt))
    for rank, one in enumerate(sorted(references, key=lambda one: -one.value)):
        at = _table([{"x": one.value, "words": one.label}])
        top = -LINE_HEIGHT * (rank + 1) - 2
        yield at.mark_rule(color=one.colour, strokeDash=[2, 3], strokeWidth=1.5).encode(
            x=there, y=alt.value(top), y2=alt.value(height)
        )
        yield at.mark_text(color=one.colour, align="left", dx=5).encode(
            x=there, y=alt.value(top + LINE_HEIGHT / 2), text="words:N"
        )


def _remarks(remarks: Sequence[Remark], scale: _Scale) -> Iterator["alt.Chart"]:
    import altair as alt

    for one in remarks:
        at = _table([{"x": one.at, "words": one.words}])
        yield at.mark_text(color=one.colour, align="center", baseline="top", lineBreak="\n").encode(
            x=alt.X("x:Q", **scale.encoding(alt)), y=alt.value(4), text="words:N"
        )


def _labels(ends: Sequence[_End], height: int) -> Iterator["alt.Chart"]:
    """Labels right of the plot at the height of what they name, moved as little as keeps them apart."""
    import altair as alt

    ordered = sorted(ends, key=lambda end: end.pixel)
    for end, pixel in zip(ordered, apart([end.pixel for end in ordered], LINE_HEIGHT, height), strict=True):
        yield (
            _table([{"words": end.words}])
            .mark_text(color=end.colour, align="left", dx=8, fontWeight="bold")
            .encode(x=alt.value(WIDTH), y=alt.value(pixel), text="words:N")
        )


def apart(places: Sequence[float], distance: float, end: float) -> list[float]:
    """Ascending places moved so that each keeps the distance from the next, within 0 and the end where they fit."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + distance) if moved else max(place, 0.0))
    limit = max(end, distance * (len(places) - 1))
    for index in range(len(moved) - 1, -1, -1):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - distance
    return moved


def _table(rows: list[dict[str, Any]]) -> "alt.Chart":
    import altair as alt

    return alt.Chart(alt.InlineData(values=rows))


def _svg(layers: Sequence["alt.Chart"], height: int, key: str, title: str, description: str) -> Markup:
    """The drawing as an element to be put into a page: named, its own names unlike those of other plots."""
    import altair as alt
    import vl_convert

    shown = (
        alt.LayerChart(layer=list(layers), width=WIDTH, height=height)
        .configure(font=FONT, background="transparent", padding={"left": 4, "right": ROOM, "top": 8, "bottom": 4})
        .configure_view(stroke=None)
        .configure_text(fontSize=13)
        .configure_axis(
            labelFontSize=13,
            titleFontSize=13,
            titleFontWeight="normal",
            labelColor=Colour.QUIET,
            titleColor=Colour.INK,
            gridColor=Colour.GRID,
            domainColor=Colour.QUIET,
            tickColor=Colour.QUIET,
            titlePadding=10,
            labelFlush=False,
        )
        .configure_axisX(grid=False)
    )
    # Nothing in it names an address, so there is nothing to load; that none is allowed makes sure.
    drawn = vl_convert.vegalite_to_svg(shown.to_dict(), allowed_base_urls=[])
    root = etree.fromstring(drawn.encode())
    # The engine counts on from drawing to drawing; within a page, names have to be unlike those of other plots.
    own = {each.get("id"): f"{key}-{number}" for number, each in enumerate(root.xpath("//*[@id]"))}
    for element in root.iter():
        for name in ("class", "role", "aria-hidden", "aria-roledescription", "aria-label", "pointer-events"):
            element.attrib.pop(name, None)
        if "id" in element.attrib:
            element.set("id", own[element.attrib["id"]])
        if "clip-path" in element.attrib:
            clip = element.attrib["clip-path"].removeprefix("url(#").removesuffix(")")
            element.set("clip-path", f"url(#{own[clip]})")
    for hidden in root.xpath("//*[@display='none']"):
        hidden.getparent().remove(hidden)
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-description")
    for place, (name, words) in enumerate((("title", title), ("desc", description))):
        told = etree.Element(f"{_SVG}{name}", id=f"{key}-{'title' if name == 'title' else 'description'}")
        told.text = words
        root.insert(place, told)
    etree.cleanup_namespaces(root)
    # Written by a serialiser, which escapes what has to be.
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704  see the line above
