"""What became of the messages of one recurring data job, as somebody wrote it down: three instants of each.

Instants are seconds since 1970 in UTC; what is blank (not begun, not ended) is NaN. It knows neither where the rows
come from nor what they should look like.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from popreceipt.sizing.work import Floats

Row = tuple[float, float, float]
"""Enqueued, processing started, processing completed."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Messages in the order of their enqueue, as arrays of one length; `notes` say what was left out of them."""

    enqueued: Floats
    started: Floats
    completed: Floats
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, rows: Iterable[Row], notes: Iterable[str] = ()) -> Self:
        """Rows in any order, put in order."""
        table = np.array(sorted(rows), dtype=np.float64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2], tuple(notes))

    def __len__(self) -> int:
        return len(self.enqueued)

    @property
    def processed(self) -> "Recorded":
        """Those of which start and end of the processing are known."""
        known = np.isfinite(self.started) & np.isfinite(self.completed)
        return Recorded(self.enqueued[known], self.started[known], self.completed[known], self.notes)

    @property
    def services(self) -> Floats:
        """How long the processing of each took, in seconds."""
        both = self.processed
        return both.completed - both.started

    @property
    def waits(self) -> Floats:
        """From the enqueue to the end of the processing, in seconds, of those that have ended."""
        ended = np.isfinite(self.completed)
        return self.completed[ended] - self.enqueued[ended]


def backlog_maximum(arrived: Floats, completed: Floats) -> int:
    """How many messages had come and were not yet processed, at most. What ends as another comes has gone before."""
    gone = np.searchsorted(np.sort(completed), np.sort(arrived), side="right")
    return int(np.max(np.arange(1, len(arrived) + 1) - gone, initial=0))
