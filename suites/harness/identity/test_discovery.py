"""The documents that a client reads before it asks for a token."""

import pytest


@pytest.mark.parametrize(("version", "prefix"), [(1, ""), (2, "/v2.0")])
def test_configuration_names_this_issuers_endpoints(issuer, read, version, prefix):
    """Every address stands on the emulator's own root, and leads somewhere (there is no sign-in page)."""
    answer = issuer.get(f"/{issuer.identity.tenant}{prefix}/.well-known/openid-configuration")
    configuration = read(answer)
    assert answer.status == 200
    described = issuer.identity.describe()
    assert configuration["token_endpoint"] == described["token_url" if version == 2 else "token_url_v1"]
    assert configuration["issuer"].startswith(f"{issuer.base_url}/{issuer.identity.tenant}")
    assert configuration["authorization_endpoint"].startswith(issuer.base_url)
    assert issuer.get(configuration["jwks_uri"].removeprefix(issuer.base_url)).status == 200
    assert "client_secret_basic" in configuration["token_endpoint_auth_methods_supported"]


def test_v2_issuer_is_where_its_configuration_is(issuer, read):
    """OpenID Connect Discovery, section 4.3: the issuer is the configuration's address without its well-known part."""
    path = f"/{issuer.identity.tenant}/v2.0"
    assert read(issuer.get(f"{path}/.well-known/openid-configuration"))["issuer"] == issuer.base_url + path


def test_realm_of_the_user_is_managed_here(issuer, read):
    """MSAL asks before a password grant whether the user signs in at a federated server."""
    known = read(issuer.get(f"/common/userrealm/{issuer.identity.user.username}"))
    other = read(issuer.get("/common/userrealm/somebody%40dos.example"))
    assert (known["account_type"], other["account_type"]) == ("Managed", "Unknown")
