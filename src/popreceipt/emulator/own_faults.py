"""Faults of the emulator itself: kept for whoever asks, told at once to whoever listens, and never without end."""

from collections.abc import Callable
from typing import Final

TOLD: Final = "a fault of the emulator itself"
"""How `serve` begins to tell one, for whoever started it and reads along."""

MOST_KEPT: Final = 100
"""So many are kept; a disk that is full makes one a request."""


class OwnFaults(list[Exception]):
    """The first faults there were. `total` is of all; `tell` hears each that differs from the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.tell: Callable[[str], None] = lambda _: None
        self._last = ""

    def append(self, fault: Exception) -> None:
        """Another one."""
        self.total += 1
        if len(self) < MOST_KEPT:
            super().append(fault)
        said = f"{type(fault).__name__}: {fault}"
        if said != self._last:
            self._last = said
            self.tell(said)
