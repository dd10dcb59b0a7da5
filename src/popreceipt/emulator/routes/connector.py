"""The connector: enqueue, dequeue, download, acknowledgment, jobstatus.

Paths are taken in any letter case, with or without a language segment before `api`, the activity bare or in braces
("API for import (enqueue)", "API for export (dequeue)", "API for acknowledgment"). The order of the checks: token,
service gate, a well-formed activity, a known one, job gate, direction, and only then the call itself.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote, unquote_plus

from popreceipt.emulator import problems
from popreceipt.emulator.activity import EXPORT, FILE, IMPORT, Activity
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import JSON, Response
from popreceipt.emulator.routes import acknowledgment, dequeue, download, gates, jobstatus
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import ACK, DEQUEUE, DOWNLOAD, ENQUEUE, EXTERNAL_IDENTIFIER, JOBSTATUS

Operation = Callable[[Call, Activity], Response]

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


def answer(call: Call) -> Response | None:
    """The answer to a connector call; None when the path is no connector route."""
    words = call.words
    if words and words[0] != "api" and _LANGUAGE.fullmatch(words[0]):
        words = words[1:]
    if words[:2] != ("api", "connector"):
        return None
    if call.emulator.profile.on_premises:
        return Response(302, (("location", f"{call.emulator.base_url}/"),))
    if len(words) != 4 or words[2] not in _OPERATIONS:
        return problems.connector(404, "No HTTP resource was found that matches the request URI.")
    verb, direction, operation = _OPERATIONS[words[2]]
    if call.request.method != verb:
        return wrong_verb(call, verb)
    activity = _admitted(call, words[3], direction)
    return activity if isinstance(activity, Response) else operation(call, activity)


def wrong_verb(call: Call, allowed: str) -> Response:
    """The refusal of a verb that a route does not have."""
    if call.emulator.profile.transport_wrong_verb == "404":
        return problems.connector(404, "No HTTP resource was found that matches the request URI.")
    said = f"The requested resource does not support http method '{call.request.method}'."
    return problems.connector(405, said, ("allow", allowed))


def _admitted(call: Call, spelled: str, direction: str | None) -> Activity | Response:
    profile = call.emulator.profile
    if not gates.authenticate(call):
        return problems.connector(401, "Authentication failed.", gates.challenge(call))
    if not gates.passes_service_gate(call):
        return _unauthorised(call, profile.authorization_service_gate)
    activity = call.emulator.store.activity(spelled) or _spelled_otherwise(call, spelled)
    if isinstance(activity, Response):
        return activity
    if not gates.passes_job_gate(call, activity):
        return _unauthorised(call, profile.authorization_job_gate)
    if profile.throttling_connector == "429":
        seconds = call.emulator.throttle.wait(activity.id, call.now)
        if seconds is not None:
            return problems.connector(429, "Too many requests.", ("retry-after", str(seconds)))
    if direction is not None and activity.direction != direction:
        return _wrong_direction(call, activity)
    return activity


def _spelled_otherwise(call: Call, spelled: str) -> Activity | Response:
    """The activity of an ID that is not spelled as the emulator keeps it, in braces say."""
    profile = call.emulator.profile
    identifier = read_guid(spelled)
    if identifier is None:
        status = int(profile.transport_malformed_activity)
        return problems.connector(status, f"The activity ID {spelled[:80]!r} is no GUID.")
    activity = call.emulator.store.activity(identifier)
    if activity is None:
        return problems.connector(int(profile.transport_unknown_activity), f"There is no activity {identifier}.")
    return activity


def _unauthorised(call: Call, status: str) -> Response:
    if status == "401":
        return problems.connector(401, "Authorization has been denied for this request.", gates.challenge(call))
    return problems.connector(403, "Forbidden")


def _wrong_direction(call: Call, activity: Activity) -> Response:
    status = call.emulator.profile.transport_wrong_direction
    if status == "204":
        if call.words[-2] == DEQUEUE:
            return Response(204)
        status = "400"
    return problems.connector(int(status), f"The activity {activity.id} is an {activity.direction}.")


def _enqueue(call: Call, activity: Activity) -> Response:
    profile = call.emulator.profile
    request = call.request
    if profile.enqueue_chunked == "411" and "chunked" in (request.header("transfer-encoding") or "").lower():
        return problems.connector(411, "A request must state its length.")
    if profile.enqueue_gzip == "415" and (request.header("content-encoding") or "identity").lower() != "identity":
        return problems.connector(415, "The content encoding is not supported.")
    parameters = _parameters(call)
    entity = parameters.get("entity") or None
    if profile.processing_missing_entity == "400" and activity.type == FILE and not (entity or "").strip():
        return problems.connector(400, "The parameter entity is missing.")
    if profile.processing_empty_body == "400" and not request.body:
        return problems.connector(400, "The request has no body.")
    message = call.emulator.batch.enqueue(
        activity,
        request.body,
        call.now,
        entity=entity,
        company=parameters.get("company") or None,
        external_identifier=request.header(EXTERNAL_IDENTIFIER),
    )
    content_type = JSON if profile.enqueue_content_type == "json" else "text/plain; charset=utf-8"
    written = _MESSAGE_ID_FORMS[profile.enqueue_message_id_form](message.id)
    return Response(200, (("content-type", content_type),), written.encode("ascii"))


_MESSAGE_ID_FORMS: Final[dict[str, Callable[[str], str]]] = {
    "quoted": lambda identifier: f'"{identifier}"',
    "bare": lambda identifier: identifier,
    "object": lambda identifier: f'{{"value":"{identifier}"}}',
    "braces": lambda identifier: f'"{{{identifier}}}"',
    "upper-case": lambda identifier: f'"{identifier.upper()}"',
}


def _parameters(call: Call) -> Mapping[str, str]:
    """The query's parameters, decoded as the profile says."""
    if call.emulator.profile.enqueue_entity_encoding == "both":
        return call.request.parameters()
    found: dict[str, str] = {}
    for part in call.request.query.split("&"):
        name, _, value = part.partition("=")
        if name:
            found.setdefault(unquote_plus(name).lower(), unquote(value))
    return found


_OPERATIONS: Final[dict[str, tuple[str, str | None, Operation]]] = {
    ENQUEUE: ("POST", IMPORT, _enqueue),
    DEQUEUE: ("GET", EXPORT, dequeue.answer),
    DOWNLOAD: ("GET", EXPORT, download.answer),
    ACK: ("POST", EXPORT, acknowledgment.answer),
    JOBSTATUS: ("GET", None, jobstatus.answer),
}
"""Each operation: its verb, the direction of the activities that have it (None for both), and what it does."""
