"""How long a file is kept, and what becomes of its message then."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Final

from popreceipt.rules.dequeue import all_have_files, all_young
from popreceipt.rules.download import (
    FORBIDDEN,
    answer_word,
    brought,
    fetched_after,
    fetched_before,
    leased_at,
    plain_downloads,
    settled_before,
    tried_again,
    unheard,
)
from popreceipt.rules.exports import authorised
from popreceipt.rules.facts import Dequeue, Download, Production
from popreceipt.rules.readings import Message, Readings
from popreceipt.rules.rule import ADVANCE_TIME, ASK, INFERRED, MUST, PRODUCE, article, rule
from popreceipt.rules.waiting import Why
from popreceipt.verdict import Finding, answered, held, undecided, violated

SECTION: Final = "API for getting message status"

ATTEMPTS: Final = 2
"""So often a message of an unknown export run must have come before its absence is put down to its file's age."""

LATE_PART: Final = 7
"""Held is said only of the last of so many parts of the seven days."""


@rule(
    "retention.kept-for-seven-days",
    text="A file can be had for seven days, unless it is acknowledged before.",
    source=article(SECTION),
    reading="Seven days from the upload; where nobody told of it, from an hour before the last empty answer that the "
    "first delivery followed. Its message is offered for as long, with the file, and its location works "
    "within the half hour of a delivery. Up to the fifth delivery. A first delivery on the first day is judged by the "
    "rules of dequeue and download. Undecided where young messages are not offered either.",
    level=MUST,
    statements=(58,),
    needs=(ADVANCE_TIME,),
)
def kept_for_seven_days(journal: Readings) -> Iterator[Finding]:
    """Downloads of files that are old, or that had come before; and answers without old messages."""
    yield from _downloads(journal)
    yield from _told_to_have_none(journal)
    exports = journal.exports
    for miss in journal.waiting.misses.get(Why.AGED, ()):
        wait = miss.wait
        since = wait.production.since if wait.production is not None else journal.waiting.uploaded(wait.message)[0]
        if since is None:
            continue
        witnesses = [each for each in (wait.after, miss.empty) if each is not None]
        age = miss.empty.answered - since
        if journal.waiting.misses.get(Why.FIRST if wait.after is None else Why.AGAIN):
            yield undecided("nothing offered of an old file, as happens to young ones", *witnesses)
        elif wait.production is None and wait.deliveries < ATTEMPTS:
            yield undecided("nothing offered of an old file, and it had never come back before", *witnesses)
        elif exports.known(miss.empty.activity or ""):
            yield violated(f"nothing offered, and the file is at most {age} old", *witnesses)
        else:
            yield undecided(f"nothing offered of a file {age} old, unless somebody else took it", *witnesses)
    for empty in journal.dequeues:
        if empty.kind != "no-file" or not authorised(empty) or not all_have_files(journal, empty):
            continue
        if empty.last_dequeue is not None or not all_young(journal, empty):
            yield violated("says there is no file, and no file of the job is seven days old", empty)


def _downloads(journal: Readings) -> Iterator[Finding]:
    part = journal.retention / LATE_PART
    for message, place, each in plain_downloads(journal):
        delivery = message.deliveries[place]
        since, by = journal.waiting.uploaded(message)
        if since is None or by is None:
            continue
        if each.answered >= since + journal.retention - journal.exports.precision:
            continue
        if brought(journal, each) is not None:
            if each.sent >= by + journal.retention - part:
                yield held("still there in the last of its seven days", delivery, each)
            continue
        offered = place > 0 and message.production is not None
        known = each.sent >= by + part or offered or fetched_before(journal, message, each)
        if not known or not leased_at(journal, delivery, each) or settled_before(journal, message, place, each):
            continue
        if each.status is not None and unheard(each):
            # A gateway's word, or that of a service that is too busy: nothing was said of the file.
            continue
        if unheard(each) and tried_again(journal, message, each):
            continue
        age = each.answered - since
        if fetched_after(journal, message, each):
            # It is kept, then: that a location works but once, or for minutes, is for download.repeatable to say.
            continue
        if each.status is not None and 400 <= each.status < 500:
            text = f"answered with {each.status} when the file was at most {age} old"
            if message.production is not None or journal.exports.known(message.activity):
                yield violated(text, delivery, each)
            else:
                yield undecided(f"{text}, unless somebody cleaned up", delivery, each)
        elif each.in_doubt:
            yield undecided(f"no file came: {each.failure or each.status}, at an age of {age}", delivery, each)


def _told_to_have_none(journal: Readings) -> Iterator[Finding]:
    """Messages of unknown export runs that had a file, and are said to have none before its time is over."""
    for message in journal.messages:
        since, _ = journal.waiting.uploaded(message)
        if since is None or message.production is not None or not journal.exports.known(message.activity):
            continue
        end = since + journal.retention - journal.exports.precision
        for first, again in pairwise(message.deliveries):
            if first.kind == "message" and again.kind == "no-file" and again.answered < end:
                yield violated("says there is no file any more, and it is not seven days old", first, again)


@rule(
    "retention.gone-after-seven-days",
    text="After seven days a file cannot be downloaded any more.",
    source=article(SECTION),
    reading="Seven days from the upload, to the second; where nobody told of the upload, from the first delivery's "
    "answer. How the download is refused is open.",
    level=MUST,
    statements=(58,),
    needs=(ADVANCE_TIME,),
)
def gone_after_seven_days(journal: Readings) -> Iterator[Finding]:
    """Downloads of files whose upload, or first delivery, the journal knows, after their time."""
    exports = journal.exports
    yield from _outlived(journal)
    for each in journal.downloads:
        if each.digest is None:
            continue
        for run in exports.produced_anywhere.get(each.digest, ()):
            late = each.sent - run.at
            if late > journal.retention + exports.precision and exports.proven(run.activity, each.digest):
                yield violated(f"still there {late} after its upload", each)
    for message, _, download in _expired(journal):
        if unheard(download) and download.status != FORBIDDEN:
            if not tried_again(journal, message, download):
                yield undecided(f"no answer of the service ({download.failure or download.status})", download)
        elif brought(journal, download) is None:
            yield held("gone", download)


def _outlived(journal: Readings) -> Iterator[Finding]:
    """Downloads that brought a message's own file, of which no export run is known, seven days after it was there.

    The location must be that message's alone, where others have others, and the bytes no other message's.
    """
    handed_out: dict[str, set[int]] = defaultdict(set)
    bytes_of: dict[tuple[str, str], set[int]] = defaultdict(set)
    locations: dict[str, set[str]] = defaultdict(set)
    for message in journal.messages:
        for delivery in message.deliveries:
            if delivery.location is not None:
                handed_out[delivery.location].add(id(message))
                locations[message.activity].add(delivery.location)
            if (digest := journal.exports.digest_of(delivery)) is not None:
                bytes_of[message.activity, digest].add(id(message))
    for message in journal.messages:
        if message.production is not None or message.digest is None or len(message.deliveries[0].location or "") == 0:
            continue
        _, by = journal.waiting.uploaded(message)
        if by is None or len(bytes_of[message.activity, message.digest]) > 1:
            continue
        own = {each.location for each in message.deliveries}
        for each in message.downloads:
            late = each.sent - by
            if each.digest != message.digest or late <= journal.retention + journal.exports.precision:
                continue
            if len(handed_out[each.location]) == 1 and locations[message.activity] - own:
                yield violated(f"still there {late} after it was first handed out", message.deliveries[0], each)


def _expired(journal: Readings) -> Iterator[tuple[Message, int, Download]]:
    """Authorised downloads of known messages' files after their seven days, and before a clean-up or a reset.

    One that is forbidden counts where the same had been permitted: so storage says that a permit has ended.
    """
    for message, place, each in plain_downloads(journal, forbidden_too=True):
        if each.status == FORBIDDEN and not fetched_before(journal, message, each):
            continue
        _, by = journal.waiting.uploaded(message)
        if by is None or each.sent <= by + journal.retention + journal.exports.precision:
            continue
        if journal.undisturbed(message.activity, message.deliveries[0], each.answered, each.seq):
            yield message, place, each


@rule(
    "retention.expired-download",
    text="The download of an expired file is not found, gone, or a fault.",
    source=article(SECTION),
    reading="The article says that the file is deleted.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("404", "410", "500"),
)
def expired_download(journal: Readings) -> Iterator[Finding]:
    """Downloads after the seven days that nothing else can have got refused."""
    outlives = _locations_outlive_the_lease(journal)
    for message, place, each in _expired(journal):
        delivery = message.deliveries[place]
        told = str(FORBIDDEN) if each.status == FORBIDDEN else answer_word(journal, each)
        if told is None or settled_before(journal, message, place, each):
            continue
        if outlives or leased_at(journal, delivery, each):
            yield answered(told, delivery, each)


def _locations_outlive_the_lease(journal: Readings) -> bool:
    """Whether a location was seen to work after its half hour, so that its end is not what a refusal tells."""
    for message, place, each in plain_downloads(journal):
        over = message.deliveries[place].answered + journal.lease + journal.exports.precision
        if each.digest is not None and each.sent > over:
            return True
    return False


@rule(
    "retention.expired-dequeue",
    text="A message whose file has expired is offered as one without a file, or has left the queue.",
    source=article(SECTION),
    reading="The article does not say what becomes of the message.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("no-file", "dropped"),
)
def expired_dequeue(journal: Readings) -> Iterator[Finding]:
    """Dequeues of jobs whose exports are all more than seven days old, and of messages that are so themselves."""
    yield from _expired_deliveries(journal)
    for each in journal.dequeues:
        if each.delivered and _all_expired(journal, each):
            yield answered("no-file" if each.kind == "no-file" else "offered", each)
    for miss in journal.waiting.misses.get(Why.EXPIRED, ()):
        unannounced = miss.wait.production is None and journal.exports.known(miss.empty.activity or "")
        if unannounced or _all_expired(journal, miss.empty):
            yield answered("dropped", miss.empty)


def _expired_deliveries(journal: Readings) -> Iterator[Finding]:
    """Deliveries of messages of which no export run is known, seven days after their files were there."""
    for message in journal.messages:
        _, by = journal.waiting.uploaded(message)
        if by is None or message.production is not None:
            continue
        for each in message.deliveries:
            if each.sent > by + journal.retention + journal.exports.precision:
                yield answered("no-file" if each.kind == "no-file" else "offered", message.deliveries[0], each)


def _all_expired(journal: Readings, call: Dequeue) -> bool:
    """Whether every message that the queue may hold had a file, and its seven days are over."""
    exports = journal.exports
    activity = call.activity or ""
    past = exports.past(activity, call.answered)
    if past is None or not past.all_uploaded or not exports.closed(activity):
        return False
    return past.newest + journal.retention + exports.precision < call.sent


@rule(
    "retention.at-seven-days",
    text="At the very end of its seven days a file is gone, or still there.",
    source=article(SECTION),
    reading="The article does not say to which side the instant belongs.",
    level=ASK,
    provenance=INFERRED,
    needs=(PRODUCE, ADVANCE_TIME),
    answers=("gone", "kept"),
)
def at_seven_days(journal: Readings) -> Iterator[Finding]:
    """A download or a dequeue at exactly that instant: only a clock that stands still can show it."""
    for message, place, each in plain_downloads(journal):
        run = message.production
        if run is None or not _at_end(journal, run, each.sent, each.answered) or each.status is None:
            continue
        delivery = message.deliveries[place]
        if brought(journal, each) is not None:
            yield answered("kept", delivery, each)
        elif leased_at(journal, delivery, each) and not settled_before(journal, message, place, each):
            yield answered("gone", delivery, each)
    for message in journal.messages:
        run = message.production
        for offer in message.deliveries:
            if run is not None and _at_end(journal, run, offer.sent, offer.answered):
                yield answered("kept" if offer.kind == "message" else "gone", offer)


def _at_end(journal: Readings, run: Production, sent: datetime, until: datetime) -> bool:
    return run.since == run.at and sent == until == run.at + journal.retention
