"""What a process of a load run tells while it runs: how far it is and whether it keeps up, for whoever watches.

It is told now and then in a small file of its own beside its journal. Nothing is judged by it, and it may be gone.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

FILES: Final = "pace-*.json"

TOLD_EVERY: Final = 0.5
"""Real seconds from one word to the next."""


class Pace(msgspec.Struct, frozen=True):
    """How it goes.

    Args:
        minutes: of the target's time since the first arrival was due.
        arrivals: so many there were.
        requests: so many were answered, or failed.
        failed: of these without a success.
        waiting: messages that were produced, and not acknowledged yet; None where none are produced.
        lag_seconds: how late the generator was at worst.
    """

    minutes: float = 0.0
    arrivals: int = 0
    requests: int = 0
    failed: int = 0
    waiting: int | None = None
    lag_seconds: float = 0.0


def write(pace: Pace, worker: str, folder: Path) -> None:
    """Tell it, so that nobody reads half a word.

    Raises:
        OSError: the disk is full.
    """
    beside = folder / f".pace-{worker}.json"
    beside.write_bytes(msgspec.json.encode(pace))
    beside.replace(folder / f"pace-{worker}.json")


def read(folder: Path) -> Pace | None:
    """How it goes with all processes together; None while none has told anything."""
    found = []
    for path in sorted(folder.glob(FILES)):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Pace))
        except (OSError, msgspec.MsgspecError):
            continue  # just being replaced, or gone
    return _together(found) if found else None


def _together(paces: Iterable[Pace]) -> Pace:
    listed = list(paces)
    depths = [each.waiting for each in listed if each.waiting is not None]
    return Pace(
        minutes=max(each.minutes for each in listed),
        arrivals=sum(each.arrivals for each in listed),
        requests=sum(each.requests for each in listed),
        failed=sum(each.failed for each in listed),
        waiting=sum(depths) if depths else None,
        lag_seconds=max(each.lag_seconds for each in listed),
    )
