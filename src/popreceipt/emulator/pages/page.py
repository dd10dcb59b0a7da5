"""What all pages share: a look at the office, an answer from a template, addresses, and being gone."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin.flash import flash, get_flashed_messages
from starlette_admin.views import CustomView

from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.office import Job, Office
from popreceipt.emulator.pages import ROOT


def at(*parts: str) -> str:
    """The path of a page by its segments."""
    return "/".join([ROOT, *(quote(part, safe="") for part in parts)])


class Page(CustomView):
    """A group of pages on one thing."""

    add_to_menu = False
    section = ""
    """Which entry of the navigation is marked as the current one."""

    def __init__(self, office: Office) -> None:
        super().__init__()
        self.office = office

    def show(self, request: Request, template: str, now: datetime, status: int = 200, **facts: Any) -> Response:
        """A page made from a template."""
        if self.templates is None:
            raise RuntimeError(f"{type(self).__name__} was asked for a page before it was added to the pages.")
        messages = get_flashed_messages(request)
        context = {"section": self.section, "now": now, "office": self.office, "flashed_messages": messages, **facts}
        return self.templates.TemplateResponse(request, template, context, status)

    def job_of(self, request: Request, now: datetime) -> Job:
        """The recurring data job that the address names.

        Raises:
            HTTPException: 404, there is none.
        """
        spelled = request.path_params["job"]
        identifier = read_guid(spelled)
        job = None if identifier is None else self.office.job(identifier, now)
        if job is None:
            raise HTTPException(404, f"There is no recurring data job with the ID {spelled[:80]}.")
        return job


def go(request: Request, said: str | None, *parts: str, kind: str = "success", query: str = "") -> Response:
    """Go on to another page, which says what was done."""
    if said is not None:
        flash(request, said, kind)
    return RedirectResponse(at(*parts) + query, 303)
