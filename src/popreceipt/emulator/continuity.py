"""What stays the same when an environment is opened again: its seed, its signing key, and that time never goes back.

All of it stands among the settings of its store. So clients keep their secrets and their tokens, and no instant that
was ever told lies in the future.
"""

import json
import secrets
from datetime import datetime, timedelta
from typing import Final

from joserfc.jwk import RSAKey

from popreceipt.clock import Clock, ManualClock, ScaledClock, clock_from
from popreceipt.emulator.identity.tokens import signing_key
from popreceipt.emulator.store import Store
from popreceipt.exceptions import UsageError
from popreceipt.journal import instant, instant_text

SEED: Final = "environment/seed"
KEY: Final = "environment/signing-key"
SECRET: Final = "environment/pages-secret"
TIME: Final = "environment/time"

AHEAD: Final = 2.0
"""Real seconds by which the noted time of a clock that runs is ahead, so that it need not be noted at each answer."""

BEHIND: Final = timedelta(minutes=1)
"""How far behind the noted time the computer's own may be: its clock is set from time to time."""


def settled_seed(store: Store, asked: int | None) -> int:
    """The seed of an environment: the one that it was made with, else the one asked for, else 0.

    Raises:
        UsageError: it was made with another than the one asked for.
    """
    kept = store.setting(SEED)
    if kept is None:
        seed = 0 if asked is None else asked
        store.put_setting(SEED, str(seed))
        return seed
    if asked is not None and asked != int(kept):
        raise UsageError(
            f"This environment was made with the seed {kept}, from which its identifiers and secrets follow."
            f" Leave out --seed {asked}, or name another place for a new environment."
        )
    return int(kept)


def settled_key(store: Store) -> RSAKey:
    """The key that signs the tokens of an environment, made when it is opened for the first time."""
    kept = store.setting(KEY)
    if kept is not None:
        return RSAKey.import_key(json.loads(kept))
    key = signing_key()
    store.put_setting(KEY, json.dumps(key.as_dict(private=True)))
    return key


def settled_secret(store: Store) -> str:
    """What the pages of an environment sign with, made when it is opened for the first time."""
    kept = store.setting(SECRET)
    if kept is not None:
        return kept
    secret = secrets.token_urlsafe(32)
    store.put_setting(SECRET, secret)
    return secret


def resumed_clock(store: Store, text: str) -> Clock:
    """The clock that `--clock` names, not behind what it was when the environment was last seen.

    Raises:
        UsageError: there is no such clock, or it is the computer's own and far behind.
    """
    clock: Clock = clock_from(text)
    kept = store.setting(TIME)
    if kept is None or instant(kept) <= clock.now():
        return clock
    reached = instant(kept)
    if isinstance(clock, ManualClock):
        return ManualClock(reached)
    if isinstance(clock, ScaledClock):
        return ScaledClock(clock.rate, reached)
    if reached - clock.now() > BEHIND:
        raise UsageError(
            f"In this environment it is {instant_text(reached)} already, later than the time of day."
            " Go on with --clock scaled:1 or --clock manual, or name another place for a new environment."
        )
    return clock


class NotedTime:
    """Notes how late it is, so that whoever opens the store next begins no earlier.

    A clock that runs is noted ahead of itself, now and then; a manual one when it is moved (`note_moved`).
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ahead = timedelta(seconds=AHEAD * clock.rate)
        self._renewed_from: datetime | None = None

    def note(self) -> None:
        """To be called before anything is told."""
        if not self._ahead:
            return
        now = self._clock.now()
        if self._renewed_from is None or now >= self._renewed_from:
            with self._store.work():
                note_moved(self._store, now + self._ahead)
            self._renewed_from = now + self._ahead / 2


def note_moved(store: Store, now: datetime) -> None:
    """Note that a clock stands at an instant."""
    store.put_setting(TIME, instant_text(now))
