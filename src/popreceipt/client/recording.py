"""One journal, several writers: sessions and the control plane of one run, from any thread.

A journal numbers its lines and is not made for threads; whoever of this column writes into one goes through here.
"""

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from popreceipt.journal import ClockMovement, Entry, Exchange, Journal, Observation, instant_text

# One for all journals: a run has one, and writing a line is short.
_WRITING = threading.Lock()


def record(journal: Journal, **exchange: Any) -> Exchange:
    """`Journal.record`, one writer at a time."""
    with _WRITING:
        return journal.record(**exchange)


def moved(journal: Journal, now: datetime, seconds: float) -> None:
    """Write down that the target's clock was moved."""
    _add(journal, ClockMovement(now, seconds))


def observe(journal: Journal, kind: str, since: datetime, at: datetime, facts: Mapping[str, Any]) -> None:
    """Write down what a control call told: it came true somewhere between `since` and `at`."""
    _add(journal, Observation(kind, at, {"since": instant_text(since), **facts}))


def _add(journal: Journal, entry: Entry) -> None:
    with _WRITING:
        journal.add(entry)
