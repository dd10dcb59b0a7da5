"""The freezing server as a process on a core of its own, and what it tells of a run."""

import json
import os
import subprocess
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx

from popreceipt.exceptions import UsageError

ACTIVITY: Final = "5b0a2c1e-0000-4000-8000-0000000000b1"
PATH: Final = f"/api/connector/enqueue/{ACTIVITY}?entity=Customer%20groups"
"""What every driver sends to."""


class Stub:
    """A running freezing server."""

    def __init__(self, port: int, process: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self.process = process
        self._client = httpx.Client(base_url=f"{self.base_url}/_bench", trust_env=False)

    def close(self) -> None:
        """Close the connection to it."""
        self._client.close()

    def begin(self) -> None:
        """The next request begins a run."""
        self._client.get("/begin").raise_for_status()

    def watch(self, process: int, *, after: int) -> None:
        """Have it look at the CPU time of a process when so many requests have come since `begin`."""
        self._client.get("/watch", params={"pid": process, "from": after}).raise_for_status()

    def told(self) -> Mapping[str, Any]:
        """What it knows of the run: requests, bytes, freezes, the first request's head."""
        told: Mapping[str, Any] = self._client.get("/told").raise_for_status().json()
        return told

    def times(self) -> tuple[Sequence[float], Sequence[float]]:
        """When each request came, and when it was answered; stopwatch seconds."""
        both = array("d")
        both.frombytes(self._client.get("/times").raise_for_status().content)
        half = len(both) // 2
        return both[:half], both[half:]


@contextmanager
def freezing(core: int, *options: str) -> Iterator[Stub]:
    """The server, pinned to a core, for as long as the block lasts.

    Raises:
        UsageError: it does not start.
    """
    command = [sys.executable, "-m", "popreceipt.generate.load_bench.freezing", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(core))
    try:
        line = server.stdout.readline() if server.stdout is not None else ""
        if not line:
            raise UsageError("The freezing server did not start.")
        stub = Stub(int(json.loads(line)["port"]), server.pid)
        try:
            yield stub
        finally:
            stub.close()
    finally:
        server.terminate()
        server.wait(timeout=15)
        if server.stdout is not None:
            server.stdout.close()


def pinned(core: int) -> Any:
    """What pins a process to a core before any of its threads begins."""
    return lambda: os.sched_setaffinity(0, {core})
