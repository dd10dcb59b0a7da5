"""Servers in processes of their own, on free ports."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STRANGER = Path(__file__).parents[1] / "verification" / "stranger.py"


@contextmanager
def running(*command: str) -> Iterator[str]:
    """A server that tells its base URL in its first line; a signal ends it."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.fixture
def served() -> Iterator[str]:
    """The emulator, whose clock stands still until it is moved."""
    with running("-m", "popreceipt", "serve", "--port", "0", "--clock", "manual") as base_url:
        yield base_url


@pytest.fixture
def ticking() -> Iterator[str]:
    """The emulator, with the time of day."""
    with running("-m", "popreceipt", "serve", "--port", "0", "--clock", "system") as base_url:
        yield base_url


@pytest.fixture
def independent() -> Iterator[str]:
    """The server that shares nothing with the emulator."""
    with running(str(STRANGER)) as base_url:
        yield base_url
