"""What will fall due: moments in the order of time, equal moments in the order in which they were planned."""

import heapq
from collections.abc import Callable
from datetime import datetime

Action = Callable[[datetime], None]


class Schedule:
    """Due moments and what is to be done at each. An action is told its own instant, however late it runs."""

    def __init__(self) -> None:
        self._moments: list[tuple[datetime, int, Action]] = []
        self._planned = 0

    def __len__(self) -> int:
        return len(self._moments)

    def at(self, instant: datetime, action: Action) -> None:
        """Plan an action. What was planned cannot be taken back: an action looks whether it still has a point."""
        self._planned += 1
        heapq.heappush(self._moments, (instant, self._planned, action))

    def next(self) -> datetime | None:
        """The earliest moment planned."""
        return self._moments[0][0] if self._moments else None

    def run_next(self) -> None:
        """Do the earliest thing planned."""
        instant, _, action = heapq.heappop(self._moments)
        action(instant)

    def clear(self) -> None:
        """Forget everything planned."""
        self._moments.clear()
