"""The server that is started for callers who come at once: however its starter ends, it ends too."""

import subprocess
import sys

import psutil  # type: ignore[import-untyped]  # it comes without types
import pytest

STARTER = """
import os, psutil
from popreceipt.histories.serving import served
with served("--clock", "manual"):
    [child] = psutil.Process().children()
    print(child.pid, flush=True)
    os.kill(os.getpid(), {signal})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="written with signals")
@pytest.mark.parametrize("signal", [9, 15])
def test_nothing_is_left_of_it_when_its_starter_is_killed(signal: int) -> None:
    """A starter that a signal ends has no chance to end anything."""
    starter = subprocess.Popen([sys.executable, "-c", STARTER.format(signal=signal)], stdout=subprocess.PIPE, text=True)
    told, _ = starter.communicate(timeout=120)
    assert starter.returncode == -signal
    try:
        child = psutil.Process(int(told))
    except psutil.NoSuchProcess:
        return  # It was faster.
    child.wait(timeout=120)
