"""The command line of a tour: what it tells, what it leaves, and how it ends, against a server that is a stranger."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from popreceipt.cli.main import run
from popreceipt.generate.rehearsal.stranger import Manner, Stranger, stranger
from popreceipt.journal import Exchange, JournalFile

RULE = "authorization.expired-token-refused"

LIMIT = 90.0
"""Real seconds that a command may take before the test gives up."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """A server on a clock on which a token's hour lasts five seconds."""
    with stranger(tmp_path_factory.mktemp("stranger"), Manner(rate=720.0)) as found:
        yield found


@dataclass
class Ended:
    """How a command in this process ended, and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(
    server: Stranger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """`popreceipt verify` on the server, in this process."""
    monkeypatch.chdir(server.folder)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, target: str = server.target) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(["verify", "--target", target, *arguments])
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), " ".join(told.out.split()), " ".join(told.err.split()))

    return call


def start(server: Stranger, *arguments: str) -> "subprocess.Popen[str]":
    """Start it in a process of its own, to be read from as it goes."""
    return subprocess.Popen(
        [sys.executable, "-m", "popreceipt", "verify", "--target", server.target, *arguments],
        cwd=server.folder,
        env={**os.environ, **server.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_it_waits(process: "subprocess.Popen[str]") -> str:
    """Its lines up to the one that says what it waits for."""
    assert process.stdout is not None
    told = ""
    for each in process.stdout:
        told += each
        if "waiting for" in each:
            return told
    raise AssertionError(f"it ended without waiting: {told}")


def the_rest_of(process: "subprocess.Popen[str]") -> str:
    """Its lines up to its end."""
    assert process.stdout is not None
    with process.stdout:
        told = process.stdout.read()
    process.wait(LIMIT)
    return told


def test_a_plan_needs_no_secret_and_asks_no_server(
    server: Stranger, command: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made from the description alone, for people and for machines."""
    for name in server.environment:
        if name.endswith("_SECRET"):
            monkeypatch.delenv(name)
    before = server.journal.read_bytes()
    for_people, for_machines = command("--plan"), command("--plan", "--json")
    assert (for_people.status, for_machines.status) == (0, 0)
    plan = json.loads(for_machines.out)
    assert plan["format"] == "popreceipt/plan@1"
    assert f"{plan['requests_at_most']:,} requests and {plan['bytes_at_most']:,} bytes" in for_people.out
    assert server.journal.read_bytes() == before


def test_stopped_killed_and_gone_on_with(server: Stranger, command: Callable[..., Ended]) -> None:
    """Ctrl-C keeps what was done and tells how to go on; a kill does the same without a word; the end is a verdict."""
    folder = server.folder / "kept"
    process = start(server, "--rule", RULE, "--out", str(folder), "--patience", "2m")
    told = until_it_waits(process)
    assert "the end of a token's life" in told
    assert " UTC there, " in told
    process.send_signal(signal.SIGINT)
    told = the_rest_of(process)
    assert process.returncode == 130
    assert f"kept in {folder}" in " ".join(told.split())
    assert f"popreceipt verify --target {server.target} --out {folder} --resume --patience" in told
    assert not (folder / "verdicts.json").exists()

    busy = start(server, "--out", str(folder), "--resume")
    until_it_waits(busy)
    second = command("--out", str(folder), "--resume")
    assert second.status == 2
    assert "Another popreceipt is at work" in second.err
    busy.kill()
    the_rest_of(busy)

    unfinished = command("--rule", RULE, "--out", str(folder))
    assert unfinished.status == 2
    assert "--resume" in unfinished.err
    other = command("--out", str(folder), "--resume", "--seed", "9")
    assert other.status == 2
    assert "with the seed 0, not 9" in other.err

    # Without --rule: which rules it was begun for is known.
    last = command("--out", str(folder), "--resume")
    assert last.status == 0, last
    verdicts = json.loads((folder / "verdicts.json").read_text())
    assert [(each["id"], each["outcome"]) for each in verdicts["rules"]] == [(RULE, "held")]
    toured = verdicts["suites"]["tour"]
    assert toured["done"] == toured["errands"] >= 1
    journal = JournalFile(folder / "journal.ndjson")
    numbers = [each.seq for each in journal if isinstance(each, Exchange)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert journal.complete
    for each in folder.iterdir():
        assert not any(secret.encode() in each.read_bytes() for secret in server.secrets)

    again = command("--out", str(folder), "--resume", "--json")
    assert again.status == 0
    assert json.loads(again.out)["rules"] == verdicts["rules"]
    assert "nothing was sent" in again.err
    clobbering = command("--rule", RULE, "--out", str(folder), target="emulator:")
    assert clobbering.status == 2
    assert "holds a tour of a tenant" in clobbering.err


def test_what_is_parked_is_told_with_the_command_that_goes_on(server: Stranger, command: Callable[..., Ended]) -> None:
    """The run ends in order: that its rule is not decided yet is no failure of the run."""
    folder = server.folder / "parked"
    rules = ("--rule", RULE, "--rule", "authorization.token-required")
    ended = command(*rules, "--out", str(folder), "--patience", "1")
    assert ended.status == 0, ended
    assert "parked until" in ended.out
    assert " parked, " in ended.err
    assert f"popreceipt verify --target {server.target} --out {folder} --resume --patience 1m" in ended.err
    verdicts = {each["id"]: each for each in json.loads((folder / "verdicts.json").read_text())["rules"]}
    assert verdicts[RULE]["outcome"] == "unexercised"
    assert verdicts["authorization.token-required"]["outcome"] == "held"
