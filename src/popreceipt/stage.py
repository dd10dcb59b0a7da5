"""What a scenario does: the verbs of a test, on whatever target it plays.

A stage only drives. It remembers enough to choose a sensible next step, predicts nothing and asserts nothing: what
crossed the wire is in the journal, and rules judge it. What a target lacks the abilities for is told by `NotAbleTo`.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin

from popreceipt import vocabulary
from popreceipt.client import formats, wire
from popreceipt.client.guarding import NotPermitted, made_up_guid
from popreceipt.client.packages import COLUMNS, ENTITY, Packed, data_package, delimited
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

FETCHED = {"minutes": 1.5}
"""So long a scenario waits for a status that is fetched asynchronously."""

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
                with suppress(NotPermitted):  # Then it comes back after its half hour, to whomever it belongs.
                    queue.ack(delivery)

    # Jobs

    def export(self, type: str = "package", **settings: Any) -> "Export":  # noqa: A002 - the setting's own name
        """An export's recurring data job: a fresh one where the target makes them, else the world's own."""
        if self.target.can("create-activity"):
            return Export(self, self.target.create(direction="export", type=type, **settings))
        name = "export-no-zero" if settings.get("prevent_upload_when_zero_records") else f"export-{type}"
        return Export(self, self.target.activity(name))

    def recurring(self, **recurrence: Any) -> Mapping[str, Any]:
        """A recurrence beyond plain minutes, as the settings of a job take it: `every=2, unit="hours"`, ….

        Raises:
            NotAbleTo: the target's jobs know plain minutes only.
        """
        if not self.target.control_for("create-activity").knows_recurrences():
            raise NotAbleTo(self.target.name, "processing_recurrence", "a target whose jobs tell this member")
        return {"every": 1} | recurrence

    def imports(self, type: str = "file", **settings: Any) -> "Import":  # noqa: A002 - the setting's own name
        """An import's recurring data job: a fresh one where the target makes them, else the world's own."""
        if self.target.can("create-activity"):
            return Import(self, self.target.create(direction="import", type=type, **settings))
        name = "import-in-order" if settings.get("in_order") else f"import-{type}"
        return Import(self, self.target.activity(name))

    # Data projects

    def project(self, direction: str, *entities: Mapping[str, Any], **settings: Any) -> "Project":
        """A fresh data project of these entities (`entity`, `format`, `map`, `xslt`, …)."""
        made = self.target.control_for("projects").create_project(
            direction=direction, entities=list(entities), **settings
        )
        return Project(self, made)

    def formats(self) -> list[str]:
        """The source data formats that the target has and scenarios can write.

        Raises:
            NotAbleTo: it has none of them.
        """
        listed = {each.casefold() for each in self.target.control_for("projects").formats()}
        found = [each for each in formats.FORMATS if each.casefold() in listed]
        if not found:
            raise NotAbleTo(self.target.name, "a source data format that is known", "a target whose world lists one")
        return found

    def format(self, name: str) -> str:
        """A source data format by its name.

        Raises:
            NotAbleTo: the target lacks it.
        """
        if name not in self.formats():
            raise NotAbleTo(self.target.name, f"the source data format {name}", "a target whose world lists it")
        return name

    def other_entity(self) -> "OtherEntity":
        """An entity beside Customer groups whose records can be made up from what the world tells of its fields.

        Raises:
            NotAbleTo: the target has none.
        """
        told = [each for each in self.target.control_for("projects").entities() if each.get("name") != ENTITY]
        usable = [entity for each in told if (entity := OtherEntity(self, each)).usable]
        if not usable:
            raise NotAbleTo(self.target.name, "a second entity of texts and numbers", "a target whose world has one")
        return min(usable, key=lambda each: each.strangeness)

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
        session = self.target.session
        try:
            url = urljoin(reply.exchange.request.url, location)
            origin = split_base(url.partition("?")[0].partition("#")[0])[0]
        except (UsageError, ValueError):  # It is no address.
            return reply
        # Behind a load balancer a server names itself by http, and is asked as before.
        if origin in (session.origin, session.origin.replace("https://", "http://", 1)):
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

    @contextmanager
    def parameters(self, **parameters: Any) -> Iterator[None]:
        """Let the framework have these parameters for as long as the block lasts, then those it had before."""
        control = self.target.control_for("parameters")
        before = control.parameters()
        control.set_parameters(**parameters)
        try:
            yield
        finally:
            control.set_parameters(**{name: before.get(name) for name in parameters})

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

    def until_the_hour(self, hour: int) -> None:
        """Let time pass until it is this hour (UTC) for the next time."""
        now = self.now()
        goal = now.replace(hour=hour, minute=0, second=0, microsecond=0)
        self._until(goal if goal > now else goal + timedelta(days=1))

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

    def package(self, good: int = 3, bad: int = 0, **options: Any) -> bytes:
        """A data package of such a file."""
        return data_package(self.file(good, bad), **options)

    def unknown_guid(self) -> str:
        """A GUID that nothing on the target is called by."""
        return made_up_guid(str(self.random.random()))


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

    def observe_records(self, entity: str | None = None) -> list[Mapping[str, Any]]:
        """Look at the target table (of the project's first entity, unless one is named): it goes into the journal."""
        return list(self.stage.target.control_for("records").records(self.id, entity))

    def get_batch_status(self, *, wait: bool = True) -> None:
        """Have the newest status of the job's batch jobs fetched, and wait until it must be there."""
        self.stage.target.control_for("batch").batch(self.id, "get-status")
        if wait:
            self.stage.advance(**FETCHED)

    def delete_batch_history(self) -> None:
        """Delete the records of the job's batch history."""
        self.stage.target.control_for("batch").batch(self.id, "delete-history")

    def observe_load(self) -> list[Mapping[str, Any]]:
        """Look at what the monitoring recurrence has sampled: the samples go into the journal."""
        return list(self.stage.target.control_for("monitoring").load(self.id))

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


class Project:
    """A data project, and what hangs off it."""

    def __init__(self, stage: Stage, settings: Mapping[str, Any]) -> None:
        self.stage = stage
        self.id = str(settings["id"])

    def change(self, **settings: Any) -> None:
        """Change the project: its `entities` or its `filter`."""
        self.stage.target.control_for("projects").change_project(self.id, **settings)

    def imports(self, type: str = "file", **settings: Any) -> "Import":  # noqa: A002 - the setting's own name
        """A fresh import of this project."""
        made = self.stage.target.create(direction="import", type=type, project=self.id, **settings)
        return Import(self.stage, made)

    def export(self, type: str = "package", **settings: Any) -> "Export":  # noqa: A002 - the setting's own name
        """A fresh export of this project."""
        made = self.stage.target.create(direction="export", type=type, project=self.id, **settings)
        return Export(self.stage, made)


class OtherEntity:
    """An entity that a target has beside Customer groups, as the target describes it."""

    def __init__(self, stage: Stage, told: Mapping[str, Any]) -> None:
        self._stage = stage
        self.name = str(told.get("name"))
        fields = [each for each in told.get("fields", ()) if isinstance(each, Mapping)]
        self._needed = [each for each in fields if each.get("key") or each.get("mandatory")]
        self.columns = tuple(str(each.get("name")) for each in self._needed)

    @property
    def usable(self) -> bool:
        """Its key and its mandatory fields are of types that anybody can fill, and its key has a text."""
        return all(each.get("type") in ("text", "integer", "real", "date") for each in self._needed) and any(
            each.get("key") and each.get("type") == "text" for each in self._needed
        )

    @property
    def strangeness(self) -> int:
        """The more of its fields are no texts, and the more there are, the more may be wrong with a record."""
        return len(self._needed) + 10 * len([each for each in self._needed if each.get("type") != "text"])

    def records(self, good: int = 3, bad: int = 0) -> list[dict[str, str]]:
        """Good records, then bad ones, whose key is blank."""
        made = [{str(each["name"]): self._value(each) for each in self._needed} for _ in range(good + bad)]
        for record in made[good:]:
            record.update({str(each["name"]): "" for each in self._needed if each.get("key")})
        return made

    def _value(self, field: Mapping[str, Any]) -> str:
        filled = {"integer": "1", "real": "1.5", "date": "2026-01-01"}.get(str(field.get("type")))
        return filled or self._stage.key()[-int(field.get("length") or 10) :]

    def packed(self, records: list[dict[str, str]], *, level: int = 1) -> Packed:
        """These records as a file of a package, on this level."""
        return Packed(self.name, f"{self.name}.csv", delimited(records, self.columns), self.columns, level=level)


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
