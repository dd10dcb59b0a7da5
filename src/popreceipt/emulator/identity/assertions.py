"""Certificates in place of secrets: whether a client assertion is what the application that it names would sign.

The shape is that of Microsoft's article "Microsoft identity platform application authentication certificate
credentials" (RFC 7523): a JWT of the application about itself, for the token endpoint, signed with the key of a
certificate that is registered and that the header names by its thumbprint. No answer is made here.
"""

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from popreceipt.clock import Clock
from popreceipt.emulator.identity import errors
from popreceipt.exceptions import UsageError

TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""What `client_assertion_type` says (RFC 7523, section 2.2)."""

ALGORITHMS: Final = ("PS256", "RS256")

LEEWAY: Final = timedelta(minutes=5)
"""How far the client's clock may be off."""

LONGEST: Final = 64 * 1024
"""Characters of the longest assertion that is looked at; certificates may be in it."""


class _Registry(JWSRegistry):
    """The library's own limits hold no header with a certificate in it (`x5c`)."""

    max_header_length = LONGEST
    max_payload_length = LONGEST


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an assertion: the number behind AADSTS, and a sentence."""

    code: int
    sentence: str


@dataclass(frozen=True, slots=True)
class _Registered:
    key: RSAKey
    thumbprints: frozenset[str]


class Certificates:
    """The certificates that are registered for the applications of one tenant."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._registered: dict[str, list[_Registered]] = {}

    def register(self, client_id: str, certificate: bytes) -> None:
        """Take this certificate (PEM or DER) for one of the application's.

        Raises:
            UsageError: it is none, or its key is not RSA's.
        """
        try:
            load = x509.load_pem_x509_certificate if b"-----BEGIN" in certificate else x509.load_der_x509_certificate
            found = load(certificate)
        except ValueError as error:
            raise UsageError("This is no X.509 certificate in PEM or DER.") from error
        public = found.public_key()
        if not isinstance(public, RSAPublicKey):
            raise UsageError("A client's certificate needs a key of RSA.")
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        # Headers name it by either digest: x5t#S256, and x5t as older clients do.
        prints = frozenset(_base64url(found.fingerprint(each)) for each in (hashes.SHA256(), hashes.SHA1()))  # noqa: S303  a name, no protection
        self._registered.setdefault(client_id, []).append(_Registered(RSAKey.import_key(pem), prints))

    def fault(self, assertion: str, client_id: str, audiences: Collection[str]) -> Fault | None:
        """What is wrong with an assertion that this application is said to have made; None where nothing is.

        How long it lives is compared only with a clock that runs as the client's own does.

        Args:
            assertion: the JWT.
            client_id: of the application.
            audiences: what the claim `aud` may name.
        """
        header = _header(assertion)
        if header is None:
            return Fault(errors.MALFORMED_ASSERTION, "The client assertion is no signed JWT.")
        named = {str(header[name]).rstrip("=") for name in ("x5t#S256", "x5t") if header.get(name)}
        keys = [each.key for each in self._registered.get(client_id, ()) if not named.isdisjoint(each.thumbprints)]
        if not keys:
            return Fault(
                errors.WRONG_ASSERTION,
                f"The certificate that the client assertion names is not registered for '{client_id}'.",
            )
        claims = next((found for key in keys if (found := _claims(assertion, key)) is not None), None)
        if claims is None:
            return Fault(errors.WRONG_ASSERTION, "The signature of the client assertion is not valid.")
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            return Fault(errors.OTHER_CLIENTS_ASSERTION, "Issuer and subject of the client assertion are the client.")
        aud = claims.get("aud")
        if not any(each in audiences for each in (aud if isinstance(aud, list) else [aud])):
            return Fault(errors.ASSERTION_FOR_OTHERS, "The audience of the client assertion is not this endpoint.")
        return self._out_of_time(claims)

    def _out_of_time(self, claims: dict[str, Any]) -> Fault | None:
        expires, since = claims.get("exp"), claims.get("nbf", claims.get("iat", 0))
        if not isinstance(expires, (int, float)) or not isinstance(since, (int, float)):
            return Fault(errors.MALFORMED_ASSERTION, "The client assertion does not say when it ends.")
        now = self._clock.now().timestamp()
        leeway = LEEWAY.total_seconds()
        if self._clock.kind == "system" and not since - leeway <= now < expires + leeway:
            return Fault(errors.ASSERTION_OUT_OF_TIME, "The client assertion is not valid at this time.")
        return None


def _header(assertion: str) -> dict[str, Any] | None:
    if len(assertion) > LONGEST or assertion.count(".") != 2:
        return None
    text = assertion.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _claims(assertion: str, key: RSAKey) -> dict[str, Any] | None:
    try:
        return dict(jwt.decode(assertion, key, registry=_Registry(algorithms=list(ALGORITHMS))).claims)
    except (JoseError, ValueError):  # whatever is wrong with it, this key has not signed it
        return None


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
