"""A server of its own process on one folder and one port, which can be killed and started again."""

import json
import random
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from popreceipt.exceptions import NothingProved

PATIENCE = 60.0
"""Real seconds that an orderly end may take."""


class Server:
    """A `popreceipt serve --data`.

    Args:
        command: what is run, up to its options.
        folder: where it keeps everything.
        options: more of them.
    """

    def __init__(self, command: Sequence[str], folder: Path, *options: str) -> None:
        self._port = _free_port()
        self._command = [*command, "--port", str(self._port), "--data", str(folder / "data"), *options]
        self._errors = folder / "stderr.txt"
        self._process: subprocess.Popen[str] | None = None
        self.base_url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it accepts requests.

        Raises:
            NothingProved: it does not.
        """
        with self._errors.open("a") as errors:
            process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line or not json.loads(line)["ready"]:
            process.wait()
            raise NothingProved(f"The server did not start: {self._errors.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a power cut of its process would: with nothing that it could do about it."""
        if self._process is not None:
            self._process.kill()
            self._gone()

    def stop(self) -> int:
        """End it in good order; its exit status."""
        if self._process is None:
            return 0
        self._process.terminate()
        return self._gone()

    def _gone(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        assert process.stdout is not None
        status = process.wait(timeout=PATIENCE)
        process.stdout.close()
        return status

    def errors(self) -> str:
        """What it wrote to standard error, over all its lives."""
        return self._errors.read_text()


def _free_port() -> int:
    """A port below those that systems give to clients: no connection may take it while the server is dead."""
    chance = random.Random()
    while True:
        port = chance.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
