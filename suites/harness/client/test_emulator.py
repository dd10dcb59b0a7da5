"""The client against the emulator in this process: every call once around, and every form of an answer understood."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.consumer import pull
from popreceipt.client.packages import ENTITY, delimited
from popreceipt.client.wire import Ask, Delivery, Reply, Spelling
from popreceipt.targets import Target, open_target

GOOD = {"CUSTOMERGROUPID": "10", "DESCRIPTION": "Retail", "PAYMENTTERMID": "Net30"}
BAD = {"CUSTOMERGROUPID": "", "DESCRIPTION": "Nameless", "PAYMENTTERMID": ""}


@pytest.fixture
def target() -> Iterator[Target]:
    with open_target("emulator:", seed=3) as opened:
        yield opened


def send(target: Target, ask: Ask, *, chunked: bool = False) -> Reply:
    return target.session.send(ask, actor="authorised", token=target.tokens.current(), chunked=chunked)


def test_an_export_goes_all_the_way(target: Target) -> None:
    """Produced, dequeued, downloaded as promised, acknowledged, and gone."""
    assert target.control is not None
    job = target.create(direction="export", type="package")
    produced = target.control.produce(job["id"], 3)
    delivery = wire.delivery(send(target, wire.dequeue(job["id"], Spelling(activity="braced", language="en"))))
    assert delivery is not None
    assert delivery.location is not None
    file = send(target, wire.download(delivery.location))
    assert hashlib.sha256(file.body).hexdigest() == produced["sha256"]
    assert send(target, wire.ack(job["id"], delivery.body)).ok
    target.advance(timedelta(minutes=31))
    assert wire.delivery(send(target, wire.dequeue(job["id"]))) is None
    (row,) = target.control.messages(job["id"])
    assert (row["MessageId"], row["Status"]) == (produced["messageId"], vocabulary.ACKED)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_import_goes_all_the_way(target: Target, chunked: bool) -> None:
    """Enqueued, processed, its bad record listed and its good one in the target table."""
    assert target.control is not None
    job = target.create(direction="import", type="file")
    message = wire.message_id(
        send(target, wire.enqueue(job["id"], delimited([GOOD, BAD]), entity=ENTITY), chunked=chunked)
    )
    assert message is not None
    assert wire.message_state(send(target, wire.message_status(message))) == vocabulary.ENQUEUED
    assert wire.execution(send(target, wire.execution_id(message))) is None
    assert target.control.process(job["id"]) == 1
    target.advance(timedelta(minutes=1))
    assert wire.message_state(send(target, wire.message_status(message))) == vocabulary.PROCESSED_WITH_ERRORS
    assert wire.job_state(send(target, wire.jobstatus(job["id"], message))) == vocabulary.PROCESSED_WITH_ERRORS
    execution = wire.execution(send(target, wire.execution_id(message)))
    assert execution is not None
    assert len(wire.errors(send(target, wire.execution_errors(execution)))) == 1
    assert wire.odata_value(send(target, wire.execution_summary(execution))) == "PartiallySucceeded"
    assert target.control.records(job["id"]) == [GOOD]


def test_the_consumer_empties_a_queue(target: Target) -> None:
    assert target.control is not None
    job = target.create(direction="export", type="package")
    expected = [target.control.produce(job["id"], 2)["sha256"] for _ in range(5)]
    stored: list[str] = []

    def store(content: bytes, _: Delivery) -> None:
        stored.append(hashlib.sha256(content).hexdigest())

    assert pull(target.session, target.tokens, job["id"], store) == 5
    assert sorted(stored) == sorted(expected)


def test_tokens_of_all_kinds(target: Target) -> None:
    """Both versions and both grants give tokens that are taken; forged and foreign ones, and none, are not."""
    job = target.activity("export-package")
    dequeue = wire.dequeue(job["id"])
    for token in (
        target.tokens.obtain(version=1).token,
        target.tokens.obtain(version=2).token,
        target.tokens.obtain(version=1, grant="password").token,
    ):
        assert target.session.send(wire.message_status(vocabulary.ZERO_GUID), token=token).status not in (401, 403)
    for token in (
        None,
        target.tokens.forged(),
        target.tokens.forged(part="payload"),
        target.tokens.obtain(resource="https://elsewhere.example").token,
    ):
        assert target.session.send(dequeue, token=token).status == 401
    assert target.session.send(dequeue, token=target.tokens.current("unlisted")).status in (401, 403)
    assert target.tokens.obtain(secret="wrong").token is None
    stale = target.tokens.current()
    target.advance(timedelta(hours=2))
    assert target.session.send(dequeue, token=stale).status == 401
    assert target.session.send(dequeue, token=target.tokens.current()).ok


def test_settings_change_and_messages_are_cleaned_up(target: Target) -> None:
    assert target.control is not None
    job = target.create(direction="export", type="package")
    target.control.change(job["id"], enabled=False)
    assert send(target, wire.dequeue(job["id"])).status in (401, 403)
    assert target.control.change(job["id"], enabled=True)["enabled"] is True
    target.control.produce(job["id"], 1)
    assert target.control.cleanup(job["id"]) == 1
    assert wire.delivery(send(target, wire.dequeue(job["id"]))) is None
    target.control.reset()
    assert target.control.world().activity("export-package") is not None


@pytest.mark.parametrize("form", ["quoted", "bare", "object", "braces", "upper-case"])
def test_a_message_id_of_every_form_can_be_asked_for(form: str) -> None:
    with open_target(f"emulator:dialect=enqueue.message-id-form={form}") as target:
        job = target.activity("import-file")
        message = wire.message_id(send(target, wire.enqueue(job["id"], delimited([GOOD]), entity=ENTITY)))
        assert message is not None
        assert wire.message_state(send(target, wire.message_status(message))) == vocabulary.ENQUEUED


@pytest.mark.parametrize("form", ["string", "array", "malformed"])
def test_errors_of_every_form_are_counted(form: str) -> None:
    with open_target(f"emulator:dialect=execution-errors.value-form={form}") as target:
        assert target.control is not None
        job = target.activity("import-file")
        message = wire.message_id(send(target, wire.enqueue(job["id"], delimited([BAD, GOOD, BAD]), entity=ENTITY)))
        assert message is not None
        target.control.process(job["id"])
        target.advance(timedelta(minutes=1))
        execution = wire.execution(send(target, wire.execution_id(message)))
        assert execution is not None
        assert len(wire.errors(send(target, wire.execution_errors(execution)))) == 2


@pytest.mark.parametrize("kind", ["location-filled", "message-empty", "message-null", "204"])
def test_the_consumer_gets_past_an_export_without_a_file(kind: str) -> None:
    with open_target(f"emulator:dialect=zero-records.no-file-answer={kind}") as target:
        assert target.control is not None
        job = target.create(direction="export", type="package", prevent_upload_when_zero_records=True)
        target.control.produce(job["id"], 0)
        target.control.produce(job["id"], 2)
        stored: list[bytes] = []
        pull(target.session, target.tokens, job["id"], lambda content, _: stored.append(content))
        assert len(stored) == 1
