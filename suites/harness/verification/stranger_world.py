"""Everything that a stranger knows: jobs, data projects, parameters, clients and the time, which moves when told."""

from __future__ import annotations

import heapq
import itertools
import secrets
import threading
import uuid
from datetime import UTC, datetime, timedelta

import stranger_calendar as calendars
import stranger_faults as faults
import stranger_projects as projects
import stranger_shapes as shapes
from stranger_exports import Exports
from stranger_imports import Imports
from stranger_jobs import ENTITY, RECURRENCES, Job, Message, control_time
from stranger_projects import Project
from stranger_shapes import GUID

FIRST_INSTANT = datetime(2031, 2, 27, 22, 58, 7, tzinfo=UTC)
MOST_SAMPLES = 20_000
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

Due = tuple[datetime, int, int, Job]
"""When something is to be done, what (a run, a sample, a fetch), for which job by its place, and the job."""


class World(Imports, Exports):
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
