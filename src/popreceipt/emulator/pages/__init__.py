"""The pages of the data management workspace: what an administrator sees and does, below `/pages`.

This module knows only whether the pages can be served and makes them when somebody first asks for one. Without the
libraries of the extra `pages` it says what to install. What pages show and do comes from `emulator.office`.
"""

import importlib.util
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from popreceipt.emulator.emulator import Emulator

ROOT: Final = "/pages"
"""Below which path the pages stand."""

_NEEDED: Final = ("starlette_admin", "starlette", "jinja2", "itsdangerous", "python_multipart")

_Application = Callable[[Any, Any, Any], Awaitable[None]]


def are_installed() -> bool:
    """Whether the libraries that the pages need are there."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


class Pages:
    """The pages of one emulator, as an ASGI application. It costs nothing until somebody asks for a page.

    Args:
        emulator: whose pages they are.
        keep: keeps what was done so far, where the store does not by itself; False says that it could not be kept.
    """

    def __init__(self, emulator: "Emulator", keep: Callable[[], bool] | None = None) -> None:
        self._emulator = emulator
        self._keep = keep
        self._application: _Application | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request below `/pages`."""
        if self._application is None:
            self._application = self._made() if are_installed() else _not_installed
        await self._application(scope, receive, send)

    def _made(self) -> _Application:
        from popreceipt.emulator.pages.application import application

        return application(self._emulator, self._keep)


async def _not_installed(scope: Any, receive: Any, send: Any) -> None:
    """Say what is missing, with nothing but what every installation has."""
    del scope, receive
    body = b"The pages need more libraries than the emulator itself. Install them: pip install 'popreceipt[pages]'\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 501, "headers": headers})
    await send({"type": "http.response.body", "body": body})
