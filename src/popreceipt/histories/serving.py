"""A server of its own process, for callers in threads and processes: `popreceipt serve` on a free port of this machine.

It starts one, knows where it is, and ends it. What is asked of it is for others to say.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from popreceipt.exceptions import NothingProved

EMULATOR: Final = "emulator:"
DIALECT: Final = "dialect="
PROFILE: Final = "profile="

PATIENCE: Final = 60.0
"""Real seconds that its end may take."""

COMMAND: Final = (sys.executable, "-m", "popreceipt")


@contextmanager
def served(*options: str, command: Sequence[str] = COMMAND) -> Iterator[str]:
    """Such a server with these options, for as long as the block lasts; its base URL.

    Raises:
        NothingProved: it does not start.
    """
    # It ends with its standard input, so that nothing is left of it however this process ends.
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "serve", "--port", "0", "--until-stdin-ends", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            _, errors = process.communicate(timeout=PATIENCE)
            raise NothingProved(f"No server to ask could be started: {errors.strip()}")
        yield str(json.loads(line)["base_url"])
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def options_of(target: str) -> list[str]:
    """How an emulator is served that a target string names: plain, with a mutant, in a dialect."""
    named = target.removeprefix(EMULATOR)
    if named.startswith(DIALECT):
        return ["--dialect", named.removeprefix(DIALECT)]
    if named.startswith(PROFILE):
        return ["--profile", named.removeprefix(PROFILE)]
    return ["--mutant", named] if named else []
