"""The command `popreceipt`: finds the command that was asked for, and turns how it ended into an exit status.

It knows the commands by name and by one sentence each; what they do and which options they take stands in a module
a command, which is imported only when it is called. To add one: a module in this package with a typer application
`app` that holds a single command, and a line in `COMMANDS`. A name whose module does not exist is not a command.
"""

import importlib
import itertools
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final, NoReturn

import typer
import typer.core
import typer.main

from popreceipt import __version__, cli
from popreceipt.exceptions import PopreceiptError

COMMANDS: Final = {
    "serve": "Run the emulator until interrupted.",
    "verify": "Run the suites against a target, judge and report.",
    "judge": "Judge a recorded journal or HAR file.",
    "rules": "List the catalogue of rules.",
    "explain": "Tell all about one rule.",
    "middleware": "Run a middleware against the emulator under scenarios and judge it.",
    "load": "Run a load scenario, with honest latencies and a verdict on correctness.",
    "size": "Recommend processing and monitoring recurrences.",
    "report": "Make pages and summaries of a result.",
    "gate": "Compare a result with a baseline.",
    "record": "Write down what a middleware and a real environment say to each other.",
    "replay": "Run a reproduction again.",
    "fingerprint": "Probe a target for its dialect and write it down.",
}

MARKUP: Final = "rich"
FAULT: Final = 4
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
"""As a shell tells of a program that SIGPIPE ended: who read the output, such as `head`, had enough of it."""


class _Deferred(typer.core.TyperCommand):
    """A command of which only name and sentence are known until it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command, which from here on takes this one's place."""
        module = importlib.import_module(f"{cli.__name__}.{self.name}")
        alone = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
        alone.registered_commands = module.app.registered_commands
        return typer.main.get_command(alone).make_context(info_name, args, parent, **extra)


class _Commands(typer.core.TyperGroup):
    """The commands that this installation has, in the order of the table."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names from the table whose module is there."""
        del ctx
        there = {module.name for module in pkgutil.iter_modules(cli.__path__)}
        return [name for name in COMMANDS if name in there]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or None."""
        return _Deferred(name=cmd_name, help=COMMANDS[cmd_name]) if cmd_name in self.list_commands(ctx) else None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was called; who stops it is told what that was, for typer would end without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            _say(str(stopped) or "Stopped.", ctx.params.get("debug", False))
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"popreceipt {__version__}")
        raise typer.Exit


@app.callback()
def popreceipt(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Check a server or a client of the Dynamics 365 recurring integrations against what is documented.

    Exit status: 0 well, 1 findings, 2 usage, 3 nothing proved, 4 own fault, 130 stopped, 141 nobody read the output.
    """
    del version, debug  # both are dealt with before a command runs: see _show_version and run


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that the arguments name (the process's own unless given) and end with its exit status."""
    try:
        _run(sys.argv[1:] if arguments is None else list(arguments))
    except SystemExit as ended:
        # typer and rich end with 1 in answer to a closed pipe; here that would say that there are findings.
        if isinstance(ended.__context__, BrokenPipeError) or not _all_was_read():
            sys.exit(NOBODY_READS)
        raise


def _run(given: list[str]) -> NoReturn:
    debug = "--debug" in itertools.takewhile(lambda argument: argument.startswith("-"), given)
    try:
        typer.main.get_command(app).main(args=given, prog_name="popreceipt")  # ends by SystemExit
    except PopreceiptError as error:
        _say(str(error), debug)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as fault:  # noqa: BLE001  whatever it is, the person at the terminal gets a sentence
        kind = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
        hint = "" if debug else f" To see where, run: {' '.join(['popreceipt --debug', *_without_key(given)])}"
        _say(f"This is a fault of popreceipt itself ({kind}).{hint}", debug)
        sys.exit(FAULT)
    sys.exit(0)


def _all_was_read() -> bool:
    """Hand out what still waits to be written; whether somebody was there to read it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left is thrown away, or Python would complain of it at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _say(sentence: str, with_trace: bool) -> None:
    """Tell what went wrong. A stranger's words may be in it, which act upon no terminal and hold no token."""
    from popreceipt.journal import without_tokens  # late: whoever asks for the version needs none of it
    from popreceipt.reports.plain import plain

    if with_trace:
        print(plain(without_tokens(traceback.format_exc())), end="", file=sys.stderr)
    print(f"popreceipt: {plain(without_tokens(sentence))}", file=sys.stderr)


def _without_key(given: Sequence[str]) -> list[str]:
    """Arguments as they may be told: a control plane's key is none of a log's business."""
    words = [f"{KEY}=…" if each.startswith(f"{KEY}=") else each for each in given]
    return ["…" if place and words[place - 1] == KEY else each for place, each in enumerate(words)]


KEY: Final = "--control-key"
