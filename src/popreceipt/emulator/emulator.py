"""The emulator: one environment, whole. A request goes in, a response comes out, and time passes in between.

It joins the parts and moves nothing by itself: the clock is handed in, and what fell due by now is done before each
request, every action at its own instant. No request makes it raise.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from itertools import count
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from joserfc.jwk import RSAKey

from popreceipt import __version__
from popreceipt.clock import Clock, ManualClock
from popreceipt.emulator import faults, problems
from popreceipt.emulator.activity import EXPORT, FILE, FIRST_WORLD, IMPORT, PACKAGE, Activity, with_recurrences
from popreceipt.emulator.agenda import Agenda, Failed
from popreceipt.emulator.batch import Batch, Death, Produced
from popreceipt.emulator.batch_history import BatchHistory
from popreceipt.emulator.blobs import Blobs
from popreceipt.emulator.cleanup import Cleanup
from popreceipt.emulator.continuity import note_moved
from popreceipt.emulator.deliveries import Deliveries
from popreceipt.emulator.dmf.entity import CUSTOMER_GROUPS, ENTITIES, Entities
from popreceipt.emulator.dmf.formats import FORMATS
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.faults import Fault, FaultPlan
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.http import Interruption, Request, Response
from popreceipt.emulator.identity import Identity
from popreceipt.emulator.message import Message
from popreceipt.emulator.monitoring import Monitoring
from popreceipt.emulator.own_faults import OwnFaults
from popreceipt.emulator.parameters import Parameters, set_parameters
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.projects import Projects
from popreceipt.emulator.queue import LeaseQueue
from popreceipt.emulator.routes import actions, connector, control, download, gates
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.routes.throttle import Throttle
from popreceipt.emulator.store import Conflict, Query, Store
from popreceipt.emulator.store.memory import MemoryStore
from popreceipt.exceptions import UsageError
from popreceipt.journal import (
    Body,
    ClockMovement,
    Entry,
    Header,
    Journal,
    Observation,
    Target,
    instant_text,
    redacted_headers,
    redacted_json,
)
from popreceipt.journal import Response as JournalResponse
from popreceipt.vocabulary import TOKEN, operation_of

NAME = "popreceipt emulator"

Routes = tuple[Callable[[Call], Response | None], ...]

ROUTES: Routes = (connector.answer, actions.answer, download.blob_answer)
"""Asked in turn; whoever knows the path answers. The issuer of tokens is asked last."""

MOST_ATTEMPTS: Final = 20
"""How often a request is begun anew because another process came in between. Each time one of the two gets on."""

MOST_ROUNDS: Final = 10
"""How often a request lets what fell due go first; then time runs faster than it can be followed."""


class _Answered(msgspec.Struct, frozen=True):
    """What a request has led to: the answer as it leaves; with a planned fault, that and the answer that is lost."""

    response: Response
    fault: Fault | None = None
    lost: Response | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What the first world has beyond the usual.

    `export_every` gives its exports a recurrence, for servers that nobody controls; each run then finds
    `export_records` new records, `export-no-zero` none at every other run.
    """

    export_every: timedelta | None = None
    export_records: int = 3

    def __post_init__(self) -> None:
        every = self.export_every
        if every is not None and (every < timedelta(minutes=1) or every % timedelta(minutes=1)):
            raise UsageError(f"A recurrence is whole minutes, at least one, not {every}.")
        if self.export_records < 0:
            raise UsageError(f"An export cannot have {self.export_records} records.")


class Emulator:
    """One environment with its connector, its back office and its issuer of tokens.

    Args:
        clock: its time.
        profile: its answers to the open points.
        seed: identifiers, records and secrets follow from it.
        base_url: its root; a server sets it once it knows its port.
        control: whether the control plane is offered, and with which key to callers from elsewhere.
        world: what the first world has beyond the usual.
        identity: the issuer of tokens; by default one of its own.
        store: where everything is kept; by default in memory.
        signing_key: what tokens are signed with; by default a key of the process.
        journal: the service's own record of what crossed the wire; by default in memory.
        routes: who answers which paths.
        entities: what its data projects may have; by default the entities that come along.
    """

    def __init__(
        self,
        clock: Clock,
        profile: Profile | None = None,
        *,
        seed: int = 0,
        base_url: str = "http://emulator",
        control: bool = True,
        control_key: str | None = None,
        world: World | None = None,
        identity: Identity | None = None,
        store: Store | None = None,
        signing_key: RSAKey | None = None,
        journal: Journal | None = None,
        routes: Routes = ROUTES,
        entities: Entities | None = None,
    ) -> None:
        self.clock = clock
        self.profile = profile if profile is not None else Profile()
        self.seed = seed
        self.base_url = base_url
        self.blob_root: str | None = None
        """The root of a redirected download's URL, where blob storage is called otherwise than by this computer."""
        self.location_is_blob = False
        """Whether a DownloadLocation is the blob's own signed URL, which asks for no token."""
        self.control = control
        self.control_key = control_key
        self.identity = identity or Identity(clock, self.profile, None, lambda: self.base_url, seed)
        self.entities = entities if entities is not None else Entities(ENTITIES)
        if signing_key is not None:
            self.identity.sign_with(signing_key)
        self.signing_secret = hashlib.sha256(f"popreceipt/blobs/{seed}".encode()).digest()
        self.store: Store = store if store is not None else MemoryStore(queue_of(self.profile))
        self.journal = journal if journal is not None else Journal(self.journal_header())
        self.faults = OwnFaults()
        self.conflicts = 0
        """How many units of work were begun anew because another process on the same store came in between."""
        self.fault_plan = FaultPlan(self.store)
        self.throttle = Throttle(self.store)
        self.agenda = Agenda(self.store)
        generation = self.store.generation()
        self._guids = guids = Guids(f"{seed}/{generation}" if generation else seed)
        self.blobs = Blobs(self.store, self.profile, self.agenda, guids)
        self.deliveries = Deliveries(self.store, self.profile, self.blobs, guids)
        self.history = BatchHistory(self.store, self.profile, self.agenda, guids)
        self.monitoring = Monitoring(self.store, self.agenda)
        self.batch = Batch(
            self.store,
            self.profile,
            self.agenda,
            self.blobs,
            guids,
            self.history,
            fresh_records=self._fresh_records,
            exported=self._note_export,
            fails_afterwards=self.fails_afterwards,
            gets_stuck=self.gets_stuck,
            dies=self.dies,
            entities=self.entities,
        )
        self.projects = Projects(self.store, self.entities, guids)
        self._routes = routes
        self._world = world if world is not None else World()
        self._roles = {one.client_id: role for role, one in self.identity.clients.items()}
        self._lock = threading.RLock()
        self._untold: list[Entry] | None = None
        with self._unit(alone=True):
            self._assemble()
            self.cleanup = Cleanup(self.store, self.profile, self.batch)
            if self.store.activities():
                self._resume(generation)
            else:
                self._begin()

    @property
    def lock(self) -> contextlib.AbstractContextManager[bool]:
        """Held by whoever does anything here; whoever holds it sees nothing half done."""
        return self._lock

    # Requests

    def handle(self, request: Request) -> Response:
        """The answer to a request. A fault of the emulator's own is a 500 without detail, kept in `faults`."""
        with self._lock:
            call = Call.of(self, request, self.clock.now())
            is_control = control.is_control(call)
            try:
                answered = self._once_settled(call, is_control=is_control)
            except Exception as fault:  # noqa: BLE001 - whatever it is, the caller gets an answer and the fault is kept
                answered = _Answered(self._failed(fault, is_control=is_control))
            broken = answered.response.interruption
            if broken is not None and broken.kind == faults.LATE and answered.fault is not None:
                late = msgspec.structs.replace(broken, resume=partial(self._take_up, call, answered.fault))
                return msgspec.structs.replace(answered.response, interruption=late)
            if not is_control:
                self._write_down(call, answered)
            return answered.response

    def _take_up(self, call: Call, fault: Fault, is_left: bool) -> Response:
        """The answer to a request that was laid aside by plan. One whose caller has left takes no effect."""
        with self._lock:
            sent = call.now
            if is_left:
                answered = _Answered(Response(0, interruption=Interruption(faults.TIMEOUT)), fault)
            else:
                try:
                    response = self._once_settled(call, is_control=False, is_struck=True).response
                except Exception as own:  # noqa: BLE001 - as in `handle`
                    response = self._failed(own, is_control=False)
                answered = _Answered(response, fault)
            call.now = sent
            self._write_down(call, answered)
            return answered.response

    def _answered(self, call: Call, now: datetime, *, is_control: bool, is_struck: bool = False) -> _Answered:
        """Answer a call; what becomes of the answer where the call meets with a planned fault, at most with one."""
        call.now = now
        fault = None if is_control or is_struck else self.fault_plan.for_request(call.request.path)
        if fault is None:
            return _Answered(self._answer(call, is_control=is_control))
        lost: Response | None = None
        if fault.phase == faults.BEFORE:
            gates.authenticate(call)  # Changes nothing; the journal then knows who called.
        else:
            lost = self._answer(call, is_control=False)
        return _Answered(faults.struck(fault, call.request.path, lost, now), fault, lost)

    def _failed(self, fault: Exception, *, is_control: bool) -> Response:
        self.faults.append(fault)
        refuse = problems.control if is_control else problems.connector
        return refuse(500, problems.OCCURRED)

    def _write_down(self, call: Call, answered: _Answered) -> None:
        """The journal has what left, and what was lost by plan."""
        exchange = self._record(call, answered.response)
        fault, lost = answered.fault, answered.lost
        if fault is None:
            return
        operation, activity = operation_of(call.request.path)
        self._observe_fault(
            fault,
            operation=operation,
            activity=activity,
            exchange=exchange,
            answer=None if lost is None or fault.kind == faults.SLOW else _redacted(lost, operation),
        )

    def _answer(self, call: Call, *, is_control: bool) -> Response:
        if self._is_too_large(call.request):
            return self._too_large(is_control=is_control)
        if is_control:
            return control.answer(call)
        for route in self._routes:
            response = route(call)
            if response is not None:
                return response
        answer = self.identity.handle(call.request)
        return answer or problems.connector(404, "No HTTP resource was found that matches the request URI.")

    def _is_too_large(self, request: Request) -> bool:
        """A server may leave out a body that announces itself as too large, so the announcement counts as well."""
        limit = self.profile.body_limit
        if len(request.body) > limit:
            return True
        announced = request.header("content-length")
        return announced is not None and announced.isdecimal() and int(announced[:20]) > limit

    def _too_large(self, *, is_control: bool) -> Response:
        if is_control:
            return problems.control(413, f"A request has at most {self.profile.body_limit} bytes.")
        if self.profile.enqueue_too_large == "413-html":
            page = "<!DOCTYPE html><html><body><h1>413 - Request Entity Too Large</h1></body></html>"
            return Response(413, (("content-type", "text/html"),), page.encode("ascii"))
        return Response(413)

    def _record(self, call: Call, response: Response) -> int:
        """Write down a request and its answer as it leaves; the exchange's number."""
        request = call.request
        root = _root(request.scheme, request.host) or self.base_url
        broken = response.interruption
        body, failure = response.body, None
        if broken is not None and broken.kind != faults.SLOW:
            body, failure = body[: broken.after_bytes], broken.kind
        return self.journal.record_soon(
            sent=call.now,
            answered=self.clock.now(),
            method=request.method,
            url=f"{root}{request.path}?{request.query}" if request.query else root + request.path,
            request_headers=request.headers,
            request_body=request.body,
            status=response.status or None,
            response_headers=response.headers,
            response_body=body,
            failure=failure,
            actor=gates.role_of(call),
        )

    def catch_up(self) -> None:
        """Write down what the journal has left for later: a server calls this once its answers are on their way."""
        with self._lock:
            self.journal.catch_up()

    def role(self, client_id: str) -> str | None:
        """The role of an application: authorised, unlisted or unmapped."""
        return self._roles.get(client_id)

    # Planned faults

    def fails_afterwards(self, message: Message) -> bool:
        """Whether the stage after the processing of a message fails, by plan."""
        return self._is_struck(message, faults.POST_PROCESSING_FAILED)

    def gets_stuck(self, message: Message) -> bool:
        """Whether the processing of a message never ends, by plan."""
        return self._is_struck(message, faults.STUCK)

    def dies(self, message: Message) -> Death | None:
        """Whether the batch job dies over a message, by plan, and when."""
        fault = self._striking(message, faults.DIES)
        return None if fault is None else Death(fault.phase)

    def _is_struck(self, message: Message, kind: str) -> bool:
        return self._striking(message, kind) is not None

    def _striking(self, message: Message, kind: str) -> Fault | None:
        fault = self.fault_plan.for_message(message.activity, kind)
        if fault is not None:
            self._observe_fault(fault, operation=faults.PROCESSING, activity=message.activity, message=message.id)
        return fault

    def _observe_fault(self, fault: Fault, **facts: Any) -> None:
        self.note("fault", fault=fault.id, kind=fault.kind, phase=fault.phase, **facts)

    # Units of work

    def _unit(self, *, alone: bool) -> "_Unit":
        """One unit of work. What is noted in it is told once it is kept, and never where it is undone."""
        return _Unit(self, alone)

    def tell(self, entry: Entry) -> None:
        """Write something into the journal, now or at the end of the unit of work."""
        if self._untold is None:
            self.journal.add(entry)
        else:
            self._untold.append(entry)

    def _once_settled(self, call: Call, *, is_control: bool, is_struck: bool = False) -> _Answered:
        """Answer a call at an instant by which nothing else is due, as one unit of work.

        Where another process comes in between it is done again from the start: so nothing but the store may remember
        that it was begun.
        """
        # What changes much at once does so while nobody else does anything.
        alone = is_control and call.request.method != "GET"
        settled: datetime | None = None
        rounds = 0
        for attempt in count(1):
            try:
                while True:
                    with _Unit(self, alone):
                        # What is due comes first: from then on nobody moves a clock that is shared.
                        due, now = self.agenda.next(), self.clock.now()
                        if due is None or due > now:
                            return self._answered(call, now, is_control=is_control, is_struck=is_struck)
                        if settled is not None and due > settled and rounds >= MOST_ROUNDS:
                            return self._answered(call, settled, is_control=is_control, is_struck=is_struck)
                    settled = self.settle()
                    rounds += 1
            except Conflict:
                self.conflicts += 1
                if attempt == MOST_ATTEMPTS:
                    raise
        raise AssertionError("it counts for ever")

    @contextlib.contextmanager
    def attended(self) -> Iterator[datetime]:
        """One unit of work for a visitor who comes by another way than `handle`; the instant at which it is done."""
        with self._lock:
            for rounds in count():
                settled = self.settle()
                with self._unit(alone=True):
                    due, now = self.agenda.next(), self.clock.now()
                    if due is None or due > now:
                        yield now
                        return
                    if due > settled and rounds >= MOST_ROUNDS:
                        yield settled
                        return

    # Time

    def settle(self) -> datetime:
        """Do what fell due by now, each thing at its own instant, and say what time it is."""
        with self._lock:
            with self._unit(alone=False):
                due, now = self.agenda.next(), self.clock.now()
            while due is not None and due <= now:
                self._do_next(now)
                due = self.agenda.next()
            return now

    def advance(self, step: timedelta) -> datetime:
        """Move a manual clock forward, from due moment to due moment, and say what time it is then.

        Raises:
            UsageError: the clock is not manual, or the step is negative.
        """
        if not isinstance(self.clock, ManualClock) or step < timedelta(0):
            raise UsageError(f"Only a manual clock can be advanced, and only forward: {self.clock.kind} by {step}.")
        with self._lock, self._unit(alone=True):
            goal = self.clock.now() + step
            while (due := self.agenda.next()) is not None and due <= goal:
                self.clock.sleep_until(due)
                self._do_next(due)
            self.clock.sleep_until(goal)
            note_moved(self.store, goal)
            self.tell(ClockMovement(goal, step.total_seconds()))
            return goal

    def _do_next(self, now: datetime) -> None:
        """Do what falls due first. A moment that fails must not hold up the others: it is given up, its fault kept."""
        try:
            with self._unit(alone=True):
                self.agenda.run_next(now)
        except Failed as failure:
            self.faults.append(failure.__cause__ if isinstance(failure.__cause__, Exception) else failure)
            with self._unit(alone=True):
                self.agenda.cancel(failure.due.kind, failure.due.subject)
                self.batch.give_up(failure.due)

    # The world

    def reset(self) -> None:
        """Bring back the first world. The clock stays where it is, tokens stay valid, no identifier comes twice."""
        with self._lock:
            self.store.clear()
            set_parameters(self.store, None)
            self.batch.clear()
            self.throttle.clear()
            self.fault_plan.clear()
            self.note("reset")
            self._begin()

    def _assemble(self) -> None:
        """Put in other parts before anything happens: where wrong emulators are made."""

    def _begin(self) -> None:
        # The first activities have the same IDs after each reset; those created later get new ones.
        guids, projects = Guids(f"{self.seed}/activities"), Guids(f"{self.seed}/projects")
        every = self._world.export_every
        for name, settings in FIRST_WORLD.items():
            own: dict[str, Any] = {"name": name, **settings}
            if settings["direction"] == EXPORT and every is not None:
                own["processing_recurrence_minutes"] = every // timedelta(minutes=1)
            self._add(guids.new(), own, projects, created=False)

    def _resume(self, generation: int) -> None:
        """Go on with what another process has left: everything but the planned faults."""
        self.note("restart", generation=generation)
        for activity in self.store.activities():
            self._observe_activity(activity, created=False)

    def create_activity(self, **settings: Any) -> Activity:
        """A fresh recurring data job with a legal entity of its own; `direction` is needed.

        It hangs off the data project whose ID is given as `project`, else off one of its own.

        Raises:
            Invalid: an entity or a format that there is not.
        """
        is_import = settings["direction"] == IMPORT
        usual: dict[str, Any] = {
            "name": f"{settings['direction']}-{len(self.store.activities()) + 1}",
            "type": FILE if is_import else PACKAGE,
            "processing_recurrence_minutes": 5 if is_import else None,
        }
        return self._add(self._guids.new(), usual | settings, self._guids, created=True)

    def _add(self, identifier: str, settings: Mapping[str, Any], guids: Guids, *, created: bool) -> Activity:
        now = self.clock.now()
        own = {"entity": CUSTOMER_GROUPS.name, "format": "CSV", **settings}
        if own.get("project") is None:
            project = self.projects.own(guids.new(), own["name"], own["direction"], own["entity"], own["format"])
            own |= {"project": project.id, "entity": project.entities[0].entity, "format": project.entities[0].format}
        activity = Activity(
            id=identifier,
            company=f"u{self.store.next_number('companies'):03d}",
            anchor=now,
            monitoring_anchor=now,
            **with_recurrences(own),
        )
        self.store.put_activity(activity)
        self._observe_activity(activity, created=created)
        self._plan(activity, now)
        return activity

    def change_activity(self, activity: Activity, **settings: Any) -> Activity:
        """The activity with other settings; they count from now on."""
        now = self.clock.now()
        changed = activity.changed(settings, now)
        self.store.put_activity(changed)
        self._observe_activity(changed, created=False)
        self._plan(changed, now)
        return changed

    def create_project(self, **settings: Any) -> Project:
        """A new data project; `direction` and `entities` are needed.

        Raises:
            Invalid: something in it cannot be.
        """
        project = self.projects.create(**settings)
        self._observe_project(project, created=True)
        return project

    def change_project(self, project: Project, **settings: Any) -> Project:
        """The data project with other settings; they count from the next run on.

        Raises:
            Invalid: something in it cannot be.
        """
        changed = self.projects.change(project, **settings)
        self._observe_project(changed, created=False)
        for activity in list(self.projects.followers(changed)):
            self.store.put_activity(activity)
            self._observe_activity(activity, created=False)
        return changed

    def _plan(self, activity: Activity, now: datetime) -> None:
        self.batch.plan(activity, now)
        self.monitoring.plan(activity, now)

    def change_parameters(self, parameters: Parameters) -> None:
        """Set the framework's parameters; they count from the next run on."""
        set_parameters(self.store, parameters)
        self.batch.plan_all(self.clock.now())

    def world(self) -> dict[str, Any]:
        """What there is, as the control plane tells it."""
        return {
            "name": NAME,
            "build": __version__,
            "abilities": list(control.abilities(self.clock)),
            "base_url": self.base_url,
            "identity": self.identity.describe(),
            "activities": [activity.as_json() for activity in self.store.activities()],
            "entities": [entity.as_json() for entity in self.entities.all()],
            "formats": list(FORMATS),
        }

    def _fresh_records(self, activity: Activity) -> int | None:
        """How many new records a recurring export finds: only for those that the world's options set going."""
        if self._world.export_every is None or activity.name not in FIRST_WORLD:
            return None
        if (
            activity.prevent_upload_when_zero_records
            and self.store.find(Query(activity=activity.id, limit=0))[1] % 2 == 0
        ):
            return 0
        return self._world.export_records

    # The journal

    def journal_header(self) -> Header:
        """The first line of a journal of this emulator."""
        usual = Profile()
        return Header(
            recorded_by="service",
            target=Target(NAME, __version__, self.clock.kind, control.abilities(self.clock)),
            seed=self.seed,
            clock=self.clock.kind,
            rate=self.clock.rate,
            lease_seconds=_if_other(self.profile.lease, usual.lease),
            retention_seconds=_if_other(self.profile.retention, usual.retention),
        )

    def note(self, kind: str, /, **facts: Any) -> None:
        """Write down what has happened beside the wire."""
        self.tell(Observation(kind, self.clock.now(), facts))

    def observe(self, kind: str, activity: Activity, **facts: Any) -> None:
        """Write down what a control call, or a run nobody asked for, has told about an activity."""
        self.note(kind, activity=activity.id, since=instant_text(self.clock.now()), **facts)

    def _observe_activity(self, activity: Activity, *, created: bool) -> None:
        settings = {name: value for name, value in activity.as_json().items() if name != "id"}
        self.observe("activity", activity, created=created, settings=settings)

    def _observe_project(self, project: Project, *, created: bool) -> None:
        settings = {name: value for name, value in project.as_json().items() if name != "id"}
        since = instant_text(self.clock.now())
        self.note("project", project=project.id, since=since, created=created, settings=settings)

    def _note_export(self, activity: Activity, produced: Produced, _: datetime) -> None:
        self.observe(
            "produced",
            activity,
            messageId=produced.message.id,
            uploaded=produced.message.uploaded,
            records=produced.records,
            sha256=produced.sha256,
            prevent_upload_when_zero_records=activity.prevent_upload_when_zero_records,
        )


class _Unit:
    """The context of one unit of work of an emulator, or of a part of one.

    Written out rather than generated: every request passes through it.
    """

    __slots__ = ("_emulator", "_outer", "_work")

    def __init__(self, emulator: Emulator, alone: bool) -> None:
        self._emulator = emulator
        self._work = emulator.store.work(alone=alone)
        self._outer: list[Entry] | None = None

    def __enter__(self) -> None:
        self._work.__enter__()
        self._outer, self._emulator._untold = self._emulator._untold, []  # noqa: SLF001 - a part of it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        emulator, noted = self._emulator, self._emulator._untold  # noqa: SLF001 - a part of it
        emulator._untold = self._outer  # noqa: SLF001 - a part of it
        self._work.__exit__(kind, error, trace)
        if kind is None and noted:
            for entry in noted:
                emulator.tell(entry)


def queue_of(profile: Profile) -> Callable[[], LeaseQueue]:
    """What makes the queue of an activity under a profile."""
    return partial(LeaseQueue, original_place=profile.redelivery_order == "original-place")


@lru_cache(maxsize=256)
def _root(scheme: str, host: str) -> str | None:
    """The root that a request names; None where it names no host, or none that can be part of a URL."""
    root = f"{scheme}://{host}"
    try:
        named = urlsplit(root).netloc
    except ValueError:
        return None
    return root if host and named == host else None


def _if_other(period: timedelta, usual: timedelta) -> float | None:
    return None if period == usual else period.total_seconds()


def _redacted(answer: Response, operation: str) -> dict[str, Any]:
    """An answer that did not leave, as a journal may hold it."""
    body = redacted_json(answer.body) if operation == TOKEN else answer.body
    kept = JournalResponse(answer.status, redacted_headers(answer.headers), Body.of(body))
    return dict(msgspec.to_builtins(kept))
