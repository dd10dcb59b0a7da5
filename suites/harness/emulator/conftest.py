"""An environment to talk to: an emulator on a manual clock, with tokens for each role."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator, World
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.profile import Profile, dialect

ACTION = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
CONTROL = "/_control/v1"
HEADER = "CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\n"


class Environment:
    """A driver that knows paths and tokens, and leaves judging to the tests."""

    def __init__(self, profile: Profile, **options: Any) -> None:
        self.clock = ManualClock()
        self.emulator = Emulator(self.clock, profile, **options)
        self._tokens: dict[str, str] = {}

    def call(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes | Mapping[str, Any] | str = b"",
        *,
        role: str | None = "authorised",
        headers: tuple[tuple[str, str], ...] = (),
        local: bool = True,
    ) -> Response:
        """One request; `role` None sends no token."""
        if isinstance(body, str):
            body = body.encode()
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if role is not None:
            headers = (*headers, ("authorization", f"Bearer {self.token(role)}"))
        return self.emulator.handle(Request(method, path, query, headers, body, local=local))

    def token(self, role: str = "authorised") -> str:
        """A token of a role, fetched once."""
        if role not in self._tokens:
            identity = self.emulator.world()["identity"]
            form = {
                "grant_type": "client_credentials",
                **identity["clients"][role],
                "scope": f"{identity['resource']}/.default",
            }
            path = urlsplit(identity["token_url"]).path
            kind = (("content-type", "application/x-www-form-urlencoded"),)
            answer = self.emulator.handle(Request("POST", path, "", kind, urlencode(form).encode()))
            self._tokens[role] = json.loads(answer.body)["access_token"]
        return self._tokens[role]

    def forget_tokens(self) -> None:
        """Fetch tokens anew: they live an hour."""
        self._tokens.clear()

    # The control plane

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """A control call that must succeed; its answer."""
        response = self.call(method, CONTROL + path, "", b"" if body is None else body, role=None)
        assert response.status < 300, response.body
        return json.loads(response.body) if response.body else None

    def create(self, direction: str, **settings: Any) -> str:
        """A fresh activity; its ID."""
        made = self.control("POST", "/activities", {"direction": direction, **settings})
        return str(made["id"])

    def activity(self, name: str) -> str:
        """The ID of an activity of the first world."""
        return next(one["id"] for one in self.emulator.world()["activities"] if one["name"] == name)

    def produce(self, activity: str, records: int = 3) -> dict[str, Any]:
        """An export run."""
        made: dict[str, Any] = self.control("POST", f"/activities/{activity}/produce", {"records": records})
        return made

    def process(self, activity: str) -> int:
        """An import run."""
        return int(self.control("POST", f"/activities/{activity}/process")["processed"])

    def messages(self, activity: str) -> list[dict[str, Any]]:
        """The rows of Manage messages."""
        rows: list[dict[str, Any]] = self.control("GET", f"/activities/{activity}/messages")
        return rows

    def records(self, activity: str) -> list[dict[str, str]]:
        """The target table."""
        held: list[dict[str, str]] = self.control("GET", f"/activities/{activity}/records")["records"]
        return held

    def advance(self, **period: float) -> datetime:
        """Move the clock; tokens that are over are fetched anew."""
        step = timedelta(**period)
        self.forget_tokens()
        self.control("POST", "/clock", {"advance_seconds": step.total_seconds()})
        return self.clock.now()

    # The wire

    def enqueue(self, activity: str, body: bytes | str, entity: str | None = "Customer groups") -> Response:
        """An upload."""
        query = "" if entity is None else f"entity={quote(entity)}"
        return self.call("POST", f"/api/connector/enqueue/{activity}", query, body)

    def send(self, activity: str, *lines: str) -> str:
        """An upload of these lines below the header; the message ID."""
        return str(json.loads(self.enqueue(activity, HEADER + "".join(f"{line}\r\n" for line in lines)).body))

    def dequeue(self, activity: str) -> dict[str, Any] | None:
        """The next message, None when there is none."""
        response = self.call("GET", f"/api/connector/dequeue/{activity}")
        assert response.status in {200, 204}, response
        return json.loads(response.body) if response.body else None

    def download(self, location: str) -> Response:
        """What a DownloadLocation names."""
        parts = urlsplit(location)
        return self.call("GET", parts.path, parts.query)

    def ack(self, activity: str, body: Any) -> Response:
        """An acknowledgment."""
        return self.call("POST", f"/api/connector/ack/{activity}", "", body)

    def action(self, name: str, **members: Any) -> Response:
        """An OData action."""
        return self.call("POST", ACTION + name, "", members)

    def value(self, name: str, **members: Any) -> Any:
        """The value that an action answers with."""
        response = self.action(name, **members)
        assert response.status == 200, response.body
        return json.loads(response.body)["value"]

    def status(self, message: str) -> str:
        """GetMessageStatus."""
        return str(self.value("GetMessageStatus", messageId=message))

    def errors(self, message: str) -> list[dict[str, str]]:
        """GetExecutionErrors of the message's execution."""
        execution = self.value("GetExecutionIdByMessageId", _messageId=message)
        listed: list[dict[str, str]] = json.loads(self.value("GetExecutionErrors", executionId=execution))
        return listed


Made = Callable[..., Environment]


@pytest.fixture
def environment() -> Iterator[Made]:
    """Make an environment; the arguments are dialects. At the end none may have had an internal fault."""
    made: list[Environment] = []

    def make(*dialects: str, profile: Profile | None = None, world: World | None = None, **options: Any) -> Environment:
        chosen = profile if profile is not None else Profile()
        for name in dialects:
            chosen = dialect(name, chosen)
        made.append(Environment(chosen, world=world, **options))
        return made[-1]

    yield make
    assert [fault for one in made for fault in one.emulator.faults] == []


@pytest.fixture
def plain(environment: Made) -> Environment:
    """An environment without deviations."""
    return environment()
