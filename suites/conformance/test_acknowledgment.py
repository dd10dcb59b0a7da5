"""What an acknowledgment does, and what it must not do."""

import json

from popreceipt.client.wire import Delivery
from popreceipt.scenario import shows
from popreceipt.stage import Export, Stage
from popreceipt.vocabulary import CORRELATION_ID, DOWNLOAD_LOCATION, POP_RECEIPT


def insist(queue: Export, delivery: Delivery) -> None:
    """Acknowledge, and once more where the first try met a fault, as a consumer should."""
    if (queue.ack(delivery).status or 500) >= 500:
        queue.ack(delivery)


def body_of(delivery: Delivery, *names: str) -> bytes:
    """Some members of a delivery, as the body of an acknowledgment."""
    return json.dumps({name: delivery.members.get(name) for name in names}).encode()


@shows("acknowledgment.echo-accepted", "acknowledgment.ends-redelivery", "acknowledgment.success-answer")
def test_ends_the_redelivery(stage: Stage) -> None:
    """Acknowledged with what the dequeue said, a message never comes back."""
    queue = stage.export()
    queue.ack(queue.receive())
    for _ in range(3):
        stage.advance(minutes=31)
        list(queue.drain())


@shows("acknowledgment.echo-accepted", "acknowledgment.ends-redelivery")
def test_a_later_delivery_can_be_acknowledged(stage: Stage) -> None:
    """After a redelivery its own answer acknowledges the message."""
    queue = stage.export()
    queue.receive()
    stage.advance(minutes=31)
    for delivery in queue.drain():
        insist(queue, delivery)
    stage.advance(minutes=31)
    list(queue.drain())


@shows("acknowledgment.echo-accepted", "acknowledgment.ends-redelivery")
def test_an_acknowledgment_is_remembered(stage: Stage) -> None:
    """Days later the message has not come back."""
    queue = stage.export()
    queue.ack(queue.receive())
    for _ in range(3):
        stage.advance(hours=25)
        list(queue.drain())


@shows("acknowledgment.echo-accepted", "acknowledgment.ends-redelivery")
def test_another_consumer_acknowledges(stage: Stage) -> None:
    """A worker with a token of its own can acknowledge what a colleague dequeued."""
    queue = stage.export()
    queue.holds()
    delivery = queue.dequeue("authorised/one")
    if delivery is not None and delivery.has_file:
        queue.download(delivery, "authorised/one")
        stage.advance(minutes=1)
        queue.ack(delivery, "authorised/two")
    stage.advance(minutes=31)
    list(queue.drain())


@shows("acknowledgment.echo-accepted", "acknowledgment.ends-redelivery")
def test_many_held_at_once(stage: Stage) -> None:
    """Messages dequeued one after another can be acknowledged in another order."""
    queue = stage.export()
    queue.holds(8)
    taken = list(queue.drain())
    for delivery in reversed(taken):
        if delivery.has_file:
            insist(queue, delivery)
    stage.advance(minutes=31)
    list(queue.drain())


@shows(
    "acknowledgment.refused-changes-nothing",
    "acknowledgment.incomplete-body",
    "redelivery.not-before-half-an-hour",
)
def test_a_refused_acknowledgment_changes_nothing(stage: Stage) -> None:
    """An acknowledgment that lacks what it needs is refused; the message comes back, and not the sooner for it."""
    queue = stage.export()
    delivery = queue.receive()
    bodies = (
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        body_of(delivery, CORRELATION_ID),
        body_of(delivery, POP_RECEIPT),
        json.dumps(dict(delivery.members) | {POP_RECEIPT: None}).encode(),
        json.dumps(dict(delivery.members) | {CORRELATION_ID: 7}).encode(),
    )
    for body in bodies:
        queue.ack_with(body)
        list(queue.drain())
    stage.advance(minutes=31)
    list(queue.drain())


@shows("acknowledgment.refused-changes-nothing", needs=("unlisted-client",))
def test_an_acknowledgment_of_a_stranger_changes_nothing(stage: Stage) -> None:
    """Refused for want of authorisation it leaves the message where it is."""
    queue = stage.export()
    delivery = queue.receive()
    queue.ack(delivery, "unlisted")
    queue.ack(delivery, "anonymous")
    stage.advance(minutes=31)
    list(queue.drain())


@shows("acknowledgment.three-members-suffice")
def test_three_members_suffice(stage: Stage) -> None:
    """CorrelationId, PopReceipt and DownloadLocation are enough."""
    queue = stage.export()
    delivery = queue.receive()
    queue.ack_with(body_of(delivery, CORRELATION_ID, POP_RECEIPT, DOWNLOAD_LOCATION))
    stage.advance(minutes=31)
    list(queue.drain())


@shows("acknowledgment.body-needed")
def test_two_members(stage: Stage) -> None:
    """Asks whether CorrelationId and PopReceipt alone are enough."""
    queue = stage.export()
    queue.ack_with(body_of(queue.receive(), CORRELATION_ID, POP_RECEIPT))


@shows("acknowledgment.member-spelling")
def test_members_spelled_otherwise(stage: Stage) -> None:
    """Asks whether members in another letter case, and further members, are taken."""
    queue = stage.export()
    first = queue.receive()
    lower = {name[:1].lower() + name[1:]: value for name, value in first.members.items()}
    queue.ack_with(json.dumps(lower).encode())
    second = queue.receive()
    queue.ack_with(json.dumps(dict(second.members) | {"Comment": "one more"}).encode())


@shows("acknowledgment.stale-receipt", "acknowledgment.stale-receipt-changes-nothing")
def test_a_stale_receipt(stage: Stage) -> None:
    """The answer of an earlier delivery does not end the later one."""
    queue = stage.export()
    stale = queue.receive()
    stage.advance(minutes=31)
    list(queue.drain())
    queue.ack(stale)
    stage.advance(minutes=31)
    list(queue.drain())


@shows("acknowledgment.late")
def test_a_late_acknowledgment(stage: Stage) -> None:
    """Asks what becomes of an acknowledgment after the half hour when nobody dequeued since."""
    queue = stage.export()
    delivery = queue.receive()
    stage.advance(minutes=65)
    queue.ack(delivery)
    list(queue.drain())


@shows("acknowledgment.second")
def test_a_second_acknowledgment(stage: Stage) -> None:
    """Asks what the same acknowledgment answers the second time."""
    queue = stage.export()
    delivery = queue.receive()
    queue.ack(delivery)
    queue.ack(delivery)


@shows("acknowledgment.without-download")
def test_without_a_download(stage: Stage) -> None:
    """Asks whether a message can be acknowledged that nobody downloaded."""
    queue = stage.export()
    queue.ack(queue.take())


@shows("acknowledgment.other-activity", "acknowledgment.other-activity-changes-nothing")
def test_on_another_activity(stage: Stage) -> None:
    """Sent to another job, an acknowledgment ends nothing."""
    queue, other = stage.export("package"), stage.export("file")
    delivery = queue.receive()
    other.ack_with(delivery.body)
    stage.advance(minutes=31)
    list(queue.drain())


@shows("acknowledgment.echo-accepted", "acknowledgment.ends-redelivery", needs=("faults",))
def test_an_acknowledgment_whose_answer_is_lost(stage: Stage) -> None:
    """Repeated with the same body it is accepted or was before, and the message does not come back."""
    for phase in ("before", "after"):
        queue = stage.export()
        delivery = queue.receive()
        with stage.fault("ack", "reset", activity=queue.id, phase=phase):
            queue.ack(delivery)
        queue.ack(delivery)
        stage.advance(minutes=31)
        list(queue.drain())
