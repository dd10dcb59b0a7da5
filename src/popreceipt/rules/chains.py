"""Which delivery follows which, by the server's own word, where nobody told of the export runs behind them.

On a real environment nothing that the protocol guarantees tells the messages of a queue apart: two exports of unchanged
records may be equal to the byte, and a CorrelationId may be fresh each time. But a message that comes back says when it
was last dequeued, and one that comes for the first time leaves that blank. Where just one delivery can be meant, the
two are of one message; where several can, or a call whose answer was lost, nobody knows. Once a target has been seen to
keep its CorrelationIds, they tell as well. This module reads no receipt, id or location, and judges nothing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from popreceipt.rules.facts import Dequeue

MOST_COMPARED: Final = 64
"""More deliveries than these, within the precision of one instant, are not told apart."""

BLANKS: Final = frozenset({"null", "absent", "empty", "0001", "1900"})
"""The forms in which a LastDequeueDateTime says that there was no delivery before."""


class Queue(msgspec.Struct, frozen=True, gc=False):
    """What was handed out of one queue, in order of time.

    `alone_since` is from when on nobody else can have taken anything, None where others may at any time. `slack` is how
    far an instant that is told may be from where the recorder saw it: little where others take messages as well.
    """

    deliveries: Sequence[Dequeue]
    alone_since: datetime | None
    slack: timedelta


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a delivery stands: the number of the first one of its message, and whether that is sure."""

    first: int
    sure: bool


class Chains:
    """The deliveries of queues of which no export run is known, each under the first of its message.

    Args:
        queues: what was handed out, by queue.
        digest_of: the digest of the file that a delivery led to, None where nobody fetched it.
        lost_at: whether a dequeue that nobody got an answer to may be the one that a delivery says was the last.
        lease: how long a delivered message stays hidden.
    """

    def __init__(
        self,
        queues: Sequence[Queue],
        digest_of: Callable[[Dequeue], str | None],
        lost_at: Callable[[Dequeue], bool],
        lease: timedelta,
    ) -> None:
        self._digest_of = digest_of
        self._lost_at = lost_at
        self.tells = any(each.last_dequeue is not None for queue in queues for each in queue.deliveries)
        self._kept = self._changed = self._trusted = False
        named = {each.correlation for queue in queues for each in queue.deliveries}
        self._clash = None in named or any(_clash(queue, lease) for queue in queues)
        for queue in queues:
            self._placed(queue)
        self._trusted = self._kept and not self._changed and not self._clash and len(named) > 1
        self.places: dict[int, Place] = {}
        for queue in queues:
            self.places |= self._placed(queue)

    def _placed(self, queue: Queue) -> dict[int, Place]:
        """Each delivery's place by its number."""
        sent = [each.sent for each in queue.deliveries]
        longest = max((each.answered - each.sent for each in queue.deliveries), default=timedelta(0))
        varied = len({each.correlation for each in queue.deliveries}) > 1
        latest: dict[str | None, Dequeue] = {}
        first: dict[int, int] = {}
        sure: dict[int, bool] = {}
        firsts: dict[str, set[int]] = {}
        for place, each in enumerate(queue.deliveries):
            said = each.last_dequeue
            known = latest.get(each.correlation) if self._trusted and said is not None else None
            certain = known is not None and (queue.alone_since is not None or _close(known, each, queue.slack))
            if said is None:
                certain = each.blank in BLANKS and (self.tells or each.blank != "absent")
            elif not certain:
                low = bisect_left(sent, said - queue.slack - longest)
                high = min(bisect_right(sent, said + queue.slack), place)
                near = queue.deliveries[low:high]
                if len(near) > MOST_COMPARED:
                    same_name = latest.get(each.correlation)
                    near = () if self._clash or same_name is None else (same_name,)
                meant = [one for one in near if _close(one, each, queue.slack)]
                known, certain = self._meant(each, meant, first, queue, varied=varied)
            latest[each.correlation] = each
            first[each.seq] = first[known.seq] if known is not None and certain else each.seq
            sure[each.seq] = certain
            if (digest := self._digest_of(each)) is not None:
                firsts.setdefault(digest, set()).add(first[each.seq])
        places = {}
        for each in queue.deliveries:
            # A file that is no other message's: what came before is not known, but it is one message.
            single = len(firsts.get(self._digest_of(each) or "", ())) == 1
            places[each.seq] = Place(first[each.seq], sure[each.seq] or single)
        return places

    def _meant(
        self, delivery: Dequeue, near: Sequence[Dequeue], first: dict[int, int], queue: Queue, *, varied: bool
    ) -> tuple[Dequeue | None, bool]:
        """Which of the deliveries near the instant that it tells is of the same message, and whether that is sure."""
        if self._lost_at(delivery) or delivery.last_dequeue is None:
            return None, False
        alone = queue.alone_since is not None and queue.alone_since < delivery.last_dequeue - queue.slack
        own = self._digest_of(delivery)
        fitting = [each for each in near if own is None or self._digest_of(each) in (None, own)]
        named = [
            each
            for each in fitting
            if each.correlation == delivery.correlation and (varied or self._digest_of(each) == own is not None)
        ]
        named = [] if self._clash else named
        if len({first[each.seq] for each in fitting}) == 1:
            before = fitting[-1]
            kept = before.correlation == delivery.correlation
            same_file = own is not None and self._digest_of(before) == own
            if same_file or (alone and kept):
                self._kept = self._kept or kept
                self._changed = self._changed or not kept
            # What has no file and a fresh name is known by the instant alone: just one delivery was then.
            by_instant = delivery.kind == "no-file" and delivery.instant_form != "no-zone"
            return before, bool(named) or (alone and (kept or same_file or by_instant))
        if len({first[each.seq] for each in named}) == 1:
            return named[-1], True
        if alone and not fitting:
            # Other bytes, as only a wrong target has them: then it is the name that tells.
            named = [each for each in near if each.correlation == delivery.correlation and (varied or len(near) == 1)]
            named = [] if self._clash else named
            if len({first[each.seq] for each in named}) == 1:
                return named[-1], True
        return None, False


def _close(before: Dequeue, delivery: Dequeue, slack: timedelta) -> bool:
    """Whether the instant that a delivery tells may be that of one before it."""
    said = delivery.last_dequeue
    return said is not None and before.sent - slack <= said <= before.answered + slack


def _clash(queue: Queue, lease: timedelta) -> bool:
    """Whether two messages of a queue seem to have one CorrelationId."""
    latest: dict[str | None, Dequeue] = {}
    for each in queue.deliveries:
        before = latest.get(each.correlation)
        if before is not None and not _close(before, each, queue.slack):
            soon = each.answered - before.sent < lease / 2
            if soon or each.last_dequeue is None:
                return True
        latest[each.correlation] = each
    return False
