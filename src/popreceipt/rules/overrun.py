"""What becomes of a recurrence that finds files of the run before still in process.

The documentation says nothing about it. It is told by the times that Manage messages shows of three kinds of files:
those of a run, those that came before the recurrence which it outlasted, and those that came after that and before its
end.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from popreceipt.rules.facts import Enqueue
from popreceipt.rules.imports import SHOWN_PRECISION, Import, Recurrence
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import ADVANCE_TIME, ASK, CREATE_ACTIVITY, INFERRED, MESSAGES, article, rule
from popreceipt.verdict import Finding, answered

JOB_SECTION: Final = "Create a recurring data job"

ROOM: Final = timedelta(minutes=1)
"""So much has to lie between the end of a run and the next recurrence: a run takes some time to start."""


@rule(
    "batch.overrun",
    text="A recurrence that finds a run still going on starts none before the next recurrence, or one as soon as the "
    "other is done, or what waits then joins the run.",
    source=article(JOB_SECTION),
    reading="The article says nothing about it. Told where the run came to its end a minute or more before the next "
    "recurrence, on jobs whose batch nobody made run on purpose.",
    level=ASK,
    provenance=INFERRED,
    statements=(20,),
    needs=(ADVANCE_TIME, CREATE_ACTIVITY, MESSAGES),
    answers=("next-tick", "at-once", "joins"),
)
def overrun(journal: Readings) -> Iterator[Finding]:
    """Each run that was seen to outlast its recurrence, and when what came meanwhile was begun."""
    for activity, messages in journal.imports.of_activity.items():
        if journal.runs.get(activity) or any(each.disturbed for each in messages):
            continue
        recurrence = messages[0].recurrence
        slots = _slots(messages, recurrence)
        if slots is not None:
            yield from _Course(recurrence, slots).told()


class _File(msgspec.Struct, frozen=True, gc=False):
    """A file that came between two recurrences, and when it was processed as far as that was shown."""

    enqueue: Enqueue
    began: datetime | None
    ended: datetime | None


def _slots(messages: Sequence[Import], recurrence: Recurrence) -> dict[int, list[_File]] | None:
    """The files by the number of recurrences that had come before them; None where that is not certain."""
    if recurrence.period is None or recurrence.origin is None:
        return None
    first, last = recurrence.origin
    found: dict[int, list[_File]] = defaultdict(list)
    for message in messages:
        sent, came = message.enqueue.sent, message.enqueue.answered
        slot, into = divmod(max(sent - last, timedelta(0)), recurrence.period)
        # What came at the very instant of a recurrence may belong to it or not; what it counts from is none.
        at_the_tick = slot and not into
        if message.recurrence is not recurrence or at_the_tick or slot != (came - first) // recurrence.period:
            return None
        row = next((each for each in reversed(message.rows) if each.started is not None), None)
        began, ended = (row.started, row.completed) if row is not None else (None, None)
        found[slot].append(_File(message.enqueue, began, ended))
    return found


class _Course:
    """What was processed when, on a job of which nobody did anything but hand in files."""

    def __init__(self, recurrence: Recurrence, slots: dict[int, list[_File]]) -> None:
        self._recurrence = recurrence
        self._slots = slots

    def told(self) -> Iterator[Finding]:
        """An answer for each slot in which files came while a run went on that outlasted it."""
        under_way: list[_File] = []
        end = self._tick(0)[1]
        for slot in sorted(self._slots):
            due, due_by = self._tick(slot + 1)
            under_way = [each for each in under_way if each.ended is not None and each.ended + SHOWN_PRECISION >= due]
            if _goes_on(under_way, due, due_by):
                found = self._answer(slot, end)
                if found is not None:
                    yield found
            for each in self._slots[slot]:
                if each.began is None or each.ended is None:
                    return  # Nobody knows when what follows could have been begun.
                end = max(end, each.ended)
            under_way += self._slots[slot]

    def _tick(self, number: int) -> tuple[datetime, datetime]:
        """Between when a recurrence came."""
        if self._recurrence.origin is None or self._recurrence.period is None:
            raise LookupError("A recurrence without a period has no numbers.")
        first, last = self._recurrence.origin
        return first + number * self._recurrence.period, last + number * self._recurrence.period

    def _answer(self, slot: int, end: datetime) -> Finding | None:
        """What became of the files of a slot, where a run outlasted it that ended at `end`."""
        last = slot + 1
        while self._tick(last + 1)[0] <= end:
            last += 1
        following, following_by = self._tick(last + 1)
        if end + ROOM > following or following_by >= self._recurrence.until:
            return None
        first = _first(self._slots[slot])
        if first is None:
            return None
        began, enqueue = first
        if began >= following - SHOWN_PRECISION:
            return answered("next-tick", enqueue)
        if began + SHOWN_PRECISION < end:
            return answered("joins", enqueue)
        return self._by_the_last(slot, last, end)

    def _by_the_last(self, slot: int, last: int, end: datetime) -> Finding | None:
        """The same by what came after the last recurrence that the run outlasted: no run was due for that."""
        following = self._tick(last + 1)[0]
        between = [each for number in range(slot, last) for each in self._slots.get(number, ())]
        if any(each.ended is None or each.ended + ROOM > following for each in between):
            return None
        afterwards = [each for each in self._slots.get(last, ()) if each.enqueue.answered + SHOWN_PRECISION < end]
        first = _first(afterwards)
        if first is None:
            return None
        began, enqueue = first
        return answered("joins" if began >= following - SHOWN_PRECISION else "at-once", enqueue)


def _goes_on(files: Sequence[_File], due: datetime, due_by: datetime) -> bool:
    """Whether a run was in process before a recurrence and after it, with one file or with two that touch."""
    return any(each.began is not None and each.began + SHOWN_PRECISION < due for each in files) and any(
        each.began is not None
        and each.ended is not None
        and each.began - SHOWN_PRECISION <= due_by < each.ended - SHOWN_PRECISION
        for each in files
    )


def _first(files: Sequence[_File]) -> tuple[datetime, Enqueue] | None:
    """The first of them to be begun, and when; None where perhaps another was."""
    begun = [(each.began, each.enqueue) for each in files if each.began is not None]
    return min(begun, key=lambda each: each[0]) if begun and len(begun) == len(files) else None
