"""Identifiers by their ranks, to be read in this order from any rank on, a page at a time.

Ranks mostly come in ascending order and go from the lowest on; then nothing here costs more than a step.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import Final

SLACK: Final = 32
"""So many entries of nobody do no harm."""


class Ranking:
    """Who is there, and in which order."""

    def __init__(self) -> None:
        self._ranks: dict[str, int] = {}
        # Who has gone, or has another rank by now, is passed over; those at the front never again.
        self._order: list[tuple[int, str]] = []
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
        if self._order and rank <= self._order[-1][0]:
            self._is_in_order = False
            return
        self._order.append((rank, identifier))
        if len(self._order) > 2 * len(self._ranks) + SLACK:
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
            self._order = sorted((rank, identifier) for identifier, rank in self._ranks.items())
            self._first = 0
            self._is_in_order = True
        order = self._order
        while self._first < len(order) and not self._is_there(order[self._first]):
            self._first += 1
        start = self._first
        if rank is not None:
            start = bisect_right(order, rank, lo=start, key=itemgetter(0))
        for place in range(start, len(order)):
            if self._is_there(order[place]):
                yield order[place][1]

    def _is_there(self, entry: tuple[int, str]) -> bool:
        return self._ranks.get(entry[1]) == entry[0]
