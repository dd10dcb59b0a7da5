"""A server of the recurring integrations connector that shares nothing with the emulator.

Written from the documentation and the contract alone, so that the suites are seen to judge a server by what was
promised and not by how our own one answers. Where the documentation leaves a point open it chooses otherwise than
the emulator does: an empty queue is a blank 200, every delivery has its own CorrelationId, an acknowledgment wants
the whole body and a download first, processing takes no time, the newest message is delivered first, columns stand
in another order, execution units are run from the last one on, Manage messages has a batch status as soon as a run is
over, what a dead job left is put back by a run and taken by the one after it, and so on.
`--defect NAME` breaks one thing on purpose.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import itertools
import json
import re
import secrets
import signal
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

import stranger_calendar as calendars
import stranger_faults as faults
import stranger_files as files
import stranger_projects as projects
import stranger_shapes as shapes
from stranger_files import Record
from stranger_projects import Project
from stranger_shapes import GUID

DEFECTS = {
    "early-after-download": "a message that was downloaded comes back after twenty minutes",
    "loses-a-waiting-message": "a second dequeue within the same second drops one of three waiting messages",
    "stale-receipt-effective": "a receipt replaced by a later dequeue still acknowledges",
    "refused-receipt-effective": "the same, and the answer is a refusal",
    "bad-record-ends-file": "the records after a bad one are not imported",
    "in-order-reversed": "a job that processes in order takes the newest message first",
    "filter-for-one-job": "only the first job of a project heeds its filter",
    "map-not-applied": "an import fills fields from the columns of their own names, whatever the map says",
    "batch-status-frozen": "once its status was fetched, a job's messages show what they showed then",
    "hidden-counts-as-waiting": "samples of the load count as waiting what is in process too",
    "never-requeued": "what a dead batch job left in process stays there, whatever the parameter says",
}

LEASE = timedelta(minutes=30)
BLOB_LIFE = timedelta(days=7)
TOKEN_SECONDS = 1500
LARGEST_BODY = 30_000_000
FIRST_INSTANT = datetime(2031, 2, 27, 22, 58, 7, tzinfo=UTC)
ABILITIES = [
    "reset",
    "advance-time",
    "create-activity",
    "produce",
    "process",
    "messages",
    "records",
    "cleanup",
    "change-activity",
    "projects",
    "batch",
    "monitoring",
    "parameters",
    "faults",
]
STATUS_FETCH = timedelta(seconds=40)
MOST_SAMPLES = 20_000
ENTITY = "Customer groups"
FAILED = {"PreProcessingError", "ProcessedWithErrors", "Processing"}
STATES = ["Enqueued", "Dequeued", "Downloaded", "Acked", "Processing", "Processed", "ProcessedWithErrors"]
STATES += ["PostProcessingFailed", "PreProcessingError", "Preprocessing"]
DEQUEUE_MEMBERS = {
    "CorrelationId",
    "PopReceipt",
    "DownloadLocation",
    "IsDownLoadFileExist",
    "FileDownLoadErrorMessage",
    "LastDequeueDateTime",
}
OWN_MEMBERS = {"Delivery", "Hint"}
PARAMETERS = {"skip_reprocessing": False}
CHANGEABLE = {
    "name": shapes.name,
    "description": shapes.text,
    "enabled": shapes.truth,
    "processing_recurrence": shapes.anything,
    "processing_recurrence_minutes": shapes.maybe(shapes.number(1, calendars.MOST)),
    "monitoring_recurrence": shapes.anything,
    "monitoring_recurrence_minutes": shapes.maybe(shapes.number(1, calendars.MOST)),
    "prevent_upload_when_zero_records": shapes.truth,
    "in_order": shapes.truth,
    "use_company_from_message": shapes.truth,
}
NEW_JOB = {
    **CHANGEABLE,
    "direction": shapes.one_of("import", "export"),
    "type": shapes.one_of("file", "package"),
    "entity": shapes.text,
    "format": shapes.text,
    "project": shapes.maybe(shapes.guid),
}
RECURRENCES = ("processing_recurrence", "monitoring_recurrence")
FIRST_WORLD = [
    {"name": "import-file", "direction": "import"},
    {"name": "import-in-order", "direction": "import", "in_order": True},
    {"name": "import-package", "direction": "import", "type": "package"},
    {"name": "export-package", "direction": "export", "type": "package", "processing_recurrence_minutes": None},
    {"name": "export-file", "direction": "export", "processing_recurrence_minutes": None},
    {
        "name": "export-no-zero",
        "direction": "export",
        "processing_recurrence_minutes": None,
        "prevent_upload_when_zero_records": True,
    },
    {"name": "import-disabled", "direction": "import", "enabled": False},
]


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, body: object = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


@dataclass
class Message:
    """One file, in or out, with the columns of Manage messages."""

    number: int
    id: str
    enqueued: datetime
    payload: bytes | None
    status: str = "Enqueued"
    entity: str = ENTITY
    packed: bool = False
    external: str | None = None
    exported: int | None = None
    started: datetime | None = None
    completed: datetime | None = None
    last_dequeue: datetime | None = None
    last_download: datetime | None = None
    acked: datetime | None = None
    execution: str = ""
    errors: list[dict[str, str]] = field(default_factory=list)
    details: list[dict[str, object]] = field(default_factory=list)
    # its batch job: what the history knows, what Manage messages shows, and whether the job died over it
    history: str | None = None
    shown: str | None = None
    orphan: bool = False
    retries: int = 0
    sampled: bool = False
    # the delivery that counts now; those it replaced are remembered only by their receipts
    correlation: str = ""
    receipt: str = ""
    location_key: str = ""
    hidden_until: datetime | None = None
    fetched: bool = False
    deliveries: int = 0
    gone: bool = False
    old_receipts: set[str] = field(default_factory=set)


@dataclass
class Job:
    """One recurring data job, with its messages and what its legal entity holds."""

    id: str
    settings: dict[str, object]
    project: Project
    recurrences: dict[str, calendars.Recurrence | None] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    tables: dict[str, dict[tuple[object, ...], Record]] = field(default_factory=dict)
    samples: list[dict[str, object]] = field(default_factory=list)
    fetches: list[datetime] = field(default_factory=list)
    frozen: bool = False
    last_dequeue_second: int | None = None

    @property
    def exports(self) -> bool:
        """Files go out of the application."""
        return self.settings["direction"] == "export"

    def described(self) -> dict[str, object]:
        """The activity, as the control plane shows it."""
        first = self.project.entities[0]
        minutes = {f"{name}_minutes": calendars.minutes_of(self.settings[name]) for name in RECURRENCES}
        of_project = {"project": self.project.id, "entity": first["entity"], "format": first["format"]}
        return {"id": self.id, **self.settings, **minutes, **of_project, "remark": "made by another hand"}

    def has_work(self) -> bool:
        """A run would find something to do."""
        return not self.exports and any(one.status == "Enqueued" or one.orphan for one in self.messages)

    def table(self, entity: str) -> dict[tuple[object, ...], Record]:
        """What the job's legal entity holds of this entity."""
        return self.tables.setdefault(entity, {})


Due = tuple[datetime, int, int, Job]
"""When something is to be done, what (a run, a sample, a fetch), for which job by its place, and the job."""


class World:
    """Everything the server knows. One lock around it; no request takes long."""

    def __init__(self, defect: str | None) -> None:
        self.defect = defect
        self.lock = threading.RLock()
        self.now = FIRST_INSTANT
        self.numbers = itertools.count(1)
        self.tokens: dict[str, tuple[str, datetime]] = {}
        self.clients = {
            role: {"client_id": str(uuid.uuid1()), "client_secret": "s%+&=" + secrets.token_urlsafe(18)}
            for role in ("authorised", "unlisted", "unmapped")
        }
        self.tenant = str(uuid.uuid1())
        self.first_ids = [str(uuid.uuid1()).upper() for _ in FIRST_WORLD]
        self.jobs: dict[str, Job] = {}
        self.projects: dict[str, Project] = {}
        self.faults = faults.Plan()
        self.parameters = dict(PARAMETERS)
        self.payloads: set[bytes] = set()
        self.reset()

    def reset(self) -> None:
        """First state again; the clock, the clients and their tokens stay."""
        self.jobs, self.projects, self.parameters = {}, {}, dict(PARAMETERS)
        self.faults.clear()
        for identity, wanted in zip(self.first_ids, FIRST_WORLD, strict=True):
            self.add(wanted, identity)

    def add(self, wanted: dict[str, object], identity: str | None = None) -> Job:
        """Create a recurring data job."""
        given = dict(shapes.check(wanted, NEW_JOB, ["direction"]))
        project = self.project_for(given)
        defaults = {
            "name": f"job-{next(self.numbers)}",
            "description": "",
            "type": "file",
            "in_order": False,
            "prevent_upload_when_zero_records": False,
            "use_company_from_message": False,
            "enabled": True,
            "processing_recurrence": None if given["direction"] == "export" else calendars.plain(5),
            "monitoring_recurrence": None,
        }
        job = Job(identity or str(uuid.uuid1()).upper(), defaults, project)
        self.change(job, given)
        self.jobs[job.id.lower()] = job
        return job

    def project_for(self, given: dict[str, object]) -> Project:
        """The project that a new job names, or one of its own."""
        entity, form = given.pop("entity", None), given.pop("format", None)
        named = given.pop("project", None)
        if named is None:
            part = {"entity": ENTITY if entity is None else entity, "format": "CSV" if form is None else form}
            return self.add_project({"direction": given["direction"], "entities": [part]})
        project = self.projects.get(GUID.fullmatch(named)[1].lower())
        if project is None or project.direction != given["direction"]:
            raise shapes.Wrong("no project like that in this direction")
        first = project.entities[0]
        for member, value in (("entity", entity), ("format", form)):
            if value is not None and value.casefold() != first[member].casefold():
                raise shapes.Wrong(f"the project has another {member} in its first place")
        return project

    def add_project(self, given: object) -> Project:
        """Create a data project."""
        wanted = shapes.check(given, projects.NEW_PROJECT, ["direction", "entities"])
        project = Project(str(uuid.uuid1()), f"project-{next(self.numbers)}", wanted["direction"])
        project.change(wanted)
        self.projects[project.id] = project
        return project

    def change(self, job: Job, given: dict[str, object]) -> None:
        """Take settings over; a recurrence that is set counts from now."""
        given = dict(given)
        for name in RECURRENCES:
            short = f"{name}_minutes"
            if name not in given and short not in given:
                job.recurrences.setdefault(name, calendars.counted(job.settings[name], self.now))
                continue
            minutes = given.pop(short, None)
            if name not in given:
                given[name] = calendars.plain(minutes)
            given[name] = calendars.checked(given[name])
            if minutes is not None and calendars.minutes_of(given[name]) != minutes:
                raise shapes.Wrong(f"{name} says otherwise than the minutes")
            job.recurrences[name] = calendars.counted(given[name], self.now)
        job.settings.update(given)

    # Time

    def advance(self, seconds: float) -> None:
        """Let time pass; all that falls due on the way is started at its own instant."""
        goal = self.now + timedelta(seconds=seconds)
        due: list[Due] = []
        for place, job in enumerate(self.jobs.values()):
            self.put_next(due, place, job)
        while due and due[0][0] <= goal:
            at, what, place, job = heapq.heappop(due)
            self.now = max(self.now, at)
            if what == 0:
                self.run_import(job)
            elif what == 1:
                self.sample(job)
            else:
                job.fetches.pop(0)
                self.fetch(job)
            self.put_next(due, place, job, what)
        self.now = goal

    def put_next(self, due: list[Due], place: int, job: Job, done: int | None = None) -> None:
        """Note what comes next for a job: of everything, or of what has just been done."""
        upcoming = [
            lambda: job.has_work() and self.next_of(job, "processing_recurrence"),
            lambda: self.next_of(job, "monitoring_recurrence"),
            lambda: job.fetches and job.fetches[0],
        ]
        for kind, ask in enumerate(upcoming):
            at = ask() if done in {None, kind} else None
            if at:
                heapq.heappush(due, (at, kind, place, job))

    def next_of(self, job: Job, name: str) -> datetime | None:
        recurrence = job.recurrences[name]
        return recurrence.after(self.now) if recurrence else None

    def sample(self, job: Job) -> None:
        """Note how much waits."""
        if job.exports:
            waiting = [one for one in job.messages if self.deliverable(one)]
            alive = [one for one in job.messages if not one.gone and one.status != "Acked"]
            busy = [one for one in alive if one.hidden_until is not None and self.now < one.hidden_until]
            ended = [one for one in job.messages if one.acked is not None and not one.sampled]
        else:
            waiting = [one for one in job.messages if one.status == "Enqueued"]
            busy = [one for one in job.messages if one.status == "Processing"]
            ended = [one for one in job.messages if one.completed is not None and not one.sampled]
        if self.defect == "hidden-counts-as-waiting":
            waiting += busy
        took = [((one.acked or one.completed) - one.enqueued).total_seconds() for one in ended]
        for one in ended:
            one.sampled = True
        ages = [(self.now - one.enqueued).total_seconds() / 60 for one in waiting]
        job.samples.append(
            {
                "at": control_time(self.now),
                "in_process": len(busy),
                "oldest_minutes": max(ages, default=None),
                "waiting": len(waiting),
                "slowest_seconds": max(took, default=None),
                "mean_seconds": sum(took) / len(took) if took else None,
                "processed": len(took),
            }
        )
        del job.samples[:-MOST_SAMPLES]

    def fetch(self, job: Job) -> None:
        """Bring the newest status of the job's batch jobs into Manage messages."""
        if job.frozen:
            return
        for one in job.messages:
            one.shown = "Waiting" if one.started is None else one.history
        job.frozen = self.defect == "batch-status-frozen"

    def note(self, job: Job, message: Message, status: str) -> None:
        """Write the batch history; Manage messages has it at once."""
        message.history = status
        if not job.frozen:
            message.shown = status

    # Imports

    def run_import(self, job: Job) -> int:
        """Let the batch take what waits; how many files it took."""
        waiting = [one for one in job.messages if one.status == "Enqueued"]
        left = [one for one in job.messages if one.orphan]
        in_order = job.settings["in_order"] and job.settings["type"] == "file"
        if in_order and self.defect == "in-order-reversed":
            waiting.reverse()
        taken = 0
        for message in waiting:
            if in_order and any(one.status in FAILED for one in job.messages):
                break
            taken += 1
            self.import_one(job, message)
            if message.orphan:
                break  # the job is dead; what it has not begun waits for the next
        if not self.parameters["skip_reprocessing"] and self.defect != "never-requeued":
            for message in left:
                message.status, message.orphan, message.started = "Enqueued", False, None
                message.execution, message.errors, message.details = "", [], []
                message.retries += 1
        return taken

    def import_one(self, job: Job, message: Message) -> None:
        """Process one file. It takes no time."""
        message.started = self.now
        whole = job.settings["type"] == "package"
        if not whole and job.project.part(message.entity) is None:
            message.status = "Processing"  # nobody ever finds that entity
            self.note(job, message, "Executing")
            return
        try:
            parts = self.staged(job, files.unpacked(message.payload) if whole else [(message.entity, message.payload)])
        except files.Unreadable:
            message.status, message.completed = "PreProcessingError", self.now
            self.note(job, message, "Finished")
            return
        message.execution = f"RUN/{message.number:06d}/{secrets.token_hex(12)}"
        message.status = "Processing"
        if self.faults.struck("processing", job.id.lower(), ["stuck"]):
            self.note(job, message, "Executing")
            return
        fault = self.faults.struck("processing", job.id.lower(), ["dies", "post-processing-failed"])
        dies = fault is not None and fault["kind"] == "dies"
        if not dies or fault["phase"] == "after":
            self.land(job, message, parts)
        if dies:
            message.orphan = True
            self.note(job, message, "Error")
            return
        message.completed = self.now
        message.status = "ProcessedWithErrors" if message.errors else "Processed"
        if fault is not None:
            message.status = "PostProcessingFailed"
        self.note(job, message, "Finished")

    def staged(self, job: Job, given: list[tuple[str, bytes]]) -> list[tuple[dict[str, object], list[files.Row]]]:
        """What the files of one message hold, each with the part of the project that is about it."""
        staged = []
        for name, data in given:
            part = job.project.part(name) if name else job.project.entities[0]
            if part is None:
                raise files.Unreadable
            used = {**part, "map": []} if self.defect == "map-not-applied" else part
            staged.append((part, projects.read_in(used, data)))
        return staged

    def land(self, job: Job, message: Message, parts: list[tuple[dict[str, object], list[files.Row]]]) -> None:
        """Write good records into their tables and list the bad ones."""
        stopped: set[tuple[int, ...]] = set()
        for part, rows in projects.in_turn(parts):
            unit, level = (part["execution_unit"],), (part["execution_unit"], part["level"])
            if stopped & {unit, level}:
                continue
            entity = files.entity_named(part["entity"])
            failed = 0
            for place, row in enumerate(rows, 1):
                record, complaints = projects.record_of(entity, row)
                for column, text in complaints:
                    error = {"RecordId": str(place), "Field": column, "ErrorMessage": text, "Grade": entity.name}
                    message.errors.append(error)
                failed += bool(complaints)
                if complaints and self.defect == "bad-record-ends-file":
                    break
                if not complaints:
                    job.table(entity.name)[entity.key_of(record)] = record
            message.details.append(self.detail(entity.name, len(rows), failed))
            if failed and part["fail_unit_on_error"]:
                stopped.add(unit)
            if failed and part["fail_level_on_error"]:
                stopped.add(level)

    def detail(self, entity: str, rows: int, failed: int) -> dict[str, object]:
        """How one entity fared, as jobstatus tells it."""
        return {
            "EntityName": entity,
            "TargetErrorCount": failed,
            "TargetRecords": rows - failed,
            "StagingErrorCount": 0,
            "StagingRecords": rows,
            "TargetStatus": 3 if failed else 4,
            "StagingStatus": 4,
            "ExecutionStartedDateTime": wire_time(self.now),
            "ExecutionCompletedDateTime": wire_time(self.now),
        }

    def enqueue(self, job: Job, body: bytes, entity: str, external: str | None) -> Message:
        """Put a file into the queue, whatever it is."""
        number = next(self.numbers)
        message = Message(number, str(uuid.uuid1()), self.now, body, entity=entity, external=external)
        job.messages.append(message)
        return message

    # Exports

    def produce(self, job: Job, count: int) -> Message:
        """Export so many fresh records of each entity now."""
        number = next(self.numbers)
        made, exported = [], 0
        first_job = next(one for one in self.jobs.values() if one.project is job.project)
        heeds = self.defect != "filter-for-one-job" or job is first_job
        for part in job.project.entities:
            entity = files.entity_named(part["entity"])
            records = [files.synthetic(entity, number, place) for place in range(count)]
            job.tables[entity.name] = {entity.key_of(one): one for one in records}
            out = [one for one in records if not heeds or job.project.kept(entity, one)]
            exported += len(out)
            made.append((entity, part["format"], projects.written(part, out)))
        whole = job.settings["type"] == "package" or len(made) > 1
        payload = None
        if exported or not job.settings["prevent_upload_when_zero_records"]:
            payload = files.packed(made, f"run {number}") if whole else self.unlike_others(*made[0][1:])
        message = Message(number, str(uuid.uuid1()), self.now, payload, exported=exported, packed=whole)
        message.entity = made[0][0].name
        message.started = message.completed = self.now
        job.messages.append(message)
        self.note(job, message, "Finished")
        return message

    def unlike_others(self, form: str, data: bytes) -> bytes:
        """The file with so many blank lines at its end that no other is equal."""
        while data in self.payloads:
            data += b"\r\n" if form in files.SEPARATORS else "\n".encode("utf-16-le")
        self.payloads.add(data)
        return data

    def deliver(self, job: Job) -> Message | None:
        """Hand out the newest message that waits, and hide it."""
        ready = [one for one in job.messages if self.deliverable(one)]
        second = int(self.now.timestamp())
        if self.defect == "loses-a-waiting-message" and job.last_dequeue_second == second and len(ready) == 2:
            ready.pop().gone = True
        job.last_dequeue_second = second
        if not ready:
            return None
        message = ready[-1]
        message.old_receipts.add(message.receipt)
        message.correlation = str(uuid.uuid1()).upper()
        message.receipt = "~" + secrets.token_hex(5) + " / " + secrets.token_urlsafe(9) + "é"
        message.location_key = secrets.token_hex(6) + "+/" + secrets.token_hex(3)
        message.hidden_until = self.now + LEASE
        message.fetched = False
        message.deliveries += 1
        message.status = "Dequeued"
        if message.payload is None:
            message.gone = True
        return message

    def deliverable(self, message: Message) -> bool:
        """It waits: neither acknowledged nor hidden nor too old."""
        return (
            message.status != "Acked"
            and not message.gone
            and (message.hidden_until is None or self.now >= message.hidden_until)
            and self.now < message.enqueued + BLOB_LIFE
        )

    def download(self, message: Message) -> bytes:
        """The file of a delivery, while the message is hidden; that begins the half hour anew."""
        if message.payload is None or message.status == "Acked" or self.now >= message.hidden_until:
            raise Refusal(404, {"Message": "There is no such file."})
        if self.now >= message.enqueued + BLOB_LIFE:
            raise Refusal(410, {"Message": "That file is no longer kept."})
        message.fetched = True
        message.last_download = self.now
        message.hidden_until = self.now + LEASE
        if self.defect == "early-after-download":
            message.hidden_until = self.now + timedelta(minutes=20)
        return message.payload

    def acknowledge(self, job: Job, correlation: str, receipt: str) -> int:
        """Let a message leave, or refuse; the status to answer with."""
        for message in job.messages:
            if receipt in message.old_receipts and receipt:
                if self.defect in {"stale-receipt-effective", "refused-receipt-effective"}:
                    message.status, message.acked = "Acked", self.now
                if self.defect == "refused-receipt-effective":
                    return 409
                return 200  # said politely; nothing changes
            if (message.receipt, message.correlation) != (receipt, correlation):
                continue
            if message.status == "Acked":
                raise Refusal(404, {"Message": "That message has left."})
            if message.payload is not None and not message.fetched:
                raise Refusal(500, {"Message": "Nobody fetched that file."})
            if message.payload is not None and self.now >= message.hidden_until:
                raise Refusal(500, {"Message": "Too late."})
            message.status, message.acked = "Acked", self.now
            return 204
        raise Refusal(500, {"Message": "No delivery like that."})

    # Looking things up

    def message(self, identity: object) -> Message | None:
        """The message of this id, in whatever spelling."""
        found = GUID.fullmatch(identity) if isinstance(identity, str) else None
        wanted = found[1].lower() if found else None
        return next((one for job in self.jobs.values() for one in job.messages if one.id == wanted), None)

    def clean(self, job: Job, days: float, statuses: list[str] | None) -> int:
        """Delete old messages; how many."""
        oldest = self.now - timedelta(days=days)
        kept = [
            one
            for one in job.messages
            if one.enqueued > oldest or (statuses is not None and one.status not in statuses)
        ]
        deleted, job.messages = len(job.messages) - len(kept), kept
        return deleted


def control_time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def wire_time(at: datetime | None) -> str:
    if at is None:
        return "1900-01-01T00:00:00"
    return at.astimezone(timezone(timedelta(hours=2))).isoformat(timespec="microseconds").replace("+", "0+")


def manage_row(one: Message) -> dict[str, object]:
    return {
        "MessageId": one.id,
        "Status": one.status,
        "EntityName": one.entity,
        "ExternalIdentifier": one.external,
        "EnqueueDateTime": control_time(one.enqueued),
        "ProcessingStartedDateTime": control_time(one.started),
        "ProcessingCompletedDateTime": control_time(one.completed),
        "LastDequeueDateTime": control_time(one.last_dequeue),
        "LastDownloadDateTime": control_time(one.last_download),
        "AckDateTime": control_time(one.acked),
        "TotalRecordsExported": one.exported,
        "FileUploaded": True if one.exported is not None and one.payload is not None else None,
        "BatchStatus": one.shown,
        "RetryCount": one.retries,
        "RowNumber": one.number,
    }


class Handler(BaseHTTPRequestHandler):
    """The wire: the connector, the actions, the token endpoints and the control plane."""

    protocol_version = "HTTP/1.1"
    server_version = "Elsewhere"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    world: World
    base: str
    blobs: str
    redirects = False

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def handle_any(self) -> None:
        """Answer one request, whatever its verb."""
        fault = None
        try:
            body = self.whole_body()
            with self.world.lock:
                fault = self.fault()
                if fault is None or fault["phase"] == "after":
                    status, answer, headers = self.route(body)
        except Refusal as refusal:
            status, answer, headers = refusal.status, refusal.body, refusal.headers
        except shapes.Wrong as wrong:
            status, answer, headers = 400, {"error": str(wrong)}, {}
        if fault is None:
            self.reply(status, answer, headers)
        elif fault["kind"] == "status":
            after = {} if fault["retry_after"] is None else {"Retry-After": str(fault["retry_after"])}
            self.reply(fault["status"], {"Message": "By plan."}, after)
        elif fault["kind"] == "reset":
            self.hang_up()
        elif fault["kind"] == "timeout":
            time.sleep(fault["seconds"])
            self.hang_up()
        else:
            self.reply(status, answer, headers, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any  # noqa: N815

    def fault(self) -> faults.Fault | None:
        """The fault that is planned for this request."""
        path = urlsplit(self.path).path
        if path.startswith("/_control/"):
            return None
        found = re.search(r"/api/connector/\w+/([^/]+)", path)
        activity = GUID.fullmatch(unquote(found[1])) if found else None
        file = re.match(r"/(?:files|blobs)/([0-9a-f]+)", path)
        owner = [
            job.id for job in self.world.jobs.values() for one in job.messages if file and f"{one.number:x}" == file[1]
        ]
        identity = activity[1].lower() if activity else owner[0].lower() if owner else None
        return self.world.faults.struck(faults.operation_of(path), identity, faults.OF_REQUESTS)

    def hang_up(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        socket.close(self.connection.detach())

    def whole_body(self) -> bytes:
        """The request's body, read to its end so that the connection can be kept."""
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise Refusal(411)
        length = int(self.headers.get("Content-Length") or 0)
        if length > 4 * LARGEST_BODY:
            self.close_connection = True
            raise Refusal(413, "<html><h1>Too large</h1></html>")
        return self.rfile.read(length)

    def reply(self, status: int, answer: object, headers: dict[str, str], fault: faults.Fault | None = None) -> None:
        """Write the answer, or in case of a fault a part of it, or all of it in its own time."""
        kind = "application/json"
        if isinstance(answer, bytes):
            data, kind = answer, "application/octet-stream"
        elif isinstance(answer, str):
            data, kind = answer.encode(), "text/html" if answer.startswith("<") else "text/plain; charset=us-ascii"
        else:
            data = b"" if answer is None else json.dumps(answer, indent=1).encode()
        truncated = fault is not None and fault["kind"] == "truncated"
        if truncated and not data:
            self.hang_up()
            return
        self.send_response(status)
        if data and "Content-Type" not in headers:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Elsewhere", secrets.token_hex(4))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if truncated:
            asked = len(data) // 2 if fault["after_bytes"] is None else fault["after_bytes"]
            data, self.close_connection = data[: min(asked, len(data) - 1)], True
        if status != 204 and self.command != "HEAD":
            step = len(data) if fault is None or truncated else len(data) // 8 + 1
            for start in range(0, len(data), step or 1):
                self.wfile.write(data[start : start + step])
                if fault is not None and not truncated:
                    self.wfile.flush()
                    time.sleep(fault["seconds"] / 8)

    def route(self, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Who is to answer this path."""
        url = urlsplit(self.path)
        path = url.path
        if path.startswith("/_control/v1/"):
            return (*self.control(path.removeprefix("/_control/v1/"), url.query, body), {})
        if path.startswith("/sign-in/"):
            return (*self.token(path, body), {"Pragma": "no-cache"})
        if path.startswith("/data/"):
            return (*self.action(path, body), {"OData-Version": "4.0"})
        if path.startswith("/blobs/") and self.command == "GET" and self.redirects:
            return 200, self.blob(url.query), {}
        if path.startswith("/files/"):
            return self.file(path, url.query)
        found = re.fullmatch(r"(?:/[a-z]{2}(?:-[a-z]{2})?)?/api/connector/(\w+)/([^/]+)", path)
        handlers = {
            ("POST", "enqueue"): self.enqueue,
            ("GET", "dequeue"): self.dequeue,
            ("POST", "ack"): self.ack,
            ("GET", "jobstatus"): self.jobstatus,
        }
        handler = handlers.get((self.command, found[1])) if found else None
        if handler is None:
            raise Refusal(404, {"Message": "Nothing here."})
        client = self.client()
        activity = GUID.fullmatch(unquote(found[2]))
        if activity is None:
            raise Refusal(404, {"Message": "Not an activity ID."})
        job = self.world.jobs.get(activity[1].lower())
        if job is None:
            raise Refusal(400, {"Message": "No such activity."})
        self.check_policy(client, job)
        return handler(job, url.query, body)

    # Who asks

    def client(self) -> str:
        """The role of the application whose token the request carries."""
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        name, until = self.world.tokens.get(token.strip(), (None, None))
        if scheme.lower() != "bearer" or name is None or self.world.now >= until:
            raise Refusal(401, {"Message": "Sign in."}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if name == "unmapped":
            raise Refusal(403, {"Message": "Forbidden"})
        return name

    def check_policy(self, client: str, job: Job) -> None:
        """Refuse an application that is not enabled on the job."""
        if client != "authorised" or not job.settings["enabled"]:
            raise Refusal(403, {"Message": "That application does not work with this job."})

    def token(self, path: str, body: bytes) -> tuple[int, object]:
        """Issue a token of either version to an application with its secret."""
        world = self.world
        version = {f"/sign-in/{world.tenant}/v2": 2, f"/sign-in/{world.tenant}/v1": 1}.get(path)
        if version is None or self.command != "POST":
            raise Refusal(404, {"error": "invalid_request"})
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            raise Refusal(400, {"error": "unsupported_grant_type", "error_description": "only client_credentials"})
        role = next((one for one, it in world.clients.items() if it["client_id"] == form.get("client_id")), None)
        if role is None or world.clients[role]["client_secret"] != form.get("client_secret"):
            raise Refusal(
                401, {"error": "invalid_client", "error_description": "AADSTS7000215", "error_codes": [7000215]}
            )
        wanted = form.get("scope") if version == 2 else form.get("resource")
        if wanted != (self.base + "/.default" if version == 2 else self.base):
            raise Refusal(400, {"error": "invalid_resource", "error_description": "AADSTS500011"})
        token = secrets.token_urlsafe(40)
        world.tokens[token] = (role, world.now + timedelta(seconds=TOKEN_SECONDS))
        answer: dict[str, object] = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        if version == 1:
            answer |= {"expires_in": str(TOKEN_SECONDS), "resource": self.base}
        return 200, answer

    # The connector

    def enqueue(self, job: Job, query: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Take a file in."""
        if job.exports:
            raise Refusal(500, {"Message": "That job exports."})
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal(415)
        if len(body) > LARGEST_BODY:
            raise Refusal(413, "<html><h1>Too large</h1></html>")
        entity = parse_qs(query.replace("+", "%2B")).get("entity", [""])[-1]
        if not body or (not entity and job.settings["type"] == "file"):
            raise Refusal(400, {"Message": "A file needs content and an entity."})
        message = self.world.enqueue(job, body, entity or ENTITY, self.headers.get("x-ms-dyn-externalidentifier"))
        return 200, "{" + message.id.upper() + "}", {}

    def dequeue(self, job: Job, _query: str, _body: bytes) -> tuple[int, object, dict[str, str]]:
        """Offer a message."""
        if not job.exports:
            return 204, None, {}
        message = self.world.deliver(job)
        if message is None:
            return 200, None, {}
        before, message.last_dequeue = message.last_dequeue, self.world.now
        host = urlsplit(self.base).hostname
        answer = {
            "Delivery": message.deliveries,
            "PopReceipt": message.receipt,
            "LastDequeueDateTime": wire_time(before),
            "IsDownLoadFileExist": message.payload is not None,
            "FileDownLoadErrorMessage": "",
            "DownloadLocation": f"https://{host}/files/{message.number:x}?k={quote(message.location_key, safe='')}",
            "CorrelationId": message.correlation,
            "Hint": None,
        }
        return 200, answer, {"Content-Type": "text/json; charset=UTF-8"}

    def file(self, path: str, query: str) -> tuple[int, object, dict[str, str]]:
        """Send a file to whom its location was given."""
        if self.command != "GET":
            raise Refusal(404)
        client = self.client()
        key = parse_qs(query).get("k", [""])[0]
        for job in self.world.jobs.values():
            for message in job.messages:
                if key and message.location_key == key and path == f"/files/{message.number:x}":
                    self.check_policy(client, job)
                    if self.redirects:
                        self.world.download(message)
                        return 302, None, {"Location": f"{self.blobs}{path.removeprefix('/files')}?{query}"}
                    kind = "application/zip" if message.packed else "text/csv"
                    return 200, self.world.download(message), {"Content-Type": kind}
        raise Refusal(404, {"Message": "There is no such file."})

    def blob(self, query: str) -> bytes:
        """Send a file as blob storage does: to whoever knows where it is, and without looking at tokens."""
        key = parse_qs(query).get("k", [""])[0]
        messages = [one for job in self.world.jobs.values() for one in job.messages]
        found = next((one for one in messages if key and one.location_key == key), None)
        if found is None or found.payload is None or "Authorization" in self.headers:
            raise Refusal(400, "<Error>no such blob, or a token where none belongs</Error>")
        return found.payload

    def ack(self, job: Job, _query: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Take the whole of what dequeue answered as an acknowledgment."""
        if not job.exports:
            raise Refusal(500, {"Message": "That job imports."})
        try:
            given = json.loads(body)
        except ValueError as fault:
            raise Refusal(500, {"Message": "Not JSON."}) from fault
        if (
            not isinstance(given, dict)
            or not set(given) >= DEQUEUE_MEMBERS
            or set(given) - DEQUEUE_MEMBERS - OWN_MEMBERS
        ):
            raise Refusal(400, {"Message": "Send what dequeue answered."})
        status = self.world.acknowledge(job, given["CorrelationId"], given["PopReceipt"])
        return status, None, {}

    def jobstatus(self, job: Job, query: str, _body: bytes) -> tuple[int, object, dict[str, str]]:
        """The state of a message, as a number."""
        asked = {name.lower(): values[-1] for name, values in parse_qs(query).items()}.get("jobid", "").strip('"')
        message = self.world.message(asked)
        if message is None or message not in job.messages:
            return 200, {"DataJobStatus": None, "ExecutionLog": "", "ExecutionDetail": None}, {}
        status = {
            "DataProject": job.settings["name"],
            "DataJobIdentifier": message.id,
            "ExternalIdentifier": message.external,
            "ExecutionIdentifier": message.execution,
            "DataJobStartedDateTime": wire_time(message.started),
            "DataJobCompletedDateTime": wire_time(message.completed),
            "DataJobState": STATES.index(message.status),
        }
        return 200, {"DataJobStatus": status, "ExecutionLog": "", "ExecutionDetail": message.details or None}, {}

    # The actions

    def action(self, path: str, body: bytes) -> tuple[int, object]:
        """Answer the OData actions."""
        prefix = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
        if self.command != "POST" or not path.startswith(prefix):
            raise Refusal(404, {"error": {"code": "", "message": "Nothing here."}})
        self.client()
        name = path.removeprefix(prefix)
        parameters = {
            "GetMessageStatus": "messageId",
            "GetExecutionIdByMessageId": "_messageId",
            "GetExecutionErrors": "executionId",
            "GetExecutionSummaryStatus": "executionId",
        }
        if name not in parameters:
            raise Refusal(404, {"error": {"code": "", "message": "No such action."}})
        try:
            asked = json.loads(body)[parameters[name]]
        except (ValueError, KeyError, TypeError) as fault:
            raise Refusal(400, {"error": {"code": "", "message": f"{parameters[name]} is missing."}}) from fault
        context = {"@odata.context": f"{self.base}/data/$metadata#Edm.String", "@elsewhere.note": "hello"}
        if name in {"GetMessageStatus", "GetExecutionIdByMessageId"}:
            message = self.world.message(asked)
            value = "" if message is None else message.status if name == "GetMessageStatus" else message.execution
            return 200, {**context, "value": value}
        messages = [one for job in self.world.jobs.values() for one in job.messages]
        run = next((one for one in messages if asked and one.execution == asked), None)
        if run is None:
            raise Refusal(400, {"error": {"code": "", "message": "Execution details were not found."}})
        summary = "PartiallySucceeded" if run.errors else "Succeeded"
        return 200, {**context, "value": run.errors if name == "GetExecutionErrors" else summary}

    # The control plane

    def control(self, path: str, query: str, body: bytes) -> tuple[int, object]:
        """Answer the calls that concern no activity."""
        try:
            given = json.loads(body) if body else {}
        except ValueError as fault:
            raise Refusal(400, {"error": "not JSON"}) from fault
        if not isinstance(given, dict):
            raise Refusal(400, {"error": "an object is wanted"})
        world, call = self.world, (self.command, path)
        if call == ("GET", "world"):
            return 200, self.described()
        if call == ("POST", "reset"):
            world.reset()
            return 204, None
        if call == ("GET", "clock"):
            return 200, {"now": control_time(world.now), "kind": "manual", "rate": 1.0}
        if call == ("POST", "clock"):
            seconds = given.get("advance_seconds")
            if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds < 0:
                raise Refusal(400, {"error": "advance_seconds is a number and not negative"})
            world.advance(seconds)
            return 200, {"now": control_time(world.now)}
        if call == ("POST", "activities"):
            return 201, world.add(given).described()
        if path == "parameters" and self.command in {"GET", "PATCH"}:
            if self.command == "PATCH":
                world.parameters |= shapes.check(given, {"skip_reprocessing": shapes.truth})
            return 200, world.parameters
        if path == "faults" and self.command in {"GET", "POST", "DELETE"}:
            return self.control_faults(given)
        if path == "projects" or path.startswith("projects/"):
            return self.control_projects(path, given)
        return self.control_activity(path, query, given)

    def control_faults(self, given: dict[str, object]) -> tuple[int, object]:
        """Answer the calls about the fault plan."""
        plan = self.world.faults
        if self.command == "POST":
            return 201, plan.add(given)
        if self.command == "DELETE":
            plan.clear()
            return 204, None
        return 200, plan.faults

    def control_projects(self, path: str, given: dict[str, object]) -> tuple[int, object]:
        """Answer the calls about data projects."""
        if path == "projects" and self.command == "GET":
            return 200, [one.described() for one in self.world.projects.values()]
        if path == "projects" and self.command == "POST":
            return 201, self.world.add_project(given).described()
        identity = GUID.fullmatch(unquote(path.removeprefix("projects/")))
        project = self.world.projects.get(identity[1].lower()) if identity else None
        if project is None or self.command not in {"GET", "PATCH"}:
            raise Refusal(404, {"error": "no such project or call"})
        if self.command == "PATCH":
            project.change(shapes.check(given, projects.PROJECT))
        return 200, project.described()

    def control_activity(self, path: str, query: str, given: dict[str, object]) -> tuple[int, object]:
        """Answer the calls that concern one activity."""
        found = re.fullmatch(r"activities/([^/]+)(?:/(\w+))?", path)
        activity = GUID.fullmatch(unquote(found[1])) if found else None
        job = self.world.jobs.get(activity[1].lower()) if activity else None
        if job is None:
            raise Refusal(404, {"error": "no such activity or call"})
        call = (self.command, found[2])
        if call == ("PATCH", None):
            self.world.change(job, shapes.check(given, CHANGEABLE))
            return 200, job.described()
        if call in {("POST", "produce"), ("POST", "process")} and job.exports != (found[2] == "produce"):
            raise Refusal(400, {"error": "wrong direction"})
        if call == ("POST", "produce"):
            count = given.get("records")
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise Refusal(400, {"error": "records is a number and not negative"})
            message = self.world.produce(job, count)
            digest = None if message.payload is None else hashlib.sha256(message.payload).hexdigest()
            uploaded = message.payload is not None
            return 200, {"messageId": message.id, "uploaded": uploaded, "records": message.exported, "sha256": digest}
        if call == ("POST", "process"):
            return 200, {"processed": self.world.run_import(job)}
        if call == ("GET", "messages"):
            return 200, [manage_row(one) for one in job.messages]
        if call == ("GET", "load"):
            return 200, job.samples
        if call == ("POST", "batch"):
            self.control_batch(job, given)
            return 204, None
        if call == ("GET", "records"):
            asked = parse_qs(query).get("entity", [job.project.entities[0]["entity"]])[-1]
            part = job.project.part(asked)
            if part is None:
                raise Refusal(400, {"error": "the project has no such entity"})
            return 200, {"entity": part["entity"], "records": list(job.table(part["entity"]).values())}
        if call == ("POST", "cleanup"):
            deleted = self.world.clean(job, given.get("olderThanDays", 0), given.get("statuses") or None)
            return 200, {"deleted": deleted}
        raise Refusal(404, {"error": "no such call"})

    def control_batch(self, job: Job, given: dict[str, object]) -> None:
        """Ask for the newest status, or forget what the batch history knows."""
        shapes.check(given, {"action": shapes.one_of("get-status", "delete-history")}, ["action"])
        if given["action"] == "get-status":
            job.fetches.append(self.world.now + STATUS_FETCH)
            return
        for message in job.messages:
            message.history = None

    def described(self) -> dict[str, object]:
        """The world, as the control plane shows it."""
        world = self.world
        members = ("name", "type", "length", "key", "mandatory")
        entities = [
            {"name": each.name, "fields": [{member: getattr(one, member) for member in members} for one in each.fields]}
            for each in files.ENTITIES
        ]
        return {
            "name": "stranger",
            "build": "7",
            "abilities": ABILITIES,
            "base_url": self.base,
            "identity": {
                "token_url": f"{self.base}/sign-in/{world.tenant}/v2",
                "token_url_v1": f"{self.base}/sign-in/{world.tenant}/v1",
                "resource": self.base,
                "tenant": world.tenant,
                "clients": world.clients,
            },
            "activities": [job.described() for job in world.jobs.values()],
            "entities": entities,
            "formats": files.FORMATS,
        }


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--defect", choices=sorted(DEFECTS))
    parser.add_argument("--redirects", action="store_true", help="downloads lead to another host that wants no token")
    options = parser.parse_args()
    server = Server(("127.0.0.1", options.port), Handler)
    Handler.world = World(options.defect)
    Handler.base = f"http://127.0.0.1:{server.server_port}"
    Handler.blobs = f"http://localhost:{server.server_port}/blobs"
    Handler.redirects = options.redirects
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"base_url": Handler.base}), flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
