"""Judges what was seen of files that were handed in: statuses never go back, and in-order jobs keep their order.

"Recurring integrations", sections "API for getting message status" and "Create a recurring data job". How far the
processing of a file was at an instant is known by bounds; only what no instants within them explain is an anomaly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from popreceipt.histories.found import Found
from popreceipt.histories.history import Anomaly, File, Intake, Operation, Seen, State
from popreceipt.vocabulary import ACKED, PREPROCESSING_ERROR

NEVER: Final = 1 << 62


def judge_intake(intake: Intake) -> Iterator[Found]:
    """The files of one import: each by itself, then in their order."""
    steady: list[File] = []
    for file in intake.files:
        found = None if intake.restarts else _backwards(intake.activity, file)
        found = found or _unsettled(intake.activity, file)
        if found is not None:
            yield found
        else:
            steady.append(file)
    if intake.in_order and not intake.restarts:
        # Times that Manage messages shows may be cut to seconds, so they are compared with one another alone.
        told: set[str] = set()
        for bounds_of in (_by_times, _by_sightings):
            bounds = [(file, known) for file in steady if (known := bounds_of(file)) is not None]
            yield from _out_of_order(intake, bounds, told)


def judge_exported(message: str, seen: Sequence[Seen]) -> Iterator[Found]:
    """Statuses of an exported message: once acknowledged it stays so."""
    first = min((each for each in seen if each.text == ACKED), key=lambda each: each.by, default=None)
    if first is None:
        return
    later = next((each for each in seen if each.text != ACKED and first.precedes(each)), None)
    if later is not None:
        yield _told(Anomaly.BACKWARDS, "", message, (first, later), f"{later.text} after it had been {ACKED}")


@dataclass(frozen=True, slots=True)
class _Bounds:
    """By when a file's processing had begun, and until when it had not ended, each with what shows it.

    `binds` is false for a file that was never seen at its end: whether others wait for such a one is open.
    """

    begun_last: int
    last_by: Operation
    ended_first: int
    ended_by: Operation
    binds: bool = True

    def begun_while(self, other: "_Bounds") -> bool:
        """Whether this file had certainly been begun before the other was done."""
        if self.begun_last != other.ended_first or self.last_by is other.ended_by:
            return self.begun_last < other.ended_first
        one, two = self.last_by.place, other.ended_by.place
        return bool(one and two) and one < two


def _by_times(file: File) -> _Bounds | None:
    """As Manage messages shows the times of its processing."""
    if file.began is None or file.ended is None or file.told_by is None or _unusable(file):
        return None
    return _Bounds(file.began, file.told_by, file.ended, file.told_by)


def _by_sightings(file: File) -> _Bounds | None:
    """As its statuses show."""
    if _unusable(file):
        return None
    begun = min((each for each in file.seen if each.state is not State.WAITING), key=lambda each: each.by, default=None)
    undone = [file.enqueued, *(each for each in file.seen if each.state is not State.ENDED)]
    last = max(undone, key=lambda each: each.since)
    binds = any(each.state is State.ENDED for each in file.seen)
    return _Bounds(NEVER if begun is None else begun.by, begun or file.enqueued, last.since, last, binds)


def _unusable(file: File) -> bool:
    """Whether it was found unusable, which may be so before its turn."""
    return any(each.text == PREPROCESSING_ERROR for each in file.seen)


_RANK = {State.WAITING: 0, State.BEGUN: 1, State.ENDED: 2}


def _backwards(activity: str, file: File) -> Found | None:
    """Two sightings, the later of which shows less."""
    furthest: dict[State, Seen] = {}
    for each in file.seen:
        known = furthest.get(each.state)
        if known is None or each.by < known.by:
            furthest[each.state] = each
    for state, first in furthest.items():
        for each in file.seen:
            if _RANK[each.state] < _RANK[state] and first.precedes(each):
                words = f"{each.text} after it had been {first.text}"
                return _told(Anomaly.BACKWARDS, activity, file.message, (first, each), words)
    return None


def _unsettled(activity: str, file: File) -> Found | None:
    """A final status that became another one."""
    ends = [each for each in file.seen if each.state is State.ENDED]
    if not ends:
        return None
    first = min(ends, key=lambda each: each.by)
    # Whichever of two different ends was seen first, it did not stay.
    for each in ends:
        if each.text != first.text:
            words = f"{each.text} after it had ended as {first.text}"
            return _told(Anomaly.BACKWARDS, activity, file.message, (first, each), words)
    return None


def _out_of_order(intake: Intake, files: Sequence[tuple[File, _Bounds]], told: set[str]) -> Iterator[Found]:
    """Files that were begun before one that came earlier was done, and files that were processed at the same time."""
    busiest: tuple[File, _Bounds] | None = None
    # Each against that one of those before it which certainly was done last.
    by_end = sorted((each for each in files if each[1].binds), key=lambda each: each[0].enqueued.by)
    place = 0
    for file, bounds in sorted(files, key=lambda each: each[0].enqueued.since):
        while place < len(by_end) and _came_first(intake, by_end[place][0].enqueued, file.enqueued):
            if busiest is None or by_end[place][1].ended_first > busiest[1].ended_first:
                busiest = by_end[place]
            place += 1
        if busiest is not None and bounds.begun_while(busiest[1]):
            if file.message in told:
                continue
            told.add(file.message)
            witness = (busiest[0].enqueued, file.enqueued, busiest[1].ended_by, bounds.last_by)
            words = "begun before the file that had been handed in first was done"
            yield _told(Anomaly.ORDER, intake.activity, file.message, witness, words)
    running: tuple[File, _Bounds] | None = None
    for file, bounds in sorted(files, key=lambda each: each[1].begun_last):
        if running is not None and file.message not in told and running[0].message not in told:
            one, other = running[1], bounds
            both = one.binds and other.binds
            if both and one.begun_while(other) and other.begun_while(one):
                witness = (running[0].enqueued, file.enqueued, one.ended_by, other.last_by)
                told.add(file.message)
                words = "processed at the same time as another file, which should go one after another"
                yield _told(Anomaly.ORDER, intake.activity, file.message, witness, words)
        if running is None or bounds.ended_first > running[1].ended_first:
            running = (file, bounds)


def _came_first(intake: Intake, first: Operation, second: Operation) -> bool:
    if intake.slack:
        return first.by + intake.slack <= second.since
    return first.precedes(second)


def _told(kind: Anomaly, activity: str, message: str, witness: Sequence[Operation], words: str) -> Found:
    numbers = tuple(sorted({each.number for each in witness if each.number > 0}))
    return Found(kind, activity, message, numbers, words)
