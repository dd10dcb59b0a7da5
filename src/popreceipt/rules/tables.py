"""What a look at a target table shows: its rows as records, to be compared with those of files."""

from collections.abc import Mapping
from typing import Any

from popreceipt.rules.files import DESCRIPTION, KEY, TERMS, Record


def row_of(record: Mapping[str, Any]) -> Record:
    """A row of the target table as a record; nulls and lacking columns are blank."""
    values = {str(name).upper(): "" if value is None else str(value) for name, value in record.items()}
    return Record(0, values.get(KEY, ""), values.get(DESCRIPTION, ""), values.get(TERMS, ""))


def as_written(record: Record, row: Record) -> bool:
    """Whether a row has the values of a file's record; what the file leaves blank may be anything."""
    return all(
        not written.strip() or found.strip() == written.strip()
        for written, found in ((record.description, row.description), (record.terms, row.terms))
    )
