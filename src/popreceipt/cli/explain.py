"""`popreceipt explain`: everything about one rule."""

import inspect
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from popreceipt import resources
from popreceipt.cli.rules import as_json
from popreceipt.rules import catalogue, find
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds

app = typer.Typer()


def _rules(incomplete: str) -> list[str]:
    return [each.id for each in catalogue(None) if each.id.startswith(incomplete)]


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's id.", autocompletion=_rules)],
    json_output: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell all about one rule: text, source, how it is read, its code, tests, journals, and whom it convicts."""
    found = find(rule)
    code = inspect.getsource(found.check)
    tests, journals, mutants = scenarios_of(found), journals_of(found), mutants_of(found)
    middlewares = middlewares_of(found)
    if json_output:
        more = {"code": code, "tests": tests, "journals": journals, "mutants": mutants, "middlewares": middlewares}
        print(json.dumps(as_json(found) | more, indent=1, ensure_ascii=False))
        return
    console = Console()
    console.print(Text(found.id, style="bold"))
    console.print(f"{found.text}\n", highlight=False)
    lines = [
        ("level", f"{found.level}, binds the {found.binds}, {found.provenance}"),
        ("source", str(found.source)),
        ("reading", found.reading),
        ("answers", ", ".join(found.answers)),
        ("needs", ", ".join(sorted(found.needs))),
        ("statements", ", ".join(map(str, found.statements))),
        ("tests", "\n".join(tests)),
        ("journals", "\n".join(journals)),
        ("mutants", "\n".join(mutants)),
        ("middleware", "\n".join(middlewares)),
    ]
    for name, value in lines:
        if value:
            console.print(Text(f"{name:<11}", style="dim"), Text(value.replace("\n", "\n            ")))
    console.print()
    console.print(Syntax(code, "python", background_color="default"))


def scenarios_of(rule: Rule) -> list[str]:
    """The scenarios that show a rule: of the suites as file and name, of a middleware by the name it is played by."""
    if rule.binds is Binds.CLIENT:
        return _scenarios_for_middleware(rule)
    found = []
    for path in sorted(resources.suites().joinpath("conformance").glob("test_*.py")):
        name = ""
        shown = False
        for line in path.read_text(encoding="utf-8").splitlines():
            shown = shown or f'"{rule.id}"' in line
            if line.startswith("def test_"):
                name = line.removeprefix("def ").partition("(")[0]
                if shown:
                    found.append(f"{path.name}::{name}")
                shown = False
    return found


def _scenarios_for_middleware(rule: Rule) -> list[str]:
    from popreceipt.middleware import selection

    return [each.name for each in (*selection.everything(), *selection.matrix()) if rule.id in each.shows]


def journals_of(rule: Rule) -> list[str]:
    """The journals written by hand for a rule."""
    folder = resources.fixtures() / "journals" / rule.chapter
    claim = rule.id.partition(".")[2]
    return [f"{rule.chapter}/{path.name}" for path in sorted(folder.glob(f"{claim}.*.ndjson"))]


def mutants_of(rule: Rule) -> list[str]:
    """The wrong emulators that a rule convicts, with what each does wrong."""
    from popreceipt.emulator.mutants import MUTANTS

    return [f"{each.id}: {each.text}" for each in MUTANTS.values() if rule.id in each.convicted_by]


def middlewares_of(rule: Rule) -> list[str]:
    """The wrong middlewares that a rule was seen to convict, with what each does wrong."""
    from popreceipt.generate.catalogue import convictions

    return [f"{name}: {each['text']}" for name, each in convictions().items() if rule.id in each["convicted"]]
