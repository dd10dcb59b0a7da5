"""Load from several processes: a Locust master and its workers on loopback, as they would run on several machines.

Every process is a real one; none of them imports anything into this one, for Locust patches sockets and threads.
"""

import json
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from popreceipt.journal import Exchange, JournalFile, instant
from popreceipt.load.figures import Figures
from popreceipt.load.judging import judge_run
from popreceipt.load.pacing import ENQUEUED, arrivals
from popreceipt.load.plan import LoadPlan
from popreceipt.load.result import LoadResult, Standing
from popreceipt.resources import locustfiles
from popreceipt.verdict import Outcome

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="Locust forks for --processes; not tried on Windows"),
]

LOCUST = [sys.executable, "-m", "locust"]
IMPORTS = str(locustfiles() / "imports.py")

RATE = 60.0
PER_HOUR = 3600.0
MINUTES = 5.0
"""Sixty messages a real second, for five of them."""

SHOWN = {
    "authorization.issued-token-accepted",
    "enqueue.creates-a-message",
    "enqueue.each-call-its-own-message",
    "processing.good-records-land",
}
"""Rules that such a run must have shown to be kept."""

PATIENT = 60.0
"""Seconds that the generator may lag here: tests share their cores, and it is not their speed that is tested."""

RESOLUTION = timedelta(seconds=1)
"""Of the times in Manage messages."""

PLAN = ["--per-hour", f"{PER_HOUR:g}", "--minutes", f"{MINUTES:g}", "--lag-seconds", f"{PATIENT:g}"]


@dataclass
class Crew:
    """The processes of a run, and what they leave behind."""

    base_url: str
    folder: Path
    closing: ExitStack
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, within: Sequence[str] = ()) -> subprocess.Popen[str]:
        """A Locust process; started by another command, if need be."""
        # Its output goes to a file: nobody reads it while it runs, and a pipe would fill up.
        output = self.closing.enter_context((self.folder.parent / f"locust-{len(self.started)}.txt").open("w+"))
        process = subprocess.Popen(
            [*within, *LOCUST, "-f", IMPORTS, *arguments],
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        self.closing.callback(gone, process)
        return process

    def lead(self, *arguments: str) -> subprocess.Popen[str]:
        """The process that is told what to do."""
        return self.start("--host", self.base_url, "--out", str(self.folder), *PLAN, *arguments)

    def ended(self) -> list[int]:
        """Wait until all are gone; their exit statuses."""
        return [each.wait(timeout=120) for each in self.started]

    def said(self) -> str:
        """What all of them said."""
        return "\n".join(path.read_text() for path in sorted(self.folder.parent.glob("locust-*.txt")))

    def figures(self) -> list[Figures]:
        """What each worker counted."""
        return [
            msgspec.json.decode(path.read_bytes(), type=Figures) for path in sorted(self.folder.glob("figures-*.json"))
        ]

    def enqueues(self) -> list[list[Exchange]]:
        """The files handed in, by worker."""
        return [
            [each for each in JournalFile(path) if isinstance(each, Exchange) and each.operation == "enqueue"]
            for path in sorted(self.folder.glob("journal-[0-9]*.ndjson"))
        ]


def gone(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """An emulator whose minutes are seconds, and nobody yet who puts load on it."""
    with ExitStack() as closing:
        serve = [sys.executable, "-m", "popreceipt", "serve", "--port", "0", "--clock", f"scaled:{RATE:g}"]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        closing.enter_context(server.stdout)
        closing.callback(gone, server)
        yield Crew(json.loads(server.stdout.readline())["base_url"], tmp_path / "run", closing)


def free_ports(count: int) -> list[str]:
    with ExitStack() as closing:
        probes = [closing.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(probe.getsockname()[1]) for probe in probes]


def planned(workers: int) -> int:
    """How many messages the plan's arrivals are, dealt out to so many workers."""
    plan = LoadPlan(scenario="imports", per_hour=PER_HOUR, minutes=MINUTES)
    return sum(
        1 for worker in range(workers) for _ in arrivals(plan, ENQUEUED, rate=RATE, worker=worker, workers=workers)
    )


def test_a_master_and_two_workers(crew: Crew) -> None:
    """Each worker writes its journal; together they hold the rate, and every message is there exactly once."""
    (port,) = free_ports(1)
    master = ("--headless", "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    crew.lead(*master, "--expect-workers", "2")
    for _ in range(2):
        crew.start("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    status, *workers = crew.ended()
    assert workers == [0, 0], crew.said()
    assert is_whole(crew, workers=2).exit_status() == status, crew.said()


def test_a_worker_on_another_machine(crew: Crew) -> None:
    """As far as it can tell: under another name it trusts nobody's stopwatch and asks the target for the time."""
    elsewhere = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*elsewhere, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to give a process a machine's name of its own (Linux, root)")
    (port,) = free_ports(1)
    master = ("--headless", "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    crew.lead(*master, "--expect-workers", "2")
    for within in ([], elsewhere):
        crew.start("--worker", "--master-host", "127.0.0.1", "--master-port", port, within=within)
    status, *workers = crew.ended()
    assert workers == [0, 0], crew.said()
    assert is_whole(crew, workers=2).exit_status() == status, crew.said()
    # Its own times are as good as its journal says: the target enqueued each file while it was being handed in.
    enqueued = {str(row["MessageId"]): instant(row["EnqueueDateTime"]) for row in rows(crew)}
    for path in crew.folder.glob("journal-[0-9]*.ndjson"):
        journal = JournalFile(path)
        off = timedelta(seconds=journal.header.clock_error_seconds) + RESOLUTION
        for each in journal:
            if isinstance(each, Exchange) and each.operation == "enqueue":
                assert each.sent - off <= enqueued[answered(each)] <= each.answered + off


def test_processes(crew: Crew) -> None:
    """`--processes 2` is a master and two workers in one command."""
    (port,) = free_ports(1)
    bound = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port)
    crew.lead("--headless", "--processes", "2", *bound)
    (status,) = crew.ended()
    assert is_whole(crew, workers=2).exit_status() == status, crew.said()


def test_as_the_operator_starts_them(crew: Crew) -> None:
    """With its page, started by itself when the workers are there, ended after the plan: as in kubernetes/load.yaml."""
    manifest = yaml.safe_load((locustfiles() / "deployment" / "kubernetes" / "load.yaml").read_text())["spec"]
    port, page = free_ports(2)
    here = {"/locustfiles/imports.py": IMPORTS, "http://connector:8365": crew.base_url}

    def told(command: str) -> Sequence[str]:
        """A command of the manifest, here, without the plan that it names."""
        words = [here.get(word, word) for word in shlex.split(command)]
        named, locustfile, *rest = words
        assert (named, locustfile) == ("--locustfile", IMPORTS)
        return rest

    # The plan of a test is shorter, and its folder another: what is said last counts.
    ours = ("--out", str(crew.folder), *PLAN, "--activities", "1", "--web-host", "127.0.0.1", "--web-port", page)
    bound = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    # What the operator adds (internal/resources/command.go of its version 2.3), but for the port that it fixes.
    crew.start(
        *told(manifest["master"]["command"]),
        *("--master", f"--master-port={port}", "--expect-workers=2", "--autostart", "--autoquit", "1"),
        *("--enable-rebalancing", "--only-summary", *bound, *ours),
    )
    for _ in range(2):
        added = ("--worker", f"--master-port={port}", "--master-host=127.0.0.1")
        crew.start(*told(manifest["worker"]["command"]), *added)
    status, *workers = crew.ended()
    assert workers == [0, 0], crew.said()
    assert is_whole(crew, workers=2).exit_status() == status, crew.said()


def test_a_worker_dies(crew: Crew) -> None:
    """In mid-run, without a word: the run ends by itself, is INVALID, and nobody is convicted for what is missing."""
    (port,) = free_ports(1)
    master = ("--headless", "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    crew.lead(*master, "--expect-workers", "2", "--minutes", "12")
    workers = [crew.start("--worker", "--master-host", "127.0.0.1", "--master-port", port) for _ in range(2)]
    until_written(crew, 50)
    workers[0].kill()
    status, *_ = crew.ended()
    result = judge_run(crew.folder)
    assert result.standing is Standing.INVALID
    assert any("worker" in reason for reason in result.reasons), result.reasons
    assert not result.verdicts.with_outcome(Outcome.VIOLATED)
    assert result.exit_status() == status == 3, crew.said()
    assert sorted(map(is_complete, crew.folder.glob("journal-[0-9]*.ndjson"))) == [False, True]


def until_written(crew: Crew, enqueues: int) -> None:
    """Wait until each of two workers has handed in so many files and said so in its journal."""
    while True:
        paths = list(crew.folder.glob("journal-[0-9]*.ndjson"))
        if len(paths) == 2 and all(path.read_bytes().count(b'"operation":"enqueue"') >= enqueues for path in paths):
            return
        assert all(each.poll() is None for each in crew.started), crew.said()


def is_whole(crew: Crew, *, workers: int) -> LoadResult:
    """What a run must have left behind; the judgement."""
    parts = crew.enqueues()
    assert len(parts) == workers
    # Each does its part, and all parts together are the plan.
    assert all(len(part) > planned(workers) / workers / 2 for part in parts)
    assert sum(map(len, parts)) == sum(each.arrivals for each in crew.figures()) == planned(workers)
    assert all(map(is_complete, crew.folder.glob("journal-*.ndjson")))
    # Nothing doubled, nothing lost: neither on the way nor at the target.
    enqueues = [each for part in parts for each in part]
    ids = [answered(each) for each in enqueues]
    assert len(set(ids)) == len({body(each) for each in enqueues}) == len(enqueues)
    assert sorted(str(row["MessageId"]) for row in rows(crew)) == sorted(ids)
    result = judge_run(crew.folder)
    assert result.verdicts.complete
    assert not result.verdicts.with_outcome(Outcome.VIOLATED)
    assert {each.id for each in result.verdicts.with_outcome(Outcome.HELD)} >= SHOWN
    assert result.standing is not Standing.INVALID, result.reasons
    return result


def is_complete(journal: Path) -> bool:
    """Whether a journal has its footer, which only shows once it has been read."""
    entries = JournalFile(journal)
    return sum(1 for _ in entries) > 0 and entries.complete


def answered(enqueue: Exchange) -> str:
    """The message's id, from the answer to its enqueue."""
    assert enqueue.response is not None
    assert enqueue.response.body is not None
    return str(json.loads(enqueue.response.body.content() or b"null"))


def body(enqueue: Exchange) -> Any:
    """What tells one file from another."""
    assert enqueue.request.body is not None
    return enqueue.request.body.sha256


def rows(crew: Crew) -> list[dict[str, Any]]:
    """Manage messages, of all jobs that take files."""
    control = f"{crew.base_url}/_control/v1"
    world = httpx.get(f"{control}/world").raise_for_status().json()
    return [
        row
        for job in world["activities"]
        if job["direction"] == "import"
        for row in httpx.get(f"{control}/activities/{job['id']}/messages").raise_for_status().json()
    ]
