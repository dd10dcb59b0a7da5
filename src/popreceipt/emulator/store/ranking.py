"""Identifiers by their ranks, to be read in this order from any rank on, a page at a time.

Ranks mostly come in ascending order and go from the lowest on; then nothing here costs more than a step.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import Final

SLACK: Final = 32
"""So many entries of nobody do no harm."""


class Ranking:
    """Who is there, and in which order."""

    def __init__(self) -> None:
        self._ranks: dict[str, int] = {}
        # In this order. Who has gone, or has another rank by now, is passed over; those at the front never again.
        self._those: list[str] = []
        self._theirs = array("q")
        self._first = 0
        self._is_in_order = True

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._ranks

    def put(self, identifier: str, rank: int) -> None:
        """Add somebody, or give them another rank. No two have the same."""
        if self._ranks.get(identifier) == rank:
            return
        self._ranks[identifier] = rank
        if not self._is_in_order:
            return
        if self._theirs and rank <= self._theirs[-1]:
            self._is_in_order = False
            return
        self._those.append(identifier)
        self._theirs.append(rank)
        if len(self._those) > 2 * len(self._ranks) + SLACK:
            self._is_in_order = False

    def remove(self, identifier: str) -> None:
        """Take somebody out, if they are there."""
        self._ranks.pop(identifier, None)

    def first(self) -> str | None:
        """Whose rank is the lowest."""
        return next(self._after(None), None)

    def page(self, after: int, limit: int | None) -> list[str]:
        """Those of greater ranks than that, ascending: so many at most, or all."""
        return list(islice(self._after(after), limit))

    def _after(self, rank: int | None) -> Iterator[str]:
        if not self._is_in_order:
            self._put_in_order()
        while self._first < len(self._those) and not self._is_there(self._first):
            self._first += 1
        if self._first > SLACK and 2 * self._first > len(self._those):
            del self._those[: self._first], self._theirs[: self._first]
            self._first = 0
        start = self._first if rank is None else bisect_right(self._theirs, rank, lo=self._first)
        for place in range(start, len(self._those)):
            if self._is_there(place):
                yield self._those[place]

    def _put_in_order(self) -> None:
        self._those = sorted(self._ranks, key=self._ranks.__getitem__)
        self._theirs = array("q", map(self._ranks.__getitem__, self._those))
        self._first = 0
        self._is_in_order = True

    def _is_there(self, place: int) -> bool:
        return self._ranks.get(self._those[place]) == self._theirs[place]
