"""Wrong imports: files that are lost, taken too early, too late or out of turn, and records that do not arrive."""

import codecs
import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from popreceipt.emulator import problems
from popreceipt.emulator.activity import FILE, PACKAGE, Activity
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.package import MANIFEST
from popreceipt.emulator.dmf.staging import Part, Reading
from popreceipt.emulator.http import Response
from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.files import packed, unpacked
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Mutated, OwnBatch, Route, StoreAround, answers
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.store import Record, Store
from popreceipt.vocabulary import ENQUEUE, PREPROCESSING_ERROR, PROCESSED, PROCESSING

# Handing in


class _LosesTheThirdAtOnce(OwnBatch):
    """The third file that a job is handed within a second gets an ID and no message."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._count: Counter[tuple[str, datetime]] = Counter()

    def enqueue(self, activity: Activity, content: bytes, now: datetime, **named: Any) -> Message:
        """The message of a file, which may be forgotten at once."""
        message = super().enqueue(activity, content, now, **named)
        second = now.replace(microsecond=0)
        self._count[activity.id, second] += 1
        if self._count[activity.id, second] == 3:
            self._store.delete_message(message.id)
        return message


class _KnowsItAlready(OwnBatch):
    """A file that a job was handed before gets the message that it had then."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._known: dict[tuple[str, bytes], Message] = {}

    def enqueue(self, activity: Activity, content: bytes, now: datetime, **named: Any) -> Message:
        """The message of a file, made at its first enqueue."""
        known = self._known.get((activity.id, content))
        if known is not None and self._store.message(known.id) is not None:
            return known
        message = super().enqueue(activity, content, now, **named)
        self._known[activity.id, content] = message
        return message


def _refusing_csv(call: Call, response: Response) -> Response:
    if (call.request.header("content-type") or "").startswith("text/"):
        return problems.connector(415, "The media type is not supported.")
    return response


def _with_literal_plus(emulator: Mutated, route: Route) -> Route:
    """In an enqueue's query a plus sign is a plus sign."""

    def answer(call: Call) -> Response | None:
        if emulator.operation != ENQUEUE:
            return route(call)
        request = msgspec.structs.replace(call.request, query=call.request.query.replace("+", "%2B"))
        return route(msgspec.structs.replace(call, request=request))

    return answer


def _with_literal_blanks(emulator: Mutated, route: Route) -> Route:
    """An enqueue's query is not decoded: %20 stays as it is."""

    def answer(call: Call) -> Response | None:
        if emulator.operation != ENQUEUE:
            return route(call)
        request = msgspec.structs.replace(call.request, query=call.request.query.replace("%20", "%2520"))
        return route(msgspec.structs.replace(call, request=request))

    return answer


# Recurrences


class _AtOnce(OwnBatch):
    def enqueue(self, activity: Activity, content: bytes, now: datetime, **named: Any) -> Message:
        """The message of a file, which is processed at once."""
        message = super().enqueue(activity, content, now, **named)
        self.process(activity, now)
        return message


class _HalfAMinuteEarly(OwnBatch):
    def plan(self, activity: Activity, now: datetime) -> None:
        """Plan the next tick by a clock that is fast."""
        super().plan(msgspec.structs.replace(activity, anchor=activity.anchor - timedelta(seconds=30)), now)


class _CountsFromTheEnqueue(OwnBatch):
    def plan(self, activity: Activity, now: datetime) -> None:
        """Plan the next tick a period from now."""
        super().plan(msgspec.structs.replace(activity, anchor=now), now)


class _EverySecondTick(OwnBatch):
    def plan(self, activity: Activity, now: datetime) -> None:
        """Plan every second tick."""
        usual = activity.processing_recurrence
        seldom = None if usual is None else msgspec.structs.replace(usual, every=2 * usual.every)
        super().plan(msgspec.structs.replace(activity, processing_recurrence=seldom), now)


class _OnlyOneRun(OwnBatch):
    """A recurrence stops once it has run."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._ran: set[str] = set()

    def plan(self, activity: Activity, now: datetime) -> None:
        """Plan the first tick that has something to do."""
        if activity.id not in self._ran:
            super().plan(activity, now)

    def _tick(self, identifier: str, now: datetime) -> None:
        self._ran.add(identifier)
        super()._tick(identifier, now)


# Turns


class _AllAtOnce(OwnBatch):
    def _take(self, activity: Activity, messages: Iterable[Message], now: datetime) -> None:
        super()._take(msgspec.structs.replace(activity, in_order=False), messages, now)


class _LastFirst(OwnBatch):
    def _take(self, activity: Activity, messages: Iterable[Message], now: datetime) -> None:
        super()._take(activity, reversed(list(messages)), now)


class _SmallestFirst(OwnBatch):
    def _take(self, activity: Activity, messages: Iterable[Message], now: datetime) -> None:
        super()._take(activity, sorted(messages, key=lambda each: len(self._blobs.content(each.blob) or b"")), now)


class _Overlapping(OwnBatch):
    """The next file is begun as soon as the one before it is prepared."""

    def _preprocessed(self, activity_id: str, identifier: str, now: datetime) -> None:
        super()._preprocessed(activity_id, identifier, now)
        self._next_turn(activity_id, now)

    def _next_turn(self, activity_id: str, now: datetime) -> None:
        turns = [one for one in self._store.taken(activity_id) if one.status != PROCESSING]
        if turns and not self._is_busy(turns) and not self._is_blocked(activity_id):
            self._start(turns[0].id, now)


class _EachRunForItself(OwnBatch):
    """A run waits for its own files, not for those of the run before."""

    def _take(self, activity: Activity, messages: Iterable[Message], now: datetime) -> None:
        every = list(messages)
        first, rest = every[:1], every[1:]
        super()._take(msgspec.structs.replace(activity, in_order=False), first, now)
        super()._take(activity, rest, now)


# Records on their way


class Landing(StoreAround):
    """Writes something else into the target table."""

    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add or replace records, as they are landed."""
        super().upsert(company, entity, keys, self.landed(list(records)))

    def landed(self, records: list[Record]) -> list[Record]:
        """The records that are written."""
        return records


class _LosesTheLast(Landing):
    def landed(self, records: list[Record]) -> list[Record]:
        """All but the last."""
        return records[:-1]


class _Changing(Landing):
    """Changes descriptions."""

    def landed(self, records: list[Record]) -> list[Record]:
        """The records with other descriptions."""
        return [{**each, "DESCRIPTION": self.changed(each["DESCRIPTION"])} for each in records]

    def changed(self, text: str) -> str:
        """Another description."""
        return text


class _CutsAtFifty(_Changing):
    def changed(self, text: str) -> str:
        """The first fifty characters."""
        return text[:50]


class _DropsQuotes(_Changing):
    def changed(self, text: str) -> str:
        """Without quotes."""
        return text.replace('"', "")


class _KnowsAsciiOnly(_Changing):
    def changed(self, text: str) -> str:
        """A question mark for every letter of another alphabet."""
        return text.encode("ascii", "replace").decode("ascii")


class _EndsWithTheLine(_Changing):
    def changed(self, text: str) -> str:
        """The first line."""
        return text.partition("\n")[0]


class _ReplacesTheTable(StoreAround):
    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Let the table hold these records only."""
        self.store.replace(company, entity, keys, records)


class _NeverUpdates(StoreAround):
    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add records whose keys are new."""
        known = {tuple(each[key] for key in keys) for each in self.store.records(company, entity)}
        new = [each for each in records if tuple(each[key] for key in keys) not in known]
        super().upsert(company, entity, keys, new)


class Sorting(OwnBatch):
    """Takes other records of a file for good."""

    def _processed(
        self, activity_id: str, identifier: str, execution: Execution, parts: list[Part], now: datetime
    ) -> None:
        changed = [msgspec.structs.replace(part, reading=self.sorted(part.reading)) for part in parts]
        super()._processed(activity_id, identifier, execution, changed, now)

    def sorted(self, reading: Reading) -> Reading:
        """What is taken for good."""
        return reading


class _StopsAtTheFirstBadOne(Sorting):
    def sorted(self, reading: Reading) -> Reading:
        """The good ones before the first bad one."""
        if not reading.errors:
            return reading
        before = min(int(each.record) for each in reading.errors) - 1
        return msgspec.structs.replace(reading, good=reading.good[:before])


class _AllOrNothing(Sorting):
    def sorted(self, reading: Reading) -> Reading:
        """None of them when one is bad."""
        return msgspec.structs.replace(reading, good=()) if reading.errors else reading


class _TakesAll(OwnBatch):
    """Writes bad records too, and reports them all the same."""

    def _processed(
        self, activity_id: str, identifier: str, execution: Execution, parts: list[Part], now: datetime
    ) -> None:
        message = self._store.message(identifier)
        content = None if message is None else self._blobs.content(message.blob)
        super()._processed(activity_id, identifier, execution, parts, now)
        if content is None or len(parts) != 1 or zipfile.is_zipfile(io.BytesIO(content)):
            return
        entity = parts[0].entity
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        bad = [{name: row.get(name) or "" for name in entity.columns} for row in rows]
        landed = [self.landed(each) for each in bad if entity.problem(each) is not None]
        self._store.upsert(execution.company, entity.name, (entity.key,), [each for each in landed if each is not None])

    def landed(self, record: dict[str, str]) -> dict[str, str] | None:
        """A bad record as it is written; None where it is not."""
        return record


class _CutsToSize(_TakesAll):
    def landed(self, record: dict[str, str]) -> dict[str, str] | None:
        """Cut to the lengths of its fields; without a key it stays out."""
        if not record["CUSTOMERGROUPID"].strip():
            return None
        return record | {"CUSTOMERGROUPID": record["CUSTOMERGROUPID"][:10], "DESCRIPTION": record["DESCRIPTION"][:60]}


# Formats


class _Pretending(StoreAround):
    """Shows one activity and its messages as others while a file is looked at."""

    def __init__(self, emulator: Mutated, store: Store, kind: Any) -> None:
        super().__init__(emulator, store)
        self.kind = kind

    def activity(self, identifier: str) -> Activity | None:
        """The activity, of another type."""
        found = super().activity(identifier)
        return None if found is None else msgspec.structs.replace(found, type=self.kind)

    def message(self, identifier: str) -> Message | None:
        """The message, for the activity's own entity."""
        found = super().message(identifier)
        activity = None if found is None else super().activity(found.activity)
        if found is None or activity is None:
            return found
        return msgspec.structs.replace(found, entity=found.entity or activity.entity)


class _TakesFilesAsTheyAre(OwnBatch):
    """Looks at a file for what it is, not for what the job takes."""

    def _preprocessed(self, activity_id: str, identifier: str, now: datetime) -> None:
        message = self._store.message(identifier)
        content = (self._blobs.content(message.blob) if message is not None else None) or b""
        kind = PACKAGE if zipfile.is_zipfile(io.BytesIO(content)) else FILE
        with self._pretending(kind):
            super()._preprocessed(activity_id, identifier, now)

    @contextmanager
    def _pretending(self, kind: str) -> Iterator[None]:
        own = self._store
        self._store = _Pretending(self.emulator, own, kind)
        try:
            yield
        finally:
            self._store = own


class Unpacking(OwnBatch):
    """Keeps another package than the one that was handed in."""

    def enqueue(self, activity: Activity, content: bytes, now: datetime, **named: Any) -> Message:
        """The message of a file, or of what is kept in its stead."""
        if activity.type == PACKAGE and zipfile.is_zipfile(io.BytesIO(content)):
            content = packed(self.kept(unpacked(content)))
        return super().enqueue(activity, content, now, **named)

    def kept(self, members: dict[str, bytes]) -> dict[str, bytes]:
        """The members that are kept."""
        return members


class _LooksIntoFolders(Unpacking):
    def kept(self, members: dict[str, bytes]) -> dict[str, bytes]:
        """All of them at the root."""
        return {name.rpartition("/")[2]: content for name, content in members.items()}


class _KnowsUtf16Only(Unpacking):
    def kept(self, members: dict[str, bytes]) -> dict[str, bytes]:
        """No manifest that is in UTF-8."""
        in_utf_16 = members.get(MANIFEST, b"").startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return members if in_utf_16 else {name: content for name, content in members.items() if name != MANIFEST}


class _UnreadableIsFine(OwnBatch):
    """What pre-processing cannot read counts as processed."""

    def _preprocessed(self, activity_id: str, identifier: str, now: datetime) -> None:
        super()._preprocessed(activity_id, identifier, now)
        message = self._store.message(identifier)
        if message is not None and message.status == PREPROCESSING_ERROR:
            self._store.put_message(msgspec.structs.replace(message, status=PROCESSED))


WAITS = "processing.waits-for-the-recurrence"
ENQUEUED = "status.enqueued-until-taken"
RUNS = "processing.runs-at-the-recurrence"
OCCURS = "batch.recurrence-occurs"
ENDS = "batch.recurrence-ends"
ORDER = "ordering.in-order-one-after-another"
LAND = "processing.good-records-land"
OUT = "processing.bad-records-stay-out"
FORMAT = "processing.format-must-match"
FORMATS = "processing.format-as-in-the-project"
UNIT = "packages.every-entity-lands"
PROJECTS = (
    FORMATS,
    UNIT,
    "processing.map-applied",
    "processing.changed-map-counts",
    "processing.values-converted",
    "processing.xslt-applied",
    "processing.xslt-in-sequence",
)
"""What lands of data projects, whatever they do to a file on its way."""

MUTANTS = (
    mutant(
        "third-file-of-a-second-lost",
        "Answers the third enqueue within a second with the ID of a message that does not exist.",
        "enqueue.creates-a-message",
        batch=_LosesTheThirdAtOnce,
    ),
    mutant(
        "same-file-same-message",
        "Answers an enqueue of bytes that it knows with the message that it made of them before.",
        "enqueue.each-call-its-own-message",
        batch=_KnowsItAlready,
    ),
    mutant(
        "text-uploads-refused",
        "Refuses uploads whose content type is text.",
        "enqueue.any-content-type",
        routes=answers(_refusing_csv, ENQUEUE),
    ),
    mutant(
        "plus-not-decoded",
        "Takes the + in an entity's name for part of the name.",
        "enqueue.entity-with-plus",
        routes=_with_literal_plus,
    ),
    mutant(
        "percent-20-not-decoded",
        "Takes the %20 in an entity's name for part of the name.",
        "enqueue.entity-with-percent-20",
        routes=_with_literal_blanks,
    ),
    mutant(
        "processed-at-once",
        "Processes a file as soon as it is handed in.",
        WAITS,
        ENQUEUED,
        "batch.recurrence-starts",
        ENDS,
        "batch.recurrence-pattern",
        "batch.samples-count-the-queue",
        "batch.monitoring-changes-nothing",
        batch=_AtOnce,
    ),
    mutant(
        "runs-half-a-minute-early",
        "Runs half a minute before the recurrence.",
        WAITS,
        ENQUEUED,
        batch=_HalfAMinuteEarly,
    ),
    mutant(
        "recurrence-counted-from-the-enqueue",
        "Runs a whole recurrence after a file was handed in, whenever that was.",
        RUNS,
        OCCURS,
        ENDS,
        batch=_CountsFromTheEnqueue,
    ),
    mutant("every-second-run-left-out", "Runs at every second recurrence.", RUNS, OCCURS, ENDS, batch=_EverySecondTick),
    mutant(
        "recurrence-runs-once",
        "Runs at one recurrence and at none after it.",
        RUNS,
        OCCURS,
        "batch.recurs-after-a-failure",
        batch=_OnlyOneRun,
    ),
    mutant("order-ignored", "Processes files at once that should go one after another.", ORDER, batch=_AllAtOnce),
    mutant("order-reversed", "Processes the file first that came last.", ORDER, batch=_LastFirst),
    mutant("order-by-size", "Processes the smallest file first.", ORDER, batch=_SmallestFirst),
    mutant("order-overlaps", "Begins a file before the one before it is done.", ORDER, batch=_Overlapping),
    mutant(
        "order-within-a-run-only",
        "Begins the files of a run without waiting for those of the run before.",
        ORDER,
        batch=_EachRunForItself,
    ),
    mutant("last-record-lost", "Loses the last record of each file.", LAND, *PROJECTS, store=_LosesTheLast),
    mutant("long-values-cut", "Cuts descriptions at fifty characters.", LAND, store=_CutsAtFifty),
    mutant("quotes-dropped", "Drops the quotes within a value.", LAND, FORMATS, store=_DropsQuotes),
    mutant(
        "other-alphabets-lost",
        "Keeps a question mark for every letter that is not ASCII.",
        LAND,
        FORMATS,
        store=_KnowsAsciiOnly,
    ),
    mutant("line-break-ends-the-value", "Ends a value at a line break within it.", LAND, store=_EndsWithTheLine),
    mutant("later-file-replaces-all", "Empties the target table before each file.", LAND, store=_ReplacesTheTable),
    mutant(
        # To the table it is as if the first file had come last.
        "later-file-updates-nothing",
        "Leaves records alone whose key is there already.",
        LAND,
        ORDER,
        store=_NeverUpdates,
    ),
    mutant("good-records-lost-after-a-bad-one", "Stops at the first bad record.", LAND, batch=_StopsAtTheFirstBadOne),
    mutant(
        "one-bad-record-keeps-all-out", "Takes no record of a file that has a bad one.", LAND, UNIT, batch=_AllOrNothing
    ),
    mutant("bad-records-land", "Takes bad records too, and lists them as errors.", OUT, batch=_TakesAll),
    mutant(
        "bad-records-cut-to-size", "Cuts values that are too long, and takes their records.", OUT, batch=_CutsToSize
    ),
    mutant(
        "format-not-looked-at",
        "Takes packages on jobs for files and files on jobs for packages.",
        FORMAT,
        FORMATS,
        batch=_TakesFilesAsTheyAre,
    ),
    mutant(
        "folders-looked-into",
        "Takes packages whose parts stand in a folder.",
        "packages.folder-inside-fails",
        batch=_LooksIntoFolders,
    ),
    mutant(
        "utf-16-packages-only",
        "Cannot read a manifest in UTF-8.",
        "packages.utf-8-and-utf-16",
        "status.processed-when-all-records-are-good",
        batch=_KnowsUtf16Only,
    ),
    mutant(
        "unreadable-files-processed",
        "Calls files Processed that it could not read.",
        FORMAT,
        "packages.missing-part-fails",
        batch=_UnreadableIsFine,
    ),
)
