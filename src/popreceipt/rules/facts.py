"""What rules read: each exchange and each observation of a journal as one small fact.

A fact keeps what some rule asks for and drops the rest, so that a million exchanges fit into memory. Facts judge
nothing. Receipts, locations and ids stay opaque: they are only ever compared.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from popreceipt.journal import Body

Fact = TypeVar("Fact")


class Call(msgspec.Struct, gc=False):
    """One exchange, reduced to what rules ask of any: who asked what, when, and how it was answered.

    `path` and `query` stand as they were sent. `activity` is the one the path names, bare and in lower case. `token`
    is the digest of the bearer token. `status` is None without a whole response; `failure` then says why. `root` is the
    scheme and authority that were asked, `retry_after` that header of the answer as it was written.
    """

    seq: int
    sent: datetime
    answered: datetime
    operation: str
    activity: str | None
    method: str
    path: str
    query: str
    status: int | None
    failure: str | None
    actor: str | None
    token: str | None
    root: str = ""
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Answered with a status of success."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Answered, and not with success."""
        return self.status is not None and not 200 <= self.status < 300

    @property
    def in_doubt(self) -> bool:
        """It may have taken effect, or not: no whole answer, or a fault of the server or of a gateway."""
        return self.status is None or self.status >= 500

    @property
    def role(self) -> str | None:
        """The identity that called, as the driver named it: `authorised`, `unlisted`, `unmapped`, `forged`, …"""
        return self.actor.partition("/")[0] if self.actor else None


class Token(Call, gc=False):
    """A request for an access token. `issued` is the digest of the token in the answer."""

    version: int = 1
    grant: str | None = None
    client_id: str | None = None
    audience: str | None = None
    issued: str | None = None
    expires_in: float | None = None
    token_type: str | None = None
    error: str | None = None


class Enqueue(Call, gc=False):
    """A file handed in. `message` is the id in the answer, bare; `form` is the shape that the answer had.

    `announced` is the length that its head told: a body may be missing in the journal though it was on its way.
    `external` is the client's own name for it.
    """

    digest: str = ""
    length: int = 0
    body: Body | None = None
    entity: str | None = None
    company: str | None = None
    content_type: str | None = None
    encoding: str | None = None
    chunked: bool = False
    announced: int | None = None
    external: str | None = None
    message: str | None = None
    form: str | None = None
    answer_type: str | None = None
    answer_length: int = 0


class Dequeue(Call, gc=False):
    """A dequeue and what it gave.

    `kind` is `message` (a file is there), `no-file` (a message that says it has none), `empty`, `malformed` (success,
    but neither of these), `refused` or `failed`. `location` is path and query of the DownloadLocation, `location_root`
    what stands before (scheme and authority). `blank` says how a LastDequeueDateTime without an instant was written
    (`null`, `absent`, `empty`, `0001`, `1900`, `other`), None where there is an instant: `last_dequeue`, in
    `instant_form`.
    """

    kind: str = "failed"
    members: tuple[str, ...] = ()
    correlation: str | None = None
    receipt: str | None = None
    location: str | None = None
    location_root: str | None = None
    file_exists: bool | None = None
    file_error: str | None = None
    blank: str | None = None
    last_dequeue: datetime | None = None
    instant_form: str | None = None
    digest: str = ""
    body: Body | None = None

    @property
    def delivered(self) -> bool:
        """A message was handed out, with a file or without."""
        return self.kind in ("message", "no-file")


class Download(Call, gc=False):
    """A download. `location` is path and query as requested; `digest` that of the bytes that came, where all came.

    `hop` marks a request to where a download was redirected; its `location` is the one that was asked for first.
    `refusal` is the digest of what came instead of a file.
    """

    location: str = ""
    digest: str | None = None
    length: int = 0
    content_type: str | None = None
    redirect: str | None = None
    body: Body | None = None
    hop: bool = False
    refusal: str | None = None


class Ack(Call, gc=False):
    """An acknowledgment. `form` tells its body: `echo` (byte for byte what the dequeue said), `object`, `other`."""

    correlation: str | None = None
    receipt: str | None = None
    members: tuple[str, ...] = ()
    digest: str = ""
    form: str = "other"
    answer_length: int = 0
    content_type: str | None = None
    answer_type: str | None = None
    body: Body | None = None


class StatusAnswer(Call, gc=False):
    """GetMessageStatus or jobstatus for one message.

    `value` is the state as written, `state` the documentation's name for it (None where it is none). `shaped` says
    whether the answer has the members that clients rely on. `number` is set where the state came as a number. `bare`
    says that the message was asked for by a GUID as it stands in the messages grid: no braces, no quotes, lower case;
    `quoted` that the quotes of a JSON text were left around it. `details` are what jobstatus says of each entity, None
    where it says nothing of any. `meant` is the message's ID as a tolerant reader finds it, also in a body that is no
    strict JSON.
    """

    message: str | None = None
    value: str | None = None
    state: str | None = None
    number: bool = False
    shaped: bool = False
    execution: str | None = None
    null: bool = False
    bare: bool = True
    quoted: bool = False
    meant: str | None = None
    details: "tuple[EntityDetail, ...] | None" = None


class EntityDetail(msgspec.Struct, frozen=True, gc=False):
    """What jobstatus says of one entity of an execution; None for a number or an instant that it does not tell."""

    entity: str
    landed: int | None
    failed: int | None
    started: datetime | None
    completed: datetime | None


class ExecutionId(Call, gc=False):
    """GetExecutionIdByMessageId. `execution` is None where the answer has no text; `meant` as in `StatusAnswer`."""

    message: str | None = None
    execution: str | None = None
    named_rightly: bool = True
    shaped: bool = False
    bare: bool = True
    meant: str | None = None


class ErrorEntry(msgspec.Struct, frozen=True, gc=False):
    """One error of one record, as GetExecutionErrors lists it."""

    record: str | None
    field: str | None
    text: str | None


class ExecutionErrors(Call, gc=False):
    """GetExecutionErrors. `form` is `string`, `array`, `malformed` (a list, but broken JSON), `empty` or `other`.

    `meant` is the execution's ID, as in `StatusAnswer`.
    """

    execution: str | None = None
    meant: str | None = None
    form: str | None = None
    entries: tuple[ErrorEntry, ...] = ()
    shaped: bool = False


class ExecutionSummary(Call, gc=False):
    """GetExecutionSummaryStatus. `meant` is the execution's ID, as in `StatusAnswer`."""

    execution: str | None = None
    meant: str | None = None
    value: str | None = None
    shaped: bool = False


class Activity(msgspec.Struct, gc=False):
    """What the control plane said of a recurring data job between `since` and `at`.

    `created` is true where that call made the job, false for a first sight of one that was there and for changes.
    `place` lies between the numbers of the exchanges around it in the journal: it breaks ties on a clock that stands.
    """

    id: str
    since: datetime
    at: datetime
    created: bool
    settings: Mapping[str, Any]
    place: float = 0


class Production(msgspec.Struct, gc=False):
    """An export that was run on purpose: somewhere between `since` and `at`, with or without an upload.

    `place` breaks ties on a clock that stands, as in `Activity`.
    """

    activity: str
    since: datetime
    at: datetime
    message: str
    uploaded: bool
    records: int
    sha256: str | None
    prevention: bool | None
    place: float = 0


class Rows(msgspec.Struct, gc=False):
    """The rows of Manage messages of one activity, between `since` and `at`; `by_id` finds one by its message.

    `place` breaks ties on a clock that stands, as in `Activity`.
    """

    activity: str
    since: datetime
    at: datetime
    by_id: dict[str, Mapping[str, Any]]
    place: float = 0


class Records(msgspec.Struct, gc=False):
    """What an activity's entity held in its target table between `since` and `at`; `entity` as far as it was told."""

    activity: str
    since: datetime
    at: datetime
    records: tuple[Mapping[str, Any], ...]
    place: float = 0
    entity: str | None = None


class ProjectSeen(msgspec.Struct, gc=False):
    """What the control plane said of a data project between `since` and `at`; `created` as in `Activity`."""

    id: str
    since: datetime
    at: datetime
    created: bool
    settings: Mapping[str, Any]
    place: float = 0


class FieldTold(msgspec.Struct, frozen=True, gc=False):
    """A field of an entity as the world describes it; `length` is the most characters, None for any number."""

    name: str
    type: str
    length: int | None
    key: bool
    mandatory: bool


class Cleanup(msgspec.Struct, gc=False):
    """A message clean-up that was run on purpose: between `since` and `at`, by age (days) and statuses."""

    activity: str
    since: datetime
    at: datetime
    older_than: timedelta
    statuses: tuple[str, ...]
    deleted: int
    place: float = 0


class Disturbance(msgspec.Struct, gc=False):
    """Processing that was made to fail on purpose: on one recurring data job, on all where `activity` is None.

    It began after `since` and after its place in the journal, and was over by `end_place`. `kind` is how it fails, in
    the control plane's words.
    """

    activity: str | None
    since: datetime
    place: float
    end_place: float
    kind: str = ""


class ProcessRun(msgspec.Struct, gc=False):
    """A batch run of an import that was started on purpose.

    `place` breaks ties on a clock that stands, as in `Activity`.
    """

    activity: str
    since: datetime
    at: datetime
    processed: int
    place: float = 0


class BatchAction(msgspec.Struct, gc=False):
    """What was done with the batch history of one recurring data job: `get-status` or `delete-history`.

    `place` breaks ties on a clock that stands, as in `Activity`.
    """

    activity: str
    since: datetime
    at: datetime
    action: str
    place: float = 0


class Sample(msgspec.Struct, frozen=True, gc=False):
    """What a monitoring recurrence saw of a queue at an instant; `oldest` is None where it says that nothing waits."""

    at: datetime
    waiting: int
    oldest: timedelta | None
    in_process: int


class Load(msgspec.Struct, gc=False):
    """All samples of one recurring data job's monitoring recurrence, as told between `since` and `at`.

    `place` breaks ties on a clock that stands, as in `Activity`.
    """

    activity: str
    since: datetime
    at: datetime
    samples: tuple[Sample, ...]
    place: float = 0


class Parameters(msgspec.Struct, gc=False):
    """The framework's parameters as told between `since` and `at`; None where the answer has no such member."""

    since: datetime
    at: datetime
    skip_reprocessing: bool | None
    place: float = 0


def extended(listed: Sequence[Fact], another: Fact) -> Sequence[Fact]:
    """A sequence with one more. None takes no room while it is empty, as most of a million are."""
    if isinstance(listed, list):
        listed.append(another)
        return listed
    return [another]


def between(first: Call, second: Call) -> tuple[timedelta, timedelta]:
    """The shortest and the longest time that can have passed between two calls taking effect."""
    return second.sent - first.answered, second.answered - first.sent


# What the instrument tells of a subject: whoever runs somebody's middleware writes these observations.


class Scenario(msgspec.Struct, frozen=True, gc=False):
    """The scenario that a subject was put through, told before it began.

    `roots` are the schemes and authorities that are the target's own, `other_roots` those of hosts that only listen.
    `exports` and `imports` are the jobs of each direction by ID, bare; `inbox` and `outbox` say whether those folders
    are watched. `foreign_certificate`: the target's is of an authority that the subject was not told.
    """

    name: str
    at: datetime
    seconds: float
    roots: frozenset[str] = frozenset()
    other_roots: frozenset[str] = frozenset()
    tls: bool = False
    exports: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    in_order: bool = False
    entity: str | None = None
    import_type: str = "file"
    inbox: bool = False
    outbox: bool = False
    foreign_certificate: bool = False


class FileSeen(msgspec.Struct, frozen=True, gc=False):
    """A file in one of the subject's folders: its path below the folder, its SHA-256 and length in bytes."""

    name: str
    sha256: str
    length: int


class Look(msgspec.Struct, gc=False):
    """A look into the inbox or the outbox at an instant: what was there, and what was not there before.

    `reason` is `start`, `ack` (an acknowledgment had just come in and was not yet answered) or `end`. `place` lies
    before that of the exchange it was taken for.
    """

    at: datetime
    reason: str
    appeared: tuple[FileSeen, ...]
    gone: tuple[str, ...]
    place: float = 0


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What the instrument put into the queue of an export: digests of the file, and of each data file in a package."""

    sha256: str
    contents: frozenset[str]


class Told(msgspec.Struct, gc=False):
    """A line that the subject wrote into its report: a file's message and what became of it, as the subject believes.

    `outcome` is `processed`, `failed` or `uncertain`; `errors` are texts.
    """

    at: datetime
    file: str | None
    message: str | None
    outcome: str
    errors: tuple[str, ...] = ()
    place: float = 0


class Run(msgspec.Struct, gc=False):
    """One life of the subject's process: `ended` is None while it lives, `status` its exit status (negative: a signal).

    `ended_by` is `itself`, or `us` where the instrument ended it because the scenario was over.
    """

    number: int
    started: datetime
    ended: datetime | None = None
    status: int | None = None
    ended_by: str | None = None
    place: float = 0
    end_place: float | None = None


class Connection(msgspec.Struct, gc=False):
    """What reached a listener of the instrument without becoming a request to the application.

    `kind` is `clear-text` (HTTP without TLS on an address that speaks TLS), `elsewhere` (a request to another host),
    `connect` (a CONNECT for `root`, `accepted` or not) or `tls-failed` (a handshake that the subject broke off, as it
    should where the certificate is none of its authority's). `token` is the digest of a bearer token that came along;
    `method`, `path` and `query` where a request was read.
    """

    at: datetime
    kind: str
    root: str
    token: str | None = None
    method: str | None = None
    path: str = ""
    query: str = ""
    accepted: bool = False
    place: float = 0


class Struck(msgspec.Struct, gc=False):
    """A planned fault that struck a request: `exchange` is its number, `phase` before or after the effect.

    `took_effect` says whether the service did what was asked although its answer was lost or replaced.
    """

    at: datetime
    kind: str
    phase: str | None
    operation: str
    exchange: int | None
    took_effect: bool
    place: float = 0


class Altered(msgspec.Struct, frozen=True, gc=False):
    """What an enqueue carried is a file of the outbox with something missing: `cut-off`, or `letters-lost`.

    `place` lies before that of the exchange.
    """

    file: str
    how: str
    place: float
