"""The workspaces Data management and Data management IT ("Create a data project", "Manage recurring data jobs")."""

from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.routing import route

from popreceipt.emulator.pages.form import Form, recurrence_text
from popreceipt.emulator.pages.page import Page, go


class Workspace(Page):
    """Data management: create a data project, or load one from its card."""

    path = "/"
    section = "workspace"

    @route("")
    async def index(self, request: Request) -> Response:
        """The cards."""
        with self.office.attended() as now:
            jobs = self.office.jobs(now)
            return self.show(
                request,
                "workspace.html",
                now,
                projects=self.office.projects(),
                job_counts=self.office.job_counts(),
                waiting=sum(job.load.waiting for job in jobs),
                jobs=jobs,
            )


class Management(Page):
    """Data management IT: the recurring data jobs, and the framework's parameters."""

    path = "/it"
    section = "it"

    @route("")
    async def index(self, request: Request) -> Response:
        """The tab Recurring data jobs."""
        with self.office.attended() as now:
            return self.show(
                request,
                "it.html",
                now,
                jobs=self.office.jobs(now),
                projects={project.id: project for project in self.office.projects()},
                recurrence_text=recurrence_text,
            )

    @route("/parameters", methods=["GET"])
    async def parameters(self, request: Request) -> Response:
        """The tab Framework parameters."""
        with self.office.attended() as now:
            form = Form.with_values(skip_reprocessing=self.office.parameters().skip_reprocessing)
            return self.show(request, "parameters.html", now, form=form)

    @route("/parameters", methods=["POST"])
    async def set_parameters(self, request: Request) -> Response:
        """Keep the parameters."""
        form = await Form.sent(request)
        with self.office.attended() as now:
            self.office.change_parameters(now, skip_reprocessing=form.ticked("skip_reprocessing"))
        return go(request, "The framework parameters were saved.", "it", "parameters")
