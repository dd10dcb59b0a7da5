"""An issuer on a manual clock, and the few requests that its tests send. No socket is opened here."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.identity import Identity

BASE_URL = "https://uno.example:8443"


@dataclass
class Profile:
    """As much of a profile as identity needs."""

    token_lifetime: timedelta = timedelta(hours=1)


@dataclass
class Issuer:
    """An identity with its clock, and shorthands for asking it."""

    clock: ManualClock
    identity: Identity
    base_url: str
    profile: Profile = field(default_factory=Profile)

    def post(self, version: int = 2, headers: tuple[tuple[str, str], ...] = (), **fields: str) -> Response:
        """A token request with exactly these fields."""
        middle = "oauth2/v2.0" if version == 2 else "oauth2"
        request = Request(
            "POST",
            f"/{self.identity.tenant}/{middle}/token",
            headers=(("content-type", "application/x-www-form-urlencoded"), *headers),
            body=urlencode(fields).encode(),
        )
        answer = self.identity.handle(request)
        assert answer is not None
        return answer

    def good(self, version: int = 2, **changes: str) -> dict[str, str]:
        """The fields of a client-credentials request that is granted, some of them changed ("" leaves one out)."""
        authorised = self.identity.clients["authorised"]
        fields = {
            "grant_type": "client_credentials",
            "client_id": authorised.client_id,
            "client_secret": authorised.client_secret,
        }
        fields |= {"resource": self.base_url} if version == 1 else {"scope": f"{self.base_url}/.default"}
        fields |= changes
        return {name: value for name, value in fields.items() if value}

    def for_user(self, version: int = 2, **changes: str) -> dict[str, str]:
        """The same for a password grant."""
        user = self.identity.user
        return self.good(
            version,
            **{"grant_type": "password", "username": user.username, "password": user.password, "client_secret": ""}
            | changes,
        )

    def token(self, version: int = 2, **changes: str) -> str:
        """An access token as an Authorization header shows it."""
        return f"Bearer {read(self.post(version, **self.good(version, **changes)))['access_token']}"

    def get(self, path: str, method: str = "GET") -> Response | None:
        """Read a document of the tenant."""
        return self.identity.handle(Request(method, path))


def read(answer: Response) -> dict[str, Any]:
    """The JSON object of an answer."""
    return dict(json.loads(answer.body))


@pytest.fixture
def new_issuer() -> Callable[..., Issuer]:
    def make(seed: int = 0, base_url: str = BASE_URL, tenant: str | None = None) -> Issuer:
        clock, profile = ManualClock(), Profile()
        return Issuer(clock, Identity(clock, profile, tenant, lambda: base_url, seed), base_url, profile)

    return make


@pytest.fixture
def issuer(new_issuer: Callable[..., Issuer]) -> Issuer:
    return new_issuer()


@pytest.fixture(name="read")
def read_fixture() -> Callable[[Response], dict[str, Any]]:
    return read
