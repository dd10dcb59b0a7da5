"""Whether files are processed one after another where the job asks for it.

Told by the times that Manage messages shows, by statuses that were seen, and by what the last file of a key left in
the target table. Two files have an order only where the enqueue of the one was over before the other's began.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime

from popreceipt import vocabulary
from popreceipt.rules.imports import COMPLETED, FINAL, SHOWN_PRECISION, Import, Row, Sighting
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import ASK, INFERRED, MUST, article, rule
from popreceipt.verdict import Finding, answered, held, violated

UNTOUCHED = frozenset({vocabulary.ENQUEUED})
BEGUN = FINAL | {vocabulary.PROCESSING}
"""States of a message that is or was in process; being prepared beside another breaks no order."""


def _in_order(journal: Readings) -> Iterator[list[Import]]:
    """The accepted files of each job that processes in order, as they were sent."""
    for messages in journal.imports.of_activity.values():
        chosen = [each for each in messages if each.in_order]
        if len(chosen) > 1:
            yield chosen


@rule(
    "ordering.in-order-one-after-another",
    text="Where messages are processed in order, a file is begun only when the file before it is done.",
    source=article("Create a recurring data job"),
    reading="For jobs of type File. A file that never comes to its end proves nothing about those behind it. Times in "
    "Manage messages may be cut to seconds.",
    level=MUST,
    statements=(19,),
)
def in_order_one_after_another(journal: Readings) -> Iterator[Finding]:
    """Each file against the one before it: by the times of processing where they are shown, else by statuses."""
    for messages in _in_order(journal):
        shown = sorted(
            ((row.started, row, message) for message in messages if (row := _times(message)) and row.started),
            key=lambda each: each[0],
        )
        for (_, first_row, first), (_, second_row, second) in zip(shown, shown[1:], strict=False):
            yield from _by_times(first, first_row, second, second_row)
        for first, second in zip(messages, messages[1:], strict=False):
            if not (_times(first) and _times(second)):
                yield from _by_statuses(first, second)


def _times(message: Import) -> Row | None:
    """The last row that shows when the message was processed, both times filled."""
    for row in reversed(message.rows):
        if row.started is not None and row.completed is not None and row.state in FINAL:
            return row
    return None


def _by_times(first: Import, first_row: Row, second: Import, second_row: Row) -> Iterator[Finding]:
    """Two files of which `first` was begun first, or at the same instant."""
    if first_row.started is None or first_row.completed is None or second_row.started is None:
        return
    later = _came_before(second, first)
    if later and first_row.started < second_row.started:
        yield violated(
            f"begun {first_row.started}, before the file that came first ({second_row.started})",
            second.enqueue,
            first.enqueue,
        )
    elif second_row.started < first_row.completed - (SHOWN_PRECISION if _cut(first_row.completed) else _NOTHING):
        yield violated(
            f"begun {second_row.started}, before the other was done ({first_row.completed})",
            first.enqueue,
            second.enqueue,
        )
    else:
        yield held("one after the other", first.enqueue, second.enqueue)
