"""The same suites against the emulator in this process, over HTTP, and known by its wire alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SERVE = [sys.executable, "-m", "popreceipt", "serve", "--port", "0"]
VERIFY = [sys.executable, "-m", "popreceipt", "verify", "--suite", "conformance"]


@contextmanager
def served(*options: str) -> Iterator[dict[str, Any]]:
    """A server of its own process, on a free port, ended by a signal."""
    process = subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        process.stdout.close()


def verdicts(folder: Path, *options: str, environment: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Run the command as a user would, and read its verdict file."""
    run = subprocess.run(
        [*VERIFY, "--out", str(folder), *options],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads((folder / "verdicts.json").read_text())
    assert result["complete"]
    return {each["id"]: each for each in result["rules"]}


def test_in_process_and_over_http_are_judged_alike(tmp_path: Path) -> None:
    """Each rule has the same outcome and the same answer, and each is exercised."""
    near = verdicts(tmp_path / "near")
    with served("--clock", "manual") as ready:
        far = verdicts(tmp_path / "far", "--target", ready["base_url"])
    assert {name: (each["outcome"], each["answer"]) for name, each in near.items()} == {
        name: (each["outcome"], each["answer"]) for name, each in far.items()
    }
    assert not [name for name, each in near.items() if each["outcome"] == "unexercised"]


WIRE_ONLY = {"advance-time", "unlisted-client", "unmapped-client"}
"""What a server without a control plane can still be asked for, given the identities and a clock that runs fast."""


@pytest.mark.timeout(900)
def test_known_by_its_wire_alone(tmp_path: Path) -> None:
    """Without a control plane, on a clock that runs by itself, every rule that needs only the wire is exercised."""
    from popreceipt.rules import catalogue

    told = tmp_path / "world.json"
    options = ("--clock", "scaled:3600", "--export-every", "60", "--export-records", "3", "--world-file", str(told))
    with served("--no-control", *options) as ready:
        world = json.loads(told.read_text())
        config = tmp_path / "popreceipt.toml"
        config.write_text(tenant(world, ready["base_url"]), encoding="utf-8")
        secrets = {
            f"SECRET_{role.upper()}": client["client_secret"] for role, client in world["identity"]["clients"].items()
        }
        found = verdicts(
            tmp_path / "wire", "--target", "tenant:qa", environment={"POPRECEIPT_CONFIG": str(config), **secrets}
        )
    expected = {each.id for each in catalogue() if each.needs <= WIRE_ONLY}
    unexercised = {name for name in expected if found[name]["outcome"] == "unexercised"}
    assert not unexercised, {name: found[name]["reason"] for name in unexercised}


def tenant(world: dict[str, Any], base_url: str) -> str:
    """The description of a server by what an administrator would know of it."""
    identity = world["identity"]
    path = identity["token_url"].partition("://")[2].partition("/")[2]
    path_v1 = identity["token_url_v1"].partition("://")[2].partition("/")[2]
    lines = [
        "[tenant.qa]",
        f'base_url = "{base_url}"',
        f'token_url = "{base_url}/{path}"',
        f'token_url_v1 = "{base_url}/{path_v1}"',
        'clock = "scaled:3600"',
        f'client_id = "{identity["clients"]["authorised"]["client_id"]}"',
        'client_secret_env = "SECRET_AUTHORISED"',
    ]
    for role in ("unlisted", "unmapped"):
        lines += [
            f"[tenant.qa.clients.{role}]",
            f'client_id = "{identity["clients"][role]["client_id"]}"',
            f'client_secret_env = "SECRET_{role.upper()}"',
        ]
    lines.append("[tenant.qa.activities]")
    lines += [f'{each["name"]} = {{ id = "{each["id"]}", exclusive = true }}' for each in world["activities"]]
    return "\n".join(lines) + "\n"
