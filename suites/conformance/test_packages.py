"""What is inside a data package, going out and coming in."""

from popreceipt.scenario import shows
from popreceipt.stage import Stage


@shows("packages.export-is-a-package")
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
