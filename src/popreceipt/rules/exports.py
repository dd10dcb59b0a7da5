"""Which exported message a delivery handed out, told from what the protocol guarantees.

A message is known by the digest of its payload (no two produced payloads are equal), or by its CorrelationId once the
target has been seen to keep it over deliveries. Of queues of which no export run is known module `chains` tells which
delivery follows which. Receipts, locations and ids are compared, never read. What nothing tells apart stays uncertain,
and whoever judges must then be lenient.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Final

import msgspec

from popreceipt.rules.chains import BLANKS, Chains, Queue
from popreceipt.rules.facts import Ack, Call, Dequeue, Download, Production, extended
from popreceipt.rules.reader import Reader

Moment = tuple[datetime, float]
"""An instant, and where it stands in the journal among others at the same instant."""

FIRST_OF_ALL: Final = float("-inf")
LAST_OF_ALL: Final = float("inf")

PRECISION: Final = timedelta(milliseconds=999)
"""Services may keep their times in whole seconds; a second to either side is what scenarios probe."""

TARDINESS: Final = timedelta(seconds=30)
"""So much later than its half hour a message may be back where a clock runs: services look for such now and then. A
clock that is moved by hand moves all at once, and whoever waits for an instant sees it come."""

SHOWN_PRECISION: Final = timedelta(seconds=1)
"""LastDequeueDateTime may be cut or rounded to whole seconds."""

EXPORT_RECURRENCE: Final = "export-recurrence"

CHEAP: Final = 3
"""Up to so many deliveries of a message, what follows from them is found again rather than kept."""


class Message:
    """One exported message, as far as the journal tells its deliveries apart from another's.

    `certain` is False where one of its deliveries is held to the others by an unproven CorrelationId alone. `digest`
    is that of its payload; `production` the export run that made it, where the journal tells. `acks` name one of its
    deliveries by CorrelationId and PopReceipt, or (`loose`) the CorrelationId only.
    """

    __slots__ = ("acks", "activity", "certain", "deliveries", "digest", "downloads", "epoch", "loose", "production")

    def __init__(self, activity: str, epoch: int) -> None:
        self.activity = activity
        self.epoch = epoch
        self.digest: str | None = None
        self.certain = True
        self.deliveries: list[Dequeue] = []
        self.downloads: Sequence[Download] = ()
        self.acks: Sequence[Ack] = ()
        self.loose: Sequence[Ack] = ()
        self.production: Production | None = None

    def latest_before(self, call: Call) -> int:
        """The place of the last delivery that was asked for before a call was; -1 where there is none."""
        return bisect_left(self.deliveries, asked(call), key=asked) - 1


class Past(msgspec.Struct, frozen=True, gc=False):
    """Export runs in sum: whether all, or any, uploaded a file; whether all files are known; the first and the last."""

    all_uploaded: bool
    any_uploaded: bool
    all_known: bool
    oldest: datetime
    newest: datetime

    @classmethod
    def of(cls, run: Production) -> "Past":
        """One run."""
        return cls(run.uploaded, run.uploaded, run.uploaded and run.sha256 is not None, run.since, run.at)

    def joined(self, other: "Past") -> "Past":
        """Both."""
        return Past(
            self.all_uploaded and other.all_uploaded,
            self.any_uploaded or other.any_uploaded,
            self.all_known and other.all_known,
            min(self.oldest, other.oldest),
            max(self.newest, other.newest),
        )


class Exports:
    """The exported messages of a journal, each with its deliveries, downloads and acknowledgments.

    Args:
        reader: the journal's facts.
        lease: how long a delivered message stays hidden.
        retention: how long its file is kept.
    """

    def __init__(self, reader: Reader, lease: timedelta, retention: timedelta) -> None:
        self.reader = reader
        self.lease = lease
        self.retention = retention
        self.precision = min(PRECISION, lease / 10)
        self.tardiness = min(TARDINESS, lease / 60) if reader.header.clock != "manual" else timedelta(0)
        self._of_delivery: dict[int, Message] = {}
        self._touches: dict[int, list[datetime]] = {}

    # The order of things

    @cached_property
    def lines_tell(self) -> bool:
        """Whether things at one instant happened in the order in which the journal has them.

        So it is on a clock that stands still, unless several callers called at once.
        """
        header = self.reader.header
        return header.clock == "manual" and (header.recorded_by == "service" or not header.concurrent)

    def in_line(self, _activity: str) -> bool:
        """The same of one activity; no journal tells of activities apart."""
        return self.lines_tell

    def precedes(self, first: Call, second: Call) -> bool:
        """Whether a call was certainly over before another began."""
        return first.answered < second.sent or (
            first.answered == second.sent and first.seq < second.seq and self.in_line(first.activity or "")
        )

    def told_before(self, at: datetime, place: float, call: Call) -> bool:
        """Whether something told at `at` was certainly so before a call began."""
        return at < call.sent or (at == call.sent and place < call.seq and self.in_line(call.activity or ""))

    @cached_property
    def _resets(self) -> tuple[list[Moment], list[Moment]]:
        """When each reset was begun, and when it was over."""
        places = self.reader.reset_places
        begun = sorted((since, place) for (since, _), place in zip(self.reader.reset_spans, places, strict=True))
        return begun, sorted(zip(self.reader.resets, places, strict=True))

    def _epoch(self, call: Call) -> tuple[int, bool]:
        """How many resets were over before a call, and whether that is sure: none was under way."""
        begun, over = self._resets
        if not begun:
            return 0, True
        epoch = bisect_right(over, asked(call))
        return epoch, bisect_right(begun, (call.answered, call.seq)) == epoch

    # What is known of a recurring data job

    def known(self, activity: str) -> bool:
        """Whether its queue is nobody else's: the control plane spoke of it, or the service itself recorded.

        What is told of a real environment says itself whether the job is used by others.
        """
        if self.reader.header.recorded_by == "service":
            return True
        told = self.reader.activities.get(activity, [])
        return bool(told) and all(each.settings.get("exclusive", True) is True for each in told)

    def created(self, activity: str) -> bool:
        """Whether the job was created in this journal, so that nothing older can lie in its queue."""
        return any(each.created for each in self.reader.activities.get(activity, ()))

    def self_running(self, activity: str) -> bool:
        """Whether exports may appear by themselves, at the job's processing recurrence."""
        abilities = self.reader.header.target.abilities
        if abilities and EXPORT_RECURRENCE not in abilities:
            return False
        seen = self.reader.activities.get(activity)
        if not seen:
            return bool(abilities)
        return any(each.settings.get("processing_recurrence_minutes", 5) is not None for each in seen)

    def closed(self, activity: str) -> bool:
        """Whether everything that its queue ever held was produced in this journal."""
        if activity not in self._closed:
            self._closed[activity] = self.created(activity) and not self.self_running(activity)
        return self._closed[activity]

    @cached_property
    def _closed(self) -> dict[str, bool]:
        return {}

    @cached_property
    def productions(self) -> dict[str, list[Production]]:
        """Export runs by recurring data job, in order."""
        found: dict[str, list[Production]] = defaultdict(list)
        for each in sorted(self.reader.productions, key=lambda each: (each.at, each.place)):
            found[each.activity].append(each)
        return dict(found)

    def past(self, activity: str, by: datetime) -> "Past | None":
        """The export runs of a job that may have begun by an instant, in sum; None where there are none."""
        history = self._pasts.get(activity)
        if history is None:
            return None
        since, pasts = history
        place = bisect_right(since, by)
        return pasts[place - 1] if place else None

    @cached_property
    def _pasts(self) -> dict[str, tuple[list[datetime], list["Past"]]]:
        found: dict[str, tuple[list[datetime], list[Past]]] = {}
        for activity, runs in self.productions.items():
            ordered = sorted(runs, key=lambda each: each.since)
            pasts = list(accumulate((Past.of(each) for each in ordered), Past.joined))
            found[activity] = ([each.since for each in ordered], pasts)
        return found

    @cached_property
    def produced(self) -> dict[tuple[str, str], list[Production]]:
        """Export runs that uploaded a file, by recurring data job and digest of the file."""
        found: dict[tuple[str, str], list[Production]] = defaultdict(list)
        for each in self.reader.productions:
            if each.uploaded and each.sha256:
                found[(each.activity, each.sha256)].append(each)
        return dict(found)

    @cached_property
    def produced_anywhere(self) -> dict[str, list[Production]]:
        """Export runs with records that uploaded a file, by its digest. Files without records may well be equal."""
        found: dict[str, list[Production]] = defaultdict(list)
        for each in self.reader.productions:
            if each.uploaded and each.sha256 and each.records:
                found[each.sha256].append(each)
        return dict(found)

    @cached_property
    def every_digest(self) -> frozenset[str]:
        """Digests of all that was uploaded on purpose, wherever."""
        return frozenset(each.sha256 for each in self.reader.productions if each.sha256)

    def proven(self, activity: str, digest: str | None) -> Production | None:
        """The one export run whose payload has this digest, where the digest cannot be another's."""
        if digest is None:
            return None
        key = (activity, digest)
        if key not in self._proven:
            runs = self.produced.get(key, ())
            sole = runs[0] if len(runs) == 1 else None
            if sole is not None and not self.closed(activity) and (self.self_running(activity) or not sole.records):
                sole = None
            self._proven[key] = sole
        return self._proven[key]

    @cached_property
    def _proven(self) -> dict[tuple[str, str], Production | None]:
        return {}

    # Payloads

    @cached_property
    def payload_at(self) -> dict[str, list[Download]]:
        """Downloads that brought a whole file, by the location they asked for."""
        found: dict[str, list[Download]] = defaultdict(list)
        for each in self.reader.downloads:
            if each.digest is not None:
                found[each.location].append(each)
        return dict(found)

    @cached_property
    def _payload_of(self) -> dict[int, Download]:
        """The first download of each delivery's file, by the delivery's number."""
        places: dict[str, list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            if each.delivered and each.location is not None and each.location in self.payload_at:
                places[each.location].append(each)
        found: dict[int, Download] = {}
        for location, deliveries in places.items():
            payloads = self.payload_at[location]
            for payload in payloads:
                place = bisect_left(deliveries, asked(payload), key=asked) - 1
                if place >= 0:
                    found.setdefault(deliveries[place].seq, payload)
            if len({each.digest for each in payloads}) == 1:
                for delivery in deliveries:
                    found.setdefault(delivery.seq, payloads[0])
        return found

    def payload_of(self, delivery: Dequeue) -> Download | None:
        """The download of what this delivery handed out; None where nobody fetched it."""
        return self._payload_of.get(delivery.seq)

    def digest_of(self, delivery: Dequeue) -> str | None:
        """The digest of what this delivery handed out; None where nobody fetched it."""
        payload = self._payload_of.get(delivery.seq)
        return payload.digest if payload is not None else None

    # Messages

    @cached_property
    def _by_correlation(self) -> dict[tuple[str, int, str], list[str]]:
        """Digests that were delivered under a CorrelationId, one a delivery."""
        found: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for each in self.reader.dequeues:
            if each.delivered and each.correlation is not None and (digest := self.digest_of(each)) is not None:
                found[(each.activity or "", self._epoch(each)[0], each.correlation)].append(digest)
        return dict(found)

    @cached_property
    def correlation_clashes(self) -> bool:
        """Whether two different messages were seen under one CorrelationId."""
        return any(
            len({each for each in digests if self.proven(activity, each)}) > 1
            for (activity, _, _), digests in self._by_correlation.items()
            if len(digests) > 1
        )

    @cached_property
    def keeps_correlation(self) -> bool:
        """Whether the target has been seen to keep the CorrelationId of a message, and never to change one."""
        if self.correlation_clashes:
            return False
        kept = False
        seen: dict[tuple[str, int, str], str] = {}
        for (activity, epoch, correlation), digests in self._by_correlation.items():
            kept = kept or len(set(digests)) < len(digests)
            for digest in digests:
                if self.proven(activity, digest) and seen.setdefault((activity, epoch, digest), correlation) != (
                    correlation
                ):
                    return False
        return kept

    def blind(self, activity: str) -> bool:
        """Whether nothing is known of the export runs whose messages its queue holds."""
        return activity not in self.productions

    @cached_property
    def shown_slack(self) -> timedelta:
        """How far an instant that the target tells may be from where the recorder saw it."""
        header = self.reader.header
        slack = SHOWN_PRECISION
        if header.clock != "manual":
            slack = max(slack, min(timedelta(minutes=1), self.lease / 30))
        return slack + timedelta(seconds=header.clock_error_seconds)

    def says_first(self, delivery: Dequeue) -> bool:
        """Whether a delivery says of itself that it is its message's first.

        Leaving the member out says so only where the target has been seen to tell it.
        """
        return delivery.blank in BLANKS and (delivery.blank != "absent" or self._chains.tells)

    @cached_property
    def _chains(self) -> Chains:
        queues: dict[tuple[str, int], list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            if each.delivered and self.blind(each.activity or ""):
                queues[(each.activity or "", self._epoch(each)[0])].append(each)
        listed = [
            Queue(each, self.alone_since(activity), self._slack_of(activity)) for (activity, _), each in queues.items()
        ]
        return Chains(listed, self.digest_of, self._lost_at, self.lease)

    def _slack_of(self, activity: str) -> timedelta:
        """How near two instants must be to be one, where it matters which delivery is meant."""
        told = self.reader.activities.get(activity, ())
        if any(each.settings.get("exclusive") is False for each in told):
            return SHOWN_PRECISION + timedelta(seconds=self.reader.header.clock_error_seconds)
        return self.shown_slack

    def alone_since(self, activity: str) -> datetime | None:
        """From when on nobody can have taken anything from a queue unseen; None where somebody may at any time."""
        return self._first_asked.get(activity) if self.known(activity) else None

    @cached_property
    def _first_asked(self) -> dict[str, datetime]:
        """When the first dequeue of each recurring data job was over."""
        found: dict[str, datetime] = {}
        for each in self.reader.dequeues:
            if each.activity is not None:
                found.setdefault(each.activity, each.answered)
        return found

    def _lost_at(self, delivery: Dequeue) -> bool:
        """Whether the dequeue that a delivery names as the last one may be one whose answer was lost."""
        said = delivery.last_dequeue
        if said is None:
            return False
        return self.doubts_between(delivery.activity or "", said - self.shown_slack, said + self.shown_slack)

    def _key(self, delivery: Dequeue, activity: str, epoch: int) -> tuple[object, bool]:
        """What the message of a delivery is called here, and whether that is sure."""
        if self.blind(activity):
            place = self._chains.places[delivery.seq]
            return ("chain", place.first), place.sure
        own = self.digest_of(delivery)
        if self.proven(activity, own):
            return own, True
        correlation = delivery.correlation
        if correlation is None:
            return (own or delivery.seq), False
        trusted = self.keeps_correlation
        if not self.correlation_clashes:
            for each in self._by_correlation.get((activity, epoch, correlation), ()):
                if self.proven(activity, each):
                    return each, trusted
        if trusted or own is None:
            return ("correlation", correlation), trusted
        return ("correlation", correlation, own), True

    @cached_property
    def messages(self) -> list[Message]:
        """Exported messages with their deliveries, downloads and acknowledgments, each in order of time."""
        found: dict[tuple[str, int, object], Message] = {}
        for each in self.reader.dequeues:
            if not each.delivered:
                continue
            activity = each.activity or ""
            epoch, settled = self._epoch(each)
            key, sure = self._key(each, activity, epoch)
            message = found.get((activity, epoch, key))
            if message is None:
                message = found[(activity, epoch, key)] = Message(activity, epoch)
                message.production = self.proven(activity, key) if isinstance(key, str) else None
                message.digest = message.production.sha256 if message.production is not None else None
            if message.digest is None:
                message.digest = self.digest_of(each)
            message.certain = message.certain and sure and settled
            message.deliveries.append(each)
            self._of_delivery[each.seq] = message
        messages = list(found.values())
        del found
        _ = self.correlation_clashes, self.keeps_correlation
        # What they rest on is asked for nowhere else, and large.
        del self._by_correlation
        self._attach(messages)
        return messages

    def _attach(self, messages: Iterable[Message]) -> None:
        """Hang downloads and acknowledgments on the messages that they concern."""
        by_location: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            for each in message.deliveries:
                if each.location is not None:
                    listed = by_location[each.location]
                    if not listed or listed[-1] is not message:
                        listed.append(message)
        for download in self.reader.downloads:
            for message in by_location.get(download.location, ()):
                message.downloads = extended(message.downloads, download)
        del by_location
        unknown: list[Ack] = []
        for ack in self.reader.acks:
            named = self.deliveries_by_receipt.get((ack.correlation, ack.receipt))
            if named is None:
                unknown.append(ack)
                continue
            for message in {id(owner): owner for each in named if (owner := self._of_delivery[each.seq])}.values():
                message.acks = extended(message.acks, ack)
            if any(each.digest == ack.digest for each in named):
                ack.form = "echo"
        if unknown:
            self._attach_loosely(unknown, messages)

    def _attach_loosely(self, acks: Iterable[Ack], messages: Iterable[Message]) -> None:
        """Hang acknowledgments with a receipt that no delivery had on the messages that their CorrelationId names."""
        by_correlation: dict[str, dict[int, Message]] = defaultdict(dict)
        for message in messages:
            for each in message.deliveries:
                if each.correlation is not None:
                    by_correlation[each.correlation][id(message)] = message
        for ack in acks:
            if ack.correlation in by_correlation:
                for message in by_correlation[ack.correlation].values():
                    message.loose = extended(message.loose, ack)
            else:
                self._strangers.append(ack)

    @cached_property
    def _strangers(self) -> list[Ack]:
        return []

    @property
    def stray_acks(self) -> list[Ack]:
        """Acknowledgments that name no delivery of the journal."""
        _ = self.messages
        return self._strangers

    def alike_before(self, delivery: Dequeue) -> Dequeue | None:
        """The last delivery before one that has its CorrelationId and no other bytes, where no export run is known."""
        before = self.named_before(delivery)
        if before is None or len({self.digest_of(each) for each in (before, delivery)} - {None}) > 1:
            return None
        return before

    def named_before(self, delivery: Dequeue) -> Dequeue | None:
        """The last delivery before one that has its CorrelationId, where no export run is known."""
        activity = delivery.activity or ""
        if delivery.correlation is None or not self.blind(activity):
            return None
        named = self._named_in[(activity, self._epoch(delivery)[0], delivery.correlation)]
        place = bisect_left(named, asked(delivery), key=asked) - 1
        return named[place] if place >= 0 else None

    def lookalike(self, message: Message, delivery: Dequeue) -> Dequeue | None:
        """The next delivery after one of a message that may be of the same although it does not say so.

        It has the CorrelationId, and no other bytes. Known of queues of which no export run is known.
        """
        if delivery.correlation is None or not self.blind(message.activity):
            return None
        name = (message.activity, message.epoch, delivery.correlation)
        if message.digest is None:
            listed = [self._named_in[name]]
        else:
            listed = [self._alike_in[(*name, digest)] for digest in (None, message.digest)]
        found = (self._next_of_another(named, delivery, message) for named in listed)
        return min((each for each in found if each is not None), key=asked, default=None)

    def _next_of_another(self, listed: list[Dequeue], delivery: Dequeue, message: Message) -> Dequeue | None:
        later = range(bisect_right(listed, asked(delivery), key=asked), len(listed))
        return next((listed[place] for place in later if self.message_of(listed[place]) is not message), None)

    @cached_property
    def _named_in(self) -> dict[tuple[str, int, str], list[Dequeue]]:
        """Deliveries by recurring data job and CorrelationId, where no export run is known."""
        found: dict[tuple[str, int, str], list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            activity = each.activity or ""
            if each.delivered and each.correlation is not None and self.blind(activity):
                found[(activity, self._epoch(each)[0], each.correlation)].append(each)
        return found

    @cached_property
    def _alike_in(self) -> dict[tuple[str, int, str, str | None], list[Dequeue]]:
        """The same by the digest of what they led to as well."""
        found: dict[tuple[str, int, str, str | None], list[Dequeue]] = defaultdict(list)
        for (activity, epoch, correlation), named in self._named_in.items():
            for each in named:
                found[(activity, epoch, correlation, self.digest_of(each))].append(each)
        return found

    def deliveries_between(self, activity: str, since: datetime, until: datetime) -> list[Dequeue]:
        """Deliveries of a job that may have taken effect within a stretch of time (its ends included)."""
        listed, sent, longest = self._delivered.get(activity, ([], [], timedelta(0)))
        within = listed[bisect_left(sent, since - longest) : bisect_right(sent, until)]
        return [each for each in within if each.answered >= since]

    def nobody_dequeued(self, delivery: Dequeue, said: datetime) -> bool:
        """Whether it is known that nobody dequeued anything about an instant, but for the delivery that tells it."""
        activity = delivery.activity or ""
        since = self.alone_since(activity)
        low, high = said - self.shown_slack, said + self.shown_slack
        if since is None or low <= since or self.doubts_between(activity, low, high):
            return False
        if self.refused_between(activity, low, high):
            return False
        return all(each is delivery for each in self.deliveries_between(activity, low, high))

    def handed_out_elsewhere(self, delivery: Dequeue) -> Dequeue | None:
        """The delivery of another job's queue that a delivery names as its last: the same name, and no other file.

        Known where nobody dequeued from its own queue then.
        """
        said = delivery.last_dequeue
        if said is None or delivery.instant_form == "no-zone" or not self.nobody_dequeued(delivery, said):
            return None
        for other in self._by_name.get(delivery.correlation or "", ()):
            if other.activity == delivery.activity:
                continue
            near = other.sent - self.shown_slack <= said <= other.answered + self.shown_slack
            if near and self.digest_of(other) in (None, self.digest_of(delivery) or self.digest_of(other)):
                return other
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[Dequeue]]:
        """Deliveries by CorrelationId, of whatever recurring data job, in order."""
        found: dict[str, list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            if each.delivered and each.correlation is not None:
                found[each.correlation].append(each)
        return dict(found)

    @cached_property
    def _refused(self) -> dict[str, list[Dequeue]]:
        """Dequeues that were refused, by recurring data job, in order: whoever is wrong may have served them."""
        found: dict[str, list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            if each.status in (401, 403) and each.method == "GET" and each.activity is not None:
                found[each.activity].append(each)
        return dict(found)

    def refused_between(self, activity: str, since: datetime, until: datetime) -> list[Dequeue]:
        """Refused dequeues of a job within a stretch of time (its ends included)."""
        listed = self._refused.get(activity, [])
        return [each for each in listed if each.answered >= since and each.sent <= until]

    @cached_property
    def _delivered(self) -> dict[str, tuple[list[Dequeue], list[datetime], timedelta]]:
        """Each job's deliveries, when they were asked for, and how long the longest of the calls took."""
        found: dict[str, list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            if each.delivered:
                found[each.activity or ""].append(each)
        return {
            activity: (listed, [each.sent for each in listed], max(each.answered - each.sent for each in listed))
            for activity, listed in found.items()
        }

    def message_of(self, delivery: Dequeue) -> Message:
        """The message that a delivery handed out."""
        _ = self.messages
        return self._of_delivery[delivery.seq]

    @cached_property
    def deliveries_by_receipt(self) -> dict[tuple[str | None, str | None], list[Dequeue]]:
        """Deliveries by CorrelationId and PopReceipt, as an acknowledgment names them."""
        found: dict[tuple[str | None, str | None], list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            if each.delivered:
                found[(each.correlation, each.receipt)].append(each)
        return dict(found)

    def delivery_of(self, ack: Ack) -> Dequeue | None:
        """The delivery whose answer an acknowledgment repeats: the last such that was asked for before it."""
        named = self.deliveries_by_receipt.get((ack.correlation, ack.receipt), [])
        place = bisect_left(named, asked(ack), key=asked) - 1
        return named[place] if place >= 0 else None

    @cached_property
    def doubtful_dequeues(self) -> dict[str, list[Dequeue]]:
        """Calls on dequeue that may have leased a message nobody was told of, by activity, in order."""
        found: dict[str, list[Dequeue]] = defaultdict(list)
        for each in self.reader.dequeues:
            doubtful = each.kind in ("failed", "malformed") or each.in_doubt
            if each.activity is not None and (doubtful or (each.ok and each.method != "GET")):
                found[each.activity].append(each)
        return dict(found)

    def doubts_between(self, activity: str, since: datetime, until: datetime) -> bool:
        """Whether a message may have been leased unseen within a stretch of time (its ends included)."""
        starts, ends = self._doubt_spans.get(activity, ((), ()))
        return bisect_right(starts, until) > bisect_left(ends, since)

    @cached_property
    def _doubt_spans(self) -> dict[str, tuple[list[datetime], list[datetime]]]:
        """When the doubtful calls may have begun to take effect, and when they may have ended to."""
        return {
            activity: (sorted(each.sent for each in doubts), sorted(each.answered + self.linger for each in doubts))
            for activity, doubts in self.doubtful_dequeues.items()
        }

    @cached_property
    def linger(self) -> timedelta:
        """How much later than its caller gave up a lost call may still take effect."""
        return min(timedelta(minutes=1), self.lease)

    def touches(self, message: Message) -> list[datetime]:
        """For each delivery of a message the last instant at which its lease may have begun anew until the next one.

        Downloads are let extend the lease: whether they do is open. Deliveries may have come in another order than they
        were asked for, so none is earlier than those before.
        """
        known = self._touches.get(id(message))
        if known is not None:
            return known
        latest = [each.answered for each in message.deliveries]
        for download in message.downloads:
            place = message.latest_before(download)
            if place >= 0:
                latest[place] = max(latest[place], download.answered)
        latest = list(accumulate(latest, max))
        if len(latest) > CHEAP:
            self._touches[id(message)] = latest
        return latest

    def acks_by_delivery(self, message: Message) -> list[list[Ack]]:
        """For each delivery of a message the acknowledgments of it that were sent before the next one, in order."""
        found: list[list[Ack]] = [[] for _ in message.deliveries]
        for ack in sorted((*message.acks, *message.loose), key=asked):
            place = message.latest_before(ack)
            if place >= 0:
                found[place].append(ack)
        return found

    def acks_across(self, message: Message) -> dict[int, Ack]:
        """Acknowledgments that may have been effective after a later delivery than the one before them, by place."""
        found: dict[int, Ack] = {}
        for ack in (*message.acks, *message.loose):
            if not (ack.ok or ack.in_doubt):
                continue
            for place in range(message.latest_before(ack) + 1, len(message.deliveries)):
                if self.precedes(ack, message.deliveries[place]):
                    break
                found.setdefault(place, ack)
        return found


def asked(call: Call) -> Moment:
    """When a call was sent, and its place among others sent at the same instant."""
    return call.sent, call.seq


def authorised(call: Call) -> bool:
    """Made by the identity that may, as far as the journal tells."""
    return call.role in (None, "authorised")


def turned_away(call: Call) -> bool:
    """Refused for a reason that says nothing of what was asked: no authorisation, or too many calls."""
    return call.status in (401, 403, 407, 408, 425, 429)
