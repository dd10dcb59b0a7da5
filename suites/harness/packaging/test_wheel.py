"""The built wheel, installed alone in an empty folder: what a user gets must be all that a user needs."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import popreceipt

ROOT = Path(popreceipt.__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="only a checkout can build its wheel; this is an installed one"
)


@pytest.mark.timeout(900)
def test_the_wheel_alone_verifies(tmp_path: Path) -> None:
    """Suites, specifications, locustfiles and fixtures travel in it; nothing of the checkout is needed."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = python.parent / "popreceipt"
    run = subprocess.run(
        [command, "verify", "--out", "reports"], cwd=empty, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads((empty / "reports" / "verdicts.json").read_text())
    assert result["complete"]
    assert result["summary"]["violated"] == 0
    shipped = {path.name for path in next(environment.rglob("popreceipt/_shipped")).iterdir()}
    assert shipped >= {"suites", "specs", "fixtures", "locustfiles"}
    told = subprocess.run(
        [command, "explain", "dequeue.empty-queue"], cwd=empty, capture_output=True, text=True, check=False
    )
    assert "test_an_empty_queue" in told.stdout, told.stdout + told.stderr
