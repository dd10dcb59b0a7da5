"""What a dequeue offers, and in which shape."""

from collections.abc import Iterator
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.exports import authorised
from popreceipt.rules.facts import Dequeue
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import right_side
from popreceipt.rules.rule import (
    ADVANCE_TIME,
    ASK,
    CLIENT_OBSERVED,
    INFERRED,
    MUST,
    PRODUCE,
    SHOULD,
    article,
    client,
    rule,
)
from popreceipt.rules.waiting import Why
from popreceipt.verdict import Finding, answered, held, undecided, violated

SECTION: Final = "API for export (dequeue)"

MEMBERS: Final = (
    vocabulary.CORRELATION_ID,
    vocabulary.POP_RECEIPT,
    vocabulary.DOWNLOAD_LOCATION,
    vocabulary.FILE_EXISTS,
    vocabulary.FILE_ERROR,
)
"""What public clients bind. LastDequeueDateTime is not among them: recordings of 2019 are without it."""


@rule(
    "dequeue.waiting-message-is-offered",
    text="When an export has put a file into the queue, a dequeue offers it.",
    source=article(SECTION),
    reading="The order among waiting messages is open, so only an empty answer, or one that says there is no file "
    "although every export uploaded one, breaks the promise. Files older than a day, and those that had been offered "
    "before, are judged by retention.kept-for-seven-days.",
    level=MUST,
    statements=(28, 33),
    needs=(PRODUCE,),
)
def waiting_message_is_offered(journal: Readings) -> Iterator[Finding]:
    """First deliveries, and empty answers while a message that was never delivered must have been there."""
    exports = journal.exports
    for message in journal.messages:
        if message.production is not None and message.deliveries[0].kind == "message":
            yield held("offered", message.deliveries[0])
    for miss in journal.waiting.misses.get(Why.FIRST, ()):
        run = miss.wait.production
        if run is None:
            continue
        if exports.known(miss.empty.activity or ""):
            text = f"nothing offered, and the file of message {run.message} was uploaded by {run.at}"
            yield violated(text, miss.empty)
        else:
            yield undecided(f"nothing offered of message {run.message}, unless somebody else took it", miss.empty)
    for each in journal.dequeues:
        if each.kind != "no-file" or not authorised(each) or each.last_dequeue is not None:
            continue
        if all_have_files(journal, each) and all_young(journal, each):
            yield violated("says there is no file, and every export of the job uploaded one", each)


def all_have_files(journal: Readings, call: Dequeue) -> bool:
    """Whether every message that the queue may hold has a file that has not expired."""
    exports = journal.exports
    activity = call.activity or ""
    past = exports.past(activity, call.answered)
    if past is None or not past.all_uploaded or not exports.closed(activity):
        return False
    return call.answered < past.oldest + exports.retention - exports.precision


def all_young(journal: Readings, call: Dequeue) -> bool:
    """Whether every message that the queue may hold is less than a day old (a seventh of its time)."""
    past = journal.exports.past(call.activity or "", call.answered)
    return past is None or call.answered < past.oldest + journal.retention / 7


@rule(
    "dequeue.own-activity-only",
    text="A dequeue offers what the recurring data job in its path exported, and nothing of another's.",
    source=article(SECTION),
    reading="Known by the digest of the file: no two produced files with records are equal. Where nobody told of the "
    "exports the promise can be seen broken, not kept: a message says that it was dequeued when nobody dequeued there, "
    "and just then it was handed out by another job, under the same CorrelationId.",
    level=MUST,
    statements=(33,),
    needs=(PRODUCE,),
)
def own_activity_only(journal: Readings) -> Iterator[Finding]:
    """Each fetched delivery whose file was produced on purpose, here or elsewhere; and what came from elsewhere."""
    exports = journal.exports
    yield from _came_from_elsewhere(journal)
    for each in journal.dequeues:
        payload = exports.payload_of(each) if each.delivered else None
        if payload is None or payload.digest is None:
            continue
        activity = each.activity or ""
        if (activity, payload.digest) in exports.produced:
            yield held("its own", each)
        elif runs := exports.produced_anywhere.get(payload.digest):
            yield violated(f"the file that recurring data job {runs[0].activity} exported", each, payload)


def _came_from_elsewhere(journal: Readings) -> Iterator[Finding]:
    """Messages of which no export run is known, and that were handed out by another recurring data job before."""
    for message in journal.messages:
        first = message.deliveries[0]
        if message.production is not None or not journal.exports.blind(message.activity):
            continue
        other = journal.exports.handed_out_elsewhere(first)
        if other is not None:
            text = f"says it was last dequeued at {first.last_dequeue}, when job {other.activity} handed it out"
            yield violated(text, other, first)


@rule(
    "dequeue.answer-members",
    text="The answer of a dequeue has the members that clients bind, in their spelling.",
    source=client("d365collaborative/d365fo.integrations", "help of Get-DmfDequeue: a recorded answer"),
    reading="LastDequeueDateTime may be missing; further members may be there.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(33,),
)
def answer_members(journal: Readings) -> Iterator[Finding]:
    """Each successful answer that has a body."""
    seen: dict[tuple[str, ...], list[str]] = {}
    for each in journal.dequeues:
        if each.kind == "malformed" and authorised(each):
            yield violated("success, and neither empty nor a message", each)
        if not each.delivered:
            continue
        if each.members not in seen:
            seen[each.members] = [name for name in MEMBERS if name not in each.members]
        missing = seen[each.members]
        if missing:
            yield violated(f"without {', '.join(missing)}", each)
        elif each.file_exists is None:
            yield violated(f"{vocabulary.FILE_EXISTS} is no boolean", each)
        elif each.correlation is None or each.receipt is None:
            yield violated("a CorrelationId or PopReceipt that is no text", each)
        else:
            yield held("all there", each)


@rule(
    "dequeue.empty-queue",
    text="When nothing waits, a dequeue answers 204, or 200 with an empty body.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "Download.cs: stops at 204"),
    reading="The article does not say what an empty queue is answered with. JSON without a value (null) is empty, too.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("204", "200-empty"),
)
def empty_queue(journal: Readings) -> Iterator[Finding]:
    """Each empty answer."""
    for empties in journal.waiting.empties.values():
        for each in empties:
            if right_side(journal, each) is False:
                continue  # not an empty queue but another job's direction
            body = "200-null" if each.digest else "200-empty"
            yield answered(body if each.status == 200 else str(each.status), each)


@rule(
    "dequeue.file-error-message",
    text="FileDownLoadErrorMessage of a message that has its file is null, or empty.",
    source=client("d365collaborative/d365fo.integrations", "help of Get-DmfDequeue: an empty text"),
    reading="Public recordings show both.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("null", "empty"),
)
def file_error_message(journal: Readings) -> Iterator[Finding]:
    """Each message with a file."""
    for each in journal.dequeues:
        if each.kind == "message" and each.file_exists:
            text = each.file_error
            yield answered("null" if text is None else "empty" if not text.strip() else "a text", each)


@rule(
    "dequeue.blank-last-dequeue",
    text="A blank LastDequeueDateTime is null, absent, empty, or the zero date of .NET or of the application.",
    source=article("API for acknowledgment"),
    reading="The article says blank; public recordings show null and absent.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("null", "absent", "empty", "0001", "1900"),
)
def blank_last_dequeue(journal: Readings) -> Iterator[Finding]:
    """The first delivery of each message that the journal can tell from its start."""
    for message in journal.messages:
        first = message.deliveries[0]
        if first.kind == "message" and first.blank is not None:
            yield answered(first.blank, first)


@rule(
    "dequeue.last-dequeue-format",
    text="A LastDequeueDateTime is written in UTC with Z, without a zone, with a fraction, or with an offset.",
    source=article("API for acknowledgment"),
    reading="No form of the instant has been published.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("utc", "no-zone", "fraction", "offset"),
)
def last_dequeue_format(journal: Readings) -> Iterator[Finding]:
    """Each delivery that says when it was last dequeued."""
    for each in journal.dequeues:
        if each.delivered and (each.instant_form is not None or each.blank == "other"):
            yield answered(each.instant_form or "other", each)
