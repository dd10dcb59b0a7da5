"""How full the queue of a recurring data job can have been at an instant, as far as a journal tells.

An import waits from its enqueue until the batch takes it, an export from its upload until a client dequeues it. Both
are known by bounds only, so every answer is a least and a most. Nothing here knows what a monitoring recurrence saw.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final

import msgspec

from popreceipt.rules.facts import Dequeue
from popreceipt.rules.imports import SHOWN_PRECISION, Import
from popreceipt.rules.readings import Readings

NEVER: Final = datetime.max.replace(tzinfo=UTC)


class Bounds(msgspec.Struct, frozen=True, gc=False):
    """The least and the most that can have waited, the ages of the oldest, the most that can have been in process.

    `youngest` is the least age that the oldest of those that waited can have had; None where perhaps nothing waited.
    """

    least: int
    most: int
    youngest: timedelta | None
    eldest: timedelta | None
    in_process: int


class _Stay(msgspec.Struct, frozen=True, gc=False):
    """A message's stay in the queue: it came between two instants, and left not before `stays` and by `gone`."""

    sent: datetime
    came: datetime
    stays: datetime
    gone: datetime
    over: datetime


class Queue:
    """The queue of one recurring data job, to be asked for instants in ascending order or in any other.

    Args:
        stays: the stays of all messages that it ever held.
        until: from when on it is not known any more.
        deliveries: each took one of the messages, nobody says which, and it has not come back by `until`.
    """

    def __init__(self, stays: Iterable[_Stay], until: datetime, deliveries: Sequence[Dequeue] = ()) -> None:
        ordered = sorted(stays, key=lambda each: each.sent)
        self.until = until
        self._sent = [each.sent for each in ordered]
        self._gone = sorted(each.gone for each in ordered)
        self._over = sorted(each.over for each in ordered)
        certain = sorted((each for each in ordered if each.stays > each.came), key=lambda each: each.came)
        self._certain = [each.came for each in certain]
        self._leaving = sorted(each.stays for each in certain)
        # Of those that certainly came by then the first whose stay was not over: stays grow with the enqueues.
        self._stays = list(accumulate((each.stays for each in certain), max))
        self._left = list(accumulate((each.gone for each in ordered), max))
        self._asked = sorted(each.sent for each in deliveries)
        self._handed_out = sorted(each.answered for each in deliveries)

    def at(self, instant: datetime) -> Bounds:
        """What can have waited at an instant that is known to a second."""
        before, after = instant - SHOWN_PRECISION, instant + SHOWN_PRECISION
        came = bisect_left(self._certain, before)
        delivered = bisect_right(self._asked, after)
        least = max(0, came - bisect_right(self._leaving, after) - delivered)
        possible = bisect_right(self._sent, after)
        most = possible - bisect_left(self._gone, before) - bisect_left(self._handed_out, before)
        oldest = bisect_right(self._stays, after)
        first = bisect_left(self._left, before)
        return Bounds(
            least=least,
            most=most,
            youngest=before - self._certain[oldest] if least and oldest < came and not delivered else None,
            eldest=after - self._sent[first] if first < possible else None,
            in_process=possible - bisect_left(self._over, before) - least,
        )


def queue_of(journal: Readings, activity: str) -> Queue | None:
    """The queue of a job that was made in this journal and that nothing but its batch and its clients emptied."""
    told = journal.activities.get(activity)
    if not told or not told[0].created or any(place > told[0].place for place in journal.reset_places):
        return None
    if any(each.activity == activity for each in journal.cleanups):
        return None
    if any(each.activity in (None, activity) for each in journal.disturbances):
        return None
    if told[0].settings.get("direction") == "import":
        if journal.imports.lost(activity, NEVER):
            return None
        return Queue(_waits(journal.imports.of_activity.get(activity, ())), NEVER)
    return _exported(journal, activity)


def _waits(messages: Sequence[Import]) -> Iterable[_Stay]:
    for message in messages:
        sent, came = message.enqueue.sent, message.enqueue.answered
        taken, final = message.taken, message.final
        yield _Stay(
            sent,
            came,
            max(came, message.first_run()),
            taken.by if taken is not None else NEVER,
            final.by if final is not None else NEVER,
        )


def _exported(journal: Readings, activity: str) -> Queue | None:
    """Exports until the first that was dequeued may come back, or may have been dequeued without anybody's knowing."""
    if not journal.exports.closed(activity):
        return None
    runs = journal.productions_of(activity)
    deliveries = [each for each in journal.dequeues if each.activity == activity and each.delivered]
    back = min((each.sent + journal.lease for each in deliveries), default=NEVER)
    doubtful = min((each.sent for each in journal.exports.doubtful_dequeues.get(activity, ())), default=NEVER)
    spoiled = min((each.since + journal.retention for each in runs), default=NEVER)
    stays = (_Stay(each.since, each.at, NEVER if each.uploaded else each.at, NEVER, NEVER) for each in runs)
    return Queue(stays, min(back, doubtful, spoiled), deliveries)
