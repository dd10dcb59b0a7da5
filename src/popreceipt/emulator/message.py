"""The life of one message, as the documentation tells it.

No sockets, no clock, no store: callers say what happened and what time it is, and get the message as it is then. The
statuses are those of "Getting the status of a message", with Downloaded between Dequeued and Acked as public clients
know it.
"""

from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

import msgspec

from popreceipt.vocabulary import (
    ACKED,
    DEQUEUED,
    DOWNLOADED,
    ENQUEUED,
    POSTPROCESSING_FAILED,
    PREPROCESSING,
    PREPROCESSING_ERROR,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    PROCESSING,
)


class Event(Enum):
    """What can happen to a message."""

    DELIVER = auto()
    DOWNLOAD = auto()
    ACKNOWLEDGE = auto()
    PREPROCESS = auto()
    REFUSE = auto()
    PROCESS = auto()
    COMPLETE = auto()
    COMPLETE_WITH_ERRORS = auto()
    FAIL_AFTERWARDS = auto()
    REQUEUE = auto()


AFTER: Final = {
    # Exports: a lease that ends unacknowledged changes nothing by itself; the next delivery does.
    (ENQUEUED, Event.DELIVER): DEQUEUED,
    (DEQUEUED, Event.DELIVER): DEQUEUED,
    (DOWNLOADED, Event.DELIVER): DEQUEUED,
    (DEQUEUED, Event.DOWNLOAD): DOWNLOADED,
    (DOWNLOADED, Event.DOWNLOAD): DOWNLOADED,
    (ACKED, Event.DOWNLOAD): ACKED,
    (DEQUEUED, Event.ACKNOWLEDGE): ACKED,
    (DOWNLOADED, Event.ACKNOWLEDGE): ACKED,
    # Imports.
    (ENQUEUED, Event.PREPROCESS): PREPROCESSING,
    (PREPROCESSING, Event.REFUSE): PREPROCESSING_ERROR,
    (PREPROCESSING, Event.PROCESS): PROCESSING,
    (PROCESSING, Event.COMPLETE): PROCESSED,
    (PROCESSING, Event.COMPLETE_WITH_ERRORS): PROCESSED_WITH_ERRORS,
    (PROCESSING, Event.FAIL_AFTERWARDS): POSTPROCESSING_FAILED,
    (PROCESSING, Event.REQUEUE): ENQUEUED,
}
"""Every step there is: (status, event) to the next status."""

FINAL: Final = frozenset({ACKED, PREPROCESSING_ERROR, PROCESSED, PROCESSED_WITH_ERRORS, POSTPROCESSING_FAILED})
"""Statuses that no message leaves."""

FAILED: Final = frozenset({PREPROCESSING_ERROR, PROCESSED_WITH_ERRORS, POSTPROCESSING_FAILED})
"""Final statuses in which an import did not fully succeed."""


class Impossible(Exception):
    """An event that the table does not have in this status: a fault of the caller."""


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message: a row of "Manage messages", and where the file and the queue stand.

    `number` counts all messages in the order of their arrival. `visible_from` is the instant from which a queued
    message may be delivered (its enqueue, then the end of each lease); it stays when the message leaves the queue.
    """

    id: str
    number: int
    activity: str
    status: str = ENQUEUED
    entity: str | None = None
    company: str | None = None
    external_identifier: str | None = None
    blob: str | None = None
    enqueued: datetime
    started: datetime | None = None
    completed: datetime | None = None
    batch_status: str | None = None
    execution: str | None = None
    batch_run: str | None = None
    # Imports: the place among those that runs have taken; where files go in order it still waits for its turn.
    turn: int | None = None
    # The batch job died while this was in process, and no run has put it back yet.
    abandoned: bool = False
    retries: int = 0
    # Why pre-processing refused it, as a consultant reads it.
    problem: str | None = None
    # Exports.
    total_records: int | None = None
    uploaded: bool = False
    queued: bool = False
    visible_from: datetime | None = None
    deliveries: int = 0
    correlation: str | None = None
    receipt: str | None = None
    last_dequeued: datetime | None = None
    last_downloaded: datetime | None = None
    acknowledged: datetime | None = None


def delivered(
    message: Message, now: datetime, *, correlation: str, receipt: str, visible_from: datetime, stays: bool = True
) -> Message:
    """The message once it was handed out: hidden until `visible_from`, or gone from the queue unless it `stays`."""
    return _step(
        message,
        Event.DELIVER,
        last_dequeued=now,
        deliveries=message.deliveries + 1,
        correlation=correlation,
        receipt=receipt,
        visible_from=visible_from,
        queued=stays,
    )


def dropped(message: Message) -> Message:
    """The message once the queue gave it up; its row stays as it was."""
    return msgspec.structs.replace(message, queued=False)


def downloaded(message: Message, now: datetime, *, visible_from: datetime | None = None) -> Message:
    """The message once its file was handed out; `visible_from` where that renews the lease."""
    return _step(
        message,
        Event.DOWNLOAD,
        last_downloaded=now,
        visible_from=visible_from if visible_from is not None else message.visible_from,
    )


def acknowledged(message: Message, now: datetime) -> Message:
    """The message once the client has said that it has the file: nobody is offered it again."""
    return _step(message, Event.ACKNOWLEDGE, acknowledged=now, queued=False)


def taken(message: Message, turn: int) -> Message:
    """The message once a run has taken it: whose turn it is when."""
    return msgspec.structs.replace(message, turn=turn)


def started(message: Message, now: datetime) -> Message:
    """The message once its pre-processing has begun."""
    return _step(message, Event.PREPROCESS, started=now)


def refused(message: Message, now: datetime, problem: str | None = None) -> Message:
    """The message once pre-processing has found that its file cannot be read or belongs nowhere, and why."""
    return _step(message, Event.REFUSE, completed=now, problem=problem)


def processing(message: Message, execution: str) -> Message:
    """The message once its records are being imported, by this execution."""
    return _step(message, Event.PROCESS, execution=execution)


def completed(message: Message, now: datetime, *, with_errors: bool) -> Message:
    """The message once the import has ended."""
    event = Event.COMPLETE_WITH_ERRORS if with_errors else Event.COMPLETE
    return _step(message, event, completed=now)


def failed_afterwards(message: Message, now: datetime) -> Message:
    """The message once the stage after processing has failed."""
    return _step(message, Event.FAIL_AFTERWARDS, completed=now)


def abandoned(message: Message) -> Message:
    """The message once the batch job has died over it: in process still, though nobody works on it."""
    return msgspec.structs.replace(message, abandoned=True)


def requeued(message: Message) -> Message:
    """The message once a run has put it back that found it abandoned.

    It keeps its turn, so that it stays in front of the files that had to wait for it.
    """
    return _step(
        message,
        Event.REQUEUE,
        abandoned=False,
        retries=message.retries + 1,
        started=None,
        execution=None,
    )


def _step(message: Message, event: Event, **changes: Any) -> Message:
    after = AFTER.get((message.status, event))
    if after is None:
        raise Impossible(f"A message that is {message.status} cannot {event.name.lower().replace('_', ' ')}.")
    return msgspec.structs.replace(message, status=after, **changes)
