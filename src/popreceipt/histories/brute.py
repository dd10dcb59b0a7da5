"""Tries everything: every instant of every operation, every order of what happened at one instant, every lost effect.

A tiny server is led through each of them, and either answers as was observed or does not. For histories of a few
operations within a few instants only. It was written beside the checker, from the documentation ("Recurring
integrations", section "API for acknowledgment"), to find out whether both say the same; it knows nothing of how the
checker thinks, and shares only what a history is.
"""

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any, Final, NamedTuple

from popreceipt.histories.history import (
    Acknowledged,
    Anomaly,
    Answer,
    Fetched,
    File,
    Intake,
    Operation,
    Produced,
    Queue,
    Seen,
    State,
    Taken,
)

GIVEN_UP: Final = 5
"""A server may forget a message after so many deliveries."""

LET_GO: Final = (
    Anomaly.TWICE,
    Anomaly.BACK,
    Anomaly.STALE,
    Anomaly.EARLY,
    Anomaly.PHANTOM,
    Anomaly.LOST,
)
"""The promises that a server may be let off."""


class _Lost(NamedTuple):
    operation: Operation


class _Empty(NamedTuple):
    operation: Operation


class Message(NamedTuple):
    """What the tiny server knows of a message: `holder` is the number of the delivery whose receipt counts."""

    there: bool = False
    gone: bool = False
    confirmed: bool = False
    deliveries: int = 0
    holder: int = 0
    taken: int = 0
    touched: int = 0


Server = tuple[Message, ...]


def explainable(queue: Queue, off: frozenset[Anomaly] = frozenset()) -> bool:
    """Whether a server that keeps its promises (but those that it is let off) can have answered as was observed."""
    known = {each.message for each in queue.produced}
    if any(take.altered is not None or take.message not in known for take in queue.taken):
        return False
    return _Trial(queue, off).succeeds()


def unavoidable(queue: Queue) -> set[Anomaly]:
    """Each promise that alone, if it is let go, explains what was observed. None at all: several were broken."""
    return {each for each in LET_GO if explainable(queue, frozenset({each}))}


class _Trial:
    """One history, tried in every way; what was tried before is not tried again."""

    def __init__(self, queue: Queue, off: frozenset[Anomaly]) -> None:
        self._queue = queue
        self._off = off
        self._names = sorted({each.message for each in queue.produced})
        self._takes = {each.number: each for each in queue.taken}
        self._things: list[Operation | _Lost | _Empty] = [
            *queue.produced,
            *queue.taken,
            *queue.acknowledged,
            *queue.fetched,
            *map(_Lost, queue.lost),
            *map(_Empty, queue.empty),
        ]
        self._calls = [each if isinstance(each, Operation) else each.operation for each in self._things]
        self._optional = [
            isinstance(each, (_Lost, Fetched)) or (isinstance(each, Acknowledged) and each.answer is Answer.DOUBT)
            for each in self._things
        ]
        self._tried: set[tuple[int, int, Server]] = set()

    def succeeds(self) -> bool:
        everything = (1 << len(self._things)) - 1
        begin = min((each.since for each in self._calls), default=0)
        return self._goes_on(everything, begin, tuple(Message() for _ in self._names))

    def _goes_on(self, left: int, now: int, server: Server) -> bool:
        """Whether what is left can still happen, from this instant on."""
        if all(self._optional[place] for place in self._places(left)):
            return True
        key = (left, now, server)
        if key in self._tried:
            return False
        self._tried.add(key)
        deadline = min(self._calls[place].by for place in self._places(left) if not self._optional[place])
        for place in self._places(left):
            call = self._calls[place]
            if self._has_to_wait(place, left):
                continue
            if self._optional[place] and self._goes_on(left & ~(1 << place), now, server):
                return True
            for instant in range(max(now, call.since), min(call.by, deadline) + 1):
                for after in self._happens(self._things[place], instant, server):
                    if self._goes_on(left & ~(1 << place), instant, after):
                        return True
        return False

    def _places(self, left: int) -> Iterator[int]:
        return (place for place in range(len(self._things)) if left >> place & 1)

    def _has_to_wait(self, place: int, left: int) -> bool:
        """Whether something that was over before it began has still to happen, such as the delivery that it names."""
        thing, call = self._things[place], self._calls[place]
        named = thing.of if isinstance(thing, (Acknowledged, Fetched)) else None
        return any(
            (self._calls[other].precedes(call) and not self._optional[other]) or self._calls[other].number == named
            for other in self._places(left)
            if other != place
        )

    # What the tiny server may do

    def _happens(self, thing: Operation | _Lost | _Empty, now: int, server: Server) -> Iterator[Server]:
        if isinstance(thing, Produced):
            yield self._with(server, thing.message, there=True)
        elif isinstance(thing, Taken):
            if thing.message is not None and self._hands_out(server, thing.message, thing, now):
                yield self._handed_out(server, thing.message, thing.number, now)
        elif isinstance(thing, _Lost):
            for name in self._names:
                if self._hands_out(server, name, thing.operation, now):
                    yield self._handed_out(server, name, thing.operation.number, now)
        elif isinstance(thing, _Empty):
            if Anomaly.LOST in self._off or not any(self._must_show(each, now) for each in server):
                yield server
        elif isinstance(thing, Acknowledged):
            yield from self._acknowledged(server, thing, now)
        elif isinstance(thing, Fetched):
            name = self._takes[thing.of].message or ""
            if self._of(server, name).deliveries:
                yield self._with(server, name, touched=now)
            yield server

    def _hands_out(self, server: Server, name: str, call: Operation, now: int) -> bool:
        message = self._of(server, name)
        if not message.there and Anomaly.PHANTOM not in self._off:
            return False
        if message.gone:
            return message.confirmed and Anomaly.BACK in self._off
        over = not message.deliveries or now >= message.taken + self._queue.lease - self._queue.slack
        if over or Anomaly.EARLY in self._off:
            return True
        holder = self._takes.get(message.holder)
        return (
            Anomaly.TWICE in self._off
            and holder is not None
            and not holder.precedes(call)
            and not call.precedes(holder)
        )

    def _handed_out(self, server: Server, name: str, number: int, now: int) -> Server:
        count = self._of(server, name).deliveries + 1
        return self._with(
            server, name, gone=False, confirmed=False, deliveries=count, holder=number, taken=now, touched=now
        )

    def _must_show(self, message: Message, now: int) -> bool:
        if not message.there or message.gone or message.deliveries >= GIVEN_UP:
            return False
        return not message.deliveries or now > message.touched + self._queue.lease + self._queue.slack

    def _acknowledged(self, server: Server, ack: Acknowledged, now: int) -> Iterator[Server]:
        name = self._takes[ack.of].message or ""
        message = self._of(server, name)
        confirmed = ack.answer is Answer.ACCEPTED
        ended = self._with(server, name, gone=True, confirmed=confirmed)
        if message.gone:
            yield server
        elif message.holder != ack.of:
            yield server
            if Anomaly.STALE in self._off and message.deliveries:
                yield ended
        elif confirmed:
            yield ended
            if now >= message.taken + self._queue.lease - self._queue.slack:
                yield server
        else:
            yield server
            if ack.answer is Answer.DOUBT:
                yield ended

    def _of(self, server: Server, name: str) -> Message:
        return server[self._names.index(name)]

    def _with(self, server: Server, name: str, **changes: Any) -> Server:
        place = self._names.index(name)
        return (*server[:place], server[place]._replace(**changes), *server[place + 1 :])


# Imports


def explainable_files(intake: Intake) -> bool:
    """Whether the files of an import can have been processed so that all that was seen of them comes true."""
    lives = [list(_lives(file, _end(intake))) for file in intake.files]
    for chosen in product(*(range(each.enqueued.since, each.enqueued.by + 1) for each in intake.files)):
        if any(_fits(intake, lives, order) for order in _orders(chosen)):
            return True
    return not intake.files


def _end(intake: Intake) -> int:
    last = max((each.by for file in intake.files for each in (*file.seen, file.enqueued)), default=0)
    return last + 1


def _lives(file: File, end: int) -> Iterator[tuple[int, int]]:
    """When its processing may have begun and ended; `end` means not while anybody looked."""
    final = {each.text for each in file.seen if each.state is State.ENDED}
    if len(final) > 1:
        return
    start = file.enqueued.since
    for began in range(start, end + 1):
        for ended in range(began, end + 1):
            if all(_was(each, began, ended) for each in file.seen):
                yield began, ended


def _was(seen: Seen, began: int, ended: int) -> bool:
    """Whether the file was in this state at some instant of the look."""
    for instant in range(seen.since, seen.by + 1):
        if seen.state is State.WAITING and instant <= began:
            return True
        if seen.state is State.BEGUN and began <= instant <= ended:
            return True
        if seen.state is State.ENDED and instant >= ended:
            return True
    return False


def _orders(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The orders of some enqueues at these instants."""
    places = range(len(chosen))
    for order in product(places, repeat=len(chosen)):
        if sorted(order) == list(places) and all(chosen[one] <= chosen[two] for one, two in pairwise(order)):
            yield order


def _fits(intake: Intake, lives: list[list[tuple[int, int]]], order: tuple[int, ...]) -> bool:
    """Whether files can have been processed one after another in this order (each at its own, where not asked for)."""
    if not all(lives):
        return False
    if not intake.in_order:
        return True
    # Whether files wait for one that never ends is open.
    binding = [any(each.state is State.ENDED for each in intake.files[place].seen) for place in order]
    return any(
        all(not binding[earlier] or one[1] <= two[0] for earlier, one in enumerate(ways) for two in ways[earlier + 1 :])
        for ways in product(*(lives[place] for place in order))
    )
