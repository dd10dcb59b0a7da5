"""Which tokens count: those of this issuer, for this environment, at an instant within their life."""

import base64
import hmac
import json
from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from popreceipt.emulator.identity import tokens

SECOND = timedelta(seconds=1)


def test_an_issued_token_counts(issuer):
    """The caller is the application that asked, whatever the scheme's letter case."""
    token = issuer.token()
    for header in (token, token.replace("Bearer", "bearer"), token.replace("Bearer", "BEARER")):
        assert (
            issuer.identity.check(header, issuer.clock.now()).client_id
            == issuer.identity.clients["authorised"].client_id
        )


@pytest.mark.parametrize("role", ["authorised", "unlisted", "unmapped"])
def test_every_role_gets_tokens_that_count(issuer, role):
    """What an application may do is decided behind the token."""
    application = issuer.identity.clients[role]
    token = issuer.token(client_id=application.client_id, client_secret=application.client_secret)
    assert issuer.identity.check(token, issuer.clock.now()).client_id == application.client_id


def test_what_was_revoked_does_not_count_any_more(issuer):
    """Also where it was checked before; what is issued afterwards does."""
    before = issuer.token()
    assert issuer.identity.check(before, issuer.clock.now()) is not None
    issuer.identity.revoke()
    assert issuer.identity.check(before, issuer.clock.now()) is None
    assert issuer.identity.check(issuer.token(), issuer.clock.now()) is not None


@pytest.mark.parametrize("late", [timedelta(0), timedelta(milliseconds=400)])
def test_lives_exactly_as_long_as_it_says(issuer, late):
    """To the microsecond, also where it was issued within a second; asked in any order."""
    issuer.clock.advance(late)
    token = issuer.token()
    end = issuer.clock.now() + timedelta(hours=1)
    assert issuer.identity.check(token, end - timedelta(microseconds=1)) is not None
    assert issuer.identity.check(token, end) is None
    assert issuer.identity.check(token, end + SECOND) is None
    assert issuer.identity.check(token, end - SECOND) is not None


def test_does_not_count_before_it_was_issued(issuer):
    """A token from the future is no token yet."""
    issuer.clock.advance(timedelta(hours=1))
    assert issuer.identity.check(issuer.token(), issuer.clock.now() - timedelta(minutes=1)) is None


@pytest.mark.parametrize(
    "resource",
    [
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/",
        "https://management.azure.com",
        "00000015-0000-0000-c000-000000000000",
    ],
)
def test_a_foreign_audience_does_not_count(issuer, resource):
    """A genuine token for another resource opens nothing here."""
    for token in (issuer.token(1, resource=resource), issuer.token(2, scope=f"{resource}/.default")):
        assert issuer.identity.check(token, issuer.clock.now()) is None


def test_another_tenants_token_does_not_count(issuer, new_issuer):
    """The tenant in the token must be the environment's own, though both share a key."""
    assert issuer.identity.check(new_issuer(seed=1).token(), issuer.clock.now()) is None


def test_another_environments_token_does_not_count(issuer, new_issuer):
    """A token of the same tenant for an environment next door does not count here."""
    assert issuer.identity.check(new_issuer(base_url="https://dos.example").token(), issuer.clock.now()) is None


def _claims(token):
    payload = token.removeprefix("Bearer ").split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=="))


def _base64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _joined(header, claims):
    return f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"


def test_a_forged_signature_does_not_count(issuer):
    """The same claims under another key, under the published key as an HMAC secret, and under none."""
    claims = _claims(issuer.token())
    other = RSAKey.generate_key(2048)
    public = tokens.signing_key().as_pem(private=False)
    with_hmac = _joined({"alg": "HS256"}, claims)
    unsigned = _joined({"alg": "none"}, claims)
    for forged in (
        jwt.encode({"alg": "RS256", "kid": tokens.signing_key().kid}, claims, other),
        f"{with_hmac}.{_base64(hmac.digest(public, with_hmac.encode(), 'sha256'))}",
        f"{unsigned}.",
        f"{unsigned}.AA",
    ):
        assert issuer.identity.check(f"Bearer {forged}", issuer.clock.now()) is None


def test_no_character_of_a_token_may_change(issuer):
    """Not even the last one, of which a lenient decoder drops half the bits."""
    token = issuer.token()
    assert issuer.identity.check(token, issuer.clock.now()) is not None
    for place in (-1, -2, -200, -400, 12):
        for other in "AQgw-_":
            changed = token[:place] + other + (token[place + 1 :] if place != -1 else "")
            if changed != token:
                assert issuer.identity.check(changed, issuer.clock.now()) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer x.y.z",
        "Bearer ..",
        "Bearer a.b.c.d",
        "Bearer é.ü.ß",
        "Bearer e30.e30.e30",
        "Bearer eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
        "Bearer eyJhbGciOiJSUzI1NiJ9.W10.AAAA",
        "Basic dXNlcjpwYXNz",
        "Bearer " + "A" * 20_000 + ".A.A",
    ],
)
def test_what_is_no_token_does_not_count(issuer, header):
    """Nothing, rubbish and other schemes: nobody calls, and nothing breaks."""
    assert issuer.identity.check(header, issuer.clock.now()) is None


def test_the_scheme_is_needed(issuer):
    """A bare token, or one under another scheme, is none."""
    bare = issuer.token().removeprefix("Bearer ")
    for header in (bare, f"Basic {bare}", f"Token {bare}"):
        assert issuer.identity.check(header, issuer.clock.now()) is None


def test_what_is_remembered_is_bounded(issuer, monkeypatch):
    """Many tokens do not fill the memory, and one that was forgotten still counts."""
    monkeypatch.setattr(tokens, "REMEMBERED", 3)
    made = [issuer.token() for _ in range(8)]
    for token in [*made, *made]:
        assert issuer.identity.check(token, issuer.clock.now()) is not None
    assert len(issuer.identity._tokens._checked) == 3


def test_a_token_is_checked_once(issuer, monkeypatch):
    """The second use of a token costs no signature check."""
    token = issuer.token()
    issuer.identity.check(token, issuer.clock.now())
    monkeypatch.setattr(tokens.jwt, "decode", None)
    assert issuer.identity.check(token, issuer.clock.now()) is not None


def test_two_tokens_of_one_instant_differ(issuer):
    """So that a journal can tell them apart by their digests."""
    assert issuer.token() != issuer.token()
