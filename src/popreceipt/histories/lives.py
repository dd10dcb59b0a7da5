"""The lives that messages may have had, by the documentation, so that all that was seen of them comes true.

"Recurring integrations", section "API for acknowledgment": a message that was handed out hides for half an hour, comes
back unless it was acknowledged, and is gone once it was. What the article leaves open is left open here: the half hour
may end anew with a download, exactly at its end either is right, an acknowledgment after it counts or does not, and no
order is promised among messages that wait. Whoever asks may let single promises go, to learn which one was broken.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from popreceipt.histories.history import Acknowledged, Anomaly, Answer, Fetched, Operation, Produced, Queue, Taken
from popreceipt.histories.instants import Edge, Instants

MOST_DELIVERIES: Final = 5
"""Whether a service ever gives up on a message is open: after so many deliveries nothing is demanded any more."""

MOST_LOST: Final = 4
"""So many lost answers may have been deliveries of the messages in question; with more nothing is demanded."""

MOST_TRIES: Final = 1_500
"""So many readings are begun for one question; then it stays open."""

FOREVER: Final = 1 << 62

Allowed = frozenset[Anomaly]
NOTHING: Final[Allowed] = frozenset()


class TooMany(Exception):
    """More readings than anybody wants to try."""


@dataclass(slots=True, eq=False)
class Life:
    """What was seen of one message: its export run (None: before anybody looked), deliveries, and what touches them.

    `empty` are the dequeues that were told that nothing waits while it may have waited; `lost` those that may have
    taken it. `until` is the instant from which on nothing is demanded of it.
    """

    queue: Queue
    message: str
    produced: Produced | None
    taken: list[Taken]
    acknowledged: dict[int, list[Acknowledged]] = field(default_factory=dict)
    fetched: dict[int, list[Fetched]] = field(default_factory=dict)
    empty: list[Operation] = field(default_factory=list)
    lost: list[Operation] = field(default_factory=list)
    until: int = FOREVER

    def operations(self) -> Iterator[Operation]:
        """All that has to be explained."""
        if self.produced is not None:
            yield self.produced
        yield from self.taken
        for acks in self.acknowledged.values():
            yield from acks
        yield from self.empty

    def without(self, forgotten: Collection[int]) -> "Life":
        """The same if nobody had heard what came of some operations (by number): each happened or did not."""
        produced = self.produced if self.produced is None or self.produced.number not in forgotten else None
        return Life(
            self.queue,
            self.message,
            produced,
            [each for each in self.taken if each.number not in forgotten],
            {
                of: [_doubted(each) if each.number in forgotten else each for each in acks]
                for of, acks in self.acknowledged.items()
            },
            self.fetched,
            # Whether it was there before anybody saw it, nobody can say then.
            [each for each in self.empty if each.number not in forgotten],
            sorted(
                [*self.lost, *(each for each in self.taken if each.number in forgotten)], key=lambda each: each.since
            ),
            self.until,
        )


def _doubted(ack: Acknowledged) -> Acknowledged:
    return Acknowledged(ack.number, ack.actor, ack.since, ack.by, ack.place, ack.of, Answer.DOUBT)


Reading = tuple[Instants, tuple[Operation, ...]]
"""Instants that fit so far, and the lost answers that were deliveries."""


def explained(lives: Sequence[Life], allowed: dict[str, Allowed] | None = None, most: int = MOST_LOST) -> bool | None:
    """Whether all that was seen of some messages can have come about together, with all promises kept.

    Args:
        lives: the messages, of one queue.
        allowed: promises that may be broken, by message.
        most: so many lost answers may have been deliveries.

    Returns:
        None where too many readings would have to be tried.
    """
    lost = {id(each): each for life in lives for each in life.lost}
    granted = allowed or {}
    try:
        # A lost answer can only explain what was missing, so without empty answers none is needed.
        offered = {life.message: granted.get(life.message, NOTHING) | {Anomaly.LOST} for life in lives}
        if not _Search(offered).finds(lives, 0):
            return False
        limit = min(len(lost), most)
        for few in sorted({0, min(1, limit), min(2, limit), limit}):
            if _Search(granted).finds(lives, few):
                return True
    except TooMany:
        return None
    return None if len(lost) > most else False


def needs_a_lost_one(life: Life) -> bool:
    """Whether nothing explains what was seen of a message but deliveries that nobody heard of."""
    return bool(life.lost) and explained([life], most=0) is not True


class _Search:
    """Tries one life after another, each under the instants that those before it have settled."""

    def __init__(self, allowed: dict[str, Allowed]) -> None:
        self._allowed = allowed
        self._tries = 0

    def finds(self, lives: Sequence[Life], most: int) -> bool:
        """Whether there is a reading with at most so many lost answers for deliveries."""
        return self._together(lives, (Instants(), ()), [], most)

    def _together(self, lives: Sequence[Life], reading: Reading, demands: "list[Demand]", most: int) -> bool:
        """Choose for one life after another how it went, as long as what they demand can be met."""
        if not lives:
            return self._met(reading[0], demands)
        life, rest = lives[0], lives[1:]
        allowed = self._allowed.get(life.message, NOTHING)
        for takes, (instants, used) in self._chains(life, [], list(life.taken), reading, most, allowed):
            for more in _ends(life, takes, allowed):
                narrowed = instants.copy()
                left = _narrowed(narrowed, [*demands, *more])
                if left is not None and self._together(rest, (narrowed, used), left, most):
                    return True
        return False

    def _met(self, instants: Instants, demands: "list[Demand]") -> bool:
        """Whether every demand can be met in one of its ways, those with the fewest first."""
        if not demands:
            return True
        demand = min(demands, key=lambda each: len(each.ways))
        rest = [each for each in demands if each is not demand]
        for way in demand.ways:
            self._count()
            narrowed = instants.copy()
            if all(narrowed.add(edge) for edge in way):
                left = _narrowed(narrowed, rest)
                if left is not None and self._met(narrowed, left):
                    return True
        return False

    def _count(self) -> None:
        self._tries += 1
        if self._tries > MOST_TRIES:
            raise TooMany

    def _chains(
        self,
        life: Life,
        takes: list[Operation],
        left: list[Taken],
        reading: Reading,
        most: int,
        allowed: Allowed,
    ) -> Iterator[tuple[list[Operation], Reading]]:
        """The orders in which a message may have been taken, lost answers among them."""
        self._count()
        instants, used = reading
        if not left:
            yield takes, reading
        for each in left:
            if not any(other.precedes(each) for other in left if other is not each):
                rest = [other for other in left if other is not each]
                further = _taken(life, takes, each, instants, allowed)
                if further is not None:
                    yield from self._chains(life, [*takes, each], rest, (further, used), most, allowed)
        for lost in life.lost if len(used) < most else ():
            if lost in used or any(other.precedes(lost) for other in left):
                continue
            further = _taken(life, takes, lost, instants, allowed)
            if further is not None:
                yield from self._chains(life, [*takes, lost], left, (further, (*used, lost)), most, allowed)


@dataclass(slots=True)
class Demand:
    """Something that must have been so, in one way or another; `about` are the operations that it speaks of."""

    about: tuple[Operation, ...]
    ways: list[tuple[Edge, ...]]


def _narrowed(instants: Instants, demands: list[Demand]) -> list[Demand] | None:
    """The demands that are still to be met in more than one way; None where one cannot be.

    Whatever can be met in one way only narrows the instants at once.
    """
    changed = True
    while changed:
        changed = False
        left: list[Demand] = []
        for demand in demands:
            for each in demand.about:
                instants.know(each.number, each.since, each.by)
            stands = [(way, instants.stands(way)) for way in demand.ways]
            if any(certain for _, certain in stands):
                continue
            ways = [way for way, certain in stands if certain is None]
            if not ways:
                return None
            if len(ways) > 1:
                left.append(demand if len(ways) == len(demand.ways) else Demand(demand.about, ways))
                continue
            if not all(instants.add(edge) for edge in ways[0]):
                return None
            changed = True
        demands = left
    return demands


def _behind(first: Operation, second: Operation) -> tuple[Edge, ...] | None:
    """That one operation came before another; None where it certainly did not."""
    if second.precedes(first):
        return None
    return ((first.number, second.number, 0, True),)


def _taken(
    life: Life, takes: list[Operation], another: Operation, instants: Instants, allowed: Allowed
) -> Instants | None:
    """The instants with one more delivery at the end; None where it cannot have come then."""
    queue = life.queue
    narrowed = instants.copy()
    narrowed.know(another.number, another.since, another.by)
    if not takes:
        if life.produced is None or (Anomaly.PHANTOM in allowed and another in life.taken):
            return narrowed
        narrowed.know(life.produced.number, life.produced.since, life.produced.by)
        edges = _behind(life.produced, another)
    else:
        last = takes[-1]
        edges = _behind(last, another)
        if edges is not None and not _may_be_early(life, last, another, allowed):
            edges = (*edges, (last.number, another.number, queue.lease - queue.slack, False))
    if edges is None or not all(narrowed.add(edge) for edge in edges):
        return None
    return narrowed


def _may_be_early(life: Life, last: Operation, another: Operation, allowed: Allowed) -> bool:
    # No promise is let go for the sake of a delivery that nobody saw.
    if another not in life.taken:
        return False
    if Anomaly.EARLY in allowed:
        return True
    if Anomaly.TWICE in allowed and not last.precedes(another) and not another.precedes(last):
        return True
    # Whatever comes back after its acknowledgment does so at any time.
    accepted = any(each.answer is Answer.ACCEPTED for each in life.acknowledged.get(last.number, ()))
    return Anomaly.BACK in allowed and accepted and last in life.taken


def _ends(life: Life, takes: list[Operation], allowed: Allowed) -> Iterator[list[Demand]]:
    """What must hold for each way in which a life may have ended: with an acknowledgment, or not yet."""
    if not takes:
        ends: list[Acknowledged] = []
    else:
        last = takes[-1].number
        ends = [each for each in life.acknowledged.get(last, ()) if each.answer is not Answer.REFUSED]
        if Anomaly.STALE in allowed:
            seen = {each.number for each in life.taken} - {last}
            ends += [each for of, acks in life.acknowledged.items() if of in seen for each in acks]
    for end in (None, *ends):
        demands = [] if end is None else [Demand((end, takes[-1]), _ways(_behind(takes[-1], end)))]
        demands += _acknowledgments(life, takes, end, allowed)
        demands += _hidden(life, takes, end, allowed)
        if all(each.ways for each in demands):
            yield demands


def _ways(*ways: tuple[Edge, ...] | None) -> list[tuple[Edge, ...]]:
    return [each for each in ways if each is not None]


def _acknowledgments(
    life: Life, takes: list[Operation], end: Acknowledged | None, allowed: Allowed
) -> Iterator[Demand]:
    """An accepted one without effect was late, or came after the end, or named what another delivery replaced."""
    lease = life.queue.lease - life.queue.slack
    for place, take in enumerate(takes):
        last = place + 1 == len(takes)
        if not last and Anomaly.BACK in allowed and take in life.taken:
            continue
        for ack in life.acknowledged.get(take.number, ()):
            if ack is end or ack.answer is not Answer.ACCEPTED:
                continue
            ways: list[tuple[Edge, ...]] = [((take.number, ack.number, lease, False),)]
            about: tuple[Operation, ...] = (take, ack)
            if last and end is not None:
                ways += _ways(_behind(end, ack))
                about = (*about, end)
            elif not last and allowed:
                ways += _ways(_behind(takes[place + 1], ack))
                about = (*about, takes[place + 1])
            yield Demand(about, ways)


def _hidden(life: Life, takes: list[Operation], end: Acknowledged | None, allowed: Allowed) -> Iterator[Demand]:
    """At an empty answer the message was not there yet, or hidden after a delivery, or gone."""
    if allowed & {Anomaly.LATE, Anomaly.LOST}:
        return
    longest = life.queue.lease + life.queue.slack
    for empty in life.empty:
        ways: list[tuple[Edge, ...]] = []
        about: list[Operation] = [empty, *takes]
        if life.produced is not None:
            ways += _ways(_behind(empty, life.produced))
            about.append(life.produced)
        elif takes:
            ways += _ways(_behind(empty, takes[0]))
        else:
            continue
        for place, take in enumerate(takes):
            after = _behind(take, empty)
            if after is None:
                continue
            if place + 1 >= MOST_DELIVERIES:
                ways.append(after)
                continue
            ways.append((*after, (empty.number, take.number, -longest, False)))
            for fetch in life.fetched.get(take.number, ()):
                one, two = _behind(take, fetch), _behind(fetch, empty)
                if one is not None and two is not None:
                    about.append(fetch)
                    ways.append((*one, *two, (empty.number, fetch.number, -longest, False)))
        if end is not None:
            ways += _ways(_behind(end, empty))
            about.append(end)
        yield Demand(tuple(about), ways)
