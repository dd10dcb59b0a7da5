"""Manage scheduled data jobs: one recurring data job, its settings, its batch, its clean-up, its load.

"Recurring integrations", sections "Create a recurring data job", "Manage recurring data jobs", "Cleaning up messages"
and "Preventing uploads when there are no records".
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.routing import route

from popreceipt.emulator.activity import EXPORT, FILE, IMPORT, Activity
from popreceipt.emulator.dmf.synthetic import NotEnough
from popreceipt.emulator.pages.form import Form, number, recurrence_fields, recurrence_text
from popreceipt.emulator.pages.grid import STATUSES
from popreceipt.emulator.pages.page import Page, go
from popreceipt.emulator.routes import settings

SAMPLES_SHOWN = 500
"""How many samples the chart has; older ones have scrolled out of it."""


class Jobs(Page):
    """One recurring data job."""

    path = "/jobs/{job}"
    section = "it"

    @route("", methods=["GET"])
    async def index(self, request: Request) -> Response:
        """The job's details."""
        with self.office.attended() as now:
            job = self.job_of(request, now)
            return self.show(
                request,
                "jobs/job.html",
                now,
                job=job,
                project=self.office.project(job.activity.project),
                application=self.office.application_id,
                recurrence_text=recurrence_text,
                due=self.office.next_run(job.activity),
            )

    @route("/settings", methods=["GET"])
    async def settings(self, request: Request) -> Response:
        """The job's settings, to be changed."""
        with self.office.attended() as now:
            job = self.job_of(request, now)
            form = Form.with_values(**settings_fields(job.activity))
            return self.show(
                request, "jobs/settings.html", now, job=job, form=form, application=self.office.application_id
            )

    @route("/settings", methods=["POST"])
    async def change(self, request: Request) -> Response:
        """Keep the changed settings."""
        form = await Form.sent(request)
        with self.office.attended() as now:
            job = self.job_of(request, now)
            changes = form.read(settings_members(form, job.activity.direction, job.activity.type), settings.CHANGE)
            if form.errors:
                facts = {"job": job, "form": form, "application": self.office.application_id}
                return self.show(request, "jobs/settings.html", now, 422, **facts)
            self.office.change_job(job.activity, changes)
        return go(request, "The settings were saved. They count from now on.", "jobs", job.activity.id)

    @route("/run", methods=["POST"])
    async def run(self, request: Request) -> Response:
        """Let the job's batch run now."""
        form = await Form.sent(request)
        with self.office.attended() as now:
            activity = self.job_of(request, now).activity
            if activity.direction == IMPORT:
                taken = self.office.process(activity, now)
                said = f"The batch job has taken {_counted(taken, 'message')}."
            else:
                asked: dict[str, Any] = {}
                if form.value("records"):
                    asked = form.read({"records": number(form.value("records"))}, settings.PRODUCE)
                if form.errors:
                    return go(request, form.errors["records"], "jobs", activity.id, kind="error")
                try:
                    records, uploaded = self.office.export(activity, asked.get("records"), now)
                except NotEnough as problem:
                    return go(request, str(problem), "jobs", activity.id, kind="error")
                said = f"The batch job has exported {_counted(records, 'record')}."
                if not uploaded:
                    said += " No file was uploaded, as the job prevents uploads without records."
        return go(request, said, "jobs", activity.id, "messages")

    @route("/batch-status", methods=["POST"])
    async def batch_status(self, request: Request) -> Response:
        """Get batch status: it is fetched asynchronously, and a refresh shows it."""
        with self.office.attended() as now:
            activity = self.job_of(request, now).activity
            self.office.get_batch_status(activity, now)
        said = "The batch status is being fetched. The grid has it in a moment: refresh, or wait for the live update."
        return go(request, said, "jobs", activity.id, "messages")

    @route("/clean-up", methods=["GET"])
    async def clean_up_window(self, request: Request) -> Response:
        """The window Message clean up as a page of its own."""
        with self.office.attended() as now:
            job = self.job_of(request, now)
            return self.show(request, "messages/clean_up.html", now, job=job, doomed=None, statuses=STATUSES)

    @route("/clean-up", methods=["POST"])
    async def clean_up(self, request: Request) -> Response:
        """Say how many messages would go; once that is confirmed, let them go."""
        form = await Form.sent(request)
        with self.office.attended() as now:
            job = self.job_of(request, now)
            facts: dict[str, Any] = {"job": job, "form": form, "statuses": STATUSES}
            members = {"olderThanDays": _decimal(form.value("olderThanDays")), "statuses": form.list("statuses")}
            asked = form.read(members, settings.CLEANUP)
            if form.errors:
                return self.show(request, "messages/clean_up.html", now, 422, doomed=None, **facts)
            age, chosen = asked["olderThanDays"], asked["statuses"]
            if not form.ticked("confirmed"):
                doomed = self.office.count_for_clean_up(job.activity, now, older_than=age, statuses=chosen)
                return self.show(request, "messages/clean_up.html", now, doomed=doomed, **facts)
            deleted = self.office.clean_up(job.activity, now, older_than=age, statuses=chosen)
        return go(request, f"{_counted(deleted, 'message')} deleted.", "jobs", job.activity.id, "messages")


class Load(Page):
    """The load of a job's queue, as its monitoring recurrence saw it."""

    path = "/jobs/{job}/load"
    section = "it"

    @route("")
    async def index(self, request: Request) -> Response:
        """The chart and the samples behind it."""
        with self.office.attended() as now:
            job = self.job_of(request, now)
            samples = self.office.samples(job.activity)
            return self.show(
                request,
                "jobs/load.html",
                now,
                job=job,
                samples=list(samples[-SAMPLES_SHOWN:]),
                total=len(samples),
                recurrence_text=recurrence_text,
            )


def settings_fields(activity: Activity) -> dict[str, Any]:
    """The fields of the form that show a job's settings."""
    return {
        "description": activity.description,
        "enabled": activity.enabled,
        "in_order": activity.in_order,
        "use_company_from_message": activity.use_company_from_message,
        "prevent_upload_when_zero_records": activity.prevent_upload_when_zero_records,
        **recurrence_fields("processing_recurrence", activity.processing_recurrence),
        **recurrence_fields("monitoring_recurrence", activity.monitoring_recurrence),
    }


def settings_members(form: Form, direction: str, kind: str) -> dict[str, Any]:
    """What the form sets, in the control plane's words: only what applies to a job of this direction and type."""
    members: dict[str, Any] = {
        "description": form.value("description"),
        "enabled": form.ticked("enabled"),
        "processing_recurrence": form.recurrence("processing_recurrence"),
        "monitoring_recurrence": form.recurrence("monitoring_recurrence"),
    }
    if direction == EXPORT:
        members["prevent_upload_when_zero_records"] = form.ticked("prevent_upload_when_zero_records")
    else:
        members["use_company_from_message"] = form.ticked("use_company_from_message")
        if kind == FILE:
            members["in_order"] = form.ticked("in_order")
    return members


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _decimal(text: str) -> float | str:
    """A number; what is none is left as it was typed, for the reader to refuse."""
    try:
        return float(text)
    except ValueError:
        return text
