"""An exchange told to people: who did what and what came of it, in a few words; and its heads and bodies, cut to size.

It reads an answer only to name it. Whatever cannot be read is told by its status.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from popreceipt import vocabulary
from popreceipt.journal import Body, Exchange, Headers, Observation
from popreceipt.reports.html.gathering import content_of
from popreceipt.reports.page import Tone
from popreceipt.reports.plain import cut, one_line

MOST_HEADERS: Final = 40
"""Header lines of a message that are shown."""

MOST_OF_A_HEADER: Final = 400
"""Characters of a header's value that are shown."""

MOST_OF_A_BODY: Final = 1600
"""Characters of a body that are shown: its length and digest tell the rest."""

READ: Final = 64 * 1024
"""Characters of a body that are read to name what it holds."""


@dataclass(frozen=True, slots=True)
class BodyView:
    """A body: its text as far as it is shown, and what it is where it is none (its length, its digest)."""

    text: str | None
    about: str


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """An exchange as a page shows it: a line for everybody, heads and bodies for those who unfold it.

    Args:
        number: in the journal.
        at: when it was sent, time of day in UTC.
        day: its day.
        took: until the answer, where that took time.
        actor: who called.
        words: what was done, in a few words.
        request: the request line, path and query alone.
        status: the answer's, or how it failed.
        tone: how the answer is meant.
        url: the whole address.
        asked: the request's headers.
        sent: the request's body.
        answered: the response's headers; None where there was no response.
        received: the response's body.
        repeated: it stands in full further up, and need not be printed again.
    """

    number: int
    at: str
    day: str
    took: str
    actor: str
    words: str
    request: str
    status: str
    tone: Tone
    url: str
    asked: tuple[tuple[str, str], ...]
    sent: BodyView | None
    answered: tuple[tuple[str, str], ...] | None
    received: BodyView | None
    repeated: bool = False


def told(exchange: Exchange) -> ExchangeView:
    """An exchange as a page shows it."""
    parts = _address(exchange)
    line = f"{exchange.request.method} {parts.path}{'?' if parts.query else ''}{parts.query}"
    response = exchange.response
    return ExchangeView(
        number=exchange.seq,
        at=time_of_day(exchange.sent),
        day=day(exchange.sent),
        took="" if exchange.answered <= exchange.sent else lasting(exchange.answered - exchange.sent),
        actor=one_line(exchange.actor or "", 60),
        words=words(exchange),
        request=one_line(line, 300),
        status=status(exchange),
        tone=_tone(exchange),
        url=one_line(exchange.request.url, 600),
        asked=_headers(exchange.request.headers),
        sent=body(exchange.request.body, exchange.request.headers),
        answered=None if response is None else _headers(response.headers),
        received=None if response is None else body(response.body, response.headers),
    )


def status(exchange: Exchange) -> str:
    """The answer in a word: its status, or how it failed."""
    if exchange.response is None:
        return f"no answer: {one_line(exchange.failure or 'not told why', 60)}"
    code = str(exchange.response.status)
    return f"{code}, {one_line(exchange.failure, 60)}" if exchange.failure else code


def _tone(exchange: Exchange) -> Tone:
    if exchange.response is None or exchange.failure:
        return Tone.CAUTION
    code = exchange.response.status
    return Tone.GOOD if 200 <= code < 300 else Tone.CAUTION if code >= 500 else Tone.NEUTRAL


def words(exchange: Exchange) -> str:
    """What was done and what came of it, the caller left out: "is handed message 29bc00e5"."""
    told = _WORDS.get(exchange.operation)
    return one_line(told(exchange), 200) if told is not None else "calls"


def event(observation: Observation) -> str:
    """What was learnt beside the wire, in a few words; empty where it is no part of a message's story."""
    facts = observation.facts
    if observation.observation == "produced":
        if facts.get("uploaded") is False:
            return "an export runs and uploads no file"
        return f"an export uploads {_some(facts.get('records'), 'record')}"
    if observation.observation == "processed":
        return f"the batch job takes {_some(facts.get('processed'), 'file')}"
    return {"restart": "the target is restarted", "reset": "the target is put into its first state"}.get(
        observation.observation, ""
    )


def _some(count: object, noun: str) -> str:
    if not isinstance(count, int):
        return f"{noun}s"
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def delivered(exchange: Exchange) -> str | None:
    """The message that a dequeue handed out, by its CorrelationId; empty where it has none, None where none came."""
    if exchange.operation != vocabulary.DEQUEUE or not _succeeded(exchange):
        return None
    answer = _json(exchange.response.body if exchange.response is not None else None)
    if not isinstance(answer, Mapping) or not (_member(answer, "PopReceipt") or _member(answer, "DownloadLocation")):
        return None
    return _member(answer, "CorrelationId")


def acknowledged(exchange: Exchange) -> str | None:
    """The message that an acknowledgment names, by its CorrelationId."""
    if exchange.operation != vocabulary.ACK:
        return None
    asked = _json(exchange.request.body)
    return _member(asked, "CorrelationId") if isinstance(asked, Mapping) else None


def _succeeded(exchange: Exchange) -> bool:
    return exchange.response is not None and 200 <= exchange.response.status < 300 and not exchange.failure


def _token(exchange: Exchange) -> str:
    return "asks for a token and gets one" if _succeeded(exchange) else "asks for a token"


def _enqueue(exchange: Exchange) -> str:
    size = exchange.request.body.length if exchange.request.body is not None else 0
    query = dict(parse_qsl(_address(exchange).query))
    entity = next((value for name, value in query.items() if name.lower() == "entity"), "")
    made = _json(exchange.response.body) if exchange.response is not None and _succeeded(exchange) else None
    return (
        f"hands in {size or 0:,} bytes"
        + (f" for {entity}" if entity else "")
        + (f": message {_short(made)}" if isinstance(made, str) else "")
    )


def _dequeue(exchange: Exchange) -> str:
    message = delivered(exchange)
    if message is not None:
        return f"is handed message {_short(message)}" if message else "is handed a message"
    if _succeeded(exchange):
        return "is told that nothing waits"
    return "asks for a message"


def _download(exchange: Exchange) -> str:
    if not _succeeded(exchange) or exchange.response is None:
        return "asks for a file"
    size = exchange.response.body.length if exchange.response.body is not None else 0
    return f"downloads {size or 0:,} bytes"


def _ack(exchange: Exchange) -> str:
    message = acknowledged(exchange)
    return f"acknowledges message {_short(message)}" if message else "acknowledges"


def _asks(what: str) -> Any:
    def told(exchange: Exchange) -> str:
        asked = _json(exchange.request.body)
        about = next((str(one) for one in asked.values() if one), "") if isinstance(asked, Mapping) else ""
        answer = _json(exchange.response.body) if exchange.response is not None and _succeeded(exchange) else None
        value = answer.get("value") if isinstance(answer, Mapping) else answer
        seen = f": {one_line(str(value), 60)}" if isinstance(value, str | int) and value != "" else ""
        return f"asks for {what}{f' of {_short(about)}' if about else ''}{seen}"

    return told


_WORDS: Final[Mapping[str, Any]] = {
    vocabulary.TOKEN: _token,
    vocabulary.ENQUEUE: _enqueue,
    vocabulary.DEQUEUE: _dequeue,
    vocabulary.DOWNLOAD: _download,
    vocabulary.ACK: _ack,
    vocabulary.JOBSTATUS: _asks("a job's status"),
    vocabulary.MESSAGE_STATUS: _asks("the status"),
    vocabulary.EXECUTION_ID: _asks("the execution"),
    vocabulary.EXECUTION_ERRORS: _asks("the errors"),
    vocabulary.EXECUTION_SUMMARY: _asks("the summary"),
}


def _short(name: str) -> str:
    """Enough of a GUID to tell it from another."""
    return name.strip().strip('"{}')[:8]


def _member(value: Mapping[str, Any], name: str) -> str:
    found = next((one for key, one in value.items() if isinstance(key, str) and key.lower() == name.lower()), None)
    return found if isinstance(found, str) else ""


def _address(exchange: Exchange) -> SplitResult:
    """The parts of a request's address; what is no address is all path."""
    try:
        return urlsplit(exchange.request.url)
    except ValueError:
        return SplitResult("", "", exchange.request.url, "", "")


def _json(body: Body | None) -> Any:
    """What a body says as JSON; None where it is none."""
    if body is None or body.text is None or len(body.text) > READ:
        return None
    try:
        return json.loads(body.text)
    except (ValueError, RecursionError):
        return None


def _headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    shown = [(one_line(name, 100), one_line(value, MOST_OF_A_HEADER)) for name, value in headers[:MOST_HEADERS]]
    if len(headers) > MOST_HEADERS:
        shown.append(("…", f"{len(headers) - MOST_HEADERS} more headers"))
    return tuple(shown)


_KINDS: Final = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an OLE file",
}


def body(body: Body | None, headers: Headers = ()) -> BodyView | None:
    """A body as a page shows it: JSON with its lines set out, other text as it is, the rest by length and digest."""
    if body is None:
        return None
    content = content_of(body)
    length = body.length if body.length is not None else len(content or b"")
    about = f"{length:,} bytes"
    if body.text is None:
        kind = next((name for magic, name in _KINDS.items() if content and content.startswith(magic)), "")
        known = body.sha256 or (hashlib.sha256(content).hexdigest() if content is not None else None)
        digest = f"SHA-256 {known}" if known else "not recorded"
        return BodyView(None, ", ".join(filter(None, (about, kind, digest))))
    text = body.text
    if any(name == "content-type" and "json" in value.lower() for name, value in headers) and len(text) <= READ:
        text = _set_out(text)
    if len(text) > MOST_OF_A_BODY:
        about += f", SHA-256 {body.sha256 or hashlib.sha256(content or b'').hexdigest()}"
    return BodyView(cut(text, MOST_OF_A_BODY), about)


def _set_out(text: str) -> str:
    """JSON a member a line; whatever is no object or list stays as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) and value else text


def time_of_day(instant: datetime) -> str:
    """The time of day in UTC, with a fraction where it has one."""
    utc = instant.astimezone(UTC)
    return f"{utc:%H:%M:%S}" + (f".{utc.microsecond // 1000:03d}" if utc.microsecond else "")


def day(instant: datetime) -> str:
    """The day in UTC, such as 2 March 2026: a month's number is written before the day here and after it there."""
    utc = instant.astimezone(UTC)
    return f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year}"


_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
"""Not the computer's own: the same result has the same bytes everywhere."""


def lasting(time: timedelta) -> str:
    """How long something took, in the two largest units that tell something: 29 min 59 s."""
    seconds = time / timedelta(seconds=1)
    if seconds < 0:
        return f"−{lasting(-time)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    return " ".join(_units(round(seconds)))


def _units(seconds: int) -> Iterator[str]:
    shown = 0
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count and shown < 2:
            yield f"{count} {unit}"
            shown += 1
