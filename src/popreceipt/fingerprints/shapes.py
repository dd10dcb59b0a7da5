"""The shape of an answer: status, content type, and how its body is built, without a word of what it says.

Two servers that speak alike have the same shapes, whatever their IDs, times and files are. Nothing of an answer gets
into its shape but names of members, and those shortened and made harmless.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from popreceipt.journal import Body, Exchange
from popreceipt.vocabulary import bare_guid

Shapes = Mapping[str, Mapping[str, int]]
"""By operation: each shape in words, and how often it was seen."""

DEEPEST: Final = 6
MOST_MEMBERS: Final = 40
LONGEST_NAME: Final = 60

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
_GUID = re.compile(r"[{\"(]*[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}[)\"}]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def shapes_of(exchanges: Iterable[Exchange]) -> Shapes:
    """The shapes of the answers among exchanges, by operation."""
    found: dict[str, Counter[str]] = {}
    for each in exchanges:
        if (shape := shape_of(each)) is not None:
            found.setdefault(each.operation, Counter())[shape] += 1
    return found


def shape_of(exchange: Exchange) -> str | None:
    """The shape of an exchange's answer in words; None where no whole answer came."""
    response = exchange.response
    if response is None or exchange.failure is not None:
        return None
    named = next((value for name, value in response.headers if name == "content-type"), "")
    media = _harmless(named.partition(";")[0].strip().lower())
    return " ".join(part for part in (str(response.status), media, _body(response.body, media)) if part)


def _body(body: Body | None, media: str) -> str:
    if body is None:
        return "empty"
    content = body.content()
    if content is None:
        return "long"
    if not content:
        return "empty"
    if media == "application/json" or media.endswith("+json") or content.lstrip()[:1] in (b"{", b"[", b'"'):
        try:
            return _json(json.loads(content), 0)
        except (ValueError, RecursionError):
            return "no JSON" if "json" in media else "text"
    if content.startswith(b"PK"):
        return "zip"
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return "bytes"
    if text[:1] == "<":
        return "html" if "html" in text[:200].lower() else "xml"
    return _string(text) if len(text) < LONGEST_NAME else "text"


def _json(value: Any, depth: int) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return _string(value)
    if depth == DEEPEST:
        return "…"
    if isinstance(value, list):
        kinds = sorted({_json(each, depth + 1) for each in islice(value, MOST_MEMBERS)})
        return f"[{' | '.join(kinds)}]"
    members = [f"{_harmless(name)}: {_json(value[name], depth + 1)}" for name in sorted(value)[:MOST_MEMBERS]]
    more = ["…"] if len(value) > MOST_MEMBERS else []
    return f"{{{', '.join((*members, *more))}}}"


def _string(text: str) -> str:
    """The kind of a text."""
    if not text.strip():
        return "blank"
    if found := _INSTANT.fullmatch(text):
        return f"instant{' with fraction' if found[1] else ''}{_zone(found[2])}"
    if _GUID.fullmatch(text):
        kind = "guid of zeros" if set(bare_guid(text.strip('"'))) <= set("0-") else "guid"
        quoted = " in braces" if "{" in text else " in quotes" if '"' in text else ""
        return kind + quoted + (" in upper case" if text != text.lower() else "")
    if _NUMBER.fullmatch(text):
        return "number as text"
    if "://" in text[:10]:
        return f"{_harmless(urlsplit(text[:LONGEST_NAME]).scheme)} url" if "[" not in text else "url"
    return "JSON as text" if text[0] in "[{" else "text"


def _zone(named: str | None) -> str:
    return " without zone" if named is None else "" if named == "Z" else " with offset"


def _harmless(name: str) -> str:
    """A name from a server, short and printable."""
    return "".join(each if each.isprintable() else "�" for each in name[:LONGEST_NAME])
