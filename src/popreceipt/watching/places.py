"""The environment's address and the proxy's, each told for the other, so that downloads come by the proxy as well.

An answer names where to download from. Shown to the client it names the proxy; what the client then says of it
(the acknowledgment repeats the whole answer, a token request may name the resource) names the environment again. The
journal has the environment's own words throughout. Bytes in, bytes out; no socket.
"""

import json
import re
from collections import OrderedDict
from hashlib import sha256
from typing import Final, Generic, TypeVar
from urllib.parse import quote, urlsplit

from popreceipt.client.session import split_base
from popreceipt.vocabulary import DOWNLOAD_LOCATION

REMEMBERED: Final = 10_000
"""So many answers and locations are remembered; the oldest are forgotten first."""

_USUAL_PORTS: Final = {"http": 80, "https": 443}

_MEMBER: Final = re.compile(rb'"%b"\s*:\s*("(?:[^"\\]|\\.)*")' % DOWNLOAD_LOCATION.encode("ascii"), re.IGNORECASE)

Kept = TypeVar("Kept")


class Places:
    """What the client is told instead of the environment's address, and what it meant by that.

    Args:
        upstream: the environment's base URL.
        relocates: whether the client is told anything else than the environment said.
    """

    def __init__(self, upstream: str, *, relocates: bool = True) -> None:
        self.origin, self.prefix = split_base(upstream)
        self.relocates = relocates
        self._parts = urlsplit(self.origin)
        self._answers: _Newest[bytes] = _Newest()
        self._locations: _Newest[str] = _Newest()

    @property
    def authority(self) -> bytes:
        """The environment's host and port."""
        return self._parts.netloc.encode("ascii")

    def target(self, path: bytes, query: bytes) -> bytes:
        """What is asked of the environment for a path that was asked of the proxy."""
        before = self.prefix.encode("ascii")
        whole = path if not before or path.startswith(before + b"/") else before + path
        return whole + b"?" + query if query else whole

    def is_own(self, location: str) -> bool:
        """Whether a location is on the environment's host: at its port, or at one that a URL need not name."""
        try:
            parts = urlsplit(location)
            port = parts.port
        except ValueError:
            return False
        if parts.scheme.lower() not in _USUAL_PORTS or _host(parts.hostname) != _host(self._parts.hostname):
            return False
        return port in {None, *_USUAL_PORTS.values(), self._parts.port}

    def shown(self, location: str, root: str) -> str | None:
        """A location as the client is told it, below the proxy's own root; None where it is told as it is."""
        if not self.relocates or not self.is_own(location):
            return None
        told = root + _behind_the_root(location)
        self._locations.keep(told, location)
        return told

    def answer_for_client(self, body: bytes, root: str) -> bytes:
        """The answer to a dequeue as the client is told it."""
        found = _MEMBER.search(body)
        location = _text(found[1]) if found is not None else None
        told = self.shown(location, root) if location is not None else None
        if found is None or told is None:
            return body
        changed = body[: found.start(1)] + json.dumps(told).encode("ascii") + body[found.end(1) :]
        self._answers.keep(_digest(changed), body)
        return changed

    def body_for_upstream(self, body: bytes, root: str) -> bytes:
        """An acknowledgment in the environment's words: byte for byte its answer where the client repeats it so."""
        if not self.relocates:
            return body
        if (whole := self._answers.get(_digest(body))) is not None:
            return whole
        found = _MEMBER.search(body)
        told = _text(found[1]) if found is not None else None
        if found is None or told is None:
            return body
        meant = self._locations.get(told)
        if meant is None and told.startswith(f"{root}/"):
            meant = self.origin + told.removeprefix(root)
        if meant is None:
            return body
        return body[: found.start(1)] + json.dumps(meant).encode("ascii") + body[found.end(1) :]

    def form_for_upstream(self, body: bytes, root: str) -> bytes:
        """A token request that names the proxy as its resource, naming the environment instead."""
        base = self.origin + self.prefix
        written = ((root, base), (quote(root, safe=""), quote(base, safe="")), (quote(root), quote(base)))
        for mine, theirs in written:
            named = rb"(?<==)%b(?=[/&%%]|$)" % re.escape(mine.encode("ascii"))
            body = re.sub(named, theirs.encode("ascii"), body, flags=re.IGNORECASE)
        return body


class _Newest(Generic[Kept]):
    """What was kept last, by a key; never more than so much."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def keep(self, key: str, value: Kept) -> None:
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)

    def get(self, key: str) -> Kept | None:
        return self._kept.get(key)


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()


def _text(literal: bytes) -> str | None:
    """The text that a JSON literal stands for; None where it is none."""
    try:
        value = json.loads(literal)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _behind_the_root(location: str) -> str:
    """Path and query of an absolute URL, as they are written."""
    start = location.find("/", location.find("://") + 3)
    return location[start:] if start >= 0 else "/"


def _host(name: str | None) -> str | None:
    """A host's name; this computer's own names are one."""
    return "localhost" if name in {"127.0.0.1", "::1"} else name
