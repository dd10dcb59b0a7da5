"""How a client takes messages: whether it fetches what it took, and what empty answers and bad messages do to it."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from itertools import islice, pairwise
from statistics import median
from typing import Final
from urllib.parse import urlsplit

from popreceipt.rules.conduct import MANY, TIGHT, Conduct, Handout, asked_for, before, seconds
from popreceipt.rules.facts import Call, Dequeue, Run
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, INFERRED, MUST, SHOULD, article, client, rule
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for export (dequeue)"
SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"
POWERSHELL: Final = "d365collaborative/d365fo.integrations"

FEW: Final = 4
"""Deliveries beside a late one that may be out at once without being too many: a few workers have one each."""

_TURNED_AWAY: Final = (401, 403)

PAUSE: Final = 1.0
"""Real seconds of rest after a message from which on a client may be working to a schedule."""


@rule(
    "dequeue.message-is-fetched",
    text="A message that was handed out with a file is downloaded, at once or when it comes back.",
    source=article(SECTION),
    reading="An attempt counts. The message must have come back, and the client must have had a lease and a half, and "
    "half of one after the first return, without being kept busy by what it took before or having leased many others "
    "(that is for another rule to say). A location on another host, where nobody looked, is undecided.",
    level=MUST,
    binds=CLIENT,
    statements=(33, 35),
)
def message_is_fetched(journal: Readings) -> Iterator[Finding]:
    """Each message with a file."""
    conduct = journal.conduct
    for group in conduct.messages:
        with_file = [each for each in group if each.has_file]
        if not with_file:
            continue
        attempts = conduct.attempts(group)
        if attempts:
            yield held("", with_file[0].delivery, attempts[0])
        else:
            yield _not_fetched(conduct, group, with_file[-1])


def _not_fetched(conduct: Conduct, group: list[Handout], last: Handout) -> Finding:
    delivery = last.delivery
    if (unseen := conduct.fetched_unseen(group)) is not None:
        return undecided(f"no download seen, but {unseen}", delivery)
    if any(asked_for(each, delivery) for each in conduct.journal.connections):
        return undecided("asked for, but not at the connector", delivery)
    if _at_another_port(conduct, delivery):
        return undecided("no download seen, but its location names another port, where nobody looked", delivery)
    acks = conduct.acks_of(group)
    if acks:
        return undecided("acknowledged and never asked for: that is for another rule to say", delivery, acks[0])
    if conduct.hindered(delivery):
        return undecided("the client was turned away afterwards", delivery)
    if not conduct.had_time_for(group, group[0].delivery):
        return undecided("the client was there for too short a time", delivery)
    if _busy(conduct, last):
        return undecided("the client was still busy with what it had taken before", delivery)
    if len(group) == 1:
        return undecided("not asked for, and it has not come back yet", delivery)
    return violated(f"handed out {len(group)} times and never asked for", delivery)


def _at_another_port(conduct: Conduct, delivery: Dequeue) -> bool:
    """Whether a location names none of the ports at which an instrument listens: who keeps to it is not seen.

    Unless every connection goes by a proxy, which sees them all.
    """
    if conduct.scenario is None or delivery.location_root is None:
        return False
    if any(each.kind == "connect" for each in conduct.journal.connections):
        return False
    asked = urlsplit(delivery.location_root).netloc.lower()
    return all(urlsplit(each).netloc.lower() != asked for each in conduct.roots)


def _busy(conduct: Conduct, one: Handout) -> bool:
    """Whether files of earlier deliveries were still being fetched a lease later, or many waited to be."""
    earlier = [each for each in conduct.handouts if each.delivery.seq < one.delivery.seq]
    waited = (each for each in reversed(earlier) if _left_alone(each, one.delivery))
    return len(list(islice(waited, FEW + 1))) > FEW or any(
        each.sent - one.delivery.answered >= conduct.lease for other in earlier for each in other.downloads
    )


def _left_alone(one: Handout, until: Dequeue) -> bool:
    """Whether nothing had been done with a delivery's file when another one came."""
    return one.has_file and not any(each.seq < until.seq for each in (*one.downloads, *one.acks))


@rule(
    "dequeue.empty-answer-understood",
    text="After an empty answer the client goes on: it neither crashes nor downloads nor acknowledges anything.",
    source=client("D365FODataJob", "reads the body of every answer as JSON"),
    reading="204, or 200 without a body. A crash is an exit by itself with another status than 0 right after it, "
    "unless something else had gone wrong before that the status may report, or files lay in the outbox over which "
    "it may have stumbled.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(33,),
)
def empty_answer_understood(journal: Readings) -> Iterator[Finding]:
    """Each empty answer, and what the client did next."""
    conduct = journal.conduct
    strays = [
        each
        for each in journal.acks
        if conduct.handout_of(each) is None and each.receipt is None and each.correlation is None
    ]
    for place, each in enumerate(journal.dequeues):
        if each.kind != "empty" or not conduct.saw(each):
            continue
        following = journal.dequeues[place + 1] if place + 1 < len(journal.dequeues) else None
        stray = next(
            (ack for ack in strays if ack.seq > each.seq and (following is None or ack.seq < following.seq)), None
        )
        life = conduct.life_at(each)
        if stray is not None and not _out_at(conduct, each):
            yield violated("an acknowledgment, and there was nothing to acknowledge", each, stray)
        elif not conduct.is_last(each):
            yield held("", each)
        elif life is not None and life.ended is not None:
            if not conduct.crashed(life):
                yield held("ended in peace" if life.ended_by != "us" else "", each)
            elif conduct.troubled(each):
                yield undecided(f"ended with {life.status}, perhaps for what went wrong before", each)
            elif journal.submissions.outbox:
                yield undecided(f"ended with {life.status}, perhaps over the files of its outbox", each)
            else:
                yield violated(f"ended with {life.status} right after it", each)


def _out_at(conduct: Conduct, call: Call) -> bool:
    """Whether the client had something that it had not acknowledged when a call was answered."""
    return any(
        before(one.delivery, call) and not any(before(ack, call) and ack.ok for ack in one.acks)
        for one in conduct.handouts
    )


@rule(
    "dequeue.empty-queue-not-hammered",
    text="After an empty answer the client waits before it asks again.",
    source=article("Create a recurring data job"),
    reading=f"A loop is {MANY} empty answers or more after which half of the next dequeues came within {TIGHT} seconds "
    "of real time. Several workers that wait, each for itself, are undecided.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
)
def empty_queue_not_hammered(journal: Readings) -> Iterator[Finding]:
    """The pauses after empty answers, for each job."""
    conduct = journal.conduct
    latest: dict[str | None, Dequeue] = {}
    pauses: dict[str | None, list[tuple[float, Dequeue, Dequeue]]] = {}
    for each in journal.dequeues:
        earlier = latest.get(each.activity)
        latest[each.activity] = each
        if earlier is None or earlier.kind != "empty":
            continue
        gap = conduct.gap(earlier, each)
        if gap is not None:
            pauses.setdefault(each.activity, []).append((gap, earlier, each))
    for found in pauses.values():
        gaps = [gap for gap, _, _ in found]
        shortest = min(found, key=lambda each: each[0])
        loop = conduct.is_loop(gaps)
        if loop is not False:
            text = f"{len(gaps)} empty answers, half of them with the next dequeue within {seconds(median(gaps))}"
            yield (violated if loop else undecided)(text, *shortest[1:])
        else:
            yield held(f"{seconds(median(gaps))} between one and the next", *shortest[1:])


@rule(
    "dequeue.queue-is-drained",
    text="While messages wait the client goes on taking them, rather than one at each start or at each tick.",
    source=client(SCHEDULER, "dequeues until the answer is empty"),
    reading="Broken where the client ended with 0 after one message, or rested after a message as long as after an "
    "empty answer and did not come to an end, while others waited that nobody had been handed. One that takes "
    "several and then rests is undecided, and so is one that met with something bad.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
)
def queue_is_drained(journal: Readings) -> Iterator[Finding]:
    """Each process that ended by itself, and the rests of those that did not."""
    conduct = journal.conduct
    for life in journal.lives:
        asked = [each for each in conduct.calls_in(life) if isinstance(each, Dequeue)]
        if asked and life.ended is not None and life.ended_by != "us" and life.status == 0:
            finding = _ended_early(conduct, life, asked)
        else:
            finding = _rested(conduct, asked)
        if finding is not None:
            yield finding
    if not journal.lives:
        for activity in dict.fromkeys(each.activity for each in journal.dequeues):
            finding = _rested(conduct, [each for each in journal.dequeues if each.activity == activity])
            if finding is not None:
                yield finding


def _ended_early(conduct: Conduct, life: Run, asked: list[Dequeue]) -> Finding | None:
    last = asked[-1]
    if last.kind == "empty":
        return held("until the answer was empty", last)
    if not last.delivered:
        return None
    taken = [each for each in asked if each.delivered]
    waiting = conduct.waiting(last.activity, conduct.calls_in(life)[-1])
    if not waiting:
        return None
    bad = last.kind == "no-file" or any(not each.ok for each in conduct.calls_in(life))
    if bad or len(taken) > 1:
        return undecided(f"ended after {len(taken)} of them while {waiting} waited", last)
    return violated(f"ended after one message while {waiting} waited", last)


def _rested(conduct: Conduct, asked: list[Dequeue]) -> Finding | None:
    """What the pauses of a client that lives on tell: from its last call for a message until the next dequeue."""
    calls = {each.seq: place for place, each in enumerate(conduct.journal.calls)}
    after_message: list[tuple[float, Dequeue, Dequeue]] = []
    after_empty: list[float] = []
    for one, following in pairwise(asked):
        previous = conduct.journal.calls[calls[following.seq] - 1] if calls[following.seq] else one
        last: Call = max(one, previous, key=lambda each: (each.answered, each.seq))
        gap = conduct.gap(last, following)
        if gap is None or one.activity != following.activity or not last.ok or not conduct.saw(last):
            continue
        if one.kind == "empty":
            after_empty.append(gap)
        elif one.kind == "message" and conduct.saw(one) and following.delivered:
            after_message.append((gap, one, following))
    if not after_message:
        return None
    middle = median(gap for gap, _, _ in after_message)
    longest = max(after_message, key=lambda each: each[0])
    if middle < PAUSE:
        return held("one after the other", *longest[1:])
    waited = sum(following.last_dequeue is None for _, _, following in after_message)
    left = conduct.left_waiting(asked[-1].activity)
    as_long = not after_empty or middle >= median(after_empty) / 2
    if waited > 1 and left and as_long and asked[-1].delivered:
        return violated(f"{seconds(middle)} of rest after each message, and {left} were left", *longest[1:])
    if conduct.scenario is None:
        return None
    return undecided(f"{seconds(middle)} of rest after each message", *longest[1:])


@rule(
    "dequeue.goes-on-after-a-bad-one",
    text="One message that fails does not keep the client from taking the others.",
    source=client(SCHEDULER, "issue 71: a message without a file ends the whole run"),
    reading="Without a file, or with a file that did not come. The client goes on in the same process or in the next. "
    "One that ends with another status than 0 over a fault that may pass is undecided here.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(36,),
)
def goes_on_after_a_bad_one(journal: Readings) -> Iterator[Finding]:
    """Each message that failed, where there were others."""
    conduct = journal.conduct
    work = [
        (call, each, group) for group in conduct.messages for each in group for call in (*each.downloads, *each.acks)
    ]
    work.sort(key=lambda each: each[0].seq, reverse=True)
    for group in conduct.messages:
        failing = _failing(conduct, group)
        if failing is None:
            continue
        one, sign, passing = failing
        later = _gone_on(work, group, one, sign)
        if later is not None:
            yield held("", one.delivery, later)
            continue
        left = [each for each in conduct.messages if each is not group and _same_job(each, group) and _untouched(each)]
        waiting = conduct.left_waiting(one.delivery.activity)
        if not left and not waiting:
            continue
        life = conduct.life_at(sign)
        text = f"{len(left) + waiting} others were left"
        if conduct.crashed(life) and (passing or _over_an_empty_answer(conduct, life)):
            status = life.status if life is not None else None
            yield undecided(f"{text}: ended with {status}, perhaps over something else", sign)
        elif conduct.crashed(life) or (conduct.had_time(sign) and not conduct.hindered(sign)):
            yield violated(text, one.delivery, *([sign] if sign is not one.delivery else []))
        else:
            yield undecided(f"{text} when the journal ended", one.delivery)


def _gone_on(
    work: list[tuple[Call, Handout, list[Handout]]], group: list[Handout], one: Handout, sign: Call
) -> Call | None:
    """A call for another message of the job after the sign that one has failed, the last one.

    Whoever takes the whole queue first comes to a message without a file only after what was taken before it.
    """
    for call, other, its_group in work:
        if call.seq <= sign.seq:
            return None
        after = sign is not one.delivery or other.delivery.seq > sign.seq
        if after and its_group is not group and _same_job(its_group, group):
            return call
    return None


def _untouched(group: list[Handout]) -> bool:
    return group[0].has_file and not any(each.downloads or each.acks for each in group)


def _over_an_empty_answer(conduct: Conduct, life: Run | None) -> bool:
    """Whether the last that a process was told is that nothing waits."""
    calls = conduct.calls_in(life) if life is not None else []
    return bool(calls) and isinstance(calls[-1], Dequeue) and calls[-1].kind == "empty"


def _same_job(one: list[Handout], other: list[Handout]) -> bool:
    return one[0].delivery.activity == other[0].delivery.activity


def _failing(conduct: Conduct, group: list[Handout]) -> tuple[Handout, Call, bool] | None:
    """The delivery of a message that first failed, the call that told, and whether the fault may pass."""
    for one in group:
        if not one.has_file:
            return one, one.delivery, False
        for each in one.downloads:
            if each.status is None or (each.status >= 400 and each.status not in _TURNED_AWAY):
                return one, each, not conduct.gone(each)
    return None


@rule(
    "dequeue.leases-kept-few",
    text="No more is leased at once than is finished within the lease.",
    source=client(SCHEDULER, "issue 124: 1,830 messages dequeued first, and every acknowledgment came too late"),
    reading=f"Broken where an acknowledgment came after the lease's end, or the message came back first, while more "
    f"than {FEW} others were out with the client and it was at work on those; with fewer undecided. What was made "
    "to go wrong in between excuses it.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
)
def leases_kept_few(journal: Readings) -> Iterator[Finding]:
    """Each delivery that was not finished in time, or that all were."""
    conduct = journal.conduct
    for activity in dict.fromkeys(each.delivery.activity for each in conduct.handouts):
        yield from _leases(conduct, [each for each in conduct.handouts if each.delivery.activity == activity])


def _leases(conduct: Conduct, handouts: list[Handout]) -> Iterator[Finding]:
    in_time: tuple[Handout, Call] | None = None
    late = False
    starts = [each.delivery.sent for each in handouts]
    for one in handouts:
        ack = one.acks[0] if one.acks else None
        if ack is not None and ack.sent <= one.until:
            in_time = (one, ack)
            continue
        group = conduct.message_of(one)
        back = next((each.delivery for each in group if each.delivery.seq > one.delivery.seq), None)
        end: Call | None = ack if ack is not None else back
        if end is None or not conduct.acks_of(group) or any(not each.ok for each in one.downloads):
            continue
        if any(one.delivery.seq <= each <= end.seq for each in conduct.struck):
            continue
        out = max(_out(handouts, starts, at, one) for at in (one.delivery.sent, one.until))
        if not out or not _worked_on_others(handouts, one, end):
            continue
        late = True
        what = "acknowledged after its lease" if ack is not None else "came back before it was acknowledged"
        text = f"{what}, with {out} others out at once"
        yield (violated if out > FEW else undecided)(text, one.delivery, end)
    if in_time is not None and not late:
        yield held("", in_time[0].delivery, in_time[1])


def _out(handouts: list[Handout], starts: list[datetime], at: datetime, besides: Handout) -> int:
    """How many other deliveries were leased and not acknowledged at an instant."""
    return sum(
        each is not besides and each.until > at and not (each.acks and each.acks[0].sent < at)
        for each in handouts[: bisect_right(starts, at)]
    )


def _worked_on_others(handouts: list[Handout], one: Handout, end: Call) -> bool:
    """Whether the client fetched or acknowledged something else between a delivery and what came of it."""
    return any(
        one.delivery.seq < call.seq < end.seq
        for each in handouts
        if each is not one
        for call in (*each.downloads, *each.acks)
    )
