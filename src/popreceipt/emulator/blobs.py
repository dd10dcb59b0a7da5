"""Blob storage: files that delete themselves ("Getting the status of a message", the note on seven days)."""

from datetime import datetime, timedelta
from typing import Final

from popreceipt.emulator.agenda import Agenda
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import Store

EXPIRY: Final = "blob-expiry"
"""The moment at which the next files expire."""


class Blobs:
    """Keeps files for as long as the profile says."""

    def __init__(self, store: Store, profile: Profile, agenda: Agenda, guids: Guids) -> None:
        self._store = store
        self._agenda = agenda
        self._guids = guids
        kept_at_the_instant = profile.retention_at_seven_days == "kept"
        self._life = profile.retention + timedelta(microseconds=1 if kept_at_the_instant else 0)
        agenda.on(EXPIRY, self._expire)

    def keep(self, content: bytes, now: datetime) -> str:
        """Store a file; its ID."""
        identifier = self._guids.new_at(now)
        self.keep_until(identifier, content, now + self._life)
        return identifier

    def keep_until(self, identifier: str, content: bytes, expires: datetime) -> None:
        """Store a file under an ID until an instant."""
        self._store.put_blob(identifier, content, expires)
        planned = self._agenda.planned(EXPIRY, "")
        if planned is None or planned > expires:
            self._agenda.at(expires, EXPIRY, "")

    def holds(self, identifier: str | None) -> bool:
        """Whether the file is there, without reading it."""
        return identifier is not None and self._store.blob_expires(identifier) is not None

    def content(self, identifier: str | None) -> bytes | None:
        """The file; None when there never was one or it has expired."""
        return None if identifier is None else self._store.blob(identifier)

    def lose(self, identifier: str | None) -> None:
        """Let a file be gone before its time."""
        if identifier is not None:
            self._store.delete_blob(identifier)

    def _expire(self, _: str, now: datetime) -> None:
        following = self._store.drop_blobs(now)
        if following is not None:
            self._agenda.at(following, EXPIRY, "")
