"""What crossed the wire, written down: exchanges, movements of the clock and observations.

A journal is newline-delimited JSON: a header, then a line for each thing that happened, last a footer. Without the
footer it was cut off, and whoever judges it must say so. Secrets never enter: they are replaced by a short digest
when an exchange is written down, so that two tokens can be told apart and neither can be used.
"""

import base64
import codecs
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple, Required, Self, TypedDict, Unpack
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec

from popreceipt import vocabulary
from popreceipt.exceptions import UsageError

FORMAT = "popreceipt/journal@1"

WRITTEN_OUT = 64 * 1024
"""Bodies above this many bytes enter as digest and length only."""

LEFT_AT_MOST: Final = 64
"""Exchanges that a spooled journal may leave for later."""

SECRET_FIELDS = frozenset(
    {
        "client_secret",
        "password",
        "client_assertion",
        "assertion",
        "refresh_token",
        "access_token",
        "id_token",
        "code",
    }
)
"""Fields of forms, queries and JSON whose values never enter."""

SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-control-key",
        "cookie",
        "set-cookie",
        # Where clients put what belongs into the form or into Authorization.
        "client_secret",
        "client-secret",
        "x-client-secret",
        "password",
        "access_token",
        "access-token",
        "x-access-token",
        "api-key",
        "x-api-key",
        "ocp-apim-subscription-key",
    }
)
"""Headers whose values never enter, but for a scheme such as Bearer."""

Headers = tuple[tuple[str, str], ...]


class Body(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A body as a journal holds it: text, base64, or (above 64 KiB) digest and length alone."""

    text: str | None = None
    base64: str | None = None
    sha256: str | None = None
    length: int | None = None

    @classmethod
    def of(cls, content: bytes) -> Self | None:
        """The body of these bytes; None for an empty one."""
        if not content:
            return None
        digest = hashlib.sha256(content).hexdigest()
        if len(content) > WRITTEN_OUT:
            return cls(sha256=digest, length=len(content))
        try:
            return cls(text=content.decode("utf-8"), sha256=digest, length=len(content))
        except UnicodeDecodeError:
            return cls(base64=base64.b64encode(content).decode("ascii"), sha256=digest, length=len(content))

    def content(self) -> bytes | None:
        """The bytes, or None where the journal kept only their digest."""
        if self.text is not None:
            return self.text.encode("utf-8")
        if self.base64 is not None:
            return base64.b64decode(self.base64)
        return None if self.length else b""

    def digest(self) -> str:
        """The SHA-256 of the bytes, computed where the journal does not carry it."""
        return self.sha256 or hashlib.sha256(self.content() or b"").hexdigest()


class Request(msgspec.Struct, frozen=True, gc=False):
    """What was sent. `headers` keep their order; names are in lower case."""

    method: str
    url: str
    headers: Headers = ()
    body: Body | None = None


class Response(msgspec.Struct, frozen=True, gc=False):
    """What came back."""

    status: int
    headers: Headers = ()
    body: Body | None = None


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """One request and what became of it.

    `sent` and `answered` are the target's time as the recorder knows it. Without a response, `failure` says how it
    failed (timeout, reset, truncated, …); a truncated response may be there in part. `actor` says who called, in the
    driver's words: an identity's role, perhaps followed by a slash and the consumer's name.
    """

    seq: int
    sent: datetime
    answered: datetime
    operation: str
    request: Request
    response: Response | None = None
    failure: str | None = None
    actor: str | None = None


class ClockMovement(msgspec.Struct, frozen=True):
    """The target's clock was moved: it is `clock` now, after an advance by so many seconds."""

    clock: datetime
    advanced_seconds: float


class Observation(msgspec.Struct, frozen=True):
    """Something learnt beside the wire (from the control plane, from the folders of a subject).

    `observation` names the kind; `at` is when it was known to hold; `facts` are the other members of its line.
    """

    observation: str
    at: datetime
    facts: Mapping[str, Any]


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who was spoken to."""

    name: str = ""
    build: str = ""
    clock: str = ""
    abilities: tuple[str, ...] = ()


class Header(msgspec.Struct, frozen=True):
    """A journal's first line. The two periods are filled only where somebody shortened them on purpose.

    `clock_error_seconds` is how far the recorder's idea of the target's time may be off, by the same amount throughout.
    `concurrent` says that several callers called at once: then the order of the lines tells nothing about what stands
    at one instant. Whoever records from several threads on a clock that stands still has to say so.
    """

    format: str = FORMAT
    recorded_by: Literal["client", "service"] = "client"
    target: Target = Target()
    seed: int | None = None
    clock: str = "system"
    rate: float | None = 1.0
    lease_seconds: float | None = None
    retention_seconds: float | None = None
    dialect: str | None = None
    concurrent: bool = False
    clock_error_seconds: float = 0.0


Entry = Exchange | ClockMovement | Observation


class _Line(msgspec.Struct, gc=False):
    """Any line of a journal but the header: which members are there tells which kind it is."""

    seq: int | None = None
    sent: datetime | None = None
    answered: datetime | None = None
    operation: str = vocabulary.OTHER
    request: Request | None = None
    response: Response | None = None
    failure: str | None = None
    actor: str | None = None
    clock: datetime | None = None
    advanced_seconds: float = 0.0
    observation: str | None = None
    at: datetime | None = None
    footer: bool = False
    lines: int = 0


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_header = msgspec.json.Decoder(Header).decode
_encode = msgspec.json.Encoder().encode


def _utc(instant: datetime) -> datetime:
    return (
        instant if instant.tzinfo is UTC else instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    )


def instant(text: str) -> datetime:
    """The instant that ISO 8601 text names, in UTC (also where it names no zone).

    Raises:
        ValueError: it is no such text.
    """
    return _utc(datetime.fromisoformat(text))


def instant_text(instant: datetime) -> str:
    """An instant as journals write it: ISO 8601 in UTC with microseconds and a Z."""
    # Every exchange has two. msgspec writes the same as strftime in a tenth of its time, but no fraction of zero.
    text: str = msgspec.to_builtins(_utc(instant))
    return text if instant.microsecond else f"{text[:-1]}.000000Z"


def header_line(header: Header) -> bytes:
    """The header as a journal's first line; its last two members stand there only where they say something."""
    members = msgspec.structs.asdict(header)
    for name in ("concurrent", "clock_error_seconds"):
        if not members[name]:
            del members[name]
    return _encode(members)


def entry_line(entry: Entry) -> bytes:
    """One entry as its line of the journal, without the line's end."""
    if isinstance(entry, Observation):
        return _encode({"observation": entry.observation, "at": instant_text(entry.at), **entry.facts})
    if isinstance(entry, ClockMovement):
        return _encode({"clock": instant_text(entry.clock), "advanced_seconds": entry.advanced_seconds})
    sent = instant_text(entry.sent)
    return _encode(
        {
            "seq": entry.seq,
            "sent": sent,
            "answered": sent if entry.answered == entry.sent else instant_text(entry.answered),
            "operation": entry.operation,
            "request": entry.request,
            "response": entry.response,
            "failure": entry.failure,
            "actor": entry.actor,
        }
    )


class Recorded(TypedDict, total=False):
    """What is told of an exchange when it is recorded: the arguments of `Journal.record`."""

    sent: Required[datetime]
    answered: Required[datetime]
    method: Required[str]
    url: Required[str]
    request_headers: Iterable[tuple[str, str]]
    request_body: bytes
    status: int | None
    response_headers: Iterable[tuple[str, str]]
    response_body: bytes
    failure: str | None
    actor: str | None
    operation: str | None


class Journal:
    """A journal in memory, written to a file as it grows where one is given.

    Whoever records numbers nothing: `record` gives each exchange the next number and hides its secrets.

    Args:
        header: its first line.
        file: open for writing.
        at_once: hand every line to the system as it is written, so that others see it and a crash leaves it.
    """

    def __init__(self, header: Header | None = None, file: IO[bytes] | None = None, *, at_once: bool = True) -> None:
        self.header = header if header is not None else Header()
        self.entries: list[Entry] = []
        self.complete = False
        self._count = 0
        self._next = 1
        self._file = file
        self._at_once = at_once
        self._headed = False

    def exchanges(self) -> Iterator[Exchange]:
        """The exchanges among the entries."""
        return (each for each in self.entries if isinstance(each, Exchange))

    def add(self, entry: Entry) -> None:
        """Append one entry; an exchange brings its own number."""
        self._keep(entry)
        self._count += 1
        if isinstance(entry, Exchange):
            self._next = max(self._next, entry.seq + 1)
        if self._file is not None:
            self._write(entry_line(entry))

    def record_soon(self, **exchange: Unpack[Recorded]) -> int:
        """Write down one exchange, at once or in `catch_up`, and tell its number."""
        return self.record(**exchange).seq

    def catch_up(self) -> None:
        """Write down what `record_soon` has left for later."""

    def record(
        self,
        *,
        sent: datetime,
        answered: datetime,
        method: str,
        url: str,
        request_headers: Iterable[tuple[str, str]] = (),
        request_body: bytes = b"",
        status: int | None = None,
        response_headers: Iterable[tuple[str, str]] = (),
        response_body: bytes = b"",
        failure: str | None = None,
        actor: str | None = None,
        operation: str | None = None,
    ) -> Exchange:
        """Write down one exchange, its secrets replaced, and give it back. No `status` means no response.

        `operation` is what the caller means by the request; it counts where the path does not tell.
        """
        told = _operation_of(url)
        sent_headers = redacted_headers(request_headers)
        received_headers = redacted_headers(response_headers)
        token = told == vocabulary.TOKEN or _looks_like_a_token_request(sent_headers, request_body)
        if told == vocabulary.OTHER:
            told = vocabulary.TOKEN if token else operation or vocabulary.OTHER
        if token:
            request_body = redacted_form(request_body)
            # Half an answer may hold half a token, and is no JSON that could be looked through.
            if len(response_body) <= WRITTEN_OUT:
                response_body = redacted_json(response_body) if failure is None else redacted_whole(response_body)
        else:
            request_body = request_body if told == vocabulary.ENQUEUE else _kept(request_body)
            response_body = response_body if _hands_out(told, status) else _kept(response_body)
        exchange = Exchange(
            seq=self._next,
            sent=sent,
            answered=answered,
            operation=told,
            request=Request(method, redacted_url(url), sent_headers, Body.of(request_body)),
            response=None if status is None else Response(status, received_headers, Body.of(response_body)),
            failure=failure,
            actor=actor,
        )
        self.add(exchange)
        return exchange

    def seal(self) -> None:
        """Write the footer: nothing follows."""
        self.complete = True
        self._write(self._footer())

    @property
    def next_number(self) -> int:
        """The number that the next exchange gets."""
        return self._next

    def go_on(self, file: IO[bytes], earlier: "Earlier | None" = None) -> None:
        """Write into this file from here on: after what an earlier run left in it, or from its first line.

        What this journal holds so far comes after what the file holds: exchanges under the next numbers, observations
        where they tell something new. The header is the file's.

        Args:
            file: open for reading and writing; what stands after the earlier run's last whole line is cut off.
            earlier: what `left_in` found in it.
        """
        own = list(self.entries)
        self.entries.clear()
        self._file, self._headed, self._count, self._next = file, False, 0, 1
        end = 0
        if earlier is not None:
            end = earlier.end
            self.header, self._headed = earlier.header, True
            self.entries += earlier.entries
            self._count = len(earlier.entries)
            self._next = 1 + max((each.seq for each in self.exchanges()), default=0)
        file.truncate(end)
        file.seek(end)
        known = [_told(each) for each in self.entries if isinstance(each, Observation)]
        for each in own:
            if isinstance(each, Exchange):
                self.add(msgspec.structs.replace(each, seq=self._next))
            elif not isinstance(each, Observation) or _told(each) not in known:
                self.add(each)

    def _keep(self, entry: Entry) -> None:
        self.entries.append(entry)

    def _footer(self) -> bytes:
        return _encode({"footer": True, "lines": self._count + 2})

    def _write(self, line: bytes) -> None:
        """Write a line to the file, if there is one; the header goes before the first."""
        if self._file is None:
            return
        if not self._headed:
            self._file.write(header_line(self.header) + b"\n")
            self._headed = True
        self._file.write(line + b"\n")
        if self._at_once:
            self._file.flush()

    def lines(self) -> Iterator[bytes]:
        """The journal as it would stand in a file, a line at a time, without the footer unless sealed."""
        yield header_line(self.header)
        for entry in self.entries:
            yield entry_line(entry)
        if self.complete:
            yield self._footer()


class SpooledJournal(Journal):
    """A journal that lives in its file alone, for a service that runs for days: `entries` stays empty.

    Args:
        header: its first line.
        file: open for writing and reading.
        at_once: hand every line to the system as it is written. A file that nobody else can open needs no such haste,
            and then an exchange may wait a moment before it is written: until its answer is on its way.
    """

    def __init__(self, header: Header, file: IO[bytes], *, at_once: bool = True) -> None:
        super().__init__(header, file, at_once=at_once)
        self._spool = file
        self._left: list[Recorded] = []

    def record_soon(self, **exchange: Unpack[Recorded]) -> int:
        """Leave an exchange for later, but never many of them."""
        self._left.append(exchange)
        number = self._next + len(self._left) - 1
        if self._at_once or len(self._left) > LEFT_AT_MOST:
            self.catch_up()
        return number

    def catch_up(self) -> None:
        """Write down what was left."""
        left, self._left = self._left, []
        for exchange in left:
            line = _line_of(self._next, exchange)
            if line is None:
                super().record(**exchange)
            else:
                self._next += 1
                self._count += 1
                self._write(line)

    def record(self, **exchange: Unpack[Recorded]) -> Exchange:
        """Write down one exchange, after those that were left."""
        self.catch_up()
        return super().record(**exchange)

    def add(self, entry: Entry) -> None:
        """Append one entry, after what was left."""
        self.catch_up()
        super().add(entry)

    def seal(self) -> None:
        """Write what was left, and the footer."""
        self.catch_up()
        super().seal()

    def _keep(self, entry: Entry) -> None:
        """Nothing is kept but what the file holds."""

    def lines(self) -> Iterator[bytes]:
        """The lines of the file so far."""
        self.catch_up()
        if not self._headed:
            yield header_line(self.header)
        end = self._spool.tell()
        self._spool.seek(0)
        try:
            yield from iter([line.rstrip(b"\n") for line in self._spool])
        finally:
            self._spool.seek(end)


class Earlier(NamedTuple):
    """What an earlier run left in a journal's file.

    `end` is where its last whole line ends, the footer not counted; `cut` that something stands after it which is no
    whole line.
    """

    header: Header
    entries: list[Entry]
    end: int
    sealed: bool
    cut: bool


def left_in(path: Path) -> Earlier | None:
    """What stands in a journal's file, so that it can be gone on with; None where not even a header is whole.

    A last line that was cut off (or lines, where a computer lost its power) is no damage; what is damaged in the
    middle is.

    Raises:
        UsageError: the file cannot be read, is no journal, or is damaged.
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
            if not first.endswith(b"\n") or not first.strip(b"\0\n"):
                return None
            header = JournalFile(path).header
            entries: list[Entry] = []
            end = file.tell()
            sealed, bad = False, 0
            for number, raw in enumerate(file, 2):
                entry, footer = _whole(raw)
                if entry is None and not footer:
                    bad = bad or number
                elif bad or sealed:
                    raise UsageError(
                        f"{path} is damaged: line {bad or number - 1} cannot be read as one of a journal, and others "
                        "follow it. Nothing can be added to it."
                    )
                elif entry is None:
                    sealed = True
                else:
                    entries.append(entry)
                    end += len(raw)
    except OSError as error:
        raise UsageError(f"Cannot read the journal {path}: {error.strerror or error}.") from error
    return Earlier(header, entries, end, sealed, bad > 0)


def _whole(raw: bytes) -> tuple[Entry | None, bool]:
    """The entry on a line, and whether it is a footer instead; neither for what is no whole line of a journal."""
    if not raw.endswith(b"\n"):
        return None, False
    try:
        line = _decode_line(raw)
        return _entry_of(line, raw), line.footer
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, False


def _told(each: Observation) -> tuple[str, Mapping[str, Any]]:
    """What an observation tells, whenever it was told."""
    return each.observation, {name: value for name, value in each.facts.items() if name != "since"}


class JournalFile:
    """A journal on disk, read as a stream: iterate it for its entries, then ask whether it was complete.

    Raises:
        UsageError: the file cannot be read or its first line is not a journal's header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = False
        self.damage: str | None = None
        try:
            with path.open("rb") as file:
                # An editor may have put a byte order mark before it.
                first = file.readline().removeprefix(codecs.BOM_UTF8)
        except OSError as error:
            raise UsageError(f"Cannot read the journal {path}: {error.strerror or error}.") from error
        try:
            self.header = _decode_header(first)
            # Every member but this one may be left out.
            if "format" not in msgspec.json.decode(first):
                raise msgspec.ValidationError("it names no format")
        except (msgspec.MsgspecError, RecursionError) as error:
            raise UsageError(
                f"{path} is not a journal: its first line should be a header of format {FORMAT!r} ({error})."
            ) from error
        if self.header.format != FORMAT:
            raise UsageError(f"{path} is a journal of format {self.header.format!r}; this version reads {FORMAT!r}.")

    def __iter__(self) -> Iterator[Entry]:
        self.complete = False
        self.damage = None
        count = 1
        with self.path.open("rb") as file:
            file.readline()
            for raw in file:
                if not raw.strip():
                    continue
                count += 1
                if self.complete:
                    self.complete = False
                    self.damage = f"line {count} stands after the footer"
                    return
                try:
                    line = _decode_line(raw)
                    entry = _entry_of(line, raw)
                except (msgspec.MsgspecError, ValueError, UnicodeDecodeError, RecursionError) as error:
                    self.damage = f"line {count} cannot be read ({error})"
                    return
                if entry is not None:
                    yield entry
                elif line.footer and line.lines == count:
                    self.complete = True
                elif line.footer:
                    self.damage = f"the footer counts {line.lines} lines, the file has {count}"
                    return
                else:
                    self.damage = f"line {count} is neither an exchange, a clock movement, an observation nor a footer"
                    return
        if not self.complete:
            self.damage = f"it ends after {count} lines without a footer"


def _entry_of(line: _Line, raw: bytes) -> Entry | None:
    if line.seq is not None:
        if line.sent is None or line.answered is None or line.request is None:
            raise ValueError("an exchange needs sent, answered and request")
        return Exchange(
            line.seq,
            _utc(line.sent),
            _utc(line.answered),
            line.operation,
            line.request,
            line.response,
            line.failure,
            line.actor,
        )
    if line.observation is not None:
        if line.at is None:
            raise ValueError("an observation needs at")
        facts = msgspec.json.decode(raw)
        del facts["observation"], facts["at"]
        return Observation(line.observation, _utc(line.at), facts)
    if line.clock is not None:
        return ClockMovement(_utc(line.clock), line.advanced_seconds)
    return None


# The lines of a service's usual exchanges. A client sends the same heads again and again, and gets the same again and
# again: what follows from them alone is made once. The rest is `entry_line` written out.


def _line_of(number: int, exchange: Recorded) -> bytes | None:
    """The line of an exchange as `record` and `entry_line` make it; None for one that is out of the ordinary."""
    if exchange.get("failure") is not None or exchange.get("operation") is not None:
        return None
    headers, answered_headers = exchange.get("request_headers", ()), exchange.get("response_headers", ())
    status = exchange.get("status")
    if status is None or type(headers) is not tuple or type(answered_headers) is not tuple:
        return None
    asked = _asked(exchange["method"], exchange["url"], headers)
    sent_body = exchange.get("request_body", b"")
    if asked is None or (asked.is_form and b"grant_type=" in sent_body):
        return None
    answer_body = exchange.get("response_body", b"")
    if asked.operation != vocabulary.ENQUEUE:
        sent_body = _kept(sent_body)
    if not _hands_out(asked.operation, status):
        answer_body = _kept(answer_body)
    sent, answered, actor = exchange["sent"], exchange["answered"], exchange.get("actor")
    sent_text = instant_text(sent)
    return b'{"seq":%d,"sent":"%b","answered":"%b",%b%b},"response":%b%b},"failure":null,"actor":%b}' % (
        number,
        sent_text.encode("ascii"),
        (sent_text if answered == sent else instant_text(answered)).encode("ascii"),
        asked.begun,
        _encode(Body.of(sent_body)) if sent_body else b"null",
        _answered(status, answered_headers),
        _encode(Body.of(answer_body)) if answer_body else b"null",
        b"null" if actor is None else _encode(actor),
    )


class _Asked(NamedTuple):
    """What a request's method, address and headers alone tell: the middle of its line, and how to read its body."""

    begun: bytes
    operation: str
    is_form: bool


@functools.lru_cache(maxsize=1024)
def _asked(method: str, url: str, headers: Headers) -> _Asked | None:
    operation = _operation_of(url)
    if operation == vocabulary.TOKEN:
        return None
    kept = redacted_headers(headers)
    members = {"operation": operation, "request": {"method": method, "url": redacted_url(url), "headers": kept}}
    return _Asked(_encode(members)[1:-2] + b',"body":', operation, _looks_like_a_form(kept))


@functools.lru_cache(maxsize=1024)
def _answered(status: int, headers: Headers) -> bytes:
    return _encode({"status": status, "headers": redacted_headers(headers)})[:-1] + b',"body":'


# Secrets


def secret_digest(secret: str) -> str:
    """Eight hexadecimal digits that tell two secrets apart and reveal neither."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()[:8]


def redacted(secret: str) -> str:
    """What stands in a journal in a secret's place. Redacting twice changes nothing."""
    return secret if is_redacted(secret) else f"redacted:{secret_digest(secret)}"


def is_redacted(text: str) -> bool:
    """Whether a text is what stands in a secret's place."""
    return _REDACTED.fullmatch(text) is not None


_REDACTED = re.compile(r"redacted:[0-9a-f]{8}")


def redacted_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """Header names in lower case, secrets replaced; a scheme such as Bearer stays readable."""
    return tuple(
        [
            (lower, _redacted_value(value) if lower in SECRET_HEADERS else without_tokens(value))
            for lower, value in [(name.lower(), value) for name, value in headers]
        ]
    )


@functools.lru_cache(maxsize=1024)
def _redacted_value(value: str) -> str:
    scheme, blank, rest = value.partition(" ")
    return f"{scheme} {redacted(rest)}" if blank else redacted(value)


_TOKEN = re.compile(r"(?<![\w-])(?>(?P<before>[\w-]*?)eyJ)[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*", re.ASCII)
_IN_A_QUERY = re.compile(
    r"(?<=[?&])(client_secret|password|client_assertion|assertion|refresh_token|access_token|id_token|code)=([^&#]+)",
    re.IGNORECASE,
)
_NAMES_A_SECRET = re.compile(
    rb"client_secret|client_assertion|refresh_token|access_token|id_token|password\W", re.IGNORECASE
)
_SIGNATURE = re.compile(
    r"(?:(?<![\w.-])|(?<=26)|(?<=3f))"  # behind an ampersand or a question mark that may be written %26 or \\u003f
    r"(?P<name>(?:x-(?:amz|goog)-)?signature|sig|x-amz-security-token)"
    r"(?P<equals>=|%(?:25)*3d)"
    r"(?P<value>(?:(?!%(?:25)*(?:26|23))[\w.~%+/=:!*$,@-]|\\u00(?:2[bf]|3d|25)|\\/){16,})",
    re.IGNORECASE | re.ASCII,
)
"""The signature of an address that was signed in advance, as of a file in blob storage ("Create a service SAS"):
whoever has it needs no token for as long as it says. In an address, in JSON, and in an address within an address."""

_PASSWORD = re.compile(r"(?P<before>:(?:\\?/){2}[^\s/?#@:\"'<>\\]*:)(?P<password>[^\s/?#@\"'<>\\]+)(?=@)")
"""The password that an address names before its host (RFC 3986, 3.2.1)."""

_IN_JSON = re.compile(r"\\u00([0-9a-f]{2})|\\(/)", re.IGNORECASE)


def without_tokens(text: str) -> str:
    """A text with whatever looks like a signed token, or signs an address, replaced wherever a client put it."""
    if "eyJ" in text:
        text = _TOKEN.sub(lambda found: found["before"] + redacted(found[0][len(found["before"]) :]), text)
    # Every text passes here, and a search that ignores case takes twenty times as long.
    if "sig" in text or "Sig" in text or "SIG" in text or "ecurity-" in text:
        text = _SIGNATURE.sub(_without_signature, text)
    if "@" in text:
        text = _PASSWORD.sub(lambda found: found["before"] + redacted(found["password"]), text)
    return text


def _without_signature(found: re.Match[str]) -> str:
    """The same address with a digest in the place of what signs it: the same for each spelling of the same."""
    value = _IN_JSON.sub(lambda each: each[2] or chr(int(each[1], 16)), found["value"])
    for _ in range(_SPELT):
        value = unquote(value)
    return f"{found['name']}{found['equals']}{redacted(value)}"


_SPELT: Final = 3
"""How often percent-encoding within percent-encoding is undone before signatures are compared."""


def is_unsigned(address: str) -> bool:
    """Whether an address lacks what signed it, since it has passed a journal: nobody can ask for it any more."""
    return any(is_redacted(found["value"]) for found in _SIGNATURE.finditer(address))


def redacted_url(url: str) -> str:
    """A URL with the secrets replaced that a client should not have put there."""
    if "?" not in url:
        return without_tokens(url)
    return without_tokens(_IN_A_QUERY.sub(lambda found: f"{found[1]}={redacted(found[2])}", url))


def without_strays(content: bytes) -> bytes:
    """A body in which no secret belongs, with tokens replaced; replaced whole where it names a secret."""
    # Every exchange has two; looking for parts of the names first takes a tenth of the time.
    lower = content.lower()
    may = b"client_" in lower or b"_token" in lower or b"password" in lower
    if may and _NAMES_A_SECRET.search(content):
        return redacted_whole(content)
    if b"eyJ" not in content and b"sig" not in lower and b"security-" not in lower and b"@" not in content:
        return content
    return without_tokens(content.decode("latin-1")).encode("latin-1")


def _kept(content: bytes) -> bytes:
    """A body without strays; of a long one only the digest is kept, and there is nothing to be looked for."""
    return content if len(content) > WRITTEN_OUT else without_strays(content)


def redacted_form(content: bytes) -> bytes:
    """A form body with its secrets replaced; what is no form is replaced whole."""
    if not content:
        return content
    if b"\n" in content:  # A multipart form could be taken for one field with a strange name.
        return redacted_whole(content)
    try:
        fields = parse_qsl(content.decode("utf-8"), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return redacted_whole(content)
    if not all(_NAME.fullmatch(name) for name, _ in fields):  # JSON whose secret ends with an equals sign, say.
        return redacted_whole(content)
    return urlencode([(name, redacted(value) if _is_secret(name, value) else value) for name, value in fields]).encode()


_NAME = re.compile(r"[\w.-]*")


def _is_secret(name: str, value: str) -> bool:
    """Whether a field is one of those that hold a secret, or holds one of those by itself."""
    return name.lower() in SECRET_FIELDS or _HOLDS_A_SECRET.search(value) is not None


_BELOW = SECRET_FIELDS - {"code"}
"""An error has a code as well, and tells it further down."""

_HOLDS_A_SECRET = re.compile(rf"\b({'|'.join(sorted(_BELOW))})\W{{0,9}}[=:]", re.IGNORECASE)


def redacted_whole(content: bytes) -> bytes:
    """A body that may hold a secret anywhere: nothing of it is kept."""
    return redacted(content.decode("latin-1")).encode("ascii") if content else content


def redacted_json(content: bytes) -> bytes:
    """A token endpoint's answer with its tokens replaced; what is no JSON object is kept where it names none."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        if _HOLDS_A_SECRET.search(content.decode("latin-1")):
            return redacted_whole(content)
        return without_tokens(content.decode("latin-1")).encode("latin-1")
    return json.dumps(_hidden(answer)).encode("utf-8")


def _hidden(value: Any, fields: frozenset[str] = SECRET_FIELDS) -> Any:
    """A value of JSON, with the secrets in it replaced however deep they stand."""
    if isinstance(value, dict):
        return {
            name: redacted(one) if name.lower() in fields and isinstance(one, str) else _hidden(one, _BELOW)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_hidden(one, _BELOW) for one in value]
    return without_tokens(value) if isinstance(value, str) else value


def _hands_out(operation: str, status: int | None) -> bool:
    """Whether an answer's body is a file, of which every byte counts; a refusal or a redirect has only words."""
    return operation == vocabulary.DOWNLOAD and status is not None and 200 <= status < 300


def _looks_like_a_token_request(headers: Headers, content: bytes) -> bool:
    return b"grant_type=" in content and _looks_like_a_form(headers)


def _looks_like_a_form(headers: Headers) -> bool:
    return any(name == "content-type" and "form-urlencoded" in value.lower() for name, value in headers)


@functools.lru_cache(maxsize=1024)
def _operation_of_path(path: str) -> str:
    return vocabulary.operation_of(path)[0]


def _operation_of(url: str) -> str:
    """What a request for this URL asks for; the same paths come again and again, the queries need not."""
    return _operation_of_path(urlsplit(url.partition("?")[0]).path)
