"""Arrivals and service times out of a load journal: what was enqueued when, and how long its processing took.

An arrival is the moment at which the answer to a successful enqueue had come. Service times are known from the rows of
Manage messages that were asked for over the control plane while the journal was written. Only whole journals count:
one that was cut off may lack any part of what happened.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from popreceipt.exceptions import UsageError
from popreceipt.journal import Entry, Exchange, JournalFile, Observation, instant
from popreceipt.sizing.recorded import Recorded, Row
from popreceipt.sizing.work import Floats
from popreceipt.vocabulary import ENQUEUE, bare_guid, operation_of

CHOOSES: Final = "#"
"""Stands between a journal's name and the activity ID of which it is to be read, where it is about several."""

BLANK: Final = float("nan")


def arrivals_of(path: Path) -> Floats:
    """When messages came: the successful enqueues of a load journal, in seconds since 1970, ascending.

    Args:
        path: the journal. `FILE#ACTIVITY` takes the enqueues of one recurring data job.

    Raises:
        UsageError: it is no journal, was cut off, holds no successful enqueue, or those of several jobs, which are
            processed apart from one another.
    """
    file, chosen = _chosen(path)
    arrivals: dict[str, list[float]] = {}
    for entry in _whole(file):
        activity = _enqueued(entry)
        if activity is not None and isinstance(entry, Exchange):
            arrivals.setdefault(activity, []).append(entry.answered.timestamp())
    found = _one_of(arrivals, chosen, file, "successful enqueue")
    return np.sort(np.array(found, dtype=np.float64))


def services_of(path: Path) -> Floats:
    """How long the processing of each message took, in seconds, in the order of their enqueues.

    Raises:
        UsageError: as with `arrivals_of`; or nobody asked for the rows of Manage messages while the journal was
            written, or no row had been processed by then.
    """
    return recorded_of(path).services


def recorded_of(path: Path) -> Recorded:
    """What the rows of Manage messages in a journal tell, each message as it was seen last.

    Raises:
        UsageError: as with `services_of`.
    """
    file, chosen = _chosen(path)
    exports: set[str] = set()
    tables: dict[str, dict[str, Row]] = {}
    for entry in _whole(file):
        if not isinstance(entry, Observation):
            continue
        activity = bare_guid(str(entry.facts.get("activity") or ""))
        if entry.observation == "activity":
            settings = entry.facts.get("settings")
            if isinstance(settings, Mapping) and settings.get("direction") == "export":
                exports.add(activity)
        elif entry.observation == "messages":
            table = tables.setdefault(activity, {})
            for row in _rows(entry):
                table[str(row.get("MessageId"))] = _instants(row, file)
    processed = {
        activity: list(table.values())
        for activity, table in tables.items()
        if activity not in exports and any(math.isfinite(row[1] + row[2]) for row in table.values())
    }
    what = "message of which Manage messages (asked for over the control plane) tells the start and end of processing"
    return Recorded.of(_one_of(processed, chosen, file, what))


def _chosen(path: Path) -> tuple[Path, str | None]:
    """The journal's file, and the activity that its name is followed by."""
    name, mark, activity = path.name.rpartition(CHOOSES)
    if not mark or not name or path.exists():
        return path, None
    return path.with_name(name), bare_guid(activity)


def _whole(path: Path) -> Iterator[Entry]:
    """The entries of a journal that is known to be whole in the end."""
    journal = JournalFile(path)
    yield from journal
    if not journal.complete:
        raise UsageError(
            f"The journal {path} was cut off: {journal.damage}. What is missing would look like a quiet time; take a "
            "journal that was written to its end."
        )


def _enqueued(entry: Entry) -> str | None:
    """The activity to which an exchange has handed in a file; None for everything else."""
    if not isinstance(entry, Exchange) or entry.operation != ENQUEUE or entry.failure is not None:
        return None
    if entry.response is None or not 200 <= entry.response.status < 300:
        return None
    return operation_of(urlsplit(entry.request.url).path)[1]


def _one_of(found: Mapping[str, list[Any]], chosen: str | None, path: Path, what: str) -> list[Any]:
    """What belongs to the one job that a journal is about, or to the one that was chosen."""
    if chosen is not None:
        if chosen not in found:
            known = ", ".join(found) or "none"
            raise UsageError(f"The journal {path} holds no {what} of the activity {chosen} (it does of: {known}).")
        return found[chosen]
    if not found:
        raise UsageError(f"The journal {path} holds no {what}.")
    if len(found) > 1:
        raise UsageError(
            f"The journal {path} is about {len(found)} recurring data jobs, each of which has its own batch job: name "
            f"one behind it, as in {path.name}{CHOOSES}{next(iter(found))} (there are: {', '.join(found)})."
        )
    return next(iter(found.values()))


def _rows(entry: Observation) -> Iterator[Mapping[str, Any]]:
    rows = entry.facts.get("rows")
    return (row for row in rows if isinstance(row, Mapping)) if isinstance(rows, list) else iter(())


def _instants(row: Mapping[str, Any], path: Path) -> Row:
    def read(column: str) -> float:
        text = row.get(column)
        if not text:
            return BLANK
        try:
            return instant(str(text)).timestamp()
        except ValueError as error:
            said = f"The journal {path} has a row of Manage messages whose {column} is {text!r}, which is no instant."
            raise UsageError(said) from error

    return read("EnqueueDateTime"), read("ProcessingStartedDateTime"), read("ProcessingCompletedDateTime")
