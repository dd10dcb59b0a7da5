"""How a client hands files in: their bytes as they are, under the entity's name, each once and none left behind.

The bytes that were meant are known by their digests, from what lay in the outbox. Where no outbox was seen only a form
that no file has by itself is told apart. Equal bytes twice may be two files, unless somebody saw to it that none are.
"""

import base64
import binascii
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from email.parser import BytesParser
from email.policy import HTTP
from hashlib import sha256
from io import BytesIO
from itertools import product, zip_longest
from typing import Any, Final
from urllib.parse import unquote_plus
from zipfile import is_zipfile

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.facts import Call, Enqueue
from popreceipt.rules.imports import FINAL
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import entity_as_sent
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, INFERRED, MUST, SHOULD, article, client, rule
from popreceipt.rules.submissions import BUSY, FOR_GOOD, Filed, left_out
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for import (enqueue)"
SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"

AGAIN: Final = 5
"""So often a file that is refused for good may be sent again before that is senseless."""

AT_ONCE: Final = timedelta(minutes=1)
"""Within this time a try by the same name is another try."""

ARCHIVE: Final = b"PK\x03\x04"
"""What a ZIP archive begins with, and so a data package."""

COMPRESSED: Final = b"\x1f\x8b"
"""What gzip begins with (RFC 1952, section 2.3.1)."""

GZIP_WITH_HEADER: Final = 31
"""The window bits by which zlib reads gzip and nothing else."""

UNPACKED_AT_MOST: Final = 1 << 26
"""Bytes beyond which nobody looks into what was compressed."""

REPLACED: Final = "\N{REPLACEMENT CHARACTER}".encode()
"""What stands, in UTF-8, where bytes were read as text that they are not."""

_BLANKS: Final = re.compile(rb"\s+")


_MISSING: Final = {"cut-off": "cut off", "letters-lost": "without the letters that some encoding lacks"}
"""What the instrument says of a file that is not handed in whole."""


@rule(
    "enqueue.raw-bytes",
    text="What is enqueued is the file itself, byte for byte, in no wrapping.",
    source=article(SECTION),
    reading="No form with parts, no base64, no JSON around it, no other encoding of its text, no part of a data "
    "package, not compressed without Content-Encoding, not cut off. What Content-Type says is free. Convicted only "
    "where that is recognised; other bytes than those of the outbox are undecided, and so is what was compressed and "
    "says so.",
    level=MUST,
    binds=CLIENT,
    statements=(30,),
)
def raw_bytes(journal: Readings) -> Iterator[Finding]:
    """Each file handed in: against the outbox where it was seen, else by the forms that wrapping has."""
    submissions = journal.submissions
    broken = {each.seq for _, each in _again(journal)}
    altered = {int(each.place) + 1: each for each in journal.altered}
    for call in journal.enqueues:
        if left_out(call):
            continue
        if submissions.digest_of(call) in submissions.outbox:
            yield held("the file's bytes", call)
        elif call.seq in broken:
            continue  # what is left of a file on its second try is another rule's
        elif (how := _wrapped(call, set(submissions.outbox))) is not None:
            yield violated(how, call)
        elif (less := altered.get(call.seq)) is not None:
            yield violated(f"{less.file}, {_MISSING.get(less.how, less.how)}", call)
        elif submissions.outbox:
            yield undecided("other bytes than any file's in the outbox", call)
        elif call.body is not None and not call.encoding and call.length:
            yield held("nothing around the file that could be told", call)


def _wrapped(call: Enqueue, known: set[str]) -> str | None:
    """How a body differs from a file's bytes; None where it does not, or in no way that can be told.

    Args:
        call: the enqueue.
        known: digests of the outbox's files; none where nobody looked.
    """
    kind = (call.content_type or "").partition(";")[0].strip().lower()
    content = call.body.content() if call.body is not None else None if call.length else b""
    if content is None:
        is_form = kind == "multipart/form-data" and "boundary=" in (call.content_type or "").lower()
        return "a form with parts" if is_form and call.length else None
    if not content:
        return "nothing at all" if known else None
    if call.encoding:
        return None
    if kind.startswith("multipart/") and content.startswith(b"--"):
        return "a form with parts"
    if (inner := _of_base64(content)) is not None and _is_file(inner, known):
        return "base64"
    if any(_is_file(each, known) for each in _in_json(content)):
        return "JSON around the file"
    if known and any(_digest(each) in known for each in _in_parts(call.content_type or "", content)):
        return "a form with parts"
    if known and any(_digest(each) in known for each in _as_text_before(content)):
        return "the file's text, encoded otherwise"
    if (inner := _of_gzip(content)) is not None and _is_file(inner, known):
        return "compressed, and nothing says so"
    if known and _is_broken_archive(content):
        return "a package that is cut off or broken"
    if REPLACED in content and _is_text(content) and (known or _is_broken_archive(content)):
        return "bytes that were read as text: what was none has been replaced"
    return None


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_broken_archive(content: bytes) -> bool:
    return content.startswith(ARCHIVE) and not is_zipfile(BytesIO(content))


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _is_file(content: bytes, known: set[str]) -> bool:
    return _digest(content) in known if known else content.startswith(ARCHIVE)


def _of_base64(content: bytes) -> bytes | None:
    try:
        return base64.b64decode(_BLANKS.sub(b"", content).strip(b'"'), validate=True)
    except (binascii.Error, ValueError):
        return None


def _of_gzip(content: bytes) -> bytes | None:
    if not content.startswith(COMPRESSED):
        return None
    unpacking = zlib.decompressobj(wbits=GZIP_WITH_HEADER)
    try:
        inner = unpacking.decompress(content, UNPACKED_AT_MOST)
    except zlib.error:
        return None
    return inner if unpacking.eof else None


def _in_json(content: bytes) -> Iterator[bytes]:
    """What the texts in a JSON body hold: as they are, and as base64."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError):
        return
    for text in _texts(value):
        if 2 * len(text) < len(content):
            continue  # something small within a file of its own
        yield text.encode("utf-8", "surrogatepass")
        inner = _of_base64(text.encode("utf-8", "surrogatepass"))
        if inner is not None:
            yield inner


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value of JSON, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _in_parts(content_type: str, content: bytes) -> Iterator[bytes]:
    """The parts of a form, whatever its Content-Type says."""
    if not content.startswith(b"--"):
        return
    boundary = content.partition(b"\n")[0].strip()[2:].decode("latin-1")
    head = f'content-type: multipart/form-data; boundary="{boundary}"\r\n\r\n'.encode("latin-1")
    if content_type.lower().startswith("multipart/"):
        head = f"content-type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    parsed = BytesParser(policy=HTTP).parsebytes(head + content)
    for part in parsed.walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            yield payload


_ENCODINGS: Final = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be")
"""What a text may have been read or written in."""


def _as_text_before(content: bytes) -> Iterator[bytes]:
    """What a body may have been before somebody took it for text and wrote that text down in another way."""
    found = {content: None}
    for read_as, written_as in product(_ENCODINGS, repeat=2):
        try:
            found[content.decode(written_as).encode(read_as)] = None
        except (UnicodeDecodeError, UnicodeEncodeError):
            continue
    for each in found:
        yield each
        lines = each.replace(b"\r\n", b"\n")
        yield lines
        yield lines.replace(b"\n", b"\r\n")
        for end in (b"\n", b"\r\n"):
            yield each + end
            yield lines.replace(b"\n", b"\r\n") + end
            yield each.removesuffix(end)
        yield lines.removesuffix(b"\n")


@rule(
    "enqueue.whole-on-a-retry",
    text="A file that is enqueued again is sent whole again.",
    source=article(SECTION),
    reading="The body is the data, on every try. Convicted: an empty body, or a part of the file, after the same call "
    "had failed (microsoft/Recurring-Integrations-Scheduler, issue 89: a stream that was read is sent again as it "
    "stands). Where no outbox was seen it may be another file, unless it goes by the same name "
    "(x-ms-dyn-externalidentifier) within a minute, and nothing else does: undecided.",
    level=MUST,
    binds=CLIENT,
    statements=(30,),
)
def whole_on_a_retry(journal: Readings) -> Iterator[Finding]:
    """Each enqueue after one that failed: the same bytes, or what is left of them."""
    known = journal.submissions.outbox
    for first, second in _again(journal):
        if second.digest == first.digest:
            yield held("the same bytes", first, second)
        elif known and (second.length or all(file.length for file in known.values())):
            yield violated(f"{second.length} bytes of {first.length}", first, second)
        elif _is_the_same(journal, first, second):
            yield violated(f"{second.length} bytes of {first.length}, by the same name", first, second)
        else:
            yield undecided("a file of its own, perhaps", first, second)


def _is_the_same(journal: Readings, first: Enqueue, second: Enqueue) -> bool:
    """Whether two tries are surely of one file, though nobody listed the files: a name may come every day."""
    if first.external is None or first.external != second.external or second.sent - first.answered > AT_ONCE:
        return False
    named_so = {each.digest for each in journal.enqueues if each.external == first.external and each.length}
    return len(named_so - {first.digest, second.digest}) == 0


def _again(journal: Readings) -> Iterator[tuple[Enqueue, Enqueue]]:
    """Enqueues that failed, and the next try: with the same bytes, or with nothing but a part of them."""
    known = journal.submissions.outbox
    failed: dict[tuple[str, str], Enqueue] = {}
    by_digest: dict[str, Enqueue] = {}
    for call in journal.enqueues:
        if left_out(call):
            continue
        place = (call.path, call.query)
        before = failed.pop(place, None)
        if call.digest in by_digest and call.length:
            yield by_digest.pop(call.digest), call
        elif before is not None and (call.digest not in known or not call.length) and _is_part(call, before):
            yield before, call
            by_digest.pop(before.digest, None)
        elif before is not None and call.digest != before.digest:
            failed[place] = before
        if not call.ok and call.length:
            failed[place] = by_digest[call.digest] = call


def _is_part(call: Enqueue, whole: Enqueue) -> bool:
    """Whether a body is empty, or one end of a longer one."""
    if call.length >= whole.length or call.encoding or whole.encoding:
        return False
    if not call.length:
        return True
    part = call.body.content() if call.body is not None else None
    content = whole.body.content() if whole.body is not None else None
    return part is not None and content is not None and (content.startswith(part) or content.endswith(part))


@rule(
    "enqueue.entity-named",
    text="A file is enqueued under the name of its entity, percent-encoded.",
    source=article(SECTION),
    reading="For jobs of type File; a data package names its entities itself. Letter case, and a plus for a blank, "
    "are tolerated. Where nobody tells the job's type and entity, any name is taken for right that is encoded once.",
    level=MUST,
    binds=CLIENT,
    statements=(29, 31),
)
def entity_named(journal: Readings) -> Iterator[Finding]:
    """Each file that was handed in to a job of type File, or that names an entity."""
    for call in journal.enqueues:
        kind, entity = journal.submissions.kind_of(call), journal.submissions.entity_of(call)
        if kind == "package":
            continue
        if not call.entity:
            if kind == "file":
                yield violated("no entity named", call)
            continue
        sent = entity_as_sent(call)
        if entity is not None and call.entity.casefold() == entity.casefold():
            yield undecided("written with a blank", call) if " " in sent else held(sent, call)
        elif unquote_plus(call.entity) != call.entity and "%" in call.entity:
            yield violated(f"encoded twice: {sent}", call)
        elif entity is not None and kind == "file":
            yield violated(f"{call.entity!r}, where the job is for {entity!r}", call)
        elif entity is None:
            yield held(sent, call)


@rule(
    "enqueue.every-file-handed-in",
    text="Every file that waits is handed in, and tried again where the service was out of order.",
    source=client(SCHEDULER, "issue 157: one 500, and the file lies in the error folder"),
    reading="A refusal of the file, or of the caller, is an end. Where the client cannot know whether an enqueue took "
    "effect (no answer, 502, 504), neither another try nor none is asked for. Given a lease and a half without any "
    "call on the import side, and thrice the client's own longest pause.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(28,),
)
def every_file_handed_in(journal: Readings) -> Iterator[Finding]:
    """Each file of the outbox, where the client handed in any."""
    submissions = journal.submissions
    if not journal.enqueues or not submissions.outbox:
        return
    last = max(
        (each for each in journal.calls if isinstance(each, Enqueue) or _follows_up(each)),
        key=lambda each: (each.answered, each.seq),
    )
    idle = submissions.patient(last, journal.enqueues)
    unknown = len(submissions.strangers)
    for filed in submissions.filed.values():
        if filed.seen is None:
            continue
        taken = next((each for each in filed.tries if submissions.effective(each)), None)
        tried = filed.tries[-1] if filed.tries else None
        name = filed.seen.name
        if taken is not None:
            yield held(name, taken)
        elif tried is not None:
            yield from _unfinished(journal, filed, tried, idle=idle)
        elif unknown or _turned_away(journal, last) or _blocked(journal, filed):
            continue
        elif idle:
            yield violated(f"{name} was never handed in", last)
        else:
            yield undecided(f"{name} was not handed in yet", last)


def _follows_up(call: Call) -> bool:
    return call.operation in (vocabulary.MESSAGE_STATUS, vocabulary.JOBSTATUS, vocabulary.EXECUTION_ID)


def _unfinished(journal: Readings, filed: Filed, tried: Enqueue, *, idle: bool) -> Iterator[Finding]:
    """A file of which no try is known to have been accepted."""
    submissions = journal.submissions
    if submissions.lost(tried) or not (tried.in_doubt or tried.status in BUSY):
        return
    name = filed.seen.name if filed.seen is not None else ""
    said = (line for line in submissions.said_of(filed) if line.place > tried.seq and line.outcome == "failed")
    if next(said, None) is not None:
        yield violated(f"{name} was reported as failed after {tried.status}", tried)
    elif idle and submissions.patient(tried):
        yield violated(f"{name} was given up after {tried.status}", tried)
    else:
        yield undecided(f"{name} was not tried again after {tried.status}; it was soon over", tried)


def _turned_away(journal: Readings, last: Call) -> bool:
    """Whether the caller rather than a file was refused: then all that waits has to wait on."""
    if last.status in (401, 403, 404):
        return True
    return any(each.seq > last.seq and not each.ok for each in journal.tokens)


def _blocked(journal: Readings, filed: Filed) -> bool:
    """Whether a file has to wait for one before it, where files go in order."""
    if journal.scenario is None or not journal.scenario.in_order or filed.seen is None:
        return False
    return any(
        each.seen is not None
        and each.seen.name < filed.seen.name
        and each.tries
        and not any(journal.submissions.effective(one) for one in each.tries)
        for each in journal.submissions.filed.values()
    )


@rule(
    "enqueue.no-blind-resend",
    text="When the answer to an enqueue is lost, a client does not make a second message of the same file unseen.",
    source=article("Getting the status of a message"),
    reading="A message exists once the enqueue is complete, whether or not its answer arrives, and nothing removes "
    "doubles. Judged only where the effect is known; resending what had none is fine, and so is not resending at all. "
    "A fault that the server itself admits (500, 503) is no lost answer.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(46,),
)
def no_blind_resend(journal: Readings) -> Iterator[Finding]:
    """Each enqueue whose answer was lost by plan after its effect, and whether its bytes came again."""
    submissions = journal.submissions
    for filed in submissions.filed.values():
        for place, call in enumerate(filed.tries):
            fault = submissions.struck.get(call.seq)
            if fault is None or not submissions.lost(call) or not submissions.effective(call):
                continue
            doubles = [each for each in filed.tries[place + 1 :] if submissions.effective(each)]
            if doubles and not _failed_between(journal, call, doubles[0]):
                yield violated(f"a second message after {fault.kind}", call, doubles[0])
            elif not doubles:
                yield held(f"not handed in again after {fault.kind}", call)


def _failed_between(journal: Readings, call: Enqueue, again: Enqueue) -> bool:
    """Whether the client learnt in between that the import had failed: then it may try anew."""
    one = journal.submissions.messages.get(call.message or "")
    if one is None:
        return False
    return any(each.state != vocabulary.PROCESSED and each.seq < again.seq for each in one.ends)


@rule(
    "enqueue.accepted-file-not-repeated",
    text="A file whose enqueue succeeded is not handed in again.",
    source=article("Getting the status of a message"),
    reading="Not by a later run either. After a failed import the client may try again. Where nobody sees to it that "
    "no two files are equal, and after half a lease of asking in vain, a second one is undecided.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(46, 47),
)
def accepted_file_not_repeated(journal: Readings) -> Iterator[Finding]:
    """Each file whose acceptance surely reached the client."""
    for filed in journal.submissions.filed.values():
        for accepted, again in zip_longest(filed.tries, filed.tries[1:]):
            if not accepted.ok or not accepted.length or not journal.conduct.saw(accepted):
                continue
            if again is None:
                yield held("not again", accepted)
            else:
                yield from _repeated(journal, filed, accepted, again)


def _repeated(journal: Readings, filed: Filed, accepted: Enqueue, again: Enqueue) -> Iterator[Finding]:
    one = journal.submissions.messages.get(accepted.message or "")
    polls = [each for each in one.polls if each.seq < again.seq and each.ok] if one is not None else []
    states = [each.state for each in polls]
    waited = max((each.answered for each in polls), default=accepted.answered) - accepted.answered
    if any(state in FINAL and state != vocabulary.PROCESSED for state in states):
        return  # it may try anew
    if filed.seen is None:
        yield undecided("the same bytes again, which may be another file", accepted, again)
    elif states and vocabulary.PROCESSED not in states and waited >= journal.conduct.lease / 2:
        yield undecided(f"handed in again after {waited} of asking: its end was not known", accepted, again)
    else:
        yield violated("handed in again", accepted, again)


@rule(
    "enqueue.refusal-not-repeated",
    text="A file that is refused for what it is (400, 413, 415) is not sent again and again.",
    source=client(
        "MicrosoftDocs/dynamics-365-unified-operations-public", "issue 2467: 413 for a file that is too large"
    ),
    reading="The same bytes in the same way, more than five times after the first. Later runs count.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
)
def refusal_not_repeated(journal: Readings) -> Iterator[Finding]:
    """Each file that was refused so, by the way in which it was sent."""
    for filed in journal.submissions.filed.values():
        refused = [each for each in filed.tries if each.status in FOR_GOOD]
        ways = Counter(_way(each) for each in refused)
        for way, count in ways.items():
            tries = [each for each in refused if _way(each) == way]
            if count > AGAIN + 1:
                yield violated(f"refused {count} times with {tries[0].status}", tries[0], tries[-1])
            else:
                yield held(f"sent {count} times", tries[0], tries[-1])


def _way(call: Enqueue) -> tuple[object, ...]:
    return call.status, call.path, call.query, call.content_type, call.encoding, call.chunked
