"""What an administrator sees and does in the data management workspace, whatever shows it.

It asks the parts of one emulator and writes down in the journal what was done, as the control plane does. It knows no
page and no request; every call belongs into one `attended` block, whose instant it is handed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from popreceipt.clock import ClockKind
from popreceipt.emulator.activity import PACKAGE, Activity
from popreceipt.emulator.batch import TICK
from popreceipt.emulator.continuity import settled_secret
from popreceipt.emulator.dmf import formats
from popreceipt.emulator.dmf.entity import Entity
from popreceipt.emulator.dmf.execution import Execution, RecordError
from popreceipt.emulator.dmf.formats import FORMATS, Column, SourceFormat, Unreadable, format_named
from popreceipt.emulator.dmf.project import FieldMap, Project, ProjectEntity
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.message import Message
from popreceipt.emulator.parameters import Parameters, parameters_of
from popreceipt.emulator.spellings import visible_status
from popreceipt.emulator.store import Load, NotKept, Query, Sample
from popreceipt.journal import instant_text
from popreceipt.vocabulary import DEQUEUED, DOWNLOADED

ERRORS_SHOWN: Final = 500
"""So many errors of an execution are shown; GetExecutionErrors has them all."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of Manage messages ("Manage recurring data jobs"). None is a blank cell."""

    id: str
    status: str
    entity: str | None
    external_identifier: str | None
    enqueued: datetime
    started: datetime | None
    completed: datetime | None
    last_dequeued: datetime | None
    last_downloaded: datetime | None
    acknowledged: datetime | None
    total_records: int | None
    uploaded: bool | None
    batch_status: str | None
    retries: int
    company: str | None
    execution: str | None
    has_payload: bool


class Job(msgspec.Struct, frozen=True):
    """A recurring data job, and how full its queue is."""

    activity: Activity
    load: Load


class Log(msgspec.Struct, frozen=True):
    """The execution log of a message. `problem` says why there is no execution where its file could not be read."""

    problem: str | None
    execution: Execution | None
    errors: Sequence[RecordError]
    total_errors: int


class Examined(msgspec.Struct, frozen=True):
    """An entity of a new project, as the file that was uploaded for it suggests, and what is to be said of the file."""

    entity: ProjectEntity
    said: str | None


class FileProblem(Exception):
    """An entity of a new project that cannot be: `about` says what of it is wrong."""

    def __init__(self, about: Literal["entity", "format", "file"], text: str) -> None:
        super().__init__(text)
        self.about = about


class Office:
    """The back office of one emulator.

    Args:
        emulator: whose it is.
        keep: keeps what was done so far, where the store does not by itself; False says that it could not be kept.
    """

    def __init__(self, emulator: Emulator, keep: Callable[[], bool] | None = None) -> None:
        self._emulator = emulator
        self._keep = keep

    @contextmanager
    def attended(self) -> Iterator[datetime]:
        """One visit: everything in it is kept or none, at the instant that comes with it.

        Raises:
            NotKept: what was done could not be kept, so it has not happened.
        """
        with self._emulator.attended() as now:
            yield now
        # At once: until somebody waits for something, no other request can come in between.
        if self._keep is not None and not self._keep():
            raise NotKept("What was done could not be kept, so nothing was changed. Is the disk full?")

    def secret(self) -> str:
        """What the pages sign with: one for all processes on a store, and for as long as the store lives."""
        with self.attended():
            return settled_secret(self._emulator.store)

    @property
    def base_url(self) -> str:
        """What clients call the environment by."""
        return self._emulator.base_url

    @property
    def clock(self) -> ClockKind:
        """The kind of clock it lives by."""
        return self._emulator.clock.kind

    # Recurring data jobs

    def jobs(self, now: datetime) -> list[Job]:
        """All recurring data jobs, oldest first."""
        return [self._job(activity, now) for activity in self._emulator.store.activities()]

    def job(self, identifier: str, now: datetime) -> Job | None:
        """The recurring data job of this ID."""
        activity = self._emulator.store.activity(identifier)
        return None if activity is None else self._job(activity, now)

    def _job(self, activity: Activity, now: datetime) -> Job:
        return Job(activity, self._emulator.store.load(activity.id, now))

    def next_run(self, activity: Activity) -> datetime | None:
        """When the batch job runs next; None where it is not to run, or would find nothing."""
        return self._emulator.agenda.planned(TICK, activity.id)

    def samples(self, activity: Activity) -> Sequence[Sample]:
        """What the monitoring recurrence saw, oldest first."""
        return self._emulator.store.samples_of(activity.id)

    @property
    def application_id(self) -> str:
        """The application on the authorisation policy of every recurring data job."""
        return self._emulator.identity.clients["authorised"].client_id

    def create_job(self, project: Project, settings: dict[str, Any]) -> Activity:
        """A new recurring data job of a data project ("Create a recurring data job")."""
        first = project.entities[0]
        own = {"project": project.id, "entity": first.entity, "format": first.format}
        return self._emulator.create_activity(**settings, **own)

    def change_job(self, activity: Activity, settings: dict[str, Any]) -> Activity:
        """The recurring data job with other settings; they count from now on."""
        return self._emulator.change_activity(activity, **settings)

    def process(self, activity: Activity, now: datetime) -> int:
        """Let the batch of an import run now; how many messages it took."""
        taken = self._emulator.batch.process(activity, now)
        self._emulator.observe("processed", activity, processed=taken)
        return taken

    def export(self, activity: Activity, records: int | None, now: datetime) -> tuple[int, bool]:
        """Let the batch of an export run now: records exported, and whether a file was uploaded.

        Args:
            activity: the recurring data job.
            records: so many synthetic ones take the place of what each entity holds; None exports what is there.
            now: the instant.

        Raises:
            NotEnough: the keys of an entity do not go so far.
        """
        batch = self._emulator.batch
        produced = batch.export(activity, now) if records is None else batch.produce(activity, records, now)
        return produced.records, produced.message.uploaded

    def get_batch_status(self, activity: Activity, now: datetime) -> None:
        """Ask for the newest batch status; the grid has it a moment later."""
        self._emulator.history.fetch(activity.id, now)
        self._emulator.observe("batch", activity, action="get-status")

    def count_for_clean_up(
        self, activity: Activity, now: datetime, *, older_than: timedelta, statuses: Collection[str]
    ) -> int:
        """How many messages a clean-up would delete."""
        query = Query(
            activity=activity.id, statuses=frozenset(statuses) or None, enqueued_until=now - older_than, limit=0
        )
        return self.messages(query)[1]

    def clean_up(self, activity: Activity, now: datetime, *, older_than: timedelta, statuses: Collection[str]) -> int:
        """Delete messages of at least an age, and of some statuses (none: of all); how many there were."""
        deleted = self._emulator.cleanup.run(activity, now, older_than=older_than, statuses=statuses)
        self._emulator.observe(
            "cleanup",
            activity,
            olderThanDays=older_than / timedelta(days=1),
            statuses=sorted(statuses),
            deleted=deleted,
        )
        return deleted

    # Framework parameters

    def parameters(self) -> Parameters:
        """The framework's parameters."""
        return parameters_of(self._emulator.store)

    def change_parameters(self, now: datetime, **changes: Any) -> None:
        """Set some of the framework's parameters."""
        parameters = msgspec.structs.replace(self.parameters(), **changes)
        self._emulator.change_parameters(parameters)
        self._emulator.note("parameters", since=instant_text(now), **msgspec.structs.asdict(parameters))

    # Data projects

    @property
    def entities(self) -> Sequence[Entity]:
        """The entities of this environment."""
        return self._emulator.entities.all()

    @property
    def formats(self) -> Sequence[str]:
        """The names of the source data formats."""
        return list(FORMATS)

    def entity(self, name: str) -> Entity:
        """The entity of this name.

        Raises:
            LookupError: there is none.
        """
        entity = self._emulator.entities.named(name)
        if entity is None:
            raise LookupError(f"There is no entity {name!r} in this environment.")
        return entity

    def projects(self) -> Sequence[Project]:
        """All data projects, oldest first."""
        return self._emulator.store.projects()

    def project(self, identifier: str) -> Project | None:
        """The data project of this ID."""
        return self._emulator.store.project(identifier)

    def jobs_of(self, project: Project, now: datetime) -> list[Job]:
        """The recurring data jobs that hang off a data project, oldest first."""
        activities = self._emulator.store.activities()
        return [self._job(activity, now) for activity in activities if activity.project == project.id]

    def job_counts(self) -> Counter[str]:
        """How many recurring data jobs each data project has, by its ID."""
        return Counter(activity.project for activity in self._emulator.store.activities())

    def create_project(self, **settings: Any) -> Project:
        """A new data project ("Create a data project").

        Raises:
            Invalid: something in it cannot be; the sentence says what.
        """
        return self._emulator.create_project(**settings)

    def change_project(self, project: Project, **settings: Any) -> Project:
        """The data project with other settings; they count from the next run on.

        Raises:
            Invalid: something in it cannot be.
        """
        return self._emulator.change_project(project, **settings)

    def examine_file(self, entity_name: str, format_name: str, sheet: str, content: bytes | None) -> Examined:
        """What a file that is uploaded for an entity of a new project suggests: the field map above all.

        Columns named as fields fill those, in any letter case, with or without blanks and the like. Without a file
        every field comes from the column of its own name.

        Raises:
            FileProblem: there is no such entity or format, or the file cannot be read as one of them.
        """
        entity = self._emulator.entities.named(entity_name)
        if entity is None:
            raise FileProblem("entity", f"There is no entity {entity_name[:80]!r} in this environment.")
        try:
            source = format_named(format_name)
        except LookupError as error:
            raise FileProblem("format", str(error)) from error
        settled = ProjectEntity(entity=entity.name, format=source.name, sheet=sheet or None)
        if content is None:
            return Examined(settled, None)
        try:
            return _examined(settled, entity, source, content)
        except Unreadable as problem:
            raise FileProblem("file", str(problem)) from problem

    # Messages

    def messages(self, query: Query) -> tuple[list[Row], int]:
        """A page of Manage messages, and how many rows there are in all. It reads the page, not everything."""
        statuses = query.statuses
        if statuses and self._emulator.profile.status_downloaded == "hidden":
            # The grid shows no Downloaded then: such a message is one of the dequeued.
            shown = statuses - {DOWNLOADED}
            query = msgspec.structs.replace(query, statuses=shown | {DOWNLOADED} if DEQUEUED in shown else shown)
        found, total = self._emulator.store.find(query)
        return [self._row(message) for message in found], total

    def message(self, identifier: str) -> Message | None:
        """The message of this ID."""
        return self._emulator.store.message(identifier)

    def row(self, message: Message) -> Row:
        """A message as Manage messages shows it."""
        return self._row(message)

    def log(self, message: Message) -> Log:
        """How the execution of a message went."""
        execution = None if message.execution is None else self._emulator.store.execution(message.execution)
        errors = () if execution is None else execution.errors
        return Log(message.problem, execution, errors[:ERRORS_SHOWN], len(errors))

    def payload_name(self, message: Message) -> str:
        """What the file of a message is called when it is downloaded."""
        activity = self._emulator.store.activity(message.activity)
        if activity is None or self._is_packed(message, activity):
            return f"{message.id}.zip"
        return f"{message.id}.{format_named(activity.format).extension}"

    def _is_packed(self, message: Message, activity: Activity) -> bool:
        is_export = message.visible_from is not None
        return activity.type == PACKAGE or (is_export and self._emulator.profile.download_file_payload != "raw")

    def payload(self, message: Message) -> bytes | None:
        """The file that was submitted or exported; None when there never was one or it has expired."""
        return self._emulator.blobs.content(message.blob)

    def payload_expires(self, message: Message) -> datetime | None:
        """Until when the file is kept; None when it is not there."""
        return None if message.blob is None else self._emulator.store.blob_expires(message.blob)

    def _row(self, message: Message) -> Row:
        profile = self._emulator.profile
        # "Preventing uploads when there are no records": jobs run before platform update 12 have both columns empty.
        has_counts = message.visible_from is not None and profile.platform_update_12
        return Row(
            id=message.id,
            status=visible_status(message, profile),
            entity=message.entity,
            external_identifier=message.external_identifier,
            enqueued=message.enqueued,
            started=message.started,
            completed=message.completed,
            last_dequeued=message.last_dequeued,
            last_downloaded=message.last_downloaded,
            acknowledged=message.acknowledged,
            total_records=message.total_records if has_counts else None,
            uploaded=True if has_counts and message.uploaded else None,
            batch_status=message.batch_status,
            retries=message.retries,
            company=message.company,
            execution=message.execution,
            has_payload=message.blob is not None,
        )


def _examined(settled: ProjectEntity, entity: Entity, source: SourceFormat, content: bytes) -> Examined:
    columns = [Column(field.name, field.width) for field in entity.fields]
    rows = formats.read(content, source, columns, record=formats.record_element(entity.name), sheet=settled.sheet)
    found: dict[str, None] = {}
    records, faults = 0, []
    for row in rows:
        records += 1
        found.update(dict.fromkeys(row.values))
        if row.fault is not None:
            faults.append(f"record {row.number}: {row.fault}")
    said = [f"{len(faults)} of {records} records cannot be used; {faults[0]}"] if faults else []
    by_letters = {_letters(name): name for name in found}
    sources = {field.name: by_letters.get(_letters(field.name)) for field in entity.fields}
    if strange := sorted(set(found) - set(sources.values())):
        said.append(f"No field was found for the column {_listed(strange)}. Review the field map.")
    if records and any(name != source for name, source in sources.items()):
        maps = [FieldMap(field=name, source=column, ignore=column is None) for name, column in sources.items()]
        settled = msgspec.structs.replace(settled, map=tuple(maps))
        if lacking := [name for name in entity.keys if sources[name] is None]:
            said.append(f"The file has no column for the key {_listed(lacking)}. Review the field map.")
    return Examined(settled, " ".join(said) or None)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
