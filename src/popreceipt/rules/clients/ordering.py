"""Whether files go in the order that they have, where the job processes them in order.

The order is that of the names in the outbox. Names that stand in another order when their numbers are read as numbers
tell none.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from popreceipt.rules.facts import Enqueue
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, INFERRED, SHOULD, article, rule
from popreceipt.rules.submissions import BUSY, Filed
from popreceipt.verdict import Finding, held, violated

_NUMBER: Final = re.compile(r"\d+")


@rule(
    "ordering.files-in-their-order",
    text="For a job that processes messages in order, a client hands files in by their names, one after another.",
    source=article("Create a recurring data job"),
    reading="The job can keep no order but that of the enqueues. A file that failed comes before the next one; one "
    "that was refused for what it is stands in nobody's way, nor does one whose answer was lost and that is not sent "
    "again.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(19,),
)
def files_in_their_order(journal: Readings) -> Iterator[Finding]:
    """Each file of the outbox against the one before it."""
    scenario = journal.scenario
    if scenario is None or not scenario.in_order or scenario.import_type != "file":
        return
    filed = [each for each in journal.submissions.filed.values() if each.seen is not None]
    filed.sort(key=_name)
    if [each.digest for each in sorted(filed, key=_numbered)] != [each.digest for each in filed]:
        return
    for first, second in pairwise([each for each in filed if not _refused(each)]):
        if not second.tries:
            continue
        begun = second.tries[0]
        done = _done(journal, first)
        names = f"{_name(second)} before {_name(first)}"
        if done is None and not first.tries:
            yield violated(f"{names}, which was not handed in", begun)
        elif done is None and _given_up(first):
            yield violated(f"{names}, which had failed", first.tries[-1], begun)
        elif done is not None and begun.seq < done.seq:
            yield violated(names, begun, done)
        elif done is not None and begun.sent < done.answered and journal.header.recorded_by == "client":
            yield violated(f"{_name(second)} while {_name(first)} was on its way", done, begun)
        elif done is not None:
            yield held(f"{_name(first)} before {_name(second)}", done, begun)


def _name(filed: Filed) -> str:
    return filed.seen.name if filed.seen is not None else ""


def _numbered(filed: Filed) -> list[tuple[int, str]]:
    """A name as a sequence of texts and numbers, so that 9 comes before 10."""
    parts = re.split(r"(\d+)", _name(filed))
    return [(int(each), "") if _NUMBER.fullmatch(each) else (-1, each) for each in parts]


def _refused(filed: Filed) -> bool:
    """Whether every try was refused, and not because the service was busy."""
    return bool(filed.tries) and all(
        each.refused and not each.in_doubt and each.status not in BUSY for each in filed.tries
    )


def _done(journal: Readings, filed: Filed) -> Enqueue | None:
    """The first try that a client may take for the last: accepted, or lost and never made again."""
    for place, each in enumerate(filed.tries):
        if each.ok:
            return each
        if journal.submissions.lost(each) and place + 1 == len(filed.tries):
            return each
    return None


def _given_up(filed: Filed) -> bool:
    last = filed.tries[-1]
    return last.in_doubt or last.status in BUSY
