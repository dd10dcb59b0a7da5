"""Pages of the reference that tell the command line, from the commands themselves."""

import re
from importlib import import_module
from typing import Final

import typer.cli
from typer.main import get_command

from popreceipt.cli.main import COMMANDS, MARKUP

INDEX: Final = """# Command line

```{{toctree}}
:hidden:

{names}
```

Every command ends with 0 when all is well, 1 with findings, 2 for wrong usage or configuration, 3 when nothing was
proved, 4 for a fault of popreceipt itself, 130 when it was interrupted, and 141 when nobody read its output any more.
`popreceipt --install-completion` completes commands, options, rules, chapters and scenarios in your shell; `NO_COLOR`
takes the colours away.

{table}
"""


def pages() -> dict[str, str]:
    """The pages by name: one for each command, and their index."""
    table = "\n".join(
        ["| | |", "|---|---|", *(f"| [`popreceipt {name}`]({name}.md) | {text} |" for name, text in COMMANDS.items())]
    )
    found = {"command-line/index.md": INDEX.format(names="\n".join(COMMANDS), table=table)}
    return found | {f"command-line/{name}.md": _page(name) for name in COMMANDS}


def _page(name: str) -> str:
    module = import_module(f"popreceipt.cli.{name}")
    alone = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
    alone.registered_commands = module.app.registered_commands
    command = get_command(alone)
    context = typer.Context(command, info_name=name)
    return _options_as_code(typer.cli.get_docs_for_click(obj=command, ctx=context, name=f"popreceipt {name}"))


def _options_as_code(text: str) -> str:
    """A page on which every option that a help text names stands as it is typed: two hyphens are no dash."""
    parts = re.split(r"(```.*?```|`[^`]*`)", text, flags=re.DOTALL)
    parts[::2] = [re.sub(r"(?<![\w-])--[a-z][a-z0-9-]*", r"`\g<0>`", each) for each in parts[::2]]
    return "".join(parts)
