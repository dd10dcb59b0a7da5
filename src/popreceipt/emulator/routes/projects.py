"""Data projects on the control plane: listed, made, changed, and named by new activities."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from popreceipt.emulator.activity import EXPORT, IMPORT, Activity
from popreceipt.emulator.bodies import read_object
from popreceipt.emulator.dmf.formats import format_named
from popreceipt.emulator.dmf.project import Condition, Project, ProjectEntity
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.projects import LONGEST_TEXT
from popreceipt.emulator.routes import settings
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.store import Store

if TYPE_CHECKING:
    from popreceipt.emulator.emulator import Emulator


class Unknown(Exception):
    """A project that there is not; the sentence names it."""


def listed(call: Call, _: tuple[str, ...]) -> Response:
    """All projects, oldest first."""
    return Response.of_json(200, [project.as_json() for project in call.emulator.store.projects()])


def shown(call: Call, path: tuple[str, ...]) -> Response:
    """One project."""
    return Response.of_json(200, named(call.emulator.store, path[1]).as_json())


def created(call: Call, _: tuple[str, ...]) -> Response:
    """A new project."""
    asked = settings.read(read_object(call.request.body), _CREATE, "direction", "entities")
    return Response.of_json(201, call.emulator.create_project(**asked).as_json())


def changed(call: Call, path: tuple[str, ...]) -> Response:
    """A project with other settings."""
    project = named(call.emulator.store, path[1])
    asked = settings.read(read_object(call.request.body), _CHANGE)
    return Response.of_json(200, call.emulator.change_project(project, **asked).as_json())


def named(store: Store, text: str) -> Project:
    """The project that a path or a member names.

    Raises:
        Refused: the text is no ID.
        Unknown: there is no such project.
    """
    identifier = read_guid(text)
    if identifier is None:
        raise settings.Refused(f"The project ID {text[:80]!r} is no GUID.")
    project = store.project(identifier)
    if project is None:
        raise Unknown(f"There is no data project {identifier}.")
    return project


def for_activity(emulator: "Emulator", asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a new activity is to be, once the project that it names has had its say.

    Raises:
        Refused: an entity, a format or a project that there is not, or a project of another direction, first entity or
            format.
    """
    settled = {name: value for name, value in asked.items() if value is not None or name not in _OF_PROJECT}
    if (entity := settled.get("entity")) is not None:
        found = emulator.entities.named(entity)
        if found is None:
            raise settings.Refused(f"entity is an entity of this world, not {settings.said(entity)}.")
        settled["entity"] = found.name
    if (source := settled.get("format")) is not None:
        try:
            settled["format"] = format_named(source).name
        except LookupError as error:
            raise settings.Refused(f"format: {error}") from error
    if "project" not in settled:
        return settled
    try:
        project = named(emulator.store, settled["project"])
    except Unknown as unknown:
        raise settings.Refused(str(unknown)) from unknown
    if project.direction != settled["direction"]:
        raise settings.Refused(f"The data project {project.id} is an {project.direction}, not an {asked['direction']}.")
    first = project.entities[0]
    for name, own in (("entity", first.entity), ("format", first.format)):
        if settled.setdefault(name, own) != own:
            raise settings.Refused(f"{name} is {own}, as the data project has it, not {settled[name]}.")
    return {**settled, "project": project.id}


def entity_of(call: Call, activity: Activity) -> str:
    """The entity of the activity's project that the query's `entity` names; the first without it.

    Raises:
        Refused: the project has no such entity.
    """
    wanted = call.request.parameters().get("entity")
    if wanted is None:
        return activity.entity
    project = call.emulator.store.project(activity.project)
    names = [one.entity for one in project.entities] if project is not None else [activity.entity]
    for name in names:
        if name.casefold() == wanted.strip().casefold():
            return name
    raise settings.Refused(f"entity is one of {', '.join(names)}, not {settings.said(wanted)}.")


_OF_PROJECT: Final = ("project", "entity", "format")


def _description(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise settings.Refused(f"{name} is a text of at most {LONGEST_TEXT} characters, not {settings.said(value)}.")
    return value


def _entities(name: str, value: Any) -> tuple[ProjectEntity, ...]:
    found: tuple[ProjectEntity, ...] = _converted(name, value, tuple[ProjectEntity, ...])
    return found


def _filter(name: str, value: Any) -> tuple[Condition, ...]:
    found: tuple[Condition, ...] = _converted(name, value, tuple[Condition, ...])
    return found


def _converted(name: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at ")
        raise settings.Refused(f"{place.strip('`').replace('$', name, 1) or name}: {said}.") from error


_CHANGE: Final[Mapping[str, settings.Reader]] = {
    "name": settings.activity_name,
    "description": _description,
    "entities": _entities,
    "filter": _filter,
}

_CREATE: Final[Mapping[str, settings.Reader]] = {"direction": settings.one_of(IMPORT, EXPORT), **_CHANGE}
