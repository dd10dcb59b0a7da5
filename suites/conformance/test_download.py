"""What a download brings."""

from popreceipt.client.wire import Spelling
from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("download.bytes-as-uploaded", needs=("produce",))
def test_brings_the_bytes_that_were_uploaded(stage: Stage) -> None:
    """The payload arrives byte for byte, for packages large and small and for single files."""
    for kind in ("package", "file"):
        queue = stage.export(kind)
        for records in (1, 40, 900):
            queue.produce(records)
            queue.download(queue.obtain())


@shows("download.location-is-absolute", "download.location-scheme", "download.content-type", "download.answer")
def test_the_location_leads_somewhere(stage: Stage) -> None:
    """The location is a URL of its own, and asking there answers."""
    stage.export().receive()


@shows("download.location-activity")
def test_the_activity_in_the_location(stage: Stage) -> None:
    """Asks how the location spells the activity, called bare and braced."""
    queue = stage.export()
    queue.holds(2)
    for spelling in (Spelling(), Spelling(activity="braced")):
        queue.download(queue.obtain(spelling))


@shows("download.repeatable")
def test_can_be_repeated_before_the_acknowledgment(stage: Stage) -> None:
    """Downloading again within the half hour brings the same bytes."""
    queue = stage.export()
    delivery = queue.receive()
    stage.advance(minutes=5)
    queue.download(delivery)


@shows("download.needs-a-token")
def test_needs_a_token(stage: Stage) -> None:
    """The location alone does not suffice."""
    queue = stage.export()
    delivery = queue.take()
    queue.download(delivery, "anonymous")
    queue.download(delivery)


@shows("download.file-payload", needs=("produce",))
def test_the_payload_of_a_file_job(stage: Stage) -> None:
    """Asks whether a job of type File exports a package or the bare file."""
    stage.export("file").receive()


@shows("download.extends-lease", needs=("produce",))
def test_a_download_and_the_half_hour(stage: Stage) -> None:
    """Asks whether a download makes the message hide longer."""
    queue = stage.export()
    delivery = queue.take()
    stage.advance(minutes=20)
    queue.download(delivery)
    stage.advance(minutes=11)
    list(queue.drain())
    stage.advance(minutes=31)
    list(queue.drain())


@shows("download.after-lease", needs=("produce",))
def test_after_the_half_hour(stage: Stage) -> None:
    """Asks whether a download still works once the message is no longer hidden."""
    queue = stage.export()
    delivery = queue.receive()
    stage.advance(minutes=65)
    queue.download(delivery)


@shows("download.after-acknowledgment", needs=("produce",))
def test_after_the_acknowledgment(stage: Stage) -> None:
    """Asks whether a download still works once the message is acknowledged."""
    queue = stage.export()
    delivery = queue.receive()
    queue.ack(delivery)
    queue.download(delivery)
