"""A folder with everything in it: what survives a process, what is undone, and which folders are refused."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.message import Message
from popreceipt.emulator.store import Delivery, NotKept, Query, late_keys, sqlite
from popreceipt.emulator.store.sqlite import (
    APPLICATION,
    BLOBS,
    DATABASE,
    INSIDE,
    LOCK,
    UNFINISHED,
    SqliteStore,
)
from popreceipt.exceptions import UsageError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=7)
GUID = "00000000-0000-4000-8000-{:012d}"

Opener = Callable[..., SqliteStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of this test; what is still open at the end is closed."""
    stores: list[SqliteStore] = []

    def open_one(**options: Any) -> SqliteStore:
        stores.append(SqliteStore(tmp_path / "data", **options))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def message(number: int, **settings: Any) -> Message:
    return Message(id=GUID.format(number), number=number, activity="a", enqueued=NOW, **settings)


def left_by_a_death(store: SqliteStore, folder: Path, copy: Path) -> Path:
    """What a process that dies now leaves: its files as they are, without the chance to tidy up."""
    del store
    copy.mkdir()
    for path in folder.rglob("*"):
        target = copy / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path.name != LOCK:
            target.write_bytes(path.read_bytes())
    return copy


# What stays


def test_everything_is_there_again(opened: Opener) -> None:
    """What one process has kept the next one finds, numbers go on, and it knows how often the store was opened."""
    first = opened()
    assert first.generation() == 0
    first.put_message(message(first.next_number()))
    first.put_blob(GUID.format(1), b"small", LATER)
    first.put_blob(GUID.format(2), b"l" * (INSIDE + 1), LATER)
    first.plan(LATER, "kind", "subject")
    first.close()
    second = opened()
    assert second.generation() == 1
    assert second.message(GUID.format(1)) == message(1)
    assert second.blob(GUID.format(1)) == b"small"
    assert second.blob(GUID.format(2)) == b"l" * (INSIDE + 1)
    assert second.next_due() == LATER
    assert second.next_number() == 2


def test_a_death_leaves_what_was_kept_and_nothing_else(opened: Opener, tmp_path: Path) -> None:
    """A unit of work that had not ended is gone with its file; numbers given out before are not given again."""
    store = opened()
    with store.work():
        store.put_message(message(store.next_number()))
        store.put_blob(GUID.format(1), b"k" * (INSIDE + 1), LATER)
    unit = store.work()
    unit.__enter__()
    store.put_message(message(store.next_number()))
    store.put_blob(GUID.format(2), b"g" * (INSIDE + 1), LATER)
    copy = left_by_a_death(store, tmp_path / "data", tmp_path / "copy")
    assert len([path for path in (copy / BLOBS).rglob("*") if path.is_file()]) == 2
    with SqliteStore(copy) as again:
        assert [one.number for one in again.find(Query())[0]] == [1]
        assert again.blob(GUID.format(1)) == b"k" * (INSIDE + 1)
        assert again.blob(GUID.format(2)) is None
        assert again.next_number() > 1
    assert len([path for path in (copy / BLOBS).rglob("*") if path.is_file()]) == 1
    unit.__exit__(None, None, None)


def test_files_go_with_the_commit(opened: Opener, tmp_path: Path) -> None:
    """A deleted content is there until its deletion is committed, so that a death before brings it back whole."""
    store = opened()
    store.put_blob(GUID.format(1), b"k" * (INSIDE + 1), LATER)
    with store.work():
        store.delete_blob(GUID.format(1))
        copy = left_by_a_death(store, tmp_path / "data", tmp_path / "copy")
    assert store.blob(GUID.format(1)) is None
    assert not [path for path in (tmp_path / "data" / BLOBS).rglob("*") if path.is_file()]
    with SqliteStore(copy) as again:
        assert again.blob(GUID.format(1)) == b"k" * (INSIDE + 1)


# What is undone


def test_a_unit_that_raises_is_undone(opened: Opener) -> None:
    """Rows, numbers, settings, moments and files; what was remembered of them is forgotten as well."""
    store = opened()
    store.put_setting("name", "before")
    store.plan(LATER, "kind", "before")
    assert (store.setting("name"), store.next_due()) == ("before", LATER)
    with pytest.raises(ZeroDivisionError), store.work():  # noqa: PT012 - the story of one unit
        store.put_message(message(store.next_number()))
        store.put_setting("name", "after")
        store.plan(NOW, "kind", "after")
        store.put_blob(GUID.format(1), b"g" * (INSIDE + 1), LATER)
        assert (store.setting("name"), store.next_due()) == ("after", NOW)
        raise ZeroDivisionError
    assert (store.setting("name"), store.next_due()) == ("before", LATER)
    assert store.message(GUID.format(1)) is None
    assert store.blob(GUID.format(1)) is None
    assert store.next_number() >= 1


def test_a_unit_inside_another_is_undone_alone(opened: Opener) -> None:
    """The inner one that raises takes nothing of the outer one with it."""
    store = opened()
    with store.work():
        store.put_message(message(1))
        with pytest.raises(ZeroDivisionError), store.work():  # noqa: PT012 - the story of one unit
            store.put_message(message(2))
            raise ZeroDivisionError
        store.put_message(message(3))
    assert [one.number for one in store.find(Query())[0]] == [1, 3]


def test_grouped_units_are_kept_together(opened: Opener, tmp_path: Path) -> None:
    """Nothing is on disk before the commit, everything but what raised after it; reading alone asks for none."""
    store = opened()
    store.grouped = True
    with store.work():
        assert store.message(GUID.format(1)) is None
    assert not store.is_uncommitted
    with store.work():
        store.put_message(message(1))
    with pytest.raises(ZeroDivisionError), store.work():  # noqa: PT012 - the story of one unit
        store.put_message(message(2))
        raise ZeroDivisionError
    with store.work():
        store.put_message(message(3))
    assert store.is_uncommitted
    with SqliteStore(left_by_a_death(store, tmp_path / "data", tmp_path / "before")) as before:
        assert before.find(Query())[1] == 0
    store.commit()
    assert not store.is_uncommitted
    with SqliteStore(left_by_a_death(store, tmp_path / "data", tmp_path / "after")) as after:
        assert [one.number for one in after.find(Query())[0]] == [1, 3]


@pytest.mark.parametrize("repeated", [1, 4, 256])
def test_a_unit_that_is_undone_takes_no_other_of_its_turn_with_it(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeated: int
) -> None:
    """What came before it in the same transaction is there afterwards, files and deliveries too, and what follows."""
    monkeypatch.setattr(sqlite, "REPEATED", repeated)
    monkeypatch.setattr(late_keys, "MOST", 2)
    store = opened()
    store.grouped = True
    for number in range(1, 6):
        with store.work():
            store.put_message(message(number))
            store.put_delivery(Delivery(GUID.format(100 + number), GUID.format(0), GUID.format(number)))
            store.put_blob(GUID.format(number), b"k" * (INSIDE + 1), LATER)
            with pytest.raises(ZeroDivisionError), store.work():  # noqa: PT012 - the story of one unit
                store.put_setting("inner", "undone")
                raise ZeroDivisionError
            store.put_setting("outer", str(number))
        with pytest.raises(ZeroDivisionError), store.work():  # noqa: PT012 - the story of one unit
            lost = message(50 + number)
            store.put_message(lost)
            store.put_delivery(Delivery(GUID.format(200 + number), GUID.format(0), lost.id))
            store.delete_message(GUID.format(1))
            store.upsert("company", "entity", ["A"], [{"A": "1"}])
            raise ZeroDivisionError
        assert store.message(lost.id) is None
        assert store.delivery(GUID.format(200 + number)) is None
    store.commit()
    for again in (store, SqliteStore(left_by_a_death(store, tmp_path / "data", tmp_path / "copy"))):
        assert [one.number for one in again.find(Query())[0]] == [1, 2, 3, 4, 5]
        assert (again.setting("inner"), again.setting("outer")) == (None, "5")
        assert again.records("company", "entity") == []
        for number in range(1, 6):
            assert again.blob(GUID.format(number)) == b"k" * (INSIDE + 1)
            delivery = again.delivery(GUID.format(100 + number))
            assert delivery is not None
            assert again.message(delivery.message) == message(number)
        again.close()


def test_a_message_is_found_by_its_id_whenever_it_came(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are given out before messages are put: one that comes late is found too, also by the next process."""
    monkeypatch.setattr(late_keys, "MOST", 3)
    monkeypatch.setattr(sqlite, "AT_HAND", 1)
    store = opened()
    for number in (2, 3, 5, 4, 1, 6):
        store.put_message(message(number))
    for again in (store, None):
        store.close() if again is None else None
        found = opened() if again is None else store
        assert [found.message(GUID.format(number)) for number in range(1, 7)] == [message(one) for one in range(1, 7)]


def test_a_version_before_is_refused(tmp_path: Path) -> None:
    """A folder that an earlier version has left is not taken for one of this version, and nothing is touched."""
    with SqliteStore(tmp_path / "data"):
        pass
    database = sqlite3.connect(tmp_path / "data" / DATABASE)
    database.execute("PRAGMA user_version = 1")
    database.close()
    before = contents(tmp_path / "data")
    assert "version 1; this version reads" in refused(tmp_path / "data")
    assert contents(tmp_path / "data") == before


def no_room(store: SqliteStore) -> None:
    """Let the disk be full: the database may not grow any more."""
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")


def room(store: SqliteStore) -> None:
    store._connection.execute("PRAGMA max_page_count = 1000000")


@pytest.mark.parametrize("grouped", [False, True])
def test_a_full_disk_keeps_nothing_and_passes(opened: Opener, grouped: bool) -> None:
    """What does not fit raises and leaves nothing; once there is room again everything goes on."""
    store = opened()
    store.put_message(message(1))
    store.grouped = grouped
    no_room(store)
    with pytest.raises(NotKept):  # noqa: PT012 - which of the statements runs into it is the database's choice
        for number in range(2, 1000):
            with store.work():
                store.put_message(message(number))
                store.put_blob(GUID.format(number), b"x" * INSIDE, LATER)
    if grouped:
        store.undo()
        assert store.find(Query())[1] == 1
    kept = store.find(Query())[1]
    room(store)
    with store.work():
        store.put_message(message(5000))
    if grouped:
        store.commit()
    assert store.find(Query())[1] == kept + 1
    assert len(store._rows("SELECT id FROM blobs")) == kept - 1


class FailsToCommit:
    """A connection whose next commit meets with an error of the disk."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.is_broken = True

    def execute(self, statement: str, *values: Any) -> Any:
        if self.is_broken and statement.startswith(("COMMIT", "RELEASE unit1")):
            self.is_broken = False
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_commit_that_fails_is_said(opened: Opener, grouped: bool) -> None:
    """Whoever waited for it learns that nothing was kept, and the next one works."""
    store = opened()
    connection: Any = FailsToCommit(store._connection)
    store._connection = connection
    store.grouped = grouped
    connection.is_broken = not grouped
    with pytest.raises(NotKept):  # noqa: PT012 - the unit alone, or the commit for all
        with store.work():
            store.put_message(message(store.next_number()))
        connection.is_broken = True
        store.commit()
    assert store.find(Query())[1] == 0
    with store.work():
        store.put_message(message(store.next_number()))
    if grouped:
        store.commit()
    assert store.find(Query())[1] == 1


def test_an_emulator_undoes_what_a_request_had_begun(opened: Opener) -> None:
    """A request that fails in the middle leaves nothing, and the emulator goes on."""
    store = opened()
    emulator = Emulator(ManualClock(), store=store)
    before = store.find(Query())[1]
    export = next(one for one in store.activities() if one.name == "export-file")

    def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    emulator.batch._exported = fails  # type: ignore[attr-defined]  # after everything of the run was written
    with pytest.raises(ZeroDivisionError), store.work():
        emulator.batch.produce(export, 3, NOW)
    assert store.find(Query())[1] == before
    assert store.records(export.company, "Customer groups") == []


# Which folders


def refused(folder: Path) -> str:
    with pytest.raises(UsageError) as refusal:
        SqliteStore(folder)
    return str(refusal.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    """A folder with other files, a file, another program's database: said, and nothing is touched."""
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    assert "photo.jpg" in refused(tmp_path)
    assert "no folder" in refused(tmp_path / "photo.jpg")
    (tmp_path / "other").mkdir()
    foreign = sqlite3.connect(tmp_path / "other" / DATABASE)
    foreign.execute("CREATE TABLE theirs (a)")
    foreign.close()
    before = contents(tmp_path)
    assert "no database of popreceipt" in refused(tmp_path / "other")
    assert contents(tmp_path) == before


def test_a_later_version_is_refused(opened: Opener, tmp_path: Path) -> None:
    """A database of a schema that this version does not know is left to the version that does."""
    opened().close()
    database = sqlite3.connect(tmp_path / "data" / DATABASE)
    assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = contents(tmp_path / "data")
    assert "version 99" in refused(tmp_path / "data")
    assert contents(tmp_path / "data") == before


@pytest.mark.parametrize("damage", ["head", "middle", "cut"])
def test_a_damaged_database_is_refused(opened: Opener, tmp_path: Path, damage: str) -> None:
    """It is said, and nothing is written that could make it worse."""
    store = opened()
    with store.work():
        for number in range(1, 500):
            store.put_message(message(number))
    store.close()
    database = tmp_path / "data" / DATABASE
    content = bytearray(database.read_bytes())
    if damage == "head":
        content[:50] = b"\0" * 50
    elif damage == "middle":
        content[40_000:120_000] = os.urandom(80_000)
    else:
        del content[60_000:]
    database.write_bytes(content)
    before = contents(tmp_path / "data")
    assert "damaged" in refused(tmp_path / "data")
    assert contents(tmp_path / "data") == before


def test_what_cannot_be_read_is_not_called_damaged(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, say, on which SQLite cannot have its shared memory: it tells nothing about the data."""
    opened().close()
    before = contents(tmp_path / "data")

    class Full(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> Any:
            if "quick_check" in statement:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
                raise error
            return super().execute(statement, *values)

    usual = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *place, **options: usual(*place, factory=Full, **options))
    said = refused(tmp_path / "data")
    assert "disk I/O error" in said
    assert "room" in said
    assert "damaged" not in said
    assert contents(tmp_path / "data") == before


def test_a_missing_file_is_said(opened: Opener, tmp_path: Path) -> None:
    """A content that somebody took away is noticed when the folder is opened, not when it is asked for."""
    store = opened()
    store.put_blob(GUID.format(1), b"k" * (INSIDE + 1), LATER)
    store.close()
    next(path for path in (tmp_path / "data" / BLOBS).rglob("*") if path.is_file()).unlink()
    assert "1 file" in refused(tmp_path / "data")


def test_a_beginning_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    """A process that died while it made the database has left nothing that is in the way."""
    (tmp_path / UNFINISHED).write_bytes(b"half")
    (tmp_path / f"{UNFINISHED}-journal").write_bytes(b"half")
    with SqliteStore(tmp_path) as store:
        assert store.generation() == 0
    assert {path.name for path in tmp_path.iterdir()} == {DATABASE, LOCK}


OPEN_AND_SAY = """
import sys
from pathlib import Path
from popreceipt.emulator.store.sqlite import SqliteStore
from popreceipt.exceptions import UsageError
try:
    SqliteStore(Path(sys.argv[1])).close()
    print("opened")
except UsageError as refusal:
    print(refusal)
"""


def test_one_process_at_a_time(opened: Opener, tmp_path: Path) -> None:
    """A second one is refused while the first is there, in this process and in another, and welcome afterwards."""
    store = opened()
    assert "Another process" in refused(tmp_path / "data")
    for expected in ("Another process", "opened"):
        other = subprocess.run(
            [sys.executable, "-c", OPEN_AND_SAY, tmp_path / "data"], capture_output=True, text=True, check=True
        )
        assert expected in other.stdout
        store.close()


def test_another_order_of_redelivery(opened: Opener) -> None:
    """Each opening may have its own: what the one has put to the front the other takes by its instant."""
    first = opened(original_place=True)
    for number, minutes in ((1, 2), (2, 1), (3, 0)):
        visible = NOW + timedelta(minutes=minutes)
        first.put_message(message(number, queued=True, visible_from=visible))

    def take(store: SqliteStore) -> int:
        taken = store.lease("a", LATER, lambda one: Message(**{**_members(one), "queued": False}))
        assert taken is not None
        return taken.number

    assert take(first) == 1
    first.close()
    second = opened()
    assert [take(second), take(second)] == [3, 2]


def _members(one: Message) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Message.__struct_fields__}


def test_the_log_begins_anew(opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long requests keep writing, the write-ahead log does not grow for ever."""
    from popreceipt.emulator.store import checkpoints

    monkeypatch.setattr(checkpoints, "EVERY", 20)
    monkeypatch.setattr(checkpoints, "LONGEST_LOG", 100)
    store = opened(sync="normal")
    for number in range(1, 3000):
        with store.work():
            store.put_message(message(number))
    log = tmp_path / "data" / f"{DATABASE}-wal"
    assert log.stat().st_size < 1000 * 4096
