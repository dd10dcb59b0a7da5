"""Which headers go on to the next one in line, and which belong to a single connection.

Pairs in, pairs out, in their order and with their repetitions (RFC 9110, section 7.6.1). No socket and no journal.
"""

from collections.abc import Iterable
from typing import Final

Raw = list[tuple[bytes, bytes]]

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers of one connection; those that `Connection` names are of its kind too."""

PROXY: Final = b"1.1 popreceipt"
"""How the proxy names itself in `Via` (RFC 9110, section 7.6.3)."""

READABLE: Final = (b"gzip", b"deflate")
"""Encodings in which an answer can be read on its way."""


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Raw:
    """The headers that are meant for the other end."""
    listed = [(name.lower(), value) for name, value in headers]
    named = {each.strip().lower() for name, value in listed if name == b"connection" for each in value.split(b",")}
    return [(name, value) for name, value in listed if name not in HOP_BY_HOP and name not in named]


def to_upstream(headers: Iterable[tuple[bytes, bytes]], authority: bytes, *, length: int | None, body: bool) -> Raw:
    """What goes to the environment.

    Args:
        headers: as the client sent them.
        authority: of the environment, for `Host`.
        length: of the body; None where it is not known before its end, and it then goes in chunks.
        body: whether there is one.
    """
    mine = {b"host", b"expect", b"content-length", b"accept-encoding"}
    listed = end_to_end(headers)
    asked = [value for name, value in listed if name == b"accept-encoding"]
    sent = [(b"host", authority), *((name, value) for name, value in listed if name not in mine)]
    sent.append((b"accept-encoding", _readable(asked)))
    sent.append((b"via", PROXY))
    if body:
        sent.append((b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length))
    return sent


def to_client(headers: Iterable[tuple[bytes, bytes]], *, without: Iterable[bytes] = ()) -> Raw:
    """What goes back to the client; `without` are names in lower case of headers that no longer hold."""
    left = frozenset(without)
    return [(name, value) for name, value in end_to_end(headers) if name not in left]


def as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Headers as a journal takes them."""
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return None


def _readable(asked: list[bytes]) -> bytes:
    """Of the encodings that the client takes those that can be read here; `identity` where there is none."""
    offered = [each for value in asked for each in value.split(b",")]
    taken = {each.partition(b";")[0].strip().lower() for each in offered if not _never(each)}
    return b", ".join(each for each in READABLE if each in taken) or b"identity"


def _never(offered: bytes) -> bool:
    """Whether an encoding is listed only to say that it is not taken (a quality of zero)."""
    quality = offered.partition(b";")[2].replace(b" ", b"").lower()
    return quality.startswith(b"q=0") and not quality.removeprefix(b"q=0").strip(b".0")
