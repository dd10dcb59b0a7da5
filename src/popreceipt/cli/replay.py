"""`popreceipt replay`: run a reproduction again."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from popreceipt.histories.oracle import make_known
from popreceipt.journal import Exchange
from popreceipt.reports import evidence
from popreceipt.reproduction import story
from popreceipt.reproduction.bundle import FILE, Bundle, Replayed, read, stamp
from popreceipt.reproduction.bundle import replay as play_again
from popreceipt.reproduction.player import Place
from popreceipt.targets import PATIENCE_SECONDS

STATES = {
    "failing": ("✘", "still failing", "bold red"),
    "fixed": ("✔", "fixed", "green"),
    "unreached": ("?", "the state could not be reached", "yellow"),
}

app = typer.Typer()

# A bundle may look for an anomaly of a history, and whoever reads bundles stands below histories.
make_known()


def _bundles(incomplete: str) -> list[str]:
    """Folders that are bundles, and folders on the way to them."""
    begun = Path(incomplete)
    folder = begun if incomplete.endswith("/") else begun.parent
    if not folder.is_dir():
        return []
    inside = sorted(each for each in folder.iterdir() if each.is_dir() and str(each).startswith(str(begun)))
    return [str(each) if (each / FILE).is_file() else f"{each}/" for each in inside]


def _targets(incomplete: str) -> list[str]:
    return [each for each in ("emulator:", "http://", "https://", "tenant:") if each.startswith(incomplete)]


@app.command()
def replay(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="A bundle's folder, or its bundle.json.", autocompletion=_bundles),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Whom to play it on, if not the one on which it failed: emulator:, emulator:MUTANT, "
            "http://HOST:PORT, https://…, tenant:NAME.",
            autocompletion=_targets,
        ),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate authority of a TLS target.")] = None,
    control_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", envvar="POPRECEIPT_CONTROL_KEY", help="Key of a control plane off loopback."),
    ] = None,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Longest real wait for a clock that cannot be moved.")
    ] = PATIENCE_SECONDS,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")] = False,
) -> None:
    """Run a reproduction again: still failing (1), fixed (0), or its state cannot be reached (3)."""
    held = read(bundle)
    place = Place(target if target is not None else held.target, held.seed, ca, control_key, patience)
    with Console(stderr=True).status(f"playing {held.oracle.name} on {place.target}"):
        result = play_again(held, place)
    if json_output:
        print(json.dumps(_as_json(held, place.target, result), indent=1))
    else:
        _print(Console(), held, place.target, result)
    raise typer.Exit(result.exit_status)


def _as_json(bundle: Bundle, target: str, result: Replayed) -> dict[str, object]:
    stopped = result.played.stopped
    return {
        "format": "popreceipt/replay@1",
        "bundle": str(bundle.path),
        "name": bundle.oracle.name,
        "target": target,
        "build": result.played.header.target.build,
        "state": result.state,
        "expected": bundle.oracle.expected,
        "message": result.message,
        "exchanges": list(result.exchanges),
        "stopped": None if stopped is None else {"step": stopped.place + 1, "why": stopped.reason},
    }


def _print(console: Console, bundle: Bundle, target: str, result: Replayed) -> None:
    """The story with what became of its steps, then what was observed."""
    symbol, words, style = STATES[result.state]
    stopped = result.played.stopped
    made = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    made.add_column("")
    made.add_column("", justify="right", style="dim")
    made.add_column("time", justify="right", style="dim")
    made.add_column("step", overflow="fold")
    made.add_column("answer")
    for place, (at, said) in enumerate(story.sentences(bundle.steps)):
        if stopped is None or place < stopped.place:
            mark = Text("✔", style="green")
        else:
            mark = Text("✘", style="yellow") if place == stopped.place else Text("·", style="dim")
        made.add_row(
            mark,
            str(place + 1),
            at,
            Text(said, style="dim" if mark.plain == "·" else ""),
            result.played.answers.get(place, ""),
        )
    console.print(Text(bundle.oracle.name, style="bold"))
    console.print(Text(bundle.oracle.expected))
    console.print(made)
    console.print()
    if stopped is not None and result.state == "unreached":
        console.print(Text(f"Step {stopped.place + 1} could not be done: {result.message}", style=style))
    else:
        console.print(Text(result.message, style="bold" if result.state == "failing" else ""))
    exchanges = evidence.by_number(each for each in result.played.entries if isinstance(each, Exchange))
    for line in evidence.lines_for(result.exchanges, exchanges, movable=False)[0]:
        # Not wrapped: a line of evidence is there to be searched for.
        console.print(Text(f"  {line}"), soft_wrap=True)
    summary = Text()
    summary.append(f"{symbol} {words}", style=style)
    summary.append(f" on {target}. When it was written, on {bundle.target}: ", style="dim")
    summary.append(stamp(bundle.told), style="dim")
    console.print(summary)
