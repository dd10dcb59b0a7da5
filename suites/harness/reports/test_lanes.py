"""Lanes with marks and bars: in a terminal, in a page, and as a file of their own."""

from itertools import pairwise

import pytest
from lxml import etree

from popreceipt.reports import lanes
from popreceipt.reports.charts import Colour
from popreceipt.reports.lanes import LETTERS, MOST, Bar, Drawing, Mark

EVIL = "<script>alert(1)</script> & more"

DRAWING = Drawing(
    title="redelivery.arrives-once violated: slow-download",
    sentence="It came twice.",
    lanes=("dequeue", "lease", "inbox"),
    marks=(
        Mark("dequeue", 0.0, 0.0, "is handed the message", Colour.FIRST, witness=True, note="exchange 2"),
        Mark("inbox", 5.0, 5.0, "holds one.zip", Colour.THIRD),
        Mark("dequeue", 7.5, 10.0, "is handed the message again", Colour.FIRST),
    ),
    bars=(Bar("lease", 0.0, 6.0, "hidden"), Bar("lease", 7.5, 10.0, "hidden")),
    end=10.0,
)

TEXT = """\
redelivery.arrives-once violated: slow-download
It came twice.
             0 s        2 s        4 s        6 s        8 s      10 s
dequeue      a·········································c┄┄┄┄┄┄┄┄┄┄┄┄┄┄
lease        ┣━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━········┣━━━━━━━━━━━━━━
inbox        ····························b····························
 a ▸            0.000 s  dequeue: is handed the message (exchange 2)
 b              5.000 s  inbox: holds one.zip
 c   7.500 s … 10.000 s  dequeue: is handed the message again
 ━   lease: hidden
"""


def many(number: int) -> Drawing:
    """A drawing with so many marks at one place."""
    marks = tuple(Mark("dequeue", 1.0, 1.0, f"mark {each}") for each in range(number))
    return Drawing("many", "", ("dequeue",), marks, end=2.0, left_out=7)


def parsed(text: str) -> etree._Element:
    """An SVG as a document."""
    return etree.fromstring(text.encode())


def test_a_terminal_shows_every_mark_twice() -> None:
    """As a letter in its lane, and in words below."""
    assert lanes.as_text(DRAWING, 70) == TEXT


def test_a_drawing_keeps_to_its_width() -> None:
    """Long words are broken into lines, which begin where the words begin."""
    long = Mark("inbox", 1.0, 1.0, "says " + "again and " * 30)
    text = lanes.as_text(Drawing("t", "s " * 90, ("inbox",), (long,), end=2.0), 60)
    assert max(map(len, text.splitlines())) <= 60
    assert sum(line.startswith(" " * 14) for line in text.splitlines()) >= 5


def test_marks_at_one_place_stand_side_by_side() -> None:
    """None covers another, in a terminal and in a picture."""
    text = lanes.as_text(many(20))
    lane = next(line for line in text.splitlines() if line.startswith("dequeue"))
    assert all(letter in lane[lanes.LANE :] for letter in LETTERS[:20])
    circles = parsed(lanes.as_svg(many(20), "k")).xpath("//*[local-name() = 'circle']")
    inside = sorted(float(one.get("cx")) for one in circles if float(one.get("cx")) > 50)
    assert len(inside) == 20
    assert min(right - left for left, right in pairwise(inside)) >= 17


def test_more_marks_than_letters_are_counted() -> None:
    """What there is no room for is said."""
    assert "7 more, for which there was no room" in lanes.as_text(many(MOST))
    assert "7 more, for which there was no room" in lanes.as_svg(many(MOST), "k")


def test_a_picture_tells_its_name_and_all_it_shows() -> None:
    """For those who do not see it; names are those of its key, so that several fit into one page."""
    root = parsed(lanes.as_svg(DRAWING, "first"))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "first-title first-description"
    assert set(root.xpath("//@id")) == {"first-title", "first-description"}
    told = root.findtext("{http://www.w3.org/2000/svg}desc")
    assert told is not None
    assert "5.000 s inbox: holds one.zip" in told


def test_a_picture_takes_the_colours_of_its_page_or_brings_its_own() -> None:
    """In a page its style would hold for the whole page: only a file of its own has one."""
    assert "<style>" not in lanes.as_svg(DRAWING, "k")
    alone = lanes.as_svg(DRAWING, "k", alone=True)
    assert "prefers-color-scheme: dark" in alone
    assert DRAWING.title in "".join(parsed(alone).xpath("//*[local-name() = 'text']/text()"))
    assert "http://" not in alone.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("alone", [False, True])
def test_what_is_told_is_text(*, alone: bool) -> None:
    """Whatever a subject or a file is called."""
    drawing = Drawing(EVIL, EVIL, ("inbox",), (Mark("inbox", 0, 0, EVIL, note=EVIL),), (Bar("inbox", 0, 1, EVIL),))
    root = parsed(lanes.as_svg(drawing, "k", alone=alone))
    assert root.xpath("//*[local-name() = 'script']") == []
    assert EVIL in root.xpath("string(//*[local-name() = 'desc'])")


def test_the_same_drawing_has_the_same_bytes() -> None:
    """No counter, no time of day."""
    assert lanes.as_svg(DRAWING, "k") == lanes.as_svg(DRAWING, "k")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 10.0, [0, 2, 4, 6, 8, 10]),
        (0.0, 0.009, [0, 0.002, 0.004, 0.006, 0.008]),
        (0.0, 8.0, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (0.43, 0.45, [0.43, 0.435, 0.44, 0.445, 0.45]),
        (99.0, 1799.0, [500, 1000, 1500]),
        (1.0, 1.0, [1.0]),
    ],
)
def test_an_axis_names_round_seconds(start: float, end: float, expected: list[float]) -> None:
    """As many as there is room for, all of them within it."""
    assert lanes.ticks(start, end, 8) == pytest.approx(expected)


def test_a_drawing_without_anything_is_one() -> None:
    """Nothing happened: that is to be seen, too."""
    empty = Drawing("empty", "Nothing happened.", ("process",), (), end=0.0)
    assert lanes.as_text(empty).splitlines()[:2] == ["empty", "Nothing happened."]
    assert parsed(lanes.as_svg(empty, "k")).tag.endswith("svg")
