"""What the suites of a run did, in their own figures: whatever a suite tells is shown, as far as it is plain.

A suite's figures are a mapping of its own making. Single ones become facts, mappings of mappings become tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from popreceipt.reports.html.views import Ran, Sheet
from popreceipt.reports.plain import one_line

MOST_ROWS: Final = 200
"""Rows of a table that are shown."""

MOST_COLUMNS: Final = 12
"""Columns of a table that are shown."""

MOST: Final = 200
"""Characters of one figure."""


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
    return one_line(str(value), MOST)


def _facts(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in list(figures.items())[:MOST_ROWS]:
        if isinstance(value, Mapping):
            if value and not any(isinstance(one, Mapping) for one in value.values()):
                yield words(name), said(value)
        elif not _is_rows(value):
            yield words(name), said(value)


def _is_rows(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(one, Mapping) for one in value)


def _sheets(figures: Mapping[str, Any]) -> Iterator[Sheet]:
    loose: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            parts = {key: one for key, one in value.items() if isinstance(one, Mapping)}
            if parts:
                yield _sheet(words(name), parts)
        elif _is_rows(value):
            rows = [one for one in value if isinstance(one, Mapping)]
            loose = {str(place): one for place, one in enumerate(rows, 1)}
            yield _sheet(words(name), loose)


def _sheet(caption: str, rows: Mapping[str, Any]) -> Sheet:
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))[:MOST_COLUMNS]
    shown = list(rows.items())[:MOST_ROWS]
    left = f" (the first {MOST_ROWS} of {len(rows):,})" if len(rows) > MOST_ROWS else ""
    return Sheet(
        caption + left,
        ("", *(words(each) for each in columns)),
        tuple((words(name), *(said(row[each]) if each in row else "" for each in columns)) for name, row in shown),
    )
