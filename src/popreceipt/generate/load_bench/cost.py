"""What a request costs the generator: ours, journal included, beside a bare FastHttpUser that sends the same.

CPU time of the whole process, counted from a certain request on to its end: what it takes to start is not counted, and
what it takes to finish (a journal's last lines, Locust's own table) is. Each pair of runs stands close together in
time, on one core, and gives one ratio; machines change their speed from minute to minute, ratios do not.
"""

import os
import random
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from popreceipt.exceptions import NothingProved
from popreceipt.generate.load_bench import ours
from popreceipt.generate.load_bench.drivers import BODY, plain
from popreceipt.generate.load_bench.stub import Stub, pinned

GOAL: Final = 1.4
"""How many times as much CPU a request of ours may take."""

FROM: Final = 500
"""The request from which CPU time is counted."""

MORE: Final = 90.0
"""Seconds that a run may take beyond its load."""

USERS: Final = 20

SAME_WITHIN: Final = 0.05
"""Part of its bytes by which a request may differ: the bare client always adds a content type, which ours does not."""

_MADE_BY_CLIENT: Final = frozenset({"host", "content-length", "connection"})

_RESAMPLES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: microseconds of CPU and bytes sent, a request; and how many requests were counted."""

    microseconds: float
    bytes: float
    requests: int


@dataclass(frozen=True, slots=True)
class Round:
    """Runs that stand together: ours, the bare user at the same rate, and the bare user as fast as it can."""

    ours: Cost
    paced: Cost
    flat_out: Cost

    @property
    def ratio(self) -> float:
        """Ours to the bare user at the same rate."""
        return self.ours.microseconds / self.paced.microseconds

    @property
    def ratio_flat_out(self) -> float:
        """Ours to the bare user at its cheapest: as fast as it can, so that it never waits for anything."""
        return self.ours.microseconds / self.flat_out.microseconds


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of several ratios, with the interval that holds it with 95 % confidence (bootstrap)."""

    median: float
    low: float
    high: float


def rounds(
    count: int, rate: int, seconds: int, stub: Stub, core: int, room: Path, told: Callable[[str], None]
) -> list[Round]:
    """So many rounds, the order within each drawn anew.

    Raises:
        NothingProved: a run failed, or what it sent cannot be compared.
    """
    chance = random.Random(0)
    headers, body = _same_request(stub, core, room / "first")
    found = []
    for number in range(count):
        told(f"CPU a request: round {number + 1} of {count}")
        runs: dict[str, Callable[[Path], Cost]] = {
            "ours": lambda folder: _ours(rate, seconds, stub, core, folder),
            "paced": lambda folder: _bare(rate, seconds, headers, body, stub, core, folder),
            "flat_out": lambda folder: _bare(0, seconds, headers, body, stub, core, folder),
        }
        order = list(runs)
        chance.shuffle(order)
        costs = {name: runs[name](room / f"{number}-{name}") for name in order}
        for name in ("paced", "flat_out"):
            if abs(costs[name].bytes / costs["ours"].bytes - 1) > SAME_WITHIN:
                raise NothingProved(
                    f"The requests are not the same: {costs[name].bytes} and {costs['ours'].bytes} bytes."
                )
        found.append(Round(**costs))
    return found


def ratio(ratios: Sequence[float]) -> Ratio:
    """Median and interval."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    return Ratio(statistics.median(ratios), medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES)])


def _same_request(stub: Stub, core: int, folder: Path) -> tuple[Mapping[str, str], str]:
    """Headers and a body as ours are, learnt from a short run of it."""
    _ours(FROM, 2, stub, core, folder)
    told = stub.told()
    head = str(told["head"])
    lines = [line.partition(": ") for line in head.split("\r\n")[1:]]
    headers = {name: value for name, _, value in lines if name.lower() not in _MADE_BY_CLIENT}
    length = round(int(told["bytes"]) / int(told["requests"])) - len(head) - 4
    return headers, (BODY * (length // len(BODY) + 1))[:length]


def _ours(rate: int, seconds: int, stub: Stub, core: int, folder: Path) -> Cost:
    stub.begin()
    process = ours.started(ours.plan(rate, seconds), stub, core, folder)
    cost = _cost(process, stub, seconds, folder)
    journals = list(folder.glob("journal-*.ndjson"))
    if not journals or sum(path.read_bytes().count(b'"enqueue"') for path in journals) < cost.requests:
        raise NothingProved(f"Ours left no whole journal in {folder}.")
    return cost


def _bare(rate: int, seconds: int, headers: Mapping[str, str], body: str, stub: Stub, core: int, folder: Path) -> Cost:
    folder.mkdir(parents=True)
    stub.begin()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("plain.py")), "--headless"),
                *("--host", stub.base_url, "-u", str(USERS), "-r", str(USERS), "--run-time", f"{seconds}s"),
                *("--only-summary", "--stop-timeout", "5"),
            ],
            cwd=folder,
            env=os.environ | plain(rate / USERS, headers, body),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=pinned(core),
        )
    return _cost(process, stub, seconds, folder)


def _cost(process: "subprocess.Popen[bytes]", stub: Stub, seconds: int, folder: Path) -> Cost:
    stub.watch(process.pid, after=FROM)
    end = threading.Timer(seconds + MORE, process.kill)
    end.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    finally:
        end.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    told = stub.told()
    if told["cpu_then"] is None or process.returncode < 0:
        said = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-500:]
        raise NothingProved(f"A run made no load: it ended with {process.returncode} and said: {said}")
    counted = int(told["requests"]) - FROM
    microseconds = (used.ru_utime + used.ru_stime - float(told["cpu_then"])) / counted * 1e6
    return Cost(microseconds, int(told["bytes"]) / int(told["requests"]), counted)
