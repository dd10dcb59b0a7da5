"""One string, one target: the emulator in this process, a server with a control plane, a tenant known by its wire."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx

from popreceipt.client.control import Control
from popreceipt.client.recording import observe
from popreceipt.client.session import Session, split_base
from popreceipt.client.tape import Done, Tapes, Told
from popreceipt.client.times import DateTimes, SteadyTimes, TargetClock
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import REFUSED, TIMEOUT, Transport
from popreceipt.client.wire import Ask
from popreceipt.clock import ManualClock, stopwatch_through_sleep
from popreceipt.exceptions import NotAbleTo, NothingProved, UsageError
from popreceipt.journal import Entry, Exchange, Header, Journal, Observation
from popreceipt.journal import Target as JournalTarget
from popreceipt.tenants import production, reading, secrets
from popreceipt.tenants.description import ROLES as ROLES  # what is known of a role is asked for here as well
from popreceipt.tenants.description import Tenant
from popreceipt.tenants.guard import TenantGuard, guard_of
from popreceipt.tenants.reading import configuration as configuration  # as above
from popreceipt.vocabulary import TOKEN

if TYPE_CHECKING:
    from popreceipt.emulator.emulator import Emulator

JOURNAL_PREFIX = "journal:"
EMULATOR_PREFIX = "emulator:"
TENANT_PREFIX = "tenant:"

IN_PROCESS = "http://emulator"
"""The base URL of the emulator in this process: a name that is never looked up."""

ADVANCE_TIME = "advance-time"

PATIENCE_SECONDS = 120.0
"""The longest real wait for a clock that runs, unless told otherwise."""

LONGEST_PATIENCE_SECONDS = 366 * 86_400.0


@dataclass
class Target:
    """Whom scenarios drive: how to speak to it, what it is able to do, and the journal of what was said."""

    name: str
    build: str
    abilities: frozenset[str]
    times: TargetClock
    session: Session
    tokens: Tokens
    journal: Journal
    activities: dict[str, Mapping[str, Any]]
    control: Control | None = None
    emulator: "Emulator | None" = None
    """The emulator itself where it runs in this process: for tests of it, never for scenarios."""
    restart: Callable[[], None] | None = None
    """Lets the target die and come back with what it had stored; None where nobody here is able to do that."""
    permits_fuzzing: bool = True
    """Whether made-up requests may be sent: to a tenant only where its table says so."""
    permits_load: bool = True
    """Whether load may be put on it: on a tenant only where its table says so."""
    tenant: Tenant | None = None
    """How a real environment is described; None for every other target."""
    guard: TenantGuard | None = None
    """What each request to a real environment passes; None for every other target."""
    identity: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Token endpoints and clients with their secrets, as the control plane or the configuration tells them."""
    _told: list[Entry] = field(default_factory=list)
    _scanned: int = 0

    def can(self, ability: str) -> bool:
        """Whether the target is able to do this."""
        return ability in self.abilities

    def control_for(self, ability: str) -> Control:
        """The control plane, for a call that takes this ability.

        Raises:
            NotAbleTo: the target lacks it.
        """
        if self.control is None or ability not in self.abilities:
            raise NotAbleTo(self.name, ability, "an emulator target")
        return self.control

    def create(self, **settings: Any) -> Mapping[str, Any]:
        """Make a fresh recurring data job in a data project of its own."""
        return self.control_for("create-activity").create(**settings)

    def activity(self, name: str) -> Mapping[str, Any]:
        """A recurring data job of the target's first world, by name.

        Raises:
            NotAbleTo: there is none of this name.
        """
        if name not in self.activities:
            raise NotAbleTo(self.name, f"activity {name}", "naming such an activity in the target's configuration")
        return self.activities[name]

    def advance(self, step: timedelta) -> None:
        """Let the target's time pass: by moving its clock, or by waiting for it."""
        self.times.advance(step.total_seconds())

    def journal_mark(self) -> int:
        """Where the journal is now, to be handed to `entries_since`."""
        return len(self.journal.entries)

    def entries_since(self, mark: int) -> list[Entry]:
        """What was written after a mark, with what must be known to judge it: settings and tokens told earlier.

        Where scenarios share activities (no `create-activity`) the story of one message may have begun in another
        scenario, so everything so far is given.
        """
        entries = self.journal.entries
        if "create-activity" not in self.abilities:
            return list(entries)
        if mark < self._scanned:
            self._told, self._scanned = [], 0
        # Each entry is looked at once, however often the journal is cut: a long run asks after each of its examples.
        for each in entries[self._scanned : mark]:
            if isinstance(each, Observation) and each.observation == "reset":
                # Whatever was told of jobs is told anew by the world that is asked for next.
                self._told = [told for told in self._told if not _is_of_a_job(told)]
            elif _is_told_once(each):
                self._told.append(each)
        self._scanned = mark
        return self._told + entries[mark:]

    def taping(self) -> AbstractContextManager[list[Done]]:
        """What is done to the target while a block lasts, so that it can be done again."""
        return self.session.tapes.record()


def _is_told_once(entry: Entry) -> bool:
    if isinstance(entry, Exchange):
        return entry.operation == TOKEN
    if not isinstance(entry, Observation):
        return False
    return entry.observation == "entities" or (entry.observation == "activity" and not entry.facts.get("created"))


def _is_of_a_job(entry: Entry) -> bool:
    return isinstance(entry, Observation) and entry.observation == "activity"


@contextmanager
def open_target(
    text: str,
    *,
    seed: int = 0,
    ca: Path | None = None,
    control_key: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    journal_file: IO[bytes] | None = None,
) -> Iterator[Target]:
    """Open the target that a string names, and close it in the end.

    Args:
        text: `emulator:`, `emulator:MUTANT`, `emulator:dialect=NAME`, `emulator:profile=FILE`, `http://…`, `https://…`
            or `tenant:NAME`.
        seed: of the emulator's chance, and noted in the journal.
        ca: a file with the certificate authority of a TLS target.
        control_key: for a control plane off loopback.
        patience_seconds: the longest real wait for a clock that cannot be moved.
        journal_file: takes the journal as it grows.

    Raises:
        UsageError: no such target.
        NothingProved: the target cannot be reached or does not offer what is needed.
    """
    if not 0 <= patience_seconds <= LONGEST_PATIENCE_SECONDS:
        raise UsageError(
            f"The patience is 0 to {LONGEST_PATIENCE_SECONDS:.0f} seconds (a year), not {patience_seconds}."
        )
    if ca is not None and text.startswith((EMULATOR_PREFIX, "http://")):
        raise UsageError(f"{text} speaks no TLS: leave out the certificate authority {ca}.")
    if text.startswith(EMULATOR_PREFIX):
        opened = _emulator(text, seed, journal_file)
    elif text.startswith(("http://", "https://")):
        opened = _server(text, seed, ca, control_key, timedelta(seconds=patience_seconds), journal_file)
    elif text.startswith(TENANT_PREFIX):
        opened = _tenant(text.removeprefix(TENANT_PREFIX), seed, ca, timedelta(seconds=patience_seconds), journal_file)
    else:
        raise UsageError(
            f"Unknown target {text!r}: it is emulator:, emulator:MUTANT, emulator:dialect=NAME, http://HOST:PORT, "
            "https://HOST:PORT, tenant:NAME or journal:FILE."
        )
    try:
        yield opened
    finally:
        opened.session.close()


class EmulatorTransport(httpx.BaseTransport):
    """Carries requests to an emulator in this process: no socket, no event loop, the same answers.

    A planned fault surfaces as what httpx raises for it over a socket, at once: nothing waits in real time.
    """

    def __init__(self, emulator: "Emulator") -> None:
        self.emulator = emulator

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand a request over and bring back the answer."""
        from popreceipt.emulator.http import Request

        target = request.extensions.get("target") or request.url.raw_path
        path, _, query = target.decode("ascii").partition("?")
        answer = self.emulator.handle(
            Request(
                method=request.method,
                path=path,
                query=query,
                headers=tuple(
                    (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw
                ),
                body=request.read(),
                scheme=request.url.scheme,
                host=request.url.netloc.decode("ascii"),
            )
        )
        broken = answer.interruption
        if broken is not None and broken.resume is not None:
            answer = broken.resume(False)
            broken = answer.interruption
        if broken is not None and broken.kind == "reset":
            raise httpx.ReadError("connection reset, as planned", request=request)
        if broken is not None and broken.kind == "timeout":
            raise httpx.ReadTimeout("timed out, as planned", request=request)
        cut = broken.after_bytes if broken is not None and broken.kind == "truncated" else None
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        stream = httpx.ByteStream(answer.body) if cut is None else _Truncated(answer.body, cut)
        return httpx.Response(answer.status, headers=headers, stream=stream)


class _Truncated(httpx.SyncByteStream):
    """A body that ends too early."""

    def __init__(self, body: bytes, kept: int) -> None:
        self._body = body
        self._kept = kept

    def __iter__(self) -> Iterator[bytes]:
        yield self._body[: self._kept]
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body "
            f"(received {self._kept} bytes, expected {len(self._body)})"
        )


def make_emulator(text: str, seed: int, **options: Any) -> "Emulator":
    """The emulator that a target string names, on a manual clock; further options are those of `Emulator`.

    Raises:
        UsageError: no mutant or dialect is called so.
    """
    from popreceipt.emulator.emulator import Emulator
    from popreceipt.emulator.profile import Profile, dialect, load_profile

    named = text.removeprefix(EMULATOR_PREFIX)
    clock = options.pop("clock", None) or ManualClock()
    options = {"seed": seed, "base_url": IN_PROCESS, **options}
    if named.startswith("dialect="):
        return Emulator(clock, dialect(named.removeprefix("dialect=")), **options)
    if named.startswith("profile="):
        return Emulator(clock, load_profile(named.removeprefix("profile=")), **options)
    if named:
        from popreceipt.emulator.mutants import build

        return build(named, clock, Profile(), **options)
    return Emulator(clock, Profile(), **options)


def _emulator(text: str, seed: int, journal_file: IO[bytes] | None) -> Target:
    carrier = EmulatorTransport(make_emulator(text, seed))
    opened = _controlled(text, IN_PROCESS, seed, Transport(carrier), None, timedelta(0), journal_file)
    opened.emulator = carrier.emulator

    def restart() -> None:
        carrier.emulator = opened.emulator = _revived(text, seed, carrier.emulator)
        opened.session.tapes.add(Told("POST", "/restart", None, None))

    opened.restart = restart
    return opened


def _revived(text: str, seed: int, dead: "Emulator") -> "Emulator":
    """Another emulator over what a first one had stored, at the same time of day."""
    from popreceipt.emulator.mutants.parts import StoreAround

    store = dead.store
    while isinstance(store, StoreAround):
        store = store.store  # A mutant puts its own store around it again.
    return make_emulator(text, seed, clock=dead.clock, store=store, journal=dead.journal)


def _server(
    url: str,
    seed: int,
    ca: Path | None,
    control_key: str | None,
    patience: timedelta,
    journal_file: IO[bytes] | None,
) -> Target:
    split_base(url)
    transport = Transport(None, ca)
    return _controlled(url, url, seed, transport, control_key, patience, journal_file)


def _controlled(
    text: str,
    url: str,
    seed: int,
    transport: Transport,
    control_key: str | None,
    patience: timedelta,
    journal_file: IO[bytes] | None,
) -> Target:
    journal = Journal(file=journal_file)
    tapes = Tapes()
    control = Control(url, transport=transport, key=control_key, journal=journal, patience=patience, tapes=tapes)
    times = control.times
    error = 0.0
    if times.kind != "manual":
        times = SteadyTimes(times)
        error = times.error.total_seconds()
        control = Control(
            url, transport=transport, key=control_key, times=times, journal=journal, patience=patience, tapes=tapes
        )
    # The header goes into the file with the first entry, so the world is asked for before anything is written.
    asked = Control(url, transport=transport, key=control_key, times=times, patience=patience).world()
    abilities = set(asked.abilities)
    if times.kind == "scaled":
        abilities.add(ADVANCE_TIME)  # by waiting, as far as patience goes
    abilities |= _identities(asked.identity)
    name = asked.name if text == url and asked.name and asked.name != url else text
    journal.header = Header(
        target=JournalTarget(name=text, build=asked.build, clock=times.kind, abilities=tuple(sorted(abilities))),
        seed=seed,
        clock=times.kind,
        rate=times.rate,
        clock_error_seconds=error,
    )
    world = control.world()
    session = Session(url, times, journal, transport=transport, tapes=tapes)
    identity = dict(world.identity)
    return Target(
        name=text if name == text else f"{name} at {text}",
        build=world.build,
        abilities=frozenset(abilities),
        times=times,
        session=session,
        tokens=Tokens(session, identity),
        journal=journal,
        activities={str(each.get("name")): each for each in world.activities},
        control=control,
        identity=identity,
    )


def _identities(identity: Mapping[str, Any]) -> set[str]:
    """Which identities beside the authorised client a target hands out, as abilities."""
    clients = identity.get("clients")
    found = {f"{role}-client" for role in ("unlisted", "unmapped") if isinstance(clients, Mapping) and role in clients}
    return found | ({"user"} if identity.get("user") else set())


# Tenants


def _tenant(name: str, seed: int, ca: Path | None, patience: timedelta, journal_file: IO[bytes] | None) -> Target:
    tenant = reading.read(name)
    production.check(tenant)
    found = secrets.credentials(tenant)
    # Nothing is sent before the description is known to be in order.
    guard = guard_of(tenant)
    transport = Transport(None, ca or tenant.ca)
    # A tour waits for hours, and a laptop may sleep meanwhile.
    real = stopwatch_through_sleep
    dates = DateTimes(tenant.rate, target=f"tenant:{name}", patience=patience, real=real)
    guard.times = dates
    times = SteadyTimes(_dated(tenant.base_url, dates, transport, guard), real=real)
    guard.times = times
    identity = _identity(tenant, found)
    abilities = {ADVANCE_TIME} if tenant.rate > 1 else set()
    abilities |= _identities(identity)
    journal = Journal(
        Header(
            target=JournalTarget(name=f"tenant:{name}", clock=times.kind, abilities=tuple(sorted(abilities))),
            seed=seed,
            clock=times.kind,
            rate=tenant.rate,
            clock_error_seconds=times.error.total_seconds(),
        ),
        journal_file,
    )
    session = Session(tenant.base_url, times, journal, transport=transport, guard=guard)
    activities = {role: each.settings for role, each in tenant.activities.items()}
    for job in activities.values():
        described = {member: value for member, value in job.items() if member != "id"}
        told: dict[str, Any] = {"activity": job["id"], "created": False, "settings": described}
        observe(journal, "activity", times.earliest(), times.latest(), told)
    return Target(
        name=f"tenant:{name}",
        build="",
        abilities=frozenset(abilities),
        times=times,
        session=session,
        tokens=_tokens(tenant, session, identity, found),
        journal=journal,
        activities=dict(activities),
        permits_fuzzing=tenant.fuzz,
        permits_load=tenant.load,
        tenant=tenant,
        guard=guard,
        identity=identity,
    )


def _dated(base_url: str, times: DateTimes, transport: Transport, guard: TenantGuard) -> DateTimes:
    """The clock, set by the Date headers of a few harmless requests before anything is judged by it."""
    session = Session(base_url, times, Journal(), transport=transport, guard=guard)
    lost = 0
    for place in range(DATES_TAKEN):
        reply = session.send(Ask("GET", "/"))
        if reply.failure is None:
            continue
        if transport.untrusted is not None:
            raise NothingProved(
                f"{base_url} shows a certificate that is not trusted ({transport.untrusted}). Nothing was sent. "
                "The authority of a server of one's own is named by ca, or by --ca."
            )
        lost += 1
        nobody_there = lost > place and reply.failure in (REFUSED, TIMEOUT)
        if nobody_there or lost > DATES_LOST:
            raise NothingProved(f"{base_url} cannot be reached ({reply.failure}).")
    return times


DATES_TAKEN = 8
"""How many answers set the clock of a target that has no control plane."""

DATES_LOST = 2
"""So many of them may be lost: connections are, now and then."""


def _identity(tenant: Tenant, found: Mapping[str, secrets.Found]) -> Mapping[str, Any]:
    clients: dict[str, dict[str, str]] = {}
    for role, client in tenant.clients.items():
        clients[role] = {"client_id": client.client_id}
        credential = found[role]
        if isinstance(credential, secrets.Secret):
            clients[role]["client_secret"] = credential.text
    return {
        "token_url": tenant.token_url,
        "token_url_v1": tenant.token_url_v1,
        "resource": tenant.resource,
        "tenant": tenant.tenant,
        "clients": clients,
    }


def _tokens(
    tenant: Tenant, session: Session, identity: Mapping[str, Any], found: Mapping[str, secrets.Found]
) -> Tokens:
    if tenant.authority is None:
        return Tokens(session, identity)
    from popreceipt.client.msal_tokens import KeyPair, MsalTokens

    key_pairs = {role: each for role, each in found.items() if isinstance(each, KeyPair)}
    return MsalTokens(session, identity, f"{tenant.authority}/{tenant.tenant}", key_pairs)
