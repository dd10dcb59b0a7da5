"""A job that processes its files in order: whether each waits for the one before it, and what a failure does.

The batch runs at instants that nobody tells, and a file may take it no more than seconds. So a first file shows when
it runs, and the others are handed in shortly before its next run and watched closely during it.
"""

from collections.abc import Generator, Sequence
from datetime import datetime, timedelta
from typing import Final

from popreceipt import vocabulary
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Route, Until
from popreceipt.tour.errands.asking import PRECISION, line, lines
from popreceipt.tour.errands.imports import (
    FAILS,
    LONGEST_PACE,
    NO_FILE,
    SOME_APPEAR,
    UNTOLD_RECURRENCE,
    Sent,
    Upload,
    as_made_up,
    good,
    just,
    offered,
    recurrence,
    seen,
    takes,
    told,
)

ROLE: Final = "import-in-order"

FILES: Final = 8
"""So many go one after another: some are done while others have not been begun."""

WATCHED: Final = 80
"""So many looks at most are taken while they are processed."""

CLOSELY: Final = timedelta(seconds=0.8)
"""Between two looks while they are processed."""

APART: Final = PRECISION * 1.5
"""Between two files: a service may know when one came no better than to a second."""


def in_order(tenant: Tenant) -> list[Errand]:
    """The errand of the job that processes in order."""
    name = "import-in-order"
    settings = told(tenant, ROLE)
    every = recurrence(settings) or UNTOLD_RECURRENCE
    probes = _probes(every) if recurrence(settings) else 2 * _probes(every)
    statuses = probes + WATCHED + 2 * BEHIND + LEFT_BEHIND * 2
    return [
        Errand(
            name=name,
            text="Hands in files one after another, a broken one among the last, and watches their turns.",
            shows=("ordering.in-order-one-after-another", "ordering.failed-message"),
            lines=lines(
                name,
                line("sound", vocabulary.ENQUEUE, ROLE, BEHIND + 1, "files that wait for one another", SOME_APPEAR),
                line("broken", vocabulary.ENQUEUE, ROLE, 1, "a file that cannot be read", BLOCKS),
                line("status", vocabulary.MESSAGE_STATUS, ROLE, statuses, "whose turn it is"),
            ),
            takes=takes(settings) + (2 + LEFT_BEHIND) * every,
            run=_run,
            roles=(ROLE,),
            acknowledges=True,
        )
    ]


BEHIND: Final = FILES + 2
"""The broken file and one behind it come last."""

LEFT_BEHIND: Final = 3
"""After so many further runs one that still waits is left alone."""

BLOCKS: Final = f"{FAILS}; should the job stop at a failed file, all behind it wait until somebody removes that one"


def _run(call: Call) -> Route:
    as_made_up(call, ROLE)
    every = recurrence(call.settings(ROLE))
    tick = yield from _tick(call)
    if every is None and tick is not None:
        again = yield from _tick(call)
        every = again - tick if again is not None else None
        tick = again
    if tick is not None and every is not None:
        # The run lay between two looks that are a pace apart; so does the next one, and all must be there before it.
        yield Until(tick + every - pace(every) - APART * 2 * BEHIND, f"the next processing recurrence of {ROLE}")
    line_up: list[Sent] = []
    for place in range(BEHIND):
        upload = Upload("broken", just(NO_FILE)) if place == FILES else Upload("sound", good(1 + place % 3))
        message = yield from offered(call, ROLE, upload, upload.made(call.random))
        if message is not None:
            line_up.append(Sent(message))
        yield Until(call.moment + APART, "a second between two files")
    yield from _watched(call, line_up, pace(every or UNTOLD_RECURRENCE) / 20)
    yield from _left_behind(call, line_up, every or UNTOLD_RECURRENCE)


def pace(every: timedelta) -> timedelta:
    """How often to ask whether the batch has run."""
    return min(max(every / 20, timedelta(seconds=15)), timedelta(minutes=1))


def _probes(every: timedelta) -> int:
    return -(-every // pace(every)) + 3


def _tick(call: Call) -> Generator[Until, None, datetime | None]:
    """Hand in a file and ask for it until it is taken: when that was seen."""
    upload = Upload("sound", good(1))
    message = yield from offered(call, ROLE, upload, upload.made(call.random))
    every = recurrence(call.settings(ROLE)) or UNTOLD_RECURRENCE
    made = Sent(message or "")
    for _ in range(_probes(every) if message is not None else 0):
        yield from seen(call, made)
        if made.last not in (None, vocabulary.ENQUEUED):
            return made.states[-1][0]
        yield Until(call.moment + pace(every), f"the processing recurrence of {ROLE}")
    return None


def _watched(call: Call, line_up: Sequence[Sent], idle: timedelta) -> Route:
    """Ask for the file whose turn it is; when it is done, for the next one and for the last one as well."""
    step = CLOSELY
    for _ in range(WATCHED):
        turn = next((place for place, each in enumerate(line_up) if not each.final), None)
        if turn is None:
            return
        before = line_up[turn].last
        yield from seen(call, line_up[turn])
        if line_up[turn].final:
            for behind in {min(turn + 1, len(line_up) - 1), len(line_up) - 1} - {turn}:
                yield from seen(call, line_up[behind])
        if line_up[turn].last == before:
            step = max(CLOSELY, idle) if before == vocabulary.ENQUEUED else min(step * 2, LONGEST_PACE)
        else:
            step = CLOSELY
        yield Until(call.moment + step, f"the turns of what was handed to {ROLE}")


def _left_behind(call: Call, line_up: Sequence[Sent], every: timedelta) -> Route:
    """Ask for what may never have its turn, after two more runs."""
    for _ in range(LEFT_BEHIND):
        waiting = [each for each in line_up if not each.final]
        if not waiting:
            return
        yield Until(call.moment + every + pace(every), f"what stands behind a failed file of {ROLE}")
        for made in waiting:
            yield from seen(call, made)
