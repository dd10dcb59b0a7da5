"""Stages to plan faults on: the emulator in this process, and the same behind a socket."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.server import HttpServer
from popreceipt.stage import Stage
from popreceipt.targets import open_target

Played = tuple[str, int | None, str | None]

SHORT = 0.3
"""Real seconds that a client over a socket waits for an answer that never comes."""


@contextmanager
def _near() -> Iterator[tuple[Stage, Emulator]]:
    with open_target("emulator:") as target:
        assert target.emulator is not None
        yield Stage(target, "faults"), target.emulator
        assert target.emulator.faults == []


@contextmanager
def _far(*, tls: bool = False) -> Iterator[tuple[Stage, Emulator]]:
    emulator = Emulator(ManualClock())
    with HttpServer(emulator, tls=tls) as server, open_target(server.base_url, ca=server.ca_file) as target:
        target.session.timeout = SHORT
        yield Stage(target, "faults"), emulator
    assert emulator.faults == []


@pytest.fixture
def near() -> Iterator[Stage]:
    with _near() as (stage, _):
        yield stage


@pytest.fixture
def emulator(near: Stage) -> Emulator:
    """The emulator behind `near`."""
    assert near.target.emulator is not None
    return near.target.emulator


@pytest.fixture
def call(emulator: Emulator) -> Callable[..., Response]:
    """A bare call of the control plane below `/faults`."""

    def send(method: str, body: bytes = b"") -> Response:
        return emulator.handle(Request(method, "/_control/v1/faults", body=body))

    return send


@pytest.fixture(params=["in process", "over HTTP", "over TLS"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[tuple[Stage, Emulator]]:
    """A stage and its emulator, however the one reaches the other."""
    with _near() if request.param == "in process" else _far(tls=request.param == "over TLS") as both:
        yield both


@pytest.fixture
def both() -> Iterator[tuple[tuple[Stage, Emulator], tuple[Stage, Emulator]]]:
    """The two at once, of one seed."""
    with ExitStack() as closing:
        yield closing.enter_context(_near()), closing.enter_context(_far())
