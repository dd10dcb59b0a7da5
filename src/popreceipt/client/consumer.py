"""A small consumer of exports that does what the documentation asks for: pull, keep, then acknowledge.

It looks inside no receipt and no location, keeps a file before it acknowledges, and acknowledges with the answer of the
dequeue ("Recurring integrations", section "API for acknowledgment"). It does not know whether a file came before:
that is for whoever stores it.
"""

from collections.abc import Callable
from typing import Final

from popreceipt.client import wire
from popreceipt.client.session import Session
from popreceipt.client.tokens import Tokens
from popreceipt.client.wire import Ask, Delivery, Reply

ATTEMPTS: Final = 4
"""How often one call is made when it fails in a way that may pass."""

PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})


def pull(
    session: Session,
    tokens: Tokens,
    activity: str,
    store: Callable[[bytes, Delivery], None],
    limit: int | None = None,
    *,
    role: str = "authorised",
    actor: str | None = None,
) -> int:
    """Take what waits, until the queue is empty or `limit` messages have been handed out.

    A message whose file does not arrive is left alone: it comes again. One that says it has no file is acknowledged, so
    that it need not come again.

    Args:
        session: the target.
        tokens: its tokens.
        activity: the recurring data job's id.
        store: keeps a file; when it raises, the message stays unacknowledged.
        limit: stop after so many deliveries.
        role: whose token is used.
        actor: who calls, for the journal; the role unless given.

    Returns:
        how many messages were acknowledged.
    """

    def ask(what: Ask) -> Reply:
        return _persist(session, tokens, what, role, actor or role)

    delivered = acknowledged = 0
    while limit is None or delivered < limit:
        delivery = wire.delivery(ask(wire.dequeue(activity)))
        if delivery is None:
            break
        delivered += 1
        if delivery.has_file and delivery.location is not None:
            file = ask(wire.download(delivery.location))
            if not file.ok:
                continue
            store(file.body, delivery)
        if ask(wire.ack(activity, delivery.body)).ok:
            acknowledged += 1
    return acknowledged


def _persist(session: Session, tokens: Tokens, ask: Ask, role: str, actor: str) -> Reply:
    reply = session.send(ask, actor=actor, token=tokens.current(role))
    for _ in range(ATTEMPTS - 1):
        if reply.status == 401:
            tokens.forget()
        elif reply.status is not None and reply.status not in PASSING:
            break
        wait = wire.retry_after(reply)
        if wait is not None:
            session.times.advance(wait.total_seconds())
        reply = session.send(ask, actor=actor, token=tokens.current(role))
    return reply
