"""Playing one scenario: when a subject is started again, when a scenario is over, and whose failure is whose."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.journal import JournalFile, Observation
from popreceipt.middleware import running, subject
from popreceipt.middleware.judging import judge_played
from popreceipt.middleware.played import OUTPUT_KEPT, Played
from popreceipt.middleware.running import Options, Stopping, command_of, label, play
from popreceipt.middleware.scenario import EXPORT, IMPORT, Scenario
from popreceipt.middleware.subject import CannotStart
from popreceipt.verdict import Outcome

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="written with signals")

ENDLESS = Scenario(name="endless", title="", source="", leases=1000.0)
HANGS = "import signal\nwhile True: signal.pause()"
LIVES = """
import os, pathlib
inbox = pathlib.Path(os.environ["POPRECEIPT_INBOX"])
lives = inbox / ".lives"
number = int(lives.read_text()) + 1 if lives.exists() else 1
lives.write_text(str(number))
if number == 3:
    (inbox / "done").touch()
"""


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are as they are to be lived through by people; here they are short."""
    monkeypatch.setattr(running, "RESTART", 0.05)
    monkeypatch.setattr(running, "SETTLED_FOR", 0.0)
    monkeypatch.setattr(running, "TICK", 0.01)
    monkeypatch.setattr(subject, "GRACE", 0.2)


def played(scenario: Scenario, command: tuple[str, ...], instruments: Any, **options: Any) -> Played:
    """A scenario, played on a quiet instrument."""
    return play(scenario, command_of(command), Options(**options), open_instrument=instruments.open)


class TestLives:
    """The subject's lives, as its instrument is told of them."""

    def test_an_end_with_0_is_followed_by_another_start(self, script: Any, instruments: Any) -> None:
        """As a scheduler would, until nothing is left to do; the scenario is over then, long before its time."""
        found = played(ENDLESS, script(LIVES), instruments)
        assert [each.status for each in found.exits] == [0, 0, 0]
        assert instruments.last.events == [
            "started 1",
            "ended 1 0 itself",
            "started 2",
            "ended 2 0 itself",
            "started 3",
            "ended 3 0 itself",
            "finished",
        ]
        assert found.fault is None
        assert not found.cut_short

    def test_a_crash_ends_the_scenario(self, script: Any, instruments: Any) -> None:
        """Another status is a problem that it reports: it is not started again."""
        found = played(ENDLESS, script("raise SystemExit(7)"), instruments)
        assert [each.status for each in found.exits] == [7]
        assert instruments.last.events == ["started 1", "ended 1 7 itself", "finished"]

    def test_it_is_ended_when_the_time_is_over(self, script: Any, instruments: Any) -> None:
        """Living until then is no finding: the end is ours."""
        scenario = Scenario(name="short", title="", source="", leases=0.05)
        found = played(scenario, script(HANGS), instruments)
        assert [(each.status, each.by_us) for each in found.exits] == [(-15, True)]
        assert instruments.last.events[-2:] == ["ended 1 -15 us", "finished"]

    def test_one_that_waits_until_the_end_is_not_ended_early(self, script: Any, instruments: Any) -> None:
        """A scenario that ends with its time does so although nothing is left to do."""
        scenario = Scenario(name="timed", title="", source="", leases=0.05, ends="time")
        text = "import os, pathlib\n(pathlib.Path(os.environ['POPRECEIPT_INBOX']) / 'done').touch()\n" + HANGS
        found = played(scenario, script(text), instruments)
        assert found.seconds >= 0.05 * running.LEASE_SECONDS

    def test_what_is_no_longer_settled_goes_on(self, script: Any, instruments: Any) -> None:
        """Nothing must be left to do for a moment, not just once."""
        instruments.settled = iter([True, False, False, True, True])
        found = played(ENDLESS, script(HANGS), instruments)
        assert next(instruments.settled, None) is None
        assert [each.by_us for each in found.exits] == [True]

    def test_its_folder_is_not_its_instruments(self, script: Any, instruments: Any) -> None:
        """The working directory is empty, and gone afterwards with all that was made for the scenario."""
        found = played(ENDLESS, script("import os; print(os.listdir('.')); raise SystemExit(1)"), instruments)
        assert found.output_tail == "[]\n"
        assert not instruments.last.folder.exists()

    def test_no_more_than_the_last_of_its_output_is_kept(self, script: Any, instruments: Any) -> None:
        """A verdict carries the last eight thousand characters."""
        found = played(ENDLESS, script("print('x' * 100_000 + 'end'); raise SystemExit(1)"), instruments)
        assert len(found.output_tail) == OUTPUT_KEPT
        assert found.output_tail.endswith("xend\n")


class TestFaults:
    """What goes wrong with us."""

    @pytest.mark.parametrize("point", ["enter", "begin", "tick", "finish"])
    def test_an_instrument_that_fails_decides_nothing(self, script: Any, instruments: Any, point: str) -> None:
        """The subject is gone, and every rule undecided for that reason."""
        instruments.fails_at = point
        text = "import signal\nsignal.pause()" if point == "tick" else "raise SystemExit(0)"
        found = played(Scenario(name="s", title="", source="", leases=0.05), script(text), instruments)
        assert found.fault is not None
        assert f"RuntimeError: the {point} went wrong" in found.fault
        verdicts = judge_played(found).rules
        assert {each.outcome for each in verdicts} <= {Outcome.UNDECIDED}
        assert all(each.reason is not None and "not of the subject" in each.reason for each in verdicts)

    def test_what_a_computer_lacks_leaves_rules_unexercised(self, script: Any) -> None:
        """A scenario that cannot be played here says why, and nothing else."""

        def open_instrument(*_: Any, **__: Any) -> Any:
            raise NotAbleTo("this computer", "127.0.0.2")

        found = play(ENDLESS, command_of(script("")), Options(), open_instrument=open_instrument)
        assert found.fault is None
        verdicts = judge_played(found).rules
        assert {each.outcome for each in verdicts} <= {Outcome.UNEXERCISED}
        assert all(each.reason == "this computer lacks the ability '127.0.0.2'." for each in verdicts)

    def test_wrong_options_are_the_users(self, script: Any) -> None:
        """A port that is taken is for the person at the terminal."""

        def open_instrument(*_: Any, **__: Any) -> Any:
            raise UsageError("the port is taken")

        with pytest.raises(UsageError, match="the port is taken"):
            play(ENDLESS, command_of(script("")), Options(), open_instrument=open_instrument)

    def test_a_command_that_does_not_exist_cannot_be_started(self, instruments: Any) -> None:
        """Then nothing can be said of anything."""
        with pytest.raises(CannotStart):
            played(ENDLESS, ("/no/such/program",), instruments)

    def test_folders_in_folders_without_end_are_no_fault(self, script: Any, instruments: Any) -> None:
        """What cannot be removed again stays, and the verdict with it."""
        text = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\nraise SystemExit(1)"
        found = played(ENDLESS, script(text), instruments)
        assert found.fault is None
        assert [each.status for each in found.exits] == [1]

    def test_a_program_that_goes_away_is_no_finding(self, tmp_path: Path, instruments: Any) -> None:
        """Whoever removed it: what it did before cannot be judged to its end."""
        program = tmp_path / "program"
        program.write_text('#!/bin/sh\nrm "$0"\n', encoding="utf-8")
        program.chmod(0o700)
        found = played(ENDLESS, (str(program),), instruments)
        assert [each.status for each in found.exits] == [0]
        assert found.fault is not None
        assert found.fault.startswith("the subject could not be started again")


class TestOptions:
    """How scenarios are played."""

    def test_the_instrument_is_told_all(self, script: Any, instruments: Any) -> None:
        """The run's lease, and of the sides those that the subject has and the scenario wants."""
        scenario = Scenario(name="both", title="", source="", sides=(EXPORT, IMPORT), leases=10)
        options = {"lease_seconds": 0.5, "sides": (IMPORT,), "tls": True, "proxy": True, "seed": 3, "seconds": 0.25}
        played(scenario, script("raise SystemExit(1)"), instruments, **options)
        made = instruments.last
        folder = made.arguments.pop("folder")
        assert folder.name == "instrument"
        assert made.arguments == {
            "lease_seconds": 0.5,
            "tls": True,
            "proxy": True,
            "sides": (IMPORT,),
            "port": 0,
            "seed": 3,
        }
        assert made.environment["POPRECEIPT_SECONDS"] == "0.25"

    def test_no_scenario_lasts_longer_than_it_may(self) -> None:
        """Leases are the run's, longer by the scenario's factor."""
        scenario = Scenario(name="s", title="", source="", leases=3, lease_factor=2)
        assert Options(lease_seconds=6).longest(scenario) == 36
        assert Options(lease_seconds=6, seconds=10).longest(scenario) == 10
        assert Options(lease_seconds=6, seconds=100).longest(scenario) == 36

    def test_journal_and_output_are_left(self, tmp_path: Path, script: Any, instruments: Any) -> None:
        """What was written down can be judged again; the folder's name is the scenario's and its dialect's."""
        scenario = Scenario(name="s", title="", source="", dialect="a.b=c d/e")
        found = played(scenario, script("print('last words'); raise SystemExit(2)"), instruments, folder=tmp_path)
        assert found.folder == tmp_path / "s-under-a.b=c-d-e"
        assert label(scenario) == "s under a.b=c d/e"
        assert (found.folder / "output.txt").read_text(encoding="utf-8") == "last words\n"
        journal = JournalFile(found.folder / "journal.ndjson")
        events = [each.facts["event"] for each in journal if isinstance(each, Observation)]
        assert events == ["started", "ended"]
        assert journal.complete

    def test_a_run_that_is_stopped_comes_to_its_end(self, script: Any, meeting: Any, instruments: Any) -> None:
        """Whoever stops it finds the subject gone and the scenario told as far as it went."""
        stopping = Stopping()
        threading.Thread(target=lambda: (meeting.told(), stopping.more()), daemon=True).start()
        command = command_of(script(meeting.code + "tell(1)\n" + HANGS))
        found = play(ENDLESS, command, Options(), open_instrument=instruments.open, stopping=stopping)
        assert found.cut_short
        assert [each.by_us for each in found.exits] == [True]
        assert instruments.last.events[-1] == "finished"
