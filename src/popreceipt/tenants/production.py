"""Which hosts look like production, and the explicit word that lets a run go there all the same.

By the host's name alone: nobody is asked. A name is taken for production unless it says that it is something else, so
a sandbox under a name of one's own needs the word too: that costs a line once.
"""

import ipaddress
import re
from typing import Final

from popreceipt.exceptions import UsageError
from popreceipt.tenants.description import Tenant

MICROSOFTS: Final = ("dynamics.com", "dynamics.cn", "dynamics.us", "appsplatform.us")
"""Domains in which environments get their names from the platform."""

_PLATFORM: Final = frozenset({"sandbox", "onebox", "cloudax", "axcloud"})
"""Parts of such a name that the platform gives to sandboxes and to developers' computers, never to production."""

_WORDS: Final = frozenset(
    {
        "acc",
        "acceptance",
        "ci",
        "demo",
        "dev",
        "development",
        "emulator",
        "qa",
        "sandbox",
        "sit",
        "stage",
        "staging",
        "test",
        "testing",
        "training",
        "tst",
        "uat",
    }
)
"""Words by which people call what is not production."""

_NEVER: Final = frozenset({"prod", "production", "live", "prd"})

_BEFORE: Final = frozenset({"non", "pre"})
"""Words that take back a word for production which follows at once; of themselves they say little (pre-sales)."""

_TAKEN_BACK: Final = frozenset({before + word for before in _BEFORE for word in _NEVER})

_RESERVED: Final = ("test", "example", "invalid", "localhost", "example.com", "example.net", "example.org")
"""Names that are set aside for tests and documentation (RFC 2606, RFC 6761)."""


def looks_like_production(host: str) -> str | None:
    """Why a host is taken for production, in words that complete "since …"; None where it says it is not.

    Args:
        host: its name, without scheme and port.
    """
    name = host.strip().rstrip(".").lower()
    if _is_loopback(name):
        return None
    labels = name.split(".")
    words, _ = _words(labels)
    if words & _NEVER:
        return f"its name says {' and '.join(sorted(words & _NEVER))}"
    if any(name == each or name.endswith(f".{each}") for each in MICROSOFTS):
        if set(labels) & _PLATFORM:
            return None
        return "its name has none of the parts that the platform gives to sandboxes and developers' computers"
    if any(name == each or name.endswith(f".{each}") for each in _RESERVED):
        return None
    # Whose name it is says nothing of what it is for: qa and ci are countries, dev is for sale, test-rite a company.
    words, denied = _words(_chosen(labels))
    if denied or words & (_WORDS | _PLATFORM):
        return None
    return "nothing in its name says that it is for tests"


def _words(labels: list[str]) -> tuple[set[str], bool]:
    """The words in parts of a name, without those for production that are taken back; and whether any was."""
    found: set[str] = set()
    denied = False
    for label in labels:
        before = ""
        for word in re.split(r"[-_]|(?<=[a-z])(?=\d)", label):
            if word in _TAKEN_BACK or (word in _NEVER and before in _BEFORE):
                denied = True
            else:
                found.add(word)
            before = word
    return found, denied


def _chosen(labels: list[str]) -> list[str]:
    """The parts of a name below the domain that somebody has registered, as far as its form tells; all of a local one.

    A country's domain may have a layer of its own for companies (com.qa, co.uk), which is short.
    """
    if len(labels) < 2 or labels[-1] in _LOCAL:
        return labels
    layered = len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return labels[: -3 if layered else -2]


_LOCAL: Final = frozenset({"local", "internal", "lan", "intranet", "corp", "home"})
"""Ends of names that nobody can register."""


def check(tenant: Tenant) -> None:
    """Refuse a host that looks like production without the explicit word, before anything is sent.

    Raises:
        UsageError: it looks so and the word is missing, or the word names another host.
    """
    if tenant.production is not None and tenant.production != tenant.host:
        raise UsageError(
            f"{tenant.where} permits production on {tenant.production!r}, but its base_url leads to {tenant.host!r}. "
            "The word has to repeat the host of the base_url: look which of them is meant."
        )
    reason = looks_like_production(tenant.host)
    if reason is not None and tenant.production is None:
        raise UsageError(
            f"{tenant.host} looks like production, since {reason}. Nothing was sent. Where it may be driven all the "
            f'same, say so with its name: production = "{tenant.host}" in {tenant.where}.'
        )


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
