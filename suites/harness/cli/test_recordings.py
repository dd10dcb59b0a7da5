"""Recordings of other origin: HAR files are judged like journals."""

import json
from pathlib import Path
from typing import Any

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange
from popreceipt.recordings import open_recording
from popreceipt.rules import find
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Outcome, judge

ACTIVITY = "6f1a4f2e-0000-4000-8000-000000000001"


def entry(started: str, method: str, url: str, status: int, text: str, **request: Any) -> dict[str, Any]:
    """One entry as browsers and proxies write it."""
    return {
        "startedDateTime": started,
        "time": 12.5,
        "request": {
            "method": method,
            "url": url,
            "headers": [{"name": "Authorization", "value": "Bearer abc"}],
            **request,
        },
        "response": {"status": status, "headers": [], "content": {"text": text, "mimeType": "application/json"}},
    }


def archive(path: Path, *entries: dict[str, Any]) -> Path:
    """A HAR file of these entries."""
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": list(entries)}}), encoding="utf-8")
    return path


def delivery(last: str | None) -> str:
    """The answer to a dequeue."""
    location = f"https://qa.example/api/connector/download/{ACTIVITY}?correlation-id=1&blob=2"
    return json.dumps(
        {"CorrelationId": "1", "PopReceipt": "r", "DownloadLocation": location, "LastDequeueDateTime": last}
    )


def test_a_har_file_is_judged(tmp_path: Path) -> None:
    """A message that came back after a minute convicts, also when a browser recorded it."""
    dequeue = f"https://qa.example/api/connector/dequeue/{ACTIVITY}"
    download = f"https://qa.example/api/connector/download/{ACTIVITY}?correlation-id=1&blob=2"
    path = archive(
        tmp_path / "traffic.har",
        entry("2026-03-01T10:01:00.000Z", "GET", dequeue, 200, delivery("2026-03-01T10:00:00Z")),
        entry("2026-03-01T10:00:00.000Z", "GET", dequeue, 200, delivery(None)),
        entry("2026-03-01T10:00:01.000Z", "GET", download, 200, "PK"),
    )
    recording = open_recording(path)
    (verdict,) = judge(Readings(recording.header, recording), [find("redelivery.not-before-half-an-hour")])
    assert verdict.outcome is Outcome.VIOLATED


def test_secrets_of_a_har_file_do_not_enter(tmp_path: Path) -> None:
    """Bearer tokens are replaced by their digest."""
    path = archive(tmp_path / "t.har", entry("2026-03-01T10:00:00Z", "GET", "https://qa.example/", 0, ""))
    (exchange,) = list(open_recording(path))
    assert isinstance(exchange, Exchange)
    assert exchange.response is None
    assert dict(exchange.request.headers)["authorization"].startswith("Bearer redacted:")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"log": {"entries": [{}]}}', '{"log": {"entries": [1]}}'])
def test_a_har_file_that_is_none(content: str, tmp_path: Path) -> None:
    """One sentence that names the file."""
    path = tmp_path / "broken.har"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"broken\.har"):
        open_recording(path)
