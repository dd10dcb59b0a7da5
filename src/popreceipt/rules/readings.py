"""Questions to a journal: which message was meant, which must have waited, what a setting was at the time.

Readings know no promise of the documentation but the two periods that are needed to tell which messages waited;
verdicts are the rules' business.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import msgspec

from popreceipt.journal import Entry, Header
from popreceipt.rules.facts import Ack, Call, Dequeue, Download, Enqueue, Production, Rows, StatusAnswer, Token
from popreceipt.rules.imports import Imports
from popreceipt.rules.reader import Reader
from popreceipt.vocabulary import SPELLINGS

HALF_HOUR: Final = timedelta(minutes=30)
"""How long a dequeued message stays hidden (article "Recurring integrations", "API for acknowledgment")."""

SEVEN_DAYS: Final = timedelta(days=7)
"""How long a file stays in blob storage (article "Recurring integrations", "Getting the status of a message")."""


class Message:
    """One exported message, as far as the journal tells its deliveries apart from another's.

    `certain` is False where nothing but an unproven CorrelationId holds its deliveries together.
    """

    __slots__ = ("acks", "activity", "certain", "deliveries", "digest", "downloads", "production")

    def __init__(self, activity: str, digest: str | None, certain: bool) -> None:
        self.activity = activity
        self.digest = digest
        self.certain = certain
        self.deliveries: list[Dequeue] = []
        self.downloads: list[Download] = []
        self.acks: list[Ack] = []
        self.production: Production | None = None


class Wait(msgspec.Struct, gc=False):
    """A stretch in which a message certainly stood in the queue and could be dequeued."""

    start: datetime
    end: datetime
    message: Message | None
    production: Production | None
    after: Dequeue | None
    deliveries: int


class Sighting(msgspec.Struct, gc=False):
    """A status that a message was seen to have between two instants; `call` is None where Manage messages told."""

    since: datetime
    at: datetime
    state: str
    call: StatusAnswer | None


class Readings(Reader):
    """A journal, read: the reader's facts, and answers to questions about them."""

    def __init__(self, header: Header, entries: Iterable[Entry]) -> None:
        super().__init__(header, entries)
        self.lease = timedelta(seconds=header.lease_seconds) if header.lease_seconds else HALF_HOUR
        self.retention = timedelta(seconds=header.retention_seconds) if header.retention_seconds else SEVEN_DAYS

    def setting(self, activity: str, name: str, at: datetime) -> Any:
        """A recurring data job's setting as last told by `at`; None where nobody told."""
        value = None
        for seen in self.activities.get(activity, ()):
            if seen.at <= at and name in seen.settings:
                value = seen.settings[name]
        return value

    @cached_property
    def issued_tokens(self) -> dict[str, Token]:
        """The request that a token came from, by the token's digest."""
        return {each.issued: each for each in self.tokens if each.ok and each.issued is not None}

    @cached_property
    def payload_at(self) -> dict[str, list[Download]]:
        """Successful downloads by the location they asked for."""
        found: dict[str, list[Download]] = defaultdict(list)
        for each in self.downloads:
            if each.digest is not None:
                found[each.location].append(each)
        return dict(found)

    @cached_property
    def produced(self) -> dict[tuple[str, str], Production]:
        """Uploaded productions by activity and digest of the payload."""
        return {(each.activity, each.sha256): each for each in self.productions if each.uploaded and each.sha256}

    @cached_property
    def produced_digests(self) -> frozenset[str]:
        """Digests of everything that was uploaded on purpose, whatever the activity."""
        return frozenset(each.sha256 for each in self.productions if each.uploaded and each.sha256)

    @cached_property
    def keeps_correlation(self) -> bool:
        """Whether some payload was seen twice under one CorrelationId, and none under the id of another."""
        kept = False
        for digests in self._digests_by_correlation.values():
            if len(digests) > 1 and len(self.produced_digests & digests.keys()) > 1:
                return False
            kept = kept or any(count > 1 for count in digests.values())
        return kept

    @cached_property
    def _digests_by_correlation(self) -> dict[tuple[str, str], dict[str, int]]:
        found: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for each in self.dequeues:
            if each.delivered and each.correlation is not None and (digest := self.digest_of(each)) is not None:
                found[(each.activity or "", each.correlation)][digest] += 1
        return found

    def digest_of(self, delivery: Dequeue) -> str | None:
        """The digest of the payload that this delivery's location led to; None where nobody downloaded it."""
        if delivery.location is None:
            return None
        downloads = self.payload_at.get(delivery.location)
        return downloads[0].digest if downloads else None

    @cached_property
    def messages(self) -> list[Message]:
        """Exported messages with their deliveries, downloads and acknowledgments, each in order of time."""
        found: dict[tuple[str, str], Message] = {}
        self._of_delivery: dict[int, Message] = {}
        by_correlation = self._digests_by_correlation
        trusted = self.keeps_correlation
        clashing = any(len(self.produced_digests & digests.keys()) > 1 for digests in by_correlation.values())
        for each in self.dequeues:
            if not each.delivered:
                continue
            activity = each.activity or ""
            digest = self.digest_of(each)
            if each.correlation is not None and not clashing:
                others = by_correlation.get((activity, each.correlation))
                if others:
                    digest = next(iter(others))
            certain = digest is not None or trusted
            key = digest or f"correlation {each.correlation}" if each.correlation or digest else f"seq {each.seq}"
            message = found.get((activity, key))
            if message is None:
                message = found[(activity, key)] = Message(activity, digest, certain)
                if digest is not None:
                    message.production = self.produced.get((activity, digest))
            message.deliveries.append(each)
            self._of_delivery[each.seq] = message
        self._attach(found)
        return list(found.values())

    def _attach(self, found: Mapping[tuple[str, str], Message]) -> None:
        """Hang downloads and acknowledgments on the messages that they concern."""
        by_location: dict[str, Message] = {}
        by_receipt: dict[tuple[str | None, str | None], Message] = {}
        for message in found.values():
            for each in message.deliveries:
                if each.location is not None:
                    by_location.setdefault(each.location, message)
                by_receipt[(each.correlation, each.receipt)] = message
        for download in self.downloads:
            if (owner := by_location.get(download.location)) is not None:
                owner.downloads.append(download)
        bodies = {each.digest for each in self.dequeues if each.digest}
        for ack in self.acks:
            if ack.digest in bodies:
                ack.form = "echo"
            if (owner := by_receipt.get((ack.correlation, ack.receipt))) is not None:
                owner.acks.append(ack)

    def message_of(self, delivery: Dequeue) -> Message:
        """The message that a delivery handed out."""
        _ = self.messages
        return self._of_delivery[delivery.seq]

    @cached_property
    def deliveries_by_receipt(self) -> dict[tuple[str | None, str | None], list[Dequeue]]:
        """Deliveries by CorrelationId and PopReceipt, as an acknowledgment names them."""
        found: dict[tuple[str | None, str | None], list[Dequeue]] = defaultdict(list)
        for each in self.dequeues:
            if each.delivered:
                found[(each.correlation, each.receipt)].append(each)
        return dict(found)

    def delivery_of(self, ack: Ack) -> Dequeue | None:
        """The delivery whose answer an acknowledgment repeats: the last such before it was sent."""
        for each in reversed(self.deliveries_by_receipt.get((ack.correlation, ack.receipt), ())):
            if each.sent <= ack.answered:
                return each
        return None

    def was_cleaned(self, message: Message | Production, by: datetime) -> bool:
        """Whether a clean-up may have taken the message before `by`."""
        return any(each.activity == message.activity and each.since <= by for each in self.cleanups)

    @cached_property
    def doubtful_dequeues(self) -> dict[str, list[Dequeue]]:
        """Dequeues that may have leased a message nobody was told of, by activity."""
        found: dict[str, list[Dequeue]] = defaultdict(list)
        for each in self.dequeues:
            if each.activity is not None and (each.kind in ("failed", "malformed") or each.in_doubt):
                found[each.activity].append(each)
        return dict(found)

    def lease_end(self, message: Message, delivery: Dequeue) -> datetime:
        """The latest instant to which this delivery may hide its message.

        Downloads are let extend the lease: whether they do is open.
        """
        latest = delivery.answered
        following = next((each for each in message.deliveries if each.sent > delivery.sent), None)
        for each in message.downloads:
            if each.answered > latest and (following is None or each.sent < following.sent):
                latest = each.answered
        return latest + self.lease

    @cached_property
    def waits(self) -> dict[str, list[Wait]]:
        """When which exported message certainly stood waiting, by activity.

        A wait ends with whatever may have ended it: the next delivery, an acknowledgment sent (even a failed one), a
        clean-up, the end of the seven days.
        """
        found: dict[str, list[Wait]] = defaultdict(list)
        delivered: set[str] = set()
        for message in self.messages:
            if not message.certain:
                continue
            if message.production is not None:
                delivered.add(message.production.message)
            self._waits_of(message, found[message.activity])
        for production in self.productions:
            if production.uploaded and production.message not in delivered:
                end = self._end(production.activity, production.at, production.since + self.retention)
                if end > production.at:
                    found[production.activity].append(Wait(production.at, end, None, production, None, 0))
        return dict(found)

    def _waits_of(self, message: Message, into: list[Wait]) -> None:
        born = message.production.since if message.production is not None else None
        acked = min((each.sent for each in message.acks if each.ok or each.in_doubt), default=None)
        for place, delivery in enumerate(message.deliveries):
            if delivery.kind != "message":
                continue
            start = self.lease_end(message, delivery)
            # Without its birth the file may be as old as the journal knows nothing of it: the first sight counts.
            limit = (born or message.deliveries[0].sent) + self.retention
            if place + 1 < len(message.deliveries):
                limit = min(limit, message.deliveries[place + 1].sent)
            if acked is not None:
                limit = min(limit, acked)
            end = self._end(message.activity, delivery.sent, limit)
            if end > start:
                into.append(Wait(start, end, message, message.production, delivery, place + 1))
        if message.production is not None:
            first = message.deliveries[0]
            end = self._end(message.activity, message.production.at, first.sent)
            if end > message.production.at:
                into.append(Wait(message.production.at, end, message, message.production, None, 0))

    def _end(self, activity: str, start: datetime, limit: datetime) -> datetime:
        for each in self.cleanups:
            if each.activity == activity and start <= each.at:
                limit = min(limit, each.since)
        for reset in self.resets:
            if start <= reset:
                limit = min(limit, reset)
        return limit

    def certainly_waiting(self, empty: Dequeue, *, redelivered: bool, most_deliveries: int = 5) -> list[Wait]:
        """Messages that must have been there when a dequeue came back empty, at least one of which it missed.

        Only waits of one kind count: never delivered yet, or delivered and back (at most `most_deliveries` times).
        Deliveries whose message is not known, and dequeues that may have leased one unseen, are taken off: each may
        hide a message for a lease. Empty where nothing is certain.
        """
        activity = empty.activity or ""
        covering = self._covering(activity, redelivered, most_deliveries)
        starts, ends = covering
        count = bisect_right(starts, empty.sent) - bisect_right(ends, empty.answered)
        if count <= 0:
            return []
        window = empty.sent - self.lease - timedelta(seconds=1)
        hidden = 0
        for times in (self._doubt_times.get(activity, []), self._unknown_times.get(activity, [])):
            hidden += bisect_right(times, empty.answered) - bisect_left(times, window)
        if count <= hidden:
            return []
        return [
            each
            for each in self.waits.get(activity, ())
            if (each.after is not None) == redelivered
            and each.deliveries <= most_deliveries
            and each.start <= empty.sent
            and each.end > empty.answered
        ]

    def _covering(
        self, activity: str, redelivered: bool, most_deliveries: int
    ) -> tuple[list[datetime], list[datetime]]:
        key = (activity, redelivered, most_deliveries)
        if key not in self._coverings:
            chosen = [
                each
                for each in self.waits.get(activity, ())
                if (each.after is not None) == redelivered and each.deliveries <= most_deliveries
            ]
            self._coverings[key] = (
                sorted(each.start for each in chosen),
                sorted(each.end for each in chosen),
            )
        return self._coverings[key]

    @cached_property
    def _coverings(self) -> dict[tuple[str, bool, int], tuple[list[datetime], list[datetime]]]:
        return {}

    @cached_property
    def _doubt_times(self) -> dict[str, list[datetime]]:
        return {name: sorted(each.answered for each in calls) for name, calls in self.doubtful_dequeues.items()}

    @cached_property
    def _unknown_times(self) -> dict[str, list[datetime]]:
        found: dict[str, list[datetime]] = defaultdict(list)
        for message in self.messages:
            if not message.certain or (message.digest is None and self.productions):
                found[message.activity].extend(each.answered for each in message.deliveries)
        return {name: sorted(times) for name, times in found.items()}

    @cached_property
    def enqueued(self) -> dict[str, Enqueue]:
        """Accepted enqueues by the message that they made."""
        return {each.message: each for each in self.enqueues if each.ok and each.message}

    @cached_property
    def imports(self) -> Imports:
        """What was handed in, and what was seen of it."""
        return Imports(self)

    @cached_property
    def states(self) -> dict[str, list[StatusAnswer]]:
        """What GetMessageStatus said of each message, in order of time."""
        found: dict[str, list[StatusAnswer]] = defaultdict(list)
        for each in self.statuses:
            if each.message is not None:
                found[each.message].append(each)
        return dict(found)

    # Callers, settings and what was seen afterwards

    @cached_property
    def calls_by_role(self) -> dict[str | None, list[Call]]:
        """All calls by the identity that made them, as the driver named it."""
        found: dict[str | None, list[Call]] = defaultdict(list)
        for each in self.calls:
            found[each.role].append(each)
        return dict(found)

    @cached_property
    def token_ends(self) -> dict[str, tuple[datetime, datetime]]:
        """The earliest and the latest instant at which each token's life ends, by its digest."""
        ends: dict[str, tuple[datetime, datetime]] = {}
        for each in self.tokens:
            if each.ok and each.issued is not None and each.expires_in is not None:
                life = timedelta(seconds=each.expires_in)
                end = (each.sent + life, each.answered + life)
                ends[each.issued] = max(end, ends.get(each.issued, end))
        return ends

    def productions_of(self, activity: str) -> list[Production]:
        """The exports that were run on purpose on one recurring data job."""
        return self._productions.get(activity, [])

    @cached_property
    def _productions(self) -> dict[str, list[Production]]:
        found: dict[str, list[Production]] = defaultdict(list)
        for each in self.productions:
            found[each.activity].append(each)
        return dict(found)

    def settled(self, activity: str, name: str, call: Call) -> Any:
        """A setting that certainly held throughout a call; None where nobody told, or where it was just changing."""
        value = None
        for seen in self.activities.get(activity, ()):
            if name not in seen.settings:
                continue
            before = seen.at < call.sent or (seen.at == call.sent and seen.place < call.seq)
            after = seen.since > call.answered or (seen.since == call.answered and seen.place >= call.seq)
            if before:
                value = seen.settings[name]
            elif not after and value != seen.settings[name]:
                return None
        return value

    def undisturbed(self, activity: str, call: Call, until: datetime, place: int) -> bool:
        """Whether no reset and no clean-up can have come between a call and `until` (with its place in the journal)."""
        wipes = [(since, at, where) for (since, at), where in zip(self.reset_spans, self.reset_places, strict=True)]
        wipes += [(each.since, each.at, each.place) for each in self.cleanups if each.activity == activity]
        for since, at, where in wipes:
            before = at < call.sent or (at == call.sent and where < call.seq)
            after = since > until or (since == until and where >= place)
            if not before and not after:
                return False
        return True

    def rows_after(self, activity: str, call: Call) -> Rows | None:
        """The first look at Manage messages that was certainly taken after a call."""
        looks = self._looks.get(activity)
        if not looks:
            return None
        place = bisect_left(looks, (call.answered, call.seq), key=lambda each: (each.since, each.place))
        return looks[place] if place < len(looks) else None

    @cached_property
    def _looks(self) -> dict[str, list[Rows]]:
        return {
            activity: sorted(looks, key=lambda each: (each.since, each.place)) for activity, looks in self.rows.items()
        }

    @cached_property
    def sightings(self) -> dict[str, list[Sighting]]:
        """Every status that a message was seen to have, by whatever means, by message; unordered."""
        found: dict[str, list[Sighting]] = defaultdict(list)
        for asked in (self.statuses, self.jobstatuses):
            for each in asked:
                if each.ok and each.message is not None and each.state is not None:
                    found[each.message].append(Sighting(each.sent, each.answered, each.state, each))
        for looks in self.rows.values():
            for look in looks:
                for message, row in look.by_id.items():
                    state = SPELLINGS.get(str(row.get("Status")).lower())
                    if state is not None:
                        found[message].append(Sighting(look.since, look.at, state, None))
        return dict(found)
