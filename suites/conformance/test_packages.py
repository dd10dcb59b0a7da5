"""What is inside a data package, going out and coming in."""

from popreceipt.client.packages import ENTITY, Packed, package_of
from popreceipt.scenario import shows
from popreceipt.stage import Import, OtherEntity, Stage

FILE = "Customer groups.csv"


@shows("packages.export-is-a-package", needs=("produce",))
def test_an_export_is_a_data_package(stage: Stage) -> None:
    """The payload is a zip with manifest, header and the entity's file."""
    stage.export("package").receive()


@shows("packages.holds-the-records", needs=("produce",))
def test_a_package_holds_the_records(stage: Stage) -> None:
    """As many records as were exported stand in the entity's file."""
    queue = stage.export("package")
    for records in (1, 7, 200):
        queue.produce(records)
        queue.download(queue.obtain())


@shows("packages.folder-inside-fails")
def test_a_folder_inside_the_package(stage: Stage) -> None:
    """A package whose parts stand in a folder of the zip is not processed."""
    intake = stage.imports("package")
    intake.run(intake.enqueue(stage.package(folder="package"), entity=None))


@shows("packages.utf-8-and-utf-16")
def test_both_encodings_of_the_manifest(stage: Stage) -> None:
    """Manifest and header may be written in UTF-16 or UTF-8."""
    intake = stage.imports("package")
    messages = [intake.enqueue(stage.package(encoding=each), entity=None) for each in ("utf-16", "utf-8")]
    intake.run(*messages)


@shows("packages.missing-part-fails", needs=("process",))
def test_a_package_that_lacks_a_part(stage: Stage) -> None:
    """Without its manifest, or without the file that the manifest names, a package is not processed."""
    intake = stage.imports("package")
    messages = [intake.enqueue(stage.package(without=each), entity=None) for each in ("Manifest.xml", FILE)]
    intake.run(*messages)


@shows("packages.element-order", needs=("process",))
def test_the_elements_of_the_manifest_in_another_order(stage: Stage) -> None:
    """Asks whether the elements must stand in the order of the data contract."""
    intake = stage.imports("package")
    intake.run(intake.enqueue(stage.package(backwards=True), entity=None))


def two_entities(stage: Stage) -> tuple[OtherEntity, Import]:
    """Another entity, and an import of packages for both, the customer groups on the second level."""
    other = stage.other_entity()
    entities = [{"entity": ENTITY, "level": 2}, {"entity": other.name, "level": 1}]
    return other, stage.project("import", *entities).imports("package")


def package(stage: Stage, other: OtherEntity, *, good: int, bad: int = 0) -> bytes:
    """A package of so many good and bad records of each of the two."""
    groups = Packed(ENTITY, FILE, stage.file(good, bad), level=2)
    return package_of([groups, other.packed(other.records(good, bad), level=1)])


@shows("packages.every-entity-lands", "packages.levels-in-turn", "execution-errors.details-by-entity")
def test_a_package_of_two_entities(stage: Stage) -> None:
    """The records of both files land, the levels one after the other."""
    other, intake = two_entities(stage)
    message = intake.enqueue(package(stage, other, good=3), entity=None)
    intake.run(message)
    for entity in (ENTITY, other.name):
        intake.observe_records(entity)
    intake.jobstatus(message)


@shows(
    "execution-errors.lists-bad-records-of-every-entity",
    "execution-errors.details-by-entity",
    "packages.every-entity-lands",
)
def test_bad_records_of_two_entities(stage: Stage) -> None:
    """The bad records of each entity are listed; the good customer groups land all the same."""
    other, intake = two_entities(stage)
    message = intake.enqueue(package(stage, other, good=3, bad=2), entity=None)
    intake.run(message)
    intake.observe_records(ENTITY)
    intake.jobstatus(message)
    execution = intake.execution_of(message)
    if execution is not None:
        intake.errors_of(execution)


@shows("packages.holds-every-entity", needs=("records",))
def test_an_export_of_two_entities(stage: Stage) -> None:
    """The package has a file for each entity, with its records."""
    other = stage.other_entity()
    queue = stage.project("export", {"entity": ENTITY}, {"entity": other.name, "sequence": 2}).export()
    for records in (3, 5):
        queue.produce(records)
        for entity in (ENTITY, other.name):
            queue.observe_records(entity)
        queue.download(queue.obtain())
