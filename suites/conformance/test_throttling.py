"""Whether the connector is throttled."""

from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("throttling.connector")
def test_many_calls_in_a_row(stage: Stage) -> None:
    """Asks whether many calls at once are answered with 429."""
    queue = stage.export()
    for _ in range(12):
        queue.dequeue()
