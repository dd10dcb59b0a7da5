"""CSV files as the entity's source format has them: a header row, comma separated, UTF-8."""

import csv
import io
from collections.abc import Iterable, Mapping

import msgspec

from popreceipt.emulator.dmf.entity import Entity
from popreceipt.emulator.dmf.execution import RecordError
from popreceipt.emulator.dmf.problems import UnknownEntity, Unreadable

__all__ = ["Reading", "UnknownEntity", "Unreadable", "read", "write"]


class Reading(msgspec.Struct, frozen=True):
    """What a file holds: its good records, and what is wrong with each of the others."""

    good: tuple[Mapping[str, str], ...]
    errors: tuple[RecordError, ...]


def write(entity: Entity, records: Iterable[Mapping[str, str]]) -> bytes:
    """Records as a file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(entity.columns)
    writer.writerows([record.get(name, "") for name in entity.columns] for record in records)
    return text.getvalue().encode("utf-8")


def read(content: bytes, entity: Entity) -> Reading:
    """The records of a file.

    Raises:
        Unreadable: it is empty, no UTF-8, no CSV, or its header is not the entity's.
    """
    if not content:
        raise Unreadable("The file is empty.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("The file is not UTF-8.") from error
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise Unreadable(f"The file is no comma separated text: {error}.") from error
    if not rows:
        raise Unreadable("The file has no header row.")
    columns = _columns(rows[0], entity)
    good: list[Mapping[str, str]] = []
    errors: list[RecordError] = []
    number = 0
    for row in rows[1:]:
        if not row:
            continue
        number += 1
        if len(row) != len(columns):
            said = f"The record has {len(row)} values, the header {len(columns)} columns."
            errors.append(RecordError(str(number), "", said))
            continue
        record = dict.fromkeys(entity.columns, "") | dict(zip(columns, row, strict=True))
        if problem := entity.problem(record):
            errors.append(RecordError(str(number), *problem))
        else:
            good.append(record)
    return Reading(tuple(good), tuple(errors))


def _columns(header: list[str], entity: Entity) -> list[str]:
    """The entity's own spelling of the header's columns."""
    known = {name.casefold(): name for name in entity.columns}
    try:
        columns = [known[name.strip().casefold()] for name in header]
    except KeyError as error:
        raise Unreadable(f"The entity {entity.name} has no column {error.args[0]!r}.") from error
    if len(set(columns)) < len(columns):
        raise Unreadable("A column stands twice in the header.")
    if entity.key not in columns:
        raise Unreadable(f"The header lacks the key column {entity.key}.")
    return columns
