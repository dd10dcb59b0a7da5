"""What a session asks before it sends anything, where somebody's own environment is behind it: may this go out?

It knows what a request is as far as its permission goes: where it goes, what it asks for by the strictest reading of
its path, of which recurring data job. What is permitted is decided by a guard, which is made elsewhere.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from popreceipt.exceptions import NotAbleTo
from popreceipt.vocabulary import ACK, DEQUEUE, DOWNLOAD, ENQUEUE, JOBSTATUS, OTHER, TOKEN, bare_guid, operation_of

Pairs = tuple[tuple[str, str], ...]

DECODINGS: Final = 4
"""How often percent-encoding within percent-encoding is undone before a path counts as read."""

_MEANT: Final = frozenset({DOWNLOAD, TOKEN})
"""What a request may be although its path does not tell: a file lies, and tokens are issued, where a server says so."""

_BY_WORD: Final[Mapping[str, str]] = {each: each for each in (ENQUEUE, DEQUEUE, DOWNLOAD, ACK, JOBSTATUS)}


class NotPermitted(NotAbleTo):
    """A request that the target's description forbids, or that goes beyond its budget: it was not sent.

    Args:
        target: the target's name.
        permit: what was not permitted, in few words.
        sentence: what was wanted, why it was not sent, and what a person may do about it.
        final: nothing else will be permitted either: a budget is spent.
    """

    def __init__(self, target: str, permit: str, sentence: str, *, final: bool = False) -> None:
        super().__init__(target, permit)
        self.args = (sentence,)
        self.final = final


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its way out.

    `operation` and `activity` are what the strictest reading of the path makes of it: a server may undo more of its
    spelling than the journal does; `meant` is what the caller names, if anything. `length` is about how many bytes it
    takes, `with_token` whether it carries an access token.
    """

    method: str
    origin: str
    path: str
    operation: str
    activity: str | None
    actor: str | None
    with_token: bool
    length: int
    body: bytes = field(default=b"", repr=False)
    meant: str | None = None

    @property
    def host(self) -> str:
        """The host that it goes to, in lower case."""
        return urlsplit(self.origin).hostname or ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of it. `seconds` is how long it was under way in real time; `length` about how many bytes came."""

    status: int | None
    headers: Pairs
    body: bytes = field(repr=False)
    failure: str | None
    length: int
    seconds: float

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Guard(Protocol):
    """Decides which requests go out. Sessions call it from any thread."""

    def permit(self, asked: Asked) -> None:
        """Return when this request may go out, perhaps after a wait that the server has asked for.

        Raises:
            NotPermitted: it may not.
        """

    def room(self) -> int | None:
        """Bytes that an answer may have before a budget is spent; None for any number."""

    def note(self, asked: Asked, heard: Heard) -> None:
        """Take in what became of a request that was permitted."""


def asked_for(path: str, meant: str | None) -> tuple[str, str | None]:
    """The operation and the activity of a request's path, by the strictest reading.

    Percent-encoding is undone as often as it was done, dots and empty segments are resolved, letter case and backward
    slashes do not matter; a path that nothing is found in is the download or the token request it was meant as.

    Args:
        path: as it stands in the request line, without its query.
        meant: the operation that the caller names, if any.
    """
    operation, activity = operation_of(path)
    segments = _segments(path)
    for place, segment in enumerate(segments):
        if segment == "connector" and place + 1 < len(segments) and (word := _BY_WORD.get(segments[place + 1])):
            following = segments[place + 2] if place + 2 < len(segments) else ""
            return word, bare_guid(following) or None
    if operation == OTHER and meant in _MEANT:
        operation = meant
    return operation, activity


def made_up_guid(of: str) -> str:
    """A GUID that nothing is called by, and that shows it: of the version that is left to whoever makes one up.

    Systems number what they make by version 4, or by the clock (RFC 9562, section 5.8).

    Args:
        of: what it is made of; the same gives the same.
    """
    digest = hashlib.sha256(of.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def is_made_up(guid: str) -> bool:
    """Whether a bare GUID is one of those."""
    return _MADE_UP.fullmatch(guid) is not None


_MADE_UP: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


_WIDE: Final = re.compile(r"%[uU]([0-9a-fA-F]{4})")
"""A character as Windows' own HTTP server reads it as well (its setting PercentUAllowed, which is on)."""


def _segments(path: str) -> list[str]:
    text = path
    for _ in range(DECODINGS):
        decoded = unquote(_WIDE.sub(lambda found: chr(int(found[1], 16)), text))
        if decoded == text:
            break
        text = decoded
    found: list[str] = []
    for each in re.split(r"[/\\]+", text.lower()):
        segment = each.partition(";")[0].strip()
        if segment == "..":
            del found[-1:]
        elif segment not in ("", "."):
            found.append(segment)
    return found
