"""The badge: its colour never promises more than the result does, and its words fit and are nobody else's markup."""

import json
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from popreceipt.cli.main import run
from popreceipt.reports import badge
from popreceipt.reports.result import ResultFile, of_json
from popreceipt.verdict import Level, Outcome, SuiteFailure

from . import runs

SVG = "{http://www.w3.org/2000/svg}"

HELD = runs.verdict(runs.HALF_HOUR, Outcome.HELD)
BROKEN = runs.verdict(runs.HALF_HOUR, Outcome.VIOLATED)
NOT_KEPT = runs.verdict(runs.SHOULD, Outcome.VIOLATED)
UNSURE = runs.verdict("redelivery.after-half-an-hour", Outcome.UNDECIDED)
ANSWERED = runs.verdict(runs.STALE, Outcome.ANSWERED)
NOT_SHOWN = runs.verdict("redelivery.same-payload", Outcome.UNEXERCISED)


def result(*rules: Any, **more: Any) -> ResultFile:
    """A result with these rules alone."""
    verdicts = runs.verdicts(rules=rules, **({"failures": ()} | more))
    return of_json(json.loads(json.dumps(verdicts.as_json())), Path("verdicts.json"))


@pytest.mark.parametrize(
    ("read", "words", "colour"),
    [
        (result(HELD, ANSWERED), "1 held", "brightgreen"),
        (result(HELD, NOT_SHOWN), "1 held", "brightgreen"),
        (result(ANSWERED), "1 answered", "brightgreen"),
        (result(HELD, UNSURE), "1 undecided · 1 held", "yellow"),
        (result(HELD, NOT_KEPT), "1 violated · 1 held", "yellow"),
        (result(HELD, BROKEN), "1 violated · 1 held", "red"),
        (result(HELD, BROKEN, complete=False), "1 violated · 1 held", "red"),
        (result(HELD, failures=(SuiteFailure("fuzz", "a", "c", Level.MUST, "", ""),)), "1 violated · 1 held", "red"),
        (
            result(HELD, failures=(SuiteFailure("fuzz", "a", "c", Level.SHOULD, "", ""),)),
            "1 violated · 1 held",
            "yellow",
        ),
        (result(HELD, complete=False), "not complete · 1 held", "lightgrey"),
        (result(NOT_SHOWN), "nothing proved", "lightgrey"),
        (result(UNSURE), "1 undecided", "lightgrey"),
        (result(), "nothing proved", "lightgrey"),
    ],
)
def test_only_what_was_proved_is_green(read: ResultFile, words: str, colour: str) -> None:
    """Red for a broken promise, grey for a run that proves nothing, yellow for what remains to be looked at."""
    assert badge.message(read) == (words, colour)
    assert badge.as_endpoint(badge.message(read)) == {
        "schemaVersion": 1,
        "label": "popreceipt",
        "message": words,
        "color": colour,
        "isError": colour == "red",
    }


def test_the_picture_stands_alone_and_is_told_to_those_who_do_not_see() -> None:
    """It loads nothing, names itself, and its words lie within their boxes whatever the font."""
    evil = '"><script>alert(1)</script>&\x00\u202e'
    root = etree.fromstring(badge.as_svg(badge.message(result(HELD, BROKEN)), label=evil).encode())
    assert {each.tag.removeprefix(SVG) for each in root.iter()} == {"svg", "title", "rect", "g", "text"}
    assert root.get("aria-label") == root.findtext(f"{SVG}title")
    assert root.get("aria-label", "").endswith(": 1 violated · 1 held")
    assert not [value for each in root.iter() for name, value in each.attrib.items() if "href" in name]
    texts = root.findall(f".//{SVG}text")
    ends = [float(each.get("x", "")) + float(each.get("textLength", "")) for each in texts]
    boxes = [float(each.get("width", "")) for each in root.findall(f"{SVG}rect")]
    assert ends[0] < boxes[0] < float(texts[1].get("x", ""))
    assert ends[1] < sum(boxes) == float(root.get("width", ""))


@pytest.mark.parametrize("colour", list(badge.COLOURS.values()))
def test_the_words_stand_out_from_each_colour(colour: str) -> None:
    """White on it has the contrast that WCAG 2 asks of small text: four and a half to one."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_the_command_writes_either(tmp_path: Path) -> None:
    """The file's name decides which: a picture, or what shields.io reads."""
    runs.leave(tmp_path / "now")
    for name in ("b.svg", "b.json"):
        with pytest.raises(SystemExit) as ended:
            run(["report", str(tmp_path / "now"), "--badge", str(tmp_path / "made" / name)])
        assert ended.value.code == 0
    assert etree.parse(tmp_path / "made" / "b.svg").getroot().tag == f"{SVG}svg"
    assert json.loads((tmp_path / "made" / "b.json").read_text())["color"] == "red"
