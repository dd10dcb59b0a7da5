"""Who is calling: an issuer of tokens in the manner of Microsoft Entra, and the check of what it issued.

No sockets, and no time but the clock it is handed. It knows tenants, applications, secrets and signatures; whether an
application is mapped to a user or stands on a job's policy is none of its business ("Recurring integrations",
section "Authorization for the integration REST API": the two gates behind a valid token belong to the application).
Nothing is remembered about an issued token: the token itself says how long it lives, so a reset of the emulator
takes none away.
"""

import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import unquote

from joserfc.jwk import RSAKey

from popreceipt.clock import Clock
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.identity.assertions import Certificates
from popreceipt.emulator.identity.directory import Application, Directory, User
from popreceipt.emulator.identity.endpoint import TokenEndpoint
from popreceipt.emulator.identity.errors import Refusals
from popreceipt.emulator.identity.tokens import Caller, Lifetimes, Tokens
from popreceipt.exceptions import UsageError

__all__ = ["Application", "Caller", "Directory", "Identity", "Lifetimes", "User"]

_ROUTE = re.compile(
    r"/(?P<tenant>[^/]+)/(?:"
    r"(?P<discovery>(?P<discovery_v2>v2\.0/)?\.well-known/openid-configuration)"
    r"|oauth2/(?P<token>(?P<token_v2>v2\.0/)?token)"
    r"|(?P<keys>discovery/(?:v2\.0/)?keys)"
    r"|userrealm/(?P<realm>[^/]+)"
    r")/?",
    re.IGNORECASE,
)


class Identity:
    """The issuer and the validator of one emulator.

    Args:
        clock: says when a token is issued.
        profile: says how long tokens live (`token_lifetime`).
        tenant: the tenant's id; None derives one from the seed.
        base_url: the emulator's own root, asked anew each time since a server learns its port late. It is the
            resource that tokens are for, and what the issuer's own addresses are built on.
        seed: tenant, applications, secrets and the user follow from it, so they stay the same over restarts.
    """

    def __init__(
        self,
        clock: Clock,
        profile: Lifetimes,
        tenant: str | None,
        base_url: Callable[[], str],
        seed: int = 0,
    ) -> None:
        self.directory = Directory.of_seed(seed, tenant)
        self._base_url = base_url
        self._tokens = Tokens(clock, profile, self.directory, base_url)
        self._refusals = Refusals(clock, seed)
        self._certificates = Certificates(clock)
        self._endpoint = TokenEndpoint(
            self.directory, self._tokens, self._refusals, self._certificates, self._names_of_the_endpoint
        )

    @property
    def tenant(self) -> str:
        """The tenant's id."""
        return self.directory.tenant

    @property
    def clients(self) -> dict[str, Application]:
        """The applications by their role: authorised, unlisted, unmapped."""
        return {application.role: application for application in self.directory.applications}

    @property
    def user(self) -> User:
        """The one user there is, for the password grant."""
        return self.directory.user

    def describe(self) -> dict[str, object]:
        """What the control plane's world says of identity: endpoints, resource, clients with their secrets."""
        return {
            "token_url": f"{self._authority}/oauth2/v2.0/token",
            "token_url_v1": f"{self._authority}/oauth2/token",
            "resource": self._root,
            "tenant": self.tenant,
            "clients": {
                application.role: {"client_id": application.client_id, "client_secret": application.client_secret}
                for application in self.directory.applications
            },
            "user": {"username": self.user.username, "password": self.user.password},
        }

    def check(self, authorization: str | None, at: datetime) -> Caller | None:
        """Who calls with this `Authorization` header at that instant; None where the token does not count.

        A token counts when this issuer signed it, for this environment and this tenant, and `at` lies in its life.
        """
        return self._tokens.check(authorization, at)

    def register_certificate(self, role: str, certificate: bytes) -> None:
        """Let the application of this role prove itself by this certificate (PEM or DER) as well as by its secret.

        Raises:
            UsageError: there is no such role, or it is no certificate with a key of RSA.
        """
        if role not in self.clients:
            raise UsageError(f"There is no application {role!r}. Roles: {', '.join(self.clients)}.")
        self._certificates.register(self.clients[role].client_id, certificate)

    def revoke(self) -> None:
        """Refuse from now on every token that was issued until now, as after an administrator has revoked them."""
        self._tokens.revoke()

    def sign_with(self, key: RSAKey) -> None:
        """Sign with this key from now on: that of an environment that outlives its process."""
        self._tokens.sign_with(key)

    def handle(self, request: Request) -> Response | None:
        """The answer to a request that is the issuer's to answer; None for any other."""
        found = _ROUTE.fullmatch(request.path)
        if found is None:
            return None
        if found["realm"] is not None:
            return self._read(request, self._realm(unquote(found["realm"])))
        correlation = request.header("client-request-id")
        tenant = unquote(found["tenant"])
        known = tenant.lower() == self.tenant
        if found["token"] is not None:
            if not known:
                return self._refusals.unknown_tenant(tenant, correlation, "invalid_request")
            return self._endpoint.answer(request, version=2 if found["token_v2"] else 1)
        if not known:
            return self._refusals.unknown_tenant(tenant, correlation, "invalid_tenant")
        if found["keys"] is not None:
            return self._read(request, self._tokens.public_keys())
        return self._read(request, self._configuration(version=2 if found["discovery_v2"] else 1))

    @property
    def _root(self) -> str:
        return self._base_url().rstrip("/")

    @property
    def _authority(self) -> str:
        return f"{self._root}/{self.tenant}"

    def _names_of_the_endpoint(self) -> frozenset[str]:
        """What a client assertion may be meant for: either version's endpoint, or either issuer."""
        endpoints = {f"{self._authority}/oauth2/v2.0/token", f"{self._authority}/oauth2/token"}
        return frozenset(endpoints | {self._tokens.issuer(1), self._tokens.issuer(2)})

    def _read(self, request: Request, value: dict[str, object]) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response.of_json(405, {"error": "This document can only be read."}, ("allow", "GET, HEAD"))
        return Response.of_json(200, value, ("cache-control", "max-age=86400, private"))

    def _configuration(self, version: int) -> dict[str, object]:
        """The OpenID configuration.

        There is no sign-in page: the authorisation endpoint is named since clients insist on one; nothing answers.
        """
        middle = "oauth2/v2.0" if version == 2 else "oauth2"
        keys = "discovery/v2.0/keys" if version == 2 else "discovery/keys"
        return {
            "issuer": self._tokens.issuer(version),
            "authorization_endpoint": f"{self._authority}/{middle}/authorize",
            "token_endpoint": f"{self._authority}/{middle}/token",
            "token_endpoint_auth_methods_supported": [
                "client_secret_post",
                "client_secret_basic",
                "private_key_jwt",
            ],
            "grant_types_supported": ["client_credentials", "password"],
            "jwks_uri": f"{self._authority}/{keys}",
            "response_types_supported": ["code", "id_token", "token"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "scopes_supported": ["openid"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "tid", "oid", "appid", "ver"],
            "http_logout_supported": False,
            "tenant_region_scope": None,
        }

    def _realm(self, username: str) -> dict[str, object]:
        """What MSAL asks before a password grant: whether the user signs in here or at a federated server."""
        domain = username.rpartition("@")[2].lower()
        managed = domain == self.user.username.rpartition("@")[2]
        return {
            "ver": "1.0",
            "account_type": "Managed" if managed else "Unknown",
            "domain_name": domain,
            "cloud_audience_urn": "urn:federation:MicrosoftOnline",
        }
