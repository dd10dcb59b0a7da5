"""Whether files are processed one after another."""

from popreceipt.client.packages import delimited
from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("ordering.in-order-one-after-another")
def test_in_order_one_after_another(stage: Stage) -> None:
    """With the setting on, each file is done before the next is begun, in the order in which they came."""
    intake = stage.imports(in_order=True)
    messages = []
    for records in (9, 3, 6, 1, 4):
        messages.append(intake.enqueue(stage.file(records)))
        stage.advance(seconds=2)
    intake.run(*messages)
    intake.observe_messages()


@shows("ordering.in-order-one-after-another", needs=("records",))
def test_the_last_file_of_a_key_has_the_last_word(stage: Stage) -> None:
    """Where files tell different things of one record, what the file that came last told is what stays."""
    intake = stage.imports(in_order=True)
    key = stage.key()
    messages = []
    for place in range(1, 5):
        record = stage.record(CUSTOMERGROUPID=key, DESCRIPTION=f"Told {place} times")
        messages.append(intake.enqueue(delimited([record, *stage.records(2)])))
        stage.advance(seconds=2)
    intake.run(*messages)
    intake.observe_messages()
    intake.observe_records()


@shows("ordering.in-order-one-after-another")
def test_files_of_several_runs_keep_their_order(stage: Stage) -> None:
    """A file that comes while others are processed stands behind them."""
    intake = stage.imports(in_order=True)
    messages = [intake.enqueue(stage.file(40)) for _ in range(3)]
    intake.process()
    stage.advance(seconds=1)
    messages += [intake.enqueue(stage.file(1)) for _ in range(2)]
    intake.process()
    intake.settle(*messages)
    intake.run(*messages)
    intake.observe_messages()


@shows("ordering.failed-message")
def test_a_file_that_fails(stage: Stage) -> None:
    """Asks whether a file that fails holds up those behind it."""
    intake = stage.imports(in_order=True)
    messages = [
        intake.enqueue(stage.file()),
        intake.enqueue(b"\x00\xff not a file \xfe", entity="Customer groups"),
        intake.enqueue(stage.file()),
    ]
    intake.run(*messages)
    intake.observe_messages()
