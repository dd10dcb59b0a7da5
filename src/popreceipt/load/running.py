"""A load run from its first process to its last: the target, the generator, watching, and an end in good order.

Locust makes the load in processes of its own; this one starts them, watches, passes a Ctrl-C on and ends nothing but
what it started. Whatever happens, what was proved until then is judged.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

from popreceipt import resources
from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.load import pace
from popreceipt.load.folder import LOCUST_SAID, empty, setup_journal
from popreceipt.load.pace import Pace
from popreceipt.load.pacing import AWAITED_SECONDS
from popreceipt.load.plan import Errand, LoadPlan
from popreceipt.load.processes import APART, stop
from popreceipt.load.siting import Ground, check, open_ground

STARTING: Final = 45.0
"""Real seconds that Locust has from its start until it is ready for the first arrival."""

ENDING: Final = 75.0
"""Real seconds that it has from the last arrival to its end: an answer may take thirty of them."""

STOPPING: Final = 30.0
"""Real seconds that it has to end when it was asked to."""

LOOKED_EVERY: Final = 0.5

INTERRUPTED: Final = 130

ERRAND: Final = "POPRECEIPT_ERRAND"
"""The environment variable that names the file with the errand, or standard input: see module `driving`."""

STANDARD_INPUT: Final = "-"

Watch = Callable[[Pace | None, str], None]
"""Called now and then with how it goes, as far as the generator has told, and with what is being done."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is made, beside what it does.

    Args:
        target: whom to put load on.
        folder: gets journals, figures and the result.
        processes: of the generator.
        ca: a file with the certificate authority of a TLS target.
        control_key: for a control plane off loopback.
        clock: of an emulator that is started for the run.
        profile: of such an emulator.
        generator_ceiling: requests a second that somebody measured before.
        target_ceiling: the same of the target.
    """

    target: str
    folder: Path
    processes: int = 1
    ca: Path | None = None
    control_key: str | None = None
    clock: str | None = None
    profile: str | None = None
    generator_ceiling: float | None = None
    target_ceiling: float | None = None


def run_load(plan: LoadPlan, options: Options, watch: Watch = lambda _pace, _words: None) -> None:
    """Put load on a target, and leave in the folder what `judging.judge_run` judges.

    A run that was stopped, lost a process or its target leaves what there is, and says so.

    Raises:
        UsageError: the target, the plan or the folder cannot be used.
        NothingProved: nothing could be begun.
    """
    folder = options.folder
    check(plan)
    empty(folder)
    with (
        _told_to_end(),
        setup_journal(folder) as journal,
        open_ground(
            options.target,
            plan,
            journal_file=journal,
            ca=options.ca,
            control_key=options.control_key,
            clock=options.clock,
            profile=options.profile,
        ) as ground,
    ):
        ground.write(
            workers=options.processes,
            generator_ceiling=options.generator_ceiling,
            target_ceiling=options.target_ceiling,
        )
        generator = Generator(plan, ground, folder, options.processes)
        interrupted = False
        try:
            generator.run(watch)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            generator.end(watch)
        ground.problems += generator.problems
        ground.faults += generator.faults
        # A second Ctrl-C is for whoever waits for the target to come to rest, and is heard too.
        try:
            ground.end(lambda words: watch(None, words))
        except KeyboardInterrupt:
            interrupted = True
            ground.problems.append("Manage messages was not looked at: the run was stopped.")
        ground.write(
            finished=generator.finished and ground.answered,
            interrupted=interrupted,
        )


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Take a SIGTERM as a Ctrl-C while processes are about that nobody else would end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Generator:
    """Locust's processes for one run: one alone, or a master with as many workers as there should be.

    `finished` says that the plan was carried out to its end; `problems` and `faults` what went wrong, in words: with
    the target or this machine, and in the harness itself.
    """

    def __init__(self, plan: LoadPlan, ground: Ground, folder: Path, processes: int) -> None:
        self._plan = plan
        self._ground = ground
        self._folder = folder
        self._count = processes
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._log: IO[bytes] | None = None
        self.finished = False
        self.problems: list[str] = []
        self.faults: list[str] = []

    def run(self, watch: Watch) -> None:
        """Start it, and return when it has ended, or when there is no sense in going on."""
        self._start()
        real = self._plan.minutes * 60 / self._ground.site.rate
        longest = STARTING + AWAITED_SECONDS + real + ENDING
        until = stopwatch() + longest
        leader = next(iter(self._children.values()))
        while not _ended(leader, LOOKED_EVERY):
            watch(pace.read(self._folder), "load runs")
            self._ground.see_how_it_is()
            if self._ground.died is not None:
                # Requests against nobody prove nothing more.
                return
            if stopwatch() > until:
                self.problems.append(f"Locust did not come to its end within {longest:.0f} s.")
                return
        self._read_status(leader.returncode)

    def end(self, watch: Watch) -> None:
        """See that all its processes are gone, those that still run by asking them first."""
        try:
            running = [each for each in self._children.values() if each.poll() is None]
            if running:
                watch(None, "stopping")
                self._ask_to_end(running)
            lost = [name for name, each in self._children.items() if each.returncode not in (0, INTERRUPTED, None)]
            self.problems += [f"{each} {_how(self._children[each].returncode)}." for each in lost if each != LEADER]
        finally:
            self._ground.load_is_over()
            for each in self._children.values():
                if each.poll() is None:
                    each.kill()
                    each.wait()
            if self._log is not None:
                self._log.close()
            for path in self._folder.glob(pace.FILES):
                path.unlink(missing_ok=True)

    def _start(self) -> None:
        try:
            self._log = (self._folder / LOCUST_SAID).open("wb")
        except OSError as error:
            raise NothingProved(
                f"Nothing can be written to {self._folder} ({error.strerror or error}): make room, or name another "
                "folder."
            ) from error
        common = ["-f", str(resources.locustfiles() / f"{self._plan.scenario}.py"), "--headless", "--only-summary"]
        if self._count == 1:
            self._spawn(LEADER, common)
            return
        port = _free_port()
        leads = [
            *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)),
            *("--expect-workers", str(self._count), "--expect-workers-max-wait", str(int(STARTING))),
        ]
        self._spawn(LEADER, [*common, *leads])
        follows = ["-f", common[1], "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        for number in range(1, self._count + 1):
            self._spawn(f"The generator's process {number}", follows)

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        environment: Mapping[str, str] = os.environ | {ERRAND: STANDARD_INPUT}
        child = self._children[name] = subprocess.Popen(  # noqa: S603 - our own interpreter and locustfiles
            [sys.executable, "-m", "locust", *arguments],
            stdin=subprocess.PIPE if name == LEADER else subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            **APART,
        )
        if child.stdin is not None:
            # The errand may have a secret in it, and a file would stay where all of this is killed.
            errand = Errand(self._plan, self._ground.site, str(self._folder.absolute()))
            with contextlib.suppress(OSError), child.stdin:  # One that is gone already says so by its status.
                child.stdin.write(msgspec.json.encode(errand))

    def _read_status(self, status: int) -> None:
        """What Locust's exit status tells: see module `driving`, which sets it."""
        said = self._last_words()
        if status == 0:
            self.finished = True
        elif status == NothingProved.exit_status:
            self.problems.append(f"The generator could not go on.{said}")
        elif status == INTERRUPTED:
            self.problems.append(f"The generator was stopped before its time.{said}")
        elif status == UsageError.exit_status:
            self.faults.append(f"The generator did not understand what it was told.{said}")
        elif status < 0:
            self.problems.append(f"The generator {_how(status)}.{said}")
        elif not any(self._folder.glob("figures-*.json")):
            self.faults.append(f"The generator {_how(status)} before it had begun.{said}")
        else:
            self.problems.append(f"The generator {_how(status)}.{said}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder / LOCUST_SAID).read_text(encoding="utf-8", errors="replace").splitlines()
            errors = [each for each in lines if "/ERROR/" in each or "Error" in each]
            if errors:
                return f" It said: {errors[-1].rpartition(': ')[2] if '/ERROR/' in errors[-1] else errors[-1]}"
        return ""

    def _ask_to_end(self, running: Sequence["subprocess.Popen[bytes]"]) -> None:
        until = stopwatch() + STOPPING
        leader = self._children[LEADER]
        # A master tells its workers; where it is gone they are told one by one.
        for each in [leader] if leader.poll() is None else running:
            stop(each)
        for each in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(max(0.1, until - stopwatch()))
        late = [each for each in running if each.poll() is None]
        for each in late:
            each.terminate()
        for each in late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(5)


LEADER: Final = "locust"


def _ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _how(status: int | None) -> str:
    if status is None:
        return "went on"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
