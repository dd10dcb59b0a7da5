"""Exports on their way out: leases, receipts, downloads and acknowledgments.

The half hour and what ends it stand in "API for acknowledgment"; that a message without a file says so stands in "API
for export (dequeue)". It speaks no HTTP: outcomes are values, and the routes know the status of each.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum, auto

import msgspec

from popreceipt.emulator import message as life
from popreceipt.emulator import receipts
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.blobs import Blobs
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.message import Message
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import Delivery, Store
from popreceipt.vocabulary import ACKED


class Offer(msgspec.Struct, frozen=True):
    """What a dequeue hands out: the message as it is now, its blob's public name, and when it went out before."""

    message: Message
    blob_name: str
    has_file: bool
    previous: datetime | None


class Missing(Enum):
    """Why there is nothing to download."""

    UNKNOWN = auto()
    EXPIRED = auto()
    LEASE_OVER = auto()
    ACKNOWLEDGED = auto()


class Acknowledgment(Enum):
    """What became of an acknowledgment. Only the first changes anything."""

    ACCEPTED = auto()
    SECOND = auto()
    STALE = auto()
    LATE = auto()
    WITHOUT_DOWNLOAD = auto()
    OTHER_ACTIVITY = auto()
    UNKNOWN = auto()


class Deliveries:
    """The outgoing side of every export activity."""

    def __init__(self, store: Store, profile: Profile, blobs: Blobs, guids: Guids) -> None:
        self._store = store
        self._profile = profile
        self._blobs = blobs
        self._guids = guids
        hidden_at_the_instant = profile.redelivery_at_half_hour == "hidden"
        self._hidden_for = profile.lease + timedelta(microseconds=1 if hidden_at_the_instant else 0)
        limit = profile.redelivery_poison_limit
        self._poison_limit = None if limit == "none" else int(limit)

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """Lease the next message of an activity; None when none is visible."""
        while True:
            made: list[Offer] = []
            if self._store.lease(activity.id, now, self._delivering(now, made)) is None:
                return None
            if made:
                return made[0]
            # The queue gave this message up: the next one, then.

    def _delivering(self, now: datetime, made: list[Offer]) -> Callable[[Message], Message]:
        def deliver(message: Message) -> Message:
            has_file = self._blobs.holds(message.blob)
            if self._is_given_up(message, has_file):
                return life.dropped(message)
            delivery = self._delivery_of(message)
            out = life.delivered(
                message,
                now,
                correlation=delivery.correlation,
                receipt=receipts.mint(now + self._profile.lease),
                visible_from=now + self._hidden_for,
                stays=has_file or self._profile.zero_records_no_file_leaves == "when-acknowledged",
            )
            made.append(Offer(out, delivery.blob_name, has_file, message.last_dequeued))
            return out

        return deliver

    def _is_given_up(self, message: Message, has_file: bool) -> bool:
        if self._poison_limit is not None and message.deliveries >= self._poison_limit:
            return True
        if has_file:
            return False
        expired = message.uploaded and self._profile.retention_expired_dequeue == "dropped"
        return expired or self._profile.zero_records_no_file_answer == "204"

    def _delivery_of(self, message: Message) -> Delivery:
        if message.correlation is not None and self._profile.redelivery_correlation == "stable":
            known = self._store.delivery(message.correlation)
            if known is not None:
                return known
        delivery = Delivery(self._guids.new(), self._guids.new(), message.id)
        self._store.put_delivery(delivery)
        return delivery

    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file that a DownloadLocation names."""
        delivery = self._store.delivery(correlation)
        message = None if delivery is None else self._store.message(delivery.message)
        if delivery is None or message is None or delivery.blob_name != blob_name:
            return Missing.UNKNOWN
        if message.activity != activity.id or not message.uploaded:
            return Missing.UNKNOWN
        content = self._blobs.content(message.blob)
        if content is None:
            return Missing.EXPIRED
        if refusal := self._refusal(message, now):
            return refusal
        renews = self._profile.download_extends_lease == "yes" and message.queued and self._is_leased(message, now)
        self._store.put_message(life.downloaded(message, now, visible_from=now + self._hidden_for if renews else None))
        return content

    def _refusal(self, message: Message, now: datetime) -> Missing | None:
        if message.status == ACKED:
            return Missing.ACKNOWLEDGED if self._profile.download_after_acknowledgment == "404" else None
        if self._profile.download_after_lease == "404" and not self._is_leased(message, now):
            return Missing.LEASE_OVER
        return None

    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Mark a message as received, if the receipt is the one of its last delivery."""
        delivery = self._store.delivery(correlation)
        message = None if delivery is None else self._store.message(delivery.message)
        if message is None:
            return Acknowledgment.UNKNOWN
        if message.activity != activity.id:
            return Acknowledgment.OTHER_ACTIVITY
        if (correlation, receipt) != (message.correlation, message.receipt):
            return Acknowledgment.STALE
        if message.status == ACKED:
            return Acknowledgment.SECOND
        if self._profile.acknowledgment_late == "500" and not self._is_leased(message, now):
            return Acknowledgment.LATE
        if self._profile.acknowledgment_without_download == "500" and self._has_unread_file(message):
            return Acknowledgment.WITHOUT_DOWNLOAD
        self._store.put_message(life.acknowledged(message, now))
        return Acknowledgment.ACCEPTED

    def _is_leased(self, message: Message, now: datetime) -> bool:
        return message.visible_from is not None and now < message.visible_from

    def _has_unread_file(self, message: Message) -> bool:
        return message.last_downloaded is None and self._blobs.holds(message.blob)
