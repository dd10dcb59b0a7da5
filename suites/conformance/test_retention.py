"""How long a file stays."""

from datetime import timedelta

from popreceipt.scenario import shows
from popreceipt.stage import SEVEN_DAYS, Stage


@shows("retention.kept-for-seven-days", needs=("produce",))
def test_a_file_stays_for_seven_days(stage: Stage) -> None:
    """Up to the end of the seventh day the message is offered and its file is there."""
    queue = stage.export()
    queue.produce()
    born = stage.now()
    stage.advance(days=3)
    list(queue.drain())
    stage.until_shortly_before(born + SEVEN_DAYS)
    list(queue.drain())


@shows("retention.gone-after-seven-days", needs=("produce",))
def test_a_file_is_gone_after_seven_days(stage: Stage) -> None:
    """After the seventh day the file cannot be downloaded any more, whether it was asked for before or not."""
    queue = stage.export()
    queue.produce(2)
    seen = queue.obtain()
    queue.download(seen)
    born = stage.now()
    queue.produce(3)
    stage.until_shortly_after(born + SEVEN_DAYS)
    queue.download(seen)
    list(queue.drain())


@shows("retention.kept-for-seven-days", "redelivery.same-payload", needs=("produce",))
def test_a_redelivered_file_stays_as_long(stage: Stage) -> None:
    """However often it was fetched meanwhile, the file is there until its seven days are over."""
    queue = stage.export()
    queue.receive()
    for _ in range(4):
        stage.advance(days=1, hours=16)
        list(queue.drain())


@shows("retention.expired-download", "retention.expired-dequeue", needs=("produce",))
def test_what_an_expired_file_answers(stage: Stage) -> None:
    """Asks what download and dequeue answer once the file is gone."""
    queue = stage.export()
    queue.produce()
    born = stage.now()
    stage.until_shortly_before(born + SEVEN_DAYS - timedelta(minutes=10))
    delivery = queue.obtain()
    queue.download(delivery)
    stage.until_shortly_after(born + SEVEN_DAYS)
    queue.download(delivery)
    stage.advance(minutes=31)
    queue.dequeue()


@shows("retention.at-seven-days", needs=("produce",))
def test_at_exactly_seven_days(stage: Stage) -> None:
    """Asks to which side the very instant belongs."""
    queue = stage.export()
    queue.produce()
    born = stage.now()
    stage.advance(days=6, hours=23, minutes=50)
    delivery = queue.obtain()
    queue.download(delivery)
    stage.until(born + SEVEN_DAYS)
    queue.download(delivery)
