"""Planted defects: each is convicted with the right kind, and where the rules convict so does the checker."""

from collections.abc import Callable

import pytest

from popreceipt.histories.checker import judge as judge_history
from popreceipt.histories.history import Anomaly
from popreceipt.histories.projection import history_of
from popreceipt.journal import Journal
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Outcome, judge

Tell = Callable[..., Journal]

SEEDS = 5

EARLY = {Anomaly.EARLY}
MISSED = {Anomaly.LOST, Anomaly.LATE}

DEFECTS: dict[str, set[Anomaly]] = {
    "lease-of-29-minutes": EARLY,
    "lease-counted-from-the-first-delivery": EARLY,
    "lease-for-one-consumer-only": EARLY,
    "lease-ends-after-the-download": EARLY,
    "refused-acknowledgment-shows-the-message": EARLY,
    "lease-of-31-minutes": {Anomaly.LATE},
    "never-redelivered": {Anomaly.LOST},
    "redelivered-twice-at-most": {Anomaly.LOST},
    "download-counts-as-acknowledgment": {Anomaly.LOST},
    "acknowledgment-takes-all-along": {Anomaly.LOST},
    "every-tenth-message-lost": {Anomaly.LOST},
    "one-consumer-at-a-time": {Anomaly.LATE},
    "empty-answer-lasts-an-hour": {Anomaly.LATE},
    "acknowledgment-without-effect": {Anomaly.BACK},
    "acknowledgment-of-a-redelivery-without-effect": {Anomaly.BACK},
    "stale-receipt-acknowledges": {Anomaly.STALE},
    "refused-stale-receipt-acknowledges": {Anomaly.STALE},
    "order-ignored": {Anomaly.ORDER},
    "order-overlaps": {Anomaly.ORDER},
    "final-status-goes-back": {Anomaly.BACKWARDS},
}
"""The kind that has to be among what is found."""

MATCHING: dict[str, set[Anomaly]] = {
    "redelivery.not-before-half-an-hour": {Anomaly.EARLY, Anomaly.TWICE},
    "redelivery.after-half-an-hour": MISSED,
    "dequeue.waiting-message-is-offered": MISSED,
    "acknowledgment.ends-redelivery": {Anomaly.BACK},
    "acknowledgment.refused-changes-nothing": MISSED,
    "acknowledgment.stale-receipt-changes-nothing": {Anomaly.STALE} | MISSED,
    # A status that goes back shows a file in process while another has begun.
    "ordering.in-order-one-after-another": {Anomaly.ORDER, Anomaly.BACKWARDS},
    "status.final-stays-final": {Anomaly.BACKWARDS},
}
"""What the checker may call what a rule convicts."""

COMPARED = [each for each in catalogue() if each.id in MATCHING]


def kinds_of(journal: Journal) -> set[Anomaly]:
    return judge_history(history_of(journal.header, journal.entries)).kinds


def violated(journal: Journal) -> set[str]:
    readings = Readings(journal.header, journal.entries)
    return {each.id for each in judge(readings, COMPARED) if each.outcome is Outcome.VIOLATED}


@pytest.mark.parametrize("mutant", DEFECTS)
def test_a_defect_has_its_name(told: Tell, mutant: str) -> None:
    """In some of five stories, and whatever rules convict in any of them the checker names as well."""
    found: set[Anomaly] = set()
    for seed in range(SEEDS):
        journal = told(f"emulator:{mutant}", seed)
        kinds = kinds_of(journal)
        found |= kinds
        for rule in violated(journal):
            assert kinds & MATCHING[rule], f"{rule} convicts in story {seed}, the checker finds {kinds}"
    assert found >= DEFECTS[mutant]


@pytest.mark.parametrize(
    "dialect",
    [
        "",
        "dialect=redelivery.correlation=fresh",
        "dialect=redelivery.at-half-hour=hidden",
        "dialect=redelivery.order=original-place",
        "dialect=redelivery.poison-limit=10",
        "dialect=download.extends-lease=yes",
        "dialect=download.answer=redirect",
        "dialect=acknowledgment.late=500",
        "dialect=acknowledgment.stale-receipt=200",
        "dialect=acknowledgment.second=200",
        "dialect=dequeue.empty-queue=200-empty",
        "dialect=ordering.failed-message=blocks",
    ],
)
def test_what_is_open_is_no_defect(told: Tell, dialect: str) -> None:
    """However the documentation's gaps are filled, there is a reading that keeps every promise."""
    for seed in range(3):
        judgement = judge_history(history := history_of((one := told(f"emulator:{dialect}", seed)).header, one.entries))
        assert judgement.found == []
        assert judgement.messages > 5
        assert any(queue.closed and queue.taken and queue.empty for queue in history.queues)
