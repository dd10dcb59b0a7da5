"""The subject: a command that is started, started again and ended, and whose output is read whether wanted or not.

It knows processes and nothing of the protocol. Whatever a subject does (it hangs, floods its output, leaves children
behind that refuse to end), its lives are told as they were, and at the end nothing of it is left. (Two things
escape: a child that leaves its session and clears its environment is nobody's, and whoever is killed with SIGKILL ends
nobody.)
"""

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import psutil  # type: ignore[import-untyped]  # it comes without types

from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import redacted, without_tokens
from popreceipt.load.processes import APART, stop
from popreceipt.middleware.played import Exit

GRACE: Final = 5.0
"""Real seconds that a subject has from the request to end until it is killed."""

REAPING: Final = 5.0
"""Real seconds that the system has to end what was killed."""

DRAINING: Final = 0.25
"""Real seconds that the reader has to come to the end of the output of a process that is gone."""

LOOKED_EVERY: Final = 0.05

KILLED_WITHIN: Final = 0.01

CHUNK: Final = 256 * 1024

WHOLE_LINE: Final = 8 * 1024
"""Bytes within which a line ends; and any secret, in an output without lines."""

SECRETS: Final = ("POPRECEIPT_CLIENT_SECRET",)

OURS: Final = "POPRECEIPT_"
"""Variables of this project. Only those of the scenario reach a subject: others may hold somebody's keys."""

PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy"})
"""In either letter case. The user's own proxies know nothing of an address of this machine."""

MARK: Final = "POPRECEIPT_SUBJECT"
"""A variable by which the children of a subject are known, whatever they did to their group, session and parents."""


class CannotStart(NothingProved):
    """There is no such command, or it cannot be executed."""


class Tail:
    """The last bytes of an output that may be endless, and how many they were in all.

    Args:
        kept: so many bytes are kept.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._end = bytearray()
        self._lock = threading.Lock()
        self.length = 0

    def add(self, chunk: bytes) -> None:
        """Append to it; what comes before the last bytes is forgotten."""
        with self._lock:
            self.length += len(chunk)
            self._end += chunk[-self._kept :]
            if len(self._end) > self._kept:
                del self._end[: -self._kept]

    def text(self) -> str:
        """What was kept, as text, without what may be half a secret at its beginning: nobody would know it for one."""
        with self._lock:
            end, length = bytes(self._end), self.length
        if len(end) == length:
            return end.decode("utf-8", "replace")
        _, newline, rest = end.partition(b"\n")
        kept = rest if newline and len(rest) > len(end) - WHOLE_LINE else end[WHOLE_LINE:]
        return f"… ({length - len(kept):,} bytes before)\n{kept.decode('utf-8', 'replace')}"


class Subject:
    """A command and its lives in one scenario.

    Args:
        command: the words of its command line, placeholders filled in.
        environment: what it is told, beside what this process itself was told by others.
        folder: its working directory.
        kept: so many bytes of its output are kept.
        hurry: once it is set, what still lives is killed rather than waited for.
    """

    is_ours = True

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        kept: int,
        hurry: threading.Event | None = None,
    ) -> None:
        self._command = list(command)
        self._mark = secrets.token_hex(8)
        self._environment = inherited(os.environ) | dict(environment) | {MARK: self._mark}
        self._secrets = [environment[each] for each in SECRETS if environment.get(each)]
        self._folder = folder
        self._tail = Tail(kept)
        self._hurry = threading.Event() if hurry is None else hurry
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._sessions: set[int] = set()
        self._began = 0.0
        self.number = 0

    @property
    def output_length(self) -> int:
        """How many bytes it wrote to standard output and standard error, in all its lives."""
        return self._tail.length

    def output(self) -> str:
        """The end of what it wrote, with what it was told to keep secret replaced."""
        text = without_tokens(self._tail.text())
        for each in self._secrets:
            text = text.replace(each, redacted(each))
        return text

    def start(self) -> None:
        """Begin its next life.

        Raises:
            CannotStart: the system cannot find or execute the command.
            OSError: the system has no room for another process.
        """
        self.number += 1
        self._began = stopwatch()
        self._folder.mkdir(parents=True, exist_ok=True)  # its life before may have removed it
        try:
            process = subprocess.Popen(  # noqa: S603 - the command that the user wants to have judged
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                **APART,
            )
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            raise CannotStart(f"Cannot start {self._command[0]}: {error.strerror or error}.") from error
        except OSError as error:
            if error.errno in _NOT_EXECUTABLE:
                raise CannotStart(f"Cannot start {self._command[0]}: {error.strerror or error}.") from error
            raise
        self._process = process
        self._sessions.add(process.pid)
        assert process.stdout is not None  # noqa: S101 - as asked for above
        self._reader = threading.Thread(target=_read, args=(process.stdout, self._tail.add), daemon=True)
        self._reader.start()

    def ended(self) -> Exit | None:
        """How its present life ended by itself; None while it lives."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        return self._over(process.returncode, by_us=False)

    def end(self) -> Exit | None:
        """See that nothing of it lives on: it is asked to end, and what has not within its time is killed.

        Returns:
            How its present life ended; None where it had none.

        Raises:
            OSError: something of it cannot be killed.
        """
        process = self._process
        by_us = process is not None and process.poll() is None
        self._ask_to_end()
        self._kill()
        if process is None:
            return None
        process.wait()
        return self._over(process.returncode, by_us=by_us)

    def _ask_to_end(self) -> None:
        """Ask all that is left of it to end, and wait until it has or its time is over."""
        process = self._process
        leader = process is not None and process.poll() is None
        others = list(self._living(everywhere=True))
        if not leader and not others:
            return
        # The process that was started first: else a shell would see its command fail before it knows that it is over.
        if process is not None and leader:
            stop(process)
        if sys.platform != "win32":
            for each in others:
                with contextlib.suppress(psutil.Error):
                    if process is None or each.pid != process.pid:
                        each.terminate()
        until = stopwatch() + GRACE
        while stopwatch() < until and not self._hurry.wait(LOOKED_EVERY):
            alone = process is None or process.poll() is not None
            if alone and next(self._living(everywhere=False), None) is None:
                return

    def _kill(self) -> None:
        """Kill whatever is left of it, and whatever that may have begun meanwhile, until nothing is."""
        until = stopwatch() + REAPING
        pause = threading.Event()
        while left := list(self._living(everywhere=True)):
            if stopwatch() > until:
                raise ChildProcessError(f"Processes {', '.join(str(each.pid) for each in left)} cannot be killed.")
            for each in left:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            pause.wait(KILLED_WITHIN)

    def _over(self, status: int, *, by_us: bool) -> Exit:
        seconds = stopwatch() - self._began
        if self._reader is not None:
            # A child that lives on may hold the output open: what it writes is read, but not waited for.
            self._reader.join(DRAINING)
        self._process = self._reader = None
        return Exit(status=status, seconds=seconds, by_us=by_us)

    def _living(self, *, everywhere: bool) -> Iterator["psutil.Process"]:
        """What lives of it: the members of its sessions, and (`everywhere`) whatever inherited its environment."""
        own = os.getpid()
        for each in psutil.process_iter():
            try:
                if each.pid == own or not (
                    _session_of(each.pid) in self._sessions or (everywhere and each.environ().get(MARK) == self._mark)
                ):
                    continue
                if each.status() != psutil.STATUS_ZOMBIE:
                    yield each
            except (psutil.Error, OSError):
                continue  # It is gone, or somebody else's.


def resolved(command: Sequence[str], here: Path) -> tuple[str, ...]:
    """A command line that means the same in another working directory, as far as one can tell.

    The program is looked up now. A further word that names a file by a relative path is made absolute: in the empty
    folder in which a subject starts it could name nothing.

    Raises:
        CannotStart: there is no such program.
        UsageError: there is no command at all.
    """
    if not command:
        raise UsageError("Name the command that runs your middleware, after two dashes: popreceipt middleware -- CMD.")
    program, *words = command
    found = shutil.which(program) if "{" not in program else program
    if found is None:
        if (here / program).is_file():
            hint = f"it may not be executed (chmod +x {program})" if os.sep in program else f"write ./{program}"
            raise CannotStart(f"Cannot start {program}: {hint}.")
        raise CannotStart(f"Cannot start {program}: there is no such command, neither in PATH nor as a path of {here}.")
    return (str(here / found) if os.sep in found else found, *(_absolute(each, here) for each in words))


def _absolute(word: str, here: Path) -> str:
    looks_like_a_path = not word.startswith("-") and ("." in word or "/" in word or os.sep in word)
    try:
        return str(here / word) if looks_like_a_path and (here / word).is_file() else word
    except (OSError, ValueError):  # too long for a path, or it holds a NUL
        return word


def filled_in(command: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """A command line with its placeholders replaced: `{base_url}` by the value of POPRECEIPT_BASE_URL, and so on.

    Other braces stay as they are: programs take JSON and patterns too.
    """
    values = {name.removeprefix(OURS).lower(): value for name, value in environment.items() if name.startswith(OURS)}
    return tuple(re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), word) for word in command)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What a subject takes over from the environment of whoever starts it: no variables of ours, and no proxies."""
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith(OURS) and name.lower() not in PROXIES
    }


_NOT_EXECUTABLE: Final = frozenset({8, 193})  # ENOEXEC; and what Windows says of a file that is no program.


def _session_of(process: int) -> int | None:
    return os.getsid(process) if sys.platform != "win32" else None


def _read(stream: IO[bytes], keep: Callable[[bytes], None]) -> None:
    """Read an output to its end. A pipe that nobody reads would stop whoever writes to it."""
    with stream:
        while chunk := stream.read(CHUNK):
            keep(chunk)
