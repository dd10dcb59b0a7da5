"""One process that makes load: its clock, its journal, its figures, its token, and arrivals that wait for nobody.

It knows greenlets and nothing of Locust: what a request means is said by whoever calls, and whoever is to be told of
its outcome is handed in. Every exchange is taken down, none is sampled.
"""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit

import gevent  # type: ignore[import-untyped]  # it comes without types
import msgspec
from gevent.event import Event  # type: ignore[import-untyped]  # as above
from gevent.pool import Group  # type: ignore[import-untyped]  # as above

from popreceipt.client import wire
from popreceipt.client.control import Control
from popreceipt.client.guarding import Asked, Heard, NotPermitted, asked_for
from popreceipt.client.session import AGENT, Session, longest, split_base
from popreceipt.client.times import Began, Reading, ScaledTimes, SteadyTimes, SystemTimes, instant
from popreceipt.client.tokens import Tokens, words_of
from popreceipt.client.transport import Answer
from popreceipt.client.wire import Ask, Reply
from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved, PopreceiptError, UsageError
from popreceipt.journal import Exchange, Header, Request, instant_text
from popreceipt.journal import Target as JournalTarget
from popreceipt.load import pace
from popreceipt.load.connections import Connections, Exhausted, head
from popreceipt.load.figures import Tally
from popreceipt.load.files import Files
from popreceipt.load.pacing import arrivals
from popreceipt.load.plan import Errand, Site
from popreceipt.load.recorder import NotWritten, Recorder
from popreceipt.load.siting import this_machine
from popreceipt.targets import TENANT_PREFIX
from popreceipt.tenants import reading, secrets
from popreceipt.tenants.description import AUTHORISED, Tenant
from popreceipt.tenants.guard import TenantGuard, share_of
from popreceipt.vocabulary import DOWNLOAD, OTHER, TOKEN, operation_of

TIMEOUT: Final = 30.0
"""Real seconds for an answer."""

DRAIN: Final = TIMEOUT + 5
"""Real seconds for what is under way to end by itself."""

FLUSHED: Final = 0.2
"""Real seconds from one writing of the journal to the next."""

REMEMBERED: Final = 100_000
"""Messages that were handed in and that nobody has asked for yet, at most: activity and id."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""A download may be answered by one of these: the documentation leaves open whether it is the file itself."""

TOGETHER: Final = 16
"""Arrivals that are started in one go when several are due: then those may send."""

ROLE: Final = "authorised"

INTERRUPTED: Final = "interrupted"
"""The journal's word for a request whose caller was ended before its answer came."""

SELDOM: Final = 0.1
"""Real seconds between two requests for a token, at least: a target may take every token for a dead one."""

_INTERRUPTED: Final = Answer(None, failure=INTERRUPTED)
_EPOCH: Final = datetime.min.replace(tzinfo=UTC)
_NOT_KEPT: Final = Exchange(0, _EPOCH, _EPOCH, OTHER, Request("", ""))
"""In a reply, in place of the exchange: it stands in the journal, and nobody here looks at it again."""


class Listener(Protocol):
    """Is told of each request that ended, with real seconds from its intended and from its actual start."""

    def __call__(
        self, method: str, operation: str, response: float, service: float, length: int, failure: str | None
    ) -> None:
        """`length` is that of the answer's body; `failure` is None for a success."""


class Worker:
    """Load from one process.

    `over` is set when the time is up, or when something made it senseless to go on; `problem` then says what,
    and `status` with which status to end.

    Args:
        errand: what to do, where, and which share of it.
        listener: is told of every request.

    Raises:
        UsageError: the errand cannot be carried out.
        NotWritten: the journal cannot be opened.
        NothingProved: the target's clock cannot be read.
    """

    def __init__(self, errand: Errand, listener: Listener) -> None:
        self.errand = errand
        self.plan = errand.plan
        self.site = errand.site
        self.name = str(errand.worker)
        self.over = Event()
        self.problem: str | None = None
        self.status = 0
        self._listener = listener
        self._folder = Path(errand.folder)
        self.connections = Connections(Path(errand.site.ca) if errand.site.ca is not None else None)
        self._origin, self._prefix = split_base(errand.site.base_url)
        self.times, self.start = _times(errand, self.connections)
        self.horizon = self.start + self.plan.minutes * 60 / self.site.rate
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal = self._folder / f"journal-{self.name}.ndjson"
        self.recorder = Recorder(_header(errand, self.times.error), self._journal)
        self.tally = Tally(self.name, 60 / self.site.rate, self.plan.lag_seconds)
        self.handed_in: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self.files = Files(
            f"{self.plan.seed} {self.site.target_at_start}",
            records=self.plan.records,
            worker=errand.worker,
            workers=max(1, errand.workers),
            package=self.site.package,
        )
        tenant = _tenant(errand)
        self.guard = None if tenant is None else TenantGuard(tenant, self.times)
        session = Session(self.site.base_url, self.times, self.recorder, transport=self.connections, guard=self.guard)
        self._tokens = Tokens(session, self.site.identity if tenant is None else _with_secret(self.site, tenant))
        self._token: str | None = None
        self._always = (
            ("host", self._origin.partition("://")[2]),
            ("accept-encoding", "identity"),
            ("user-agent", AGENT),
        )
        self._heads: dict[tuple[wire.Pairs, int | None], wire.Pairs] = {}
        self._arriving = Group()
        self._helpers = Group()
        self._pacers = Group()
        self._begun = 0
        self._spawned = 0
        self._busy = 0
        self._finished = False
        self._closing = Event()
        self._renewed = Event()
        self._writer: gevent.Greenlet | None = None
        self._cpu = time.process_time()
        self._ended: float | None = None
        self._told = 0.0

    # From the first token to the footer

    def begin(self) -> None:
        """Get a token and be ready.

        Raises:
            NothingProved: there is no token.
        """
        renew_at = self._renew()
        # What stands now stays: a collection that walks over all of it holds up whatever is due meanwhile.
        gc.collect()
        gc.freeze()
        self._cpu = time.process_time()
        self._helpers.spawn(self._keep_token, renew_at)
        self._helpers.spawn(self._keep_time)
        self._writer = gevent.spawn(self._keep_writing)

    def stop(self, why: str | None = None, status: int = NotWritten.exit_status) -> None:
        """No more arrivals, and no new calls; `why`, and with which status to end, if something went wrong."""
        if why is not None and self.problem is None:
            self.problem, self.status = why, status
        if self._ended is None:
            self._ended = min(stopwatch(), max(self.horizon, self.start))
        self.over.set()

    def drain(self, seconds: float = DRAIN) -> bool:
        """Wait for what is under way; whether all of it ended by itself."""
        until = stopwatch() + seconds
        while (self._arriving or self._busy) and stopwatch() < until:
            gevent.sleep(0.01)
        return not self._arriving and not self._busy

    def finish(self) -> None:
        """End what is still under way, seal the journal and write the figures. Once."""
        if self._finished:
            return
        self._finished = True
        on_time = self.over.is_set() and stopwatch() >= self.horizon and self.problem is None
        self.stop()
        cut = bool(self._arriving) or self._busy > 0
        self._arriving.kill()
        # Those that are behind are counting what they could not begin; the others sleep.
        self._pacers.join(FLUSHED)
        self._pacers.kill()
        self._helpers.kill()
        self._closing.set()
        if self._writer is not None:
            self._writer.join()
        cpu = time.process_time() - self._cpu
        gc.unfreeze()
        self.tally.missed(self._spawned - self._begun)
        try:
            self.recorder.seal()
        except PopreceiptError as error:
            self.stop(str(error))
        if self.problem is not None:
            self.tally.error(self.problem)
        figures = self.tally.figures(
            journal=self._journal.name,
            began=instant_text(self.times.earliest() + timedelta(seconds=(self.start - stopwatch()) * self.site.rate)),
            cpu_seconds=cpu,
            wall_seconds=max(0.0, (self._ended or self.start) - self.start),
            finished=on_time and not cut and self.problem is None,
        )
        beside = self._folder / f".figures-{self.name}.json"
        try:
            beside.write_bytes(msgspec.json.encode(figures))
            beside.replace(self._folder / f"figures-{self.name}.json")
        except OSError as error:
            self.stop(f"The figures {beside} cannot be written ({error.strerror or error}).")
        self.connections.close()

    @property
    def finished(self) -> bool:
        """Whether its files are written."""
        return self._finished

    # Time

    def sleep_until(self, real: float) -> bool:
        """Wait until an instant of the stopwatch; whether it is still worth doing something then."""
        while not self.over.is_set() and (left := real - stopwatch()) > 0:
            self.over.wait(left)
        return not self.over.is_set()

    def real(self, minutes: float) -> float:
        """The stopwatch at so many minutes of the target's time from the start."""
        return self.start + minutes * 60 / self.site.rate

    def real_seconds(self, minutes: float) -> float:
        """So many minutes of the target's time in real seconds."""
        return minutes * 60 / self.site.rate

    # What is done

    def arrive(self, stream: str, act: Callable[[int, float], None], *, worker: int, workers: int) -> None:
        """Let a stream of the plan arrive: `act(activity, intended)` for each, however long the others take.

        Args:
            stream: its name.
            act: is called in a greenlet of its own.
            worker: whose share of the stream, from 0.
            workers: of how many.
        """
        self._pacers.spawn(self._pace, stream, act, worker, workers)

    def _pace(self, stream: str, act: Callable[[int, float], None], worker: int, workers: int) -> None:
        spawn, start = self._arriving.spawn, self.start
        together = 0
        for arrival in arrivals(self.plan, stream, rate=self.site.rate, worker=worker, workers=workers):
            due = start + arrival.at
            if self._ended is None:
                if (left := due - stopwatch()) > 0:
                    together = 0
                    while left > 0:
                        gevent.sleep(left)
                        left = due - stopwatch()
                elif (together := together + 1) % TOGETHER == 0:
                    gevent.sleep(0)
            # What was due before the end and has no greenlet yet is told as not begun.
            if self._ended is not None and due > self._ended:
                return
            self.tally.arrived()
            self._spawned += 1
            if self._ended is None:
                spawn(self._one, act, arrival.activity, due)

    def _one(self, act: Callable[[int, float], None], activity: int, due: float) -> None:
        self._begun += 1
        self.guarded(act, activity, due)

    def guarded(self, act: Callable[[int, float], None], activity: int, due: float) -> None:
        """Do something; what goes wrong in ourselves is counted as such, and does not end the others."""
        try:
            act(activity, due)
        except NotPermitted:
            return  # The run is over, and says why.
        except Exhausted as error:
            self.tally.error(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told: the run is then none that counts
            self.tally.error(f"{type(error).__name__}: {error}")

    def send(
        self,
        ask: Ask,
        intended: float,
        *,
        caller: str,
        body: bytes | None = None,
        due: float | None = None,
        elsewhere: str | None = None,
    ) -> Reply:
        """Send an ask, take down what became of it, count it.

        Args:
            ask: the request.
            intended: when it should have begun, by the stopwatch: its response time counts from there.
            caller: who calls, in a word, for the journal.
            body: sent instead of the ask's own.
            due: when it could begin, where that is later than intended; the generator's lag counts from there.
            elsewhere: scheme and authority that are asked instead, the ask's path being all of it. Another host than
                the target gets no token.

        Raises:
            Exhausted: this machine gives no more connections.
            NotPermitted: a tenant's guard lets it not out; the run ends.
        """
        content = ask.body if body is None else body
        sends = bool(content) or ask.method == "POST"
        origin, prefix = (self._origin, self._prefix) if elsewhere is None else (elsewhere, "")
        headers = (
            self._headers(ask.headers, len(content) if sends else None)
            if origin == self._origin
            else (("host", origin.partition("://")[2]), *self._always[1:], *ask.headers)
        )
        target = prefix + ask.target
        lead = head(ask.method, target, headers)
        began_at = stopwatch()
        self.tally.due((due or intended) - self.start, began_at - (due or intended))
        asked = None if self.guard is None else self._permitted(ask, origin, target, headers, content, caller)
        if asked is not None:
            began_at = stopwatch()
        began = self.times.begin()
        self._busy += 1
        answer: Answer | None = (
            _INTERRUPTED  # Where the greenlet is ended in the midst of it, its request may have had an effect.
        )
        try:
            most = longest(ask.operation or _operation(ask.path), self.guard)
            answer = self.connections.call(origin, lead, content, TIMEOUT, most)
        except Exhausted:
            answer = None
            raise
        finally:
            self._busy -= 1
            if answer is not None:
                self._take_down(ask, origin + target, began, began_at, intended, headers, content, answer, caller)
        if self.guard is not None and asked is not None:
            length = answer.came + sum(len(name) + len(value) for name, value in answer.headers)
            took = stopwatch() - began_at
            self.guard.note(asked, Heard(answer.status, answer.headers, answer.body, answer.failure, length, took))
        status = answer.status if answer.failure is None else None
        if status == HTTPStatus.UNAUTHORIZED:
            self._renewed.set()
        return Reply(_NOT_KEPT, status, answer.headers, answer.body, answer.failure)

    def _permitted(
        self, ask: Ask, origin: str, target: str, headers: wire.Pairs, content: bytes, caller: str
    ) -> Asked | None:
        """Ask the guard of a tenant; a refusal ends the run, since what follows would not be the load of the plan."""
        if self.guard is None:
            return None
        path = target.partition("?")[0]
        operation, activity = asked_for(path, ask.operation)
        with_token = any(name == "authorization" for name, _ in headers)
        length = len(content) + len(target) + sum(len(name) + len(value) for name, value in headers)
        asked = Asked(ask.method, origin, path, operation, activity, caller, with_token, length, content, ask.operation)
        try:
            self.guard.permit(asked)
        except NotPermitted as error:
            self.stop(str(error), error.exit_status)
            raise
        return asked

    def follow(self, ask: Ask, reply: Reply, *, caller: str) -> Reply:
        """The answer from where the reply to an ask redirects to; the reply itself where it redirects nowhere.

        Raises:
            Exhausted: this machine gives no more connections.
        """
        location = reply.header("location")
        if reply.status not in REDIRECTS or not location:
            return reply
        try:
            url = urljoin(f"{self._origin}{self._prefix}{ask.target}", location)
            origin = split_base(url.partition("?")[0].partition("#")[0])[0]
        except (UsageError, ValueError):  # It is no address.
            return reply
        # Behind a load balancer a server names itself by http.
        own = urlsplit(origin).hostname == urlsplit(self._origin).hostname and self._origin.startswith("https://")
        elsewhere = self._origin if own and origin.startswith("http://") else origin
        return self.send(wire.download(url), stopwatch(), caller=caller, elsewhere=elsewhere)

    def told(self, operation: str, method: str, intended: float, began: float, failure: str | None) -> None:
        """Count a request that somebody else sent: of a token, or to the control plane, which is no exchange."""
        ended = stopwatch()
        self.tally.answered(operation, ended - self.start, ended - intended, ended - began, failure)
        self._listener(method, operation, ended - intended, ended - began, 0, failure)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Something is under way, which `drain` waits for."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def control(self) -> Control:
        """The target's control plane, on the same connections; what it tells goes into the journal."""
        return Control(
            self.site.base_url,
            transport=self.connections,
            key=self.site.control_key,
            times=self.times,
            journal=self.recorder,
        )

    def pause(self, reply: Reply) -> float:
        """Real seconds that a throttled caller is asked to wait (in the target's time); a second of it if not told."""
        asked = wire.retry_after(reply)
        return (1.0 if asked is None else asked.total_seconds()) / self.site.rate

    def _headers(self, own: wire.Pairs, length: int | None) -> wire.Pairs:
        found = self._heads.get((own, length))
        if found is None:
            token = () if self._token is None else (("authorization", f"Bearer {self._token}"),)
            measured = () if length is None else (("content-length", str(length)),)
            found = self._heads[own, length] = (*self._always, *token, *own, *measured)
        return found

    def _take_down(
        self,
        ask: Ask,
        url: str,
        began: Began,
        began_at: float,
        intended: float,
        headers: wire.Pairs,
        content: bytes,
        answer: Answer,
        caller: str,
    ) -> None:
        ended = stopwatch()
        sent, answered = self.times.end(began)
        operation = _operation(ask.path)
        self.recorder.record_soon(
            sent=sent,
            answered=answered,
            method=ask.method,
            url=url,
            request_headers=headers,
            request_body=content,
            status=answer.status,
            response_headers=answer.headers,
            response_body=answer.body,
            failure=answer.failure,
            actor=caller,
            operation=ask.operation if operation == OTHER else None,
        )
        name = operation if operation != OTHER else ask.operation or OTHER
        failure = answer.failure
        if failure is None and not (
            answer.status is not None
            and (200 <= answer.status < 300 or (name == DOWNLOAD and answer.status in REDIRECTS))
        ):
            failure = str(answer.status)
        response, service = ended - intended, ended - began_at
        self.tally.answered(name, ended - self.start, response, service, failure)
        self._listener(ask.method, name, response, service, len(answer.body), failure)
        if self.recorder.problem is not None:
            self.stop(self.recorder.problem)

    # Helpers that run beside the load

    def _renew(self) -> float:
        """Get a token; when the next one should be asked for, by the stopwatch.

        Raises:
            NothingProved: the endpoint gives none.
        """
        began = stopwatch()
        with self.at_work():
            issued = self._tokens.obtain(ROLE, actor=self.caller("tokens"))
        reply = issued.reply
        self.told(TOKEN, "POST", began, began, None if reply.ok else reply.failure or str(reply.status))
        if issued.token is None or issued.fresh_until is None:
            raise NothingProved(f"No token for {ROLE!r}: {reply.exchange.request.url} answered {words_of(reply)}.")
        self._token = issued.token
        self._heads.clear()
        return stopwatch() + (issued.fresh_until - self.times.latest()).total_seconds() / self.site.rate

    def _keep_token(self, renew_at: float) -> None:
        while not self.over.is_set():
            self._renewed.wait(max(0.0, renew_at - stopwatch()))
            self._renewed.clear()
            if self.over.is_set():
                return
            try:
                renew_at = self._renew()
            except NotPermitted as error:
                self.stop(str(error), error.exit_status)
                return
            except NothingProved as error:
                # The old one still lives for a minute; what is refused meanwhile is in the journal.
                self.tally.error(str(error))
                renew_at = stopwatch() + 1.0
            renew_at = max(renew_at, stopwatch() + SELDOM)

    def _keep_writing(self) -> None:
        pool = gevent.get_hub().threadpool
        while not self._finished:
            self._closing.wait(FLUSHED)
            if not pool.apply(self.recorder.put, (self.recorder.take(),)):
                self.stop(self.recorder.problem)
                return
            self._tell_pace()

    def _tell_pace(self) -> None:
        passed = stopwatch() - self.start
        if passed < self._told + pace.TOLD_EVERY:
            return
        self._told = passed
        with suppress(OSError):  # Whoever watches can do without; a full disk is noticed by the journal.
            pace.write(self.tally.pace(passed * self.site.rate / 60), self.name, self._folder)

    def _keep_time(self) -> None:
        self.sleep_until(self.horizon)
        self.stop()

    def caller(self, word: str) -> str:
        """Who calls, for the journal: the identity's role, the process, and in a word which of its callers."""
        return f"{ROLE}/{self.name}.{word}"


def _tenant(errand: Errand) -> Tenant | None:
    """The tenant's description with this process's share of the budget; None for other targets."""
    name = errand.site.name
    if not name.startswith(TENANT_PREFIX):
        return None
    tenant = reading.read(name.removeprefix(TENANT_PREFIX))
    return share_of(tenant, max(1, errand.workers) + 1)  # one is for whoever sets the run up


def _with_secret(site: Site, tenant: Tenant) -> dict[str, object]:
    """Where tokens come from, with the secret of the client that load uses, from where the description says it is."""
    client = tenant.clients[AUTHORISED]
    credential = secrets.found(client.credential, f"{tenant.where}, client {AUTHORISED},")
    if not isinstance(credential, secrets.Secret):
        raise UsageError(f"{tenant.where}: load takes a client with a secret.")
    known = {"client_id": client.client_id, "client_secret": credential.text}
    return {**site.identity, "clients": {AUTHORISED: known}}


def _times(errand: Errand, connections: Connections) -> tuple[SteadyTimes, float]:
    """The target's time as all processes of a run know it, and the stopwatch at the run's start."""
    site = errand.site
    began = instant(site.target_at_start)
    if began is None:
        raise UsageError(f"The errand names no instant: {site.target_at_start!r}.")
    if site.machine == this_machine():
        reading = Reading(site.real_at_start, site.real_at_start, began, timedelta(0))
        # Whoever waits by it, as a tenant's guard does, holds up nobody else.
        sleep = gevent.sleep
        exact = (
            SystemTimes(reading, sleep=sleep)
            if site.clock == "system"
            else ScaledTimes(site.rate, reading, sleep=sleep)
        )
        return SteadyTimes(exact), site.real_at_start + errand.start
    if not site.control:
        raise UsageError(
            f"{site.name} tells its time to the process that set the run up and to no other machine: without a control "
            "plane all workers have to run there."
        )
    times = SteadyTimes(Control(site.base_url, transport=connections, key=site.control_key).times)
    left = (began + timedelta(seconds=errand.start * site.rate) - times.latest()).total_seconds()
    return times, stopwatch() + left / site.rate


def _header(errand: Errand, error: timedelta) -> Header:
    site = errand.site
    return Header(
        target=JournalTarget(name=site.name, build=site.build, clock=site.clock, abilities=site.abilities),
        seed=errand.plan.seed,
        clock=site.clock,
        rate=site.rate,
        concurrent=True,
        clock_error_seconds=max(site.clock_error_seconds, error.total_seconds()),
    )


@lru_cache(maxsize=1024)
def _operation(path: str) -> str:
    return operation_of(path)[0]
