"""Who is let in: wrong secrets, no token, forged, foreign and expired ones, applications that should be refused.

Everything here ought to be refused; what would happen where it is not stands in the plan. It knows nothing of what
messages are about.
"""

from collections.abc import Callable, Generator, Iterable
from datetime import timedelta
from typing import Final, Literal

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.tokens import Issued, forge
from popreceipt.client.wire import Ask
from popreceipt.exceptions import NotAbleTo
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Line, Route, Stopped, Until
from popreceipt.tour.errands.asking import PAUSE, TRIES, asked, entity_of, file, line, lines, unanswered, unknown_guid

RESOURCES: Final = ("https://graph.microsoft.com", "https://elsewhere.example")
"""A resource that every directory knows; an issuer that knows only one may hand out tokens for any."""

GARBAGE: Final = ("x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.")

NOT_THE_SECRET: Final = "not-the-secret"

SKEW: Final = timedelta(minutes=5)
"""How long after its end a token may be let pass: the clock skew that .NET's token validation allows unless told."""

TOKEN_LIFE: Final = timedelta(hours=1)
"""What a token usually lives; Entra ID lets some live for half an hour more."""

MINUTE: Final = timedelta(minutes=1)

HIDES: Final = "nothing; were it not refused, it would hide one message for half an hour"
NEW_RECORD: Final = "a file of one record with a made-up key is taken in"
HANDS_IN: Final = "nothing; were it not refused, it would hand in a file of one record"

EXPORTS: Final = ("export-package", "export-file", "export-no-zero")
IMPORTS: Final = ("import-file", "import-in-order", "import-package")

Bearers = Callable[[Call], list[tuple[str, str | None]]]
"""Who calls: pairs of an actor's name and the token that it is given (None: the actor's own, or none)."""


def identities(tenant: Tenant) -> list[Errand]:
    """The errands of this chapter; the description tells at which activities there is to be refused."""
    return [
        _wrong_secret(),
        _other_endpoint(),
        _expired(),
        _expired_about_a_message(),
        _foreign(),
        _foreign_at_jobs(tenant),
        _questions("no-token", "a caller without a token", "authorization.token-required", (), _anonymous),
        _at_jobs(tenant, "no-token", "a caller without a token", ("authorization.token-required",), (), _anonymous),
        _questions("forged-token", "a caller with forged tokens", "authorization.forged-token-refused", (), _forged),
        _at_jobs(
            tenant,
            "forged-token",
            "a caller with forged tokens",
            ("authorization.forged-token-refused",),
            (),
            _forged_well,
            FORGERIES,
        ),
        _questions(
            "unmapped-client",
            "an application that is not registered",
            "authorization.application-must-be-mapped",
            ("unmapped",),
            _as("unmapped"),
        ),
        _at_jobs(
            tenant,
            "unmapped-client",
            "an application that is not registered",
            ("authorization.application-must-be-mapped", "authorization.service-gate"),
            ("unmapped",),
            _as("unmapped"),
        ),
        _at_jobs(
            tenant,
            "unlisted-client",
            "an application that stands on no job's policy",
            ("authorization.application-must-be-on-the-job", "authorization.job-gate"),
            ("unlisted",),
            _as("unlisted"),
        ),
        _about_a_message(tenant),
        _disabled_entry(),
    ]


# Token requests


def _obtained(
    call: Call,
    name: str,
    *,
    version: Literal[1, 2] = 2,
    resource: str | None = None,
    secret: str | None = None,
    actor: str | None = None,
) -> Generator[Until, None, Issued]:
    """Ask for a token, and again where the endpoint was too busy or the request got lost."""
    for attempt in range(TRIES):
        issued = call.obtain(name, version=version, resource=resource, secret=secret, actor=actor)
        if not unanswered(issued.reply):
            break
        if attempt + 1 < TRIES:
            yield Until(issued.reply.exchange.answered + PAUSE * 2**attempt, "another try for a token")
    return issued


def _wrong_secret() -> Errand:
    name = "wrong-secret"

    def run(call: Call) -> Route:
        told = 0
        for version in VERSIONS:
            try:
                yield from _obtained(call, "token", version=version, secret=NOT_THE_SECRET)
            except NotAbleTo:
                if version == VERSIONS[-1] and not told:
                    raise
            else:
                told += 1

    return Errand(
        name=name,
        text="Asks for tokens with a secret that is not the client's.",
        shows=("authorization.wrong-secret-refused",),
        lines=lines(
            name,
            line("token", vocabulary.TOKEN, None, 2, "a wrong secret gets no token", "two failed sign-ins are logged"),
        ),
        takes=MINUTE,
        run=run,
        changes=False,
    )


VERSIONS: Final[tuple[Literal[1, 2], ...]] = (1, 2)


def _other_endpoint() -> Errand:
    name = "token-v1"

    def run(call: Call) -> Route:
        issued = yield from _obtained(call, "token", version=1)
        if issued.token is not None:
            # The usual token first: whoever is let in with that is refused for the other token alone.
            for name, token in (("enqueue-as-usual", None), ("enqueue", issued.token)):
                content = file(call.random, 1)
                ask = wire.enqueue(call.activity(IMPORTS[0]), content, entity=entity_of(call, IMPORTS[0]))
                yield from asked(call, name, ask, token=token, fault_tells=False)

    return Errand(
        name=name,
        text="Hands in a file with a token of the first version of the endpoint, and one with the usual token.",
        shows=("authorization.issued-token-accepted", "authorization.token-answer"),
        lines=lines(
            name,
            line("token", vocabulary.TOKEN, None, 1, "a token of the first version's endpoint"),
            line("enqueue-as-usual", vocabulary.ENQUEUE, IMPORTS[0], 1, "whether the usual one does", NEW_RECORD),
            line("enqueue", vocabulary.ENQUEUE, IMPORTS[0], 1, "whether it opens the door", NEW_RECORD),
        ),
        takes=MINUTE,
        run=run,
        roles=(IMPORTS[0],),
    )


def _expired() -> Errand:
    name = "expired-token"

    def run(call: Call) -> Route:
        issued = yield from _obtained(call, "token")
        if issued.token is None or issued.expires_in is None:
            raise Stopped("the token endpoint gave no token that says how long it lives")
        over = issued.reply.exchange.answered + timedelta(seconds=issued.expires_in)
        yield from _questioned(call, "authorised", issued.token)
        # Most services allow for clocks that go wrong by some minutes; one that does not is done earlier.
        for instant in (over + call.margin, over + SKEW + call.margin):
            yield Until(instant, "the end of a token's life")
            if not (yield from _questioned(call, "authorised", issued.token)):
                break

    return Errand(
        name=name,
        text="Keeps a token until it is over, and asks with it once more.",
        shows=("authorization.expired-token-refused", "authorization.token-answer"),
        lines=lines(
            name,
            line("token", vocabulary.TOKEN, None, 1, "a token that is kept until it is over"),
            *_question_lines(3),
        ),
        takes=TOKEN_LIFE + SKEW + MINUTE,
        run=run,
        changes=False,
    )


def _foreign_token(call: Call) -> Generator[Until, None, str]:
    """A token of another resource.

    Raises:
        Stopped: this client gets none.
    """
    for resource in RESOURCES:
        issued = yield from _obtained(call, "token", resource=resource, actor="foreign-audience")
        if issued.token is not None:
            return issued.token
    raise Stopped("the token endpoint issues no token for another resource to this client")


def _foreign() -> Errand:
    name = "foreign-token"

    def run(call: Call) -> Route:
        yield from _questioned(call, "foreign-audience", (yield from _foreign_token(call)))

    return Errand(
        name=name,
        text="Asks with a token that was issued for another resource than the environment.",
        shows=("authorization.foreign-audience-refused",),
        lines=lines(
            name,
            line("token", vocabulary.TOKEN, None, len(RESOURCES), "a token for another resource"),
            *_question_lines(1),
        ),
        takes=MINUTE,
        run=run,
        changes=False,
    )


def _foreign_at_jobs(tenant: Tenant) -> Errand:
    """The same at recurring data jobs, whose paths may be guarded by somebody else than the questions are."""
    name = "foreign-token-at-jobs"
    roles = _jobs(tenant)

    def run(call: Call) -> Route:
        yield from _called(call, roles, "foreign-audience", (yield from _foreign_token(call)))

    return Errand(
        name=name,
        text="Calls recurring data jobs with a token that was issued for another resource than the environment.",
        shows=("authorization.foreign-audience-refused",),
        lines=lines(
            name,
            line("token", vocabulary.TOKEN, None, len(RESOURCES), "a token for another resource"),
            *_job_lines(tenant, 1),
        ),
        takes=MINUTE,
        run=run,
        roles=roles,
    )


# Strangers


def _anonymous(_: Call) -> list[tuple[str, str | None]]:
    return [("anonymous", None)]


def _forged(call: Call) -> list[tuple[str, str | None]]:
    token = call.token()
    return [("forged", each) for each in (forge(token), forge(token, "payload"), *GARBAGE)]


FORGERIES: Final = 2


def _forged_well(call: Call) -> list[tuple[str, str | None]]:
    """Forged tokens that look like real ones."""
    return _forged(call)[:FORGERIES]


def _as(role: str) -> Bearers:
    return lambda _: [(role, None)]


def _questioned(call: Call, actor: str, token: str | None) -> Generator[Until, None, bool]:
    """Ask two questions about nothing that exists; whether one was answered with success."""
    served = False
    for name, ask in (
        ("status", wire.message_status(unknown_guid(call.random))),
        ("errors", wire.execution_errors(unknown_guid(call.random))),
    ):
        reply = yield from asked(call, name, ask, actor=actor, token=token)
        served = served or reply.ok
    return served


def _question_lines(times: int) -> tuple[Line, ...]:
    return (
        line("status", vocabulary.MESSAGE_STATUS, None, times, "the status of a message that does not exist"),
        line("errors", vocabulary.EXECUTION_ERRORS, None, times, "the errors of an execution that does not exist"),
    )


def _questions(name: str, who: str, rule: str, clients: tuple[str, ...], bearers: Bearers) -> Errand:
    """Questions that change nothing, whoever asks and whatever is answered."""

    def run(call: Call) -> Route:
        for actor, token in bearers(call):
            yield from _questioned(call, actor, token)

    return Errand(
        name=name,
        text=f"Asks questions as {who}.",
        shows=(rule,),
        lines=lines(name, *_question_lines(2 + len(GARBAGE) if bearers is _forged else 1)),
        takes=MINUTE,
        run=run,
        clients=clients,
        changes=False,
    )


def _at_jobs(
    tenant: Tenant,
    who: str,
    text: str,
    rules: tuple[str, ...],
    clients: tuple[str, ...],
    bearers: Bearers,
    times: int = 1,
) -> Errand:
    """Calls on recurring data jobs that must be refused, by so many bearers."""
    name = f"{who}-at-jobs"
    roles = _jobs(tenant)

    def run(call: Call) -> Route:
        for actor, token in bearers(call):
            yield from _called(call, roles, actor, token)

    return Errand(
        name=name,
        text=f"Calls recurring data jobs as {text}.",
        shows=rules,
        lines=lines(name, *_job_lines(tenant, times)),
        takes=MINUTE,
        run=run,
        roles=roles,
        clients=clients,
    )


def _jobs(tenant: Tenant) -> tuple[str, ...]:
    """An export and an import, as far as the description names them."""
    export, intake = first_of(tenant, EXPORTS), first_of(tenant, IMPORTS)
    return tuple(each for each in (export, intake) if each in tenant.activities) or (intake,)


def _called(call: Call, roles: Iterable[str], actor: str, token: str | None) -> Generator[Until, None, None]:
    """A dequeue of an export, a file for an import and a question about it, all of which must be refused."""
    for role in roles:
        if role in EXPORTS:
            yield from asked(call, "dequeue", wire.dequeue(call.activity(role)), actor=actor, token=token)
            continue
        content = file(call.random, 1)
        ask = wire.enqueue(call.activity(role), content, entity=entity_of(call, role))
        yield from asked(call, "enqueue", ask, actor=actor, token=token)
        ask = wire.jobstatus(call.activity(role), unknown_guid(call.random))
        yield from asked(call, "jobstatus", ask, actor=actor, token=token)


def _job_lines(tenant: Tenant, times: int) -> tuple[Line, ...]:
    roles = _jobs(tenant)
    export, intake = first_of(tenant, EXPORTS), first_of(tenant, IMPORTS)
    exports, intakes = times * (export in roles), times * (intake in roles)
    return (
        line("dequeue", vocabulary.DEQUEUE, export, exports, "a dequeue is refused", HIDES),
        line("enqueue", vocabulary.ENQUEUE, intake, intakes, "a file is refused", HANDS_IN),
        line("jobstatus", vocabulary.JOBSTATUS, intake, intakes, "a question is refused"),
    )


def _about_a_message(tenant: Tenant) -> Errand:
    """Questions about a message that there is: what a server tells of none may not show that it tells too much."""
    name, role = "strangers-ask", IMPORTS[0]
    further = [each for each in ("unmapped",) if each in tenant.clients]

    def run(call: Call) -> Route:
        content = file(call.random, 1)
        ask = wire.enqueue(call.activity(role), content, entity=entity_of(call, role))
        reply = yield from asked(call, "enqueue", ask, fault_tells=False)
        message = wire.message_id(reply)
        if message is None:
            raise Stopped(f"the enqueue on {role} named no message")
        yield from asked(call, "status", wire.message_status(message))
        token = call.token()
        forged = [("forged", each) for each in (forge(token), forge(token, "payload"))]
        for actor, given in (("anonymous", None), *forged, *((each, None) for each in further)):
            for what, question in (
                ("status", wire.message_status(message)),
                ("jobstatus", wire.jobstatus(call.activity(role), message)),
            ):
                yield from asked(call, what, question, actor=actor, token=given)

    asking = 3 + len(further)
    return Errand(
        name=name,
        text="Hands in a file, and asks about its message as callers who may not.",
        shows=(
            "authorization.token-required",
            "authorization.forged-token-refused",
            *(("authorization.application-must-be-mapped",) if further else ()),
        ),
        lines=lines(
            name,
            line("enqueue", vocabulary.ENQUEUE, role, 1, "a message to ask about", NEW_RECORD),
            line("status", vocabulary.MESSAGE_STATUS, role, 1 + asking, "its status, asked by who may not"),
            line("jobstatus", vocabulary.JOBSTATUS, role, asking, "its job status, asked by who may not"),
        ),
        takes=MINUTE,
        run=run,
        roles=(role,),
    )


def _expired_about_a_message() -> Errand:
    """The same with a token that is over."""
    name, role = "expired-token-asks", IMPORTS[0]

    def run(call: Call) -> Route:
        issued = yield from _obtained(call, "token")
        if issued.token is None or issued.expires_in is None:
            raise Stopped("the token endpoint gave no token that says how long it lives")
        content = file(call.random, 1)
        ask = wire.enqueue(call.activity(role), content, entity=entity_of(call, role))
        reply = yield from asked(call, "enqueue", ask, token=issued.token, fault_tells=False)
        message = wire.message_id(reply)
        if message is None:
            raise Stopped(f"the enqueue on {role} named no message")
        yield from asked(call, "status", wire.message_status(message), token=issued.token)
        over = issued.reply.exchange.answered + timedelta(seconds=issued.expires_in) + call.margin
        for instant in (over, over + SKEW):
            yield Until(instant, "the end of a token's life")
            status = yield from asked(call, "status", wire.message_status(message), token=issued.token)
            content = file(call.random, 1)
            ask = wire.enqueue(call.activity(role), content, entity=entity_of(call, role))
            reply = yield from asked(call, "enqueue", ask, token=issued.token)
            if not status.ok and not reply.ok:
                break

    return Errand(
        name=name,
        text="Hands in a file with a token, and asks about its message when that token is over.",
        shows=("authorization.expired-token-refused", "authorization.issued-token-accepted"),
        lines=lines(
            name,
            line("token", vocabulary.TOKEN, None, 1, "a token that is kept until it is over"),
            line("enqueue", vocabulary.ENQUEUE, role, 3, "a message, and files that are refused", NEW_RECORD),
            line("status", vocabulary.MESSAGE_STATUS, role, 3, "its status"),
        ),
        takes=TOKEN_LIFE + SKEW + MINUTE,
        run=run,
        roles=(role,),
    )


def first_of(tenant: Tenant, roles: Iterable[str]) -> str:
    """The first of these roles that the description names; the first of all where it names none."""
    wanted = tuple(roles)
    return next((each for each in wanted if each in tenant.activities), wanted[0])


def _disabled_entry() -> Errand:
    name, role = "disabled-entry", "import-disabled"

    def run(call: Call) -> Route:
        asks: tuple[tuple[str, Ask], ...] = (
            ("enqueue", wire.enqueue(call.activity(role), file(call.random, 1), entity=entity_of(call, role))),
            ("jobstatus", wire.jobstatus(call.activity(role), unknown_guid(call.random))),
        )
        for what, ask in asks:
            yield from asked(call, what, ask)

    return Errand(
        name=name,
        text="Calls a job on whose policy the application's entry is not enabled.",
        shows=("authorization.disabled-entry-refused", "authorization.job-gate"),
        lines=lines(
            name,
            line("enqueue", vocabulary.ENQUEUE, role, 1, "a file is refused", HANDS_IN),
            line("jobstatus", vocabulary.JOBSTATUS, role, 1, "a question is refused"),
        ),
        takes=MINUTE,
        run=run,
        roles=(role,),
    )
