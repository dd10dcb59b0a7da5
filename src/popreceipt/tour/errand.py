"""What a tour consists of: errands, each of which says beforehand what it will send and until when it waits.

An errand is a generator: it sends by its `Call` and yields the instants that it waits for, so that all errands of a
tour wait at the same time. It computes instants from its own exchanges alone (`Call.moment`, `Reply.exchange`), never
from a clock: a tour that was interrupted runs its errands again with the answers that they had, and must come to the
same point. What it learns is in the journal, and rules judge that; an errand asserts nothing.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final, Literal, Protocol

from popreceipt.client.tokens import Issued
from popreceipt.client.wire import Ask, Reply

NOTHING: Final = "nothing"
"""The effect of a request that only asks; a colon and why may follow."""

Route = Generator["Until", None, None]
"""The run of an errand: yields what it waits for."""


@dataclass(frozen=True, slots=True)
class Until:
    """A wait: until which instant of the target's clock, and for what, in words that complete "waiting for …"."""

    instant: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a tour's plan: requests of one kind, how many at most, and what they may change.

    Args:
        id: `errand/what-for`; every request is sent under one.
        operation: a word of the vocabulary: token, enqueue, dequeue, download, ack, message-status, …
        role: the activity's role, None where a request concerns none.
        most: how many requests at most; what goes beyond is not sent.
        effect: what they may change, in words; nothing where they only ask.
        text: what for.
        bytes_each: how many bytes a request carries at most.
    """

    id: str
    operation: str
    role: str | None
    most: int
    effect: str
    text: str
    bytes_each: int = 0

    @property
    def changes(self) -> bool:
        """Whether its requests may change something, at least where a service takes what it should refuse."""
        return bool(self.effect) and self.effect != NOTHING and not self.effect.startswith(f"{NOTHING}:")


class Call(Protocol):
    """What an errand may do. Each request is sent under a line of the errand's own plan."""

    @property
    def random(self) -> Random:
        """Chance that follows from the tour's seed and the errand's name."""

    @property
    def margin(self) -> timedelta:
        """How far from a boundary a probe stays: a second, or a few round trips of a clock that runs fast."""

    @property
    def moment(self) -> datetime:
        """The end of what this errand sent or waited for last: it is at least this late."""

    def activity(self, role: str) -> str:
        """The activity ID of this role.

        Raises:
            NotAbleTo: the description names none.
        """

    def settings(self, role: str) -> "dict[str, object]":
        """What the description says of this role's recurring data job: entity, recurrence, in_order, …"""

    def exclusive(self, role: str) -> bool:
        """Whether nobody else uses the job, so that what is taken there may be acknowledged."""

    def send(
        self,
        line: str,
        ask: Ask,
        *,
        actor: str = "authorised",
        token: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        chunked: bool = False,
    ) -> Reply:
        """Send a request under a line, named by its id after the slash.

        It goes out as this actor with its current token, or (anonymous) with none, or with a token that is given. An
        answer that asks to come later has been obeyed when this returns: after a 429 the same was sent again, after a
        503 (which may have taken effect) it was only waited. Each such answer is in the journal and counts under the
        line. `Reply.failure` is `interrupted` where the tour was stopped after the request may have gone out. A body
        above 64 KiB is empty in the reply of a tour that was gone on with: its digest is that of
        `Reply.exchange.response.body`.

        Raises:
            Stopped: the line, the budget, or the description forbids it; the errand ends here, and the reason is told.
        """

    def follow(self, line: str, reply: Reply, *, actor: str = "authorised") -> Reply:
        """The answer from where a reply redirects to, sent under the same kind of line; else the reply itself.

        On the target it goes out with the actor's token, to another host with none, and only where the description
        names that host (or where it is the target's own under another name): else the reply stays as it is.

        Raises:
            Stopped: as `send`.
        """

    def obtain(
        self,
        line: str,
        *,
        role: str = "authorised",
        version: Literal[1, 2] = 2,
        resource: str | None = None,
        secret: str | None = None,
        actor: str | None = None,
    ) -> Issued:
        """Ask for a token of one's own, under a line; the arguments are those of `Tokens.obtain`.

        Raises:
            Stopped: as `send`.
            NotAbleTo: the target has no such client or endpoint.
            TokenLost: as `token`.
        """

    def token(self, actor: str = "authorised") -> str:
        """The token that `send` would use for this actor; asked for (under the tour's own lines) if there is none.

        Raises:
            TokenLost: the tour was interrupted since, and tokens are never written down: the errand begins anew.
        """

    def shared(self, role: str) -> None:
        """Write down that others use a job too, whatever the description says: so it was seen.

        Who judges then convicts nobody for what is not there.
        """

    def assist(self, step: str, done: str) -> bool:
        """Ask the person at the terminal to do something and wait until it is done; False where nobody is there.

        Args:
            step: what to do, as a sentence: "Run the export job of the data project … now."
            done: what is then known, for the journal.
        """


class Stopped(Exception):
    """An errand may not go on: a request outside its plan, budget or permits. The words say which."""


class TokenLost(Exception):
    """A token that an errand held is gone with the process that held it: the errand begins anew."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One thing that a tour sees to.

    Args:
        name: its name, a few words with hyphens; unique.
        text: what it does, a sentence.
        shows: ids of the rules that it gives something to judge.
        lines: everything that it may send.
        takes: how long it takes of the target's time, at most, waits included, when nothing goes wrong.
        run: does it.
        roles: roles of activities without which it cannot be run.
        clients: roles of further clients (unlisted, unmapped) without which it cannot be run.
        acknowledges: it needs an activity that is exclusive.
        changes: it hands something in or takes something: not for a read-only profile.
        assisted: it needs a person.
    """

    name: str
    text: str
    shows: tuple[str, ...]
    lines: tuple[Line, ...]
    takes: timedelta
    run: Callable[[Call], Route]
    roles: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    acknowledges: bool = False
    changes: bool = True
    assisted: bool = False
