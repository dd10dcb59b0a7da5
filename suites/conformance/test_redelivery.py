"""What becomes of a message that nobody acknowledged."""

from popreceipt.scenario import shows
from popreceipt.stage import HALF_HOUR, Stage


@shows("redelivery.not-before-half-an-hour", "redelivery.after-half-an-hour", "redelivery.same-payload")
def test_hides_for_half_an_hour_and_comes_back(stage: Stage) -> None:
    """A message that nobody acknowledged is not offered inside its half hour, and is offered after it."""
    queue = stage.export()
    queue.receive()
    taken = stage.now()
    stage.until_shortly_before(taken + HALF_HOUR)
    list(queue.drain())
    stage.until_shortly_after(taken + HALF_HOUR)
    list(queue.drain())
    stage.advance(minutes=31)
    list(queue.drain())


@shows("redelivery.not-before-half-an-hour", "redelivery.after-half-an-hour")
def test_the_half_hour_starts_anew_at_each_delivery(stage: Stage) -> None:
    """Also after the second and the third delivery a message hides for half an hour."""
    queue = stage.export()
    queue.receive()
    for _ in range(3):
        taken = stage.now()
        stage.until_shortly_before(taken + HALF_HOUR)
        list(queue.drain())
        stage.until_shortly_after(taken + HALF_HOUR)
        list(queue.drain())


@shows("redelivery.not-before-half-an-hour")
def test_two_consumers_never_hold_the_same_message(stage: Stage) -> None:
    """While one consumer holds a message another one gets a different one, or none."""
    queue = stage.export()
    queue.holds(3)
    for consumer in ("authorised/one", "authorised/two", "authorised/one", "authorised/two"):
        found = queue.dequeue(consumer)
        if found is not None and found.has_file:
            queue.download(found, consumer)
    stage.advance(minutes=31)
    list(queue.drain())


@shows("redelivery.first-delivery-has-no-last-dequeue", "redelivery.says-when-last-dequeued", needs=("produce",))
def test_says_when_it_was_last_dequeued(stage: Stage) -> None:
    """The first delivery has no last dequeue; each later one names the one before it."""
    queue = stage.export()
    queue.receive()
    for minutes in (31, 45, 90):
        stage.advance(minutes=minutes)
        list(queue.drain())


@shows("redelivery.says-when-last-dequeued", needs=("produce",))
def test_an_empty_dequeue_is_not_a_delivery(stage: Stage) -> None:
    """Dequeues that found the message hidden do not count as its last dequeue."""
    queue = stage.export()
    queue.receive()
    stage.advance(minutes=20)
    queue.dequeue()
    stage.advance(minutes=11)
    list(queue.drain())


@shows("redelivery.after-half-an-hour", "redelivery.not-before-half-an-hour")
def test_a_backlog_comes_back_whole(stage: Stage) -> None:
    """Of many messages leased at once each comes back, none is lost and none twice."""
    queue = stage.export()
    queue.holds(12)
    list(queue.drain())
    stage.advance(minutes=31)
    list(queue.drain())


@shows("redelivery.after-half-an-hour", needs=("produce",))
def test_acknowledging_one_leaves_the_others(stage: Stage) -> None:
    """An acknowledgment ends the redelivery of its own message only."""
    queue = stage.export()
    queue.holds(3)
    first, *_ = list(queue.drain())
    queue.ack(first)
    stage.advance(minutes=31)
    list(queue.drain())


@shows("redelivery.at-half-hour", needs=("produce",))
def test_at_exactly_the_half_hour(stage: Stage) -> None:
    """Asks to which side the very instant belongs."""
    queue = stage.export()
    queue.receive()
    stage.until(stage.now() + HALF_HOUR)
    if not list(queue.drain()):
        stage.advance(minutes=1)
        list(queue.drain())


@shows("redelivery.correlation", needs=("produce",))
def test_correlation_over_redeliveries(stage: Stage) -> None:
    """Asks whether a message keeps its CorrelationId."""
    queue = stage.export()
    queue.receive()
    stage.advance(minutes=31)
    list(queue.drain())


@shows("redelivery.order", needs=("produce",))
def test_order_after_redelivery(stage: Stage) -> None:
    """Asks whether a message that comes back stands behind one that came meanwhile."""
    queue = stage.export()
    queue.holds(1)
    list(queue.drain())
    stage.advance(minutes=10)
    queue.holds(1)
    stage.advance(minutes=21)
    list(queue.drain())


@shows("redelivery.poison-limit", needs=("produce",))
def test_redelivered_time_after_time(stage: Stage) -> None:
    """Asks whether a service ever gives up on a message."""
    queue = stage.export()
    queue.receive()
    for _ in range(12):
        stage.advance(minutes=31)
        list(queue.drain())


@shows("redelivery.after-half-an-hour", "redelivery.not-before-half-an-hour", needs=("produce", "faults"))
def test_a_dequeue_whose_answer_is_lost(stage: Stage) -> None:
    """A message that was handed out, and reached nobody, hides for its half hour and comes back."""
    queue = stage.export()
    queue.receive()
    stage.advance(minutes=31)
    for phase in ("after", "before"):
        with stage.fault("dequeue", "reset", activity=queue.id, phase=phase):
            queue.dequeue()
        list(queue.drain())
        stage.advance(minutes=31)
        list(queue.drain())
        stage.advance(minutes=31)
