"""Faults by plan, for the server that shares nothing with the emulator."""

from __future__ import annotations

import itertools
import re

import stranger_shapes as shapes
from stranger_shapes import Wrong

ACTIONS = {
    "GetMessageStatus": "message-status",
    "GetExecutionIdByMessageId": "execution-id",
    "GetExecutionErrors": "execution-errors",
    "GetExecutionSummaryStatus": "execution-summary",
}
CONNECTOR = ["enqueue", "dequeue", "ack", "jobstatus"]
OPERATIONS = ["*", "processing", "token", "download", *CONNECTOR, *ACTIONS.values()]
OF_REQUESTS = ["status", "reset", "timeout", "truncated", "slow"]
OF_MESSAGES = ["post-processing-failed", "stuck", "dies"]
SHAPE = {
    "id": shapes.maybe(shapes.name),
    "operation": shapes.one_of(*OPERATIONS),
    "activity": shapes.maybe(shapes.guid),
    "position": shapes.number(1),
    "times": shapes.maybe(shapes.number(1)),
    "phase": shapes.one_of("before", "after", None),
    "kind": shapes.one_of(*OF_REQUESTS, *OF_MESSAGES),
    "status": shapes.maybe(shapes.number(400, 599)),
    "retry_after": shapes.maybe(lambda value: shapes.text(value) or shapes.number(0)(value)),
    "after_bytes": shapes.maybe(shapes.number(0)),
    "seconds": shapes.maybe(lambda value: isinstance(value, (int, float)) and 0 <= value <= 3600),
}
BELONGS = {"status": "status", "retry_after": "status", "after_bytes": "truncated"}

Fault = dict[str, object]


class Plan:
    """The faults that are planned, and how often each was passed."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.passed: dict[str, int] = {}
        self.names = itertools.count(1)

    def add(self, given: object) -> Fault:
        """Plan a fault, what was left open filled in."""
        fault = {
            **dict.fromkeys(SHAPE),
            "position": 1,
            "times": 1,
            **shapes.check(given, SHAPE, ["operation", "kind"]),
            "hits": 0,
        }
        kind = fault["kind"]
        if (fault["operation"] == "processing") != (kind in OF_MESSAGES):
            raise Wrong("that cannot happen there")
        if any(fault[member] is not None and kind != owner for member, owner in BELONGS.items()):
            raise Wrong("a member belongs to another kind")
        if fault["seconds"] is not None and kind not in {"timeout", "slow"}:
            raise Wrong("only a timeout and a slow answer take seconds")
        if kind in {"truncated", "slow"} and fault["phase"] == "before":
            raise Wrong("there is nothing yet that could be sent")
        if kind in {"stuck", "post-processing-failed"} and fault["phase"] == "after":
            raise Wrong("that has no other phase")
        if kind == "status":
            fault["status"] = fault["status"] or 500
            if fault["phase"] == "after" and fault["status"] < 500:
                raise Wrong("what took effect is not denied")
        if kind not in {"stuck", "post-processing-failed"}:
            fault["phase"] = fault["phase"] or ("after" if kind in {"truncated", "slow"} else "before")
        if kind in {"timeout", "slow"} and fault["seconds"] is None:
            fault["seconds"] = 60 if kind == "timeout" else 1
        fault["id"] = fault["id"] or f"fault number {next(self.names)}"
        if fault["id"] in self.passed:
            raise Wrong("there is one of that name")
        if fault["activity"]:
            fault["activity"] = shapes.GUID.fullmatch(fault["activity"])[1].lower()
        self.passed[fault["id"]] = 0
        self.faults.append(fault)
        return fault

    def clear(self) -> None:
        self.faults, self.passed = [], {}

    def struck(self, operation: str, activity: str | None, kinds: list[str]) -> Fault | None:
        """The fault that strikes now, of these kinds; every one that is asked counts one more."""
        first = None
        for fault in self.faults:
            if fault["kind"] not in kinds or fault["operation"] not in {operation, "*"}:
                continue
            if fault["activity"] not in {None, activity}:
                continue
            self.passed[fault["id"]] += 1
            place = self.passed[fault["id"]] - fault["position"]
            if first is None and place >= 0 and (fault["times"] is None or place < fault["times"]):
                first = fault
        if first is not None:
            first["hits"] += 1
        return first


def operation_of(path: str) -> str:
    """What a path asks for, in the journal's words."""
    if path.startswith(("/files/", "/blobs/")):
        return "download"
    if path.startswith("/sign-in/"):
        return "token"
    if path.startswith("/data/"):
        return ACTIONS.get(path.rpartition(".")[2], "other")
    found = re.search(r"/api/connector/(\w+)/", path)
    return found[1] if found and found[1] in CONNECTOR else "other"
