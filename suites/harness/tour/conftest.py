"""A ground for tours without a network: an emulator in this process, known by its wire alone, clocks handed in.

The process that drives it may die and another take its place: the emulator and its time live on.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from popreceipt.client.recording import observe
from popreceipt.client.session import Session
from popreceipt.client.times import ManualTimes, Reading, SteadyTimes, SystemTimes, TargetClock
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import Transport
from popreceipt.clock import EPOCH, ManualClock
from popreceipt.emulator.emulator import Emulator, World
from popreceipt.emulator.profile import Profile
from popreceipt.journal import Header, Journal
from popreceipt.journal import Target as JournalTarget
from popreceipt.targets import IN_PROCESS, EmulatorTransport, Target
from popreceipt.tenants.description import Tenant, describe
from popreceipt.tenants.guard import TenantGuard
from popreceipt.tour.errand import Call, Errand, Line, Route
from popreceipt.tour.tour import Toured, drive
from popreceipt.tour.waiting import Here, Patience

DAY = 86_400.0

CLIENTS = ("unlisted", "unmapped")


class Network(httpx.BaseTransport):
    """The way to an emulator, on which something may happen before a request arrives, or after it was answered."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.inner = EmulatorTransport(emulator)
        self.before: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
        self.after: Callable[[httpx.Request], None] = lambda _: None
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand over, unless something happens."""
        self.requests += 1
        answer = self.before(request) or self.inner.handle_request(request)
        answer.headers["date"] = format_datetime(self.emulator.clock.now(), usegmt=True)
        self.after(request)
        return answer


@dataclass
class Ground:
    """An emulator as a tenant.

    Args:
        folder: for what tours leave.
        running: its clock runs as the computer's does (in made-up seconds), instead of being moved at once.
        members: further members of the tenant's table.
    """

    folder: Path
    running: bool = False
    members: Mapping[str, Any] = field(default_factory=dict)
    every: timedelta | None = timedelta(hours=3)

    def __post_init__(self) -> None:
        self.emulator = Emulator(ManualClock(), Profile(), control=False, world=World(export_every=self.every))
        self.network = Network(self.emulator)
        self.seconds = 0.0
        """Real seconds, as this ground makes them up."""
        self.set_by = timedelta(0)
        """By how much somebody has set the time of day of this computer."""
        self.doubt = timedelta(0)
        """How far this computer's reading of the target's clock may be off."""
        self.skew = timedelta(0)
        """How far it is off."""
        self.began = self.emulator.clock.now()
        self.opened = 0
        self.slept: list[float] = []
        self.targets: list[Target] = []

    def again(self) -> "Ground":
        """Another one like it, as if nothing had happened yet."""
        Ground.made += 1
        folder = self.folder.with_name(f"run-{Ground.made}")
        return Ground(folder, running=self.running, members=self.members, every=self.every)

    made = 0

    @property
    def here(self) -> Here:
        """This computer's clocks."""
        return Here(lambda: EPOCH + timedelta(days=400, seconds=self.seconds) + self.set_by, lambda: self.seconds)

    @property
    def tenant(self) -> Tenant:
        """The description."""
        world = self.emulator.world()
        clients = {role: {"client_id": f"{role}-id", "client_secret_env": "UNUSED"} for role in CLIENTS}
        told = {
            "base_url": IN_PROCESS,
            "token_url": world["identity"]["token_url"],
            "token_url_v1": world["identity"]["token_url_v1"],
            "client_id": "authorised-id",
            "client_secret_env": "UNUSED",
            "clients": clients,
            "activities": {
                each["name"]: {"id": each["id"], "exclusive": True, "processing_recurrence_minutes": 5}
                for each in world["activities"]
            },
        }
        return describe("qa", {**told, **self.members}, Path("popreceipt.toml"))

    @contextmanager
    def open(self, seed: int = 0) -> Iterator[Target]:
        """Open it as another process would."""
        self.opened += 1
        tenant = self.tenant
        times = self._times()
        guard = TenantGuard(tenant, times)
        journal = Journal(
            Header(
                target=JournalTarget(name="tenant:qa", clock=times.kind), seed=seed, clock=times.kind, rate=times.rate
            )
        )
        session = Session(IN_PROCESS, times, journal, transport=Transport(self.network), guard=guard)
        for role, each in tenant.activities.items():
            told = {"activity": each.id, "created": False, "settings": {**each.settings, "name": role}}
            observe(journal, "activity", times.earliest(), times.latest(), told)
        identity = self.emulator.world()["identity"]
        target = Target(
            name="tenant:qa",
            build="",
            abilities=frozenset(),
            times=times,
            session=session,
            tokens=Tokens(session, identity),
            journal=journal,
            activities={role: each.settings for role, each in tenant.activities.items()},
            tenant=tenant,
            guard=guard,
            identity=identity,
        )
        self.targets.append(target)
        yield target

    def sleep(self, seconds: float) -> None:
        """Let real time pass."""
        self.slept.append(seconds)
        self.seconds += seconds
        self.emulator.advance(timedelta(seconds=seconds))

    def advance(self, **period: float) -> None:
        """Let time pass while no tour is under way."""
        step = timedelta(**period)
        self.seconds += step.total_seconds()
        self.emulator.advance(step)

    def drive(self, *errands: Errand, patience_seconds: float = 9 * DAY, **options: Any) -> Toured:
        """Tour it, into the folder unless told otherwise."""
        given = {"out": self.folder, "patience": Patience(patience_seconds, self.here), **options}
        return drive(self.tenant, errands, self.open, **given)

    @staticmethod
    def errand(name: str, run: Callable[[Call], Route], *lines: Line, **options: Any) -> Errand:
        """An errand of a test."""
        given = {"text": f"See to {name}.", "shows": (), "takes": timedelta(hours=2), **options}
        return Errand(name=name, lines=lines, run=run, **given)

    @staticmethod
    def line(errand: str, operation: str, role: str | None = None, most: int = 20, **options: Any) -> Line:
        """A line of an errand, named by its operation."""
        given = {"id": f"{errand}/{operation}", "effect": "nothing", "text": "for a test", **options}
        return Line(operation=operation, role=role, most=most, **given)

    def _times(self) -> TargetClock:
        now = self.emulator.clock.now()
        if not self.running:
            return ManualTimes(now, self._move)
        reading = Reading(self.seconds, self.seconds, now + self.skew - self.doubt, 2 * self.doubt)
        running = SystemTimes(reading, real=lambda: self.seconds, sleep=lambda seconds: self.sleep(seconds))
        return SteadyTimes(running, real=lambda: self.seconds)

    def _move(self, seconds: float) -> datetime:
        self.seconds += seconds
        return self.emulator.advance(timedelta(seconds=seconds))


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A ground whose clock is moved at once."""
    return Ground(tmp_path / "run")


@pytest.fixture
def running_ground(tmp_path: Path) -> Ground:
    """A ground whose clock runs, in made-up seconds."""
    return Ground(tmp_path / "run", running=True)
