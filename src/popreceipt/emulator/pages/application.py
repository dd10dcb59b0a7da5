"""The pages put together: views, templates, the protections that all of them share."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp
from starlette_admin.base import BaseAdmin
from starlette_admin.security.csrf import CSRFMiddleware

from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.office import Office
from popreceipt.emulator.pages import ROOT, shown
from popreceipt.emulator.pages.door import Door, Key
from popreceipt.emulator.pages.jobs import Jobs, Load
from popreceipt.emulator.pages.messages import Messages, OneMessage
from popreceipt.emulator.pages.page import at
from popreceipt.emulator.pages.projects import Projects
from popreceipt.emulator.pages.reference import Reference
from popreceipt.emulator.pages.sign_in import SignIn
from popreceipt.emulator.pages.workspace import Management, Workspace
from popreceipt.emulator.store import NotKept

_HERE: Final = Path(__file__).parent


def application(emulator: Emulator, keep: Callable[[], bool] | None = None) -> ASGIApp:
    """The pages of an emulator, complete. `keep` is the office's."""
    office = Office(emulator, keep)
    secret = office.secret()
    key = Key(emulator.control_key, secret)
    admin = _Admin(
        title="Data management",
        base_url=ROOT,
        route_name="pages",
        templates_dir=str(_HERE / "templates"),
        static_dir=str(_HERE / "static"),
        index_view=Workspace(office),
        secret_key=secret,
        timezone_config=None,
    )
    for view in (Management, Jobs, Load, Messages, OneMessage, Projects, Reference):
        admin.add_view(view(office))
    admin.add_view(SignIn(office, key))
    environment = admin.templates.env
    environment.globals.update(at=at, root=ROOT)
    environment.filters.update(shown.FILTERS)
    outer = Starlette()
    admin.mount_to(outer)
    admin.app.add_exception_handler(Exception, _failed)
    return Door(outer, emulator, key)


class _Admin(BaseAdmin):
    """The library's site, with the difference that no uploaded file stays open."""

    def _init_csrf(self) -> None:
        if self.secret_key is None:
            raise RuntimeError("The pages were made without a secret to sign with.")
        self.middlewares.append(Middleware(_Tokens, secret_key=self.secret_key))


class _Tokens(CSRFMiddleware):
    """Refuses forms without the token; closes what it has opened to look for it."""

    async def _get_submitted_token(self, request: Request) -> str | None:
        try:
            return await super()._get_submitted_token(request)
        finally:
            await request.close()


async def _failed(_: Request, fault: Exception) -> Response:
    """What the browser is told of a fault of our own, which the door keeps."""
    said = str(fault) if isinstance(fault, NotKept) else "The emulator met a fault of its own. Nothing was changed."
    return PlainTextResponse(said, 500)
