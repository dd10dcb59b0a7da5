"""Access tokens: signed here, checked here, remembered nowhere.

A token is a JWT signed with RS256 by a key that is made once a process, on first need. Its life is counted on the
emulator's clock, to the microsecond, which whole seconds in `exp` cannot say: one private claim does.
"""

import functools
import re
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from popreceipt.clock import Clock
from popreceipt.emulator.identity.directory import (
    Application,
    Directory,
    User,
    audience_for,
    guid,
    is_environment,
)

REMEMBERED: Final = 4096
"""How many checked tokens are kept at most; the one checked first leaves first."""

LONGEST: Final = 16 * 1024
"""Characters of the longest token that is looked at: Entra's are some two thousand."""

_UNTIL: Final = "xms_until_us"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Lifetimes(Protocol):
    """The one thing that identity asks of a profile."""

    @property
    def token_lifetime(self) -> timedelta:
        """How long an access token lives."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a token speaks for: an application, perhaps on behalf of a user (password grant)."""

    client_id: str
    object_id: str
    username: str | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A fresh access token and what its answer says of it: instants in whole seconds since 1970, life in seconds."""

    text: str
    audience: str
    issued_at: int
    expires_at: int
    expires_in: int


@dataclass(frozen=True, slots=True)
class _Checked:
    caller: Caller
    since: datetime
    until: datetime


_making_the_key = threading.Lock()


@functools.cache
def _made_key() -> RSAKey:
    key = RSAKey.generate_key(2048, parameters={"use": "sig", "alg": "RS256"})
    key.ensure_kid()
    return key


def signing_key() -> RSAKey:
    """The process's key. Making one takes a tenth of a second or more, so all emulators of a process share it."""
    with _making_the_key:
        return _made_key()


class Tokens:
    """Issues and checks the access tokens of one tenant for one environment."""

    def __init__(self, clock: Clock, profile: Lifetimes, directory: Directory, base_url: Callable[[], str]) -> None:
        self._clock = clock
        self._profile = profile
        self._directory = directory
        self._base_url = base_url
        self._key: RSAKey | None = None
        self._count = 0
        self._revoked = 0
        self._checked: dict[str, _Checked] = {}
        self._checked_for = ""

    def sign_with(self, key: RSAKey) -> None:
        """Sign and check with a key of its own instead of the process's."""
        self._key = key
        self._checked.clear()

    def revoke(self) -> None:
        """Let no token count any more that this process has issued until now."""
        self._revoked = self._count
        self._checked.clear()

    def public_keys(self) -> dict[str, object]:
        """The JSON Web Key Set for whoever wants to check a token on his own."""
        return dict(KeySet([self._signing_key()]).as_dict(private=False))

    def issuer(self, version: int) -> str:
        """The issuer that tokens of the v1 or the v2.0 endpoint name; each is the one of its own discovery document."""
        authority = f"{self._base_url().rstrip('/')}/{self._directory.tenant}/"
        return f"{authority}v2.0" if version == 2 else authority

    def audience(self, resource: str) -> str | None:
        """The audience of a token for this resource, None for a resource that the tenant does not know."""
        return audience_for(resource, self._base_url())

    def issue(
        self, application: Application, user: User | None, audience: str, version: int, *, by_certificate: bool = False
    ) -> Issued:
        """A token for the application, or for the user through the application; it says how that proved itself."""
        now = self._clock.now()
        until = now + self._profile.token_lifetime
        issued_at, expires_at = (now - _EPOCH) // timedelta(seconds=1), (until - _EPOCH) // timedelta(seconds=1)
        principal = user.object_id if user else application.object_id
        self._count += 1
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.issuer(version),
            "iat": issued_at,
            "nbf": issued_at,
            "exp": expires_at,
            "appid": application.client_id,
            "idtyp": "user" if user else "app",
            "oid": principal,
            "sub": principal,
            "tid": self._directory.tenant,
            "uti": f"{self._count:x}",
            "ver": f"{version}.0",
            _UNTIL: (until - _EPOCH) // _MICROSECOND,
        }
        claims["azpacr" if version == 2 else "appidacr"] = "2" if by_certificate else "1"
        if version == 2:
            claims["azp"] = application.client_id
        if user:
            claims |= {"scp": "user_impersonation", "upn": user.username}
        return Issued(
            text=self._signed(claims),
            audience=audience,
            issued_at=issued_at,
            expires_at=expires_at,
            expires_in=self._profile.token_lifetime // timedelta(seconds=1),
        )

    def identity_token(self, application: Application, user: User, issued: Issued, version: int) -> str:
        """The OpenID Connect token beside an access token, for the client's own eyes: it opens nothing here."""
        return self._signed(
            {
                "aud": application.client_id,
                "iss": self.issuer(version),
                "iat": issued.issued_at,
                "nbf": issued.issued_at,
                "exp": issued.expires_at,
                "oid": user.object_id,
                "sub": guid(0, f"{application.client_id}/{user.object_id}"),
                "tid": self._directory.tenant,
                "preferred_username": user.username,
                "ver": f"{version}.0",
            }
        )

    def check(self, authorization: str | None, at: datetime) -> Caller | None:
        """Who calls; None without a token that counts at this instant. What was checked once is not checked again."""
        if authorization is None:
            return None
        base_url = self._base_url()
        if base_url != self._checked_for:
            self._checked.clear()
            self._checked_for = base_url
        checked = self._checked.get(authorization)
        if checked is None:
            checked = self._read(authorization, base_url)
            if checked is None:
                return None
            while len(self._checked) >= REMEMBERED:
                del self._checked[next(iter(self._checked))]
            self._checked[authorization] = checked
        return checked.caller if checked.since <= at < checked.until else None

    def _read(self, authorization: str, base_url: str) -> _Checked | None:
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or len(text) > LONGEST or not _COMPACT.fullmatch(text):
            return None
        if not all(_is_canonical(segment) for segment in text.split(".")):
            return None
        try:
            claims = jwt.decode(text, self._signing_key(), algorithms=["RS256"]).claims
        except (JoseError, ValueError):  # whatever is wrong with it, it is nobody's token
            return None
        # A good signature means that every claim was set above: only whom and what it is for is left to ask.
        if not is_environment(claims["aud"], base_url) or claims["tid"] != self._directory.tenant:
            return None
        if claims["iss"] not in {self.issuer(1), self.issuer(2)} or _UNTIL not in claims:
            return None
        if int(claims["uti"], 16) <= self._revoked:
            return None
        return _Checked(
            caller=Caller(claims["appid"], claims["oid"], claims.get("upn")),
            since=_EPOCH + timedelta(seconds=claims["nbf"]),
            until=_EPOCH + claims[_UNTIL] * _MICROSECOND,
        )

    def _signing_key(self) -> RSAKey:
        return signing_key() if self._key is None else self._key

    def _signed(self, claims: dict[str, Any]) -> str:
        key = self._signing_key()
        return jwt.encode({"alg": "RS256", "kid": key.kid, "x5t": key.kid}, claims, key, algorithms=["RS256"])


def _is_canonical(segment: str) -> bool:
    """Whether base64url text is the one spelling of its bytes.

    The last character of a signature has bits that decoders drop: without this, changing them would go unnoticed.
    """
    try:
        decoded = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        return False
    return urlsafe_b64encode(decoded).rstrip(b"=").decode("ascii") == segment
