"""Writes specs/verify.svg, the picture in the README: a real verification, rendered as its terminal shows it."""

import re
import sys
from io import StringIO

from rich.console import Console
from rich.text import Text

from popreceipt import resources
from popreceipt.reports import evidence, terminal
from popreceipt.rules import catalogue
from popreceipt.targets import open_target
from popreceipt.verification import verify

MUTANT = "lease-of-29-minutes"
CHAPTER = "redelivery"


def picture() -> str:
    """One chapter, judged on an emulator that hides a message too briefly."""
    console = Console(record=True, width=132, file=StringIO(), force_terminal=True)
    target = f"emulator:{MUTANT}"
    console.print(Text(f"$ popreceipt verify --target {target} --chapter {CHAPTER}", style="bold"))
    with open_target(target) as opened:
        verdicts = verify(opened, chapters=[CHAPTER])
        exchanges = evidence.by_number(opened.journal.exchanges())
    terminal.print_verdicts(console, verdicts, {each.id: each for each in catalogue()}, exchanges)
    drawn = console.export_svg(title="popreceipt verify")
    # The font of the picture would be fetched from elsewhere; the reader's own does.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def main() -> int:
    """Write the picture."""
    path = resources.specs() / "verify.svg"
    path.write_text(picture(), encoding="utf-8")
    print(f"{path} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
