"""From staging to target: the records of a message land, entity by entity, and what could not land is told.

"Data management overview" and "Data import and export jobs overview", sections on execution units, levels and
sequence: units are done one after another, in a unit its levels, in a level its entities; an entity with errors may
stop the rest of its level or of its unit. Good records land, bad ones are listed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from popreceipt.emulator.dmf.entity import Entity
from popreceipt.emulator.dmf.execution import EntityRun, Execution, RecordError
from popreceipt.emulator.dmf.project import ProjectEntity

Record = Mapping[str, str]


class Reading(msgspec.Struct, frozen=True):
    """What a file holds: its good records, and what is wrong with each of the others.

    `numbers` are the good records' in the file. Of very many bad ones some are only counted: those that cannot be read
    (`unlisted_in_staging`) and those that may not land (`unlisted`).
    """

    good: Sequence[Record]
    errors: tuple[RecordError, ...] = ()
    numbers: Sequence[int] = ()
    unlisted_in_staging: int = 0
    unlisted: int = 0

    @property
    def total(self) -> int:
        """Records of the file, good or bad."""
        return len(self.good) + len(self.errors) + self.unlisted_in_staging + self.unlisted


class Part(msgspec.Struct, frozen=True):
    """What a message brings for one entity of its project."""

    entity: Entity
    reading: Reading
    settings: ProjectEntity


class Target(Protocol):
    """The target tables."""

    def records(self, company: str, entity: str) -> Sequence[Record]:
        """A table."""

    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add records to a table or replace those of equal key."""


def ordered(parts: Iterable[Part]) -> list[Part]:
    """Parts in the order in which they are done."""
    return sorted(parts, key=lambda one: (one.settings.execution_unit, one.settings.level, one.settings.sequence))


def staged(execution: Execution, parts: Sequence[Part]) -> Execution:
    """The execution once pre-processing has filled its staging tables."""
    return msgspec.structs.replace(execution, runs=tuple(_staged(part, execution.started) for part in ordered(parts)))


def land(target: Target, execution: Execution, parts: Sequence[Part], now: datetime) -> Execution:
    """Bring staged records to their target tables; the execution as it has ended."""
    errors: list[RecordError] = []
    runs: list[EntityRun] = []
    stopped: set[tuple[int, ...]] = set()
    begun: dict[int, tuple[int, int]] = {}
    for part in ordered(parts):
        unit, level = part.settings.execution_unit, part.settings.level
        place = (level, part.settings.sequence)
        # What comes after others in its unit begins when they are done.
        run = _staged(part, execution.started if begun.setdefault(unit, place) == place else now)
        if (unit,) in stopped or (unit, level) in stopped:
            runs.append(msgspec.structs.replace(run, target_state="NotRun", completed=now))
            continue
        good, found = _validated(target, execution.company, part)
        target.upsert(execution.company, part.entity.name, part.entity.keys, good)
        in_target = sum(not error.in_staging for error in found) + part.reading.unlisted
        if further := part.reading.unlisted + part.reading.unlisted_in_staging:
            found.append(RecordError("", "", f"{further:,} further records are wrong, too many to list."))
        runs.append(
            msgspec.structs.replace(
                run,
                target=len(good),
                target_errors=in_target,
                target_state="Error" if in_target else "Finished",
                completed=now,
            )
        )
        if found and part.settings.fail_unit_on_error:
            stopped.add((unit,))
        if found and part.settings.fail_level_on_error:
            stopped.add((unit, level))
        errors += found if len(parts) == 1 else (_named(error, part.entity) for error in found)
    return msgspec.structs.replace(
        execution, completed=now, good=sum(run.target for run in runs), errors=tuple(errors), runs=tuple(runs)
    )


def failed(execution: Execution, problem: str, now: datetime) -> Execution:
    """The execution once it has ended without landing anything."""
    return msgspec.structs.replace(
        execution,
        completed=now,
        errors=(RecordError("", "", problem),),
        runs=tuple(msgspec.structs.replace(run, target_state="Error", completed=now) for run in execution.runs),
    )


def _staged(part: Part, started: datetime) -> EntityRun:
    bad = sum(error.in_staging for error in part.reading.errors) + part.reading.unlisted_in_staging
    return EntityRun(
        entity=part.entity.name,
        staging=part.reading.total - bad,
        staging_errors=bad,
        staging_state="Error" if bad else "Finished",
        target_state="Executing",
        started=started,
    )


def _validated(target: Target, company: str, part: Part) -> tuple[Sequence[Record], list[RecordError]]:
    """The records that may land, and all errors of the part in the order of the file."""
    errors = list(part.reading.errors)
    good = part.reading.good
    references = [field for field in part.entity.fields if field.reference is not None]
    if not references:
        return good, errors
    there = {
        field.name: {
            record.get(field.reference.field, "") for record in target.records(company, field.reference.entity)
        }
        for field in references
        if field.reference is not None
    }
    kept: list[Record] = []
    for record, number in zip(good, part.reading.numbers, strict=False):
        wrong = [
            (field, field.reference)
            for field in references
            if field.reference is not None and record[field.name] and record[field.name] not in there[field.name]
        ]
        if not wrong:
            kept.append(record)
            continue
        said = "\r\n".join(
            f'The value "{record[field.name][:80]}" in field "{field.name}" is not found in {reference.entity}.'
            for field, reference in wrong
        )
        errors.append(RecordError(str(number), wrong[0][0].name, said))
    errors.sort(key=lambda error: int(error.record))
    return kept, errors


def _named(error: RecordError, entity: Entity) -> RecordError:
    return msgspec.structs.replace(error, text=f"{entity.name}: {error.text}", entity=entity.name)
