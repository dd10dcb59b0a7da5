"""Holding what was sent against what the plan said, from nothing but the two files: the plan and a journal.

It does not know how a tour is run. A request counts by what it asks for and of which activity, and needs a line of the
plan that speaks of that; a line has room for so many requests. Both journals are looked at: the client's and, where
there is one, that which the server itself wrote, in which nothing may stand that the client's lacks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from popreceipt.journal import Exchange
from popreceipt.vocabulary import ACK, DOWNLOAD, ENQUEUE, OTHER, TOKEN, operation_of

SMALL: Final = 64 * 1024
"""Bytes that a request may carry that hands nothing in: questions, and a server's words sent back."""


STRANGE: Final = "an activity that the plan does not name"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as a plan speaks of it: the operation, and the role of the activity that it names, if any."""

    operation: str
    role: str | None


def outside(plan: Mapping[str, Any], exchanges: Iterable[Exchange], *, interruptions: int = 0) -> list[str]:
    """What was sent outside of a plan, in words.

    Args:
        plan: what `verify --plan --json` told.
        exchanges: of a journal.
        interruptions: how often the run was interrupted: each adds a request to the line it fell into, and the run's
            own lines are sent anew.
    """
    roles = {str(identifier).lower(): role for role, identifier in plan["activities"].items()}
    sent = list(asked(exchanges, roles))
    rooms: Counter[Asked] = Counter()
    sizes: dict[Asked, int] = {}
    for line in plan["lines"]:
        kind = Asked(line["operation"], line["role"])
        own = line["id"].startswith("tour/")
        rooms[kind] += line["most"] * (1 + (interruptions if own else 0))
        sizes[kind] = max(sizes.get(kind, 0), line["bytes_each"])
    found = []
    counts = Counter(each for each, _ in sent)
    for operation in sorted({each.operation for each in counts}):
        room = {kind.role: most for kind, most in rooms.items() if kind.operation == operation}
        told = {kind.role: count for kind, count in counts.items() if kind.operation == operation}
        # A question that names no activity may be one of any line; what names one is of its own lines, or of those
        # that speak of none.
        beyond = sum(max(0, count - room.get(role, 0)) for role, count in told.items() if role is not None)
        if beyond > room.get(None, 0) + interruptions or sum(told.values()) > sum(room.values()) + interruptions:
            found.append(f"{operation}: {told}, where the plan has room for {room or 'none'}")
    for kind, length in sent:
        most = max(
            (
                size
                for each, size in sizes.items()
                if each.operation == kind.operation and (kind.role is None or each.role in (None, kind.role))
            ),
            default=0,
        )
        if length > (most if kind.operation == ENQUEUE else max(most, SMALL)):
            found.append(f"{kind.operation} of {kind.role}: {length} bytes, where the plan says {most}")
    return found


def unrecorded(client: Sequence[Exchange], server: Sequence[Exchange]) -> list[str]:
    """Requests that reached the server and are in no journal of the client, in words.

    What the client has and the server lacks got lost on the way, or was turned away before it was a request.
    """
    more = Counter(map(_line_of, server)) - Counter(map(_line_of, client))
    return [f"{count} times {method} {path}" for (method, path), count in sorted(more.items())]


def acknowledged(exchanges: Iterable[Exchange]) -> set[str]:
    """The activities on which something was acknowledged, by the id in the path."""
    found = (operation_of(urlsplit(each.request.url).path) for each in exchanges)
    return {activity for operation, activity in found if operation == ACK and activity is not None}


def asked(exchanges: Iterable[Exchange], roles: Mapping[str, str]) -> Iterable[tuple[Asked, int]]:
    """Each request's kind and how many bytes it carried; the request to where a download led is a download."""
    led_to: set[str] = set()
    for each in exchanges:
        url = each.request.url
        operation, activity = operation_of(urlsplit(url).path)
        if operation == OTHER and each.request.method == "GET" and _path_of(url) in led_to:
            operation = DOWNLOAD
        if operation == TOKEN or (operation == OTHER and "/.well-known/" in url):
            operation = TOKEN  # MSAL asks where tokens are to be had before it asks for one.
        response = each.response
        if operation == DOWNLOAD and response is not None and 300 <= response.status < 400:
            location = next((value for name, value in response.headers if name == "location"), None)
            if location is not None:
                with suppress(ValueError):  # It is no address, and led nowhere.
                    led_to.add(_path_of(urljoin(url, location)))
        body = each.request.body
        length = 0 if body is None else body.length if body.length is not None else len(body.content() or b"")
        yield Asked(operation, None if activity is None else roles.get(activity, STRANGE)), length


def _line_of(exchange: Exchange) -> tuple[str, str]:
    return exchange.request.method, _path_of(exchange.request.url)


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
