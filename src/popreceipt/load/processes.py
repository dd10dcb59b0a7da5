"""The processes of an emulator of ours on this machine: started for a run, ended after it, and what they use meanwhile.

It starts and ends its own child alone; of a server that somebody else started it only reads what it uses.
"""

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.targets import EMULATOR_PREFIX

START_SECONDS: Final = 60.0
END_SECONDS: Final = 15.0


class Served:
    """`popreceipt serve` in a process of its own, on a free port of loopback, for as long as a block lasts.

    Args:
        target_text: `emulator:`, `emulator:MUTANT`, `emulator:dialect=NAME` or `emulator:profile=FILE`.
        clock: `system` or `scaled:RATE`.
        profile: what the documentation leaves open, by name or in a file; None for the usual.
        seed: of the emulator's chance.

    Raises:
        UsageError: there is no such emulator.
        NothingProved: it could not be started.
    """

    def __init__(self, target_text: str, clock: str, profile: str | None, seed: int) -> None:
        if clock == "manual":
            raise UsageError("A manual clock stands still, and load takes time: --clock system or --clock scaled:RATE.")
        named = target_text.removeprefix(EMULATOR_PREFIX)
        self._command = [sys.executable, "-m", "popreceipt", "serve", "--port", "0", "--clock", clock]
        self._command += ["--seed", str(seed), "--until-stdin-ends"]
        if named.startswith("dialect="):
            self._command += ["--dialect", named.removeprefix("dialect=")]
        elif named.startswith("profile="):
            self._command += ["--profile", named.removeprefix("profile=")]
        elif named:
            self._command += ["--mutant", named]
        if profile is not None:
            self._command += ["--profile", profile]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the process, closed with it
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_by_us = False
        self.base_url = ""

    @property
    def pid(self) -> int | None:
        """The process, once it runs."""
        return None if self._process is None else self._process.pid

    @property
    def died(self) -> str | None:
        """How it ended, where we did not end it."""
        if self._process is None or self._ended_by_us or self._process.poll() is None:
            return None
        status = self._process.returncode
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"The emulator that was started for the run ended {how} before the run was over.{self._last_words()}"

    def said(self) -> list[str]:
        """The lines that it wrote to standard error: faults of its own."""
        self._errors.seek(0)
        return [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]

    def _last_words(self) -> str:
        said = self.said()
        return f" It said: {said[-1]}" if said else ""

    def __enter__(self) -> Self:
        process = self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and command
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, **APART
        )
        # It says a line or ends; one that does neither is ended.
        watchdog = threading.Timer(START_SECONDS, process.kill)
        watchdog.start()
        try:
            self.base_url = self._address(process)
        except BaseException:
            self._end()
            raise
        finally:
            watchdog.cancel()
        return self

    def _address(self, process: "subprocess.Popen[bytes]") -> str:
        line = b"" if process.stdout is None else process.stdout.readline()
        if line:
            return str(msgspec.json.decode(line)["base_url"])
        status = process.wait()
        said = "\n".join(each.removeprefix("popreceipt: ") for each in self.said())
        problem = said or f"The emulator could not be started: it ended with status {status} and said nothing."
        raise UsageError(problem) if status == UsageError.exit_status else NothingProved(problem)

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        self._ended_by_us = process.poll() is None
        if self._ended_by_us:
            stop(process)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._errors.close()


APART: Final[Mapping[str, Any]] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"start_new_session": True}
)
"""How a process is started that a Ctrl-C at the terminal should not reach: whoever started it passes it on."""


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process that was started `APART` to end in good order."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.terminate()


class Watched:
    """The processes of an emulator of ours on this machine: what they use, and whether they live.

    `count` is how many of them share the work.
    """

    def __init__(self, child: Served | None = None, pids: Collection[int] = ()) -> None:
        self._child = child
        self._pids = frozenset(pids) if child is None or child.pid is None else frozenset({child.pid})
        self.count = 1
        self._began = self._last = self._spent()

    @property
    def ours(self) -> bool:
        """Whether there are any to be watched."""
        return bool(self._pids)

    @property
    def died(self) -> str | None:
        """In words, how one that was started for the run ended before its time."""
        return None if self._child is None else self._child.died

    def said(self) -> list[str]:
        """What one that was started for the run wrote to standard error."""
        return [] if self._child is None else self._child.said()

    def used(self) -> float | None:
        """CPU seconds since the start, as far as they were seen: of a process that is gone, those of the last look."""
        now = self._spent()
        self._last = now if now is not None else self._last
        return None if self._began is None or self._last is None else max(0.0, self._last - self._began)

    def _spent(self) -> float | None:
        """CPU seconds of the process and its children so far; None where they cannot be seen."""
        psutil = _psutil()
        if psutil is None or not self._pids:
            return None
        try:
            known = {each: psutil.Process(each) for each in self._pids}
            children = {child.pid: child for each in known.values() for child in each.children(recursive=True)}
            times = [each.cpu_times() for each in (known | children).values()]
        except psutil.Error:
            return None
        # Who only began the others does no work; where several listen, each of them does.
        self.count = max(len(known), len(children))
        return float(sum(each.user + each.system for each in times))


def listeners(url: str) -> frozenset[int]:
    """The processes of this machine that listen where a URL points, as far as this user may know."""
    psutil = _psutil()
    parts = urlsplit(url)
    if psutil is None or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return frozenset()
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        return frozenset(
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid is not None
        )
    except (psutil.Error, OSError):
        return frozenset()


def _psutil() -> ModuleType | None:
    """The library that looks at processes. It comes with Locust, without which nothing here is measured."""
    try:
        import psutil  # type: ignore[import-untyped]  # it comes without types
    except ImportError:
        return None
    return psutil  # type: ignore[no-any-return]  # as above
