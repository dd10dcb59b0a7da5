"""Pre-processing of an import: which entities a file holds, and which of its records are good."""

import msgspec

from popreceipt.emulator.activity import PACKAGE, Activity
from popreceipt.emulator.dmf import delimited, package
from popreceipt.emulator.dmf.delimited import Reading, UnknownEntity, Unreadable
from popreceipt.emulator.dmf.entity import Entity, entity_named


class Part(msgspec.Struct, frozen=True):
    """What one file holds for one entity."""

    entity: Entity
    reading: Reading


def examine(activity: Activity, entity: str | None, content: bytes | None) -> list[Part]:
    """The parts of an uploaded file. `entity` is what the enqueue named; a package names its entities itself.

    Raises:
        UnknownEntity: an entity is named that the activity's data project does not have.
        Unreadable: the file cannot be read as what the activity takes, or is no longer there.
    """
    if content is None:
        raise Unreadable("The file is no longer in blob storage.")
    if activity.type == PACKAGE:
        return [_part(activity, name, file) for name, file in package.read(content)]
    if entity is None or not entity.strip():
        raise Unreadable("The enqueue named no entity.")
    return [_part(activity, entity, content)]


def _part(activity: Activity, name: str, content: bytes) -> Part:
    entity = entity_named(name)
    if entity is None or entity is not entity_named(activity.entity):
        raise UnknownEntity(f"The data project has no entity {name!r}.")
    return Part(entity, delimited.read(content, entity))
