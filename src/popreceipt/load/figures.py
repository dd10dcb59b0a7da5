"""What one process of a load run counted, and how the figures of several become one.

Latencies are kept in HDR histograms (microseconds, three significant digits), which add up without loss; so a
percentile of the whole run is one of all its requests.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

FORMAT: Final = "popreceipt/load-figures@1"

LONGEST_MICROSECONDS: Final = 24 * 3_600 * 1_000_000


class Latencies(msgspec.Struct):
    """One operation (enqueue, dequeue, download, ack, jobstatus, …) as its callers saw it, in real time.

    Args:
        response: an encoded HDR histogram of microseconds from the intended start to the answer's end.
        service: the same from the request's actual start.
        requests: how many.
        failures: of these without a success, by what they said (`500`, `timeout`, …).
    """

    response: str
    service: str
    requests: int = 0
    failures: dict[str, int] = {}


class Minute(msgspec.Struct):
    """What happened in one minute of the target's time, counted from the run's start."""

    intended: int = 0
    begun: int = 0
    answered: int = 0
    failed: int = 0
    waiting: float | None = None
    """The queue's depth at its end, by the run's own count: enqueued or produced, and not yet processed or acked."""


class Figures(msgspec.Struct):
    """What a process counted.

    Args:
        worker: its name; several of them are joined by commas.
        operations: by operation.
        minutes: by minute of the target's time.
        worst_lag_seconds: how late (real seconds) the generator itself was at worst: an arrival's actual start minus
            its intended one, waiting for the target not included.
        late: arrivals that began later than the plan's lag.
        not_begun: arrivals that were due and never began.
        cpu_seconds: what the process used.
        wall_seconds: how long it ran load.
        journal: the file with its exchanges.
        errors: exceptions in users, in words, with how often; each is a fault of the harness.
        polls: dequeues that found nothing.
    """

    format: str = FORMAT
    worker: str = ""
    operations: dict[str, Latencies] = {}
    minutes: list[Minute] = []
    worst_lag_seconds: float = 0.0
    late: int = 0
    not_begun: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    journal: str = ""
    errors: dict[str, int] = {}
    polls: int = 0


def added(figures: Iterable[Figures]) -> Figures:
    """The figures of several processes as one: counts add up, histograms merge, the worst lag is the worst of all."""
    raise NotImplementedError(figures)


def percentiles(encoded: str) -> Mapping[str, float]:
    """Milliseconds by name (p50, p90, p95, p99, p99.9, max, mean) of an encoded histogram."""
    raise NotImplementedError(encoded)
