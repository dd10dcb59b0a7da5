"""A server of the recurring integrations connector that shares nothing with the emulator.

Written from the documentation and the contract alone, so that the suites are seen to judge a server by what was
promised and not by how our own one answers. Where the documentation leaves a point open it chooses otherwise than
the emulator does: an empty queue is a blank 200, every delivery has its own CorrelationId, an acknowledgment wants
the whole body and a download first, processing takes no time, the newest message is delivered first, and so on.
`--defect NAME` breaks one thing on purpose.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import itertools
import json
import re
import secrets
import signal
import sys
import threading
import uuid
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree

DEFECTS = {
    "early-after-download": "a message that was downloaded comes back after twenty minutes",
    "loses-a-waiting-message": "a second dequeue within the same second drops one of three waiting messages",
    "stale-receipt-effective": "a receipt replaced by a later dequeue still acknowledges",
    "refused-receipt-effective": "the same, and the answer is a refusal",
    "bad-record-ends-file": "the records after a bad one are not imported",
    "in-order-reversed": "a job that processes in order takes the newest message first",
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
]
ENTITY = "Customer groups"
WIDTHS = {"CUSTOMERGROUPID": 10, "DESCRIPTION": 60, "PAYMENTTERMID": None}
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
GUID = re.compile(r"\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?")
CHANGEABLE = {
    "enabled": bool,
    "processing_recurrence_minutes": (int, float, type(None)),
    "monitoring_recurrence_minutes": (int, float, type(None)),
    "prevent_upload_when_zero_records": bool,
    "in_order": bool,
    "use_company_from_message": bool,
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


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, body: object = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


class Unreadable(Exception):
    """A file that cannot be taken apart into records."""


@dataclass
class Message:
    """One file, in or out, with the columns of Manage messages."""

    number: int
    id: str
    enqueued: datetime
    payload: bytes | None
    status: str = "Enqueued"
    entity: str = ENTITY
    external: str | None = None
    exported: int | None = None
    started: datetime | None = None
    completed: datetime | None = None
    last_dequeue: datetime | None = None
    last_download: datetime | None = None
    acked: datetime | None = None
    execution: str = ""
    errors: list[dict[str, str]] = field(default_factory=list)
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
    counted_from: datetime
    messages: list[Message] = field(default_factory=list)
    table: dict[str, dict[str, str]] = field(default_factory=dict)
    last_dequeue_second: int | None = None

    @property
    def exports(self) -> bool:
        """Files go out of the application."""
        return self.settings["direction"] == "export"

    def described(self) -> dict[str, object]:
        """The activity, as the control plane shows it."""
        return {"id": self.id, **self.settings, "remark": "made by another hand"}


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
        self.reset()

    def reset(self) -> None:
        """First state again; the clock, the clients and their tokens stay."""
        self.jobs = {}
        for identity, wanted in zip(self.first_ids, FIRST_WORLD, strict=True):
            self.add(wanted, identity)

    def add(self, wanted: dict[str, object], identity: str | None = None) -> Job:
        """Create a recurring data job."""
        settings = {
            "name": f"job-{next(self.numbers)}",
            "direction": None,
            "type": "file",
            "entity": ENTITY,
            "format": "CSV",
            "in_order": False,
            "prevent_upload_when_zero_records": False,
            "use_company_from_message": False,
            "processing_recurrence_minutes": 5,
            "monitoring_recurrence_minutes": None,
            "enabled": True,
        }
        strange = set(wanted) - set(settings)
        if strange:
            raise Refusal(400, {"error": f"unknown members: {sorted(strange)}"})
        settings.update(wanted)
        if settings["direction"] not in {"import", "export"} or settings["type"] not in {"file", "package"}:
            raise Refusal(400, {"error": "direction is import or export, type is file or package"})
        if settings["entity"] != ENTITY or settings["format"] != "CSV":
            raise Refusal(400, {"error": "only Customer groups as CSV"})
        job = Job(identity or str(uuid.uuid1()).upper(), settings, self.now)
        self.jobs[job.id.lower()] = job
        return job

    # Time

    def advance(self, seconds: float) -> None:
        """Let time pass; every run that falls due on the way is started at its own instant."""
        goal = self.now + timedelta(seconds=seconds)
        due: list[tuple[datetime, Job]] = []
        for job in self.jobs.values():
            minutes = job.settings["processing_recurrence_minutes"]
            if job.exports or not minutes:
                continue
            period = timedelta(minutes=minutes)
            tick = job.counted_from + period * ((self.now - job.counted_from) // period + 1)
            waiting = [one for one in job.messages if one.status == "Enqueued"]
            if waiting and tick <= goal:  # a later tick finds nothing that this one left behind
                due.append((tick, job))
        for tick, job in sorted(due, key=lambda pair: pair[0]):
            self.now = tick
            self.run_import(job)
        self.now = goal

    # Imports

    def run_import(self, job: Job) -> int:
        """Let the batch take what waits; how many files it took."""
        waiting = [one for one in job.messages if one.status == "Enqueued"]
        in_order = job.settings["in_order"] and job.settings["type"] == "file"
        if in_order and self.defect == "in-order-reversed":
            waiting.reverse()
        taken = 0
        for message in waiting:
            if in_order and any(one.status in FAILED for one in job.messages):
                break
            taken += 1
            self.import_one(job, message)
        return taken

    def import_one(self, job: Job, message: Message) -> None:
        """Process one file. It takes no time."""
        message.started = self.now
        if job.settings["type"] == "file" and message.entity.casefold() != ENTITY.casefold():
            message.status = "Processing"  # nobody ever finds that entity
            return
        message.completed = self.now
        try:
            data = message.payload
            if job.settings["type"] == "package":
                data = unpacked(data)
            rows = rows_of(data)
        except Unreadable:
            message.status = "PreProcessingError"
            return
        message.execution = f"RUN/{message.number:06d}/{secrets.token_hex(12)}"
        for place, row in enumerate(rows, 1):
            complaints = complaints_about(row)
            for column, text in complaints:
                message.errors.append({"RecordId": str(place), "Field": column, "ErrorMessage": text, "Grade": "error"})
            if complaints and self.defect == "bad-record-ends-file":
                break
            if not complaints:
                job.table[row["CUSTOMERGROUPID"]] = {column: row[column] for column in WIDTHS}
        message.status = "ProcessedWithErrors" if message.errors else "Processed"

    def enqueue(self, job: Job, body: bytes, entity: str, external: str | None) -> Message:
        """Put a file into the queue, whatever it is."""
        number = next(self.numbers)
        message = Message(number, str(uuid.uuid1()), self.now, body, entity=entity, external=external)
        job.messages.append(message)
        return message

    # Exports

    def produce(self, job: Job, count: int) -> Message:
        """Export so many fresh records now."""
        number = next(self.numbers)
        job.table = {}
        for place in range(count):
            key = f"{place:X}"[-6:].rjust(4, "K")
            job.table[key] = {
                "CUSTOMERGROUPID": key,
                "DESCRIPTION": f'Grüße "{number}", {place}',
                "PAYMENTTERMID": "" if place % 3 else f"N{place % 90}",
            }
        upload = bool(count) or not job.settings["prevent_upload_when_zero_records"]
        payload = None
        if upload:
            out = io.StringIO()
            writer = csv.DictWriter(out, list(WIDTHS))
            writer.writeheader()
            writer.writerows(job.table.values())
            if not count:
                out.write("\r\n" * number)  # no two payloads are equal, empty ones neither
            payload = out.getvalue().encode()
            if job.settings["type"] == "package":
                payload = packed(payload, f"run {number}")
        message = Message(number, str(uuid.uuid1()), self.now, payload, exported=count)
        message.started = message.completed = self.now
        job.messages.append(message)
        return message

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


def rows_of(data: bytes) -> list[dict[str, str]]:
    """The records of a CSV file with a header row."""
    try:
        text = data.decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as fault:
        raise Unreadable from fault
    if not lines:
        raise Unreadable
    header = [name.strip().upper() for name in lines[0]]
    if "CUSTOMERGROUPID" not in header or not set(header) <= set(WIDTHS) or len(set(header)) != len(header):
        raise Unreadable
    blank = dict.fromkeys(WIDTHS, "")
    return [
        {**blank, **dict(zip(header, line, strict=False)), **({"": "surplus"} if len(line) > len(header) else {})}
        for line in lines[1:]
    ]


def complaints_about(row: dict[str, str]) -> list[tuple[str, str]]:
    """What is wrong with one record."""
    found = []
    if "" in row:
        found.append(("", "The record has more values than the header has columns."))
    if not row["CUSTOMERGROUPID"].strip():
        found.append(("CUSTOMERGROUPID", "A customer group needs a key."))
    found += [
        (column, f"{column} takes at most {width} characters.")
        for column, width in WIDTHS.items()
        if width is not None and len(row[column]) > width
    ]
    return found


def unpacked(data: bytes) -> bytes:
    """The one data file of a package."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            manifest = ElementTree.fromstring(package.read("Manifest.xml"))
            ElementTree.fromstring(package.read("PackageHeader.xml"))
            named = [one.text for one in manifest.iter() if one.tag.rpartition("}")[2] == "InputFilePath"]
            if len(named) != 1:
                raise Unreadable
            return package.read(named[0])
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, TypeError) as fault:
        raise Unreadable from fault


def packed(data: bytes, description: str) -> bytes:
    """A package with one data file, its XML in UTF-16."""
    space = 'xmlns="http://schemas.microsoft.com/dynamics/2015/01/DataManagement"'
    kind = "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest"
    header = (
        f"<DataManagementPackageHeader {space}><Description>{description}</Description>"
        f"<ManifestType>{kind}</ManifestType><PackageType>DefinitionGroup</PackageType>"
        "<PackageVersion>1</PackageVersion></DataManagementPackageHeader>"
    )
    manifest = (
        f"<DataManagementPackageManifest {space}><DefinitionGroupName>Out</DefinitionGroupName>"
        f"<Description>{description}</Description><PackageEntityList><DataManagementPackageEntityData>"
        f"<EntityName>{ENTITY}</EntityName><InputFilePath>{ENTITY}.csv</InputFilePath>"
        "<SourceFormat>CSV</SourceFormat></DataManagementPackageEntityData></PackageEntityList>"
        "</DataManagementPackageManifest>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(f"{ENTITY}.csv", data)
        package.writestr("PackageHeader.xml", header.encode("utf-16"))
        package.writestr("Manifest.xml", manifest.encode("utf-16"))
    return out.getvalue()


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
        "BatchStatus": "Ended" if one.started else None,
        "RetryCount": 0,
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
        try:
            body = self.whole_body()
            with self.world.lock:
                status, answer, headers = self.route(body)
        except Refusal as refusal:
            status, answer, headers = refusal.status, refusal.body, refusal.headers
        self.reply(status, answer, headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any  # noqa: N815

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

    def reply(self, status: int, answer: object, headers: dict[str, str]) -> None:
        """Write the answer."""
        kind = "application/json"
        if isinstance(answer, bytes):
            data, kind = answer, "application/octet-stream"
        elif isinstance(answer, str):
            data, kind = answer.encode(), "text/html" if answer.startswith("<") else "text/plain; charset=us-ascii"
        else:
            data = b"" if answer is None else json.dumps(answer, indent=1).encode()
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
        if status != 204 and self.command != "HEAD":
            self.wfile.write(data)

    def route(self, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Who is to answer this path."""
        url = urlsplit(self.path)
        path = url.path
        if path.startswith("/_control/v1/"):
            return (*self.control(path.removeprefix("/_control/v1/"), body), {})
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
                    kind = "application/zip" if job.settings["type"] == "package" else "text/csv"
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
        return 200, {"DataJobStatus": status, "ExecutionLog": "", "ExecutionDetail": None}, {}

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

    def control(self, path: str, body: bytes) -> tuple[int, object]:
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
        return self.control_activity(path, given)

    def control_activity(self, path: str, given: dict[str, object]) -> tuple[int, object]:
        """Answer the calls that concern one activity."""
        found = re.fullmatch(r"activities/([^/]+)(?:/(\w+))?", path)
        activity = GUID.fullmatch(unquote(found[1])) if found else None
        job = self.world.jobs.get(activity[1].lower()) if activity else None
        if job is None:
            raise Refusal(404, {"error": "no such activity or call"})
        call = (self.command, found[2])
        if call == ("PATCH", None):
            for name, value in given.items():
                if name not in CHANGEABLE or not isinstance(value, CHANGEABLE[name]):
                    raise Refusal(400, {"error": f"{name} cannot be changed to that"})
            job.settings.update(given)
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
            return 200, {"messageId": message.id, "uploaded": uploaded, "records": count, "sha256": digest}
        if call == ("POST", "process"):
            return 200, {"processed": self.world.run_import(job)}
        if call == ("GET", "messages"):
            return 200, [manage_row(one) for one in job.messages]
        if call == ("GET", "records"):
            return 200, {"entity": ENTITY, "records": list(job.table.values())}
        if call == ("POST", "cleanup"):
            deleted = self.world.clean(job, given.get("olderThanDays", 0), given.get("statuses"))
            return 200, {"deleted": deleted}
        raise Refusal(404, {"error": "no such call"})

    def described(self) -> dict[str, object]:
        """The world, as the control plane shows it."""
        world = self.world
        fields = [
            {"name": name, "type": "text", "length": width, "key": place == 0, "mandatory": place == 0}
            for place, (name, width) in enumerate(WIDTHS.items())
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
            "entities": [{"name": ENTITY, "fields": fields}],
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
