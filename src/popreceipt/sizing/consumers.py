"""Consumers of one queue, poll by poll: what they dequeue, how long they hold it, what comes back.

A consumer dequeues until it has as many messages as it takes at once or finds none, fetches and handles one after the
other and acknowledges each. Half an hour after its dequeue a message is offered again unless it was acknowledged, at
the tail of the queue ("Recurring integrations", section "API for acknowledgment"; its place there, and what becomes of
a late acknowledgment, the documentation leaves open). An acknowledgment counts as long as nobody has dequeued the
message again. Draws nothing itself: times are handed in.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from popreceipt.sizing.plan import LEASE
from popreceipt.sizing.work import Floats

_HALF_HOUR: Final = LEASE.total_seconds()

Outage = tuple[float, float]
"""From when to when no consumer does anything, in seconds."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How consumers go about it. `poll` is in seconds, from a poll that found nothing to the next one."""

    poll: float
    consumers: int = 1
    prefetch: int = 1


@dataclass(frozen=True, slots=True)
class Walked:
    """Every delivery, in the order of the dequeues, and what that led to.

    Args:
        message: which one was delivered, counted in the order of arrival.
        dequeued: when, in seconds.
        acknowledged: when it was acknowledged; infinite where its consumer went down with it.
        batch: deliveries of one poll have the same number here.
        empty_at: when a poll first found nothing after the outage (without one: since the start); None when none did.
        waiting: how many messages were never dequeued.
    """

    message: npt.NDArray[np.int64]
    dequeued: Floats
    acknowledged: Floats
    batch: npt.NDArray[np.int64]
    empty_at: float | None
    waiting: int

    @property
    def holds(self) -> Floats:
        """From each dequeue to its acknowledgment, in seconds."""
        return self.acknowledged - self.dequeued

    @property
    def comes_back(self) -> npt.NDArray[np.bool_]:
        """For each delivery, whether the message is offered again before it is acknowledged."""
        return self.holds >= _HALF_HOUR


def walk(
    arrived: Floats,
    habits: Habits,
    times: Iterator[float],
    *,
    until: float,
    outage: Outage | None = None,
    to_empty: bool = False,
) -> Walked:
    """Let consumers work on what arrives.

    Args:
        arrived: instants in seconds, ascending.
        habits: of the consumers; their first polls are spread over one polling interval.
        times: seconds that a delivery takes from its turn to its acknowledgment, without end.
        until: no poll at or after this instant, in seconds.
        outage: who holds messages when it begins loses them; when it ends polls begin as they did at first.
        to_empty: stop as soon as a poll finds nothing after the outage.
    """
    came, count, following = arrived.tolist(), len(arrived), 0
    begins, ends = outage if outage is not None else (math.inf, 0.0)
    first_polls = [habits.poll * each / habits.consumers for each in range(habits.consumers)]
    polls = [(first if first < begins else ends + first, who) for who, first in enumerate(first_polls)]
    # By the end of the lease, then by the number: the order in which what comes back is offered.
    held: list[tuple[float, int, float]] = []
    message: list[int] = []
    dequeued: list[float] = []
    acknowledged: list[float] = []
    batch: list[int] = []
    empty_at: float | None = None
    number = 0
    while (poll := polls[0])[0] < until:
        now, who = poll
        number += 1
        clock, fetched = now, 0
        while fetched < habits.prefetch:
            while held and held[0][0] <= now and held[0][2] <= now:
                heapq.heappop(held)
            back = bool(held) and held[0][0] <= now
            if following < count and came[following] <= now and not (back and held[0][0] <= came[following]):
                one, following = following, following + 1
            elif back:
                one = heapq.heappop(held)[1]
            else:
                break
            clock += next(times)
            in_time = clock if not now < begins < clock else math.inf
            heapq.heappush(held, (now + _HALF_HOUR, one, in_time))
            message.append(one)
            dequeued.append(now)
            acknowledged.append(in_time)
            batch.append(number)
            fetched += 1
        due = clock
        if fetched < habits.prefetch:
            if empty_at is None and now >= ends:
                empty_at = now
                if to_empty:
                    break
            due = max(clock, now + habits.poll)
            if not fetched:
                # Nobody can find anything before this, so the polls until then may be passed over.
                visible = min(came[following] if following < count else math.inf, held[0][0] if held else math.inf)
                if visible == math.inf:
                    if now >= ends:
                        break
                    visible = begins
                due = now + habits.poll * max(1, math.ceil((visible - now) / habits.poll))
        heapq.heapreplace(polls, (ends + first_polls[who] if now < begins <= due else due, who))
    return Walked(
        np.array(message, dtype=np.int64),
        np.array(dequeued),
        np.array(acknowledged),
        np.array(batch, dtype=np.int64),
        empty_at,
        count - following,
    )
