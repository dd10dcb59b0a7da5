"""One time for all processes on one store.

A manual clock stands in the store: whoever moves it moves it for all. A scaled one has its beginning there, as an
instant of its own and one of the computer's time of day, from which every process counts on; processes on several
computers are as close together as those computers' clocks are. The computer's own needs nothing.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from popreceipt.clock import Clock, ManualClock, ScaledClock, SystemClock, clock_from
from popreceipt.emulator.continuity import TIME, note_moved, resumed_clock
from popreceipt.emulator.store import Store
from popreceipt.exceptions import UsageError
from popreceipt.journal import instant

CLOCK: Final = "environment/clock"


class SharedStore(Store, Protocol):
    """A store that several processes have open at once."""

    @property
    def is_at_work(self) -> bool:
        """Whether a unit of work is under way: what is read now is true until its end."""

    def joins_others(self) -> bool:
        """Count as a process at work, and say whether others are already. Within a unit of work that is alone."""


class _Beginning(msgspec.Struct):
    """Which clock it is (as `--clock` names it), and where a scaled one began by itself and by the time of day."""

    clock: str
    own: datetime
    real: datetime


_beginning_in = msgspec.json.Decoder(_Beginning).decode


def shared_clock(store: SharedStore, text: str) -> Clock:
    """The clock that `--clock` names, the same for all processes at work and not behind what it ever was.

    To be asked once, within a unit of work that is alone.

    Raises:
        UsageError: there is no such clock, others at work have another, or it is the computer's own and far behind.
    """
    clock: Clock = clock_from(text)
    name = f"scaled:{clock.rate:g}" if clock.kind == "scaled" else clock.kind
    kept = store.setting(CLOCK)
    if store.joins_others() and kept is not None:
        beginning = _beginning_in(kept)
        if beginning.clock != name:
            raise UsageError(
                f"Other processes on this database have --clock {beginning.clock}, and all need the same."
                f" End them, or leave out --clock {name} for theirs."
            )
    else:
        clock = resumed_clock(store, text)
        beginning = _Beginning(name, clock.now(), SystemClock().now())
        store.put_setting(CLOCK, msgspec.json.encode(beginning).decode("ascii"))
    if clock.kind == "manual":
        return SharedManualClock(store)
    if clock.kind == "scaled":
        return ScaledClock(clock.rate, beginning.own, since=beginning.real)
    return clock


class SharedManualClock(ManualClock):
    """A manual clock that stands in a store.

    Outside a unit of work it says what this process saw last: that costs nothing, and another process may move it at
    any moment anyway.
    """

    def __init__(self, store: SharedStore) -> None:
        super().__init__()
        self._store = store
        self._text: str | None = None

    def now(self) -> datetime:
        """Where it was last put, by whichever process."""
        if self._store.is_at_work:
            text = self._store.setting(TIME)
            if text is not None and text != self._text:
                self._text, self._now = text, instant(text)
        return self._now

    def sleep_until(self, instant: datetime) -> None:
        """Move there at once; an instant in the past moves nothing."""
        with self._store.work():
            if instant > self.now():
                note_moved(self._store, instant)

    def advance(self, step: timedelta) -> datetime:
        """Move forward by `step` and say what time it is then."""
        if step < timedelta(0):
            raise UsageError(f"A clock never goes back: asked to advance by {step}.")
        with self._store.work():
            goal = self.now() + step
            note_moved(self._store, goal)
            return goal
