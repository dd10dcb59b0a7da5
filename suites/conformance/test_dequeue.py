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
