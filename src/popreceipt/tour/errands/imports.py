"""Files that are handed in, and what is told of them until their end, and after it.

All are handed in first; then the same waits serve them all. It makes up its files and knows which are faulty; what a
service ought to make of them it does not know.
"""

import gzip
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.packages import ENTITY, data_package
from popreceipt.client.wire import Ask, Spelling
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Line, Route, Stopped, Until
from popreceipt.tour.errands.asking import TRIES, asked, file, line, lines

FINAL: Final = frozenset(
    {
        vocabulary.PROCESSED,
        vocabulary.PREPROCESSING_ERROR,
        vocabulary.PROCESSED_WITH_ERRORS,
        vocabulary.POSTPROCESSING_FAILED,
    }
)

COMPLETED: Final = frozenset({vocabulary.PROCESSED, vocabulary.PROCESSED_WITH_ERRORS})

UNDER_WAY: Final = frozenset({vocabulary.PREPROCESSING, vocabulary.PROCESSING})

UNTOLD_RECURRENCE: Final = timedelta(minutes=15)
"""What a processing recurrence is taken to be at most where the description does not tell it."""

STUCK: Final = timedelta(minutes=16)
"""A file that is in process for longer than a quarter of an hour is taken to be stuck."""

LATER: Final = timedelta(minutes=10)
"""Between the first sight of an end and the look whether it has stayed."""

LARGE: Final = 30_000_100
"""Bytes of an upload that is larger than a web server takes by default."""

SMALL: Final = 16_000
"""Bytes that any other upload has at most."""

NO_FILE: Final = b"\x00\xff not a file \xfe"

APPEAR: Final = "customer groups with made-up keys and a description “Group …” appear in the entity"
SOME_APPEAR: Final = f"{APPEAR}, and a message that ends with errors stands in Manage messages"
FAILS: Final = "a message that fails, or is never done, stands in Manage messages"

FIRST_FEW: Final = 3
"""So many messages are asked about by every question before the batch takes them: it may come in between."""

LOOKED_INTO: Final = 4
"""Of so many messages the execution is asked for."""

ROUNDS: Final = 12
"""How often at most messages are asked for that were taken and are not at their end."""

UNENDING: Final = 3
"""So many messages at most are let be asked for in every round: those that never end."""

TRIES_AT_A_TICK: Final = 25
"""How often at most one message is asked for until the batch has taken it."""

SHORTEST_PACE: Final = timedelta(seconds=20)
LONGEST_PACE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be handed in.

    Args:
        line: under which line.
        content: makes it up; None for the file before once more.
        entity: the entity that is named, None for none.
        asked: further arguments of the request.
        headers: of the upload.
        chunked: without an announced length.
        sound: a right service takes it, so that a fault of the server is no answer.
    """

    line: str
    content: Callable[[Random], bytes] | None
    entity: str | None = ENTITY
    asked: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False
    sound: bool = True

    def made(self, random: Random) -> bytes:
        """Its content."""
        return self.content(random) if self.content is not None else b""


@dataclass(slots=True)
class Sent:
    """A message that an upload made, and what was seen of it."""

    message: str
    states: list[tuple[datetime, str | None]] = field(default_factory=list)

    @property
    def last(self) -> str | None:
        """The status that was told last."""
        return self.states[-1][1] if self.states else None

    @property
    def final(self) -> bool:
        """Whether it has come to its end."""
        return self.last in FINAL

    @property
    def stuck_at(self) -> datetime | None:
        """When it will have been in the process that it is in for longer than anything takes."""
        if self.last not in UNDER_WAY:
            return None
        return next(at for at, state in self.states if state == self.last) + STUCK


def good(records: int) -> Callable[[Random], bytes]:
    """A delimited file of so many good records."""
    return lambda random: file(random, records)


def faulty(well: int, bad: int) -> Callable[[Random], bytes]:
    """A delimited file of good and of bad records."""
    return lambda random: file(random, well, bad)


def packed(records: int, **options: Any) -> Callable[[Random], bytes]:
    """A data package of so many good records; the options are those of `data_package`."""
    return lambda random: data_package(file(random, records), **options)


def just(content: bytes) -> Callable[[Random], bytes]:
    """These very bytes."""
    return lambda _: content


def _large(_: Random) -> bytes:
    header = b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\n"
    return header + b"0" * (LARGE - len(header))


def _packed_up(random: Random) -> bytes:
    return gzip.compress(file(random), mtime=0)


CONTENT_TYPES: Final = ("application/octet-stream", "text/csv", "application/zip", "application/json")

SPELLINGS: Final = (Spelling(activity="braced"), Spelling(language="en"), Spelling(case="mixed"))

FILES: Final = (
    Upload("sound", good(3), asked={"external_identifier": "groups.csv"}),
    Upload("sound", None, asked={"external_identifier": "groups.csv"}),
    Upload("faulty", faulty(2, 5)),
    Upload("sound", good(2), asked={"spelling": Spelling(blank="+")}),
    *(Upload("sound", good(1), asked={"content_type": each}) for each in CONTENT_TYPES),
    *(Upload("sound", good(1), asked={"spelling": each}) for each in SPELLINGS),
    Upload("faulty", faulty(0, 2)),
    Upload("sound", good(1), chunked=True, sound=False),
    Upload("odd", _packed_up, headers=(("content-encoding", "gzip"),), sound=False),
    Upload("odd", good(1), entity=None, sound=False),
    Upload("odd", good(1), entity="No such entity", sound=False),
    Upload("odd", just(b""), sound=False),
    Upload("odd", packed(1), sound=False),
)
"""What is handed to a job for files."""

COMPANY: Final = Upload("odd", good(1), asked={"company": "nope"}, sound=False)
"""Where the job takes the legal entity from the message."""

PACKAGES: Final = (
    Upload("sound", packed(3, encoding="utf-16"), entity=None),
    Upload("sound", packed(2, encoding="utf-8"), entity=None),
    Upload("odd", packed(1, backwards=True), entity=None, sound=False),
    Upload("odd", packed(1, folder="package"), entity=None, sound=False),
    Upload("odd", packed(1, without="Manifest.xml"), entity=None, sound=False),
    Upload("odd", packed(1, without="Customer groups.csv"), entity=None, sound=False),
    Upload("odd", good(1), entity=None, sound=False),
    Upload("odd", just(b"PK\x03\x04 but no package"), entity=None, sound=False),
)
"""What is handed to a job for packages."""

FILE_RULES: Final = (
    "enqueue.creates-a-message",
    "enqueue.each-call-its-own-message",
    "enqueue.any-content-type",
    "enqueue.entity-with-percent-20",
    "enqueue.entity-with-plus",
    "enqueue.entity-encoding",
    "enqueue.message-id-form",
    "enqueue.content-type",
    "enqueue.chunked",
    "enqueue.gzip",
    "transport.language-prefix",
    "transport.braced-activity-id",
    "transport.bare-activity-id",
    "transport.path-letter-case",
    "throttling.connector",
    "processing.format-must-match",
    "processing.missing-entity",
    "processing.unknown-entity",
    "processing.empty-body",
    "execution-errors.lists-every-bad-record",
    "execution-errors.none-when-all-is-well",
    "execution-errors.execution-found-by-message",
    "execution-errors.record-members",
    "execution-errors.summary-vocabulary",
    "execution-errors.summary-agrees",
    "execution-errors.value-form",
    "execution-errors.unresolved",
    "status.vocabulary",
    "status.enqueued-until-taken",
    "status.processed-when-all-records-are-good",
    "status.with-errors-when-records-fail",
    "status.final-stays-final",
    "status.jobstatus-agrees",
    "status.odata-answer",
    "status.jobstatus-members",
    "status.jobstatus-state",
    "authorization.issued-token-accepted",
)

PACKAGE_RULES: Final = (
    "packages.utf-8-and-utf-16",
    "packages.folder-inside-fails",
    "packages.missing-part-fails",
    "packages.element-order",
    "processing.format-must-match",
    "status.vocabulary",
    "enqueue.creates-a-message",
)


def imports(tenant: Tenant) -> list[Errand]:
    """The errands of imports; the description tells how often the jobs run."""
    return [_files(tenant), _packages(tenant), _too_large()]


def recurrence(settings: Mapping[str, object]) -> timedelta | None:
    """The processing recurrence of a recurring data job, where the description tells it."""
    minutes = settings.get("processing_recurrence_minutes")
    return timedelta(minutes=minutes) if isinstance(minutes, int) and minutes > 0 else None


def told(tenant: Tenant, role: str) -> Mapping[str, Any]:
    """What the description says of a role's job; nothing where it names none."""
    activity = tenant.activities.get(role)
    return activity.settings if activity is not None else {}


def as_made_up(call: Call, role: str) -> None:
    """See to it that the job is for files as they are made up here.

    Raises:
        Stopped: it is for another entity or format.
    """
    settings = call.settings(role)
    entity, form = str(settings.get("entity", ENTITY)), str(settings.get("format", "CSV"))
    if entity.casefold() != ENTITY.casefold() or form.casefold() != "csv":
        raise Stopped(f"files are made up for {ENTITY} as CSV, and {role} is for {entity} as {form}")


def _files(tenant: Tenant) -> Errand:
    name, role = "import-files", "import-file"
    settings = told(tenant, role)
    uploads = (*FILES, COMPANY) if settings.get("use_company_from_message") is True else FILES
    rules = (*FILE_RULES, "processing.unknown-company") if COMPANY in uploads else FILE_RULES
    return Errand(
        name=name,
        text="Hands in files, sound, faulty and odd ones, and asks what became of them.",
        shows=rules,
        lines=lines(
            name,
            *_upload_lines(role, uploads),
            *_question_lines(role, len(uploads)),
        ),
        takes=takes(settings),
        run=lambda call: _handed_in(call, role, uploads),
        roles=(role,),
    )


def _packages(tenant: Tenant) -> Errand:
    name, role = "import-packages", "import-package"
    return Errand(
        name=name,
        text="Hands in data packages, sound and odd ones, and asks what became of them.",
        shows=PACKAGE_RULES,
        lines=lines(name, *_upload_lines(role, PACKAGES), *_question_lines(role, len(PACKAGES))),
        takes=takes(told(tenant, role)),
        run=lambda call: _handed_in(call, role, PACKAGES),
        roles=(role,),
    )


def takes(settings: Mapping[str, Any]) -> timedelta:
    """How long it takes until all that was handed in has come to its end, one that is stuck included."""
    return (recurrence(settings) or UNTOLD_RECURRENCE) + STUCK + LATER + 2 * LONGEST_PACE


def _upload_lines(role: str, uploads: Sequence[Upload]) -> list[Line]:
    counts = {name: sum(each.line == name for each in uploads) for name in ("sound", "faulty", "odd")}
    texts = {
        "sound": ("files as they should be, differently sent", APPEAR),
        "faulty": ("a file with records that cannot be taken", SOME_APPEAR),
        "odd": ("uploads that a job may refuse or fail over", FAILS),
    }
    return [line(name, vocabulary.ENQUEUE, role, counts[name], *texts[name], bytes_each=SMALL) for name in texts]


def _question_lines(role: str, uploads: int) -> list[Line]:
    looked_into = min(LOOKED_INTO, uploads)
    statuses = TRIES_AT_A_TICK + 3 * uploads + ROUNDS * UNENDING + looked_into
    return [
        line("status", vocabulary.MESSAGE_STATUS, role, statuses, "what became of them"),
        line("jobstatus", vocabulary.JOBSTATUS, role, FIRST_FEW + 2 * looked_into, "the same, asked the other way"),
        line("execution", vocabulary.EXECUTION_ID, role, FIRST_FEW + looked_into, "their executions"),
        line("errors", vocabulary.EXECUTION_ERRORS, role, 2 * looked_into, "the errors of these"),
        line("summary", vocabulary.EXECUTION_SUMMARY, role, looked_into, "the summaries of these"),
    ]


def _handed_in(call: Call, role: str, uploads: Sequence[Upload]) -> Route:
    """Hand all in, wait for their ends, look into some, and look again later."""
    as_made_up(call, role)
    sent: list[Sent] = []
    content = b""
    faulty_always = False
    for upload in uploads:
        content = upload.made(call.random) if upload.content is not None else content
        message = yield from offered(call, role, upload, content, fault_tells=faulty_always)
        if message is None:
            # A fault that stays is the service's answer: the next ones are not repeated for it.
            faulty_always = faulty_always or upload.sound
            continue
        made = Sent(message)
        sent.append(made)
        if len(sent) <= FIRST_FEW:
            yield from asked(call, "execution", wire.execution_id(message))
            yield from asked(call, "jobstatus", wire.jobstatus(call.activity(role), message))
        yield from seen(call, made)
    yield from _until_taken(call, role, sent)
    yield from _until_ended(call, role, sent)
    chosen = _chosen(sent)
    for made in chosen:
        yield from _looked_into(call, role, made)
    if chosen:
        yield Until(call.moment + LATER, "ends of imports to stay as they are")
    for made in chosen:
        yield from seen(call, made)
        yield from asked(call, "jobstatus", wire.jobstatus(call.activity(role), made.message))


def offered(
    call: Call, role: str, upload: Upload, content: bytes, *, fault_tells: bool = False
) -> Generator[Until, None, str | None]:
    """Hand in a file; the message that it made, None where no answer names one.

    `fault_tells`: a fault of the server may be the answer to a sound one as well.
    """
    ask = wire.enqueue(call.activity(role), content, entity=upload.entity, **upload.asked)
    tells = fault_tells or not upload.sound
    reply = yield from asked(call, upload.line, ask, headers=upload.headers, chunked=upload.chunked, fault_tells=tells)
    return wire.message_id(reply)


def seen(call: Call, made: Sent) -> Generator[Until, None, None]:
    """Ask for a message's status once, and note it."""
    reply = yield from asked(call, "status", wire.message_status(made.message), fault_tells=False)
    if reply.ok:
        made.states.append((reply.exchange.answered, wire.message_state(reply)))


def pace_of(call: Call, role: str) -> timedelta:
    """How often to ask whether the batch has run."""
    every = recurrence(call.settings(role)) or UNTOLD_RECURRENCE
    return min(max(every / 10, SHORTEST_PACE), LONGEST_PACE)


def _until_taken(call: Call, role: str, sent: Sequence[Sent]) -> Route:
    """Ask for one message until a run has taken it."""
    watched = next((each for each in sent if each.last == vocabulary.ENQUEUED), None)
    pace = pace_of(call, role)
    for _ in range(TRIES_AT_A_TICK):
        if watched is None or watched.last != vocabulary.ENQUEUED:
            return
        yield Until(call.moment + pace, f"the processing recurrence of {role}")
        yield from seen(call, watched)


def _until_ended(call: Call, role: str, sent: Sequence[Sent]) -> Route:
    """Ask for all that are under way, less and less often, until each is at its end or seems stuck."""
    pace = SHORTEST_PACE
    for _ in range(ROUNDS):
        open_ends = [each for each in sent if not each.final]
        for made in open_ends:
            yield from seen(call, made)
        now = call.moment
        if all(each.final or (each.stuck_at is not None and each.stuck_at <= now) for each in open_ends):
            return
        yield Until(now + pace, f"ends of what was handed to {role}")
        pace = min(pace * 2, LONGEST_PACE)


def _chosen(sent: Sequence[Sent]) -> list[Sent]:
    """Some that were processed: with errors first, which tell the most."""
    failed = [each for each in sent if each.last == vocabulary.PROCESSED_WITH_ERRORS]
    fine = [each for each in sent if each.last == vocabulary.PROCESSED]
    return (failed[: LOOKED_INTO // 2] + fine)[:LOOKED_INTO]


def _looked_into(call: Call, role: str, made: Sent) -> Route:
    reply = yield from asked(call, "execution", wire.execution_id(made.message), fault_tells=False)
    execution = wire.execution(reply)
    asks: list[tuple[str, Ask]] = [("jobstatus", wire.jobstatus(call.activity(role), made.message))]
    if execution is not None:
        asks += [("errors", wire.execution_errors(execution)), ("summary", wire.execution_summary(execution))]
        if made.last == vocabulary.PROCESSED_WITH_ERRORS:
            asks.append(("errors", wire.execution_errors(made.message)))
    for name, ask in asks:
        yield from asked(call, name, ask, fault_tells=False)


def _too_large() -> Errand:
    name, role = "import-too-large", "import-file"

    def run(call: Call) -> Route:
        as_made_up(call, role)
        upload = Upload("large", _large, sound=False)
        yield from offered(call, role, upload, _large(call.random))

    return Errand(
        name=name,
        text="Hands in a file that is larger than a web server takes by default.",
        shows=("enqueue.too-large",),
        lines=(Line(f"{name}/large", vocabulary.ENQUEUE, role, TRIES, FAILS, "a file that is too large", LARGE),),
        takes=timedelta(minutes=2),
        run=run,
        roles=(role,),
    )
