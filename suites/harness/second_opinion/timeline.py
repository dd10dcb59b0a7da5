"""What happened when a story was played: who got what, between which two readings of a stopwatch.

It speaks to no server. From what was handed out so far it tells in which situation a step is, and whether it can be
known that a time-out was still running.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from .stories import Delete, Get, Put, Receipt

GRAIN: Final = 0.002
"""Azurite counts whole milliseconds; two of them are left to either side of a time-out's end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller can tell: the class of the status, which message came (by its number), and if it came before.

    `answer` is 2xx, 4xx, 5xx, or "nothing" where a get succeeded and handed out no message.
    """

    answer: str
    message: int | None = None
    again: bool = False

    @property
    def outcome(self) -> str:
        """The same without the number."""
        if self.message is None:
            return self.answer
        return "again" if self.again else "first time"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a get handed out. The time-out began between the two readings."""

    message: int
    identifier: str
    receipt: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Aim:
    """What a delete aims at: a delivery by its number, and whose receipt it shows where that is another's."""

    delete: Delete
    delivery: int
    other: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """One step that was played: in which situation, between which readings, and what was seen."""

    step: Put | Get | Aim
    situation: str
    began: float
    ended: float
    seen: Seen
    decided: bool
    """Whether it is known of every message if it was hidden at that moment."""


@dataclass
class Timeline:
    """A story as it was played so far, on a queue whose gets hide a message for `visibility` seconds."""

    visibility: float
    moments: list[Moment] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    puts: int = 0
    deleted: dict[int, int] = field(default_factory=dict)
    """Messages that are gone, each with the delivery whose receipt did it."""

    def newest(self) -> dict[int, int]:
        """The last delivery of each message that was handed out."""
        return {each.message: number for number, each in enumerate(self.deliveries)}

    def running(self) -> list[Delivery]:
        """The last deliveries of the messages that are not gone."""
        return [self.deliveries[number] for message, number in self.newest().items() if message not in self.deleted]

    def end_of_hiding(self) -> float:
        """From when on nothing that was got is hidden any more, and that is known."""
        return max((each.ended + self.visibility + 5 * GRAIN for each in self.running()), default=0.0)

    def aim(self, delete: Delete) -> Aim | None:
        """What a delete aims at; None where nothing was handed out that it could."""
        newest = self.newest()
        candidates: Sequence[tuple[int, int | None]]
        match delete.receipt:
            case Receipt.NEWEST:
                candidates = [(number, None) for message, number in newest.items() if message not in self.deleted]
            case Receipt.REPLACED:
                replaced = set(range(len(self.deliveries))) - set(newest.values())
                candidates = [(number, None) for number in sorted(replaced)]
            case Receipt.USED:
                candidates = [(number, None) for number in self.deleted.values()]
            case Receipt.ANOTHERS:
                numbers = newest.values()
                # Azurite draws sixteen bits for a receipt: two of one second may be equal, and are nobody else's then.
                candidates = [
                    (one, other)
                    for one in numbers
                    for other in numbers
                    if self.deliveries[one].receipt != self.deliveries[other].receipt
                ]
            case _:
                candidates = [(number, None) for number in newest.values()]
        if not candidates:
            return None
        return Aim(delete, *candidates[delete.pick % len(candidates)])

    def situation(self, step: Put | Get | Aim, began: float) -> str:
        """In which situation a step that begins now is."""
        if isinstance(step, Put):
            return "a put"
        if isinstance(step, Get):
            return f"a get: {self._waiting(began)}"
        delivery = self.deliveries[step.delivery]
        receipt = step.delete.receipt
        if receipt is Receipt.NEWEST:
            hidden = began < delivery.ended + self.visibility
            return f"a delete with {receipt}, {'within' if hidden else 'after'} its time-out"
        if receipt is Receipt.USED:
            return f"a delete with {receipt}"
        gone = "that is gone" if delivery.message in self.deleted else "that is still there"
        return f"a delete with {receipt}, of a message {gone}"

    def _waiting(self, began: float) -> str:
        left = self.puts - len(self.deleted)
        if not left:
            return "the queue is empty"
        got = self.running()
        fresh = left - len(got)
        back = [each for each in got if began > each.ended + self.visibility]
        if fresh and back:
            return "some messages are new and some are back"
        if fresh:
            return "a message waits that nobody has got before"
        return "a message is back whose time-out has ended" if back else "every message is hidden"

    def add(self, step: Put | Get | Aim, situation: str, began: float, ended: float, seen: Seen) -> None:
        """Write down a step that was played; a delivery of it follows by `handed_out`."""
        decided = not any(
            began - GRAIN <= each.ended + self.visibility and each.began + self.visibility - GRAIN <= ended
            for each in self.running()
        )
        self.moments.append(Moment(step, situation, began, ended, seen, decided))
        if isinstance(step, Put):
            self.puts += 1
        elif isinstance(step, Aim) and seen.answer == "2xx":
            self.deleted[self.deliveries[step.delivery].message] = step.delivery

    def handed_out(self, delivery: Delivery) -> None:
        """Write down what the last step handed out."""
        self.deliveries.append(delivery)

    def known(self) -> list[Moment]:
        """The moments up to the first of which the stopwatch cannot tell what was hidden."""
        undecided = next((place for place, each in enumerate(self.moments) if not each.decided), len(self.moments))
        return self.moments[:undecided]
