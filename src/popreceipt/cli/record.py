"""`popreceipt record`: a reverse proxy that writes down what a middleware and a real environment say to each other.

It turns options into a proxy and a journal, says when requests are accepted, and seals the journal at the end.
Everything an option can get wrong is said before the port opens.
"""

import contextlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from popreceipt.client.session import split_base
from popreceipt.client.transport import context
from popreceipt.exceptions import NothingProved, UsageError

if TYPE_CHECKING:
    from popreceipt.emulator.server import HttpServer
    from popreceipt.watching.recorder import Recorder

LIBRARY = "starlette"
"""What the extra brings."""

ADDON = "popreceipt.watching.mitmproxy_addon"

app = typer.Typer()


@app.command()
def record(
    upstream: Annotated[
        str | None, typer.Option(metavar="URL", help="The real environment's base URL; needed unless for the addon.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the journal (NDJSON); a new file.")
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8366,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="What the middleware calls this proxy by, where its Host header does not tell."
        ),
    ] = None,
    token_upstream: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Send token requests there (https://login.microsoftonline.com), not upstream."
        ),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate authority of the environment, if not a public one.")
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS to the middleware, with an authority made on the spot.")
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write that authority's certificate, if not to a temporary file."),
    ] = None,
    relocate: Annotated[
        bool,
        typer.Option(
            "--relocate/--no-relocate",
            help="Let downloads come by the proxy too, by changing DownloadLocation; without it they are not seen.",
        ),
    ] = True,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="Write out payloads too, up to 64 KiB each; else digest and length alone.")
    ] = False,
    secret_env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Environment variable whose value must never be written; may be repeated."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Real seconds of silence after which a request has failed.")
    ] = 300.0,
    lease_seconds: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="The environment's lease, where it is not half an hour."),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the ready line to this file too.")
    ] = None,
    mitmproxy_addon: Annotated[
        bool, typer.Option("--mitmproxy-addon", help="Print where the addon for mitmproxy is, and end.")
    ] = False,
) -> None:
    """Write down what a middleware and a real environment say to each other, until interrupted.

    Point the middleware at this proxy instead of the environment. When it accepts requests it writes one line of JSON:
    base_url, upstream, journal, ca_file and pid. Secrets never enter the journal. Judge it afterwards:
    popreceipt judge FILE --binds client.
    """
    if mitmproxy_addon:
        found = importlib.util.find_spec(ADDON)
        typer.echo(found.origin if found is not None else ADDON)
        return
    if upstream is None or journal is None:
        raise UsageError("Recording needs --upstream URL (the environment) and --journal FILE (a new file).")
    for url in (upstream, *filter(None, (base_url, token_upstream))):
        _check_url(url)
    if ca_file is not None and not tls:
        raise UsageError("--ca-file says something about --tls: give both, or leave out --ca-file.")
    if importlib.util.find_spec(LIBRARY) is None:
        raise UsageError("record needs a library that is not installed: pip install 'popreceipt[record]'.")
    from popreceipt.emulator.server import Door
    from popreceipt.journal import SpooledJournal
    from popreceipt.watching.proxy import Watcher
    from popreceipt.watching.recorder import Recorder
    from popreceipt.watching.running import header_for, watch
    from popreceipt.watching.secrets import Secrets

    errors = Console(stderr=True)
    secrets, verify = Secrets(_values(secret_env or ())), context(ca)
    with contextlib.ExitStack() as closing:
        door = Door(host=host, port=port, tls=tls, ca_file=ca_file, base_url=base_url)
        closing.callback(door.close)
        file = closing.enter_context(_new_file(journal))
        written = SpooledJournal(header_for(upstream.rstrip("/"), lease_seconds=lease_seconds), file)
        recorder = Recorder(written, bodies=bodies, secrets=secrets)
        spoilt: list[OSError] = []
        running: list[HttpServer] = []

        def broken(error: OSError) -> None:
            # What cannot be written down is not to be carried on as if it were.
            spoilt.append(error)
            for server in running:
                server.stop()

        watcher = Watcher(
            upstream,
            recorder,
            token_upstream=token_upstream,
            relocates=relocate,
            base_url=base_url,
            verify=verify,
            timeout=timeout,
            tell=lambda said: errors.print(f"popreceipt: {said}", style="yellow", soft_wrap=True, highlight=False),
            broken=broken,
        )

        def ready(server: "HttpServer") -> None:
            running.append(server)
            line = json.dumps(
                {
                    "ready": True,
                    "base_url": server.base_url,
                    "upstream": upstream.rstrip("/"),
                    "journal": str(journal),
                    "ca_file": None if server.ca_file is None else str(server.ca_file),
                    "pid": os.getpid(),
                }
            )
            if ready_file is not None:
                _write(ready_file, f"{line}\n")
            typer.echo(line)

        with _showing(errors, recorder) as shown:
            recorder.tell = shown
            try:
                watch(watcher, written, door, ready)
            except OSError as error:
                spoilt.append(error)
        if spoilt:
            said = spoilt[0].strerror or spoilt[0]
            raise UsageError(f"Cannot write the journal {journal}: {said}. It ends before the last requests.")
    _say_what_was_seen(errors, recorder, journal, upstream)


def _say_what_was_seen(console: Console, recorder: "Recorder", journal: Path, upstream: str) -> None:
    seen = sum(recorder.counts.values())
    if not seen:
        raise NothingProved(f"Nothing came by: no request reached the proxy, and {journal} is empty.")
    if not recorder.answered:
        raise NothingProved(f"{upstream} answered none of {seen} requests; {journal} says how each of them failed.")
    said = f"{_counted(recorder)} in {journal}. To judge it: popreceipt judge {journal} --binds client"
    console.print(said, soft_wrap=True, highlight=False)


def _counted(recorder: "Recorder") -> str:
    each = ", ".join(f"{name} {count}" for name, count in recorder.counts.items())
    return f"{sum(recorder.counts.values())} exchanges ({each})"


@contextlib.contextmanager
def _showing(console: Console, recorder: "Recorder") -> Iterator[Callable[[], None]]:
    """Show on a terminal how much has been seen."""
    if not console.is_terminal:
        yield lambda: None
        return
    with console.status("waiting for requests …") as status:
        yield lambda: status.update(_counted(recorder))


def _values(names: "list[str] | tuple[()]") -> list[str]:
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise UsageError(f"--secret-env names {missing[0]}, which is not set or empty.")
    return [os.environ[name] for name in names]


def _check_url(url: str) -> None:
    split_base(url)
    if "@" in url or any(letter.isspace() for letter in url) or not (urlsplit(url).hostname or "").isascii():
        raise UsageError(f"{url!r} is no base URL: it has neither blanks nor a user's name.")


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """The journal's file, which only its owner may read; what is there already is not written over."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already, and a recording is not written over: name a new file.") from error
    except OSError as error:
        raise UsageError(f"Cannot write the journal {path}: {error.strerror or error}.") from error
    file = os.fdopen(handle, "w+b")
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # what could not be written before cannot be now, and was said
            file.close()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.") from error
