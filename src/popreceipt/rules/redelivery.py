"""What becomes of a message that nobody acknowledged: it hides, it comes back, it says when it was last taken."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from popreceipt.rules.exports import SHOWN_PRECISION, Exports, Message, asked
from popreceipt.rules.facts import Dequeue, Production, between
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import ADVANCE_TIME, ASK, INFERRED, MUST, PRODUCE, article, rule
from popreceipt.rules.waiting import Why
from popreceipt.verdict import Finding, answered, held, undecided, violated

QUARTER: Final = timedelta(minutes=15)
"""Time zones lie whole quarters of an hour apart."""

NEIGHBOURS: Final = 8
"""So many messages to either side are compared to see an order."""

MOST_NEIGHBOURS: Final = 32
"""So many of those that came back, where a message is left as often as it takes to see an order."""

MOST_BETWEEN: Final = 200
"""Among more deliveries than these nobody looks for one that may have been of the same message."""

SECTION: Final = "API for acknowledgment"


def redeliveries(journal: Readings) -> Iterator[tuple[Message, Dequeue, Dequeue]]:
    """Each two deliveries of one message that follow one another, both with its file."""
    for message in journal.messages:
        if len(message.deliveries) > 1:
            for first, second in zip(message.deliveries, message.deliveries[1:], strict=False):
                if first.kind == second.kind == "message":
                    yield message, first, second


@rule(
    "redelivery.not-before-half-an-hour",
    text="A message nobody acknowledged stays hidden for half an hour after each delivery.",
    source=article(SECTION),
    reading="The half hour starts anew at each delivery. A dequeue took effect between being sent and being answered; "
    "services may count in whole seconds.",
    level=MUST,
    statements=(39,),
    needs=(ADVANCE_TIME,),
)
def not_before_half_an_hour(journal: Readings) -> Iterator[Finding]:
    """Judge each redelivery by the longest and the shortest time that can have passed."""
    earliest = journal.lease - journal.exports.precision
    shown, straddling = False, []
    for message, first, again in redeliveries(journal):
        shortest, longest = between(first, again)
        if not journal.exports.precedes(first, again):
            # Calls that overlap may have been served in the other order.
            longest = max(longest, between(again, first)[1])
        certain = message.certain
        if journal.exports.blind(message.activity):
            # That they are of one message is known from the instant that the second tells: then that counts as well.
            said = again.last_dequeue
            certain = certain and said is not None
            error = SHOWN_PRECISION + timedelta(seconds=journal.header.clock_error_seconds)
            longest = max(longest, again.answered - said + error) if said is not None else longest
        if shortest >= journal.lease:
            if message.certain:
                shown = True
                yield held("hidden for at least half an hour", first, again)
        elif _acknowledged_between(journal, message, first, again):
            continue
        elif longest < earliest and certain:
            yield violated(f"back after at most {longest}", first, again)
        elif longest < earliest:
            yield undecided(f"back after at most {longest}, if it is the same message", first, again)
        else:
            text = f"hidden for {max(shortest, timedelta(0))} to {longest}"
            straddling.append(undecided(text, first, again))
    if not shown:
        # Calls that took long tell nothing of a promise that others show kept.
        yield from straddling


def _acknowledged_between(journal: Readings, message: Message, first: Dequeue, again: Dequeue) -> bool:
    """Whether an acknowledgment may have been effective: what comes back then breaks another promise."""
    precedes = journal.exports.precedes
    return any(
        (ack.ok or ack.in_doubt) and not precedes(ack, first) and not precedes(again, ack)
        for ack in (*message.acks, *message.loose)
    )


@rule(
    "redelivery.after-half-an-hour",
    text="A message nobody acknowledged can be dequeued again once its half hour is over, time after time.",
    source=article(SECTION),
    reading="Judged up to the fifth delivery and the first day: whether a service ever gives up on a message is open, "
    "and older files are judged by retention.kept-for-seven-days. A download is let extend the half hour. The order "
    "among waiting messages is open, so only an empty answer breaks the promise. Where a clock runs, a message may be "
    "back half a minute late, since services look for such now and then.",
    level=MUST,
    statements=(39,),
    needs=(ADVANCE_TIME,),
)
def after_half_an_hour(journal: Readings) -> Iterator[Finding]:
    """An empty answer while a message must have been back; a redelivery shows that it came."""
    for message, first, again in redeliveries(journal):
        if message.certain and again.sent >= first.answered + journal.lease:
            yield held("came back", first, again)
    for miss in journal.waiting.misses.get(Why.AGAIN, ()):
        if miss.wait.after is None:
            continue
        late = miss.empty.sent - miss.wait.start[0]
        cause = journal.waiting.refused_before(miss)
        if cause is not None and journal.waiting.back_after(miss, cause) is not None:
            text = f"nothing offered {late} after a half hour was over, but a half hour after a refused dequeue"
            yield undecided(text, miss.wait.after, cause, miss.empty)
            continue
        if journal.exports.known(miss.empty.activity or ""):
            yield violated(f"nothing offered {late} after a half hour was over", miss.wait.after, miss.empty)
        else:
            text = f"nothing offered {late} after a half hour was over, unless somebody else took it"
            yield undecided(text, miss.wait.after, miss.empty)


@rule(
    "redelivery.first-delivery-has-no-last-dequeue",
    text="When a message is delivered for the first time, LastDequeueDateTime is blank.",
    source=article(SECTION),
    reading="Blank may be null, absent, empty, or the zero date of either platform. A lost answer may have been the "
    "first delivery.",
    level=MUST,
    statements=(41,),
)
def first_delivery_has_no_last_dequeue(journal: Readings) -> Iterator[Finding]:
    """The first delivery of each message whose export run the journal knows."""
    exports = journal.exports
    tells_truly = _tells_truly(journal)
    for message in journal.messages:
        run, first = message.production, message.deliveries[0]
        if run is None:
            yield from _first_unannounced(journal, message, tells_truly=tells_truly)
            continue
        if first.kind != "message":
            continue
        if first.blank in ("null", "absent", "empty", "0001", "1900"):
            yield held("blank", first)
            continue
        since = run.since
        said = first.last_dequeue
        if said is not None and since <= said and _was_lost(exports, message.activity, said, SHOWN_PRECISION):
            continue  # not the first delivery: that one reached nobody
        taken = journal.waiting.unknown_between(message.activity, since, first.answered)
        shown = first.last_dequeue if first.last_dequeue is not None else "something that is no instant"
        if first.blank is not None:
            yield undecided("neither blank nor an instant that can be read", first)
        elif (
            taken
            or not message.certain
            or exports.doubts_between(message.activity, since, first.answered)
            or (len(message.deliveries) > 1 and not exports.precedes(first, message.deliveries[1]))
        ):
            yield undecided(f"{shown}, and an earlier delivery may have been missed", first)
        elif not exports.known(message.activity):
            yield undecided(f"{shown}, unless somebody else had it first", first)
        else:
            yield violated(f"a first delivery that says it was last dequeued at {shown}", first)


def _tells_truly(journal: Readings) -> bool:
    """Whether some redelivery of a message that no export run is known of names the delivery before it."""
    slack = journal.exports.shown_slack
    return any(
        again.last_dequeue is not None and first.sent - slack <= again.last_dequeue <= first.answered + slack
        for message, first, again in redeliveries(journal)
        if message.production is None
    )


def _first_unannounced(journal: Readings, message: Message, *, tells_truly: bool) -> Iterator[Finding]:
    """The same of a message whose export run nobody told of, on a job that nobody else uses."""
    exports, first = journal.exports, message.deliveries[0]
    if not exports.blind(message.activity) or not exports.known(message.activity):
        return
    if exports.says_first(first):
        if journal.waiting.empty_before(first) is not None:
            yield held("blank", first)
    elif exports.handed_out_elsewhere(first) is not None:
        return
    elif first.last_dequeue is not None and exports.named_before(first) is None:
        if journal.waiting.fresh(first):
            yield violated(f"a first delivery that says it was last dequeued at {first.last_dequeue}", first)
        elif first.instant_form != "no-zone" and exports.nobody_dequeued(first, first.last_dequeue):
            text = f"says it was last dequeued at {first.last_dequeue}, and nobody dequeued then"
            # It may also be a message of before the journal that comes back with a wrong instant.
            yield violated(text, first) if tells_truly else undecided(f"{text}, if it is a first delivery", first)


@rule(
    "redelivery.says-when-last-dequeued",
    text="A message that is delivered again says when it was last dequeued.",
    source=article(SECTION),
    reading="Any form of an instant will do, cut or rounded to a second; without a zone it is UTC. A lost answer in "
    "between may have been the last dequeue.",
    level=MUST,
    statements=(40,),
    needs=(ADVANCE_TIME,),
)
def says_when_last_dequeued(journal: Readings) -> Iterator[Finding]:
    """Compare what a redelivery says with the delivery before it."""
    exports = journal.exports
    slack = exports.shown_slack
    for message in journal.messages:
        if message.production is None and exports.known(message.activity):
            yield from _without_a_word(journal, message)
    for message, first, again in redeliveries(journal):
        if not message.certain:
            continue
        if again.last_dequeue is None:
            if not exports.precedes(first, again):
                yield undecided("the calls overlapped: this may be the first delivery", first, again)
            elif again.blank == "other":
                yield undecided("LastDequeueDateTime is nothing that can be read as an instant", first, again)
            else:
                yield violated(f"delivered again with a LastDequeueDateTime that is {again.blank}", first, again)
            continue
        said = again.last_dequeue
        if first.sent - slack <= said <= first.answered + slack:
            yield held("says when", first, again)
            continue
        if not exports.precedes(first, again) or _overtaken(journal, message, first, again, said, slack):
            yield undecided(f"{said} may be right: calls for the message overlapped", first, again)
            continue
        if first.sent <= said <= again.answered and _was_lost(exports, message.activity, said, slack):
            yield held("says when a dequeue was asked for whose answer was lost", first, again)
            continue
        if first.answered < said and exports.refused_between(message.activity, said - slack, said + slack):
            yield undecided(f"{said} is when a dequeue was refused", first, again)
            continue
        hidden = (
            journal.waiting.unknown_between(message.activity, first.sent, again.answered)
            or exports.doubts_between(message.activity, first.sent, again.answered)
            or not exports.known(message.activity)
        )
        if exports.blind(message.activity) and not exports.known(message.activity):
            yield undecided("another instant, if it is the same message", first, again)
            continue
        text = f"says it was last dequeued at {said}, and that was at {first.sent}"
        if hidden and first.sent - slack <= said <= again.answered + slack:
            yield undecided(f"{text} as far as the journal tells", first, again)
        elif again.instant_form == "no-zone" and _whole_quarters(said, first, slack):
            yield undecided(f"{text}: perhaps in a time zone of its own", first, again)
        else:
            yield violated(text, first, again)


def _without_a_word(journal: Readings, message: Message) -> Iterator[Finding]:
    """A delivery that follows another by all signs but its own word, on a job of which no export run is known.

    Either nobody dequeued when it says; or, were it another message, the one before would have been missed just then.
    """
    exports, first = journal.exports, message.deliveries[0]
    before = exports.alike_before(first)
    if before is None:
        return
    if first.blank == "other":
        yield undecided("LastDequeueDateTime is nothing that can be read as an instant", before, first)
        return
    said = first.last_dequeue
    if said is not None and before.sent - exports.shown_slack <= said <= before.answered + exports.shown_slack:
        return  # it may well be of the same message, and then it says so
    if said is not None and _was_lost(exports, message.activity, said, exports.shown_slack):
        return  # that dequeue's answer was lost, whichever message it took
    shown = f"that is {first.blank}" if said is None else f"of {said}"
    if said is not None and first.instant_form != "no-zone" and exports.nobody_dequeued(first, said):
        yield violated(f"delivered again with a LastDequeueDateTime {shown}, and nobody dequeued then", before, first)
        return
    missed = _would_have_been_missed(journal, before, first)
    if missed is not None:
        text = f"delivered again with a LastDequeueDateTime {shown}, and nothing else waited"
        yield violated(text, before, first, missed)
    elif journal.waiting.uploaded(exports.message_of(before))[0] is not None:
        yield undecided(f"a LastDequeueDateTime {shown}, if it is the same message", before, first)


def _would_have_been_missed(journal: Readings, before: Dequeue, again: Dequeue) -> Dequeue | None:
    """The empty answer after a delivery that would have missed the message of the one before, were they of two."""
    exports, waiting = journal.exports, journal.waiting
    message = exports.message_of(before)
    activity = message.activity
    born, _ = waiting.uploaded(message)
    if born is None or before is not message.deliveries[-1] or before.kind != "message":
        return None
    downloads = (each.answered for each in message.downloads if not exports.precedes(again, each))
    back = max((before.answered, *downloads)) + exports.lease + exports.precision
    empty = waiting.empty_after(again)
    if again.sent < back or empty is None or empty.sent < back + exports.tardiness:
        return None
    if empty.answered >= again.sent + exports.lease - exports.precision:
        return None
    own = exports.digest_of(before) or exports.digest_of(again)

    def another(delivery: Dequeue) -> bool:
        if delivery.correlation == again.correlation:
            return False
        digest = exports.digest_of(delivery)
        return exports.message_of(delivery).certain or (own is not None and digest is not None and digest != own)

    between_them = exports.deliveries_between(activity, before.sent, empty.answered)
    told_apart = len(between_them) <= MOST_BETWEEN and all(
        each is before or each is again or another(each) for each in between_them
    )
    in_doubt = exports.doubts_between(activity, before.sent, empty.answered) or any(
        (each.ok or each.in_doubt) and not exports.precedes(empty, each)
        for each in (*message.acks, *message.loose, *exports.stray_acks)
    )
    old = empty.answered >= born + exports.retention - exports.precision
    return None if in_doubt or old or not told_apart else empty


def _overtaken(
    journal: Readings, message: Message, first: Dequeue, again: Dequeue, said: datetime, slack: timedelta
) -> bool:
    """Whether an instant may be that of another delivery, which overlapped with one of two in order."""
    precedes = journal.exports.precedes
    return any(
        each.sent - slack <= said <= each.answered + slack and not precedes(each, first) and not precedes(again, each)
        for each in message.deliveries
        if each is not first and each is not again
    )


def _was_lost(exports: Exports, activity: str, said: datetime, slack: timedelta) -> bool:
    """Whether a dequeue whose answer was lost may be the one that is said to have been the last."""
    return exports.doubts_between(activity, said - slack, said + slack)


def _whole_quarters(said: datetime, first: Dequeue, slack: timedelta) -> bool:
    rest = abs(said - first.sent) % QUARTER
    return min(rest, QUARTER - rest) <= slack + (first.answered - first.sent)


@rule(
    "redelivery.same-payload",
    text="A message that is delivered again leads to the same file.",
    source=article(SECTION),
    reading="The article speaks of the same message. Only where both deliveries were fetched.",
    level=MUST,
    statements=(39,),
    needs=(ADVANCE_TIME,),
)
def same_payload(journal: Readings) -> Iterator[Finding]:
    """Compare the digests of what two deliveries of one message led to."""
    exports = journal.exports
    for message, first, again in redeliveries(journal):
        one, other = exports.payload_of(first), exports.payload_of(again)
        if one is None or other is None or one is other:
            continue
        if one.digest == other.digest:
            yield held("the same bytes", one, other)
        elif message.certain or exports.closed(message.activity):
            yield violated(f"{one.length} bytes at first, then {other.length} other ones", first, one, again, other)
        else:
            yield undecided("other bytes, if it is the same message", first, one, again, other)


@rule(
    "redelivery.correlation",
    text="A message keeps its CorrelationId over deliveries, or has a fresh one each time.",
    source=article(SECTION),
    reading="The article says nothing of it; messages are told apart by their files.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("stable", "fresh"),
)
def correlation(journal: Readings) -> Iterator[Finding]:
    """Two fetched deliveries of a file that was produced once, or that the target itself says are of one message."""
    exports = journal.exports
    for message, first, again in redeliveries(journal):
        run, digest = message.production, exports.digest_of(first)
        if digest is None or digest != exports.digest_of(again):
            continue
        if not (message.certain and exports.blind(message.activity) if run is None else digest == run.sha256):
            continue
        if first.correlation is not None and again.correlation is not None:
            yield answered("stable" if first.correlation == again.correlation else "fresh", first, again)


@rule(
    "redelivery.order",
    text="A message that comes back stands at the end of the queue, or where it stood before.",
    source=article(SECTION),
    reading="The article promises no order of delivery.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("tail", "original-place"),
)
def order(journal: Readings) -> Iterator[Finding]:
    """Which comes first when one message is back and a younger one has never been delivered."""
    by_run = {id(each.production): each for each in journal.messages if each.production is not None and each.certain}
    for runs in journal.exports.productions.values():
        known = [by_run[id(run)] for run in runs if id(run) in by_run]
        for place, older in enumerate(known):
            for younger in known[place + 1 : place + 1 + NEIGHBOURS]:
                yield from _order_of(journal, older, younger)

    yield from _order_unannounced(journal)


def _order_unannounced(journal: Readings) -> Iterator[Finding]:
    """The same of messages whose export runs nobody told of, where each comes into the queue after an empty answer."""
    queues: dict[str, list[Message]] = {}
    for message in journal.messages:
        # Either must come back.
        if message.certain and len(message.deliveries) > 1 and journal.exports.blind(message.activity):
            queues.setdefault(message.activity, []).append(message)
    for messages in queues.values():
        for place, older in enumerate(messages):
            for younger in messages[place + 1 : place + 1 + MOST_NEIGHBOURS]:
                empty = journal.waiting.empty_before(younger.deliveries[0])
                born_later = empty is not None and journal.exports.precedes(older.deliveries[0], empty)
                if born_later and journal.exports.says_first(younger.deliveries[0]):
                    yield from _order_when_back(journal, older, younger)


def _order_when_back(journal: Readings, older: Message, younger: Message) -> Iterator[Finding]:
    """Which of two comes first when both are back, and the younger one came back first."""
    exports = journal.exports
    touched = exports.touches(older), exports.touches(younger)
    for place, again in enumerate(older.deliveries[1:], 1):
        last = bisect_left(younger.deliveries, asked(older.deliveries[place - 1]), key=asked) - 1
        if last < 0 or touched[1][last] >= older.deliveries[place - 1].sent:
            continue
        following = younger.deliveries[last + 1] if last + 1 < len(younger.deliveries) else None
        both_back = touched[0][place - 1] + exports.lease + exports.precision
        if following is None or min(again.sent, following.sent) < both_back:
            continue
        # A dequeue whose answer was lost may have taken either of them once more, and so put it behind the other.
        since = min(younger.deliveries[last].sent, older.deliveries[place - 1].sent)
        if exports.doubts_between(older.activity, since, max(again.answered, following.answered)):
            continue
        if exports.precedes(again, following):
            yield answered("original-place", younger.deliveries[last], older.deliveries[place - 1], again, following)
        elif exports.precedes(following, again):
            yield answered("tail", younger.deliveries[last], older.deliveries[place - 1], following, again)


def _order_of(journal: Readings, older: Message, younger: Message) -> Iterator[Finding]:
    born = younger.production
    fresh = younger.deliveries[0]
    place = bisect_left(older.deliveries, asked(fresh), key=asked)
    if born is None or place == 0 or not _older(older.production, born):
        return
    before = older.deliveries[place - 1]
    after = older.deliveries[place] if place < len(older.deliveries) else None
    # A dequeue whose answer was lost may have taken the older one once more, unseen.
    since = older.deliveries[max(place - 2, 0)].sent
    until = max(fresh.answered, after.answered) if after is not None else fresh.answered
    if journal.exports.doubts_between(older.activity, since, until):
        return
    if after is not None and journal.exports.touches(older)[place - 1] + journal.lease < fresh.sent:
        if born.at < before.sent + journal.lease and journal.exports.precedes(fresh, after):
            yield answered("tail", before, fresh, after)
    elif (
        place > 1
        and born.at < older.deliveries[place - 2].sent + journal.lease
        and journal.exports.precedes(before, fresh)
    ):
        yield answered("original-place", older.deliveries[place - 2], before, fresh)


def _older(one: Production | None, other: Production) -> bool:
    return one is not None and (one.at, one.place) < (other.since, other.place)


@rule(
    "redelivery.poison-limit",
    text="A message comes back without end, or only so many times.",
    source=article(SECTION),
    reading="The article names no limit but the acknowledgment.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("none", "10"),
)
def poison_limit(journal: Readings) -> Iterator[Finding]:
    """More than ten deliveries, or an empty answer although the message must have been back after fewer."""
    for message in journal.messages:
        if message.certain and len(message.deliveries) > 10:
            yield answered("none", message.deliveries[0], message.deliveries[-1])
    for miss in journal.waiting.misses.get(Why.WEARY, ()):
        after, waited = miss.wait.after, miss.wait.message
        if after is None or waited is None or not journal.exports.known(waited.activity):
            continue
        if after is waited.deliveries[-1] and not journal.exports.doubtful_dequeues.get(waited.activity):
            yield answered(str(miss.wait.deliveries), after, miss.empty)


@rule(
    "redelivery.at-half-hour",
    text="At the very end of the half hour the message is back, or still hidden.",
    source=article(SECTION),
    reading="The article does not say to which side the instant belongs.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME, PRODUCE),
    answers=("back", "hidden"),
)
def at_half_hour(journal: Readings) -> Iterator[Finding]:
    """A dequeue at exactly the half hour: only a clock that stands still can show it."""
    empties = {
        (activity, each.sent): each
        for activity, found in journal.waiting.empties.items()
        for each in found
        if each.sent == each.answered
    }
    for message, first, again in redeliveries(journal):
        if not message.certain or first.sent != first.answered:
            continue
        instant = first.answered + journal.lease
        # A download may extend the half hour, and an acknowledgment may end it: then the instant tells nothing.
        touched = any(
            first.answered < each.answered <= instant and journal.exports.precedes(each, again)
            for each in message.downloads
        )
        if touched or _acknowledged_between(journal, message, first, again):
            continue
        if again.sent == again.answered == instant:
            yield answered("back", first, again)
        elif again.sent > instant and (empty := empties.get((message.activity, instant))) is not None:
            yield answered("hidden", first, empty, again)
