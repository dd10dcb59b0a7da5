"""One request on its way through the emulator, and what every route may reach."""

import functools
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from popreceipt.emulator.http import Request
from popreceipt.emulator.identity import Caller

if TYPE_CHECKING:
    from popreceipt.emulator.emulator import Emulator


class Call(msgspec.Struct):
    """A request, the instant at which it is answered, and its path.

    `segments` are the path's as sent, `words` the same decoded and in lower case. `caller` is filled once a token was
    found good, `role` with what the environment takes that caller for.
    """

    emulator: "Emulator"
    request: Request
    now: datetime
    segments: tuple[str, ...]
    words: tuple[str, ...]
    caller: Caller | None = None
    role: str | None = None

    @classmethod
    def of(cls, emulator: "Emulator", request: Request, now: datetime) -> "Call":
        """The call that a request makes. A slash at the end of its path does not count."""
        return cls(emulator, request, now, *_parts_of(request.path))


@functools.lru_cache(maxsize=1024)
def _parts_of(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A path's segments as sent, and decoded in lower case. A client uses few paths, again and again."""
    segments = path.split("/")[1:]
    if len(segments) > 1 and segments[-1] == "":
        segments.pop()
    return tuple(segments), tuple(unquote(segment).lower() for segment in segments)
