"""Many scenarios at once: order, stopping, giving up, and what is foretold."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.middleware import running, subject
from popreceipt.middleware.crew import Progress, play_all
from popreceipt.middleware.running import Options, command_of
from popreceipt.middleware.scenario import Scenario
from popreceipt.middleware.subject import CannotStart

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="written with signals")

HANGS = "import signal\nwhile True: signal.pause()"


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TICK", 0.01)
    monkeypatch.setattr(subject, "GRACE", 0.2)


def scenarios(*leases: float) -> list[Scenario]:
    """Scenarios that last so long, named by their place."""
    return [Scenario(name=f"s{place}", title="", source="", leases=each) for place, each in enumerate(leases)]


def names(judged: Any) -> list[str]:
    return [each.played.scenario.name for each in judged]


def test_all_are_played_and_come_back_in_their_order(script: Any, instruments: Any) -> None:
    """The longest begins first where several are played at once; they come back as they were asked for."""
    wanted = scenarios(1, 3, 2, 4)
    command = command_of(script("raise SystemExit(1)"))
    judged, stopped = play_all(wanted, command, Options(), jobs=2, open_instrument=instruments.open)
    assert names(judged) == ["s0", "s1", "s2", "s3"]
    assert not stopped
    begun = [each.scenario.name for each in instruments.opened]
    assert sorted(begun[:2]) == ["s1", "s3"]
    assert sorted(begun[2:]) == ["s0", "s2"]


def test_one_at_a_time_they_are_played_as_they_were_asked_for(script: Any, instruments: Any) -> None:
    """Nobody gains from another order then."""
    command = command_of(script("raise SystemExit(1)"))
    play_all(scenarios(1, 3, 2), command, Options(), jobs=1, open_instrument=instruments.open)
    assert [each.scenario.name for each in instruments.opened] == ["s0", "s1", "s2"]


def test_several_are_played_at_once(script: Any, instruments: Any) -> None:
    """Two scenarios wait for each other, and both come to their end."""
    barrier = threading.Barrier(2, timeout=60)

    @contextmanager
    def open_instrument(*arguments: Any, **named: Any) -> Iterator[Any]:
        with instruments.open(*arguments, **named) as made:
            barrier.wait()
            yield made

    command = command_of(script("raise SystemExit(1)"))
    judged, _ = play_all(scenarios(1, 1), command, Options(), jobs=2, open_instrument=open_instrument)
    assert [each.played.fault for each in judged] == [None, None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_ctrl_c_judges_what_was_played(script: Any, meeting: Any, instruments: Any, number: int) -> None:
    """Those under way come to their end, those that wait are not begun, and the caller is told."""
    threading.Thread(target=lambda: (meeting.told(), os.kill(os.getpid(), number)), daemon=True).start()
    command = command_of(script(meeting.code + "tell(1)\n" + HANGS))
    judged, stopped = play_all(scenarios(1000, 1000), command, Options(), jobs=1, open_instrument=instruments.open)
    assert stopped
    assert names(judged) == ["s0"]
    assert judged[0].played.cut_short
    assert signal.getsignal(number) is not None


def test_a_second_ctrl_c_waits_for_nobody(
    script: Any, meeting: Any, instruments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subject that takes its time is killed."""
    monkeypatch.setattr(subject, "GRACE", 600.0)
    asked = meeting.code + "import signal\nsignal.signal(signal.SIGTERM, lambda *_: tell('asked')); tell('ready')\n"

    def twice() -> None:
        for word in ("ready", "asked"):
            assert meeting.told() == word
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=twice, daemon=True).start()
    command = command_of(script(asked + HANGS))
    judged, stopped = play_all(scenarios(1000), command, Options(), open_instrument=instruments.open)
    assert stopped
    assert [each.status for each in judged[0].played.exits] == [-9]


def test_a_command_that_cannot_be_started_ends_the_run(instruments: Any) -> None:
    """Nothing more is begun."""
    with pytest.raises(CannotStart):
        play_all(
            scenarios(*range(1, 9)), command_of(("/no/such",)), Options(), jobs=2, open_instrument=instruments.open
        )
    assert len(instruments.opened) <= 4


def test_wrong_options_end_the_run(script: Any) -> None:
    """A port that is taken is taken for every scenario."""

    def open_instrument(*_: Any, **__: Any) -> Any:
        raise UsageError("the port is taken")

    with pytest.raises(UsageError, match="the port is taken"):
        play_all(scenarios(1, 1), command_of(script("")), Options(), open_instrument=open_instrument)


def test_a_scenario_that_never_ends_is_given_up(script: Any, instruments: Any) -> None:
    """It decides nothing, another worker takes over, and nobody waits for the one that is stuck."""
    stuck = threading.Event()

    class Stuck:
        def __enter__(self) -> Any:
            stuck.wait()

        def __exit__(self, *_: object) -> None:
            pass

    def open_instrument(scenario: Scenario, **named: Any) -> Any:
        return Stuck() if scenario.name == "s0" else instruments.open(scenario, **named)

    # Its own time, and the subject's grace, are over at once.
    command = command_of(script("raise SystemExit(1)"))
    judged, _ = play_all(scenarios(-100, 1), command, Options(), jobs=1, open_instrument=open_instrument, late=0.0)
    stuck.set()
    assert names(judged) == ["s0", "s1"]
    assert judged[0].played.fault == "it had not come to its end 0 s after its time"
    assert judged[1].played.fault is None


def test_what_is_given_up_leaves_no_subject_behind(script: Any, meeting: Any, instruments: Any) -> None:
    """Although the worker that began it never comes back to end it."""
    stuck = threading.Event()
    processes: list[int] = []

    @contextmanager
    def open_instrument(*arguments: Any, **named: Any) -> Iterator[Any]:
        with instruments.open(*arguments, **named) as made:
            made.tick = stuck.wait
            yield made

    def watch(_: Progress) -> None:
        if not processes:
            processes.append(meeting.told())

    command = command_of(script(meeting.code + "import os; tell(os.getpid())\n" + HANGS))
    judged, _ = play_all(
        scenarios(1000), command, Options(), watch=watch, open_instrument=open_instrument, late=-100_000.0
    )
    assert judged[0].played.fault is not None
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)
    stuck.set()


def test_a_watch_that_fails_leaves_no_subject_behind(script: Any, meeting: Any, instruments: Any) -> None:
    """Whatever ends the run."""
    processes: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.playing:
            processes.append(meeting.told())
            raise OSError("nobody reads this any more")

    command = command_of(script(meeting.code + "import os; tell(os.getpid())\n" + HANGS))
    with pytest.raises(OSError, match="nobody reads"):
        play_all(scenarios(1000), command, Options(), watch=watch, open_instrument=instruments.open)
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0], 0)


def test_a_fault_of_playing_is_none_of_the_subject(instruments: Any) -> None:
    """Whatever goes wrong on the way, the run goes on and the scenario decides nothing."""

    def make(*_: Any) -> Any:
        raise ValueError("no subject")

    judged, _ = play_all(scenarios(1), make, Options(), open_instrument=instruments.open)
    assert judged[0].played.fault is not None
    assert "ValueError: no subject" in judged[0].played.fault


def test_it_is_told_how_far_it_is(script: Any, instruments: Any) -> None:
    """All that is to come at first, nothing at the end; what settled early makes the rest shorter."""
    seen: list[Progress] = []
    text = "import os, pathlib\n(pathlib.Path(os.environ['POPRECEIPT_INBOX']) / 'done').touch()\n"
    play_all(
        scenarios(100, 100),
        command_of(script(text + "raise SystemExit(1)")),
        Options(lease_seconds=1),
        jobs=1,
        watch=seen.append,
        open_instrument=instruments.open,
    )
    assert (seen[0].done, seen[0].total) == (0, 2)
    assert 50 < seen[0].remaining <= 100
    assert seen[0].playing == ("s0",)
    assert (seen[-1].done, seen[-1].playing, seen[-1].remaining) == (2, (), 0.0)
    after_one = next(each for each in seen if each.done == 1)
    assert after_one.remaining < 50
