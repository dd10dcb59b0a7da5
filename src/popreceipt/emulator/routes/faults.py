"""The calls of the control plane about planned faults, and what a plan may say.

Each member is read by name, then the members are held against one another: a plan that could never do what it says is
refused with a sentence, not kept.
"""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from popreceipt.emulator import faults
from popreceipt.emulator.activity import IMPORT
from popreceipt.emulator.bodies import read_object
from popreceipt.emulator.faults import Fault, FaultPlan
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.routes.settings import Reader, Refused, activity_name, one_of, or_null, read, whole
from popreceipt.vocabulary import ACK, DEQUEUE, DOWNLOAD, ENQUEUE, JOBSTATUS, OPERATIONS, OTHER

MOST_FAULTS: Final = 1_000
MOST_REQUESTS: Final = 1_000_000_000
LONGEST_SECONDS: Final = 3_600
MOST_BYTES: Final = 1_000_000_000

TIMEOUT_SECONDS: Final = 60.0
"""How long a time-out keeps silent unless told: longer than most clients wait."""

SLOW_SECONDS: Final = 1.0
"""How long a slow answer takes unless told."""


def listed(call: Call, _: tuple[str, ...]) -> Response:
    """GET: the plan with its hits."""
    return Response.of_json(200, list(call.emulator.fault_plan))


def planned(call: Call, _: tuple[str, ...]) -> Response:
    """POST: one more fault."""
    emulator = call.emulator
    fault = _fault(call, read(read_object(call.request.body), _MEMBERS, "operation", "kind"))
    made = emulator.fault_plan.add(fault)
    emulator.note("fault-planned", planned=made)
    return Response.of_json(201, made)


def cleared(call: Call, _: tuple[str, ...]) -> Response:
    """DELETE: an empty plan."""
    call.emulator.fault_plan.clear()
    call.emulator.note("faults-cleared")
    return Response(204)


def _fault(call: Call, asked: Mapping[str, Any]) -> Fault:
    """The fault that a plan asks for, what it leaves open filled in.

    Raises:
        Refused: its members do not go together.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    operation, kind = given["operation"], given["kind"]
    _refuse_unfitting(operation, kind, given)
    given["id"] = _identifier(call.emulator.fault_plan, given.get("id"))
    if (activity := given.get("activity")) is not None:
        _refuse_unknown_activity(call, operation, activity)
    if operation != faults.PROCESSING or kind == faults.DIES:
        given.setdefault("phase", faults.AFTER if kind in _OF_AN_ANSWER else faults.BEFORE)
    if kind in _USUAL:
        member, usual = _USUAL[kind]
        given.setdefault(member, usual)
    if kind == faults.STATUS and given["phase"] == faults.AFTER and given["status"] < 500:
        raise Refused("After its effect a request is answered with a status from 500 on: a lower one would deny it.")
    if "times" in asked:
        given["times"] = asked["times"]
    return Fault(**given)


def _refuse_unfitting(operation: str, kind: str, given: Mapping[str, Any]) -> None:
    if (operation == faults.PROCESSING) != (kind in _OF_A_MESSAGE):
        fitting = _OF_A_MESSAGE if operation == faults.PROCESSING else _OF_A_REQUEST
        raise Refused(f"The kind of a fault of {operation} is one of {', '.join(fitting)}, not {kind}.")
    for member, kinds in _MEANT_FOR.items():
        if member in given and kind not in kinds:
            raise Refused(f"The member {member} is meant for the kind {' or '.join(kinds)}, not for {kind}.")
    if kind == faults.TRUNCATED and given.get("phase") == faults.BEFORE:
        raise Refused(f"There is an answer that can be {kind} only after the effect: the phase is after, not before.")
    if given.get("retry_after_form") == faults.DATE and not isinstance(given.get("retry_after"), int):
        raise Refused("A Retry-After in the form date is counted from now: retry_after says how many seconds.")
    if given.get("activity") is not None and operation not in _OF_AN_ACTIVITY:
        raise Refused(f"A request of the operation {operation} names no activity: leave the member activity out.")


def _refuse_unknown_activity(call: Call, operation: str, identifier: str) -> None:
    activity = call.emulator.store.activity(identifier)
    if activity is None:
        raise Refused(f"There is no activity {identifier}.")
    if operation == faults.PROCESSING and activity.direction != IMPORT:
        raise Refused(f"The activity {identifier} is an {activity.direction}; only an import processes messages.")


def _identifier(plan: FaultPlan, asked: str | None) -> str:
    if len(plan) >= MOST_FAULTS:
        raise Refused(f"There are {MOST_FAULTS} faults planned already, and there may be no more; DELETE clears them.")
    if asked is None:
        return plan.new_id()
    if plan.has(asked):
        raise Refused(f"There is a fault of the id {asked!r:.80} already.")
    return asked


def _activity_id(name: str, value: Any) -> str:
    identifier = read_guid(value) if isinstance(value, str) else None
    if identifier is None:
        raise Refused(f"{name} is a GUID or null, not {value!r:.80}.")
    return identifier


def _retry_after(name: str, value: Any) -> int | str:
    """Seconds, or an HTTP date (RFC 9110, section 10.2.3)."""
    if not isinstance(value, str):
        return int(whole(0, MOST_REQUESTS)(name, value))
    try:
        parsedate_to_datetime(value)
    except ValueError as error:
        raise Refused(f"{name} is whole seconds or an HTTP date, not {value!r:.80}.") from error
    if not value.isascii() or not value.isprintable():
        raise Refused(f"{name} is whole seconds or an HTTP date in ASCII, not {value!r:.80}.")
    return value


def _seconds(name: str, value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= LONGEST_SECONDS:
        raise Refused(f"{name} is a number from 0 to {LONGEST_SECONDS}, not {value!r:.80}.")
    return float(value)


_OF_A_REQUEST: Final = (faults.STATUS, faults.RESET, faults.TIMEOUT, faults.TRUNCATED, faults.SLOW)
_OF_AN_ANSWER: Final = (faults.TRUNCATED, faults.SLOW)
_OF_A_MESSAGE: Final = (faults.POST_PROCESSING_FAILED, faults.STUCK, faults.DIES)
_OF_AN_ACTIVITY: Final = (ENQUEUE, DEQUEUE, DOWNLOAD, ACK, JOBSTATUS, faults.PROCESSING, faults.ANY)

_MEANT_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "phase": (*_OF_A_REQUEST, faults.DIES),
    "status": (faults.STATUS,),
    "retry_after": (faults.STATUS,),
    "retry_after_form": (faults.STATUS,),
    "after_bytes": (faults.TRUNCATED,),
    "seconds": (faults.TIMEOUT, faults.SLOW),
}

_USUAL: Final[Mapping[str, tuple[str, float]]] = {
    faults.STATUS: ("status", 500),
    faults.TIMEOUT: ("seconds", TIMEOUT_SECONDS),
    faults.SLOW: ("seconds", SLOW_SECONDS),
}

_MEMBERS: Final[Mapping[str, Reader]] = {
    "id": or_null(activity_name),
    "operation": one_of(*(each for each in OPERATIONS if each != OTHER), faults.PROCESSING, faults.ANY),
    "activity": or_null(_activity_id),
    "position": whole(1, MOST_REQUESTS),
    "times": or_null(whole(1, MOST_REQUESTS)),
    "phase": or_null(one_of(faults.BEFORE, faults.AFTER)),
    "kind": one_of(*_OF_A_REQUEST, *_OF_A_MESSAGE),
    "status": or_null(whole(400, 599)),
    "retry_after": or_null(_retry_after),
    "retry_after_form": or_null(one_of("seconds", faults.DATE)),
    "after_bytes": or_null(whole(0, MOST_BYTES)),
    "seconds": or_null(_seconds),
}
