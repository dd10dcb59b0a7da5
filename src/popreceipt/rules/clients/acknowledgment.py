"""When a client acknowledges, with what, and what it does when that fails.

Judged by what the client sent, never by what the service made of it.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from popreceipt import vocabulary
from popreceipt.rules.conduct import Conduct, Handout, before, value_of
from popreceipt.rules.facts import Ack, Call, Download
from popreceipt.rules.reader import instant_of, location_key
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, INFERRED, MUST, SHOULD, article, client, rule
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for acknowledgment"
DEQUEUE_SECTION: Final = "API for export (dequeue)"
SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"

THREE: Final = frozenset({vocabulary.CORRELATION_ID, vocabulary.POP_RECEIPT, vocabulary.DOWNLOAD_LOCATION})

STREAMED: Final = timedelta(seconds=1)
"""A recorder in between may note the end of an answer so much later than the client had all of it."""

CROSSED: Final = timedelta(seconds=1)
"""Workers of one client may not know of each other's deliveries sooner."""


@rule(
    "acknowledgment.after-a-whole-download",
    text="A message with a file is acknowledged only once its file was downloaded whole.",
    source=article(DEQUEUE_SECTION),
    reading="The file may have come for any delivery of the message. A file that is gone may be acknowledged once its "
    "download was refused so. Whether the client may have fetched it where nobody looked is undecided.",
    level=MUST,
    binds=CLIENT,
    statements=(35,),
)
def after_a_whole_download(journal: Readings) -> Iterator[Finding]:
    """Each acknowledgment that names a delivery with a file."""
    conduct = journal.conduct
    for one in conduct.handouts:
        if not one.has_file or not one.acks:
            continue
        group = conduct.message_of(one)
        downloads = [each for other in group for each in other.downloads]
        for ack in one.acks:
            yield _downloaded(conduct, group, downloads, one, ack)


def _downloaded(conduct: Conduct, group: list[Handout], downloads: list[Download], one: Handout, ack: Ack) -> Finding:
    whole = next((each for each in downloads if each.digest is not None and before(each, ack)), None)
    if whole is not None:
        return held("after the whole file", one.delivery, whole, ack)
    asked = [each for each in downloads if (each.sent, each.seq) < (ack.sent, ack.seq)]
    gone = [conduct.gone(each) for each in asked]
    if True in gone:
        return held("the file was gone", one.delivery, *asked[-1:], ack)
    if None in gone:
        return undecided("its download was answered with 500, as a file that is gone may be", one.delivery, ack)
    if any(each.digest is not None and each.answered - ack.sent < STREAMED for each in asked):
        return undecided("while the last of the file came", one.delivery, *asked[-1:], ack)
    if (unseen := conduct.fetched_unseen(group)) is not None:
        return undecided(f"no whole download seen, but {unseen}", one.delivery, *asked[-1:], ack)
    if not asked:
        return violated("acknowledged without a download", one.delivery, ack)
    return violated(f"acknowledged though the file did not come whole ({_told(asked[-1])})", one.delivery, *asked, ack)


def _told(call: Call) -> str:
    return str(call.failure or call.status)


@rule(
    "acknowledgment.after-storing",
    text="When an acknowledgment is sent, the file lies safely where the client keeps it.",
    source=article(SECTION),
    reading="The documentation asks for the acknowledgment so that data is marked as received. Judged where the client "
    "keeps files in the watched inbox: matched by content, zipped or unzipped, at this look or an earlier one.",
    level=MUST,
    binds=CLIENT,
    statements=(35, 37),
)
def after_storing(journal: Readings) -> Iterator[Finding]:
    """Each acknowledgment of a file that had come, with the look into the inbox that was taken for it."""
    conduct = journal.conduct
    if not conduct.inbox_is_used:
        return
    judged = [
        (one, ack, files, one.digest)
        for one in conduct.handouts
        if one.has_file
        for ack in one.acks
        if (files := conduct.inbox_before(ack)) is not None and one.digest is not None
    ]
    appeared = {look.place: look.appeared for look in journal.inbox}
    kept = any(conduct.ever_held(digest, float("inf")) for _, _, _, digest in judged)
    for one, ack, files, digest in judged:
        if not any(before(each, ack) for other in conduct.message_of(one) for each in other.downloads if each.digest):
            continue  # acknowledgment.after-a-whole-download judges that
        new = next((seen for place, seen in appeared.items() if ack.seq - 1 < place < ack.seq), ())
        if conduct.holds(files, digest) or conduct.ever_held(digest, ack.seq):
            yield held("stored", one.delivery, ack)
        elif conduct.ever_held(digest, float("inf")):
            yield violated("the file was stored only after the acknowledgment", one.delivery, ack)
        elif new:
            yield violated("what had been stored is not what had come", one.delivery, ack)
        elif kept:
            yield violated("the file was never stored", one.delivery, ack)
        else:
            yield undecided("nothing that came was ever found in the inbox", one.delivery, ack)


@rule(
    "acknowledgment.says-what-dequeue-said",
    text="An acknowledgment is JSON with the CorrelationId and the PopReceipt of one delivery, on that delivery's job.",
    source=article(SECTION),
    reading="Scheme, host, port and percent-encoding of a DownloadLocation may differ, and it may be missing. Member "
    "names in another letter case are undecided, and so is a receipt that may be older than the journal.",
    level=MUST,
    binds=CLIENT,
    statements=(37, 38),
)
def says_what_dequeue_said(journal: Readings) -> Iterator[Finding]:
    """Each acknowledgment."""
    for ack in journal.acks:
        yield _said(journal, ack)


def _said(journal: Readings, ack: Ack) -> Finding:
    conduct = journal.conduct
    one = conduct.handout_of(ack)
    if ack.method != "POST":
        return violated(f"sent with {ack.method}", ack)
    if one is not None and ack.activity != one.delivery.activity:
        return violated("sent to another recurring data job", one.delivery, ack)
    if one is not None and ack.digest == one.delivery.digest:
        return held("the dequeue's answer as it was", one.delivery, ack)
    if ack.form != "object":
        if ack.digest and (ack.body is None or ack.body.content() is None):
            return undecided("its body was not kept", ack)
        if not ack.digest and journal.header.recorded_by == "client":
            return undecided("no body, unless the recorder left it out", ack)
        return violated("its body is no JSON object", ack)
    missing = [name for name in (vocabulary.CORRELATION_ID, vocabulary.POP_RECEIPT) if name not in ack.members]
    if ack.correlation is None or ack.receipt is None:
        return violated(f"without {' and '.join(missing) or 'a text where one belongs'}", ack)
    if one is None:
        return _names_nothing(journal, ack)
    if missing:
        return undecided("the right values under names in another letter case", one.delivery, ack)
    location = _location_in(ack)
    if location and unquote(location_key(location)) != unquote(one.delivery.location or ""):
        return violated("its DownloadLocation is that of another file", one.delivery, ack)
    return held("", one.delivery, ack)


def _names_nothing(journal: Readings, ack: Ack) -> Finding:
    """An acknowledgment whose two names are together those of no delivery that reached the client."""
    conduct = journal.conduct
    earlier = [each for each in conduct.handouts if before(each.delivery, ack)]
    by_correlation = [each for each in earlier if each.delivery.correlation == ack.correlation]
    by_receipt = [each for each in earlier if each.delivery.receipt == ack.receipt]
    complete = conduct.scenario is not None
    if by_receipt and (complete or by_correlation):
        return violated("the receipt of one delivery without its CorrelationId", by_receipt[-1].delivery, ack)
    if by_correlation and (complete or not conduct.delivered_unseen(by_correlation[:1])):
        return violated("a receipt that no dequeue has handed out", by_correlation[-1].delivery, ack)
    if complete:
        return violated("it names no delivery", ack)
    return undecided("it names a delivery that the journal does not have", ack)


def _location_in(ack: Ack) -> str | None:
    said = value_of(ack.body)
    location = said.get(vocabulary.DOWNLOAD_LOCATION) if isinstance(said, dict) else None
    return location if isinstance(location, str) else None


@rule(
    "acknowledgment.whole-answer",
    text="The body of an acknowledgment is the whole answer of the dequeue.",
    source=article(SECTION),
    reading="Compared as JSON. The three members that a public client sends are known to be enough; that is less than "
    "the documentation asks for all the same. Another scheme or port, and dates written otherwise, are undecided.",
    level=SHOULD,
    binds=CLIENT,
    statements=(38,),
)
def whole_answer(journal: Readings) -> Iterator[Finding]:
    """Each acknowledgment that names a delivery."""
    for one in journal.conduct.handouts:
        for ack in one.acks:
            if ack.digest == one.delivery.digest:
                yield held("byte for byte", one.delivery, ack)
                continue
            given, told = value_of(one.delivery.body), value_of(ack.body)
            if not isinstance(given, dict) or not isinstance(told, dict):
                continue
            missing = [name for name in given if name not in told]
            if given == told:
                yield held("the same JSON", one.delivery, ack)
            elif missing and {each.lower() for each in missing} & {str(each).lower() for each in told}:
                yield violated(f"another letter case of {', '.join(missing)}", one.delivery, ack)
            elif missing:
                more = "the three members that suffice" if frozenset(told) == THREE else f"{len(told)} members"
                yield violated(f"{more}, without {', '.join(missing)}", one.delivery, ack)
            else:
                other = [name for name, value in given.items() if not _alike(value, told[name])]
                if other:
                    yield violated(f"another value of {', '.join(other)}", one.delivery, ack)
                else:
                    yield undecided("the same in meaning, written otherwise", one.delivery, ack)


def _alike(given: Any, told: Any) -> bool:
    """Whether two values mean the same: an instant, or a location that is asked for under another root."""
    if given == told or (given in (None, "") and told in (None, "")):
        return True
    if not isinstance(given, str) or not isinstance(told, str):
        return False
    if "://" in given and "://" in told:
        same = unquote(location_key(given)) == unquote(location_key(told))
        return same and urlsplit(given).hostname == urlsplit(told).hostname
    one, other = instant_of(given), instant_of(told)
    return one is not None and other is not None and one[0] == other[0]


@rule(
    "acknowledgment.every-received-one",
    text="What was downloaded whole is acknowledged in the end.",
    source=article(SECTION),
    reading="An attempt counts, whatever the answer. The client must have lived on for a lease and a half, not turned "
    "away and without other files on its hands; a file that it did not store is undecided. So is a recording in "
    "which it acknowledges others: it may have had a reason.",
    level=MUST,
    binds=CLIENT,
    statements=(35, 42),
)
def every_received_one(journal: Readings) -> Iterator[Finding]:
    """Each message whose file came whole."""
    conduct = journal.conduct
    for group in conduct.messages:
        whole = [
            each for one in group for each in one.downloads if each.digest is not None and each.seq not in conduct.slow
        ]
        if not whole or not any(one.has_file for one in group):
            continue
        acks = conduct.acks_of(group)
        if acks:
            yield held("", whole[0], acks[0])
        else:
            whole.sort(key=lambda each: each.seq)
            yield _never_acknowledged(journal, group, whole[0], whole[-1])


def _never_acknowledged(journal: Readings, group: list[Handout], first: Download, last: Download) -> Finding:
    conduct = journal.conduct
    delivery = group[-1].delivery
    activity = delivery.activity
    if any(each.activity == activity and each.seq > last.seq for each in conduct.stray_acks):
        return undecided("only acknowledgments that name nothing came", delivery, last)
    if conduct.hindered(last):
        return undecided("it was turned away afterwards", delivery, last)
    none_at_all = next((False for each in journal.acks if each.activity == activity), True)
    if none_at_all and _ended_over_nothing(conduct, last):
        return violated("it ended by itself and had acknowledged nothing of what it had received", delivery, last)
    if not conduct.had_time_for(group, first):
        return undecided("the client was there for too short a time", delivery, last)
    life = conduct.life_at(first)
    until = life.ended if life is not None and life.ended is not None and life.status == 0 else None
    busy = conduct.last_new_file
    # A process that ended in peace was through with what it had taken; the next one's work is no excuse.
    if busy is not None and busy > first.answered + conduct.lease and (until is None or busy < until):
        return undecided("it was still busy with what it had taken before", delivery, last)
    if conduct.inbox_is_used and last.digest and not conduct.ever_held(last.digest, float("inf")):
        return undecided("it did not store the file either", delivery, last)
    if conduct.scenario is None and (not none_at_all or conduct.files_that_came(activity) < 2):
        return undecided("not acknowledged as far as the recording goes", delivery, last)
    return violated("never acknowledged", delivery, last)


def _ended_over_nothing(conduct: Conduct, last: Download) -> bool:
    """Whether the process crashed after a download, and nothing had gone wrong that could have kept it from more."""
    return conduct.ended_over_nothing(conduct.life_at(last)) and not conduct.is_last(last)


@rule(
    "acknowledgment.within-the-lease",
    text="A delivery is acknowledged before its lease ends.",
    source=article(SECTION),
    reading="The first acknowledgment of each delivery; from the delivery's own two times. Not judged where something "
    "that was made to go wrong, or a download longer than half the lease, kept the client.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(39, 42),
)
def within_the_lease(journal: Readings) -> Iterator[Finding]:
    """The first acknowledgment of each delivery."""
    conduct = journal.conduct
    error = timedelta(seconds=journal.header.clock_error_seconds)
    for one in conduct.handouts:
        if not one.acks:
            continue
        ack = one.acks[0]
        if ack.sent < one.delivery.sent + conduct.lease - error:
            yield held("", one.delivery, ack)
        elif any(one.delivery.seq <= each <= ack.seq for each in conduct.struck) or _kept_busy(conduct, one):
            continue
        elif ack.sent > one.until + error:
            late = (ack.sent - one.until).total_seconds()
            yield violated(f"{late:.3g} s after the lease had ended", one.delivery, ack)
        else:
            yield undecided("just when the lease ended", one.delivery, ack)


def _kept_busy(conduct: Conduct, one: Handout) -> bool:
    return any(each.answered - each.sent > conduct.lease / 2 for each in one.downloads)


@rule(
    "acknowledgment.newest-receipt",
    text="Once a message came back, it is acknowledged with the receipt of its latest delivery.",
    source=client(SCHEDULER, "issue 124: late acknowledgments are answered with 500"),
    reading="The client must have known that it is the same message: by its CorrelationId, or by the file that came "
    "again. Undecided for workers that do not know of each other: within a second of the new delivery, and where the "
    "message came back while the answer to a download was held back.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(39,),
)
def newest_receipt(journal: Readings) -> Iterator[Finding]:
    """Each acknowledgment of a message that had been handed out more than once."""
    conduct = journal.conduct
    for group in conduct.messages:
        if len(group) < 2:
            continue
        for ack in conduct.acks_of(group):
            named = conduct.handout_of(ack)
            if named is None:
                continue
            newer = [
                each
                for each in group
                if (each.delivery.seq > named.delivery.seq)
                and each.delivery.receipt != named.delivery.receipt
                and _known(conduct, named, each, ack)
            ]
            if not newer:
                if named is not group[0]:
                    yield held("", named.delivery, ack)
            elif ack.sent - newer[0].delivery.answered < CROSSED:
                yield undecided("just when the message had come back", named.delivery, newer[0].delivery, ack)
            elif _held_back(conduct, named):
                yield undecided("by a worker that was kept waiting for the file", named.delivery, ack)
            else:
                yield violated("a receipt that a later delivery replaced", named.delivery, newer[-1].delivery, ack)


def _known(conduct: Conduct, named: Handout, newer: Handout, ack: Ack) -> bool:
    """Whether the client had seen, before it acknowledged, a later delivery and that it is the same message."""
    if not conduct.saw(newer.delivery) or not before(newer.delivery, ack):
        return False
    same = newer.delivery.correlation is not None and newer.delivery.correlation == named.delivery.correlation
    return same or newer.whole_before(ack) is not None


def _held_back(conduct: Conduct, one: Handout | None) -> bool:
    """Whether a worker may have waited for a delivery's file while another one was handed the message anew."""
    return one is not None and any(each.seq in conduct.slow for each in one.downloads)


@rule(
    "acknowledgment.retried",
    text="A failed acknowledgment is sent again with the same receipt, or the message is acknowledged when it returns.",
    source=article(SECTION),
    reading="Failed as the client saw it: a fault of the server, 408, 429, no whole answer. Where the answer alone was "
    "lost the message never comes back, and nothing is asked. The client needs a lease and a half.",
    level=SHOULD,
    binds=CLIENT,
    statements=(43,),
)
def retried(journal: Readings) -> Iterator[Finding]:
    """Each first failure among the acknowledgments of a message."""
    conduct = journal.conduct
    lost = frozenset(each.exchange for each in journal.struck if each.took_effect)
    for group in conduct.messages:
        acks = conduct.acks_of(group)
        failed = next((each for each in acks if conduct.failed(each)), None)
        if failed is None or any(each.ok and each.seq < failed.seq for each in acks):
            continue
        again = next((each for each in acks if each.seq > failed.seq), None)
        if again is not None:
            yield held(f"after {_told(failed)} once more", failed, again)
        elif failed.seq in lost:
            continue
        else:
            finding = _not_retried(conduct, group, failed)
            if finding is not None:
                yield finding


def _not_retried(conduct: Conduct, group: list[Handout], failed: Ack) -> Finding | None:
    back = [each for each in group if each.delivery.seq > failed.seq]
    named = conduct.handout_of(failed)
    freed = max(failed.answered, named.until if named is not None else failed.answered)
    text = f"a failed acknowledgment ({_told(failed)}) was not repeated"
    if conduct.hindered(failed):
        return undecided(f"{text}: the client was turned away", failed)
    if conduct.scenario is None and not back:
        return undecided(f"{text}, unless it had taken effect", failed)
    if not conduct.had_time_for(group, failed):
        return undecided(f"{text}, as far as the journal goes", failed)
    asked = [each for each in conduct.journal.dequeues if each.activity == failed.activity and each.sent > freed]
    if not back and asked and all(each.ok for each in asked):
        return undecided(f"{text}; the message did not come back", failed)
    more = ", nor was the message when it came back" if back else ""
    return violated(f"{text}{more}", failed, *(each.delivery for each in back))


@rule(
    "acknowledgment.not-after-success",
    text="What was acknowledged with success is not acknowledged again.",
    source=article(SECTION),
    reading="Only for deliveries that came before the success. Another process of the client, one whose answer was "
    "held back, and a worker that was kept waiting for the file while another one was quicker, may not have seen it.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(42,),
)
def not_after_success(journal: Readings) -> Iterator[Finding]:
    """Each success, and what was sent after it."""
    conduct = journal.conduct
    for group in conduct.messages:
        acks = conduct.acks_of(group)
        success = next((each for each in acks if each.ok and conduct.saw(each)), None)
        if success is None:
            continue
        again = next((each for each in acks if before(success, each) and _of_before(conduct, each, success)), None)
        if again is None:
            yield held("", success)
        elif conduct.may_be_another(success, again):
            yield undecided("again, by a process that may not know", success, again)
        elif (other := conduct.handout_of(again)) is not conduct.handout_of(success) and _held_back(conduct, other):
            yield undecided("again, by a worker that was kept waiting for the file", success, again)
        else:
            yield violated("acknowledged again", success, again)


def _of_before(conduct: Conduct, ack: Ack, success: Ack) -> bool:
    named = conduct.handout_of(ack)
    return named is not None and before(named.delivery, success)


@rule(
    "acknowledgment.as-json",
    text="An acknowledgment says that its body is JSON.",
    source=client(SCHEDULER, "posts acknowledgments as application/json"),
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    reading="Parameters do not matter. A recording in which no request has a content type tells nothing.",
    statements=(37,),
)
def as_json(journal: Readings) -> Iterator[Finding]:
    """Each acknowledgment with a body."""
    told = journal.header.recorded_by == "service"
    told = told or any(each.content_type is not None for each in journal.acks)
    told = told or any(each.content_type is not None for each in journal.enqueues)
    for ack in journal.acks:
        if not ack.digest:
            continue
        if "json" in (ack.content_type or "").partition(";")[0].lower():
            yield held("", ack)
        elif ack.content_type is None and not told:
            yield undecided("the recording has no content type of any request", ack)
        else:
            yield violated(f"its content type is {ack.content_type or 'missing'}", ack)
