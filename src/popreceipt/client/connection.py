"""Calls of a client in daily use: one environment, its token, its proxies and certificates; answers as values.

It knows where a token may go, how long to wait before the next call and which failures may pass. It writes no journal
(`session` does, for suites) and does not know what a call is for: that a message may be acknowledged, or a file handed
in once more, is for the consumer and the producer. Needs the extra `middleware` for its retries.

Seams for those who want it otherwise, each a method: `headers`, `token`, `ask_for_token`, `place_of` and `places` (from
where to download), `follows` (redirects), `retry_after`, `is_passing`, `persist`.
"""

import json
import logging
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx

from popreceipt import vocabulary
from popreceipt.client.base_url import split_base
from popreceipt.client.patience import Patience, Watch
from popreceipt.client.transport import KEPT_IDLE, PROTOCOL, REFUSED, RESET, TIMEOUT, TRUNCATED, Pairs, context
from popreceipt.client.wire import Ask, member

try:
    from tenacity import RetryCallState, Retrying, retry_if_result
except ModuleNotFoundError as missing:
    raise ImportError(f"{missing}: it comes along with pip install 'popreceipt[middleware]'.") from missing

_log = logging.getLogger("popreceipt.client")

NO_TOKEN: Final = "token"
"""A call was not made because there is no token for it."""

LATE: Final = "late"
"""A call was not made because the service wants to be left alone until after it would have made sense."""

STOPPED: Final = "stopped"
"""A call was not made, or broken off, because the watch is over."""

PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same call may succeed a little later."""

MOST_REDIRECTS: Final = 5

LONGEST_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer that is kept in memory; a file goes to disk whatever its length."""

RENEWED_BEFORE: Final = 60.0
"""Seconds before a token's end at which a new one is asked for, or half of its life where that is shorter."""

ASSUMED_LIFETIME: Final = 300.0
"""Seconds a token is used when its answer does not tell; the member is only recommended (RFC 6749, section 5.1)."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An application's own credentials, and where tokens are had for them (the v2.0 endpoint, client credentials).

    `resource` is the environment that the token is for; None means the base URL.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    resource: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a call.

    Args:
        status: None when no whole answer came; `failure` then says why: timeout, reset, truncated, refused, protocol,
            token, late, stopped; or a word of whoever looked at the body.
        headers: their names in lower case.
        body: empty where it went into a file.
        failure: a word for it, None where the answer is whole.
        sent: whether the service may have seen the call.
        head: the status of an answer of which the rest did not come.
    """

    status: int | None = None
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)
    failure: str | None = None
    sent: bool = True
    head: int | None = None

    @property
    def ok(self) -> bool:
        """A whole answer with a status of success."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def words(self) -> str:
        """What became of it, for people."""
        return self.failure if self.failure is not None else f"status {self.status}"

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Place:
    """A URL to ask, and whether the token may go there."""

    url: str
    own: bool


class Connection:
    """One environment as one application calls it; threads may share it.

    Proxies come from the environment's variables, as for other programs.

    Args:
        base_url: the environment's root, as in `https://contoso.operations.dynamics.com`.
        credentials: whose tokens are used.
        patience: how long to wait for what.
        watch: when to end.
        ca_file: the only certificate authority to trust; None trusts the usual ones.
        transport: stands in for the network, in tests.

    Raises:
        UsageError: the base URL is none, or the authority's file cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        patience: Patience | None = None,
        watch: Watch | None = None,
        ca_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.origin, self._prefix = split_base(base_url)
        self.base_url = self.origin + self._prefix
        self.credentials = credentials
        self.patience = patience if patience is not None else Patience()
        self.watch = watch if watch is not None else Watch()
        own = urlsplit(self.origin)
        self._scheme, self._host = own.scheme, own.hostname or ""
        self._port = own.port or _DEFAULT[own.scheme]
        split_base(credentials.token_url)
        self._client = httpx.Client(
            verify=context(ca_file) or ssl.create_default_context(),
            transport=transport,
            follow_redirects=False,
            limits=httpx.Limits(keepalive_expiry=KEPT_IDLE),
            headers={"accept-encoding": "identity", "user-agent": "popreceipt-reference"},
        )
        # A cookie of one answer has no business in another request.
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._lock = threading.Lock()
        self._token: str | None = None
        self._token_until = 0.0
        self._token_refusals = 0
        self._renew_from = 0.0
        self._not_before: dict[str, float] = {}

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        self._client.close()

    # Calls

    def call(self, operation: str, ask: Ask, *, upload: Path | None = None, until: float | None = None) -> Answer:
        """Make one call of the environment, with a new token and once more where the old one is refused.

        Args:
            operation: what it is, in the journal's words; the service's Retry-After counts for all of the same.
            ask: the call.
            upload: a file to send as the body, from its first byte at each try; it is not read into memory.
            until: an instant of the watch after which the call makes no sense any more.
        """
        place = Place(self.base_url + ask.target, own=True)
        return self._authorised(operation, place, lambda token: self._call(ask, place, token, upload), until)

    def _call(self, ask: Ask, place: Place, token: str | None, upload: Path | None) -> Answer:
        headers = [*ask.headers, *self.headers(place, token)]
        if upload is None:
            return self.exchange(ask.method, place.url, headers, ask.body or None)
        with upload.open("rb") as content:
            return self.exchange(ask.method, place.url, headers, content)

    def download(self, place: Place, sink: IO[bytes]) -> Answer:
        """Fetch a file into a sink, through redirects; what the sink held before is gone."""

        def fetch(token: str | None) -> Answer:
            asked = place
            for _ in range(MOST_REDIRECTS):
                answer = self.exchange("GET", asked.url, self.headers(asked, token), sink=sink)
                following = self.follows(asked, answer)
                if following is None:
                    break
                asked = following
            return answer

        return self._authorised(vocabulary.DOWNLOAD, place, fetch)

    def _authorised(
        self, operation: str, place: Place, make: Callable[[str | None], Answer], until: float | None = None
    ) -> Answer:
        for is_last in (False, True):
            if not self._is_turn(operation, until):
                return Answer(failure=STOPPED if self.watch.over else LATE, sent=False)
            token = self.token() if place.own else None
            if place.own and token is None:
                return Answer(failure=STOPPED if self.watch.over else NO_TOKEN, sent=False)
            if until is not None and self.watch.now() > until:
                return Answer(failure=LATE, sent=False)
            answer = make(token)
            self._note_wait(operation, answer)
            if answer.status != 401 or token is None or is_last or not self._renews(token):
                break
        if answer.status == 401 and token is not None:
            # A token that is new and refused will not be better for being newer: not before long.
            self._renew_from = self.watch.now() + self.patience.longest
        return answer

    def headers(self, place: Place, token: str | None) -> Pairs:
        """The headers of every call: the token, where it may go.

        A token goes to the environment's own host alone, and in the scheme of the base URL (RFC 6750, section 5.3).
        """
        return (("authorization", f"Bearer {token}"),) if place.own and token is not None else ()

    def exchange(
        self,
        method: str,
        url: str,
        headers: Pairs | list[tuple[str, str]],
        content: bytes | IO[bytes] | None = None,
        sink: IO[bytes] | None = None,
    ) -> Answer:
        """Send one request, once, and read its answer to the end: into the sink where it is 200 and there is one."""
        ends = self.watch.now() + (self.patience.answer if sink is None else self.patience.file)
        try:
            request = self._client.build_request(
                method, url, headers=list(headers), content=content, timeout=self.patience.answer
            )
            response = self._client.send(request, stream=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return Answer(failure=PROTOCOL, sent=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError):
            return Answer(failure=REFUSED, sent=False)
        except httpx.TimeoutException:
            return Answer(failure=TIMEOUT)
        except httpx.TransportError:
            return Answer(failure=RESET)
        with closing(response):
            return self._read(response, ends, sink if response.status_code == 200 else None)

    def _read(self, response: httpx.Response, ends: float, sink: IO[bytes] | None) -> Answer:
        headers = tuple((name.lower(), value) for name, value in response.headers.multi_items())
        body = bytearray()
        failure: str | None = None
        if sink is not None:
            sink.seek(0)
            sink.truncate()
        try:
            for piece in response.iter_bytes():
                if sink is not None:
                    sink.write(piece)
                else:
                    body += piece
                if self.watch.now() > ends:
                    failure = TIMEOUT
                elif len(body) > LONGEST_ANSWER:
                    failure = PROTOCOL
                elif sink is not None and self.watch.over:
                    failure = STOPPED
                if failure is not None:
                    break
        except httpx.TimeoutException:
            failure = TIMEOUT
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            failure = TRUNCATED
        except httpx.RequestError:
            failure = PROTOCOL
        if failure is not None:
            return Answer(headers=headers, failure=failure, head=response.status_code)
        return Answer(status=response.status_code, headers=headers, body=bytes(body))

    # Where to download from

    def places(self, location: str) -> list[Place]:
        """Where a DownloadLocation's file may be had, in the order of trying.

        A location on the environment's own host is asked for at the base URL's scheme and port: behind a load balancer
        it says http ("Recurring integrations", section "Http vs Https"), perhaps with :80. Another host is asked
        without a token, and then the environment itself: the name may be one that only a balancer knows.
        """
        named = self.place_of(location)
        if named is None:
            return []
        return [named] if named.own else [named, Place(self._at_home(named.url), own=True)]

    def place_of(self, url: str) -> Place | None:
        """A URL as it is asked for; None where it is none. In a world of https nothing is asked for in clear text."""
        try:
            parts = urlsplit(urljoin(self.base_url + "/", url.strip()))
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        if parts.scheme not in _DEFAULT or not host:
            return None
        same = host == self._host or {host, self._host} <= _LOOPBACK
        if same and port in {None, 80, 443, self._port}:
            return Place(self._at_home(url), own=True)
        if parts.scheme == "http" and self._scheme == "https":
            authority = f"[{host}]" if ":" in host else host
            parts = parts._replace(scheme="https", netloc=authority if port in {None, 80} else f"{authority}:{port}")
        return Place(parts._replace(fragment="").geturl(), own=False)

    def _at_home(self, url: str) -> str:
        parts = urlsplit(urljoin(self.base_url + "/", url.strip()))
        return self.origin + parts._replace(scheme="", netloc="", fragment="").geturl()

    def follows(self, asked: Place, answer: Answer) -> Place | None:
        """Where a redirect leads; None where it is none. The token stays behind where the host is another name."""
        location = answer.header("location")
        if answer.status not in {301, 302, 303, 307, 308} or location is None:
            return None
        try:
            target = urljoin(asked.url, location)
            host = urlsplit(target).hostname
        except ValueError:
            return None
        place = self.place_of(target)
        if place is None or host == self._host:
            return place
        return replace(place, own=False)

    # Tokens

    def token(self) -> str | None:
        """A token with some time to live; None where the issuer gives none.

        An issuer that refuses is asked again, but later each time.
        """
        with self._lock:
            if self._token is None or self.watch.now() >= self._token_until:
                self._token = None
                answer = self.persist(self.ask_for_token)
                self._keep(answer)
            return self._token

    def ask_for_token(self) -> Answer:
        """One request for a token (RFC 6749, section 4.4.2; the scope is the environment and `/.default`)."""
        if not self._is_turn(vocabulary.TOKEN):
            return Answer(failure=STOPPED, sent=False)
        whose = self.credentials
        form = {
            "grant_type": "client_credentials",
            "client_id": whose.client_id,
            "client_secret": whose.client_secret,
            "scope": f"{whose.resource or self.base_url}/.default",
        }
        headers = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))
        content = urlencode(form, quote_via=quote).encode("ascii")
        answer = self.exchange("POST", whose.token_url, headers, content)
        self._note_wait(vocabulary.TOKEN, answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        said = answer.json() if answer.ok else None
        token = member(said, "access_token") if isinstance(said, Mapping) else None
        if not isinstance(token, str) or not token:
            self._token_refusals += 1
            _log.warning("No token: %s", answer.words)
            self._later(vocabulary.TOKEN, self.patience.pause(self._token_refusals))
            return
        self._token_refusals = 0
        lives = _seconds(member(said, "expires_in") if isinstance(said, Mapping) else None)
        lifetime = ASSUMED_LIFETIME if lives is None else lives
        self._token, self._token_until = token, self.watch.now() + lifetime - min(RENEWED_BEFORE, lifetime / 2)

    def _renews(self, refused: str) -> bool:
        """Forget a token that was refused; whether another try makes sense."""
        with self._lock:
            if self._token == refused:
                if self.watch.now() < self._renew_from:
                    return False
                self._token = None
            return True

    # Waiting

    def _is_turn(self, operation: str, until: float | None = None) -> bool:
        """Wait until an operation may be asked for again; whether it may, and in time."""
        while (left := self._not_before.get(operation, 0.0) - self.watch.now()) > 0:
            if (until is not None and self.watch.now() + left > until) or not self.watch.wait(left):
                return False
        return not self.watch.over

    def _note_wait(self, operation: str, answer: Answer) -> None:
        wait = self.retry_after(answer)
        if wait is not None:
            self._later(operation, wait)

    def _later(self, operation: str, seconds: float) -> None:
        self._not_before[operation] = max(self._not_before.get(operation, 0.0), self.watch.now() + seconds)

    def retry_after(self, answer: Answer) -> float | None:
        """Seconds for which the service asks to be left alone, in either form (RFC 9110, section 10.2.3).

        A date is taken by the service's own clock where the answer shows it.
        """
        said = (answer.header("retry-after") or "").strip()
        if not said or answer.ok:
            return None
        if said.isdecimal():
            return float(said[:9])
        until, now = _instant(said), _instant(answer.header("date") or "")
        if until is None:
            return None
        return max(0.0, until - (self.watch.date() if now is None else now))

    def is_passing(self, answer: Answer) -> bool:
        """Whether the same call may succeed a little later."""
        if answer.failure is not None:
            return answer.failure not in {STOPPED, LATE, NO_TOKEN}
        return answer.status in PASSING

    def persist(
        self,
        once: Callable[[], Answer],
        *,
        again: Callable[[Answer], bool] | None = None,
        until: float | None = None,
    ) -> Answer:
        """Make a call until it succeeds, or fails in a way that does not pass, or was tried often enough.

        Between two tries it waits, longer each time and by some chance, or as long as the service asked.

        Args:
            once: the call.
            again: whether an answer is worth another try; `is_passing` unless given.
            until: an instant of the watch at which no try begins any more.
        """

        def is_enough(state: RetryCallState) -> bool:
            late = until is not None and self.watch.now() + state.upcoming_sleep >= until
            return late or self.watch.over or state.attempt_number >= self.patience.tries

        def last(state: RetryCallState) -> Answer:
            assert state.outcome is not None  # noqa: S101 - tenacity calls this only after a try
            answer: Answer = state.outcome.result()
            return answer

        retrying = Retrying(
            retry=retry_if_result(again if again is not None else self.is_passing),
            wait=lambda state: self.patience.pause(state.attempt_number),
            stop=is_enough,
            sleep=self._sleep,
            retry_error_callback=last,
        )
        return retrying(once)

    def _sleep(self, seconds: float) -> None:
        self.watch.wait(seconds)


def _seconds(value: object) -> float | None:
    # The first version of the endpoint writes numbers as text.
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _instant(text: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()
