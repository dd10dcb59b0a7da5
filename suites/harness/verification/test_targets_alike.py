"""The same suites against the emulator in this process and over HTTP."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
