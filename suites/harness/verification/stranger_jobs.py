"""What a stranger knows of its recurring data jobs and their messages, and how it writes both down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import stranger_calendar as calendars
from stranger_files import Record
from stranger_projects import Project

ENTITY = "Customer groups"
RECURRENCES = ("processing_recurrence", "monitoring_recurrence")


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
