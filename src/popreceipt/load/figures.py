"""What one process of a load run counted, and how the figures of several become one.

Latencies are kept in HDR histograms (microseconds, three significant digits), which add up without loss; so a
percentile of the whole run is one of all its requests. It reads no clock: whoever counts says when it was.
"""

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from math import ceil
from typing import Final

import msgspec
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it comes without types

from popreceipt.load.pace import Pace

FORMAT: Final = "popreceipt/load-figures@1"

LONGEST_MICROSECONDS: Final = 24 * 3_600 * 1_000_000

DIGITS: Final = 3
"""Significant digits that a histogram keeps of a latency."""

PRODUCE: Final = "produce"
"""What the control plane's call by which exports are produced is counted as, beside the journal's operations."""

PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}


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
    """The queue's depth at its end, by the run's own count of exports: produced, and not yet acknowledged."""


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
        finished: it ran to the plan's end, and nothing that it began was cut short.
        arrivals: how many there were to be by the plan, as drawn, up to where the run ended.
        began: the target's time (ISO 8601) when arrivals began: where the first of the minutes begins.
        seconds: how many requests were answered in each real second from then on; how busy a moment was shows there,
            whatever a minute of the target's time is.
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
    finished: bool = True
    arrivals: int = 0
    began: str = ""
    seconds: list[int] = []


def added(figures: Iterable[Figures]) -> Figures:
    """The figures of several processes as one: counts add up, histograms merge, the worst lag is the worst of all.

    CPU seconds add up as well; the wall's are the longest. A depth that one process knows, and another does not, is
    that of the one; where a process ended earlier its last depth stays.
    """
    total = Figures()
    for each in figures:
        total = msgspec.structs.replace(
            total,
            worker=_joined(total.worker, each.worker),
            operations=_operations(total.operations, each.operations),
            minutes=_minutes(total.minutes, each.minutes),
            worst_lag_seconds=max(total.worst_lag_seconds, each.worst_lag_seconds),
            late=total.late + each.late,
            not_begun=total.not_begun + each.not_begun,
            cpu_seconds=total.cpu_seconds + each.cpu_seconds,
            wall_seconds=max(total.wall_seconds, each.wall_seconds),
            journal=_joined(total.journal, each.journal),
            errors=_counts(total.errors, each.errors),
            polls=total.polls + each.polls,
            finished=total.finished and each.finished,
            arrivals=total.arrivals + each.arrivals,
            began=min(filter(None, (total.began, each.began)), default=""),
            seconds=[sum(both) for both in zip_longest(total.seconds, each.seconds, fillvalue=0)],
        )
    return total


def percentiles(encoded: str) -> Mapping[str, float]:
    """Milliseconds by name (p50, p90, p95, p99, p99.9, max, mean) of an encoded histogram; all 0 of an empty one.

    A percentile is the smallest value that so many do not exceed. The library rounds to the nearest request, so that
    of 160 requests two could exceed its 99th percentile; therefore it is asked for whole requests, rounded up.
    """
    histogram = HdrHistogram.decode(encoded)
    count = histogram.get_total_count()
    asked = {name: ceil(round(share * count / 100, 6)) / count * 100 for name, share in PERCENTILES.items() if count}
    found = histogram.get_percentile_to_value_dict(list(asked.values())) if count else {}
    told = {name: found[asked[name]] / 1_000 if count else 0.0 for name in PERCENTILES}
    return told | {"max": histogram.get_max_value() / 1_000, "mean": histogram.get_mean_value() / 1_000}


def merged(*encoded: str) -> str:
    """Several encoded histograms as one."""
    histogram = _histogram()
    for each in encoded:
        histogram.decode_and_add(each)
    return _encoded(histogram)


class Tally:
    """Counts while load runs.

    Args:
        worker: the process's name.
        seconds_a_minute: real seconds in one minute of the target's time.
        lag_seconds: what the generator may be late; more counts as late.
    """

    def __init__(self, worker: str, seconds_a_minute: float, lag_seconds: float) -> None:
        self._figures = Figures(worker=worker, operations={}, minutes=[], errors={}, seconds=[])
        self._minute = seconds_a_minute
        self._lag = lag_seconds
        self._operations: dict[str, _Operation] = {}
        self._depth: int | None = None
        self._depths: dict[int, int] = {}

    def due(self, at: float, lag: float) -> None:
        """A request was intended at `at` (real seconds from the run's start) and begins now, `lag` seconds later."""
        figures = self._figures
        self._at(at).intended += 1
        self._at(at + lag).begun += 1
        if lag > figures.worst_lag_seconds:
            figures.worst_lag_seconds = lag
        if lag > self._lag:
            figures.late += 1

    def arrived(self) -> None:
        """The plan had an arrival here."""
        self._figures.arrivals += 1

    def missed(self, count: int) -> None:
        """So many arrivals were due and never began."""
        self._figures.not_begun += count

    def answered(self, operation: str, at: float, response: float, service: float, failure: str | None = None) -> None:
        """A request ended at `at`, in real seconds: its response time, its service time, and how it failed, if so."""
        known = self._operations.get(operation)
        if known is None:
            known = self._operations[operation] = _Operation()
        known.response.record_value(min(int(response * 1e6), LONGEST_MICROSECONDS))
        known.service.record_value(min(int(service * 1e6), LONGEST_MICROSECONDS))
        seconds, second = self._figures.seconds, max(0, int(at))
        while len(seconds) <= second:
            seconds.append(0)
        seconds[second] += 1
        minute = self._at(at)
        minute.answered += 1
        if failure is not None:
            minute.failed += 1
            known.failures[failure] = known.failures.get(failure, 0) + 1

    def found_nothing(self) -> None:
        """A dequeue was answered that nothing waits."""
        self._figures.polls += 1

    def deeper(self, at: float, by: int) -> None:
        """The queue got deeper at `at`: a message was produced (1) or acknowledged (-1)."""
        self._depth = (self._depth or 0) + by
        self._at(at)
        self._depths[self._index(at)] = self._depth

    def error(self, words: str) -> None:
        """Something went wrong in the harness itself."""
        self._figures.errors[words] = self._figures.errors.get(words, 0) + 1

    def figures(self, *, journal: str, began: str, cpu_seconds: float, wall_seconds: float, finished: bool) -> Figures:
        """What was counted, with what only the process itself knows."""
        depth = None if self._depth is None else 0
        minutes = []
        for number, minute in enumerate(self._figures.minutes):
            depth = self._depths.get(number, depth)
            minutes.append(msgspec.structs.replace(minute, waiting=depth))
        return msgspec.structs.replace(
            self._figures,
            operations={name: each.latencies() for name, each in sorted(self._operations.items())},
            minutes=minutes,
            journal=journal,
            began=began,
            cpu_seconds=cpu_seconds,
            wall_seconds=wall_seconds,
            finished=finished,
        )

    def pace(self, minutes: float) -> Pace:
        """How it goes, for whoever watches, so many minutes of the target's time after the start."""
        counted = self._figures
        return Pace(
            minutes=minutes,
            arrivals=counted.arrivals,
            requests=sum(each.answered for each in counted.minutes),
            failed=sum(each.failed for each in counted.minutes),
            waiting=self._depth,
            lag_seconds=counted.worst_lag_seconds,
        )

    def _at(self, at: float) -> Minute:
        minutes, index = self._figures.minutes, self._index(at)
        while len(minutes) <= index:
            minutes.append(Minute())
        return minutes[index]

    def _index(self, at: float) -> int:
        return max(0, int(at / self._minute))


class _Operation:
    def __init__(self) -> None:
        self.response = _histogram()
        self.service = _histogram()
        self.failures: dict[str, int] = {}

    def latencies(self) -> Latencies:
        count = self.response.get_total_count()
        return Latencies(_encoded(self.response), _encoded(self.service), count, dict(self.failures))


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, LONGEST_MICROSECONDS, DIGITS)


def _encoded(histogram: HdrHistogram) -> str:
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")


def _joined(one: str, other: str) -> str:
    return ",".join(each for each in (one, other) if each)


def _counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *other)}


def _operations(one: Mapping[str, Latencies], other: Mapping[str, Latencies]) -> dict[str, Latencies]:
    both = dict(one)
    for name, each in other.items():
        known = both.get(name)
        both[name] = (
            each
            if known is None
            else Latencies(
                merged(known.response, each.response),
                merged(known.service, each.service),
                known.requests + each.requests,
                _counts(known.failures, each.failures),
            )
        )
    return dict(sorted(both.items()))


def _minutes(one: list[Minute], other: list[Minute]) -> list[Minute]:
    both = []
    depth, other_depth = None, None
    for mine, yours in zip_longest(one, other):
        depth = depth if mine is None or mine.waiting is None else mine.waiting
        other_depth = other_depth if yours is None or yours.waiting is None else yours.waiting
        a, b = mine or Minute(), yours or Minute()
        both.append(
            Minute(
                a.intended + b.intended,
                a.begun + b.begun,
                a.answered + b.answered,
                a.failed + b.failed,
                None if depth is None and other_depth is None else (depth or 0) + (other_depth or 0),
            )
        )
    return both
