"""An environment whose back office the tests use: data projects, files in, packages out, what became of them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.profile import Profile, dialect
from popreceipt.resources import fixtures

CONTROL = "/_control/v1"
ACTION = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
GOOD = b"CUSTOMERGROUPID,DESCRIPTION\r\nGOOD,after all\r\n"


class Office:
    """Drives an emulator in this process, and leaves judging to the tests."""

    def __init__(self, profile: Profile, **options: Any) -> None:
        self.emulator = Emulator(ManualClock(), profile, **options)
        self._token: str | None = None

    # The control plane

    def asked(self, method: str, path: str, body: Any = None, query: str = "") -> Response:
        """A control call, however it ends."""
        content = b"" if body is None else json.dumps(body).encode()
        return self.emulator.handle(Request(method, CONTROL + path, query, (), content, local=True))

    def control(self, method: str, path: str, body: Any = None, query: str = "") -> Any:
        """A control call that must succeed; its answer."""
        response = self.asked(method, path, body, query)
        assert response.status < 300, response.body
        return json.loads(response.body) if response.body else None

    def refusal(self, method: str, path: str, body: Any = None, status: int = 400) -> str:
        """What is said of a control call that must be refused."""
        response = self.asked(method, path, body)
        assert response.status == status, response.body
        return str(json.loads(response.body)["error"])

    def project(self, direction: str, *entities: Mapping[str, Any], **settings: Any) -> str:
        """A new data project; its ID."""
        asked = {"direction": direction, "entities": list(entities), **settings}
        return str(self.control("POST", "/projects", asked)["id"])

    def job(self, direction: str, **settings: Any) -> str:
        """A new recurring data job; its ID."""
        return str(self.control("POST", "/activities", {"direction": direction, **settings})["id"])

    def job_for(self, direction: str, *entities: Mapping[str, Any], **settings: Any) -> str:
        """A new recurring data job for a new data project of these entities; its ID."""
        return self.job(direction, project=self.project(direction, *entities), **settings)

    def records(self, job: str, entity: str | None = None) -> list[dict[str, str]]:
        """What a target table holds."""
        query = "" if entity is None else urlencode({"entity": entity})
        held: list[dict[str, str]] = self.control("GET", f"/activities/{job}/records", query=query)["records"]
        return held

    def rows(self, job: str) -> list[dict[str, Any]]:
        """The rows of Manage messages."""
        found: list[dict[str, Any]] = self.control("GET", f"/activities/{job}/messages")
        return found

    def produce(self, job: str, records: int) -> dict[str, Any]:
        """An export run."""
        made: dict[str, Any] = self.control("POST", f"/activities/{job}/produce", {"records": records})
        return made

    def advance(self, **period: float) -> None:
        """Move the clock."""
        self.control("POST", "/clock", {"advance_seconds": timedelta(**period).total_seconds()})

    # The wire

    def call(self, method: str, path: str, query: str = "", body: bytes = b"") -> Response:
        """A request of the authorised client."""
        headers = (("authorization", f"Bearer {self._authorised()}"),)
        return self.emulator.handle(Request(method, path, query, headers, body, local=True))

    def enqueue(self, job: str, body: bytes, entity: str | None = "Customer groups") -> str:
        """An upload; the message's ID."""
        query = "" if entity is None else f"entity={quote(entity)}"
        response = self.call("POST", f"/api/connector/enqueue/{job}", query, body)
        assert response.status == 200, response.body
        return str(json.loads(response.body))

    def imported(self, job: str, body: bytes, entity: str | None = "Customer groups") -> str:
        """An upload that is processed to its end; the message's ID."""
        message = self.enqueue(job, body, entity)
        self.control("POST", f"/activities/{job}/process")
        self.advance(seconds=3)
        return message

    def status(self, message: str) -> str:
        """GetMessageStatus."""
        return str(self._value("GetMessageStatus", messageId=message))

    def errors(self, message: str) -> list[tuple[str, str, str]]:
        """GetExecutionErrors: record, field and sentence of each."""
        execution = self._value("GetExecutionIdByMessageId", _messageId=message)
        listed = json.loads(self._value("GetExecutionErrors", executionId=execution))
        return [(one["RecordId"], one["Field"], one["ErrorMessage"]) for one in listed]

    def jobstatus(self, job: str, message: str) -> dict[str, Any]:
        """What jobstatus answers."""
        said: dict[str, Any] = json.loads(self.call("GET", f"/api/connector/jobstatus/{job}", f"jobId={message}").body)
        return said

    def log(self, job: str, message: str) -> str:
        """The execution log."""
        return str(self.jobstatus(job, message)["ExecutionLog"])

    def payload(self, job: str) -> bytes:
        """The next export, downloaded."""
        offer = json.loads(self.call("GET", f"/api/connector/dequeue/{job}").body)
        parts = urlsplit(offer["DownloadLocation"])
        response = self.call("GET", parts.path, parts.query)
        assert response.status == 200
        return bytes(response.body)

    def _value(self, action: str, **members: str) -> Any:
        response = self.call("POST", ACTION + action, "", json.dumps(members).encode())
        assert response.status == 200, response.body
        return json.loads(response.body)["value"]

    def _authorised(self) -> str:
        if self._token is None:
            identity = self.emulator.world()["identity"]
            form = {"grant_type": "client_credentials", "scope": f"{identity['resource']}/.default"}
            form |= identity["clients"]["authorised"]
            kind = (("content-type", "application/x-www-form-urlencoded"),)
            path = urlsplit(identity["token_url"]).path
            answer = self.emulator.handle(Request("POST", path, "", kind, urlencode(form).encode()))
            self._token = str(json.loads(answer.body)["access_token"])
        return self._token


Open = Callable[..., Office]


@pytest.fixture
def open_office() -> Iterator[Open]:
    """Open an office; the arguments are dialects and options. At the end none may have had an internal fault."""
    opened: list[Office] = []

    def make(*dialects: str, profile: Profile | None = None, **options: Any) -> Office:
        chosen = profile if profile is not None else Profile()
        for name in dialects:
            chosen = dialect(name, chosen)
        opened.append(Office(chosen, **options))
        return opened[-1]

    yield make
    assert [fault for one in opened for fault in one.emulator.faults] == []


@pytest.fixture
def office(open_office: Open) -> Office:
    """An office without deviations."""
    return open_office()


Zipped = Callable[..., bytes]


@pytest.fixture
def zipped() -> Zipped:
    """Zip members: text in UTF-8, bytes as they are, None left out."""

    def make(members: Mapping[str, bytes | str | None]) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                if content is not None:
                    archive.writestr(name, content)
        return made.getvalue()

    return make


@pytest.fixture
def by_hand(zipped: Zipped) -> Callable[..., bytes]:
    """Make the package of a folder in `fixtures/packages`, its XML parts in UTF-16 with a byte order mark.

    Members given by name replace those of the folder, or add to them; None leaves one out.
    """

    def make(name: str, changes: Mapping[str, bytes | str | None] | None = None) -> bytes:
        folder = fixtures() / "packages" / name
        members: dict[str, bytes | str | None] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                member = path.relative_to(folder).as_posix()
                content = path.read_bytes()
                is_part = member in {"Manifest.xml", "PackageHeader.xml"}
                members[member] = content.decode().encode("utf-16") if is_part else content
        return zipped({**members, **(changes or {})})

    return make
