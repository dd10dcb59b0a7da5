"""What became of one run over one message: entity by entity, error by record, and a summary.

The members of an error are those that a vendor's notes quote from a live GetExecutionErrors; the summary's words are
those of "Data management package REST API", section "GetExecutionSummaryStatus"; the states of an entity are those of
the contracts of public clients (microsoft/Recurring-Integrations-Scheduler). Knows nothing of how records get here.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

import msgspec

EXECUTING: Final = "Executing"
SUCCEEDED: Final = "Succeeded"
PARTIALLY_SUCCEEDED: Final = "PartiallySucceeded"
FAILED: Final = "Failed"

EntityState = Literal[
    "NotStarted",
    "Waiting",
    "Executing",
    "Error",
    "Finished",
    "Ready",
    "NotRun",
    "Cancelling",
    "Canceled",
    "Hold",
]


class RecordError(msgspec.Struct, frozen=True):
    """One bad record: its number in the file (from 1, as text), the column at fault, and what is wrong.

    Record and column are empty where it is not one record's fault. `in_staging` says that the record did not even get
    into the staging table; `entity` is filled where the execution has several.
    """

    record: str
    field: str
    text: str
    in_staging: bool = False
    entity: str | None = None


class EntityRun(msgspec.Struct, frozen=True, kw_only=True):
    """How far one entity of an execution has come. Staging and target each count records that are in and that are not.

    An import fills staging from the file and the target from staging, an export staging from the target.
    """

    entity: str
    staging: int = 0
    staging_errors: int = 0
    staging_state: EntityState = "NotStarted"
    target: int = 0
    target_errors: int = 0
    target_state: EntityState = "NotStarted"
    started: datetime | None = None
    completed: datetime | None = None

    @property
    def total(self) -> int:
        """Records of the file, good or bad."""
        return self.staging + self.staging_errors


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of the data project. `entity` is its first; `good` and `errors` are filled when it has ended.

    `good` counts the records that have landed (were exported), of all entities; `runs` has each of them by itself.
    """

    id: str
    entity: str
    company: str
    started: datetime
    completed: datetime | None = None
    good: int = 0
    errors: tuple[RecordError, ...] = ()
    runs: tuple[EntityRun, ...] = ()

    @property
    def summary(self) -> str:
        """How it went, in one word."""
        if self.completed is None:
            return EXECUTING
        if not self.errors:
            return SUCCEEDED
        return PARTIALLY_SUCCEEDED if self.good else FAILED

    def log(self) -> str:
        """The execution log: a line an entity, then the faults that are no single record's."""
        return "\r\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for run in self.runs:
            begun = "" if run.started is None else f"{run.started:%Y-%m-%dT%H:%M:%S} "
            yield (
                f"{begun}{run.entity}: staging {run.staging_state}, {run.staging} records, {run.staging_errors} errors;"
                f" target {run.target_state}, {run.target} records, {run.target_errors} errors."
            )
        for error in self.errors:
            if not error.record:
                yield error.text
