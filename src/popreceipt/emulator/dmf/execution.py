"""What became of one run over one message: counts, errors by record, and a summary.

The members of an error are those that a vendor's notes quote from a live GetExecutionErrors; the summary's words are
those of "Data management package REST API", section "GetExecutionSummaryStatus".
"""

from datetime import datetime
from typing import Final

import msgspec

EXECUTING: Final = "Executing"
SUCCEEDED: Final = "Succeeded"
PARTIALLY_SUCCEEDED: Final = "PartiallySucceeded"
FAILED: Final = "Failed"


class RecordError(msgspec.Struct, frozen=True):
    """One bad record: its number in the file (from 1, as text), the column at fault, and what is wrong."""

    record: str
    field: str
    text: str


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of the data project. `good` and `errors` are filled when it has ended."""

    id: str
    entity: str
    company: str
    started: datetime
    completed: datetime | None = None
    good: int = 0
    errors: tuple[RecordError, ...] = ()

    @property
    def summary(self) -> str:
        """How it went, in one word."""
        if self.completed is None:
            return EXECUTING
        if not self.errors:
            return SUCCEEDED
        return PARTIALLY_SUCCEEDED if self.good else FAILED
