"""Access tokens for the roles of a world: asked for as clients of Entra ID do, kept while they last, or forged.

It knows the two token endpoints and the two grants ("Recurring integrations", section "Authorization for the
integration REST API", points at the service endpoints' OAuth 2.0). It never looks at what a token says, except to
make a forged one.
"""

import base64
import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from popreceipt.client import wire
from popreceipt.client.session import Session, split_base
from popreceipt.client.wire import Ask, Reply
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import without_tokens

RENEWED_BEFORE: Final = timedelta(seconds=60)
"""How long before its end a token is no longer used (as microsoft/Recurring-Integrations-Scheduler does it)."""

ASSUMED_LIFETIME: Final = 300.0
"""Seconds a token is used when the answer does not say how long it lives; the member is only recommended."""

LONGEST_LIFETIME: Final = 366 * 86_400.0
"""Seconds that a token is believed to live at most, whatever an answer says."""

TRIED_AGAIN: Final = 3
"""How often an endpoint that asks for it is asked again later, where a guard sees to it that it is left alone."""

SHOWN: Final = 200
"""Characters of an answer without a token that an error shows at most."""

Grant = Literal["client_credentials", "password"]


@dataclass(frozen=True, slots=True)
class Issued:
    """What a token endpoint answered: the token (None when it gave none) and the seconds of target time it lives.

    `fresh_until` is when it should be renewed, by the most careful reading.
    """

    reply: Reply
    token: str | None = field(default=None, repr=False)
    expires_in: float | None = None
    fresh_until: datetime | None = None


class Tokens:
    """Tokens for the identities of one target.

    Args:
        session: the target's.
        identity: the member `identity` of the control plane's world, or the same from a configuration.
    """

    def __init__(self, session: Session, identity: Mapping[str, Any]) -> None:
        self._session = session
        self._identity = identity
        self._kept: dict[str, Issued] = {}
        self._lock = threading.Lock()
        self._elsewhere: dict[str, Session] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """How the target describes its issuer, clients with their secrets: never to be written down."""
        return self._identity

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
        """Ask for a new token.

        Args:
            role: whose: authorised, unlisted, unmapped.
            version: 1 asks with `resource`, 2 (v2.0) with `scope`.
            grant: client credentials, or the password of the world's user.
            resource: for whom the token should be; None means the target.
            secret: sent instead of the client's own.
            actor: who calls, for the journal; None means the role, or `wrong-secret` where one was given.

        Raises:
            UsageError: the world has no such client, user or endpoint.
        """
        client = self._client(role)
        audience = resource if resource is not None else str(self._identity.get("resource") or self._session.base_url)
        form = {"grant_type": grant, "client_id": str(client.get("client_id", ""))}
        given = secret if secret is not None else client.get("client_secret")
        if given is not None:
            form["client_secret"] = str(given)
        if grant == "password":
            form |= self._user()
        form |= {"resource": audience} if version == 1 else {"scope": f"{audience}/.default"}
        session, path = self._endpoint(version)
        ask = Ask(
            "POST",
            path,
            headers=(("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")),
            body=urlencode(form, quote_via=quote).encode("ascii"),
        )
        before = self._session.times.earliest()
        reply = session.send(ask, actor=actor or (role if secret is None else "wrong-secret"))
        return issued(reply, before)

    def current(self, role: str = "authorised") -> str:
        """A token of this role with at least a minute to live, asked for when there is none.

        Raises:
            NothingProved: the endpoint gives none.
        """
        with self._lock:
            kept = self._kept.get(role)
            if kept is None or kept.fresh_until is None or self._session.times.latest() >= kept.fresh_until:
                kept = self.obtain(role)
                for _ in range(TRIED_AGAIN):
                    if self._session.guard is None or not _asks_for_later(kept.reply):
                        break
                    kept = self.obtain(role)  # the guard lets it out when the server wants to hear of it again
                if kept.token is None:
                    url = kept.reply.exchange.request.url
                    raise NothingProved(f"No token for {role!r}: {url} answered {words_of(kept.reply)}.")
                self._kept[role] = kept
            return str(kept.token)

    def forget(self) -> None:
        """Keep no token: the next one is asked for."""
        with self._lock:
            self._kept.clear()

    def forged(self, role: str = "authorised", part: Literal["signature", "payload"] = "signature") -> str:
        """A real token of this role of which somebody changed the signature, or what it claims."""
        return forge(self.current(role), part)

    def _client(self, role: str) -> Mapping[str, Any]:
        clients = self._identity.get("clients")
        # Several consumers may share one role, each with a token of its own: authorised/one, authorised/two.
        client = clients.get(role.partition("/")[0]) if isinstance(clients, Mapping) else None
        if not isinstance(client, Mapping):
            known = ", ".join(clients) if isinstance(clients, Mapping) else "none"
            raise UsageError(f"The target has no client for the role {role!r} (it has: {known}).")
        return client

    def _user(self) -> dict[str, str]:
        user = self._identity.get("user")
        if not isinstance(user, Mapping):
            raise UsageError("The target names no user, so the password grant cannot be used.")
        return {"username": str(user.get("username", "")), "password": str(user.get("password", ""))}

    def _endpoint(self, version: int) -> tuple[Session, str]:
        name = "token_url" if version != 1 else "token_url_v1"
        url = self._identity.get(name)
        if not isinstance(url, str) or not url:
            raise UsageError(f"The target's identity has no {name}.")
        if url.startswith("/"):
            return self._at(self._session.origin), url
        path = wire.download(url).target
        resource = self._identity.get("resource")
        ours = {_host(self._session.origin), _host(resource) if isinstance(resource, str) else None}
        # A target may know itself by another name than the one it is reached by; its resource tells.
        origin = self._session.origin if _host(url) in ours - {None} else split_base(url.partition("?")[0])[0]
        return self._at(origin), path

    def _at(self, origin: str) -> Session:
        if origin == self._session.base_url:
            return self._session
        if origin not in self._elsewhere:
            self._elsewhere[origin] = self._session.elsewhere(origin)
        return self._elsewhere[origin]


def forge(token: str, part: Literal["signature", "payload"] = "signature") -> str:
    """The same token with its signature, or its payload, changed; a token without parts is changed in its middle."""
    pieces = token.split(".")
    if len(pieces) != 3 or not pieces[2]:
        middle = len(token) // 2
        return token[:middle] + _other(token[middle : middle + 1]) + token[middle + 1 :]
    header, payload, signature = pieces
    if part == "signature":
        # The first character: the last one may hold bits that no decoder looks at.
        return f"{header}.{payload}.{_other(signature[0])}{signature[1:]}"
    return f"{header}.{_with_longer_life(payload)}.{signature}"


def _with_longer_life(payload: str) -> str:
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        return _other(payload[:1]) + payload[1:]
    expires = claims.get("exp")
    claims["exp"] = expires + 86_400 if isinstance(expires, int) else 86_400
    return base64.urlsafe_b64encode(json.dumps(claims).encode("utf-8")).rstrip(b"=").decode("ascii")


def _other(letter: str) -> str:
    return "B" if letter == "A" else "A"


def issued(reply: Reply, before: datetime) -> Issued:
    """What the answer to a token request says; `before` is the earliest time at which it was sent."""
    answer = reply.json() if reply.ok else None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        return Issued(reply)
    lives = _seconds(answer.get("expires_in")) if isinstance(answer, dict) else None
    lifetime = timedelta(seconds=ASSUMED_LIFETIME if lives is None else lives)
    return Issued(reply, token, lives, before + lifetime - min(RENEWED_BEFORE, lifetime / 2))


def _asks_for_later(reply: Reply) -> bool:
    throttled = reply.status == HTTPStatus.TOO_MANY_REQUESTS
    return throttled or (reply.status == HTTPStatus.SERVICE_UNAVAILABLE and reply.header("retry-after") is not None)


def words_of(reply: Reply) -> str:
    """An answer without a token, for a sentence: the error that it names, and nothing else of its words."""
    if reply.failure is not None:
        return reply.failure
    # As the journal holds it: a server may say a secret back.
    answer = reply.exchange.response
    content = None if answer is None or answer.body is None else answer.body.content()
    told = replace(reply, body=content or b"").json()
    named = [told.get(name) for name in ("error", "error_description")] if isinstance(told, dict) else []
    words = " ".join([str(reply.status), *(each for each in named if isinstance(each, str))])
    return "".join(letter if letter.isprintable() else " " for letter in without_tokens(words))[:SHOWN]


def _seconds(value: object) -> float | None:
    # The first version of the endpoint writes numbers as text.
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            return None
        return min(max(found, 0.0), LONGEST_LIFETIME) if math.isfinite(found) else None
    return None


def _host(url: str) -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.hostname is None:
        return None
    name = "localhost" if parts.hostname in ("127.0.0.1", "::1") else parts.hostname
    return name, port or {"http": 80, "https": 443}.get(parts.scheme)
