"""`popreceipt serve` as a user runs it: a process with a ready line, options that can be wrong, and a clean end."""

import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from popreceipt.cli import main
from popreceipt.emulator import continuity
from popreceipt.emulator.store import NotKept
from popreceipt.journal import Exchange, JournalFile

RUN = [sys.executable, "-c", "from popreceipt.cli.main import run; run()"]


class Serving:
    """A `popreceipt serve` process on a free port."""

    def __init__(self, *options: str) -> None:
        source = Path(main.__file__).parents[2]
        self.process = subprocess.Popen(
            [*RUN, "serve", "--port", "0", *options],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.ready: dict[str, Any] = json.loads(line)

    def end(self, with_signal: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send the signal: exit status, and what else it wrote to standard output and standard error."""
        self.process.send_signal(with_signal)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def serve() -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(*options: str) -> Serving:
        started.append(Serving(*options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
        for stream in (one.process.stdout, one.process.stderr):
            assert stream is not None
            stream.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can answer")
@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_says_it_is_ready_and_ends_cleanly(serve, tmp_path, with_signal):
    """The ready line is the contract's, in the file too; a signal ends it with 0, the journal sealed."""
    ready_file, journal = tmp_path / "ready.json", tmp_path / "journal.ndjson"
    ready_file.write_text("left by another run")
    served = serve("--clock", "manual", "--ready-file", str(ready_file), "--journal", str(journal))
    base_url = served.ready["base_url"]
    assert served.ready == {
        "ready": True,
        "base_url": base_url,
        "control_url": f"{base_url}/_control/v1",
        "pages_url": f"{base_url}/pages/",
        "ca_file": None,
        "control_key": None,
        "pid": served.process.pid,
    }
    assert json.loads(ready_file.read_text()) == served.ready
    world = httpx.get(f"{base_url}/_control/v1/world").json()
    assert world["base_url"] == world["identity"]["resource"] == base_url
    export = next(one["id"] for one in world["activities"] if one["name"] == "export-file")
    assert httpx.get(f"{base_url}/api/connector/dequeue/{export}").status_code == 401
    assert served.end(with_signal) == (0, "", "")
    assert not ready_file.exists()
    written = JournalFile(journal)
    assert [entry.operation for entry in written if isinstance(entry, Exchange)] == ["dequeue"]
    assert written.complete
    assert (written.header.recorded_by, written.header.clock, written.header.target.name) == (
        "service",
        "manual",
        world["name"],
    )


def test_over_tls(serve):
    """The ready line names the authority to trust; its file goes with the server."""
    served = serve("--tls")
    ca_file = Path(served.ready["ca_file"])
    trusting = ssl.create_default_context(cafile=str(ca_file))
    answer = httpx.get(f"{served.ready['control_url']}/world", verify=trusting)
    assert answer.json()["base_url"] == served.ready["base_url"]
    assert served.ready["base_url"].startswith("https://")
    if os.name != "nt":
        assert served.end() == (0, "", "")
        assert not ca_file.exists()


def test_without_control_plane(serve, tmp_path):
    """Only the wire; what a client needs to know stands in the world file."""
    world_file = tmp_path / "world.json"
    served = serve("--no-control", "--world-file", str(world_file))
    base_url = served.ready["base_url"]
    assert served.ready["control_url"] is None
    assert httpx.get(f"{base_url}/_control/v1/world").status_code == 404
    assert served.ready["pages_url"] is None
    assert httpx.get(f"{base_url}/pages/").status_code == 404
    identity = json.loads(world_file.read_text())["identity"]
    client = identity["clients"]["authorised"]
    answer = httpx.post(
        identity["token_url"],
        data={"grant_type": "client_credentials", "scope": f"{identity['resource']}/.default", **client},
    )
    assert answer.json()["token_type"] == "Bearer"


def test_off_loopback_control_needs_the_key(serve):
    """Listening on every address, the control plane has a key; a caller from this computer needs none."""
    served = serve("--host", "0.0.0.0", "--base-url", "http://uno.example:8365")
    assert served.ready["base_url"] == "http://uno.example:8365"
    key = served.ready["control_key"]
    assert len(key) >= 24


def test_exports_by_themselves(serve):
    """With --export-every the exports of the first world run at their recurrence."""
    served = serve("--clock", "manual", "--export-every", "5", "--export-records", "3")
    control = served.ready["control_url"]
    activities = httpx.get(f"{control}/world").json()["activities"]
    export = next(one for one in activities if one["name"] == "export-package")
    assert export["processing_recurrence_minutes"] == 5
    httpx.post(f"{control}/clock", json={"advance_seconds": 601})
    rows = httpx.get(f"{control}/activities/{export['id']}/messages").json()
    assert [row["TotalRecordsExported"] for row in rows] == [3, 3]


def _usage(*options: str) -> str:
    """The one sentence with which serve refuses to start."""
    source = Path(main.__file__).parents[2]
    ended = subprocess.run(
        [*RUN, "serve", *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


@pytest.fixture
def refusal(capsys):
    """The sentence, from this process: as above and much faster."""

    def run(*options):
        with pytest.raises(SystemExit) as ended:
            main.run(["serve", "--port", "0", *options])
        captured = capsys.readouterr()
        assert (ended.value.code, captured.out) == (2, "")
        assert captured.err.count("\n") == 1
        return captured.err

    return run


def test_a_taken_port():
    """Names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}: " in _usage("--port", port)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--clock", "sundial"], "Unknown clock 'sundial'"),
        (["--clock", "scaled:0"], "above zero"),
        (["--profile", "no-such-profile"], "There is no profile 'no-such-profile'"),
        (["--dialect", "dequeue.empty-queue"], "dequeue.empty-queue"),
        (["--dialect", "no.such-point=1"], "no.such-point"),
        (["--mutant", "no-such-mutant"], "No mutant is called 'no-such-mutant'"),
        (["--database", "sqlite://"], "--database takes a URL"),
        (["--export-every", "0"], "whole minutes"),
        (["--export-every", "525601"], "525600"),
        (["--export-every", "-99999999999999999999"], "whole minutes"),
        (["--export-every", "5", "--export-records", "-1"], "-1 records"),
        (["--export-every", "5", "--export-records", "100001"], "100001 records"),
        (["--export-records", "5"], "--export-records says something about --export-every"),
        (["--ca-file", "ca.pem"], "--ca-file says something about --tls"),
        (["--sync", "full"], "--sync says something about --data"),
        (["--base-url", "nonsense"], "'nonsense' is no base URL"),
        (["--base-url", ""], "'' is no base URL"),
        (["--base-url", "http://proxy/?x=1"], "is no base URL"),
        (["--base-url", "http://proxy:99999"], "is no base URL"),
        (["--base-url", "http://user@proxy"], "is no base URL"),
        (["--base-url", "http://two words"], "is no base URL"),
        (["--ready-file", "one", "--world-file", "./one"], "both name"),
        (["--journal", "one", "--world-file", "one"], "both name"),
        (["--ready-file", os.devnull], "something else than a file"),
        (["--journal", "no-such-folder/journal.ndjson"], "Cannot write the journal"),
        (["--journal", "."], "Cannot write the journal"),
        (["--ready-file", "no-such-folder/ready.json"], "no folder"),
        (["--ready-file", "."], "Cannot write ."),
        (["--tls", "--ca-file", "no-such-folder/ca.pem"], "certificate authority"),
        (["--host", "203.0.113.9"], "Cannot listen on 203.0.113.9"),
    ],
)
def test_refuses_what_it_cannot_do(refusal, tmp_path, monkeypatch, options, says):
    """One sentence on standard error, exit status 2, no traceback, no port, no file left."""
    monkeypatch.chdir(tmp_path)
    assert says in refusal(*options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_journal_on_a_full_disk(refusal):
    """What cannot even be begun is said before the port opens."""
    assert "Cannot write the journal: No space left on device" in refusal("--journal", "/dev/full")


@pytest.mark.parametrize("problem", [NotKept("Nothing was kept: it is full."), sqlite3.OperationalError("it is full")])
def test_a_full_disk_at_the_start(refusal, tmp_path, monkeypatch, problem):
    """An environment that cannot be opened since nothing can be kept is no fault of ours: status 2 and one sentence."""

    def full(*_: object) -> None:
        raise problem

    monkeypatch.setattr(continuity, "settled_key", full)
    said = refusal("--data", str(tmp_path / "data"))
    assert f"Nothing can be kept in {tmp_path / 'data'}: " in said
    assert "it is full" in said
    assert "Make room there" in said


def test_a_broken_profile_file(refusal, tmp_path):
    """A file that says something unknown is named."""
    file = tmp_path / "mine.toml"
    file.write_text('[points]\n"dequeue.empty-queue" = "teapot"\n')
    assert "dequeue.empty-queue cannot be 'teapot'" in refusal("--profile", str(file))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can answer")
def test_a_half_sent_request_does_not_hold_it_up(serve):
    """A signal ends it though a client is stuck in the middle of an upload."""
    served = serve()
    port = int(served.ready["base_url"].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as stuck:
        stuck.sendall(b"POST /api/connector/enqueue/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert served.end() == (0, "", "")


def test_answers_many_at_once(serve):
    """Eight clients at the same time all get their answers."""
    served = serve("--clock", "manual")
    answers: list[int] = []

    def ask() -> None:
        with httpx.Client() as client:
            answers.extend(client.get(f"{served.ready['control_url']}/clock").status_code for _ in range(20))

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert answers == [200] * 160


def test_ends_with_whoever_started_it():
    """A process that another one started ends when that one is killed, and has no chance to end anything."""
    starter = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([*{RUN!r}, 'serve', '--port', '0', '--until-stdin-ends'], stdin=subprocess.PIPE)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    ready = json.loads(parent.stdout.readline())
    assert httpx.get(f"{ready['base_url']}/_control/v1/clock").status_code == 200
    parent.kill()
    parent.wait()
    # Its standard output is closed with its last process.
    assert parent.stdout.read() == b""
    parent.stdout.close()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{ready['base_url']}/_control/v1/clock")
