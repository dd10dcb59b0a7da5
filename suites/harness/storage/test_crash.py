"""A server that is killed at random instants under load loses nothing, and the test of that can fail.

The bounded part: `nox -s crash` kills two hundred times.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CRASH = [sys.executable, "-m", "popreceipt.generate.crash"]
DEFECTIVE = Path(__file__).with_name("defective.py")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="written for signals; not tried on Windows")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sync", ["full", "normal"])
def test_nothing_is_lost(sync: str) -> None:
    """In both modes a death of the process takes nothing away that anybody was told."""
    ended = subprocess.run(
        [*CRASH, "--kills", "8", "--seed", "1", "--sync", sync], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "8 deaths: nothing was lost" in ended.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("defect", ["answers-first", "same-names", "time-goes-back", "sweeps-too-much"])
def test_a_defect_is_found(defect: str) -> None:
    """A server that answers before it commits, or begins anew in some way, is convicted."""
    ended = subprocess.run(
        [*CRASH, "--kills", "4", "--server", str(DEFECTIVE)],
        env=os.environ | {"DEFECT": defect},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
