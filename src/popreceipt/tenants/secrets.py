"""Where a description's credentials really are: looked up when a tenant is opened, and kept in memory alone.

What is found here never stands in an error, a representation or a file. Errors name the place that was looked at.
"""

from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING

from popreceipt.client.msal_tokens import KeyPair
from popreceipt.exceptions import UsageError
from popreceipt.tenants.description import Credential, FromCertificate, FromEnvironment, FromKeyring, Tenant

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

NEEDS = 'pip install "popreceipt[tenant]"'
"""What installs the libraries that a tenant needs."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A client secret."""

    text: str = field(repr=False)


Found = Secret | KeyPair


def credentials(tenant: Tenant) -> dict[str, Found]:
    """The credentials of a tenant's clients by role.

    Raises:
        UsageError: one is not where the description says; the sentence says where that is, never what was found.
    """
    return {role: found(each.credential, f"{tenant.where}, client {role},") for role, each in tenant.clients.items()}


def found(credential: Credential, whose: str) -> Found:
    """One credential.

    Args:
        credential: where it is.
        whose: for the sentence of an error: which table it is for.

    Raises:
        UsageError: it is not there, or cannot be used.
    """
    match credential:
        case FromEnvironment(variable):
            return Secret(_variable(variable, whose))
        case FromKeyring(service, username):
            return Secret(_from_keyring(service, username, whose))
        case FromCertificate(file, password_env):
            password = None if password_env is None else _variable(password_env, whose)
            return _key_pair(file, password, whose)


def _variable(name: str, whose: str) -> str:
    value = environ.get(name)
    if not value:
        state = "is empty" if value == "" else "is not set"
        raise UsageError(f"{whose} takes a secret from the environment variable {name}, which {state}.")
    return value


def _from_keyring(service: str, username: str, whose: str) -> str:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise UsageError(f"{whose} takes a secret from the keyring, which needs a library: {NEEDS}.") from error
    entry = f"the entry of {username!r} under {service!r}"
    try:
        value = keyring.get_password(service, username)
    except keyring.errors.NoKeyringError as error:
        raise UsageError(
            f"{whose} takes a secret from the keyring ({entry}), and this computer has none: Linux has one only within "
            "a desktop's session. Name an environment variable instead: client_secret_env."
        ) from error
    except keyring.errors.KeyringError as error:
        raise UsageError(
            f"{whose} takes a secret from the keyring ({entry}), which does not open ({type(error).__name__})."
        ) from error
    if not value:
        raise UsageError(
            f"{whose} takes a secret from the keyring, which lacks {entry}: keyring set {service!r} {username!r} "
            "puts it there."
        )
    return value


def _key_pair(file: Path, password: str | None, whose: str) -> KeyPair:
    """A key and its certificate from a PEM or PFX file."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    place = f"{whose} takes a certificate from {file}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{place}, which cannot be read: {error.strerror or error}.") from error
    key, certificate = (_of_pem if b"-----BEGIN" in content else _of_pfx)(content, password, place)
    if not isinstance(key, RSAPrivateKey):
        raise UsageError(f"{place}, whose key is none of RSA: applications of Entra ID sign with RSA.")
    if certificate is None:
        raise UsageError(f"{place}, which holds a key but not its certificate: both belong into the file.")
    if certificate.public_key() != key.public_key():
        raise UsageError(f"{place}, where key and certificate do not belong together.")
    return KeyPair(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii"),
        certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
    )


def _of_pem(content: bytes, password: str | None, place: str) -> "tuple[object, Certificate | None]":
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    if b"PRIVATE KEY-----" not in content:
        raise UsageError(f"{place}, which holds no private key: append it to the file, or name the PFX.")
    try:
        key = load_pem_private_key(content, None if password is None else password.encode())
    except TypeError:
        # Not chained: the library's words may quote what it was given.
        needed = "is encrypted: name the variable with its password (password_env)"
        given = "is not encrypted: leave out password_env"
        raise UsageError(f"{place}, whose key {needed if password is None else given}.") from None
    except ValueError:
        raise UsageError(f"{place}, whose key cannot be read: it is damaged, or the password is wrong.") from None
    if b"-----BEGIN CERTIFICATE-----" not in content:
        return key, None
    try:
        certificates = load_pem_x509_certificates(content)
    except ValueError:
        raise UsageError(f"{place}, whose certificate is damaged.") from None
    own = [each for each in certificates if each.public_key() == key.public_key()]
    return key, (own or certificates)[0]


def _of_pfx(content: bytes, password: str | None, place: str) -> "tuple[object, Certificate | None]":
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

    try:
        key, certificate, _ = load_key_and_certificates(content, None if password is None else password.encode())
    except ValueError:
        hint = "name the variable with its password (password_env)" if password is None else "look at its password"
        raise UsageError(f"{place}, which is neither PEM nor a PFX that opens: {hint}.") from None
    if key is None:
        raise UsageError(f"{place}, which holds no private key.")
    return key, certificate
