"""Questions about what does not exist, and calls on paths that lead nowhere.

Nothing is handed in or taken by any of them. It knows no message.
"""

from datetime import timedelta
from typing import Final

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.wire import Ask
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Route
from popreceipt.tour.errands.asking import asked, entity_of, file, line, lines, unknown_guid
from popreceipt.tour.errands.identities import EXPORTS, IMPORTS, first_of

MINUTE: Final = timedelta(minutes=1)

NOT_GUIDS: Final = ("not-a-guid", "1234")

NOTHING_THERE: Final = "nothing: no such recurring data job exists"
WRONG_SIDE: Final = "nothing; were it taken, {}"
HIDES: Final = WRONG_SIDE.format("it would hide one message for half an hour")
MAKES: Final = WRONG_SIDE.format("an empty file would wait there")


def questions(tenant: Tenant) -> list[Errand]:
    """The errands about what does not exist; the description tells which activities can be asked."""
    return [_unknown(), _unknown_job(tenant), _nowhere(), _wrong_direction(tenant), _wrong_verb(tenant)]


def _unknown() -> Errand:
    name = "unknown-things"

    def run(call: Call) -> Route:
        for message in (unknown_guid(call.random), "not-a-guid"):
            yield from asked(call, "status", wire.message_status(message))
        yield from asked(call, "execution", wire.execution_id(unknown_guid(call.random)))
        yield from asked(call, "errors", wire.execution_errors(unknown_guid(call.random)))
        yield from asked(call, "summary", wire.execution_summary(unknown_guid(call.random)))

    return Errand(
        name=name,
        text="Asks about messages and executions that do not exist.",
        shows=("status.unknown-message", "execution-errors.unknown-execution"),
        lines=lines(
            name,
            line("status", vocabulary.MESSAGE_STATUS, None, 2, "the status of no message"),
            line("execution", vocabulary.EXECUTION_ID, None, 1, "the execution of no message"),
            line("errors", vocabulary.EXECUTION_ERRORS, None, 1, "the errors of no execution"),
            line("summary", vocabulary.EXECUTION_SUMMARY, None, 1, "the summary of no execution"),
        ),
        takes=MINUTE,
        run=run,
        changes=False,
    )


def _unknown_job(tenant: Tenant) -> Errand:
    name, role = "unknown-message-of-a-job", first_of(tenant, IMPORTS)

    def run(call: Call) -> Route:
        yield from asked(call, "jobstatus", wire.jobstatus(call.activity(role), unknown_guid(call.random)))

    return Errand(
        name=name,
        text="Asks an import's jobstatus about a message that does not exist.",
        shows=("status.jobstatus-unknown",),
        lines=lines(name, line("jobstatus", vocabulary.JOBSTATUS, role, 1, "the job status of no message")),
        takes=MINUTE,
        run=run,
        roles=(role,),
        changes=False,
    )


def _nowhere() -> Errand:
    name = "activities-that-are-none"

    def run(call: Call) -> Route:
        for activity in (*NOT_GUIDS, unknown_guid(call.random), unknown_guid(call.random)):
            yield from asked(call, "dequeue", wire.dequeue(activity))
            ask = wire.enqueue(activity, file(call.random, 1), entity="Customer groups")
            yield from asked(call, "enqueue", ask)

    return Errand(
        name=name,
        text="Calls paths whose activity is no GUID, or names no recurring data job.",
        shows=("transport.malformed-activity", "transport.unknown-activity"),
        lines=lines(
            name,
            line("dequeue", vocabulary.DEQUEUE, None, 4, "a dequeue of no activity", NOTHING_THERE),
            line("enqueue", vocabulary.ENQUEUE, None, 4, "a file for no activity", NOTHING_THERE),
        ),
        takes=MINUTE,
        run=run,
    )


def _wrong_direction(tenant: Tenant) -> Errand:
    name = "wrong-direction"
    export, intake = first_of(tenant, EXPORTS), first_of(tenant, IMPORTS)
    roles = tuple(each for each in (export, intake) if each in tenant.activities) or (intake,)

    def run(call: Call) -> Route:
        if export in roles:
            content = file(call.random, 1)
            ask = wire.enqueue(call.activity(export), content, entity=entity_of(call, export))
            yield from asked(call, "enqueue", ask)
        if intake in roles:
            yield from asked(call, "dequeue", wire.dequeue(call.activity(intake)))

    return Errand(
        name=name,
        text="Hands a file to an export, and dequeues from an import.",
        shows=("transport.wrong-direction",),
        lines=lines(
            name,
            line(
                "enqueue",
                vocabulary.ENQUEUE,
                export,
                int(export in roles),
                "a file for an export",
                WRONG_SIDE.format("a file of one record would wait there"),
            ),
            line(
                "dequeue",
                vocabulary.DEQUEUE,
                intake,
                int(intake in roles),
                "a dequeue of an import",
                WRONG_SIDE.format("one message of the import would be hidden for half an hour"),
            ),
        ),
        takes=MINUTE,
        run=run,
        roles=roles,
    )


def _wrong_verb(tenant: Tenant) -> Errand:
    name = "wrong-verb"
    export, intake = first_of(tenant, EXPORTS), first_of(tenant, IMPORTS)
    roles = tuple(each for each in (export, intake) if each in tenant.activities) or (intake,)

    def run(call: Call) -> Route:
        if export in roles:
            yield from asked(call, "dequeue", Ask("PUT", wire.dequeue(call.activity(export)).path))
        if intake in roles:
            yield from asked(call, "enqueue", Ask("PUT", wire.enqueue(call.activity(intake), b"").path))

    return Errand(
        name=name,
        text="Asks known paths with another verb than their own.",
        shows=("transport.wrong-verb",),
        lines=lines(
            name,
            line("dequeue", vocabulary.DEQUEUE, export, int(export in roles), "PUT instead of GET", HIDES),
            line("enqueue", vocabulary.ENQUEUE, intake, int(intake in roles), "PUT instead of POST", MAKES),
        ),
        takes=MINUTE,
        run=run,
        roles=roles,
    )
