"""What is done with single messages of an export: small scripts over their deliveries.

Each takes a message that was just delivered, and says whether it showed what it should. One that met with a failure at
the wrong moment says no, and another message is tried. None decides what is right.
"""

import json
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from popreceipt.client import wire
from popreceipt.client.wire import Delivery, Spelling
from popreceipt.tour.errand import Route, Until
from popreceipt.tour.errands.asking import LEASE, PRECISION, asked, unanswered
from popreceipt.tour.errands.desk import COLLEAGUE, TARDY, Again, Desk, Entry, Held, Look, Script, Wish
from popreceipt.vocabulary import CORRELATION_ID, DOWNLOAD_LOCATION, POP_RECEIPT

RETENTION: Final = timedelta(days=7)
"""How long a file stays in blob storage ("Recurring integrations", section "API for getting message status")."""

DAY: Final = timedelta(days=1)
"""When it is looked for what was acknowledged: whoever forgets an acknowledgment may do so over night."""

YOUNGER_BY: Final = LEASE / 3 + timedelta(seconds=30)
"""So much later than the eldest a message must come for their order to tell something."""

ROUNDS: Final = 4
"""So often at most two half hours are looked at for the sake of the order."""

LATE_IN_THE_LEASE: Final = timedelta(minutes=20)
"""When a file is downloaded once more, to see whether that begins the half hour anew."""

MINUTES: Final = timedelta(minutes=6)
"""So long a colleague takes: other messages are dequeued meanwhile."""

LOOKED_FOR_AT: Final = 4
"""After so many deliveries a message is looked for before its half hour is over: the first ones are quiet."""

ENOUGH_DELIVERIES: Final = 11
"""Some queues give a message up after ten."""

LENIENT: Final = timedelta(hours=1)
"""Within the last hour before the seven days are over nobody says whether a file must still be there."""

BEFORE_THE_END: Final = LENIENT + timedelta(minutes=5)
"""How long before the seven days are over a file is fetched that must still be there."""

SHORTLY: Final = timedelta(minutes=10)
"""How long before the seven days are over its message is dequeued last."""

MOST_ACKNOWLEDGMENTS: Final = 3
"""Over so many deliveries the acknowledgment of one message is tried."""


def members(delivery: Delivery, *names: str) -> bytes:
    """Some members of a delivery, as the body of an acknowledgment."""
    return json.dumps({name: delivery.members.get(name) for name in names}).encode()


# How all of them end


def finished(desk: Desk, held: Held, due: Callable[[], datetime] | None = None) -> Script:
    """Acknowledge a message; where that fails wait until it is back (and `due`) and try again."""
    for _ in range(MOST_ACKNOWLEDGMENTS):
        if held.delivery.has_file and held.digest is None:
            yield from desk.fetch(held)
        reply = yield from desk.acknowledge(held)
        if reply.ok:
            return True
        yield Again(due, alone=due is not None)
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
    """Leave a message twice, and let the second half hour be quiet, so that the order in the end tells something.

    Where a dequeue was lost meanwhile nobody knows what it took, and all begins again with another younger one.
    """
    yield from desk.fetch(held)
    for _ in range(ROUNDS):
        told = yield from _two_half_hours(desk, held)
        if held.lost():
            return True
        yield from desk.fetch(held)
        if told:
            break
        held.round = len(held.taken) - 1
        desk.once_more(Entry(younger, comes_later))
    yield from finished(desk, held)
    return True


def _two_half_hours(desk: Desk, held: Held) -> Script:
    """Let a message come back twice; whether no dequeue was lost since the younger one came."""
    first_end = held.lease_end
    yield Look(first_end - 2 * desk.guard, f"the end of a half hour in {desk.role}")
    if len(held.taken) == held.round + 1:
        together = max([held.lease_end, *(each.lease_end for each in desk.group())]) + PRECISION
        desk.silence(first_end - desk.guard, together + desk.margin)
        yield Again(together)
    elif rest := [each.lease_end for each in desk.group()]:
        # Others came when it was looked for something else; the rest of them is taken before all is quiet.
        yield Look(max(rest) + PRECISION + desk.margin, f"the end of a half hour in {desk.role}")
    if held.lost() or _in_doubt(desk, held):
        return False
    yield from desk.fetch(held)
    second = held.taken[-1][0]
    # When this goes on, the others have been delivered again as well.
    yield Until(desk.now, "its turn")
    if any(isinstance(each.waits, Look) for each in desk.group()):
        # Somebody has to look in the midst of the half hour that should be quiet: the next one, then.
        return False
    back = [each.due for each in desk.held if each.live and each.taken[-1][0] >= second - PRECISION]
    together = max([held.due, *back])
    if _later(desk, held):
        desk.silence(desk.now, together + desk.margin)
    yield Again(together)
    return not _in_doubt(desk, held)


def _later(desk: Desk, held: Held) -> list[Held]:
    """Messages that came while it was hidden, for the sake of their order."""
    began = held.taken[held.round][1]
    return [
        each for each in desk.held if each.entry is not None and each.entry.play in LATER and each.taken[0][0] > began
    ]


def _in_doubt(desk: Desk, held: Held) -> bool:
    """Whether a dequeue was lost since the first message came whose order is looked at."""
    return desk.in_doubt_since(min((each.taken[0][0] for each in _later(desk, held)), default=desk.now))


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
        # A dequeue that was lost may have taken it unseen.
        told = looked < delivered + LATE_IN_THE_LEASE + LEASE and not desk.in_doubt_since(delivered)
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
    since = held.taken[0][0]
    alone = len(held.taken) == 1 and not desk.in_doubt_since(since) and not desk.unknown_since(since)
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


def turned_away(desk: Desk, held: Held) -> Script:
    """Dequeue as somebody who may not while the message is back and waits; see that it is offered all the same."""
    yield from desk.fetch(held)
    yield Until(held.due - 2 * desk.guard, f"the end of a half hour in {desk.role}")
    if desk.silent_until() is None:
        # What else waits may stand before it.
        yield Look(desk.now, f"the queue of {desk.role}")
    yield from _quietly(desk, held, TARDY)
    while (silent := desk.silent_until()) is not None:
        yield Until(silent, f"the end of a half hour in {desk.role}")
    alone = len(held.taken) == 1 and not desk.in_doubt_since(held.due)
    told = True
    for actor in desk.terms.strangers:
        told = not unanswered(desk.knock(actor)) and told
    over = desk.now + LEASE + PRECISION + desk.margin
    held.quiet_until = None
    yield Again()
    if any(each.given_up for each in desk.held):
        # If it was hidden by who was refused, then for a half hour.
        yield Look(over, f"the end of a half hour in {desk.role}")
    if not held.lost():
        yield from desk.fetch(held)
        yield from finished(desk, held)
    return alone and told


def _quietly(desk: Desk, held: Held, late: timedelta = timedelta(0)) -> Generator[Wish, None, None]:
    """Wait until the half hour is over (for so long), and nobody has dequeued just then."""
    over = held.due + PRECISION + late + desk.margin
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


class Purpose(StrEnum):
    """What a message is kept for: to be taken at an instant of its file's seven days."""

    STILL_THERE = "its file must still be there"
    JUST_BEFORE = "its location is to outlive its file"
    AFTERWARDS = "its file is gone"


def kept(desk: Desk, held: Held) -> Script:
    """Leave a message for as long as its file is kept, or longer.

    Several are kept: one is taken while its file must still be there, one shortly before that is gone, and one after
    that. Where the dequeue that should have brought one was lost another takes its place.
    """
    yield from desk.fetch(held)
    desk.kept.append(held)
    while not held.lost():
        what = "the end of the seven days of files of {role}"
        yield Again(lambda: _appointed(desk, held)[1], alone=True, what=what)
        if not held.lost() and _serves(desk, held, _appointed(desk, held)[0]):
            break
    purpose, _ = _appointed(desk, held)
    desk.kept.remove(held)
    if held.lost():
        return True
    desk.served.add(purpose)
    if held.delivery.has_file and purpose is not Purpose.AFTERWARDS:
        yield from desk.fetch(held)
    if held.delivery.has_file and purpose is Purpose.JUST_BEFORE:
        gone = held.taken[0][1] + RETENTION + PRECISION + desk.margin
        yield Until(gone, f"the end of a file's seven days in {desk.role}")
        yield from desk.fetch(held, fault_tells=True)
    # Who looked for it when its half hour is over would take the others as well, and too early.
    yield from finished(desk, held, lambda: max(held.due, _next_appointment(desk, held.due)))
    return True


def _serves(desk: Desk, held: Held, purpose: Purpose) -> bool:
    """Whether the last delivery, with which another message may have been meant, is what one is kept for."""
    since, until = _window(desk, held, purpose)
    return since <= held.taken[-1][0] <= until


def _window(desk: Desk, held: Held, purpose: Purpose) -> tuple[datetime, datetime]:
    """The stretch in which a delivery serves."""
    instant, gone = _instant(desk, held, purpose), held.taken[0][1] + RETENTION
    if purpose is Purpose.STILL_THERE:
        return instant - LEASE, instant + (BEFORE_THE_END - LENIENT) / 2
    if purpose is Purpose.JUST_BEFORE:
        # Its half hour is to hold the end of its file.
        return gone - LEASE + SHORTLY / 2, gone
    return instant, datetime.max.replace(tzinfo=gone.tzinfo)


def _appointed(desk: Desk, held: Held) -> tuple[Purpose, datetime]:
    """What a message is kept for, and when it is taken: whoever came first is for what comes first."""
    wanted = [each for each in (Purpose.STILL_THERE, Purpose.JUST_BEFORE) if each not in desk.served]
    for each in desk.kept:
        purpose = next((one for one in wanted if not _is_missed(desk, each, one)), Purpose.AFTERWARDS)
        if each is held:
            break
        if purpose in wanted:
            wanted.remove(purpose)
    return purpose, _instant(desk, held, purpose)


def _is_missed(desk: Desk, held: Held, purpose: Purpose) -> bool:
    """Whether it was time for a message in vain, or a lost dequeue may have hidden it just then."""
    if _serves(desk, held, purpose):
        return False
    instant, (_, until) = _instant(desk, held, purpose), _window(desk, held, purpose)
    return desk.now > until or (desk.now >= instant and desk.in_doubt_since(instant))


def _instant(desk: Desk, held: Held, purpose: Purpose) -> datetime:
    since = held.born or held.taken[0][0]
    if purpose is Purpose.STILL_THERE:
        return since + RETENTION - BEFORE_THE_END - 2 * desk.margin
    if purpose is Purpose.JUST_BEFORE:
        return since + RETENTION - SHORTLY - 2 * desk.margin
    return held.taken[0][1] + RETENTION + PRECISION + desk.margin


def _next_appointment(desk: Desk, default: datetime) -> datetime:
    return min((_appointed(desk, each)[1] for each in desk.kept), default=default)


def acknowledged(desk: Desk, held: Held) -> Script:
    """Acknowledge a message, and look a day later whether it is gone for good."""
    yield from desk.fetch(held)
    yield from finished(desk, held)
    ended = len(held.taken)
    yield Look(desk.now + DAY + PRECISION + desk.margin, f"a day after an acknowledgment in {desk.role}")
    if len(held.taken) > ended:
        held.acknowledged = False
        yield from finished(desk, held)
    return True


def _fetched_and_finished(desk: Desk, held: Held) -> Script:
    if not held.lost():
        yield from desk.fetch(held)
        yield from finished(desk, held)
    return True


def often(desk: Desk, held: Held) -> Script:
    """Leave a message more often than some queues let it come back, and look for it within one of its half hours."""
    yield from desk.fetch(held)
    while len(held.taken) < ENOUGH_DELIVERIES:
        if len(held.taken) == LOOKED_FOR_AT:
            end = held.lease_end
            for instant in (end - LEASE / 2, end - 2 * desk.guard):
                yield Look(instant, f"a later half hour in {desk.role}")
        if len(held.taken) < ENOUGH_DELIVERIES:
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


def seen_first(_: Desk, held: Held) -> bool:
    """A message that nobody dequeued before."""
    return not held.adrift


def among_known(desk: Desk, held: Held) -> bool:
    """A message that nobody dequeued before, while none is about of which nobody knows which one it is."""
    return not any(each.adrift and each.live for each in (held, *desk.held))


def comes_later(desk: Desk, held: Held) -> bool:
    """A message that came well after the eldest, best while that was hidden."""
    eldest = desk.eldest()
    if eldest is None or held.born is None:
        return False
    return eldest.taken[eldest.round][1] + YOUNGER_BY <= held.taken[0][0]


def comes_just_then(desk: Desk, held: Held) -> bool:
    """The same, where it is known to minutes when it came."""
    return comes_later(desk, held) and held.born is not None and held.taken[0][1] - held.born <= SHORTLY


LATER: Final = (younger, kept)
"""Scripts of a message that came while the eldest was hidden."""
