"""What tests of ourselves share: outside programs, which a machine may or may not have, a browser among them."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from platformdirs import user_cache_path
from playwright.sync_api import Browser, sync_playwright

from popreceipt import npm
from popreceipt.exceptions import UsageError

OutsideProgram = Callable[..., str]
NpmProgram = Callable[[str, str, str], tuple[str, ...]]


@pytest.fixture(scope="session")
def outside_program() -> OutsideProgram:
    """Finds a program that is none of ours: in PATH, or else in one of the folders given.

    Where it is missing the test skips and names the Debian package; with POPRECEIPT_REQUIRE=all, as in CI, which
    installs them, it fails.
    """

    def find(name: str, package: str, *folders: Path) -> str:
        found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, folders)))
        if found is not None:
            return found
        _missing(f"{name} is not installed (Debian package {package})")

    return find


@pytest.fixture(scope="module")
def browser(outside_program: OutsideProgram) -> Iterator[Browser]:
    """One browser a module: other modules may need an event loop of their own, which the driver's would be in."""
    chromium = outside_program("chromium", "chromium")
    arguments = ["--disable-background-networking", "--disable-component-update"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def npm_program() -> NpmProgram:
    """The command line of a program from npm: of a package, in exactly one version, the program of that name.

    It is installed once, into the user's cache, from npm's registry. Where that is not possible the test skips and
    says why, or fails as with any outside program.
    """

    def find(package: str, version: str, binary: str) -> tuple[str, ...]:
        try:
            return npm.command_line(user_cache_path("popreceipt") / "npm", package, version, binary)
        except UsageError as problem:
            _missing(str(problem))

    return find


def _missing(reason: str) -> NoReturn:
    if os.environ.get("POPRECEIPT_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)
