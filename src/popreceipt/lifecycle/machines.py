"""The machines: who drives, and the jobs that every example begins with."""

from hypothesis import strategies as st
from hypothesis.stateful import MultipleResults, initialize, multiple

from popreceipt.lifecycle.administering import Administering
from popreceipt.lifecycle.batching import PATTERNS, Batching
from popreceipt.lifecycle.consuming import Consuming
from popreceipt.lifecycle.driving import Driven, deed, exports, imports
from popreceipt.lifecycle.producing import Producing
from popreceipt.lifecycle.projecting import Projecting
from popreceipt.stage import Export, Import

RECURRENCES = st.sampled_from((5, 15, 60, 1440))
"""Minutes of a processing recurrence."""


MONITORED = st.sampled_from((None, 10, 45))
"""Minutes of a monitoring recurrence; most queues have none."""


class Consumer(Consuming):
    """One consumer of one or two exports."""

    @initialize(
        target=exports, jobs=st.integers(1, 2), prevention=st.booleans(), kind=st.sampled_from(("package", "file"))
    )
    def open(self, jobs: int, prevention: bool, kind: str) -> MultipleResults[Export]:
        """Make one or two exports' jobs."""
        made = [
            self.stage.export(each, prevent_upload_when_zero_records=prevention) for each in (kind, "package")[:jobs]
        ]
        return multiple(*map(self.opened, made))


class Consumers(Consuming):
    """Three consumers of one export, each with a token of its own."""

    consumers = ("authorised/one", "authorised/two", "authorised/three")

    @initialize(target=exports)
    def open(self) -> Export:
        """Make the export's job."""
        return self.opened(self.stage.export())


class Producer(Producing):
    """A producer for two imports, one of files and one of packages."""

    @initialize(target=imports, in_order=st.booleans(), minutes=RECURRENCES)
    def open(self, in_order: bool, minutes: int) -> MultipleResults[Import]:
        """Make the imports' jobs."""
        files = self.stage.imports(in_order=in_order, processing_recurrence_minutes=minutes)
        packages = self.stage.imports("package", processing_recurrence_minutes=minutes)
        return multiple(self.opened_import(files), self.opened_import(packages))


class Administrator(Administering):
    """An administrator of an export and two imports, while consumers and producers use them."""

    @initialize(target=exports, prevention=st.booleans(), monitored=MONITORED)
    def open(self, prevention: bool, monitored: int | None) -> Export:
        """Make the export's job."""
        made = self.stage.export(prevent_upload_when_zero_records=prevention, monitoring_recurrence_minutes=monitored)
        return self.opened(made)

    @initialize(target=imports, minutes=RECURRENCES)
    def open_imports(self, minutes: int) -> MultipleResults[Import]:
        """Make the imports' jobs."""
        files = self.stage.imports(processing_recurrence_minutes=minutes)
        packages = self.stage.imports("package", processing_recurrence_minutes=minutes)
        return multiple(self.opened_import(files), self.opened_import(packages))

    @deed("create-activity", target=exports, when=lambda machine: len(machine.queues) < 3)
    def open_another(self) -> Export:
        """Make a further export's job."""
        return self.opened(self.stage.export())


class Planner(Batching):
    """A planner of batch jobs: recurrences, jobs that die, monitoring."""

    @initialize(
        target=imports,
        minutes=RECURRENCES,
        monitored=MONITORED,
        in_order=st.booleans(),
        place=st.integers(0, 2 * len(PATTERNS) - 1),
    )
    def open(self, minutes: int, monitored: int | None, in_order: bool, place: int) -> Import:
        """Make an import's job, with a recurrence of plain minutes or another one."""
        if place >= len(PATTERNS) and self.is_able("create-activity"):
            recurring = self.recurring_import(place - len(PATTERNS))
            if recurring is not None:
                return recurring
        made = self.stage.imports(
            in_order=in_order, processing_recurrence_minutes=minutes, monitoring_recurrence_minutes=monitored
        )
        return self.opened_import(made)


class Keeper(Projecting):
    """A keeper of data projects, who makes them, changes them and uses their jobs."""


MACHINES: dict[str, type[Driven]] = {
    "consumer": Consumer,
    "consumers": Consumers,
    "producer": Producer,
    "administrator": Administrator,
    "planner": Planner,
    "keeper": Keeper,
}
"""All machines, by name."""
