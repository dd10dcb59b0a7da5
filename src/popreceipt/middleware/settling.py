"""Whether a scenario is settled: nothing is left to do, and nothing that somebody could still want to see.

It looks on with the service's eyes: what was asked and answered, and what the subject can know of it. A failure stays
an open question until the subject has asked again with success, or for so long that it will not any more; who asks for
something at a pace of his own is given the time for once more. It judges nothing, and a wrong guess only costs time.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from popreceipt.journal import Body, Exchange
from popreceipt.vocabulary import (
    ACK,
    CORRELATION_ID,
    DEQUEUE,
    DOWNLOAD,
    ENQUEUE,
    EXECUTION_ERRORS,
    EXECUTION_ID,
    EXECUTION_SUMMARY,
    JOBSTATUS,
    MESSAGE_STATUS,
    POSTPROCESSING_FAILED,
    PREPROCESSING_ERROR,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    SPELLINGS,
    STATUS_CODES,
)

QUIET: Final = timedelta(milliseconds=250)
"""So long nothing may have happened, at least; whoever plays the scenario waits on top of it."""

OPEN_FOR: Final = 1.6
"""Leases for which a failure stays an open question: a message comes back after one, and rules wait half a one more."""

ERRORS_WITHIN: Final = 1.6
"""Leases within which a subject is expected to look after a file that has failed: a little more than rules ask for."""

PATIENCE: Final = 1.5
"""By how much longer than the last time a pause may be before it is taken for the end."""

_ENDS: Final = {PROCESSED, PROCESSED_WITH_ERRORS, PREPROCESSING_ERROR, POSTPROCESSING_FAILED}
_SUMMARY_ENDS: Final = {"succeeded", "partiallysucceeded", "failed", "canceled"}

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_Question = tuple[str, str]


@dataclass(slots=True)
class _Handed:
    """A message that an enqueue has told the subject of, and what it has learnt of it."""

    ended: datetime | None = None
    well: bool = False
    has_errors: bool = False
    looked_after: bool = False
    asked: datetime | None = None
    pause: timedelta = timedelta(0)


@dataclass(slots=True)
class Settling:
    """What of a scenario is still open.

    Args:
        lease: the lease in force.
        exports: whether an export's queue is to be emptied.
        files: digests of the files to be handed in, by name.
    """

    lease: timedelta
    exports: bool
    files: Mapping[str, str]
    _open: dict[_Question, datetime] = field(default_factory=dict)
    _progress: datetime | None = None
    _is_empty: bool = False
    _tried: dict[str, set[str]] = field(default_factory=dict)
    _handed: dict[str, _Handed] = field(default_factory=dict)
    _executions: dict[str, str] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def take(self, exchange: Exchange) -> None:
        """One more exchange, in the order in which they were answered."""
        answer = exchange.response if exchange.failure is None else None
        ok = answer is not None and 200 <= answer.status < 300
        at = exchange.answered
        question = _question(exchange)
        if ok:
            self._open.pop(question, None)
        elif answer is None or answer.status >= 400:
            self._open.setdefault(question, at)
        said = _text(answer.body) if answer is not None else ""
        if exchange.operation == DEQUEUE and ok:
            was_empty, self._is_empty = self._is_empty, not said.strip()
            if was_empty and self._is_empty:
                return  # somebody waits for more: nothing has happened
        self._progress = at
        if exchange.operation == ENQUEUE:
            self._enqueued(question[1], said if ok else "")
        elif exchange.operation in _ASKS:
            self._asked(exchange, said if ok else "", at)

    def told(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Lines of the subject's report: what it is done with."""
        for line in lines:
            for name in ("file", "messageId"):
                value = line.get(name)
                if isinstance(value, str):
                    self._told.add(_bare(value) if name == "messageId" else value)

    def is_settled(self, now: datetime, *, queue_is_empty: Callable[[], bool], is_down: bool) -> bool:
        """Whether nothing is left at an instant.

        Args:
            now: the instant.
            queue_is_empty: whether no message of the export waits or is leased.
            is_down: the subject has ended by itself, in good order.
        """
        for question in [one for one, since in self._open.items() if now - since > self.lease * OPEN_FOR]:
            del self._open[question]
        if self._open or self._progress is None or now - self._progress < self._quiet():
            return False
        if self.exports and not (self._is_empty or is_down):
            return False
        if not all(self._is_done(name, digest, now) for name, digest in self.files.items()):
            return False
        return not self.exports or queue_is_empty()

    def _quiet(self) -> timedelta:
        """How long nothing may have happened: who told that he is done with a file asks no more."""
        pauses = (
            min(self._handed[message].pause * PATIENCE, self.lease)
            for name, digest in self.files.items()
            for message in self._tried.get(digest, ())
            if not self._is_told(name, message)
        )
        return max((QUIET, *pauses))

    def _enqueued(self, digest: str, said: str) -> None:
        messages = self._tried.setdefault(digest, set())
        if found := _GUID.search(said):
            messages.add(found[0].lower())
            self._handed.setdefault(found[0].lower(), _Handed())

    def _asked(self, exchange: Exchange, said: str, at: datetime) -> None:
        subject = _GUID.search(_asked_for(exchange))
        if subject is None:
            return
        identifier = subject[0].lower()
        if exchange.operation == EXECUTION_ID and (found := _GUID.search(said)):
            self._executions[found[0].lower()] = identifier
        handed = self._handed.get(self._executions.get(identifier, identifier))
        if handed is None:
            return
        if handed.asked is not None:
            handed.pause = at - handed.asked
        handed.asked = at
        if exchange.operation == EXECUTION_ERRORS:
            handed.looked_after = handed.looked_after or bool(said)
        elif exchange.operation != EXECUTION_ID and handed.ended is None and said:
            self._learnt(handed, said, at)

    def _learnt(self, handed: _Handed, said: str, at: datetime) -> None:
        value = _state_in(said)
        state = SPELLINGS.get(value.lower(), value)
        if state in _ENDS or value.lower() in _SUMMARY_ENDS:
            handed.ended = at
            handed.well = state == PROCESSED or value.lower() == "succeeded"
            handed.has_errors = state == PROCESSED_WITH_ERRORS

    def _is_done(self, name: str, digest: str, now: datetime) -> bool:
        messages = self._tried.get(digest)
        if messages is None or (ENQUEUE, digest) in self._open:
            return False
        return all(self._is_over(name, message, now) for message in messages)

    def _is_over(self, name: str, message: str, now: datetime) -> bool:
        handed = self._handed[message]
        if self._is_told(name, message) and (handed.looked_after or not handed.has_errors):
            return True
        if handed.ended is None:
            return False
        if (handed.well or handed.looked_after) and not self._told:
            return True
        # Who has told of a failure may still ask for the errors, which there are.
        return now - handed.ended > self.lease * ERRORS_WITHIN

    def _is_told(self, name: str, message: str) -> bool:
        return message in self._told or name in self._told


_ASKS: Final = {JOBSTATUS, MESSAGE_STATUS, EXECUTION_ID, EXECUTION_ERRORS, EXECUTION_SUMMARY}


def _question(exchange: Exchange) -> _Question:
    """What is asked again when an exchange is repeated."""
    operation, request = exchange.operation, exchange.request
    if operation == ENQUEUE:
        return operation, request.body.digest() if request.body is not None else _NOTHING
    if operation == DOWNLOAD:
        parts = urlsplit(request.url)
        return operation, f"{parts.path}?{parts.query}"
    if operation == ACK:
        return operation, _correlation(_text(request.body))
    if operation in _ASKS:
        return operation, _asked_for(exchange)
    return operation, ""


_NOTHING: Final = hashlib.sha256().hexdigest()
"""The digest of no bytes at all."""


def _correlation(body: str) -> str:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError):
        return body
    if not isinstance(said, dict):
        return body
    return next((str(value) for name, value in said.items() if name.lower() == CORRELATION_ID.lower()), body)


def _asked_for(exchange: Exchange) -> str:
    """Where the message or the execution is named that somebody asks for."""
    if exchange.operation == JOBSTATUS:
        return urlsplit(exchange.request.url).query
    return _text(exchange.request.body)


def _state_in(said: str) -> str:
    """The state in an answer, as it is written; empty where there is none."""
    try:
        answer = msgspec.json.decode(said)
    except (msgspec.DecodeError, ValueError):
        return ""
    if not isinstance(answer, dict):
        return ""
    status = answer.get("DataJobStatus")
    value = status.get("DataJobState") if isinstance(status, dict) else answer.get("value")
    if isinstance(value, int) and 0 <= value < len(STATUS_CODES):
        return STATUS_CODES[value]
    return value if isinstance(value, str) else ""


def _bare(identifier: str) -> str:
    found = _GUID.search(identifier)
    return found[0].lower() if found is not None else identifier


def _text(body: Body | None) -> str:
    return body.text or "" if body is not None else ""
