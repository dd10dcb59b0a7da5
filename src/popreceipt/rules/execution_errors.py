"""How the errors of an import are found: from the message to its execution, from the execution to a list.

Executions are only compared, never read. Which records are bad is known from the file that was handed in.
"""

from collections.abc import Iterator, Mapping

from popreceipt import vocabulary
from popreceipt.rules.facts import EntityDetail, ExecutionErrors, ExecutionId
from popreceipt.rules.files import ENTITY
from popreceipt.rules.imports import COMPLETED, Import, gate_or_gateway, is_execution, trusted
from popreceipt.rules.landing import Part
from popreceipt.rules.projects import BAD, UNSURE
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import well_made
from popreceipt.rules.rule import (
    ASK,
    CLIENT_OBSERVED,
    CREATE_ACTIVITY,
    INFERRED,
    MUST,
    PROCESS,
    PROJECTS,
    SHOULD,
    article,
    client,
    microsoft,
    package_api,
    rule,
)
from popreceipt.verdict import Finding, answered, held, undecided, violated

ERRORS_SECTION = "API to get the list of execution errors"


def completed_before(journal: Readings, execution: str | None, call: ExecutionErrors) -> list[Import] | None:
    """The imports of an execution, where each is known and had come to its end before the call; None otherwise.

    An import that a clean-up may have taken is not known any more.
    """
    found = []
    for name in journal.imports.executions.get(execution or "", ()):
        message = journal.imports.by_id.get(name)
        if message is None or message.file is None or journal.imports.gone(message, call.answered):
            return None
        end = message.ended_before(message.at(call))
        if end is None or end.state not in COMPLETED:
            return None
        found.append(message)
    return found or None


@rule(
    "execution-errors.lists-every-bad-record",
    text="The errors of an execution list every record that could not be taken.",
    source=article(ERRORS_SECTION),
    reading="Counted: there are at least as many entries as bad records, and no two bad records share an id. Asked for "
    "after the import has come to its end. What the ids mean is open.",
    level=MUST,
    statements=(59,),
)
def lists_every_bad_record(journal: Readings) -> Iterator[Finding]:
    """Each list of errors against the files of the imports that the execution belongs to."""
    for call in journal.execution_errors:
        messages = completed_before(journal, call.execution, call)
        bad = sum(len(each.file.bad) for each in messages or () if each.file is not None)
        if messages is None or not bad or call.status is None or not well_made(call):
            continue
        first = messages[0].enqueue
        ids = {each.record for each in call.entries}
        if not call.ok:
            if trusted(call.role) and not gate_or_gateway(call.status) and call.status < 500:
                yield violated(f"{call.status} for an execution with {bad} bad records", first, call)
        elif len(call.entries) < bad:
            yield violated(f"{len(call.entries)} errors for {bad} bad records", first, call)
        elif len(ids) < bad and None not in ids and "" not in ids:
            yield undecided(f"{bad} bad records, and only {len(ids)} ids among the errors", first, call)
        else:
            yield held("every bad record is listed", first, call)


@rule(
    "execution-errors.lists-bad-records-of-every-entity",
    text="The errors of an execution over several entities list every record of each that could not be taken.",
    source=article(ERRORS_SECTION),
    reading="Counted over all entities, as far as their fields are told: a record without its key or a mandatory "
    "value, or with a text longer than its field, is bad. Not where an error stops an execution unit or a level.",
    level=MUST,
    statements=(59,),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS),
)
def lists_bad_records_of_every_entity(journal: Readings) -> Iterator[Finding]:
    """Each list of errors of an execution that belongs to a package of several entities, after its end."""
    landings = {each.message.id: each for each in journal.landings if len(each.parts) > 1}
    for call in journal.execution_errors if landings else ():
        names = journal.imports.executions.get(call.execution or "", ())
        landing = landings.get(names[0]) if len(names) == 1 else None
        if landing is None or not call.ok or journal.imports.gone(landing.message, call.answered):
            continue
        end = landing.message.ended_before(landing.message.at(call))
        bad = {part.entity.entity: sum(each.verdict == BAD for each in part.records) for part in landing.parts}
        if end is None or end.state not in COMPLETED or any(part.entity.stops for part in landing.parts):
            continue
        total = sum(bad.values())
        if len([each for each in bad.values() if each]) < 2:
            continue
        if len(call.entries) < total:
            counted = ", ".join(f"{number} of {name}" for name, number in bad.items())
            yield violated(
                f"{len(call.entries)} errors for {total} bad records: {counted}", landing.message.enqueue, call
            )
        else:
            yield held("every bad record is listed", landing.message.enqueue, call)


@rule(
    "execution-errors.details-by-entity",
    text="The details of an execution name each entity, and count its records that were taken and that failed.",
    source=microsoft("Data import and export jobs overview", "Validate that the job ran as expected"),
    reading="As jobstatus tells them; the article means the job history. The numbers are those of the file where none "
    "failed, and for Customer groups, of which it is known which are bad.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(59,),
    needs=(PROJECTS, CREATE_ACTIVITY, PROCESS),
)
def details_by_entity(journal: Readings) -> Iterator[Finding]:
    """Each answer of jobstatus about an import of a data project that has come to its end."""
    for landing in journal.landings:
        for sighting in landing.message.jobs:
            call = sighting.call
            if call is None or sighting.state not in COMPLETED or call.details is None:
                continue
            told = {each.entity.strip().casefold(): each for each in call.details}
            wrong = next((said for part in landing.parts if (said := _miscounted(part, told, sighting.state))), None)
            if wrong is None:
                yield held("every entity is there, with its numbers", landing.message.enqueue, call)
            else:
                yield violated(wrong, landing.message.enqueue, call)


def _miscounted(part: Part, told: Mapping[str, EntityDetail], state: str) -> str | None:
    detail = told.get(part.entity.name)
    if detail is None:
        return f"nothing is told of {part.entity.entity}"
    bad = sum(each.verdict == BAD for each in part.records)
    settled = part.entity.name == ENTITY and not any(each.verdict == UNSURE for each in part.records)
    if part.entity.stops or not (settled or state == vocabulary.PROCESSED):
        return None
    for what, number, counted in (
        ("taken", len(part.records) - bad, detail.landed),
        ("failed", bad, detail.failed),
    ):
        if counted is not None and counted != number:
            return f"{counted} records of {part.entity.entity} {what}, and {number} in the file"
    return None


@rule(
    "execution-errors.none-when-all-is-well",
    text="The errors of an execution are an empty list when every record was taken.",
    source=article(ERRORS_SECTION),
    level=MUST,
    statements=(59,),
)
def none_when_all_is_well(journal: Readings) -> Iterator[Finding]:
    """Each list of errors of an execution whose files are all faultless."""
    for call in journal.execution_errors:
        messages = completed_before(journal, call.execution, call)
        if messages is None or not call.ok or call.form == "other":
            continue
        if not all(each.file is not None and each.file.all_good for each in messages):
            continue
        if call.entries:
            yield violated(f"{len(call.entries)} errors, though every record is good", messages[0].enqueue, call)
        elif call.form == "malformed":
            yield undecided("no JSON, and no errors to be seen in it", messages[0].enqueue, call)
        else:
            yield held("no errors", messages[0].enqueue, call)


@rule(
    "execution-errors.execution-found-by-message",
    text="The execution of a message that was processed is found by the message's id.",
    source=article(ERRORS_SECTION),
    reading="Judged after the message has come to its end as Processed or ProcessedWithErrors; one that failed earlier "
    "may have no execution.",
    level=MUST,
    statements=(59,),
)
def execution_found_by_message(journal: Readings) -> Iterator[Finding]:
    """Each answer of GetExecutionIdByMessageId about an import that had come to its end."""
    for call in journal.execution_ids:
        message = journal.imports.by_id.get(call.message or "")
        if message is None or message.file is None or not call.named_rightly or call.status is None:
            continue
        if not well_made(call):
            continue
        end = message.ended_before(message.at(call))
        if end is None or end.state not in COMPLETED or journal.imports.gone(message, call.answered):
            continue
        if call.ok and is_execution(call.execution):
            yield held("an execution is named", message.enqueue, call)
        elif call.ok:
            yield violated(f"{end.state}, and its execution is {call.execution!r}", message.enqueue, call)
        elif call.bare and trusted(call.role) and not gate_or_gateway(call.status) and call.status < 500:
            yield violated(f"{end.state}, and {call.status} when asked for its execution", message.enqueue, call)


@rule(
    "execution-errors.record-members",
    text="Each error has RecordId, Field and ErrorMessage, and its message says something.",
    source=client("HotWax", "notes on its connector: errors of recurring imports"),
    reading="A list that is broken JSON is not looked into.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(59,),
)
def record_members(journal: Readings) -> Iterator[Finding]:
    """Every list with entries."""
    for call in journal.execution_errors:
        if call.form == "malformed" and call.entries:
            yield undecided("a list that is no JSON: its members are not to be told", call)
        if call.form not in ("string", "array") or not call.entries:
            continue
        short = next(
            (
                each
                for each in call.entries
                if each.record is None or each.field is None or not (each.text or "").strip()
            ),
            None,
        )
        if short is None:
            yield held("RecordId, Field and ErrorMessage", call)
        else:
            yield violated(
                f"RecordId {short.record!r}, Field {short.field!r}, ErrorMessage {short.text!r} in one entry", call
            )


@rule(
    "execution-errors.summary-vocabulary",
    text="The summary status of an execution is one of those that are documented.",
    source=package_api("GetExecutionSummaryStatus"),
    reading="Unknown, NotRun, Executing, Succeeded, PartiallySucceeded, Failed or Canceled. An older edition shows the "
    "value inside another value: what is no text is not judged.",
    level=MUST,
)
def summary_vocabulary(journal: Readings) -> Iterator[Finding]:
    """Every answer with success."""
    for call in journal.execution_summaries:
        if not call.ok or call.value is None:
            continue
        if call.value in vocabulary.SUMMARY_STATUSES:
            yield held("a documented status", call)
        else:
            yield violated(f"the summary status {call.value!r} is not documented", call)


@rule(
    "execution-errors.summary-agrees",
    text="An execution has Succeeded when its message is Processed, and not when it is ProcessedWithErrors.",
    source=package_api("GetExecutionSummaryStatus"),
    reading="ProcessedWithErrors goes with PartiallySucceeded or Failed.",
    level=SHOULD,
    provenance=INFERRED,
    statements=(45,),
)
def summary_agrees(journal: Readings) -> Iterator[Finding]:
    """Each summary of an execution that belongs to one import, after its end."""
    for call in journal.execution_summaries:
        names = journal.imports.executions.get(call.execution or "", [])
        message = journal.imports.by_id.get(names[0]) if len(names) == 1 else None
        if message is None or not call.ok or call.value is None:
            continue
        end = message.ended_before(message.at(call))
        if end is None or end.state not in COMPLETED:
            continue
        fitting = ("Succeeded",) if end.state == vocabulary.PROCESSED else ("PartiallySucceeded", "Failed")
        if call.value in fitting:
            yield held("both tell the same", message.enqueue, call)
        else:
            yield violated(f"the message is {end.state}, its execution {call.value}", message.enqueue, call)


@rule(
    "execution-errors.value-form",
    text="The list of errors comes as a text that holds JSON, as JSON itself, or as a text that is broken JSON.",
    source=article(ERRORS_SECTION),
    reading="The article says that it is a JSON list; clients have met the three. Only lists with entries count, and a "
    "broken one shows what the others would have been.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    statements=(59,),
    answers=("string", "array", "malformed"),
)
def value_form(journal: Readings) -> Iterator[Finding]:
    """The form of each list that has entries."""
    lists = [each for each in journal.execution_errors if each.ok and each.entries and each.form is not None]
    broken = [each for each in lists if each.form == "malformed"]
    for call in broken or lists:
        yield answered(call.form or "", call)


@rule(
    "execution-errors.unresolved",
    text="While the batch has not taken a message, its execution is the GUID of zeros, a blank, or an error.",
    source=article(ERRORS_SECTION),
    reading="The article says nothing about it.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    statements=(59,),
    answers=("zero", "empty", "400"),
)
def unresolved(journal: Readings) -> Iterator[Finding]:
    """What is said of a message that certainly still waits."""
    for call in journal.execution_ids:
        message = journal.imports.by_id.get(call.message or "")
        if (
            message is None
            or message.file is None
            or not call.named_rightly
            or not call.bare
            or not trusted(call.role)
            or not _waits(message, call)
        ):
            continue
        if (answer := _unresolved(call)) is not None:
            yield answered(answer, message.enqueue, call)


def _waits(message: Import, call: ExecutionId) -> bool:
    """Whether the batch cannot have taken the message yet."""
    moment = message.at(call)
    if any(each.state == vocabulary.ENQUEUED and moment.precedes(each) for each in message.seen):
        return True
    return message.at(message.enqueue).precedes(moment) and not message.may_be_taken(moment)


def _unresolved(call: ExecutionId) -> str | None:
    if call.status is None or gate_or_gateway(call.status):
        return None
    if not call.ok:
        return str(call.status)
    if not call.execution or not call.execution.strip():
        return "empty"
    return "an execution" if is_execution(call.execution) else "zero"


@rule(
    "execution-errors.unknown-execution",
    text="The errors of an execution that does not exist are an empty list, or an error.",
    source=article(ERRORS_SECTION),
    reading="The article says nothing about it. A message's id is no execution either.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    statements=(59,),
    answers=("200-empty", "400"),
)
def unknown_execution(journal: Readings) -> Iterator[Finding]:
    """What is said of an id that no answer ever named as an execution."""
    if not journal.activities:
        return
    named = {vocabulary.bare_guid(each) for each in journal.imports.executions}
    named |= {vocabulary.bare_guid(each.execution) for each in journal.jobstatuses if each.execution}
    for call in journal.execution_errors:
        if call.execution is None or vocabulary.bare_guid(call.execution) in named or not trusted(call.role):
            continue
        if call.status is None or gate_or_gateway(call.status):
            continue
        if not call.ok:
            yield answered(str(call.status), call)
        else:
            yield answered("200 with errors" if call.entries else "200-empty", call)
