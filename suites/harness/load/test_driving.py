"""Load runs as they are: Locust in processes of its own against an emulator in another, for a few seconds each.

Locust patches sockets and threads, so nothing of it may be imported here.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from popreceipt import resources
from popreceipt.client.wire import Reply, message_id
from popreceipt.journal import Exchange, JournalFile, Observation
from popreceipt.load.figures import Figures, added, percentiles
from popreceipt.load.merging import merge
from popreceipt.load.pacing import expected
from popreceipt.load.plan import Errand, LoadPlan
from popreceipt.load.siting import open_ground

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="signals and limits are tried as POSIX has them"),
]

PATIENT = 60.0
"""Real seconds that arrivals may be late here: these tests are about what is done, on a machine that is shared."""


@dataclass
class Served:
    """An emulator that serves."""

    base_url: str
    ca: Path | None
    process: subprocess.Popen[str]


Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts an emulator with options; it ends with the module."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, clock: str = "scaled:60") -> Served:
        folder = tmp_path_factory.mktemp("served")
        command = [sys.executable, "-m", "popreceipt", "serve", "--port", "0", "--clock", clock, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        started.append(process)
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        ca = told["ca_file"]
        return Served(told["base_url"], None if ca is None else folder / ca, process)

    yield start
    for each in started:
        each.terminate()
    for each in started:
        each.wait(30)
        assert each.stdout is not None
        each.stdout.close()


@pytest.fixture(scope="module")
def served(serve: Serve) -> Served:
    """One that most tests here can share: each run makes jobs of its own."""
    return serve()


@dataclass
class Run:
    """A run with an errand that is made here, as `popreceipt load` makes it."""

    plan: LoadPlan
    errand: Errand
    folder: Path
    told: Path
    status: int | None = None
    output: str = ""
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *options: str, **settings: Any) -> subprocess.Popen[str]:
        """Start Locust."""
        file = resources.locustfiles() / f"{self.plan.scenario}.py"
        # Into a file: nobody reads while it runs, and a pipe would fill.
        with self.output_file.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary", *options],
                env=os.environ | {"POPRECEIPT_ERRAND": str(self.told)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                **settings,
            )
        self.processes.append(process)
        return process

    @property
    def output_file(self) -> Path:
        """What Locust said."""
        return self.told.parent / "output.txt"

    def wait(self) -> "Run":
        """Until all processes have ended; the status is that of the first."""
        for each in self.processes:
            each.wait(120)
        self.status = self.processes[0].returncode
        self.output = self.output_file.read_text(encoding="utf-8")
        return self

    def figures(self) -> list[Figures]:
        """What the processes counted, one after the other."""
        return [
            msgspec.json.decode(path.read_bytes(), type=Figures) for path in sorted(self.folder.glob("figures-*.json"))
        ]

    def journals(self) -> list[JournalFile]:
        """The workers' journals."""
        return [
            JournalFile(path)
            for path in sorted(self.folder.glob("journal-*.ndjson"))
            if path.name != "journal-setup.ndjson"
        ]

    def exchanges(self) -> list[Exchange]:
        """What crossed the wire, of all workers."""
        return [each for journal in self.journals() for each in journal if isinstance(each, Exchange)]


Begin = Callable[..., Run]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Makes a run: `begin(served, scenario="imports", per_hour=3600, minutes=3)`."""
    number = count()
    with ExitStack() as closing:

        def make(target: Served, **members: Any) -> Run:
            plan = msgspec.convert(
                {"lag_seconds": PATIENT, "processing_minutes": 1.0, "poll_minutes": 0.25, **members}, LoadPlan
            )
            place = tmp_path / f"run-{next(number)}"
            folder = place / "folder"
            folder.mkdir(parents=True)
            journal = closing.enter_context((folder / "journal-setup.ndjson").open("wb"))
            ground = closing.enter_context(open_ground(target.base_url, plan, journal_file=journal, ca=target.ca))
            errand = Errand(plan, ground.site, str(folder))
            told = place / "errand.json"
            told.touch(mode=0o600)
            told.write_bytes(msgspec.json.encode(errand))
            run = Run(plan, errand, folder, told)
            closing.callback(_gone, run)
            return run

        yield make


def _gone(run: Run) -> None:
    for each in run.processes:
        if each.poll() is None:
            each.kill()
            each.wait()


def operations(run: Run) -> Counter[str]:
    return Counter(each.operation for each in run.exchanges())


def secrets(run: Run) -> list[bytes]:
    clients: Any = run.errand.site.identity["clients"]
    return [each["client_secret"].encode() for each in clients.values()] + [b"Bearer eyJ"]


def nothing_secret(run: Run) -> None:
    for path in (*run.folder.iterdir(), run.output_file):
        content = path.read_bytes()
        assert not [each for each in secrets(run) if each in content], path.name


def test_files_are_handed_in_at_the_plans_rate(served: Served, begin: Begin) -> None:
    """As many as the plan makes, no two alike, each in the journal, which is whole; and Locust ends by itself."""
    run = begin(served, scenario="imports", per_hour=6_000, minutes=3, activities=2)
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures], [journal] = run.figures(), run.journals()
    exchanges = [each for each in journal if isinstance(each, Exchange)]
    assert journal.complete
    assert journal.header.concurrent
    enqueued = [each for each in exchanges if each.operation == "enqueue"]
    assert len(enqueued) == round(expected(run.plan)) == 300
    assert {each.response.status for each in enqueued if each.response is not None} == {200}
    assert len({each.request.body.digest() for each in enqueued if each.request.body is not None}) == 300
    ids = {
        message_id(Reply(each, 200, body=each.response.body.content() or b""))
        for each in enqueued
        if each.response is not None and each.response.body is not None
    }
    assert len(ids - {None}) == 300
    paths = Counter(each.request.url for each in enqueued)
    assert len(paths) == 2
    assert all(each.actor == "authorised/0.producer" for each in enqueued)
    assert figures.operations["enqueue"].requests == figures.arrivals == 300
    assert figures.operations["token"].requests >= 1
    assert (figures.not_begun, figures.errors, figures.finished) == (0, {}, True)
    assert sum(each.begun for each in figures.minutes) == 300
    response, service = (percentiles(getattr(figures.operations["enqueue"], each)) for each in ("response", "service"))
    assert response["p50"] >= service["p50"] > 0
    assert response["max"] >= service["max"]
    # The journal's times are the target's: three minutes of it passed, in three seconds.
    spans = [each.sent for each in enqueued]
    assert 100 < (max(spans) - min(spans)).total_seconds() <= 180
    rows = set(re.findall(r"^(POST|service) +enqueue +300 ", run.output, re.MULTILINE))
    assert rows == {"POST", "service"}
    assert re.search(rf" Aggregated +{300 + figures.operations['token'].requests} ", run.output)
    nothing_secret(run)


def test_all_roles_do_their_part(served: Served, begin: Begin) -> None:
    """Exports are produced, taken and acknowledged; files are handed in and asked for; somebody watches."""
    run = begin(
        served, scenario="mixed", per_hour=3_000, minutes=4, monitoring_minutes=1.0, consumers=2, pollers=2, records=2
    )
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures], [journal] = run.figures(), run.journals()
    seen = operations(run)
    assert {"token", "enqueue", "dequeue", "download", "ack", "jobstatus", "message-status"} <= set(seen)
    assert seen["enqueue"] == 200
    assert figures.operations["produce"].requests == 200
    assert figures.arrivals == 400
    assert seen["ack"] == seen["download"]
    assert seen["dequeue"] == seen["ack"] + figures.polls
    assert figures.errors == {}
    assert not any(each.failures for each in figures.operations.values()), run.output
    told = Counter(each.observation for each in journal if isinstance(each, Observation))
    assert told["produced"] == 200
    assert told["load"] == told["messages"] == figures.operations["messages"].requests > 0
    depths = [each.waiting for each in figures.minutes]
    assert depths[-1] == 200 - seen["ack"]
    actors = {each.actor for each in run.exchanges()}
    assert {"authorised/0.consumer-0", "authorised/0.consumer-1", "authorised/0.poller"} <= actors
    nothing_secret(run)


def test_errors_of_what_failed_are_asked_for(serve: Serve, begin: Begin) -> None:
    """A poller that learns of a failure asks for the execution, and then for its errors."""
    target = serve()
    run = begin(target, scenario="polling", per_hour=3_000, minutes=4, pollers=2)
    # Every file's processing ends in an error from here on.
    plan = {"operation": "processing", "kind": "post-processing-failed", "times": None}
    request = urllib.request.Request(f"{target.base_url}/_control/v1/faults", json.dumps(plan).encode(), method="POST")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request):
        pass
    run.start()
    run.wait()
    assert run.status == 0, run.output
    seen = operations(run)
    assert seen["execution-id"] > 0
    assert seen["execution-errors"] == seen["execution-id"]


def test_more_than_it_can_do_is_told_as_late(served: Served, begin: Begin) -> None:
    """No arrival is forgotten: what was not begun in time is counted, and so is how late the others were."""
    run = begin(served, scenario="imports", per_hour=1_200_000, minutes=1, lag_seconds=0.2)
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures], [journal] = run.figures(), run.journals()
    assert figures.arrivals == round(expected(run.plan)) == 20_000
    assert figures.operations["enqueue"].requests + figures.not_begun == figures.arrivals
    assert figures.not_begun > 0
    assert figures.late > 0
    assert figures.worst_lag_seconds > 0.2
    assert percentiles(figures.operations["enqueue"].response)["max"] > 200
    assert len(list(journal)) > figures.operations["enqueue"].requests
    assert journal.complete


def test_a_worker_elsewhere_asks_the_target_for_its_time(served: Served, begin: Begin) -> None:
    """Where the stopwatch is another one; when files came, by the target, fits what the journal says of its times."""
    run = begin(served, scenario="imports", per_hour=3_000, minutes=2)
    site = msgspec.structs.replace(run.errand.site, machine="another")
    late = msgspec.structs.replace(run.errand, site=site)
    run.told.write_bytes(msgspec.json.encode(late))
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures], [journal] = run.figures(), run.journals()
    assert figures.operations["enqueue"].requests == 100
    assert journal.header.clock_error_seconds > 0
    rows = served_rows(served, run.errand.site.imports[0])
    for exchange in journal:
        if isinstance(exchange, Exchange) and exchange.operation == "enqueue" and exchange.response is not None:
            body = exchange.response.body
            assert body is not None
            told = rows[str(message_id(Reply(exchange, 200, body=body.content() or b"")))]
            error = timedelta(seconds=journal.header.clock_error_seconds, milliseconds=1)
            assert exchange.sent - error <= datetime.fromisoformat(told) <= exchange.answered + error


def served_rows(served: Served, activity: str) -> dict[str, str]:
    """When each message was enqueued, by the target."""
    with urllib.request.urlopen(f"{served.base_url}/_control/v1/activities/{activity}/messages") as answer:
        told = json.loads(answer.read())
    rows = told if isinstance(told, list) else told["messages"]
    return {each["MessageId"]: each["EnqueueDateTime"] for each in rows}


def test_consumers_stay_away_for_an_outage(served: Served, begin: Begin) -> None:
    """No dequeue in the middle third; what was produced meanwhile is taken afterwards."""
    run = begin(served, scenario="exports", shape="outage", per_hour=1_800, minutes=6, outage_minutes=2.0)
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures] = run.figures()
    began = datetime.fromisoformat(figures.began)
    dequeued = [(each.sent - began).total_seconds() / 60 for each in run.exchanges() if each.operation == "dequeue"]
    assert not [minute for minute in dequeued if 2.05 < minute < 4]
    assert [minute for minute in dequeued if minute < 2]
    assert [minute for minute in dequeued if minute > 4]
    depths = [each.waiting or 0 for each in figures.minutes]
    assert max(depths[:2]) < 30 < depths[3]
    assert operations(run)["ack"] > 90


def test_two_processes_share_the_load(served: Served, begin: Begin) -> None:
    """Each makes half of the files, together they are the plan; the exports are produced by one of them."""
    run = begin(served, scenario="mixed", per_hour=3_000, minutes=4, consumers=2, pollers=2)
    run.start("--processes", "2")
    run.wait()
    assert run.status == 0, run.output
    figures = run.figures()
    assert [each.worker for each in figures] == ["0", "1"]
    assert [each.operations["enqueue"].requests for each in figures] == [100, 100]
    assert ["produce" in each.operations for each in figures] == [True, False]
    total = added(figures)
    assert total.finished
    assert total.operations["enqueue"].requests == 200
    merged = merge(run.folder, name="both")
    assert [each.split(":")[0] for each in merged.damage] == ["journal-setup.ndjson"]  # Which is still being written.
    bodies = Counter(
        each.request.body.digest()
        for each in run.exchanges()
        if each.operation == "enqueue" and each.request.body is not None
    )
    assert set(bodies.values()) == {1}
    nothing_secret(run)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_ends_a_run_in_good_order(served: Served, begin: Begin, processes: int) -> None:
    """What was under way is waited for, the journals are whole, the figures say that it was not all."""
    run = begin(served, scenario="mixed", per_hour=3_000, minutes=600)
    process = run.start(*(["--processes", str(processes)] if processes > 1 else []))
    _until(lambda: all(_told(run, number) > 20 for number in range(processes)), process)
    process.send_signal(signal.SIGTERM)
    run.wait()
    assert run.status == 130, run.output
    figures = run.figures()
    assert len(figures) == processes
    assert not added(figures).finished
    assert added(figures).errors == {}
    for journal in run.journals():
        assert list(journal)
        assert journal.complete
    assert sum(sum(each.operations[name].requests for name in each.operations) for each in figures) > 0
    assert "Traceback" not in run.output


def _told(run: Run, worker: int) -> int:
    """How many requests a process has told of so far."""
    path = run.folder / f"pace-{worker}.json"
    return int(json.loads(path.read_bytes())["requests"]) if path.exists() else 0


def _until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a process does; it must not end before."""
    for _ in range(600):
        if condition():
            return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail("it did not come to that")


def test_a_full_disk_ends_the_load(served: Served, begin: Begin) -> None:
    """The worker says so and stops; the journal ends with a whole line and without a footer; it is no pass."""
    import resource

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    run = begin(served, scenario="imports", per_hour=12_000, minutes=600)
    run.start(preexec_fn=small)
    run.wait()
    assert run.status == 3, run.output
    assert "could not be written" in run.output
    [journal], [figures] = run.journals(), run.figures()
    assert len(list(journal)) > 20
    assert not journal.complete
    assert journal.path.read_bytes().endswith(b"}\n")
    assert any("could not be written" in each for each in figures.errors)
    assert not figures.finished


def test_a_target_that_dies_is_measured_as_dead(serve: Serve, begin: Begin) -> None:
    """Arrivals go on as planned and fail; the journal is whole, and so is the run."""
    target = serve()
    run = begin(target, scenario="imports", per_hour=3_000, minutes=6)
    process = run.start()
    _until(lambda: _told(run, 0) > 20, process)
    target.process.kill()
    run.wait()
    assert run.status == 0, run.output
    [figures], [journal] = run.figures(), run.journals()
    failures = figures.operations["enqueue"].failures
    assert failures.get("refused", 0) > 20
    assert set(failures) <= {"refused", "reset", "truncated"}
    assert figures.operations["enqueue"].requests == round(expected(run.plan)) == 300
    assert len(list(journal)) >= 300
    assert journal.complete


def test_a_lost_worker_is_not_waited_for(served: Served, begin: Begin) -> None:
    """The others do their part; its journal has no footer, and Locust's status is not that of a pass."""
    run = begin(served, scenario="imports", per_hour=3_000, minutes=8)
    master = run.start("--processes", "2")
    _until(lambda: all(_told(run, number) > 5 for number in range(2)), master)
    children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
    if not children.exists():
        pytest.skip("which processes it has started is read from /proc")
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    run.wait()
    assert run.status == 3, run.output
    assert len(run.figures()) == 1
    whole = [list(journal) and journal.complete for journal in run.journals()]
    assert sorted(whole) == [False, True]


def test_a_late_worker_gets_users_and_no_arrivals(served: Served, begin: Begin) -> None:
    """What arrives was dealt out when the run began; Locust sends consumers over, and nobody begins anew."""
    run = begin(served, scenario="exports", per_hour=3_000, minutes=10, consumers=2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    master = run.start(
        *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "1")
    )
    follow = ("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    run.start(*follow)
    _until(lambda: _told(run, 0) > 20, master)
    run.start(*follow)
    run.wait()
    assert run.status == 0, run.output
    first, late = run.figures()
    assert [first.arrivals, late.arrivals] == [500, 0]
    assert late.operations["dequeue"].requests > 0
    assert "401" not in late.operations["dequeue"].failures
    assert first.operations["produce"].requests == 500
    for journal in run.journals():
        assert list(journal)
        assert journal.complete


def test_tls_is_spoken_with_a_private_authority(serve: Serve, begin: Begin) -> None:
    """With the authority's file that the target told; without it nothing could be begun."""
    target = serve("--tls")
    run = begin(target, scenario="mixed", per_hour=3_000, minutes=2)
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures] = run.figures()
    assert figures.operations["enqueue"].requests == 100
    assert not any(each.failures for each in figures.operations.values())
    assert all(each.request.url.startswith("https://") for each in run.exchanges())
    errand = msgspec.structs.replace(run.errand, site=msgspec.structs.replace(run.errand.site, ca=None))
    run.told.write_bytes(msgspec.json.encode(errand))
    run.start()
    run.wait()
    assert run.processes[-1].returncode == 3


def test_downloads_that_are_redirected_are_followed(serve: Serve, begin: Begin) -> None:
    """A server that answers a download with a redirect is right, and no request of its has failed; no token travels."""
    target = serve("--dialect", "download.answer=redirect", "--host", "127.0.0.1")
    run = begin(target, scenario="exports", per_hour=1_200, minutes=2, poll_minutes=0.1)
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures] = run.figures()
    assert not any(each.failures for each in figures.operations.values())
    assert figures.operations["ack"].requests > 20
    downloads = [each for each in run.exchanges() if each.operation == "download"]
    followed = [each for each in downloads if each.response is not None and each.response.status == 200]
    assert 2 * len(followed) == len(downloads)
    origin = target.base_url.partition("://")[2]
    for each in downloads:
        names = {name for name, _ in each.request.headers}
        assert ("authorization" in names) is (each.request.url.partition("://")[2].partition("/")[0] == origin)


def test_throttled_callers_are_patient(serve: Serve, begin: Begin) -> None:
    """Every fifth call is refused with Retry-After: it is counted, waited for, and made again."""
    target = serve("--dialect", "throttling.connector=429", clock="scaled:10")
    run = begin(target, scenario="imports", per_hour=720, minutes=1)
    run.start()
    run.wait()
    assert run.status == 0, run.output
    [figures] = run.figures()
    enqueue = figures.operations["enqueue"]
    assert set(enqueue.failures) == {"429"}
    assert figures.arrivals == 12
    assert enqueue.requests == 12 + enqueue.failures["429"]
    bodies = Counter(
        each.request.body.digest()
        for each in run.exchanges()
        if each.operation == "enqueue" and each.request.body is not None
    )
    assert len(bodies) == 12


def test_no_token_is_nothing_proved(served: Served, begin: Begin) -> None:
    """A client whose secret is wrong: said at once, and no arrival."""
    run = begin(served, scenario="imports", minutes=600)
    identity: dict[str, Any] = dict(run.errand.site.identity)
    clients: Mapping[str, Any] = identity["clients"]
    identity["clients"] = {name: {**each, "client_secret": "wrong"} for name, each in clients.items()}
    errand = msgspec.structs.replace(run.errand, site=msgspec.structs.replace(run.errand.site, identity=identity))
    run.told.write_bytes(msgspec.json.encode(errand))
    run.start()
    run.wait()
    assert run.status == 3, run.output
    assert "No token for 'authorised'" in run.output
    assert run.figures()[0].arrivals == 0


def test_an_errand_that_is_none_is_a_wrong_usage(served: Served, begin: Begin) -> None:
    """Locust says so and does not begin."""
    run = begin(served, scenario="imports")
    run.told.write_text("{}", encoding="utf-8")
    run.start()
    run.wait()
    assert run.status == 2
    assert "is no errand" in run.output
    assert "Traceback" not in run.output


# Plain Locust


def plain(folder: Path, *options: str, scenario: str = "imports") -> subprocess.CompletedProcess[str]:
    """Locust as anybody starts it, without an errand."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(resources.locustfiles() / f"{scenario}.py")),
            *("--headless", "--only-summary", "--lag-seconds", str(PATIENT), *options),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_plain_locust_makes_its_errand_itself_and_judges(served: Served, tmp_path: Path) -> None:
    """From its command line, in the target's time; the result stands in the folder and decides the status."""
    run = plain(
        tmp_path,
        *("--host", served.base_url, "--per-hour", "3000", "--minutes", "3", "--processing-minutes", "1"),
        *("--out", "results"),
        scenario="watching",
    )
    result = json.loads((tmp_path / "results" / "load.json").read_bytes())
    assert run.returncode == 0, run.stdout + run.stderr
    assert result["complete"] is True
    assert json.loads((tmp_path / "results" / "figures-0.json").read_bytes())["arrivals"] == 150
    again = plain(tmp_path, "--host", served.base_url, "--minutes", "0.5", "--out", "results")
    assert again.returncode in (0, 3), again.stdout + again.stderr
    assert json.loads((tmp_path / "results" / "figures-0.json").read_bytes())["arrivals"] == 5


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ((), 2, "There is no target"),
        (("--host", "http://127.0.0.1:1"), 3, "Is the target running"),
        (("--host", "http://127.0.0.1:1", "--minutes", "0"), 2, "--minutes should be above zero"),
        (("--host", "http://127.0.0.1:1", "--out", "mine"), 2, "Give another --out"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(options: tuple[str, ...], status: int, said: str, tmp_path: Path) -> None:
    """With the status of wrong usage, or of nothing proved; somebody's own journal is not taken away."""
    own = tmp_path / "mine" / "journal-precious.ndjson"
    own.parent.mkdir()
    own.write_text("{}", encoding="utf-8")
    run = plain(tmp_path, *options)
    assert run.returncode == status, run.stdout + run.stderr
    assert said in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert own.exists()


def test_locusts_page_starts_and_stops_runs(served: Served, tmp_path: Path) -> None:
    """Its form has the plan's rates; a second run begins anew, and the page's stop ends one in good order."""
    with (tmp_path / "output.txt").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "locust", "-f", str(resources.locustfiles() / "imports.py")),
                *("--host", served.base_url, "--out", str(tmp_path / "results"), "--web-host", "127.0.0.1"),
                *("--web-port", "0", "--lag-seconds", str(PATIENT), "--processing-minutes", "1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            _page(process, tmp_path, served)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(60)
    assert "Traceback" not in (tmp_path / "output.txt").read_text(encoding="utf-8")


def _page(process: subprocess.Popen[str], folder: Path, served: Served) -> None:
    results = folder / "results"
    address = _listening(process)
    form = urllib.request.urlopen(address).read().decode()
    assert all(each in form for each in ("per_hour", "processing_minutes", "outage_minutes"))
    assert "control_key" not in form
    urllib.request.urlopen(
        f"{address}/swarm", urlencode({"host": served.base_url, "per_hour": 3_000, "minutes": 2}).encode()
    )
    _until((results / "load.json").exists, process)
    assert json.loads((results / "figures-0.json").read_bytes())["arrivals"] == 100
    first = (results / "journal-0.ndjson").read_bytes()
    urllib.request.urlopen(
        f"{address}/swarm", urlencode({"host": served.base_url, "per_hour": 3_000, "minutes": 600}).encode()
    )
    _until(lambda: not (results / "load.json").exists() and (results / "pace-0.json").exists(), process)
    urllib.request.urlopen(f"{address}/stop", b"")
    _until((results / "load.json").exists, process)
    assert json.loads((results / "figures-0.json").read_bytes())["finished"] is False
    assert JournalFile(results / "journal-0.ndjson").header.concurrent
    assert (results / "journal-0.ndjson").read_bytes() != first


def _listening(process: subprocess.Popen[str]) -> str:
    """Where a process listens: the system chose the port."""
    import psutil

    found: list[int] = []

    def listens() -> bool:
        found[:] = [
            each.laddr.port for each in psutil.Process(process.pid).net_connections("tcp") if each.status == "LISTEN"
        ]
        return bool(found)

    _until(listens, process)
    return f"http://127.0.0.1:{found[0]}"
