"""Message clean up: delete messages by age and status ("Recurring integrations", section "Message clean up").

The window's parameters are not told; these are those of the control plane. What is deleted is gone from the queue, the
grid and blob storage. It knows nothing of who asks.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.batch import Batch
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import Query, Store
from popreceipt.vocabulary import DEQUEUED, DOWNLOADED

SLICE: Final = 2_000
"""So many rows are read at once."""


class Cleanup:
    """The clean-up of one environment."""

    def __init__(self, store: Store, profile: Profile, batch: Batch) -> None:
        self._store = store
        self._profile = profile
        self._batch = batch

    def run(self, activity: Activity, now: datetime, *, older_than: timedelta, statuses: Collection[str] = ()) -> int:
        """Delete messages of at least this age since their enqueue, and of these statuses; how many there were.

        No statuses are all. They are named as the grid shows them. What is in process goes as well.
        """
        doomed = self._doomed(activity, now - older_than, self._kept_as(statuses) if statuses else None)
        for identifier in doomed:
            self._store.delete_message(identifier)
        self._batch.resume(activity, now)
        return len(doomed)

    def _doomed(self, activity: Activity, until: datetime, statuses: frozenset[str] | None) -> list[str]:
        found: list[str] = []
        while True:
            rows, _ = self._store.find(
                Query(
                    activity=activity.id,
                    statuses=statuses,
                    enqueued_until=until,
                    offset=len(found),
                    limit=SLICE,
                )
            )
            found.extend(row.id for row in rows)
            if len(rows) < SLICE:
                return found

    def _kept_as(self, statuses: Collection[str]) -> frozenset[str]:
        """The statuses that messages have where these are shown."""
        if self._profile.status_downloaded != "hidden":
            return frozenset(statuses)
        shown = set(statuses) - {DOWNLOADED}
        return frozenset(shown | {DOWNLOADED} if DEQUEUED in shown else shown)
