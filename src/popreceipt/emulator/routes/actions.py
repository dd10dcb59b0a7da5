"""The OData actions of DataManagementDefinitionGroups: status of a message, execution of a message, errors, summary.

"Getting the status of a message", "Getting execution errors", and "Data management package REST API". They know no
activity, so only the token and the service gate are asked.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from popreceipt.emulator import problems
from popreceipt.emulator.bodies import NotJson, read_lenient_object
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.routes import gates
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.spellings import message_status
from popreceipt.vocabulary import ZERO_GUID

_ENTITY_SET: Final = "datamanagementdefinitiongroups"
_NAMESPACE: Final = "microsoft.dynamics.dataentities."


def answer(call: Call) -> Response | None:
    """The answer to an action; None when the path is not below `/data`."""
    words = call.words
    if not words or words[0] != "data":
        return None
    known = len(words) == 3 and words[1] == _ENTITY_SET and words[2].startswith(_NAMESPACE)
    name = words[2].removeprefix(_NAMESPACE) if known else ""
    if name not in _ACTIONS or (name == "getmessagestatus" and not call.emulator.profile.platform_update_12):
        return problems.odata(404, "No HTTP resource was found that matches the request URI.")
    if call.request.method != "POST":
        return _wrong_verb(call)
    if not gates.authenticate(call):
        return problems.odata(401, "Authentication failed.", gates.challenge(call))
    if not gates.passes_service_gate(call):
        if call.emulator.profile.authorization_service_gate == "401":
            return problems.odata(401, "Authorization has been denied for this request.", gates.challenge(call))
        return problems.odata(403, "Forbidden")
    member, action = _ACTIONS[name]
    try:
        argument = read_lenient_object(call.request.body).get(member)
    except NotJson as problem:
        return problems.odata(400, problems.OCCURRED, inner=str(problem))
    if not isinstance(argument, str):
        return problems.odata(400, problems.OCCURRED, inner=f"The parameter {member} must be given, as a string.")
    return action(call, argument)


def _wrong_verb(call: Call) -> Response:
    if call.emulator.profile.transport_wrong_verb == "404":
        return problems.odata(404, "No HTTP resource was found that matches the request URI.")
    said = f"The requested resource does not support http method '{call.request.method}'."
    return problems.odata(405, said, ("allow", "POST"))


def _value(call: Call, value: Any) -> Response:
    context = f"{call.emulator.base_url}/data/$metadata#Edm.String"
    made = Response.of_json(200, {"@odata.context": context, "value": value}, ("odata-version", "4.0"))
    return Response(200, (("content-type", problems.ODATA_JSON), *made.headers[1:]), made.body)


def _failed(action: str, reason: str) -> Response:
    inner = f"Exception occurred while executing action {action} on Entity DataManagementDefinitionGroup: {reason}"
    return problems.odata(400, problems.OCCURRED, inner=inner)


def _get_message_status(call: Call, argument: str) -> Response:
    profile = call.emulator.profile
    identifier = read_guid(argument)
    message = None if identifier is None else call.emulator.store.message(identifier)
    if message is not None:
        return _value(call, message_status(message, profile))
    if profile.status_unknown_message == "200-empty":
        return _value(call, "")
    return _failed("GetMessageStatus", f"Message with id '{argument[:80]}' was not found in the message table.")


def _get_execution_id(call: Call, argument: str) -> Response:
    identifier = read_guid(argument)
    if identifier is None:
        return _failed("GetExecutionIdByMessageId", f"'{argument[:80]}' is no GUID.")
    message = call.emulator.store.message(identifier)
    if message is not None and message.execution is not None:
        return _value(call, message.execution)
    match call.emulator.profile.execution_errors_unresolved:
        case "zero":
            return _value(call, ZERO_GUID)
        case "empty":
            return _value(call, "")
        case _:
            return _failed("GetExecutionIdByMessageId", f"There is no execution of message {identifier}.")


def _get_execution_errors(call: Call, argument: str) -> Response:
    profile = call.emulator.profile
    execution = _execution(call, argument)
    if execution is None and profile.execution_errors_unknown_execution == "400":
        return _failed("GetExecutionErrors", f"Execution details were not found for execution id: {argument[:80]}")
    listed = [
        {"RecordId": error.record, "Field": error.field, "ErrorMessage": error.text}
        for error in (execution.errors if execution is not None else ())
    ]
    return _value(call, _ERROR_FORMS[profile.execution_errors_value_form](listed))


def _malformed(listed: list[dict[str, str]]) -> str:
    """JSON as a public client has met it: quotes and line breaks of the messages are not escaped."""
    return "[" + ",".join("{" + ",".join(f'"{k}":"{v}"' for k, v in one.items()) + "}" for one in listed) + "]"


_ERROR_FORMS: Final[dict[str, Callable[[list[dict[str, str]]], Any]]] = {
    "string": lambda listed: json.dumps(listed, ensure_ascii=False, separators=(",", ":")),
    "array": lambda listed: listed,
    "malformed": _malformed,
}


def _get_execution_summary(call: Call, argument: str) -> Response:
    execution = _execution(call, argument)
    if execution is None:
        reason = f"Execution details were not found for execution id: {argument[:80]}"
        return _failed("GetExecutionSummaryStatus", reason)
    return _value(call, execution.summary)


def _execution(call: Call, argument: str) -> Execution | None:
    identifier = read_guid(argument)
    return None if identifier is None else call.emulator.store.execution(identifier)


_ACTIONS: Final[dict[str, tuple[str, Callable[[Call, str], Response]]]] = {
    "getmessagestatus": ("messageId", _get_message_status),
    "getexecutionidbymessageid": ("_messageId", _get_execution_id),
    "getexecutionerrors": ("executionId", _get_execution_errors),
    "getexecutionsummarystatus": ("executionId", _get_execution_summary),
}
"""Each action by its name in lower case: its one parameter, and what it does."""
