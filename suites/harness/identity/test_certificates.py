"""Client assertions: what is taken in place of a secret, and what is refused with which number."""

import datetime
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from popreceipt.cli.serve import _certificate
from popreceipt.clock import SystemClock
from popreceipt.emulator.identity import Identity
from popreceipt.emulator.identity.assertions import ALGORITHMS, TYPE, Certificates
from popreceipt.exceptions import UsageError


def made(key: Any) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "popreceipt tests")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC))
        .sign(key, hashes.SHA256())
    )


KEY = rsa.generate_private_key(65537, 2048)
CERTIFICATE = made(KEY)
PEM = CERTIFICATE.public_bytes(serialization.Encoding.PEM)


def thumbprint(algorithm: hashes.HashAlgorithm) -> str:
    import base64

    return base64.urlsafe_b64encode(CERTIFICATE.fingerprint(algorithm)).decode("ascii")


SHA256, SHA1 = thumbprint(hashes.SHA256()), thumbprint(hashes.SHA1())


class Applicant:
    """The authorised application of an issuer, with a certificate."""

    def __init__(self, issuer: Any) -> None:
        self.issuer = issuer
        self.client_id = issuer.identity.clients["authorised"].client_id
        issuer.identity.register_certificate("authorised", PEM)

    def assertion(self, key: Any = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """One that is taken, some of its claims changed (None leaves one out)."""
        head = {"alg": "PS256", "typ": "JWT", "x5t#S256": SHA256} | (header or {})
        said = {
            "aud": f"{self.issuer.base_url}/{self.issuer.identity.tenant}/oauth2/v2.0/token",
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": "1",
            "iat": 1,
            "exp": 601,
        } | claims
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        registry = JWSRegistry(algorithms=[*ALGORITHMS, "RS384"], strict_check_header=False)
        return jwt.encode(
            {name: value for name, value in head.items() if value is not None},
            {name: value for name, value in said.items() if value is not None},
            RSAKey.import_key(pem),
            registry=registry,
        )

    def ask(self, assertion: str, version: int = 2, **changes: str) -> Any:
        fields = self.issuer.good(version, client_secret="", client_assertion_type=TYPE, client_assertion=assertion)
        return self.issuer.post(version, **{name: value for name, value in (fields | changes).items() if value})


@pytest.fixture
def applicant(issuer: Any) -> Applicant:
    return Applicant(issuer)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": "RS256"},
        {"x5t#S256": None, "x5t": SHA1},
        {"x5t#S256": SHA256.rstrip("=")},
        {"alg": "RS256", "x5t": SHA1},
    ],
)
def test_an_assertion_is_taken_in_place_of_a_secret(
    applicant: Applicant, read: Any, version: int, header: dict[str, Any]
) -> None:
    """At both endpoints, in both algorithms, named by either thumbprint; the token tells of it."""
    answer = applicant.ask(applicant.assertion(header=header), version)
    assert answer.status == 200
    token = read(answer)["access_token"]
    clock = applicant.issuer.clock
    assert applicant.issuer.identity.check(f"Bearer {token}", clock.now()).client_id == applicant.client_id
    import base64

    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["azpacr" if version == 2 else "appidacr"] == "2"


def refused(applicant: Applicant, read: Any, assertion: str, **changes: str) -> int:
    answer = applicant.ask(assertion, **changes)
    assert answer.status in (400, 401), answer.body
    number: int = read(answer)["error_codes"][0]
    return number


def test_what_is_refused(applicant: Applicant, read: Any) -> None:
    """Each fault has its number."""
    other = rsa.generate_private_key(65537, 2048)
    unlisted = applicant.issuer.identity.clients["unlisted"].client_id
    good = applicant.assertion()
    assert refused(applicant, read, applicant.assertion(key=other)) == 700027
    assert refused(applicant, read, applicant.assertion(header={"x5t#S256": "AAAA"})) == 700027
    assert refused(applicant, read, applicant.assertion(header={"x5t#S256": None})) == 700027
    assert refused(applicant, read, applicant.assertion(header={"alg": "RS384"})) == 700027
    assert refused(applicant, read, f"{good[:-8]}AAAAAAAA") == 700027
    assert refused(applicant, read, good, client_id=unlisted) == 700027
    assert refused(applicant, read, applicant.assertion(iss=unlisted)) == 700021
    assert refused(applicant, read, applicant.assertion(sub=None)) == 700021
    assert refused(applicant, read, applicant.assertion(aud="https://login.microsoftonline.com/x")) == 700023
    assert refused(applicant, read, applicant.assertion(exp=None)) == 50027
    assert refused(applicant, read, applicant.assertion(exp="soon")) == 50027
    for malformed in ("x", "a.b.c", "....", "e30.e30.", "W10.e30.AA", "x" * 70_000):
        assert refused(applicant, read, malformed) in (50027, 700027)
    assert refused(applicant, read, good, client_assertion_type="") == 900144
    assert refused(applicant, read, good, client_assertion_type="jwt") == 900144
    assert refused(applicant, read, "", client_assertion_type=TYPE) == 900144


def test_nobody_else_is_taken_for_an_applicant(issuer: Any, read: Any) -> None:
    """Without a registered certificate no assertion counts, a secret beside it or not."""
    applicant = Applicant(issuer)
    good = applicant.assertion()
    fresh = Identity(issuer.clock, issuer.profile, None, lambda: issuer.base_url)
    issuer.identity = fresh
    assert refused(applicant, read, good) == 700027
    secret = fresh.clients["authorised"].client_secret
    assert refused(applicant, read, good, client_secret=secret) == 700027


def test_the_time_of_an_assertion_counts_where_the_clock_is_the_clients_own() -> None:
    """A clock that is moved, or runs fast, is not the one by which a client writes its assertions."""
    certificates = Certificates(SystemClock())
    certificates.register("c", PEM)
    key = RSAKey.import_key(
        KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    now = int(time.time())
    for begins, ends, code in ((-10, 600, None), (-1200, -600, 700024), (900, 1500, 700024), (-600, -100, None)):
        claims = {"aud": "here", "iss": "c", "sub": "c", "nbf": now + begins, "exp": now + ends}
        signed = jwt.encode({"alg": "PS256", "x5t#S256": SHA256}, claims, key, algorithms=["PS256"])
        fault = certificates.fault(signed, "c", {"here"})
        assert (None if fault is None else fault.code) == code


def test_the_option_of_serve(tmp_path: Path) -> None:
    """A file, perhaps after the role that it is for; what is wrong with it is said before the port opens."""
    good, bad = tmp_path / "a=b.pem", tmp_path / "bad.pem"
    good.write_bytes(PEM)
    bad.write_text("no certificate")
    assert _certificate(str(good)) == ("authorised", PEM)
    assert _certificate(f"unlisted={good}") == ("unlisted", PEM)
    for option, words in (
        (str(bad), "no X.509 certificate"),
        (str(tmp_path), "Cannot read the certificate"),
        (f"stranger={good}", "Cannot read the certificate stranger="),
    ):
        with pytest.raises(UsageError, match=re.escape(words)):
            _certificate(option)


def test_what_cannot_be_registered(issuer: Any) -> None:
    """The key is RSA's, the role is one of the three."""
    elliptic = made(ec.generate_private_key(ec.SECP256R1())).public_bytes(serialization.Encoding.DER)
    with pytest.raises(UsageError, match="needs a key of RSA"):
        issuer.identity.register_certificate("authorised", elliptic)
    for content in (b"", b"x", PEM[:100]):
        with pytest.raises(UsageError, match=r"no X\.509 certificate"):
            issuer.identity.register_certificate("authorised", content)
    with pytest.raises(UsageError, match="no application 'stranger'"):
        issuer.identity.register_certificate("stranger", PEM)
