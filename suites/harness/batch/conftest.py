"""A back office: an emulator on a manual clock, whose process can be exchanged for another on the same store."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request
from popreceipt.emulator.profile import Profile, dialect
from popreceipt.emulator.store.memory import MemoryStore
from popreceipt.emulator.store.sqlite import SqliteStore


class LastingStore(MemoryStore):
    """A store that outlives the emulators that open it."""

    def __init__(self) -> None:
        super().__init__()
        self._opened = 0

    def generation(self) -> int:
        """How often it was opened before."""
        self._opened += 1
        return self._opened - 1


class Office:
    """What an administrator does, and files handed in past the wire.

    `folder` is where everything is kept; without one a store in memory is handed from process to process.
    """

    def __init__(self, profile: Profile, folder: Path | None = None) -> None:
        self.clock = ManualClock()
        self.folder = folder
        self.store: Any = LastingStore() if folder is None else SqliteStore(folder)
        self.profile = profile
        self.faults: list[Exception] = []
        self.emulator = Emulator(self.clock, profile, store=self.store)

    def swap(self) -> None:
        """Another process takes over."""
        self.faults += self.emulator.faults
        if self.folder is not None:
            self.store.close()
            self.store = SqliteStore(self.folder)
        self.emulator = Emulator(self.clock, self.profile, store=self.store)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """A control call that must succeed; its answer."""
        sent = b"" if body is None else json.dumps(body).encode()
        answer = self.emulator.handle(Request(method, f"/_control/v1{path}", body=sent))
        assert answer.status < 300, answer.body
        return json.loads(answer.body) if answer.body else None

    def create(self, direction: str, **settings: Any) -> str:
        """A fresh recurring data job; its ID. A recurrence only where one is given."""
        settings = {"processing_recurrence": None, **settings}
        if "processing_recurrence_minutes" in settings:
            del settings["processing_recurrence"]
        return str(self.control("POST", "/activities", {"direction": direction, **settings})["id"])

    def change(self, job: str, **settings: Any) -> dict[str, Any]:
        """Other settings; the job as it is then."""
        changed: dict[str, Any] = self.control("PATCH", f"/activities/{job}", settings)
        return changed

    def send(self, job: str, *keys: str, header: str = "CUSTOMERGROUPID") -> str:
        """Hand in a file with these records; the message's ID."""
        lines = "".join(f"{key}\r\n" for key in (header, *keys))
        with self.emulator.attended() as now:
            activity = self.store.activity(job)
            assert activity is not None
            return self.emulator.batch.enqueue(
                activity, lines.encode(), now, entity="Customer groups", company=None, external_identifier=None
            ).id

    def process(self, job: str) -> int:
        """Let the import's batch run; what it took."""
        return int(self.control("POST", f"/activities/{job}/process")["processed"])

    def produce(self, job: str, records: int = 1) -> None:
        """Let the export's batch run."""
        self.control("POST", f"/activities/{job}/produce", {"records": records})

    def advance(self, **period: float) -> datetime:
        """Let time pass."""
        return self.emulator.advance(timedelta(**period))

    def fault(self, kind: str, job: str, **plan: Any) -> None:
        """Plan a fault of processing."""
        self.control("POST", "/faults", {"operation": "processing", "kind": kind, "activity": job, **plan})

    def batch(self, job: str, action: str) -> None:
        """Get batch status, or delete the history."""
        self.control("POST", f"/activities/{job}/batch", {"action": action})

    def rows(self, job: str) -> list[dict[str, Any]]:
        """The rows of Manage messages."""
        rows: list[dict[str, Any]] = self.control("GET", f"/activities/{job}/messages")
        return rows

    def column(self, job: str, name: str = "Status") -> list[Any]:
        """One column of the rows."""
        return [row[name] for row in self.rows(job)]

    def keys(self, job: str) -> list[str]:
        """The keys that have landed."""
        held = self.control("GET", f"/activities/{job}/records")["records"]
        return [record["CUSTOMERGROUPID"] for record in held]

    def load(self, job: str) -> list[dict[str, Any]]:
        """The samples."""
        samples: list[dict[str, Any]] = self.control("GET", f"/activities/{job}/load")
        return samples


Made = Callable[..., Office]


@pytest.fixture
def offices() -> Iterator[Made]:
    """Make an office from dialects and plain parameters. At the end none may have had an internal fault."""
    made: list[Office] = []

    def make(*dialects: str, folder: Path | None = None, **parameters: Any) -> Office:
        profile = Profile(**parameters)
        for name in dialects:
            profile = dialect(name, profile)
        made.append(Office(profile, folder))
        return made[-1]

    yield make
    for one in made:
        if one.folder is not None:
            one.store.close()
    assert [fault for one in made for fault in (*one.faults, *one.emulator.faults)] == []


@pytest.fixture
def office(offices: Made) -> Office:
    """An office without deviations."""
    return offices()
