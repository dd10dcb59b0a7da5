"""The grid of messages as an address tells it: which columns, which rows, in which order, which page.

Everything stands in the query of the URL, so that a view of the grid can be kept, sent and gone back to. What a person
has typed wrong is told beside the field; the rest of the address counts all the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from popreceipt.emulator.instants import instant_in
from popreceipt.emulator.office import Row
from popreceipt.emulator.store import Column as Order
from popreceipt.emulator.store import Query
from popreceipt.vocabulary import (
    ACKED,
    DEQUEUED,
    DOWNLOADED,
    ENQUEUED,
    POSTPROCESSING_FAILED,
    PREPROCESSING,
    PREPROCESSING_ERROR,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    PROCESSING,
)

STATUSES: Final = (
    ENQUEUED,
    PREPROCESSING,
    PROCESSING,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    PREPROCESSING_ERROR,
    POSTPROCESSING_FAILED,
    DEQUEUED,
    DOWNLOADED,
    ACKED,
)
"""What can be filtered by: imports' statuses first, then exports'."""

SIZES: Final = (25, 50, 100, 250)
USUAL_SIZE: Final = 50
LONGEST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the grid: its name in addresses, its heading, how its cells are shown, and what it is sorted by."""

    key: str
    label: str
    kind: str
    value: Callable[[Row], Any]
    order: Order | None = None


COLUMNS: Final = (
    Column("id", "Message ID", "id", lambda row: row.id, "id"),
    Column("status", "Status", "status", lambda row: row.status, "status"),
    Column("entity", "Entity", "text", lambda row: row.entity, "entity"),
    Column("external", "External identifier", "text", lambda row: row.external_identifier, "external_identifier"),
    Column("enqueued", "Enqueued", "time", lambda row: row.enqueued, "enqueued"),
    Column("started", "Processing started", "time", lambda row: row.started, "started"),
    Column("completed", "Processing completed", "time", lambda row: row.completed, "completed"),
    Column("dequeued", "Last dequeued", "time", lambda row: row.last_dequeued, "last_dequeued"),
    Column("downloaded", "Last downloaded", "time", lambda row: row.last_downloaded, "last_downloaded"),
    Column("acknowledged", "Acknowledged", "time", lambda row: row.acknowledged, "acknowledged"),
    Column("records", "Total records exported", "number", lambda row: row.total_records, "total_records"),
    Column("uploaded", "File uploaded successfully", "check", lambda row: row.uploaded, "uploaded"),
    Column("batch", "Batch status", "text", lambda row: row.batch_status, "batch_status"),
    Column("retries", "Retry count", "number", lambda row: row.retries, "retries"),
    Column("company", "Company", "text", lambda row: row.company),
    Column("execution", "Execution ID", "guid", lambda row: row.execution),
    Column("file", "File", "file", lambda row: row.has_payload),
)
"""Every column of Manage messages, in order."""

_BY_KEY: Final = {column.key: column for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class View:
    """One view of the grid, as read from an address. `errors` are by the name of the field."""

    typed: Mapping[str, str]
    statuses: tuple[str, ...]
    columns: tuple[Column, ...]
    sort: Column | None
    descending: bool
    page: int
    size: int
    enqueued_from: datetime | None = None
    enqueued_until: datetime | None = None
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: QueryParams) -> "View":
        """Read an address. What is in it for other purposes, or for mischief, is left out."""
        errors: dict[str, str] = {}
        typed = {name: parameters.get(name, "").strip()[:LONGEST_TEXT] for name in ("q", "from", "until")}
        instants: dict[str, datetime | None] = {}
        for name in ("from", "until"):
            instants[name] = instant_in(typed[name]) if typed[name] else None
            if typed[name] and instants[name] is None:
                errors[name] = f"{typed[name]!r} is no date and time; write it as 2026-01-31T13:30."
        first, last = instants["from"], instants["until"]
        if first is not None and last is not None and last < first:
            errors["until"] = "The end lies before the beginning, so no message can be found."
        sort = _BY_KEY.get(parameters.get("sort", ""))
        wanted = parameters.getlist("column")
        size = _whole(parameters.get("size"), USUAL_SIZE)
        return cls(
            typed=typed,
            statuses=tuple(status for status in STATUSES if status in parameters.getlist("status")),
            columns=tuple(one for one in COLUMNS if one.key in wanted or one.key == "id") if wanted else COLUMNS,
            sort=sort if sort is not None and sort.order is not None else None,
            descending=parameters.get("direction", "descending" if sort is None else "ascending") == "descending",
            page=max(1, _whole(parameters.get("page"), 1)),
            size=size if size in SIZES else USUAL_SIZE,
            enqueued_from=first,
            enqueued_until=last,
            errors=errors,
        )

    def query(self, activity: str, page: int | None = None) -> Query:
        """What to ask the store for; another page than the address says where one is given."""
        return Query(
            activity=activity,
            statuses=frozenset(self.statuses) or None,
            text=self.typed["q"] or None,
            enqueued_from=self.enqueued_from,
            enqueued_until=self.enqueued_until,
            order_by="number" if self.sort is None or self.sort.order is None else self.sort.order,
            descending=self.descending,
            offset=((page or self.page) - 1) * self.size,
            limit=self.size,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether some rows are left out."""
        return bool(self.statuses) or any(self.typed.values())

    def parameters(self, **changes: str | int | None) -> list[tuple[str, str]]:
        """The address's parameters with some changed (None leaves one out); what is as usual stays unsaid."""
        named: dict[str, str | int | None] = {
            **self.typed,
            "sort": None if self.sort is None else self.sort.key,
            "direction": self._direction(),
            "size": None if self.size == USUAL_SIZE else self.size,
            "page": None if self.page == 1 else self.page,
        }
        named |= changes
        pairs = [(name, str(value)) for name, value in named.items() if value not in {None, ""}]
        if "status" not in changes:
            pairs += [("status", status) for status in self.statuses]
        if self.columns != COLUMNS and "column" not in changes:
            pairs += [("column", column.key) for column in self.columns]
        return pairs

    def address(self, **changes: str | int | None) -> str:
        """The query of an address that shows the grid with some parameters changed."""
        return f"?{urlencode(self.parameters(**changes))}"

    def _direction(self) -> str | None:
        if self.sort is None:
            return None if self.descending else "ascending"
        return "descending" if self.descending else None

    def sorted_by(self, column: Column) -> str:
        """How a column is sorted, in the words of `aria-sort`."""
        if self.sort is not column:
            return "none"
        return "descending" if self.descending else "ascending"

    def sorting(self, column: Column) -> str:
        """The address that sorts by a column: ascending first, the other way round the next time."""
        descending = self.sort is column and not self.descending
        return self.address(sort=column.key, direction="descending" if descending else None, page=None)


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a page stands among all."""

    page: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are; one even when there is nothing on it."""
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """The number of the first row of the page; 0 when there is none."""
        return 0 if self.total == 0 else (self.page - 1) * self.size + 1

    @property
    def last(self) -> int:
        """The number of its last row."""
        return min(self.total, self.page * self.size)

    def near(self) -> range:
        """The pages around this one."""
        return range(max(1, self.page - 2), min(self.pages, self.page + 2) + 1)


def _whole(text: str | None, usual: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else usual
