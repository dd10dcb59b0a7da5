"""Spellings of a request that mean the same, and what a service says to requests that mean nothing."""

from popreceipt.client import wire
from popreceipt.client.wire import Ask, Spelling
from popreceipt.scenario import shows
from popreceipt.stage import Export, Import, Stage
from popreceipt.vocabulary import operation_of


def call(stage: Stage, queue: Export, intake: Import, spelling: Spelling) -> None:
    """Every connector call once, in one spelling."""
    queue.holds()
    delivery = queue.dequeue(spelling=spelling)
    if delivery is not None:
        if delivery.has_file:
            queue.download(delivery)
        queue.ack_with(delivery.body, spelling=spelling)
    message = wire.message_id(intake.offer(stage.file(), spelling=spelling))
    if message is not None:
        stage.send(wire.jobstatus(intake.id, message, spelling))


@shows("transport.language-prefix")
def test_a_language_may_stand_before_the_path(stage: Stage) -> None:
    """With and without a language segment the same queue answers."""
    queue, intake = stage.export(), stage.imports()
    for language in (None, "en"):
        call(stage, queue, intake, Spelling(language=language))


@shows("transport.braced-activity-id", "transport.bare-activity-id")
def test_the_activity_in_braces(stage: Stage) -> None:
    """The activity ID in encoded braces, and bare, names the same queue."""
    queue, intake = stage.export(), stage.imports()
    for activity in ("bare", "braced", "upper"):
        call(stage, queue, intake, Spelling(activity=activity))  # type: ignore[arg-type]


@shows("transport.path-letter-case")
def test_letter_case_of_the_path(stage: Stage) -> None:
    """Asks whether the path's letter case matters."""
    queue, intake = stage.export(), stage.imports()
    for case in ("lower", "mixed", "upper"):
        call(stage, queue, intake, Spelling(case=case))  # type: ignore[arg-type]


@shows("transport.malformed-activity", "transport.unknown-activity")
def test_an_activity_that_is_none(stage: Stage) -> None:
    """Asks what a path answers whose activity is no GUID, or names nothing."""
    for activity in ("not-a-guid", "1234", stage.unknown_guid(), stage.unknown_guid()):
        stage.send(wire.dequeue(activity))
        stage.send(wire.enqueue(activity, stage.file(), entity="Customer groups"))
        stage.send(wire.ack(activity, b'{"CorrelationId": "x", "PopReceipt": "y"}'))
        stage.send(wire.jobstatus(activity, stage.unknown_guid()))


@shows("transport.wrong-direction")
def test_the_wrong_direction(stage: Stage) -> None:
    """Asks what a job answers that works the other way."""
    queue, intake = stage.export(), stage.imports()
    stage.send(wire.enqueue(queue.id, stage.file(), entity="Customer groups"))
    stage.send(wire.dequeue(intake.id))
    stage.send(wire.ack(intake.id, b'{"CorrelationId": "x", "PopReceipt": "y"}'))


@shows("transport.wrong-verb")
def test_the_wrong_verb(stage: Stage) -> None:
    """Asks what a path answers to another verb than its own."""
    queue, intake = stage.export(), stage.imports()
    for ask in (wire.dequeue(queue.id), wire.enqueue(intake.id, stage.file()), wire.ack(queue.id, b"{}")):
        assert operation_of(ask.path)[0] != "other"
        stage.send(Ask("PUT", ask.path, ask.query))
