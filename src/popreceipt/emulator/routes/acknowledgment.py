"""The acknowledgment: the answer of a dequeue comes back as the body ("API for acknowledgment").

What a client must send back at least, and how strictly it is read, is open; public clients send three members of six,
one of them changed.
"""

from typing import Any

from popreceipt.emulator import problems
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.bodies import NotJson, read_object
from popreceipt.emulator.deliveries import Acknowledgment
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.receipts import is_receipt
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import (
    CORRELATION_ID,
    DOWNLOAD_LOCATION,
    FILE_ERROR,
    FILE_EXISTS,
    LAST_DEQUEUE,
    POP_RECEIPT,
)

_MEMBERS = (CORRELATION_ID, POP_RECEIPT, DOWNLOAD_LOCATION, FILE_EXISTS, FILE_ERROR, LAST_DEQUEUE)

_IN_LOWER_CASE = {name: name.lower() for name in _MEMBERS}


def answer(call: Call, activity: Activity) -> Response:
    """Whether the message counts as received."""
    profile = call.emulator.profile
    try:
        body = read_object(call.request.body)
    except NotJson as problem:
        return problems.connector(int(profile.acknowledgment_incomplete_body), str(problem))
    if profile.acknowledgment_member_spelling == "400" and set(body) - set(_MEMBERS):
        return problems.connector(400, f"The members of the body are {', '.join(_MEMBERS)}.")
    members = {name.lower(): value for name, value in body.items()}
    for name in _needed(profile):
        if _IN_LOWER_CASE[name] not in members:
            return problems.connector(int(profile.acknowledgment_incomplete_body), f"The body lacks {name}.")
    correlation = _guid(members[_IN_LOWER_CASE[CORRELATION_ID]])
    receipt = members[_IN_LOWER_CASE[POP_RECEIPT]]
    if correlation is None or not isinstance(receipt, str) or not is_receipt(receipt):
        said = f"{CORRELATION_ID} must be a GUID, {POP_RECEIPT} the receipt of a dequeue."
        return problems.connector(int(profile.acknowledgment_incomplete_body), said)
    outcome = call.emulator.deliveries.acknowledge(activity, correlation, receipt, call.now)
    if outcome is Acknowledgment.ACCEPTED:
        return _accepted(profile)
    status, said = _refusal(outcome, profile)
    if status == 200:
        # Said to be fine, and nothing happened: one of the open answers to a stale or second acknowledgment.
        return _accepted(profile)
    return problems.connector(status, said)


def _needed(profile: Profile) -> tuple[str, ...]:
    if profile.acknowledgment_body_needed == "receipt":
        return (CORRELATION_ID, POP_RECEIPT)
    # A first delivery may have come without the date, so it cannot be asked for.
    return _MEMBERS[:-1] if profile.dequeue_blank_last_dequeue == "absent" else _MEMBERS


def _guid(value: Any) -> str | None:
    return read_guid(value) if isinstance(value, str) else None


def _accepted(profile: Profile) -> Response:
    match profile.acknowledgment_success_answer:
        case "200-json":
            return Response.of_json(200, {"Message": "Acknowledged."})
        case "204":
            return Response(204)
        case _:
            return Response(200)


def _refusal(outcome: Acknowledgment, profile: Profile) -> tuple[int, str]:
    """Status and sentence of each outcome that is no success."""
    status, said = {
        Acknowledgment.SECOND: (profile.acknowledgment_second, "The message was acknowledged before."),
        Acknowledgment.STALE: (profile.acknowledgment_stale_receipt, "The receipt is not that of the last dequeue."),
        Acknowledgment.LATE: ("500", "The receipt has expired."),
        Acknowledgment.WITHOUT_DOWNLOAD: ("500", "The file was not downloaded."),
        Acknowledgment.OTHER_ACTIVITY: (
            profile.acknowledgment_other_activity,
            "The message belongs to another activity.",
        ),
        Acknowledgment.UNKNOWN: ("404", "There is no such message."),
    }[outcome]
    return int(status), said
