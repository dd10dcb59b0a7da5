"""Data projects: which entities, in which format and order, mapped and transformed how, filtered by what.

"Recurring integrations", section "Create a data project". A project is data; what is done with a file by its rules
stands in `importing` and `exporting`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Operator = Literal["equals", "not-equals", "less", "less-or-equal", "greater", "greater-or-equal", "contains"]


class FieldMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one field of an entity is filled from a file, and written to one.

    `source` is the column of the file, None where the field has none and takes its default or a generated number.
    `conversions` go from the file's value to the entity's. An ignored field is neither read nor written.
    """

    field: str
    source: str | None = None
    default: str | None = None
    auto_generated: bool = False
    ignore: bool = False
    conversions: Mapping[str, str] = {}


class ProjectEntity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entity of a data project.

    `format` is the name of a source data format, `sheet` the worksheet where that is Excel. Execution units are done
    one after another, in them the levels, in those the sequence numbers. No `map` means every field from the column of
    its own name. `xslt` are style sheets, applied in turn to inbound XML.
    """

    entity: str
    format: str = "CSV"
    sheet: str | None = None
    execution_unit: int = 1
    level: int = 1
    sequence: int = 1
    fail_unit_on_error: bool = False
    fail_level_on_error: bool = False
    map: tuple[FieldMap, ...] = ()
    xslt: tuple[str, ...] = ()


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition on a field of an entity. A filter keeps the records that meet all of an entity's conditions."""

    entity: str
    field: str
    operator: Operator = "equals"
    value: str = ""


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A data project. Its one filter counts for every recurring data job that hangs off it."""

    id: str
    name: str
    direction: Literal["import", "export"]
    description: str = ""
    entities: tuple[ProjectEntity, ...]
    filter: tuple[Condition, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The project as the control plane shows it."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return shown

    def ordered(self) -> list[ProjectEntity]:
        """The entities in the order in which they are done."""
        return sorted(self.entities, key=lambda one: (one.execution_unit, one.level, one.sequence))
