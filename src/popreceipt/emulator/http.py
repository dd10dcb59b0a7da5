"""Requests and responses as the emulator's routes see them: values, no sockets.

The server and the in-process transport both make a `Request` and send back the `Response`, so that a route cannot
tell which way it was called.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import unquote_plus

import msgspec

JSON = "application/json; charset=utf-8"


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, read to its end.

    `path` and `query` are as they were sent, still percent-encoded; header names are in lower case. `local` says that
    the caller sits on a loopback address (the control plane asks for its key otherwise).
    """

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    scheme: str = "http"
    host: str = ""
    local: bool = True

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def parameters(self) -> Mapping[str, str]:
        """The query's parameters, names in lower case, the first of equal ones; `+` and `%20` are both a blank."""
        return _parameters(self.query)


@functools.lru_cache(maxsize=1024)
def _parameters(query: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name:
            found.setdefault(unquote_plus(name).lower(), unquote_plus(value))
    return MappingProxyType(found)  # it is shared by all requests with this query


class Interruption(msgspec.Struct, frozen=True):
    """What happens to an answer on its way, where somebody planned a fault.

    `reset`: the connection is reset, nothing is sent. `timeout`: nothing is sent for `seconds`, then the connection is
    closed. `truncated`: of the body `after_bytes` are sent, then the connection is closed. `slow`: all of it is sent,
    little by little, over `seconds`. `late`: nothing is done for `seconds`; then `resume` gives the answer, and is told
    whether the caller has left meanwhile. Seconds are real ones.
    """

    kind: Literal["reset", "timeout", "truncated", "slow", "late"]
    after_bytes: int = 0
    seconds: float = 0.0
    resume: "Callable[[bool], Response] | None" = None


class Response(msgspec.Struct, frozen=True):
    """The answer, whole; with an `interruption` it does not arrive so. One that is not sent at all has the status 0."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    interruption: Interruption | None = None

    @classmethod
    def of_json(cls, status: int, value: Any, *headers: tuple[str, str]) -> "Response":
        """An answer whose body is this value as JSON."""
        return cls(status, (("content-type", JSON), *headers), _encode(value))


_encode = msgspec.json.Encoder().encode
