"""Every rule that the wire can decide is decided by the errands, whatever the service chose, and within their lines.

The errands are driven by a small driver of their own, which knows no ledger and no patience: against the emulator in
this process, on a clock that moves by what requests take and by what is waited for.
"""

import contextlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable
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
from popreceipt.client.times import Began, ManualTimes, Span
from popreceipt.client.tokens import Issued, Tokens
from popreceipt.client.transport import Transport
from popreceipt.client.wire import Ask, Reply
from popreceipt.clock import EPOCH, ClockKind, ManualClock
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.emulator import World
from popreceipt.emulator.profile import DIALECTS, Profile
from popreceipt.emulator.store import Query
from popreceipt.exceptions import NotAbleTo, NothingProved
from popreceipt.fingerprints.tour import BEGAN, AsTenant
from popreceipt.journal import Exchange, Header, Journal, Observation
from popreceipt.journal import Target as JournalTarget
from popreceipt.rules import catalogue
from popreceipt.rules.eras import judge_eras
from popreceipt.targets import IN_PROCESS, EmulatorTransport, make_emulator
from popreceipt.tenants.description import Tenant, describe
from popreceipt.tour.errand import Errand, Line, Route, Stopped
from popreceipt.tour.errands import errands
from popreceipt.verdict import Outcome, RuleVerdict
from popreceipt.vocabulary import ACK, TOKEN, operation_of

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
    clock: ManualClock
    number: int | None = None
    how: str = "after"
    count: int = 0
    since: datetime | None = None

    def _is_lost(self) -> bool:
        if self.how in ("for good", "for good, refused"):
            return self.count >= (self.number or 0)
        if self.how == "for an hour" and self.count >= (self.number or 0):
            now = self.clock.now()
            self.since = self.since or now
            return now < self.since + timedelta(hours=1)
        return self.count == self.number

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand it over, but for the one."""
        self.count += 1
        away = self.how.startswith("for ") and "/oauth2/" in request.url.path  # the issuer is another server
        if self.number is None or away or not self._is_lost():
            return self.inner.handle_request(request)
        if self.how == "gateway":
            return httpx.Response(502, headers=[(b"content-type", b"text/html")], content=b"Bad gateway")
        if self.how == "for good, refused":
            return httpx.Response(403)
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
    takes_company: bool = False
    packages_in_order: bool = False
    told_recurrence: bool = True
    entity: str | None = None
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
            minutes = minutes if self.told_recurrence else None
            jobs[role] = told | ({"processing_recurrence_minutes": minutes} if minutes is not None else {})
            if self.takes_company and role == "import-file":
                jobs[role]["use_company_from_message"] = True
                self.emulator.change_activity(self._job(ids[role]), use_company_from_message=True)
            if self.packages_in_order and role == "import-package":
                jobs[role]["in_order"] = True
                self.emulator.change_activity(self._job(ids[role]), in_order=True)
            if self.entity is not None:
                jobs[role]["entity"] = self.entity
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
        self.network = Losing(EmulatorTransport(self.emulator), self.clock, self.lost, self.how)
        self.session = Session(IN_PROCESS, self.times, self.journal, transport=Transport(self.network))
        self.tokens = Tokens(self.session, described)
        for each in self.tenant.activities.values():
            settings = {name: value for name, value in each.settings.items() if name != "id"}
            told = {"activity": each.id, "created": False, "settings": settings}
            observe(self.journal, "activity", self.clock.now(), self.clock.now(), told)
        self.sent: Counter[str] = Counter()
        self.stopped: dict[str, str] = {}
        self.shared: list[str] = []

    def _job(self, identifier: str) -> Activity:
        found = self.emulator.store.activity(identifier)
        assert found is not None
        return found

    def verdicts(self) -> dict[str, RuleVerdict]:
        """What the rules say of the journal."""
        return {each.id: each for each in judge_eras(self.journal.header, self.journal.entries, catalogue())}

    def drive(self, chosen: Iterable[Errand], until: timedelta | None = None) -> None:
        """Run errands, one request at a time, the one that is due first; leave those that wait beyond `until`."""
        began = self.clock.now()
        waiting: list[tuple[datetime, int]] = []
        routes: list[tuple[Errand, Call, Route]] = []
        possible = [each for each in chosen if set(each.roles) <= set(self.tenant.activities)]
        for place, errand in enumerate(possible):
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
        self.random = Random(errand.name)
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
            operation = ask.operation or operation_of(ask.path)[0]
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
        for _ in range(2):
            with contextlib.suppress(NothingProved):
                return self.ground.tokens.current(actor)
        raise Stopped("no token is to be had")

    def shared(self, role: str) -> None:
        """Note whose jobs others were seen at."""
        self.ground.shared.append(role)

    def assist(self, step: str, done: str) -> bool:  # noqa: ARG002  what is done is seen
        """Ask the person, where one is there."""
        return self.ground.person is not None and self.ground.person(self.ground)


# What is shown, and what cannot be

LACKING: Final = {
    "messages": ("status.listed-in-manage-messages",),
    "produce": (
        "dequeue.waiting-message-is-offered",
        "dequeue.own-activity-only",
        "status.dequeued-after-dequeue",
        "status.acked-only-when-acknowledged",
        "status.downloaded",
        "zero-records.prevention-uploads-nothing",
        "zero-records.otherwise-uploaded",
        "zero-records.total-records-exported",
        "zero-records.file-uploaded",
        "packages.holds-the-records",
        "packages.holds-every-entity",
        "processing.map-on-export",
        "processing.filter-applied",
        "processing.filter-shared",
        "processing.filter-before-counting",
        # Only a clock that stands still shows the very instant, and there exports are produced.
        "redelivery.at-half-hour",
        "retention.at-seven-days",
    ),
    "change-activity": ("zero-records.setting-can-change",),
    "faults": ("status.failed-after-processing", "status.seventh-spelling"),
    "process": ("status.ninth-spelling",),
    "projects": (
        "execution-errors.lists-bad-records-of-every-entity",
        "execution-errors.details-by-entity",
        "processing.format-as-in-the-project",
        "processing.map-applied",
        "processing.changed-map-counts",
        "processing.values-converted",
        "processing.xslt-applied",
        "processing.xslt-in-sequence",
        "packages.every-entity-lands",
        "packages.levels-in-turn",
    ),
    "records": ("processing.good-records-land", "processing.bad-records-stay-out"),
    "create-activity": (
        "processing.runs-at-the-recurrence",
        "processing.at-the-tick",
        "zero-records.obeyed-at-the-recurrence",
        "batch.recurrence-starts",
        "batch.recurrence-ends",
        "batch.recurrence-pattern",
        "batch.recurrence-occurs",
        "batch.recurs-after-a-failure",
        "batch.overrun",
    ),
    "cleanup": ("cleanup.removes-what-was-asked", "cleanup.spares-the-rest"),
    "batch": (
        "batch.status-vocabulary",
        "batch.status-after-fetch",
        "batch.status-before-fetch",
        "batch.blank-without-history",
        "batch.history-deletion-changes-nothing-else",
    ),
    "parameters": ("batch.requeued-by-the-next-run", "batch.stays-when-skipped", "batch.retry-counted"),
    "monitoring": (
        "batch.samples-at-the-monitoring-recurrence",
        "batch.samples-count-the-queue",
        "batch.monitoring-changes-nothing",
    ),
}
"""The rules that no errand shows, by the ability without which nobody can."""

SHOWN: Final = {
    "wrong-secret": ("authorization.wrong-secret-refused",),
    "token-v1": ("authorization.token-answer",),
    "expired-token": ("authorization.expired-token-refused",),
    "foreign-token": ("authorization.foreign-audience-refused",),
    "foreign-token-at-jobs": ("authorization.foreign-audience-refused",),
    "no-token": ("authorization.token-required",),
    "forged-token": ("authorization.forged-token-refused",),
    "forged-token-at-jobs": ("authorization.forged-token-refused",),
    "unmapped-client-at-jobs": ("authorization.application-must-be-mapped", "authorization.service-gate"),
    "unlisted-client-at-jobs": ("authorization.application-must-be-on-the-job",),
    "disabled-entry": ("authorization.disabled-entry-refused", "authorization.job-gate"),
    "unknown-things": ("status.unknown-message", "execution-errors.unknown-execution"),
    "unknown-message-of-a-job": ("status.jobstatus-unknown",),
    "activities-that-are-none": ("transport.malformed-activity", "transport.unknown-activity"),
    "wrong-direction": ("transport.wrong-direction",),
    "wrong-verb": ("transport.wrong-verb",),
    "import-in-order": (
        "ordering.in-order-one-after-another",
        "ordering.failed-message",
        "processing.waits-for-the-recurrence",
    ),
    "import-packages-in-order": ("ordering.packages",),
    "import-files": (
        "authorization.issued-token-accepted",
        "enqueue.creates-a-message",
        "enqueue.each-call-its-own-message",
        "enqueue.any-content-type",
        "enqueue.entity-with-percent-20",
        "enqueue.entity-with-plus",
        "enqueue.entity-encoding",
        "enqueue.message-id-form",
        "enqueue.content-type",
        "enqueue.chunked",
        "enqueue.gzip",
        "execution-errors.lists-every-bad-record",
        "execution-errors.none-when-all-is-well",
        "execution-errors.execution-found-by-message",
        "execution-errors.record-members",
        "execution-errors.summary-vocabulary",
        "execution-errors.summary-agrees",
        "execution-errors.value-form",
        "execution-errors.unresolved",
        "processing.format-must-match",
        "processing.missing-entity",
        "processing.unknown-entity",
        "processing.unknown-company",
        "processing.empty-body",
        "status.vocabulary",
        "status.enqueued-until-taken",
        "status.processed-when-all-records-are-good",
        "status.with-errors-when-records-fail",
        "status.final-stays-final",
        "status.jobstatus-agrees",
        "status.odata-answer",
        "status.jobstatus-members",
        "status.jobstatus-state",
        "throttling.connector",
        "transport.language-prefix",
        "transport.braced-activity-id",
        "transport.bare-activity-id",
        "transport.path-letter-case",
    ),
    "import-packages": (
        "packages.utf-8-and-utf-16",
        "packages.folder-inside-fails",
        "packages.missing-part-fails",
        "packages.element-order",
    ),
    "import-too-large": ("enqueue.too-large",),
    "export-package": (
        "authorization.refusal-changes-nothing",
        "acknowledgment.echo-accepted",
        "acknowledgment.ends-redelivery",
        "acknowledgment.refused-changes-nothing",
        "acknowledgment.stale-receipt-changes-nothing",
        "acknowledgment.other-activity-changes-nothing",
        "acknowledgment.three-members-suffice",
        "acknowledgment.body-needed",
        "acknowledgment.success-answer",
        "acknowledgment.second",
        "acknowledgment.late",
        "acknowledgment.stale-receipt",
        "acknowledgment.without-download",
        "acknowledgment.other-activity",
        "acknowledgment.member-spelling",
        "acknowledgment.incomplete-body",
        "dequeue.answer-members",
        "dequeue.empty-queue",
        "dequeue.file-error-message",
        "dequeue.blank-last-dequeue",
        "dequeue.last-dequeue-format",
        "download.bytes-as-uploaded",
        "download.location-is-absolute",
        "download.repeatable",
        "download.needs-a-token",
        "download.location-scheme",
        "download.location-activity",
        "download.answer",
        "download.content-type",
        "download.extends-lease",
        "download.after-lease",
        "download.after-acknowledgment",
        "packages.export-is-a-package",
        "redelivery.not-before-half-an-hour",
        "redelivery.after-half-an-hour",
        "redelivery.first-delivery-has-no-last-dequeue",
        "redelivery.says-when-last-dequeued",
        "redelivery.same-payload",
        "redelivery.correlation",
        "redelivery.order",
        "retention.kept-for-seven-days",
        "retention.gone-after-seven-days",
        "retention.expired-download",
        "retention.expired-dequeue",
    ),
    "export-file": ("download.file-payload", "redelivery.poison-limit"),
    "export-no-zero": (
        "zero-records.no-file-is-said",
        "zero-records.no-file-answer",
        "zero-records.no-file-leaves",
    ),
}
"""The others, by an errand that shows them; some are shown by several."""

DAYS: Final = frozenset(
    {
        "redelivery.poison-limit",
        "retention.kept-for-seven-days",
        "retention.gone-after-seven-days",
        "retention.expired-download",
        "retention.expired-dequeue",
    }
)
"""Rules that take hours or days; all others are decided within two half hours."""

ONLY_CONVICTS: Final = frozenset({"download.bytes-as-uploaded"})
"""Nobody tells what was uploaded: on the wire this rule has nothing to judge unless it is broken."""


def wire_rules() -> set[str]:
    """The rules that the wire can decide, with everything described and nothing odd."""
    odd = {"processing.unknown-company", "ordering.packages"}
    return {rule for rules in SHOWN.values() for rule in rules} - ONLY_CONVICTS - odd


def test_every_rule_has_an_errand_or_lacks_an_ability() -> None:
    """The two tables hold the whole catalogue, and errands say of themselves what the table says."""
    ground = Ground(takes_company=True, packages_in_order=True)
    lacking = [rule for rules in LACKING.values() for rule in rules]
    shown = [rule for rules in SHOWN.values() for rule in rules]
    assert sorted([*lacking, *set(shown)]) == sorted(each.id for each in catalogue())
    said = {each.name: set(each.shows) for each in errands(ground.tenant)}
    for errand, rules in SHOWN.items():
        assert set(rules) <= said[errand], errand
    assert {rule for rules in said.values() for rule in rules} == set(shown)


# Driven


def decided(verdicts: dict[str, RuleVerdict]) -> set[str]:
    """The rules that found something to judge, and could."""
    return {name for name, each in verdicts.items() if each.outcome in ("held", "answered", "violated")}


def left_over(ground: Ground) -> list[tuple[str, str]]:
    """Messages that were taken and are not acknowledged: job and status."""
    return [
        (role, message.status)
        for role, job in ground.tenant.activities.items()
        if job.settings["direction"] == "export"
        for message in ground.emulator.store.find(Query(activity=job.id))[0]
        if message.deliveries and message.queued and message.status != "Acked"
    ]


UNSEEN: Final = {
    # The file never comes from where it was asked for.
    "download.answer=redirect": {"download.content-type"},
    # A message without a file is never announced.
    "zero-records.no-file-answer=204": {
        "zero-records.no-file-answer",
        "zero-records.no-file-is-said",
        "zero-records.no-file-leaves",
    },
    # What has no file and another name each time is known by an instant, and several were dequeued at that.
    "redelivery.correlation=fresh": {"retention.expired-dequeue"},
    # A list of errors that is no JSON is not looked into: the rule says undecided.
    "execution-errors.value-form=malformed": {"execution-errors.record-members"},
}
"""What a dialect hides from the wire."""


@pytest.mark.parametrize("dialect", ["", *DIALECTS])
def test_every_rule_is_decided_under_every_dialect(dialect: str) -> None:
    """Within eight days, and within the bounds of every line; nothing that is a MUST is violated, nothing left behind.

    The answer to what is open is the one that the dialect gives.
    """
    ground = Ground(f"emulator:dialect={dialect}" if dialect else "emulator:")
    ground.drive(errands(ground.tenant))
    verdicts = ground.verdicts()
    assert not ground.stopped
    assert not ground.emulator.faults
    assert [each.id for each in verdicts.values() if each.outcome == "violated" and each.level == "MUST"] == []
    assert wire_rules() - decided(verdicts) <= UNSEEN.get(dialect, set())
    assert left_over(ground) == []
    assert ground.clock.now() - EPOCH < timedelta(days=8)
    point, _, value = dialect.partition("=")
    if point in wire_rules() - UNSEEN.get(dialect, set()):
        assert verdicts[point].answer == value


def test_two_half_hours_suffice() -> None:
    """With an export every two minutes all but what takes days is decided a little later."""
    ground = Ground()
    ground.drive(errands(ground.tenant), timedelta(minutes=68))
    assert wire_rules() - decided(ground.verdicts()) == DAYS


def test_a_week_is_parked_early() -> None:
    """Whoever does not wait for days holds back only what is kept for days."""
    ground = Ground(roles=("export-package",))
    ground.drive(errands(ground.tenant), timedelta(hours=6))
    assert [status for _, status in left_over(ground)] == ["Dequeued"] * 3


@pytest.mark.parametrize("every", [1, 7, 60])
def test_how_often_a_job_exports_decides_only_how_long_it_takes(every: int) -> None:
    """Every minute or every hour: each script has its message in the end."""
    ground = Ground(every=every, roles=("export-package", "export-file"), exports_for=timedelta(days=2))
    ground.drive(errands(ground.tenant))
    exports = {*SHOWN["export-package"], *SHOWN["export-file"]} - ONLY_CONVICTS
    assert not {name: why for name, why in ground.stopped.items() if name.startswith("export")}
    assert exports - decided(ground.verdicts()) == set()
    assert left_over(ground) == []


def test_a_company_is_asked_about_where_the_job_heeds_it() -> None:
    """The description says whether it does."""
    ground = Ground(takes_company=True, roles=("import-file",))
    ground.drive(each for each in errands(ground.tenant) if each.name == "import-files")
    assert ground.verdicts()["processing.unknown-company"].answer == "preprocessing-error"


def test_packages_are_watched_where_messages_go_in_order() -> None:
    """The setting is for files: this service processes the two together, and it is seen to."""
    ground = Ground(packages_in_order=True, roles=("import-package",))
    ground.drive(errands(ground.tenant))
    assert not ground.stopped
    assert ground.verdicts()["ordering.packages"].answer == "together"


def test_a_recurrence_that_nobody_told_is_found_out() -> None:
    """The second file shows it; the turns are watched at the third run."""
    ground = Ground(roles=("import-in-order",), told_recurrence=False)
    ground.drive(each for each in errands(ground.tenant) if each.name == "import-in-order")
    assert not ground.stopped
    assert {"ordering.in-order-one-after-another", "ordering.failed-message"} <= decided(ground.verdicts())


def test_errands_are_the_same_each_time() -> None:
    """What they ask follows from what they were answered: a tour that was interrupted can run them again."""

    def asked_for() -> list[tuple[str, str, str | None]]:
        ground = Ground(exports_for=timedelta(hours=1))
        ground.drive(errands(ground.tenant))
        return [
            (each.request.url, each.request.body.digest() if each.request.body else "", each.actor)
            for each in ground.journal.exchanges()
            if each.operation != TOKEN
        ]

    assert asked_for() == asked_for()


# Failures


def doubted(ground: Ground, verdicts: dict[str, RuleVerdict]) -> set[str]:
    """Rules that were decided, and call nothing undecided but requests that were lost."""
    lost = {each.seq for each in ground.journal.exchanges() if each.response is None or each.response.status == 502}
    found = set()
    for name, each in verdicts.items():
        open_ones = [finding for finding in each.findings if finding.outcome == "undecided"]
        if each.situations > len(open_ones) and all(lost & set(finding.exchanges) for finding in open_ones):
            found.add(name)
    return found


@pytest.mark.parametrize("how", ["before", "after", "gateway"])
@pytest.mark.parametrize("name", ["export-package", "export-file", "export-no-zero", "import-files", "import-packages"])
def test_no_lost_request_loses_a_verdict(name: str, how: str) -> None:
    """Whichever request is lost, before its effect, after it, or to a gateway: all is decided, and nothing left behind.

    What is asked at which place is known from a run without a loss; here some of all places are tried.
    """
    whole = Ground()
    whole.drive(each for each in errands(whole.tenant) if each.name == name)
    expected = decided(whole.verdicts()) - {"transport.path-letter-case"}
    for number in range(1 + len(how) % STRIDE, whole.network.count + 1, STRIDE):
        ground = Ground(lost=number, how=how)
        ground.drive(each for each in errands(ground.tenant) if each.name == name)
        verdicts = ground.verdicts()
        assert not ground.stopped
        assert expected - decided(verdicts) - doubted(ground, verdicts) == set(), f"request {number} was lost"
        assert not [each.id for each in verdicts.values() if each.outcome == "violated"], f"request {number} was lost"
        assert left_over(ground) == [], f"request {number} was lost"


def test_a_dequeue_lost_at_the_end_of_the_seven_days_costs_no_verdict() -> None:
    """What it should have brought is hidden beyond that: another one that was kept takes its place."""
    whole = Ground(roles=("export-package",))
    whole.drive(errands(whole.tenant))
    expected = decided(whole.verdicts())
    for number in range(whole.network.count - 12, whole.network.count + 1):
        ground = Ground(roles=("export-package",), lost=number)
        ground.drive(errands(ground.tenant))
        assert not ground.stopped
        assert expected - decided(ground.verdicts()) == set(), f"request {number} was lost"
        assert left_over(ground) == [], f"request {number} was lost"


STRIDE: Final = 19
"""Every so many requests one is lost; the whole was tried when the scripts were written."""


def test_who_brings_messages_back_late_shows_everything_else() -> None:
    """One that comes back a minute late is missed, which is told; its script goes on when it is there."""
    ground = Ground("emulator:lease-of-31-minutes")
    ground.drive(errands(ground.tenant))
    verdicts = ground.verdicts()
    assert not ground.stopped
    # Where messages are missed anyway nobody knows what a refused call did.
    in_doubt = {"acknowledgment.stale-receipt-changes-nothing", "authorization.refusal-changes-nothing"}
    assert wire_rules() - decided(verdicts) <= in_doubt
    assert [each.id for each in verdicts.values() if each.outcome == "violated"] == ["redelivery.after-half-an-hour"]
    assert left_over(ground) == []


def test_a_server_that_is_away_for_an_hour_costs_no_verdict() -> None:
    """It is left alone for longer each time, and all goes on when it is back."""
    ground = Ground(lost=60, how="for an hour", roles=("export-package", "export-file"), exports_for=timedelta(hours=5))
    ground.drive(each for each in errands(ground.tenant) if each.acknowledges)
    assert not ground.stopped
    wanted = {*SHOWN["export-package"], *SHOWN["export-file"]} - ONLY_CONVICTS
    verdicts = ground.verdicts()
    assert wanted - decided(verdicts) - doubted(ground, verdicts) == set()
    assert left_over(ground) == []


def test_a_server_that_is_away_for_good_ends_an_errand() -> None:
    """Nothing is tried for ever."""
    ground = Ground(lost=10, how="for good")
    ground.drive(errands(ground.tenant))
    assert ground.network.count < 400
    assert "export-package" in ground.stopped


# Somebody else's environment


def test_what_others_use_is_never_acknowledged() -> None:
    """A few messages are looked at; what needs more says that it needs an activity of its own."""
    ground = Ground(exclusive=False, every=30)
    found = errands(ground.tenant)
    ground.drive(each for each in found if not each.acknowledges)
    assert [each.name for each in found if each.acknowledges] == [
        "import-in-order",
        "export-package",
        "export-file",
        "export-no-zero",
    ]
    assert not [each for each in ground.journal.exchanges() if each.operation == ACK]
    delivered = [each for each in ground.journal.exchanges() if wire.delivery(_reply(each)) is not None]
    assert 0 < len(delivered) <= 12
    assert {"redelivery.same-payload", "dequeue.answer-members"} <= decided(ground.verdicts())


def _reply(exchange: Exchange) -> Reply:
    response = exchange.response
    content = (response.body.content() if response is not None and response.body is not None else b"") or b""
    is_dequeue = response is not None and exchange.operation == "dequeue"
    return Reply(exchange, response.status if is_dequeue and response is not None else None, (), content)


def test_a_read_only_profile_asks_only() -> None:
    """Errands that change nothing send questions and token requests, and have something to show."""
    ground = Ground()
    ground.drive(each for each in errands(ground.tenant) if not each.changes)
    operations = {each.operation for each in ground.journal.exchanges()}
    assert operations <= {TOKEN, "jobstatus", "message-status", "execution-id", "execution-errors", "execution-summary"}
    assert {
        "authorization.wrong-secret-refused",
        "authorization.token-required",
        "authorization.expired-token-refused",
        "status.unknown-message",
    } <= decided(ground.verdicts())


def test_a_foreign_backlog_is_left_alone() -> None:
    """More than was to be expected waits: it is told, until when it is hidden, and nothing is acknowledged."""
    ground = Ground(members={"backlog": 3}, roles=("export-package",))
    ground.clock.advance(timedelta(hours=1))
    ground.drive(errands(ground.tenant))
    assert "more than 3 messages waited in export-package" in ground.stopped["export-package"]
    assert "until 2026-01-01T01:30" in ground.stopped["export-package"]
    acks = [each for each in ground.journal.exchanges() if each.operation == ACK]
    assert acks == []


def test_what_waited_is_left_where_the_queue_is_shut_before_its_end() -> None:
    """Nobody knows by then whether somebody is at work: what was found is left, and comes back."""
    ground = Ground(roles=("export-package",), lost=5, how="for good, refused")
    ground.clock.advance(timedelta(minutes=9))
    ground.drive(each for each in errands(ground.tenant) if each.name == "export-package")
    assert "dequeues of export-package are refused with 403" in ground.stopped["export-package"]
    assert [each for each in ground.journal.exchanges() if wire.delivery(_reply(each)) is not None]
    assert [each for each in ground.journal.exchanges() if each.operation == ACK] == []


def test_a_consumer_that_is_at_work_is_left_alone() -> None:
    """A message that says it was dequeued a while ago, and not here, is somebody's: nothing is acknowledged.

    Not even what was found before it.
    """
    ground = Ground(roles=("export-package",))
    ground.clock.advance(timedelta(minutes=2))
    stranger = Session(IN_PROCESS, ground.times, Journal(), transport=Transport(ground.network))
    ask = wire.dequeue(ground.tenant.activities["export-package"].id)
    assert wire.delivery(stranger.send(ask, token=ground.tokens.current())) is not None
    ground.clock.advance(timedelta(minutes=31))
    ground.drive(errands(ground.tenant), timedelta(minutes=10))
    assert "somebody else dequeued a message of export-package" in ground.stopped["export-package"]
    assert ground.shared == ["export-package"]
    assert [each for each in ground.journal.exchanges() if each.operation == ACK] == []


class WithAnother(AsTenant):
    """An emulator of which another consumer takes whatever comes back first after a half hour, and leaves it."""

    taken = False

    def moved(self, seconds: float) -> datetime:
        """Let time pass; the other one is quicker."""
        now = super().moved(seconds)
        if not self.taken and now > BEGAN + timedelta(minutes=31):
            role, times = "export-package", ManualTimes(now, super().moved)
            session = Session(IN_PROCESS, times, Journal(), transport=Transport(self.carrier()))
            token = Tokens(session, self.emulator.world()["identity"]).current()
            reply = session.send(wire.dequeue(self.tenant.activities[role].id), token=token)
            self.taken = wire.delivery(reply) is not None
        return now


def test_a_consumer_that_takes_what_was_left_is_met_when_it_comes_back() -> None:
    """The job is not the run's own, whatever was said: that is written down, and nobody is convicted for it."""
    emulator = WithAnother(Profile(), every=timedelta(minutes=2))
    toured = emulator.toured()
    stopped = {each.errand: each.why for each in toured.states if each.why}
    assert "somebody else dequeued a message of export-package" in stopped["export-package"]
    jobs = [each.facts for each in toured.entries if isinstance(each, Observation) and each.observation == "activity"]
    shared = [each["settings"]["name"] for each in jobs if each["settings"].get("exclusive") is False]
    assert shared == ["export-package"]
    assert toured.verdicts.with_outcome(Outcome.VIOLATED) == ()


def test_without_exports_it_says_what_would_help() -> None:
    """Nothing is waited for that does not come."""
    ground = Ground(every=None, roles=("export-package",))
    ground.drive(errands(ground.tenant))
    assert "no export came from export-package within" in ground.stopped["export-package"]
    assert "--assisted" in ground.stopped["export-package"]
    assert ground.clock.now() - EPOCH < timedelta(hours=2)


def test_a_person_can_run_the_exports() -> None:
    """Asked for some, they run them: the scripts have their messages."""

    def exports(ground: Ground) -> bool:
        job = ground.emulator.store.activity(ground.tenant.activities["export-package"].id)
        assert job is not None
        for _ in range(16):
            ground.emulator.batch.produce(job, 2, ground.clock.now())
        return True

    ground = Ground(every=None, roles=("export-package",), person=exports)
    ground.drive(errands(ground.tenant), timedelta(hours=9))
    assert not ground.stopped
    assert {"redelivery.after-half-an-hour", "acknowledgment.late", "acknowledgment.stale-receipt"} <= decided(
        ground.verdicts()
    )


def test_a_job_for_another_entity_is_not_given_made_up_files() -> None:
    """Files are made up for one entity only."""
    ground = Ground(roles=("import-file",), entity="Vendors V2")
    ground.drive(each for each in errands(ground.tenant) if each.name == "import-files")
    assert "import-file is for Vendors V2" in ground.stopped["import-files"]
    assert not [each for each in ground.journal.exchanges() if each.operation == "enqueue"]


# The plan


def test_plans_say_what_everything_is_for() -> None:
    """Each line has a text; each that may change something says what; no two have one name."""
    for ground in (Ground(), Ground(exclusive=False), Ground(every=None, roles=("import-file",))):
        found = errands(ground.tenant)
        names = [each.name for each in found]
        ids = [line.id for each in found for line in each.lines]
        assert len(set(names)) == len(names)
        assert len(set(ids)) == len(ids)
        for errand in found:
            assert errand.text.endswith(".")
            assert errand.takes > timedelta(0)
            for each in errand.lines:
                assert each.id.startswith(f"{errand.name}/")
                assert each.text
                changing = each.operation in ("enqueue", "dequeue", "download", "ack")
                assert bool(each.effect) == changing or each.operation == TOKEN, each.id
                assert not changing or errand.changes, each.id


def test_bounds_are_near_what_is_sent() -> None:
    """Of all lines together no more than half again as much again may be sent as is, files that never come left out."""
    ground = Ground(roles=("import-file", "import-in-order", "import-package", "import-disabled"))
    found = errands(ground.tenant)
    ground.drive(found)
    run = [each for each in found if set(each.roles) <= set(ground.tenant.activities)]
    most = sum(line.most for each in run for line in each.lines)
    assert sum(ground.sent.values()) <= most <= 3 * sum(ground.sent.values())
