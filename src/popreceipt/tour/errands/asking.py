"""How errands ask: again where a server was too busy to answer, and with bounds that leave room for that.

It knows which answers say nothing about the question. It judges nothing and keeps no state.
"""

from collections.abc import Generator, Iterable
from datetime import timedelta
from random import Random
from typing import Final

from popreceipt.client.guarding import made_up_guid
from popreceipt.client.packages import COLUMNS, delimited
from popreceipt.client.wire import Ask, Reply
from popreceipt.tour.errand import Call, Line, Until

LEASE: Final = timedelta(minutes=30)
"""How long a dequeued message stays hidden ("Recurring integrations", section "API for acknowledgment")."""

PRECISION: Final = timedelta(seconds=1)
"""Services may keep their times in whole seconds, and rules allow for it."""

TRIES: Final = 3
"""How often one thing is asked before it is given up."""

PAUSE: Final = timedelta(seconds=5)
"""Between two tries, twice as long each time."""

BUSY: Final = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses that say nothing about the question: too many calls, or something before the service answered."""

FAULT: Final = 500

Asking = Generator[Until, None, Reply]


def unanswered(reply: Reply) -> bool:
    """Whether a request got no answer, or one that says nothing about it."""
    return reply.status is None or reply.status in BUSY


def in_doubt(reply: Reply) -> bool:
    """Whether a request may have taken effect or not."""
    return reply.status is None or reply.status >= FAULT


def spared(needed: int) -> int:
    """A bound for a line that needs so many requests: a busy server may refuse every fifth, and a few may be lost."""
    return needed + -(-needed // 4) + TRIES - 1


def asked(
    call: Call,
    line: str,
    ask: Ask,
    *,
    actor: str = "authorised",
    token: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    chunked: bool = False,
    fault_tells: bool = True,
) -> Asking:
    """Send, and send again after a pause where nothing was answered that says anything.

    Args:
        call: the errand's.
        line: of its plan.
        ask: the request.
        actor: who asks.
        token: a token that is given.
        headers: more of them.
        chunked: whether the body goes out in chunks.
        fault_tells: a fault of the server (500) may be its answer to this; else it is asked again as well.

    Returns:
        The last answer.
    """
    more = tuple(headers)
    for attempt in range(TRIES):
        reply = call.send(line, ask, actor=actor, token=token, headers=more, chunked=chunked)
        if not unanswered(reply) and (fault_tells or reply.status != FAULT):
            break
        if attempt + 1 < TRIES:
            yield Until(reply.exchange.answered + PAUSE * 2**attempt, "another try after a failure")
    return reply


def line(
    name: str,
    operation: str,
    role: str | None,
    needed: int,
    text: str,
    effect: str = "",
    bytes_each: int = 2_000,
) -> Line:
    """A line of a plan, without its errand's name, which `lines` puts before it. `needed` is without any failure."""
    return Line(name, operation, role, spared(needed), effect, text, bytes_each)


def lines(errand: str, *found: Line) -> tuple[Line, ...]:
    """Lines with their errand's name before them."""
    return tuple(
        Line(f"{errand}/{each.id}", each.operation, each.role, each.most, each.effect, each.text, each.bytes_each)
        for each in found
        if each.most > spared(0)
    )


# Made-up contents


def unknown_guid(random: Random) -> str:
    """A GUID that nothing is called by."""
    return made_up_guid(str(random.getrandbits(128)))


def key(random: Random) -> str:
    """A key of a customer group that no other record of the run has."""
    return f"{random.getrandbits(40):010X}"


def records(random: Random, good: int = 3, bad: int = 0) -> list[dict[str, str]]:
    """Good records, then bad ones: without a key or with too long a one, by turns."""
    made = []
    for place in range(good + bad):
        own = key(random)
        record = dict(zip(COLUMNS, (own, f"Group {own}", "Net30"), strict=True))
        if place >= good:
            record["CUSTOMERGROUPID"] = "" if (place - good) % 2 == 0 else f"{own}TOOLONG"
        made.append(record)
    return made


def file(random: Random, good: int = 3, bad: int = 0) -> bytes:
    """A delimited file of such records."""
    return delimited(records(random, good, bad))


def entity_of(call: Call, role: str) -> str:
    """The name of the entity that a role's recurring data job is for."""
    return str(call.settings(role).get("entity") or "")
