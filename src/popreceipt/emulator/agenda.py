"""What will fall due, and who does it: moments are data in the store, what is done at one is a handler by its kind.

So a process that opens a store does what the one before had planned.
"""

from collections.abc import Callable
from datetime import datetime

from popreceipt.emulator.store import Due, NotKept, Store

Handler = Callable[[str, datetime], None]
"""From a moment's subject and instant to what is done. It is told its own instant, however late it runs."""


class Agenda:
    """The moments of one store, in the order of time; equal ones in the order in which they were planned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._handlers: dict[str, Handler] = {}

    def on(self, kind: str, handler: Handler) -> None:
        """Say what is done at moments of a kind."""
        self._handlers[kind] = handler

    def at(self, instant: datetime, kind: str, subject: str) -> None:
        """Plan a moment, instead of the one of this kind and subject if there is one."""
        if kind not in self._handlers:
            raise LookupError(f"Nobody knows what to do at a moment of the kind {kind!r}.")
        self._store.plan(instant, kind, subject)

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is."""
        return self._store.planned(kind, subject)

    def planned_within(self, kind: str, owner: str) -> tuple[int, datetime | None]:
        """How many moments of a kind there are with a subject `OWNER/…`, and when the earliest of them is."""
        return self._store.planned_within(kind, owner)

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""
        self._store.cancel(kind, subject)

    def next(self) -> datetime | None:
        """The earliest moment planned."""
        return self._store.next_due()

    def run_next(self, now: datetime) -> Due | None:
        """Do what falls due first, if anything does by now, and say what it was.

        Whatever a handler raises passes through, as `Failed` with the moment it failed at. It has not failed where
        only the store could not keep what it did: then the moment is as it was.
        """
        due = self._store.take_due(now)
        if due is None:
            return None
        try:
            self._handlers[due.kind](due.subject, due.at)
        except NotKept:
            raise
        except Exception as error:
            raise Failed(due) from error
        return due


class Failed(Exception):
    """A moment whose handler raised; the cause is what it raised."""

    def __init__(self, due: Due) -> None:
        super().__init__(f"{due.kind} {due.subject} at {due.at}")
        self.due = due
