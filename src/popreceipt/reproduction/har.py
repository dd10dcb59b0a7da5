"""Exchanges as an HTTP Archive (HAR 1.2), for viewers that know no journals.

The archive has no way to hold a request's body that is no text, nor a call without an answer: `encoding` beside such
a body and `_error` in such an answer say so, as browsers do, and `popreceipt judge` reads both.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from popreceipt import __version__
from popreceipt.exceptions import UsageError
from popreceipt.journal import Body, Exchange, Headers, instant_text

if TYPE_CHECKING:
    import harfile

LIBRARY = "harfile"


def is_possible() -> bool:
    """Whether the library that writes archives is installed."""
    return find_spec(LIBRARY) is not None


def write(path: Path, exchanges: Iterable[Exchange], comment: str | None = None) -> None:
    """Write exchanges as they stand in a journal, without their secrets.

    Raises:
        UsageError: the library that writes archives is not installed.
    """
    try:
        import harfile
    except ImportError as error:
        raise UsageError(
            "Writing HAR files needs a library that is not installed: pip install 'popreceipt[suites]'."
        ) from error
    creator = harfile.Creator("popreceipt", __version__)
    with (
        path.open("w", encoding="utf-8", newline="\n") as file,
        harfile.HarFile.open(file, creator=creator, comment=comment) as archive,
    ):
        for each in exchanges:
            took = (each.answered - each.sent).total_seconds() * 1000
            archive.add_entry(
                startedDateTime=instant_text(each.sent),
                time=round(took, 3),
                request=_request(each),
                response=_response(each),
                timings=harfile.Timings(send=0, wait=round(took, 3), receive=0),
                comment=" ".join(filter(None, (f"#{each.seq} {each.operation}", each.actor and f"as {each.actor}"))),
            )


def _request(exchange: Exchange) -> "harfile.Request":
    import harfile

    request = exchange.request
    posted = None
    if request.body is not None:
        text, encoding, comment = _content(request.body)
        posted = harfile.PostData(_type_of(request.headers), text=text, comment=comment)
        if encoding is not None:
            posted = cast("harfile.PostData", _Extended(posted, {"encoding": encoding}))
    return harfile.Request(
        request.method,
        request.url,
        "HTTP/1.1",
        headers=_records(request.headers),
        queryString=_records(parse_qsl(urlsplit(request.url).query, keep_blank_values=True)),
        postData=posted,
        bodySize=_size(request.body),
    )


def _response(exchange: Exchange) -> "harfile.Response":
    import harfile

    response = exchange.response
    if response is None:
        lost = harfile.Response(0, "", "", bodySize=0, comment="no answer came")
        return cast("harfile.Response", _Extended(lost, {"_error": exchange.failure or "no answer"}))
    text, encoding, comment = _content(response.body) if response.body is not None else (None, None, None)
    location = next((value for name, value in response.headers if name == "location"), "")
    made = harfile.Response(
        response.status,
        "",
        "HTTP/1.1",
        headers=_records(response.headers),
        content=harfile.Content(
            size=max(0, _size(response.body)),
            mimeType=_type_of(response.headers),
            text=text,
            encoding=encoding,
            comment=comment,
        ),
        redirectURL=location,
        bodySize=_size(response.body),
    )
    if exchange.failure is None:
        return made
    return cast("harfile.Response", _Extended(made, {"_error": exchange.failure}))


@dataclass(frozen=True, slots=True)
class _Extended:
    """A part of an archive with members that the format does not know; the library asks a part for nothing else."""

    part: "harfile.PostData | harfile.Response"
    more: Mapping[str, str]

    def asdict(self) -> dict[str, Any]:
        return {**self.part.asdict(), **self.more}


def _content(body: Body) -> tuple[str | None, str | None, str | None]:
    """Text, its encoding and a comment; a journal keeps only the digest of a large body."""
    content = body.content()
    if content is None:
        return None, None, f"{body.length} bytes, SHA-256 {body.sha256}"
    if body.text is not None:
        return body.text, None, None
    return base64.b64encode(content).decode("ascii"), "base64", None


def _records(pairs: Iterable[tuple[str, str]]) -> "list[harfile.Record]":
    import harfile

    return [harfile.Record(name, value) for name, value in pairs]


def _type_of(headers: Headers) -> str:
    return next((value for name, value in headers if name == "content-type"), "application/octet-stream")


def _size(body: Body | None) -> int:
    return 0 if body is None else body.length if body.length is not None else len(body.content() or b"")
