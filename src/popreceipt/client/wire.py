"""Calls as requests, answers as values: pure, in both directions.

It knows how the documentation and public clients write each request, and every form an answer has been seen in. It
sends nothing and judges nothing: a reader that finds no value says None.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import quote

import msgspec

from popreceipt import vocabulary

if TYPE_CHECKING:
    from popreceipt.journal import Exchange

Pairs = tuple[tuple[str, str], ...]

JSON: Final = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to make: path and query as they stand in the request line, already percent-encoded.

    `operation` is what it is meant as, where its path is a server's word and need not tell.
    """

    method: str
    path: str
    query: str = ""
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)
    operation: str | None = None

    @property
    def target(self) -> str:
        """Path and query together."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Answered(Protocol):
    """As much of an answer as its readers need, whoever received it."""

    @property
    def body(self) -> bytes:
        """Its body."""

    @property
    def ok(self) -> bool:
        """A whole answer with a status of success."""

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""

    def json(self) -> Any:
        """The body as JSON; None where it is none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of an ask, with the exchange that stands for it in the journal.

    `status` is None when no whole answer came; `failure` then says why: timeout, reset, truncated, refused, protocol,
    too-long. Header names are in lower case.
    """

    exchange: "Exchange"
    status: int | None
    headers: Pairs = ()
    body: bytes = field(default=b"", repr=False)
    failure: str | None = None

    @property
    def ok(self) -> bool:
        """A whole answer with a status of success."""
        return self.status is not None and 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def json(self) -> Any:
        """The body as JSON; None where it is none (and where it is JSON's own null)."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a request line is written where several ways mean the same.

    `activity`: bare (lower case), `upper`, `braced` (percent-encoded braces around upper case, as the documentation
    prints it), `raw-braces` (braces unencoded, as a browser's address line would hand them over). `language` is the
    segment that may stand before the API's path. `case` is that of the path's fixed words. `blank` is how a space in
    an entity's name is written.
    """

    activity: Literal["bare", "upper", "braced", "raw-braces"] = "bare"
    language: str | None = None
    case: Literal["lower", "upper", "mixed"] = "lower"
    blank: Literal["%20", "+"] = "%20"


PLAIN: Final = Spelling()


# Requests


def enqueue(
    activity: str,
    body: bytes,
    *,
    entity: str | None = None,
    company: str | None = None,
    content_type: str | None = None,
    external_identifier: str | None = None,
    spelling: Spelling = PLAIN,
) -> Ask:
    """Hand in a file ("Recurring integrations", section "API for import (enqueue)").

    The company parameter and the external identifier are not in the documentation but in the public scheduler
    (microsoft/Recurring-Integrations-Scheduler). Without `content_type` none is sent, as that client does.
    """
    parts = [(name, value) for name, value in (("entity", entity), ("company", company)) if value is not None]
    headers: list[tuple[str, str]] = []
    if content_type is not None:
        headers.append(("content-type", content_type))
    if external_identifier is not None:
        headers.append((vocabulary.EXTERNAL_IDENTIFIER, external_identifier))
    query = "&".join(f"{name}={_parameter(value, spelling)}" for name, value in parts)
    return Ask("POST", _connector(vocabulary.ENQUEUE, activity, spelling), query, tuple(headers), body)


def dequeue(activity: str, spelling: Spelling = PLAIN) -> Ask:
    """Ask for the next message ("Recurring integrations", section "API for export (dequeue)")."""
    return Ask("GET", _connector(vocabulary.DEQUEUE, activity, spelling))


def download(location: str) -> Ask:
    """Fetch what a DownloadLocation names: its path and query, to be asked of the target's own scheme and authority.

    The location is a server's word: characters that have no place in a request line are percent-encoded.
    """
    start = location.find("://")
    start = location.find("/", start + 3 if start >= 0 else 0)
    path, _, query = (location[start:] if start >= 0 else "/").partition("#")[0].partition("?")
    asked = quote(path, safe=_PRINTABLE), quote(query, safe=_PRINTABLE)
    return Ask("GET", *asked, operation=vocabulary.DOWNLOAD)


def ack(activity: str, body: bytes, spelling: Spelling = PLAIN, *, content_type: str | None = JSON) -> Ask:
    """Acknowledge ("Recurring integrations", section "API for acknowledgment"): the body is the dequeue's answer."""
    headers = (("content-type", content_type),) if content_type is not None else ()
    return Ask("POST", _connector(vocabulary.ACK, activity, spelling), headers=headers, body=body)


def jobstatus(activity: str, message: str, spelling: Spelling = PLAIN) -> Ask:
    """Ask for the state of an enqueued message; undocumented, as microsoft/Recurring-Integrations-Scheduler asks."""
    return Ask("GET", _connector(vocabulary.JOBSTATUS, activity, spelling), f"jobId={quote(message, safe='')}")


def message_status(message: str) -> Ask:
    """GetMessageStatus ("Recurring integrations", section "API for getting the status of a message")."""
    return _action("GetMessageStatus", "messageId", message)


def execution_id(message: str) -> Ask:
    """GetExecutionIdByMessageId, whose parameter really begins with an underscore."""
    return _action("GetExecutionIdByMessageId", "_messageId", message)


def execution_errors(execution: str) -> Ask:
    """GetExecutionErrors ("Recurring integrations", section "API for getting the list of execution errors")."""
    return _action("GetExecutionErrors", "executionId", execution)


def execution_summary(execution: str) -> Ask:
    """GetExecutionSummaryStatus ("Data management package REST API")."""
    return _action("GetExecutionSummaryStatus", "executionId", execution)


_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


def _connector(operation: str, activity: str, spelling: Spelling) -> str:
    path = f"/api/connector/{operation}"
    if spelling.case == "upper":
        path = path.upper()
    elif spelling.case == "mixed":
        path = "".join(letter.upper() if place % 2 else letter for place, letter in enumerate(path))
    language = f"/{spelling.language}" if spelling.language else ""
    return f"{language}{path}/{_activity(activity, spelling)}"


def _activity(activity: str, spelling: Spelling) -> str:
    # Whatever is no GUID (a name by mistake, a probe) is sent as it is.
    bare = vocabulary.bare_guid(activity) if _GUID.fullmatch(activity.strip()) else activity
    if spelling.activity == "bare":
        return quote(bare, safe="")
    if spelling.activity == "upper":
        return quote(bare.upper(), safe="")
    quoted = quote(bare.upper(), safe="")
    return f"{{{quoted}}}" if spelling.activity == "raw-braces" else f"%7B{quoted}%7D"


def _parameter(value: str, spelling: Spelling) -> str:
    quoted = quote(value, safe="")
    return quoted.replace("%20", "+") if spelling.blank == "+" else quoted


def _action(name: str, member: str, value: str) -> Ask:
    headers = (("content-type", "application/json"), ("accept", "application/json"))
    return Ask("POST", vocabulary.ODATA_PREFIX + name, "", headers, json.dumps({member: value}).encode("utf-8"))


# Answers


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as a dequeue handed it out. `body` is the answer byte for byte, for the acknowledgment's echo.

    Members are as they came, None where they are missing or of another type; `last_dequeue` is the text as written.
    `members` are all of them, under the names they came with.
    """

    body: bytes = field(repr=False)
    correlation: str | None = None
    receipt: str | None = None
    location: str | None = None
    file_exists: bool | None = None
    last_dequeue: str | None = None
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def has_file(self) -> bool:
        """There is something to download, as far as the answer tells."""
        return bool(self.location) and self.file_exists is not False


def message_id(reply: Answered) -> str | None:
    """The message's id in the answer to an enqueue, bare and in lower case, however the answer was written."""
    if not reply.ok:
        return None
    text = reply.body.decode("utf-8", "replace").strip().removeprefix("\ufeff")
    if text.startswith("{") and not _GUID.fullmatch(text):
        answer = reply.json()
        value = member(answer, "value") if isinstance(answer, dict) else None
        text = value if isinstance(value, str) else ""
    return vocabulary.bare_guid(text.strip().strip('"')) or None


def delivery(reply: Answered) -> Delivery | None:
    """The message in the answer to a dequeue; None when there is none (nothing waits, or the call failed)."""
    answer = reply.json() if reply.ok else None
    if not isinstance(answer, dict):
        return None
    exists = member(answer, vocabulary.FILE_EXISTS)
    found = Delivery(
        body=reply.body,
        correlation=_text(member(answer, vocabulary.CORRELATION_ID)),
        receipt=_text(member(answer, vocabulary.POP_RECEIPT)),
        location=_text(member(answer, vocabulary.DOWNLOAD_LOCATION)),
        file_exists=exists if isinstance(exists, bool) else None,
        last_dequeue=_text(member(answer, vocabulary.LAST_DEQUEUE)),
        members=answer,
    )
    # Without these there is nothing to fetch and nothing to acknowledge: so some servers say that nothing waits.
    return found if found.correlation or found.receipt or found.location else None


def odata_value(reply: Answered) -> Any:
    """The member `value` of an OData action's answer; None where there is none."""
    answer = reply.json() if reply.ok else None
    return answer.get("value") if isinstance(answer, dict) else None


def message_state(reply: Answered) -> str | None:
    """The status in the answer of GetMessageStatus, in the documentation's spelling where it is one of its names."""
    value = odata_value(reply)
    return vocabulary.SPELLINGS.get(value.lower(), value) if isinstance(value, str) and value else None


def job_state(reply: Answered) -> str | None:
    """The state in the answer of jobstatus, name or number, in the spelling that GetMessageStatus uses."""
    answer = reply.json() if reply.ok else None
    detail = member(answer, "DataJobStatus") if isinstance(answer, dict) else None
    state = member(detail, "DataJobState") if isinstance(detail, dict) else None
    if isinstance(state, bool):
        return None
    if isinstance(state, int):
        return vocabulary.STATUS_CODES[state] if 0 <= state < len(vocabulary.STATUS_CODES) else str(state)
    return vocabulary.SPELLINGS.get(state.lower(), state) if isinstance(state, str) and state else None


def execution(reply: Answered) -> str | None:
    """The execution's id in the answer of GetExecutionIdByMessageId; None while there is none (zeros, or nothing)."""
    value = odata_value(reply)
    if not isinstance(value, str) or not value.strip():
        return None
    return None if vocabulary.bare_guid(value) == vocabulary.ZERO_GUID else value


def errors(reply: Answered) -> list[dict[str, Any]]:
    """The errors in the answer of GetExecutionErrors: a string that holds a JSON list, or a list.

    The inner text is not always valid JSON (quotes and line breaks in a message may stand unescaped); then each
    record's number and field are recovered and its message is what stands up to the next entry.
    """
    value = odata_value(reply)
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, ValueError):
            return [each.groupdict() for each in _BROKEN_ENTRY.finditer(str(value))]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def retry_after(reply: Answered) -> timedelta | None:
    """How long the server asks to wait, where it says so in whole seconds (as its throttling is documented to)."""
    value = (reply.header("retry-after") or "").strip()
    # So many digits at most as make years: more would be no number that anybody could wait for.
    return (
        timedelta(seconds=int(value.lstrip("0")[:_DIGITS_OF_YEARS] or "0")) if re.fullmatch("[0-9]+", value) else None
    )


_DIGITS_OF_YEARS: Final = 9


def member(value: Mapping[str, Any], name: str) -> Any:
    """A member by its name, in any letter case when it is not there in the right one."""
    if name in value:
        return value[name]
    lower = name.lower()
    for key, each in value.items():
        if key.lower() == lower:
            return each
    return None


_GUID: Final = re.compile(r"\{?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")

_BROKEN_ENTRY: Final = re.compile(
    r'"RecordId"\s*:\s*"(?P<RecordId>[^"]*)"\s*,\s*"Field"\s*:\s*"(?P<Field>[^"]*)"\s*,\s*'
    r'"ErrorMessage"\s*:\s*"(?P<ErrorMessage>.*?)"\s*\}(?=\s*(?:,\s*\{|\]))',
    re.DOTALL,
)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
