"""When an import is processed, and what is in the target table afterwards.

The batch runs at the job's recurrence (or on purpose). How long processing takes is the service's affair: rules look at
what was seen, and let everything pass that some duration would explain.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.facts import Call, Enqueue, Records
from popreceipt.rules.files import (
    ARCHIVE_ENDS,
    DESCRIPTION_LENGTH,
    ENTITY,
    KEY_LENGTH,
    MANIFEST,
    ParsedFile,
    Record,
    looks_zipped,
    manifest_entries,
    members_of,
    records_of,
)
from popreceipt.rules.formats import DELIMITED, EXCEL, FORMATS, kind_of, rows_of
from popreceipt.rules.frequency import too_often, waited
from popreceipt.rules.imports import (
    COMPLETED,
    SHOWN_PRECISION,
    Ends,
    Import,
    Moment,
    Sighting,
    gate_or_gateway,
    plus_in_entity,
    trusted,
)
from popreceipt.rules.projects import ProjectEntity
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import (
    ADVANCE_TIME,
    ASK,
    CLIENT_OBSERVED,
    CREATE_ACTIVITY,
    INFERRED,
    MUST,
    RECORDS,
    article,
    client,
    rule,
)
from popreceipt.rules.tables import as_written, row_of
from popreceipt.verdict import Finding, answered, held, undecided, violated

JOB_SECTION: Final = "Create a recurring data job"
STATUS_SECTION: Final = "API for getting message status"

STUCK: Final = timedelta(minutes=15)
"""So long a message that never ends may be in process before it is called stuck."""

STARTED: Final = frozenset(
    {
        vocabulary.PROCESSING,
        vocabulary.PROCESSED,
        vocabulary.PROCESSED_WITH_ERRORS,
        vocabulary.POSTPROCESSING_FAILED,
    }
)
"""States that a message cannot have before it is processed; being prepared, or found unusable, it may be earlier."""


def _calls(message: Import, *sightings: Sighting) -> tuple[Call, ...]:
    return (message.enqueue, *[each.call for each in sightings if each.call is not None])


@rule(
    "processing.waits-for-the-recurrence",
    text="A file that was handed in waits for the job's processing recurrence.",
    source=article(JOB_SECTION),
    reading="A run on purpose is as good as a recurrence. What Manage messages shows goes before what the status says. "
    "A recurrence counts from the job's creation, or from a reset of the target. Where only its period is known, a "
    "file counts as waiting after half a minute, and three that were processed within one period, each handed in after "
    "all was done and quiet, are more than a late run and the next one account for.",
    level=MUST,
    statements=(20, 60),
    needs=(ADVANCE_TIME,),
)
def waits_for_the_recurrence(journal: Readings) -> Iterator[Finding]:
    """Whether each import was seen to wait, or to have been processed, while no run can have come yet."""
    for runs in too_often(journal):
        span = runs[-1].sighting.by - runs[0].message.enqueue.sent
        calls = [call for each in runs for call in each.calls]
        yield violated(f"{len(runs)} runs one after another, the first to the last within {span}", *calls)
    for message in journal.imports:
        if message.file is None:
            continue
        early = _too_early(message)
        if early is not None:
            yield early
            continue
        for sighting in message.seen:
            if message.may_be_taken(sighting):
                break
            if sighting.state == vocabulary.ENQUEUED and sighting.since > message.enqueue.answered:
                yield held("waited", *_calls(message, sighting))
                break
        if (waiting := waited(message)) is not None:
            yield held(f"waited for {waiting.since - message.enqueue.answered} at least", *_calls(message, waiting))


def _too_early(message: Import) -> Finding | None:
    """The finding that a message was processed before any run, by its rows or (without rows) by its status."""
    for row in message.rows:
        if row.started is None and row.state not in STARTED:
            continue
        by: Moment = row
        if row.started is not None and row.started + SHOWN_PRECISION < row.by:
            by = Moment(row.started, row.started + SHOWN_PRECISION, 0)
        if not message.may_be_taken(by):
            return violated(f"processing started by {by.by}, before any recurrence since the enqueue", message.enqueue)
    if message.rows:
        return None
    for sighting in message.seen:
        if message.may_be_taken(sighting):
            break
        if sighting.state in STARTED:
            return violated(f"{sighting.state} before any recurrence since the enqueue", *_calls(message, sighting))
    return None


@rule(
    "processing.runs-at-the-recurrence",
    text="At the job's processing recurrence the batch takes what waits.",
    source=article(JOB_SECTION),
    reading="How much one run takes is open: at least one message, so a message counts as left only after as many "
    "recurrences as there may be messages before it. One run may be over before the next is due or not: a recurrence "
    "at which files of another may have been in process proves nothing. What begins between two recurrences was taken "
    "by the first of them. On a clock that is not the harness's own, one recurrence more is granted.",
    level=MUST,
    statements=(20, 60),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY),
)
def runs_at_the_recurrence(journal: Readings) -> Iterator[Finding]:
    """Whether each import was taken by the recurrence that came first after it."""
    grace = 0 if journal.header.clock == "manual" else 1
    for messages in journal.imports.of_activity.values():
        line = _Line(messages)
        for place, message in enumerate(messages):
            recurrence, handed_in = message.recurrence, message.enqueue.answered
            if message.file is None or (
                message.in_order
                and (line.unfinished_before(place) or journal.imports.lost(message.activity, handed_in))
            ):
                continue
            late = next(
                (each for each in reversed(message.seen) if each.state == vocabulary.ENQUEUED),
                None,
            )
            missed = 0 if late is None else recurrence.ticks_between(handed_in, late.since)
            if late is not None and missed and _begun_without_another(message, late):
                missed -= 1
            if late is not None and missed:
                others = line.others(message, late) + journal.imports.lost(message.activity, late.by)
                if missed - line.hindered(message, late) > grace + others:
                    yield violated(f"still Enqueued {missed} recurrences later", *_calls(message, late))
                else:
                    yield undecided(f"Enqueued after a recurrence, with {others} others", *_calls(message, late))
                continue
            taken = message.taken
            if (
                taken is not None
                and recurrence.ticks_between(handed_in, taken.since) == 1
                and not recurrence.ran_on_purpose(message.at(message.enqueue), taken)
            ):
                yield held("taken", *_calls(message, taken))


def _begun_without_another(message: Import, late: Sighting) -> bool:
    """Whether a message was taken between the same two recurrences as it was last seen to wait: a run starts slowly."""
    begun = next((each for each in message.seen if late.precedes(each)), None)
    return begun is not None and not message.late and not message.recurrence.may_have_run(late, begun)


class _Line:
    """The imports of one recurring data job in the order in which they were sent."""

    def __init__(self, messages: Sequence[Import]) -> None:
        self._sent = [each.enqueue.sent for each in messages]
        self._taken = sorted(each.taken.by for each in messages if each.taken is not None)
        # What died in its processing is put back, and taken a second time.
        self._again = [each.enqueue.sent for each in messages if each.disturbed]
        unfinished = 0
        self._unfinished = [0]
        for each in messages:
            final = each.final
            unfinished += final is None or final.state != vocabulary.PROCESSED or each.disturbed
            self._unfinished.append(unfinished)
        self._ends = Ends(messages)

    def unfinished_before(self, place: int) -> bool:
        """Whether a message before this one failed, if only in part or on purpose, or was never seen at its end."""
        return self._unfinished[place] > 0

    def others(self, message: Import, late: Sighting) -> int:
        """How many other messages runs may have taken instead, from the enqueue to this sighting."""
        sent = bisect_left(self._sent, late.by)
        taken = bisect_right(self._taken, message.enqueue.sent)
        return max(0, sent - taken - 1) + bisect_left(self._again, late.by)

    def hindered(self, message: Import, late: Sighting) -> int:
        """How many recurrences, from the enqueue to this sighting, may have found the files of another run in process.

        The message itself had not been begun by then.
        """
        handed_in, over = message.enqueue.answered, self._ends.latest(late.since)
        return message.recurrence.ticks_between(handed_in, min(over, late.since)) if over > handed_in else 0


@rule(
    "processing.at-the-tick",
    text="A file that arrives at the very instant of a recurrence waits for the next one, or is taken by this one.",
    source=article(JOB_SECTION),
    reading="The article says nothing about it. Only a clock that stands still can show it.",
    level=ASK,
    provenance=INFERRED,
    statements=(20,),
    answers=("next-tick", "this-tick"),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY),
)
def at_the_tick(journal: Readings) -> Iterator[Finding]:
    """What was seen of such a file before the next recurrence."""
    for message in journal.imports:
        recurrence, instant = message.recurrence, message.enqueue.sent
        if message.file is None or recurrence.origin is None or recurrence.period is None or not recurrence.exact:
            continue
        since_origin = instant - recurrence.origin[0]
        if instant != message.enqueue.answered or not since_origin or since_origin % recurrence.period or message.late:
            continue
        for sighting in message.seen:
            if sighting.by >= instant + recurrence.period or recurrence.ran_on_purpose(
                message.at(message.enqueue), sighting
            ):
                break
            if sighting.state != vocabulary.ENQUEUED:
                yield answered("this-tick", *_calls(message, sighting))
                break
            if sighting.since > instant:
                yield answered("next-tick", *_calls(message, sighting))
                break


# The target table


class _Writer(msgspec.Struct, gc=False):
    """Somebody's file for a target table: a message that is known, or an enqueue of which nobody knows the end."""

    enqueue: Enqueue
    message: Import | None
    file: ParsedFile | None


class _Table:
    """One look at a target table, and which files may have been written into it by then."""

    def __init__(self, look: Records, writers: Iterable[_Writer]) -> None:
        self.look = look
        self.rows = [row_of(each) for each in look.records]
        self.by_key: dict[str, list[Record]] = defaultdict(list)
        for row in self.rows:
            self.by_key[row.identity].append(row)
        self.writers = [each for each in writers if each.enqueue.sent <= look.at]
        self.opaque = any(each.file is None for each in self.writers)

    def holds(self, record: Record) -> bool:
        """Whether a row of its key has the record's values."""
        return any(as_written(record, row) for row in self.by_key.get(record.identity, ()))

    def completed(self) -> Iterator[tuple[Import, ParsedFile]]:
        """Imports that had certainly come to their end, the target table written, when the look was taken."""
        for writer in self.writers:
            if writer.message is None or writer.message.file is None:
                continue
            end = writer.message.ended_before(writer.message.at(self.look))
            if end is not None and end.state in COMPLETED:
                yield writer.message, writer.message.file


def _tables(journal: Readings) -> Iterator[_Table]:
    """Every look at a target table, job by job, with the files that may have been written into it."""
    if not journal.records:
        return
    writers: dict[str, list[_Writer]] = defaultdict(list)
    for call in journal.enqueues:
        if call.activity in journal.records and (call.ok or call.in_doubt):
            writers[call.activity].append(_writer(journal, call))
    for activity, looks in journal.records.items():
        settings = journal.imports.settings(activity, looks[0].place)
        if settings.get("direction") != "import" or str(settings.get("entity", "")).casefold() != ENTITY:
            continue
        if not writers[activity]:
            continue
        end = journal.imports.reset_after(writers[activity][0].enqueue)
        for look in looks:
            if look.at <= end:
                yield _Table(look, writers[activity])


def _writer(journal: Readings, call: Enqueue) -> _Writer:
    content = call.body.content() if call.body is not None else None
    message = journal.imports.by_id.get(call.message or "")
    return _Writer(call, message, records_of(content) if content else None)


@rule(
    "processing.good-records-land",
    text="Every good record of a processed file is in the entity's target table.",
    source=article(STATUS_SECTION),
    reading="Processed, or ProcessedWithErrors with the bad ones left out. Records add up over files; a later one of "
    "the same key replaces the earlier. Of files that may have been processed at the same time either may be last.",
    level=MUST,
    statements=(30, 54),
    needs=(RECORDS,),
)
def good_records_land(journal: Readings) -> Iterator[Finding]:
    """The good records of each processed import, in each look at the table after its end."""
    for table in _tables(journal):
        for message, file in table.completed():
            if not file.good:
                continue
            missing = next((each for each in file.good if each.identity not in table.by_key), None)
            if missing is not None:
                yield violated(f"the record {missing.key!r} of row {missing.row} is missing", message.enqueue)
                continue
            changed = next((each for each in file.good if not table.holds(each)), None)
            if changed is None:
                yield held("every good record is there", message.enqueue)
                continue
            others = [each for each in table.writers if each.message is not message and _may_overwrite(each, message)]
            if not any(_explains(each, changed, table) for each in others):
                found = table.by_key[changed.identity][0]
                yield violated(
                    f"the record {changed.key!r} has {found.description!r}, {found.terms!r} in place of "
                    f"{changed.description!r}, {changed.terms!r}",
                    message.enqueue,
                )


def _may_overwrite(writer: _Writer, message: Import) -> bool:
    """Whether another file may have been written after this message's: not if it had ended before this one came."""
    if writer.message is None:
        return True
    end = writer.message.ended_before(writer.message.at(message.enqueue))
    return end is None


def _explains(writer: _Writer, record: Record, table: _Table) -> bool:
    """Whether another file accounts for what stands in the place of a record."""
    if writer.file is None:
        return True
    same = [each for each in (*writer.file.good, *writer.file.unsure) if each.identity == record.identity]
    return any(table.holds(each) for each in same)


@rule(
    "processing.bad-records-stay-out",
    text="A record without a key, or with a value too long for its field, does not get into the target table.",
    source=article(STATUS_SECTION),
    reading="Neither whole nor cut to size. A row counts as the bad record's where its description is that record's "
    "and no good one's, or where a key appears that only the bad record had.",
    level=MUST,
    statements=(56,),
    needs=(RECORDS,),
)
def bad_records_stay_out(journal: Readings) -> Iterator[Finding]:
    """The bad records of each import, in each look at the table after it was handed in."""
    first_looks: dict[str, _Table] = {}
    for table in _tables(journal):
        first = first_looks.setdefault(table.look.activity, table)
        created = any(each.created for each in journal.activities[table.look.activity])
        traces = _Traces(table)
        ended = {message.id for message, _ in table.completed()}
        for writer in table.writers:
            message = writer.message
            if message is None or message.file is None or not message.file.bad:
                continue
            landed = next((each for each in message.file.bad if traces.of(each)), None)
            if landed is None:
                if message.id in ended:
                    yield held("no bad record is there", message.enqueue)
                continue
            new = created or (
                message.at(first.look).precedes(message.at(message.enqueue)) and not _Traces(first).of(landed)
            )
            if new and not table.opaque:
                yield violated(
                    f"the bad record of row {landed.row} (key {landed.key!r}) is in the table", message.enqueue
                )
            else:
                yield undecided("what looks like a bad record may be another's", message.enqueue)


class _Traces:
    """Tells whether a table holds a bad record, whole or cut to size, that no harmless record accounts for."""

    def __init__(self, table: _Table) -> None:
        harmless = [each for one in table.writers if one.file for each in (*one.file.good, *one.file.unsure)]
        self._keys = table.by_key.keys() - {each.identity for each in harmless}
        self._descriptions = {each.description.strip() for each in table.rows}
        self._descriptions -= {each.description.strip() for each in harmless} | {""}

    def of(self, record: Record) -> bool:
        """Whether there is a row with its key, or with its description, in full or as far as the field reaches."""
        keys = {record.identity, record.key[:KEY_LENGTH].strip().casefold()}
        descriptions = {record.description.strip(), record.description[:DESCRIPTION_LENGTH].strip()}
        return not (self._keys.isdisjoint(keys) and self._descriptions.isdisjoint(descriptions))


@rule(
    "processing.format-must-match",
    text="A file whose format is not the one that the job expects is not Processed.",
    source=article(JOB_SECTION),
    reading="A job for files takes the format of its data project (a delimited file is neither an archive nor XML, and "
    "its header names columns of the entity), a job for packages takes packages only, with files in the format of the "
    "project. Which of the failing statuses it gets is open.",
    level=MUST,
    statements=(17, 18, 55),
)
def format_must_match(journal: Readings) -> Iterator[Finding]:
    """The end of each import that is certainly in another format than the one that belongs there."""
    for message in journal.imports:
        wrong = _wrong_format(journal, message)
        if wrong is None or (end := message.told) is None:
            continue
        if end.state == vocabulary.PROCESSED:
            yield violated(f"Processed, though it is {wrong}", *_calls(message, end))
        else:
            yield held("not Processed", *_calls(message, end))


def _wrong_format(journal: Readings, message: Import) -> str | None:
    settings = message.settings
    content = message.enqueue.body.content() if message.enqueue.body is not None else None
    if settings.get("direction") != "import" or not content or message.enqueue.encoding not in (None, "identity"):
        return None
    if settings.get("type") == "package":
        if not looks_zipped(content) and ARCHIVE_ENDS in content:
            return None  # An archive behind something else: readers differ over whether it is one.
        members = members_of(content) if looks_zipped(content) else None
        return "no package" if members is None else _wrong_file_inside(journal, message, members)
    if settings.get("type") != "file":
        return None
    project = journal.project_of.of(message.activity, message.enqueue.seq)
    if project is None:
        return _wrong_file(content, str(settings.get("format", "")))
    entity = project.entity(message.enqueue.entity or "")
    return _wrong_file(content, entity.format, _columns(journal, entity)) if entity is not None else None


def _wrong_file_inside(journal: Readings, message: Import, members: Mapping[str, bytes]) -> str | None:
    """What is wrong with the format of a package's file, by the project and by the package's own manifest."""
    project = journal.project_of.of(message.activity, message.enqueue.seq)
    for entry in (manifest_entries(members.get(MANIFEST, b"")) or ()) if project is not None else ():
        entity = project.entity(entry.get("EntityName", "")) if project is not None else None
        file = members.get(entry.get("InputFilePath", ""))
        if entity is None or not file or entry.get("SourceFormat", "").casefold() != entity.format.casefold():
            continue
        if (wrong := _wrong_file(file, entity.format, _columns(journal, entity))) is not None:
            return f"a package with {wrong} for {entity.entity}"
    return None


def _columns(journal: Readings, entity: ProjectEntity) -> frozenset[str]:
    """The columns by which a file of an entity goes; none where its map or a style sheet may change them."""
    if entity.map or entity.xslt:
        return frozenset()
    return frozenset(each.name for each in journal.project_of.fields(entity))


def _wrong_file(content: bytes, named: str, columns: frozenset[str] = frozenset()) -> str | None:
    known = FORMATS.get(named.casefold())
    if known is None:
        return None
    kind = kind_of(content)
    if known.kind == EXCEL:
        return None if looks_zipped(content) and kind != "package" else "no workbook on a job for Excel"
    if kind in ("package", EXCEL):
        return f"an archive on a job for {named}"
    if known.kind != DELIMITED:
        blank = b"\xef\xbb\xbf\xff\xfe \r\n\t\0"
        return None if content.lstrip(blank).startswith(b"<") else f"no XML on a job for {named}"
    if kind == "xml":
        return "XML on a job for delimited files"
    rows = rows_of(content, named, "", ()) if known.header and columns else None
    if rows and columns.isdisjoint(name.strip().upper() for name in rows[0]):
        return f"a file whose header has no column of the entity as {named}"
    return None


# What is open


_FATES: Final = {
    vocabulary.PROCESSED: "processed",
    vocabulary.PROCESSED_WITH_ERRORS: "processed-with-errors",
    vocabulary.PREPROCESSING_ERROR: "preprocessing-error",
    vocabulary.POSTPROCESSING_FAILED: "postprocessing-failed",
    vocabulary.PREPROCESSING: "stays-preprocessing",
    vocabulary.PROCESSING: "stays-processing",
}


class _Offer(msgspec.Struct, gc=False):
    """An enqueue by the client that may, on an import that is known, with what became of it in a word or two."""

    call: Enqueue
    settings: Mapping[str, Any]
    content: bytes | None
    fate: str
    witnesses: tuple[Call, ...]

    @property
    def right_entity(self) -> bool:
        """It names the job's entity, and in the spelling that every service reads."""
        return (self.call.entity or "").casefold() == ENTITY and not plus_in_entity(self.call.query)

    @property
    def records_in_it(self) -> bool:
        """It holds a delimited file without a fault, on a job for such."""
        file = records_of(self.content) if self.content and self.settings.get("type") == "file" else None
        return file is not None and file.kind == "csv" and file.all_good


def _offers(journal: Readings, wanted: Callable[[Enqueue, Mapping[str, Any]], bool]) -> Iterator[_Offer]:
    """The enqueues that are wanted and whose fate is known."""
    for call in journal.enqueues if journal.activities else ():
        if not trusted(call.role) or call.status is None or gate_or_gateway(call.status):
            continue
        settings = journal.imports.settings(call.activity, call.seq)
        if settings.get("direction") != "import" or not wanted(call, settings):
            continue
        if not journal.project_of.plain(call.activity):
            continue
        content = call.body.content() if call.body is not None else None
        if not call.ok:
            yield _Offer(call, settings, content, str(call.status), (call,))
        elif (message := journal.imports.by_id.get(call.message or "")) is not None:
            fate = _fate(message)
            if fate is not None:
                yield _Offer(call, settings, content, _FATES[fate.state], _calls(message, fate))


def _fate(message: Import) -> Sighting | None:
    """Where a message ended, or where it has been stuck for long."""
    if (end := message.told) is not None:
        return end
    last = message.seen[-1] if message.seen else None
    if last is None or last.state not in (vocabulary.PREPROCESSING, vocabulary.PROCESSING):
        return None
    first = next(each for each in message.seen if each.state == last.state)
    return last if last.since - first.by >= STUCK else None


@rule(
    "processing.missing-entity",
    text="A file without the name of an entity fails before it is processed, or is refused at once.",
    source=article("API for import (enqueue)"),
    reading="The article has the name in the URL and says nothing of its lack.",
    level=ASK,
    provenance=INFERRED,
    statements=(29, 55),
    answers=("preprocessing-error", "400"),
)
def missing_entity(journal: Readings) -> Iterator[Finding]:
    """What became of a faultless file on a job for files, without an entity."""
    for offer in _offers(journal, lambda call, _: not call.entity):
        if offer.records_in_it:
            yield answered(offer.fate, *offer.witnesses)


@rule(
    "processing.unknown-entity",
    text="A file for an entity that does not exist fails before it is processed, or stays in process for good.",
    source=article("API for import (enqueue)"),
    reading="Both have been told of. It is called stuck after a quarter of an hour.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    statements=(29, 55),
    answers=("preprocessing-error", "stays-processing"),
)
def unknown_entity(journal: Readings) -> Iterator[Finding]:
    """What became of a faultless file for an entity that is not the job's."""
    for offer in _offers(journal, _names_another_entity):
        if offer.records_in_it:
            yield answered(offer.fate, *offer.witnesses)


def _names_another_entity(call: Enqueue, settings: Mapping[str, Any]) -> bool:
    entity = (call.entity or "").casefold()
    return bool(entity) and entity not in (ENTITY, str(settings.get("entity", "")).casefold()) and "+" not in call.query


@rule(
    "processing.unknown-company",
    text="A file for a legal entity that does not exist fails before it is processed, or the legal entity is ignored.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "sends the company with each file"),
    reading="Asked only where the job takes the legal entity from the message. No scenario knows one that exists, so "
    "any that is sent counts.",
    level=ASK,
    provenance=INFERRED,
    answers=("preprocessing-error", "ignored"),
    needs=(CREATE_ACTIVITY,),
)
def unknown_company(journal: Readings) -> Iterator[Finding]:
    """What became of a faultless file with a company on a job that heeds it."""
    for offer in _offers(journal, _names_a_company):
        if offer.right_entity and offer.records_in_it:
            yield answered("ignored" if offer.fate == "processed" else offer.fate, *offer.witnesses)


def _names_a_company(call: Enqueue, settings: Mapping[str, Any]) -> bool:
    return bool(call.company) and settings.get("use_company_from_message") is True


@rule(
    "processing.empty-body",
    text="An enqueue without a body makes a message that fails before it is processed, or is refused at once.",
    source=article("API for import (enqueue)"),
    reading="The article says nothing about it.",
    level=ASK,
    provenance=INFERRED,
    statements=(30, 55),
    answers=("preprocessing-error", "400"),
)
def empty_body(journal: Readings) -> Iterator[Finding]:
    """What became of it on a job for files, with the right entity."""
    for offer in _offers(journal, lambda call, settings: call.length == 0 and settings.get("type") == "file"):
        if offer.right_entity:
            yield answered(offer.fate, *offer.witnesses)
