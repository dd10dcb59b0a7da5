"""Short random histories of a few callers, right ones and defective ones, for two judges to disagree on.

A tiny server is asked random things at random instants; callers know these instants only by bounds of random width.
Some servers have one defect; whether it shows is a matter of luck.
"""

import random
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from popreceipt.histories.history import (
    Acknowledged,
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

LEASE: Final = 6

DEFECTS: Final = (
    "double",
    "early",
    "late",
    "lost",
    "forgotten",
    "no-effect",
    "stale",
    "phantom",
    "altered",
    "refused",
)
"""What a queue may do wrong."""

DEFECTIVE: Final = 0.4
"""The share of histories of queues whose server has a defect, all kinds alike."""

DISTURBED: Final = 0.3
"""The share of histories in whose observations somebody meddled afterwards."""

FILES: Final = 0.15
"""The share of histories of imports."""

MOST_LOST: Final = 4
"""So many answers are lost at most: with more the checker demands nothing of what it misses."""

STEPS: Final = (0, 0, 0, 1, 1, 2, 4, 6, 7, 8)
WIDTHS: Final = (0, 0, 0, 1, 1, 2, 4)


@dataclass(frozen=True, slots=True)
class Invented:
    """A history, and what was done to it: nothing, a server's defect, or a meddler's."""

    history: Queue | Intake
    planted: str


@dataclass(slots=True)
class _Message:
    name: str
    there: bool = False
    gone: bool = False
    holder: int = 0
    visible: int = 0
    taken: int = 0


def invent(chance: random.Random) -> Invented:
    """The next history."""
    if chance.random() < FILES:
        return _files(chance)
    return _Invention(chance).made()


Some = TypeVar("Some", bound=Operation)


class _Invention:
    """One queue under way."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._defect = chance.choice(DEFECTS) if chance.random() < DEFECTIVE else ""
        self._alone = chance.random() < 0.25
        self._widths = chance.choice((WIDTHS, WIDTHS[:4]))
        self._now = 10
        self._number = 0
        self._messages = [_Message(name) for name in ("a", "b")[: chance.choice((1, 1, 2))]]
        self._queue = Queue("q", LEASE, slack=chance.choice((0, 0, 1)))
        self._instants: dict[int, int] = {}
        self._handed: list[tuple[int, _Message]] = []
        self._over: dict[int, int] = {}

    def made(self) -> Invented:
        """Ask a few things, then forget when exactly they happened."""
        chance = self._chance
        waiting = list(self._messages)
        likely = 0.2 if self._defect == "phantom" else 0.45
        for _ in range(chance.randint(4, 9)):
            self._now += chance.choice(STEPS)
            roll = chance.random()
            if waiting and (roll < likely or (not self._number and self._defect != "phantom")):
                self._produce(waiting.pop())
            elif roll < 0.77 or not self._handed or (self._defect == "stale" and self._waits_for_a_second()):
                self._dequeue()
            elif roll < 0.95:
                self._acknowledge()
            else:
                self._fetch()
        planted = self._defect
        if chance.random() < DISTURBED:
            planted = f"{planted}+meddled" if planted else "meddled"
            self._meddle()
        return Invented(self._queue, planted)

    def _waits_for_a_second(self) -> bool:
        """No message was handed out twice yet: before that no receipt is stale."""
        return len({message.name for _, message in self._handed}) == len(self._handed)

    # What happens

    def _span(self, earliest: int = 0) -> tuple[int, str, int, int, float]:
        """Number, caller, bounds and place of what happens now."""
        self._number += 1
        number = self._number
        if self._alone:
            return number, "one", self._now, self._now, float(number)
        chance = self._chance
        since = max(self._now - chance.choice(self._widths), earliest)
        return number, chance.choice(("one", "two", "three")), since, self._now + chance.choice(self._widths), 0.0

    def _produce(self, message: _Message) -> None:
        self._queue.produced.append(Produced(*self._span(), message=message.name))
        message.there = True
        message.visible = self._now
        if self._defect == "lost" and self._chance.random() < 0.7:
            message.gone = True

    def _dequeue(self) -> None:
        chance, now = self._chance, self._now
        span = self._span()
        lost = chance.random() < 0.12 and len(self._queue.lost) < MOST_LOST
        if lost and chance.random() < 0.5:
            self._queue.lost.append(Operation(*span))
            return
        message = self._next()
        if message is None:
            (self._queue.lost if lost else self._queue.empty).append(Operation(*span))
            return
        hidden = LEASE
        if self._defect == "late":
            hidden += chance.choice((2, 3, 9))
        message.holder, message.taken, message.visible = span[0], now, now + hidden + (chance.random() < 0.5)
        message.gone = self._defect == "forgotten" and chance.random() < 0.6
        if lost:
            self._queue.lost.append(Operation(*span))
            return
        altered = 1000 if self._defect == "altered" and chance.random() < 0.5 else None
        self._queue.taken.append(Taken(*span, message=message.name, altered=altered))
        self._handed.append((span[0], message))

    def _next(self) -> _Message | None:
        chance, now = self._chance, self._now
        if self._defect == "phantom" and chance.random() < 0.9:
            unborn = [each for each in self._messages if not each.there]
            if unborn:
                return unborn[0]
        wrong = self._defect == "early" and chance.random() < 0.7
        near = self._defect == "double"
        ready = [
            each
            for each in self._messages
            if each.there
            and not each.gone
            and (each.visible <= now or wrong or (near and each.holder and now - each.taken <= 2))
        ]
        return chance.choice(ready) if ready else None

    def _acknowledge(self) -> None:
        chance, now = self._chance, self._now
        stale = [(of, each) for of, each in self._handed if each.holder != of and not each.gone]
        if self._defect == "stale" and stale:
            of, message = chance.choice(stale)
        else:
            of, message = chance.choice(self._handed if chance.random() < 0.3 else self._handed[-2:])
        current = message.holder == of and not message.gone
        prompt = now < message.taken + LEASE
        answer = Answer.ACCEPTED
        effect = current
        if current and not prompt:
            effect = chance.random() < 0.5
            answer = chance.choice((Answer.ACCEPTED, Answer.REFUSED)) if not effect else Answer.ACCEPTED
        elif not current:
            answer = chance.choice((Answer.ACCEPTED, Answer.REFUSED, Answer.DOUBT))
            effect = self._defect == "stale" and chance.random() < 0.8
        elif chance.random() < (0.8 if self._defect == "refused" else 0.15):
            answer, effect = Answer.REFUSED, self._defect == "refused"
        if chance.random() < 0.1:
            answer = Answer.DOUBT
            effect = effect and chance.random() < 0.5
        if self._defect == "no-effect" and chance.random() < 0.8:
            effect = False
        if effect:
            message.gone = True
        span = self._span(self._answered(of))
        self._queue.acknowledged.append(Acknowledged(*span, of=of, answer=answer))

    def _fetch(self) -> None:
        of, message = self._chance.choice(self._handed)
        if self._chance.random() < 0.5 and not message.gone:
            message.visible = max(message.visible, self._now + LEASE)
        self._queue.fetched.append(Fetched(*self._span(self._answered(of)), of=of))

    def _answered(self, of: int) -> int:
        """When a delivery was answered: nobody goes on before, so it was by now."""
        taken = self._queue.taken
        place = next(place for place, each in enumerate(taken) if each.number == of)
        if taken[place].by > self._now:
            taken[place] = replace(taken[place], by=self._now)
        return taken[place].by

    # What somebody did to it afterwards

    def _meddle(self) -> None:
        chance, queue = self._chance, self._queue
        deed = chance.randrange(4)
        if deed == 0 and queue.empty:
            queue.empty.append(self._moved(chance.choice(queue.empty)))
        elif deed == 1 and queue.taken:
            place = chance.randrange(len(queue.taken))
            moved = self._moved(queue.taken[place], number=queue.taken[place].number)
            # Nobody acknowledges or fetches what he was not handed yet.
            named = [each.since for each in queue.acknowledged if each.of == moved.number]
            named += [each.since for each in queue.fetched if each.of == moved.number]
            if all(moved.by <= since for since in named):
                queue.taken[place] = moved
        elif deed == 2 and queue.acknowledged:
            place = chance.randrange(len(queue.acknowledged))
            queue.acknowledged[place] = replace(queue.acknowledged[place], answer=chance.choice(list(Answer)))
        elif queue.lost:
            queue.lost.pop(chance.randrange(len(queue.lost)))

    def _moved(self, operation: Some, number: int | None = None) -> Some:
        """The same at another time."""
        chance = self._chance
        if number is None:
            self._number += 1
            number = self._number
        by = max(operation.since + chance.choice((-3, -1, 1, 2, 4, 7)), 0)
        return replace(operation, number=number, since=by, by=by + chance.choice(WIDTHS), place=0.0)


# Imports


def _files(chance: random.Random) -> Invented:
    """Two files of an in-order job, and looks at them."""
    defect = chance.choice(("", "", "overlaps", "swaps", "backwards"))
    in_order = chance.random() < 0.8
    widths = chance.choice((WIDTHS, WIDTHS[:4]))
    number, now = 0, 10
    intake = Intake("i", in_order)
    arrived: list[tuple[File, int]] = []
    for name in ("a", "b")[: chance.choice((1, 2, 2, 2))]:
        number += 1
        now += chance.choice(STEPS[:7])
        span = Operation(number, "one", now - chance.choice(widths), now + chance.choice(widths))
        arrived.append((File(name, span), now))
        intake.files.append(arrived[-1][0])
    order = list(reversed(arrived)) if defect == "swaps" else arrived
    free = 0
    times: dict[str, tuple[int, int]] = {}
    for file, came in order:
        began = max(came, free) + chance.choice((0, 1, 2, 3))
        ended = began + chance.choice((0, 2, 4, 6))
        times[file.message] = (began, ended)
        if in_order and defect != "overlaps":
            free = ended
    for _ in range(chance.randint(3, 7)):
        file, came = chance.choice(arrived)
        began, ended = times[file.message]
        number += 1
        at = chance.randint(file.enqueued.by, max(ended, file.enqueued.by) + 2)
        state = State.WAITING if at < began else State.BEGUN if at < ended else State.ENDED
        if defect == "backwards" and chance.random() < 0.4:
            state = chance.choice(list(State))
        since = max(file.enqueued.by, at - chance.choice(widths))
        text = "Processed" if defect != "backwards" or chance.random() < 0.9 else "ProcessedWithErrors"
        shown = text if state is State.ENDED else str(state)
        by = at + chance.choice(widths)
        file.seen.append(Seen(number, "two", since, by, state=state, text=shown))
    return Invented(intake, defect)
