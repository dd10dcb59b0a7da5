"""Speed beside peers, memory over a million messages, files of many records: measured, compared with the goals.

    python -m popreceipt.generate.peers [--quick] [--json FILE] [--only speed|memory|files]

It needs Linux, two cores of which nobody uses much, and npm for the peers. The servers share one core, each alone in
its turn; the client has another. Exit status 1 says that a goal is missed, 3 that
others used the cores so much that nothing is proved.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from popreceipt.exceptions import UsageError
from popreceipt.generate.cores import two_cores
from popreceipt.generate.peers.files import Exchanged, export_of, import_of
from popreceipt.generate.peers.goals import (
    DURABLE,
    IN_MEMORY,
    Goal,
    as_json,
    file_goals,
    memory_goals,
    speed_goals,
)
from popreceipt.generate.peers.load import Unanswered
from popreceipt.generate.peers.measuring import Case, Effort, Figures, measure
from popreceipt.generate.peers.memory import Held, growth
from popreceipt.generate.peers.servers import Candidate, Running, emulator, peers, running

FULL = Effort(rounds=5, seconds=1.0, stock=1000)
QUICK = Effort(rounds=1, seconds=0.5, stock=500)
IMPORTS, EXPORTS = 500_000, 500_000
RECORDS = 100_000

DISTURBED = 0.2
"""The share of the server's core, taken by others in the median of a case's rounds, above which nothing is proved."""

Told = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write what was asked for; 0 where every goal that was measured is met."""
    parser = argparse.ArgumentParser(prog="peers")
    parser.add_argument("--quick", action="store_true", help="one short round, and no million messages")
    parser.add_argument("--only", choices=("speed", "memory", "files"))
    parser.add_argument("--json", type=Path, default=Path("reports/peers.json"), help="write the figures there")
    parser.add_argument("--cache", type=Path, default=Path(".nox/peers"), help="where the peers are installed")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        server_core, client_core = two_cores()
        os.sched_setaffinity(0, {client_core})
        report = _Report(Console())
        with console.status("measuring") as status, tempfile.TemporaryDirectory() as folder:
            room = Path(folder)
            if chosen.only in {None, "files"}:
                report.files(_files(server_core, room, status.update))
            if chosen.only in {None, "speed"}:
                effort = QUICK if chosen.quick else FULL
                report.speed(_speed(effort, server_core, room, chosen.cache.absolute(), status.update), effort)
            if chosen.only == "memory" or (chosen.only is None and not chosen.quick):
                report.memory(_memory(server_core, room, status.update))
    except (UsageError, Unanswered) as problem:
        console.print(f"peers: {problem}", markup=False, highlight=False)
        return 2 if isinstance(problem, UsageError) else 3
    report.end(chosen.json)
    if report.foreign > DISTURBED:
        console.print(
            f"peers: others took up to {report.foreign:.0%} of the server's core:"
            " the figures above cannot be judged. Try again on a quiet computer."
        )
        return 3
    return 0 if all(goal.met for goal in report.goals) else 1


def _speed(effort: Effort, core: int, room: Path, cache: Path, told: Told) -> dict[Case, Figures]:
    told("installing the peers")
    candidates: list[Candidate] = [
        emulator(IN_MEMORY, "memory"),
        emulator(DURABLE, "disk, synced", durable=True),
        *peers(cache),
    ]
    rounds = count(1)

    @contextmanager
    def start() -> Iterator[Sequence[Running]]:
        folder = room / f"round-{next(rounds)}"
        with ExitStack() as stack:
            yield [
                stack.enter_context(running(candidate, core, folder / f"server-{number}"))
                for number, candidate in enumerate(candidates)
            ]

    return measure(start, effort, core, told)


def _memory(core: int, room: Path, told: Told) -> list[Held]:
    held: list[Held] = []
    with running(emulator("memory", "memory", clock="manual"), core, room / "memory") as server:
        for each in growth(f"http://127.0.0.1:{server.address[1]}", server.process, core, IMPORTS, EXPORTS):
            told(f"memory: {each.messages} {each.kind}, {each.megabytes:.0f} MiB")
            held.append(each)
    return held


def _files(core: int, room: Path, told: Told) -> list[Exchanged]:
    exchanged = []
    for name, play in (("import", import_of), ("export", export_of)):
        told(f"{name} of {RECORDS} records")
        with running(emulator(name, "memory", clock="manual"), core, room / name) as server:
            exchanged.append(play(f"http://127.0.0.1:{server.address[1]}", server.process, RECORDS))
    return exchanged


class _Report:
    """The tables on the terminal, and everything for the file."""

    def __init__(self, console: Console) -> None:
        self.goals: list[Goal] = []
        self.foreign = 0.0
        self._console = console
        self._machine = {
            "python": platform.python_version(),
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        }
        self._figures: dict[str, Any] = {}

    def speed(self, figures: dict[Case, Figures], effort: Effort) -> None:
        """A row a case: the median of the rounds, with the lowest and the highest."""
        title = (
            f"messages a second, {effort.rounds} rounds in turns: median (lowest–highest)\n"
            f"put: a message of 2 KiB; take: dequeue and ack, each of {effort.stock} messages that wait"
        )
        columns = ("server", "what", "connections", "messages/s", "p50 / p99 ms", "CPU µs a request")
        table = Table(*columns, "RSS MiB", "client's head-room", "foreign CPU", title=title, title_justify="left")
        rows = []
        for (name, kind, connections), each in sorted(figures.items(), key=lambda one: (one[0][1:], one[0][0])):
            if each.silences:
                self._console.print(
                    f"{name} stopped answering in {each.silences} of {effort.rounds} rounds:"
                    f" {kind}, {connections} connections"
                )
            if not each.rates:
                continue
            row = {
                "server": name,
                "what": kind,
                "connections": connections,
                "messages_a_second": each.rates,
                "p50_ms": each.percentile(0.5) * 1000,
                "p99_ms": each.percentile(0.99) * 1000,
                "cpu_us_a_request": median(each.cpu) * 1e6,
                "resident_megabytes": each.megabytes,
                "head_room": min(each.head_room),
                "foreign_cpu": max(each.foreign),
                "silences": each.silences,
            }
            rows.append(row)
            table.add_row(
                name,
                kind,
                str(connections),
                f"{each.rate:,.0f} ({min(each.rates):,.0f}–{max(each.rates):,.0f})",
                f"{row['p50_ms']:.2f} / {row['p99_ms']:.1f}",
                f"{row['cpu_us_a_request']:.0f}",
                f"{each.megabytes:.0f}",
                f"{row['head_room']:.1f}",
                f"{row['foreign_cpu']:.2f}",
            )
        self._figures["speed"] = {"effort": asdict(effort), "cases": rows}
        self._console.print(table)
        self.goals += speed_goals(figures)
        self.foreign = max(median(each.foreign) for each in figures.values() if each.foreign)

    def memory(self, held: list[Held]) -> None:
        """What a process held after each tenth."""
        table = Table("after", "messages", "MiB", title="memory of the emulator, in memory", title_justify="left")
        for each in held:
            table.add_row(each.kind, f"{each.messages:,}", f"{each.megabytes:.0f}")
        self._console.print(table)
        self._figures["memory"] = [asdict(each) for each in held]
        self.goals += memory_goals(held)

    def files(self, exchanged: list[Exchanged]) -> None:
        """What files of many records took."""
        self._figures["files"] = [asdict(each) for each in exchanged]
        self.goals += file_goals(exchanged)

    def end(self, path: Path) -> None:
        """The goals; and everything to a file."""
        table = Table("goal", "wanted", "found", "", title=f"{self._machine}", title_justify="left")
        for goal in self.goals:
            found = "not measured" if goal.found is None else f"{goal.found:.2f}"
            table.add_row(goal.name, goal.wanted, found, "met" if goal.met else "[bold]missed[/bold]")
        self._console.print(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"machine": self._machine, **self._figures, "goals": [as_json(goal) for goal in self.goals]}
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
