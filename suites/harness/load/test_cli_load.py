"""`popreceipt load`: runs against real processes, a few seconds each, and what they end with."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it comes without types
import pytest
from rich.console import Console

from popreceipt import resources
from popreceipt.cli import load as cli
from popreceipt.client.control import Control
from popreceipt.journal import JournalFile
from popreceipt.load import pace
from popreceipt.load import run as runs
from popreceipt.load.pace import Pace
from popreceipt.load.plan import LoadPlan

jsonschema_rs = pytest.importorskip("jsonschema_rs")

COMMAND = [sys.executable, "-m", "popreceipt", "load"]

SHORT = ("--minutes", "4", "--processing-minutes", "1", "--monitoring-minutes", "1", "--poll-minutes", "0.1")

BUSY_MACHINE = ("--lag", "30", "--generator-ceiling", "1e6", "--target-ceiling", "1e6")
"""Tests run beside others: neither a late arrival nor a full core may decide what these prove."""

SECONDS = 100.0


def popreceipt_load(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "160"} | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def result_in(folder: Path) -> Mapping[str, Any]:
    told: Mapping[str, Any] = json.loads((folder / "reports" / "load" / "load.json").read_text(encoding="utf-8"))
    return told


def violated(result: Mapping[str, Any]) -> set[str]:
    return {each["id"] for each in result["verdicts"]["rules"] if each["outcome"] == "violated"}


@pytest.fixture(scope="module")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A run in which all is well, for whoever wants to look at it, or to judge a copy of it otherwise."""
    folder = tmp_path_factory.mktemp("good")
    more = ("--html", "load.html", "--json", "copy.json", "--seed", "7", "--clock", "scaled:120")
    return folder, popreceipt_load(folder, "mixed", *SHORT, *BUSY_MACHINE, *more)


GoodRun = tuple[Path, "subprocess.CompletedProcess[str]"]


def test_the_plain_emulator_under_a_mixed_load_is_well(good_run: GoodRun) -> None:
    """Exit 0: rules held over everything that crossed the wire, figures, journals, a result and a page are there."""
    folder, run = good_run
    assert run.returncode == 0, run.stdout + run.stderr
    result = result_in(folder)
    assert json.loads((folder / "copy.json").read_text()) == result
    schema = json.loads((resources.specs() / "load.schema.json").read_text(encoding="utf-8"))
    assert [each.message for each in jsonschema_rs.validator_for(schema).iter_errors(result)] == []
    assert (result["standing"], result["complete"], result["finished"]) == ("VALID", True, True)
    assert violated(result) == set()
    held = {each["id"] for each in result["verdicts"]["rules"] if each["outcome"] == "held"}
    assert {"enqueue.creates-a-message", "dequeue.waiting-message-is-offered", "processing.good-records-land"} <= held
    assert {"enqueue", "dequeue", "download", "ack"} <= set(result["operations"])
    assert result["messages"]["imports"]["unprocessed"] == 0
    assert result["monitoring"]
    journal = JournalFile(folder / "reports" / "load" / "journal.ndjson")
    assert sum(1 for _ in journal) > 50
    assert journal.complete
    assert "VALID  mixed on emulator:" in run.stdout
    assert "<svg" in (folder / "load.html").read_text(encoding="utf-8")
    told = runs.read(folder / "reports" / "load")
    assert (told.rate, told.plan.seed, told.workers, told.ours, told.finished) == (120.0, 7, 1, True, True)


def test_a_run_can_be_judged_again(tmp_path: Path, good_run: GoodRun) -> None:
    """Nothing is sent, and the same comes of it."""
    shutil.copytree(good_run[0] / "reports", tmp_path / "reports")
    before = result_in(tmp_path)
    again = popreceipt_load(tmp_path, "--judge", "reports/load", "--json", "-", "--allure", "allure")
    assert again.returncode == 0
    figures = json.loads((tmp_path / "allure" / "load-mixed-steady-perf.json").read_text())
    assert {"load-mixed-steady.enqueue.p50_ms", "load-mixed-steady.requests_per_second"} <= {
        each["key"] for each in figures
    }
    assert {**json.loads(again.stdout), "verdicts": None} == {**before, "verdicts": None}


@pytest.mark.parametrize(
    ("known", "status", "words"),
    [
        ({"thresholds": {"p95_ms": 0.001}}, 1, "✘ p95 of the response time of enqueue, ms: "),
        ({"thresholds": {"min_requests": 10**6}}, 3, "✘ requests, at least: "),
        ({"lag_seconds": 1e-9}, 3, "INVALID  mixed on emulator:"),
        ({"target_ceiling": 1.0}, 3, "you measured the emulator"),
        ({"interrupted": True}, 3, "VALID, stopped  mixed on emulator:"),
        ({"finished": False}, 3, "VALID, cut short  mixed on emulator:"),
        ({"faults": ["KeyError: 'x'"]}, 4, "KeyError: 'x'"),
    ],
)
def test_what_came_of_a_run_is_the_exit_status(
    tmp_path: Path, good_run: GoodRun, known: dict[str, Any], status: int, words: str
) -> None:
    """A threshold, a late generator, a ceiling, an end before its time, a fault of ours: each has its status."""
    shutil.copytree(good_run[0] / "reports", tmp_path / "reports")
    path = tmp_path / "reports" / "load" / "run.json"
    run = json.loads(path.read_text())
    run["plan"]["thresholds"] |= known.pop("thresholds", {})
    run["plan"] |= {name: known.pop(name) for name in ("lag_seconds",) if name in known}
    path.write_text(json.dumps(run | known))
    judged = popreceipt_load(tmp_path, "--judge", "reports/load")
    assert judged.returncode == status, judged.stdout + judged.stderr
    assert words in judged.stdout


@pytest.mark.parametrize(
    ("mutant", "arguments", "rule"),
    [
        ("third-file-of-a-second-lost", ("imports", *SHORT, "--rate", "3000"), "enqueue.creates-a-message"),
        ("every-tenth-message-lost", ("exports", *SHORT, "--rate", "1200"), "dequeue.waiting-message-is-offered"),
        (
            "lease-for-one-consumer-only",
            ("exports", *SHORT, "--rate", "6000", "--processes", "2", "--consumers", "4", "--poll-minutes", "0.02"),
            "redelivery.not-before-half-an-hour",
        ),
        (
            "acknowledgment-without-effect",
            ("exports", "--minutes", "45", "--clock", "scaled:600", "--rate", "200"),
            "acknowledgment.ends-redelivery",
        ),
    ],
)
def test_an_emulator_that_loses_or_doubles_is_convicted(
    tmp_path: Path, mutant: str, arguments: Sequence[str], rule: str
) -> None:
    """Exit 1: a lost file, a lost message, one handed out twice within its half hour, one that comes back."""
    run = popreceipt_load(tmp_path, *arguments, *BUSY_MACHINE, "--target", f"emulator:{mutant}")
    assert run.returncode == 1, run.stdout + run.stderr
    assert rule in violated(result_in(tmp_path))
    assert f"✘ {rule}" in run.stdout


# An end before its time


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A run that goes on by itself for a long while, in which load has begun."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        until_load_runs(process, folder / "reports" / "load")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until_load_runs(process: "subprocess.Popen[str]", folder: Path) -> None:
    """Wait until a worker has told that something was answered."""
    while process.poll() is None:
        for path in folder.glob("pace-*.json"):
            with contextlib.suppress(OSError, ValueError):
                if json.loads(path.read_text())["requests"] > 10:
                    return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    raise AssertionError(f"the run ended by itself: {process.communicate()}")


def secret_of(process: "subprocess.Popen[str]") -> str:
    """The secret of the client of the emulator that a run has started."""
    (emulator,) = children(process, "serve")
    ports = [each.laddr.port for each in emulator.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    with contextlib.closing(Control(f"http://127.0.0.1:{ports[0]}")) as control:
        identity = control.world().identity
    return str(identity["clients"]["authorised"]["client_secret"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_run_that_is_killed_leaves_no_secret(tmp_path: Path) -> None:
    """Nobody has the time to tidy up: so there is nothing to be tidied up."""
    with running(tmp_path, "imports", *BUSY_MACHINE) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        secret = secret_of(process)
        process.kill()
        process.wait()
        for each in family:
            each.kill()
        psutil.wait_procs(family, SECONDS)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in found if path.suffix == ".ndjson"]) == 2
    for path in found:
        assert secret not in path.read_text(encoding="utf-8", errors="replace"), path


def children(process: "subprocess.Popen[str]", word: str) -> list[psutil.Process]:
    """The processes that a run has started and that have a word in their command line."""
    family = psutil.Process(process.pid).children(recursive=True)
    return [each for each in family if word in each.cmdline()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_in_a_clean_report(tmp_path: Path, number: signal.Signals) -> None:
    """Exit 130: what was proved until then is told, journals are whole, neither process nor secret is left behind."""
    with running(tmp_path, "mixed", *BUSY_MACHINE, "--processing-minutes", "1", "--monitoring-minutes", "1") as process:
        family = psutil.Process(process.pid).children(recursive=True)
        secret = secret_of(process)
        assert secret not in [word for each in family for word in each.cmdline()]
        process.send_signal(number)
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 130, out + errors
        assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    result = result_in(tmp_path)
    assert (result["interrupted"], result["finished"], result["complete"]) == (True, False, False)
    assert violated(result) == set()
    assert "stopped by hand" in out
    journal = JournalFile(tmp_path / "reports" / "load" / "journal.ndjson")
    assert sum(1 for _ in journal) > 10
    assert journal.complete
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret not in path.read_text(encoding="utf-8", errors="replace"), path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_target_that_dies(tmp_path: Path) -> None:
    """Exit 3: what was proved until then is told; requests against nobody are not made for the rest of the hour."""
    with running(tmp_path, "mixed", *BUSY_MACHINE) as process:
        (emulator,) = children(process, "serve")
        emulator.kill()
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 3, out + errors
    assert "The emulator that was started for the run ended by signal 9" in out
    assert violated(result_in(tmp_path)) == set()
    assert JournalFile(tmp_path / "reports" / "load" / "journal.ndjson").header.concurrent
    assert all(JournalFile(path).header for path in (tmp_path / "reports" / "load").glob("journal-*.ndjson"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_worker_that_dies(tmp_path: Path) -> None:
    """Exit 3 and INVALID: nobody knows what it would have told, and nobody is convicted for what it did."""
    arguments = ("mixed", *BUSY_MACHINE, "--processes", "2", "--minutes", "12")
    with running(tmp_path, *arguments) as process:
        children(process, "--worker")[0].kill()
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 3, out + errors
    result = result_in(tmp_path)
    assert result["standing"] == "INVALID"
    assert violated(result) == set()
    assert "was ended by signal 9" in out
    assert "left no figures" in out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no limit to the size of files")
def test_a_full_disk(tmp_path: Path) -> None:
    """Exit 3 with words, and no pass; what is whole in the journals stays."""
    import resource

    limit = 300_000
    run = subprocess.run(
        [*COMMAND, "mixed", *SHORT, *BUSY_MACHINE, "--rate", "3000"],
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 3, run.stdout + run.stderr
    assert "File too large" in run.stderr
    assert "make room" in run.stderr
    folder = tmp_path / "reports" / "load"
    assert not (folder / "load.json").exists()
    (journal,) = folder.glob("journal-[0-9]*.ndjson")
    recording = JournalFile(journal)
    assert sum(1 for _ in recording) > 20
    assert not recording.complete
    # With room again, what there is can be judged, and is no pass.
    again = popreceipt_load(tmp_path, "--judge", "reports/load")
    assert again.returncode == 3, again.stdout + again.stderr
    assert "could not be written" in again.stdout


# Folders, usage


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    """The journal of a verification is not taken away for a load run's."""
    (tmp_path / "journal.ndjson").write_text("precious")
    run = popreceipt_load(tmp_path, "imports", "--out", ".")
    assert run.returncode == 2
    assert "holds journal.ndjson, which no load run left there" in run.stderr
    assert (tmp_path / "journal.ndjson").read_text() == "precious"


def test_what_could_not_be_begun_is_not_in_the_way(tmp_path: Path) -> None:
    """A target that was not there yet: the next run into the same folder is not refused for what the first one left."""
    folder = tmp_path / "reports" / "load"
    for _ in range(2):
        run = popreceipt_load(tmp_path, "imports", "--target", "http://127.0.0.1:1")
        assert run.returncode == 3, run.stderr
        assert "Is the target running" in run.stderr
        assert not list(folder.iterdir())


def test_a_number_that_makes_no_run_leaves_the_last_one_alone(tmp_path: Path, good_run: GoodRun) -> None:
    """Refused before anything is taken away; a journal that was begun and belongs to no run is nobody's."""
    shutil.copytree(good_run[0] / "reports", tmp_path / "reports")
    assert popreceipt_load(tmp_path, "imports", "--rate", "0").returncode == 2
    assert result_in(tmp_path)["complete"] is True
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "journal-setup.ndjson").write_text("{}")
    run = popreceipt_load(tmp_path, "imports", "--target", "http://127.0.0.1:1", "--out", "killed")
    assert run.returncode == 3, run.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name a scenario (imports, exports, polling, watching, mixed), or a folder with --judge: not neither."),
        (("imports", "--judge", "x"), "not both"),
        (("--judge", "nowhere"), "holds no load run"),
        (("imports", "--rate", "0"), "should be above zero"),
        (("imports", "--clock", "manual"), "A manual clock stands still"),
        (("imports", "--target", "tenant:nobody"), "popreceipt.toml"),
        (("imports", "--target", "emulator:nothing-like-it"), "No mutant is called"),
        (("imports", "--html", "/proc/nowhere/x.html"), "Cannot write"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: Sequence[str], words: str) -> None:
    """Exit 2, a sentence on standard error, and nothing begun."""
    run = popreceipt_load(tmp_path, *arguments)
    assert run.returncode == 2
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_nobody_there(tmp_path: Path) -> None:
    """Exit 3: a target that cannot be reached."""
    run = popreceipt_load(tmp_path, "imports", "--target", "http://127.0.0.1:1")
    assert run.returncode == 3
    assert "Is the target running" in run.stderr


def test_a_package_that_is_missing(tmp_path: Path) -> None:
    """A sentence that names what to install."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor each in ('locust', 'hdrh'):\n    sys.modules[each] = None\n"
    )
    run = popreceipt_load(tmp_path, "imports", environment={"PYTHONPATH": str(tmp_path)})
    assert run.returncode == 2
    assert "pip install 'popreceipt[load]'" in run.stderr


# How far it is


def test_processes_tell_how_it_goes(tmp_path: Path) -> None:
    """What several processes have told is added up; half a word, or none, is left out."""
    assert pace.read(tmp_path) is None
    pace.write(Pace(minutes=3.0, arrivals=30, requests=90, failed=1, waiting=None, lag_seconds=0.002), "0", tmp_path)
    pace.write(Pace(minutes=3.1, arrivals=32, requests=100, failed=0, waiting=7, lag_seconds=0.009), "1", tmp_path)
    (tmp_path / "pace-2.json").write_bytes(b'{"minutes": 4')
    told = pace.read(tmp_path)
    assert told == Pace(minutes=3.1, arrivals=62, requests=190, failed=1, waiting=7, lag_seconds=0.009)


def test_progress_is_told_in_the_targets_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal a line now and then: minutes, the rate, what waits, failed, how late the generator was."""
    monkeypatch.setattr(cli, "SILENCE_SECONDS", 0.0)
    telling = cli.Telling(Console(file=io.StringIO()))
    with telling.of_load(LoadPlan(minutes=60)) as watch:
        watch(None, "starting")
        watch(Pace(minutes=12.0, arrivals=120, requests=480, failed=2, waiting=34, lag_seconds=0.008), "load runs")
    with telling.of_judging() as progress:
        progress(20_000, 0, "joining journals")
        progress(3, 157, "judging dequeue.waiting-message-is-offered")
    assert capsys.readouterr().err.splitlines() == [
        "popreceipt: 0 of 60 min: starting",
        (
            "popreceipt: 12 of 60 min: 600 messages an hour in all, 480 requests, 34 waiting, 2 failed, "
            "late by 8 ms at worst"
        ),
        "popreceipt: joining journals (20,000)",
        "popreceipt: judging dequeue.waiting-message-is-offered (3 of 157)",
    ]


def test_a_page_repeats_the_command_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a control plane was on the command line, and stands in no report."""
    monkeypatch.setattr(sys, "argv", ["x", "load", "mixed", "--control-key", "hush", "--out", "a b"])
    assert cli._command() == "popreceipt load mixed --control-key … --out 'a b'".replace("…", "'…'")
    monkeypatch.setattr(sys, "argv", ["x", "load", "mixed", "--control-key=hush"])
    assert "hush" not in cli._command()
