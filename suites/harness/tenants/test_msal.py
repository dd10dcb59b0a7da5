"""Tokens through MSAL: over TLS from an emulator that is a stranger, and from issuers that misbehave."""

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msal  # type: ignore[import-untyped]  # it comes without types
import pytest

from popreceipt.client import wire
from popreceipt.client.guarding import NotPermitted
from popreceipt.client.msal_tokens import KeyPair, MsalTokens
from popreceipt.client.session import Session
from popreceipt.client.times import ManualTimes
from popreceipt.clock import EPOCH
from popreceipt.exceptions import NotAbleTo, NothingProved, UsageError
from popreceipt.journal import Journal
from popreceipt.targets import DATES_TAKEN, Target, open_target
from popreceipt.tenants.description import Tenant
from popreceipt.tenants.guard import TenantGuard

# A stranger: another process, TLS with its own authority, no control plane, a clock that runs fast


@pytest.fixture(scope="module")
def stranger(
    tmp_path_factory: pytest.TempPathFactory, certificate_pem: bytes, key_pem: bytes
) -> Iterator[dict[str, Any]]:
    """An emulator, and what an administrator would know of it."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "public.pem").write_bytes(certificate_pem)
    (folder / "own.pem").write_bytes(key_pem + certificate_pem)
    files = ("--ca-file", str(folder / "ca.pem"), "--world-file", str(folder / "world.json"))
    serve = [sys.executable, "-m", "popreceipt", "serve", "--port", "0", "--tls", "--no-control", *files]
    process = subprocess.Popen(
        [*serve, "--clock", "scaled:600", "--client-certificate", str(folder / "public.pem")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        world = json.loads((folder / "world.json").read_text())
        yield {"folder": folder, "base_url": ready["base_url"], **world}
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def table(stranger: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Describes the stranger as a tenant whose client has this credential."""
    identity = stranger["identity"]
    ids = {each["name"]: each["id"] for each in stranger["activities"]}
    monkeypatch.setenv("QA_SECRET", identity["clients"]["authorised"]["client_secret"])
    monkeypatch.setenv("QA_UNMAPPED", identity["clients"]["unmapped"]["client_secret"])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")  # what other clients listen to
    monkeypatch.setenv("MSAL_FORCE_REGION", "westus")
    path: Path = stranger["folder"] / "popreceipt.toml"
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(path))

    def write(credential: str) -> Path:
        path.write_text(
            f"""
            [tenant.qa]
            base_url = "{stranger["base_url"]}"
            tenant = "{identity["tenant"]}"
            authority = "{stranger["base_url"]}"
            ca = "ca.pem"
            clock = "scaled:600"
            client_id = "{identity["clients"]["authorised"]["client_id"]}"
            {credential}
            [tenant.qa.clients.unmapped]
            client_id = "{identity["clients"]["unmapped"]["client_id"]}"
            client_secret_env = "QA_UNMAPPED"
            [tenant.qa.activities]
            export-package = {{ id = "{ids["export-package"]}", exclusive = true }}
            """
        )
        return path

    return write


BY_SECRET = 'client_secret_env = "QA_SECRET"'
BY_CERTIFICATE = 'certificate = { file = "own.pem" }'


@pytest.mark.parametrize("credential", [BY_SECRET, BY_CERTIFICATE])
def test_a_token_opens_the_environment(table: Callable[..., Path], stranger: dict[str, Any], credential: str) -> None:
    """By secret and by certificate; every request is in the journal, and no secret."""
    table(credential)
    with open_target("tenant:qa") as target:
        token = target.tokens.current()
        assert target.tokens.current() == token
        exports = target.activity("export-package")["id"]
        assert target.session.send(wire.dequeue(exports), actor="authorised", token=token).ok
        assert told(target) == [("other", "GET", 200), ("token", "POST", 200), ("dequeue", "GET", 204)]
        assert target.guard is not None
        assert target.guard.sent == {"other": DATES_TAKEN + 1, "token": 1, "dequeue": 1}
        form = next(each for each in target.journal.exchanges() if each.operation == "token").request.body
        assert form is not None
        assert ("client_assertion=redacted" in (form.text or "")) is (credential == BY_CERTIFICATE)
        written = b"\n".join(target.journal.lines()).decode() + repr(target.tokens) + repr(target)
        for secret in (token, stranger["identity"]["clients"]["authorised"]["client_secret"]):
            assert secret not in written


def told(target: Target) -> list[tuple[str, str, int | None]]:
    return [
        (each.operation, each.request.method, None if each.response is None else each.response.status)
        for each in target.journal.exchanges()
    ]


def test_each_new_token_is_really_asked_for(table: Callable[..., Path]) -> None:
    """MSAL counts in real time what lives on the target's clock, so it is not asked what it has kept."""
    table(BY_CERTIFICATE)
    with open_target("tenant:qa") as target:
        issued = [target.tokens.obtain(actor="authorised/two") for _ in range(2)]
        assert issued[0].token != issued[1].token
        assert [each.reply.exchange.actor for each in issued] == ["authorised/two"] * 2
        assert target.tokens.current("unmapped") not in {each.token for each in issued}
        assert [each[0] for each in told(target)] == ["other", "token", "token", "other", "token"]


def test_what_msal_does_not_ask_for_is_asked_for_directly(table: Callable[..., Path]) -> None:
    """A wrong secret, each time anew; the first version's endpoint; of a certificate neither makes sense."""
    table(BY_SECRET)
    with open_target("tenant:qa") as target:
        assert [target.tokens.obtain(secret="wrong").reply.status for _ in range(2)] == [401, 401]
        assert target.tokens.obtain(version=1).token
    table(BY_CERTIFICATE)
    with open_target("tenant:qa") as target:
        assert target.tokens.obtain(secret="wrong").reply.status == 401
        with pytest.raises(NotAbleTo, match="this one has a certificate"):
            target.tokens.obtain(version=1)


def test_a_certificate_that_is_not_registered(table: Callable[..., Path], stranger: dict[str, Any]) -> None:
    """The issuer says so, in the journal; the error shows what it said."""
    text = table(BY_SECRET).read_text()
    unmapped = text.replace('client_secret_env = "QA_UNMAPPED"', BY_CERTIFICATE)
    (stranger["folder"] / "popreceipt.toml").write_text(unmapped)
    with open_target("tenant:qa") as target, pytest.raises(NothingProved, match="AADSTS700027"):
        target.tokens.current("unmapped")


# Issuers that misbehave


class Issuer(httpx.BaseTransport):
    """Answers discovery and token requests as told; nobody else is there."""

    def __init__(self, *tokens: httpx.Response, configuration: httpx.Response | None = None) -> None:
        self.tokens = iter(tokens)
        self.configuration = configuration
        self.reached: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.reached.append(f"{request.method} {request.url}")
        request.read()
        if request.method == "POST":
            return next(self.tokens)
        if self.configuration is not None:
            return self.configuration
        endpoint = "https://login.example/T/oauth2/v2.0"
        return httpx.Response(
            200,
            json={
                "issuer": "https://login.example/T/v2.0",
                "token_endpoint": f"{endpoint}/token",
                "authorization_endpoint": f"{endpoint}/authorize",
            },
        )


CANARY = "canary-5e1f~secret"


def asking(issuer: Issuer, tenant: Tenant) -> tuple[MsalTokens, ManualTimes]:
    times = ManualTimes(EPOCH, lambda seconds: EPOCH + timedelta(seconds=seconds))
    guard = TenantGuard(tenant, times)
    session = Session(tenant.base_url, times, Journal(), transport=issuer, guard=guard)
    identity = {"clients": {"authorised": {"client_id": "c", "client_secret": CANARY}}, "resource": tenant.resource}
    return MsalTokens(session, identity, "https://login.example/T"), times


@pytest.fixture
def tenant(describe: Callable[..., Tenant]) -> Tenant:
    return describe(token_url='tenant = "T"\nauthority = "https://login.example"')


def granted(lives: object = 3600, token: str = CANARY) -> httpx.Response:
    return httpx.Response(200, json={"token_type": "Bearer", "access_token": token, "expires_in": lives})


def test_nothing_goes_to_hosts_that_nobody_named(tenant: Tenant) -> None:
    """Neither for instance discovery nor for a region: the issuer's configuration, then the token."""
    issuer = Issuer(granted(), granted(token="other"))
    tokens, _ = asking(issuer, tenant)
    assert tokens.obtain().token == CANARY
    assert tokens.obtain().token == "other"
    assert issuer.reached == [
        "GET https://login.example/T/v2.0/.well-known/openid-configuration",
        "POST https://login.example/T/oauth2/v2.0/token",
        "POST https://login.example/T/oauth2/v2.0/token",
    ]


def test_a_configuration_that_leads_elsewhere_gets_no_secret(tenant: Tenant) -> None:
    """The guard knows the issuer's host from the description."""
    endpoint = "https://evil.example/T/oauth2/v2.0"
    names = {"issuer": "x", "token_endpoint": f"{endpoint}/token", "authorization_endpoint": f"{endpoint}/authorize"}
    issuer = Issuer(granted(), configuration=httpx.Response(200, json=names))
    tokens, _ = asking(issuer, tenant)
    with pytest.raises(NotPermitted, match=r"evil\.example"):
        tokens.current()
    assert issuer.reached == ["GET https://login.example/T/v2.0/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    "configuration",
    [
        httpx.Response(400, json={"error": "invalid_tenant", "error_description": CANARY}),
        httpx.Response(404, text=CANARY),
        httpx.Response(500, json={"error": CANARY}),
        httpx.Response(200, text=f"<html>{CANARY}"),
        httpx.Response(200, json={"issuer": CANARY}),
        httpx.Response(200, json=[CANARY]),
        httpx.Response(302, headers={"location": "https://evil.example/"}),
    ],
)
def test_an_issuer_without_a_configuration(tenant: Tenant, configuration: httpx.Response) -> None:
    """A sentence with the URL and the status, and none of the answer's words."""
    tokens, _ = asking(Issuer(configuration=configuration), tenant)
    with pytest.raises(NothingProved, match=rf"openid-configuration answered {configuration.status_code}") as caught:
        tokens.current()
    assert CANARY not in f"{caught.value}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text=f'{{"access_token": "{CANARY}"'),
        httpx.Response(200, text=f"<html>{CANARY}"),
        httpx.Response(500, json={"access_token": CANARY}),
        httpx.Response(503, text="later"),
        httpx.Response(400, json={"error": "invalid_scope", "client_secret": CANARY}),
        httpx.Response(200, json={"access_token": 3}),
        httpx.Response(200, json=[CANARY]),
        httpx.Response(200, json={"access_token": CANARY, "expires_in": "soon"}),
    ],
)
def test_an_endpoint_that_gives_no_token(
    tenant: Tenant, answer: httpx.Response, caplog: pytest.LogCaptureFixture
) -> None:
    """What it answered is in the journal without its secrets, and neither in the error nor in MSAL's log."""
    caplog.set_level(logging.DEBUG)
    tokens, _ = asking(Issuer(*[answer] * 4), tenant)
    issued = tokens.obtain()
    assert issued.reply.exchange.operation == "token"
    if "soon" not in answer.text:
        assert issued.token is None
        with pytest.raises(NothingProved, match=f"answered {answer.status_code}") as caught:
            tokens.current()
        assert CANARY not in str(caught.value)
    assert CANARY not in caplog.text


def test_the_same_refusal_is_asked_for_again(tenant: Tenant) -> None:
    """MSAL would give back a kept refusal for a minute: then nothing would be known of the server."""
    issuer = Issuer(*(httpx.Response(400, json={"error": "invalid_client"}) for _ in range(3)))
    tokens, _ = asking(issuer, tenant)
    assert [tokens.obtain().reply.status for _ in range(3)] == [400, 400, 400]
    assert len(issuer.reached) == 4


def test_nobody_there(tenant: Tenant) -> None:
    class Nobody(Issuer):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no", request=request)

    tokens, _ = asking(Nobody(), tenant)
    with pytest.raises(NothingProved, match="openid-configuration answered refused"):
        tokens.current()


def test_a_certificate_is_presented_as_microsoft_asks(tenant: Tenant, certificate_pem: bytes, key_pem: bytes) -> None:
    """Named by its SHA-256 thumbprint, with its certificate, signed with PS256; no secret beside it."""
    forms: list[dict[str, str]] = []

    class Noting(Issuer):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if request.method == "POST":
                forms.append(dict(httpx.QueryParams(request.content.decode())))
            return answer

    tokens, _ = asking(Noting(granted()), tenant)
    pair = KeyPair(key_pem.decode(), certificate_pem.decode())
    presented = MsalTokens(
        tokens._session,
        {"clients": {"authorised": {"client_id": "c"}}},
        "https://login.example/T",
        {"authorised": pair},
    )
    assert presented.obtain().token == CANARY
    header = json.loads(_decoded(forms[0]["client_assertion"].split(".")[0]))
    assert (header["alg"], sorted(header)) == ("PS256", ["alg", "typ", "x5c", "x5t#S256"])
    assert "client_secret" not in forms[0]


def _decoded(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# What is not installed


def test_without_msal_the_sentence_says_what_to_install(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msal", None)
    with pytest.raises(UsageError, match=r'pip install "popreceipt\[tenant\]"'):
        asking(Issuer(), tenant)


def test_the_command_line_starts_without_msal_and_keyring() -> None:
    """They are imported when a tenant is opened that needs them."""
    script = (
        "import sys; import popreceipt.targets, popreceipt.cli.main; "
        "print([each for each in ('msal', 'keyring', 'jwt', 'requests') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_socket_is_opened_by_msal_itself(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network is ours."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    tokens, _ = asking(Issuer(granted()), tenant)
    assert tokens.obtain().token == CANARY
    assert msal.__version__
