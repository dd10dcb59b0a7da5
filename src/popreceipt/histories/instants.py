"""Instants that are known by bounds and by how far they lie apart, and whether there are any that fit.

It knows numbers and nothing of queues. All bounds are whole numbers, so what fits at all fits with whole numbers.
"""

from collections import deque
from collections.abc import Hashable, Iterable

Edge = tuple[Hashable, Hashable, int, bool]
"""The second lies at least so much after the first. True: also behind it, where both are at one instant."""


class Instants:
    """Some instants, each with the earliest and the latest it can be by all that was said so far."""

    def __init__(self) -> None:
        self._first: dict[Hashable, int] = {}
        self._last: dict[Hashable, int] = {}
        self._after: dict[Hashable, list[tuple[Hashable, int]]] = {}
        self._before: dict[Hashable, list[tuple[Hashable, int]]] = {}
        self._behind: dict[Hashable, frozenset[Hashable]] = {}

    def copy(self) -> "Instants":
        """The same, to be narrowed on its own."""
        made = Instants()
        made._first = dict(self._first)
        made._last = dict(self._last)
        # Lists are replaced and never changed, so that copies may share them.
        made._after = dict(self._after)
        made._before = dict(self._before)
        made._behind = dict(self._behind)
        return made

    def know(self, name: Hashable, first: int, last: int) -> None:
        """There is such an instant, from `first` to `last`."""
        if name not in self._first:
            self._first[name], self._last[name] = first, last

    def add(self, edge: Edge) -> bool:
        """Say how two instants lie; false when nothing fits any more."""
        earlier, later, apart, behind = edge
        if behind:
            if self._leads(later, earlier):
                return False
            self._behind[earlier] = self._behind.get(earlier, frozenset()) | {later}
        self._after[earlier] = [*self._after.get(earlier, ()), (later, apart)]
        self._before[later] = [*self._before.get(later, ()), (earlier, apart)]
        return self._push(earlier, later, apart) and self._pull(earlier, later, apart)

    def stands(self, edges: Iterable[Edge]) -> bool | None:
        """Whether some edges hold already, however the instants lie; None where they may, false where they cannot."""
        certain = True
        for earlier, later, apart, behind in edges:
            if self._first[earlier] + apart > self._last[later]:
                return False
            latest = self._last[earlier] + apart
            # At one instant the order has to be said, or it could go around in a circle.
            certain = certain and (latest < self._first[later] or (latest == self._first[later] and not behind))
        return True if certain else None

    def _leads(self, start: Hashable, goal: Hashable) -> bool:
        """Whether one is said to be behind the other, perhaps with some between them."""
        if start == goal:
            return True
        seen, left = {start}, [start]
        while left:
            for each in self._behind.get(left.pop(), ()):
                if each == goal:
                    return True
                if each not in seen:
                    seen.add(each)
                    left.append(each)
        return False

    def _push(self, earlier: Hashable, later: Hashable, apart: int) -> bool:
        """Move what comes later to where it can be."""
        first, last = self._first, self._last
        if first[earlier] + apart <= first[later]:
            return True
        first[later] = first[earlier] + apart
        changed = deque((later,))
        turns: dict[Hashable, int] = {}
        while changed:
            each = changed.popleft()
            if first[each] > last[each] or turns.get(each, 0) > len(first):
                return False  # past its end, or around in a circle for ever
            turns[each] = turns.get(each, 0) + 1
            for follower, gap in self._after.get(each, ()):
                if first[each] + gap > first[follower]:
                    first[follower] = first[each] + gap
                    changed.append(follower)
        return True

    def _pull(self, earlier: Hashable, later: Hashable, apart: int) -> bool:
        """Move what comes earlier to where it can be."""
        first, last = self._first, self._last
        if last[later] - apart >= last[earlier]:
            return True
        last[earlier] = last[later] - apart
        changed = deque((earlier,))
        turns: dict[Hashable, int] = {}
        while changed:
            each = changed.popleft()
            if first[each] > last[each] or turns.get(each, 0) > len(first):
                return False
            turns[each] = turns.get(each, 0) + 1
            for leader, gap in self._before.get(each, ()):
                if last[each] - gap < last[leader]:
                    last[leader] = last[each] - gap
                    changed.append(leader)
        return True
