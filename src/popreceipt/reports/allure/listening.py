"""A plugin of pytest beside allure-pytest: what a scenario said on the wire becomes steps and attachments of its case.

A scenario stands below its chapter and the rules that it shows, bears the highest of their levels, and links to where
they stand. Cases that are generated, of parameters or by a generator of items, get an identity each. Of searches, which
send thousands of requests, only figures are attached: what they find is told as results of their own.
"""

from collections.abc import Generator
from typing import Any, Final, Protocol

import allure
import allure_commons
import pytest

from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange
from popreceipt.reports.allure import bounds
from popreceipt.reports.allure.bounds import Budget
from popreceipt.reports.allure.cases import SEVERITY
from popreceipt.reports.allure.discretion import Discretion, figures_text
from popreceipt.reports.allure.folder import COMMAND_LABEL
from popreceipt.reports.allure.verdicts import SCENARIOS, SEARCHES, links_of
from popreceipt.reports.plain import plain
from popreceipt.rules import find
from popreceipt.rules.rule import Rule
from popreceipt.targets import Target
from popreceipt.verdict import Level

BUDGET: Final = pytest.StashKey[Budget]()
"""What may still be attached in this run."""

DISCRETION: Final = pytest.StashKey[Discretion]()
"""What may be told of what failed in this run."""


class Playing(Protocol):
    """What scenarios of one run share, as far as it is told here."""

    @property
    def target(self) -> Target:
        """Whom they drive."""

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """What each suite did, by its name."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin with a whole budget, and stand before what writes results until the run is over."""
    config.stash[BUDGET] = Budget()
    discretion = config.stash[DISCRETION] = Discretion()
    allure_commons.plugin_manager.register(discretion)
    config.add_cleanup(lambda: allure_commons.plugin_manager.unregister(discretion))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell of each test where it stands, before it is known whether it will be skipped."""
    for item in items:
        item.add_marker(pytest.mark.allure_label("verify", label_type=COMMAND_LABEL))
        rules = _shown_by(item)
        if rules:
            _place(item, rules)
        elif item.nodeid.startswith(("fuzz/", "lifecycle/")):
            item.add_marker(pytest.mark.allure_label(SEARCHES, label_type="epic"))
            item.add_marker(pytest.mark.allure_label(item.nodeid.partition("/")[0], label_type="feature"))
            item.add_marker(pytest.mark.allure_label(SEVERITY[Level.MUST], label_type="severity"))


def _place(item: pytest.Item, rules: list[Rule]) -> None:
    levels = [each.level for each in rules]
    worst = next(each for each in Level if each in levels)
    for kind, values in {
        "epic": [SCENARIOS],
        "feature": [rules[0].chapter],
        "story": [each.id for each in rules],
        "severity": [SEVERITY[worst]],
        "tag": [worst.value],
    }.items():
        item.add_marker(pytest.mark.allure_label(*values, label_type=kind))
    for rule in rules:
        for name, place in links_of(rule):
            item.add_marker(pytest.mark.allure_link(place, link_type="link", name=name))


def _shown_by(item: pytest.Item) -> list[Rule]:
    """The rules that a scenario declares; none for an ordinary test."""
    found = []
    for name in dict.fromkeys(name for mark in item.iter_markers("shows") for name in mark.args):
        try:
            found.append(find(name))
        except UsageError:
            continue  # that there is no such rule is said when the scenario is judged
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give each case that was generated a parameter that tells it from its like, whatever becomes of it.

    Values that are swapped between two parameters make one identity of two cases, and items that a generator makes
    (schemathesis: one for each operation) have no parameters at all.
    """
    callspec = getattr(item, "callspec", None)
    if callspec is not None:
        allure.dynamic.parameter("case", callspec.id)
        for name, value in callspec.params.items():
            # The case's own name is enough; a value may be an object that is told by its place in memory.
            allure.dynamic.parameter(name, value, excluded=True)
    elif "[" in item.name:
        allure.dynamic.parameter("operation", item.name.partition("[")[2].removesuffix("]"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """After a test was played and judged: attach what it said."""
    playing = _playing(item)
    mark = playing.target.journal_mark() if playing is not None else 0
    discretion = item.config.stash[DISCRETION]
    if playing is not None:
        discretion.learn(playing.target.identity)
    failed = False
    try:
        return (yield)
    except pytest.skip.Exception:
        raise
    except BaseException:
        failed = True
        raise
    finally:
        if playing is not None:
            budget = item.config.stash[BUDGET]
            if item.get_closest_marker("shows") is not None:
                _tell(playing.target, mark, budget, discretion, failed=failed)
            else:
                _tell_figures(playing, budget, discretion, failed=failed)


def _playing(item: pytest.Item) -> Playing | None:
    """What the scenarios share; None for a test that has nothing to do with them."""
    found: Playing | None = getattr(item, "funcargs", {}).get("playing")
    return found if isinstance(getattr(found, "target", None), Target) else None


def _tell(target: Target, mark: int, budget: Budget, discretion: Discretion, *, failed: bool) -> None:
    entries = target.journal.entries[mark:]
    exchanges = [each for each in entries if isinstance(each, Exchange)]
    for name in bounds.step_names(exchanges):
        with allure.step(name):
            pass
    if not exchanges:
        return
    header = target.journal.header
    if failed:
        # Rules look at what was told before as well. Where that is too much, the scenario's own part says more.
        most = bounds.JOURNAL_BYTES_OF_FAILED
        text = bounds.journal_text(header, target.entries_since(mark), most)
        text = text if bounds.is_whole(text) else bounds.journal_text(header, entries, most)
    else:
        text = bounds.journal_text(header, entries, bounds.JOURNAL_BYTES)
    _attach(text, "journal", "application/x-ndjson", "ndjson", budget, discretion, failed=failed)
    if failed:
        again = bounds.curl_text(exchanges, movable=target.times.kind == "manual")
        _attach(again, "again with curl", "text/plain", "sh", budget, discretion, failed=True)


def _tell_figures(playing: Playing, budget: Budget, discretion: Discretion, *, failed: bool) -> None:
    if playing.figures:
        text = figures_text(playing.figures, bounds.FIGURES_BYTES)
        _attach(text, "figures", "application/json", "json", budget, discretion, failed=failed)


def _attach(
    text: str, name: str, media_type: str, extension: str, budget: Budget, discretion: Discretion, *, failed: bool
) -> None:
    told = discretion.without_known(plain(text))
    if budget.takes(told, failed=failed):
        allure.attach(told, name=name, attachment_type=media_type, extension=extension)
    else:
        with allure.step(bounds.LEFT_OUT.format(name)):
            pass
