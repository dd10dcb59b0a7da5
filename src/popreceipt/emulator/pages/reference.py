"""The API reference: the specifications that come along, as a page.

It shows what `specs/*.openapi.yaml` say and knows nothing of what the emulator does. The documents are read by Redoc in
the browser, so no library that reads YAML is needed here.
"""

from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.routing import route

from popreceipt import resources
from popreceipt.emulator.pages.door import policy
from popreceipt.emulator.pages.page import Page


@dataclass(frozen=True, slots=True)
class Document:
    """One specification: its name in addresses, what it is called on the page, and what it is about."""

    name: str
    label: str
    about: str


DOCUMENTS: Final = (
    Document("connector", "Connector", "Enqueue, dequeue, download, acknowledgment, jobstatus"),
    Document("data-management", "Data management", "Status and errors of messages"),
    Document("identity", "Identity", "Tokens, and the documents about them"),
    Document("control", "Control plane", "Virtual time and the back office"),
)


_STYLES: Final = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
)
"""Digests of the two style elements that Redoc puts into the page: an empty one, which it fills by script, and the one
of its scroll bars. No other is let in."""


class Reference(Page):
    """The four documents, one at a time."""

    path = "/api"
    section = "api"

    @route("")
    async def index(self, request: Request) -> Response:
        """The first of them."""
        return self._shown(request, DOCUMENTS[0])

    @route("/{name}.yaml")
    async def source(self, request: Request) -> Response:
        """A document as it is."""
        document = _named(request)
        text = (resources.specs() / f"{document.name}.openapi.yaml").read_bytes()
        return Response(text, media_type="application/yaml")

    @route("/{name}")
    async def one(self, request: Request) -> Response:
        """One of them."""
        return self._shown(request, _named(request))

    def _shown(self, request: Request, document: Document) -> Response:
        with self.office.attended() as now:
            page = self.show(request, "api.html", now, documents=DOCUMENTS, document=document)
        page.headers["content-security-policy"] = policy(*_STYLES)
        return page


def _named(request: Request) -> Document:
    name = request.path_params["name"]
    for document in DOCUMENTS:
        if document.name == name:
            return document
    raise HTTPException(404, f"There is no specification {name[:80]}.")
