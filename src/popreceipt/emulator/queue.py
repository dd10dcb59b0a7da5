"""The queue of one activity: who is next, and who is hidden until when.

It orders identifiers and knows nothing of messages. Two heaps, so that nothing is searched however many wait: what is
hidden comes over when its time has come, what is visible goes out in order. Entries that were withdrawn or offered
anew are skipped when they surface.
"""

import heapq
from collections.abc import Iterator
from datetime import datetime


class LeaseQueue:
    """Which message of one activity is offered next.

    With `original_place` a message that comes back stands where it first stood; else it comes back at the tail, which
    is the place of the instant at which it became visible again.
    """

    def __init__(self, *, original_place: bool = False) -> None:
        self._original_place = original_place
        self._visible_from: dict[str, datetime] = {}
        self._hidden: list[tuple[datetime, int, str]] = []
        self._visible: list[tuple[tuple[datetime, int] | int, datetime, str]] = []

    def __len__(self) -> int:
        return len(self._visible_from)

    def __iter__(self) -> Iterator[str]:
        return iter(self._visible_from)

    def offer(self, identifier: str, number: int, visible_from: datetime) -> None:
        """Put a message in, hidden until an instant; in the stead of its former entry if it has one."""
        if self._visible_from.get(identifier) == visible_from:
            return
        self._visible_from[identifier] = visible_from
        heapq.heappush(self._hidden, (visible_from, number, identifier))

    def withdraw(self, identifier: str) -> None:
        """Take a message out, if it is there."""
        self._visible_from.pop(identifier, None)

    def take(self, now: datetime) -> str | None:
        """Take out the next message that is visible now; None when there is none."""
        while self._hidden and self._hidden[0][0] <= now:
            visible_from, number, identifier = heapq.heappop(self._hidden)
            place = number if self._original_place else (visible_from, number)
            heapq.heappush(self._visible, (place, visible_from, identifier))
        while self._visible:
            _, visible_from, identifier = heapq.heappop(self._visible)
            if self._visible_from.get(identifier) == visible_from:
                del self._visible_from[identifier]
                return identifier
        return None
