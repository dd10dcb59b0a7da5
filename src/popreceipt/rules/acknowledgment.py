"""What an acknowledgment does, what it takes to be accepted, and what a refused one leaves alone."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

import msgspec

from popreceipt import vocabulary
from popreceipt.rules.download import unheard
from popreceipt.rules.exports import Message, asked, authorised, turned_away
from popreceipt.rules.facts import Ack, Dequeue
from popreceipt.rules.imports import gate_or_gateway
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import well_made
from popreceipt.rules.rule import (
    ADVANCE_TIME,
    ASK,
    CLIENT_OBSERVED,
    INFERRED,
    MUST,
    SHOULD,
    article,
    client,
    rule,
)
from popreceipt.rules.waiting import Why
from popreceipt.verdict import Finding, answered, held, undecided, violated

SECTION: Final = "API for acknowledgment"
SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"

RECEIPT: Final = frozenset({vocabulary.CORRELATION_ID, vocabulary.POP_RECEIPT})
THREE: Final = RECEIPT | {vocabulary.DOWNLOAD_LOCATION}

_HEXADECIMAL: Final = re.compile(r"(?<!%)[0-9a-fA-F]")

ATTEMPTS: Final = 2
"""So often the same faultless acknowledgment must fail before a server's fault counts as a refusal."""


class Sent(msgspec.Struct, gc=False):
    """An acknowledgment, and the delivery that it names by CorrelationId and PopReceipt.

    `place` is that delivery's among its message's. `earlier` are the last ones between the two that may have been
    effective, `success` the last of them that was answered so. Older ones had no effect: the message came back.
    `repeated` says that one between the two, however many ago, may have been effective and was not answered by the
    service: how it answers this one may tell of that.
    """

    ack: Ack
    message: Message
    delivery: Dequeue
    place: int
    earlier: tuple[Ack, ...]
    success: Ack | None
    repeated: bool


def named(journal: Readings) -> Iterator[Sent]:
    """Authorised acknowledgments that name a delivery, in order of time for each message."""
    exports = journal.exports
    for message in journal.messages:
        if not message.acks:
            continue
        places = {each.seq: place for place, each in enumerate(message.deliveries)}
        tried: list[Ack] = []
        success = None
        lost = None
        for ack in sorted((*message.acks, *message.loose), key=asked):
            delivery = exports.delivery_of(ack)
            place = places.get(delivery.seq) if delivery is not None else None
            if delivery is not None and place is not None and authorised(ack) and not turned_away(ack):
                earlier = tuple(each for each in tried[-ATTEMPTS:] if not exports.precedes(each, delivery))
                after = success is not None and not exports.precedes(success, delivery)
                repeated = lost is not None and not exports.precedes(lost, delivery)
                yield Sent(ack, message, delivery, place, earlier, success if after else None, repeated)
            if ack.ok or ack.in_doubt:
                tried.append(ack)
            if ack.in_doubt and unheard(ack):
                lost = ack
            if ack.ok:
                success = ack


def prompt(journal: Readings, sent: Sent) -> bool:
    """Whether it was sent for its message's last delivery, on the same job, and surely over within the half hour."""
    over = sent.delivery.sent + journal.lease - journal.exports.precision
    return (
        sent.ack.activity == sent.message.activity
        and sent.delivery.kind == "message"
        and sent.ack.answered < over
        and journal.exports.precedes(sent.delivery, sent.ack)
        and not _delivered_meanwhile(journal, sent)
        and not _old(journal, sent)
        and journal.undisturbed(sent.message.activity, sent.delivery, sent.ack.answered, sent.ack.seq)
    )


def _delivered_meanwhile(journal: Readings, sent: Sent) -> bool:
    """Whether the message may have been delivered again before the acknowledgment was answered."""
    if sent.place + 1 >= len(sent.message.deliveries):
        return False
    return not journal.exports.precedes(sent.ack, sent.message.deliveries[sent.place + 1])


def _old(journal: Readings, sent: Sent) -> bool:
    """Whether the message's file may have expired, as far as its upload is known."""
    since, _ = journal.waiting.uploaded(sent.message)
    return since is not None and sent.ack.answered >= since + journal.retention - journal.exports.precision


def _of_unknown_age(journal: Readings, sent: Sent) -> bool:
    """Whether nothing tells how old the message is: it may have expired, or been cleaned up by somebody else."""
    exports, message = journal.exports, sent.message
    if not exports.blind(message.activity):
        return False
    return not exports.known(message.activity) or journal.waiting.uploaded(message)[0] is None


def fetched(journal: Readings, sent: Sent) -> bool:
    """Whether the delivery's file had been downloaded before."""
    return any(
        each.digest is not None and journal.exports.precedes(sent.delivery, each)
        for each in sent.message.downloads
        if journal.exports.precedes(each, sent.ack)
    )


def as_json(ack: Ack) -> bool:
    """Announced as JSON."""
    return (ack.content_type or "").partition(";")[0].strip().lower() == "application/json"


def word(ack: Ack) -> str | None:
    """How the service answered it, as ASK rules say it: every success is 200."""
    return None if unheard(ack) else "200" if ack.ok else str(ack.status)


@rule(
    "acknowledgment.echo-accepted",
    text="An acknowledgment whose body is the answer of the dequeue is accepted.",
    source=article(SECTION),
    reading="Byte for byte the same body, as JSON, within the half hour, after the file was downloaded. A fault of the "
    "server, not of a gateway before it, counts as a refusal when it happens twice and the message comes back.",
    level=MUST,
    statements=(37, 38),
)
def echo_accepted(journal: Readings) -> Iterator[Finding]:
    """The first acknowledgments of each prompt delivery."""
    spellings = {_spelling(each) for each in journal.acks if each.ok}
    for sent in named(journal):
        ack = sent.ack
        if ack.digest != sent.delivery.digest or not as_json(ack) or not prompt(journal, sent) or not well_made(ack):
            continue
        if ack.ok:
            yield held("accepted", sent.delivery, ack)
        elif spellings and _spelling(ack) not in spellings:
            # That the path is not understood is for the rules of transport to say.
            continue
        elif sent.success is not None or ack.status is None or not fetched(journal, sent):
            continue
        elif not ack.in_doubt:
            if not sent.earlier and _of_unknown_age(journal, sent):
                yield undecided(f"refused with {ack.status}, unless the message had just expired", sent.delivery, ack)
            elif not sent.earlier:
                yield violated(f"the body of the dequeue's answer is refused with {ack.status}", sent.delivery, ack)
        elif _failed_for_good(journal, sent):
            yield violated(f"answered with {ack.status} again, and the message came back", sent.earlier[-1], ack)
        elif unheard(ack) and (spellings or _tried_again(sent)):
            # A gateway's word says nothing of the service, which was heard elsewhere.
            continue
        elif not sent.repeated and not _accepted_after(sent):
            # After a lost answer it may be the second that counts, and how that is answered is open.
            yield undecided(f"no acceptance: {ack.status}", sent.delivery, ack)


def _tried_again(sent: Sent) -> bool:
    """Whether the service answered a later one with the same receipt: then one that was lost tells nothing."""
    return any(
        each.receipt == sent.ack.receipt and not unheard(each) and asked(each) > asked(sent.ack)
        for each in sent.message.acks
    )


def _accepted_after(sent: Sent) -> bool:
    """Whether the same was accepted when it was tried again: then the failure was an accident."""
    return any(
        each.ok
        and each.receipt == sent.ack.receipt
        and each.digest == sent.ack.digest
        and asked(each) > asked(sent.ack)
        for each in sent.message.acks
    )


def _spelling(ack: Ack) -> str:
    """How an acknowledgment's path is written, whatever activity it names."""
    path, _, activity = ack.path.rpartition("/")
    return f"{path}/{_HEXADECIMAL.sub('0', activity)}"


def _failed_for_good(journal: Readings, sent: Sent) -> bool:
    """Whether the same was answered with a fault before, and neither was effective: the message came back."""
    before = [each for each in sent.earlier if each.receipt == sent.ack.receipt and each.digest == sent.ack.digest]
    if not before or sent.place + 1 >= len(sent.message.deliveries):
        return False
    if any(each.status is None or gate_or_gateway(each.status) for each in (before[-1], sent.ack)):
        return False
    return sent.message.certain and journal.exports.precedes(before[-1], sent.ack)


@rule(
    "acknowledgment.ends-redelivery",
    text="A message that was acknowledged successfully is not delivered again.",
    source=article(SECTION),
    reading="With the receipt of its last delivery, within the half hour. A success for a later acknowledgment, or for "
    "one with a replaced receipt, may mean nothing.",
    level=MUST,
    statements=(35, 39, 42),
)
def ends_redelivery(journal: Readings) -> Iterator[Finding]:
    """What the first dequeues after a successful acknowledgment gave."""
    exports = journal.exports
    for sent in named(journal):
        ack, message = sent.ack, sent.message
        if not ack.ok or sent.success is not None or not prompt(journal, sent):
            continue
        following = message.deliveries[sent.place + 1] if sent.place + 1 < len(message.deliveries) else None
        if following is not None:
            if message.certain:
                yield violated("delivered again after its acknowledgment had succeeded", sent.delivery, ack, following)
            else:
                yield undecided("delivered again, if it is the same message", sent.delivery, ack, following)
            continue
        empties = journal.waiting.empties.get(message.activity, [])
        over = exports.touches(message)[sent.place] + journal.lease + exports.precision
        place = bisect_right(empties, over, key=lambda each: each.sent)
        if place < len(empties) and message.certain:
            yield held("not offered again", ack, empties[place])


@rule(
    "acknowledgment.refused-changes-nothing",
    text="A message whose acknowledgment was refused comes back when its half hour is over.",
    source=article(SECTION),
    reading="Only a successful acknowledgment ends redelivery. A refusal is a status from 300 to 499; a fault of the "
    "server may have come after the effect. Undecided where messages without any acknowledgment do not come back "
    "either.",
    level=MUST,
    statements=(39, 43),
    needs=(ADVANCE_TIME,),
)
def refused_changes_nothing(journal: Readings) -> Iterator[Finding]:
    """Redeliveries after a refused acknowledgment, and empty answers instead."""
    yield from _changes_nothing(journal, Why.REFUSED)


@rule(
    "acknowledgment.stale-receipt-changes-nothing",
    text="An acknowledgment with a receipt that a later delivery replaced leaves the message in the queue.",
    source=client(SCHEDULER, "issue 124: late acknowledgments are answered with 500"),
    reading="Judged by what becomes of the message, whatever the answer.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(39,),
    needs=(ADVANCE_TIME,),
)
def stale_receipt_changes_nothing(journal: Readings) -> Iterator[Finding]:
    """Redeliveries after an acknowledgment with a replaced receipt, and empty answers instead."""
    yield from _changes_nothing(journal, Why.STALE)


@rule(
    "acknowledgment.other-activity-changes-nothing",
    text="An acknowledgment on another recurring data job than the dequeue's leaves the message in its queue.",
    source=article(SECTION),
    reading="The activity ID in the path names the job; the article does not say what becomes of a stranger's receipt.",
    level=SHOULD,
    provenance=INFERRED,
    statements=(37, 39),
    needs=(ADVANCE_TIME,),
)
def other_activity_changes_nothing(journal: Readings) -> Iterator[Finding]:
    """Redeliveries after an acknowledgment on another job, and empty answers instead."""
    yield from _changes_nothing(journal, Why.ELSEWHERE)


def _changes_nothing(journal: Readings, why: Why) -> Iterator[Finding]:
    waiting = journal.waiting
    for message in journal.messages:
        if not message.certain or not (message.acks or message.loose):
            continue
        for delivery, again, acks in waiting.survived(message, why):
            yield held("came back all the same", delivery, acks[0], again)
    for miss in waiting.misses.get(why, ()):
        wait = miss.wait
        if wait.after is None:
            continue
        cause = waiting.refused_before(miss)
        if cause is not None and waiting.back_after(miss, cause) is not None:
            text = "nothing offered after the half hour, but a half hour after a refused dequeue"
            yield undecided(text, wait.after, *wait.acks, cause, miss.empty)
            continue
        told = ", ".join(str(each.status or each.failure) for each in wait.acks)
        if waiting.misses.get(Why.AGAIN):
            text = "nothing offered after the half hour, as happens to messages that nobody acknowledged"
            yield undecided(text, wait.after, *wait.acks, miss.empty)
        elif journal.exports.known(miss.empty.activity or ""):
            text = f"nothing offered after the half hour, though the acknowledgment was no good ({told})"
            yield violated(text, wait.after, *wait.acks, miss.empty)
        else:
            yield undecided("nothing offered, unless somebody else took it", wait.after, *wait.acks, miss.empty)


@rule(
    "acknowledgment.three-members-suffice",
    text="CorrelationId, PopReceipt and DownloadLocation are enough for an acknowledgment.",
    source=client(SCHEDULER, "acknowledges with these three members"),
    reading="Within the half hour, after the file was downloaded.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(38,),
)
def three_members_suffice(journal: Readings) -> Iterator[Finding]:
    """Acknowledgments with just these members, the first of their message."""
    for sent in _fresh(journal):
        if frozenset(sent.ack.members) != THREE:
            continue
        if sent.ack.ok:
            yield held("accepted", sent.delivery, sent.ack)
        elif not sent.ack.in_doubt:
            yield violated(f"refused with {sent.ack.status}", sent.delivery, sent.ack)
        elif not (unheard(sent.ack) and _tried_again(sent)):
            yield undecided(f"no acceptance: {sent.ack.failure or sent.ack.status}", sent.delivery, sent.ack)


def _fresh(journal: Readings) -> Iterator[Sent]:
    """Acknowledgments in JSON that nothing but their body could get refused."""
    for sent in named(journal):
        if not sent.earlier and as_json(sent.ack) and prompt(journal, sent) and fetched(journal, sent):
            yield sent


@rule(
    "acknowledgment.body-needed",
    text="An acknowledgment needs CorrelationId and PopReceipt only, or the whole answer of the dequeue.",
    source=article(SECTION),
    reading="The article asks for the whole; production clients send less.",
    level=ASK,
    statements=(38,),
    answers=("receipt", "whole"),
)
def body_needed(journal: Readings) -> Iterator[Finding]:
    """Acknowledgments that leave members out, the first of their message."""
    short: list[Sent] = []
    three = None
    for sent in _fresh(journal):
        members = frozenset(sent.ack.members)
        if unheard(sent.ack) or not members < frozenset(sent.delivery.members):
            continue
        if members == RECEIPT:
            short.append(sent)
        elif members == THREE:
            three = sent
    for sent in short:
        if sent.ack.ok:
            yield answered("receipt", sent.ack)
        else:
            yield answered("DownloadLocation too" if three is not None and three.ack.ok else "whole", sent.ack)
    if not short and three is not None and not three.ack.ok:
        yield answered("whole", three.ack)


@rule(
    "acknowledgment.success-answer",
    text="A successful acknowledgment is answered with 200 and nothing, with 200 and some JSON, or with 204.",
    source=client("d365collaborative/d365fo.integrations", "Invoke-DmfAcknowledge: insists on 200"),
    level=ASK,
    provenance=CLIENT_OBSERVED,
    answers=("200-empty", "200-json", "204"),
)
def success_answer(journal: Readings) -> Iterator[Finding]:
    """Each first success for a prompt delivery."""
    for sent in named(journal):
        if not sent.ack.ok or sent.earlier or not prompt(journal, sent):
            continue
        told = str(sent.ack.status)
        if sent.ack.status == 200:
            json = "json" in (sent.ack.answer_type or "").lower()
            told = "200-empty" if not sent.ack.answer_length else "200-json" if json else "200-text"
        yield answered(told, sent.ack)


@rule(
    "acknowledgment.second",
    text="A second acknowledgment of the same delivery fails, or is taken as a success.",
    source=article(SECTION),
    reading="The article recommends to retry a failed acknowledgment, and is silent on one that had succeeded.",
    level=ASK,
    provenance=INFERRED,
    answers=("500", "200", "404"),
)
def second(journal: Readings) -> Iterator[Finding]:
    """The same receipt again, after a success, within the half hour."""
    for sent in named(journal):
        told = word(sent.ack)
        first = sent.success
        if told is None or first is None or not prompt(journal, sent) or not as_json(sent.ack):
            continue
        same = first.receipt == sent.ack.receipt and first.digest == sent.ack.digest
        if same and journal.exports.precedes(first, sent.ack):
            yield answered(told, first, sent.ack)


@rule(
    "acknowledgment.late",
    text="After the half hour, while nobody has dequeued the message again, an acknowledgment still succeeds, or not.",
    source=article(SECTION),
    reading="The article speaks of redelivery only.",
    level=ASK,
    provenance=INFERRED,
    needs=(ADVANCE_TIME,),
    answers=("200", "500"),
)
def late(journal: Readings) -> Iterator[Finding]:
    """The first acknowledgment of a delivery whose half hour was surely over."""
    exports = journal.exports
    for sent in named(journal):
        told = word(sent.ack)
        activity = sent.message.activity
        if told is None or sent.earlier or sent.ack.activity != activity or sent.delivery.kind != "message":
            continue
        over = exports.touches(sent.message)[sent.place] + journal.lease + exports.precision
        if sent.ack.sent <= over or _delivered_meanwhile(journal, sent) or not fetched(journal, sent):
            continue
        if exports.doubts_between(activity, sent.delivery.answered, sent.ack.answered) or not as_json(sent.ack):
            continue
        # A delivery that nobody can tell may have been of this message: then its receipt was replaced.
        if journal.waiting.unknown_between(activity, sent.delivery.answered, sent.ack.answered):
            continue
        if not _old(journal, sent) and journal.undisturbed(activity, sent.delivery, sent.ack.answered, sent.ack.seq):
            yield answered(told, sent.delivery, sent.ack)


@rule(
    "acknowledgment.stale-receipt",
    text="A receipt that a later dequeue has replaced is answered with a fault of the server, or otherwise.",
    source=client(SCHEDULER, "issue 124: late acknowledgments are answered with 500"),
    level=ASK,
    provenance=CLIENT_OBSERVED,
    needs=(ADVANCE_TIME,),
    answers=("500", "404", "410", "409", "200"),
)
def stale_receipt(journal: Readings) -> Iterator[Finding]:
    """An acknowledgment of a delivery after the next one of the same message."""
    for sent in named(journal):
        told = word(sent.ack)
        if told is None or sent.earlier or sent.ack.activity != sent.message.activity or not sent.message.certain:
            continue
        if sent.place + 1 >= len(sent.message.deliveries) or not as_json(sent.ack):
            continue
        following = sent.message.deliveries[sent.place + 1]
        if following.receipt != sent.delivery.receipt and journal.exports.precedes(following, sent.ack):
            yield answered(told, sent.delivery, following, sent.ack)


@rule(
    "acknowledgment.without-download",
    text="A message can be acknowledged without a download, or not.",
    source=article(SECTION),
    reading="The article tells the usual order, dequeue, download, acknowledge, and forbids no other.",
    level=ASK,
    provenance=INFERRED,
    answers=("200", "500"),
)
def without_download(journal: Readings) -> Iterator[Finding]:
    """The whole answer sent back, and nobody had asked for the file."""
    exports = journal.exports
    for sent in named(journal):
        told = word(sent.ack)
        if told is None or sent.earlier or sent.ack.digest != sent.delivery.digest or not as_json(sent.ack):
            continue
        wanted = any(not exports.precedes(sent.ack, each) for each in sent.message.downloads)
        if not wanted and prompt(journal, sent):
            yield answered(told, sent.delivery, sent.ack)


@rule(
    "acknowledgment.other-activity",
    text="An acknowledgment on another recurring data job is not found, or a fault.",
    source=article(SECTION),
    reading="The article is silent on it.",
    level=ASK,
    provenance=INFERRED,
    answers=("404", "500"),
)
def other_activity(journal: Readings) -> Iterator[Finding]:
    """A known delivery, acknowledged on another export of this target."""
    for sent in named(journal):
        told = word(sent.ack)
        activity = sent.ack.activity
        if told is None or activity is None or activity == sent.message.activity or sent.earlier:
            continue
        if journal.setting(activity, "direction", sent.ack.answered) == "export" and as_json(sent.ack):
            yield answered(told, sent.delivery, sent.ack)


@rule(
    "acknowledgment.member-spelling",
    text="Members in another letter case, and further members, are tolerated, or refused.",
    source=article(SECTION),
    reading="The article asks for the body as it came.",
    level=ASK,
    provenance=INFERRED,
    answers=("tolerant", "400"),
)
def member_spelling(journal: Readings) -> Iterator[Finding]:
    """Acknowledgments that have every member of the dequeue's answer, but not just these in this spelling."""
    for sent in _fresh(journal):
        given = frozenset(sent.ack.members)
        told = frozenset(sent.delivery.members)
        lower = {each.lower() for each in given}
        if given == told or not {each.lower() for each in told} <= lower or unheard(sent.ack):
            continue
        yield answered("tolerant" if sent.ack.ok else str(sent.ack.status), sent.delivery, sent.ack)


@rule(
    "acknowledgment.incomplete-body",
    text="A body that is no JSON, or lacks CorrelationId or PopReceipt, is a bad request, or a fault.",
    source=article(SECTION),
    reading="The article asks for the whole answer of the dequeue.",
    level=ASK,
    provenance=INFERRED,
    answers=("400", "500"),
)
def incomplete_body(journal: Readings) -> Iterator[Finding]:
    """Such bodies, sent by the authorised caller to an export that the journal knows."""
    for ack in journal.acks:
        told = word(ack)
        if told is None or ack.method != "POST" or not authorised(ack) or turned_away(ack) or ack.activity is None:
            continue
        if (ack.correlation is not None and ack.receipt is not None) or not as_json(ack):
            continue
        if journal.setting(ack.activity, "direction", ack.answered) == "export":
            yield answered(told, ack)
