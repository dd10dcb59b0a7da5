"""Wrong exports without records: uploaded against the setting, withheld without it, or told wrongly."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.batch import Produced
from popreceipt.emulator.deliveries import Offer
from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Mutated, OwnBatch, OwnDeliveries, StoreAround


def _with_prevention(activity: Activity, prevention: bool) -> Activity:
    return msgspec.structs.replace(activity, prevent_upload_when_zero_records=prevention)


class _IgnoresTheSetting(OwnBatch):
    def settings(self, activity: Activity) -> Activity:
        """As if the setting were off."""
        return _with_prevention(activity, False)


class _IgnoresItAtTheRecurrence(OwnBatch):
    """The setting counts for runs on purpose only."""

    _recurring = False

    def _tick(self, identifier: str, now: datetime) -> None:
        self._recurring = True
        try:
            super()._tick(identifier, now)
        finally:
            self._recurring = False

    def settings(self, activity: Activity) -> Activity:
        """As if the setting were off, at a recurrence."""
        return _with_prevention(activity, False) if self._recurring else activity


class _AlwaysPrevents(OwnBatch):
    def settings(self, activity: Activity) -> Activity:
        """As if the setting were on."""
        return _with_prevention(activity, True)


class _RemembersTheFirst(OwnBatch):
    """The setting counts as it was at the job's first run."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._first: dict[str, bool] = {}

    def settings(self, activity: Activity) -> Activity:
        """As it was at first."""
        first = self._first.setdefault(activity.id, activity.prevent_upload_when_zero_records)
        return _with_prevention(activity, first)


class _OnceOnAlwaysOn(_RemembersTheFirst):
    """The setting can be switched on, and not off."""

    def settings(self, activity: Activity) -> Activity:
        """On once it was on at a run."""
        was_on = self._first.get(activity.id, False) or activity.prevent_upload_when_zero_records
        self._first[activity.id] = was_on
        return _with_prevention(activity, was_on)


class _WithholdsFewToo(OwnBatch):
    """With the setting on, a single record or two count as none."""

    def rework(self, produced: Produced) -> Produced:
        """What has fewer than three records is not uploaded."""
        message = produced.message
        activity = self._store.activity(message.activity)
        prevention = activity is not None and activity.prevent_upload_when_zero_records
        if not prevention or produced.records > 2 or message.blob is None:
            return produced
        self._store.delete_blob(message.blob)
        message = msgspec.structs.replace(message, blob=None, uploaded=False)
        self._store.put_message(message)
        return Produced(message, produced.records, None)


class _SaysThereIsAFile(OwnDeliveries):
    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, with a file or with none."""
        offer = super().dequeue(activity, now)
        return None if offer is None else msgspec.structs.replace(offer, has_file=True)


class Rows(StoreAround):
    """Shows other rows in Manage messages."""

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """The rows as they are shown."""
        return [self.row(each) for each in super().messages_of(activity, after, limit)]

    def row(self, message: Message) -> Message:
        """A row as it is shown."""
        return message


class _CountsTheHeader(Rows):
    def row(self, message: Message) -> Message:
        """One more."""
        total = message.total_records
        return message if total is None else msgspec.structs.replace(message, total_records=total + 1)


class _CountsNothing(Rows):
    def row(self, message: Message) -> Message:
        """None at all."""
        return message if message.total_records is None else msgspec.structs.replace(message, total_records=0)


class _AlwaysUploaded(Rows):
    def row(self, message: Message) -> Message:
        """Uploaded."""
        return message if message.visible_from is None else msgspec.structs.replace(message, uploaded=True)


class _NeverUploaded(Rows):
    def row(self, message: Message) -> Message:
        """Not uploaded."""
        return msgspec.structs.replace(message, uploaded=False)


OTHERWISE = "zero-records.otherwise-uploaded"
CHANGES = "zero-records.setting-can-change"
RECURRING = "zero-records.obeyed-at-the-recurrence"
UPLOADED = "zero-records.file-uploaded"

MUTANTS = (
    mutant(
        "prevention-ignored",
        "Uploads empty exports though the setting forbids it.",
        "zero-records.prevention-uploads-nothing",
        RECURRING,
        "processing.filter-before-counting",
        batch=_IgnoresTheSetting,
    ),
    mutant(
        "prevention-ignored-at-the-recurrence",
        "Uploads empty exports that run at their recurrence though the setting forbids it.",
        RECURRING,
        batch=_IgnoresItAtTheRecurrence,
    ),
    mutant(
        "prevention-always",
        "Uploads no empty export, whatever the setting.",
        OTHERWISE,
        RECURRING,
        batch=_AlwaysPrevents,
    ),
    mutant(
        "prevention-withholds-few-records",
        "Uploads nothing below three records when the setting forbids empty uploads.",
        OTHERWISE,
        batch=_WithholdsFewToo,
    ),
    mutant(
        "missing-file-not-said",
        "Says that a file is there when nothing was uploaded.",
        "zero-records.no-file-is-said",
        deliveries=_SaysThereIsAFile,
    ),
    mutant(
        "total-records-count-the-header",
        "Counts the header row among the records exported.",
        "zero-records.total-records-exported",
        store=_CountsTheHeader,
    ),
    mutant(
        "total-records-always-zero",
        "Shows zero records exported, whatever was.",
        "zero-records.total-records-exported",
        store=_CountsNothing,
    ),
    mutant(
        "file-uploaded-without-a-file",
        "Shows a file as uploaded when there was nothing to upload.",
        UPLOADED,
        RECURRING,
        store=_AlwaysUploaded,
    ),
    mutant(
        "file-uploaded-never-shown",
        "Shows no file as uploaded.",
        UPLOADED,
        RECURRING,
        store=_NeverUploaded,
    ),
    mutant(
        "prevention-never-changes",
        "Takes the setting as it was at the job's first run.",
        CHANGES,
        RECURRING,
        batch=_RemembersTheFirst,
    ),
    mutant(
        "prevention-never-switched-off",
        "Lets the setting be switched on only.",
        CHANGES,
        RECURRING,
        batch=_OnceOnAlwaysOn,
    ),
)
