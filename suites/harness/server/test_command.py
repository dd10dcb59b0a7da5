"""The command line as a whole: how commands are found, and what their end is to the shell."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from popreceipt import __version__, cli
from popreceipt.cli import main


@pytest.fixture
def status(capsys):
    """Run the command in this process: its exit status, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main.run(list(arguments))
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Puts a command of these lines in the place of `gate`."""

    def write(body):
        lines = ["import typer", "from popreceipt.exceptions import *", "app = typer.Typer()", "@app.command()"]
        lines += ["def gate(word: str = '') -> None:", "    '''Only here.'''", f"    {body}"]
        (tmp_path / "gate.py").write_text("\n".join(lines))
        monkeypatch.setattr(cli, "__path__", [str(tmp_path), *cli.__path__])
        monkeypatch.delitem(sys.modules, "popreceipt.cli.gate", raising=False)

    yield write
    sys.modules.pop("popreceipt.cli.gate", None)


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("pass", 0),
        ("raise typer.Exit(1)", 1),
        ("raise UsageError('Say it otherwise.')", 2),
        ("raise NothingProved('Nobody was there.')", 3),
        ("raise ZeroDivisionError('one by none')", 4),
        ("raise KeyboardInterrupt", 130),
        ("import popreceipt.no_such_module", 4),
    ],
)
def test_each_end_has_its_exit_status(command, status, body, ends):
    """Errors of usage, of proof and of our own are told apart, and none shows a traceback."""
    command(body)
    code, _, err = status("gate")
    assert code == ends
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyboardInterrupt", "Stopped."),
        ("raise KeyboardInterrupt('Stopped at the third.')", "Stopped at the third."),
    ],
)
def test_who_stops_a_command_is_told_what_that_was(command, status, body, words):
    """In one sentence on standard error, whether the command has something to say or not."""
    command(body)
    assert status("gate") == (130, "", f"popreceipt: {words}\n")


def test_an_error_is_one_sentence(command, status):
    """What went wrong, on standard error, and nothing on standard output."""
    command("raise UsageError('Say it otherwise.')")
    assert status("gate") == (2, "", "popreceipt: Say it otherwise.\n")


def test_a_fault_of_our_own_says_how_to_see_more(command, status):
    """The hint is a command that can be typed; with it the traceback is there."""
    command("raise ZeroDivisionError('one by none')")
    _, _, err = status("gate", "--word", "x")
    assert err.count("\n") == 1
    assert "ZeroDivisionError: one by none" in err
    assert err.rstrip().endswith("popreceipt --debug gate --word x")
    code, _, err = status("--debug", "gate", "--word", "x")
    assert code == 4
    assert "Traceback" in err


@pytest.mark.parametrize("arguments", [["no-such-command"], ["gate", "--no-such-option"], ["--no-such-option"]])
def test_wrong_usage_is_two(command, status, arguments):
    """A name or an option that does not exist."""
    command("pass")
    code, _, err = status(*arguments)
    assert code == 2
    assert arguments[-1] in err


def test_version(status):
    """One line."""
    assert status("--version") == (0, f"popreceipt {__version__}\n", "")


def test_a_command_exists_when_its_module_does(status, command, tmp_path):
    """A planned name without a module is no command yet; with the module it is, and help shows it."""
    command("pass")
    assert " gate " in status("--help")[1]
    (tmp_path / "gate.py").unlink()
    if importlib.util.find_spec("popreceipt.cli.gate") is None:
        assert " gate " not in status("--help")[1]
        assert status("gate")[0] == 2


def test_every_command_module_is_in_the_table():
    """A module that the table forgets could never be called; some only help others."""
    helping = {"__init__", "completing", "files", "main", "touring"}
    modules = {file.stem for file in Path(cli.__path__[0]).glob("*.py")} - helping
    assert {name for name in modules if not name.startswith("_")} <= set(main.COMMANDS)


def _python(code, **environment):
    source = Path(main.__file__).parents[2]
    path = os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_help_imports_no_command():
    """Help of the whole knows names and sentences only; it loads neither server nor rules."""
    ended = _python(
        "import sys\n"
        "from popreceipt.cli.main import run\n"
        "try:\n"
        "    run(['--help'])\n"
        "finally:\n"
        "    print('loaded', *sorted(n for n in sys.modules if n.startswith(('popreceipt.', 'uvicorn', 'httpx'))))\n"
    )
    assert ended.returncode == 0
    loaded = ended.stdout.rpartition("loaded ")[2].split()
    assert loaded == ["popreceipt.cli", "popreceipt.cli.main", "popreceipt.exceptions"]


def test_no_color_is_respected():
    """Even where colours are forced on, NO_COLOR wins."""
    run = "from popreceipt.cli.main import run; run(['--help'])"
    assert "\x1b[3" not in _python(run, NO_COLOR="1", FORCE_COLOR="1").stdout


@pytest.mark.parametrize(
    ("words", "completion"),
    [
        ("popreceipt ser", "serve"),
        ("popreceipt serve --no-c", "--no-control"),
        ("popreceipt serve --mutant lease-of-29", "lease-of-29-minutes"),
        ("popreceipt serve --dialect dequeue.empty", "dequeue.empty-queue=204"),
        ("popreceipt load imports --profile on", "on-premises"),
    ],
)
def test_completes_in_the_shell(words, completion):
    """Names of commands and, of the one that is there, its options."""
    ended = _python(
        "from popreceipt.cli.main import run; run()",
        _POPRECEIPT_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split()) - 1),
    )
    assert completion in ended.stdout.split()
