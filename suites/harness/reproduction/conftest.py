"""Failures to be looked for again: a conformance scenario, played on a wrong emulator and taped."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import ModuleType

import pytest

from popreceipt import resources
from popreceipt.emulator.server import HttpServer
from popreceipt.exceptions import NotAbleTo
from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.oracles import RuleOracle
from popreceipt.stage import NoDelivery, Stage
from popreceipt.targets import make_emulator, open_target

Convicted = Callable[[str, str, str], Failure]


def _module(chapter: str) -> ModuleType:
    path = resources.suites() / "conformance" / f"test_{chapter}.py"
    spec = importlib.util.spec_from_file_location(f"scenarios_of_{chapter}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def convicted() -> Convicted:
    """Plays a scenario (`chapter:test`) on a target, which must violate a rule by it."""

    def play(target: str, scenario: str, rule: str) -> Failure:
        chapter, _, test = scenario.partition(":")
        oracle = RuleOracle(rule)
        with open_target(target) as opened, opened.taping() as tape:
            # What a scenario came to is judged, also where it could not go on.
            with suppress(NoDelivery, NotAbleTo):
                getattr(_module(chapter), f"test_{test}")(Stage(opened, scenario))
            found = oracle.observed(opened.journal.header, opened.journal.entries)
        assert found is not None, f"{target} kept {rule} in {scenario}"
        return Failure("conformance", test, oracle, *found, tape=tuple(tape))

    return play


@contextmanager
def _served(mutant: str) -> Iterator[str]:
    emulator = make_emulator(f"emulator:{mutant}", 0)
    with HttpServer(emulator) as server:
        yield server.base_url


@pytest.fixture(scope="session")
def served() -> Callable[[str], AbstractContextManager[str]]:
    """A server on loopback with a manual clock, with a defect or (an empty name) with none; its address."""
    return _served
