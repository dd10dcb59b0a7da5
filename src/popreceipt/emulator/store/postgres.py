"""The durable store of several processes: a schema in a PostgreSQL database.

Each unit of work is a transaction. Most go beside one another (a dequeue, an upload, an acknowledgment), and row locks
decide who gets what: a lease passes over rows that somebody else has, and a message that is asked for belongs to the
asker until the end of its unit. What reads much and changes much (a moment that falls due, a call of an administrator)
is alone: it waits for all others and they wait for it. So whoever asks afterwards sees all of it, and moments are done
one after another in their order, whichever process does them.

PostgreSQL may choose a victim where two wait for one another: that one is undone, and `Conflict` says so.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg import conninfo, errors, sql
from psycopg.types.numeric import Int8BinaryDumper

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.dmf.project import Project
from popreceipt.emulator.store import Conflict, Due, NotKept, Record
from popreceipt.emulator.store import rows as kept
from popreceipt.emulator.store.sql import MOMENTS, OPENINGS, SCHEMA_VERSION, TABLES, Row, SqlStore, Types, schema
from popreceipt.exceptions import UsageError

SCHEMA: Final = "popreceipt"
"""Where everything stands, unless the URL sets a search_path."""

OLDEST: Final = 120000
"""The oldest server that is used, as PostgreSQL writes its version."""

PATIENCE: Final = 10
"""Real seconds to wait for a connection, unless the URL says otherwise."""

TOGETHER: Final = 10_000
"""Records of a target table that are written with one statement."""

TYPES: Final = Types(
    text='TEXT COLLATE "C"',
    number="BIGINT",
    content="BYTEA",
    serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    compact="",
)

SEQUENCES: Final[Mapping[str, str]] = {
    "messages": "numbers_of_messages",
    "companies": "numbers_of_companies",
    "turns": "numbers_of_turns",
    MOMENTS: "numbers_of_moments",
}
"""Counters that are asked at every turn: as a row they would make all units of work wait for one another."""

# What is locked by agreement, beside rows: each is a number within the schema's own space.
_MAKING: Final = 1
"""The making of the schema."""
_WORLD: Final = 2
"""Shared by all units of work, or held by the one that is alone."""
_RUNNING: Final = 3
"""Shared by all processes that are at work on this schema."""

_ENVIRONMENT: Final = (
    "CREATE TABLE environment (schema_version BIGINT NOT NULL, revision BIGINT NOT NULL)",
    f"INSERT INTO environment (schema_version, revision) VALUES ({SCHEMA_VERSION}, 0)",  # noqa: S608 - our own number
    *(f"CREATE SEQUENCE {name}" for name in SEQUENCES.values()),
)
"""`revision` grows with each change of what every process remembers: settings, data projects, activities."""

_PUT_RECORDS: Final = (
    "INSERT INTO records (company, entity, identity, content)"
    " SELECT ?, ?, identity, content FROM unnest(?::bytea[], ?::bytea[]) WITH ORDINALITY"
    " AS those (identity, content, place) ORDER BY place"
    " ON CONFLICT (company, entity, identity) DO UPDATE SET content = excluded.content"
)


class PostgresStore(SqlStore):
    """Everything in one schema of one database, for any number of processes at once.

    Args:
        url: `postgresql://…`, as libpq takes it; what it leaves out comes from the usual environment variables
            (PGPASSWORD and so on). `?options=-csearch_path%3DNAME` chooses another schema than `popreceipt`.
        original_place: where a message that comes back to its queue stands.

    Raises:
        UsageError: the database cannot be reached or used, or the schema is somebody else's or of a later version.
    """

    lock = " FOR UPDATE"
    # Where nothing is left but rows that others have, their end is waited for: they may be given back.
    locks_next = (" FOR UPDATE SKIP LOCKED", " FOR UPDATE")
    contains = "strpos({}, ?) > 0"

    def __init__(self, url: str, *, original_place: bool = False) -> None:
        super().__init__(original_place=original_place)
        self.grouped = False
        """Whether units of work wait for `commit`. Here they never do: rows would stay locked for longer."""
        self._url = url
        self._lock = threading.RLock()
        self._beside, self._alone = _Unit(self, alone=False), _Unit(self, alone=True)
        self._depth = 0
        self._is_alone = False
        self._is_open = False
        self._is_running = False
        self._translated: dict[str, bytes] = {}
        self._revision: int | None = None
        self._revision_after: int | None = None
        self._is_touched = False
        self._earliest: datetime | None = None
        self._settings: dict[str, str] | None = None
        self._projects: dict[str, Project] | None = None
        self._activities: dict[str, Activity] | None = None
        self._forget()
        self._connection = self._first_connection()
        try:
            with self.work(alone=True):
                self._generation = int(self._counted(OPENINGS)) - 1
                if not original_place:
                    self._back_to_the_queue()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Leave the database."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "PostgresStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def joins_others(self) -> bool:
        """Count as a process at work here, for as long as this one lives, and say whether others are already.

        To be asked within a unit of work that is alone.
        """
        alone = self._rows("SELECT pg_try_advisory_lock(?::int4, ?::int4)", self._space, _RUNNING)[0][0]
        self._run("SELECT pg_advisory_lock_shared(?::int4, ?::int4)", self._space, _RUNNING)
        if alone:
            self._run("SELECT pg_advisory_unlock(?::int4, ?::int4)", self._space, _RUNNING)
        self._is_running = True
        return not alone

    # Units of work

    def work(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """One unit of work, which is one transaction: kept at its end, undone when it raises.

        Inside another it is part of that, but undone by itself when it raises. With `alone` no other process has one
        meanwhile.
        """
        return self._alone if alone else self._beside

    @property
    def is_at_work(self) -> bool:
        """Whether a unit of work is under way: what is read now is true until its end."""
        return self._depth > 0

    @property
    def is_uncommitted(self) -> bool:
        """Nothing ever waits for `commit`: what a unit of work did is kept at its end."""
        return False

    def commit(self) -> None:
        """Nothing waits for it."""

    def undo(self) -> None:
        """Nothing waits for it."""

    def begin(self, *, alone: bool) -> None:
        """Enter a unit of work. It costs nothing until it reads or writes."""
        self._lock.acquire()
        try:
            if self._depth:
                self._begin_part(alone=alone)
            else:
                self._is_alone = alone
        except BaseException:
            self._lock.release()
            raise
        self._depth += 1

    def end(self, *, well: bool) -> None:
        """Leave a unit of work.

        Raises:
            NotKept: it ended well, but could not be kept.
        """
        try:
            if self._depth > 1:
                self._end_part(self._depth - 1, well=well)
            elif self._is_open:
                self._end_whole(well=well)
        finally:
            self._depth -= 1
            if not self._depth:
                self._is_open = False
            self._lock.release()

    def _begin_part(self, *, alone: bool) -> None:
        if alone and not self._is_alone:
            raise RuntimeError("A unit of work that goes beside others cannot become alone.")
        self._savepoint("SAVEPOINT unit{}", self._depth)

    def _end_part(self, depth: int, *, well: bool) -> None:
        if well:
            self._savepoint("RELEASE unit{}", depth)
        elif not self._connection.closed:
            self._forget()
            self._savepoint("ROLLBACK TO unit{}", depth)
            self._savepoint("RELEASE unit{}", depth)

    def _end_whole(self, *, well: bool) -> None:
        if not well:
            self._forget()
            if not self._connection.closed:
                with _problems():
                    self._connection.execute("ROLLBACK")
            return
        try:
            with _problems():
                told = self._connection.execute("COMMIT").statusmessage
        except BaseException:
            self._forget()
            raise
        if told != "COMMIT":
            self._forget()
            raise NotKept("Nothing was kept: a statement had failed before.")
        if self._is_touched:
            self._revision = self._revision_after

    def _savepoint(self, words: LiteralString, depth: int) -> None:
        self._open()
        with _problems():
            self._connection.execute(sql.SQL(words.format(depth)))

    def _open(self) -> None:
        """Begin what `begin` announced: wait for who is alone (or for all), then see what has changed meanwhile."""
        if self._is_open:
            return
        if not self._depth:
            raise RuntimeError("Nothing is read or written outside a unit of work.")
        if self._connection.closed:
            self._connection = self._another_connection()
        try:
            self._enter()
        except NotKept:
            # An idle connection may have ended long ago, with a restart of the database say. Nothing was done yet.
            if not self._connection.closed:
                self._connection.execute("ROLLBACK")
                raise
            self._connection = self._another_connection()
            self._enter()
        self._is_open = True

    def _enter(self) -> None:
        with _problems():
            cursor = self._connection.execute(self._entrances[self._is_alone])
            cursor.nextset()
            cursor.nextset()
            row = cursor.fetchone()
        if row is None:
            raise NotKept("Nothing can be kept: the schema was emptied by somebody else.")
        revision, earliest = row
        if revision != self._revision:
            self._forget()
            self._revision = revision
        self._earliest = None if earliest is None else kept.instant(earliest)
        self._is_earliest_known = True
        self._is_touched = False

    def _hold(self, name: str) -> None:
        """Until the end of the unit of work nobody else holds the same name."""
        if not self._is_alone:
            self._run("SELECT pg_advisory_xact_lock(?::int4, ?::int4)", self._space_of_names, _number_of(name))

    # Statements

    @contextmanager
    def _call(self) -> Iterator[None]:
        """One call of the store: a part of the unit of work under way, else a unit of its own."""
        with self._lock:
            if self._depth:
                yield
            else:
                with self.work():
                    yield

    def _run(self, statement: str, *values: Any) -> psycopg.Cursor[Any]:
        self._open()
        with _problems():
            return self._cursor.execute(self._words(statement), [_fit(value) for value in values])

    def _words(self, statement: str) -> bytes:
        words = self._translated.get(statement)
        if words is None:
            words = self._translated[statement] = statement.replace("?", "%s").encode()
        return words

    def _rows(self, statement: str, *values: Any) -> list[Row]:
        with self._call():
            return self._run(statement, *values).fetchall()

    def _change(self, statement: str, *values: Any) -> None:
        with self._call():
            self._run(statement, *values)

    def _change_many(self, statement: str, rows: Iterable[Row]) -> None:
        with self.work():
            self._open()
            with _problems():
                self._cursor.executemany(self._words(statement), [[_fit(value) for value in row] for row in rows])

    # Numbers

    def generation(self) -> int:
        """How often this store had been opened before."""
        return self._generation

    def next_number(self, counter: str = "messages") -> int:
        """A number greater than all before of this counter. Those of a unit of work that is undone are left out."""
        sequence = SEQUENCES.get(counter)
        if sequence is None:
            return self._counted(counter)
        return int(self._rows("SELECT nextval(?::text::regclass)", sequence)[0][0])

    def _counted(self, counter: str) -> int:
        counted = self._rows(
            "INSERT INTO counters (name, value) VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
            counter,
        )
        return int(counted[0][0])

    def clear(self) -> None:
        """Forget everything but the settings."""
        with self.work():
            self._touch()
            super().clear()
            self._projects = self._activities = None
            for sequence in SEQUENCES.values():
                self._change(f"ALTER SEQUENCE {sequence} RESTART")
            self._is_earliest_known = False

    # What is asked for at every request is remembered while its revision stays the same

    def _forget(self) -> None:
        """Remember nothing that somebody else may have changed, or that was undone."""
        self._revision = None
        self._is_touched = False
        self._settings = None
        self._projects = None
        self._activities = None
        self._is_earliest_known = False

    def _touch(self) -> None:
        """Tell all processes to read anew what they remember. Until the end of the unit of work nobody else can."""
        self._open()
        if self._is_touched:
            return
        before = self._revision
        after = self._run("UPDATE environment SET revision = revision + 1 RETURNING revision").fetchall()[0][0]
        if before is None or after != before + 1:
            self._forget()  # Somebody else has, since this unit of work began.
        self._is_touched = True
        self._revision_after = after

    def _known_settings(self) -> dict[str, str]:
        self._open()
        if self._settings is None:
            self._settings = dict(self._rows("SELECT name, value FROM settings"))
        return self._settings

    def setting(self, name: str) -> str | None:
        """What was noted under a name."""
        with self._call():
            return self._known_settings().get(name)

    def held_setting(self, name: str) -> str | None:
        """The same. Within a unit of work nobody else who asks so gets an answer from then on."""
        with self._call():
            self._hold(f"setting/{name}")
            return super().setting(name)

    def put_setting(self, name: str, value: str | None) -> None:
        """Note something under a name; None takes it away."""
        with self._call():
            self._touch()
            super().put_setting(name, value)
            if self._settings is None:
                return
            if value is None:
                self._settings.pop(name, None)
            else:
                self._settings[name] = value

    def _known_projects(self) -> dict[str, Project]:
        self._open()
        if self._projects is None:
            self._projects = {project.id: project for project in super().projects()}
        return self._projects

    def put_project(self, project: Project) -> None:
        """Add a data project or replace the one of this ID."""
        with self._call():
            self._touch()
            super().put_project(project)
            if self._projects is not None:
                self._projects[project.id] = project

    def project(self, identifier: str) -> Project | None:
        """The data project of this ID."""
        with self._call():
            return self._known_projects().get(identifier)

    def projects(self) -> Sequence[Project]:
        """All of them, oldest first."""
        with self._call():
            return list(self._known_projects().values())

    def _known_activities(self) -> dict[str, Activity]:
        self._open()
        if self._activities is None:
            self._activities = {activity.id: activity for activity in super().activities()}
        return self._activities

    def put_activity(self, activity: Activity) -> None:
        """Add an activity or replace the one of this ID."""
        with self._call():
            self._touch()
            super().put_activity(activity)
            if self._activities is not None:
                self._activities[activity.id] = activity

    def activity(self, identifier: str) -> Activity | None:
        """The activity of this ID."""
        with self._call():
            return self._known_activities().get(identifier)

    def activities(self) -> Sequence[Activity]:
        """All of them, oldest first."""
        with self._call():
            return list(self._known_activities().values())

    # Moments

    def plan(self, at: datetime, kind: str, subject: str) -> None:
        """Plan a moment, instead of the one of this kind and subject if there is one."""
        super().plan(at, kind, subject)
        self._is_earliest_known = False

    def planned(self, kind: str, subject: str) -> datetime | None:
        """When the moment of this kind and subject is.

        Where there is none, nobody else hears so until the end of the unit of work: two that both found none would
        each plan their own.
        """
        with self._call():
            found = super().planned(kind, subject)
            if found is not None or self._is_alone:
                return found
            self._hold(f"moment/{kind}/{subject}")
            return super().planned(kind, subject)

    def cancel(self, kind: str, subject: str) -> None:
        """Plan no such moment any more."""
        super().cancel(kind, subject)
        self._is_earliest_known = False

    def next_due(self) -> datetime | None:
        """The earliest moment planned."""
        with self._call():
            self._open()
            if not self._is_earliest_known:
                self._earliest = super().next_due()
                self._is_earliest_known = True
            return self._earliest

    def take_due(self, now: datetime) -> Due | None:
        """Take the earliest moment that is not after now; within its unit of work nobody else takes another."""
        self._is_earliest_known = False
        return super().take_due(now)

    # Contents

    def _elsewhere(self, condition: str, value: Any) -> list[str]:
        """Every content stands in its row."""
        del condition, value
        return []

    def upsert(self, company: str, entity: str, keys: Sequence[str], records: Iterable[Record]) -> None:
        """Add records to a target table or replace those of equal key. `keys` are the columns of the key."""
        # One statement must not name a key twice: the last of equal ones counts, at the place of the first.
        latest = {kept.key_of(record, keys): kept.encoded(dict(record)) for record in records}
        remaining = iter(latest.items())
        while some := list(islice(remaining, TOGETHER)):
            identities, contents = (list(column) for column in zip(*some, strict=True))
            self._change(_PUT_RECORDS, company, entity, identities, contents)

    # Connections

    def _first_connection(self) -> psycopg.Connection[Any]:
        """A connection to a schema that is ours, which is made where there is none."""
        self._place = _place_of(self._url)
        try:
            connection = self._connected()
        except psycopg.Error as error:
            raise UsageError(f"Cannot reach the database {self._place}: {_sentence(error)}.") from error
        try:
            self._make(connection)
            self._use(connection)
        except psycopg.Error as error:
            connection.close()
            raise UsageError(f"Cannot use the database {self._place}: {_sentence(error)}.") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _another_connection(self) -> psycopg.Connection[Any]:
        """A connection instead of the one that was lost."""
        self._connection.close()
        self._forget()
        try:
            connection = self._connected()
            self._use(connection)
            if self._is_running:
                connection.execute("SELECT pg_advisory_lock_shared(%s::int4, %s::int4)", (self._space, _RUNNING))
        except psycopg.Error as error:
            raise NotKept(f"The database {self._place} cannot be reached: {_sentence(error)}.") from error
        return connection

    def _connected(self) -> psycopg.Connection[Any]:
        chosen: dict[str, Any] = {"connect_timeout": PATIENCE, "application_name": SCHEMA}
        chosen |= conninfo.conninfo_to_dict(self._url)
        return psycopg.connect(conninfo.make_conninfo("", **chosen), autocommit=True)

    def _use(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self._schema)))
        # A process on another computer may vanish without a word: what it had locked must not stay so for hours.
        connection.execute("SET tcp_keepalives_idle = 20")
        connection.execute("SET tcp_keepalives_interval = 5")
        connection.execute("SET tcp_keepalives_count = 3")
        # One kind of number, so that a statement is prepared once whatever its values are.
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        self._cursor = connection.cursor(binary=True)

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        if connection.info.server_version < OLDEST:
            raise UsageError(
                f"The database {self._place} is PostgreSQL {connection.info.server_version // 10000};"
                f" {OLDEST // 10000} is the oldest that will do."
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise UsageError(f"The database {self._place} is encoded in {encoding}; it has to be in UTF8.")
        self._schema = _schema_of(connection)
        self._space, self._space_of_names = _number_of(self._schema), _number_of(f"{self._schema}/names")
        self._entrances = _entrance(self._space, "_shared"), _entrance(self._space, "")
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s::int4, %s::int4)", (self._space, _MAKING))
            relations = {
                name
                for (name,) in connection.execute(
                    "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%s))",
                    (self._schema,),
                )
            }
            if relations:
                self._examine(connection, relations)
                return
            name = sql.Identifier(self._schema)
            if not connection.execute("SELECT to_regnamespace(quote_ident(%s))", (self._schema,)).fetchall()[0][0]:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(name))
            for statement in (*schema(TYPES), *_ENVIRONMENT):
                connection.execute(statement.encode())

    def _examine(self, connection: psycopg.Connection[Any], relations: set[str]) -> None:
        """Refuse a schema that is somebody else's, without touching anything."""
        if not relations >= {"environment", *TABLES}:
            raise UsageError(
                f"The schema {self._schema} of the database {self._place} holds {min(relations)!r} and is not one of"
                " popreceipt. Choose another with ?options=-csearch_path%3DNAME."
            )
        environment = sql.SQL("SELECT schema_version FROM {}.environment").format(sql.Identifier(self._schema))
        version = connection.execute(environment).fetchall()[0][0]
        if version != SCHEMA_VERSION:
            raise UsageError(
                f"The schema {self._schema} of the database {self._place} is of version {version}; this version reads"
                f" {SCHEMA_VERSION}. Use the version of popreceipt that wrote it, or another schema."
            )


class _Unit:
    """The context of every unit of work of a store, alone or not: how deep it is, the store counts."""

    def __init__(self, store: PostgresStore, *, alone: bool) -> None:
        self._store = store
        self._alone = alone

    def __enter__(self) -> None:
        self._store.begin(alone=self._alone)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.end(well=kind is None)


@contextmanager
def _problems() -> Iterator[None]:
    """What PostgreSQL refuses, as the emulator understands it."""
    try:
        yield
    except (errors.DeadlockDetected, errors.SerializationFailure) as error:
        raise Conflict(f"Another process came in between: {_sentence(error)}.") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise NotKept(f"Nothing can be kept: {_sentence(error)}.") from error


def _sentence(error: psycopg.Error) -> str:
    """What PostgreSQL says, in one line. It never says a password."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _place_of(url: str) -> str:
    """What a URL names, without its secrets.

    Raises:
        UsageError: it is none.
    """
    if url.startswith(("postgresql://", "postgres://")):
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            given = None
        if given is not None:
            name = given.get("dbname") or given.get("user") or "(by default)"
            return f"{name} on {given.get('host') or given.get('hostaddr') or 'this computer'}"
    # The text may hold a password, wherever it is wrong.
    raise UsageError("--database takes a URL as libpq does: postgresql://USER@HOST:PORT/NAME.")


def _schema_of(connection: psycopg.Connection[Any]) -> str:
    """The schema that the URL asks for; a search_path that the server has set for its own reasons is not asked for."""
    found = connection.execute("SELECT setting, source FROM pg_settings WHERE name = 'search_path'").fetchall()
    path, source = found[0]
    return cast(str, path).split(",")[0].strip().strip('"') if source == "client" else SCHEMA


def _entrance(space: int, manner: str) -> bytes:
    """What begins a unit of work: three statements at once, each with a view of its own.

    So the last of them sees what was done while the second waited.
    """
    return (
        "BEGIN ISOLATION LEVEL READ COMMITTED;"  # noqa: S608 - our own words and numbers
        f" SELECT pg_advisory_xact_lock{manner}({space}, {_WORLD});"
        " SELECT revision, (SELECT min(at) FROM moments) FROM environment"
    ).encode()


def _number_of(name: str) -> int:
    """A number for a name, as advisory locks want them: of four bytes, with a sign."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)


def _fit(value: Any) -> Any:
    """A value as PostgreSQL takes it: its texts hold neither NUL nor half a surrogate pair.

    Nothing is lost, since what is read back stands in contents; and what is looked for is changed alike.
    """
    if isinstance(value, str) and ("\x00" in value or not value.isascii()):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return value
