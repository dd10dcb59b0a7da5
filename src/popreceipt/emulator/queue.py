"""The queue of one activity: who is next, and who is hidden until when.

It orders identifiers and knows nothing of messages. Heaps, so that nothing is searched however many wait. Entries that
were withdrawn or offered anew are skipped when they surface, and thrown out when there are more of them than others.
"""

import heapq
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Final

_Entry = tuple[datetime, int, str]
"""From when, which number, who."""

SLACK: Final = 1000
"""So many entries of nobody do no harm."""


class LeaseQueue:
    """Which message of one activity is offered next.

    With `original_place` a message that comes back stands where it first stood; else it comes back at the tail, which
    is the place of the instant at which it became visible again.
    """

    def __init__(self, *, original_place: bool = False) -> None:
        self._original_place = original_place
        self._newest = 0
        # Who comes and who comes back stand apart: most of the latter are withdrawn before their time, and nobody
        # should have to look through all who wait to throw their entries out.
        self._coming = _Lane()
        self._back = _Lane()
        # Where the original place counts: those whose time has come.
        self._by_number: list[tuple[int, _Entry]] = []

    def __len__(self) -> int:
        return len(self._coming.visible_from) + len(self._back.visible_from)

    def __iter__(self) -> Iterator[str]:
        return chain(self._coming.visible_from, self._back.visible_from)

    def offer(self, identifier: str, number: int, visible_from: datetime) -> None:
        """Put a message in, hidden until an instant; in the stead of its former entry if it has one."""
        if number > self._newest:
            self._newest = number
            self._coming.add(identifier, number, visible_from)
        elif self._since(identifier) != visible_from:
            self._coming.visible_from.pop(identifier, None)
            self._back.add(identifier, number, visible_from)

    def withdraw(self, identifier: str) -> None:
        """Take a message out, if it is there."""
        self._coming.visible_from.pop(identifier, None)
        self._back.visible_from.pop(identifier, None)

    def take(self, now: datetime) -> str | None:
        """Take out the next message that is visible now; None when there is none."""
        while (entry := self._first(now)) is not None:
            visible_from, _, identifier = entry
            if self._since(identifier) == visible_from:
                self.withdraw(identifier)
                return identifier
        return None

    def _since(self, identifier: str) -> datetime | None:
        return self._coming.visible_from.get(identifier) or self._back.visible_from.get(identifier)

    def _first(self, now: datetime) -> _Entry | None:
        """Take out the first entry whose time has come, whoever's it is."""
        if not self._original_place:
            return self._earliest(now)
        while (entry := self._earliest(now)) is not None:
            heapq.heappush(self._by_number, (entry[1], entry))
        return heapq.heappop(self._by_number)[1] if self._by_number else None

    def _earliest(self, now: datetime) -> _Entry | None:
        coming, back = self._coming.entries, self._back.entries
        first = back if back and (not coming or back[0] < coming[0]) else coming
        return heapq.heappop(first) if first and first[0][0] <= now else None


class _Lane:
    """A part of a queue: from when each message in it is visible, and entries by these instants."""

    def __init__(self) -> None:
        self.visible_from: dict[str, datetime] = {}
        self.entries: list[_Entry] = []

    def add(self, identifier: str, number: int, visible_from: datetime) -> None:
        """Add a message that is in no lane, or move it in this one."""
        self.visible_from[identifier] = visible_from
        heapq.heappush(self.entries, (visible_from, number, identifier))
        if len(self.entries) > 2 * len(self.visible_from) + SLACK:
            # The same entry may be there twice.
            self.entries = list({one for one in self.entries if self.visible_from.get(one[2]) == one[0]})
            heapq.heapify(self.entries)
