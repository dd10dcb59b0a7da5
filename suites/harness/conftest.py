"""What tests of ourselves share: outside programs, which a machine may or may not have."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

OutsideProgram = Callable[..., str]


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
        missing = f"{name} is not installed (Debian package {package})"
        if os.environ.get("POPRECEIPT_REQUIRE") == "all":
            pytest.fail(missing)
        pytest.skip(missing)

    return find
