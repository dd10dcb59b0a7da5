"""What tests of the runner share: subjects that are small Python programs, and an instrument that plays nothing."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from popreceipt.clock import SystemClock
from popreceipt.journal import Header, Journal, Observation
from popreceipt.middleware.scenario import Scenario

Script = Callable[[str], tuple[str, ...]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a subject of a Python program: its command line."""
    made: list[Path] = []

    def make(text: str) -> tuple[str, ...]:
        file = tmp_path / f"subject-{len(made)}.py"
        file.write_text(dedent(text), encoding="utf-8")
        made.append(file)
        # Without the packages that are installed it starts in a tenth of the time.
        return (sys.executable, "-I", "-S", str(file))

    return make


class Meeting:
    """Where a subject tells that it has come to a certain point: it connects and sends a line of JSON."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self.port = self._listener.getsockname()[1]

    @property
    def code(self) -> str:
        """A line of Python for the subject, which then can `tell(anything)`."""
        return (
            "import json, socket; tell = lambda it: "
            f"socket.create_connection(('127.0.0.1', {self.port})).sendall(json.dumps(it).encode() + b'\\n')\n"
        )

    def told(self) -> Any:
        """What it tells next."""
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            return json.loads(lines.readline())

    def close(self) -> None:
        """Nobody comes any more."""
        self._listener.close()


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    """A place to meet."""
    place = Meeting()
    yield place
    place.close()


@dataclass
class QuietInstrument:
    """An instrument that speaks to nobody: a subject tells in its inbox what it wants to have been.

    A file `done` settles the scenario; each file `call-OPERATION` becomes an exchange of that operation.
    """

    scenario: Scenario
    folder: Path
    environment: dict[str, str]
    journal: Journal
    arguments: dict[str, Any]
    events: list[str] = field(default_factory=list)
    fails_at: str | None = None
    settled: Iterator[bool] | None = None

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    def begin(self) -> None:
        self._come_to("begin")

    def count_from_now(self) -> None:
        self.events.append("counts from now")

    def tick(self) -> None:
        self._come_to("tick")
        for file in sorted(self.inbox.glob("call-*")):
            self.call(file.name.removeprefix("call-"))
            file.unlink()

    def call(self, operation: str) -> None:
        now = SystemClock().now()
        url = f"http://127.0.0.1/{operation}"
        self.journal.record(sent=now, answered=now, method="GET", url=url, operation=operation, status=200)

    def is_settled(self) -> bool:
        return (self.inbox / "done").exists() if self.settled is None else next(self.settled)

    def note_subject(self, event: str, run: int, **facts: Any) -> None:
        self.events.append(f"{event} {run} {' '.join(map(str, facts.values()))}".strip())
        self.journal.add(Observation("subject", SystemClock().now(), {"event": event, "run": run, **facts}))

    def finish(self) -> None:
        self._come_to("finish")
        self.events.append("finished")
        self.journal.seal()

    def _come_to(self, point: str) -> None:
        if self.fails_at == point:
            raise RuntimeError(f"the {point} went wrong")


class QuietInstruments:
    """Opens quiet instruments, and keeps them to be looked at.

    `fails_at` makes them fail at a point; `settled` says, look by look, whether the scenario is.
    """

    def __init__(self) -> None:
        self.opened: list[QuietInstrument] = []
        self.fails_at: str | None = None
        self.settled: Iterator[bool] | None = None

    @property
    def last(self) -> QuietInstrument:
        return self.opened[-1]

    def open(self, scenario: Scenario, **arguments: Any) -> AbstractContextManager[QuietInstrument]:
        return self._opened(scenario, **arguments)

    @contextmanager
    def _opened(self, scenario: Scenario, **arguments: Any) -> Iterator[QuietInstrument]:
        if self.fails_at == "enter":
            raise RuntimeError("the enter went wrong")
        folder = arguments["folder"]
        (folder / "inbox").mkdir()
        lease = arguments["lease_seconds"] * scenario.lease_factor
        environment = {
            "POPRECEIPT_BASE_URL": "http://127.0.0.1:1",
            "POPRECEIPT_INBOX": str(folder / "inbox"),
            "POPRECEIPT_SECONDS": f"{scenario.leases * lease:g}",
            "POPRECEIPT_CLIENT_SECRET": "a-secret-that-nobody-tells",
        }
        journal = Journal(Header(recorded_by="service", lease_seconds=lease))
        made = QuietInstrument(
            scenario, folder, environment, journal, arguments, fails_at=self.fails_at, settled=self.settled
        )
        self.opened.append(made)
        yield made


@pytest.fixture
def instruments() -> QuietInstruments:
    """Instruments that speak to nobody."""
    return QuietInstruments()
