"""Who is fooled: each driver in its turn against the server that freezes, what it reports beside what is true."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from popreceipt.clock import stopwatch
from popreceipt.exceptions import NothingProved
from popreceipt.generate.load_bench.drivers import Driver
from popreceipt.generate.load_bench.stub import Stub, pinned
from popreceipt.generate.load_bench.truth import Waits, of_record, open_stream
from popreceipt.generate.peers.load import busy_seconds

MORE: Final = 90.0
"""Seconds beyond those of its load that a driver may take to start and to end."""

_FEWEST: Final = 100

RATE_WITHIN: Final = 0.01
P99_WITHIN: Final = 0.05
"""By how much a driver may be off until it is called fooled: part of the rate asked for, and of the true p99."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one driver.

    Args:
        name: the driver's.
        asked: requests a second it was to make; None where it knows no rate.
        rate: requests a second that came, from the first to the last.
        seconds: from the first to the last.
        emptiest: requests in the whole second in which the fewest came.
        fullest: in which the most came.
        reported: what the driver says of response times.
        true: what an open stream waits in such a run.
        seen: what the server saw of those requests that came.
        foreign: CPU seconds a second that others took of the driver's core.
        words: beside this, where there is something to say.
    """

    name: str
    asked: float | None
    rate: float
    seconds: float
    emptiest: int
    fullest: int
    reported: Waits
    true: Waits
    seen: Waits
    foreign: float
    words: str = ""

    @property
    def rate_off(self) -> float | None:
        """Part of the rate asked for by which the one that came is off."""
        return None if self.asked is None else self.rate / self.asked - 1

    @property
    def p99_off(self) -> float:
        """Part of the true p99 by which the reported one is off."""
        return self.reported.p99 / self.true.p99 - 1

    @property
    def is_fooled(self) -> bool:
        """Whether somebody who reads the report is told something else than what callers live through."""
        return abs(self.p99_off) > P99_WITHIN

    @property
    def is_short(self) -> bool:
        """Whether fewer requests came than were asked for: those that waited for an answer did not come at all."""
        return self.rate_off is not None and self.rate_off < -RATE_WITHIN

    @property
    def verdict(self) -> str:
        """In words."""
        return f"{'fooled' if self.is_fooled else 'true'}{', too few came' if self.is_short else ''}"


def played(driver: Driver, stub: Stub, rate: int, seconds: int, core: int, folder: Path) -> Outcome:
    """Let a driver make its load.

    Raises:
        NothingProved: it failed, did not end, or made no load to speak of.
    """
    folder.mkdir(parents=True)
    stub.begin()
    with measured_foreign(core) as foreign:
        try:
            ran = subprocess.run(
                driver.command(stub.base_url, folder),
                cwd=folder,
                env=os.environ | driver.environment,
                capture_output=True,
                text=True,
                timeout=seconds + MORE,
                preexec_fn=pinned(core),
            )
        except subprocess.TimeoutExpired as late:
            raise NothingProved(f"{driver.name} did not end within {seconds + MORE:.0f} seconds.") from late
    if ran.returncode:
        raise NothingProved(f"{driver.name} ended with status {ran.returncode}: {(ran.stdout + ran.stderr)[-500:]}")
    return outcome(
        driver.name, rate if driver.paced else None, stub, driver.reported(ran.stdout, folder), foreign.share()
    )


def outcome(
    name: str,
    asked: float | None,
    stub: Stub,
    reported: Waits,
    foreign: float,
    *,
    true: Waits | None = None,
    words: str = "",
) -> Outcome:
    """What came, from the server's record of the run; `true` where it is known of each single arrival.

    Raises:
        NothingProved: too little came, or too little of it met a freeze.
    """
    came, answered = stub.times()
    told = stub.told()
    if len(came) < _FEWEST:
        raise NothingProved(f"{name} made {len(came)} requests.")
    begin, end = came[0], came[-1]
    counts = [0] * (int(end - begin) + 1)
    for instant in came:
        counts[int(instant - begin)] += 1
    whole = counts[:-1] or counts
    true = true or open_stream(begin, end, [(start, stop) for start, stop in told["freezes"]])
    if not true.p99:
        raise NothingProved(f"In {end - begin:.0f} s of {name} the server was hardly frozen: nothing can be compared.")
    return Outcome(
        name=name,
        asked=asked,
        rate=(len(came) - 1) / (end - begin),
        seconds=end - begin,
        emptiest=min(whole),
        fullest=max(whole),
        reported=reported,
        true=true,
        seen=of_record(came, answered),
        foreign=foreign,
        words=words,
    )


class measured_foreign:  # noqa: N801 - used as a function is
    """CPU time of a core that neither this process nor its children took, while the block lasts."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._share = 0.0

    def __enter__(self) -> "measured_foreign":
        self._began, self._busy, self._own = stopwatch(), busy_seconds(self._core), _own()
        return self

    def __exit__(self, *_: object) -> None:
        foreign = busy_seconds(self._core) - self._busy - (_own() - self._own)
        self._share = max(0.0, foreign / (stopwatch() - self._began))

    def share(self) -> float:
        """CPU seconds a second."""
        return self._share


def _own() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def all_played(
    drivers: Sequence[Driver], stub: Stub, rate: int, seconds: int, core: int, room: Path, told: Callable[[str], None]
) -> list[Outcome]:
    """Each driver in its turn; one that cannot run here is left out."""
    outcomes = []
    for number, driver in enumerate(drivers):
        if driver.why_not is None:
            told(f"{driver.name}: {seconds} s")
            outcomes.append(played(driver, stub, rate, seconds, core, room / f"driver-{number}"))
    return outcomes
