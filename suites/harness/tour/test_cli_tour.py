"""The command line of a tour: what it tells, what it leaves, and how it ends, against a server that is a stranger."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from popreceipt.generate.rehearsal.stranger import Manner, Stranger, stranger
from popreceipt.journal import Exchange, JournalFile

RULE = "authorization.expired-token-refused"

LIMIT = 90.0
"""Real seconds that a command may take before the test gives up."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """A server on a clock on which a token's hour lasts ten seconds."""
    with stranger(tmp_path_factory.mktemp("stranger"), Manner(rate=360.0)) as found:
        yield found


def verify(server: Stranger, *arguments: str) -> tuple[str, ...]:
    """The arguments of the command."""
    return ("verify", "--target", server.target, "--rule", RULE, *arguments)


def start(server: Stranger, *arguments: str) -> "subprocess.Popen[str]":
    """Start it, to be read from as it goes."""
    return subprocess.Popen(
        [sys.executable, "-m", "popreceipt", *verify(server, *arguments)],
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


def test_a_plan_needs_no_secret_and_no_server(server: Stranger) -> None:
    """It is made from the description alone, for people and for machines."""
    bare = Stranger(
        server.folder,
        server.base_url,
        (),
        server.activities,
        {"POPRECEIPT_CONFIG": server.environment["POPRECEIPT_CONFIG"], "NO_COLOR": "1"},
    )
    before = server.journal.read_bytes()
    for_people = bare.run("verify", "--target", server.target, "--plan", seconds=LIMIT)
    for_machines = bare.run("verify", "--target", server.target, "--plan", "--json", seconds=LIMIT)
    assert (for_people.returncode, for_machines.returncode) == (0, 0)
    plan = json.loads(for_machines.stdout)
    assert plan["format"] == "popreceipt/plan@1"
    assert f"{plan['requests_at_most']:,} requests at most" in " ".join(for_people.stdout.split())
    assert server.journal.read_bytes() == before


def test_stopped_killed_and_gone_on_with(server: Stranger) -> None:
    """Ctrl-C keeps what was done and tells how to go on; a kill does the same without a word; the end is a verdict."""
    folder = server.folder / "kept"
    process = start(server, "--out", str(folder), "--patience", "2m")
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
    second = server.run(*verify(server, "--out", str(folder), "--resume"), seconds=LIMIT)
    assert second.returncode == 2
    assert "Another popreceipt is at work" in " ".join(second.stderr.split())
    busy.kill()
    the_rest_of(busy)

    unfinished = server.run(*verify(server, "--out", str(folder)), seconds=LIMIT)
    assert unfinished.returncode == 2
    assert "--resume" in unfinished.stderr
    other = server.run(*verify(server, "--out", str(folder), "--resume", "--seed", "9"), seconds=LIMIT)
    assert other.returncode == 2
    assert "with the seed 0, not 9" in " ".join(other.stderr.split())

    # Without --rule: which rules it was begun for is known.
    last = server.run("verify", "--target", server.target, "--out", str(folder), "--resume", seconds=LIMIT)
    assert last.returncode == 0, last.stdout + last.stderr
    verdicts = json.loads((folder / "verdicts.json").read_text())
    assert [(each["id"], each["outcome"]) for each in verdicts["rules"]] == [(RULE, "held")]
    assert verdicts["suites"]["tour"]["done"] == 1
    journal = JournalFile(folder / "journal.ndjson")
    numbers = [each.seq for each in journal if isinstance(each, Exchange)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert journal.complete
    for each in folder.iterdir():
        assert not any(secret.encode() in each.read_bytes() for secret in server.secrets)

    again = server.run("verify", "--target", server.target, "--out", str(folder), "--resume", "--json", seconds=LIMIT)
    assert again.returncode == 0
    assert json.loads(again.stdout)["rules"] == verdicts["rules"]
    assert "nothing was sent" in again.stderr
    clobbering = server.run("verify", "--target", "emulator:", "--rule", RULE, "--out", str(folder), seconds=LIMIT)
    assert clobbering.returncode == 2
    assert "holds a tour of a tenant" in " ".join(clobbering.stderr.split())


def test_what_is_parked_is_told_with_the_command_that_goes_on(server: Stranger) -> None:
    """The run ends in order: that its rule is not decided yet is no failure of the run."""
    folder = server.folder / "parked"
    ended = server.run(
        *verify(server, "--rule", "authorization.token-required", "--out", str(folder), "--patience", "1"),
        seconds=LIMIT,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "parked until" in " ".join(ended.stdout.split())
    assert "1 errands are parked" in ended.stderr
    assert f"popreceipt verify --target {server.target} --out {folder} --resume --patience 1m" in ended.stderr
    verdicts = {each["id"]: each for each in json.loads((folder / "verdicts.json").read_text())["rules"]}
    assert verdicts[RULE]["outcome"] == "unexercised"
    assert verdicts["authorization.token-required"]["outcome"] == "held"
