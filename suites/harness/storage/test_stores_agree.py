"""Every durable store answers as the one in memory does, whatever is asked of it in whatever order.

Machines drive two stores with the same random operations and compare all that they say; from time to time the durable
one is closed and opened again. The one in memory is compared with itself as well, where next to nothing is in
memory and all else in its temporary file.
"""

import itertools
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from popreceipt.emulator import queue
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.execution import Execution, RecordError
from popreceipt.emulator.dmf.project import Condition, Project, ProjectEntity
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.message import FINAL, Message
from popreceipt.emulator.queue import LeaseQueue
from popreceipt.emulator.store import BatchRun, Column, Delivery, Query, Sample, late_keys, memory, sqlite
from popreceipt.emulator.store.memory import MemoryStore
from popreceipt.emulator.store.postgres import PostgresStore
from popreceipt.emulator.store.sqlite import INSIDE, SqliteStore
from popreceipt.vocabulary import (
    ACKED,
    DEQUEUED,
    DOWNLOADED,
    ENQUEUED,
    PREPROCESSING,
    PREPROCESSING_ERROR,
    PROCESSED,
    PROCESSING,
)

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=30)
STATUSES = (ENQUEUED, DEQUEUED, DOWNLOADED, ACKED, PREPROCESSING, PROCESSING, PROCESSED, PREPROCESSING_ERROR)
COLUMNS: tuple[Any, ...] = get_args(Column)


class OnDisk:
    """A SQLite store in a folder of its own, which can be closed and opened again."""

    def __init__(self, *, original_place: bool) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._original_place = original_place
        self.store = self._opened()

    def _opened(self) -> SqliteStore:
        return SqliteStore(Path(self._folder.name), sync="normal", original_place=self._original_place)

    def reopen(self) -> None:
        self.store.close()
        self.store = self._opened()

    def close(self) -> None:
        self.store.close()
        self._folder.cleanup()


class InADatabase:
    """A PostgreSQL store in a schema of its own, which can be closed and opened again."""

    def __init__(self, url: str, *, original_place: bool) -> None:
        self._url = url
        self._original_place = original_place
        self.store = self._opened()

    def _opened(self) -> PostgresStore:
        return PostgresStore(self._url, original_place=self._original_place)

    def reopen(self) -> None:
        self.store.close()
        self.store = self._opened()

    def close(self) -> None:
        self.store.close()


class InATemporaryFile:
    """A store in memory that has next to nothing there. It cannot be opened again."""

    def __init__(self, *, original_place: bool) -> None:
        queue = partial(LeaseQueue, original_place=original_place)
        self.store = MemoryStore(queue, most=5, most_done=2, most_content=3)

    def reopen(self) -> None:
        """It is as it was."""

    def close(self) -> None:
        self.store.clear()


Opened = Callable[..., Any]
"""What opens a kind of store anew, empty: something with `store`, `reopen` and `close`."""


@pytest.fixture(params=["sqlite", "postgresql", "temporary-file"])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Opened:
    # What is tidied up in memory once it is worth while, in so short a story too.
    monkeypatch.setattr(memory, "SLICE", 2)
    monkeypatch.setattr(queue, "SLACK", 0)
    monkeypatch.setattr(late_keys, "MOST", 3)
    monkeypatch.setattr(sqlite, "AT_HAND", 2)
    if request.param == "sqlite":
        return OnDisk
    if request.param == "temporary-file":
        return InATemporaryFile
    cluster = request.getfixturevalue("cluster")
    return lambda **options: InADatabase(cluster.url(), **options)


entities = st.sampled_from([None, "Customer groups", "customer GROUPS", "Straße", "vendors"])
externals = st.sampled_from([None, "", "file-1.csv", "FILE-2.csv", "ÄÖ", "100%_sure"])
chosen = st.integers(min_value=0, max_value=10_000)
SUBJECTS = ["", "1", "2", "1/a", "1/b", "2/a", "10/a", "1/a/b"]
optional_instants = st.none() | st.integers(0, 5).map(lambda minutes: NEW_YEAR + timedelta(minutes=minutes))
records = st.lists(
    st.fixed_dictionaries(
        {"KEY": st.sampled_from("abc"), "SECOND": st.sampled_from("xy"), "TEXT": st.text(max_size=3)}
    ),
    max_size=5,
)


class Both(RuleBasedStateMachine):
    """Two stores and one story. Subclasses say which durable store, which order of redelivery, and what happens."""

    opened: Opened
    original_place: bool

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryStore(lambda: LeaseQueue(original_place=self.original_place))
        self.disk = self.opened(original_place=self.original_place)
        self.guids = Guids("stores")
        self.now = NEW_YEAR

    def teardown(self) -> None:
        self.disk.close()

    def both(self, name: str, *arguments: Any) -> Any:
        """Ask both the same; they must say the same."""
        here, there = [getattr(store, name)(*arguments) for store in (self.memory, self.disk.store)]
        if isinstance(here, (list, tuple)) or isinstance(there, (list, tuple)):
            here, there = _listed(here), _listed(there)
        assert there == here, (name, arguments)
        return here

    @initialize()
    def world(self) -> None:
        self.ids: list[str] = []
        self.blobs: list[str] = []
        self.correlations: list[str] = []
        self.runs: list[str] = []
        self.imports = [self.add_activity("import") for _ in range(2)]
        self.exports = [self.add_activity("export") for _ in range(2)]

    def add_activity(self, direction: Any) -> str:
        made = Activity(
            id=self.guids.new(),
            name=f"{direction} ä",
            direction=direction,
            type="file",
            entity="Customer groups",
            company=f"u{self.both('next_number', 'companies'):03d}",
            anchor=self.now,
            monitoring_anchor=self.now,
        )
        self.both("put_activity", made)
        return made.id

    def one(self, of: list[str], which: int) -> str:
        return of[which % len(of)]

    @rule(seconds=st.sampled_from([0, 0.000001, 1, 60, 1799, 1800, 1801, 7200]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def reopen(self) -> None:
        self.disk.reopen()
        self.both("activities")

    @rule(often=st.integers(0, 9))
    def clear(self, often: int) -> None:
        if often == 0:  # else there would never be much
            self.both("clear")
            self.world()

    def put_a_blob(self, content: bytes) -> str:
        identifier = self.guids.new()
        self.both("put_blob", identifier, content, self.now + timedelta(hours=1))
        self.blobs.append(identifier)
        return identifier


class Messages(Both):
    """Messages come, change in whatever way, and go."""

    @rule(which=chosen, entity=entities, external=externals)
    def enqueue(self, which: int, entity: str | None, external: str | None) -> None:
        made = Message(
            id=self.guids.new(),
            number=self.both("next_number"),
            activity=self.one(self.imports, which),
            entity=entity,
            external_identifier=external,
            enqueued=self.now,
            blob=self.put_a_blob(b"x"),
        )
        self.both("put_message", made)
        self.ids.append(made.id)

    @rule(which=chosen, entity=entities, later=st.sampled_from([0, 0, 0, 60]), total=st.none() | st.integers(0, 3))
    def produce(self, which: int, entity: str | None, later: int, total: int | None) -> None:
        made = Message(
            id=self.guids.new(),
            number=self.both("next_number"),
            activity=self.one(self.exports, which),
            entity=entity,
            enqueued=self.now,
            total_records=total,
            uploaded=total is not None,
            queued=True,
            visible_from=self.now + timedelta(seconds=later),
        )
        self.both("put_message", made)
        self.ids.append(made.id)

    @precondition(lambda self: self.ids)
    @rule(
        which=chosen,
        status=st.sampled_from(STATUSES),
        batch_status=st.sampled_from([None, "Executing", "Finished"]),
        is_taken=st.booleans(),
        queued=st.booleans(),
        retries=st.integers(0, 3),
        instants=st.tuples(*[optional_instants] * 5),
    )
    def change(
        self,
        which: int,
        status: str,
        batch_status: str | None,
        is_taken: bool,
        queued: bool,
        retries: int,
        instants: tuple[datetime | None, ...],
    ) -> None:
        """Whatever may happen to a message, and more: any state can follow any other."""
        message = self.both("message", self.one(self.ids, which))
        if message is None:
            return
        names = ("started", "completed", "last_dequeued", "last_downloaded", "acknowledged")
        changes: dict[str, Any] = dict(zip(names, instants, strict=True))
        if message.visible_from is None:
            changes["turn"] = self.both("next_number", "turns") if is_taken else None
        else:
            changes["queued"] = queued
        self.both(
            "put_message",
            msgspec.structs.replace(message, status=status, batch_status=batch_status, retries=retries, **changes),
        )

    @precondition(lambda self: self.ids)
    @rule(which=chosen)
    def delete(self, which: int) -> None:
        self.both("delete_message", self.one(self.ids, which))


class Queues(Messages):
    """Who is next, who waits, who is taken."""

    @rule(which=chosen, stays=st.booleans())
    def lease(self, which: int, stays: bool) -> None:
        self.both("lease", self.one(self.exports, which), self.now, self.delivering(stays))

    @rule(which=chosen)
    def lease_everything(self, which: int) -> None:
        while self.both("lease", self.one(self.exports, which), self.now, self.delivering(True)) is not None:
            pass

    def delivering(self, stays: bool) -> Callable[[Message], Message]:
        def deliver(message: Message) -> Message:
            status = DEQUEUED if message.status not in FINAL else message.status
            return msgspec.structs.replace(
                message,
                status=status,
                visible_from=self.now + LEASE,
                queued=stays,
                last_dequeued=self.now,
                deliveries=message.deliveries + 1,
            )

        return deliver

    @precondition(lambda self: self.ids)
    @rule(which=chosen)
    def renew(self, which: int) -> None:
        message = self.both("message", self.one(self.ids, which))
        if message is not None and message.visible_from is not None:
            self.both("put_message", msgspec.structs.replace(message, visible_from=self.now + LEASE))

    @precondition(lambda self: self.ids)
    @rule(which=chosen)
    def hand_out(self, which: int) -> None:
        correlation, message = self.guids.new(), self.one(self.ids, which)
        if self.both("message", message) is None:
            return
        self.both("put_delivery", Delivery(correlation, self.guids.new(), message))
        self.correlations.append(correlation)

    @precondition(lambda self: self.correlations)
    @rule(which=chosen)
    def ask_for_a_delivery(self, which: int) -> None:
        self.both("delivery", self.one(self.correlations, which))

    @invariant()
    def look_at_activities(self) -> None:
        for activity in (*self.imports, *self.exports):
            self.both("messages_of", activity)
            self.both("taken", activity)
            self.both("first_taken", activity)
            self.both("in_line", activity, 3)
            self.both("load", activity, self.now)
            for before in (None, self.now, self.now + timedelta(seconds=1)):
                self.both("waiting", activity, before)
            for minute in range(4):
                began = NEW_YEAR + timedelta(minutes=minute)
                self.both("completed_between", activity, began, began + timedelta(minutes=1))

    @rule(which=chosen, size=st.integers(1, 3))
    def read_page_by_page(self, which: int, size: int) -> None:
        """A page at a time it is the same as everything at once."""
        activity = self.one([*self.imports, *self.imports, *self.exports], which)
        for name, mark, *before in (
            ("messages_of", "number"),
            ("taken", "turn"),
            ("waiting", "number", None),
            ("waiting", "number", self.now),
        ):
            found: list[Message] = []
            while page := self.both(name, activity, *before, getattr(found[-1], mark) if found else 0, size):
                found += page
            assert found == list(getattr(self.memory, name)(activity, *before))


class Grid(Messages):
    """What a grid asks for."""

    @rule(
        restrictions=st.fixed_dictionaries(
            {
                "activity": chosen,
                "statuses": st.frozensets(st.sampled_from(STATUSES)),
                "text": st.sampled_from(["", "group", "GROUPS", "STRASSE", "file", "äö", "%", "_", "a"]),
                "enqueued_from": st.just(NEW_YEAR + timedelta(minutes=1)),
                "enqueued_until": optional_instants,
            },
        ),
        meant=st.sampled_from(
            [(), ("activity",), ("statuses",), ("text",), ("text",), ("enqueued_from", "enqueued_until"), None]
        ),
        offset=st.sampled_from([0, 0, 1, 4]),
        limit=st.none() | st.integers(0, 5),
    )
    def find(self, restrictions: dict[str, Any], meant: tuple[str, ...] | None, offset: int, limit: int | None) -> None:
        """In every order; with all restrictions (`meant` is None) rarely, since they leave little to find."""
        if meant is not None:
            restrictions = {name: restrictions[name] for name in meant}
        if "activity" in restrictions:
            restrictions["activity"] = self.one([*self.imports, *self.exports, "none"], restrictions["activity"])
        for column, descending in itertools.product(COLUMNS, (False, True)):
            query = Query(order_by=column, descending=descending, offset=offset, limit=limit, **restrictions)
            (here, total), (there, total_there) = self.memory.find(query), self.disk.store.find(query)
            assert (list(there), total_there) == (list(here), total), query


class Files(Both):
    """Contents of every size, in rows and in files."""

    @rule(size=st.sampled_from([0, 1, INSIDE, INSIDE + 1]))
    def keep_a_file(self, size: int) -> None:
        self.put_a_blob(b"z" * size)

    @precondition(lambda self: self.blobs)
    @rule(which=chosen, content=st.sampled_from([b"", b"other", b"o" * (INSIDE + 2)]))
    def keep_another_file_under_its_name(self, which: int, content: bytes) -> None:
        self.both("put_blob", self.one(self.blobs, which), content, self.now + timedelta(minutes=31))

    @precondition(lambda self: self.blobs)
    @rule(which=chosen)
    def read_a_file(self, which: int) -> None:
        self.both("blob", self.one(self.blobs, which))
        self.both("blob_expires", self.one(self.blobs, which))

    @precondition(lambda self: self.blobs)
    @rule(which=chosen)
    def delete_a_file(self, which: int) -> None:
        self.both("delete_blob", self.one(self.blobs, which))

    @rule()
    def drop_what_has_expired(self) -> None:
        self.both("drop_blobs", self.now)


class Records(Both):
    """Target tables, executions, batch history, samples, projects, settings."""

    @rule(company=st.sampled_from("ab"), entity=st.sampled_from(["A", "a"]), found=records, anew=st.booleans())
    def land(self, company: str, entity: str, found: list[dict[str, str]], anew: bool) -> None:
        keys = ("KEY",) if entity == "A" else ("KEY", "SECOND")
        self.both("replace" if anew else "upsert", company, entity, keys, found)
        self.both("records", company, entity)

    @rule(which=chosen, good=st.integers(0, 3))
    def execute(self, which: int, good: int) -> None:
        identifier = f"execution-{which % 3}"
        self.both("execution", identifier)
        errors = (RecordError("1", "KEY", "is empty"),) * good
        made = Execution(id=identifier, entity="A", company="a", started=self.now, good=good, errors=errors)
        self.both("put_execution", made)
        self.both("execution", identifier)

    @rule(which=chosen, status=st.sampled_from(["Waiting", "Executing", "Finished"]))
    def run_a_batch_job(self, which: int, status: str) -> None:
        known = [*self.runs, self.guids.new()]
        identifier = self.one(known, which)
        if identifier not in self.runs:
            self.runs.append(identifier)
        before = self.both("run", identifier)
        activity = self.one(self.imports, which) if before is None else before.activity
        made = BatchRun(id=identifier, activity=activity, message=f"{which}", status=status, started=self.now)
        self.both("put_run", made)

    @invariant()
    def look_at_history(self) -> None:
        for activity in (*self.imports, *self.exports):
            self.both("runs_of", activity)
            self.both("samples_of", activity)
            for offset, limit in itertools.product((0, 1, 5), (0, 1, 2, None)):
                self.both("samples_of", activity, offset, limit)
        asked = [*self.runs[:3], "none"]
        here, there = [sorted(store.runs(asked), key=attrgetter("id")) for store in (self.memory, self.disk.store)]
        assert there == here

    @rule(which=chosen)
    def delete_history(self, which: int) -> None:
        self.both("delete_runs", self.one(self.imports, which))

    @rule(which=chosen, waiting=st.integers(0, 3))
    def monitor(self, which: int, waiting: int) -> None:
        activity = self.one(self.exports, which)
        self.both("put_sample", Sample(activity=activity, at=self.now, waiting=waiting, in_process=0, mean=0.5))

    @rule(which=chosen, description=st.text(max_size=3))
    def set_up_a_project(self, which: int, description: str) -> None:
        made = Project(
            id=f"project-{which % 3}",
            name="Groups",
            direction="import",
            description=description,
            entities=(ProjectEntity(entity="Customer groups", xslt=("<xsl/>",)),),
            filter=(Condition(entity="Customer groups", field="KEY", value="a"),),
        )
        self.both("put_project", made)
        self.both("project", made.id)
        self.both("projects")

    @rule(name=st.sampled_from("ab"), value=st.none() | st.text(max_size=2))
    def note(self, name: str, value: str | None) -> None:
        if value is None or "\x00" not in value:
            self.both("put_setting", name, value)
        self.both("setting", name)


class Moments(Both):
    """What will fall due."""

    @rule(minutes=st.integers(0, 3), kind=st.sampled_from("xy"), subject=st.sampled_from(SUBJECTS))
    def plan(self, minutes: int, kind: str, subject: str) -> None:
        self.both("plan", self.now + timedelta(minutes=minutes), kind, subject)
        self.both("next_due")

    @rule(kind=st.sampled_from("xy"), subject=st.sampled_from(SUBJECTS))
    def cancel(self, kind: str, subject: str) -> None:
        self.both("planned", kind, subject)
        self.both("cancel", kind, subject)
        self.both("next_due")

    @rule()
    def take_what_is_due(self) -> None:
        while self.both("take_due", self.now) is not None:
            self.both("next_due")

    @invariant()
    def count_what_is_planned(self) -> None:
        for kind, owner in itertools.product("xy", ["", "1", "2", "3"]):
            self.both("planned_within", kind, owner)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize(
    ("machine", "original_place"),
    [(Queues, False), (Queues, True), (Grid, False), (Files, False), (Records, False), (Moments, False)],
    ids=["queues", "queues-original-place", "grid", "files", "records", "moments"],
)
def test_they_say_the_same(opened: Opened, machine: type[Both], original_place: bool) -> None:
    """The same operations, the same answers; whoever comes back at which place is the same too."""
    made = type(machine.__name__, (machine,), {"opened": staticmethod(opened), "original_place": original_place})
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
