"""Tokens: asked for as clients of Entra ID do, kept while they last, spoilt on purpose."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx

from popreceipt.client.session import Session
from popreceipt.client.times import ManualTimes
from popreceipt.client.tokens import Tokens, forge
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import Exchange, Journal

BASE = "https://target.example"
START = datetime(2026, 1, 1, tzinfo=UTC)
IDENTITY: dict[str, Any] = {
    "token_url": f"{BASE}/tenant/oauth2/v2.0/token",
    "token_url_v1": f"{BASE}/tenant/oauth2/token",
    "resource": BASE,
    "tenant": "tenant",
    "clients": {
        "authorised": {"client_id": "client-1", "client_secret": "s&cret 1"},
        "unlisted": {"client_id": "client-2", "client_secret": "secret-2"},
    },
    "user": {"username": "kim@example.com", "password": "pass word"},
}


@pytest.fixture
def session(still: ManualTimes, journal: Journal) -> Session:
    return Session(BASE, still, journal)


@pytest.fixture
def tokens(session: Session) -> Tokens:
    return Tokens(session, IDENTITY)


def answer(token: str = "one", **members: Any) -> httpx.Response:
    return httpx.Response(200, json={"token_type": "Bearer", "expires_in": 3599, "access_token": token, **members})


def form(route: respx.Route) -> dict[str, str]:
    sent = parse_qs(route.calls.last.request.content.decode(), strict_parsing=True)
    return {name: values[0] for name, values in sent.items()}


@respx.mock
def test_the_second_version_asks_with_a_scope(tokens: Tokens, journal: Journal) -> None:
    route = respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(answer())
    issued = tokens.obtain()
    assert (issued.token, issued.expires_in) == ("one", 3599)
    assert issued.fresh_until == START + timedelta(seconds=3539)
    assert form(route) == {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_secret": "s&cret 1",
        "scope": f"{BASE}/.default",
    }
    assert route.calls.last.request.headers["content-type"] == "application/x-www-form-urlencoded"
    (exchange,) = journal.entries
    assert isinstance(exchange, Exchange)
    assert (exchange.operation, exchange.actor) == ("token", "authorised")


@respx.mock
def test_the_first_version_asks_with_a_resource_and_writes_numbers_as_text(tokens: Tokens) -> None:
    route = respx.post(f"{BASE}/tenant/oauth2/token").mock(answer(expires_in="3599", expires_on="1767229199"))
    issued = tokens.obtain("unlisted", version=1)
    assert issued.expires_in == 3599
    assert form(route) == {
        "grant_type": "client_credentials",
        "client_id": "client-2",
        "client_secret": "secret-2",
        "resource": BASE,
    }


@respx.mock
def test_the_password_grant_sends_the_user(tokens: Tokens) -> None:
    route = respx.post(f"{BASE}/tenant/oauth2/token").mock(answer())
    tokens.obtain(version=1, grant="password")
    sent = form(route)
    assert (sent["grant_type"], sent["username"], sent["password"]) == ("password", "kim@example.com", "pass word")


@respx.mock
def test_a_token_can_be_meant_for_somebody_else(tokens: Tokens) -> None:
    route = respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(answer())
    tokens.obtain(resource="https://elsewhere.example", actor="foreign-audience")
    assert form(route)["scope"] == "https://elsewhere.example/.default"


@respx.mock
def test_a_wrong_secret_is_sent_and_its_refusal_reported(tokens: Tokens, journal: Journal) -> None:
    route = respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(
        httpx.Response(401, json={"error": "invalid_client", "error_description": "AADSTS7000215"})
    )
    issued = tokens.obtain(secret="wrong")
    assert form(route)["client_secret"] == "wrong"
    assert (issued.token, issued.reply.status) == (None, 401)
    (exchange,) = journal.entries
    assert isinstance(exchange, Exchange)
    assert exchange.actor == "wrong-secret"


@respx.mock
def test_a_token_is_kept_until_a_minute_before_its_end(tokens: Tokens, still: ManualTimes) -> None:
    """By the target's clock: a token is as old as its time says, however little real time has passed."""
    route = respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(side_effect=[answer("one"), answer("two")])
    assert tokens.current() == "one"
    still.advance(3538)
    assert tokens.current() == "one"
    still.advance(1)
    assert tokens.current() == "two"
    assert route.call_count == 2


@respx.mock
@pytest.mark.parametrize(("lifetime", "believed"), [(1e300, 366 * 86_400), ("99999999999", 366 * 86_400), (-5, 0)])
def test_nobody_believes_in_a_lifetime_beyond_reason(tokens: Tokens, lifetime: object, believed: float) -> None:
    """Whatever an issuer says, time goes on from there."""
    respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(answer(expires_in=lifetime))
    assert tokens.obtain().expires_in == believed


@respx.mock
def test_a_short_lived_token_is_used_for_half_its_life(tokens: Tokens, still: ManualTimes) -> None:
    route = respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(return_value=answer(expires_in=40))
    tokens.current()
    still.advance(19)
    tokens.current()
    assert route.call_count == 1
    still.advance(1)
    tokens.current()
    assert route.call_count == 2


@respx.mock
@pytest.mark.parametrize("lifetime", [None, "soon", True, "inf", "nan", "9" * 5_000])
def test_a_lifetime_that_is_not_told_is_taken_for_a_short_one(tokens: Tokens, lifetime: object) -> None:
    respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(answer(expires_in=lifetime))
    issued = tokens.obtain()
    assert issued.expires_in is None
    assert issued.fresh_until == START + timedelta(minutes=4)


@respx.mock
def test_each_role_has_its_own_token(tokens: Tokens) -> None:
    respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(side_effect=[answer("a"), answer("u"), answer("new")])
    assert [tokens.current("authorised"), tokens.current("unlisted"), tokens.current("authorised")] == ["a", "u", "a"]
    tokens.forget()
    assert tokens.current() == "new"


@respx.mock
@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(400, json={"error": "invalid_request"}),
        httpx.Response(200, json={}),
        httpx.Response(200, text="x"),
    ],
)
def test_no_token_proves_nothing(tokens: Tokens, response: httpx.Response) -> None:
    respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(response)
    with pytest.raises(NothingProved, match="No token for 'authorised'"):
        tokens.current()


@respx.mock
def test_an_unreachable_endpoint_proves_nothing(tokens: Tokens) -> None:
    respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(side_effect=httpx.ConnectError)
    with pytest.raises(NothingProved, match="refused"):
        tokens.current()


# Where the endpoint is


@respx.mock
@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/tenant/oauth2/v2.0/token",
        "https://inside.example:8365/tenant/oauth2/v2.0/token",
        "/tenant/oauth2/v2.0/token",
    ],
)
def test_an_endpoint_of_the_target_is_asked_where_the_target_is_reached(session: Session, url: str) -> None:
    """A server in a container may know itself by another name than we do; its resource tells."""
    route = respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(answer())
    Tokens(session, IDENTITY | {"token_url": url, "resource": "https://inside.example:8365"}).obtain()
    assert route.called


@respx.mock
def test_names_of_this_computer_are_one(still: ManualTimes, journal: Journal) -> None:
    route = respx.post("http://127.0.0.1:8365/t/oauth2/v2.0/token").mock(answer())
    session = Session("http://127.0.0.1:8365", still, journal)
    Tokens(session, IDENTITY | {"token_url": "http://localhost:8365/t/oauth2/v2.0/token"}).obtain()
    assert route.called


@respx.mock
def test_a_path_before_the_api_is_not_the_token_endpoints(still: ManualTimes, journal: Journal) -> None:
    route = respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(answer())
    Tokens(Session(f"{BASE}/namespaces/AXSF", still, journal), IDENTITY).obtain()
    assert route.called


@respx.mock
def test_an_endpoint_elsewhere_is_asked_there(session: Session, journal: Journal) -> None:
    url = "https://login.example/tenant/oauth2/v2.0/token?slice=1"
    route = respx.post(url).mock(answer())
    tokens = Tokens(session, IDENTITY | {"token_url": url})
    assert tokens.obtain().token == "one"
    assert tokens.obtain().token == "one"
    assert route.call_count == 2
    assert all(isinstance(each, Exchange) and each.request.url == url for each in journal.entries)


@pytest.mark.parametrize(
    ("identity", "options", "message"),
    [
        (IDENTITY, {"role": "nobody"}, "no client for the role 'nobody' .*authorised, unlisted"),
        ({"token_url": BASE}, {}, "it has: none"),
        (IDENTITY | {"token_url": None}, {}, "no token_url"),
        ({name: each for name, each in IDENTITY.items() if name != "user"}, {"grant": "password"}, "no user"),
        (IDENTITY | {"token_url": "nowhere"}, {}, "no base URL"),
        (IDENTITY | {"token_url": "http://["}, {}, "no base URL"),
    ],
)
def test_what_the_identity_lacks_is_said(
    session: Session, identity: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Tokens(session, identity).obtain(**options)


# Forgery


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


SIGNATURE = base64.urlsafe_b64encode(bytes(256)).rstrip(b"=").decode()
TOKEN = f"{encoded({'alg': 'RS256'})}.{encoded({'aud': BASE, 'exp': 1000})}.{SIGNATURE}"


def test_a_forged_signature_is_another_signature() -> None:
    forged = forge(TOKEN)
    assert forged.split(".")[:2] == TOKEN.split(".")[:2]
    signature = base64.urlsafe_b64decode(forged.split(".")[2] + "==")
    assert len(signature) == 256
    assert signature != bytes(256)


def test_a_forged_payload_claims_a_longer_life() -> None:
    forged = forge(TOKEN, "payload")
    header, payload, signature = forged.split(".")
    assert (header, signature) == (TOKEN.split(".")[0], TOKEN.split(".")[2])
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims == {"aud": BASE, "exp": 1000 + 86_400}


@pytest.mark.parametrize("token", ["opaque-token", "A", "a.b.", "x.not-base64!.z", "x.W10.z"])
@pytest.mark.parametrize("part", ["signature", "payload"])
def test_any_token_can_be_forged(token: str, part: Any) -> None:
    assert forge(token, part) != token


@respx.mock
def test_a_forged_token_comes_from_a_real_one(tokens: Tokens) -> None:
    respx.post(f"{BASE}/tenant/oauth2/v2.0/token").mock(answer(TOKEN))
    assert tokens.forged() == forge(TOKEN)
    assert tokens.forged(part="payload") == forge(TOKEN, "payload")
    assert tokens.current() == TOKEN
