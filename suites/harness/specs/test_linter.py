"""The documents under a linter that is none of ours: everything that it recommends, as errors."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from popreceipt import resources

from .documents import NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from ..conftest import NpmProgram

VERSION = "2.77.0"

QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
"""It says nothing to anybody, and does not look for a newer one."""

RULES = "redocly.yaml"


@pytest.fixture(scope="module")
def redocly(npm_program: NpmProgram) -> tuple[str, ...]:
    return npm_program("@redocly/cli", VERSION, "redocly")


def lint(program: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Look at the documents of a folder, by the rules in it."""
    return subprocess.run(
        [*program, "lint", "--format", "stylish"],
        cwd=folder,
        env=os.environ | QUIET,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_documents_are_clean(redocly: tuple[str, ...]) -> None:
    """All four, without an error or a warning."""
    done = lint(redocly, resources.specs())
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warning" not in said
    assert all(f"{name}.openapi.yaml: validated" in said for name in NAMES)


def test_no_rule_is_left_out() -> None:
    """The strictest set that it recommends holds, and what is set beside it counts as an error too."""
    rules = yaml.safe_load((resources.specs() / RULES).read_text(encoding="utf-8"))
    assert rules["extends"] == ["recommended-strict"]
    assert set(rules["apis"]) == set(NAMES)
    assert {setting["severity"] for setting in rules["rules"].values()} == {"error"}


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("operationId: dequeue", "operationId: enqueue"),
        ("summary: Hand in a file for an import.", "x-summary: Hand in a file for an import."),
        ('$ref: "#/components/schemas/DequeueAnswer"', '$ref: "#/components/schemas/Nothing"'),
        ("IsDownLoadFileExist: false", "IsDownLoadFileExist: 0"),
        ("operationId: ack\n", ""),
    ],
)
def test_a_fault_is_found(redocly: tuple[str, ...], tmp_path: Path, was: str, becomes: str) -> None:
    """The gate is able to close."""
    for name in (RULES, *(f"{name}.openapi.yaml" for name in NAMES)):
        shutil.copy(resources.specs() / name, tmp_path / name)
    document = tmp_path / "connector.openapi.yaml"
    text = document.read_text(encoding="utf-8")
    assert was in text
    document.write_text(text.replace(was, becomes), encoding="utf-8")
    assert lint(redocly, tmp_path).returncode == 1
