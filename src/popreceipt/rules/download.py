"""Where a file is fetched, and what comes."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import unquote, urlsplit

from popreceipt import vocabulary
from popreceipt.rules.exports import Message, authorised, turned_away
from popreceipt.rules.facts import Call, Dequeue, Download
from popreceipt.rules.files import looks_zipped
from popreceipt.rules.imports import gate_or_gateway
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import (
    ADVANCE_TIME,
    ASK,
    CLIENT_OBSERVED,
    INFERRED,
    MUST,
    PRODUCE,
    SHOULD,
    article,
    client,
    rule,
)
from popreceipt.verdict import Finding, answered, held, undecided, violated

SECTION: Final = "API for export (dequeue)"
HTTPS_SECTION: Final = "Http vs Https"
SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"
POWERSHELL: Final = "d365collaborative/d365fo.integrations"

FORBIDDEN: Final = 403

FIRST_DAY: Final = 7
"""A refused download of a file older than this part of its seven days is judged by retention.kept-for-seven-days."""


def plain_downloads(journal: Readings, *, forbidden_too: bool = False) -> Iterator[tuple[Message, int, Download]]:
    """Authorised downloads of what a known message's last delivery handed out, with that delivery's place.

    `forbidden_too`: also those that were answered 403, as storage does when what permits to read has ended.
    """
    for message in journal.messages:
        for each in message.downloads:
            place = message.latest_before(each)
            if each.hop or each.method != "GET" or place < 0 or not authorised(each):
                continue
            if turned_away(each) and not (forbidden_too and each.status == FORBIDDEN):
                continue
            if message.deliveries[place].kind == "message" and message.deliveries[place].location == each.location:
                yield message, place, each


def leased_at(journal: Readings, delivery: Dequeue, call: Call) -> bool:
    """Whether a call certainly came after a delivery, and was over before its half hour was."""
    over = delivery.sent + journal.lease - journal.exports.precision
    return call.answered < over and journal.exports.precedes(delivery, call)


def settled_before(journal: Readings, message: Message, place: int, call: Call) -> bool:
    """Whether the message may have left the queue before a call: acknowledged, or cleaned up."""
    delivery = message.deliveries[place]
    for ack in (*message.acks, *message.loose):
        if (ack.ok or ack.in_doubt) and not journal.exports.precedes(call, ack):
            return True
    return not journal.undisturbed(message.activity, delivery, call.answered, call.seq)


def brought(journal: Readings, download: Download) -> Download | None:
    """The download that brought the whole file: itself, or the request to where it was redirected."""
    if download.digest is not None:
        return download
    if download.status is None or not 300 <= download.status < 400:
        return None
    return next(
        (
            each
            for each in journal.exports.payload_at.get(download.location, ())
            if each.hop and journal.exports.precedes(download, each)
        ),
        None,
    )


def unheard(call: Call) -> bool:
    """Whether the service's own answer is not known: none came, or one of a gate or a gateway before it."""
    return call.status is None or turned_away(call) or gate_or_gateway(call.status)


def tried_again(journal: Readings, message: Message, download: Download) -> bool:
    """Whether the service answered a later download from the same location: then one that was lost tells nothing."""
    return any(
        each.location == download.location and not unheard(each) and journal.exports.precedes(download, each)
        for each in message.downloads
    )


def answer_word(journal: Readings, download: Download) -> str | None:
    """How the service answered a download, as ASK rules say it: a redirect to the file counts as the file."""
    if unheard(download):
        return None
    return "200" if brought(journal, download) is not None else str(download.status)


@rule(
    "download.bytes-as-uploaded",
    text="A download brings the bytes of the file that the export uploaded.",
    source=article(SECTION),
    reading="Bytes are compared only where every file of the job's queue was produced in the journal. A refused "
    "download breaks the promise within the half hour of a young message's first delivery; later the file is gone, and "
    "retention.kept-for-seven-days judges that. Other bytes at a redelivery are judged by redelivery.same-payload. A "
    "fault of the server is undecided.",
    level=MUST,
    statements=(28, 33),
    needs=(PRODUCE,),
)
def bytes_as_uploaded(journal: Readings) -> Iterator[Finding]:
    """What the first delivery of each message led to."""
    exports = journal.exports
    for message in journal.messages:
        first = message.deliveries[0]
        payload = exports.payload_of(first) if first.kind == "message" else None
        if payload is None or payload.digest is None:
            continue
        if (message.activity, payload.digest) in exports.produced:
            yield held("the bytes as uploaded", first, payload)
        elif unknown_bytes(journal, message.activity, payload):
            yield violated(f"{payload.length} bytes that no export uploaded", first, payload)
    for message, place, each in plain_downloads(journal):
        delivery = message.deliveries[place]
        if place or brought(journal, each) is not None or not leased_at(journal, delivery, each):
            continue
        if fetched_before(journal, message, each) or not _young(journal, message, each):
            continue
        counted_on = journal.exports.blind(message.activity) and journal.exports.known(message.activity)
        if counted_on and any(one.in_doubt and not journal.exports.precedes(each, one) for one in message.downloads):
            continue
        if not (counted_on or _all_known(journal, message.activity, each)):
            continue
        if settled_before(journal, message, place, each):
            continue
        if unheard(each) and tried_again(journal, message, each):
            continue
        if each.status is not None and (400 <= each.status < 500 or each.status == 204):
            yield violated(f"the file of a fresh delivery is answered with {each.status}", delivery, each)
        elif each.in_doubt and not (counted_on and fetched_after(journal, message, each)):
            yield undecided(f"no file came: {each.failure or each.status}", delivery, each)


def unknown_bytes(journal: Readings, activity: str, payload: Download) -> bool:
    """Whether what came out of a job's queue is certainly no file that any export uploaded."""
    return payload.digest not in journal.exports.every_digest and _all_known(journal, activity, payload)


def fetched_before(journal: Readings, message: Message, download: Download) -> bool:
    """Whether the message's file had certainly come before."""
    return any(each.digest is not None and journal.exports.precedes(each, download) for each in message.downloads)


def fetched_after(journal: Readings, message: Message, call: Call) -> bool:
    """Whether the message's file came after a call that may have failed by accident."""
    return any(
        each.digest is not None and each.digest == message.digest and journal.exports.precedes(call, each)
        for each in message.downloads
    )


def _young(journal: Readings, message: Message, call: Call) -> bool:
    """Whether the file was certainly less than a day old (a seventh of its time)."""
    past = journal.exports.past(message.activity, call.answered)
    born, _ = journal.waiting.uploaded(message)
    if born is None and past is not None:
        born = past.oldest
    return born is not None and call.answered < born + journal.retention / FIRST_DAY


def _all_known(journal: Readings, activity: str, call: Call) -> bool:
    """Whether everything that the queue may hold is a file whose digest is known, and there is some."""
    past = journal.exports.past(activity, call.answered)
    return past is not None and past.all_known and journal.exports.closed(activity)


@rule(
    "download.location-is-absolute",
    text="DownloadLocation is an absolute URL with http or https.",
    source=client(SCHEDULER, "Download.cs: builds a URI from it"),
    reading="Whether it names http, https or a port is open.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
)
def location_is_absolute(journal: Readings) -> Iterator[Finding]:
    """Each location that was handed out."""
    for each in journal.dequeues:
        if each.kind != "message" or each.location_root is None:
            continue
        if each.location_root.lower().startswith(("http://", "https://")) and each.location is not None:
            yield held("absolute", each)
        else:
            yield violated(f"{each.location_root + (each.location or '')!r} is no absolute URL", each)


@rule(
    "download.repeatable",
    text="A file can be downloaded more than once while its message is not acknowledged, and is the same each time.",
    source=client(POWERSHELL, "Get-DmfFile: repeats a failed download"),
    reading="Within the half hour of one delivery; refused only of a file that is known to be younger than seven days.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
)
def repeatable(journal: Readings) -> Iterator[Finding]:
    """Downloads after the first that brought a file, in the half hour of the same delivery."""
    before: dict[int, Download] = {}
    for message, place, each in plain_downloads(journal):
        delivery = message.deliveries[place]
        file = brought(journal, each)
        first = before.get(delivery.seq)
        if first is None:
            if file is not None:
                before[delivery.seq] = file
            continue
        if not leased_at(journal, delivery, each) or settled_before(journal, message, place, each):
            continue
        if file is None and not in_time(journal, message, each):
            continue
        if unheard(each) and tried_again(journal, message, each):
            continue
        if file is not None:
            if file.digest == first.digest:
                yield held("the same file again", first, each)
            else:
                yield violated("another file at the same location", first, each)
        elif each.status is not None and 400 <= each.status < 500:
            yield violated(f"the second download is answered with {each.status}", first, each)
        elif each.in_doubt and not fetched_after(journal, message, each):
            yield undecided(f"no second file came: {each.failure or each.status}", first, each)


@rule(
    "download.needs-a-token",
    text="A DownloadLocation is fetched with the bearer token, and not without.",
    source=client(POWERSHELL, "Get-DmfFile: sends the bearer token"),
    reading="Where a download is redirected to, no token may be needed. A redirect of who has none leads to a sign-in "
    "where the same location brings the file itself to who has one.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(4,),
)
def needs_a_token(journal: Readings) -> Iterator[Finding]:
    """Downloads of known locations by a caller who has no token at all."""
    known = {each.location for each in journal.dequeues if each.location is not None}
    direct = {each.location for each in journal.downloads if each.digest is not None and not each.hop and each.token}
    for each in journal.downloads:
        if each.role != "anonymous" or each.token is not None or each.hop or each.location not in known:
            continue
        if each.status in (401, 403):
            yield held("refused", each)
        elif each.digest is not None:
            yield violated("the file came without a token", each)
        elif each.status is not None and 300 <= each.status < 400 and each.location in direct:
            yield held("redirected, and with a token it is not", each)
        elif each.status is not None and 300 <= each.status < 400:
            yield undecided("redirected without a token: to a sign-in, or to the file", each)


@rule(
    "download.location-scheme",
    text="DownloadLocation names http, https, or http with an explicit port 80.",
    source=article(HTTPS_SECTION),
    reading="http behind a load balancer; https on one-box environments.",
    level=ASK,
    statements=(71,),
    answers=("http", "https", "http-80"),
)
def location_scheme(journal: Readings) -> Iterator[Finding]:
    """Each location that was handed out."""
    seen: dict[str, str] = {}
    for each in journal.dequeues:
        if each.kind != "message" or each.location_root is None:
            continue
        scheme, _, rest = each.location_root.partition("://")
        origin = f"{scheme}://{rest.partition('/')[0]}"
        if origin not in seen:
            seen[origin] = _scheme_of(origin)
        yield answered(seen[origin], each)


def _scheme_of(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return "none"
    return "http-80" if (parts.scheme, port) == ("http", 80) else parts.scheme or "none"


@rule(
    "download.location-activity",
    text="DownloadLocation spells the activity as the dequeue's caller did, always in braces, or always without.",
    source=client(POWERSHELL, "help of Get-DmfFile: braces; another client's log shows none"),
    reading="Told only where both spellings were used for dequeues, or where the location differs from the caller's. A "
    "location of another shape may name no activity at all.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("as-called", "braced", "bare"),
)
def location_activity(journal: Readings) -> Iterator[Finding]:
    """The spelling in the dequeue's path beside that in the location."""
    matching: dict[str, Dequeue] = {}
    fixed = False
    for each in journal.dequeues:
        if each.kind != "message" or each.location is None:
            continue
        asked, told = _spelling(each.path), _spelling(each.location.partition("?")[0])
        if asked is None:
            continue
        if told is None:
            fixed = True
            yield answered("not-named", each)
        elif asked == told:
            matching.setdefault(told, each)
        else:
            fixed = True
            yield answered(told, each)
    if not fixed and len(matching) > 1:
        yield answered("as-called", *matching.values())


def _spelling(path: str) -> str | None:
    """How the activity is written in a path: braced or bare; None where it is not there."""
    operation, activity = vocabulary.operation_of(path)
    if activity is None or operation not in (vocabulary.DEQUEUE, vocabulary.DOWNLOAD):
        return None
    return "braced" if unquote(path.rstrip("/").rpartition("/")[2]).startswith("{") else "bare"


@rule(
    "download.answer",
    text="A download answers with the file itself, or redirects to it.",
    source=client(SCHEDULER, "follows no redirects; another vendor's note speaks of one"),
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("direct", "redirect"),
)
def answer(journal: Readings) -> Iterator[Finding]:
    """Each download that was answered well."""
    for _, _, each in plain_downloads(journal):
        if each.digest is not None:
            yield answered("direct", each)
        elif each.status in (301, 302, 303, 307, 308):
            yield answered("redirect", each)


@rule(
    "download.file-payload",
    text="An export of type File leads to a data package, or to the entity's file as it is.",
    source=article(SECTION),
    reading="The article says that a dequeue returns a data package, and that a job of type File handles single files.",
    level=ASK,
    provenance=INFERRED,
    answers=("package", "raw"),
)
def file_payload(journal: Readings) -> Iterator[Finding]:
    """What exports of type File led to, where the journal has the bytes."""
    for message in journal.messages:
        if journal.setting(message.activity, "type", message.deliveries[0].sent) != "file":
            continue
        payload = journal.exports.payload_of(message.deliveries[0])
        content = payload.body.content() if payload is not None and payload.body is not None else None
        if content and payload is not None:
            yield answered("package" if looks_zipped(content) else "raw", payload)


@rule(
    "download.content-type",
    text="A download's Content-Type is application/octet-stream, or application/zip.",
    source=client(SCHEDULER, "looks at no header of a download"),
    reading="No recording of a successful download's headers is public.",
    level=ASK,
    provenance=INFERRED,
    answers=("octet-stream", "zip"),
)
def content_type(journal: Readings) -> Iterator[Finding]:
    """Each download that brought a file directly."""
    words = {"application/octet-stream": "octet-stream", "application/zip": "zip"}
    for each in journal.downloads:
        if each.digest is not None and not each.hop:
            named = (each.content_type or "none").partition(";")[0].strip().lower()
            yield answered(words.get(named, named), each)


@rule(
    "download.extends-lease",
    text="A download leaves the half hour as it is, or begins it anew.",
    source=article("API for acknowledgment"),
    reading="The article names only dequeue and acknowledgment.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("no", "yes"),
)
def extends_lease(journal: Readings) -> Iterator[Finding]:
    """A dequeue after the delivery's half hour and before the download's: gives the message, or nothing."""
    exports = journal.exports
    empties = journal.waiting.empties
    for message in journal.messages:
        if not message.certain or len(message.deliveries) < 2:
            continue
        touches = exports.touches(message)
        for first, again, touch in zip(message.deliveries, message.deliveries[1:], touches, strict=False):
            least = first.answered + journal.lease + exports.precision
            if first.kind != "message" or again.kind != "message" or touch <= first.answered:
                continue
            # A download after the half hour finds no lease that it could renew, and tells nothing.
            end = _first_touch_end(message, first, journal.lease)
            renewed = end > first.answered + journal.lease
            if renewed and again.sent >= least and again.answered < end - exports.precision:
                yield answered("no", first, again)
            elif again.sent >= touch + journal.lease - exports.precision:
                # A dequeue whose answer was lost may have begun the half hour anew, unseen, and hidden the message.
                if exports.doubts_between(message.activity, first.sent, again.answered):
                    continue
                missing = empties.get(message.activity, [])
                place = bisect_right(missing, least, key=lambda each: each.sent)
                if place < len(missing) and missing[place].answered < end - exports.precision:
                    yield answered("yes", first, missing[place], again)


def _first_touch_end(message: Message, delivery: Dequeue, lease: timedelta) -> datetime:
    """When the half hour of the last download within the delivery's own half hour would end."""
    within = [
        each.sent
        for each in message.downloads
        if each.digest is not None and delivery.sent <= each.sent and each.answered < delivery.sent + lease
    ]
    return max(within, default=delivery.sent) + lease


@rule(
    "download.after-lease",
    text="After the half hour, and before the message is delivered again, its location still works, or not.",
    source=article(SECTION),
    reading="The article does not bind the location to the half hour.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("200", "404"),
)
def after_lease(journal: Readings) -> Iterator[Finding]:
    """The first download after the half hour is over."""
    exports = journal.exports
    touched: dict[int, datetime] = {}
    for message, place, each in plain_downloads(journal):
        delivery = message.deliveries[place]
        before = touched.get(delivery.seq, delivery.answered)
        touched[delivery.seq] = max(before, each.answered)
        over = before + journal.lease + exports.precision
        told = answer_word(journal, each)
        if each.sent < over or told is None or not in_time(journal, message, each):
            continue
        if not settled_before(journal, message, place, each):
            yield answered(told, delivery, each)


def in_time(journal: Readings, message: Message, call: Call) -> bool:
    """Whether the message's file certainly had not expired when a call was answered."""
    born, _ = journal.waiting.uploaded(message)
    if born is not None and call.answered < born + journal.retention - journal.exports.precision:
        return True
    # What came later was there before.
    return message.certain and fetched_after(journal, message, call)


@rule(
    "download.after-acknowledgment",
    text="After the acknowledgment the location still works, or not.",
    source=article(SECTION),
    reading="The article says that the file stays in blob storage for seven days.",
    level=ASK,
    provenance=INFERRED,
    answers=("200", "404"),
)
def after_acknowledgment(journal: Readings) -> Iterator[Finding]:
    """The downloads that were sent after an acknowledgment had succeeded, within the half hour."""
    exports = journal.exports
    for message, place, each in plain_downloads(journal):
        delivery = message.deliveries[place]
        told = answer_word(journal, each)
        if told is None or not leased_at(journal, delivery, each) or not in_time(journal, message, each):
            continue
        ack = next((ack for ack in message.acks if ack.ok and ack.receipt == delivery.receipt), None)
        if ack is None or not exports.precedes(delivery, ack) or not exports.precedes(ack, each):
            continue
        if journal.undisturbed(message.activity, delivery, each.answered, each.seq):
            yield answered(told, ack, each)
