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
from popreceipt.tour.errand import Errand, Line
from popreceipt.tour.planning import Plan, Planned
from popreceipt.tour.running import State
from popreceipt.tour.verdicts import plain
from popreceipt.tour.waiting import Wait, period_text
from popreceipt.vocabulary import ACK, DEQUEUE, DOWNLOAD, ENQUEUE, TOKEN

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
    """Print what a tour would change, then what it would send, errand by errand, and what it would not do and why."""
    parts: list[Table | Text] = [
        Text(f"tenant:{plan.tenant.name} at {plan.tenant.base_url}", style="bold"),
        Text("This is a plan: nothing was sent.", style="dim"),
    ]
    if any(each.changes for each in plan.lines):
        parts += [Text("\nWhat it may change, at most", style="bold"), _changes(plan)]
    parts.append(Text("\nWhat it sends, at most", style="bold"))
    own = (plan.own.clock, plan.own.tokens) if plan.run else ()
    parts += [Text("the tour itself"), _requests(own)] if own else [Text("nothing")]
    for each in plan.run:
        parts += [_heading(plan, each), _requests(each.lines)]
    parts.append(
        Text(
            f"\n{plan.most:,} requests and {plan.most_bytes:,} bytes of files at most; "
            f"{period_text(plan.longest_seconds)} at most, nearly all of it waiting"
        )
    )
    budget = plan.tenant.budget
    told = {"requests": budget.requests, "megabytes": budget.megabytes, "minutes": budget.minutes}
    if words := ", ".join(f"{value:g} {name}" for name, value in told.items() if value is not None):
        parts.append(Text(f"budget of the description: {words}"))
    if left_out := [each for each in plan.errands if each.reason is not None]:
        parts += [Text("\nWhat it leaves out", style="bold"), _left_out(left_out)]
    parts.append(Text())
    parts += [Text(f"! {plain(each)}", style="yellow") for each in plan.warnings()]
    console.print(Group(*parts))


def _changes(plan: Plan) -> Table:
    """What requests that change something add up to, by activity."""
    sums: dict[tuple[str, str], int] = {}
    for each in plan.lines:
        if each.changes:
            where = (each.operation, each.role or "")
            sums[where] = sums.get(where, 0) + each.most
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(justify="right")
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold", style="dim")
    for (operation, role), most in sorted(sums.items(), key=lambda each: each[0][::-1]):
        made.add_row(f"{most:,}", Text(operation), Text(role), Text(EFFECTS.get(operation, "")))
    return made


EFFECTS: Final = {
    ENQUEUE: "a message each; what its file holds stays in the environment",
    DEQUEUE: "each hides at most one message from everybody, for half an hour",
    DOWNLOAD: "each marks at most one message as downloaded",
    ACK: "each takes at most one message out of the queue, for good",
    TOKEN: "sign-ins that fail, and are logged",
}
"""What requests of an operation may change altogether."""


def _heading(plan: Plan, errand: Errand) -> Text:
    heading = Text(f"\n{errand.name}", style="cyan")
    heading.append(f"  {plain(errand.text)}", style="none")
    takes = period_text(plan.real_seconds(errand))
    if plan.is_parked(errand):
        heading.append(f" What takes longest takes up to {takes}, and would be parked.", style="yellow")
    else:
        heading.append(f" ({takes} at most)", style="dim")
    return heading


def _requests(lines: Sequence[Line]) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(justify="right", width=7)
    made.add_column(no_wrap=True, width=17)
    made.add_column(no_wrap=True, width=15)
    made.add_column(overflow="fold")
    for each in lines:
        what = Text(plain(each.text))
        if each.operation == ENQUEUE:
            what.append(f", {each.bytes_each:,} bytes at most", style="dim")
        what.append(f"; {plain(each.effect)}" if each.changes else "", style="yellow")
        made.add_row(f"{each.most:,}", Text(each.operation), Text(each.role or ""), what)
    return made


def _left_out(errands: Sequence[Planned]) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    for each in errands:
        made.add_row(Text(each.errand.name), Text(plain(each.reason or "")))
    return made


def print_parked(console: Console, parked: Sequence[State], command: str) -> None:
    """Print what waits for another day, and how to go on with it."""
    instants = sorted(each.until for each in parked if each.until is not None)
    first, last = instant_text(instants[0])[:19], instant_text(instants[-1])[:19]
    when = f"until {first}Z" if first == last else f"the first until {first}Z, the last until {last}Z"
    them = "1 errand is" if len(parked) == 1 else f"{len(parked)} errands are"
    console.print(Text(f"{them} parked, {when}. Go on then with:", style="yellow"))
    console.print(Text(f"  {command}"), soft_wrap=True)
