"""One journal, several writers: sessions and the control plane of one run, from any thread.

A journal numbers its lines and is not made for threads; whoever of this column writes into one goes through here. It
also takes out of an answer what only the request should hold: a server may say a secret or a token back.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from popreceipt.journal import (
    SECRET_FIELDS,
    SECRET_HEADERS,
    ClockMovement,
    Entry,
    Exchange,
    Journal,
    Observation,
    instant_text,
    redacted,
)

# One for all journals: a run has one, and writing a line is short.
_WRITING = threading.Lock()


_SHORTEST: Final = 8
"""Letters that a secret has at least: shorter ones would be found in other words."""


def record(journal: Journal, **exchange: Any) -> Exchange:
    """`Journal.record`, one writer at a time, without what an answer repeats of the request's secrets."""
    repeated = _repeated(exchange)
    if repeated:
        body, headers = exchange.get("response_body", b""), exchange.get("response_headers", ())
        for said, instead in repeated:
            body = body.replace(said.encode("utf-8"), instead.encode("ascii"))
            headers = tuple((name, value.replace(said, instead)) for name, value in headers)
        exchange |= {"response_body": body, "response_headers": headers}
    with _WRITING:
        return journal.record(**exchange)


def _repeated(exchange: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The secrets of a request that its answer says back, as they are spelt there, each with what stands for it."""
    body: bytes = exchange.get("response_body", b"")
    values = [value for _, value in exchange.get("response_headers", ())]
    return [
        (said, redacted(secret))
        for secret in _secrets(exchange.get("request_headers", ()), exchange.get("request_body", b""))
        for said in sorted({secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}, key=len, reverse=True)
        if said.encode("utf-8") in body or any(said in value for value in values)
    ]


def _secrets(headers: Iterable[tuple[str, str]], body: bytes) -> Iterator[str]:
    found = [value.rpartition(" ")[2] for name, value in headers if name.lower() in SECRET_HEADERS]
    if b"grant_type=" in body:
        fields = parse_qsl(body.decode("utf-8", "replace"))
        found += [value for name, value in fields if name.lower() in SECRET_FIELDS]
    return (each for each in found if len(each) >= _SHORTEST)


def moved(journal: Journal, now: datetime, seconds: float) -> None:
    """Write down that the target's clock was moved."""
    _add(journal, ClockMovement(now, seconds))


def observe(journal: Journal, kind: str, since: datetime, at: datetime, facts: Mapping[str, Any]) -> None:
    """Write down what a control call told: it came true somewhere between `since` and `at`."""
    _add(journal, Observation(kind, at, {"since": instant_text(since), **facts}))


def _add(journal: Journal, entry: Entry) -> None:
    with _WRITING:
        journal.add(entry)
