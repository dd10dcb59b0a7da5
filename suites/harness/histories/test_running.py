"""What a run of histories hands on: failures that others can tell of, and play again."""

from collections import Counter
from collections.abc import Callable

from popreceipt.histories.driver import Played
from popreceipt.histories.running import HistoriesResult, _judge
from popreceipt.journal import Journal


def test_witnesses_are_not_looked_for_in_the_journal_of_the_run(told: Callable[..., Journal]) -> None:
    """A play has a journal of its own: its numbers would name whatever else the run exchanged under them."""
    played = Played(told("emulator:lease-of-29-minutes", 1))
    result = HistoriesResult()
    _judge(played, 1, "http://127.0.0.1:9", result, Counter())
    assert {each.oracle.name for each in result.failures} >= {"histories.early", "redelivery.not-before-half-an-hour"}
    for each in result.failures:
        assert (each.exchanges, each.base_url) == ((), "http://127.0.0.1:9")
        assert each.message
