"""Data projects as an administrator makes and changes them, by the control plane or on the pages.

"Recurring integrations", section "Create a data project": names, entities, formats and maps must be valid. Checks them
and keeps them; refuses to know what a run does with them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from popreceipt.emulator.activity import EXPORT, IMPORT, Activity
from popreceipt.emulator.dmf import filtering
from popreceipt.emulator.dmf.entity import Entities, Entity
from popreceipt.emulator.dmf.formats import format_named
from popreceipt.emulator.dmf.project import Condition, FieldMap, Project, ProjectEntity
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.store import Store

MOST_ENTITIES: Final = 100
MOST_CONDITIONS: Final = 100
MOST_CONVERSIONS: Final = 10_000
LONGEST_TEXT: Final = 1_000
LONGEST_STYLE_SHEET: Final = 1_000_000
LAST_PLACE: Final = 999_999_999

_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML file can carry, and so no manifest."""


class Invalid(ValueError):
    """A data project that cannot be; the sentence says what is wrong where."""


class Projects:
    """The data projects of an environment."""

    def __init__(self, store: Store, entities: Entities, guids: Guids) -> None:
        self._store = store
        self._entities = entities
        self._guids = guids

    def create(self, **settings: Any) -> Project:
        """A new project; `direction` and `entities` are needed.

        Raises:
            Invalid: something in it cannot be.
        """
        usual = {"name": f"{settings['direction']}-project-{len(self._store.projects()) + 1}"}
        return self._keep(Project(id=self._guids.new(), **(usual | settings)))

    def own(self, identifier: str, activity: str, direction: str, entity: str, source: str) -> Project:
        """The project of its own that an activity gets which was given none.

        Raises:
            Invalid: there is no such entity or format.
        """
        only = (ProjectEntity(entity=entity, format=source),)
        return self._keep(Project(id=identifier, name=activity, direction=_direction(direction), entities=only))

    def change(self, project: Project, **settings: Any) -> Project:
        """The project with other settings; they count from the next run on.

        Raises:
            Invalid: something in it cannot be.
        """
        return self._keep(msgspec.structs.replace(project, **settings))

    def followers(self, project: Project) -> Iterable[Activity]:
        """The activities of a project that still go by another first entity or format than it has."""
        first = project.entities[0]
        for activity in self._store.activities():
            if activity.project == project.id and (activity.entity, activity.format) != (first.entity, first.format):
                yield msgspec.structs.replace(activity, entity=first.entity, format=first.format)

    def _keep(self, project: Project) -> Project:
        checked = valid(project, self._entities)
        self._store.put_project(checked)
        return checked


def valid(project: Project, entities: Entities) -> Project:
    """The project, its entities and formats in their own spelling.

    Raises:
        Invalid: something in it cannot be.
    """
    if not 1 <= len(project.entities) <= MOST_ENTITIES:
        raise Invalid(f"entities has 1 to {MOST_ENTITIES} members, not {len(project.entities)}.")
    _text("description", project.description)
    settled = tuple(
        _valid_entity(one, entities, f"entities[{place}]", is_export=project.direction == EXPORT)
        for place, one in enumerate(project.entities)
    )
    names = [one.entity for one in settled]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Invalid(f"entities has {twice} twice.")
    if project.filter and project.direction != EXPORT:
        raise Invalid("filter is for exports; an import has none.")
    if len(project.filter) > MOST_CONDITIONS:
        raise Invalid(f"filter has at most {MOST_CONDITIONS} members, not {len(project.filter)}.")
    conditions = tuple(
        _valid_condition(one, entities, names, f"filter[{place}]") for place, one in enumerate(project.filter)
    )
    return msgspec.structs.replace(project, entities=settled, filter=conditions)


def _valid_entity(one: ProjectEntity, entities: Entities, where: str, *, is_export: bool) -> ProjectEntity:
    entity = entities.named(one.entity)
    if entity is None:
        there = ", ".join(each.name for each in entities.all())
        raise Invalid(f"{where}.entity is an entity of this world, not {one.entity!r:.80}; there are {there}.")
    try:
        source = format_named(one.format)
    except LookupError as error:
        raise Invalid(f"{where}.format: {error}") from error
    for name in ("execution_unit", "level", "sequence"):
        if not 1 <= getattr(one, name) <= LAST_PLACE:
            raise Invalid(f"{where}.{name} is a whole number from 1 to {LAST_PLACE}, not {getattr(one, name)}.")
    if one.sheet is not None:
        _text(f"{where}.sheet", one.sheet, most=31)
    for place, sheet in enumerate(one.xslt):
        _text(f"{where}.xslt[{place}]", sheet, most=LONGEST_STYLE_SHEET)
    if len(one.map) > len(entity.fields):
        raise Invalid(f"{where}.map has {len(one.map)} members; {entity.name} has {len(entity.fields)} fields.")
    maps = tuple(_valid_map(each, entity, f"{where}.map[{place}]") for place, each in enumerate(one.map))
    fields = [each.field for each in maps]
    if twice := next((field for field in fields if fields.count(field) > 1), None):
        raise Invalid(f"{where}.map has the field {twice} twice.")
    if is_export:
        _refuse_shared_columns(maps, entity, where)
    return msgspec.structs.replace(one, entity=entity.name, format=source.name, map=maps)


def _valid_map(one: FieldMap, entity: Entity, where: str) -> FieldMap:
    field = one.field.upper()
    if field not in entity.columns:
        there = ", ".join(entity.columns)
        raise Invalid(f"{where}.field is a field of {entity.name}, not {one.field!r:.80}; there are {there}.")
    if one.source is not None:
        _text(f"{where}.source", one.source)
        if not one.source.strip():
            raise Invalid(f"{where}.source is the name of a column, or null where the field has none.")
    _text(f"{where}.default", one.default or "")
    if len(one.conversions) > MOST_CONVERSIONS:
        raise Invalid(f"{where}.conversions has at most {MOST_CONVERSIONS} members, not {len(one.conversions)}.")
    for theirs, ours in one.conversions.items():
        _text(f"{where}.conversions", theirs)
        _text(f"{where}.conversions", ours)
    return msgspec.structs.replace(one, field=field)


def _refuse_shared_columns(maps: Sequence[FieldMap], entity: Entity, where: str) -> None:
    """A column of a file that is written holds one field."""
    mapped = {one.field: one for one in maps}
    taken: dict[str, str] = {}
    for field in entity.columns:
        one = mapped.get(field) or FieldMap(field=field, source=field)
        if one.ignore or one.source is None:
            continue
        folded = one.source.strip().casefold()
        if folded in taken:
            raise Invalid(f"{where}.map writes both {taken[folded]} and {field} to the column {one.source}.")
        taken[folded] = field


def _valid_condition(one: Condition, entities: Entities, names: Sequence[str], where: str) -> Condition:
    entity = entities.named(one.entity)
    if entity is None or entity.name not in names:
        raise Invalid(f"{where}.entity is an entity of the project, not {one.entity!r:.80}; it has {', '.join(names)}.")
    field = next((each for each in entity.fields if each.name == one.field.upper()), None)
    if field is None:
        there = ", ".join(entity.columns)
        raise Invalid(f"{where}.field is a field of {entity.name}, not {one.field!r:.80}; there are {there}.")
    _text(f"{where}.value", one.value)
    if said := filtering.fault(field, one):
        raise Invalid(f"{where}.value: {said}")
    return msgspec.structs.replace(one, entity=entity.name, field=field.name)


def _text(where: str, value: str, most: int = LONGEST_TEXT) -> None:
    if len(value) > most:
        raise Invalid(f"{where} has at most {most} characters, not {len(value)}.")
    if found := _NO_CHARACTER.search(value):
        raise Invalid(f"{where} has the character U+{ord(found[0]):04X}, which no file in XML can carry.")


def _direction(direction: str) -> Any:
    if direction not in (IMPORT, EXPORT):
        raise Invalid(f"direction is {IMPORT} or {EXPORT}, not {direction!r:.80}.")
    return direction
