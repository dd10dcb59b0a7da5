"""What a client does with its tokens: for whom it asks for them, how long it keeps them, what it makes of a refusal.

It sees tokens by their digests only, and the identity provider by the requests that it was asked. A recording of real
traffic may hold token requests for other services and leave out its own: nothing is concluded from either.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.conduct import Conduct
from popreceipt.rules.facts import Call, Enqueue, Token
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, INFERRED, SHOULD, client, microsoft, rule, standard
from popreceipt.verdict import Finding, held, undecided, violated

TROUBLE: Final = microsoft("Troubleshoot service authentication")

RENEWED_EARLY: Final = 300.0
"""Seconds before its end at which a careful client renews a token (five minutes, as the PowerShell module Fo.Api)."""

USUAL_LIFE: Final = 3600.0
"""Seconds that a token lives where the answer does not say."""

NEEDLESS: Final = 5
"""So many tokens that nobody needed are a habit; fewer may be one for each of several workers."""

PAUSE: Final = 10.0
"""Real seconds without a call after which a client may have been started anew, where nobody told of processes."""

REFUSED: Final = frozenset({401, 403})


@rule(
    "authorization.token-for-the-environment",
    text="A client asks for tokens for the environment that it calls, by its URL.",
    source=TROUBLE,
    reading="As resource of the first version of the endpoint or as scope of the second. Scheme, port, letter case "
    "and a slash at the end are tolerated. Without an instrument the environment may have a further name: what it "
    "does with the token tells then.",
    level=SHOULD,
    binds=CLIENT,
    statements=(5,),
)
def token_for_the_environment(journal: Readings) -> Iterator[Finding]:
    """Token requests whose form could be read."""
    conduct = journal.conduct
    told = journal.scenario is not None and bool(journal.scenario.roots)
    if not conduct.roots:
        return
    for asked in journal.tokens:
        if asked.grant is None:
            continue
        roots = _roots_in(asked.audience)
        if any(conduct.is_own(root) for root in roots):
            yield held(f"asked for {asked.audience}", asked)
        elif told:
            yield violated(f"asked for {asked.audience or 'nobody'}", asked)
        else:
            yield from _by_effect(journal, asked)


def _roots_in(audience: str | None) -> list[str]:
    """Scheme and authority of each URL in a resource or in a list of scopes."""
    found = []
    for part in (audience or "").lower().split():
        scheme, separator, rest = part.partition("://")
        if separator:
            found.append(f"{scheme}://{rest.partition('/')[0]}")
    return found


def _by_effect(journal: Readings, asked: Token) -> Iterator[Finding]:
    """What the environment made of a token that was asked for under another name than its own."""
    uses = [each for each in journal.calls if each.token == asked.issued and journal.conduct.is_own(each.root)]
    if asked.issued is None or not uses:
        return
    if any(each.ok for each in uses):
        yield held(f"asked for {asked.audience}, which the environment takes for itself", asked, uses[0])
    elif all(each.status == 401 for each in uses):
        yield violated(f"asked for {asked.audience}, and the environment refuses the token", asked, uses[0])
    else:
        yield undecided(f"asked for {asked.audience}; nothing tells whose name that is", asked, uses[0])


@rule(
    "authorization.token-kept",
    text="A client uses a token for many calls rather than asking for one for each.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "keeps a token until a minute before its end"),
    reading="Within one life of the client. A token is needless while the one before has five minutes to live and was "
    "not refused. Violated where needless ones are several and more than half as many as the calls.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(5,),
)
def token_kept(journal: Readings) -> Iterator[Finding]:
    """Each life of the client in which it made more calls than one."""
    for calls in _lives(journal):
        needless: list[Call] = []
        served: list[Call] = []
        kept: dict[str | None, Token] = {}
        for call in calls:
            if isinstance(call, Token):
                if _needless(journal.conduct, kept.get(call.client_id), call):
                    needless.append(call)
                if call.ok and call.issued is not None:
                    kept[call.client_id] = call
            elif call.token is not None:
                served.append(call)
                if call.status in REFUSED:
                    kept.clear()
        if len(needless) >= NEEDLESS and 2 * len(needless) > len(served):
            yield violated(f"{len(needless)} needless tokens for {len(served)} calls", *needless[:NEEDLESS])
        elif len(served) > 1:
            yield held(f"{len(served)} calls, {len(needless)} needless tokens", served[0], served[-1])


def _needless(conduct: Conduct, kept: Token | None, asked: Token) -> bool:
    if kept is None or not conduct.saw(kept):
        return False
    life = kept.expires_in if kept.expires_in is not None else USUAL_LIFE
    return (asked.sent - kept.answered).total_seconds() < life - RENEWED_EARLY


def _lives(journal: Readings) -> Iterator[list[Call]]:
    """The calls of each process; where nobody told of processes, of each stretch without a long pause."""
    if journal.lives:
        for life in journal.lives:
            yield journal.conduct.calls_in(life)
        return
    stretch: list[Call] = []
    for call in journal.calls:
        gap = journal.conduct.gap(stretch[-1], call) if stretch else None
        if gap is not None and gap >= PAUSE:
            yield stretch
            stretch = []
        stretch.append(call)
    yield stretch


@rule(
    "authorization.renewed-after-401",
    text="When a token that was accepted before is refused with 401, a client gets a new one and makes the call again.",
    source=standard("RFC 6750", "3.1"),
    reading="At once, or with the next run. A call that is repeated with the old token and accepted is taken for the "
    "same. Given a lease and a half.",
    level=SHOULD,
    binds=CLIENT,
    statements=(5,),
)
def renewed_after_401(journal: Readings) -> Iterator[Finding]:
    """The first 401 for each token that had opened the same job before."""
    conduct = journal.conduct
    accepted: set[tuple[str, str | None]] = set()
    refused: set[str] = set()
    for place, call in enumerate(journal.calls):
        if call.token is None:
            continue
        if call.ok:
            accepted.add((call.token, call.activity))
        if call.status != 401 or call.token in refused or (call.token, call.activity) not in accepted:
            continue
        refused.add(call.token)
        again: Call | None = None
        renewed: Call | None = None
        for each in journal.submissions.after(place):
            if _same(call, each):
                again = again or each
                if each.ok or each.token not in (None, call.token):
                    renewed = each
                    break
        if renewed is not None:
            yield held("made again", call, renewed)
            continue
        what = "made again with the same token only" if again is not None else "not made again"
        if conduct.crashed(conduct.life_at(call)) and conduct.is_last(call):
            yield violated("the client ended, and reports a problem", call)
        elif journal.submissions.patient(call) and (again is not None or journal.scenario is not None):
            yield violated(what, *((call,) if again is None else (call, again)))
        else:
            yield undecided(f"{what}, but it was soon over", call)


def _same(call: Call, other: Call) -> bool:
    """Whether a call asks for the same as one before: a file by its bytes, anything else by its operation."""
    if other.operation != call.operation:
        return False
    return not (isinstance(call, Enqueue) and isinstance(other, Enqueue)) or call.digest == other.digest


@rule(
    "authorization.refusal-not-hammered",
    text="A client does not repeat what it is refused, 401 or 403, again and again without a pause.",
    source=standard("RFC 6750", "3.1"),
    reading="Judged by the pace of refusals of one operation that follow each other, in real time: twenty or more in "
    "a second or more, ten in each second. A burst of several workers is none; several that wait, each for itself, "
    "are undecided.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(5,),
)
def refusal_not_hammered(journal: Readings) -> Iterator[Finding]:
    """Each unbroken row of refusals of one operation that nobody lifted or that is longer than one."""
    rows: dict[tuple[str, str | None], list[Call]] = defaultdict(list)
    for call in journal.calls:
        row = rows[call.operation, call.activity]
        if call.status in REFUSED or (call.operation == vocabulary.TOKEN and call.status == 400):
            row.append(call)
        elif call.status is not None:
            yield from _paced(journal, row, lifted=True)
            row.clear()
    for row in rows.values():
        yield from _paced(journal, row, lifted=False)


def _paced(journal: Readings, row: Sequence[Call], *, lifted: bool) -> Iterator[Finding]:
    if not row or (lifted and len(row) == 1):
        return
    loop = journal.submissions.hammered(row)
    if loop:
        yield violated(f"{len(row)} refusals without a pause", row[0], row[-1])
    elif loop is None:
        yield undecided(f"{len(row)} refusals in a row, perhaps of many workers", row[0], row[-1])
    elif journal.header.clock != "manual":
        yield held(f"{len(row)} refusals", row[0], row[-1])
