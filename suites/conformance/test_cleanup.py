"""What a message clean-up removes, and what it leaves."""

from popreceipt.client import wire
from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("cleanup.removes-what-was-asked", "cleanup.spares-the-rest", needs=("produce", "messages"))
def test_by_age(stage: Stage) -> None:
    """Messages as old as asked for are gone from grid and queue; younger ones stay."""
    queue = stage.export()
    queue.produce(1)
    queue.download(queue.obtain())
    stage.advance(days=2)
    queue.produce(2)
    queue.clean_up(older_than_days=2)
    queue.observe_messages()
    list(queue.drain())
    stage.advance(minutes=31)
    list(queue.drain())


@shows("cleanup.removes-what-was-asked", "cleanup.spares-the-rest", needs=("process", "messages"))
def test_by_status(stage: Stage) -> None:
    """Only messages of the statuses asked for are removed."""
    intake = stage.imports()
    done = intake.enqueue(stage.file())
    intake.run(done)
    failed = intake.enqueue(stage.file(1, 1))
    intake.run(failed)
    waiting = intake.enqueue(stage.file())
    intake.observe_messages()
    intake.clean_up(statuses=("Processed",))
    intake.observe_messages()
    for message in (done, failed, waiting):
        intake.status(message)


@shows("cleanup.spares-the-rest", needs=("produce", "messages", "create-activity"))
def test_other_jobs_are_left_alone(stage: Stage) -> None:
    """A clean-up of one job touches no message of another, however old."""
    queue, other = stage.export(), stage.export()
    for each in (other, queue):
        each.produce(2)
        each.observe_messages()
    stage.advance(days=1)
    queue.clean_up()
    other.observe_messages()
    list(other.drain())


@shows("cleanup.removes-what-was-asked", needs=("produce", "messages"))
def test_everything(stage: Stage) -> None:
    """A clean-up of all ages and statuses leaves nothing to dequeue, to download or to ask for."""
    queue = stage.export()
    queue.holds(3)
    delivery = queue.obtain()
    queue.download(delivery)
    message = str(queue.produce()["messageId"])
    queue.clean_up()
    queue.observe_messages()
    stage.advance(minutes=31)
    list(queue.drain())
    stage.send(wire.download(str(delivery.location)))
    queue.status(message)


@shows("cleanup.removes-what-was-asked", "cleanup.spares-the-rest", needs=("process", "messages"))
def test_imports_by_age_and_status(stage: Stage) -> None:
    """Age and status both count: what has only the one stays."""
    intake = stage.imports()
    old = [intake.enqueue(content) for content in (stage.file(), stage.file(1, 1))]
    intake.run(*old)
    stage.advance(days=3)
    young = intake.enqueue(stage.file())
    intake.run(young)
    intake.observe_messages()
    intake.clean_up(older_than_days=2, statuses=("Processed",))
    intake.observe_messages()
    for message in (*old, young):
        intake.status(message)


@shows("cleanup.removes-what-was-asked", "cleanup.spares-the-rest", needs=("produce", "messages"))
def test_exports_by_age_and_status(stage: Stage) -> None:
    """Of exports too: only what was acknowledged long enough ago is removed, what still waits is handed out."""
    queue = stage.export()
    queue.holds(2)
    delivery = queue.obtain()
    queue.download(delivery)
    queue.ack(delivery)
    stage.advance(days=1)
    delivery = queue.take()
    queue.download(delivery)
    queue.ack(delivery)
    queue.observe_messages()
    queue.clean_up(older_than_days=1, statuses=("Acked",))
    queue.observe_messages()
    list(queue.drain())


@shows("cleanup.removes-what-was-asked", "cleanup.spares-the-rest", needs=("process", "messages"))
def test_a_clean_up_again(stage: Stage) -> None:
    """What the first clean-up spared the second removes, once it is old enough; a third finds nothing."""
    intake = stage.imports()
    first = intake.enqueue(stage.file())
    intake.run(first)
    stage.advance(days=1)
    second = intake.enqueue(stage.file())
    intake.run(second)
    for _ in range(3):
        intake.observe_messages()
        intake.clean_up(older_than_days=1)
        intake.observe_messages()
        intake.status(second)
        stage.advance(hours=13)
