"""One journal, several writers: sessions and the control plane of one run, from any thread.

A journal numbers its lines and is not made for threads; whoever of this column writes into one goes through here. It
also takes out of an answer what only the request should hold: a server may say a secret or a token back.
"""

import base64
import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Unpack
from urllib.parse import parse_qsl, quote, quote_plus

from popreceipt.journal import (
    SECRET_FIELDS,
    SECRET_HEADERS,
    WRITTEN_OUT,
    ClockMovement,
    Entry,
    Exchange,
    Journal,
    Observation,
    Recorded,
    instant_text,
    is_redacted,
    redacted,
)

# One for all journals: a run has one, and writing a line is short.
_WRITING = threading.Lock()


_SHORTEST: Final = 8
"""Letters that a secret has at least: shorter ones would be found in other words."""


def record(journal: Journal, **exchange: Unpack[Recorded]) -> Exchange:
    """`Journal.record`, one writer at a time, without what an answer repeats of the request's secrets."""
    told = without_repeated(exchange)
    with _WRITING:
        return journal.record(**told)


def without_repeated(exchange: Recorded) -> Recorded:
    """What is told of an exchange, without what its answer says back of the request's secrets, however it spells them.

    A token that anybody can recognise is replaced elsewhere; this is for the others. Of a body that a journal does not
    write out nothing is changed.
    """
    body, headers = exchange.get("response_body", b""), exchange.get("response_headers", ())
    changed = False
    for secret in _secrets(exchange.get("request_headers", ()), exchange.get("request_body", b"")):
        for said, encoded in spellings(secret):
            if len(body) <= WRITTEN_OUT and encoded in body:
                body, changed = body.replace(encoded, redacted(secret).encode("ascii")), True
            if any(said in value for _, value in headers):
                headers = tuple((name, value.replace(said, redacted(secret))) for name, value in headers)
                changed = True
    return {**exchange, "response_body": body, "response_headers": headers} if changed else exchange


@lru_cache(maxsize=256)
def spellings(secret: str) -> tuple[tuple[str, bytes], ...]:
    """How a server may spell a secret that it says back, the longest first: each as text and as bytes.

    As it is, in an address, in JSON, in HTML, as hexadecimal digits, and in Base64 with whatever before and behind it;
    of a signed token also its signature, which is what makes it one.
    """
    raw = secret.encode("utf-8", "replace")
    text = raw.decode("utf-8")
    plain = {text, quote(text), quote(text, safe=""), quote_plus(text), raw.hex(), html.escape(text)}
    plain |= {_lower_escapes(each) for each in plain}
    for each in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        plain |= {each, each.replace("/", "\\/"), _ESCAPED_BY_NET.sub(lambda sign: f"\\u{ord(sign[0]):04X}", each)}
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode("ascii")
        # The letters at either end have bits of what is beside it.
        core = whole[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        plain |= {core, core.replace("+", "-").replace("/", "_")}
    signature = text.rpartition(".")[2]
    if text.count(".") == _DOTS and len(signature) >= _SIGNATURE:
        plain.add(signature)
    # Headers are read as Latin-1, whatever they hold.
    plain |= {each.encode("utf-8").decode("latin-1") for each in plain}
    found = sorted((each for each in plain if len(each) >= _SHORTEST), key=lambda each: (-len(each), each))
    return tuple((each, each.encode("utf-8")) for each in found)


_DOTS: Final = 2
"""What parts the three pieces of a signed token (RFC 7519, "Compact Serialization")."""

_SIGNATURE: Final = 16

_ESCAPED_BY_NET: Final = re.compile("[+&<>'/]")
"""What System.Text.Json does not write as it is."""

_PERCENT: Final = re.compile("%[0-9A-F]{2}")


def _lower_escapes(text: str) -> str:
    return _PERCENT.sub(lambda found: found[0].lower(), text)


def _secrets(headers: Iterable[tuple[str, str]], body: bytes) -> Iterator[str]:
    found = [value.rpartition(" ")[2] for name, value in headers if name.lower() in SECRET_HEADERS]
    if b"grant_type=" in body:
        fields = parse_qsl(body.decode("utf-8", "replace"))
        found += [value for name, value in fields if name.lower() in SECRET_FIELDS]
    return (each for each in found if len(each) >= _SHORTEST and not is_redacted(each))


def moved(journal: Journal, now: datetime, seconds: float) -> None:
    """Write down that the target's clock was moved."""
    _add(journal, ClockMovement(now, seconds))


def observe(journal: Journal, kind: str, since: datetime, at: datetime, facts: Mapping[str, Any]) -> None:
    """Write down what a control call told: it came true somewhere between `since` and `at`."""
    _add(journal, Observation(kind, at, {"since": instant_text(since), **facts}))


def _add(journal: Journal, entry: Entry) -> None:
    with _WRITING:
        journal.add(entry)
