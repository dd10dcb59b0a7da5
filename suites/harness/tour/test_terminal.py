"""What a tour shows on a terminal and without one, what it asks of a person, and which options will not do."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from popreceipt.cli.main import run
from popreceipt.tour.running import How, State
from popreceipt.tour.terminal import LineWatcher, LiveWatcher, Typist, print_parked, waiting_text, watcher
from popreceipt.tour.waiting import Wait

WAIT = Wait(
    datetime(2026, 1, 1, 12, 30, tzinfo=UTC),
    "the end of the \x1b[2J[bold]lease",
    3,
    datetime(2026, 1, 1, 14, 5, 6, tzinfo=UTC),
    4500.0,
)


def terminal() -> tuple[Console, io.StringIO]:
    """A terminal, and what is on it."""
    seen = io.StringIO()
    return Console(file=seen, force_terminal=True, width=120, color_system=None), seen


def test_a_wait_is_told_with_both_clocks_and_nothing_that_a_terminal_would_obey() -> None:
    """There, here, for how many; a server's words are words."""
    told = waiting_text(WAIT)
    assert "until 2026-01-01 12:30:00 UTC there, 14:05:06 here" in told
    assert "(3 errands wait)" in told
    assert "\x1b" not in told


def test_on_a_terminal_one_line_tells_what_goes_on() -> None:
    """It is there while a tour lasts, and gone afterwards."""
    console, seen = terminal()
    shown = watcher(console)
    assert isinstance(shown, LiveWatcher)
    with shown.shown():
        shown.doing("Hand in a [red]file.", 1, 3)
        shown.waiting(WAIT, 90.0)
        with shown.aside():
            pass
        shown.waited()
        shown.note("The clock was set on.")
    assert "waiting for the end of the" in seen.getvalue()
    assert "[bold]lease" in seen.getvalue()
    assert "The clock was set on." in seen.getvalue()


def test_without_a_terminal_a_wait_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """However often it is told that it still lasts; and no line for a moment."""
    shown = watcher(Console(file=io.StringIO()))
    assert isinstance(shown, LineWatcher)
    with shown.shown(), shown.aside():
        shown.doing("Hand in a file.", 1, 3)
        for left in (90.0, 85.0, 80.0):
            shown.waiting(WAIT, left)
        shown.waited()
        shown.waiting(Wait(WAIT.instant, "a moment", 1, WAIT.local, 1.0), 1.0)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "done"), [("\n", True), ("ok\n", True), ("s\n", False), ("Skip\n", False), ("", False)]
)
def test_a_person_says_that_it_is_done_or_leaves_it_out(
    monkeypatch: pytest.MonkeyPatch, typed: str, *, done: bool
) -> None:
    """Enter, or s; where nobody can type nothing was done."""
    console, seen = terminal()
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert Typist(console, LiveWatcher(console)).asked("Run the [export] job now.") is done
    assert "Run the [export] job now." in seen.getvalue()


def test_the_command_that_goes_on_is_told_in_one_line() -> None:
    """So that it can be copied, however long it is."""
    console, seen = terminal()
    parked = [State("week", How.PARKED, "a week", datetime(2026, 1, day, tzinfo=UTC)) for day in (9, 8)]
    command = f"popreceipt verify --out {'x' * 200} --resume"
    print_parked(console, parked, command)
    assert command in seen.getvalue()
    assert "the first until 2026-01-08T00:00:00Z, the last until 2026-01-09T00:00:00Z" in seen.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "emulator:", "--plan"], "--plan is for the tour of a tenant"),
        (["--target", "emulator:", "--resume"], "--resume is for the tour of a tenant"),
        (["--target", "tenant:qa", "--suite", "fuzz", "--assisted"], "--assisted is for the tour of a tenant"),
        (["--target", "tenant:qa", "--suite", "fuzz", "--suite", "conformance"], "run fuzz by themselves"),
        (["--target", "tenant:qa", "--patience", "5 minutes"], "no length of time"),
        (["--target", "tenant:nobody", "--plan"], "describes no tenant 'nobody'"),
        (["--target", "tenant:qa", "--resume"], "name it with --out DIR"),
        (["--target", "tenant:qa", "--resume", "--out", "nowhere"], "no tour in nowhere"),
        (["--target", "tenant:qa", "--out", "popreceipt.toml"], "Cannot write reports to popreceipt.toml"),
    ],
)
def test_options_that_will_not_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    """One sentence, and 2."""
    (tmp_path / "popreceipt.toml").write_text(
        '[tenant.qa]\nbase_url = "http://127.0.0.1:9"\ntoken_url = "http://127.0.0.1:9/oauth2/v2.0/token"\n'
        'client_id = "one"\nclient_secret_env = "NOWHERE"\n'
        '[tenant.qa.activities]\nimport-file = "11111111-0000-4000-8000-000000000001"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POPRECEIPT_CONFIG", raising=False)
    with pytest.raises(SystemExit) as ended:
        run(["verify", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
