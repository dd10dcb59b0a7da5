"""Tokens as Microsoft's own library asks for them: MSAL, with our session in place of its network.

So each of its requests (the issuer's configuration, then the token) is in the journal and passes the guard, and none
goes to a host that nobody named: instance discovery, regions, retries and anything on disk are off. When a token is
renewed is decided by the target's clock as for all others, so its own cache is emptied before each request. What it
cannot ask for (the first version's endpoint, the password grant, a wrong secret on purpose) is asked for directly.
"""

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from popreceipt.client import wire
from popreceipt.client.session import Session, split_base
from popreceipt.client.tokens import Grant, Issued, Tokens, issued
from popreceipt.client.wire import Ask, Reply
from popreceipt.exceptions import NotAbleTo, NothingProved, UsageError
from popreceipt.vocabulary import TOKEN

DISCOVERY_REQUESTS: Final = 1
"""How many requests MSAL needs for each client before its first token."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A client's private key and its certificate, both as PEM: what it has in place of a secret."""

    private_key: str = field(repr=False)
    certificate: str = field(repr=False)


class MsalTokens(Tokens):
    """Tokens for the identities of one target, through MSAL.

    Args:
        session: the target's.
        identity: as for `Tokens`.
        authority: the issuer's URL with the tenant: `https://login.microsoftonline.com/TENANT`.
        key_pairs: of the clients, by role, that have no secret but a certificate.

    Raises:
        UsageError: MSAL is not installed.
    """

    def __init__(
        self,
        session: Session,
        identity: Mapping[str, Any],
        authority: str,
        key_pairs: Mapping[str, KeyPair] | None = None,
    ) -> None:
        super().__init__(session, identity)
        try:
            import msal  # type: ignore[import-untyped]  # it comes without types
        except ImportError as error:
            raise UsageError(
                'Tokens through MSAL need a library that is not installed: pip install "popreceipt[tenant]".'
            ) from error
        self._msal = msal
        self._authority = authority
        self._key_pairs = dict(key_pairs or {})
        self._applications: dict[str, Any] = {}
        self._asking = threading.Lock()
        self._network = _Network(session)

    def obtain(
        self,
        role: str = "authorised",
        *,
        version: Literal[1, 2] = 2,
        grant: Grant = "client_credentials",
        resource: str | None = None,
        secret: str | None = None,
        actor: str | None = None,
    ) -> Issued:
        """Ask for a new token: through MSAL where it is one of the kind that MSAL asks for.

        Raises:
            UsageError: the target has no such client, user or endpoint.
            NotAbleTo: a client with a certificate, and a kind that takes a secret.
            NothingProved: the issuer's configuration cannot be read.
        """
        client, name = self._client(role), role.partition("/")[0]
        if version == 1 or grant != "client_credentials" or secret is not None:
            if secret is None and name in self._key_pairs:
                raise NotAbleTo(
                    self._session.base_url,
                    "a token of that kind, which takes a client secret",
                    "a client with a secret: this one has a certificate",
                )
            return super().obtain(role, version=version, grant=grant, resource=resource, secret=secret, actor=actor)
        audience = resource if resource is not None else str(self._identity.get("resource") or self._session.base_url)
        with self._asking:
            self._network.begin(actor or role)
            application = self._application(name, client)
            application.remove_tokens_for_client()
            self._network.forget_answers()
            before = self._session.times.earliest()
            # Where MSAL can make nothing of an answer, the answer is in the reply all the same.
            with contextlib.suppress(_NoToken, ValueError):
                application.acquire_token_for_client([f"{audience}/.default"])
            reply = self._network.last
        if reply is None:
            raise NothingProved(f"MSAL has sent no request for a token of {role!r} to {self._authority}.")
        return issued(reply, before)

    def _application(self, role: str, client: Mapping[str, Any]) -> Any:
        """MSAL's application of this role; the issuer's configuration is asked for when it is made."""
        if role not in self._applications:
            credential: Any = client.get("client_secret")
            if (keys := self._key_pairs.get(role)) is not None:
                # Given the certificate, MSAL names it by its SHA-256 thumbprint, signs with PS256 and sends it along.
                credential = {"private_key": keys.private_key, "public_certificate": keys.certificate}
            try:
                self._applications[role] = self._msal.ConfidentialClientApplication(
                    str(client.get("client_id", "")),
                    client_credential=credential,
                    authority=self._authority,
                    instance_discovery=False,
                    azure_region=False,
                    http_client=self._network,
                    http_cache=self._network.kept,
                )
            except (_NoToken, ValueError, KeyError):
                # Not chained: MSAL's words quote whole answers.
                raise NothingProved(f"No token for {role!r}: {self._network.said(self._authority)}") from None
        return self._applications[role]


class _NoToken(Exception):
    """An answer that MSAL must not look at: none came, or no JSON. It never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer in the form in which MSAL wants it."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def raise_for_status(self) -> None:
        if self.status_code >= HTTPStatus.BAD_REQUEST:
            raise _NoToken(f"HTTP {self.status_code}")


class _Network:
    """What MSAL takes for its network. One request at a time: whoever asks holds the lock."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._elsewhere: dict[str, Session] = {}
        self._actor = ""
        self.last: Reply | None = None
        self._latest: Reply | None = None
        self.kept: dict[Any, Any] = {}

    def begin(self, actor: str) -> None:
        """Forget what was heard, and write what comes under this actor."""
        self._actor = actor
        self.last = None
        self._latest = None

    def forget_answers(self) -> None:
        """Drop the refusals that MSAL keeps for a while: whoever asks anew wants to be answered anew."""
        self.kept.clear()

    def said(self, url: str) -> str:
        """What became of the last request, for a sentence: never an answer's words."""
        reply = self._latest
        if reply is None:
            return f"{url} was not asked."
        asked = reply.exchange.request.url
        return f"{asked} answered {reply.failure or reply.status}, which is no configuration of an issuer."

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> _Answer:
        """Read a document."""
        return _heard(self._send("GET", url, params, headers), "token_endpoint", "authorization_endpoint")

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, object] | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> _Answer:
        """Send a form."""
        fields = data if isinstance(data, str) else urlencode(_texts(data or {}), quote_via=quote)
        more = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        self.last = self._send("POST", url, params, more, fields.encode("ascii"))
        return _heard(self.last, "access_token")

    def close(self) -> None:
        """Nothing of its own is open."""

    def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes = b"",
    ) -> Reply:
        if params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(params, quote_via=quote)}"
        origin = split_base(url.partition("?")[0])[0]
        if origin == self._session.base_url:
            session = self._session
        else:
            session = self._elsewhere.setdefault(origin, self._session.elsewhere(origin))
        told = tuple((name.lower(), str(value)) for name, value in (headers or {}).items() if value)
        path = wire.download(url)
        # What is posted holds a credential, wherever a configuration says that it should go.
        meant = TOKEN if method == "POST" else None
        ask = Ask(method, path.path, path.query, headers=told, body=body, operation=meant)
        self._latest = session.send(ask, actor=self._actor)
        return self._latest


def _heard(reply: Reply, *needed: str) -> _Answer:
    """An answer for MSAL; what it cannot read is kept from it, since it would log that, or stumble.

    Args:
        reply: what came.
        needed: members that are texts in an answer that says yes.

    Raises:
        _NoToken: there is no such answer.
    """
    told = reply.json()
    if reply.status is None or not isinstance(told, dict):
        raise _NoToken(reply.failure or f"HTTP {reply.status} without a JSON object")
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _NoToken(f"HTTP {reply.status}")
    if reply.status < HTTPStatus.BAD_REQUEST and not all(isinstance(told.get(name), str) for name in needed):
        raise _NoToken(f"HTTP {reply.status} without {' and '.join(needed)}")
    return _Answer(reply.status, reply.body.decode("utf-8", "replace"), dict(reply.headers))


def _texts(data: Mapping[str, object]) -> dict[str, str]:
    return {
        name: value.decode("ascii") if isinstance(value, bytes) else str(value)
        for name, value in data.items()
        if value is not None
    }
