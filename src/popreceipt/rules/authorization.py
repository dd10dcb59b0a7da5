"""Who may call: the token, the application's registration, its entry on the job, and what a refusal leaves behind.

Knows callers by the names that the driver gave them and tokens by the digests under which they were issued. It never
looks into a token. Downloads are left to their own chapter: the article does not say what guards a location.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from popreceipt.rules.facts import (
    Ack,
    Call,
    Dequeue,
    Enqueue,
    ExecutionErrors,
    ExecutionId,
    ExecutionSummary,
    Rows,
    StatusAnswer,
    Token,
)
from popreceipt.rules.reader import instant_of
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import BUSY_OR_UNFIT, DIRECTIONS, right_side, token_alive, well_made
from popreceipt.rules.rule import (
    ADVANCE_TIME,
    ASK,
    CHANGE_ACTIVITY,
    INFERRED,
    MUST,
    UNLISTED,
    UNMAPPED,
    article,
    microsoft,
    rule,
    standard,
)
from popreceipt.rules.waiting import Miss, Wait, Why, following
from popreceipt.verdict import Finding, answered, held, undecided, violated
from popreceipt.vocabulary import ACK, ACKED, DEQUEUE, DEQUEUED, DOWNLOADED, ENQUEUE, MESSAGE_STATUS, SPELLINGS

SKEW: Final = timedelta(minutes=5)
"""How long after its end a token is let pass: the clock skew that .NET's token validation allows unless told."""

SHOWN_PRECISION: Final = timedelta(seconds=1)
"""EnqueueDateTime may be cut or rounded to whole seconds."""

SIGN_IN_PAGE: Final = 1024
"""An answer to an acknowledgment longer than this many bytes is no success but a page for people."""

REFUSALS: Final = frozenset({401, 403})
SIGN_IN: Final = frozenset({302, 303})
TAKEN: Final = frozenset({DEQUEUED, DOWNLOADED, ACKED})

ENDPOINTS: Final = microsoft("Service endpoints overview", "Authentication")
TROUBLE: Final = microsoft("Troubleshoot service authentication")


@rule(
    "authorization.token-required",
    text="Without an access token nothing is handed in, handed out, acknowledged or told.",
    source=article("Authorization for the integration REST API"),
    reading="401, 403 or a redirect to a sign-in page refuses. A success whose body is none of the operation's may be "
    "a sign-in page. A recording that shows no bearer token at all had them removed, and is not judged.",
    level=MUST,
    statements=(4, 5),
)
def token_required(journal: Readings) -> Iterator[Finding]:
    """Judge calls that carried no bearer token."""
    roles = journal.calls_by_role
    callers = [each for each in roles.get("anonymous", ()) if each.token is None]
    unnamed = [each for each in roles.get(None, ()) if each.token is None and well_made(each)]
    if unnamed and any(each.token is not None for each in journal.calls):
        callers += unnamed
    yield from gate(callers, "without a token")


@rule(
    "authorization.forged-token-refused",
    text="A token whose signature or payload was altered is refused.",
    source=standard("RFC 7519", "7.2"),
    reading="The article points at the OAuth 2.0 model of the other service endpoints, whose tokens are signed.",
    level=MUST,
    statements=(5,),
)
def forged_token_refused(journal: Readings) -> Iterator[Finding]:
    """Judge calls with an altered token."""
    yield from gate(journal.calls_by_role.get("forged", ()), "with a forged token")


@rule(
    "authorization.expired-token-refused",
    text="A token is refused once the seconds it was issued for are over.",
    source=standard("RFC 6749", "5.1"),
    reading="Five minutes of clock skew are let: acceptance within them is no situation.",
    level=MUST,
    statements=(5,),
    needs=(ADVANCE_TIME,),
)
def expired_token_refused(journal: Readings) -> Iterator[Finding]:
    """Judge calls whose token's life was certainly over, going by the answer that issued it."""
    ends = journal.token_ends
    if not ends:
        return
    for call in journal.calls:
        end = ends.get(call.token) if call.token is not None else None
        if end is None or call.sent < end[1] or not well_made(call):
            continue
        if call.ok and call.sent <= end[1] + SKEW:
            continue
        if call.ok or call.role in ("authorised", None):
            yield from gate((call,), f"with a token that was over for {call.sent - end[1]}")


@rule(
    "authorization.foreign-audience-refused",
    text="A token that was issued for another resource than the environment is refused.",
    source=TROUBLE,
    level=MUST,
    statements=(5,),
)
def foreign_audience_refused(journal: Readings) -> Iterator[Finding]:
    """Judge calls with a token for somebody else."""
    yield from gate(journal.calls_by_role.get("foreign-audience", ()), "with a token for another resource")


@rule(
    "authorization.application-must-be-mapped",
    text="An application that is not registered with the environment is refused, whatever its token.",
    source=ENDPOINTS,
    level=MUST,
    statements=(6,),
    needs=(UNMAPPED,),
)
def application_must_be_mapped(journal: Readings) -> Iterator[Finding]:
    """Judge calls of the application that nobody registered."""
    yield from gate(journal.calls_by_role.get("unmapped", ()), "by an application that is not registered")


@rule(
    "authorization.application-must-be-on-the-job",
    text="A registered application that a recurring data job does not list can neither enqueue to it nor dequeue and "
    "acknowledge from it.",
    source=article("Create a recurring data job"),
    reading="The OData actions name no job in their path and are not judged; neither is jobstatus, which the article "
    "does not mention.",
    level=MUST,
    statements=(7, 16),
    needs=(UNLISTED,),
)
def application_must_be_on_the_job(journal: Readings) -> Iterator[Finding]:
    """Judge calls of the application that stands on no job."""
    callers = (each for each in journal.calls_by_role.get("unlisted", ()) if each.operation in DIRECTIONS)
    yield from gate(callers, "by an application that is not on the job")


@rule(
    "authorization.disabled-entry-refused",
    text="An application whose entry on the job's authorisation policy is not enabled is refused.",
    source=article("Create a recurring data job"),
    level=MUST,
    statements=(7, 16),
)
def disabled_entry_refused(journal: Readings) -> Iterator[Finding]:
    """Judge calls of the listed application while its entry was certainly off."""
    yield from gate(_while_disabled(journal), "by an application whose entry is not enabled")


@rule(
    "authorization.issued-token-accepted",
    text="A token that the identity provider issued to an application on the job opens the job until it is over.",
    source=article("Authorization for the integration REST API"),
    reading="A refusal is judged for tokens by client credentials, on jobs whose entry is known to be enabled, in the "
    "direction that the job has, and for the status of a message that was handed in with the same token. Of an "
    "environment that others administer it is judged on jobs that nobody else uses, and where the application was let "
    "in shortly before and shortly after: else somebody may have taken it off the job, or out of the environment.",
    level=MUST,
    statements=(5, 6, 7, 16, 28),
)
def issued_token_accepted(journal: Readings) -> Iterator[Finding]:
    """The first success with each token; any refusal while the token lived and all was in order."""
    issued = {
        name: token
        for name, token in journal.issued_tokens.items()
        if token.grant in ("client_credentials", "password") and token.role in ("authorised", None)
    }
    opened: set[str] = set()
    let_in = _let_in(journal)
    for call in journal.calls_by_role.get("authorised", ()):
        if call.token not in issued or call.token is None:
            continue
        if call.ok:
            if call.token not in opened and call.operation in VERSED:
                opened.add(call.token)
                yield held("accepted", issued[call.token], call)
        elif call.status in REFUSALS and well_made(call) and token_alive(journal, call) and _in_order(journal, call):
            token = issued[call.token]
            if token.grant == "password":
                continue
            text = f"{call.operation} was answered {call.status} with a token issued {call.sent - token.sent} before"
            if _may_be_taken_off(journal, call, let_in):
                yield undecided(f"{text}, unless somebody had taken the application off", token, call)
            else:
                yield violated(f"{text}, by an application that is registered, on the job and enabled", token, call)


@rule(
    "authorization.refusal-changes-nothing",
    text="A call that was refused for who made it leaves no message behind and takes none away.",
    source=article("Authorization for the integration REST API"),
    reading="Shown by Manage messages after a refused enqueue (a message that no answer accounts for) or a refused "
    "dequeue (a message dequeued that nobody else can have taken). Shown by the next dequeues as well: they offer what "
    "waited when one was refused. The promise is broken where nothing is offered then, and a message that had to be "
    "there comes a half hour after the refusal and says that it was dequeued just then. Refused acknowledgments have a "
    "rule of their own.",
    level=MUST,
    statements=(4, 7),
    needs=(ADVANCE_TIME,),
)
def refusal_changes_nothing(journal: Readings) -> Iterator[Finding]:
    """Look at Manage messages after each refused enqueue and dequeue, and at what the next dequeues offered."""
    strays = _Strays(journal)
    for enqueue in journal.enqueues:
        if enqueue.status in REFUSALS and enqueue.method == "POST" and right_side(journal, enqueue):
            yield from strays.after(enqueue)
    takers = _takers(journal)
    for dequeue in journal.dequeues:
        if dequeue.status in REFUSALS and dequeue.method == "GET" and right_side(journal, dequeue):
            yield from _taken_after(journal, dequeue, takers.get(dequeue.activity, []))
    yield from _offered_after(journal)


@rule(
    "authorization.wrong-secret-refused",
    text="The token endpoint gives no token for a wrong client secret.",
    source=standard("RFC 6749", "5.2"),
    level=MUST,
    statements=(5,),
)
def wrong_secret_refused(journal: Readings) -> Iterator[Finding]:
    """Judge token requests with a secret that is not the client's."""
    for call in journal.tokens:
        if call.role != "wrong-secret":
            continue
        if call.ok and call.issued is not None:
            yield violated("a token was issued for a wrong secret", call)
        elif call.status is not None and 400 <= call.status < 500 and call.status not in BUSY_OR_UNFIT:
            yield held("no token for a wrong secret", call)


@rule(
    "authorization.token-answer",
    text="The answer that issues a token has the token, and the type Bearer.",
    source=standard("RFC 6749", "5.1"),
    reading="The lifetime is only recommended, and may be written as a number or as text. The type's letter case is "
    "free. An answer that a recorder blackened altogether cannot be judged.",
    level=MUST,
    statements=(5,),
)
def token_answer(journal: Readings) -> Iterator[Finding]:
    """Judge the members of each successful answer of the token endpoint."""
    for call in journal.tokens:
        if not call.ok or call.method != "POST":
            continue
        missing = _missing(call)
        if not missing:
            yield held("token and type are there", call)
        elif call.issued is None and call.token_type is None and call.expires_in is None:
            yield undecided("nothing of a token's answer can be read", call)
        else:
            yield violated(f"the token's answer lacks {' and '.join(missing)}", call)


@rule(
    "authorization.job-gate",
    text="An application that is not on the job, or not enabled there, is answered 401 or 403.",
    source=article("Create a recurring data job"),
    reading="Public reports of misconfigured jobs name both statuses.",
    level=ASK,
    provenance=INFERRED,
    answers=("401", "403"),
)
def job_gate(journal: Readings) -> Iterator[Finding]:
    """The status of each refusal where nothing but the policy's entry can be the reason."""
    unlisted = (each for each in journal.calls_by_role.get("unlisted", ()) if each.operation in DIRECTIONS)
    yield from _statuses(journal, unlisted)
    yield from _statuses(journal, _while_disabled(journal))


@rule(
    "authorization.service-gate",
    text="An application that is not registered with the environment is answered 401 or 403.",
    source=ENDPOINTS,
    reading="Public reports name both statuses.",
    level=ASK,
    provenance=INFERRED,
    needs=(UNMAPPED,),
    answers=("401", "403"),
)
def service_gate(journal: Readings) -> Iterator[Finding]:
    """The status of each refusal where nothing but the missing registration can be the reason."""
    callers = (each for each in journal.calls_by_role.get("unmapped", ()) if each.operation in DIRECTIONS)
    yield from _statuses(journal, callers)


VERSED: Final = frozenset({*DIRECTIONS, MESSAGE_STATUS})
"""Operations on which an accepted token shows that it is accepted."""


def gate(calls: Iterable[Call], how: str) -> Iterator[Finding]:
    """Judge calls that ought to be refused for who made them."""
    for call in calls:
        if call.status is None or not well_made(call):
            continue
        if call.ok and served(call):
            yield violated(f"{call.operation} {how} was answered {call.status}", call)
        elif call.ok:
            yield undecided(f"{call.operation} {how} was answered {call.status} with none of its answers", call)
        elif call.status in REFUSALS or call.status in SIGN_IN:
            yield held("refused", call)
        elif call.status >= 500 and call.status not in BUSY_OR_UNFIT:
            yield undecided(f"{call.operation} {how} failed with {call.status} instead of being refused", call)


def served(call: Call) -> bool:
    """Whether a success gave what its operation gives, rather than some page for people."""
    if isinstance(call, Enqueue):
        return call.form not in (None, "other")
    if isinstance(call, Dequeue):
        return call.kind in ("message", "no-file", "empty")
    if isinstance(call, Ack):
        return call.answer_length <= SIGN_IN_PAGE
    if isinstance(call, (StatusAnswer, ExecutionSummary)):
        return call.value is not None
    if isinstance(call, ExecutionId):
        return call.execution is not None
    return isinstance(call, ExecutionErrors) and call.form not in (None, "other")


def _while_disabled(journal: Readings) -> Iterator[Call]:
    """Calls on a job by the application that it lists, made while the entry was certainly not enabled."""
    ever = {
        activity
        for activity, told in journal.activities.items()
        if any(each.settings.get("enabled") is False for each in told)
    }
    if not ever:
        return
    for call in journal.calls_by_role.get("authorised", ()):
        if (
            call.activity in ever
            and call.operation in DIRECTIONS
            and journal.settled(call.activity or "", "enabled", call) is False
            and token_alive(journal, call) is not False
        ):
            yield call


def _in_order(journal: Readings, call: Call) -> bool:
    """Nothing is known that could justify a refusal: the job's direction and entry, or the message, are right."""
    if call.operation in (ENQUEUE, DEQUEUE):
        enabled = journal.settled(call.activity or "", "enabled", call)
        return enabled is True and right_side(journal, call) is True
    if isinstance(call, StatusAnswer) and call.operation == MESSAGE_STATUS:
        known = journal.enqueued.get(call.message or "")
        return known is not None and known.answered <= call.sent and known.token == call.token
    return False


SHORTLY: Final = timedelta(minutes=15)
"""Nobody takes an application off and puts it back between two successes that are no further apart."""


def _may_be_taken_off(journal: Readings, call: Call, let_in: Mapping[str | None, Sequence[Call]]) -> bool:
    """Whether somebody of whom the journal does not tell may have taken the application off before a call."""
    if journal.header.recorded_by == "service" or CHANGE_ACTIVITY in journal.header.target.abilities:
        return False
    if call.activity is not None and not journal.exports.known(call.activity):
        return True
    successes = let_in.get(call.activity, ())
    place = bisect_left(successes, call.seq, key=lambda each: each.seq)
    around = successes[max(0, place - NEAR) : place + NEAR]
    before = [each for each in around if journal.exports.precedes(each, call)]
    after = [each for each in around if journal.exports.precedes(call, each)]
    return not before or not after or after[0].sent - before[-1].answered > SHORTLY


NEAR: Final = 8
"""So many successes to either side are looked at; several may have been under way at the time."""


def _let_in(journal: Readings) -> dict[str | None, list[Call]]:
    """The successes of the application on each recurring data job, and (under None) all of them."""
    found: dict[str | None, list[Call]] = {None: []}
    for each in journal.calls_by_role.get("authorised", ()):
        if each.ok and each.operation in VERSED:
            found[None].append(each)
            if each.activity is not None:
                found.setdefault(each.activity, []).append(each)
    return found


def _statuses(journal: Readings, calls: Iterable[Call]) -> Iterator[Finding]:
    for call in calls:
        if call.status is None or not 300 <= call.status < 500 or call.status in BUSY_OR_UNFIT:
            continue
        empty = isinstance(call, Enqueue) and not call.length
        if (
            well_made(call)
            and call.operation != ACK
            and not empty
            and call.token is not None
            and token_alive(journal, call) is not False
            and right_side(journal, call)
        ):
            yield answered(str(call.status), call)


def _missing(call: Token) -> list[str]:
    missing = []
    if not call.issued:
        missing.append("access_token")
    if (call.token_type or "").lower() != "bearer":
        missing.append(
            "token_type Bearer" if call.token_type is None else f"token_type Bearer (it is {call.token_type!r})"
        )
    return missing


class _Strays:
    """Messages of imports that no answer to an enqueue accounts for, look by look."""

    def __init__(self, journal: Readings) -> None:
        self._journal = journal
        self._found: dict[int, list[datetime]] = {}
        self._doubts: dict[str | None, list[datetime]] = defaultdict(list)
        for each in journal.enqueues:
            if each.in_doubt or (each.ok and each.form in (None, "other")):
                self._doubts[each.activity].append(each.sent)

    def after(self, enqueue: Enqueue) -> Iterator[Finding]:
        """Judge one refused enqueue by the first look at Manage messages that followed it."""
        activity = enqueue.activity or ""
        look = self._journal.rows_after(activity, enqueue)
        if look is None or not self._journal.undisturbed(activity, enqueue, look.since, look.place):
            return
        stamps = self._of(look)
        first = bisect_left(stamps, enqueue.sent - SHOWN_PRECISION)
        count = bisect_right(stamps, enqueue.answered + SHOWN_PRECISION) - first
        doubts = bisect_right(self._doubts.get(activity, []), look.at)
        if count > doubts:
            yield violated(f"the refused enqueue ({enqueue.status}) left a message that no other enqueue made", enqueue)
        elif count:
            yield undecided("a message may stem from the refused enqueue or from one without an answer", enqueue)
        else:
            yield held("no message was made", enqueue)

    def _of(self, look: Rows) -> list[datetime]:
        key = id(look)
        if key not in self._found:
            told = self._journal.enqueued
            stamps = []
            for message, row in look.by_id.items():
                if message not in told and (read := instant_of(str(row.get("EnqueueDateTime")))) is not None:
                    stamps.append(read[0])
            self._found[key] = sorted(stamps)
        return self._found[key]


def _takers(journal: Readings) -> dict[str | None, list[tuple[datetime, int, datetime]]]:
    """Dequeues that may have taken a message, by activity: when sent, their number, and the last answer so far."""
    found: dict[str | None, list[tuple[datetime, int, datetime]]] = defaultdict(list)
    for each in journal.dequeues:
        if each.delivered or each.kind == "malformed" or each.in_doubt:
            so_far = found[each.activity]
            latest = max(each.answered, so_far[-1][2]) if so_far else each.answered
            so_far.append((each.sent, each.seq, latest))
    return found


def _taken_after(
    journal: Readings, dequeue: Dequeue, takers: list[tuple[datetime, int, datetime]]
) -> Iterator[Finding]:
    """Judge one refused dequeue by the first look at Manage messages that followed it."""
    activity = dequeue.activity or ""
    look = journal.rows_after(activity, dequeue)
    if look is None or not journal.undisturbed(activity, dequeue, look.since, look.place):
        return
    before = bisect_right(takers, (look.at, look.place), key=lambda each: each[:2])
    last = takers[before - 1][2] if before else None
    states = [
        str(look.by_id[each.message].get("Status"))
        for each in journal.productions_of(activity)
        if each.uploaded
        and each.at <= dequeue.sent
        and each.message in look.by_id
        and (last is None or last < each.since)
    ]
    gone = [each for each in states if SPELLINGS.get(each.lower()) in TAKEN]
    if gone:
        yield violated(f"only a refused dequeue ({dequeue.status}) came, and a message is {gone[0]}", dequeue)
    elif states:
        yield held("no message was taken", dequeue)


def _offered_after(journal: Readings) -> Iterator[Finding]:
    """What became of messages that were back and waited when a dequeue was refused.

    None of it where messages are missed without any refusal: then that is what is wrong.
    """
    refused: dict[str, list[Dequeue]] = defaultdict(list)
    for each in journal.dequeues:
        if each.status in REFUSALS and each.method == "GET" and right_side(journal, each):
            refused[each.activity or ""].append(each)
    if not refused:
        return
    blamed: list[tuple[Miss, Dequeue]] = []
    for miss in journal.waiting.misses.get(Why.AGAIN, ()):
        cause = journal.waiting.refused_before(miss)
        if cause is None:
            return
        blamed.append((miss, cause))
    for miss, cause in blamed:
        yield from _missed_since(journal, miss, cause)
    missed = {cause.seq for _, cause in blamed}
    for activity, calls in refused.items():
        waits = [each for each in journal.waiting.waits.get(activity, ()) if each.why in (Why.AGAIN, Why.WEARY)]
        for call in calls:
            waited = [each for each in waits if _certainly_waited(journal, call, each)]
            offered = [again for each in waited if (again := _offered(journal, call, each)) is not None]
            if call.seq not in missed and offered and not _pending(journal, call, waited):
                yield held("what waited was offered all the same", call, *offered)


def _certainly_waited(journal: Readings, call: Dequeue, wait: Wait) -> bool:
    """Whether a message waited throughout a call, and no dequeue was lost that may have hidden it before."""
    if not wait.start < (call.sent, call.seq) or (call.answered, call.seq) >= wait.end:
        return False
    return not journal.exports.doubts_between(call.activity or "", wait.start[0], call.sent)


def _pending(journal: Readings, call: Dequeue, waited: Iterable[Wait]) -> bool:
    """Whether something that waited was not offered, and no dequeue that was lost since may have hidden it."""
    if journal.exports.doubts_between(call.activity or "", call.sent, call.answered + journal.lease):
        return False
    return any(each.why is Why.AGAIN and _offered(journal, call, each) is None for each in waited)


def _offered(journal: Readings, call: Dequeue, wait: Wait) -> Dequeue | None:
    """The delivery of a message that waited at a refused call, if none of that call's can have hidden it before."""
    again = following(wait)
    if again is None or not journal.exports.precedes(call, again):
        return None
    return again if again.answered < call.sent + journal.lease - journal.exports.precision else None


def _missed_since(journal: Readings, miss: Miss, cause: Dequeue) -> Iterator[Finding]:
    again, after = journal.waiting.back_after(miss, cause), miss.wait.after
    if again is None or after is None:
        return
    text = f"a message that waited was not offered after the refused dequeue ({cause.status}) but a half hour later"
    if journal.exports.known(miss.empty.activity or ""):
        yield violated(text, after, cause, miss.empty, again)
    else:
        yield undecided(f"{text}, unless somebody else had it", after, cause, miss.empty, again)
