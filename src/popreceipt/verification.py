"""Run the suites against a target, judge what crossed the wire, and write the results.

The suites drive, the rules judge the whole journal once, and the verdicts say what was not exercised and why.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from popreceipt import plugin, resources
from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.plugin import PLAYING, Playing, shown_by
from popreceipt.reports import junit, verdict_file
from popreceipt.rules import CHAPTERS, catalogue, find
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import Rule
from popreceipt.targets import Target
from popreceipt.verdict import Outcome, RuleVerdict, Verdicts, judge

Progress = Callable[[int, int, str], None]
"""Called with the number of scenarios played, of all, and the name of the one that comes next."""


class _Player:
    """The pytest plugin of one verification: hands over the target, picks scenarios, tells how far it is."""

    def __init__(self, playing: Playing, chosen: Collection[str], progress: Progress | None) -> None:
        self._playing = playing
        self._chosen = frozenset(chosen)
        self._progress = progress
        self._total = 0
        self._done = 0
        self.broken: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[PLAYING] = self._playing

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept = [each for each in items if self._chosen & set(shown_by(each))] if self._chosen else items
        config.hook.pytest_deselected(items=[each for each in items if each not in kept])
        items[:] = kept
        self._total = len(kept)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total, nodeid.rpartition("::")[2])
        self._done += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.when != "call":
            self.broken.append(f"{report.nodeid}: {report.longreprtext}")


def chosen_rules(chapters: Collection[str], rule_ids: Collection[str]) -> tuple[Rule, ...]:
    """The rules that `--chapter` and `--rule` name; all that bind a service where neither is given.

    Raises:
        UsageError: a chapter or a rule does not exist.
    """
    for chapter in chapters:
        if chapter not in CHAPTERS:
            raise UsageError(f"No chapter is called {chapter!r}. Chapters: {', '.join(CHAPTERS)}.")
    named = [find(each) for each in rule_ids]
    if not chapters and not named:
        return catalogue()
    wanted = {each.id for each in named}
    return tuple(each for each in catalogue() if each.id in wanted or each.chapter in chapters)


def verify(
    target: Target,
    *,
    seed: int = 0,
    chapters: Collection[str] = (),
    rule_ids: Collection[str] = (),
    progress: Progress | None = None,
    pytest_arguments: Collection[str] = (),
) -> Verdicts:
    """Play every scenario that shows a chosen rule, then judge the whole journal.

    Raises:
        NothingProved: no scenario could be played at all.
        UsageError: a chapter or a rule does not exist.
    """
    began = stopwatch()
    rules = chosen_rules(chapters, rule_ids)
    wanted = {each.id for each in rules} if chapters or rule_ids else set()
    playing = Playing(target, seed)
    player = _Player(playing, wanted, progress)
    status = _run_pytest(player, pytest_arguments)
    if player.broken:
        raise NothingProved("A suite could not be run: " + "\n".join(player.broken))
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise NothingProved(f"The suites did not come to their end (pytest: {pytest.ExitCode(status).name.lower()}).")
    target.journal.seal()
    readings = Readings(target.journal.header, target.journal.entries)
    verdicts = tuple(_explained(each, target, playing) for each in judge(readings, rules))
    return Verdicts(
        rules=verdicts,
        target={
            "name": target.name,
            "build": target.build,
            "clock": target.times.kind,
            "abilities": sorted(target.abilities),
        },
        seed=seed,
        duration_seconds=stopwatch() - began,
        notes=_notes(verdicts, playing),
    )


def _run_pytest(player: _Player, arguments: Collection[str]) -> int:
    suites = resources.suites()
    if not (suites / "conformance").is_dir():
        raise NothingProved(f"The suites are missing: {suites / 'conformance'} should be there.")
    # Only our own plugin: a user's other pytest plugins neither slow the run nor change it.
    kept = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        return pytest.main(
            [
                str(suites / "conformance"),
                f"--rootdir={suites}",
                f"--config-file={suites / 'conformance' / 'pytest.ini'}",
                "--import-mode=importlib",
                "--assert=plain",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:terminal",
                *arguments,
            ],
            plugins=[plugin, player],
        )
    finally:
        if kept is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = kept


def _explained(verdict: RuleVerdict, target: Target, playing: Playing) -> RuleVerdict:
    """An unexercised verdict with the reason why its scenarios did not exercise it."""
    if verdict.outcome is not Outcome.UNEXERCISED:
        return verdict
    missing = sorted(find(verdict.id).needs - target.abilities)
    if missing:
        reason = f"{target.name} lacks {', '.join(missing)}"
    else:
        reason = playing.failed.get(verdict.id) or playing.skipped.get(verdict.id) or "no scenario shows it yet"
    return replace(verdict, reason=reason)


def _notes(verdicts: Collection[RuleVerdict], playing: Playing) -> tuple[str, ...]:
    unexercised = {each.id for each in verdicts if each.outcome is Outcome.UNEXERCISED}
    return tuple(
        f"A scenario for {rule} could not be played to its end: {words}"
        for rule, words in sorted(playing.failed.items())
        if rule in unexercised
    )


def write_results(verdicts: Verdicts, out: Path) -> None:
    """Write `verdicts.json` and `junit.xml` into a folder."""
    junit.write(verdicts, out / "junit.xml")
    verdict_file.write(verdicts, out / "verdicts.json")


def open_journal_file(out: Path) -> IO[bytes]:
    """The file `journal.ndjson` in a folder that is made if it is missing.

    Raises:
        UsageError: the folder or the file cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        return (out / "journal.ndjson").open("wb")
    except OSError as error:
        raise UsageError(f"Cannot write reports to {out}: {error.strerror or error}. Give another --out.") from error
