"""Wrong data projects: formats, maps, style sheets, filters and entities that do not count, or not as they should."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from popreceipt.emulator.activity import EXPORT, IMPORT, Activity
from popreceipt.emulator.batch import Produced
from popreceipt.emulator.dmf.entity import CUSTOMER_GROUPS
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.package import MANIFEST, Packed, write
from popreceipt.emulator.dmf.problems import Unreadable
from popreceipt.emulator.dmf.project import FieldMap, Project, ProjectEntity
from popreceipt.emulator.dmf.staging import Part
from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.files import unpacked
from popreceipt.emulator.mutants.imports import Unpacking
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Mutated, OwnBatch, StoreAround
from popreceipt.emulator.store import Record


class OtherProject(OwnBatch):
    """Goes by another data project than the one that was set up."""

    direction = IMPORT
    """Whose projects are taken to be others."""

    def _project(self, activity: Activity) -> Project:
        project = super()._project(activity)
        return self.taken(project) if activity.direction == self.direction else project

    def taken(self, project: Project) -> Project:
        """The project that counts."""
        return msgspec.structs.replace(project, entities=tuple(map(self.entity, project.entities)))

    def entity(self, entity: ProjectEntity) -> ProjectEntity:
        """An entity as it counts."""
        return msgspec.structs.replace(entity, map=tuple(map(self.field, entity.map)))

    def field(self, field: FieldMap) -> FieldMap:
        """A field's map as it counts."""
        return field


# Formats

PLAIN = "CSV"


class _KnowsNoUtf16(OwnBatch):
    def _examine(self, activity: Activity, message: Message) -> list[Part]:
        project = self._project(activity)
        if any(one.format.endswith("-Unicode") for one in project.entities):
            raise Unreadable("The file is not UTF-8.")
        return super()._examine(activity, message)


class _EndsAtAnotherSeparator(OwnBatch):
    """A vertical bar ends a value in any format but plain CSV."""

    def _examine(self, activity: Activity, message: Message) -> list[Part]:
        return [self._cut(part) for part in super()._examine(activity, message)]

    def _cut(self, part: Part) -> Part:
        if part.settings.format == PLAIN:
            return part
        good = [{name: value.partition("|")[0] for name, value in record.items()} for record in part.reading.good]
        return msgspec.structs.replace(part, reading=msgspec.structs.replace(part.reading, good=good))


# Maps and style sheets


class _KnowsNoMap(OtherProject):
    def entity(self, entity: ProjectEntity) -> ProjectEntity:
        """Without its map."""
        return msgspec.structs.replace(entity, map=())


class _KnowsNoMapOnExport(_KnowsNoMap):
    direction = EXPORT


class _FillsWhatIsLeftOut(OtherProject):
    def field(self, field: FieldMap) -> FieldMap:
        """From the column of its own name."""
        return (
            msgspec.structs.replace(field, ignore=False, source=field.source or field.field) if field.ignore else field
        )


class _ShowsWhatIsLeftOut(_FillsWhatIsLeftOut):
    direction = EXPORT


class _KeepsTheFirstMap(OtherProject):
    """A project stays as it was when a file was first read by it."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._first: dict[str, Project] = {}

    def taken(self, project: Project) -> Project:
        """As it was at first."""
        return self._first.setdefault(project.id, project)


class _ConvertsNothing(OtherProject):
    def field(self, field: FieldMap) -> FieldMap:
        """Without conversions."""
        return msgspec.structs.replace(field, conversions={})


class _KnowsNoDefaults(OtherProject):
    def field(self, field: FieldMap) -> FieldMap:
        """Without a default."""
        return msgspec.structs.replace(field, default=None)


class _KnowsNoStyleSheets(OtherProject):
    def entity(self, entity: ProjectEntity) -> ProjectEntity:
        """Without style sheets."""
        return msgspec.structs.replace(entity, xslt=())


class _AppliesTheLastFirst(OtherProject):
    def entity(self, entity: ProjectEntity) -> ProjectEntity:
        """With its style sheets the other way round."""
        return msgspec.structs.replace(entity, xslt=entity.xslt[::-1])


# Filters


class _KnowsNoFilter(OtherProject):
    direction = EXPORT

    def taken(self, project: Project) -> Project:
        """Without its filter."""
        return msgspec.structs.replace(project, filter=())


class _HeedsTheFirstCondition(OtherProject):
    direction = EXPORT

    def taken(self, project: Project) -> Project:
        """With the first condition of its filter."""
        return msgspec.structs.replace(project, filter=project.filter[:1])


class _FiltersTheNewestJob(OwnBatch):
    """The filter counts for the job alone that was made last."""

    def _project(self, activity: Activity) -> Project:
        project = super()._project(activity)
        jobs = [one.id for one in self._store.activities() if one.project == project.id]
        return project if jobs[-1] == activity.id else msgspec.structs.replace(project, filter=())


class _CountsBeforeTheFilter(OwnBatch):
    """Tells how many records there are, and exports those that meet the filter."""

    def rework(self, produced: Produced) -> Produced:
        """With the number of all records."""
        activity = self._store.activity(produced.message.activity)
        if activity is None or not self._project(activity).filter:
            return produced
        total = self.held(activity)
        message = msgspec.structs.replace(produced.message, total_records=total)
        self._store.put_message(message)
        return Produced(message, total, produced.sha256)

    def held(self, activity: Activity) -> int:
        """How many records the project's entities hold, whatever the filter."""
        entities = self._project(activity).entities
        return sum(len(self._store.records(activity.company, one.entity)) for one in entities)


class _PreventsByAllRecords(_CountsBeforeTheFilter):
    """Prevents an upload only where there is no record even without the filter."""

    def settings(self, activity: Activity) -> Activity:
        """With the prevention off where there are records."""
        prevents = activity.prevent_upload_when_zero_records and not self.held(activity)
        return msgspec.structs.replace(activity, prevent_upload_when_zero_records=prevents)

    def rework(self, produced: Produced) -> Produced:
        """As it is."""
        return produced


# Several entities


class _LandsCustomerGroupsOnly(StoreAround):
    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add or replace records of the one entity."""
        if entity == CUSTOMER_GROUPS.name:
            super().upsert(company, entity, keys, records)


class _OneEntityKeepsAllOut(OwnBatch):
    """A bad record of one entity keeps the others' out as well."""

    def _land(self, execution: Execution, parts: list[Part], now: datetime) -> Execution:
        if len(parts) > 1 and any(part.reading.errors for part in parts):
            parts = [
                msgspec.structs.replace(part, reading=msgspec.structs.replace(part.reading, good=())) for part in parts
            ]
        return super()._land(execution, parts, now)


class _TellsOfOneEntity(OwnBatch):
    """Lists the errors of the entity that comes first, and forgets those of the others."""

    def _land(self, execution: Execution, parts: list[Part], now: datetime) -> Execution:
        ended = super()._land(execution, parts, now)
        first = ended.runs[0].entity
        return msgspec.structs.replace(ended, errors=tuple(one for one in ended.errors if one.entity in (None, first)))


class _CountsTheFile(OwnBatch):
    """Counts every record of a file as taken in the details of an execution."""

    def _land(self, execution: Execution, parts: list[Part], now: datetime) -> Execution:
        ended = super()._land(execution, parts, now)
        runs = (msgspec.structs.replace(run, target=run.total, target_errors=0) for run in ended.runs)
        return msgspec.structs.replace(ended, runs=tuple(runs))


class _AllLevelsAtOnce(OwnBatch):
    """Begins with every entity at the start."""

    def _land(self, execution: Execution, parts: list[Part], now: datetime) -> Execution:
        ended = super()._land(execution, parts, now)
        runs = (msgspec.structs.replace(run, started=execution.started) for run in ended.runs)
        return msgspec.structs.replace(ended, runs=tuple(runs))


class _ExportsTheFirstEntity(OtherProject):
    direction = EXPORT

    def taken(self, project: Project) -> Project:
        """With its first entity."""
        return msgspec.structs.replace(project, entities=project.entities[:1])


class _MakesUpAManifest(Unpacking):
    """A package without a manifest gets one for the file that is in it."""

    def enqueue(self, activity: Activity, content: bytes, now: datetime, **named: Any) -> Message:
        """The message of a file, or of a package that is made of what there is."""
        members = unpacked(content) if content.startswith(b"PK") and content.count(b"PK\x05\x06") else {}
        files = [each for name, each in members.items() if name.endswith(".csv")]
        if members and MANIFEST not in members and files:
            packed = Packed(entity=activity.entity, content=files[0], extension="csv", format="CSV")
            content = write(project=activity.name, entities=[packed], description=activity.name, written=now)
        return super().enqueue(activity, content, now, **named)


FORMATS = "processing.format-as-in-the-project"
MAP = "processing.map-applied"
CHANGED = "processing.changed-map-counts"
OUT = "processing.map-on-export"
CONVERTED = "processing.values-converted"
FILTER = "processing.filter-applied"
SHARED = "processing.filter-shared"
COUNTED = "processing.filter-before-counting"
LANDS = "packages.every-entity-lands"

MUTANTS = (
    mutant(
        "utf-16-files-unreadable", "Cannot read the formats whose code page is UTF-16.", FORMATS, batch=_KnowsNoUtf16
    ),
    mutant(
        "vertical-bar-ends-the-value",
        "Ends a value at a vertical bar, in any format but plain CSV.",
        FORMATS,
        batch=_EndsAtAnotherSeparator,
    ),
    mutant(
        "maps-ignored-on-import",
        "Reads files as if their project had no map.",
        MAP,
        CHANGED,
        CONVERTED,
        batch=_KnowsNoMap,
    ),
    mutant("left-out-fields-filled", "Fills fields that the map leaves out.", MAP, batch=_FillsWhatIsLeftOut),
    mutant(
        "first-map-kept",
        "Reads files by the map that a project had at its first file.",
        CHANGED,
        batch=_KeepsTheFirstMap,
    ),
    mutant(
        "values-not-converted", "Leaves values as they are that the map converts.", CONVERTED, batch=_ConvertsNothing
    ),
    mutant("defaults-ignored", "Leaves fields blank that have a default.", CONVERTED, batch=_KnowsNoDefaults),
    mutant(
        "style-sheets-ignored",
        "Reads XML files as they come, without the project's style sheets.",
        "processing.xslt-applied",
        "processing.xslt-in-sequence",
        batch=_KnowsNoStyleSheets,
    ),
    mutant(
        "style-sheets-reversed",
        "Applies the last style sheet first.",
        "processing.xslt-in-sequence",
        batch=_AppliesTheLastFirst,
    ),
    mutant("maps-ignored-on-export", "Writes files as if their project had no map.", OUT, batch=_KnowsNoMapOnExport),
    mutant("left-out-fields-exported", "Writes fields that the map leaves out.", OUT, batch=_ShowsWhatIsLeftOut),
    mutant(
        "filters-ignored", "Exports all records, whatever the filter.", FILTER, SHARED, COUNTED, batch=_KnowsNoFilter
    ),
    mutant(
        "first-condition-only",
        "Heeds the first condition of a filter only.",
        FILTER,
        COUNTED,
        batch=_HeedsTheFirstCondition,
    ),
    mutant(
        "filter-for-the-newest-job-only",
        "Applies a project's filter to the recurring data job alone that was made last.",
        SHARED,
        COUNTED,
        batch=_FiltersTheNewestJob,
    ),
    mutant(
        "counted-before-the-filter",
        "Counts records that the filter keeps back.",
        COUNTED,
        "zero-records.otherwise-uploaded",
        batch=_CountsBeforeTheFilter,
    ),
    mutant(
        "prevention-before-the-filter",
        "Uploads a file without records where the filter has kept back all there were.",
        COUNTED,
        "zero-records.prevention-uploads-nothing",
        batch=_PreventsByAllRecords,
    ),
    mutant(
        "other-entities-lost",
        "Lands the customer groups of a package, and nothing else.",
        LANDS,
        store=_LandsCustomerGroupsOnly,
    ),
    mutant(
        "one-entity-keeps-all-out",
        "Lands nothing of a package in which any record is bad.",
        LANDS,
        batch=_OneEntityKeepsAllOut,
    ),
    mutant(
        "errors-of-one-entity-only",
        "Lists the errors of a package's first entity only.",
        "execution-errors.lists-bad-records-of-every-entity",
        batch=_TellsOfOneEntity,
    ),
    mutant(
        "details-count-the-file",
        "Counts bad records as taken in the details of an execution.",
        "execution-errors.details-by-entity",
        batch=_CountsTheFile,
    ),
    mutant(
        "levels-at-once",
        "Begins with the entities of all levels at the same time.",
        "packages.levels-in-turn",
        batch=_AllLevelsAtOnce,
    ),
    mutant(
        "first-entity-exported-only",
        "Exports a project's first entity and leaves out the others.",
        "packages.holds-every-entity",
        batch=_ExportsTheFirstEntity,
    ),
    mutant(
        "manifest-made-up",
        "Takes packages without a manifest.",
        "packages.missing-part-fails",
        batch=_MakesUpAManifest,
    ),
)
