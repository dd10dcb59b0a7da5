"""Random stories of which only the wire is known, as on a real environment: no MUST rule may be violated.

The same stories as in `soundness`, but what the journal keeps is what a caller far away has: exchanges that take a
while, on a clock that is off by a constant, and the description of each recurring data job. Nobody tells of export
runs. Some journals begin in the middle, in some answers were interrupted, on shared jobs strangers take, acknowledge
and clean up unseen. And some servers are right in their own way: a CorrelationId that is the same for all messages, or
made of the file; files of which many are equal.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import httpx
import msgspec

from popreceipt.client import wire
from popreceipt.client.control import Control
from popreceipt.client.session import Session
from popreceipt.client.times import Began, Span
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import Transport
from popreceipt.clock import ClockKind, ManualClock
from popreceipt.generate.soundness import STEPS, Story, target_of
from popreceipt.journal import Body, Entry, Exchange, Header, Journal, Observation
from popreceipt.journal import Target as JournalTarget
from popreceipt.rules import catalogue
from popreceipt.rules.facts import Dequeue
from popreceipt.rules.readings import Readings
from popreceipt.stage import Export, Stage
from popreceipt.targets import IN_PROCESS, EmulatorTransport, Target, make_emulator
from popreceipt.verdict import Level, Outcome, judge

PAUSES: Final = (0.003, 0.02, 0.02, 0.15, 0.4, 0.4, 1.7)
"""Seconds from the caller to the service, or back."""

OFFSETS: Final = (0.0, 0.0, 0.4, -0.7, 1.5)
"""Seconds by which the caller's idea of the service's time is off."""

TOLD: Final = (
    "name",
    "direction",
    "type",
    "entity",
    "format",
    "in_order",
    "prevent_upload_when_zero_records",
    "use_company_from_message",
    "processing_recurrence_minutes",
    "enabled",
)
"""What a description tells of a recurring data job."""

BY_CONTENT: Final = "by content"

NAMES: Final = ("as they are", "as they are", "one for all", BY_CONTENT)
"""How a right server may name its messages."""


class FarAway(EmulatorTransport):
    """A network on which requests and answers take their time, by the emulator's own clock."""

    def __init__(self, target: str, seed: int, clock: ManualClock, chance: random.Random) -> None:
        super().__init__(make_emulator(target, seed, clock=clock))
        self._clock = clock
        self._chance = chance

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand a request over after a while, and bring back the answer after another."""
        on_the_wire = "/_control/" not in request.url.path
        try:
            if on_the_wire:
                self._pause()
            return super().handle_request(request)
        finally:
            if on_the_wire:
                self._pause()

    def _pause(self) -> None:
        self._clock.advance(timedelta(seconds=self._chance.choice(PAUSES)))


class Watch:
    """The service's clock as the caller takes it to be: off by a constant."""

    kind: ClockKind = "system"
    rate = 1.0

    def __init__(self, clock: ManualClock, offset: timedelta) -> None:
        self._clock = clock
        self._offset = offset

    def earliest(self) -> datetime:
        """What it is taken to be."""
        return self._clock.now() + self._offset

    def latest(self) -> datetime:
        """What it is taken to be."""
        return self.earliest()

    def begin(self) -> Began:
        """The moment, to be kept."""
        return Began(self.earliest(), 0.0)

    def end(self, began: Began, date: str | None = None) -> Span:  # noqa: ARG002  the offset is a constant
        """From that moment to now."""
        return began.earliest, self.latest()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.advance(timedelta(seconds=seconds))

    def wait_until(self, instant: datetime, patience: timedelta | None = None) -> None:  # noqa: ARG002  none is needed
        """Let it be that instant."""
        self._clock.advance(max(timedelta(0), instant - self.latest()))


@dataclass
class WireStory(Story):
    """One random story on jobs that nobody else uses, or (`shared`) that strangers use too."""

    shared: bool = False

    def begin(self) -> None:
        """Make the jobs: exports run when they are told to, and that is told to nobody."""
        for kind in ("package", "file"):
            prevention = self.chance.random() < 0.5
            self.exports.append(
                self.stage.export(kind, prevent_upload_when_zero_records=prevention, processing_recurrence_minutes=None)
            )
            minutes = self.chance.choice((1, 5, 15, 60))
            in_order = self.chance.random() < 0.5
            self.imports.append(self.stage.imports(kind, in_order=in_order, processing_recurrence_minutes=minutes))

    def play(self, steps: int) -> None:
        """Do so many random things, the likely ones more often."""
        deeds: list[tuple[int, Callable[[], object]]] = [
            (8, self.produce),
            (3, self.produce_the_same),
            (10, self.dequeue),
            (10, self.drain),
            (6, self.download),
            (5, self.acknowledge),
            (2, self.acknowledge_wrongly),
            (16, self.jump),
            (4, self.enqueue),
            (2, self.enqueue_one_after_another),
            # Whoever makes a batch run on purpose uses the job.
            (3, self.process if self.shared else self.wait_for_a_run),
            (5, self.ask),
            (2, self.be_refused),
            (5, self.lose_answers),
        ]
        if self.shared:
            deeds += [(12, self.strangers), (1, self.strangers_clean_up)]
        weights = [weight for weight, _ in deeds]
        for _ in range(steps):
            self.chance.choices([deed for _, deed in deeds], weights)[0]()
        for queue in self.exports:
            list(queue.drain())

    def produce_the_same(self) -> None:
        """Let an export run at a recurrence: what it finds is what was there."""
        queue = self.chance.choice(self.exports)
        queue.change(processing_recurrence_minutes=1)
        self.stage.advance(seconds=61)
        queue.change(processing_recurrence_minutes=None)

    def dequeue(self) -> None:
        """Take a message, and mostly download it."""
        self.take(self.chance.choice(self.exports))

    def drain(self) -> None:
        """Take whatever waits."""
        queue = self.chance.choice(self.exports)
        while self.take(queue):
            continue

    def take(self, queue: Export) -> bool:
        """Take one message of a queue, and mostly download it; False where there was none."""
        found = queue.dequeue()
        if found is None:
            return False
        self.taken.append((queue, found))
        if found.has_file and self.chance.random() < 0.9:
            queue.download(found)
        return True

    def take_away(self) -> None:
        """Take a message and acknowledge it."""
        if self.take(self.chance.choice(self.exports)):
            queue, delivery = self.taken[-1]
            queue.ack(delivery)

    def wait_for_a_run(self) -> None:
        """Let the batch of an import run at its recurrence."""
        intake = self.chance.choice(self.imports)
        self.stage.advance(minutes=intake.settings["processing_recurrence_minutes"])

    def enqueue_one_after_another(self) -> None:
        """Hand in file after file, and ask for each a few times before the next."""
        intake = self.chance.choice(self.imports)
        is_package = intake.settings["type"] == "package"
        for _ in range(self.chance.randint(2, 5)):
            content = self.stage.package(2) if is_package else self.stage.file(2)
            message = wire.message_id(intake.offer(content, entity=None if is_package else "Customer groups"))
            for _ in range(self.chance.randint(1, 3) if message is not None else 0):
                self.stage.advance(seconds=self.chance.choice((0.0, 1.0, 4.0, 15.0, 35.0, 90.0)))
                intake.status(str(message))

    def strangers(self) -> None:
        """Let others do a few things."""
        for _ in range(self.chance.randint(1, 4)):
            self.unseen(self.chance.choice((self.dequeue, self.dequeue, self.drain, self.take_away, self.enqueue)))

    def strangers_clean_up(self) -> None:
        """Let others clean up what is at least a day old."""
        self.chance.choice([*self.exports, *self.imports]).clean_up(self.chance.choice((1, 3)))

    def unseen(self, deed: Callable[[], object]) -> None:
        """Do something that leaves no trace in the journal, and of which nothing is remembered."""
        entries, taken, messages = self.stage.target.journal.entries, list(self.taken), list(self.messages)
        mark = len(entries)
        deed()
        del entries[mark:]
        self.taken, self.messages = taken, messages


def play(
    target: str, seed: int, *, shared: bool, whole: bool = False, steps: int = STEPS
) -> tuple[Header, list[Entry]]:
    """One story on a target, as it looks from far away.

    Args:
        target: an emulator's target string.
        seed: of all chance.
        shared: strangers use the jobs too.
        whole: nothing is missing in the journal, and messages are named as the target names them.
        steps: how many things are done.
    """
    chance = random.Random(f"{seed}/{shared}")
    clock = ManualClock()
    offset = timedelta(seconds=chance.choice(OFFSETS))
    error = abs(offset.total_seconds()) + chance.choice((0.0, 0.3))
    watch = Watch(clock, offset)
    header = Header(target=JournalTarget("tenant:far", clock="system"), clock="system", clock_error_seconds=error)
    journal = Journal(header)
    transport = Transport(FarAway(target, seed, clock, chance))
    control = Control(IN_PROCESS, transport=transport, times=watch)
    world = control.world()
    session = Session(IN_PROCESS, watch, journal, transport=transport)
    opened = Target(
        name="tenant:far",
        build="",
        abilities=frozenset(world.abilities),
        times=watch,
        session=session,
        tokens=Tokens(session, dict(world.identity)),
        journal=journal,
        activities={str(each.get("name")): each for each in world.activities},
        control=control,
        identity=dict(world.identity),
    )
    story = WireStory(Stage(opened, f"wire {seed}"), chance, shared=shared)
    story.begin()
    described = [_described(job.id, job.settings, watch.latest(), shared=shared) for job in _jobs(story)]
    if chance.random() < 0.5:
        story.unseen(lambda: story.play(steps // 4))
    story.play(steps)
    session.close()
    exchanges = [each for each in journal.entries if isinstance(each, Exchange)]
    if not whole:
        # Who names messages anew at each delivery does not name them by their content.
        names = chance.choice([each for each in NAMES if target != FRESH or each != BY_CONTENT])
        exchanges = _named_otherwise(header, _as_left(exchanges, chance), names, equal=chance.random() < 0.3)
    return header, [*described, *exchanges]


def _jobs(story: Story) -> Sequence[Any]:
    return (*story.exports, *story.imports)


def _described(activity: str, settings: Any, at: datetime, *, shared: bool) -> Observation:
    told = {name: settings[name] for name in TOLD if name in settings} | {"exclusive": not shared}
    return Observation("activity", at, {"activity": activity, "created": False, "settings": told})


def _as_left(exchanges: list[Exchange], chance: random.Random) -> list[Exchange]:
    """The exchanges, perhaps without their beginning, or with some that were interrupted."""
    kind = chance.random()
    if kind < 0.3:
        return exchanges[chance.randrange(len(exchanges)) :]
    if kind < 0.6:
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(exchanges))
            each = exchanges[place]
            answered = each.sent + (each.answered - each.sent) / 2
            exchanges[place] = msgspec.structs.replace(each, response=None, failure="interrupted", answered=answered)
    return exchanges


def _named_otherwise(header: Header, exchanges: list[Exchange], names: str, *, equal: bool) -> list[Exchange]:
    """The same of a server that names its messages in another way, and of which many files may be equal."""
    exports = Readings(header, exchanges).exports
    digests: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for delivery in exports.reader.dequeues:
        digest = exports.digest_of(delivery)
        if digest is not None:
            digests[digest] = sha256(digest.encode()).hexdigest()[:1] * 64 if equal else digest
        if delivery.correlation is not None and names != "as they are":
            renamed.setdefault(delivery.correlation, _another_name(delivery, digests.get(digest or ""), names))
    return [_rewritten(each, renamed, digests if equal else {}) for each in exchanges]


def _another_name(delivery: Dequeue, digest: str | None, names: str) -> str:
    told = "all" if names == "one for all" else digest or str(delivery.correlation)
    return str(UUID(bytes=sha256(f"{names} {told}".encode()).digest()[:16], version=5))


def _rewritten(exchange: Exchange, renamed: dict[str, str], digests: dict[str, str]) -> Exchange:
    request, response = exchange.request, exchange.response
    if response is not None and response.body is not None and response.body.digest() in digests:
        body = Body(sha256=digests[response.body.digest()], length=1000)
        response = msgspec.structs.replace(response, body=body)
    if renamed:
        request = msgspec.structs.replace(request, url=_in_words(request.url, renamed), body=_in(request.body, renamed))
        if response is not None:
            response = msgspec.structs.replace(response, body=_in(response.body, renamed))
    return msgspec.structs.replace(exchange, request=request, response=response)


def _in(body: Body | None, renamed: dict[str, str]) -> Body | None:
    if body is None or body.text is None:
        return body
    return Body.of(_in_words(body.text, renamed).encode())


def _in_words(text: str, renamed: dict[str, str]) -> str:
    for name, another in renamed.items():
        if name in text:
            text = text.replace(name, another)
    return text


FRESH: Final = "emulator:dialect=redelivery.correlation=fresh"
"""Messages that have no lasting name are the hardest to follow: every third seed is theirs."""


def wire_violations(seed: int) -> list[str]:
    """Play two stories, on jobs of one's own and on shared ones, and judge them: what is violated, what crashed."""
    target = FRESH if seed % 3 == 2 else target_of(seed)
    found = []
    for shared in (False, True):
        header, entries = play(target, seed, shared=shared)
        where = f"seed {seed} on {target}, the wire alone, jobs {'shared' if shared else 'not shared'}"
        for verdict in judge(Readings(header, entries), catalogue()):
            if verdict.outcome is Outcome.VIOLATED and verdict.level is Level.MUST:
                found.append(f"{where}: {verdict.id}: {verdict.findings[0].message}")
            elif "itself failed" in (verdict.reason or ""):
                found.append(f"{where}: {verdict.id}: {verdict.reason}")
    return found
