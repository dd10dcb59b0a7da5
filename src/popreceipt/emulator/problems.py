"""Refusals in the three shapes that callers know: the connector's, OData's, the control plane's. None tells a stack.

The connector answers as ASP.NET Web API does (a member `Message`); clients have captured that shape. Actions answer
with OData's error object.
"""

from popreceipt.emulator.http import Response

ODATA_JSON = "application/json; odata.metadata=minimal; charset=utf-8"
OCCURRED = "An error has occurred."

Header = tuple[str, str]


def connector(status: int, message: str, *headers: Header) -> Response:
    """A refusal of a connector route."""
    return Response.of_json(status, {"Message": message}, *headers)


def control(status: int, message: str, *headers: Header) -> Response:
    """A refusal of the control plane."""
    return Response.of_json(status, {"error": message}, *headers)


def odata(status: int, message: str, *headers: Header, inner: str | None = None) -> Response:
    """A refusal of an action; `inner` is the sentence of the inner error where one is known."""
    error: dict[str, object] = {"code": "", "message": message}
    if inner is not None:
        error["innererror"] = {"message": inner, "type": "System.InvalidOperationException"}
    made = Response.of_json(status, {"error": error}, ("odata-version", "4.0"), *headers)
    return Response(status, (("content-type", ODATA_JSON), *made.headers[1:]), made.body)
