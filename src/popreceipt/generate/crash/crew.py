"""Clients at work: several at once, each doing at random what clients do, and going on when the server is back."""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from popreceipt.client import wire
from popreceipt.client.control import Control, ControlError
from popreceipt.client.session import Session
from popreceipt.client.tokens import Tokens
from popreceipt.client.wire import Ask, Delivery, Reply
from popreceipt.exceptions import NothingProved
from popreceipt.generate.crash.ledger import Ledger

PENDING = 20
"""How many deliveries a client keeps for later, at most: some come back after their half hour, some do not."""


class Gate:
    """Lets requests through while the server is there, and knows when none is under way.

    A request must not begin before a death and arrive after the restart: nobody could tell when it took effect.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_open = False
        self._is_over = False
        self._inside = 0

    @contextmanager
    def passed(self) -> Iterator[bool]:
        """Wait until it is open; false when it will not open any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_open or self._is_over)
            through = self._is_open
            self._inside += through
        try:
            yield through
        finally:
            with self._changed:
                self._inside -= through
                self._changed.notify_all()

    def open(self) -> None:
        """Let requests through."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let none through any more; those under way go on."""
        with self._changed:
            self._is_open = False

    def wait_until_nobody_is_inside(self) -> None:
        """Wait for those under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._inside)

    def end(self) -> None:
        """Never open again."""
        with self._changed:
            self._is_open, self._is_over = False, True
            self._changed.notify_all()


@dataclass
class Jobs:
    """The recurring data jobs of a round.

    Nobody reads the unread exports: a run whose answer was lost leaves a file that no journal can know of.
    """

    exports: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)

    @property
    def every(self) -> list[str]:
        """All of them."""
        return [*self.exports, *self.unread, *self.imports]


class Over(Exception):
    """The gate will not open any more."""


class Client:
    """One client, in a thread of its own."""

    def __init__(
        self,
        name: str,
        chance: random.Random,
        session: Session,
        tokens: Tokens,
        control: Control,
        jobs: Jobs,
        ledger: Ledger,
        gate: Gate,
    ) -> None:
        self._actor = f"authorised/{name}"
        self._name = name
        self._chance = chance
        self._session = session
        self._tokens = tokens
        self._control = control
        self._jobs = jobs
        self._ledger = ledger
        self._gate = gate
        self._numbers = count(1)
        self._messages: list[str] = []
        self._pending: list[tuple[str, Delivery, str]] = []
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def _work(self) -> None:
        deeds: tuple[Callable[[], None], ...] = (
            *(self._enqueue,) * 2,
            *(self._take,) * 6,
            *(self._acknowledge_late,) * 2,
            self._produce,
            self._ask,
        )
        try:
            while True:
                self._chance.choice(deeds)()
        except Over:
            return
        except BaseException as fault:  # noqa: BLE001 - handed to whoever waits for the end
            self.fault = fault

    def _send(self, ask: Ask) -> Reply | None:
        """Send a request with a token; None where even the token was not to be had."""
        with self._gate.passed() as through:
            if not through:
                raise Over
            try:
                token = self._tokens.current()
            except NothingProved:
                return None
            return self._session.send(ask, actor=self._actor, token=token)

    def _enqueue(self) -> None:
        activity = self._chance.choice(self._jobs.imports)
        size = self._chance.choice((20, 20, 20, 60_000))  # in its row, or in a file
        key = f"{self._name}{next(self._numbers):07d}"[-10:]
        content = f"CUSTOMERGROUPID,DESCRIPTION\r\n{key},{key}\r\n{' ' * size}\r\n".encode()
        reply = self._send(wire.enqueue(activity, content, entity="Customer groups"))
        message = None if reply is None else wire.message_id(reply)
        if message is not None:
            self._ledger.enqueued(activity, message)
            self._messages.append(message)

    def _take(self) -> None:
        activity = self._chance.choice(self._jobs.exports)
        reply = self._send(wire.dequeue(activity))
        delivery = None if reply is None else wire.delivery(reply)
        if delivery is None or delivery.location is None:
            return
        self._ledger.delivered(delivery.correlation or "", delivery.receipt or "")
        if self._chance.random() < 0.1:
            return  # This client forgets it; it comes back after its half hour.
        file = self._send(wire.download(delivery.location))
        if file is None or not file.ok:
            return
        taken = (activity, delivery, hashlib.sha256(file.body).hexdigest())
        if self._chance.random() < 0.3 and len(self._pending) < PENDING:
            self._pending.append(taken)
        else:
            self._acknowledge(*taken)

    def _acknowledge_late(self) -> None:
        if self._pending:
            self._acknowledge(*self._pending.pop(self._chance.randrange(len(self._pending))))

    def _acknowledge(self, activity: str, delivery: Delivery, sha256: str) -> None:
        reply = self._send(wire.ack(activity, delivery.body))
        if reply is not None and reply.ok:
            self._ledger.acknowledge(sha256)
        elif (reply is None or reply.failure is not None) and len(self._pending) < PENDING:
            self._pending.append((activity, delivery, sha256))  # in doubt: said again later

    def _produce(self) -> None:
        activity = self._chance.choice(self._jobs.unread)
        with self._gate.passed() as through:
            if not through:
                raise Over
            try:
                produced = self._control.produce(activity, self._chance.choice((1, 2, 3, 400)))
            except ControlError:
                return
        self._ledger.produced(activity, produced["messageId"], produced["sha256"])

    def _ask(self) -> None:
        if self._messages:
            message = self._chance.choice(self._messages)
            self._send(wire.message_status(message))
