"""Whether files are processed one after another."""

from collections.abc import Iterator

from popreceipt.client.packages import delimited
from popreceipt.scenario import shows
from popreceipt.stage import Import, Stage


def of_one_record(stage: Stage, *sizes: int) -> Iterator[bytes]:
    """Files that tell different things of one record: where processing takes no time, only that shows their order."""
    key = stage.key()
    for place, size in enumerate(sizes):
        told = stage.record(CUSTOMERGROUPID=key, DESCRIPTION=f"Told by file {place}")
        yield delimited([told, *stage.records(size - 1)])


def look(stage: Stage, intake: Import) -> None:
    """Look at Manage messages, and at the target table where the target shows it."""
    intake.observe_messages()
    if stage.target.can("records"):
        intake.observe_records()


@shows("ordering.in-order-one-after-another")
def test_in_order_one_after_another(stage: Stage) -> None:
    """With the setting on, each file is done before the next is begun, in the order in which they came."""
    intake = stage.imports(in_order=True)
    messages = []
    for file in of_one_record(stage, 9, 3, 6, 2, 4):
        messages.append(intake.enqueue(file))
        stage.advance(seconds=2)
    intake.run(*messages)
    look(stage, intake)


@shows("ordering.in-order-one-after-another")
def test_files_of_several_runs_keep_their_order(stage: Stage) -> None:
    """A file that comes while others are processed stands behind them."""
    intake = stage.imports(in_order=True)
    files = list(of_one_record(stage, 40, 40, 40, 2, 2))
    messages = [intake.enqueue(file) for file in files[:3]]
    intake.process()
    stage.advance(seconds=1)
    messages += [intake.enqueue(file) for file in files[3:]]
    intake.process()
    intake.settle(*messages)
    intake.run(*messages)
    look(stage, intake)


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


@shows("ordering.packages", needs=("messages", "process", "create-activity"))
def test_packages_on_a_job_that_keeps_the_order(stage: Stage) -> None:
    """Asks whether the setting, which is for files, counts for packages too."""
    intake = stage.imports("package", in_order=True)
    messages = [intake.enqueue(stage.package(size), entity=None) for size in (30, 2, 10)]
    intake.run(*messages)
    intake.observe_messages()
