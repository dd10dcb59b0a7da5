"""What can be served, and what else of a service the server makes use of."""

from typing import Protocol, runtime_checkable

from popreceipt.clock import Clock
from popreceipt.emulator.http import Request, Response


class Limits(Protocol):
    """The one thing that the server asks of a profile."""

    @property
    def body_limit(self) -> int:
        """The longest request body in bytes."""


class Service(Protocol):
    """What can be served: the emulator, as far as the server needs it."""

    base_url: str

    @property
    def clock(self) -> Clock:
        """The clock whose time the answers' `Date` shows."""

    @property
    def profile(self) -> Limits:
        """The profile in force."""

    def handle(self, request: Request) -> Response:
        """The answer to one request."""


@runtime_checkable
class Grouping(Protocol):
    """A service that makes the effects of several requests durable together."""

    def keep(self) -> bool:
        """Make durable what was answered so far; no answer is sent before.

        False says that it could not be, and that nothing of it was done: the answer to all of it is a bare 500.
        """


@runtime_checkable
class Deferring(Protocol):
    """A service that leaves work for later while it answers."""

    def catch_up(self) -> None:
        """Do what was left. Called when the answers are on their way."""
