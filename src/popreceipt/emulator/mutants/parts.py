"""Emulators put together from other parts: the seams that mutants hook.

A mutant changes a part and leaves the rest alone: the store is wrapped, the issuer, the files, the deliveries and the
batch are subclassed, the routes are listened to and their answers tampered with. Nothing here is wrong by itself.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from popreceipt.clock import Clock
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.batch import Batch, Produced
from popreceipt.emulator.batch_history import BatchHistory
from popreceipt.emulator.blobs import Blobs
from popreceipt.emulator.deliveries import Deliveries
from popreceipt.emulator.dmf.execution import Execution
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.emulator import ROUTES, Emulator, Routes, queue_of
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.http import Response
from popreceipt.emulator.identity import Identity
from popreceipt.emulator.message import Message
from popreceipt.emulator.monitoring import Monitoring
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.store import BatchRun, Delivery, Due, Load, Query, Record, Sample, Store
from popreceipt.emulator.store.memory import MemoryStore
from popreceipt.vocabulary import operation_of

Route = Callable[[Call], Response | None]
Around = Callable[["Mutated", Route], Route]
"""From an emulator and one of its routes to what answers instead of the route."""


class Mutated(Emulator):
    """An emulator made of the parts that it is given.

    `operation` is what the connector or an action is just being asked for, None between requests and on the control
    plane; `speaker` the Authorization header of who asks.
    """

    def __init__(
        self,
        parts: "Parts",
        clock: Clock,
        profile: Profile | None = None,
        *,
        store: Store | None = None,
        routes: Routes = ROUTES,
        identity: Identity | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.operation: str | None = None
        self.speaker: str | None = None
        self._parts = parts
        profile = profile if profile is not None else Profile()
        if parts.identity is not None:
            identity = parts.identity(clock, profile, None, lambda: self.base_url, seed)
        super().__init__(
            clock,
            profile,
            store=parts.store(self, store if store is not None else MemoryStore(queue_of(profile))),
            routes=tuple(self._listening(parts.routes(self, route)) for route in routes),
            identity=identity,
            seed=seed,
            **options,
        )

    @property
    def guids(self) -> Guids:
        """Where identifiers come from."""
        return self._guids

    @property
    def exports_anew(self) -> Callable[[Activity], int | None]:
        """How many new records a recurring export finds."""
        return self._fresh_records

    @property
    def exported(self) -> Callable[[Activity, Produced, datetime], None]:
        """Who is told of each export run."""
        return self._note_export

    def _assemble(self) -> None:
        self.blobs = self._parts.blobs(self)
        self.deliveries = self._parts.deliveries(self)
        self.history = self._parts.history(self)
        self.monitoring = self._parts.monitoring(self)
        self.batch = self._parts.batch(self)

    def _listening(self, route: Route) -> Route:
        def answer(call: Call) -> Response | None:
            self.operation, _ = operation_of(call.request.path)
            self.speaker = call.request.header("authorization")
            try:
                return route(call)
            finally:
                self.operation = self.speaker = None

        return answer


class OwnBlobs(Blobs):
    """The files of a mutated emulator."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator.store, self.profile(emulator.profile), emulator.agenda, emulator.guids)

    def profile(self, profile: Profile) -> Profile:
        """The profile that counts for files."""
        return profile


class OwnDeliveries(Deliveries):
    """The outgoing side of a mutated emulator."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator.store, self.profile(emulator.profile), emulator.blobs, emulator.guids)
        self.emulator = emulator

    def profile(self, profile: Profile) -> Profile:
        """The profile that counts for deliveries."""
        return profile

    def message_of(self, correlation: str) -> Message | None:
        """The message that a CorrelationId belongs to."""
        delivery = self._store.delivery(correlation)
        return None if delivery is None else self._store.message(delivery.message)


class OwnHistory(BatchHistory):
    """The batch history of a mutated emulator."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator.store, emulator.profile, emulator.agenda, emulator.guids)
        self.emulator = emulator


class OwnMonitoring(Monitoring):
    """The samples of a mutated emulator."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator.store, emulator.agenda)
        self.emulator = emulator


class OwnBatch(Batch):
    """The batch of a mutated emulator. What an export left behind can be reworked before anybody hears of it."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(
            emulator.store,
            emulator.profile,
            emulator.agenda,
            emulator.blobs,
            emulator.guids,
            emulator.history,
            fresh_records=emulator.exports_anew,
            fails_afterwards=emulator.fails_afterwards,
            gets_stuck=emulator.gets_stuck,
            dies=emulator.dies,
            entities=emulator.entities,
        )
        self.emulator = emulator

    def export(self, activity: Activity, now: datetime) -> Produced:
        """One run, as the activity's settings are taken to be, reworked."""
        produced = self.rework(super().export(self.settings(activity), now))
        self.emulator.exported(activity, produced, now)
        return produced

    def settings(self, activity: Activity) -> Activity:
        """The settings that count for an export run."""
        return activity

    def rework(self, produced: Produced) -> Produced:
        """What an export run is told to have left behind."""
        return produced


def _unchanged_store(_: Mutated, store: Store) -> Store:
    return store


def _unchanged_route(_: Mutated, route: Route) -> Route:
    return route


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What an emulator is put together from; each part as usual unless given."""

    store: Callable[[Mutated, Store], Store] = _unchanged_store
    routes: Around = _unchanged_route
    identity: Callable[..., Identity] | None = None
    blobs: Callable[[Mutated], Blobs] = OwnBlobs
    deliveries: Callable[[Mutated], Deliveries] = OwnDeliveries
    history: Callable[[Mutated], BatchHistory] = OwnHistory
    monitoring: Callable[[Mutated], Monitoring] = OwnMonitoring
    batch: Callable[[Mutated], Batch] = OwnBatch


def made_of(**parts: Any) -> Callable[..., Emulator]:
    """What makes an emulator of these parts."""

    def make(clock: Clock, profile: Profile | None = None, **options: Any) -> Emulator:
        return Mutated(Parts(**parts), clock, profile, **options)

    return make


def answers(tamper: Callable[[Call, Response], Response], *operations: str) -> Around:
    """Routes whose answers to these operations (all of them unless given) are tampered with."""

    def around(emulator: Mutated, route: Route) -> Route:
        def answer(call: Call) -> Response | None:
            response = route(call)
            if response is None or (operations and emulator.operation not in operations):
                return response
            return tamper(call, response)

        return answer

    return around


class StoreAround:
    """A store around another: everything goes through as it is."""

    def __init__(self, emulator: Mutated, store: Store) -> None:
        self.emulator = emulator
        self.store = store

    def work(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """One unit of work."""
        return self.store.work(alone=alone)

    def clear(self) -> None:
        """Forget everything."""
        self.store.clear()

    def generation(self) -> int:
        """How often it was opened before."""
        return self.store.generation()

    def next_number(self, counter: str = "messages") -> int:
        """A number greater than all before."""
        return self.store.next_number(counter)

    def setting(self, name: str) -> str | None:
        """What was noted under a name."""
        return self.store.setting(name)

    def held_setting(self, name: str) -> str | None:
        """The same, held."""
        return self.store.held_setting(name)

    def put_setting(self, name: str, value: str | None) -> None:
        """Note something under a name."""
        self.store.put_setting(name, value)

    def put_project(self, project: Project) -> None:
        """Add or replace a data project."""
        self.store.put_project(project)

    def project(self, identifier: str) -> Project | None:
        """The data project of this ID."""
        return self.store.project(identifier)

    def projects(self) -> Sequence[Project]:
        """All of them."""
        return self.store.projects()

    def put_activity(self, activity: Activity) -> None:
        """Add or replace an activity."""
        self.store.put_activity(activity)

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID."""
        return self.store.activity(identifier)

    def activities(self) -> Sequence[Activity]:
        """All of them."""
        return self.store.activities()

    def put_message(self, message: Message) -> None:
        """Add or replace a message."""
        self.store.put_message(message)

    def message(self, identifier: str) -> Message | None:
        """The message of this ID."""
        return self.store.message(identifier)

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """An activity's messages."""
        return self.store.messages_of(activity, after, limit)

    def find(self, query: Query) -> tuple[Sequence[Message], int]:
        """A page of messages."""
        return self.store.find(query)

    def waiting(
        self, activity: str, before: datetime | None, after: int = 0, limit: int | None = None
    ) -> Sequence[Message]:
        """Imports that no run has taken."""
        return self.store.waiting(activity, before, after, limit)

    def taken(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """Imports that a run has taken and that are not final."""
        return self.store.taken(activity, after, limit)

    def first_taken(self, activity: str) -> Message | None:
        """The first of these."""
        return self.store.first_taken(activity)

    def in_line(self, activity: str, limit: int) -> Sequence[Message]:
        """Those of them whose turn will come."""
        return self.store.in_line(activity, limit)

    def load(self, activity: str, now: datetime) -> Load:
        """How full the queue is."""
        return self.store.load(activity, now)

    def completed_between(self, activity: str, after: datetime, until: datetime) -> Sequence[Message]:
        """What was completed meanwhile."""
        return self.store.completed_between(activity, after, until)

    def lease(self, activity: str, now: datetime, deliver: Callable[[Message], Message]) -> Message | None:
        """Take the next visible message."""
        return self.store.lease(activity, now, deliver)

    def delete_message(self, identifier: str) -> None:
        """Forget a message."""
        self.store.delete_message(identifier)

    def put_delivery(self, delivery: Delivery) -> None:
        """Remember a delivery."""
        self.store.put_delivery(delivery)

    def delivery(self, correlation: str) -> Delivery | None:
        """The delivery with this CorrelationId."""
        return self.store.delivery(correlation)

    def put_blob(self, identifier: str, content: bytes, expires: datetime) -> None:
        """Keep a file."""
        self.store.put_blob(identifier, content, expires)

    def blob(self, identifier: str) -> bytes | None:
        """The file of this ID."""
        return self.store.blob(identifier)

    def blob_expires(self, identifier: str) -> datetime | None:
        """Until when a file is kept."""
        return self.store.blob_expires(identifier)

    def delete_blob(self, identifier: str) -> None:
        """Delete a file."""
        self.store.delete_blob(identifier)

    def drop_blobs(self, now: datetime) -> datetime | None:
        """Delete the files that have expired."""
        return self.store.drop_blobs(now)

    def records(self, company: str, entity: str) -> Sequence[Record]:
        """A target table."""
        return self.store.records(company, entity)

    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add or replace records."""
        self.store.upsert(company, entity, keys, records)

    def replace(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Let a target table hold these records only."""
        self.store.replace(company, entity, keys, records)

    def put_execution(self, execution: Execution) -> None:
        """Add or replace an execution."""
        self.store.put_execution(execution)

    def execution(self, identifier: str) -> Execution | None:
        """The execution of this ID."""
        return self.store.execution(identifier)

    def put_run(self, run: BatchRun) -> None:
        """Add or replace a batch history record."""
        self.store.put_run(run)

    def run(self, identifier: str) -> BatchRun | None:
        """The batch history record of this ID."""
        return self.store.run(identifier)

    def runs(self, identifiers: Sequence[str]) -> Sequence[BatchRun]:
        """Batch history records."""
        return self.store.runs(identifiers)

    def runs_of(self, activity: str) -> Sequence[BatchRun]:
        """An activity's batch history."""
        return self.store.runs_of(activity)

    def delete_runs(self, activity: str) -> None:
        """Delete an activity's batch history."""
        self.store.delete_runs(activity)

    def put_sample(self, sample: Sample) -> None:
        """Add what a monitoring recurrence saw."""
        self.store.put_sample(sample)

    def samples_of(self, activity: str, offset: int = 0, limit: int | None = None) -> Sequence[Sample]:
        """What a monitoring recurrence saw."""
        return self.store.samples_of(activity, offset, limit)

    def plan(self, at: datetime, kind: str, subject: str) -> None:
        """Plan a moment."""
        self.store.plan(at, kind, subject)

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When a moment is."""
        return self.store.planned(kind, subject)

    def planned_within(self, kind: str, owner: str) -> tuple[int, datetime | None]:
        """How many moments there are of an owner's, and when the earliest of them is."""
        return self.store.planned_within(kind, owner)

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""
        self.store.cancel(kind, subject)

    def next_due(self) -> datetime | None:
        """The earliest moment."""
        return self.store.next_due()

    def take_due(self, now: datetime) -> Due | None:
        """Take the earliest moment."""
        return self.store.take_due(now)
