"""What the tenant holds: applications with their secrets, one user, and the resources a token can be asked for.

Everything follows from a seed, so that a client configured once keeps working. Whether an application may do
anything is decided elsewhere.
"""

import hashlib
import hmac
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

ROLES = ("authorised", "unlisted", "unmapped")

FOREIGN_RESOURCES = frozenset(
    {
        "https://graph.microsoft.com",
        "https://management.azure.com",
        "00000003-0000-0000-c000-000000000000",  # Microsoft Graph by its id
        "00000015-0000-0000-c000-000000000000",  # the application's own first-party id, no audience since April 2024
    }
)
"""Resources that every tenant knows besides the environment. A token for one of them is genuine, and refused here."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Application:
    """A registered application; `object_id` is its service principal's."""

    role: str
    client_id: str
    client_secret: str
    object_id: str


@dataclass(frozen=True, slots=True)
class User:
    """A person who may sign in with a password."""

    username: str
    password: str
    object_id: str


@dataclass(frozen=True, slots=True)
class Directory:
    """One tenant."""

    tenant: str
    applications: tuple[Application, ...]
    user: User

    @classmethod
    def of_seed(cls, seed: int, tenant: str | None = None) -> Self:
        """The tenant that follows from this seed; its id may be chosen."""
        return cls(
            tenant=tenant.lower() if tenant else guid(seed, "tenant"),
            applications=tuple(
                Application(
                    role=role,
                    client_id=guid(seed, f"{role}/client"),
                    client_secret=_secret(seed, f"{role}/secret"),
                    object_id=guid(seed, f"{role}/object"),
                )
                for role in ROLES
            ),
            user=User(
                username="integration@contoso.example",
                password=_secret(seed, "user/password"),
                object_id=guid(seed, "user/object"),
            ),
        )

    def application(self, client_id: str) -> Application | None:
        """The application of this id, in any letter case."""
        wanted = client_id.lower()
        return next((one for one in self.applications if one.client_id == wanted), None)


def guid(seed: int, name: str) -> str:
    """A GUID that looks random and follows from seed and name."""
    return str(uuid.UUID(bytes=_digest(seed, name)[:16], version=4))


def same_secret(one: str, other: str) -> bool:
    """Whether two secrets are equal."""
    return hmac.compare_digest(one.encode("utf-8"), other.encode("utf-8"))


def audience_for(resource: str, base_url: str) -> str | None:
    """The audience of a token that is asked for by this resource; None where the tenant knows no such resource.

    The environment's root is its resource, in any letter case; a trailing slash is kept as it was asked for (public
    clients do both). A computer's own two names, localhost and 127.0.0.1, are one.
    """
    bare = resource.removesuffix("/")
    if is_environment(bare, base_url):
        return base_url.rstrip("/").lower() + ("/" if resource.endswith("/") else "")
    return resource if bare.lower() in FOREIGN_RESOURCES else None


def is_environment(resource: str, base_url: str) -> bool:
    """Whether a resource, with or without its trailing slash, names the environment."""
    wanted = _authority(base_url.rstrip("/"))
    return wanted is not None and _authority(resource.removesuffix("/")) == wanted


def _authority(url: str) -> tuple[str, str, int | None, str] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.query or parts.fragment or parts.username is not None:
        return None
    host = (parts.hostname or "").lower()
    return (
        parts.scheme.lower(),
        "127.0.0.1" if host in {"localhost", "::1"} else host,
        port if port is not None else _DEFAULT_PORTS.get(parts.scheme.lower()),
        parts.path,
    )


def _secret(seed: int, name: str) -> str:
    """A secret in the shape of Entra's own: forty characters, with a tilde among them."""
    digest = _digest(seed, name)
    return f"{digest.hex()[:3]}8Q~{urlsafe_b64encode(digest).decode('ascii')[:34]}"


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"popreceipt/identity/{seed}/{name}".encode()).digest()
