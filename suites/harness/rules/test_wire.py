"""What the wire alone shows, as on a real environment: no right service is convicted, wrong ones still are."""

from datetime import UTC, datetime, timedelta

import pytest

from popreceipt.generate.soundness import violations
from popreceipt.generate.wire_soundness import play, wire_violations
from popreceipt.journal import Observation
from popreceipt.rules import catalogue
from popreceipt.rules.chains import Chains, Queue
from popreceipt.rules.facts import Dequeue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Level, Outcome, RuleVerdict, judge

STORIES = range(60)

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=30)
SLACK = timedelta(seconds=60)

CONVICTED = {
    "lease-ends-after-the-download": "redelivery.not-before-half-an-hour",
    "never-redelivered": "redelivery.after-half-an-hour",
    "download-counts-as-acknowledgment": "redelivery.after-half-an-hour",
    "first-delivery-names-a-last-dequeue": "redelivery.first-delivery-has-no-last-dequeue",
    "last-dequeue-is-this-one": "redelivery.says-when-last-dequeued",
    "last-dequeue-in-local-time": "redelivery.says-when-last-dequeued",
    "payload-altered-at-redelivery": "redelivery.same-payload",
    "file-gone-after-the-first-delivery": "retention.kept-for-seven-days",
    "kept-for-eight-days": "retention.gone-after-seven-days",
    "acknowledgment-without-effect": "acknowledgment.ends-redelivery",
    "acknowledgment-forgotten-after-a-day": "acknowledgment.ends-redelivery",
    "refused-acknowledgment-shows-the-message": "redelivery.not-before-half-an-hour",
    "messages-cross-jobs": "dequeue.own-activity-only",
    "last-byte-cut": "packages.export-is-a-package",
    "processed-at-once": "processing.waits-for-the-recurrence",
}
"""Wrong emulators, each with the rule that tells so within the first few stories, from the wire alone."""


@pytest.mark.parametrize("seed", STORIES)
def test_a_right_service_is_not_convicted_by_the_wire(seed: int) -> None:
    """Whatever the dialect, whoever else uses the job, and wherever the journal begins or breaks off."""
    assert wire_violations(seed) == []


def test_a_message_that_was_acknowledged_just_before_a_clean_up_is_not_asked_for() -> None:
    """The story of this seed looks, acknowledges and cleans up at one instant: what was seen is not so any more."""
    assert violations(71293) == []


@pytest.mark.parametrize(("mutant", "rule"), CONVICTED.items())
def test_a_wrong_service_is_convicted_by_the_wire(mutant: str, rule: str) -> None:
    """Nobody tells of an export run, and yet the promise is seen to be broken."""
    for seed in range(25):
        header, entries = play(f"emulator:{mutant}", seed, shared=False, whole=True)
        assert not [each for each in entries if isinstance(each, Observation) and each.observation == "produced"]
        verdicts = {each.id: each for each in judge(Readings(header, entries), catalogue())}
        if verdicts[rule].outcome is Outcome.VIOLATED:
            return
    pytest.fail(f"{mutant} survived")


@pytest.mark.parametrize("mutant", ["never-redelivered", "download-counts-as-acknowledgment"])
def test_on_a_shared_job_nobody_is_convicted_for_what_is_missing(mutant: str) -> None:
    """What is not there others may have taken, or cleaned up: even where it was the service."""
    told: list[RuleVerdict] = []
    for seed in range(16):
        header, entries = play(f"emulator:{mutant}", seed, shared=True, whole=True)
        told += judge(Readings(header, entries), [each for each in catalogue() if each.level is Level.MUST])
    by_absence = ("redelivery.after-half-an-hour", "retention.kept-for-seven-days")
    found = {each.outcome for each in told if each.id in by_absence}
    assert Outcome.UNDECIDED in found
    assert Outcome.VIOLATED not in found


def delivered(
    number: int, minutes: float, correlation: str, last: float | None = None, blank: str | None = None
) -> Dequeue:
    """A delivery, so many minutes after the start, that tells when it was last dequeued."""
    sent = START + timedelta(minutes=minutes)
    call = Dequeue(number, sent, sent, "dequeue", "job", "GET", "/", "", 200, None, None, None, kind="message")
    call.correlation = correlation
    call.last_dequeue = START + timedelta(minutes=last) if last is not None else None
    call.blank = blank if last is None else None
    return call


def placed(*deliveries: Dequeue, digests: dict[int, str], alone: bool = True) -> dict[int, tuple[int, bool]]:
    """The first delivery of each one's message, and whether that is sure."""
    began = START - LEASE if alone else None
    chains = Chains([Queue(deliveries, began, SLACK)], lambda each: digests.get(each.seq), lambda _: False, LEASE)
    return {number: (each.first, each.sure) for number, each in chains.places.items()}


def test_a_delivery_follows_the_one_that_it_names() -> None:
    """With a fresh name each time it is the instant that tells, where the file agrees."""
    found = placed(
        delivered(1, 0, "a", blank="null"),
        delivered(2, 10, "b", blank="null"),
        delivered(3, 31, "c", last=0),
        delivered(4, 41, "d", last=10),
        digests={1: "one", 2: "two", 3: "one", 4: "two"},
    )
    assert found == {1: (1, True), 2: (2, True), 3: (1, True), 4: (2, True)}


def test_of_two_at_one_instant_nobody_knows_which_is_meant() -> None:
    """Files that are equal, names that are fresh, instants that are one: then it may be either."""
    same = {1: "one", 2: "one", 3: "one", 4: "one"}
    early = delivered(1, 0, "a", blank="null"), delivered(2, 0.2, "b", blank="null")
    late = delivered(3, 31, "c", last=0), delivered(4, 31.2, "d", last=0.2)
    assert placed(*early, *late, digests=same) == {1: (1, True), 2: (2, True), 3: (3, False), 4: (4, False)}


def test_a_name_that_two_messages_share_tells_nothing() -> None:
    """A first delivery under a name that was there before shows that it is no message's own."""
    found = placed(
        delivered(1, 0, "a", blank="null"),
        delivered(2, 0.2, "a", blank="null"),
        delivered(3, 31, "a", last=0),
        digests={1: "one", 2: "one", 3: "one"},
    )
    assert found[3] == (3, False)


def test_what_others_took_is_followed_only_by_name_and_to_the_second() -> None:
    """On a shared job the delivery that is meant may be a stranger's."""
    deliveries = delivered(1, 0, "a", blank="null"), delivered(2, 31, "b", last=0)
    assert placed(*deliveries, digests={1: "one", 2: "one"}, alone=False)[2] == (2, False)
    assert placed(*deliveries, digests={1: "one", 2: "one"}, alone=True)[2] == (1, True)


def test_a_story_is_its_seed_s() -> None:
    """What was found once can be found again."""
    first, second = (play("emulator:", 5, shared=True)[1] for _ in range(2))
    assert first == second
