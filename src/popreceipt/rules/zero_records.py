"""Exports without records: whether a file is uploaded, what a dequeue says when none was, what the page shows."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from popreceipt.rules.exports import LAST_OF_ALL, Moment, asked, authorised
from popreceipt.rules.facts import Dequeue, Production
from popreceipt.rules.imports import SHOWN_PRECISION, instant_in
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import (
    ADVANCE_TIME,
    ASK,
    CHANGE_ACTIVITY,
    CLIENT_OBSERVED,
    CREATE_ACTIVITY,
    EXPORT_RECURRENCE,
    INFERRED,
    MESSAGES,
    MUST,
    PRODUCE,
    article,
    client,
    rule,
)
from popreceipt.verdict import Finding, answered, held, undecided, violated

SECTION: Final = "Preventing uploads when there are no records"
SETTING: Final = "prevent_upload_when_zero_records"


def prevention(journal: Readings, run: Production) -> bool | None:
    """Whether Prevent upload when zero records was on during an export run; None where nobody told."""
    if run.prevention is not None:
        return run.prevention
    told = None
    for seen in journal.activities.get(run.activity, ()):
        if SETTING in seen.settings and (seen.at, seen.place) <= (run.since, run.place):
            told = bool(seen.settings[SETTING])
    return told


def changed(journal: Readings, run: Production) -> bool:
    """Whether the setting had been changed after the job was first seen, and before an export run."""
    first = None
    for seen in journal.activities.get(run.activity, ()):
        if SETTING not in seen.settings or (seen.at, seen.place) > (run.since, run.place):
            continue
        if first is None:
            first = seen.settings[SETTING]
        elif seen.settings[SETTING] != first:
            return True
    return False


@rule(
    "zero-records.prevention-uploads-nothing",
    text="With Prevent upload when zero records on, an export without records uploads no file.",
    source=article(SECTION),
    reading="As the run itself tells; and whatever it tells, no file can be fetched where no other run had records. A "
    "setting that was changed is judged by zero-records.setting-can-change.",
    level=MUST,
    statements=(64, 66),
    needs=(PRODUCE,),
)
def prevention_uploads_nothing(journal: Readings) -> Iterator[Finding]:
    """Runs without records under prevention, and files that came out of queues that can hold none."""
    for run in journal.productions:
        if run.records or prevention(journal, run) is not True or changed(journal, run):
            continue
        if run.uploaded:
            yield violated(f"message {run.message} has no records and a file all the same")
        else:
            yield held("nothing uploaded")
    for each in journal.dequeues:
        if each.kind == "message" and _without_any_file(journal, each):
            payload = journal.exports.payload_of(each)
            if payload is not None:
                yield violated("a file came, and no export of the job had uploaded one", each, payload)


def _without_any_file(journal: Readings, call: Dequeue) -> bool:
    """Whether all that the queue may hold are messages of runs that uploaded nothing, and there are some."""
    activity = call.activity or ""
    past = journal.exports.past(activity, call.answered)
    return past is not None and not past.any_uploaded and journal.exports.closed(activity)


@rule(
    "zero-records.otherwise-uploaded",
    text="An export uploads its file when it has records, and when it has none but the prevention is off.",
    source=article(SECTION),
    reading="As the run itself tells; that the file is then offered is dequeue.waiting-message-is-offered.",
    level=MUST,
    statements=(64,),
    needs=(PRODUCE,),
)
def otherwise_uploaded(journal: Readings) -> Iterator[Finding]:
    """All other runs."""
    for run in journal.productions:
        if not run.records and (prevention(journal, run) is not False or changed(journal, run)):
            continue
        if run.uploaded:
            yield held("uploaded")
        else:
            yield violated(f"message {run.message} has {run.records} records and no file")


@rule(
    "zero-records.setting-can-change",
    text="Prevent upload when zero records can be switched later, and the next export obeys.",
    source=article(SECTION),
    level=MUST,
    statements=(65,),
    needs=(PRODUCE, CHANGE_ACTIVITY),
)
def setting_can_change(journal: Readings) -> Iterator[Finding]:
    """Runs without records after the setting was changed."""
    ignored = {
        prevention(journal, run)
        for run in journal.productions
        if not run.records and not changed(journal, run) and run.uploaded is prevention(journal, run)
    }
    for run in journal.productions:
        prevents = prevention(journal, run)
        if run.records or prevents is None or not changed(journal, run):
            continue
        switched = "on" if prevents else "off"
        if run.uploaded is not prevents:
            yield held(f"obeyed when it was {switched}")
        elif prevents in ignored:
            yield undecided(f"switched {switched} and ignored, as where it was never changed")
        else:
            had = "uploaded a file" if run.uploaded else "uploaded none"
            yield violated(f"switched {switched}, and message {run.message} without records {had}")


@rule(
    "zero-records.obeyed-at-the-recurrence",
    text="An export without records that runs at its recurrence uploads its file or not as the setting says by then.",
    source=article(SECTION),
    reading="As Manage messages shows it of runs that nobody asked for: no records, and a file uploaded or none.",
    level=MUST,
    statements=(64, 65, 67),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY, EXPORT_RECURRENCE, MESSAGES),
)
def obeyed_at_the_recurrence(journal: Readings) -> Iterator[Finding]:
    """The row of each run without records that was not on purpose, beside the setting at the time of the run."""
    for activity, looks in journal.rows.items():
        known = {run.message for run in journal.productions_of(activity)}
        for look in looks:
            for message, row in look.by_id.items():
                if message in known or row.get("TotalRecordsExported") != 0 or "FileUploaded" not in row:
                    continue
                known.add(message)
                run = instant_in(row, "EnqueueDateTime")
                prevents = None if run is None else _prevention_at(journal, activity, run)
                uploaded = row["FileUploaded"] is True
                if prevents is None:
                    continue
                if uploaded is not prevents:
                    yield held("withheld" if prevents else "uploaded")
                else:
                    switched, had = "on" if prevents else "off", "a file" if uploaded else "no file"
                    yield violated(f"the prevention is {switched}, and message {message} without records has {had}")


def _prevention_at(journal: Readings, activity: str, run: datetime) -> bool | None:
    """The setting at an instant that is known to a second; None where it was just changing, or nobody told."""
    told: bool | None = None
    for seen in journal.activities.get(activity, ()):
        if SETTING not in seen.settings or seen.since > run + SHOWN_PRECISION:
            continue
        value = bool(seen.settings[SETTING])
        if seen.at >= run - SHOWN_PRECISION and value is not told:
            return None
        told = value
    return told


@rule(
    "zero-records.no-file-is-said",
    text="When no file was uploaded for a message, the answer of a dequeue does not say that there is one.",
    source=article(SECTION),
    reading="That IsDownLoadFileExist is false says so. An empty answer says nothing wrong; how a missing file is "
    "told is open.",
    level=MUST,
    statements=(36,),
)
def no_file_is_said(journal: Readings) -> Iterator[Finding]:
    """Deliveries out of queues that hold no message with a file; or that can have had none at any time."""
    for each in _never_had_one(journal):
        if each.file_exists is False:
            yield held("says that there is no file", each)
    for each in journal.dequeues:
        if not each.delivered or not authorised(each) or not _without_any_file(journal, each):
            continue
        if each.file_exists is False:
            yield held("says that there is no file", each)
        elif each.kind == "no-file":
            yield undecided(f"without a location, and IsDownLoadFileExist is {each.file_exists}", each)
        elif journal.exports.payload_of(each) is None:
            yield violated("offers a file, and no export of the job had uploaded one", each)


def _never_had_one(journal: Readings) -> Iterator[Dequeue]:
    """First deliveries without a file of messages too young for it to have expired, where no export run is known."""
    for message in journal.messages:
        first = message.deliveries[0]
        since, _ = journal.waiting.uploaded(message)
        if since is None or message.production is not None or first.kind != "no-file":
            continue
        if first.answered < since + journal.retention - journal.exports.precision:
            yield first


def _rows_of(journal: Readings, run: Production) -> Iterator[Mapping[str, Any]]:
    """The rows that Manage messages shows of an export run, at each look that was taken after it."""
    for look in journal.rows.get(run.activity, ()):
        if (look.since, look.place) > (run.at, run.place) and run.message in look.by_id:
            yield look.by_id[run.message]


@rule(
    "zero-records.total-records-exported",
    text="Manage messages shows how many records an export had: zero where there were none.",
    source=article(SECTION),
    level=MUST,
    statements=(67, 69),
    needs=(PRODUCE, MESSAGES),
)
def total_records_exported(journal: Readings) -> Iterator[Finding]:
    """The column beside the number that the run told."""
    for run in journal.productions:
        for row in _rows_of(journal, run):
            if "TotalRecordsExported" not in row:
                continue
            shown = row["TotalRecordsExported"]
            if shown == run.records and not isinstance(shown, bool):
                yield held("the number of records")
            else:
                yield violated(f"message {run.message} had {run.records} records, and {shown!r} is shown")


@rule(
    "zero-records.file-uploaded",
    text="Manage messages marks an export whose file was uploaded, and leaves the mark out where none was.",
    source=article(SECTION),
    reading="False is as good as blank.",
    level=MUST,
    statements=(67, 70),
    needs=(PRODUCE, MESSAGES),
)
def file_uploaded(journal: Readings) -> Iterator[Finding]:
    """The column beside what the run told."""
    for run in journal.productions:
        for row in _rows_of(journal, run):
            if "FileUploaded" not in row:
                continue
            shown = row["FileUploaded"]
            if (shown is True) is run.uploaded and shown in (True, False, None):
                yield held("marked" if run.uploaded else "not marked")
            else:
                had = "a file" if run.uploaded else "no file"
                yield violated(f"message {run.message} uploaded {had}, and {shown!r} is shown")


@rule(
    "zero-records.no-file-answer",
    text="A dequeue tells that there is no file in one of several ways.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "issue 71: a DownloadLocation that is null"),
    reading="The article says only that the answer says so.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("said", "location-filled", "message-empty", "message-null", "204"),
)
def no_file_answer(journal: Readings) -> Iterator[Finding]:
    """Dequeues of queues that hold messages without a file only."""
    told: set[str | None] = set()
    for each in _never_had_one(journal):
        yield answered(_how(each), each)
    for each in journal.dequeues:
        if not authorised(each) or not _without_any_file(journal, each):
            continue
        if each.kind == "no-file":
            told.add(each.activity)
            yield answered(_how(each), each)
        elif each.kind == "empty" and each.method == "GET" and each.activity not in told and _untouched(journal, each):
            # The first dequeue after the run came back empty: the message is not announced at all.
            told.add(each.activity)
            yield answered("204", each)


def _how(delivery: Dequeue) -> str:
    if delivery.file_exists is not False:
        return "no location alone"
    if delivery.location is not None:
        return "location-filled"
    if delivery.file_error is None:
        return "message-null"
    return "said" if delivery.file_error.strip() else "message-empty"


def _untouched(journal: Readings, call: Dequeue) -> bool:
    """Whether a run was over before the call, and nothing can have taken its message before."""
    exports = journal.exports
    activity = call.activity or ""
    run = exports.productions[activity][0]
    return (
        exports.told_before(run.at, run.place, call)
        and not exports.doubts_between(activity, run.since, call.answered)
        and not any(each.activity == activity for each in journal.cleanups)
        and not journal.resets
    )


@rule(
    "zero-records.no-file-leaves",
    text="A message without a file comes back until it is acknowledged, or leaves the queue at once.",
    source=article(SECTION),
    reading="The article does not say whether such a message is to be acknowledged.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("when-acknowledged", "at-once"),
)
def no_file_leaves(journal: Readings) -> Iterator[Finding]:
    """The next dequeue after the half hour of such a message, where nobody acknowledged anything."""
    yield from _unannounced_leave(journal)
    exports = journal.exports
    deliveries: dict[str, list[Dequeue]] = {}
    acknowledged: dict[str | None, Moment] = {}
    for ack in journal.acks:
        if ack.ok or ack.in_doubt:
            acknowledged.setdefault(ack.activity, asked(ack))
    for each in journal.dequeues:
        activity = each.activity or ""
        before = asked(each) < acknowledged.get(activity, (each.sent, LAST_OF_ALL))
        if each.kind == "no-file" and before and _without_any_file(journal, each):
            deliveries.setdefault(activity, []).append(each)
    for activity, announced in deliveries.items():
        runs = exports.productions[activity]
        if exports.doubtful_dequeues.get(activity) or any(each.activity == activity for each in journal.cleanups):
            continue
        # One more than there were runs: some message was announced twice.
        for place, each in enumerate(announced):
            if place >= bisect_right(runs, each.answered, key=lambda run: run.since):
                yield answered("when-acknowledged", announced[0], each)
        empties = journal.waiting.empties.get(activity, [])
        last = announced[-1]
        over = last.answered + journal.lease + exports.precision + exports.tardiness
        place = bisect_left(empties, over, key=lambda empty: empty.sent)
        if place == len(empties) or empties[place].sent == over or journal.resets:
            continue
        if activity not in acknowledged or asked(empties[place]) < acknowledged[activity]:
            yield answered("at-once", last, empties[place])


def _unannounced_leave(journal: Readings) -> Iterator[Finding]:
    """The same of a message whose export run nobody told of, and that nobody acknowledged."""
    exports, waiting = journal.exports, journal.waiting
    for first in _never_had_one(journal):
        message = exports.message_of(first)
        again = next((each for each in message.deliveries[1:] if each.kind == "no-file"), None)
        if again is not None:
            yield answered("when-acknowledged", first, again)
            continue
        over = first.answered + journal.lease + exports.precision + exports.tardiness
        empty = waiting.empty_since(message.activity, over)
        if empty is None or not exports.known(message.activity):
            continue
        strays = (each for each in exports.stray_acks if each.activity == message.activity)
        if any(not exports.precedes(empty, each) for each in strays):
            continue
        acks = [each for each in (*message.acks, *message.loose) if not exports.precedes(empty, each)]
        if acks or exports.lookalike(message, first) is not None or len(message.deliveries) > 1:
            continue
        in_doubt = exports.doubts_between(message.activity, first.sent, empty.answered)
        if not in_doubt and not waiting.unknown_between(message.activity, first.sent, empty.answered):
            yield answered("at-once", first, empty)
