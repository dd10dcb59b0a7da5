"""`popreceipt serve`: the emulator on a port, until a signal ends it.

It turns options into an emulator and a server, says when requests are accepted, and seals the journal at the end.
Everything an option can get wrong is said before the port opens.
"""

import _thread
import contextlib
import importlib
import importlib.util
import json
import os
import secrets
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from popreceipt.cli import completing
from popreceipt.client.session import split_base
from popreceipt.clock import Clock, SystemClock, clock_from
from popreceipt.emulator import continuity, own_faults, pages
from popreceipt.emulator import processes as together
from popreceipt.emulator.dmf.entity import load_entities
from popreceipt.emulator.durable import Durable, DurableStore
from popreceipt.emulator.emulator import Emulator, World
from popreceipt.emulator.identity.assertions import Certificates
from popreceipt.emulator.identity.directory import ROLES
from popreceipt.emulator.profile import Profile, load_profile
from popreceipt.emulator.profile import dialect as with_dialect
from popreceipt.emulator.routes.settings import LONGEST_RECURRENCE, MOST_RECORDS
from popreceipt.emulator.server import Door, HttpServer, is_loopback_host
from popreceipt.emulator.shared_clock import shared_clock
from popreceipt.emulator.store import NotKept
from popreceipt.emulator.store.sqlite import SqliteStore, Sync
from popreceipt.exceptions import UsageError
from popreceipt.journal import Journal, SpooledJournal

if TYPE_CHECKING:
    from popreceipt.emulator.store.postgres import PostgresStore

CONTROL = "/_control/v1"
_MUTANTS = "popreceipt.emulator.mutants"

_BUFFER = 1 << 18
"""Bytes of a journal without a name that wait before they are written: nobody but this process can read it."""

app = typer.Typer()


@app.command("serve")
def serve(
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="Port; 0 picks a free one.")] = 8365,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS, with a certificate authority made on the spot.")
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write that authority's certificate, if not to a temporary file."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="What clients call this server by, behind a proxy or in a container."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep everything in this folder, over restarts and crashes.")
    ] = None,
    sync: Annotated[
        Sync | None,
        typer.Option(
            help="With --data: whether every answer waits until the disk has what it says (full, which it is unless "
            "told), or not (normal)."
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Keep everything in PostgreSQL, for several processes: postgresql://…"),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=64, help="So many processes behind the one address, each with its own journal."
        ),
    ] = 1,
    clock: Annotated[
        str, typer.Option(metavar="C", help="system, manual or scaled:RATE.", autocompletion=completing.clocks)
    ] = "system",
    profile: Annotated[
        str,
        typer.Option(
            metavar="P",
            help="What the documentation leaves open: a profile's name or a TOML file.",
            autocompletion=completing.profiles,
        ),
    ] = "default",
    dialect: Annotated[
        str | None,
        typer.Option(
            metavar="POINT=VALUE", help="One open point answered otherwise.", autocompletion=completing.dialects
        ),
    ] = None,
    mutant: Annotated[
        str | None, typer.Option(metavar="MUTANT", help="One defect by its id.", autocompletion=completing.mutants)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Ids, secrets and records follow from it; 0, or what the environment was made with."
        ),
    ] = None,
    entities: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder with entity files of one's own; may be given several times."),
    ] = None,
    export_every: Annotated[
        int | None,
        typer.Option(metavar="MINUTES", help="Let the exports of the first world run by themselves."),
    ] = None,
    export_records: Annotated[
        int | None, typer.Option(metavar="N", help="Records in each such export; 3 unless told.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write down every exchange as the service saw it.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ready line to this file too.")
    ] = None,
    world_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write activities, clients and their secrets to this file (JSON)."),
    ] = None,
    client_certificate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]FILE",
            help="Let the client of this role (authorised, unless told) prove itself by this certificate too, PEM or "
            "DER; may be given several times.",
        ),
    ] = None,
    until_stdin_ends: Annotated[
        bool,
        typer.Option(
            "--until-stdin-ends",
            help="End as well when standard input ends: with whoever started this process, however that one ends.",
        ),
    ] = False,
    no_control: Annotated[bool, typer.Option("--no-control", help="Only the wire: no control plane.")] = False,
    control_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar="POPRECEIPT_CONTROL_KEY",
            help="Key of the control plane off loopback, where several servers share one; else one is made up.",
        ),
    ] = None,
) -> None:
    """Run the emulator until interrupted.

    When it accepts requests it writes one line of JSON: base_url, control_url, pages_url, ca_file, control_key and pid.
    """
    if database is not None and data is not None:
        raise UsageError("--data and --database both keep everything: name one of them.")
    if until_stdin_ends:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    _need("--ca-file", ca_file, "--tls", tls or None)
    _need("--sync", sync, "--data", data)
    _need("--export-records", export_records, "--export-every", export_every)
    _differ({"--ca-file": ca_file, "--journal": journal, "--ready-file": ready_file, "--world-file": world_file})
    if base_url is not None:
        _check_base_url(base_url)
    if processes > 1:
        if database is None:
            raise UsageError("Several processes need a --database that all of them can reach.")
        if not together.are_possible():
            raise UsageError("This system cannot run several processes behind one address: leave out --processes.")
    chosen = load_profile(profile)
    if dialect is not None:
        chosen = with_dialect(dialect, chosen)
    certificates = [_certificate(each) for each in client_certificate or ()]
    known = load_entities(*entities) if entities else None
    world = _first_world(export_every, export_records)
    guarded = not no_control and not is_loopback_host(host)
    control_key = (control_key or secrets.token_urlsafe(24)) if guarded else None
    with contextlib.ExitStack() as closing:
        for file in (ready_file, world_file):
            if file is not None:
                closing.enter_context(_announcement(file))

        def door() -> Door:
            return Door(host=host, port=port, tls=tls, ca_file=ca_file, base_url=base_url, shared=processes > 1)

        def work(door: Callable[[], Door], journal: Path | None, on_ready: Callable[[Emulator, Door], None]) -> None:
            """Serve from this process, until a signal ends it."""
            with contextlib.ExitStack() as closing:
                made_for: dict[str, Any] = {"seed": seed if seed is not None else 0}
                store: DurableStore | None = None
                journal_file = closing.enter_context(_journal_file(journal))
                with _room_in(data, database):
                    if data is not None:
                        store = closing.enter_context(_opened(data, sync or "full", chosen))
                        time, made_for = _resumed(store, continuity.resumed_clock(store, clock), seed)
                    elif database is not None:
                        shared = closing.enter_context(_in_database(database, chosen))
                        with shared.work(alone=True):
                            time, made_for = _resumed(shared, shared_clock(shared, clock), seed)
                        store = shared
                    else:
                        time = clock_from(clock)
                    emulator: Emulator = _maker(mutant)(
                        time,
                        chosen,
                        control=not no_control,
                        control_key=control_key,
                        world=world,
                        entities=known,
                        **made_for,
                    )
                    emulator.faults.tell = _tell_fault
                    for role, certificate in certificates:
                        emulator.identity.register_certificate(role, certificate)
                    service = emulator if store is None else Durable(emulator, store)
                emulator.journal = _continued(emulator, journal_file, dialect, at_once=journal is not None)
                keep = service.keep if isinstance(service, Durable) else None
                mounts = {} if no_control else {pages.ROOT: pages.Pages(emulator, keep)}
                entrance = door()
                server = HttpServer(service, mounts=mounts, door=entrance)
                closing.callback(server.close)
                closing.callback(emulator.journal.seal)  # before the file is closed, whatever ends the server
                if isinstance(service, Durable):
                    closing.callback(service.keep)  # a request whose connection was cut may still have done something
                server.run(lambda: on_ready(emulator, entrance))
                if emulator.faults.total:
                    _tell_fault(f"{emulator.faults.total} requests or runs met one")

        def tell_world(emulator: Emulator) -> None:
            if world_file is not None:
                _write_at_once(world_file, json.dumps(emulator.world(), indent=2))

        def announce(door: Door) -> None:
            line = json.dumps(_ready_line(door, control_key, no_control=no_control))
            if ready_file is not None:
                _write_at_once(ready_file, f"{line}\n")
            typer.echo(line)

        def ready_alone(emulator: Emulator, door: Door) -> None:
            tell_world(emulator)
            announce(door)

        if processes == 1:
            work(door, journal, ready_alone)
            return
        clock_from(clock)  # What is wrong with it is said once, not by each process.
        common = door()
        closing.callback(common.close)

        def one_of_several(number: int, is_ready: Callable[[], None]) -> None:
            def ready(emulator: Emulator, _: Door) -> None:
                if number == 1:
                    tell_world(emulator)
                is_ready()

            work(common.own, journal and journal.with_stem(f"{journal.stem}-{number}"), ready)

        together.work_together(processes, one_of_several, lambda: announce(common))


def _end_with_stdin() -> None:
    """Wait until standard input is closed, then end this process as a signal would."""
    # Not by sys.stdin, whose buffer a thread must not hold when the interpreter ends.
    while os.read(0, 1 << 16):
        pass
    _thread.interrupt_main(signal.SIGTERM)


def _need(option: str, given: object, needed: str, there: object) -> None:
    """Refuse an option that nothing would come of."""
    if given is not None and there is None:
        raise UsageError(f"{option} says something about {needed}: give both, or leave out {option}.")


def _differ(files: Mapping[str, Path | None]) -> None:
    """Refuse one file for two purposes: the one would take the other's place."""
    known: dict[Path, str] = {}
    for option, file in files.items():
        if file is not None and (other := known.setdefault(file.absolute(), option)) != option:
            raise UsageError(f"{other} and {option} both name {file}: give each a file of its own.")


def _certificate(option: str) -> tuple[str, bytes]:
    """The role and the content of a client's certificate, tried before anything is opened."""
    role, _, file = option.partition("=")
    if role not in ROLES:
        role, file = "authorised", option
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read the certificate {file}: {error.strerror or error}.") from error
    try:
        Certificates(SystemClock()).register(role, content)
    except UsageError as error:
        raise UsageError(f"--client-certificate {file}: {error}") from error
    return role, content


def _check_base_url(url: str) -> None:
    split_base(url)
    if "@" in url or any(letter.isspace() for letter in url):
        raise UsageError(f"{url!r} is no base URL: it has neither blanks nor a user's name.")


def _first_world(every: int | None, records: int | None) -> World:
    """The first world, with exports that run by themselves where that is asked for."""
    if every is not None and not 1 <= every <= LONGEST_RECURRENCE:
        raise UsageError(f"--export-every is whole minutes, 1 to {LONGEST_RECURRENCE} (a year), not {every}.")
    if records is not None and not 0 <= records <= MOST_RECORDS:
        raise UsageError(f"An export cannot have {records} records: --export-records is 0 to {MOST_RECORDS}.")
    world = World(None if every is None else timedelta(minutes=every))
    return world if records is None else replace(world, export_records=records)


@contextlib.contextmanager
def _room_in(data: Path | None, database: str | None) -> Iterator[None]:
    """Says what is wrong where an environment cannot be opened since nothing can be kept: a full disk, say."""
    try:
        yield
    except (NotKept, sqlite3.Error, OSError) as error:
        place = "the database" if database is not None else data if data is not None else tempfile.gettempdir()
        raise UsageError(
            f"Nothing can be kept in {place}: {error.__cause__ or error}. Make room there, or name another place."
        ) from error


def _tell_fault(said: str) -> None:
    typer.echo(f"popreceipt: {own_faults.TOLD}: {said}", err=True)


def _ready_line(door: Door, control_key: str | None, *, no_control: bool) -> dict[str, object]:
    return {
        "ready": True,
        "base_url": door.base_url,
        "control_url": None if no_control else f"{door.base_url}{CONTROL}",
        "pages_url": f"{door.base_url}{pages.ROOT}/" if pages.are_installed() and not no_control else None,
        "ca_file": None if door.ca_file is None else str(door.ca_file),
        "control_key": control_key,
        "pid": os.getpid(),
    }


def _opened(data: Path, sync: Sync, profile: Profile) -> SqliteStore:
    """The store in a folder."""
    return SqliteStore(data, sync=sync, original_place=profile.redelivery_order == "original-place")


def _in_database(url: str, profile: Profile) -> "PostgresStore":
    """The store in a database."""
    try:
        from popreceipt.emulator.store.postgres import PostgresStore
    except ImportError as error:
        raise UsageError(
            "--database needs a library that is not installed: pip install 'popreceipt[postgres]'."
        ) from error
    return PostgresStore(url, original_place=profile.redelivery_order == "original-place")


def _resumed(store: DurableStore, time: Clock, seed: int | None) -> tuple[Clock, dict[str, Any]]:
    """The clock of an environment that outlives its process, and what else its emulator has from its store."""
    with store.work():
        kept = {"seed": continuity.settled_seed(store, seed), "signing_key": continuity.settled_key(store)}
        continuity.settled_secret(store)
    return time, {"store": store, **kept}


def _maker(mutant: str | None) -> Callable[..., Emulator]:
    """What makes the emulator: the plain one, or one with a named defect."""
    if mutant is None:
        return Emulator
    if importlib.util.find_spec(_MUTANTS) is None:
        raise UsageError(f"There is no mutant {mutant!r}: this version has none.")
    mutants: Any = importlib.import_module(_MUTANTS)
    maker: Callable[..., Emulator] = mutants.maker(mutant)
    return maker


@contextlib.contextmanager
def _journal_file(path: Path | None) -> Iterator[IO[bytes]]:
    """The journal's file; one without a name where nobody asked for it, so that days of exchanges fill no memory."""
    try:
        file: IO[bytes] = (
            path.open("w+b") if path is not None else tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 - below
        )
    except OSError as error:
        raise UsageError(f"Cannot write the journal {path}: {error.strerror or error}.") from error
    with file:
        yield file


def _continued(emulator: Emulator, file: IO[bytes], dialect: str | None, *, at_once: bool) -> Journal:
    """The emulator's journal in a file: what it has written so far, and all that follows."""
    header = msgspec.structs.replace(emulator.journal.header, dialect=dialect)
    try:
        journal = SpooledJournal(header, file, at_once=at_once)
        for entry in emulator.journal.entries:
            journal.add(entry)
    except OSError as error:
        with contextlib.suppress(OSError):
            file.close()  # what still waits in it cannot be written either
        raise UsageError(f"Cannot write the journal: {error.strerror or error}.") from error
    return journal


@contextlib.contextmanager
def _announcement(path: Path) -> Iterator[None]:
    """A file that says what is true while the server runs: no older one may be taken for it, and none is left."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"Cannot write {path}: there is no folder {path.absolute().parent}.")
    if path.exists() and not path.is_file():
        raise UsageError(f"Cannot write {path}: something else than a file is there, and would be taken away.")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write_at_once(path: Path, text: str) -> None:
    """Write a file so that whoever waits for it never sees half of it. Only its owner may read it: it has secrets."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.") from error
