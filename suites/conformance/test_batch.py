"""Batch behind a recurring data job: recurrences of every kind, the batch job's status, monitoring, jobs that die."""

from datetime import datetime, timedelta

from popreceipt.scenario import shows
from popreceipt.stage import FINAL, Import, Stage

SELDOM = 1440
"""Minutes of a recurrence that does not come within a scenario: only runs on purpose do anything."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


# The status of batch jobs


@shows("batch.status-vocabulary", "batch.status-after-fetch", "batch.status-before-fetch", needs=("process",))
def test_the_status_of_an_imports_batch_job(stage: Stage) -> None:
    """Fetched before, while and after a file is processed; what was fetched last is the newest."""
    intake = stage.imports(processing_recurrence_minutes=SELDOM)
    intake.run(intake.enqueue(stage.file()))
    intake.observe_messages()
    intake.get_batch_status()
    intake.observe_messages()
    message = intake.enqueue(stage.file(50))
    intake.get_batch_status()
    intake.process()
    stage.advance(seconds=0.5)
    intake.get_batch_status(wait=False)
    intake.settle(message)
    intake.observe_messages()
    intake.get_batch_status()
    intake.observe_messages()


@shows("batch.status-after-fetch", "batch.status-before-fetch", needs=("produce",))
def test_the_status_of_an_exports_batch_job(stage: Stage) -> None:
    """An export run has a batch job as well, whether it uploaded a file or not."""
    queue = stage.export(prevent_upload_when_zero_records=True)
    for records in (2, 0):
        queue.produce(records)
        queue.observe_messages()
        queue.get_batch_status()
        queue.observe_messages()


@shows("batch.status-after-fetch", "batch.status-vocabulary", needs=("process",))
def test_the_status_after_a_failure(stage: Stage) -> None:
    """The batch job of a file that cannot be read has a status too: there an investigation begins."""
    intake = stage.imports(processing_recurrence_minutes=SELDOM)
    intake.run(intake.enqueue(b"\x00\xff not a file \xfe"), intake.enqueue(stage.file(2, 1)))
    intake.get_batch_status()
    intake.observe_messages()


@shows(
    "batch.blank-without-history",
    "batch.history-deletion-changes-nothing-else",
    "batch.status-after-fetch",
    needs=("process", "produce"),
)
def test_a_deleted_history(stage: Stage) -> None:
    """Once its history record is deleted a message has no batch status; runs that follow have one again."""
    intake, queue = stage.imports(processing_recurrence_minutes=SELDOM), stage.export()
    intake.run(intake.enqueue(stage.file()), intake.enqueue(stage.file(1, 1)))
    queue.produce(2)
    for job in (intake, queue):
        job.get_batch_status()
        job.observe_messages()
        job.delete_batch_history()
        job.get_batch_status()
        job.observe_messages()
    intake.run(intake.enqueue(stage.file()))
    intake.get_batch_status()
    intake.observe_messages()


# Recurrences


def taken_after(stage: Stage, intake: Import, **step: float) -> None:
    """Hand in a file, let so much time pass, and ask what became of it."""
    message = intake.enqueue(stage.file())
    stage.advance(**step)
    intake.status(message)
    intake.settle(message, attempts=3)


@shows("processing.waits-for-the-recurrence", "processing.runs-at-the-recurrence")
def test_every_so_many_hours(stage: Stage) -> None:
    """A recurrence by hours or days is one of so many minutes."""
    for every, unit, hours in ((2, "hours", 2), (1, "days", 24)):
        made = stage.now()
        intake = stage.imports(processing_recurrence=stage.recurring(every=every, unit=unit))
        message = intake.enqueue(stage.file())
        for probe in (stage.until_shortly_before, stage.until_shortly_after):
            probe(made + timedelta(hours=hours))
            stage.advance(seconds=0)
            intake.status(message)
        intake.settle(message)


@shows("batch.recurrence-starts", "batch.recurrence-occurs")
def test_a_start_of_its_own(stage: Stage) -> None:
    """Before its start a recurrence does not run, however often it does afterwards."""
    start = stage.now().replace(second=0, microsecond=0) + timedelta(hours=3)
    intake = stage.imports(processing_recurrence=stage.recurring(every=30, unit="minutes", start=written(start)))
    message = intake.enqueue(stage.file())
    stage.advance(minutes=95)
    intake.status(message)
    stage.until_shortly_before(start)
    intake.status(message)
    stage.until_shortly_after(start + timedelta(minutes=31))
    intake.status(message)
    intake.settle(message)


def written(instant: datetime) -> str:
    """An instant as settings take it, in whole seconds."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


@shows("batch.recurrence-ends", "batch.recurrence-occurs")
def test_an_end_by_number(stage: Stage) -> None:
    """After so many occurrences it runs no more."""
    recurrence = stage.recurring(every=10, unit="minutes", end={"count": 2})
    intake = stage.imports(processing_recurrence=recurrence)
    taken_after(stage, intake, minutes=11)
    taken_after(stage, intake, minutes=12)
    taken_after(stage, intake, minutes=40)


@shows("batch.recurrence-ends", "batch.recurrence-occurs")
def test_an_end_by_date(stage: Stage) -> None:
    """After the date of its end it runs no more."""
    end = stage.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=3)
    recurrence = stage.recurring(every=6, unit="hours", end={"date": written(end)})
    intake = stage.imports(processing_recurrence=recurrence)
    taken_after(stage, intake, hours=7)
    stage.advance(days=5)
    taken_after(stage, intake, days=1)


@shows("batch.recurrence-pattern", "batch.recurrence-occurs")
def test_weekdays(stage: Stage) -> None:
    """It runs on the weekdays that it names, and on no other day."""
    stage.until_the_hour(1)
    today = stage.now().weekday()
    days = [WEEKDAYS[(today + later) % 7] for later in (2, 5)]
    intake = stage.imports(processing_recurrence=stage.recurring(every=1, unit="weeks", weekdays=days))
    message = intake.enqueue(stage.file())
    stage.advance(days=1, minutes=1)
    intake.status(message)
    stage.advance(days=2)
    intake.status(message)
    late = intake.enqueue(stage.file())
    stage.advance(days=1)
    intake.status(late)
    stage.advance(days=2)
    intake.status(late)


@shows("batch.recurrence-pattern", "batch.recurrence-occurs")
def test_months(stage: Stage) -> None:
    """A month is as long as the calendar says, not thirty days."""
    stage.until_the_hour(1)
    while stage.now().month not in (1, 3, 5, 7, 8, 10, 12) or stage.now().day > 20:
        stage.advance(days=5)
    intake = stage.imports(processing_recurrence=stage.recurring(every=1, unit="months"))
    stage.advance(days=29)
    message = intake.enqueue(stage.file())
    stage.advance(days=1, hours=1)
    intake.status(message)
    stage.advance(days=1, hours=2)
    intake.status(message)


@shows("batch.overrun", needs=("create-activity",))
def test_a_run_that_outlasts_its_recurrence(stage: Stage) -> None:
    """Asks what becomes of a recurrence that finds files of the run before still in process."""
    intake = stage.imports(in_order=True, processing_recurrence_minutes=2)
    made = stage.now()
    for _ in range(45):
        intake.enqueue(stage.file(1))
    stage.until_shortly_after(made + timedelta(minutes=2))
    intake.enqueue(stage.file(1))
    stage.until_shortly_after(made + timedelta(minutes=4))
    intake.enqueue(stage.file(1))
    stage.until_shortly_after(made + timedelta(minutes=9))
    intake.observe_messages()


@shows("batch.recurs-after-a-failure")
def test_the_next_recurrence_after_a_failure(stage: Stage) -> None:
    """What failed does not keep the next run away."""
    intake = stage.imports(processing_recurrence_minutes=5)
    for content in (b"\x00\xff not a file \xfe", stage.file(1, 1), stage.file()):
        message = intake.enqueue(content)
        stage.advance(minutes=6)
        intake.status(message)
        intake.settle(message, attempts=3)


# Batch jobs that die


def dies_in_process(stage: Stage, intake: Import, phase: str) -> str:
    """Hand in a file whose batch job dies, and watch it for longer than its processing can take."""
    message = intake.enqueue(stage.file())
    with stage.fault("processing", "dies", activity=intake.id, phase=phase):
        intake.process()
        stage.advance(seconds=30)
        intake.status(message)
        stage.advance(minutes=16)
        intake.status(message)
        intake.observe_messages()
    return message


@shows("batch.requeued-by-the-next-run", "batch.retry-counted")
def test_a_batch_job_that_dies(stage: Stage) -> None:
    """What a dead batch job left in process is put back by the next run, and processed (again)."""
    for phase in ("before", "after"):
        intake = stage.imports(processing_recurrence_minutes=SELDOM)
        message = dies_in_process(stage, intake, phase)
        for _ in range(3):
            if intake.run(message)[0] in FINAL:
                break
        intake.observe_messages()


@shows("batch.stays-when-skipped")
def test_a_batch_job_that_dies_and_is_left_alone(stage: Stage) -> None:
    """With the framework's parameter on, further runs leave such a message as it is."""
    intake = stage.imports(processing_recurrence_minutes=SELDOM)
    with stage.parameters(skip_reprocessing=True):
        message = dies_in_process(stage, intake, "before")
        for _ in range(2):
            intake.process()
            stage.advance(minutes=3)
            intake.status(message)


# Monitoring


@shows(
    "batch.samples-at-the-monitoring-recurrence", "batch.samples-count-the-queue", "batch.monitoring-changes-nothing"
)
def test_the_load_of_an_imports_queue(stage: Stage) -> None:
    """Sampled while files wait, while nothing does, and not at all where nobody asked for it."""
    intake = stage.imports(monitoring_recurrence_minutes=10, processing_recurrence_minutes=60)
    other = stage.imports(processing_recurrence_minutes=60)
    stage.advance(minutes=12)
    messages = [intake.enqueue(stage.file()) for _ in range(2)]
    other.enqueue(stage.file())
    stage.advance(minutes=10)
    messages.append(intake.enqueue(stage.file()))
    stage.advance(minutes=20)
    for message in messages:
        intake.status(message)
    intake.observe_load()
    stage.advance(minutes=20)
    intake.settle(*messages)
    stage.advance(minutes=15)
    for job in (intake, other):
        job.observe_load()


@shows(
    "batch.samples-at-the-monitoring-recurrence",
    "batch.samples-count-the-queue",
    "batch.monitoring-changes-nothing",
    needs=("produce", "messages"),
)
def test_the_load_of_an_exports_queue(stage: Stage) -> None:
    """What waits for a client is counted, and goes on waiting; what a client has taken does not wait."""
    queue = stage.export(monitoring_recurrence_minutes=10)
    stage.advance(minutes=2)
    for _ in range(2):
        queue.produce(2)
        stage.advance(minutes=14)
        queue.observe_messages()
    stage.advance(minutes=2)
    queue.dequeue()
    stage.advance(minutes=12)
    queue.observe_load()
    list(queue.drain())
