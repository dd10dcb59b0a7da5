"""How the errors of an import are found."""

from typing import Final

from popreceipt.scenario import shows
from popreceipt.stage import Import, Stage

TRIES: Final = 10
"""Messages of which one should be asked about before the batch takes it, where the clock runs by itself."""


def errors_after(stage: Stage, intake: Import, good: int, bad: int) -> None:
    """Import a file and ask for its execution, the errors and the summary."""
    message = intake.enqueue(stage.file(good, bad))
    intake.run(message)
    execution = intake.execution_of(message)
    if execution is not None:
        intake.errors_of(execution)
        intake.summary_of(execution)


@shows(
    "execution-errors.lists-every-bad-record",
    "execution-errors.execution-found-by-message",
    "execution-errors.record-members",
    "execution-errors.value-form",
)
def test_every_bad_record_is_listed(stage: Stage) -> None:
    """Each record that could not be taken is among the errors of the execution."""
    intake = stage.imports()
    for good, bad in ((3, 1), (2, 4), (0, 2)):
        errors_after(stage, intake, good, bad)


@shows("execution-errors.none-when-all-is-well")
def test_no_errors_when_all_is_well(stage: Stage) -> None:
    """A faultless import has an empty list."""
    errors_after(stage, stage.imports(), 4, 0)


@shows("execution-errors.none-when-all-is-well", "execution-errors.lists-every-bad-record")
def test_executions_are_kept_apart(stage: Stage) -> None:
    """The errors of one execution never show among another's."""
    intake = stage.imports()
    messages = [intake.enqueue(stage.file(2, bad)) for bad in (1, 0, 3)]
    intake.run(*messages)
    for message in messages:
        execution = intake.execution_of(message)
        if execution is not None:
            intake.errors_of(execution)


@shows("execution-errors.summary-vocabulary", "execution-errors.summary-agrees")
def test_the_summary_agrees_with_the_status(stage: Stage) -> None:
    """The execution's summary tells the same as the message's status."""
    intake = stage.imports()
    for good, bad in ((3, 0), (3, 1), (0, 2)):
        errors_after(stage, intake, good, bad)


@shows("execution-errors.unresolved")
def test_before_the_batch_took_the_message(stage: Stage) -> None:
    """Asks what stands for an execution that does not exist yet."""
    intake = stage.imports()
    for _ in range(TRIES):
        message = intake.enqueue(stage.file())
        execution = intake.execution_of(message)
        intake.status(message)
        if execution is None:
            break


@shows("execution-errors.unknown-execution")
def test_an_execution_that_does_not_exist(stage: Stage) -> None:
    """Asks what is listed for an id that names no execution, a message's own among them."""
    intake = stage.imports()
    message = intake.enqueue(stage.file(2, 1))
    intake.run(message)
    for execution in (stage.unknown_guid(), message):
        intake.errors_of(execution)
