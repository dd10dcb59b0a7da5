"""An emulator on a durable store, as a server meets it: nothing is said that is not kept.

The server lets the answers of one turn of its event loop wait, has everything kept at once, and sends them then. What
could not be kept did not happen: all of those answers become a bare 500, and that is what the journal tells.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, Unpack

import msgspec

from popreceipt.clock import Clock
from popreceipt.emulator import continuity
from popreceipt.emulator.http import Request
from popreceipt.emulator.http import Response as Answer
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import GroupedStore, NotKept, Store
from popreceipt.journal import Entry, Exchange, Journal, Recorded, Response

if TYPE_CHECKING:
    from popreceipt.emulator.emulator import Emulator


class DurableStore(Store, GroupedStore, Protocol):
    """A store that outlives its process and lets several units of work share a commit."""


class Durable:
    """The service that a server offers.

    Args:
        emulator: made on this store.
        store: from now on it waits for `keep`.
    """

    def __init__(self, emulator: "Emulator", store: DurableStore) -> None:
        self._emulator = emulator
        self._store = store
        self._journal = emulator.journal = HeldJournal(emulator.journal, lambda: store.is_uncommitted)
        self._time = continuity.NotedTime(store, emulator.clock)
        self.handle: Callable[[Request], Answer] = emulator.handle
        store.grouped = True

    @property
    def base_url(self) -> str:
        """The emulator's root."""
        return self._emulator.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._emulator.base_url = url

    @property
    def clock(self) -> Clock:
        """The emulator's clock."""
        return self._emulator.clock

    @property
    def profile(self) -> Profile:
        """The emulator's profile."""
        return self._emulator.profile

    def keep(self) -> bool:
        """Keep what was done so far. False says that nothing of it was: the answer to all of it is a bare 500."""
        with self._emulator.lock:
            try:
                self._time.note()
                if self._store.is_uncommitted:
                    self._store.commit()
            except NotKept as lost:
                self._emulator.faults.append(lost)
                self._store.undo()
                self._journal.lose(self._emulator.clock.now())
                return False
            self._journal.release(self._emulator.clock.now)
            return True

    def catch_up(self) -> None:
        """Write down what the journal has left for later."""
        self._emulator.catch_up()


class HeldJournal(Journal):
    """A journal whose lines wait while what they tell of may still be undone.

    Args:
        journal: where they go then.
        is_undoable: whether anything is uncommitted.
    """

    def __init__(self, journal: Journal, is_undoable: Callable[[], bool]) -> None:
        super().__init__(journal.header)
        self.entries = journal.entries
        self._journal = journal
        self._is_undoable = is_undoable
        self._held: list[Entry | Recorded] = []

    def add(self, entry: Entry) -> None:
        """Append one entry, now or when it is certain."""
        if isinstance(entry, Exchange):
            self._next = max(self._next, entry.seq + 1)
        if self._held or self._is_undoable():
            self._held.append(entry)
        else:
            self._journal.add(entry)

    def record_soon(self, **exchange: Unpack[Recorded]) -> int:
        """Write down one exchange when it is certain, or soon; its number."""
        if self._held or self._is_undoable():
            self._held.append(exchange)
            number = self._next
        else:
            number = self._journal.record_soon(**exchange)
        self._next = number + 1
        return number

    def catch_up(self) -> None:
        """Write down what was left for later and is certain."""
        self._journal.catch_up()

    def release(self, clock: Callable[[], datetime]) -> None:
        """It is certain; exchanges are answered now."""
        if not self._held:
            return
        now = clock()
        for entry in self._taken():
            if isinstance(entry, dict):
                entry["answered"] = now
                self._journal.record_soon(**entry)
            elif isinstance(entry, Exchange):
                self._journal.add(msgspec.structs.replace(entry, answered=now))
            else:
                self._journal.add(entry)

    def lose(self, now: datetime) -> None:
        """It was undone: the answer to every exchange is a bare 500, now, and nothing else has happened.

        A failure that was planned, a connection that ends say, comes before every answer.
        """
        for entry in self._taken():
            if isinstance(entry, dict):
                if entry.get("failure") is None:
                    entry |= {"status": 500, "response_headers": (), "response_body": b""}
                entry["answered"] = now
                self._journal.record_soon(**entry)
            elif isinstance(entry, Exchange):
                response = Response(500) if entry.failure is None else entry.response
                self._journal.add(msgspec.structs.replace(entry, response=response, answered=now))

    def seal(self) -> None:
        """Write the footer. What is held belongs to requests that nobody will answer any more."""
        self._held.clear()
        self._journal.seal()
        self.complete = True

    def lines(self) -> Iterator[bytes]:
        """What is certain so far."""
        return self._journal.lines()

    def _taken(self) -> list[Entry | Recorded]:
        taken, self._held = self._held, []
        return taken
