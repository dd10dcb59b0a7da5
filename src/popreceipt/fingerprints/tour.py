"""The emulator in this process as a tenant: known by its wire alone, toured as a real one is, while no time passes.

Its exports come at their own recurrence, its clock is moved when the tour waits. What a tour does there it does to a
real environment as well; how that is described is taken over, as far as an emulator can be like it.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from popreceipt.client.recording import observe
from popreceipt.client.session import Session
from popreceipt.client.times import ManualTimes
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import Transport
from popreceipt.clock import EPOCH, ManualClock
from popreceipt.emulator.emulator import Emulator, World
from popreceipt.emulator.mutants import build
from popreceipt.emulator.profile import Profile
from popreceipt.journal import Header, Journal
from popreceipt.journal import Target as JournalTarget
from popreceipt.rules.rule import Rule
from popreceipt.targets import (
    ADVANCE_TIME,
    IN_PROCESS,
    LONGEST_PATIENCE_SECONDS,
    TENANT_PREFIX,
    EmulatorTransport,
    Target,
)
from popreceipt.tenants.description import FURTHER_CLIENTS, ROLES, Tenant, describe
from popreceipt.tenants.guard import TenantGuard
from popreceipt.tour.errands import errands
from popreceipt.tour.tour import Toured, drive
from popreceipt.tour.waiting import Patience

NAME: Final = "emulator"

EVERY: Final = timedelta(minutes=5)
"""How often its exports run."""


BEGAN: Final = EPOCH + timedelta(hours=9, minutes=30)
"""When it begins: in the midst of a day, as tours do."""


@dataclass(frozen=True, slots=True)
class Described:
    """How a tenant was described, as far as its journal tells.

    Args:
        settings: of its activities, by role.
        clients: roles of further clients.
        read_only: nothing but questions was allowed.
    """

    settings: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {role: {"exclusive": True} for role in ROLES}
    )
    clients: Collection[str] = FURTHER_CLIENTS
    read_only: bool = False


@dataclass
class AsTenant:
    """The emulator as a tenant.

    Args:
        profile: its answers to the open points.
        described: how it is described.
        seed: its identifiers follow from it, and everything that a tour makes up.
        mutant: its defect; None for a right one.
        every: how often its exports run.
        exports_for: for how long they do; None for as long as it lives.
        jobs: settings of its recurring data jobs that are otherwise than usual, by role.
    """

    profile: Profile
    described: Described = field(default_factory=Described)
    seed: int = 0
    mutant: str | None = None
    every: timedelta = EVERY
    exports_for: timedelta | None = None
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal, init=False)
    """What crossed the wire in the tour that is under way, or was the last."""
    tenant: Tenant = field(init=False)
    """Its description."""

    def __post_init__(self) -> None:
        options: dict[str, Any] = {"control": False, "seed": self.seed, "base_url": IN_PROCESS}
        options["world"] = World(export_every=self.every)
        clock = ManualClock(BEGAN)
        if self.mutant is None:
            self.emulator = Emulator(clock, self.profile, **options)
        else:
            self.emulator = build(self.mutant, clock, self.profile, **options)

        for each in self.emulator.store.activities():
            if each.name in self.jobs:
                self.emulator.change_activity(each, **self.jobs[each.name])
        # Told once, as a file is: what its jobs become later is not described anew.
        self.tenant = self._tenant()

    def _tenant(self) -> Tenant:
        world = self.emulator.world()
        identity = world["identity"]
        table = {
            "base_url": IN_PROCESS,
            "token_url": identity["token_url"],
            "token_url_v1": identity["token_url_v1"],
            "client_id": identity["clients"]["authorised"]["client_id"],
            "client_secret_env": "NONE",  # it is in this process, and nobody looks there
            "clients": {
                role: {"client_id": identity["clients"][role]["client_id"], "client_secret_env": "NONE"}
                for role in self.described.clients
            },
            "activities": {
                each["name"]: self._described(each)
                for each in world["activities"]
                if each["name"] in self.described.settings
            },
            "read_only": self.described.read_only,
            "hosts": ["localhost"],  # where its downloads lie when they redirect
        }
        return describe(NAME, table, Path("popreceipt.toml"))

    def _described(self, job: Mapping[str, Any]) -> dict[str, Any]:
        told = self.described.settings[job["name"]]
        minutes = job["processing_recurrence_minutes"]
        usual = {"id": job["id"], "exclusive": told.get("exclusive") is True, "processing_recurrence_minutes": minutes}
        return {**usual, **self.jobs.get(job["name"], {})}

    @contextmanager
    def open(self, seed: int) -> Iterator[Target]:
        """It as a target, for a tour with this seed."""
        tenant = self.tenant
        times = ManualTimes(self.emulator.clock.now(), self.moved)
        guard = TenantGuard(tenant, times)
        abilities = frozenset({ADVANCE_TIME, *(f"{role}-client" for role in self.described.clients)})
        name = f"{TENANT_PREFIX}{NAME}"
        told = JournalTarget(name=name, clock=times.kind, abilities=tuple(sorted(abilities)))
        journal = Journal(Header(target=told, seed=seed, clock=times.kind, rate=times.rate))
        self.journal = journal
        session = Session(IN_PROCESS, times, journal, transport=Transport(self.carrier()), guard=guard)
        for each in tenant.activities.values():
            settings = {member: value for member, value in each.settings.items() if member != "id"}
            facts: dict[str, Any] = {"activity": each.id, "created": False, "settings": settings}
            observe(journal, "activity", times.earliest(), times.latest(), facts)
        identity = self.emulator.world()["identity"]
        try:
            yield Target(
                name=name,
                build="",
                abilities=abilities,
                times=times,
                session=session,
                tokens=Tokens(session, identity),
                journal=journal,
                activities={role: each.settings for role, each in tenant.activities.items()},
                tenant=tenant,
                guard=guard,
                identity=identity,
            )
        finally:
            session.close()

    def carrier(self) -> httpx.BaseTransport:
        """What carries requests to it."""
        return EmulatorTransport(self.emulator)

    def moved(self, seconds: float) -> datetime:
        """Let so many seconds pass there; what time it is then."""
        step = timedelta(seconds=seconds)
        if self.exports_for is not None and self.emulator.clock.now() + step > BEGAN + self.exports_for:
            self.exports_for = None
            for each in self.emulator.store.activities():
                if each.direction == "export":
                    self.emulator.change_activity(each, processing_recurrence_minutes=None)
        self.emulator.advance(step)
        return self.emulator.clock.now()

    def toured(self, rules: Collection[Rule] | None = None, out: Path | None = None, *, resume: bool = False) -> Toured:
        """Tour it.

        Args:
            rules: show only these.
            out: the folder for what the tour leaves.
            resume: go on with the tour in that folder.

        Raises:
            NothingProved: nothing can be shown.
        """
        return drive(
            self.tenant,
            errands(self.tenant),
            self.open,
            seed=self.seed,
            rules=None if rules is None else tuple(rules),
            patience=Patience(LONGEST_PATIENCE_SECONDS),
            out=out,
            resume=resume,
        )
