"""What a row of a durable store is: instants as whole numbers, structs as bytes, and what is asked for beside them.

Pure, and the same for every database. It knows no SQL and no connection; what a message is to its queue it reads off
the message alone.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.message import FINAL, Message
from popreceipt.emulator.store import BatchRun, Sample
from popreceipt.vocabulary import ENQUEUED

# The rooms that a message stands in while somebody may come for it. They are kept: numbers never change.
WAITING: Final = 1
"""An import that no run has taken. Its rank is its number."""
TURN: Final = 2
"""An import that a run has taken and that waits for its turn, which is its rank."""
IN_PROCESS: Final = 3
"""An import that is being processed. Its rank is its turn."""
QUEUE: Final = 4
"""An export in its queue. Its rank is the instant from which it is visible."""
FRONT: Final = 5
"""An export that has become visible where messages come back to their original place. Its rank is its number."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

encoded = msgspec.msgpack.Encoder().encode
"""Any struct, or a record, as the bytes that are kept."""

read_message = msgspec.msgpack.Decoder(Message).decode
read_activity = msgspec.msgpack.Decoder(Activity).decode
read_project = msgspec.msgpack.Decoder(Project).decode
read_execution = msgspec.msgpack.Decoder(Execution).decode
read_run = msgspec.msgpack.Decoder(BatchRun).decode
read_sample = msgspec.msgpack.Decoder(Sample).decode
read_record = msgspec.msgpack.Decoder(dict[str, str]).decode


def micros(instant: datetime) -> int:
    """An instant as it is kept: microseconds since 1970 in UTC."""
    return (instant - _EPOCH) // _MICROSECOND


def micros_or_none(instant: datetime | None) -> int | None:
    """The same, or nothing."""
    return None if instant is None else (instant - _EPOCH) // _MICROSECOND


def instant(kept: int) -> datetime:
    """The instant that is kept so."""
    return _EPOCH + kept * _MICROSECOND


def key_of(record: Mapping[str, str], keys: Sequence[str]) -> bytes:
    """The composite key of a record, as it is kept: equal exactly for equal values in the same columns."""
    return encoded([record[key] for key in keys])


MESSAGE_COLUMNS: Final = (
    "number",
    "id",
    "activity",
    "room",
    "rank",
    "ended",
    "status",
    "entity",
    "entity_folded",
    "external_identifier",
    "external_folded",
    "enqueued",
    "started",
    "completed",
    "visible_from",
    "last_dequeued",
    "last_downloaded",
    "acknowledged",
    "total_records",
    "uploaded",
    "batch_status",
    "retries",
    "content",
)
"""The columns of a message, in the order of `message_row`. Each column that a `Query` may order by has its name."""


def message_row(message: Message) -> tuple[Any, ...]:
    """The row of a message. `ended` is when it was completed, of an export when it was acknowledged."""
    room, rank = place_of(message)
    entity, external = message.entity, message.external_identifier
    acknowledged, completed = micros_or_none(message.acknowledged), micros_or_none(message.completed)
    return (
        message.number,
        message.id,
        message.activity,
        room,
        rank,
        completed if message.visible_from is None else acknowledged,
        message.status,
        entity,
        None if entity is None else entity.casefold(),
        external,
        None if external is None else external.casefold(),
        micros(message.enqueued),
        micros_or_none(message.started),
        completed,
        micros_or_none(message.visible_from),
        micros_or_none(message.last_dequeued),
        micros_or_none(message.last_downloaded),
        acknowledged,
        message.total_records,
        int(message.uploaded),
        message.batch_status,
        message.retries,
        encoded(message),
    )


def place_of(message: Message) -> tuple[int | None, int | None]:
    """The room that a message stands in and its rank there; nothing for one that nobody will come for."""
    if message.visible_from is not None:
        return (QUEUE, micros(message.visible_from)) if message.queued else (None, None)
    if message.turn is not None:
        if message.status in FINAL:
            return None, None
        return (TURN if message.status == ENQUEUED else IN_PROCESS), message.turn
    return (WAITING, message.number) if message.status == ENQUEUED else (None, None)
