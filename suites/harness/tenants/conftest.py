"""A tenant's table in a folder of its own, a clock that waits for nobody, and a certificate."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from popreceipt.tenants import reading
from popreceipt.tenants.description import Tenant

EXPORT = "11111111-0000-4000-8000-000000000001"
OTHERS = "11111111-0000-4000-8000-000000000002"
IMPORT = "11111111-0000-4000-8000-000000000003"

TABLE = f"""
[tenant.qa]
base_url = "https://qa.example"
token_url = "https://login.example/T/oauth2/v2.0/token"
client_id = "client"
client_secret_env = "QA_SECRET"

[tenant.qa.activities]
export-package = {{ id = "{EXPORT}", exclusive = true }}
export-file = "{OTHERS}"
import-file = "{IMPORT}"
"""


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tenant]:
    """Read a table after lines were put under [tenant.qa], and texts in it exchanged."""
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(tmp_path / "popreceipt.toml"))

    def read(*lines: str, **exchanged: str) -> Tenant:
        text = TABLE.replace("[tenant.qa]\n", "\n".join(("[tenant.qa]", *lines, "")), 1)
        for old, new in exchanged.items():
            member = next(each for each in text.splitlines() if each.startswith(f"{old} ="))
            text = text.replace(member, new)
        (tmp_path / "popreceipt.toml").write_text(text, encoding="utf-8")
        return reading.read("qa")

    return read


@pytest.fixture(scope="session")
def own_certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A key and a certificate that it has signed itself, good for any time of day."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "popreceipt tests")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC))
        .sign(key, hashes.SHA256())
    )
    return key, made


@pytest.fixture(scope="session")
def certificate_pem(own_certificate: tuple[rsa.RSAPrivateKey, x509.Certificate]) -> bytes:
    return own_certificate[1].public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="session")
def key_pem(own_certificate: tuple[rsa.RSAPrivateKey, x509.Certificate]) -> bytes:
    return own_certificate[0].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
