"""What examples find in the target: jobs of their own, messages that wait, deliveries that are held, executions.

An example never takes from the queue of another: every job it needs is made for it, where the target makes jobs. The
world remembers what was handed out, so that it can tell whether a request met the state that its success needs. It
judges no answer.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.guarding import NotPermitted
from popreceipt.client.wire import Ask, Delivery, Reply
from popreceipt.exceptions import NotAbleTo
from popreceipt.stage import Export, Import, NoDelivery, Stage
from popreceipt.targets import Target

CONNECTOR: Final = frozenset(
    {vocabulary.ENQUEUE, vocabulary.DEQUEUE, vocabulary.DOWNLOAD, vocabulary.ACK, vocabulary.JOBSTATUS}
)
"""Operations with an activity in their path."""

ABOUT_A_MESSAGE: Final = frozenset({vocabulary.JOBSTATUS, vocabulary.MESSAGE_STATUS, vocabulary.EXECUTION_ID})
ABOUT_AN_EXECUTION: Final = frozenset({vocabulary.EXECUTION_ERRORS, vocabulary.EXECUTION_SUMMARY})

MESSAGES_KEPT: Final = 6
"""Known messages that examples of one stretch share before a new one is handed in: asking takes nothing away."""


@dataclass(slots=True)
class Held:
    """A delivery that nobody acknowledged yet, and whether its file was downloaded."""

    job: Export
    delivery: Delivery
    downloaded: bool = False


@dataclass(slots=True)
class Given:
    """What an operation can be asked about: only what it has to do with is filled."""

    activity: str | None = None
    message: str | None = None
    execution: str | None = None
    held: Held | None = None


@dataclass
class World:
    """The state that one stretch of examples has made for itself.

    Args:
        target: whom to make it in.
        seed: makes the contents its own.
        chance: decides.
    """

    target: Target
    seed: str
    chance: Random
    stage: Stage = field(init=False)
    waiting: dict[str, int] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    """Activities by the messages that were handed in."""
    executions: list[str] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    _locations: dict[str, Held] = field(default_factory=dict)
    _handed_in: list[str] = field(default_factory=list)
    _executed: list[str] = field(default_factory=list)
    _uses: int = 0

    def __post_init__(self) -> None:
        self.stage = Stage(self.target, self.seed)

    # What an example asks for

    def give(self, operation: str) -> Given:
        """State for one call of an operation.

        Raises:
            NotAbleTo: the target cannot be brought there.
        """
        return _GIVERS[operation](self) if operation in _GIVERS else Given()

    def give_import(self) -> Given:
        """An import's job."""
        return Given(activity=self.intake().id)

    def give_waiting(self) -> Given:
        """An export's job of the example's own, where a message waits."""
        return Given(activity=self.queue().id)

    def give_held(self) -> Given:
        """A delivery of the example's own, mostly downloaded."""
        held = self.take()
        if held.delivery.has_file and self.chance.random() < 0.9:
            self.note_download(held, held.job.download(held.delivery))
        return Given(activity=held.job.id, held=held)

    def give_location(self) -> Given:
        """A location of the example's own."""
        held = self.take()
        return Given(activity=held.job.id, held=held)

    def give_message(self) -> Given:
        """A message that was handed in, and processed."""
        self._process()
        message = self.chance.choice(self._handed_in)
        return Given(activity=self.messages[message], message=message)

    def give_execution(self) -> Given:
        """An execution that exists."""
        self._process()
        if not self.executions:
            self._process(sound=True)
        if not self.executions:
            raise NotAbleTo(self.target.name, "execution-id of a processed message")
        return Given(execution=self.chance.choice(self.executions))

    # Jobs

    def intake(self) -> Import:
        """An import's job: one of three kinds, made once in a stretch."""
        kind, in_order = self.chance.choice((("file", False), ("file", True), ("package", False)))
        for each in self.imports:
            if (each.settings.get("type"), bool(each.settings.get("in_order"))) == (kind, in_order):
                return each
        made = self.stage.imports(kind, in_order=in_order) if in_order else self.stage.imports(kind)
        self.imports.append(made)
        return made

    def queue(self) -> Export:
        """A fresh export's job where a message waits, now and then one without a file."""
        kind = self.chance.choice(self._kinds())
        empty = self.chance.random() < 0.1 and self.target.can("produce")
        made = self.stage.export(kind, prevent_upload_when_zero_records=True) if empty else self.stage.export(kind)
        self.exports.append(made)
        self.fill(made, records=0 if empty else 2)
        return made

    def _kinds(self) -> tuple[str, ...]:
        """The types of exports from which messages may be taken: of a tenant only what nobody else uses.

        Raises:
            NotAbleTo: there is none.
        """
        tenant = self.target.tenant
        kinds = ("package", "file")
        if tenant is None:
            return kinds
        own = tuple(each for each in kinds if tenant.is_exclusive(f"export-{each}"))
        if not own:
            raise NotAbleTo(
                self.target.name,
                "an export that nobody else uses",
                f"an activity export-package or export-file with exclusive = true in {tenant.where}: fuzzing takes "
                "messages by the dozen, and hides each for half an hour",
            )
        return own

    def fill(self, job: Export, records: int = 2) -> None:
        """Let one more message wait on a job; where the target cannot be told, whatever is there has to do."""
        if self.target.can("produce"):
            told = job.produce(records)
            # Whether a run without a file can be dequeued is open.
            self.waiting[job.id] = self.waiting.get(job.id, 0) + (1 if told.get("uploaded") is True else 0)

    def take(self) -> Held:
        """A fresh delivery with a file.

        Raises:
            NotAbleTo: none came.
        """
        job = self.stage.export(self.chance.choice(self._kinds()))
        self.exports.append(job)
        self.fill(job)
        # Where the target cannot be told to export, whatever is there has to do: nobody waits for the next run.
        delivery = job.dequeue()
        if delivery is None or not delivery.has_file:
            raise NotAbleTo(self.target.name, "a message that waits", "a target with the ability `produce`")
        held = Held(job, delivery)
        self.waiting[job.id] = max(0, self.waiting.get(job.id, 0) - 1)
        self._keep(held)
        return held

    def job_of(self, activity: str) -> Export | None:
        """The export's job of this activity, if it is the stretch's own."""
        return next((each for each in self.exports if each.id == activity), None)

    def _process(self, *, sound: bool = False) -> None:
        """Hand in a file that everything can be asked about, unless there are enough of them; one in order if asked."""
        self._uses += 1
        if not sound and self._handed_in and (self._uses % 4 or len(self._handed_in) >= MESSAGES_KEPT):
            return
        job = self.intake()
        good, bad = (3, 0) if sound else self.chance.choice(((3, 0), (2, 1), (0, 2)))
        as_package = (job.settings.get("type") == "package") == (sound or self.chance.random() < 0.9)
        content = self.stage.package(good, bad) if as_package else self.stage.file(good, bad)
        try:
            message = job.enqueue(content)
        except NoDelivery as error:
            raise NotAbleTo(self.target.name, f"a message ({error})") from error
        self.messages[message] = job.id
        self._handed_in.append(message)
        if self.target.can("process"):
            job.process()
        if self.target.times.kind == "manual":
            # Nobody waits in real time: elsewhere a message is asked about wherever it stands.
            job.settle(message)
        execution = job.execution_of(message)
        if execution is not None:
            self.executions.append(execution)
            self._executed.append(message)

    def _keep(self, held: Held) -> None:
        delivery = held.delivery
        if delivery.correlation is not None:
            self.held[delivery.correlation] = held
        # A delivery may name a place and say that there is no file.
        if delivery.location is not None and delivery.has_file:
            self._locations[wire.download(delivery.location).target] = held

    # What became of it

    def note(self, operation: str, ask: Ask, activity: str | None, reply: Reply) -> None:
        """Learn from an answer to an authorised call."""
        if operation == vocabulary.ENQUEUE and activity is not None:
            message = wire.message_id(reply)
            if message is not None:
                self.messages[message] = activity
        elif operation == vocabulary.DEQUEUE and activity is not None:
            delivery, job = wire.delivery(reply), self.job_of(activity)
            if delivery is not None and job is not None:
                if delivery.has_file:
                    self.waiting[activity] = max(0, self.waiting.get(activity, 0) - 1)
                self._keep(Held(job, delivery))
        elif operation == vocabulary.DOWNLOAD:
            held = self._locations.get(ask.target)
            if held is not None:
                self.note_download(held, reply)
        elif operation == vocabulary.ACK and reply.ok:
            # In whatever words it was acknowledged, and with whatever beside them: it is held no more.
            self.held.pop(str(wire.member(_object(ask.body), vocabulary.CORRELATION_ID)), None)
        elif operation == vocabulary.EXECUTION_ID:
            execution = wire.execution(reply)
            if execution is not None:
                self.executions.append(execution)

    def leave(self) -> None:
        """Acknowledge what was taken from jobs that others share, so that it does not come back to them."""
        if not self.target.can("create-activity"):
            for held in self.held.values():
                with suppress(NotPermitted):  # Then it comes back after its half hour.
                    held.job.ack(held.delivery)

    def note_download(self, held: Held, reply: Reply) -> None:
        """Learn from the answer to a download."""
        held.downloaded = held.downloaded or reply.ok

    # Whether a request met its state

    def acknowledged_by(self, ask: Ask, activity: str | None) -> Held | None:
        """The delivery whose very body an acknowledgment sends back on its own job."""
        body = _object(ask.body)
        held = self.held.get(str(body.get(vocabulary.CORRELATION_ID)))
        if held is None or held.job.id != activity or body != held.delivery.members:
            return None
        return held

    def met(self, operation: str, ask: Ask, activity: str | None) -> bool:
        """Whether a request finds the state that its success needs."""
        if operation == vocabulary.ENQUEUE:
            return any(each.id == activity for each in self.imports)
        if operation == vocabulary.DEQUEUE:
            return self.waiting.get(activity or "", 0) > 0
        if operation == vocabulary.DOWNLOAD:
            return ask.target in self._locations
        if operation == vocabulary.ACK:
            return self.acknowledged_by(ask, activity) is not None
        if operation == vocabulary.JOBSTATUS:
            return self.messages.get(_parameter(ask, "jobid")) == activity and activity is not None
        if operation in ABOUT_A_MESSAGE:
            return any(_bare(value) in self.messages for value in _object(ask.body).values())
        if operation in ABOUT_AN_EXECUTION:
            return _object(ask.body).get("executionId") in self.executions
        return True

    def must_succeed(self, operation: str, ask: Ask, activity: str | None) -> bool:
        """Whether nothing that the documentation leaves open could keep such a request from its success."""
        if not self.met(operation, ask, activity):
            return False
        if operation == vocabulary.ACK:
            held = self.acknowledged_by(ask, activity)
            return held is not None and held.downloaded and ask.body == held.delivery.body
        if operation == vocabulary.EXECUTION_ID:
            return any(_bare(value) in self._executed for value in _object(ask.body).values())
        if operation == vocabulary.TOKEN:
            return b"grant_type=client_credentials" in ask.body
        # What an import is handed may be refused at once or later: that is open for nearly every kind of file.
        return operation in _GIVERS and operation != vocabulary.ENQUEUE


_GIVERS: Final[dict[str, Callable[[World], Given]]] = {
    vocabulary.ENQUEUE: World.give_import,
    vocabulary.DEQUEUE: World.give_waiting,
    vocabulary.DOWNLOAD: World.give_location,
    vocabulary.ACK: World.give_held,
    vocabulary.JOBSTATUS: World.give_message,
    vocabulary.MESSAGE_STATUS: World.give_message,
    vocabulary.EXECUTION_ID: World.give_message,
    vocabulary.EXECUTION_ERRORS: World.give_execution,
    vocabulary.EXECUTION_SUMMARY: World.give_execution,
}


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _bare(value: object) -> str:
    return vocabulary.bare_guid(value) if isinstance(value, str) else ""


def _parameter(ask: Ask, name: str) -> str:
    for key, value in parse_qsl(ask.query):
        if key.lower() == name:
            return _bare(value)
    return ""
