"""The instrument: a connector for one scenario, and what it sees of the subject.

The emulator plays the connector, in this process and on the system's clock, with a lease that was shortened on purpose.
Everything that crosses the wire, and everything in the subject's folders, goes into one journal, in the order in which
it happened. The instrument starts no process and judges nothing.
"""

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, Unpack

import msgspec

from popreceipt.clock import Clock, SystemClock
from popreceipt.emulator import profile as profiles
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.batch import Produced
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.profile import Profile
from popreceipt.exceptions import PopreceiptError, UsageError
from popreceipt.journal import Entry, Exchange, Header, Journal, Observation, Recorded, redacted, without_tokens
from popreceipt.middleware.inbox import Folder
from popreceipt.middleware.network import Network
from popreceipt.middleware.outbox import Outgoing, altered, files
from popreceipt.middleware.reading import STATUS
from popreceipt.middleware.scenario import EXPORT, IMPORT, SIDES, Exported, Imported, Scenario, Side, Step
from popreceipt.middleware.settling import Settling
from popreceipt.middleware.tellings import Tellings
from popreceipt.vocabulary import ACK, ACKED, CORRELATION_ID, DEQUEUE, ENQUEUE, JOBSTATUS, MESSAGE_STATUS, operation_of

RETENTION: Final = 336
"""Leases in the seven days for which a file is kept ("Getting the status of a message")."""

PREPROCESSING: Final = 0.03
PROCESSING: Final = 0.06
"""Leases that a file spends in either stage: long enough to be seen there, short enough to wait for."""

_ASKS_STATUS: Final = (MESSAGE_STATUS, JOBSTATUS)
"""The operations by which a client asks for the status of a message."""

_PACKAGE_PARTS: Final = {"Manifest.xml", "PackageHeader.xml"}


class HarnessFault(PopreceiptError):
    """Something went wrong with the instrument itself: nothing may be held against the subject."""


class Instrument:
    """A connector in one scenario. As a context manager it is there for as long as the block lasts.

    The methods are called from one thread, whoever that is; requests come in from others.

    Args:
        scenario: which.
        lease_seconds: the lease of the run in real seconds; the scenario may make it longer.
        folder: an empty folder, in which inbox, outbox, report and the authority's certificate will lie.
        tls: the connector speaks TLS, though the scenario does not ask for it.
        proxy: it is reached by a CONNECT proxy alone.
        sides: which sides the subject has.
        port: of the connector, or of the proxy; 0 picks a free one.
        seed: what is made up follows from it.

    Raises:
        UsageError: the port cannot be taken, or the scenario asks for something that there is not.
        NotAbleTo: this computer lacks something that the scenario needs.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        lease_seconds: float,
        folder: Path,
        tls: bool = False,
        proxy: bool = False,
        sides: tuple[Side, ...] = SIDES,
        port: int = 0,
        seed: int = 0,
    ) -> None:
        self.scenario = scenario
        self.lease_seconds = lease_seconds * scenario.lease_factor
        """The lease in force, in real seconds."""
        self.seconds = scenario.leases * self.lease_seconds
        """How long the scenario lasts at most, in real seconds."""
        self.sides = tuple(side for side in scenario.sides if side in sides)
        self.inbox, self.outbox, self.report = folder / "inbox", folder / "outbox", folder / "report.ndjson"
        for each in (self.inbox, self.outbox):
            each.mkdir(parents=True)
        self._lease = timedelta(seconds=self.lease_seconds)
        self._emulator = Emulator(SystemClock(), self._profile(), seed=seed)
        header = msgspec.structs.replace(
            self._emulator.journal.header, dialect=scenario.dialect, lease_seconds=self.lease_seconds
        )
        identity: dict[str, Any] = self._emulator.identity.describe()
        self._emulator.journal = _Discreet(header, identity["clients"]["authorised"]["client_secret"])
        self._payloads: set[str] = set()
        self._inbox, self._outbox = Folder(self.inbox, self._payloads), Folder(self.outbox)
        self._tellings = Tellings(self.report)
        self._activities = self._make_activities()
        self._expiring: set[str] = set()
        self._outgoing = self._fill_outbox(seed)
        self._network = Network(
            _Watched(self, self._emulator),
            scenario.network,
            tls=tls,
            proxy=proxy,
            port=port,
            ca_file=folder / "authority.pem",
            tell=self._note_connection,
        )
        self._emulator.blob_root = self._network.blob_root
        self._emulator.location_is_blob = self._network.location_is_blob
        self._undoing = ExitStack()
        self._settling = Settling(
            self._lease,
            exports=EXPORT in self.sides,
            files={each.name: each.sha256 for each in self._outgoing} if IMPORT in self.sides else {},
        )
        self._taken = 0
        self._counts: Counter[str] = Counter()
        self._waiting = [step for step in scenario.steps if step.after is not None]
        self._due: list[tuple[datetime, Step]] = []
        self._next_batch: datetime | None = None
        self._began = self._emulator.clock.now()
        self._is_down = False
        self._is_over = False
        self._own_faults: list[Exception] = []

    @property
    def journal(self) -> Journal:
        """Everything that was seen so far; complete after `finish`."""
        return self._emulator.journal

    @property
    def base_url(self) -> str:
        """The root of the connector's address."""
        return self._emulator.base_url

    @property
    def environment(self) -> dict[str, str]:
        """What the subject is told. Secrets are among it: it is not for writing down."""
        identity: dict[str, Any] = self._emulator.identity.describe()
        client = identity["clients"]["authorised"]
        imported, exported = self.scenario.imports or Imported(), self.scenario.export or Exported()
        return {
            "POPRECEIPT_BASE_URL": self.base_url,
            "POPRECEIPT_TOKEN_URL": identity["token_url"],
            "POPRECEIPT_TOKEN_URL_V1": identity["token_url_v1"],
            "POPRECEIPT_RESOURCE": identity["resource"],
            "POPRECEIPT_TENANT": identity["tenant"],
            "POPRECEIPT_CLIENT_ID": client["client_id"],
            "POPRECEIPT_CLIENT_SECRET": client["client_secret"],
            "POPRECEIPT_EXPORT_ACTIVITY": self._activities[EXPORT].id,
            "POPRECEIPT_IMPORT_ACTIVITY": self._activities[IMPORT].id,
            "POPRECEIPT_EXPORT_TYPE": exported.type,
            "POPRECEIPT_IMPORT_TYPE": imported.type,
            "POPRECEIPT_IN_ORDER": "1" if imported.in_order else "0",
            "POPRECEIPT_ENTITY": imported.entity,
            "POPRECEIPT_INBOX": str(self.inbox),
            "POPRECEIPT_OUTBOX": str(self.outbox),
            "POPRECEIPT_REPORT": str(self.report),
            "POPRECEIPT_SECONDS": f"{self.seconds:g}",
            "POPRECEIPT_LEASE_SECONDS": f"{self.lease_seconds:g}",
            **self._network.environment,
        }

    def __enter__(self) -> Self:
        self._undoing.callback(self._network.stop)
        try:
            if EXPORT in self.sides and self.scenario.export is not None:
                self._fill_queue(self.scenario.export)
            self._network.start()
        except BaseException:
            self._undoing.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undoing.close()

    # What the runner calls

    def begin(self) -> None:
        """The scenario begins now: faults and steps count from here."""
        emulator, scenario = self._emulator, self.scenario
        with emulator.lock:
            emulator.note(
                "scenario",
                name=scenario.name,
                dialect=scenario.dialect,
                seconds=self.seconds,
                sides=list(self.sides),
                roots=list(self._network.roots),
                other_roots=list(self._network.other_roots),
                tls=self._network.tls,
                foreign_certificate=self._network.foreign,
                exports=[self._activities[EXPORT].id],
                imports=[self._activities[IMPORT].id],
                in_order=bool(scenario.imports and scenario.imports.in_order),
                entity=scenario.imports.entity if scenario.imports is not None else None,
                import_type=scenario.imports.type if scenario.imports is not None else None,
                inbox=EXPORT in self.sides,
                outbox=IMPORT in self.sides,
                fault=[dict(each) for each in scenario.faults] or None,
            )
            self._look("start")
            for number, fault in enumerate(scenario.faults, 1):
                self._plan(f"fault-{number}", fault)
            emulator.control = False  # What comes over the wire from here on is the subject.
            now = self._began = emulator.clock.now()
            for step in scenario.steps:
                if step.after is None and step.at:
                    self._due.append((now + self._lease * step.at, step))
                elif step.after is None:
                    self._do(step)  # at once: the quickest subject comes after it
            if IMPORT in self.sides and scenario.imports is not None and scenario.imports.process_every:
                self._next_batch = now + self._lease * scenario.imports.process_every

    def count_from_now(self) -> None:
        """Steps and batch runs count from now, not from `begin`: who runs already comes in his own time."""
        passed = self._emulator.clock.now() - self._began
        self._due = [(at + passed, step) for at, step in self._due]
        if self._next_batch is not None:
            self._next_batch += passed

    def tick(self) -> None:
        """Do what has fallen due, and look at what the subject tells; to be called about every 50 milliseconds.

        Raises:
            HarnessFault: something went wrong with the instrument since the last time.
        """
        self._raise_own_faults()
        now = self._emulator.settle()
        for at, step in [each for each in self._due if each[0] <= now]:
            self._due.remove((at, step))
            self._do(step)
        if self._next_batch is not None and self._next_batch <= now:
            self._process()
            every = self._lease * (self.scenario.imports or Imported()).process_every
            self._next_batch = max(self._next_batch + every, now)
        self._listen()
        self._take_in()

    def is_settled(self) -> bool:
        """Nothing is left to do, and nothing that a rule could still want to see; or it cannot come to more."""
        if self._due or self._waiting:
            return False
        activity = self._activities[EXPORT].id

        def queue_is_empty() -> bool:
            with self._emulator.attended() as now:
                load = self._emulator.store.load(activity, now)
            return not load.waiting and not load.in_process

        return self._settling.is_settled(
            self._emulator.clock.now(), queue_is_empty=queue_is_empty, is_down=self._is_down
        )

    def note_subject(self, event: str, run: int, **facts: Any) -> None:
        """Write down a start or an end of the subject: `started`, or `ended` with `status` and `ended_by`."""
        with self._emulator.lock:
            self._emulator.note("subject", event=event, run=run, **facts)
        self._is_down = event == "ended" and facts.get("status") == 0

    def finish(self) -> None:
        """The scenario is over and the subject is gone: close the doors, look for the last time, seal the journal.

        Raises:
            HarnessFault: something went wrong with the instrument.
        """
        if self._is_over:
            return
        self._is_over = True
        try:
            self._undoing.close()
        finally:
            with self._emulator.lock:
                self._listen(last=True)
                self._look("end")
                self.journal.seal()
        self._raise_own_faults()

    # Before the subject starts

    def _profile(self) -> Profile:
        shortened = Profile(
            lease=self._lease,
            retention=self._lease * RETENTION,
            preprocessing=self._lease * PREPROCESSING,
            processing=self._lease * PROCESSING,
        )
        return profiles.changed(
            shortened, self.scenario.points, self.scenario.parameters, place=f"the scenario {self.scenario.name}"
        )

    def _make_activities(self) -> dict[Side, Activity]:
        """A recurring data job for each side, also where the scenario has but one: a subject may ask for both."""
        exported, imported = self.scenario.export or Exported(), self.scenario.imports or Imported()
        if self._emulator.entities.named(imported.entity) is None:
            raise UsageError(f"The scenario {self.scenario.name} is about an unknown entity, {imported.entity!r}.")
        with self._emulator.attended():
            return {
                EXPORT: self._emulator.create_activity(
                    direction="export", type=exported.type, processing_recurrence_minutes=None
                ),
                IMPORT: self._emulator.create_activity(
                    direction="import",
                    type=imported.type,
                    in_order=imported.in_order,
                    entity=imported.entity,
                    processing_recurrence_minutes=None,
                ),
            }

    def _fill_outbox(self, seed: int) -> tuple[Outgoing, ...]:
        if self.scenario.imports is None or IMPORT not in self.sides:
            return ()
        limit = self._emulator.profile.body_limit
        made = tuple(files(self.scenario.imports, seed=f"{seed}/{self.scenario.name}", body_limit=limit))
        for each in made:
            (self.outbox / each.name).write_bytes(each.content)
        return made

    def _fill_queue(self, exported: Exported) -> None:
        without = range(exported.no_file_at, exported.no_file_at + exported.no_file)
        left = exported.expired
        for place in range(1, exported.messages + exported.no_file + 1):
            if place in without:
                self._produce_nothing()
                continue
            produced = self._produce(exported.records)
            if left:
                left -= 1
                if exported.expires == "before":
                    self._lose(produced.message.id)
                else:
                    self._expiring.add(produced.message.id)

    def _plan(self, identifier: str, fault: Mapping[str, Any]) -> None:
        """Plan a fault as anybody would, so that what cannot strike is refused."""
        asked = dict(fault)
        if "leases" in asked:
            asked["seconds"] = asked.pop("leases") * self.lease_seconds
        if "side" in asked:
            asked["activity"] = self._activities[asked.pop("side")].id
        if asked.get("times") == "all":
            asked["times"] = None
        operations = _ASKS_STATUS if asked["operation"] == STATUS else (asked["operation"],)
        for operation in operations:
            planned = {**asked, "operation": operation, "id": f"{identifier}/{operation}"}
            body = json.dumps(planned).encode("utf-8")
            answer = self._emulator.handle(Request("POST", "/_control/v1/faults", body=body))
            if answer.status != 201:
                said = json.loads(answer.body).get("error", answer.status)
                raise UsageError(f"The scenario {self.scenario.name} plans what cannot be: {said}")

    # What is done while it runs

    def _do(self, step: Step) -> None:
        activity = self._activities[step.side]
        match step.action:
            case "produce":
                for _ in range(step.messages):
                    self._produce(step.records)
            case "expire":
                with self._emulator.attended():
                    messages = self._emulator.store.messages_of(activity.id)
                for message in messages:
                    if message.status != ACKED:
                        self._lose(message.id)
            case "clean-up":
                with self._emulator.attended() as now:
                    deleted = self._emulator.cleanup.run(activity, now, older_than=timedelta(0))
                    self._emulator.observe("cleanup", activity, olderThanDays=0, statuses=[], deleted=deleted)
            case "disable" | "enable":
                with self._emulator.attended():
                    enabled = step.action == "enable"
                    self._activities[step.side] = self._emulator.change_activity(activity, enabled=enabled)
            case "revoke":
                with self._emulator.lock:
                    self._emulator.identity.revoke()
                    self._emulator.note("revoked")
            case "restart":
                with self._emulator.lock:
                    self._emulator.note("cut")
                self._network.cut()
            case "calm":
                with self._emulator.lock:
                    self._emulator.fault_plan.clear()
                    self._emulator.note("faults-cleared")

    def _produce(self, records: int) -> Produced:
        emulator, activity = self._emulator, self._activities[EXPORT]
        with emulator.attended() as now:
            produced = emulator.batch.produce(activity, records, now)
            content = emulator.blobs.content(produced.message.blob) or b""
            contents = list(_contents(content))
            emulator.note("payload", sha256=produced.sha256, contents=contents)
        self._payloads.update([produced.sha256 or "", *contents])
        return produced

    def _produce_nothing(self) -> None:
        """A message without a file, as an export without records leaves one that is told to upload none then."""
        emulator, activity = self._emulator, self._activities[EXPORT]
        with emulator.attended() as now:
            preventing = emulator.change_activity(activity, prevent_upload_when_zero_records=True)
            emulator.batch.produce(preventing, 0, now)
            self._activities[EXPORT] = emulator.change_activity(preventing, prevent_upload_when_zero_records=False)

    def _process(self) -> None:
        emulator, activity = self._emulator, self._activities[IMPORT]
        with emulator.attended() as now:
            taken = emulator.batch.process(activity, now)
            emulator.observe("processed", activity, processed=taken)

    def _lose(self, message: str) -> None:
        """Let the file of a message be gone, as after seven days."""
        with self._emulator.attended():
            kept = self._emulator.store.message(message)
            if kept is not None and self._emulator.blobs.holds(kept.blob):
                self._emulator.blobs.lose(kept.blob)
                self._emulator.note("expired", activity=kept.activity, messageId=message)

    # What is seen

    def handle(self, request: Request) -> Response:
        """Answer a request of the subject's; called from the network's threads."""
        with self._emulator.lock:
            operation, _ = operation_of(request.path)
            if operation == ACK:
                self._look_into_inbox("ack")
            elif operation == ENQUEUE:
                self._compare(request.body)
            response = self._emulator.handle(request)
            broken = response.interruption
            if broken is not None and broken.resume is not None:
                resumed = msgspec.structs.replace(broken, resume=partial(self._resume, operation, response))
                return msgspec.structs.replace(response, interruption=resumed)
            self._answered(operation, response)
            return response

    def _compare(self, body: bytes) -> None:
        """Tell of what is handed in that it is a file of the outbox with something missing: the journal has digests."""
        if any(each.content == body for each in self._outgoing):
            return
        for each in self._outgoing:
            if (how := altered(each.content, body)) is not None:
                self._emulator.note("altered", file=each.name, how=how)
                return

    def _resume(self, operation: str, laid_aside: Response, is_left: bool) -> Response:
        """Answer a request that was laid aside: only now is the moment at which the inbox counts."""
        broken = laid_aside.interruption
        if broken is None or broken.resume is None:
            raise LookupError("This request was not laid aside.")
        with self._emulator.lock:
            if operation == ACK:
                self._look_into_inbox("ack")
            response = broken.resume(is_left)
            self._answered(operation, response)
            return response

    def _answered(self, operation: str, response: Response) -> None:
        """Let happen what comes after an answer. Whatever goes wrong here is told at the next tick."""
        try:
            for counted in (operation, *((STATUS,) if operation in _ASKS_STATUS else ()), "*"):
                self._counts[counted] += 1
            if operation == DEQUEUE and self._expiring and response.status == 200 and response.interruption is None:
                self._lose_what_was_handed_out(response)
            for step in [each for each in self._waiting if self._counts[each.after or ""] >= each.count]:
                self._waiting.remove(step)
                if step.at:
                    self._due.append((self._emulator.clock.now() + self._lease * step.at, step))
                else:
                    self._do(step)
        except Exception as fault:  # noqa: BLE001 - the subject gets its answer, whatever is wrong with us
            self._own_faults.append(fault)

    def _lose_what_was_handed_out(self, response: Response) -> None:
        said = json.loads(response.body) if response.body.strip() else {}
        with self._emulator.attended():
            delivery = self._emulator.store.delivery(str(said.get(CORRELATION_ID)))
        if delivery is not None and delivery.message in self._expiring:
            self._expiring.remove(delivery.message)
            self._lose(delivery.message)

    def _look(self, reason: str) -> None:
        if EXPORT in self.sides:
            self._look_into_inbox(reason)
        if IMPORT in self.sides:
            self._emulator.note("outbox", reason=reason, **self._outbox.look())

    def _look_into_inbox(self, reason: str) -> None:
        self._emulator.note("inbox", reason=reason, **self._inbox.look(in_haste=reason == "ack"))

    def _listen(self, *, last: bool = False) -> None:
        """Write down what the subject has told since the last time."""
        for line in self._tellings.more(last=last):
            with self._emulator.lock:
                if "unreadable" in line:
                    self._emulator.note("report-unreadable", text=line["unreadable"])
                    continue
                told = {name: line.get(name) for name in ("file", "messageId", "outcome", "errors")}
                self._emulator.note("report", **told)
            self._settling.told((line,))

    def _take_in(self) -> None:
        """Let the settling know what has happened since the last time."""
        with self._emulator.lock:
            new = self.journal.entries[self._taken :]
            self._taken += len(new)
        for entry in new:
            if isinstance(entry, Exchange):
                self._settling.take(entry)

    def _note_connection(self, facts: Mapping[str, Any]) -> None:
        with self._emulator.lock:
            if not self.journal.complete:
                self.journal.add(Observation("connection", self._emulator.clock.now(), dict(facts)))

    def _raise_own_faults(self) -> None:
        faults = [*self._own_faults, *self._emulator.faults]
        if faults:
            words = "; ".join(f"{type(fault).__name__}: {fault}" for fault in faults)
            raise HarnessFault(f"The instrument met a fault of its own: {words}") from faults[0]


class _Discreet(Journal):
    """A journal into which one secret never enters, in whatever place the subject writes it.

    Where a secret belongs every journal hides it; this is for names of headers' values, files, lines of a report.
    """

    def __init__(self, header: Header, secret: str) -> None:
        super().__init__(header)
        self._secret = secret

    def record(self, **exchange: Unpack[Recorded]) -> Exchange:
        """Write down one exchange."""
        exchange["url"] = self._hidden(exchange["url"])
        for headers in ("request_headers", "response_headers"):
            if headers in exchange:
                exchange[headers] = [(self._hidden(name), self._hidden(value)) for name, value in exchange[headers]]
        for body in ("request_body", "response_body"):
            if body in exchange:
                exchange[body] = exchange[body].replace(self._secret.encode(), redacted(self._secret).encode())
        return super().record(**exchange)

    def add(self, entry: Entry) -> None:
        """Append one entry."""
        if isinstance(entry, Observation):
            entry = msgspec.structs.replace(entry, facts=self._hidden_in(entry.facts))
        super().add(entry)

    def _hidden(self, text: str) -> str:
        return text.replace(self._secret, redacted(self._secret))

    def _hidden_in(self, value: Any) -> Any:
        if isinstance(value, str):
            return without_tokens(self._hidden(value))
        if isinstance(value, Mapping):
            return {name: self._hidden_in(each) for name, each in value.items()}
        return [self._hidden_in(each) for each in value] if isinstance(value, (list, tuple)) else value


class _Watched:
    """The instrument as the network serves it."""

    def __init__(self, instrument: Instrument, emulator: Emulator) -> None:
        self._instrument = instrument
        self._emulator = emulator

    @property
    def base_url(self) -> str:
        """The root of its address."""
        return self._emulator.base_url

    @base_url.setter
    def base_url(self, root: str) -> None:
        self._emulator.base_url = root

    @property
    def clock(self) -> Clock:
        """Its time."""
        return self._emulator.clock

    @property
    def profile(self) -> Profile:
        """Its limits."""
        return self._emulator.profile

    def handle(self, request: Request) -> Response:
        """The answer to one request."""
        return self._instrument.handle(request)


def _contents(payload: bytes) -> Iterator[str]:
    """Digests of the data files in a package; nothing for a payload that is none."""
    if not payload.startswith(b"PK"):
        return
    with zipfile.ZipFile(BytesIO(payload)) as package:
        for name in package.namelist():
            if name not in _PACKAGE_PARTS:
                yield hashlib.sha256(package.read(name)).hexdigest()
