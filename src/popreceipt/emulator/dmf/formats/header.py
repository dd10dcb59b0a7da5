"""Header rows: which column a name in the file means."""

from collections.abc import Callable, Collection, Mapping, Sequence

from popreceipt.emulator.dmf.formats.source import Column
from popreceipt.emulator.dmf.problems import Unreadable

Told = Callable[[Collection[str]], None]
"""Is told the columns that a header has, before the first record; it may raise `Unreadable`."""


def spellings(columns: Sequence[Column]) -> dict[str, str]:
    """The expected spelling of each column by its folded name."""
    return {column.name.strip().casefold(): column.name for column in columns}


def places(header: Mapping[int, str], columns: Sequence[Column]) -> dict[int, str]:
    """The columns by their place: in the expected spelling, unknown ones as they stand.

    Args:
        header: the names in the file by their place, from 0.
        columns: those that are expected.

    Raises:
        Unreadable: a column without a name, or two with one.
    """
    known = spellings(columns)
    found: dict[int, str] = {}
    taken: set[str] = set()
    for place, text in header.items():
        name = text.strip()
        if not name:
            raise Unreadable(f"Column {place + 1} of the header has no name.")
        folded = name.casefold()
        if folded in taken:
            raise Unreadable(f"The column {known.get(folded, name)} stands twice in the header.")
        taken.add(folded)
        found[place] = known.get(folded, name)
    return found
