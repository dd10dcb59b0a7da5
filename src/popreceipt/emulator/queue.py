"""The queue of one activity: who is next, and who is hidden until when.

It orders identifiers and knows nothing of messages. Heaps, so that nothing is searched however many wait. Entries that
were withdrawn or offered anew are skipped when they surface, and thrown out when there are more of them than others.
"""

import heapq
from collections.abc import Iterator
from datetime import datetime
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
        self._visible_from: dict[str, datetime] = {}
        self._by_instant: list[_Entry] = []
        # Where the original place counts: those whose time has come.
        self._by_number: list[tuple[int, _Entry]] = []

    def __len__(self) -> int:
        return len(self._visible_from)

    def __iter__(self) -> Iterator[str]:
        return iter(self._visible_from)

    def offer(self, identifier: str, number: int, visible_from: datetime) -> None:
        """Put a message in, hidden until an instant; in the stead of its former entry if it has one."""
        if self._visible_from.get(identifier) == visible_from:
            return
        self._visible_from[identifier] = visible_from
        heapq.heappush(self._by_instant, (visible_from, number, identifier))
        if len(self._by_instant) + len(self._by_number) > 2 * len(self._visible_from) + SLACK:
            self._tidy()

    def withdraw(self, identifier: str) -> None:
        """Take a message out, if it is there."""
        self._visible_from.pop(identifier, None)

    def take(self, now: datetime) -> str | None:
        """Take out the next message that is visible now; None when there is none."""
        while (entry := self._first(now)) is not None:
            if self._is_current(entry):
                identifier = entry[2]
                del self._visible_from[identifier]
                return identifier
        return None

    def _first(self, now: datetime) -> _Entry | None:
        """Take out the first entry whose time has come, whoever's it is."""
        by_instant = self._by_instant
        if not self._original_place:
            return heapq.heappop(by_instant) if by_instant and by_instant[0][0] <= now else None
        while by_instant and by_instant[0][0] <= now:
            entry = heapq.heappop(by_instant)
            heapq.heappush(self._by_number, (entry[1], entry))
        return heapq.heappop(self._by_number)[1] if self._by_number else None

    def _is_current(self, entry: _Entry) -> bool:
        visible_from, _, identifier = entry
        return self._visible_from.get(identifier) == visible_from

    def _tidy(self) -> None:
        """Throw out the entries that are nobody's any more."""
        self._by_instant = list({entry for entry in self._by_instant if self._is_current(entry)})
        heapq.heapify(self._by_instant)
        self._by_number = list({one for one in self._by_number if self._is_current(one[1])})
        heapq.heapify(self._by_number)
