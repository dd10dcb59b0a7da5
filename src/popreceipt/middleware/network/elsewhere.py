"""Another host: it writes down whoever comes, and hands out the blobs that a location or a redirect leads to.

It asks for no token, as blob storage with a signed URL does not; one that comes along all the same came too far.
"""

from typing import Final

from popreceipt.clock import Clock
from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.server import Limits, Service
from popreceipt.journal import redacted, redacted_url
from popreceipt.middleware.network.reception import Tell

BLOBS: Final = "/_blobs/"
"""What the paths of blobs begin with."""


class Elsewhere:
    """The service behind the other host's address.

    Args:
        service: has the blobs, and writes down who fetches one.
        tell: is told of every request.
    """

    def __init__(self, service: Service, tell: Tell) -> None:
        self.base_url = ""
        self._service = service
        self._tell = tell

    @property
    def clock(self) -> Clock:
        """The time of the service behind it."""
        return self._service.clock

    @property
    def profile(self) -> Limits:
        """The limits of the service behind it."""
        return self._service.profile

    def handle(self, request: Request) -> Response:
        """A blob, or that there is nothing else here."""
        scheme, _, rest = (request.header("authorization") or "").partition(" ")
        token = redacted(rest.strip()) if scheme.lower() == "bearer" and rest.strip() else None
        is_blob = request.path.startswith(BLOBS)
        self._tell(
            {
                "kind": "elsewhere",
                "root": f"{request.scheme}://{request.host}".lower(),
                "token": token,
                "method": request.method,
                "path": request.path,
                "query": redacted_url(f"?{request.query}")[1:],
                "accepted": is_blob,
            }
        )
        if is_blob:
            return self._service.handle(request)
        return Response(404, (("content-type", "text/plain"),), b"There is nothing here but blobs.\n")
