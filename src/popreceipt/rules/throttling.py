"""Whether the connector is ever too busy. Counts answers; how fast a service ought to be is not its business."""

from collections.abc import Iterator
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.facts import Call
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import ASK, CLIENT_OBSERVED, microsoft, rule
from popreceipt.verdict import Finding, answered

CONNECTOR: Final = frozenset(
    {vocabulary.ENQUEUE, vocabulary.DEQUEUE, vocabulary.DOWNLOAD, vocabulary.ACK, vocabulary.JOBSTATUS}
)

ENOUGH: Final = 10
"""So many answered calls on one job, none of them throttled, say that the connector is not."""


@rule(
    "throttling.connector",
    text="The connector is never throttled, or answers 429 when it is called too often.",
    source=microsoft("Service protection API limits"),
    reading="The article counts recurring integrations among the exempt; the author of "
    "microsoft/Recurring-Integrations-Scheduler has seen 429 from its jobs.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("never", "429"),
)
def connector(journal: Readings) -> Iterator[Finding]:
    """Each 429 of the connector; without any, that there were calls enough on one job."""
    throttled = False
    counts: dict[str | None, int] = {}
    first: dict[str | None, Call] = {}
    enough: tuple[Call, Call] | None = None
    for call in journal.calls:
        if call.operation not in CONNECTOR or call.status is None:
            continue
        if call.status == 429:
            throttled = True
            yield answered("429", call)
        elif enough is None:
            count = counts[call.activity] = counts.get(call.activity, 0) + 1
            earliest = first.setdefault(call.activity, call)
            if count >= ENOUGH:
                enough = (earliest, call)
    if enough is not None and not throttled:
        yield answered("never", *enough, message=f"{ENOUGH} calls on one job, none throttled")
