"""Run the suites against a target, judge what crossed the wire, and write the results.

The suites drive, the rules judge the whole journal once, and the verdicts say what was not exercised and why.
"""

import importlib.util
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO, Final

import pytest

from popreceipt import plugin, resources
from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved, PopreceiptError, UsageError
from popreceipt.plugin import PLAYING, Playing, shown_by
from popreceipt.reports import junit, verdict_file
from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.player import Place
from popreceipt.rules import CHAPTERS, catalogue, find
from popreceipt.rules.eras import judge_eras
from popreceipt.rules.rule import Rule
from popreceipt.targets import Target
from popreceipt.verdict import Level, Outcome, RuleVerdict, SuiteFailure, Verdicts, merged

Progress = Callable[[int, int, str], None]
"""Called with the number of scenarios played, of all, and the name of the one that comes next."""

Reproduce = Callable[[Failure], str | None]
"""Makes a failure one that can be run again; where that stands, None where it could not be made so."""

CONFORMANCE: Final = "conformance"

HISTORIES: Final = "histories"
"""A part of the suite lifecycle with figures of its own: it may be left out where the machines are not."""

ENGINES: Final[Mapping[str, tuple[str, ...]]] = {
    CONFORMANCE: (),
    "fuzz": ("schemathesis",),
    "lifecycle": ("hypothesis",),
}
"""The suites, in the order in which they run, each with the packages that it takes beyond the core."""


class _Player:
    """The pytest plugin of one verification: hands over the target, picks scenarios, tells how far it is.

    `broken` is what could not be run; `crashed` the tests of further suites that failed and named no failure;
    `searching_from` is where in the journal the scenarios end and searches begin; `stopped` whether somebody pressed
    Ctrl-C.
    """

    def __init__(self, playing: Playing, chosen: Collection[str], progress: Progress | None) -> None:
        self._playing = playing
        self._chosen = frozenset(chosen)
        self._progress = progress
        self._total = 0
        self._done = 0
        self._name = ""
        self.broken: list[str] = []
        self.crashed: list[str] = []
        self.searching_from: int | None = None
        self.stopped = False
        playing.tell = self._tell

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Remember a Ctrl-C, whoever catches it: an engine may end only its own phase, and go on with the next."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield  # Nobody is told of it here, or nobody wants to be.
            return

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            before(number, frame)

        signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _go_on(self) -> None:
        if self.stopped:
            raise KeyboardInterrupt

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[PLAYING] = self._playing

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        # Only scenarios show rules; what further suites bring is not picked by rule.
        kept = [each for each in items if not self._chosen or not shown_by(each) or self._chosen & set(shown_by(each))]
        config.hook.pytest_deselected(items=[each for each in items if each not in kept])
        items[:] = kept
        self._total = len(kept)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._name = nodeid.rpartition("::")[2]
        if self.searching_from is None and not nodeid.startswith(f"{CONFORMANCE}/"):
            self.searching_from = self._playing.target.journal_mark()
        if self._progress is not None:
            self._progress(self._done, self._total, self._name)
        self._done += 1

    def pytest_runtest_logfinish(self) -> None:
        self._go_on()

    def _tell(self, words: str) -> None:
        self._go_on()
        if self._progress is not None:
            self._progress(self._done - 1, self._total, words)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.when != "call":
            self.broken.append(f"{report.nodeid}: {report.longreprtext}")
        suite = report.nodeid.partition("/")[0]
        if suite == CONFORMANCE:
            return
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            part = HISTORIES if HISTORIES in report.nodeid else suite
            self._playing.figures.setdefault(part, {})["unexercised"] = reason.removeprefix("Skipped: ")
        elif report.failed and report.when == "call" and not any(e.suite == suite for e in self._playing.failures):
            self.crashed.append(f"{report.nodeid} did not come to its end: {report.longreprtext}")


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
    suites: Collection[str] = (CONFORMANCE,),
    effort: str = "fast",
    progress: Progress | None = None,
    pytest_arguments: Collection[str] = (),
    reproduce: Reproduce | None = None,
) -> Verdicts:
    """Run the suites (of conformance, every scenario that shows a chosen rule), then judge the whole journal.

    Args:
        target: whom to judge.
        seed: of everything that is made up.
        chapters: only rules of these.
        rule_ids: only these rules.
        suites: conformance, fuzz, lifecycle.
        effort: how long searches look: fast or thorough.
        progress: told how far it is.
        pytest_arguments: handed on.
        reproduce: makes a failure one that can be run again, and says where; the first one of each kind is handed over.

    Raises:
        KeyboardInterrupt: somebody stopped it; nothing was judged.
        NothingProved: nothing could be played at all.
        UsageError: a chapter, a rule or a suite does not exist.
    """
    began = stopwatch()
    rules = chosen_rules(chapters, rule_ids)
    wanted = {each.id for each in rules} if chapters or rule_ids else set()
    chosen = chosen_suites(suites)
    playing = Playing(target, seed, effort)
    player = _Player(playing, wanted, progress)
    try:
        with player.heeding():
            status = _run_pytest(player, chosen, pytest_arguments)
    except Exception:
        # Ctrl-C may strike where nobody can catch it, such as in a callback of the garbage collector; then pytest
        # complains of that at its end.
        if player.stopped:
            raise KeyboardInterrupt from None
        raise
    if player.stopped or (status == pytest.ExitCode.INTERRUPTED and not player.broken):
        raise KeyboardInterrupt  # pytest caught it to tidy up; whoever started this is told what it was
    if player.broken:
        raise NothingProved("A suite could not be run: " + "\n".join(player.broken))
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise NothingProved(f"The suites did not come to their end (pytest: {pytest.ExitCode(status).name.lower()}).")
    target.journal.seal()
    verdicts = tuple(_explained(each, target, playing) for each in _judged(target, rules, player.searching_from))
    failures = tuple(_told(each, reproduce) for each in _first_of_each(playing.failures))
    bundles = {each.check: each.bundle for each in failures if each.bundle is not None}
    return Verdicts(
        rules=tuple(replace(each, bundle=bundles.get(each.id)) for each in verdicts),
        target={
            "name": target.name,
            "build": target.build,
            "clock": target.times.kind,
            "abilities": sorted(target.abilities),
        },
        seed=seed,
        duration_seconds=stopwatch() - began,
        complete=not player.crashed,
        notes=(*player.crashed, *_notes(verdicts, playing)),
        suites=playing.figures,
        failures=failures,
    )


def _judged(target: Target, rules: Sequence[Rule], searching_from: int | None) -> tuple[RuleVerdict, ...]:
    """One verdict a rule: that of the scenarios, unless they found nothing to judge or a search found a violation.

    Searches look for violations. What they leave undecided on their way says nothing about a rule that scenarios show.
    """
    header, entries = target.journal.header, target.journal.entries
    if searching_from is None:
        return judge_eras(header, entries, rules)
    shown = judge_eras(header, entries[:searching_from], rules)
    searched = judge_eras(header, target.entries_since(searching_from), rules)
    found = []
    for one, other in zip(shown, searched, strict=True):
        if one.outcome is Outcome.UNEXERCISED:
            found.append(other)
        else:
            found.append(merged(one, other) if other.outcome is Outcome.VIOLATED else one)
    return tuple(found)


def chosen_suites(names: Collection[str]) -> tuple[str, ...]:
    """Suites by name, in the order in which they run.

    Raises:
        UsageError: there is none of a name, or its engine is not installed.
    """
    for name in names:
        if name not in ENGINES:
            raise UsageError(f"No suite is called {name!r}. Suites: {', '.join(ENGINES)}.")
        if missing := missing_engines(name):
            raise UsageError(f"The suite {name} needs {', '.join(missing)}: pip install 'popreceipt[suites]'.")
    return tuple(each for each in ENGINES if each in names)


def suites_to_run(named: Collection[str] | None, *, narrowed: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which suites run, and which are left out because their engine is not installed.

    Args:
        named: the suites that were asked for; nothing for the usual ones.
        narrowed: only certain rules are wanted, and only scenarios can be picked by rule.

    Raises:
        UsageError: there is no such suite, or its engine is not installed.
    """
    if named:
        return chosen_suites(named), ()
    if narrowed:
        return (CONFORMANCE,), ()
    left_out = tuple(each for each in ENGINES if missing_engines(each))
    return tuple(each for each in ENGINES if each not in left_out), left_out


def missing_engines(suite: str) -> list[str]:
    """The packages that a suite needs and that are not installed."""
    return [each for each in ENGINES[suite] if importlib.util.find_spec(each) is None]


def _first_of_each(failures: Iterable[Failure]) -> Iterator[Failure]:
    """The first failure of each kind, those that convict before the others."""
    seen: set[str] = set()
    for each in sorted(failures, key=lambda one: one.oracle.level is not Level.MUST):
        if each.oracle.name not in seen:
            seen.add(each.oracle.name)
            yield each


def _told(failure: Failure, reproduce: Reproduce | None) -> SuiteFailure:
    return SuiteFailure(
        suite=failure.suite,
        where=failure.where,
        check=failure.oracle.name,
        level=failure.oracle.level,
        expected=failure.oracle.expected,
        message=failure.message,
        exchanges=failure.exchanges,
        bundle=None if reproduce is None else reproduce(failure),
    )


def _run_pytest(player: _Player, chosen: Collection[str], arguments: Collection[str]) -> int:
    suites = resources.suites()
    for each in chosen:
        if not (suites / each).is_dir():
            raise NothingProved(f"The suites are missing: {suites / each} should be there.")
    # Only our own plugin: a user's other pytest plugins neither slow the run nor change it.
    kept = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        return pytest.main(
            [
                *(str(suites / each) for each in chosen),
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


def into_bundles(place: Place, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Reproduce:
    """What makes failures into bundles below a folder: the first of them, for each takes a while.

    Args:
        place: where they failed, to be played on again.
        folder: gets the bundles.
        tell: told of each before it is made, and why one could not be made.
    """
    made: list[Path] = []

    def reproduce(failure: Failure) -> str | None:
        from popreceipt.reproduction import bundle  # late: a run in which all is well has no use for it

        if len(made) == MOST_BUNDLES or not failure.tape:
            return None
        tell(f"making a bundle of {failure.oracle.name}")
        try:
            path = bundle.write(
                failure,
                place.target,
                folder,
                seed=place.seed,
                budget=REPLAYS,
                ca=place.ca,
                control_key=place.control_key,
                patience_seconds=place.patience_seconds,
            )
        except PopreceiptError as error:
            tell(f"no bundle of {failure.oracle.name}: {error}")
            return None
        made.append(path)
        return str(path)

    return reproduce


MOST_BUNDLES: Final = 10
"""Failures of one run that become bundles: whoever has more has enough to do."""

REPLAYS: Final = 300
"""How often a story is played to make it small."""


VERDICTS: Final = "verdicts.json"
JUNIT: Final = "junit.xml"


def write_results(verdicts: Verdicts, out: Path) -> None:
    """Write `verdicts.json` and `junit.xml` into a folder."""
    junit.write(verdicts, out / JUNIT)
    verdict_file.write(verdicts, out / VERDICTS)


def open_journal_file(out: Path) -> IO[bytes]:
    """The file `journal.ndjson` in a folder that is made if it is missing.

    Verdicts of an earlier run that lie there go: they would stand beside a journal that is not theirs, and be taken for
    those of a run that did not come to its end.

    Raises:
        UsageError: the folder or the file cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for earlier in (VERDICTS, JUNIT):
            (out / earlier).unlink(missing_ok=True)
        return (out / "journal.ndjson").open("wb")
    except OSError as error:
        raise UsageError(f"Cannot write reports to {out}: {error.strerror or error}. Give another --out.") from error
