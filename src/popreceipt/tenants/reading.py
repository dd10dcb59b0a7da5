"""From `popreceipt.toml` to the description of a tenant.

It opens that one file; of others that are named there it only looks where they lie. A description that is read has
sent nothing and needs no secret: whoever only wants to know what a run would do can stop here.
"""

import tomllib
from collections.abc import Mapping
from os import environ
from pathlib import Path
from typing import Any

from popreceipt.exceptions import UsageError
from popreceipt.tenants.description import Tenant, describe

FILE = "popreceipt.toml"

VARIABLE = "POPRECEIPT_CONFIG"
"""The environment variable that names another file."""


def configuration() -> tuple[Path, Mapping[str, Any]]:
    """The configuration file (`popreceipt.toml`, or the one named in POPRECEIPT_CONFIG) and what stands in it.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    path = Path(environ.get(VARIABLE, FILE))
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"Cannot read {path}: {error.strerror or error}. Targets tenant:NAME are described there; "
            "POPRECEIPT_CONFIG may name another file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error


def names() -> tuple[str, ...]:
    """The tenants that are described, for the completion of a command line; none where nothing can be read."""
    try:
        tenants = configuration()[1].get("tenant")
    except UsageError:
        return ()
    return tuple(tenants) if isinstance(tenants, Mapping) else ()


def read(name: str) -> Tenant:
    """The tenant of this name, as its table describes it.

    Raises:
        UsageError: there is no file, no such table, or something in it will not do; the sentence names the member.
    """
    path, settings = configuration()
    tenants = settings.get("tenant", {})
    if not isinstance(tenants, Mapping):
        raise UsageError(f"{path}: tenant is a table of tables, as in [tenant.qa].")
    if name not in tenants:
        known = ", ".join(tenants) or "none"
        raise UsageError(f"{path} describes no tenant {name!r} (it describes: {known}). Add a table [tenant.{name}].")
    return describe(name, tenants[name], path, lambda named: beside(path, named))


def beside(file: Path, named: str) -> Path:
    """A file that a description names: beside the description if it is there, else from the working folder."""
    near = file.parent / named
    try:
        return near if near.exists() else Path(named)
    except OSError:  # Too long for a name, say: whoever opens it says so.
        return Path(named)
