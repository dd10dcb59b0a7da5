"""Data entities: their columns, and what makes a record of one wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Field:
    """A column. `length` is the most characters it takes, None for any number."""

    name: str
    length: int | None = None
    key: bool = False
    mandatory: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity by its public name, with one key column."""

    name: str
    fields: tuple[Field, ...]

    @property
    def key(self) -> str:
        """The name of the key column."""
        return next(field.name for field in self.fields if field.key)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(field.name for field in self.fields)

    def problem(self, record: Mapping[str, str]) -> tuple[str, str] | None:
        """What is wrong with a record: the first column at fault and a sentence on all that are."""
        found = [(field.name, said) for field in self.fields if (said := _fault(field, record.get(field.name, "")))]
        if not found:
            return None
        return found[0][0], "\r\n".join(said for _, said in found)

    def as_json(self) -> dict[str, Any]:
        """The entity as the control plane shows it."""
        return {
            "name": self.name,
            "fields": [
                {
                    "name": field.name,
                    "type": "text",
                    "length": field.length,
                    "key": field.key,
                    "mandatory": field.mandatory,
                }
                for field in self.fields
            ],
        }


def _fault(field: Field, value: str) -> str | None:
    if field.mandatory and not value.strip():
        return f'The field "{field.name}" must be filled in.'
    if field.length is not None and len(value) > field.length:
        return f'The value "{value[:80]}" in field "{field.name}" is longer than {field.length} characters.'
    return None


CUSTOMER_GROUPS: Final = Entity(
    "Customer groups",
    (
        Field("CUSTOMERGROUPID", length=10, key=True, mandatory=True),
        Field("DESCRIPTION", length=60),
        Field("PAYMENTTERMID"),
    ),
)

ENTITIES: Final = (CUSTOMER_GROUPS,)
"""The entities that every world has."""

_BY_NAME: Final = {entity.name.casefold(): entity for entity in ENTITIES}


def entity_named(name: str) -> Entity | None:
    """The entity of this public name, in any letter case: the documentation and the product differ in it."""
    return _BY_NAME.get(name.strip().casefold())
