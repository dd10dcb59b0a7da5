"""What a scenario does: the verbs of a test, on whatever target it plays.

A stage only drives. It remembers enough to choose a sensible next step, predicts nothing and asserts nothing: what
crossed the wire is in the journal, and rules judge it. What a target lacks the abilities for is told by `NotAbleTo`.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.packages import COLUMNS, ENTITY, data_package, delimited
from popreceipt.client.session import Reply, split_base
from popreceipt.client.wire import PLAIN, Delivery, Spelling
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.targets import Target

HALF_HOUR = timedelta(minutes=30)
SEVEN_DAYS = timedelta(days=7)

FINAL = frozenset(
    {
        vocabulary.PROCESSED,
        vocabulary.PREPROCESSING_ERROR,
        vocabulary.PROCESSED_WITH_ERRORS,
        vocabulary.POSTPROCESSING_FAILED,
    }
)

AUTHORISED = "authorised"

REDIRECTS = frozenset({301, 302, 303, 307, 308})

SHARED_ATTEMPTS = 60
"""How often a dequeue is tried on a job that scenarios share, until something new is there."""


class Stage:
    """The target, set for one scenario.

    Args:
        target: whom to drive.
        seed: makes the scenario's contents its own: no two payloads of a run are equal.
    """

    def __init__(self, target: Target, seed: str) -> None:
        self.target = target
        self.random = random.Random(seed)  # noqa: S311 - contents of test files, not secrets
        self.taken: dict[tuple[str, str], tuple[Export, Delivery]] = {}

    def leave(self) -> None:
        """Acknowledge what the scenario took from a job that others share, so that it does not come back to them."""
        if not self.target.can("create-activity"):
            for queue, delivery in self.taken.values():
                queue.ack(delivery)

    # Jobs

    def export(self, type: str = "package", **settings: Any) -> "Export":  # noqa: A002 - the setting's own name
        """An export's recurring data job: a fresh one where the target makes them, else the world's own."""
        if self.target.can("create-activity"):
            return Export(self, self.target.create(direction="export", type=type, **settings))
        name = "export-no-zero" if settings.get("prevent_upload_when_zero_records") else f"export-{type}"
        return Export(self, self.target.activity(name))

    def imports(self, type: str = "file", **settings: Any) -> "Import":  # noqa: A002 - the setting's own name
        """An import's recurring data job: a fresh one where the target makes them, else the world's own."""
        if self.target.can("create-activity"):
            return Import(self, self.target.create(direction="import", type=type, **settings))
        name = "import-in-order" if settings.get("in_order") else f"import-{type}"
        return Import(self, self.target.activity(name))

    # Calls

    def send(self, ask: wire.Ask, actor: str = AUTHORISED, *, token: str | None = None, **options: Any) -> Reply:
        """Send a request as this actor: with its current token, with a given one, or (anonymous) with none."""
        if token is None and actor != "anonymous":
            token = self.target.tokens.current(actor)
        return self.target.session.send(ask, actor=actor, token=token, **options)

    def follow(self, reply: Reply, actor: str = AUTHORISED, *, token: str | None = None) -> Reply:
        """The answer from where a reply redirects to; the reply itself where it redirects nowhere.

        Another host gets no token: tokens are for the target only.
        """
        location = reply.header("location")
        if reply.status not in REDIRECTS or not location:
            return reply
        url = urljoin(reply.exchange.request.url, location)
        session = self.target.session
        try:
            origin = split_base(url.partition("?")[0].partition("#")[0])[0]
        except UsageError:
            return reply
        if origin == session.origin:
            return self.send(wire.download(url), actor, token=token)
        return session.elsewhere(origin).send(wire.download(url), actor=actor)

    # Faults

    @contextmanager
    def fault(self, operation: str, kind: str, **plan: Any) -> Iterator[Mapping[str, Any]]:
        """Let requests (or messages in `processing`) meet with a planned fault for as long as the block lasts.

        At its end every planned fault is taken back, also where the block fails.
        """
        control = self.target.control_for("faults")
        planned = control.inject(operation, kind, **plan)
        try:
            yield planned
        finally:
            control.clear_faults()

    # Time

    def now(self) -> datetime:
        """The target's time, the latest it can be."""
        return self.target.times.latest()

    def advance(self, **step: float) -> None:
        """Let the target's time pass: `minutes=30`, `days=7`, …"""
        self.target.advance(timedelta(**step))

    def until_shortly_before(self, instant: datetime) -> None:
        """Let time pass until just before an instant: a second on a clock that stands still, else a margin more."""
        self._until(instant - self.margin())

    def until_shortly_after(self, instant: datetime) -> None:
        """Let time pass until just after an instant."""
        self._until(instant + self.margin())

    def until(self, instant: datetime) -> None:
        """Let time pass until exactly an instant, which only a clock that stands still can hit."""
        if self.target.times.kind != "manual":
            raise NotAbleTo(self.target.name, "advance-time", "a target with a manual clock: the exact instant matters")
        self._until(instant)

    def margin(self) -> timedelta:
        """How far from a boundary a probe stays: one second, or a few round trips of a clock that runs."""
        return timedelta(seconds=1) + timedelta(seconds=0.1 * self.target.times.rate)

    def _until(self, instant: datetime) -> None:
        step = instant - self.target.times.latest()
        if step > timedelta(0):
            self.target.advance(step)

    # Contents

    def key(self) -> str:
        """A key of a customer group that no other record of the run has."""
        return f"{self.random.getrandbits(40):010X}"

    def record(self, **members: str) -> dict[str, str]:
        """A good record, with members as given."""
        key = self.key()
        return dict(zip(COLUMNS, (key, f"Group {key}", "Net30"), strict=True)) | members

    def records(self, good: int = 3, bad: int = 0) -> list[dict[str, str]]:
        """Good records, then bad ones: without a key or with too long a value, by turns."""
        made = [self.record() for _ in range(good)]
        for place in range(bad):
            broken = {"CUSTOMERGROUPID": ""} if place % 2 == 0 else {"CUSTOMERGROUPID": f"{self.key()}TOOLONG"}
            made.append(self.record(**broken))
        return made

    def file(self, good: int = 3, bad: int = 0) -> bytes:
        """A delimited file of such records."""
        return delimited(self.records(good, bad))

    def package(self, good: int = 3, bad: int = 0, **options: str) -> bytes:
        """A data package of such a file."""
        return data_package(self.file(good, bad), **options)

    def unknown_guid(self) -> str:
        """A GUID that nothing on the target is called by."""
        digest = hashlib.sha256(str(self.random.random()).encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


class Job:
    """A recurring data job, under its activity ID."""

    def __init__(self, stage: Stage, settings: Mapping[str, Any]) -> None:
        self.stage = stage
        self.settings = dict(settings)
        self.id = str(settings["id"])

    def change(self, **settings: Any) -> None:
        """Change settings of the job, as its form does."""
        self.settings = dict(self.stage.target.control_for("change-activity").change(self.id, **settings))

    def observe_messages(self) -> list[Mapping[str, Any]]:
        """Look at Manage messages: the rows go into the journal."""
        return list(self.stage.target.control_for("messages").messages(self.id))

    def observe_records(self) -> list[Mapping[str, Any]]:
        """Look at the target table: its records go into the journal."""
        return list(self.stage.target.control_for("records").records(self.id))

    def clean_up(self, older_than_days: float = 0, statuses: tuple[str, ...] = ()) -> int:
        """Run the message clean-up."""
        control = self.stage.target.control_for("cleanup")
        return control.cleanup(self.id, older_than_days=older_than_days, statuses=statuses)

    def status(self, message: str, actor: str = AUTHORISED) -> str | None:
        """Ask GetMessageStatus; the documentation's name of the status, None where there is none."""
        return wire.message_state(self.stage.send(wire.message_status(message), actor))

    def jobstatus(self, message: str) -> Reply:
        """Ask jobstatus."""
        return self.stage.send(wire.jobstatus(self.id, message))


class Export(Job):
    """An export's job, and a consumer of it."""

    def produce(self, records: int = 3) -> Mapping[str, Any]:
        """Run the export now with so many fresh records."""
        return self.stage.target.control_for("produce").produce(self.id, records)

    def holds(self, messages: int = 1, records: int = 3) -> None:
        """Let so many messages wait; a target that cannot be told exports at its own recurrence."""
        if self.stage.target.can("produce"):
            for _ in range(messages):
                self.produce(records)

    def dequeue(
        self, actor: str = AUTHORISED, *, spelling: Spelling = PLAIN, token: str | None = None
    ) -> Delivery | None:
        """Dequeue once; None where no message was handed out."""
        found = wire.delivery(self.stage.send(wire.dequeue(self.id, spelling), actor, token=token))
        if found is not None:
            self.stage.taken[(self.id, found.correlation or found.location or "")] = (self, found)
        return found

    def obtain(self, spelling: Spelling = PLAIN) -> Delivery:
        """A delivery with a file: the next one; where exports run by themselves, the first new one that turns up.

        On a job that scenarios share, a message that was delivered before is an earlier scenario's: it is acknowledged
        and not used.

        Raises:
            NoDelivery: none came.
        """
        shared = not self.stage.target.can("produce")
        found = None
        for _ in range(SHARED_ATTEMPTS if shared else 2):
            found = self.dequeue(spelling=spelling)
            if found is not None and found.has_file:
                if not shared or not found.last_dequeue:
                    return found
                self.ack(found)
            elif shared:
                self.stage.advance(minutes=60)
        if found is not None and found.has_file:
            return found
        raise NoDelivery(f"no delivery with a file came from {self.settings.get('name', self.id)}")

    def take(self) -> Delivery:
        """Produce one message and dequeue it."""
        self.holds()
        return self.obtain()

    def download(self, delivery: Delivery, actor: str = AUTHORISED, *, token: str | None = None) -> Reply:
        """Download what a delivery names, at the target's own scheme and authority, or where that redirects to."""
        if delivery.location is None:
            raise NoDelivery("the delivery names no location")
        reply = self.stage.send(wire.download(delivery.location), actor, token=token)
        return reply if actor == "anonymous" else self.stage.follow(reply, actor, token=token)

    def ack(self, delivery: Delivery, actor: str = AUTHORISED, *, token: str | None = None) -> Reply:
        """Acknowledge with the very body that the dequeue answered."""
        return self.ack_with(delivery.body, actor, token=token)

    def ack_with(
        self, body: bytes, actor: str = AUTHORISED, *, token: str | None = None, spelling: Spelling = PLAIN
    ) -> Reply:
        """Acknowledge with a body of one's own."""
        return self.stage.send(wire.ack(self.id, body, spelling), actor, token=token)

    def receive(self) -> Delivery:
        """Take one message as a consumer should: dequeue, download; not acknowledged yet."""
        delivery = self.take()
        self.download(delivery)
        return delivery

    def drain(self, limit: int = 100) -> Iterator[Delivery]:
        """Dequeue, and download, until nothing comes any more; yields each delivery."""
        for _ in range(limit):
            found = self.dequeue()
            if found is None:
                return
            if found.has_file:
                self.download(found)
            yield found


class Import(Job):
    """An import's job, and a producer for it."""

    def enqueue(self, content: bytes, actor: str = AUTHORISED, *, entity: str | None = ENTITY, **options: Any) -> str:
        """Hand in a file and give back the id of its message.

        Raises:
            NoDelivery: the answer names no message.
        """
        message = wire.message_id(self.offer(content, actor, entity=entity, **options))
        if message is None:
            raise NoDelivery(f"the enqueue on {self.settings.get('name', self.id)} named no message")
        return message

    def offer(
        self,
        content: bytes,
        actor: str = AUTHORISED,
        *,
        entity: str | None = ENTITY,
        token: str | None = None,
        chunked: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
        **options: Any,
    ) -> Reply:
        """Hand in a file, whatever the answer."""
        ask = wire.enqueue(self.id, content, entity=entity, **options)
        return self.stage.send(ask, actor, token=token, chunked=chunked, headers=headers)

    def process(self) -> None:
        """Let the batch run now, or wait for the job's recurrence."""
        if self.stage.target.can("process"):
            self.stage.target.control_for("process").process(self.id)
        else:
            minutes = self.settings.get("processing_recurrence_minutes") or 5
            self.stage.advance(minutes=minutes)

    def settle(self, *messages: str, attempts: int = 30) -> list[str | None]:
        """Ask for the status of messages, letting time pass, until each is final; the last statuses."""
        last: list[str | None] = []
        for attempt in range(attempts):
            last = [self.status(message) for message in messages]
            if all(status in FINAL for status in last):
                break
            self.stage.advance(seconds=1 if attempt < 5 else 10 if attempt < 10 else 60)
        return last

    def run(self, *messages: str) -> list[str | None]:
        """Process what waits and wait until these messages are final."""
        self.process()
        return self.settle(*messages)

    def execution_of(self, message: str) -> str | None:
        """Ask for the execution of a message; None for a blank or all-zero answer."""
        return wire.execution(self.stage.send(wire.execution_id(message)))

    def errors_of(self, execution: str) -> Reply:
        """Ask for the errors of an execution."""
        return self.stage.send(wire.execution_errors(execution))

    def summary_of(self, execution: str) -> Reply:
        """Ask for the summary status of an execution."""
        return self.stage.send(wire.execution_summary(execution))


class NoDelivery(Exception):
    """A step of a scenario had nothing to go on with: the server gave no message. The rules say what that means."""
