"""Throttling of connector routes, for the one dialect that has it; Microsoft lists them as exempt.

Each activity lets four calls pass and refuses the fifth, and all that follow, until the client has waited.
"""

from datetime import datetime, timedelta

RETRY_AFTER = timedelta(seconds=1)
PASS = 4


class Throttle:
    """Counts the calls of each activity."""

    def __init__(self) -> None:
        self._passed: dict[str, int] = {}
        self._closed_until: dict[str, datetime] = {}

    def wait(self, activity: str, now: datetime) -> int | None:
        """Whole seconds that the client has to wait; None when the call may pass."""
        until = self._closed_until.get(activity)
        if until is not None and now < until:
            return _whole_seconds(until - now)
        passed = 0 if until is not None else self._passed.get(activity, 0)
        self._closed_until.pop(activity, None)
        if passed < PASS:
            self._passed[activity] = passed + 1
            return None
        self._closed_until[activity] = now + RETRY_AFTER
        return _whole_seconds(RETRY_AFTER)

    def clear(self) -> None:
        """Forget all counts."""
        self._passed.clear()
        self._closed_until.clear()


def _whole_seconds(period: timedelta) -> int:
    return -(-period // timedelta(seconds=1))
