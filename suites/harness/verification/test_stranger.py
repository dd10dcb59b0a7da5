"""A server that shares nothing with the emulator is judged by what was promised: right while it is right."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STRANGER = Path(__file__).with_name("stranger.py")
VERIFY = [sys.executable, "-m", "popreceipt", "verify", "--suite", "conformance"]

CANNOT_SHOW = {
    "authorization.foreign-audience-refused": "its token endpoint issues none for another resource",
    "status.ninth-spelling": "its processing takes no time, so no message is seen being pre-processed",
    "ordering.packages": "its processing takes no time, so no two packages are seen in process",
    "batch.overrun": "its processing takes no time, so no run outlasts its recurrence",
}
"""What a right server of its kind leaves unexercised, and why."""

LACKS = ("export-recurrence",)
"""What it is not able to do: rules that need it say so, and nothing else of them."""

OTHERWISE = {
    "enqueue.entity-with-plus": "only %20 is a blank",
    "acknowledgment.three-members-suffice": "it wants the whole of what dequeue answered",
}
"""Where it differs on purpose from what public clients rely on and the documentation does not promise."""

CONVICTED = {
    "early-after-download": "redelivery.not-before-half-an-hour",
    "loses-a-waiting-message": "dequeue.waiting-message-is-offered",
    "refused-receipt-effective": "acknowledgment.refused-changes-nothing",
    "bad-record-ends-file": "processing.good-records-land",
    "in-order-reversed": "ordering.in-order-one-after-another",
    "filter-for-one-job": "processing.filter-shared",
    "map-not-applied": "processing.map-applied",
    "batch-status-frozen": "batch.status-after-fetch",
    "hidden-counts-as-waiting": "batch.samples-count-the-queue",
    "never-requeued": "batch.requeued-by-the-next-run",
}
"""Each defect that breaks a documented promise, and the rule that has to say so."""


@contextmanager
def stranger(*options: str) -> Iterator[str]:
    """The server in a process of its own, on a free port; SIGTERM ends it well."""
    process = subprocess.Popen([sys.executable, str(STRANGER), *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.terminate()
        status = process.wait(timeout=30)
        process.stdout.close()
    assert status == 0 or sys.platform == "win32"


def judged(folder: Path, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status of a run against it, and its verdicts by rule."""
    with stranger(*options) as base_url:
        command = [*VERIFY, "--target", base_url, "--out", str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads((folder / "verdicts.json").read_text())
    assert result["complete"], run.stdout + run.stderr
    return run.returncode, {each["id"]: each for each in result["rules"]}


def named(rules: dict[str, dict[str, Any]], outcome: str) -> set[str]:
    return {name for name, each in rules.items() if each["outcome"] == outcome}


def not_shown(rules: dict[str, dict[str, Any]]) -> set[str]:
    """What stayed unexercised for another reason than an ability that it lacks."""
    reasons = {name: rules[name]["reason"] for name in named(rules, "unexercised")}
    return {name for name, said in reasons.items() if not (" lacks " in said and any(each in said for each in LACKS))}


def test_a_right_server_is_found_right(tmp_path: Path) -> None:
    """Nothing documented is violated, nothing stays undecided, and all that it can show is exercised."""
    status, rules = judged(tmp_path)
    assert status == 0
    assert named(rules, "violated") == set(OTHERWISE)
    assert named(rules, "undecided") == set()
    assert not_shown(rules) == set(CANNOT_SHOW)


def test_searches_convict_nobody_who_is_right(tmp_path: Path) -> None:
    """Fuzzing, models and many callers at once find nothing documented that it breaks."""
    with stranger() as base_url:
        command = [sys.executable, "-m", "popreceipt", "verify", "--suite", "fuzz", "--suite", "lifecycle"]
        run = subprocess.run(
            [*command, "--target", base_url, "--out", str(tmp_path)], capture_output=True, text=True, check=False
        )
    result = json.loads((tmp_path / "verdicts.json").read_text())
    assert run.returncode == 0, run.stdout + run.stderr
    assert result["complete"]
    assert {each["check"] for each in result["failures"]} <= set(OTHERWISE)
    assert result["suites"]["fuzz"]["cases"] > 0
    assert set(result["suites"]) == {"fuzz", "histories", "lifecycle"}


def test_its_own_choices_are_answers(tmp_path: Path) -> None:
    """Where the documentation leaves a point open, what this server does is told, not held against it."""
    _, rules = judged(tmp_path)
    expected = {
        "dequeue.empty-queue": "200-empty",
        "redelivery.correlation": "fresh",
        "download.extends-lease": "yes",
        "download.location-activity": "not-named",
        "download.file-payload": "raw",
        "ordering.failed-message": "blocks",
        "authorization.job-gate": "403",
        "batch.status-before-fetch": "newest",
        "packages.element-order": "any",
    }
    assert {name: rules[name]["answer"] for name in expected} == expected


def test_a_download_may_lead_elsewhere(tmp_path: Path) -> None:
    """Where downloads redirect to another host, the file is fetched there, without a token, and all is judged."""
    status, rules = judged(tmp_path, "--redirects")
    assert status == 0
    assert rules["download.answer"]["answer"] == "redirect"
    assert rules["download.bytes-as-uploaded"]["outcome"] == "held"
    assert named(rules, "violated") == set(OTHERWISE)
    assert not_shown(rules) == {*CANNOT_SHOW, "download.content-type"}


@pytest.mark.parametrize("defect", CONVICTED)
def test_a_defect_is_convicted(tmp_path: Path, defect: str) -> None:
    """The rule whose promise the defect breaks is violated, and nothing that was well before is undecided."""
    status, rules = judged(tmp_path, "--defect", defect)
    assert status == 1
    assert CONVICTED[defect] in named(rules, "violated")
    assert named(rules, "undecided") == set()


def test_a_promise_that_is_not_documented_convicts_nobody(tmp_path: Path) -> None:
    """A replaced receipt that takes effect with a success breaks what should be, and is told as that."""
    status, rules = judged(tmp_path, "--defect", "stale-receipt-effective")
    assert status == 0
    assert "acknowledgment.stale-receipt-changes-nothing" in named(rules, "violated")
