"""What the status of a message says."""

from popreceipt.client import wire
from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("status.vocabulary", "status.enqueued-until-taken", "status.odata-answer")
def test_enqueued_until_the_batch_takes_it(stage: Stage) -> None:
    """From the enqueue to the batch run the status is Enqueued."""
    intake = stage.imports()
    message = intake.enqueue(stage.file())
    intake.status(message)
    if stage.target.can("process"):
        stage.advance(seconds=1)
        intake.status(message)
    intake.run(message)


@shows("status.processed-when-all-records-are-good", "status.vocabulary")
def test_processed_when_all_is_well(stage: Stage) -> None:
    """A file, and a package, without faults end as Processed."""
    for kind, content, entity in (
        ("file", stage.file(5), "Customer groups"),
        ("package", stage.package(5), None),
    ):
        intake = stage.imports(kind)
        intake.run(intake.enqueue(content, entity=entity))


@shows("status.with-errors-when-records-fail")
def test_with_errors_when_records_fail(stage: Stage) -> None:
    """A file with records that cannot be taken ends as ProcessedWithErrors."""
    intake = stage.imports()
    intake.run(intake.enqueue(stage.file(good=3, bad=2)))


@shows("status.final-stays-final")
def test_a_final_status_stays(stage: Stage) -> None:
    """Hours and further runs later the status is still what it was."""
    intake = stage.imports()
    messages = [intake.enqueue(stage.file(good=2, bad=bad)) for bad in (0, 1)]
    intake.run(*messages)
    for _ in range(3):
        stage.advance(hours=3)
        for message in messages:
            intake.status(message)


@shows("status.jobstatus-agrees", "status.jobstatus-members", "status.jobstatus-state")
def test_jobstatus_tells_the_same(stage: Stage) -> None:
    """Both ways of asking name the same status."""
    intake = stage.imports()
    message = intake.enqueue(stage.file(), external_identifier="groups.csv")
    for step in range(4):
        intake.status(message)
        intake.jobstatus(message)
        if step == 0:
            intake.run(message)


@shows("status.ninth-spelling", needs=("process", "create-activity"))
def test_while_it_is_prepared(stage: Stage) -> None:
    """Asks how the stage before processing is spelled, where it lasts long enough to be seen."""
    intake = stage.imports()
    message = intake.enqueue(stage.file(200))
    intake.process()
    for _ in range(8):
        intake.status(message)
        stage.advance(seconds=0.25)


@shows("status.dequeued-after-dequeue", "status.downloaded", "status.acked-only-when-acknowledged", needs=("produce",))
def test_the_status_of_an_export(stage: Stage) -> None:
    """Enqueued, then Dequeued (and Downloaded), and Acked only when it was acknowledged."""
    queue = stage.export()
    message = str(queue.produce()["messageId"])

    def look() -> None:
        queue.status(message)
        queue.observe_messages()

    look()
    delivery = queue.obtain()
    look()
    queue.download(delivery)
    look()
    stage.advance(minutes=31)
    look()
    for again in queue.drain():
        look()
        queue.ack(again)
        look()


@shows("status.unknown-message", "status.jobstatus-unknown")
def test_a_message_that_does_not_exist(stage: Stage) -> None:
    """Asks what is said of an id that names no message."""
    intake = stage.imports()
    intake.enqueue(stage.file())
    for message in (stage.unknown_guid(), stage.unknown_guid()):
        intake.status(message)
        intake.jobstatus(message)
    stage.send(wire.message_status("not-a-guid"))


@shows("status.seventh-spelling", "status.vocabulary")
def test_failed_after_its_processing(stage: Stage) -> None:
    """Asks how the stage after processing says that it failed, where it can be made to fail."""
    intake = stage.imports()
    with stage.fault("processing", "post-processing-failed", activity=intake.id):
        intake.run(intake.enqueue(stage.file()))


@shows("status.failed-after-processing")
def test_the_stage_after_processing_fails(stage: Stage) -> None:
    """The next file, and a package, are struck; what follows is not."""
    for kind, content, entity in (
        ("file", stage.file(), "Customer groups"),
        ("package", stage.package(), None),
    ):
        intake = stage.imports(kind)
        with stage.fault("processing", "post-processing-failed", activity=intake.id):
            intake.run(intake.enqueue(content, entity=entity))


@shows("status.listed-in-manage-messages", needs=("process", "produce"))
def test_manage_messages_goes_on_listing(stage: Stage) -> None:
    """Whatever became of a message, it stays on the page for days."""
    intake, queue = stage.imports(), stage.export(prevent_upload_when_zero_records=True)
    messages = [intake.enqueue(content) for content in (stage.file(), stage.file(1, 1), b"\x00\xff not a file")]
    intake.run(*messages)
    for records in (2, 0):
        queue.produce(records)
    for delivery in queue.drain():
        queue.ack(delivery)
    for days in (0, 3, 3):
        stage.advance(days=days)
        intake.observe_messages()
        queue.observe_messages()
