"""The servers that are compared: how each is got, started on a core of its own, and stopped.

The peers come from npm into a folder that is kept between runs.
"""

import os
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Final

from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError
from popreceipt.generate.peers.dialogues import Azurite, Dialogue, Emulator, Sqs
from popreceipt.npm import installed

PACKAGES: Final = ("azurite@^3.37.0", "fauxqs@^2.4.1")

_START = 60.0
"""Seconds that a server may take until it answers."""

Speaker = Callable[[str], Dialogue]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One server: its name in the tables, where it keeps messages, and how it is started and spoken to.

    `command` is given a free port and an empty folder, `environment` the port.
    """

    name: str
    keeps: str
    command: Callable[[int, Path], Sequence[str]]
    speaker: Speaker
    environment: Callable[[int], Mapping[str, str]] = lambda _: {}


@dataclass(slots=True)
class Running:
    """A server that answers."""

    candidate: Candidate
    process: int
    address: tuple[str, int]
    dialogue: Dialogue


def emulator(name: str, keeps: str, *options: str, durable: bool = False, clock: str = "system") -> Candidate:
    """The emulator as `serve` starts it; with `durable` its data goes to a folder."""

    def command(port: int, folder: Path) -> Sequence[str]:
        data = ("--data", str(folder)) if durable else ()
        serve = (sys.executable, "-m", "popreceipt", "serve", "--port", str(port), "--clock", clock)
        return (*serve, *data, *options)

    return Candidate(name, keeps, command, Emulator)


def peers(cache: Path) -> tuple[Candidate, ...]:
    """Azurite in memory and on disk, and fauxqs."""
    node, modules = installed(cache, cache / "peers", PACKAGES)
    azurite = (str(node), str(modules / "azurite/dist/src/queue/main.js"), "--silent", "--disableTelemetry")
    return (
        Candidate(
            "Azurite, in memory",
            "memory",
            lambda port, _: (*azurite, "--inMemoryPersistence", "--queuePort", str(port)),
            Azurite,
        ),
        Candidate(
            "Azurite, on disk",
            "disk",
            lambda port, folder: (*azurite, "--location", str(folder), "--queuePort", str(port)),
            Azurite,
        ),
        Candidate(
            "fauxqs",
            "memory",
            lambda _, __: (str(node), str(modules / "fauxqs/dist/cli.js")),
            Sqs,
            lambda port: {"FAUXQS_PORT": str(port), "FAUXQS_LOGGER": "false", "NODE_NO_WARNINGS": "1"},
        ),
    )


@contextmanager
def running(candidate: Candidate, core: int, folder: Path) -> Iterator[Running]:
    """The server, started on this core, for as long as the block lasts.

    Raises:
        UsageError: it ends before it answers, or does not answer in time.
    """
    folder.mkdir(parents=True)
    port = _free_port()
    command = candidate.command(port, folder)
    errors = folder.parent / f"{folder.name}.log"
    with errors.open("wb") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | candidate.environment(port),
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # before any of its threads begins
        )
        try:
            dialogue = candidate.speaker(f"http://127.0.0.1:{port}")
            _until_ready(candidate, server, dialogue, errors)
            yield Running(candidate, server.pid, ("127.0.0.1", port), dialogue)
        finally:
            server.terminate()
            try:
                server.wait(timeout=15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _until_ready(candidate: Candidate, server: "subprocess.Popen[bytes]", dialogue: Dialogue, errors: Path) -> None:
    begun = stopwatch()
    while True:
        try:
            dialogue.ready()
        except urllib.error.HTTPError as answer:
            raise UsageError(f"{candidate.name} refused to get ready: {answer} {answer.read(300)!r}") from answer
        except OSError as problem:
            said = errors.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            if server.poll() is not None:
                raise UsageError(f"{candidate.name} ended at its start: {said}") from problem
            if stopwatch() - begun > _START:
                raise UsageError(f"{candidate.name} did not answer within {_START:.0f} seconds: {said}") from problem
            sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
