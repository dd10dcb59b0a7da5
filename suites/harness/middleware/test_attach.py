"""A subject that runs already: it is told where to call, waited for, and left alone."""

import json
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from popreceipt.middleware.attach import attached, write_environment
from popreceipt.middleware.crew import play_all
from popreceipt.middleware.running import Options, Stopping, play
from popreceipt.middleware.scenario import Scenario
from popreceipt.middleware.subject import CannotStart

SECONDS = 100.0


def scenario(name: str = "s", leases: float = 0.05) -> Scenario:
    return Scenario(name=name, title="", source="", leases=leases)


class Caller:
    """Somebody who calls in the scenarios of these names, once told of them."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.told: list[Mapping[str, Any]] = []

    def __call__(self, told: Mapping[str, Any]) -> None:
        self.told.append(told)

    def calls(self, instruments: Any) -> None:
        if self.told[-1]["scenario"] in self._names:
            instruments.last.call("dequeue")


def play_attached(caller: Caller, instruments: Any, *scenarios: Scenario, patience: float = 60.0) -> Any:
    def tell(told: Mapping[str, Any]) -> None:
        caller(told)
        caller.calls(instruments)

    options = Options(lease_seconds=1)
    subject = attached(tell, options, patience=patience)
    return play_all(scenarios, subject, options, jobs=1, open_instrument=instruments.open)[0]


def test_it_is_told_and_the_scenario_counts_from_its_first_call(instruments: Any) -> None:
    """Nobody notes lives that nobody knows of; steps count from the first call."""
    caller = Caller("s")
    (judged,) = play_attached(caller, instruments, scenario())
    assert instruments.last.events == ["counts from now", "finished"]
    assert judged.played.exits == ()
    assert judged.played.fault is None
    (told,) = caller.told
    assert (told["scenario"], told["dialect"], told["seconds"]) == ("s", None, 0.05)
    assert told["environment"]["POPRECEIPT_INBOX"] == instruments.last.environment["POPRECEIPT_INBOX"]


def test_nobody_who_ever_called_cannot_be_judged(instruments: Any) -> None:
    """The error says where to call, and what to do."""
    with pytest.raises(CannotStart, match=r"Nobody called http://127.0.0.1:1 within 0 s\..*--patience"):
        play_attached(Caller(), instruments, scenario(), patience=0.0)


def test_who_called_before_may_leave_a_scenario_out(instruments: Any) -> None:
    """That scenario exercises nothing."""
    caller = Caller("first")
    first, second = play_attached(caller, instruments, scenario("first"), scenario("second"), patience=0.0)
    assert first.played.fault is None
    assert second.played.fault is None
    assert list(second.played.journal.exchanges()) == []


def test_waiting_can_be_stopped(instruments: Any) -> None:
    """A Ctrl-C ends it, and is no failure of anybody."""
    stopping = Stopping()
    options = Options()
    subject = attached(lambda _: stopping.more(), options, patience=600.0)
    played = play(scenario(leases=1000), subject, options, open_instrument=instruments.open, stopping=stopping)
    assert played.cut_short
    assert played.fault is None


def test_the_environment_is_a_file_for_a_shell(tmp_path: Path) -> None:
    """Whole, quoted, and for its owner alone."""
    file = tmp_path / "environment"
    file.write_text("an older one", encoding="utf-8")
    write_environment({"POPRECEIPT_B": "it's $HOME", "POPRECEIPT_A": "1"}, file)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [shlex.split(each) for each in lines] == [
        ["export", "POPRECEIPT_A=1"],
        ["export", "POPRECEIPT_B=it's $HOME"],
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["environment"]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_command_attaches_to_the_reference(tmp_path: Path) -> None:
    """The whole way: a line of JSON for each scenario, a process started with it by somebody else, and a verdict."""
    command = [sys.executable, "-m", "popreceipt", "middleware", "--attach", "--env-file", "told", "--json", "verdicts"]
    chosen = ["--scenario", "export-package", "--scenario", "import-file"]
    names: list[str] = []
    started: list[subprocess.Popen[bytes]] = []
    with subprocess.Popen(
        [*command, *chosen], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        watchdog = threading.Timer(SECONDS, run.kill)
        watchdog.start()
        assert run.stdout is not None
        while len(names) < 2 and (line := run.stdout.readline()):
            told = json.loads(line)
            names.append(told["scenario"])
            assert told["environment"]["POPRECEIPT_BASE_URL"] in (tmp_path / "told").read_text(encoding="utf-8")
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "popreceipt.client.reference"],
                    env=told["environment"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        rest, errors = run.communicate()
        watchdog.cancel()
    # The connector is gone with its scenario, and nobody but us ends who called it.
    for each in started:
        each.kill()
        each.wait()
    assert run.returncode == 0, rest + errors
    assert names == ["export-package", "import-file"]
    verdicts = json.loads((tmp_path / "verdicts").read_text(encoding="utf-8"))
    assert verdicts["target"]["name"] == "an attached process"
    outcomes = {each["id"]: each["outcome"] for each in verdicts["rules"]}
    assert outcomes["acknowledgment.after-a-whole-download"] == outcomes["enqueue.raw-bytes"] == "held"
    assert verdicts["summary"]["violated"] == 0
