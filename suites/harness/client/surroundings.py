"""A consumer and a producer with all that is around them, in one process and in virtual time.

The environment is the emulator, its clock manual; whoever waits moves it. So a lease passes in no time, every fault
strikes where it was planned, and nothing depends on how fast the computer is.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from popreceipt.client.connection import Connection, Credentials
from popreceipt.client.consumer import Consumer
from popreceipt.client.packages import delimited
from popreceipt.client.patience import Patience, Watch
from popreceipt.client.producer import Producer
from popreceipt.clock import EPOCH, ManualClock
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.faults import Fault
from popreceipt.emulator.http import Request
from popreceipt.emulator.profile import Profile, dialect
from popreceipt.targets import EmulatorTransport

LEASE = 60.0

GOOD = {"CUSTOMERGROUPID": "10", "DESCRIPTION": "Retail", "PAYMENTTERMID": "Net30"}
BAD = {"CUSTOMERGROUPID": "", "DESCRIPTION": "Nameless", "PAYMENTTERMID": ""}


class StillWatch(Watch):
    """The time of an emulator that stands still: waiting moves it, and every so often the batch looks."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__()
        self.emulator = emulator
        self.ends = float("inf")
        self.waits: list[float] = []
        self.each: Callable[[], object] = lambda: None

    def now(self) -> float:
        return (self.emulator.clock.now() - EPOCH).total_seconds()

    def date(self) -> float:
        return self.emulator.clock.now().timestamp()

    @property
    def over(self) -> bool:
        return self._stopped.is_set() or self.now() >= self.ends

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.emulator.advance(timedelta(seconds=max(0.0, min(seconds, self.ends - self.now()))))
        self.each()
        return not self.over


@dataclass
class Surroundings:
    """One environment with an export and an import, and the folders of one middleware."""

    folder: Path
    emulator: Emulator
    transport: httpx.BaseTransport
    watch: StillWatch
    exports: Activity
    imports: Activity
    in_order: bool = False
    consumer_class: type[Consumer] = Consumer
    producer_class: type[Producer] = Producer
    connection_class: type[Connection] = Connection
    produced: list[str] = field(default_factory=list)
    closing: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def made(
        cls,
        folder: Path,
        *dialects: str,
        base_url: str = "https://environment.example",
        export_type: str = "package",
        in_order: bool = False,
        transport: Callable[[Emulator], httpx.BaseTransport] = EmulatorTransport,
        **parameters: Any,
    ) -> "Surroundings":
        """A fresh world, with the lease a minute long."""
        profile = replace(Profile(), lease=timedelta(seconds=LEASE), **parameters)
        for name in dialects:
            profile = dialect(name, profile)
        emulator = Emulator(ManualClock(), profile, seed=5, base_url=base_url)
        made = cls(
            folder,
            emulator,
            transport(emulator),
            StillWatch(emulator),
            emulator.create_activity(direction="export", type=export_type, prevent_upload_when_zero_records=True),
            emulator.create_activity(
                direction="import", type="file", in_order=in_order, processing_recurrence_minutes=None
            ),
            in_order,
        )
        made.outbox.mkdir(parents=True)
        made.watch.each = made.process
        return made

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def outbox(self) -> Path:
        return self.folder / "outbox"

    @property
    def report(self) -> Path:
        return self.folder / "report.jsonl"

    # What happens in the environment

    def produce(self, records: int = 3) -> None:
        told = self._control("POST", f"/activities/{self.exports.id}/produce", {"records": records})
        if told["sha256"] is not None:
            self.produced.append(told["sha256"])

    def process(self) -> None:
        self._control("POST", f"/activities/{self.imports.id}/process", {})

    def plan(self, operation: str, kind: str, phase: str = "before", **facts: Any) -> None:
        self.emulator.fault_plan.add(
            Fault(id=self.emulator.fault_plan.new_id(), operation=operation, kind=kind, phase=phase, **facts)
        )

    def states(self, activity: Activity) -> list[str]:
        rows = self._control("GET", f"/activities/{activity.id}/messages")
        return [row["Status"] for row in rows]

    def _control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        sent = b"" if body is None else json.dumps(body).encode()
        answer = self.emulator.handle(Request(method, f"/_control/v1{path}", body=sent))
        assert answer.status < 300, answer.body
        return json.loads(answer.body)

    # The middleware

    def connection(self, patience: Patience | None = None) -> Connection:
        whose = self.emulator.identity.describe()
        client = whose["clients"]["authorised"]
        made = self.connection_class(
            self.emulator.base_url,
            Credentials(
                token_url=whose["token_url"],
                client_id=client["client_id"],
                client_secret=client["client_secret"],
                resource=whose["resource"],
            ),
            patience=patience if patience is not None else Patience.fitted_to(LEASE),
            watch=self.watch,
            transport=self.transport,
        )
        self.closing.callback(made.close)
        return made

    def consumer(self, **options: Any) -> Consumer:
        made = self.consumer_class(self.connection(), self.exports.id, self.inbox, **options)
        self.closing.callback(made.close)
        return made

    def producer(self, patience: Patience | None = None) -> Producer:
        made = self.producer_class(
            self.connection(patience),
            self.imports.id,
            self.outbox,
            entity="Customer groups",
            in_order=self.in_order,
            report=self.report,
        )
        self.closing.callback(made.close)
        return made

    def live(self, seconds: float, *, one: Consumer | None = None, other: Producer | None = None) -> None:
        """Let one or both sides run for so long."""
        self.watch.ends = self.watch.now() + seconds
        if other is not None:
            other.recall()
        while not self.watch.over:
            if one is not None and not one.take():
                one.idle()
            if other is not None:
                other.hand_in_all()
                other.look_after_all()
                self.watch.wait(other.patience.status)
        self.watch.ends = float("inf")

    # What it left

    def stored(self) -> list[str]:
        """Digests of what counts in the inbox."""
        return sorted(
            hashlib.sha256(each.read_bytes()).hexdigest()
            for each in self.inbox.iterdir()
            if not each.name.startswith(".")
        )

    def told(self) -> dict[str, tuple[str, list[str]]]:
        """Outcome and errors of each file in the report; no file stands there twice."""
        lines = (
            [json.loads(line) for line in self.report.read_text("utf-8").splitlines()] if self.report.exists() else []
        )
        found = {line["file"]: (line["outcome"], line["errors"]) for line in lines}
        assert len(found) == len(lines)
        return found

    def put(self, name: str, *records: Mapping[str, str], content: bytes | None = None) -> None:
        """A file in the outbox."""
        (self.outbox / name).write_bytes(delimited(records) if content is None else content)

    def asked(self, operation: str) -> list[Any]:
        """The exchanges of one kind, as the service wrote them down."""
        self.emulator.catch_up()
        return [each for each in self.emulator.journal.entries if getattr(each, "operation", None) == operation]
