"""The ground that load is put on: a target with recurring data jobs for it, and what it tells when all is over.

`emulator:` means an emulator in a process of its own, for one in this process would be measured together with the
generator. It makes jobs where the target can, and takes those that are named where it cannot; it puts no load on
anything. No Locust here: whoever judges uses this module too.
"""

import contextlib
import os
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from popreceipt.client.control import Control
from popreceipt.client.transport import Transport
from popreceipt.emulator import own_faults
from popreceipt.exceptions import NothingProved, PopreceiptError, UsageError
from popreceipt.journal import instant_text
from popreceipt.load import run as runs
from popreceipt.load.plan import LoadPlan, Site
from popreceipt.load.processes import Served, Watched, listeners
from popreceipt.load.run import Run
from popreceipt.targets import EMULATOR_PREFIX, JOURNAL_PREFIX, TENANT_PREFIX, Target, open_target
from popreceipt.tenants import reading
from popreceipt.tenants.description import AUTHORISED, FromCertificate
from popreceipt.vocabulary import ENQUEUED, PREPROCESSING, PROCESSING

USUAL_CLOCK: Final = "scaled:60"
"""An hour of the target's in a minute, where nobody says otherwise and the emulator is started for the run."""

OURS: Final = "popreceipt emulator"
"""What the emulator calls itself."""

SETTLING_SECONDS: Final = 60.0
"""The longest real wait for what was handed in last to be processed."""

RECORDS_LOOKED_AT: Final = 100_000
"""Target tables that got more records than these by the plan are not read."""

LONGEST_MINUTES: Final = 525_600

UNDER_WAY: Final = frozenset({ENQUEUED, PREPROCESSING, PROCESSING})

IMPORT_ROLES: Final = ("import-file", "import-in-order", "import-package")
EXPORT_ROLES: Final = ("export-package", "export-file")

_TAKES_FILES: Final = frozenset({"imports", "polling", "watching", "mixed"})
_HANDS_OUT: Final = frozenset({"exports", "watching", "mixed"})

Tell = Callable[[str], None]


class Ground:
    """A target that is ready for load.

    `site` is what workers are told of it; `problems` grows with what goes wrong on the way, `faults` with what does in
    the harness itself, an emulator of ours included; `answered` says that it was there to the end, and told then what
    had become of everything.
    """

    def __init__(self, target: Target, site: Site, plan: LoadPlan, journal_file: IO[bytes], processes: Watched) -> None:
        self.site = site
        self.plan = plan
        self.problems: list[str] = []
        self.faults: list[str] = []
        self.answered = False
        self._target = target
        self._file = journal_file
        self._folder = Path(journal_file.name).parent
        self._processes = processes
        self._used: float | None = None
        self._run = Run(
            plan=plan,
            target=site.name,
            build=site.build,
            clock=site.clock,
            rate=site.rate,
            abilities=site.abilities,
            began=site.target_at_start,
            imports=site.imports,
            exports=site.exports,
            ours=processes.ours,
            cores=os.cpu_count() or 0,
            finished=False,
        )
        # Should everything end here, what workers leave can still be judged.
        self.write()

    @property
    def died(self) -> str | None:
        """In words, how an emulator that was started for the run has ended; None while it runs, or is not ours."""
        return self._processes.died

    def now(self) -> datetime:
        """The target's time."""
        return self._target.times.latest()

    def see_how_it_is(self) -> None:
        """To be called now and then while load runs: of a target that dies, what was seen last counts."""
        self._processes.used()

    def load_is_over(self) -> None:
        """To be called when load ends: what the target does from here on is no longer counted as its work under it."""
        if self._used is None:
            self._used = self._processes.used()

    def settle(self, tell: Tell = lambda _: None) -> None:
        """Wait until what was handed in is processed: for two recurrences and a little, if that is not long.

        A target whose clock runs as ours does is not waited for over minutes.
        """
        period = timedelta(minutes=self.plan.processing_minutes)
        rate, control = self.site.rate, self._target.control
        if control is None or not self.site.imports or "messages" not in self.site.abilities:
            return
        if 2 * period.total_seconds() / rate > SETTLING_SECONDS:
            return
        until = self.now() + 2 * period + timedelta(minutes=1)
        # With a control plane that writes nothing down: only the last look is worth keeping.
        asking = self._quiet_control()
        with contextlib.closing(asking):
            left = list(self.site.imports)
            while left and self.now() < until:
                while left and not _under_way(asking.messages(left[0])):
                    left.pop(0)
                if left:
                    tell("waiting for what was handed in last to be processed")
                    self._target.times.wait_until(min(until, self.now() + period / 4), timedelta(seconds=60))

    def _quiet_control(self) -> Control:
        site = self.site
        return Control(
            site.base_url,
            transport=Transport(None, None if site.ca is None else Path(site.ca)),
            key=site.control_key,
            times=self._target.times,
        )

    def look(self) -> None:
        """Ask for Manage messages, samples of monitoring and (few) target tables, into the set-up journal."""
        site, control = self.site, self._target.control
        if control is None:
            return
        few = self.plan.per_hour * self.plan.minutes / 60 * self.plan.records <= RECORDS_LOOKED_AT
        for activity in (*site.imports, *site.exports):
            if "messages" in site.abilities:
                control.messages(activity)
            if "monitoring" in site.abilities and self.plan.monitoring_minutes is not None:
                control.load(activity)
            if activity in site.imports and "records" in site.abilities and few:
                control.records(activity)

    def end(self, tell: Tell = lambda _: None) -> None:
        """Wait for what is under way, look, seal the set-up journal and write down what is known of the run.

        Raises:
            NothingProved: it cannot be written down.
        """
        self.load_is_over()
        with self._writing():
            try:
                if self._processes.died is None:
                    self.settle(tell)
                    self.look()
                    self.answered = True
            except PopreceiptError as error:
                self.problems.append(f"What became of the messages could not be asked: {error}")
            finally:
                # Also where somebody does not want to wait for it: of what was done nothing is missing.
                if self._processes.died is not None:
                    self.problems.append(self._processes.died)
                self._target.journal.seal()
                self._file.flush()
        self.write()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say in words that nothing can be written any more: a full disk, say."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.close()  # what still waits in it cannot be written either
            raise NothingProved(
                f"Nothing more can be written to {self._folder} ({error.strerror or error}): the run proves nothing. "
                "What is whole in its journals stays; make room, or name another folder."
            ) from error

    def write(self, **more: Any) -> None:
        """Write down what is known of the run; `more` are members of it that only the caller knows.

        Raises:
            NothingProved: it cannot be written down.
        """
        said = self._processes.said()
        faults = [each for each in said if own_faults.TOLD in each]
        run = msgspec.structs.replace(
            self._run,
            target_cpu_seconds=self._used,
            target_processes=self._processes.count,
            problems=tuple(dict.fromkeys((*self.problems, *(each for each in said if each not in faults)))),
            faults=tuple(dict.fromkeys((*self.faults, *faults))),
        )
        self._run = msgspec.structs.replace(run, **more)
        with self._writing():
            runs.write(self._run, self._folder)


@contextmanager
def open_ground(
    target_text: str,
    plan: LoadPlan,
    *,
    journal_file: IO[bytes],
    ca: Path | None = None,
    control_key: str | None = None,
    clock: str | None = None,
    profile: str | None = None,
) -> Iterator[Ground]:
    """A target made ready for load, from its name; when load is over, call `Ground.end`: then it is asked what became.

    Args:
        target_text: `emulator:`, `emulator:MUTANT`, `emulator:dialect=NAME`, `http://…`, `https://…`, `tenant:NAME`.
        plan: what will be done there.
        journal_file: takes the set-up's journal; beside it stands then what is known of the run.
        ca: a file with the certificate authority of a TLS target.
        control_key: for a control plane off loopback.
        clock: of an emulator that is started for the run: `system` or `scaled:RATE`.
        profile: of such an emulator: what the documentation leaves open.

    Raises:
        UsageError: no such target, or one that load must not be put on.
        NothingProved: it cannot be reached, or lacks what is needed.
    """
    if target_text.startswith(JOURNAL_PREFIX):
        raise UsageError(f"{target_text} is a recording, and no load can be put on it: judge it with popreceipt judge.")
    emulator = target_text.startswith(EMULATOR_PREFIX)
    if not emulator and (clock is not None or profile is not None):
        option = "--clock" if clock is not None else "--profile"
        raise UsageError(f"{option} is for an emulator that is started for the run; {target_text} has its own.")
    check(plan)
    if target_text.startswith(TENANT_PREFIX):
        _permitted(target_text)
    with ExitStack() as closing:
        processes = Watched()
        url = target_text
        if emulator:
            if ca is not None:
                raise UsageError(f"{target_text} speaks no TLS: leave out the certificate authority {ca}.")
            child = closing.enter_context(Served(target_text, clock or USUAL_CLOCK, profile, plan.seed))
            processes = Watched(child)
            url = child.base_url
        target = closing.enter_context(
            open_target(url, seed=plan.seed, ca=ca, control_key=control_key, journal_file=journal_file)
        )
        if target.times.kind == "manual":
            raise UsageError(
                f"The clock of {target_text} stands still, and load takes time: serve it with --clock system or "
                "--clock scaled:RATE."
            )
        if not emulator:
            processes = Watched(pids=listeners(url) if _is_ours(target) else ())
        site = _site(target_text, target, plan, ca, control_key)
        yield Ground(target, site, plan, journal_file, processes)


def _site(name: str, target: Target, plan: LoadPlan, ca: Path | None, control_key: str | None) -> Site:
    imports = _imports(target, plan) if plan.scenario in _TAKES_FILES else ()
    exports = _exports(target, plan) if plan.scenario in _HANDS_OUT else ()
    began = target.times.begin()
    if target.tenant is not None:
        ca = ca or target.tenant.ca
    return Site(
        base_url=target.session.base_url,
        identity=_needed(target),
        imports=tuple(str(each["id"]) for each in imports),
        exports=tuple(str(each["id"]) for each in exports),
        clock=target.times.kind,
        rate=target.times.rate,
        target_at_start=instant_text(began.earliest),
        real_at_start=began.real,
        clock_error_seconds=target.journal.header.clock_error_seconds,
        machine=this_machine(),
        name=name,
        build=target.build,
        abilities=tuple(sorted(target.abilities)),
        ca=None if ca is None else str(ca.absolute()),
        control=target.control is not None,
        control_key=control_key,
        package=bool(imports) and imports[0].get("type") == "package",
    )


def _needed(target: Target) -> dict[str, object]:
    """Where tokens come from, and the one client that load uses: no other secret travels, and of a tenant none."""
    identity = target.identity
    clients = identity.get("clients")
    authorised = clients.get(AUTHORISED) if isinstance(clients, Mapping) else None
    client = dict(authorised) if isinstance(authorised, Mapping) else {}
    if target.tenant is not None:
        client.pop("client_secret", None)  # Each process looks where the description says that it is.
    told: dict[str, object] = {name: identity.get(name) for name in ("token_url", "token_url_v1", "resource", "tenant")}
    return told | {"clients": {AUTHORISED: client}}


def _imports(target: Target, plan: LoadPlan) -> Sequence[Mapping[str, Any]]:
    if target.can("create-activity"):
        return [
            target.create(direction="import", type="file", name=f"load-import-{number}", **_recurrences(target, plan))
            for number in range(1, plan.activities + 1)
        ]
    return _named(target, IMPORT_ROLES)[:1]


def _exports(target: Target, plan: LoadPlan) -> Sequence[Mapping[str, Any]]:
    if target.can("create-activity"):
        settings = _recurrences(target, plan) | {"processing_recurrence_minutes": None}
        return [
            target.create(direction="export", type="package", name=f"load-export-{number}", **settings)
            for number in range(1, plan.activities + 1)
        ]
    return _exclusive(target, _named(target, EXPORT_ROLES))[: plan.activities]


def _recurrences(target: Target, plan: LoadPlan) -> dict[str, Any]:
    settings: dict[str, Any] = {"processing_recurrence_minutes": int(plan.processing_minutes)}
    if plan.monitoring_minutes is not None and target.can("monitoring"):
        settings["monitoring_recurrence_minutes"] = int(plan.monitoring_minutes)
    return settings


def _exclusive(target: Target, found: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that nobody else uses: what is taken there is acknowledged."""
    own = [each for each in found if each.get("exclusive")]
    if target.tenant is not None and not own:
        raise UsageError(
            f"Load takes messages and acknowledges them, and no export in {target.tenant.where} is marked as used by "
            "nobody else: write exclusive = true into the table of one that is."
        )
    return own if target.tenant is not None else found


def _named(target: Target, roles: Sequence[str]) -> list[Mapping[str, Any]]:
    found = [target.activities[role] for role in roles if role in target.activities]
    if not found:
        raise NothingProved(
            f"{target.name} makes no recurring data jobs, and names none that this scenario needs: {', '.join(roles)}."
        )
    return found


def check(plan: LoadPlan) -> None:
    """Refuse numbers that make no run, before anything is begun.

    Raises:
        UsageError: there is one.
    """
    _whole_minutes("processing recurrence", plan.processing_minutes)
    if plan.monitoring_minutes is not None:
        _whole_minutes("monitoring recurrence", plan.monitoring_minutes)
    limits = plan.thresholds
    above_zero = {
        "rate (messages an hour)": plan.per_hour,
        "length of the run in minutes": plan.minutes,
        "number of recurring data jobs": plan.activities,
        "number of consumers": plan.consumers,
        "interval of polling in minutes": plan.poll_minutes,
        "lag in seconds": plan.lag_seconds,
        "p95 in milliseconds": 1.0 if limits.p95_ms is None else limits.p95_ms,
    }
    for what, number in above_zero.items():
        if not 0 < number < float("inf"):
            raise UsageError(f"The {what} should be above zero, not {number:g}.")
    if min(plan.pollers, plan.records, limits.min_requests) < 0:
        raise UsageError("There cannot be less than no pollers, records or requests.")
    if limits.error_share is not None and not 0 <= limits.error_share <= 1:
        raise UsageError(f"A share of errors lies between 0 and 1: not {limits.error_share:g}.")
    if plan.shape == "outage" and not 0 < plan.outage_minutes <= plan.minutes * 2 / 3:
        raise UsageError(
            f"Consumers that are away for {plan.outage_minutes:g} minutes, from a third of the run on, do not come "
            f"back in a run of {plan.minutes:g} minutes: make it longer than {plan.outage_minutes * 1.5:g}, or the "
            "outage shorter."
        )


def _whole_minutes(what: str, minutes: float) -> None:
    if not (1 <= minutes <= LONGEST_MINUTES and float(minutes).is_integer()):
        raise UsageError(f"The {what} is in whole minutes, from 1 to {LONGEST_MINUTES} (a year), not {minutes:g}.")


def _permitted(target_text: str) -> None:
    """Refuse a tenant whose table does not say that load may be put on it, before anything is sent."""
    tenant = reading.read(target_text.removeprefix(TENANT_PREFIX))
    if not tenant.load:
        raise UsageError(
            f"Load on {target_text} is not permitted: files would be handed in and messages taken by the hundred. "
            f"Where that may be, write load = true into {tenant.where}."
        )
    if isinstance(tenant.clients[AUTHORISED].credential, FromCertificate):
        raise UsageError(
            f"Load on {target_text} takes a client secret: its processes ask for tokens by themselves, and the "
            "certificate's key is handed to none of them."
        )


def _under_way(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(row.get("Status") in UNDER_WAY for row in rows)


def _is_ours(target: Target) -> bool:
    return target.control is not None and target.name.startswith(OURS)


def this_machine() -> str:
    """A name for the stopwatch of this process: processes that have the same can compare its readings."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id",):
        with contextlib.suppress(OSError):
            parts.append(Path(path).read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/time").readlink()))
    if len(parts) == 1:
        parts.append(f"{uuid.getnode():x}")
    return "/".join(parts)
