"""A load run inside Locust: from its command line or an errand to the workers, and from their last answer to the end.

One process is told or makes the errand (the only one, or the master), and hands it to the others; each of them drives a
`Worker` and leaves a journal and figures in the run's folder. The run ends by itself when all have done their part. An
errand that came in the environment is judged by whoever wrote it; one that was made here is judged here.
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent  # type: ignore[import-untyped]  # it comes without types
import msgspec
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved, PopreceiptError, UsageError
from popreceipt.load import pace
from popreceipt.load.folder import RESULT, empty, setup_journal
from popreceipt.load.pacing import first_tick
from popreceipt.load.plan import SHAPES, Errand, LoadPlan, Thresholds
from popreceipt.load.users import Role
from popreceipt.load.worker import DRAIN, Worker

if TYPE_CHECKING:
    from popreceipt.load.result import LoadResult
    from popreceipt.load.siting import Ground

ERRAND: Final = "POPRECEIPT_ERRAND"
"""The environment variable that names the file with the errand; a hyphen names standard input, where it stays in no
file."""

LEAD: Final = 0.5
LEAD_OF_MANY: Final = 2.0
"""Real seconds from the errand to the first arrival, in which each process gets its token."""

STOPPING: Final = 10.0
"""Real seconds that what is under way gets when somebody stops the run."""

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))
"""Of these a system has its own; SIGBREAK is that of Windows."""

# What processes say to each other.
_ERRAND: Final = "popreceipt-errand"
_STOP: Final = "popreceipt-stop"
_ASK: Final = "popreceipt-ask"
_DONE: Final = "popreceipt-done"

ALONE: Final = "alone"
"""The name of the process that makes load by itself."""

INTERRUPTED: Final = 130
"""How Locust ends when the run was stopped before its time and is judged by somebody else."""

_log = logging.getLogger("popreceipt")


def drive(scenario: str) -> None:
    """Make the locustfile that calls this one of our scenarios.

    Raises:
        UsageError: another one has been loaded.
    """
    if _current:
        raise UsageError("One scenario is run at a time: name one file with -f. All roles together are in mixed.py.")
    run = _Run(scenario)
    _current.append(run)
    hooks: Any = events  # Their methods come without types.
    hooks.init_command_line_parser.add_listener(_add_options)
    hooks.init.add_listener(run.init)
    hooks.test_start.add_listener(run.test_start)
    hooks.test_stopping.add_listener(run.test_stopping)
    hooks.test_stop.add_listener(run.test_stop)
    hooks.user_error.add_listener(run.user_error)


def users() -> int | None:
    """How many users there should be now; None when the run is over."""
    return _current[-1].users()


_current: Final[list["_Run"]] = []


class _Run:
    """What one process knows of the run that it takes part in."""

    def __init__(self, scenario: str) -> None:
        self._scenario = scenario
        self._environment: Environment | None = None
        self._errand: Errand | None = None
        self._worker: Worker | None = None
        self._ground: Ground | None = None
        self._closing = ExitStack()
        self._ends = 0.0
        self._parts: dict[str, int | None] = {}
        """By Locust's name of a process: with which status it has done its part; None while it is at it."""
        self._failed = False
        self._ending = False
        self._late = 0
        self._waiting = False

    # What Locust tells

    def init(self, environment: Environment, **_: Any) -> None:
        self._environment = environment
        runner = environment.runner
        for each in SIGNALS:
            gevent.signal_handler(each, self._asked_to_end)
        if isinstance(runner, WorkerRunner):
            runner.register_message(_ERRAND, self._told)
            runner.register_message(_STOP, self._told_to_stop)
            if self._waiting:
                runner.send_message(_ASK)
        elif isinstance(runner, MasterRunner):
            runner.register_message(_ASK, self._asked)
            runner.register_message(_DONE, self._told_done)

    def test_start(self, environment: Environment, **_: Any) -> None:
        try:
            if _follows(environment):
                self._take_part(environment)
            else:
                self._lead(environment)
        except PopreceiptError as error:
            self._give_up(environment, str(error), error.exit_status)

    def test_stopping(self, environment: Environment, **_: Any) -> None:
        if self._worker is not None:
            self._worker.stop()
            if not self._worker.finished:
                self._worker.drain(STOPPING)
        if isinstance(environment.runner, MasterRunner) and self._waits_for(environment.runner):
            environment.runner.send_message(_STOP)
            until = stopwatch() + STOPPING + LEAD_OF_MANY
            while self._waits_for(environment.runner) and stopwatch() < until:
                gevent.sleep(0.05)

    def _asked_to_end(self) -> None:
        """A signal: end the run in good order, and then the process, as Locust does it on a Ctrl-C.

        Locust itself heeds SIGTERM only once a run with a shape is over, and a KeyboardInterrupt may strike anywhere:
        an exchange that is just being taken down would be missing from a journal that says it is whole.
        """
        environment, again, self._ending = self._environment, self._ending, True
        if environment is not None and not again:
            self.test_stopping(environment)
            if self._worker is not None:
                self._end_part(self._worker)
        gevent.get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())

    def test_stop(self, environment: Environment, **_: Any) -> None:
        if self._worker is not None:
            self._end_part(self._worker)
        if not _follows(environment) and self._parts:
            self._close(environment)
        self._closing.close()
        self._worker = self._errand = self._ground = None
        self._waiting = False
        self._parts, self._ends, self._late, self._failed = {}, 0.0, 0, False
        Role.belong_to(None)

    def user_error(self, exception: BaseException, **_: Any) -> None:
        if self._worker is not None:
            self._worker.tally.error(f"{type(exception).__name__}: {exception}")

    # The process that leads

    def users(self) -> int | None:
        environment = self._environment
        if environment is None or environment.runner is None:
            return 0
        if self._failed:
            return None
        if self._errand is not None and self._ends and self._over(environment):
            return None
        try:
            plan = self._errand.plan if self._errand is not None else self._plan(environment)
        except PopreceiptError as error:
            self._give_up(environment, str(error), error.exit_status)
            return None
        runner = environment.runner
        processes = max(1, runner.worker_count) if isinstance(runner, MasterRunner) else 1
        if self._parts:
            processes = len(self._parts)
        total = 0
        for each in environment.user_classes:
            if issubclass(each, Role):
                each.fixed_count = each.count(plan, processes)
                total += each.fixed_count
        return total

    def _over(self, environment: Environment) -> bool:
        if isinstance(environment.runner, MasterRunner):
            done = not self._waits_for(environment.runner)
        else:
            done = all(status is not None for status in self._parts.values())
        return done or stopwatch() > self._ends + DRAIN + STOPPING

    def _waits_for(self, runner: MasterRunner) -> set[str]:
        """The processes that are still at it; of those that are lost nothing is to be waited for."""
        there = {each.id for each in runner.clients.all if each.state != "missing"}
        return {name for name, status in self._parts.items() if status is None} & there

    def _plan(self, environment: Environment) -> LoadPlan:
        path = os.environ.get(ERRAND)
        if path:
            return _read(path).plan
        if not _target(environment):
            raise UsageError("There is no target: name it with --host http://HOST:PORT or --target tenant:NAME.")
        return _plan_of(self._scenario, vars(environment.parsed_options))

    def _lead(self, environment: Environment) -> None:
        path = os.environ.get(ERRAND)
        errand = _read(path) if path else self._made(environment)
        runner = environment.runner
        environment.host = errand.site.base_url
        if isinstance(runner, MasterRunner):
            names = sorted(
                each.id for each in (*runner.clients.ready, *runner.clients.running, *runner.clients.spawning)
            )
            lead = LEAD_OF_MANY
        else:
            names, lead = [ALONE], LEAD
        # The jobs were made right before the site's clock was read.
        start = max(errand.start, stopwatch() - errand.site.real_at_start + lead)
        start = first_tick(errand.plan, start, errand.site.rate)
        self._errand = msgspec.structs.replace(errand, start=start, workers=len(names))
        self._ends = errand.site.real_at_start + start + errand.plan.minutes * 60 / errand.site.rate
        self._parts = dict.fromkeys(names)
        if isinstance(runner, MasterRunner):
            for number, name in enumerate(names):
                _send(runner, name, msgspec.structs.replace(self._errand, worker=number))
        else:
            self._take_part(environment)

    def _asked(self, msg: Any, **_: Any) -> None:
        """A process that came late: it takes part as far as users are sent to it, but the arrivals are dealt out."""
        runner = self._environment.runner if self._environment is not None else None
        if isinstance(runner, MasterRunner) and self._errand is not None and msg.node_id not in self._parts:
            number, self._late = self._errand.workers + self._late, self._late + 1
            self._parts[msg.node_id] = None
            _send(runner, msg.node_id, msgspec.structs.replace(self._errand, worker=number, workers=0))

    def _told_done(self, msg: Any, **_: Any) -> None:
        self._parts[msg.node_id] = int(msg.data["status"])

    def _close(self, environment: Environment) -> None:
        """The end of a run, in the process that leads it."""
        lost = [name for name, status in self._parts.items() if status is None]
        finished = stopwatch() >= self._ends > 0
        if lost:
            _log.error("%d of %d processes did not say how they ended.", len(lost), len(self._parts))
        ground, self._ground = self._ground, None
        status = max((NothingProved.exit_status if each is None else each for each in self._parts.values()), default=0)
        if ground is not None and self._errand is not None and not self._failed:
            environment.process_exit_code = PopreceiptError.exit_status  # Until it is judged.
            try:
                with self._closing.pop_all():
                    ground.end(_log.info)
                    interrupted = not finished and not status
                ground.write(workers=len(self._parts), finished=finished, interrupted=interrupted)
                for path in Path(self._errand.folder).glob(pace.FILES):
                    path.unlink(missing_ok=True)
                judged = _judged(Path(self._errand.folder))
                status = INTERRUPTED if interrupted else judged
            except PopreceiptError as error:
                _log.error("%s", error)
                status = error.exit_status
        elif not status and not finished:
            status = INTERRUPTED
        environment.process_exit_code = status

    def _made(self, environment: Environment) -> Errand:
        """An errand from the command line, or the page's form."""
        from popreceipt.load.siting import open_ground

        options = vars(environment.parsed_options)
        plan = _plan_of(self._scenario, options)
        folder = _emptied(options["out"])
        journal = self._closing.enter_context(setup_journal(folder))
        ca, key, clock = (options[name] or None for name in ("ca", "control_key", "clock"))
        self._ground = self._closing.enter_context(
            open_ground(
                _target(environment),
                plan,
                journal_file=journal,
                ca=None if ca is None else Path(ca),
                control_key=key,
                clock=clock,
            )
        )
        return Errand(plan, self._ground.site, str(folder.absolute()))

    # Each process that makes load

    def _told(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._errand = msgspec.json.decode(msg.data["errand"], type=Errand)
        if self._waiting:
            self._waiting = False
            self.test_start(environment)

    def _told_to_stop(self, **_: Any) -> None:
        if self._worker is not None:
            self._worker.stop()

    def _take_part(self, environment: Environment) -> None:
        if self._errand is None:
            # What comes from the master is read one by one, so an answer cannot be waited for here.
            self._waiting = True
            if environment.runner is not None:
                environment.runner.send_message(_ASK)
            return
        worker = Worker(self._errand, partial(_tell, environment))
        self._worker = worker
        worker.begin()
        for each in environment.user_classes:
            if issubclass(each, Role):
                each.begin(worker)
        # Users that are here already, because this process came late, have waited for that.
        Role.belong_to(worker)
        gevent.spawn(self._see_to_the_end, worker)

    def _see_to_the_end(self, worker: Worker) -> None:
        worker.over.wait()
        worker.drain()
        self._end_part(worker)

    def _end_part(self, worker: Worker) -> None:
        if worker.finished:
            return
        worker.finish()
        if worker.problem is not None:
            _log.error("%s", worker.problem)
        self._report(0 if worker.problem is None else worker.status)

    def _report(self, status: int) -> None:
        runner = self._environment.runner if self._environment is not None else None
        if isinstance(runner, WorkerRunner):
            runner.send_message(_DONE, {"status": status})
        elif not isinstance(runner, MasterRunner):
            self._parts[ALONE] = status

    def _give_up(self, environment: Environment, sentence: str, status: int) -> None:
        """The run cannot be made: say why, and have it ended."""
        _log.error("%s", sentence)
        self._failed = True
        environment.process_exit_code = status
        if self._worker is not None:
            self._worker.stop(sentence, status)
            self._end_part(self._worker)
        else:
            self._report(status)


def _follows(environment: Environment) -> bool:
    """Whether this process is told by a master what to do: it may be told before it knows its own runner."""
    return bool(vars(environment.parsed_options)["worker"])


def _send(runner: MasterRunner, client: str, errand: Errand) -> None:
    runner.send_message(_ERRAND, {"errand": msgspec.json.encode(errand).decode("utf-8")}, client_id=client)


def _tell(
    environment: Any,
    method: str,
    operation: str,
    response: float,
    service: float,
    length: int,
    failure: str | None,
) -> None:
    """A request for Locust's own statistics: from its intended start, and in a row beside it from its actual one.

    That row is written past the event, so that nothing is counted twice in the total.
    """
    environment.events.request.fire(
        request_type=method,
        name=operation,
        response_time=response * 1_000,
        response_length=length,
        exception=failure,
        context={},
    )
    environment.stats.entries[operation, SERVICE].log(service * 1_000, length)


SERVICE: Final = "service"
"""The method, in Locust's table, of rows that count from the actual start of requests."""


def _judged(folder: Path) -> int:
    """Judge the run, say so, and tell the exit status."""
    from rich.console import Console

    from popreceipt.load import terminal
    from popreceipt.load.judging import judge_run

    # In a thread, so that Locust's page goes on meanwhile.
    result: LoadResult = gevent.get_hub().threadpool.apply(judge_run, (folder,))
    result.write(folder / RESULT)
    terminal.show(result, Console())
    _log.info("Journals, figures and the result are in %s.", folder)
    return result.exit_status()


# The command line, and the form of Locust's page

_NONE_IF_ZERO: Final = frozenset({"monitoring_minutes", "p95_ms", "error_share"})

_PLANNED: Final[Mapping[str, str]] = {
    "per_hour": "messages an hour of the target's time: handed in, or produced for consumers",
    "minutes": "how long the run lasts, in the target's time",
    "activities": "recurring data jobs that share the load",
    "processing_minutes": "their processing recurrence; the ticks of the shape ticks",
    "monitoring_minutes": "their monitoring recurrence; 0 for none",
    "consumers": "export consumers",
    "poll_minutes": "minutes of the target's time from an answer that nothing waits to the next poll",
    "pollers": "status pollers",
    "records": "records in each file",
    "outage_minutes": "with the shape outage: how long consumers are away, from a third of the run on",
    "lag_seconds": "real seconds that arrivals may begin late; more makes the run INVALID",
    "seed": "of arrivals and choices",
}

_THRESHOLDS: Final[Mapping[str, str]] = {
    "p95_ms": "allowed 95th percentile of each operation's response time, in real milliseconds; 0 allows any",
    "error_share": "allowed share of requests without a success; 0 allows any",
}


def _add_options(parser: LocustArgumentParser) -> None:
    plan, thresholds = LoadPlan(), Thresholds()
    add = partial(_add_option, parser)
    add("target", str, "", "where, if not --host: http://HOST:PORT, tenant:NAME, emulator:")
    add("shape", str, plan.shape, f"how arrivals are spread: {', '.join(SHAPES)}", choices=list(SHAPES))
    for name, words in _PLANNED.items():
        value = getattr(plan, name)
        add(name, type(value), value, words)
    for name, words in _THRESHOLDS.items():
        add(name, float, getattr(thresholds, name) or 0.0, words)
    add("out", str, "", "folder for journals, figures and the result; a new one of the system's if not told")
    add("ca", str, "", "file with the certificate authority of a TLS target", include_in_web_ui=False)
    add("clock", str, "", "of an emulator that is started for the run: system, scaled:RATE", include_in_web_ui=False)
    add(
        "control_key",
        str,
        "",
        "key of a control plane off loopback",
        include_in_web_ui=False,
        env_var="POPRECEIPT_CONTROL_KEY",
    )


def _add_option(
    parser: LocustArgumentParser, name: str, kind: Callable[[str], Any], default: object, words: str, **more: Any
) -> None:
    parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=words, **more)


def _plan_of(scenario: str, options: Mapping[str, Any]) -> LoadPlan:
    """The plan that options say.

    Raises:
        UsageError: an option is out of range.
    """
    told = {name: options[name] for name in ("shape", *_PLANNED, *_THRESHOLDS)}
    for name in _NONE_IF_ZERO:
        told[name] = told[name] or None
    limits = {name: told.pop(name) for name in _THRESHOLDS}
    try:
        plan = msgspec.convert({"scenario": scenario, **told, "thresholds": limits}, LoadPlan, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"The options make no plan: {error}.") from error
    for name in ("per_hour", "minutes", "activities", "processing_minutes", "poll_minutes", "lag_seconds"):
        if not getattr(plan, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} should be above zero, not {getattr(plan, name):g}.")
    return plan


def _target(environment: Environment) -> str:
    return str(vars(environment.parsed_options)["target"] or environment.host or "")


def _emptied(out: str) -> Path:
    """The folder for a run: a new one of the system's, or the one that is named, without what an earlier run left.

    Raises:
        UsageError: it cannot be used, or holds journals that are none of a load run.
    """
    if out:
        empty(Path(out))
        return Path(out)
    try:
        return Path(tempfile.mkdtemp(prefix="popreceipt-load-"))
    except OSError as error:
        raise UsageError(f"No folder can be made for the run: {error.strerror or error}. Name one: --out.") from error


@lru_cache(maxsize=1)
def _from_standard_input() -> bytes:
    """All that stands there, which can be read once."""
    return sys.stdin.buffer.read()


def _read(path: str) -> Errand:
    """The errand in a file, or on standard input.

    Raises:
        UsageError: there is none.
    """
    try:
        content = _from_standard_input() if path == "-" else Path(path).read_bytes()
        return msgspec.json.decode(content, type=Errand)
    except OSError as error:
        raise UsageError(f"Cannot read the errand {path}: {error.strerror or error}.") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is no errand: {error}.") from error
