"""When imports are processed, and what is there afterwards."""

from datetime import timedelta

from popreceipt.client import wire
from popreceipt.client.packages import delimited
from popreceipt.scenario import shows
from popreceipt.stage import Import, Stage


def tick_after(intake: Import, ticks: int = 1) -> timedelta:
    """How long it is from the job's creation to its tick of this number."""
    return timedelta(minutes=float(intake.settings["processing_recurrence_minutes"]) * ticks)


@shows("processing.waits-for-the-recurrence", "processing.runs-at-the-recurrence", "status.enqueued-until-taken")
def test_processed_at_the_recurrence_and_not_before(stage: Stage) -> None:
    """Just before the tick nothing has happened; just after it the run has begun."""
    intake = stage.imports(processing_recurrence_minutes=5)
    made = stage.now()
    message = intake.enqueue(stage.file())
    stage.until_shortly_before(made + tick_after(intake))
    intake.status(message)
    stage.until_shortly_after(made + tick_after(intake))
    intake.status(message)
    intake.settle(message)


@shows("processing.waits-for-the-recurrence", "processing.runs-at-the-recurrence")
def test_each_tick_takes_what_waits_then(stage: Stage) -> None:
    """Files that come between two ticks are taken at the next one."""
    intake = stage.imports(processing_recurrence_minutes=15)
    made = stage.now()
    for tick in (1, 2, 3):
        stage.advance(minutes=4)
        message = intake.enqueue(stage.file())
        stage.until_shortly_before(made + tick_after(intake, tick))
        intake.status(message)
        stage.until_shortly_after(made + tick_after(intake, tick))
        stage.advance(minutes=1)
        intake.status(message)


@shows("processing.at-the-tick", needs=("create-activity",))
def test_a_file_that_comes_exactly_on_the_tick(stage: Stage) -> None:
    """What arrives at the very instant of the tick waits for the next one."""
    intake = stage.imports(processing_recurrence_minutes=5)
    made = stage.now()
    stage.until(made + tick_after(intake))
    message = intake.enqueue(stage.file())
    stage.advance(minutes=4)
    intake.status(message)
    stage.advance(minutes=2)
    intake.status(message)


@shows("processing.good-records-land", needs=("process",))
def test_good_records_land(stage: Stage) -> None:
    """Every record of a faultless file and of a package is in the target table afterwards."""
    for kind, content, entity in (
        ("file", stage.file(6), "Customer groups"),
        ("package", stage.package(4), None),
    ):
        intake = stage.imports(kind)
        intake.run(intake.enqueue(content, entity=entity))
        intake.observe_records()


@shows("processing.good-records-land", "processing.bad-records-stay-out", needs=("process",))
def test_bad_records_stay_out_and_good_ones_land(stage: Stage) -> None:
    """One bad record does not keep the others out, and stays out itself."""
    intake = stage.imports()
    records = stage.records(good=4)
    records[1:1] = stage.records(good=0, bad=2)
    records.append(stage.record(DESCRIPTION="x" * 61))
    intake.run(intake.enqueue(delimited(records)))
    intake.observe_records()


@shows("processing.good-records-land", needs=("process",))
def test_the_content_arrives_as_it_was_written(stage: Stage) -> None:
    """Commas, quotes, line breaks, letters of other alphabets and the longest values survive."""
    intake = stage.imports()
    records = [
        stage.record(DESCRIPTION='Wholesale, "north"'),
        stage.record(DESCRIPTION="Détaillants, Ελλάδα, 日本"),
        stage.record(DESCRIPTION="two\nlines"),
        stage.record(DESCRIPTION="x" * 60, PAYMENTTERMID=""),
    ]
    intake.run(intake.enqueue(delimited(records)))
    intake.observe_records()


@shows("processing.good-records-land", needs=("process",))
def test_a_later_file_adds_to_an_earlier_one(stage: Stage) -> None:
    """New keys are added, and a key that comes again is brought up to date."""
    intake = stage.imports()
    first = stage.records(3)
    second = [*stage.records(2), first[0] | {"DESCRIPTION": "changed"}]
    for records in (first, second):
        intake.run(intake.enqueue(delimited(records)))
        intake.observe_records()


@shows("processing.format-must-match")
def test_the_format_must_match_the_job(stage: Stage) -> None:
    """A package on a job for files, and a file on a job for packages, is never Processed."""
    files, packages = stage.imports("file"), stage.imports("package")
    files.run(files.enqueue(stage.package()))
    packages.run(packages.enqueue(stage.file(), entity=None))
    packages.run(packages.enqueue(b"PK\x03\x04 but no package", entity=None))


@shows("processing.unknown-entity")
def test_an_entity_that_does_not_exist(stage: Stage) -> None:
    """Asks what becomes of a file for an unknown entity."""
    intake = stage.imports()
    intake.run(intake.enqueue(stage.file(), entity="No such entity"))


@shows("processing.missing-entity")
def test_a_file_without_an_entity(stage: Stage) -> None:
    """Asks what becomes of a file that names no entity."""
    intake = stage.imports()
    message = wire.message_id(intake.offer(stage.file(), entity=None))
    if message is not None:
        intake.run(message)


@shows("processing.unknown-company", needs=("create-activity", "process"))
def test_a_company_that_does_not_exist(stage: Stage) -> None:
    """Asks what becomes of a file for an unknown legal entity."""
    intake = stage.imports(use_company_from_message=True)
    intake.run(intake.enqueue(stage.file(), company="nope"))


@shows("processing.empty-body")
def test_an_empty_file(stage: Stage) -> None:
    """Asks what becomes of an enqueue without a body."""
    intake = stage.imports()
    message = wire.message_id(intake.offer(b""))
    if message is not None:
        intake.run(message)
