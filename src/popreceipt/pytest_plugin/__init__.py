"""Fixtures for tests of middleware: an emulated connector, its clock, its faults, and its journal with a check.

Installed, the plugin is there in every pytest run, so it imports nothing until a test asks for it. It adds four
fixtures, a mark and an option of the ini file, all named after the connector, and judges nothing unless it is told to.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from popreceipt.pytest_plugin.connector import Connector, ConnectorClock, ConnectorFaults
    from popreceipt.pytest_plugin.houses import Houses
    from popreceipt.pytest_plugin.journal import ConnectorJournal

WHERE = "popreceipt_connector"

_MODULES = {
    "Connector": "connector",
    "ConnectorClock": "connector",
    "ConnectorFaults": "connector",
    "ConnectorJournal": "journal",
}


def __getattr__(name: str) -> Any:
    """The fixtures' types, for annotations: imported when they are asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option of the ini file."""
    parser.addini(WHERE, "where the emulator of the fixture `connector` runs: thread (of this process) or process")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the mark."""
    config.addinivalue_line(
        "markers",
        "connector(*, where, clock, profile, dialect, lease_seconds, tls): how the fixture `connector` is in a test",
    )


@pytest.fixture(scope="session")
def _connector_houses() -> "Iterator[Houses]":
    """The servers that tests share, each made when it is first needed."""
    from popreceipt.pytest_plugin.houses import Houses

    with Houses() as houses:
        yield houses


@pytest.fixture
def connector(request: pytest.FixtureRequest, _connector_houses: "Houses") -> "Iterator[Connector]":
    """A connector of this test's own: an emulated environment in its first state, on a clock that only you move.

    Its address stays the same over the tests of a run; activities, applications and secrets are those of the test. The
    mark `connector` says otherwise: `@pytest.mark.connector(clock="system", dialect="dequeue.empty-queue=200-empty")`.
    """
    from popreceipt.exceptions import PopreceiptError
    from popreceipt.pytest_plugin.houses import settings_of

    ways: dict[str, Any] = {"where": request.config.getini(WHERE) or "thread"}
    for mark in reversed(list(request.node.iter_markers("connector"))):  # the nearest counts
        ways |= mark.kwargs
        if mark.args:
            pytest.fail(f"the mark connector takes names only, as in clock='system', not {mark.args}", pytrace=False)
    try:
        opened = _connector_houses.open(settings_of(ways), request.node.nodeid)
    except PopreceiptError as error:
        pytest.fail(f"the fixture connector: {error}", pytrace=False)
    with opened as made:
        yield made


@pytest.fixture
def connector_clock(connector: "Connector") -> "ConnectorClock":
    """The connector's clock: `connector_clock.advance(minutes=30)`."""
    return connector.clock


@pytest.fixture
def connector_faults(connector: "Connector") -> "ConnectorFaults":
    """What goes wrong on purpose: `connector_faults.add("dequeue", "status", status=503, times=2)`."""
    return connector.faults


@pytest.fixture
def connector_journal(connector: "Connector") -> "ConnectorJournal":
    """What the client and the connector said to each other: `connector_journal.check()` holds it against the rules."""
    from popreceipt.pytest_plugin.journal import ConnectorJournal

    return ConnectorJournal(connector)
