"""Emulators on one database behind the proxy of locustfiles/deployment: one address, one service."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from popreceipt.journal import Exchange, JournalFile
from popreceipt.resources import locustfiles

POPRECEIPT = [sys.executable, "-m", "popreceipt"]
CONFIGURATION = locustfiles() / "deployment" / "haproxy.cfg"

SHOWN = (
    "enqueue.each-call-its-own-message",
    "dequeue.waiting-message-is-offered",
    "download.bytes-as-uploaded",
    "acknowledgment.echo-accepted",
    "processing.good-records-land",
)
"""Rules that load must have shown to be kept."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no haproxy for Windows")


@dataclass
class Service:
    """Two emulators and the proxy in front of them."""

    address: str
    journals: list[Path]
    emulators: list[subprocess.Popen[str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What each emulator wrote on standard error, once it was ended."""

    def end(self) -> list[int]:
        """End the emulators; their exit statuses."""
        for each in self.emulators:
            each.terminate()
        self.told = [each.communicate(timeout=60)[1] for each in self.emulators]
        return [each.returncode for each in self.emulators]

    def calls(self) -> list[int]:
        """How many exchanges each emulator wrote down. Only once they are ended."""
        return [sum(isinstance(entry, Exchange) for entry in JournalFile(each)) for each in self.journals]


Serve = Callable[..., Service]


def free_ports(count: int) -> list[int]:
    with ExitStack() as closing:
        probes = [closing.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@pytest.fixture
def serve(database: str, outside_program: Callable[..., str], tmp_path: Path) -> Iterator[Serve]:
    """Start both emulators at the same moment on an empty database, and haproxy, not as root, with the file we ship."""
    haproxy = outside_program("haproxy", "haproxy", Path("/usr/sbin"))
    with ExitStack() as closing:

        def start(*options: str) -> Service:
            proxy, *ports = free_ports(3)
            service = Service(f"http://127.0.0.1:{proxy}", [tmp_path / f"journal-{port}.ndjson" for port in ports])
            for port, journal in zip(ports, service.journals, strict=True):
                each = ("--port", str(port), "--journal", str(journal), "--base-url", service.address)
                emulator = subprocess.Popen(
                    [*POPRECEIPT, "serve", "--database", database, *each, *options],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                closing.callback(gone, emulator)
                service.emulators.append(emulator)
            for emulator in service.emulators:
                assert emulator.stdout is not None
                line = emulator.stdout.readline()
                assert line, emulator.communicate()[1]
                assert json.loads(line)["base_url"] == service.address
            places = {
                "POPRECEIPT_PROXY": f"127.0.0.1:{proxy}",
                "POPRECEIPT_EMULATOR_1": f"127.0.0.1:{ports[0]}",
                "POPRECEIPT_EMULATOR_2": f"127.0.0.1:{ports[1]}",
            }
            standing = subprocess.Popen(
                [*as_nobody(), haproxy, "-db", "-f", str(readable(CONFIGURATION, closing))],
                env=os.environ | places,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            closing.callback(gone, standing)
            until_open(proxy, standing)
            return service

        yield start


def gone(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def as_nobody() -> list[str]:
    """What runs a program without root's rights, where root runs the tests."""
    if os.geteuid() != 0:
        return []
    return [shutil.which("setpriv") or "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def readable(configuration: Path, closing: ExitStack) -> Path:
    """A copy in a folder that anybody may read: a checkout may be its owner's alone."""
    folder = Path("/tmp") if Path("/tmp").is_dir() else configuration.parent
    copy = folder / f"popreceipt-haproxy-{os.getpid()}.cfg"
    copy.write_bytes(configuration.read_bytes())
    copy.chmod(0o644)
    closing.callback(copy.unlink)
    return copy


def until_open(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until somebody listens there."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            pytest.fail(process.communicate()[0])


def outcomes(folder: Path, *options: str) -> dict[str, tuple[Any, Any]]:
    """Outcome and answer of each rule."""
    run = subprocess.run(
        [*POPRECEIPT, "verify", "--suite", "conformance", "--out", str(folder), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads((folder / "verdicts.json").read_text())
    assert result["complete"]
    return {each["id"]: (each["outcome"], each["answer"]) for each in result["rules"]}


@pytest.mark.timeout(900)
def test_conformance_through_the_proxy(serve: Serve, tmp_path: Path) -> None:
    """Every rule is judged as it is on one emulator in memory, and both emulators had their part of the work."""
    service = serve("--clock", "manual")
    through = outcomes(tmp_path / "through", "--target", service.address)
    assert service.end() == [0, 0], service.told
    assert through == outcomes(tmp_path / "alone")
    assert min(service.calls()) > sum(service.calls()) / 5


@pytest.mark.timeout(300)
def test_load_through_the_proxy(serve: Serve, tmp_path: Path) -> None:
    """Producers, consumers and pollers from two processes: no rule is violated, whoever got which request."""
    service = serve("--clock", "scaled:60")
    # Tests share their cores: how far the generator may lag is not what is tested.
    plan = ["--rate", "1200", "--minutes", "6", "--processes", "2", "--processing-minutes", "1", "--lag", "60"]
    run = subprocess.run(
        [*POPRECEIPT, "load", "mixed", "--target", service.address, *plan, "--out", str(tmp_path / "load")],
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads((tmp_path / "load" / "load.json").read_text())
    assert result["complete"], run.stdout + run.stderr
    assert result["standing"] != "INVALID", result["reasons"]
    outcome = {each["id"]: each["outcome"] for each in result["verdicts"]["rules"]}
    assert "violated" not in outcome.values(), [each for each, what in outcome.items() if what == "violated"]
    assert {outcome[each] for each in SHOWN} == {"held"}
    assert service.end() == [0, 0], service.told
    assert min(service.calls()) > sum(service.calls()) / 5


def test_one_emulator_dies(serve: Serve) -> None:
    """The other one does all the work from then on; what was enqueued at either is there."""
    service = serve("--clock", "manual")
    control = f"{service.address}/_control/v1"
    world = httpx.get(f"{control}/world").raise_for_status().json()
    job = httpx.post(f"{control}/activities", json={"direction": "import"}).raise_for_status().json()
    form = {
        **world["identity"]["clients"]["authorised"],
        "grant_type": "client_credentials",
        "scope": f"{service.address}/.default",
    }
    token = httpx.post(world["identity"]["token_url"], data=form).raise_for_status().json()["access_token"]

    def enqueue(number: int) -> str:
        answer = httpx.post(
            f"{service.address}/api/connector/enqueue/{job['id']}",
            params={"entity": "Customer groups"},
            headers={"authorization": f"Bearer {token}"},
            content=f"CUSTOMERGROUPID,DESCRIPTION\r\n{number},Group\r\n".encode(),
        )
        return str(answer.raise_for_status().json())

    messages = [enqueue(number) for number in range(20)]
    service.emulators[0].kill()
    service.emulators[0].wait(timeout=60)
    messages += [enqueue(number) for number in range(20, 40)]
    kept = httpx.get(f"{control}/activities/{job['id']}/messages").raise_for_status().json()
    assert sorted(each["MessageId"] for each in kept) == sorted(messages)
    assert service.end()[1] == 0, service.told
    assert service.calls()[1] > 20
