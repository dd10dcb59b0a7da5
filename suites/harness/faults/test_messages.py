"""What a planned fault does to the processing of an import's message."""

import json

import pytest

from popreceipt.emulator.emulator import Emulator
from popreceipt.journal import Observation
from popreceipt.stage import Stage
from popreceipt.targets import open_target
from popreceipt.vocabulary import POSTPROCESSING_FAILED, PROCESSED, PROCESSING


def test_a_message_fails_after_its_processing(near: Stage, emulator: Emulator) -> None:
    """Its records are there, its status says what failed; the next message is as ever."""
    intake = near.imports()
    with near.fault("processing", "post-processing-failed", activity=intake.id) as planned:
        messages = [intake.enqueue(near.file()) for _ in range(2)]
        intake.run(*messages)
    assert [row["Status"] for row in intake.observe_messages()] == [POSTPROCESSING_FAILED, PROCESSED]
    assert len(intake.observe_records()) == 6
    job = json.loads(intake.jobstatus(messages[0]).body)["DataJobStatus"]["DataJobState"]
    assert job == "PostProcessError"
    (hit,) = [
        each for each in emulator.journal.entries if isinstance(each, Observation) and each.observation == "fault"
    ]
    assert hit.facts == {
        "fault": planned["id"],
        "kind": "post-processing-failed",
        "phase": None,
        "operation": "processing",
        "activity": intake.id,
        "message": messages[0],
    }


def test_a_message_sticks_for_ever(near: Stage) -> None:
    """Weeks later it is still in process; others pass it."""
    intake = near.imports()
    with near.fault("processing", "stuck", activity=intake.id, position=2):
        messages = [intake.enqueue(near.file()) for _ in range(3)]
        intake.process()
        near.advance(days=21)
        assert [intake.status(each) for each in messages] == [PROCESSED, PROCESSING, PROCESSED]
    near.advance(days=1)
    assert intake.status(messages[1]) == PROCESSING


def test_in_order_a_stuck_message_holds_up_the_rest(near: Stage) -> None:
    """One after another means that what follows waits for ever, too; cleaning up frees it."""
    intake = near.imports(in_order=True)
    with near.fault("processing", "stuck"):
        first, second = (intake.enqueue(near.file()) for _ in range(2))
        intake.process()
        near.advance(days=1)
        assert (intake.status(first), intake.status(second)) == (PROCESSING, "Enqueued")
    intake.clean_up(statuses=(PROCESSING,))
    third = intake.enqueue(near.file())
    assert intake.run(second, third) == [PROCESSED, PROCESSED]


def test_other_jobs_are_spared(near: Stage) -> None:
    """An activity's fault is no other's, and requests are not counted."""
    intake, other = near.imports(), near.imports()
    with near.fault("processing", "stuck", activity=intake.id), near.fault("processing", "post-processing-failed"):
        message = other.enqueue(near.file())
        assert other.run(message) == [POSTPROCESSING_FAILED]
        assert [each["hits"] for each in near.target.control_for("faults").faults()] == [0, 1]


@pytest.mark.parametrize("spelling", ["PostProcessingFailed", "PostProcessingError"])
def test_the_dialect_spells_it(spelling: str) -> None:
    """As the profile says."""
    name = "emulator:" if spelling == POSTPROCESSING_FAILED else f"emulator:dialect=status.seventh-spelling={spelling}"
    with open_target(name) as target:
        stage = Stage(target, "spelling")
        intake = stage.imports()
        with stage.fault("processing", "post-processing-failed"):
            message = intake.enqueue(stage.file())
            intake.run(message)
        body = list(target.journal.exchanges())[-1].response.body  # type: ignore[union-attr]  # it was answered
        assert json.loads(body.text)["value"] == spelling  # type: ignore[union-attr,arg-type]  # with a text


def test_mutants_obey_the_plan_too() -> None:
    """An emulator of other parts fails as planned."""
    with open_target("emulator:lease-of-29-minutes") as target:
        stage = Stage(target, "mutant")
        intake = stage.imports()
        with stage.fault("processing", "post-processing-failed"):
            assert intake.run(intake.enqueue(stage.file())) == [POSTPROCESSING_FAILED]
