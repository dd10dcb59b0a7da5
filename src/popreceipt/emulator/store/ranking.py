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

    __slots__ = ("_first", "_is_in_order", "_last", "_theirs", "_those", "ranks")

    def __init__(self) -> None:
        self.ranks: dict[str, int] = {}
        """Who is there, and their ranks: whoever is taken out here is gone."""
        # In this order. Who has gone, or has another rank by now, is passed over; those at the front never again.
        self._those: list[str] = []
        self._theirs = array("q")
        self._first = 0
        self._last = 0
        self._is_in_order = True

    def put(self, identifier: str, rank: int) -> None:
        """Add somebody, or give them another rank. No two have the same; the lowest is 1."""
        ranks = self.ranks
        if ranks.get(identifier) == rank:
            return
        ranks[identifier] = rank
        if not self._is_in_order:
            return
        if rank > self._last:
            self._last = rank
            self._those.append(identifier)
            self._theirs.append(rank)
        else:
            self._is_in_order = False

    def remove(self, identifier: str) -> None:
        """Take somebody out, if they are there."""
        if self.ranks.pop(identifier, None) is not None and len(self._those) > 2 * len(self.ranks) + SLACK:
            self._is_in_order = False
            self._let_go()

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
        start = self._first if rank is None else bisect_right(self._theirs, rank, lo=self._first)
        for place in range(start, len(self._those)):
            if self._is_there(place):
                yield self._those[place]

    def _put_in_order(self) -> None:
        self._those = sorted(self.ranks, key=self.ranks.__getitem__)
        self._theirs = array("q", map(self.ranks.__getitem__, self._those))
        self._first = 0
        self._last = self._theirs[-1] if self._theirs else 0
        self._is_in_order = True

    def _let_go(self) -> None:
        """Forget the order: it will be made when somebody asks."""
        self._those = []
        self._theirs = array("q")
        self._first = 0

    def _is_there(self, place: int) -> bool:
        return self.ranks.get(self._those[place]) == self._theirs[place]
