"""What handing in a file answers, and what it makes."""

import gzip

from popreceipt.client import wire
from popreceipt.client.wire import Spelling
from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("enqueue.creates-a-message", "enqueue.message-id-form", "enqueue.content-type")
def test_makes_a_message(stage: Stage) -> None:
    """Once the enqueue is answered its message exists."""
    intake = stage.imports()
    for _ in range(3):
        intake.status(intake.enqueue(stage.file()))
    if stage.target.can("messages"):
        intake.observe_messages()


@shows("enqueue.each-call-its-own-message")
def test_the_same_file_twice_is_two_messages(stage: Stage) -> None:
    """Nothing is taken for a repetition, not even under the same external identifier."""
    intake = stage.imports()
    content = stage.file()
    for _ in range(2):
        intake.enqueue(content, external_identifier="groups.csv")


@shows("enqueue.any-content-type")
def test_any_content_type_is_taken(stage: Stage) -> None:
    """The body is a stream of bytes, whatever the header calls it."""
    intake = stage.imports()
    for content_type in (None, "application/octet-stream", "text/csv", "application/zip", "application/json"):
        intake.offer(stage.file(), content_type=content_type)


@shows("enqueue.entity-with-percent-20", "enqueue.entity-with-plus", "enqueue.entity-encoding")
def test_a_blank_in_the_entitys_name(stage: Stage) -> None:
    """The entity's name arrives whole, its blank written as %20 or as a plus sign."""
    intake = stage.imports()
    answers = [intake.offer(stage.file(), spelling=Spelling(blank=blank)) for blank in ("%20", "+")]
    intake.run(*(message for each in answers if (message := wire.message_id(each)) is not None))


@shows("enqueue.too-large")
def test_a_body_over_the_limit(stage: Stage) -> None:
    """Asks how a body is refused that is larger than a web server takes by default."""
    stage.imports().offer(b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\n" + b"0" * 30_000_001)


@shows("enqueue.chunked")
def test_an_upload_in_chunks(stage: Stage) -> None:
    """Asks whether an upload without an announced length is taken."""
    stage.imports().offer(stage.file(), chunked=True)


@shows("enqueue.gzip")
def test_a_compressed_upload(stage: Stage) -> None:
    """Asks whether an upload with a content encoding is taken."""
    intake = stage.imports()
    packed = gzip.compress(stage.file(), mtime=0)
    message = wire.message_id(intake.offer(packed, headers=(("content-encoding", "gzip"),)))
    if message is not None:
        intake.run(message)


@shows("enqueue.creates-a-message", needs=("faults",))
def test_an_enqueue_whose_answer_is_lost(stage: Stage) -> None:
    """Whether the file that got no answer made a message or not, the same file sent again makes one of its own."""
    for phase in ("before", "after"):
        intake = stage.imports()
        content = stage.file()
        with stage.fault("enqueue", "reset", activity=intake.id, phase=phase):
            intake.offer(content)
        message = intake.enqueue(content)
        intake.run(message)
        if stage.target.can("messages"):
            intake.observe_messages()
        if stage.target.can("records"):
            intake.observe_records()
