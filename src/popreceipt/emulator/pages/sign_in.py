"""Sign in with the control key, for browsers on other computers."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin.routing import route

from popreceipt.emulator.office import Office
from popreceipt.emulator.pages import ROOT
from popreceipt.emulator.pages.door import Key
from popreceipt.emulator.pages.form import Form
from popreceipt.emulator.pages.page import Page


class SignIn(Page):
    """The one page that everybody may see."""

    path = "/sign-in"

    def __init__(self, office: Office, key: Key) -> None:
        super().__init__(office)
        self._key = key

    @route("", methods=["GET"])
    async def index(self, request: Request) -> Response:
        """Ask for the key."""
        return self._page(request, Form({}))

    @route("", methods=["POST"], name="sign-in")
    async def sign_in(self, request: Request) -> Response:
        """Take the key, and let the browser in."""
        form = await Form.sent(request)
        if not self._key.fits(form.value("key")):
            form.errors["key"] = (
                "That is not the control key. It stands in the line that the server wrote when it started."
            )
            return self._page(request, form, 403)
        following = request.query_params.get("next", "")
        response = RedirectResponse(following if following.startswith(f"{ROOT}/") else f"{ROOT}/", 303)
        self._key.remember(response, secure=request.url.scheme == "https")
        return response

    def _page(self, request: Request, form: Form, status: int = 200) -> Response:
        with self.office.attended() as now:
            return self.show(request, "sign_in.html", now, status, form=form)
