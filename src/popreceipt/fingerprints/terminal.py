"""A fingerprint on a terminal, and where a server and the emulator part.

What comes from a server is shown as text, never as markup.
"""

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popreceipt.emulator.profile import POINTS
from popreceipt.fingerprints.comparing import Comparison
from popreceipt.fingerprints.taking import Fingerprint

MOST_SHOWN: Final = 60
"""Differences shown: whoever has more asks for JSON."""


def print_fingerprint(console: Console, found: Fingerprint, reasons: Mapping[str, str | None]) -> None:
    """Print what is unusual, what is no choice, and what was not seen.

    Args:
        console: where to.
        found: the fingerprint.
        reasons: of rules that were not exercised, in the run's own words, which may name the target.
    """
    rows = Table(box=None, pad_edge=False, show_header=False)
    rows.add_column("point", no_wrap=True)
    rows.add_column("answer", overflow="fold")
    for name, value in found.unusual().items():
        rows.add_row(name, Text(f"{value} (usually {POINTS[name].values[0]})", style="cyan"))
    for name, values in found.several.items():
        rows.add_row(name, Text(f"answered in several ways: {', '.join(values)}", style="yellow"))
    for name, values in found.unknown.items():
        rows.add_row(name, Text(f"answered as no profile knows: {', '.join(values)}", style="yellow"))
    for name, why in found.unseen.items():
        told = reasons.get(name)
        rows.add_row(name, Text(f"not seen: {told or why}", style="dim"))
    if rows.row_count:
        console.print(rows)
    usual = len(found.points) - len(found.unusual())
    console.print(
        f"{len(POINTS)} open points: {usual} answered as usual, {len(found.unusual())} otherwise, "
        f"{len(found.several)} in several ways, {len(found.unknown)} as no profile knows, {len(found.unseen)} not seen",
        style="bold",
        highlight=False,
    )


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print where the two part, in words."""
    for each in comparison.partings[:MOST_SHOWN]:
        console.print(Text(f"≠ {each.words}"), soft_wrap=True)
    if len(comparison.partings) > MOST_SHOWN:
        console.print(f"… and {len(comparison.partings) - MOST_SHOWN} more: --json has all of them", style="dim")
    for who, names in (("target", comparison.only_target), ("emulator", comparison.only_emulator)):
        if names:
            console.print(Text(f"only the {who} decided: {', '.join(names)}", style="dim"))
    told = f"{len(comparison.partings)} differences" if comparison.partings else "no difference"
    console.print(
        Text(
            f"{told} in {comparison.rules} rules and the answers to {comparison.operations} operations",
            style="bold red" if comparison.partings else "bold green",
        )
    )
