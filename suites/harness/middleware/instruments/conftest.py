"""What tests of the instrument share: one that is open, and a client that does one thing at a time, in this process."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from popreceipt.journal import Exchange, Observation
from popreceipt.middleware.instrument import Instrument
from popreceipt.middleware.scenario import Exported, Imported, Scenario
from popreceipt.targets import EmulatorTransport
from popreceipt.vocabulary import ODATA_PREFIX

PLAIN = Scenario(name="plain", title="Nothing goes wrong.", source="A test", export=Exported())
"""Three messages wait."""

HANDING_IN = Scenario(name="files", title="Nothing goes wrong.", source="A test", sides=("import",), imports=Imported())
"""Three files lie in the outbox."""

LEASE_SECONDS = 60.0
"""Longer than any test: where nobody waits for a lease, none ends."""

QUICK_LEASE_SECONDS = 0.05
"""For tests that want leases to end, and files to be processed."""

MOST_TICKS = 200_000


class Hands:
    """A client that does as it is told. What is struck comes back as None, as nothing came."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.environment = instrument.environment
        transport: Any = EmulatorTransport(instrument)  # type: ignore[arg-type]  # it asks for `handle` alone
        self.http = httpx.Client(base_url=instrument.base_url, transport=transport)
        self._token: str | None = None
        self.delivered: list[dict[str, Any]] = []
        self.handed_in: list[str] = []

    def ask(self, operation: str) -> httpx.Response | None:
        """One request of an operation, with whatever has to come before it."""
        match operation:
            case "token":
                return self.token()
            case "dequeue" | "*":
                return self.dequeue()
            case "download":
                return self.download(self._message())
            case "ack":
                return self.ack(self._message())
            case "enqueue":
                return self.enqueue(min(self.instrument.outbox.iterdir()).name)
            case "status":
                return self.status(self._handed_in())
        raise AssertionError(f"nobody knows how to ask for {operation}")

    def token(self) -> httpx.Response | None:
        """Ask for a token, and keep it."""
        told = self.environment
        form = {
            "grant_type": "client_credentials",
            "client_id": told["POPRECEIPT_CLIENT_ID"],
            "client_secret": told["POPRECEIPT_CLIENT_SECRET"],
            "scope": f"{told['POPRECEIPT_RESOURCE']}/.default",
        }
        answer = self._send("POST", told["POPRECEIPT_TOKEN_URL"], data=form)
        if answer is not None and answer.is_success:
            self._token = answer.json()["access_token"]
        return answer

    def dequeue(self) -> httpx.Response | None:
        """Take a message."""
        answer = self._call("GET", f"/api/connector/dequeue/{self.environment['POPRECEIPT_EXPORT_ACTIVITY']}")
        if answer is not None and answer.is_success and answer.content:
            self.delivered.append(answer.json())
        return answer

    def download(self, message: dict[str, Any]) -> httpx.Response | None:
        """Fetch a message's file from the connector's own address, whatever address its location names."""
        parts = urlsplit(message["DownloadLocation"])
        return self._call("GET", f"{parts.path}?{parts.query}")

    def ack(self, message: dict[str, Any]) -> httpx.Response | None:
        """Say that a message has been received."""
        path = f"/api/connector/ack/{self.environment['POPRECEIPT_EXPORT_ACTIVITY']}"
        return self._call("POST", path, json=message)

    def enqueue(self, name: str) -> httpx.Response | None:
        """Hand in a file of the outbox."""
        path = f"/api/connector/enqueue/{self.environment['POPRECEIPT_IMPORT_ACTIVITY']}"
        content = (self.instrument.outbox / name).read_bytes()
        entity = {"entity": self.environment["POPRECEIPT_ENTITY"]}
        answer = self._call("POST", path, params=entity, content=content)
        if answer is not None and answer.is_success:
            self.handed_in.append(answer.json())
        return answer

    def status(self, message: str) -> httpx.Response | None:
        """Ask what has become of a file."""
        return self._call("POST", f"{ODATA_PREFIX}GetMessageStatus", json={"messageId": message})

    def put_by(self, name: str, message: dict[str, Any]) -> None:
        """Fetch a message's file and put it into the inbox."""
        answer = self.download(message)
        assert answer is not None
        assert answer.is_success
        (self.instrument.inbox / name).write_bytes(answer.content)

    def _message(self) -> dict[str, Any]:
        answer = self.dequeue()
        assert answer is not None
        return self.delivered[-1]

    def _handed_in(self) -> str:
        if not self.handed_in:
            self.enqueue(min(self.instrument.outbox.iterdir()).name)
        return self.handed_in[0]

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        for _ in range(100):
            if self._token is not None:
                break
            self.token()
        return self._send(method, path, headers={"authorization": f"Bearer {self._token}"}, **options)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        try:
            return self.http.request(method, path, **options)
        except httpx.TransportError:
            return None

    # What the journal has by now

    def seen(self, kind: str) -> list[dict[str, Any]]:
        """The observations of a kind."""
        entries = self.instrument.journal.entries
        return [dict(each.facts) for each in entries if isinstance(each, Observation) and each.observation == kind]

    def exchanges(self, operation: str) -> list[Exchange]:
        """The exchanges of an operation."""
        return [each for each in self.instrument.journal.exchanges() if each.operation == operation]

    def until(self, come: Callable[[], bool]) -> None:
        """Let time pass, in ticks, until something has come about."""
        for _ in range(MOST_TICKS):
            self.instrument.tick()
            if come():
                return
        raise AssertionError("it has not come about")

    def state(self, message: str) -> str:
        """What GetMessageStatus says."""
        answer = self.status(message)
        assert answer is not None
        return str(json.loads(answer.content)["value"])


OpenInstrument = Callable[..., Hands]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenInstrument]:
    """Opens instruments that have begun; changes to the scenario come by name."""
    with ExitStack() as stack:
        count = 0

        def open_one(
            scenario: Scenario = PLAIN, *, lease_seconds: float = LEASE_SECONDS, begin: bool = True, **changes: Any
        ) -> Hands:
            nonlocal count
            count += 1
            options = {name: changes.pop(name) for name in ("sides", "tls", "proxy", "seed") if name in changes}
            instrument = stack.enter_context(
                Instrument(
                    replace(scenario, **changes),
                    lease_seconds=lease_seconds,
                    folder=tmp_path / str(count),
                    **options,
                )
            )
            if begin:
                instrument.begin()
            return Hands(instrument)

        yield open_one
