"""The fault plan: which requests and which messages meet with a fault, by operation and position, never by chance.

It counts, chooses, and says as a value what becomes of an answer; whoever carries the answer does it (the server with a
socket, the in-process transport with the same failure as an exception). It knows no route and reads no plan's JSON.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import count
from typing import Any, Final

import msgspec

from popreceipt.emulator import problems
from popreceipt.emulator.http import Interruption, Response
from popreceipt.emulator.store import Store
from popreceipt.vocabulary import ACTIONS, TOKEN, operation_of

ANY: Final = "*"
"""The operation that stands for every request outside the control plane."""

PROCESSING: Final = "processing"
"""The operation that stands for the processing of an import's message."""

BEFORE: Final = "before"
AFTER: Final = "after"

# What a request can meet with.
STATUS: Final = "status"
RESET: Final = "reset"
TIMEOUT: Final = "timeout"
TRUNCATED: Final = "truncated"
SLOW: Final = "slow"

LATE: Final = "late"
"""What becomes of a request that is slow before its effect."""

DATE: Final = "date"
"""The form of a Retry-After that is an HTTP date, counted from the moment at which the fault strikes."""

# What a message can meet with.
POST_PROCESSING_FAILED: Final = "post-processing-failed"
STUCK: Final = "stuck"
DIES: Final = "dies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One planned fault.

    It strikes the matching requests (for `processing`: messages) number `position`, from 1, counted since it was
    planned, and those that follow until it has had `times` of them; all of them where `times` is None. `activity` None
    matches every activity. With the phase `before` nothing takes effect; with `after` the effect is there and the
    answer is lost or replaced. (A batch job that dies: before its message's records have landed, or after. What is slow
    before its effect is taken up late, and by then only for a caller that still waits.)
    """

    id: str
    operation: str
    kind: str
    activity: str | None = None
    position: int = 1
    times: int | None = 1
    phase: str | None = None
    status: int | None = None
    retry_after: int | str | None = None
    retry_after_form: str | None = None
    after_bytes: int | None = None
    seconds: float | None = None

    def matches(self, operation: str, activity: str | None) -> bool:
        """Whether a request, or a message's processing, counts for this fault."""
        if self.operation != operation and (self.operation != ANY or operation == PROCESSING):
            return False
        return self.activity is None or self.activity == activity

    def strikes_at(self, number: int) -> bool:
        """Whether it strikes the matching request of this number."""
        return number >= self.position and (self.times is None or number < self.position + self.times)


class _Planned(msgspec.Struct):
    """A fault, how many requests have matched it, and how many it has struck."""

    fault: Fault
    matched: int = 0
    hits: int = 0


class _Plan(msgspec.Struct):
    """All of them, and the number of the last ID that was made up."""

    planned: list[_Planned] = []
    last_number: int = 0


_plan_in = msgspec.json.Decoder(_Plan).decode

_SETTING: Final = "faults"


class FaultPlan:
    """What was planned, in the order of planning. Of several faults that are due at once the first strikes.

    It stands in the store, so that every process on it counts alike, and what is undone was not counted.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._text: str | None = None
        self._plan = _Plan()

    def __len__(self) -> int:
        return len(self._current().planned)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (asdict(each.fault) | {"hits": each.hits} for each in self._current().planned)

    def has(self, identifier: str) -> bool:
        """Whether a fault of this ID is planned."""
        return any(each.fault.id == identifier for each in self._current().planned)

    def new_id(self) -> str:
        """An ID that no fault of the plan has."""
        plan = self._held()
        taken = {each.fault.id for each in plan.planned}
        plan.last_number = next(one for one in count(plan.last_number + 1) if f"fault-{one}" not in taken)
        self._keep(plan)
        return f"fault-{plan.last_number}"

    def add(self, fault: Fault) -> dict[str, Any]:
        """Plan a fault and tell it as the plan lists it."""
        plan = self._held()
        plan.planned.append(_Planned(fault))
        self._keep(plan)
        return asdict(fault) | {"hits": 0}

    def clear(self) -> None:
        """Forget every fault. No ID is made up twice."""
        plan = self._held()
        if plan.planned:
            self._keep(_Plan(last_number=plan.last_number))

    def for_request(self, path: str) -> Fault | None:
        """The fault that a request to this path meets with. Each request is asked about once: it is counted."""
        return self._struck(*operation_of(path)) if self._current().planned else None

    def for_message(self, activity: str, kind: str) -> Fault | None:
        """The fault of this kind that a message of an import meets with. It is counted as well."""
        return self._struck(PROCESSING, activity, kind) if self._current().planned else None

    def _struck(self, operation: str, activity: str | None, kind: str | None = None) -> Fault | None:
        plan = self._held()
        matching = [
            each for each in plan.planned if each.fault.matches(operation, activity) and kind in {None, each.fault.kind}
        ]
        if not matching:
            return None
        due: _Planned | None = None
        for each in matching:
            each.matched += 1
            if due is None and each.fault.strikes_at(each.matched):
                due = each
        if due is not None:
            due.hits += 1
        self._keep(plan)
        return None if due is None else due.fault

    def _current(self) -> _Plan:
        """The plan as it is now, to be read."""
        text = self._store.setting(_SETTING)
        if text != self._text:
            self._text, self._plan = text, _plan_of(text)
        return self._plan

    def _held(self) -> _Plan:
        """The plan, to be changed: until the end of the unit of work nobody else changes it."""
        return _plan_of(self._store.held_setting(_SETTING))

    def _keep(self, plan: _Plan) -> None:
        self._store.put_setting(_SETTING, msgspec.json.encode(plan).decode("utf-8"))


def _plan_of(text: str | None) -> _Plan:
    return _Plan() if text is None else _plan_in(text)


def struck(fault: Fault, path: str, answer: Response | None, now: datetime) -> Response:
    """What leaves instead of the answer to a request (None where nothing took effect, so that there is none)."""
    if fault.kind == STATUS:
        return _replaced(fault, path, now)
    seconds = fault.seconds if fault.seconds is not None else 0.0
    if answer is None and fault.kind == SLOW:
        return Response(0, interruption=Interruption(LATE, seconds=seconds))
    if answer is None or fault.kind in {RESET, TIMEOUT}:
        return Response(0, interruption=Interruption(TIMEOUT if fault.kind == TIMEOUT else RESET, seconds=seconds))
    if fault.kind == SLOW:
        return msgspec.structs.replace(answer, interruption=Interruption(SLOW, seconds=seconds))
    if not answer.body:
        # There is nothing that could be cut short but the head, and half a head is no answer.
        return Response(0, interruption=Interruption(RESET))
    length = len(answer.body)
    kept = length // 2 if fault.after_bytes is None else min(fault.after_bytes, length - 1)
    headers = (*(each for each in answer.headers if each[0] != "content-length"), ("content-length", str(length)))
    return msgspec.structs.replace(answer, headers=headers, interruption=Interruption(TRUNCATED, after_bytes=kept))


def _replaced(fault: Fault, path: str, now: datetime) -> Response:
    status = fault.status or 500
    headers = () if fault.retry_after is None else (("retry-after", _retry_after(fault, now)),)
    operation, _ = operation_of(path)
    if operation == TOKEN:
        said = {"error": "temporarily_unavailable", "error_description": problems.OCCURRED}
        return Response.of_json(status, said, *headers)
    refuse = problems.odata if operation in ACTIONS.values() else problems.connector
    return refuse(status, problems.OCCURRED, *headers)


def _retry_after(fault: Fault, now: datetime) -> str:
    """The header as it is written. A date knows whole seconds only: it is never earlier than it should be."""
    if fault.retry_after_form != DATE or not isinstance(fault.retry_after, int):
        return str(fault.retry_after)
    later = now + timedelta(seconds=fault.retry_after)
    if later.microsecond:
        later = later.replace(microsecond=0) + timedelta(seconds=1)
    return format_datetime(later, usegmt=True)
