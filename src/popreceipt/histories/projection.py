"""From a journal to histories: which message each delivery handed out, and what touched it, between which instants.

A message is known by the digest of its payload, which no two have in common, or by its CorrelationId once the target
has been seen to keep it. What neither tells is a delivery of any message. Nothing of the rules stands in here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.times import instant
from popreceipt.client.wire import Reply, member
from popreceipt.histories.history import (
    Acknowledged,
    Answer,
    Fetched,
    File,
    History,
    Intake,
    Operation,
    Produced,
    Queue,
    Seen,
    State,
    Taken,
)
from popreceipt.journal import Entry, Exchange, Header, Observation

MICROSECOND: Final = timedelta(microseconds=1)
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

LEASE: Final = timedelta(minutes=30)
"""How long a delivered message hides ("Recurring integrations", "API for acknowledgment")."""

RETENTION: Final = timedelta(days=7)
"""How long a file is kept ("Recurring integrations", "API for getting message status")."""

PRECISION: Final = timedelta(milliseconds=999)
"""Services may keep their times in whole seconds."""

LINGER: Final = timedelta(minutes=1)
"""How much later than its caller gave up a lost call may still take effect, at most."""

STATES: Final = {
    vocabulary.ENQUEUED: State.WAITING,
    # A file may be found unusable before its turn, so this is no beginning.
    vocabulary.PREPROCESSING: State.WAITING,
    vocabulary.PROCESSING: State.BEGUN,
    vocabulary.PROCESSED: State.ENDED,
    vocabulary.PROCESSED_WITH_ERRORS: State.ENDED,
    vocabulary.POSTPROCESSING_FAILED: State.ENDED,
    vocabulary.PREPROCESSING_ERROR: State.ENDED,
}

STEP: Final = 2.0**-20

OURS: Final = (None, "authorised")
"""Roles that may: of others an empty answer promises nothing."""


def microseconds(at: datetime) -> int:
    """An instant as histories have it."""
    return (at - BEGINNING) // MICROSECOND


def history_of(header: Header, entries: Iterable[Entry]) -> History:
    """What a journal says of all its queues and imports."""
    return _Projection(header).take(entries)


@dataclass(slots=True)
class _Handed:
    """A delivery, before anybody knows of what."""

    key: tuple[str, int]
    call: Operation
    correlation: str | None
    receipt: str | None
    location: str | None
    fetched: list[tuple[Operation, str | None]] = field(default_factory=list)

    def digest(self) -> tuple[int, str] | None:
        """The first whole file that came, and the download that brought it."""
        return next(((call.number, digest) for call, digest in self.fetched if digest is not None), None)


@dataclass(slots=True)
class _Job:
    """What the control plane told of a recurring data job."""

    created: bool = False
    settings: list[Mapping[str, Any]] = field(default_factory=list)

    def always(self, name: str, value: object) -> bool:
        """It was never told otherwise."""
        return bool(self.settings) and all(each.get(name) == value for each in self.settings)


class _Projection:
    """A journal, taken in line by line; `take` brings the rest together."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._lines_tell = header.clock == "manual" and (header.recorded_by == "service" or not header.concurrent)
        self._lease = timedelta(seconds=header.lease_seconds) if header.lease_seconds else LEASE
        self._retention = timedelta(seconds=header.retention_seconds) if header.retention_seconds else RETENTION
        self._place = 0.0
        self._told = 0
        self._epoch = 0
        self._wiped: datetime | None = None
        self._queues: dict[tuple[str, int], Queue] = {}
        self._handed: dict[tuple[str, int], list[_Handed]] = defaultdict(list)
        self._at: dict[tuple[str, int], list[_Handed]] = defaultdict(list)
        self._hops: dict[str, str] = {}
        self._receipts: dict[tuple[str | None, str | None, int], list[_Handed]] = defaultdict(list)
        self._correlations: dict[tuple[str | None, int], list[_Handed]] = defaultdict(list)
        self._jobs: dict[str, _Job] = defaultdict(_Job)
        self._mute: dict[tuple[str, int], int] = {}
        self._says_no_file = False
        self._blurred: set[tuple[str, int]] = set()
        self._exports: set[str] = set()
        self._seen: dict[str, list[Seen]] = defaultdict(list)
        self._rows: dict[str, tuple[int, int, Operation]] = {}
        self._files: dict[tuple[str, int], dict[str, File]] = defaultdict(dict)
        self._dying: set[str | None] = set()

    def take(self, entries: Iterable[Entry]) -> History:
        """Take in every entry."""
        for entry in entries:
            if isinstance(entry, Exchange):
                self._place = float(entry.seq)
                self._exchange(entry)
            elif isinstance(entry, Observation):
                self._place += STEP
                self._observed(entry)
        return self._history()

    # Exchanges

    def _exchange(self, exchange: Exchange) -> None:
        if self._wiped is not None and exchange.sent < self._wiped:
            return  # Before the reset or after it: nobody knows.
        operation, activity = vocabulary.operation_of(urlsplit(exchange.request.url).path)
        if operation == vocabulary.OTHER:
            operation = exchange.operation
        location = _location(exchange.request.url)
        if operation == vocabulary.DOWNLOAD or location in self._hops:
            self._download(exchange, self._hops.get(location, location))
        elif operation == vocabulary.DEQUEUE and activity is not None:
            self._dequeue(exchange, (activity, self._epoch))
        elif operation == vocabulary.ACK and activity is not None:
            self._acknowledged(exchange, (activity, self._epoch))
        elif operation == vocabulary.ENQUEUE and activity is not None:
            self._enqueue(exchange, activity)
        elif operation == vocabulary.MESSAGE_STATUS:
            self._status(exchange)

    def _call(self, exchange: Exchange) -> Operation:
        by = exchange.answered + (min(LINGER, self._lease) if _unanswered(exchange) else timedelta(0))
        place = self._place if self._lines_tell else 0.0
        return Operation(
            exchange.seq, exchange.actor or "somebody", microseconds(exchange.sent), microseconds(by), place
        )

    def _queue(self, key: tuple[str, int]) -> Queue:
        if key not in self._queues:
            self._queues[key] = Queue(
                key[0],
                self._lease // MICROSECOND,
                min(PRECISION, self._lease / 10) // MICROSECOND,
                self._retention // MICROSECOND,
            )
        return self._queues[key]

    def _dequeue(self, exchange: Exchange, key: tuple[str, int]) -> None:
        queue, call, status = self._queue(key), self._call(exchange), _status(exchange)
        if status is not None and 300 <= status < 500:
            return
        body = exchange.response.body if exchange.response is not None and status is not None else None
        empty = body is None or (body.text is not None and not body.text.strip())
        ours = (exchange.actor or "").partition("/")[0] in ("", "authorised")
        if status is not None and status < 300 and empty and exchange.request.method == "GET":
            if ours:
                queue.empty.append(call)
            return
        found = wire.delivery(_reply(exchange)) if status is not None else None
        if found is None or not found.has_file or not found.location:
            self._says_no_file = self._says_no_file or (found is not None and found.file_exists is False)
            queue.lost.append(call)
            return
        handed = _Handed(key, call, found.correlation, found.receipt, _location(found.location))
        self._handed[key].append(handed)
        self._at[(_location(found.location), self._epoch)].append(handed)
        self._receipts[(found.correlation, found.receipt, self._epoch)].append(handed)
        self._correlations[(found.correlation, self._epoch)].append(handed)

    def _download(self, exchange: Exchange, location: str) -> None:
        status = _status(exchange)
        if status is not None and 300 <= status < 400:
            to = _reply(exchange).header("location")
            if to:
                self._hops[_location(to)] = location
            return
        if status is not None and status >= 400:
            return
        deliveries = self._at.get((location, self._epoch), ())
        call = self._call(exchange)
        handed = _last_before(deliveries, call)
        if handed is not None:
            body = exchange.response.body if exchange.response is not None else None
            digest = (body.digest() if body is not None else _NOTHING) if status is not None else None
            handed.fetched.append((call, digest))

    def _acknowledged(self, exchange: Exchange, key: tuple[str, int]) -> None:
        status, call = _status(exchange), self._call(exchange)
        told = _json(exchange.request.body.content() if exchange.request.body is not None else None)
        correlation, receipt = (
            (_text(member(told, vocabulary.CORRELATION_ID)), _text(member(told, vocabulary.POP_RECEIPT)))
            if isinstance(told, dict)
            else (None, None)
        )
        answer = Answer.REFUSED
        if status is None or status >= 500:
            answer = Answer.DOUBT
        elif status < 300:
            answer = Answer.ACCEPTED
        handed = _last_before(self._receipts.get((correlation, receipt, self._epoch), ()), call)
        plain = handed is not None and handed.key == key and (exchange.actor or "").partition("/")[0] in ("", OURS[1])
        if handed is None:
            handed = _last_before(self._correlations.get((correlation, self._epoch), ()), call)
        if answer is not Answer.REFUSED and not plain:
            # What a poor body, a stranger or another job's acknowledgment does is open.
            answer = Answer.DOUBT
        if handed is not None:
            self._queue(handed.key).acknowledged.append(
                Acknowledged(call.number, call.actor, call.since, call.by, call.place, handed.call.number, answer)
            )
        elif answer is not Answer.REFUSED:
            self._nothing_demanded(key, call.since)

    def _enqueue(self, exchange: Exchange, activity: str) -> None:
        status = _status(exchange)
        message = wire.message_id(_reply(exchange)) if status is not None and status < 300 else None
        if message is not None:
            self._files[(activity, self._epoch)][message] = File(message, self._call(exchange))

    def _status(self, exchange: Exchange) -> None:
        if _status(exchange) is None:
            return
        asked = _json(exchange.request.body.content() if exchange.request.body is not None else None)
        message = _text(member(asked, "messageId")) if isinstance(asked, dict) else None
        state = wire.message_state(_reply(exchange))
        if message is not None and state is not None:
            self._see(vocabulary.bare_guid(message), state, self._call(exchange))

    def _see(self, message: str, text: str, call: Operation) -> None:
        text = vocabulary.SPELLINGS.get(text.lower(), text)
        self._seen[message].append(
            Seen(call.number, call.actor, call.since, call.by, call.place, STATES.get(text, State.WAITING), text)
        )

    def _nothing_demanded(self, key: tuple[str, int], since: int) -> None:
        queue = self._queue(key)
        queue.until = since if queue.until is None else min(queue.until, since)

    # Observations

    def _observed(self, observation: Observation) -> None:
        facts = observation.facts
        activity = facts.get("activity")
        kind = observation.observation
        if kind == "reset":
            self._epoch += 1
            self._wiped = None if self._lines_tell else observation.at
        elif kind == "fault-planned":
            planned = facts.get("planned")
            if isinstance(planned, Mapping) and planned.get("kind") == "dies":
                one = planned.get("activity")
                self._dying.add(vocabulary.bare_guid(one) if isinstance(one, str) else None)
        elif isinstance(activity, str):
            call = self._told_at(observation)
            key = (vocabulary.bare_guid(activity), self._epoch)
            if kind == "activity":
                job = self._jobs[key[0]]
                job.created = job.created or facts.get("created") is True
                job.settings.append(facts.get("settings") or {})
            elif kind == "produced":
                self._produced(key, call, facts)
            elif kind == "cleanup":
                self._nothing_demanded(key, call.since)
            elif kind == "messages":
                self._look(call, facts.get("rows"))

    def _told_at(self, observation: Observation) -> Operation:
        self._told -= 1
        text = observation.facts.get("since")
        since = instant(text) if isinstance(text, str) else None
        begun = microseconds(since if since is not None else observation.at)
        place = self._place if self._lines_tell else 0.0
        return Operation(self._told, "control", begun, microseconds(observation.at), place)

    def _produced(self, key: tuple[str, int], call: Operation, facts: Mapping[str, Any]) -> None:
        digest, message = facts.get("sha256"), facts.get("messageId")
        if isinstance(message, str):
            self._exports.add(message)
        if facts.get("uploaded") is not True:
            self._mute[key] = min(self._mute.get(key, call.since), call.since)
        elif not isinstance(digest, str) or not digest:
            self._blurred.add(key)
        else:
            self._queue(key).produced.append(Produced(call.number, call.actor, call.since, call.by, call.place, digest))

    def _look(self, call: Operation, rows: object) -> None:
        for row in rows if isinstance(rows, list) else ():
            if not isinstance(row, Mapping) or not isinstance(row.get("MessageId"), str):
                continue
            message = vocabulary.bare_guid(row["MessageId"])
            if isinstance(row.get("Status"), str):
                self._see(message, row["Status"], call)
            began, ended = (_instant(row.get(f"Processing{name}DateTime")) for name in ("Started", "Completed"))
            if began is not None and ended is not None:
                self._rows[message] = (microseconds(began), microseconds(ended), call)

    # Together

    def _history(self) -> History:
        for key, queue in self._queues.items():
            self._complete(key, queue)
        exported = {each: seen for each, seen in self._seen.items() if each in self._exports}
        intakes = []
        for (activity, _), files in self._files.items():
            job = self._jobs[activity]
            intake = Intake(
                activity,
                in_order=job.always("in_order", True) and job.always("type", "file"),
                slack=timedelta(seconds=1) // MICROSECOND,
                restarts=bool(self._dying & {None, activity}),
            )
            for message, file in files.items():
                file.seen = self._seen.get(message, [])
                if message in self._rows:
                    file.began, file.ended, file.told_by = self._rows[message]
                intake.files.append(file)
            intakes.append(intake)
        return History(list(self._queues.values()), intakes, exported)

    def _closed(self, key: tuple[str, int]) -> bool:
        """Whether everything that a queue ever held was produced in sight."""
        job = self._jobs[key[0]]
        abilities = self._header.target.abilities
        runs = [each.get("processing_recurrence_minutes", 5) for each in job.settings]
        alone = (bool(abilities) and "export-recurrence" not in abilities) or all(each is None for each in runs)
        return job.created and alone and key not in self._blurred

    def _complete(self, key: tuple[str, int], queue: Queue) -> None:
        queue.closed = self._closed(key)
        count: dict[str, int] = defaultdict(int)
        for run in queue.produced:
            count[run.message] += 1
        # Files without records may be equal: then nobody can tell them apart.
        if any(each > 1 for each in count.values()):
            queue.closed = False
            queue.produced = [each for each in queue.produced if count[each.message] == 1]
        if key in self._mute and not self._says_no_file:
            # Messages without a file may be announced by an empty answer.
            queue.empty = [each for each in queue.empty if each.by < self._mute[key]]
        known = {each.message for each in queue.produced} if queue.closed else set()
        named = _Names(self._handed.get(key, ()), known)
        for handed in self._handed.get(key, ()):
            message, altered = named.of(handed)
            call = handed.call
            queue.taken.append(Taken(call.number, call.actor, call.since, call.by, call.place, message, altered))
            queue.fetched += [
                Fetched(fetch.number, fetch.actor, fetch.since, fetch.by, fetch.place, call.number)
                for fetch, _ in handed.fetched
            ]
        if not queue.closed:
            queue.empty = []


class _Names:
    """Which message each delivery of one queue handed out, as far as anybody can know."""

    def __init__(self, handed: Iterable[_Handed], produced: set[str]) -> None:
        self._produced = produced
        self._of: dict[str, set[str]] = defaultdict(set)
        kept, spelled = 0, defaultdict(set)
        seen: set[str] = set()
        for each in handed:
            found = each.digest()
            if found is not None and found[1] in produced and each.correlation is not None:
                kept += found[1] in self._of[each.correlation]
                self._of[each.correlation].add(found[1])
                spelled[found[1]].add(each.correlation)
                seen.add(found[1])
        clash = any(len(each) > 1 for each in self._of.values()) or any(len(each) > 1 for each in spelled.values())
        self._kept = kept > 0 and not clash
        self._clash = clash
        self._unseen = produced - seen

    def of(self, handed: _Handed) -> tuple[str | None, int | None]:
        """The message, None where nobody can tell; and the download that brought other bytes than its own."""
        found = handed.digest()
        known = self._of.get(handed.correlation or "", set())
        own = next(iter(known)) if len(known) == 1 and not self._clash else None
        if found is None:
            return (own if self._kept else None), None
        number, digest = found
        if not self._produced or digest in self._produced:
            return (digest if self._produced else None), None
        if own is not None:
            return (own if self._kept else None), number
        # Another file instead of one that was produced and not seen yet; or one that nobody produced.
        return (None, number) if self._unseen else (digest, None)


_NOTHING: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The digest of no bytes."""


def _unanswered(exchange: Exchange) -> bool:
    return exchange.response is None


def _status(exchange: Exchange) -> int | None:
    """The status of a whole answer."""
    return exchange.response.status if exchange.response is not None and exchange.failure is None else None


def _reply(exchange: Exchange) -> Reply:
    response = exchange.response
    body = (response.body.content() or b"") if response is not None and response.body is not None else b""
    headers = response.headers if response is not None else ()
    return Reply(exchange, _status(exchange), headers, body, exchange.failure)


def _last_before(deliveries: Iterable[_Handed], call: Operation) -> _Handed | None:
    """The last delivery that was asked for before a call was."""
    best = None
    for each in deliveries:
        if (each.call.since, each.call.number) < (call.since, call.number):
            best = each if best is None or each.call.since >= best.call.since else best
    return best


def _location(url: str) -> str:
    """Path and query; of what is no address (a server may hand out anything) all of it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.path}?{parts.query}"


def _json(content: bytes | None) -> Any:
    try:
        return msgspec.json.decode(content) if content else None
    except (msgspec.DecodeError, ValueError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _instant(value: object) -> datetime | None:
    return instant(value) if isinstance(value, str) and value else None
