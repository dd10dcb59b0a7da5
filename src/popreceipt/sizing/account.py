"""Prediction held to account: the same arrivals through the emulator, over HTTP and in virtual time.

The emulator is told the plan's batch job by its profile; how long a file takes to process is told by the number of its
records. What Manage messages says afterwards stands beside what sizing has predicted for the same arrivals and the same
service times. Consumers of exports are played likewise: they poll, download, hold and acknowledge at instants of the
emulator's clock. Neither side knows anything of the other: they share arrivals and durations, and nothing else.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import IO, Any, Final

import msgspec
import numpy as np

from popreceipt.client import wire
from popreceipt.client.formats import written
from popreceipt.client.wire import Reply
from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.server import HttpServer
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import instant
from popreceipt.sizing.consumers import Habits, Walked, walk
from popreceipt.sizing.in_force import beside
from popreceipt.sizing.lease import share
from popreceipt.sizing.plan import Arrivals, BatchJob, Export, Plan
from popreceipt.sizing.recorded import Recorded, Row
from popreceipt.sizing.result import Compared
from popreceipt.sizing.simulation import Job, simulate
from popreceipt.sizing.work import DAY, MINUTE, Work, drawn, work_of
from popreceipt.targets import Target, open_target

ENTITY: Final = "Customer groups"
COLUMNS: Final = ("CUSTOMERGROUPID", "DESCRIPTION", "PAYMENTTERMID")

MESSAGES: Final = 3_000
"""So many messages of a plan are sent at most: each costs two requests."""

RECORDS: Final = 20
"""Records of a file that takes as long as the mean one. More of them would tell service times more finely."""

TICK: Final = 0.001
"""Seconds to which arrivals are rounded, so that both sides speak of the same instants."""

ALLOWED: Final = {"wait, mean": 0.05, "wait, p95": 0.05, "backlog, maximum": 0.10}
"""How far prediction and observation may be apart, as a share of what was observed."""

Progress = Callable[[int, int, str], None]
"""Told how much is done, of how much, and of what."""


@dataclass(frozen=True, slots=True)
class Account:
    """What was predicted for a plan under one recurrence, beside what the emulator did.

    Args:
        name: the plan's.
        setting: in words: the recurrence, or the consumers.
        messages: how many there were.
        compared: figure by figure.
    """

    name: str
    setting: str
    messages: int
    compared: tuple[Compared, ...]

    @property
    def within(self) -> bool:
        """Whether every figure that is held to a difference keeps within it."""
        return all(each.within is not False for each in self.compared)


def _silent(done: int, total: int, words: str) -> None:
    """Tell nobody."""


# Imports: a batch job with its recurrence


def processing(name: str, plan: Plan, minutes: float, *, most: int = MESSAGES, progress: Progress = _silent) -> Account:
    """Hold the prediction for one processing recurrence to account.

    Args:
        name: the plan's, for the account.
        plan: what comes and how it is processed; its first messages are sent, with the plan's own seed.
        minutes: the processing recurrence; the emulator's are whole ones.
        most: so many messages at most.
        progress: told how far it is.

    Raises:
        UsageError: the recurrence is no whole number of minutes, or nothing arrives.
        NothingProved: the emulator refused a message, or did not process it.
    """
    work, record_seconds = told_by_records(shortened(work_of(plan, seed=plan.run.seed), most))
    observed = observe(work, plan.batch, minutes, record_seconds=record_seconds, progress=progress)
    predicted = simulate(work, job_of(plan.batch, minutes))
    figures = tuple(judged(each) for each in beside(predicted, observed))
    return Account(name, f"every {minutes:g} minutes", len(work.arrived), figures)


def judged(figure: Compared) -> Compared:
    """A figure with what it is allowed to be off by, and whether it keeps to that."""
    allowed = ALLOWED.get(figure.what)
    if allowed is None:
        return figure
    difference = abs(figure.predicted - figure.observed)
    return replace(figure, allowed=allowed, within=bool(difference <= allowed * abs(figure.observed) + 1e-9))


def job_of(batch: BatchJob, minutes: float) -> Job:
    """The batch job of a plan under one recurrence, as the simulation takes it."""
    threads = 1 if batch.in_order else batch.parallel
    return Job(minutes * MINUTE, threads, batch.startup_seconds, batch.after_overrun == "at-once")


def shortened(work: Work, most: int) -> Work:
    """The first messages of a work, at instants that can be told in whole milliseconds.

    Raises:
        UsageError: nothing arrives.
    """
    if not len(work.arrived):
        raise UsageError(
            "Nothing arrives in the time that the plan covers, so nothing can be observed: add [run] days."
        )
    horizon = float(work.arrived[most]) if len(work.arrived) > most else work.horizon
    arrived = np.round(work.arrived[:most] / TICK) * TICK
    return replace(work, arrived=arrived, service=work.service[:most], horizon=horizon)


def told_by_records(work: Work) -> tuple[Work, float]:
    """The same work with service times that files can tell: whole numbers of records; and the seconds of a record."""
    service = work.service
    if np.ptp(service) == 0:
        return work, float(service[0])
    seconds = max(TICK, round(float(service.mean()) / RECORDS, 3))
    return replace(work, service=np.maximum(1.0, np.round(service / seconds)) * seconds), seconds


def observe(
    work: Work,
    batch: BatchJob,
    minutes: float,
    *,
    record_seconds: float,
    journal_file: IO[bytes] | None = None,
    progress: Progress = _silent,
) -> Recorded:
    """Send the work to an emulator over HTTP, in virtual time, and tell what Manage messages says in the end.

    Args:
        work: its service times are whole numbers of records.
        batch: how the emulator's batch job processes it.
        minutes: the processing recurrence.
        record_seconds: how long one record takes to process.
        journal_file: takes the whole journal, if one is wanted.
        progress: told how many messages were sent.

    Raises:
        UsageError: the recurrence is no whole number of minutes.
        NothingProved: the emulator refused a message, or did not process it.
    """
    if minutes != int(minutes):
        raise UsageError(f"The emulator's recurrences are whole minutes, not {minutes:g}.")
    profile = Profile(
        preprocessing=timedelta(0),
        processing=timedelta(0),
        processing_record=timedelta(seconds=record_seconds),
        batch_startup=timedelta(seconds=batch.startup_seconds),
        batch_parallel=1 if batch.in_order else batch.parallel,
        batch_overrun=batch.after_overrun,
    )
    # A file without records would be processed in no time; one of no time still has a record.
    records = [max(1, round(each / record_seconds)) if record_seconds else 1 for each in work.service.tolist()]
    with emulated(profile, journal_file) as target:
        control = target.control_for("create-activity")
        activity = control.create(
            direction="import", in_order=batch.in_order, processing_recurrence_minutes=int(minutes)
        )["id"]
        pace = _Pace(target)
        for number, (arrival, count) in enumerate(zip(work.arrived.tolist(), records, strict=True), 1):
            pace.until(arrival)
            ask = wire.enqueue(activity, _file(number, count), entity=ENTITY, content_type="text/csv")
            reply = target.session.send(ask, actor="authorised", token=target.tokens.current())
            if not reply.ok:
                raise _refused("an enqueue", reply)
            progress(number, len(records), "messages sent")
        patience = 12 * minutes * MINUTE + batch.startup_seconds + float(work.service.max())
        rows = _processed(target, activity, pace, patience, len(records))
        if journal_file is not None:
            target.journal.seal()
    return Recorded.of(map(_instants, rows))


@contextmanager
def emulated(profile: Profile, journal_file: IO[bytes] | None = None) -> Iterator[Target]:
    """An emulator of this profile behind loopback HTTP, its clock moved by whoever drives it."""
    with (
        HttpServer(Emulator(ManualClock(), profile)) as server,
        open_target(server.base_url, journal_file=journal_file) as target,
    ):
        yield target


class _Pace:
    """Moves a target's clock to instants that are counted in seconds from now."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._origin = target.times.earliest()

    def until(self, seconds: float) -> None:
        """Let it be so many seconds after the origin, unless it is."""
        due = self._origin + timedelta(milliseconds=round(seconds * 1000))
        step = (due - self._target.times.earliest()).total_seconds()
        if step > 0:
            self._target.advance(timedelta(seconds=step))

    @property
    def now(self) -> float:
        """Seconds since the origin."""
        return (self._target.times.earliest() - self._origin).total_seconds()


def _processed(target: Target, activity: str, pace: _Pace, patience: float, number: int) -> list[dict[str, Any]]:
    """The rows of Manage messages once all is processed; in so many seconds at least one has to be."""
    control = target.control_for("messages")
    open_before = math.inf
    while True:
        pace.until(pace.now + patience)
        rows = control.messages(activity)
        left = number - sum(1 for row in rows if row["ProcessingCompletedDateTime"])
        if not left:
            break
        if left >= open_before:
            raise NothingProved(f"{left} of {number} messages are not processed, and {patience:.0f} s change nothing.")
        open_before = left
    if bad := [row for row in rows if row["Status"] != "Processed"]:
        raise NothingProved(f"The message {bad[0]['MessageId']} ended as {bad[0]['Status']}, not as Processed.")
    return rows


def _instants(row: dict[str, Any]) -> Row:
    enqueued, started, completed = (
        instant(row[each]).timestamp()
        for each in ("EnqueueDateTime", "ProcessingStartedDateTime", "ProcessingCompletedDateTime")
    )
    return enqueued, started, completed


def _file(number: int, records: int) -> bytes:
    """A file of so many records, unlike any other."""
    rows = (
        {"CUSTOMERGROUPID": f"G{each}", "DESCRIPTION": f"Message {number}", "PAYMENTTERMID": ""}
        for each in range(records)
    )
    return written(rows, COLUMNS, "CSV", entity=ENTITY)


def _refused(what: str, reply: Reply) -> NothingProved:
    said = reply.failure or f"{reply.status} {reply.body[:200].decode('utf-8', 'replace')}"
    return NothingProved(f"The emulator refused {what}: {said.strip()}.")


# Exports: consumers and the half hour


def lease_side(name: str, plan: Plan, *, most: int = MESSAGES, progress: Progress = _silent) -> Account:
    """Hold what is predicted of redeliveries to account: consumers as the plan has them, against the emulator.

    Args:
        name: the plan's, for the account.
        plan: of which the table `[export]` counts.
        most: so many messages at most.
        progress: told how many messages were produced.

    Raises:
        UsageError: the plan has no lease side, or nothing arrives.
        NothingProved: the emulator refused a call that it should take.
    """
    export = plan.export
    if export is None:
        raise UsageError(f"The plan {name} has no table [export]: there is no lease to be held to account.")
    work = shortened(work_of(_produced(plan, export), seed=plan.run.seed), most)
    times = holding_times(export, plan.run.seed)
    habits = Habits(export.poll_minutes * MINUTE, export.consumers, export.prefetch)
    predicted = walk(work.arrived, habits, iter(times), until=work.horizon)
    observed = consume(work, habits, iter(times), progress=progress)
    consumers = f"{export.consumers} {'consumer' if export.consumers == 1 else 'consumers'}, {export.prefetch} at once"
    setting = f"{consumers}, a poll every {export.poll_minutes:g} minutes"
    return Account(name, setting, len(work.arrived), beside_consumed(work, predicted, observed))


def beside_consumed(work: Work, predicted: Walked, observed: "Consumed") -> tuple[Compared, ...]:
    """What was predicted of deliveries beside what consumers have seen: a share has to lie in its interval."""
    first = np.unique(predicted.message, return_index=True)[1]
    again = np.bincount(predicted.message, minlength=1) > 1
    expected = share(again[predicted.message[first]], predicted.batch[first])
    seen = observed.again / max(1, observed.messages)
    redelivered = len(predicted.message) - len(first)
    days = work.horizon / DAY
    # The delivery whose acknowledgment counted is the last one of each message: a dictionary keeps that.
    held = list(dict(zip(predicted.message.tolist(), predicted.holds.tolist(), strict=True)).values())

    def minutes(percent: float) -> Compared:
        each = _percentile(held, percent), _percentile(observed.held, percent)
        return Compared(f"held, p{percent:g}", *each, "minutes", None, None)

    return (
        Compared(
            f"delivered again, share (95 % interval {expected.low:.2%} to {expected.high:.2%})",
            expected.value,
            seen,
            "",
            None,
            expected.low <= seen <= expected.high,
        ),
        Compared("redeliveries", redelivered / days, observed.redeliveries / days, "a day", None, None),
        Compared(
            "messages delivered", float(len(first)), float(observed.messages), "", 0.0, len(first) == observed.messages
        ),
        minutes(50),
        minutes(95),
    )


def _percentile(seconds: Sequence[float], percent: float) -> float:
    """In minutes."""
    return float(np.percentile(seconds, percent)) / MINUTE if len(seconds) else 0.0


def _produced(plan: Plan, export: Export) -> Plan:
    """The plan whose arrivals are what is produced for the consumers."""
    if export.per_hour is None:
        return plan
    return msgspec.structs.replace(plan, arrivals=Arrivals(per_hour=export.per_hour))


def holding_times(export: Export, seed: int, number: int = 1 << 16) -> list[float]:
    """Seconds from a delivery's turn to its acknowledgment, in whole milliseconds: the same for both sides."""
    chance = np.random.default_rng((seed, 0xACC0))
    both = drawn(export.transfer_seconds, number, chance) + drawn(export.handling_seconds, number, chance)
    return [float(each) for each in np.round(both / TICK) * TICK]


@dataclass(frozen=True, slots=True)
class Consumed:
    """What consumers have seen of an export.

    Args:
        messages: how many were delivered at all.
        again: how many of them more than once.
        redeliveries: deliveries beyond the first, in all.
        held: seconds from the last dequeue to the acknowledgment, as Manage messages tells them.
    """

    messages: int
    again: int
    redeliveries: int
    held: tuple[float, ...]


def consume(
    work: Work,
    habits: Habits,
    times: Iterator[float],
    *,
    profile: Profile | None = None,
    progress: Progress = _silent,
) -> Consumed:
    """Let an emulator produce at the work's arrivals, and consumers fetch what they find, over HTTP in virtual time.

    Args:
        work: of which the arrivals count, and the horizon: nobody polls at it or later.
        habits: of the consumers.
        times: seconds that a delivery takes from its turn to its acknowledgment, in the order of the dequeues.
        profile: the emulator's, where it is not the usual one.
        progress: told how many messages were produced.

    Raises:
        NothingProved: the emulator refused a call that it should take.
    """
    with emulated(profile if profile is not None else Profile()) as target:
        export = target.control_for("create-activity").create(direction="export", type="package")["id"]
        return _Consumers(target, export, habits, times).work_on(work, progress)


_PRODUCE, _ACKNOWLEDGE, _POLL = range(3)
"""What happens at one instant, in this order: what is acknowledged or produced then counts for who polls then."""


class _Consumers:
    """Consumers of one export, each with its habits; what happens next stands in an agenda of seconds."""

    def __init__(self, target: Target, export: str, habits: Habits, times: Iterator[float]) -> None:
        self._target = target
        self._export = export
        self._habits = habits
        self._times = times
        self._pace = _Pace(target)
        self._agenda: list[tuple[float, int, int, Any]] = []
        self._numbers = itertools.count()
        self._deliveries: dict[str, int] = {}

    def work_on(self, work: Work, progress: Progress) -> Consumed:
        """Work until the horizon, then on what is held."""
        habits, produced = self._habits, 0
        for arrival in work.arrived.tolist():
            self._at(arrival, _PRODUCE, None)
        for who in range(habits.consumers):
            self._at(habits.poll * who / habits.consumers, _POLL, who)
        while self._agenda:
            now, what, _, argument = heapq.heappop(self._agenda)
            if what == _POLL and now >= work.horizon:
                continue
            self._pace.until(now)
            if what == _PRODUCE:
                self._target.control_for("produce").produce(self._export, 1)
                produced += 1
                progress(produced, len(work.arrived), "messages produced")
            elif what == _ACKNOWLEDGE:
                self._acknowledge(argument)
            else:
                self._poll(now, argument)
        counts = self._deliveries.values()
        rows = self._target.control_for("messages").messages(self._export)
        return Consumed(
            messages=len(counts),
            again=sum(1 for each in counts if each > 1),
            redeliveries=sum(each - 1 for each in counts),
            held=tuple(
                (instant(row["AckDateTime"]) - instant(row["LastDequeueDateTime"])).total_seconds()
                for row in rows
                if row["AckDateTime"]
            ),
        )

    def _at(self, instant: float, what: int, argument: Any) -> None:
        heapq.heappush(self._agenda, (instant, what, next(self._numbers), argument))

    def _poll(self, now: float, who: int) -> None:
        """Dequeue as many as are taken at once, and plan their acknowledgments and the next poll."""
        ends, fetched = now, 0
        while fetched < self._habits.prefetch:
            reply = self._send(wire.dequeue(self._export))
            delivery = wire.delivery(reply)
            if delivery is None:
                if not reply.ok:
                    raise _refused("a dequeue", reply)
                break
            if delivery.correlation is None or delivery.location is None:
                raise NothingProved("The emulator handed out a message without a correlation ID or a location.")
            self._deliveries[delivery.correlation] = self._deliveries.get(delivery.correlation, 0) + 1
            ends += next(self._times)
            self._at(ends, _ACKNOWLEDGE, delivery)
            fetched += 1
        self._at(ends if fetched == self._habits.prefetch else max(ends, now + self._habits.poll), _POLL, who)

    def _acknowledge(self, delivery: wire.Delivery) -> None:
        """Download and acknowledge. A receipt that a later dequeue has replaced is refused, as it should be."""
        file = self._send(wire.download(str(delivery.location)))
        if not file.ok:
            raise _refused("a download", file)
        self._send(wire.ack(self._export, delivery.body))

    def _send(self, ask: wire.Ask) -> Reply:
        return self._target.session.send(ask, actor="authorised", token=self._target.tokens.current())
