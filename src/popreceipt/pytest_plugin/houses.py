"""Where emulators live while tests run: in a thread of this process, or in a process beside it.

Opening a port, starting a thread or a process and making a key take longer than most tests, so tests share them. What
they do not share is the environment: each test finds it in its first state.
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args
from zlib import crc32

from popreceipt.client.control import Control
from popreceipt.clock import Clock, SystemClock, clock_from
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.profile import PROFILES, Profile, dialect, load_profile
from popreceipt.emulator.server import HttpServer, Limits
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import Entry, Header, JournalFile, Observation
from popreceipt.pytest_plugin.connector import Connector
from popreceipt.targets import EmulatorTransport

Where = Literal["thread", "process"]

STARTING: Final = 60.0
"""Real seconds that a process may take until it accepts requests."""

ENDING: Final = 10.0
"""Real seconds that it may take to end."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the emulator of a test is to be: the arguments of the mark.

    Args:
        where: in a `thread` of the test's process, or in a `process` beside it.
        clock: `manual`, `system` or `scaled:RATE`.
        profile: its answers to the open points: a profile's name or a TOML file.
        dialect: open points that are answered otherwise, `POINT=VALUE`.
        lease_seconds: how long a message stays hidden, if not half an hour.
        tls: whether it speaks TLS, with an authority made on the spot.
    """

    where: Where = "thread"
    clock: str = "manual"
    profile: str = "default"
    dialect: tuple[str, ...] = ()
    lease_seconds: float | None = None
    tls: bool = False

    def made(self) -> Profile:
        """The profile.

        Raises:
            UsageError: there is no such profile, or no such dialect.
        """
        profile = load_profile(self.profile)
        for each in self.dialect:
            profile = dialect(each, profile)
        if self.lease_seconds is not None:
            profile = replace(profile, lease=timedelta(seconds=self.lease_seconds))
        return profile


def settings_of(told: Mapping[str, Any]) -> Settings:
    """The settings that the mark and the ini file tell.

    Raises:
        UsageError: they tell something unknown.
    """
    known = {each.name for each in fields(Settings)}
    if unknown := set(told) - known:
        raise UsageError(f"The mark connector has no {min(unknown)!r}; it has {', '.join(sorted(known))}.")
    named = dict(told)
    if isinstance(named.get("dialect"), str):
        named["dialect"] = (named["dialect"],)
    settings = Settings(**{**named, "dialect": tuple(named.get("dialect") or ())})
    if settings.where not in get_args(Where):
        raise UsageError(f"The emulator runs in a thread or in a process, not in {settings.where!r}.")
    return settings


class Houses:
    """All of them, each made when a test first needs it; closing it ends them."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._threads: dict[bool, _Thread] = {}
        self._processes: dict[Settings, _Process] = {}

    def open(self, settings: Settings, name: str) -> AbstractContextManager[Connector]:
        """A connector for the test of this name, in its first state.

        Raises:
            UsageError: there is no such profile, dialect or clock.
            NothingProved: the process beside this one does not start.
        """
        profile = settings.made()
        if settings.where == "process":
            if settings not in self._processes:
                self._processes[settings] = self._open.enter_context(_Process(settings))
            return self._processes[settings].open(profile)
        if settings.tls not in self._threads:
            self._threads[settings.tls] = self._open.enter_context(_Thread(tls=settings.tls))
        return self._threads[settings.tls].open(profile, clock_from(settings.clock), crc32(name.encode("utf-8")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class _Stage:
    """The service behind the shared port: whatever emulator stands on it just now."""

    def __init__(self) -> None:
        self.base_url = ""
        self.emulator: Emulator | None = None
        self._clock, self._profile = SystemClock(), Profile()

    @property
    def clock(self) -> Clock:
        return self._clock if self.emulator is None else self.emulator.clock

    @property
    def profile(self) -> Limits:
        return self._profile if self.emulator is None else self.emulator.profile

    def handle(self, request: Request) -> Response:
        emulator = self.emulator
        if emulator is None:
            return Response(503, (("content-type", "text/plain"),), b"No test that has a connector is running.")
        return emulator.handle(request)


class _Thread:
    """A server in a thread of this process; its emulator is another for each test."""

    def __init__(self, *, tls: bool) -> None:
        self._stage = _Stage()
        self._server = HttpServer(self._stage, tls=tls)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @contextmanager
    def open(self, profile: Profile, clock: Clock, seed: int) -> Iterator[Connector]:
        emulator = Emulator(clock, profile, seed=seed, base_url=self._server.base_url)

        def recorded() -> tuple[Header, list[Entry]]:
            with emulator.lock:
                return emulator.journal.header, list(emulator.journal.entries)

        control = Control(self._server.base_url, transport=EmulatorTransport(emulator))
        self._stage.emulator = emulator
        try:
            yield Connector(
                self._server.base_url, control, recorded, control.world(), self._server.ca_file, profile.lease
            )
        finally:
            self._stage.emulator = None
            control.close()


class _Process:
    """`popreceipt serve` beside this process; it is reset for each test."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="popreceipt-connector-")))
        try:
            self._ready = self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _start(self) -> Mapping[str, Any]:
        settings = self._settings
        command = [sys.executable, "-m", "popreceipt", "serve", "--port", "0"]
        command += ["--clock", settings.clock, "--profile", self._profile()]
        if settings.tls:
            command += ["--tls", "--ca-file", str(self._folder / "ca.pem")]
        said = self._closing.enter_context((self._folder / "said.txt").open("wb"))
        process = self._closing.enter_context(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)  # noqa: S603 - ours
        )
        self._closing.callback(_end, process)
        late = threading.Timer(STARTING, process.kill)
        late.start()
        line = process.stdout.readline() if process.stdout is not None else b""
        late.cancel()
        try:
            ready = json.loads(line)
        except ValueError as error:
            words = (self._folder / "said.txt").read_text(encoding="utf-8", errors="replace").strip()
            raise NothingProved(f"popreceipt serve did not start: {words[-500:] or 'it said nothing'}.") from error
        if not isinstance(ready, dict):
            raise NothingProved(f"popreceipt serve said {line!r} where it should say that it is ready.")
        return ready

    def _profile(self) -> str:
        """The profile's name, or a file that has what the mark says beside it."""
        settings = self._settings
        if not settings.dialect and settings.lease_seconds is None:
            return settings.profile
        if settings.profile not in PROFILES:
            raise UsageError("In a process of its own a profile's file tells all: leave out dialect and lease_seconds.")
        points = [f"{json.dumps(name)} = {json.dumps(value)}" for name, _, value in map(_partitioned, settings.dialect)]
        lines = [f"base = {json.dumps(settings.profile)}", "[points]", *points]
        if settings.lease_seconds is not None:
            lines += ["[parameters]", f"lease_seconds = {settings.lease_seconds}"]
        path = self._folder / "profile.toml"
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return str(path)

    @contextmanager
    def open(self, profile: Profile) -> Iterator[Connector]:
        base_url, ca = str(self._ready["base_url"]), self._ready.get("ca_file")
        ca_file = Path(ca) if isinstance(ca, str) else None
        control = Control(base_url, verify=ca_file)

        def recorded() -> tuple[Header, list[Entry]]:
            path = self._folder / "journal.ndjson"
            path.write_bytes(b"\n".join(control.journal_lines()) + b"\n")
            journal = JournalFile(path)
            return journal.header, _since_reset(journal)

        try:
            control.reset()
            yield Connector(base_url, control, recorded, control.world(), ca_file, profile.lease)
        finally:
            control.close()


def _since_reset(journal: JournalFile) -> list[Entry]:
    """What happened after the last reset: what was before belongs to other tests."""
    entries = list(journal)
    last = max((n for n, each in enumerate(entries) if _is_reset(each)), default=-1)
    return entries[last + 1 :]


def _is_reset(entry: Entry) -> bool:
    return isinstance(entry, Observation) and entry.observation == "reset"


def _partitioned(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
