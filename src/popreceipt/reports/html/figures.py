"""What the suites of a run did, in their own figures: whatever a suite tells is shown, as far as it is plain.

A suite's figures are a mapping of its own making. Single ones become facts, mappings of mappings become tables.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from popreceipt.journal import instant
from popreceipt.reports.html import telling
from popreceipt.reports.html.views import Ran, Sheet
from popreceipt.reports.plain import one_line

MOST_ROWS: Final = 200
"""Rows of a table that are shown."""

MOST_COLUMNS: Final = 12
"""Columns of a table that are shown."""

MOST: Final = 300
"""Characters of one figure."""

MOST_ABREAST: Final = 8
"""Figures of a mapping that stand in one line."""

_WRITTEN: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z", re.ASCII)
"""An instant as journals and results have it."""


def ran(suites: Mapping[str, Any]) -> tuple[Ran, ...]:
    """What each suite did."""
    told = []
    for name, figures in suites.items():
        if isinstance(figures, Mapping):
            told.append(Ran(words(name), tuple(_facts(figures)), tuple(_sheets(figures))))
    return tuple(each for each in told if each.facts or each.sheets)


def words(name: object) -> str:
    """A member's name as words."""
    return one_line(str(name).replace("_", " "), 80)


def said(value: object) -> str:
    """A single figure as it is said."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, Mapping):
        return one_line(", ".join(f"{words(key)}: {said(one)}" for key, one in list(value.items())[:20]), MOST)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return one_line(", ".join(said(one) for one in value[:20]), MOST)
    return _instant(str(value)) or one_line(str(value), MOST)


def _instant(text: str) -> str:
    """An instant as a reader wants it; empty where the text is none."""
    if not _WRITTEN.fullmatch(text):
        return ""
    try:
        at = instant(text)
    except ValueError:
        return ""
    return f"{telling.day(at)}, {telling.time_of_day(at).partition('.')[0]} UTC"


def _facts(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in list(figures.items())[:MOST_ROWS]:
        if not _parts(value) and not _is_long(value) and not _is_record(value) and (told := said(value)):
            yield words(name), told


def _sheets(figures: Mapping[str, Any]) -> Iterator[Sheet]:
    if records := {name: one for name, one in figures.items() if _is_record(one)}:
        yield _sheet("by part", records)
    for name, value in figures.items():
        if parts := _parts(value):
            yield _sheet(words(name), parts)
        elif _is_long(value):
            yield _sheet(words(name), {key: {"": one} for key, one in value.items()})


def _is_record(value: object) -> bool:
    """Whether a mapping tells of a part of a suite: plain figures, and mappings beside them."""
    kinds = {isinstance(one, Mapping) for one in value.values()} if isinstance(value, Mapping) else set()
    return len(kinds) > 1


def _is_long(value: object) -> bool:
    """Whether a mapping of plain figures is rather read one below the other."""
    return isinstance(value, Mapping) and len(value) > MOST_ABREAST and not _is_record(value)


def _parts(value: object) -> dict[str, Mapping[str, Any]]:
    """The rows of a table: a mapping of mappings, or a list of them, whose first member then names each."""
    if isinstance(value, Mapping):
        all_of_them = all(isinstance(one, Mapping) for one in value.values())
        return {str(key): one for key, one in value.items()} if all_of_them else {}
    if isinstance(value, Sequence) and not isinstance(value, str):
        rows = [one for one in value if isinstance(one, Mapping) and one]
        names = [str(next(iter(one.values()))) for one in rows]
        if len(set(names)) == len(names):
            return {name: dict(list(one.items())[1:]) for name, one in zip(names, rows, strict=True)}
        return {str(place): one for place, one in enumerate(rows, 1)}
    return {}


def _sheet(caption: str, rows: Mapping[str, Mapping[str, Any]]) -> Sheet:
    members = list(dict.fromkeys(key for row in rows.values() for key in row))[:MOST_COLUMNS]
    shown = list(rows.items())[:MOST_ROWS]
    left = f" (the first {MOST_ROWS} of {len(rows):,})" if len(rows) > MOST_ROWS else ""
    return Sheet(
        caption + left,
        tuple((words(each), all(_is_number(row.get(each, 0)) for _, row in shown)) for each in members),
        tuple((words(name), *(_cell(row[each]) if each in row else "" for each in members)) for name, row in shown),
    )


def _cell(value: object) -> str:
    """A figure within a table; of many, their sum and how many they are."""
    if _is_long(value) and isinstance(value, Mapping):
        count = f"{len(value):,} kinds"
        return f"{sum(value.values()):,} of {count}" if all(map(_is_number, value.values())) else count
    return said(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
