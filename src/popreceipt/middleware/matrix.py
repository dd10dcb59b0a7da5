"""The lost-response matrix: each operation meets with each kind of fault, before its effect and after it.

Sixty scenarios, made here and none by hand. They differ in the fault alone, so that a grid of them shows at a glance
what a subject survives. A response that was lost after its effect is what a client cannot tell from a request that
never arrived; the article asks for a second try where it is the acknowledgment's ("API for acknowledgment").
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from popreceipt.middleware.scenario import EXPORT, IMPORT, Exported, Imported, Scenario

OPERATIONS: Final = ("token", "enqueue", "dequeue", "download", "ack", "status")
PHASES: Final = ("before", "after")
KINDS: Final = ("reset", "timeout", "status", "truncated", "slow")

PREFIX: Final = "lost"
"""What the names of these scenarios begin with."""

SILENCE: Final = 0.5
"""Leases of silence where an answer times out; a client that waits longer sees its connection closed."""

SLOWNESS: Final = 0.3
"""Leases that a slow answer takes."""

LEASES: Final = 5.0

FAILURE: Final = 503
"""The status in place of an answer: a gateway's or a server's, of the sort that passes."""

_IMPORTS: Final = frozenset({"enqueue", "status"})

_POSITIONS: Final[Mapping[str, int]] = {"token": 1, "status": 1}
"""Which request is struck, where it is not the second: a subject may ask for one token only, and for one status."""

_ASKED: Final[Mapping[str, str]] = {
    "token": "The first request for a token",
    "enqueue": "The second enqueue",
    "dequeue": "The second dequeue",
    "download": "The second download",
    "ack": "The second acknowledgment",
    "status": "The first question for a status",
}

_MEETS: Final[Mapping[tuple[str, str], str]] = {
    ("reset", "before"): "is cut off by a reset before it takes effect",
    ("reset", "after"): "takes effect, and a reset takes the answer away",
    ("timeout", "before"): "is met with silence and takes no effect",
    ("timeout", "after"): "takes effect, and silence takes the place of the answer",
    ("status", "before"): f"is refused with {FAILURE} and takes no effect",
    ("status", "after"): f"takes effect and is answered with {FAILURE}",
    ("truncated", "before"): "is cut off before it takes effect; without an answer there is none to cut short, so the"
    " connection is reset",
    ("truncated", "after"): "takes effect, and only half of the answer arrives",
    ("slow", "before"): "takes effect late, and only if the client still waits",
    ("slow", "after"): "takes effect, and the answer arrives little by little",
}

_SOURCES: Final[Mapping[str, str]] = {
    "token": "microsoft/Recurring-Integrations-Scheduler, issues 54 and 142: one failure of a gateway stopped it",
    "enqueue": "microsoft/Recurring-Integrations-Scheduler, issues 89 and 157: uploads that failed once",
    "dequeue": "microsoft/Recurring-Integrations-Scheduler, issues 54 and 142: 502 on a dequeue every few days",
    "download": "microsoft/Recurring-Integrations-Scheduler, issue 155; d365collaborative/d365fo.integrations: a first"
    " download that fails",
    "ack": 'Recurring integrations, "API for acknowledgment": a failed acknowledgment is to be sent again',
    "status": "microsoft/Recurring-Integrations-Scheduler, issues 139 and 140: questions for a status that fail",
}

_SHOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "ack": ("acknowledgment.retried",),
    "download": ("download.tried-again",),
    "enqueue": ("enqueue.every-file-handed-in",),
}


@cache
def matrix() -> tuple[Scenario, ...]:
    """All sixty, by operation, phase and kind."""
    return tuple(_scenario(operation, phase, kind) for operation in OPERATIONS for phase in PHASES for kind in KINDS)


def cell_of(scenario: Scenario) -> tuple[str, str, str] | None:
    """Operation, phase and kind of a scenario of the matrix; None for any other."""
    prefix, _, rest = scenario.name.partition(".")
    words = tuple(rest.split("."))
    return (words[0], words[1], words[2]) if prefix == PREFIX and len(words) == 3 else None


def _scenario(operation: str, phase: str, kind: str) -> Scenario:
    is_import = operation in _IMPORTS
    shows = ("transport.passing-fault-outlived", *_SHOWS.get(operation, ())) if kind != "slow" else ()
    if operation == "enqueue" and phase == "after" and kind not in ("slow", "status"):
        shows += ("enqueue.no-blind-resend",)
    return Scenario(
        name=f"{PREFIX}.{operation}.{phase}.{kind}",
        title=f"{_ASKED[operation]} {_MEETS[kind, phase]}.",
        source=_SOURCES[operation],
        sides=(IMPORT,) if is_import else (EXPORT,),
        leases=LEASES,
        export=None if is_import else Exported(),
        imports=Imported() if is_import else None,
        faults=(_fault(operation, phase, kind),),
        shows=shows,
    )


def _fault(operation: str, phase: str, kind: str) -> Mapping[str, Any]:
    fault: dict[str, Any] = {"operation": operation, "kind": kind, "phase": phase}
    fault["position"] = _POSITIONS.get(operation, 2)
    match kind:
        case "status":
            fault["status"] = FAILURE
        case "timeout":
            fault["leases"] = SILENCE
        case "slow":
            fault["leases"] = SLOWNESS
        case "truncated" if phase == "before":
            fault["kind"] = "reset"
    return fault
