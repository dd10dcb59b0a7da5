"""Exports without records: uploaded or withheld, and what is said of it."""

from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("zero-records.prevention-uploads-nothing", "zero-records.otherwise-uploaded")
def test_prevention_withholds_what_is_empty(stage: Stage) -> None:
    """With the setting on, an empty export uploads nothing, and one with records does."""
    queue = stage.export(prevent_upload_when_zero_records=True)
    queue.produce(0)
    list(queue.drain())
    queue.produce(2)
    list(queue.drain())
    queue.observe_messages()


@shows("zero-records.otherwise-uploaded")
def test_without_prevention_the_empty_file_is_uploaded(stage: Stage) -> None:
    """With the setting off, an empty export uploads its file like any other."""
    queue = stage.export(prevent_upload_when_zero_records=False)
    queue.produce(0)
    list(queue.drain())
    queue.observe_messages()


@shows("zero-records.no-file-is-said", "zero-records.no-file-answer", needs=("produce",))
def test_a_dequeue_says_that_there_is_no_file(stage: Stage) -> None:
    """After an export that uploaded nothing, a dequeue hands out no file."""
    queue = stage.export(prevent_upload_when_zero_records=True)
    queue.produce(0)
    list(queue.drain())


@shows("zero-records.no-file-leaves", needs=("produce",))
def test_a_message_without_a_file_comes_back(stage: Stage) -> None:
    """Asks whether a message without a file stays until it is acknowledged."""
    queue = stage.export(prevent_upload_when_zero_records=True)
    queue.produce(0)
    queue.dequeue()
    stage.advance(minutes=31)
    found = queue.dequeue()
    if found is not None:
        queue.ack(found)
    stage.advance(minutes=31)
    queue.dequeue()


@shows("zero-records.total-records-exported", "zero-records.file-uploaded", needs=("produce",))
def test_the_two_columns(stage: Stage) -> None:
    """Manage messages shows how many records were exported and whether a file was uploaded."""
    for prevention in (True, False):
        queue = stage.export(prevent_upload_when_zero_records=prevention)
        for records in (0, 4):
            queue.produce(records)
        queue.observe_messages()


@shows("zero-records.setting-can-change")
def test_the_setting_can_be_changed_later(stage: Stage) -> None:
    """Switched on and off after the job was made, the setting counts for the runs that follow."""
    queue = stage.export(prevent_upload_when_zero_records=False)
    for prevention in (True, False):
        queue.change(prevent_upload_when_zero_records=prevention)
        queue.produce(0)
        list(queue.drain())
    queue.observe_messages()


@shows("zero-records.obeyed-at-the-recurrence", needs=("produce", "change-activity"))
def test_exports_that_run_by_themselves(stage: Stage) -> None:
    """At its recurrence an empty export obeys the setting as well, and a later change of it."""
    queue = stage.export(prevent_upload_when_zero_records=True, processing_recurrence_minutes=30)
    stage.advance(minutes=1)
    queue.produce(0)
    stage.advance(minutes=35)
    queue.change(prevent_upload_when_zero_records=False)
    stage.advance(minutes=40)
    list(queue.drain())
    queue.observe_messages()
