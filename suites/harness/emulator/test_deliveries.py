"""Exports on the wire: delivery, half hours, downloads, acknowledgments, seven days."""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from popreceipt.vocabulary import (
    CORRELATION_ID,
    DOWNLOAD_LOCATION,
    FILE_ERROR,
    FILE_EXISTS,
    LAST_DEQUEUE,
    POP_RECEIPT,
)

if TYPE_CHECKING:
    from conftest import Environment, Made

MEMBERS = [CORRELATION_ID, POP_RECEIPT, DOWNLOAD_LOCATION, FILE_EXISTS, FILE_ERROR, LAST_DEQUEUE]


def test_a_first_delivery(plain: Environment) -> None:
    """Six members in the order of the captures, no last dequeue, the very bytes behind the location."""
    job = plain.create("export")
    assert plain.dequeue(job) is None
    made = plain.produce(job)
    offer = plain.dequeue(job)
    assert offer is not None
    assert list(offer) == MEMBERS
    assert (offer[FILE_EXISTS], offer[FILE_ERROR], offer[LAST_DEQUEUE]) == (True, None, None)
    file = plain.download(offer[DOWNLOAD_LOCATION])
    assert (file.status, hashlib.sha256(file.body).hexdigest()) == (200, made["sha256"])
    assert plain.dequeue(job) is None


def test_a_receipt_tells_when_the_message_is_visible_again(plain: Environment) -> None:
    """Twenty bytes in base64; the last eight are a FILETIME half an hour ahead."""
    job = plain.create("export")
    plain.produce(job)
    offer = plain.dequeue(job)
    assert offer is not None
    assert len(offer[POP_RECEIPT]) == 28
    *numbers, ticks = struct.unpack("<IIIQ", base64.b64decode(offer[POP_RECEIPT]))
    assert numbers == [2, 3, 0]
    visible = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
    assert visible == plain.clock.now() + timedelta(minutes=30)


def test_a_message_nobody_acknowledged_comes_back_every_half_hour(plain: Environment) -> None:
    """Not a moment before; with the date of the last dequeue, the same correlation and a new receipt."""
    job = plain.create("export")
    plain.produce(job)
    first = plain.dequeue(job)
    assert first is not None
    plain.download(first[DOWNLOAD_LOCATION])
    for passed in (1, 2):
        plain.advance(minutes=29, seconds=59.999999)
        assert plain.dequeue(job) is None
        plain.advance(seconds=0.000001)
        again = plain.dequeue(job)
        assert again is not None
        assert again[LAST_DEQUEUE] == f"2026-01-01T0{(passed - 1) // 2}:{30 * (passed - 1) % 60:02d}:00Z"
        assert again[CORRELATION_ID] == first[CORRELATION_ID]
        assert again[DOWNLOAD_LOCATION] == first[DOWNLOAD_LOCATION]
        assert again[POP_RECEIPT] != first[POP_RECEIPT]
    assert [row["Status"] for row in plain.messages(job)] == ["Dequeued"]


def test_an_acknowledged_message_is_gone(plain: Environment) -> None:
    """The echo is accepted with 200 and nothing in it; the same again is not."""
    job = plain.create("export")
    plain.produce(job)
    offer = plain.dequeue(job)
    done = plain.ack(job, offer)
    assert (done.status, done.body) == (200, b"")
    assert plain.ack(job, offer).status == 500
    plain.advance(hours=1)
    assert plain.dequeue(job) is None
    assert [(row["Status"], row["AckDateTime"]) for row in plain.messages(job)] == [("Acked", "2026-01-01T00:00:00Z")]


def test_three_members_suffice_and_a_changed_location_does_not_matter(plain: Environment) -> None:
    """A public client sends these three, the location with another scheme."""
    job = plain.create("export")
    plain.produce(job)
    offer = plain.dequeue(job)
    assert offer is not None
    members = {"correlationid": offer[CORRELATION_ID].upper(), POP_RECEIPT: offer[POP_RECEIPT], DOWNLOAD_LOCATION: "x"}
    assert plain.ack(job, members).status == 200


def test_a_receipt_that_a_later_dequeue_replaced_changes_nothing(plain: Environment) -> None:
    """The message stays leased to whoever has the new receipt."""
    job = plain.create("export")
    plain.produce(job)
    stale = plain.dequeue(job)
    plain.advance(minutes=30)
    current = plain.dequeue(job)
    assert plain.ack(job, stale).status == 500
    assert plain.messages(job)[0]["Status"] == "Dequeued"
    assert plain.ack(job, current).status == 200


def test_an_acknowledgment_after_the_half_hour_counts_while_nobody_else_has_the_message(plain: Environment) -> None:
    """The receipt is still the last one."""
    job = plain.create("export")
    plain.produce(job)
    offer = plain.dequeue(job)
    plain.advance(hours=3)
    assert plain.ack(job, offer).status == 200
    assert plain.dequeue(job) is None


def test_an_acknowledgment_on_another_activity_changes_nothing(plain: Environment) -> None:
    """404, and the message is still to be had."""
    job, other = plain.create("export"), plain.create("export")
    plain.produce(job)
    offer = plain.dequeue(job)
    assert plain.ack(other, offer).status == 404
    assert plain.ack(job, offer).status == 200


def test_many_may_be_leased_at_once(plain: Environment) -> None:
    """Ten messages to ten consumers, none twice, and each acknowledged by itself."""
    job = plain.create("export")
    produced = {plain.produce(job, 1)["sha256"] for _ in range(10)}
    offers = [plain.dequeue(job) for _ in range(10)]
    got = {hashlib.sha256(plain.download(one[DOWNLOAD_LOCATION]).body).hexdigest() for one in offers if one}
    assert got == produced
    assert {plain.ack(job, one).status for one in reversed(offers)} == {200}
    assert plain.dequeue(job) is None


def test_a_file_is_kept_for_seven_days(plain: Environment) -> None:
    """A second before they are over it is there, then not; the message says that there is none."""
    job = plain.create("export")
    plain.produce(job)
    offer = plain.dequeue(job)
    assert offer is not None
    plain.advance(days=6, hours=23, minutes=59, seconds=59)
    assert plain.download(offer[DOWNLOAD_LOCATION]).status == 200
    plain.advance(seconds=1)
    assert plain.download(offer[DOWNLOAD_LOCATION]).status == 404
    again = plain.dequeue(job)
    assert again is not None
    assert (again[FILE_EXISTS], again[DOWNLOAD_LOCATION]) == (False, None)
    assert again[FILE_ERROR]
    assert plain.ack(job, again).status == 200


def test_a_location_serves_again_and_after_the_acknowledgment(plain: Environment) -> None:
    """Until the file expires."""
    job = plain.create("export")
    plain.produce(job)
    offer = plain.dequeue(job)
    assert offer is not None
    first = plain.download(offer[DOWNLOAD_LOCATION])
    assert plain.messages(job)[0]["Status"] == "Downloaded"
    plain.ack(job, offer)
    assert plain.download(offer[DOWNLOAD_LOCATION]) == first
    assert plain.messages(job)[0]["Status"] == "Acked"


def test_the_location_spells_the_activity_as_the_caller_did(plain: Environment) -> None:
    """Braces, letter case and a language segment are understood; the language is not handed on."""
    job = plain.create("export").upper()
    plain.produce(job)
    response = plain.call("GET", f"/en-US/API/Connector/DeQueue/%7B{job}%7D/")
    assert response.status == 200
    assert f"http://emulator/api/connector/download/%7B{job}%7D?correlation-id=" in response.body.decode()


@pytest.mark.parametrize(
    ("prevention", "uploaded", "rows"), [(True, False, (0, None)), (False, True, (0, True))], ids=["on", "off"]
)
def test_a_run_without_records(plain: Environment, prevention: bool, uploaded: bool, rows: tuple[int, bool]) -> None:
    """Prevention uploads nothing and the dequeue says so; without it a file of no records is uploaded."""
    job = plain.create("export", prevent_upload_when_zero_records=prevention)
    made = plain.produce(job, 0)
    assert (made["uploaded"], made["records"], made["sha256"] is not None) == (uploaded, 0, uploaded)
    assert [(row["TotalRecordsExported"], row["FileUploaded"]) for row in plain.messages(job)] == [rows]
    offer = plain.dequeue(job)
    assert offer is not None
    assert offer[FILE_EXISTS] is uploaded
    assert plain.ack(job, offer).status == 200


def test_a_message_without_a_file_comes_back_until_it_is_acknowledged(plain: Environment) -> None:
    """Like any other."""
    job = plain.activity("export-no-zero")
    plain.produce(job, 0)
    first = plain.dequeue(job)
    plain.advance(minutes=30)
    again = plain.dequeue(job)
    assert first is not None
    assert again is not None
    assert again[LAST_DEQUEUE] == "2026-01-01T00:00:00Z"
    plain.ack(job, again)
    plain.advance(minutes=30)
    assert plain.dequeue(job) is None


def test_no_two_payloads_are_equal(environment: Made) -> None:
    """Whatever the number of records, the type of the job and the form of its payload."""
    digests = []
    for one in (environment(), environment("download.file-payload=raw", seed=1)):
        for kind in ("file", "package"):
            job = one.create("export", type=kind)
            digests += [one.produce(job, count)["sha256"] for count in (0, 0, 1, 1, 5, 5)]
    assert len(set(digests)) == len(digests)


def test_the_same_seed_gives_the_same_run(environment: Made) -> None:
    """Identifiers, records and payloads."""

    def story(one: Environment) -> object:
        job = one.create("export")
        return one.produce(job, 4), one.dequeue(job), one.messages(job)

    assert story(environment(seed=5)) == story(environment(seed=5))
    assert story(environment(seed=5)) != story(environment(seed=6))
