"""What the tutorial shows is what happens: its commands are run in their order, in one folder, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from popreceipt.docs.site import PAGES

STEP = re.compile(r"^```(?P<kind>console|python)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """A reader's environment: the installed commands first in PATH, no colours, a terminal of usual width."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PWD": str(tmp_path), "COLUMNS": "120"}


def test_the_tutorial_runs(tmp_path: Path, reader: dict[str, str]) -> None:
    """Every command ends as the page says: with 0, or with the status in brackets below it."""
    text = (PAGES / "tutorial.md").read_text(encoding="utf-8")
    client = tmp_path / "client.py"
    ran: list[tuple[str, str]] = []
    for step in STEP.finditer(text):
        if step["kind"] == "python":
            client.write_text(step["text"], encoding="utf-8")
            continue
        if ran and not client.exists() and "middleware" in step["text"]:
            pytest.fail("the page judges a client before it shows one")
        (command,) = re.findall(r"^\$ (.*)$", step["text"], re.MULTILINE)
        expected = re.search(r"^\[(\d+)\]$", step["text"], re.MULTILINE)
        if ran and command == ran[-1][0]:
            client.write_text(acknowledging_last(client.read_text(encoding="utf-8")), encoding="utf-8")
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=reader, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == int(expected[1] if expected else 0), f"{command}: {done.stdout}{done.stderr}"
        ran.append((command, done.stdout))
    assert len(ran) == 5
    assert "acknowledgment.after-a-whole-download violated" in ran[3][1]
    assert "0 violated" in ran[4][1]


def acknowledging_last(script: str) -> str:
    """The change that the page asks for: the line that acknowledges moves to the end of the loop."""
    (line,) = re.findall(r"^    api\.post\(.*\n", script, re.MULTILINE)
    return script.replace(line, "") + line
