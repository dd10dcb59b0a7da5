"""The emulator's leases and receipts beside those of another queue: every difference is a documented decision."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from popreceipt.emulator.profile import POINTS
from popreceipt.targets import open_target

from ..conftest import NpmProgram
from . import azurite
from .decisions import AGREEMENTS, DIFFERENCES, Comparison, compare, page, path
from .stories import TOLD, Get, Put, stories
from .timeline import Delivery, Seen, Timeline

SEED = 1
MADE_UP = 48
AT_ONCE = 16
"""Stories that wait for Azurite's clock side by side."""

WHOLE = 0.9
"""So large a share of the stories must be known to the end: on a slow computer a step may meet a time-out's end."""


@pytest.fixture(scope="module")
def played(npm_program: NpmProgram) -> Mapping[str, Timeline]:
    """All stories, as Azurite answered them: each on a queue of its own."""
    told = dict(TOLD) | {f"made up, number {number}": story for number, story in enumerate(stories(MADE_UP, SEED))}
    with azurite.running(npm_program("azurite", azurite.VERSION, "azurite-queue")) as address:
        queues = [f"queue-{number}" for number in range(len(told))]
        with ThreadPoolExecutor(AT_ONCE) as side_by_side:
            answered = side_by_side.map(azurite.play, [address] * len(told), queues, told.values())
            return dict(zip(told, answered, strict=True))


@pytest.fixture(scope="module")
def comparison(played: Mapping[str, Timeline]) -> Comparison:
    """What came of playing the same on the emulator."""
    with open_target("emulator:") as target:
        return compare(played, target)


def test_the_two_differ_only_where_that_is_decided(comparison: Comparison) -> None:
    """Whatever is seen stands in one of the two tables."""
    assert not comparison.surprises, "\n".join(comparison.surprises)


def test_everything_in_the_tables_is_seen(comparison: Comparison, played: Mapping[str, Timeline]) -> None:
    """No row is left over from what once was, and hardly a story had to be given up."""
    agreed = {(situation, each, each) for situation, both in AGREEMENTS.items() for each in both}
    decided = {(each.situation, each.theirs, each.ours) for each in DIFFERENCES}
    assert agreed | decided == set(comparison.outcomes)
    assert comparison.whole >= WHOLE * len(played)


@pytest.mark.parametrize("dialect", sorted({each.dialect for each in DIFFERENCES}))
def test_a_difference_goes_away_in_its_dialect(
    dialect: str, played: Mapping[str, Timeline], comparison: Comparison
) -> None:
    """Each hangs on the open point that it names and on no other."""
    point, _, answer = dialect.partition("=")
    assert answer in POINTS[point].values
    with open_target(f"emulator:dialect={dialect}") as target:
        compared = compare(played, target)
    explained = {(each.situation, each.theirs, each.ours) for each in DIFFERENCES if each.dialect == dialect}
    assert explained
    # A row that is gone is a surprise to the table, so the stories stop there: only what is seen until then counts.
    assert not compared.differing & explained
    assert {(situation, theirs, theirs) for situation, theirs, _ in explained} & set(compared.outcomes)
    assert compared.differing <= comparison.differing


@pytest.mark.parametrize(
    "mutant",
    [
        "acknowledgment-bound-to-the-token",
        "acknowledgment-refused-after-a-redelivery",
        "acknowledgment-takes-all-along",
        "acknowledgment-takes-the-next-along",
        "acknowledgment-without-effect",
        "any-job-acknowledges",
        "download-counts-as-acknowledgment",
        "first-delivery-names-a-last-dequeue",
        "last-dequeue-always-blank",
        "lease-ends-after-the-download",
        "lease-for-one-consumer-only",
        "never-redelivered",
        "only-the-latest-can-be-acknowledged",
        "redelivered-twice-at-most",
        "refused-acknowledgment-shows-the-message",
        "refused-stale-receipt-acknowledges",
        "stale-receipt-acknowledges",
    ],
)
def test_a_wrong_queue_is_a_surprise(mutant: str, played: Mapping[str, Timeline]) -> None:
    """The comparison can fail: what is wrong with leases or receipts stands in no table."""
    with open_target(f"emulator:{mutant}") as target:
        assert compare(played, target).surprises


def test_the_page_says_what_the_tables_say() -> None:
    """The tables that are compared with what is seen are those that a reader sees."""
    assert path().read_text(encoding="utf-8") == page()


def test_stories_come_from_their_seed() -> None:
    """The same seed tells the same stories, another one others."""
    assert stories(5, seed=3) == stories(5, seed=3) != stories(5, seed=4)


def test_what_met_the_end_of_a_time_out_is_not_compared() -> None:
    """A get that may have come before the end or after it could have seen either: the story is known until there."""
    timeline = Timeline(visibility=1)
    timeline.add(Put(), "a put", 0.0, 0.01, Seen("2xx"))
    timeline.add(Get(), "a get", 0.02, 0.03, Seen("2xx", 1))
    timeline.handed_out(Delivery(1, "id", "receipt", 0.02, 0.03))
    timeline.add(Get(), "a get", 0.9, 0.95, Seen("nothing"))
    timeline.add(Get(), "a get", 0.99, 1.04, Seen("nothing"))
    timeline.add(Get(), "a get", 1.1, 1.2, Seen("2xx", 1, again=True))
    assert [each.began for each in timeline.known()] == [0.0, 0.02, 0.9]
