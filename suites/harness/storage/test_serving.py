"""A server on a durable store: what clients keep over a restart, and that nothing is said that is not kept."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from popreceipt.clock import ManualClock, ScaledClock, SystemClock
from popreceipt.emulator import continuity
from popreceipt.emulator.durable import Durable, HeldJournal
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.server import HttpServer
from popreceipt.emulator.store.memory import MemoryStore
from popreceipt.emulator.store.sqlite import SqliteStore
from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, Journal, JournalFile, Observation, instant_text

SERVE = [sys.executable, "-m", "popreceipt", "serve"]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@contextmanager
def served(*options: str) -> Iterator[str]:
    """A server in a process of its own, ended by a signal; its base URL."""
    process = subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        process.stdout.close()


def control(base_url: str, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, f"{base_url}/_control/v1{path}", json=body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def token(base_url: str) -> str:
    identity = control(base_url, "GET", "/world")["identity"]
    form = {"grant_type": "client_credentials", **identity["clients"]["authorised"]}
    answer = httpx.post(identity["token_url"], data={**form, "scope": f"{identity['resource']}/.default"})
    return str(answer.json()["access_token"])


def test_an_environment_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Jobs, clients, tokens, messages, leases and the clock are what they were; the journal tells of the restart."""
    data, journal = str(tmp_path / "data"), tmp_path / "journal.ndjson"
    with served("--port", "0", "--data", data, "--clock", "manual", "--seed", "7") as base_url:
        before = control(base_url, "GET", "/world")
        export = next(one["id"] for one in before["activities"] if one["name"] == "export-file")
        bearer = {"authorization": f"Bearer {token(base_url)}"}
        produced = control(base_url, "POST", f"/activities/{export}/produce", {"records": 2})
        offer = httpx.get(f"{base_url}/api/connector/dequeue/{export}", headers=bearer).json()
        control(base_url, "POST", "/clock", {"advance_seconds": 600.5})
        clock = control(base_url, "GET", "/clock")
    port = base_url.rpartition(":")[2]
    options = ("--port", port, "--data", data, "--clock", "manual", "--journal", str(journal))
    with served(*options) as again:
        assert control(again, "GET", "/world") == before
        assert control(again, "GET", "/clock") == clock
        hidden = httpx.get(f"{again}/api/connector/dequeue/{export}", headers=bearer)
        assert hidden.status_code == 204
        file = httpx.get(offer["DownloadLocation"], headers=bearer)
        assert file.status_code == 200
        acknowledged = httpx.post(f"{again}/api/connector/ack/{export}", headers=bearer, json=offer)
        assert acknowledged.status_code == 200
        rows = control(again, "GET", f"/activities/{export}/messages")
        assert [(row["MessageId"], row["Status"]) for row in rows] == [(produced["messageId"], "Acked")]
        created = control(again, "POST", "/activities", {"direction": "import"})
        assert created["id"] not in {one["id"] for one in before["activities"]}
        assert created["company"] == f"u{len(before['activities']) + 1:03d}"
    restarts = [one for one in JournalFile(journal) if isinstance(one, Observation) and one.observation == "restart"]
    assert [one.facts["generation"] for one in restarts] == [1]


def refusal(*options: str) -> str:
    ended = subprocess.run([*SERVE, "--port", "0", *options], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2, ended
    return ended.stderr


def test_a_folder_is_for_one_server_and_one_seed(tmp_path: Path) -> None:
    """A second server, another seed, a folder with other things in it: said in a sentence, status 2."""
    data = str(tmp_path / "data")
    with served("--port", "0", "--data", data, "--seed", "3"):
        assert "Another process" in refusal("--data", data)
    assert "made with the seed 3" in refusal("--data", data, "--seed", "4")
    assert "somebody else's" in refusal("--data", str(tmp_path))


# Time


@pytest.mark.parametrize(
    ("clock", "kind"), [("manual", ManualClock), ("scaled:60", ScaledClock), ("system", SystemClock)]
)
def test_time_does_not_go_back(clock: str, kind: type) -> None:
    """Whichever clock comes next, it begins no earlier than the last one was seen."""
    store = MemoryStore()
    assert isinstance(continuity.resumed_clock(store, clock), kind)
    continuity.note_moved(store, datetime(2025, 1, 1, tzinfo=UTC))
    assert isinstance(continuity.resumed_clock(store, clock), kind)
    far = datetime(2100, 1, 1, tzinfo=UTC)
    continuity.note_moved(store, far)
    if clock == "system":
        with pytest.raises(UsageError, match="2100"):
            continuity.resumed_clock(store, clock)
    else:
        assert continuity.resumed_clock(store, clock).now() >= far


def test_a_running_clock_is_noted_ahead_of_itself() -> None:
    """What is noted is never behind what is told, and is not written at each answer."""
    store, writes = MemoryStore(), []
    put = store.put_setting
    store.put_setting = lambda name, value: (writes.append(value), put(name, value))[1]  # type: ignore[method-assign]  # to count

    class Stepping:
        kind = "scaled"
        rate = 60.0

        def __init__(self) -> None:
            self.instant = NOW

        def now(self) -> datetime:
            return self.instant

        def sleep_until(self, instant: datetime) -> None:
            self.instant = instant

    clock = Stepping()
    noted = continuity.NotedTime(store, clock)  # type: ignore[arg-type]  # its kind is wider here
    for _ in range(600):
        noted.note()
        kept = store.setting(continuity.TIME)
        assert kept is not None
        assert kept > instant_text(clock.now())
        clock.instant += timedelta(seconds=1)
    assert len(writes) == 600 / 60


# Nothing is said that is not kept


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[tuple[Durable, Emulator, SqliteStore]]:
    with SqliteStore(tmp_path / "data") as store:
        emulator = Emulator(ManualClock(), store=store)
        yield Durable(emulator, store), emulator, store


class NoCommit:
    """A connection on which no transaction can be committed while `is_broken`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.is_broken = False

    def execute(self, statement: str, *values: Any) -> Any:
        if self.is_broken and statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_a_failed_commit_is_a_500_and_the_server_lives(durable: tuple[Durable, Emulator, SqliteStore]) -> None:
    """The answer is a 500, nothing is there, the journal tells the same, and the next request works."""
    service, emulator, store = durable
    disk: Any = NoCommit(store._connection)
    store._connection = disk
    before = store.activities()
    with HttpServer(service) as server:
        bearer = {"authorization": f"Bearer {token(server.base_url)}"}
        job = next(one.id for one in store.activities() if one.name == "import-file")
        url = f"{server.base_url}/api/connector/enqueue/{job}?entity=Customer%20groups"
        disk.is_broken = True
        with httpx.Client(headers=bearer) as client:
            assert client.post(url, content=b"CUSTOMERGROUPID\r\nA\r\n").status_code == 500
            # One that takes the longer way through the server.
            assert client.post(url, content=iter([b"CUSTOMERGROUPID\r\nB\r\n"])).status_code == 500
            made = client.post(f"{server.base_url}/_control/v1/activities", json={"direction": "import"})
            assert made.status_code == 500
            assert len(control(server.base_url, "GET", "/world")["activities"]) == len(before)
            assert control(server.base_url, "GET", f"/activities/{job}/messages") == []
            disk.is_broken = False
            assert client.post(url, content=b"CUSTOMERGROUPID\r\nC\r\n").status_code == 200
        assert len(control(server.base_url, "GET", f"/activities/{job}/messages")) == 1
    enqueues = [one for one in emulator.journal.exchanges() if one.operation == "enqueue"]
    assert [one.response and one.response.status for one in enqueues] == [500, 500, 200]
    told = [one.facts for one in emulator.journal.entries if isinstance(one, Observation)]
    assert not [facts for facts in told if facts.get("created")]
    assert len(emulator.faults) == 3


def test_reading_commits_nothing(durable: tuple[Durable, Emulator, SqliteStore]) -> None:
    """Answers that change nothing wait for nothing."""
    service, _, store = durable
    service.handle(Request("GET", "/_control/v1/clock", local=True))
    service.handle(Request("GET", f"/api/connector/dequeue/{store.activities()[0].id}"))
    assert not store.is_uncommitted
    service.handle(Request("POST", "/_control/v1/activities", body=b'{"direction": "import"}', local=True))
    assert store.is_uncommitted
    assert service.keep()
    assert not store.is_uncommitted


def test_applications_beside_the_service_wait_as_well(durable: tuple[Durable, Emulator, SqliteStore]) -> None:
    """What a page has changed is kept before it says so."""
    service, emulator, store = durable
    seen: list[bool] = []

    async def page(scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
        del scope, receive
        with emulator.attended():
            store.put_setting("page", "was here")
        seen.append(store.is_uncommitted)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        seen.append(store.is_uncommitted)
        await send({"type": "http.response.body", "body": b""})

    with HttpServer(service, mounts={"/pages": page}) as server:
        assert httpx.get(f"{server.base_url}/pages/one").status_code == 200
    assert seen == [True, False]


class Certainty:
    is_uncertain = False

    def __call__(self) -> bool:
        return self.is_uncertain


def recorded(journal: Journal, status: int, failure: str | None = None) -> int:
    return journal.record_soon(
        sent=NOW, answered=NOW, method="GET", url="http://x/", status=status, response_body=b"x", failure=failure
    )


def test_a_journal_waits_until_things_are_certain() -> None:
    """In their order, and with the instant at which the answers left."""
    inner, uncertain = Journal(), Certainty()
    journal = HeldJournal(inner, uncertain)
    recorded(journal, 200)
    uncertain.is_uncertain = True
    assert recorded(journal, 201) == 2
    journal.add(Observation("reset", NOW, {}))
    assert recorded(journal, 202) == 3
    assert [one.seq for one in journal.exchanges()] == [1]
    later = NOW + timedelta(seconds=1)
    journal.release(lambda: later)
    assert [one.seq if isinstance(one, Exchange) else 0 for one in journal.entries] == [1, 2, 0, 3]
    assert [one.answered for one in journal.exchanges()] == [NOW, later, later]
    uncertain.is_uncertain = False
    assert recorded(journal, 203) == 4


def test_a_journal_tells_what_really_left() -> None:
    """Where nothing was kept the answers are bare 500s, connections that were cut stay cut, and nothing happened."""
    inner, uncertain = Journal(), Certainty()
    journal = HeldJournal(inner, uncertain)
    uncertain.is_uncertain = True
    recorded(journal, 200)
    recorded(journal, 200, failure="truncated")
    journal.add(Observation("produced", NOW, {}))
    journal.lose(NOW)
    statuses = [one.response and one.response.status for one in journal.exchanges()]
    assert (statuses, len(inner.entries)) == ([500, 200], 2)


def test_what_nobody_will_answer_is_not_told() -> None:
    """A server that ends while something is held seals its journal without it."""
    inner, uncertain = Journal(), Certainty()
    journal = HeldJournal(inner, uncertain)
    uncertain.is_uncertain = True
    recorded(journal, 200)
    journal.seal()
    assert (inner.entries, inner.complete) == ([], True)


def test_moments_that_cannot_be_done_are_a_500(durable: tuple[Durable, Emulator, SqliteStore]) -> None:
    """While the store refuses what fell due, nothing is answered as if it were done."""
    _, emulator, store = durable

    def refuses(now: datetime) -> Any:
        raise sqlite3.OperationalError(f"disk I/O error at {now}")

    store.plan(emulator.clock.now(), "processing-recurrence", "nobody")
    take, store.take_due = store.take_due, refuses  # type: ignore[method-assign]  # that is the fault
    answer: Response = emulator.handle(Request("GET", "/api/connector/dequeue/x"))
    assert (answer.status, len(emulator.faults)) == (500, 1)
    store.take_due = take  # type: ignore[method-assign]  # and its end
    assert emulator.handle(Request("GET", "/api/connector/dequeue/x")).status == 401
