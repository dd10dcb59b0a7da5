"""Recordings of other origin, opened alike: a journal as it is, a HAR file as the exchanges in it."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from popreceipt.exceptions import UsageError
from popreceipt.journal import Entry, Exchange, Header, Journal, JournalFile, Target, instant


class HarFile:
    """A HAR file (HTTP Archive 1.2) as a journal: complete by nature, and without observations.

    Raises:
        UsageError: the file cannot be read or is no HAR.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = True
        self.damage: str | None = None
        try:
            archive = json.loads(path.read_bytes())
            entries = archive["log"]["entries"]
            self._journal = Journal(Header(target=Target(name=path.name)))
            for each in sorted(entries, key=lambda entry: str(entry["startedDateTime"])):
                _take(self._journal, each)
        except OSError as error:
            raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path} is no HAR file that can be read ({type(error).__name__}: {error}).") from error
        self.header = self._journal.header

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._journal.entries)


def open_recording(path: Path) -> JournalFile | HarFile:
    """Open a journal or a HAR file, whichever it is.

    Raises:
        UsageError: it is neither, or cannot be read.
    """
    if path.suffix.lower() == ".har":
        return HarFile(path)
    return JournalFile(path)


def _take(journal: Journal, entry: dict[str, Any]) -> Exchange:
    request, response = entry["request"], entry["response"]
    sent = instant(str(entry["startedDateTime"]))
    content = response.get("content", {})
    status = int(response["status"])
    return journal.record(
        sent=sent,
        answered=sent + timedelta(milliseconds=max(0.0, float(entry.get("time", 0)))),
        method=request["method"],
        url=request["url"],
        request_headers=_pairs(request.get("headers", [])),
        request_body=_posted(request.get("postData")),
        status=status or None,
        response_headers=_pairs(response.get("headers", [])),
        response_body=_content(content),
        # A browser or proxy writes status 0 where no answer came.
        failure=None if status else str(response.get("_error") or "no answer"),
    )


def _pairs(headers: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(each["name"], each["value"]) for each in headers]


def _posted(data: dict[str, Any] | None) -> bytes:
    if data is None:
        return b""
    text = str(data.get("text", ""))
    return base64.b64decode(text) if data.get("encoding") == "base64" else text.encode("utf-8")


def _content(content: dict[str, Any]) -> bytes:
    text = str(content.get("text", ""))
    return base64.b64decode(text) if content.get("encoding") == "base64" else text.encode("utf-8")
