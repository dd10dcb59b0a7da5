"""jobstatus: a message's state and how its execution went.

The article does not mention it; members and dates follow the contracts of public clients
(microsoft/Recurring-Integrations-Scheduler, microsoft/Dynamics-AX-Integration) and a capture in an issue of the latter.
"""

from datetime import datetime
from typing import Any

from popreceipt.emulator import problems
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import EntityRun, Execution
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.message import Message
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.spellings import job_state

_NO_DATE = "0001-01-01T00:00:00"


def answer(call: Call, activity: Activity) -> Response:
    """The state of the message that `jobId` names."""
    store = call.emulator.store
    spelled = call.request.parameters().get("jobid")
    if not spelled:
        return problems.connector(400, "The parameter jobId is missing.")
    identifier = read_guid(spelled)
    message = None if identifier is None else store.message(identifier)
    if message is None or message.activity != activity.id:
        if call.emulator.profile.status_jobstatus_unknown == "404":
            return problems.connector(404, f"The activity has no message {spelled[:80]!r}.")
        return Response.of_json(200, {"DataJobStatus": None, "ExecutionLog": "", "ExecutionDetail": None})
    execution = None if message.execution is None else store.execution(message.execution)
    return Response.of_json(
        200,
        {
            "DataJobStatus": _status(call, activity, message),
            "ExecutionLog": (message.problem or "") if execution is None else execution.log(),
            "ExecutionDetail": None if execution is None else _detail(execution),
        },
    )


def _status(call: Call, activity: Activity, message: Message) -> dict[str, Any]:
    project = call.emulator.store.project(activity.project)
    return {
        "DataProject": activity.name if project is None else project.name,
        "DataJobIdentifier": message.id,
        "ExternalIdentifier": message.external_identifier or "",
        "ExecutionIdentifier": message.execution or "",
        "DataJobStartedDateTime": _date(message.started),
        "DataJobCompletedDateTime": _date(message.completed),
        "DataJobState": job_state(message, call.emulator.profile),
    }


def _detail(execution: Execution) -> list[dict[str, Any]]:
    # Where pre-processing sticks, nothing is known of any entity but that it should be run.
    runs = execution.runs or (EntityRun(entity=execution.entity, staging_state="Executing", target_state="Waiting"),)
    return [
        {
            "EntityName": run.entity,
            "Company": execution.company,
            "StagingRecords": run.staging,
            "StagingErrorCount": run.staging_errors,
            "StagingStatus": run.staging_state,
            "TargetRecords": run.target,
            "TargetErrorCount": run.target_errors,
            "TargetStatus": run.target_state,
            "TotalRecords": run.total,
            "ExecutionStartedDateTime": _date(run.started or execution.started),
            "ExecutionCompletedDateTime": _date(run.completed),
        }
        for run in runs
    ]


def _date(instant: datetime | None) -> str:
    """As in the capture: seconds, no zone; the least date where there is none, since clients expect one."""
    return _NO_DATE if instant is None else instant.strftime("%Y-%m-%dT%H:%M:%S")
