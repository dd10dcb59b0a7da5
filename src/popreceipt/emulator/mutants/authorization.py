"""Wrong doorkeepers: who is let in though he should not be, or turned away though he should be let in."""

import dataclasses
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.errors import JoseError

from popreceipt.emulator.activity import EXPORT, IMPORT, Activity
from popreceipt.emulator.bodies import NotJson, read_object
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.identity import Caller, Identity
from popreceipt.emulator.identity.directory import is_environment
from popreceipt.emulator.identity.tokens import signing_key
from popreceipt.emulator.mutants.mutant import Mutant
from popreceipt.emulator.mutants.parts import Around, Mutated, Route, StoreAround, answers, made_of
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.store import Store
from popreceipt.vocabulary import ACK, CORRELATION_ID, DEQUEUE, ENQUEUE, JOBSTATUS, MESSAGE_STATUS, POP_RECEIPT

AUTHORISED = "authorised"
NOBODY = "nobody"

_PASS = "Pass "  # noqa: S105 - the scheme of a header that only this module writes and reads

Claims = dict[str, Any]
Decide = Callable[[Mutated, Call], str | None]
"""The role that a call counts as, NOBODY for none; None where the call is to be judged as usual."""


class Doorkeeper(Identity):
    """An issuer that also knows its own passes."""

    def check(self, authorization: str | None, at: datetime) -> Caller | None:
        """Who calls: by a pass, or by a token as usual."""
        if authorization is not None and authorization.startswith(_PASS):
            application = self.clients.get(authorization.removeprefix(_PASS))
            return None if application is None else Caller(application.client_id, application.object_id)
        return super().check(authorization, at)


def deciding(decide: Decide, *operations: str) -> Around:
    """Routes at whose door somebody decides, for these operations or (none given) for all."""

    def around(emulator: Mutated, route: Route) -> Route:
        def answer(call: Call) -> Response | None:
            if emulator.operation is None or (operations and emulator.operation not in operations):
                return route(call)
            role = decide(emulator, call)
            return route(call if role is None else _with_header(call, f"{_PASS}{role}"))

        return answer

    return around


def _with_header(call: Call, authorization: str) -> Call:
    others = tuple(each for each in call.request.headers if each[0] != "authorization")
    request = dataclasses.replace(call.request, headers=(*others, ("authorization", authorization)))
    return dataclasses.replace(call, request=request)


def _let_in(wanted: Callable[[Mutated, Call], bool]) -> Decide:
    """Whoever is wanted counts as the authorised application."""
    return lambda emulator, call: AUTHORISED if wanted(emulator, call) else None


def _is_anonymous(_: Mutated, call: Call) -> bool:
    return call.request.header("authorization") is None


def _has_role(role: str) -> Callable[[Mutated, Call], bool]:
    def wanted(emulator: Mutated, call: Call) -> bool:
        caller = emulator.identity.check(call.request.header("authorization"), call.now)
        return caller is not None and emulator.role(caller.client_id) == role

    return wanted


# What tokens say


def _signed_claims(authorization: str | None) -> Claims:
    """What a token says whose signature is right; nothing for any other."""
    try:
        return dict(jwt.decode((authorization or "").partition(" ")[2], signing_key(), algorithms=["RS256"]).claims)
    except (JoseError, ValueError):
        return {}


def _claims(authorization: str | None) -> Claims:
    """What a token says, whoever wrote it."""
    pieces = (authorization or "").partition(" ")[2].split(".")
    try:
        said = json.loads(urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4)))
    except (IndexError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _role_in(emulator: Mutated, claims: Claims) -> str | None:
    return emulator.role(str(claims.get("appid")))


def _is_for_here(emulator: Mutated, claims: Claims) -> bool:
    return is_environment(str(claims.get("aud")), emulator.base_url)


def _is_over(call: Call, claims: Claims) -> bool:
    return call.now >= datetime.fromtimestamp(claims.get("exp", 0), UTC)


def _whatever_the_signature(emulator: Mutated, call: Call) -> str | None:
    claims = _claims(call.request.header("authorization"))
    return _role_in(emulator, claims) if _is_for_here(emulator, claims) and not _is_over(call, claims) else None


def _whatever_the_time(emulator: Mutated, call: Call) -> str | None:
    claims = _signed_claims(call.request.header("authorization"))
    return _role_in(emulator, claims) if _is_for_here(emulator, claims) and _is_over(call, claims) else None


def _whatever_the_audience(emulator: Mutated, call: Call) -> str | None:
    claims = _signed_claims(call.request.header("authorization"))
    return None if not claims or _is_for_here(emulator, claims) or _is_over(call, claims) else _role_in(emulator, claims)


def _not_of_the_first_version(_: Mutated, call: Call) -> str | None:
    return NOBODY if _signed_claims(call.request.header("authorization")).get("ver") == "1.0" else None


def _now_and_then(emulator: Mutated, route: Route) -> Route:
    """Every twentieth call is turned away."""
    calls = 0

    def decide(_: Mutated, __: Call) -> str | None:
        nonlocal calls
        calls += 1
        return NOBODY if calls % 20 == 0 else None

    return deciding(decide)(emulator, route)


# The policy's entry


class _BlindToDisabled(StoreAround):
    """Connector and actions see every activity as enabled; its settings stay as they are."""

    def activity(self, identifier: str) -> Activity | None:
        found = super().activity(identifier)
        if found is None or self.emulator.operation is None:
            return found
        return dataclasses_like(found, enabled=True)


def dataclasses_like(activity: Activity, **changes: Any) -> Activity:
    """The activity with other settings."""
    import msgspec

    return msgspec.structs.replace(activity, **changes)
