"""What a message's status says, and whether it is true: GetMessageStatus, and jobstatus beside it.

The nine statuses are documented, GetMessageStatus with them. jobstatus is known from public clients alone, so nothing
about it convicts. When a batch must or may have run is told by the readings of imports.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import accumulate

from popreceipt import vocabulary
from popreceipt.rules.facts import Ack, Dequeue, StatusAnswer
from popreceipt.rules.imports import FINAL, Import, Moment, gate_or_gateway, moment_of, trusted
from popreceipt.rules.readings import Message, Readings
from popreceipt.rules.rule import (
    ASK,
    CLIENT_OBSERVED,
    INFERRED,
    MESSAGES,
    MUST,
    PRODUCE,
    SHOULD,
    article,
    client,
    rule,
)
from popreceipt.verdict import Finding, answered, held, undecided, violated

STATUS_SECTION = "API for getting message status"

DOCUMENTED_STATUSES = frozenset(
    {
        vocabulary.ENQUEUED,
        vocabulary.DEQUEUED,
        vocabulary.ACKED,
        vocabulary.PREPROCESSING,
        vocabulary.PROCESSING,
        vocabulary.PROCESSED,
        vocabulary.PREPROCESSING_ERROR,
        vocabulary.PROCESSED_WITH_ERRORS,
        vocabulary.POSTPROCESSING_FAILED,
    }
)

TOLERATED_STATUSES = frozenset({vocabulary.DOWNLOADED, "PreProcessing", "PostProcessingError"})
"""Not in the article's table, but in the enumeration of Microsoft's own client (Recurring-Integrations-Scheduler)."""

TAKEN_BY_A_CLIENT = frozenset({vocabulary.DEQUEUED, vocabulary.DOWNLOADED})

NO_MORE_CHANGES = FINAL | {vocabulary.ACKED}


@rule(
    "status.vocabulary",
    text="The status of a message is one of the nine that the documentation lists.",
    source=article(STATUS_SECTION),
    reading="In the article's spelling. Downloaded, PreProcessing and PostProcessingError are let pass: a client of "
    "Microsoft's has them. A blank answer breaks the promise only for a message that exists.",
    level=MUST,
    statements=(46, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57),
)
def vocabulary_of_statuses(journal: Readings) -> Iterator[Finding]:
    """Every answer of GetMessageStatus by itself; a blank one together with the enqueue that made the message."""
    for call in journal.statuses:
        if not call.ok:
            continue
        if call.value in DOCUMENTED_STATUSES or call.value in TOLERATED_STATUSES:
            yield held("a documented status", call)
        elif call.value and call.value.strip():
            yield violated(f"the status {call.value!r} is not in the documentation's table", call)
        elif (message := _existing(journal, call)) is not None:
            yield violated("no status for a message that exists", message.enqueue, call)


def _existing(journal: Readings, call: StatusAnswer) -> Import | None:
    """The import that was asked for by its plain id, where it certainly was there at that time."""
    message = journal.imports.by_id.get(call.message or "")
    if message is None or not call.bare or not moment_of(message.enqueue).precedes(moment_of(call)):
        return None
    return None if journal.imports.gone(message, call.answered) else message


@rule(
    "status.enqueued-until-taken",
    text="From the end of the enqueue until the batch takes it, a message's status is Enqueued.",
    source=article(STATUS_SECTION),
    reading="Judged where no recurrence and no run on purpose can have come between, and where Manage messages shows "
    "later that the message was still untouched. A service may find a request unusable before its turn.",
    level=MUST,
    statements=(46, 49),
)
def enqueued_until_taken(journal: Readings) -> Iterator[Finding]:
    """Each answer about an import that the batch cannot have taken by then."""
    for message in journal.imports:
        waits_seen = False
        for sighting in message.asked:
            if sighting.call is None or sighting.state in (vocabulary.ACKED, vocabulary.PREPROCESSING_ERROR):
                continue
            if sighting.state == vocabulary.ENQUEUED:
                if not waits_seen:
                    waits_seen = True
                    yield held("Enqueued at first", message.enqueue, sighting.call)
            elif any(row.untouched and sighting.precedes(row) for row in message.rows):
                yield violated(
                    f"{sighting.call.value}, and later still Enqueued and not started in Manage messages",
                    message.enqueue,
                    sighting.call,
                )
            elif (
                message.file is not None
                and not message.rows
                and not message.recurrence.may_have_run(message.enqueue.sent, sighting.by)
            ):
                yield undecided(
                    f"{sighting.call.value} before its turn: taken too early, or said to be (nobody looked at "
                    "Manage messages)",
                    message.enqueue,
                    sighting.call,
                )


@rule(
    "status.dequeued-after-dequeue",
    text="An exported message is Dequeued once a client has dequeued it, and not before.",
    source=article(STATUS_SECTION),
    reading="Judged within the half hour after a dequeue, and before anybody can have dequeued the message. After a "
    "download the status may be Downloaded.",
    level=MUST,
    statements=(50,),
    needs=(PRODUCE,),
)
def dequeued_after_dequeue(journal: Readings) -> Iterator[Finding]:
    """Each answer about an export that was produced on purpose, so that its message id is known."""
    by_production = _by_production(journal)
    takers = _Takers(journal.dequeues)
    for production in journal.productions:
        message = by_production.get(production.message)
        for call in journal.states.get(production.message, ()):
            if not call.ok or call.state is None or call.state == vocabulary.ACKED:
                continue
            if production.uploaded and call.state in TAKEN_BY_A_CLIENT and call.sent >= production.at:
                if not takers.any(production.activity, production.since, call):
                    yield violated(f"{call.value} before anybody dequeued", call)
                continue_after = True
            else:
                continue_after = call.state not in TAKEN_BY_A_CLIENT
            delivery = _held_at(journal, message, call)
            if delivery is None:
                continue
            if call.state in TAKEN_BY_A_CLIENT:
                yield held("Dequeued", delivery, call)
            elif continue_after:
                yield violated(f"dequeued, and {call.value} within the half hour", delivery, call)
