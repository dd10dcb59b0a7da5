"""Recordings of other origin, opened alike: a journal as it is, a HAR file as the exchanges in it.

An archive may lack bodies, or hold bytes that were taken for text. A file is then known by its length alone; where the
words themselves are needed (the answer to a dequeue, an acknowledgment) such an archive cannot be judged, and says so.
"""

import base64
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from popreceipt.exceptions import UsageError
from popreceipt.journal import Body, Entry, Header, Journal, JournalFile, Target, instant
from popreceipt.vocabulary import ACK, DEQUEUE, DOWNLOAD, ENQUEUE, operation_of


class HarFile:
    """A HAR file (HTTP Archive 1.2) as a journal: complete by nature, and without observations.

    Raises:
        UsageError: the file cannot be read, is no HAR, or lacks bodies that have to be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = True
        self.damage: str | None = None
        try:
            archive = json.loads(path.read_bytes())
            entries = archive["log"]["entries"]
            self._journal = Journal(Header(target=Target(name=path.name)))
            for each in sorted(entries, key=lambda entry: instant(str(entry["startedDateTime"]))):
                lacking = _take(self._journal, each)
                if lacking is not None:
                    raise UsageError(
                        f"{path} cannot be judged: it lacks {lacking} of {each['startedDateTime']}. "
                        "Save it once more, with content."
                    )
        except OSError as error:
            raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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


REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""What stands in the place of bytes that were lost."""

NOT_RECORDED: Final = "not recorded"
"""The journal's word for an answer whose body the archive lacks."""

_DIGEST: Final = re.compile(r"(\d+) bytes, SHA-256 ([0-9a-f]{64})")
"""What stands beside a body that was too long for an archive of our own making."""


def _take(journal: Journal, entry: dict[str, Any]) -> str | None:
    """Take in one entry; what it lacks, where that cannot be done without."""
    request, response = entry["request"], entry["response"]
    sent = instant(str(entry["startedDateTime"]))
    content = response.get("content") or {}
    status = int(response["status"])
    is_file = operation_of(urlsplit(str(request["url"])).path)[0] in {ENQUEUE, DOWNLOAD}
    asked, said = _posted(request, exact=is_file), _content(content, exact=is_file)
    exchange = journal.record(
        sent=sent,
        answered=sent + timedelta(milliseconds=max(0.0, float(entry.get("time", 0)))),
        method=request["method"],
        url=request["url"],
        request_headers=_pairs(request.get("headers", [])),
        request_body=asked if isinstance(asked, bytes) else b"",
        status=status or None,
        response_headers=_pairs(response.get("headers", [])),
        response_body=said if isinstance(said, bytes) else b"",
        # A browser or proxy writes status 0 where no answer came, and _error beside an answer that did not come whole.
        failure=str(response.get("_error") or "no answer") if not status or response.get("_error") else None,
    )
    if isinstance(asked, Body):
        if exchange.operation == ACK and asked.sha256 is None:
            return "the body of an acknowledgment"
        if exchange.operation in {ACK, ENQUEUE}:
            exchange = msgspec.structs.replace(exchange, request=msgspec.structs.replace(exchange.request, body=asked))
    if isinstance(said, Body) and exchange.response is not None:
        if exchange.operation == DEQUEUE and 200 <= status < 300 and exchange.failure is None:
            return "the answer to a dequeue"
        answer = msgspec.structs.replace(exchange.response, body=said)
        known = exchange.operation == DOWNLOAD or said.sha256 is not None
        exchange = msgspec.structs.replace(
            exchange, response=answer, failure=exchange.failure or (None if known else NOT_RECORDED)
        )
    journal.entries[-1] = exchange
    return None


def _pairs(headers: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(each["name"], each["value"]) for each in headers]


def _posted(request: dict[str, Any], *, exact: bool) -> bytes | Body:
    """A request's body, or what is known of it."""
    data = request.get("postData") or {}
    if data.get("encoding") == "base64":
        return base64.b64decode(str(data.get("text", "")))
    length = _announced(request)
    if not data.get("text") and data.get("params"):
        return urlencode([(each["name"], each.get("value", "")) for each in data["params"]]).encode("ascii")
    return _bytes_of(data, length, exact=exact)


def _announced(request: dict[str, Any]) -> int | None:
    """How long a request's body was: as its header says, or as the archive counted."""
    for name, value in _pairs(request.get("headers", [])):
        if name.lower() == "content-length" and value.strip().isdecimal():
            return int(value)
    counted = request.get("bodySize")
    return counted if isinstance(counted, int) and counted > 0 else None


def _content(content: dict[str, Any], *, exact: bool) -> bytes | Body:
    """An answer's body, or what is known of it."""
    if content.get("encoding") == "base64":
        return base64.b64decode(str(content.get("text", "")))
    size = content.get("size")
    return _bytes_of(content, size if isinstance(size, int) and size > 0 else None, exact=exact)


def _bytes_of(told: dict[str, Any], length: int | None, *, exact: bool) -> bytes | Body:
    """The bytes that a text stands for: in the encoding in which there are as many as there were.

    An archive holds text. Programs write bytes that are none as Latin-1, or with surrogates in their places. Where the
    very bytes do not matter (`exact`), a length that does not fit is no harm: some programs count what was packed.
    """
    text = str(told.get("text") or "")
    if (found := _DIGEST.search(str(told.get("comment", "")))) is not None and not text:
        return Body(sha256=found[2], length=int(found[1]))
    mangled = exact and REPLACEMENT in text
    for encoding, errors in () if mangled else (("utf-8", "surrogateescape"), ("latin-1", "strict")):
        try:
            content = text.encode(encoding, errors)
        except UnicodeEncodeError:
            continue
        if length is None or len(content) == length:
            return content
    return text.encode("utf-8", "replace") if text and not exact else Body(length=length)
