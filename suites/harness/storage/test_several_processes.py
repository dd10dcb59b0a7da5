"""Several server processes on one database: to a client they are one service."""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from popreceipt.client.consumer import pull
from popreceipt.client.control import Control
from popreceipt.client.session import Session
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import Transport
from popreceipt.generate.crash.crew import Client, Gate, Jobs
from popreceipt.generate.crash.ledger import Ledger
from popreceipt.journal import Exchange, Header, Journal, JournalFile, Target, instant
from popreceipt.rules import catalogue, find
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Outcome, judge

POPRECEIPT = [sys.executable, "-m", "popreceipt"]
LOCKLESS = [sys.executable, str(Path(__file__).with_name("lockless.py"))]
ANYWHERE = "http://environment.example:8365"
"""What all processes take themselves for, as behind a proxy."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="written for signals; not tried on Windows")


class Serving:
    """A `serve --database` on a free port."""

    def __init__(self, database: str, *options: str, command: Sequence[str] = POPRECEIPT) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [*command, "serve", "--port", str(port), "--database", database, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.ready: dict[str, Any] = json.loads(line)
        self.base_url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A control call that must succeed."""
        answer = httpx.request(method, f"{self.base_url}/_control/v1{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def end(self, with_signal: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal: exit status, and what it said on standard error."""
        self.process.send_signal(with_signal)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


Serve = Callable[..., Serving]


@pytest.fixture
def serve(database: str) -> Iterator[Serve]:
    """Start a server on the test's database. Those that are left are killed."""
    with ExitStack() as closing:

        def start(*options: str, **more: Any) -> Serving:
            started = Serving(database, *options, **more)
            closing.callback(gone, started.process)
            return started

        yield start


def gone(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


# As one service


def test_what_is_done_at_one_is_done_at_all(serve: Serve) -> None:
    """Jobs, time, tokens, what fell due, parameters and planned faults are the same at each."""
    one, other = (serve("--clock", "manual", "--base-url", ANYWHERE) for _ in range(2))
    assert one.ready["base_url"] == other.ready["base_url"] == ANYWHERE
    job = one.call("POST", "/activities", {"direction": "import"})
    assert job in other.call("GET", "/world")["activities"]

    identity = one.call("GET", "/world")["identity"]
    form = {"grant_type": "client_credentials", "scope": f"{ANYWHERE}/.default", **identity["clients"]["authorised"]}
    path = identity["token_url"].removeprefix(ANYWHERE)
    token = httpx.post(f"{one.base_url}{path}", data=form).json()["access_token"]

    def enqueue(where: Serving) -> httpx.Response:
        return httpx.post(
            f"{where.base_url}/api/connector/enqueue/{job['id']}",
            params={"entity": "Customer groups"},
            headers={"authorization": f"Bearer {token}"},
            content=b"CUSTOMERGROUPID,DESCRIPTION\r\n10,Ten\r\n",
        )

    assert enqueue(one).status_code == enqueue(other).status_code == 200
    moved = other.call("POST", "/clock", {"advance_seconds": 420})
    assert one.call("GET", "/clock")["now"] == moved["now"]
    rows = one.call("GET", f"/activities/{job['id']}/messages")
    assert [row["Status"] for row in rows] == ["Processed", "Processed"]
    assert one.call("PATCH", "/parameters", {"skip_reprocessing": True}) == other.call("GET", "/parameters")

    one.call("POST", "/faults", {"operation": "enqueue", "kind": "status", "status": 503, "times": 2})
    assert [enqueue(where).status_code for where in (other, one, other)] == [503, 503, 200]
    assert [fault["hits"] for fault in one.call("GET", "/faults")] == [2]
    other.call("POST", "/reset")
    assert one.call("GET", "/faults") == []
    assert len(one.call("GET", "/world")["activities"]) == 7
    assert one.end() == other.end() == (0, "")


def test_a_fast_clock_is_the_same_everywhere(serve: Serve, database: str) -> None:
    """Whoever is asked later tells a later time, though a second of theirs is a thousandth of a real one."""
    all_of_them = [serve("--clock", "scaled:1000") for _ in range(3)]
    told = [instant(one.call("GET", "/clock")["now"]) for _ in range(10) for one in all_of_them]
    assert told == sorted(told)
    refused = subprocess.run(
        [*POPRECEIPT, "serve", "--port", "0", "--clock", "manual", "--database", database],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--clock scaled:1000" in refused.stderr


def test_processes_behind_one_address(serve: Serve, tmp_path: Path) -> None:
    """One ready line, one address, several processes that all answer; a signal ends all of them."""
    journal, world = tmp_path / "journal.ndjson", tmp_path / "world.json"
    options = ("--clock", "manual", "--journal", str(journal), "--world-file", str(world))
    served = serve("--processes", "3", *options)
    assert json.loads(world.read_text())["base_url"] == served.base_url
    export = next(one["id"] for one in served.call("GET", "/world")["activities"] if one["name"] == "export-file")
    with httpx.Client(limits=httpx.Limits(max_keepalive_connections=0)) as client:
        for _ in range(100):
            assert client.get(f"{served.base_url}/api/connector/dequeue/{export}").status_code == 401
    assert served.end() == (0, "")
    parts = [JournalFile(tmp_path / f"journal-{number}.ndjson") for number in (1, 2, 3)]
    counts = [sum(isinstance(entry, Exchange) for entry in part) for part in parts]
    assert sum(counts) == 100
    assert all(counts)
    assert all(part.complete for part in parts)
    assert not world.exists()


def test_over_tls_they_have_one_certificate(serve: Serve) -> None:
    """Whoever trusts the authority of the ready line can talk to each of them."""
    served = serve("--processes", "2", "--tls")
    trusting = ssl.create_default_context(cafile=served.ready["ca_file"])
    for _ in range(10):
        assert httpx.get(f"{served.ready['control_url']}/clock", verify=trusting).status_code == 200
    assert served.end(signal.SIGINT) == (0, "")
    assert not Path(served.ready["ca_file"]).exists()


def children_of(process: int) -> list[int]:
    """The processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the processes")
def test_no_half_service(serve: Serve) -> None:
    """One that dies takes all along, with a sentence; and they follow the first one into its death."""
    served = serve("--processes", "3")
    os.kill(children_of(served.process.pid)[1], signal.SIGKILL)
    status, errors = served.ended()
    assert status == 4
    assert errors.endswith("Process 2 of 3 was ended by signal 9. All of them are ended now.\n")
    again = serve("--processes", "2")
    port = int(again.base_url.rpartition(":")[2])
    again.process.kill()
    # What they wrote to ends when the last of them has: nobody is left then.
    again.process.communicate(timeout=60)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--processes", "2"], "need a --database"),
        (["--data", "folder", "--database", "postgresql://"], "name one of them"),
        (["--database", "secret"], "--database takes a URL"),
        (["--database", "postgresql://me:secret@127.0.0.1:1/x"], "Cannot reach the database x on 127.0.0.1"),
        (["--processes", "3", "--database", "postgresql://me:secret@127.0.0.1:1/x"], "Cannot reach the database x"),
    ],
)
def test_refuses_what_it_cannot_do(options: list[str], says: str) -> None:
    """One sentence without secrets, exit status 2."""
    refused = subprocess.run(
        [*POPRECEIPT, "serve", "--port", "0", *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (2, 1, "")
    assert says in refused.stderr
    assert "secret" not in refused.stderr


# The whole suite

EACH_BY_ITSELF = (
    "import popreceipt.client.transport as transport\n"
    "transport.KEPT_IDLE = 0.0\n"  # a connection for each request, so that they go to all processes
    "from popreceipt.cli.main import run\n"
    "run()\n"
)


def verdicts(folder: Path, *options: str, command: Sequence[str] = POPRECEIPT) -> dict[str, tuple[Any, Any]]:
    """Outcome and answer of each rule."""
    run = subprocess.run(
        [*command, "verify", "--suite", "conformance", "--out", str(folder), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads((folder / "verdicts.json").read_text())
    assert result["complete"]
    return {each["id"]: (each["outcome"], each["answer"]) for each in result["rules"]}


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    return verdicts(tmp_path_factory.mktemp("memory"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("processes", [1, 4])
def test_conformance(serve: Serve, tmp_path: Path, in_memory: dict[str, tuple[Any, Any]], processes: int) -> None:
    """Every rule is judged as it is in memory, whichever process gets which request."""
    served = serve("--clock", "manual", "--processes", str(processes))
    command = [sys.executable, "-c", EACH_BY_ITSELF] if processes > 1 else POPRECEIPT
    assert verdicts(tmp_path, "--target", served.base_url, command=command) == in_memory
    assert served.end() == (0, "")


# At the same time

RATE = 600.0
"""Of the servers' clock: a lease of half an hour ends after three real seconds."""

MUST_BE_SHOWN = (
    "acknowledgment.ends-redelivery",
    "redelivery.not-before-half-an-hour",
    "dequeue.waiting-message-is-offered",
)


@dataclass
class Found:
    """What came of a crowd's work."""

    ledger: Ledger
    findings: list[str]
    held: dict[str, int]


class Crowd:
    """Eight consumers, two at each of four servers, and a journal of all of them."""

    def __init__(self, servers: Sequence[Serving]) -> None:
        self._servers = servers
        self._closing = ExitStack()
        self.ledger = Ledger()
        self.journal = Journal(Header(target=Target(name="four"), clock="scaled", rate=RATE, concurrent=True))
        self.gates = [Gate() for _ in servers]
        first = self._transport()
        self.quiet = Control(servers[0].base_url, transport=first)
        self.control = Control(servers[0].base_url, transport=first, times=self.quiet.times, journal=self.journal)
        self.session = Session(servers[0].base_url, self.quiet.times, self.journal, transport=first)
        self.tokens = Tokens(self.session, self.control.world().identity)
        self.jobs = Jobs(
            exports=[str(self.control.create(direction="export", type=kind)["id"]) for kind in ("package", "file")],
            unread=[str(self.control.create(direction="export")["id"])],
            imports=[str(self.control.create(direction="import", in_order=one)["id"]) for one in (True, False)],
        )
        self.consumers = [self._consumer(number, number % len(servers)) for number in range(8)]

    def _transport(self) -> Transport:
        transport = Transport(None)
        self._closing.callback(transport.close)
        return transport

    def _consumer(self, number: int, server: int) -> Client:
        base_url, transport = self._servers[server].base_url, self._transport()
        session = Session(base_url, self.quiet.times, self.journal, transport=transport)
        return Client(
            f"c{number}",
            random.Random(f"several/{number}"),
            session,
            Tokens(session, self.control.world().identity),
            Control(base_url, transport=transport, times=self.quiet.times),
            self.jobs,
            self.ledger,
            self.gates[server],
        )

    def work(self, rounds: int, between: Callable[[int], None] = lambda _: None) -> Found:
        """Let them work while so many rounds of messages are made, then drain the queues and judge."""
        for consumer in self.consumers:
            consumer.start()
        try:
            for gate in self.gates:
                gate.open()
            for number in range(rounds):
                between(number)
                self._produce()
        finally:
            for gate in self.gates:
                gate.end()
            for consumer in self.consumers:
                consumer.join()
        for consumer in self.consumers:
            if consumer.fault is not None:
                raise consumer.fault
        self._drain()
        with self._closing:
            return self._judged()

    def _produce(self) -> None:
        for activity in self.jobs.exports:
            for _ in range(8):
                produced = self.control.produce(activity, 2)
                self.ledger.produced(activity, produced["messageId"], produced["sha256"])

    def _drain(self) -> None:
        for _ in range(2):
            for activity in self.jobs.exports:
                pull(self.session, self.tokens, activity, lambda *_: None, actor="authorised/drain")
            self.quiet.times.advance(timedelta(minutes=31).total_seconds())

    def _judged(self) -> Found:
        rows = {activity: self.control.messages(activity) for activity in self.jobs.every}
        findings = list(self.ledger.broken(rows, self.quiet.clock().now))
        self.journal.seal()
        readings = Readings(self.journal.header, self.journal.entries)
        held = {
            name: sum(finding.outcome is Outcome.HELD for finding in find(name).check(readings))
            for name in MUST_BE_SHOWN
        }
        findings += [
            f"{verdict.level} {verdict.id}: {verdict.findings[0].message}"
            for verdict in judge(readings, catalogue())
            if verdict.outcome is Outcome.VIOLATED
        ]
        return Found(self.ledger, findings, held)


def crowd(serve: Serve, **more: Any) -> Crowd:
    return Crowd([serve("--clock", f"scaled:{RATE:g}", "--base-url", ANYWHERE, **more) for _ in range(4)])


@pytest.mark.timeout(300)
def test_eight_consumers_at_four_processes(serve: Serve) -> None:
    """No lease is given twice, nothing is lost, nothing acknowledged comes back."""
    at_work = crowd(serve)
    found = at_work.work(rounds=12)
    assert found.findings == []
    assert found.ledger.acknowledged > 50
    assert all(found.held.values()), found.held
    for server in at_work._servers:
        assert server.end() == (0, "")


@pytest.mark.timeout(300)
def test_one_is_killed(serve: Serve) -> None:
    """What it was just doing happened or did not; the others go on, and nothing is lost."""
    at_work = crowd(serve)

    def kill_one(number: int) -> None:
        if number == 4:
            at_work._servers[3].process.kill()
            at_work.gates[3].end()

    found = at_work.work(rounds=10, between=kill_one)
    assert found.findings == []
    assert all(found.held.values()), found.held
    failed = [each for each in at_work.journal.exchanges() if each.failure is not None]
    assert len(failed) <= len(at_work.consumers)
    for server in at_work._servers[:3]:
        assert server.end() == (0, "")


@pytest.mark.timeout(300)
def test_leases_without_a_row_lock_are_found(serve: Serve) -> None:
    """The same with servers that look for a message without locking it: the rules convict them."""
    found = crowd(serve, command=LOCKLESS).work(rounds=12)
    assert any("redelivery." in each or "twice" in each for each in found.findings), found.findings
