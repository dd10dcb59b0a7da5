"""Asks sent, replies received, each written into the journal with bounds for when it happened.

It knows one target, its time and one journal. It does not know what asks mean and never repeats one.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from popreceipt.client.base_url import split_base
from popreceipt.client.guarding import Asked, Guard, Heard, asked_for
from popreceipt.client.inflow import LONGEST_FILE, LONGEST_WORDS
from popreceipt.client.recording import record
from popreceipt.client.tape import Sent, Tapes
from popreceipt.client.times import TargetClock
from popreceipt.client.transport import Network, Transport, Verify
from popreceipt.client.wire import Ask, Reply
from popreceipt.clock import stopwatch
from popreceipt.journal import Journal
from popreceipt.vocabulary import DOWNLOAD

__all__ = ["Reply", "Session", "split_base"]

AGENT: Final = "popreceipt"

CHUNK: Final = 4096
"""Bytes in a chunk of an upload without announced length."""


class Session:
    """A target as one caller sees it; safe to share between threads.

    Args:
        base_url: scheme, authority and perhaps a path before the API's (`/namespaces/AXSF` on premises).
        times: the target's clock.
        journal: takes every exchange, failed ones too.
        transport: stands in for the network; None opens connections.
        verify: how certificates are checked: a TLS context, a file with an authority, or as usual.
        timeout: real seconds for an answer.
        tapes: take every request as it was asked for; None if nobody will.
        guard: is asked before anything is sent, to other hosts too; None where everything may be.

    Raises:
        UsageError: the base URL is none, or the authority's file cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        times: TargetClock,
        journal: Journal,
        *,
        transport: Network | Transport | None = None,
        verify: Verify = None,
        timeout: float = 30.0,
        tapes: Tapes | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.origin, self._prefix = split_base(base_url)
        self.base_url = self.origin + self._prefix
        self.times = times
        self.journal = journal
        self.timeout = timeout
        self._transport = transport if isinstance(transport, Transport) else Transport(transport, verify)
        self.tapes = tapes if tapes is not None else Tapes()
        self.guard = guard
        self._keeps_time = True
        self._always = (
            ("host", self.origin.partition("://")[2]),
            ("accept-encoding", "identity"),
            ("user-agent", AGENT),
        )

    def elsewhere(self, base_url: str) -> "Session":
        """A session with another host (a token endpoint): same connections and journal, but its clock is nobody's."""
        other = Session(
            base_url,
            self.times,
            self.journal,
            transport=self._transport,
            timeout=self.timeout,
            tapes=self.tapes,
            guard=self.guard,
        )
        other._keeps_time = False
        return other

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        self._transport.close()

    def send(
        self,
        ask: Ask,
        *,
        actor: str | None = None,
        token: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        chunked: bool = False,
        timeout: float | None = None,
    ) -> Reply:
        """Send an ask and write down what became of it.

        Args:
            ask: the request.
            actor: who calls, for the journal: an identity's role, perhaps a slash and a consumer's name.
            token: an access token, sent as a bearer; None sends none.
            headers: more of them, after the ask's own.
            chunked: send the body in chunks instead of announcing its length.
            timeout: real seconds for this answer.

        Raises:
            UsageError: the ask cannot be written as HTTP.
            NotPermitted: the guard lets no such request out; nothing was sent or written down.
        """
        sent_headers = [*self._always]
        if token is not None:
            sent_headers.append(("authorization", f"Bearer {token}"))
        sent_headers += ask.headers
        more = tuple(headers)
        sent_headers += more
        body: bytes | Iterator[bytes] = ask.body
        if chunked:
            sent_headers.append(("transfer-encoding", "chunked"))
            body = _pieces(ask.body)
        elif ask.body or ask.method in ("POST", "PUT", "PATCH"):
            sent_headers.append(("content-length", str(len(ask.body))))
        target = self._prefix + ask.target
        asked = None if self.guard is None else self._asked(ask, target, sent_headers, actor)
        if self.guard is not None and asked is not None:
            self.guard.permit(asked)
        began_really = stopwatch()
        began = self.times.begin()
        answer = self._transport.exchange(
            ask.method,
            self.origin,
            target,
            sent_headers,
            body,
            self.timeout if timeout is None else timeout,
            most=longest(asked_for(ask.path, ask.operation)[0], self.guard),
        )
        sent, answered = self.times.end(began, _date(answer.headers) if self._keeps_time else None)
        if self.guard is not None and asked is not None:
            took = stopwatch() - began_really
            length = _length(answer.headers) + answer.came
            self.guard.note(asked, Heard(answer.status, answer.headers, answer.body, answer.failure, length, took))
        exchange = record(
            self.journal,
            sent=sent,
            answered=answered,
            method=ask.method,
            url=self.origin + target,
            request_headers=sent_headers,
            request_body=ask.body,
            status=answer.status,
            response_headers=answer.headers,
            response_body=answer.body,
            failure=answer.failure,
            actor=actor,
            operation=ask.operation,
        )
        status = answer.status if answer.failure is None else None
        reply = Reply(exchange, status, answer.headers, answer.body, answer.failure)
        self.tapes.add(Sent(ask, actor, token, more, chunked, reply))
        return reply

    def _asked(self, ask: Ask, target: str, headers: list[tuple[str, str]], actor: str | None) -> Asked:
        path = target.partition("?")[0]
        operation, activity = asked_for(path, ask.operation)
        return Asked(
            method=ask.method,
            origin=self.origin,
            path=path,
            operation=operation,
            activity=activity,
            actor=actor,
            with_token=any(name.lower() == "authorization" for name, _ in headers),
            length=len(ask.method) + len(target) + _length(headers) + len(ask.body),
            body=ask.body,
            meant=ask.operation,
        )


def longest(operation: str, guard: Guard | None) -> int:
    """Bytes that the answer to this may have: those of a file or of words, and no more than is left of a budget."""
    most = LONGEST_FILE if operation == DOWNLOAD else LONGEST_WORDS
    room = None if guard is None else guard.room()
    return most if room is None else min(most, room)


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]


def _length(headers: Iterable[tuple[str, str]]) -> int:
    """About how many bytes headers take: each has a colon, a blank and the line's end beside its text."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _date(headers: Iterable[tuple[str, str]]) -> str | None:
    for name, value in headers:
        if name == "date":
            return value
    return None
