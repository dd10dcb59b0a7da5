"""Manage messages: the grid of a recurring data job's messages, one message with its execution log, its file.

"Recurring integrations", sections "Manage recurring data jobs", "Cleaning up messages" and "Viewing the status of the
batch job for a recurring data job".
"""

from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.routing import route

from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.message import Message
from popreceipt.emulator.pages.grid import COLUMNS, SIZES, STATUSES, Paging, View
from popreceipt.emulator.pages.page import Page

FRAGMENT = "x-fragment"
"""The header with which the grid asks for itself alone, to be brought up to date in place."""


class Messages(Page):
    """The grid of one recurring data job."""

    path = "/jobs/{job}/messages"
    section = "it"

    @route("")
    async def index(self, request: Request) -> Response:
        """The grid, or its rows alone where the page brings itself up to date."""
        view = View.of(request.query_params)
        with self.office.attended() as now:
            job = self.job_of(request, now)
            rows, total = self.office.messages(view.query(job.activity.id))
            paging = Paging(view.page, view.size, total)
            if view.page > paging.pages:
                # Messages that were cleaned up take their last pages with them.
                paging = Paging(paging.pages, view.size, total)
                rows, total = self.office.messages(view.query(job.activity.id, page=paging.page))
        return self.show(
            request,
            "messages/grid.html" if FRAGMENT in request.headers else "messages/index.html",
            now,
            job=job,
            view=view,
            rows=rows,
            paging=paging,
            columns=COLUMNS,
            statuses=STATUSES,
            sizes=SIZES,
        )


class OneMessage(Page):
    """One message: everything about it, how its execution went, and its file."""

    path = "/messages/{message}"
    section = "it"

    @route("")
    async def index(self, request: Request) -> Response:
        """The message with its execution log."""
        with self.office.attended() as now:
            message = self._message(request)
            return self.show(
                request,
                "messages/message.html",
                now,
                job=self.office.job(message.activity, now),
                row=self.office.row(message),
                columns=COLUMNS,
                log=self.office.log(message),
                expires=self.office.payload_expires(message),
            )

    @route("/payload")
    async def payload(self, request: Request) -> Response:
        """The file as it was submitted or exported."""
        with self.office.attended() as now:
            message = self._message(request)
            content = self.office.payload(message)
            if content is None:
                raise HTTPException(404, _why_no_file(message, now))
            name = self.office.payload_name(message)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content, headers=headers, media_type="application/octet-stream")

    def _message(self, request: Request) -> Message:
        spelled = request.path_params["message"]
        identifier = read_guid(spelled)
        message = None if identifier is None else self.office.message(identifier)
        if message is None:
            raise HTTPException(404, f"There is no message with the ID {spelled[:80]}. It may have been cleaned up.")
        return message


def _why_no_file(message: Message, now: datetime) -> str:
    if message.blob is None:
        return "No file was uploaded for this message, so there is nothing to download."
    return f"The file of this message has expired: it is no longer in blob storage at {now:%Y-%m-%d %H:%M:%S} UTC."
