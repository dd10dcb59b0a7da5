"""Rounds of measurements: every server in turn, in an order that changes, and the figures of all rounds.

The speed of a computer drifts within minutes, so only what was taken in turns may be compared.
"""

import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from popreceipt.generate.peers.dialogues import Work
from popreceipt.generate.peers.load import Burst, Client, Silent, resident_megabytes
from popreceipt.generate.peers.servers import Running

Kind = Literal["put", "take"]

KINDS: Final[tuple[Kind, ...]] = ("put", "take")
"""Enqueue, put message, SendMessage; and dequeue with ack, get with delete, ReceiveMessage with DeleteMessage."""

CONNECTIONS: Final = (1, 16, 64)

Case = tuple[str, Kind, int]
"""A server's name, what is done, over how many connections."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rounds, the least seconds of a measurement, and the messages of a burst.

    So many messages wait at every server when taking begins: what each does with a backlog is part of the figure.
    """

    rounds: int
    seconds: float
    stock: int


@dataclass(slots=True)
class Figures:
    """One case in all its rounds. `silences` counts those in which the server stopped answering."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    head_room: list[float] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    silences: int = 0

    def add(self, messages: int, burst: Burst, megabytes: float) -> None:
        """Count a round in."""
        self.rates.append(messages / burst.seconds)
        self.latencies += burst.latencies
        self.cpu.append(burst.server_cpu / len(burst.latencies))
        self.head_room.append(burst.seconds / burst.client_cpu)
        self.foreign.append(max(0.0, burst.foreign_cpu / burst.seconds))
        self.megabytes = max(self.megabytes, megabytes)

    @property
    def rate(self) -> float:
        """Messages a second, the median of the rounds; 0 where it never came to the end of one."""
        return median(self.rates) if self.rates else 0.0

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the requests of all rounds was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


Open = Callable[[], AbstractContextManager[Sequence[Running]]]
"""Starts every server anew."""


def measure(start: Open, effort: Effort, core: int, told: Callable[[str], None]) -> dict[Case, Figures]:
    """All cases, in rounds; `told` hears what is under way.

    Each round has fresh servers, so that none is measured by what earlier rounds left in it. While one is measured the
    others stand still: a server that goes on working after its last answer takes the core from nobody but itself. One
    that stops answering is ended and left out for the rest of its round, and its figures tell how often that was.
    """
    figures: dict[Case, Figures] = defaultdict(Figures)
    shuffle = random.Random(0)
    for number in range(effort.rounds):
        with start() as servers:
            for server in servers:
                told(f"round {number + 1} of {effort.rounds}: warming up {server.candidate.name}")
                for kind in KINDS:
                    _measured(server, kind, 16, effort, core)
                os.kill(server.process, signal.SIGSTOP)
            silent: set[str] = set()
            for kind, connections in _cases():
                for server in shuffle.sample(list(servers), len(servers)):
                    name = server.candidate.name
                    if name in silent:
                        continue
                    told(f"round {number + 1} of {effort.rounds}: {kind}, {connections} connections, {name}")
                    case = (name, kind, connections)
                    os.kill(server.process, signal.SIGCONT)
                    try:
                        messages, burst = _measured(server, kind, connections, effort, core)
                    except Silent:
                        os.kill(server.process, signal.SIGKILL)
                        silent.add(name)
                        figures[case].silences += 1
                    else:
                        figures[case].add(messages, burst, resident_megabytes(server.process))
                        os.kill(server.process, signal.SIGSTOP)
            for server in servers:
                if server.candidate.name not in silent:
                    os.kill(server.process, signal.SIGCONT)  # or nothing could end it with courtesy
    return dict(figures)


def _cases() -> Iterator[tuple[Kind, int]]:
    return ((kind, connections) for connections in CONNECTIONS for kind in KINDS)


def _measured(server: Running, kind: Kind, connections: int, effort: Effort, core: int) -> tuple[int, Burst]:
    """Bursts until there are seconds enough: how many messages, and what they cost. Filling and emptying is free."""
    client = Client(server.address, connections, server.process, core)
    total, messages = Burst(), 0
    dialogue = server.dialogue
    try:
        while total.seconds < effort.seconds:
            if kind == "take":
                filling = Work(effort.stock)
                client.run([dialogue.fill(filling) for _ in range(connections)])
            work = Work(effort.stock)
            play = dialogue.take if kind == "take" else dialogue.put
            total.add(client.run([play(work) for _ in range(connections)]))
            messages += effort.stock
            dialogue.clear()
    finally:
        client.close()
    return messages, total
