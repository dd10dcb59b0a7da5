"""The errands of exports: a desk for each, with what is handed to it, and how much that may send.

What a job that others use as well can be asked without an acknowledgment is an errand of its own.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Line, Route, Until
from popreceipt.tour.errands import scripts
from popreceipt.tour.errands.asking import LEASE, TRIES, asked, line, lines
from popreceipt.tour.errands.desk import MOST_ODD, Desk, Entry, Terms
from popreceipt.tour.errands.identities import EXPORTS
from popreceipt.tour.errands.imports import UNTOLD_RECURRENCE, recurrence, told

MAIN: Final = ("export-package", "export-file")
"""Exports whose messages have files; the others are asked about those without."""

SHORTEST_PACE: Final = timedelta(minutes=1)
LONGEST_PACE: Final = timedelta(minutes=5)

MOST_MESSAGES: Final = 100
"""So many messages at most are taken for all scripts together, however often the job runs."""

MOST_IN_BETWEEN: Final = 400
"""So many others at most are taken while a message is waited for over hours or days."""

GENTLE: Final = 2
"""So many messages are taken where others use the job as well."""

HIDES: Final = "hides the message that it hands out for half an hour"
READS: Final = "marks the message as downloaded"
ENDS: Final = "takes the message out of the queue for good"
NOTHING: Final = "nothing, as the message should then stay where it is"

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
    main = [each for each in MAIN if each in own] or [each for each in own if each not in MAIN] or [MAIN[0]]
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
    terms = _terms(tenant, role, strangers, other)
    entries = _entries(elsewhere=other is not None, keeps=keeps, often=often, no_file=role not in MAIN)
    rules = [*DESK_RULES]
    rules += ["packages.export-is-a-package"] if settings.get("type", "package") == "package" else []
    rules += ["download.file-payload"] if settings.get("type") == "file" or role == "export-file" else []
    rules += OTHER_RULES if other is not None else ()
    rules += KEPT_RULES if keeps else ()
    rules += ["redelivery.poison-limit"] if often else []
    rules += NO_FILE_RULES if role not in MAIN else ()
    between = _in_between(settings, keeps=keeps, often=often)
    takes = terms.supply + 2 * LEASE + timedelta(minutes=5)
    if often:
        takes = max(takes, scripts.ENOUGH_DELIVERIES * (LEASE + LONGEST_PACE))
    if keeps:
        takes = scripts.RETENTION + LEASE + timedelta(hours=1)
    return Errand(
        name=role,
        text="Takes exports and sees what becomes of them, left alone, acknowledged well and badly"
        + (", and after seven days." if keeps else "."),
        shows=tuple(rules),
        lines=lines(role, *_desk_lines(role, terms, entries, between)),
        takes=takes,
        run=lambda call: Desk(
            call,
            role,
            terms,
            _entries(elsewhere=other is not None, keeps=keeps, often=often, no_file=role not in MAIN),
            rest=scripts.plain,
            ending=scripts.ending,
        ).run(),
        roles=(role,),
        acknowledges=True,
    )


def _entries(*, elsewhere: bool, keeps: bool, often: bool, no_file: bool) -> list[Entry]:
    """The scripts of a desk, in the order in which messages are handed to them: those that take longest first."""
    later = scripts.kept if keeps else scripts.younger
    found = [
        Entry(scripts.elder, scripts.born, group=True),
        Entry(scripts.stale, group=True),
        Entry(scripts.extends, group=True),
        Entry(scripts.second, scripts.born),
        Entry(scripts.refused, scripts.born),
        *((Entry(scripts.elsewhere, scripts.born),) if elsewhere else ()),
        Entry(scripts.late),
        Entry(later, scripts.comes_later, long=keeps),
        Entry(scripts.after_lease, scripts.born),
        Entry(scripts.without_download),
        Entry(scripts.three_members),
        Entry(scripts.two_members),
        Entry(scripts.lower_case),
        Entry(scripts.one_more),
        *((Entry(scripts.often, long=True),) if often else ()),
    ]
    return [Entry(scripts.no_file, with_file=False), *found] if no_file else found


def _terms(tenant: Tenant, role: str, strangers: tuple[str, ...] = (), other: str | None = None) -> Terms:
    every = recurrence(told(tenant, role)) or UNTOLD_RECURRENCE
    supply = 2 * LEASE + timedelta(minutes=10) + every
    return Terms(
        backlog=tenant.backlog,
        messages=tenant.backlog + min(-(-(supply + LEASE) // every), MOST_MESSAGES),
        pace=min(max(every / 3, SHORTEST_PACE), LONGEST_PACE),
        supply=supply,
        strangers=strangers,
        elsewhere=other,
    )


def _in_between(settings: "dict[str, object] | object", *, keeps: bool, often: bool) -> int:
    raise NotImplementedError


def _desk_without_files(tenant: Tenant, role: str) -> Errand:
    raise NotImplementedError


def _gentle(role: str) -> Errand:
    raise NotImplementedError
