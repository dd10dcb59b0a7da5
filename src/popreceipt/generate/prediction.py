"""Prediction held to account: what sizing predicts for plans beside what the emulator does with the same arrivals.

For each plan and each of its processing recurrences the first messages go to an emulator over HTTP, in virtual time;
what Manage messages says of them stands beside the simulation's figures for the same messages. Plans with a lease side
have their consumers played as well. Then a journal that was written on the way, and a table of Manage messages as a
real environment exports it, are read back as plans are able to.

    python -m popreceipt.generate.prediction [--plan FILE]... [--messages N] [--out FILE] [--json FILE]

The status is 1 where a figure is further off than it may be.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import progress as rich_progress
from rich.console import Console

from popreceipt import resources
from popreceipt.exceptions import NothingProved, PopreceiptError
from popreceipt.sizing import manage_messages, measured
from popreceipt.sizing.account import (
    Account,
    Progress,
    job_of,
    judged,
    lease_side,
    observe,
    processing,
    shortened,
    told_by_records,
)
from popreceipt.sizing.in_force import beside, beside_recorded, in_force
from popreceipt.sizing.plan import Arrivals, Plan, Service, read_plan
from popreceipt.sizing.recorded import Recorded
from popreceipt.sizing.result import Compared
from popreceipt.sizing.simulation import simulate
from popreceipt.sizing.work import work_of

MESSAGES: Final = 1_500
"""Of a plan's messages under one recurrence, unless told otherwise."""

FED_BACK: Final = ("shop-day", 5.0)
"""The plan whose journal is read back, and its recurrence in minutes."""

ENOUGH: Final = 1_000
"""Messages that are sent to be read back, at least. With fewer it matters where between ticks the first one falls."""

DRAWS: Final = 20
"""So many times the service times are drawn from those measured."""

TABLE: Final = "stored.csv"

FORMAT: Final = "popreceipt/prediction@1"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Everything that was compared, and what the record of a real environment's kind has shown besides."""

    accounts: tuple[Account, ...]
    told: tuple[str, ...] = ()

    @property
    def within(self) -> bool:
        """Whether nothing is further off than it may be."""
        return all(each.within for each in self.accounts)

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {
            "format": FORMAT,
            "within": self.within,
            "accounts": [{**asdict(each), "within": each.within} for each in self.accounts],
            "told": list(self.told),
        }


def plans_of(files: Sequence[Path]) -> dict[str, Plan]:
    """The plans in files, by their names."""
    return {path.stem: read_plan(path) for path in files}


def predicted(plans: dict[str, Plan], messages: int, bar: "Bar") -> Prediction:
    """Hold all plans to account."""
    accounts: list[Account] = []
    for name, plan in plans.items():
        for minutes in plan.recurrence.candidates_minutes:
            with bar.of(f"{name}, every {minutes:g} minutes") as progress:
                accounts.append(processing(name, plan, minutes, most=messages, progress=progress))
        if plan.export is not None:
            with bar.of(f"{name}, consumers") as progress:
                accounts.append(lease_side(name, plan, most=messages, progress=progress))
    told = []
    if FED_BACK[0] in plans:
        with bar.of("a journal, read back") as progress:
            accounts += fed_back(*FED_BACK, plans[FED_BACK[0]], max(messages, ENOUGH), progress)
    table = manage_messages.read(resources.fixtures() / "manage-messages" / TABLE)
    account, said = of_a_table(TABLE, table)
    if account is not None:
        accounts.append(account)
    told.append(said)
    return Prediction(tuple(accounts), tuple(told))


def fed_back(name: str, minutes: float, plan: Plan, messages: int, progress: Progress) -> tuple[Account, Account]:
    """Write a journal while a plan is observed, and predict from the journal alone what was observed.

    Returns:
        What its rows of Manage messages tell, each message with its own service time, under the recurrence that is
        found in them; and what a plan that names the journal predicts, which draws service times from those measured.
    """
    work, record_seconds = told_by_records(shortened(work_of(plan, seed=plan.run.seed), messages))
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.ndjson"
        with journal.open("wb") as file:
            observed = observe(
                work, plan.batch, minutes, record_seconds=record_seconds, journal_file=file, progress=progress
            )
        recorded = measured.recorded_of(journal)
        again = msgspec.structs.replace(
            plan, arrivals=Arrivals(measured=str(journal)), service=Service(measured=str(journal))
        )
        drawn = [
            beside(simulate(work_of(again, seed=seed), job_of(plan.batch, minutes)), observed) for seed in range(DRAWS)
        ]
    found = in_force(recorded)
    if isinstance(found, str):
        raise NothingProved(f"The recurrence cannot be told from the journal of {name}: {found}")
    seen = Compared("recurrence in force", found.minutes, minutes, "minutes", None, found.minutes == minutes)
    of_rows = (seen, *(judged(each) for each in beside_recorded(recorded, found)))
    of_plan = tuple(
        judged(replace(each[0], predicted=statistics.fmean(one.predicted for one in each)))
        for each in zip(*drawn, strict=True)
    )
    setting, number = f"every {minutes:g} minutes", len(work.arrived)
    return (
        Account(f"{name}, the rows of its journal", f"{setting}, as found", number, of_rows),
        Account(f"{name}, a plan that names its journal", setting, number, of_plan),
    )


def of_a_table(name: str, table: Recorded) -> tuple[Account | None, str]:
    """What is predicted for a table of Manage messages, and what was seen in it."""
    found = in_force(table)
    if isinstance(found, str):
        return None, f"{name}: {found}"
    said = f"{name}: {found}. {' '.join(table.notes)}".strip()
    return Account(name, f"every {found.minutes:g} minutes, as found", len(table), beside_recorded(table, found)), said


# What is written


def markdown(result: Prediction, messages: int) -> str:
    """specs/PREDICTION.md."""
    outside = [each for each in result.accounts if not each.within]
    figures = [one for each in result.accounts for one in each.compared if one.within is not None]
    apart = [abs(one.predicted / one.observed - 1) for one in figures if one.allowed is not None and one.observed]
    lines = [
        "# Prediction held to account",
        "",
        "Generated by `python -m popreceipt.generate.prediction --out specs/PREDICTION.md`. For each plan of",
        f"`fixtures/plans` and each of its processing recurrences, its first {messages} messages (or all there are)",
        "went to the emulator over HTTP, in virtual time; what Manage messages said afterwards stands beside what",
        "sizing predicts for the same arrivals and the same service times. Consumers of exports were played likewise:",
        "the same arrivals and the same durations, dequeued and acknowledged over HTTP.",
        "",
        "Two programs that were written apart agree on one reading of the documentation: gated runs, ticks, start-up,",
        "overruns as the plan says, the half hour. That a real environment reads it so too is not shown here; a",
        "journal or a table of Manage messages from one shows it. How such are read back stands at the end: in the",
        "rows of a journal and of a table each message keeps its own service time; a plan that names a journal draws",
        f"them from those measured, and the figures are means over {DRAWS} draws.",
        "",
        f"- {len(result.accounts)} accounts with {len(figures)} figures that are held to a difference: "
        + ("all within it" if not outside else f"**{len(outside)} accounts are not within it**"),
        f"- the largest difference among them: {max(apart, default=0.0):.2%}",
        *(f"- {each}" for each in result.told),
        "",
        "| plan | setting | messages | figure | predicted | observed | differs by | allowed | within |",
        "|---|---|---:|---|---:|---:|---:|---:|---|",
    ]
    for account in result.accounts:
        head = f"| {account.name} | {account.setting} | {account.messages} |"
        for figure in account.compared:
            lines.append(f"{head} {_cells(figure)} |")
            head = "| | | |"
    return "\n".join([*lines, ""])


def _cells(figure: Compared) -> str:
    unit = f" ({figure.unit})" if figure.unit else ""
    differs = "–"
    if figure.observed:
        apart = round(figure.predicted / figure.observed - 1, 4)
        differs = f"{apart:+.2%}" if apart else "0"
    allowed = "–" if figure.allowed is None else f"{figure.allowed:.0%}"
    within = "not judged" if figure.within is None else "yes" if figure.within else "**no**"
    cells = (f"{figure.what}{unit}", _number(figure.predicted), _number(figure.observed), differs, allowed, within)
    return " | ".join(cells)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.4g}"


class Bar:
    """How far it is, on a terminal; elsewhere a line for each account."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            console=console,
        )

    @contextmanager
    def of(self, what: str) -> Iterator[Progress]:
        """Something that takes a while; hands out what is told how far it is."""
        if not self._console.is_terminal:
            self._console.print(what, highlight=False)
            yield lambda *_: None
            return
        task = self._progress.add_task(what, total=None)

        def told(done: int, total: int, _words: str) -> None:
            self._progress.update(task, completed=done, total=total)

        with self._progress:
            yield told


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, write, and say whether all is within."""
    parser = argparse.ArgumentParser(prog="python -m popreceipt.generate.prediction", description=__doc__)
    parser.add_argument("--plan", type=Path, action="append", metavar="FILE", help="instead of all of fixtures/plans")
    parser.add_argument("--messages", type=int, default=MESSAGES, metavar="N", help="of each plan and recurrence")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it as Markdown here instead of printing it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it as JSON here, too")
    options = parser.parse_args(arguments)
    files = options.plan or sorted((resources.fixtures() / "plans").glob("*.toml"))
    try:
        result = predicted(plans_of(files), max(1, options.messages), Bar(Console(stderr=True)))
    except PopreceiptError as problem:
        print(problem, file=sys.stderr)
        return problem.exit_status
    text = markdown(result, options.messages)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, encoding="utf-8", newline="\n")
    if options.json is not None:
        options.json.write_text(json.dumps(result.as_json(), indent=2) + "\n", encoding="utf-8", newline="\n")
    return 0 if result.within else 1


if __name__ == "__main__":
    sys.exit(main())
