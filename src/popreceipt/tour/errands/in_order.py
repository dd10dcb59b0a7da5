"""Jobs that process messages in order: whether each waits for its turn, and all for the recurrence.

The batch runs at instants that nobody tells, and a file may take it no more than seconds. So a first file shows when
it runs, and the others are handed in shortly before its next run and watched closely during it: who came late is asked
for before who came early, so that what is told of the early one is the later news. In between, file after file is
handed in for as long as each is taken at once, which no recurrence does for long.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Route, Until
from popreceipt.tour.errands.asking import PRECISION, line, lines
from popreceipt.tour.errands.imports import (
    APPEAR,
    FAILS,
    LONGEST_PACE,
    NO_FILE,
    SMALL,
    SOME_APPEAR,
    UNTOLD_RECURRENCE,
    Sent,
    Upload,
    as_made_up,
    good,
    just,
    offered,
    packed,
    recurrence,
    seen,
    takes,
    told,
)

ROLE: Final = "import-in-order"

PACKAGES: Final = "import-package"

FILES: Final = 8
"""So many go one after another: some are done while others have not been begun."""

DONE: Final = 2
"""When so many are done another comes: it stands behind those that are left, and belongs to another run."""

AWAITED: Final = 50
"""So many looks at most are taken until their run begins."""

WATCHED: Final = 80
"""So many looks at most are taken while they are processed."""

AT_A_FILE: Final = 6
"""About so many while one is processed, once it is known how long that takes."""

AT_A_LOOK: Final = 3
"""Files that a look asks for: the last in line, the next one, and the one whose turn it is."""

CLOSELY: Final = timedelta(seconds=0.8)
"""Between two looks while they are processed."""

APART: Final = PRECISION * 1.5
"""Between two files: a service may know when one came no better than to a second."""

UNMOVED: Final = timedelta(minutes=2)
"""A line in which nothing moves for so long waits for something else than its files."""

AGAIN: Final = 4
"""So many files more, one after another, have to be taken too soon for no recurrence to explain it."""

QUIET: Final = timedelta(seconds=30) + PRECISION
"""So long after its last file a run is over, even one that takes what comes while it goes on."""

SHORTEST_RECURRENCE: Final = 4 * QUIET
"""Within a shorter one there is no room for so many files."""

MINUTE: Final = timedelta(minutes=1)
"""No recurrence is shorter."""

LOOKS_AT_TWO: Final = 40
"""So often at most two packages are asked for while they are processed."""

PACKED: Final = 40
"""Records of each of the two, so that processing takes a while."""

LOOKS_AT_ONE: Final = 8
"""So often at most one file is asked for until it is taken."""

LOOKS_AT_ITS_END: Final = 21
"""So often at most it is then asked for until it is done: less and less often, for a recurrence and a half."""


def in_order(tenant: Tenant) -> list[Errand]:
    """The errands of the jobs that process in order: the one for files, and one for packages where that is told."""
    packages = told(tenant, PACKAGES).get("in_order") is True
    return [_files(told(tenant, ROLE)), *([_packages(told(tenant, PACKAGES))] if packages else [])]


def _files(settings: Mapping[str, Any]) -> Errand:
    name = "import-in-order"
    every = recurrence(settings) or UNTOLD_RECURRENCE
    has_room = _has_room(recurrence(settings))
    line_up = (AGAIN if has_room else 0) + IN_LINE + 1
    statuses = _asked_until_taken(settings) + 2 * AWAITED + WATCHED * AT_A_LOOK + 2 * line_up + LEFT_BEHIND * 3
    if has_room:
        statuses += AGAIN * (LOOKS_AT_ONE + LOOKS_AT_ITS_END)
    return Errand(
        name=name,
        text="Hands in files one after another, a broken one among the last, and watches their turns.",
        shows=(
            "ordering.in-order-one-after-another",
            "ordering.failed-message",
            "status.enqueued-until-taken",
            *(("processing.waits-for-the-recurrence",) if has_room else ()),
        ),
        lines=lines(
            name,
            line("sound", vocabulary.ENQUEUE, ROLE, line_up + 1, "files that wait for one another", SOME_APPEAR),
            line("broken", vocabulary.ENQUEUE, ROLE, 1, "a file that cannot be read", BLOCKS),
            line("status", vocabulary.MESSAGE_STATUS, ROLE, statuses, "whose turn it is"),
        ),
        takes=takes(settings) + (3 + LEFT_BEHIND) * every,
        run=_run,
        roles=(ROLE,),
        acknowledges=True,
    )


def _packages(settings: Mapping[str, Any]) -> Errand:
    name = "import-packages-in-order"
    statuses = _asked_until_taken(settings) + 2 * AWAITED + 2 * LOOKS_AT_TWO
    return Errand(
        name=name,
        text="Hands in two packages where messages go in order, and watches whether they are processed together.",
        shows=("ordering.packages",),
        lines=lines(
            name,
            line("sound", vocabulary.ENQUEUE, PACKAGES, 4, "packages that may wait for one another", APPEAR, SMALL),
            line("status", vocabulary.MESSAGE_STATUS, PACKAGES, statuses, "which is processed"),
        ),
        takes=takes(settings) + 2 * (recurrence(settings) or UNTOLD_RECURRENCE),
        run=_two_packages,
        roles=(PACKAGES,),
    )


def _asked_until_taken(settings: Mapping[str, Any]) -> int:
    every = recurrence(settings)
    return _probes(every) if every is not None else 2 * _probes(UNTOLD_RECURRENCE)


IN_LINE: Final = FILES + 2
"""The broken file and one behind it come last. One more comes later."""

LEFT_BEHIND: Final = 3
"""After so many further runs one that still waits is left alone."""

BLOCKS: Final = f"{FAILS}; should the job stop at a failed file, all behind it wait until somebody removes that one"


def _run(call: Call) -> Route:
    as_made_up(call, ROLE)
    tick, every, first = yield from _tick(call, Upload("sound", good(1)))
    line_up: list[Sent] = []
    if tick is not None and first is not None and _has_room(recurrence(call.settings(ROLE))):
        tick, line_up = yield from _again(call, first, tick)
    if tick is not None and every is not None:
        yield from _shortly_before(call, tick, every)
    for place in range(IN_LINE):
        # The smallest come last.
        upload = Upload("broken", just(NO_FILE)) if place == FILES else Upload("sound", good(2 + IN_LINE - place))
        yield from _stood_in_line(call, line_up, upload)
        yield Until(call.moment + APART, "a second between two files")
    yield from _awaited(call, line_up, pace(every or UNTOLD_RECURRENCE))
    yield from _watched(call, line_up)
    yield from _left_behind(call, line_up, every or UNTOLD_RECURRENCE)


def pace(every: timedelta) -> timedelta:
    """How often to ask whether the batch has run."""
    return min(max(every / 20, timedelta(seconds=15)), timedelta(minutes=1))


def _probes(every: timedelta) -> int:
    return -(-every // pace(every)) + 3


def _has_room(every: timedelta | None) -> bool:
    return every is not None and every >= SHORTEST_RECURRENCE


def _stood_in_line(
    call: Call, line_up: list[Sent], upload: Upload, role: str = ROLE
) -> Generator[Until, None, Sent | None]:
    """Hand in a file behind those of a line."""
    message = yield from offered(call, role, upload, upload.made(call.random))
    if message is None:
        return None
    line_up.append(Sent(message))
    return line_up[-1]


def _tick(
    call: Call, upload: Upload, role: str = ROLE
) -> Generator[Until, None, tuple[datetime | None, timedelta | None, Sent | None]]:
    """Hand in a file and ask for it until it is taken: when that was seen, how often that is, and of which file.

    Where nobody told how often it is, a second file shows it.
    """
    every = recurrence(call.settings(role))
    seen_at: list[datetime] = []
    made = None
    for _ in range(1 if every is not None else 2):
        made = yield from _stood_in_line(call, [], upload, role)
        if made is None:
            break
        for _ in range(_probes(every or UNTOLD_RECURRENCE)):
            yield from seen(call, made)
            if _is_taken(made):
                seen_at.append(made.states[-1][0])
                break
            yield Until(call.moment + pace(every or UNTOLD_RECURRENCE), f"the processing recurrence of {role}")
        else:
            break
    if every is None and len(seen_at) > 1:
        every = max(seen_at[1] - seen_at[0], MINUTE)
    return (seen_at[-1] if seen_at else None), every, made


def _shortly_before(call: Call, tick: datetime, every: timedelta, role: str = ROLE) -> Route:
    """Wait until so shortly before a run that all can be there when it comes.

    The last run lay between two looks that are a pace apart; so does the next one.
    """
    ahead = pace(every) + APART * 2 * IN_LINE
    tick += max(1, -(-(call.moment + ahead - tick) // every)) * every
    yield Until(tick - ahead, f"the next processing recurrence of {role}")


def _is_taken(made: Sent) -> bool:
    return made.last not in (None, vocabulary.ENQUEUED)


def _again(call: Call, made: Sent, tick: datetime) -> Generator[Until, None, tuple[datetime, list[Sent]]]:
    """Hand in a file whenever the one before is done, for as long as each is taken before it can be the next run's.

    When the last was taken, and the one that waits.
    """
    every = recurrence(call.settings(ROLE)) or UNTOLD_RECURRENCE
    slow = 0
    for _ in range(AGAIN):
        yield from _followed(call, made, every)
        if not made.final:
            break
        # What was taken at once, and done only at a recurrence, is followed at another time of the period.
        slow += slow > 0 or call.moment - tick > every / 2
        yield Until(call.moment + QUIET + slow * every / 4, f"a run of {ROLE} to be over")
        following = yield from _stood_in_line(call, [], Upload("sound", good(1)))
        if following is None:
            break
        made = following
        for _ in range(LOOKS_AT_ONE):
            yield from seen(call, made)
            if _is_taken(made):
                break
            if slow:
                return tick, [made]
            yield Until(call.moment + every / 4 / LOOKS_AT_ONE, f"a run of {ROLE} that is not due yet")
        else:
            return tick, [made]
        tick = made.states[-1][0]
    return tick, []


def _followed(call: Call, made: Sent, every: timedelta) -> Route:
    """Ask for a file that was taken until it is done, but not for ever, and less and less often."""
    step = CLOSELY
    for _ in range(LOOKS_AT_ITS_END):
        if made.final:
            return
        yield Until(call.moment + step, f"the end of what was handed to {ROLE}")
        yield from seen(call, made)
        step = min(step * 2, every / 12)


def _awaited(call: Call, line_up: Sequence[Sent], longest: timedelta, role: str = ROLE) -> Route:
    """Ask for the last and the first until one of them is taken; less often when the run does not come."""
    step = max(CLOSELY, longest / 20)
    for look in range(AWAITED if line_up else 0):
        for made in (line_up[-1], line_up[0]):
            yield from seen(call, made)
        if any(map(_is_taken, line_up)):
            return
        yield Until(call.moment + step, f"the next run of {role}")
        if look > AWAITED * 3 // 4:
            step = min(step * 2, longest)


def _watched(call: Call, line_up: list[Sent]) -> Route:
    """Ask for the file whose turn it is, and before that for the last and the next one: they may have overtaken it."""
    step = shortest = CLOSELY
    began = moved = call.moment
    has_room = True
    for _ in range(WATCHED):
        turn = next((place for place, each in enumerate(line_up) if not each.final), None)
        if turn is None:
            return
        if has_room and turn > DONE:
            has_room = False
            yield from _stood_in_line(call, line_up, Upload("sound", good(1)))
        before = [each.last for each in line_up]
        behind = [line_up[place] for place in sorted({turn + 1, len(line_up) - 1}) if turn < place < len(line_up)]
        yield from _each(call, reversed(behind))
        yield from seen(call, line_up[turn])
        if line_up[turn].final:
            yield from _each(call, behind)
            shortest = max(CLOSELY, (call.moment - began) / AT_A_FILE)
            began = call.moment
        if [each.last for each in line_up] != before:
            step, moved = shortest, call.moment
        elif call.moment - moved > max(shortest * AT_A_FILE, UNMOVED) and not _is_taken(line_up[turn]):
            return
        elif shortest == CLOSELY or call.moment - moved > shortest * AT_A_FILE:
            step = min(step * 2, LONGEST_PACE)
        yield Until(call.moment + step, f"the turns of what was handed to {ROLE}")


def _each(call: Call, chosen: Iterable[Sent]) -> Route:
    """Ask for those of them that are not done."""
    for made in chosen:
        if not made.final:
            yield from seen(call, made)


def _left_behind(call: Call, line_up: Sequence[Sent], every: timedelta) -> Route:
    """Ask for what may never have its turn, after two more runs."""
    for _ in range(LEFT_BEHIND):
        waiting = [each for each in line_up if not each.final]
        if not waiting:
            return
        yield Until(call.moment + every + pace(every), f"what stands behind a failed file of {ROLE}")
        for made in waiting:
            yield from seen(call, made)


def _two_packages(call: Call) -> Route:
    """Hand in two shortly before a run, and ask for them by turns until both are done."""
    as_made_up(call, PACKAGES)
    upload = Upload("sound", packed(PACKED), entity=None)
    tick, every, _ = yield from _tick(call, upload, PACKAGES)
    if tick is not None and every is not None:
        yield from _shortly_before(call, tick, every, PACKAGES)
    two: list[Sent] = []
    for _ in range(2):
        yield from _stood_in_line(call, two, upload, PACKAGES)
        yield Until(call.moment + APART, "a second between two packages")
    yield from _awaited(call, two, pace(every or UNTOLD_RECURRENCE), PACKAGES)
    step = CLOSELY
    for _ in range(LOOKS_AT_TWO):
        before = [each.last for each in two]
        yield from _each(call, two)
        if all(each.final for each in two):
            return
        step = CLOSELY if [each.last for each in two] != before else min(step * 1.5, LONGEST_PACE)
        yield Until(call.moment + step, f"two packages of {PACKAGES}")
