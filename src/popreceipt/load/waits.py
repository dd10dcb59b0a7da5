"""How long messages waited and how deep queues were, by the run's own count, beside what monitoring told of them.

What was handed in or produced is known from the run's own calls, what became of an import from Manage messages. All
times are the target's. Nothing is judged: whether a sample can be true is for the rules.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from math import ceil
from typing import Any, Final

from popreceipt.client.times import instant
from popreceipt.rules.readings import Readings

MINUTE: Final = timedelta(minutes=1)

SHARES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(slots=True)
class Depth:
    """How many messages waited in a queue: when each came, and when each left (or came back)."""

    came: list[datetime] = field(default_factory=list)
    left: list[datetime] = field(default_factory=list)

    def sort(self) -> None:
        """Once all is in."""
        self.came.sort()
        self.left.sort()

    def at(self, at: datetime) -> int:
        """How many waited then; what leaves at that very instant still does."""
        return bisect_right(self.came, at) - bisect_left(self.left, at)

    def beside(self, at: datetime, told: int) -> int:
        """How many waited then by a sample's leave: what leaves at that very instant, it may have counted or not."""
        return max(bisect_right(self.came, at) - bisect_right(self.left, at), min(told, self.at(at)))


@dataclass(slots=True)
class Waits:
    """What a run's journal tells of waiting.

    Args:
        imports: minutes from the enqueue to the end of processing, for each that was processed.
        exports: minutes from the export's run to its acknowledgment, for each that was acknowledged.
        service_seconds: from the start to the end of processing.
        open_imports: handed in, and not processed when Manage messages was looked at last.
        open_exports: produced, and not acknowledged when the run was over.
        deliveries: how many there were, redeliveries included.
        redelivered: of these, those that were not a message's first.
        depths: by activity.
        looked: Manage messages were told of these activities.
    """

    imports: list[float] = field(default_factory=list)
    exports: list[float] = field(default_factory=list)
    service_seconds: list[float] = field(default_factory=list)
    open_imports: int = 0
    open_exports: int = 0
    deliveries: int = 0
    redelivered: int = 0
    depths: dict[str, Depth] = field(default_factory=dict)
    looked: frozenset[str] = frozenset()

    def backlog(self, began: datetime, minutes: int) -> dict[str, Any] | None:
        """How many waited in all queues together: on average, at most, at most in each minute; None of no queue."""
        if not self.depths or not minutes:
            return None
        steps = sorted(
            [(at, 1) for each in self.depths.values() for at in each.came]
            + [(at, -1) for each in self.depths.values() for at in each.left]
        )
        end = began + minutes * MINUTE
        depth = sum(each.at(began) for each in self.depths.values())
        deepest = [0] * minutes
        area, since = timedelta(0), began
        for at, step in [*(each for each in steps if began <= each[0] < end), (end, 0)]:
            area += depth * (at - since)
            for minute in range((since - began) // MINUTE, min(minutes, (at - began) // MINUTE + 1)):
                deepest[minute] = max(deepest[minute], depth)
            depth, since = depth + step, at
        return {"mean": area / (end - began), "max": max(deepest), "by_minute": deepest}

    def as_json(self, began: datetime, minutes: int) -> dict[str, Any]:
        """As a result tells it: waits in minutes, the backlog in messages."""
        told: dict[str, Any] = {}
        if self.imports or self.open_imports:
            told["imports"] = {
                "processed": len(self.imports),
                "unprocessed": self.open_imports,
                "wait_minutes": spread(self.imports),
                "service_seconds": spread(self.service_seconds),
            }
        if self.exports or self.open_exports:
            told["exports"] = {
                "acknowledged": len(self.exports),
                "unacknowledged": self.open_exports,
                "deliveries": self.deliveries,
                "redelivered": self.redelivered,
                "wait_minutes": spread(self.exports),
            }
        if (backlog := self.backlog(began, minutes)) is not None:
            told["backlog"] = backlog
        return told


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, percentiles (the smallest value that so many do not exceed) and maximum; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    found = {name: ordered[max(0, ceil(share * len(ordered)) - 1)] for name, share in SHARES.items()}
    return {"mean": sum(ordered) / len(ordered), **found, "max": ordered[-1]}


def waits_of(journal: Readings, imports: Iterable[str], exports: Iterable[str]) -> Waits:
    """What a journal tells of waiting in the queues of these recurring data jobs."""
    waits = Waits()
    looked = set()
    for activity in imports:
        rows = _last_rows(journal, activity)
        if rows is not None:
            looked.add(activity)
            waits.depths[activity] = _imported(journal, activity, rows, waits)
    for activity in exports:
        if journal.productions_of(activity):
            waits.depths[activity] = _exported(journal, activity, waits)
    waits.looked = frozenset(looked)
    return waits


def _last_rows(journal: Readings, activity: str) -> Mapping[str, Mapping[str, Any]] | None:
    looks = journal.rows.get(activity)
    return max(looks, key=lambda each: each.at).by_id if looks else None


def _imported(journal: Readings, activity: str, rows: Mapping[str, Mapping[str, Any]], waits: Waits) -> Depth:
    depth = Depth()
    for call in journal.enqueues:
        if call.activity != activity or not call.ok or call.message is None:
            continue
        row = rows.get(call.message, {})
        started, completed = _instant(row, "ProcessingStartedDateTime"), _instant(row, "ProcessingCompletedDateTime")
        # Both by the target's own clock, where it tells both.
        enqueued = _instant(row, "EnqueueDateTime") or started or call.answered
        # A caller may hear late of it, when a run has taken the file and a sample has counted it: it came while he
        # asked.
        depth.came.append(min(max(enqueued, call.sent), call.answered))
        if started is not None:
            depth.left.append(started)
        if completed is None:
            waits.open_imports += 1
            continue
        waits.imports.append((completed - enqueued) / MINUTE)
        if started is not None:
            waits.service_seconds.append((completed - started).total_seconds())
    depth.sort()
    return depth


def _exported(journal: Readings, activity: str, waits: Waits) -> Depth:
    depth = Depth()
    acknowledged: set[str] = set()
    for message in journal.messages:
        if message.activity != activity:
            continue
        ended = min((each.answered for each in message.acks if each.ok), default=None)
        waits.deliveries += len(message.deliveries)
        waits.redelivered += max(0, len(message.deliveries) - 1)
        for delivery, again in zip_longest(message.deliveries, message.deliveries[1:]):
            depth.left.append(delivery.answered)
            back = delivery.answered + journal.lease
            if again is not None:
                depth.came.append(min(back, again.answered))  # It must have waited by then, whatever it should.
            elif ended is None or ended > back:
                depth.came.append(back)
        if ended is not None and message.production is not None:
            acknowledged.add(message.production.message)
            waits.exports.append((ended - message.production.at) / MINUTE)
    for run in journal.productions_of(activity):
        if run.uploaded:
            depth.came.append(run.at)
            waits.open_exports += run.message not in acknowledged
    depth.sort()
    return depth


def _instant(row: Mapping[str, Any], name: str) -> datetime | None:
    value = row.get(name)
    return instant(value) if isinstance(value, str) else None


# Monitoring


def beside_monitoring(
    journal: Readings, waits: Waits, began: datetime
) -> tuple[tuple[float, float, float | None], ...]:
    """Each time that queues were sampled: minutes from the start, the depth that was told, the run's own then.

    The jobs of a run were made one right after the other, so the n-th samples of all of them are one row.
    """
    rows = []
    # What was sampled before the first arrival was due is no part of the run.
    listed = {
        activity: [each for each in max(loads, key=lambda each: each.at).samples if each.at >= began]
        for activity, loads in journal.loads.items()
        if loads
    }
    for number in range(max((len(each) for each in listed.values()), default=0)):
        told = {activity: samples[number] for activity, samples in listed.items() if number < len(samples)}
        own = [
            waits.depths[activity].beside(sample.at, sample.waiting) if activity in waits.depths else None
            for activity, sample in told.items()
            # A queue that nothing was put into is known to be empty.
            if activity in waits.depths or sample.waiting
        ]
        counted = None if None in own else float(sum(each for each in own if each is not None))
        at = max(sample.at for sample in told.values())
        rows.append(((at - began) / MINUTE, float(sum(each.waiting for each in told.values())), counted))
    return tuple(rows)
