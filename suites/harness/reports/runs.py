"""Results of runs, made small: what a run leaves in a folder, with whatever a test wants in it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from popreceipt.journal import Header, Journal, Observation, Target
from popreceipt.rules import catalogue, find
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds, Finding, Level, Outcome, RuleVerdict, SuiteFailure, Verdicts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVITY = "6f1a4f2e-0000-4000-8000-000000000001"
HALF_HOUR = "redelivery.not-before-half-an-hour"
SHOULD = "enqueue.entity-with-plus"
STALE = "acknowledgment.stale-receipt"

MESSAGE = {
    "CorrelationId": "29bc00e5-24d9-453a-8bad-329d29de4c1e",
    "PopReceipt": "AgAAAAMAAAAAAAAAgCcpZv+p3AE=",
    "DownloadLocation": f"http://h/api/connector/download/{ACTIVITY}?correlation-id=29bc00e5",
    "IsDownLoadFileExist": True,
}


def journal(evil: str = "", *, lease_seconds: float | None = None) -> Journal:
    """An export, a delivery, its download, the same message 29:59 later, an acknowledgment and nothing more."""
    made = Journal(Header(target=Target(name="h"), clock="manual", rate=0, lease_seconds=lease_seconds))
    made.add(Observation("produced", NOW, {"activity": ACTIVITY, "uploaded": True, "records": 3}))
    again = timedelta(minutes=29, seconds=59)
    calls: list[tuple[timedelta, str, str, int, bytes]] = [
        (timedelta(0), "GET", "dequeue", 200, json.dumps(MESSAGE | {"FileDownLoadErrorMessage": evil}).encode()),
        (timedelta(seconds=1), "GET", "download", 200, b"PK\x03\x04" + b"\xff" * 40),
        (again, "GET", "dequeue", 200, json.dumps(MESSAGE).encode()),
        (again, "POST", "ack", 200, b""),
        (again, "GET", "dequeue", 204, b""),
    ]
    for at, method, operation, status, body in calls:
        made.record(
            sent=NOW + at,
            answered=NOW + at,
            method=method,
            url=f"http://h/api/connector/{operation}/{ACTIVITY}",
            request_headers=[("authorization", "Bearer secret"), ("x-odd", evil)],
            request_body=json.dumps(MESSAGE).encode() if method == "POST" else b"",
            status=status,
            response_headers=[("content-type", "application/json"), ("server", evil)],
            response_body=body,
            actor=f"authorised{evil}",
        )
    made.seal()
    return made


def verdict(rule: str | Rule, outcome: Outcome, findings: Iterable[Finding] = (), **more: Any) -> RuleVerdict:
    """A verdict on a rule that exists."""
    known = find(rule) if isinstance(rule, str) else rule
    return RuleVerdict(
        id=known.id,
        chapter=known.chapter,
        level=known.level,
        binds=known.binds,
        provenance=known.provenance,
        outcome=outcome,
        situations=0 if outcome is Outcome.UNEXERCISED else 3,
        findings=tuple(findings),
        **more,
    )


def verdicts(evil: str = "", **more: Any) -> Verdicts:
    """One rule of each outcome, the rest held, answered as usual, or not exercised for one of two reasons."""
    special = {
        HALF_HOUR: verdict(
            HALF_HOUR,
            Outcome.VIOLATED,
            [Finding(Outcome.VIOLATED, f"back after at most 0:29:59{evil}", (1, 3))] * 5,
            bundle="bundles/half-an-hour",
        ),
        SHOULD: verdict(SHOULD, Outcome.VIOLATED, [Finding(Outcome.VIOLATED, f"not understood{evil}", (2, 999))]),
        "redelivery.after-half-an-hour": verdict(
            "redelivery.after-half-an-hour",
            Outcome.UNDECIDED,
            [Finding(Outcome.UNDECIDED, f"cannot tell{evil}", (1, 5))],
        ),
        STALE: verdict(STALE, Outcome.ANSWERED, [Finding(Outcome.ANSWERED, "", (4,), "404")], answer=f"404{evil}"),
    }
    rules = []
    for each in catalogue(Binds.SERVICE):
        if each.id in special:
            rules.append(special[each.id])
        elif each.level is Level.ASK:
            rules.append(verdict(each, Outcome.ANSWERED, [Finding(Outcome.ANSWERED, "", (1,))], answer=each.answers[0]))
        elif each.chapter == "batch":
            rules.append(verdict(each, Outcome.UNEXERCISED, reason=f"tenant:qa lacks batch{evil}"))
        elif each.chapter == "cleanup":
            rules.append(verdict(each, Outcome.UNEXERCISED, reason="no situation for it arose"))
        else:
            rules.append(verdict(each, Outcome.HELD, [Finding(Outcome.HELD, f"kept{evil}", (1, 4))]))
    told: dict[str, Any] = {
        "rules": tuple(rules),
        "target": {"name": f"tenant:qa{evil}", "build": "10.0.1", "clock": "system", "abilities": ["user"]},
        "seed": 7,
        "duration_seconds": 3725.0,
        "notes": (f"Noted.{evil}",),
        "suites": {
            f"tour{evil}": {
                "requests": 12,
                "parked_until": "2026-01-09T06:00:03.250000Z",
                "steps": {f"step {number}": number for number in range(21)},
                "lines": {"dequeue": {"sent": 4, "most": 9}},
                "asked": {f"line {number}": number for number in range(12)},
                "states": [{"errand": "drain", "how": "parked", "why": evil}, {"errand": "ack", "how": "done"}],
            }
        },
        "failures": (
            SuiteFailure("conformance", "a scenario", HALF_HOUR, Level.MUST, "It holds.", f"broken{evil}", (1, 3)),
            SuiteFailure("fuzz", "dequeue", "no-server-fault", Level.MUST, f"No 5xx.{evil}", f"500{evil}", (3,)),
        ),
    }
    return Verdicts(**(told | more))


def leave(folder: Path, evil: str = "", *, kept: Journal | None = None, **more: Any) -> Path:
    """Write into a folder what a run leaves there; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = verdicts(evil, **more).as_json()
    (folder / "verdicts.json").write_text(json.dumps(content), encoding="utf-8")
    lines = (journal(evil) if kept is None else kept).lines()
    (folder / "journal.ndjson").write_bytes(b"".join(each + b"\n" for each in lines))
    return folder
