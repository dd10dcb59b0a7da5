"""What becomes of a message that nobody acknowledged: it hides, it comes back, it says when it was last taken."""

from collections.abc import Iterator
from datetime import timedelta

from popreceipt.rules.facts import Dequeue, between
from popreceipt.rules.readings import HALF_HOUR, Message, Readings
from popreceipt.rules.rule import ADVANCE_TIME, ASK, INFERRED, MUST, article, rule
from popreceipt.verdict import Finding, answered, held, undecided, violated

SHOWN_PRECISION = timedelta(seconds=1)
"""LastDequeueDateTime may be cut or rounded to whole seconds."""


def redeliveries(journal: Readings) -> Iterator[tuple[Message, Dequeue, Dequeue]]:
    """Each two deliveries of one message that follow one another, both with its file."""
    for message in journal.messages:
        for first, second in zip(message.deliveries, message.deliveries[1:], strict=False):
            if first.kind == second.kind == "message":
                yield message, first, second


@rule(
    "redelivery.not-before-half-an-hour",
    text="A message nobody acknowledged stays hidden for half an hour after each delivery.",
    source=article("API for acknowledgment"),
    reading="The half hour starts anew at each delivery. A dequeue took effect between being sent and being answered.",
    level=MUST,
    statements=(39,),
    needs=(ADVANCE_TIME,),
)
def not_before_half_an_hour(journal: Readings) -> Iterator[Finding]:
    """Judge each redelivery by the longest and the shortest time that can have passed."""
    for message, first, again in redeliveries(journal):
        shortest, longest = between(first, again)
        if longest < journal.lease and message.certain:
            yield violated(f"back after at most {longest}", first, again)
        elif shortest >= journal.lease:
            yield held(f"hidden for at least {shortest}", first, again)
        else:
            yield undecided(f"hidden for {shortest} to {longest}", first, again)


@rule(
    "redelivery.after-half-an-hour",
    text="A message nobody acknowledged can be dequeued again once its half hour is over, time after time.",
    source=article("API for acknowledgment"),
    reading="Judged up to the fifth delivery: whether a service ever gives up on a message is open. A download is let "
    "extend the half hour. The order among waiting messages is open, so only an empty answer breaks the promise.",
    level=MUST,
    statements=(39,),
    needs=(ADVANCE_TIME,),
)
def after_half_an_hour(journal: Readings) -> Iterator[Finding]:
    """An empty answer while a message must have been back; a redelivery shows that it came."""
    for message, first, again in redeliveries(journal):
        if message.certain and again.sent >= first.answered + journal.lease:
            yield held("came back", first, again)
    for empty in journal.dequeues:
        if empty.kind != "empty":
            continue
        missed = journal.certainly_waiting(empty, redelivered=True)
        if missed and missed[0].after is not None:
            late = empty.sent - missed[0].start
            yield violated(f"nothing offered {late} after a half hour was over", missed[0].after, empty)


@rule(
    "redelivery.at-half-hour",
    text="At the very end of the half hour the message is back, or still hidden.",
    source=article("API for acknowledgment"),
    reading="The article does not say to which side the instant belongs.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("back", "hidden"),
)
def at_half_hour(journal: Readings) -> Iterator[Finding]:
    """A dequeue at exactly the half hour: only a clock that stands still can show it."""
    for message in journal.messages:
        for place, delivery in enumerate(message.deliveries):
            if delivery.kind != "message" or not message.certain or delivery.sent != delivery.answered:
                continue
            instant = delivery.answered + HALF_HOUR
            following = message.deliveries[place + 1] if place + 1 < len(message.deliveries) else None
            if following is not None and following.sent == following.answered == instant:
                yield answered("back", delivery, following)
                continue
            for each in journal.dequeues:
                if each.kind == "empty" and each.activity == message.activity and each.sent == each.answered == instant:
                    yield answered("hidden", delivery, each)
