"""The store in a PostgreSQL database by itself: what two processes do to one another, and what it refuses."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.http import Request
from popreceipt.emulator.message import Message
from popreceipt.emulator.shared_clock import SharedManualClock, shared_clock
from popreceipt.emulator.store import Conflict, NotKept, Query
from popreceipt.emulator.store.memory import MemoryStore
from popreceipt.emulator.store.postgres import PostgresStore
from popreceipt.exceptions import UsageError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=30)


@pytest.fixture
def two(database: str) -> Any:
    """Two processes' stores on one database."""
    with PostgresStore(database) as one, PostgresStore(database) as other:
        yield one, other


def offered(store: PostgresStore, number: int, activity: str = "export") -> Message:
    """A message in a queue."""
    made = Message(
        id=Guids(number).new(), number=number, activity=activity, enqueued=NOW, queued=True, visible_from=NOW
    )
    store.put_message(made)
    return made


def hide(message: Message) -> Message:
    """What a dequeue makes of it."""
    return Message(
        id=message.id,
        number=message.number,
        activity=message.activity,
        enqueued=NOW,
        queued=True,
        visible_from=NOW + LEASE,
        deliveries=message.deliveries + 1,
    )


def test_a_lease_passes_over_what_another_takes(two: tuple[PostgresStore, PostgresStore]) -> None:
    """While one process takes the first message, another gets the second without waiting."""
    one, other = two
    first, second = offered(one, 1), offered(one, 2)
    with one.work():
        mine = one.lease("export", NOW, hide)
        theirs = other.lease("export", NOW, hide)
    assert (mine and mine.id, theirs and theirs.id) == (first.id, second.id)
    assert one.lease("export", NOW, hide) is None


def test_the_last_message_is_waited_for(two: tuple[PostgresStore, PostgresStore]) -> None:
    """A message that somebody only looks at is offered all the same: nobody is told that the queue is empty."""
    one, other = two
    only = offered(one, 1)
    taken: list[Message | None] = []
    with one.work():
        assert one.message(only.id) == only
        asking = threading.Thread(target=lambda: taken.append(other.lease("export", NOW, hide)))
        asking.start()
        wait_until_somebody_waits(one)
    asking.join()
    assert [message and message.id for message in taken] == [only.id]


def wait_until_somebody_waits(store: PostgresStore) -> None:
    """Return once another connection waits for a lock."""
    while not store._rows("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0]:
        pass


def test_two_that_wait_for_one_another(two: tuple[PostgresStore, PostgresStore]) -> None:
    """One of the two is undone and told so; the other goes on."""
    one, other = two
    first, second = offered(one, 1), offered(one, 2)
    ended: list[str] = []

    def crosswise() -> None:
        try:
            with other.work():
                other.message(second.id)
                has_second.set()
                other.message(first.id)
                ended.append("well")
        except Conflict:
            ended.append("undone")

    has_second = threading.Event()
    crossing = threading.Thread(target=crosswise)
    try:
        with one.work():
            one.message(first.id)
            crossing.start()
            has_second.wait()
            one.message(second.id)
            ended.append("well")
    except Conflict:
        ended.append("undone")
    crossing.join()
    assert sorted(ended) == ["undone", "well"]


def test_who_is_alone_waits_and_is_waited_for(two: tuple[PostgresStore, PostgresStore]) -> None:
    """What one does alone is seen as a whole: what another begins meanwhile begins after it."""
    one, other = two
    seen: list[str | None] = []
    with one.work(alone=True):
        one.put_setting("a", "1")
        asking = threading.Thread(target=lambda: seen.append(other.setting("a")))
        asking.start()
        wait_until_somebody_waits(one)
        one.put_setting("a", "2")
    asking.join()
    assert seen == ["2"]


def test_what_is_remembered_is_read_anew_when_it_changes(two: tuple[PostgresStore, PostgresStore]) -> None:
    """A setting that another process has put, and one whose unit of work was undone."""
    one, other = two
    one.put_setting("a", "1")
    assert (one.setting("a"), other.setting("a")) == ("1", "1")
    other.put_setting("a", "2")
    assert one.setting("a") == "2"
    undone(one, lambda: one.put_setting("a", "3"))
    assert one.setting("a") == "2"
    with one.work():
        one.put_setting("b", "1")
        undone(one, lambda: one.put_setting("b", "2"))
        assert one.setting("b") == "1"
    assert (one.setting("b"), other.setting("b")) == ("1", "1")


def undone(store: PostgresStore, does: Callable[[], object]) -> None:
    """A unit of work that does something and raises in the end."""
    with contextlib.suppress(LookupError), store.work():
        does()
        raise LookupError


def test_two_that_both_find_nothing_planned(two: tuple[PostgresStore, PostgresStore]) -> None:
    """The second one hears of the first one's plan instead of making another."""
    one, other = two
    heard: list[datetime | None] = []
    with one.work():
        assert one.planned("tick", "1") is None
        asking = threading.Thread(target=lambda: heard.append(other.planned("tick", "1")))
        asking.start()
        wait_until_somebody_waits(one)
        one.plan(NOW, "tick", "1")
    asking.join()
    assert heard == [NOW]


def test_names_that_a_database_cannot_hold(two: tuple[PostgresStore, PostgresStore]) -> None:
    """NUL and half a surrogate pair are kept in what is read back, and found by what they became."""
    one, other = two
    made = Message(
        id=Guids(1).new(), number=1, activity="import", enqueued=NOW, entity="a\x00b", external_identifier="ä"
    )
    one.put_message(made)
    assert other.message(made.id) == made
    assert other.find(Query(text="A\x00B"))[0] == [made]
    assert other.delivery("\x00") is None
    assert other.delivery("\ud800") is None


def test_thirty_megabytes(two: tuple[PostgresStore, PostgresStore]) -> None:
    """A large file goes in and comes out as it was."""
    one, other = two
    content = bytes(range(256)) * (30 * 4096)
    one.put_blob("large", content, NOW)
    assert other.blob("large") == content


def test_a_database_that_goes_away(cluster: Any) -> None:
    """What was under way is undone and the caller hears of it; afterwards everything is as it was, and goes on."""
    with PostgresStore(cluster.url()) as store:
        emulator = Emulator(shared_in(store), store=store)
        create = Request("POST", "/_control/v1/activities", body=b'{"direction": "import"}')
        assert emulator.handle(create).status == 201
        count = len(store.activities())

        def half_done() -> None:
            with store.work():
                store.put_setting("half", "done")
                cluster.stop()
                store.put_setting("other half", "done")

        with pytest.raises(NotKept):
            half_done()
        assert emulator.handle(create).status == 500
        assert isinstance(emulator.faults[-1], NotKept)
        cluster.start()
        assert (store.setting("half"), len(store.activities())) == (None, count)
        assert emulator.handle(create).status == 201


def shared_in(store: PostgresStore) -> SharedManualClock:
    with store.work(alone=True):
        clock = shared_clock(store, "manual")
    assert isinstance(clock, SharedManualClock)
    return clock


def test_moved_in_one_process_it_is_later_in_all(two: tuple[PostgresStore, PostgresStore]) -> None:
    """Also when the movement is undone; and nobody may come in with another clock while others are at work."""
    one, other = two
    here, there = shared_in(one), shared_in(other)
    here.advance(timedelta(hours=1))
    with other.work():
        assert there.now() == ManualClock().now() + timedelta(hours=1)
    undone(one, lambda: here.advance(timedelta(hours=1)))
    with one.work():
        assert here.now() == ManualClock().now() + timedelta(hours=1)
    with pytest.raises(UsageError, match="--clock manual"), one.work(alone=True):
        shared_clock(one, "scaled:60")


def test_the_clock_may_become_another_once_nobody_is_left(database: str) -> None:
    """It goes on from where the last one stood."""
    with PostgresStore(database) as store:
        shared_in(store).advance(timedelta(days=36_500))
    with PostgresStore(database) as store, store.work(alone=True):
        assert shared_clock(store, "scaled:60").now() >= ManualClock().now() + timedelta(days=36_500)


# What an emulator makes of conflicts


class Contended(MemoryStore):
    """A store in which another process comes in between so many times."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def setting(self, name: str) -> str | None:
        if self.times and name == "contended":
            self.times -= 1
            raise Conflict("Another process came in between.")
        return super().setting(name)


def test_a_request_is_begun_anew() -> None:
    """What it had noted before is forgotten, and the caller gets his answer; not for ever, though."""
    store = Contended()
    emulator = Emulator(ManualClock(), store=store)
    written = len(emulator.journal.entries)
    answer = emulator._answer

    def late(call: Any, *, is_control: bool) -> Any:
        answered = answer(call, is_control=is_control)
        store.setting("contended")
        return answered

    emulator._answer = late  # type: ignore[method-assign]  # the conflict comes after the work
    asked = Request("GET", f"/_control/v1/activities/{store.activities()[0].id}/messages")
    store.times = 3
    assert emulator.handle(asked).status == 200
    assert (emulator.conflicts, len(emulator.journal.entries) - written, emulator.faults) == (3, 1, [])
    store.times = 1000
    assert emulator.handle(asked).status == 500
    assert isinstance(emulator.faults[-1], Conflict)
    assert len(emulator.journal.entries) - written == 1


# What is refused


def test_a_server_that_is_not_there() -> None:
    """A sentence with the place and without the password."""
    with pytest.raises(UsageError, match=r"Cannot reach the database base on 127\.0\.0\.1") as refused:
        PostgresStore("postgresql://me:hidden@127.0.0.1:1/base")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("url", ["hidden", "postgresql://me:hid%zzden@x/y", "mysql://me:hidden@x/y"])
def test_what_is_no_url(url: str) -> None:
    """It may hold a password, wherever it is wrong."""
    with pytest.raises(UsageError, match="postgresql://USER@HOST") as refused:
        PostgresStore(url)
    assert "hid" not in str(refused.value)


def test_a_wrong_password_and_a_database_that_there_is_not(cluster: Any) -> None:
    """PostgreSQL's own words, without the password."""
    for url in (cluster.url(password="hidden"), cluster.url(name="nowhere")):
        with pytest.raises(UsageError, match=r"(authentication failed|does not exist)") as refused:
            PostgresStore(url)
        assert "hidden" not in str(refused.value)


def test_a_schema_that_is_not_ours(cluster: Any) -> None:
    """Somebody else's, and one of a later version: nothing is touched."""
    with psycopg.connect(cluster.url("public"), autocommit=True) as owner:
        owner.execute("CREATE SCHEMA theirs")
        owner.execute("CREATE TABLE theirs.orders (number int)")
        with pytest.raises(UsageError, match="orders"):
            PostgresStore(cluster.url("theirs"))
        PostgresStore(cluster.url("later")).close()
        owner.execute("UPDATE later.environment SET schema_version = 99")
        with pytest.raises(UsageError, match="version 99"):
            PostgresStore(cluster.url("later"))
        owner.execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0")
        with pytest.raises(UsageError, match="LATIN1"):
            PostgresStore(cluster.url(name="old"))


def test_two_that_open_at_once(database: str) -> None:
    """One of them makes the schema, the other finds it; each has names of its own to give."""
    opened: list[PostgresStore] = []
    opening = [threading.Thread(target=lambda: opened.append(PostgresStore(database))) for _ in range(4)]
    for each in opening:
        each.start()
    for each in opening:
        each.join()
    assert sorted(store.generation() for store in opened) == [0, 1, 2, 3]
    for store in opened:
        store.close()
