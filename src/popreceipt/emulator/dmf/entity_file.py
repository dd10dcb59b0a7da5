"""Entity files: one TOML file, one entity, checked member by member.

Knows the shape of such a file, and says where one departs from it; refuses to know what is done with entities.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from popreceipt.emulator.dmf.field import TYPES, Field, FieldType, Reference
from popreceipt.exceptions import UsageError

_FIELD_NAME: Final = re.compile("[A-Z_][A-Z0-9_]*")
_ENTITY_MEMBERS: Final = {"name": str, "staging": str, "target": str, "description": str, "fields": list}
_FIELD_MEMBERS: Final = {
    "name": str,
    "type": str,
    "length": int,
    "mandatory": bool,
    "key": bool,
    "values": list,
    "reference": dict,
    "description": str,
}
_TITLES: Final = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


class Described(NamedTuple):
    """What an entity file says."""

    name: str
    staging: str
    target: str
    description: str
    fields: tuple[Field, ...]


def read(path: Path) -> Described:
    """The entity that a file describes.

    Raises:
        UsageError: the file cannot be read, or is none such; the sentence names file and member, what was found and
            what is allowed.
    """
    try:
        # Editors of Windows put a mark before the text.
        members = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the entity file cannot be read as UTF-8 text: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: the entity file is no TOML: {error}.") from error
    table = _Table(str(path), "", members, _ENTITY_MEMBERS)
    name = table.filled("name")
    fields = [_field(str(path), number, each) for number, each in enumerate(table.required("fields"), 1)]
    if not fields:
        raise table.complaint("fields", "holds nothing", "at least one field, each as a table [[fields]]")
    names = [field.name for field in fields]
    for one in names:
        if names.count(one) > 1:
            raise table.complaint("fields", f"has {one} twice", "every field once")
    if not any(field.key for field in fields):
        raise table.complaint("fields", "has no key", "key = true for one field or more")
    return Described(
        name=name,
        staging=table.filled("staging"),
        target=table.filled("target"),
        description=table.optional("description", ""),
        fields=tuple(fields),
    )


class _Table:
    """The members of a table, with complaints that say where it stands."""

    def __init__(self, file: str, place: str, members: object, allowed: Mapping[str, type]) -> None:
        self._file = file
        self._place = place
        if not isinstance(members, dict):
            raise UsageError(f"{file}: {place.removesuffix('.')} is {members!r}; a table is expected.")
        self._members = members
        self._allowed = allowed
        for key, value in members.items():
            wanted = allowed.get(key)
            if wanted is None:
                raise self.complaint(key, "is unknown", ", ".join(allowed))
            # A bool is an int to Python, but not to the person who wrote the file.
            if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
                raise self.complaint(key, f"is {value!r}", _TITLES[wanted])

    def complaint(self, key: str, found: str, allowed: str) -> UsageError:
        return UsageError(f"{self._file}: {self._place}{key} {found}; allowed: {allowed}.")

    def required(self, key: str) -> Any:
        if key not in self._members:
            raise self.complaint(key, "is missing", _TITLES[self._allowed[key]])
        return self._members[key]

    def filled(self, key: str) -> str:
        text: str = self.required(key)
        if not text.strip() or text != text.strip() or not text.isprintable():
            raise self.complaint(
                key, f"is {text!r}", "a name without blanks at its ends and without control characters"
            )
        return text

    def optional(self, key: str, default: Any) -> Any:
        return self._members.get(key, default)


def _field(file: str, number: int, members: object) -> Field:
    table = _Table(file, f"fields[{number}].", members, _FIELD_MEMBERS)
    name = table.filled("name")
    if not _FIELD_NAME.fullmatch(name):
        raise table.complaint("name", f"is {name!r}", "capital letters, digits and _, as columns are named in files")
    table = _Table(file, f"fields[{number}] ({name}).", members, _FIELD_MEMBERS)
    kind = table.required("type")
    if kind not in TYPES:
        raise table.complaint("type", f"is {kind!r}", ", ".join(TYPES))
    length = table.optional("length", None)
    if length is not None and (kind != "text" or length < 1):
        raise table.complaint("length", f"is {length} for type {kind!r}", "a number above 0, for texts alone")
    values = table.optional("values", [])
    if (kind == "enum") != bool(values):
        raise table.complaint("values", f"is {values!r} for type {kind!r}", "a list that is not empty, for enums alone")
    folded = [value.casefold() if isinstance(value, str) and value.strip() else None for value in values]
    if None in folded or len(set(folded)) < len(folded):
        raise table.complaint("values", f"is {values!r}", "texts that are not blank, and each but once")
    key = table.optional("key", False)
    return Field(
        name=name,
        type=cast("FieldType", kind),
        length=length,
        key=key,
        mandatory=table.optional("mandatory", key),
        values=tuple(values),
        description=table.optional("description", ""),
        reference=_reference(file, number, name, table.optional("reference", None)),
    )


def _reference(file: str, number: int, name: str, members: object) -> Reference | None:
    if members is None:
        return None
    table = _Table(file, f"fields[{number}] ({name}).reference.", members, {"entity": str, "field": str})
    return Reference(table.filled("entity"), table.filled("field"))
