"""What a scenario is: what waits for the subject, what goes wrong and when. No process, no socket and no clock here.

A scenario has one thing that goes wrong, at a named place, never by chance. Its lengths of time are in leases, since
the lease is what a run shortens: half an hour in the documentation ("API for acknowledgment"), some seconds here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Side = Literal["export", "import"]
"""Seen from the service, as the documentation says it: a subject pulls exports and pushes imports."""

Ending = Literal["settled", "time"]

PayloadType = Literal["file", "package"]

FileKind = Literal["good", "bad-records", "unreadable", "empty", "large", "long"]
"""What becomes of a file: Processed, ProcessedWithErrors, PreProcessingError; no bytes at all; above the limit."""

Action = Literal["produce", "expire", "clean-up", "disable", "enable", "revoke", "restart", "calm"]

EXPORT: Final[Side] = "export"
IMPORT: Final[Side] = "import"

SIDES: Final[tuple[Side, ...]] = (EXPORT, IMPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What the export puts into the queue before the subject starts.

    `messages` files of `records` records each; `no_file` messages without a file come at place `no_file_at` (from 1) of
    the line. The files of the first `expired` messages are gone from blob storage: from the start, or
    (`expires = "after-delivery"`) as soon as the subject has been told where they lie.
    """

    messages: int = 3
    records: int = 3
    type: PayloadType = "package"
    no_file: int = 0
    no_file_at: int = 2
    expired: int = 0
    expires: Literal["before", "after-delivery"] = "before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The files that lie in the outbox, by what becomes of each, and the job that they are for.

    `process_every` is how often the batch looks, in leases; 0 for never (no batch job runs).
    """

    files: tuple[FileKind, ...] = ("good", "good", "good")
    type: PayloadType = "file"
    in_order: bool = False
    entity: str = "Customer groups"
    process_every: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that happens while the subject runs, `at` so many leases after its start.

    With `after` the time counts from the moment at which the `count`th request of that operation was answered: what
    depends on how far the subject is must not depend on how quick it is. `action` is `produce` (with `messages` of
    `records` each), `expire` (what was handed out or waits loses its file), `clean-up` (all messages of the side are
    deleted), `disable` and `enable` (the application on the policy of the side's job), `revoke` (every token that was
    issued is refused from now on), `restart` (the connections of the moment are cut) or `calm` (the planned faults are
    over).
    """

    action: Action
    at: float = 0.0
    after: str | None = None
    count: int = 1
    side: Side = EXPORT
    messages: int = 1
    records: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What stands between the subject and the connector.

    `tls`: the scenario needs TLS. `location_host` is the host that DownloadLocation names: the connector's `own`, or
    `other` (127.0.0.2); `redirect_host` that of the blob where a download is redirected. `certificate` is of the
    authority that the subject was told, or of a `foreign` one.
    """

    tls: bool = False
    location_host: Literal["own", "other"] = "own"
    redirect_host: Literal["own", "other"] = "own"
    certificate: Literal["own", "foreign"] = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One situation in which a subject is put.

    Args:
        name: as it is called on the command line; the file's name without its ending.
        title: what goes wrong, in a sentence.
        source: where it was seen or what promises it: an article and its section, or a public client and what it met.
        sides: which sides of a subject it concerns; a subject without them is not started for it.
        quick: whether it belongs to the selection that is played by default.
        leases: how long it lasts at most.
        lease_factor: by how much its lease is longer than the run's.
        ends: `settled` ends it once nothing is left to do and that has been so for a moment; `time` never before.
        export: what waits in the queue.
        imports: what lies in the outbox; the table [import] of the file.
        points: open points that are answered otherwise, by name (a dialect of the emulator).
        parameters: further members of the emulator's profile, in seconds where they are lengths of time.
        faults: planned faults, as the control plane's fault plan has them; `leases` may stand for `seconds`, the
            operation `status` for every way to ask for one.
        steps: what happens in between.
        network: what stands in between.
        touches: open points that matter in it: a sweep plays it under each of their dialects.
        shows: rules that the reference middleware exercises in it.
        dialect: what a sweep put on it, `POINT=VALUE`, or several with a comma between.
    """

    name: str
    title: str
    source: str
    sides: tuple[Side, ...] = (EXPORT,)
    quick: bool = False
    leases: float = 3.0
    lease_factor: float = 1.0
    ends: Ending = "settled"
    export: Exported | None = None
    imports: Imported | None = None
    points: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, float | int | bool] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Step, ...] = ()
    network: Network = Network()
    touches: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    dialect: str | None = None
