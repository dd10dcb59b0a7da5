"""What was done to a target, in order, as it was asked for: requests with their tokens, and control calls.

A journal tells what crossed the wire and hides secrets. A tape tells what somebody has to do to make it cross again. It
is kept in memory while somebody listens, and never written down as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from popreceipt.client.wire import Ask, Pairs, Reply


@dataclass(frozen=True, slots=True)
class Sent:
    """A request: what was asked, by whom, with which token (None: with none), and the reply to it."""

    ask: Ask
    actor: str | None
    token: str | None = field(repr=False)
    headers: Pairs
    chunked: bool
    reply: Reply


@dataclass(frozen=True, slots=True)
class Told:
    """A control call that succeeded: method, path below the control plane's root, body and answer as JSON values."""

    method: str
    path: str
    body: Any
    answer: Any


Done = Sent | Told


class Tapes:
    """The tapes that are running on one target: whoever drives it adds to each of them, from any thread."""

    def __init__(self) -> None:
        self._running: list[list[Done]] = []

    def add(self, done: Done) -> None:
        """Note that something was done."""
        for tape in self._running:
            tape.append(done)

    @contextmanager
    def record(self) -> Iterator[list[Done]]:
        """A tape that runs for as long as the block lasts."""
        tape: list[Done] = []
        self._running.append(tape)
        try:
            yield tape
        finally:
            # By identity: two tapes may hold the same things.
            self._running = [each for each in self._running if each is not tape]
