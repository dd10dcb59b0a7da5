"""Throttling of connector routes, for the one dialect that has it; Microsoft lists them as exempt.

Each activity lets four calls pass and refuses the fifth, and all that follow, until the client has waited. The counts
stand in the store, so every process on it throttles alike.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from popreceipt.emulator.store import Store

RETRY_AFTER: Final = timedelta(seconds=1)
PASS: Final = 4

_SETTING: Final = "throttle"


class _Count(msgspec.Struct):
    """How many calls of an activity have passed; `closed_until` once that were enough."""

    passed: int = 0
    closed_until: datetime | None = None


_counts_in = msgspec.json.Decoder(dict[str, _Count]).decode


class Throttle:
    """Counts the calls of each activity."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def wait(self, activity: str, now: datetime) -> int | None:
        """Whole seconds that the client has to wait; None when the call may pass."""
        counts = _counts_in(self._store.held_setting(_SETTING) or "{}")
        count = counts.get(activity, _Count())
        if count.closed_until is not None and now < count.closed_until:
            return _whole_seconds(count.closed_until - now)
        if count.closed_until is not None:
            count = _Count()
        if count.passed < PASS:
            self._keep(counts | {activity: _Count(count.passed + 1)})
            return None
        self._keep(counts | {activity: _Count(closed_until=now + RETRY_AFTER)})
        return _whole_seconds(RETRY_AFTER)

    def clear(self) -> None:
        """Forget all counts."""
        self._store.put_setting(_SETTING, None)

    def _keep(self, counts: dict[str, _Count]) -> None:
        self._store.put_setting(_SETTING, msgspec.json.encode(counts).decode("ascii"))


def _whole_seconds(period: timedelta) -> int:
    return -(-period // timedelta(seconds=1))
