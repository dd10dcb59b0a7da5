"""What the token endpoint answers when it says yes."""

import base64
from datetime import timedelta
from urllib.parse import quote

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from popreceipt.emulator.http import Request


def test_v2_answers_numbers(issuer, read):
    """The v2.0 endpoint gives the life in numbers, and no resource."""
    answer = read(issuer.post(2, **issuer.good(2)))
    assert answer.pop("access_token")
    assert answer == {"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600}


def test_v1_answers_everything_as_text(issuer, read):
    """The v1 endpoint quotes its numbers and names the resource."""
    answer = read(issuer.post(1, **issuer.good(1)))
    now = int(issuer.clock.now().timestamp())
    assert answer.pop("access_token")
    assert answer == {
        "token_type": "Bearer",
        "expires_in": "3600",
        "ext_expires_in": "3600",
        "expires_on": str(now + 3600),
        "not_before": str(now),
        "resource": issuer.base_url,
    }


def test_answers_are_not_cached(issuer):
    """No cache on the way may keep a token."""
    assert ("cache-control", "no-store, no-cache") in issuer.post(2, **issuer.good(2)).headers


@pytest.mark.parametrize("version", [1, 2])
def test_claims_name_who_and_what_for(issuer, read, version):
    """A token names audience, issuer, tenant, object and application, signed with the published key."""
    text = issuer.token(version).removeprefix("Bearer ")
    configuration = read(
        issuer.get(f"/{issuer.identity.tenant}{'/v2.0' * (version == 2)}/.well-known/openid-configuration")
    )
    keys = KeySet.import_key_set(read(issuer.get(configuration["jwks_uri"].removeprefix(issuer.base_url))))
    token = jwt.decode(text, keys, algorithms=["RS256"])
    authorised = issuer.identity.clients["authorised"]
    assert token.claims["iss"] == configuration["issuer"]
    assert token.claims["aud"] == issuer.base_url
    assert token.claims["tid"] == issuer.identity.tenant
    assert token.claims["appid"] == authorised.client_id
    assert token.claims["oid"] == authorised.object_id
    assert token.claims["exp"] - token.claims["iat"] == 3600
    assert token.header["kid"] in {key.kid for key in keys.keys}


def test_published_keys_are_public(issuer, read):
    """The key set has nothing of the private key."""
    (key,) = read(issuer.get(f"/{issuer.identity.tenant}/discovery/keys"))["keys"]
    assert set(key) == {"kty", "n", "e", "use", "alg", "kid"}


def test_secret_by_http_basic(issuer, read):
    """Client id and secret may come in a Basic header instead of the body."""
    authorised = issuer.identity.clients["authorised"]
    encoded = base64.b64encode(f"{quote(authorised.client_id)}:{quote(authorised.client_secret)}".encode()).decode()
    fields = issuer.good(2, client_id="", client_secret="")
    answer = issuer.post(2, headers=(("authorization", f"Basic {encoded}"),), **fields)
    assert issuer.identity.check(f"Bearer {read(answer)['access_token']}", issuer.clock.now()) is not None


def test_client_id_in_any_letter_case(issuer):
    """A GUID is the same GUID in capitals."""
    fields = issuer.good(2, client_id=issuer.identity.clients["authorised"].client_id.upper())
    assert issuer.post(2, **fields).status == 200


@pytest.mark.parametrize("version", [1, 2])
def test_password_grant_without_secret(issuer, read, version):
    """A user signs in through a public client: name and password, no secret."""
    answer = read(issuer.post(version, **issuer.for_user(version)))
    caller = issuer.identity.check(f"Bearer {answer['access_token']}", issuer.clock.now())
    assert caller.username == issuer.identity.user.username
    assert caller.client_id == issuer.identity.clients["authorised"].client_id
    assert caller.object_id == issuer.identity.user.object_id


def test_password_grant_of_an_openid_client(issuer, read):
    """Who asks for openid and client_info gets them: MSAL keeps its accounts by them."""
    scope = f"openid profile offline_access {issuer.base_url}/user_impersonation"
    answer = read(issuer.post(2, **issuer.for_user(2, scope=scope, client_info="1")))
    assert {"id_token", "client_info", "scope"} <= set(answer)
    assert issuer.identity.check(f"Bearer {answer['id_token']}", issuer.clock.now()) is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("resource", "audience"),
    [
        ("https://uno.example:8443", "https://uno.example:8443"),
        ("https://uno.example:8443/", "https://uno.example:8443/"),
        ("HTTPS://UNO.example:8443", "https://uno.example:8443"),
    ],
)
def test_the_slash_stays_as_it_was_asked_for(issuer, read, version, resource, audience):
    """With or without a trailing slash the environment is meant, and the audience shows which; either token counts."""
    changes = {"resource": resource} if version == 1 else {"scope": f"{resource}/.default"}
    answer = read(issuer.post(version, **issuer.good(version, **changes)))
    payload = answer["access_token"].split(".")[1]
    assert f'"aud":"{audience}"' in base64.urlsafe_b64decode(payload + "==").decode()
    assert answer.get("resource", audience) == audience
    assert issuer.identity.check(f"Bearer {answer['access_token']}", issuer.clock.now()) is not None


def test_localhost_is_this_computer_too(new_issuer):
    """A resource that says localhost is the server at 127.0.0.1."""
    issuer = new_issuer(base_url="http://127.0.0.1:8365")
    assert issuer.post(1, **issuer.good(1, resource="http://localhost:8365")).status == 200
    assert issuer.post(1, **issuer.good(1, resource="http://localhost:8366")).status == 400


def test_a_lifetime_of_the_profile(issuer, read):
    """The answer says how long the profile lets tokens live."""
    issuer.profile.token_lifetime = timedelta(minutes=5)
    assert read(issuer.post(2, **issuer.good(2)))["expires_in"] == 300


def test_paths_in_any_letter_case_and_with_a_trailing_slash(issuer):
    """Entra does not mind the letter case of its paths."""
    path = f"/{issuer.identity.tenant.upper()}/OAuth2/V2.0/Token/"
    assert issuer.identity.handle(Request("POST", path)).status == 400


def test_the_same_seed_gives_the_same_credentials(new_issuer):
    """A client that was configured once fits the next start; another seed is another tenant."""
    assert new_issuer(seed=7).identity.describe() == new_issuer(seed=7).identity.describe()
    assert new_issuer(seed=7).identity.tenant != new_issuer(seed=8).identity.tenant


def test_a_tenant_may_be_chosen(new_issuer):
    """The tenant's id can be given instead of derived."""
    tenant = "12345678-1234-4234-8234-123456789ABC"
    assert new_issuer(tenant=tenant).identity.describe()["tenant"] == tenant.lower()


def test_describes_what_the_control_plane_promises(issuer):
    """Endpoints, resource, tenant, three clients and a user."""
    described = issuer.identity.describe()
    assert set(described) == {"token_url", "token_url_v1", "resource", "tenant", "clients", "user"}
    assert set(described["clients"]) == {"authorised", "unlisted", "unmapped"}
    assert described["token_url"].endswith("/oauth2/v2.0/token")
    assert described["resource"] == issuer.base_url


def test_other_paths_are_somebody_elses(issuer):
    """What the issuer does not know it leaves to the other routes."""
    for path in ("/", "/api/connector/dequeue/1", "/_control/v1/world", "/a/b/oauth2/token", "/oauth2/token"):
        assert issuer.get(path) is None
