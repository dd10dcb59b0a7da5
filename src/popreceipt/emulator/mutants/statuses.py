"""Wrong tellers: statuses, executions and errors that are not what happened."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from popreceipt.emulator.dmf.execution import Execution, RecordError
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Around, Mutated, StoreAround, answers
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.store import Store
from popreceipt.vocabulary import (
    ACKED,
    DEQUEUED,
    DOWNLOADED,
    ENQUEUED,
    EXECUTION_ERRORS,
    EXECUTION_ID,
    EXECUTION_SUMMARY,
    JOBSTATUS,
    MESSAGE_STATUS,
    PREPROCESSING,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    PROCESSING,
    ZERO_GUID,
)


class Telling(StoreAround):
    """Tells other statuses than there are wherever somebody looks: actions, jobstatus, Manage messages."""

    def message(self, identifier: str) -> Message | None:
        """The message, as it is told where somebody asks for it."""
        found = super().message(identifier)
        if found is None or self.emulator.operation not in {MESSAGE_STATUS, JOBSTATUS}:
            return found
        return self.told(found)

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """The messages, as they are told."""
        return [self.told(each) for each in super().messages_of(activity, after, limit)]

    def told(self, message: Message) -> Message:
        """A message as it is told."""
        return message


class _TellsOfPreprocessing(Telling):
    def told(self, message: Message) -> Message:
        """What waits for a run is already being prepared."""
        if message.status == ENQUEUED and message.visible_from is None:
            return msgspec.structs.replace(message, status=PREPROCESSING)
        return message


class _NeverTellsOfDequeues(Telling):
    def told(self, message: Message) -> Message:
        """What was handed out still waits."""
        if message.status in {DEQUEUED, DOWNLOADED}:
            return msgspec.structs.replace(message, status=ENQUEUED)
        return message


class _DownloadedIsAcked(Telling):
    def told(self, message: Message) -> Message:
        """What was downloaded is acknowledged."""
        return msgspec.structs.replace(message, status=ACKED) if message.status == DOWNLOADED else message


class _AckedWhenTheHalfHourIsOver(Telling):
    def told(self, message: Message) -> Message:
        """What nobody acknowledged in time counts as acknowledged."""
        over = message.visible_from is not None and self.emulator.clock.now() >= message.visible_from
        if over and message.status in {DEQUEUED, DOWNLOADED}:
            return msgspec.structs.replace(message, status=ACKED)
        return message


class _PackagesNeverSucceed(Telling):
    def told(self, message: Message) -> Message:
        """A package, whose enqueue names no entity, is never without errors."""
        if message.status == PROCESSED and message.entity is None:
            return msgspec.structs.replace(message, status=PROCESSED_WITH_ERRORS)
        return message


class _AlwaysSucceeds(Telling):
    def told(self, message: Message) -> Message:
        """Errors are not told."""
        if message.status == PROCESSED_WITH_ERRORS:
            return msgspec.structs.replace(message, status=PROCESSED)
        return message


class _SucceedsWithSomeGoodOnes(Telling):
    def told(self, message: Message) -> Message:
        """Errors are told only where no record was good."""
        execution = None if message.execution is None else self.store.execution(message.execution)
        if message.status == PROCESSED_WITH_ERRORS and execution is not None and execution.good:
            return msgspec.structs.replace(message, status=PROCESSED)
        return message


class _GoesBackAfterAnHour(Telling):
    def told(self, message: Message) -> Message:
        """What was processed more than an hour ago is in process again."""
        over = message.completed is not None and self.emulator.clock.now() - message.completed > timedelta(hours=1)
        if over and message.status in {PROCESSED, PROCESSED_WITH_ERRORS}:
            return msgspec.structs.replace(message, status=PROCESSING)
        return message


class _JobstatusLags(Telling):
    def told(self, message: Message) -> Message:
        """To jobstatus nothing comes to an end."""
        if self.emulator.operation == JOBSTATUS and message.status in {PROCESSED, PROCESSED_WITH_ERRORS}:
            return msgspec.structs.replace(message, status=PROCESSING)
        return message


def _answering(change: Callable[[dict[str, Any]], dict[str, Any]], *operations: str) -> Around:
    """Answers whose JSON is another object."""

    def tamper(_: Call, response: Response) -> Response:
        if response.status != 200:
            return response
        said = change(json.loads(response.body))
        return Response(response.status, response.headers, json.dumps(said).encode("utf-8"))

    return answers(tamper, *operations)


def _without_context(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != "@odata.context"}


def _without_execution(said: dict[str, Any]) -> dict[str, Any]:
    told = said["DataJobStatus"]
    kept = told and {name: value for name, value in told.items() if name != "ExecutionIdentifier"}
    return said | {"DataJobStatus": kept}


def values(change: Callable[[Call, Any], Any], *operations: str) -> Around:
    """Actions whose value is another one."""

    def tamper(call: Call, response: Response) -> Response:
        if response.status != 200:
            return response
        said = json.loads(response.body)
        said["value"] = change(call, said["value"])
        return Response(response.status, response.headers, json.dumps(said).encode("utf-8"))

    return answers(tamper, *operations)


def _in_own_words(words: dict[str, str], operation: str) -> Around:
    return values(lambda _, value: words.get(value, value), operation)


def _the_message_itself(call: Call, value: Any) -> Any:
    return value if value == ZERO_GUID else json.loads(call.request.body)["_messageId"]


def _none_with_errors(call: Call, value: Any) -> Any:
    """No execution for a message that has errors."""
    message = call.emulator.store.message(read_guid(json.loads(call.request.body)["_messageId"]) or "")
    return ZERO_GUID if message is not None and message.status == PROCESSED_WITH_ERRORS else value


# Errors


class Listing(StoreAround):
    """Lists other errors than there were."""

    def execution(self, identifier: str) -> Execution | None:
        """The execution, with the errors that are listed where somebody asks for them."""
        found = super().execution(identifier)
        if found is None or self.emulator.operation != EXECUTION_ERRORS:
            return found
        return msgspec.structs.replace(found, errors=self.listed(found))

    def listed(self, execution: Execution) -> tuple[RecordError, ...]:
        """The errors that are listed."""
        return execution.errors


class _TheFirstOnly(Listing):
    def listed(self, execution: Execution) -> tuple[RecordError, ...]:
        """The first."""
        return execution.errors[:1]


class _ThreeAtMost(Listing):
    def listed(self, execution: Execution) -> tuple[RecordError, ...]:
        """The first three."""
        return execution.errors[:3]


class _NoneWhereAllFailed(Listing):
    def listed(self, execution: Execution) -> tuple[RecordError, ...]:
        """Nothing where no record was good."""
        return execution.errors if execution.good else ()


class _AlwaysARemark(Listing):
    def listed(self, execution: Execution) -> tuple[RecordError, ...]:
        """A remark where there are none."""
        return execution.errors or (RecordError("0", "", "The import was completed."),)


class _ThoseOfTheOneBefore(Listing):
    """A faultless execution lists the errors of the one before."""

    def __init__(self, emulator: Mutated, store: Store) -> None:
        super().__init__(emulator, store)
        self._last: tuple[RecordError, ...] = ()

    def put_execution(self, execution: Execution) -> None:
        """Add or replace an execution, and remember its errors."""
        super().put_execution(execution)
        self._last = execution.errors or self._last

    def listed(self, execution: Execution) -> tuple[RecordError, ...]:
        """Its own, or the last there were."""
        return execution.errors or self._last


class _NeverSaysWhat(Listing):
    def listed(self, execution: Execution) -> tuple[RecordError, ...]:
        """What is wrong, not said."""
        return tuple(msgspec.structs.replace(each, text="") for each in execution.errors)


TRUE = "status.processed-when-all-records-are-good"
ERRORS = "status.with-errors-when-records-fail"
ACKNOWLEDGED = "status.acked-only-when-acknowledged"
EVERY = "execution-errors.lists-every-bad-record"
EVERY_ENTITY = "execution-errors.lists-bad-records-of-every-entity"
REMOVED = "cleanup.removes-what-was-asked"
NONE = "execution-errors.none-when-all-is-well"
FOUND = "execution-errors.execution-found-by-message"

MUTANTS = (
    mutant(
        "status-in-own-words",
        "Calls a message Running that is Processing.",
        "status.vocabulary",
        routes=_in_own_words({"Processing": "Running"}, MESSAGE_STATUS),
    ),
    mutant(
        "preprocessing-before-the-run",
        "Tells a message that waits for the batch to be Preprocessing.",
        "status.enqueued-until-taken",
        "batch.samples-count-the-queue",
        store=_TellsOfPreprocessing,
    ),
    mutant(
        "dequeued-never-shown",
        "Tells a message that was handed out to be Enqueued still.",
        "status.dequeued-after-dequeue",
        store=_NeverTellsOfDequeues,
    ),
    mutant(
        "acked-with-the-download",
        "Tells a message to be Acked once its file was downloaded.",
        ACKNOWLEDGED,
        store=_DownloadedIsAcked,
    ),
    mutant(
        "acked-after-the-half-hour",
        "Tells a message to be Acked when its half hour is over.",
        ACKNOWLEDGED,
        store=_AckedWhenTheHalfHourIsOver,
    ),
    mutant(
        "packages-never-without-errors",
        "Tells faultless packages to be ProcessedWithErrors.",
        TRUE,
        store=_PackagesNeverSucceed,
    ),
    mutant(
        "processed-whatever-failed",
        # A clean-up by status finds other messages than there should be, here and below.
        "Tells files with bad records to be Processed.",
        ERRORS,
        REMOVED,
        store=_AlwaysSucceeds,
    ),
    mutant(
        "processed-if-some-were-good",
        "Tells files with bad records to be Processed as long as some records were good.",
        ERRORS,
        REMOVED,
        store=_SucceedsWithSomeGoodOnes,
    ),
    mutant("errors-end-with-the-first", "Lists the first bad record only.", EVERY, EVERY_ENTITY, store=_TheFirstOnly),
    mutant("errors-end-with-the-third", "Lists three bad records at most.", EVERY, EVERY_ENTITY, store=_ThreeAtMost),
    mutant(
        "errors-missing-where-all-failed",
        "Lists no bad records where no record was good.",
        EVERY,
        store=_NoneWhereAllFailed,
    ),
    mutant(
        "errors-when-all-is-well",
        "Lists a remark as an error when every record was taken.",
        NONE,
        store=_AlwaysARemark,
    ),
    mutant(
        "errors-of-another-execution",
        "Lists with a faultless execution the errors of the one before.",
        NONE,
        store=_ThoseOfTheOneBefore,
    ),
    mutant(
        "execution-is-the-message",
        "Gives a message's own ID as its execution's.",
        EVERY,
        EVERY_ENTITY,
        routes=values(_the_message_itself, EXECUTION_ID),
    ),
    mutant(
        "no-execution-with-errors",
        "Names no execution for a message that is ProcessedWithErrors.",
        FOUND,
        routes=values(_none_with_errors, EXECUTION_ID),
    ),
    mutant(
        "summary-in-own-words",
        "Says that an execution Completed instead of Succeeded.",
        "execution-errors.summary-vocabulary",
        routes=_in_own_words({"Succeeded": "Completed"}, EXECUTION_SUMMARY),
    ),
    mutant(
        "summary-always-succeeded",
        "Says that an execution Succeeded, whatever failed in it.",
        "execution-errors.summary-agrees",
        routes=_in_own_words({"PartiallySucceeded": "Succeeded", "Failed": "Succeeded"}, EXECUTION_SUMMARY),
    ),
    mutant(
        "errors-without-a-message",
        "Lists bad records without saying what is wrong with them.",
        "execution-errors.record-members",
        store=_NeverSaysWhat,
    ),
    mutant(
        "final-status-goes-back",
        "Tells a message to be Processing again an hour after its end.",
        "status.final-stays-final",
        "cleanup.spares-the-rest",
        store=_GoesBackAfterAnHour,
    ),
    mutant(
        "jobstatus-never-ends",
        "Tells by jobstatus that a message is in process which has ended.",
        "status.jobstatus-agrees",
        store=_JobstatusLags,
    ),
    mutant(
        "jobstatus-without-execution",
        "Leaves the execution out of the answer to jobstatus.",
        "status.jobstatus-members",
        routes=_answering(_without_execution, JOBSTATUS),
    ),
    mutant(
        "action-without-context",
        "Answers GetMessageStatus without the OData context.",
        "status.odata-answer",
        routes=_answering(_without_context, MESSAGE_STATUS),
    ),
)
