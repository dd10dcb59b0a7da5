"""The errands of exports: a desk for each, with what is handed to it, and how much that may send.

What a job that others use as well can be asked without an acknowledgment is an errand of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.wire import Delivery
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Line, Route, Stopped, Until
from popreceipt.tour.errands import scripts
from popreceipt.tour.errands.asking import LEASE, TRIES, asked, line, lines
from popreceipt.tour.errands.desk import MOST_ODD, Desk, Entry, Held, Script, Terms
from popreceipt.tour.errands.identities import EXPORTS
from popreceipt.tour.errands.imports import UNTOLD_RECURRENCE, recurrence, told

MAIN: Final = ("export-package", "export-file")
"""Exports whose messages have files; the others are asked about those without."""

SHORTEST_PACE: Final = timedelta(minutes=1)
LONGEST_PACE: Final = timedelta(minutes=5)

MOST_MESSAGES: Final = 100
"""So many messages at most are taken for all scripts together, however often the job runs."""

MOST_IN_BETWEEN: Final = 400
"""So many others at most are taken while a message is left for hours or days."""

MOST_OF_A_DAY: Final = 120
"""What comes in a day is taken, to see what is in the queue then, where it is not more than so many messages."""

A_FEW: Final = 40
"""So many others may stand before a message that was left for days."""

LOOKS: Final = 7
"""So often at most a first message is looked for where others use the job as well."""

FEW: Final = 4
"""Of so many exports one at least is taken to have no records, where that is asked about."""

GENTLE: Final = 2
"""So many messages are taken where others use the job as well."""

HIDES: Final = "hides the message that it hands out for half an hour"
READS: Final = "marks the message as downloaded"
ENDS: Final = "takes the message out of the queue for good"
STAYS: Final = "nothing; were it taken, it would take the message out of the queue"
NOT_HIDDEN: Final = "nothing; were it not refused, it would hide one message for half an hour"
FROM_OTHERS: Final = f"{HIDES}, also from those who use the job"

EVERY_RULE: Final = (
    "dequeue.answer-members",
    "dequeue.file-error-message",
    "dequeue.blank-last-dequeue",
    "download.location-is-absolute",
    "download.location-scheme",
    "download.answer",
    "download.content-type",
)
"""What one message shows that is dequeued and downloaded."""

AGAIN_RULES: Final = (
    "dequeue.last-dequeue-format",
    "redelivery.not-before-half-an-hour",
    "redelivery.after-half-an-hour",
    "redelivery.says-when-last-dequeued",
    "redelivery.same-payload",
    "redelivery.correlation",
)
"""What a message shows that is delivered again."""

DESK_RULES: Final = (
    *EVERY_RULE,
    *AGAIN_RULES,
    "dequeue.empty-queue",
    "download.bytes-as-uploaded",
    "download.repeatable",
    "download.needs-a-token",
    "download.location-activity",
    "download.extends-lease",
    "download.after-lease",
    "download.after-acknowledgment",
    "acknowledgment.echo-accepted",
    "acknowledgment.ends-redelivery",
    "acknowledgment.refused-changes-nothing",
    "acknowledgment.stale-receipt",
    "acknowledgment.stale-receipt-changes-nothing",
    "acknowledgment.three-members-suffice",
    "acknowledgment.body-needed",
    "acknowledgment.success-answer",
    "acknowledgment.second",
    "acknowledgment.late",
    "acknowledgment.without-download",
    "acknowledgment.member-spelling",
    "acknowledgment.incomplete-body",
    "redelivery.first-delivery-has-no-last-dequeue",
    "redelivery.order",
    "transport.language-prefix",
    "transport.braced-activity-id",
    "transport.bare-activity-id",
    "transport.path-letter-case",
    "throttling.connector",
    "authorization.token-required",
    "authorization.issued-token-accepted",
    "authorization.refusal-changes-nothing",
)

KEPT_RULES: Final = (
    "retention.kept-for-seven-days",
    "retention.gone-after-seven-days",
    "retention.expired-download",
    "retention.expired-dequeue",
)

OTHER_RULES: Final = ("acknowledgment.other-activity", "acknowledgment.other-activity-changes-nothing")

NO_FILE_RULES: Final = (
    "zero-records.no-file-is-said",
    "zero-records.no-file-answer",
    "zero-records.no-file-leaves",
)


def exports(tenant: Tenant) -> list[Errand]:
    """The errands of exports."""
    found = []
    own = [each for each in EXPORTS if tenant.is_exclusive(each)]
    main = [each for each in own if each in MAIN] or own or [MAIN[0]]
    for role in EXPORTS:
        keeps, often = role == main[0], role == main[-1]
        if role in MAIN or role in main:
            found.append(_desk(tenant, role, keeps=keeps, often=often))
        else:
            found.append(_desk_without_files(tenant, role))
        if role in tenant.activities and role not in own:
            found.append(_gentle(role))
    return found


def _desk(tenant: Tenant, role: str, *, keeps: bool, often: bool) -> Errand:
    """The desk of a job that nobody else uses."""
    settings = told(tenant, role)
    other = next((each for each in EXPORTS if each != role and tenant.is_exclusive(each)), None)
    strangers = ("anonymous", *(("unlisted",) if "unlisted" in tenant.clients else ()))
    asks_no_file = role not in MAIN

    def entries() -> list[Entry]:
        daily = keeps and _of_a_day(settings) > 0
        return _entries(elsewhere=other is not None, keeps=keeps, often=often, daily=daily, no_file=asks_no_file)

    terms = _terms(tenant, role, len(entries()), between=_between(settings, keeps=keeps, often=often))
    terms = replace(terms, strangers=strangers, elsewhere=other)
    rules = [*DESK_RULES, *(OTHER_RULES if other is not None else ()), *(KEPT_RULES if keeps else ())]
    rules += ["packages.export-is-a-package"] if _type(settings, role) == "package" else ["download.file-payload"]
    rules += ["redelivery.poison-limit"] if often else []
    rules += NO_FILE_RULES if asks_no_file else ()
    takes = terms.supply + 2 * LEASE
    if often:
        takes = max(takes, scripts.ENOUGH_DELIVERIES * (LEASE + LONGEST_PACE))
    if keeps:
        takes = scripts.RETENTION + 2 * LEASE

    def run(call: Call) -> Route:
        yield from Desk(call, role, terms, entries(), rest=scripts.plain, ending=scripts.ending).run()

    longer = [each for each, is_so in (("for hours", often), ("for seven days", keeps)) if is_so]
    return Errand(
        name=role,
        text="Takes exports, leaves some for one half hour or two"
        + "".join(f", one {each}" for each in longer)
        + ", and acknowledges them well and badly.",
        shows=tuple(rules),
        lines=lines(role, *_desk_lines(role, terms, entries())),
        takes=takes,
        run=run,
        roles=(role,),
        acknowledges=True,
    )


def _type(settings: Mapping[str, Any], role: str) -> str:
    return str(settings.get("type") or ("file" if role == "export-file" else "package"))


def _entries(*, elsewhere: bool, keeps: bool, often: bool, daily: bool, no_file: bool) -> list[Entry]:
    """The scripts of a desk, in the order in which messages are handed to them: those that take longest first."""
    return [
        *((Entry(scripts.no_file, scripts.born, with_file=False),) if no_file else ()),
        Entry(scripts.elder, scripts.born, group=True),
        _kept() if keeps else Entry(scripts.younger, scripts.comes_later),
        Entry(scripts.stale, scripts.born, group=True),
        Entry(scripts.extends, scripts.born, group=True),
        Entry(scripts.second, scripts.born),
        Entry(scripts.refused, scripts.born),
        Entry(scripts.incomplete, scripts.born),
        *((Entry(scripts.elsewhere, scripts.born),) if elsewhere else ()),
        Entry(scripts.late, scripts.among_known),
        Entry(scripts.after_lease, scripts.born),
        Entry(scripts.turned_away, scripts.born),
        *((_kept(), _kept()) if keeps else ()),
        *((Entry(scripts.often, scripts.seen_first, long=True),) if often else ()),
        Entry(scripts.colleague),
        Entry(scripts.without_download, scripts.seen_first),
        Entry(scripts.three_members),
        Entry(scripts.two_members),
        Entry(scripts.lower_case),
        Entry(scripts.one_more),
        Entry(scripts.braced),
        *((Entry(scripts.acknowledged, long=True),) if daily else ()),
    ]


def _kept() -> Entry:
    """A message that is left for days."""
    return Entry(scripts.kept, scripts.comes_just_then, long=True)


def _terms(tenant: Tenant, role: str, wanted: int, *, between: int = 0) -> Terms:
    """How much a desk does that wants so many messages."""
    every = recurrence(told(tenant, role)) or UNTOLD_RECURRENCE
    supply = 2 * LEASE + every * wanted
    return Terms(
        backlog=tenant.backlog,
        messages=tenant.backlog + min(-(-(supply + LEASE) // every), MOST_MESSAGES),
        between=between,
        pace=min(max(every / 3, SHORTEST_PACE), LONGEST_PACE),
        supply=supply,
        first=LEASE + 2 * every,
    )


def _between(settings: Mapping[str, Any], *, keeps: bool, often: bool) -> int:
    """How many other messages are taken while one is left for hours or days.

    Those of a whole week where they are not too many; else a few, since what was left for days stands before them.
    """
    every = recurrence(settings) or UNTOLD_RECURRENCE
    hours = scripts.ENOUGH_DELIVERIES * (LEASE + LONGEST_PACE) if often else timedelta(0)
    days = -(-(scripts.RETENTION + 2 * LEASE) // every) if keeps else 0
    few = (A_FEW + _of_a_day(settings)) * keeps
    return min(-(-hours // every), MOST_IN_BETWEEN) + (days if days <= MOST_IN_BETWEEN else few)


def _of_a_day(settings: Mapping[str, Any]) -> int:
    """How many messages are taken to look at the queue after a day; none where there would be too many."""
    found = -(-scripts.DAY // (recurrence(settings) or UNTOLD_RECURRENCE))
    return found if found <= MOST_OF_A_DAY else 0


def _desk_lines(role: str, terms: Terms, entries: Sequence[Entry]) -> list[Line]:
    """What a desk may send when nothing goes wrong: each message once, those of scripts as often as they come back."""
    plays = [each.play for each in entries]
    again = sum(AGAIN.get(each.play, 0) for each in entries)
    messages = terms.messages + terms.between
    dequeues = (
        messages
        + again
        + 2 * len(entries)
        + -(-terms.supply // terms.pace)
        + MOST_ODD
        + sum(scripts.ENOUGH_DELIVERIES for each in entries if each.long)
    )
    downloads = messages + again + 4
    found = [
        line("dequeue", vocabulary.DEQUEUE, role, dequeues, "messages, new and again, and whether none waits", HIDES),
        line("download", vocabulary.DOWNLOAD, role, downloads, "their files", READS),
        line("redirected", vocabulary.DOWNLOAD, role, downloads, "their files, where a download is redirected", READS),
        line("ack", vocabulary.ACK, role, messages, "with the answer of the dequeue, some of it late", ENDS),
    ]
    if ODD.isdisjoint(plays):
        return found
    other, strangers = terms.elsewhere, len(terms.strangers)
    elsewhere = tried(1) if other is not None else 0
    return [
        *found,
        line("download-refused", vocabulary.DOWNLOAD, role, 1, "a file without a token", f"nothing; else {READS}"),
        line("dequeue-refused", vocabulary.DEQUEUE, role, tried(strangers), "as somebody who may not", NOT_HIDDEN),
        line("ack-odd", vocabulary.ACK, role, tried(len(ODD)), "with other members than a dequeue's answer", ENDS),
        line("ack-incomplete", vocabulary.ACK, role, tried(2), "with less than names a delivery", STAYS),
        line("ack-again", vocabulary.ACK, role, tried(1), "once more after a success", "nothing: the message is gone"),
        line("ack-stale", vocabulary.ACK, role, tried(1), "with the receipt of an earlier delivery", STAYS),
        line("ack-refused", vocabulary.ACK, role, tried(strangers), "as somebody who may not", STAYS),
        line("ack-elsewhere", vocabulary.ACK, other, elsewhere, "on another job than its own", STAYS),
    ]


def tried(needed: int) -> int:
    """So many requests for what scripts try once a message, and again with another one where a try told nothing."""
    return needed * TRIES


AGAIN: Final[Mapping[Callable[[Desk, Held], Script], int]] = {
    scripts.elder: 2,
    scripts.stale: 2,
    scripts.extends: 1,
    scripts.refused: 1,
    scripts.incomplete: 1,
    scripts.elsewhere: 1,
    scripts.late: 1,
    scripts.younger: 1,
    scripts.kept: 4,
    scripts.after_lease: 1,
    scripts.turned_away: 1,
    scripts.no_file: 1,
    scripts.often: scripts.ENOUGH_DELIVERIES,
}
"""How often each script lets its message come back."""

Play = Callable[[Desk, Held], Script]

ODD: Final[frozenset[Play]] = frozenset(
    {scripts.three_members, scripts.two_members, scripts.lower_case, scripts.one_more}
)
"""Scripts that acknowledge with another body than the dequeue's answer."""


def _desk_without_files(tenant: Tenant, role: str) -> Errand:
    """The desk of a job that uploads nothing where an export has no records."""
    terms = _terms(tenant, role, FEW)

    def entries() -> list[Entry]:
        return [Entry(scripts.no_file, scripts.born, with_file=False)]

    def run(call: Call) -> Route:
        yield from Desk(call, role, terms, entries(), rest=scripts.plain, ending=scripts.nothing_more).run()

    return Errand(
        name=role,
        text="Waits for an export without records, and leaves its message for one half hour.",
        shows=(*EVERY_RULE, *NO_FILE_RULES, "dequeue.empty-queue"),
        lines=lines(role, *_desk_lines(role, terms, entries())),
        takes=terms.supply + LEASE,
        run=run,
        roles=(role,),
        acknowledges=True,
    )


def _gentle(role: str) -> Errand:
    """A job that others use as well: a message or two, looked at, left, and met again if nobody else takes them."""
    name = f"{role}-shared"

    def run(call: Call) -> Route:
        activity = call.activity(role)
        taken = 0
        for _ in range(LOOKS):
            for _ in range(GENTLE - taken):
                reply = yield from asked(call, "dequeue", wire.dequeue(activity), fault_tells=False)
                found = wire.delivery(reply)
                if found is None:
                    break
                taken += 1
                yield from _fetched(call, found)
            if taken:
                break
            yield Until(call.moment + LONGEST_PACE, f"an export of {role}")
        if not taken:
            raise Stopped(f"no export came from {role}: let its recurring data job run meanwhile")
        yield Until(call.moment + LEASE + call.margin, f"messages of {role} to be offered again")
        for _ in range(GENTLE):
            reply = yield from asked(call, "dequeue", wire.dequeue(activity), fault_tells=False)
            found = wire.delivery(reply)
            if found is not None:
                yield from _fetched(call, found)

    return Errand(
        name=name,
        text="Takes a message or two of a job that others use as well, and acknowledges nothing.",
        shows=(*EVERY_RULE, *AGAIN_RULES),
        lines=lines(
            name,
            line("dequeue", vocabulary.DEQUEUE, role, LOOKS + 2 * GENTLE, "a message or two, and again", FROM_OTHERS),
            line("download", vocabulary.DOWNLOAD, role, 2 * GENTLE, "their files", READS),
            line("redirected", vocabulary.DOWNLOAD, role, 2 * GENTLE, "their files, where redirected", READS),
        ),
        takes=LOOKS * LONGEST_PACE + LEASE,
        run=run,
        roles=(role,),
    )


def _fetched(call: Call, found: Delivery) -> Route:
    if found.has_file:
        reply = yield from asked(call, "download", wire.download(str(found.location)), fault_tells=False)
        call.follow("redirected", reply)
