"""Heads of requests that were parsed before.

A client that keeps its connection sends the same few heads again and again. What one says is known from the first time
on, byte for byte; it need not be parsed anew.
"""

from typing import Final, NamedTuple

LONGEST: Final = 8_192
"""Bytes of the longest head that is remembered."""

MOST: Final = 512
"""How many are remembered."""


class Head(NamedTuple):
    """The head of a plain request: what it asks for, and how long the body is that follows."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    host: str
    length: int


class KnownHeads(dict[bytes, Head]):
    """What each of them says, for all connections of a server."""

    def remember(self, text: bytes, head: Head) -> None:
        """Remember one more; where they are too many, the others are forgotten."""
        if len(text) > LONGEST:
            return
        if len(self) >= MOST:
            self.clear()
        self[text] = head
