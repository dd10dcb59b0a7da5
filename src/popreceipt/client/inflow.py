"""An answer's body as it comes in: counted, unpacked, and never longer than somebody has room for.

Whoever answers may be a stranger: what it sends may never end, and what is small may be huge once it is unpacked. It
knows bytes and content codings; how they arrive, and what they mean, is for those who read.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn, Protocol

LONGEST_FILE: Final = 256 * 1024 * 1024
"""Bytes of a download at most: more is neither kept nor waited for."""

LONGEST_WORDS: Final = 64 * 1024 * 1024
"""Bytes of any other answer at most: lists of errors may be long, and are read as a whole."""

KEPT: Final = 64 * 1024
"""Bytes that are kept of a body that was too long: so much of it is written down."""

_AT_ONCE: Final = 64 * 1024
"""Bytes that are unpacked at once."""

_MOST_CODINGS: Final = 3

_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""What is unpacked, though nobody asked for it. What came in another coding stays as it came."""


class TooLong(Exception):
    """A body goes on beyond what there is room for."""


class BadCoding(Exception):
    """A body is not in the content coding that its head tells."""


class Inflow:
    """One body on its way in.

    Args:
        headers: of the answer, names in lower case.
        most: bytes that there is room for, packed or not; None for any number.
    """

    def __init__(self, headers: Iterable[tuple[str, str]], most: int | None) -> None:
        told = tuple(headers)
        self._most = most
        self._announced = any(_says_more(value, most) for name, value in told if name == "content-length")
        self._stages = [_Stage(each) for each in _codings(told)]
        self._parts: list[bytes] = []
        self._came = 0
        self._length = 0

    def take(self, piece: bytes) -> None:
        """Take in what has arrived.

        Raises:
            TooLong: there is no room for it.
            BadCoding: it cannot be unpacked.
        """
        self._came += len(piece)
        for part in _through(self._stages, piece) if self._stages else (piece,):
            self._parts.append(part)
            self._length += len(part)
            if self._is_over(self._length):
                self._give_up()
        if self._announced or self._is_over(self._came):
            self._give_up()

    def end(self) -> None:
        """See that nothing is missing.

        Raises:
            BadCoding: what was packed ends too early.
        """
        if any(each.is_cut for each in self._stages):
            raise BadCoding

    @property
    def came(self) -> int:
        """Bytes that have come over the wire."""
        return self._came

    def content(self) -> bytes:
        """What has come so far, of one that was too long its beginning."""
        return b"".join(self._parts)

    def _is_over(self, length: int) -> bool:
        return self._most is not None and length > self._most

    def _give_up(self) -> NoReturn:
        kept = bytearray()
        for part in self._parts:
            kept += part[: KEPT - len(kept)]
        self._parts = [bytes(kept)]
        raise TooLong


class _Unpacker(Protocol):
    """As much of zlib's object as is needed."""

    @property
    def eof(self) -> bool: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Stage:
    """One content coding, undone."""

    def __init__(self, coding: str) -> None:
        self._head: bytes | None = b"" if coding == "deflate" else None
        self._unpacker: _Unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._began = False

    @property
    def is_cut(self) -> bool:
        """Something came, and its end did not."""
        return self._began and not self._unpacker.eof

    def parts(self, data: bytes) -> Iterator[bytes]:
        """What is in a piece, a little at a time."""
        self._began = self._began or bool(data)
        if self._head is not None:
            data = self._head = self._head + data
            if len(data) < _HEAD:
                return
            if not _is_wrapped(data):
                # Some servers leave out what zlib puts around it, as RFC 9110 (8.4.1.2) tells.
                self._unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            self._head = None
        while data and not self._unpacker.eof:
            try:
                part = self._unpacker.decompress(data, _AT_ONCE)
            except zlib.error as error:
                raise BadCoding from error
            data = self._unpacker.unconsumed_tail
            if part:
                yield part


_HEAD: Final = 2


def _is_wrapped(data: bytes) -> bool:
    """Whether it begins as zlib's format does (RFC 1950, 2.2), or as gzip's."""
    return (data[0] & 15 == 8 and int.from_bytes(data[:_HEAD], "big") % 31 == 0) or data[:_HEAD] == b"\x1f\x8b"


def _through(stages: list[_Stage], piece: bytes) -> Iterator[bytes]:
    first, *others = stages
    for part in first.parts(piece):
        if others:
            yield from _through(others, part)
        else:
            yield part


def _codings(headers: Iterable[tuple[str, str]]) -> list[str]:
    """The codings that a head tells, the one that was put on last first; none where one of them is not known."""
    values = [value for name, value in headers if name == "content-encoding"]
    told = [each.strip().lower() for value in values for each in value.split(",")]
    found = [each for each in reversed(told) if each not in ("", "identity")]
    return found if len(found) <= _MOST_CODINGS and set(found) <= _CODINGS else []


def _says_more(value: str, most: int | None) -> bool:
    """Whether a Content-Length is greater; a text of thousands of digits is no number to Python."""
    digits = value.strip().lstrip("0")
    return (
        most is not None
        and digits.isascii()
        and digits.isdigit()
        and (len(digits) > len(str(most)) or int(digits) > most)
    )
