"""The token endpoint, in its two generations: form in, token or refusal out.

v1 takes a `resource` and answers numbers as text; v2.0 takes a `scope` and answers numbers. Two grants: client
credentials (an application on its own) and password (a user through an application). Secrets come in the body or by
HTTP Basic (RFC 6749, section 2.3.1); an application may prove itself by a client assertion instead (RFC 7523).
"""

import base64
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.identity import assertions, errors
from popreceipt.emulator.identity.assertions import Certificates
from popreceipt.emulator.identity.directory import Application, Directory, User, same_secret
from popreceipt.emulator.identity.errors import Refusals
from popreceipt.emulator.identity.tokens import Issued, Tokens

_MOST_FIELDS = 64
_DEFAULT = "/.default"
_OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})


class _RefusedError(Exception):
    """A refusal on its way to becoming an answer; it never leaves this module."""

    def __init__(self, status: int, error: str, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.error = error
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class _Form:
    """What a token request says, whichever way it says it."""

    fields: dict[str, str]
    basic: tuple[str, str] | None

    def get(self, name: str) -> str:
        return self.fields.get(name, "")

    def needed(self, name: str) -> str:
        if value := self.get(name):
            return value
        raise _RefusedError(
            400, "invalid_request", errors.MISSING_PARAMETER, f"The request's body lacks the parameter '{name}'."
        )


class TokenEndpoint:
    """Answers token requests of one tenant.

    Args:
        directory: who there is.
        tokens: makes them.
        refusals: says no.
        certificates: what applications have registered.
        audiences: what a client assertion may be meant for: this endpoint, by each of its names.
    """

    def __init__(
        self,
        directory: Directory,
        tokens: Tokens,
        refusals: Refusals,
        certificates: Certificates,
        audiences: Callable[[], Collection[str]],
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._refusals = refusals
        self._certificates = certificates
        self._audiences = audiences

    def answer(self, request: Request, version: int) -> Response:
        """The answer to a request to the v1 (1) or v2.0 (2) token endpoint."""
        correlation = request.header("client-request-id")
        try:
            return self._granted(request, version)
        except _RefusedError as no:
            headers = []
            if no.status == 405:
                headers.append(("allow", "POST"))
            if no.status == 401 and request.header("authorization") is not None:
                headers.append(("www-authenticate", f'Basic realm="{self._directory.tenant}"'))
            return self._refusals.answer(no.status, no.error, no.code, no.sentence, correlation, *headers)

    def _granted(self, request: Request, version: int) -> Response:
        if request.method != "POST":
            raise _RefusedError(
                405, "invalid_request", errors.NOT_A_POST, f"This endpoint takes POST, not {request.method}."
            )
        form = _form_of(request)
        grant = form.needed("grant_type")
        if grant not in {"client_credentials", "password"}:
            raise _RefusedError(
                400,
                "unsupported_grant_type",
                errors.UNKNOWN_GRANT,
                f"The grant type '{grant}' is not supported: use client_credentials or password.",
            )
        application = self._application(form, secret_needed=grant == "client_credentials")
        user = self._user(form) if grant == "password" else None
        resource = form.needed("resource") if version == 1 else _resource_of(form.needed("scope"), grant)
        audience = self._tokens.audience(resource)
        if audience is None:
            raise _RefusedError(
                400,
                "invalid_resource",
                errors.UNKNOWN_RESOURCE,
                f"The tenant {self._directory.tenant} knows no resource '{resource}'.",
            )
        by_certificate = bool(form.get("client_assertion"))
        issued = self._tokens.issue(application, user, audience, version, by_certificate=by_certificate)
        answer = _answer_v1(issued) if version == 1 else _answer_v2(issued)
        if user is not None:
            self._add_what_users_get(answer, form, application, user, issued, version)
        return Response.of_json(200, answer, ("cache-control", "no-store, no-cache"), ("pragma", "no-cache"))

    def _application(self, form: _Form, *, secret_needed: bool) -> Application:
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if form.basic is not None:
            client_id, secret = client_id or form.basic[0], secret or form.basic[1]
        if not client_id:
            raise _RefusedError(
                400, "invalid_request", errors.MISSING_PARAMETER, "The request's body lacks the parameter 'client_id'."
            )
        application = self._directory.application(client_id)
        if application is None:
            raise _RefusedError(
                400,
                "unauthorized_client",
                errors.UNKNOWN_APPLICATION,
                f"The tenant {self._directory.tenant} has no application '{client_id}'.",
            )
        if form.get("client_assertion") or form.get("client_assertion_type"):
            self._check_assertion(form, application)
            return application
        if not secret and secret_needed:
            raise _RefusedError(
                401, "invalid_client", errors.SECRET_NEEDED, "The client credentials grant needs 'client_secret'."
            )
        if secret and not same_secret(secret, application.client_secret):
            raise _RefusedError(
                401,
                "invalid_client",
                errors.WRONG_SECRET,
                f"The client secret is not that of the application '{application.client_id}'."
                " Send the secret's value, not its id.",
            )
        return application

    def _check_assertion(self, form: _Form, application: Application) -> None:
        if form.needed("client_assertion_type") != assertions.TYPE:
            raise _RefusedError(
                400, "invalid_request", errors.MISSING_PARAMETER, f"The client_assertion_type is {assertions.TYPE}."
            )
        fault = self._certificates.fault(form.needed("client_assertion"), application.client_id, self._audiences())
        if fault is not None:
            raise _RefusedError(401, "invalid_client", fault.code, fault.sentence)

    def _user(self, form: _Form) -> User:
        username, password = form.needed("username"), form.needed("password")
        user = self._directory.user
        if username.lower() != user.username:
            raise _RefusedError(400, "invalid_grant", errors.UNKNOWN_USER, "The tenant has no such user.")
        if not same_secret(password, user.password):
            raise _RefusedError(400, "invalid_grant", errors.WRONG_PASSWORD, "The user name or the password is wrong.")
        return user

    def _add_what_users_get(
        self,
        answer: dict[str, object],
        form: _Form,
        application: Application,
        user: User,
        issued: Issued,
        version: int,
    ) -> None:
        """What the answer to a password grant has besides: the scope, and for OpenID clients who signed in."""
        scopes = form.get("scope").split()
        permissions = [f"{issued.audience}/{permission}" for permission in ("user_impersonation", ".default")]
        answer["scope"] = "user_impersonation" if version == 1 else " ".join(permissions)
        if "openid" in scopes:
            answer["id_token"] = self._tokens.identity_token(application, user, issued, version)
        if form.get("client_info") == "1":
            info = json.dumps({"uid": user.object_id, "utid": self._directory.tenant}).encode()
            answer["client_info"] = base64.urlsafe_b64encode(info).rstrip(b"=").decode("ascii")


def _answer_v1(issued: Issued) -> dict[str, object]:
    return {
        "token_type": "Bearer",
        "expires_in": str(issued.expires_in),
        "ext_expires_in": str(issued.expires_in),
        "expires_on": str(issued.expires_at),
        "not_before": str(issued.issued_at),
        "resource": issued.audience,
        "access_token": issued.text,
    }


def _answer_v2(issued: Issued) -> dict[str, object]:
    return {
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "ext_expires_in": issued.expires_in,
        "access_token": issued.text,
    }


def _resource_of(scope: str, grant: str) -> str:
    """The one resource that a v2.0 scope names.

    The resource stands before `/.default`; one that ends in a slash therefore has two slashes there. A user's
    token may also be asked for by a single permission in the place of `.default`.
    """
    asked = [one for one in scope.split() if one.lower() not in _OPENID_SCOPES]
    if grant == "client_credentials":
        wrong = [one for one in scope.split() if not one.endswith(_DEFAULT)]
        if wrong:
            raise _RefusedError(
                400,
                "invalid_scope",
                errors.SCOPE_NOT_DEFAULT,
                f"The scope '{wrong[0]}' is not valid: client credentials need the resource followed by {_DEFAULT}.",
            )
    resources = {one.rpartition("/")[0] for one in asked}
    if len(resources) > 1:
        raise _RefusedError(
            400, "invalid_scope", errors.SEVERAL_RESOURCES, "The scope names more than one resource; one is allowed."
        )
    if not any(resources):
        raise _RefusedError(400, "invalid_scope", errors.MALFORMED_SCOPE, f"The scope '{scope}' names no resource.")
    return resources.pop()


def _form_of(request: Request) -> _Form:
    """The form of a token request; a body that is no form has no fields, which the missing ones then say."""
    try:
        pairs = parse_qsl(request.body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        pairs = []
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return _Form(fields, _basic_of(request.header("authorization")))


def _basic_of(authorization: str | None) -> tuple[str, str] | None:
    """Client id and secret of a Basic header, each form-encoded within (RFC 6749, section 2.3.1)."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except ValueError:
        return None
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)
