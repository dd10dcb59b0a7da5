"""What a dequeue hands out."""

from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("dequeue.waiting-message-is-offered", needs=("produce",))
def test_a_waiting_message_is_offered(stage: Stage) -> None:
    """What was exported is handed out by the next dequeue."""
    queue = stage.export()
    queue.receive()
    queue.dequeue()


@shows("dequeue.waiting-message-is-offered", needs=("produce",))
def test_a_backlog_is_offered_whole(stage: Stage) -> None:
    """Each of many waiting messages is handed out before the queue says that it is empty."""
    queue = stage.export()
    queue.holds(25, records=1)
    list(queue.drain())


@shows("dequeue.waiting-message-is-offered", needs=("produce",))
def test_a_long_backlog_is_offered_whole(stage: Stage) -> None:
    """More messages wait than anybody would take for a round number."""
    queue = stage.export()
    queue.holds(120, records=1)
    list(queue.drain(limit=200))


@shows("dequeue.waiting-message-is-offered", needs=("produce",))
def test_what_comes_after_an_empty_answer_is_offered(stage: Stage) -> None:
    """A queue that was found empty is asked again at once, with success."""
    queue = stage.export()
    for _ in range(2):
        list(queue.drain())
        queue.holds()
    list(queue.drain())


@shows("dequeue.waiting-message-is-offered", needs=("produce",))
def test_each_consumer_is_offered_what_waits(stage: Stage) -> None:
    """That one consumer holds a message keeps nothing from another."""
    queue = stage.export()
    queue.holds(4)
    for consumer in ("authorised/one", "authorised/two", "authorised/three", "authorised/one"):
        found = queue.dequeue(consumer)
        if found is not None and found.has_file:
            queue.download(found, consumer)
        stage.advance(seconds=2)


@shows("dequeue.waiting-message-is-offered", needs=("produce",))
def test_messages_that_come_later_are_offered_too(stage: Stage) -> None:
    """Producing and consuming in turns loses nothing."""
    queue = stage.export()
    for _ in range(6):
        queue.holds(2)
        found = queue.dequeue()
        if found is not None:
            queue.download(found)
            queue.ack(found)
    list(queue.drain())


@shows("dequeue.own-activity-only", needs=("produce", "create-activity"))
def test_an_activity_hands_out_its_own_messages_only(stage: Stage) -> None:
    """What one job exported is never handed out for another."""
    first, second = stage.export(), stage.export()
    first.holds(2)
    second.holds(1)
    for queue in (second, first):
        list(queue.drain())


@shows("dequeue.answer-members", "dequeue.file-error-message", "dequeue.blank-last-dequeue")
def test_the_answer_has_what_clients_rely_on(stage: Stage) -> None:
    """The answer names the message, its receipt and its location."""
    stage.export().receive()


@shows("dequeue.last-dequeue-format")
def test_how_an_instant_is_written(stage: Stage) -> None:
    """Asks for the form of LastDequeueDateTime."""
    queue = stage.export()
    queue.receive()
    stage.advance(minutes=31, seconds=7)
    list(queue.drain())


@shows("dequeue.empty-queue")
def test_an_empty_queue(stage: Stage) -> None:
    """Asks what a dequeue answers when nothing waits."""
    list(stage.export().drain())


@shows("dequeue.waiting-message-is-offered", needs=("produce", "faults"))
def test_a_first_delivery_whose_answer_is_lost(stage: Stage) -> None:
    """A message that nobody has seen yet is offered again, at once or when its lease is over."""
    for phase in ("before", "after"):
        queue = stage.export()
        queue.holds()
        with stage.fault("dequeue", "reset", activity=queue.id, phase=phase):
            queue.dequeue()
        list(queue.drain())
        stage.advance(minutes=31)
        list(queue.drain())
