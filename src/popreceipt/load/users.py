"""The roles of a load run as Locust knows them: who hands files in, who takes them out, who asks, who watches.

Requests are those of `client/wire.py`, so that one place knows the protocol; sending, timing and taking down is the
worker's. Arrivals are open: they are made by the plan's schedule, beside all users, and wait for no answer. Consumers,
pollers and the administrator are users proper: each makes its next call when the last one is answered.
"""

import heapq
import ssl
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from math import ceil
from typing import Any, ClassVar, Final

from locust import FastHttpUser, constant, task
from locust.exception import StopUser

from popreceipt.client import wire
from popreceipt.client.consumer import ATTEMPTS
from popreceipt.client.control import ControlError
from popreceipt.client.guarding import NotPermitted
from popreceipt.client.wire import Ask, Delivery, Reply
from popreceipt.clock import stopwatch
from popreceipt.load import pacing
from popreceipt.load.connections import Exhausted
from popreceipt.load.figures import PRODUCE
from popreceipt.load.plan import LoadPlan
from popreceipt.load.worker import Worker
from popreceipt.vocabulary import POSTPROCESSING_FAILED, PREPROCESSING_ERROR, PROCESSED, PROCESSED_WITH_ERRORS

FAILED: Final = frozenset({PREPROCESSING_ERROR, PROCESSED_WITH_ERRORS, POSTPROCESSING_FAILED})
"""Statuses after which one asks for the errors of the execution."""

ENDED: Final = FAILED | {PROCESSED}

ROWS_LOOKED_AT: Final = 1_000
"""An administrator who found more rows than these in Manage messages does not open that page again."""

POLLED_AT_MOST: Final = 10_000
"""Files that one poller keeps in mind."""

# What control calls are counted as, beside the journal's words for exchanges.
MONITORING: Final = "monitoring"
MESSAGES: Final = "messages"


class Role(FastHttpUser):
    """One who takes part; its work is over when the run is.

    The client that Locust gives to each user speaks TLS with the run's authority as well, for whoever adds tasks.
    """

    abstract = True
    insecure = False
    wait_time = constant(1)
    """Real seconds until one begins anew in whom something went wrong; else nobody waits by it."""
    worker: ClassVar[Worker | None] = None
    """The process that all users of this one belong to; None while nothing runs."""

    @classmethod
    def count(cls, plan: LoadPlan, workers: int) -> int:
        """How many users of this role a run has, over all workers."""
        raise NotImplementedError

    @classmethod
    def begin(cls, worker: Worker) -> None:
        """Called in each process before its users start."""

    @classmethod
    def belong_to(cls, worker: Worker | None) -> None:
        """Whose users all users of this process are from now on."""
        Role.worker = worker
        authority = None if worker is None else worker.site.ca
        Role.ssl_context_factory = staticmethod(lambda: ssl.create_default_context(cafile=authority))

    def work(self, worker: Worker) -> None:
        """What this user does until the run is over."""
        worker.over.wait()

    @task
    def live(self) -> None:
        """All of it, as Locust's one task."""
        worker = Role.worker
        if worker is None:
            return  # The process does not know yet what to do, or not any more.
        if not worker.over.is_set():
            try:
                self.work(worker)
            except NotPermitted:
                raise StopUser from None  # The run is over, and says why.
            except Exhausted as error:
                worker.tally.error(str(error))
                return
        raise StopUser


class ImportProducer(Role):
    """Hands files in at the plan's rate. One for each process stands in Locust's list; arrivals do not hang on it."""

    @classmethod
    def count(cls, plan: LoadPlan, workers: int) -> int:  # noqa: ARG003  whatever the plan
        """One for each worker."""
        return workers

    @classmethod
    def begin(cls, worker: Worker) -> None:
        """Let this worker's share of the files arrive."""
        site, errand = worker.site, worker.errand
        asks = [(each, wire.enqueue(each, b"", entity=site.entity)) for each in site.imports]
        caller = worker.caller("producer")

        def hand_in(number: int, due: float) -> None:
            activity, ask = asks[number % len(asks)]
            reply = _patiently(worker, ask, due, caller, worker.files.next())
            message = wire.message_id(reply)
            if message is not None:
                worker.handed_in.append((activity, message))

        if asks and errand.workers:
            worker.arrive(pacing.ENQUEUED, hand_in, worker=errand.worker, workers=errand.workers)


class ExportConsumer(Role):
    """Takes messages out as the documentation asks for: dequeue, download, acknowledge; waits when there is none.

    Exports are produced by the first process, through the control plane; a target without one produces by itself.
    """

    @classmethod
    def count(cls, plan: LoadPlan, workers: int) -> int:  # noqa: ARG003  they are the plan's, however many workers
        """As many as the plan says."""
        return plan.consumers

    @classmethod
    def begin(cls, worker: Worker) -> None:
        """Let exports be produced."""
        cls.started = 0
        site, errand = worker.site, worker.errand
        if not (site.exports and site.control and "produce" in site.abilities and errand.workers and not errand.worker):
            return
        control = worker.control()
        control.world()

        def produce(number: int, due: float) -> None:
            began = stopwatch()
            worker.tally.due(due - worker.start, began - due)
            failure = None
            try:
                produced = control.produce(site.exports[number % len(site.exports)], worker.plan.records)
                if produced["uploaded"]:
                    worker.tally.deeper(stopwatch() - worker.start, 1)
            except ControlError as error:
                failure = _said(error)
            worker.told(PRODUCE, "POST", due, began, failure)

        worker.arrive(pacing.PRODUCED, produce, worker=0, workers=1)

    started: ClassVar[int] = 0

    def work(self, worker: Worker) -> None:
        """Consume until the run is over; a message that was taken is brought to its end even then."""
        exports, plan = worker.site.exports, worker.plan
        if not exports:
            return
        cls = type(self)
        number, cls.started = cls.started, cls.started + 1
        caller = worker.caller(f"consumer-{number}")
        # Where there are enough of them each has an activity of its own; else they go round.
        own = [exports[number % len(exports)]] if plan.consumers >= len(exports) else list(exports)
        asks = [(each, wire.dequeue(each)) for each in own]
        interval = worker.real_seconds(plan.poll_minutes)
        away = pacing.outage(plan)
        nothing, turn = 0, number
        # Locust may also send a consumer later, from a process that was lost.
        due = max(stopwatch(), worker.start + interval * (number % plan.consumers) / plan.consumers)
        while worker.sleep_until(due):
            if away is not None and worker.real(away[0]) <= stopwatch() < worker.real(away[1]):
                due = worker.real(away[1])
                continue
            activity, ask = asks[turn % len(asks)]
            reply = _patiently(worker, ask, due, caller)
            delivery = wire.delivery(reply)
            if delivery is not None:
                self._take(worker, activity, delivery, caller)
                nothing, due = 0, stopwatch()
                continue
            if reply.ok:
                worker.tally.found_nothing()
            turn, nothing = turn + 1, nothing + 1
            due = stopwatch() + (interval if nothing % len(asks) == 0 else 0.0)

    def _take(self, worker: Worker, activity: str, delivery: Delivery, caller: str) -> None:
        """Fetch the file and acknowledge; without the file the message is left alone, and comes again."""
        if delivery.has_file and delivery.location is not None:
            ask = wire.download(delivery.location)
            file = worker.follow(ask, _patiently(worker, ask, stopwatch(), caller), caller=caller)
            if not file.ok:
                return
        if _patiently(worker, wire.ack(activity, delivery.body), stopwatch(), caller).ok:
            worker.tally.deeper(stopwatch() - worker.start, -1)


class StatusPoller(Role):
    """Asks what became of the files that its process handed in, again and again, until each has ended.

    Every other file is asked for as microsoft/Recurring-Integrations-Scheduler does (jobstatus), the others as
    documented (GetMessageStatus); of a failed one the execution's errors are fetched.
    """

    @classmethod
    def count(cls, plan: LoadPlan, workers: int) -> int:  # noqa: ARG003  they are the plan's, however many workers
        """As many as the plan says."""
        return plan.pollers

    def work(self, worker: Worker) -> None:
        """Poll until the run is over."""
        caller = worker.caller("poller")
        interval = worker.real_seconds(worker.plan.poll_minutes)
        waiting: list[tuple[float, int, str, str]] = []
        number, free = 0, stopwatch()
        while worker.sleep_until(min(waiting[0][0], free + interval) if waiting else free + interval):
            while worker.handed_in and len(waiting) < POLLED_AT_MOST:
                heapq.heappush(waiting, (stopwatch() + interval, number, *worker.handed_in.popleft()))
                number += 1
            now = stopwatch()
            if waiting and waiting[0][0] <= now:
                due, asked, activity, message = heapq.heappop(waiting)
                if not self._ended(worker, caller, max(due, free), asked, activity, message):
                    heapq.heappush(waiting, (stopwatch() + interval, asked, activity, message))
            free = stopwatch()

    def _ended(self, worker: Worker, caller: str, intended: float, number: int, activity: str, message: str) -> bool:
        if number % 2:
            state = wire.job_state(_patiently(worker, wire.jobstatus(activity, message), intended, caller))
        else:
            state = wire.message_state(_patiently(worker, wire.message_status(message), intended, caller))
        if state in FAILED:
            execution = wire.execution(_patiently(worker, wire.execution_id(message), stopwatch(), caller))
            if execution is not None:
                _patiently(worker, wire.execution_errors(execution), stopwatch(), caller)
        return state in ENDED


class Administrator(Role):
    """Watches: looks at each queue's load, and at Manage messages while they can be taken in, at every recurrence.

    On a target without a control plane he asks for the status of the file that was handed in last.
    """

    @classmethod
    def count(cls, plan: LoadPlan, workers: int) -> int:  # noqa: ARG003  whatever there is to be watched
        """There is one."""
        return 1

    def work(self, worker: Worker) -> None:
        """Look at the monitoring recurrence, or at the processing recurrence where there is no monitoring."""
        plan, site = worker.plan, worker.site
        interval = worker.real_seconds(plan.monitoring_minutes or plan.processing_minutes)
        control = worker.control() if site.control else None
        caller = worker.caller("administrator")
        taken_in = dict.fromkeys((*site.imports, *site.exports), "messages" in site.abilities)
        looks = max(1, ceil((stopwatch() - worker.start) / interval))
        while worker.sleep_until(due := worker.start + looks * interval):
            looks = max(looks + 1, ceil((stopwatch() - worker.start) / interval))
            if control is None:
                if worker.handed_in:
                    _patiently(worker, wire.message_status(worker.handed_in[-1][1]), due, caller)
                continue
            for activity in taken_in:
                if plan.monitoring_minutes is not None and "monitoring" in site.abilities:
                    self._look(worker, MONITORING, partial(control.load, activity), due)
                if taken_in[activity]:
                    rows = self._look(worker, MESSAGES, partial(control.messages, activity), due)
                    taken_in[activity] = len(rows) <= ROWS_LOOKED_AT

    def _look(
        self, worker: Worker, what: str, ask: Callable[[], list[dict[str, Any]]], due: float
    ) -> list[dict[str, Any]]:
        began = stopwatch()
        rows, failure = [], None
        with worker.at_work():
            try:
                rows = ask()
            except ControlError as error:
                failure = _said(error)
        worker.told(what, "GET", max(due, began), began, failure)
        return rows


def _patiently(worker: Worker, ask: Ask, intended: float, caller: str, body: bytes | None = None) -> Reply:
    """Send, and send again for as long as a throttled target asks for patience, a few times at most.

    Nothing else is repeated: whether it took effect nobody could tell, and what a server does should be seen.
    """
    reply = worker.send(ask, intended, caller=caller, body=body)
    for _ in range(ATTEMPTS - 1):
        if reply.status != HTTPStatus.TOO_MANY_REQUESTS:
            break
        due = stopwatch() + worker.pause(reply)
        if not worker.sleep_until(due):
            break
        reply = worker.send(ask, intended, caller=caller, body=body, due=due)
    return reply


def _said(error: ControlError) -> str:
    return "no answer" if error.status is None else str(error.status)
