"""A tour on a terminal: its plan, how far it is and what it waits for, the person who is asked, what is parked.

Whatever may hold a server's words is shown as plain text.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from popreceipt.clock import stopwatch
from popreceipt.journal import instant_text
from popreceipt.tour.errand import Line
from popreceipt.tour.planning import Plan
from popreceipt.tour.running import State
from popreceipt.tour.verdicts import plain
from popreceipt.tour.waiting import Wait, period_text

SILENCE_SECONDS: Final = 60.0
"""Without a terminal, a wait says a word when it begins and after so much silence."""

TOLD_FROM_SECONDS: Final = 2.0
"""Shorter waits are not worth a line."""


class LiveWatcher:
    """A line on a terminal that tells at every moment what is done, or waited for.

    Args:
        console: of standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._words = "beginning"
        self._wait: tuple[Wait, float] | None = None
        self._live = Live(get_renderable=self._shown, console=console, transient=True, refresh_per_second=4)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it for as long as the block lasts."""
        with self._live:
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the terminal to somebody else for as long as the block lasts."""
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def doing(self, words: str, done: int, total: int) -> None:
        """This is done next."""
        self._wait = None
        self._words = f"{done} of {total} errands over: {plain(words)}"

    def waiting(self, wait: Wait, left_seconds: float) -> None:
        """It is waited; from here on the line counts by itself."""
        self._wait = (wait, stopwatch() + left_seconds)

    def waited(self) -> None:
        """The wait is over."""
        self._wait = None

    def note(self, words: str) -> None:
        """Print it above the line."""
        self._console.print(Text(plain(words), style="yellow"))

    def _shown(self) -> Spinner:
        if self._wait is None:
            return Spinner("dots", Text(self._words, overflow="ellipsis", no_wrap=True))
        wait, ends = self._wait
        left = max(0.0, ends - stopwatch())
        return Spinner("dots", Text(f"{waiting_text(wait)}; {period_text(left)} left", overflow="fold"))


class LineWatcher:
    """Now and then a line on standard error, for logs."""

    def __init__(self) -> None:
        self._said = stopwatch()
        self._wait: Wait | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Nothing is to be shown all the time."""
        yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Nothing is in the way."""
        yield

    def doing(self, words: str, done: int, total: int) -> None:
        """Not worth a line: there are many of them in a moment."""

    def waiting(self, wait: Wait, left_seconds: float) -> None:
        """A line when a wait begins, and after some silence."""
        new = wait is not self._wait
        self._wait = wait
        if (new and left_seconds >= TOLD_FROM_SECONDS) or stopwatch() - self._said >= SILENCE_SECONDS:
            self._say(f"{waiting_text(wait)}; {period_text(left_seconds)} left")

    def waited(self) -> None:
        """Nothing: what comes of it is told."""

    def note(self, words: str) -> None:
        """A line."""
        self._say(plain(words))

    def _say(self, words: str) -> None:
        self._said = stopwatch()
        print(f"popreceipt: {words}", file=sys.stderr, flush=True)


Shown = LiveWatcher | LineWatcher


def watcher(console: Console) -> Shown:
    """Whoever fits where standard error goes."""
    return LiveWatcher(console) if console.is_terminal else LineWatcher()


def waiting_text(wait: Wait) -> str:
    """What is waited for, for how many, and until when: there, and by the clock on the wall here."""
    for_whom = f" ({wait.errands} errands wait)" if wait.errands > 1 else ""
    there = instant_text(wait.instant)
    return (
        f"waiting for {plain(wait.what)}{for_whom} until {there[:10]} {there[11:19]} UTC there, "
        f"{wait.local.strftime('%H:%M:%S')} here"
    )


class Typist:
    """The person at the terminal.

    Args:
        console: of standard error, where they are asked.
        shown: is put aside meanwhile.
    """

    def __init__(self, console: Console, shown: Shown) -> None:
        self._console = console
        self._shown = shown

    def asked(self, step: str) -> bool:
        """Ask, and wait for Enter; nothing more is asked of whoever types s, or where nobody can type."""
        with self._shown.aside():
            self._console.print(Text(f"\n{plain(step)}", style="bold"))
            self._console.print(Text("Press Enter when it is done, or type s and Enter to leave it out.", style="dim"))
            answer = sys.stdin.readline()
        return answer.endswith("\n") and not answer.strip().lower().startswith("s")


def print_plan(console: Console, plan: Plan) -> None:
    """Print what a tour would send, line by line, and what it would not do and why."""
    budget = plan.tenant.budget
    parts: list[Table | Text] = [
        Text(f"tenant:{plan.tenant.name} at {plan.tenant.base_url}", style="bold"),
        Text("Nothing was sent. A tour sends at most:\n", style="dim"),
        _lines(plan.lines),
        Text(
            f"\n{plan.most:,} requests at most, {plan.most_bytes:,} bytes of files; at most "
            f"{period_text(plan.longest_seconds)}, nearly all of it waiting"
        ),
    ]
    if budget.requests is not None or budget.megabytes is not None or budget.minutes is not None:
        told = {"requests": budget.requests, "megabytes": budget.megabytes, "minutes": budget.minutes}
        words = ", ".join(f"{value:g} {name}" for name, value in told.items() if value is not None)
        parts.append(Text(f"budget of the description: {words}"))
    parts += [Text("\nErrands", style="bold"), _errands(plan)]
    parts += [Text(f"! {plain(each)}", style="yellow") for each in plan.warnings()]
    console.print(Group(*parts))


def _lines(lines: Sequence[Line]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="dim")
    made.add_column("at most", justify="right")
    made.add_column("request", no_wrap=True)
    made.add_column("activity", no_wrap=True)
    made.add_column("what it may change", overflow="fold")
    made.add_column("what for", overflow="fold")
    for each in lines:
        size = f", {each.bytes_each:,} bytes each" if each.bytes_each else ""
        made.add_row(
            f"{each.most:,}",
            Text(each.operation),
            Text(each.role or ""),
            Text(plain(each.effect) or "nothing", style="dim" if each.effect in ("", "nothing") else ""),
            Text(f"{plain(each.text)}{size}", style="dim"),
        )
    return made


def _errands(plan: Plan) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column()
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for each in plan.errands:
        takes = period_text(plan.real_seconds(each.errand))
        if each.reason is not None:
            made.add_row(Text("·", style="dim"), Text(each.errand.name, style="dim"), Text(plain(each.reason)))
        elif plan.is_parked(each.errand):
            what = Text(f"{plain(each.errand.text)} It takes up to {takes} and would be parked.", style="yellow")
            made.add_row(Text("▸"), Text(each.errand.name), what)
        else:
            made.add_row(Text("▸"), Text(each.errand.name), Text(f"{plain(each.errand.text)} ({takes} at most)"))
    return made


def print_parked(console: Console, parked: Sequence[State], command: str) -> None:
    """Print what waits for another day, and how to go on with it."""
    instants = sorted(each.until for each in parked if each.until is not None)
    first, last = instant_text(instants[0])[:19], instant_text(instants[-1])[:19]
    when = f"until {first}Z" if first == last else f"the first until {first}Z, the last until {last}Z"
    them = "1 errand is" if len(parked) == 1 else f"{len(parked)} errands are"
    console.print(Text(f"{them} parked, {when}. Go on then with:", style="yellow"))
    console.print(Text(f"  {command}"), soft_wrap=True)
