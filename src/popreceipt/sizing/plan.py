"""What is to be sized: arrivals, service times, the batch job, the objective; read from a TOML file.

Durations carry their unit in their names; rates are messages an hour. It knows what a plan may say; it draws nothing
and simulates nothing.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec

CANDIDATES: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
"""Minutes of the processing recurrence that are compared unless told otherwise."""

LEASE: Final = timedelta(minutes=30)
"""After which an unacknowledged message is offered again ("Recurring integrations", "API for acknowledgment")."""


LONGEST_DAYS: Final = 3660
"""Days that may be simulated, and that a trace may cover: ten years."""


class Arrivals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When messages come: exactly one of the members is given.

    Args:
        per_hour: a Poisson process of this rate.
        profile: messages an hour for each hour of the day, 24 of them; a Poisson process that follows it.
        trace: a CSV file with the column `timestamp`.
        measured: a load journal: the enqueues that succeeded.
        messages: a table of Manage messages exported as CSV: the column of the enqueue.
    """

    per_hour: float | None = None
    profile: tuple[float, ...] | None = None
    trace: str | None = None
    measured: str | None = None
    messages: str | None = None


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long one file takes to process, from its start to its end.

    Args:
        seconds: always the same; or a table with `median` and `p95`, as the members of these names.
        median: with `p95`, a lognormal distribution through both.
        p95: see `median`.
        measured: a load journal that holds messages with processing started and completed.
        messages: a table of Manage messages exported as CSV, with both columns.
    """

    seconds: "float | Spread | None" = None
    median: float | None = None
    p95: float | None = None
    measured: str | None = None
    messages: str | None = None


class ManageMessages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How tables of Manage messages that were exported as CSV are to be read; they mostly tell by themselves.

    Args:
        dates: whether 1/2/2026 is in January (month-first) or in February (day-first), where a table does not tell.
        zone: of the times that name none, as in Europe/Copenhagen.
        enqueued: the column's heading, where it has one that is not known.
        started: the same, of the processing's start.
        completed: the same, of its end.
    """

    dates: Literal["month-first", "day-first"] | None = None
    zone: str = "UTC"
    enqueued: str | None = None
    started: str | None = None
    completed: str | None = None


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lognormal distribution through its median and its 95th percentile, both in seconds."""

    median: float
    p95: float


class BatchJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the batch job processes what a run has taken.

    Args:
        in_order: one file after the other ("Process messages in order"); then `parallel` is 1.
        parallel: files that are processed at once.
        startup_seconds: from the start of a run to its first file.
        after_overrun: when the next run starts after one that outlasted its recurrence: at the following tick, or at
            once. The documentation says neither.
    """

    in_order: bool = True
    parallel: int = 1
    startup_seconds: float = 0.0
    after_overrun: Literal["next-tick", "at-once"] = "next-tick"


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a recurrence has to reach. Waits are from the end of the enqueue to the end of the processing."""

    p95_minutes: float | None = None
    p99_minutes: float | None = None
    mean_minutes: float | None = None
    longest_minutes: float | None = None


class Recurrence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The processing recurrences that are compared."""

    candidates_minutes: tuple[float, ...] = CANDIDATES


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lease side: a consumer that dequeues, downloads, processes and acknowledges.

    Args:
        per_hour: messages that are produced an hour; the plan's arrivals where it is left out.
        poll_minutes: from one poll that found nothing to the next.
        transfer_seconds: one download: always the same, or a spread.
        handling_seconds: what the consumer then does with the file before it acknowledges.
        consumers: how many work at once.
        prefetch: how many messages one consumer dequeues before it handles the first.
        outage_minutes: how long consumers are down in the outage whose drain is told.
    """

    poll_minutes: float = 1.0
    transfer_seconds: float | Spread = 1.0
    handling_seconds: float | Spread = 0.0
    consumers: int = 1
    prefetch: int = 1
    per_hour: float | None = None
    outage_minutes: float = 60.0


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is simulated: so many days, begun anew with so many seeds, from which the intervals come.

    A trace and the like is never lengthened: where `days` is not written it is as long as the record, and where it is
    the record is cut after so many.
    """

    days: float = 30.0
    seed: int = 1


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole plan. What follows is not written in the file.

    Args:
        folder: where the plan's files are looked for.
        warnings: sentences about what was found odd while reading, and how it was taken.
    """

    arrivals: Arrivals
    service: Service
    batch: BatchJob = BatchJob()
    objective: Objective = Objective(p95_minutes=15.0)
    recurrence: Recurrence = Recurrence()
    export: Export | None = None
    run: Run = Run()
    manage_messages: ManageMessages = ManageMessages()
    folder: Path = Path()
    warnings: tuple[str, ...] = ()


def read_plan(path: Path, *, days: float | None = None, seed: int | None = None) -> Plan:
    """The plan in a TOML file.

    Where `parallel` is above 1 and `in_order` is not written, files are not processed in order. Candidates are put in
    order, each of them once. Days and seed take the place of those in the file. A record that arrivals are played from
    is read already, for its length and its faults.

    Raises:
        UsageError: the file cannot be read, or says something impossible or contradictory; the sentence names the
            member, what was found and what is wanted.
    """
    # Here, since whoever reads a plan imports what a plan is.
    from popreceipt.sizing.reading import read

    return read(path, days=days, seed=seed)
