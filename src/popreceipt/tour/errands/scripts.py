"""What is done with single messages of an export: small scripts over their deliveries.

Each takes a message that was just delivered, and says whether it showed what it should. One that met with a failure at
the wrong moment says no, and another message is tried. None decides what is right.
"""

import json
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Final

from popreceipt.client import wire
from popreceipt.client.wire import Delivery, Spelling
from popreceipt.tour.errand import Route, Until
from popreceipt.tour.errands.asking import LEASE, PRECISION, asked, unanswered
from popreceipt.tour.errands.desk import COLLEAGUE, Again, Desk, Held, Look, Script, Wish
from popreceipt.vocabulary import CORRELATION_ID, DOWNLOAD_LOCATION, POP_RECEIPT

RETENTION: Final = timedelta(days=7)
"""How long a file stays in blob storage ("Recurring integrations", section "API for getting message status")."""

YOUNGER_BY: Final = LEASE / 3 + timedelta(seconds=30)
"""So much later than the eldest a message must come for their order to tell something."""

LATE_IN_THE_LEASE: Final = timedelta(minutes=20)
"""When a file is downloaded once more, to see whether that begins the half hour anew."""

MINUTES: Final = timedelta(minutes=6)
"""So long a colleague takes: other messages are dequeued meanwhile."""

ENOUGH_DELIVERIES: Final = 11
"""Some queues give a message up after ten."""

BEFORE_THE_END: Final = timedelta(hours=1, minutes=5)
"""How long before the seven days are over a file is fetched that must still be there: within the last hour rules are
lenient."""

SHORTLY: Final = timedelta(minutes=10)
"""How long before the seven days are over its message is dequeued last."""

MOST_ACKNOWLEDGMENTS: Final = 3
"""Over so many deliveries the acknowledgment of one message is tried."""


def members(delivery: Delivery, *names: str) -> bytes:
    """Some members of a delivery, as the body of an acknowledgment."""
    return json.dumps({name: delivery.members.get(name) for name in names}).encode()


# How all of them end


def finished(desk: Desk, held: Held) -> Script:
    """Acknowledge a message; where that fails wait until it is back and try again."""
    for _ in range(MOST_ACKNOWLEDGMENTS):
        if held.delivery.has_file and held.digest is None:
            yield from desk.fetch(held)
        reply = yield from desk.acknowledge(held)
        if reply.ok:
            return True
        yield Again()
        if held.lost():
            # A try whose answer was lost was effective.
            return True
    return False


def plain(desk: Desk, held: Held) -> Script:
    """What a consumer does: download, acknowledge. What has no file is perhaps gone with its delivery."""
    if held.delivery.has_file:
        return (yield from finished(desk, held))
    reply = yield from asked(desk.call, "ack", wire.ack(desk.activity, held.delivery.body))
    held.acknowledged = reply.ok
    return True


def ending(desk: Desk) -> Route:
    """Acknowledgments that name no message. They come last: such a one, in doubt, could have meant any."""
    for body in (b"{", b"{}"):
        yield from asked(desk.call, "ack-incomplete", wire.ack(desk.activity, body))


def nothing_more(_: Desk) -> Route:
    """Send nothing in the end."""
    yield from ()


# Two half hours


def elder(desk: Desk, held: Held) -> Script:
    """Leave a message twice, and let the second half hour be quiet, so that the order in the end tells something."""
    yield from desk.fetch(held)
    first_end = held.lease_end
    yield Look(first_end - 2 * desk.guard, f"the end of a half hour in {desk.role}")
    if len(held.taken) == 1:
        together = max(each.lease_end for each in desk.group()) + PRECISION
        desk.silence(first_end - desk.guard, together + desk.margin)
        yield Again(together)
    if held.lost():
        return True
    yield from desk.fetch(held)
    second = held.taken[-1][0]
    # When this goes on, the others have been delivered again as well.
    yield Until(desk.now, "its turn")
    back = [each.due for each in desk.held if each.live and each.taken[-1][0] >= second - PRECISION]
    together = max([held.due, *back])
    if any(each.entry is not None and each.entry.play in LATER for each in desk.held):
        desk.silence(desk.now, together + desk.margin)
    yield Again(together)
    if held.lost():
        return True
    yield from desk.fetch(held)
    yield from finished(desk, held)
    return True


def stale(desk: Desk, held: Held) -> Script:
    """Acknowledge with the answer of the first delivery after the second."""
    yield from desk.fetch(held)
    body = held.delivery.body
    yield Again()
    if held.lost():
        return True
    yield from desk.fetch(held)
    reply = desk.once("ack-stale", held, body)
    yield Again()
    if not held.lost():
        yield from desk.fetch(held)
        yield from finished(desk, held)
    return not unanswered(reply)


def extends(desk: Desk, held: Held) -> Script:
    """Download late in the half hour, and look for the message when the half hour since its delivery is over."""
    yield from desk.fetch(held)
    delivered = held.taken[-1][1]
    yield Until(delivered + LATE_IN_THE_LEASE, f"a late download from {desk.role}")
    reply = yield from desk.fetch(held)
    yield Look(delivered + LEASE + PRECISION + desk.margin, f"the end of a half hour in {desk.role}")
    told = len(held.taken) > 1 and held.taken[1][1] < held.taken[0][1] + LATE_IN_THE_LEASE + LEASE
    if len(held.taken) == 1:
        looked = desk.now
        yield Again()
        told = looked < delivered + LATE_IN_THE_LEASE + LEASE
    if held.lost():
        return True
    yield from desk.fetch(held)
    yield from finished(desk, held)
    return told and reply.ok


def younger(desk: Desk, held: Held) -> Script:
    """Leave a message that came while an older one was hidden."""
    yield from desk.fetch(held)
    return (yield from _comes_back(desk, held))


# One half hour


def refused(desk: Desk, held: Held) -> Script:
    """Acknowledge as somebody who may not."""
    yield from desk.fetch(held)
    told = True
    for actor in desk.terms.strangers:
        reply = desk.once("ack-refused", held, held.delivery.body, actor=actor)
        told = told and not unanswered(reply)
    return (yield from _comes_back(desk, held)) and told


def incomplete(desk: Desk, held: Held) -> Script:
    """Acknowledge with the CorrelationId alone."""
    yield from desk.fetch(held)
    reply = desk.once("ack-incomplete", held, members(held.delivery, CORRELATION_ID))
    return (yield from _comes_back(desk, held)) and not unanswered(reply)


def elsewhere(desk: Desk, held: Held) -> Script:
    """Acknowledge on another export."""
    yield from desk.fetch(held)
    activity = desk.call.activity(str(desk.terms.elsewhere))
    reply = desk.once("ack-elsewhere", held, held.delivery.body, activity=activity)
    return (yield from _comes_back(desk, held)) and not unanswered(reply)


def _comes_back(desk: Desk, held: Held) -> Script:
    yield Again()
    return (yield from _fetched_and_finished(desk, held))


def late(desk: Desk, held: Held) -> Script:
    """Acknowledge when the half hour is over, before anybody dequeues again."""
    yield from desk.fetch(held)
    fetched = held.digest is not None
    yield from _quietly(desk, held)
    alone = len(held.taken) == 1 and not desk.in_doubt_since(held.taken[0][0])
    reply = yield from desk.acknowledge(held, insist=False)
    held.quiet_until = None
    if not reply.ok:
        yield from _comes_back(desk, held)
    return alone and fetched and not unanswered(reply)


def after_lease(desk: Desk, held: Held) -> Script:
    """Download when the half hour is over, before anybody dequeues again."""
    yield from desk.fetch(held)
    yield from _quietly(desk, held)
    alone = len(held.taken) == 1
    reply = yield from desk.fetch(held, fault_tells=True, insist=False)
    held.quiet_until = None
    yield from _comes_back(desk, held)
    return alone and not unanswered(reply)


def _quietly(desk: Desk, held: Held) -> Generator[Wish, None, None]:
    """Wait until the half hour is over, and nobody has dequeued just then."""
    over = held.due + PRECISION + desk.margin
    held.quiet_until = over + desk.margin
    yield Until(over, f"the end of a half hour in {desk.role}")


# Without a wait


def second(desk: Desk, held: Held) -> Script:
    """Download twice, and once without a token; acknowledge twice; download again."""
    yield from desk.fetch(held)
    again = yield from desk.fetch(held)
    ask = wire.download(str(held.delivery.location))
    stranger = yield from asked(desk.call, "download-refused", ask, actor="anonymous")
    first = yield from desk.acknowledge(held)
    if not first.ok:
        yield Again()
        if not held.lost():
            yield from finished(desk, held)
        return False
    twice = desk.once("ack-again", held, held.delivery.body)
    after = yield from desk.fetch(held, fault_tells=True)
    return again.ok and not any(unanswered(each) for each in (stranger, twice, after))


def three_members(desk: Desk, held: Held) -> Script:
    """Acknowledge with CorrelationId, PopReceipt and DownloadLocation."""
    return (yield from _spelled(desk, held, members(held.delivery, CORRELATION_ID, POP_RECEIPT, DOWNLOAD_LOCATION)))


def two_members(desk: Desk, held: Held) -> Script:
    """Acknowledge with CorrelationId and PopReceipt."""
    return (yield from _spelled(desk, held, members(held.delivery, CORRELATION_ID, POP_RECEIPT)))


def lower_case(desk: Desk, held: Held) -> Script:
    """Acknowledge with members in another letter case."""
    told = {name[:1].lower() + name[1:]: value for name, value in held.delivery.members.items()}
    return (yield from _spelled(desk, held, json.dumps(told).encode()))


def one_more(desk: Desk, held: Held) -> Script:
    """Acknowledge with a further member."""
    told = dict(held.delivery.members) | {"Comment": "one more"}
    return (yield from _spelled(desk, held, json.dumps(told).encode()))


def _spelled(desk: Desk, held: Held, body: bytes) -> Script:
    yield from desk.fetch(held)
    fetched = held.digest is not None
    reply = desk.once("ack-odd", held, body)
    if reply.ok:
        held.acknowledged = True
    else:
        yield from finished(desk, held)
    return fetched and not unanswered(reply)


def without_download(desk: Desk, held: Held) -> Script:
    """Acknowledge what nobody downloaded."""
    reply = yield from desk.acknowledge(held, insist=False)
    if not reply.ok:
        yield from finished(desk, held)
    return not unanswered(reply)


def braced(desk: Desk, held: Held) -> Script:
    """Acknowledge on a path with the activity ID in braces."""
    yield from desk.fetch(held)
    reply = desk.once("ack", held, held.delivery.body, spelling=Spelling(activity="braced"))
    if reply.ok:
        held.acknowledged = True
    else:
        yield from finished(desk, held)
    return not unanswered(reply)


def colleague(desk: Desk, held: Held) -> Script:
    """Leave a message for minutes, and let a colleague with another token acknowledge it."""
    yield from desk.fetch(held)
    yield Until(desk.now + MINUTES, f"minutes between a dequeue of {desk.role} and its acknowledgment")
    reply = desk.once("ack", held, held.delivery.body, actor=COLLEAGUE)
    if reply.ok:
        held.acknowledged = True
    else:
        yield from finished(desk, held)
    return not unanswered(reply)


# No file


def no_file(desk: Desk, held: Held) -> Script:
    """Leave a message without a file, and see whether it comes back."""
    yield Again()
    if not held.lost():
        yield from desk.acknowledge(held)
    # A dequeue that was lost before may have hidden another one until then.
    return not desk.in_doubt_since(held.taken[0][0] - LEASE)


# Days


def kept(desk: Desk, held: Held) -> Script:
    """Leave a message for as long as its file is kept, or longer.

    Several are kept, and whichever stands first in the queue is taken each time: one while its file must still be
    there, one shortly before it is gone, and one after that.
    """
    yield from desk.fetch(held)
    desk.kept.append(held)
    while not held.lost():
        yield Again(lambda: _kept_until(desk), alone=True, what="the end of the seven days of files of {role}")
        if not held.lost() and held.taken[-1][0] >= _kept_until(desk):
            break
    desk.kept.remove(held)
    desk.kept_taken += 1
    if held.lost():
        return True
    if held.delivery.has_file and desk.kept_taken <= SHORTLY_BEFORE:
        yield from desk.fetch(held)
    if held.delivery.has_file and desk.kept_taken == SHORTLY_BEFORE:
        gone = held.taken[0][1] + RETENTION + PRECISION + desk.margin
        yield Until(gone, f"the end of a file's seven days in {desk.role}")
        yield from desk.fetch(held, fault_tells=True)
    yield from finished(desk, held)
    return True


def _kept_until(desk: Desk) -> datetime:
    """When the next of the messages that are kept is looked for."""
    since = min(each.born or each.taken[0][0] for each in desk.kept)
    if desk.kept_taken + 1 < SHORTLY_BEFORE:
        return since + RETENTION - BEFORE_THE_END - 2 * desk.margin
    if desk.kept_taken + 1 == SHORTLY_BEFORE:
        return since + RETENTION - SHORTLY - 2 * desk.margin
    return max(each.taken[0][1] for each in desk.kept) + RETENTION + PRECISION + desk.margin


SHORTLY_BEFORE: Final = 2
"""The second of the messages that are kept is taken shortly before its file is gone."""


def _fetched_and_finished(desk: Desk, held: Held) -> Script:
    if not held.lost():
        yield from desk.fetch(held)
        yield from finished(desk, held)
    return True


def often(desk: Desk, held: Held) -> Script:
    """Leave a message more often than some queues let it come back."""
    yield from desk.fetch(held)
    while len(held.taken) < ENOUGH_DELIVERIES:
        yield Again(alone=True)
        if held.lost():
            return True
        yield from desk.fetch(held)
    yield from finished(desk, held)
    return True


# The lists


def born(_: Desk, held: Held) -> bool:
    """A message that was not there at an empty answer before."""
    return held.born is not None


def comes_later(desk: Desk, held: Held) -> bool:
    """A message that came well after the eldest, best while that was hidden."""
    eldest = desk.eldest()
    return eldest is not None and held.born is not None and eldest.taken[0][1] + YOUNGER_BY <= held.taken[0][0]


LATER: Final = (younger, kept)
"""Scripts of a message that came while the eldest was hidden."""
