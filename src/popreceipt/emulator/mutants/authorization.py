"""Wrong doorkeepers: who is let in though he should not be, or turned away though he should be let in."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError

from popreceipt.emulator.activity import EXPORT, IMPORT, Activity
from popreceipt.emulator.bodies import NotJson, read_object
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.identity import Caller, Identity
from popreceipt.emulator.identity.directory import is_environment
from popreceipt.emulator.identity.tokens import signing_key
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Around, Mutated, Route, StoreAround, answers
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import (
    ACK,
    CORRELATION_ID,
    DEQUEUE,
    DOWNLOAD,
    ENQUEUE,
    JOBSTATUS,
    MESSAGE_STATUS,
    POP_RECEIPT,
)

AUTHORISED = "authorised"
NOBODY = "nobody"

_PASS = "Pass "
"""The scheme of a header that only this module writes and reads."""

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
    request = msgspec.structs.replace(call.request, headers=(*others, ("authorization", authorization)))
    return msgspec.structs.replace(call, request=request)


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
    return (
        None if not claims or _is_for_here(emulator, claims) or _is_over(call, claims) else _role_in(emulator, claims)
    )


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
    """The connector sees every activity as enabled; its settings stay as they are."""

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID, enabled where the connector asks."""
        found = super().activity(identifier)
        if found is None or self.emulator.operation is None:
            return found
        return msgspec.structs.replace(found, enabled=True)


# Refusals with an effect


REFUSALS = frozenset({401, 403})


def _activity_of(call: Call, direction: str) -> Activity | None:
    identifier = read_guid(call.words[-1])
    activity = None if identifier is None else call.emulator.store.activity(identifier)
    return activity if activity is not None and activity.direction == direction else None


def _leases_all_the_same(call: Call, response: Response) -> Response:
    activity = _activity_of(call, EXPORT)
    if response.status in REFUSALS and activity is not None:
        call.emulator.deliveries.dequeue(activity, call.now)
    return response


def _keeps_all_the_same(call: Call, response: Response) -> Response:
    activity = _activity_of(call, IMPORT)
    if response.status in REFUSALS and activity is not None:
        entity = call.request.parameters().get("entity")
        call.emulator.batch.enqueue(
            activity, call.request.body, call.now, entity=entity, company=None, external_identifier=None
        )
    return response


def _acknowledges_all_the_same(call: Call, response: Response) -> Response:
    activity = _activity_of(call, EXPORT)
    if response.status in REFUSALS and activity is not None:
        try:
            body = read_object(call.request.body)
        except NotJson:
            return response
        correlation, receipt = body.get(CORRELATION_ID), body.get(POP_RECEIPT)
        if isinstance(correlation, str) and isinstance(receipt, str):
            call.emulator.deliveries.acknowledge(activity, correlation, receipt, call.now)
    return response


# The issuer


class _AnySecretWillDo(Identity):
    """Takes whatever secret is sent for the right one."""

    def handle(self, request: Request) -> Response | None:
        """The answer, a wrong secret replaced by the right one."""
        response = super().handle(request)
        if response is None or response.status != 401:
            return response
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        application = self.directory.application(form.get("client_id", ""))
        if application is None:
            return response
        form["client_secret"] = application.client_secret
        return super().handle(msgspec.structs.replace(request, body=urlencode(form).encode("ascii")))


class _LeavesOutTheType(Identity):
    """Does not say of which type its tokens are."""

    def handle(self, request: Request) -> Response | None:
        """The answer, without `token_type`."""
        response = super().handle(request)
        if response is None or response.status != 200 or b"access_token" not in response.body:
            return response
        said = {name: value for name, value in json.loads(response.body).items() if name != "token_type"}
        return Response(response.status, response.headers, json.dumps(said).encode("utf-8"))


MUTANTS = (
    mutant(
        "enqueue-without-a-token",
        "Takes uploads from callers without a token.",
        "authorization.token-required",
        identity=Doorkeeper,
        routes=deciding(_let_in(_is_anonymous), ENQUEUE),
    ),
    mutant(
        "acknowledgment-without-a-token",
        "Takes acknowledgments from callers without a token.",
        "authorization.token-required",
        identity=Doorkeeper,
        routes=deciding(_let_in(_is_anonymous), ACK),
    ),
    mutant(
        "status-without-a-token",
        "Tells callers without a token the status of a message.",
        "authorization.token-required",
        identity=Doorkeeper,
        routes=deciding(_let_in(_is_anonymous), MESSAGE_STATUS),
    ),
    mutant(
        "jobstatus-without-a-token",
        "Answers jobstatus to callers without a token.",
        "authorization.token-required",
        identity=Doorkeeper,
        routes=deciding(_let_in(_is_anonymous), JOBSTATUS),
    ),
    mutant(
        "download-without-a-token",
        "Hands files out to callers without a token.",
        "download.needs-a-token",
        identity=Doorkeeper,
        routes=deciding(_let_in(_is_anonymous), DOWNLOAD),
    ),
    mutant(
        "forged-tokens-accepted",
        "Reads what a token says and never looks at its signature.",
        "authorization.forged-token-refused",
        identity=Doorkeeper,
        routes=deciding(_whatever_the_signature),
    ),
    mutant(
        "forged-tokens-accepted-by-actions",
        "Looks at signatures in the connector only, not in the OData actions.",
        "authorization.forged-token-refused",
        identity=Doorkeeper,
        routes=deciding(_whatever_the_signature, MESSAGE_STATUS),
    ),
    mutant(
        "expired-tokens-accepted",
        "Accepts tokens whose life is over.",
        "authorization.expired-token-refused",
        identity=Doorkeeper,
        routes=deciding(_whatever_the_time),
    ),
    mutant(
        "expired-tokens-accepted-by-actions",
        "Accepts tokens whose life is over in the OData actions.",
        "authorization.expired-token-refused",
        identity=Doorkeeper,
        routes=deciding(_whatever_the_time, MESSAGE_STATUS),
    ),
    mutant(
        "foreign-tokens-accepted",
        "Accepts tokens that were issued for another resource.",
        "authorization.foreign-audience-refused",
        identity=Doorkeeper,
        routes=deciding(_whatever_the_audience),
    ),
    mutant(
        "unmapped-application-accepted",
        "Lets an application in that is not registered with the environment.",
        "authorization.application-must-be-mapped",
        identity=Doorkeeper,
        routes=deciding(_let_in(_has_role("unmapped"))),
    ),
    mutant(
        "unmapped-application-asks-for-statuses",
        "Tells the status of messages to an application that is not registered with the environment.",
        "authorization.application-must-be-mapped",
        identity=Doorkeeper,
        routes=deciding(_let_in(_has_role("unmapped")), MESSAGE_STATUS),
    ),
    mutant(
        "unlisted-application-accepted",
        "Lets an application use jobs whose policy does not list it.",
        "authorization.application-must-be-on-the-job",
        identity=Doorkeeper,
        routes=deciding(_let_in(_has_role("unlisted"))),
    ),
    mutant(
        "unlisted-application-enqueues",
        "Lets an application hand files to jobs whose policy does not list it.",
        "authorization.application-must-be-on-the-job",
        identity=Doorkeeper,
        routes=deciding(_let_in(_has_role("unlisted")), ENQUEUE),
    ),
    mutant(
        "disabled-entry-accepted",
        "Lets an application in whose entry on the job's policy is not enabled.",
        "authorization.disabled-entry-refused",
        store=_BlindToDisabled,
    ),
    mutant(
        "every-twentieth-call-refused",
        "Turns away every twentieth call, whoever makes it.",
        "authorization.issued-token-accepted",
        identity=Doorkeeper,
        routes=_now_and_then,
    ),
    mutant(
        "first-version-tokens-refused",
        "Issues tokens at the first version of its endpoint and accepts only those of the second.",
        "authorization.issued-token-accepted",
        identity=Doorkeeper,
        routes=deciding(_not_of_the_first_version),
    ),
    mutant(
        "refused-dequeue-leases",
        "Refuses a dequeue for want of authorisation and hides the message all the same.",
        "authorization.refusal-changes-nothing",
        "dequeue.waiting-message-is-offered",
        routes=answers(_leases_all_the_same, DEQUEUE),
    ),
    mutant(
        "refused-enqueue-makes-a-message",
        "Refuses an enqueue for want of authorisation and keeps the file all the same.",
        "authorization.refusal-changes-nothing",
        routes=answers(_keeps_all_the_same, ENQUEUE),
    ),
    mutant(
        "refused-acknowledgment-counts",
        "Refuses an acknowledgment for want of authorisation and ends the redelivery all the same.",
        "acknowledgment.refused-changes-nothing",
        routes=answers(_acknowledges_all_the_same, ACK),
    ),
    mutant(
        "any-secret-gets-a-token",
        "Issues a token whatever the client secret is.",
        "authorization.wrong-secret-refused",
        identity=_AnySecretWillDo,
    ),
    mutant(
        "token-without-its-type",
        "Issues tokens without saying that they are bearer tokens.",
        "authorization.token-answer",
        identity=_LeavesOutTheType,
    ),
)
