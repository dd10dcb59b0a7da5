"""Runs that no recurrence accounts for, where only its period is known, as on a real environment.

When a run begins nobody tells there. But from one occurrence to the next there are two runs at most: a late one, and
the next one in time. And no run waits for somebody to hand in a file, time and again.

What tells runs apart is quiet: whatever was handed in has come to its end, and half a minute later even a run that
takes what comes while it goes on has found nothing more. Only a job that nobody else uses is quiet for certain.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.facts import Call
from popreceipt.rules.imports import BEGUN, Import, Sighting
from popreceipt.rules.readings import Readings

QUIET: Final = timedelta(seconds=30)
"""So long after everything has come to its end no run goes on."""

RUNS: Final = 3
"""So many within one period are more than a late run and the next one."""

CHANCES: Final = 4
"""So many files that each find a run just begun, at different times of the period, do so by no chance."""

MOMENT: Final = 100
"""A run has just begun if that was within this part of a period: the chance of one file, on a service that is right."""


class Begun(msgspec.Struct, frozen=True, gc=False):
    """An import that came in quiet, and the first sight of it that shows a run to have begun between the two."""

    message: Import
    sighting: Sighting

    @property
    def span(self) -> timedelta:
        """How long that was at most."""
        return self.sighting.by - self.message.enqueue.sent

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that show it."""
        return (self.message.enqueue, *self.sighting.told_by)


def too_often(journal: Readings) -> Iterator[tuple[Begun, ...]]:
    """As many imports, one after another, as no recurrence processes within one period."""
    for messages in journal.imports.of_activity.values():
        processed = [
            Begun(each, sighting)
            for each in _in_quiet(messages)
            if (sighting := next((one for one in each.asked if one.state in BEGUN), None)) is not None
        ]
        for chosen in _chosen(journal, processed, RUNS):
            if chosen[-1].sighting.by - chosen[0].message.enqueue.sent < _period(chosen):
                yield chosen


def at_a_call(journal: Readings) -> Iterator[tuple[Begun, ...]]:
    """Imports, one after another, that were all taken the moment they came, at different times of the period."""
    for messages in journal.imports.of_activity.values():
        first_told = [Begun(each, each.asked[0]) for each in _in_quiet(messages) if each.asked]
        for chosen in _chosen(journal, first_told, CHANCES):
            period = _period(chosen)
            if all(_is_taken(each.sighting) and each.span * MOMENT < period for each in chosen) and (
                _spread(chosen, period) >= period / 2
            ):
                yield chosen


def waited(message: Import) -> Sighting | None:
    """A sight of a message that had waited for a while, where its job runs at a recurrence of a known period."""
    if message.recurrence.period is None or message.recurrence.origin is not None:
        return None
    long_since = message.enqueue.answered + QUIET
    return next((each for each in message.seen if each.state == vocabulary.ENQUEUED and each.since >= long_since), None)


def _in_quiet(messages: Sequence[Import]) -> Iterator[Import]:
    """The imports of a job that came when all before them had ended.

    The first of all is none of them: what somebody handed in before the journal began may have been in process.
    """
    over = None
    for before, message in pairwise(messages):
        over = before.over_by if over is None else max(over, before.over_by)
        if over > message.enqueue.sent - QUIET or message.settings.get("exclusive") is not True:
            continue
        if message.file is not None and not message.rows:
            yield message


def _chosen(journal: Readings, begun: Sequence[Begun], number: int) -> Iterator[tuple[Begun, ...]]:
    """So many neighbours each, wherever nothing but one recurrence of a known period can have taken them."""
    for place in range(len(begun) - number + 1):
        chosen = tuple(begun[place : place + number])
        first, last = chosen[0], chosen[-1]
        recurrence = last.message.recurrence
        if recurrence.period is None or recurrence.origin is not None or last.sighting.by >= recurrence.until:
            continue
        if any(each.message.recurrence is not recurrence for each in chosen):
            continue
        if recurrence.ran_on_purpose(first.message.at(first.message.enqueue), last.sighting):
            continue
        if not journal.imports.lost(last.message.activity, last.sighting.by):
            yield chosen


def _period(chosen: Sequence[Begun]) -> timedelta:
    return chosen[-1].message.recurrence.period or timedelta(0)


def _is_taken(sighting: Sighting) -> bool:
    return sighting.state in BEGUN or sighting.state == vocabulary.PREPROCESSING


def _spread(chosen: Sequence[Begun], period: timedelta) -> timedelta:
    """How much of the period lies between the first and the last of the times at which they came, the shorter way."""
    origin = chosen[0].message.enqueue.sent
    times = sorted((each.message.enqueue.sent - origin) % period for each in chosen)
    gaps = [second - first for first, second in pairwise([*times, times[0] + period])]
    return period - max(gaps)
