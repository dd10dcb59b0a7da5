"""The filter of an export project."""

from collections import Counter

from popreceipt.client.packages import ENTITY
from popreceipt.scenario import shows
from popreceipt.stage import Export, Stage

FIELD = "CUSTOMERGROUPID"


def condition(stage: Stage, queue: Export) -> dict[str, str]:
    """A condition on the key that about half of such records meet as the target makes."""
    queue.produce(40)
    keys = [str(each.get(FIELD, "")) for each in queue.observe_records()]
    count = Counter(digit for key in keys for digit in set(key) if digit.isdigit())
    # The digit that is in the keys of the most nearly half of them.
    value = min(count, key=lambda digit: (abs(count[digit] - len(keys) / 2), digit)) if count else stage.key()
    queue.download(queue.obtain())
    return {"entity": ENTITY, "field": FIELD, "operator": "contains", "value": value}


def send(queue: Export, records: int = 40) -> None:
    """Run an export, look at what its entity holds, and fetch the file."""
    produced = queue.produce(records)
    queue.observe_records()
    if produced["uploaded"]:
        queue.download(queue.obtain())


@shows("processing.filter-applied", "processing.filter-before-counting", "zero-records.total-records-exported")
def test_an_export_with_a_filter(stage: Stage) -> None:
    """The records that meet the filter are exported and counted, and no others."""
    project = stage.project("export", {"entity": ENTITY})
    queue = project.export()
    met = condition(stage, queue)
    never = {"entity": ENTITY, "field": "DESCRIPTION", "operator": "equals", "value": f"never {stage.key()}"}
    for filtered in ([met], [never | {"operator": "not-equals"}, met], []):
        project.change(filter=filtered)
        send(queue)
    queue.observe_messages()


@shows("processing.filter-shared", needs=("projects", "create-activity", "produce", "records"))
def test_two_jobs_of_one_project(stage: Stage) -> None:
    """A change of the project's filter counts for each of its recurring data jobs."""
    project = stage.project("export", {"entity": ENTITY})
    queues = [project.export(), project.export("file"), project.export()]
    met = condition(stage, queues[0])
    project.change(filter=[met])
    for queue in queues:
        send(queue)
    project.change(filter=[met | {"value": f"{met['value']}{met['value']}"}])
    for queue in reversed(queues):
        send(queue)


@shows("processing.filter-before-counting", "zero-records.otherwise-uploaded", "zero-records.total-records-exported")
def test_a_filter_that_nothing_meets(stage: Stage) -> None:
    """With the prevention of empty uploads on nothing is uploaded, however many records the entity holds."""
    met = {"entity": ENTITY, "field": FIELD, "operator": "equals", "value": stage.key()}
    project = stage.project("export", {"entity": ENTITY}, filter=[met])
    queue = project.export(prevent_upload_when_zero_records=True)
    send(queue, 5)
    project.change(filter=[])
    send(queue, 5)
    queue.observe_messages()
