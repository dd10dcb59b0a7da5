"""What an example asks about, put where schemathesis has made something up.

It knows where the specifications' requests name an activity, a message, an execution, a delivery, a client. What is
wrong with an example on purpose stays wrong, and some examples are sent as they were made: the unknown is tried too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.case import Case
from schemathesis.generation.meta import CaseMetadata

from popreceipt import vocabulary
from popreceipt.exceptions import NotAbleTo
from popreceipt.fuzz.ledger import Ledger
from popreceipt.fuzz.world import ABOUT_A_MESSAGE, ABOUT_AN_EXECUTION, Given
from popreceipt.shapes.documents import TOKEN_V1, Operation
from popreceipt.targets import Target

LEFT_AS_MADE: Final = 0.12
"""The share of examples that are sent with made-up values although there would be real ones."""

OTHERWISE_SPELLED: Final = 0.25
"""The share of activities that are written in capitals or braces."""

WRONG_SECRETS: Final = 0.15
"""The share of requests for a token that come with a secret that is not the client's."""

MERGED: Final = 0.25
"""The share of acknowledgments that have further members beside those of the dequeue's answer."""

TENANT: Final = "/{tenant}/"
"""What the paths of the issuer begin with."""

MEMBERS: Final[Mapping[str, str]] = {
    vocabulary.MESSAGE_STATUS: "messageId",
    vocabulary.EXECUTION_ID: "_messageId",
    vocabulary.EXECUTION_ERRORS: "executionId",
    vocabulary.EXECUTION_SUMMARY: "executionId",
}
"""Where the body of an operation names what it asks about."""


@dataclass(slots=True)
class Equipped:
    """What is sent otherwise than schemathesis would write it.

    Args:
        body: the bytes, where each of them counts.
        location: the address as a whole, where one was handed out.
        actor: who calls where no token is sent.
    """

    body: bytes | None = None
    location: str | None = None
    actor: str = "made-up"


class Equipment:
    """Equips the examples of one run.

    Args:
        target: who hands out what they ask about.
        ledger: has the world of the stretch that runs.
        chance: decides.
    """

    def __init__(self, target: Target, ledger: Ledger, chance: Random) -> None:
        self._target = target
        self._ledger = ledger
        self._chance = chance

    def equip(self, operation: Operation, case: Case[Any]) -> Equipped:
        """Give an example the state that it asks about."""
        meta = case.meta
        if meta is None:
            return Equipped()
        linked = self._linked(operation, case)
        if linked is not None:
            return linked
        if self._chance.random() < LEFT_AS_MADE:
            return Equipped()
        if operation.path.startswith(TENANT):
            return self._as_a_client(operation, case, meta)
        try:
            given = self._ledger.world.give(operation.name)
        except NotAbleTo as error:
            self._ledger.refused(operation.name, error)
            return Equipped()
        return self._with(given, operation, case, meta)

    def _linked(self, operation: Operation, case: Case[Any]) -> Equipped | None:
        """What goes with an example that already asks about something of its own world, by a link; None for others."""
        name, world = operation.name, self._ledger.world
        body = case.body if isinstance(case.body, dict) else {}
        if name in ABOUT_A_MESSAGE:
            asked = case.query.get("jobId") if name == vocabulary.JOBSTATUS else body.get(MEMBERS[name])
            return Equipped() if isinstance(asked, str) and vocabulary.bare_guid(asked) in world.messages else None
        if name in ABOUT_AN_EXECUTION:
            return Equipped() if body.get("executionId") in world.executions else None
        if name == vocabulary.ACK:
            held = world.held.get(str(body.get(vocabulary.CORRELATION_ID)))
            if held is None:
                return None
            return Equipped(body=held.delivery.body if body == held.delivery.members else None)
        if name == vocabulary.DOWNLOAD:
            held = world.held.get(str(case.query.get("correlation-id")))
            return None if held is None else Equipped(location=held.delivery.location)
        return None

    def _with(self, given: Given, operation: Operation, case: Case[Any], meta: CaseMetadata) -> Equipped:
        """Put what is given where an example is not wrong on purpose."""
        equipped = Equipped()
        fits = {each: not meta.is_negative_at(each) for each in ParameterLocation}
        if given.activity is not None and fits[ParameterLocation.PATH] and case.path_parameters:
            name = next(iter(case.path_parameters))
            case.path_parameters = {**case.path_parameters, name: self._spelled(given.activity)}
        if operation.name == vocabulary.JOBSTATUS and fits[ParameterLocation.QUERY]:
            case.query = {**case.query, "jobId": given.message}
        member = MEMBERS.get(operation.name)
        if member is not None and isinstance(case.body, dict) and fits[ParameterLocation.BODY]:
            case.body = {**case.body, member: given.message or given.execution}
        if given.held is None:
            return equipped
        if operation.name == vocabulary.DOWNLOAD:
            if fits[ParameterLocation.QUERY] and fits[ParameterLocation.PATH]:
                equipped.location = given.held.delivery.location
        elif isinstance(case.body, dict):
            members = dict(given.held.delivery.members)
            if not fits[ParameterLocation.BODY]:
                # What is wrong stays wrong; what is not, names the delivery: so the refusal is for its fault alone.
                known = {name: value for name, value in members.items() if isinstance(case.body.get(name), str)}
                case.body = {**case.body, **known}
            elif self._chance.random() < MERGED:
                case.body = {**case.body, **members}
            else:
                case.body = members
                equipped.body = given.held.delivery.body
        return equipped

    def _as_a_client(self, operation: Operation, case: Case[Any], meta: CaseMetadata) -> Equipped:
        """Put the target's tenant, and into a form a client that it knows: mostly with the right secret."""
        identity = self._target.tokens.identity
        if meta.is_negative_at(ParameterLocation.PATH) or case.method != operation.method:
            return Equipped()
        if identity.get("tenant"):
            case.path_parameters = {**case.path_parameters, "tenant": identity["tenant"]}
        if operation.name != vocabulary.TOKEN:
            return Equipped(actor="authorised")
        endpoint = identity.get("token_url_v1" if operation.id == TOKEN_V1 else "token_url")
        equipped = Equipped(location=str(endpoint) if endpoint else None)
        if not isinstance(case.body, dict) or meta.is_negative_at(ParameterLocation.BODY):
            return equipped
        client, user = identity["clients"]["authorised"], identity.get("user") or {}
        if "client_secret" not in client:
            self._ledger.unable(operation.name, f"{self._target.name} has a certificate, and no secret to ask with")
            return equipped
        resource = str(identity.get("resource"))
        named = {"resource": resource} if operation.id == TOKEN_V1 else {"scope": f"{resource}/.default"}
        form = {**user, **named}
        form = {name: value for name, value in form.items() if name in case.body}
        form |= {"client_id": client["client_id"], "client_secret": str(client["client_secret"])}
        if self._chance.random() < WRONG_SECRETS:
            form["client_secret"] = form["client_secret"][::-1]
            equipped.actor = "wrong-secret"
        else:
            equipped.actor = "authorised"
        if not user:
            form["grant_type"] = "client_credentials"
        case.body = {**case.body, **form}
        return equipped

    def _spelled(self, activity: str) -> str:
        if self._chance.random() >= OTHERWISE_SPELLED:
            return activity
        return self._chance.choice((activity.upper(), f"{{{activity}}}", f"{{{activity.upper()}}}"))
