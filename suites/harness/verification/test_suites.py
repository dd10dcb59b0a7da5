"""Which suites a verification runs, what it tells of them, and failures that can be run again."""

import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from popreceipt import fuzz, lifecycle, verification
from popreceipt.client.session import Session
from popreceipt.exceptions import UsageError
from popreceipt.reports import junit, terminal
from popreceipt.reproduction import bundle
from popreceipt.reproduction.player import Place
from popreceipt.rules import catalogue
from popreceipt.targets import open_target
from popreceipt.verdict import Level, SuiteFailure, Verdicts

MUTANT = "emulator:lease-of-29-minutes"
RULE = "redelivery.not-before-half-an-hour"


@dataclass(frozen=True)
class Run:
    """One verification of a wrong emulator, and the folder of its results."""

    verdicts: Verdicts
    out: Path
    said: list[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The redelivery chapter on an emulator that hides a message too briefly, with bundles."""
    out = tmp_path_factory.mktemp("reports")
    said: list[str] = []
    with open_target(MUTANT) as target:
        verdicts = verification.verify(
            target,
            chapters=["redelivery"],
            reproduce=verification.into_bundles(Place(MUTANT), out / "bundles", said.append),
        )
    verification.write_results(verdicts, out)
    return Run(verdicts, out, said)


def test_a_violated_rule_names_the_bundle_that_shows_it(run: Run) -> None:
    """The verdict file names a folder, and what is in it fails when it is played, on this target alone."""
    told = json.loads((run.out / "verdicts.json").read_text())
    finding = next(each for each in told["rules"] if each["id"] == RULE)["findings"][0]
    assert Path(finding["bundle"]).parent == run.out / "bundles"
    found = bundle.read(Path(finding["bundle"]))
    assert bundle.replay(found, Place(MUTANT)).state == "failing"
    assert bundle.replay(found, Place("emulator:")).state == "fixed"
    assert any(RULE in words for words in run.said)


def test_failures_are_told_once_each(run: Run) -> None:
    """A rule that several scenarios break stands once among the failures, with who found it."""
    told = json.loads((run.out / "verdicts.json").read_text())
    assert [(each["check"], each["suite"], each["level"]) for each in told["failures"]] == [
        (RULE, "conformance", "MUST")
    ]
    assert run.verdicts.exit_status() == 1


def test_the_terminal_says_how_to_run_it_again(run: Run) -> None:
    """The command stands there, ready to be copied."""
    written = StringIO()
    terminal.print_verdicts(Console(file=written, width=200), run.verdicts, {each.id: each for each in catalogue()}, {})
    assert f"popreceipt replay {run.out / 'bundles' / RULE}" in written.getvalue()


def test_a_bundle_that_cannot_be_written_is_said_and_not_fatal(tmp_path: Path) -> None:
    """The verdicts stand without it."""
    (tmp_path / "taken").write_text("")
    said: list[str] = []
    with open_target(MUTANT) as target:
        verdicts = verification.verify(
            target,
            rule_ids=[RULE],
            reproduce=verification.into_bundles(Place(MUTANT), tmp_path / "taken", said.append),
        )
    assert verdicts.exit_status() == 1
    assert [each.bundle for each in verdicts.failures] == [None]
    assert any("no bundle" in words and "taken" in words for words in said)


CHECK = SuiteFailure(
    "fuzz", "ack", "response_schema.ack", Level.MUST, "The answer has the documented shape.", "CorrelationId is 7", (3,)
)


def failing(**changes: Any) -> Verdicts:
    """A run in which all rules are well and one check of a suite failed."""
    members = {"rules": (), "target": {"name": "T"}, "suites": {"fuzz": {"cases": 7}}, "failures": (CHECK,)}
    return Verdicts(**(members | changes))


def test_a_failed_check_is_a_finding() -> None:
    """It counts though no rule is violated; one that only recommends counts where it is asked for."""
    assert failing().exit_status() == 1
    mild = SuiteFailure("fuzz", "ack", "style.ack", Level.SHOULD, "Better so.", "it is not")
    assert failing(failures=(mild,)).exit_status(strict=True) == 1
    assert failing(failures=(mild,)).exit_status() != 1


def test_a_failed_check_stands_in_every_report(tmp_path: Path) -> None:
    """In the terminal's with what was expected, and in JUnit's as a failure of its suite."""
    written = StringIO()
    terminal.print_verdicts(Console(file=written, width=120), failing(), {}, {})
    assert "response_schema.ack failed (fuzz, ack)" in written.getvalue()
    assert "CorrelationId is 7" in written.getvalue()
    assert "fuzz: 7 cases" in written.getvalue()
    machines = {"one": {"steps": 1200, "seed": 5}, "two": {"steps": 34, "seed": 5}}
    written = StringIO()
    terminal.print_verdicts(Console(file=written, width=120), failing(suites={"lifecycle": machines}), {}, {})
    assert "lifecycle: 2 parts, 1,234 steps" in written.getvalue()
    junit.write(failing(), tmp_path / "junit.xml")
    (case,) = ElementTree.parse(tmp_path / "junit.xml").getroot().iter("testcase")
    assert case.get("name") == "response_schema.ack"
    assert case.find("failure") is not None


def test_a_suite_that_could_not_run_says_why(tmp_path: Path) -> None:
    """As a skipped case, and as a line in the terminal."""
    unexercised = failing(failures=(), suites={"fuzz": {"unexercised": "not permitted"}})
    written = StringIO()
    terminal.print_verdicts(Console(file=written, width=120), unexercised, {}, {})
    assert "fuzz: unexercised: not permitted" in written.getvalue()
    junit.write(unexercised, tmp_path / "junit.xml")
    (skipped,) = ElementTree.parse(tmp_path / "junit.xml").getroot().iter("skipped")
    assert "not permitted" in str(skipped.get("message"))


def test_which_suites_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are installed; conformance alone where rules are picked; those that are named."""
    assert verification.suites_to_run(None, narrowed=False) == (("conformance", "fuzz", "lifecycle"), ())
    assert verification.suites_to_run(None, narrowed=True) == (("conformance",), ())
    assert verification.suites_to_run(["lifecycle", "conformance"], narrowed=True) == (("conformance", "lifecycle"), ())
    with pytest.raises(UsageError, match="conformance, fuzz, lifecycle"):
        verification.suites_to_run(["poetry"], narrowed=False)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "schemathesis" else found(name))
    assert verification.suites_to_run(None, narrowed=False) == (("conformance", "lifecycle"), ("fuzz",))
    with pytest.raises(UsageError, match=r"popreceipt\[suites\]"):
        verification.suites_to_run(["fuzz"], narrowed=False)


@pytest.fixture
def stoppable() -> Iterator[None]:
    """Ctrl-C reaches this process, also where a shell that started it in the background told it to ignore that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_is_no_verdict() -> None:
    """Ctrl-C among the scenarios reaches whoever started them, so that the command ends as one that was stopped."""

    def stop(done: int, total: int, name: str) -> None:  # noqa: ARG001 - it is called with all three
        if done == 2:
            raise KeyboardInterrupt

    with open_target("emulator:") as target, pytest.raises(KeyboardInterrupt):
        verification.verify(target, chapters=["redelivery"], progress=stop)


@pytest.mark.usefixtures("stoppable")
def test_an_engine_that_swallows_an_interruption_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that catches Ctrl-C and ends as if all were well is followed by no other, and nothing is judged."""
    called: list[str] = []

    def swallows(name: str) -> Callable[..., Any]:
        def run(*_: object, **__: object) -> Any:
            called.append(name)
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                pytest.skip("all is well")

        return run

    for module in (fuzz, lifecycle):
        monkeypatch.setattr(module, "run", swallows(module.__name__))
    with open_target("emulator:") as target, pytest.raises(KeyboardInterrupt):
        verification.verify(target, suites=["fuzz", "lifecycle"])
    assert called == ["popreceipt.fuzz"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("stoppable")
def test_an_interruption_that_nobody_could_catch_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may strike in a callback of the garbage collector: pytest complains of it at its end, as of a defect."""

    def complains(*_: object) -> int:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise pytest.PytestUnraisableExceptionWarning("Exception ignored in: <function gc_callback>")

    monkeypatch.setattr(verification, "_run_pytest", complains)
    with open_target("emulator:") as target, pytest.raises(KeyboardInterrupt):
        verification.verify(target)


def test_a_fault_in_an_engine_is_no_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody stopped anything it goes on as what it is."""

    def fails(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(verification, "_run_pytest", fails)
    with open_target("emulator:") as target, pytest.raises(ZeroDivisionError):
        verification.verify(target)


@pytest.mark.usefixtures("stoppable")
def test_fuzzing_is_over_with_the_phase_that_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine takes a Ctrl-C for the end of a phase, and means to go on with the next: here nothing follows."""
    send = Session.send
    sent = 0

    def interrupted(*arguments: Any, **more: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == AMONG_EXAMPLES:
            os.kill(os.getpid(), signal.SIGINT)
        return send(*arguments, **more)

    with open_target("emulator:") as target:
        monkeypatch.setattr(Session, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fuzz.run(target, seed=0)
    # Those that were under way, and no phase after them: a whole run asks some thousand times.
    assert AMONG_EXAMPLES <= sent < AMONG_EXAMPLES + 100


AMONG_EXAMPLES = 60
"""So many requests after its beginning fuzzing is in the middle of its first phase."""
