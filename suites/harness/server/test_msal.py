"""MSAL for Python signs in over TLS, as a middleware would: a real handshake, real discovery, real tokens."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.server import HttpServer

msal = pytest.importorskip("msal", reason="MSAL for Python is not installed")
requests = pytest.importorskip("requests", reason="requests (MSAL's HTTP client) is not installed")


@dataclass
class Tenant:
    """A served emulator, and applications of it that only trust its authority."""

    server: HttpServer
    identity: dict[str, Any]
    new_application: Callable[..., Any]

    @property
    def scopes(self) -> list[str]:
        """The scope that asks for the environment."""
        return [f"{self.identity['resource']}/.default"]


class KeepsThePort(requests.adapters.HTTPAdapter):
    """Puts the port back that MSAL drops when it asks for a user's realm: it expects an authority at 443."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Send to the server's port."""
        request.url = request.url.replace("//127.0.0.1/", f"//127.0.0.1:{self._port}/")
        return super().send(request, *arguments, **options)


@pytest.fixture(scope="module")
def tenant() -> Iterator[Tenant]:
    emulator = Emulator(ManualClock())
    with HttpServer(emulator, tls=True) as server, requests.Session() as session:
        session.trust_env = False  # else REQUESTS_CA_BUNDLE overrides the next line
        session.verify = str(server.ca_file)
        session.mount("https://127.0.0.1/common/userrealm/", KeepsThePort(server.port))
        identity = emulator.identity.describe()

        def application(role: str = "authorised", secret: str | None = None, **options: Any) -> Any:
            client = identity["clients"][role]
            options = options or {"authority": f"{server.base_url}/{identity['tenant']}"}
            return msal.ConfidentialClientApplication(
                client["client_id"],
                client_credential=secret or client["client_secret"],
                instance_discovery=False,  # else it asks login.microsoftonline.com first
                http_client=session,
                **options,
            )

        yield Tenant(server, identity, application)


@pytest.mark.parametrize("role", ["authorised", "unlisted", "unmapped"])
def test_client_credentials(tenant, role):
    """An application gets a token, and the second time MSAL takes it from its cache."""
    application = tenant.new_application(role)
    first = application.acquire_token_for_client(scopes=tenant.scopes)
    second = application.acquire_token_for_client(scopes=tenant.scopes)
    assert first["token_source"] == "identity_provider"
    assert first["expires_in"] == 3600
    assert second["token_source"] == "cache"
    assert second["access_token"] == first["access_token"]


def test_by_the_oidc_authority(tenant):
    """MSAL's other route reads the v2.0 configuration and checks its issuer."""
    application = tenant.new_application(oidc_authority=f"{tenant.server.base_url}/{tenant.identity['tenant']}/v2.0")
    assert "access_token" in application.acquire_token_for_client(scopes=tenant.scopes)


def test_a_wrong_secret(tenant):
    """MSAL hands on what Entra would say."""
    refused = tenant.new_application(secret="wrong").acquire_token_for_client(scopes=tenant.scopes)
    assert (refused["error"], refused["error_codes"]) == ("invalid_client", [7000215])


def test_a_resource_that_nobody_knows(tenant):
    """The same for a wrong resource."""
    refused = tenant.new_application().acquire_token_for_client(scopes=["https://dos.example/.default"])
    assert refused["error"] == "invalid_resource"


def test_a_user_with_a_password(tenant):
    """The password grant, with MSAL's look-up of the user's realm before it, makes an account."""
    user = tenant.identity["user"]
    application = tenant.new_application()
    signed_in = application.acquire_token_by_username_password(user["username"], user["password"], tenant.scopes)
    assert "access_token" in signed_in
    (account,) = application.get_accounts()
    assert account["username"] == user["username"]
    assert application.acquire_token_silent(tenant.scopes, account)["access_token"] == signed_in["access_token"]


def test_the_token_opens_the_connector(tenant):
    """What MSAL got is what the connector takes."""
    token = tenant.new_application().acquire_token_for_client(scopes=tenant.scopes)["access_token"]
    trusting = ssl.create_default_context(cafile=str(tenant.server.ca_file))
    with httpx.Client(base_url=tenant.server.base_url, verify=trusting) as client:
        activities = client.get("/_control/v1/world").json()["activities"]
        export = next(one["id"] for one in activities if one["name"] == "export-package")
        path = f"/api/connector/dequeue/{export}"
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": f"Bearer {token}"}).status_code == 204
