"""What a page needs of a journal: the exchanges that findings name, what stood around them, and figures of the whole.

A journal may be far too long to be kept: it is read as a stream, twice where a message's story is wanted.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from popreceipt import vocabulary
from popreceipt.exceptions import UsageError
from popreceipt.journal import Body, ClockMovement, Entry, Exchange, Header, Journal, Observation, without_tokens
from popreceipt.recordings import open_recording

BEFORE: Final = 30
"""A story may begin so many exchanges before its first witness: with what brought the message."""

AROUND: Final = 200
"""Entries between witnesses that are looked at for one story."""

TOLD: Final = frozenset({"produced", "processed", "restart", "reset"})
"""Kinds of observations that belong to a message's story."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of one operation: how many, how they were answered, and how many bytes went each way."""

    operation: str
    requests: int
    succeeded: int
    refused: int
    failed: int
    unanswered: int
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a journal tells a page.

    Args:
        path: where it was read; None where there is none.
        header: its first line.
        exchanges: those that were asked for, by number.
        stories: by key, what happened around the witnesses that were named for it, in the journal's order.
        traffic: by operation.
        first: when the first request was sent, in the target's time.
        last: when the last was answered.
        sha256: the file's digest, by which it can be known again.
        damage: what is wrong with it; None where it is whole.
    """

    path: Path | None = None
    header: Header | None = None
    exchanges: Mapping[int, Exchange] = field(default_factory=dict)
    stories: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    traffic: tuple[Traffic, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    sha256: str | None = None
    damage: str | None = None


def gather(path: Path | None, numbers: Collection[int], stories: Mapping[str, Collection[int]]) -> Gathered:
    """Read a journal (or a HAR file) for a page.

    Args:
        path: the recording; without one there is no evidence to show.
        numbers: the exchanges that are wanted.
        stories: by key, the witnesses around which a story is told.

    Raises:
        UsageError: it cannot be read, or is no recording.
    """
    if path is None:
        return Gathered()
    wanted = set(numbers).union(*stories.values())
    recording = open_recording(path)
    exchanges: dict[int, Exchange] = {}
    sums: dict[str, Counter[str]] = {}
    first: datetime | None = None
    last: datetime | None = None
    for entry in recording:
        if isinstance(entry, Exchange):
            _count(sums.setdefault(entry.operation, Counter()), entry)
            first = entry.sent if first is None else min(first, entry.sent)
            last = entry.answered if last is None else max(last, entry.answered)
            if entry.seq in wanted:
                exchanges[entry.seq] = without_secrets(entry)
    return Gathered(
        path=path,
        header=recording.header,
        exchanges=exchanges,
        stories=_stories(open_recording(path), stories, exchanges) if stories else {},
        traffic=tuple(
            Traffic(
                operation=operation,
                requests=each["requests"],
                succeeded=each["succeeded"],
                refused=each["refused"],
                failed=each["failed"],
                unanswered=each["unanswered"],
                sent_bytes=each["sent"],
                received_bytes=each["received"],
            )
            for operation, each in sorted(sums.items(), key=lambda one: -one[1]["requests"])
        ),
        first=first,
        last=last,
        sha256=_digest(path),
        damage=recording.damage,
    )


def without_secrets(exchange: Exchange) -> Exchange:
    """An exchange with its secrets replaced, whoever wrote it down: others write journals too, and a page travels.

    What is replaced already stays as it is.
    """
    asked, response = exchange.request, exchange.response
    sent = content_of(asked.body)
    received = content_of(response.body) if response is not None else None
    known = _is_an_address(asked.url)
    made = Journal().record(
        sent=exchange.sent,
        answered=exchange.answered,
        method=asked.method,
        url=asked.url if known else "",
        request_headers=asked.headers,
        request_body=sent or b"",
        status=None if response is None else response.status,
        response_headers=() if response is None else response.headers,
        response_body=received or b"",
        failure=exchange.failure,
        operation=exchange.operation,
    )
    request = replace(made.request, body=_kept(asked.body, sent, made.request.body))
    if not known:
        request = replace(request, url=without_tokens(asked.url))
    answer = made.response
    if answer is not None and response is not None:
        answer = replace(answer, body=_kept(response.body, received, answer.body))
    return replace(exchange, request=request, response=answer)


def _kept(body: Body | None, content: bytes | None, made: Body | None) -> Body | None:
    """A body as it was, unless something in it was replaced."""
    return body if not content or made is None or made.content() == content else made


def activity_of(exchange: Exchange) -> str | None:
    """The activity that a request names in its path."""
    url = exchange.request.url
    return vocabulary.operation_of(urlsplit(url).path)[1] if _is_an_address(url) else None


def content_of(body: Body | None) -> bytes | None:
    """A body's bytes; None where there is none, where only its digest was kept, and where it is no base64 after all."""
    try:
        return body.content() if body is not None else None
    except ValueError:
        return None


def _is_an_address(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def _count(sums: Counter[str], exchange: Exchange) -> None:
    sums["requests"] += 1
    if exchange.request.body is not None:
        sums["sent"] += exchange.request.body.length or 0
    if exchange.response is None:
        sums["unanswered"] += 1
        return
    status = exchange.response.status
    sums["succeeded" if status < 400 else "refused" if status < 500 else "failed"] += 1
    if exchange.response.body is not None:
        sums["received"] += exchange.response.body.length or 0


@dataclass(slots=True)
class _Wanted:
    """A story while it is looked for: between which numbers, about which activities, and what was found."""

    key: str
    first: int
    last: int
    witnesses: frozenset[int]
    activities: frozenset[str]
    found: list[Entry] = field(default_factory=list)
    beside: int = 0

    def take(self, number: int, entry: Entry) -> None:
        """Keep an entry that belongs to the story; of what merely stands beside, only so much."""
        if not self.first - BEFORE <= number <= self.last:
            return
        if isinstance(entry, Exchange):
            if entry.seq in self.witnesses:
                self.found.append(without_secrets(entry))
                return
            belongs = activity_of(entry) in self.activities and entry.operation != vocabulary.TOKEN
        elif isinstance(entry, Observation):
            about = entry.facts.get("activity")
            belongs = entry.observation in TOLD and (about is None or about in self.activities)
        else:
            belongs = False
        if belongs and self.beside < AROUND:
            self.beside += 1
            self.found.append(without_secrets(entry) if isinstance(entry, Exchange) else entry)


def _stories(
    entries: Iterable[Entry], stories: Mapping[str, Collection[int]], exchanges: Mapping[int, Exchange]
) -> dict[str, tuple[Entry, ...]]:
    """What belongs to each story, in one pass."""
    wanted = []
    for key, numbers in stories.items():
        known = [exchanges[each] for each in numbers if each in exchanges]
        if known:
            activities = frozenset(each for each in map(activity_of, known) if each)
            seqs = [each.seq for each in known]
            wanted.append(_Wanted(key, min(seqs), max(seqs), frozenset(seqs), activities))
    number = 0
    end = max((each.last for each in wanted), default=0)
    for entry in entries:
        if isinstance(entry, ClockMovement):
            continue
        if isinstance(entry, Exchange):
            number = entry.seq
        if number > end:
            break
        for each in wanted:
            each.take(number, entry)
    return {each.key: tuple(each.found) for each in wanted}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
