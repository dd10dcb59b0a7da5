"""Where rows stand by a text that comes in no order: an index that is kept behind the rows.

Rows are written one behind the other, their identifiers come from all over. An index of these writes one more page for
nearly every row, and pages are what a commit costs. So the newest identifiers are remembered here, and enter the
index many at a time, in its order. How far it reaches is written down with it: who opens the store finds the rest by
the rows themselves.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

MOST: Final = 2048
"""So many identifiers are remembered; then they enter the index."""


class LateKeys:
    """The index of one table, and what is not in it yet.

    Args:
        index: a table of its own, with the columns `key` and `position`.
        rows: the table whose rows these are; a position is a number that grows with each new row.
        key: its column of identifiers.
        position: its column of positions, by which its rows are found.
        find: runs a statement that reads.
        change: runs one that writes.
        change_many: runs one that writes for each row.
    """

    def __init__(
        self,
        index: str,
        rows: str,
        key: str,
        position: str,
        *,
        find: Callable[..., list[tuple[Any, ...]]],
        change: Callable[..., None],
        change_many: Callable[[str, Iterable[tuple[Any, ...]]], None],
    ) -> None:
        self._find, self._change, self._change_many = find, change, change_many
        self._name = index
        # Names of our own tables and columns, and nothing else, are put together here.
        self._look_up = f"SELECT position FROM {index} WHERE key = ?"  # noqa: S608 - see above
        self._put = f"INSERT OR REPLACE INTO {index} (key, position) VALUES (?, ?)"  # noqa: S608 - see above
        self._delete = f"DELETE FROM {index} WHERE key = ?"  # noqa: S608 - see above
        self._newer = f"SELECT {key}, {position} FROM {rows} WHERE {position} > ? ORDER BY {position}"  # noqa: S608 - see above
        self.forget()

    def forget(self) -> None:
        """Remember nothing that may have been undone; the rows tell it again."""
        self._newest: dict[str, int] | None = None
        self._reach = 0

    def position(self, key: str) -> int | None:
        """Where the row of this identifier stands."""
        known = self._remembered().get(key)
        if known is not None:
            return known
        found = self._find(self._look_up, key)
        return found[0][0] if found else None

    def add(self, key: str, position: int) -> None:
        """A row was added."""
        newest = self._remembered()
        if position <= self._reach:  # Its number was given out long ago.
            self._change(self._put, key, position)
            return
        newest[key] = position
        if len(newest) >= MOST:
            self._change_many(self._put, sorted(newest.items()))
            self._reach = max(newest.values())
            self._change(_PUT_REACH, self._name, self._reach)
            newest.clear()

    def remove(self, key: str) -> None:
        """A row is gone."""
        if self._remembered().pop(key, None) is None:
            self._change(self._delete, key)

    def _remembered(self) -> dict[str, int]:
        if self._newest is None:
            found = self._find("SELECT reach FROM reaches WHERE name = ?", self._name)
            self._reach = found[0][0] if found else 0
            self._newest = dict(self._find(self._newer, self._reach))
        return self._newest


_PUT_REACH: Final = "INSERT OR REPLACE INTO reaches (name, reach) VALUES (?, ?)"

SCHEMA: Final = (
    "CREATE TABLE reaches (name TEXT NOT NULL PRIMARY KEY, reach INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE message_numbers (key TEXT NOT NULL PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE delivery_positions (key TEXT NOT NULL PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID",
)
TABLES: Final = ("reaches", "message_numbers", "delivery_positions")
