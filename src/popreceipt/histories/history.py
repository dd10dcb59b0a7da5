"""What a journal says of each queue: who asked for what between which two instants, and what came of it.

A history promises nothing and judges nothing. An operation took effect at some instant of its span, a failed one
perhaps not at all; callers are ordered by these instants alone, never by the lines of a journal, unless one caller
wrote them. Receipts, locations and ids are compared, never read. Instants are whole microseconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Anomaly(StrEnum):
    """What may be wrong with a history."""

    LOST = "lost"
    PHANTOM = "phantom"
    TWICE = "twice-within-a-lease"
    EARLY = "early"
    LATE = "late"
    BACK = "back-after-ack"
    STALE = "stale-ack-took-effect"
    ALTERED = "altered-payload"
    ORDER = "order-broken"
    BACKWARDS = "status-backwards"


class Answer(StrEnum):
    """What an acknowledgment was answered: success, a refusal that excludes an effect, or what leaves it in doubt."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DOUBT = "doubt"


class State(StrEnum):
    """How far the processing of an import was seen to be."""

    WAITING = "waiting"
    BEGUN = "begun"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One thing that somebody did: it took effect at an instant from `since` to `by`, both included.

    `number` is the exchange's in its journal; where a control call told (an export's run, a look at Manage messages) it
    is below zero, and different for each. `place` breaks ties of one caller's operations at one instant; 0 where
    several callers called at once.
    """

    number: int
    actor: str
    since: int
    by: int
    place: float = 0.0

    def precedes(self, other: "Operation") -> bool:
        """It was certainly over before the other began."""
        if self.by != other.since:
            return self.by < other.since
        return bool(self.place and other.place) and self.place < other.place


@dataclass(frozen=True, slots=True, eq=False)
class Produced(Operation):
    """An export run uploaded the file of a message."""

    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Taken(Operation):
    """A dequeue handed out a message: None where nobody can tell which.

    `altered` is the number of the download that brought other bytes than the message was produced with.
    """

    message: str | None = None
    altered: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Acknowledged(Operation):
    """An acknowledgment that names a delivery, by the delivery's number."""

    of: int = 0
    answer: Answer = Answer.ACCEPTED


@dataclass(frozen=True, slots=True, eq=False)
class Fetched(Operation):
    """A download of what a delivery (by its number) handed out."""

    of: int = 0


@dataclass(slots=True)
class Queue:
    """What was seen of one export's queue; each list in the order in which things were asked for.

    Args:
        activity: the recurring data job.
        lease: how long a delivered message hides.
        slack: a service may keep its times no better than this.
        retention: how long a file is kept: afterwards nothing is demanded of its message.
        closed: everything the queue ever held was produced in sight.
        produced: the messages that were put into it.
        taken: deliveries.
        empty: dequeues that were told that nothing waits.
        lost: dequeues that may have taken a message which nobody heard of.
        acknowledged: acknowledgments of its deliveries.
        fetched: downloads.
        until: from this instant on nothing is demanded, None for never: somebody cleaned up.
    """

    activity: str
    lease: int
    slack: int = 0
    retention: int = 604_800_000_000
    closed: bool = True
    produced: list[Produced] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    empty: list[Operation] = field(default_factory=list)
    lost: list[Operation] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    fetched: list[Fetched] = field(default_factory=list)
    until: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Seen(Operation):
    """A message was seen in a state. `text` is the state as it was told, `call` false where Manage messages told it."""

    state: State = State.WAITING
    text: str = ""


@dataclass(slots=True)
class File:
    """A file that was handed in, and what was seen of it.

    `began` and `ended` are the times of its processing as Manage messages shows them, None where it does not.
    """

    message: str
    enqueued: Operation
    seen: list[Seen] = field(default_factory=list)
    began: int | None = None
    ended: int | None = None
    told_by: Operation | None = None


@dataclass(slots=True)
class Intake:
    """The files of one import, in the order in which they were sent.

    Args:
        activity: the recurring data job.
        in_order: each is begun only when the one before it is done.
        slack: two enqueues nearer than this to each other have no order.
        restarts: batch jobs may have died and begun anew.
    """

    activity: str
    in_order: bool
    slack: int = 0
    restarts: bool = False
    files: list[File] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """What a journal says of all queues and imports; `exported` are statuses of exported messages, by message."""

    queues: list[Queue] = field(default_factory=list)
    intakes: list[Intake] = field(default_factory=list)
    exported: dict[str, list[Seen]] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        """How many operations there are to judge."""
        queues = sum(
            len(each.produced)
            + len(each.taken)
            + len(each.empty)
            + len(each.lost)
            + len(each.acknowledged)
            + len(each.fetched)
            for each in self.queues
        )
        files = sum(1 + len(file.seen) for each in self.intakes for file in each.files)
        return queues + files + sum(map(len, self.exported.values()))
