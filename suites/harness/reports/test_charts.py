"""Plots as inline SVG: the same from the same, with names of their own, and readable by those who do not see them."""

import importlib.util
import math
import re
from importlib.machinery import ModuleSpec

import pytest
from lxml import etree
from markupsafe import Markup

from popreceipt.exceptions import UsageError
from popreceipt.reports import charts
from popreceipt.reports.charts import Axis, Colour, Reference, Remark, Series

SVG = {"s": "http://www.w3.org/2000/svg"}


def drawn(key: str = "waits", **changes: object) -> Markup:
    """A plot with everything in it."""
    told: dict[str, object] = {
        "x": Axis("recurrence (minutes)", log=True, ticks=[1, 5, 15]),
        "y": Axis("wait (minutes)", log=True),
        "title": "Waits & <recurrences>",
        "description": "p95 rises",
        "across": [Reference(15, "objective")],
        "upright": [Reference(5, "recommended", Colour.THIRD)],
        "remarks": [Remark(1, "never\nsettles")],
    }
    series = [
        Series("p95", [(1, 2), (5, 6), (15, 17)], Colour.FIRST, "line-and-points", [(1, 3), (5, 7), (16, 18)]),
        Series("band", [(1, 1), (5, 3), (15, 9)], Colour.SECOND, "line", [(0.5, 2), (2, 4), (8, 10)]),
        Series("closed form", [(1, 1), (5, 5)], Colour.SECOND, "dashed"),
        Series("observed", [(2, 2)], Colour.FOURTH, "points"),
    ]
    return charts.plot(key, series, **(told | changes))  # type: ignore[arg-type]  put together for the test


def bars(**changes: object) -> Markup:
    """A histogram."""
    told: dict[str, object] = {
        "x": Axis("minutes", low=0),
        "unit": "minute",
        "of": "messages",
        "title": "Held",
        "description": "mostly short",
        "upright": [Reference(30, "30 minutes")],
    }
    return charts.histogram("hold", [0, 1, 2, 4], [0.5, 0.3, 0.2], **(told | changes))  # type: ignore[arg-type]  as above


def test_the_same_plot_has_the_same_bytes() -> None:
    """However many were drawn before it."""
    first = drawn()
    bars()
    assert drawn() == first
    assert bars() == bars()


def test_a_plot_tells_its_name_and_what_is_to_be_seen() -> None:
    """Title and description are there as text, escaped, and the picture refers to them."""
    root = etree.fromstring(drawn())
    assert root.get("role") == "img"
    named = (root.get("aria-labelledby") or "").split()
    assert [root.xpath(f"string(//*[@id='{one}'])") for one in named] == ["Waits & <recurrences>", "p95 rises"]


def test_labels_stand_in_the_plot_and_not_in_a_legend() -> None:
    """Each series, each line across or upright and each remark by its own words; units on the axes."""
    words = etree.fromstring(drawn()).xpath("//s:text//text()", namespaces=SVG)
    for expected in (
        "p95",
        "closed form",
        "objective",
        "recommended",
        "never",
        "recurrence (minutes)",
        "wait (minutes)",
    ):
        assert expected in words
    assert "30 minutes" in etree.fromstring(bars()).xpath("//s:text//text()", namespaces=SVG)


def test_names_within_a_page_are_unlike() -> None:
    """Two plots of one page share no id, and what a plot refers to is in it."""
    ids = []
    for key in ("one", "two"):
        root = etree.fromstring(drawn(key))
        own = root.xpath("//@id")
        ids += own
        assert {each[5:-1] for each in root.xpath("//@clip-path")} <= set(own)
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_and_colours_are_those_of_the_page() -> None:
    """No address at all, and colours with what they are without a page."""
    for picture in (drawn(), bars()):
        text = str(picture).replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text
        assert "href" not in text
        assert "<style" not in text
        assert Colour.FIRST in text
        assert re.search(r'(?:fill|stroke)="(?!none|transparent|var\()', text) is None


def test_labels_keep_their_distance() -> None:
    """Moved as little as that takes, and not beyond the end."""
    assert charts.apart([10, 50], 16, 100) == [10, 50]
    assert charts.apart([10, 12, 13], 16, 100) == [10, 26, 42]
    assert charts.apart([90, 99, 100], 16, 100) == [68, 84, 100]
    assert charts.apart([-5], 16, 100) == [0]
    assert charts.apart([], 16, 100) == []


@pytest.mark.parametrize("value", [math.inf, math.nan, 0.0])
def test_what_cannot_be_drawn_is_a_mistake(value: float) -> None:
    """On a logarithmic axis nothing is 0; nowhere is anything infinite. The axis is named."""
    with pytest.raises(ValueError, match=r"cannot be drawn on the axis “wait \(minutes\)”"):
        drawn(across=[Reference(value, "x")])


def test_edges_have_to_fit() -> None:
    """One edge more than there are shares."""
    with pytest.raises(ValueError, match="2 edges do not fit 2 shares"):
        charts.histogram("h", [0, 1], [1, 0], x=Axis("x"), unit="u", of="o", title="t", description="d")


def test_without_what_draws_a_sentence_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages' names, and the extra that brings them."""
    found = importlib.util.find_spec

    def lacking(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "vl_convert" else found(name, package)

    charts.require("sizing")
    monkeypatch.setattr(importlib.util, "find_spec", lacking)
    with pytest.raises(UsageError, match=r"need vl-convert-python: pip install 'popreceipt\[sizing\]'"):
        charts.require("sizing")
