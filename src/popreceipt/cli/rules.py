"""`popreceipt rules`: the catalogue."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from popreceipt.exceptions import UsageError
from popreceipt.rules import CHAPTERS, catalogue
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds

app = typer.Typer()


@app.command()
def rules(
    json_output: Annotated[bool, typer.Option("--json", help="Print the catalogue as JSON.")] = False,
    chapter: Annotated[str | None, typer.Option(metavar="C", help="Only this chapter.")] = None,
    binds: Annotated[Binds | None, typer.Option(help="Only the rules that bind this side; both by default.")] = None,
) -> None:
    """List the catalogue of rules."""
    if chapter is not None and chapter not in CHAPTERS:
        raise UsageError(f"No chapter is called {chapter!r}. Chapters: {', '.join(CHAPTERS)}.")
    listed = [each for each in catalogue(binds) if chapter is None or each.chapter == chapter]
    if json_output:
        print(json.dumps([as_json(each) for each in listed], indent=1, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("rule", no_wrap=True)
    table.add_column("level")
    table.add_column("binds")
    table.add_column("text")
    for each in listed:
        table.add_row(each.id, Text(each.level, style="bold" if each.level == "MUST" else ""), each.binds, each.text)
    Console().print(table)


def as_json(rule: Rule) -> dict[str, Any]:
    """A rule as other programs read it."""
    return {
        "id": rule.id,
        "chapter": rule.chapter,
        "level": rule.level,
        "binds": rule.binds,
        "provenance": rule.provenance,
        "text": rule.text,
        "source": str(rule.source),
        "reading": rule.reading,
        "statements": list(rule.statements),
        "needs": sorted(rule.needs),
        "answers": list(rule.answers),
    }
