"""The life of one message: what can happen, and what cannot."""

from datetime import UTC, datetime, timedelta

import pytest

from popreceipt.emulator import message as life
from popreceipt.emulator.message import AFTER, FAILED, FINAL, Event, Impossible, Message
from popreceipt.vocabulary import (
    ACKED,
    DEQUEUED,
    DOWNLOADED,
    ENQUEUED,
    PREPROCESSING,
    PREPROCESSING_ERROR,
    PROCESSED_WITH_ERRORS,
    PROCESSING,
    STATUS_CODES,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=30)


def new(status: str = ENQUEUED) -> Message:
    return Message(id="m", number=1, activity="a", enqueued=NOW, status=status, visible_from=NOW, queued=True)


def delivered(message: Message) -> Message:
    return life.delivered(message, NOW, correlation="c", receipt="r", visible_from=LATER)


def test_an_export_is_delivered_downloaded_and_acknowledged() -> None:
    """Each step leaves its date."""
    out = delivered(new())
    assert (out.status, out.last_dequeued, out.visible_from, out.deliveries) == (DEQUEUED, NOW, LATER, 1)
    read = life.downloaded(out, NOW)
    assert (read.status, read.last_downloaded, read.visible_from) == (DOWNLOADED, NOW, LATER)
    done = life.acknowledged(read, NOW)
    assert (done.status, done.acknowledged, done.queued) == (ACKED, NOW, False)


def test_a_second_delivery_brings_a_downloaded_message_back_to_dequeued() -> None:
    """The last dequeue counts, not the first."""
    again = delivered(life.downloaded(delivered(new()), NOW))
    assert (again.status, again.deliveries) == (DEQUEUED, 2)


def test_an_import_goes_through_its_stages() -> None:
    """Pre-processing, processing, an end."""
    begun = life.started(life.taken(new(), 7), NOW)
    assert (begun.status, begun.turn, begun.started) == (PREPROCESSING, 7, NOW)
    assert life.refused(begun, LATER).status == PREPROCESSING_ERROR
    ended = life.completed(life.processing(begun, "e"), LATER, with_errors=True)
    assert (ended.status, ended.execution, ended.completed) == (PROCESSED_WITH_ERRORS, "e", LATER)
    assert life.failed_afterwards(life.processing(begun, "e"), LATER).status in FAILED


def test_what_a_dead_batch_job_left_is_put_back() -> None:
    """Nothing of the attempt stays but its number, and the turn."""
    dead = life.abandoned(life.processing(life.started(life.taken(new(), 7), NOW), "e"))
    assert (dead.status, dead.abandoned) == (PROCESSING, True)
    again = life.requeued(dead)
    assert (again.status, again.abandoned, again.retries, again.turn) == (ENQUEUED, False, 1, 7)
    assert (again.started, again.execution) == (None, None)
    with pytest.raises(Impossible):
        life.requeued(again)


def test_nothing_leaves_a_final_status() -> None:
    """Only a download after the acknowledgment is possible, and changes nothing of it."""
    leaving = {(status, event): after for (status, event), after in AFTER.items() if status in FINAL}
    assert leaving == {(ACKED, Event.DOWNLOAD): ACKED}


def test_every_status_of_the_documentation_is_reached() -> None:
    """No status that clients may wait for is left out."""
    assert {ENQUEUED, *AFTER.values()} == set(STATUS_CODES)


@pytest.mark.parametrize("status", sorted({PREPROCESSING, *FINAL}))
def test_what_the_table_lacks_is_impossible(status: str) -> None:
    """An import cannot be delivered, and what has ended cannot begin."""
    with pytest.raises(Impossible):
        delivered(new(status))
