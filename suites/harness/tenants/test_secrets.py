"""Where credentials come from, and what is said where they are not there: never what they are."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from popreceipt.client.msal_tokens import KeyPair
from popreceipt.exceptions import UsageError
from popreceipt.tenants.description import FromCertificate, FromEnvironment, FromKeyring, Tenant
from popreceipt.tenants.secrets import Secret, credentials, found

CANARY = "canary-7f3a~secret"


def test_a_secret_from_the_environment(describe: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is handed on, and shown nowhere."""
    monkeypatch.setenv("QA_SECRET", CANARY)
    given = credentials(describe())
    assert given == {"authorised": Secret(CANARY)}
    assert CANARY not in repr(given)


@pytest.mark.parametrize(("value", "words"), [(None, "is not set"), ("", "is empty")])
def test_a_variable_without_a_secret(monkeypatch: pytest.MonkeyPatch, value: str | None, words: str) -> None:
    monkeypatch.delenv("QA_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("QA_SECRET", value)
    with pytest.raises(UsageError, match=f"the environment variable QA_SECRET, which {words}"):
        found(FromEnvironment("QA_SECRET"), "[tenant.qa]")


class Chest(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self, kept: dict[tuple[str, str], str] | None = None, *, locked: bool = False) -> None:
        super().__init__()
        self.kept = kept or {}
        self.locked = locked

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked(CANARY)
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def chest() -> Any:
    """Puts a keyring into the place of the system's."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def test_a_secret_from_the_keyring(chest: Callable[[KeyringBackend], None]) -> None:
    chest(Chest({("popreceipt", "qa"): CANARY}))
    assert found(FromKeyring("popreceipt", "qa"), "[tenant.qa]") == Secret(CANARY)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (NoKeyring(), "this computer has none: .* client_secret_env"),
        (Chest(), "lacks the entry of 'qa' under 'popreceipt'"),
        (Chest({("popreceipt", "qa"): ""}), "lacks the entry of 'qa'"),
        (Chest(locked=True), r"does not open \(KeyringLocked\)"),
    ],
    ids=["none", "no entry", "empty", "locked"],
)
def test_a_keyring_that_does_not_help(chest: Callable[[KeyringBackend], None], there: Any, words: str) -> None:
    """A computer without a desktop has none: the sentence says what to name instead."""
    chest(there)
    with pytest.raises(UsageError, match=words) as caught:
        found(FromKeyring("popreceipt", "qa"), "[tenant.qa]")
    assert CANARY not in str(caught.value)


# Certificates


def written(path: Path, *contents: bytes) -> Path:
    path.write_bytes(b"\n".join(contents))
    return path


def test_a_certificate_in_pem(tmp_path: Path, key_pem: bytes, certificate_pem: bytes) -> None:
    """Key and certificate in one file, in either order; neither shows in what is printed."""
    for name, parts in (("a.pem", (key_pem, certificate_pem)), ("b.pem", (certificate_pem, key_pem))):
        pair = found(FromCertificate(written(tmp_path / name, *parts)), "here")
        assert pair == KeyPair(key_pem.decode(), certificate_pem.decode())
        assert repr(pair) == "KeyPair()"


Own = tuple[rsa.RSAPrivateKey, x509.Certificate]


def sealed(key: Any, password: str | None) -> bytes:
    protection = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password.encode())
    )
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))


@pytest.mark.parametrize("form", ["pem", "pfx"])
def test_a_certificate_under_a_password(
    tmp_path: Path, own_certificate: Own, certificate_pem: bytes, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password comes from its variable; without it, or with another, the sentence says so."""
    key, own = own_certificate
    protection = serialization.BestAvailableEncryption(CANARY.encode())
    content = (
        sealed(key, CANARY) + certificate_pem
        if form == "pem"
        else pkcs12.serialize_key_and_certificates(b"qa", key, own, None, protection)
    )
    file = written(tmp_path / f"own.{form}", content)
    monkeypatch.setenv("PASSWORD", CANARY)
    pair = found(FromCertificate(file, "PASSWORD"), "here")
    assert isinstance(pair, KeyPair)
    assert pair.certificate == certificate_pem.decode()
    with pytest.raises(UsageError, match="password_env"):
        found(FromCertificate(file), "here")
    monkeypatch.setenv("PASSWORD", f"{CANARY}x")
    with pytest.raises(UsageError, match="password") as caught:
        found(FromCertificate(file, "PASSWORD"), "here")
    assert CANARY not in f"{caught.value}{caught.value.__context__}"


def test_a_certificate_file_that_will_not_do(
    tmp_path: Path, own_certificate: Own, key_pem: bytes, certificate_pem: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fault has its sentence, which names the file."""
    elliptic = sealed(ec.generate_private_key(ec.SECP256R1()), None)
    another = sealed(rsa.generate_private_key(65537, 2048), None)
    monkeypatch.setenv("PASSWORD", CANARY)
    for content, password, words in (
        (certificate_pem, None, "no private key"),
        (key_pem, None, "not its certificate"),
        (elliptic + certificate_pem, None, "none of RSA"),
        (another + certificate_pem, None, "do not belong together"),
        (key_pem.replace(b"M", b"!"), None, "cannot be read"),
        (key_pem + certificate_pem[:80] + certificate_pem[90:], None, "damaged"),
        (key_pem + certificate_pem, "PASSWORD", "leave out password_env"),
        (b"\x00\x01", None, "neither PEM nor a PFX"),
        (b"", None, "neither PEM nor a PFX"),
    ):
        file = written(tmp_path / "bad.pem", content)
        with pytest.raises(UsageError, match=rf"{re.escape(str(file))}.*{words}") as caught:
            found(FromCertificate(file, password), "here")
        assert CANARY not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        found(FromCertificate(tmp_path), "here")
    only_certificate = pkcs12.serialize_key_and_certificates(
        None, None, None, [own_certificate[1]], serialization.NoEncryption()
    )
    with pytest.raises(UsageError, match="no private key"):
        found(FromCertificate(written(tmp_path / "bad.pfx", only_certificate)), "here")


def test_the_certificate_of_the_key_is_taken_from_a_chain(
    tmp_path: Path, own_certificate: Own, key_pem: bytes, certificate_pem: bytes
) -> None:
    """Wherever in the file it stands."""
    other = rsa.generate_private_key(65537, 2048)
    own = own_certificate[1]
    authority = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(own.subject)
        .public_key(other.public_key())
        .serial_number(2)
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .sign(other, hashes.SHA256())
    ).public_bytes(serialization.Encoding.PEM)
    pair = found(FromCertificate(written(tmp_path / "chain.pem", authority, certificate_pem, key_pem)), "here")
    assert isinstance(pair, KeyPair)
    assert pair.certificate == certificate_pem.decode()
