"""One request on its way through the emulator, and what every route may reach."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from popreceipt.emulator.http import Request
from popreceipt.emulator.identity import Caller

if TYPE_CHECKING:
    from popreceipt.emulator.emulator import Emulator


@dataclass(slots=True)
class Call:
    """A request, the instant at which it is answered, and the segments of its path (as sent, none of them empty).

    `caller` is filled once a token was found good.
    """

    emulator: "Emulator"
    request: Request
    now: datetime
    segments: tuple[str, ...]
    caller: Caller | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The path's segments decoded and in lower case."""
        return tuple(unquote(segment).lower() for segment in self.segments)


def segments_of(path: str) -> tuple[str, ...]:
    """The segments of a path; a slash at its end does not count. Empty segments in its middle match no route."""
    parts = path.split("/")
    if parts and parts[-1] == "" and len(parts) > 2:
        parts.pop()
    return tuple(parts[1:])
