"""Where the files are that travel with the code: suites, specifications, fixtures, locustfiles.

In a checkout they stand at the top of the project; in an installed wheel they stand inside the package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    shipped = _PACKAGE / "_shipped" / name
    if shipped.is_dir():
        return shipped
    return _PACKAGE.parent.parent / name


def suites() -> Path:
    """The pytest suites."""
    return _folder("suites")


def specs() -> Path:
    """Specifications and the generated catalogue."""
    return _folder("specs")


def fixtures() -> Path:
    """Entities, packages, journals."""
    return _folder("fixtures")


def locustfiles() -> Path:
    """Load scenarios."""
    return _folder("locustfiles")
