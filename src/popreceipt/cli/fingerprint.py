"""`popreceipt fingerprint`: ask a target what the documentation leaves open, and write it down as a profile."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from popreceipt.cli.files import see_writable
from popreceipt.exceptions import UsageError

if TYPE_CHECKING:
    from popreceipt.fingerprints.comparing import Comparison
    from popreceipt.fingerprints.running import Run
    from popreceipt.fingerprints.taking import Fingerprint
    from popreceipt.verification import Progress as Pace

app = typer.Typer()


@app.command()
def fingerprint(
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="Whom to ask: http://HOST:PORT, https://…, emulator:, emulator:MUTANT, emulator:dialect=NAME, "
            "emulator:profile=FILE.",
        ),
    ] = "emulator:",
    result: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Ask nobody: take it from what `popreceipt verify --out DIR` left, of a tenant also.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Play everything on the target and on the emulator under this profile, and tell where they part.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the profile (TOML) there, for `popreceipt serve --profile FILE`; else it is printed.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="TEXT", help="What the profile is to say of the server: a line, kept as it is.")
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything that is made up.")] = 0,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate authority of a TLS target.")] = None,
    control_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", envvar="POPRECEIPT_CONTROL_KEY", help="Key of a control plane off loopback."),
    ] = None,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Longest real wait for a clock that cannot be moved.")
    ] = 120.0,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the fingerprint, and with --against where they part, as JSON.")
    ] = False,
) -> None:
    """Ask a target what the documentation leaves open, and write its answers down as a profile.

    The profile has the server's choices and nothing else of it: no address, no name, no ID, no time but the day. What
    was not seen stands there with the reason, and what was answered in several ways is no choice.

    Exit status: 0 well, 1 the target and the profile part (with --against), 2 usage, 3 nothing was seen.
    """
    from popreceipt.emulator.profile import load_profile
    from popreceipt.fingerprints import comparing, profile_file, running

    profile_file.checked_label(label)
    if against is not None:
        if not against.is_file():
            raise UsageError(f"There is no profile {against}: --out FILE writes one.")
        load_profile(str(against))
    if out is not None:
        _prepare(out, against)
    errors = Console(stderr=True)
    everything = against is not None
    if result is not None:
        run = running.read(result, with_journal=everything)
    else:
        with (
            running.opened(target, seed=seed, ca=ca, control_key=control_key, patience_seconds=patience) as asked,
            _progress(errors, f"asking {asked.name}") as progress,
        ):
            run = running.play(asked, seed=seed, everything=everything, progress=progress)
    found = run.fingerprint(label)
    comparison = None
    if against is not None:
        with _progress(errors, "asking the emulator") as progress:
            comparison = comparing.compare(run.side, running.play_alike(run, against, progress=progress))
    if out is not None:
        profile_file.write(found, out)
    _show(found, comparison, run, out, errors, as_json=json_output)
    raise typer.Exit(1 if comparison is not None and comparison.partings else 0)


def _prepare(out: Path, against: Path | None) -> None:
    """See that the file can be written, before anybody is asked for nothing."""
    if against is not None and out.resolve() == against.resolve():
        raise UsageError(f"--out and --against both name {out}: give each a file of its own.")
    see_writable(out, "Give another --out.")


@contextmanager
def _progress(errors: Console, what: str) -> Iterator["Pace"]:
    """A bar on a terminal, and elsewhere a line each tenth."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as bar:
        task = bar.add_task(escape(what), total=None)
        shown = 0

        def progress(done: int, total: int, name: str) -> None:
            nonlocal shown
            bar.update(task, total=total, completed=done, description=escape(name.replace("_", " ")[:60].ljust(60)))
            if not errors.is_terminal and total and done * 10 // total >= shown:
                print(f"popreceipt: {done} of {total} scenarios played", file=sys.stderr, flush=True)
                shown = done * 10 // total + 1

        yield progress


def _show(
    found: "Fingerprint",
    comparison: "Comparison | None",
    run: "Run",
    out: Path | None,
    errors: Console,
    *,
    as_json: bool,
) -> None:
    from popreceipt.fingerprints import profile_file, terminal

    if as_json:
        content: dict[str, Any] = found.as_json()
        if comparison is not None:
            content["against"] = comparison.as_json()
        print(json.dumps(content, indent=1))
        return
    if comparison is not None:
        terminal.print_comparison(Console(), comparison)
    elif out is None:
        print(profile_file.as_toml(found), end="")
    terminal.print_fingerprint(errors, found, {name: verdict.reason for name, verdict in run.side.rules.items()})
    if out is not None:
        errors.print(f"Written to {escape(str(out))}: popreceipt serve --profile {escape(str(out))}", style="dim")
