"""What a message's status says, and whether it is true: GetMessageStatus, and jobstatus beside it.

The nine statuses are documented, GetMessageStatus with them. jobstatus is known from public clients alone, so nothing
about it convicts. When a batch must or may have run is told by the readings of imports.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate

from popreceipt import vocabulary
from popreceipt.rules.exports import Message
from popreceipt.rules.facts import Ack, Call, Dequeue, Disturbance, StatusAnswer
from popreceipt.rules.frequency import at_a_call
from popreceipt.rules.imports import (
    FINAL,
    SHOWN_PRECISION,
    Import,
    Sighting,
    gate_or_gateway,
    moment_of,
    trusted,
)
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import names_a_guid
from popreceipt.rules.rule import (
    ASK,
    CLIENT_OBSERVED,
    FAULTS,
    INFERRED,
    MESSAGES,
    MUST,
    PROCESS,
    PRODUCE,
    SHOULD,
    article,
    client,
    rule,
)
from popreceipt.verdict import Finding, answered, held, undecided, violated

STATUS_SECTION = "API for getting message status"
SCHEDULER = "microsoft/Recurring-Integrations-Scheduler"
POWERSHELL = "d365collaborative/d365fo.integrations"

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
    statements=(44, 46, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57),
)
def documented_statuses(journal: Readings) -> Iterator[Finding]:
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
    if message is None or not call.bare or not message.at(message.enqueue).precedes(message.at(call)):
        return None
    return None if journal.imports.gone(message, call.answered) else message


@rule(
    "status.enqueued-until-taken",
    text="From the end of the enqueue until the batch takes it, a message's status is Enqueued.",
    source=article(STATUS_SECTION),
    reading="Judged where no recurrence and no run on purpose can have come between. Where Manage messages shows that "
    "the batch did take the message so early, the status is true and processing.waits-for-the-recurrence is broken. A "
    "service may find a request unusable before its turn. Where only the period of the recurrence is known, four files "
    "that came when all was done and quiet, at times spread over half of it, and that all had been taken a hundredth "
    "of it later, found no run by chance.",
    level=MUST,
    statements=(45, 46, 49),
)
def enqueued_until_taken(journal: Readings) -> Iterator[Finding]:
    """Each answer about an import that the batch cannot have taken by then, or about several it cannot have awaited."""
    for message in journal.imports:
        first = True
        for sighting in message.asked:
            if sighting.call is None or sighting.state in (vocabulary.ACKED, vocabulary.PREPROCESSING_ERROR):
                continue
            if sighting.state == vocabulary.ENQUEUED:
                if first:
                    yield held("Enqueued at first", message.enqueue, sighting.call)
                first = False
            elif message.may_be_taken(sighting):
                break
            elif message.rows:
                if any(_later_untouched(sighting, message)):
                    yield violated(
                        f"{sighting.call.value}, while Manage messages has it untouched", message.enqueue, sighting.call
                    )
            elif message.file is not None:
                yield violated(f"{sighting.call.value} before any run", message.enqueue, sighting.call)
    for runs in at_a_call(journal):
        longest = max(each.span for each in runs)
        calls = [call for each in runs for call in each.calls]
        yield violated(f"{runs[-1].sighting.state} within {longest}, as were {len(runs) - 1} others before it", *calls)


def _later_untouched(sighting: Sighting, message: Import) -> Iterator[bool]:
    """Whether each row shows that the batch took the message only after the sighting."""
    for row in message.rows:
        yield row.untouched and sighting.precedes(row)
        yield row.started is not None and row.started - SHOWN_PRECISION > sighting.by


@rule(
    "status.dequeued-after-dequeue",
    text="An exported message is Dequeued once a client has dequeued it, and not before.",
    source=article(STATUS_SECTION),
    reading="Judged within the half hour after a dequeue, and before anybody can have dequeued the message. In the "
    "place of Dequeued may stand Downloaded.",
    level=MUST,
    statements=(50,),
    needs=(PRODUCE,),
)
def dequeued_after_dequeue(journal: Readings) -> Iterator[Finding]:
    """Each answer about an export that was produced on purpose, so that its message id is known."""
    messages = _by_production(journal)
    takers = _Takers(journal.dequeues, journal.exports.linger)
    for production in journal.productions:
        message = messages.get(production.message)
        for call in journal.states.get(production.message, ()):
            if not call.ok or call.state is None or call.state == vocabulary.ACKED:
                continue
            taken = call.state in TAKEN_BY_A_CLIENT
            if taken and not takers.any(production.activity, production.since, call.answered):
                yield violated(f"{call.value} before anybody dequeued", call)
            elif message is not None and (delivery := _leased(journal, message, call)) is not None:
                if taken:
                    yield held("Dequeued", delivery, call)
                else:
                    yield violated(f"{call.value} within the half hour after a dequeue", delivery, call)


def _by_production(journal: Readings) -> dict[str, Message]:
    """The messages that are certainly known, by the id under which they were produced."""
    return {
        message.production.message: message
        for message in journal.messages
        if message.production is not None and message.certain
    }


def _leased(journal: Readings, message: Message, call: Call) -> Dequeue | None:
    """The delivery that certainly hid the message throughout the call; None where it may have been acknowledged."""
    latest = None
    for delivery in message.deliveries:
        if delivery.kind == "message" and _precedes(journal, message, delivery, call):
            latest = delivery
    if latest is None or call.answered >= latest.sent + journal.lease:
        return None
    acknowledged = any(not _precedes(journal, message, call, ack) for ack in (*message.acks, *message.loose))
    return None if acknowledged else latest


def _precedes(journal: Readings, message: Message, first: Call, second: Call) -> bool:
    """Whether a call about an export had certainly taken effect before another."""
    in_line = journal.imports.in_line(message.activity)
    return moment_of(first, in_line=in_line).precedes(moment_of(second, in_line=in_line))


class _Takers:
    """Dequeues that may have handed out a message, by activity, to be asked for a stretch of time."""

    def __init__(self, dequeues: Iterable[Dequeue], linger: timedelta) -> None:
        by_activity: dict[str, list[Dequeue]] = defaultdict(list)
        for each in dequeues:
            if each.activity is not None and each.kind != "empty" and (each.kind != "refused" or each.in_doubt):
                by_activity[each.activity].append(each)
        self._sent = {name: [each.sent for each in calls] for name, calls in by_activity.items()}
        self._latest = {
            name: list(accumulate((each.answered + linger * each.in_doubt for each in calls), max))
            for name, calls in by_activity.items()
        }

    def any(self, activity: str, start: datetime, end: datetime) -> bool:
        """Whether one of them may have taken effect in that stretch."""
        place = bisect_right(self._sent.get(activity, []), end)
        return place > 0 and self._latest[activity][place - 1] >= start


@rule(
    "status.acked-only-when-acknowledged",
    text="An exported message is Acked when its acknowledgment has succeeded, and never without one.",
    source=article(STATUS_SECTION),
    reading="Any acknowledgment that names a delivery of the message may have made it Acked, whatever its answer. Only "
    "the plain case must have: the body of the last dequeue's answer, sent back within the half hour and accepted. An "
    "import is never Acked.",
    level=MUST,
    statements=(51,),
    needs=(PRODUCE,),
)
def acked_only_when_acknowledged(journal: Readings) -> Iterator[Finding]:
    """Each answer about a message that was produced on purpose, against its acknowledgments up to then."""
    messages = _by_production(journal)
    strays = _first_strays(journal, messages.values())
    for production in journal.productions:
        message = messages.get(production.message)
        stray = strays.get(production.activity)
        for call in journal.states.get(production.message, ()):
            if call.ok and call.state is not None:
                yield from _acked(journal, message, call, stray)
    for imported in journal.imports:
        for sighting in imported.asked:
            if sighting.state == vocabulary.ACKED and sighting.call is not None:
                yield violated("an import is Acked", imported.enqueue, sighting.call)


def _acked(journal: Readings, message: Message | None, call: StatusAnswer, stray: datetime | None) -> Iterator[Finding]:
    if message is None:
        if call.state == vocabulary.ACKED and (stray is None or stray > call.answered):
            yield violated("Acked, and nobody acknowledged it", call)
        return
    before = [each for each in (*message.acks, *message.loose) if not _precedes(journal, message, call, each)]
    accepted = [each for each in before if each.ok and _precedes(journal, message, each, call)]
    if call.state == vocabulary.ACKED:
        if accepted:
            yield held("Acked after an acknowledgment", accepted[0], call)
        elif not before and (stray is None or stray > call.answered):
            yield violated("Acked, and nobody acknowledged it", call)
    elif (plain := next((each for each in accepted if _plain(journal, message, each)), None)) is not None:
        yield violated(f"acknowledged, and still {call.value}", plain, call)
    elif not before and any(_precedes(journal, message, each, call) for each in message.deliveries):
        yield held("dequeued and not acknowledged, and not said to be Acked", call)


def _plain(journal: Readings, message: Message, ack: Ack) -> bool:
    """Whether an accepted acknowledgment is one that must have counted."""
    delivery = journal.delivery_of(ack)
    if delivery is None or ack.form != "echo" or ack.activity != message.activity or not delivery.delivered:
        return False
    return delivery is message.deliveries[-1] and ack.answered < delivery.sent + journal.lease


def _first_strays(journal: Readings, known: Iterable[Message]) -> dict[str | None, datetime]:
    """When the first acknowledgment was sent of which nobody can say which message of the job it meant."""
    of_known = {each.seq for message in known for each in (*message.acks, *message.loose)}
    found: dict[str | None, datetime] = {}
    for each in journal.acks:
        if each.seq not in of_known:
            found[each.activity] = min(each.sent, found.get(each.activity, each.sent))
    return found


@rule(
    "status.processed-when-all-records-are-good",
    text="An import whose records can all be taken ends as Processed.",
    source=article(STATUS_SECTION),
    reading="For the entity Customer groups: every key filled and short enough, every description short enough, no "
    "key twice.",
    level=MUST,
    statements=(45, 54),
)
def processed_when_all_records_are_good(journal: Readings) -> Iterator[Finding]:
    """The end of each import whose file is faultless."""
    for message in journal.imports:
        if message.file is None or not message.file.all_good or (end := message.told) is None:
            continue
        if end.state == vocabulary.PROCESSED:
            yield held("Processed", *_seen(message, end))
        elif end.state == vocabulary.POSTPROCESSING_FAILED:
            yield undecided("what failed after processing need not be a record", *_seen(message, end))
        elif journal.imports.misread(message):
            yield undecided("with %20 in the entity's name no file gets through, with + some do", *_seen(message, end))
        else:
            yield violated(f"{end.state}, though all {len(message.file.good)} records are good", *_seen(message, end))


@rule(
    "status.with-errors-when-records-fail",
    text="An import in which records fail ends as ProcessedWithErrors.",
    source=article(STATUS_SECTION),
    reading="Where no record is good, a service may also find the file unusable before it processes it.",
    level=MUST,
    statements=(45, 47, 56),
)
def with_errors_when_records_fail(journal: Readings) -> Iterator[Finding]:
    """The end of each import in whose file a record has no key or a value that is too long."""
    for message in journal.imports:
        if message.file is None or not message.file.bad or (end := message.told) is None:
            continue
        if end.state == vocabulary.PROCESSED_WITH_ERRORS:
            yield held("ProcessedWithErrors", *_seen(message, end))
        elif end.state == vocabulary.POSTPROCESSING_FAILED:
            yield undecided("what failed after processing need not be a record", *_seen(message, end))
        elif end.state == vocabulary.PROCESSED or (message.file.good and not journal.imports.misread(message)):
            yield violated(
                f"{end.state}, with {len(message.file.bad)} bad and {len(message.file.good)} good records",
                *_seen(message, end),
            )


def _seen(message: Import, sighting: Sighting) -> tuple[Call, ...]:
    return (message.enqueue,) if sighting.call is None else (message.enqueue, sighting.call)


@rule(
    "status.failed-after-processing",
    text="An import whose stage after processing fails ends as PostProcessingFailed.",
    source=article(STATUS_SECTION),
    reading="Where that stage was made to fail on purpose, and one import alone can have been struck. Either spelling.",
    level=MUST,
    statements=(47, 57),
    needs=(FAULTS, PROCESS),
)
def failed_after_processing(journal: Readings) -> Iterator[Finding]:
    """The end of each import that such a failure was planned for."""
    for fault in journal.disturbances:
        if fault.kind != "post-processing-failed" or fault.activity is None:
            continue
        struck = [
            each
            for each in journal.imports.of_activity.get(fault.activity, ())
            if each.enqueue.seq < fault.end_place and not _over_before(each, fault)
        ]
        end = struck[0].told if len(struck) == 1 else None
        if end is None or not fault.place < end.place < fault.end_place or not _undone_at(struck[0], fault):
            continue
        if end.state == vocabulary.POSTPROCESSING_FAILED:
            yield held("failed after its processing", *_seen(struck[0], end))
        elif end.state != vocabulary.PREPROCESSING_ERROR:
            yield violated(f"{end.state}, and the stage after its processing failed", *_seen(struck[0], end))


def _undone_at(message: Import, fault: Disturbance) -> bool:
    """Whether a message certainly had not come to its end when a fault was planned."""
    later = any(each.state not in FINAL and each.place > fault.place for each in message.seen)
    return later or message.enqueue.seq > fault.place


def _over_before(message: Import, fault: Disturbance) -> bool:
    final = message.final
    return final is not None and (final.place < fault.place if final.place else final.by < fault.since)


@rule(
    "status.listed-in-manage-messages",
    text="Manage messages goes on listing each message of its job, an export that uploaded nothing as well.",
    source=article("Manage recurring data jobs"),
    reading="For seven days, unless a clean-up (of whatever job) or a reset may have taken it. An import counts once "
    "it was seen; that it is there at all is enqueue.creates-a-message.",
    level=MUST,
    statements=(25, 67),
    needs=(MESSAGES,),
)
def listed_in_manage_messages(journal: Readings) -> Iterator[Finding]:
    """Each look at the page beside the imports that were seen, and the export runs, before it."""
    wipes = sorted(
        [*journal.reset_spans, *((each.since, each.at) for each in journal.cleanups)], key=lambda each: each[1]
    )
    ends = [at for _, at in wipes]

    def still_there(since: datetime, by: datetime) -> bool:
        place = bisect_left(ends, since)
        return by < since + journal.retention and (place == len(wipes) or wipes[place][0] > by)

    for activity, looks in journal.rows.items():
        in_line = journal.imports.in_line(activity)
        for look in looks:
            seen = moment_of(look, in_line=in_line)
            for message in journal.imports.of_activity.get(activity, ()):
                if not message.at(message.enqueue).precedes(seen):
                    break
                known = next((each for each in message.seen if each.precedes(seen)), None)
                if known is None or not still_there(message.enqueue.sent, look.at):
                    continue
                if message.id in look.by_id:
                    yield held("listed", message.enqueue)
                else:
                    yield violated(f"{known.state} before, and no longer listed in Manage messages", message.enqueue)
            for run in journal.productions_of(activity):
                if not moment_of(run, in_line=in_line).precedes(seen):
                    break
                if not still_there(run.since, look.at):
                    continue
                if run.message in look.by_id:
                    yield held("listed")
                else:
                    yield violated(f"the export run {run.message} is not listed in Manage messages")


@rule(
    "status.final-stays-final",
    text="A status that ends a message's life does not change any more.",
    source=article(STATUS_SECTION),
    reading="Nothing after the end is documented; a retry by hand is none of a client's doing.",
    level=SHOULD,
    provenance=INFERRED,
    statements=(45,),
)
def final_stays_final(journal: Readings) -> Iterator[Finding]:
    """Each answer after the first final one, GetMessageStatus and jobstatus each for itself."""
    jobs: dict[str, list[StatusAnswer]] = defaultdict(list)
    for call in journal.jobstatuses:
        if call.message is not None:
            jobs[call.message].append(call)
    for series in (*journal.states.values(), *jobs.values()):
        end: StatusAnswer | None = None
        for call in series:
            if not call.ok or call.state is None:
                continue
            if end is None:
                end = call if call.state in NO_MORE_CHANGES else None
            elif end.answered <= call.sent and end.seq < call.seq:
                if call.state == end.state:
                    yield held("stayed as it was", end, call)
                else:
                    yield violated(f"{end.value}, and later {call.value}", end, call)


@rule(
    "status.jobstatus-agrees",
    text="jobstatus tells the same state of an import as GetMessageStatus.",
    source=client(SCHEDULER, "polls jobstatus for the end of an import"),
    reading="Compared where GetMessageStatus leaves no doubt what the state was meanwhile. Each has its own spellings, "
    "and the states of a job know no Preprocessing: it is InProcess.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
)
def jobstatus_agrees(journal: Readings) -> Iterator[Finding]:
    """Each answer of jobstatus between two of GetMessageStatus that agree, or after a final one."""
    for message in journal.imports:
        places = [(each.since, each.place) for each in message.asked] if message.jobs else []
        for job in message.jobs:
            expected = _expected(message, job, places)
            if expected is None or expected.call is None or job.call is None:
                continue
            prepared = expected.state == vocabulary.PREPROCESSING and job.state == vocabulary.PROCESSING
            if job.state == expected.state or prepared:
                yield held("both tell the same", expected.call, job.call)
            else:
                yield violated(
                    f"GetMessageStatus says {expected.call.value}, jobstatus {job.call.value}", expected.call, job.call
                )


def _expected(message: Import, job: Sighting, places: Sequence[tuple[datetime, float]]) -> Sighting | None:
    """The answer of GetMessageStatus that must still, or must already, have held when jobstatus was asked."""
    place = bisect_left(places, (job.since, job.place))
    earlier = message.asked[place - 1] if place else None
    later = message.asked[place] if place < len(places) else None
    earlier = earlier if earlier is not None and earlier.precedes(job) else None
    later = later if later is not None and job.precedes(later) else None
    # What died in its processing is put back, and then Enqueued a second time.
    if later is not None and later.state == vocabulary.ENQUEUED and not message.disturbed:
        return later
    if earlier is None:
        return None
    at_one_instant = earlier.since == job.by and not message.recurrence.ran_on_purpose(earlier, job)
    if earlier.state in FINAL or at_one_instant or (later is not None and later.state == earlier.state):
        return earlier
    return None


@rule(
    "status.odata-answer",
    text="The actions of the data management entity answer with a JSON object that has @odata.context and value.",
    source=client(POWERSHELL, "reads value and @odata.context of GetMessageStatus"),
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(48,),
)
def odata_answer(journal: Readings) -> Iterator[Finding]:
    """Every answer with success of the four actions."""
    answers = (
        journal.statuses,
        journal.execution_ids,
        journal.execution_errors,
        journal.execution_summaries,
    )
    for calls in answers:
        for call in calls:
            if call.ok and call.shaped:
                yield held("an OData answer", call)
            elif call.ok:
                yield violated(f"{call.operation}: no JSON object with @odata.context and a value of text", call)


@rule(
    "status.jobstatus-members",
    text="jobstatus answers with DataJobStatus, in it the project, the job, its state and its execution.",
    source=client(SCHEDULER, "contracts DataJobStatusDetail and DataJobStatus"),
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
)
def jobstatus_members(journal: Readings) -> Iterator[Finding]:
    """Every answer with success that is not null."""
    for call in journal.jobstatuses:
        if not call.ok or (call.null and not call.shaped):
            continue
        if call.shaped:
            yield held("the members that clients read", call)
        else:
            yield violated("DataProject, DataJobIdentifier, DataJobState or ExecutionIdentifier is missing", call)


@rule(
    "status.ninth-spelling",
    text="The status of a message that is being prepared is Preprocessing, or PreProcessing.",
    source=article(STATUS_SECTION),
    reading="The article's table has the one, the enumeration of Microsoft's client the other.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    statements=(52,),
    answers=("Preprocessing", "PreProcessing"),
    needs=(PROCESS,),
)
def ninth_spelling(journal: Readings) -> Iterator[Finding]:
    """How GetMessageStatus writes it."""
    yield from _spellings(journal, vocabulary.PREPROCESSING)


@rule(
    "status.seventh-spelling",
    text="The status of a message that failed after processing is PostProcessingFailed, or PostProcessingError.",
    source=article(STATUS_SECTION),
    reading="The article's table has the one, the enumeration of Microsoft's client the other.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    statements=(57,),
    needs=(FAULTS,),
    answers=("PostProcessingFailed", "PostProcessingError"),
)
def seventh_spelling(journal: Readings) -> Iterator[Finding]:
    """How GetMessageStatus writes it."""
    yield from _spellings(journal, vocabulary.POSTPROCESSING_FAILED)


def _spellings(journal: Readings, state: str) -> Iterator[Finding]:
    for call in journal.statuses:
        if call.ok and call.state == state and call.value is not None:
            yield answered(call.value, call)


@rule(
    "status.downloaded",
    text="A message whose file was downloaded is Downloaded, or stays Dequeued.",
    source=client(SCHEDULER, "enumeration of message statuses"),
    reading="The article's table has no such status.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    needs=(PRODUCE,),
    answers=("shown", "hidden"),
)
def downloaded(journal: Readings) -> Iterator[Finding]:
    """The status of a leased message after its file has come whole."""
    for message in journal.messages:
        if message.production is None or not message.certain:
            continue
        for call in journal.states.get(message.production.message, ()):
            if not call.ok or call.state not in TAKEN_BY_A_CLIENT:
                continue
            delivery = _leased(journal, message, call)
            if delivery is None:
                continue
            for download in message.downloads:
                if (
                    download.ok
                    and _precedes(journal, message, delivery, download)
                    and _precedes(journal, message, download, call)
                ):
                    yield answered("shown" if call.state == vocabulary.DOWNLOADED else "hidden", download, call)
                    break


@rule(
    "status.jobstatus-state",
    text="jobstatus tells the state by its name, or by its number.",
    source=client(SCHEDULER, "reads DataJobState as a name or as a number"),
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("name", "number"),
)
def jobstatus_state(journal: Readings) -> Iterator[Finding]:
    """How jobstatus writes the state."""
    for call in journal.jobstatuses:
        if call.ok and call.value is not None:
            yield answered("number" if call.number else "name", call)


@rule(
    "status.jobstatus-unknown",
    text="jobstatus of a message that does not exist is not found, or has a null in it.",
    source=client(SCHEDULER, "skips a message whose DataJobStatus is null"),
    level=ASK,
    provenance=INFERRED,
    answers=("404", "200-null"),
)
def jobstatus_unknown(journal: Readings) -> Iterator[Finding]:
    """What is said of a GUID that names no message, on a job that exists."""
    known = _known_messages(journal)
    for call in journal.jobstatuses:
        if (
            call.status is None
            or call.activity not in journal.activities
            or not _asked_for_nothing(call, known)
            or not names_a_guid(call.message or "")
        ):
            continue
        if call.ok:
            yield answered("200-null" if call.null else f"200 {call.value or 'without a state'}", call)
        else:
            yield answered(str(call.status), call)


@rule(
    "status.unknown-message",
    text="GetMessageStatus of a message that does not exist is an error, or a blank.",
    source=article(STATUS_SECTION),
    reading="The article says nothing about it. A text that is no GUID counts as well.",
    level=ASK,
    provenance=INFERRED,
    answers=("400", "200-empty"),
)
def unknown_message(journal: Readings) -> Iterator[Finding]:
    """What is said of an id that names no message."""
    known = _known_messages(journal)
    for call in journal.statuses if journal.activities else ():
        if call.status is None or not _asked_for_nothing(call, known):
            continue
        if call.ok:
            yield answered(f"200 {call.value}" if call.value else "200-empty", call)
        else:
            yield answered(str(call.status), call)


def _known_messages(journal: Readings) -> frozenset[str]:
    """Every message that the journal tells of, gone or not."""
    listed = {message for looks in journal.rows.values() for look in looks for message in look.by_id}
    handed_in = {each.message for each in journal.enqueues if each.message is not None}
    return frozenset(listed | handed_in | {each.message for each in journal.productions})


def _asked_for_nothing(call: StatusAnswer, known: frozenset[str]) -> bool:
    """Whether the client that may ask everything asked for a message that is none."""
    return (
        call.message is not None
        and call.message not in known
        and trusted(call.role)
        and call.status is not None
        and not gate_or_gateway(call.status)
    )
