"""Which exported messages must have been waiting when a dequeue came back empty.

Lenient wherever the journal leaves a doubt: a lost answer may have leased a message, a delivery that nobody fetched
may have been any, a lost acknowledgment may have been effective, a clean-up may have taken all. What is left must
have been there.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from heapq import heappop, heappush
from itertools import count
from typing import Final

import msgspec

from popreceipt.rules.exports import FIRST_OF_ALL, LAST_OF_ALL, Exports, Message, Moment, asked, authorised
from popreceipt.rules.facts import Ack, Call, Dequeue, Production

MOST_DELIVERIES: Final = 5
"""Whether a service ever gives up on a message is open: after so many deliveries nothing is demanded any more."""

MOST_LOST: Final = 4
"""So many lost answers of one job are let count as deliveries; with more nothing is demanded of redelivery."""

UPLOADED_BEFORE: Final = 168
"""A file may have been uploaded before its message came into the queue: by an hour of its seven days, say."""

MOST_CROWD: Final = 9
"""A message that was never seen may have been so many of the deliveries whose message nobody knows."""


class Why(StrEnum):
    """What made a message wait: the promise that an empty answer then breaks."""

    FIRST = "never delivered yet"
    AGAIN = "delivered, and its half hour is over"
    AGED = "more than a seventh of its seven days old"
    WEARY = "delivered many times"
    REFUSED = "an acknowledgment of it was refused"
    STALE = "acknowledged with a receipt that a later delivery had replaced"
    ELSEWHERE = "acknowledged on another recurring data job"
    EXPIRED = "its seven days are over"


class Wait(msgspec.Struct, gc=False):
    """A stretch in which a message stood in the queue and could be dequeued, by what the documentation promises.

    `after` is the delivery that it follows (None before the first one), `acks` the acknowledgments that should have
    changed nothing.
    """

    why: Why
    start: Moment
    end: Moment
    message: Message | None
    production: Production | None
    after: Dequeue | None
    deliveries: int
    acks: tuple[Ack, ...] = ()


class Miss(msgspec.Struct, gc=False):
    """An empty answer although more messages waited, all for one reason, than anything can have hidden."""

    empty: Dequeue
    why: Why
    wait: Wait


def following(wait: Wait) -> Dequeue | None:
    """The next delivery of a message after the one that it waited since."""
    deliveries = wait.message.deliveries if wait.message is not None else []
    return deliveries[wait.deliveries] if wait.deliveries < len(deliveries) else None


class Waiting:
    """When which message certainly waited, and which empty answers missed one."""

    def __init__(self, exports: Exports) -> None:
        self.exports = exports

    @cached_property
    def empties(self) -> dict[str, list[Dequeue]]:
        """Dequeues that an authorised caller got an empty answer to, by activity, in order."""
        found: dict[str, list[Dequeue]] = defaultdict(list)
        for each in self.exports.reader.dequeues:
            if each.kind == "empty" and each.method == "GET" and each.activity is not None and authorised(each):
                found[each.activity].append(each)
        return dict(found)

    @cached_property
    def misses(self) -> dict[Why, list[Miss]]:
        """Empty answers that missed a message, by the reason for which it waited, in order of time."""
        found: dict[Why, list[Miss]] = defaultdict(list)
        for activity, empties in self.empties.items():
            waits = self.waits.get(activity)
            if waits:
                for miss in self._missed(activity, empties, waits):
                    found[miss.why].append(miss)
        return dict(found)

    def _missed(self, activity: str, empties: list[Dequeue], waits: list[Wait]) -> Iterator[Miss]:
        waits = sorted(waits, key=lambda each: each.start)
        open_now: dict[Why, list[tuple[Moment, int, Wait]]] = defaultdict(list)
        entered = 0
        tie = count()
        hidden = _Hidden(self, activity)
        for empty in empties:
            while entered < len(waits) and waits[entered].start <= (empty.sent, empty.seq):
                heappush(open_now[waits[entered].why], (waits[entered].end, next(tie), waits[entered]))
                entered += 1
            for why, heap in open_now.items():
                while heap and heap[0][0] <= (empty.answered, empty.seq):
                    heappop(heap)
                if heap and len(heap) > hidden.at_most(empty, why):
                    yield Miss(empty, why, heap[0][2])

    # Waits

    @cached_property
    def waits(self) -> dict[str, list[Wait]]:
        """When which message certainly stood waiting, by activity, in no order.

        A wait ends with whatever may have ended it: the next delivery, an acknowledgment that may have been effective,
        a clean-up, a reset.
        """
        found: dict[str, list[Wait]] = defaultdict(list)
        delivered = {id(each.production) for each in self.exports.messages if each.production is not None}
        delivered |= self._delivered_elsewhere
        for message in self.exports.messages:
            if message.certain:
                found[message.activity].extend(self._waits_of(message))
        for activity, productions in self.exports.productions.items():
            for each in productions:
                if each.uploaded and id(each) not in delivered:
                    why = Why.WEARY if self._crowd.get(activity, 0) > MOST_CROWD else Why.FIRST
                    start = self._told(activity, each.at, each.place)
                    end = self._ended(activity, each.since, start, (_forever(each.at), FIRST_OF_ALL))
                    found[activity].extend(self._aged(why, start, end, None, each, None, 0, ()))
        return dict(found)

    @cached_property
    def _delivered_elsewhere(self) -> set[int]:
        """Export runs whose payload came out of another job's queue: that is for another rule to say."""
        exports = self.exports
        found: set[int] = set()
        for message in exports.messages:
            for each in message.deliveries:
                digest = exports.digest_of(each)
                if digest is not None and message.production is None:
                    found.update(id(run) for run in exports.produced_anywhere.get(digest, ()))
        return found

    @cached_property
    def unknown(self) -> dict[str, list[Message]]:
        """Deliveries of no certain message, by activity: each may have been any that was there."""
        found: dict[str, list[Message]] = defaultdict(list)
        for each in self.exports.messages:
            if not each.certain or (each.production is None and self._adrift(each)):
                found[each.activity].append(each)
        return dict(found)

    def _adrift(self, message: Message) -> bool:
        """Whether a message that no export run is known of may be another one that is."""
        if not self.exports.blind(message.activity):
            return True
        # It had been delivered before, and nobody knows which delivery that was.
        return not self.exports.says_first(message.deliveries[0])

    def unknown_between(self, activity: str, since: datetime, until: datetime) -> bool:
        """Whether a message may have been a delivery that nobody can tell, within a stretch of time."""
        starts, ends = self._unknown_spans.get(activity, ((), ()))
        return bisect_right(starts, until) > bisect_left(ends, since)

    @cached_property
    def _unknown_spans(self) -> dict[str, tuple[list[datetime], list[datetime]]]:
        found: dict[str, tuple[list[datetime], list[datetime]]] = {}
        for activity, messages in self.unknown.items():
            deliveries = [each for message in messages for each in message.deliveries]
            found[activity] = (sorted(each.sent for each in deliveries), sorted(each.answered for each in deliveries))
        return found

    @cached_property
    def _lost(self) -> dict[str, int]:
        """How many deliveries a message may have had that nobody can count as its own, by activity."""
        found = {activity: len(each) for activity, each in self.exports.doubtful_dequeues.items()}
        for activity, messages in self.unknown.items():
            found[activity] = found.get(activity, 0) + sum(
                len(each.deliveries) for each in messages if not each.certain or self.exports.blind(activity)
            )
        return found

    @cached_property
    def _crowd(self) -> dict[str, int]:
        """The same for a message that was never seen: it may be any one that is not known."""
        found = dict(self._lost)
        for activity, messages in self.unknown.items():
            longest = max((len(each.deliveries) for each in messages if each.certain), default=0)
            found[activity] = found.get(activity, 0) + longest
        return found

    @cached_property
    def says_no_file(self) -> bool:
        """Whether the target has been seen to announce a message without a file, so that an empty answer is none."""
        return any(each.kind == "no-file" and each.file_exists is False for each in self.exports.reader.dequeues)

    def _waits_of(self, message: Message) -> Iterator[Wait]:
        exports = self.exports
        activity = message.activity
        first = message.deliveries[0]
        run = message.production
        if run is not None:
            start = self._told(activity, run.at, run.place)
            end = self._ended(activity, run.since, start, self._began(first))
            why = Why.WEARY if self._crowd.get(activity, 0) > MOST_CROWD else Why.FIRST
            yield from self._aged(why, start, end, message, run, None, 0, ())
        elif activity in exports.productions or self._birth(message) is None:
            # It may be the message of a run that is counted as never delivered.
            return
        touches = exports.touches(message)
        acks = exports.acks_by_delivery(message)
        across = exports.acks_across(message)
        for place, delivery in enumerate(message.deliveries):
            following = message.deliveries[place + 1] if place + 1 < len(message.deliveries) else None
            last = self._began(following) if following is not None else (_forever(delivery.sent), 0.0)
            end = self._ended(activity, delivery.sent, (delivery.answered, delivery.seq), last)
            harmless, ends = self._sorted_out(message, place, acks)
            if ends is not None:
                end = min(end, self._began(ends))
            if place in across:
                end = min(end, self._began(across[place]))
            if (alike := exports.lookalike(message, delivery)) is not None:
                end = min(end, self._began(alike))
            if delivery.kind == "message":
                start = (touches[place] + exports.lease + exports.precision + exports.tardiness, LAST_OF_ALL)
                yield from self._after(message, delivery, place + 1, start, end, harmless)
            if ends is not None and ends.ok:
                return

    def _after(
        self, message: Message, delivery: Dequeue, deliveries: int, start: Moment, end: Moment, acks: list[Ack]
    ) -> Iterator[Wait]:
        weary = deliveries > MOST_DELIVERIES or self._lost.get(message.activity, 0) > MOST_LOST
        plain = end
        if acks:
            plain = min(plain, self._began(acks[0]))
        why = Why.WEARY if weary else Why.AGAIN
        yield from self._aged(why, start, plain, message, message.production, delivery, deliveries, ())
        if acks and not weary:
            reason = self._reason(message, deliveries - 1, acks)
            begin = max(start, max((each.answered, LAST_OF_ALL) for each in acks))
            yield from self._aged(reason, begin, end, message, message.production, delivery, deliveries, tuple(acks))

    def _sorted_out(self, message: Message, place: int, acks: list[list[Ack]]) -> tuple[list[Ack], Ack | None]:
        """The acknowledgments after a delivery that should change nothing, and the first that may be effective."""
        harmless: list[Ack] = []
        current = message.deliveries[place]
        if place:
            # A lost call of the stretch before may arrive late; its receipt is replaced by now.
            harmless += [
                each
                for each in acks[place - 1]
                if each.status is None and each.answered + self.exports.linger >= current.sent
            ]
        for each in acks[place]:
            if _refused(each):
                harmless.append(each)
            elif not authorised(each):
                return harmless, each
            elif each.activity != message.activity or self._replaced(message, place, each):
                harmless.append(each)
            else:
                return harmless, each
        return harmless, None

    def _replaced(self, message: Message, place: int, ack: Ack) -> bool:
        """Whether an acknowledgment's receipt is certainly one that a later delivery has replaced."""
        current = message.deliveries[place]
        if ack.receipt is None or (ack.correlation, ack.receipt) == (current.correlation, current.receipt):
            return False
        if ack.receipt == current.receipt or not self.exports.precedes(current, ack):
            return False
        return any(
            (ack.correlation, ack.receipt) == (each.correlation, each.receipt) for each in message.deliveries[:place]
        )

    def _reason(self, message: Message, place: int, acks: list[Ack]) -> Why:
        """Which promise a loss after these acknowledgments breaks: the weakest that they touch.

        One that was refused is that and nothing else: no refusal may have an effect.
        """
        reasons = {Why.REFUSED if _refused(each) else self._nature(message, place, each) for each in acks}
        order = (Why.STALE, Why.ELSEWHERE, Why.REFUSED)
        return next(each for each in order if each in reasons)

    def _nature(self, message: Message, place: int, ack: Ack) -> Why:
        """Why a harmless acknowledgment ought to change nothing, whatever it was answered."""
        if ack.activity != message.activity and ack.receipt == message.deliveries[place].receipt:
            return Why.ELSEWHERE
        return Why.STALE

    def survived(self, message: Message, why: Why) -> Iterator[tuple[Dequeue, Dequeue, list[Ack]]]:
        """Deliveries after which acknowledgments should have changed nothing, and the redelivery that shows it."""
        acks = self.exports.acks_by_delivery(message)
        for place, (delivery, again) in enumerate(zip(message.deliveries, message.deliveries[1:], strict=False)):
            if not acks[place] or not delivery.kind == again.kind == "message":
                continue
            harmless, ends = self._sorted_out(message, place, acks)
            own = [each for each in harmless if each in acks[place] and self.exports.precedes(each, again)]
            if ends is None and (shown := [each for each in own if why in self._natures(message, place, each)]):
                yield delivery, again, shown

    def _natures(self, message: Message, place: int, ack: Ack) -> list[Why]:
        """All promises that a message shows kept when it survives an acknowledgment."""
        found = [Why.REFUSED] if _refused(ack) else []
        if not found or ack.activity != message.activity or self._replaced(message, place, ack):
            found.append(self._nature(message, place, ack))
        return found

    def _aged(
        self,
        why: Why,
        start: Moment,
        end: Moment,
        message: Message | None,
        run: Production | None,
        after: Dequeue | None,
        deliveries: int,
        acks: tuple[Ack, ...],
    ) -> Iterator[Wait]:
        """A wait, cut where its message grows old and where its file expires."""
        retention = self.exports.retention
        born, by = (run.since, run.at) if run is not None else self.uploaded(message)
        if born is None:
            return
        pieces = [(why, start, min(end, (born + retention, FIRST_OF_ALL)))]
        if why in (Why.FIRST, Why.AGAIN):
            old = (born + retention / 7, FIRST_OF_ALL)
            pieces = [
                (why, start, min(end, old)),
                (Why.AGED, max(start, old), min(end, (born + retention, FIRST_OF_ALL))),
            ]
            if by is not None:
                gone = (by + retention + self.exports.precision, LAST_OF_ALL)
                pieces.append((Why.EXPIRED, max(start, gone), end))
        for reason, begin, stop in pieces:
            if begin < stop:
                yield Wait(reason, begin, stop, message, run, after, deliveries, acks)

    def uploaded(self, message: Message | None) -> tuple[datetime | None, datetime | None]:
        """The earliest and the latest instant at which a message's file can have been uploaded, as far as is known."""
        if message is None:
            return None, None
        run = message.production
        if run is not None:
            return run.since, run.at
        if not message.certain or not self.exports.blind(message.activity):
            return None, None
        return self._birth(message), min((each.answered for each in message.deliveries if each.location), default=None)

    def _birth(self, message: Message) -> datetime | None:
        """The earliest instant at which the file of a message without a known export run can have been uploaded.

        A first delivery without a LastDequeueDateTime was not there at the empty answer before it. Without such a
        bound its file may expire at any moment, and nothing can be demanded.
        """
        first = message.deliveries[0]
        before = self.empty_before(first) if self.exports.says_first(first) else None
        return before.sent - self.exports.retention / UPLOADED_BEFORE if before is not None else None

    def fresh(self, delivery: Dequeue) -> bool:
        """Whether a delivery was certainly its message's first, on a job of which no export run is known.

        Nothing was there, nor hidden for more than a half hour: every delivery of that stretch was of another file.
        """
        exports = self.exports
        activity = delivery.activity or ""
        empty = self.empty_before(delivery)
        begun = exports.alone_since(activity)
        if empty is None or begun is None:
            return False
        hidden_since = empty.sent - exports.lease - exports.linger - exports.precision - exports.tardiness
        if hidden_since < begun or exports.doubts_between(activity, hidden_since, delivery.answered):
            return False
        own = exports.digest_of(delivery)
        touched = self._touched.get(activity, [])
        for _, each in touched[bisect_left(touched, hidden_since, key=lambda one: one[0]) :]:
            other = exports.digest_of(each)
            if each is not delivery and not exports.precedes(delivery, each) and (own is None or other in (None, own)):
                return False
        return True

    @cached_property
    def _touched(self) -> dict[str, list[tuple[datetime, Dequeue]]]:
        """The last instant at which each delivery's lease may have begun anew, by activity, in order of time."""
        found: dict[str, list[tuple[datetime, Dequeue]]] = defaultdict(list)
        for message in self.exports.messages:
            found[message.activity].extend(zip(self.exports.touches(message), message.deliveries, strict=True))
        for each in found.values():
            each.sort(key=lambda one: one[0])
        return dict(found)

    def empty_before(self, delivery: Dequeue) -> Dequeue | None:
        """The last empty answer that was certainly there before a delivery, on the same job."""
        empties = self.empties.get(delivery.activity or "", [])
        place = bisect_left(empties, asked(delivery), key=asked) - 1
        while place >= 0 and not self.exports.precedes(empties[place], delivery):
            place -= 1
        return empties[place] if place >= 0 else None

    def empty_after(self, delivery: Dequeue) -> Dequeue | None:
        """The first empty answer that was certainly asked for after a delivery, on the same job."""
        empties = self.empties.get(delivery.activity or "", [])
        place = bisect_left(empties, (delivery.answered, FIRST_OF_ALL), key=asked)
        while place < len(empties) and not self.exports.precedes(delivery, empties[place]):
            place += 1
        return empties[place] if place < len(empties) else None

    def empty_since(self, activity: str, instant: datetime) -> Dequeue | None:
        """The first empty answer of a job that was asked for after an instant."""
        empties = self.empties.get(activity, [])
        place = bisect_right(empties, (instant, LAST_OF_ALL), key=asked)
        return empties[place] if place < len(empties) else None

    # Refusals

    def refused_before(self, miss: Miss) -> Dequeue | None:
        """The first refused dequeue that may have hidden what an empty answer missed, were it served all the same."""
        activity, empty = miss.empty.activity or "", miss.empty
        since = max(miss.wait.start[0], empty.sent - self.exports.lease)
        refused = self.exports.refused_between(activity, since, empty.sent)
        return next((each for each in refused if self.exports.precedes(each, empty)), None)

    def back_after(self, miss: Miss, refused: Dequeue) -> Dequeue | None:
        """The next delivery of a message that was missed, if a refused dequeue is what hid it: as it says itself.

        It comes a half hour after that, and names it as the last one.
        """
        again, slack = following(miss.wait), self.exports.shown_slack
        if again is None or again.sent < refused.sent + self.exports.lease - self.exports.precision:
            return None
        said, after = again.last_dequeue, miss.wait.after
        if said is None or after is None or after.sent - slack <= said <= after.answered + slack:
            return None
        return again if refused.sent - slack <= said <= refused.answered + slack else None

    # Bounds

    def _began(self, call: Call) -> Moment:
        """The earliest moment at which a call can have taken effect."""
        return (call.sent, call.seq) if self.exports.in_line(call.activity or "") else (call.sent, FIRST_OF_ALL)

    def _told(self, activity: str, at: datetime, place: float) -> Moment:
        """The moment from which on something told at `at` certainly was so."""
        return (at, place) if self.exports.in_line(activity) else (at, LAST_OF_ALL)

    def _ended(self, activity: str, since: datetime, settled: Moment, end: Moment) -> Moment:
        """The end of a stretch, cut at the first clean-up or reset that may have come after its beginning.

        Args:
            activity: the recurring data job.
            since: when the stretch began at the earliest.
            settled: when it had certainly begun, and its place in the journal.
            end: the end without these.
        """
        floor = settled if self.exports.in_line(activity) else (since, FIRST_OF_ALL)
        for wipes in (self._wipes.get(activity, ()), self._wipes.get(None, ())):
            place = bisect_right(wipes, floor, key=lambda each: each[0])
            if place < len(wipes):
                begun, where = wipes[place][1]
                end = min(end, (begun, where if self.exports.in_line(activity) else FIRST_OF_ALL))
        return end

    @cached_property
    def _wipes(self) -> dict[str | None, list[tuple[Moment, Moment]]]:
        """Clean-ups by activity, and resets (under None): when over and when begun, in order."""
        found: dict[str | None, list[tuple[Moment, Moment]]] = defaultdict(list)
        reader = self.exports.reader
        for each in reader.cleanups:
            found[each.activity].append(((each.at, each.place), (each.since, each.place)))
        for (since, at), place in zip(reader.reset_spans, reader.reset_places, strict=True):
            found[None].append(((at, place), (since, place)))
        for wipes in found.values():
            wipes.sort()
        return dict(found)


class _Hidden:
    """How many messages something unknown may keep from a dequeue of one activity at a time."""

    def __init__(self, waiting: Waiting, activity: str) -> None:
        exports = waiting.exports
        lease, margin = exports.lease, exports.precision + exports.tardiness
        gone: list[datetime] = [each.sent for each in exports.stray_acks if _maybe(each) and each.activity == activity]
        spans = [
            (each.sent, each.answered + exports.linger + lease + margin)
            for each in exports.doubtful_dequeues.get(activity, ())
        ]
        runs = exports.productions.get(activity, [])
        for message in waiting.unknown.get(activity, ()):
            touches = exports.touches(message)
            spans += [
                (each.sent, touch + lease + margin) for each, touch in zip(message.deliveries, touches, strict=True)
            ]
            gone += [each.sent for each in (*message.acks, *message.loose) if _maybe(each)]
        self._starts = sorted(start for start, _ in spans)
        self._ends = sorted(end for _, end in spans)
        self._gone = sorted(gone)
        # Messages without a file, as yet or by now, that a service may announce with an empty answer.
        self._mute: list[datetime] = []
        self._never_sure = False
        if not waiting.says_no_file:
            self._mute = sorted(
                each.since if not each.uploaded else each.since + exports.retention - exports.precision for each in runs
            )
            told = exports.reader.activities.get(activity, ())
            prevents = any(each.settings.get("prevent_upload_when_zero_records") for each in told)
            self._never_sure = prevents and not exports.closed(activity)

    def at_most(self, empty: Dequeue, why: Why) -> float:
        """The largest number of messages that can have been hidden from this call."""
        if why is not Why.EXPIRED and (self._never_sure or bisect_right(self._mute, empty.answered)):
            return float("inf")
        hidden = bisect_right(self._starts, empty.answered) - bisect_left(self._ends, empty.sent)
        return hidden + bisect_right(self._gone, empty.answered)


def _refused(ack: Ack) -> bool:
    """Answered, and in a way that excludes an effect."""
    return ack.refused and not ack.in_doubt


def _maybe(ack: Ack) -> bool:
    """It may have been effective."""
    return ack.ok or ack.in_doubt


def _forever(instant: datetime) -> datetime:
    return datetime.max.replace(tzinfo=instant.tzinfo)
