"""A whole middleware in shell and curl, played and judged as anybody's: what a sketch of an afternoon must come to."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from popreceipt.generate.convictions import Subject, judged_in
from popreceipt.middleware.played import Judged
from popreceipt.resources import suites
from popreceipt.verdict import Level, Outcome

SCRIPT = suites() / "middleware" / "curl.sh"

Play = Callable[[str], Judged]


@pytest.fixture(scope="module")
def play(outside_program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Plays the script through a scenario; its journal and output are left."""
    shell = outside_program("sh", "dash")
    outside_program("curl", "curl")
    folder = tmp_path_factory.mktemp("curl")

    def in_scenario(name: str) -> Judged:
        subject = Subject(name="curl.sh", text="Nothing.", command=(shell, str(SCRIPT)), claims=(), scenarios=(name,))
        return judged_in(subject, name, folder=folder)

    return in_scenario


def outcomes(judged: Judged) -> Mapping[str, Outcome]:
    """Each rule's outcome."""
    assert judged.played.fault is None, judged.played.fault
    return {each.id: each.outcome for each in judged.rules}


def broken(judged: Judged) -> list[str]:
    """The MUST rules that were violated."""
    return [each.id for each in judged.rules if each.outcome is Outcome.VIOLATED and each.level is Level.MUST]


def test_is_a_script_of_the_plain_shell(outside_program: Callable[..., str]) -> None:
    """The shell that every system has can read it: on Debian one that knows nothing but the standard."""
    checked = subprocess.run([outside_program("sh", "dash"), "-n", SCRIPT], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("scenario", ["both-sides", "redirected-to-another-host", "no-file", "ack-500-once"])
def test_breaks_no_must(play: Play, scenario: str) -> None:
    """Pulling, pushing, TLS, a redirect, a message without a file and a failed acknowledgment are lived through."""
    judged = play(scenario)
    assert broken(judged) == []
    assert all(each.status == 0 for each in judged.played.exits), judged.played.output_tail


def test_goes_on_where_the_last_run_ended(play: Play) -> None:
    """It is started again and again, and yet each file is handed in once, with one token for all of it."""
    judged = play("import-bad-records")
    found = outcomes(judged)
    assert len(judged.played.exits) > 1
    assert broken(judged) == []
    for rule in (
        "enqueue.every-file-handed-in",
        "enqueue.accepted-file-not-repeated",
        "status.success-only-when-processed",
        "execution-errors.told",
    ):
        assert found[rule] is Outcome.HELD, rule


def test_waits_as_long_as_it_is_asked_to(play: Play) -> None:
    """Retry-After is heeded, also where it is a date."""
    assert outcomes(play("dequeue-throttled-by-date"))["throttling.retry-after-date"] is Outcome.HELD


def test_tells_nobody_its_token(play: Play) -> None:
    """What it writes to its outputs is about failures, and no secret is in it."""
    judged = play("lost.download.after.truncated")
    assert broken(judged) == []
    told = json.dumps([judged.played.output_tail, *(each.words for each in judged.played.exits)])
    assert "curl: (18)" in told
    assert "Bearer" not in told
    assert Path(judged.played.folder or "").is_dir()
