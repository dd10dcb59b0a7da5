"""Many callers of one live service at once, and one journal of all of them.

Consumers work in threads, or in threads of several processes. The service's clock is moved by one of them while others
are asking, or runs by itself many times too fast. What happened when is known by bounds, and the journal says that
several callers called at once. In the end time passes and the queues are drained, so that nothing stays unseen.
"""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from popreceipt.client.control import Control
from popreceipt.client.session import Session
from popreceipt.client.tape import Done, Tapes
from popreceipt.client.times import ManualTimes
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import Transport
from popreceipt.clock import stopwatch
from popreceipt.exceptions import NotAbleTo, NothingProved
from popreceipt.histories import alone
from popreceipt.histories.actors import Actor, Consumer, CutOff, Disturber, Jobs, Producer, Time, work
from popreceipt.histories.alone import Task
from popreceipt.histories.history import History
from popreceipt.histories.projection import history_of
from popreceipt.journal import ClockMovement, Entry, Exchange, Header, Journal, Observation, Target

OVER: Final = timedelta(minutes=31)
"""After so long whatever was handed out is back."""

MOST_DRAINED: Final = 400
"""So many messages are taken from a queue in the end, at most."""

NEEDED: Final = ("create-activity", "produce")
"""What a service must be able to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is to be done.

    Args:
        seed: of what everybody wants.
        consumers: how many.
        steps: what each of them does, at most.
        processes: so many processes share the consumers; 0 for threads of this one.
        exports: how many jobs they share.
        waiting: how many messages wait in each of them at first.
        disturbed: whether faults are planned: a service that counts requests for them may have to line them up.
        seconds: real ones after which nothing new is begun.
    """

    seed: int = 0
    consumers: int = 8
    steps: int = 40
    processes: int = 0
    exports: int = 2
    waiting: int = 4
    disturbed: bool = True
    seconds: float = 30.0


@dataclass(slots=True)
class Played:
    """What came of it: a journal, the tape of all that was done (where it was done here), and what it cost."""

    journal: Journal
    tape: list[Done] = field(default_factory=list, repr=False)
    seconds: float = 0.0

    def history(self) -> History:
        """The journal as histories."""
        return history_of(self.journal.header, self.journal.entries)

    def figures(self) -> dict[str, Any]:
        """How much happened."""
        exchanges = list(self.journal.exchanges())
        operations = [each.operation for each in exchanges]
        return {
            "exchanges": len(exchanges),
            "in_doubt": sum(each.failure is not None for each in exchanges),
            "dequeues": operations.count("dequeue"),
            "acknowledgments": operations.count("ack"),
            "clock_movements": sum(isinstance(each, ClockMovement) for each in self.journal.entries),
            "callers": len({each.actor for each in exchanges}),
            "seconds": round(self.seconds, 3),
        }


def play(base_url: str, plan: Plan, *, name: str | None = None, key: str | None = None) -> Played:
    """Let everybody work, and bring everything into one journal.

    Args:
        base_url: of the service; it offers a control plane.
        plan: how much is to be done.
        name: of the target, for the journal.
        key: of a control plane off loopback.

    Raises:
        NotAbleTo: the service lacks what it takes, or its clock can be neither moved nor waited for.
        NothingProved: a consumer's process failed.
    """
    with ExitStack() as closing:
        return _Play(base_url, plan, name or base_url, key, closing).played()


class _Play:
    """One such play."""

    def __init__(self, base_url: str, plan: Plan, name: str, key: str | None, closing: ExitStack) -> None:
        self._base_url = base_url
        self._plan = plan
        self._name = name
        self._closing = closing
        self._tapes = Tapes()
        transport = self._transport()
        first = Control(base_url, transport=transport, key=key)
        world = first.world()
        for ability in NEEDED:
            if ability not in world.abilities:
                raise NotAbleTo(name, ability, "an emulator target")
        times = first.times
        if times.kind == "system":
            raise NotAbleTo(name, "advance-time", "a target whose clock can be moved, or runs fast")
        self.journal = Journal(
            Header(
                target=Target(name=name, build=world.build, clock=times.kind, abilities=world.abilities),
                seed=plan.seed,
                clock=times.kind,
                rate=times.rate,
                concurrent=True,
            )
        )
        # The first one's clock moves without a word; whoever moves it has to write it down.
        self._control = Control(base_url, transport=transport, key=key, journal=self.journal, tapes=self._tapes)
        self._times = self._control.times
        self._abilities = frozenset(world.abilities)
        self._identity = self._control.world().identity
        self._session = Session(base_url, self._times, self.journal, transport=transport, tapes=self._tapes)
        self._tokens = Tokens(self._session, self._identity)
        self._jobs = Jobs()

    def _transport(self, carrier: CutOff | None = None) -> Transport:
        transport = Transport(carrier)
        self._closing.callback(transport.close)
        if carrier is not None:
            self._closing.callback(carrier.close)
        return transport

    def played(self) -> Played:
        """Make the jobs, work, drain."""
        began = stopwatch()
        plan = self._plan
        with self._tapes.record() as tape:
            kinds = ("package", "file")
            for number in range(plan.exports):
                made = self._control.create(direction="export", type=kinds[number % 2])
                self._jobs.exports.append(str(made["id"]))
            if {"process", "messages"} <= self._abilities:
                made = self._control.create(direction="import", type="file", in_order=True)
                self._jobs.imports.append(str(made["id"]))
            for activity in self._jobs.exports:
                for _ in range(plan.waiting):
                    self._control.produce(activity, 1)
            self._work()
            self._drain()
        self.journal = _in_time(self.journal)
        self.journal.seal()
        return Played(self.journal, tape, stopwatch() - began)

    # Work

    def _work(self) -> None:
        plan = self._plan
        seed = f"histories/{plan.seed}"
        own = [] if plan.processes else [self._consumer(number) for number in range(plan.consumers)]
        others: list[Actor] = [
            Producer("producer", seed, plan.steps, self._session, self._tokens, self._jobs, self._control)
        ]
        if isinstance(self._times, ManualTimes):
            others.append(Time("time", seed, plan.steps * 4, self._control))
        if plan.disturbed and "faults" in self._abilities:
            others.append(Disturber("disturber", seed, plan.steps * 4, self._control, self._jobs))
        children = [self._alone(number) for number in range(plan.processes)]
        waits = [Waiting(f"process {number}", child) for number, child in enumerate(children)]
        try:
            work([*own, *waits], others, plan.seconds)
        finally:
            for child in children:
                child.kill()
                child.communicate()
        for each in waits:
            for entry in each.entries:
                self.journal.add(entry)
        if plan.disturbed and "faults" in self._abilities:
            self._control.clear_faults()

    def _consumer(self, number: int) -> Consumer:
        cut = CutOff()
        session = Session(self._base_url, self._times, self.journal, transport=self._transport(cut), tapes=self._tapes)
        name, seed = f"c{number}", f"histories/{self._plan.seed}"
        made = Consumer(name, seed, self._plan.steps, session, self._tokens, self._jobs)
        made.cut = cut
        return made

    def _drain(self) -> None:
        """Take and acknowledge what is left, twice: what was handed out comes back when its half hour is over."""
        last = Consumer("last", f"histories/{self._plan.seed}", 0, self._session, self._tokens, self._jobs)
        for _ in range(2):
            self._times.advance(OVER.total_seconds())
            for activity in self._jobs.exports:
                for _ in range(MOST_DRAINED):
                    if not last.take_from(activity):
                        break
                    last.acknowledge_all()
        self._times.advance(OVER.total_seconds())
        for activity in self._jobs.exports:
            last.take_from(activity)
        if "messages" in self._abilities:
            for activity in (*self._jobs.exports, *self._jobs.imports):
                self._control.messages(activity)

    def _alone(self, number: int) -> "subprocess.Popen[str]":
        """Some of the consumers in a process of their own."""
        plan = self._plan
        if self._times.kind == "manual":
            instead = "consumers in threads: of a clock that others move, a process of its own knows nothing"
            raise NotAbleTo(self._name, "a clock that runs", instead)
        names = [f"c{each}" for each in range(plan.consumers) if each % plan.processes == number]
        task = Task(self._base_url, names, plan.seed, plan.steps, plan.seconds, self._jobs.exports)
        return alone.start(task)


class Waiting(Actor):
    """Waits for a process, and takes what it wrote down."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        super().__init__(name, "", 1)
        self._process = process
        self.entries: list[Entry] = []

    def deeds(self) -> Sequence[Callable[[], object]]:
        """Waits."""
        return (self.listen,)

    def listen(self) -> None:
        """Read its journal to the end."""
        written, errors = self._process.communicate()
        if self._process.returncode:
            raise NothingProved(f"{self.name} failed: {errors.strip()}")
        self.entries = alone.entries_of(written)


def _in_time(journal: Journal) -> Journal:
    """The same journal with its lines in order of time, and numbered so."""
    ordered = Journal(journal.header)
    number = 0
    for each in sorted(journal.entries, key=_when):
        if isinstance(each, Exchange):
            number += 1
            ordered.add(msgspec.structs.replace(each, seq=number))
        else:
            ordered.add(each)
    return ordered


def _when(entry: Entry) -> datetime:
    if isinstance(entry, Exchange):
        return entry.sent
    return entry.at if isinstance(entry, Observation) else entry.clock
