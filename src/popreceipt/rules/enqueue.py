"""What becomes of a file that is handed in: a message of its own, whatever the client's way of sending it.

Goes by the answer to the enqueue, by the statuses that the message was seen to have afterwards and by Manage
messages. What processing makes of the records is the business of other chapters.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Final

from popreceipt.rules.facts import Enqueue, StatusAnswer
from popreceipt.rules.files import looks_zipped
from popreceipt.rules.readings import Readings, Sighting
from popreceipt.rules.requests import entity_as_sent, right_side, shape, sound_file, token_alive
from popreceipt.rules.rule import ASK, CLIENT_OBSERVED, INFERRED, MUST, SHOULD, article, client, rule
from popreceipt.verdict import Finding, answered, held, violated
from popreceipt.vocabulary import (
    POSTPROCESSING_FAILED,
    PREPROCESSING,
    PREPROCESSING_ERROR,
    PROCESSED,
    PROCESSED_WITH_ERRORS,
    PROCESSING,
)

SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"

LONG: Final = timedelta(minutes=10)
"""A file that is in process so long after its twin was done is taken to be stuck; no MUST is told by it."""

LARGE: Final = 30_000_000
"""Bytes that IIS takes unless told otherwise; every public report of a 413 was about a larger upload."""

SEEN_TYPES: Final = frozenset(
    {
        None,
        "application/zip",
        "application/octet-stream",
        "application/json",
        "text/csv",
    }
)
"""Content types that clients send with a file, and the file's own; none at all is the commonest."""

REFUSALS_OF_AN_ENTITY: Final = frozenset({400, 404, 422})
FAULT: Final = 500
ENOUGH_FAULTS: Final = 2
"""So many faults before and after a success are no accident."""

FAILURES: Final = frozenset({PREPROCESSING_ERROR, PROCESSED_WITH_ERRORS, POSTPROCESSING_FAILED})


@rule(
    "enqueue.creates-a-message",
    text="Once an enqueue has succeeded its message exists: it has a row in Manage messages and a status.",
    source=article("API for getting message status"),
    reading="Judged for answers that name the message. A refused status answer counts only when the message was asked "
    "for by its bare id, on a service that tells the status of others; so does a blank status.",
    level=MUST,
    statements=(29, 30, 46, 49),
)
def creates_a_message(journal: Readings) -> Iterator[Finding]:
    """The first look at Manage messages, and the status answers, that followed each successful enqueue."""
    tells = any(each.ok and each.value for each in journal.statuses)
    for enqueue in journal.enqueues:
        if not enqueue.ok or enqueue.message is None or enqueue.form is None:
            continue
        activity = enqueue.activity or ""
        shown = False
        # What is no GUID may be an id all the same: then its status shows that, and nothing else does.
        named = enqueue.form != "other"
        look = journal.rows_after(activity, enqueue) if named else None
        if look is not None and journal.undisturbed(activity, enqueue, look.since, look.place):
            if enqueue.message not in look.by_id:
                yield violated("Manage messages does not list the message that the answer named", enqueue)
                continue
            shown = True
        unknown: StatusAnswer | None = None
        for status in journal.states.get(enqueue.message, ()):
            if status.ok and status.value:
                shown = True
                break
            if unknown is None and named and tells and _denies(status) and _in_reach(journal, enqueue, status):
                unknown = status
        if unknown is not None and not shown:
            said = f"was answered {unknown.status}" if unknown.refused else "was answered with a blank"
            yield violated(f"the status of the message that the answer named {said}", enqueue, unknown)
        elif shown:
            yield held("the message is there", enqueue)


@rule(
    "enqueue.each-call-its-own-message",
    text="Every successful enqueue makes a message of its own, also for bytes that were handed in before.",
    source=article("API for import (enqueue)"),
    reading="Nothing in the documentation or in public clients speaks of recognising a file that was sent twice.",
    level=SHOULD,
    provenance=INFERRED,
    statements=(46,),
)
def each_call_its_own_message(journal: Readings) -> Iterator[Finding]:
    """Compare the ids in the answers."""
    first: dict[str, Enqueue] = {}
    for enqueue in journal.enqueues:
        if not enqueue.ok or enqueue.message is None or enqueue.form in (None, "other"):
            continue
        earlier = first.setdefault(enqueue.message, enqueue)
        if earlier is not enqueue:
            yield violated("two enqueues were answered with the same message", earlier, enqueue)
        elif len(first) > 1:
            yield held("a new message", enqueue)


@rule(
    "enqueue.any-content-type",
    text="The upload's content type does not matter: without one, or with that of bytes or of a zip, it is taken.",
    source=client(SCHEDULER, "sends no Content-Type with an upload"),
    reading="A body with a content encoding is left out: whether an encoding is supported is open.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(30,),
)
def any_content_type(journal: Readings) -> Iterator[Finding]:
    """Uploads with a type that clients send, and refusals for the type."""
    elsewhere = _Taken(journal)
    for enqueue in journal.enqueues:
        if enqueue.encoding not in (None, "", "identity") or enqueue.method != "POST":
            continue
        plain = enqueue.content_type and enqueue.content_type.partition(";")[0].strip().lower()
        if (plain or None) not in SEEN_TYPES:
            continue
        if enqueue.ok:
            yield held("taken", enqueue)
        elif enqueue.status == 415:
            yield violated(f"content type {enqueue.content_type or '(none)'} was answered 415", enqueue)
        elif enqueue.status in (400, 406) and enqueue.length:
            taken = elsewhere.otherwise(enqueue)
            if taken is not None:
                yield violated(
                    f"content type {enqueue.content_type or '(none)'} was answered {enqueue.status}, the same upload "
                    f"with {taken.content_type or '(none)'} was taken",
                    enqueue,
                    taken,
                )


@rule(
    "enqueue.entity-with-percent-20",
    text="An entity's name is understood when its blank is written as %20.",
    source=article("API for import (enqueue)"),
    reading="Shown by a message that was processed. Broken where a file without fault is refused or fails before "
    "processing although the entity is the one of the job, or where the same name otherwise spelled gets further. "
    "Faults of the server count where all with %20 meet with them, before and after one with + that is processed.",
    level=MUST,
    statements=(29, 31),
)
def entity_with_percent_20(journal: Readings) -> Iterator[Finding]:
    """What became of uploads whose entity has a %20, against faultlessness and against other spellings."""
    spellings = _Spellings(journal)
    for enqueue in journal.enqueues:
        if not _spelled(enqueue, "%20"):
            continue
        fate = _Fate(journal, enqueue)
        if fate.processed_at is not None:
            yield held("processed", enqueue)
        elif fate.refused or fate.failed:
            how = f"was answered {enqueue.status}" if fate.refused else "ended in PreProcessingError"
            twin = spellings.twin(enqueue, "+", accepted=fate.refused)
            if twin is not None:
                yield violated(f"an upload with %20 in the entity {how}, one with + got further", enqueue, twin)
            elif _faultless(journal, enqueue) and spellings.only_reason(enqueue, refused=fate.refused):
                yield violated(f"a faultless upload with %20 in the entity of its job {how}", enqueue)
        elif enqueue.status == FAULT and (twin := spellings.between_faults(enqueue)) is not None:
            yield violated("each upload with %20 in the entity meets a fault, one with + got further", enqueue, twin)


@rule(
    "enqueue.entity-with-plus",
    text="An entity's name is understood when its blank is written as a plus sign.",
    source=client(SCHEDULER, "builds the query as a form does"),
    reading="Broken only where the same name with %20 gets further.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(31,),
)
def entity_with_plus(journal: Readings) -> Iterator[Finding]:
    """What became of uploads whose entity has a plus sign, against those with %20."""
    for enqueue, twin in _with_plus(journal):
        if twin is None:
            yield held("processed", enqueue)
        else:
            yield violated(
                "an upload with + in the entity got stuck or failed, one with %20 was processed", enqueue, twin
            )


@rule(
    "enqueue.entity-encoding",
    text="A blank in the entity's name may be written as %20 and as a plus sign, or as %20 alone.",
    source=article("API for import (enqueue)"),
    reading="The article shows %20; microsoft/Recurring-Integrations-Scheduler sends a plus sign.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("both", "percent-20-only"),
)
def entity_encoding(journal: Readings) -> Iterator[Finding]:
    """Whether an upload with a plus sign was processed, or only its twin with %20."""
    for enqueue, twin in _with_plus(journal):
        if twin is None:
            yield answered("both", enqueue)
        else:
            yield answered("percent-20-only", enqueue, twin)


@rule(
    "enqueue.message-id-form",
    text="The answer to an enqueue names the message in one of several forms.",
    source=article("API for import (enqueue)"),
    reading="Most public clients strip quotation marks; a bare id and an object with a value are reported as well.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("quoted", "bare", "object", "braces", "upper-case"),
)
def message_id_form(journal: Readings) -> Iterator[Finding]:
    """The form of the id in each successful answer."""
    for enqueue in journal.enqueues:
        if enqueue.ok and enqueue.method == "POST":
            yield answered(enqueue.form or ("unreadable" if enqueue.answer_length else "nothing"), enqueue)


@rule(
    "enqueue.content-type",
    text="The answer to an enqueue is JSON or plain text.",
    source=article("API for import (enqueue)"),
    reading="No public capture shows the header.",
    level=ASK,
    provenance=INFERRED,
    answers=("json", "text"),
)
def content_type(journal: Readings) -> Iterator[Finding]:
    """The content type of each successful answer."""
    for enqueue in journal.enqueues:
        if enqueue.ok and enqueue.method == "POST" and enqueue.answer_length:
            plain = _media_type(enqueue.answer_type)
            yield answered({"application/json": "json", "text/plain": "text"}.get(plain, plain), enqueue)


@rule(
    "enqueue.too-large",
    text="An upload that is too large is answered 413, with a page or without a body.",
    source=client(SCHEDULER, "users report that uploads of 50 MB are answered 413"),
    reading="No limit is documented. Asked are uploads of more than 30,000,000 bytes, and every 413.",
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("413-empty", "413-html"),
)
def too_large(journal: Readings) -> Iterator[Finding]:
    """Each 413, and what else became of uploads beyond the size that was reported to be refused."""
    for enqueue in journal.enqueues:
        if enqueue.status == 413 and not enqueue.answer_length:
            yield answered("413-empty", enqueue)
        elif enqueue.status == 413:
            plain = _media_type(enqueue.answer_type)
            yield answered("413-html" if plain == "text/html" else f"413 with {plain}", enqueue)
        elif enqueue.length > LARGE and enqueue.ok:
            yield answered("accepted", enqueue)
        elif enqueue.length > LARGE and _of_its_form(journal, enqueue):
            yield answered(str(enqueue.status), enqueue)


@rule(
    "enqueue.chunked",
    text="An upload in chunks, without an announced length, is accepted or asked for its length.",
    source=article("API for import (enqueue)"),
    reading="No public client is known to send one.",
    level=ASK,
    provenance=INFERRED,
    answers=("accepted", "411"),
)
def chunked(journal: Readings) -> Iterator[Finding]:
    """The status of each upload in chunks."""
    for enqueue in journal.enqueues:
        if not enqueue.chunked or not enqueue.length or enqueue.encoding or enqueue.length > LARGE:
            continue
        if enqueue.ok:
            yield answered("accepted", enqueue)
        elif _of_its_form(journal, enqueue):
            yield answered(str(enqueue.status), enqueue)


@rule(
    "enqueue.gzip",
    text="An upload with content encoding gzip is stored as it was sent, decoded, or refused.",
    source=article("API for import (enqueue)"),
    reading="Stored as sent shows when the message fails: what was packed is no file of the entity. Decoded shows when "
    "it is processed.",
    level=ASK,
    provenance=INFERRED,
    answers=("stored-as-sent", "415"),
)
def gzip(journal: Readings) -> Iterator[Finding]:
    """The status of each packed upload, and what processing made of it."""
    for enqueue in journal.enqueues:
        if (enqueue.encoding or "").strip().lower() != "gzip" or not enqueue.length:
            continue
        if not enqueue.ok:
            if _of_its_form(journal, enqueue):
                yield answered(str(enqueue.status), enqueue)
            continue
        states = {each.state for each in _sightings(journal, enqueue)}
        if states & FAILURES:
            yield answered("stored-as-sent", enqueue)
        elif PROCESSED in states:
            yield answered("decoded", enqueue)


def _denies(status: StatusAnswer) -> bool:
    """Says that there is no such message: an error about it, or a blank."""
    return status.bare and (status.status in (400, 404) or (status.ok and status.value == ""))


def _in_reach(journal: Readings, enqueue: Enqueue, status: StatusAnswer) -> bool:
    """A status that was asked for when the message certainly had to be there, by somebody who may ask."""
    return (
        status.sent >= enqueue.answered
        and status.sent < enqueue.sent + journal.imports.kept(enqueue.activity or "")
        and status.role in ("authorised", None)
        and token_alive(journal, status) is not False
        and journal.undisturbed(enqueue.activity or "", enqueue, status.sent, status.seq)
    )


def _media_type(header: str | None) -> str:
    return (header or "no content type").partition(";")[0].strip().lower()


def _sightings(journal: Readings, enqueue: Enqueue) -> list[Sighting]:
    return journal.sightings.get(enqueue.message, []) if enqueue.message is not None else []


def _of_its_form(journal: Readings, enqueue: Enqueue) -> bool:
    """A refusal that nothing but the form of the upload can explain: caller, job and path are in order."""
    return (
        enqueue.refused
        and enqueue.status not in (401, 403, 404, 405, 408, 429, 502, 503, 504)
        and enqueue.role in ("authorised", None)
        and enqueue.method == "POST"
        and right_side(journal, enqueue) is not False
    )


class _Taken:
    """Uploads that were taken, by what was handed in where, looked through only when one was not."""

    def __init__(self, journal: Readings) -> None:
        self._journal = journal

    def otherwise(self, enqueue: Enqueue) -> Enqueue | None:
        """The same bytes, handed in by the same path and query with another content type."""
        found = self._by_type.get((enqueue.path, enqueue.query, enqueue.digest), {})
        return next((each for content_type, each in found.items() if content_type != enqueue.content_type), None)

    @cached_property
    def _by_type(self) -> dict[tuple[str, str, str], dict[str | None, Enqueue]]:
        found: dict[tuple[str, str, str], dict[str | None, Enqueue]] = defaultdict(dict)
        for each in self._journal.enqueues:
            if each.ok:
                found[(each.path, each.query, each.digest)].setdefault(each.content_type, each)
        return dict(found)


class _Fate:
    """How far an upload got, as far as its entity's name has to do with it."""

    def __init__(self, journal: Readings, enqueue: Enqueue) -> None:
        seen = _sightings(journal, enqueue)
        self.refused = enqueue.status in REFUSALS_OF_AN_ENTITY and enqueue.length > 0
        self.processed_at = min((each.at for each in seen if each.state == PROCESSED), default=None)
        expired = (known := journal.imports.by_id.get(enqueue.message or "")) is not None and known.expired
        disturbed = known is not None and known.disturbed
        # What died in its processing and was put back after its file's days had passed fails for that.
        self.failed = not expired and not disturbed and any(each.state == PREPROCESSING_ERROR for each in seen)
        final = any(each.state in FAILURES or each.state == PROCESSED for each in seen)
        working = [each.since for each in seen if each.state in (PROCESSING, PREPROCESSING)]
        self.in_process_at = max(working) if working and not final and not disturbed else None
        self.in_process_since = min(working, default=None)


class _Spellings:
    """Uploads by the way in which their entity is spelled, looked through only when one of them got stuck."""

    def __init__(self, journal: Readings) -> None:
        self._journal = journal

    def twin(self, enqueue: Enqueue, blank: str, *, accepted: bool) -> Enqueue | None:
        """An upload to the same job for the same entity, spelled otherwise, that was processed.

        Only for an upload that can have failed for nothing but its spelling: a sound file of the twin's kind, and none
        spelled like it was processed either. `accepted`: one of the same bytes that was no more than taken will do.
        """
        name = (enqueue.entity or "").casefold()
        own = "+" if blank == "%20" else "%20"
        found = self._processed.get((enqueue.activity, name, blank))
        if found is not None and (
            (enqueue.activity, name, own) in self._processed
            or enqueue.chunked
            or not sound_file(enqueue)
            or _zipped(enqueue) != _zipped(found)
        ):
            found = None
        if found is None and accepted:
            found = self._taken.get((enqueue.activity, name, blank, enqueue.digest))
        return found

    def between_faults(self, enqueue: Enqueue) -> Enqueue | None:
        """An upload to the same job with a plus sign that was processed while all with %20 met with a fault.

        A fault may be an accident: some must be before it and some after it, and none with %20 got through.
        """
        twin = self.twin(enqueue, "+", accepted=False)
        if twin is None:
            return None
        name = (enqueue.entity or "").casefold()
        others = [
            each
            for each in self._journal.enqueues
            if each.activity == enqueue.activity and _spelled(each, "%20") and (each.entity or "").casefold() == name
        ]
        faults = [each for each in others if each.status == FAULT and sound_file(each)]
        before = sum(each.answered < twin.sent for each in faults)
        after = sum(twin.answered < each.sent for each in faults)
        return None if any(each.ok for each in others) or min(before, after) < ENOUGH_FAULTS else twin

    def only_reason(self, enqueue: Enqueue, *, refused: bool) -> bool:
        """Whether nothing else than the %20 is known that the upload can have failed for.

        The path is not it where some call came through on one spelled alike, and the %20 is not where another upload
        for the entity got further with it.
        """
        name = (enqueue.entity or "").casefold()
        if refused:
            return shape(enqueue.path) in self._shapes and name not in self._understood
        return (enqueue.activity, name, "%20") not in self._processed

    @cached_property
    def _processed(self) -> dict[tuple[str | None, str, str], Enqueue]:
        found: dict[tuple[str | None, str, str], Enqueue] = {}
        for each, blank in self._accepted:
            key = (each.activity, (each.entity or "").casefold(), blank)
            if key not in found and _Fate(self._journal, each).processed_at is not None:
                found[key] = each
        return found

    @cached_property
    def _taken(self) -> dict[tuple[str | None, str, str, str], Enqueue]:
        found: dict[tuple[str | None, str, str, str], Enqueue] = {}
        for each, blank in self._accepted:
            found.setdefault((each.activity, (each.entity or "").casefold(), blank, each.digest), each)
        return found

    @cached_property
    def _accepted(self) -> list[tuple[Enqueue, str]]:
        accepted = [each for each in self._journal.enqueues if each.ok]
        return [(each, blank) for each in accepted for blank in ("%20", "+") if _spelled(each, blank)]

    @cached_property
    def _understood(self) -> frozenset[str]:
        return frozenset((each.entity or "").casefold() for each, blank in self._accepted if blank == "%20")

    @cached_property
    def _shapes(self) -> frozenset[tuple[str, str]]:
        calls = (*self._journal.enqueues, *self._journal.dequeues)
        return frozenset(shape(path) for path in {each.path for each in calls if each.ok})


def _spelled(enqueue: Enqueue, blank: str) -> bool:
    """An upload by somebody who may, whose entity's name has its blanks written so and not otherwise."""
    if blank not in enqueue.query or enqueue.role not in ("authorised", None) or enqueue.method != "POST":
        return False
    sent = entity_as_sent(enqueue)
    return blank in sent and ("+" if blank == "%20" else "%20") not in sent


def _with_plus(journal: Readings) -> Iterator[tuple[Enqueue, Enqueue | None]]:
    """Uploads with a plus sign that tell something: alone where processed, else with a %20 twin that got further."""
    spellings = _Spellings(journal)
    for enqueue in journal.enqueues:
        if not _spelled(enqueue, "+"):
            continue
        fate = _Fate(journal, enqueue)
        if fate.processed_at is not None:
            yield enqueue, None
        elif fate.refused or fate.failed or fate.in_process_at is not None:
            twin = spellings.twin(enqueue, "%20", accepted=fate.refused)
            if twin is None:
                continue
            done = _Fate(journal, twin).processed_at
            stuck, since = fate.in_process_at, fate.in_process_since
            if (
                stuck is None
                or since is None
                or done is None
                or stuck >= max(done, since) + LONG
                or (enqueue.answered <= twin.sent and stuck >= done)
            ):
                yield enqueue, twin


def _faultless(journal: Readings, enqueue: Enqueue) -> bool:
    """A single file for the entity and in the format of its job, with nothing wrong in it, and nothing else odd."""
    activity = enqueue.activity or ""
    entity = journal.settled(activity, "entity", enqueue)
    return (
        isinstance(entity, str)
        and entity.casefold() == (enqueue.entity or "").casefold()
        and journal.settled(activity, "type", enqueue) == "file"
        and journal.project_of.plain(enqueue.activity)
        and str(journal.settled(activity, "format", enqueue) or "CSV").casefold() == "csv"
        and journal.settled(activity, "enabled", enqueue) is True
        and right_side(journal, enqueue) is True
        and (enqueue.company is None or journal.settled(activity, "use_company_from_message", enqueue) is False)
        and not enqueue.chunked
        and sound_file(enqueue)
        and not _zipped(enqueue)
    )


def _zipped(enqueue: Enqueue) -> bool:
    return enqueue.body is not None and looks_zipped(enqueue.body.content() or b"")
