"""Blob storage: files that delete themselves ("Getting the status of a message", the note on seven days)."""

from datetime import datetime, timedelta
from functools import partial

from popreceipt.emulator.guids import Guids
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.schedule import Schedule
from popreceipt.emulator.store import Store


class Blobs:
    """Keeps files for as long as the profile says."""

    def __init__(self, store: Store, profile: Profile, schedule: Schedule, guids: Guids) -> None:
        self._store = store
        self._schedule = schedule
        self._guids = guids
        kept_at_the_instant = profile.retention_at_seven_days == "kept"
        self._life = profile.retention + timedelta(microseconds=1 if kept_at_the_instant else 0)

    def keep(self, content: bytes, now: datetime) -> str:
        """Store a file; its ID."""
        identifier = self._guids.new()
        self._store.put_blob(identifier, content)
        self._schedule.at(now + self._life, partial(self._expire, identifier))
        return identifier

    def content(self, identifier: str | None) -> bytes | None:
        """The file; None when there never was one or it has expired."""
        return None if identifier is None else self._store.blob(identifier)

    def _expire(self, identifier: str, _: datetime) -> None:
        self._store.delete_blob(identifier)
