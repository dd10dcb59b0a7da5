"""A badge: in a few words and a colour what a result amounts to, as a small picture or for a service that draws it.

The picture is one file of SVG that loads nothing. It is green only where a complete run decided something and found
no violation.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr  # only written here, never parsed

from popreceipt.reports.plain import one_line
from popreceipt.reports.result import ResultFile
from popreceipt.verdict import Level, Outcome

LABEL: Final = "popreceipt"

COLOURS: Final = {"brightgreen": "#25761a", "yellow": "#8a6d00", "red": "#c0392b", "lightgrey": "#6b6b6b"}
"""The names that shields.io has for colours, and what the picture uses: white letters on each have enough contrast."""

_HEIGHT: Final = 20
_PADDING: Final = 6
_NARROW: Final = frozenset("fijlrtI.,:;'!|()[] ")
_WIDE: Final = frozenset("mwMW@%✔✘")


def message(result: ResultFile) -> tuple[str, str]:
    """The words of the badge, and the name of its colour."""
    counts = {outcome: sum(each.outcome is outcome for each in result.rules) for outcome in Outcome}
    failures = [each for each in result.raw.get("failures") or () if isinstance(each, Mapping)]
    told = {each.id for each in result.rules if each.outcome is Outcome.VIOLATED}
    others = {str(each.get("check")) for each in failures} - told
    violated = counts[Outcome.VIOLATED] + len(others)
    decided = counts[Outcome.HELD] + counts[Outcome.VIOLATED]
    words = [f"{violated} violated"] if violated else []
    words += [f"{counts[Outcome.UNDECIDED]} undecided"] if counts[Outcome.UNDECIDED] else []
    words += [f"{counts[Outcome.HELD]} held"] if counts[Outcome.HELD] else []
    if _convicts(result, failures):
        return " · ".join(words), "red"
    if not result.complete:
        return " · ".join(["not complete", *words]), "lightgrey"
    if not decided and not counts[Outcome.ANSWERED]:
        return " · ".join(words) or "nothing proved", "lightgrey"
    if violated or counts[Outcome.UNDECIDED]:
        return " · ".join(words), "yellow"
    return " · ".join(words) or f"{counts[Outcome.ANSWERED]} answered", "brightgreen"


def _convicts(result: ResultFile, failures: list[Mapping[str, Any]]) -> bool:
    """Whether anything counts against the target without `--strict`."""
    rules = any(each.outcome is Outcome.VIOLATED and each.level is Level.MUST for each in result.rules)
    return rules or any(each.get("level") == Level.MUST.value for each in failures)


def as_svg(told: tuple[str, str], *, label: str = LABEL) -> str:
    """The badge as a picture.

    Args:
        told: its words, and the name of its colour.
        label: the words on its left.
    """
    left = one_line(label, 60)
    right, colour = told
    first, second = _width(left), _width(right)
    whole = f"{left}: {right}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{first + second}" height="{_HEIGHT}" role="img" '
        f"aria-label={quoteattr(whole)}>"
        f"<title>{escape(whole)}</title>"
        f'<rect width="{first}" height="{_HEIGHT}" fill="#444"/>'
        f'<rect x="{first}" width="{second}" height="{_HEIGHT}" fill="{COLOURS[colour]}"/>'
        '<g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(left, _PADDING, first)}{_text(right, first + _PADDING, second)}</g></svg>\n"
    )


def _text(words: str, at: int, width: int) -> str:
    # The length is said, so that the words fit whichever font there is.
    room = width - 2 * _PADDING
    return f'<text x="{at}" y="14" textLength="{room}" lengthAdjust="spacingAndGlyphs">{escape(words)}</text>'


def _width(words: str) -> int:
    """Pixels for words in eleven-pixel Verdana, and the padding at both ends."""
    letters = sum(4.0 if each in _NARROW else 10.0 if each in _WIDE else 7.0 for each in words)
    return round(letters) + 2 * _PADDING


def as_endpoint(told: tuple[str, str], *, label: str = LABEL) -> dict[str, Any]:
    """The badge as shields.io reads it from an address that somebody names (its endpoint badge, schema version 1)."""
    words, colour = told
    return {
        "schemaVersion": 1,
        "label": one_line(label, 60),
        "message": words,
        "color": colour,
        "isError": colour == "red",
    }


def write(told: tuple[str, str], path: Path, *, label: str = LABEL) -> None:
    """Write the badge: for shields.io where the file's name ends in `.json`, else as a picture.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".json":
        path.write_text(json.dumps(as_endpoint(told, label=label), ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        path.write_text(as_svg(told, label=label), encoding="utf-8")
