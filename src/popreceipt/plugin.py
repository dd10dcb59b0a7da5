"""The pytest plugin: fixtures for scenarios, and judging after each.

A scenario is a test that `@shows` rules on a `stage`. It is skipped, with the reason, where the target lacks an ability
it needs; it fails when a MUST rule it shows is violated, or when a rule it shows found nothing to judge.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from popreceipt.exceptions import NotAbleTo, PopreceiptError

if TYPE_CHECKING:
    from popreceipt.client.tape import Done
    from popreceipt.reproduction.failure import Failure
    from popreceipt.stage import Stage
    from popreceipt.targets import Target


@dataclass
class Playing:
    """What scenarios of one pytest run share: the target, and what became of each rule's scenarios.

    `effort` is how long searches look: fast or thorough. `figures` is what each suite did, by its name. `tell` is
    called by long work with how far it is.
    """

    target: "Target"
    seed: int
    effort: str = "fast"
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    failures: "list[Failure]" = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    tell: Callable[[str], None] | None = None


PLAYING = pytest.StashKey[Playing]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for a plain pytest run; `popreceipt verify` sets the same things by itself."""
    group = parser.getgroup("popreceipt", "conformance scenarios of popreceipt")
    group.addoption("--popreceipt-target", default="emulator:", metavar="T", help="whom the scenarios drive")
    group.addoption("--popreceipt-seed", type=int, default=0, metavar="N", help="seed of the scenarios' contents")
    group.addoption("--popreceipt-effort", choices=("fast", "thorough"), default="fast", help="how long searches look")
    group.addoption("--popreceipt-strict", action="store_true", help="a violated SHOULD fails its scenario as well")
    group.addoption("--popreceipt-ca", type=Path, default=None, metavar="FILE", help="authority of a TLS target")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the mark."""
    config.addinivalue_line("markers", "shows(*rules, needs=()): the rules that a scenario shows")


@pytest.fixture(scope="session")
def playing(request: pytest.FixtureRequest) -> Iterator[Playing]:
    """The target of this run, open for all its scenarios."""
    config = request.config
    if (given := config.stash.get(PLAYING, None)) is not None:
        yield given
        return
    from popreceipt.targets import open_target  # late: a pytest run without scenarios pays nothing for the plugin

    seed = config.getoption("--popreceipt-seed")
    with open_target(
        config.getoption("--popreceipt-target"), seed=seed, ca=config.getoption("--popreceipt-ca")
    ) as target:
        config.stash[PLAYING] = Playing(target, seed, config.getoption("--popreceipt-effort"))
        yield config.stash[PLAYING]


@pytest.fixture
def stage(request: pytest.FixtureRequest, playing: Playing) -> "Iterator[Stage]":
    """The target, set for one scenario; skips where it lacks an ability that the scenario needs."""
    from popreceipt.stage import Stage

    target = playing.target
    missing = sorted(needs_of(request.node) - target.abilities)
    if missing:
        pytest.skip(f"{target.name} lacks {', '.join(missing)}")
    request.node.stash[_MARK] = target.journal_mark()
    with target.taping() as tape:
        request.node.stash[_TAPE] = tape
        made = Stage(target, f"{playing.seed}:{request.node.nodeid}")
        yield made
        made.leave()


_MARK = pytest.StashKey[int]()
_TAPE: "pytest.StashKey[list[Done]]" = pytest.StashKey()


def shown_by(item: pytest.Item) -> tuple[str, ...]:
    """The rules that a scenario declares, nothing for an ordinary test."""
    return tuple(rule for mark in item.iter_markers("shows") for rule in mark.args)


def needs_of(item: pytest.Item) -> frozenset[str]:
    """The abilities that a scenario asks of its target."""
    from popreceipt.rules import find

    needs: set[str] = set()
    for mark in item.iter_markers("shows"):
        for rule in mark.args:
            needs |= find(rule).needs
        needs |= set(mark.kwargs.get("needs", ()))
    return frozenset(needs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """After a scenario was played: judge what it shows."""
    if item.get_closest_marker("shows") is None:
        return (yield)
    from popreceipt.stage import NoDelivery

    stopped: NoDelivery | None = None
    result = None
    try:
        result = yield
    except NotAbleTo as error:
        pytest.skip(str(error))
    except NoDelivery as error:
        stopped = error
    except PopreceiptError as error:
        pytest.fail(str(error), pytrace=False)
    if _MARK not in item.stash:
        pytest.fail("a scenario that shows rules asks for the stage", pytrace=False)
    complaints = _complaints(item)
    if stopped is not None:
        complaints.insert(0, f"the scenario could not go on: {stopped}")
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)
    return result


def _complaints(item: pytest.Item) -> list[str]:
    """What is wrong with the rules that a scenario declares, judged on what it brought into the journal."""
    from popreceipt.reproduction.failure import Failure
    from popreceipt.reproduction.oracles import RuleOracle
    from popreceipt.rules import find
    from popreceipt.rules.readings import Readings
    from popreceipt.verdict import Level, Outcome, judge

    playing = item.config.stash[PLAYING]
    target = playing.target
    readings = Readings(target.journal.header, target.entries_since(item.stash[_MARK]))
    strict = item.config.getoption("--popreceipt-strict", default=False)
    tape = item.stash[_TAPE]
    complaints = []
    for verdict in judge(readings, [find(rule) for rule in shown_by(item)]):
        if verdict.outcome is Outcome.VIOLATED:
            worst = verdict.findings[0]
            playing.failures.append(
                Failure(
                    "conformance",
                    item.name,
                    RuleOracle(verdict.id),
                    worst.message,
                    worst.exchanges,
                    tuple(tape),
                    playing.seed,
                )
            )
        if verdict.outcome is Outcome.VIOLATED and (verdict.level is Level.MUST or strict):
            complaints += [f"{verdict.id} is violated: {each.message}" for each in verdict.findings[:1]]
        elif verdict.outcome is Outcome.UNEXERCISED:
            complaints.append(f"{verdict.id} found nothing to judge")
    return complaints


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Remember why a scenario was skipped or failed: it is the reason why its rules stayed unexercised."""
    report = yield
    playing = item.config.stash.get(PLAYING, None)
    if playing is not None and call.excinfo is not None:
        words = str(call.excinfo.value).strip() or call.excinfo.typename
        kept = playing.skipped if report.skipped else playing.failed
        for rule in shown_by(item):
            kept.setdefault(rule, words.splitlines()[0])
    return report
