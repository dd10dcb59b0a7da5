"""What may be sent to somebody's environment: by the description, by the budget, and by what the server asks for.

Every request of a tenant's session passes here, whoever drives. The guard sends nothing itself. It remembers how much
was asked, which messages came from activities that others use, and until when a server wants to be left alone.
"""

import fnmatch
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from popreceipt import vocabulary
from popreceipt.client.base_url import split_base
from popreceipt.client.guarding import Asked, Heard, NotPermitted, asked_for, is_made_up
from popreceipt.client.times import TargetClock
from popreceipt.exceptions import NotAbleTo
from popreceipt.journal import Exchange
from popreceipt.tenants.description import Budget, Tenant

CHANGING: Final = frozenset({vocabulary.ENQUEUE, vocabulary.DEQUEUE, vocabulary.DOWNLOAD, vocabulary.ACK})
"""What is more than a question: a file is handed in, a message hidden, marked as fetched, or taken for good."""

QUESTIONS: Final = frozenset(
    {
        vocabulary.TOKEN,
        vocabulary.JOBSTATUS,
        vocabulary.MESSAGE_STATUS,
        vocabulary.EXECUTION_ID,
        vocabulary.EXECUTION_ERRORS,
        vocabulary.EXECUTION_SUMMARY,
    }
)
"""What only asks, although some of it is a POST."""

LATER: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

UNSAID: Final = 5.0
"""Seconds to leave a server alone that answers 429 and does not say how long (as MSAL does for a service's client)."""

MEGABYTE: Final = 1_000_000

REMEMBERED: Final = 100_000
"""Names of messages of other people that are kept at most; beyond that nothing more is taken."""

Listener = Callable[[Asked], None]
"""Is told of each request that goes out, just before; what it raises keeps the request back."""


@dataclass(slots=True)
class Spent:
    """What a run has asked so far: requests, bytes both ways, real seconds during which one was under way."""

    requests: int = 0
    length: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Known:
    """What guards of one run share: what was spent, and the names of messages that are others'."""

    spent: Spent = field(default_factory=Spent)
    others: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


_RUN: Final[dict[tuple[str, str, Budget], "TenantGuard"]] = {}


def guard_of(tenant: Tenant) -> "TenantGuard":
    """A guard that goes on where this process's last one for the same description stopped.

    A run opens its target more than once where it plays again what failed, to make it smaller: all of that together
    keeps to the budget, and leaves to others what is theirs.
    """
    description = (tenant.where, tenant.base_url, tenant.budget)
    earlier = _RUN.get(description)
    made = _RUN[description] = TenantGuard(tenant, known=None if earlier is None else earlier.known)
    return made


class TenantGuard:
    """Lets out what a tenant's description permits. Safe to share between threads.

    Args:
        tenant: the description.
        times: the target's clock, by which it is waited where a server asks for it; may be set later (`times`).
        known: what an earlier one of the same run knew, to be shared with it.

    Attributes:
        spent: what was asked so far. A run that goes on after an interruption adds what it had asked before.
        sent: how often each operation went out.
        refused: how often each reason kept a request back.
        listeners: are told of each request just before it goes out.
    """

    def __init__(self, tenant: Tenant, times: TargetClock | None = None, *, known: Known | None = None) -> None:
        self.tenant = tenant
        self.times = times
        self.known = known if known is not None else Known()
        self.spent = self.known.spent
        self.sent: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.listeners: list[Listener] = []
        self._name = f"tenant:{tenant.name}"
        self._origin = split_base(tenant.base_url)[0]
        self._issuers = {_place(url) for url in tenant.token_endpoints}
        self._not_before: dict[str, datetime] = {}
        self._others = self.known.others
        self._lock = self.known.lock

    def permit(self, asked: Asked) -> None:
        """Return when this request may go out.

        Raises:
            NotPermitted: the description forbids it, the budget is spent, or the server wants to be left alone for
                longer than anybody will wait.
        """
        self.check(asked)
        self._leave_alone(asked)
        for each in self.listeners:
            each(asked)
        with self._lock:
            self._within_budget(asked.length)
            self.spent.requests += 1
            self.spent.length += asked.length
            self.sent[asked.operation] += 1

    def room(self) -> int | None:
        """Bytes that an answer may have: what is left of the budget, whatever the server would send."""
        megabytes = self.tenant.budget.megabytes
        if megabytes is None:
            return None
        with self._lock:
            return max(0, int(megabytes * MEGABYTE) - self.spent.length)

    def note(self, asked: Asked, heard: Heard) -> None:
        """Take in what became of a request."""
        with self._lock:
            self.spent.length += heard.length
            self.spent.seconds += heard.seconds
        pause = pause_of(heard)
        if pause is not None and self.times is not None:
            until = self.times.latest() + pause
            with self._lock:
                self._not_before[asked.host] = max(until, self._not_before.get(asked.host, until))
        if asked.operation == vocabulary.DEQUEUE and not self._is_exclusive(asked.activity):
            with self._lock:
                self._others.update(_names(heard.body))

    def check(self, asked: Asked) -> None:
        """Refuse what the description forbids, whatever the budget says; nothing is counted as sent.

        Raises:
            NotPermitted: it does.
        """
        self._known_host(asked)
        self._as_meant(asked)
        if self.tenant.read_only:
            self._only_asks(asked)
        if asked.operation == vocabulary.ACK:
            self._own_messages_only(asked)
        if asked.operation in (vocabulary.ENQUEUE, vocabulary.DEQUEUE):
            self._nobodys_job(asked)
        if asked.operation == vocabulary.DEQUEUE and len(self._others) >= REMEMBERED:
            raise self._no("backlog", f"More than {REMEMBERED} messages of others were met: nothing more is dequeued.")

    def recall(self, exchange: Exchange) -> None:
        """Take in what an earlier process has written down, so that whose a message is stays known.

        What was spent is not added: whoever goes on knows better how long it took (`spent`).
        """
        answer = exchange.response
        operation, activity = asked_for(urlsplit(exchange.request.url).path, exchange.operation)
        if operation == vocabulary.DEQUEUE and answer is not None and not self._is_exclusive(activity):
            content = None if answer.body is None else answer.body.content()
            with self._lock:
                self._others.update(_names(content or b""))

    def not_before(self, url: str) -> datetime | None:
        """Until when (the target's time) the server of this URL has asked to be left alone; None where it has not."""
        with self._lock:
            return self._not_before.get(urlsplit(url).hostname or "")

    # What the description says

    def _known_host(self, asked: Asked) -> None:
        issues = _place(asked.origin) in self._issuers
        if not issues and (asked.operation == vocabulary.TOKEN or _CREDENTIALS.search(asked.body)):
            raise self._no(
                "host",
                f"{asked.method} {asked.origin} was not sent: credentials go to {' and '.join(self._named_issuers())} "
                f"alone, as {self.tenant.where} names them.",
            )
        if asked.origin == self._origin or (issues and not asked.with_token):
            return
        if self._origin.startswith("https://") and asked.origin.startswith("http://"):
            raise self._no(
                "host",
                f"{asked.method} {asked.origin} was not sent: a server's word leads out of https, where anybody along "
                "the way reads and changes what comes.",
            )
        host = asked.host
        named = _same_host(host, self.tenant.host) or any(fnmatch.fnmatchcase(host, each) for each in self.tenant.hosts)
        if not named:
            raise self._no(
                "host",
                f"{asked.method} {asked.origin} was not sent: {self.tenant.where} names no such host. Where downloads "
                f'lie there, write hosts = ["{host}"].',
            )
        if asked.with_token or asked.body or asked.method not in ("GET", "HEAD"):
            raise self._no(
                "host", f"{asked.origin} is not the environment: files are read there, and no token or body is sent."
            )

    def _named_issuers(self) -> list[str]:
        return sorted({split_base(url.partition("?")[0])[0] for url in self.tenant.token_endpoints})

    def _as_meant(self, asked: Asked) -> None:
        """A location is a server's word: where it leads into another call, following it would do more than to read."""
        if asked.meant == vocabulary.DOWNLOAD and asked.operation not in (vocabulary.DOWNLOAD, vocabulary.OTHER):
            raise self._no("location", f"A download's location leads to {asked.operation}: {asked.path[:80]}.")

    def _only_asks(self, asked: Asked) -> None:
        if asked.operation in QUESTIONS or (
            asked.operation == vocabulary.OTHER and asked.method in ("GET", "HEAD", "OPTIONS")
        ):
            return
        what = asked.operation if asked.operation in CHANGING else f"{asked.method} {asked.path[:80]}"
        raise self._no("read-only", f"{self.tenant.where} says read_only = true: no {what} is sent.")

    def _nobodys_job(self, asked: Asked) -> None:
        """A job that the description does not name is somebody's, unless the run has made its GUID up."""
        activity = asked.activity or ""
        if self.tenant.by_id(activity) is None and not _is_no_guid(activity) and not is_made_up(activity):
            raise self._no(
                "activity",
                f"No {asked.operation} goes to {activity[:40]}, an activity that {self.tenant.where} does not name: it "
                "may be somebody's. What a run calls nobody's has a GUID of version 8.",
            )

    def _own_messages_only(self, asked: Asked) -> None:
        if not self._is_exclusive(asked.activity) and not _is_no_guid(asked.activity):
            found = None if asked.activity is None else self.tenant.by_id(asked.activity)
            job = "an activity that it does not name" if found is None else f"{found.role}, which others may use"
            raise self._no(
                "acknowledge",
                f"No acknowledgment goes to {job}: nothing on the wire marks a message as the run's own. Where nobody "
                f"else uses the activity, write exclusive = true into its table in {self.tenant.where}.",
            )
        with self._lock:
            foreign = bool(self._others) and (
                not self._others.isdisjoint(_names(asked.body))
                or any(each in asked.body.decode("utf-8", "replace") for each in self._others)
            )
        if foreign:
            raise self._no(
                "acknowledge", "An acknowledgment would name a message of an activity that others may use: it is kept."
            )

    def _is_exclusive(self, activity: str | None) -> bool:
        found = None if activity is None else self.tenant.by_id(activity)
        return found is not None and found.exclusive

    # The budget

    def _within_budget(self, length: int) -> None:
        budget = self.tenant.budget
        over = None
        if budget.requests is not None and self.spent.requests >= budget.requests:
            over = f"{budget.requests} requests"
        elif budget.megabytes is not None and self.spent.length + length > budget.megabytes * MEGABYTE:
            over = f"{budget.megabytes:g} megabytes"
        elif budget.minutes is not None and self.spent.seconds >= budget.minutes * 60:
            over = f"{budget.minutes:g} minutes of requests under way"
        if over is not None:
            raise self._no("budget", f"The budget of {over} in {self.tenant.where} is spent.", final=True)

    # What the server asks for

    def _leave_alone(self, asked: Asked) -> None:
        """Wait until the server wants to hear from anybody again; another request may put that off meanwhile."""
        while True:
            with self._lock:
                until = self._not_before.get(asked.host)
            if until is None or self.times is None:
                return
            if self.times.latest() < until:
                try:
                    self.times.wait_until(until)
                except NotAbleTo as error:
                    raise self._no(
                        "later",
                        f"{asked.host} asks to be left alone until {until.isoformat(timespec='seconds')}, which is "
                        "longer than this run waits: go on later, or with more --patience.",
                    ) from error
            with self._lock:
                if self._not_before.get(asked.host) == until:
                    del self._not_before[asked.host]
                    return

    def _no(self, permit: str, sentence: str, *, final: bool = False) -> NotPermitted:
        self.refused[permit] += 1
        return NotPermitted(self._name, permit, sentence, final=final)


def share_of(tenant: Tenant, processes: int) -> Tenant:
    """The same description with one of several processes' share of the budget: together they keep to it.

    Where there are fewer requests than processes none is left for each of them.
    """
    whole = tenant.budget
    return replace(
        tenant,
        budget=Budget(
            None if whole.requests is None else whole.requests // processes,
            None if whole.megabytes is None else whole.megabytes / processes,
            None if whole.minutes is None else whole.minutes / processes,
        ),
    )


def pause_of(heard: Heard) -> timedelta | None:
    """How long an answer asks to be left alone ("Service protection API limits": 429 and 503 with Retry-After)."""
    if heard.status not in LATER or heard.failure is not None:
        return None
    now = _date(heard.header("date") or "")
    said = [_pause(value.strip(), now) for name, value in heard.headers if name == "retry-after"]
    told = [each for each in said if each is not None]
    if told:
        return max(told)
    return timedelta(seconds=UNSAID) if heard.status == HTTPStatus.TOO_MANY_REQUESTS else None


def _pause(value: str, now: datetime | None) -> timedelta | None:
    """What one Retry-After asks for, a year at most; None where it says nothing that could be read."""
    if re.fullmatch("[0-9]+", value):
        # Python converts no text of thousands of digits.
        return _LONGEST if len(value) > _DIGITS_OF_YEARS else min(timedelta(seconds=int(value)), _LONGEST)
    until = _date(value)
    return None if until is None or now is None else min(max(until - now, timedelta(0)), _LONGEST)


_LONGEST: Final = timedelta(days=366)

_DIGITS_OF_YEARS: Final = 9


def _date(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _is_no_guid(activity: str | None) -> bool:
    """Whether an activity is named that there cannot be: a GUID has 32 digits, unless each of its parts has its own 0x.

    (So does .NET write one with the format X, and read it: without leading zeros.)
    """
    return activity is not None and "0x" not in activity and len(_DIGITS.findall(activity)) < _GUID_DIGITS


_DIGITS: Final = re.compile(r"[0-9a-f]", re.IGNORECASE)

_GUID_DIGITS: Final = 32


def _place(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL, the computer itself under one name."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    return (
        parts.scheme,
        "localhost" if host in _LOOPBACK else host,
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )


_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_CREDENTIALS: Final = re.compile(rb"(?:^|[&\s])(?:client_secret|client_assertion)=", re.IGNORECASE)
"""In a body: what only an issuer may see."""


def _same_host(one: str, other: str) -> bool:
    return one == other or (one in _LOOPBACK and other in _LOOPBACK)


def _names(body: bytes) -> set[str]:
    """What names a message in the body of a dequeue's answer or an acknowledgment: its receipt and its correlation."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return set()
    return set(_named(told))


def _named(told: object, depth: int = 3) -> Iterator[str]:
    if isinstance(told, str) and depth < _DEPTH and told.startswith("{"):
        yield from _names(told.encode())
    if isinstance(told, list):
        for each in told:
            yield from _named(each, depth - 1) if depth else ()
    if isinstance(told, dict):
        for name, value in told.items():
            if isinstance(value, str) and name.lower() in _NAMES and value:
                yield value
            elif depth:
                yield from _named(value, depth - 1)


_DEPTH: Final = 3

_NAMES: Final = frozenset({vocabulary.POP_RECEIPT.lower(), vocabulary.CORRELATION_ID.lower()})
