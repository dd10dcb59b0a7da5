"""What the token endpoint answers when it says no: status, error name and AADSTS number for each reason."""

import base64
import re

import pytest

from popreceipt.emulator.http import Request

CLIENT = "client_credentials"
REFUSED = {
    "no grant": ({"grant_type": ""}, 400, "invalid_request", 900144),
    "unknown grant": ({"grant_type": "device_code"}, 400, "unsupported_grant_type", 70003),
    "no client": ({"client_id": ""}, 400, "invalid_request", 900144),
    "unknown client": (
        {"client_id": "00000000-0000-4000-8000-000000000000"},
        400,
        "unauthorized_client",
        700016,
    ),
    "no secret": ({"client_secret": ""}, 401, "invalid_client", 7000216),
    "wrong secret": ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
    "secret outside ASCII": ({"client_secret": "hemlighet-å"}, 401, "invalid_client", 7000215),
}


def _shows(answer, status, error, code, read):
    body = read(answer)
    assert (answer.status, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert set(body) == {"error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id"}
    return body


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("reason", REFUSED)
def test_refuses(issuer, read, version, reason):
    """Each reason has its status, its name and its number, at both endpoints."""
    changes, status, error, code = REFUSED[reason]
    _shows(issuer.post(version, **issuer.good(version, **changes)), status, error, code, read)


@pytest.mark.parametrize(
    ("version", "changes", "error", "code"),
    [
        (1, {"resource": ""}, "invalid_request", 900144),
        (1, {"resource": "https://dos.example"}, "invalid_resource", 500011),
        (1, {"resource": "https://uno.example"}, "invalid_resource", 500011),
        (1, {"resource": "https://uno.example:8443/data"}, "invalid_resource", 500011),
        (1, {"resource": "https://[uno:8443"}, "invalid_resource", 500011),
        (2, {"scope": ""}, "invalid_request", 900144),
        (2, {"scope": "https://dos.example/.default"}, "invalid_resource", 500011),
        (2, {"scope": "https://uno.example:8443"}, "invalid_scope", 1002012),
        (2, {"scope": "https://uno.example:8443/user_impersonation"}, "invalid_scope", 1002012),
        (2, {"scope": "/.default"}, "invalid_scope", 70011),
        (2, {"scope": "https://a.example/.default https://b.example/.default"}, "invalid_scope", 28000),
    ],
)
def test_refuses_what_the_token_is_for(issuer, read, version, changes, error, code):
    """A resource nobody knows, and a scope that does not name one."""
    _shows(issuer.post(version, **issuer.good(version, **changes)), 400, error, code, read)


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        ({"username": ""}, 400, "invalid_request", 900144),
        ({"password": ""}, 400, "invalid_request", 900144),
        ({"username": "nobody@contoso.example"}, 400, "invalid_grant", 50034),
        ({"password": "wrong"}, 400, "invalid_grant", 50126),
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"scope": "openid profile"}, 400, "invalid_scope", 70011),
    ],
)
def test_refuses_a_user(issuer, read, changes, status, error, code):
    """A password grant with a wrong name, a wrong password or a wrong secret."""
    _shows(issuer.post(2, **issuer.for_user(2, **changes)), status, error, code, read)


@pytest.mark.parametrize(
    ("tenant", "error", "code"),
    [
        ("11111111-1111-4111-8111-111111111111", "invalid_request", 90002),
        ("contoso.example", "invalid_request", 90002),
        ("common", "invalid_request", 50194),
        ("organizations", "invalid_request", 50194),
    ],
)
def test_refuses_other_tenants(issuer, read, tenant, error, code):
    """The authority must be the environment's own tenant."""
    _shows(issuer.identity.handle(Request("POST", f"/{tenant}/oauth2/token")), 400, error, code, read)


@pytest.mark.parametrize(
    "path",
    ["/{}/.well-known/openid-configuration", "/{}/v2.0/.well-known/openid-configuration", "/{}/discovery/v2.0/keys"],
)
def test_other_tenants_have_no_documents(issuer, read, path):
    """Discovery of a tenant that is not there fails as Entra's does."""
    _shows(issuer.get(path.format("dos.example")), 400, "invalid_tenant", 90002, read)


@pytest.mark.parametrize("body", [b"", b'{"grant_type": "client_credentials"}', b"\xff\xfe", b"&" * 1000])
def test_refuses_what_is_no_form(issuer, read, body):
    """A body that is no form lacks everything, and says so."""
    path = f"/{issuer.identity.tenant}/oauth2/token"
    _shows(issuer.identity.handle(Request("POST", path, body=body)), 400, "invalid_request", 900144, read)


def test_takes_only_post(issuer, read):
    """Reading the token endpoint gives no token."""
    answer = issuer.get(f"/{issuer.identity.tenant}/oauth2/token")
    _shows(answer, 405, "invalid_request", 900561, read)
    assert ("allow", "POST") in answer.headers


def test_documents_are_only_read(issuer):
    """Discovery documents take no POST."""
    answer = issuer.get(f"/{issuer.identity.tenant}/discovery/keys", "POST")
    assert answer.status == 405


def test_wrong_basic_credentials_are_challenged(issuer, read):
    """A client that tried HTTP Basic learns the scheme (RFC 6749, section 5.2)."""
    authorised = issuer.identity.clients["authorised"]
    encoded = base64.b64encode(f"{authorised.client_id}:wrong".encode()).decode()
    fields = issuer.good(2, client_id="", client_secret="")
    answer = issuer.post(2, headers=(("authorization", f"Basic {encoded}"),), **fields)
    _shows(answer, 401, "invalid_client", 7000215, read)
    assert dict(answer.headers)["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("header", ["Basic", "Basic ???", "Basic /////w==", "Bearer x", "Digest y"])
def test_other_headers_are_no_credentials(issuer, read, header):
    """A header that holds no credentials is none."""
    fields = issuer.good(2, client_id="", client_secret="")
    _shows(issuer.post(2, headers=(("authorization", header),), **fields), 400, "invalid_request", 900144, read)


def test_says_when_and_which_request_on_the_emulators_clock(issuer, read):
    """Timestamp of the virtual clock, a trace id of its own, and the caller's own id given back."""
    mine = "6f1c8a52-0f3e-4a8b-9c37-2f5d1a0e7b44"
    body = read(issuer.post(2, headers=(("client-request-id", mine),), grant_type="magic"))
    again = read(issuer.post(2, grant_type="magic"))
    assert body["timestamp"] == "2026-01-01 00:00:00Z"
    assert body["correlation_id"] == mine
    assert body["trace_id"] != again["trace_id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", again["correlation_id"])


def test_never_repeats_a_secret(issuer):
    """A refusal does not show what was sent as a secret."""
    answer = issuer.post(2, **issuer.for_user(2, password="hunter2-hunter2"))
    assert b"hunter2" not in answer.body
