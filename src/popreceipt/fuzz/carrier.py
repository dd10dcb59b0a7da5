"""Every call of schemathesis goes through the target's own session.

So it crosses the wire as any other does (in process, over HTTP, to a tenant), is written into the journal with its
actor and times, and stands on the tape. Nothing is looked up, resolved or sent beside it. Before a call its example
is equipped with the state that it asks about, after it the world learns what was handed out.
"""

import re
from collections.abc import Mapping
from random import Random
from typing import Any, Final
from urllib.parse import unquote

import requests
from schemathesis.core import NotSet
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.transport.requests import REQUESTS_TRANSPORT, RequestsTransport

from popreceipt import vocabulary
from popreceipt.client.guarding import NotPermitted
from popreceipt.client.wire import Ask, Reply, delivery, download
from popreceipt.exceptions import UsageError
from popreceipt.fuzz.bodies import STRATEGIES
from popreceipt.fuzz.equipment import Equipment, Equipped
from popreceipt.fuzz.ledger import Call, Ledger
from popreceipt.fuzz.strangers import Strangers
from popreceipt.fuzz.world import CONNECTOR
from popreceipt.shapes.documents import Operation
from popreceipt.targets import Target

ANY_CASE = Case[Any]

PLACEHOLDER: Final = "Bearer popreceipt"
"""Stands for the token of the authorised client wherever schemathesis sends credentials that it takes for good."""

_OURS: Final = frozenset(
    {"host", "content-length", "connection", "accept-encoding", "user-agent", "authorization", "transfer-encoding"}
)
"""Headers that the session writes, or that would break the connection: what schemathesis makes of them is not sent."""

_ITS_OWN: Final = "x-schemathesis-testcaseid"

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Unsendable(requests.RequestException):
    """What was made cannot be written as an HTTP request by a client that keeps to the standard."""


class Carrier(RequestsTransport):
    """Carries the calls of one run.

    Args:
        target: to whom.
        operations: those that are fuzzed, by schemathesis' label of them.
        ledger: keeps what was done and what was wrong with it.
        strangers: those who must be refused.
        chance: decides.
    """

    def __init__(
        self,
        target: Target,
        operations: Mapping[str, Operation],
        ledger: Ledger,
        strangers: Strangers,
        chance: Random,
    ) -> None:
        super().__init__()
        self._copy_serializers_from(REQUESTS_TRANSPORT)
        self.serializer(*STRATEGIES)(lambda _, body: {"data": body})
        self._target = target
        self._operations = operations
        self._ledger = ledger
        self._strangers = strangers
        self._chance = chance
        self._equipment = Equipment(target, ledger, chance)

    def send(self, case: ANY_CASE, *, session: requests.Session | None = None, **kwargs: Any) -> Response:
        """Send an example through the target's session.

        What comes without a session is no example: a check repeats one with other credentials.

        Raises:
            Unsendable: it cannot be written as HTTP, or a tenant's description forbids it.
            requests.ConnectionError: no whole answer came.
        """
        operation = self._operations[case.operation.label]
        equipped = Equipped()
        if session is not None:
            self._ledger.next_case(str(case.meta.phase.name) if case.meta is not None else "")
            self._decide_by(operation, case)
            equipped = self._equipment.equip(operation, case)
        request = self._prepared(case, kwargs.get("headers"))
        ask = self._asked(operation, equipped, request)
        actor, token, more = self._credentials(operation, equipped, request)
        activity = vocabulary.operation_of(ask.path)[1]
        world = self._ledger.world
        met = ask.method == operation.method and actor == "authorised" and world.met(operation.name, ask, activity)
        must = met and world.must_succeed(operation.name, ask, activity)
        try:
            if met and operation.guarded:
                self._strangers.perhaps_try(operation.name, ask)
            reply = self._target.session.send(ask, actor=actor, token=token, headers=more)
        except (UsageError, NotPermitted) as error:
            if isinstance(error, NotPermitted) and error.final:
                self._ledger.refused(operation.name, error)
            else:
                self._ledger.unsendable(operation.name)
            raise Unsendable(str(error), request=request) from error
        if operation.name == vocabulary.DEQUEUE and not self._target.can("produce"):
            # Nobody could say before whether a message waited.
            met = delivery(reply) is not None
        self._ledger.note(
            Call(
                operation=operation,
                reply=reply,
                actor=actor,
                positive=case.meta is not None
                and case.meta.generation.mode.is_positive
                and (actor == "authorised" or not operation.guarded),
                met=met,
                must_succeed=must,
                known_activity=operation.name not in CONNECTOR or self._is_known(operation.name, activity),
            ),
            case.id,
        )
        if actor == "authorised":
            world.note(operation.name, ask, activity, reply)
        return _response(request, reply)

    def _decide_by(self, operation: Operation, case: ANY_CASE) -> None:
        """Let all that is decided by chance follow from the example itself, and not from what a server has said.

        Hypothesis tries beginnings of stories again, and gives the rest up where the same beginning goes on otherwise.
        """
        path = next(iter((case.path_parameters or {}).values()), "")
        known = self._is_known(operation.name, vocabulary.bare_guid(unquote(str(path))))
        body = None if isinstance(case.body, NotSet) else case.body
        told = _GUID.sub("", repr((case.query, dict(case.headers), body)))
        place = f"{operation.id} {self._ledger.step} {'' if known else path}"
        self._chance.seed(f"fuzz {self._ledger.seed} {place} {told}")

    def _is_known(self, operation: str, activity: str | None) -> bool:
        """Whether the path names a recurring data job that has the operation."""
        jobs = [each.id for each in self._ledger.world.imports] if operation != vocabulary.DEQUEUE else []
        jobs += [each.id for each in self._ledger.world.exports] if operation != vocabulary.ENQUEUE else []
        return activity in jobs

    def _prepared(self, case: ANY_CASE, headers: Mapping[str, str] | None) -> requests.PreparedRequest:
        told = self.serialize_case(case, base_url=self._target.session.base_url, headers=dict(headers or {}))
        try:
            return requests.Request(**told).prepare()
        except (requests.RequestException, ValueError) as error:
            self._ledger.unsendable(self._operations[case.operation.label].name)
            raise Unsendable(str(error)) from error

    def _asked(self, operation: Operation, equipped: Equipped, request: requests.PreparedRequest) -> Ask:
        body = request.body
        made = body.encode("utf-8") if isinstance(body, str) else body if isinstance(body, bytes) else b""
        content = equipped.body if equipped.body is not None else made
        headers = tuple(
            (name.lower(), str(value))
            for name, value in request.headers.items()
            if name.lower() != _ITS_OWN and (name.lower() not in _OURS)
        )
        method = request.method or operation.method
        prefix = self._target.session.base_url.removeprefix(self._target.session.origin)
        path, _, query = (request.path_url or "/").removeprefix(prefix).partition("?")
        if equipped.location is not None and method == operation.method:
            named = download(equipped.location)
            return Ask(method, named.path, named.query, headers, content, operation.name)
        return Ask(method, path, query, headers, content)

    def _credentials(
        self, operation: Operation, equipped: Equipped, request: requests.PreparedRequest
    ) -> tuple[str, str | None, tuple[tuple[str, str], ...]]:
        """Who an example calls as: actor, token, and the header where it is none that carries a token."""
        given = request.headers.get("Authorization")
        if not operation.guarded:
            return equipped.actor, None, () if given in (None, PLACEHOLDER) else (("authorization", str(given)),)
        if given == PLACEHOLDER:
            return "authorised", self._target.tokens.current(), ()
        if given is None:
            return "anonymous", None, ()
        scheme, _, token = str(given).partition(" ")
        if scheme.lower() == "bearer" and token.strip() == token and token:
            return "forged", token, ()
        return "made-up", None, (("authorization", str(given)),)


def _response(request: requests.PreparedRequest, reply: Reply) -> Response:
    """A reply as schemathesis reads it.

    Raises:
        requests.ConnectionError: there is no whole answer.
    """
    if reply.status is None:
        failed = requests.Timeout if reply.failure == "timeout" else requests.ConnectionError
        raise failed(f"no whole answer: {reply.failure}", request=request)
    headers: dict[str, list[str]] = {}
    for name, value in reply.headers:
        headers.setdefault(name, []).append(value)
    took = reply.exchange.answered - reply.exchange.sent
    return Response(
        status_code=reply.status,
        headers=headers,
        content=reply.body,
        request=request,
        elapsed=took.total_seconds(),
        verify=True,
        encoding="utf-8" if "json" in (reply.header("content-type") or "") else None,
    )
