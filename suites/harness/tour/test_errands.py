"""Every rule that the wire can decide is decided by the errands, whatever the service chose, and within their lines.

The errands are driven by a small driver of their own, which knows no ledger and no patience: against the emulator in
this process, on a clock that moves by what requests take and by what is waited for.
"""

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, Literal
from urllib.parse import urljoin

import httpx
import pytest

from popreceipt.client import wire
from popreceipt.client.recording import observe
from popreceipt.client.session import Session
from popreceipt.client.times import Began, Span
from popreceipt.client.tokens import Issued, Tokens
from popreceipt.client.transport import Transport
from popreceipt.client.wire import Ask, Reply
from popreceipt.clock import ClockKind, ManualClock
from popreceipt.emulator.emulator import Emulator, World
from popreceipt.emulator.profile import DIALECTS
from popreceipt.exceptions import NotAbleTo, NothingProved
from popreceipt.journal import Exchange, Header, Journal
from popreceipt.journal import Target as JournalTarget
from popreceipt.rules import catalogue
from popreceipt.rules.eras import judge_eras
from popreceipt.targets import IN_PROCESS, EmulatorTransport, make_emulator
from popreceipt.tenants.description import Tenant, describe
from popreceipt.tour.errand import Errand, Line, Route, Stopped
from popreceipt.tour.errands import errands
from popreceipt.verdict import RuleVerdict
from popreceipt.vocabulary import ACK, TOKEN

TRIP: Final = timedelta(milliseconds=20)
"""From the caller to the service, or back."""


class Moving:
    """The emulator's clock as somebody far away knows it: every request takes a while."""

    kind: ClockKind = "system"
    rate = 1.0

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def earliest(self) -> datetime:
        """Now."""
        return self.clock.now()

    def latest(self) -> datetime:
        """Now."""
        return self.clock.now()

    def begin(self) -> Began:
        """The request is on its way."""
        now = self.clock.advance(timedelta(milliseconds=1))
        self.clock.advance(TRIP)
        return Began(now, 0.0)

    def end(self, began: Began, date: str | None = None) -> Span:  # noqa: ARG002  the clock itself is known
        """Its answer has come back."""
        return began.earliest, self.clock.advance(TRIP)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(seconds=seconds))

    def wait_until(self, instant: datetime, patience: timedelta | None = None) -> None:  # noqa: ARG002  none is needed
        """Let it be that instant."""
        self.clock.sleep_until(instant)


@dataclass
class Losing(httpx.BaseTransport):
    """A network that loses one request, before its effect or after it."""

    inner: httpx.BaseTransport
    number: int | None = None
    how: str = "after"
    count: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand it over, but for the one."""
        self.count += 1
        if self.count != self.number:
            return self.inner.handle_request(request)
        if self.how == "gateway":
            return httpx.Response(502, headers=[(b"content-type", b"text/html")], content=b"Bad gateway")
        if self.how == "after":
            self.inner.handle_request(request)
        raise httpx.ReadError("connection reset", request=request)


@dataclass
class Ground:
    """An emulator as a tenant, and what its description says."""

    target: str = "emulator:"
    every: int | None = 2
    members: dict[str, Any] = field(default_factory=dict)
    exclusive: bool = True
    roles: tuple[str, ...] = (
        "import-file",
        "import-in-order",
        "import-package",
        "import-disabled",
        "export-package",
        "export-file",
        "export-no-zero",
    )
    exports_for: timedelta | None = timedelta(hours=2)
    person: Callable[["Ground"], bool] | None = None
    lost: int | None = None
    how: str = "after"

    def __post_init__(self) -> None:
        world = World(timedelta(minutes=self.every), 2) if self.every is not None else World()
        self.clock = ManualClock()
        self.emulator = make_emulator(self.target, 1, clock=self.clock, world=world)
        ids = {str(each["name"]): str(each["id"]) for each in self.emulator.world()["activities"]}
        jobs: dict[str, Any] = {}
        for role in self.roles:
            told: dict[str, Any] = {"id": ids[role], "exclusive": self.exclusive}
            minutes = 5 if role.startswith("import") else self.every
            jobs[role] = told | ({"processing_recurrence_minutes": minutes} if minutes is not None else {})
        described = self.emulator.identity.describe()
        clients: Any = described["clients"]
        table: dict[str, Any] = {
            "base_url": IN_PROCESS,
            "token_url": described["token_url"],
            "token_url_v1": described["token_url_v1"],
            "client_id": clients["authorised"]["client_id"],
            "client_secret_env": "SECRET",
            "clients": {
                role: {"client_id": clients[role]["client_id"], "client_secret_env": "SECRET"}
                for role in ("unlisted", "unmapped")
            },
            "activities": jobs,
        }
        self.tenant: Tenant = describe("t", table | self.members, Path("popreceipt.toml"))
        self.times = Moving(self.clock)
        header = Header(target=JournalTarget("tenant:t", clock="system"), seed=1, clock="system", rate=1.0)
        self.journal = Journal(header)
        self.network = Losing(EmulatorTransport(self.emulator), self.lost, self.how)
        self.session = Session(IN_PROCESS, self.times, self.journal, transport=Transport(self.network))
        self.tokens = Tokens(self.session, described)
        for each in self.tenant.activities.values():
            settings = {name: value for name, value in each.settings.items() if name != "id"}
            told = {"activity": each.id, "created": False, "settings": settings}
            observe(self.journal, "activity", self.clock.now(), self.clock.now(), told)
        self.sent: Counter[str] = Counter()
        self.stopped: dict[str, str] = {}

    def verdicts(self) -> dict[str, RuleVerdict]:
        """What the rules say of the journal."""
        return {each.id: each for each in judge_eras(self.journal.header, self.journal.entries, catalogue())}

    def drive(self, chosen: Iterable[Errand], until: timedelta | None = None) -> None:
        """Run errands, one request at a time, the one that is due first; leave those that wait beyond `until`."""
        began = self.clock.now()
        waiting: list[tuple[datetime, int]] = []
        routes: list[tuple[Errand, Call, Route]] = []
        for place, errand in enumerate(chosen):
            call = Call(self, errand)
            routes.append((errand, call, errand.run(call)))
            waiting.append((began, place))
        heapq.heapify(waiting)
        while waiting:
            due, place = heapq.heappop(waiting)
            if until is not None and due > began + until:
                continue
            if self.exports_for is not None and due > began + self.exports_for:
                self._end_the_exports()
            self.clock.sleep_until(due)
            errand, call, route = routes[place]
            call.moment = max(call.moment, due)
            try:
                wish = next(route)
            except StopIteration:
                continue
            except (Stopped, NotAbleTo) as why:
                self.stopped[errand.name] = str(why)
                continue
            heapq.heappush(waiting, (wish.instant, place))


    def _end_the_exports(self) -> None:
        """From now on the jobs have no recurrence: a week of exports that nobody looks at would only take time."""
        self.exports_for = None
        self.clock.sleep_until(self.clock.now())
        for each in self.emulator.store.activities():
            if each.direction == "export":
                self.emulator.change_activity(each, processing_recurrence_minutes=None)


class Call:
    """What an errand may do, done at once."""

    def __init__(self, ground: Ground, errand: Errand) -> None:
        self.ground = ground
        self.random = Random(errand.name)  # noqa: S311  contents of test files
        self.margin = timedelta(seconds=1.1)
        self.moment = ground.clock.now()
        self._lines: dict[str, Line] = {each.id.partition("/")[2]: each for each in errand.lines}

    def activity(self, role: str) -> str:
        """The activity ID of a role."""
        return self.ground.tenant.activities[role].id

    def settings(self, role: str) -> dict[str, object]:
        """What the description says of it."""
        return dict(self.ground.tenant.activities[role].settings)

    def exclusive(self, role: str) -> bool:
        """Whether nobody else uses it."""
        return self.ground.tenant.is_exclusive(role)

    def _under(self, line: str, operation: str, length: int = 0) -> None:
        found = self._lines[line]
        assert found.operation == operation, f"{found.id} is for {found.operation}, not {operation}"
        assert length <= found.bytes_each, f"{found.id} carries {length} bytes"
        self.ground.sent[found.id] += 1
        if self.ground.sent[found.id] > found.most:
            raise Stopped(f"{found.id} was to send {found.most} requests at most")

    def send(
        self,
        line: str,
        ask: Ask,
        *,
        actor: str = "authorised",
        token: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        chunked: bool = False,
    ) -> Reply:
        """Send, and wait where a server asks for it."""
        own = token if token is not None or actor == "anonymous" else self.token(actor)
        while True:
            operation = ask.operation or wire.vocabulary.operation_of(ask.path)[0]
            self._under(line, operation, len(ask.body))
            reply = self.ground.session.send(ask, actor=actor, token=own, headers=headers, chunked=chunked)
            self.moment = reply.exchange.answered
            if reply.status != 429:
                return reply
            self.moment += wire.retry_after(reply) or timedelta(seconds=5)
            self.ground.clock.sleep_until(self.moment)

    def follow(self, line: str, reply: Reply, *, actor: str = "authorised") -> Reply:
        """Where a redirect leads: on another host, without a token."""
        location = reply.header("location")
        if reply.status not in (301, 302, 303, 307, 308) or location is None:
            return reply
        url = urljoin(reply.exchange.request.url, location)
        self._under(line, "download")
        origin = url.partition("/_blobs")[0]
        followed = self.ground.session.elsewhere(origin).send(wire.download(url), actor=actor)
        self.moment = followed.exchange.answered
        return followed

    def obtain(
        self,
        line: str,
        *,
        role: str = "authorised",
        version: Literal[1, 2] = 2,
        resource: str | None = None,
        secret: str | None = None,
        actor: str | None = None,
    ) -> Issued:
        """A token of one's own."""
        self._under(line, TOKEN)
        found = self.ground.tokens.obtain(role, version=version, resource=resource, secret=secret, actor=actor)
        self.moment = found.reply.exchange.answered
        return found

    def token(self, actor: str = "authorised") -> str:
        """The current token; asked for twice where the first answer was lost."""
        try:
            return self.ground.tokens.current(actor)
        except NothingProved:
            return self.ground.tokens.current(actor)

    def assist(self, step: str, done: str) -> bool:  # noqa: ARG002  what is done is seen
        """Ask the person, where one is there."""
        return self.ground.person is not None and self.ground.person(self.ground)
