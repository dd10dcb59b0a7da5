"""What a load run should do, as data: the scenario, its rates in the target's time, its shape and its thresholds.

The same plan goes to every process of a run, as JSON. Rates are messages an hour and recurrences minutes, as an
administrator of the target thinks; times are the target's wherever nothing else is said.
"""

from typing import Final, Literal

import msgspec

SCENARIOS: Final = ("imports", "exports", "polling", "watching", "mixed")
"""Names of the files in `locustfiles/`: import producers; export consumers (dequeue, download, ack); import producers
with status pollers; an administrator who watches; all of them."""

CONSUMING: Final = frozenset({"exports", "mixed"})
"""Of these, those in which exports are consumed."""

SHAPES: Final = ("steady", "ticks", "business-day", "ramp", "soak", "outage")

Shape = Literal["steady", "ticks", "business-day", "ramp", "soak", "outage"]
"""How arrivals are spread: evenly at random; all of a recurrence at its tick (a moment
after the jobs' own tick, where that comes within a real minute); by the hours of a working day; rising until something
gives way; steady for long; steady with consumers that are away for an hour and catch up."""


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What decides the exit status beside the rules; None does not decide.

    Args:
        p95_ms: of the response time, real milliseconds from the intended start, for each operation.
        error_share: of all requests, the share without a success (an empty queue's answer is one).
        min_requests: fewer of them prove nothing.
    """

    p95_ms: float | None = None
    error_share: float | None = 0.01
    min_requests: int = 1


class LoadPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run.

    Args:
        scenario: one of `SCENARIOS`.
        shape: one of `SHAPES`.
        per_hour: messages an hour of the target's time: enqueued, or produced for consumers; at the peak for
            `business-day`, at the end for `ramp`.
        minutes: how long it lasts, in the target's time.
        activities: so many recurring data jobs share the load.
        processing_minutes: their processing recurrence; the ticks of the shape `ticks`.
        monitoring_minutes: their monitoring recurrence, and how often the run itself counts; None for neither.
        consumers: export consumers, each polling when it found nothing.
        poll_minutes: from an empty answer to the next poll.
        pollers: status pollers.
        records: records in each file.
        outage_minutes: for `outage`: how long consumers are away, from a third of the run on.
        lag_seconds: real seconds that the generator may fall behind an intended start; more makes the run INVALID.
        seed: of arrivals, sizes and choices.
        thresholds: what decides the exit status.
    """

    scenario: str = "mixed"
    shape: Shape = "steady"
    per_hour: float = 600.0
    minutes: float = 60.0
    activities: int = 1
    processing_minutes: float = 5.0
    monitoring_minutes: float | None = 15.0
    consumers: int = 2
    poll_minutes: float = 1.0
    pollers: int = 1
    records: int = 3
    outage_minutes: float = 60.0
    lag_seconds: float = 0.5
    seed: int = 0
    thresholds: Thresholds = Thresholds()


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the load goes: what each process of a run has to know of the target.

    It may hold the secret of a test server's client, so it travels through pipes, or in a file that only its owner may
    read, never in a command line, a journal or a report. A tenant's is not among it: each process finds it by itself.

    Args:
        base_url: scheme, authority and perhaps a path before the API's.
        identity: the member `identity` of the control plane's world, or the same from a tenant's configuration.
        imports: activity IDs that take files.
        exports: activity IDs that are dequeued.
        ca: file with the certificate authority of a TLS target.
        control: whether there is a control plane (exports are produced, and Manage messages are asked, through it).
        control_key: its key.
        clock: manual is refused; scaled or system.
        rate: the target's seconds in a real one.
        target_at_start: the target's time (ISO 8601) when `real_at_start` was read.
        real_at_start: seconds of the stopwatch of the machine that began the run. A process on another machine reads
            the target's clock itself and leaves both aside.
        clock_error_seconds: how far the first of them may be off.
        machine: tells whether the stopwatch is one's own.
        entity: the entity's name that enqueues carry.
        name: the target, as the user named it.
        abilities: what it is able to do.
        build: what it calls itself.
    """

    base_url: str
    identity: dict[str, object]
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    clock: str
    rate: float
    target_at_start: str
    real_at_start: float
    clock_error_seconds: float
    machine: str
    name: str
    build: str = ""
    abilities: tuple[str, ...] = ()
    entity: str = "Customer groups"
    ca: str | None = None
    control: bool = True
    control_key: str | None = None
    package: bool = False


class Errand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a Locust process is told: the plan, the place, the folder for what it leaves behind.

    `worker` and `workers` divide the arrivals: of N workers each makes an Nth of every stream, at its own instants.
    `start` is when arrivals begin, in seconds of the stopwatch from `Site.real_at_start`.
    """

    plan: LoadPlan
    site: Site
    folder: str
    worker: int = 0
    workers: int = 1
    start: float = 0.0
