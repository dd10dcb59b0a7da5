"""Data projects: created by uploading a file for each entity, mapped, filtered, and given recurring data jobs.

"Recurring integrations", sections "Create a data project" and "Create a recurring data job".
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.flash import flash
from starlette_admin.routing import route

from popreceipt.emulator.activity import EXPORT, IMPORT
from popreceipt.emulator.dmf.project import Condition, FieldMap, Project, ProjectEntity
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.office import FileProblem
from popreceipt.emulator.pages.form import Form, number, recurrence_fields, recurrence_text
from popreceipt.emulator.pages.jobs import settings_members
from popreceipt.emulator.pages.page import Page, go
from popreceipt.emulator.projects import LAST_PLACE, Invalid
from popreceipt.emulator.recurrence import Recurrence
from popreceipt.emulator.routes import settings

OPERATORS = {
    "equals": "is",
    "not-equals": "is not",
    "less": "is less than",
    "less-or-equal": "is at most",
    "greater": "is greater than",
    "greater-or-equal": "is at least",
    "contains": "contains",
}


_PLACES = ("execution_unit", "level", "sequence")


class _Upload(NamedTuple):
    """A row of the form: an entity with its format, and the file that shows how it comes. `key` tells rows apart."""

    key: str
    entity: str
    format: str
    sheet: str
    content: bytes | None


class Projects(Page):
    """All data projects."""

    path = "/projects"
    section = "workspace"

    # Creating one

    @route("/new/{direction:str}", methods=["GET"])
    async def new(self, request: Request) -> Response:
        """The form of a new data project, with one entity."""
        direction = _direction(request)
        form = Form({"row": ["0"], "format-0": ["CSV"]})
        with self.office.attended() as now:
            return self._new(request, now, form, direction)

    @route("/new/{direction:str}", methods=["POST"])
    async def create(self, request: Request) -> Response:
        """Look at every file, and create the project if all of them are well."""
        direction = _direction(request)
        async with request.form() as data:
            form = Form.of(data)
            uploads = [upload async for upload in _uploads(form, data)]
        with self.office.attended() as now:
            form.read({"name": form.value("name")}, settings.CREATE)
            entities = self._entities(form, uploads)
            if not uploads:
                form.errors[""] = "A data project needs at least one entity. Add one."
            if form.errors:
                return self._new(request, now, form, direction, 422)
            project = self._kept(
                form,
                lambda: self.office.create_project(
                    name=form.value("name"),
                    description=form.value("description"),
                    direction=direction,
                    entities=tuple(entity for entity, _ in entities),
                ),
            )
            if project is None:
                return self._new(request, now, form, direction, 422)
        for entity, said in entities:
            if said:
                flash(request, f"{entity.entity}: {said}", "warning")
        return go(request, f"The data project {project.name} was created.", "projects", project.id)

    def _new(self, request: Request, now: datetime, form: Form, direction: str, status: int = 200) -> Response:
        return self.show(
            request,
            "projects/new.html",
            now,
            status,
            form=form,
            direction=direction,
            entities=self.office.entities,
            formats=self.office.formats,
        )

    def _entities(self, form: Form, uploads: list[_Upload]) -> list[tuple[ProjectEntity, str | None]]:
        """The entities of the form, each with what is to be said of its file; problems go to the form's errors."""
        found = []
        taken: set[str] = set()
        for place, upload in enumerate(uploads, start=1):
            if upload.entity in taken:
                form.errors[f"entity-{upload.key}"] = f"{upload.entity} stands in this project already."
            taken.add(upload.entity)
            try:
                examined = self.office.examine_file(upload.entity, upload.format, upload.sheet, upload.content)
            except FileProblem as problem:
                form.errors[f"{problem.about}-{upload.key}"] = str(problem)
                continue
            found.append((msgspec.structs.replace(examined.entity, sequence=place), examined.said))
        return found

    def _kept(self, form: Form, keeps: Callable[[], Project]) -> Project | None:
        try:
            return keeps()
        except Invalid as problem:
            form.errors[""] = str(problem)
            return None

    # One of them

    @route("/{project}", methods=["GET"])
    async def project(self, request: Request) -> Response:
        """The project: its entities, its filter, its recurring data jobs."""
        with self.office.attended() as now:
            project = self._project(request)
            return self.show(
                request,
                "projects/project.html",
                now,
                project=project,
                jobs=self.office.jobs_of(project, now),
                operators=OPERATORS,
                recurrence_text=recurrence_text,
            )

    # Field maps and style sheets

    @route("/{project}/entities/{number:int}", methods=["GET"])
    async def field_map(self, request: Request) -> Response:
        """The field map and the style sheets of one entity."""
        with self.office.attended() as now:
            project = self._project(request)
            number, settled = _entity(request, project)
            return self._map(request, now, project, number, self._map_form(settled))

    @route("/{project}/entities/{number:int}", methods=["POST"])
    async def change_map(self, request: Request) -> Response:
        """Keep the field map, the place in the order, and the style sheets."""
        async with request.form() as data:
            form = Form.of(data)
            added = await _content(data, "style-sheet")
        with self.office.attended() as now:
            project = self._project(request)
            number, settled = _entity(request, project)
            changed = self._mapped(form, settled, _style_sheets(form, settled, added))
            if not form.errors:
                entities = (*project.entities[:number], changed, *project.entities[number + 1 :])
                self._kept(form, lambda: self.office.change_project(project, entities=entities))
            if form.errors:
                return self._map(request, now, project, number, form, 422)
        return go(request, f"The field map of {settled.entity} was saved.", "projects", project.id)

    def _map(
        self, request: Request, now: datetime, project: Project, number: int, form: Form, status: int = 200
    ) -> Response:
        settled = project.entities[number]
        return self.show(
            request,
            "projects/map.html",
            now,
            status,
            project=project,
            settled=settled,
            entity=self.office.entity(settled.entity),
            form=form,
        )

    def _map_form(self, settled: ProjectEntity) -> Form:
        maps = {one.field: one for one in settled.map}
        values: dict[str, Any] = {
            "execution_unit": str(settled.execution_unit),
            "level": str(settled.level),
            "sequence": str(settled.sequence),
            "fail_unit_on_error": settled.fail_unit_on_error,
            "fail_level_on_error": settled.fail_level_on_error,
            "keep": [str(place) for place, _ in enumerate(settled.xslt)],
        }
        for field in self.office.entity(settled.entity).fields:
            one = maps.get(field.name)
            values |= {
                f"{field.name}-source": field.name if one is None else one.source,
                f"{field.name}-default": None if one is None else one.default,
                f"{field.name}-generated": one is not None and one.auto_generated,
                f"{field.name}-ignore": one is not None and one.ignore,
                f"{field.name}-conversions": _conversions_text({} if one is None else one.conversions),
            }
        return Form.with_values(**values)

    def _mapped(self, form: Form, settled: ProjectEntity, style_sheets: tuple[str, ...]) -> ProjectEntity:
        """The entity as the form has it; what is wrong goes to the form's errors."""
        names = [field.name for field in self.office.entity(settled.entity).fields]
        maps = tuple(
            FieldMap(
                field=name,
                source=form.value(f"{name}-source") or None,
                default=form.value(f"{name}-default") or None,
                auto_generated=form.ticked(f"{name}-generated"),
                ignore=form.ticked(f"{name}-ignore"),
                conversions=_conversions(form, f"{name}-conversions"),
            )
            for name in names
        )
        typed = {name: number(form.value(name)) for name in _PLACES}
        places = form.read(typed, dict.fromkeys(_PLACES, settings.whole(1, LAST_PLACE)))
        return msgspec.structs.replace(
            settled,
            **places,
            fail_unit_on_error=form.ticked("fail_unit_on_error"),
            fail_level_on_error=form.ticked("fail_level_on_error"),
            map=() if maps == tuple(FieldMap(field=name, source=name) for name in names) else maps,
            xslt=style_sheets,
        )

    # The filter

    @route("/{project}/filter", methods=["GET"])
    async def filter(self, request: Request) -> Response:
        """The one filter of an export project."""
        with self.office.attended() as now:
            project = self._project(request)
            values: dict[str, Any] = {"row": [str(number) for number, _ in enumerate(project.filter)]}
            for number, one in enumerate(project.filter):
                values |= {
                    f"field-{number}": f"{one.entity}/{one.field}",
                    f"operator-{number}": one.operator,
                    f"value-{number}": one.value,
                }
            return self._filter(request, now, project, Form.with_values(**values))

    @route("/{project}/filter", methods=["POST"])
    async def change_filter(self, request: Request) -> Response:
        """Keep the filter: every recurring data job of the project follows from its next run on."""
        form = await Form.sent(request)
        with self.office.attended() as now:
            project = self._project(request)
            conditions = []
            for row in form.list("row"):
                entity, _, field = form.value(f"field-{row}").rpartition("/")
                operator = form.read(
                    {f"operator-{row}": form.value(f"operator-{row}")}, {f"operator-{row}": settings.one_of(*OPERATORS)}
                )
                value = form.value(f"value-{row}")
                conditions += [
                    Condition(entity=entity, field=field, operator=one, value=value) for one in operator.values()
                ]
            if not form.errors:
                self._kept(form, lambda: self.office.change_project(project, filter=tuple(conditions)))
            if form.errors:
                return self._filter(request, now, project, form, 422)
        said = "The filter was saved. All recurring data jobs of this project use it from their next run on."
        return go(request, said, "projects", project.id)

    def _filter(self, request: Request, now: datetime, project: Project, form: Form, status: int = 200) -> Response:
        fields = [
            (f"{one.entity}/{field.name}", f"{one.entity}: {field.name}")
            for one in project.entities
            for field in self.office.entity(one.entity).fields
        ]
        facts = {"project": project, "form": form, "fields": fields, "operators": OPERATORS}
        return self.show(request, "projects/filter.html", now, status, **facts)

    # Recurring data jobs

    @route("/{project}/jobs/new", methods=["GET"])
    async def new_job(self, request: Request) -> Response:
        """The form of a new recurring data job."""
        with self.office.attended() as now:
            project = self._project(request)
            usual = recurrence_fields("processing_recurrence", Recurrence(every=5))
            form = Form.with_values(
                **{"type": "file" if project.direction == IMPORT else "package", "enabled": True, **usual}
            )
            return self._new_job(request, now, project, form)

    @route("/{project}/jobs/new", methods=["POST"])
    async def create_job(self, request: Request) -> Response:
        """Create the recurring data job; a message box confirms it."""
        form = await Form.sent(request)
        with self.office.attended() as now:
            project = self._project(request)
            kind = form.value("type")
            members = {
                **settings_members(form, project.direction, kind),
                "name": form.value("name"),
                "type": kind,
                "direction": project.direction,
            }
            asked = form.read(members, settings.CREATE)
            if form.errors:
                return self._new_job(request, now, project, form, 422)
            activity = self.office.create_job(project, asked)
        said = f"The recurring data job {activity.name} has been created, and its batch job with it."
        return go(request, said, "jobs", activity.id, kind="info")

    def _new_job(self, request: Request, now: datetime, project: Project, form: Form, status: int = 200) -> Response:
        facts = {"project": project, "form": form, "application": self.office.application_id}
        return self.show(request, "projects/new_job.html", now, status, **facts)

    def _project(self, request: Request) -> Project:
        spelled = request.path_params["project"]
        identifier = read_guid(spelled)
        project = None if identifier is None else self.office.project(identifier)
        if project is None:
            raise HTTPException(404, f"There is no data project with the ID {spelled[:80]}.")
        return project


async def _uploads(form: Form, data: FormData) -> AsyncIterator[_Upload]:
    for row in form.list("row"):
        content = await _content(data, f"file-{row}")
        yield _Upload(
            row, form.value(f"entity-{row}"), form.value(f"format-{row}"), form.value(f"sheet-{row}"), content
        )


async def _content(data: FormData, name: str) -> bytes | None:
    """The file that was chosen in a field; None where none was."""
    file = data.get(name)
    return await file.read() if isinstance(file, UploadFile) and file.filename else None


def _direction(request: Request) -> str:
    direction: str = request.path_params["direction"]
    if direction not in {IMPORT, EXPORT}:
        raise HTTPException(404, f"A data project is for import or for export, not for {direction[:80]}.")
    return direction


def _entity(request: Request, project: Project) -> tuple[int, ProjectEntity]:
    number: int = request.path_params["number"]
    if number >= len(project.entities):
        raise HTTPException(404, f"The data project {project.name} has no entity number {number}.")
    return number, project.entities[number]


def _style_sheets(form: Form, settled: ProjectEntity, added: bytes | None) -> tuple[str, ...]:
    sheets = [sheet for place, sheet in enumerate(settled.xslt) if str(place) in form.list("keep")]
    if added is not None:
        try:
            sheets.append(added.decode("utf-8-sig"))
        except UnicodeDecodeError:
            form.errors["style-sheet"] = "That file is no style sheet in UTF-8."
    return tuple(sheets)


def _conversions(form: Form, name: str) -> dict[str, str]:
    """Value conversions, a line each: the file's value, an equals sign, the entity's value."""
    found: dict[str, str] = {}
    for line in form.value(name).splitlines():
        theirs, equals, ours = line.partition("=")
        if line.strip() and not equals:
            form.errors[name] = f"{line.strip()[:80]!r} has no equals sign: write file value=entity value."
        elif line.strip():
            found[theirs.strip()] = ours.strip()
    return found


def _conversions_text(conversions: Mapping[str, str]) -> str:
    return "\n".join(f"{theirs}={ours}" for theirs, ours in conversions.items())
