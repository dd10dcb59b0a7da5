"""The ground that load is put on: who may be loaded, what is made there, what is asked when all is over."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from popreceipt.clock import ManualClock, ScaledClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.server import HttpServer
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import JournalFile, Observation
from popreceipt.load import run as runs
from popreceipt.load.plan import LoadPlan, Site, Thresholds
from popreceipt.load.processes import Watched, listeners
from popreceipt.load.siting import open_ground, this_machine

PLAN = LoadPlan(minutes=5, processing_minutes=1, monitoring_minutes=1)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """An emulator of somebody else's on loopback, an hour of whose is a second."""
    with HttpServer(Emulator(ScaledClock(3_600), Profile())) as server:
        yield server.base_url


def opened(folder: Path, target: str, plan: LoadPlan = PLAN, **options: Any) -> Site:
    with (
        (folder / "journal-setup.ndjson").open("wb") as file,
        open_ground(target, plan, journal_file=file, **options) as ground,
    ):
        ground.end()
        ground.write(finished=ground.answered)
        return ground.site


def observed(folder: Path, kind: str) -> list[Observation]:
    journal = JournalFile(folder / "journal-setup.ndjson")
    found = [each for each in journal if isinstance(each, Observation) and each.observation == kind]
    assert journal.complete
    return found


@pytest.mark.parametrize(
    ("scenario", "imports", "exports"),
    [("imports", 2, 0), ("polling", 2, 0), ("exports", 0, 2), ("watching", 2, 2), ("mixed", 2, 2)],
)
def test_jobs_are_made_for_the_scenario(tmp_path: Path, served: str, scenario: str, imports: int, exports: int) -> None:
    """Fresh recurring data jobs with the plan's recurrences; exports run when they are told to, by nothing else."""
    plan = msgspec.structs.replace(PLAN, scenario=scenario, activities=2)
    site = opened(tmp_path, served, plan)
    assert (len(site.imports), len(site.exports)) == (imports, exports)
    made = {
        each.facts["activity"]: each.facts["settings"]
        for each in observed(tmp_path, "activity")
        if each.facts["created"]
    }
    assert set(made) == {*site.imports, *site.exports}
    for activity, settings in made.items():
        assert settings["processing_recurrence_minutes"] == (1 if activity in site.imports else None)
        assert settings["monitoring_recurrence_minutes"] == 1


def test_a_site_tells_what_workers_need(tmp_path: Path, served: str) -> None:
    """Where, with which secret, by which clock; and of secrets only the one that load uses."""
    site = opened(tmp_path, served)
    assert (site.base_url, site.clock, site.rate, site.control) == (served, "scaled", 3_600.0, True)
    assert site.machine == this_machine()
    assert site.name == served
    clients = site.identity["clients"]
    assert isinstance(clients, dict)
    assert set(clients) == {"authorised"}
    assert clients["authorised"]["client_secret"]
    assert "user" not in site.identity
    assert msgspec.json.decode(msgspec.json.encode(site), type=Site) == site


def test_no_secret_is_left_behind(tmp_path: Path, served: str) -> None:
    """Neither the set-up's journal nor what is known of the run holds the client's secret."""
    site = opened(tmp_path, served)
    clients: Any = site.identity["clients"]
    secret = clients["authorised"]["client_secret"]
    for path in tmp_path.iterdir():
        assert secret not in path.read_text(encoding="utf-8")


def test_at_the_end_the_target_is_asked_what_became_of_it(tmp_path: Path, served: str) -> None:
    """Manage messages and monitoring of every job, target tables of imports, into the set-up's journal."""
    site = opened(tmp_path, served)
    for kind, jobs in {
        "messages": (*site.imports, *site.exports),
        "load": (*site.imports, *site.exports),
        "records": site.imports,
    }.items():
        assert [each.facts["activity"] for each in observed(tmp_path, kind)] == list(jobs)
    run = runs.read(tmp_path)
    assert (run.finished, run.problems, run.imports, run.exports) == (True, (), site.imports, site.exports)


def test_without_monitoring_nothing_is_sampled(tmp_path: Path, served: str) -> None:
    """A plan without a monitoring recurrence makes jobs without one."""
    opened(tmp_path, served, msgspec.structs.replace(PLAN, monitoring_minutes=None))
    assert observed(tmp_path, "load") == []
    settings = [each.facts["settings"] for each in observed(tmp_path, "activity") if each.facts["created"]]
    assert {each["monitoring_recurrence_minutes"] for each in settings} == {None}


def test_a_run_that_never_ended_can_be_judged(tmp_path: Path, served: str) -> None:
    """What is known of it stands there from the beginning, and says that it did not come to its end."""
    with (tmp_path / "journal-setup.ndjson").open("wb") as file:
        with open_ground(served, PLAN, journal_file=file):
            assert runs.read(tmp_path).finished is False
        assert runs.read(tmp_path).finished is False


def test_a_target_that_does_not_answer_any_more(tmp_path: Path) -> None:
    """It is told, the journal is whole, and the run is not finished."""
    with (tmp_path / "journal-setup.ndjson").open("wb") as file:
        with HttpServer(Emulator(ScaledClock(60), Profile())) as server:
            context = open_ground(server.base_url, PLAN, journal_file=file)
            ground = context.__enter__()
        ground.end()
        context.__exit__(None, None, None)
    assert JournalFile(tmp_path / "journal-setup.ndjson").path.stat().st_size > 0
    assert observed(tmp_path, "messages") == []
    run = runs.read(tmp_path)
    assert not ground.answered
    assert run.finished is False
    assert run.problems[0].startswith("What became of the messages could not be asked")


def test_who_does_not_wait_for_the_end_has_a_whole_journal(
    tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C while the target is asked what became of it all: of what was done nothing is missing."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with (tmp_path / "journal-setup.ndjson").open("wb") as file, open_ground(served, PLAN, journal_file=file) as ground:
        monkeypatch.setattr(ground, "look", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ground.end()
        assert not ground.answered
    assert observed(tmp_path, "activity")


def test_a_clock_that_stands_still_is_refused(tmp_path: Path) -> None:
    """Load takes time."""
    with (
        HttpServer(Emulator(ManualClock(), Profile())) as server,
        pytest.raises(UsageError, match="stands still, and load takes time: serve it with --clock"),
    ):
        opened(tmp_path, server.base_url)
    with pytest.raises(UsageError, match="A manual clock stands still"):
        opened(tmp_path, "emulator:", clock="manual")


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("journal:x.ndjson", {}, "no load can be put on it"),
        ("ftp://x", {}, "Unknown target"),
        ("http://127.0.0.1:1", {"clock": "system"}, "--clock is for an emulator that is started for the run"),
        ("http://127.0.0.1:1", {"profile": "2019"}, "--profile is for an emulator"),
        ("emulator:", {"ca": Path("a.pem")}, "speaks no TLS"),
        ("emulator:nothing-like-it", {}, "No mutant is called 'nothing-like-it'"),
        ("emulator:dialect=nothing=like", {}, "no open point 'nothing'"),
        ("emulator:", {"clock": "sundial"}, "Unknown clock 'sundial'"),
        ("emulator:", {"profile": "nobody"}, "no profile 'nobody'"),
    ],
)
def test_what_is_no_target_is_refused(tmp_path: Path, target: str, options: dict[str, Any], words: str) -> None:
    """With words of the same kind as anywhere else, also those of the emulator's own process."""
    with pytest.raises(UsageError, match=words):
        opened(tmp_path, target, **options)


def test_nobody_there(tmp_path: Path) -> None:
    """A server that cannot be reached proves nothing."""
    with pytest.raises(Exception, match="Is the target running") as caught:
        opened(tmp_path, "http://127.0.0.1:1")
    assert getattr(caught.value, "exit_status", None) == 3


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"per_hour": 0.0}, "rate"),
        ({"per_hour": float("inf")}, "rate"),
        ({"per_hour": float("nan")}, "rate"),
        ({"minutes": -1.0}, "length of the run"),
        ({"activities": 0}, "recurring data jobs"),
        ({"consumers": 0}, "consumers"),
        ({"poll_minutes": 0.0}, "polling"),
        ({"lag_seconds": 0.0}, "lag"),
        ({"pollers": -1}, "less than no pollers"),
        ({"records": -1}, "less than no pollers, records"),
        ({"processing_minutes": 0.5}, "processing recurrence is in whole minutes"),
        ({"processing_minutes": 1e9}, "a year"),
        ({"monitoring_minutes": 2.5}, "monitoring recurrence is in whole minutes"),
        ({"thresholds": Thresholds(p95_ms=0.0)}, "p95"),
        ({"thresholds": Thresholds(error_share=1.5)}, "between 0 and 1"),
        ({"shape": "outage", "minutes": 60.0, "outage_minutes": 60.0}, "do not come back"),
    ],
)
def test_a_plan_with_impossible_numbers_is_refused(tmp_path: Path, members: dict[str, Any], words: str) -> None:
    """Before anything is begun: nobody listens where this points."""
    with pytest.raises(UsageError, match=words):
        opened(tmp_path, "http://127.0.0.1:1", msgspec.structs.replace(PLAN, **members))


# Tenants


@pytest.fixture
def tenant(tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration that describes an emulator as a tenant: by its wire alone."""
    with (tmp_path / "look.ndjson").open("wb") as file, open_ground(served, PLAN, journal_file=file) as ground:
        site = ground.site
    clients: Any = site.identity["clients"]
    monkeypatch.setenv("LOAD_SECRET", clients["authorised"]["client_secret"])
    path = tmp_path / "popreceipt.toml"
    path.write_text(
        f"""
        [tenant.qa]
        base_url = "{served}"
        token_url = "{site.identity["token_url"]}"
        resource = "{site.identity["resource"]}"
        client_id = "{clients["authorised"]["client_id"]}"
        client_secret_env = "LOAD_SECRET"
        clock = "scaled:3600"
        load = true
        [tenant.qa.activities]
        import-file = "{site.imports[0]}"
        export-package = {{ id = "{site.exports[0]}", exclusive = true }}
        """
    )
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(path))
    return path


def test_a_tenant_is_loaded_where_its_table_says_so(tmp_path: Path, tenant: Path) -> None:
    """Its named jobs are taken; nothing is made, and nothing is asked that takes a control plane."""
    assert tenant.is_file()
    site = opened(tmp_path, "tenant:qa")
    assert (len(site.imports), len(site.exports), site.control, site.package) == (1, 1, False, False)
    assert (site.clock, site.rate) == ("scaled", 3_600.0)
    clients: Any = site.identity["clients"]
    # Each process of the run looks for the secret where the table says that it is.
    assert "client_secret" not in clients["authorised"]
    assert observed(tmp_path, "messages") == []
    assert runs.read(tmp_path).finished


def test_a_tenant_is_not_loaded_otherwise(tmp_path: Path, tenant: Path) -> None:
    """Before anything is sent."""
    tenant.write_text(tenant.read_text().replace("load = true", "fuzz = true").replace("http://127", "https://0.0.0"))
    with pytest.raises(UsageError, match=r"write load = true into \[tenant.qa\]"):
        opened(tmp_path, "tenant:qa")


def test_a_tenant_without_the_job_that_is_needed(tmp_path: Path, tenant: Path) -> None:
    """The error names the roles that would do."""
    lines = [each for each in tenant.read_text().splitlines() if "import-file" not in each]
    tenant.write_text("\n".join(lines))
    with pytest.raises(NothingProved, match="import-file, import-in-order, import-package"):
        opened(tmp_path, "tenant:qa", msgspec.structs.replace(PLAN, scenario="imports"))


# An emulator for the run


def test_an_emulator_is_started_for_the_run_and_ended_after_it(tmp_path: Path) -> None:
    """In a process of its own, on a free port, whose work under load is measured."""
    with (tmp_path / "journal-setup.ndjson").open("wb") as file:
        with open_ground(
            "emulator:dialect=download.answer=redirect", PLAN, journal_file=file, clock="scaled:600"
        ) as ground:
            site = ground.site
            assert (site.clock, site.rate, site.name) == ("scaled", 600.0, "emulator:dialect=download.answer=redirect")
            assert ground.died is None
            ground.end()
        run = runs.read(tmp_path)
    assert run.ours
    assert run.target_cpu_seconds is not None
    with pytest.raises(Exception, match="Is the target running"):
        opened(tmp_path, site.base_url)


def test_a_server_of_ours_on_this_machine_is_known_as_such(tmp_path: Path, served: str) -> None:
    """Its own speed is a limit of what can be measured with it, however it was started."""
    opened(tmp_path, served)
    run = runs.read(tmp_path)
    assert run.ours
    assert run.target_cpu_seconds is not None


def test_what_is_known_of_a_run_is_read_as_it_was_written(tmp_path: Path, served: str) -> None:
    """And is plain JSON for whoever else wants to know."""
    opened(tmp_path, served)
    run = runs.read(tmp_path)
    runs.write(run, tmp_path)
    assert runs.read(tmp_path) == run
    assert json.loads((tmp_path / "run.json").read_text())["format"] == "popreceipt/load-run@1"


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system has one process at an address")
def test_all_processes_behind_an_address_are_watched() -> None:
    """Several that listen at one port share the work, and the CPU of each of them counts."""
    listens = (
        "import socket, sys; one = socket.socket(); one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1);"
        "one.bind(('127.0.0.1', int(sys.argv[1]))); one.listen(); print(one.getsockname()[1], flush=True);"
        "sys.stdin.read()"
    )
    started = []
    port = "0"
    try:
        for _ in range(2):
            each = subprocess.Popen(
                [sys.executable, "-S", "-c", listens, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            started.append(each)
            assert each.stdout is not None
            port = each.stdout.readline().strip()
        found = listeners(f"http://127.0.0.1:{port}")
        assert found == {each.pid for each in started}
        watched = Watched(pids=found)
        assert watched.used() is not None
        assert watched.count == 2
    finally:
        for each in started:
            each.communicate()


def test_a_fault_of_an_emulator_of_ours_is_a_fault_of_the_harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told apart from what merely went wrong, and then nothing else counts."""
    said = ["popreceipt: a fault of the emulator itself: TypeError: no", "popreceipt: something else"]
    monkeypatch.setattr(Watched, "said", lambda _: said)
    with (
        (tmp_path / "journal-setup.ndjson").open("wb") as file,
        open_ground("emulator:", PLAN, journal_file=file) as ground,
    ):
        ground.write()
    run = runs.read(tmp_path)
    assert run.faults == (said[0],)
    assert run.problems == (said[1],)
