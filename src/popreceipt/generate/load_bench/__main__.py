"""Who is fooled by a server that freezes; what a request of ours costs; how long a run of a million is judged.

    python -m popreceipt.generate.load_bench [--quick] [--only fooled|cost|judging] [--json FILE]

It needs Linux and two cores of which nobody uses much: the server has one, the driver that is measured the other.
Exit status 1 says that a goal is missed, 3 that nothing was proved.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.generate.cores import two_cores
from popreceipt.generate.load_bench import cost, fooled, judging, ours
from popreceipt.generate.load_bench.drivers import drivers
from popreceipt.generate.load_bench.stub import freezing
from popreceipt.generate.load_bench.truth import of_schedule
from popreceipt.generate.peers.goals import Goal, as_json

RATE: Final = 500
SECONDS: Final = 60
"""Requests a second, and for how long: three freezes."""

COST_RATE: Final = 1000

WIDTH: Final = 150
"""Characters of a line where nobody looks at it as it comes."""

REQUESTS: Final = 1_000_000
"""Of the run that is judged."""

Told = Callable[[str], None]


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write what was asked for; 0 where every goal that was measured is met."""
    parser = argparse.ArgumentParser(
        prog="load_bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="20 seconds a driver, three short rounds for the CPU")
    parser.add_argument("--only", choices=("fooled", "cost", "judging"))
    parser.add_argument("--seconds", type=int, help=f"of load for each driver; {SECONDS} unless told")
    parser.add_argument("--rounds", type=int, help="for the CPU a request; 10 unless told")
    parser.add_argument("--json", type=Path, default=Path("reports/load-bench.json"), help="write the figures there")
    parser.add_argument("--cache", type=Path, default=user_cache_path("popreceipt") / "drivers", help="for others")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True)
    report = _Report(Console(width=None if sys.stdout.isatty() else WIDTH))
    try:
        server_core, driver_core = two_cores()
        with console.status("measuring") as status, tempfile.TemporaryDirectory() as folder:
            room = Path(folder)
            if chosen.only in {None, "fooled"}:
                seconds = chosen.seconds or (20 if chosen.quick else SECONDS)
                _fooled(report, seconds, server_core, driver_core, room, chosen.cache, status.update)
            if chosen.only in {None, "cost"}:
                count, length = (chosen.rounds or 3, 4) if chosen.quick else (chosen.rounds or 10, 8)
                with freezing(server_core, "--first", "-1") as stub:
                    found = cost.rounds(count, COST_RATE, length, stub, driver_core, room, status.update)
                report.cost(found)
            if chosen.only in {None, "judging"}:
                requests = REQUESTS // 10 if chosen.quick else REQUESTS
                status.update(f"judging a run of {requests:,} requests")
                journals = room / "judging"
                journals.mkdir()
                report.judging(judging.measured(requests, journals))
    except (UsageError, NothingProved) as problem:
        console.print(f"load_bench: {problem}", markup=False, highlight=False)
        return problem.exit_status
    report.end(chosen.json)
    return 0 if all(goal.met for goal in report.goals) else 1


def _fooled(
    report: "_Report", seconds: int, server_core: int, driver_core: int, room: Path, cache: Path, told: Told
) -> None:
    others = list(drivers(RATE, seconds, cache))
    with ExitStack() as stack:
        stub = stack.enter_context(freezing(server_core))
        told(f"{ours.NAME}: {seconds} s")
        mine = _ours(stub, seconds, driver_core, room / "ours")
        theirs = fooled.all_played(others, stub, RATE, seconds, driver_core, room, told)
    report.fooled([mine, *theirs], [each.why_not for each in others if each.why_not is not None], seconds)


def _ours(stub: Any, seconds: int, core: int, folder: Path) -> fooled.Outcome:
    plan = ours.plan(RATE, seconds)
    due = ours.intended(plan)
    stub.begin()
    with fooled.measured_foreign(core) as foreign:
        process = ours.started(plan, stub, core, folder)
        process.wait(timeout=seconds + fooled.MORE)
    counted = ours.told(folder)
    came, _ = stub.times()
    freezes = stub.told()["freezes"]
    # The schedule's zero by the stopwatch: no request comes before it is due, and one of the first comes at once.
    zero = min(instant - at for instant, at in zip(came, due, strict=False))
    true = of_schedule([zero + at for at in due], freezes)
    words = f"{len(came)} of {len(due)} arrivals came; worst lag {counted.worst_lag_seconds * 1000:.0f} ms"
    asked = len(due) / seconds
    return fooled.outcome(ours.NAME, asked, stub, ours.reported(counted), foreign.share(), true=true, words=words)


class _Report:
    """The tables on the terminal, and everything for the file."""

    def __init__(self, console: Console) -> None:
        self.goals: list[Goal] = []
        self._console = console
        self._figures: dict[str, Any] = {
            "machine": {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
        }

    def fooled(self, outcomes: Sequence[fooled.Outcome], missing: Sequence[str], seconds: int) -> None:
        """A row a driver."""
        title = (
            f"{RATE} requests a second for {seconds} s; the server freezes for one second in every twenty.\n"
            "Milliseconds of the response time as reported, and what an open stream truly waits in the same run.\n"
            "With 5 % of the time frozen p95 stands on the edge, whoever reports it."
        )
        table = Table(
            *("driver", "requests/s (emptiest–fullest second)", "reported p50 / p95 / p99 / max"),
            *("true p99 / max", "p99 off", "", "others on its core"),
            title=title,
            title_justify="left",
        )
        for each in outcomes:
            told, true = each.reported, each.true
            table.add_row(
                f"{each.name}\n[dim]{each.words}[/dim]" if each.words else each.name,
                f"{each.rate:,.1f} ({each.emptiest:,}–{each.fullest:,})",
                f"{told.p50:.1f} / {told.p95:.1f} / {told.p99:.0f} / {told.longest:.0f}",
                f"{true.p99:.0f} / {true.longest:.0f}",
                f"{each.p99_off:+.0%}" if abs(each.p99_off) >= 0.095 else f"{each.p99_off:+.1%}",
                each.verdict,
                f"{each.foreign:.2f}",
            )
        self._console.print(table)
        for reason in missing:
            self._console.print(f"not measured: {reason}", markup=False, highlight=False)
        mine = outcomes[0]
        off = abs(mine.rate_off or 0.0)
        self.goals += [
            _at_most("arrivals: the schedule's rate is off by, at most", off, fooled.RATE_WITHIN),
            _at_most("arrivals: reported p99 is off the truth by, at most", abs(mine.p99_off), fooled.P99_WITHIN),
        ]
        self._figures["fooled"] = {
            "rate": RATE,
            "seconds": seconds,
            "drivers": [asdict(each) | {"p99_off": each.p99_off, "verdict": each.verdict} for each in outcomes],
            "missing": list(missing),
        }

    def cost(self, rounds: Sequence[cost.Round]) -> None:
        """Medians and the ratio."""
        title = f"CPU of the generator, {len(rounds)} rounds: median (lowest–highest)"
        columns = ("", "µs a request", "requests counted", "bytes a request")
        table = Table(*columns, title=title, title_justify="left")
        names = {
            "ours": f"popreceipt, {COST_RATE} a second, journal included",
            "paced": f"bare FastHttpUser, {cost.USERS} users, {COST_RATE} a second",
            "flat_out": f"bare FastHttpUser, {cost.USERS} users, as fast as they can",
        }
        for key, name in names.items():
            runs: list[cost.Cost] = [getattr(each, key) for each in rounds]
            spent = [run.microseconds for run in runs]
            table.add_row(
                name,
                f"{median(spent):.0f} ({min(spent):.0f}–{max(spent):.0f})",
                f"{sum(run.requests for run in runs):,}",
                f"{median(run.bytes for run in runs):.0f}",
            )
        self._console.print(table)
        paced = cost.ratio([each.ratio for each in rounds])
        flat_out = cost.ratio([each.ratio_flat_out for each in rounds])
        self._console.print(
            f"A request of ours takes {paced.median:.2f} ({paced.low:.2f}–{paced.high:.2f}) times the CPU of the bare "
            f"user's at the same rate, {flat_out.median:.2f} ({flat_out.low:.2f}–{flat_out.high:.2f}) times what it "
            "takes as fast as it can; medians of pairs, with 95 % intervals.",
            highlight=False,
        )
        self.goals.append(_at_most("CPU a request, ours to the bare user at the same rate", paced.median, cost.GOAL))
        self._figures["cost"] = {
            "rounds": [asdict(each) | {"ratio": each.ratio, "ratio_flat_out": each.ratio_flat_out} for each in rounds],
            "ratio": asdict(paced),
            "ratio_flat_out": asdict(flat_out),
        }

    def judging(self, measured: Mapping[str, Any]) -> None:
        """What judging took."""
        self._console.print(
            f"A run of {measured['requests']:,} requests by two workers ({measured['megabytes']:,.0f} MB of journals) "
            f"is joined and judged in {measured['seconds']:.0f} s ({measured['cpu_seconds']:.0f} s of CPU) with "
            f"{measured['peak_megabytes']:,.0f} MB; "
            f"{measured['exercised']} rules were exercised, {len(measured['violated'])} violated.",
            highlight=False,
        )
        self._figures["judging"] = dict(measured)

    def end(self, path: Path) -> None:
        """The goals; and everything to a file."""
        table = Table("goal", "wanted", "found", "", title=f"{self._figures['machine']}", title_justify="left")
        for goal in self.goals:
            found = "not measured" if goal.found is None else f"{goal.found:.3f}"
            table.add_row(goal.name, goal.wanted, found, "met" if goal.met else "[bold]missed[/bold]")
        if self.goals:
            self._console.print(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._figures | {"goals": [as_json(goal) for goal in self.goals]}
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _at_most(name: str, found: float, wanted: float) -> Goal:
    return Goal(name, f"≤ {wanted:g}", found, found <= wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
