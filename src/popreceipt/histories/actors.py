"""Callers of a service, each in a thread of its own: consumers, a producer, one who lets time pass, one who disturbs.

Each wants what its own seed tells it to want; when it gets to it is a matter of threads. They cut connections while an
answer is on its way, acknowledge late, twice, and with receipts that are long replaced, and expect nothing.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from popreceipt.client import wire
from popreceipt.client.control import Control
from popreceipt.client.session import Session
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import KEPT_IDLE
from popreceipt.client.wire import Ask, Delivery, Reply
from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved

KEPT: Final = 12
"""So many deliveries a consumer remembers, acknowledged or not."""

LONGEST_PAUSE: Final = 0.004
"""Real seconds for which a caller does nothing, at most."""

JUMPS: Final = (0.5, 1.0, 60.0, 600.0, 899.0, 1200.0, 1799.0, 1800.0, 1801.0)
"""Seconds by which the clock is moved while others are asking."""

RECORDS: Final = (1, 2, 3)


class CutOff(httpx.BaseTransport):
    """Connections that their own caller cuts, when told to, while an answer is on its way.

    The answer's head has come by then: the service has done what it was asked for, or refused to.
    """

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport(
            trust_env=False, limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=KEPT_IDLE)
        )
        self.next: str | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; `next` is `head` or `body` where its answer should be cut there."""
        how, self.next = self.next, None
        response = self._inner.handle_request(request)
        if how is None:
            return response
        if how == "head":
            response.close()
            raise httpx.ReadError("cut off by the caller", request=request)
        stream = _Half(response)
        return httpx.Response(response.status_code, headers=response.headers, stream=stream, request=request)

    def close(self) -> None:
        """Close what is open."""
        self._inner.close()


class _Half(httpx.SyncByteStream):
    """The first piece of an answer, in half; then the connection is closed."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        stream = self._response.stream
        first = next(iter(stream), b"") if isinstance(stream, httpx.SyncByteStream) else b""
        yield first[: len(first) // 2]
        self.close()
        raise httpx.ReadError("cut off by the caller")

    def close(self) -> None:
        self._response.close()


@dataclass(slots=True)
class Jobs:
    """The recurring data jobs that callers share."""

    exports: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)


class Actor:
    """Somebody who does so many things of its own choice, one after the other.

    Args:
        name: for the journal.
        seed: of what it wants.
        steps: how many things it does.
    """

    def __init__(self, name: str, seed: str, steps: int) -> None:
        self.name = name
        self.chance = random.Random(f"{seed}/{name}")  # noqa: S311 - wants, no secrets
        self.fault: BaseException | None = None
        self._steps = steps
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def deeds(self) -> Sequence[Callable[[], object]]:
        """What it may do; the likely ones more often."""
        return (self.pause,)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Begin nothing any more."""
        self._over.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it is done, for so many real seconds at most."""
        self._thread.join(None if seconds is None else max(seconds, 0.0))

    def check(self) -> None:
        """Raise what stopped it, if anything did."""
        if self.fault is not None:
            raise self.fault

    def pause(self) -> None:
        """Do nothing for a moment."""
        self._over.wait(self.chance.random() * LONGEST_PAUSE)

    def _work(self) -> None:
        deeds = self.deeds()
        try:
            for _ in range(self._steps):
                if self._over.is_set():
                    return
                self.chance.choice(deeds)()
        except BaseException as fault:  # noqa: BLE001 - handed to whoever waits for the end
            self.fault = fault


class Consumer(Actor):
    """Takes, fetches and acknowledges; forgets, comes late, and says things twice."""

    def __init__(self, name: str, seed: str, steps: int, session: Session, tokens: Tokens, jobs: Jobs) -> None:
        super().__init__(name, seed, steps)
        self._session = session
        self._tokens = tokens
        self._jobs = jobs
        self._held: list[tuple[str, Delivery]] = []
        self._past: list[tuple[str, Delivery]] = []
        self._given_up: list[tuple[str, Delivery]] = []
        self.cut: CutOff | None = None

    def deeds(self) -> Sequence[Callable[[], object]]:
        """Mostly takes and acknowledges."""
        return (
            *(self.take,) * 8,
            *(self.acknowledge,) * 3,
            *(self.forget,) * 2,
            *(self.acknowledge_late,) * 2,
            self.acknowledge_again,
            self.pause,
        )

    def take(self, *, fetch: bool | None = None) -> bool:
        """Dequeue, and mostly download; whether there was something."""
        activity = self.chance.choice(self._jobs.exports)
        return self.take_from(activity, fetch=self.chance.random() < 0.9 if fetch is None else fetch)

    def take_from(self, activity: str, *, fetch: bool = True) -> bool:
        """Dequeue from one job, and download; whether there was something."""
        reply = self._send(wire.dequeue(activity))
        found = wire.delivery(reply) if reply is not None else None
        if found is None or found.location is None:
            return False
        if fetch:
            self._send(wire.download(found.location))
        self._held.append((activity, found))
        return True

    def acknowledge(self) -> None:
        """Acknowledge something that it holds, perhaps longer than it should."""
        if self._held:
            held = self._held.pop(self.chance.randrange(len(self._held)))
            self._past = [*self._past, held][-KEPT:]
            self._acknowledged(*held)

    def acknowledge_all(self) -> None:
        """Acknowledge whatever it holds."""
        while self._held:
            self.acknowledge()

    def acknowledge_again(self) -> None:
        """Acknowledge something that it acknowledged before."""
        if self._past:
            self._acknowledged(*self.chance.choice(self._past))

    def acknowledge_late(self) -> None:
        """Acknowledge something that it had given up, and that somebody else may hold by now."""
        if self._given_up:
            self._acknowledged(*self._given_up.pop(0))

    def forget(self) -> None:
        """Give up something that it holds: it comes back to somebody, and its receipt is worth nothing then."""
        if self._held:
            held = self._held.pop(self.chance.randrange(len(self._held)))
            self._given_up = [*self._given_up, held][-KEPT:]

    def _acknowledged(self, activity: str, delivery: Delivery) -> None:
        self._send(wire.ack(activity, delivery.body))

    def _send(self, ask: Ask) -> Reply | None:
        try:
            token = self._tokens.current()
        except NothingProved:
            return None  # An answer was lost on its way: then it does without for once.
        if self.cut is not None and self.chance.random() < 0.05:
            self.cut.next = self.chance.choice(("head", "body"))
        return self._session.send(ask, actor=f"authorised/{self.name}", token=token)


class Producer(Consumer):
    """Has exports run and hands files in, and looks what has become of them."""

    def __init__(
        self, name: str, seed: str, steps: int, session: Session, tokens: Tokens, jobs: Jobs, control: Control
    ) -> None:
        super().__init__(name, seed, steps, session, tokens, jobs)
        self._control = control
        self._messages: list[str] = []
        self._files = 0

    def deeds(self) -> Sequence[Callable[[], object]]:
        """Mostly exports."""
        deeds: list[Callable[[], object]] = [*(self.produce,) * 4, self.pause]
        if self._jobs.imports:
            deeds += [self.hand_in, self.hand_in, self.process, self.look, self.ask, self.ask]
        return deeds

    def produce(self) -> None:
        """Run an export, twice."""
        activity = self.chance.choice(self._jobs.exports)
        for _ in range(2):
            self._control.produce(activity, self.chance.choice(RECORDS))

    def hand_in(self) -> None:
        """Hand in a file of a record that nobody else has."""
        self._files += 1
        key = f"{self.name[-3:]}{self._files:05d}"
        content = f"CUSTOMERGROUPID,DESCRIPTION\r\n{key},{key}\r\n".encode()
        reply = self._send(wire.enqueue(self.chance.choice(self._jobs.imports), content, entity="Customer groups"))
        message = wire.message_id(reply) if reply is not None else None
        if message is not None:
            self._messages.append(message)

    def process(self) -> None:
        """Let a batch run."""
        self._control.process(self.chance.choice(self._jobs.imports))

    def look(self) -> None:
        """Look at Manage messages."""
        self._control.messages(self.chance.choice(self._jobs.imports))

    def ask(self) -> None:
        """Ask for a status."""
        if self._messages:
            self._send(wire.message_status(self.chance.choice(self._messages)))


class Time(Actor):
    """Moves a manual clock while others are asking."""

    def __init__(self, name: str, seed: str, steps: int, control: Control) -> None:
        super().__init__(name, seed, steps)
        self._control = control

    def deeds(self) -> Sequence[Callable[[], object]]:
        """Mostly waits."""
        return (*(self.pause,) * 9, self.jump)

    def jump(self) -> None:
        """Move the clock."""
        self._control.advance(self.chance.choice(JUMPS))


class Disturber(Actor):
    """Plans faults: answers that are lost before or after the effect, or cut short."""

    def __init__(self, name: str, seed: str, steps: int, control: Control, jobs: Jobs) -> None:
        super().__init__(name, seed, steps)
        self._control = control
        self._jobs = jobs

    def deeds(self) -> Sequence[Callable[[], object]]:
        """Mostly waits."""
        return (*(self.pause,) * 6, self.plan)

    def plan(self) -> None:
        """Plan one fault for one job."""
        kind = self.chance.choice(("reset", "timeout", "truncated", "status"))
        phase = None if kind == "truncated" else self.chance.choice(("before", "after"))
        self._control.inject(
            self.chance.choice(("dequeue", "download", "ack")),
            kind,
            activity=self.chance.choice(self._jobs.exports),
            position=self.chance.choice((1, 2, 3)),
            phase=phase,
            status=503 if kind == "status" else None,
            seconds=0.01 if kind == "timeout" else None,
        )


def work(actors: Sequence[Actor], helpers: Sequence[Actor], seconds: float) -> None:
    """Let everybody work until the actors are done, or so many real seconds are over."""
    everybody = (*helpers, *actors)
    began = stopwatch()
    for each in everybody:
        each.start()
    for each in actors:
        each.wait(began + seconds - stopwatch())
    for each in everybody:
        each.end()
    for each in everybody:
        each.wait()
    for each in everybody:
        each.check()
