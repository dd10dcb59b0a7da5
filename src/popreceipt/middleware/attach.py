"""A subject that runs already: it is told where to find the connector, and a scenario begins when it first calls.

Nobody here starts or ends it, so nobody knows of its lives; what it wrote is not seen either.
"""

import contextlib
import json
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from popreceipt.clock import stopwatch
from popreceipt.journal import Exchange
from popreceipt.middleware.played import Exit
from popreceipt.middleware.running import Instrument, MakeSubject, Options, Stopping
from popreceipt.middleware.scenario import Scenario
from popreceipt.middleware.subject import CannotStart

PATIENCE: Final = 120.0
"""Real seconds for which a process that runs already is waited for, in each scenario, unless told."""

LOOKED_EVERY: Final = 0.05

Tell = Callable[[Mapping[str, Any]], None]
"""Told of each scenario when it waits for its subject: `scenario`, `dialect`, `seconds` and `environment`."""


def attached(tell: Tell, options: Options, *, patience: float = PATIENCE) -> MakeSubject:
    """Subjects that are a process which runs already.

    Args:
        tell: told of each scenario, so that somebody can tell the process.
        options: how scenarios are played.
        patience: real seconds for which its first call is waited for. A process that never called in any scenario
            cannot be judged; one that called before is taken not to want this scenario.
    """
    met: list[str] = []

    def make(scenario: Scenario, instrument: Instrument, folder: Path, stopping: Stopping) -> Attached:
        del folder
        told = {
            "scenario": scenario.name,
            "dialect": scenario.dialect,
            "seconds": round(options.longest(scenario), 3),
            "environment": dict(instrument.environment),
        }
        return Attached(lambda: tell(told), instrument, stopping, patience, met)

    return make


class Attached:
    """A process that runs already, in one scenario.

    Args:
        tell: says where the connector is.
        instrument: where it should call.
        stopping: ends the waiting.
        patience: real seconds for which it is waited for.
        met: gets a word for each scenario in which it called.
    """

    is_ours = False

    def __init__(
        self, tell: Callable[[], None], instrument: Instrument, stopping: Stopping, patience: float, met: list[str]
    ) -> None:
        self._tell = tell
        self._instrument = instrument
        self._stopping = stopping
        self._patience = patience
        self._met = met
        self.number = 0

    def start(self) -> None:
        """Say where the connector is, and wait until somebody calls there.

        Raises:
            CannotStart: nobody did, neither now nor in an earlier scenario.
        """
        self.number += 1
        self._tell()
        until = stopwatch() + self._patience
        while not self._called():
            if self._stopping.asked.wait(LOOKED_EVERY):
                return
            if stopwatch() >= until:
                if self._met:
                    return
                where = self._instrument.environment.get("POPRECEIPT_BASE_URL", "the connector")
                raise CannotStart(
                    f"Nobody called {where} within {self._patience:g} s. Start your middleware with the environment "
                    "that was told, or wait longer with --patience."
                )
        self._met.append(self._instrument.environment.get("POPRECEIPT_BASE_URL", ""))

    def _called(self) -> bool:
        return any(isinstance(each, Exchange) for each in self._instrument.journal.entries)

    def ended(self) -> Exit | None:
        """Nobody here knows."""

    def end(self) -> Exit | None:
        """It is left alone."""

    def output(self) -> str:
        """Nothing of it is seen."""
        return ""


def write_environment(environment: Mapping[str, str], file: Path) -> None:
    """Write what a subject is told as a file that a shell can read, whole or not at all.

    It holds the secret of an application that exists in the scenario alone; even so nobody else may read it.

    Raises:
        OSError: it cannot be written.
    """
    beside = file.with_name(f".{file.name}.part")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    beside.replace(file)


def as_line(told: Mapping[str, Any]) -> str:
    """What is told of a scenario, as one line of JSON."""
    return json.dumps(told)
