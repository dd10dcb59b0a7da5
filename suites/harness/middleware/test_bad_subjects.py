"""Subjects that are no middleware at all: the runner comes away well, and its verdict is honest."""

import shutil
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it comes without types
import pytest

from popreceipt import resources
from popreceipt.middleware import subject
from popreceipt.middleware.judging import judge_played, without_untouched
from popreceipt.middleware.played import OUTPUT_KEPT
from popreceipt.middleware.running import Options, command_of, play
from popreceipt.middleware.scenario import EXPORT, IMPORT
from popreceipt.middleware.selection import find
from popreceipt.verdict import Outcome

BAD = resources.suites() / "middleware" / "bad.py"

ENDINGS = {
    "hangs": [-9],
    "floods": [-15],
    "floods-one-line": [-15],
    "exits-at-once": [0],
    "crashes-at-once": [3],
    "kills-itself": [-9],
    "forks": [0],
    "forks-and-stays": [-15],
    "forks-again-and-again": [0],
    "writes-rubbish": [-15],
    "writes-without-end": [-15],
    "removes-its-folders": [-15],
}
"""How the first life of each of them ends, in a scenario of a second and a half."""


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subject that refuses to end is given a moment."""
    monkeypatch.setattr(subject, "GRACE", 0.5)


@pytest.mark.skipif(sys.platform == "win32", reason="their endings are signals")
@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        *((each, "export-package") for each in ENDINGS),
        ("removes-its-folders", "import-file"),
        ("floods", "import-file"),
    ],
)
def test_it_leaves_the_runner_well(name: str, scenario: str, tmp_path: Path) -> None:
    """Nothing of it lives on, its output is bounded, no fault is ours, and no rule is held against it."""
    program = Path(shutil.copy(BAD, tmp_path))  # by its own path its children are told from those of other tests
    command = command_of((sys.executable, "-S", str(program), name))
    played = play(find(scenario), command, Options(seconds=1.5, folder=tmp_path / "left"))
    assert played.fault is None
    assert [each.status for each in played.exits][:1] == ENDINGS[name]
    assert len(played.output_tail) <= OUTPUT_KEPT
    assert played.journal.complete
    (judged,) = without_untouched([judge_played(played)], (EXPORT, IMPORT))
    assert {each.outcome for each in judged.rules} == {Outcome.UNEXERCISED}
    assert living(program) == []


def living(program: Path) -> list[list[str]]:
    """The processes of a program that are about."""
    found = []
    for each in psutil.process_iter():
        try:
            if str(program) in each.cmdline() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each.cmdline())
        except psutil.Error:
            continue
    return found
