"""From bytes that went by to a line of a journal: digests of what is long, nothing of what is secret.

It knows which bodies are payloads (the files themselves) and keeps of those the digest and the length alone, unless it
is told to write them out. It carries no traffic, and reads no clock: whoever does tells the instants.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from popreceipt.journal import WRITTEN_OUT, Body, Exchange, Journal, Observation
from popreceipt.vocabulary import DOWNLOAD, ENQUEUE, OTHER
from popreceipt.watching.secrets import Secrets

PIECE: Final = 64 * 1024
"""Bytes that are unpacked at once, at most: a packed body may become a thousand times as long."""

_PACKED: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Tap:
    """What of a body that goes by is kept: its digest, its length, and its beginning as far as it may be written out.

    Args:
        encoding: how it is packed (`Content-Encoding`); what is kept is unpacked, where that can be done here.
    """

    def __init__(self, encoding: str | None = None) -> None:
        self.length = 0
        self._digest = hashlib.sha256()
        self._begin = bytearray()
        window = _PACKED.get((encoding or "").strip().lower())
        self._packed = zlib.decompressobj(window) if window is not None else None

    def add(self, piece: bytes) -> None:
        """Take in the next bytes."""
        if self._packed is None:
            self._take(piece)
            return
        try:
            while piece:
                self._take(self._packed.decompress(piece, PIECE))
                piece = self._packed.unconsumed_tail
        except zlib.error:
            # It is not packed as it says. From here on it is taken as it comes.
            self._packed = None
            self._take(piece)

    @property
    def unpacks(self) -> bool:
        """Whether it is packed in a way that can be undone here."""
        return self._packed is not None

    @property
    def content(self) -> bytes | None:
        """All of it; None where it is too long to be written out."""
        return bytes(self._begin) if self.length <= WRITTEN_OUT else None

    def summary(self) -> Body | None:
        """Digest and length; None for an empty body."""
        return Body(sha256=self._digest.hexdigest(), length=self.length) if self.length else None

    def _take(self, piece: bytes) -> None:
        self.length += len(piece)
        self._digest.update(piece)
        if self.length <= WRITTEN_OUT:
            self._begin += piece
        elif self._begin:
            self._begin.clear()


@dataclass
class Seen:
    """One exchange as it was watched, in the environment's own words."""

    sent: datetime
    method: str
    url: str
    request_headers: list[tuple[str, str]]
    request: Tap = field(default_factory=Tap)
    status: int | None = None
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    response: Tap = field(default_factory=Tap)
    failure: str | None = None


class Recorder:
    """Writes what was watched into a journal.

    Args:
        journal: takes the exchanges, numbered in the order in which they ended.
        bodies: write out payloads as well, as far as a journal does.
        secrets: what must not be written, wherever it stands.
    """

    def __init__(self, journal: Journal, *, bodies: bool = False, secrets: Secrets | None = None) -> None:
        self.journal = journal
        self.secrets = secrets if secrets is not None else Secrets()
        self.counts: dict[str, int] = {}
        self.answered = 0
        self.tell: Callable[[], None] = lambda: None
        """Called after each exchange, by whom wants to show how many there are."""
        self._bodies = bodies

    def note(self, kind: str, at: datetime, /, **facts: Any) -> None:
        """Write down something that was learnt beside the wire."""
        self.journal.add(Observation(kind, at, facts))

    def write(self, seen: Seen, answered: datetime) -> None:
        """Write down an exchange that has ended."""
        asked, said = seen.request.content, seen.response.content
        self.secrets.learn(seen.request_headers, seen.url, asked or b"")
        self.secrets.learn(seen.response_headers, "", b"")
        draft = self._draft(seen, answered, asked or b"", said or b"")
        if draft.operation not in _PAYLOADS and said:
            # A token's answer tells secrets that later exchanges may repeat, and this one its own.
            self.secrets.learn_body(said)
            draft = self._draft(seen, answered, asked or b"", said)
        request, response = draft.request, draft.response
        request = msgspec.structs.replace(
            request, body=self._body(seen.request, request.body, payload=draft.operation in {ENQUEUE, OTHER})
        )
        if response is not None:
            file = draft.operation == OTHER or (draft.operation == DOWNLOAD and response.status < 300)
            response = msgspec.structs.replace(response, body=self._body(seen.response, response.body, payload=file))
        self.journal.add(msgspec.structs.replace(draft, seq=self._number(), request=request, response=response))
        self.counts[draft.operation] = self.counts.get(draft.operation, 0) + 1
        if draft.response is not None:
            self.answered += 1
        self.tell()

    def _draft(self, seen: Seen, answered: datetime, asked: bytes, said: bytes) -> Exchange:
        """The exchange as a journal writes it, bodies as far as they are short."""
        hide = self.secrets
        return Journal().record(
            sent=seen.sent,
            answered=max(seen.sent, answered),
            method=seen.method,
            url=hide.without(seen.url),
            request_headers=_hidden(seen.request_headers, hide),
            request_body=hide.without_bytes(asked),
            status=seen.status,
            response_headers=_hidden(seen.response_headers, hide),
            response_body=hide.without_bytes(said),
            failure=seen.failure,
        )

    def _body(self, tap: Tap, written: Body | None, *, payload: bool) -> Body | None:
        """A body as it is kept: digest and length of one that is long, and of a payload unless bodies are wanted."""
        if tap.content is None:
            return tap.summary()
        if written is None or (payload and not self._bodies):
            return None if written is None else Body(sha256=written.sha256, length=written.length)
        return written

    def _number(self) -> int:
        return sum(self.counts.values()) + 1


_PAYLOADS: Final = frozenset({ENQUEUE, DOWNLOAD, OTHER})
"""Operations whose bodies are files, or may be."""


def _hidden(headers: Iterable[tuple[str, str]], secrets: Secrets) -> list[tuple[str, str]]:
    return [(name, secrets.without(value)) for name, value in headers]
