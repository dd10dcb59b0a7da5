"""A tour of calls that every kind of server is taken on: everything there is to call, well and badly.

What an answer must be is none of its business; where it needs a part of one that is not there it goes on.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx

from popreceipt.clock import Clock, ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request
from popreceipt.emulator.profile import Profile

from .answers import Answer
from .documents import CONTROL

STRANGER = Path(__file__).parents[1] / "verification" / "stranger.py"
NOBODY = "11111111-2222-4333-8444-555555555555"
RECEIPT = "AgAAAAMAAAAAAAAAAAAAAAAAAAA="
GOOD = b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\nA1,Alpha,Net30\r\n"
BAD = b'CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\nB1,Beta,Net30\r\n,"no ""key""",Net30\r\n'
ACTIONS = {
    "GetMessageStatus": "messageId",
    "GetExecutionIdByMessageId": "_messageId",
    "GetExecutionErrors": "executionId",
    "GetExecutionSummaryStatus": "executionId",
}


Send = Callable[[str, str, str, tuple[tuple[str, str], ...], bytes], tuple[int, list[tuple[str, str]], bytes]]
"""Method, path, query, headers and body to status, headers and body."""


def of_emulator(
    profile: Profile | None = None, *, clock: Clock | None = None, control: bool = True, local: bool = True
) -> Send:
    """An emulator without a socket."""
    emulator = Emulator(clock or ManualClock(), profile or Profile(), control=control, control_key="a-key")

    def send(
        method: str, path: str, query: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        own = tuple((name.lower(), value) for name, value in headers)
        response = emulator.handle(Request(method, path, query, own, body, local=local))
        assert emulator.faults == []
        return response.status, list(response.headers), response.body

    return send


@contextmanager
def of_stranger(*options: str) -> Iterator[tuple[str, Send]]:
    """The server that shares nothing with the emulator: its root, and a way to call it."""
    process = subprocess.Popen([sys.executable, str(STRANGER), *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        root = json.loads(process.stdout.readline())["base_url"]
        with httpx.Client(base_url=root, trust_env=False) as client:

            def send(
                method: str, path: str, query: str, headers: tuple[tuple[str, str], ...], body: bytes
            ) -> tuple[int, list[tuple[str, str]], bytes]:
                url = f"{path}?{query}" if query else path
                answer = client.request(method, url, headers=list(headers), content=body)
                return answer.status_code, list(answer.headers.items()), answer.content

            yield root, send
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


class Tour:
    """One server on the tour, and its answers so far."""

    def __init__(self, send: Send, *, by_socket: bool = False) -> None:
        self._send = send
        self._by_socket = by_socket
        self.answers: list[Answer] = []
        self._tokens: dict[str, str] = {}
        self._identity: dict[str, Any] = {}
        self._jobs: dict[str, str] = {}

    def call(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes | Mapping[str, Any] = b"",
        *,
        role: str | None = "authorised",
        kind: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        asked: str | None = None,
    ) -> Answer:
        """One request; a role of None sends no token."""
        if not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), kind or "application/json"
        if kind is not None:
            headers = (*headers, ("Content-Type", kind))
        if role is not None:
            headers = (*headers, ("Authorization", f"Bearer {self._tokens.get(role, 'none')}"))
        status, given, content = self._send(method, path, query, headers, body)
        answer = Answer(method, path, status, {name.lower(): value for name, value in given}, content, asked)
        self.answers.append(answer)
        return answer

    def control(self, method: str, path: str, body: Any = None, query: str = "") -> Answer:
        """A call of the control plane."""
        return self.call(method, CONTROL + path, query, b"" if body is None else body, role=None)

    def connector(self, method: str, name: str, job: str, query: str = "", **options: Any) -> Answer:
        """A call of the connector."""
        return self.call(method, f"/api/connector/{name}/{quote(job)}", query, **options)

    def action(self, name: str, **members: Any) -> Any:
        """An action; the value that it answers with, None where it is refused."""
        path = f"/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.{name}"
        answer = self.call("POST", path, "", members)
        said = answer.json() if answer.status == 200 else None
        return said.get("value") if isinstance(said, dict) else None

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, and fetch tokens anew."""
        self.control("POST", "/clock", {"advance_seconds": seconds})
        self.sign_in()

    # The stations

    def whole(self) -> list[Answer]:
        """Everything, in an order that makes each station's answers possible."""
        world = self.control("GET", "/world")
        if world.status == 200:
            self._identity = world.json()["identity"]
            self._jobs = {each["name"]: each["id"] for each in world.json()["activities"]}
        self.sign_in()
        self.identity()
        self.imports()
        self.exports()
        self.refusals()
        self.back_office()
        self.retention()
        self.crowd()
        return self.answers

    def sign_in(self) -> None:
        """A token for each application."""
        for role, client in self._identity.get("clients", {}).items():
            form = {"grant_type": "client_credentials", "scope": f"{self._identity['resource']}/.default", **client}
            answer = self._form(self._identity["token_url"], form)
            if answer.status == 200:
                self._tokens[role] = answer.json()["access_token"]

    def _form(self, url: str, form: Mapping[str, str], **options: Any) -> Answer:
        body = urlencode(form).encode()
        options |= {"role": None, "kind": "application/x-www-form-urlencoded", "asked": self._endpoint(url)}
        return self.call("POST", urlsplit(url).path, "", body, **options)

    def _endpoint(self, url: str) -> str:
        return "token" if url == self._identity["token_url"] else "tokenV1"

    def identity(self) -> None:
        """Both token endpoints, well and badly, and the documents."""
        told = self._identity
        if not told:
            return
        client = told["clients"]["authorised"]
        second = {"grant_type": "client_credentials", "scope": f"{told['resource']}/.default", **client}
        first = {"grant_type": "client_credentials", "resource": told["resource"], **client}
        for url, form in ((told["token_url"], second), (told["token_url_v1"], first)):
            self._form(url, form)
            self._form(url, {})
            self._form(url, {**form, "client_secret": "wrong"})
            self._form(url, {**form, "client_secret": ""}, headers=(("Authorization", "Basic eDp5"),))
            self._form(url, {**form, "grant_type": "implicit"})
            self._form(url, {**form, "scope": "https://elsewhere.example/.default", "resource": "x"})
            if user := told.get("user"):
                self._form(url, {**form, **user, "grant_type": "password", "scope": f"openid {form.get('scope', '')}"})
                self._form(url, {**form, **user, "grant_type": "password", "password": "wrong"})
            self.call("GET", urlsplit(url).path, role=None, asked=self._endpoint(url))
        for tenant in (told["tenant"], "common", "nobody"):
            for version in ("", "/v2.0"):
                self.call("GET", f"/{tenant}{version}/.well-known/openid-configuration", role=None)
                self.call("GET", f"/{tenant}/discovery{version}/keys", role=None)
            self.call(
                "GET", f"/{tenant}/userrealm/{quote('integration@contoso.example')}", "api-version=1.0", role=None
            )

    def imports(self) -> None:
        """Uploads in every manner, and what is told of them on the way."""
        job = self._jobs.get("import-file", NOBODY)
        query = "entity=Customer%20groups"
        good = self.connector("POST", "enqueue", job, query, body=GOOD)
        message = message_id(good)
        self._follow(job, message)
        for kind in ("text/csv", "application/octet-stream", "application/zip", "application/json"):
            self.connector("POST", "enqueue", job, query, body=GOOD, kind=kind)
        bad = message_id(self.connector("POST", "enqueue", "{" + job + "}", query, body=BAD))
        self.connector("POST", "enqueue", job, body=GOOD)
        self.connector("POST", "enqueue", job, "entity=Nothing", body=GOOD)
        self.connector("POST", "enqueue", job, f"{query}&company=none", body=GOOD)
        self.connector("POST", "enqueue", job, query)
        self.connector("POST", "enqueue", job, query, body=GOOD, headers=(("Content-Encoding", "gzip"),))
        self.connector("POST", "enqueue", job, query, body=GOOD, headers=(("x-ms-dyn-externalidentifier", "a.csv"),))
        self.control("POST", "/faults", {"operation": "processing", "kind": "post-processing-failed"})
        self.control("POST", f"/activities/{job}/process")
        self._follow(job, message)
        self.advance(1.5)
        self._follow(job, message)
        self.advance(600)
        for each in (message, bad):
            self._follow(job, each)

    def _follow(self, job: str, message: str) -> None:
        """All that a client asks about a message."""
        self.action("GetMessageStatus", messageId=message)
        self.connector("GET", "jobstatus", job, f"jobId={message}")
        execution = self.action("GetExecutionIdByMessageId", _messageId=message)
        self.action("GetExecutionErrors", executionId=execution or NOBODY)
        self.action("GetExecutionSummaryStatus", executionId=execution or NOBODY)

    def exports(self) -> None:
        """Deliveries, with and without a file, fetched or not, acknowledged in time, late, twice and elsewhere."""
        job, other = self._jobs.get("export-package", NOBODY), self._jobs.get("export-file", NOBODY)
        self.dequeue(job)
        self.control("POST", f"/activities/{job}/produce", {"records": 2})
        self.control("POST", f"/activities/{other}/produce", {"records": 1})
        first = self.dequeue(job)
        self.ack(other, first)
        self.ack(job, {})
        self.connector("POST", "ack", job, body=b"not JSON", kind="application/json")
        self.advance(1860)
        again = self.dequeue(job)
        self.ack(job, first)
        self.download(again)
        self.ack(job, again)
        self.ack(job, again)
        self.download(again)
        self.ack(other, self.dequeue(other))
        self.connector("GET", "download", job, f"correlation-id={NOBODY}&blob={NOBODY}")
        for _twice in range(2):
            self.control("POST", f"/activities/{job}/produce", {"records": 1})
        late = self.dequeue(job)
        self.ack(job, {name.lower(): value for name, value in self.dequeue(job).items()})
        self.advance(1860)
        self.ack(job, late)
        empty = self._jobs.get("export-no-zero", NOBODY)
        self.control("POST", f"/activities/{empty}/produce", {"records": 0})
        nothing = self.dequeue(empty)
        self.download(nothing)
        self.ack(empty, nothing)

    def dequeue(self, job: str) -> dict[str, Any]:
        """A dequeue; the message, or an empty object."""
        answer = self.connector("GET", "dequeue", job)
        said: Any = answer.json() if answer.status == 200 and answer.body else {}
        return said if isinstance(said, dict) else {}

    def download(self, offer: Mapping[str, Any], *, role: str | None = "authorised") -> Answer | None:
        """What a DownloadLocation names, on the server's own address."""
        parts = urlsplit(offer.get("DownloadLocation") or "")
        return self.call("GET", parts.path, parts.query, role=role, asked="download") if parts.path else None

    def ack(self, job: str, offer: Mapping[str, Any], *, role: str | None = "authorised") -> Answer:
        """An acknowledgment."""
        return self.connector("POST", "ack", job, body=dict(offer), role=role)

    def refusals(self) -> None:
        """Who may not, what there is not, and the wrong way round."""
        imports, exports = self._jobs.get("import-file", NOBODY), self._jobs.get("export-package", NOBODY)
        file = f"correlation-id={NOBODY}&blob={NOBODY}"
        calls: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
            ("POST", "enqueue", imports, "entity=Customer%20groups", {"body": GOOD}),
            ("GET", "dequeue", exports, "", {}),
            ("GET", "download", exports, file, {}),
            ("POST", "ack", exports, "", {"body": {"CorrelationId": NOBODY, "PopReceipt": RECEIPT}}),
            ("GET", "jobstatus", imports, f"jobId={NOBODY}", {}),
        )
        for method, name, job, query, rest in calls:
            wrong = imports if job == exports else exports
            for spelled in (job, NOBODY, "no-guid", wrong):
                self.connector(method, name, spelled, query, **rest)
            for role in (None, "unlisted", "unmapped", "forged"):
                self.connector(method, name, job, query, role=role, **rest)
            self.connector("PUT", name, job, query)
        for name, member in ACTIONS.items():
            path = f"/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.{name}"
            for role in (None, "unmapped", "forged"):
                self.call("POST", path, "", {member: NOBODY}, role=role)
            for body in ({member: NOBODY}, {member: "x"}, {}):
                self.call("POST", path, "", body)
            self.call("GET", path)
        query = "entity=Customer%20groups"
        if self._by_socket:
            self.connector("POST", "enqueue", imports, query, body=b"x" * 30_000_001)
        else:
            for header in (("Content-Length", "30000001"), ("Transfer-Encoding", "chunked")):
                self.connector("POST", "enqueue", imports, query, body=b"x", headers=(header,))

    def back_office(self) -> None:
        """Every call of the control plane, once well and once badly."""
        job, export = self._jobs.get("import-file", NOBODY), self._jobs.get("export-file", NOBODY)
        made = self.control("POST", "/activities", {"direction": "import", "processing_recurrence_minutes": 5})
        fresh = made.json()["id"] if made.status == 201 else NOBODY
        groups = [{"entity": "Customer groups"}]
        project = self.control("POST", "/projects", {"direction": "import", "entities": groups})
        own = project.json()["id"] if project.status == 201 else NOBODY
        monitored = {"monitoring_recurrence": {"every": 1, "unit": "hours"}, "enabled": False}
        calls: list[tuple[str, str, Any, Any]] = [
            # what is done, its path, a good body, a bad one
            ("GET", "/clock", None, None),
            ("POST", "/clock", {"advance_seconds": 7200.5}, {"advance_seconds": -1}),
            ("POST", "/activities", {"direction": "export", "name": "Größe"}, {"direction": "sideways"}),
            ("POST", "/projects", {"direction": "export", "entities": groups}, {}),
            ("GET", "/projects", None, None),
            ("GET", "/parameters", None, None),
            ("PATCH", "/parameters", {"skip_reprocessing": True}, {"skip_reprocessing": "yes"}),
            ("GET", "/faults", None, None),
            ("POST", "/faults", {"operation": "token", "kind": "slow", "position": 1000}, {"operation": "token"}),
            ("DELETE", "/faults", None, None),
            ("GET", "/journal", None, None),
        ]
        for owner in (fresh, NOBODY, "no-guid"):
            calls += [
                ("PATCH", f"/activities/{owner}", monitored, {"enabled": 1}),
                ("POST", f"/activities/{owner}/process", None, None),
                ("POST", f"/activities/{owner}/cleanup", {"olderThanDays": 0, "statuses": ["Acked"]}, {}),
                ("POST", f"/activities/{owner}/batch", {"action": "get-status"}, {"action": "dance"}),
                ("POST", f"/activities/{owner}/produce", {"records": 1}, {"records": -1}),
                *(("GET", f"/activities/{owner}/{name}", None, None) for name in ("messages", "records", "load")),
            ]
        for owner in (own, NOBODY, "no-guid"):
            calls += [
                ("GET", f"/projects/{owner}", None, None),
                ("PATCH", f"/projects/{owner}", {"description": "x"}, {"entities": []}),
            ]
        calls += [
            ("POST", f"/activities/{export}/produce", {"records": 1}, {"records": "x"}),
            ("POST", f"/activities/{export}/process", None, None),
            ("GET", f"/activities/{job}/messages", None, None),
        ]
        for method, path, good, bad in calls:
            self.control(method, path, good)
            if bad is not None:
                self.control(method, path, bad)
        self.control("GET", f"/activities/{job}/records", query="entity=Nothing")
        self.control("PUT", "/world")
        self.control("GET", "/nothing")
        self.control("POST", "/reset")

    def retention(self) -> None:
        """A file that has expired."""
        job = self._jobs.get("export-package", NOBODY)
        self.sign_in()
        self.control("POST", f"/activities/{job}/produce", {"records": 1})
        offer = self.dequeue(job)
        self.advance(8 * 86400)
        self.download(offer)
        self.dequeue(job)

    def crowd(self) -> None:
        """More calls than some servers take."""
        for _turn in range(6):
            self.dequeue(self._jobs.get("export-file", NOBODY))


def message_id(answer: Answer) -> str:
    """The message ID in an enqueue's answer, in whatever form."""
    found = re.search(rb"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", answer.body)
    return found.group().decode() if found and answer.status == 200 else NOBODY
