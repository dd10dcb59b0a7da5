"""Judges histories: is there any order of things, within what was observed, that keeps every promise?

Message by message, so that judging is linear in the history; messages are looked at together only where an empty answer
or a lost one may have concerned several. What no reading explains is an anomaly, named by the one promise that has to
be let go, with the fewest operations that already show it. This is a second opinion: it shares nothing with the rules.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from popreceipt.histories.files import judge_exported, judge_intake
from popreceipt.histories.found import Found, plural
from popreceipt.histories.history import (
    Acknowledged,
    Anomaly,
    Answer,
    Fetched,
    History,
    Operation,
    Queue,
    Taken,
)
from popreceipt.histories.lives import MOST_LOST, Life, explained, needs_a_lost_one

__all__ = ["Found", "Judgement", "judge", "lives_of"]

A_GAP: Final = 8
"""So many empty answers are looked at for one stretch in which a message may have waited: one is enough to convict."""

AT_MOST: Final = 10
"""So many anomalies are told of one message."""

A_CROWD: Final = 50
"""So many messages are looked at together; where more hang together, each is judged by itself."""

MOST_TRIALS: Final = 200
"""So often a witness is made smaller."""

PROMISES: Final = (
    Anomaly.TWICE,
    Anomaly.BACK,
    Anomaly.STALE,
    Anomaly.EARLY,
    Anomaly.PHANTOM,
    Anomaly.LOST,
)
"""Which promise is let go first, to learn which was broken. A message that is late is missing at first."""


@dataclass(slots=True)
class Judgement:
    """What came of judging a history; `open` are messages with more readings than were tried."""

    found: list[Found] = field(default_factory=list)
    messages: int = 0
    open: int = 0

    @property
    def kinds(self) -> set[Anomaly]:
        """The kinds of anomalies that were found."""
        return {each.kind for each in self.found}


def judge(history: History) -> Judgement:
    """Judge everything that a history tells."""
    judgement = Judgement()
    for queue in history.queues:
        _judge_queue(queue, judgement)
    for intake in history.intakes:
        judgement.messages += len(intake.files)
        judgement.found += judge_intake(intake)
    for message, seen in history.exported.items():
        judgement.found += judge_exported(message, seen)
    return judgement


def _judge_queue(queue: Queue, judgement: Judgement) -> None:
    lives = lives_of(queue)
    judgement.messages += len(lives)
    judgement.found += _strangers(queue)
    sound: list[Life] = []
    for life in lives:
        verdict = True if _plain(life) else explained([life])
        if verdict:
            sound.append(life)
        elif verdict is None:
            judgement.open += 1
        else:
            judgement.found += _anomalies(life)
    for crowd in _crowds(sound):
        verdict = None
        if len(crowd) <= A_CROWD:
            # Those with the fewest readings first: what they need the others have to do without.
            crowd.sort(key=lambda life: (not needs_a_lost_one(life), -len(life.empty)))
            verdict = explained(crowd, most=MOST_LOST + len(crowd))
        if verdict is None:
            judgement.open += len(crowd)
        elif not verdict:
            judgement.found += _joint(crowd)


# What was seen of each message


def lives_of(queue: Queue) -> list[Life]:
    """The messages of a queue, each with what was seen of it."""
    lives: dict[str, Life] = {}
    for run in queue.produced:
        lives[run.message] = Life(queue, run.message, run, [], until=run.since + queue.retention - queue.slack)
    of_delivery: dict[int, Life] = {}
    unknown: list[Taken] = []
    for take in queue.taken:
        if take.message is None:
            unknown.append(take)
            continue
        life = lives.get(take.message)
        if life is None:
            if queue.closed:
                continue  # a stranger: told by itself
            life = lives[take.message] = Life(queue, take.message, None, [])
        life.taken.append(take)
        of_delivery[take.number] = life
    by_delivery: dict[int, list[Acknowledged]] = defaultdict(list)
    for ack in queue.acknowledged:
        by_delivery[ack.of].append(ack)
    fetched: dict[int, list[Fetched]] = defaultdict(list)
    for fetch in queue.fetched:
        fetched[fetch.of].append(fetch)
    lost = sorted([*queue.lost, *unknown], key=_since)
    empty = sorted(queue.empty, key=_since)
    starts = [each.since for each in empty]
    width = max((each.by - each.since for each in empty), default=0)
    for life in lives.values():
        if queue.until is not None:
            life.until = min(life.until, queue.until)
        for take in life.taken:
            if take.number in by_delivery:
                life.acknowledged[take.number] = by_delivery[take.number]
            if take.number in fetched:
                life.fetched[take.number] = fetched[take.number]
        life.empty = list(_that_may_have_missed(life, empty, starts, width))
        if life.empty and lost:
            life.lost = _that_may_have_taken(life, lost, by_delivery)
            for each in life.lost:
                if each.number in by_delivery:
                    life.acknowledged[each.number] = by_delivery[each.number]
    return list(lives.values())


def _since(operation: Operation) -> int:
    return operation.since


def _that_may_have_missed(
    life: Life, empty: Sequence[Operation], starts: Sequence[int], width: int
) -> Iterator[Operation]:
    """Empty answers at which the message may have waited: before its deliveries, between and after them."""
    if not empty:
        return
    lease, slack = life.queue.lease, life.queue.slack
    since = life.produced.since if life.produced is not None else None
    taken = sorted(life.taken, key=_since)
    gaps: list[tuple[int, int]] = []
    begin = since
    for take in taken:
        if begin is not None:
            gaps.append((begin, take.by))
        begin = take.since + lease + slack
    if begin is not None:
        gaps.append((begin, _gone(life, taken)))
    for begin, end in gaps:
        first = bisect_left(starts, begin - width)
        count = 0
        for place in range(first, len(empty)):
            each = empty[place]
            if each.since > end or count == A_GAP:
                break
            if each.by >= begin and each.by < life.until:
                count += 1
                yield each


def _gone(life: Life, taken: Sequence[Taken]) -> int:
    """The last instant at which the message may have been there."""
    if not taken:
        return life.until
    last = taken[-1]
    prompt = last.since + life.queue.lease - life.queue.slack
    ends = [
        ack.by
        for ack in life.acknowledged.get(last.number, ())
        if ack.answer is Answer.ACCEPTED and ack.by < prompt and last.precedes(ack)
    ]
    return min(ends, default=life.until)


def _that_may_have_taken(
    life: Life, lost: Sequence[Operation], acknowledged: Mapping[int, Sequence[Acknowledged]]
) -> list[Operation]:
    """Lost answers that may have been deliveries of the message before an empty answer that missed it."""
    earliest = life.produced.since if life.produced is not None else 0
    longest = life.queue.lease + life.queue.slack
    first = min(each.since for each in life.empty)
    return [
        each
        for each in lost
        if each.by >= earliest
        and not all(empty.precedes(each) for empty in life.empty)
        # One whose lease was over by then explains nothing, unless it was acknowledged, or put off another.
        and (each.by + longest >= first or each.number in acknowledged or bool(life.taken) or len(lost) <= A_GAP)
    ]


def _plain(life: Life) -> bool:
    """Nothing in it needs an explanation: at most one delivery, after the export run, and never missed."""
    if life.empty or len(life.taken) > 1:
        return False
    return not life.taken or life.produced is None or life.produced.precedes(life.taken[0])


def _crowds(lives: Iterable[Life]) -> Iterator[list[Life]]:
    """Messages that an empty answer, or a lost one that some of them need, may have concerned together."""
    lives = [each for each in lives if each.empty]
    parent = {id(each): each for each in lives}

    def root(life: Life) -> Life:
        while parent[id(life)] is not life:
            parent[id(life)] = parent[id(parent[id(life)])]
            life = parent[id(life)]
        return life

    first: dict[int, Life] = {}
    for life in lives:
        for each in (*life.empty, *(life.lost if needs_a_lost_one(life) else ())):
            parent[id(root(life))] = root(first.setdefault(id(each), life))
    crowds: dict[int, list[Life]] = defaultdict(list)
    for life in lives:
        crowds[id(root(life))].append(life)
    for crowd in crowds.values():
        if len(crowd) > 1:
            yield crowd


# Anomalies


def _strangers(queue: Queue) -> Iterator[Found]:
    """Deliveries of what was never produced, and files that are not what was."""
    produced = {each.message for each in queue.produced}
    for take in queue.taken:
        if take.altered is not None:
            yield Found(
                Anomaly.ALTERED,
                queue.activity,
                take.message or "",
                (take.number, take.altered),
                "its file is not the one that it was produced with",
            )
        elif take.message is not None and queue.closed and take.message not in produced:
            yield Found(
                Anomaly.PHANTOM,
                queue.activity,
                take.message,
                (take.number,),
                "a message was handed out that nobody had produced",
            )


def _anomalies(life: Life) -> Iterator[Found]:
    """What is wrong with one message: one anomaly after the other, until the rest can be explained."""
    for _ in range(AT_MOST):
        kind = _broken(life)
        witness = _smallest([life])
        yield _told(kind, life, witness)
        # The anomaly is told; what else is wrong shows without the last thing that shows it.
        latest = max(witness, key=lambda each: (each.by, each.since, each.number))
        life = life.without({latest.number})
        if explained([life]) is not False:
            return


def _broken(life: Life) -> Anomaly:
    """The promise that has to be let go; the one that comes first where more than one has."""
    for kind in PROMISES:
        if explained([life], {life.message: frozenset({kind})}):
            return kind
    granted: set[Anomaly] = set(PROMISES)
    for kind in PROMISES:
        if explained([life], {life.message: frozenset(granted - {kind})}):
            granted.remove(kind)
    return min(granted, key=PROMISES.index)


def _smallest(lives: Sequence[Life]) -> list[Operation]:
    """As few operations of some messages as no reading explains, whatever the others were.

    Where there are many, whole stretches of them are tried first, and not for ever.
    """
    operations = sorted((each for life in lives for each in life.operations()), key=_since)
    kept = operations
    size, tries = max(len(operations) // 4, 1), 0
    while tries < MOST_TRIALS:
        for start in range(0, len(kept), size):
            trial = kept[:start] + kept[start + size :]
            numbers = {each.number for each in trial}
            forgotten = {each.number for each in operations} - numbers
            tries += 1
            if explained([life.without(forgotten) for life in lives]) is False:
                kept = trial
                break
        else:
            if size == 1:
                return kept
            size = max(size // 2, 1)
    return kept


def _joint(crowd: list[Life]) -> Iterator[Found]:
    """Messages each of which can be explained by itself, but not together with the others."""
    crowd = _needed(crowd)
    for kind in PROMISES:
        for life in crowd:
            if explained(crowd, {life.message: frozenset({kind})}):
                yield _told(kind, life, _smallest(crowd))
                return
    yield _told(Anomaly.LOST, crowd[0], _smallest(crowd))


def _needed(crowd: list[Life]) -> list[Life]:
    """As few of them as cannot be explained together."""
    for each in list(crowd):
        rest = [other for other in crowd if other is not each]
        if len(rest) > 1 and explained(rest) is False:
            crowd = rest
    return crowd


# Words


def _told(kind: Anomaly, life: Life, witness: Sequence[Operation]) -> Found:
    """An anomaly in a sentence; a missing message that was seen again is late."""
    witness = sorted(witness, key=lambda each: (each.since, each.by, each.number))
    if kind is Anomaly.LOST:
        missed = [each for each in witness if each in life.empty] or life.empty
        first = min(each.since for each in missed)
        if any(take.since >= first for take in life.taken):
            kind = Anomaly.LATE
    return Found(
        kind,
        life.queue.activity,
        life.message,
        tuple(sorted({each.number for each in witness if each.number > 0})),
        _sentence(kind, life, witness),
    )


def _sentence(kind: Anomaly, life: Life, witness: Sequence[Operation]) -> str:
    takes = [each for each in witness if isinstance(each, Taken) and each.message == life.message]
    empty = [each for each in witness if each in life.empty]
    lease = plural(life.queue.lease)
    if kind in (Anomaly.TWICE, Anomaly.EARLY) and len(takes) > 1:
        gap = plural(max(0, takes[-1].by - takes[0].since))
        if kind is Anomaly.TWICE:
            return f"{takes[0].actor} and {takes[-1].actor} were handed the same message by calls at the same time"
        times = "" if len(takes) == 2 else f" {len(takes)} times"
        return f"handed out again{times} after at most {gap}; a delivery hides it for {lease}"
    if kind is Anomaly.BACK:
        return "handed out again after its acknowledgment had been accepted"
    if kind is Anomaly.STALE:
        return "gone after an acknowledgment with a receipt that a later delivery had replaced"
    if kind is Anomaly.PHANTOM:
        return "handed out before it was produced"
    if kind is Anomaly.LATE:
        return f"told that nothing waits to {_who(empty)} while it had to be there; it came later"
    if kind is Anomaly.LOST:
        return f"told that nothing waits to {_who(empty)} while it had to be there; it never came again"
    return f"no order of these operations keeps every promise; a delivery hides a message for {lease}"


def _who(empty: Sequence[Operation]) -> str:
    return empty[0].actor if empty else "somebody"
