"""Data entities: their fields, what makes a record of one wrong, and which entities there are.

Entities are data: a file each in the project's `fixtures/entities`, and in whatever folders a user adds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from popreceipt.emulator.dmf import entity_file
from popreceipt.emulator.dmf.field import Field
from popreceipt.exceptions import UsageError
from popreceipt.resources import fixtures

__all__ = ["CUSTOMER_GROUPS", "ENTITIES", "Entities", "Entity", "Field", "entity_named", "load_entities"]


@dataclass(frozen=True)
class Entity:
    """An entity by its public name, with the tables where its records are staged and where they end up."""

    name: str
    fields: tuple[Field, ...]
    staging: str = ""
    target: str = ""
    description: str = ""

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The names of the fields that make the key, in order."""
        return tuple(field.name for field in self.fields if field.key)

    @property
    def key(self) -> str:
        """The name of the first field of the key."""
        return self.keys[0]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of all fields, in order."""
        return tuple(field.name for field in self.fields)

    def problems(self, record: Mapping[str, str]) -> list[tuple[str, str]]:
        """What is wrong with a record: each field at fault with a sentence. A missing value is an empty one."""
        found: list[tuple[str, str]] = []
        for field, name, mandatory, length, check in self._plan:
            value = record.get(name, "")
            # Nearly every value passes here; the words for the others are found in Field.problem.
            if not value or value.isspace():
                if not mandatory:
                    continue
            elif (length is None or len(value) <= length) and (check is None or check(value) is None):
                continue
            if said := field.problem(value):
                found.append((name, said))
        return found

    def problem(self, record: Mapping[str, str]) -> tuple[str, str] | None:
        """What is wrong with a record, in one: the first field at fault and the sentences on all that are."""
        found = self.problems(record)
        return (found[0][0], "\r\n".join(said for _, said in found)) if found else None

    def as_json(self) -> dict[str, Any]:
        """The entity as the control plane shows it."""
        return {
            "name": self.name,
            "fields": [
                {
                    "name": field.name,
                    "type": field.type,
                    "length": field.length,
                    "key": field.key,
                    "mandatory": field.mandatory,
                }
                for field in self.fields
            ],
        }

    @cached_property
    def _plan(self) -> tuple[tuple[Any, ...], ...]:
        return tuple((field, field.name, field.mandatory, field.length, field.check) for field in self.fields)


class Entities:
    """A catalogue of entities."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._by_name = {_folded(entity.name): entity for entity in entities}

    def named(self, name: str) -> Entity | None:
        """The entity of this public name, in any letter case: the documentation and the product differ in it."""
        return self._by_name.get(_folded(name))

    def all(self) -> tuple[Entity, ...]:
        """All entities: those that every world has first, then by name."""
        return tuple(self._by_name.values())


def load_entities(*folders: Path) -> Entities:
    """The entities that come along, and those of further folders: every file there that ends in .toml is one.

    Raises:
        UsageError: a folder is none, a file is no entity file, an entity stands in two files, or a field refers to one
            that there is not.
    """
    loaded: dict[str, tuple[Path, Entity]] = {}
    for folder in (fixtures() / "entities", *folders):
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder of entity files.")
        for path in sorted(folder.glob("*.toml")):
            entity = Entity(**entity_file.read(path)._asdict())
            other = loaded.get(_folded(entity.name))
            if other is not None:
                raise UsageError(
                    f"{path}: the entity {entity.name!r} stands in {other[0]} already; give it another name."
                )
            loaded[_folded(entity.name)] = path, entity
    for path, entity in loaded.values():
        _check_references(path, entity, {name: one for name, (_, one) in loaded.items()})
    return Entities(
        entity for _, entity in sorted(loaded.values(), key=lambda one: (one[1].name != _EVERYWHERE, one[1].name))
    )


def _check_references(path: Path, entity: Entity, known: Mapping[str, Entity]) -> None:
    for field in entity.fields:
        if field.reference is None:
            continue
        place = f"{path}: the field {field.name} refers to"
        target = known.get(_folded(field.reference.entity))
        if target is None:
            there = ", ".join(one.name for one in known.values())
            raise UsageError(f"{place} the entity {field.reference.entity!r}; there are {there}.")
        if field.reference.field not in target.columns:
            there = ", ".join(target.columns)
            raise UsageError(f"{place} {field.reference.field!r} of {target.name}, which has {there}.")


def _folded(name: str) -> str:
    return name.strip().casefold()


_EVERYWHERE: Final = "Customer groups"
"""The entity that every world has, whoever's server it is."""

_SHIPPED: Final = load_entities()

ENTITIES: Final = _SHIPPED.all()
"""The entities that come along."""


def entity_named(name: str) -> Entity | None:
    """The entity of this public name among those that come along, in any letter case."""
    return _SHIPPED.named(name)


def _required(name: str) -> Entity:
    entity = entity_named(name)
    if entity is None:
        raise LookupError(f"{fixtures() / 'entities'} lacks the entity {name!r}.")
    return entity


CUSTOMER_GROUPS: Final = _required(_EVERYWHERE)
